/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Parking: which chunks there are, and who has them. See iova-pool.c.
 */
#ifndef _IOVA_POOL_H
#define _IOVA_POOL_H

#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "iova-chunk.h"
#include "iova-extents.h"

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

/*
 * Zones keep narrow address limits from starving behind wide ones: a chunk
 * belongs to the narrowest zone that holds all of it, and a CPU keeps one
 * chunk at hand per zone.
 */
#define IOVA_ZONES		8

/**
 * struct iova_pool - the chunks and extents of an address space, and who has them
 * @lock: protects the extents, the lists of chunks and who has which chunk
 * @extents: what is taken
 * @chunks: chunk by granule number / IOVA_CHUNK_GRANULES, read under RCU
 * @partial: chunks that no CPU has and that have free granules, by zone and class
 * @classes: by zone, bit per class with a chunk in @partial
 * @cpu_chunks: chunks that a CPU has
 * @nr_cpu_chunks: how many
 * @nr_empty: chunks on the IOVA_CLASS_EMPTY lists
 * @dying: chunks that are to go, by &iova_extent.retired of epoch 0
 * @taken: granules of extents that end in each zone
 * @active_zones: bit per zone, set when a request needs a limit in it
 * @zone_for: by zone, which requests its chunks are for
 * @granule_shift: log2 of the granule in bytes, to sort limits into zones
 *
 * @lock is raw and held for bounded steps, so any context may call.
 */
struct iova_pool {
	raw_spinlock_t lock;
	struct iova_extents extents;
	struct xarray chunks;
	struct list_head partial[IOVA_ZONES][IOVA_CLASSES];
	u16 classes[IOVA_ZONES];
	struct list_head cpu_chunks;
	unsigned int nr_cpu_chunks;
	unsigned int nr_empty;
	struct llist_head dying;
	unsigned long taken[IOVA_ZONES];
	u8 active_zones;
	u8 zone_for[IOVA_ZONES];
	unsigned int granule_shift;
};

/* Limits that hardware is known to have, in bits of the address */
static __always_inline unsigned int
iova_pool_zone(const struct iova_pool *pool, unsigned long last)
{
	static const u8 zones[128] = {
		[0 ... 24]  = 0, [25 ... 28] = 1, [29 ... 30] = 2,
		[31 ... 32] = 3, [33 ... 36] = 4, [37 ... 40] = 5,
		[41 ... 48] = 6, [49 ... 127] = 7,
	};

	return zones[fls_long(last) + pool->granule_shift];
}

void iova_pool_init(struct iova_pool *pool, unsigned long first,
		    unsigned long last, unsigned int granule_shift);
void iova_pool_destroy(struct iova_pool *pool);

bool iova_pool_low(const struct iova_pool *pool, unsigned int zone);
void iova_pool_activate_zone(struct iova_pool *pool, unsigned int zone);

bool iova_pool_place(struct iova_pool *pool, struct iova_extent *x,
		     const struct iova_request *req);
void iova_pool_insert(struct iova_pool *pool, struct iova_extent *x,
		      struct iova_extent *above);
void iova_pool_erase(struct iova_pool *pool, struct iova_extent *x);

struct iova_chunk *iova_pool_create_chunk(struct iova_pool *pool,
					  unsigned long limit);
struct iova_chunk *iova_pool_get_partial(struct iova_pool *pool,
					 unsigned int zone, unsigned int class,
					 unsigned long limit);
void iova_pool_put_partial(struct iova_pool *pool, struct iova_chunk *c);
void iova_pool_sort(struct iova_pool *pool, struct iova_chunk *c);
bool iova_pool_shrink(struct iova_pool *pool);
void iova_pool_reap_all(struct iova_pool *pool);

/**
 * iova_pool_reap - let chunks go that are on their way out
 * @pool: of the address space
 *
 * To be called when interrupts are on again, as far as it is up to the caller:
 * the index of chunks has a lock that sleeps on PREEMPT_RT.
 *
 * Context: Any.
 * Return: whether there was one.
 */
static inline bool iova_pool_reap(struct iova_pool *pool)
{
	if (likely(llist_empty(&pool->dying)))
		return false;
	iova_pool_reap_all(pool);
	return true;
}

bool iova_pool_take(struct iova_pool *pool, unsigned int zone,
		    unsigned int class, const struct iova_request *req,
		    struct iova_range *range);
bool iova_pool_take_tight(struct iova_pool *pool, unsigned int zone,
			  unsigned int class, const struct iova_request *req,
			  struct iova_range *range, unsigned int *tries);
bool iova_pool_take_cpu(struct iova_pool *pool,
			const struct iova_request *req,
			struct iova_range *range);

unsigned long iova_pool_largest(struct iova_pool *pool, unsigned long limit);

#endif /* _IOVA_POOL_H */
