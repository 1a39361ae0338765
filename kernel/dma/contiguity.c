// SPDX-License-Identifier: GPL-2.0
/*
 * Scatterlists as one segment, for devices without the DMA-IOMMU layer.
 *
 * The DMA-IOMMU layer makes one segment of any list. This file is for all other
 * devices: those that reach memory directly or through a bounce buffer, and
 * those with DMA operations of their architecture or hypervisor. See
 * <linux/dma-contiguity.h>.
 */

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "contiguity.h"
#include "direct.h"

static int refuse(struct device *dev, u64 size, unsigned long attrs,
		  const char *why)
{
	if (!(attrs & DMA_ATTR_NO_WARN))
		dev_err_ratelimited(dev, "DMA map of %llu bytes refused: cannot be one segment: %s\n",
				    size, why);
	return -EINVAL;
}

/* Return: bytes; 0 if there is no entry, or one without bytes or memory. */
static u64 list_size(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	u64 size = 0;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg->length || !sg_page(sg))
			return 0;
		size += sg->length;
	}
	return size;
}

static bool same_owner(struct page *a, struct page *b)
{
	if (is_pci_p2pdma_page(a) != is_pci_p2pdma_page(b))
		return false;
	return !is_pci_p2pdma_page(a) || a->pgmap == b->pgmap;
}

static bool list_is_contiguous(struct scatterlist *sgl, int nents)
{
	phys_addr_t next = sg_phys(sgl);
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		/*
		 * Neighbours may belong to devices that are reached in
		 * different ways.
		 */
		if (sg_phys(sg) != next || !same_owner(sg_page(sg), sg_page(sgl)))
			return false;
		next += sg->length;
	}
	return true;
}

static bool crosses_boundary(struct device *dev, const struct scatterlist *sg)
{
	u64 mask = dma_get_seg_boundary(dev);

	return (sg_dma_address(sg) ^ (sg_dma_address(sg) + sg_dma_len(sg) - 1)) &
	       ~mask;
}

/*
 * Whether an end of a list is a small kmalloc() buffer, which must not share a
 * cache line with what the device writes. Entries between the ends share lines
 * only with the list itself.
 */
static bool needs_bounce(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir)
{
	return dma_kmalloc_needs_bounce(dev, sgl->length, dir) ||
	       dma_kmalloc_needs_bounce(dev, sg_last(sgl, nents)->length, dir);
}

static int map_bounced(struct device *dev, struct scatterlist *whole,
		       enum dma_data_direction dir, unsigned long attrs)
{
	if (!is_swiotlb_active(dev) ||
	    whole->length > swiotlb_max_mapping_size(dev))
		return refuse(dev, whole->length, attrs,
			      "too large to bounce");
	sg_dma_address(whole) = swiotlb_map(dev, sg_phys(whole), whole->length,
					    dir, attrs);
	sg_dma_len(whole) = whole->length;
	return sg_dma_address(whole) == DMA_MAPPING_ERROR ? -EIO : 1;
}

/**
 * dma_direct_map_contiguous - map a list of contiguous memory as one segment
 * @dev: device without an IOMMU
 * @sgl: first entry
 * @nents: number of entries
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * The list is mapped as the one entry that it could have been. Syncing goes by
 * the addresses of all entries, so all get theirs; unmapping goes by the
 * segment.
 *
 * Context: Any.
 * Return: 1; -EINVAL if the list cannot be one segment; or the error of mapping
 * it.
 */
int dma_direct_map_contiguous(struct device *dev, struct scatterlist *sgl,
			      int nents, enum dma_data_direction dir,
			      unsigned long attrs)
{
	u64 size = list_size(sgl, nents);
	struct scatterlist whole, *sg;
	dma_addr_t addr;
	int i, ret;

	if (!size)
		return -EINVAL;
	if (size > dma_max_contiguous_size(dev))
		return refuse(dev, size, attrs,
			      "larger than dma_max_contiguous_size()");
	if (!list_is_contiguous(sgl, nents))
		return refuse(dev, size, attrs,
			      "memory is not contiguous, and there is no IOMMU");
	if (nents > 1 && !IS_ENABLED(CONFIG_NEED_SG_DMA_LENGTH))
		return refuse(dev, size, attrs,
			      "architecture without segment lengths");

	sg_init_table(&whole, 1);
	sg_set_page(&whole, sg_page(sgl), size, sgl->offset);
	if (nents > 1 && needs_bounce(dev, sgl, nents, dir))
		ret = map_bounced(dev, &whole, dir, attrs);
	else
		ret = dma_direct_map_sg(dev, &whole, 1, dir, attrs);
	if (ret < 0)
		return ret;
	if (!sg_dma_is_bus_address(&whole) && crosses_boundary(dev, &whole)) {
		dma_direct_unmap_sg(dev, &whole, 1, dir,
				    attrs | DMA_ATTR_SKIP_CPU_SYNC);
		return refuse(dev, size, attrs,
			      "crosses the segment boundary");
	}

	addr = sg_dma_address(&whole);
	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = addr;
		addr += sg->length;
		if (nents > 1)
			sg_dma_len(sg) = 0;
	}
	sg_dma_len(sgl) = size;
	if (sg_dma_is_bus_address(&whole))
		sg_dma_mark_bus_address(sgl);
	return 1;
}

/* What mapping writes into an entry */
struct dma_fields {
	dma_addr_t address;
	unsigned int length;
};

/**
 * dma_ops_map_contiguous - map a list as one segment by a device's operations
 * @dev: device with DMA operations of its own
 * @ops: the operations
 * @sgl: first entry
 * @nents: number of entries
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any.
 * Return: 1; -EINVAL if the list cannot be one segment; -ENOMEM; or the error
 * of the operations.
 */
int dma_ops_map_contiguous(struct device *dev, const struct dma_map_ops *ops,
			   struct scatterlist *sgl, int nents,
			   enum dma_data_direction dir, unsigned long attrs)
{
	u64 size = list_size(sgl, nents);
	struct dma_fields *before;
	struct scatterlist *sg;
	int i, ret;

	if (!size)
		return -EINVAL;
	if (size > dma_max_contiguous_size(dev))
		return refuse(dev, size, attrs,
			      "larger than dma_max_contiguous_size()");
	before = kmalloc_array(nents, sizeof(*before), GFP_ATOMIC | __GFP_NOWARN);
	if (!before)
		return -ENOMEM;
	for_each_sg(sgl, sg, nents, i)
		before[i] = (struct dma_fields) {
			.address = sg_dma_address(sg),
			.length = sg_dma_len(sg),
		};

	ret = ops->map_sg(dev, sgl, nents, dir, attrs);
	if (ret > 1 || (ret == 1 && crosses_boundary(dev, sgl))) {
		ops->unmap_sg(dev, sgl, nents, dir,
			      attrs | DMA_ATTR_SKIP_CPU_SYNC);
		ret = refuse(dev, size, attrs,
			     "not supported by the DMA operations of the device");
	}
	if (ret < 1) {
		for_each_sg(sgl, sg, nents, i) {
			sg_dma_address(sg) = before[i].address;
			sg_dma_len(sg) = before[i].length;
		}
	}
	kfree(before);
	return ret;
}

/**
 * dma_max_contiguous_size - the largest list that can be one segment
 * @dev: device
 *
 * The size follows from the limits of the device, its bus and its IOMMU. A list
 * that does not begin at a granule and at a multiple of the min_align_mask plus
 * 1 may cross the segment boundary before it is that large. Whether there is an
 * IOMMU that makes one segment of any memory is what dma_get_merge_boundary()
 * tells.
 *
 * Context: Any.
 * Return: bytes.
 */
size_t dma_max_contiguous_size(struct device *dev)
{
	u64 size = min_t(u64, dma_max_mapping_size(dev),
			 dma_get_max_seg_size(dev));

	if (!size)
		return 0;
	/* A boundary mask of all ones is no boundary. */
	return min_t(u64, size - 1, dma_get_seg_boundary(dev)) + 1;
}
EXPORT_SYMBOL_GPL(dma_max_contiguous_size);
