// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * Two levels. Extents are the taken parts of the space (extents.c): reserved, or
 * one large range, or a chunk. A chunk is IOVA_CHUNK_GRANULES aligned granules,
 * and small ranges come out of chunks. For each granule a chunk knows
 *
 *   used    1 1 1 1 0 1 1 0   it is not free
 *   size    2 0 2 0 0 1 0 0   a mapped range of so many granules begins here
 *   dirty   0 0 0 0 0 0 1 0   it waits for the flush of an epoch
 *
 * Life of a range:
 *
 *   iova_alloc()  -> used + size            the caller maps it
 *   iova_claim()  -> used                   the caller, and only one, unmaps it
 *   iova_release()-> free                   at once, or
 *   iova_retire() -> used + dirty[epoch]    until iova_recycle() of that epoch
 *
 * The size tells a wrong unmap before anything is torn down; taking it is one
 * exchange, which of several callers one wins.
 *
 * A CPU has hands: the free granules of a few words, which it has to itself (they
 * are used, as far as the chunk knows). Handing them out, and taking granules
 * back into a hand, needs neither lock nor atomic operation. What is freed goes
 * into a hand and comes out of it first, so that the cost is the same whether
 * frees come in order, at random or from another CPU; and a hand that has to be
 * emptied gives back up to a word's granules at once.
 *
 * Life of a chunk: a CPU owns the chunks that it fills its hands from, one per
 * zone, word after word, so that neighbours in time are neighbours in space. A
 * chunk without room for the request is parked, on a list by the size of its
 * largest free run if it has one, where the next CPU in need adopts it. A parked
 * chunk that runs empty goes back to the extents.
 *
 * Anybody frees into any chunk, by clearing bits of @used. To put a parked chunk
 * on another list it needs the space's lock; whoever parks a chunk and whoever
 * frees into it at the same time each look after having written, so one of them
 * sees both and puts the chunk where it belongs:
 *
 *   freeing                        parking
 *   clear bits in used             leave IOVA_CLASS_OWNED
 *   full barrier  [E]              full barrier  [F]
 *   read the class                 read used, sort by that
 *
 * A chunk waits on an epoch's list if it has something dirty. It must not go
 * while on the list, and nothing dirty may be forgotten:
 *
 *   retiring                       recycling                  destroying
 *   set bits in dirty              clear the queued bit       used is empty
 *   full barrier  [G]              full barrier  [H]          queued: 0 -> dead,
 *   set the queued bit; if it      take the bits of dirty     or let it live
 *     was not set and the chunk
 *     not dead: put on the list
 *
 * A chunk found by address may go any time until something in it has been
 * claimed: RCU keeps the memory, and having interrupts off is a reader.
 *
 * No operation takes more than O(log n) steps, and one per CPU where addresses
 * have run out. Claiming and freeing never allocate memory or fail. Nothing here
 * sleeps but iova_space_init(), iova_space_destroy() and iova_reserve().
 */

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/cpu.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "iova.h"

/*
 * Allocations are made in the middle of a driver's map call, which may be in
 * any context. A failure is the driver's to handle, not worth a splat.
 */
#define IOVA_GFP	(GFP_ATOMIC | __GFP_NOWARN)

/*
 * Parked chunks to look at on a list. All suit a request whose limit is that of
 * its zone; with another limit some may lie above it, and go to the tail so that
 * the next request sees others.
 */
#define IOVA_ADOPT_TRIES	16

/* Empty chunks to keep, against giving the same one back again and again */
#define IOVA_EMPTY_MAX		16

/*
 * In the zones up to this one space is too scarce for a chunk per CPU; all take
 * from the parked ones, under the lock.
 */
#define IOVA_ZONE_SCARCE	1

/*
 * Chunks strand space: one small range keeps all of a chunk from larger requests.
 * Where more than half of the space is taken, only requests up to this many
 * granules come out of chunks.
 */
#define IOVA_SMALL_CROWDED	16

/* Parked chunks to look at that may have a place, when none has for certain */
#define IOVA_TIGHT_CHUNKS	64

/* Words that a CPU has in hand: at most 2 MiB with a granule of 4 KiB */
#define IOVA_HANDS		8

/* A word of a chunk's bitmaps: as much as is free in it fits in a hand. */
#define IOVA_WORD		64U
#define IOVA_WORDS		(IOVA_CHUNK_GRANULES / IOVA_WORD)

/* Values of iova_chunk.class besides those that name a list */
#define IOVA_CLASS_FULL		0xfd
#define IOVA_CLASS_OWNED	0xfe
#define IOVA_CLASS_NONE		0xff	/* in the making, or on its way out */

/* Values of iova_chunk.queued besides a bit per epoch */
#define IOVA_QUEUED_DEAD	BIT(IOVA_EPOCHS)

/**
 * struct iova_chunk - granules for small ranges
 * @extent: its place in the space; immutable while the chunk exists
 * @class: which list the chunk is on, or IOVA_CLASS_*; written under
 *	&iova_space.lock
 * @zone: narrowest zone that holds the chunk; immutable
 * @queued: bit per epoch, set while on that epoch's list, or IOVA_QUEUED_DEAD
 * @list: in &iova_space.parked or @owned; protected by &iova_space.lock
 * @rcu: frees the chunk after the last lookup that may have found it
 * @reserved: granules to be @used for ever, or NULL; set once
 * @used: granules that are not free
 * @dirty: granules that wait for the flush of an epoch, a subset of @used
 * @size: granules of the mapped range that begins here, or 0
 */
struct iova_chunk {
	struct iova_extent extent;
	u8 class;
	u8 zone;
	atomic_t queued;
	union {
		struct list_head list;
		struct rcu_head rcu;
	};
	u64 *reserved;
	atomic64_t used[IOVA_WORDS];
	atomic64_t dirty[IOVA_EPOCHS][IOVA_WORDS];
	u8 size[IOVA_CHUNK_GRANULES];
};

/**
 * struct iova_hand - free granules of a word that a CPU has to itself
 * @chunk: the word's chunk; not to be looked at when @free is 0
 * @free: which granules
 * @base: first granule of the word, or IOVA_NO_WORD
 * @zone: zone of the requests that they are for
 */
struct iova_hand {
	struct iova_chunk *chunk;
	u64 free;
	unsigned long base;
	unsigned int zone;
};

#define IOVA_NO_WORD		1UL

/**
 * struct iova_cpu - what a CPU allocates from
 * @hand: what it has in hand
 * @at: the hand that was used last
 * @filled: bit per hand, set while something may be in it; that of @at always
 * @victim: the hand to empty next if one is needed
 * @words: by zone, bit per word of @chunk that has not been looked at yet
 * @chunk: by zone of the request's limit, the chunk it owns, or NULL
 * @recent: the chunk it adopted last: that of the next claim, often
 *
 * For this CPU only, with interrupts off.
 */
struct iova_cpu {
	struct iova_hand hand[IOVA_HANDS];
	u8 at;
	u8 filled;
	u8 victim;
	u8 words[IOVA_ZONES];
	struct iova_chunk *chunk[IOVA_ZONES];
	struct iova_chunk *recent;
};

/* Limits that hardware is known to have, in bits of the address */
static unsigned int iova_zone(const struct iova_space *space,
			      unsigned long last)
{
	static const u8 zones[128] = {
		[0 ... 24]  = 0, [25 ... 28] = 1, [29 ... 30] = 2,
		[31 ... 32] = 3, [33 ... 36] = 4, [37 ... 40] = 5,
		[41 ... 48] = 6, [49 ... 127] = 7,
	};

	return zones[fls_long(last) + space->granule_lg2];
}

/* Whether more than half of what requests in @zone can get is taken */
static bool zone_crowded(const struct iova_space *space, unsigned int zone)
{
	static const u8 bits[IOVA_ZONES] = { 24, 28, 30, 32, 36, 40, 48, 64 };
	unsigned long taken = 0, all = space->extents.ceiling.first;
	unsigned int width = bits[zone] - min(bits[zone], space->granule_lg2);
	unsigned int z;

	for (z = 0; z <= zone; z++)
		taken += READ_ONCE(space->taken[z]);
	if (width < BITS_PER_LONG)
		all = min(all, BIT(width));
	return taken > all / 2;
}

/*
 * Somebody needs addresses in @zone. A chunk is for requests in the narrowest
 * zone that is needed and holds it, so that those who can do with wider limits
 * do not use up what others have to have; and use it where there are no others.
 */
static void zone_need(struct iova_space *space, unsigned int zone)
{
	unsigned int z, serve = IOVA_ZONES;

	guard(raw_spinlock_irqsave)(&space->lock);
	space->needed |= BIT(zone);
	for (z = IOVA_ZONES; z--; ) {
		if (space->needed & BIT(z))
			serve = z;
		WRITE_ONCE(space->serve[z], serve < IOVA_ZONES ? serve : z);
	}
}

/*
 * Extents, and how much of each zone they take.
 */

static void count_taken(struct iova_space *space, const struct iova_extent *x,
			bool taken)
{
	unsigned long size = x->last - x->first + 1;
	unsigned int zone = iova_zone(space, x->last);

	lockdep_assert_held(&space->lock);
	WRITE_ONCE(space->taken[zone],
		   space->taken[zone] + (taken ? size : -size));
}

static bool space_place(struct iova_space *space, struct iova_extent *x,
			const struct iova_request *req)
{
	if (!extents_place(&space->extents, x, req))
		return false;
	count_taken(space, x, true);
	return true;
}

static void space_erase(struct iova_space *space, struct iova_extent *x)
{
	count_taken(space, x, false);
	extents_erase(&space->extents, x);
}

/*
 * Words: runs of free granules.
 */

/* @n bits (1 to 64) from that of granule @first on */
static u64 word_bits(unsigned int first, unsigned int n)
{
	return (~0ULL >> (IOVA_WORD - n)) << (first % IOVA_WORD);
}

/* The bits at which @n (up to 64) set bits of @free begin */
static __always_inline u64 run_starts(u64 free, unsigned int n)
{
	unsigned int have, step;

	/* First and last one free: most that have no run fail here. */
	if (n > 2 && !(free & free >> (n - 1)))
		return 0;
	for (have = 1; have < n; have += step) {
		step = min(have, n - have);
		free &= free >> step;
	}
	return free;
}

/* The bits of the word from granule @base on that are multiples of @align */
static u64 aligned_starts(unsigned long base, unsigned long align)
{
	static const u64 aligned[] = {
		~0ULL, 0x5555555555555555, 0x1111111111111111,
		0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1,
	};

	if (align > IOVA_WORD)
		return IS_ALIGNED(base, align) ? 1 : 0;
	return aligned[ilog2(align)];
}

/* The bits of @free at which @req can begin */
static __always_inline u64 request_starts(u64 free, unsigned long base,
					  const struct iova_request *req)
{
	free = run_starts(free, req->size);
	if (req->align > 1)
		free &= aligned_starts(base, req->align);
	return free;
}

/* The class of a run of @n granules (1 to 64), rounded down */
static unsigned int run_class(unsigned int n)
{
	return n < 8 ? ilog2(n) : n / 8 + 2;
}

/* The longest range that chunks of a class are certain to have */
static unsigned long class_granules(unsigned int class)
{
	if (class == IOVA_CLASS_EMPTY)
		return IOVA_CHUNK_GRANULES;
	if (class == IOVA_CLASS_PAIR)
		return IOVA_SMALL_MAX;
	return class <= 3 ? 1UL << class : (class - 2) * 8;
}

/* The class of the longest run of @free */
static unsigned int word_class(u64 free)
{
	unsigned int n, lg2, run;
	u64 runs[7] = { free };	/* where 2^lg2 free ones begin */

	for (lg2 = 0; lg2 < 6; lg2++) {
		runs[lg2 + 1] = runs[lg2] & runs[lg2] >> (1 << lg2);
		if (!runs[lg2 + 1])
			break;
	}
	n = 1 << lg2;
	if (lg2 < 4)
		return run_class(n);
	/* Is it longer, by a multiple of 8 that is no power of two? */
	for (free = runs[lg2]; lg2-- > 3; ) {
		run = 1 << lg2;
		if (n < IOVA_WORD && free & runs[lg2] >> n) {
			free &= runs[lg2] >> n;
			n += run;
		}
	}
	return run_class(n);
}

/*
 * Chunks: granules.
 */

#define to_chunk(x)	container_of(x, struct iova_chunk, extent)

/* The free granules of word @w */
static u64 chunk_free(const struct iova_chunk *c, unsigned int w)
{
	u64 free = ~atomic64_read_acquire(&c->used[w]);
	const u64 *reserved = READ_ONCE(c->reserved);

	/* Just freed, and about to be reserved */
	if (unlikely(reserved))
		free &= ~READ_ONCE(reserved[w]);
	return free;
}

/* Make granules of word @w free that were in use. */
static void chunk_put(struct iova_chunk *c, unsigned int w, u64 bits)
{
	const u64 *reserved;

	/* [E] pairs with [F] in chunk_park(): a full barrier */
	atomic64_fetch_andnot(bits, &c->used[w]);
	reserved = READ_ONCE(c->reserved);
	if (unlikely(reserved))
		atomic64_or(READ_ONCE(reserved[w]) & bits, &c->used[w]);
}

/* Take @bits of word @w if they are all free. */
static bool chunk_get(struct iova_chunk *c, unsigned int w, u64 bits)
{
	const u64 *reserved;
	u64 taken;
	s64 used;

	do {
		used = atomic64_read_acquire(&c->used[w]);
		reserved = READ_ONCE(c->reserved);
		taken = used | (reserved ? READ_ONCE(reserved[w]) : 0);
		if (taken & bits)
			return false;
	} while (!atomic64_try_cmpxchg(&c->used[w], &used, used | bits));
	return true;
}

/* Granules from @first on, which are taken, become a mapped range. */
static __always_inline void chunk_give(struct iova_chunk *c,
				       unsigned long first, unsigned long size,
				       struct iova_range *range)
{
	WRITE_ONCE(c->size[first % IOVA_CHUNK_GRANULES], size);
	range->first = first;
	range->last = first + size - 1;
	range->extent = &c->extent;
}

/* A range of up to a word is kept within one: bounded, and quick. */
static bool take_run(struct iova_chunk *c, const struct iova_request *req,
		     struct iova_range *range)
{
	unsigned long first = c->extent.first;
	unsigned int w, bit;
	u64 starts;

	for (w = 0; w < IOVA_WORDS; w++, first += IOVA_WORD) {
		starts = request_starts(chunk_free(c, w), first, req);
		if (!starts)
			continue;
		bit = __ffs64(starts);
		if (chunk_get(c, w, word_bits(bit, req->size))) {
			chunk_give(c, first + bit, req->size, range);
			return true;
		}
	}
	return false;
}

/* A longer one begins with a word that is all free and ends in the next. */
static bool take_pair(struct iova_chunk *c, const struct iova_request *req,
		      struct iova_range *range)
{
	u64 rest = word_bits(0, req->size - IOVA_WORD);
	unsigned int w;

	for (w = 0; w + 1 < IOVA_WORDS; w++) {
		if ((w * IOVA_WORD) % req->align || !chunk_get(c, w, ~0ULL))
			continue;
		if (chunk_get(c, w + 1, rest)) {
			chunk_give(c, c->extent.first + w * IOVA_WORD,
				   req->size, range);
			return true;
		}
		chunk_put(c, w, ~0ULL);
	}
	return false;
}

/*
 * Take a range of @c, which somebody owns, or the caller holds the lock: then
 * nobody destroys it.
 */
static bool chunk_take(struct iova_chunk *c, const struct iova_request *req,
		       struct iova_range *range)
{
	if (c->extent.last > req->limit)
		return false;
	return req->size <= IOVA_WORD ? take_run(c, req, range) :
					take_pair(c, req, range);
}

/* The list that @c belongs on while parked: that of its longest free run */
static u8 chunk_class(const struct iova_chunk *c)
{
	unsigned int w, best = 0;
	u64 free, all = ~0ULL, any = 0, before = 0;

	for (w = 0; w < IOVA_WORDS; w++) {
		free = chunk_free(c, w);
		all &= free;
		any |= free;
		if (!~(free & before))
			best = IOVA_CLASS_PAIR;
		else if (best < IOVA_CLASS_WORD &&
			 run_starts(free, class_granules(best + 1)))
			best = word_class(free);
		before = free;
	}
	if (!any)
		return IOVA_CLASS_FULL;
	return ~all ? best : IOVA_CLASS_EMPTY;
}

/* The lowest class whose chunks are certain to have a place for @req */
static unsigned int request_class(const struct iova_request *req)
{
	unsigned int run;

	if (req->align > IOVA_WORD)
		return IOVA_CLASS_EMPTY;
	if (req->size > IOVA_WORD)
		return IOVA_CLASS_PAIR;
	run = min(req->size + req->align - 1, IOVA_WORD);
	return run <= 8 ? order_base_2(run) : DIV_ROUND_UP(run, 8) + 2;
}

/*
 * Chunks: lists and owners.
 */

static void chunk_unlist(struct iova_space *space, struct iova_chunk *c)
{
	lockdep_assert_held(&space->lock);
	if (c->class == IOVA_CLASS_FULL)
		return;
	list_del(&c->list);
	if (c->class == IOVA_CLASS_OWNED)
		WRITE_ONCE(space->nr_owned, space->nr_owned - 1);
	else if (list_empty(&space->parked[c->zone][c->class]))
		WRITE_ONCE(space->classes[c->zone],
			   space->classes[c->zone] & ~BIT(c->class));
	space->nr_empty -= c->class == IOVA_CLASS_EMPTY;
}

static void chunk_own(struct iova_space *space, struct iova_chunk *c)
{
	lockdep_assert_held(&space->lock);
	list_add_tail(&c->list, &space->owned);
	WRITE_ONCE(space->nr_owned, space->nr_owned + 1);
	WRITE_ONCE(c->class, IOVA_CLASS_OWNED);
}

/* Nothing of @c is in use. Return: whether it can go. */
static bool chunk_kill(struct iova_chunk *c)
{
	return !c->reserved &&
	       atomic_cmpxchg(&c->queued, 0, IOVA_QUEUED_DEAD) == 0;
}

/*
 * Put @c, which is on no list and not dying, on the list of its class, first or
 * last.
 * Return: whether the caller has to destroy @c when it has dropped the lock.
 */
static bool chunk_park(struct iova_space *space, struct iova_chunk *c,
		       bool tail)
{
	u8 class;

	lockdep_assert_held(&space->lock);
	/* Whoever frees from now on waits for the lock to have a look. */
	WRITE_ONCE(c->class, IOVA_CLASS_FULL);
	smp_mb(); /* [F] pairs with [E] in chunk_put() */
	class = chunk_class(c);
	if (class == IOVA_CLASS_EMPTY && space->nr_empty >= IOVA_EMPTY_MAX &&
	    chunk_kill(c))
		class = IOVA_CLASS_NONE;
	if (class < IOVA_CLASSES) {
		if (tail)
			list_add_tail(&c->list, &space->parked[c->zone][class]);
		else
			list_add(&c->list, &space->parked[c->zone][class]);
		WRITE_ONCE(space->classes[c->zone],
			   space->classes[c->zone] | BIT(class));
	}
	space->nr_empty += class == IOVA_CLASS_EMPTY;
	WRITE_ONCE(c->class, class);
	return class == IOVA_CLASS_NONE;
}

/* @c is IOVA_CLASS_NONE: on no list, owned by nobody, without a range. */
static void chunk_destroy(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;

	/* The index first, so that whoever takes the place finds it empty. */
	xa_lock_irqsave(&space->chunks, flags);
	__xa_erase(&space->chunks, c->extent.first >> IOVA_CHUNK_LG2);
	xa_unlock_irqrestore(&space->chunks, flags);

	raw_spin_lock_irqsave(&space->lock, flags);
	space_erase(space, &c->extent);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	kfree_rcu(c, rcu);
}

/* Granules of @c became free; have it on the right list. A reader of RCU. */
static void chunk_relist(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;
	bool dying = false;

	raw_spin_lock_irqsave(&space->lock, flags);
	/* Adopted in between: then it has a better place than a list. */
	if (c->class != IOVA_CLASS_OWNED && c->class != IOVA_CLASS_NONE) {
		chunk_unlist(space, c);
		dying = chunk_park(space, c, false);
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (dying)
		chunk_destroy(space, c);
}

/*
 * Whether granules that became free in word @w can make a difference to the
 * list that @c is on. Of two who free at once the second sees both.
 */
static bool chunk_outgrew(const struct iova_chunk *c, unsigned int w)
{
	u8 class = READ_ONCE(c->class);
	u64 free;

	if (class == IOVA_CLASS_OWNED || class == IOVA_CLASS_EMPTY)
		return false;
	if (class == IOVA_CLASS_FULL)
		return true;
	free = chunk_free(c, w);
	if (!~free)
		return chunk_class(c) != class;
	return class < IOVA_CLASS_WORD &&
	       run_starts(free, class_granules(class + 1));
}

/* Give up ownership of @c. */
static void chunk_disown(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;
	bool dying;

	raw_spin_lock_irqsave(&space->lock, flags);
	chunk_unlist(space, c);
	dying = chunk_park(space, c, false);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (dying)
		chunk_destroy(space, c);
}

static int chunk_index(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;
	void *err;

	xa_lock_irqsave(&space->chunks, flags);
	err = __xa_store(&space->chunks, c->extent.first >> IOVA_CHUNK_LG2, c,
			 IOVA_GFP);
	xa_unlock_irqrestore(&space->chunks, flags);
	return xa_is_err(err) ? -ENOMEM : 0;
}

/* A new chunk, owned by the caller */
static struct iova_chunk *chunk_create(struct iova_space *space,
				       unsigned long limit)
{
	struct iova_request req = {
		.size = IOVA_CHUNK_GRANULES,
		.align = IOVA_CHUNK_GRANULES,
		.limit = limit,
	};
	struct iova_chunk *c;
	unsigned long flags;
	bool placed;

	if (limit < IOVA_CHUNK_GRANULES - 1)
		return NULL;
	c = kzalloc(sizeof(*c), IOVA_GFP);
	if (!c)
		return NULL;
	c->extent.kind = IOVA_KIND_CHUNK;

	c->class = IOVA_CLASS_NONE;
	raw_spin_lock_irqsave(&space->lock, flags);
	placed = space_place(space, &c->extent, &req);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (!placed) {
		kfree(c);
		return NULL;
	}
	c->zone = iova_zone(space, c->extent.last);
	if (chunk_index(space, c)) {
		chunk_destroy(space, c);
		return NULL;
	}
	raw_spin_lock_irqsave(&space->lock, flags);
	chunk_own(space, c);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return c;
}

static struct iova_chunk *adopt_from(struct iova_space *space,
				     struct list_head *list, unsigned long limit)
{
	struct iova_chunk *c;
	unsigned int tries;

	lockdep_assert_held(&space->lock);
	for (tries = IOVA_ADOPT_TRIES; tries && !list_empty(list); tries--) {
		c = list_first_entry(list, struct iova_chunk, list);
		if (c->extent.last <= limit) {
			chunk_unlist(space, c);
			return c;
		}
		list_move_tail(&c->list, list);
	}
	return NULL;
}

/* Take a parked chunk with a place for @class off its list: the tightest. */
static struct iova_chunk *chunk_unpark(struct iova_space *space,
				       unsigned int zone, unsigned int class,
				       unsigned long limit)
{
	unsigned long classes = space->classes[zone];
	struct iova_chunk *c = NULL;

	lockdep_assert_held(&space->lock);
	for_each_set_bit_from(class, &classes, IOVA_CLASSES) {
		c = adopt_from(space, &space->parked[zone][class], limit);
		if (c)
			break;
	}
	return c;
}

/* Become the owner of a parked chunk. */
static struct iova_chunk *chunk_adopt(struct iova_space *space,
				      unsigned int zone, unsigned int class,
				      unsigned long limit)
{
	struct iova_chunk *c;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	c = chunk_unpark(space, zone, class, limit);
	if (c)
		chunk_own(space, c);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return c;
}

static void trim_zone(struct iova_space *space, unsigned int zone,
		      struct list_head *dying)
{
	struct iova_chunk *c, *next;

	lockdep_assert_held(&space->lock);
	list_for_each_entry_safe(c, next, &space->parked[zone][IOVA_CLASS_EMPTY],
				 list) {
		if (!chunk_kill(c))
			continue;
		chunk_unlist(space, c);
		WRITE_ONCE(c->class, IOVA_CLASS_NONE);
		list_add(&c->list, dying);
	}
}

/* Give the empty chunks back to the extents. Return: whether there was one. */
static bool chunks_trim(struct iova_space *space)
{
	struct iova_chunk *c, *next;
	unsigned int zone;
	LIST_HEAD(dying);

	scoped_guard(raw_spinlock_irqsave, &space->lock)
		for (zone = 0; zone < IOVA_ZONES; zone++)
			trim_zone(space, zone, &dying);
	if (list_empty(&dying))
		return false;
	list_for_each_entry_safe(c, next, &dying, list)
		chunk_destroy(space, c);
	return true;
}

/*
 * Hands: what a CPU has to itself, with interrupts off.
 */

static __always_inline bool hand_take(struct iova_hand *hand,
				      const struct iova_request *req,
				      struct iova_range *range)
{
	unsigned long size = req->size, first;
	unsigned int bit;
	u64 starts;

	starts = request_starts(hand->free, hand->base, req);
	if (unlikely(!starts))
		return false;
	bit = __ffs64(starts);
	first = hand->base + bit;
	if (unlikely(first + size - 1 > req->limit))
		return false;
	hand->free &= ~word_bits(bit, size);
	chunk_give(hand->chunk, first, size, range);
	return true;
}

static unsigned int base_word(unsigned long base)
{
	return base % IOVA_CHUNK_GRANULES / IOVA_WORD;
}

/*
 * Give back what is in a hand.
 */
static void hand_drop(struct iova_space *space, struct iova_hand *hand)
{
	unsigned int w = base_word(hand->base);
	struct iova_chunk *c = hand->chunk;

	if (!hand->free)
		return;
	chunk_put(c, w, hand->free);
	hand->free = 0;
	if (chunk_outgrew(c, w))
		chunk_relist(space, c);
}

/* The hand for granules of the word at @base: that of the same word, or any */
static struct iova_hand *hand_for(struct iova_space *space, struct iova_cpu *cpu,
				  unsigned long base)
{
	unsigned int i;

	for (i = 0; i < IOVA_HANDS; i++) {
		if (!(cpu->filled & BIT(i)))
			continue;
		if (cpu->hand[i].base == base)
			return &cpu->hand[i];
		if (!cpu->hand[i].free && i != cpu->at)
			cpu->filled &= ~BIT(i);
	}
	i = ffz(cpu->filled);
	if (i >= IOVA_HANDS) {
		i = cpu->victim;
		cpu->victim = (i + 1) % IOVA_HANDS;
		hand_drop(space, &cpu->hand[i]);
	}
	return &cpu->hand[i];
}

static void hand_fill(struct iova_space *space, struct iova_cpu *cpu,
		      struct iova_hand *hand, struct iova_chunk *c,
		      unsigned long base, u64 bits)
{
	hand->chunk = c;
	hand->base = base;
	hand->zone = READ_ONCE(space->serve[c->zone]);
	hand->free |= bits;
	cpu->at = hand - cpu->hand;
	cpu->filled |= BIT(cpu->at);
}

static void hands_drop(struct iova_space *space, struct iova_cpu *cpu,
		       const struct iova_chunk *c)
{
	struct iova_hand *hand;

	for (hand = cpu->hand; hand < cpu->hand + IOVA_HANDS; hand++)
		if (!c || hand->chunk == c)
			hand_drop(space, hand);
}

static bool hands_take(struct iova_cpu *cpu, unsigned int zone,
		       const struct iova_request *req, struct iova_range *range)
{
	unsigned long filled = cpu->filled;
	struct iova_hand *hand;
	unsigned int i;

	for_each_set_bit(i, &filled, IOVA_HANDS) {
		hand = &cpu->hand[i];
		if (!hand->free) {
			if (i != cpu->at)
				cpu->filled &= ~BIT(i);
		} else if (hand->zone == zone && hand_take(hand, req, range)) {
			cpu->at = i;
			return true;
		}
	}
	return false;
}

/* Take what is free in word @w of the CPU's chunk @c in hand. */
static void hand_refill(struct iova_space *space, struct iova_cpu *cpu,
			struct iova_chunk *c, unsigned int w)
{
	unsigned long base = c->extent.first + w * IOVA_WORD;
	u64 free = ~atomic64_fetch_or(~0ULL, &c->used[w]);
	const u64 *reserved = READ_ONCE(c->reserved);

	if (unlikely(reserved))
		free &= ~READ_ONCE(reserved[w]);
	hand_fill(space, cpu, hand_for(space, cpu, base), c, base, free);
}

/*
 * Take words of the CPU's chunk in hand until one has a place for @req. Each is
 * looked at once: what is freed in it later makes the chunk worth adopting again.
 */
static bool hands_refill(struct iova_space *space, struct iova_cpu *cpu,
			 unsigned int zone, const struct iova_request *req)
{
	struct iova_chunk *c = cpu->chunk[zone];
	unsigned int w;
	u64 free;

	while (cpu->words[zone]) {
		w = __ffs(cpu->words[zone]);
		cpu->words[zone] &= cpu->words[zone] - 1;
		free = chunk_free(c, w);
		if (!free || !request_starts(free, c->extent.first +
						   w * IOVA_WORD, req))
			continue;
		hand_refill(space, cpu, c, w);
		return true;
	}
	return false;
}

/* Out of the hands of this CPU, or the chunk that it owns */
static bool cpu_alloc(struct iova_space *space, struct iova_cpu *cpu,
		      unsigned int zone, const struct iova_request *req,
		      struct iova_range *range)
{
	struct iova_chunk *c = cpu->chunk[zone];

	if (req->size <= IOVA_WORD && hands_take(cpu, zone, req, range))
		return true;
	if (!c || c->extent.last > req->limit)
		return false;
	if (req->size <= IOVA_WORD)
		return hands_refill(space, cpu, zone, req) &&
		       hand_take(&cpu->hand[cpu->at], req, range);
	hands_drop(space, cpu, c);
	return take_pair(c, req, range);
}

/*
 * Handing out.
 */

static bool alloc_cpu(struct iova_space *space, unsigned int zone,
		      const struct iova_request *req, struct iova_range *range)
{
	unsigned long flags;
	bool taken;

	local_irq_save(flags);
	taken = cpu_alloc(space, this_cpu_ptr(space->cpu), zone, req, range);
	local_irq_restore(flags);
	return taken;
}

/* Out of @c, which the caller owns; then @c is what this CPU goes on with. */
static bool alloc_install(struct iova_space *space, struct iova_chunk *c,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range)
{
	struct iova_chunk *old;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken;

	local_irq_save(flags);
	cpu = this_cpu_ptr(space->cpu);
	old = cpu->chunk[zone];
	cpu->chunk[zone] = c;
	cpu->words[zone] = GENMASK(IOVA_WORDS - 1, 0);
	cpu->recent = c;
	taken = cpu_alloc(space, cpu, zone, req, range);
	local_irq_restore(flags);

	if (old)
		chunk_disown(space, old);
	return taken;
}

/* Out of a parked chunk, which stays parked: where space is scarce. */
static bool alloc_parked(struct iova_space *space, unsigned int zone,
			 unsigned int class, const struct iova_request *req,
			 struct iova_range *range)
{
	bool taken = false, dying = false;
	struct iova_chunk *c;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	c = chunk_unpark(space, zone, class, req->limit);
	if (c) {
		taken = chunk_take(c, req, range);
		dying = chunk_park(space, c, false);
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (dying)
		chunk_destroy(space, c);
	return taken;
}

/* Out of @c, which is parked, and goes behind the others whether it has room */
static bool take_parked(struct iova_space *space, struct iova_chunk *c,
			const struct iova_request *req,
			struct iova_range *range, bool *dying)
{
	bool taken = chunk_take(c, req, range);

	lockdep_assert_held(&space->lock);
	chunk_unlist(space, c);
	*dying = chunk_park(space, c, true);
	return taken;
}

/*
 * Out of a parked chunk that may have a place: one for 16 granules of which a
 * multiple of 16 is the first, say, where only a run of 31 would have it for
 * certain.
 */
static bool alloc_tight(struct iova_space *space, unsigned int zone,
			unsigned int class, const struct iova_request *req,
			struct iova_range *range, unsigned int *tries)
{
	struct iova_chunk *c, *first = NULL;
	bool taken = false, dying = false;

	for (; *tries && !taken; --*tries) {
		scoped_guard(raw_spinlock_irqsave, &space->lock) {
			c = list_first_entry_or_null(&space->parked[zone][class],
						     struct iova_chunk, list);
			if (!c || c == first)
				return false;
			taken = take_parked(space, c, req, range, &dying);
		}
		if (dying)
			chunk_destroy(space, c);
		else if (!first)
			first = c;
	}
	return taken;
}

/* Out of what others own: for when there is no chunk to be had. */
static bool alloc_owned(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int tries = READ_ONCE(space->nr_owned);
	struct iova_chunk *c;
	bool taken = false;

	while (!taken && tries--) {
		scoped_guard(raw_spinlock_irqsave, &space->lock) {
			if (list_empty(&space->owned))
				return false;
			c = list_first_entry(&space->owned, struct iova_chunk,
					     list);
			list_move_tail(&c->list, &space->owned);
			taken = chunk_take(c, req, range);
		}
	}
	return taken;
}

/* Out of a chunk of zone @z that is parked, for a limit in @zone */
static bool alloc_zone(struct iova_space *space, unsigned int z,
		       unsigned int zone, const struct iova_request *req,
		       struct iova_range *range)
{
	unsigned int class = request_class(req);
	struct iova_chunk *c;

	if (!(READ_ONCE(space->classes[z]) >> class))
		return false;
	if (zone <= IOVA_ZONE_SCARCE)
		return alloc_parked(space, z, class, req, range);
	c = chunk_adopt(space, z, class, req->limit);
	return c && alloc_install(space, c, zone, req, range);
}

static bool alloc_new(struct iova_space *space, unsigned int zone,
		      const struct iova_request *req, struct iova_range *range)
{
	struct iova_chunk *c = chunk_create(space, req->limit);
	bool taken;

	if (!c)
		return false;
	if (zone > IOVA_ZONE_SCARCE)
		return alloc_install(space, c, zone, req, range);
	taken = chunk_take(c, req, range);
	chunk_disown(space, c);
	return taken;
}

/* Where nothing is certain to have a place any more, something may have one. */
static bool alloc_last(struct iova_space *space, const struct iova_request *req,
		       struct iova_range *range)
{
	unsigned int tries = IOVA_TIGHT_CHUNKS, class;
	int z;

	for (z = iova_zone(space, req->limit); z >= 0; z--)
		for (class = run_class(min(req->size, IOVA_WORD));
		     class < request_class(req); class++)
			if (READ_ONCE(space->classes[z]) & BIT(class) &&
			    alloc_tight(space, z, class, req, range, &tries))
				return true;
	return alloc_owned(space, req, range);
}

static bool alloc_small(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int zone = iova_zone(space, req->limit);
	int z;

	/* What is there and others do not need, something new, or anything */
	for (z = zone; z >= 0; z--)
		if ((z == zone || READ_ONCE(space->serve[z]) == zone) &&
		    alloc_zone(space, z, zone, req, range))
			return true;
	if (alloc_new(space, zone, req, range))
		return true;
	for (z = zone; z >= 0; z--)
		if (alloc_zone(space, z, zone, req, range))
			return true;
	return false;
}

static bool alloc_large(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	struct iova_extent *x = kzalloc(sizeof(*x), IOVA_GFP);
	unsigned long flags;
	bool placed;

	if (!x)
		return false;
	x->kind = IOVA_KIND_LARGE;
	x->mapped = true;
	do {
		raw_spin_lock_irqsave(&space->lock, flags);
		placed = space_place(space, x, req);
		raw_spin_unlock_irqrestore(&space->lock, flags);
	} while (!placed && chunks_trim(space));
	if (!placed) {
		kfree(x);
		return false;
	}
	*range = (struct iova_range) {
		.first = x->first,
		.last = x->last,
		.extent = x,
	};
	return true;
}

/* @small: what @req asks of a chunk, or NULL if it does not fit in one */
static bool alloc_any(struct iova_space *space, const struct iova_request *req,
		      const struct iova_request *small,
		      struct iova_range *range)
{
	/* Who can do with other addresses does not have to spare these. */
	bool last = small && req->size > IOVA_SMALL_CROWDED && !req->soft &&
		    zone_crowded(space, iova_zone(space, req->limit));

	return (small && !last && alloc_small(space, small, range)) ||
	       alloc_large(space, req, range) ||
	       (last && alloc_small(space, small, range));
}

/* What is not in hand at once */
static noinline bool alloc_hard(struct iova_space *space,
				const struct iova_request *req,
				struct iova_range *range)
{
	struct iova_request of_chunk = *req, *small = NULL;
	unsigned long flags;
	unsigned int zone;

	if (!req->size || req->size - 1 > req->limit)
		return false;
	if (req->size <= IOVA_SMALL_MAX && req->align <= IOVA_CHUNK_GRANULES)
		small = &of_chunk;
	/* No range of a chunk crosses a boundary as wide as it is. */
	if (small && req->boundary && req->boundary < IOVA_CHUNK_GRANULES)
		small->align = max(req->align, roundup_pow_of_two(req->size));
	zone = iova_zone(space, req->limit);
	if (!req->soft && !(READ_ONCE(space->needed) & BIT(zone)))
		zone_need(space, zone);
	if ((small && alloc_cpu(space, zone, small, range)) ||
	    alloc_any(space, req, small, range))
		return true;
	if (req->soft)
		return false;

	/* It is getting scarce: with what this CPU has in its other hands, too */
	local_irq_save(flags);
	hands_drop(space, this_cpu_ptr(space->cpu), NULL);
	local_irq_restore(flags);
	return alloc_any(space, req, small, range) ||
	       (small && alloc_last(space, small, range));
}

/**
 * iova_alloc - hand out a range of granules
 * @space: address space
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any. Takes &iova_space.lock for bounded steps.
 * Return: true, or false when there is no room or no memory.
 */
bool iova_alloc(struct iova_space *space, const struct iova_request *req,
		struct iova_range *range)
{
	struct iova_hand *hand;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken = false;

	/* No range of a word crosses a boundary as wide as it is. */
	if (req->size - 1 < IOVA_WORD && req->boundary - 1 >= IOVA_WORD - 1) {
		local_irq_save(flags);
		cpu = this_cpu_ptr(space->cpu);
		hand = &cpu->hand[cpu->at];
		if (likely(hand->zone == iova_zone(space, req->limit)))
			taken = hand_take(hand, req, range);
		local_irq_restore(flags);
	}
	return likely(taken) ? true : alloc_hard(space, req, range);
}

static noinline unsigned long alloc_one_hard(struct iova_space *space,
					     unsigned long limit)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = limit };
	unsigned int zone = iova_zone(space, limit);
	struct iova_range range;

	return alloc_cpu(space, zone, &req, &range) ||
	       alloc_zone(space, zone, zone, &req, &range) ?
	       range.first : IOVA_NONE;
}

/**
 * iova_alloc_one - hand out one granule of those that the CPU has
 * @space: address space
 * @limit: it is at most this
 *
 * As iova_alloc() would, for what is asked for most, but without going to any
 * length for it.
 *
 * Context: Any.
 * Return: the granule, or IOVA_NONE if it takes iova_alloc() to find one.
 */
unsigned long iova_alloc_one(struct iova_space *space, unsigned long limit)
{
	struct iova_hand *hand;
	struct iova_range range;
	struct iova_cpu *cpu;
	unsigned long flags, first;
	bool taken;
	u64 free;

	local_irq_save(flags);
	cpu = this_cpu_ptr(space->cpu);
	hand = &cpu->hand[cpu->at];
	free = hand->free;
	first = hand->base + (free ? __ffs64(free) : 0);
	taken = free && hand->zone == iova_zone(space, limit) && first <= limit;
	if (likely(taken)) {
		hand->free = free & (free - 1);
		chunk_give(hand->chunk, first, 1, &range);
	}
	local_irq_restore(flags);
	return likely(taken) ? first : alloc_one_hard(space, limit);
}

/*
 * Taking back.
 */

/* In @c, which may go any time until then: interrupts are off. */
static __always_inline bool claim_small(struct iova_chunk *c,
					unsigned long granule,
					struct iova_range *range)
{
	u8 *size = &c->size[granule % IOVA_CHUNK_GRANULES];
	unsigned int granules = READ_ONCE(*size);

	/* Most wrong claims are noticed without writing. */
	if (unlikely(!granules))
		return false;
	granules = xchg(size, 0);
	if (unlikely(!granules))
		return false;
	range->first = granule;
	range->last = granule + granules - 1;
	range->extent = &c->extent;
	return true;
}

static bool claim_large(struct iova_space *space, unsigned long granule,
			struct iova_range *range)
{
	struct iova_extent *x;
	unsigned long flags;
	bool mapped;

	raw_spin_lock_irqsave(&space->lock, flags);
	x = extents_at(&space->extents, granule);
	mapped = x && x->first == granule && x->mapped;
	if (mapped) {
		x->mapped = false;
		range->first = x->first;
		range->last = x->last;
		range->extent = x;
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return mapped;
}

static noinline bool claim_hard(struct iova_space *space, unsigned long granule,
				struct iova_range *range)
{
	bool claimed = false;
	struct iova_chunk *c;
	unsigned long flags;

	local_irq_save(flags);
	c = xa_load(&space->chunks, granule >> IOVA_CHUNK_LG2);
	if (c)
		claimed = claim_small(c, granule, range);
	local_irq_restore(flags);
	return c ? claimed : claim_large(space, granule, range);
}

/**
 * iova_claim - begin to take a range back
 * @space: address space
 * @first: where the caller believes that a range begins
 * @range: where to store the range that was handed out there
 *
 * Of all callers for one range one succeeds, and has to end with
 * iova_release() or iova_retire(). Nobody gets the range before that.
 *
 * Context: Any.
 * Return: false if no range begins at @first or it has been claimed before.
 */
bool iova_claim(struct iova_space *space, unsigned long first,
		struct iova_range *range)
{
	bool claimed = false;
	struct iova_chunk *c;
	unsigned long flags;

	local_irq_save(flags);
	c = this_cpu_ptr(space->cpu)->recent;
	if (likely(c && first - c->extent.first < IOVA_CHUNK_GRANULES))
		claimed = claim_small(c, first, range);
	local_irq_restore(flags);
	return likely(claimed) ? true : claim_hard(space, first, range);
}

static void free_large(struct iova_space *space, struct iova_extent *x)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	space_erase(space, x);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	kfree(x);
}

/* Granules of word @w become free for all; interrupts are off. */
static void free_word(struct iova_space *space, struct iova_chunk *c,
		      unsigned int w, u64 bits)
{
	chunk_put(c, w, bits);
	if (unlikely(chunk_outgrew(c, w)))
		chunk_relist(space, c);
}

static noinline void release_hard(struct iova_space *space,
				  const struct iova_range *range)
{
	unsigned long base = ALIGN_DOWN(range->first, IOVA_WORD);
	unsigned long size = range->last - range->first + 1;
	struct iova_extent *x = range->extent;
	unsigned int w = base_word(base);
	struct iova_chunk *c;
	struct iova_cpu *cpu;
	unsigned long flags;

	if (x->kind == IOVA_KIND_LARGE) {
		free_large(space, x);
		return;
	}
	c = to_chunk(x);
	local_irq_save(flags);
	WRITE_ONCE(c->size[range->first % IOVA_CHUNK_GRANULES], 0);
	if (size > IOVA_WORD) {
		free_word(space, c, w, ~0ULL);
		free_word(space, c, w + 1, word_bits(0, size - IOVA_WORD));
	} else if (c->zone <= IOVA_ZONE_SCARCE || READ_ONCE(c->reserved)) {
		free_word(space, c, w, word_bits(range->first, size));
	} else {
		cpu = this_cpu_ptr(space->cpu);
		hand_fill(space, cpu, hand_for(space, cpu, base), c, base,
			  word_bits(range->first, size));
	}
	local_irq_restore(flags);
}

/**
 * iova_release - make a claimed range free at once
 * @space: address space
 * @range: from iova_claim(), or from iova_alloc() and never used
 *
 * Only for a range that no IOTLB holds.
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_release(struct iova_space *space, const struct iova_range *range)
{
	struct iova_chunk *c = to_chunk(range->extent);
	unsigned long first = range->first;
	bool taken = false;
	struct iova_hand *hand;
	struct iova_cpu *cpu;
	unsigned long flags;

	/* Into the hand that was used last, if it is of the same word */
	if (likely(range->extent->kind == IOVA_KIND_CHUNK &&
		   range->last - first < IOVA_WORD)) {
		local_irq_save(flags);
		cpu = this_cpu_ptr(space->cpu);
		hand = &cpu->hand[cpu->at];
		taken = hand->base == ALIGN_DOWN(first, IOVA_WORD) &&
			!READ_ONCE(c->reserved);
		if (likely(taken)) {
			WRITE_ONCE(c->size[first % IOVA_CHUNK_GRANULES], 0);
			hand->chunk = c;
			hand->free |= word_bits(first, range->last - first + 1);
		}
		local_irq_restore(flags);
	}
	if (unlikely(!taken))
		release_hard(space, range);
}

static __always_inline void retire_word(struct iova_chunk *c,
					unsigned int epoch, unsigned int w,
					u64 bits)
{
	/* [G] pairs with [H] in chunk_recycle(): a full barrier */
	atomic64_fetch_or(bits, &c->dirty[epoch][w]);
}

static noinline void retire_queue(struct iova_space *space,
				  struct iova_chunk *c, unsigned int epoch)
{
	int queued = atomic_fetch_or(BIT(epoch), &c->queued);

	if (!(queued & (BIT(epoch) | IOVA_QUEUED_DEAD)))
		llist_add(&c->extent.retired[epoch], &space->retired[epoch]);
}

/**
 * iova_retire - let a claimed range wait for a flush
 * @space: address space
 * @range: from iova_claim(); its translation has been cleared
 * @epoch: the epoch whose flush makes it free
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_retire(struct iova_space *space, const struct iova_range *range,
		 unsigned int epoch)
{
	struct iova_extent *x = range->extent;
	unsigned int w, size;
	struct iova_chunk *c;
	unsigned long flags;

	if (unlikely(x->kind == IOVA_KIND_LARGE)) {
		llist_add(&x->retired[epoch], &space->retired[epoch]);
		return;
	}

	c = to_chunk(x);
	w = base_word(range->first);
	size = range->last - range->first + 1;
	local_irq_save(flags);
	if (unlikely(size > IOVA_WORD)) {
		retire_word(c, epoch, w + 1, word_bits(0, size - IOVA_WORD));
		size = IOVA_WORD;
	}
	retire_word(c, epoch, w, word_bits(range->first, size));
	if (unlikely(!(atomic_read(&c->queued) & BIT(epoch))))
		retire_queue(space, c, epoch);
	local_irq_restore(flags);
}

static void chunk_recycle(struct iova_space *space, struct iova_chunk *c,
			  unsigned int epoch)
{
	unsigned int w;
	u64 bits;

	guard(rcu)();
	/* [H] pairs with [G] in retire_word(): a full barrier */
	atomic_fetch_andnot(BIT(epoch), &c->queued);
	for (w = 0; w < IOVA_WORDS; w++) {
		if (!atomic64_read(&c->dirty[epoch][w]))
			continue;
		bits = atomic64_xchg(&c->dirty[epoch][w], 0);
		chunk_put(c, w, bits);
	}
	if (READ_ONCE(c->class) != IOVA_CLASS_OWNED)
		chunk_relist(space, c);
}

/**
 * iova_recycle_start - an epoch has been flushed
 * @space: address space
 * @epoch: which one
 *
 * Its ranges become free in iova_recycle(). The caller serialises the two, and
 * lets no new range retire into @epoch until iova_recycle() is through.
 *
 * Context: Any.
 */
void iova_recycle_start(struct iova_space *space, unsigned int epoch)
{
	space->recycling = llist_del_all(&space->retired[epoch]);
	space->recycling_epoch = epoch;
}

/**
 * iova_recycle - make flushed ranges free
 * @space: address space
 * @budget: how many chunks and large ranges to take back at most
 *
 * Context: Any; serialised by the caller.
 * Return: whether there is more to do.
 */
bool iova_recycle(struct iova_space *space, unsigned int budget)
{
	unsigned int epoch = space->recycling_epoch;
	struct iova_extent *x;

	while (space->recycling && budget--) {
		x = container_of(space->recycling, struct iova_extent,
				 retired[epoch]);
		/* Before @x goes, or goes on another list */
		space->recycling = space->recycling->next;
		if (x->kind == IOVA_KIND_LARGE)
			free_large(space, x);
		else
			chunk_recycle(space, to_chunk(x), epoch);
	}
	return space->recycling;
}

/* The longest range of a parked chunk below @limit, about */
static unsigned long parked_largest(struct iova_space *space,
				    unsigned long limit)
{
	const struct iova_chunk *c;
	int zone, class;

	lockdep_assert_held(&space->lock);
	for (class = IOVA_CLASSES - 1; class >= 0; class--) {
		for (zone = iova_zone(space, limit); zone >= 0; zone--) {
			c = list_first_entry_or_null(&space->parked[zone][class],
						     struct iova_chunk, list);
			if (c && c->extent.last <= limit)
				return class_granules(class);
		}
	}
	return 0;
}

/**
 * iova_largest_gap - the longest range that could be handed out
 * @space: address space
 * @limit: its last granule at most
 *
 * For reports: owned chunks are not counted.
 *
 * Context: Any.
 * Return: granules.
 */
unsigned long iova_largest_gap(struct iova_space *space, unsigned long limit)
{
	unsigned long least = 0, most, size;

	most = min(limit, space->extents.ceiling.first - 1);
	while (least < most) {
		size = least + (most - least + 1) / 2;
		scoped_guard(raw_spinlock_irqsave, &space->lock) {
			if (extents_have_gap(&space->extents, size, limit))
				least = size;
			else
				most = size - 1;
		}
	}
	scoped_guard(raw_spinlock_irqsave, &space->lock)
		least = max(least, parked_largest(space, limit));
	return least;
}

/*
 * Reserving, setting up, taking down.
 */

/**
 * struct iova_reservation - granules of a chunk that are being reserved
 * @space: address space
 * @chunk: the chunk
 * @fresh: the granules that were not reserved before
 * @busy: those of @fresh that are used, but not in a hand
 */
struct iova_reservation {
	struct iova_space *space;
	struct iova_chunk *chunk;
	u64 fresh[IOVA_WORDS];
	atomic64_t busy[IOVA_WORDS];
};

/* What is in a hand is free, but could be handed out any time: take it out. */
static void reserve_from_cpu(struct iova_reservation *r, struct iova_cpu *cpu)
{
	struct iova_hand *hand;
	unsigned int w;
	u64 bits;

	for (hand = cpu->hand; hand < cpu->hand + IOVA_HANDS; hand++) {
		if (!hand->free || hand->chunk != r->chunk)
			continue;
		w = base_word(hand->base);
		bits = hand->free & r->fresh[w];
		hand->free &= ~bits;
		atomic64_fetch_andnot(bits, &r->busy[w]);
	}
}

static void reserve_from_this_cpu(void *data)
{
	struct iova_reservation *r = data;
	unsigned long flags;

	local_irq_save(flags);
	reserve_from_cpu(r, this_cpu_ptr(r->space->cpu));
	local_irq_restore(flags);
}

/*
 * From now on nobody takes [first, last] of @r->chunk, but for what CPUs have in
 * hand; and the chunk does not go any more.
 * @bitmap: memory for &iova_chunk.reserved; taken if needed
 */
static int chunk_reserve_begin(struct iova_reservation *r, unsigned int first,
			       unsigned int last, u64 **bitmap)
{
	struct iova_chunk *c = r->chunk;
	unsigned int w, from, to;

	lockdep_assert_held(&r->space->lock);
	if (c->class == IOVA_CLASS_NONE)
		return -EAGAIN;
	/* Pairs with the reads of @reserved, which go through the pointer. */
	if (!c->reserved)
		smp_store_release(&c->reserved, no_free_ptr(*bitmap));
	for (w = 0; w < IOVA_WORDS; w++) {
		from = max(first, w * IOVA_WORD);
		to = min(last, w * IOVA_WORD + IOVA_WORD - 1);
		r->fresh[w] = from > to ? 0 : word_bits(from, to - from + 1) &
					      ~c->reserved[w];
		WRITE_ONCE(c->reserved[w], c->reserved[w] | r->fresh[w]);
		atomic64_set(&r->busy[w], r->fresh[w] &
			     atomic64_fetch_or(r->fresh[w], &c->used[w]));
	}
	return 0;
}

/* Return: -EBUSY if ranges are in the way. */
static int chunk_reserve_end(struct iova_reservation *r)
{
	unsigned int cpu, w;
	u64 busy = 0;

	cpus_read_lock();
	on_each_cpu(reserve_from_this_cpu, r, 1);
	for_each_possible_cpu(cpu)
		if (!cpu_online(cpu))
			reserve_from_cpu(r, per_cpu_ptr(r->space->cpu, cpu));
	cpus_read_unlock();
	for (w = 0; w < IOVA_WORDS; w++)
		busy |= atomic64_read(&r->busy[w]);
	chunk_relist(r->space, r->chunk);
	return busy ? -EBUSY : 0;
}

/* Reserve the beginning of [*first, last] and advance @first past it. */
static int reserve_some(struct iova_space *space, unsigned long *first,
			unsigned long last)
{
	struct iova_extent *x __free(kfree) = kzalloc(sizeof(*x), GFP_KERNEL);
	u64 *bitmap __free(kfree) = kcalloc(IOVA_WORDS, sizeof(u64), GFP_KERNEL);
	struct iova_reservation r = { .space = space };
	struct iova_extent *at;
	unsigned long done;
	int ret = 0;

	if (!x || !bitmap)
		return -ENOMEM;
	scoped_guard(raw_spinlock_irqsave, &space->lock) {
		at = extents_at(&space->extents, *first);
		done = min(last, at->last);
		if (at->first > *first) {
			done = min(last, at->first - 1);
			x->kind = IOVA_KIND_RESERVED;
			x->first = *first;
			x->last = done;
			count_taken(space, x, true);
			extents_insert(&space->extents, no_free_ptr(x), at);
		} else if (at->kind == IOVA_KIND_CHUNK) {
			r.chunk = to_chunk(at);
			ret = chunk_reserve_begin(&r, *first - at->first,
						  done - at->first, &bitmap);
		} else if (at->kind == IOVA_KIND_LARGE) {
			ret = -EBUSY;
		}
	}
	if (r.chunk && !ret)
		ret = chunk_reserve_end(&r);
	if (ret != -EAGAIN)
		*first = done + 1;
	return ret;
}

/**
 * iova_reserve - keep a range from ever being handed out
 * @space: address space
 * @first: first granule
 * @last: last granule
 *
 * May come at any time. What has been handed out is reserved when it comes back,
 * but for large ranges.
 *
 * Context: Process; may sleep.
 * Return: 0; -EBUSY if a range has been handed out there; -ENOMEM.
 */
int iova_reserve(struct iova_space *space, unsigned long first,
		 unsigned long last)
{
	int ret, result = 0;

	last = min(last, space->extents.ceiling.last);
	while (first <= last) {
		ret = reserve_some(space, &first, last);
		if (ret == -ENOMEM)
			return ret;
		if (ret == -EBUSY)
			result = ret;
		if (ret == -EAGAIN)
			schedule_timeout_uninterruptible(1);
		/* The top of the address space wraps. */
		if (!first)
			break;
	}
	return result;
}

/**
 * iova_space_init - set up an address space
 * @space: address space
 * @first: lowest granule that may be handed out, at least 1
 * @last: highest granule that may be handed out, below ULONG_MAX
 * @granule_lg2: log2 of the granule in bytes
 *
 * Context: Process; may sleep.
 * Return: 0; -EINVAL for an empty space; -ENOMEM.
 */
int iova_space_init(struct iova_space *space, unsigned long first,
		    unsigned long last, unsigned int granule_lg2)
{
	unsigned int cpu, zone, class, i;

	if (first == IOVA_NONE || first > last || last == ULONG_MAX)
		return -EINVAL;
	*space = (struct iova_space) { .granule_lg2 = granule_lg2 };
	space->cpu = alloc_percpu(struct iova_cpu);
	if (!space->cpu)
		return -ENOMEM;
	raw_spin_lock_init(&space->lock);
	xa_init_flags(&space->chunks, XA_FLAGS_LOCK_IRQ);
	for (zone = 0; zone < IOVA_ZONES; zone++)
		for (class = 0; class < IOVA_CLASSES; class++)
			INIT_LIST_HEAD(&space->parked[zone][class]);

	INIT_LIST_HEAD(&space->owned);
	for_each_possible_cpu(cpu)
		for (i = 0; i < IOVA_HANDS; i++)
			per_cpu_ptr(space->cpu, cpu)->hand[i].base =
				IOVA_NO_WORD;
	for (zone = 0; zone < IOVA_ZONES; zone++)
		space->serve[zone] = zone;
	extents_init(&space->extents, first, last);
	return 0;
}

/**
 * iova_space_destroy - take an address space down
 * @space: address space; nobody uses it any more
 *
 * Context: Process; may sleep.
 */
void iova_space_destroy(struct iova_space *space)
{
	struct iova_extent *x, *next;

	rbtree_postorder_for_each_entry_safe(x, next, &space->extents.root,
					     node) {
		if (x == &space->extents.floor || x == &space->extents.ceiling)
			continue;
		if (x->kind != IOVA_KIND_CHUNK) {
			kfree(x);
			continue;
		}
		kfree(to_chunk(x)->reserved);
		kfree(to_chunk(x));
	}
	xa_destroy(&space->chunks);
	free_percpu(space->cpu);
}
