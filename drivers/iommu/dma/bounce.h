/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copies: granules that a device sees in place of memory. See bounce.c.
 */
#ifndef _DMA_COPY_H
#define _DMA_COPY_H

#include <linux/dma-map-ops.h>
#include <linux/memremap.h>
#include <linux/pci.h>

#include "domain.h"

struct scatterlist;

bool dma_copy_needed_sg(struct device *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir);
int dma_copy_add(struct device *dev, struct iommu_dma_cookie *cookie,
		 dma_addr_t addr, phys_addr_t phys, size_t len);
phys_addr_t dma_copy_phys(struct device *dev, struct iommu_dma_cookie *cookie,
			  dma_addr_t addr);
void dma_copy_drop(struct iommu_dma_cookie *cookie, dma_addr_t start,
		   dma_addr_t last, struct list_head *pages);
void dma_copy_return(struct device *dev, struct iommu_dma_cookie *cookie,
		     dma_addr_t start, dma_addr_t last,
		     enum dma_data_direction dir);
void dma_copy_sync(struct device *dev, dma_addr_t addr, size_t size,
		   enum dma_data_direction dir, bool for_cpu);

static inline bool dma_untrusted(struct device *dev)
{
	return dev_is_pci(dev) && to_pci_dev(dev)->untrusted;
}

/**
 * dma_copy_needed - whether a device must not get parts of granules
 * @dev: device
 * @size: bytes of the buffer
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: whether ends of the buffer that do not fill a granule need copies.
 */
static inline bool dma_copy_needed(struct device *dev, size_t size,
				   enum dma_data_direction dir)
{
	return dma_untrusted(dev) || dma_kmalloc_needs_bounce(dev, size, dir);
}

/* Memory of the system, not registers, and not memory of a device */
static inline bool dma_is_memory(unsigned long pfn)
{
	return pfn_valid(pfn) && !is_zone_device_page(pfn_to_page(pfn));
}

/* Whether a mapping has copies; in almost all domains none does. */
static inline bool dma_has_copies(struct iommu_dma_cookie *cookie,
				  dma_addr_t addr, size_t size)
{
	unsigned long index = addr >> cookie->granule_lg2;

	return unlikely(!dma_no_copies(cookie)) && size &&
	       xa_find(&cookie->copies, &index,
		       (addr + size - 1) >> cookie->granule_lg2, XA_PRESENT);
}

#endif /* _DMA_COPY_H */
