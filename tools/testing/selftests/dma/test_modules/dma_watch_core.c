// SPDX-License-Identifier: GPL-2.0
/*
 * A watch on one IOMMU domain: between the DMA API and the IOMMU driver.
 *
 * The domain's operations are replaced by a copy in which map_pages(),
 * unmap_pages(), iotlb_sync() and flush_iotlb_all() write down what they see
 * and then call the driver's own. The rules:
 *
 *   - an address that was unmapped is not mapped again before the IOTLB has been
 *     told: by iotlb_sync() of that unmap, or by a whole-domain flush that began
 *     after it;
 *   - no address is mapped that is mapped;
 *   - strict: the unmap does not return before that;
 *   - deferred: the flush comes, and how late is measured, from the return of the
 *     unmap to the end of the first flush that began after the translation was
 *     cleared;
 *   - page-table pages that an unmap leaves over are not freed before that.
 *
 * Flushes are counted when they begin. Whoever unmaps reads the count after the
 * translation is cleared; the flush with the next number covers it. That number
 * is all that is kept per granule.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/err.h>
#include <linux/iommu-dma.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "dma_watch_core.h"

/* Values of a granule's state that are no flush */
#define WATCH_FREE	0
#define WATCH_MAPPED	U32_MAX

/* Addresses above are not watched; four bytes for each granule below. */
#define WATCH_BITS	32

/* A flush that has not come by then does not come, however busy the host is. */
#define WATCH_SETTLE_MS	3000

/* The operations of a domain have no other way to find it. */
static struct watch *the_watch;

/**
 * watch_note() - add to what the operation has to say
 * @fmt: format, and its arguments
 */
void watch_note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&the_watch->command, fmt, args);
	va_end(args);
}

/**
 * watch_wrong() - a rule is broken
 * @watch: the watch
 * @rule: which
 * @where: address
 */
void watch_wrong(struct watch *watch, const char *rule, u64 where)
{
	unsigned long flags;

	atomic_inc(&watch->wrongs);
	raw_spin_lock_irqsave(&watch->lock, flags);
	if (!watch->rule) {
		watch->rule = rule;
		watch->where = where;
	}
	raw_spin_unlock_irqrestore(&watch->lock, flags);
}

static struct watch_task *watch_self(struct watch *watch)
{
	int i;

	if (!in_task())
		return NULL;
	for (i = 0; i < WATCH_TASKS; i++)
		if (READ_ONCE(watch->tasks[i].task) == current)
			return &watch->tasks[i];
	return NULL;
}

/*
 * The state of granules.
 */

static unsigned long watch_first(struct watch *watch, unsigned long iova)
{
	return min(iova >> watch->shift, watch->granules);
}

static unsigned long watch_end(struct watch *watch, unsigned long iova,
			       size_t size)
{
	return min((iova + size) >> watch->shift, watch->granules);
}

static bool watch_waits(struct watch *watch, u32 state)
{
	return state != WATCH_FREE && state != WATCH_MAPPED &&
	       (s32)(READ_ONCE(watch->finished) - state) < 0;
}

/**
 * watch_is_mapped() - whether something is mapped there
 * @watch: the watch
 * @granule: number of the granule
 *
 * Return: true if so.
 */
bool watch_is_mapped(struct watch *watch, unsigned long granule)
{
	return granule < watch->granules &&
	       READ_ONCE(watch->state[granule]) == WATCH_MAPPED;
}

static void watch_set_mapped(struct watch *watch, unsigned long iova, size_t size)
{
	unsigned long g, end = watch_end(watch, iova, size);

	for (g = watch_first(watch, iova); g < end; g++) {
		u32 old = xchg(&watch->state[g], WATCH_MAPPED);

		if (old == WATCH_MAPPED)
			watch_wrong(watch, "mapped twice",
				    (u64)g << watch->shift);
		else if (watch_waits(watch, old))
			watch_wrong(watch, "handed out again before its flush",
				    (u64)g << watch->shift);
	}
	atomic_long_add(size >> watch->shift, &watch->mapped);
}

static void watch_set_unmapped(struct watch *watch, unsigned long iova,
			       size_t size, u32 state)
{
	unsigned long g, end = watch_end(watch, iova, size);

	for (g = watch_first(watch, iova); g < end; g++)
		WRITE_ONCE(watch->state[g], state);
	atomic_long_sub(size >> watch->shift, &watch->mapped);
}

/* Invalidated; if it is mapped meanwhile, that has been found wrong before. */
static void watch_set_free(struct watch *watch, unsigned long first,
			   unsigned long last)
{
	unsigned long g;

	for (g = first; g <= last && g < watch->granules; g++)
		if (READ_ONCE(watch->state[g]) != WATCH_MAPPED)
			WRITE_ONCE(watch->state[g], WATCH_FREE);
}

/*
 * Strict unmaps under way, by the address of their gather.
 */

static struct watch_gather *watch_gather(struct watch *watch,
					 struct iommu_iotlb_gather *gather)
{
	int i;

	lockdep_assert_held(&watch->lock);
	for (i = 0; i < WATCH_GATHERS; i++)
		if (watch->gathers[i].gather == gather)
			return &watch->gathers[i];
	return NULL;
}

/* One range is claimed for an unmap, so holes in it are nobody else's. */
static void watch_gather_add(struct watch *watch,
			     struct iommu_iotlb_gather *gather,
			     unsigned long iova, size_t size)
{
	unsigned long first = iova >> watch->shift;
	unsigned long last = ((iova + size) >> watch->shift) - 1;
	struct watch_gather *open;

	lockdep_assert_held(&watch->lock);
	open = watch_gather(watch, gather);
	if (open) {
		open->first = min(open->first, first);
		open->last = max(open->last, last);
		return;
	}
	open = watch_gather(watch, NULL);
	if (open)
		*open = (struct watch_gather) { gather, first, last };
}

/*
 * Page-table pages.
 */

/**
 * watch_follow() - follow page-table pages from now on
 * @watch: the watch
 *
 * Return: 0, as a command does.
 */
int watch_follow(struct watch *watch)
{
	watch->nr_tables = 0;
	WRITE_ONCE(watch->follow, true);
	return 0;
}

/**
 * watch_unfollow() - stop that, when all flushes are over
 * @watch: the watch
 *
 * Return: how many pages there were.
 */
int watch_unfollow(struct watch *watch)
{
	unsigned int i;

	WRITE_ONCE(watch->follow, false);
	for (i = 0; i < watch->nr_tables; i++) {
		struct watch_table *table = &watch->tables[i];

		if (!table->flushed)
			watch_wrong(watch, "page table never flushed", i);
		else if (page_ref_count(table->page) != 1)
			watch_wrong(watch, "page table never freed", i);
		put_page(table->page);
	}
	return watch->nr_tables;
}

static void watch_tables_add(struct watch *watch,
			     struct iommu_iotlb_gather *gather, u32 turn)
{
	struct page *page;
	unsigned int i;

	lockdep_assert_held(&watch->lock);
	list_for_each_entry(page, &gather->freelist, lru) {
		for (i = 0; i < watch->nr_tables; i++)
			if (watch->tables[i].page == page)
				break;
		if (i < watch->nr_tables || i == WATCH_TABLES)
			continue;
		get_page(page);
		watch->tables[watch->nr_tables++] = (struct watch_table) {
			.page = page,
			.gather = gather->queued ? NULL : gather,
			.turn = turn,
		};
	}
}

/* Nothing may be freed that is not flushed; of that, what is from now on? */
static unsigned int watch_tables_check(struct watch *watch,
				       struct iommu_iotlb_gather *gather,
				       u32 turn)
{
	unsigned int i, early = 0;

	lockdep_assert_held(&watch->lock);
	for (i = 0; i < watch->nr_tables; i++) {
		struct watch_table *table = &watch->tables[i];

		if (table->flushed)
			continue;
		if (page_ref_count(table->page) < 2)
			early++;
		table->flushed = gather ? table->gather == gather :
			!table->gather && (s32)(turn - table->turn) >= 0;
	}
	return early;
}

/*
 * The operations that take the place of the driver's.
 */

#ifdef CONFIG_FAULT_INJECTION
/* What the IOMMU driver allocates in order to unmap is not for us to judge. */
static unsigned int watch_pause_faults(void)
{
	return xchg(&current->fail_nth, 0);
}

static void watch_resume_faults(unsigned int nth)
{
	if (nth)
		WRITE_ONCE(current->fail_nth, nth);
}
#else
static unsigned int watch_pause_faults(void)
{
	return 0;
}

static void watch_resume_faults(unsigned int nth)
{
}
#endif

static int watch_map_pages(struct iommu_domain *domain, unsigned long iova,
			   phys_addr_t paddr, size_t pgsize, size_t pgcount,
			   int prot, gfp_t gfp, size_t *mapped)
{
	struct watch *watch = the_watch;
	size_t before = *mapped, size;
	int ret;

	watch_set_mapped(watch, iova, pgsize * pgcount);
	ret = watch->ops->map_pages(domain, iova, paddr, pgsize, pgcount, prot,
				    gfp, mapped);
	size = *mapped - before;
	if (size < pgsize * pgcount)
		watch_set_unmapped(watch, iova + size, pgsize * pgcount - size,
				   WATCH_FREE);
	return ret;
}

static size_t watch_unmap_pages(struct iommu_domain *domain, unsigned long iova,
				size_t pgsize, size_t pgcount,
				struct iommu_iotlb_gather *gather)
{
	struct watch *watch = the_watch;
	struct watch_task *self = watch_self(watch);
	unsigned long flags;
	unsigned int nth;
	size_t size;
	u32 turn;

	nth = watch_pause_faults();
	size = watch->ops->unmap_pages(domain, iova, pgsize, pgcount, gather);
	watch_resume_faults(nth);

	smp_mb(); /* the count is read after the translation is cleared */
	turn = atomic_read(&watch->started) + 1;
	watch_set_unmapped(watch, iova, size, turn);
	atomic_long_inc(&watch->unmaps);
	if (gather->queued)
		atomic_long_inc(&watch->queued);
	if (self) {
		self->turn = turn;
		self->open = !gather->queued;
	}
	raw_spin_lock_irqsave(&watch->lock, flags);
	if (!gather->queued && size)
		watch_gather_add(watch, gather, iova, size);
	if (watch->follow)
		watch_tables_add(watch, gather, turn);
	raw_spin_unlock_irqrestore(&watch->lock, flags);
	return size;
}

static void watch_iotlb_sync(struct iommu_domain *domain,
			     struct iommu_iotlb_gather *gather)
{
	struct watch *watch = the_watch;
	struct watch_task *self = watch_self(watch);
	struct watch_gather done = {}, *open;
	unsigned int early, nth;
	unsigned long flags;

	raw_spin_lock_irqsave(&watch->lock, flags);
	early = watch_tables_check(watch, gather, 0);
	open = watch_gather(watch, gather);
	if (open) {
		done = *open;
		open->gather = NULL;
	}
	raw_spin_unlock_irqrestore(&watch->lock, flags);
	if (early)
		watch_wrong(watch, "page table freed before its sync", early);

	nth = watch_pause_faults();
	if (watch->ops->iotlb_sync)
		watch->ops->iotlb_sync(domain, gather);
	watch_resume_faults(nth);
	if (done.gather)
		watch_set_free(watch, done.first, done.last);
	atomic_long_inc(&watch->syncs);
	if (self)
		self->open = false;
}

static void watch_flush_all(struct iommu_domain *domain)
{
	struct watch *watch = the_watch;
	u32 turn = atomic_inc_return(&watch->started);
	unsigned int early;
	unsigned long flags;
	u64 now;

	if (watch->ops->flush_iotlb_all)
		watch->ops->flush_iotlb_all(domain);
	now = ktime_get_ns();

	raw_spin_lock_irqsave(&watch->lock, flags);
	early = watch_tables_check(watch, NULL, turn);
	while ((s32)(turn - watch->finished) > 0) {
		u32 next = watch->finished + 1;
		u64 *since = &watch->since[next % WATCH_FLUSHES];

		if (*since && now > *since)
			watch->longest = max(watch->longest, now - *since);
		*since = 0;
		WRITE_ONCE(watch->finished, next);
	}
	raw_spin_unlock_irqrestore(&watch->lock, flags);
	if (early)
		watch_wrong(watch, "page table freed before its flush", early);
}

/**
 * watch_returned() - an unmap of a thread of ours has returned
 * @watch: the watch
 * @self: the thread
 */
void watch_returned(struct watch *watch, struct watch_task *self)
{
	u64 *since = &watch->since[self->turn % WATCH_FLUSHES];
	unsigned long flags;

	if (self->open) {
		self->open = false;
		watch_wrong(watch, "unmap returned before its invalidation", 0);
		return;
	}
	raw_spin_lock_irqsave(&watch->lock, flags);
	if ((s32)(watch->finished - self->turn) < 0 && !*since)
		*since = ktime_get_ns();
	raw_spin_unlock_irqrestore(&watch->lock, flags);
}

/*
 * A time of watching.
 */

/**
 * watch_begin() - forget what has been counted so far
 * @watch: the watch
 */
void watch_begin(struct watch *watch)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&watch->lock, flags);
	watch->longest = 0;
	watch->rule = NULL;
	raw_spin_unlock_irqrestore(&watch->lock, flags);
	atomic_long_set(&watch->unmaps, 0);
	atomic_long_set(&watch->queued, 0);
	atomic_long_set(&watch->syncs, 0);
	atomic_set(&watch->wrongs, 0);
}

/* The lowest granule that waits for a flush */
static unsigned long watch_waiting(struct watch *watch)
{
	unsigned long g;

	for (g = 0; g < watch->granules; g++)
		if (watch_waits(watch, READ_ONCE(watch->state[g])))
			break;
	return g;
}

/* After all have ended: is something left that no flush comes for? */
static void watch_settle(struct watch *watch)
{
	unsigned long end = jiffies + msecs_to_jiffies(WATCH_SETTLE_MS), g;

	while ((g = watch_waiting(watch)) < watch->granules) {
		/* In strict mode there is nothing to wait for. */
		if (!atomic_long_read(&watch->queued) || time_after(jiffies, end)) {
			watch_wrong(watch, "unmapped and never invalidated",
				    (u64)g << watch->shift);
			return;
		}
		msleep(20);
	}
}

/**
 * watch_verdict() - were the rules kept since watch_begin()?
 * @watch: the watch
 * @bound_us: longest window that is allowed; 0 for any
 *
 * To be called when all threads of ours are idle.
 *
 * Return: 0 or an error.
 */
int watch_verdict(struct watch *watch, unsigned long bound_us)
{
	unsigned long longest_us;

	watch_settle(watch);
	longest_us = watch->longest / NSEC_PER_USEC;
	watch_note("%ld unmaps, %ld of them deferred, %ld syncs, longest window %lu us\n",
		   atomic_long_read(&watch->unmaps),
		   atomic_long_read(&watch->queued),
		   atomic_long_read(&watch->syncs), longest_us);
	if (watch->rule) {
		watch_note("%s, at %#llx; %d times that or other wrongs\n",
			   watch->rule, watch->where,
			   atomic_read(&watch->wrongs));
		return -EILSEQ;
	}
	if (bound_us && longest_us > bound_us) {
		watch_note("a window longer than %lu us\n", bound_us);
		return -ETIME;
	}
	return 0;
}

static struct watch *watch_alloc(struct device *dev, struct iommu_domain *domain,
				 unsigned int guard)
{
	struct watch *watch = vzalloc(sizeof(*watch));

	if (!watch)
		return NULL;
	watch->dev = dev;
	watch->domain = domain;
	watch->ops = domain->ops;
	watch->shift = __ffs(domain->pgsize_bitmap);
	watch->guard = guard;
	raw_spin_lock_init(&watch->lock);
	watch->granules = 1UL << (min(fls64(dma_get_mask(dev)), WATCH_BITS) -
				  watch->shift);
	watch->state = vzalloc(array_size(watch->granules, sizeof(u32)));
	if (!watch->state) {
		vfree(watch);
		return NULL;
	}
	watch->hooked = *domain->ops;
	watch->hooked.map_pages = watch_map_pages;
	watch->hooked.unmap_pages = watch_unmap_pages;
	watch->hooked.iotlb_sync = watch_iotlb_sync;
	watch->hooked.flush_iotlb_all = watch_flush_all;
	return watch;
}

/**
 * watch_install() - watch the domain of a device
 * @dev: the device; its domain has to stay what it is until watch_remove()
 * @guard: granules that must stay unmapped behind every mapping
 *
 * Return: the watch, of which there is one at a time, or an error.
 */
struct watch *watch_install(struct device *dev, unsigned int guard)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	struct watch *watch;

	if (!domain || !use_dma_iommu(dev))
		return ERR_PTR(-ENODEV);
	watch = watch_alloc(dev, domain, guard);
	if (!watch)
		return ERR_PTR(-ENOMEM);
	the_watch = watch;
	/* Whoever calls one of our operations sees what it works on. */
	smp_store_release(&domain->ops, &watch->hooked);
	return watch;
}

/**
 * watch_remove() - give the domain its own operations back
 * @watch: the watch; gone when this returns
 */
void watch_remove(struct watch *watch)
{
	WRITE_ONCE(watch->domain->ops, watch->ops);
	/* Whoever is in ours, the flush timer above all, gets out of them. */
	synchronize_rcu();
	msleep(100);
	vfree(watch->state);
	vfree(watch);
}
