// SPDX-License-Identifier: GPL-2.0
/*
 * Layout: which segments a scatterlist becomes.
 *
 * The layout is a pure function of the entries and the parameters of the
 * device. It places one entry after another in a range that begins at 0. The
 * address of the range will be aligned to the minimum alignment, and to the
 * boundary if the range is longer than that. The layout is cheap, and the same
 * entries always get the same places. So nothing has to be stored between
 * measuring a list, mapping it and writing its segments, and the list does not
 * change before all has succeeded.
 *
 *   entry       A        B        C
 *   memory   |--aaaaaa|bbbbbbbb|cccc----|     | is a granule
 *   range     --aaaaaa bbbbbbbb cccc
 *   segments    `---------1--------'
 *
 *   memory   |--aaaa--|bbbbbbbb|
 *   range     --aaaa-- bbbbbbbb               a granule is mapped whole, so
 *   segments    `-1'   `---2--'               bytes next to A cannot be B's
 *
 * An entry is merged into the segment before it if the two meet at a granule,
 * and together are no longer than a segment may be and do not cross the
 * boundary. An entry that would cross the boundary by itself moves up to it.
 * An entry is never divided; one that is too long by itself is the choice of the
 * driver.
 *
 * In a list that is to be contiguous, each entry begins where the one before it
 * ends, and granules that they share are bounced, see batch.c.
 * iommu_dma_layout_fits() checks at the end whether the device can use the
 * whole.
 *
 *   memory   |--aaaaaa|bbb-----|    |---ccccc|
 *   range     --aaaaaa bbbccccc               the second granule is bounced
 *   segments    `--------1----'
 */

#include <kunit/visibility.h>
#include <linux/align.h>
#include <linux/export.h>

#include "sg-layout.h"

static bool crosses(u64 boundary, u64 start, u64 len)
{
	return boundary && (start ^ (start + len - 1)) & ~(boundary - 1);
}

static bool merged(const struct sg_layout *layout,
		   const struct sg_cursor *cursor, u64 phys, u64 len)
{
	if (!cursor->segment)
		return false;
	if (layout->contiguous)
		return true;
	return IS_ALIGNED(phys | cursor->end, layout->granule) &&
	       cursor->segment + len <= layout->max_segment &&
	       !crosses(layout->boundary, cursor->end - cursor->segment,
			cursor->segment + len);
}

/**
 * iommu_dma_layout_next - place the next entry of a list
 * @layout: what device and IOMMU ask for
 * @cursor: where the entry before ended; is advanced
 * @phys: where in memory the entry begins; its bits below the minimum alignment
 *	matter
 * @len: bytes, at least 1
 *
 * Context: Any; pure.
 * Return: the place of the entry.
 */
struct sg_place iommu_dma_layout_next(const struct sg_layout *layout,
				      struct sg_cursor *cursor, u64 phys,
				      u64 len)
{
	struct sg_place place = { .start = cursor->end };
	u64 offset;

	if (merged(layout, cursor, phys, len)) {
		place.merged = true;
		cursor->segment += len;
	} else {
		offset = phys & (layout->min_align - 1);
		place.start = ALIGN(cursor->end, layout->granule);
		place.start += (offset - place.start) & (layout->min_align - 1);
		if (crosses(layout->boundary, place.start, len))
			place.start = ALIGN(place.start - offset,
					    layout->boundary) + offset;
		cursor->segment = len;
		cursor->segments++;
	}
	cursor->end = place.start + len;
	return place;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_layout_next);

/**
 * iommu_dma_layout_fits - whether a list has become what was asked for
 * @layout: what device and IOMMU ask for
 * @cursor: where the last entry ended
 *
 * Context: Any; pure.
 * Return: false if the list was to be contiguous, and is not, or is longer than
 * a segment may be, or crosses the boundary.
 */
bool iommu_dma_layout_fits(const struct sg_layout *layout,
			   const struct sg_cursor *cursor)
{
	if (!layout->contiguous)
		return true;
	/* A segment that is elsewhere has no place to check. */
	return cursor->segments == 1 &&
	       (!cursor->segment ||
		(cursor->segment <= layout->max_segment &&
		 !crosses(layout->boundary, cursor->end - cursor->segment,
			  cursor->segment)));
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_layout_fits);
