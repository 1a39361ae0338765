// SPDX-License-Identifier: GPL-2.0
/*
 * Layout: which segments a scatterlist becomes.
 *
 * The layout is a pure function of the entries and the parameters of the
 * device. It places one entry after another in a range that begins at 0. The
 * address of the range will be aligned to the minimum alignment, and to the
 * boundary if the range is longer than that. The same entries always get the same
 * places.
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
#include <linux/export.h>

#include "sg-layout.h"

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
		 !iommu_dma_layout_crosses(layout->boundary,
					   cursor->end - cursor->segment,
					   cursor->segment)));
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_layout_fits);
