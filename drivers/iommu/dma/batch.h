/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making a mapping out of pieces of memory. See batch.c.
 */
#ifndef _DMA_JOB_H
#define _DMA_JOB_H

#include <linux/types.h>

#include "domain.h"

/**
 * struct dma_piece - contiguous memory and where a device is to see it
 * @addr: device address
 * @phys: memory
 * @size: bytes; 0 for none
 */
struct dma_piece {
	dma_addr_t addr;
	phys_addr_t phys;
	size_t size;
};

/**
 * struct dma_job - a mapping in the making
 * @dev: device
 * @cookie: its domain's
 * @prot: IOMMU_*
 * @bounce: the device must not see what shares a granule with a piece
 * @shared: pieces may share a granule
 * @run: whole granules that are not mapped yet
 * @part: what is known of the granule behind @run, if not all is
 * @mixed: that granule is a copy that has @part and more already
 * @copied: there are copies
 * @done: all below this device address is mapped
 * @undo: where the span to unmap begins, when it has failed; see batch.c
 * @undo_end: where that ends
 * @no_memory: what was to be copied is not memory
 *
 * All but the first five are zero to begin with.
 */
struct dma_job {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	bool bounce;
	bool shared;
	bool mixed;
	bool copied;
	struct dma_piece run;
	struct dma_piece part;
	dma_addr_t done;
	dma_addr_t undo;
	dma_addr_t undo_end;
	bool no_memory;
};

static inline bool dma_piece_follows(const struct dma_piece *piece,
				     dma_addr_t addr, phys_addr_t phys)
{
	return piece->size && addr == piece->addr + piece->size &&
	       phys == piece->phys + piece->size;
}

/* Map the run. */
static __always_inline int dma_job_flush(struct dma_job *job)
{
	struct dma_piece *run = &job->run;
	int ret;

	if (!run->size)
		return 0;
	ret = dma_pages_map(job->cookie, run->addr, run->phys, run->size,
			    job->prot);
	if (ret)
		return ret;
	job->done = run->addr + run->size;
	run->size = 0;
	return 0;
}

/* Whole granules, as they are in memory */
static __always_inline int dma_job_run(struct dma_job *job, dma_addr_t addr,
				       phys_addr_t phys, size_t size)
{
	int ret;

	if (dma_piece_follows(&job->run, addr, phys)) {
		job->run.size += size;
		return 0;
	}
	ret = dma_job_flush(job);
	job->run = (struct dma_piece) { addr, phys, size };
	return ret;
}

/* A piece, with what is around it in its granules */
static __always_inline int dma_job_add_around(struct dma_job *job,
					      dma_addr_t addr, phys_addr_t phys,
					      size_t len)
{
	size_t offset = dma_granule_offset(job->cookie, addr);

	return dma_job_run(job, addr - offset, phys - offset,
			   ALIGN(offset + len, dma_granule(job->cookie)));
}

int dma_job_add_exact(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		      size_t len);

/**
 * dma_job_add - map the next piece of memory, now or with the ones that follow
 * @job: mapping in the making
 * @addr: device address; not below the end of the piece before
 * @phys: memory, contiguous
 * @len: bytes
 *
 * Context: Any.
 * Return: 0; -ENOMEM; -EFAULT if what has to be copied is no memory; or the
 * error of the IOMMU driver.
 */
static __always_inline int dma_job_add(struct dma_job *job, dma_addr_t addr,
				       phys_addr_t phys, size_t len)
{
	if (unlikely(job->bounce || job->shared))
		return dma_job_add_exact(job, addr, phys, len);
	return dma_job_add_around(job, addr, phys, len);
}

int dma_job_finish(struct dma_job *job, dma_addr_t start, dma_addr_t end);
void dma_job_undo(struct dma_job *job, dma_addr_t addr, size_t len);
void dma_job_undo_end(struct dma_job *job);

#endif /* _DMA_JOB_H */
