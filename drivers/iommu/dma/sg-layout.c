// SPDX-License-Identifier: GPL-2.0
/*
 * Layout: which segments a scatterlist becomes.
 *
 * A pure function of the entries and the device's parameters. It places one
 * entry after the other in a range that begins at 0 and whose address will be
 * aligned to the unit, and to the boundary where it is longer than that. As it
 * is cheap, and the same entries give the same places each time, nothing has to
 * be stored between measuring a list, mapping it and telling the driver, and
 * the list itself stays as it is until all has succeeded.
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
 * An entry merged the segment before if both ends meet at a granule, and segment
 * and entry together are not more than a segment may have and do not cross the
 * boundary. One that would cross the boundary by itself moves up to it. Entries
 * are never divided: one that is by itself longer than a segment or the boundary
 * allow is the driver's choice.
 *
 * A list that is to be contiguous has no such choice: each entry begins where
 * the one before ends, and granules that they share are made for the device, see
 * batch.c. Whether the whole is what the device can use is asked at the end.
 *
 *   memory   |--aaaaaa|bbb-----|    |---ccccc|
 *   range     --aaaaaa bbbccccc               the second granule is a copy
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
 * @phys: where in memory the entry begins; its offset in a unit matters
 * @len: bytes, at least 1
 *
 * Context: Any; pure.
 * Return: its place.
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
		offset = phys & (layout->unit - 1);
		place.start = ALIGN(cursor->end, layout->granule);
		place.start += (offset - place.start) & (layout->unit - 1);
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
 * @cursor: where its last entry ended
 *
 * Context: Any; pure.
 * Return: false if it was to be contiguous and is not, or is longer or crosses
 * more than a segment may.
 */
bool iommu_dma_layout_fits(const struct sg_layout *layout,
			   const struct sg_cursor *cursor)
{
	if (!layout->contiguous)
		return true;
	/* One that is elsewhere is not placed here. */
	return cursor->segments == 1 &&
	       (!cursor->segment ||
		(cursor->segment <= layout->max_segment &&
		 !crosses(layout->boundary, cursor->end - cursor->segment,
			  cursor->segment)));
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_layout_fits);
