// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * There are two levels. Extents are the taken parts of the space
 * (iova-extents.c): a reserved region, one large range, or a chunk. Small
 * ranges come out of chunks (iova-chunk.c). A CPU chunk belongs to one CPU; all
 * other chunks are partial or full (iova-pool.c).
 *
 * The life of a range, and what a chunk records of it:
 *
 *   iova_space_alloc()   -> used + size          the caller maps it
 *   iova_space_claim()   -> used                 exactly one caller unmaps it
 *   iova_space_release() -> free                 at once, or
 *   iova_space_retire()  -> used + dirty[epoch]  until iova_space_recycle() of
 *                                                that epoch
 *
 * A claim takes the size with one atomic exchange, so exactly one of several
 * callers succeeds. A wrong unmap finds no size and has cleared nothing.
 *
 * Each CPU has free granules to itself (iova-cpu.c), which are marked used in
 * their chunks. A request that they cannot serve gets a partial chunk for the
 * CPU or creates a new one. Before a request is refused, everything is searched
 * (iova-spanning.c), and then once more with all CPUs drained. A CPU that goes
 * offline gives back what it has.
 *
 * A chunk with dirty granules is on the list of their epoch. It must not be
 * freed while it is on a list, and no dirty granule may be forgotten:
 *
 *   retiring                       recycling                 destroying
 *   set bits in dirty              clear the queued bit      used is empty
 *   full barrier  [G]              full barrier  [H]         queued: 0 -> dead,
 *   set the queued bit; if it      take the bits of dirty    or keep the chunk
 *     was clear and the chunk
 *     is not dead: put it on
 *     the list
 *
 * Each operation takes O(log n) steps, but for a request that no certain place
 * is found for: it looks at all extents below its limit, and before it is
 * refused at all CPUs, and at all extents again. Claiming and freeing never
 * allocate memory or fail. Only iova_space_init(), iova_space_destroy() and
 * iova_space_reserve() sleep.
 */

#include <kunit/visibility.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/lockdep.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "iova-cpu.h"
#include "iova-space.h"
#include "iova-spanning.h"

/*
 * Chunks strand space: one small range keeps the rest of its chunk from larger
 * requests. Where more than half of the space is taken, requests for more
 * granules than this, which CPUs do not cache, come out of chunks only when
 * nothing else is left.
 */
#define IOVA_SMALL_LOW		IOVA_WORD

/* Most chunks to try that may have a place, or not */
#define IOVA_CHANCES		4

/* This CPU's cache, with its lock held and interrupts off, until cpu_put() */
static __always_inline struct iova_cpu *cpu_get(struct iova_space *space,
						unsigned long *flags)
	__acquires(&space->cpu->lock)
{
	struct iova_cpu *cpu;

	local_irq_save(*flags);
	cpu = this_cpu_ptr(space->cpu);
	raw_spin_lock(&cpu->lock);
	return cpu;
}

static __always_inline void cpu_put(struct iova_cpu *cpu, unsigned long flags)
	__releases(&cpu->lock)
{
	raw_spin_unlock(&cpu->lock);
	local_irq_restore(flags);
}

/*
 * Allocating.
 */

/*
 * Whether a range for @req can be in the cache of a CPU: no range within a word
 * crosses a boundary of at least a word.
 */
static __always_inline bool fits_in_word(const struct iova_request *req)
{
	return req->size - 1 < IOVA_WORD && req->boundary - 1 >= IOVA_WORD - 1;
}

static noinline bool cpu_alloc(struct iova_space *space, struct iova_cpu *cpu,
			       unsigned int zone,
			       const struct iova_request *req,
			       struct iova_range *range)
{
	lockdep_assert_held(&cpu->lock);
	return iova_cpu_alloc(&space->pool, cpu, zone, req, range) ||
	       iova_cpu_alloc_chunk(&space->pool, cpu, zone, req, range);
}

static bool alloc_from_cpu(struct iova_space *space, unsigned int zone,
			   const struct iova_request *req,
			   struct iova_range *range)
{
	unsigned long flags;
	struct iova_cpu *cpu = cpu_get(space, &flags);
	bool taken = cpu_alloc(space, cpu, zone, req, range);

	cpu_put(cpu, flags);
	return taken;
}

/* Make @c, a new CPU chunk, the one of this CPU, and allocate from it. */
static bool alloc_install(struct iova_space *space, struct iova_chunk *c,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range)
{
	unsigned long flags;
	struct iova_cpu *cpu = cpu_get(space, &flags);
	struct iova_chunk *old;
	bool taken;

	old = iova_cpu_install(cpu, zone, c);
	taken = iova_cpu_alloc_chunk(&space->pool, cpu, zone, req, range);
	cpu_put(cpu, flags);
	if (old)
		iova_pool_put_partial(&space->pool, old);
	return taken;
}

/*
 * Put the CPU chunk back: what has been freed in it since its words were looked at is
 * found again as that of any other chunk.
 */
static void put_chunk(struct iova_space *space, unsigned int zone)
{
	unsigned long flags;
	struct iova_cpu *cpu = cpu_get(space, &flags);
	struct iova_chunk *old = iova_cpu_install(cpu, zone, NULL);

	cpu_put(cpu, flags);
	if (old)
		iova_pool_put_partial(&space->pool, old);
}

static bool alloc_gather(struct iova_space *space, unsigned int z, u32 classes,
			 const struct iova_request *req,
			 struct iova_range *range)
{
	unsigned long flags;
	struct iova_cpu *cpu = cpu_get(space, &flags);
	bool taken;

	taken = iova_cpu_gather(&space->pool, cpu, z, classes, req, range);
	cpu_put(cpu, flags);
	return taken;
}

/* Allocate from a partial chunk of zone @z for a limit in @zone. */
static bool alloc_zone(struct iova_space *space, unsigned int z,
		       unsigned int zone, const struct iova_request *req,
		       struct iova_range *range)
{
	bool wide = space->pool.wide_zones & BIT(zone);
	u32 classes = iova_request_classes(req), many = 0;
	struct iova_chunk *c;

	if (!(READ_ONCE(space->pool.classes[z]) & classes))
		return false;
	/*
	 * Where CPUs have no chunks, they keep ranges of any; and for longer ranges, few
	 * of which are in one chunk, it pays to look at several.
	 */
	if (req->size <= IOVA_WORD)
		many = wide && req->size <= IOVA_WORD / 2 ?
		       classes & IOVA_FRAGMENTS : classes;
	if (many && alloc_gather(space, z, many, req, range))
		return true;
	if (!wide)
		return iova_pool_take(&space->pool, z, classes, req, range);
	c = iova_pool_get_partial(&space->pool, z, classes, req->limit);
	return c && alloc_install(space, c, zone, req, range);
}

/*
 * Try a few chunks of zone @z that may have a place, of each class in turn, the longest runs
 * first. One that has none goes behind all others of its class.
 */
static bool alloc_chance(struct iova_space *space, unsigned int z,
			 const struct iova_request *req,
			 struct iova_range *range)
{
	unsigned long all = READ_ONCE(space->pool.classes[z]) &
			    iova_request_chances(req);
	unsigned int tries = IOVA_CHANCES, class;
	unsigned long left = all;

	/* In turn, as those of a class are likely to be alike. */
	while (left && tries--) {
		class = __fls(left);
		if (alloc_gather(space, z, BIT(class), req, range))
			return true;
		left = left & ~BIT(class) ?: all;
	}
	return false;
}

static bool alloc_new(struct iova_space *space, unsigned int zone,
		      const struct iova_request *req, struct iova_range *range)
{
	struct iova_chunk *c = iova_pool_create_chunk(&space->pool, req->limit);
	bool taken;

	if (!c)
		return false;
	if (space->pool.wide_zones & BIT(zone))
		return alloc_install(space, c, zone, req, range);
	taken = iova_chunk_take(c, req, range);
	iova_pool_put_partial(&space->pool, c);
	return taken;
}

static void space_drain(struct iova_space *space)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		iova_cpu_drain(&space->pool, per_cpu_ptr(space->cpu, cpu));
		iova_pool_reap(&space->pool);
	}
}

static bool alloc_small(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int zone = iova_pool_zone(&space->pool, req->limit);
	int z;

	if (space->pool.wide_zones & BIT(zone))
		put_chunk(space, zone);
	/*
	 * First a partial chunk that no narrower zone needs, then a new chunk,
	 * then any partial chunk
	 */
	for (z = zone; z >= 0; z--)
		if (iova_pool_serves(&space->pool, z, zone) &&
		    (alloc_zone(space, z, zone, req, range) ||
		     alloc_chance(space, z, req, range)))
			return true;
	if (alloc_new(space, zone, req, range))
		return true;
	for (z = zone; z >= 0; z--)
		if (alloc_zone(space, z, zone, req, range))
			return true;
	return false;
}

static bool alloc_large(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	struct iova_extent *x = xchg(&space->spare, NULL);
	unsigned long flags, nr_erased;
	unsigned int tries = 2;
	bool placed;

	if (!x)
		x = kmalloc(sizeof(*x), IOVA_GFP);
	if (!x)
		return false;
	*x = (struct iova_extent) { .kind = IOVA_KIND_LARGE, .mapped = true };
	do {
		raw_spin_lock_irqsave(&space->pool.lock, flags);
		placed = iova_pool_place(&space->pool, x, req);
		nr_erased = space->pool.nr_erased;
		raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	} while (!placed && --tries &&
		 iova_pool_shrink(&space->pool, nr_erased));
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

/*
 * Take as many granules for a range as the next power of two, so that the order
 * in which ranges of different sizes come and go makes no difference. Where
 * addresses are short that would be a waste.
 */
static __always_inline void take_rounded(struct iova_space *space,
					 unsigned int zone,
					 struct iova_request *req)
{
	unsigned int size = req->size;

	if (iova_pool_low(&space->pool, zone) ||
	    atomic_read(&space->pool.nr_short))
		return;
	req->size = roundup_pow_of_two(size);
	req->spare = req->size - size;
}

/* @small: @req as a request for a chunk, or NULL if it does not fit in one */
static bool alloc_any(struct iova_space *space, const struct iova_request *req,
		      const struct iova_request *small,
		      struct iova_range *range)
{
	/*
	 * Larger requests try chunks last while the zone is low. A soft request
	 * need not, as its caller has another limit to try.
	 */
	bool last = small && req->size > IOVA_SMALL_LOW && !req->soft &&
		    iova_pool_low(&space->pool, iova_pool_zone(&space->pool, req->limit));

	return (small && !last && alloc_small(space, small, range)) ||
	       alloc_large(space, req, range) ||
	       (last && alloc_small(space, small, range));
}

static bool alloc_long(struct iova_space *space, const struct iova_request *req,
		       struct iova_range *range)
{
	struct iova_request of_chunk = *req, rounded, *small = NULL;
	unsigned int zone;
	bool taken;

	if (!req->size || req->size - 1 > req->limit ||
	    (req->boundary && req->size > req->boundary))
		return false;
	if (req->size <= IOVA_SMALL_MAX && req->align <= IOVA_CHUNK_GRANULES)
		small = &of_chunk;
	/* A range that is aligned to its size crosses no wider boundary. */
	if (small && req->boundary && req->boundary < IOVA_CHUNK_GRANULES)
		small->align = max(req->align, roundup_pow_of_two(req->size));
	zone = iova_pool_zone(&space->pool, req->limit);
	if (!req->soft && !(READ_ONCE(space->pool.active_zones) & BIT(zone)))
		iova_pool_activate_zone(&space->pool, zone);
	rounded = of_chunk;
	if (small && req->size <= IOVA_WORD)
		take_rounded(space, zone, &rounded);
	/* What fits in a word has been looked for by the caller. */
	if ((small && !fits_in_word(req) &&
	     alloc_from_cpu(space, zone, &rounded, range)) ||
	    alloc_any(space, req, small ? &rounded : NULL, range) ||
	    (rounded.spare && alloc_small(space, small, range)))
		return true;
	if (req->soft || req->quick)
		return false;

	/*
	 * Short of addresses: search everything, and then once more with what
	 * all CPUs had.
	 */
	if (iova_spanning_alloc(&space->pool, req, range))
		return true;
	/* A CPU sees this when it next takes the lock of its cache. */
	atomic_inc(&space->pool.nr_short);
	space_drain(space);
	iova_spanning_trim(&space->pool, req->limit);
	taken = alloc_any(space, req, small, range) ||
		iova_spanning_alloc(&space->pool, req, range);
	atomic_dec(&space->pool.nr_short);
	return taken;
}

/* Allocate what is not at hand. */
static noinline bool alloc_slow(struct iova_space *space,
				const struct iova_request *req,
				struct iova_range *range)
{
	bool taken = alloc_long(space, req, range);

	iova_pool_reap(&space->pool);
	return taken;
}

/**
 * iova_space_alloc - allocate a range of granules
 * @space: address space
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: Any. Takes &iova_pool.lock for a bounded step at a time.
 * Return: true; or false if addresses or memory are short.
 */
bool iova_space_alloc(struct iova_space *space, const struct iova_request *req,
		      struct iova_range *range)
{
	const struct iova_request *want = req;
	struct iova_request rounded __uninitialized;
	struct iova_cpu_word *word;
	struct iova_cpu *cpu;
	unsigned long flags;
	unsigned int zone;
	bool at_once = false, taken = false;

	if (likely(fits_in_word(req))) {
		zone = iova_pool_zone(&space->pool, req->limit);
		cpu = cpu_get(space, &flags);
		if (!is_power_of_2(req->size)) {
			rounded = *req;
			take_rounded(space, zone, &rounded);
			if (rounded.spare)
				want = &rounded;
		}
		word = &cpu->word[cpu->at];
		at_once = iova_cpu_reuse(cpu, zone, want, range) ||
			  (word->zone == zone &&
			   iova_cpu_word_alloc(word, want, range));
		taken = at_once || cpu_alloc(space, cpu, zone, want, range) ||
			(want != req &&
			 iova_cpu_alloc_kept(&space->pool, cpu, zone, req, range));
		cpu_put(cpu, flags);
	}
	if (likely(at_once))
		return true;
	if (!taken)
		return alloc_slow(space, req, range);
	iova_pool_reap(&space->pool);
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_alloc);

static noinline unsigned long alloc_one_slow(struct iova_space *space,
					     unsigned long limit)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = limit };
	unsigned int zone = iova_pool_zone(&space->pool, limit);
	struct iova_range range;
	bool taken;

	taken = alloc_from_cpu(space, zone, &req, &range) ||
		alloc_zone(space, zone, zone, &req, &range);
	iova_pool_reap(&space->pool);
	return taken ? range.first : IOVA_NONE;
}

/**
 * iova_space_alloc_one - allocate one granule from what the CPU has
 * @space: address space
 * @limit: the granule is at most this
 *
 * The fast path of iova_space_alloc() for the most frequent request. It tries
 * the cache, the CPU chunk and partial chunks of the same zone, and nothing
 * else.
 *
 * Context: Any.
 * Return: the granule; or IOVA_NONE if only iova_space_alloc() can find one.
 */
unsigned long iova_space_alloc_one(struct iova_space *space,
				   unsigned long limit)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = limit };
	unsigned int zone = iova_pool_zone(&space->pool, limit);
	struct iova_cpu_word *word;
	struct iova_range range;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken;

	cpu = cpu_get(space, &flags);
	word = &cpu->word[cpu->at];
	taken = (word->zone == zone &&
		 iova_cpu_word_alloc(word, &req, &range)) ||
		iova_cpu_reuse(cpu, zone, &req, &range);
	cpu_put(cpu, flags);
	return likely(taken) ? range.first : alloc_one_slow(space, limit);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_alloc_one);

/*
 * Freeing.
 */

/*
 * Claim a range of @c. The chunk may be freed until the claim has succeeded, so
 * interrupts are off, which makes this an RCU reader.
 */
static __always_inline bool claim_small(struct iova_chunk *c,
					unsigned long granule,
					struct iova_range *range)
{
	u8 *size = &c->size[granule % IOVA_CHUNK_GRANULES];
	unsigned int noted = READ_ONCE(*size);

	/* This read detects most wrong claims without writing. */
	if (unlikely(!noted))
		return false;
	noted = xchg(size, 0);
	if (unlikely(!noted))
		return false;
	iova_chunk_get_range(c, granule, noted, range);
	return true;
}

static bool claim_extent(struct iova_extents *extents, unsigned long first,
			 struct iova_range *range)
{
	struct iova_extent *x = iova_extents_at(extents, first);

	if (!x || x->first != first || !x->mapped)
		return false;
	x->mapped = false;
	range->first = x->first;
	range->last = x->last;
	range->spare = 0;
	range->extent = x;
	return true;
}

/**
 * iova_space_claim_large - claim a range that has an extent of its own
 * @space: address space
 * @first: where the caller believes that a range begins
 * @range: where to store the range that was allocated there
 *
 * Context: Any.
 * Return: false if no large range begins at @first; a smaller one may.
 */
bool iova_space_claim_large(struct iova_space *space, unsigned long first,
			    struct iova_range *range)
{
	unsigned long flags;
	bool claimed;

	raw_spin_lock_irqsave(&space->pool.lock, flags);
	claimed = claim_extent(&space->pool.extents, first, range) ||
		  claim_extent(&space->pool.spanning, first, range);
	raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	return claimed;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_claim_large);

static unsigned long extent_size(struct iova_extents *extents,
				 unsigned long first)
{
	const struct iova_extent *x = iova_extents_at(extents, first);

	return x && x->first == first && x->mapped ? x->last - first + 1 : 0;
}

/**
 * iova_space_size - how long the range is that begins at a granule
 * @space: address space
 * @first: the granule
 *
 * For who does not know yet whether to claim it. Until that has been done, the range may
 * be freed, and another may begin there.
 *
 * Context: Any.
 * Return: granules; 0 if none begins there, or it has been claimed.
 */
unsigned long iova_space_size(struct iova_space *space, unsigned long first)
{
	struct iova_range range;
	struct iova_chunk *c;
	unsigned long size = 0, flags;
	unsigned int noted = 0;

	rcu_read_lock();
	c = xa_load(&space->pool.chunks, iova_pool_index(&space->pool, first));
	if (c)
		noted = READ_ONCE(c->size[first % IOVA_CHUNK_GRANULES]);
	if (noted) {
		iova_chunk_get_range(c, first, noted, &range);
		size = range.last - first + 1;
	}
	rcu_read_unlock();
	if (noted)
		return size;
	raw_spin_lock_irqsave(&space->pool.lock, flags);
	size = extent_size(&space->pool.extents, first) ?:
	       extent_size(&space->pool.spanning, first);
	raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	return size;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_size);

static noinline bool claim_slow(struct iova_space *space, unsigned long granule,
				struct iova_range *range)
{
	bool claimed = false;
	struct iova_chunk *c;
	unsigned long flags;

	local_irq_save(flags);
	c = xa_load(&space->pool.chunks, iova_pool_index(&space->pool, granule));
	if (c)
		claimed = claim_small(c, granule, range);
	local_irq_restore(flags);
	/* In a chunk, only a spanning range can begin besides the small ones. */
	if (claimed || (c && !READ_ONCE(space->pool.nr_spanning)))
		return claimed;
	return iova_space_claim_large(space, granule, range);
}

/**
 * iova_space_claim - claim a range in order to free it
 * @space: address space
 * @first: where the caller believes that a range begins
 * @range: where to store the range that was allocated there
 *
 * Exactly one of several callers for a range succeeds. That caller has to end
 * with iova_space_release() or iova_space_retire(), or go back with
 * iova_space_unclaim(). The range is not allocated again before it is freed.
 *
 * Context: Any.
 * Return: false if no range begins at @first or it has been claimed before.
 */
bool iova_space_claim(struct iova_space *space, unsigned long first,
		      struct iova_range *range)
{
	bool claimed = false;
	struct iova_chunk *c;
	unsigned long flags;

	local_irq_save(flags);
	c = READ_ONCE(*iova_pool_recent(&space->pool, first));
	if (likely(c && first - c->first < IOVA_CHUNK_GRANULES))
		claimed = claim_small(c, first, range);
	local_irq_restore(flags);
	return likely(claimed) ? true : claim_slow(space, first, range);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_claim);

/**
 * iova_space_unclaim - undo a claim
 * @space: address space
 * @range: from iova_space_claim(); its translation has not been touched
 *
 * For a caller that finds that the range it claimed belongs to another mapping.
 * A claim for that mapping in the meantime fails.
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_space_unclaim(struct iova_space *space,
			const struct iova_range *range)
{
	struct iova_extent *x = range->extent;
	unsigned long flags;

	if (x->kind != IOVA_KIND_CHUNK) {
		raw_spin_lock_irqsave(&space->pool.lock, flags);
		x->mapped = true;
		raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	} else {
		iova_chunk_note(range);
	}
}

/* Free a range that has an extent of its own, or the first @most pieces of it. */
static noinline bool free_extent(struct iova_space *space,
				 struct iova_extent *x, unsigned long most)
{
	if (x->kind != IOVA_KIND_SPANNING)
		iova_pool_free_large(&space->pool, x);
	else if (!iova_spanning_free(&space->pool, x, most))
		return false;
	if (cmpxchg(&space->spare, NULL, x))
		kfree(x);
	return true;
}

static noinline void release_slow(struct iova_space *space,
				  const struct iova_range *range)
{
	unsigned long size = iova_range_granules(range);
	struct iova_chunk *c = to_chunk(range->extent);
	unsigned int w = iova_base_word(range->first);
	struct iova_cpu *cpu;
	unsigned long flags;

	/* A longer range only needs interrupts off, which makes an RCU reader. */
	cpu = cpu_get(space, &flags);
	if (size > IOVA_WORD) {
		iova_pool_free_bits(&space->pool, c, w, ~0ULL);
		iova_pool_free_bits(&space->pool, c, w + 1,
				    iova_word_bits(0, size - IOVA_WORD));
	} else {
		iova_cpu_free(&space->pool, cpu, range);
	}
	cpu_put(cpu, flags);
	iova_pool_reap(&space->pool);
}

/**
 * iova_space_release - free a claimed range at once
 * @space: address space
 * @range: from iova_space_claim(), or from iova_space_alloc() and never used
 *
 * The range must not be in any IOTLB. What was spare behind it when it was allocated
 * may have been given up since, so a claimed range is what the claim says.
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_space_release(struct iova_space *space,
			const struct iova_range *range)
{
	struct iova_chunk *c = to_chunk(range->extent);
	unsigned long first = range->first, size;
	struct iova_cpu_word *word;
	struct iova_range unused = *range;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken = false;

	if (unlikely(range->extent->kind != IOVA_KIND_CHUNK)) {
		free_extent(space, range->extent, ULONG_MAX);
		return;
	}
	if (unlikely(READ_ONCE(c->size[first % IOVA_CHUNK_GRANULES]))) {
		/* Some of it may have been trimmed. */
		claim_small(c, first, &unused);
		range = &unused;
	}
	size = iova_range_granules(range);
	if (likely(size <= IOVA_WORD)) {
		cpu = cpu_get(space, &flags);
		/* What is freed of the word that was used last stays with it. */
		word = &cpu->word[cpu->at];
		if (word->base == ALIGN_DOWN(first, IOVA_WORD) &&
		    !READ_ONCE(c->reserved) &&
		    !atomic_read(&space->pool.nr_short)) {
			word->chunk = c;
			word->free |= iova_word_bits(first, size);
			taken = true;
		} else {
			taken = iova_cpu_keep(&space->pool, cpu, c, first,
					      size);
		}
		cpu_put(cpu, flags);
	}
	if (unlikely(!taken))
		release_slow(space, range);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_release);

static __always_inline void retire_word(struct iova_chunk *c,
					unsigned int epoch, unsigned int w,
					u64 bits)
{
	/* [G] pairs with [H] in chunk_recycle(): a full barrier */
	atomic64_fetch_or(bits, &c->dirty[epoch][w]);
}

static noinline void retire_queue(struct iova_space *space,
				  struct iova_chunk *c, unsigned int epoch)
{
	int queued;

	/* Others who retire into @c see the bit, and are as good as listed. */
	atomic_inc(&space->retiring[epoch]);
	queued = atomic_fetch_or(BIT(epoch), &c->queued);
	if (!(queued & (BIT(epoch) | IOVA_QUEUED_DEAD)))
		llist_add(&c->extent.retired[epoch], &space->retired[epoch]);
	/* [J] pairs with [I] in iova_space_has_retired() */
	atomic_dec_return_release(&space->retiring[epoch]);
}

/**
 * iova_space_retire - free a claimed range after a flush
 * @space: address space
 * @range: from iova_space_claim(); its translation has been cleared
 * @epoch: the epoch whose flush makes it free
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_space_retire(struct iova_space *space, const struct iova_range *range,
		       unsigned int epoch)
{
	struct iova_extent *x = range->extent;
	unsigned int w, size;
	struct iova_chunk *c;
	unsigned long flags;

	if (unlikely(x->kind != IOVA_KIND_CHUNK)) {
		llist_add(&x->retired[epoch], &space->retired[epoch]);
		return;
	}

	c = to_chunk(x);
	w = iova_base_word(range->first);
	size = iova_range_granules(range);
	local_irq_save(flags);
	if (unlikely(size > IOVA_WORD)) {
		retire_word(c, epoch, w + 1,
			    iova_word_bits(0, size - IOVA_WORD));
		size = IOVA_WORD;
	}
	retire_word(c, epoch, w, iova_word_bits(range->first, size));
	if (unlikely(!(atomic_read(&c->queued) & BIT(epoch))))
		retire_queue(space, c, epoch);
	local_irq_restore(flags);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_retire);

static void chunk_recycle(struct iova_space *space, struct iova_chunk *c,
			  unsigned int epoch)
{
	bool grown = false;
	unsigned int w;
	u64 bits;

	lockdep_assert_held(&space->pool.lock);
	/* [H] pairs with [G] in retire_word(): a full barrier */
	atomic_fetch_andnot(BIT(epoch), &c->queued);
	for (w = 0; w < IOVA_WORDS; w++) {
		if (!atomic64_read(&c->dirty[epoch][w]))
			continue;
		bits = atomic64_xchg(&c->dirty[epoch][w], 0);
		iova_chunk_clear_bits(c, w, bits);
		grown |= iova_chunk_outgrew(c, w);
	}
	if (grown)
		iova_pool_sort_locked(&space->pool, c);
}

/*
 * Free what has retired in the chunks at the head of the list, up to the first
 * large or spanning range, with the lock taken once. Return: how many, at least 1.
 */
static unsigned int recycle_chunks(struct iova_space *space,
				   unsigned int budget)
{
	unsigned int epoch = space->recycling_epoch, n = 0;
	struct iova_extent *x;
	unsigned long flags;

	raw_spin_lock_irqsave(&space->pool.lock, flags);
	do {
		x = container_of(space->recycling, struct iova_extent,
				 retired[epoch]);
		if (x->kind != IOVA_KIND_CHUNK)
			break;
		/* @x is about to be freed or put on another list. */
		space->recycling = space->recycling->next;
		chunk_recycle(space, to_chunk(x), epoch);
	} while (++n < budget && space->recycling);
	raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	iova_pool_reap(&space->pool);
	return n;
}

/**
 * iova_space_recycle_start - begin to free the ranges of a flushed epoch
 * @space: address space
 * @epoch: the epoch
 *
 * The ranges become free in iova_space_recycle(). A range that retires into
 * @epoch from now on is late, and waits for the next flush of that epoch.
 *
 * Context: Any; the caller serialises this and iova_space_recycle().
 */
void iova_space_recycle_start(struct iova_space *space, unsigned int epoch)
{
	space->recycling = llist_del_all(&space->retired[epoch]);
	space->recycling_epoch = epoch;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_recycle_start);

/**
 * iova_space_recycle - free the ranges of a flushed epoch
 * @space: address space
 * @budget: most chunks, large ranges, and pieces of spanning ranges to process
 *	in this call
 *
 * Context: Any; serialised by the caller.
 * Return: whether there is more to do.
 */
bool iova_space_recycle(struct iova_space *space, unsigned int budget)
{
	unsigned int epoch = space->recycling_epoch;
	struct llist_node *next;
	struct iova_extent *x;

	while (space->recycling && budget) {
		x = container_of(space->recycling, struct iova_extent,
				 retired[epoch]);
		if (x->kind == IOVA_KIND_CHUNK) {
			budget -= recycle_chunks(space, budget);
			continue;
		}
		next = space->recycling->next;
		if (free_extent(space, x, 1))
			space->recycling = next;
		budget--;
	}
	return space->recycling;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_recycle);

/*
 * Reserving, initialising and destroying.
 */

/**
 * struct iova_reservation - granules of a chunk that are being reserved
 * @space: address space
 * @chunk: the chunk
 * @fresh: the granules that were not reserved before
 * @busy: those of @fresh that are in use, and not in the cache of a CPU
 */
struct iova_reservation {
	struct iova_space *space;
	struct iova_chunk *chunk;
	u64 fresh[IOVA_WORDS];
	u64 busy[IOVA_WORDS];
};

/*
 * Reserve [first, last] of @r->chunk: only what is in the cache of a CPU can
 * still be allocated, and the chunk is no longer freed.
 * @bitmap: memory for &iova_chunk.reserved; taken if needed
 */
static int chunk_reserve_begin(struct iova_reservation *r, unsigned int first,
			       unsigned int last, u64 **bitmap)
{
	struct iova_chunk *c = r->chunk;
	unsigned int w;

	lockdep_assert_held(&r->space->pool.lock);
	if (c->class == IOVA_CLASS_NONE)
		return -EAGAIN;
	if (!c->reserved) {
		/* Pairs with the address dependency of the readers. */
		smp_store_release(&c->reserved, no_free_ptr(*bitmap));
	}
	/* What is only taken because a size was rounded up is in nobody's way. */
	iova_pool_trim(&r->space->pool, c);
	for (w = 0; w < IOVA_WORDS; w++) {
		r->fresh[w] = iova_word_part(w, first, last) & ~c->reserved[w];
		WRITE_ONCE(c->reserved[w], c->reserved[w] | r->fresh[w]);
		r->busy[w] = r->fresh[w] &
			     atomic64_fetch_or(r->fresh[w], &c->used[w]);
	}
	return 0;
}

/* Return: -EBUSY if any of the granules are in use. */
static int chunk_reserve_end(struct iova_reservation *r)
{
	u64 cached[IOVA_WORDS] = {}, busy = 0;
	unsigned int cpu, w;

	/* What a CPU has in its cache would be allocated later. */
	for_each_possible_cpu(cpu)
		iova_cpu_drain_chunk(&r->space->pool,
				     per_cpu_ptr(r->space->cpu, cpu),
				     r->chunk, cached);
	for (w = 0; w < IOVA_WORDS; w++)
		busy |= r->busy[w] & ~cached[w];
	iova_pool_sort(&r->space->pool, r->chunk);
	return busy ? -EBUSY : 0;
}

/* Reserve the beginning of [*first, last] and advance @first past it. */
static int reserve_some(struct iova_space *space, unsigned long *first,
			unsigned long last)
{
	struct iova_extent *x __free(kfree) = kzalloc(sizeof(*x), GFP_KERNEL);
	u64 *bitmap __free(kfree) = kcalloc(IOVA_WORDS, sizeof(u64), GFP_KERNEL);
	struct iova_reservation r = { .space = space };
	struct iova_extent *at;
	unsigned long done, flags;
	int ret = 0;

	if (!x || !bitmap)
		return -ENOMEM;
	raw_spin_lock_irqsave(&space->pool.lock, flags);
	at = iova_extents_at(&space->pool.extents, *first);
	done = min(last, at->last);
	x->kind = IOVA_KIND_RESERVED;
	x->first = *first;
	if (at->first > *first) {
		done = min(last, at->first - 1);
		x->last = done;
		iova_pool_insert(&space->pool, no_free_ptr(x), at);
	} else if (at->kind == IOVA_KIND_CHUNK) {
		r.chunk = to_chunk(at);
		ret = chunk_reserve_begin(&r, *first - at->first,
					  done - at->first, &bitmap);
	} else if (at->kind == IOVA_KIND_LARGE) {
		x->last = done;
		if (iova_pool_reserve_late(&space->pool, x))
			ret = -EBUSY;
		done = x->last;
		/* The pool has it now. */
		if (ret)
			x = NULL;
	}
	raw_spin_unlock_irqrestore(&space->pool.lock, flags);
	if (r.chunk && !ret)
		ret = chunk_reserve_end(&r);
	iova_pool_reap(&space->pool);
	if (ret != -EAGAIN)
		*first = done + 1;
	return ret;
}

/**
 * iova_space_reserve - keep a range from ever being allocated
 * @space: address space
 * @first: first granule
 * @last: last granule
 *
 * May be called at any time. What is in use becomes reserved when it is freed.
 *
 * Context: Process; may sleep. One call at a time.
 * Return: 0; -EBUSY if an allocated range is in the way, for the first time;
 * -ENOMEM.
 */
int iova_space_reserve(struct iova_space *space, unsigned long first,
		       unsigned long last)
{
	int ret, result = 0;

	last = min(last, space->pool.extents.ceiling.first - 1);
	while (first <= last) {
		ret = reserve_some(space, &first, last);
		if (ret == -ENOMEM)
			return ret;
		if (ret == -EBUSY)
			result = ret;
		if (ret == -EAGAIN)
			schedule_timeout_uninterruptible(1);
	}
	return result;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_reserve);

/* All spaces, for CPUs that go offline */
static LIST_HEAD(spaces);
static DEFINE_MUTEX(spaces_lock);

static int cpu_dead(unsigned int cpu)
{
	struct iova_space *space;

	mutex_lock(&spaces_lock);
	list_for_each_entry(space, &spaces, list) {
		iova_cpu_drain(&space->pool, per_cpu_ptr(space->cpu, cpu));
		iova_pool_reap(&space->pool);
	}
	mutex_unlock(&spaces_lock);
	return 0;
}

static int __init cpu_dead_setup(void)
{
	int state = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN,
					      "iommu/dma:dead", NULL, cpu_dead);

	return min(state, 0);
}
core_initcall(cpu_dead_setup);

/**
 * iova_space_init - set up an address space
 * @space: address space
 * @first: lowest granule that may be allocated, at least 1
 * @last: highest granule that may be allocated, below ULONG_MAX
 * @granule_shift: log2 of the granule in bytes
 *
 * Context: Process; may sleep.
 * Return: 0; -EINVAL for an empty space; -ENOMEM.
 */
int iova_space_init(struct iova_space *space, unsigned long first,
		    unsigned long last, unsigned int granule_shift)
{
	unsigned int cpu;

	if (first == IOVA_NONE || first > last || last == ULONG_MAX)
		return -EINVAL;
	*space = (struct iova_space) {};
	space->cpu = alloc_percpu(struct iova_cpu);
	if (!space->cpu)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		iova_cpu_init(per_cpu_ptr(space->cpu, cpu));
	iova_pool_init(&space->pool, first, last, granule_shift);
	mutex_lock(&spaces_lock);
	list_add(&space->list, &spaces);
	mutex_unlock(&spaces_lock);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_init);

/**
 * iova_space_destroy - destroy an address space
 * @space: address space that is no longer in use
 *
 * Context: Process; may sleep.
 */
void iova_space_destroy(struct iova_space *space)
{
	mutex_lock(&spaces_lock);
	list_del(&space->list);
	mutex_unlock(&spaces_lock);
	kfree(space->spare);
	iova_pool_destroy(&space->pool);
	free_percpu(space->cpu);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_destroy);
