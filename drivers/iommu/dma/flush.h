/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Deferred invalidation: when a range may be used again. See flush.c.
 */
#ifndef _IOMMU_DMA_FLUSH_H
#define _IOMMU_DMA_FLUSH_H

#include <linux/atomic.h>
#include <linux/hrtimer.h>
#include <linux/iommu.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "iova-space.h"

enum iommu_dma_flush_state {
	IOMMU_DMA_FLUSH_IDLE,
	/* No invalidation has covered the old epoch yet. */
	IOMMU_DMA_FLUSH_SWITCHED,
	/* The old epoch has been covered, and its ranges become free. */
	IOMMU_DMA_FLUSH_RECYCLING,
};

/**
 * struct iommu_dma_flush - deferred invalidation of one domain
 * @domain: domain whose IOTLB entries are invalidated; NULL while it is strict
 *	without a quarantine
 * @space: where ranges wait for a flush
 * @lock: serialises switching and recycling; protects @state, and is taken to
 *	write @epoch. Not raw, as recycling may free chunks
 * @epoch: number of the epoch that ranges retire into
 * @state: how far the last flush has got
 * @slow: the IOMMU takes so long that the worker invalidates; or it is not known
 * @due: windows that the worker is to end, and has not begun with
 * @pages: per epoch, page-table and bounce pages to release with it; protected
 *	by @pages_lock
 * @released: pages that a flush has covered, to be freed; protected by
 *	@pages_lock
 * @pages_lock: innermost lock
 * @window: from the first range that retires to the invalidation
 * @quarantine: 0, or the length of the window in its place
 * @at_once: each unmap invalidates, as there is a quarantine
 * @timer: ends the window
 * @armed: 1 from starting @timer until it expires
 * @work: does what would take @timer too long
 */
struct iommu_dma_flush {
	struct iommu_domain *domain;
	struct iova_space *space;
	spinlock_t lock;
	unsigned int epoch;
	enum iommu_dma_flush_state state;
	bool slow;
	atomic_t due;
	struct list_head pages[IOVA_EPOCHS];
	struct list_head released;
	raw_spinlock_t pages_lock;
	ktime_t window;
	ktime_t quarantine;
	bool at_once;
	struct hrtimer timer;
	atomic_t armed;
	struct work_struct work;
};

/**
 * struct iommu_dma_reclaim - how far somebody who is short of addresses has got
 * @begun: the caller has looked for what waits
 * @epoch: the epoch that was the current one when it did so first; the next one, if
 *	there were late ranges that only its flush would cover
 */
struct iommu_dma_reclaim {
	bool begun;
	unsigned int epoch;
};

void iommu_dma_flush_init(struct iommu_dma_flush *flush,
			  struct iova_space *space, bool expensive);
void iommu_dma_flush_enable(struct iommu_dma_flush *flush,
			    struct iommu_domain *domain);
void iommu_dma_flush_quarantine(struct iommu_dma_flush *flush,
				struct iommu_domain *domain, ktime_t quarantine);
void iommu_dma_flush_destroy(struct iommu_dma_flush *flush);
void iommu_dma_flush_retire(struct iommu_dma_flush *flush,
			    const struct iova_range *range,
			    struct list_head *pages);
bool iommu_dma_flush_reclaim(struct iommu_dma_flush *flush,
			     struct iommu_dma_reclaim *reclaim);

/**
 * iommu_dma_flush_enabled - whether ranges wait before they are free again
 * @flush: deferred invalidation of the domain
 *
 * Context: Any.
 * Return: true from iommu_dma_flush_enable() or iommu_dma_flush_quarantine() on.
 */
static inline bool iommu_dma_flush_enabled(const struct iommu_dma_flush *flush)
{
	/* All other fields were set up before any device could map. */
	return READ_ONCE(flush->domain);
}

/* Whether ranges wait though the domain is strict */
static inline bool
iommu_dma_flush_quarantined(const struct iommu_dma_flush *flush)
{
	return READ_ONCE(flush->at_once);
}

#endif /* _IOMMU_DMA_FLUSH_H */
