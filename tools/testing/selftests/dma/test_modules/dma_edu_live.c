// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings that live while others come and go.
 *
 * "hold" maps a few pages and keeps them, for the time in which somebody else
 * misuses the device; "held" looks whether the device still reads what is in
 * them. "churn" maps and unmaps on all processors at once, with interrupts on
 * and off, and looks at each translation before it goes. "guard" lets the device
 * run past the end of a mapping that has neighbours.
 */
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "dma_context.h"
#include "dma_edu_core.h"
#include "dma_edu_ops.h"

/* hold: map pages and keep them; held: are they well?; release: unmap. */
static int edu_op_hold(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	int i;

	for (i = 0; i < EDU_HELD; i++) {
		struct edu_held *held = &edu->held[i];

		if (held->page)
			continue;
		held->page = alloc_page(GFP_KERNEL);
		if (!held->page)
			return -ENOMEM;
		edu_fill(page_address(held->page), PAGE_SIZE, 41 + i);
		held->dma = dma_map_page(dev, held->page, 0, PAGE_SIZE,
					 DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, held->dma)) {
			__free_page(held->page);
			held->page = NULL;
			return -ENOMEM;
		}
		edu_note(edu, "held %pad\n", &held->dma);
	}
	return 0;
}

static int edu_op_held(struct edu *edu, int argc, char **argv)
{
	struct iommu_domain *domain = edu_domain(edu);
	u8 *seen = kmalloc(EDU_CHUNK, GFP_KERNEL);
	int i, ret = seen ? 0 : -ENOMEM;

	for (i = 0; !ret && i < EDU_HELD; i++) {
		struct edu_held *held = &edu->held[i];

		if (!held->page)
			ret = -ENOENT;
		else if (domain && iommu_iova_to_phys(domain, held->dma) !=
			 page_to_phys(held->page))
			ret = -EILSEQ;
		/* The device is slow: every other page by its own eyes. */
		if (!ret && !(i & 1))
			ret = edu_read(edu, held->dma, 0, EDU_CHUNK) ?:
			      edu_fetch(edu, seen, EDU_CHUNK) ?:
			      edu_check(edu, "held page", seen, EDU_CHUNK, 41 + i);
		if (ret)
			edu_note(edu, "held page %d at %pad is damaged\n", i,
				 &held->dma);
	}
	kfree(seen);
	return ret;
}

static void edu_held_release(struct edu *edu)
{
	int i;

	for (i = 0; i < EDU_HELD; i++) {
		if (!edu->held[i].page)
			continue;
		dma_unmap_page(edu_dev(edu), edu->held[i].dma, PAGE_SIZE,
			       DMA_BIDIRECTIONAL);
		__free_page(edu->held[i].page);
		edu->held[i].page = NULL;
	}
}

static int edu_op_release(struct edu *edu, int argc, char **argv)
{
	edu_held_release(edu);
	return 0;
}

#define EDU_CHURN_SLOTS	64
#define EDU_CHURN_ORDER	5

/**
 * struct edu_churn - one thread that maps and unmaps
 * @edu: the device
 * @task: the thread
 * @end: when to stop, in jiffies
 * @rounds: how many maps it did
 * @failed: how many were refused
 * @ret: first damage found
 * @bad: where it was
 * @slots: live mappings
 */
struct edu_churn {
	struct edu *edu;
	struct task_struct *task;
	unsigned long end;
	unsigned long rounds;
	unsigned long failed;
	int ret;
	dma_addr_t bad;
	struct edu_churn_slot {
		struct page *page;
		dma_addr_t dma;
		unsigned int order;
		unsigned int pages;
	} slots[EDU_CHURN_SLOTS];
};

static void edu_churn_verify(struct edu_churn *churn, struct edu_churn_slot *slot)
{
	struct iommu_domain *domain = edu_domain(churn->edu);
	phys_addr_t phys = page_to_phys(slot->page);
	unsigned int i;

	for (i = 0; !churn->ret && i < slot->pages; i++) {
		if (iommu_iova_to_phys(domain, slot->dma + i * PAGE_SIZE) ==
		    phys + i * PAGE_SIZE)
			continue;
		churn->ret = -EILSEQ;
		churn->bad = slot->dma + i * PAGE_SIZE;
	}
}

/* Map or unmap one slot; now and then with interrupts off, as drivers do. */
static void edu_churn_step(struct edu_churn *churn, struct edu_churn_slot *slot)
{
	struct device *dev = edu_dev(churn->edu);
	bool irqs_off = !get_random_u32_below(4);
	unsigned long flags = 0;

	if (!slot->page) {
		slot->order = get_random_u32_below(EDU_CHURN_ORDER + 1);
		slot->pages = 1 + get_random_u32_below(1 << slot->order);
		slot->page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN, slot->order);
		if (!slot->page)
			return;
		if (irqs_off)
			flags = irqs_off_begin();
		slot->dma = dma_map_page(dev, slot->page, 0,
					 slot->pages * PAGE_SIZE, DMA_TO_DEVICE);
		if (irqs_off)
			irqs_off_end(flags);
		churn->rounds++;
		if (!dma_mapping_error(dev, slot->dma)) {
			edu_churn_verify(churn, slot);
			return;
		}
		churn->failed++;
	} else {
		edu_churn_verify(churn, slot);
		if (irqs_off)
			flags = irqs_off_begin();
		dma_unmap_page(dev, slot->dma, slot->pages * PAGE_SIZE,
			       DMA_TO_DEVICE);
		if (irqs_off)
			irqs_off_end(flags);
	}
	__free_pages(slot->page, slot->order);
	slot->page = NULL;
}

static int edu_churn_thread(void *data)
{
	struct edu_churn *churn = data;
	int i;

	while (!churn->ret && time_before(jiffies, churn->end)) {
		edu_churn_step(churn, &churn->slots[get_random_u32_below(EDU_CHURN_SLOTS)]);
		cond_resched();
	}
	for (i = 0; i < EDU_CHURN_SLOTS; i++)
		if (churn->slots[i].page)
			edu_churn_step(churn, &churn->slots[i]);
	/* kthread_stop() may come later. */
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 100);
	return churn->ret;
}

static int edu_churn_start(struct edu *edu, struct edu_churn **slot, int i,
			   unsigned long seconds)
{
	struct edu_churn *churn = kvzalloc(sizeof(*churn), GFP_KERNEL);

	if (!churn)
		return -ENOMEM;
	churn->edu = edu;
	churn->end = jiffies + seconds * HZ;
	churn->task = kthread_run(edu_churn_thread, churn, "edu_churn/%d", i);
	if (IS_ERR(churn->task)) {
		kvfree(churn);
		return -ENOMEM;
	}
	*slot = churn;
	return 0;
}

/* churn [SECONDS [THREADS]]: many mappings at once, from every CPU. */
static int edu_op_churn(struct edu *edu, int argc, char **argv)
{
	struct edu_churn *churn[8] = {};
	unsigned long seconds, threads;
	int i, ret = 0;

	if (edu_arg(argc, argv, 1, 2, &seconds) || seconds > 600 ||
	    edu_arg(argc, argv, 2, 4, &threads) || threads > ARRAY_SIZE(churn))
		return -EINVAL;
	if (!edu_domain(edu))
		return EDU_SKIP;
	for (i = 0; !ret && i < threads; i++)
		ret = edu_churn_start(edu, &churn[i], i, seconds);
	ssleep(seconds);
	for (i = 0; i < threads; i++) {
		if (!churn[i])
			continue;
		kthread_stop(churn[i]->task);
		edu_note(edu, "thread %d: %lu maps, %lu refused\n", i,
			 churn[i]->rounds, churn[i]->failed);
		if (churn[i]->ret) {
			edu_note(edu, "thread %d: wrong translation at %pad\n",
				 i, &churn[i]->bad);
			ret = churn[i]->ret;
		}
		if (!ret && churn[i]->failed)
			ret = -ENOMEM;
		kvfree(churn[i]);
	}
	return ret;
}

#define EDU_GUARDED	24
#define EDU_OVERRUN	2048	/* bytes of a transfer, half of it past the end */
#define EDU_UNTOUCHED	0xa5

/* The one whose next neighbour is just behind the guard, or -1 */
static int edu_guard_pick(struct edu *edu, const dma_addr_t *dma, size_t guard,
			  int first, int step)
{
	int i, j;

	for (i = first; i < EDU_GUARDED; i += step)
		for (j = 0; j < EDU_GUARDED; j++)
			if (dma[j] == dma[i] + PAGE_SIZE + guard)
				return i;
	edu_note(edu, "no mapping has another one behind its guard\n");
	return -1;
}

static int edu_guard_apart(struct edu *edu, const dma_addr_t *dma, size_t guard)
{
	int i, j;

	for (i = 0; i < EDU_GUARDED; i++) {
		for (j = 0; j < EDU_GUARDED; j++) {
			if (i == j || dma[j] < dma[i] ||
			    dma[j] - dma[i] >= PAGE_SIZE + guard)
				continue;
			edu_note(edu, "mappings at %pad and %pad have no guard between them\n",
				 &dma[i], &dma[j]);
			return -ERANGE;
		}
	}
	return 0;
}

/* Every other one is coherent memory. */
static int edu_guard_map(struct edu *edu, int i, void **cpu, dma_addr_t *dma)
{
	struct device *dev = edu_dev(edu);

	if (i & 1) {
		cpu[i] = dma_alloc_coherent(dev, PAGE_SIZE, &dma[i], GFP_KERNEL);
		if (!cpu[i])
			return -ENOMEM;
		memset(cpu[i], EDU_UNTOUCHED, PAGE_SIZE);
		return 0;
	}
	cpu[i] = (void *)__get_free_page(GFP_KERNEL);
	if (!cpu[i])
		return -ENOMEM;
	memset(cpu[i], EDU_UNTOUCHED, PAGE_SIZE);
	dma[i] = dma_map_single(dev, cpu[i], PAGE_SIZE, DMA_FROM_DEVICE);
	if (!dma_mapping_error(dev, dma[i]))
		return 0;
	free_page((unsigned long)cpu[i]);
	return -ENOMEM;
}

static void edu_guard_unmap(struct edu *edu, int i, void **cpu, dma_addr_t *dma)
{
	struct device *dev = edu_dev(edu);

	if (i & 1) {
		dma_free_coherent(dev, PAGE_SIZE, cpu[i], dma[i]);
		return;
	}
	dma_unmap_single(dev, dma[i], PAGE_SIZE, DMA_FROM_DEVICE);
	free_page((unsigned long)cpu[i]);
}

/* What was written to is @hit and ends with the pattern; the others are not. */
static int edu_guard_check(struct edu *edu, int i, void *cpu, dma_addr_t dma,
			   bool hit, u8 seed)
{
	size_t whole = PAGE_SIZE - (hit ? EDU_OVERRUN / 2 : 0);
	struct device *dev = edu_dev(edu);
	int ret;

	if (!(i & 1))
		dma_sync_single_for_cpu(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
	ret = edu_check_byte(edu, hit ? "overrun" : "neighbour", cpu, whole,
			     EDU_UNTOUCHED);
	if (!ret && hit)
		ret = edu_check(edu, "end of the overrun mapping", cpu + whole,
				EDU_OVERRUN / 2, seed);
	return ret;
}

/* guard N: the device writes past the end of a mapping with N guard granules. */
static int edu_op_guard(struct edu *edu, int argc, char **argv)
{
	struct iommu_domain *domain = edu_domain(edu);
	dma_addr_t dma[EDU_GUARDED];
	void *cpu[EDU_GUARDED];
	int hit[2] = { -1, -1 };
	unsigned long guard;
	int i, n, ret = 0;

	if (edu_arg(argc, argv, 1, 1, &guard) || !guard)
		return -EINVAL;
	if (!domain)
		return EDU_SKIP;
	guard <<= __ffs(domain->pgsize_bitmap);
	ret = edu_load(edu, 23);
	for (n = 0; !ret && n < EDU_GUARDED; n++)
		ret = edu_guard_map(edu, n, cpu, dma);
	/* The last one was not mapped. */
	n -= !!ret && n;
	if (!ret)
		ret = edu_guard_apart(edu, dma, guard);
	/* A page that was mapped, and memory that was allocated */
	for (i = 0; !ret && i < 2; i++) {
		hit[i] = edu_guard_pick(edu, dma, guard, i, 2);
		ret = hit[i] < 0 ? -ENOENT :
		      edu_write(edu, dma[hit[i]] + PAGE_SIZE - EDU_OVERRUN / 2, 0,
				EDU_OVERRUN);
	}
	for (i = 0; !ret && i < n; i++)
		ret = edu_guard_check(edu, i, cpu[i], dma[i],
				      i == hit[0] || i == hit[1], 23);
	while (n--)
		edu_guard_unmap(edu, n, cpu, dma);
	return ret;
}

const struct edu_op edu_live_ops[] = {
	{ "hold", edu_op_hold, edu_held_release },
	{ "held", edu_op_held },
	{ "release", edu_op_release },
	{ "churn", edu_op_churn },
	{ "guard", edu_op_guard },
	{ }
};
