// SPDX-License-Identifier: GPL-2.0
/*
 * Single calls: the DMA API's, and the IOMMU API's below it as the floor.
 */
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"

/* Not the first: those find page tables and caches empty. */
#define BENCH_WARM	256

static int parse_count_size(char **arg, u32 *count, u32 *size)
{
	if (kstrtou32(arg[0], 0, count) || kstrtou32(arg[1], 0, size) ||
	    !*size || *size > BENCH_BUFFER_SIZE)
		return -EINVAL;
	return 0;
}

static int page_once(struct bench *b, u32 size)
{
	unsigned long flags;
	dma_addr_t addr;
	bool alone;
	u64 t[4];

	bench_stock_up(BENCH_TABLES);
	alone = bench_alone(&flags);
	t[0] = bench_now();
	addr = bench_map(b, size);
	t[1] = bench_now();
	if (bench_bad(b, addr)) {
		bench_alone_end(alone, flags);
		return -ENOSPC;
	}
	t[2] = bench_now();
	dma_unmap_page(b->dev, addr, size, DMA_BIDIRECTIONAL);
	t[3] = bench_now();
	bench_note_unmap(b);
	bench_alone_end(alone, flags);
	bench_sample(b, 0, t[1] - t[0]);
	bench_sample(b, 1, t[3] - t[2]);
	return 0;
}

/* page COUNT SIZE: map and unmap, beside a neighbour that stays mapped */
static int bench_page(struct bench *b, char **arg)
{
	dma_addr_t neighbour;
	u32 count, size, i;
	int ret;

	ret = parse_count_size(arg, &count, &size);
	if (ret)
		return ret;
	neighbour = bench_map(b, size);
	if (bench_bad(b, neighbour))
		return -ENOSPC;
	for (i = 0; !ret && i < BENCH_WARM; i++)
		ret = page_once(b, size);
	bench_stat_reset(b);
	for (i = 0; !ret && i < count; i++)
		ret = page_once(b, size);
	bench_unmap(b, neighbour, size);
	bench_stat_say(b, 0, "map");
	bench_stat_say(b, 1, "unmap");
	return ret;
}

static int floor_once(struct bench *b, struct iommu_domain *domain,
		      unsigned long iova, u32 size)
{
	struct iommu_iotlb_gather gather;
	unsigned long flags;
	size_t unmapped;
	u64 t[6];
	int ret;

	local_irq_save(flags);
	t[0] = bench_now();
	ret = iommu_map(domain, iova, page_to_phys(b->buffer), size,
			IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_ATOMIC);
	t[1] = bench_now();
	iommu_iotlb_gather_init(&gather);
	gather.queued = b->queued;
	t[2] = bench_now();
	unmapped = ret ? size : iommu_unmap_fast(domain, iova, size, &gather);
	t[3] = bench_now();
	t[4] = t[3];
	t[5] = t[3] + b->clock;
	if (!b->queued) {
		t[4] = bench_now();
		iommu_iotlb_sync(domain, &gather);
		t[5] = bench_now();
	}
	local_irq_restore(flags);
	bench_sample(b, 0, t[1] - t[0]);
	bench_sample(b, 1, t[3] - t[2]);
	bench_sample(b, 2, t[5] - t[4]);
	return ret ?: unmapped != size ? -EIO : 0;
}

/* floor COUNT SIZE: the same work done by the IOMMU API alone */
static int bench_floor(struct bench *b, char **arg)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);
	unsigned long iova = bench_floor_address(domain);
	u32 count, size, i;
	int ret;

	ret = parse_count_size(arg, &count, &size);
	if (ret)
		return ret;
	if (iommu_iova_to_phys(domain, iova) ||
	    iommu_iova_to_phys(domain, iova + size))
		return -EBUSY;
	/* The neighbour */
	ret = iommu_map(domain, iova, page_to_phys(b->buffer), size,
			IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL);
	if (ret)
		return ret;
	for (i = 0; !ret && i < BENCH_WARM; i++)
		ret = floor_once(b, domain, iova + size, size);
	bench_stat_reset(b);
	for (i = 0; !ret && i < count; i++)
		ret = floor_once(b, domain, iova + size, size);
	iommu_unmap(domain, iova, size);
	bench_stat_say(b, 0, "iommu_map");
	bench_stat_say(b, 1, "iommu_unmap_fast");
	bench_stat_say(b, 2, "iommu_iotlb_sync");
	return ret;
}

/* loop MILLISECONDS SIZE: map and unmap, with all that comes with it */
static int bench_loop(struct bench *b, char **arg)
{
	u64 start, end, done = 0;
	u32 ms, size;
	dma_addr_t addr;
	int ret;

	ret = parse_count_size(arg, &ms, &size);
	if (ret)
		return ret;
	start = ktime_get_ns();
	do {
		addr = bench_map(b, size);
		if (bench_bad(b, addr))
			return -ENOSPC;
		bench_unmap(b, addr, size);
		if (!(++done % 16)) {
			end = ktime_get_ns();
			cond_resched();
		}
	} while (done % 16 || end - start < (u64)ms * NSEC_PER_MSEC);
	bench_say(b, "loop pairs=%llu ns=%llu\n", done, end - start);
	return 0;
}

/* spin MILLISECONDS: nothing, for as long */
static int bench_spin(struct bench *b, char **arg)
{
	u64 start = ktime_get_ns();
	u32 ms;

	if (kstrtou32(arg[0], 0, &ms))
		return -EINVAL;
	while (ktime_get_ns() - start < (u64)ms * NSEC_PER_MSEC)
		cond_resched();
	return 0;
}

/* pages COUNT: what page tables need, with no DMA about it */
static int bench_pages(struct bench *b, char **arg)
{
	struct page *page, *next;
	LIST_HEAD(pages);
	u32 count;

	if (kstrtou32(arg[0], 0, &count))
		return -EINVAL;
	while (count--) {
		page = alloc_page(GFP_ATOMIC | __GFP_ZERO);
		if (!page)
			break;
		list_add(&page->lru, &pages);
		cond_resched();
	}
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		__free_page(page);
		cond_resched();
	}
	return 0;
}

/* trace COUNT SIZE: calls for somebody who looks on from outside (lab/trace) */
static int bench_trace(struct bench *b, char **arg)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);
	unsigned long iova = bench_floor_address(domain);
	dma_addr_t neighbour;
	u32 count, size, i;
	int ret;

	ret = parse_count_size(arg, &count, &size);
	if (ret)
		return ret;
	neighbour = bench_map(b, size);
	ret = bench_bad(b, neighbour) ? -ENOSPC :
		iommu_map(domain, iova, page_to_phys(b->buffer), size,
			  IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL);
	for (i = 0; !ret && i < count; i++) {
		ret = page_once(b, size);
		if (!ret)
			ret = floor_once(b, domain, iova + size, size);
	}
	iommu_unmap(domain, iova, size);
	if (!bench_bad(b, neighbour))
		bench_unmap(b, neighbour, size);
	return ret;
}

const struct bench_command bench_call_commands[] = {
	{ "page", 2, bench_page },
	{ "floor", 2, bench_floor },
	{ "loop", 2, bench_loop },
	{ "spin", 1, bench_spin },
	{ "pages", 1, bench_pages },
	{ "trace", 2, bench_trace },
	{ }
};
