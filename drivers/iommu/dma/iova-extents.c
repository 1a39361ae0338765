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
 * A gap is measured in two ways, since most requests are for chunks: in
 * granules, and in whole aligned chunks. For a request with another alignment,
 * or with a boundary that it must not cross, a gap of its size may have no
 * place. The search first asks for a gap that is longer by the slack, which is
 * certain to have one unless the limit cuts the gap, and then tries a bounded
 * number of tight gaps.
 *
 * No function here takes a lock, sleeps or allocates: the caller serialises.
 */

#include <linux/align.h>
#include <linux/minmax.h>
#include <linux/rbtree_augmented.h>

#include "iova-extents.h"

/*
 * How many gaps to try that are long enough but may be badly aligned, before
 * giving up: enough to make a failure near exhaustion rare, few enough to bound
 * the time. Not reached if some gap is longer by the alignment.
 */
#define IOVA_TIGHT_TRIES	32

#define to_extent(rb)	rb_entry(rb, struct iova_extent, node)

static struct iova_gaps extent_gap(const struct iova_extent *x)
{
	unsigned long end = x->first >> IOVA_CHUNK_SHIFT;
	unsigned long begin = (x->gap_first >> IOVA_CHUNK_SHIFT) +
			      !IS_ALIGNED(x->gap_first, IOVA_CHUNK_GRANULES);

	return (struct iova_gaps) {
		.granules = x->first - x->gap_first,
		.chunks = end > begin ? end - begin : 0,
	};
}

static void gaps_join(struct iova_gaps *gaps, const struct rb_node *child)
{
	const struct iova_extent *x = rb_entry_safe(child, struct iova_extent,
						    node);

	if (!x)
		return;
	gaps->granules = max(gaps->granules, x->below.granules);
	gaps->chunks = max(gaps->chunks, x->below.chunks);
}

static bool extent_update(struct iova_extent *x, bool exit)
{
	struct iova_gaps gaps = extent_gap(x);

	gaps_join(&gaps, x->node.rb_left);
	gaps_join(&gaps, x->node.rb_right);
	if (exit && gaps.granules == x->below.granules &&
	    gaps.chunks == x->below.chunks)
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

/* The highest place for @req in the gap below @x, or IOVA_NONE */
static unsigned long gap_place(const struct iova_extent *x,
			       const struct iova_request *req)
{
	unsigned long end, first;

	if (x->gap_first > req->limit)
		return IOVA_NONE;
	end = min(x->first - 1, req->limit) + 1;
	if (end - x->gap_first < req->size)
		return IOVA_NONE;

	first = ALIGN_DOWN(end - req->size, req->align);
	if (req->boundary &&
	    (first ^ (first + req->size - 1)) & ~(req->boundary - 1)) {
		end = ALIGN_DOWN(first + req->size - 1, req->boundary);
		if (end < req->size)
			return IOVA_NONE;
		first = ALIGN_DOWN(end - req->size, req->align);
	}
	return first >= x->gap_first ? first : IOVA_NONE;
}

static bool gaps_suffice(const struct iova_gaps *have,
			 const struct iova_gaps *need)
{
	return have->granules >= need->granules && have->chunks >= need->chunks;
}

static bool below_suffices(struct rb_node *node, const struct iova_gaps *need)
{
	return node && gaps_suffice(&to_extent(node)->below, need);
}

/*
 * Find the highest gap that satisfies @need and has a place for @req, trying at
 * most @tries gaps. The search goes from the top of the space downwards and
 * skips all subtrees without a sufficient gap. It takes O((1 + failed tries) *
 * log n) steps, and one more descent along the limit.
 */
static struct iova_extent *gap_find(struct iova_extents *extents,
				    const struct iova_request *req,
				    const struct iova_gaps *need,
				    unsigned int tries)
{
	struct rb_node *node = extents->root.rb_node, *parent;
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
	struct iova_gaps tight = { .granules = req->size }, roomy = {};
	struct iova_extent *above;

	/* Such a range begins with whole chunks. */
	if (req->align >= IOVA_CHUNK_GRANULES)
		tight.chunks = req->size / IOVA_CHUNK_GRANULES;
	if (req->align == IOVA_CHUNK_GRANULES && !req->boundary &&
	    IS_ALIGNED(req->size, IOVA_CHUNK_GRANULES))
		roomy.chunks = tight.chunks;
	else
		roomy.granules = req->size + req->align - 1 +
				 (req->boundary ? req->size : 0);

	above = gap_find(extents, req, &roomy, IOVA_TIGHT_TRIES);
	/* Whole chunks are counted exactly: a second search finds nothing. */
	if (!above && !roomy.chunks)
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
