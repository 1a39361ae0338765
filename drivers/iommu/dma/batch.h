/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making a mapping out of pieces of memory. See batch.c.
 */
#ifndef _IOMMU_DMA_BATCH_H
#define _IOMMU_DMA_BATCH_H

#include <linux/types.h>

#include "map.h"

/**
 * struct iommu_dma_piece - contiguous memory and where a device is to see it
 * @addr: device address
 * @phys: memory
 * @size: bytes; 0 for none
 */
struct iommu_dma_piece {
	dma_addr_t addr;
	phys_addr_t phys;
	size_t size;
};

/**
 * struct iommu_dma_batch - a mapping in the making
 * @dev: device
 * @cookie: cookie of its domain
 * @prot: IOMMU_*
 * @bounce_piece: the device must not see what shares a granule with the piece that
 *	is added
 * @run: whole granules that are not mapped yet
 * @part: the piece, or the last of them, in the incomplete granule after @run
 * @bounce_part: the device must not see what else is in that granule
 * @bounced: that granule is bounced, with @part and all before it
 * @any_bounced: some granule is bounced
 * @done: all below this device address is mapped
 * @undo: after a failure, where the span to unmap begins; see batch.c
 * @undo_end: where that span ends
 * @undo_short: the IOMMU driver has unmapped less
 * @not_memory: what was to be bounced is not memory
 *
 * The caller sets @dev, @cookie and @prot, and for each piece @bounce_piece; the rest
 * starts as zero.
 */
struct iommu_dma_batch {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	bool bounce_piece;
	bool bounce_part;
	bool bounced;
	bool any_bounced;
	struct iommu_dma_piece run;
	struct iommu_dma_piece part;
	dma_addr_t done;
	dma_addr_t undo;
	dma_addr_t undo_end;
	bool undo_short;
	bool not_memory;
};

int iommu_dma_batch_add(struct iommu_dma_batch *batch, dma_addr_t addr,
			phys_addr_t phys, size_t len);
int iommu_dma_batch_finish(struct iommu_dma_batch *batch, dma_addr_t start,
			   dma_addr_t end);
void iommu_dma_batch_undo(struct iommu_dma_batch *batch, dma_addr_t addr,
			  size_t len);
bool iommu_dma_batch_undo_end(struct iommu_dma_batch *batch);

#endif /* _IOMMU_DMA_BATCH_H */
