/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory for device and CPU at once. See alloc.c.
 */
#ifndef _DMA_MEMORY_H
#define _DMA_MEMORY_H

#include <linux/dma-direction.h>
#include <linux/types.h>

struct device;
struct sg_table;
struct vm_area_struct;

void *dma_memory_alloc(struct device *dev, size_t size, dma_addr_t *addr,
		       gfp_t gfp, unsigned long attrs);
void dma_memory_free(struct device *dev, size_t size, void *cpu_addr,
		     dma_addr_t addr);
int dma_memory_mmap(struct device *dev, struct vm_area_struct *vma,
		    void *cpu_addr, size_t size, unsigned long attrs);
int dma_memory_sgtable(struct sg_table *sgt, void *cpu_addr, size_t size);

struct sg_table *dma_pages_alloc(struct device *dev, size_t size, gfp_t gfp,
				 unsigned long attrs);
void dma_pages_free(struct device *dev, size_t size, struct sg_table *sgt);
void *dma_pages_vmap(struct sg_table *sgt, size_t size);
int dma_pages_mmap(struct sg_table *sgt, struct vm_area_struct *vma,
		   size_t size);

#endif /* _DMA_MEMORY_H */
