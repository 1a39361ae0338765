/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the DMA API costs, measured inside the kernel. See dma_bench_core.c.
 */
#ifndef _DMA_BENCH_H
#define _DMA_BENCH_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/prandom.h>
#ifdef CONFIG_ARM64
#include <asm/barrier.h>
#include <asm/sysreg.h>
#endif
#ifdef CONFIG_X86
#include <asm/msr.h>
#endif

/* The largest mapping: what one allocation of pages can give */
#define BENCH_BUFFER_ORDER	MAX_PAGE_ORDER
#define BENCH_BUFFER_SIZE	(PAGE_SIZE << BENCH_BUFFER_ORDER)

/* More samples than this are measured, but only these are kept. */
#define BENCH_SAMPLES		BIT(20)

/* Pages that a call can need for page tables */
#define BENCH_TABLES	4

/* Room for a million that are live, and for more until addresses run out */
#define BENCH_SLOTS		(5 * BIT(18))

/**
 * struct bench_slot - a mapping that is live
 * @addr: its address, or DMA_MAPPING_ERROR
 * @size: bytes
 */
struct bench_slot {
	dma_addr_t addr;
	u32 size;
};

/**
 * struct bench_sizes - what size the next mapping has
 * @least: bytes; all sizes are multiples of it, each as often
 * @most: bytes; the largest
 */
struct bench_sizes {
	u32 least;
	u32 most;
};

/**
 * struct bench_stat - samples of one quantity
 * @value: the first BENCH_SAMPLES of them
 * @n: how many there were
 * @sum: of all
 */
struct bench_stat {
	u32 *value;
	u32 n;
	u64 sum;
};

/**
 * struct bench - a device and what is measured on it
 * @dev: the device
 * @buffer: physically contiguous memory; all mappings are of its beginning
 * @slots: what is live: BENCH_SLOTS of them, the first @live are in use
 * @live: mappings made by "fill" and not yet drained
 * @random: where the next replacement is; the same after each "fill"
 * @stat: samples, by the order in which a measurement declares them
 * @clock: what a reading of the clock adds to a sample
 * @queued: unmaps put off their invalidation
 * @out: what the last command had to say
 * @out_len: bytes of @out
 *
 * A mutex around each command protects all of it.
 */
struct bench {
	struct device *dev;
	struct page *buffer;
	struct bench_slot *slots;
	unsigned long live;
	struct rnd_state random;
	struct bench_stat stat[4];
	u32 clock;
	bool queued;
	char *out;
	size_t out_len;
};

/* dma_bench_core.c */
__printf(2, 3) void bench_say(struct bench *b, const char *fmt, ...);
void bench_stat_reset(struct bench *b);
void bench_stat_say(struct bench *b, unsigned int which, const char *name);

/* dma_bench_ops.c */
int bench_page(struct bench *b, char **arg);
int bench_floor(struct bench *b, char **arg);
int bench_loop(struct bench *b, char **arg);
int bench_spin(struct bench *b, char **arg);
int bench_pages(struct bench *b, char **arg);
int bench_trace(struct bench *b, char **arg);
void bench_stock_up(unsigned int pages);
unsigned long bench_floor_address(struct iommu_domain *domain);

/* dma_bench_lists.c */
int bench_list(struct bench *b, char **arg);
int bench_list_floor(struct bench *b, char **arg);
int bench_list_trace(struct bench *b, char **arg);

/* dma_bench_live.c */
int bench_fill(struct bench *b, char **arg);
int bench_replace(struct bench *b, char **arg);
int bench_exhaust(struct bench *b, char **arg);
int bench_drain(struct bench *b, char **arg);
int bench_mask(struct bench *b, char **arg);

/* dma_bench_watch.c */
int bench_flushes(struct bench *b, char **arg);
int bench_late(struct bench *b, char **arg);
void bench_note_unmap(struct bench *b);
bool bench_late_on(void);
void bench_watch_stop(struct bench *b);

/* Instructions (of an emulated machine that counts them), else about cycles */
static inline u64 bench_now(void)
{
#if defined(CONFIG_ARM64)
	isb();
	return read_sysreg(pmccntr_el0);
#elif defined(CONFIG_X86)
	return rdtsc_ordered();
#else
	return ktime_get_ns();
#endif
}

/*
 * A sample is the call alone, so interrupts are off. But not while they are what
 * is watched: then there are no samples worth looking at.
 */
static inline bool bench_alone(unsigned long *flags)
{
	if (bench_late_on())
		return false;
	local_irq_save(*flags);
	return true;
}

static inline void bench_alone_end(bool alone, unsigned long flags)
{
	if (alone)
		local_irq_restore(flags);
}

static inline void bench_sample(struct bench *b, unsigned int which, u64 ticks)
{
	struct bench_stat *stat = &b->stat[which];
	u32 value = ticks > b->clock ? ticks - b->clock : 0;

	if (stat->n < BENCH_SAMPLES)
		stat->value[stat->n] = value;
	stat->n++;
	stat->sum += value;
}

static inline dma_addr_t bench_map(struct bench *b, size_t size)
{
	return dma_map_page(b->dev, b->buffer, 0, size, DMA_BIDIRECTIONAL);
}

static inline void bench_unmap(struct bench *b, dma_addr_t addr, size_t size)
{
	dma_unmap_page(b->dev, addr, size, DMA_BIDIRECTIONAL);
	bench_note_unmap(b);
}

static inline bool bench_bad(struct bench *b, dma_addr_t addr)
{
	return dma_mapping_error(b->dev, addr);
}

#endif /* _DMA_BENCH_H */
