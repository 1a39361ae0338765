/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Extents: the taken parts of an address space, and the gaps in between.
 *
 * The model is described in iova-extents.c. Everything counts in granules (the
 * smallest IOMMU page of the domain); "last" is inclusive throughout, so that
 * the top of the address space needs no special case.
 */
#ifndef _IOVA_EXTENTS_H
#define _IOVA_EXTENTS_H

#include <linux/llist.h>
#include <linux/rbtree.h>
#include <linux/types.h>

/* A chunk is what one last-level page table covers with a 4 KiB granule. */
#define IOVA_CHUNK_SHIFT 9
#define IOVA_CHUNK_GRANULES	(1UL << IOVA_CHUNK_SHIFT)

/*
 * No range starts at granule 0, as many drivers and devices take address 0 for
 * none.
 */
#define IOVA_NONE		0UL

/* An epoch is one of two generations of ranges that wait for a flush. */
#define IOVA_EPOCHS		2

/**
 * struct iova_gaps - the largest gaps in the subtree of a node
 * @granules: granules of the longest gap
 * @aligned: granules of the largest block in a gap that is a power of two and
 *	aligned to it
 */
struct iova_gaps {
	unsigned long granules;
	unsigned long aligned;
};

enum iova_kind {
	IOVA_KIND_RESERVED,
	IOVA_KIND_LARGE,
	IOVA_KIND_CHUNK,
	IOVA_KIND_SPANNING,	/* see iova-spanning.c */
};

/**
 * struct iova_extent - a taken part of the address space
 * @node: in &iova_extents.root, by address
 * @gap_first: first granule of the free gap just below this extent
 * @first: first granule
 * @last: last granule
 * @below: the largest gaps in this node's subtree
 * @kind: what the extent is used for
 * @mapped: a large or spanning range that has been allocated and not been
 *	claimed
 * @retired: per epoch, entry in the list of what waits for its flush
 *
 * The gap is kept with the extent above it, so giving an extent back needs
 * no memory: its range and its gap become part of the gap of its neighbour.
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
 * struct iova_extents - all taken parts of an address space
 * @root: by address, augmented with the gaps
 * @floor: everything below the lowest usable granule
 * @ceiling: everything above the highest usable granule
 */
struct iova_extents {
	struct rb_root root;
	struct iova_extent floor;
	struct iova_extent ceiling;
};

/**
 * struct iova_request - what a range has to satisfy
 * @size: granules, at least 1
 * @spare: how many of them are behind what was asked for
 * @align: the first granule is a multiple of this power of two
 * @limit: the last granule is at most this
 * @boundary: no range crosses a multiple of this power of two; 0 for none
 * @soft: @limit is only preferred; the caller has another one to try
 * @quick: fail where only a search of everything may find a place; the caller
 *	tries again without this
 */
struct iova_request {
	unsigned long size;
	unsigned long spare;
	unsigned long align;
	unsigned long limit;
	unsigned long boundary;
	bool soft;
	bool quick;
};

void iova_extents_init(struct iova_extents *extents, unsigned long first,
		       unsigned long last);
unsigned long iova_highest_place(unsigned long first, unsigned long end,
				 const struct iova_request *req);
bool iova_extents_place(struct iova_extents *extents, struct iova_extent *x,
			const struct iova_request *req);
void iova_extents_insert(struct iova_extents *extents, struct iova_extent *x,
			 struct iova_extent *above);
void iova_extents_erase(struct iova_extents *extents, struct iova_extent *x);
struct iova_extent *iova_extents_at(struct iova_extents *extents,
				    unsigned long granule);
bool iova_extents_have_gap(struct iova_extents *extents, unsigned long size,
			   unsigned long limit);

#endif /* _IOVA_EXTENTS_H */
