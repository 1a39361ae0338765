// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of sg-layout.c: lists of which every place is known, at the limits of
 * what there is, and random ones, with what must hold for any layout. See also
 * sg_layout_fuzz.c.
 */

#include "sg-layout.c"

#define MAX_ENTRIES	64

struct entry {
	u64 phys, len;
	bool apart;	/* does not go through the IOMMU */
};

struct list {
	struct entry entries[MAX_ENTRIES];
	struct sg_place places[MAX_ENTRIES];
	unsigned int count;
	u64 end;
};

static u64 random_pow2(unsigned int from, unsigned int to)
{
	return 1ULL << (from + shim_below(to - from + 1));
}

static struct sg_layout random_layout(void)
{
	static const u64 segments[] = { 4096, 65536, 65535, 1 << 20, UINT_MAX };
	struct sg_layout layout = {
		.granule = random_pow2(12, 16),
		.max_segment = segments[shim_below(ARRAY_SIZE(segments))],
	};

	layout.min_align = layout.granule << (shim_one_in(4) ? shim_below(4) : 0);
	if (shim_one_in(2))
		layout.boundary = random_pow2(9, 32);
	if (shim_one_in(8))
		layout.max_segment = 1 + shim_below(1 << 20);
	return layout;
}

/* Entries of whole granules or not, and often next to each other in memory */
static void random_list(const struct sg_layout *layout, struct list *list)
{
	u64 phys = 0;
	unsigned int i;

	list->count = 1 + shim_below(MAX_ENTRIES);
	for (i = 0; i < list->count; i++) {
		struct entry *entry = &list->entries[i];

		if (shim_one_in(3))
			phys = shim_below(1ULL << 44);
		if (!shim_one_in(3))
			phys = ALIGN(phys, layout->min_align);
		entry->phys = phys;
		entry->len = 1 + shim_below(random_pow2(0, 20));
		if (!shim_one_in(3))
			entry->len = ALIGN(entry->len, layout->min_align);
		entry->apart = shim_one_in(50);
		phys += entry->len;
	}
}

static void place(const struct sg_layout *layout, struct list *list)
{
	struct sg_cursor cursor = {};
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		const struct entry *entry = &list->entries[i];

		if (entry->apart)
			iommu_dma_layout_elsewhere(&cursor);
		else
			list->places[i] = iommu_dma_layout_next(
				layout, &cursor, entry->phys, entry->len);
	}
	list->end = cursor.end;
}

static bool crossing(u64 boundary, u64 first, u64 last)
{
	return boundary && first / boundary != last / boundary;
}

/* Could this entry go on where the segment before it ends? */
static bool can_merge(const struct sg_layout *layout,
		       const struct entry *entry, u64 start, u64 end)
{
	return entry->phys % layout->granule == 0 && end % layout->granule == 0 &&
	       end - start + entry->len <= layout->max_segment &&
	       !crossing(layout->boundary, start, end + entry->len - 1);
}

static void check(const struct sg_layout *layout, const struct list *list)
{
	u64 start = 0, end = 0;		/* of the segment so far */
	unsigned int i;
	bool open = false;

	for (i = 0; i < list->count; i++) {
		const struct entry *entry = &list->entries[i];
		const struct sg_place *at = &list->places[i];

		if (entry->apart) {
			open = false;
			continue;
		}
		/* In order, with the offset that it has in memory */
		FAIL_IF(at->start < end);
		FAIL_IF(at->start % layout->granule !=
			entry->phys % layout->granule);
		FAIL_IF(!at->merged &&
			(at->start - entry->phys) % layout->min_align);
		/* The first begins as low as its offset allows. */
		FAIL_IF(!end && at->start >= layout->min_align);
		if (at->merged) {
			FAIL_IF(!open || at->start != end);
			FAIL_IF(at->start % layout->granule);
			FAIL_IF(at->start + entry->len - start >
			       layout->max_segment);
		} else {
			/* No granule has bytes of two segments. */
			FAIL_IF(end && (end - 1) / layout->granule ==
				      at->start / layout->granule);
			/* Not more segments than have to be */
			FAIL_IF(open && can_merge(layout, entry, start, end));
			/* Not more space than an alignment and a boundary cost */
			FAIL_IF(at->start - end >= layout->granule + layout->min_align &&
				!crossing(layout->boundary, end, at->start) &&
				!crossing(layout->boundary, end,
					  end + layout->granule + layout->min_align +
					  entry->len));
			start = at->start;
		}
		end = at->start + entry->len;
		open = true;
		/*
		 * A segment crosses a boundary only inside of an entry that
		 * would do so wherever it is.
		 */
		FAIL_IF(crossing(layout->boundary, at->start, end - 1) &&
			entry->phys % layout->min_align + entry->len <=
		       layout->boundary);
		FAIL_IF(at->merged && layout->boundary &&
			at->start % layout->boundary == 0);
	}
	FAIL_IF(list->end != end);
}

/* A list of aligned entries of aligned lengths and no boundary has no holes. */
static void check_dense(void)
{
	struct sg_layout layout = random_layout();
	struct sg_cursor cursor = {};
	u64 sum = 0;
	unsigned int i;

	layout.boundary = 0;
	layout.max_segment = U64_MAX;
	for (i = 0; i < 20; i++) {
		u64 len = layout.min_align * (1 + shim_below(9));
		struct sg_place at = iommu_dma_layout_next(
			&layout, &cursor, layout.min_align * shim_below(1000), len);

		FAIL_IF(at.start != sum || at.merged != !!i);
		sum += len;
	}
}

/* The picture in sg-layout.c */
static void check_example(void)
{
	struct sg_layout layout = {
		.granule = 4096,
		.min_align = 4096,
		.max_segment = 65536,
	};
	struct sg_cursor cursor = {};
	struct sg_place at;

	at = iommu_dma_layout_next(&layout, &cursor, 0x10800, 0x800);
	FAIL_IF(at.merged || at.start != 0x800);
	at = iommu_dma_layout_next(&layout, &cursor, 0x30000, 0x1000);
	FAIL_IF(!at.merged || at.start != 0x1000);
	at = iommu_dma_layout_next(&layout, &cursor, 0x50000, 0x400);
	FAIL_IF(!at.merged || at.start != 0x2000 || cursor.end != 0x2400);
	at = iommu_dma_layout_next(&layout, &cursor, 0x60000, 0x1000);
	FAIL_IF(at.merged || at.start != 0x3000);
	iommu_dma_layout_elsewhere(&cursor);
	at = iommu_dma_layout_next(&layout, &cursor, 0x70000, 0x1000);
	FAIL_IF(at.merged || at.start != 0x4000 || cursor.segments != 4);

	cursor = (struct sg_cursor) {};
	layout.contiguous = true;
	iommu_dma_layout_next(&layout, &cursor, 0x10800, 0x800);
	at = iommu_dma_layout_next(&layout, &cursor, 0x30000, 0x600);
	FAIL_IF(!at.merged || at.start != 0x1000);
	at = iommu_dma_layout_next(&layout, &cursor, 0x50c00, 0x400);
	FAIL_IF(!at.merged || at.start != 0x1600 || cursor.end != 0x1a00);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
	shim_report("layout: the examples");
}

/*
 * Lists whose places are known.
 */

#define MANY		100000U
#define LONGEST		((u64)UINT_MAX)	/* bytes in an entry */
#define GIB		BIT_ULL(30)

static const u64 granules[] = { 4096, 16384, 65536 };

static struct sg_layout plain_layout(u64 granule)
{
	return (struct sg_layout) {
		.granule = granule,
		.min_align = granule,
		.max_segment = UINT_MAX,
	};
}

/* Entries of @len bytes; @next is from one to the next in memory. */
static struct sg_cursor place_many(const struct sg_layout *layout,
				   unsigned int count, u64 phys, u64 next,
				   u64 len)
{
	struct sg_cursor cursor = {};

	for (; count--; phys += next)
		iommu_dma_layout_next(layout, &cursor, phys, len);
	return cursor;
}

static bool whole(const struct sg_layout *layout, u64 phys, u64 len)
{
	struct sg_cursor cursor = place_many(layout, 1, phys, 0, len);

	FAIL_IF(cursor.segments != 1 || cursor.segment != len);
	FAIL_IF(cursor.end != phys % layout->min_align + len);
	return iommu_dma_layout_fits(layout, &cursor);
}

/* One entry is one segment, and where one is needed, the limits count. */
static void check_one(u64 granule)
{
	static const u64 lens[] = { 1, 2, 511, 4095, 4096, 65536, LONGEST - 1,
				    LONGEST };
	struct sg_layout layout = plain_layout(granule);
	unsigned int i;
	u64 phys;

	for (i = 0; i < ARRAY_SIZE(lens); i++)
		for (phys = 0x12300000; phys < 0x12300000 + 2 * granule;
		     phys += granule / 4 - 1)
			FAIL_IF(!whole(&layout, phys, lens[i]));

	layout.contiguous = true;
	FAIL_IF(!whole(&layout, granule + 1, LONGEST));
	layout.max_segment = LONGEST - 1;
	FAIL_IF(whole(&layout, granule + 1, LONGEST));
	FAIL_IF(!whole(&layout, granule + 1, LONGEST - 1));

	layout.boundary = 1 << 20;
	FAIL_IF(!whole(&layout, 0, 1 << 20));
	FAIL_IF(!whole(&layout, 1, (1 << 20) - 1));
	FAIL_IF(whole(&layout, 1, 1 << 20));
	FAIL_IF(whole(&layout, 0, (1 << 20) + 1));
	/* The offset is the boundary's then. */
	layout.min_align = 8 << 20;
	FAIL_IF(!whole(&layout, 5 << 20, 1 << 20));
	FAIL_IF(whole(&layout, (5 << 20) + 4, 1 << 20));
	/* In a granule, a boundary is where memory has it. */
	layout = plain_layout(granule);
	layout.contiguous = true;
	layout.boundary = granule / 4;
	FAIL_IF(!whole(&layout, granule / 4 * 3, granule / 4));
	FAIL_IF(whole(&layout, granule / 8, granule / 4));
}

static void check_many(u64 granule)
{
	struct sg_layout layout = plain_layout(granule);
	u64 in_one = LONGEST / granule;
	struct sg_cursor cursor;

	/* Whole granules, next to each other or not */
	cursor = place_many(&layout, MANY, 1ULL << 40, granule, granule);
	FAIL_IF(cursor.segments != (MANY + in_one - 1) / in_one);
	FAIL_IF(cursor.end != MANY * granule);
	cursor = place_many(&layout, MANY, 1ULL << 40, 3 * granule, granule);
	FAIL_IF(cursor.segments != (MANY + in_one - 1) / in_one);
	FAIL_IF(cursor.end != MANY * granule);
	FAIL_IF(cursor.segment != ((MANY - 1) % in_one + 1) * granule);

	/* Parts of granules, of which some meet at one, and not */
	cursor = place_many(&layout, MANY, 1ULL << 40, 512, 512);
	FAIL_IF(cursor.segments != MANY - (MANY - 1) / (granule / 512));
	FAIL_IF(cursor.end != (MANY - 1) * granule +
			      (MANY - 1) * 512ULL % granule + 512);
	cursor = place_many(&layout, MANY, (1ULL << 40) + 8, granule, 16);
	FAIL_IF(cursor.segments != MANY);
	FAIL_IF(cursor.end != (MANY - 1) * granule + 24);
	layout.contiguous = true;
	cursor = place_many(&layout, MANY, (1ULL << 40) + 8, granule, 16);
	FAIL_IF(cursor.segments != 1 || cursor.segment != MANY * 16ULL);
	FAIL_IF(cursor.end != MANY * 16ULL + 8);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
	layout.max_segment = MANY * 16ULL - 1;
	FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
}

/* As long as entries can be: 400 TiB are still counted exactly. */
static void check_longest(u64 granule)
{
	struct sg_layout layout = plain_layout(granule);
	struct sg_cursor cursor;

	cursor = place_many(&layout, MANY, granule, 1ULL << 32, LONGEST);
	FAIL_IF(cursor.segments != MANY || cursor.segment != LONGEST);
	FAIL_IF(cursor.end != (MANY - 1) * 4 * GIB + LONGEST);
	layout.boundary = 4 * GIB;
	cursor = place_many(&layout, MANY, 4 * GIB, 4 * GIB, LONGEST);
	FAIL_IF(cursor.end != (MANY - 1) * 4 * GIB + LONGEST);
	/* These cross it wherever they are, so each begins at one. */
	cursor = place_many(&layout, MANY, granule + 2, 4 * GIB, LONGEST);
	FAIL_IF(cursor.segments != MANY);
	FAIL_IF(cursor.end != (MANY - 1) * 8 * GIB + 2 + LONGEST);

	layout.boundary = 0;
	layout.contiguous = true;
	cursor = place_many(&layout, MANY, granule + 2, 4 * GIB, LONGEST);
	FAIL_IF(cursor.segments != 1 || cursor.segment != MANY * LONGEST);
	FAIL_IF(cursor.end != MANY * LONGEST + 2);
	FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
	/* Not even modulo 4 GiB: 16 bytes less than 4 GiB, 16 times, and 256 */
	cursor = place_many(&layout, 16, granule, 4 * GIB, 4 * GIB - 16);
	iommu_dma_layout_next(&layout, &cursor, granule, 256 + 1);
	FAIL_IF((u32)cursor.segment != 1);
	FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
}

/* All ones of a mask: none at all, or just not in sight */
static void check_boundaries(u64 granule)
{
	static const u64 boundaries[] = { 0, BIT_ULL(63), BIT_ULL(52) };
	struct sg_layout layout = plain_layout(granule);
	struct sg_cursor cursor, none;
	unsigned int i, shift;

	for (i = 0; i < ARRAY_SIZE(boundaries); i++) {
		layout.boundary = boundaries[i];
		cursor = place_many(&layout, MANY, granule - 1, 7 * granule + 1,
				    2 * granule);
		if (!i)
			none = cursor;
		FAIL_IF(memcmp(&cursor, &none, sizeof(cursor)));
	}
	/* Granules up to each boundary, and then another segment */
	for (shift = __ffs64(granule); shift < 32; shift++) {
		layout.boundary = 1ULL << shift;
		cursor = place_many(&layout, 1000, 0, 2 * granule, granule);
		FAIL_IF(cursor.end != 1000 * granule);
		FAIL_IF(cursor.segments !=
			DIV_ROUND_UP(1000 * granule, layout.boundary));
	}
	/* Below a granule nothing merged, and nothing moves. */
	layout.boundary = granule / 2;
	cursor = place_many(&layout, 1000, 0, 2 * granule, granule);
	FAIL_IF(cursor.end != 1000 * granule || cursor.segments != 1000);
}

/* A segment by itself in the middle of others changes no place. */
static void check_peers(u64 granule)
{
	struct sg_layout layout = plain_layout(granule);
	struct sg_cursor cursor = {};
	struct sg_place at;
	unsigned int i;

	for (i = 0; i < 12; i++) {
		if (i % 3 == 2) {
			iommu_dma_layout_elsewhere(&cursor);
			continue;
		}
		at = iommu_dma_layout_next(&layout, &cursor, i * 2 * granule,
					   granule);
		FAIL_IF(at.start != (i - i / 3) * granule);
		FAIL_IF(at.merged != (i % 3 == 1));
	}
	FAIL_IF(cursor.segments != 8 || cursor.end != 8 * granule);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));

	/* What has an address already is one by itself only. */
	layout.contiguous = true;
	layout.boundary = granule;
	cursor = (struct sg_cursor) {};
	iommu_dma_layout_elsewhere(&cursor);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
	iommu_dma_layout_next(&layout, &cursor, 0, 1);
	FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
	cursor = (struct sg_cursor) {};
	iommu_dma_layout_next(&layout, &cursor, 0, 1);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
	iommu_dma_layout_elsewhere(&cursor);
	FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
}

/* Which lists may be laid out in the short way */
static void check_short(u64 granule)
{
	struct sg_layout layout = plain_layout(granule);
	struct sg_cursor cursor;

	FAIL_IF(!iommu_dma_layout_is_dense(&layout, granule + 1, 0, 1));
	FAIL_IF(!iommu_dma_layout_is_dense(&layout, 1, 3 * granule, LONGEST));
	FAIL_IF(iommu_dma_layout_is_dense(&layout, 0, 3 * granule + 512,
					  granule));
	layout.min_align = 4 * granule;
	FAIL_IF(iommu_dma_layout_is_dense(&layout, 0, 2 * granule,
					  8 * granule));
	layout.boundary = 16 * granule;
	FAIL_IF(!iommu_dma_layout_is_dense(&layout, 0, 0, 16 * granule));
	FAIL_IF(!iommu_dma_layout_is_dense(&layout, 1, 0, 16 * granule - 1));
	FAIL_IF(iommu_dma_layout_is_dense(&layout, 1, 0, 16 * granule));
	FAIL_IF(iommu_dma_layout_is_dense(&layout, 0, 0, 16 * granule + 1));
	cursor = iommu_dma_layout_dense_start(&layout, 7 * granule + 5);
	FAIL_IF(cursor.end != 3 * granule + 5 || cursor.segment);
}

static void check_known(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(granules); i++) {
		check_one(granules[i]);
		check_many(granules[i]);
		check_longest(granules[i]);
		check_boundaries(granules[i]);
		check_peers(granules[i]);
		check_short(granules[i]);
	}
	shim_report("layout: lists of one");
	shim_report("layout: lists of %u", MANY);
	shim_report("layout: entries of up to 4 GiB - 1");
	shim_report("layout: boundaries of all ones, and small ones");
	shim_report("layout: peers");
	shim_report("layout: what is dense");
}

int main(int argc, char **argv)
{
	bool plain = argc > 1 && !strcmp(argv[1], "plain");
	unsigned int lists = plain ? 200000 : 20000, i;
	struct sg_layout layout;
	struct list list, again;

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	check_example();
	check_known();
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
