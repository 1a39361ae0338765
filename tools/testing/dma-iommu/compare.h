/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both allocators behind the same calls, for the programs that compare them.
 *
 * An allocation and a free are what the layer calls for them. In the base these are
 * alloc_iova_fast(), which itself rounds sizes up as the base needs it, and
 * free_iova_fast(); here they are iova_space_alloc() or iova_space_alloc_one(), and
 * iova_space_claim() and iova_space_release().
 */
#ifndef _COMPARE_H
#define _COMPARE_H

#include <time.h>
#include <unistd.h>

#include "base_shim.h"
#include <linux/iova.h>
#include "iova-space.h"

#define __always_inline_	inline __attribute__((always_inline))

/* As for a device that takes 48 bits */
#define LIMIT		((1UL << 36) - 1)

static struct iova_domain base;
static struct iova_space space;

static __always_inline_ unsigned long get(bool ours, unsigned long size,
					  unsigned long align,
					  unsigned long limit)
{
	struct iova_request req = {
		.size = size, .align = align, .limit = limit,
	};
	struct iova_range range;

	if (!ours)
		return alloc_iova_fast(&base, size, limit, true);
	if (size == 1 && align == 1) {
		unsigned long granule = iova_space_alloc_one(&space, limit);

		if (granule != IOVA_NONE)
			return granule;
	}
	return iova_space_alloc(&space, &req, &range) ? range.first : 0;
}

static __always_inline_ void put(bool ours, unsigned long pfn,
				 unsigned long size)
{
	struct iova_range range;

	if (!ours) {
		free_iova_fast(&base, pfn, size);
		return;
	}
	FAIL_IF(!iova_space_claim(&space, pfn, &range));
	iova_space_release(&space, &range);
}

static void begin(bool ours)
{
	if (ours) {
		FAIL_IF(iova_space_init(&space, 1, LIMIT, 12));
		return;
	}
	init_iova_domain(&base, PAGE_SIZE, 1);
	FAIL_IF(iova_domain_init_rcaches(&base));
}

static void end(bool ours)
{
	if (ours)
		iova_space_destroy(&space);
	else
		put_iova_domain(&base);
	shim_rcu_barrier();
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Until others have let *@at get to @value */
static void wait_for(const unsigned int *at, unsigned int value)
{
	unsigned int spins = 0;

	while ((int)(__atomic_load_n(at, __ATOMIC_ACQUIRE) - value) < 0) {
		if (++spins % 1000)
			__builtin_ia32_pause();
		else
			sched_yield();
	}
}

#endif /* _COMPARE_H */
