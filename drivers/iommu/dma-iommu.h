/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of the DMA-IOMMU layer for the IOMMU core and IOMMU drivers.
 *
 * Those for architecture and bus code are in <linux/dma-iommu.h>.
 */
#ifndef __DMA_IOMMU_H
#define __DMA_IOMMU_H

#include <linux/iommu.h>

#ifdef CONFIG_IOMMU_DMA

void iommu_setup_dma_ops(struct device *dev);

int iommu_get_dma_cookie(struct iommu_domain *domain);
void iommu_put_dma_cookie(struct iommu_domain *domain);
int iommu_dma_init_fq(struct iommu_domain *domain);
void iommu_dma_get_resv_regions(struct device *dev, struct list_head *list);

extern bool iommu_dma_forcedac;

#else /* CONFIG_IOMMU_DMA */

static inline void iommu_setup_dma_ops(struct device *dev)
{
}

static inline int iommu_get_dma_cookie(struct iommu_domain *domain)
{
	return -ENODEV;
}

static inline void iommu_put_dma_cookie(struct iommu_domain *domain)
{
}

static inline int iommu_dma_init_fq(struct iommu_domain *domain)
{
	return -EINVAL;
}

static inline void iommu_dma_get_resv_regions(struct device *dev,
					      struct list_head *list)
{
}

#endif /* CONFIG_IOMMU_DMA */
#endif /* __DMA_IOMMU_H */
