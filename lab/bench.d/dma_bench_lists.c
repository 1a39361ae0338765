// SPDX-License-Identifier: GPL-2.0
/*
 * Scatterlists: the DMA API's calls, and below them iommu_map_sg() of the same
 * list as the floor.
 *
 * All lists are made of the beginning of the benchmark's buffer. That two pages
 * are not adjacent is checked, not believed: the IOMMU core maps what is
 * adjacent in one go, and the figure would say nothing.
 */
#include <linux/dma-map-ops.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"
#include "dma_bench_whole.h"

/* Not the first: those find page tables and caches empty. */
#define LIST_WARM	32

/* Places are multiplied by it, modulo their number: neighbours part. */
#define LIST_SPREAD	5

/* What is taken as it comes for page tables and bounces of one list */
#define LIST_PAGES	32

/**
 * struct list_kind - what a list is made of
 * @name: it
 * @stride: pages from where one entry begins to where the next place is
 * @offset: bytes before the first entry in its page
 * @length: bytes of each entry
 * @spread: places are not taken in their order
 * @contiguous: it is to become one segment
 * @apart: each begins at @offset
 *
 * Other entries begin in their pages where the one before has ended in its own,
 * so that a segment of all of them is congruent with each.
 */
struct list_kind {
	const char *name;
	unsigned int stride;
	unsigned int offset;
	unsigned int length;
	bool spread;
	bool contiguous;
	bool apart;
};

static const struct list_kind list_kinds[] = {
	{ "scattered", 2, 0, PAGE_SIZE, .spread = true },
	{ "adjacent", 1, 0, PAGE_SIZE },
	{ "merged", 5, PAGE_SIZE / 8, 2 * PAGE_SIZE + PAGE_SIZE / 4,
	  .spread = true },
	{ "odd", 2, PAGE_SIZE / 8 + 8, 3000, .spread = true, .apart = true },
	{ "scattered-contiguous", 2, 0, PAGE_SIZE, .spread = true,
	  .contiguous = true },
	{ "merged-contiguous", 5, PAGE_SIZE / 8, 2 * PAGE_SIZE + PAGE_SIZE / 4,
	  .spread = true, .contiguous = true },
};

/**
 * struct bench_list - a list and how it is mapped
 * @sgt: it
 * @kind: what it is made of
 * @size: bytes
 * @attrs: DMA_ATTR_*
 * @segments: what it was the last time it was mapped
 */
struct bench_list {
	struct sg_table sgt;
	const struct list_kind *kind;
	size_t size;
	unsigned long attrs;
	unsigned int segments;
};

static const struct list_kind *list_kind_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(list_kinds); i++)
		if (!strcmp(list_kinds[i].name, name))
			return &list_kinds[i];
	return NULL;
}

static int list_attrs(struct bench_list *list)
{
	list->attrs = 0;
	if (!list->kind->contiguous)
		return 0;
#ifdef DMA_ATTR_CONTIGUOUS
	list->attrs = DMA_ATTR_CONTIGUOUS;
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}

/* list KIND ENTRIES COUNT, and the like */
static int list_make(struct bench *b, struct bench_list *list, char **arg,
		     u32 *count)
{
	unsigned int offset, place;
	struct scatterlist *sg;
	u32 nents;
	int i, ret;

	list->kind = list_kind_find(arg[0]);
	if (!list->kind || kstrtou32(arg[1], 0, &nents) || !nents ||
	    kstrtou32(arg[2], 0, count) || !*count ||
	    (list->kind->spread && !(nents % LIST_SPREAD)) ||
	    (u64)nents * list->kind->stride << PAGE_SHIFT > BENCH_BUFFER_SIZE)
		return -EINVAL;
	ret = list_attrs(list) ?:
	      sg_alloc_table(&list->sgt, nents, GFP_KERNEL);
	if (ret)
		return ret;
	list->size = 0;
	list->segments = 0;
	for_each_sgtable_sg(&list->sgt, sg, i) {
		place = list->kind->spread ? i * LIST_SPREAD % nents : i;
		offset = list->kind->offset;
		if (!list->kind->apart)
			offset = offset_in_page(offset + list->size);
		sg_set_page(sg, nth_page(b->buffer, place * list->kind->stride),
			    list->kind->length, offset);
		list->size += list->kind->length;
	}
	return 0;
}

/* Pairs of entries of which one ends in the page before the other's first */
static unsigned int list_adjacent(struct bench_list *list)
{
	struct scatterlist *one, *other;
	unsigned int pairs = 0;
	unsigned long after;
	int i, k;

	for_each_sgtable_sg(&list->sgt, one, i) {
		after = PHYS_PFN(sg_phys(one) + one->length - 1) + 1;
		for_each_sgtable_sg(&list->sgt, other, k)
			pairs += PHYS_PFN(sg_phys(other)) == after;
	}
	return pairs;
}

static bool list_map(struct bench *b, struct bench_list *list)
{
	list->segments = dma_map_sg_attrs(b->dev, list->sgt.sgl,
					  list->sgt.orig_nents,
					  DMA_BIDIRECTIONAL, list->attrs);
	return list->segments;
}

static void list_unmap(struct bench *b, struct bench_list *list)
{
	dma_unmap_sg_attrs(b->dev, list->sgt.sgl, list->sgt.orig_nents,
			   DMA_BIDIRECTIONAL, list->attrs);
}

/* Whether a mapped list of whole pages leads to its pages, one after another */
static bool list_leads_there(struct bench *b, struct bench_list *list)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);
	struct scatterlist *segment = list->sgt.sgl, *sg;
	unsigned int used = 0, done;
	phys_addr_t phys;
	int i;

	for_each_sgtable_sg(&list->sgt, sg, i) {
		for (done = 0; done < sg->length; done += PAGE_SIZE) {
			if (used == sg_dma_len(segment)) {
				segment = sg_next(segment);
				used = 0;
			}
			phys = iommu_iova_to_phys(domain,
						  sg_dma_address(segment) + used);
			if (phys != sg_phys(sg) + done)
				return false;
			used += PAGE_SIZE;
		}
	}
	return used == sg_dma_len(segment);
}

static int list_check(struct bench *b, struct bench_list *list)
{
	int ret = 0;

	if (!list_map(b, list))
		return -ENOSPC;
	if (list->kind->contiguous && list->segments != 1)
		ret = -EIO;
	else if (!list->kind->offset && !list_leads_there(b, list))
		ret = -EIO;
	list_unmap(b, list);
	bench_note_unmap(b);
	return ret;
}

static int list_once(struct bench *b, struct bench_list *list)
{
	struct scatterlist *sgl = list->sgt.sgl;
	unsigned int nents = list->sgt.orig_nents, i;
	unsigned long flags;
	bool alone;
	u64 t[8];

	bench_stock_up(LIST_PAGES);
	alone = bench_alone(&flags);
	t[0] = bench_now();
	list_map(b, list);
	t[1] = bench_now();
	if (!list->segments) {
		bench_alone_end(alone, flags);
		return -ENOSPC;
	}
	t[2] = bench_now();
	dma_sync_sg_for_cpu(b->dev, sgl, nents, DMA_BIDIRECTIONAL);
	t[3] = bench_now();
	t[4] = bench_now();
	dma_sync_sg_for_device(b->dev, sgl, nents, DMA_BIDIRECTIONAL);
	t[5] = bench_now();
	t[6] = bench_now();
	list_unmap(b, list);
	t[7] = bench_now();
	bench_note_unmap(b);
	bench_alone_end(alone, flags);
	for (i = 0; i < ARRAY_SIZE(t) / 2; i++)
		bench_sample(b, i, t[2 * i + 1] - t[2 * i]);
	return 0;
}

static int list_run(struct bench *b, struct bench_list *list, u32 count)
{
	dma_addr_t neighbour;
	int ret;
	u32 i;

	ret = list_check(b, list);
	if (ret)
		return ret;
	neighbour = bench_map(b, PAGE_SIZE);
	if (bench_bad(b, neighbour))
		return -ENOSPC;
	for (i = 0; !ret && i < LIST_WARM; i++)
		ret = list_once(b, list);
	bench_stat_reset(b);
	for (i = 0; !ret && i < count; i++)
		ret = list_once(b, list);
	bench_unmap(b, neighbour, PAGE_SIZE);
	return ret;
}

/* list KIND ENTRIES COUNT: map, hand to and fro, and unmap */
static int bench_list(struct bench *b, char **arg)
{
	struct bench_list list;
	u32 count;
	int ret;

	ret = list_make(b, &list, arg, &count);
	if (ret)
		return ret;
	ret = list_run(b, &list, count);
	bench_say(b, "list entries=%u bytes=%zu adjacent=%u segments=%u\n",
		  list.sgt.orig_nents, list.size, list_adjacent(&list),
		  list.segments);
	bench_stat_say(b, 0, "map");
	bench_stat_say(b, 1, "sync_for_cpu");
	bench_stat_say(b, 2, "sync_for_device");
	bench_stat_say(b, 3, "unmap");
	sg_free_table(&list.sgt);
	return ret;
}

static int list_floor_once(struct bench *b, struct bench_list *list,
			   struct iommu_domain *domain, unsigned long iova)
{
	struct iommu_iotlb_gather gather;
	int prot = bench_floor_prot(b);
	size_t unmapped = 0;
	unsigned long flags;
	ssize_t mapped;
	u64 t[6];

	bench_stock_up(LIST_PAGES);
	local_irq_save(flags);
	t[0] = bench_now();
	mapped = iommu_map_sg(domain, iova, list->sgt.sgl,
			      list->sgt.orig_nents, prot, GFP_ATOMIC);
	t[1] = bench_now();
	iommu_iotlb_gather_init(&gather);
	gather.queued = b->queued;
	t[2] = bench_now();
	if (mapped > 0)
		unmapped = iommu_unmap_fast(domain, iova, mapped, &gather);
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
	return mapped == list->size && unmapped == list->size ? 0 : -EIO;
}

static int list_floor_run(struct bench *b, struct bench_list *list, u32 count)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);
	unsigned long iova = bench_floor_address(domain);
	int ret;
	u32 i;

	/* What begins inside a page can be mapped by nobody but the DMA API. */
	if (list->kind->offset)
		return -EINVAL;
	if (iommu_iova_to_phys(domain, iova) ||
	    iommu_iova_to_phys(domain, iova + PAGE_SIZE))
		return -EBUSY;
	/* The neighbour */
	ret = iommu_map(domain, iova, page_to_phys(b->buffer), PAGE_SIZE,
			bench_floor_prot(b), GFP_KERNEL);
	if (ret)
		return ret;
	for (i = 0; !ret && i < LIST_WARM; i++)
		ret = list_floor_once(b, list, domain, iova + PAGE_SIZE);
	bench_stat_reset(b);
	for (i = 0; !ret && i < count; i++)
		ret = list_floor_once(b, list, domain, iova + PAGE_SIZE);
	iommu_unmap(domain, iova, PAGE_SIZE);
	return ret;
}

/* listfloor KIND ENTRIES COUNT: the same work done by the IOMMU API alone */
static int bench_list_floor(struct bench *b, char **arg)
{
	struct bench_list list;
	u32 count;
	int ret;

	ret = list_make(b, &list, arg, &count);
	if (ret)
		return ret;
	ret = list_floor_run(b, &list, count);
	bench_stat_say(b, 0, "iommu_map_sg");
	bench_stat_say(b, 1, "iommu_unmap_fast");
	bench_stat_say(b, 2, "iommu_iotlb_sync");
	sg_free_table(&list.sgt);
	return ret;
}

/**
 * struct list_whole - a list that comes and goes
 * @list: it
 * @domain: the device's
 * @iova: where the IOMMU API maps it
 */
struct list_whole {
	struct bench_list list;
	struct iommu_domain *domain;
	unsigned long iova;
};

static int step_list(struct bench *b, void *data)
{
	struct list_whole *l = data;

	if (!l)
		return 0;
	if (!list_map(b, &l->list))
		return -ENOSPC;
	list_unmap(b, &l->list);
	return 0;
}

static int step_list_floor(struct bench *b, void *data)
{
	struct list_whole *l = data;
	ssize_t mapped;

	if (!l)
		return 0;
	mapped = iommu_map_sg(l->domain, l->iova, l->list.sgt.sgl,
			      l->list.sgt.orig_nents, bench_floor_prot(b),
			      GFP_ATOMIC);
	return mapped != l->list.size ? -EIO :
	       bench_floor_unmap(b, l->domain, l->iova, mapped);
}

static int list_whole(struct bench *b, char **arg,
		      int (*step)(struct bench *b, void *data))
{
	struct list_whole l = { .domain = iommu_get_domain_for_dev(b->dev) };
	struct bench_whole whole = { .step = step, .real = &l, .pairs = 1 };
	int ret;

	if (kstrtou32(arg[3], 0, &whole.ms))
		return -EINVAL;
	ret = list_make(b, &l.list, arg, &whole.count);
	if (ret)
		return ret;
	l.iova = bench_floor_address(l.domain);
	whole.warm = whole.count;
	ret = list_check(b, &l.list) ?: bench_whole(b, &whole);
	bench_say(b, "list entries=%u bytes=%zu adjacent=%u segments=%u\n",
		  l.list.sgt.orig_nents, l.list.size, list_adjacent(&l.list),
		  l.list.segments);
	sg_free_table(&l.list.sgt);
	return ret;
}

/*
 * listallin KIND ENTRIES COUNT MILLISECONDS: map and unmap, with all that it
 * causes
 */
static int bench_list_whole(struct bench *b, char **arg)
{
	return list_whole(b, arg, step_list);
}

/* listallinfloor ...: the same work done by the IOMMU API alone */
static int bench_list_whole_floor(struct bench *b, char **arg)
{
	return list_whole(b, arg, step_list_floor);
}

/* listtrace KIND ENTRIES COUNT: calls for lab/trace to look at */
static int bench_list_trace(struct bench *b, char **arg)
{
	struct bench_list list;
	u32 count;
	int ret;

	ret = list_make(b, &list, arg, &count);
	if (ret)
		return ret;
	ret = list_run(b, &list, count);
	if (!ret && !list.kind->offset)
		ret = list_floor_run(b, &list, count);
	sg_free_table(&list.sgt);
	return ret;
}

const struct bench_command bench_list_commands[] = {
	{ "list", 3, bench_list },
	{ "listfloor", 3, bench_list_floor },
	{ "listallin", 4, bench_list_whole },
	{ "listallinfloor", 4, bench_list_whole_floor },
	{ "listtrace", 3, bench_list_trace },
	{ }
};
