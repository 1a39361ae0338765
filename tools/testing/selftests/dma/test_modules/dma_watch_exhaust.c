// SPDX-License-Identifier: GPL-2.0
/*
 * Address space and memory used up.
 *
 *   fill BITS SIZE KIND     map until it is refused; unmap half of it in no order
 *                           and map again; unmap all and map again
 *   recycle BITS SIZE COUNT map and unmap lists of SIZE bytes, of which no more
 *                           than one or two fit, COUNT times: none is refused
 *   growth FEW MANY SIZE MOST  map and unmap among FEW live mappings and among
 *                           MANY: with MANY it takes MOST percent more at most.
 *                           For machines whose clock counts instructions
 *   drain LIVE SIZE BOUND   unmap as many mappings at once: what follows holds no
 *                           thread up for more than BOUND us at a time. For such
 *                           machines, too
 *   memory KIND AWAY        one allocation after the other fails: each time the
 *                           call succeeds, or fails and leaves nothing behind;
 *                           unmapping allocates nothing. At addresses that are
 *                           AWAY * 40 MiB from where others have just been, so
 *                           that page tables have to be allocated, too
 *
 * Memory that is short is asked for from the layer itself (iommu_dma_ops): the
 * checks of the DMA API, where they are configured, switch themselves off when
 * they cannot allocate. Without its operations, or fault injection, that case is
 * skipped. Scripts have to set up failslab and fail_page_alloc, which decide
 * which allocations count.
 */
#include <linux/dma-map-ops.h>
#include <linux/ktime.h>
#include <linux/log2.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "dma_context.h"
#include "dma_watch_core.h"
#include "dma_watch_ops.h"

#ifdef WATCH_HAVE_OPS
#include <linux/dma-iommu.h>
static const struct dma_map_ops *const watch_dma_ops = &iommu_dma_ops;
#else
static const struct dma_map_ops *const watch_dma_ops;
#endif

/* A list that fills much of a space: of how large pieces */
#define WATCH_PIECE_ORDER	(get_order(SZ_2M))

/* Of one call, at most so many allocations are made to fail. */
#define WATCH_NTH_MAX		400
#define WATCH_NTH_SOME		8

/*
 * So much is held in mappings that new ones need new tables: 40 MiB. Five times
 * that fit below 28 bits, also where a guard is behind each mapping and the next
 * is aligned.
 */
#define WATCH_HELD		80
#define WATCH_MEM_SIZE		SZ_512K
#define WATCH_MEM_ENTRIES	(WATCH_MEM_SIZE / PAGE_SIZE)

/* To get away from other addresses */
#define WATCH_AWAY_MAX		4
#define WATCH_AWAY		40

enum watch_how {
	WATCH_BY_PAGE,
	WATCH_BY_LIST,
	WATCH_BY_COHERENT,
	WATCH_BY_LARGE,
	WATCH_BY_ATOMIC,
};

static const char *const watch_hows[] = {
	"page", "list", "coherent", "large", "atomic",
};

static int watch_how_arg(int argc, char **argv, int n)
{
	return n < argc ? match_string(watch_hows, ARRAY_SIZE(watch_hows),
				       argv[n]) : -EINVAL;
}

/**
 * struct watch_fill - address space used up
 * @watch: the watch
 * @how: by what
 * @size: bytes of a mapping
 * @page: what is mapped
 * @max: entries of the arrays
 * @dma: addresses
 * @cpu: coherent memory
 */
struct watch_fill {
	struct watch *watch;
	enum watch_how how;
	size_t size;
	struct page *page;
	unsigned long max;
	dma_addr_t *dma;
	void **cpu;
};

/* A list of two entries that is one segment. */
static dma_addr_t fill_list(struct watch_fill *fill, dma_addr_t unmap)
{
	struct device *dev = fill->watch->dev;
	struct scatterlist sgl[2];

	sg_init_table(sgl, 2);
	sg_set_page(&sgl[0], fill->page, fill->size / 2, 0);
	sg_set_page(&sgl[1], fill->page, fill->size / 2, 0);
	if (unmap == DMA_MAPPING_ERROR) {
		if (!dma_map_sg(dev, sgl, 2, DMA_TO_DEVICE))
			return DMA_MAPPING_ERROR;
		return sg_dma_address(&sgl[0]);
	}
	sg_dma_address(&sgl[0]) = unmap;
	sg_dma_len(&sgl[0]) = fill->size;
	dma_unmap_sg(dev, sgl, 2, DMA_TO_DEVICE);
	return unmap;
}

static bool fill_map(struct watch_fill *fill, unsigned long i)
{
	struct device *dev = fill->watch->dev;

	switch (fill->how) {
	case WATCH_BY_LIST:
		fill->dma[i] = fill_list(fill, DMA_MAPPING_ERROR);
		break;
	case WATCH_BY_COHERENT:
		/* __GFP_NOWARN would silence what is looked for afterwards. */
		fill->cpu[i] = dma_alloc_coherent(dev, fill->size, &fill->dma[i],
						  GFP_KERNEL);
		return fill->cpu[i];
	default:
		fill->dma[i] = dma_map_page(dev, fill->page, 0, fill->size,
					    DMA_TO_DEVICE);
		/* Tells the DMA API's checks, too, that it was looked at. */
		return !dma_mapping_error(dev, fill->dma[i]);
	}
	return fill->dma[i] != DMA_MAPPING_ERROR;
}

static void fill_unmap(struct watch_fill *fill, unsigned long i)
{
	struct device *dev = fill->watch->dev;

	switch (fill->how) {
	case WATCH_BY_LIST:
		fill_list(fill, fill->dma[i]);
		break;
	case WATCH_BY_COHERENT:
		dma_free_coherent(dev, fill->size, fill->cpu[i], fill->dma[i]);
		break;
	default:
		dma_unmap_page(dev, fill->dma[i], fill->size, DMA_TO_DEVICE);
	}
}

/* Map from entry @n on until it is refused. Return: entries that are mapped. */
static unsigned long fill_up(struct watch_fill *fill, unsigned long n)
{
	u64 limit = dma_get_mask(fill->watch->dev);

	for (; n < fill->max && fill_map(fill, n); n++) {
		if (fill->dma[n] + fill->size - 1 > limit)
			watch_wrong(fill->watch, "above the mask", fill->dma[n]);
		cond_resched();
	}
	return n;
}

static void fill_shuffle(struct watch_fill *fill, unsigned long n)
{
	unsigned long i, j;

	for (i = 0; i < n; i++) {
		j = i + get_random_u32_below(n - i);
		swap(fill->dma[i], fill->dma[j]);
		swap(fill->cpu[i], fill->cpu[j]);
	}
}

/* Unmap the entries from @n on, in no order. */
static void fill_down(struct watch_fill *fill, unsigned long from,
		      unsigned long n)
{
	fill_shuffle(fill, n);
	while (n > from) {
		fill_unmap(fill, --n);
		cond_resched();
	}
}

static int fill_init(struct watch_fill *fill, struct watch *watch,
		     enum watch_how how, unsigned int bits, size_t size)
{
	*fill = (struct watch_fill) { .watch = watch, .how = how, .size = size };
	fill->max = (1UL << bits) / size + 1;
	fill->page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(size));
	fill->dma = kvcalloc(fill->max, sizeof(*fill->dma), GFP_KERNEL);
	fill->cpu = kvcalloc(fill->max, sizeof(*fill->cpu), GFP_KERNEL);
	return fill->page && fill->dma && fill->cpu ? 0 : -ENOMEM;
}

static void fill_free(struct watch_fill *fill)
{
	if (fill->page)
		__free_pages(fill->page, get_order(fill->size));
	kvfree(fill->dma);
	kvfree(fill->cpu);
}

/*
 * Single pages fit to the last one, always. Larger mappings may begin anywhere,
 * so that the ends of what is free do not always add up to one more; but what
 * replaces others that went fits in their places.
 */
static int fill_rounds(struct watch_fill *fill)
{
	unsigned long all, again, rest, fit, lost;
	bool odd = !is_power_of_2(fill->size) || fill->watch->guard;

	/*
	 * A tenth is for other mappings, reserved addresses, and what is left
	 * at an end; and half for being aligned, as large IOMMU pages have to be.
	 */
	fit = (fill->max - 1) * fill->size /
	      (fill->size + fill->watch->guard * watch_granule(fill->watch));
	all = fill_up(fill, 0);
	fill_down(fill, all / 2, all);
	again = fill_up(fill, all / 2);
	fill_down(fill, 0, again);
	rest = fill_up(fill, 0);
	fill_down(fill, 0, rest);
	lost = fill->size == watch_granule(fill->watch) ? 0 : all / 32;
	watch_note("%lu fit of %lu, %lu after half of them went, %lu after all\n",
		   all, fit, again, rest);
	if (all == fill->max || all < fit - fit / (odd ? 2 : 10))
		return -ERANGE;
	return again >= all && rest >= all - lost ? 0 : -ENOSPC;
}

static int watch_op_fill(struct watch *watch, int argc, char **argv)
{
	u64 mask = dma_get_mask(watch->dev);
	unsigned long bits, size;
	struct watch_fill fill;
	int ret, how;

	how = watch_how_arg(argc, argv, 3);
	if (how < 0 || how > WATCH_BY_COHERENT ||
	    watch_arg(argc, argv, 1, 24, &bits) || bits > 32 ||
	    watch_arg(argc, argv, 2, SZ_64K, &size) || size < SZ_4K ||
	    bits < 16 || size > SZ_4M)
		return -EINVAL;
	ret = fill_init(&fill, watch, how, bits, size) ?:
	      dma_set_mask_and_coherent(watch->dev, DMA_BIT_MASK(bits));
	watch_begin(watch);
	if (!ret)
		ret = fill_rounds(&fill);
	dma_set_mask_and_coherent(watch->dev, mask);
	fill_free(&fill);
	return watch_verdict(watch, 0) ?: ret;
}

/*
 * Nothing but what waits for a flush is in the way.
 */

static int watch_op_recycle(struct watch *watch, int argc, char **argv)
{
	unsigned int piece = PAGE_SIZE << WATCH_PIECE_ORDER, i;
	u32 before = atomic_read(&watch->started);
	u64 mask = dma_get_mask(watch->dev);
	unsigned long bits, size, count, n;
	struct scatterlist *sg;
	struct sg_table sgt;
	struct page *page;
	int ret;

	if (watch_arg(argc, argv, 1, 24, &bits) || bits > 32 ||
	    watch_arg(argc, argv, 2, 0, &size) || size < piece ||
	    watch_arg(argc, argv, 3, 100, &count) || size >> bits)
		return -EINVAL;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, WATCH_PIECE_ORDER);
	if (!page)
		return -ENOMEM;
	ret = sg_alloc_table(&sgt, size / piece, GFP_KERNEL);
	if (ret)
		goto free;
	for_each_sgtable_sg(&sgt, sg, i)
		sg_set_page(sg, page, piece, 0);
	watch_begin(watch);
	ret = dma_set_mask_and_coherent(watch->dev, DMA_BIT_MASK(bits));
	for (n = 0; !ret && n < count; n++) {
		ret = dma_map_sgtable(watch->dev, &sgt, DMA_TO_DEVICE,
				      DMA_ATTR_SKIP_CPU_SYNC);
		if (ret)
			break;
		dma_unmap_sgtable(watch->dev, &sgt, DMA_TO_DEVICE,
				  DMA_ATTR_SKIP_CPU_SYNC);
		cond_resched();
	}
	watch_note("%lu of %lu times, %u flushes\n", n, count,
		   atomic_read(&watch->started) - before);
	dma_set_mask_and_coherent(watch->dev, mask);
	sg_free_table(&sgt);
	ret = watch_verdict(watch, 0) ?: ret;
free:
	__free_pages(page, WATCH_PIECE_ORDER);
	return ret;
}

/*
 * Many mappings are live. The layer's operations are called directly: what the
 * checks of the DMA API do does grow.
 */

#define WATCH_GROWTH_ROUNDS	2000

/**
 * struct watch_growth - mappings that live
 * @dev: the device
 * @page: what is mapped
 * @size: bytes of it
 * @dma: addresses
 * @live: how many
 * @total: time of WATCH_GROWTH_ROUNDS unmaps and maps, in ns
 * @longest: the longest of them
 */
struct watch_growth {
	struct device *dev;
	struct page *page;
	size_t size;
	dma_addr_t *dma;
	unsigned long live;
	u64 total;
	u64 longest;
};

static bool growth_map(struct watch_growth *growth, unsigned long i)
{
	growth->dma[i] = watch_dma_ops->map_page(growth->dev, growth->page, 0,
						 growth->size, DMA_TO_DEVICE, 0);
	return growth->dma[i] != DMA_MAPPING_ERROR;
}

static void growth_unmap(struct watch_growth *growth, unsigned long i)
{
	watch_dma_ops->unmap_page(growth->dev, growth->dma[i], growth->size,
				  DMA_TO_DEVICE, 0);
}

static bool growth_fill(struct watch_growth *growth, unsigned long live)
{
	for (; growth->live < live; growth->live++) {
		if (!growth_map(growth, growth->live))
			return false;
		cond_resched();
	}
	return true;
}

/* Replace mappings at random, interrupts off: nobody else is measured. */
static bool growth_replace(struct watch_growth *growth)
{
	unsigned long flags, i;
	unsigned int round;
	bool ok = true;
	u64 took;

	growth->total = 0;
	growth->longest = 0;
	for (round = 0; ok && round < WATCH_GROWTH_ROUNDS; round++) {
		i = get_random_u32_below(growth->live);
		flags = irqs_off_begin();
		took = ktime_get_ns();
		growth_unmap(growth, i);
		ok = growth_map(growth, i);
		took = ktime_get_ns() - took;
		irqs_off_end(flags);
		if (!ok)
			swap(growth->dma[i], growth->dma[--growth->live]);
		growth->total += took;
		growth->longest = max(growth->longest, took);
		cond_resched();
	}
	watch_note("%lu live: %llu ns on average, %llu ns at most\n", growth->live,
		   div_u64(growth->total, WATCH_GROWTH_ROUNDS), growth->longest);
	return ok;
}

static int growth_compare(struct watch_growth *growth, unsigned long few,
			  unsigned long many, unsigned long most)
{
	u64 total;

	/* Once for the caches of the allocators to fill */
	if (!growth_fill(growth, few) || !growth_replace(growth) ||
	    !growth_replace(growth))
		return -ENOMEM;
	total = growth->total;
	if (!growth_fill(growth, many) || !growth_replace(growth))
		return -ENOMEM;
	/* The longest is one of few that make a table, or a slab of extents. */
	return growth->total * 100 > total * (100 + most) ? -ERANGE : 0;
}

static u64 drain_look(u64 before, u64 *longest)
{
	u64 now = ktime_get_ns();

	*longest = max(*longest, now - before);
	return now;
}

/*
 * Nothing but interrupts, and what is done at their end, comes between two looks
 * at the clock; an unmap may, too.
 */
static u64 drain_watch(struct watch_growth *growth)
{
	u64 longest = 0, now, end;

	preempt_off_begin();
	now = ktime_get_ns();
	while (growth->live) {
		growth_unmap(growth, --growth->live);
		now = drain_look(now, &longest);
	}
	end = now + 30 * NSEC_PER_MSEC;
	while (now < end)
		now = drain_look(now, &longest);
	preempt_off_end();
	return longest;
}

static int watch_op_drain(struct watch *watch, int argc, char **argv)
{
	struct watch_growth growth = { .dev = watch->dev };
	u64 mask = dma_get_mask(watch->dev), longest = 0;
	unsigned long live, size, bound;
	int ret = -ENOMEM;

	if (watch_arg(argc, argv, 1, 500, &live) || !live ||
	    watch_arg(argc, argv, 2, SZ_1M, &size) || !size || size > SZ_4M ||
	    watch_arg(argc, argv, 3, 0, &bound))
		return -EINVAL;
	if (!watch_dma_ops)
		return WATCH_SKIP;
	watch_begin(watch);
	growth.size = size;
	growth.page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(size));
	growth.dma = kvcalloc(live, sizeof(*growth.dma), GFP_KERNEL);
	if (growth.page && growth.dma)
		ret = dma_set_mask_and_coherent(watch->dev, DMA_BIT_MASK(32));
	if (!ret && !growth_fill(&growth, live))
		ret = -ENOMEM;
	if (growth.live)
		longest = div_u64(drain_watch(&growth), NSEC_PER_USEC);
	dma_set_mask_and_coherent(watch->dev, mask);
	if (growth.page)
		__free_pages(growth.page, get_order(size));
	kvfree(growth.dma);
	watch_note("a thread held up for %llu us at most\n", longest);
	if (!ret && bound && longest > bound)
		ret = -ETIME;
	return watch_verdict(watch, 0) ?: ret;
}

static int watch_op_growth(struct watch *watch, int argc, char **argv)
{
	struct watch_growth growth = { .dev = watch->dev };
	u64 mask = dma_get_mask(watch->dev);
	unsigned long few, many, most, size;
	int ret = -ENOMEM;

	if (watch_arg(argc, argv, 1, 100, &few) || !few ||
	    watch_arg(argc, argv, 2, 10000, &many) || many < few ||
	    watch_arg(argc, argv, 3, SZ_64K, &size) || !size || size > SZ_4M ||
	    watch_arg(argc, argv, 4, 10, &most))
		return -EINVAL;
	if (!watch_dma_ops)
		return WATCH_SKIP;
	watch_begin(watch);
	growth.page = alloc_pages(GFP_KERNEL | __GFP_ZERO,
				  get_order(size));
	growth.size = size;
	growth.dma = kvcalloc(many, sizeof(*growth.dma), GFP_KERNEL);
	if (growth.page && growth.dma)
		ret = dma_set_mask_and_coherent(watch->dev, DMA_BIT_MASK(32)) ?:
		      growth_compare(&growth, few, many, most);
	while (growth.live) {
		growth_unmap(&growth, --growth.live);
		cond_resched();
	}
	dma_set_mask_and_coherent(watch->dev, mask);
	if (growth.page)
		__free_pages(growth.page, get_order(size));
	kvfree(growth.dma);
	return watch_verdict(watch, 0) ?: ret;
}

/*
 * Memory used up.
 */

#ifdef CONFIG_FAULT_INJECTION

/**
 * struct watch_held - a mapping made while memory was short
 * @dma: where
 * @cpu: coherent memory
 * @sgl: list
 */
struct watch_held {
	dma_addr_t dma;
	void *cpu;
	struct scatterlist *sgl;
};

/**
 * struct watch_memory - a time of short memory
 * @watch: the watch
 * @how: what is mapped
 * @size: bytes
 * @page: what is mapped
 * @away: what keeps others away
 * @nr_away: how many
 * @held: what is held
 * @max: how much can be
 * @n: how many
 * @failures: allocations that failed
 * @refused: calls that did
 */
struct watch_memory {
	struct watch *watch;
	enum watch_how how;
	size_t size;
	struct page *page;
	dma_addr_t away[WATCH_AWAY_MAX * WATCH_AWAY];
	unsigned int nr_away;
	struct watch_held held[WATCH_HELD];
	unsigned int max;
	unsigned int n;
	unsigned long failures;
	unsigned long refused;
};

static bool memory_map(struct watch_memory *mem, struct watch_held *held)
{
	struct device *dev = mem->watch->dev;
	bool atomic = mem->how == WATCH_BY_ATOMIC;

	switch (mem->how) {
	case WATCH_BY_LIST:
		return watch_dma_ops->map_sg(dev, held->sgl, WATCH_MEM_ENTRIES,
					     DMA_TO_DEVICE, 0) > 0;
	case WATCH_BY_COHERENT:
	case WATCH_BY_ATOMIC:
		held->cpu = watch_dma_ops->alloc(dev, mem->size, &held->dma,
			(atomic ? GFP_ATOMIC : GFP_KERNEL) | __GFP_NOWARN, 0);
		return held->cpu;
	default:
		held->dma = watch_dma_ops->map_page(dev, mem->page, 0, mem->size,
						    DMA_TO_DEVICE, 0);
		return held->dma != DMA_MAPPING_ERROR;
	}
}

static void memory_unmap(struct watch_memory *mem, struct watch_held *held)
{
	struct device *dev = mem->watch->dev;

	switch (mem->how) {
	case WATCH_BY_LIST:
		watch_dma_ops->unmap_sg(dev, held->sgl, WATCH_MEM_ENTRIES,
					DMA_TO_DEVICE, 0);
		break;
	case WATCH_BY_COHERENT:
	case WATCH_BY_ATOMIC:
		watch_dma_ops->free(dev, mem->size, held->cpu, held->dma, 0);
		break;
	default:
		watch_dma_ops->unmap_page(dev, held->dma, mem->size,
					  DMA_TO_DEVICE, 0);
	}
}

static void memory_nothing(struct work_struct *work)
{
}

/*
 * Where the kernel keeps account of timers and RCU callbacks, using one takes
 * from a pool of its own, and fills that when it runs low: here, rather than in
 * an unmap. The first time may move a batch from one pool to another.
 */
static void memory_fill_pools(void)
{
	struct work_struct work;
	int i;

	for (i = 0; i < 3; i++) {
		INIT_WORK_ONSTACK(&work, memory_nothing);
		destroy_work_on_stack(&work);
	}
}

/*
 * A streaming mapping is unmapped where nothing can be allocated. An interrupt
 * may empty those pools once more, but not each time.
 */
static void memory_release(struct watch_memory *mem)
{
	bool streaming = mem->how != WATCH_BY_COHERENT &&
			 mem->how != WATCH_BY_ATOMIC;
	unsigned int hits = 0;

	while (mem->n) {
		struct watch_held *held = &mem->held[--mem->n];

		if (!streaming) {
			memory_unmap(mem, held);
			continue;
		}
		preempt_off_begin();
		memory_fill_pools();
		current->fail_nth = 1;
		memory_unmap(mem, held);
		hits = current->fail_nth ? 0 : hits + 1;
		current->fail_nth = 0;
		preempt_off_end();
		if (hits == 3)
			watch_wrong(mem->watch, "unmapping allocates", held->dma);
	}
}

/* Allocation @nth of a call fails; 0: none. Return: whether there was one. */
static bool memory_step(struct watch_memory *mem, unsigned int nth)
{
	struct watch_held *held;
	bool done, hit;
	long before;

	if (mem->n == mem->max)
		memory_release(mem);
	held = &mem->held[mem->n];
	before = atomic_long_read(&mem->watch->mapped);
	current->fail_nth = nth;
	done = memory_map(mem, held);
	hit = nth && !current->fail_nth;
	current->fail_nth = 0;

	mem->n += done;
	mem->failures += hit;
	mem->refused += !done;
	/* Where the device is not coherent, there is a small pool for these. */
	if (!done && !hit && (mem->how != WATCH_BY_ATOMIC ||
			      dev_is_dma_coherent(mem->watch->dev)))
		watch_wrong(mem->watch, "refused without need", nth);
	if (!done && atomic_long_read(&mem->watch->mapped) != before)
		watch_wrong(mem->watch, "refused and still mapped", nth);
	return hit;
}

static void memory_free(struct watch_memory *mem)
{
	int i;

	for (i = 0; i < WATCH_HELD; i++)
		kfree(mem->held[i].sgl);
	while (mem->nr_away)
		watch_dma_ops->unmap_page(mem->watch->dev,
					  mem->away[--mem->nr_away], SZ_1M,
					  DMA_TO_DEVICE, DMA_ATTR_SKIP_CPU_SYNC);
	if (mem->page)
		__free_pages(mem->page, get_order(SZ_1M));
	kvfree(mem);
}

static struct watch_memory *memory_alloc(struct watch *watch, enum watch_how how)
{
	struct watch_memory *mem = kvzalloc(sizeof(*mem), GFP_KERNEL);
	struct scatterlist *sgl;
	int i, j;

	if (!mem)
		return NULL;
	mem->watch = watch;
	mem->how = how;
	mem->size = how == WATCH_BY_LARGE ? SZ_1M : WATCH_MEM_SIZE;
	mem->max = WATCH_HELD * WATCH_MEM_SIZE / mem->size;
	mem->page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(SZ_1M));
	for (i = 0; i < WATCH_HELD; i++) {
		sgl = kcalloc(WATCH_MEM_ENTRIES, sizeof(*sgl), GFP_KERNEL);
		mem->held[i].sgl = sgl;
		if (!sgl || !mem->page) {
			memory_free(mem);
			return NULL;
		}
		sg_init_table(sgl, WATCH_MEM_ENTRIES);
		for (j = 0; j < WATCH_MEM_ENTRIES; j++)
			sg_set_page(&sgl[j], mem->page + WATCH_MEM_ENTRIES - j,
				    PAGE_SIZE, 0);
	}
	return mem;
}

static int memory_go_away(struct watch_memory *mem, unsigned int n)
{
	dma_addr_t dma;

	while (mem->nr_away < n) {
		dma = watch_dma_ops->map_page(mem->watch->dev, mem->page, 0,
					      SZ_1M, DMA_TO_DEVICE,
					      DMA_ATTR_SKIP_CPU_SYNC);
		if (dma == DMA_MAPPING_ERROR)
			return -ENOMEM;
		mem->away[mem->nr_away++] = dma;
	}
	return 0;
}

/* Every allocation of a call, and of enough calls that tables are needed. */
static int memory_rounds(struct watch_memory *mem)
{
	unsigned int call, nth, some = 0;

	for (call = 0; call < mem->max; call++) {
		/* Of calls that make many allocations, not each of them each time */
		bool none = some > WATCH_NTH_SOME && call % 48;

		for (nth = !none; nth < WATCH_NTH_MAX; nth++)
			if (!memory_step(mem, nth))
				break;
		some = max(some, nth);
	}
	memory_release(mem);
	watch_note("%lu allocations failed, %lu calls\n", mem->failures,
		   mem->refused);
	return mem->failures || mem->refused ? 0 : -ENODATA;
}

static int watch_op_memory(struct watch *watch, int argc, char **argv)
{
	int how = watch_how_arg(argc, argv, 1), ret;
	struct watch_memory *mem;
	unsigned long away;
	long before;

	if (how < 0 || watch_arg(argc, argv, 2, 0, &away) ||
	    away > WATCH_AWAY_MAX)
		return -EINVAL;
	if (!watch_dma_ops)
		return WATCH_SKIP;
	mem = memory_alloc(watch, how);
	if (!mem)
		return -ENOMEM;
	watch_begin(watch);
	ret = memory_go_away(mem, away * WATCH_AWAY);
	before = atomic_long_read(&watch->mapped);
	if (!ret)
		ret = memory_rounds(mem);
	if (atomic_long_read(&watch->mapped) != before)
		watch_wrong(watch, "something is left mapped", 0);
	memory_free(mem);
	return watch_verdict(watch, 0) ?: ret;
}

#else
static int watch_op_memory(struct watch *watch, int argc, char **argv)
{
	watch_note("the kernel has no fault injection\n");
	return WATCH_SKIP;
}
#endif

const struct watch_op watch_exhaust_ops[] = {
	{ "fill", watch_op_fill },
	{ "recycle", watch_op_recycle },
	{ "growth", watch_op_growth },
	{ "drain", watch_op_drain },
	{ "memory", watch_op_memory },
	{ }
};
