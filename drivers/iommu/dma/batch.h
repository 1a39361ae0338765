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
 * @bounce: the device must not see what shares a granule with some pieces
 * @bounce_piece: with the piece that is added
 * @share_granules: pieces may share a granule
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
 * The caller sets @dev, @cookie, @prot, @bounce and @share_granules, and for each
 * piece @bounce_piece; the rest starts as zero.
 */
struct iommu_dma_batch {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	bool bounce;
	bool bounce_piece;
	bool bounce_part;
	bool share_granules;
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

static inline bool iommu_dma_piece_follows(const struct iommu_dma_piece *piece,
					   dma_addr_t addr, phys_addr_t phys)
{
	return piece->size && addr == piece->addr + piece->size &&
	       phys == piece->phys + piece->size;
}

static __always_inline int iommu_dma_batch_flush(struct iommu_dma_batch *batch)
{
	struct iommu_dma_piece *run = &batch->run;
	int ret;

	if (!run->size)
		return 0;
	ret = iommu_dma_map_nosync(batch->cookie, run->addr, run->phys,
				   run->size, batch->prot);
	if (ret) {
		batch->undo_short = ret == -EBUSY;
		return ret;
	}
	batch->done = run->addr + run->size;
	run->size = 0;
	return 0;
}

/* Add whole granules, mapped as they are in memory. */
static __always_inline int iommu_dma_batch_run(struct iommu_dma_batch *batch,
					       dma_addr_t addr,
					       phys_addr_t phys, size_t size)
{
	int ret;

	if (iommu_dma_piece_follows(&batch->run, addr, phys)) {
		batch->run.size += size;
		return 0;
	}
	ret = iommu_dma_batch_flush(batch);
	batch->run = (struct iommu_dma_piece) { addr, phys, size };
	return ret;
}

/* Add a piece, mapped with what is around it in its granules. */
static __always_inline int
iommu_dma_batch_add_around(struct iommu_dma_batch *batch, dma_addr_t addr,
			   phys_addr_t phys, size_t len)
{
	struct iommu_dma_span span = cookie_granules(batch->cookie, addr, len);

	return iommu_dma_batch_run(batch, span.start, phys - (addr - span.start),
				   span.end - span.start);
}

int iommu_dma_batch_add_exact(struct iommu_dma_batch *batch, dma_addr_t addr,
			      phys_addr_t phys, size_t len);

/**
 * iommu_dma_batch_add - map the next piece of memory, now or with later ones
 * @batch: mapping in the making
 * @addr: device address; not below the end of the piece before
 * @phys: memory, contiguous
 * @len: bytes
 *
 * Context: Any.
 * Return: 0; -ENOMEM; -EFAULT if what has to be bounced is not memory; or the
 * error of the IOMMU driver.
 */
static __always_inline int iommu_dma_batch_add(struct iommu_dma_batch *batch,
					       dma_addr_t addr,
					       phys_addr_t phys, size_t len)
{
	if (unlikely(batch->bounce || batch->share_granules))
		return iommu_dma_batch_add_exact(batch, addr, phys, len);
	return iommu_dma_batch_add_around(batch, addr, phys, len);
}

int iommu_dma_batch_finish(struct iommu_dma_batch *batch, dma_addr_t start,
			   dma_addr_t end);
void iommu_dma_batch_undo(struct iommu_dma_batch *batch, dma_addr_t addr,
			  size_t len);
bool iommu_dma_batch_undo_end(struct iommu_dma_batch *batch);

#endif /* _IOMMU_DMA_BATCH_H */
