// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of what the layer promises, one case for each promise, named by it:
 *
 *   1  no address is used again while an IOTLB may still know it
 *   2  unmapping never fails, never sleeps, never takes memory
 *   3  strict: nothing is reached after unmap; deferred: nothing 10 ms later
 *   4  every segment is what device, bus and IOMMU can do
 *   5  contiguous is one segment, or an error that leaves nothing mapped
 *   6  nothing is reached beside the mapping
 *   7  what an operation costs does not depend on how much is mapped
 *   8  a wrong unmap is reported, and hurts nobody else
 */

#include <linux/dma-iommu.h>
#include <linux/hrtimer.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "../cookie.h"
#include "../iova-extents.h"
#include "../iova-space.h"
#include "test_sg.h"
#include "test_mapping.h"

/* Granules of an address space that is to be small */
#define SPACE	64

static bool is_deferred(const struct kunit *test)
{
	return ((const struct test_env *)test->param_value)->deferred;
}

static struct mock_iommu *small_iommu(struct kunit *test, unsigned int delay_us)
{
	const struct test_env *env = test->param_value;
	struct mock_iommu_options options = {
		.pgsizes = BIT(env->granule_shift),
		.aperture_last = ((u64)SPACE << env->granule_shift) - 1,
		.delay_us = delay_us,
		.deferred = env->deferred,
	};

	return mock_iommu_create(test, &options);
}

/* A kind for each number, of those that may be made in any context */
static enum test_kind streaming_kind(u32 number)
{
	return number % TEST_STREAMING;
}

/*
 * 1. An address space so small that addresses are used again at once, and an
 * IOMMU that takes its time to invalidate. Once without a chunk in it, once with
 * nothing but one, and at addresses that are not so scarce that they are shared.
 */

#define REUSE_SLOTS	3
#define REUSE_ROUNDS	120
#define CHUNK_START	SZ_8G

struct reuse {
	struct kunit *test;
	struct test_device td;
	struct test_mapping slots[TEST_CPUS][REUSE_SLOTS];
	unsigned int made[TEST_CPUS];
};

static void reuse_run(void *data, unsigned int thread)
{
	struct reuse *reuse = data;
	size_t granule = reuse->td.granule;
	struct test_mapping *m;
	struct rnd_state rnd;
	unsigned int i;
	u32 number;

	prandom_seed_state(&rnd, test_seed + thread);
	for (i = 0; i < REUSE_ROUNDS; i++) {
		m = &reuse->slots[thread][i % REUSE_SLOTS];
		if (m->mapped)
			test_mapping_undo(m);
		number = prandom_u32_state(&rnd);
		if (test_mapping_make(m, streaming_kind(number >> 8),
				      test_dirs[number % TEST_DIRS], 0,
				      (1 + number / 16 % 4) * granule))
			reuse->made[thread]++;
	}
	for (i = 0; i < REUSE_SLOTS; i++) {
		m = &reuse->slots[thread][i];
		if (m->mapped)
			test_mapping_undo(m);
	}
}

static struct mock_iommu *chunk_iommu(struct kunit *test, unsigned int delay_us)
{
	const struct test_env *env = test->param_value;
	struct mock_iommu_options options = {
		.pgsizes = BIT(env->granule_shift),
		.aperture_start = CHUNK_START,
		.aperture_last = CHUNK_START - 1 +
				 (IOVA_CHUNK_GRANULES << env->granule_shift),
		.delay_us = delay_us,
		.deferred = env->deferred,
	};

	return mock_iommu_create(test, &options);
}

static void reuse_try(struct kunit *test, struct mock_iommu *mock)
{
	struct reuse *reuse = kunit_kzalloc(test, sizeof(*reuse), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, reuse);
	reuse->test = test;
	test_device_init(test, mock, &reuse->td);
	for (i = 0; i < TEST_CPUS * REUSE_SLOTS; i++)
		test_mapping_init(test, &reuse->td,
				  &reuse->slots[i / REUSE_SLOTS][i % REUSE_SLOTS]);
	test_on_cpus(test, reuse_run, reuse);
	for (i = 0; i < TEST_CPUS; i++)
		KUNIT_EXPECT_GE(test, reuse->made[i], REUSE_ROUNDS / 2);
	test_device_settled(test, &reuse->td, 0);
}

static void invariant_1_no_early_reuse(struct kunit *test)
{
	reuse_try(test, small_iommu(test, 20));
	reuse_try(test, chunk_iommu(test, 20));
}

/*
 * 2. With interrupts off, and allocations counted
 */

/* More allocations than there can be: none fails, but they are counted. */
#define DARK_COUNT	1000

/* Return: whether memory has been taken. */
static bool unmap_in_the_dark(struct test_mapping *m)
{
	unsigned int left;
	unsigned long flags;

	/* On PREEMPT_RT, that is not a context that drivers unmap in. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		local_irq_save(flags);
	test_fail_next(DARK_COUNT);
	test_mapping_undo(m);
	left = test_fail_left();
	test_fail_next(0);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		local_irq_restore(flags);
	return IS_ENABLED(CONFIG_FAULT_INJECTION) && left < DARK_COUNT;
}

/* Debugging of timers and RCU takes some now and then, but not each time. */
#define DARK_TRIES	24

static void expect_no_memory(struct kunit *test, struct test_mapping *m,
			     enum test_kind kind, size_t offset, size_t size)
{
	unsigned int tries = DARK_TRIES;
	bool taken;

	do {
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, kind,
							  DMA_FROM_DEVICE,
							  offset, size));
		taken = unmap_in_the_dark(m);
		KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(m->td->dev).mapped);
	} while (taken && --tries);
	KUNIT_EXPECT_FALSE_MSG(test, taken, "unmapping a %s takes memory",
			       test_kinds[kind]);
}

static void invariant_2_unmap_never_fails(struct kunit *test)
{
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	/* Low addresses are in shallow trees, of which debugging is less busy. */
	test_device_limit(&td, &(struct test_limits) { .mask = 10 });
	/* Whole granules, and what is copied for some devices */
	for (i = 0; i < 4 * TEST_STREAMING; i++)
		expect_no_memory(test, m, streaming_kind(i / 4), i & 2 ? 8 : 0,
				 i & 1 ? 100 : 3 * td.granule);
	test_device_settled(test, &td, 0);
}

/*
 * 3. What the device reaches, by an IOTLB that forgets nothing by itself. In
 * deferred mode a timer looks for that, on the processor of the layer's own: so it
 * comes after that one, however late both of them are.
 */

#define WINDOW_NS	(10 * NSEC_PER_MSEC)

/* Mappings that go at once: more than the layer's timer takes in one go */
#define LEAVING		12

/* Most times to look for a while in which the machine does not stand still */
#define MOST_TRIES	50

struct witness {
	struct hrtimer timer;
	struct test_mapping *mappings;
	unsigned long reached;
	bool done;
};

static unsigned long all_reached(const struct test_mapping *mappings)
{
	unsigned long reached = 0;
	unsigned int i;

	for (i = 0; i < LEAVING; i++)
		reached += test_mapping_reached(&mappings[i]);
	return reached;
}

static enum hrtimer_restart witness_look(struct hrtimer *timer)
{
	struct witness *witness = container_of(timer, struct witness, timer);

	witness->reached = all_reached(witness->mappings);
	/* Pairs with the load in leave_deferred(). */
	smp_store_release(&witness->done, true);
	return HRTIMER_NORESTART;
}

static void make_all(struct kunit *test, struct test_mapping *mappings,
		     enum test_kind kind, size_t size)
{
	unsigned long granules = 0;
	unsigned int i;

	for (i = 0; i < LEAVING; i++) {
		KUNIT_ASSERT_TRUE(test, test_mapping_make(&mappings[i], kind,
							  DMA_TO_DEVICE, 0,
							  size));
		granules += test_mapping_granules(&mappings[i]);
	}
	KUNIT_EXPECT_EQ(test, granules, all_reached(mappings));
}

static void undo_all(struct test_mapping *mappings)
{
	unsigned int i;

	for (i = 0; i < LEAVING; i++)
		test_mapping_undo(&mappings[i]);
}

/* Return: false if the machine stood still, so that a window ended meanwhile */
static bool leave_deferred(struct kunit *test, struct test_mapping *mappings)
{
	struct witness *witness = kunit_kzalloc(test, sizeof(*witness),
						GFP_KERNEL);
	struct iommu_domain *domain =
		iommu_get_domain_for_dev(mappings->td->dev);
	struct iommu_dma_flush *flush;
	ktime_t start;
	bool in_time;

	KUNIT_ASSERT_NOT_NULL(test, witness);
	flush = &domain->iova_cookie->flush;
	witness->mappings = mappings;
	hrtimer_init(&witness->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
	witness->timer.function = witness_look;
	/* No window is open, so the first of these opens one, and here. */
	test_device_settled(test, mappings->td,
			    mock_iommu_counts(mappings->td->dev).mapped);
	/* While the timer's function is on a processor, the timer stays there. */
	hrtimer_cancel(&flush->timer);
	/* The machine may have stood still in the last invalidation. */
	WRITE_ONCE(flush->slow, false);
	migrate_disable();
	start = ktime_get();
	undo_all(mappings);
	hrtimer_start(&witness->timer, ns_to_ktime(WINDOW_NS),
		      HRTIMER_MODE_REL_PINNED);
	in_time = ktime_get() - start < WINDOW_NS / 2;
	migrate_enable();
	/* Pairs with the store in witness_look(). */
	while (!smp_load_acquire(&witness->done))
		schedule_timeout_uninterruptible(1);
	hrtimer_cancel(&witness->timer);
	if (in_time)
		KUNIT_EXPECT_EQ_MSG(test, 0, witness->reached,
				    "%s: reached 10 ms after unmap",
				    test_kinds[mappings->kind]);
	return in_time;
}

static void invariant_3_unmapped_in_time(struct kunit *test)
{
	struct test_mapping *mappings = kunit_kcalloc(test, LEAVING,
						      sizeof(*mappings),
						      GFP_KERNEL);
	enum test_kind kind;
	struct test_device td;
	unsigned int i, tries;
	bool judged;

	KUNIT_ASSERT_NOT_NULL(test, mappings);
	test_device_init(test, test_iommu(test, 0), &td);
	for (i = 0; i < LEAVING; i++)
		test_mapping_init(test, &td, &mappings[i]);
	for (kind = 0; kind < TEST_KINDS; kind++) {
		if (is_deferred(test) && kind < TEST_STREAMING) {
			tries = 0;
			do {
				make_all(test, mappings, kind, 2 * td.granule);
				judged = leave_deferred(test, mappings);
			} while (!judged && ++tries < MOST_TRIES);
			KUNIT_EXPECT_TRUE_MSG(test, judged,
					      "the machine stands still");
		} else {
			make_all(test, mappings, kind, 2 * td.granule);
			undo_all(mappings);
			if (!is_deferred(test))
				KUNIT_EXPECT_EQ_MSG(test, 0,
						    all_reached(mappings), "%s",
						    test_kinds[kind]);
		}
	}
	test_device_settled(test, &td, 0);
}

/*
 * 4. All kinds of mappings under all limits, where the IOMMU has limits, too
 */

#define REGION_FIRST	40U
#define REGION_COUNT	500U
#define APERTURE_FIRST	16U

static void expect_range(struct kunit *test, const struct test_mapping *m,
			 const struct test_range *range, const char *what)
{
	const struct test_device *td = m->td;
	u64 first = div64_u64(range->addr, td->granule);
	u64 last = div64_u64(range->addr + range->size - 1, td->granule);

	KUNIT_EXPECT_TRUE_MSG(test, test_device_reaches(td, range->addr,
							range->size),
			      "%s, %s: %#llx is above %#llx", what,
			      test_kinds[m->kind], (u64)range->addr, td->last);
	KUNIT_EXPECT_GE_MSG(test, first, APERTURE_FIRST,
			    "%s, %s: below the aperture", what,
			    test_kinds[m->kind]);
	KUNIT_EXPECT_FALSE_MSG(test, last >= REGION_FIRST &&
			       first < REGION_FIRST + REGION_COUNT,
			       "%s, %s: in the reserved region", what,
			       test_kinds[m->kind]);
	if (m->kind == TEST_LIST || m->kind == TEST_CONTIGUOUS)
		KUNIT_EXPECT_LE_MSG(test, (u64)range->size, td->max_segment,
				    "%s, %s", what, test_kinds[m->kind]);
	/* A boundary no wider than the alignment may have to be crossed. */
	if (td->boundary && (m->kind == TEST_LIST || m->kind == TEST_CONTIGUOUS))
		KUNIT_EXPECT_FALSE_MSG(test, test_device_crosses(td, range->addr,
								 range->size),
				       "%s, %s: %#llx, %zu bytes", what,
				       test_kinds[m->kind], (u64)range->addr,
				       range->size);
}

static void expect_limits(struct kunit *test, const struct test_mapping *m,
			  const char *what)
{
	u64 align = dma_get_min_align_mask(m->td->dev) | (m->td->granule - 1);
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;
	phys_addr_t phys = test_mapping_phys(m);

	for (i = 0; i < count; i++)
		expect_range(test, m, &ranges[i], what);
	/* Memory of the layer's own has no offset to keep. */
	if (m->kind < TEST_STREAMING)
		KUNIT_EXPECT_EQ_MSG(test, 0, (phys ^ m->addr) & align,
				    "%s, %s: %#llx for memory at %#llx", what,
				    test_kinds[m->kind], (u64)m->addr,
				    (u64)phys);
}

/* Whether a list of one segment of that size can be had, if it begins aligned */
static bool is_possible(const struct test_mapping *m, enum test_kind kind,
			size_t size)
{
	const struct test_device *td = m->td;
	u64 first = virt_to_phys(m->memory) & (td->min_align - 1);

	if (kind == TEST_RESOURCE || kind >= TEST_STREAMING)
		return true;
	if (td->boundary && first + size > td->boundary)
		return false;
	return size <= td->max_segment;
}

static void all_kinds_run(struct kunit *test, struct test_mapping *m,
			  size_t size, const char *what)
{
	/* One beside it, so that not each begins where anything would fit */
	struct test_mapping beside = { .td = m->td, .direct = true };
	enum test_kind kind;

	for (kind = 0; kind < TEST_KINDS; kind++) {
		if (beside.mapped)
			test_mapping_undo(&beside);
		if (!is_possible(m, kind, size))
			continue;
		test_mapping_make(&beside, TEST_RESOURCE, DMA_TO_DEVICE, 0,
				  (1 + kind % 3) * m->td->granule);
		if (kind >= TEST_STREAMING && size > dma_max_contiguous_size(m->td->dev))
			continue;
		if (!test_mapping_make(m, kind, DMA_BIDIRECTIONAL, 0, size)) {
			KUNIT_FAIL(test, "%s, %s: %zu bytes", what,
				   test_kinds[kind], size);
			continue;
		}
		expect_limits(test, m, what);
		test_mapping_undo(m);
	}
	if (beside.mapped)
		test_mapping_undo(&beside);
}

static void invariant_4_limits(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	u64 granule = BIT(env->granule_shift);
	struct mock_iommu_options options = {
		.pgsizes = granule,
		.aperture_start = APERTURE_FIRST * granule,
		.regions = {
			{ REGION_FIRST * granule, REGION_COUNT * granule,
			  IOMMU_RESV_RESERVED },
		},
		.deferred = env->deferred,
	};
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	m->direct = false;
	for (i = 0; i < test_limits_count; i++) {
		if (!test_env_turn(test, i, 2))
			continue;
		test_device_limit(&td, &test_limits[i]);
		all_kinds_run(test, m, (1 + i % 4) * granule,
			      test_limits[i].name);
	}
	/* Every mask of a whole number of bits, with the bus in its way or not */
	for (i = 24; i <= 64; i++) {
		if (!test_env_turn(test, i, 4))
			continue;
		test_device_limit(&td, &(struct test_limits) {
			.mask = i < 64 ? i - env->granule_shift : 0,
			.bus = i % 8 ? 0 : i / 2 + 12 - env->granule_shift,
		});
		all_kinds_run(test, m, 2 * granule, "mask");
	}
	test_device_settled(test, &td, 0);
}

/*
 * 5. Each page that is mapped, each page table, and each allocation fails in turn.
 */

static bool list_is_cleared(const struct test_mapping *m)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(m->list.sgl, sg, m->list.orig_nents, i)
		if (!test_entry_is_cleared(sg))
			return false;
	return true;
}

/* Fail at @nth of what; nth of memory comes last. */
static void fail_at(struct device *dev, unsigned int what, int nth)
{
	if (what < MOCK_MAP_FAULTS)
		mock_iommu_fail(dev, what, nth);
	else
		test_fail_next(nth + 1);
}

/* Whether fail_at() has had its effect */
static bool has_failed(unsigned int what, bool made)
{
	if (what == MOCK_MAP_FAULTS && IS_ENABLED(CONFIG_FAULT_INJECTION))
		return !test_fail_left();
	return !made;
}

static void contiguous_or_error(struct kunit *test, struct test_mapping *m,
				unsigned int what)
{
	struct device *dev = m->td->dev;
	/* Out of step, so that granules are bounces that take memory */
	size_t size = 3 * m->td->granule + 200;
	unsigned int nth = 0, errors = 0;
	bool made, more;

	do {
		fail_at(dev, what, nth);
		made = test_mapping_make(m, TEST_CONTIGUOUS, DMA_BIDIRECTIONAL,
					 100, size);
		more = has_failed(what, made);
		fail_at(dev, what, -1);
		if (made) {
			KUNIT_EXPECT_EQ(test, 1, m->list.nents);
			KUNIT_EXPECT_EQ(test, size, sg_dma_len(m->list.sgl));
			test_mapping_undo(m);
		} else {
			errors++;
			KUNIT_EXPECT_TRUE_MSG(test, list_is_cleared(m),
					      "the list is not cleared");
		}
		KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
	} while (more && ++nth < 200);
	KUNIT_EXPECT_TRUE(test, made);
	if (what < MOCK_MAP_FAULTS || IS_ENABLED(CONFIG_FAULT_INJECTION))
		KUNIT_EXPECT_GE_MSG(test, errors, 1, "of sort %u", what);
}

static void invariant_5_contiguous_or_error(struct kunit *test)
{
	struct test_mapping *m;
	struct test_device td;
	unsigned int what;

	test_device_init(test, small_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	for (what = 0; what <= MOCK_MAP_FAULTS; what++)
		contiguous_or_error(test, m, what);
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/*
 * 6. All that a device can reach at all is looked at.
 */

static bool in_ranges(const struct test_mapping *m, dma_addr_t granule)
{
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;

	for (i = 0; i < count; i++)
		if (granule + m->td->granule > ranges[i].addr &&
		    granule < ranges[i].addr + ranges[i].size)
			return true;
	return false;
}

static void expect_nothing_else(struct kunit *test, const struct test_mapping *m)
{
	const struct test_device *td = m->td;
	unsigned long mapped = 0;
	phys_addr_t phys;
	dma_addr_t addr;
	int prot;

	for (addr = 0; addr < SPACE * td->granule; addr += td->granule) {
		if (!mock_iommu_lookup(td->dev, addr, &phys, &prot))
			continue;
		mapped++;
		KUNIT_EXPECT_TRUE_MSG(test, in_ranges(m, addr),
				      "%s: %#llx is reached as well",
				      test_kinds[m->kind], (u64)addr);
	}
	KUNIT_EXPECT_EQ_MSG(test, test_mapping_granules(m), mapped, "%s",
			    test_kinds[m->kind]);
}

/* What shares a granule with a small buffer, of a device whose buffers bounce */
static void expect_no_neighbours(struct kunit *test, struct test_mapping *m,
				 size_t size)
{
	size_t granule = m->td->granule, offset = m->addr & (granule - 1);
	dma_addr_t start = ALIGN_DOWN(m->addr, granule);
	struct device *dev = m->td->dev;
	u8 *bytes = kunit_kmalloc(test, granule, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, start, bytes, granule));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes + offset, 0xa5, size));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes, 0, offset));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes + offset + size, 0,
					   granule - offset - size));
	kunit_kfree(test, bytes);
}

static void invariant_6_nothing_outside(struct kunit *test)
{
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;

	test_device_init(test, small_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	m->direct = false;
	for (i = 0; i < 4 * TEST_KINDS; i++) {
		enum test_kind kind = i / 4 % TEST_KINDS;
		size_t size = i & 1 ? 3 * td.granule : 700;
		size_t offset = i & 2 && kind < TEST_STREAMING ? 512 : 0;

		KUNIT_ASSERT_TRUE_MSG(test, test_mapping_make(m, kind,
							      DMA_BIDIRECTIONAL,
							      offset, size),
				      "%s", test_kinds[kind]);
		expect_nothing_else(test, m);
		test_mapping_undo(m);
		expect_nothing_else(test, &(struct test_mapping) {
			.td = &td, .kind = TEST_LIST,
		});
	}
	memset(m->memory, 0xa5, td.granule);
	/* In no cache line of its own */
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE,
						  DMA_BIDIRECTIONAL, 40, 20));
	if (dma_kmalloc_needs_bounce(td.dev, 20, DMA_BIDIRECTIONAL))
		expect_no_neighbours(test, m, 20);
	test_mapping_undo(m);
	test_device_settled(test, &td, 0);
}

/*
 * 7. The least time of many tries, with few mappings and with many, in an address
 * space full of holes. What else goes on can only make a try take longer, so one
 * that is short enough is proof, and there may be many before it.
 */

#define FEW		16
#define MANY		800
#define TRIES		12
#define MAX_TRIES	3000

struct crowd {
	struct kunit *test;
	struct test_device td;
	dma_addr_t addrs[MANY];
	size_t sizes[MANY];
	unsigned int count;
};

static void crowd_add(struct crowd *crowd, size_t granules)
{
	size_t size = granules * crowd->td.granule;
	dma_addr_t addr;

	addr = iommu_dma_ops.map_resource(crowd->td.dev, BIT_ULL(43), size,
					  DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_NE(crowd->test, addr, DMA_MAPPING_ERROR);
	crowd->addrs[crowd->count] = addr;
	crowd->sizes[crowd->count++] = size;
}

static void crowd_remove(struct crowd *crowd, unsigned int i)
{
	iommu_dma_ops.unmap_resource(crowd->td.dev, crowd->addrs[i],
				     crowd->sizes[i], DMA_TO_DEVICE, 0);
	crowd->count--;
	crowd->addrs[i] = crowd->addrs[crowd->count];
	crowd->sizes[i] = crowd->sizes[crowd->count];
}

/*
 * Nanoseconds, of TRIES or until it is @enough; and what the IOMMU was asked for
 * each time goes to @ops.
 */
static u64 least_time(struct crowd *crowd, size_t granules, u64 enough,
		      unsigned int *ops)
{
	struct mock_iommu_counts before = mock_iommu_counts(crowd->td.dev), after;
	u64 least = U64_MAX, start;
	unsigned int i;

	for (i = 0; i < TRIES || (least > enough && i < MAX_TRIES); i++) {
		start = ktime_get_ns();
		crowd_add(crowd, granules);
		crowd_remove(crowd, crowd->count - 1);
		least = min(least, ktime_get_ns() - start);
	}
	after = mock_iommu_counts(crowd->td.dev);
	*ops = after.map - before.map + after.unmap - before.unmap +
	       after.sync - before.sync;
	KUNIT_EXPECT_EQ(crowd->test, 0, *ops % i);
	*ops /= i;
	return least;
}

static void invariant_7_cost_is_bounded(struct kunit *test)
{
	static const unsigned int granules[] = { 1, 5, 100, 150 };
	u64 few[ARRAY_SIZE(granules)], many;
	unsigned int few_ops[ARRAY_SIZE(granules)], many_ops, i;
	struct crowd *crowd = kunit_kzalloc(test, sizeof(*crowd), GFP_KERNEL);
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, crowd);
	crowd->test = test;
	prandom_seed_state(&rnd, test_seed);
	test_device_init(test, test_iommu(test, 0), &crowd->td);
	while (crowd->count < FEW)
		crowd_add(crowd, 1 + prandom_u32_state(&rnd) % 3);
	for (i = 0; i < ARRAY_SIZE(granules); i++)
		few[i] = least_time(crowd, granules[i], U64_MAX, &few_ops[i]);
	while (crowd->count < MANY)
		crowd_add(crowd, 1 + prandom_u32_state(&rnd) % 3);
	while (crowd->count > MANY / 2)
		crowd_remove(crowd, prandom_u32_state(&rnd) % crowd->count);
	for (i = 0; i < ARRAY_SIZE(granules); i++) {
		many = least_time(crowd, granules[i], 3 * few[i], &many_ops);
		KUNIT_EXPECT_LE_MSG(test, many, 3 * few[i],
				    "%u granules", granules[i]);
		KUNIT_EXPECT_EQ(test, few_ops[i], many_ops);
	}
	while (crowd->count)
		crowd_remove(crowd, crowd->count - 1);
	test_device_settled(test, &crowd->td, 0);
}

/*
 * The same of addresses alone, where nothing else hides what looking for them costs:
 * holes that are too small for it, few or thousands, and then one that is not.
 */

#define HOLES		2000
#define FEW_HOLES	8
#define HOLE		(IOVA_SMALL_MAX + 1)
#define WANTED		(3 * HOLE)

struct holes {
	struct kunit *test;
	struct iova_space space;
	struct iova_range ranges[2 * HOLES];
	unsigned int count;
};

static bool extent_alloc(struct holes *holes, unsigned long size,
			 struct iova_range *range)
{
	struct iova_request req = {
		.size = size,
		.align = 1,
		.limit = BIT(30) - 1,
	};

	return iova_space_alloc(&holes->space, &req, range);
}

static void extent_free(struct holes *holes, const struct iova_range *range)
{
	struct iova_range claimed;

	if (!iova_space_claim_large(&holes->space, range->first, &claimed))
		KUNIT_FAIL(holes->test, "%#lx is nobody's", range->first);
	else
		iova_space_release(&holes->space, &claimed);
}

/* Until there are so many; every second of the new ones becomes a hole. */
static void holes_add(struct holes *holes, unsigned int count)
{
	unsigned int first = holes->count, i;

	for (i = first; i < 2 * count; i++)
		KUNIT_ASSERT_TRUE(holes->test,
				  extent_alloc(holes, HOLE, &holes->ranges[i]));
	for (i = first; i < 2 * count; i += 2)
		extent_free(holes, &holes->ranges[i]);
	holes->count = 2 * count;
}

static u64 search_time(struct holes *holes, u64 enough)
{
	u64 least = U64_MAX, start;
	struct iova_range range;
	unsigned int i;

	for (i = 0; i < TRIES || (least > enough && i < MAX_TRIES); i++) {
		start = ktime_get_ns();
		KUNIT_ASSERT_TRUE(holes->test,
				  extent_alloc(holes, WANTED, &range));
		extent_free(holes, &range);
		least = min(least, ktime_get_ns() - start);
	}
	return least;
}

static void invariant_7_search_is_bounded(struct kunit *test)
{
	struct holes *holes = kunit_kzalloc(test, sizeof(*holes), GFP_KERNEL);
	unsigned int i;
	u64 few, many;

	KUNIT_ASSERT_NOT_NULL(test, holes);
	holes->test = test;
	KUNIT_ASSERT_EQ(test, 0, iova_space_init(&holes->space, 1,
						 BIT(30) - 1, 12));
	holes_add(holes, FEW_HOLES);
	few = search_time(holes, U64_MAX);
	holes_add(holes, HOLES);
	many = search_time(holes, 3 * few);
	KUNIT_EXPECT_LE(test, many, 3 * few);
	for (i = 1; i < holes->count; i += 2)
		extent_free(holes, &holes->ranges[i]);
	iova_space_destroy(&holes->space);
}

/*
 * 8. The log is read back. What it says is limited to so many lines in a while, so
 * there are few of each sort here.
 */

#define VICTIM_SIZE(v)	(3 * (v)->td.granule)

struct victims {
	struct kunit *test;
	struct test_device td;
	struct test_mapping below, victim, above;
	struct test_device other;
	unsigned int said;
};

static unsigned int complaints(const struct test_device *td)
{
	return test_said(td, "DMA unmap");
}

/* What was wrong has been said, and both neighbours are there. */
static void expect_complaint(struct victims *v, const struct test_device *td,
			     unsigned long left, const char *what)
{
	unsigned int said = complaints(td);
	struct test_mapping *neighbours[] = { &v->below, &v->above };
	phys_addr_t phys;
	unsigned int i;
	int prot;

	KUNIT_EXPECT_EQ_MSG(v->test, 1, said - v->said, "%s", what);
	KUNIT_EXPECT_EQ_MSG(v->test, 6 + left,
			    mock_iommu_counts(v->td.dev).mapped, "%s", what);
	KUNIT_EXPECT_EQ(v->test, 0, mock_iommu_counts(v->td.dev).wrong);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_TRUE_MSG(v->test,
				      mock_iommu_lookup(v->td.dev,
							neighbours[i]->addr,
							&phys, &prot),
				      "%s", what);
		KUNIT_EXPECT_EQ(v->test, virt_to_phys(neighbours[i]->memory),
				phys);
	}
}

static void victim_unmap(struct victims *v, const struct test_device *td,
			 dma_addr_t addr, size_t size)
{
	v->said = complaints(td);
	iommu_dma_ops.unmap_page(td->dev, addr, size, DMA_TO_DEVICE, 0);
}

static void victim_make(struct victims *v, enum test_kind kind)
{
	KUNIT_ASSERT_TRUE(v->test, test_mapping_make(&v->victim, kind,
						     DMA_TO_DEVICE, 0,
						     VICTIM_SIZE(v)));
}

static void wrong_addresses(struct victims *v)
{
	size_t size = VICTIM_SIZE(v);

	victim_make(v, TEST_PAGE);
	victim_unmap(v, &v->td, v->victim.addr + v->td.granule, size);
	expect_complaint(v, &v->td, 3, "in the middle");
	victim_unmap(v, &v->td, ~(dma_addr_t)0 - size, size);
	expect_complaint(v, &v->td, 3, "at the top");
	victim_unmap(v, &v->other, v->victim.addr, size);
	expect_complaint(v, &v->other, 3, "of another device");
	test_mapping_undo(&v->victim);
	victim_unmap(v, &v->td, v->victim.addr, size);
	expect_complaint(v, &v->td, 0, "twice");
}

/* Of a small mapping and of one that is too large for a chunk, in turns */
static void wrong_sizes(struct victims *v)
{
	static const char * const how[] = {
		"no bytes", "one granule", "a byte too many", "everything",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(how); i++) {
		bool large = test_env_turn(v->test, i, 2);
		size_t size = large ? (IOVA_SMALL_MAX + 60) * v->td.granule :
				      VICTIM_SIZE(v);
		const size_t sizes[] = { 0, v->td.granule, size + 1, SIZE_MAX };

		KUNIT_ASSERT_TRUE(v->test,
				  test_mapping_make(&v->victim,
						    large ? TEST_RESOURCE :
							    TEST_PAGE,
						    DMA_TO_DEVICE, 0, size));
		victim_unmap(v, &v->td, v->victim.addr, sizes[i]);
		expect_complaint(v, &v->td, 0, how[i]);
		if (!is_deferred(v->test))
			KUNIT_EXPECT_EQ(v->test, 0,
					test_mapping_reached(&v->victim));
	}
}

/*
 * In the middle of a mapping, where another one begins at the aligned address: that
 * one does not reach so far.
 */
static void wrong_in_alignment(struct victims *v)
{
	size_t granule = v->td.granule;
	struct device *dev = v->td.dev;
	dma_addr_t others[2 * TEST_ROOM], addr;
	unsigned int n = 0;

	v->td.min_align = granule;
	test_device_set(&v->td);
	do {
		KUNIT_ASSERT_LT(v->test, n, ARRAY_SIZE(others));
		others[n] = dma_map_resource(dev, BIT_ULL(43), granule,
					     DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(v->test, dma_mapping_error(dev, others[n]));
	} while (others[n++] % (TEST_ROOM * granule));
	victim_make(v, TEST_PAGE);
	addr = v->victim.addr + granule;
	KUNIT_EXPECT_EQ(v->test, others[n - 1],
			ALIGN_DOWN(addr, TEST_ROOM * granule));

	v->td.min_align = TEST_ROOM * granule;
	test_device_set(&v->td);
	victim_unmap(v, &v->td, addr, granule);
	expect_complaint(v, &v->td, 3 + n, "where another one begins aligned");
	test_mapping_undo(&v->victim);
	while (n--)
		dma_unmap_resource(dev, others[n], granule, DMA_TO_DEVICE, 0);
}

/* With an alignment above the granule a mapping keeps its memory's offset. */
static void wrong_units(struct victims *v)
{
	size_t granule = v->td.granule;

	v->td.min_align = TEST_ROOM * granule;
	test_device_set(&v->td);
	victim_make(v, TEST_PAGE);
	victim_unmap(v, &v->td, v->victim.addr + granule, granule);
	expect_complaint(v, &v->td, 0, "in the middle of what begins aligned");
	/* The log takes so many lines of a sort and no more. */
	if (!is_deferred(v->test)) {
		wrong_in_alignment(v);
	} else {
		victim_make(v, TEST_PAGE);
		victim_unmap(v, &v->td, v->victim.addr + VICTIM_SIZE(v),
			     granule);
		expect_complaint(v, &v->td, 3, "behind it in its alignment");
		test_mapping_undo(&v->victim);
	}

	KUNIT_ASSERT_TRUE(v->test, test_mapping_make(&v->victim, TEST_PAGE,
						     DMA_TO_DEVICE, granule,
						     2 * granule));
	victim_unmap(v, &v->td, v->victim.addr - granule, 2 * granule);
	expect_complaint(v, &v->td, 0, "before it in its alignment");
	v->td.min_align = granule;
	test_device_set(&v->td);
}

static void wrong_lists(struct victims *v)
{
	struct scatterlist *sgl = v->victim.list.sgl;

	victim_make(v, TEST_LIST);
	v->said = complaints(&v->td);
	sg_dma_len(sgl) -= v->td.granule;
	iommu_dma_ops.unmap_sg(v->td.dev, sgl, v->victim.list.orig_nents,
			       DMA_TO_DEVICE, 0);
	expect_complaint(v, &v->td, 0, "a list that has changed");

	v->said = complaints(&v->td);
	sg_dma_len(sgl) = 0;
	iommu_dma_ops.unmap_sg(v->td.dev, sgl, v->victim.list.orig_nents,
			       DMA_TO_DEVICE, 0);
	expect_complaint(v, &v->td, 0, "a list that is not mapped");
}

/*
 * Segments with a hole behind each: what is the mapping's, only its list says, and
 * each thing is tried that it can say wrongly. All of it goes, and nothing else.
 */
static void wrong_segments(struct victims *v)
{
	struct scatterlist *sgl = v->victim.list.sgl;
	size_t granule = v->td.granule;
	const struct {
		const char *what;
		unsigned int entry, nents;
		dma_addr_t up;
	} rows[] = {
		{ "a segment in the one before", 1, 3, -2 * granule },
		{ "a segment where a hole was", 1, 3, -granule },
		{ "a segment behind the mapping", 2, 3, 4 * granule },
		{ "a segment too few", 0, 2, 0 },
		{ "a segment that wraps", 2, 3, DMA_MAPPING_ERROR },
	};
	struct scatterlist *sg;
	unsigned int i;

	v->td.min_align = 2 * granule;
	v->td.max_segment = granule;
	test_device_set(&v->td);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* The log takes so many lines of a sort and no more. */
		if (!test_env_turn(v->test, i, 2))
			continue;
		victim_make(v, TEST_LIST);
		KUNIT_EXPECT_EQ(v->test, 3, v->victim.list.nents);
		sg = sgl + rows[i].entry;
		if (rows[i].up == DMA_MAPPING_ERROR)
			sg_dma_address(sg) = -(dma_addr_t)granule;
		else
			sg_dma_address(sg) += rows[i].up;
		v->said = complaints(&v->td);
		iommu_dma_ops.unmap_sg(v->td.dev, sgl, rows[i].nents,
				       DMA_TO_DEVICE, 0);
		expect_complaint(v, &v->td, 0, rows[i].what);
	}
	v->td.min_align = granule;
	v->td.max_segment = U32_MAX;
	test_device_set(&v->td);
}

static void invariant_8_wrong_unmap(struct kunit *test)
{
	struct victims *v = kunit_kzalloc(test, sizeof(*v), GFP_KERNEL);
	struct mock_iommu *mock = test_iommu(test, 0);

	KUNIT_ASSERT_NOT_NULL(test, v);
	v->test = test;
	test_log_wait(test);
	test_device_init(test, mock, &v->td);
	test_device_init(test, mock, &v->other);
	test_mapping_init(test, &v->td, &v->below);
	test_mapping_init(test, &v->td, &v->victim);
	test_mapping_init(test, &v->td, &v->above);
	v->victim.direct = true;
	KUNIT_ASSERT_TRUE(test, test_mapping_make(&v->below, TEST_PAGE,
						  DMA_TO_DEVICE, 0,
						  VICTIM_SIZE(v)));
	KUNIT_ASSERT_TRUE(test, test_mapping_make(&v->above, TEST_PAGE,
						  DMA_TO_DEVICE, 0,
						  VICTIM_SIZE(v)));
	wrong_addresses(v);
	wrong_sizes(v);
	wrong_units(v);
	wrong_segments(v);
	wrong_lists(v);
	test_mapping_undo(&v->below);
	test_mapping_undo(&v->above);
	test_device_settled(test, &v->td, 0);
}

static struct kunit_case invariants_cases[] = {
	KUNIT_CASE_PARAM(invariant_1_no_early_reuse, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_2_unmap_never_fails, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_3_unmapped_in_time, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_4_limits, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_5_contiguous_or_error, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_6_nothing_outside, test_env_gen_params),
	KUNIT_CASE_PARAM(invariant_7_cost_is_bounded, test_mode_gen_params),
	KUNIT_CASE(invariant_7_search_is_bounded),
	KUNIT_CASE_PARAM(invariant_8_wrong_unmap, test_mode_gen_params),
	{ }
};

static struct kunit_suite invariants_suite = {
	.name = "dma_invariants",
	.test_cases = invariants_cases,
};

kunit_test_suite(invariants_suite);
