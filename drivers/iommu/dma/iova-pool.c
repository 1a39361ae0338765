// SPDX-License-Identifier: GPL-2.0
/*
 * The pool: which chunks and extents an address space has, and who has them.
 *
 * A CPU has the chunks that it refills its cache from (iova-space.c). A chunk that
 * no CPU has is partial if it has free granules: it is on a list by the length of
 * its longest free run, and a CPU that needs a chunk takes it from there. Where
 * space is scarce, ranges are taken from partial chunks right there. A partial
 * chunk without a used granule goes back to the extents.
 *
 * Anybody frees into any chunk, by clearing bits of @used. Moving a chunk to
 * another list takes the pool's lock. If one frees into a chunk while another puts
 * it on a list, each looks after having written, so one of them sees both and puts
 * the chunk where it belongs:
 *
 *   freeing                        putting on a list
 *   clear bits in used             leave IOVA_CLASS_CPU
 *   full barrier  [E]              full barrier  [F]
 *   read the class                 read used, sort by that
 *
 * A chunk found by address may go any time until something in it has been
 * claimed: RCU keeps the memory, and having interrupts off is a reader.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/slab.h>

#include "iova-pool.h"

/*
 * Partial chunks to look at on a list. All suit a request whose limit is that of
 * its zone. With another limit some may lie above it, and go to the tail so that
 * the next request sees others.
 */
#define IOVA_PARTIAL_TRIES	16

/* Empty chunks to keep, so that the same one is not given back again and again */
#define IOVA_EMPTY_MAX		16

/**
 * iova_pool_low - whether requests have to spare addresses
 * @pool: of the address space
 * @zone: of their limit
 *
 * Context: Any.
 * Return: whether more than half of what they can get is taken.
 */
bool iova_pool_low(const struct iova_pool *pool, unsigned int zone)
{
	static const u8 bits[IOVA_ZONES] = { 24, 28, 30, 32, 36, 40, 48, 64 };
	unsigned long taken = 0, all = pool->extents.ceiling.first;
	unsigned int width = bits[zone] - min(bits[zone], pool->granule_shift);
	unsigned int z;

	for (z = 0; z <= zone; z++)
		taken += READ_ONCE(pool->taken[z]);
	if (width < BITS_PER_LONG)
		all = min(all, BIT(width));
	return taken > all / 2;
}

/**
 * iova_pool_activate_zone - somebody needs addresses in a zone
 * @pool: of the address space
 * @zone: which one
 *
 * A chunk is for requests in the narrowest active zone that holds it. So who can do
 * with wider limits does not use up what others have to have, and does use it where
 * there are no others.
 *
 * Context: Any.
 */
void iova_pool_activate_zone(struct iova_pool *pool, unsigned int zone)
{
	unsigned int z, narrowest = IOVA_ZONES;

	guard(raw_spinlock_irqsave)(&pool->lock);
	WRITE_ONCE(pool->active_zones, pool->active_zones | BIT(zone));
	for (z = IOVA_ZONES; z--; ) {
		if (pool->active_zones & BIT(z))
			narrowest = z;
		WRITE_ONCE(pool->zone_for[z],
			   narrowest < IOVA_ZONES ? narrowest : z);
	}
}

/*
 * Extents, and how much of each zone they take.
 */

static void count_taken(struct iova_pool *pool, const struct iova_extent *x)
{
	unsigned int zone = iova_pool_zone(pool, x->last);

	lockdep_assert_held(&pool->lock);
	WRITE_ONCE(pool->taken[zone],
		   pool->taken[zone] + (x->last - x->first + 1));
}

static void count_freed(struct iova_pool *pool, const struct iova_extent *x)
{
	unsigned int zone = iova_pool_zone(pool, x->last);

	lockdep_assert_held(&pool->lock);
	WRITE_ONCE(pool->taken[zone],
		   pool->taken[zone] - (x->last - x->first + 1));
}

/**
 * iova_pool_insert - iova_extents_insert(), counted
 * @pool: of the address space
 * @x: to be taken
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
 * iova_pool_place - iova_extents_place(), counted
 * @pool: of the address space
 * @x: gets its range, and is taken
 * @req: what the range has to satisfy
 *
 * Context: Any; the caller holds &iova_pool.lock.
 * Return: false if there is no room.
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
 * iova_pool_erase - iova_extents_erase(), counted
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

static void chunk_unlist(struct iova_pool *pool, struct iova_chunk *c)
{
	lockdep_assert_held(&pool->lock);
	if (c->class == IOVA_CLASS_FULL)
		return;
	list_del(&c->list);
	if (c->class == IOVA_CLASS_CPU)
		WRITE_ONCE(pool->nr_cpu_chunks, pool->nr_cpu_chunks - 1);
	else if (list_empty(&pool->partial[c->zone][c->class]))
		WRITE_ONCE(pool->classes[c->zone],
			   pool->classes[c->zone] & ~BIT(c->class));
	pool->nr_empty -= c->class == IOVA_CLASS_EMPTY;
}

static void chunk_to_cpu(struct iova_pool *pool, struct iova_chunk *c)
{
	lockdep_assert_held(&pool->lock);
	list_add_tail(&c->list, &pool->cpu_chunks);
	WRITE_ONCE(pool->nr_cpu_chunks, pool->nr_cpu_chunks + 1);
	WRITE_ONCE(c->class, IOVA_CLASS_CPU);
}

/* Nothing of @c is in use. Return: whether it can go. */
static bool chunk_kill(struct iova_chunk *c)
{
	return !c->reserved &&
	       atomic_cmpxchg(&c->queued, 0, IOVA_QUEUED_DEAD) == 0;
}

/* @c, which waits for no flush, is on its way out; see iova_pool_reap(). */
static void chunk_die(struct iova_pool *pool, struct iova_chunk *c)
{
	WRITE_ONCE(c->class, IOVA_CLASS_NONE);
	llist_add(&c->extent.retired[0], &pool->dying);
}

/* Class @c, which is on no list; return the list to put it on, if any. */
static struct list_head *classify(struct iova_pool *pool, struct iova_chunk *c)
{
	u8 class;

	lockdep_assert_held(&pool->lock);
	/* Whoever frees from now on waits for the lock to have a look. */
	WRITE_ONCE(c->class, IOVA_CLASS_FULL);
	smp_mb(); /* [F] pairs with [E] in chunk_clear_bits() */
	class = iova_chunk_class(c);
	if (class == IOVA_CLASS_EMPTY && pool->nr_empty >= IOVA_EMPTY_MAX &&
	    chunk_kill(c)) {
		chunk_die(pool, c);
		return NULL;
	}
	WRITE_ONCE(c->class, class);
	if (class >= IOVA_CLASSES)
		return NULL;
	pool->nr_empty += class == IOVA_CLASS_EMPTY;
	WRITE_ONCE(pool->classes[c->zone], pool->classes[c->zone] | BIT(class));
	return &pool->partial[c->zone][class];
}

static void put_partial(struct iova_pool *pool, struct iova_chunk *c)
{
	struct list_head *list = classify(pool, c);

	if (list)
		list_add(&c->list, list);
}

/* The same, behind the others, so that these are looked at first */
static void put_partial_tail(struct iova_pool *pool, struct iova_chunk *c)
{
	struct list_head *list = classify(pool, c);

	if (list)
		list_add_tail(&c->list, list);
}

/* @c is IOVA_CLASS_NONE: on no list, owned by nobody, without a range. */
static void chunk_destroy(struct iova_pool *pool, struct iova_chunk *c)
{
	unsigned long flags;

	/* The index first, so that whoever takes the place finds it empty. */
	xa_lock_irqsave(&pool->chunks, flags);
	__xa_erase(&pool->chunks, c->extent.first >> IOVA_CHUNK_SHIFT);
	xa_unlock_irqrestore(&pool->chunks, flags);

	scoped_guard(raw_spinlock_irqsave, &pool->lock)
		iova_pool_erase(pool, &c->extent);
	kfree_rcu(c, rcu);
}

/**
 * iova_pool_reap_all - see iova_pool_reap()
 * @pool: of the address space
 *
 * Context: Any that may take a spinlock, on PREEMPT_RT also.
 */
void iova_pool_reap_all(struct iova_pool *pool)
{
	struct llist_node *node = llist_del_all(&pool->dying), *next;

	for (; node; node = next) {
		next = node->next;
		chunk_destroy(pool, container_of(node, struct iova_chunk,
						 extent.retired[0]));
	}
}

/**
 * iova_pool_sort - have a chunk on the right list
 * @pool: of the address space
 * @c: a chunk of which granules became free; may be anybody's, or gone
 *
 * Context: Any; a reader of RCU since before they became free. The caller ends
 * with iova_pool_reap().
 */
void iova_pool_sort(struct iova_pool *pool, struct iova_chunk *c)
{
	guard(raw_spinlock_irqsave)(&pool->lock);
	/* Adopted in between: then it has a better place than a list. */
	if (c->class != IOVA_CLASS_CPU && c->class != IOVA_CLASS_NONE) {
		chunk_unlist(pool, c);
		put_partial(pool, c);
	}
}

/**
 * iova_pool_put_partial - give up ownership of a chunk
 * @pool: of the address space
 * @c: the chunk
 *
 * Context: Any. The caller ends with iova_pool_reap().
 */
void iova_pool_put_partial(struct iova_pool *pool, struct iova_chunk *c)
{
	guard(raw_spinlock_irqsave)(&pool->lock);
	chunk_unlist(pool, c);
	put_partial(pool, c);
}

static int chunk_index(struct iova_pool *pool, struct iova_chunk *c)
{
	unsigned long flags;
	void *err;

	xa_lock_irqsave(&pool->chunks, flags);
	err = __xa_store(&pool->chunks, c->extent.first >> IOVA_CHUNK_SHIFT, c,
			 IOVA_GFP);
	xa_unlock_irqrestore(&pool->chunks, flags);
	return xa_is_err(err) ? -ENOMEM : 0;
}

/**
 * iova_pool_create_chunk - make a chunk
 * @pool: of the address space
 * @limit: its last granule is at most this
 *
 * Context: Any.
 * Return: a chunk that the caller owns; or NULL without room or memory.
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
	bool placed = false;

	if (limit < IOVA_CHUNK_GRANULES - 1)
		return NULL;
	c = kzalloc(sizeof(*c), IOVA_GFP);
	if (!c)
		return NULL;
	c->extent.kind = IOVA_KIND_CHUNK;

	c->class = IOVA_CLASS_NONE;
	scoped_guard(raw_spinlock_irqsave, &pool->lock)
		placed = iova_pool_place(pool, &c->extent, &req);
	if (!placed) {
		kfree(c);
		return NULL;
	}
	c->zone = iova_pool_zone(pool, c->extent.last);
	if (chunk_index(pool, c)) {
		chunk_destroy(pool, c);
		return NULL;
	}
	scoped_guard(raw_spinlock_irqsave, &pool->lock)
		chunk_to_cpu(pool, c);
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

/* Take a parked chunk with a place for @class off its list: the tightest. */
static struct iova_chunk *get_partial(struct iova_pool *pool,
				      unsigned int zone, unsigned int class,
				      unsigned long limit)
{
	unsigned long classes = pool->classes[zone];
	struct iova_chunk *c = NULL;

	lockdep_assert_held(&pool->lock);
	for_each_set_bit_from(class, &classes, IOVA_CLASSES) {
		c = partial_from(pool, &pool->partial[zone][class], limit);
		if (c)
			break;
	}
	return c;
}

/**
 * iova_pool_get_partial - become the owner of a parked chunk
 * @pool: of the address space
 * @zone: of the chunk
 * @class: lowest that will do
 * @limit: its last granule is at most this
 *
 * Context: Any.
 * Return: the chunk, the tightest that will do; or NULL.
 */
struct iova_chunk *iova_pool_get_partial(struct iova_pool *pool,
					 unsigned int zone, unsigned int class,
					 unsigned long limit)
{
	struct iova_chunk *c;

	guard(raw_spinlock_irqsave)(&pool->lock);
	c = get_partial(pool, zone, class, limit);
	if (c)
		chunk_to_cpu(pool, c);
	return c;
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
 * iova_pool_shrink - give the empty chunks back to the extents
 * @pool: of the address space
 *
 * Context: Any.
 * Return: whether there was one.
 */
bool iova_pool_shrink(struct iova_pool *pool)
{
	unsigned int zone;

	scoped_guard(raw_spinlock_irqsave, &pool->lock)
		for (zone = 0; zone < IOVA_ZONES; zone++)
			shrink_zone(pool, zone);
	return iova_pool_reap(pool);
}

/**
 * iova_pool_take - take a range of a chunk that stays parked
 * @pool: of the address space
 * @zone: of the chunk
 * @class: lowest that will do
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any.
 * Return: false if there is none.
 */
bool iova_pool_take(struct iova_pool *pool, unsigned int zone,
		    unsigned int class, const struct iova_request *req,
		    struct iova_range *range)
{
	struct iova_chunk *c;
	bool taken = false;

	guard(raw_spinlock_irqsave)(&pool->lock);
	c = get_partial(pool, zone, class, req->limit);
	if (c) {
		taken = iova_chunk_take(c, req, range);
		put_partial(pool, c);
	}
	return taken;
}

/**
 * iova_pool_take_tight - take a range of a parked chunk that may have a place
 * @pool: of the address space
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
bool iova_pool_take_tight(struct iova_pool *pool, unsigned int zone,
			  unsigned int class, const struct iova_request *req,
			  struct iova_range *range, unsigned int *tries)
{
	struct iova_chunk *c, *first = NULL;
	bool taken = false, more = true;

	for (; *tries && more && !taken; --*tries) {
		guard(raw_spinlock_irqsave)(&pool->lock);
		c = list_first_entry_or_null(&pool->partial[zone][class],
					     struct iova_chunk, list);
		more = c && c != first;
		if (more) {
			taken = iova_chunk_take(c, req, range);
			/* Behind the others, whether it had a place or not */
			chunk_unlist(pool, c);
			put_partial_tail(pool, c);
		}
		if (!first)
			first = c;
	}
	return taken;
}

/**
 * iova_pool_take_cpu - take a range of a chunk that somebody owns
 * @pool: of the address space
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * For when there is no chunk to be had. A step per CPU.
 *
 * Context: Any.
 * Return: false if there is none.
 */
bool iova_pool_take_cpu(struct iova_pool *pool,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int tries = READ_ONCE(pool->nr_cpu_chunks);
	struct iova_chunk *c;
	bool taken = false;

	while (!taken && tries--) {
		scoped_guard(raw_spinlock_irqsave, &pool->lock) {
			if (list_empty(&pool->cpu_chunks))
				return false;
			c = list_first_entry(&pool->cpu_chunks,
					     struct iova_chunk, list);
			list_move_tail(&c->list, &pool->cpu_chunks);
			taken = iova_chunk_take(c, req, range);
		}
	}
	return taken;
}

/* The longest range of a partial chunk below @limit, about */
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
 * iova_pool_largest - the longest range that could be handed out
 * @pool: of the address space
 * @limit: its last granule at most
 *
 * For reports: chunks that CPUs have are not counted.
 *
 * Context: Any.
 * Return: granules.
 */
unsigned long iova_pool_largest(struct iova_pool *pool, unsigned long limit)
{
	unsigned long least = 0, most, size;

	most = min(limit, pool->extents.ceiling.first - 1);
	while (least < most) {
		size = least + (most - least + 1) / 2;
		guard(raw_spinlock_irqsave)(&pool->lock);
		if (iova_extents_have_gap(&pool->extents, size, limit))
			least = size;
		else
			most = size - 1;
	}
	guard(raw_spinlock_irqsave)(&pool->lock);
	return max(least, partial_largest(pool, limit));
}
EXPORT_SYMBOL_IF_KUNIT(iova_pool_largest);

/**
 * iova_pool_init - set up with nothing taken
 * @pool: of the address space; all zero
 * @first: lowest granule that may be handed out, at least 1
 * @last: highest granule that may be handed out, below ULONG_MAX
 * @granule_shift: log2 of the granule in bytes
 *
 * Context: Any.
 */
void iova_pool_init(struct iova_pool *pool, unsigned long first,
		    unsigned long last, unsigned int granule_shift)
{
	unsigned int zone, class;

	raw_spin_lock_init(&pool->lock);
	iova_extents_init(&pool->extents, first, last);
	xa_init_flags(&pool->chunks, XA_FLAGS_LOCK_IRQ);
	for (zone = 0; zone < IOVA_ZONES; zone++) {
		pool->zone_for[zone] = zone;
		for (class = 0; class < IOVA_CLASSES; class++)
			INIT_LIST_HEAD(&pool->partial[zone][class]);
	}
	INIT_LIST_HEAD(&pool->cpu_chunks);
	pool->granule_shift = granule_shift;
}

/**
 * iova_pool_destroy - free all chunks and extents
 * @pool: of an address space that nobody uses any more
 *
 * Context: Any.
 */
void iova_pool_destroy(struct iova_pool *pool)
{
	struct iova_extent *x, *next;

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
