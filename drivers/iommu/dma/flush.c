// SPDX-License-Identifier: GPL-2.0
/*
 * Deferred invalidation: when a range may be used again.
 *
 * In deferred mode an unmap clears the translation and returns; the IOTLB may
 * hold it for a while longer, until the window ends. One invalidation of the
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
 * Step 2 is done without a lock, and by a worker if the IOMMU is one that takes
 * long to answer. So two CPUs may invalidate for one switch, and the first to be
 * done begins step 3. An invalidation counts only for the epoch that was current
 * when it began.
 *
 * Step 3 is done in portions, the first by the timer and the rest by a worker.
 * The epochs cannot switch again until it is over. If a window ends meanwhile,
 * the domain is still invalidated in time; its ranges wait for one more flush.
 *
 * Ranges wait in the space, not here: iova_space_retire() sets a bit per granule
 * in the chunk, or queues a large extent. Unmapping never waits, allocates or
 * fails.
 */

#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/timekeeping.h>

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
 * An IOMMU that takes longer than this is left to the worker the next time, as
 * interrupts are off in the timer. That comes later: the scheduler decides. If it
 * has not come for so many windows, the timer does it.
 */
#define IOMMU_DMA_SLOW_NS		(500 * NSEC_PER_USEC)
#define IOMMU_DMA_WORKER_WINDOWS	10

/*
 * Most chunks and large ranges to recycle with interrupts off at once. Each
 * takes up to 1,300 instructions, so a portion stays well below 20,000.
 */
#define IOMMU_DMA_FLUSH_PORTION		8

static struct workqueue_struct *flush_wq __ro_after_init;

/*
 * Reclaim may need the pages that a flush has covered, and protection a flush
 * that is in time.
 */
static int __init flush_setup(void)
{
	flush_wq = alloc_workqueue("iommu_dma",
				   WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	return flush_wq ? 0 : -ENOMEM;
}
core_initcall(flush_setup);

static void flush_queue_work(struct iommu_dma_flush *flush)
{
	queue_work(flush_wq ?: system_unbound_wq, &flush->work);
}

/*
 * Unmaps skip arming once @armed is set, so interrupts stay off until the timer
 * has started.
 */
static void flush_start_timer(struct iommu_dma_flush *flush, bool again)
{
	unsigned long flags;

	local_irq_save(flags);
	if (!atomic_xchg(&flush->armed, 1) || again)
		hrtimer_start(&flush->timer,
			      READ_ONCE(flush->quarantine) ?: flush->window,
			      HRTIMER_MODE_REL);
	local_irq_restore(flags);
}

static void flush_arm(struct iommu_dma_flush *flush)
{
	/*
	 * [C] pairs with [D] in flush_timer(): a CPU that has retired into the
	 * new epoch sees that the timer is no longer armed for it.
	 */
	smp_rmb();
	if (!atomic_read(&flush->armed))
		flush_start_timer(flush, false);
}

/* Where the ranges and pages of an epoch wait */
static unsigned int flush_list(unsigned int epoch)
{
	return epoch % IOVA_EPOCHS;
}

/* Do a portion of step 3. Return: whether there is more. */
static bool flush_recycle(struct iommu_dma_flush *flush)
{
	unsigned long flags;
	bool more;

	spin_lock_irqsave(&flush->lock, flags);
	if (flush->state == IOMMU_DMA_FLUSH_RECYCLING &&
	    !iova_space_recycle(flush->space, IOMMU_DMA_FLUSH_PORTION))
		flush->state = IOMMU_DMA_FLUSH_IDLE;
	more = flush->state == IOMMU_DMA_FLUSH_RECYCLING;
	spin_unlock_irqrestore(&flush->lock, flags);
	return more;
}

/* Let the pages of @epoch be freed, as the flush has covered them. */
static void flush_release(struct iommu_dma_flush *flush, unsigned int epoch)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&flush->pages_lock, flags);
	list_splice_tail_init(&flush->pages[flush_list(epoch)],
			      &flush->released);
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
	unsigned int epoch = READ_ONCE(flush->epoch);

	return flush_has_pages(flush, &flush->pages[flush_list(epoch)]);
}

/* Begin step 3 for an epoch whose ranges an invalidation has covered. */
static void flush_begin_recycling(struct iommu_dma_flush *flush,
				  unsigned int epoch)
{
	lockdep_assert_held(&flush->lock);
	iova_space_recycle_start(flush->space, flush_list(epoch));
	flush->state = IOMMU_DMA_FLUSH_RECYCLING;
	flush_release(flush, epoch);
}

/*
 * Do step 1.
 * Return: false if the epochs cannot switch because the last flush is not over.
 */
static bool flush_switch(struct iommu_dma_flush *flush)
{
	lockdep_assert_held(&flush->lock);
	if (flush->state != IOMMU_DMA_FLUSH_IDLE)
		return false;
	WRITE_ONCE(flush->epoch, flush->epoch + 1);
	flush->state = IOMMU_DMA_FLUSH_SWITCHED;
	return true;
}

/* Invalidate, and see how long that takes: who is preempted does not know. */
static void flush_iotlb(struct iommu_dma_flush *flush,
			struct iommu_domain *domain)
{
	u64 start = ktime_get_mono_fast_ns();

	iommu_flush_iotlb_all(domain);
	if (ktime_get_mono_fast_ns() - start <= IOMMU_DMA_SLOW_NS)
		WRITE_ONCE(flush->slow, false);
	else if (irqs_disabled())
		WRITE_ONCE(flush->slow, true);
}

/*
 * Do step 2, and begin step 3 unless another CPU has been faster.
 * @epoch: the current one, read under the lock
 */
static void flush_invalidate(struct iommu_dma_flush *flush, unsigned int epoch)
{
	unsigned long flags;

	smp_mb(); /* [B] pairs with [A] in iommu_dma_flush_retire() */
	flush_iotlb(flush, READ_ONCE(flush->domain));
	spin_lock_irqsave(&flush->lock, flags);
	if (flush->state == IOMMU_DMA_FLUSH_SWITCHED && flush->epoch == epoch)
		flush_begin_recycling(flush, epoch - 1);
	spin_unlock_irqrestore(&flush->lock, flags);
}

/*
 * Invalidate at the end of the window, in any case.
 * Return: whether the epochs have switched; if not, the current one needs
 * another flush.
 */
static bool flush_window(struct iommu_dma_flush *flush)
{
	unsigned long flags;
	unsigned int epoch;
	bool switched;

	spin_lock_irqsave(&flush->lock, flags);
	switched = flush_switch(flush);
	epoch = flush->epoch;
	spin_unlock_irqrestore(&flush->lock, flags);
	flush_invalidate(flush, epoch);
	return switched;
}

/*
 * Begin to free what waits, if anything does: late ranges of the other epoch,
 * which the last flush has covered, or else the current epoch.
 * Return: false if nothing waits that had retired when the caller began.
 */
static bool flush_waiting(struct iommu_dma_flush *flush,
			  struct iommu_dma_reclaim *reclaim)
{
	bool invalidate = false, any = true;
	unsigned long flags;
	unsigned int epoch;
	int passed;

	spin_lock_irqsave(&flush->lock, flags);
	epoch = flush->epoch;
	if (!reclaim->begun) {
		*reclaim = (struct iommu_dma_reclaim) { true, epoch };
		/* Who is late waits for the next flush of the same list. */
		if (flush->state == IOMMU_DMA_FLUSH_RECYCLING &&
		    iova_space_has_retired(flush->space, flush_list(epoch - 1)))
			reclaim->epoch++;
	}
	/* Whoever was late is taken now, or has been. */
	if (flush->state == IOMMU_DMA_FLUSH_IDLE && reclaim->epoch == epoch + 1)
		reclaim->epoch = epoch;
	passed = epoch - reclaim->epoch;
	if (passed > 1) {
		any = false;
	} else if (flush->state == IOMMU_DMA_FLUSH_SWITCHED) {
		/*
		 * This CPU may have interrupted the one that invalidates, so
		 * it does not wait for that.
		 */
		any = iova_space_has_retired(flush->space,
					     flush_list(epoch - 1)) ||
		      (!passed && iova_space_has_retired(flush->space,
							 flush_list(epoch)));
		invalidate = any;
	} else if (flush->state == IOMMU_DMA_FLUSH_IDLE) {
		if (iova_space_has_retired(flush->space, flush_list(epoch - 1))) {
			flush_begin_recycling(flush, epoch - 1);
		} else {
			any = !passed && iova_space_has_retired(flush->space,
								flush_list(epoch));
			invalidate = any && flush_switch(flush);
			epoch = flush->epoch;
		}
	}
	spin_unlock_irqrestore(&flush->lock, flags);
	if (invalidate)
		flush_invalidate(flush, epoch);
	return any;
}

/* Do what is due at the end of a window. Return: whether there is more to do. */
static bool flush_end_window(struct iommu_dma_flush *flush)
{
	if (!flush_window(flush) || flush_is_late(flush))
		flush_arm(flush);
	return flush_recycle(flush) ||
	       flush_has_pages(flush, &flush->released);
}

static enum hrtimer_restart flush_timer(struct hrtimer *timer)
{
	struct iommu_dma_flush *flush =
		container_of(timer, struct iommu_dma_flush, timer);

	atomic_set(&flush->armed, 0);
	smp_mb(); /* [D] pairs with [C] in flush_arm() */
	if ((READ_ONCE(flush->slow) &&
	     atomic_inc_return(&flush->due) <= IOMMU_DMA_WORKER_WINDOWS) ||
	    flush_end_window(flush))
		flush_queue_work(flush);
	return HRTIMER_NORESTART;
}

static void flush_worker(struct work_struct *work)
{
	struct iommu_dma_flush *flush =
		container_of(work, struct iommu_dma_flush, work);
	bool more;

	do {
		if (atomic_xchg(&flush->due, 0))
			flush_end_window(flush);
		more = flush_recycle(flush);
		more |= flush_free(flush);
		cond_resched();
	} while (more);
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

	if (unlikely(iommu_dma_flush_quarantined(flush))) {
		iommu_flush_iotlb_all(flush->domain);
		iommu_put_pages_list(pages);
	}
	smp_mb(); /* [A] pairs with [B] in flush_invalidate() */
	epoch = flush_list(READ_ONCE(flush->epoch));
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
 * @reclaim: zero at first; each call for the same request gets the same
 *
 * For a caller that is short of addresses, which calls this until it finds
 * some. Invalidates at most once, and once more where another CPU is in the
 * middle of that; not at all if nothing waits.
 *
 * Context: Any. Does a bounded portion of work.
 * Return: false if all is free that had retired before the first call, or the
 * domain is strict.
 */
bool iommu_dma_flush_reclaim(struct iommu_dma_flush *flush,
			     struct iommu_dma_reclaim *reclaim)
{
	if (!iommu_dma_flush_enabled(flush))
		return false;
	if (!flush_waiting(flush, reclaim))
		return false;
	if (flush_recycle(flush) || flush_has_pages(flush, &flush->released))
		flush_queue_work(flush);
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

	*flush = (struct iommu_dma_flush){ .space = space, .slow = true };
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

/* Unmaps invalidate until it is certain that the timer comes within the window. */
static void flush_end_quarantine(struct iommu_dma_flush *flush)
{
	WRITE_ONCE(flush->quarantine, 0);
	/* Whoever was about to start the timer has done so. */
	synchronize_rcu();
	flush_start_timer(flush, true);
	/* Who sees this, and is not going to invalidate, has the timer. */
	smp_store_release(&flush->at_once, false);
}

/**
 * iommu_dma_flush_enable - go from strict to deferred mode
 * @flush: deferred invalidation of the domain
 * @domain: the domain whose IOTLB entries are invalidated
 *
 * May be called while mappings are being unmapped. An unmap that has begun
 * before stays strict, unless there was a quarantine, which ends. Invalidates
 * once, to see whether that takes long.
 *
 * Context: Process; may sleep. The caller serialises.
 */
void iommu_dma_flush_enable(struct iommu_dma_flush *flush,
			    struct iommu_domain *domain)
{
	flush_iotlb(flush, domain);
	if (flush->at_once)
		flush_end_quarantine(flush);
	WRITE_ONCE(flush->domain, domain);
}

/**
 * iommu_dma_flush_quarantine - stay strict, but do not reuse addresses at once
 * @flush: deferred invalidation of the domain
 * @domain: as in iommu_dma_flush_enable()
 * @quarantine: from the first unmap until all addresses of that window are
 *	free; they are free sooner if addresses are short
 *
 * For finding drivers that use a mapping after they have unmapped it. Each
 * unmap invalidates the whole domain, and then lets its range wait as in
 * deferred mode.
 *
 * Context: Process; may sleep. Before any device maps.
 */
void iommu_dma_flush_quarantine(struct iommu_dma_flush *flush,
				struct iommu_domain *domain, ktime_t quarantine)
{
	iommu_dma_flush_enable(flush, domain);
	flush->quarantine = quarantine;
	flush->at_once = true;
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
	/* The timer may queue the work, and the work start the timer. */
	disable_work_sync(&flush->work);
	hrtimer_cancel(&flush->timer);
	iommu_flush_iotlb_all(flush->domain);
	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++)
		iommu_put_pages_list(&flush->pages[epoch]);
	iommu_put_pages_list(&flush->released);
}
