/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * The model is told in iova.c. Everything here counts in granules (the
 * smallest IOMMU page of the domain); "last" is inclusive throughout, so that
 * the top of the address space needs no special case.
 */
#ifndef _DMA_IOVA_H
#define _DMA_IOVA_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

/* A chunk is what one last-level page table covers with a 4 KiB granule. */
#define IOVA_CHUNK_LG2		9
#define IOVA_CHUNK_GRANULES	(1UL << IOVA_CHUNK_LG2)
#define IOVA_CHUNK_WORDS	(IOVA_CHUNK_GRANULES / 64)

/* Requests up to this many granules come out of a chunk. */
#define IOVA_SMALL_MAX		(IOVA_CHUNK_GRANULES / 4)

/* No range starts at granule 0: device address 0 means trouble to too many. */
#define IOVA_NONE		0UL

/*
 * Zones keep narrow address limits from starving behind wide ones: a chunk
 * belongs to the narrowest zone that holds all of it, and a CPU keeps one
 * chunk at hand per zone.
 */
#define IOVA_ZONES		8

/* Parked chunks are sorted by the largest free run: 2^class granules. */
#define IOVA_CLASS_PAIR		7	/* two whole words side by side */
#define IOVA_CLASS_EMPTY	8
#define IOVA_CLASSES		9

/* An epoch is one of two generations of ranges that wait for a flush. */
#define IOVA_EPOCHS		2

struct iova_cpu;

/**
 * struct iova_gaps - what the tree knows of the free space below its nodes
 * @granules: longest gap
 * @chunks: most whole, aligned chunks in one gap
 */
struct iova_gaps {
	unsigned long granules;
	unsigned long chunks;
};

enum iova_kind {
	IOVA_KIND_RESERVED,
	IOVA_KIND_LARGE,
	IOVA_KIND_CHUNK,
};

/**
 * struct iova_extent - a taken part of the address space
 * @node: in &iova_space.extents, by address
 * @gap_first: first granule of the free gap just below this extent
 * @first: first granule
 * @last: last granule
 * @below: the largest gaps in this node's subtree
 * @kind: what the extent is used for
 * @mapped: a large range that has been handed out and not been claimed
 * @retired: place in the list of what waits for an epoch's flush
 *
 * The gap is kept with the extent above it, so giving an extent back needs
 * no memory: its own range and gap join the gap of its neighbour.
 *
 * Protected by &iova_space.lock, except @retired.
 */
struct iova_extent {
	struct rb_node node;
	unsigned long gap_first;
	unsigned long first;
	unsigned long last;
	struct iova_gaps below;
	enum iova_kind kind;
	bool mapped;
	struct llist_node retired[IOVA_EPOCHS];
};

/**
 * struct iova_space - the addresses of one domain
 * @lock: protects the tree, the lists of parked chunks and chunk ownership
 * @extents: taken extents by address, augmented with the gaps between them
 * @chunks: chunk by granule number / IOVA_CHUNK_GRANULES, read under RCU
 * @parked: chunks that no CPU owns and that have free granules, best first
 * @nr_empty: chunks on the IOVA_CLASS_EMPTY lists
 * @cpu: the chunks each CPU allocates from
 * @retired: per epoch, what waits for that epoch's flush
 * @recycling: flushed but not yet given back; the caller serialises
 * @recycling_epoch: the epoch that @recycling belongs to; likewise
 * @floor: everything below the lowest usable granule
 * @ceiling: everything above the highest usable granule
 * @granule_lg2: log2 of the granule in bytes, to sort limits into zones
 *
 * Lock order: &iova_chunk.lock, then &iova_space.lock. Both are raw and held
 * for bounded steps, so any context may call.
 */
struct iova_space {
	raw_spinlock_t lock;
	struct rb_root extents;
	struct xarray chunks;
	struct list_head parked[IOVA_ZONES][IOVA_CLASSES];
	unsigned int nr_empty;
	struct iova_cpu __percpu *cpu;
	struct llist_head retired[IOVA_EPOCHS];
	struct llist_node *recycling;
	unsigned int recycling_epoch;
	struct iova_extent floor;
	struct iova_extent ceiling;
	unsigned int granule_lg2;
};

/**
 * struct iova_request - what a range has to satisfy
 * @size: granules, at least 1
 * @align: the first granule is a multiple of this power of two
 * @limit: the last granule is at most this
 * @boundary: no range crosses a multiple of this power of two; 0 for none
 */
struct iova_request {
	unsigned long size;
	unsigned long align;
	unsigned long limit;
	unsigned long boundary;
};

/**
 * struct iova_range - a range that was handed out
 * @first: first granule
 * @last: last granule
 * @extent: where it came from; valid until the range is released or retired
 */
struct iova_range {
	unsigned long first;
	unsigned long last;
	struct iova_extent *extent;
};

int iova_space_init(struct iova_space *space, unsigned long first,
		    unsigned long last, unsigned int granule_lg2);
void iova_space_destroy(struct iova_space *space);
int iova_reserve(struct iova_space *space, unsigned long first,
		 unsigned long last);

bool iova_alloc(struct iova_space *space, const struct iova_request *req,
		struct iova_range *range);
bool iova_claim(struct iova_space *space, unsigned long first,
		struct iova_range *range);
void iova_release(struct iova_space *space, const struct iova_range *range);
void iova_retire(struct iova_space *space, const struct iova_range *range,
		 unsigned int epoch);
void iova_recycle_start(struct iova_space *space, unsigned int epoch);
bool iova_recycle(struct iova_space *space, unsigned int budget);

unsigned long iova_largest_gap(struct iova_space *space, unsigned long limit);

#endif /* _DMA_IOVA_H */
