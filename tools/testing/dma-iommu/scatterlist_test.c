// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of scatterlist.c: random lists, and what must hold for any layout,
 * checked by looking at each byte's and each granule's place again.
 */

#include "scatterlist.c"

#define MAX_ENTRIES	64

struct entry {
	u64 phys, len;
	bool apart;	/* does not go through the IOMMU */
};

struct list {
	struct entry entries[MAX_ENTRIES];
	struct dma_place places[MAX_ENTRIES];
	unsigned int count;
	u64 end;
};

static u64 random_pow2(unsigned int from, unsigned int to)
{
	return 1ULL << (from + shim_below(to - from + 1));
}

static struct dma_layout random_layout(void)
{
	static const u64 segments[] = { 4096, 65536, 65535, 1 << 20, UINT_MAX };
	struct dma_layout layout = {
		.granule = random_pow2(12, 16),
		.max_segment = segments[shim_below(ARRAY_SIZE(segments))],
	};

	layout.unit = layout.granule << (shim_one_in(4) ? shim_below(4) : 0);
	if (shim_one_in(2))
		layout.boundary = random_pow2(9, 32);
	if (shim_one_in(8))
		layout.max_segment = 1 + shim_below(1 << 20);
	return layout;
}

/* Entries of whole granules or not, and often next to each other in memory */
static void random_list(const struct dma_layout *layout, struct list *list)
{
	u64 phys = 0;
	unsigned int i;

	list->count = 1 + shim_below(MAX_ENTRIES);
	for (i = 0; i < list->count; i++) {
		struct entry *entry = &list->entries[i];

		if (shim_one_in(3))
			phys = shim_below(1ULL << 44);
		if (!shim_one_in(3))
			phys = ALIGN(phys, layout->unit);
		entry->phys = phys;
		entry->len = 1 + shim_below(random_pow2(0, 20));
		if (!shim_one_in(3))
			entry->len = ALIGN(entry->len, layout->unit);
		entry->apart = shim_one_in(50);
		phys += entry->len;
	}
}

static void place(const struct dma_layout *layout, struct list *list)
{
	struct dma_cursor cursor = {};
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		const struct entry *entry = &list->entries[i];

		if (entry->apart)
			dma_layout_break(&cursor);
		else
			list->places[i] = dma_layout_next(layout, &cursor,
							  entry->phys, entry->len);
	}
	list->end = cursor.end;
}

static bool crossing(u64 boundary, u64 first, u64 last)
{
	return boundary && first / boundary != last / boundary;
}

/* Could this entry go on where the segment before it ends? */
static bool could_join(const struct dma_layout *layout,
		       const struct entry *entry, u64 start, u64 end)
{
	return entry->phys % layout->unit == 0 && end % layout->unit == 0 &&
	       end - start + entry->len <= layout->max_segment &&
	       !crossing(layout->boundary, start, end + entry->len - 1);
}

static void check(const struct dma_layout *layout, const struct list *list)
{
	u64 start = 0, end = 0;		/* of the segment so far */
	unsigned int i, entries = 0;	/* in it */
	bool open = false;

	for (i = 0; i < list->count; i++) {
		const struct entry *entry = &list->entries[i];
		const struct dma_place *at = &list->places[i];

		if (entry->apart) {
			open = false;
			continue;
		}
		/* In order, with the offset that it has in memory */
		FAIL_IF(at->start < end);
		FAIL_IF(at->start % layout->unit != entry->phys % layout->unit);
		/* The first begins as low as its offset allows. */
		FAIL_IF(!end && at->start >= layout->unit);
		if (at->joins) {
			FAIL_IF(!open || at->start != end);
			FAIL_IF(at->start % layout->unit);
			FAIL_IF(at->start + entry->len - start >
			       layout->max_segment);
			entries++;
		} else {
			/* No granule has bytes of two segments. */
			FAIL_IF(end && (end - 1) / layout->granule ==
				      at->start / layout->granule);
			/* Not more segments than have to be */
			FAIL_IF(open && entries && entries < 2 &&
				!crossing(layout->boundary, start, end - 1) &&
			       could_join(layout, entry, start, end));
			/* Not more space than a boundary and a unit cost */
			FAIL_IF(at->start - end >= 2 * layout->unit &&
				!crossing(layout->boundary,
					 ALIGN(end, layout->unit) +
					 entry->phys % layout->unit,
					 ALIGN(end, layout->unit) +
					 entry->phys % layout->unit +
					 entry->len - 1));
			start = at->start;
			entries = 1;
		}
		end = at->start + entry->len;
		open = true;
		/*
		 * A segment crosses a boundary only inside of an entry that
		 * would do so wherever it is.
		 */
		FAIL_IF(crossing(layout->boundary, at->start, end - 1) &&
			entry->phys % layout->unit + entry->len <=
		       layout->boundary);
		FAIL_IF(at->joins && layout->boundary &&
			at->start % layout->boundary == 0);
	}
	FAIL_IF(list->end != end);
}

/* A list that is all whole units and has no boundary has no holes. */
static void check_dense(void)
{
	struct dma_layout layout = random_layout();
	struct dma_cursor cursor = {};
	u64 sum = 0;
	unsigned int i;

	layout.boundary = 0;
	layout.max_segment = U64_MAX;
	for (i = 0; i < 20; i++) {
		u64 len = layout.unit * (1 + shim_below(9));
		struct dma_place at = dma_layout_next(&layout, &cursor,
				layout.unit * shim_below(1000), len);

		FAIL_IF(at.start != sum || at.joins != !!i);
		sum += len;
	}
}

/* The picture in scatterlist.c */
static void check_example(void)
{
	struct dma_layout layout = {
		.granule = 4096, .unit = 4096, .max_segment = 65536,
	};
	struct dma_cursor cursor = {};
	struct dma_place at;

	at = dma_layout_next(&layout, &cursor, 0x10800, 0x800);
	FAIL_IF(at.joins || at.start != 0x800);
	at = dma_layout_next(&layout, &cursor, 0x30000, 0x1000);
	FAIL_IF(!at.joins || at.start != 0x1000);
	at = dma_layout_next(&layout, &cursor, 0x50000, 0x400);
	FAIL_IF(!at.joins || at.start != 0x2000 || cursor.end != 0x2400);
	at = dma_layout_next(&layout, &cursor, 0x60000, 0x1000);
	FAIL_IF(at.joins || at.start != 0x3000);
	dma_layout_break(&cursor);
	at = dma_layout_next(&layout, &cursor, 0x70000, 0x1000);
	FAIL_IF(at.joins || at.start != 0x4000);
	shim_report("layout: the example");
}

int main(int argc, char **argv)
{
	bool plain = argc > 1 && !strcmp(argv[1], "plain");
	unsigned int lists = plain ? 200000 : 20000, i;
	struct dma_layout layout;
	struct list list, again;

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	check_example();
	for (i = 0; i < lists; i++) {
		layout = random_layout();
		memset(&list, 0, sizeof(list));
		random_list(&layout, &list);
		again = list;
		place(&layout, &list);
		check(&layout, &list);
		place(&layout, &again);
		FAIL_IF(memcmp(&list, &again, sizeof(list)));
		check_dense();
	}
	shim_report("layout: %u random lists", lists);
	return 0;
}
