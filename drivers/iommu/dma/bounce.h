/* SPDX-License-Identifier: GPL-2.0 */
/* Bounces: granules that a device sees in place of memory. See bounce.c. */
#ifndef _IOMMU_DMA_BOUNCE_H
#define _IOMMU_DMA_BOUNCE_H

#include <linux/dma-map-ops.h>
#include <linux/pci.h>

#include "cookie.h"

struct scatterlist;

bool iommu_dma_bounce_needed_sg(struct device *dev, struct scatterlist *sgl,
				int nents, enum dma_data_direction dir);
int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len);
phys_addr_t iommu_dma_bounce_phys(struct device *dev,
				  struct iommu_dma_cookie *cookie,
				  dma_addr_t addr);
void iommu_dma_bounce_drop(struct iommu_dma_cookie *cookie, dma_addr_t start,
			   dma_addr_t last, struct list_head *pages);
void iommu_dma_bounce_sync_range(struct device *dev,
				 struct iommu_dma_cookie *cookie,
				 dma_addr_t start, dma_addr_t last,
				 enum dma_data_direction dir);
void iommu_dma_bounce_sync_for_cpu(struct device *dev, dma_addr_t addr,
				   size_t size, enum dma_data_direction dir);
void iommu_dma_bounce_sync_for_device(struct device *dev, dma_addr_t addr,
				      size_t size, enum dma_data_direction dir);

static inline bool iommu_dma_untrusted(struct device *dev)
{
	return dev_is_pci(dev) && to_pci_dev(dev)->untrusted;
}

/**
 * iommu_dma_bounce_needed - whether a device must not get parts of granules
 * @dev: device
 * @size: bytes of the buffer
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: whether ends of the buffer that do not fill a granule have to be
 * bounced.
 */
static inline bool iommu_dma_bounce_needed(struct device *dev, size_t size,
					   enum dma_data_direction dir)
{
	return iommu_dma_untrusted(dev) ||
	       dma_kmalloc_needs_bounce(dev, size, dir);
}

/**
 * iommu_dma_bounce_place - where a piece that may be bounced begins in a granule
 * @dev: device
 * @cookie: cookie of its domain
 * @phys: first byte
 * @size: bytes
 * @dir: direction of the transfer
 *
 * A bounced piece that fits into a granule is placed at its beginning, but for the bits
 * that the device asks for: small buffers of kmalloc() are aligned to less than caches
 * and devices are used to. A longer one may have granules that stay where they are.
 *
 * Context: Any.
 * Return: @phys; or those of its bits that the place has, which are no address.
 */
static inline phys_addr_t
iommu_dma_bounce_place(struct device *dev,
		       const struct iommu_dma_cookie *cookie, phys_addr_t phys,
		       size_t size, enum dma_data_direction dir)
{
	phys_addr_t place = phys & dma_get_min_align_mask(dev);
	size_t room = cookie_granule(cookie) -
		      cookie_granule_offset(cookie, place);

	return size <= room && iommu_dma_bounce_needed(dev, size, dir) ? place :
									 phys;
}

/* Whether a mapping has bounces; in almost all domains none has. */
static inline bool iommu_dma_has_bounces(struct iommu_dma_cookie *cookie,
					 dma_addr_t addr, size_t size)
{
	unsigned long index = addr >> cookie->granule_shift;

	return unlikely(iommu_dma_any_bounces(cookie)) && size &&
	       xa_find(&cookie->bounces, &index,
		       (addr + size - 1) >> cookie->granule_shift, XA_PRESENT);
}

#endif /* _IOMMU_DMA_BOUNCE_H */
