/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout: which segments a scatterlist becomes. See sg-layout.c.
 */
#ifndef _IOMMU_DMA_SG_LAYOUT_H
#define _IOMMU_DMA_SG_LAYOUT_H

#include <linux/types.h>

/**
 * struct sg_layout - what a device and its IOMMU ask of a list
 * @granule: smallest IOMMU page, bytes
 * @unit: bytes; an entry that begins a segment keeps its offset in this power
 *	of two, at least @granule
 * @boundary: no segment crosses a multiple of this many bytes; a power of two,
 *	or 0 for none
 * @max_segment: most bytes in a segment made of several entries, and in one that
 *	is to be contiguous
 * @contiguous: all entries are to be one segment
 */
struct sg_layout {
	u64 granule;
	u64 unit;
	u64 boundary;
	u64 max_segment;
	bool contiguous;
};

/**
 * struct sg_cursor - how far a layout has come
 * @end: where the bytes placed so far end, from the beginning of the range
 * @segment: bytes in the segment that @end belongs to; 0 if the next entry
 *	has to begin one
 * @segments: number of segments so far; not counted in a dense list
 *
 * All zero to begin with.
 */
struct sg_cursor {
	u64 end;
	u64 segment;
	unsigned int segments;
};

/**
 * struct sg_place - where an entry goes
 * @start: of its first byte, from the beginning of the range
 * @merged: it continues the segment of the entry before
 */
struct sg_place {
	u64 start;
	bool merged;
};

struct sg_place iommu_dma_layout_next(const struct sg_layout *layout,
				      struct sg_cursor *cursor, u64 phys,
				      u64 len);
bool iommu_dma_layout_fits(const struct sg_layout *layout,
			   const struct sg_cursor *cursor);

/**
 * iommu_dma_layout_is_dense - whether each entry can begin where the one before ends
 * @layout: what device and IOMMU ask for
 * @phys: where in memory the first entry begins
 * @bits: where entries that follow each other end and begin, ORed
 * @bytes: of all entries
 *
 * So it is for most lists, those of buffers in pages of whatever order, and then
 * iommu_dma_layout_dense() has the same results as iommu_dma_layout_next() for less; also for
 * one that is to be contiguous, if it is not longer than a segment may be.
 *
 * Return: true if they meet at units and no boundary is among them.
 */
static inline bool iommu_dma_layout_is_dense(const struct sg_layout *layout,
					     u64 phys, u64 bits, u64 bytes)
{
	return !(bits & (layout->unit - 1)) &&
	       (!layout->boundary ||
		(phys & (layout->unit - 1)) + bytes <= layout->boundary);
}

/* Where a dense list begins that begins at @phys */
static inline struct sg_cursor
iommu_dma_layout_dense_start(const struct sg_layout *layout, u64 phys)
{
	return (struct sg_cursor){ .end = phys & (layout->unit - 1) };
}

/* iommu_dma_layout_next() of a dense list */
static __always_inline struct sg_place
iommu_dma_layout_dense(const struct sg_layout *layout, struct sg_cursor *cursor,
		       u64 len)
{
	struct sg_place place = { .start = cursor->end };
	u64 segment = cursor->segment + len;

	place.merged = cursor->segment && segment <= layout->max_segment;
	cursor->segment = place.merged ? segment : len;
	cursor->end += len;
	return place;
}

/* The next entry has an address elsewhere: a segment of its own. */
static inline void iommu_dma_layout_elsewhere(struct sg_cursor *cursor)
{
	cursor->segment = 0;
	cursor->segments++;
}

#endif /* _IOMMU_DMA_SG_LAYOUT_H */
