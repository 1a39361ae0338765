// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * Two levels. Extents are the taken parts of the space, in a tree that knows
 * the largest gap below each node, so that finding room is a descent and never
 * a walk. An extent is reserved, or one large range, or a chunk. A chunk is
 * IOVA_CHUNK_GRANULES aligned granules, and small ranges come out of chunks:
 *
 *   used  1 1 1 1 0 1 1 0   the granule is not free
 *   head  1 0 1 0 0 1 0 0   a mapped range begins here
 *   tail  0 1 0 1 0 0 1 0   a range ends here
 *
 * Two marks for each range tell its exact size, so a wrong unmap is noticed
 * before anything is torn down, and cost three bits a granule at most, however
 * many ranges are live.
 *
 * Life of a range:
 *
 *   iova_alloc()  -> used + head + tail     the caller maps it
 *   iova_claim()  -> used + tail            the caller, and only one, unmaps it
 *   iova_release()-> free                   at once, or
 *   iova_retire() -> used + dirty[epoch]    until iova_recycle() of that epoch
 *
 * Life of a chunk: a CPU owns the chunks it allocates from, one per zone, and
 * goes through each with a cursor, so that neighbours in time are neighbours in
 * space. A chunk with no room for the request at hand is parked, on a list by
 * the size of its largest free run if it has one, where the next CPU in need
 * adopts it. Anybody frees into any chunk; that needs only the chunk's lock, or
 * also the space's where the chunk has to move to another list. A parked chunk
 * that runs empty goes back to the tree.
 *
 * A lock per chunk rather than an atomic operation per bitmap: a range is marked
 * in three bitmaps, so the lock is what costs fewer instructions, and the
 * checks that find a wrong unmap need the marks to be consistent.
 *
 * No operation takes more than O(log n) steps, and one per CPU where addresses
 * have run out. Claiming and freeing never allocate memory or fail. Nothing here
 * sleeps but iova_space_init(), iova_space_destroy() and iova_reserve().
 */

#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/rbtree_augmented.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "iova.h"

/*
 * Allocations are made in the middle of a driver's map call, which may be in
 * any context. A failure is the driver's to handle, not worth a splat.
 */
#define IOVA_GFP	(GFP_ATOMIC | __GFP_NOWARN)

/*
 * How many gaps to try that are long enough, but may be badly aligned, before
 * giving up: enough to make failing near exhaustion rare, few enough to bound
 * the time. Not reached where some gap is longer by the alignment.
 */
#define IOVA_TIGHT_TRIES	32

/*
 * Parked chunks to look at on a list. All suit a request whose limit is that of
 * its zone; with another limit some may lie above it, and go to the tail so that
 * the next request sees others.
 */
#define IOVA_ADOPT_TRIES	16

/* Empty chunks to keep, against giving the same one back again and again */
#define IOVA_EMPTY_MAX		16

/* In the zones up to this one space is too scarce for a chunk per CPU */
#define IOVA_ZONE_SCARCE	1

/* Values of iova_chunk.class besides those that name a list */
#define IOVA_CLASS_FULL		0xfd
#define IOVA_CLASS_OWNED	0xfe
#define IOVA_CLASS_DYING	0xff

/**
 * struct iova_chunk - granules for small ranges
 * @extent: its place in the space; immutable while the chunk exists
 * @lock: protects all fields without a note
 * @class: which list the chunk is on, or IOVA_CLASS_*; protected by
 *	&iova_space.lock, and leaves IOVA_CLASS_OWNED only under both locks
 * @zone: narrowest zone that holds the chunk; immutable
 * @queued: bit per epoch, set while on that epoch's list
 * @cursor: where the search for free granules begins
 * @list: in &iova_space.parked; protected by &iova_space.lock
 * @rcu: frees the chunk after the last lookup that may have found it
 * @used: granules that are not free
 * @reserved: granules that stay @used for ever
 * @head: first granules of mapped ranges
 * @tail: last granules of ranges
 * @dirty: granules that wait for the flush of an epoch, a subset of @used
 */
struct iova_chunk {
	struct iova_extent extent;
	raw_spinlock_t lock;
	u8 class;
	u8 zone;
	u8 queued;
	u16 cursor;
	union {
		struct list_head list;
		struct rcu_head rcu;
	};
	u64 used[IOVA_CHUNK_WORDS];
	u64 reserved[IOVA_CHUNK_WORDS];
	u64 head[IOVA_CHUNK_WORDS];
	u64 tail[IOVA_CHUNK_WORDS];
	u64 dirty[IOVA_EPOCHS][IOVA_CHUNK_WORDS];
};

/**
 * struct iova_cpu - what a CPU allocates from
 * @current_chunk: by zone of the request's limit; written by this CPU only
 */
struct iova_cpu {
	struct iova_chunk *current_chunk[IOVA_ZONES];
};

/* Limits that hardware is known to have, in bits of the address */
static unsigned int iova_zone(const struct iova_space *space,
			      unsigned long last)
{
	static const u8 zones[65] = {
		[0 ... 24]  = 0, [25 ... 28] = 1, [29 ... 30] = 2,
		[31 ... 32] = 3, [33 ... 36] = 4, [37 ... 40] = 5,
		[41 ... 48] = 6, [49 ... 64] = 7,
	};

	return zones[min(fls_long(last) + space->granule_lg2, 64U)];
}

/*
 * Extents: the tree of what is taken, and the gaps in between.
 */

#define to_extent(rb)	rb_entry(rb, struct iova_extent, node)

static struct iova_gaps extent_gap(const struct iova_extent *x)
{
	unsigned long end = x->first >> IOVA_CHUNK_LG2;
	unsigned long begin = (x->gap_first >> IOVA_CHUNK_LG2) +
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

/* Take [x->first, x->last] out of the gap below @above. */
static void extent_insert(struct iova_space *space, struct iova_extent *x,
			  struct iova_extent *above)
{
	struct rb_node *parent = &above->node, **link = &above->node.rb_left;

	lockdep_assert_held(&space->lock);
	while (*link) {
		parent = *link;
		link = &parent->rb_right;
	}
	x->gap_first = above->gap_first;
	above->gap_first = x->last + 1;
	rb_link_node(&x->node, parent, link);
	x->below = extent_gap(x);
	/* Each stops where nothing changes, so the second is not implied. */
	extent_callbacks.propagate(parent, NULL);
	extent_callbacks.propagate(&above->node, NULL);
	rb_insert_augmented(&x->node, &space->extents, &extent_callbacks);
}

static void extent_erase(struct iova_space *space, struct iova_extent *x)
{
	struct iova_extent *above = to_extent(rb_next(&x->node));

	lockdep_assert_held(&space->lock);
	rb_erase_augmented(&x->node, &space->extents, &extent_callbacks);
	above->gap_first = x->gap_first;
	extent_callbacks.propagate(&above->node, NULL);
}

/* The lowest extent that ends at @granule or above it */
static struct iova_extent *extent_at(struct iova_space *space,
				     unsigned long granule)
{
	struct rb_node *node = space->extents.rb_node;
	struct iova_extent *found = NULL;

	lockdep_assert_held(&space->lock);
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
 * Find the highest gap that satisfies @need and has a place for @req, trying
 * at most @tries of them. Goes through the tree from the top of the space
 * downwards, past all subtrees without a sufficient gap: the steps are
 * O((1 + failed tries) * log n), and one more descent along the limit.
 */
static struct iova_extent *gap_find(struct iova_space *space,
				    const struct iova_request *req,
				    const struct iova_gaps *need,
				    unsigned int tries)
{
	struct rb_node *node = space->extents.rb_node, *parent;
	struct iova_extent *x;
	struct iova_gaps gap;

	lockdep_assert_held(&space->lock);
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

/* Put @x where @req allows. First where success is certain, then wherever. */
static bool extent_place(struct iova_space *space, struct iova_extent *x,
			 const struct iova_request *req)
{
	struct iova_gaps tight = { .granules = req->size }, roomy = {};
	struct iova_extent *above;

	if (req->align == IOVA_CHUNK_GRANULES && !req->boundary &&
	    IS_ALIGNED(req->size, IOVA_CHUNK_GRANULES))
		roomy.chunks = req->size / IOVA_CHUNK_GRANULES;
	else
		roomy.granules = req->size + req->align - 1 +
				 (req->boundary ? req->size : 0);

	above = gap_find(space, req, &roomy, IOVA_TIGHT_TRIES);
	/* Of whole chunks the tree knows all, so there are no others. */
	if (!above && !roomy.chunks)
		above = gap_find(space, req, &tight, IOVA_TIGHT_TRIES);
	if (!above)
		return false;
	x->first = gap_place(above, req);
	x->last = x->first + req->size - 1;
	extent_insert(space, x, above);
	return true;
}

/*
 * Chunks: bitmaps.
 */

#define to_chunk(x)	container_of(x, struct iova_chunk, extent)

/* The bits of word @w that are in [first, last] */
static u64 word_bits(unsigned int w, unsigned int first, unsigned int last)
{
	u64 bits = ~0ULL;

	if (w == first / 64)
		bits <<= first % 64;
	if (w == last / 64)
		bits &= ~0ULL >> (63 - last % 64);
	return bits;
}

static void bit_set(u64 *map, unsigned int bit)
{
	map[bit / 64] |= BIT_ULL(bit % 64);
}

static void bit_clear(u64 *map, unsigned int bit)
{
	map[bit / 64] &= ~BIT_ULL(bit % 64);
}

static bool bit_is_set(const u64 *map, unsigned int bit)
{
	return map[bit / 64] & BIT_ULL(bit % 64);
}

static void bits_set(u64 *map, unsigned int first, unsigned int last)
{
	unsigned int w;

	for (w = first / 64; w <= last / 64; w++)
		map[w] |= word_bits(w, first, last);
}

/* [first, last] become free, but for what has been reserved meanwhile. */
static void granules_free(struct iova_chunk *c, unsigned int first,
			  unsigned int last)
{
	unsigned int w;

	for (w = first / 64; w <= last / 64; w++)
		c->used[w] &= ~word_bits(w, first, last) | c->reserved[w];
}

/* The first set bit at @from or above; a mapped range always has one. */
static unsigned int bits_next(const u64 *map, unsigned int from)
{
	unsigned int w = from / 64;
	u64 bits = map[w] & (~0ULL << (from % 64));

	while (!bits && ++w < IOVA_CHUNK_WORDS)
		bits = map[w];
	return bits ? w * 64 + __ffs64(bits) : IOVA_CHUNK_GRANULES - 1;
}

/* The bits at which @n (up to 64) set bits of @free begin */
static u64 run_starts(u64 free, unsigned int n)
{
	unsigned int have, step;

	for (have = 1; have < n; have += step) {
		step = min(have, n - have);
		free &= free >> step;
	}
	return free;
}

/* A run of up to 64 granules is kept within a word: bounded, and quick. */
static int chunk_find_run(const struct iova_chunk *c,
			  const struct iova_request *req)
{
	static const u64 aligned[] = {
		~0ULL, 0x5555555555555555, 0x1111111111111111,
		0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1,
	};
	u64 allowed = aligned[min(ilog2(req->align), 6)];
	u64 ahead = ~0ULL << (c->cursor % 64);
	unsigned int i;

	/* The word of the cursor comes twice, the part behind it last. */
	for (i = 0; i <= IOVA_CHUNK_WORDS; i++, ahead = ~0ULL) {
		unsigned int w = (c->cursor / 64 + i) % IOVA_CHUNK_WORDS;
		u64 starts = run_starts(~c->used[w], req->size) & allowed &
			     ahead;

		if (starts && IS_ALIGNED(w * 64, max(req->align, 64UL)))
			return w * 64 + __ffs64(starts);
	}
	return -1;
}

/* A longer one begins at a word that is all free and ends in the next. */
static int chunk_find_pair(const struct iova_chunk *c,
			   const struct iova_request *req)
{
	u64 rest = GENMASK_ULL(req->size - 65, 0);
	unsigned int w;

	for (w = 0; w + 1 < IOVA_CHUNK_WORDS; w++)
		if (!c->used[w] && !(c->used[w + 1] & rest) &&
		    IS_ALIGNED(w * 64, max(req->align, 64UL)))
			return w * 64;
	return -1;
}

/* Hand out a range of @c, whoever owns it, if it has one that fits. */
static bool chunk_take(struct iova_chunk *c, const struct iova_request *req,
		       struct iova_range *range)
{
	unsigned int last;
	int first;

	lockdep_assert_held(&c->lock);
	if (c->extent.last > req->limit)
		return false;
	first = req->size <= 64 ? chunk_find_run(c, req) :
				  chunk_find_pair(c, req);
	if (first < 0)
		return false;

	last = first + req->size - 1;
	bits_set(c->used, first, last);
	bit_set(c->head, first);
	bit_set(c->tail, last);
	c->cursor = (last + 1) % IOVA_CHUNK_GRANULES;
	*range = (struct iova_range) {
		.first = c->extent.first + first,
		.last = c->extent.first + last,
		.extent = &c->extent,
	};
	return true;
}

/* Return: whether ranges are in the way. */
static bool chunk_mark_reserved(struct iova_chunk *c, unsigned int first,
				unsigned int last)
{
	unsigned int w;
	u64 busy = 0;

	lockdep_assert_held(&c->lock);
	for (w = first / 64; w <= last / 64; w++)
		busy |= c->used[w] & ~c->reserved[w] & word_bits(w, first, last);
	bits_set(c->used, first, last);
	bits_set(c->reserved, first, last);
	return busy;
}

/* The list that @c belongs on while parked: log2 of its largest free run */
static u8 chunk_class(const struct iova_chunk *c)
{
	u64 runs[IOVA_CHUNK_WORDS], any = 0, pair = 0, used = 0;
	unsigned int w, class;

	for (w = 0; w < IOVA_CHUNK_WORDS; w++) {
		runs[w] = ~c->used[w];
		any |= runs[w];
		used |= c->used[w];
		if (w)
			pair |= !(c->used[w - 1] | c->used[w]);
	}
	if (!any)
		return IOVA_CLASS_FULL;
	if (!used)
		return IOVA_CLASS_EMPTY;
	if (pair)
		return IOVA_CLASS_PAIR;
	for (class = 0; class < 6; class++) {
		any = 0;
		for (w = 0; w < IOVA_CHUNK_WORDS; w++) {
			runs[w] &= runs[w] >> (1 << class);
			any |= runs[w];
		}
		if (!any)
			break;
	}
	return class;
}

/* The lowest class whose chunks are certain to have a place for @req */
static unsigned int request_class(const struct iova_request *req)
{
	if (req->align > 64)
		return IOVA_CLASS_EMPTY;
	if (req->size > 64)
		return IOVA_CLASS_PAIR;
	return min(order_base_2(req->size + req->align - 1), 6);
}

/*
 * Chunks: ownership.
 */

static void chunk_unlist(struct iova_space *space, struct iova_chunk *c)
{
	lockdep_assert_held(&space->lock);
	if (c->class >= IOVA_CLASSES)
		return;
	list_del(&c->list);
	space->nr_empty -= c->class == IOVA_CLASS_EMPTY;
}

static void chunk_enlist(struct iova_space *space, struct iova_chunk *c,
			 u8 class)
{
	lockdep_assert_held(&space->lock);
	if (class == IOVA_CLASS_EMPTY && space->nr_empty >= IOVA_EMPTY_MAX)
		class = IOVA_CLASS_DYING;
	if (class < IOVA_CLASSES)
		list_add(&c->list, &space->parked[c->zone][class]);
	space->nr_empty += class == IOVA_CLASS_EMPTY;
	WRITE_ONCE(c->class, class);
}

/*
 * Put @c on the list where it belongs now, if it may be on one.
 * Return: whether the caller has to destroy @c when it has dropped the lock.
 */
static bool chunk_relist(struct iova_space *space, struct iova_chunk *c,
			 u8 class)
{
	bool dying = false;

	lockdep_assert_held(&c->lock);
	raw_spin_lock(&space->lock);
	/* Adopted in between: then it has a better place than a list. */
	if (c->class < IOVA_CLASS_OWNED) {
		chunk_unlist(space, c);
		chunk_enlist(space, c, class);
		dying = c->class == IOVA_CLASS_DYING;
	}
	raw_spin_unlock(&space->lock);
	return dying;
}

/* Granules of @c became free. Return: as chunk_relist(). */
static bool chunk_freed(struct iova_space *space, struct iova_chunk *c)
{
	u8 class;

	lockdep_assert_held(&c->lock);
	if (READ_ONCE(c->class) == IOVA_CLASS_OWNED)
		return false;
	class = chunk_class(c);
	return READ_ONCE(c->class) != class && chunk_relist(space, c, class);
}

/* @c is dying: on no list, owned by nobody, without a range. */
static void chunk_destroy(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;

	/* The index first, so that whoever takes the place finds it empty. */
	xa_lock_irqsave(&space->chunks, flags);
	__xa_erase(&space->chunks, c->extent.first >> IOVA_CHUNK_LG2);
	xa_unlock_irqrestore(&space->chunks, flags);

	raw_spin_lock_irqsave(&space->lock, flags);
	extent_erase(space, &c->extent);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	kfree_rcu(c, rcu);
}

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
	bool placed, reserved;
	void *err;

	if (limit < IOVA_CHUNK_GRANULES - 1)
		return NULL;
	c = kzalloc(sizeof(*c), IOVA_GFP);
	if (!c)
		return NULL;
	raw_spin_lock_init(&c->lock);
	c->class = IOVA_CLASS_OWNED;
	c->extent.kind = IOVA_KIND_CHUNK;

	raw_spin_lock_irqsave(&space->lock, flags);
	placed = extent_place(space, &c->extent, &req);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (!placed) {
		kfree(c);
		return NULL;
	}

	c->zone = iova_zone(space, c->extent.last);
	xa_lock_irqsave(&space->chunks, flags);
	err = __xa_store(&space->chunks, c->extent.first >> IOVA_CHUNK_LG2, c,
			 IOVA_GFP);
	xa_unlock_irqrestore(&space->chunks, flags);
	if (!xa_is_err(err))
		return c;

	/* A reservation that came in between has to stay, so all of it does. */
	raw_spin_lock_irqsave(&c->lock, flags);
	reserved = chunk_class(c) != IOVA_CLASS_EMPTY;
	if (reserved)
		chunk_mark_reserved(c, 0, IOVA_CHUNK_GRANULES - 1);
	raw_spin_lock(&space->lock);
	WRITE_ONCE(c->class, reserved ? IOVA_CLASS_FULL : IOVA_CLASS_DYING);
	raw_spin_unlock(&space->lock);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	if (!reserved)
		chunk_destroy(space, c);
	return NULL;
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
			WRITE_ONCE(c->class, IOVA_CLASS_OWNED);
			return c;
		}
		list_move_tail(&c->list, list);
	}
	return NULL;
}

/* Become the owner of a parked chunk with a place for @class: the tightest. */
static struct iova_chunk *chunk_adopt(struct iova_space *space,
				      unsigned int zone, unsigned int class,
				      unsigned long limit)
{
	struct iova_chunk *c = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	for (; !c && class < IOVA_CLASSES; class++)
		c = adopt_from(space, &space->parked[zone][class], limit);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return c;
}

/* Give up ownership of @c. */
static void chunk_disown(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;
	bool dying;

	raw_spin_lock_irqsave(&c->lock, flags);
	raw_spin_lock(&space->lock);
	chunk_enlist(space, c, chunk_class(c));
	dying = c->class == IOVA_CLASS_DYING;
	raw_spin_unlock(&space->lock);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	if (dying)
		chunk_destroy(space, c);
}

/* Give the empty chunks back to the tree. Return: whether there was one. */
static bool chunks_trim(struct iova_space *space)
{
	struct iova_chunk *c, *next;
	unsigned int zone;
	LIST_HEAD(dying);

	scoped_guard(raw_spinlock_irqsave, &space->lock) {
		for (zone = 0; zone < IOVA_ZONES; zone++)
			list_splice_init(&space->parked[zone][IOVA_CLASS_EMPTY],
					 &dying);
		list_for_each_entry(c, &dying, list)
			WRITE_ONCE(c->class, IOVA_CLASS_DYING);
		space->nr_empty = 0;
	}
	if (list_empty(&dying))
		return false;
	list_for_each_entry_safe(c, next, &dying, list)
		chunk_destroy(space, c);
	return true;
}

/*
 * Handing out.
 */

static bool alloc_current(struct iova_space *space, unsigned int zone,
			  const struct iova_request *req,
			  struct iova_range *range)
{
	struct iova_chunk *c;
	unsigned long flags;
	bool taken = false;

	/* Only this CPU changes its current chunk, and not while we look. */
	local_irq_save(flags);
	c = __this_cpu_read(space->cpu->current_chunk[zone]);
	if (c) {
		raw_spin_lock(&c->lock);
		taken = chunk_take(c, req, range);
		raw_spin_unlock(&c->lock);
	}
	local_irq_restore(flags);
	return taken;
}

/* Out of @c, which the caller owns; then @c is what this CPU goes on with. */
static bool alloc_install(struct iova_space *space, struct iova_chunk *c,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range)
{
	unsigned long flags;
	bool taken;

	raw_spin_lock_irqsave(&c->lock, flags);
	taken = chunk_take(c, req, range);
	raw_spin_unlock_irqrestore(&c->lock, flags);

	c = this_cpu_xchg(space->cpu->current_chunk[zone], c);
	if (c)
		chunk_disown(space, c);
	return taken;
}

/* Out of @c, if somebody still owns it; see @class. */
static bool alloc_owned(struct iova_chunk *c, const struct iova_request *req,
			struct iova_range *range)
{
	unsigned long flags;
	bool taken;

	raw_spin_lock_irqsave(&c->lock, flags);
	taken = READ_ONCE(c->class) == IOVA_CLASS_OWNED &&
		chunk_take(c, req, range);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return taken;
}

/* Out of what other CPUs own: for when there is no chunk to be had. */
static bool alloc_foreign(struct iova_space *space,
			  const struct iova_request *req,
			  struct iova_range *range)
{
	struct iova_chunk *c;
	unsigned int cpu, z;

	guard(rcu)();
	for_each_possible_cpu(cpu) {
		/* All, as a wide zone may go on with a narrow one's chunk. */
		for (z = 0; z < IOVA_ZONES; z++) {
			c = READ_ONCE(per_cpu_ptr(space->cpu, cpu)->current_chunk[z]);
			if (c && alloc_owned(c, req, range))
				return true;
		}
	}
	return false;
}

static bool alloc_small(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int zone = iova_zone(space, req->limit);
	unsigned int class = request_class(req);
	struct iova_chunk *c;
	int z;

	if (alloc_current(space, zone, req, range))
		return true;
	if (zone <= IOVA_ZONE_SCARCE && alloc_foreign(space, req, range))
		return true;
	for (z = zone; z >= 0; z--) {
		c = chunk_adopt(space, z, class, req->limit);
		/* A new chunk rather than one that narrower limits may need */
		if (!c && z == zone)
			c = chunk_create(space, req->limit);
		if (c && alloc_install(space, c, zone, req, range))
			return true;
	}
	return alloc_foreign(space, req, range);
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
		placed = extent_place(space, x, req);
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

/**
 * iova_alloc - hand out a range of granules
 * @space: address space
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any. Takes &iova_space.lock and chunk locks for bounded steps.
 * Return: true, or false when there is no room or no memory.
 */
bool iova_alloc(struct iova_space *space, const struct iova_request *req,
		struct iova_range *range)
{
	struct iova_request small = *req;

	if (!req->size || req->size - 1 > req->limit)
		return false;
	if (req->size > IOVA_SMALL_MAX || req->align > IOVA_CHUNK_GRANULES)
		return alloc_large(space, req, range);

	/* No range of a chunk crosses a boundary as wide as the chunk. */
	if (req->boundary && req->boundary < IOVA_CHUNK_GRANULES)
		small.align = max(req->align, roundup_pow_of_two(req->size));
	small.boundary = 0;
	return alloc_small(space, &small, range) ||
	       alloc_large(space, req, range);
}

/*
 * Taking back.
 */

static bool claim_small(struct iova_chunk *c, unsigned long granule,
			struct iova_range *range)
{
	unsigned int first = granule - c->extent.first;
	unsigned long flags;
	bool mapped;

	raw_spin_lock_irqsave(&c->lock, flags);
	mapped = bit_is_set(c->head, first);
	if (mapped) {
		bit_clear(c->head, first);
		range->first = granule;
		range->last = c->extent.first + bits_next(c->tail, first);
		range->extent = &c->extent;
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return mapped;
}

static bool claim_large(struct iova_space *space, unsigned long granule,
			struct iova_range *range)
{
	struct iova_extent *x;
	unsigned long flags;
	bool mapped;

	raw_spin_lock_irqsave(&space->lock, flags);
	x = extent_at(space, granule);
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
	struct iova_chunk *c;

	guard(rcu)();
	c = xa_load(&space->chunks, first >> IOVA_CHUNK_LG2);
	return c ? claim_small(c, first, range) :
		   claim_large(space, first, range);
}

static void free_large(struct iova_space *space, struct iova_extent *x)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	extent_erase(space, x);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	kfree(x);
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
	struct iova_extent *x = range->extent;
	unsigned int first, last;
	struct iova_chunk *c;
	unsigned long flags;
	bool dying;

	if (x->kind == IOVA_KIND_LARGE) {
		free_large(space, x);
		return;
	}

	c = to_chunk(x);
	first = range->first - x->first;
	last = range->last - x->first;
	raw_spin_lock_irqsave(&c->lock, flags);
	bit_clear(c->head, first);
	bit_clear(c->tail, last);
	granules_free(c, first, last);
	dying = chunk_freed(space, c);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	if (dying)
		chunk_destroy(space, c);
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
	unsigned int first, last;
	struct iova_chunk *c;
	unsigned long flags;

	if (x->kind == IOVA_KIND_LARGE) {
		llist_add(&x->retired[epoch], &space->retired[epoch]);
		return;
	}

	c = to_chunk(x);
	first = range->first - x->first;
	last = range->last - x->first;
	raw_spin_lock_irqsave(&c->lock, flags);
	bit_clear(c->tail, last);
	bits_set(c->dirty[epoch], first, last);
	if (!(c->queued & BIT(epoch))) {
		c->queued |= BIT(epoch);
		llist_add(&x->retired[epoch], &space->retired[epoch]);
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
}

static void chunk_recycle(struct iova_space *space, struct iova_chunk *c,
			  unsigned int epoch)
{
	unsigned long flags;
	unsigned int w;
	bool dying;

	raw_spin_lock_irqsave(&c->lock, flags);
	c->queued &= ~BIT(epoch);
	for (w = 0; w < IOVA_CHUNK_WORDS; w++) {
		c->used[w] &= ~c->dirty[epoch][w] | c->reserved[w];
		c->dirty[epoch][w] = 0;
	}
	dying = chunk_freed(space, c);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	if (dying)
		chunk_destroy(space, c);
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

/**
 * iova_largest_gap - the longest range that could be handed out
 * @space: address space
 * @limit: its last granule at most
 *
 * For reports: parked and owned chunks are not counted.
 *
 * Context: Any.
 * Return: granules.
 */
unsigned long iova_largest_gap(struct iova_space *space, unsigned long limit)
{
	struct iova_request req = { .align = 1, .limit = limit };
	unsigned long least = 0, most;

	most = min(limit, space->ceiling.first - 1);
	while (least < most) {
		struct iova_gaps need;

		req.size = least + (most - least + 1) / 2;
		need = (struct iova_gaps) { .granules = req.size };
		scoped_guard(raw_spinlock_irqsave, &space->lock) {
			if (gap_find(space, &req, &need, IOVA_TIGHT_TRIES))
				least = req.size;
			else
				most = req.size - 1;
		}
	}
	return least;
}

/*
 * Reserving, setting up, taking down.
 */

/* Return: -EAGAIN if @c is on its way out, -EBUSY if ranges are in the way. */
static int chunk_reserve(struct iova_space *space, struct iova_chunk *c,
			 unsigned long first, unsigned long last)
{
	unsigned long flags;
	int ret = -EAGAIN;

	first = max(first, c->extent.first) - c->extent.first;
	last = min(last, c->extent.last) - c->extent.first;
	raw_spin_lock_irqsave(&c->lock, flags);
	raw_spin_lock(&space->lock);
	if (c->class != IOVA_CLASS_DYING) {
		ret = chunk_mark_reserved(c, first, last) ? -EBUSY : 0;
		if (c->class != IOVA_CLASS_OWNED) {
			chunk_unlist(space, c);
			chunk_enlist(space, c, chunk_class(c));
		}
	}
	raw_spin_unlock(&space->lock);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return ret;
}

/* Reserve the beginning of [*first, last] and advance @first past it. */
static int reserve_some(struct iova_space *space, unsigned long *first,
			unsigned long last)
{
	struct iova_extent *x __free(kfree) = kzalloc(sizeof(*x), GFP_KERNEL);
	struct iova_chunk *c = NULL;
	struct iova_extent *at;
	unsigned long done;
	int ret = 0;

	if (!x)
		return -ENOMEM;
	guard(rcu)();
	scoped_guard(raw_spinlock_irqsave, &space->lock) {
		at = extent_at(space, *first);
		done = min(last, at->last);
		if (at->first > *first) {
			done = min(last, at->first - 1);
			x->kind = IOVA_KIND_RESERVED;
			x->first = *first;
			x->last = done;
			extent_insert(space, no_free_ptr(x), at);
		} else if (at->kind == IOVA_KIND_CHUNK) {
			c = to_chunk(at);
		} else if (at->kind == IOVA_KIND_LARGE) {
			ret = -EBUSY;
		}
	}
	if (c)
		ret = chunk_reserve(space, c, *first, last);
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

	last = min(last, space->ceiling.last);
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
	unsigned int zone, class;

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

	space->floor.last = first - 1;
	space->ceiling.gap_first = first;
	space->ceiling.first = last + 1;
	space->ceiling.last = ULONG_MAX;
	rb_link_node(&space->ceiling.node, NULL, &space->extents.rb_node);
	space->ceiling.below = extent_gap(&space->ceiling);
	rb_insert_augmented(&space->ceiling.node, &space->extents,
			    &extent_callbacks);
	rb_link_node(&space->floor.node, &space->ceiling.node,
		     &space->ceiling.node.rb_left);
	rb_insert_augmented(&space->floor.node, &space->extents,
			    &extent_callbacks);
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

	rbtree_postorder_for_each_entry_safe(x, next, &space->extents, node) {
		if (x->kind == IOVA_KIND_CHUNK)
			kfree(to_chunk(x));
		else if (x != &space->floor && x != &space->ceiling)
			kfree(x);
	}
	xa_destroy(&space->chunks);
	free_percpu(space->cpu);
}
