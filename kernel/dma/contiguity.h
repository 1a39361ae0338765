/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scatterlists as one segment, where no IOMMU can make them one. See
 * contiguity.c.
 */
#ifndef _KERNEL_DMA_CONTIGUITY_H
#define _KERNEL_DMA_CONTIGUITY_H

#include <linux/dma-mapping.h>

struct dma_map_ops;

int dma_direct_map_contiguous(struct device *dev, struct scatterlist *sgl,
			      int nents, enum dma_data_direction dir,
			      unsigned long attrs);
int dma_ops_map_contiguous(struct device *dev, const struct dma_map_ops *ops,
			   struct scatterlist *sgl, int nents,
			   enum dma_data_direction dir, unsigned long attrs);

/* The first segment of a list that was mapped as one has all of its bytes. */
static inline int dma_direct_segments(struct scatterlist *sgl, int nents)
{
	return nents > 1 && sg_dma_len(sgl) > sgl->length &&
	       !sg_dma_len(sg_next(sgl)) ? 1 : nents;
}

#endif /* _KERNEL_DMA_CONTIGUITY_H */
