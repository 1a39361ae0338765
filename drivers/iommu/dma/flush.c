// SPDX-License-Identifier: GPL-2.0
/*
 * Deferred invalidation: when a range may be used again.
 *
 * In deferred mode an unmap clears the translation and returns; the IOTLB may
 * hold it for a while longer, at most for the window. One invalidation of the
 * whole domain per window serves all unmaps in it.
 *
 * There are two epochs. Ranges retire into the current one. A flush
 *
 *   1. makes the other epoch current,
 *   2. invalidates the whole domain,
 *   3. recycles the ranges of the old epoch and releases its pages.
 *
 * An unmap clears the translation before it reads the epoch. If it reads the
 * old one, it did so before step 1, so step 2 covers it, no matter how late it
 * puts its range on the list. A late range stays listed until the next flush of
 * that epoch, or until somebody is short of addresses. Late pages arm the timer
 * again, so that they are freed soon. If the unmap reads the new epoch, its
 * range waits for the next flush.
 *
 *   unmap                         flush
 *   clear translation             switch the epoch
 *   smp_mb()  [A]                 smp_mb()  [B]
 *   read the epoch                invalidate (sees the cleared translation)
 *
 * Step 3 is done in portions, the first by the timer and the rest by a worker,
 * and while it lasts the epochs cannot switch again. If a window ends
 * meanwhile, the domain is still invalidated in time; its ranges wait for one
 * more flush.
 *
 * Ranges wait in the space, not here: iova_space_retire() sets a bit per granule
 * in the chunk, or queues a large extent. Unmapping never waits, allocates or
 * fails.
 */

#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/mm.h>

#include "../iommu-pages.h"
#include "flush.h"

/*
 * Protection is promised at most 10 ms after the unmap. The timer may be late
 * by an interrupt or two, so it aims a little lower.
 */
#define IOMMU_DMA_WINDOW_NS		(9300 * NSEC_PER_USEC)

/*
 * Where an invalidation costs as much as replaying the page table (it is an
 * exit to a hypervisor that shadows it), seconds of mappings share one.
 */
#define IOMMU_DMA_EXPENSIVE_WINDOW_NS	NSEC_PER_SEC

/*
 * Most chunks and large ranges to recycle with interrupts off at once. Each
 * takes up to 1,300 instructions, so a portion stays well below 20,000.
 */
#define IOMMU_DMA_FLUSH_PORTION		8

static struct workqueue_struct *flush_wq __ro_after_init;

/* Reclaim may need the pages that a flush has covered. */
static int __init flush_setup(void)
{
	flush_wq = alloc_workqueue("iommu_dma", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return flush_wq ? 0 : -ENOMEM;
}
core_initcall(flush_setup);

static void flush_queue_work(struct iommu_dma_flush *flush)
{
	queue_work(flush_wq ?: system_unbound_wq, &flush->work);
}

static void flush_arm(struct iommu_dma_flush *flush)
{
	unsigned long flags;

	/*
	 * [C] pairs with [D] in flush_timer(): a CPU that has retired into the
	 * new epoch sees that the timer is no longer armed for it.
	 */
	smp_rmb();
	if (atomic_read(&flush->armed))
		return;
	/*
	 * Unmaps skip arming once @armed is set, so interrupts stay off until
	 * the timer has started.
	 */
	local_irq_save(flags);
	if (!atomic_xchg(&flush->armed, 1))
		hrtimer_start(&flush->timer, flush->window, HRTIMER_MODE_REL);
	local_irq_restore(flags);
}

/* Do a portion of step 3. Return: whether there is more. */
static bool flush_recycle(struct iommu_dma_flush *flush)
{
	unsigned long flags;
	bool more;

	spin_lock_irqsave(&flush->lock, flags);
	if (flush->recycling)
		WRITE_ONCE(flush->recycling,
			   iova_space_recycle(flush->space,
					      IOMMU_DMA_FLUSH_PORTION));
	more = flush->recycling;
	spin_unlock_irqrestore(&flush->lock, flags);
	return more;
}

/* Let the pages of @epoch be freed, as the flush has covered them. */
static void flush_release(struct iommu_dma_flush *flush, unsigned int epoch)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&flush->pages_lock, flags);
	list_splice_tail_init(&flush->pages[epoch], &flush->released);
	raw_spin_unlock_irqrestore(&flush->pages_lock, flags);
}

/* Free a portion of the pages. Return: whether there is more. */
static bool flush_free(struct iommu_dma_flush *flush)
{
	unsigned int budget = IOMMU_DMA_FLUSH_PORTION;
	unsigned long flags;
	LIST_HEAD(pages);
	bool more;

	raw_spin_lock_irqsave(&flush->pages_lock, flags);
	while (budget-- && !list_empty(&flush->released))
		list_move(flush->released.next, &pages);
	more = !list_empty(&flush->released);
	raw_spin_unlock_irqrestore(&flush->pages_lock, flags);
	iommu_put_pages_list(&pages);
	return more;
}

/*
 * Whether there are pages on @list, which &iommu_dma_flush.pages_lock protects
 */
static bool flush_has_pages(struct iommu_dma_flush *flush,
			    const struct list_head *list)
{
	unsigned long flags;
	bool any;

	raw_spin_lock_irqsave(&flush->pages_lock, flags);
	any = !list_empty(list);
	raw_spin_unlock_irqrestore(&flush->pages_lock, flags);
	return any;
}

/*
 * Whether the new epoch already has pages: a late unmap has added them while it
 * was the old one.
 */
static bool flush_is_late(struct iommu_dma_flush *flush)
{
	return flush_has_pages(flush, &flush->pages[READ_ONCE(flush->epoch)]);
}

/* Begin step 3 for an epoch whose ranges an invalidation has covered. */
static void flush_begin_recycling(struct iommu_dma_flush *flush,
				  unsigned int epoch)
{
	lockdep_assert_held(&flush->lock);
	iova_space_recycle_start(flush->space, epoch);
	WRITE_ONCE(flush->recycling, true);
	flush_release(flush, epoch);
}

/*
 * Do steps 1 and 2.
 * Return: false if the epochs cannot switch because the other one is still
 * being recycled.
 */
static bool flush_switch(struct iommu_dma_flush *flush)
{
	unsigned int old = flush->epoch;

	lockdep_assert_held(&flush->lock);
	if (flush->recycling)
		return false;
	WRITE_ONCE(flush->epoch, old ^ 1);
	smp_mb(); /* [B] pairs with [A] in iommu_dma_flush_retire() */
	iommu_flush_iotlb_all(READ_ONCE(flush->domain));
	flush_begin_recycling(flush, old);
	return true;
}

/*
 * Invalidate at the end of the window, in any case.
 * Return: whether the epochs have switched; if not, the current one needs
 * another flush.
 */
static bool flush_window(struct iommu_dma_flush *flush)
{
	unsigned long flags;
	bool switched;

	spin_lock_irqsave(&flush->lock, flags);
	switched = flush_switch(flush);
	if (!switched) {
		smp_mb(); /* as [B] */
		iommu_flush_iotlb_all(READ_ONCE(flush->domain));
	}
	spin_unlock_irqrestore(&flush->lock, flags);
	return switched;
}

/*
 * Recycle what waits, if anything does: late ranges of the other epoch, which
 * the last flush has covered, or else the current epoch.
 * @flushed: set if there was an invalidation; if set already, there is no other
 */
static bool flush_waiting(struct iommu_dma_flush *flush, bool *flushed)
{
	unsigned int epoch;
	unsigned long flags;
	bool any = true;

	spin_lock_irqsave(&flush->lock, flags);
	epoch = flush->epoch;
	/* Another CPU may have been faster. */
	if (!flush->recycling) {
		if (iova_space_has_retired(flush->space, epoch ^ 1))
			flush_begin_recycling(flush, epoch ^ 1);
		else if (!*flushed &&
			 iova_space_has_retired(flush->space, epoch))
			*flushed = flush_switch(flush);
		else
			any = false;
	}
	spin_unlock_irqrestore(&flush->lock, flags);
	return any;
}

static enum hrtimer_restart flush_timer(struct hrtimer *timer)
{
	struct iommu_dma_flush *flush =
		container_of(timer, struct iommu_dma_flush, timer);

	atomic_set(&flush->armed, 0);
	smp_mb(); /* [D] pairs with [C] in flush_arm() */
	if (!flush_window(flush) || flush_is_late(flush))
		flush_arm(flush);
	if (flush_recycle(flush) || flush_has_pages(flush, &flush->released))
		flush_queue_work(flush);
	return HRTIMER_NORESTART;
}

static void flush_worker(struct work_struct *work)
{
	struct iommu_dma_flush *flush =
		container_of(work, struct iommu_dma_flush, work);

	while (flush_recycle(flush))
		cond_resched();
	while (flush_free(flush))
		cond_resched();
}

/**
 * iommu_dma_flush_retire - let an unmapped range wait for the end of the window
 * @flush: deferred invalidation of the domain, enabled
 * @range: from iova_space_claim(); its translation has been cleared
 * @pages: pages that the IOTLB or the device may still refer to; emptied
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iommu_dma_flush_retire(struct iommu_dma_flush *flush,
			    const struct iova_range *range,
			    struct list_head *pages)
{
	unsigned int epoch;
	unsigned long flags;

	smp_mb(); /* [A] pairs with [B] in flush_switch() */
	epoch = READ_ONCE(flush->epoch);
	if (!list_empty(pages)) {
		raw_spin_lock_irqsave(&flush->pages_lock, flags);
		list_splice_tail_init(pages, &flush->pages[epoch]);
		raw_spin_unlock_irqrestore(&flush->pages_lock, flags);
	}
	iova_space_retire(flush->space, range, epoch);
	flush_arm(flush);
}

/**
 * iommu_dma_flush_reclaim - free some of the ranges that wait for a flush
 * @flush: deferred invalidation of the domain
 * @flushed: whether there was an invalidation for this caller; starts as false,
 *	and each call gets the same variable
 *
 * For a caller that is short of addresses, which calls this until it finds
 * some. Invalidates at most once, and not at all if nothing waits.
 *
 * Context: Any. Does a bounded portion of work.
 * Return: false if nothing is left to wait for, or the domain is strict. What
 * other CPUs have freed since the caller last looked for addresses is free then.
 */
bool iommu_dma_flush_reclaim(struct iommu_dma_flush *flush, bool *flushed)
{
	if (!iommu_dma_flush_enabled(flush))
		return false;
	/* Finish a flush under way first. */
	if (!READ_ONCE(flush->recycling)) {
		if (!flush_waiting(flush, flushed))
			return false;
		if (flush_has_pages(flush, &flush->released))
			flush_queue_work(flush);
	}
	flush_recycle(flush);
	return true;
}

/**
 * iommu_dma_flush_init - set up for strict mode
 * @flush: deferred invalidation of the domain
 * @space: addresses of the domain
 * @expensive: an invalidation costs so much that a long window is better
 *
 * Context: Any.
 */
void iommu_dma_flush_init(struct iommu_dma_flush *flush,
			  struct iova_space *space, bool expensive)
{
	unsigned int epoch;

	*flush = (struct iommu_dma_flush){ .space = space };
	flush->window = ns_to_ktime(expensive ? IOMMU_DMA_EXPENSIVE_WINDOW_NS :
						IOMMU_DMA_WINDOW_NS);
	spin_lock_init(&flush->lock);
	raw_spin_lock_init(&flush->pages_lock);
	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++)
		INIT_LIST_HEAD(&flush->pages[epoch]);
	INIT_LIST_HEAD(&flush->released);
	/*
	 * The timer expires in hard interrupt context, as a softirq may run
	 * after the window. PREEMPT_RT uses a softirq anyway.
	 */
	hrtimer_init(&flush->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	flush->timer.function = flush_timer;
	INIT_WORK(&flush->work, flush_worker);
}

/**
 * iommu_dma_flush_enable - go from strict to deferred mode
 * @flush: deferred invalidation of the domain
 * @domain: the domain whose IOTLB entries are invalidated
 *
 * May be called while mappings are being unmapped. An unmap that has begun
 * before stays strict.
 *
 * Context: Any; the caller serialises.
 */
void iommu_dma_flush_enable(struct iommu_dma_flush *flush,
			    struct iommu_domain *domain)
{
	/* Pairs with the address dependency of iommu_dma_flush_enabled(). */
	smp_store_release(&flush->domain, domain);
}

/**
 * iommu_dma_flush_destroy - stop the timer and free all pages
 * @flush: deferred invalidation of a domain in which nothing is unmapped any
 *	more
 *
 * Ranges that still wait are freed with their space.
 *
 * Context: Process; may sleep.
 */
void iommu_dma_flush_destroy(struct iommu_dma_flush *flush)
{
	unsigned int epoch;

	if (!flush->domain)
		return;
	/* The timer may queue the work, the work never starts the timer. */
	hrtimer_cancel(&flush->timer);
	cancel_work_sync(&flush->work);
	iommu_flush_iotlb_all(flush->domain);
	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++)
		iommu_put_pages_list(&flush->pages[epoch]);
	iommu_put_pages_list(&flush->released);
}
