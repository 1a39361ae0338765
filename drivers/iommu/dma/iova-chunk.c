// SPDX-License-Identifier: GPL-2.0
/*
 * Chunks: the granules of small ranges.
 *
 * A chunk is IOVA_CHUNK_GRANULES aligned granules. For each granule it records
 *
 *   used    1 1 1 1 0 1 1 0   it is not free
 *   size    2 0 2 0 0 1 0 0   a mapped range of so many granules begins here
 *   dirty   0 0 0 0 0 0 1 0   it waits for the flush of an epoch
 *
 * The bits are in words, and one atomic operation sets or clears any bits of a
 * word. A range of up to a word does not cross from one word to the next. The
 * code in this file takes no lock and knows no other chunk.
 */

#include <linux/log2.h>

#include "iova-chunk.h"

/**
 * iova_aligned_starts - where in a word an aligned range may begin
 * @base: first granule of the word
 * @align: granules, a power of two
 *
 * Context: Any.
 * Return: the bits of the granules that are multiples of @align.
 */
u64 iova_aligned_starts(unsigned long base, unsigned long align)
{
	static const u64 aligned[] = {
		~0ULL, 0x5555555555555555, 0x1111111111111111,
		0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1,
	};

	if (align > IOVA_WORD)
		return IS_ALIGNED(base, align) ? 1 : 0;
	return aligned[ilog2(align)];
}

/**
 * iova_run_class - the class of a free run
 * @n: granules of the run, 1 to IOVA_WORD
 *
 * Context: Any.
 * Return: the class, rounded down.
 */
unsigned int iova_run_class(unsigned int n)
{
	return n < 8 ? ilog2(n) : n / 8 + 2;
}

/**
 * iova_class_granules - the longest range that is certain to fit in a class
 * @class: below IOVA_CLASSES
 *
 * Context: Any.
 * Return: granules.
 */
unsigned long iova_class_granules(unsigned int class)
{
	if (class == IOVA_CLASS_EMPTY)
		return IOVA_CHUNK_GRANULES;
	if (class == IOVA_CLASS_PAIR)
		return IOVA_SMALL_MAX;
	return class <= 3 ? 1UL << class : (class - 2) * 8;
}

/**
 * iova_word_class - the class of the longest free run of a word
 * @free: its free granules, at least one
 *
 * Context: Any.
 * Return: the class.
 */
unsigned int iova_word_class(u64 free)
{
	unsigned int n, shift, run;
	u64 runs[7] = { free }; /* where 2^shift free bits begin */

	for (shift = 0; shift < 6; shift++) {
		runs[shift + 1] = runs[shift] & (runs[shift] >> (1 << shift));
		if (!runs[shift + 1])
			break;
	}
	n = 1 << shift;
	if (shift < 4)
		return iova_run_class(n);
	/*
	 * Extend the run by multiples of 8: its length may be no power of two.
	 */
	for (free = runs[shift]; shift-- > 3;) {
		run = 1 << shift;
		if (n < IOVA_WORD && (free & (runs[shift] >> n))) {
			free &= runs[shift] >> n;
			n += run;
		}
	}
	return iova_run_class(n);
}

/**
 * iova_chunk_take_bits - take granules of a word if they are all free
 * @c: a chunk that stays, as for iova_chunk_take()
 * @w: the word
 * @bits: which granules
 *
 * Context: Any; others may take and free at the same time.
 * Return: false if any of them is not free; then none is taken.
 */
bool iova_chunk_take_bits(struct iova_chunk *c, unsigned int w, u64 bits)
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

/**
 * iova_chunk_take_run - take granules for a range within a word
 * @c: a chunk that stays, as for iova_chunk_take()
 * @req: what the range has to satisfy; up to IOVA_WORD granules
 *
 * A range of up to a word is kept within one word, so the search is bounded.
 *
 * Context: Any; others may take and free at the same time.
 * Return: the first granule, or IOVA_NONE if the chunk has no place.
 */
unsigned long iova_chunk_take_run(struct iova_chunk *c,
				  const struct iova_request *req)
{
	unsigned long first = c->extent.first;
	unsigned int w, bit;
	u64 starts;

	for (w = 0; w < IOVA_WORDS; w++, first += IOVA_WORD) {
		starts = iova_request_starts(iova_chunk_free_mask(c, w), first,
					     req);
		if (!starts)
			continue;
		bit = __ffs64(starts);
		if (iova_chunk_take_bits(c, w, iova_word_bits(bit, req->size)))
			return first + bit;
	}
	return IOVA_NONE;
}

/* A longer range begins with a word that is all free and ends in the next. */
static bool take_pair(struct iova_chunk *c, const struct iova_request *req,
		      struct iova_range *range)
{
	u64 rest = iova_word_bits(0, req->size - IOVA_WORD);
	unsigned int w;

	for (w = 0; w + 1 < IOVA_WORDS; w++) {
		if ((w * IOVA_WORD) % req->align ||
		    !iova_chunk_take_bits(c, w, ~0ULL))
			continue;
		if (iova_chunk_take_bits(c, w + 1, rest)) {
			iova_chunk_set_range(c, c->extent.first + w * IOVA_WORD,
					     req->size, range);
			return true;
		}
		iova_chunk_clear_bits(c, w, ~0ULL);
	}
	return false;
}

/**
 * iova_chunk_take - take a range of a chunk
 * @c: a CPU chunk that is this CPU's or that the caller has just created; or the
 *	caller holds &iova_pool.lock, so that the chunk stays
 * @req: what the range has to satisfy; up to IOVA_SMALL_MAX granules
 * @range: where to store it
 *
 * Context: Any; others may take and free at the same time.
 * Return: false if the chunk has no place for it.
 */
bool iova_chunk_take(struct iova_chunk *c, const struct iova_request *req,
		     struct iova_range *range)
{
	unsigned long first;

	if (c->extent.last > req->limit)
		return false;
	if (req->size > IOVA_WORD)
		return take_pair(c, req, range);
	first = iova_chunk_take_run(c, req);
	if (first == IOVA_NONE)
		return false;
	iova_chunk_set_range(c, first, req->size, range);
	return true;
}

/**
 * iova_chunk_class - the partial list that a chunk belongs on
 * @c: the chunk
 *
 * Context: Any.
 * Return: the class of its longest free run, or IOVA_CLASS_FULL.
 */
u8 iova_chunk_class(const struct iova_chunk *c)
{
	unsigned int w, best = 0;
	u64 free, all = ~0ULL, any = 0, before = 0;

	for (w = 0; w < IOVA_WORDS; w++) {
		free = iova_chunk_free_mask(c, w);
		all &= free;
		any |= free;
		if (!~(free & before))
			best = IOVA_CLASS_PAIR;
		else if (best < IOVA_CLASS_WORD &&
			 iova_run_starts(free, iova_class_granules(best + 1)))
			best = iova_word_class(free);
		before = free;
	}
	if (!any)
		return IOVA_CLASS_FULL;
	return ~all ? best : IOVA_CLASS_EMPTY;
}

/**
 * iova_request_class - the class that is certain to have a place for a request
 * @req: up to IOVA_SMALL_MAX granules
 *
 * Context: Any.
 * Return: the lowest class whose chunks all have one.
 */
unsigned int iova_request_class(const struct iova_request *req)
{
	unsigned int run;

	if (req->align > IOVA_WORD)
		return IOVA_CLASS_EMPTY;
	if (req->size > IOVA_WORD)
		return IOVA_CLASS_PAIR;
	run = min(req->size + req->align - 1, IOVA_WORD);
	return run <= 8 ? order_base_2(run) : DIV_ROUND_UP(run, 8) + 2;
}

/**
 * iova_chunk_outgrew - whether a chunk belongs on another list now
 * @c: the chunk
 * @w: the word in which granules have become free
 *
 * If two CPUs free at once, the second sees the granules of both.
 *
 * Context: Any.
 * Return: true if the caller has to call iova_pool_sort().
 */
bool iova_chunk_outgrew(const struct iova_chunk *c, unsigned int w)
{
	u8 class = READ_ONCE(c->class);
	u64 free;

	if (class == IOVA_CLASS_CPU || class == IOVA_CLASS_EMPTY)
		return false;
	if (class == IOVA_CLASS_FULL)
		return true;
	free = iova_chunk_free_mask(c, w);
	if (!~free)
		return iova_chunk_class(c) != class;
	return class < IOVA_CLASS_WORD &&
	       iova_run_starts(free, iova_class_granules(class + 1));
}
