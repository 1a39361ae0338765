// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of scatterlists on a mock IOMMU: of all shapes, under all limits,
 * random ones, and those that cannot be mapped.
 */

#include <linux/dma-contiguity.h>
#include <linux/log2.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "test_sg.h"

/* Parts of a granule that the shapes below are in */
#define PARTS		16
/* Granules of the address space, where it is to be small */
#define SPACE		64

/* After the first that is wrong, more would only hide it. */
static bool failed(const struct kunit *test)
{
	return READ_ONCE(test->status) == KUNIT_FAILURE;
}

/* Lists, in PARTS of a granule */
static const struct shape {
	const char *name;
	unsigned int count;
	struct test_span spans[TEST_ENTRIES];
} shapes[] = {
	{ "a granule", 1, { { 0, 16 } } },
	{ "part of a granule", 1, { { 3, 7 } } },
	{ "whole granules", 4, { { 0, 16 }, { 0, 32 }, { 0, 16 }, { 0, 16 } } },
	{ "from inside to inside", 3, { { 5, 11 }, { 0, 32 }, { 0, 9 } } },
	{ "one ends inside", 3, { { 0, 9 }, { 0, 16 }, { 0, 16 } } },
	{ "one begins inside", 3, { { 0, 16 }, { 4, 12 }, { 0, 16 } } },
	{ "halves", 4, { { 8, 16 }, { 8, 16 }, { 8, 16 }, { 8, 16 } } },
	{ "out of step", 3, { { 4, 16 }, { 8, 16 }, { 12, 16 } } },
	{ "several in a granule", 8, { { 1, 2 }, { 3, 4 }, { 5, 1 }, { 1, 2 },
				       { 15, 1 }, { 0, 1 }, { 2, 3 }, { 7, 9 } } },
	{ "small and large", 6, { { 15, 1 }, { 0, 32 }, { 31, 1 }, { 1, 30 },
				  { 0, 1 }, { 9, 23 } } },
	{ "empty at both ends", 4, { { 3, 0 }, { 0, 16 }, { 0, 16 }, { 0, 0 } } },
	{ "empty between", 5, { { 4, 12 }, { 5, 0 }, { 0, 32 }, { 0, 0 },
				{ 8, 16 } } },
};

static void list_make_shape(struct test_sg *list, const struct shape *shape,
			    enum dma_data_direction dir)
{
	unsigned int part = list->td->granule / PARTS, i;
	struct test_span spans[TEST_ENTRIES];

	for (i = 0; i < shape->count; i++)
		spans[i] = (struct test_span) {
			.offset = shape->spans[i].offset * part,
			.len = shape->spans[i].len * part,
		};
	test_sg_make(list, spans, shape->count, dir);
}

/*
 * Every shape under every limit, in turn in all directions, and each in one of the
 * environments at least
 */
static void shapes_run(struct kunit *test, enum test_sg_how how)
{
	unsigned int i, j, fitted = 0;
	struct test_device td;
	struct test_sg *list;
	char what[100];

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < test_limits_count && !failed(test); i++) {
		test_device_limit(&td, &test_limits[i]);
		for (j = 0; j < ARRAY_SIZE(shapes) && !failed(test); j++) {
			if (!test_env_turn(test, i + j, 4))
				continue;
			list_make_shape(list, &shapes[j],
					test_dirs[(i + j) % TEST_DIRS]);
			snprintf(what, sizeof(what), "%s, %s",
				 test_limits[i].name, shapes[j].name);
			/* The DMA API's debugging would complain. */
			if (!test_sg_is_absurd(list) &&
			    test_sg_map(list, how == TEST_SG_AS_IS ? how :
					test_sg_contiguous(i + j), what)) {
				test_sg_use(list);
				test_sg_unmap(list);
				fitted++;
			}
			test_sg_free(list);
		}
		test_device_settled(test, &td, 0);
	}
	/* Or else this has tested little. */
	if (!failed(test))
		KUNIT_EXPECT_GE(test, fitted, test_limits_count *
					      ARRAY_SIZE(shapes) / 12);
}

static void list_shapes(struct kunit *test)
{
	shapes_run(test, TEST_SG_AS_IS);
}

static void list_shapes_contiguous(struct kunit *test)
{
	shapes_run(test, TEST_SG_CONTIGUOUS);
}

/* Entries that meet at granules are one segment, unless they are too much. */
static void list_merges(struct kunit *test)
{
	static const struct {
		unsigned int max_segment, boundary, segments;
	} rows[] = {
		{ 0, 0, 1 }, { 8, 0, 1 }, { 7, 0, 2 }, { 4, 0, 2 }, { 3, 0, 3 },
		{ 2, 0, 4 }, { 1, 0, 8 }, { 0, 8, 1 }, { 0, 4, 2 }, { 0, 2, 4 },
		{ 0, 1, 8 }, { 3, 4, 4 }, { 5, 4, 2 }, { 2, 4, 4 }, { 8, 8, 1 },
	};
	struct test_span spans[TEST_ENTRIES];
	struct test_device td;
	struct test_sg *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < TEST_ENTRIES; i++)
		spans[i] = (struct test_span) { 0, td.granule };
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		test_device_limit(&td, &(struct test_limits) {
			.max_segment = rows[i].max_segment,
			.boundary = rows[i].boundary,
		});
		test_sg_make(list, spans, TEST_ENTRIES, DMA_TO_DEVICE);
		if (test_sg_map(list, TEST_SG_AS_IS, "pages")) {
			KUNIT_EXPECT_EQ_MSG(test, rows[i].segments,
					    list->sgt.nents,
					    "at most %u, boundary %u",
					    rows[i].max_segment,
					    rows[i].boundary);
			test_sg_use(list);
			test_sg_unmap(list);
		}
		test_sg_free(list);
	}
	test_device_settled(test, &td, 0);
}

/*
 * What a list costs the IOMMU: told once that it is there, and told once that it
 * is gone; in deferred mode, not then.
 */
static void list_counts(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct mock_iommu_counts before, after;
	struct test_span spans[TEST_ENTRIES];
	struct test_device td;
	struct test_sg *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < TEST_ENTRIES; i++)
		spans[i] = (struct test_span) { 0, td.granule };
	for (i = 0; i < 2; i++) {
		test_sg_make(list, spans, TEST_ENTRIES, DMA_TO_DEVICE);
		before = mock_iommu_counts(td.dev);
		KUNIT_ASSERT_TRUE(test, test_sg_map(list, i ? TEST_SG_CONTIGUOUS :
						    TEST_SG_AS_IS, "pages"));
		after = mock_iommu_counts(td.dev);
		KUNIT_EXPECT_EQ(test, 1, after.sync_map - before.sync_map);
		KUNIT_EXPECT_LE(test, after.map - before.map, TEST_ENTRIES);
		KUNIT_EXPECT_EQ(test, after.unmap, before.unmap);
		test_sg_unmap(list);
		before = after;
		after = mock_iommu_counts(td.dev);
		KUNIT_EXPECT_EQ(test, 1, after.unmap - before.unmap);
		KUNIT_EXPECT_EQ(test, !env->deferred,
				after.sync - before.sync);
		if (!env->deferred)
			KUNIT_EXPECT_EQ(test, after.flush, before.flush);
		test_sg_free(list);
	}
	test_device_settled(test, &td, 0);
	after = mock_iommu_counts(td.dev);
	KUNIT_EXPECT_EQ(test, env->deferred, !!after.flush);
}

/*
 * Each mapping of a page fails in turn, or telling of them does. What is refused for
 * any other reason than memory will be again, so that is another error.
 */
static void failures_run(struct kunit *test, struct test_sg *list,
			 enum test_sg_how how, enum mock_iommu_fault fault)
{
	struct device *dev = list->td->dev;
	int after, ret;

	for (after = 0; ; after++) {
		mock_iommu_fail(dev, fault, after);
		ret = test_sgt_map(dev, &list->sgt, list->dir,
				   how == TEST_SG_AS_IS ? how :
				   test_sg_contiguous(after));
		mock_iommu_fail(dev, fault, -1);
		if (!ret)
			break;
		KUNIT_EXPECT_EQ(test, fault == MOCK_FAULT_REFUSE ? -EINVAL :
								   -ENOMEM, ret);
		KUNIT_EXPECT_TRUE(test, test_sg_is_cleared(list));
		KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
		KUNIT_ASSERT_LT(test, after, 1000);
	}
	KUNIT_EXPECT_GE(test, after, 1);
	dma_unmap_sgtable(dev, &list->sgt, list->dir, 0);
}

static void list_failures(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct mock_iommu *mock;
	struct test_device td;
	struct test_sg *list;
	unsigned int i;

	mock = test_iommu(test, ((u64)SPACE << env->granule_shift) - 1);
	test_device_init(test, mock, &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < 2 * MOCK_MAP_FAULTS * ARRAY_SIZE(shapes) && !failed(test);
	     i++) {
		list_make_shape(list, &shapes[i / (2 * MOCK_MAP_FAULTS)],
				test_dirs[i % TEST_DIRS]);
		failures_run(test, list, test_sg_any(i),
			     i / 2 % MOCK_MAP_FAULTS);
		test_sg_free(list);
		list_make_shape(list, &shapes[i / (2 * MOCK_MAP_FAULTS)],
				test_dirs[i % TEST_DIRS]);
		failures_run(test, list, test_sg_any(i), MOCK_FAULT_REFUSE);
		test_sg_free(list);
		test_device_settled(test, &td, 0);
	}
	test_device_all_free(test, &td, SPACE);
}

/*
 * Addresses run out.
 */

#define LISTS	16

static void list_make_granules(struct test_sg *list, unsigned int entries,
			       unsigned int granules)
{
	struct test_span spans[TEST_ENTRIES];
	unsigned int i;

	for (i = 0; i < entries; i++)
		spans[i] = (struct test_span) {
			.len = granules * list->td->granule,
		};
	test_sg_make(list, spans, entries, DMA_BIDIRECTIONAL);
}

static void expect_no_space(struct test_sg *list, enum test_sg_how how)
{
	struct device *dev = list->td->dev;
	struct mock_iommu_counts counts = mock_iommu_counts(dev);
	struct kunit *test = list->test;

	KUNIT_EXPECT_EQ(test, -ENOMEM,
			test_sgt_map(dev, &list->sgt, list->dir, how));
	KUNIT_EXPECT_TRUE(test, test_sg_is_cleared(list));
	KUNIT_EXPECT_EQ(test, counts.mapped, mock_iommu_counts(dev).mapped);
}

/* Full, then full of holes, then empty, when nothing may be left of it */
static void list_space(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	u64 space = (u64)SPACE << env->granule_shift;
	/* The lowest granule is never used; a list is 4 granules with its guard. */
	unsigned int fit = (SPACE - 1) / 4, i;
	struct test_sg *lists[LISTS], *large, *more;
	struct test_device td;

	if (test_guard > 3)
		kunit_skip(test, "so many guard granules are most of the space");
	test_log_wait(test);
	test_device_init(test, test_iommu(test, space - 1), &td);
	td.last = space - 1;
	large = test_sg_alloc(test, &td);
	more = test_sg_alloc(test, &td);
	list_make_granules(large, TEST_ENTRIES, 1);
	list_make_granules(more, 2, 2);
	for (i = 0; i < fit; i++) {
		lists[i] = test_sg_alloc(test, &td);
		list_make_granules(lists[i], 4 - test_guard, 1);
		KUNIT_ASSERT_TRUE(test, test_sg_map(lists[i], test_sg_any(i),
						    "filling"));
	}
	expect_no_space(more, TEST_SG_CONTIGUOUS);
	expect_no_space(more, TEST_SG_AS_IS);

	for (i = 0; i < fit; i += 2) {
		test_sg_use(lists[i]);
		test_sg_unmap(lists[i]);
	}
	/* Holes of 4, and what was never had: no space for 8 */
	/* The first time with a message, which kunit.sh looks for */
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			dma_map_sgtable(td.dev, &large->sgt, large->dir, 0));
	expect_no_space(large, TEST_SG_CONTIGUOUS);
	expect_no_space(large, TEST_SG_AS_IS);

	/* What waits for its flush is space: the pieces fit again. */
	for (i = 0; i < fit; i += 2)
		KUNIT_ASSERT_TRUE(test, test_sg_map(lists[i],
						    test_sg_contiguous(i / 2),
						    "filling holes"));
	for (i = 0; i < fit; i++) {
		test_sg_use(lists[i]);
		test_sg_unmap(lists[i]);
		test_sg_free(lists[i]);
	}
	KUNIT_ASSERT_TRUE(test, test_sg_map(large, TEST_SG_CONTIGUOUS,
					    "all is free"));
	test_sg_use(large);
	test_sg_unmap(large);
	test_sg_free(large);
	test_sg_free(more);
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/*
 * Bad input.
 */

/* Of three good entries, one after the other becomes a bad one. */
static void list_bad_entry(struct kunit *test)
{
	const struct test_span spans[] = {
		{ 0, 512 }, { 512, 512 }, { 0, 1024 },
	};
	struct scatterlist *sg, good;
	struct test_device td;
	struct test_sg *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	test_sg_make(list, spans, ARRAY_SIZE(spans), DMA_TO_DEVICE);
	for_each_sgtable_sg(&list->sgt, sg, i) {
		good = *sg;
		sg_assign_page(sg, NULL);
		test_sgt_refused(test, td.dev, &list->sgt, TEST_SG_AS_IS,
				 -EINVAL, "no page");
		test_sgt_refused(test, td.dev, &list->sgt, TEST_SG_CONTIGUOUS,
				 -EINVAL, "no page, contiguous");
		*sg = good;
	}
	for_each_sgtable_sg(&list->sgt, sg, i)
		sg->length = 0;
	test_sgt_refused(test, td.dev, &list->sgt, TEST_SG_AS_IS, -EINVAL,
			 "no bytes");
	test_sgt_refused(test, td.dev, &list->sgt, TEST_SG_CONTIGUOUS, -EINVAL,
			 "no bytes, contiguous");
	for_each_sgtable_sg(&list->sgt, sg, i)
		sg->length = spans[i].len;
	KUNIT_EXPECT_EQ(test, 0, dma_map_sg(td.dev, list->sgt.sgl, 0,
					    DMA_TO_DEVICE));
	KUNIT_EXPECT_EQ(test, 0, dma_map_sg(td.dev, list->sgt.sgl,
					    ARRAY_SIZE(spans) + 1,
					    DMA_TO_DEVICE));
	KUNIT_EXPECT_TRUE(test, test_sg_is_cleared(list));
	KUNIT_ASSERT_TRUE(test, test_sg_map(list, TEST_SG_CONTIGUOUS,
					    "good again"));
	test_sg_use(list);
	test_sg_unmap(list);
	test_sg_free(list);
	test_device_settled(test, &td, 0);
}

/* Entries that say more than there is: nobody may look at their memory. */
static void sgt_make_huge(struct kunit *test, struct sg_table *sgt,
			  unsigned int count, unsigned int len, void *memory)
{
	struct scatterlist *sg;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(sgt, count, GFP_KERNEL));
	for_each_sgtable_sg(sgt, sg, i)
		test_entry_set(sg, virt_to_page(memory), len, 0);
}

static void list_too_large(struct kunit *test)
{
	static const struct {
		const char *what;
		unsigned int count, len;
	} rows[] = {
		{ "a byte above 4 GiB", 2, 0x80000001 },
		{ "4 GiB", 2, 0x80000000 },
		{ "chained lists of 6 GiB", 1536, 0x400000 },
		{ "chained lists that would wrap 32 bits", 4097, 0xfffff000 },
	};
	const struct test_env *env = test->param_value;
	/* No row fits, and each granule of it could be had. */
	u64 space = (u64)512 << env->granule_shift;
	struct test_device td, wide;
	struct sg_table sgt;
	struct test_pool *pool;
	unsigned int i;

	test_device_init(test, test_iommu(test, space - 1), &td);
	test_device_init(test, test_iommu(test, 0), &wide);
	pool = test_pool_create(test, td.granule);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		sgt_make_huge(test, &sgt, rows[i].count, rows[i].len,
			      pool->blocks[0]);
		test_sgt_refused(test, td.dev, &sgt, TEST_SG_AS_IS, -ENOMEM,
				 rows[i].what);
		test_sgt_refused(test, td.dev, &sgt, TEST_SG_CONTIGUOUS,
				 -EINVAL, rows[i].what);
		/* Here there is space, but no segment can say how large it is. */
		test_sgt_refused(test, wide.dev, &sgt, TEST_SG_CONTIGUOUS,
				 -EINVAL, rows[i].what);
		sg_free_table(&sgt);
	}
	test_device_settled(test, &td, 0);
	test_device_settled(test, &wide, 0);
}

/* What dma_max_contiguous_size() says can be had; a byte more cannot. */
static void largest_run(struct test_sg *list, size_t size, const char *what)
{
	size_t block = list->pool->size;
	unsigned int count = DIV_ROUND_UP(size, block), i;
	struct test_span spans[TEST_ENTRIES + 1];
	struct kunit *test = list->test;

	KUNIT_ASSERT_LT(test, count, TEST_ENTRIES);
	for (i = 0; i < count; i++)
		spans[i] = (struct test_span) {
			.len = min(size - i * block, block),
		};
	test_sg_make(list, spans, count, DMA_BIDIRECTIONAL);
	if (test_sg_map(list, test_sg_contiguous(size / list->td->granule),
			what)) {
		test_sg_use(list);
		test_sg_unmap(list);
	}
	test_sg_free(list);
	spans[count] = (struct test_span) { 0, 1 };
	test_sg_make(list, spans, count + 1, DMA_BIDIRECTIONAL);
	test_sgt_refused(test, list->td->dev, &list->sgt, TEST_SG_CONTIGUOUS,
			 -EINVAL, what);
	test_sg_free(list);
}

static void list_largest(struct kunit *test)
{
	static const struct {
		struct test_limits limits;
		unsigned int granules;
	} rows[] = {
		{ { "segment", .max_segment = 5 }, 5 },
		{ { "boundary", .boundary = 8 }, 8 },
		{ { "segment and boundary", .max_segment = 6, .boundary = 8 }, 6 },
		{ { "boundary and segment", .max_segment = 9, .boundary = 4 }, 4 },
		/* All but the lowest granule */
		{ { "mask", .mask = 3 }, 7 },
		{ { "bus", .bus = 3, .mask = 4 }, 7 },
	};
	struct test_device td;
	struct test_sg *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* A guard takes of so few granules, too. */
		if (test_guard && (rows[i].limits.mask || rows[i].limits.bus))
			continue;
		test_device_limit(&td, &rows[i].limits);
		KUNIT_EXPECT_EQ_MSG(test, rows[i].granules * td.granule,
				    dma_max_contiguous_size(td.dev), "%s",
				    rows[i].limits.name);
		largest_run(list, rows[i].granules * td.granule,
			    rows[i].limits.name);
	}
	test_device_settled(test, &td, 0);
}

/* Small buffers of a device that is not coherent, byte by byte */
static void list_bounced(struct kunit *test)
{
	static const struct test_span rows[][3] = {
		{ { 0, 20 }, { 0, 20 }, { 0, 20 } },
		{ { 100, 1 }, { 200, 3 }, { 300, 5 } },
		{ { 4000, 96 }, { 0, 4096 }, { 0, 17 } },
		{ { 4088, 16 }, { 8, 4096 }, { 4095, 2 } },
	};
	struct test_device td;
	struct test_sg *list;
	unsigned int i, j;

	test_device_init(test, test_iommu(test, 0), &td);
	list = test_sg_alloc(test, &td);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < 2 * TEST_DIRS && !failed(test); j++) {
			test_sg_make(list, rows[i], ARRAY_SIZE(rows[i]),
				     test_dirs[j / 2]);
			if (test_sg_map(list, test_sg_any(j), "small")) {
				test_sg_use(list);
				test_sg_unmap(list);
			}
			test_sg_free(list);
		}
	}
	test_device_settled(test, &td, 0);
}

/*
 * Random lists of several devices with random limits that share a domain.
 */

#define DEVICES	5

/* Fewer where granules are larger: what takes time is to compare bytes. */
static unsigned int random_rounds(const struct test_device *td)
{
	return 160 >> (3 * (ilog2(td->granule) - 12) / 4);
}

static void random_limits(struct test_device *td, struct rnd_state *rnd)
{
	struct test_limits limits = {};

	if (prandom_u32_state(rnd) & 1)
		limits.max_segment = 2 + prandom_u32_state(rnd) % 10;
	if (prandom_u32_state(rnd) & 1)
		limits.boundary = 1 << prandom_u32_state(rnd) % 6;
	if (prandom_u32_state(rnd) & 1)
		limits.min_align = 1 << prandom_u32_state(rnd) % 5;
	else
		limits.min_align_mask = (1 << prandom_u32_state(rnd) % 13) - 1;
	if (prandom_u32_state(rnd) & 1)
		limits.mask = 12 + prandom_u32_state(rnd) % 20;
	if (prandom_u32_state(rnd) & 1)
		limits.bus = 12 + prandom_u32_state(rnd) % 20;
	test_device_limit(td, &limits);
}

static void random_list(struct test_sg *list, struct rnd_state *rnd)
{
	unsigned int count = 1 + prandom_u32_state(rnd) % TEST_ENTRIES, i;
	size_t size = list->pool->size, granule = list->td->granule;
	u32 how = prandom_u32_state(rnd);
	struct test_span spans[TEST_ENTRIES];

	for (i = 0; i < count; i++) {
		spans[i].offset = prandom_u32_state(rnd) % size;
		/* Often at granules: else there would be nothing to merge. */
		if (how & 1 || (how & 2 && prandom_u32_state(rnd) & 1))
			spans[i].offset = ALIGN_DOWN(spans[i].offset, granule);
		spans[i].len = 1 + prandom_u32_state(rnd) %
			       (size - spans[i].offset);
		if (how & 4 && !(spans[i].offset % granule))
			spans[i].len = granule;
	}
	test_sg_make(list, spans, count,
		     test_dirs[prandom_u32_state(rnd) % TEST_DIRS]);
}

static void list_random(struct kunit *test)
{
	struct mock_iommu *mock = test_iommu_shared(test);
	struct test_device devices[DEVICES];
	bool mapped[DEVICES] = {};
	struct test_sg *lists[DEVICES];
	unsigned int i, round, rounds, count = 0;
	unsigned long live = 0;
	struct rnd_state rnd;
	u32 seed = test_seed, how;

	kunit_info(test, "seed %u\n", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < DEVICES; i++) {
		test_device_init(test, mock, &devices[i]);
		lists[i] = test_sg_alloc(test, &devices[i]);
		lists[i]->seed = seed + i;
	}
	rounds = random_rounds(&devices[0]);
	for (round = 0; round < rounds && !failed(test); round++) {
		i = prandom_u32_state(&rnd) % DEVICES;
		if (mapped[i]) {
			test_sg_use(lists[i]);
			test_sg_unmap(lists[i]);
			test_sg_free(lists[i]);
			live -= lists[i]->granules;
			mapped[i] = false;
		} else {
			how = prandom_u32_state(&rnd);
			random_limits(&devices[i], &rnd);
			random_list(lists[i], &rnd);
			if (test_sg_is_absurd(lists[i]) ||
			    !test_sg_map(lists[i], test_sg_any(how), "random")) {
				test_sg_free(lists[i]);
				continue;
			}
			live += lists[i]->granules;
			mapped[i] = true;
			count++;
		}
		KUNIT_EXPECT_EQ_MSG(test, live,
				    mock_iommu_counts(devices[0].dev).mapped,
				    "round %u of seed %u", round, seed);
	}
	if (failed(test))
		kunit_err(test, "round %u of seed %u\n", round, seed);
	for (i = 0; i < DEVICES; i++) {
		if (!mapped[i])
			continue;
		test_sg_use(lists[i]);
		test_sg_unmap(lists[i]);
		test_sg_free(lists[i]);
	}
	if (!failed(test))
		KUNIT_EXPECT_GE(test, count, rounds / 5);
	test_device_settled(test, &devices[0], 0);
}

static struct kunit_case list_cases[] = {
	KUNIT_CASE_PARAM(list_merges, test_env_gen_params),
	KUNIT_CASE_PARAM(list_counts, test_env_gen_params),
	KUNIT_CASE_PARAM(list_shapes, test_env_gen_params),
	KUNIT_CASE_PARAM(list_shapes_contiguous, test_env_gen_params),
	KUNIT_CASE_PARAM(list_bounced, test_env_gen_params),
	KUNIT_CASE_PARAM(list_failures, test_env_gen_params),
	KUNIT_CASE_PARAM(list_space, test_env_gen_params),
	KUNIT_CASE_PARAM(list_bad_entry, test_env_gen_params),
	KUNIT_CASE_PARAM(list_too_large, test_env_gen_params),
	KUNIT_CASE_PARAM(list_largest, test_env_gen_params),
	KUNIT_CASE_PARAM(list_random, test_env_gen_params),
	{ }
};

static struct kunit_suite list_suite = {
	.name = "dma_list",
	.test_cases = list_cases,
};

kunit_test_suite(list_suite);

MODULE_DESCRIPTION("KUnit suites of the DMA-IOMMU layer");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_LICENSE("GPL");
