/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parking: which chunks there are, and who has them. See iova-pool.c.
 */
#ifndef _IOVA_POOL_H
#define _IOVA_POOL_H

#include <linux/bitops.h>

#include "iova-space.h"

/*
 * Allocations are made in the middle of a driver's map call, which may be in
 * any context. A failure is the driver's to handle, not worth a splat.
 */
#define IOVA_GFP	(GFP_ATOMIC | __GFP_NOWARN)

/*
 * In the zones up to this one space is too scarce for a chunk per CPU; all take
 * from the parked ones, under the lock.
 */
#define IOVA_ZONE_SCARCE	1

/* Parked chunks to look at that may have a place, when none has for certain */
#define IOVA_TIGHT_CHUNKS	64

/* Limits that hardware is known to have, in bits of the address */
static __always_inline unsigned int
iova_pool_zone(const struct iova_space *space, unsigned long last)
{
	static const u8 zones[128] = {
		[0 ... 24]  = 0, [25 ... 28] = 1, [29 ... 30] = 2,
		[31 ... 32] = 3, [33 ... 36] = 4, [37 ... 40] = 5,
		[41 ... 48] = 6, [49 ... 127] = 7,
	};

	return zones[fls_long(last) + space->granule_shift];
}

bool iova_pool_low(const struct iova_space *space, unsigned int zone);
void iova_pool_activate_zone(struct iova_space *space, unsigned int zone);

bool iova_pool_place(struct iova_space *space, struct iova_extent *x,
		     const struct iova_request *req);
void iova_pool_erase(struct iova_space *space, struct iova_extent *x);
void iova_count_taken(struct iova_space *space, const struct iova_extent *x,
		      bool taken);

struct iova_chunk *iova_pool_create_chunk(struct iova_space *space,
					  unsigned long limit);
struct iova_chunk *iova_pool_get_partial(struct iova_space *space,
					 unsigned int zone, unsigned int class,
					 unsigned long limit);
void iova_pool_put_partial(struct iova_space *space, struct iova_chunk *c);
void iova_pool_sort(struct iova_space *space, struct iova_chunk *c);
bool iova_pool_shrink(struct iova_space *space);
void iova_pool_reap_all(struct iova_space *space);

/**
 * iova_pool_reap - let chunks go that are on their way out
 * @space: address space
 *
 * To be called when interrupts are on again, as far as it is up to the caller:
 * the index of chunks has a lock that sleeps on PREEMPT_RT.
 *
 * Context: Any.
 * Return: whether there was one.
 */
static inline bool iova_pool_reap(struct iova_space *space)
{
	if (likely(llist_empty(&space->dying)))
		return false;
	iova_pool_reap_all(space);
	return true;
}

bool iova_pool_take(struct iova_space *space, unsigned int zone,
		    unsigned int class, const struct iova_request *req,
		    struct iova_range *range);
bool iova_pool_take_tight(struct iova_space *space, unsigned int zone,
			  unsigned int class, const struct iova_request *req,
			  struct iova_range *range, unsigned int *tries);
bool iova_pool_take_cpu(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range);

#endif /* _IOVA_POOL_H */
