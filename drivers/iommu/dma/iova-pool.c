// SPDX-License-Identifier: GPL-2.0
/*
 * Parking: which chunks there are, and who has them.
 *
 * A CPU owns the chunks that it fills its hands from (iova-space.c). All others are
 * parked, on a list by the length of their longest free run if they have one, and
 * are adopted from there; or, where space is scarce, ranges are taken from them
 * right there. A parked chunk that runs empty goes back to the extents.
 *
 * Anybody frees into any chunk, by clearing bits of @used. To put a parked chunk
 * on another list it needs the space's lock; whoever parks a chunk and whoever
 * frees into it at the same time each look after having written, so one of them
 * sees both and puts the chunk where it belongs:
 *
 *   freeing                        parking
 *   clear bits in used             leave IOVA_CLASS_CPU
 *   full barrier  [E]              full barrier  [F]
 *   read the class                 read used, sort by that
 *
 * A chunk found by address may go any time until something in it has been
 * claimed: RCU keeps the memory, and having interrupts off is a reader.
 */

#include <linux/cleanup.h>
#include <linux/slab.h>

#include "iova-pool.h"

/*
 * Parked chunks to look at on a list. All suit a request whose limit is that of
 * its zone; with another limit some may lie above it, and go to the tail so that
 * the next request sees others.
 */
#define IOVA_PARTIAL_TRIES	16

/* Empty chunks to keep, against giving the same one back again and again */
#define IOVA_EMPTY_MAX		16

/**
 * iova_pool_low - whether requests have to spare addresses
 * @space: address space
 * @zone: of their limit
 *
 * Context: Any.
 * Return: whether more than half of what they can get is taken.
 */
bool iova_pool_low(const struct iova_space *space, unsigned int zone)
{
	static const u8 bits[IOVA_ZONES] = { 24, 28, 30, 32, 36, 40, 48, 64 };
	unsigned long taken = 0, all = space->extents.ceiling.first;
	unsigned int width = bits[zone] - min(bits[zone], space->granule_shift);
	unsigned int z;

	for (z = 0; z <= zone; z++)
		taken += READ_ONCE(space->taken[z]);
	if (width < BITS_PER_LONG)
		all = min(all, BIT(width));
	return taken > all / 2;
}

/**
 * iova_pool_activate_zone - somebody needs addresses in a zone
 * @space: address space
 * @zone: which one
 *
 * A chunk is for requests in the narrowest zone that is needed and holds it, so
 * that those who can do with wider limits do not use up what others have to have;
 * and do use it where there are no others.
 *
 * Context: Any.
 */
void iova_pool_activate_zone(struct iova_space *space, unsigned int zone)
{
	unsigned int z, serve = IOVA_ZONES;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	WRITE_ONCE(space->active_zones, space->active_zones | BIT(zone));
	for (z = IOVA_ZONES; z--; ) {
		if (space->active_zones & BIT(z))
			serve = z;
		WRITE_ONCE(space->zone_for[z], serve < IOVA_ZONES ? serve : z);
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
}

/*
 * Extents, and how much of each zone they take.
 */

/**
 * iova_count_taken - note that an extent comes or goes
 * @space: address space
 * @x: the extent
 * @taken: it comes
 *
 * Context: Any; the caller holds &iova_space.lock.
 */
void iova_count_taken(struct iova_space *space, const struct iova_extent *x,
		      bool taken)
{
	unsigned long size = x->last - x->first + 1;
	unsigned int zone = iova_pool_zone(space, x->last);

	lockdep_assert_held(&space->lock);
	WRITE_ONCE(space->taken[zone],
		   space->taken[zone] + (taken ? size : -size));
}

/**
 * iova_pool_place - iova_extents_place(), counted
 * @space: address space
 * @x: gets its range, and is taken
 * @req: what the range has to satisfy
 *
 * Context: Any; the caller holds &iova_space.lock.
 * Return: false if there is no room.
 */
bool iova_pool_place(struct iova_space *space, struct iova_extent *x,
		     const struct iova_request *req)
{
	if (!iova_extents_place(&space->extents, x, req))
		return false;
	iova_count_taken(space, x, true);
	return true;
}

/**
 * iova_pool_erase - iova_extents_erase(), counted
 * @space: address space
 * @x: the extent
 *
 * Context: Any; the caller holds &iova_space.lock.
 */
void iova_pool_erase(struct iova_space *space, struct iova_extent *x)
{
	iova_count_taken(space, x, false);
	iova_extents_erase(&space->extents, x);
}

static void chunk_unlist(struct iova_space *space, struct iova_chunk *c)
{
	lockdep_assert_held(&space->lock);
	if (c->class == IOVA_CLASS_FULL)
		return;
	list_del(&c->list);
	if (c->class == IOVA_CLASS_CPU)
		WRITE_ONCE(space->nr_cpu_chunks, space->nr_cpu_chunks - 1);
	else if (list_empty(&space->partial[c->zone][c->class]))
		WRITE_ONCE(space->classes[c->zone],
			   space->classes[c->zone] & ~BIT(c->class));
	space->nr_empty -= c->class == IOVA_CLASS_EMPTY;
}

static void chunk_to_cpu(struct iova_space *space, struct iova_chunk *c)
{
	lockdep_assert_held(&space->lock);
	list_add_tail(&c->list, &space->cpu_chunks);
	WRITE_ONCE(space->nr_cpu_chunks, space->nr_cpu_chunks + 1);
	WRITE_ONCE(c->class, IOVA_CLASS_CPU);
}

/* Nothing of @c is in use. Return: whether it can go. */
static bool chunk_kill(struct iova_chunk *c)
{
	return !c->reserved &&
	       atomic_cmpxchg(&c->queued, 0, IOVA_QUEUED_DEAD) == 0;
}

/* @c, which waits for no flush, is on its way out; see iova_pool_reap(). */
static void chunk_die(struct iova_space *space, struct iova_chunk *c)
{
	WRITE_ONCE(c->class, IOVA_CLASS_NONE);
	llist_add(&c->extent.retired[0], &space->dying);
}

/* Put @c, which is on no list, on the list of its class, first or last. */
static void put_partial(struct iova_space *space, struct iova_chunk *c,
			bool tail)
{
	u8 class;

	lockdep_assert_held(&space->lock);
	/* Whoever frees from now on waits for the lock to have a look. */
	WRITE_ONCE(c->class, IOVA_CLASS_FULL);
	smp_mb(); /* [F] pairs with [E] in chunk_clear_bits() */
	class = iova_chunk_class(c);
	if (class == IOVA_CLASS_EMPTY && space->nr_empty >= IOVA_EMPTY_MAX &&
	    chunk_kill(c)) {
		chunk_die(space, c);
		return;
	}
	if (class < IOVA_CLASSES) {
		if (tail)
			list_add_tail(&c->list,
				      &space->partial[c->zone][class]);
		else
			list_add(&c->list, &space->partial[c->zone][class]);
		WRITE_ONCE(space->classes[c->zone],
			   space->classes[c->zone] | BIT(class));
	}
	space->nr_empty += class == IOVA_CLASS_EMPTY;
	WRITE_ONCE(c->class, class);
}

/* @c is IOVA_CLASS_NONE: on no list, owned by nobody, without a range. */
static void chunk_destroy(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;

	/* The index first, so that whoever takes the place finds it empty. */
	xa_lock_irqsave(&space->chunks, flags);
	__xa_erase(&space->chunks, c->extent.first >> IOVA_CHUNK_SHIFT);
	xa_unlock_irqrestore(&space->chunks, flags);

	raw_spin_lock_irqsave(&space->lock, flags);
	iova_pool_erase(space, &c->extent);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	kfree_rcu(c, rcu);
}

/**
 * iova_pool_reap_all - see iova_pool_reap()
 * @space: address space
 *
 * Context: Any that may take a spinlock, on PREEMPT_RT also.
 */
void iova_pool_reap_all(struct iova_space *space)
{
	struct llist_node *node = llist_del_all(&space->dying), *next;

	for (; node; node = next) {
		next = node->next;
		chunk_destroy(space, container_of(node, struct iova_chunk,
						  extent.retired[0]));
	}
}

/**
 * iova_pool_sort - have a chunk on the right list
 * @space: address space
 * @c: a chunk of which granules became free; may be anybody's, or gone
 *
 * Context: Any; a reader of RCU since before they became free. The caller ends
 * with iova_pool_reap().
 */
void iova_pool_sort(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	/* Adopted in between: then it has a better place than a list. */
	if (c->class != IOVA_CLASS_CPU && c->class != IOVA_CLASS_NONE) {
		chunk_unlist(space, c);
		put_partial(space, c, false);
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
}

/**
 * iova_pool_put_partial - give up ownership of a chunk
 * @space: address space
 * @c: the chunk
 *
 * Context: Any. The caller ends with iova_pool_reap().
 */
void iova_pool_put_partial(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	chunk_unlist(space, c);
	put_partial(space, c, false);
	raw_spin_unlock_irqrestore(&space->lock, flags);
}

static int chunk_index(struct iova_space *space, struct iova_chunk *c)
{
	unsigned long flags;
	void *err;

	xa_lock_irqsave(&space->chunks, flags);
	err = __xa_store(&space->chunks, c->extent.first >> IOVA_CHUNK_SHIFT, c,
			 IOVA_GFP);
	xa_unlock_irqrestore(&space->chunks, flags);
	return xa_is_err(err) ? -ENOMEM : 0;
}

/**
 * iova_pool_create_chunk - make a chunk
 * @space: address space
 * @limit: its last granule is at most this
 *
 * Context: Any.
 * Return: a chunk that the caller owns; or NULL without room or memory.
 */
struct iova_chunk *iova_pool_create_chunk(struct iova_space *space,
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
	placed = iova_pool_place(space, &c->extent, &req);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	if (!placed) {
		kfree(c);
		return NULL;
	}
	c->zone = iova_pool_zone(space, c->extent.last);
	if (chunk_index(space, c)) {
		chunk_destroy(space, c);
		return NULL;
	}
	raw_spin_lock_irqsave(&space->lock, flags);
	chunk_to_cpu(space, c);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return c;
}

static struct iova_chunk *partial_from(struct iova_space *space,
				       struct list_head *list,
				       unsigned long limit)
{
	struct iova_chunk *c;
	unsigned int tries;

	lockdep_assert_held(&space->lock);
	for (tries = IOVA_PARTIAL_TRIES; tries && !list_empty(list); tries--) {
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
static struct iova_chunk *get_partial(struct iova_space *space,
				      unsigned int zone, unsigned int class,
				      unsigned long limit)
{
	unsigned long classes = space->classes[zone];
	struct iova_chunk *c = NULL;

	lockdep_assert_held(&space->lock);
	for_each_set_bit_from(class, &classes, IOVA_CLASSES) {
		c = partial_from(space, &space->partial[zone][class], limit);
		if (c)
			break;
	}
	return c;
}

/**
 * iova_pool_get_partial - become the owner of a parked chunk
 * @space: address space
 * @zone: of the chunk
 * @class: lowest that will do
 * @limit: its last granule is at most this
 *
 * Context: Any.
 * Return: the chunk, the tightest that will do; or NULL.
 */
struct iova_chunk *iova_pool_get_partial(struct iova_space *space,
					 unsigned int zone, unsigned int class,
					 unsigned long limit)
{
	struct iova_chunk *c;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->lock, flags);
	c = get_partial(space, zone, class, limit);
	if (c)
		chunk_to_cpu(space, c);
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return c;
}

static void shrink_zone(struct iova_space *space, unsigned int zone)
{
	struct iova_chunk *c, *next;

	lockdep_assert_held(&space->lock);
	list_for_each_entry_safe(
		c, next, &space->partial[zone][IOVA_CLASS_EMPTY], list) {
		if (!chunk_kill(c))
			continue;
		chunk_unlist(space, c);
		chunk_die(space, c);
	}
}

/**
 * iova_pool_shrink - give the empty chunks back to the extents
 * @space: address space
 *
 * Context: Any.
 * Return: whether there was one.
 */
bool iova_pool_shrink(struct iova_space *space)
{
	unsigned int zone;

	scoped_guard(raw_spinlock_irqsave,
		     &space->lock) for (zone = 0; zone < IOVA_ZONES; zone++)
		shrink_zone(space, zone);
	return iova_pool_reap(space);
}

/**
 * iova_pool_take - take a range of a chunk that stays parked
 * @space: address space
 * @zone: of the chunk
 * @class: lowest that will do
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any.
 * Return: false if there is none.
 */
bool iova_pool_take(struct iova_space *space, unsigned int zone,
		    unsigned int class, const struct iova_request *req,
		    struct iova_range *range)
{
	struct iova_chunk *c;
	unsigned long flags;
	bool taken = false;

	raw_spin_lock_irqsave(&space->lock, flags);
	c = get_partial(space, zone, class, req->limit);
	if (c) {
		taken = iova_chunk_take(c, req, range);
		put_partial(space, c, false);
	}
	raw_spin_unlock_irqrestore(&space->lock, flags);
	return taken;
}

/**
 * iova_pool_take_tight - take a range of a parked chunk that may have a place
 * @space: address space
 * @zone: of the chunk
 * @class: of the chunk
 * @req: what the range has to satisfy
 * @range: where to store it
 * @tries: chunks to look at, counted down
 *
 * For 16 granules of which a multiple of 16 is the first, say, only a run of 31
 * has a place for certain, but one of 16 may have it.
 *
 * Context: Any.
 * Return: false if none has been found.
 */
bool iova_pool_take_tight(struct iova_space *space, unsigned int zone,
			  unsigned int class, const struct iova_request *req,
			  struct iova_range *range, unsigned int *tries)
{
	struct iova_chunk *c, *first = NULL;
	bool taken = false, more = true;
	unsigned long flags;

	for (; *tries && more && !taken; --*tries) {
		raw_spin_lock_irqsave(&space->lock, flags);
		c = list_first_entry_or_null(&space->partial[zone][class],
					     struct iova_chunk, list);
		more = c && c != first;
		if (more) {
			taken = iova_chunk_take(c, req, range);
			/* Behind the others, whether it had a place */
			chunk_unlist(space, c);
			put_partial(space, c, true);
		}
		raw_spin_unlock_irqrestore(&space->lock, flags);
		if (!first)
			first = c;
	}
	return taken;
}

/**
 * iova_pool_take_cpu - take a range of a chunk that somebody owns
 * @space: address space
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * For when there is no chunk to be had. A step per CPU.
 *
 * Context: Any.
 * Return: false if there is none.
 */
bool iova_pool_take_cpu(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int tries = READ_ONCE(space->nr_cpu_chunks);
	struct iova_chunk *c;
	bool taken = false;

	while (!taken && tries--) {
		scoped_guard(raw_spinlock_irqsave, &space->lock) {
			if (list_empty(&space->cpu_chunks))
				return false;
			c = list_first_entry(&space->cpu_chunks,
					     struct iova_chunk, list);
			list_move_tail(&c->list, &space->cpu_chunks);
			taken = iova_chunk_take(c, req, range);
		}
	}
	return taken;
}
