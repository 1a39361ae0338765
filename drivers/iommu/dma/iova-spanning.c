// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of more than one extent: the last resort before a request is refused.
 *
 * All other searches look at what is certain, or likely, to have a place: a gap
 * between extents, or a word of a chunk. But free granules may also be next to
 * each other in two words, in two chunks, or in a chunk and a gap. The search
 * here goes from the limit downwards through all extents and finds the highest
 * place of any kind, so a request that it refuses has none.
 *
 * A place in one chunk is taken as a range of that chunk if it has the form of
 * one. Any other is taken piece by piece, and becomes a spanning range:
 *
 *   extents      | chunk 1 1 0 0 |   gap   | chunk 0 0 0 1 | large |
 *   taken for it             1 1   [large]         1 1
 *   spanning                 |---------------------|
 *
 * In a chunk it takes granules, in a gap an extent. What makes it one range is
 * one more extent, in a tree of its own (&iova_pool.spanning), which is what a
 * claim finds.
 *
 * The search holds the lock for one extent at a time. So others may take granules of
 * the place meanwhile, and then it begins again. A place is taken in one go, unless it has
 * very many pieces: what is taken in vain must not make another request fail.
 */

#include <linux/bitops.h>
#include <linux/lockdep.h>
#include <linux/slab.h>

#include "iova-spanning.h"

/* Most places to lose to other CPUs before a request is refused */
#define IOVA_LOST_PLACES	64

/*
 * Most pieces to take at a time: interrupts are off, and each takes up to 1,000
 * instructions, and as many again if it is given back.
 */
#define IOVA_PIECES	8

/**
 * struct iova_search - a search from the limit downwards
 * @req: what the range has to satisfy
 * @end: all granules from here on have been looked at
 * @run_end: where the run of free granules ends that reaches down to @end
 */
struct iova_search {
	const struct iova_request *req;
	unsigned long end;
	unsigned long run_end;
};

/* Go on to @first; the granules from there to @s->end are free. */
static unsigned long search_free(struct iova_search *s, unsigned long first)
{
	s->end = first;
	return iova_highest_place(first, s->run_end, s->req);
}

/* Go on to @first; the granule there is in use. */
static void search_used(struct iova_search *s, unsigned long first)
{
	s->end = first;
	s->run_end = first;
}

/*
 * Search the runs of @free, granules of the word at @base, that end within the
 * word.
 */
static unsigned long search_runs(const struct iova_search *s,
				 unsigned long base, u64 free)
{
	unsigned int end, first;
	unsigned long place;

	if (s->req->size > IOVA_WORD ||
	    !iova_request_starts(free, base, s->req))
		return IOVA_NONE;
	while (free) {
		end = fls64(free);
		first = fls64(~free & iova_word_bits(0, end));
		place = iova_highest_place(base + first, base + end, s->req);
		if (place != IOVA_NONE || !first)
			return place;
		free &= iova_word_bits(0, first);
	}
	return IOVA_NONE;
}

/* Search the granules of a word, @free of which are free, below @s->end. */
static unsigned long search_word(struct iova_search *s, unsigned long base,
				 u64 free)
{
	unsigned int n = s->end - base;
	u64 used = ~free & iova_word_bits(0, n);
	unsigned long place;

	if (!used)
		return search_free(s, base);
	if (fls64(used) < n) {
		place = search_free(s, base + fls64(used));
		if (place != IOVA_NONE)
			return place;
	}
	place = search_runs(s, base, free & (iova_word_bits(0, fls64(used))));
	search_used(s, base + __ffs64(used));
	s->end = base;
	return place;
}

static unsigned long search_chunk(struct iova_search *s,
				  const struct iova_chunk *c)
{
	unsigned long base, place = IOVA_NONE;

	while (place == IOVA_NONE && s->end > c->first) {
		base = ALIGN_DOWN(s->end - 1, IOVA_WORD);
		place = search_word(s, base,
				    iova_chunk_free_mask(c,
							 iova_base_word(base)));
	}
	return place;
}

/*
 * Search the gap or extent below @s->end.
 * Return: 0; -EAGAIN if it is a chunk that is being created or erased.
 */
static int search_extent(struct iova_pool *pool, struct iova_search *s,
			 unsigned long *place)
{
	struct iova_extent *x = iova_extents_at(&pool->extents, s->end - 1);

	lockdep_assert_held(&pool->lock);
	if (x->first >= s->end) {
		*place = search_free(s, x->gap_first);
	} else if (x->kind != IOVA_KIND_CHUNK) {
		search_used(s, x->first);
	} else {
		if (to_chunk(x)->class == IOVA_CLASS_NONE)
			return -EAGAIN;
		*place = search_chunk(s, to_chunk(x));
	}
	return 0;
}

static unsigned long find_place(struct iova_pool *pool,
				const struct iova_request *req)
{
	unsigned long lowest = pool->extents.floor.last + 1;
	unsigned long place = IOVA_NONE, flags;
	struct iova_search s = { .req = req };
	int ret;

	s.end = min(req->limit, pool->extents.ceiling.first - 1) + 1;
	s.run_end = s.end;
	while (place == IOVA_NONE && s.end > lowest) {
		raw_spin_lock_irqsave(&pool->lock, flags);
		ret = search_extent(pool, &s, &place);
		raw_spin_unlock_irqrestore(&pool->lock, flags);
		/* Its granules are in reach when that is done. */
		if (ret)
			iova_pool_reap_all(pool);
	}
	return place;
}

/* Free the first piece of [first, last]. Return: its last granule. */
static unsigned long free_piece(struct iova_pool *pool, unsigned long first,
				unsigned long last)
{
	struct iova_extent *x;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	x = iova_extents_at(&pool->extents, first);
	last = min(last, x->last);
	if (x->kind == IOVA_KIND_CHUNK) {
		iova_pool_free_granules(pool, to_chunk(x), first - x->first,
					last - x->first);
		x = NULL;
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	if (x) {
		iova_pool_free_large(pool, x);
		kfree(x);
	}
	return last;
}

/* Free at most @most pieces of [first, last]. Return: the first granule left. */
static unsigned long free_pieces(struct iova_pool *pool, unsigned long first,
				 unsigned long last, unsigned long most)
{
	for (; first <= last && most; most--)
		first = free_piece(pool, first, last) + 1;
	iova_pool_reap(pool);
	return first;
}

/* Extents for the gaps of a place, by &iova_extent.retired of epoch 0 */
static struct iova_extent *pop_spare(struct llist_node **spare)
{
	struct llist_node *node = *spare;

	*spare = node->next;
	return container_of(node, struct iova_extent, retired[0]);
}

static void push_spare(struct llist_node **spare, struct iova_extent *x)
{
	x->retired[0].next = *spare;
	*spare = &x->retired[0];
}

/*
 * Take the beginning of [first, last], in a gap with the help of @spare.
 * Return: 0, and the last granule taken in @end; -EAGAIN if not all is free any more;
 * -ENOENT if a spare extent is needed.
 */
static int take_piece(struct iova_pool *pool, unsigned long first,
		      unsigned long last, struct llist_node **spare,
		      unsigned long *end)
{
	struct iova_extent *at = iova_extents_at(&pool->extents, first), *x;

	lockdep_assert_held(&pool->lock);
	if (at->first > first) {
		if (!*spare)
			return -ENOENT;
		x = pop_spare(spare);
		*x = (struct iova_extent) {
			.kind = IOVA_KIND_LARGE,
			.first = first,
			.last = min(last, at->first - 1),
		};
		*end = x->last;
		iova_pool_insert(pool, x, at);
		return 0;
	}
	*end = min(last, at->last);
	if (at->kind != IOVA_KIND_CHUNK ||
	    to_chunk(at)->class == IOVA_CLASS_NONE ||
	    !iova_pool_take_granules(pool, to_chunk(at), first - at->first,
				     *end - at->first))
		return -EAGAIN;
	return 0;
}

/* Give [first, last] back, which take_piece() has just taken. */
static void untake_pieces(struct iova_pool *pool, unsigned long first,
			  unsigned long last, struct llist_node **spare)
{
	struct iova_extent *x;
	unsigned long end;

	lockdep_assert_held(&pool->lock);
	for (; first <= last; first = end + 1) {
		x = iova_extents_at(&pool->extents, first);
		end = min(last, x->last);
		if (x->kind == IOVA_KIND_CHUNK) {
			iova_pool_free_granules(pool, to_chunk(x),
						first - x->first, end - x->first);
		} else {
			iova_pool_erase(pool, x);
			push_spare(spare, x);
		}
	}
}

/*
 * Take up to IOVA_PIECES pieces of [*next, last], or none, and advance @next.
 * Return: as take_piece().
 */
static int take_some(struct iova_pool *pool, unsigned long *next,
		     unsigned long last, struct llist_node **spare)
{
	unsigned long at = *next, end, flags;
	unsigned int n;
	int ret = 0;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (n = 0; n < IOVA_PIECES && at <= last; n++) {
		ret = take_piece(pool, at, last, spare, &end);
		if (ret)
			break;
		at = end + 1;
	}
	if (ret && at > *next)
		untake_pieces(pool, *next, at - 1, spare);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	if (!ret)
		*next = at;
	return ret;
}

static int take_pieces(struct iova_pool *pool, unsigned long first,
		       unsigned long last)
{
	struct llist_node *spare = NULL;
	unsigned long next = first;
	struct iova_extent *x;
	int ret = 0;

	while (!ret && next <= last) {
		ret = take_some(pool, &next, last, &spare);
		if (ret != -ENOENT)
			continue;
		x = kmalloc(sizeof(*x), IOVA_GFP);
		if (x)
			push_spare(&spare, x);
		ret = x ? 0 : -ENOMEM;
	}
	while (spare)
		kfree(pop_spare(&spare));
	if (ret && next > first)
		free_pieces(pool, first, next - 1, ULONG_MAX);
	return ret;
}

static int take_spanning(struct iova_pool *pool, unsigned long first,
			 unsigned long last, struct iova_range *range)
{
	struct iova_extent *x = kmalloc(sizeof(*x), IOVA_GFP);
	unsigned long flags;
	int ret;

	if (!x)
		return -ENOMEM;
	ret = take_pieces(pool, first, last);
	if (ret) {
		kfree(x);
		return ret;
	}
	*x = (struct iova_extent) {
		.kind = IOVA_KIND_SPANNING,
		.first = first,
		.last = last,
		.mapped = true,
	};
	raw_spin_lock_irqsave(&pool->lock, flags);
	iova_extents_insert(&pool->spanning, x,
			    iova_extents_at(&pool->spanning, first));
	WRITE_ONCE(pool->nr_spanning, pool->nr_spanning + 1);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	*range = (struct iova_range) {
		.first = first, .last = last, .extent = x,
	};
	return 0;
}

/*
 * The chunk of which [first, last] can be an ordinary range: within a word, or
 * at the beginning of one
 */
static struct iova_chunk *chunk_of(struct iova_pool *pool, unsigned long first,
				   unsigned long last)
{
	struct iova_extent *x = iova_extents_at(&pool->extents, first);

	lockdep_assert_held(&pool->lock);
	if (x->first > first || x->last < last || x->kind != IOVA_KIND_CHUNK ||
	    to_chunk(x)->class == IOVA_CLASS_NONE)
		return NULL;
	if (last / IOVA_WORD == first / IOVA_WORD)
		return to_chunk(x);
	if (last - first < IOVA_SMALL_MAX && IS_ALIGNED(first, IOVA_WORD) &&
	    last - first >= IOVA_WORD)
		return to_chunk(x);
	return NULL;
}

static int take_place(struct iova_pool *pool, unsigned long first,
		      const struct iova_request *req, struct iova_range *range)
{
	unsigned long last = first + req->size - 1;
	struct iova_chunk *c;
	unsigned long flags;
	bool taken = false;

	raw_spin_lock_irqsave(&pool->lock, flags);
	c = chunk_of(pool, first, last);
	if (c) {
		taken = iova_pool_take_granules(pool, c, first - c->first,
						last - c->first);
		if (taken)
			iova_chunk_set_range(c, first, req, range);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	if (!c)
		return take_spanning(pool, first, last, range);
	return taken ? 0 : -EAGAIN;
}

/**
 * iova_spanning_alloc - allocate a range wherever there is a place
 * @pool: of the address space
 * @req: what the range has to satisfy; nothing to spare
 * @range: where to store it
 *
 * Looks at all extents below the limit until it finds a place, one at a time
 * under the lock.
 *
 * Context: Any.
 * Return: false if there is no place outside of the caches of CPUs; or if memory
 * is short.
 */
bool iova_spanning_alloc(struct iova_pool *pool,
			 const struct iova_request *req,
			 struct iova_range *range)
{
	unsigned int tries = IOVA_LOST_PLACES;
	unsigned long first;
	int ret = -EAGAIN;

	while (ret == -EAGAIN && tries--) {
		first = find_place(pool, req);
		if (first == IOVA_NONE)
			return false;
		ret = take_place(pool, first, req, range);
	}
	return !ret;
}

/**
 * iova_spanning_trim - iova_pool_trim() for all chunks
 * @pool: of the address space
 * @limit: chunks above this granule are left out
 *
 * Context: Any.
 */
void iova_spanning_trim(struct iova_pool *pool, unsigned long limit)
{
	unsigned long end = min(limit, pool->extents.ceiling.first - 1) + 1;
	struct iova_extent *x;
	unsigned long flags;

	while (end > pool->extents.floor.last + 1) {
		raw_spin_lock_irqsave(&pool->lock, flags);
		x = iova_extents_at(&pool->extents, end - 1);
		if (x->first >= end) {
			end = x->gap_first;
		} else {
			end = x->first;
			if (x->kind == IOVA_KIND_CHUNK &&
			    to_chunk(x)->class != IOVA_CLASS_NONE)
				iova_pool_trim(pool, to_chunk(x));
		}
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
}

/**
 * iova_spanning_free - free pieces of a spanning range
 * @pool: of the address space
 * @x: its extent, which has been claimed; shrinks to what is left
 * @most: pieces to free in this call
 *
 * Context: Any.
 * Return: whether all of it is free; then the caller frees the memory of @x.
 */
bool iova_spanning_free(struct iova_pool *pool, struct iova_extent *x,
			unsigned long most)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	if (!RB_EMPTY_NODE(&x->node)) {
		iova_extents_erase(&pool->spanning, x);
		WRITE_ONCE(pool->nr_spanning, pool->nr_spanning - 1);
		RB_CLEAR_NODE(&x->node);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	x->first = free_pieces(pool, x->first, x->last, most);
	return x->first > x->last;
}
