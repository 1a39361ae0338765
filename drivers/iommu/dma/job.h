/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making a mapping out of pieces of memory. See job.c.
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
 * @copy: the device must not see what shares a granule with a piece
 * @run: whole granules that are not mapped yet
 * @part: what is known of the granule behind @run, if not all is
 * @mixed: that granule is a copy that has @part and more already
 * @done: all below this device address is mapped
 * @undone: all below this device address has been unmapped again
 *
 * All but the first four are zero to begin with.
 */
struct dma_job {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	bool copy;
	bool mixed;
	struct dma_piece run;
	struct dma_piece part;
	dma_addr_t done;
	dma_addr_t undone;
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

/* dma_job_add() for whole granules, if no part of one has been added before */
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

int dma_job_add(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		size_t len);
int dma_job_finish(struct dma_job *job, dma_addr_t start, dma_addr_t end);
void dma_job_undo(struct dma_job *job, dma_addr_t addr, size_t len);

#endif /* _DMA_JOB_H */
