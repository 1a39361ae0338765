/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device, samples of what calls cost on it, and what a command has to say. See
 * dma_bench_core.c.
 */
#ifndef _DMA_BENCH_CORE_H
#define _DMA_BENCH_CORE_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/irqflags.h>
#include <linux/ktime.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
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

/* Bytes that a command may say */
#define BENCH_OUT_SIZE		SZ_16K

/* Pages that a call can need for page tables */
#define BENCH_TABLES	4

/* A million that are live, and more until addresses run out */
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

__printf(2, 3) void bench_say(struct bench *b, const char *fmt, ...);
void bench_stat_reset(struct bench *b);
void bench_stat_say(struct bench *b, unsigned int which, const char *name);
void bench_calibrate(struct bench *b);
void bench_stock_up(unsigned int pages);
unsigned long bench_floor_address(struct iommu_domain *domain);
int bench_floor_prot(struct bench *b);
int bench_floor_unmap(struct bench *b, struct iommu_domain *domain,
		      unsigned long iova, size_t size);

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

/* A thousand instructions, on any CPU */
static inline void bench_spend_thousand(void)
{
	asm volatile(".rept 1000\n\tnop\n\t.endr");
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

static inline bool bench_bad(struct bench *b, dma_addr_t addr)
{
	return dma_mapping_error(b->dev, addr);
}

#endif /* _DMA_BENCH_CORE_H */
