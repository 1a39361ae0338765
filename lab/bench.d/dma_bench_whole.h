/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What many pairs of calls cost with all that they cause. See dma_bench_whole.c.
 */
#ifndef _DMA_BENCH_WHOLE_H
#define _DMA_BENCH_WHOLE_H

#include "dma_bench_core.h"

/**
 * struct bench_whole - what is done over and over
 * @step: one round of it; returns 0 or an error
 * @real: what @step is handed so that it makes the calls
 * @empty: what it is handed so that it does all but the calls
 * @pairs: calls to map in a step, and as many to unmap
 * @warm: steps before what is measured
 * @count: steps that are measured
 * @ms: how long either may take; then there are fewer steps
 */
struct bench_whole {
	int (*step)(struct bench *b, void *data);
	void *real;
	void *empty;
	u32 pairs;
	u32 warm;
	u32 count;
	u32 ms;
};

int bench_whole(struct bench *b, const struct bench_whole *whole);

#endif /* _DMA_BENCH_WHOLE_H */
