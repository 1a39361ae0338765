// SPDX-License-Identifier: GPL-2.0
/*
 * All that mappings cost, by the order in which they come and go, and what coherent
 * memory costs. The same is done by the IOMMU API alone, as the floor: each slot
 * then has an address of its own, which nobody has to find. These unmaps are not
 * told to "flushes": that would be counted, too.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "dma_bench_commands.h"
#include "dma_bench_whole.h"

#define ALLIN_SEED	0x1e5

/* What a network card gets, and gives back, at a time */
#define ALLIN_BATCH	64

struct allin;

/**
 * struct allin_calls - who maps
 * @map: map a slot; returns 0 or an error
 * @unmap: unmap it; returns 0 or an error
 */
struct allin_calls {
	int (*map)(struct bench *b, struct allin *a, struct bench_slot *slot);
	int (*unmap)(struct bench *b, struct allin *a, struct bench_slot *slot);
};

/**
 * struct allin - mappings that come and go
 * @calls: who maps them
 * @domain: the device's
 * @size: bytes of each
 * @live: how many there are, or are at most
 * @oldest: the slot to be replaced next, where they are replaced in turn
 */
struct allin {
	const struct allin_calls *calls;
	struct iommu_domain *domain;
	u32 size;
	u32 live;
	u32 oldest;
};

/**
 * struct allin_pattern - in which order they come and go
 * @name: of the pattern
 * @step: see struct bench_whole; its data is a struct allin
 * @pairs: in a step; 0 stands for as many as are live
 * @filled: all are mapped before the first step, and after each
 */
struct allin_pattern {
	const char *name;
	int (*step)(struct bench *b, void *data);
	u32 pairs;
	bool filled;
};

static int dma_map_slot(struct bench *b, struct allin *a,
			struct bench_slot *slot)
{
	slot->addr = bench_map(b, a->size);
	slot->size = a->size;
	return bench_bad(b, slot->addr) ? -ENOSPC : 0;
}

static int dma_unmap_slot(struct bench *b, struct allin *a,
			  struct bench_slot *slot)
{
	dma_unmap_page(b->dev, slot->addr, slot->size, DMA_BIDIRECTIONAL);
	return 0;
}

static const struct allin_calls dma_calls = { dma_map_slot, dma_unmap_slot };

static int iommu_map_slot(struct bench *b, struct allin *a,
			  struct bench_slot *slot)
{
	return iommu_map(a->domain, slot->addr, page_to_phys(b->buffer),
			 a->size, bench_floor_prot(b), GFP_ATOMIC);
}

static int iommu_unmap_slot(struct bench *b, struct allin *a,
			    struct bench_slot *slot)
{
	return bench_floor_unmap(b, a->domain, slot->addr, a->size);
}

static const struct allin_calls iommu_calls = {
	iommu_map_slot, iommu_unmap_slot
};

static int no_call(struct bench *b, struct allin *a, struct bench_slot *slot)
{
	return 0;
}

static const struct allin_calls no_calls = { no_call, no_call };

static int map_range(struct bench *b, struct allin *a, u32 from, u32 to)
{
	int ret = 0;

	for (; !ret && from < to; from++) {
		ret = a->calls->map(b, a, &b->slots[from]);
		cond_resched();
	}
	return ret;
}

static int unmap_range(struct bench *b, struct allin *a, u32 from, u32 to)
{
	int ret = 0;

	for (; !ret && from < to; from++) {
		ret = a->calls->unmap(b, a, &b->slots[from]);
		cond_resched();
	}
	return ret;
}

/* All are mapped, and unmapped in the same order. */
static int step_order(struct bench *b, void *data)
{
	struct allin *a = data;

	return map_range(b, a, 0, a->live) ?: unmap_range(b, a, 0, a->live);
}

/* The oldest is replaced. */
static int step_ring(struct bench *b, void *data)
{
	struct allin *a = data;
	struct bench_slot *slot = &b->slots[a->oldest];

	a->oldest = a->oldest + 1 < a->live ? a->oldest + 1 : 0;
	return a->calls->unmap(b, a, slot) ?: a->calls->map(b, a, slot);
}

/* Any is replaced. */
static int step_random(struct bench *b, void *data)
{
	struct allin *a = data;
	struct bench_slot *slot;

	slot = &b->slots[prandom_u32_state(&b->random) % a->live];
	return a->calls->unmap(b, a, slot) ?: a->calls->map(b, a, slot);
}

/* Any of them, moved to the end one by one, go together and come together. */
static int step_batch(struct bench *b, void *data)
{
	struct allin *a = data;
	u32 i, other, from = a->live - ALLIN_BATCH;

	for (i = a->live; i > from; i--) {
		other = prandom_u32_state(&b->random) % i;
		swap(b->slots[i - 1], b->slots[other]);
	}
	return unmap_range(b, a, from, a->live) ?:
	       map_range(b, a, from, a->live);
}

static const struct allin_pattern patterns[] = {
	{ "order", step_order, 0 },
	{ "ring", step_ring, 1, .filled = true },
	{ "random", step_random, 1, .filled = true },
	{ "batch", step_batch, ALLIN_BATCH, .filled = true },
};

static const struct allin_pattern *pattern_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(patterns); i++)
		if (!strcmp(patterns[i].name, name))
			return &patterns[i];
	return NULL;
}

/* PATTERN SIZE LIVE COUNT MILLISECONDS */
static int allin_parse(struct bench *b, char **arg, struct allin *a,
		       const struct allin_pattern **pattern,
		       struct bench_whole *whole)
{
	u32 pairs;

	*pattern = pattern_find(arg[0]);
	if (!*pattern || kstrtou32(arg[1], 0, &a->size) || !a->size ||
	    a->size > BENCH_BUFFER_SIZE || kstrtou32(arg[2], 0, &a->live) ||
	    !a->live || a->live > BENCH_SLOTS ||
	    kstrtou32(arg[3], 0, &pairs) || kstrtou32(arg[4], 0, &whole->ms))
		return -EINVAL;
	whole->step = (*pattern)->step;
	whole->pairs = (*pattern)->pairs ?: a->live;
	if (whole->pairs > a->live)
		return -EINVAL;
	whole->count = max(1, pairs / whole->pairs);
	/* Old is what has seen a quarter of it replaced. */
	whole->warm = max(whole->count, a->live / 4 / whole->pairs);
	a->domain = iommu_get_domain_for_dev(b->dev);
	a->oldest = 0;
	return 0;
}

/* What is live may be there from the command before. */
static int allin_fill(struct bench *b, struct allin *a,
		      const struct allin_pattern *pattern)
{
	u32 from = b->live;

	if (from > (pattern->filled ? a->live : 0) ||
	    (from && b->slots[0].size != a->size))
		return -EBUSY;
	if (!pattern->filled)
		return 0;
	b->live = a->live;
	return map_range(b, a, from, a->live);
}

static int allin_run(struct bench *b, struct allin *a,
		     const struct allin_pattern *pattern,
		     struct bench_whole *whole)
{
	struct allin empty = *a;
	int ret;

	empty.calls = &no_calls;
	whole->real = a;
	whole->empty = &empty;
	prandom_seed_state(&b->random, ALLIN_SEED);
	ret = allin_fill(b, a, pattern) ?: bench_whole(b, whole);
	/* Some may not be mapped then: leave all to the end of the domain. */
	if (ret)
		b->live = 0;
	return ret;
}

/*
 * allin PATTERN SIZE LIVE COUNT MILLISECONDS: pairs of calls with all that they
 * cause; what is live stays for the next command.
 */
static int bench_allin(struct bench *b, char **arg)
{
	struct allin a = { .calls = &dma_calls };
	const struct allin_pattern *pattern;
	struct bench_whole whole;

	return allin_parse(b, arg, &a, &pattern, &whole) ?:
	       allin_run(b, &a, pattern, &whole);
}

/* allinfloor ...: the same work done by the IOMMU API alone; nothing stays */
static int bench_allin_floor(struct bench *b, char **arg)
{
	struct allin a = { .calls = &iommu_calls };
	const struct allin_pattern *pattern;
	struct bench_whole whole;
	unsigned long iova;
	int ret;
	u32 i;

	ret = allin_parse(b, arg, &a, &pattern, &whole);
	if (ret)
		return ret;
	iova = bench_floor_address(a.domain);
	if (b->live || iommu_iova_to_phys(a.domain, iova))
		return -EBUSY;
	for (i = 0; i < a.live; i++)
		b->slots[i] = (struct bench_slot){
			iova + (u64)i * a.size, a.size };
	ret = allin_run(b, &a, pattern, &whole);
	if (!ret)
		ret = unmap_range(b, &a, 0, b->live);
	b->live = 0;
	return ret;
}

/**
 * struct coherent - memory that comes and goes
 * @domain: the device's
 * @iova: where the IOMMU API maps it
 * @size: bytes
 */
struct coherent {
	struct iommu_domain *domain;
	unsigned long iova;
	u32 size;
};

static int step_coherent(struct bench *b, void *data)
{
	struct coherent *c = data;
	dma_addr_t addr;
	void *cpu;

	if (!c)
		return 0;
	cpu = dma_alloc_coherent(b->dev, c->size, &addr, GFP_KERNEL);
	if (!cpu)
		return -ENOMEM;
	dma_free_coherent(b->dev, c->size, cpu, addr);
	return 0;
}

static int step_coherent_floor(struct bench *b, void *data)
{
	struct coherent *c = data;
	struct page *page;
	int ret;

	if (!c)
		return 0;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(c->size));
	if (!page)
		return -ENOMEM;
	ret = iommu_map(c->domain, c->iova, page_to_phys(page), c->size,
			bench_floor_prot(b), GFP_KERNEL);
	if (!ret)
		ret = bench_floor_unmap(b, c->domain, c->iova, c->size);
	__free_pages(page, get_order(c->size));
	return ret;
}

static int coherent_run(struct bench *b, char **arg,
			int (*step)(struct bench *b, void *data))
{
	struct coherent c = { .domain = iommu_get_domain_for_dev(b->dev) };
	struct bench_whole whole = { .step = step, .real = &c, .pairs = 1 };

	if (kstrtou32(arg[0], 0, &c.size) || !PAGE_ALIGNED(c.size) || !c.size ||
	    c.size > BENCH_BUFFER_SIZE || kstrtou32(arg[1], 0, &whole.count) ||
	    kstrtou32(arg[2], 0, &whole.ms))
		return -EINVAL;
	c.iova = bench_floor_address(c.domain);
	whole.warm = whole.count;
	return bench_whole(b, &whole);
}

/* coherent SIZE COUNT MILLISECONDS: allocate and free, with all that it causes */
static int bench_coherent(struct bench *b, char **arg)
{
	return coherent_run(b, arg, step_coherent);
}

/* coherentfloor ...: the same from the page allocator and the IOMMU API alone */
static int bench_coherent_floor(struct bench *b, char **arg)
{
	return coherent_run(b, arg, step_coherent_floor);
}

const struct bench_command bench_allin_commands[] = {
	{ "allin", 5, bench_allin },
	{ "allinfloor", 5, bench_allin_floor },
	{ "coherent", 3, bench_coherent },
	{ "coherentfloor", 3, bench_coherent_floor },
	{ }
};
