// SPDX-License-Identifier: GPL-2.0
/*
 * What drivers have come to rely on: where addresses are, how many there are, and
 * that calls which nobody measures do not take long.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"

/* Registers, above all memory; and above what addresses of memory can have */
#define COMPAT_REGISTERS	BIT_ULL(40)
#define COMPAT_BEYOND		BIT_ULL(44)

/* Live at once, of each size */
#define COMPAT_LIVE		16

/**
 * struct compat_memory - memory in the ways in which drivers get it mapped
 * @name: of the way
 * @get: stores address and memory of @size bytes; returns 0 or an error
 * @put: undoes that
 */
struct compat_memory {
	const char *name;
	int (*get)(struct bench *b, size_t size, dma_addr_t *addr, void **cpu);
	void (*put)(struct bench *b, size_t size, dma_addr_t addr, void *cpu);
};

static int page_get(struct bench *b, size_t size, dma_addr_t *addr, void **cpu)
{
	*addr = bench_map(b, size);
	return bench_bad(b, *addr) ? -ENOSPC : 0;
}

static void page_put(struct bench *b, size_t size, dma_addr_t addr, void *cpu)
{
	dma_unmap_page(b->dev, addr, size, DMA_BIDIRECTIONAL);
}

static int pages_get(struct bench *b, size_t size, dma_addr_t *addr, void **cpu)
{
	*cpu = dma_alloc_pages(b->dev, size, addr, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	return *cpu ? 0 : -ENOMEM;
}

static void pages_put(struct bench *b, size_t size, dma_addr_t addr, void *cpu)
{
	dma_free_pages(b->dev, size, cpu, addr, DMA_BIDIRECTIONAL);
}

static int noncoherent_get(struct bench *b, size_t size, dma_addr_t *addr,
			   void **cpu)
{
	*cpu = dma_alloc_noncoherent(b->dev, size, addr, DMA_BIDIRECTIONAL,
				     GFP_KERNEL);
	return *cpu ? 0 : -ENOMEM;
}

static void noncoherent_put(struct bench *b, size_t size, dma_addr_t addr,
			    void *cpu)
{
	dma_free_noncoherent(b->dev, size, cpu, addr, DMA_BIDIRECTIONAL);
}

static int coherent_get(struct bench *b, size_t size, dma_addr_t *addr,
			void **cpu)
{
	*cpu = dma_alloc_coherent(b->dev, size, addr, GFP_KERNEL);
	return *cpu ? 0 : -ENOMEM;
}

static void coherent_put(struct bench *b, size_t size, dma_addr_t addr,
			 void *cpu)
{
	dma_free_coherent(b->dev, size, cpu, addr);
}

static const struct compat_memory memories[] = {
	{ "page", page_get, page_put },
	{ "pages", pages_get, pages_put },
	{ "noncoherent", noncoherent_get, noncoherent_put },
	{ "coherent", coherent_get, coherent_put },
};

static const struct compat_memory *memory_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(memories); i++)
		if (!strcmp(memories[i].name, name))
			return &memories[i];
	return NULL;
}

/* Return: how many of COMPAT_LIVE are not aligned to @align, or an error. */
static int misaligned(struct bench *b, const struct compat_memory *memory,
		      size_t size, size_t align)
{
	dma_addr_t addr[COMPAT_LIVE];
	void *cpu[COMPAT_LIVE];
	unsigned int n, bad = 0;
	int ret = 0;

	for (n = 0; n < COMPAT_LIVE; n++) {
		ret = memory->get(b, size, &addr[n], &cpu[n]);
		if (ret)
			break;
		bad += (addr[n] & (align - 1)) != 0;
	}
	while (n--)
		memory->put(b, size, addr[n], cpu[n]);
	return ret ?: bad;
}

/*
 * misaligned KIND MOST BOUND: of sizes from 8 KiB to MOST, 16 live of each beside an
 * odd page, those that are not aligned to their size or to BOUND
 */
static int compat_misaligned(struct bench *b, char **arg)
{
	const struct compat_memory *memory = memory_find(arg[0]);
	dma_addr_t odd = bench_map(b, PAGE_SIZE);
	u32 most, bound, bad = 0, n = 0;
	size_t size;
	int ret = 0;

	if (bench_bad(b, odd))
		return -ENOSPC;
	if (!memory || kstrtou32(arg[1], 0, &most) || most > BENCH_BUFFER_SIZE ||
	    kstrtou32(arg[2], 0, &bound))
		ret = -EINVAL;
	for (size = SZ_8K; ret >= 0 && size <= most; size *= 2) {
		ret = misaligned(b, memory, size, min_t(size_t, size, bound));
		bad += max(ret, 0);
		n += COMPAT_LIVE;
	}
	bench_unmap(b, odd, PAGE_SIZE);
	bench_say(b, "misaligned bad=%u of=%u\n", bad, n);
	return min(ret, 0);
}

/*
 * crossing COUNT: two pages each, while single ones come and go around them; how many
 * cross a multiple of 64 KiB
 */
static int compat_crossing(struct bench *b, char **arg)
{
	struct bench_slot *slot = b->slots;
	u32 count, i, bad = 0;
	int ret = 0;

	if (kstrtou32(arg[0], 0, &count) || 2 * count > BENCH_SLOTS)
		return -EINVAL;
	for (i = 0; i < 2 * count; i++) {
		slot[i].size = i & 1 ? 2 * PAGE_SIZE : PAGE_SIZE;
		slot[i].addr = bench_map(b, slot[i].size);
		if (bench_bad(b, slot[i].addr)) {
			ret = -ENOSPC;
			break;
		}
		bad += (slot[i].addr ^ (slot[i].addr + slot[i].size - 1)) >= SZ_64K;
		/* Holes of odd sizes, for those that follow */
		if (!(i % 6)) {
			bench_unmap(b, slot[i].addr, slot[i].size);
			slot[i].size = 0;
		}
		cond_resched();
	}
	while (i--) {
		if (slot[i].size)
			bench_unmap(b, slot[i].addr, slot[i].size);
		cond_resched();
	}
	bench_say(b, "crossing bad=%u of=%u\n", bad, count);
	return ret;
}

/* holes COUNT: unmap a list of 4 KiB and 4 times 2 MiB that may not cross 8 MiB */
static int compat_holes(struct bench *b, char **arg)
{
	unsigned long boundary = dma_get_seg_boundary(b->dev);
	unsigned int longest = dma_get_max_seg_size(b->dev);
	struct scatterlist sg[5];
	unsigned long flags;
	int ret = 0, i, n;
	u32 count;
	u64 t[2];

	if (kstrtou32(arg[0], 0, &count))
		return -EINVAL;
	dma_set_seg_boundary(b->dev, SZ_8M - 1);
	dma_set_max_seg_size(b->dev, SZ_8M);
	sg_init_table(sg, ARRAY_SIZE(sg));
	for (i = 0; i < ARRAY_SIZE(sg); i++)
		sg_set_page(&sg[i], b->buffer, i ? SZ_2M : SZ_4K, 0);
	bench_stat_reset(b);
	while (!ret && count--) {
		n = dma_map_sg(b->dev, sg, ARRAY_SIZE(sg), DMA_BIDIRECTIONAL);
		if (n < 2) {
			ret = -EIO;
			break;
		}
		local_irq_save(flags);
		t[0] = bench_now();
		dma_unmap_sg(b->dev, sg, ARRAY_SIZE(sg), DMA_BIDIRECTIONAL);
		t[1] = bench_now();
		local_irq_restore(flags);
		bench_sample(b, 0, t[1] - t[0]);
	}
	dma_set_seg_boundary(b->dev, boundary);
	dma_set_max_seg_size(b->dev, longest);
	bench_stat_say(b, 0, "unmap");
	return ret;
}

/* beyond: registers of 64 GiB, whose last page no page table can name */
static int compat_beyond(struct bench *b, char **arg)
{
	size_t size = 16ULL * SZ_4G + PAGE_SIZE;
	unsigned long flags;
	dma_addr_t addr;
	u64 t[2];

	bench_stat_reset(b);
	local_irq_save(flags);
	t[0] = bench_now();
	addr = dma_map_resource(b->dev, COMPAT_BEYOND + PAGE_SIZE - size, size,
				DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	t[1] = bench_now();
	local_irq_restore(flags);
	if (!bench_bad(b, addr)) {
		dma_unmap_resource(b->dev, addr, size, DMA_BIDIRECTIONAL, 0);
		return -EIO;
	}
	bench_sample(b, 0, t[1] - t[0]);
	bench_stat_say(b, 0, "map");
	return 0;
}

/*
 * ranges SIZE: registers of that size until refused; how many MiB they have got
 */
static int compat_ranges(struct bench *b, char **arg)
{
	struct bench_slot *slot = b->slots;
	u32 size, n, i;

	if (kstrtou32(arg[0], 0, &size) || size < SZ_1M)
		return -EINVAL;
	for (n = 0; n < BENCH_SLOTS; n++) {
		slot[n].addr = dma_map_resource(b->dev, COMPAT_REGISTERS, size,
						DMA_BIDIRECTIONAL,
						DMA_ATTR_NO_WARN);
		if (bench_bad(b, slot[n].addr))
			break;
		cond_resched();
	}
	for (i = 0; i < n; i++)
		dma_unmap_resource(b->dev, slot[i].addr, size,
				   DMA_BIDIRECTIONAL, 0);
	bench_say(b, "ranges mib=%llu\n", (u64)n * size / SZ_1M);
	return 0;
}

/*
 * above GIB TIMES: map and unmap as many GiB so many times; whether the next page is
 * above 4 GiB
 */
static int compat_above(struct bench *b, char **arg)
{
	dma_addr_t addr;
	u32 gib, times;
	size_t size;

	if (kstrtou32(arg[0], 0, &gib) || kstrtou32(arg[1], 0, &times))
		return -EINVAL;
	size = (size_t)gib * SZ_1G;
	while (times--) {
		addr = dma_map_resource(b->dev, COMPAT_REGISTERS, size,
					DMA_BIDIRECTIONAL, 0);
		if (bench_bad(b, addr))
			return -ENOSPC;
		dma_unmap_resource(b->dev, addr, size, DMA_BIDIRECTIONAL, 0);
	}
	addr = bench_map(b, PAGE_SIZE);
	if (bench_bad(b, addr))
		return -ENOSPC;
	bench_unmap(b, addr, PAGE_SIZE);
	bench_say(b, "above pages=%d\n", addr >= SZ_4G);
	return 0;
}

const struct bench_command bench_compat_commands[] = {
	{ "misaligned", 3, compat_misaligned },
	{ "crossing", 1, compat_crossing },
	{ "holes", 1, compat_holes },
	{ "beyond", 0, compat_beyond },
	{ "ranges", 1, compat_ranges },
	{ "above", 2, compat_above },
	{ }
};
