// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation of memory fails in turn, in every call that may allocate.
 *
 *   fail KIND [WORD...]      the first allocation, the second, ... until there are
 *                            no more; there has to be one
 *   failat N KIND [WORD...]  the N-th alone; notes whether there was one
 *   failunmap KIND [WORD...] allocations of the unmap: there must be none
 *
 * KIND and its words:
 *
 *   list SHAPE one|plain     dma_map_sgtable(), as one segment or as several
 *   page SHAPE               dma_map_page() of the shape's first entry
 *   mask                     dma_set_mask(), and a page within the new mask
 *   coherent|pagewise|contiguous|noncontiguous|pages SIZE    an allocation
 *
 * What a call has to do when one of its allocations fails: return an error and leave
 * everything as it was, or do without. In between, the same call has to work, and the
 * device moves bytes by it. The domain's operations are replaced by ones that count
 * what is mapped, and find an address that is mapped twice; and pages are followed
 * from allocation to free, by the kernel's tracepoints, as kmemleak does not know
 * pages. The domain must stay what it is meanwhile: the device has a driver, this one.
 */
#include <linux/delay.h>
#include <linux/dma-contiguity.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>

#include "dma_context.h"
#include "dma_edu_list.h"
#include "dma_edu_ops.h"

#ifdef CONFIG_FAULT_INJECTION

/* More allocations than any call makes */
#define FAIL_NTH_MAX	400

/* Unmaps that are tried */
#define FAIL_UNMAPS	16

/* Pages that are followed at a time */
#define FAIL_PAGES	2048

/* Bytes that the device moves to see whether a mapping is well */
#define FAIL_MOVE	64
#define FAIL_SEED	91

/* Deferred: by then the window is over and what waited for it is freed. */
#define FAIL_WINDOW_MS	60

/**
 * struct fail_page - a page from allocation to free
 * @pfn: the page
 * @nth: which allocation failed in the call that allocated it
 */
struct fail_page {
	unsigned long pfn;
	unsigned int nth;
};

/**
 * struct fail_spy - what is mapped and allocated meanwhile
 * @domain: the domain, or NULL while there is no operation
 * @ops: its own operations
 * @hooked: a copy of them with ours in it
 * @mapped: bytes mapped
 * @twice: granules that were mapped and mapped again
 * @task: whose pages are followed, or NULL
 * @nth: which allocation fails
 * @in_driver: what @task allocates is the IOMMU driver's, for its page tables
 * @lock: protects all that follows
 * @pages: pages that are followed
 * @nr: how many
 * @lost: pages that there was no room for
 */
struct fail_spy {
	struct iommu_domain *domain;
	const struct iommu_domain_ops *ops;
	struct iommu_domain_ops hooked;
	atomic_long_t mapped;
	atomic_t twice;
	struct task_struct *task;
	unsigned int nth;
	bool in_driver;

	raw_spinlock_t lock;	/* protects all that follows */
	struct fail_page pages[FAIL_PAGES];
	unsigned int nr;
	unsigned int lost;
};

static struct fail_spy spy = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(spy.lock),
};

/* One operation at a time, of all devices */
static DEFINE_MUTEX(spy_lock);

/*
 * The domain's operations.
 */

static bool spy_is_self(void)
{
	return in_task() && READ_ONCE(spy.task) == current;
}

static int spy_map_pages(struct iommu_domain *domain, unsigned long iova,
			 phys_addr_t paddr, size_t pgsize, size_t pgcount,
			 int prot, gfp_t gfp, size_t *mapped)
{
	size_t before = *mapped, i;
	bool self = spy_is_self();
	int ret;

	for (i = 0; i < pgcount; i++)
		if (spy.ops->iova_to_phys(domain, iova + i * pgsize))
			atomic_inc(&spy.twice);
	if (self)
		spy.in_driver = true;
	ret = spy.ops->map_pages(domain, iova, paddr, pgsize, pgcount, prot, gfp,
				 mapped);
	if (self)
		spy.in_driver = false;
	atomic_long_add(*mapped - before, &spy.mapped);
	return ret;
}

/* What the IOMMU driver allocates in order to unmap is not for us to judge. */
static size_t spy_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			      size_t pgsize, size_t pgcount,
			      struct iommu_iotlb_gather *gather)
{
	unsigned int nth = xchg(&current->fail_nth, 0);
	size_t size;

	size = spy.ops->unmap_pages(domain, iova, pgsize, pgcount, gather);
	atomic_long_sub(size, &spy.mapped);
	WRITE_ONCE(current->fail_nth, nth);
	return size;
}

static void spy_iotlb_sync(struct iommu_domain *domain,
			   struct iommu_iotlb_gather *gather)
{
	unsigned int nth = xchg(&current->fail_nth, 0);

	if (spy.ops->iotlb_sync)
		spy.ops->iotlb_sync(domain, gather);
	WRITE_ONCE(current->fail_nth, nth);
}

/*
 * Pages.
 */

static void spy_page_alloc(void *unused, struct page *page, unsigned int order,
			   gfp_t gfp, int migratetype)
{
	unsigned long flags, i;

	/*
	 * The layer asks for no warnings, as those do not who map for the CPU; and
	 * for pages that stay where they are, unlike who moves them out of the way.
	 * What the kernel's own checks keep is without emergency reserves.
	 */
	if (!page || !spy_is_self() || spy.in_driver || !(gfp & __GFP_NOWARN) ||
	    gfp & (__GFP_MOVABLE | __GFP_NOMEMALLOC))
		return;
	raw_spin_lock_irqsave(&spy.lock, flags);
	for (i = 0; i < 1UL << order; i++) {
		if (spy.nr == FAIL_PAGES)
			spy.lost++;
		else
			spy.pages[spy.nr++] = (struct fail_page) {
				page_to_pfn(page) + i, spy.nth
			};
	}
	raw_spin_unlock_irqrestore(&spy.lock, flags);
}

static void spy_page_free(void *unused, struct page *page, unsigned int order)
{
	unsigned long flags, pfn = page_to_pfn(page);
	unsigned int i;

	if (!READ_ONCE(spy.nr))
		return;
	raw_spin_lock_irqsave(&spy.lock, flags);
	for (i = spy.nr; i--;)
		if (spy.pages[i].pfn - pfn < 1UL << order)
			spy.pages[i] = spy.pages[--spy.nr];
	raw_spin_unlock_irqrestore(&spy.lock, flags);
}

/* Pages that nobody has freed; slabs have theirs for others, too. */
static int spy_pages_left(struct edu *edu)
{
	unsigned int i, left = spy.lost;

	for (i = 0; i < READ_ONCE(spy.nr); i++) {
		struct fail_page *page = &spy.pages[i];

		if (PageSlab(pfn_to_page(page->pfn)))
			continue;
		if (!left++)
			edu_note(edu, "page %#lx is not freed, of when allocation %u failed\n",
				 page->pfn, page->nth);
	}
	return left;
}

/**
 * struct fail_probe - a tracepoint, and what is to be called there
 * @name: of the tracepoint
 * @fn: probe
 * @tp: the tracepoint once it is found
 */
struct fail_probe {
	const char *name;
	void *fn;
	struct tracepoint *tp;
};

static struct fail_probe fail_probes[] = {
	{ "mm_page_free", spy_page_free },
	{ "mm_page_alloc", spy_page_alloc },
};

static void spy_find_probe(struct tracepoint *tp, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(fail_probes); i++)
		if (!strcmp(fail_probes[i].name, tp->name))
			fail_probes[i].tp = tp;
}

static void spy_unprobe(void)
{
	int i;

	for (i = ARRAY_SIZE(fail_probes); i--;)
		if (fail_probes[i].tp)
			tracepoint_probe_unregister(fail_probes[i].tp,
						    fail_probes[i].fn, NULL);
	tracepoint_synchronize_unregister();
}

static int spy_probe(void)
{
	int i, ret;

	for_each_kernel_tracepoint(spy_find_probe, NULL);
	for (i = 0; i < ARRAY_SIZE(fail_probes); i++) {
		ret = fail_probes[i].tp ?
		      tracepoint_probe_register(fail_probes[i].tp,
						fail_probes[i].fn, NULL) :
		      -ENOENT;
		if (ret) {
			fail_probes[i].tp = NULL;
			spy_unprobe();
			return ret;
		}
	}
	return 0;
}

static int spy_begin(struct edu *edu)
{
	struct iommu_domain *domain = edu_domain(edu);
	int ret;

	if (!domain)
		return EDU_SKIP;
	ret = spy_probe();
	if (ret)
		return ret;
	atomic_long_set(&spy.mapped, 0);
	atomic_set(&spy.twice, 0);
	spy.nr = 0;
	spy.lost = 0;
	spy.domain = domain;
	spy.ops = domain->ops;
	spy.hooked = *domain->ops;
	spy.hooked.map_pages = spy_map_pages;
	spy.hooked.unmap_pages = spy_unmap_pages;
	spy.hooked.iotlb_sync = spy_iotlb_sync;
	/* Whoever calls a hook sees what it works on. */
	smp_store_release(&domain->ops, &spy.hooked);
	return 0;
}

/* After all has been unmapped. Return: 0, or what is wrong. */
static int spy_end(struct edu *edu)
{
	int ret = 0;

	if (edu_deferred(edu))
		msleep(FAIL_WINDOW_MS);
	WRITE_ONCE(spy.domain->ops, spy.ops);
	/* Whoever is in a hook gets out of it. */
	synchronize_rcu();
	msleep(20);
	spy_unprobe();
	if (atomic_long_read(&spy.mapped)) {
		edu_note(edu, "%ld bytes are left mapped\n",
			 atomic_long_read(&spy.mapped));
		ret = -EBUSY;
	}
	if (atomic_read(&spy.twice)) {
		edu_note(edu, "%d granules were mapped twice\n",
			 atomic_read(&spy.twice));
		ret = -EEXIST;
	}
	if (spy_pages_left(edu)) {
		edu_note(edu, "%d pages are left\n", spy_pages_left(edu));
		ret = -ENOTEMPTY;
	}
	return ret;
}

/*
 * Kinds of calls.
 */

/**
 * struct edu_fail - a call whose allocations fail
 * @edu: the device
 * @kind: of the call
 * @list: for lists and pages
 * @attrs: of the mapping or allocation
 * @size: bytes of an allocation
 * @mask: what the device's mask was before
 * @cpu: an allocation's address for the CPU
 * @page: its first page, of "pages"
 * @sgt: its table, of "noncontiguous"
 * @dma: its address for the device
 * @failures: allocations that failed
 * @refused: calls that did
 */
struct edu_fail {
	struct edu *edu;
	const struct fail_kind *kind;
	struct edu_sgl *list;
	unsigned long attrs;
	unsigned long size;
	u64 mask;
	void *cpu;
	struct page *page;
	struct sg_table *sgt;
	dma_addr_t dma;
	unsigned int failures;
	unsigned int refused;
};

/**
 * struct fail_kind - how to make one kind of call
 * @name: first word
 * @init: reads the other words
 * @make: the call; 0 or an error
 * @error: the only error that it may have
 * @drop: undoes it
 * @look: looks at what @make made; 0 or an error
 * @move: the device writes to it, then it is the CPU's
 * @verify: all bytes are what they should be; also after an error
 */
struct fail_kind {
	const char *name;
	int (*init)(struct edu_fail *fail, int argc, char **argv);
	int (*make)(struct edu_fail *fail);
	int error;
	void (*drop)(struct edu_fail *fail);
	int (*look)(struct edu_fail *fail);
	int (*move)(struct edu_fail *fail);
	int (*verify)(struct edu_fail *fail);
};

static int sgl_shape(struct edu_fail *fail, const char *name,
		     unsigned long attrs)
{
	const struct edu_shape *shape = edu_find_shape(name);

	if (!shape)
		return -EINVAL;
	fail->attrs = DMA_ATTR_NO_WARN | attrs;
	fail->list = edu_sgl_make(fail->edu, shape);
	return fail->list ? 0 : -ENOMEM;
}

static int sgl_init(struct edu_fail *fail, int argc, char **argv)
{
	if (argc < 3)
		return -EINVAL;
	return sgl_shape(fail, argv[1],
			 strcmp(argv[2], "one") ? 0 : DMA_ATTR_CONTIGUOUS);
}

static int sgl_make(struct edu_fail *fail)
{
	return dma_map_sgtable(edu_dev(fail->edu), &fail->list->sgt,
			       DMA_BIDIRECTIONAL, fail->attrs);
}

static void sgl_drop(struct edu_fail *fail)
{
	dma_unmap_sgtable(edu_dev(fail->edu), &fail->list->sgt,
			  DMA_BIDIRECTIONAL, fail->attrs);
	/* So that what an error changes shows */
	edu_sgl_remember(fail->list);
}

static int sgl_look(struct edu_fail *fail)
{
	int ret = fail->attrs & DMA_ATTR_CONTIGUOUS ?
		  edu_sgl_one_segment(fail->edu, fail->list) :
		  edu_sgl_segments(fail->edu, fail->list);

	return ret ?: edu_sgl_translation(fail->edu, fail->list);
}

/* What edu_load() has left in the device's buffer, to the first bytes */
static int sgl_move(struct edu_fail *fail)
{
	struct scatterlist *sg = fail->list->sg;
	size_t len = min_t(size_t, FAIL_MOVE, sg_dma_len(sg));

	edu_fill(fail->list->want, len, FAIL_SEED);
	return edu_write(fail->edu, sg_dma_address(sg), 0, len);
}

/* What was mapped has been unmapped, or could not be mapped. */
static int sgl_verify(struct edu_fail *fail)
{
	struct edu_sgl *list = fail->list;

	return !memcmp(list->was, list->sg, sizeof(list->was)) ||
	       edu_sgl_cleared(fail->edu, list) ?
	       edu_sgl_verify(fail->edu, fail->list, "list") : -EFAULT;
}

/* The first entry of a shape, and no more */
static int page_shape(struct edu_fail *fail, const char *name)
{
	int ret = sgl_shape(fail, name, 0);

	if (ret)
		return ret;
	fail->list->n = 1;
	fail->list->sgt.orig_nents = 1;
	fail->list->total = fail->list->sg->length;
	return fail->list->blocks->len == fail->list->total ? 0 : -EINVAL;
}

static int page_init(struct edu_fail *fail, int argc, char **argv)
{
	return argc < 2 ? -EINVAL : page_shape(fail, argv[1]);
}

static int page_make(struct edu_fail *fail)
{
	struct scatterlist *sg = fail->list->sg;
	struct device *dev = edu_dev(fail->edu);
	dma_addr_t dma;

	dma = dma_map_page_attrs(dev, sg_page(sg), sg->offset, sg->length,
				 DMA_BIDIRECTIONAL, DMA_ATTR_NO_WARN);
	if (dma_mapping_error(dev, dma))
		return -ENOMEM;
	sg_dma_address(sg) = dma;
	sg_dma_len(sg) = sg->length;
	fail->list->sgt.nents = 1;
	return 0;
}

static void page_drop(struct edu_fail *fail)
{
	struct scatterlist *sg = fail->list->sg;

	dma_unmap_page(edu_dev(fail->edu), sg_dma_address(sg), sg_dma_len(sg),
		       DMA_BIDIRECTIONAL);
	edu_sgl_remember(fail->list);
}

/* A page in a narrower space; then the mask is what it was. */
static int mask_init(struct edu_fail *fail, int argc, char **argv)
{
	fail->mask = dma_get_mask(edu_dev(fail->edu));
	return page_shape(fail, "whole");
}

static int mask_make(struct edu_fail *fail)
{
	struct device *dev = edu_dev(fail->edu);
	int ret = dma_set_mask_and_coherent(dev, fail->mask >> 1) ?:
		  page_make(fail);

	if (ret)
		dma_set_mask_and_coherent(dev, fail->mask);
	return ret;
}

static void mask_drop(struct edu_fail *fail)
{
	page_drop(fail);
	dma_set_mask_and_coherent(edu_dev(fail->edu), fail->mask);
}

static int alloc_init(struct edu_fail *fail, int argc, char **argv)
{
	return edu_arg(argc, argv, 1, SZ_64K, &fail->size) ||
	       fail->size < SZ_4K ? -EINVAL : 0;
}

static int pagewise_init(struct edu_fail *fail, int argc, char **argv)
{
	fail->attrs = DMA_ATTR_ALLOC_SINGLE_PAGES;
	return alloc_init(fail, argc, argv);
}

static int contiguous_init(struct edu_fail *fail, int argc, char **argv)
{
	fail->attrs = DMA_ATTR_FORCE_CONTIGUOUS;
	return alloc_init(fail, argc, argv);
}

static int alloc_make(struct edu_fail *fail)
{
	fail->cpu = dma_alloc_attrs(edu_dev(fail->edu), fail->size, &fail->dma,
				    GFP_KERNEL | __GFP_NOWARN, fail->attrs);
	return fail->cpu ? 0 : -ENOMEM;
}

static void alloc_drop(struct edu_fail *fail)
{
	dma_free_attrs(edu_dev(fail->edu), fail->size, fail->cpu, fail->dma,
		       fail->attrs);
	fail->cpu = NULL;
}

/* New, and where the device finds it */
static int alloc_look(struct edu_fail *fail)
{
	struct edu *edu = fail->edu;
	size_t pos;

	for (pos = 0; pos < fail->size; pos += PAGE_SIZE) {
		u8 *at = fail->cpu + pos;
		phys_addr_t want = is_vmalloc_addr(at) ?
			page_to_phys(vmalloc_to_page(at)) : virt_to_phys(at);

		if (iommu_iova_to_phys(spy.domain, fail->dma + pos) != want) {
			edu_note(edu, "byte %zu is not at %pa\n", pos, &want);
			return -EILSEQ;
		}
	}
	return edu_check_byte(edu, "fresh memory", fail->cpu, fail->size, 0);
}

static int alloc_move(struct edu_fail *fail)
{
	struct device *dev = edu_dev(fail->edu);
	size_t at = fail->size - FAIL_MOVE;
	int ret;

	if (fail->sgt)
		dma_sync_sgtable_for_device(dev, fail->sgt, DMA_BIDIRECTIONAL);
	else if (fail->page)
		dma_sync_single_for_device(dev, fail->dma, fail->size,
					   DMA_BIDIRECTIONAL);
	ret = edu_write(fail->edu, fail->dma + at, 0, FAIL_MOVE);
	if (fail->sgt)
		dma_sync_sgtable_for_cpu(dev, fail->sgt, DMA_BIDIRECTIONAL);
	else if (fail->page)
		dma_sync_single_for_cpu(dev, fail->dma, fail->size,
					DMA_BIDIRECTIONAL);
	return ret ?: edu_check(fail->edu, "what the device wrote",
				fail->cpu + at, FAIL_MOVE, FAIL_SEED);
}

static int alloc_verify(struct edu_fail *fail)
{
	return 0;
}

static int noncontiguous_make(struct edu_fail *fail)
{
	struct device *dev = edu_dev(fail->edu);

	fail->sgt = dma_alloc_noncontiguous(dev, fail->size, DMA_BIDIRECTIONAL,
					    GFP_KERNEL | __GFP_NOWARN | __GFP_ZERO,
					    0);
	if (!fail->sgt)
		return -ENOMEM;
	fail->dma = sg_dma_address(fail->sgt->sgl);
	fail->cpu = dma_vmap_noncontiguous(dev, fail->size, fail->sgt);
	if (fail->cpu)
		return 0;
	dma_free_noncontiguous(dev, fail->size, fail->sgt, DMA_BIDIRECTIONAL);
	fail->sgt = NULL;
	return -ENOMEM;
}

static void noncontiguous_drop(struct edu_fail *fail)
{
	struct device *dev = edu_dev(fail->edu);

	dma_vunmap_noncontiguous(dev, fail->cpu);
	dma_free_noncontiguous(dev, fail->size, fail->sgt, DMA_BIDIRECTIONAL);
	fail->sgt = NULL;
}

static int pages_make(struct edu_fail *fail)
{
	fail->page = dma_alloc_pages(edu_dev(fail->edu), fail->size, &fail->dma,
				     DMA_BIDIRECTIONAL,
				     GFP_KERNEL | __GFP_NOWARN);
	if (!fail->page)
		return -ENOMEM;
	fail->cpu = page_address(fail->page);
	return 0;
}

static void pages_drop(struct edu_fail *fail)
{
	dma_free_pages(edu_dev(fail->edu), fail->size, fail->page, fail->dma,
		       DMA_BIDIRECTIONAL);
	fail->page = NULL;
}

static const struct fail_kind fail_kinds[] = {
	{ "list", sgl_init, sgl_make, -ENOMEM, sgl_drop, sgl_look,
	  sgl_move, sgl_verify },
	{ "page", page_init, page_make, -ENOMEM, page_drop, sgl_look,
	  sgl_move, sgl_verify },
	{ "mask", mask_init, mask_make, -ENOMEM, mask_drop, sgl_look,
	  sgl_move, sgl_verify },
	{ "coherent", alloc_init, alloc_make, -ENOMEM, alloc_drop, alloc_look,
	  alloc_move, alloc_verify },
	{ "pagewise", pagewise_init, alloc_make, -ENOMEM, alloc_drop,
	  alloc_look, alloc_move, alloc_verify },
	{ "contiguous", contiguous_init, alloc_make, -ENOMEM, alloc_drop,
	  alloc_look, alloc_move, alloc_verify },
	{ "noncontiguous", alloc_init, noncontiguous_make, -ENOMEM,
	  noncontiguous_drop, alloc_look, alloc_move, alloc_verify },
	{ "pages", alloc_init, pages_make, -ENOMEM, pages_drop, alloc_look,
	  alloc_move, alloc_verify },
};

/*
 * A call.
 */

/* All is right with what there is, and it is gone when it is dropped. */
static int fail_use(struct edu_fail *fail, bool move)
{
	int ret = fail->kind->look(fail);

	if (!ret && move)
		ret = fail->kind->move(fail);
	fail->kind->drop(fail);
	return ret ?: fail->kind->verify(fail);
}

/* Allocation @nth of a call fails. */
static int fail_step(struct edu_fail *fail, unsigned int nth, bool *hit)
{
	long before = atomic_long_read(&spy.mapped);
	int ret;

	spy.nth = nth;
	WRITE_ONCE(spy.task, current);
	WRITE_ONCE(current->fail_nth, nth);
	ret = fail->kind->make(fail);
	*hit = nth && !current->fail_nth;
	WRITE_ONCE(current->fail_nth, 0);
	WRITE_ONCE(spy.task, NULL);

	fail->failures += *hit;
	fail->refused += !!ret;
	if (!ret) {
		/* By the device once nothing fails: it takes a tenth of a second. */
		ret = fail_use(fail, !nth);
	} else if (!*hit || ret != fail->kind->error) {
		edu_note(fail->edu, "error %d\n", ret);
	} else {
		ret = fail->kind->verify(fail);
	}
	if (!ret && atomic_long_read(&spy.mapped) != before) {
		edu_note(fail->edu, "mapped were %ld bytes, and now %ld\n",
			 before, atomic_long_read(&spy.mapped));
		ret = -EBUSY;
	}
	if (ret)
		edu_note(fail->edu, "allocation %u %s: %d\n", nth,
			 *hit ? "failed" : "not reached", ret);
	return ret;
}

/* After a failure, the same call once more */
static int fail_again(struct edu_fail *fail)
{
	bool hit;

	return fail_step(fail, 0, &hit);
}

static int fail_all(struct edu_fail *fail)
{
	bool hit = true;
	unsigned int nth;
	int ret = 0;

	for (nth = 1; !ret && hit && nth < FAIL_NTH_MAX; nth++)
		ret = fail_step(fail, nth, &hit) ?: fail_again(fail);
	edu_note(fail->edu, "%u allocations failed, %u calls\n", fail->failures,
		 fail->refused);
	if (!ret && (hit || !fail->failures))
		ret = hit ? -E2BIG : -ENODATA;
	return ret;
}

static int fail_one(struct edu_fail *fail, unsigned int nth)
{
	bool hit;
	int ret = fail_step(fail, nth, &hit) ?: edu_load(fail->edu, FAIL_SEED) ?:
		  fail_again(fail);

	edu_note(fail->edu, "allocation %u %s, %u calls refused\n", nth,
		 hit ? "failed" : "was not reached", fail->refused);
	return ret;
}

static void fail_nothing(struct work_struct *work)
{
}

/*
 * Where the kernel keeps account of timers and RCU callbacks, using one takes from a
 * pool of its own, and fills that when it runs low: here, rather than in an unmap.
 */
static void fail_fill_pools(void)
{
	struct work_struct work;
	int i;

	for (i = 0; i < 3; i++) {
		INIT_WORK_ONSTACK(&work, fail_nothing);
		destroy_work_on_stack(&work);
	}
}

/*
 * Unmapping allocates nothing. An interrupt may have emptied those pools once more,
 * but not each time.
 */
static int fail_unmap(struct edu_fail *fail)
{
	unsigned int i, hits = 0;
	int ret = 0;

	/* Allocations are freed where one may sleep, and allocate. */
	if (!fail->list)
		return -EINVAL;
	for (i = 0; !ret && i < FAIL_UNMAPS; i++) {
		ret = fail->kind->make(fail);
		if (ret)
			break;
		ret = fail->kind->look(fail) ?: i ? 0 : fail->kind->move(fail);
		preempt_off_begin();
		fail_fill_pools();
		WRITE_ONCE(current->fail_nth, 1);
		fail->kind->drop(fail);
		hits += !current->fail_nth;
		WRITE_ONCE(current->fail_nth, 0);
		preempt_off_end();
		ret = ret ?: fail->kind->verify(fail);
		if (!ret && atomic_long_read(&spy.mapped))
			ret = -EBUSY;
	}
	edu_note(fail->edu, "%u of %u unmaps allocated something: %d\n", hits, i,
		 ret);
	return ret ?: hits > FAIL_UNMAPS / 2 ? -ENOMEM : 0;
}

/*
 * Operations.
 */

static int fail_init(struct edu_fail *fail, int argc, char **argv)
{
	unsigned int i;
	int ret = -EINVAL;

	for (i = 0; argc && i < ARRAY_SIZE(fail_kinds); i++) {
		if (strcmp(fail_kinds[i].name, argv[0]))
			continue;
		fail->kind = &fail_kinds[i];
		ret = fail->kind->init(fail, argc, argv);
	}
	if (!ret && fail->list)
		edu_sgl_remember(fail->list);
	return ret;
}

static int fail_locked(struct edu_fail *fail, char **argv, unsigned long nth)
{
	int ret = spy_begin(fail->edu), end;

	if (ret)
		return ret;
	/* In a new domain, that is to be its first mapping. */
	if (!strcmp(argv[0], "failat"))
		ret = fail_one(fail, nth);
	else if (!strcmp(argv[0], "failunmap"))
		ret = edu_load(fail->edu, FAIL_SEED) ?: fail_unmap(fail);
	else
		ret = edu_load(fail->edu, FAIL_SEED) ?: fail_all(fail);
	end = spy_end(fail->edu);
	return ret ?: end;
}

static int edu_op_fail(struct edu *edu, int argc, char **argv)
{
	bool at = !strcmp(argv[0], "failat");
	struct edu_fail fail = { .edu = edu };
	unsigned int skip = at ? 2 : 1;
	unsigned long nth;
	int ret;

	if (argc <= skip || edu_arg(at ? argc : 0, argv, 1, 0, &nth))
		return -EINVAL;
	ret = fail_init(&fail, argc - skip, argv + skip);
	if (!ret) {
		mutex_lock(&spy_lock);
		ret = fail_locked(&fail, argv, nth);
		mutex_unlock(&spy_lock);
	}
	edu_sgl_drop(fail.list);
	return ret;
}

#else
static int edu_op_fail(struct edu *edu, int argc, char **argv)
{
	edu_note(edu, "the kernel has no fault injection\n");
	return EDU_SKIP;
}
#endif

const struct edu_op edu_fail_ops[] = {
	{ "fail", edu_op_fail },
	{ "failat", edu_op_fail },
	{ "failunmap", edu_op_fail },
	{ }
};
