/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout: which segments a scatterlist becomes. See scatterlist.c.
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
 * @max_segment: most bytes in a segment made of several entries
 */
struct dma_layout {
	u64 granule;
	u64 unit;
	u64 boundary;
	u64 max_segment;
};

/**
 * struct dma_cursor - how far a layout has come
 * @end: where the bytes placed so far end, from the beginning of the range
 * @segment: bytes in the segment that @end belongs to; 0 if the next entry
 *	has to begin one
 *
 * All zero to begin with.
 */
struct dma_cursor {
	u64 end;
	u64 segment;
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

/* The next entry begins a segment, whatever it is. */
static inline void dma_layout_break(struct dma_cursor *cursor)
{
	cursor->segment = 0;
}

#endif /* _DMA_SCATTERLIST_H */
