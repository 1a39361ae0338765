/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scatterlists as one segment: one contiguous range of device addresses.
 *
 * The driver of a device that cannot gather says so once, with
 * dma_set_contiguous(); then each dma_map_sg() gives one segment or an error.
 * If only some buffers have to be one segment, their mappings say so with
 * DMA_ATTR_CONTIGUOUS. Either way an error leaves nothing mapped, and unmapping
 * and syncing are the same as for any list.
 *
 * Behind an IOMMU any list of memory can be one segment, of up to
 * dma_max_contiguous_size() bytes if it begins with a granule. Without an
 * IOMMU, the memory of the list has to be contiguous.
 *
 * Included by <linux/dma-mapping.h>. See Documentation/core-api/dma-iommu.rst.
 */
#ifndef _LINUX_DMA_CONTIGUITY_H
#define _LINUX_DMA_CONTIGUITY_H

#include <linux/dma-mapping.h>

/**
 * dma_get_contiguous - whether a device needs each scatterlist as one segment
 * @dev: device
 *
 * Context: Any.
 * Return: what its driver said last with dma_set_contiguous(); at first false.
 */
static inline bool dma_get_contiguous(struct device *dev)
{
	return dev->dma_contiguous;
}

/**
 * dma_set_contiguous - say whether each scatterlist has to be one segment
 * @dev: device
 * @contiguous: true if each has to be
 *
 * A segment is not larger than dma_get_max_seg_size(), which is 64 KiB unless
 * dma_set_max_seg_size() has been called. When the driver is unbound, this ends
 * by itself.
 *
 * Context: Any; while the device has no scatterlist mapped.
 */
static inline void dma_set_contiguous(struct device *dev, bool contiguous)
{
	dev->dma_contiguous = contiguous;
}

/* Whether a list has to be one segment, for the device or for this mapping */
static inline bool dma_sg_contiguous(struct device *dev, unsigned long attrs)
{
	return attrs & DMA_ATTR_CONTIGUOUS || dma_get_contiguous(dev);
}

/**
 * dma_map_sgtable_contiguous - map a scatterlist as one segment
 * @dev: device
 * @sgt: list; sg_dma_address() and sg_dma_len() of its first entry are the
 *	segment
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * To be undone with dma_unmap_sgtable().
 *
 * Context: Any.
 * Return: 0; -EINVAL if the list cannot be one segment now or later, because it
 * is larger than dma_max_contiguous_size() or crosses the device's boundary,
 * because an entry has no bytes or is not memory, or because there is no IOMMU
 * and the memory is not contiguous; -ENOMEM if memory or addresses are short
 * for now; or another error of dma_map_sgtable().
 */
static inline int dma_map_sgtable_contiguous(struct device *dev,
					     struct sg_table *sgt,
					     enum dma_data_direction dir,
					     unsigned long attrs)
{
	return dma_map_sgtable(dev, sgt, dir, attrs | DMA_ATTR_CONTIGUOUS);
}

#ifdef CONFIG_HAS_DMA
size_t dma_max_contiguous_size(struct device *dev);
#else
static inline size_t dma_max_contiguous_size(struct device *dev)
{
	return 0;
}
#endif

#endif /* _LINUX_DMA_CONTIGUITY_H */
