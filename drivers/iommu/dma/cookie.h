/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the layer keeps with an IOMMU domain, and how it is read.
 *
 * All files that know devices or domains share this, from domain.c, which sets
 * a cookie up, down to bounce.c.
 */
#ifndef _IOMMU_DMA_COOKIE_H
#define _IOMMU_DMA_COOKIE_H

#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/mutex.h>
#include <linux/xarray.h>

#include "flush.h"
#include "iova-space.h"

enum iommu_dma_cookie_type {
	/* The DMA API allocates the addresses. */
	IOMMU_DMA_COOKIE_IOVA,
	/*
	 * Another user of the domain does, and sets a window for doorbells
	 * aside.
	 */
	IOMMU_DMA_COOKIE_MSI,
};

/**
 * struct iommu_dma_cookie - what the layer keeps with a domain
 * @domain: the domain
 * @type: who allocates addresses
 * @granule_shift: log2 of the granule in bytes; 0 until the first device is
 *	added
 * @larger_page: bytes of the IOMMU's smallest page above the granule; SIZE_MAX
 *	if there is none
 * @guard: granules at the end of each range that are never mapped
 * @last: last byte that the IOMMU can reach, below U64_MAX
 * @space: addresses
 * @flush: deferred invalidation
 * @bounces: &struct iommu_dma_bounce by granule
 * @deferrable: the IOMMU can defer invalidation
 * @low_used_up: bit 0: a device that prefers addresses below 4 GiB got others
 * @low_refused: granules of a request that had no place below 4 GiB
 * @low_until: until then, in jiffies, none as large looks for one there
 * @msi_next: next free address in the window of an IOMMU_DMA_COOKIE_MSI
 * @msi_pages: doorbells mapped so far
 * @lock: serialises the first set-up; protects @msi_next and @msi_pages; not
 *	held while regions are reserved
 *
 * Lock order: @lock; &iommu_dma_flush.lock; then these, of which no two are
 * held at once: the lock of @bounces, those of &iova_pool.chunks and of the
 * CPUs' caches with &iova_pool.lock inside, and &iommu_dma_flush.pages_lock.
 *
 * With IOMMU_DMA_COOKIE_MSI only @domain, @type, @lock and the msi fields are
 * used.
 */
struct iommu_dma_cookie {
	struct iommu_domain *domain;
	enum iommu_dma_cookie_type type;
	unsigned int granule_shift;
	unsigned int guard;
	size_t larger_page;
	u64 last;
	struct iova_space space;
	struct iommu_dma_flush flush;
	struct xarray bounces;
	bool deferrable;
	unsigned long low_used_up;
	unsigned long low_refused;
	u64 low_until;
	dma_addr_t msi_next;
	struct list_head msi_pages;
	struct mutex lock;
};

static inline struct iommu_dma_cookie *iommu_dma_dev_cookie(struct device *dev)
{
	return iommu_get_dma_domain(dev)->iova_cookie;
}

static inline size_t cookie_granule(const struct iommu_dma_cookie *cookie)
{
	return (size_t)1 << cookie->granule_shift;
}

/* The bytes of @addr below the granule */
static inline size_t
cookie_granule_offset(const struct iommu_dma_cookie *cookie, u64 addr)
{
	return addr & (cookie_granule(cookie) - 1);
}

/*
 * Where in memory the IOMMU translates @addr to. It says 0 for nothing, and for
 * the byte at 0, which has another next to it.
 */
static inline bool cookie_translate(const struct iommu_dma_cookie *cookie,
				    u64 addr, phys_addr_t *phys)
{
	*phys = iommu_iova_to_phys(cookie->domain, addr);
	return *phys || iommu_iova_to_phys(cookie->domain, addr | 1);
}

/**
 * struct iommu_dma_span - whole granules
 * @start: address of the first
 * @end: address behind the last; exists for each range, as none ends at the top
 *	of the address space
 */
struct iommu_dma_span {
	u64 start;
	u64 end;
};

/* The granules of [@addr, @addr + @len) */
static __always_inline struct iommu_dma_span
cookie_granules(const struct iommu_dma_cookie *cookie, u64 addr, u64 len)
{
	return (struct iommu_dma_span) {
		.start = addr - cookie_granule_offset(cookie, addr),
		.end = ALIGN(addr + len, cookie_granule(cookie)),
	};
}

static inline dma_addr_t
iommu_dma_iova_addr(const struct iommu_dma_cookie *cookie,
		    const struct iova_range *range)
{
	return (dma_addr_t)range->first << cookie->granule_shift;
}

/* The last granule that ends at @limit or below it; IOVA_NONE if none does */
static inline unsigned long
cookie_limit_granule(const struct iommu_dma_cookie *cookie, u64 limit)
{
	u64 end = (limit + 1) >> cookie->granule_shift;

	return end ? min_t(u64, end - 1, ULONG_MAX) : IOVA_NONE;
}

/* Whether any mapping of the domain is bounced */
static inline bool iommu_dma_any_bounces(const struct iommu_dma_cookie *cookie)
{
	/*
	 * Bounces of other mappings may be added and removed at any time. Those
	 * of the caller's mapping were added before its address was known.
	 */
	return !data_race(xa_empty(&cookie->bounces));
}

/*
 * A device address and its memory agree in the bits below this power of two, unless the
 * memory is bounced, see iommu_dma_bounce_place().
 */
static inline u64 iommu_dma_min_align(struct device *dev,
				      const struct iommu_dma_cookie *cookie)
{
	return max_t(u64, cookie_granule(cookie),
		     (u64)dma_get_min_align_mask(dev) + 1);
}

/*
 * Where pages are larger than the granule, drivers may split an address into pages,
 * so a mapping of whole pages is aligned to them, too.
 */
static inline u64 iommu_dma_page_align(u64 min_align, phys_addr_t phys,
				       size_t size)
{
	if (!IS_ENABLED(CONFIG_PAGE_SIZE_4KB) && PAGE_ALIGNED(phys) &&
	    size >= PAGE_SIZE)
		return max_t(u64, min_align, PAGE_SIZE);
	return min_align;
}

/*
 * A mapping crosses a multiple of this power of two only if it is longer. 0 is
 * no boundary, as a mask of 64 ones wraps to it.
 */
static inline u64 iommu_dma_boundary(struct device *dev)
{
	return (u64)dma_get_seg_boundary(dev) + 1;
}

/**
 * iommu_dma_limit - the highest address that a device can be given
 * @dev: device
 * @cookie: cookie of its domain
 * @mask: the limit that the driver told the DMA API
 *
 * Context: Any.
 * Return: the lowest limit of mask, bus and IOMMU; inclusive, below U64_MAX.
 */
static inline u64 iommu_dma_limit(struct device *dev,
				  const struct iommu_dma_cookie *cookie,
				  u64 mask)
{
	return min_not_zero(min(mask, cookie->last), dev->bus_dma_limit);
}

/**
 * iommu_dma_prot - what a device may do with a mapping
 * @dev: device
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any.
 * Return: IOMMU_* flags for iommu_map() of memory.
 */
static inline int iommu_dma_prot(struct device *dev,
				 enum dma_data_direction dir,
				 unsigned long attrs)
{
	int prot = 0;

	if (dir == DMA_TO_DEVICE || dir == DMA_BIDIRECTIONAL)
		prot |= IOMMU_READ;
	if (dir == DMA_FROM_DEVICE || dir == DMA_BIDIRECTIONAL)
		prot |= IOMMU_WRITE;
	if (dev_is_dma_coherent(dev))
		prot |= IOMMU_CACHE;
	if (attrs & DMA_ATTR_PRIVILEGED)
		prot |= IOMMU_PRIV;
	return prot;
}

#endif /* _IOMMU_DMA_COOKIE_H */
