// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of address spaces by themselves, as the kernel has them: with
 * processors that each have addresses in a cache, interrupts off, RCU. In user space
 * the same sources are tested for longer, and under tools that the kernel lacks;
 * but there all of that is made up.
 *
 * Threads hand out and take back at random, and a map of who has what is kept with
 * it, a bit for each granule. A range is taken back as the layer does it: claimed,
 * struck off the map, then free at once or after its epoch.
 */

#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/log2.h>
#include <linux/mutex.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "../iova-cpu.h"
#include "../iova-space.h"
#include "test_device.h"

/* Granules; ranges of each thread; rounds of each; late reservations */
#define GRANULES	BIT(18)
#define LIVE		160
#define ROUNDS		3000
#define RESERVED	6

struct space_row {
	const char *what;
	unsigned int granule_shift;
};

/* The same granules are in other zones, as the limits are in bytes. */
static const struct space_row rows[] = {
	{ "narrow zones", 12 },
	{ "wide zones", 26 },
};

static void describe(const struct space_row *row, char *desc)
{
	strscpy(desc, row->what, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(row, rows, describe);

/**
 * struct world - an address space and who has what
 * @test: the test
 * @space: the address space
 * @map: bit per granule that somebody has
 * @live: ranges of each thread; no @first is none
 * @epoch: what ranges retire into
 * @flush: serialises recycling
 * @reserved: first granules of what has been reserved late, of 64 each
 * @nr_reserved: how many
 * @made: ranges handed out, small and large
 * @failed: something is wrong; stop
 */
struct world {
	struct kunit *test;
	struct iova_space space;
	unsigned long *map;
	struct iova_range live[TEST_CPUS][LIVE];
	unsigned int epoch;
	struct mutex flush; /* serialises recycling */
	unsigned long reserved[RESERVED];
	unsigned int nr_reserved;
	atomic_t made[2];
	bool failed;
};

static void world_failed(struct world *w, unsigned long granule,
			 const char *what)
{
	if (!xchg(&w->failed, true))
		KUNIT_FAIL(w->test, "granule %#lx %s", granule, what);
}

static void random_request(struct rnd_state *rnd, struct iova_request *req)
{
	static const u16 most[] = { 1, 4, 16, 64, 128, 700 };
	static const u8 limits[] = { 12, 15, 17, 18, 18, 18 };
	u32 how = prandom_u32_state(rnd);

	req->size = 1 + prandom_u32_state(rnd) % most[how % ARRAY_SIZE(most)];
	req->align = 1UL << (how / 256 % 8 < 5 ? 0 : how / 4096 % 8);
	req->limit = (1UL << limits[how / 64 % ARRAY_SIZE(limits)]) - 1;
	req->boundary = how & BIT(20) ?
			roundup_pow_of_two(req->size) << how / BIT(21) % 3 : 0;
	req->soft = !(how / BIT(24) % 8);
}

static void expect_range(struct world *w, const struct iova_request *req,
			 const struct iova_range *range, unsigned int reserved)
{
	unsigned long i, first = range->first, last = range->last;

	if (last - first + 1 != req->size || last > req->limit ||
	    !IS_ALIGNED(first, req->align) || !first)
		world_failed(w, first, "is not what was asked for");
	if (req->boundary && first / req->boundary != last / req->boundary)
		world_failed(w, first, "crosses a boundary");
	while (reserved--)
		if (last >= w->reserved[reserved] &&
		    first < w->reserved[reserved] + 64)
			world_failed(w, first, "is reserved");
	for (i = first; i <= last; i++)
		if (test_and_set_bit(i, w->map))
			world_failed(w, i, "has been handed out twice");
}

static void world_alloc(struct world *w, struct iova_range *range,
			struct rnd_state *rnd)
{
	/* Pairs with the store in world_reserve(). */
	unsigned int reserved = smp_load_acquire(&w->nr_reserved);
	struct iova_request req;

	random_request(rnd, &req);
	if (req.size == 1 && req.align == 1) {
		range->first = iova_space_alloc_one(&w->space, req.limit);
		range->last = range->first;
		if (range->first == IOVA_NONE &&
		    !iova_space_alloc(&w->space, &req, range)) {
			range->first = 0;
			return;
		}
	} else if (!iova_space_alloc(&w->space, &req, range)) {
		range->first = 0;
		return;
	}
	expect_range(w, &req, range, reserved);
	atomic_inc(&w->made[req.size > IOVA_SMALL_MAX]);
}

static bool world_claim(struct world *w, unsigned long first,
			struct iova_range *range, bool large)
{
	return (large && iova_space_claim_large(&w->space, first, range)) ||
	       iova_space_claim(&w->space, first, range);
}

static void world_free(struct world *w, struct iova_range *range, u32 how)
{
	unsigned long size = range->last - range->first + 1, i;
	bool large = size > IOVA_SMALL_MAX;
	struct iova_range claimed, other;

	/* Nothing begins inside of it, and it can be claimed only once. */
	if (size > 1 && world_claim(w, range->first + size / 2, &other, large))
		world_failed(w, range->first, "has been claimed in the middle");
	if (!world_claim(w, range->first, &claimed, large) ||
	    claimed.first != range->first || claimed.last != range->last) {
		world_failed(w, range->first, "cannot be claimed");
		return;
	}
	if (world_claim(w, range->first, &other, large))
		world_failed(w, range->first, "has been claimed twice");
	for (i = range->first; i <= range->last; i++)
		if (!test_and_clear_bit(i, w->map))
			world_failed(w, i, "was nobody's");
	range->first = 0;
	if (how & 1)
		iova_space_release(&w->space, &claimed);
	else
		iova_space_retire(&w->space, &claimed, READ_ONCE(w->epoch));
}

/* Two flushes at once are what the caller has to prevent. */
static void world_flush(struct world *w)
{
	unsigned int old = w->epoch;

	mutex_lock(&w->flush);
	WRITE_ONCE(w->epoch, old ^ 1);
	iova_space_recycle_start(&w->space, old);
	while (iova_space_recycle(&w->space, 4))
		cond_resched();
	mutex_unlock(&w->flush);
}

static void world_reserve(struct world *w, struct rnd_state *rnd)
{
	unsigned int n = w->nr_reserved;
	int ret;

	w->reserved[n] = 1 + prandom_u32_state(rnd) % (n & 1 ? 4000 : 200000);
	ret = iova_space_reserve(&w->space, w->reserved[n],
				 w->reserved[n] + 63);
	if (ret && ret != -EBUSY)
		world_failed(w, w->reserved[n], "cannot be reserved");
	/* Large ranges that were there may come again, nothing else. */
	if (ret)
		w->reserved[n] = GRANULES;
	/* Pairs with the load in world_alloc(). */
	smp_store_release(&w->nr_reserved, n + 1);
}

static void world_run(void *data, unsigned int thread)
{
	struct world *w = data;
	struct iova_range *range;
	struct rnd_state rnd;
	unsigned int round;

	prandom_seed_state(&rnd, test_seed + thread);
	for (round = 1; round <= ROUNDS && !READ_ONCE(w->failed); round++) {
		range = &w->live[thread][prandom_u32_state(&rnd) % LIVE];
		if (range->first)
			world_free(w, range, prandom_u32_state(&rnd));
		else
			world_alloc(w, range, &rnd);
		if (!thread && !(round % 40))
			world_flush(w);
		if (!thread && !(round % (ROUNDS / RESERVED)))
			world_reserve(w, &rnd);
		if (!(round % 64))
			cond_resched();
	}
}

/* What one processor has handed out, another takes back. */
static void world_return(void *data, unsigned int thread)
{
	struct world *w = data;
	unsigned int i;

	for (i = 0; i < LIVE; i++)
		if (w->live[!thread][i].first && !READ_ONCE(w->failed))
			world_free(w, &w->live[!thread][i], i);
}

static void world_destroy(void *data)
{
	struct world *w = data;

	iova_space_destroy(&w->space);
	kvfree(w->map);
}

static struct world *world_create(struct kunit *test)
{
	const struct space_row *row = test->param_value;
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->test = test;
	mutex_init(&w->flush);
	w->map = kvcalloc(BITS_TO_LONGS(GRANULES), sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, w->map);
	KUNIT_ASSERT_EQ(test, 0,
			iova_space_init(&w->space, 1, GRANULES - 1,
					row->granule_shift));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, world_destroy,
							   w));
	return w;
}

static void space_random(struct kunit *test)
{
	struct world *w = world_create(test);
	struct iova_request req = {
		.size = IOVA_SMALL_MAX, .align = 1, .limit = GRANULES - 1,
	};
	unsigned long granules = 0;
	struct iova_range range;
	unsigned int i;

	test_on_cpus(test, world_run, w);
	test_on_cpus(test, world_return, w);
	for (i = 0; i < IOVA_EPOCHS; i++)
		world_flush(w);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(w->map, GRANULES));
	KUNIT_EXPECT_GE(test, atomic_read(&w->made[0]), ROUNDS / 4);
	KUNIT_EXPECT_GE(test, atomic_read(&w->made[1]), ROUNDS / 50);
	/* All of it can be had again, but for what processors have in their caches. */
	KUNIT_EXPECT_GE(test, iova_pool_largest(&w->space.pool, GRANULES - 1),
			GRANULES / 16);
	while (iova_space_alloc(&w->space, &req, &range)) {
		expect_range(w, &req, &range, w->nr_reserved);
		granules += req.size;
	}
	KUNIT_EXPECT_GE(test, granules, GRANULES - GRANULES / 32);
}

/* Limits that share no room with each other: none starves the other. */
static void space_zones(struct kunit *test)
{
	struct world *w = world_create(test);
	struct iova_request low = { .size = 8, .align = 8, .limit = 4095 };
	struct iova_request high = {
		.size = 8, .align = 1, .limit = GRANULES - 1,
	};
	unsigned int count = 0, i;
	struct iova_range range;

	for (i = 0; i < 2000; i++) {
		KUNIT_ASSERT_TRUE(test, iova_space_alloc(&w->space, &high,
							 &range));
		expect_range(w, &high, &range, 0);
	}
	while (iova_space_alloc(&w->space, &low, &range)) {
		expect_range(w, &low, &range, 0);
		count++;
	}
	/* But for the lowest granule, which nobody gets */
	KUNIT_EXPECT_GE(test, count, 4096 / 8 - 64);
	KUNIT_EXPECT_LT(test, iova_pool_largest(&w->space.pool, 4095), 8);
}

/* Allocate and free on one processor; what is freed stays in its cache. */
static long fill_cache(void *data)
{
	struct world *w = data;
	struct iova_request req = { .align = 1, .limit = GRANULES - 1 };
	struct iova_range *ranges = w->live[0];
	unsigned int i;

	for (i = 0; i < LIVE; i++) {
		req.size = 1 + i % 64;
		if (!iova_space_alloc(&w->space, &req, &ranges[i]))
			return -ENOSPC;
	}
	for (i = 0; i < LIVE; i++) {
		if (!iova_space_claim(&w->space, ranges[i].first, &ranges[i]))
			return -ENOENT;
		iova_space_release(&w->space, &ranges[i]);
	}
	return 0;
}

static void expect_all(struct kunit *test, struct world *w)
{
	struct iova_request req = {
		.size = GRANULES / 2, .align = 1, .limit = GRANULES - 1,
	};
	unsigned long granules = 0;
	struct iova_range range;

	KUNIT_ASSERT_TRUE(test, iova_space_alloc(&w->space, &req, &range));
	iova_space_release(&w->space, &range);
	for (req.size = 1; iova_space_alloc(&w->space, &req, &range); granules++)
		if (!(granules % 1024))
			cond_resched();
	KUNIT_EXPECT_EQ(test, GRANULES - 1, granules);
}

/* What another processor has in its cache can be had, */
static void space_others(struct kunit *test)
{
	struct world *w = world_create(test);
	unsigned int cpu = cpumask_last(cpu_online_mask);

	KUNIT_ASSERT_EQ(test, 0, work_on_cpu(cpu, fill_cache, w));
	expect_all(test, w);
}

/* Words, ranges and chunks that a processor has */
static unsigned int cached_by(const struct world *w, unsigned int cpu)
{
	const struct iova_cpu *of = per_cpu_ptr(w->space.cpu, cpu);
	unsigned int count = IOVA_CPU_RANGES - of->nr_unused, i;

	for (i = 0; i < IOVA_CPU_WORDS; i++)
		count += !!of->word[i].free;
	for (i = 0; i < IOVA_ZONES; i++)
		count += !!of->chunk[i];
	return count;
}

/* and one that has gone offline has nothing more. */
static void space_offline(struct kunit *test)
{
	struct world *w = world_create(test);
	unsigned int cpu = cpumask_last(cpu_online_mask);

	if (num_online_cpus() < 2)
		kunit_skip(test, "there is one processor");
	KUNIT_ASSERT_EQ(test, 0, work_on_cpu(cpu, fill_cache, w));
	KUNIT_EXPECT_LT(test, 0, cached_by(w, cpu));
	KUNIT_ASSERT_EQ(test, 0, remove_cpu(cpu));
	KUNIT_EXPECT_EQ(test, 0, cached_by(w, cpu));
	expect_all(test, w);
	KUNIT_EXPECT_EQ(test, 0, add_cpu(cpu));
}

static void space_unfit(struct kunit *test)
{
	struct iova_request req = { .size = 0, .align = 1, .limit = 100 };
	struct iova_space *space = kunit_kzalloc(test, sizeof(*space),
						 GFP_KERNEL);
	struct iova_range range;

	KUNIT_ASSERT_NOT_NULL(test, space);
	KUNIT_EXPECT_EQ(test, -EINVAL, iova_space_init(space, 0, 9, 12));
	KUNIT_EXPECT_EQ(test, -EINVAL, iova_space_init(space, 9, 8, 12));
	KUNIT_EXPECT_EQ(test, -EINVAL, iova_space_init(space, 1,
						       ULONG_MAX, 12));
	/* All that there can be */
	KUNIT_ASSERT_EQ(test, 0, iova_space_init(space, 1, ULONG_MAX - 1,
						 12));
	KUNIT_EXPECT_FALSE(test, iova_space_alloc(space, &req, &range));
	req.size = 102;
	KUNIT_EXPECT_FALSE(test, iova_space_alloc(space, &req, &range));
	req.limit = ULONG_MAX - 1;
	req.size = ULONG_MAX - 2;
	KUNIT_EXPECT_TRUE(test, iova_space_alloc(space, &req, &range));
	/* One granule is left below it. */
	KUNIT_EXPECT_EQ(test, 1, iova_pool_largest(&space->pool, 1));
	KUNIT_EXPECT_EQ(test, -EBUSY, iova_space_reserve(space, 5, 6));
	KUNIT_EXPECT_EQ(test, 0, iova_space_reserve(space, ULONG_MAX,
						    ULONG_MAX));
	KUNIT_EXPECT_FALSE(test, iova_space_claim(space, ULONG_MAX, &range));
	KUNIT_EXPECT_TRUE(test, iova_space_claim(space, range.first, &range));
	iova_space_release(space, &range);
	/* It ends with a region that waits for a range. */
	req.size = 1000;
	KUNIT_EXPECT_TRUE(test, iova_space_alloc(space, &req, &range));
	KUNIT_EXPECT_EQ(test, -EBUSY, iova_space_reserve(space, range.first,
							 range.first));
	iova_space_destroy(space);
}

static struct kunit_case space_cases[] = {
	KUNIT_CASE_PARAM(space_random, row_gen_params),
	KUNIT_CASE_PARAM(space_zones, row_gen_params),
	KUNIT_CASE_PARAM(space_others, row_gen_params),
	KUNIT_CASE_PARAM(space_offline, row_gen_params),
	KUNIT_CASE(space_unfit),
	{ }
};

static struct kunit_suite space_suite = {
	.name = "dma_space",
	.test_cases = space_cases,
};

kunit_test_suite(space_suite);
