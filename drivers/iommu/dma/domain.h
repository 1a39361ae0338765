/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The life of an IOMMU domain that the DMA API uses. See domain.c.
 */
#ifndef _IOMMU_DMA_DOMAIN_H
#define _IOMMU_DMA_DOMAIN_H

struct device;
struct iommu_domain;

extern unsigned int iommu_dma_quarantine;

int iommu_dma_init_domain(struct device *dev, struct iommu_domain *domain);

#endif /* _IOMMU_DMA_DOMAIN_H */
