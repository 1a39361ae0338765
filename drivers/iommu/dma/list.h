/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mapping scatterlists. See list.c.
 */
#ifndef _DMA_LIST_H
#define _DMA_LIST_H

#include <linux/dma-direction.h>
#include <linux/types.h>

struct device;
struct scatterlist;

int dma_list_map(struct device *dev, struct scatterlist *sgl, int nents,
		 enum dma_data_direction dir, unsigned long attrs);
void dma_list_unmap(struct device *dev, struct scatterlist *sgl, int nents,
		    enum dma_data_direction dir, unsigned long attrs);
void dma_list_sync(struct device *dev, struct scatterlist *sgl, int nents,
		   enum dma_data_direction dir, bool for_cpu);

#endif /* _DMA_LIST_H */
