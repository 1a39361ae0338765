// SPDX-License-Identifier: GPL-2.0
/*
 * The cache of a CPU, in front of the pool.
 *
 * A CPU has free granules to itself, which are marked used in their chunks. It
 * allocates and frees them without a lock but its own. There are three kinds:
 *
 *   words       free granules of a few words, used from the lowest on, so that
 *               ranges allocated one after another are neighbours
 *   ranges      what has been freed, as it was; in a stack for each size, so that
 *               the order in which ranges come back costs nothing
 *   CPU chunks  one for each zone, from which words are refilled
 *
 * When there is no room to keep a range, a part of the largest stack is put back,
 * with the lock of the pool taken once. Likewise, where the pool has fragments
 * left, and no whole words, or the zone is too small for CPU chunks, or ranges are of
 * more than half a word, ranges for the same request are gathered to take up a part of
 * what is unused. So ranges of one size go many at a time, and of many sizes none gets
 * all of the room. How many granules a CPU may keep follows from the size of the zone
 * and the number of CPUs (&iova_pool.keep_max).
 *
 * Other CPUs only drain a cache: before a request is refused, and when granules
 * become reserved. While a CPU is short of addresses, none caches anything, as
 * what has just been drained would be out of reach again.
 */

#include <linux/bitops.h>
#include <linux/lockdep.h>

#include "iova-cpu.h"

/* At a time a quarter is put back, or gathered: many, where all are alike. */
#define IOVA_CPU_PART		4

/*
 * Most chunks to gather from, and ranges to put back, at a time: interrupts are
 * off, and each takes up to 1,000, or 600, instructions.
 */
#define IOVA_CPU_GATHER_CHUNKS	12
#define IOVA_CPU_PUT_BACK	28

/* Most kept ranges to look at for a request */
#define IOVA_CPU_TRIES		4

/**
 * iova_cpu_init - initialise with nothing cached
 * @cpu: the cache, all zero
 *
 * Context: Any.
 */
void iova_cpu_init(struct iova_cpu *cpu)
{
	unsigned int i;

	raw_spin_lock_init(&cpu->lock);
	for (i = 0; i < IOVA_CPU_WORDS; i++)
		cpu->word[i].base = IOVA_NO_WORD;
	for (i = 0; i < IOVA_CPU_RANGES; i++)
		cpu->next[i] = i;
	cpu->unused = IOVA_CPU_RANGES;
	cpu->nr_unused = IOVA_CPU_RANGES;
}

/*
 * Words.
 */

/* Give the free granules of a cached word back to its chunk. */
static void word_drain(struct iova_pool *pool, struct iova_cpu_word *word)
{
	if (word->free)
		iova_pool_free_bits(pool, word->chunk,
				    iova_base_word(word->base), word->free);
	word->free = 0;
}

/* The cached word at @base, or one that can be filled with it */
static struct iova_cpu_word *word_for(struct iova_pool *pool,
				      struct iova_cpu *cpu, unsigned long base)
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
		word_drain(pool, &cpu->word[i]);
	}
	return &cpu->word[i];
}

static bool words_alloc(struct iova_cpu *cpu, unsigned int zone,
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
static void word_refill(struct iova_pool *pool, struct iova_cpu *cpu,
			struct iova_chunk *c, unsigned int w, unsigned int zone)
{
	unsigned long base = c->first + w * IOVA_WORD;
	u64 free = ~atomic64_fetch_or(~0ULL, &c->used[w]);
	const u64 *reserved = READ_ONCE(c->reserved);
	struct iova_cpu_word *word;

	if (unlikely(reserved))
		free &= ~READ_ONCE(reserved[w]);
	word = word_for(pool, cpu, base);
	word->chunk = c;
	word->base = base;
	word->zone = zone;
	word->free |= free;
	cpu->at = word - cpu->word;
	cpu->filled |= BIT(cpu->at);
}

/*
 * Refill the cache from the CPU chunk, word after word, until one has a place
 * for @req. Each word is looked at once; granules that are freed later are found
 * when the chunk becomes partial.
 */
static bool words_refill(struct iova_pool *pool, struct iova_cpu *cpu,
			 unsigned int zone, const struct iova_request *req)
{
	struct iova_chunk *c = cpu->chunk[zone];
	unsigned int w;
	u64 free;

	while (cpu->unseen[zone]) {
		w = __ffs(cpu->unseen[zone]);
		cpu->unseen[zone] &= cpu->unseen[zone] - 1;
		free = iova_chunk_free_mask(c, w);
		if (!free || !iova_request_starts(free, c->first +
						   w * IOVA_WORD, req))
			continue;
		word_refill(pool, cpu, c, w, zone);
		return true;
	}
	return false;
}

static void words_drain(struct iova_pool *pool, struct iova_cpu *cpu,
			const struct iova_chunk *c)
{
	struct iova_cpu_word *word;

	for (word = cpu->word; word < cpu->word + IOVA_CPU_WORDS; word++)
		if (!c || word->chunk == c)
			word_drain(pool, word);
}

/*
 * Ranges.
 */

/**
 * struct iova_cpu_bits - granules of a word that are being put back
 * @c: the chunk
 * @w: the word
 * @bits: the granules; none yet if 0
 */
struct iova_cpu_bits {
	struct iova_chunk *c;
	unsigned int w;
	u64 bits;
};

static void bits_free(struct iova_pool *pool, const struct iova_cpu_bits *b)
{
	if (b->bits)
		iova_pool_free_bits_locked(pool, b->c, b->w, b->bits);
}

/*
 * Put @n ranges of a stack back. Neighbours that were freed one after another are
 * put back at once.
 */
static void stack_put_back(struct iova_pool *pool, struct iova_cpu *cpu,
			   unsigned int zone, unsigned int order,
			   unsigned int n)
{
	u8 *top = &cpu->top[zone][order];
	struct iova_cpu_bits b = {};
	struct iova_cpu_range kept;
	struct iova_chunk *c;
	unsigned int w;

	lockdep_assert_held(&pool->lock);
	while (n--) {
		kept = cpu->range[*top - 1];
		c = cpu->range_chunk[*top - 1];
		w = kept.first / IOVA_WORD;
		if (c != b.c || w != b.w) {
			bits_free(pool, &b);
			b = (struct iova_cpu_bits) { .c = c, .w = w };
		}
		b.bits |= iova_word_bits(kept.first, kept.size);
		cpu->kept[zone] -= kept.size;
		iova_cpu_pop(cpu, zone, order, top);
	}
	bits_free(pool, &b);
}

/* Make room for a range of @zone: put back a part of the stack with most ranges. */
static void put_back(struct iova_pool *pool, struct iova_cpu *cpu,
		     unsigned int zone)
{
	unsigned int z, order, most_zone = zone, most_order = 0;
	u8 most = 0;

	for (z = 0; z < IOVA_ZONES; z++) {
		/* If not the entries, it is the granules of its own zone. */
		if (cpu->unused && z != zone)
			continue;
		for (order = 0; order < IOVA_CPU_ORDERS; order++) {
			if (cpu->nr[z][order] <= most)
				continue;
			most = cpu->nr[z][order];
			most_zone = z;
			most_order = order;
		}
	}
	raw_spin_lock(&pool->lock);
	stack_put_back(pool, cpu, most_zone, most_order,
		       min(DIV_ROUND_UP(most, IOVA_CPU_PART), IOVA_CPU_PUT_BACK));
	raw_spin_unlock(&pool->lock);
}

/* Put up to @most ranges back. Return: whether none is left. */
static bool ranges_drain(struct iova_pool *pool, struct iova_cpu *cpu,
			 unsigned int most)
{
	unsigned int zone, order, n;

	raw_spin_lock(&pool->lock);
	for (zone = 0; zone < IOVA_ZONES; zone++) {
		for (order = 0; order < IOVA_CPU_ORDERS; order++) {
			n = min(cpu->nr[zone][order], most);
			stack_put_back(pool, cpu, zone, order, n);
			most -= n;
		}
	}
	raw_spin_unlock(&pool->lock);
	return cpu->nr_unused == IOVA_CPU_RANGES;
}

/**
 * iova_cpu_gather - allocate from partial chunks, and keep more of them
 * @pool: of the address space
 * @cpu: this CPU's cache
 * @from: zone of the chunks to take them from; if it does not serve that of @req,
 *	the range is all that is taken
 * @classes: of the chunks to look at, a bit for each
 * @req: what the range has to satisfy; up to IOVA_WORD granules
 * @range: where to store it
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off. It ends with
 * iova_pool_reap().
 * Return: false if there is no such chunk, or the first of them has no place.
 */
bool iova_cpu_gather(struct iova_pool *pool, struct iova_cpu *cpu,
		     unsigned int from, u32 classes,
		     const struct iova_request *req,
		     struct iova_range *range)
{
	unsigned int most = 1, n = 0, before;
	unsigned int chunks = IOVA_CPU_GATHER_CHUNKS;
	unsigned long first;
	struct iova_chunk *c;

	/* It finds again what is kept, then. */
	if (iova_pool_serves(pool, from, iova_pool_zone(pool, req->limit)))
		most += cpu->nr_unused / IOVA_CPU_PART;
	raw_spin_lock(&pool->lock);
	do {
		before = n;
		c = iova_pool_get_locked(pool, from, classes, req->limit);
		if (!c)
			break;
		while (n < most &&
		       (!n || iova_cpu_has_room(pool, cpu, from, req->size))) {
			first = iova_chunk_take_run(c, req);
			if (first == IOVA_NONE)
				break;
			if (!n++)
				iova_chunk_set_range(c, first, req, range);
			else if (!iova_cpu_keep(pool, cpu, c, first, req->size))
				iova_chunk_clear_bits(c, iova_base_word(first),
						      iova_word_bits(first, req->size));
		}
		iova_pool_put_locked(pool, c);
	} while (n > before && n < most && --chunks &&
		 iova_cpu_has_room(pool, cpu, from, req->size));
	raw_spin_unlock(&pool->lock);
	return n;
}

/*
 * Allocate a kept range, of chunks in @zone, that is not just what is needed. Looks
 * at a few ranges, and keeps what it does not need of one.
 */
static bool reuse_slow(struct iova_cpu *cpu, unsigned int zone,
		       const struct iova_request *req,
		       struct iova_range *range)
{
	unsigned int order = iova_cpu_order(req->size);
	u8 *link = &cpu->top[zone][order];
	unsigned int tries = IOVA_CPU_TRIES, at;
	struct iova_cpu_range *kept;
	unsigned long first;
	struct iova_chunk *c;

	for (; *link && tries--; link = &cpu->next[*link - 1]) {
		at = *link;
		kept = &cpu->range[at - 1];
		c = cpu->range_chunk[at - 1];
		first = c->first + kept->first;
		if (kept->size < req->size || first & (req->align - 1) ||
		    first + req->size - 1 > req->limit)
			continue;
		cpu->kept[zone] -= req->size;
		if (kept->size == req->size) {
			iova_cpu_pop(cpu, zone, order, link);
		} else {
			kept->first += req->size;
			kept->size -= req->size;
			*link = cpu->next[at - 1];
			cpu->nr[zone][order]--;
			order = iova_cpu_order(kept->size);
			cpu->next[at - 1] = cpu->top[zone][order];
			cpu->top[zone][order] = at;
			cpu->nr[zone][order]++;
		}
		iova_chunk_set_range(c, first, req, range);
		return true;
	}
	return false;
}

/**
 * iova_cpu_free - free a range that iova_cpu_keep() does not keep
 * @pool: of the address space
 * @cpu: this CPU's cache
 * @range: up to IOVA_WORD granules
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off. It ends with
 * iova_pool_reap().
 */
void iova_cpu_free(struct iova_pool *pool, struct iova_cpu *cpu,
		   const struct iova_range *range)
{
	unsigned int size = iova_range_granules(range);
	struct iova_chunk *c = to_chunk(range->extent);

	if (size <= pool->keep_max[c->zone] && !READ_ONCE(c->reserved)) {
		put_back(pool, cpu, c->zone);
		if (iova_cpu_keep(pool, cpu, c, range->first, size))
			return;
	}
	iova_pool_free_bits(pool, c, iova_base_word(range->first),
			    iova_word_bits(range->first, size));
}

/*
 * All together.
 */

/**
 * iova_cpu_alloc_kept - allocate from the ranges that are kept
 * @pool: of the address space
 * @cpu: this CPU's cache
 * @zone: zone of the request
 * @req: what the range has to satisfy; up to IOVA_WORD granules
 * @range: where to store it
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off.
 * Return: false if none of them will do.
 */
bool iova_cpu_alloc_kept(const struct iova_pool *pool, struct iova_cpu *cpu,
			 unsigned int zone, const struct iova_request *req,
			 struct iova_range *range)
{
	int z;

	for (z = zone; z >= 0; z--)
		if (iova_pool_serves(pool, z, zone) &&
		    reuse_slow(cpu, z, req, range))
			return true;
	return false;
}

/**
 * iova_cpu_alloc - allocate from what is cached
 * @pool: of the address space
 * @cpu: this CPU's cache
 * @zone: zone of the request
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off.
 * Return: false if nothing of it will do.
 */
bool iova_cpu_alloc(const struct iova_pool *pool, struct iova_cpu *cpu,
		    unsigned int zone, const struct iova_request *req,
		    struct iova_range *range)
{
	return req->size <= IOVA_WORD &&
	       (words_alloc(cpu, zone, req, range) ||
		iova_cpu_alloc_kept(pool, cpu, zone, req, range));
}

/**
 * iova_cpu_alloc_chunk - allocate from the CPU chunk
 * @pool: of the address space
 * @cpu: this CPU's cache
 * @zone: zone of the request
 * @req: what the range has to satisfy
 * @range: where to store it
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off. It ends with
 * iova_pool_reap().
 * Return: false if the chunk has no place, or there is none.
 */
bool iova_cpu_alloc_chunk(struct iova_pool *pool, struct iova_cpu *cpu,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range)
{
	struct iova_chunk *c = cpu->chunk[zone];

	if (!c || c->extent.last > req->limit)
		return false;
	if (atomic_read(&pool->nr_short))
		return iova_chunk_take(c, req, range);
	if (req->size <= IOVA_WORD)
		return words_refill(pool, cpu, zone, req) &&
		       iova_cpu_word_alloc(&cpu->word[cpu->at], req, range);
	words_drain(pool, cpu, c);
	return iova_chunk_take(c, req, range);
}

/**
 * iova_cpu_install - give a CPU another chunk to refill from
 * @cpu: this CPU's cache
 * @zone: zone of the requests that it is for
 * @c: a CPU chunk that no CPU has
 *
 * Context: The caller holds &iova_cpu.lock, interrupts are off.
 * Return: the chunk that the CPU had, for iova_pool_put_partial(); or NULL.
 */
struct iova_chunk *iova_cpu_install(struct iova_cpu *cpu, unsigned int zone,
				    struct iova_chunk *c)
{
	struct iova_chunk *old = cpu->chunk[zone];

	cpu->chunk[zone] = c;
	cpu->unseen[zone] = GENMASK(IOVA_WORDS - 1, 0);
	return old;
}

/**
 * iova_cpu_drain - give back all that a CPU has
 * @pool: of the address space
 * @cpu: the cache of any CPU; it keeps nothing meanwhile, as it is offline or
 *	&iova_pool.nr_short is not 0
 *
 * Context: Any. The caller ends with iova_pool_reap().
 */
void iova_cpu_drain(struct iova_pool *pool, struct iova_cpu *cpu)
{
	unsigned long flags;
	unsigned int zone;
	bool done;

	do {
		raw_spin_lock_irqsave(&cpu->lock, flags);
		done = ranges_drain(pool, cpu, IOVA_CPU_PUT_BACK);
		raw_spin_unlock_irqrestore(&cpu->lock, flags);
	} while (!done);

	raw_spin_lock_irqsave(&cpu->lock, flags);
	words_drain(pool, cpu, NULL);
	for (zone = 0; zone < IOVA_ZONES; zone++) {
		if (cpu->chunk[zone])
			iova_pool_put_partial(pool, cpu->chunk[zone]);
		cpu->chunk[zone] = NULL;
		cpu->unseen[zone] = 0;
	}
	raw_spin_unlock_irqrestore(&cpu->lock, flags);
}

/**
 * iova_cpu_drain_chunk - give back what a CPU has cached of a chunk
 * @pool: of the address space
 * @cpu: the cache of any CPU
 * @c: the chunk
 * @drained: by word of the chunk, where to add the granules that were cached
 *
 * Context: Any. The caller ends with iova_pool_reap().
 */
void iova_cpu_drain_chunk(struct iova_pool *pool, struct iova_cpu *cpu,
			  struct iova_chunk *c, u64 *drained)
{
	unsigned int zone = c->zone, order, w;
	const struct iova_cpu_range *kept;
	u64 ranges[IOVA_WORDS] = {};
	struct iova_cpu_word *word;
	unsigned long flags;
	u8 *link;

	raw_spin_lock_irqsave(&cpu->lock, flags);
	for (word = cpu->word; word < cpu->word + IOVA_CPU_WORDS; word++)
		if (word->free && word->chunk == c)
			drained[iova_base_word(word->base)] |= word->free;
	words_drain(pool, cpu, c);
	for (order = 0; order < IOVA_CPU_ORDERS; order++) {
		link = &cpu->top[zone][order];
		while (*link) {
			if (cpu->range_chunk[*link - 1] != c) {
				link = &cpu->next[*link - 1];
				continue;
			}
			kept = &cpu->range[*link - 1];
			ranges[kept->first / IOVA_WORD] |=
				iova_word_bits(kept->first, kept->size);
			cpu->kept[zone] -= kept->size;
			iova_cpu_pop(cpu, zone, order, link);
		}
	}
	raw_spin_lock(&pool->lock);
	for (w = 0; w < IOVA_WORDS; w++) {
		drained[w] |= ranges[w];
		if (ranges[w])
			iova_pool_free_bits_locked(pool, c, w, ranges[w]);
	}
	raw_spin_unlock(&pool->lock);
	raw_spin_unlock_irqrestore(&cpu->lock, flags);
}
