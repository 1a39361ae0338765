// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that map and unmap for a device that does no DMA: one for each CPU, on
 * whatever CPU the scheduler likes, so that it is often another one that unmaps.
 * What they choose comes from the seed.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/freezer.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "dma_soak_load.h"

#define SOAK_SLOTS	48
#define SOAK_PAGES	32U	/* of the memory of a thread; a power of two */
#define SOAK_ORDER	ilog2(SOAK_PAGES)
#define SOAK_ENTRIES	24	/* in the longest list */
#define SOAK_SMALL	2048	/* bytes of the largest small buffer */
#define SOAK_BATCH	64	/* steps from one rest to the next */
#define SOAK_NICE	10

static ulong seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "where all choices come from");

struct soak_counts soak_counts;
unsigned int soak_pace;
bool soak_single;

static atomic64_t soak_seeds;

enum soak_kind {
	SOAK_PAGE,
	SOAK_LIST,
	SOAK_SMALL_BUFFER,
	SOAK_COHERENT,
	SOAK_SCATTERED,
	SOAK_KINDS,
};

/**
 * struct soak_slot - a mapping, or room for one
 * @live: it is mapped
 * @kind: what it is
 * @dma: where; for a list, of its first segment
 * @size: bytes; of a list, of its first segment
 * @from: page of the thread's memory at which it begins, or the last of a list
 * @offset: into the page of @from
 * @nents: entries of the list
 * @cpu: memory that belongs to it alone
 * @sgt: memory that belongs to it alone, in pieces
 * @sgl: the list
 */
struct soak_slot {
	bool live;
	enum soak_kind kind;
	dma_addr_t dma;
	size_t size;
	unsigned int from;
	unsigned int offset;
	int nents;
	void *cpu;
	struct sg_table *sgt;
	struct scatterlist sgl[SOAK_ENTRIES];
};

/**
 * struct soak_thread - a thread
 * @soak: its device
 * @task: itself
 * @random: where its choices come from
 * @memory: pages that are mapped many times, towards the device only
 * @slots: its mappings
 */
struct soak_thread {
	struct soak *soak;
	struct task_struct *task;
	struct rnd_state random;
	struct page *memory;
	struct soak_slot slots[SOAK_SLOTS];
};

/* Another one for each thread, the same ones in the same order */
static u64 soak_seed(void)
{
	return seed * 1000003 + atomic64_inc_return(&soak_seeds);
}

/**
 * soak_wrong() - something is not as it has to be
 * @dev: device
 * @fmt: format, and its arguments
 */
void soak_wrong(struct device *dev, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	atomic_inc(&soak_counts.wrongs);
	va_start(args, fmt);
	vaf.va = &args;
	dev_err_ratelimited(dev, "dma_soak: wrong: %pV", &vaf);
	va_end(args);
}

static u32 soak_below(struct soak_thread *t, u32 end)
{
	return prandom_u32_state(&t->random) % end;
}

static struct device *soak_dev(const struct soak_thread *t)
{
	return &t->soak->pdev->dev;
}

/*
 * One mapping of each kind.
 */

static int soak_map_page(struct soak_thread *t, struct soak_slot *slot)
{
	slot->from = soak_below(t, SOAK_PAGES);
	slot->offset = soak_below(t, 2) ? soak_below(t, PAGE_SIZE) : 0;
	slot->size = PAGE_SIZE - slot->offset;
	if (!soak_below(t, 4))
		slot->size += soak_below(t, SOAK_PAGES - slot->from) * PAGE_SIZE;
	slot->dma = dma_map_page(soak_dev(t), t->memory + slot->from,
				 slot->offset, slot->size, DMA_TO_DEVICE);
	return dma_mapping_error(soak_dev(t), slot->dma);
}

/* From the last page to the first, so that no two entries are adjacent. */
static int soak_map_list(struct soak_thread *t, struct soak_slot *slot)
{
	int i;

	slot->nents = 1 + soak_below(t, SOAK_ENTRIES);
	slot->from = slot->nents - 1 + soak_below(t, SOAK_PAGES - slot->nents);
	slot->offset = 0;
	sg_init_table(slot->sgl, slot->nents);
	for (i = 0; i < slot->nents; i++)
		sg_set_page(&slot->sgl[i], t->memory + slot->from - i,
			    PAGE_SIZE, 0);
	if (!dma_map_sg(soak_dev(t), slot->sgl, slot->nents, DMA_TO_DEVICE))
		return -EIO;
	slot->dma = sg_dma_address(slot->sgl);
	slot->size = sg_dma_len(slot->sgl);
	return 0;
}

/* Memory of its own, as the device may write to it; where need be bounced */
static int soak_map_small(struct soak_thread *t, struct soak_slot *slot)
{
	int ret;

	slot->size = 1 + soak_below(t, SOAK_SMALL);
	slot->cpu = kmalloc(slot->size, GFP_KERNEL | __GFP_NOWARN);
	if (!slot->cpu)
		return -ENOMEM;
	slot->dma = dma_map_single(soak_dev(t), slot->cpu, slot->size,
				   DMA_BIDIRECTIONAL);
	ret = dma_mapping_error(soak_dev(t), slot->dma);
	if (ret)
		kfree(slot->cpu);
	return ret;
}

static int soak_map_coherent(struct soak_thread *t, struct soak_slot *slot)
{
	gfp_t gfp = soak_below(t, 4) ? GFP_KERNEL : GFP_ATOMIC;

	slot->size = PAGE_SIZE * (1 + soak_below(t, 8));
	slot->cpu = dma_alloc_coherent(soak_dev(t), slot->size, &slot->dma,
				       gfp | __GFP_NOWARN);
	return slot->cpu ? 0 : -ENOMEM;
}

static int soak_map_scattered(struct soak_thread *t, struct soak_slot *slot)
{
	slot->size = PAGE_SIZE * (1 + soak_below(t, 160));
	slot->sgt = dma_alloc_noncontiguous(soak_dev(t), slot->size,
					    DMA_BIDIRECTIONAL,
					    GFP_KERNEL | __GFP_NOWARN, 0);
	if (!slot->sgt)
		return -ENOMEM;
	slot->dma = sg_dma_address(slot->sgt->sgl);
	return 0;
}

static int (*const soak_mappers[])(struct soak_thread *t,
				   struct soak_slot *slot) = {
	[SOAK_PAGE] = soak_map_page,
	[SOAK_LIST] = soak_map_list,
	[SOAK_SMALL_BUFFER] = soak_map_small,
	[SOAK_COHERENT] = soak_map_coherent,
	[SOAK_SCATTERED] = soak_map_scattered,
};

static void soak_unmap(struct soak_thread *t, struct soak_slot *slot)
{
	struct device *dev = soak_dev(t);

	switch (slot->kind) {
	case SOAK_PAGE:
		dma_unmap_page(dev, slot->dma, slot->size, DMA_TO_DEVICE);
		break;
	case SOAK_LIST:
		dma_unmap_sg(dev, slot->sgl, slot->nents, DMA_TO_DEVICE);
		break;
	case SOAK_SMALL_BUFFER:
		dma_unmap_single(dev, slot->dma, slot->size, DMA_BIDIRECTIONAL);
		kfree(slot->cpu);
		break;
	case SOAK_COHERENT:
		dma_free_coherent(dev, slot->size, slot->cpu, slot->dma);
		break;
	default:
		dma_free_noncontiguous(dev, slot->size, slot->sgt,
				       DMA_BIDIRECTIONAL);
	}
}

/* Where byte @pos of a mapping has to lead; 0: anywhere but nowhere */
static phys_addr_t soak_leads(struct soak_thread *t, struct soak_slot *slot,
			      size_t pos)
{
	switch (slot->kind) {
	case SOAK_PAGE:
		return page_to_phys(t->memory + slot->from) + slot->offset + pos;
	case SOAK_LIST:
		return page_to_phys(t->memory + slot->from - pos / PAGE_SIZE) +
		       pos % PAGE_SIZE;
	default:
		return 0;
	}
}

/* The first byte, the last and one in between: is each at its place? */
static void soak_verify(struct soak_thread *t, struct soak_slot *slot,
			const char *when)
{
	size_t at[] = { 0, slot->size - 1, soak_below(t, slot->size) };
	int i;

	if (!t->soak->domain)
		return;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		phys_addr_t want = soak_leads(t, slot, at[i]);
		phys_addr_t got = iommu_iova_to_phys(t->soak->domain,
						     slot->dma + at[i]);

		if (!got || (want && got != want))
			soak_wrong(soak_dev(t),
				   "%s, kind %d, byte %zu of %zu at %pad leads to %pa, should be %pa\n",
				   when, slot->kind, at[i], slot->size,
				   &slot->dma, &got, &want);
	}
}

static void soak_drop(struct soak_thread *t, struct soak_slot *slot)
{
	soak_verify(t, slot, "before unmap");
	soak_unmap(t, slot);
	slot->live = false;
	if (t->soak->domain)
		atomic64_inc(&soak_counts.unmaps);
}

static void soak_make(struct soak_thread *t, struct soak_slot *slot)
{
	/* Most mappings of real drivers are pages and lists. */
	slot->kind = soak_below(t, 3) ? soak_below(t, SOAK_SMALL_BUFFER) :
					soak_below(t, SOAK_KINDS);
	if (soak_mappers[slot->kind](t, slot)) {
		atomic64_inc(&soak_counts.refused);
		return;
	}
	slot->live = true;
	atomic64_inc(t->soak->domain ? &soak_counts.maps : &soak_counts.direct);
	soak_verify(t, slot, "after map");
}

/* A page, mapped and unmapped: what a rate is told of. */
static void soak_one_page(struct soak_thread *t)
{
	struct device *dev = soak_dev(t);
	dma_addr_t dma;

	dma = dma_map_page(dev, t->memory, 0, PAGE_SIZE, DMA_TO_DEVICE);
	if (dma_mapping_error(dev, dma)) {
		atomic64_inc(&soak_counts.refused);
		return;
	}
	dma_unmap_page(dev, dma, PAGE_SIZE, DMA_TO_DEVICE);
	if (t->soak->domain) {
		atomic64_inc(&soak_counts.maps);
		atomic64_inc(&soak_counts.unmaps);
	}
}

static void soak_step(struct soak_thread *t)
{
	struct soak_slot *slot = &t->slots[soak_below(t, SOAK_SLOTS)];

	if (READ_ONCE(soak_single))
		soak_one_page(t);
	else if (slot->live)
		soak_drop(t, slot);
	else
		soak_make(t, slot);
}

static int soak_thread(void *data)
{
	struct soak_thread *t = data;
	unsigned int i, pace;

	set_freezable();
	/* It is a load, not what matters: others go first. */
	set_user_nice(current, SOAK_NICE);
	while (!kthread_should_stop()) {
		try_to_freeze();
		for (i = 0; i < SOAK_BATCH; i++)
			soak_step(t);
		pace = READ_ONCE(soak_pace);
		if (pace)
			usleep_range(pace, pace * 2);
		cond_resched();
	}
	for (i = 0; i < SOAK_SLOTS; i++)
		if (t->slots[i].live)
			soak_drop(t, &t->slots[i]);
	return 0;
}

static void soak_thread_free(struct soak_thread *t)
{
	__free_pages(t->memory, SOAK_ORDER);
	kvfree(t);
}

static int soak_thread_start(struct soak *soak, int i)
{
	struct soak_thread *t = kvzalloc(sizeof(*t), GFP_KERNEL);
	struct task_struct *task;

	if (!t)
		return -ENOMEM;
	t->soak = soak;
	prandom_seed_state(&t->random, soak_seed());
	t->memory = alloc_pages(GFP_KERNEL | __GFP_ZERO, SOAK_ORDER);
	if (!t->memory) {
		kvfree(t);
		return -ENOMEM;
	}
	task = kthread_create(soak_thread, t, "dma_soak/%d", i);
	if (IS_ERR(task)) {
		soak_thread_free(t);
		return PTR_ERR(task);
	}
	t->task = get_task_struct(task);
	soak->threads[i] = t;
	wake_up_process(task);
	return 0;
}

/**
 * soak_load_start() - let the threads of a device run
 * @soak: the device
 *
 * Return: 0 if at least one runs; the others do not, where memory is short.
 */
int soak_load_start(struct soak *soak)
{
	int i, ret, n = min_t(int, num_online_cpus(), SOAK_THREADS);

	for (i = 0; i < n; i++) {
		ret = soak_thread_start(soak, i);
		if (ret)
			return i ? 0 : ret;
	}
	return 0;
}

/**
 * soak_load_stop() - stop them and unmap all that they have mapped
 * @soak: the device
 */
void soak_load_stop(struct soak *soak)
{
	int i;

	for (i = 0; i < SOAK_THREADS; i++) {
		struct soak_thread *t = soak->threads[i];

		if (!t)
			continue;
		soak->threads[i] = NULL;
		kthread_stop(t->task);
		put_task_struct(t->task);
		soak_thread_free(t);
	}
}
