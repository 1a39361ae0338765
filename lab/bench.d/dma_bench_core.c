// SPDX-License-Identifier: GPL-2.0
/*
 * What all commands of dma_bench have in common: samples, and what is said of
 * them. Times are in ticks of bench_now(), without what a reading of the clock
 * costs.
 */
#include <linux/dma-map-ops.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/sort.h>

#include "dma_bench_core.h"

/**
 * bench_say() - add a line, or a part of one, to what the command has to say
 * @b: the benchmark
 * @fmt: format, and its arguments
 */
void bench_say(struct bench *b, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	b->out_len += vscnprintf(b->out + b->out_len,
				 BENCH_OUT_SIZE - b->out_len, fmt, args);
	va_end(args);
}

/**
 * bench_stat_reset() - forget all samples
 * @b: the benchmark
 */
void bench_stat_reset(struct bench *b)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(b->stat); i++) {
		b->stat[i].n = 0;
		b->stat[i].sum = 0;
	}
}

static int compare_u32(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return x < y ? -1 : x > y;
}

/**
 * bench_stat_say() - sum one quantity up
 * @b: the benchmark
 * @which: index of its samples
 * @name: what to call it
 */
void bench_stat_say(struct bench *b, unsigned int which, const char *name)
{
	struct bench_stat *stat = &b->stat[which];
	u32 kept = min(stat->n, BENCH_SAMPLES), *v = stat->value;

	if (!kept) {
		bench_say(b, "%s n=0\n", name);
		return;
	}
	sort(v, kept, sizeof(*v), compare_u32, NULL);
	bench_say(b, "%s n=%u sum=%llu min=%u median=%u p99=%u max=%u\n", name,
		  stat->n, stat->sum, v[0], v[kept / 2],
		  v[min_t(u64, kept - 1, kept * 99ULL / 100)], v[kept - 1]);
}

/**
 * bench_calibrate() - find out what a reading of the clock adds to a sample
 * @b: the benchmark
 *
 * That is what lies between two readings with nothing between them.
 */
void bench_calibrate(struct bench *b)
{
	unsigned long flags;
	u64 start, ticks;
	int i;

	b->clock = U32_MAX;
	for (i = 0; i < 1000; i++) {
		local_irq_save(flags);
		start = bench_now();
		ticks = bench_now() - start;
		local_irq_restore(flags);
		b->clock = min_t(u64, b->clock, ticks);
	}
}

/**
 * bench_stock_up() - see that page tables cost a call no more than their pages
 * @pages: how many are to be at hand
 *
 * The page allocator gets its pages in bulk, up to two thousand at a time, and a
 * call that needs one for a table must not be the one that pays for all of them.
 */
void bench_stock_up(unsigned int pages)
{
	struct page *page, *next;
	LIST_HEAD(taken);

	while (pages--) {
		page = alloc_page(GFP_ATOMIC);
		if (!page)
			break;
		list_add(&page->lru, &taken);
	}
	list_for_each_entry_safe(page, next, &taken, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}

/**
 * bench_floor_address() - where a command may map by the IOMMU API
 * @domain: the device's
 *
 * Return: an address that the DMA API is not going to use, far from both its
 * ends.
 */
unsigned long bench_floor_address(struct iommu_domain *domain)
{
	unsigned long end = min_t(u64, domain->geometry.aperture_end,
				  DMA_BIT_MASK(48));

	return ALIGN_DOWN(end / 2 + end / 8, SZ_1G);
}

/**
 * bench_floor_prot() - how a command maps by the IOMMU API
 * @b: the benchmark
 *
 * Return: what the DMA API would ask for, IOMMU_*.
 */
int bench_floor_prot(struct bench *b)
{
	return IOMMU_READ | IOMMU_WRITE |
	       (dev_is_dma_coherent(b->dev) ? IOMMU_CACHE : 0);
}

/**
 * bench_floor_unmap() - unmap by the IOMMU API what was mapped by it
 * @b: the benchmark
 * @domain: the device's
 * @iova: address
 * @size: bytes
 *
 * In deferred mode nothing is invalidated: how often that is done, and when, is up
 * to the DMA API.
 *
 * Return: 0, or -EIO if something else was mapped.
 */
int bench_floor_unmap(struct bench *b, struct iommu_domain *domain,
		      unsigned long iova, size_t size)
{
	struct iommu_iotlb_gather gather;
	size_t unmapped;

	iommu_iotlb_gather_init(&gather);
	gather.queued = b->queued;
	unmapped = iommu_unmap_fast(domain, iova, size, &gather);
	if (!b->queued)
		iommu_iotlb_sync(domain, &gather);
	return unmapped == size ? 0 : -EIO;
}
