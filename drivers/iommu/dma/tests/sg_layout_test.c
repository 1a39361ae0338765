// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of layouts: which places the entries of a list get, case by case.
 *
 * The layout is a pure function, so this needs no device. The fuzzer in user space
 * shows that any list is laid out as it should be; here is what a reader may want
 * to look up.
 */

#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/sizes.h>

#include "../sg-layout.h"

#define G	((u64)SZ_4K)
#define ENTRIES	4

/**
 * struct layout_row - a list and its places
 * @what: to be printed
 * @layout: what is asked for; zero is no boundary, alignment to one granule and
 *	any length
 * @unfit: it does not become what is asked for
 * @count: entries
 * @entries: where they begin in memory and their lengths; of their places,
 *	where each begins in the range, and whether it merged
 */
struct layout_row {
	const char *what;
	struct sg_layout layout;
	bool unfit;
	unsigned int count;
	struct {
		u64 phys, len, start;
		bool merged;
	} entries[ENTRIES];
};

static const struct layout_row rows[] = {
	{
		"pages meet", {}, false, 3,
		{ { 7 * G, G, 0 }, { 3 * G, 2 * G, G, true },
		  { 9 * G, G, 3 * G, true } },
	}, {
		"the first begins, the last ends inside", {}, false, 3,
		{ { 7 * G + 8, G - 8, 8 }, { 3 * G, G, G, true },
		  { 9 * G, 5, 2 * G, true } },
	}, {
		"one ends inside", {}, false, 2,
		{ { 7 * G + 8, 8, 8 }, { 3 * G, G, G } },
	}, {
		"one begins inside", {}, false, 2,
		{ { 7 * G, G, 0 }, { 3 * G + 1, G, G + 1 } },
	}, {
		"at the same granule twice", {}, false, 2,
		{ { 7 * G + 1, 1, 1 }, { 7 * G + 2, 1, G + 2 } },
	}, {
		"the most that a segment may have", { .max_segment = 2 * G },
		false, 3,
		{ { 7 * G, G, 0 }, { 3 * G, G, G, true }, { 9 * G, 1, 2 * G } },
	}, {
		"an entry is more than a segment may have",
		{ .max_segment = G }, false, 2,
		{ { 7 * G, 3 * G, 0 }, { 3 * G, G, 3 * G } },
	}, {
		"they meet at the boundary", { .boundary = 2 * G }, false, 3,
		{ { 7 * G, G, 0 }, { 3 * G, G, G, true }, { 9 * G, G, 2 * G } },
	}, {
		"one would cross the boundary and moves up",
		{ .boundary = 4 * G }, false, 2,
		{ { 7 * G, 3 * G, 0 }, { 3 * G + 8, G, 4 * G + 8 } },
	}, {
		"together they would cross the boundary", { .boundary = 4 * G },
		false, 2,
		{ { 7 * G, 3 * G, 0 }, { 3 * G, 2 * G, 4 * G } },
	}, {
		"the boundary of 4 GiB, and a byte more than up to it",
		{ .boundary = SZ_4G }, false, 2,
		{ { G, SZ_4G - G, 0 }, { G, G + 1, SZ_4G } },
	}, {
		"all ones are no boundary", { .boundary = U64_MAX + 1 }, false, 2,
		{ { 0, SZ_4G - G, 0 }, { G, 2 * G, SZ_4G - G, true } },
	}, {
		"offsets in an alignment", { .min_align = 4 * G }, false, 2,
		{ { 6 * G + 8, 8, 2 * G + 8 }, { 5 * G + 8, 8, 5 * G + 8 } },
	}, {
		"an offset that comes round at once", { .min_align = 4 * G }, false, 2,
		{ { 4 * G, 8, 0 }, { 5 * G, 8, G } },
	}, {
		"pages meet whatever the alignment", { .min_align = 4 * G }, false, 2,
		{ { 6 * G, G, 2 * G }, { 4 * G, G, 3 * G, true } },
	}, {
		"contiguous: pages", { .contiguous = true }, false, 2,
		{ { 7 * G, G, 0 }, { 3 * G, G, G, true } },
	}, {
		"contiguous: any byte", { .contiguous = true }, false, 4,
		{ { 7 * G + 8, 8, 8 }, { 3 * G + 9, 1, 16, true },
		  { 5 * G, 2 * G, 17, true }, { G, 1, 2 * G + 17, true } },
	}, {
		"contiguous: an offset in an alignment",
		{ .min_align = 4 * G, .contiguous = true }, false, 2,
		{ { 6 * G + 8, 8, 2 * G + 8 }, { G, G, 2 * G + 16, true } },
	}, {
		"contiguous: the most", { .max_segment = 2 * G,
		.contiguous = true }, false, 2,
		{ { 7 * G, G, 0 }, { 3 * G, G, G, true } },
	}, {
		"contiguous: more than that", { .max_segment = 2 * G,
		.contiguous = true }, true, 2,
		{ { 7 * G, G, 0 }, { 3 * G, G + 1, G, true } },
	}, {
		"contiguous: up to the boundary", { .boundary = 2 * G,
		.contiguous = true }, false, 2,
		{ { 7 * G + 8, G, 8 }, { 3 * G, G - 8, G + 8, true } },
	}, {
		"contiguous: across the boundary", { .boundary = 2 * G,
		.contiguous = true }, true, 2,
		{ { 7 * G + 8, G, 8 }, { 3 * G, G - 7, G + 8, true } },
	}, {
		"contiguous: one entry across the boundary", { .boundary = G,
		.contiguous = true }, true, 1,
		{ { 7 * G + 8, G, 8 } },
	},
};

static void describe(const struct layout_row *row, char *desc)
{
	strscpy(desc, row->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(row, rows, describe);

static void layout_places(struct kunit *test)
{
	const struct layout_row *row = test->param_value;
	struct sg_layout layout = row->layout;
	struct sg_cursor cursor = {};
	unsigned int i, segments = 0;
	struct sg_place place;
	u64 end = 0;

	layout.granule = G;
	layout.min_align = layout.min_align ?: G;
	layout.max_segment = layout.max_segment ?: U64_MAX;
	for (i = 0; i < row->count; i++) {
		place = iommu_dma_layout_next(&layout, &cursor,
					      row->entries[i].phys,
					      row->entries[i].len);
		segments += !row->entries[i].merged;
		end = row->entries[i].start + row->entries[i].len;
		KUNIT_EXPECT_EQ_MSG(test, row->entries[i].start, place.start,
				    "entry %u", i);
		KUNIT_EXPECT_EQ_MSG(test, row->entries[i].merged, place.merged,
				    "entry %u", i);
		KUNIT_EXPECT_EQ(test, end, cursor.end);
		KUNIT_EXPECT_EQ(test, segments, cursor.segments);
	}
	KUNIT_EXPECT_EQ(test, !row->unfit,
			iommu_dma_layout_fits(&layout, &cursor));
}

/* Bus addresses of other devices are segments, and take no room. */
static void layout_elsewhere(struct kunit *test)
{
	struct sg_layout layout = {
		.granule = G,
		.min_align = G,
		.max_segment = U64_MAX,
	};
	struct sg_cursor cursor = {};
	struct sg_place place;

	iommu_dma_layout_elsewhere(&cursor);
	KUNIT_EXPECT_EQ(test, 1, cursor.segments);
	KUNIT_EXPECT_EQ(test, 0, cursor.end);
	iommu_dma_layout_next(&layout, &cursor, 7 * G, G);
	iommu_dma_layout_elsewhere(&cursor);
	place = iommu_dma_layout_next(&layout, &cursor, 3 * G, G);
	KUNIT_EXPECT_EQ(test, G, place.start);
	KUNIT_EXPECT_FALSE(test, place.merged);
	KUNIT_EXPECT_EQ(test, 4, cursor.segments);
	KUNIT_EXPECT_EQ(test, 2 * G, cursor.end);
	layout.contiguous = true;
	KUNIT_EXPECT_FALSE(test, iommu_dma_layout_fits(&layout, &cursor));
}

/* 100,000 pages, of which no two are adjacent, in one pass and in the next */
static void layout_long(struct kunit *test)
{
	struct sg_layout layout = {
		.granule = G,
		.min_align = G,
		.max_segment = U32_MAX,
	};
	unsigned int pass, i, wrong = 0;

	for (pass = 0; pass < 2; pass++) {
		struct sg_cursor cursor = {};

		for (i = 0; i < 100000; i++)
			if (iommu_dma_layout_next(&layout, &cursor, 2 * G * i,
						  G)
				    .start != G * i)
				wrong++;
		KUNIT_EXPECT_EQ(test, 0, wrong);
		KUNIT_EXPECT_EQ(test, 1, cursor.segments);
		KUNIT_EXPECT_EQ(test, 100000 * G, cursor.segment);
	}
}

static struct kunit_case layout_cases[] = {
	KUNIT_CASE_PARAM(layout_places, row_gen_params),
	KUNIT_CASE(layout_elsewhere),
	KUNIT_CASE(layout_long),
	{ }
};

static struct kunit_suite layout_suite = {
	.name = "dma_layout",
	.test_cases = layout_cases,
};

kunit_test_suite(layout_suite);
