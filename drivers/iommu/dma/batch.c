// SPDX-License-Identifier: GPL-2.0
/*
 * Making a mapping out of pieces of memory, of which some may have to be bounced.
 *
 * Pieces come in ascending order of device addresses. A granule that one piece
 * fills at the offset at which the device is to see it is mapped as it is. It
 * is mapped in one run with the granules before it if the memory is contiguous,
 * as larger pages are faster. Any other granule is closed when all of its
 * pieces have come: a single piece at the right offset is mapped with what is
 * around it in memory, unless the device must not see that; in all other cases
 * the granule is bounced.
 *
 *   memory   |aaaaaaaa|aaa-----|  |----bbbb|bbbbbbbb|   |cccc----|
 *   device   |aaaaaaaa|aaabbbbb|..
 *             as it is bounced    b is at other offsets: bounced from here on
 *
 *   memory   |aaaaaaaa|aaa-----|  |---bbbbb|bbbbbbbb|
 *   device   |aaaaaaaa|aaabbbbb|bbbbbbbb|
 *             as it is bounced  as it is
 */

#include <linux/dma-iommu.h>
#include <linux/iommu.h>

#include "batch.h"
#include "bounce.h"

static bool piece_follows(const struct iommu_dma_piece *piece, dma_addr_t addr,
			  phys_addr_t phys)
{
	return piece->size && addr == piece->addr + piece->size &&
	       phys == piece->phys + piece->size;
}

static int map_run(struct iommu_dma_batch *batch)
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
static int add_run(struct iommu_dma_batch *batch, dma_addr_t addr,
		   phys_addr_t phys, size_t size)
{
	int ret;

	if (piece_follows(&batch->run, addr, phys)) {
		batch->run.size += size;
		return 0;
	}
	ret = map_run(batch);
	batch->run = (struct iommu_dma_piece) { addr, phys, size };
	return ret;
}

static int bounce_part(struct iommu_dma_batch *batch)
{
	int ret = iommu_dma_bounce_add(batch->dev, batch->cookie,
				       batch->part.addr, batch->part.phys,
				       batch->part.size);

	batch->bounced = true;
	/* An IOMMU driver may also return -EFAULT, for another reason. */
	batch->not_memory = ret == -EFAULT;
	return ret;
}

/* Map the granule of the part, for which no more pieces come. */
static int close_granule(struct iommu_dma_batch *batch)
{
	struct iommu_dma_cookie *cookie = batch->cookie;
	struct iommu_dma_piece part = batch->part;
	size_t granule = cookie_granule(cookie);
	size_t offset = cookie_granule_offset(cookie, part.addr);
	bool as_it_is = offset == cookie_granule_offset(cookie, part.phys) &&
			(!batch->bounce_part || part.size == granule);
	int ret = 0;

	if (!batch->bounced && as_it_is) {
		part.phys -= offset;
	} else {
		if (!batch->bounced)
			ret = bounce_part(batch);
		if (ret)
			return ret;
		part.phys = iommu_dma_bounce_phys(batch->dev, cookie,
						  part.addr);
		batch->any_bounced = true;
	}
	batch->part.size = 0;
	batch->bounce_part = false;
	batch->bounced = false;
	return add_run(batch, part.addr - offset, part.phys, granule);
}

/* Add some bytes of a granule. */
static int add_part(struct iommu_dma_batch *batch, dma_addr_t addr,
		    phys_addr_t phys, size_t len)
{
	struct iommu_dma_piece *part = &batch->part;
	int ret = 0;

	if (part->size && (addr ^ part->addr) >> batch->cookie->granule_shift)
		ret = close_granule(batch);
	if (ret)
		return ret;

	batch->bounce_part |= batch->bounce_piece;
	if (part->size && !batch->bounced) {
		if (piece_follows(part, addr, phys)) {
			part->size += len;
			return 0;
		}
		ret = bounce_part(batch);
		if (ret)
			return ret;
	}
	*part = (struct iommu_dma_piece) { addr, phys, len };
	return batch->bounced ? bounce_part(batch) : 0;
}

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
int iommu_dma_batch_add(struct iommu_dma_batch *batch, dma_addr_t addr,
			phys_addr_t phys, size_t len)
{
	size_t granule = cookie_granule(batch->cookie), size;
	int ret;

	for (; len; addr += size, phys += size, len -= size) {
		if (len >= granule &&
		    !cookie_granule_offset(batch->cookie, addr | phys)) {
			size = ALIGN_DOWN(len, granule);
			ret = batch->part.size ? close_granule(batch) : 0;
			if (!ret)
				ret = add_run(batch, addr, phys, size);
		} else {
			size = granule - cookie_granule_offset(batch->cookie,
							       addr);
			size = min(len, size);
			ret = add_part(batch, addr, phys, size);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * iommu_dma_batch_finish - map what is left, and tell the IOMMU driver
 * @batch: mapping in the making, all pieces of which have been added
 * @start: device address that no piece is below
 * @end: device address that no piece is behind
 *
 * Context: Any.
 * Return: as iommu_dma_batch_add().
 */
int iommu_dma_batch_finish(struct iommu_dma_batch *batch, dma_addr_t start,
			   dma_addr_t end)
{
	struct iommu_domain *domain = batch->cookie->domain;
	int ret = batch->part.size ? close_granule(batch) : 0;

	/* iommu_dma_bounce_phys() has begun syncs without waiting for them. */
	if (batch->any_bounced && !dev_is_dma_coherent(batch->dev))
		arch_sync_dma_flush();
	if (!ret)
		ret = map_run(batch);
	if (!ret)
		ret = iommu_sync_map(domain, start, end - start);
	return ret;
}

/*
 * Unmap a span between holes, which consists of whole runs, as a run has no
 * holes: pages may be larger than a piece, and IOMMU drivers need not split
 * them.
 */
static void undo_span(struct iommu_dma_batch *batch)
{
	size_t size = batch->undo_end - batch->undo;

	if (size && iommu_unmap(batch->cookie->domain, batch->undo, size) < size)
		batch->undo_short = true;
}

/**
 * iommu_dma_batch_undo - unmap what has been mapped of a piece, now or later
 * @batch: mapping that has failed
 * @addr: as given to iommu_dma_batch_add(), or as it would have been; in the
 *	same order
 * @len: likewise
 *
 * Context: Any.
 */
void iommu_dma_batch_undo(struct iommu_dma_batch *batch, dma_addr_t addr,
			  size_t len)
{
	struct iommu_dma_span span = cookie_granules(batch->cookie, addr, len);
	dma_addr_t end = min(batch->done, span.end);

	if (span.start >= end)
		return;
	if (span.start > batch->undo_end) {
		undo_span(batch);
		batch->undo = span.start;
	}
	batch->undo_end = max(batch->undo_end, end);
}

/**
 * iommu_dma_batch_undo_end - unmap what is left
 * @batch: mapping that has failed, after iommu_dma_batch_undo() of all pieces
 *
 * Context: Any.
 * Return: whether the IOMMU driver has unmapped all of it.
 */
bool iommu_dma_batch_undo_end(struct iommu_dma_batch *batch)
{
	undo_span(batch);
	return !batch->undo_short;
}
