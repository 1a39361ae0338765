// SPDX-License-Identifier: GPL-2.0
/*
 * How many instructions an address costs: allocate, claim and release one
 * granule, again and again, with a number of others live. Under callgrind only
 * steady() is counted. The shims cost what a kernel without debugging does, but
 * for interrupts and preemption.
 */

#include "iova-space.h"

#include <linux/minmax.h>

#define ROUNDS	10000

static struct iova_space space;
static struct iova_range window[ROUNDS];

static struct iova_request request = {
	.size = 1, .align = 1, .limit = (1UL << 36) - 1,
};

noinline void steady(unsigned int live)
{
	unsigned int i;

	/* First in, first out, as drivers do */
	for (i = 0; i < ROUNDS; i++) {
		struct iova_range *slot = &window[i % live];

		FAIL_IF(!iova_space_claim(&space, slot->first, slot));
		iova_space_release(&space, slot);
		FAIL_IF(!iova_space_alloc(&space, &request, slot));
	}
}

static void run(unsigned int live)
{
	unsigned int i;

	FAIL_IF(iova_space_init(&space, 1, request.limit, 12));
	for (i = 0; i < live; i++)
		FAIL_IF(!iova_space_alloc(&space, &request, &window[i]));
	steady(live);
	iova_space_destroy(&space);
	shim_rcu_barrier();
}

int main(int argc, char **argv)
{
	run(argc > 1 ? atoi(argv[1]) : 256);
	return 0;
}
