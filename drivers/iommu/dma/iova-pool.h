/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pool: the chunks and extents of an address space, and who has them. See
 * iova-pool.c.
 */
#ifndef _IOVA_POOL_H
#define _IOVA_POOL_H

#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "iova-chunk.h"
#include "iova-extents.h"

/*
 * Memory is allocated in the middle of a driver's map call, which may be in any
 * context. The driver handles a failure, so it is not worth a warning.
 */
#define IOVA_GFP	(GFP_ATOMIC | __GFP_NOWARN)

/*
 * The zones up to this one are so small that CPUs keep nothing of them: one kept range
 * keeps all of its chunk from large ones.
 */
#define IOVA_ZONE_UNCACHED	1

/* The classes of chunks without a free word */
#define IOVA_FRAGMENTS		(BIT(IOVA_CLASS_WORD) - 1)

/*
 * Zones keep requests with wide limits from using up the addresses that narrow
 * limits need: a chunk belongs to the narrowest zone that holds all of it, and
 * a CPU has one CPU chunk per zone.
 */
#define IOVA_ZONES		8

/* Chunks to be found in one step: 1 KiB of pointers for 256 MiB of pages of 4 KiB */
#define IOVA_RECENT		128

/**
 * struct iova_pool - the chunks and extents of an address space
 * @lock: protects all fields but @chunks, @recent, @dying and @nr_short; what is
 *	read without it is written with WRITE_ONCE()
 * @extents: what is taken
 * @spanning: ranges of more than one extent, see iova-spanning.c
 * @nr_spanning: number of them
 * @chunks: chunk by iova_pool_index(); read under RCU; its own lock is held
 *	while a chunk is created or erased, and @lock nests inside
 * @low_chunks: number of chunks below 4 GiB; immutable
 * @top_chunk: number of the highest chunk; immutable
 * @partial: by zone and class, chunks that have free granules and are no CPU
 *	chunks
 * @classes: by zone, bit per class with a chunk in @partial
 * @nr_empty: number of chunks on the IOVA_CLASS_EMPTY lists
 * @nr_erased: number of chunks that have been erased so far
 * @dying: chunks to be freed by iova_pool_reap(), by &iova_extent.retired of
 *	epoch 0
 * @late: extents to be reserved when the large ranges that they are in are freed,
 *	by &iova_extent.retired of epoch 0
 * @room: by zone, granules up to its end that are not reserved, less twice those of
 *	the chunks and large ranges that end in it or below
 * @low_zones: bit per zone, set while more than half of what is usable in it is
 *	taken
 * @active_zones: bit per zone, set when a request needs a limit in it
 * @zone_for: by zone, the zone of the requests that its chunks are for
 * @nr_short: number of CPUs that are short of addresses and have drained all
 *	others, or are about to: until they are done, none caches anything
 * @keep_max: by zone of their chunks, the most freed granules that a CPU keeps;
 *	immutable
 * @wide_zones: bit per zone that is so wide that each CPU has a chunk of it, and
 *	all of them together take up little; in others, ranges are taken of
 *	partial chunks under the lock; immutable
 * @granule_shift: log2 of the granule in bytes, to sort limits into zones;
 *	immutable
 * @last: highest granule; immutable
 * @recent: of the chunks that would have the same place here, the one that was
 *	created last, if it exists; read under RCU, written as @chunks is
 *
 * @lock is raw and held for bounded steps, so it can be taken in any context.
 */
struct iova_pool {
	raw_spinlock_t lock;
	struct iova_extents extents;
	struct iova_extents spanning;
	unsigned long nr_spanning;
	struct xarray chunks;
	unsigned long low_chunks;
	unsigned long top_chunk;
	struct list_head partial[IOVA_ZONES][IOVA_CLASSES];
	u32 classes[IOVA_ZONES];
	unsigned int nr_empty;
	unsigned long nr_erased;
	struct llist_head dying;
	struct llist_node *late;
	long room[IOVA_ZONES];
	u8 low_zones;
	u8 active_zones;
	u8 zone_for[IOVA_ZONES];
	atomic_t nr_short;
	unsigned int keep_max[IOVA_ZONES];
	u8 wide_zones;
	unsigned int granule_shift;
	unsigned long last;
	struct iova_chunk *recent[IOVA_RECENT];
};

/* Where in &iova_pool.recent the chunk of @granule is, if it is there */
static __always_inline struct iova_chunk **
iova_pool_recent(struct iova_pool *pool, unsigned long granule)
{
	return &pool->recent[(granule >> IOVA_CHUNK_SHIFT) % IOVA_RECENT];
}

/*
 * The zone of a limit of @last, or of the end of the space if that is lower; zones
 * end where hardware is known to have limits.
 */
static __always_inline unsigned int
iova_pool_zone(const struct iova_pool *pool, unsigned long last)
{
	static const u8 zones[128] = {
		[0 ... 24]  = 0, [25 ... 28] = 1, [29 ... 30] = 2,
		[31 ... 32] = 3, [33 ... 36] = 4, [37 ... 40] = 5,
		[41 ... 48] = 6, [49 ... 127] = 7,
	};

	return zones[fls_long(min(last, pool->last)) + pool->granule_shift];
}

/* Whether the chunks in zone @z are for requests of @zone, and for none narrower */
static inline bool iova_pool_serves(const struct iova_pool *pool,
				    unsigned int z, unsigned int zone)
{
	return z == zone || READ_ONCE(pool->zone_for[z]) >= zone;
}

/* Whether a zone is short of addresses: most of what is usable in it is taken. */
static __always_inline bool iova_pool_low(const struct iova_pool *pool,
					  unsigned int zone)
{
	return READ_ONCE(pool->low_zones) & BIT(zone);
}

/*
 * Where the chunk of @granule is in &iova_pool.chunks. Addresses are allocated
 * from 4 GiB and from the top of the space downwards, so both are numbered from
 * their ends: an index with small numbers is found in few steps.
 */
static inline unsigned long iova_pool_index(const struct iova_pool *pool,
					    unsigned long granule)
{
	unsigned long chunk = granule >> IOVA_CHUNK_SHIFT;

	return chunk < pool->low_chunks ? 2 * chunk :
					  2 * (pool->top_chunk - chunk) + 1;
}

void iova_pool_init(struct iova_pool *pool, unsigned long first,
		    unsigned long last, unsigned int granule_shift);
void iova_pool_destroy(struct iova_pool *pool);

void iova_pool_activate_zone(struct iova_pool *pool, unsigned int zone);

bool iova_pool_place(struct iova_pool *pool, struct iova_extent *x,
		     const struct iova_request *req);
void iova_pool_insert(struct iova_pool *pool, struct iova_extent *x,
		      struct iova_extent *above);
void iova_pool_erase(struct iova_pool *pool, struct iova_extent *x);
bool iova_pool_reserve_late(struct iova_pool *pool, struct iova_extent *x);
void iova_pool_free_large(struct iova_pool *pool, struct iova_extent *x);

struct iova_chunk *iova_pool_create_chunk(struct iova_pool *pool,
					  unsigned long limit);
struct iova_chunk *iova_pool_get_partial(struct iova_pool *pool,
					 unsigned int zone, u32 classes,
					 unsigned long limit);
void iova_pool_put_partial(struct iova_pool *pool, struct iova_chunk *c);
void iova_pool_sort(struct iova_pool *pool, struct iova_chunk *c);
void iova_pool_sort_locked(struct iova_pool *pool, struct iova_chunk *c);
bool iova_pool_shrink(struct iova_pool *pool, unsigned long nr_erased);
struct iova_chunk *iova_pool_get_locked(struct iova_pool *pool,
					unsigned int zone, u32 classes,
					unsigned long limit);
void iova_pool_put_locked(struct iova_pool *pool, struct iova_chunk *c);
void iova_pool_reap_all(struct iova_pool *pool);

/**
 * iova_pool_reap - free the dying chunks
 * @pool: of the address space
 *
 * A caller that has disabled interrupts calls this after enabling them again:
 * the lock of the index of chunks sleeps on PREEMPT_RT.
 *
 * Context: Any.
 */
static inline void iova_pool_reap(struct iova_pool *pool)
{
	if (unlikely(!llist_empty(&pool->dying)))
		iova_pool_reap_all(pool);
}

bool iova_pool_take(struct iova_pool *pool, unsigned int zone, u32 classes,
		    const struct iova_request *req, struct iova_range *range);
bool iova_pool_take_granules(struct iova_pool *pool, struct iova_chunk *c,
			     unsigned int first, unsigned int last);
void iova_pool_free_bits(struct iova_pool *pool, struct iova_chunk *c,
			 unsigned int w, u64 bits);
void iova_pool_free_bits_locked(struct iova_pool *pool, struct iova_chunk *c,
				unsigned int w, u64 bits);
void iova_pool_free_granules(struct iova_pool *pool, struct iova_chunk *c,
			     unsigned int first, unsigned int last);
void iova_pool_trim(struct iova_pool *pool, struct iova_chunk *c);

unsigned long iova_pool_largest(struct iova_pool *pool, unsigned long limit);

#endif /* _IOVA_POOL_H */
