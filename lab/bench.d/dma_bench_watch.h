/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happens beside the calls, and calls that are watched. See
 * dma_bench_watch.c.
 */
#ifndef _DMA_BENCH_WATCH_H
#define _DMA_BENCH_WATCH_H

#include <linux/irqflags.h>

#include "dma_bench_core.h"

void bench_note_unmap(struct bench *b);
bool bench_late_on(void);
void bench_watch_stop(struct bench *b);

/*
 * A sample is the call alone, so interrupts are off. But not while they are what
 * is watched: then there are no samples worth looking at.
 */
static inline bool bench_alone(unsigned long *flags)
{
	if (bench_late_on())
		return false;
	local_irq_save(*flags);
	return true;
}

static inline void bench_alone_end(bool alone, unsigned long flags)
{
	if (alone)
		local_irq_restore(flags);
}

static inline void bench_unmap(struct bench *b, dma_addr_t addr, size_t size)
{
	dma_unmap_page(b->dev, addr, size, DMA_BIDIRECTIONAL);
	bench_note_unmap(b);
}

#endif /* _DMA_BENCH_WATCH_H */
