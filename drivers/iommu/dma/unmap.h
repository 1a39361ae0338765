/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unmapping: claim, clear, invalidate, give back. See unmap.c.
 */
#ifndef _IOMMU_DMA_UNMAP_H
#define _IOMMU_DMA_UNMAP_H

#include "../iommu-priv.h"
#include "cookie.h"

struct page;

/*
 * Claim the mapping of about @size bytes that begins in the granule of @addr.
 */
static inline bool iommu_dma_claim_iova(struct iommu_dma_cookie *cookie,
					dma_addr_t addr, size_t size,
					struct iova_range *range)
{
	u64 granule = addr >> cookie->granule_shift;

	if (granule > ULONG_MAX)
		return false;
	if (unlikely(size >> cookie->granule_shift > IOVA_SMALL_MAX) &&
	    iova_space_claim_large(&cookie->space, granule, range))
		return true;
	return iova_space_claim(&cookie->space, granule, range);
}

/**
 * struct iommu_dma_unmap - an unmap under way
 * @cookie: cookie of the domain
 * @range: what has been claimed
 * @gather: what to invalidate
 * @failed: some of it may still be mapped; iommu_dma_unmap_end() looks for it
 */
struct iommu_dma_unmap {
	struct iommu_dma_cookie *cookie;
	struct iova_range range;
	struct iommu_iotlb_gather gather;
	bool failed;
};

u64 iommu_dma_next_mapped(const struct iommu_dma_cookie *cookie, u64 addr,
			  u64 end);
int iommu_dma_unmap_claim_slow(struct device *dev,
			       struct iommu_dma_unmap *unmap, dma_addr_t addr,
			       size_t size);
void iommu_dma_report_size(struct device *dev,
			   const struct iommu_dma_unmap *unmap, dma_addr_t addr,
			   size_t size);
void iommu_dma_unmap_following(struct device *dev,
			       const struct iommu_dma_unmap *unmap,
			       dma_addr_t addr, size_t size, bool sync);
void iommu_dma_report_unmap(struct device *dev, dma_addr_t addr, size_t size,
			    size_t unmapped);
size_t iommu_dma_unmap_granules(struct iommu_dma_unmap *unmap, dma_addr_t addr,
				size_t size);
void iommu_dma_unmap_end_slow(struct device *dev,
			      struct iommu_dma_unmap *unmap);
bool iommu_dma_unmap_keep(struct device *dev, struct iommu_dma_unmap *unmap);

/* The first byte behind the mapping; space_init() has made it fit. */
static inline u64 iommu_dma_unmap_iova_end(const struct iommu_dma_unmap *unmap)
{
	return ((u64)unmap->range.last + 1 - unmap->cookie->guard) <<
	       unmap->cookie->granule_shift;
}

/* Bytes of the mapping, whole granules */
static inline u64 iommu_dma_unmap_iova_size(const struct iommu_dma_unmap *unmap)
{
	return iommu_dma_unmap_iova_end(unmap) -
	       ((u64)unmap->range.first << unmap->cookie->granule_shift);
}

/* Begin to unmap what has been claimed; @failed if it is not what the caller says. */
static __always_inline void iommu_dma_unmap_start(struct iommu_dma_unmap *unmap,
						  bool failed)
{
	unmap->failed = failed;
	unmap->gather = (struct iommu_iotlb_gather) {
		.start = ULONG_MAX,
		.freelist = LIST_HEAD_INIT(unmap->gather.freelist),
		.queued = iommu_dma_flush_enabled(&unmap->cookie->flush),
	};
}

/**
 * iommu_dma_unmap_claim - claim a mapping in order to unmap it
 * @dev: device that the mapping was made for
 * @unmap: to be filled in
 * @addr: DMA address of the first byte of the mapping; it may be up to
 *	iommu_dma_min_align() - 1 bytes above the start of the range
 * @size: bytes, as far as the caller knows
 *
 * Context: Any.
 * Return: false if there is no such mapping, which has been reported.
 */
static __always_inline bool iommu_dma_unmap_claim(struct device *dev,
						  struct iommu_dma_unmap *unmap,
						  dma_addr_t addr, size_t size)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	int elsewhere = 0;

	unmap->cookie = cookie;
	/*
	 * The granule of @addr comes first, as the mapping may have been made
	 * before the driver set a min_align_mask.
	 */
	if (unlikely(!iommu_dma_claim_iova(cookie, addr, size,
					   &unmap->range))) {
		elsewhere = iommu_dma_unmap_claim_slow(dev, unmap, addr, size);
		if (elsewhere < 0)
			return false;
	}
	iommu_dma_unmap_start(unmap, elsewhere);
	return true;
}

/*
 * Check that the mapping is as large as the caller says. One of another size is unmapped as
 * a whole: for the caller it is gone, so the device must not reach it any more.
 * Return: false if it has another size and begins where the caller says, which has been
 * reported.
 */
static __always_inline bool iommu_dma_unmap_check(struct device *dev,
						  struct iommu_dma_unmap *unmap,
						  dma_addr_t addr, size_t size)
{
	bool elsewhere = unmap->failed;

	/* The difference wraps if @size is too large. */
	if (unlikely(!size || iommu_dma_unmap_iova_end(unmap) - addr - size >=
				      cookie_granule(unmap->cookie))) {
		if (!elsewhere)
			iommu_dma_report_size(dev, unmap, addr, size);
		unmap->failed = true;
		return elsewhere;
	}
	return true;
}

/**
 * iommu_dma_unmap_range - clear the translation of a part of a mapping
 * @dev: as in iommu_dma_unmap_claim()
 * @unmap: the unmap under way
 * @addr: first byte, at a granule
 * @size: bytes, whole granules that are all mapped
 *
 * Context: Any.
 */
static __always_inline void iommu_dma_unmap_range(struct device *dev,
						  struct iommu_dma_unmap *unmap,
						  dma_addr_t addr, size_t size)
{
	struct iommu_domain *domain = unmap->cookie->domain;
	size_t unmapped;

	if (likely(size == cookie_granule(unmap->cookie)))
		unmapped = iommu_unmap_page(domain, addr, size, &unmap->gather);
	else if (size < unmap->cookie->larger_page)
		unmapped = iommu_dma_unmap_granules(unmap, addr, size);
	else
		unmapped = iommu_unmap_fast(domain, addr, size, &unmap->gather);
	if (unlikely(unmapped != size)) {
		unmap->failed = true;
		iommu_dma_report_unmap(dev, addr, size, unmapped);
	}
}

/**
 * iommu_dma_unmap_rest - clear the translation from an address to the end
 * @dev: as in iommu_dma_unmap_claim()
 * @unmap: the unmap under way, of a mapping without holes
 * @addr: in the first granule to unmap
 *
 * Context: Any.
 */
static __always_inline void iommu_dma_unmap_rest(struct device *dev,
						 struct iommu_dma_unmap *unmap,
						 dma_addr_t addr)
{
	addr -= cookie_granule_offset(unmap->cookie, addr);
	/*
	 * A mapping that is not what the caller says is left to
	 * iommu_dma_unmap_end().
	 */
	if (likely(!unmap->failed))
		iommu_dma_unmap_range(dev, unmap, addr,
				      iommu_dma_unmap_iova_end(unmap) - addr);
}

/**
 * iommu_dma_unmap_end - finish an unmap whose translation has been cleared
 * @dev: as in iommu_dma_unmap_claim()
 * @unmap: the unmap under way
 *
 * In strict mode, when this returns, the device cannot reach the memory, unless
 * @unmap->failed is set.
 *
 * Context: Any.
 */
static __always_inline void iommu_dma_unmap_end(struct device *dev,
						struct iommu_dma_unmap *unmap)
{
	struct iommu_dma_cookie *cookie = unmap->cookie;
	struct iommu_domain *domain = cookie->domain;

	if (unlikely(unmap->failed || iommu_dma_any_bounces(cookie))) {
		iommu_dma_unmap_end_slow(dev, unmap);
	} else if (unmap->gather.queued) {
		iommu_dma_flush_retire(&cookie->flush, &unmap->range,
				       &unmap->gather.freelist);
	} else {
		iommu_iotlb_sync_last(domain, &unmap->gather);
		iova_space_release(&cookie->space, &unmap->range);
	}
}

int iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			const struct iova_range *range, bool undone);
int __iommu_dma_unmap(struct device *dev, dma_addr_t addr, size_t size);
int iommu_dma_unmap_alloc(struct device *dev, dma_addr_t addr, size_t size,
			  struct page *page);

#endif /* _IOMMU_DMA_UNMAP_H */
