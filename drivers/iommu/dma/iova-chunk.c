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

/* Runs of 1, 2, 4, 8, 16, 24, ..., 64 granules, by number */
static unsigned int run_granules(unsigned int run)
{
	return run < 4 ? 1 << run : (run - 2) * 8;
}

static unsigned int run_number(unsigned int granules)
{
	return granules < 8 ? ilog2(granules) : granules / 8 + 2;
}

/* The largest power of two up to the length of a run */
static unsigned int run_block(unsigned int run)
{
	return rounddown_pow_of_two(run_granules(run));
}

/* Whether the free granules of a word have an aligned run_block() */
static bool has_block(u64 free, unsigned int run)
{
	unsigned int block = run_block(run);

	return iova_run_starts(free, block) & iova_aligned_starts(0, block);
}

/* The number of the longest run of free granules of a word, at least one */
static unsigned int longest_run(u64 free)
{
	unsigned int n, shift, more;
	u64 runs[7] = { free }; /* where 2^shift free bits begin */

	for (shift = 0; shift < 6; shift++) {
		runs[shift + 1] = runs[shift] & (runs[shift] >> (1 << shift));
		if (!runs[shift + 1])
			break;
	}
	n = 1 << shift;
	if (shift < 4)
		return run_number(n);
	/*
	 * Extend the run by multiples of 8: its length may be no power of two.
	 */
	for (free = runs[shift]; shift-- > 3;) {
		more = 1 << shift;
		if (n < IOVA_WORD && (free & (runs[shift] >> n))) {
			free &= runs[shift] >> n;
			n += more;
		}
	}
	return run_number(n);
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
	return run_granules(class / 2);
}

/**
 * iova_class_grown - the class of a chunk after granules of a word became free
 * @class: what it was, below IOVA_CLASS_WORD; or IOVA_CLASS_FULL
 * @free: the free granules of the word; some, and not all
 *
 * Context: Any.
 * Return: the class.
 */
u8 iova_class_grown(u8 class, u64 free)
{
	unsigned int run = longest_run(free), was;
	bool aligned = false;

	if (class != IOVA_CLASS_FULL) {
		was = class / 2;
		run = max(run, was);
		aligned = class & IOVA_CLASS_ALIGNED &&
			  run_block(run) == run_block(was);
	}
	if (aligned || has_block(free, run))
		return 2 * run + IOVA_CLASS_ALIGNED;
	return 2 * run;
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
	unsigned long first = c->first;
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
			iova_chunk_set_range(c, c->first + w * IOVA_WORD,
					     req, range);
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
	iova_chunk_set_range(c, first, req, range);
	return true;
}

/* Whether the class is another with the free granules of a word, not all of it */
static bool grows(u8 class, u64 free)
{
	unsigned int run = class / 2;

	return iova_run_starts(free, run_granules(run + 1)) ||
	       (!(class & IOVA_CLASS_ALIGNED) && has_block(free, run));
}

/**
 * iova_chunk_class - the partial list that a chunk belongs on
 * @c: the chunk
 *
 * Context: Any.
 * Return: the class, or IOVA_CLASS_FULL.
 */
u8 iova_chunk_class(const struct iova_chunk *c)
{
	u8 class = IOVA_CLASS_FULL;
	u64 free, before = 0;
	unsigned int w, words = 0;

	for (w = 0; w < IOVA_WORDS; w++) {
		free = iova_chunk_free_mask(c, w);
		if (!~free) {
			words++;
			if (class != IOVA_CLASS_PAIR)
				class = ~before ? IOVA_CLASS_WORD :
						  IOVA_CLASS_PAIR;
		} else if (free && (class < IOVA_CLASS_WORD ?
				    grows(class, free) :
				    class == IOVA_CLASS_FULL)) {
			class = iova_class_grown(class, free);
		}
		before = free;
	}
	return words < IOVA_WORDS ? class : IOVA_CLASS_EMPTY;
}

/**
 * iova_request_classes - the classes that are certain to have a place for a request
 * @req: up to IOVA_SMALL_MAX granules
 *
 * Context: Any.
 * Return: a bit for each of them.
 */
u32 iova_request_classes(const struct iova_request *req)
{
	unsigned int granules, run, block;
	u32 classes;

	if (req->align > IOVA_WORD)
		return BIT(IOVA_CLASS_EMPTY);
	if (req->size > IOVA_WORD)
		return BIT(IOVA_CLASS_PAIR) | BIT(IOVA_CLASS_EMPTY);
	granules = min(req->size + req->align - 1, IOVA_WORD);
	run = granules <= 8 ? order_base_2(granules) :
			      DIV_ROUND_UP(granules, 8) + 2;
	classes = GENMASK(IOVA_CLASS_EMPTY, 2 * run);
	/* A run that is too short for any alignment may have an aligned block. */
	if (req->align > 1) {
		granules = max(req->align, roundup_pow_of_two(req->size));
		for (block = run_number(granules); block < run; block++)
			classes |= BIT(2 * block + IOVA_CLASS_ALIGNED);
	}
	return classes;
}

/**
 * iova_request_chances - the classes that may have a place for a request, or not
 * @req: up to IOVA_SMALL_MAX granules
 *
 * A class stands for runs of several lengths: 3 is in the class of 2, and 5 to 7 are in
 * that of 4, so a chunk of such a class may have a place. So may one whose run is long
 * enough, by its alignment. Whether there is a power of two that is aligned to itself the
 * class tells: there are no chances for that.
 *
 * Context: Any.
 * Return: a bit for each of them.
 */
u32 iova_request_chances(const struct iova_request *req)
{
	if (req->size > IOVA_WORD || req->align > IOVA_WORD ||
	    (req->align == req->size && is_power_of_2(req->size)))
		return 0;
	return GENMASK(IOVA_CLASS_EMPTY, 2 * run_number(req->size)) &
	       ~iova_request_classes(req);
}

/**
 * iova_chunk_outgrew - whether a chunk belongs on another list now
 * @c: the chunk
 * @w: the word in which granules have become free
 *
 * If two CPUs free at once, the second sees the granules of both.
 *
 * Context: Any.
 * Return: true if the caller has to move it, as iova_pool_sort() does.
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
	if (class >= IOVA_CLASS_WORD)
		return !~free && iova_chunk_class(c) != class;
	return grows(class, free);
}
