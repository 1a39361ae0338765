// SPDX-License-Identifier: GPL-2.0
/*
 * Making a mapping out of pieces of memory.
 *
 * Pieces come in ascending order of device addresses. A granule that memory
 * fills at the same offset as the device is to see it is mapped as it is, in one
 * run with what is before it if that is contiguous, as larger pages are faster.
 * Any other granule is decided on when all that is in it has come: one piece at
 * the right offset is mapped with what is around it in memory, unless the device
 * must not see that; everything else becomes a copy.
 *
 *   memory   |aaaaaaaa|aaa-----|  |----bbbb|bbbbbbbb|   |cccc----|
 *   device   |aaaaaaaa|aaabbbbb|..
 *             as it is  a copy     b is at other offsets: copies from here on
 *
 *   memory   |aaaaaaaa|aaa-----|  |---bbbbb|bbbbbbbb|
 *   device   |aaaaaaaa|aaabbbbb|bbbbbbbb|
 *             as it is  a copy   as it is
 */

#include <linux/dma-iommu.h>
#include <linux/iommu.h>

#include "bounce.h"
#include "domain.h"
#include "batch.h"

static int bounce_part(struct dma_job *job)
{
	int ret = iommu_dma_bounce_add(job->dev, job->cookie, job->part.addr,
				       job->part.phys, job->part.size);

	job->mixed = true;
	/* The IOMMU driver may have that error for another reason. */
	job->no_memory = ret == -EFAULT;
	return ret;
}

/* Nothing more comes for the granule of the part. */
static int job_settle(struct dma_job *job)
{
	struct iommu_dma_cookie *cookie = job->cookie;
	struct dma_piece part = job->part;
	size_t granule = dma_granule(cookie);
	size_t offset = dma_granule_offset(cookie, part.addr);
	bool as_it_is = offset == dma_granule_offset(cookie, part.phys) &&
			(!job->bounce || part.size == granule);
	int ret = 0;

	if (!job->mixed && as_it_is) {
		part.phys -= offset;
	} else {
		if (!job->mixed)
			ret = bounce_part(job);
		if (ret)
			return ret;
		part.phys = iommu_dma_bounce_phys(job->dev, cookie, part.addr);
		job->copied = true;
	}
	job->part.size = 0;
	job->mixed = false;
	return dma_job_run(job, part.addr - offset, part.phys, granule);
}

/* Some bytes of a granule */
static int job_part(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		    size_t len)
{
	struct dma_piece *part = &job->part;
	int ret = 0;

	if (part->size && (addr ^ part->addr) >> job->cookie->granule_lg2)
		ret = job_settle(job);
	if (ret)
		return ret;

	if (part->size && !job->mixed) {
		if (dma_piece_follows(part, addr, phys)) {
			part->size += len;
			return 0;
		}
		ret = bounce_part(job);
		if (ret)
			return ret;
	}
	*part = (struct dma_piece) { addr, phys, len };
	return job->mixed ? bounce_part(job) : 0;
}

/**
 * dma_job_add_exact - dma_job_add() where not every granule is mapped as it is
 * @job: mapping in the making
 * @addr: device address of the first byte
 * @phys: memory of the first byte
 * @len: bytes
 *
 * Context: Any.
 * Return: as dma_job_add().
 */
int dma_job_add_exact(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		      size_t len)
{
	size_t granule = dma_granule(job->cookie), size;
	int ret;

	for (; len; addr += size, phys += size, len -= size) {
		if (len >= granule &&
		    !dma_granule_offset(job->cookie, addr | phys)) {
			size = ALIGN_DOWN(len, granule);
			ret = job->part.size ? job_settle(job) : 0;
			if (!ret)
				ret = dma_job_run(job, addr, phys, size);
		} else {
			size = min(len, granule -
				   dma_granule_offset(job->cookie, addr));
			ret = job_part(job, addr, phys, size);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * dma_job_finish - no more pieces: map what is left, and tell the IOMMU driver
 * @job: mapping in the making
 * @start: device address that no piece is below
 * @end: device address that no piece is behind
 *
 * Context: Any.
 * Return: as dma_job_add().
 */
int dma_job_finish(struct dma_job *job, dma_addr_t start, dma_addr_t end)
{
	struct iommu_domain *domain = job->cookie->domain;
	int ret = job->part.size ? job_settle(job) : 0;

	/* iommu_dma_bounce_phys() did not. */
	if (job->copied && !dev_is_dma_coherent(job->dev))
		arch_sync_dma_wait();
	if (!ret)
		ret = dma_job_flush(job);
	if (!ret && domain->ops->iotlb_sync_map)
		ret = domain->ops->iotlb_sync_map(domain, start, end - start);
	return ret;
}

/*
 * Pieces were mapped in runs, perhaps by pages larger than one of them, and no
 * IOMMU driver has to cut a page in order to unmap a part of it. A run has no
 * hole in it, so the spans between holes are whole runs. If one cannot be unmapped,
 * dma_iova_abandon() finds it.
 */
static void undo_span(struct dma_job *job)
{
	if (job->undo_end != job->undo)
		iommu_unmap(job->cookie->domain, job->undo,
			    job->undo_end - job->undo);
}

/**
 * dma_job_undo - unmap as much of a piece as has been mapped, now or later
 * @job: mapping that has failed
 * @addr: as given to dma_job_add(), or meant to; in the same order
 * @len: likewise
 *
 * Context: Any.
 */
void dma_job_undo(struct dma_job *job, dma_addr_t addr, size_t len)
{
	dma_addr_t start = addr - dma_granule_offset(job->cookie, addr);
	dma_addr_t end = min(job->done,
			     ALIGN(addr + len, dma_granule(job->cookie)));

	if (start >= end)
		return;
	if (start > job->undo_end) {
		undo_span(job);
		job->undo = start;
	}
	job->undo_end = max(job->undo_end, end);
}

/**
 * dma_job_undo_end - unmap what is left, after dma_job_undo() of all pieces
 * @job: mapping that has failed
 *
 * Context: Any.
 */
void dma_job_undo_end(struct dma_job *job)
{
	undo_span(job);
}
