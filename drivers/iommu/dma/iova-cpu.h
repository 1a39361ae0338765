/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cache of a CPU, in front of the pool. See iova-cpu.c.
 */
#ifndef _IOVA_CPU_H
#define _IOVA_CPU_H

#include <linux/bits.h>
#include <linux/log2.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "iova-pool.h"

/* Words in the cache of a CPU: at most 2 MiB with a granule of 4 KiB */
#define IOVA_CPU_WORDS		8

/* With these, struct iova_cpu takes a little less than 2 KiB. */
#define IOVA_CPU_RANGES		138

/* Kept ranges are sorted by size: of 1, 2, up to 4, 8, 16, 32, 64 granules. */
#define IOVA_CPU_ORDERS		7

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
 * struct iova_cpu_range - a range that has been freed and is kept
 * @first: its first granule in its chunk
 * @size: granules, 1 to IOVA_WORD; it does not cross from one word to the next
 */
struct iova_cpu_range {
	u16 first : 9;
	u16 size : 7;
};

static_assert(IOVA_CHUNK_GRANULES == BIT(9) && IOVA_WORD < BIT(7),
	      "the fields of struct iova_cpu_range do not suffice");

/**
 * struct iova_cpu - the cache of a CPU
 * @lock: protects all fields. Other CPUs take it only to drain or to reserve
 * @word: words that are being used up
 * @at: index of the word that was used last
 * @filled: bit per word, set while the word may have free granules; always set
 *	for @at once a word has been filled
 * @victim: index of the word to drain next when all are filled
 * @unseen: by zone, bit per word of @chunk that has not been looked at yet
 * @chunk: by zone of the request's limit, the CPU chunk; or NULL
 * @kept: by zone of their chunks, granules of kept ranges
 * @nr: by zone and order, number of kept ranges
 * @nr_unused: number of entries without a range
 * @top: by zone and order, the range that was kept last, as an index of the
 *	following arrays plus 1; 0 if there is none
 * @unused: likewise, of the entries without a range
 * @next: likewise, what is below in the same stack
 * @range: the kept ranges
 * @range_chunk: their chunks
 *
 * @lock is raw, and &iova_pool.lock nests inside it.
 */
struct iova_cpu {
	raw_spinlock_t lock;
	u8 at;
	u8 filled;
	u8 victim;
	u8 unused;
	struct iova_cpu_word word[IOVA_CPU_WORDS];
	u8 top[IOVA_ZONES][IOVA_CPU_ORDERS];
	u8 unseen[IOVA_ZONES];
	struct iova_chunk *chunk[IOVA_ZONES];
	unsigned int kept[IOVA_ZONES];
	u8 nr[IOVA_ZONES][IOVA_CPU_ORDERS];
	u8 nr_unused;
	u8 next[IOVA_CPU_RANGES];
	struct iova_cpu_range range[IOVA_CPU_RANGES];
	struct iova_chunk *range_chunk[IOVA_CPU_RANGES];
};

void iova_cpu_init(struct iova_cpu *cpu);
bool iova_cpu_alloc_kept(const struct iova_pool *pool, struct iova_cpu *cpu,
			 unsigned int zone, const struct iova_request *req,
			 struct iova_range *range);
bool iova_cpu_alloc(const struct iova_pool *pool, struct iova_cpu *cpu,
		    unsigned int zone, const struct iova_request *req,
		    struct iova_range *range);
bool iova_cpu_alloc_chunk(struct iova_pool *pool, struct iova_cpu *cpu,
			  unsigned int zone, const struct iova_request *req,
			  struct iova_range *range);
void iova_cpu_free(struct iova_pool *pool, struct iova_cpu *cpu,
		   const struct iova_range *range);
bool iova_cpu_gather(struct iova_pool *pool, struct iova_cpu *cpu,
		     unsigned int from, u32 classes,
		     const struct iova_request *req,
		     struct iova_range *range);
struct iova_chunk *iova_cpu_install(struct iova_cpu *cpu, unsigned int zone,
				    struct iova_chunk *c);
void iova_cpu_drain(struct iova_pool *pool, struct iova_cpu *cpu);
void iova_cpu_drain_chunk(struct iova_pool *pool, struct iova_cpu *cpu,
			  struct iova_chunk *c, u64 *drained);

/* Allocate from a cached word; the caller holds @lock. */
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
	iova_chunk_set_range(word->chunk, first, req, range);
	return true;
}

/* The order of a range of @size granules, up to IOVA_WORD */
static __always_inline unsigned int iova_cpu_order(unsigned int size)
{
	return fls(size - 1);
}

/* Whether a range of @size granules can be kept, of a chunk in @zone */
static __always_inline bool iova_cpu_has_room(const struct iova_pool *pool,
					      const struct iova_cpu *cpu,
					      unsigned int zone,
					      unsigned int size)
{
	return cpu->unused &&
	       cpu->kept[zone] + size <= pool->keep_max[zone] &&
	       !atomic_read(&pool->nr_short);
}

/* Free an entry of a stack, which @link names: the top, or one further down. */
static __always_inline void iova_cpu_pop(struct iova_cpu *cpu,
					 unsigned int zone, unsigned int order,
					 u8 *link)
{
	unsigned int at = *link;

	*link = cpu->next[at - 1];
	cpu->next[at - 1] = cpu->unused;
	cpu->unused = at;
	cpu->nr_unused++;
	cpu->nr[zone][order]--;
}

/*
 * Allocate the range that was kept last for requests like @req, if it is of
 * exactly that size. The caller holds @lock.
 */
static __always_inline bool iova_cpu_reuse(struct iova_cpu *cpu,
					   unsigned int zone,
					   const struct iova_request *req,
					   struct iova_range *range)
{
	unsigned int order = iova_cpu_order(req->size);
	u8 *top = &cpu->top[zone][order];
	struct iova_cpu_range kept;
	unsigned long first;
	struct iova_chunk *c;

	if (!*top)
		return false;
	kept = cpu->range[*top - 1];
	c = cpu->range_chunk[*top - 1];
	first = c->first + kept.first;
	if (unlikely(kept.size != req->size || first & (req->align - 1) ||
		     first + kept.size - 1 > req->limit))
		return false;
	iova_cpu_pop(cpu, zone, order, top);
	cpu->kept[zone] -= kept.size;
	iova_chunk_set_range(c, first, req, range);
	return true;
}

/*
 * Keep a range that has been freed. The caller holds @lock: who reserves
 * granules of the chunk takes it after saying so in the chunk.
 * Return: false if there is no room, or granules of the chunk are reserved.
 */
static __always_inline bool iova_cpu_keep(const struct iova_pool *pool,
					  struct iova_cpu *cpu,
					  struct iova_chunk *c,
					  unsigned long first,
					  unsigned int size)
{
	unsigned int zone = c->zone;
	unsigned int order = iova_cpu_order(size), at = cpu->unused;
	u8 *top = &cpu->top[zone][order];

	if (unlikely(!iova_cpu_has_room(pool, cpu, zone, size) ||
		     READ_ONCE(c->reserved)))
		return false;
	cpu->unused = cpu->next[at - 1];
	cpu->next[at - 1] = *top;
	*top = at;
	cpu->nr_unused--;
	cpu->nr[zone][order]++;
	cpu->kept[zone] += size;
	cpu->range[at - 1] = (struct iova_cpu_range) {
		.first = first % IOVA_CHUNK_GRANULES, .size = size,
	};
	cpu->range_chunk[at - 1] = c;
	return true;
}

#endif /* _IOVA_CPU_H */
