// SPDX-License-Identifier: GPL-2.0
/*
 * Extents: the taken parts of an address space, and the gaps in between.
 *
 * Extents are in a tree by address. Each also stands for the free gap just
 * below it, and each node records the largest gaps of its subtree, so a gap is
 * found by a descent and never by a walk: in O(log n) steps, however many
 * ranges are in use. The ends of the space are extents themselves, which are
 * always there.
 *
 * A gap is measured in two ways: in granules, and by the largest naturally
 * aligned power of two in it. So a request without an alignment, and one that
 * is aligned to its size, as chunks are, is found for certain in one descent.
 * For others, and for a boundary that must not be crossed, a gap of the size may
 * have no place. The search first asks for a gap that is certain to have one
 * unless the limit cuts the gap, and then tries a bounded number of tight gaps.
 *
 * No function here takes a lock, sleeps or allocates: the caller serialises.
 */

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/rbtree_augmented.h>

#include "iova-extents.h"

/*
 * How many gaps to try that are long enough but may be badly aligned, before
 * giving up: enough to make a failure near exhaustion rare, few enough to bound
 * the time. Not reached if some gap is longer by the alignment.
 */
#define IOVA_TIGHT_TRIES	32

/*
 * How many extents to visit at most on the way: a subtree may have a gap that is long
 * enough and another that is aligned, and none that is both.
 */
#define IOVA_TIGHT_STEPS	512

#define to_extent(rb)	rb_entry(rb, struct iova_extent, node)

/* The largest aligned power of two in [first, end), which is not empty */
static unsigned long aligned_block(unsigned long first, unsigned long end)
{
	unsigned long block = 1UL << __fls(end - first);
	unsigned long top = ALIGN_DOWN(end, block);

	/* A run of at least twice the block always has an aligned one. */
	return top > first && top - first >= block ? block : block / 2;
}

static struct iova_gaps extent_gap(const struct iova_extent *x)
{
	struct iova_gaps gap = { .granules = x->first - x->gap_first };

	if (gap.granules)
		gap.aligned = aligned_block(x->gap_first, x->first);
	return gap;
}

static void gaps_join(struct iova_gaps *gaps, const struct rb_node *child)
{
	const struct iova_extent *x = rb_entry_safe(child, struct iova_extent,
						    node);

	if (!x)
		return;
	gaps->granules = max(gaps->granules, x->below.granules);
	gaps->aligned = max(gaps->aligned, x->below.aligned);
}

static bool extent_update(struct iova_extent *x, bool exit)
{
	struct iova_gaps gaps = extent_gap(x);

	gaps_join(&gaps, x->node.rb_left);
	gaps_join(&gaps, x->node.rb_right);
	if (exit && gaps.granules == x->below.granules &&
	    gaps.aligned == x->below.aligned)
		return true;
	x->below = gaps;
	return false;
}

RB_DECLARE_CALLBACKS(static, extent_callbacks, struct iova_extent, node, below,
		     extent_update)

/**
 * iova_extents_insert - take [x->first, x->last] out of a gap
 * @extents: all taken parts of the space
 * @x: extent to insert
 * @above: the extent above the gap
 *
 * Context: Any; serialised by the caller.
 */
void iova_extents_insert(struct iova_extents *extents, struct iova_extent *x,
			 struct iova_extent *above)
{
	struct rb_node *parent = &above->node, **link = &above->node.rb_left;

	while (*link) {
		parent = *link;
		link = &parent->rb_right;
	}
	x->gap_first = above->gap_first;
	above->gap_first = x->last + 1;
	rb_link_node(&x->node, parent, link);
	x->below = extent_gap(x);
	/* propagate() stops at the first unchanged node: both paths need one. */
	extent_callbacks.propagate(parent, NULL);
	extent_callbacks.propagate(&above->node, NULL);
	rb_insert_augmented(&x->node, &extents->root, &extent_callbacks);
}

/**
 * iova_extents_erase - give an extent back
 * @extents: all taken parts of the space
 * @x: extent to remove
 *
 * Context: Any; serialised by the caller. Never fails.
 */
void iova_extents_erase(struct iova_extents *extents, struct iova_extent *x)
{
	struct iova_extent *above = to_extent(rb_next(&x->node));

	/* The gap comes first, as rebalancing reads the gaps of all nodes. */
	above->gap_first = x->gap_first;
	extent_callbacks.propagate(&above->node, NULL);
	rb_erase_augmented(&x->node, &extents->root, &extent_callbacks);
}

/**
 * iova_extents_at - find the extent at or above a granule
 * @extents: all taken parts of the space
 * @granule: the granule
 *
 * Context: Any; serialised by the caller.
 * Return: the lowest extent that ends at @granule or above it.
 */
struct iova_extent *iova_extents_at(struct iova_extents *extents,
				    unsigned long granule)
{
	struct rb_node *node = extents->root.rb_node;
	struct iova_extent *found = NULL;

	while (node) {
		struct iova_extent *x = to_extent(node);

		if (x->last >= granule) {
			found = x;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

/**
 * iova_highest_place - find a place in a run of free granules
 * @first: first granule of the run
 * @end: granule after the run
 * @req: what the range has to satisfy
 *
 * Context: Any.
 * Return: first granule of the highest place, or IOVA_NONE.
 */
unsigned long iova_highest_place(unsigned long first, unsigned long end,
				 const struct iova_request *req)
{
	unsigned long place;

	if (first > req->limit)
		return IOVA_NONE;
	end = min(end - 1, req->limit) + 1;
	if (end - first < req->size)
		return IOVA_NONE;

	place = ALIGN_DOWN(end - req->size, req->align);
	if (req->boundary &&
	    (place ^ (place + req->size - 1)) & ~(req->boundary - 1)) {
		end = ALIGN_DOWN(place + req->size - 1, req->boundary);
		if (end < req->size)
			return IOVA_NONE;
		place = ALIGN_DOWN(end - req->size, req->align);
	}
	return place >= first ? place : IOVA_NONE;
}

static unsigned long gap_place(const struct iova_extent *x,
			       const struct iova_request *req)
{
	return iova_highest_place(x->gap_first, x->first, req);
}

static bool gaps_suffice(const struct iova_gaps *have,
			 const struct iova_gaps *need)
{
	return have->granules >= need->granules &&
	       have->aligned >= need->aligned;
}

static bool below_suffices(struct rb_node *node, const struct iova_gaps *need)
{
	return node && gaps_suffice(&to_extent(node)->below, need);
}

/*
 * Find the highest gap that satisfies @need and has a place for @req, trying at
 * most @tries gaps. The search goes from the top of the space downwards and
 * skips all subtrees without a sufficient gap. With one of the two in @need it takes
 * O((1 + failed tries) * log n) steps, and one more descent along the limit.
 */
static struct iova_extent *gap_find(struct iova_extents *extents,
				    const struct iova_request *req,
				    const struct iova_gaps *need,
				    unsigned int tries)
{
	struct rb_node *node = extents->root.rb_node, *parent;
	unsigned int steps = IOVA_TIGHT_STEPS;
	struct iova_extent *x;
	struct iova_gaps gap;

	if (!below_suffices(node, need))
		return NULL;
descend:
	x = to_extent(node);
	if (x->last < req->limit && below_suffices(node->rb_right, need)) {
		node = node->rb_right;
		goto descend;
	}
visit:
	if (!--steps)
		return NULL;
	gap = extent_gap(x);
	if (gaps_suffice(&gap, need) && x->gap_first <= req->limit) {
		if (gap_place(x, req) != IOVA_NONE)
			return x;
		if (!--tries)
			return NULL;
	}
	if (below_suffices(node->rb_left, need)) {
		node = node->rb_left;
		goto descend;
	}
	while ((parent = rb_parent(node))) {
		bool was_right = parent->rb_right == node;

		node = parent;
		x = to_extent(node);
		if (was_right)
			goto visit;
	}
	return NULL;
}

/**
 * iova_extents_place - find a range for a request, and take it
 * @extents: all taken parts of the space
 * @x: extent to give the range and insert
 * @req: what the range has to satisfy
 *
 * Gaps that are certain to have a place are searched first, then those that may
 * have one.
 *
 * Context: Any; serialised by the caller.
 * Return: false if no place has been found.
 */
bool iova_extents_place(struct iova_extents *extents, struct iova_extent *x,
			const struct iova_request *req)
{
	/* Certain to have a place: the block whatever the boundary */
	struct iova_gaps block = { .aligned = max(req->align, req->size) };
	struct iova_gaps roomy = {
		.granules = req->size + req->align - 1 +
			    (req->boundary ? req->size : 0),
	};
	struct iova_gaps tight = {
		.granules = req->size,
		.aligned = min(req->align, rounddown_pow_of_two(req->size)),
	};
	struct iova_extent *above = NULL;

	if (req->align >= req->size)
		above = gap_find(extents, req, &block, IOVA_TIGHT_TRIES);
	/* A block is all that an aligned power of two needs. */
	if (!above && req->align != req->size)
		above = gap_find(extents, req, &roomy, IOVA_TIGHT_TRIES);
	if (!above && req->align != req->size && roomy.granules != req->size)
		above = gap_find(extents, req, &tight, IOVA_TIGHT_TRIES);
	if (!above)
		return false;
	x->first = gap_place(above, req);
	x->last = x->first + req->size - 1;
	iova_extents_insert(extents, x, above);
	return true;
}

/**
 * iova_extents_have_gap - whether there is a gap of a size
 * @extents: all taken parts of the space
 * @size: granules
 * @limit: last granule that counts
 *
 * Context: Any; serialised by the caller.
 * Return: whether there is one.
 */
bool iova_extents_have_gap(struct iova_extents *extents, unsigned long size,
			   unsigned long limit)
{
	struct iova_request req = { .size = size, .align = 1, .limit = limit };
	struct iova_gaps need = { .granules = size };

	return gap_find(extents, &req, &need, IOVA_TIGHT_TRIES);
}

/**
 * iova_extents_init - initialise with nothing taken
 * @extents: to be initialised
 * @first: lowest usable granule, at least 1
 * @last: highest usable granule, below ULONG_MAX
 *
 * Context: Any; serialised by the caller.
 */
void iova_extents_init(struct iova_extents *extents, unsigned long first,
		       unsigned long last)
{
	struct iova_extent *floor = &extents->floor;
	struct iova_extent *ceiling = &extents->ceiling;

	*extents = (struct iova_extents) {
		.root = RB_ROOT,
		.floor.last = first - 1,
		.ceiling.gap_first = first,
		.ceiling.first = last + 1,
		.ceiling.last = ULONG_MAX,
	};
	rb_link_node(&ceiling->node, NULL, &extents->root.rb_node);
	ceiling->below = extent_gap(ceiling);
	rb_insert_augmented(&ceiling->node, &extents->root, &extent_callbacks);
	rb_link_node(&floor->node, &ceiling->node, &ceiling->node.rb_left);
	rb_insert_augmented(&floor->node, &extents->root, &extent_callbacks);
}
