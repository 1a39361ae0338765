// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that map and unmap while the rules are watched.
 *
 *   load SECONDS THREADS KINDS [BOUND]  pages, lists, coherent memory or all of
 *                                       them; a window of BOUND us at most
 *   idle COUNT [BOUND]                  the same with one unmap at a time, and
 *                                       nothing else going on
 *   start THREADS KINDS; stop [BOUND]   the load while a script does other things
 *   rate SECONDS MOST                   flushes per second of a single-page loop
 *   tables COUNT                        page tables left over by large unmaps
 */
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "dma_context.h"
#include "dma_watch_core.h"
#include "dma_watch_ops.h"

#define WATCH_SLOTS	32
#define WATCH_ORDER	5	/* of the largest piece of pages */
#define WATCH_ENTRIES	24	/* in the longest list */
#define WATCH_LIST_MAX	1024	/* in a list that fills page tables */

enum watch_kind {
	WATCH_PAGE,
	WATCH_LIST,
	WATCH_COHERENT,
	WATCH_KINDS,
};

static const char *const watch_kinds[] = { "page", "list", "coherent", "all" };

/**
 * struct watch_slot - a mapping of a thread
 * @live: it is mapped
 * @kind: what it is
 * @dma: where; for a list, of its only or first segment
 * @size: bytes
 * @cpu: coherent memory
 * @nents: entries of the list
 * @sgl: the list
 */
struct watch_slot {
	bool live;
	enum watch_kind kind;
	dma_addr_t dma;
	size_t size;
	void *cpu;
	int nents;
	struct scatterlist sgl[WATCH_ENTRIES];
};

/**
 * struct watch_load - a thread
 * @watch: the watch
 * @task: the thread, if it is one of its own
 * @self: what the watch knows of it
 * @kinds: what it maps, a mask
 * @maps: how often it did
 * @refused: how often it could not
 * @memory: 2^WATCH_ORDER pages; every page of it may be mapped many times
 * @slots: its mappings
 */
struct watch_load {
	struct watch *watch;
	struct task_struct *task;
	struct watch_task *self;
	unsigned int kinds;
	unsigned long maps;
	unsigned long refused;
	struct page *memory;
	struct watch_slot slots[WATCH_SLOTS];
};

static struct watch_load *watch_loads[WATCH_TASKS];

static enum watch_kind watch_choose(const struct watch_load *load)
{
	enum watch_kind kind;

	do
		kind = get_random_u32_below(WATCH_KINDS);
	while (!(load->kinds & BIT(kind)));
	return kind;
}

/*
 * One mapping of each kind. Towards the device only, so that the same page may
 * be mapped many times.
 */

static int watch_map_page(struct watch_load *load, struct watch_slot *slot)
{
	slot->size = PAGE_SIZE * (1 + get_random_u32_below(1 << WATCH_ORDER));
	slot->dma = dma_map_page(load->watch->dev, load->memory, 0, slot->size,
				 DMA_TO_DEVICE);
	return dma_mapping_error(load->watch->dev, slot->dma);
}

/* From the last page to the first, so that no two entries are adjacent. */
static int watch_map_list(struct watch_load *load, struct watch_slot *slot)
{
	int i;

	slot->nents = 1 + get_random_u32_below(WATCH_ENTRIES);
	slot->size = slot->nents * PAGE_SIZE;
	sg_init_table(slot->sgl, slot->nents);
	for (i = 0; i < slot->nents; i++)
		sg_set_page(&slot->sgl[i],
			    load->memory + (1 << WATCH_ORDER) - 1 - i,
			    PAGE_SIZE, 0);
	i = dma_map_sg(load->watch->dev, slot->sgl, slot->nents, DMA_TO_DEVICE);
	if (!i)
		return -EIO;
	slot->dma = sg_dma_address(slot->sgl);
	return 0;
}

static int watch_map_coherent(struct watch_load *load, struct watch_slot *slot)
{
	gfp_t gfp = get_random_u32_below(4) ? GFP_KERNEL : GFP_ATOMIC;
	struct device *dev = load->watch->dev;

	slot->size = PAGE_SIZE * (1 + get_random_u32_below(8));
	slot->cpu = dma_alloc_coherent(dev, slot->size, &slot->dma,
				       gfp | __GFP_NOWARN);
	/* The pool for who must not sleep is refilled when it has run out. */
	if (!slot->cpu && gfp == GFP_ATOMIC && !dev_is_dma_coherent(dev))
		slot->cpu = dma_alloc_coherent(dev, slot->size, &slot->dma,
					       GFP_KERNEL | __GFP_NOWARN);
	return slot->cpu ? 0 : -ENOMEM;
}

static int watch_map(struct watch_load *load, struct watch_slot *slot)
{
	switch (slot->kind) {
	case WATCH_PAGE:
		return watch_map_page(load, slot);
	case WATCH_LIST:
		return watch_map_list(load, slot);
	default:
		return watch_map_coherent(load, slot);
	}
}

static void watch_unmap(struct watch_load *load, struct watch_slot *slot)
{
	struct device *dev = load->watch->dev;

	switch (slot->kind) {
	case WATCH_PAGE:
		dma_unmap_page(dev, slot->dma, slot->size, DMA_TO_DEVICE);
		break;
	case WATCH_LIST:
		dma_unmap_sg(dev, slot->sgl, slot->nents, DMA_TO_DEVICE);
		break;
	default:
		dma_free_coherent(dev, slot->size, slot->cpu, slot->dma);
	}
	watch_returned(load->watch, load->self);
}

/* Does each granule lead to its memory, and is there room behind the last? */
static void watch_verify(struct watch_load *load, struct watch_slot *slot)
{
	struct watch *watch = load->watch;
	phys_addr_t phys = page_to_phys(load->memory), want, got;
	unsigned long g;
	size_t pos;

	for (pos = 0; pos < slot->size; pos += PAGE_SIZE) {
		got = iommu_iova_to_phys(watch->domain, slot->dma + pos);
		want = slot->kind == WATCH_COHERENT ? got :
		       slot->kind == WATCH_PAGE ? phys + pos :
		       phys + (PAGE_SIZE << WATCH_ORDER) - PAGE_SIZE - pos;
		/* More than one segment is told by the tests of lists. */
		if (slot->kind == WATCH_LIST && pos >= sg_dma_len(slot->sgl))
			break;
		if (!got || got != want)
			watch_wrong(watch, "leads elsewhere", slot->dma + pos);
	}
	for (g = 0; g < watch->guard; g++)
		if (watch_is_mapped(watch, ((slot->dma + slot->size - 1) >>
					    watch->shift) +
						   1 + g))
			watch_wrong(watch, "no guard behind", slot->dma);
}

/* Map or unmap one slot; now and then with interrupts off, as drivers do. */
static void watch_step(struct watch_load *load, struct watch_slot *slot)
{
	bool irqs_off = !get_random_u32_below(4);
	unsigned long flags = 0;
	int ret = 0;

	if (!slot->live)
		slot->kind = watch_choose(load);
	else
		watch_verify(load, slot);
	irqs_off &= slot->kind != WATCH_COHERENT;
	if (irqs_off)
		flags = irqs_off_begin();
	if (slot->live)
		watch_unmap(load, slot);
	else
		ret = watch_map(load, slot);
	if (irqs_off)
		irqs_off_end(flags);
	if (slot->live) {
		slot->live = false;
		return;
	}
	load->maps++;
	slot->live = !ret;
	if (ret)
		load->refused++;
	else
		watch_verify(load, slot);
}

static void watch_drop(struct watch_load *load)
{
	int i;

	for (i = 0; i < WATCH_SLOTS; i++)
		if (load->slots[i].live)
			watch_step(load, &load->slots[i]);
}

static int watch_thread(void *data)
{
	struct watch_load *load = data;

	while (!kthread_should_stop()) {
		watch_step(load, &load->slots[get_random_u32_below(WATCH_SLOTS)]);
		cond_resched();
	}
	watch_drop(load);
	return 0;
}

static struct watch_load *watch_load_alloc(struct watch *watch, int i,
					   unsigned int kinds)
{
	struct watch_load *load = kvzalloc(sizeof(*load), GFP_KERNEL);

	if (!load)
		return NULL;
	load->watch = watch;
	load->self = &watch->tasks[i];
	load->kinds = kinds;
	load->memory = alloc_pages(GFP_KERNEL | __GFP_ZERO, WATCH_ORDER);
	if (load->memory)
		return load;
	kvfree(load);
	return NULL;
}

static void watch_load_free(struct watch_load *load)
{
	__free_pages(load->memory, WATCH_ORDER);
	kvfree(load);
}

static int watch_load_start(struct watch *watch, int i, unsigned int kinds)
{
	unsigned int cpu = cpumask_nth(i % num_online_cpus(), cpu_online_mask);
	struct watch_load *load = watch_load_alloc(watch, i, kinds);
	struct task_struct *task;

	if (!load)
		return -ENOMEM;
	task = kthread_create_on_cpu(watch_thread, load, cpu, "dma_watch/%u");
	if (IS_ERR(task)) {
		watch_load_free(load);
		return PTR_ERR(task);
	}
	load->task = task;
	WRITE_ONCE(load->self->task, task);
	watch_loads[i] = load;
	wake_up_process(task);
	return 0;
}

/* Stop all threads. Return: an error if there were none, or one was refused. */
static int watch_load_stop(void)
{
	unsigned long maps = 0, refused = 0;
	int i, n = 0;

	for (i = 0; i < WATCH_TASKS; i++) {
		struct watch_load *load = watch_loads[i];

		if (!load)
			continue;
		watch_loads[i] = NULL;
		/* One that has not run yet has mapped nothing. */
		kthread_stop(load->task);
		WRITE_ONCE(load->self->task, NULL);
		maps += load->maps;
		refused += load->refused;
		watch_load_free(load);
		n++;
	}
	watch_note("%d threads, %lu maps, %lu refused\n", n, maps, refused);
	return !n || !maps ? -ENOENT : refused ? -ENOMEM : 0;
}

/* A script may have forgotten to stop it. */
static void watch_load_abort(struct watch *watch)
{
	watch_load_stop();
}

static int watch_kinds_arg(int argc, char **argv, int n, unsigned int *kinds)
{
	int kind = match_string(watch_kinds, ARRAY_SIZE(watch_kinds),
				n < argc ? argv[n] : "all");

	*kinds = kind == WATCH_KINDS ? BIT(WATCH_KINDS) - 1 : BIT(kind);
	return kind < 0 ? kind : 0;
}

static int watch_op_start(struct watch *watch, int argc, char **argv)
{
	unsigned long threads;
	unsigned int kinds;
	int i, ret = 0;

	if (watch_arg(argc, argv, 1, 4, &threads) || threads > WATCH_TASKS ||
	    watch_kinds_arg(argc, argv, 2, &kinds) || watch_loads[0])
		return -EINVAL;
	watch_begin(watch);
	for (i = 0; !ret && i < threads; i++)
		ret = watch_load_start(watch, i, kinds);
	return ret;
}

static int watch_op_stop(struct watch *watch, int argc, char **argv)
{
	unsigned long bound;
	int ret, verdict;

	if (watch_arg(argc, argv, 1, 0, &bound))
		return -EINVAL;
	ret = watch_load_stop();
	verdict = watch_verdict(watch, bound);
	return verdict ?: ret;
}

/*
 * Deferred means: by flushes, and no unmap has a sync of its own. Strict means
 * that none is put off.
 */
static int watch_check_mode(struct watch *watch, u32 flushes)
{
	long unmaps = atomic_long_read(&watch->unmaps);
	long queued = atomic_long_read(&watch->queued);

	watch_note("%s, %u flushes\n",
		   watch_deferred(watch) ? "deferred" : "strict", flushes);
	if (watch_deferred(watch))
		return queued == unmaps && flushes ? 0 : -EILSEQ;
	return !queued && atomic_long_read(&watch->syncs) ? 0 : -EILSEQ;
}

static int watch_op_load(struct watch *watch, int argc, char **argv)
{
	u32 before = atomic_read(&watch->started);
	unsigned long seconds, bound;
	int ret, stopped;

	if (watch_arg(argc, argv, 1, 2, &seconds) || seconds > 600 ||
	    watch_arg(argc, argv, 4, 0, &bound))
		return -EINVAL;
	ret = watch_op_start(watch, argc - 1, argv + 1);
	if (!ret)
		ssleep(seconds);
	stopped = watch_load_stop();
	return watch_verdict(watch, bound) ?: ret ?: stopped ?:
	       watch_check_mode(watch, atomic_read(&watch->started) - before);
}

/* A load in this very thread, to step by hand. */
static struct watch_load *watch_own(struct watch *watch, unsigned int kinds)
{
	struct watch_load *load;

	if (watch_loads[0])
		return NULL;
	load = watch_load_alloc(watch, 0, kinds);
	if (load)
		WRITE_ONCE(load->self->task, current);
	return load;
}

static void watch_disown(struct watch_load *load)
{
	watch_drop(load);
	WRITE_ONCE(load->self->task, NULL);
	watch_load_free(load);
}

static int watch_op_idle(struct watch *watch, int argc, char **argv)
{
	u32 before = atomic_read(&watch->started);
	unsigned long count, bound, i;
	struct watch_load *load;

	if (watch_arg(argc, argv, 1, 50, &count) || count > 10000 ||
	    watch_arg(argc, argv, 2, 0, &bound))
		return -EINVAL;
	load = watch_own(watch, BIT(WATCH_KINDS) - 1);
	if (!load)
		return -ENOMEM;
	watch_begin(watch);
	for (i = 0; i < count; i++) {
		watch_step(load, &load->slots[0]);
		watch_step(load, &load->slots[0]);
		fsleep(get_random_u32_below(25 * USEC_PER_MSEC));
	}
	watch_disown(load);
	return watch_verdict(watch, bound) ?:
	       watch_check_mode(watch, atomic_read(&watch->started) - before);
}

static int watch_op_rate(struct watch *watch, int argc, char **argv)
{
	unsigned long seconds, most, end, maps = 0, rate;
	u32 before = atomic_read(&watch->started);
	struct device *dev = watch->dev;
	struct page *page;
	dma_addr_t dma;
	u64 start, ms;
	int ret = 0;

	if (watch_arg(argc, argv, 1, 2, &seconds) || !seconds || seconds > 600 ||
	    watch_arg(argc, argv, 2, 110, &most))
		return -EINVAL;
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	watch_begin(watch);
	start = ktime_get_ns();
	end = jiffies + seconds * HZ;
	while (!ret && time_before(jiffies, end)) {
		dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);
		ret = dma_mapping_error(dev, dma);
		if (!ret)
			dma_unmap_page(dev, dma, PAGE_SIZE, DMA_TO_DEVICE);
		maps++;
		cond_resched();
	}
	ms = div_u64(ktime_get_ns() - start, NSEC_PER_MSEC);
	rate = div64_u64((u64)(atomic_read(&watch->started) - before) *
			 MSEC_PER_SEC, ms);
	__free_page(page);
	watch_note("%lu maps in %llu ms, %lu flushes per second, at most %lu\n",
		   maps, ms, rate, most);
	if (rate > most)
		ret = -ERANGE;
	return ret ?: watch_verdict(watch, 0) ?:
	       watch_check_mode(watch, atomic_read(&watch->started) - before);
}

static int watch_large_list(struct watch *watch, struct watch_load *load,
			    struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	for_each_sgtable_sg(sgt, sg, i)
		sg_set_page(sg, load->memory + (i & 1 ? 0 : 2), PAGE_SIZE, 0);
	ret = dma_map_sgtable(watch->dev, sgt, DMA_TO_DEVICE, 0);
	if (ret)
		return ret;
	dma_unmap_sgtable(watch->dev, sgt, DMA_TO_DEVICE, 0);
	watch_returned(watch, load->self);
	return 0;
}

/* Single pages, so many that whole page tables are left over. */
static int watch_op_tables(struct watch *watch, int argc, char **argv)
{
	struct watch_load *load;
	unsigned long count, i;
	struct sg_table sgt;
	int ret = 0, pages;

	if (watch_arg(argc, argv, 1, 8, &count) || count > 1000)
		return -EINVAL;
	if (sg_alloc_table(&sgt, WATCH_LIST_MAX, GFP_KERNEL))
		return -ENOMEM;
	load = watch_own(watch, BIT(WATCH_LIST));
	if (!load) {
		sg_free_table(&sgt);
		return -ENOMEM;
	}
	watch_begin(watch);
	watch_follow(watch);
	for (i = 0; !ret && i < count; i++)
		ret = watch_large_list(watch, load, &sgt);
	watch_disown(load);
	ret = watch_verdict(watch, 0) ?: ret;
	/* The verdict waited for the flushes; freeing may take a while longer. */
	msleep(20);
	pages = watch_unfollow(watch);
	sg_free_table(&sgt);
	watch_note("%d page-table pages\n", pages);
	if (!ret && watch->rule) {
		watch_note("%s\n", watch->rule);
		ret = -EILSEQ;
	}
	return ret ?: pages ? 0 : WATCH_SKIP;
}

const struct watch_op watch_load_ops[] = {
	{ "start", watch_op_start, watch_load_abort },
	{ "stop", watch_op_stop },
	{ "load", watch_op_load },
	{ "idle", watch_op_idle },
	{ "rate", watch_op_rate },
	{ "tables", watch_op_tables },
	{ }
};
