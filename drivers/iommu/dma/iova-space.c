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
 * The cache of a CPU holds the free granules of a few words of chunks (struct
 * iova_cpu_word). The CPU has them to itself; in the chunk they are marked
 * used. Allocating from the cache and freeing into it need no lock but the
 * CPU's own. What is freed goes into the cache of the CPU that frees it, and is
 * allocated from there first. Draining a word gives back all of its granules at
 * once. Before a request is refused, all CPUs are drained, also those that are
 * offline.
 *
 * A CPU refills its cache from its CPU chunks, one per zone, word after word,
 * so that ranges allocated one after another are neighbours in the space. When
 * a CPU chunk has no place for a request, it is put on a partial list, and the
 * CPU gets a partial chunk or creates a new one.
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
 * Each operation takes O(log n) steps. An allocation that finds nothing also
 * looks at every CPU and every CPU chunk once. Claiming and freeing never
 * allocate memory or fail. Only iova_space_init(), iova_space_destroy() and
 * iova_space_reserve() sleep.
 */

#include <kunit/visibility.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "iova-space.h"
#include "iova-spanning.h"

/*
 * Chunks strand space: one small range keeps the rest of its chunk from larger
 * requests. Where more than half of the space is taken, requests for more
 * granules than this come out of chunks only when nothing else is left.
 */
#define IOVA_SMALL_LOW		16

/* Words in the cache of a CPU: at most 2 MiB with a granule of 4 KiB */
#define IOVA_CPU_WORDS		8

/**
 * struct iova_cpu_word - free granules of a word that a CPU has to itself
 * @chunk: chunk of the word; may have been freed when @free is 0
 * @free: which granules
 * @base: first granule of the word, or IOVA_NO_WORD
 * @zone: zone of the requests that the granules are for
 */
struct iova_cpu_word {
	struct iova_chunk *chunk;
	u64 free;
	unsigned long base;
	unsigned int zone;
};

#define IOVA_NO_WORD		1UL

/**
 * struct iova_cpu - what a CPU allocates from
 * @lock: protects all fields; @recent is also read without it. Other CPUs take
 *	it only to drain or to reserve
 * @word: the cache
 * @at: index of the word that was used last
 * @filled: bit per word, set while the word may have free granules; always set
 *	for @at once a word has been filled
 * @victim: index of the word to drain next when all are filled
 * @unseen: by zone, bit per word of @chunk that has not been looked at yet
 * @chunk: by zone of the request's limit, the CPU chunk; or NULL
 * @recent: the one in @chunk that was installed last, as the next claim is
 *	often for a range of it
 *
 * @lock is raw, and &iova_pool.lock nests inside it.
 */
struct iova_cpu {
	raw_spinlock_t lock;
	struct iova_cpu_word word[IOVA_CPU_WORDS];
	u8 at;
	u8 filled;
	u8 victim;
	u8 unseen[IOVA_ZONES];
	struct iova_chunk *chunk[IOVA_ZONES];
	struct iova_chunk *recent;
};

/*
 * The cache of a CPU; the caller holds its lock.
 */

static __always_inline bool iova_cpu_word_alloc(struct iova_cpu_word *word,
						const struct iova_request *req,
						struct iova_range *range)
{
	unsigned long size = req->size, first;
	unsigned int bit;
	u64 starts;

	starts = iova_request_starts(word->free, word->base, req);
	if (unlikely(!starts))
		return false;
	bit = __ffs64(starts);
	first = word->base + bit;
	if (unlikely(first + size - 1 > req->limit))
		return false;
	word->free &= ~iova_word_bits(bit, size);
	iova_chunk_set_range(word->chunk, first, size, range);
	return true;
}

/* Give granules of word @w back to chunk @c; interrupts are off. */
static void free_word(struct iova_space *space, struct iova_chunk *c,
		      unsigned int w, u64 bits)
{
	iova_chunk_clear_bits(c, w, bits);
	if (unlikely(iova_chunk_outgrew(c, w)))
		iova_pool_sort(&space->pool, c);
}

/* Give the free granules of a cached word back to its chunk. */
static void iova_cpu_word_drain(struct iova_space *space,
				struct iova_cpu_word *word)
{
	if (word->free)
		free_word(space, word->chunk, iova_base_word(word->base),
			  word->free);
	word->free = 0;
}

/* The cached word at @base, or one that can be filled with it */
static struct iova_cpu_word *
iova_cpu_word_for(struct iova_space *space, struct iova_cpu *cpu,
		  unsigned long base)
{
	unsigned int i;

	for (i = 0; i < IOVA_CPU_WORDS; i++) {
		if (!(cpu->filled & BIT(i)))
			continue;
		if (cpu->word[i].base == base)
			return &cpu->word[i];
		if (!cpu->word[i].free && i != cpu->at)
			cpu->filled &= ~BIT(i);
	}
	i = ffz(cpu->filled);
	if (i >= IOVA_CPU_WORDS) {
		i = cpu->victim;
		cpu->victim = (i + 1) % IOVA_CPU_WORDS;
		iova_cpu_word_drain(space, &cpu->word[i]);
	}
	return &cpu->word[i];
}

static void iova_cpu_word_fill(struct iova_space *space, struct iova_cpu *cpu,
			       struct iova_cpu_word *word, struct iova_chunk *c,
			       unsigned long base, u64 bits)
{
	word->chunk = c;
	word->base = base;
	word->zone = READ_ONCE(space->pool.zone_for[c->zone]);
	word->free |= bits;
	cpu->at = word - cpu->word;
	cpu->filled |= BIT(cpu->at);
}

static void iova_cpu_drain(struct iova_space *space, struct iova_cpu *cpu,
			   const struct iova_chunk *c)
{
	struct iova_cpu_word *word;

	for (word = cpu->word; word < cpu->word + IOVA_CPU_WORDS; word++)
		if (!c || word->chunk == c)
			iova_cpu_word_drain(space, word);
}

static bool iova_cpu_alloc(struct iova_cpu *cpu, unsigned int zone,
			   const struct iova_request *req,
			   struct iova_range *range)
{
	unsigned long filled = cpu->filled;
	struct iova_cpu_word *word;
	unsigned int i;

	for_each_set_bit(i, &filled, IOVA_CPU_WORDS) {
		word = &cpu->word[i];
		if (!word->free) {
			if (i != cpu->at)
				cpu->filled &= ~BIT(i);
		} else if (word->zone == zone &&
			   iova_cpu_word_alloc(word, req, range)) {
			cpu->at = i;
			return true;
		}
	}
	return false;
}

/* Move the free granules of word @w of the CPU chunk @c into the cache. */
static void iova_cpu_word_refill(struct iova_space *space, struct iova_cpu *cpu,
				 struct iova_chunk *c, unsigned int w,
				 unsigned int zone)
{
	unsigned long base = c->extent.first + w * IOVA_WORD;
	u64 free = ~atomic64_fetch_or(~0ULL, &c->used[w]);
	const u64 *reserved = READ_ONCE(c->reserved);

	if (unlikely(reserved))
		free &= ~READ_ONCE(reserved[w]);
	iova_cpu_word_fill(space, cpu, iova_cpu_word_for(space, cpu, base), c,
			   base, free);
	cpu->word[cpu->at].zone = zone;
}

/*
 * Refill the cache from the CPU chunk, word after word, until one has a place
 * for @req. Each word is looked at once; granules that are freed later are found
 * when the chunk becomes partial.
 */
static bool iova_cpu_refill(struct iova_space *space, struct iova_cpu *cpu,
			    unsigned int zone, const struct iova_request *req)
{
	struct iova_chunk *c = cpu->chunk[zone];
	unsigned int w;
	u64 free;

	while (cpu->unseen[zone]) {
		w = __ffs(cpu->unseen[zone]);
		cpu->unseen[zone] &= cpu->unseen[zone] - 1;
		free = iova_chunk_free_mask(c, w);
		if (!free || !iova_request_starts(free, c->extent.first +
						   w * IOVA_WORD, req))
			continue;
		iova_cpu_word_refill(space, cpu, c, w, zone);
		return true;
	}
	return false;
}

static bool chunk_alloc(struct iova_space *space, struct iova_cpu *cpu,
			unsigned int zone, const struct iova_request *req,
			struct iova_range *range)
{
	struct iova_chunk *c = cpu->chunk[zone];

	if (!c || c->extent.last > req->limit)
		return false;
	if (req->size <= IOVA_WORD)
		return iova_cpu_refill(space, cpu, zone, req) &&
		       iova_cpu_word_alloc(&cpu->word[cpu->at], req, range);
	iova_cpu_drain(space, cpu, c);
	return iova_chunk_take(c, req, range);
}

/*
 * Allocating.
 */

static bool alloc_from_cpu(struct iova_space *space, unsigned int zone,
			   const struct iova_request *req,
			   struct iova_range *range)
{
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken;

	local_irq_save(flags);
	cpu = this_cpu_ptr(space->cpu);
	raw_spin_lock(&cpu->lock);
	taken = (req->size <= IOVA_WORD &&
		 iova_cpu_alloc(cpu, zone, req, range)) ||
		chunk_alloc(space, cpu, zone, req, range);
	raw_spin_unlock(&cpu->lock);
	local_irq_restore(flags);
	return taken;
}

/* Make @c, a new CPU chunk, the one of this CPU, and allocate from it. */
static bool alloc_install(struct iova_space *space, struct iova_chunk *c,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range)
{
	struct iova_chunk *old;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken;

	local_irq_save(flags);
	cpu = this_cpu_ptr(space->cpu);
	raw_spin_lock(&cpu->lock);
	old = cpu->chunk[zone];
	cpu->chunk[zone] = c;
	cpu->unseen[zone] = GENMASK(IOVA_WORDS - 1, 0);
	WRITE_ONCE(cpu->recent, c);
	taken = chunk_alloc(space, cpu, zone, req, range);
	raw_spin_unlock(&cpu->lock);
	local_irq_restore(flags);

	if (old)
		iova_pool_put_partial(&space->pool, old);
	return taken;
}

/* Allocate from a partial chunk of zone @z for a limit in @zone. */
static bool alloc_zone(struct iova_space *space, unsigned int z,
		       unsigned int zone, const struct iova_request *req,
		       struct iova_range *range)
{
	unsigned int class = iova_request_class(req);
	struct iova_chunk *c;

	if (!(READ_ONCE(space->pool.classes[z]) >> class))
		return false;
	if (zone <= IOVA_ZONE_UNCACHED)
		return iova_pool_take(&space->pool, z, class, req, range);
	c = iova_pool_get_partial(&space->pool, z, class, req->limit);
	return c && alloc_install(space, c, zone, req, range);
}

static bool alloc_new(struct iova_space *space, unsigned int zone,
		      const struct iova_request *req, struct iova_range *range)
{
	struct iova_chunk *c = iova_pool_create_chunk(&space->pool, req->limit);
	bool taken;

	if (!c)
		return false;
	if (zone > IOVA_ZONE_UNCACHED)
		return alloc_install(space, c, zone, req, range);
	taken = iova_chunk_take(c, req, range);
	iova_pool_put_partial(&space->pool, c);
	return taken;
}

/* Give back all that a CPU has. */
static void cpu_drain_all(struct iova_space *space, struct iova_cpu *cpu)
{
	unsigned long flags;
	unsigned int zone;

	raw_spin_lock_irqsave(&cpu->lock, flags);
	iova_cpu_drain(space, cpu, NULL);
	WRITE_ONCE(cpu->recent, NULL);
	for (zone = 0; zone < IOVA_ZONES; zone++) {
		if (cpu->chunk[zone])
			iova_pool_put_partial(&space->pool, cpu->chunk[zone]);
		cpu->chunk[zone] = NULL;
		cpu->unseen[zone] = 0;
	}
	raw_spin_unlock_irqrestore(&cpu->lock, flags);
	iova_pool_reap(&space->pool);
}

static void space_drain(struct iova_space *space)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		cpu_drain_all(space, per_cpu_ptr(space->cpu, cpu));
}

static bool alloc_small(struct iova_space *space,
			const struct iova_request *req,
			struct iova_range *range)
{
	unsigned int zone = iova_pool_zone(&space->pool, req->limit);
	int z;

	/*
	 * First a partial chunk that no narrower zone needs, then a new chunk,
	 * then any partial chunk
	 */
	for (z = zone; z >= 0; z--)
		if ((z == zone || READ_ONCE(space->pool.zone_for[z]) == zone) &&
		    alloc_zone(space, z, zone, req, range))
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
	} while (!placed && iova_pool_shrink(&space->pool, nr_erased));
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
	struct iova_request of_chunk = *req, *small = NULL;
	unsigned int zone;

	if (!req->size || req->size - 1 > req->limit)
		return false;
	if (req->size <= IOVA_SMALL_MAX && req->align <= IOVA_CHUNK_GRANULES)
		small = &of_chunk;
	/* A range that is aligned to its size crosses no wider boundary. */
	if (small && req->boundary && req->boundary < IOVA_CHUNK_GRANULES)
		small->align = max(req->align, roundup_pow_of_two(req->size));
	zone = iova_pool_zone(&space->pool, req->limit);
	if (!req->soft && !(READ_ONCE(space->pool.active_zones) & BIT(zone)))
		iova_pool_activate_zone(&space->pool, zone);
	if ((small && alloc_from_cpu(space, zone, small, range)) ||
	    alloc_any(space, req, small, range))
		return true;
	if (req->soft || req->quick)
		return false;

	/*
	 * Short of addresses: search everything, and then once more with what
	 * all CPUs had.
	 */
	if (iova_spanning_alloc(&space->pool, req, range))
		return true;
	space_drain(space);
	return alloc_any(space, req, small, range) ||
	       iova_spanning_alloc(&space->pool, req, range);
}

/* Allocate what the cached word that was used last does not have. */
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
 * Context: Any. Takes &iova_pool.lock for bounded steps.
 * Return: true; or false if addresses or memory are short.
 */
bool iova_space_alloc(struct iova_space *space, const struct iova_request *req,
		      struct iova_range *range)
{
	struct iova_cpu_word *word;
	struct iova_cpu *cpu;
	unsigned long flags;
	bool taken = false;

	/* No range within a word crosses a boundary of at least a word. */
	if (req->size - 1 < IOVA_WORD && req->boundary - 1 >= IOVA_WORD - 1) {
		local_irq_save(flags);
		cpu = this_cpu_ptr(space->cpu);
		raw_spin_lock(&cpu->lock);
		word = &cpu->word[cpu->at];
		if (likely(word->zone == iova_pool_zone(&space->pool, req->limit)))
			taken = iova_cpu_word_alloc(word, req, range);
		raw_spin_unlock(&cpu->lock);
		local_irq_restore(flags);
	}
	return likely(taken) ? true : alloc_slow(space, req, range);
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
	struct iova_cpu_word *word;
	struct iova_range range;
	struct iova_cpu *cpu;
	unsigned long flags, first;
	bool taken;
	u64 free;

	local_irq_save(flags);
	cpu = this_cpu_ptr(space->cpu);
	raw_spin_lock(&cpu->lock);
	word = &cpu->word[cpu->at];
	free = word->free;
	first = word->base + (free ? __ffs64(free) : 0);
	taken = free && word->zone == iova_pool_zone(&space->pool, limit) &&
		first <= limit;
	if (likely(taken)) {
		word->free = free & (free - 1);
		iova_chunk_set_range(word->chunk, first, 1, &range);
	}
	raw_spin_unlock(&cpu->lock);
	local_irq_restore(flags);
	return likely(taken) ? first : alloc_one_slow(space, limit);
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
	unsigned int granules = READ_ONCE(*size);

	/* This read detects most wrong claims without writing. */
	if (unlikely(!granules))
		return false;
	granules = xchg(size, 0);
	if (unlikely(!granules))
		return false;
	range->first = granule;
	range->last = granule + granules - 1;
	range->extent = &c->extent;
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

static noinline bool claim_slow(struct iova_space *space, unsigned long granule,
				struct iova_range *range)
{
	bool claimed = false;
	struct iova_chunk *c;
	unsigned long flags;

	local_irq_save(flags);
	c = xa_load(&space->pool.chunks, granule >> IOVA_CHUNK_SHIFT);
	if (c)
		claimed = claim_small(c, granule, range);
	local_irq_restore(flags);
	return claimed || iova_space_claim_large(space, granule, range);
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
	c = READ_ONCE(this_cpu_ptr(space->cpu)->recent);
	if (likely(c && first - c->extent.first < IOVA_CHUNK_GRANULES))
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
		WRITE_ONCE(to_chunk(x)->size[range->first % IOVA_CHUNK_GRANULES],
			   range->last - range->first + 1);
	}
}

static noinline void free_extent(struct iova_space *space,
				 struct iova_extent *x)
{
	if (x->kind == IOVA_KIND_SPANNING)
		iova_spanning_free(&space->pool, x);
	else
		iova_pool_free_large(&space->pool, x);
	if (cmpxchg(&space->spare, NULL, x))
		kfree(x);
}

static noinline void release_slow(struct iova_space *space,
				  const struct iova_range *range)
{
	unsigned long base = ALIGN_DOWN(range->first, IOVA_WORD);
	unsigned long size = range->last - range->first + 1;
	struct iova_chunk *c = to_chunk(range->extent);
	unsigned int w = iova_base_word(base);
	struct iova_cpu *cpu;
	unsigned long flags;

	local_irq_save(flags);
	WRITE_ONCE(c->size[range->first % IOVA_CHUNK_GRANULES], 0);
	if (size > IOVA_WORD) {
		free_word(space, c, w, ~0ULL);
		free_word(space, c, w + 1, iova_word_bits(0, size - IOVA_WORD));
	} else if (c->zone <= IOVA_ZONE_UNCACHED || READ_ONCE(c->reserved)) {
		free_word(space, c, w, iova_word_bits(range->first, size));
	} else {
		cpu = this_cpu_ptr(space->cpu);
		raw_spin_lock(&cpu->lock);
		iova_cpu_word_fill(space, cpu,
				   iova_cpu_word_for(space, cpu, base), c, base,
				   iova_word_bits(range->first, size));
		raw_spin_unlock(&cpu->lock);
	}
	local_irq_restore(flags);
	iova_pool_reap(&space->pool);
}

/**
 * iova_space_release - free a claimed range at once
 * @space: address space
 * @range: from iova_space_claim(), or from iova_space_alloc() and never used
 *
 * The range must not be in any IOTLB.
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iova_space_release(struct iova_space *space,
			const struct iova_range *range)
{
	struct iova_chunk *c = to_chunk(range->extent);
	unsigned long first = range->first;
	bool taken = false;
	struct iova_cpu_word *word;
	struct iova_cpu *cpu;
	unsigned long flags;

	if (unlikely(range->extent->kind != IOVA_KIND_CHUNK)) {
		free_extent(space, range->extent);
		return;
	}
	/* Free into the cached word that was used last, if it is the same. */
	if (likely(range->last - first < IOVA_WORD)) {
		local_irq_save(flags);
		cpu = this_cpu_ptr(space->cpu);
		raw_spin_lock(&cpu->lock);
		word = &cpu->word[cpu->at];
		taken = word->base == ALIGN_DOWN(first, IOVA_WORD) &&
			!READ_ONCE(c->reserved);
		if (likely(taken)) {
			WRITE_ONCE(c->size[first % IOVA_CHUNK_GRANULES], 0);
			word->chunk = c;
			word->free |= iova_word_bits(first, range->last -
							    first + 1);
		}
		raw_spin_unlock(&cpu->lock);
		local_irq_restore(flags);
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
	int queued = atomic_fetch_or(BIT(epoch), &c->queued);

	if (!(queued & (BIT(epoch) | IOVA_QUEUED_DEAD)))
		llist_add(&c->extent.retired[epoch], &space->retired[epoch]);
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
	size = range->last - range->first + 1;
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
	unsigned int w;
	u64 bits;

	rcu_read_lock();
	/* [H] pairs with [G] in retire_word(): a full barrier */
	atomic_fetch_andnot(BIT(epoch), &c->queued);
	for (w = 0; w < IOVA_WORDS; w++) {
		if (!atomic64_read(&c->dirty[epoch][w]))
			continue;
		bits = atomic64_xchg(&c->dirty[epoch][w], 0);
		iova_chunk_clear_bits(c, w, bits);
	}
	if (READ_ONCE(c->class) != IOVA_CLASS_CPU)
		iova_pool_sort(&space->pool, c);
	iova_pool_reap(&space->pool);
	rcu_read_unlock();
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
 * @budget: most chunks and large ranges to process in this call
 *
 * Context: Any; serialised by the caller.
 * Return: whether there is more to do.
 */
bool iova_space_recycle(struct iova_space *space, unsigned int budget)
{
	unsigned int epoch = space->recycling_epoch;
	struct iova_extent *x;

	while (space->recycling && budget--) {
		x = container_of(space->recycling, struct iova_extent,
				 retired[epoch]);
		/* @x is about to be freed or put on another list. */
		space->recycling = space->recycling->next;
		if (x->kind != IOVA_KIND_CHUNK)
			free_extent(space, x);
		else
			chunk_recycle(space, to_chunk(x), epoch);
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

/* Remove what a CPU has in its cache, as it would be allocated later. */
static void reserve_from_cpu(struct iova_reservation *r, struct iova_cpu *cpu)
{
	struct iova_cpu_word *word;
	unsigned long flags;
	unsigned int w;
	u64 bits;

	raw_spin_lock_irqsave(&cpu->lock, flags);
	for (word = cpu->word; word < cpu->word + IOVA_CPU_WORDS; word++) {
		if (!word->free || word->chunk != r->chunk)
			continue;
		w = iova_base_word(word->base);
		bits = word->free & r->fresh[w];
		word->free &= ~bits;
		r->busy[w] &= ~bits;
	}
	raw_spin_unlock_irqrestore(&cpu->lock, flags);
}

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
	unsigned int cpu, w;
	u64 busy = 0;

	for_each_possible_cpu(cpu)
		reserve_from_cpu(r, per_cpu_ptr(r->space->cpu, cpu));
	for (w = 0; w < IOVA_WORDS; w++)
		busy |= r->busy[w];
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
	struct iova_cpu *of;
	unsigned int cpu, i;

	if (first == IOVA_NONE || first > last || last == ULONG_MAX)
		return -EINVAL;
	*space = (struct iova_space) {};
	space->cpu = alloc_percpu(struct iova_cpu);
	if (!space->cpu)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		of = per_cpu_ptr(space->cpu, cpu);
		raw_spin_lock_init(&of->lock);
		for (i = 0; i < IOVA_CPU_WORDS; i++)
			of->word[i].base = IOVA_NO_WORD;
	}
	iova_pool_init(&space->pool, first, last, granule_shift);
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
	kfree(space->spare);
	iova_pool_destroy(&space->pool);
	free_percpu(space->cpu);
}
EXPORT_SYMBOL_IF_KUNIT(iova_space_destroy);
