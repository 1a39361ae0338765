// SPDX-License-Identifier: GPL-2.0
/*
 * The pool: the chunks and extents of an address space, and who has them.
 *
 * A CPU chunk is one from which a CPU refills its cache (iova-cpu.c). A chunk
 * that is no CPU chunk is partial if it has free granules: it is on a list by
 * its class, from which a CPU gets a chunk when it needs one. Requests with
 * limits in narrow zones, or where there are very many CPUs, take ranges of
 * partial chunks under the lock, many at a time. A partial chunk with no granule
 * in use goes back to the extents.
 *
 * Any CPU may free into any chunk, by clearing bits of @used without the lock.
 * The lock is only needed to move a chunk to another list. If one CPU frees
 * into a chunk while another puts it on a list, each reads after it has
 * written, so at least one of them sees both and puts the chunk on the right
 * list:
 *
 *   freeing                        putting on a list
 *   clear bits in used             leave IOVA_CLASS_CPU
 *   full barrier  [E]              full barrier  [F]
 *   read the class                 read used, and choose the list
 *
 * A chunk that is looked up by address may be removed at any time until a range
 * of it has been claimed. RCU keeps its memory, and having interrupts off makes
 * the caller an RCU reader.
 */

#include <kunit/visibility.h>
#include <linux/cpumask.h>
#include <linux/limits.h>
#include <linux/lockdep.h>
#include <linux/slab.h>

#include "iova-pool.h"

/*
 * Most partial chunks to look at on a list. If the limit of the request is that
 * of its zone, the first chunk will do. With a lower limit some chunks may lie
 * above it; these are moved to the tail so that the next request looks at
 * others.
 */
#define IOVA_PARTIAL_TRIES	16

/*
 * All CPUs together keep at most this part of a zone, as a shift; and have CPU
 * chunks of as much.
 */
#define IOVA_KEEP_SHIFT		3

/*
 * Most empty chunks to keep, so that the same one is not freed and created
 * again and again
 */
#define IOVA_EMPTY_MAX		16

/* Granules of the space up to the end of a zone */
static unsigned long zone_granules(const struct iova_pool *pool,
				   unsigned int zone)
{
	static const u8 bits[IOVA_ZONES] = { 24, 28, 30, 32, 36, 40, 48, 64 };
	unsigned int width = bits[zone] - min(bits[zone], pool->granule_shift);
	unsigned long first = pool->extents.floor.last + 1;
	unsigned long end = pool->extents.ceiling.first;

	if (width < BITS_PER_LONG)
		end = min(end, BIT(width));
	return end > first ? end - first : 0;
}

/**
 * iova_pool_activate_zone - note that requests need addresses in a zone
 * @pool: of the address space
 * @zone: the zone
 *
 * A chunk is for requests in the narrowest active zone that holds it. So
 * requests with wider limits do not use up what narrower ones depend on, but do
 * use it where there are no narrower ones.
 *
 * Context: Any.
 */
void iova_pool_activate_zone(struct iova_pool *pool, unsigned int zone)
{
	unsigned int z, narrowest = IOVA_ZONES;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	WRITE_ONCE(pool->active_zones, pool->active_zones | BIT(zone));
	for (z = IOVA_ZONES; z--; ) {
		if (pool->active_zones & BIT(z))
			narrowest = z;
		WRITE_ONCE(pool->zone_for[z],
			   narrowest < IOVA_ZONES ? narrowest : z);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/*
 * Extents, and how many granules they take in each zone.
 */

/* Count @x, @granules long or minus that, in its zone and all that hold this. */
static void count(struct iova_pool *pool, const struct iova_extent *x,
		  long granules)
{
	unsigned int zone = iova_pool_zone(pool, x->last);
	u8 low = pool->low_zones & (BIT(zone) - 1);

	lockdep_assert_held(&pool->lock);
	if (x->kind != IOVA_KIND_RESERVED)
		granules *= 2;
	for (; zone < IOVA_ZONES; zone++) {
		pool->room[zone] -= granules;
		low |= (pool->room[zone] < 0) << zone;
	}
	if (low != pool->low_zones)
		WRITE_ONCE(pool->low_zones, low);
}

static void count_taken(struct iova_pool *pool, const struct iova_extent *x)
{
	count(pool, x, x->last - x->first + 1);
}

static void count_freed(struct iova_pool *pool, const struct iova_extent *x)
{
	count(pool, x, x->first - x->last - 1);
}

/**
 * iova_pool_insert - iova_extents_insert(), counted by zone
 * @pool: of the address space
 * @x: extent to insert
 * @above: the extent above the gap
 *
 * Context: Any; the caller holds &iova_pool.lock.
 */
void iova_pool_insert(struct iova_pool *pool, struct iova_extent *x,
		      struct iova_extent *above)
{
	count_taken(pool, x);
	iova_extents_insert(&pool->extents, x, above);
}

/**
 * iova_pool_place - iova_extents_place(), counted by zone
 * @pool: of the address space
 * @x: extent to give a range
 * @req: what the range has to satisfy
 *
 * Context: Any; the caller holds &iova_pool.lock.
 * Return: false if no gap has a place for @req.
 */
bool iova_pool_place(struct iova_pool *pool, struct iova_extent *x,
		     const struct iova_request *req)
{
	if (!iova_extents_place(&pool->extents, x, req))
		return false;
	count_taken(pool, x);
	return true;
}

/**
 * iova_pool_erase - iova_extents_erase(), counted by zone
 * @pool: of the address space
 * @x: the extent
 *
 * Context: Any; the caller holds &iova_pool.lock.
 */
void iova_pool_erase(struct iova_pool *pool, struct iova_extent *x)
{
	count_freed(pool, x);
	iova_extents_erase(&pool->extents, x);
}

#define late_extent(entry)	\
	container_of(entry, struct iova_extent, retired[0])

/**
 * iova_pool_reserve_late - reserve a part of a large range once that is freed
 * @pool: of the address space
 * @x: extent for the part, which lies in one large range; its end is moved down
 *	so that @x overlaps no other part, or ends with one that covers its
 *	beginning
 *
 * Context: Any; the caller holds &iova_pool.lock.
 * Return: whether @x is kept; if not, another part covers all of it.
 */
bool iova_pool_reserve_late(struct iova_pool *pool, struct iova_extent *x)
{
	struct llist_node *entry;
	struct iova_extent *other;

	lockdep_assert_held(&pool->lock);
	for (entry = pool->late; entry; entry = entry->next) {
		other = late_extent(entry);
		if (other->last < x->first || other->first > x->last)
			continue;
		if (other->first <= x->first) {
			x->last = min(x->last, other->last);
			return false;
		}
		x->last = other->first - 1;
	}
	x->retired[0].next = pool->late;
	pool->late = &x->retired[0];
	return true;
}

static void insert_late(struct iova_pool *pool, const struct iova_extent *freed)
{
	struct llist_node **link = &pool->late;
	struct iova_extent *x;

	lockdep_assert_held(&pool->lock);
	while (*link) {
		x = late_extent(*link);
		if (x->first < freed->first || x->last > freed->last) {
			link = &(*link)->next;
			continue;
		}
		*link = (*link)->next;
		iova_pool_insert(pool, x, iova_extents_at(&pool->extents,
							  x->first));
	}
}

/**
 * iova_pool_free_large - give the extent of a large range back
 * @pool: of the address space
 * @x: the extent; the caller frees its memory
 *
 * Takes one step for each late reservation that waits, which are few.
 *
 * Context: Any.
 */
void iova_pool_free_large(struct iova_pool *pool, struct iova_extent *x)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	iova_pool_erase(pool, x);
	if (unlikely(pool->late))
		insert_late(pool, x);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

static void chunk_unlist(struct iova_pool *pool, struct iova_chunk *c)
{
	lockdep_assert_held(&pool->lock);
	if (c->class == IOVA_CLASS_FULL || c->class == IOVA_CLASS_CPU)
		return;
	list_del(&c->list);
	if (list_empty(&pool->partial[c->zone][c->class]))
		WRITE_ONCE(pool->classes[c->zone],
			   pool->classes[c->zone] & ~BIT(c->class));
	if (c->class == IOVA_CLASS_EMPTY)
		pool->nr_empty--;
}

/*
 * Mark @c, which has no granule in use, as dead. Return: whether it can be
 * freed.
 */
static bool chunk_kill(struct iova_chunk *c)
{
	return !c->reserved &&
	       atomic_cmpxchg(&c->queued, 0, IOVA_QUEUED_DEAD) == 0;
}

/* Put @c, which has been marked dead, on the list for iova_pool_reap(). */
static void chunk_die(struct iova_pool *pool, struct iova_chunk *c)
{
	WRITE_ONCE(c->class, IOVA_CLASS_NONE);
	llist_add(&c->extent.retired[0], &pool->dying);
}

/*
 * Return: the class of @c, which is on no list, by its free granules; or
 * IOVA_CLASS_NONE if it is dying.
 */
static noinline u8 classify(struct iova_pool *pool, struct iova_chunk *c)
{
	u8 class;

	lockdep_assert_held(&pool->lock);
	/*
	 * A CPU that frees from now on finds this class and waits for the lock.
	 */
	WRITE_ONCE(c->class, IOVA_CLASS_FULL);
	smp_mb(); /* [F] pairs with [E] in iova_chunk_clear_bits() */
	class = iova_chunk_class(c);
	if (class == IOVA_CLASS_EMPTY && pool->nr_empty >= IOVA_EMPTY_MAX &&
	    chunk_kill(c)) {
		chunk_die(pool, c);
		return IOVA_CLASS_NONE;
	}
	return class;
}

/* Those that have been listed for long have the most free granules. */
static void list_partial(struct iova_pool *pool, struct iova_chunk *c, u8 class)
{
	WRITE_ONCE(c->class, class);
	if (class >= IOVA_CLASSES)
		return;
	if (class == IOVA_CLASS_EMPTY)
		pool->nr_empty++;
	WRITE_ONCE(pool->classes[c->zone], pool->classes[c->zone] | BIT(class));
	list_add_tail(&c->list, &pool->partial[c->zone][class]);
}

static void put_partial(struct iova_pool *pool, struct iova_chunk *c)
{
	u8 class = classify(pool, c);

	if (class != IOVA_CLASS_NONE)
		list_partial(pool, c, class);
}

/*
 * Take @c, which has no range in use and is on no list, out of the space. The
 * caller holds the lock of the index, so who waits for that finds no chunk that
 * is half erased.
 */
static void chunk_erase(struct iova_pool *pool, struct iova_chunk *c)
{
	struct iova_chunk **recent = iova_pool_recent(pool, c->first);

	__xa_erase(&pool->chunks, iova_pool_index(pool, c->first));
	if (*recent == c)
		WRITE_ONCE(*recent, NULL);
	raw_spin_lock(&pool->lock);
	iova_pool_erase(pool, &c->extent);
	WRITE_ONCE(pool->nr_erased, pool->nr_erased + 1);
	raw_spin_unlock(&pool->lock);
	kfree_rcu(c, rcu);
}

/**
 * iova_pool_reap_all - free the dying chunks
 * @pool: of the address space
 *
 * Called through iova_pool_reap(); or to wait until no other CPU is creating or
 * erasing a chunk.
 *
 * Context: Any that may take a spinlock, on PREEMPT_RT also.
 */
void iova_pool_reap_all(struct iova_pool *pool)
{
	struct llist_node *node;
	unsigned long flags;

	do {
		xa_lock_irqsave(&pool->chunks, flags);
		/* Chunks die under this lock, so the first stays the first. */
		raw_spin_lock(&pool->lock);
		node = llist_del_first(&pool->dying);
		raw_spin_unlock(&pool->lock);
		if (node)
			chunk_erase(pool, container_of(node, struct iova_chunk,
						       extent.retired[0]));
		xa_unlock_irqrestore(&pool->chunks, flags);
	} while (node);
}

/**
 * iova_pool_sort_locked - move a chunk to the right list, one of many
 * @pool: of the address space
 * @c: as for iova_pool_sort()
 *
 * Nothing to do if it is a CPU chunk, or dying: then it is on no partial list.
 *
 * Context: Any; the caller holds &iova_pool.lock since before the granules became
 * free, and ends with iova_pool_reap().
 */
void iova_pool_sort_locked(struct iova_pool *pool, struct iova_chunk *c)
{
	lockdep_assert_held(&pool->lock);
	if (c->class != IOVA_CLASS_CPU && c->class != IOVA_CLASS_NONE) {
		chunk_unlist(pool, c);
		put_partial(pool, c);
	}
}

/*
 * Like iova_pool_sort_locked(), after granules of word @w alone have become free:
 * then the class is what it was, or grows by that word.
 */
static void sort_grown(struct iova_pool *pool, struct iova_chunk *c,
		       unsigned int w)
{
	u64 free = iova_chunk_free_mask(c, w);
	u8 class = c->class;

	lockdep_assert_held(&pool->lock);
	if (class == IOVA_CLASS_CPU || class == IOVA_CLASS_NONE)
		return;
	if (!free || !~free || class == IOVA_CLASS_EMPTY) {
		iova_pool_sort_locked(pool, c);
		return;
	}
	if (class == IOVA_CLASS_WORD || class == IOVA_CLASS_PAIR)
		return;
	class = iova_class_grown(class, free);
	if (class == c->class)
		return;
	chunk_unlist(pool, c);
	list_partial(pool, c, class);
}

/**
 * iova_pool_sort - move a chunk to the right list
 * @pool: of the address space
 * @c: a chunk with granules that have become free; may have become a CPU chunk
 *	or be dying
 *
 * Context: Any; an RCU reader since before the granules became free. The caller
 * ends with iova_pool_reap().
 */
void iova_pool_sort(struct iova_pool *pool, struct iova_chunk *c)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	iova_pool_sort_locked(pool, c);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/**
 * iova_pool_put_partial - put a CPU chunk on a partial list
 * @pool: of the address space
 * @c: the chunk
 *
 * Context: Any. The caller ends with iova_pool_reap().
 */
void iova_pool_put_partial(struct iova_pool *pool, struct iova_chunk *c)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	chunk_unlist(pool, c);
	put_partial(pool, c);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/* Make @c, whose extent has been placed, a CPU chunk that can be looked up. */
static int chunk_index(struct iova_pool *pool, struct iova_chunk *c)
{
	void *err;

	c->first = c->extent.first;
	c->zone = iova_pool_zone(pool, c->extent.last);
	err = __xa_store(&pool->chunks, iova_pool_index(pool, c->first),
			 c, IOVA_GFP);
	if (xa_is_err(err))
		return -ENOMEM;
	/* Pairs with the address dependency in iova_space_claim(). */
	smp_store_release(iova_pool_recent(pool, c->first), c);
	raw_spin_lock(&pool->lock);
	WRITE_ONCE(c->class, IOVA_CLASS_CPU);
	raw_spin_unlock(&pool->lock);
	return 0;
}

/**
 * iova_pool_create_chunk - create a chunk
 * @pool: of the address space
 * @limit: last granule of the chunk at most
 *
 * Context: Any.
 * Return: a CPU chunk; or NULL if addresses or memory are short.
 */
struct iova_chunk *iova_pool_create_chunk(struct iova_pool *pool,
					  unsigned long limit)
{
	struct iova_request req = {
		.size = IOVA_CHUNK_GRANULES,
		.align = IOVA_CHUNK_GRANULES,
		.limit = limit,
	};
	struct iova_chunk *c;
	unsigned long flags;
	bool created;

	if (limit < IOVA_CHUNK_GRANULES - 1)
		return NULL;
	c = kzalloc(sizeof(*c), IOVA_GFP);
	if (!c)
		return NULL;
	c->extent.kind = IOVA_KIND_CHUNK;
	c->class = IOVA_CLASS_NONE;

	xa_lock_irqsave(&pool->chunks, flags);
	raw_spin_lock(&pool->lock);
	created = iova_pool_place(pool, &c->extent, &req);
	raw_spin_unlock(&pool->lock);
	if (created && chunk_index(pool, c)) {
		chunk_erase(pool, c);
		c = NULL;
	}
	xa_unlock_irqrestore(&pool->chunks, flags);
	if (!created) {
		kfree(c);
		return NULL;
	}
	return c;
}

static struct iova_chunk *partial_from(struct iova_pool *pool,
				       struct list_head *list,
				       unsigned long limit)
{
	struct iova_chunk *c;
	unsigned int tries;

	lockdep_assert_held(&pool->lock);
	for (tries = IOVA_PARTIAL_TRIES; tries && !list_empty(list); tries--) {
		c = list_first_entry(list, struct iova_chunk, list);
		if (c->extent.last <= limit) {
			chunk_unlist(pool, c);
			return c;
		}
		list_move_tail(&c->list, list);
	}
	return NULL;
}

/* Take the tightest partial chunk of one of @classes off its list. */
static struct iova_chunk *get_partial(struct iova_pool *pool,
				      unsigned int zone, u32 classes,
				      unsigned long limit)
{
	unsigned long have = pool->classes[zone] & classes;
	struct iova_chunk *c = NULL;
	unsigned int class;

	lockdep_assert_held(&pool->lock);
	for_each_set_bit(class, &have, IOVA_CLASSES) {
		c = partial_from(pool, &pool->partial[zone][class], limit);
		if (c)
			break;
	}
	return c;
}

/**
 * iova_pool_get_partial - turn a partial chunk into a CPU chunk
 * @pool: of the address space
 * @zone: of the chunk
 * @classes: those that will do, a bit for each
 * @limit: last granule of the chunk at most
 *
 * Context: Any.
 * Return: the tightest chunk that will do, or NULL.
 */
struct iova_chunk *iova_pool_get_partial(struct iova_pool *pool,
					 unsigned int zone, u32 classes,
					 unsigned long limit)
{
	struct iova_chunk *c;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	c = get_partial(pool, zone, classes, limit);
	if (c)
		WRITE_ONCE(c->class, IOVA_CLASS_CPU);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return c;
}

/**
 * iova_pool_get_locked - take a partial chunk off its list, for a moment
 * @pool: of the address space
 * @zone: of the chunk
 * @classes: those that will do, a bit for each
 * @limit: last granule of the chunk at most
 *
 * Context: Any; the caller holds &iova_pool.lock, and goes on to
 * iova_pool_put_locked() before it lets go of it.
 * Return: the tightest chunk that will do, or NULL.
 */
struct iova_chunk *iova_pool_get_locked(struct iova_pool *pool,
					unsigned int zone, u32 classes,
					unsigned long limit)
{
	return get_partial(pool, zone, classes, limit);
}

/**
 * iova_pool_put_locked - put a chunk back on a partial list
 * @pool: of the address space
 * @c: from iova_pool_get_locked()
 *
 * Context: Any; the caller holds &iova_pool.lock, and ends with
 * iova_pool_reap().
 */
void iova_pool_put_locked(struct iova_pool *pool, struct iova_chunk *c)
{
	put_partial(pool, c);
}

static void shrink_zone(struct iova_pool *pool, unsigned int zone)
{
	struct iova_chunk *c, *next;

	lockdep_assert_held(&pool->lock);
	list_for_each_entry_safe(c, next,
				 &pool->partial[zone][IOVA_CLASS_EMPTY], list) {
		if (!chunk_kill(c))
			continue;
		chunk_unlist(pool, c);
		chunk_die(pool, c);
	}
}

/**
 * iova_pool_shrink - give empty chunks back to the extents
 * @pool: of the address space
 * @nr_erased: &iova_pool.nr_erased when there was no place
 *
 * Waits for other CPUs that are erasing chunks.
 *
 * Context: Any.
 * Return: whether any chunk has been erased since then.
 */
bool iova_pool_shrink(struct iova_pool *pool, unsigned long nr_erased)
{
	unsigned int zone;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (zone = 0; zone < IOVA_ZONES; zone++)
		shrink_zone(pool, zone);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	iova_pool_reap_all(pool);
	return READ_ONCE(pool->nr_erased) != nr_erased;
}

/**
 * iova_pool_take - take a range of a chunk that stays partial
 * @pool: of the address space
 * @zone: of the chunk
 * @classes: those that will do, a bit for each
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any.
 * Return: false if there is no such chunk.
 */
bool iova_pool_take(struct iova_pool *pool, unsigned int zone, u32 classes,
		    const struct iova_request *req, struct iova_range *range)
{
	struct iova_chunk *c;
	bool taken = false;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	c = get_partial(pool, zone, classes, req->limit);
	if (c) {
		taken = iova_chunk_take(c, req, range);
		put_partial(pool, c);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return taken;
}

/* Return: whether @c belongs on another list now. */
static bool clear_bits(struct iova_chunk *c, unsigned int w, u64 bits)
{
	iova_chunk_clear_bits(c, w, bits);
	return iova_chunk_outgrew(c, w);
}

/**
 * iova_pool_free_bits - free granules of a word
 * @pool: of the address space
 * @c: the chunk
 * @w: the word
 * @bits: which granules
 *
 * Takes the lock only if the chunk belongs on another list then.
 *
 * Context: Any; an RCU reader. The caller ends with iova_pool_reap().
 */
void iova_pool_free_bits(struct iova_pool *pool, struct iova_chunk *c,
			 unsigned int w, u64 bits)
{
	unsigned long flags;

	if (likely(!clear_bits(c, w, bits)))
		return;
	raw_spin_lock_irqsave(&pool->lock, flags);
	sort_grown(pool, c, w);
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/**
 * iova_pool_free_bits_locked - free granules of a word, one of many
 * @pool: of the address space
 * @c: the chunk
 * @w: the word
 * @bits: which granules
 *
 * Context: Any; the caller holds &iova_pool.lock, and ends with
 * iova_pool_reap().
 */
void iova_pool_free_bits_locked(struct iova_pool *pool, struct iova_chunk *c,
				unsigned int w, u64 bits)
{
	lockdep_assert_held(&pool->lock);
	if (clear_bits(c, w, bits))
		sort_grown(pool, c, w);
}

static void clear_granules(struct iova_chunk *c, unsigned int first,
			   unsigned int last)
{
	unsigned int w;
	u64 bits;

	for (w = first / IOVA_WORD; w <= last / IOVA_WORD; w++) {
		bits = iova_word_part(w, first, last);
		iova_chunk_clear_bits(c, w, bits);
	}
}

/**
 * iova_pool_take_granules - take granules of a chunk if they are all free
 * @pool: of the address space
 * @c: any chunk but one that is being created or dying
 * @first: first granule of the chunk to take
 * @last: last granule of the chunk to take
 *
 * Context: Any; the caller holds &iova_pool.lock, and ends with
 * iova_pool_reap().
 * Return: false if any of them is not free; then none is taken.
 */
bool iova_pool_take_granules(struct iova_pool *pool, struct iova_chunk *c,
			     unsigned int first, unsigned int last)
{
	unsigned int w;
	bool taken = true;

	lockdep_assert_held(&pool->lock);
	for (w = first / IOVA_WORD; taken && w <= last / IOVA_WORD; w++)
		taken = iova_chunk_take_bits(c, w,
					     iova_word_part(w, first, last));
	if (!taken && --w > first / IOVA_WORD)
		clear_granules(c, first, w * IOVA_WORD - 1);
	iova_pool_sort_locked(pool, c);
	return taken;
}

/**
 * iova_pool_free_granules - free what iova_pool_take_granules() has taken
 * @pool: of the address space
 * @c: the chunk
 * @first: first granule of the chunk to free
 * @last: last granule of the chunk to free
 *
 * Context: Any; the caller holds &iova_pool.lock, and ends with
 * iova_pool_reap().
 */
void iova_pool_free_granules(struct iova_pool *pool, struct iova_chunk *c,
			     unsigned int first, unsigned int last)
{
	lockdep_assert_held(&pool->lock);
	clear_granules(c, first, last);
	iova_pool_sort_locked(pool, c);
}

/**
 * iova_pool_trim - free what is taken only because sizes were rounded up
 * @pool: of the address space
 * @c: any chunk but one that is being created or dying
 *
 * A claim at the same time gets either all or what is left.
 *
 * Context: Any; the caller holds &iova_pool.lock, and ends with
 * iova_pool_reap().
 */
void iova_pool_trim(struct iova_pool *pool, struct iova_chunk *c)
{
	struct iova_range range;
	unsigned int i, end;
	u8 noted;

	lockdep_assert_held(&pool->lock);
	if (!READ_ONCE(c->rounded))
		return;
	for (i = 0; i < IOVA_CHUNK_GRANULES; i++) {
		noted = READ_ONCE(c->size[i]);
		if (noted <= IOVA_SIZE_ROUNDED ||
		    cmpxchg(&c->size[i], noted,
			    noted - IOVA_SIZE_ROUNDED) != noted)
			continue;
		iova_chunk_get_range(c, c->first + i, noted, &range);
		end = i + iova_range_granules(&range);
		clear_granules(c, end - range.spare, end - 1);
	}
	iova_pool_sort_locked(pool, c);
}

/* The longest range of a partial chunk below @limit, approximately */
static unsigned long partial_largest(struct iova_pool *pool,
				     unsigned long limit)
{
	const struct iova_chunk *c;
	int zone, class;

	lockdep_assert_held(&pool->lock);
	for (class = IOVA_CLASSES - 1; class >= 0; class--) {
		for (zone = iova_pool_zone(pool, limit); zone >= 0; zone--) {
			c = list_first_entry_or_null(&pool->partial[zone][class],
						     struct iova_chunk, list);
			if (c && c->extent.last <= limit)
				return iova_class_granules(class);
		}
	}
	return 0;
}

/**
 * iova_pool_largest - the longest range that could be allocated
 * @pool: of the address space
 * @limit: last granule of the range at most
 *
 * For reports only: CPU chunks are not counted.
 *
 * Context: Any.
 * Return: granules.
 */
unsigned long iova_pool_largest(struct iova_pool *pool, unsigned long limit)
{
	unsigned long least = 0, most, size, flags;

	most = min(limit, pool->extents.ceiling.first - 1);
	while (least < most) {
		size = least + (most - least + 1) / 2;
		raw_spin_lock_irqsave(&pool->lock, flags);
		if (iova_extents_have_gap(&pool->extents, size, limit))
			least = size;
		else
			most = size - 1;
		raw_spin_unlock_irqrestore(&pool->lock, flags);
	}
	raw_spin_lock_irqsave(&pool->lock, flags);
	least = max(least, partial_largest(pool, limit));
	raw_spin_unlock_irqrestore(&pool->lock, flags);
	return least;
}
EXPORT_SYMBOL_IF_KUNIT(iova_pool_largest);

/**
 * iova_pool_init - initialise a pool with nothing taken
 * @pool: of the address space; all zero
 * @first: lowest granule that may be allocated, at least 1
 * @last: highest granule that may be allocated, below ULONG_MAX
 * @granule_shift: log2 of the granule in bytes
 *
 * Context: Any.
 */
void iova_pool_init(struct iova_pool *pool, unsigned long first,
		    unsigned long last, unsigned int granule_shift)
{
	unsigned long cpus = num_possible_cpus(), most;
	unsigned int zone, class;

	raw_spin_lock_init(&pool->lock);
	iova_extents_init(&pool->extents, first, last);
	iova_extents_init(&pool->spanning, first, last);
	xa_init_flags(&pool->chunks, XA_FLAGS_LOCK_IRQ);
	pool->granule_shift = granule_shift;
	pool->last = last;
	pool->low_chunks = BIT(32 - min(granule_shift, 32U)) >>
			   IOVA_CHUNK_SHIFT;
	pool->top_chunk = last >> IOVA_CHUNK_SHIFT;
	for (zone = 0; zone < IOVA_ZONES; zone++) {
		pool->zone_for[zone] = zone;
		pool->room[zone] = zone_granules(pool, zone);
		most = pool->room[zone] >> IOVA_KEEP_SHIFT;
		if (zone > IOVA_ZONE_UNCACHED) {
			pool->keep_max[zone] = min(most / cpus, INT_MAX);
			if (most / cpus >= IOVA_CHUNK_GRANULES)
				pool->wide_zones |= BIT(zone);
		}
		for (class = 0; class < IOVA_CLASSES; class++)
			INIT_LIST_HEAD(&pool->partial[zone][class]);
	}
}

/**
 * iova_pool_destroy - free all chunks and extents
 * @pool: of an address space that is no longer in use
 *
 * Context: Any.
 */
void iova_pool_destroy(struct iova_pool *pool)
{
	struct llist_node *late, *after;
	struct iova_extent *x, *next;

	llist_for_each_safe(late, after, pool->late)
		kfree(late_extent(late));
	rbtree_postorder_for_each_entry_safe(x, next, &pool->spanning.root,
					     node)
		if (x->kind == IOVA_KIND_SPANNING)
			kfree(x);
	rbtree_postorder_for_each_entry_safe(x, next, &pool->extents.root,
					     node) {
		if (x == &pool->extents.floor || x == &pool->extents.ceiling)
			continue;
		if (x->kind != IOVA_KIND_CHUNK) {
			kfree(x);
			continue;
		}
		kfree(to_chunk(x)->reserved);
		kfree(to_chunk(x));
	}
	xa_destroy(&pool->chunks);
}
