/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One IOMMU address space and what the layer keeps with it. See domain.c.
 */
#ifndef _DMA_DOMAIN_H
#define _DMA_DOMAIN_H

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/jump_label.h>
#include <linux/mutex.h>
#include <linux/xarray.h>
#include <trace/events/iommu.h>

#include "../dma-iommu.h"
#include "flush.h"
#include "iova-space.h"

enum dma_cookie_type {
	/* The DMA API hands out the addresses. */
	DMA_COOKIE_IOVA,
	/* Somebody else does, and lends a window for doorbells. */
	DMA_COOKIE_MSI,
};

/**
 * struct iommu_dma_cookie - what the layer keeps with a domain
 * @domain: the domain
 * @type: who hands out addresses
 * @granule_lg2: log2 of the granule in bytes; 0 until the first device
 * @larger_page: the IOMMU's smallest page above the granule, bytes; SIZE_MAX if
 *	there is none
 * @guard: granules at the end of each range that are never mapped
 * @last: last byte that the IOMMU can reach, below U64_MAX
 * @space: addresses
 * @flush: deferred invalidation
 * @bounces: &struct iommu_dma_bounce by granule
 * @msi_next: next address of the window of a DMA_COOKIE_MSI
 * @msi_pages: doorbells mapped so far
 * @deferrable: the IOMMU can put off invalidation
 * @lock: protects all of the above while a device is added, and @msi_next
 *	and @msi_pages at all times
 *
 * Lock order: @lock; &iommu_dma_flush.lock; then those that are never held together:
 * the locks of @copies and &iova_space.chunks, &iova_space.lock,
 * &iommu_dma_flush.pages_lock.
 *
 * For DMA_COOKIE_MSI only the msi fields and @lock are used.
 */
struct iommu_dma_cookie {
	struct iommu_domain *domain;
	enum dma_cookie_type type;
	unsigned int granule_lg2;
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

static inline struct iommu_dma_cookie *dma_cookie(struct device *dev)
{
	return iommu_get_dma_domain(dev)->iova_cookie;
}

static inline size_t dma_granule(const struct iommu_dma_cookie *cookie)
{
	return (size_t)1 << cookie->granule_lg2;
}

/* The bytes of @addr below the granule */
static inline size_t dma_granule_offset(const struct iommu_dma_cookie *cookie,
					u64 addr)
{
	return addr & (dma_granule(cookie) - 1);
}

/* Device addresses and memory agree in the bits below this power of two. */
static inline u64 dma_unit(struct device *dev,
			   const struct iommu_dma_cookie *cookie)
{
	return max_t(u64, dma_granule(cookie),
		     (u64)dma_get_min_align_mask(dev) + 1);
}

/*
 * No mapping that can avoid it crosses a multiple of this power of two; 0 for
 * none, which is what all ones of 64 bits wrap to.
 */
static inline u64 dma_boundary(struct device *dev)
{
	return (u64)dma_get_seg_boundary(dev) + 1;
}

/* A mapping that allows nothing is a bug of the caller, not a mapping. */
static inline bool dma_allowed(int prot)
{
	return prot & (IOMMU_READ | IOMMU_WRITE);
}

/**
 * dma_protection - what a device may do with a mapping
 * @dir: direction of the transfer
 * @coherent: whether the device snoops the CPU's caches
 * @attrs: DMA_ATTR_*
 *
 * Return: IOMMU_* flags for iommu_map().
 */
static inline int dma_protection(enum dma_data_direction dir, bool coherent,
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
 * dma_limit - the highest address that a device can be given
 * @dev: device
 * @cookie: its domain's
 * @mask: its own limit, as it told the DMA API
 *
 * Return: inclusive limit in bytes, from mask, bus and IOMMU; below U64_MAX.
 */
static inline u64 dma_limit(struct device *dev,
			    const struct iommu_dma_cookie *cookie, u64 mask)
{
	return min_not_zero(min(mask, cookie->last), dev->bus_dma_limit);
}

/* Whether a device gets addresses above 4 GiB only when there are no others */
static inline bool dma_prefers_32bit(struct device *dev)
{
	/* It ends at some time; who does not know yet looks once in vain. */
	return data_race(!!dev->iommu->pci_32bit_workaround);
}

/**
 * struct dma_need - what a mapping asks of its addresses
 * @size: bytes; whole granules
 * @align: bytes, a power of two
 * @boundary: bytes, a power of two that the mapping crosses no multiple of, or
 *	begins at one if it is larger; or 0
 * @mask: highest address that the device can use
 * @quiet: say nothing if there is none
 */
struct dma_need {
	u64 size;
	u64 align;
	u64 boundary;
	u64 mask;
	bool quiet;
};

DECLARE_STATIC_KEY_FALSE(dma_deferred_attach);

/**
 * dma_domain_attach - attach a device whose attachment was put off
 * @dev: device that is about to get its first mapping
 * @domain: its domain
 *
 * Context: Any.
 * Return: 0, or the error of the IOMMU driver.
 */
static inline int dma_domain_attach(struct device *dev,
				    struct iommu_domain *domain)
{
	if (static_branch_unlikely(&dma_deferred_attach))
		return iommu_deferred_attach(dev, domain);
	return 0;
}

int dma_domain_init(struct device *dev, struct iommu_domain *domain);

/*
 * Addresses.
 */

bool dma_iova_alloc(struct device *dev, struct iommu_dma_cookie *cookie,
		    const struct dma_need *need, struct iova_range *range);
dma_addr_t dma_iova_alloc_for(struct device *dev,
			      struct iommu_dma_cookie *cookie,
			      phys_addr_t phys, size_t size, u64 align,
			      u64 mask, unsigned long attrs,
			      struct iova_range *range);
bool dma_iova_abandon(struct device *dev, struct iommu_dma_cookie *cookie,
		      const struct iova_range *range);

static inline dma_addr_t dma_iova_start(const struct iommu_dma_cookie *cookie,
					const struct iova_range *range)
{
	return (dma_addr_t)range->first << cookie->granule_lg2;
}

/* The last granule that ends at @limit or below it; IOVA_NONE if none does */
static inline unsigned long
dma_limit_granule(const struct iommu_dma_cookie *cookie, u64 limit)
{
	u64 end = (limit + 1) >> cookie->granule_lg2;

	return end ? min_t(u64, end - 1, ULONG_MAX) : IOVA_NONE;
}

/* Claim the mapping that begins in the granule of @addr, of about @size bytes. */
static inline bool dma_claim(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			     size_t size, struct iova_range *range)
{
	u64 granule = addr >> cookie->granule_lg2;

	if (granule > ULONG_MAX)
		return false;
	if (unlikely(size >> cookie->granule_lg2 > IOVA_SMALL_MAX) &&
	    iova_space_claim_large(&cookie->space, granule, range))
		return true;
	return iova_space_claim(&cookie->space, granule, range);
}

/*
 * Mapping. One granule is what most mappings are, and what costs most beside
 * what the IOMMU itself does: it is done without calls that have nothing to
 * choose, such as the IOMMU core's search for the best page sizes.
 */

dma_addr_t dma_domain_map(struct device *dev, phys_addr_t phys, size_t size,
			  u64 align, int prot, u64 mask, unsigned long attrs,
			  bool *kept);
bool dma_domain_unmap(struct device *dev, dma_addr_t addr, size_t size);
bool dma_domain_unmap_memory(struct device *dev, dma_addr_t addr, size_t size,
			     struct page *page);
dma_addr_t dma_map_hard(struct device *dev, struct iommu_dma_cookie *cookie,
			phys_addr_t phys, size_t size, u64 align, int prot,
			u64 mask, unsigned long attrs);
void dma_map_undo(struct device *dev, struct iommu_dma_cookie *cookie,
		  dma_addr_t addr, bool mapped);

/* Map one granule; the caller tells the IOMMU driver when all is mapped. */
static __always_inline int dma_granule_map(struct iommu_domain *domain,
					   dma_addr_t addr, phys_addr_t phys,
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
 * dma_pages_map - map whole granules, and tell the IOMMU driver later
 * @cookie: the domain's
 * @addr: device address
 * @phys: memory
 * @size: bytes
 * @prot: IOMMU_*
 *
 * Context: Any.
 * Return: 0, or the error of the IOMMU driver; then nothing is mapped.
 */
static inline int dma_pages_map(struct iommu_dma_cookie *cookie,
				dma_addr_t addr, phys_addr_t phys, size_t size,
				int prot)
{
	if (size == dma_granule(cookie))
		return dma_granule_map(cookie->domain, addr, phys, size, prot);
	return iommu_map_nosync(cookie->domain, addr, phys, size, prot,
				GFP_ATOMIC);
}

/**
 * dma_map - map physically contiguous memory
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @align: as in dma_iova_alloc_for()
 * @prot: IOMMU_*
 * @mask: highest address that the device can use for this
 * @attrs: DMA_ATTR_NO_WARN matters
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
static __always_inline dma_addr_t dma_map(struct device *dev, phys_addr_t phys,
					  size_t size, u64 align, int prot,
					  u64 mask, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = dma_cookie(dev);
	struct iommu_domain *domain = cookie->domain;
	size_t granule = dma_granule(cookie);
	size_t offset = phys & (granule - 1);
	u64 limit = dma_limit(dev, cookie, mask);
	unsigned long first;
	dma_addr_t addr;

	if (!dma_allowed(prot) || dma_domain_attach(dev, domain))
		return DMA_MAPPING_ERROR;
	if (unlikely(size - 1 >= granule - offset || align > granule ||
		     dma_get_min_align_mask(dev) >= granule || cookie->guard))
		goto hard;

	/* See dma_iova_alloc(). */
	if (dma_prefers_32bit(dev))
		limit = min_t(u64, limit, DMA_BIT_MASK(32));
	first = iova_space_alloc_one(&cookie->space,
				     dma_limit_granule(cookie, limit));
	if (unlikely(first == IOVA_NONE))
		goto hard;
	addr = (dma_addr_t)first << cookie->granule_lg2;
	if (unlikely(dma_granule_map(domain, addr, phys - offset, granule,
				     prot))) {
		dma_map_undo(dev, cookie, addr, false);
		return DMA_MAPPING_ERROR;
	}
	if (domain->ops->iotlb_sync_map &&
	    domain->ops->iotlb_sync_map(domain, addr, granule)) {
		dma_map_undo(dev, cookie, addr, true);
		return DMA_MAPPING_ERROR;
	}
	return addr + offset;
hard:
	return dma_map_hard(dev, cookie, phys, size, align, prot, mask, attrs);
}

/*
 * Taking a mapping down.
 */

/**
 * struct dma_teardown - an unmap under way
 * @cookie: the domain's
 * @range: what has been claimed
 * @gather: what to invalidate
 * @failed: some of it may still be mapped; dma_teardown_end() looks for it
 */
struct dma_teardown {
	struct iommu_dma_cookie *cookie;
	struct iova_range range;
	struct iommu_iotlb_gather gather;
	bool failed;
};

int dma_claim_unit(struct device *dev, struct dma_teardown *td,
		   dma_addr_t addr, size_t size);
void dma_report_size(struct device *dev, const struct dma_teardown *td,
		     dma_addr_t addr, size_t size);
void dma_report_unmap(struct device *dev, dma_addr_t addr, size_t size,
		      size_t unmapped);
size_t dma_granules_unmap(struct dma_teardown *td, dma_addr_t addr, size_t size);
void dma_teardown_end_hard(struct device *dev, struct dma_teardown *td);

/* The first byte behind the mapping; see space_init() for why it is a u64. */
static inline u64 dma_teardown_limit(const struct dma_teardown *td)
{
	return ((u64)td->range.last + 1 - td->cookie->guard) <<
	       td->cookie->granule_lg2;
}

/* Bytes of the mapping, whole granules */
static inline u64 dma_teardown_size(const struct dma_teardown *td)
{
	return dma_teardown_limit(td) -
	       ((u64)td->range.first << td->cookie->granule_lg2);
}

/**
 * dma_teardown_claim - claim a mapping in order to unmap it
 * @dev: device that the mapping was made for
 * @td: to be filled in
 * @addr: DMA address in its first granule, or in the unit that it begins
 * @size: bytes, as far as the caller knows
 *
 * Context: Any.
 * Return: false if there is no such mapping, which has been reported.
 */
static __always_inline bool dma_teardown_claim(struct device *dev,
					       struct dma_teardown *td,
					       dma_addr_t addr, size_t size)
{
	struct iommu_dma_cookie *cookie = dma_cookie(dev);
	int elsewhere = 0;

	td->cookie = cookie;
	/* It may have been made before the driver set a min_align_mask. */
	if (unlikely(!dma_claim(cookie, addr, size, &td->range))) {
		elsewhere = dma_claim_unit(dev, td, addr, size);
		if (elsewhere < 0)
			return false;
	}
	td->failed = elsewhere;
	td->gather = (struct iommu_iotlb_gather){
		.start = ULONG_MAX,
		.freelist = LIST_HEAD_INIT(td->gather.freelist),
		.queued = iommu_dma_flush_enabled(&cookie->flush),
	};
	return true;
}

/* Whether what has been claimed is as large as the caller thinks */
static __always_inline void dma_teardown_check(struct device *dev,
					       struct dma_teardown *td,
					       dma_addr_t addr, size_t size)
{
	/* Also if it is too large: then the difference wraps. */
	if (unlikely(!size || dma_teardown_limit(td) - addr - size >=
			      dma_granule(td->cookie))) {
		if (!td->failed)
			dma_report_size(dev, td, addr, size);
		td->failed = true;
	}
}

/**
 * dma_teardown_begin - claim a mapping whose size is known
 * @dev: device that the mapping was made for
 * @td: to be filled in
 * @addr: DMA address of its first byte
 * @size: bytes
 *
 * A mapping that is there but has another size is taken down as it is: the
 * caller believes it gone, so the device must not reach it any more.
 *
 * Context: Any.
 * Return: false if there is no such mapping, which has been reported.
 */
static __always_inline bool dma_teardown_begin(struct device *dev,
					       struct dma_teardown *td,
					       dma_addr_t addr, size_t size)
{
	if (!dma_teardown_claim(dev, td, addr, size))
		return false;
	dma_teardown_check(dev, td, addr, size);
	return true;
}

/**
 * dma_teardown_run - clear the translation of a part of a mapping
 * @dev: as in dma_teardown_begin()
 * @td: the unmap under way
 * @addr: first byte, at a granule
 * @size: bytes, whole granules that are all mapped
 *
 * Context: Any.
 */
static __always_inline void dma_teardown_run(struct device *dev,
					     struct dma_teardown *td,
					     dma_addr_t addr, size_t size)
{
	struct iommu_domain *domain = td->cookie->domain;
	size_t unmapped;

	if (likely(size == dma_granule(td->cookie))) {
		unmapped = domain->ops->unmap_pages(domain, addr, size, 1,
						    &td->gather);
		trace_unmap(addr, size, unmapped);
	} else if (size < td->cookie->larger_page) {
		unmapped = dma_granules_unmap(td, addr, size);
	} else {
		unmapped = iommu_unmap_fast(domain, addr, size, &td->gather);
	}
	if (unlikely(unmapped != size)) {
		td->failed = true;
		dma_report_unmap(dev, addr, size, unmapped);
	}
}

/**
 * dma_teardown_rest - clear the translation from an address to the end
 * @dev: as in dma_teardown_begin()
 * @td: the unmap under way, of a mapping without holes
 * @addr: in the first granule to unmap
 *
 * Context: Any.
 */
static __always_inline void dma_teardown_rest(struct device *dev,
					      struct dma_teardown *td,
					      dma_addr_t addr)
{
	addr -= dma_granule_offset(td->cookie, addr);
	/* Else it is not what the caller thinks, and perhaps not at @addr. */
	if (likely(!td->failed))
		dma_teardown_run(dev, td, addr, dma_teardown_limit(td) - addr);
}

/**
 * dma_teardown_end - the translation is cleared, finish the unmap
 * @dev: as in dma_teardown_begin()
 * @td: the unmap under way
 *
 * Strict: when this returns, the device cannot reach the memory.
 *
 * Context: Any.
 */
static __always_inline void dma_teardown_end(struct device *dev,
					     struct dma_teardown *td)
{
	struct iommu_dma_cookie *cookie = td->cookie;
	struct iommu_domain *domain = cookie->domain;

	if (unlikely(td->failed || !iommu_dma_no_bounces(cookie))) {
		dma_teardown_end_hard(dev, td);
	} else if (td->gather.queued) {
		iommu_dma_flush_retire(&cookie->flush, &td->range,
				       &td->gather.freelist);
	} else {
		if (domain->ops->iotlb_sync)
			domain->ops->iotlb_sync(domain, &td->gather);
		iova_space_release(&cookie->space, &td->range);
	}
}

/* resv.c */
int dma_reserve_regions(struct device *dev, struct iommu_dma_cookie *cookie);

/* msi.c */
int dma_msi_reserve(struct iommu_dma_cookie *cookie, phys_addr_t start,
		    size_t length);
void dma_msi_destroy(struct iommu_dma_cookie *cookie);

#endif /* _DMA_DOMAIN_H */
