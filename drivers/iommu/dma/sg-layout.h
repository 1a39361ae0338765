/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout: which segments a scatterlist becomes. See sg-layout.c.
 */
#ifndef _IOMMU_DMA_SG_LAYOUT_H
#define _IOMMU_DMA_SG_LAYOUT_H

#include <linux/align.h>
#include <linux/types.h>

/**
 * struct sg_layout - what a device and its IOMMU ask of a list
 * @granule: smallest IOMMU page, bytes
 * @min_align: minimum alignment in bytes, a power of two of at least @granule; an
 *	entry that begins a segment keeps its offset in it
 * @boundary: no segment crosses a multiple of this many bytes; a power of two,
 *	or 0 for none
 * @max_segment: most bytes in a segment that is made of several entries, or
 *	that is to be contiguous
 * @contiguous: all entries are to be one segment
 */
struct sg_layout {
	u64 granule;
	u64 min_align;
	u64 boundary;
	u64 max_segment;
	bool contiguous;
};

/**
 * struct sg_cursor - how far a layout has come
 * @end: end of the bytes placed so far, from the beginning of the range
 * @segment: bytes in the segment that @end belongs to; 0 if the next entry has
 *	to begin one
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
 * @start: place of its first byte, from the beginning of the range
 * @merged: the entry continues the segment of the one before
 */
struct sg_place {
	u64 start;
	bool merged;
};

static __always_inline bool
iommu_dma_layout_crosses(u64 boundary, u64 start, u64 len)
{
	return boundary && (start ^ (start + len - 1)) & ~(boundary - 1);
}

static __always_inline bool
iommu_dma_layout_merged(const struct sg_layout *layout,
			const struct sg_cursor *cursor, u64 phys, u64 len)
{
	if (!cursor->segment)
		return false;
	if (layout->contiguous)
		return true;
	return IS_ALIGNED(phys | cursor->end, layout->granule) &&
	       cursor->segment + len <= layout->max_segment &&
	       !iommu_dma_layout_crosses(layout->boundary,
					 cursor->end - cursor->segment,
					 cursor->segment + len);
}

/**
 * iommu_dma_layout_next - place the next entry of a list
 * @layout: what device and IOMMU ask for
 * @cursor: where the entry before ended; is advanced
 * @phys: where in memory the entry begins, or what it is to be like in its bits below
 *	the minimum alignment, which alone matter
 * @len: bytes, at least 1
 *
 * Context: Any; pure.
 * Return: the place of the entry.
 */
static __always_inline struct sg_place
iommu_dma_layout_next(const struct sg_layout *layout, struct sg_cursor *cursor,
		      u64 phys, u64 len)
{
	struct sg_place place = { .start = cursor->end };
	u64 offset;

	if (iommu_dma_layout_merged(layout, cursor, phys, len)) {
		place.merged = true;
		cursor->segment += len;
	} else {
		offset = phys & (layout->min_align - 1);
		place.start = ALIGN(cursor->end, layout->granule);
		place.start += (offset - place.start) & (layout->min_align - 1);
		if (iommu_dma_layout_crosses(layout->boundary, place.start, len))
			place.start = ALIGN(place.start - offset,
					    layout->boundary) + offset;
		cursor->segment = len;
		cursor->segments++;
	}
	cursor->end = place.start + len;
	return place;
}

bool iommu_dma_layout_fits(const struct sg_layout *layout,
			   const struct sg_cursor *cursor);

/**
 * iommu_dma_layout_is_dense - whether entries can follow each other closely
 * @layout: what device and IOMMU ask for
 * @phys: where in memory the first entry begins
 * @bits: where entries that follow each other end and begin, ORed
 * @bytes: bytes of all entries
 *
 * This is so for most lists, those of buffers in pages of whatever order. Then
 * iommu_dma_layout_dense() has the same results as iommu_dma_layout_next() at
 * less cost; also for a list that is to be contiguous, if it is not longer than
 * a segment may be.
 *
 * Context: Any; pure.
 * Return: true if all entries meet at multiples of the minimum alignment, and
 * the list crosses no boundary.
 */
static inline bool iommu_dma_layout_is_dense(const struct sg_layout *layout,
					     u64 phys, u64 bits, u64 bytes)
{
	return !(bits & (layout->min_align - 1)) &&
	       (!layout->boundary ||
		(phys & (layout->min_align - 1)) + bytes <= layout->boundary);
}

/* The cursor at the beginning of a dense list whose memory begins at @phys */
static inline struct sg_cursor
iommu_dma_layout_dense_start(const struct sg_layout *layout, u64 phys)
{
	return (struct sg_cursor){ .end = phys & (layout->min_align - 1) };
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

/*
 * Note that the next entry has an address elsewhere, as a segment of its own.
 */
static inline void iommu_dma_layout_elsewhere(struct sg_cursor *cursor)
{
	cursor->segment = 0;
	cursor->segments++;
}

#endif /* _IOMMU_DMA_SG_LAYOUT_H */
