// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite that does thousands of things at random, from several processors at
 * once, and keeps books of its own about them: a shadow of the address space says
 * of each granule whose it is.
 *
 *   after a map     each granule was nobody's, and the IOMMU has it where it belongs
 *   before an unmap each granule is still the mapping's; then it is nobody's
 *   in the end      nothing is mapped, nothing is stale, no address is lost
 *
 * Mappings are of all kinds, sizes and directions; in between, wrong unmaps are
 * tried, the IOMMU's driver fails, memory runs out, and a strict domain becomes a
 * deferred one. The address space is small enough to be full at times.
 */

#include <linux/dma-iommu.h>
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/slab.h>

#include "../iova-chunk.h"
#include "test_mapping.h"

/*
 * Granules of the address space, a chunk and some below it, at addresses that are
 * not so scarce that they are shared; mappings of each thread; rounds of each
 */
#define SPACE	(IOVA_CHUNK_GRANULES + 64)
#define TOP	SZ_8G
#define SLOTS	8
#define ROUNDS	600

/**
 * struct shadow - the books
 * @test: the test
 * @td: device
 * @slots: mappings of each thread
 * @owner: by granule, who has it: 0 for nobody
 * @made: mappings of each kind
 * @refused: maps that failed
 * @wrong: wrong unmaps
 * @seed: of all that is random
 * @failed: something is wrong; stop
 */
struct shadow {
	struct kunit *test;
	struct test_device td;
	struct test_mapping slots[TEST_CPUS][SLOTS];
	atomic_t owner[SPACE];
	atomic_t made[TEST_KINDS];
	atomic_t refused;
	atomic_t wrong;
	u32 seed;
	bool failed;
};

static void shadow_failed(struct shadow *s, const struct test_mapping *m,
			  dma_addr_t addr, const char *what)
{
	WRITE_ONCE(s->failed, true);
	KUNIT_FAIL(s->test, "seed %u, %s of %zu bytes at %#llx: %#llx %s", s->seed,
		   test_kinds[m->kind], m->size, (u64)m->addr, (u64)addr, what);
}

/* Which one of the address space it is; what is below wraps to what is beyond. */
static unsigned long granule_of(const struct shadow *s, dma_addr_t addr)
{
	return div64_u64(addr - (TOP - SPACE * s->td.granule), s->td.granule);
}

static void granule_claim(struct shadow *s, const struct test_mapping *m,
			  int owner, dma_addr_t addr)
{
	unsigned long granule = granule_of(s, addr);
	phys_addr_t phys;
	int prot;

	if (granule >= SPACE)
		shadow_failed(s, m, addr, "is out of reach");
	else if (atomic_cmpxchg(&s->owner[granule], 0, owner))
		shadow_failed(s, m, addr, "has been handed out twice");
	else if (!mock_iommu_lookup(s->td.dev, addr, &phys, &prot))
		shadow_failed(s, m, addr, "is not mapped");
}

static void granule_leave(struct shadow *s, const struct test_mapping *m,
			  int owner, dma_addr_t addr)
{
	unsigned long granule = granule_of(s, addr);
	phys_addr_t phys;
	int prot;

	if (granule >= SPACE)
		return;
	if (!mock_iommu_lookup(s->td.dev, addr, &phys, &prot))
		shadow_failed(s, m, addr, "is not mapped any more");
	if (atomic_cmpxchg(&s->owner[granule], owner, 0) != owner)
		shadow_failed(s, m, addr, "is somebody else's");
}

static void for_granules(struct shadow *s, const struct test_mapping *m,
			 int owner,
			 void (*what)(struct shadow *s,
				      const struct test_mapping *m, int owner,
				      dma_addr_t addr))
{
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;
	size_t granule = s->td.granule;
	dma_addr_t addr;

	for (i = 0; i < count; i++)
		for (addr = ALIGN_DOWN(ranges[i].addr, granule);
		     addr < ranges[i].addr + ranges[i].size; addr += granule)
			what(s, m, owner, addr);
}

/* The first byte is where it should be, as far as that is known. */
static void expect_place(struct shadow *s, const struct test_mapping *m)
{
	phys_addr_t want = test_mapping_phys(m), phys;
	size_t granule = s->td.granule;
	int prot;

	/* A bounce in its place is elsewhere. */
	if (!want || ((m->addr | m->size) & (granule - 1)) ||
	    !IS_ALIGNED(want, granule))
		return;
	if (!mock_iommu_lookup(s->td.dev, m->addr, &phys, &prot) || phys != want)
		shadow_failed(s, m, phys, "is what is behind it");
}

static void slot_make(struct shadow *s, struct test_mapping *m, int owner,
		      struct rnd_state *rnd)
{
	enum test_kind kind = prandom_u32_state(rnd) % TEST_KINDS;
	u32 how = prandom_u32_state(rnd);
	size_t granule = s->td.granule;
	size_t offset = how & 1 ? how / 256 % granule : 0;
	size_t size = granule * (1 + how / 16 % (TEST_PIECES - 1));
	bool made;

	if (how & 2)
		size = 1 + prandom_u32_state(rnd) % size;
	/* Registers may be more than a chunk is for. */
	if (kind == TEST_RESOURCE && !(how >> 16 & 3))
		size += IOVA_SMALL_MAX * granule;
	if (!(how >> 18 & 7))
		test_fail_next(1 + (how >> 21 & 3));
	made = test_mapping_make(m, kind, test_dirs[how / 4 % TEST_DIRS],
				 kind < TEST_STREAMING ? offset : 0, size);
	test_fail_next(0);
	if (!made) {
		atomic_inc(&s->refused);
		return;
	}
	atomic_inc(&s->made[kind]);
	for_granules(s, m, owner, granule_claim);
	expect_place(s, m);
}

static void slot_undo(struct shadow *s, struct test_mapping *m, int owner)
{
	for_granules(s, m, owner, granule_leave);
	test_mapping_undo(m);
}

/* Inside of the mapping, or where nothing ever is: nobody else's beginning */
static void slot_wrong(struct shadow *s, struct test_mapping *m,
		       struct rnd_state *rnd)
{
	dma_addr_t addr = TOP;

	if (prandom_u32_state(rnd) & 1 && m->size > 2 * s->td.granule &&
	    m->kind != TEST_LIST)
		addr = m->addr + s->td.granule;
	iommu_dma_ops.unmap_page(s->td.dev, addr, s->td.granule,
				 DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	atomic_inc(&s->wrong);
}

static void slot_use(struct shadow *s, struct test_mapping *m, int owner,
		     struct rnd_state *rnd)
{
	u32 how = prandom_u32_state(rnd) % 32;

	if (!m->mapped)
		slot_make(s, m, owner, rnd);
	else if (how < 8)
		if (how & 1)
			test_mapping_sync_for_cpu(m);
		else
			test_mapping_sync_for_device(m);
	else if (how < 9)
		slot_wrong(s, m, rnd);
	else
		slot_undo(s, m, owner);
}

static void shadow_run(void *data, unsigned int thread)
{
	struct shadow *s = data;
	struct rnd_state rnd;
	unsigned int round, i;

	prandom_seed_state(&rnd, s->seed + thread);
	for (round = 0; round < ROUNDS && !READ_ONCE(s->failed); round++) {
		i = prandom_u32_state(&rnd) % SLOTS;
		if (!(round % 16))
			mock_iommu_fail(s->td.dev, round / 16 % MOCK_MAP_FAULTS,
					prandom_u32_state(&rnd) % 8);
		slot_use(s, &s->slots[thread][i], 1 + thread * SLOTS + i, &rnd);
		/* Half way through, and with the other thread at work */
		if (!thread && round == ROUNDS / 2)
			mock_iommu_defer(s->test, s->td.dev);
		if (!(round % 64))
			cond_resched();
	}
	for (i = 0; i < SLOTS; i++)
		if (s->slots[thread][i].mapped)
			slot_undo(s, &s->slots[thread][i],
				  1 + thread * SLOTS + i);
}

/* All that a processor can have, with what its cache has */
static void shadow_fill(void *data, unsigned int thread)
{
	struct shadow *s = data;
	dma_addr_t addr;

	do {
		addr = iommu_dma_ops.map_resource(s->td.dev, BIT_ULL(43),
						  s->td.granule, DMA_TO_DEVICE,
						  DMA_ATTR_NO_WARN);
	} while (addr != DMA_MAPPING_ERROR);
}

static void shadow_books(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct shadow *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct mock_iommu_options options = {
		.pgsizes = BIT(env->granule_shift),
		.aperture_start = TOP - (SPACE << env->granule_shift),
		.aperture_last = TOP - 1,
		.delay_us = 2,
		.deferred = env->deferred,
	};
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->test = test;
	s->seed = test_seed;
	test_device_init(test, mock_iommu_create(test, &options), &s->td);
	for (i = 0; i < TEST_CPUS * SLOTS; i++) {
		test_mapping_init(test, &s->td,
				  &s->slots[i / SLOTS][i % SLOTS]);
		/* It would take each failed map for a mapping. */
		s->slots[i / SLOTS][i % SLOTS].direct = true;
	}
	test_on_cpus(test, shadow_run, s);
	for (i = 0; i < MOCK_MAP_FAULTS; i++)
		mock_iommu_fail(s->td.dev, i, -1);
	/* Or else this has tested little. */
	for (i = 0; i < TEST_KINDS; i++)
		KUNIT_EXPECT_GE_MSG(test, atomic_read(&s->made[i]), ROUNDS / 40,
				    "%s", test_kinds[i]);
	KUNIT_EXPECT_GE(test, atomic_read(&s->refused), ROUNDS / 100);
	KUNIT_EXPECT_GE(test, atomic_read(&s->wrong), ROUNDS / 100);
	for (i = 0; i < SPACE; i++)
		KUNIT_EXPECT_EQ(test, 0, atomic_read(&s->owner[i]));
	test_device_settled(test, &s->td, 0);
	test_on_cpus(test, shadow_fill, s);
	if (!test_guard)
		KUNIT_EXPECT_EQ(test, SPACE,
				mock_iommu_counts(s->td.dev).mapped);
}

static struct kunit_case shadow_cases[] = {
	KUNIT_CASE_PARAM(shadow_books, test_env_gen_params),
	{ }
};

static struct kunit_suite shadow_suite = {
	.name = "dma_shadow",
	.test_cases = shadow_cases,
};

kunit_test_suite(shadow_suite);
