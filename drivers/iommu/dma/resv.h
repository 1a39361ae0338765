/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Windows and reserved regions. See resv.c.
 */
#ifndef _IOMMU_DMA_RESV_H
#define _IOMMU_DMA_RESV_H

#include "cookie.h"

int iommu_dma_reserve_regions(struct device *dev,
			      struct iommu_dma_cookie *cookie);

#endif /* _IOMMU_DMA_RESV_H */
