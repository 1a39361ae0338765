/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Chunks: the granules of small ranges. See iova-chunk.c.
 */
#ifndef _IOVA_CHUNK_H
#define _IOVA_CHUNK_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>

#include "iova-extents.h"

/* Requests for up to this many granules come out of a chunk. */
#define IOVA_SMALL_MAX		(IOVA_CHUNK_GRANULES / 4)

/*
 * Partial chunks are sorted by their longest free run: of 1, 2, 4, 8, 16, 24,
 * ..., 56 granules in a word, or more. The class is twice the number of that,
 * and 1 more if as much as the power of two up to it is free and aligned.
 */
#define IOVA_CLASS_WORD		20
#define IOVA_CLASS_PAIR		21	/* two whole words side by side */
#define IOVA_CLASS_EMPTY	22
#define IOVA_CLASSES		23
#define IOVA_CLASS_ALIGNED	1

/* A word of a chunk's bitmaps, and what a CPU caches at once */
#define IOVA_WORD		64U
#define IOVA_WORDS		(IOVA_CHUNK_GRANULES / IOVA_WORD)

/* In &iova_chunk.size, together with the size. By itself it is a size. */
#define IOVA_SIZE_ROUNDED	BIT(7)

static_assert(IOVA_SMALL_MAX == IOVA_SIZE_ROUNDED && IOVA_WORD < IOVA_SMALL_MAX,
	      "a size and IOVA_SIZE_ROUNDED do not fit in a byte");

/* Values of iova_chunk.class besides those that name a list */
#define IOVA_CLASS_FULL		0xfd
#define IOVA_CLASS_CPU		0xfe
#define IOVA_CLASS_NONE		0xff	/* being created, or dying */

/* Values of iova_chunk.queued besides a bit per epoch */
#define IOVA_QUEUED_DEAD	BIT(IOVA_EPOCHS)

/**
 * struct iova_chunk - granules for small ranges
 * @extent: the part of the space that the chunk is; immutable while it exists
 * @class: the partial list that the chunk is on, or IOVA_CLASS_*; written under
 *	&iova_pool.lock
 * @zone: narrowest zone that holds the chunk; immutable
 * @rounded: some @size has had IOVA_SIZE_ROUNDED
 * @queued: bit per epoch, set while on that epoch's list; or IOVA_QUEUED_DEAD
 * @first: first granule, as in @extent; here it shares a cache line with what else
 *	every operation reads
 * @reserved: granules that stay in @used for ever; NULL if there are none; set
 *	once, its bits written under &iova_pool.lock
 * @list: in &iova_pool.partial; protected by &iova_pool.lock
 * @rcu: frees the chunk after the last lookup that may have found it
 * @used: granules that are not free
 * @dirty: per epoch, granules that wait for its flush; a subset of @used
 * @size: granules of the mapped range that begins here, or 0; with
 *	IOVA_SIZE_ROUNDED if as many are taken for it as the next power of two
 */
struct iova_chunk {
	struct iova_extent extent;
	u8 class;
	u8 zone;
	bool rounded;
	atomic_t queued;
	unsigned long first;
	u64 *reserved;
	union {
		struct list_head list;
		struct rcu_head rcu;
	};
	atomic64_t used[IOVA_WORDS];
	atomic64_t dirty[IOVA_EPOCHS][IOVA_WORDS];
	u8 size[IOVA_CHUNK_GRANULES];
};

#define to_chunk(x)	container_of(x, struct iova_chunk, extent)

/**
 * struct iova_range - a range that has been allocated
 * @first: first granule
 * @last: last granule
 * @spare: granules behind @last that are taken for it
 * @extent: where it came from; valid until the range is released or retired
 */
struct iova_range {
	unsigned long first;
	unsigned long last;
	unsigned long spare;
	struct iova_extent *extent;
};

u64 iova_aligned_starts(unsigned long base, unsigned long align);
unsigned long iova_class_granules(unsigned int class);
u32 iova_request_classes(const struct iova_request *req);
u32 iova_request_chances(const struct iova_request *req);
bool iova_chunk_take_bits(struct iova_chunk *c, unsigned int w, u64 bits);
unsigned long iova_chunk_take_run(struct iova_chunk *c,
				  const struct iova_request *req);
bool iova_chunk_take(struct iova_chunk *c, const struct iova_request *req,
		     struct iova_range *range);
u8 iova_class_grown(u8 class, u64 free);
u8 iova_chunk_class(const struct iova_chunk *c);
bool iova_chunk_outgrew(const struct iova_chunk *c, unsigned int w);

static inline unsigned int iova_base_word(unsigned long base)
{
	return base % IOVA_CHUNK_GRANULES / IOVA_WORD;
}

/* @n bits (1 to 64) from that of granule @first on */
static inline u64 iova_word_bits(unsigned int first, unsigned int n)
{
	return (~0ULL >> (IOVA_WORD - n)) << (first % IOVA_WORD);
}

/* The bits of word @w that lie in [@first, @last] of a chunk */
static inline u64 iova_word_part(unsigned int w, unsigned int first,
				 unsigned int last)
{
	unsigned int from = max(first, w * IOVA_WORD);
	unsigned int to = min(last, w * IOVA_WORD + IOVA_WORD - 1);

	return from > to ? 0 : iova_word_bits(from, to - from + 1);
}

/* The bits at which @n (up to 64) set bits of @free begin */
static __always_inline u64 iova_run_starts(u64 free, unsigned int n)
{
	unsigned int have, step;

	/*
	 * Most words without a run fail here: its first and last bit are set.
	 */
	if (n > 2 && !(free & (free >> (n - 1))))
		return 0;
	for (have = 1; have < n; have += step) {
		step = min(have, n - have);
		free &= free >> step;
	}
	return free;
}

/*
 * The bits of @free at which @req can begin: those that are aligned to its size,
 * if there are any
 */
static __always_inline u64 iova_request_starts(u64 free, unsigned long base,
					       const struct iova_request *req)
{
	u64 aligned;

	free = iova_run_starts(free, req->size);
	/* Most words of a chunk that is searched have no run. */
	if (!free)
		return 0;
	if (req->align > 1)
		free &= iova_aligned_starts(base, req->align);
	if (req->size > req->align && free) {
		aligned = iova_aligned_starts(base, roundup_pow_of_two(req->size));
		if (free & aligned)
			free &= aligned;
	}
	return free;
}

/* The free granules of word @w */
static inline u64 iova_chunk_free_mask(const struct iova_chunk *c,
				       unsigned int w)
{
	u64 free = ~atomic64_read_acquire(&c->used[w]);
	const u64 *reserved = READ_ONCE(c->reserved);

	/* iova_chunk_clear_bits() clears reserved bits for a moment. */
	if (unlikely(reserved))
		free &= ~READ_ONCE(reserved[w]);
	return free;
}

/* Free granules of word @w that were in use. */
static inline void iova_chunk_clear_bits(struct iova_chunk *c, unsigned int w,
					 u64 bits)
{
	const u64 *reserved;

	/* [E] pairs with [F] in classify(): a full barrier */
	atomic64_fetch_andnot(bits, &c->used[w]);
	reserved = READ_ONCE(c->reserved);
	if (unlikely(reserved))
		atomic64_or(READ_ONCE(reserved[w]) & bits, &c->used[w]);
}

/* All granules that are taken for @range */
static inline unsigned long iova_range_granules(const struct iova_range *range)
{
	return range->last - range->first + 1 + range->spare;
}

/* Note in its chunk that @range is mapped. */
static __always_inline void iova_chunk_note(const struct iova_range *range)
{
	struct iova_chunk *c = to_chunk(range->extent);
	u8 noted = range->last - range->first + 1;

	if (range->spare) {
		noted |= IOVA_SIZE_ROUNDED;
		if (!READ_ONCE(c->rounded))
			WRITE_ONCE(c->rounded, true);
	}
	WRITE_ONCE(c->size[range->first % IOVA_CHUNK_GRANULES], noted);
}

/* Make granules from @first on, which have been taken for @req, a mapped range. */
static __always_inline void iova_chunk_set_range(struct iova_chunk *c,
						 unsigned long first,
						 const struct iova_request *req,
						 struct iova_range *range)
{
	range->first = first;
	range->last = first + req->size - req->spare - 1;
	range->spare = req->spare;
	range->extent = &c->extent;
	iova_chunk_note(range);
}

/* The range at @first of which @noted, not 0, was in &iova_chunk.size */
static __always_inline void iova_chunk_get_range(struct iova_chunk *c,
						 unsigned long first,
						 unsigned int noted,
						 struct iova_range *range)
{
	unsigned int size = noted;

	range->spare = 0;
	if (unlikely(noted > IOVA_SIZE_ROUNDED)) {
		size -= IOVA_SIZE_ROUNDED;
		range->spare = roundup_pow_of_two(size) - size;
	}
	range->first = first;
	range->last = first + size - 1;
	range->extent = &c->extent;
}

#endif /* _IOVA_CHUNK_H */
