/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One IOMMU address space and what the layer keeps with it. See domain.c.
 */
#ifndef _IOMMU_DMA_DOMAIN_H
#define _IOMMU_DMA_DOMAIN_H

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/jump_label.h>
#include <linux/mutex.h>
#include <linux/xarray.h>
#include <trace/events/iommu.h>

#include "../dma-iommu.h"
#include "flush.h"
#include "iova-space.h"

enum iommu_dma_cookie_type {
	/* The DMA API hands out the addresses. */
	IOMMU_DMA_COOKIE_IOVA,
	/* Somebody else does, and lends a window for doorbells. */
	IOMMU_DMA_COOKIE_MSI,
};

/**
 * struct iommu_dma_cookie - what the layer keeps with a domain
 * @domain: the domain
 * @type: who hands out addresses
 * @granule_shift: log2 of the granule in bytes; 0 until the first device
 * @larger_page: the IOMMU's smallest page above the granule, bytes; SIZE_MAX if
 *	there is none
 * @guard: granules at the end of each range that are never mapped
 * @last: last byte that the IOMMU can reach, below U64_MAX
 * @space: addresses
 * @flush: deferred invalidation
 * @bounces: &struct iommu_dma_bounce by granule
 * @msi_next: next address of the window of a IOMMU_DMA_COOKIE_MSI
 * @msi_pages: doorbells mapped so far
 * @deferrable: the IOMMU can put off invalidation
 * @lock: protects all of the above while a device is added, and @msi_next
 *	and @msi_pages at all times
 *
 * Lock order: @lock; &iommu_dma_flush.lock; then those that are never held together:
 * the locks of @copies and &iova_space.chunks, &iova_space.lock,
 * &iommu_dma_flush.pages_lock.
 *
 * For IOMMU_DMA_COOKIE_MSI only the msi fields and @lock are used.
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

/* Device addresses and memory agree in the bits below this power of two. */
static inline u64 iommu_dma_min_align(struct device *dev,
				      const struct iommu_dma_cookie *cookie)
{
	return max_t(u64, cookie_granule(cookie),
		     (u64)dma_get_min_align_mask(dev) + 1);
}

/*
 * No mapping that can avoid it crosses a multiple of this power of two; 0 for
 * none, which is what all ones of 64 bits wrap to.
 */
static inline u64 iommu_dma_boundary(struct device *dev)
{
	return (u64)dma_get_seg_boundary(dev) + 1;
}

/* A mapping that allows nothing is a bug of the caller, not a mapping. */
static inline bool iommu_dma_allowed(int prot)
{
	return prot & (IOMMU_READ | IOMMU_WRITE);
}

/**
 * iommu_dma_prot - what a device may do with a mapping
 * @dir: direction of the transfer
 * @coherent: whether the device snoops the CPU's caches
 * @attrs: DMA_ATTR_*
 *
 * Return: IOMMU_* flags for iommu_map().
 */
static inline int iommu_dma_prot(enum dma_data_direction dir, bool coherent,
				 unsigned long attrs)
{
	int prot = 0;

	if (dir == DMA_TO_DEVICE || dir == DMA_BIDIRECTIONAL)
		prot |= IOMMU_READ;
	if (dir == DMA_FROM_DEVICE || dir == DMA_BIDIRECTIONAL)
		prot |= IOMMU_WRITE;
	if (coherent)
		prot |= IOMMU_CACHE;
	if (attrs & DMA_ATTR_PRIVILEGED)
		prot |= IOMMU_PRIV;
	return prot;
}

/* Whether no mapping of the domain has copies */
static inline bool iommu_dma_no_bounces(const struct iommu_dma_cookie *cookie)
{
	/*
	 * Those of others come and go; whether one's own mapping has any was
	 * settled before its address was known.
	 */
	return data_race(xa_empty(&cookie->bounces));
}

/**
 * iommu_dma_limit - the highest address that a device can be given
 * @dev: device
 * @cookie: its domain's
 * @mask: its own limit, as it told the DMA API
 *
 * Return: inclusive limit in bytes, from mask, bus and IOMMU; below U64_MAX.
 */
static inline u64 iommu_dma_limit(struct device *dev,
				  const struct iommu_dma_cookie *cookie,
				  u64 mask)
{
	return min_not_zero(min(mask, cookie->last), dev->bus_dma_limit);
}

/* Whether a device gets addresses above 4 GiB only when there are no others */
static inline bool iommu_dma_prefers_32bit(struct device *dev)
{
	/* It ends at some time; who does not know yet looks once in vain. */
	return data_race(!!dev->iommu->pci_32bit_workaround);
}

/**
 * struct iommu_dma_iova_req - what a mapping asks of its addresses
 * @size: bytes; whole granules
 * @align: bytes, a power of two
 * @boundary: bytes, a power of two that the mapping crosses no multiple of, or
 *	begins at one if it is larger; or 0
 * @mask: highest address that the device can use
 * @nowarn: say nothing if there is none
 */
struct iommu_dma_iova_req {
	u64 size;
	u64 align;
	u64 boundary;
	u64 mask;
	bool nowarn;
};

DECLARE_STATIC_KEY_FALSE(iommu_dma_deferred_attach);

/**
 * iommu_dma_attach - attach a device whose attachment was put off
 * @dev: device that is about to get its first mapping
 * @domain: its domain
 *
 * Context: Any.
 * Return: 0, or the error of the IOMMU driver.
 */
static inline int iommu_dma_attach(struct device *dev,
				   struct iommu_domain *domain)
{
	if (static_branch_unlikely(&iommu_dma_deferred_attach))
		return iommu_deferred_attach(dev, domain);
	return 0;
}

int iommu_dma_init_domain(struct device *dev, struct iommu_domain *domain);

/*
 * Addresses.
 */

bool iommu_dma_alloc_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *req,
			  struct iova_range *range);
dma_addr_t iommu_dma_alloc_iova_phys(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     phys_addr_t phys, size_t size, u64 align,
				     u64 mask, unsigned long attrs,
				     struct iova_range *range);
bool iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			 const struct iova_range *range);

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

/* Claim the mapping that begins in the granule of @addr, of about @size bytes. */
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

/*
 * Mapping. One granule is what most mappings are, and what costs most beside
 * what the IOMMU itself does: it is done without calls that have nothing to
 * choose, such as the IOMMU core's search for the best page sizes.
 */

dma_addr_t iommu_dma_map_alloc(struct device *dev, phys_addr_t phys,
			       size_t size, u64 align, int prot, u64 mask,
			       unsigned long attrs, bool *kept);
bool __iommu_dma_unmap(struct device *dev, dma_addr_t addr, size_t size);
bool iommu_dma_unmap_alloc(struct device *dev, dma_addr_t addr, size_t size,
			   struct page *page);
dma_addr_t iommu_dma_map_phys_slow(struct device *dev,
				   struct iommu_dma_cookie *cookie,
				   phys_addr_t phys, size_t size, u64 align,
				   int prot, u64 mask, unsigned long attrs);
void iommu_dma_undo_granule(struct device *dev, struct iommu_dma_cookie *cookie,
			    dma_addr_t addr, bool mapped);

/* Map one granule; the caller tells the IOMMU driver when all is mapped. */
static __always_inline int iommu_dma_map_granule(struct iommu_domain *domain,
						 dma_addr_t addr,
						 phys_addr_t phys,
						 size_t granule, int prot)
{
	size_t mapped = 0;
	int ret;

	ret = domain->ops->map_pages(domain, addr, phys, granule, 1, prot,
				     GFP_ATOMIC, &mapped);
	if (likely(!ret))
		trace_map(addr, phys, granule);
	return ret;
}

/**
 * iommu_dma_map_nosync - map whole granules, and tell the IOMMU driver later
 * @cookie: the domain's
 * @addr: device address
 * @phys: memory
 * @size: bytes
 * @prot: IOMMU_*
 *
 * Context: Any.
 * Return: 0, or the error of the IOMMU driver; then nothing is mapped.
 */
static inline int iommu_dma_map_nosync(struct iommu_dma_cookie *cookie,
				       dma_addr_t addr, phys_addr_t phys,
				       size_t size, int prot)
{
	if (size == cookie_granule(cookie))
		return iommu_dma_map_granule(cookie->domain, addr, phys, size,
					     prot);
	return iommu_map_nosync(cookie->domain, addr, phys, size, prot,
				GFP_ATOMIC);
}

/**
 * iommu_dma_map_phys - map physically contiguous memory
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @align: as in iommu_dma_alloc_iova_phys()
 * @prot: IOMMU_*
 * @mask: highest address that the device can use for this
 * @attrs: DMA_ATTR_NO_WARN matters
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
static __always_inline dma_addr_t iommu_dma_map_phys(struct device *dev,
						     phys_addr_t phys,
						     size_t size, u64 align,
						     int prot, u64 mask,
						     unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_domain *domain = cookie->domain;
	size_t granule = cookie_granule(cookie);
	size_t offset = phys & (granule - 1);
	u64 limit = iommu_dma_limit(dev, cookie, mask);
	unsigned long first;
	dma_addr_t addr;

	if (!iommu_dma_allowed(prot) || iommu_dma_attach(dev, domain))
		return DMA_MAPPING_ERROR;
	if (unlikely(size - 1 >= granule - offset || align > granule ||
		     dma_get_min_align_mask(dev) >= granule || cookie->guard))
		goto slow;

	/* See iommu_dma_alloc_iova(). */
	if (iommu_dma_prefers_32bit(dev))
		limit = min_t(u64, limit, DMA_BIT_MASK(32));
	first = iova_space_alloc_one(&cookie->space,
				     cookie_limit_granule(cookie, limit));
	if (unlikely(first == IOVA_NONE))
		goto slow;
	addr = (dma_addr_t)first << cookie->granule_shift;
	if (unlikely(iommu_dma_map_granule(domain, addr, phys - offset, granule,
					   prot))) {
		iommu_dma_undo_granule(dev, cookie, addr, false);
		return DMA_MAPPING_ERROR;
	}
	if (domain->ops->iotlb_sync_map &&
	    domain->ops->iotlb_sync_map(domain, addr, granule)) {
		iommu_dma_undo_granule(dev, cookie, addr, true);
		return DMA_MAPPING_ERROR;
	}
	return addr + offset;
slow:
	return iommu_dma_map_phys_slow(dev, cookie, phys, size, align, prot,
				       mask, attrs);
}

/*
 * Taking a mapping down.
 */

/**
 * struct iommu_dma_unmap - an unmap under way
 * @cookie: the domain's
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

int iommu_dma_unmap_claim_slow(struct device *dev,
			       struct iommu_dma_unmap *unmap, dma_addr_t addr,
			       size_t size);
void iommu_dma_report_size(struct device *dev,
			   const struct iommu_dma_unmap *unmap, dma_addr_t addr,
			   size_t size);
void iommu_dma_report_unmap(struct device *dev, dma_addr_t addr, size_t size,
			    size_t unmapped);
size_t iommu_dma_unmap_granules(struct iommu_dma_unmap *unmap, dma_addr_t addr,
				size_t size);
void iommu_dma_unmap_end_slow(struct device *dev,
			      struct iommu_dma_unmap *unmap);

/* The first byte behind the mapping; see space_init() for why it is a u64. */
static inline u64 iommu_dma_unmap_iova_end(const struct iommu_dma_unmap *unmap)
{
	return ((u64)unmap->range.last + 1 - unmap->cookie->guard)
	       << unmap->cookie->granule_shift;
}

/* Bytes of the mapping, whole granules */
static inline u64 iommu_dma_unmap_iova_size(const struct iommu_dma_unmap *unmap)
{
	return iommu_dma_unmap_iova_end(unmap) -
	       ((u64)unmap->range.first << unmap->cookie->granule_shift);
}

/**
 * iommu_dma_unmap_claim - claim a mapping in order to unmap it
 * @dev: device that the mapping was made for
 * @unmap: to be filled in
 * @addr: DMA address in its first granule, or in the unit that it begins
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
	/* It may have been made before the driver set a min_align_mask. */
	if (unlikely(
		    !iommu_dma_claim_iova(cookie, addr, size, &unmap->range))) {
		elsewhere = iommu_dma_unmap_claim_slow(dev, unmap, addr, size);
		if (elsewhere < 0)
			return false;
	}
	unmap->failed = elsewhere;
	unmap->gather = (struct iommu_iotlb_gather) {
		.start = ULONG_MAX,
		.freelist = LIST_HEAD_INIT(unmap->gather.freelist),
		.queued = iommu_dma_flush_enabled(&cookie->flush),
	};
	return true;
}

/* Whether what has been claimed is as large as the caller thinks */
static __always_inline void iommu_dma_unmap_check(struct device *dev,
						  struct iommu_dma_unmap *unmap,
						  dma_addr_t addr, size_t size)
{
	/* Also if it is too large: then the difference wraps. */
	if (unlikely(!size || iommu_dma_unmap_iova_end(unmap) - addr - size >=
				      cookie_granule(unmap->cookie))) {
		if (!unmap->failed)
			iommu_dma_report_size(dev, unmap, addr, size);
		unmap->failed = true;
	}
}

/**
 * iommu_dma_unmap_begin - claim a mapping whose size is known
 * @dev: device that the mapping was made for
 * @unmap: to be filled in
 * @addr: DMA address of its first byte
 * @size: bytes
 *
 * A mapping that is there but has another size is taken down as it is: the
 * caller believes it gone, so the device must not reach it any more.
 *
 * Context: Any.
 * Return: false if there is no such mapping, which has been reported.
 */
static __always_inline bool iommu_dma_unmap_begin(struct device *dev,
						  struct iommu_dma_unmap *unmap,
						  dma_addr_t addr, size_t size)
{
	if (!iommu_dma_unmap_claim(dev, unmap, addr, size))
		return false;
	iommu_dma_unmap_check(dev, unmap, addr, size);
	return true;
}

/**
 * iommu_dma_unmap_range - clear the translation of a part of a mapping
 * @dev: as in iommu_dma_unmap_begin()
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

	if (likely(size == cookie_granule(unmap->cookie))) {
		unmapped = domain->ops->unmap_pages(domain, addr, size, 1,
						    &unmap->gather);
		trace_unmap(addr, size, unmapped);
	} else if (size < unmap->cookie->larger_page) {
		unmapped = iommu_dma_unmap_granules(unmap, addr, size);
	} else {
		unmapped = iommu_unmap_fast(domain, addr, size, &unmap->gather);
	}
	if (unlikely(unmapped != size)) {
		unmap->failed = true;
		iommu_dma_report_unmap(dev, addr, size, unmapped);
	}
}

/**
 * iommu_dma_unmap_rest - clear the translation from an address to the end
 * @dev: as in iommu_dma_unmap_begin()
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
	/* Else it is not what the caller thinks, and perhaps not at @addr. */
	if (likely(!unmap->failed))
		iommu_dma_unmap_range(dev, unmap, addr,
				      iommu_dma_unmap_iova_end(unmap) - addr);
}

/**
 * iommu_dma_unmap_end - the translation is cleared, finish the unmap
 * @dev: as in iommu_dma_unmap_begin()
 * @unmap: the unmap under way
 *
 * Strict: when this returns, the device cannot reach the memory.
 *
 * Context: Any.
 */
static __always_inline void iommu_dma_unmap_end(struct device *dev,
						struct iommu_dma_unmap *unmap)
{
	struct iommu_dma_cookie *cookie = unmap->cookie;
	struct iommu_domain *domain = cookie->domain;

	if (unlikely(unmap->failed || !iommu_dma_no_bounces(cookie))) {
		iommu_dma_unmap_end_slow(dev, unmap);
	} else if (unmap->gather.queued) {
		iommu_dma_flush_retire(&cookie->flush, &unmap->range,
				       &unmap->gather.freelist);
	} else {
		if (domain->ops->iotlb_sync)
			domain->ops->iotlb_sync(domain, &unmap->gather);
		iova_space_release(&cookie->space, &unmap->range);
	}
}

/* resv.c */
int iommu_dma_reserve_regions(struct device *dev,
			      struct iommu_dma_cookie *cookie);

/* msi.c */
int iommu_dma_msi_reserve(struct iommu_dma_cookie *cookie, phys_addr_t start,
			  size_t length);
void iommu_dma_msi_destroy(struct iommu_dma_cookie *cookie);

#endif /* _IOMMU_DMA_DOMAIN_H */
