/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout: which segments a scatterlist becomes. See sg-layout.c.
 */
#ifndef _DMA_SCATTERLIST_H
#define _DMA_SCATTERLIST_H

#include <linux/types.h>

/**
 * struct dma_layout - what a device and its IOMMU ask of a list
 * @granule: smallest IOMMU page, bytes
 * @unit: bytes; an entry that begins a segment keeps its offset in this power
 *	of two, at least @granule
 * @boundary: no segment crosses a multiple of this many bytes; a power of two,
 *	or 0 for none
 * @max_segment: most bytes in a segment made of several entries, and in one that
 *	is to be contiguous
 * @contiguous: all entries are to be one segment
 */
struct dma_layout {
	u64 granule;
	u64 unit;
	u64 boundary;
	u64 max_segment;
	bool contiguous;
};

/**
 * struct dma_cursor - how far a layout has come
 * @end: where the bytes placed so far end, from the beginning of the range
 * @segment: bytes in the segment that @end belongs to; 0 if the next entry
 *	has to begin one
 * @segments: number of segments so far; not counted in a dense list
 *
 * All zero to begin with.
 */
struct dma_cursor {
	u64 end;
	u64 segment;
	unsigned int segments;
};

/**
 * struct dma_place - where an entry goes
 * @start: of its first byte, from the beginning of the range
 * @joins: it continues the segment of the entry before
 */
struct dma_place {
	u64 start;
	bool joins;
};

struct dma_place dma_layout_next(const struct dma_layout *layout,
				 struct dma_cursor *cursor, u64 phys, u64 len);
bool dma_layout_fits(const struct dma_layout *layout,
		     const struct dma_cursor *cursor);

/**
 * dma_layout_is_dense - whether each entry can begin where the one before ends
 * @layout: what device and IOMMU ask for
 * @phys: where in memory the first entry begins
 * @bits: where entries that follow each other end and begin, ORed
 * @bytes: of all entries
 *
 * So it is for most lists, those of buffers in pages of whatever order, and then
 * dma_layout_dense() has the same results as dma_layout_next() for less; also for
 * one that is to be contiguous, if it is not longer than a segment may be.
 *
 * Return: true if they meet at units and no boundary is among them.
 */
static inline bool dma_layout_is_dense(const struct dma_layout *layout,
				       u64 phys, u64 bits, u64 bytes)
{
	return !(bits & (layout->unit - 1)) &&
	       (!layout->boundary ||
		(phys & (layout->unit - 1)) + bytes <= layout->boundary);
}

/* Where a dense list begins that begins at @phys */
static inline struct dma_cursor
dma_layout_dense_start(const struct dma_layout *layout, u64 phys)
{
	return (struct dma_cursor) { .end = phys & (layout->unit - 1) };
}

/* dma_layout_next() of a dense list */
static __always_inline struct dma_place
dma_layout_dense(const struct dma_layout *layout, struct dma_cursor *cursor,
		 u64 len)
{
	struct dma_place place = { .start = cursor->end };
	u64 segment = cursor->segment + len;

	place.joins = cursor->segment && segment <= layout->max_segment;
	cursor->segment = place.joins ? segment : len;
	cursor->end += len;
	return place;
}

/* The next entry has an address elsewhere: a segment of its own. */
static inline void dma_layout_elsewhere(struct dma_cursor *cursor)
{
	cursor->segment = 0;
	cursor->segments++;
}

#endif /* _DMA_SCATTERLIST_H */
