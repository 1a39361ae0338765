/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Doorbells. See msi.c.
 */
#ifndef _IOMMU_DMA_MSI_H
#define _IOMMU_DMA_MSI_H

#include "cookie.h"

int iommu_dma_msi_reserve(struct iommu_dma_cookie *cookie, phys_addr_t start,
			  size_t length);
void iommu_dma_msi_destroy(struct iommu_dma_cookie *cookie);

#endif /* _IOMMU_DMA_MSI_H */
