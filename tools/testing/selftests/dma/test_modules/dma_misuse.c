// SPDX-License-Identifier: GPL-2.0
/*
 * What a bad driver does: mappings of nothing, of too much, out of reach, and
 * unmaps of what is not there.
 *
 * The calls go to the operations of the DMA-IOMMU layer itself
 * (iommu_dma_ops), not through the DMA core: CONFIG_DMA_API_DEBUG would report
 * them before the layer has seen them. On a kernel that does not publish these
 * operations the cases that need them are skipped.
 *
 * No driver is bound for this: the device is named by the parameter "device",
 * and may have a driver with live mappings of its own, which must survive. The
 * module has live mappings too, and looks after each case whether they still
 * lead where they should.
 *
 *   # insmod dma_misuse.ko device=0000:00:05.0
 *   # echo unmap_twice > /sys/kernel/debug/dma_misuse/run
 *   # cat /sys/kernel/debug/dma_misuse/result
 *
 * The expected message of the layer, one line with the device's name, is for
 * the script to look for.
 */
#include <linux/debugfs.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/iommu-dma.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "dma_command.h"

#ifdef MISUSE_HAVE_OPS
#include <linux/dma-iommu.h>
static const struct dma_map_ops *const misuse_ops = &iommu_dma_ops;
#else
static const struct dma_map_ops *const misuse_ops;
#endif

#define MISUSE_SKIP	DMA_COMMAND_SKIP
#define MISUSE_LIVE	16

/* Nothing lives there: the upper end of a 28-bit space, away from the rest. */
#define MISUSE_NOWHERE	0x0a5a5000UL

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "PCI device to misuse, as 0000:00:05.0");

/**
 * struct misuse_live - a mapping that must survive
 * @page: its memory
 * @dma: its address
 */
struct misuse_live {
	struct page *page;
	dma_addr_t dma;
};

/* What scripts ask for; its lock protects all that follows. */
static struct dma_command misuse_command;
static struct pci_dev *misuse_pdev;
static struct device *misuse_dev;
static struct iommu_domain *misuse_domain;
static struct misuse_live misuse_live[MISUSE_LIVE];
static struct dentry *misuse_dir;

static __printf(1, 2) void misuse_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&misuse_command, fmt, args);
	va_end(args);
}

static bool misuse_usable(void)
{
	return misuse_ops && misuse_domain && use_dma_iommu(misuse_dev);
}

/* A call that must be refused with DMA_MAPPING_ERROR. */
static int misuse_refused(const char *what, dma_addr_t dma)
{
	if (dma == DMA_MAPPING_ERROR)
		return 0;
	misuse_note("%s: mapped at %pad, should be refused\n", what, &dma);
	return -EINVAL;
}

static dma_addr_t misuse_map(struct page *page, size_t off, size_t size)
{
	return misuse_ops->map_page(misuse_dev, page, off, size, DMA_TO_DEVICE, 0);
}

static void misuse_unmap(dma_addr_t dma, size_t size)
{
	misuse_ops->unmap_page(misuse_dev, dma, size, DMA_TO_DEVICE, 0);
}

static int misuse_zero(struct page *page)
{
	dma_addr_t dma;
	void *cpu;
	int ret;

	ret = misuse_refused("page of no bytes", misuse_map(page, 0, 0)) ?:
	      misuse_refused("page of no bytes inside", misuse_map(page, 100, 0));
	if (ret)
		return ret;
	dma = misuse_ops->map_resource(misuse_dev, page_to_phys(page), 0,
				       DMA_TO_DEVICE, 0);
	ret = misuse_refused("resource of no bytes", dma);
	if (ret)
		return ret;
	cpu = misuse_ops->alloc(misuse_dev, 0, &dma, GFP_KERNEL | __GFP_NOWARN, 0);
	if (cpu) {
		misuse_note("allocation of no bytes succeeded\n");
		return -EINVAL;
	}
	return 0;
}

static int misuse_overflow(struct page *page)
{
	static const size_t sizes[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - PAGE_SIZE, SIZE_MAX - PAGE_SIZE + 1,
		SIZE_MAX - 16 * PAGE_SIZE + 1, SIZE_MAX / 2 + 1, 1UL << 60, 1UL << 52,
	};
	dma_addr_t dma;
	void *cpu;
	int i, ret = 0;

	for (i = 0; !ret && i < ARRAY_SIZE(sizes); i++) {
		ret = misuse_refused("page", misuse_map(page, 0, sizes[i])) ?:
		      misuse_refused("page inside", misuse_map(page, 8, sizes[i]));
		if (ret)
			break;
		dma = misuse_ops->map_resource(misuse_dev, page_to_phys(page),
					       sizes[i], DMA_TO_DEVICE, 0);
		ret = misuse_refused("resource", dma);
		cpu = misuse_ops->alloc(misuse_dev, sizes[i], &dma,
					GFP_KERNEL | __GFP_NOWARN, 0);
		if (cpu) {
			misuse_note("allocation succeeded\n");
			ret = -EINVAL;
		}
		if (ret)
			misuse_note("size %#zx\n", sizes[i]);
	}
	return ret;
}

/* The end of the physical address space: address plus size wraps. */
static int misuse_wrap(struct page *page)
{
	dma_addr_t dma;

	dma = misuse_ops->map_resource(misuse_dev, ~(phys_addr_t)0 - PAGE_SIZE + 1,
				       2 * PAGE_SIZE, DMA_TO_DEVICE, 0);
	return misuse_refused("resource at the end of everything", dma);
}

/* A mask below the first granule, and one that is soon full. */
static int misuse_mask(struct page *page)
{
	u64 old = dma_get_mask(misuse_dev);
	dma_addr_t *dma;
	int i, ret, n = 0, max = (1 << 24) / PAGE_SIZE + 1;

	*misuse_dev->dma_mask = DMA_BIT_MASK(PAGE_SHIFT - 1);
	ret = misuse_refused("mask of half a page", misuse_map(page, 0, PAGE_SIZE));
	/* The lowest granule is nobody's, so all that is left is below it. */
	*misuse_dev->dma_mask = DMA_BIT_MASK(PAGE_SHIFT);
	ret = ret ?: misuse_refused("mask of one page", misuse_map(page, 0, PAGE_SIZE));
	*misuse_dev->dma_mask = DMA_BIT_MASK(24);
	dma = kvcalloc(max, sizeof(*dma), GFP_KERNEL);
	if (!dma)
		ret = -ENOMEM;
	while (!ret && n < max) {
		dma[n] = misuse_map(page, 0, PAGE_SIZE);
		if (dma[n] == DMA_MAPPING_ERROR)
			break;
		if (dma[n] >> 24)
			ret = misuse_refused("mask of 24 bits", dma[n]);
		n++;
	}
	misuse_note("%d pages fit below 16 MiB\n", n);
	if (!ret && (n == max || n < max / 4))
		ret = -ERANGE;
	for (i = 0; i < n; i++)
		misuse_unmap(dma[i], PAGE_SIZE);
	*misuse_dev->dma_mask = old;
	kvfree(dma);
	if (ret)
		return ret;
	/* And the rest of the address space is none the worse for it. */
	dma = &misuse_live[0].dma;
	misuse_unmap(*dma, PAGE_SIZE);
	*dma = misuse_map(misuse_live[0].page, 0, PAGE_SIZE);
	return *dma == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}

/* Whether @sg, of which @was is a copy, has no DMA address and is as it was else */
static bool misuse_sg_cleared(struct scatterlist *sg, struct scatterlist *was,
			      int n)
{
	struct scatterlist *entry;
	int i;

	for_each_sg(was, entry, n, i) {
		sg_dma_address(entry) = DMA_MAPPING_ERROR;
		sg_dma_len(entry) = 0;
		if (sg_is_last(entry))
			break;
	}
	if (!memcmp(sg, was, n * sizeof(*sg)))
		return true;
	misuse_note("the list is not cleared\n");
	return false;
}

/* Map a list that must be refused. */
static int misuse_sg_refused(const char *what, struct scatterlist *sg, int n)
{
	struct scatterlist *copy = kmemdup(sg, n * sizeof(*sg), GFP_KERNEL);
	int ret = 0, got;

	if (!copy)
		return -ENOMEM;
	got = misuse_ops->map_sg(misuse_dev, sg, n, DMA_TO_DEVICE, 0);
	if (got > 0) {
		misuse_note("%s: %d segments, should be refused\n", what, got);
		misuse_ops->unmap_sg(misuse_dev, sg, n, DMA_TO_DEVICE, 0);
		ret = -EINVAL;
	} else if (got && got != -EINVAL && got != -ENOMEM && got != -EIO) {
		misuse_note("%s: error %d is none of the documented ones\n",
			    what, got);
		ret = -EINVAL;
	} else if (!misuse_sg_cleared(sg, copy, n)) {
		misuse_note("%s\n", what);
		ret = -EINVAL;
	}
	kfree(copy);
	return ret;
}

static int misuse_list(struct page *page)
{
	struct scatterlist sg[4];
	int i, ret;

	sg_init_table(sg, ARRAY_SIZE(sg));
	for (i = 0; i < ARRAY_SIZE(sg); i++)
		sg_set_page(&sg[i], page, PAGE_SIZE, 0);
	ret = misuse_ops->map_sg(misuse_dev, sg, 0, DMA_TO_DEVICE, 0);
	if (ret > 0) {
		misuse_note("a list of no entries gave %d segments\n", ret);
		return -EINVAL;
	}
	for (i = 0; i < ARRAY_SIZE(sg); i++)
		sg[i].length = 0;
	ret = misuse_sg_refused("list of no bytes", sg, ARRAY_SIZE(sg));
	if (ret)
		return ret;

	/* Far more than the device's address space, and than 32 bits count. */
	for (i = 0; i < ARRAY_SIZE(sg); i++)
		sg[i].length = 0xfffff000;
	return misuse_sg_refused("list of 16 GiB", sg, ARRAY_SIZE(sg));
}

static int misuse_direction(struct page *page)
{
	dma_addr_t dma;

	dma = misuse_ops->map_page(misuse_dev, page, 0, PAGE_SIZE, DMA_NONE, 0);
	if (dma == DMA_MAPPING_ERROR)
		return 0;
	/* Mapped without any permission would do no harm either. */
	misuse_note("mapped at %pad in no direction\n", &dma);
	misuse_ops->unmap_page(misuse_dev, dma, PAGE_SIZE, DMA_NONE, 0);
	return -EINVAL;
}

/* Attributes that do not exist, and those that mean nothing for a page. */
static int misuse_attrs(struct page *page)
{
	static const unsigned long attrs[] = {
		BIT(30), BIT(31), ~0UL & ~DMA_ATTR_SKIP_CPU_SYNC,
		DMA_ATTR_NO_KERNEL_MAPPING | DMA_ATTR_FORCE_CONTIGUOUS,
	};
	dma_addr_t dma;
	int i;

	for (i = 0; i < ARRAY_SIZE(attrs); i++) {
		dma = misuse_ops->map_page(misuse_dev, page, 0, PAGE_SIZE,
					   DMA_TO_DEVICE, attrs[i]);
		if (dma != DMA_MAPPING_ERROR)
			misuse_ops->unmap_page(misuse_dev, dma, PAGE_SIZE,
					       DMA_TO_DEVICE, attrs[i]);
	}
	return 0;
}

static int misuse_unmap_nowhere(struct page *page)
{
	if (iommu_iova_to_phys(misuse_domain, MISUSE_NOWHERE)) {
		misuse_note("the test's address is in use\n");
		return MISUSE_SKIP;
	}
	misuse_unmap(MISUSE_NOWHERE, PAGE_SIZE);
	return 0;
}

static int misuse_unmap_twice(struct page *page)
{
	dma_addr_t dma = misuse_map(page, 0, PAGE_SIZE);

	if (dma == DMA_MAPPING_ERROR)
		return -ENOMEM;
	misuse_unmap(dma, PAGE_SIZE);
	misuse_unmap(dma, PAGE_SIZE);
	return 0;
}

/* One that has its place in the tree, not in a chunk */
#define MISUSE_LARGE	(256 * PAGE_SIZE)

static int misuse_large_twice(struct page *unused)
{
	struct page *page = alloc_pages(GFP_KERNEL, get_order(MISUSE_LARGE));
	dma_addr_t dma;

	if (!page)
		return -ENOMEM;
	dma = misuse_map(page, 0, MISUSE_LARGE);
	if (dma != DMA_MAPPING_ERROR) {
		misuse_unmap(dma, MISUSE_LARGE);
		misuse_unmap(dma, MISUSE_LARGE);
	}
	__free_pages(page, get_order(MISUSE_LARGE));
	return dma == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}

/* Memory that was freed is somebody else's: it must not be freed again. */
static int misuse_free_twice(struct page *unused)
{
	dma_addr_t dma;
	void *cpu;

	cpu = misuse_ops->alloc(misuse_dev, 4 * PAGE_SIZE, &dma, GFP_KERNEL, 0);
	if (!cpu)
		return -ENOMEM;
	misuse_ops->free(misuse_dev, 4 * PAGE_SIZE, cpu, dma, 0);
	misuse_ops->free(misuse_dev, 4 * PAGE_SIZE, cpu, dma, 0);
	cpu = misuse_ops->alloc(misuse_dev, 4 * PAGE_SIZE, &dma, GFP_ATOMIC, 0);
	if (!cpu)
		return -ENOMEM;
	misuse_ops->free(misuse_dev, 4 * PAGE_SIZE, cpu, dma, 0);
	misuse_ops->free(misuse_dev, 4 * PAGE_SIZE, cpu, dma, 0);
	return 0;
}

/* Below 16 MiB, where all addresses can be had */
#define MISUSE_FEW	(SZ_16M >> PAGE_SHIFT)

/* Map @page until it is at @addr. Return: how many mappings that took, or an error. */
static int misuse_take(struct page *page, dma_addr_t addr, dma_addr_t *dma)
{
	int n;

	for (n = 0; n < MISUSE_FEW; n++) {
		dma[n] = misuse_map(page, 0, PAGE_SIZE);
		if (dma[n] == addr)
			return n + 1;
		if (dma[n] == DMA_MAPPING_ERROR)
			break;
	}
	misuse_note("nobody got %pad\n", &addr);
	while (n--)
		misuse_unmap(dma[n], PAGE_SIZE);
	return -ENOSPC;
}

/* Memory is freed, somebody else gets its address, and it is freed once more. */
static int misuse_free_as(struct page *page, gfp_t gfp, unsigned long attrs,
			  dma_addr_t *others)
{
	dma_addr_t dma;
	int n, ret = 0;
	void *cpu;

	cpu = misuse_ops->alloc(misuse_dev, PAGE_SIZE, &dma, gfp, attrs);
	if (!cpu)
		return -ENOMEM;
	misuse_ops->free(misuse_dev, PAGE_SIZE, cpu, dma, attrs);
	n = misuse_take(page, dma, others);
	if (n < 0)
		return n;
	misuse_ops->free(misuse_dev, PAGE_SIZE, cpu, dma, attrs);
	if (iommu_iova_to_phys(misuse_domain, dma) != page_to_phys(page)) {
		misuse_note("who has %pad now is hurt\n", &dma);
		ret = -EILSEQ;
	}
	while (n--)
		misuse_unmap(others[n], PAGE_SIZE);
	return ret;
}

static int misuse_free_reused(struct page *page)
{
	u64 coherent = misuse_dev->coherent_dma_mask;
	u64 mask = dma_get_mask(misuse_dev);
	dma_addr_t *others;
	int ret;

	others = kvcalloc(MISUSE_FEW, sizeof(*others), GFP_KERNEL);
	if (!others)
		return -ENOMEM;
	*misuse_dev->dma_mask = DMA_BIT_MASK(24);
	misuse_dev->coherent_dma_mask = DMA_BIT_MASK(24);
	ret = misuse_free_as(page, GFP_KERNEL, 0, others) ?:
	      misuse_free_as(page, GFP_KERNEL, DMA_ATTR_FORCE_CONTIGUOUS, others) ?:
	      misuse_free_as(page, GFP_ATOMIC, 0, others);
	misuse_dev->coherent_dma_mask = coherent;
	*misuse_dev->dma_mask = mask;
	kvfree(others);
	return ret;
}

/* How much of it is to be freed is not known, so none is: it can still be used. */
static int misuse_free_more(struct page *unused)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC };
	dma_addr_t dma;
	void *cpu;
	int i;

	for (i = 0; i < ARRAY_SIZE(gfps); i++) {
		cpu = misuse_ops->alloc(misuse_dev, PAGE_SIZE, &dma, gfps[i], 0);
		if (!cpu)
			return -ENOMEM;
		misuse_ops->free(misuse_dev, 4 * PAGE_SIZE, cpu, dma, 0);
		memset(cpu, 0x5a, PAGE_SIZE);
	}
	return 0;
}

/* After an unmap by two, no address may have become free twice. */
static int misuse_distinct(struct page *page)
{
	dma_addr_t dma[8];
	int i, j, n, ret = 0;

	for (n = 0; n < ARRAY_SIZE(dma); n++) {
		dma[n] = misuse_map(page, 0, PAGE_SIZE);
		if (dma[n] == DMA_MAPPING_ERROR)
			break;
	}
	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			if (dma[i] == dma[j])
				ret = -EEXIST;
	if (ret)
		misuse_note("an address was handed out twice\n");
	else if (n < ARRAY_SIZE(dma))
		ret = -ENOMEM;
	while (!ret && n--)
		misuse_unmap(dma[n], PAGE_SIZE);
	return ret;
}

#define MISUSE_ROUNDS	200

/**
 * struct misuse_race - an unmap by two at once
 * @page: what is mapped
 * @dma: what to unmap
 * @ready: how many are ready for the round; the second begins it
 * @done: how many are through with it
 * @ret: what the one that maps has found
 */
struct misuse_race {
	struct page *page;
	dma_addr_t dma;
	atomic_t ready;
	atomic_t done;
	int ret;
};

static void misuse_race_unmap(struct misuse_race *race, int round)
{
	atomic_inc(&race->ready);
	/* With interrupts on: another processor may wait for this one. */
	while (atomic_read(&race->ready) < 2 * round)
		cpu_relax();
	misuse_unmap(race->dma, PAGE_SIZE);
	atomic_inc(&race->done);
}

static void misuse_race_idle(void)
{
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
}

/* Maps, and unmaps together with the other one. */
static int misuse_race_first(void *data)
{
	struct misuse_race *race = data;
	int round;

	for (round = 1; !race->ret && round <= MISUSE_ROUNDS; round++) {
		race->dma = misuse_map(race->page, 0, PAGE_SIZE);
		if (race->dma == DMA_MAPPING_ERROR) {
			race->ret = -ENOMEM;
			break;
		}
		misuse_race_unmap(race, round);
		while (atomic_read(&race->done) < 2 * round)
			cond_resched();
		race->ret = misuse_distinct(race->page);
	}
	atomic_set(&race->done, INT_MAX);
	misuse_race_idle();
	return 0;
}

static int misuse_race_second(void *data)
{
	struct misuse_race *race = data;
	int round;

	for (round = 1; round <= MISUSE_ROUNDS; round++) {
		while (atomic_read(&race->ready) < 2 * round - 1) {
			if (kthread_should_stop())
				return 0;
			cond_resched();
		}
		misuse_race_unmap(race, round);
	}
	misuse_race_idle();
	return 0;
}

/* Two processors unmap the same mapping: one does, the other is told. */
static int misuse_unmap_race(struct page *page)
{
	int (*const racers[])(void *data) = {
		misuse_race_first, misuse_race_second,
	};
	struct misuse_race race = { .page = page };
	struct task_struct *task[2];
	int i, started = 0;

	if (num_online_cpus() < 2) {
		misuse_note("there is only one processor\n");
		return MISUSE_SKIP;
	}
	for (i = 0; i < 2; i++) {
		task[i] = kthread_create_on_cpu(racers[i], &race,
						cpumask_nth(i, cpu_online_mask),
						"misuse/%u");
		if (IS_ERR(task[i]))
			break;
		started++;
	}
	for (i = 0; started == 2 && i < 2; i++)
		wake_up_process(task[i]);
	while (started == 2 && atomic_read(&race.done) < INT_MAX)
		schedule_timeout_uninterruptible(1);
	for (i = 0; i < started; i++)
		kthread_stop(task[i]);
	return started == 2 ? race.ret : -ENOMEM;
}

/* Is what is left of a wrongly unmapped mapping unmapped? */
static void misuse_unmap_rest(dma_addr_t dma, size_t size)
{
	if (iommu_iova_to_phys(misuse_domain, dma))
		misuse_unmap(dma, size);
}

/* More than was mapped: what follows belongs to somebody else. */
static int misuse_unmap_more(struct page *page)
{
	dma_addr_t dma = misuse_map(page, 0, PAGE_SIZE);

	if (dma == DMA_MAPPING_ERROR)
		return -ENOMEM;
	misuse_unmap(dma, 16 * PAGE_SIZE);
	misuse_unmap_rest(dma, PAGE_SIZE);
	return 0;
}

static int misuse_unmap_live_more(struct page *page)
{
	misuse_unmap(misuse_live[5].dma, 4 * PAGE_SIZE);
	misuse_unmap_rest(misuse_live[5].dma, PAGE_SIZE);
	misuse_live[5].dma = misuse_map(misuse_live[5].page, 0, PAGE_SIZE);
	return misuse_live[5].dma == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}

/* Less than was mapped. */
static int misuse_unmap_less(struct page *page)
{
	dma_addr_t dma = misuse_map(page, 0, 4 * PAGE_SIZE);

	if (dma == DMA_MAPPING_ERROR)
		return -ENOMEM;
	misuse_unmap(dma, PAGE_SIZE);
	misuse_unmap_rest(dma, 4 * PAGE_SIZE);
	return 0;
}

/* From the middle of a mapping. */
static int misuse_unmap_inside(struct page *page)
{
	dma_addr_t dma = misuse_map(page, 0, 4 * PAGE_SIZE);

	if (dma == DMA_MAPPING_ERROR)
		return -ENOMEM;
	misuse_unmap(dma + 2 * PAGE_SIZE, PAGE_SIZE);
	misuse_unmap_rest(dma, 4 * PAGE_SIZE);
	return 0;
}

static int misuse_unmap_huge(struct page *page)
{
	misuse_unmap(MISUSE_NOWHERE, SIZE_MAX);
	misuse_unmap(MISUSE_NOWHERE, SIZE_MAX - PAGE_SIZE + 1);
	misuse_unmap(DMA_MAPPING_ERROR, PAGE_SIZE);
	return 0;
}

static int misuse_unmap_zero(struct page *page)
{
	misuse_unmap(MISUSE_NOWHERE, 0);
	return 0;
}

static int misuse_unmap_list(struct page *page)
{
	struct scatterlist sg[2];

	sg_init_table(sg, ARRAY_SIZE(sg));
	sg_set_page(&sg[0], page, PAGE_SIZE, 0);
	sg_set_page(&sg[1], page, PAGE_SIZE, 0);
	sg_dma_address(&sg[0]) = MISUSE_NOWHERE;
	sg_dma_len(&sg[0]) = 2 * PAGE_SIZE;
	misuse_ops->unmap_sg(misuse_dev, sg, ARRAY_SIZE(sg), DMA_TO_DEVICE, 0);
	return 0;
}

static int misuse_unmap_resource(struct page *page)
{
	misuse_ops->unmap_resource(misuse_dev, MISUSE_NOWHERE, PAGE_SIZE,
				   DMA_TO_DEVICE, 0);
	return 0;
}

/* Handing parts of nothing to and fro. */
static int misuse_sync(struct page *page)
{
	static const enum dma_data_direction dirs[] = {
		DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL,
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		misuse_ops->sync_single_for_cpu(misuse_dev, MISUSE_NOWHERE,
						PAGE_SIZE, dirs[i]);
		misuse_ops->sync_single_for_device(misuse_dev, MISUSE_NOWHERE,
						   PAGE_SIZE, dirs[i]);
	}
	return 0;
}

/**
 * struct misuse_case - one kind of misuse
 * @name: what scripts call it
 * @run: do it with a page (of order 4)
 */
struct misuse_case {
	const char *name;
	int (*run)(struct page *page);
};

static const struct misuse_case misuse_cases[] = {
	{ "zero", misuse_zero },
	{ "overflow", misuse_overflow },
	{ "wrap", misuse_wrap },
	{ "mask", misuse_mask },
	{ "list", misuse_list },
	{ "direction", misuse_direction },
	{ "attrs", misuse_attrs },
	{ "sync", misuse_sync },
	{ "unmap_nowhere", misuse_unmap_nowhere },
	{ "unmap_twice", misuse_unmap_twice },
	{ "unmap_large_twice", misuse_large_twice },
	{ "free_twice", misuse_free_twice },
	{ "free_reused", misuse_free_reused },
	{ "free_more", misuse_free_more },
	{ "unmap_race", misuse_unmap_race },
	{ "unmap_more", misuse_unmap_more },
	{ "unmap_live_more", misuse_unmap_live_more },
	{ "unmap_less", misuse_unmap_less },
	{ "unmap_inside", misuse_unmap_inside },
	{ "unmap_huge", misuse_unmap_huge },
	{ "unmap_zero", misuse_unmap_zero },
	{ "unmap_list", misuse_unmap_list },
	{ "unmap_resource", misuse_unmap_resource },
	{ }
};

static const struct misuse_case *misuse_find(const char *name)
{
	const struct misuse_case *c;

	for (c = misuse_cases; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/* Whatever happened, the others must not have noticed. */
static int misuse_check_live(void)
{
	int i;

	for (i = 0; i < MISUSE_LIVE; i++) {
		struct misuse_live *live = &misuse_live[i];

		if (!live->page)
			continue;
		if (iommu_iova_to_phys(misuse_domain, live->dma) ==
		    page_to_phys(live->page))
			continue;
		misuse_note("mapping %d at %pad is hurt\n", i, &live->dma);
		return -EILSEQ;
	}
	return 0;
}

static int misuse_run_case(const struct misuse_case *c)
{
	struct page *page;
	int ret, live;

	if (!misuse_ops) {
		misuse_note("the layer's operations are not published here\n");
		return MISUSE_SKIP;
	}
	if (!misuse_usable()) {
		misuse_note("no IOMMU translates for the device\n");
		return MISUSE_SKIP;
	}
	page = alloc_pages(GFP_KERNEL, 4);
	if (!page)
		return -ENOMEM;
	ret = c->run(page);
	live = misuse_check_live();
	__free_pages(page, 4);
	return live ?: ret;
}

static int misuse_run(struct dma_command *command, int argc, char **argv)
{
	const struct misuse_case *c = misuse_find(argv[0]);

	return c ? misuse_run_case(c) : DMA_COMMAND_UNKNOWN;
}

static void misuse_drop_live(void)
{
	int i;

	for (i = 0; i < MISUSE_LIVE; i++) {
		if (!misuse_live[i].page)
			continue;
		misuse_unmap(misuse_live[i].dma, PAGE_SIZE);
		__free_page(misuse_live[i].page);
		misuse_live[i].page = NULL;
	}
}

/* Neighbours, so that an unmap of too much would hit one. */
static int misuse_make_live(void)
{
	int i;

	for (i = 0; i < MISUSE_LIVE; i++) {
		struct page *page = alloc_page(GFP_KERNEL);
		dma_addr_t dma;

		if (!page)
			return -ENOMEM;
		dma = misuse_map(page, 0, PAGE_SIZE);
		if (dma == DMA_MAPPING_ERROR) {
			__free_page(page);
			return -ENOMEM;
		}
		misuse_live[i].page = page;
		misuse_live[i].dma = dma;
	}
	return 0;
}

/* Syncs of misuse_sync() that have something to do, and cannot: lines in the log */
static u32 misuse_syncs;

static int __init misuse_init(void)
{
	int ret;

	misuse_pdev = dma_command_device(device);
	if (!misuse_pdev)
		return -ENODEV;
	misuse_dev = &misuse_pdev->dev;
	misuse_domain = iommu_get_domain_for_dev(misuse_dev);
	ret = misuse_usable() ? misuse_make_live() : 0;
	if (ret) {
		misuse_drop_live();
		pci_dev_put(misuse_pdev);
		return ret;
	}
	misuse_dir = debugfs_create_dir("dma_misuse", NULL);
	misuse_syncs = dev_is_dma_coherent(misuse_dev) ? 0 : 5;
	debugfs_create_u32("syncs", 0400, misuse_dir, &misuse_syncs);
	dma_command_init(&misuse_command, misuse_dir, misuse_run);
	return 0;
}

static void __exit misuse_exit(void)
{
	debugfs_remove_recursive(misuse_dir);
	misuse_drop_live();
	pci_dev_put(misuse_pdev);
}

module_init(misuse_init);
module_exit(misuse_exit);

MODULE_DESCRIPTION("Misuse of the DMA API, and who survives it");
MODULE_LICENSE("GPL");
