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
 * An entry joins the segment before if both ends meet at a unit, the sum is not
 * more than a segment may have, and they do not meet at the boundary. One that
 * would cross the boundary moves up to it. Entries are never divided: one that
 * is by itself longer than a segment or the boundary allow is the driver's
 * choice.
 */

#include <linux/align.h>

#include "scatterlist.h"

static bool crosses(u64 boundary, u64 start, u64 len)
{
	return boundary && (start ^ (start + len - 1)) & ~(boundary - 1);
}

static bool joins(const struct dma_layout *layout,
		  const struct dma_cursor *cursor, u64 offset, u64 len)
{
	if (!cursor->segment || offset || !IS_ALIGNED(cursor->end, layout->unit))
		return false;
	if (layout->boundary && IS_ALIGNED(cursor->end, layout->boundary))
		return false;
	return cursor->segment + len <= layout->max_segment;
}

/**
 * dma_layout_next - place the next entry of a list
 * @layout: what device and IOMMU ask for
 * @cursor: where the entry before ended; is advanced
 * @phys: where in memory the entry begins; its offset in a unit matters
 * @len: bytes, at least 1
 *
 * Context: Any; pure.
 * Return: its place.
 */
struct dma_place dma_layout_next(const struct dma_layout *layout,
				 struct dma_cursor *cursor, u64 phys, u64 len)
{
	u64 offset = phys & (layout->unit - 1);
	struct dma_place place = {
		.start = ALIGN(cursor->end, layout->unit) + offset,
		.joins = joins(layout, cursor, offset, len),
	};

	if (crosses(layout->boundary, place.start, len) &&
	    !IS_ALIGNED(place.start - offset, layout->boundary)) {
		place.start = ALIGN(place.start, layout->boundary) + offset;
		place.joins = false;
	}
	cursor->end = place.start + len;
	cursor->segment = place.joins ? cursor->segment + len : len;
	return place;
}
