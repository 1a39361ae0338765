/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One IOMMU address space and what the layer keeps with it. See domain.c.
 */
#ifndef _DMA_DOMAIN_H
#define _DMA_DOMAIN_H

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/mutex.h>
#include <linux/xarray.h>

#include "flush.h"
#include "iova.h"

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
 * @space: addresses
 * @flush: deferred invalidation
 * @copies: &struct dma_copy by granule
 * @msi_next: next address of the window of a DMA_COOKIE_MSI
 * @msi_pages: doorbells mapped so far
 * @deferrable: the IOMMU can put off invalidation
 * @lock: protects all of the above while a device is added, and @msi_next
 *	and @msi_pages at all times
 *
 * Lock order: @lock; &dma_flush.lock; then those that are never held together
 * but for a chunk's and the space's, in this order: the locks of @copies and
 * &iova_space.chunks, &iova_chunk.lock, &iova_space.lock, &dma_flush.pages_lock.
 *
 * For DMA_COOKIE_MSI only the msi fields and @lock are used.
 */
struct iommu_dma_cookie {
	struct iommu_domain *domain;
	enum dma_cookie_type type;
	unsigned int granule_lg2;
	struct iova_space space;
	struct dma_flush flush;
	struct xarray copies;
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

/* A mapping that allows nothing is a bug of the caller, not a mapping. */
static inline bool dma_allowed(int prot)
{
	return prot & (IOMMU_READ | IOMMU_WRITE);
}

/**
 * struct dma_need - what a mapping asks of its addresses
 * @size: bytes; whole granules
 * @align: bytes, a power of two
 * @boundary: bytes, a power of two that no mapping crosses a multiple of, or 0
 * @mask: highest address that the device can use
 */
struct dma_need {
	u64 size;
	u64 align;
	u64 boundary;
	u64 mask;
};

/**
 * struct dma_teardown - an unmap under way
 * @cookie: the domain's
 * @range: what has been claimed
 * @gather: what to invalidate
 * @failed: some of it is still mapped; the range is never used again
 */
struct dma_teardown {
	struct iommu_dma_cookie *cookie;
	struct iova_range range;
	struct iommu_iotlb_gather gather;
	bool failed;
};

/* The first byte behind the mapping; see space_init() for why it is a u64. */
static inline u64 dma_teardown_limit(const struct dma_teardown *td)
{
	return ((u64)td->range.last + 1) << td->cookie->granule_lg2;
}

bool dma_iova_alloc(struct device *dev, struct iommu_dma_cookie *cookie,
		    const struct dma_need *need, struct iova_range *range);
dma_addr_t dma_iova_start(const struct iommu_dma_cookie *cookie,
			  const struct iova_range *range);

dma_addr_t dma_iova_alloc_for(struct device *dev,
			      struct iommu_dma_cookie *cookie,
			       phys_addr_t phys, size_t size, u64 align,
			       u64 mask, struct iova_range *range);

dma_addr_t dma_domain_map(struct device *dev, phys_addr_t phys, size_t size,
			  u64 align, int prot, u64 mask);
void dma_domain_unmap(struct device *dev, dma_addr_t addr, size_t size);

bool dma_teardown_begin(struct device *dev, struct dma_teardown *td,
			dma_addr_t addr, size_t size);
void dma_teardown_run(struct device *dev, struct dma_teardown *td,
		      dma_addr_t addr, size_t size);
void dma_teardown_rest(struct device *dev, struct dma_teardown *td,
		       dma_addr_t addr);
void dma_teardown_end(struct device *dev, struct dma_teardown *td);

int dma_domain_attach(struct device *dev, struct iommu_domain *domain);
int dma_domain_init(struct device *dev, struct iommu_domain *domain);
int dma_protection(enum dma_data_direction dir, bool coherent,
		   unsigned long attrs);
u64 dma_domain_limit(struct device *dev, u64 mask);

/* reserve.c */
int dma_reserve_regions(struct device *dev, struct iommu_dma_cookie *cookie);

/* msi.c */
int dma_msi_reserve(struct iommu_dma_cookie *cookie, phys_addr_t start,
		    size_t length);
void dma_msi_destroy(struct iommu_dma_cookie *cookie);

#endif /* _DMA_DOMAIN_H */
