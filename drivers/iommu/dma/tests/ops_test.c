// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of the rest of what the layer offers, with every argument at its
 * limits, and of every way in which it can fail: what the DMA core calls, beyond
 * what the suites of lists and mappings have done; what the IOMMU core calls in
 * the life of a domain; doorbells; and IOMMUs of unusual kinds.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-contiguity.h>
#include <linux/dma-direct.h>
#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/msi.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>

#include "../../dma-iommu.h"
#include "../domain.h"
#include "../map.h"
#include "test_mapping.h"

#define SPACE	64

static const struct dma_map_ops *const ops = &iommu_dma_ops;

static u64 granule_of_env(const struct kunit *test)
{
	return BIT(((const struct test_env *)test->param_value)->granule_shift);
}

static struct mock_iommu_options env_options(const struct kunit *test)
{
	const struct test_env *env = test->param_value;

	return (struct mock_iommu_options) {
		.pgsizes = BIT(env->granule_shift),
		.aperture_last = SPACE * granule_of_env(test) - 1,
		.deferred = env->deferred,
	};
}

/* Each kind of mapping is made, is there, and is undone. */
static void all_kinds_work(struct kunit *test, struct test_mapping *m)
{
	unsigned long before = mock_iommu_counts(m->td->dev).mapped;
	enum test_kind kind;

	for (kind = 0; kind < TEST_KINDS; kind++) {
		KUNIT_ASSERT_TRUE_MSG(test, test_mapping_make(m, kind,
							      DMA_BIDIRECTIONAL,
							      0, 2 * m->td->granule),
				      "%s", test_kinds[kind]);
		KUNIT_EXPECT_EQ(test, before + test_mapping_granules(m),
				mock_iommu_counts(m->td->dev).mapped);
		test_mapping_sync_for_cpu(m);
		test_mapping_sync_for_device(m);
		test_mapping_undo(m);
		KUNIT_EXPECT_EQ(test, before,
				mock_iommu_counts(m->td->dev).mapped);
	}
}

/* None is, and nothing is left of it. */
static void all_kinds_fail(struct kunit *test, struct test_mapping *m)
{
	unsigned long before = mock_iommu_counts(m->td->dev).mapped;
	enum test_kind kind;

	for (kind = 0; kind < TEST_KINDS; kind++) {
		KUNIT_EXPECT_FALSE_MSG(test, test_mapping_make(m, kind,
							       DMA_BIDIRECTIONAL,
							       0, 3 * m->td->granule),
				       "%s", test_kinds[kind]);
		if (m->mapped)
			test_mapping_undo(m);
		KUNIT_EXPECT_EQ(test, before,
				mock_iommu_counts(m->td->dev).mapped);
	}
}

/*
 * What drivers can ask for.
 */

static void sizes(struct kunit *test)
{
	u64 granule = granule_of_env(test);
	const struct {
		size_t size;
		unsigned int granules;
	} rows[] = {
		{ 0, 0 }, { 1, 1 }, { granule - 1, 1 }, { granule, 1 },
		{ granule + 1, 2 }, { 2 * granule - 1, 2 }, { 2 * granule, 2 },
		{ 2 * granule + 1, 3 }, { SIZE_MAX, 0 }, { SIZE_MAX / 2, 0 },
		{ SIZE_MAX - granule, 0 }, { SIZE_MAX - 2 * granule + 1, 0 },
	};
	struct mock_iommu_options options = env_options(test);
	struct sg_table *sgt;
	struct test_device td;
	dma_addr_t addr;
	unsigned int i;
	void *cpu;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		addr = ops->map_resource(td.dev, BIT_ULL(43), rows[i].size,
					 DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_EXPECT_EQ_MSG(test, !rows[i].granules,
				    addr == DMA_MAPPING_ERROR, "%zu bytes",
				    rows[i].size);
		KUNIT_EXPECT_EQ(test, rows[i].granules,
				mock_iommu_counts(td.dev).mapped);
		if (addr != DMA_MAPPING_ERROR)
			ops->unmap_resource(td.dev, addr, rows[i].size,
					    DMA_TO_DEVICE, 0);
		cpu = ops->alloc(td.dev, rows[i].size, &addr, GFP_KERNEL,
				 DMA_ATTR_NO_WARN);
		KUNIT_EXPECT_EQ_MSG(test, !rows[i].granules, !cpu, "%zu bytes",
				    rows[i].size);
		if (cpu)
			ops->free(td.dev, rows[i].size, cpu, addr, 0);
	}
	/* Memory does not wrap. */
	addr = ops->map_resource(td.dev, ~(phys_addr_t)0 - 5, 7, DMA_TO_DEVICE,
				 0);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR, addr);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].granules)
			continue;
		sgt = dma_alloc_noncontiguous(td.dev, rows[i].size,
					      DMA_BIDIRECTIONAL,
					      GFP_KERNEL | __GFP_NOWARN, 0);
		KUNIT_EXPECT_NULL(test, sgt);
	}
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/* A device that reaches nothing but what is never used */
static void none_reached(struct kunit *test, struct test_device *td)
{
	u64 masks[] = { td->granule / 2 - 1, td->granule - 1 };
	struct test_mapping *m = test_mapping_create(test, td);
	enum test_kind kind;
	unsigned int i;

	test_device_limit(td, &test_limits[0]);
	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		*td->dev->dma_mask = masks[i];
		td->dev->coherent_dma_mask = masks[i];
		KUNIT_EXPECT_EQ(test, 0, dma_max_mapping_size(td->dev));
		KUNIT_EXPECT_EQ(test, 0, dma_max_contiguous_size(td->dev));
		for (kind = 0; kind < TEST_KINDS; kind++)
			KUNIT_EXPECT_FALSE_MSG(test,
					       test_mapping_make(m, kind,
								 DMA_TO_DEVICE,
								 0, 8),
					       "%s", test_kinds[kind]);
	}
}

/* The largest size that there is, and a byte more */
static void largest(struct kunit *test)
{
	u64 granule = granule_of_env(test);
	struct test_device td;
	unsigned int bits;
	dma_addr_t addr;
	size_t size;

	test_device_init(test, test_iommu(test, 0), &td);
	KUNIT_EXPECT_EQ(test, SIZE_MAX, ops->max_mapping_size(td.dev));
	KUNIT_EXPECT_EQ(test, granule - 1, ops->get_merge_boundary(td.dev));
	KUNIT_EXPECT_EQ(test, 128 * PAGE_SIZE, ops->opt_mapping_size());
	for (bits = 8; bits < 12; bits++) {
		test_device_limit(&td, &(struct test_limits) {
			.mask = bits,
			.bus = bits & 1 ? bits : 0,
			.min_align = bits & 2 ? 16 : 0,
		});
		size = dma_max_mapping_size(td.dev);
		KUNIT_EXPECT_EQ(test, (granule << bits) -
				(td.min_align + test_guard * granule), size);
		addr = dma_map_resource(td.dev, BIT_ULL(43), size,
					DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(td.dev, addr));
		dma_unmap_resource(td.dev, addr, size, DMA_TO_DEVICE, 0);
		addr = ops->map_resource(td.dev, BIT_ULL(43), size + 1,
					 DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR, addr);
	}
	none_reached(test, &td);
	test_device_limit(&td, &test_limits[0]);
	dma_set_mask(td.dev, DMA_BIT_MASK(32));
	KUNIT_EXPECT_GT(test, SIZE_MAX, ops->max_mapping_size(td.dev));
	dma_set_mask(td.dev, DMA_BIT_MASK(33));
	KUNIT_EXPECT_EQ(test, SIZE_MAX, ops->max_mapping_size(td.dev));
	test_device_settled(test, &td, 0);
}

/* From where the IOMMU begins to translate */
static void largest_in_aperture(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	u64 granule = granule_of_env(test);
	struct test_device td;
	dma_addr_t addr;
	size_t size;

	options.aperture_start = 32 * granule;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	size = ops->max_mapping_size(td.dev);
	KUNIT_EXPECT_EQ(test, (SPACE - 32 - test_guard) * granule, size);
	addr = ops->map_resource(td.dev, BIT_ULL(43), size, DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
	ops->unmap_resource(td.dev, addr, size, DMA_TO_DEVICE, 0);
	test_device_settled(test, &td, 0);
}

/* Directions that are none, numbers of entries that are none */
static void nonsense(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m;
	struct test_device td;
	enum test_kind kind;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	for (kind = 0; kind < TEST_STREAMING; kind++) {
		KUNIT_EXPECT_FALSE_MSG(test, test_mapping_make(m, kind, DMA_NONE,
							       0, 100),
				       "%s", test_kinds[kind]);
		/* Also where it would be copied */
		KUNIT_EXPECT_FALSE(test, test_mapping_make(m, kind, DMA_NONE, 4,
							   8));
	}
	KUNIT_EXPECT_EQ(test, -EINVAL, ops->map_sg(td.dev, m->list.sgl, 0,
						   DMA_TO_DEVICE, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, ops->map_sg(td.dev, m->list.sgl, -1,
						   DMA_TO_DEVICE, 0));
	ops->unmap_sg(td.dev, m->list.sgl, 0, DMA_TO_DEVICE, 0);
	/* Nothing is there: it is said, or there is nothing to do. */
	ops->sync_single_for_cpu(td.dev, td.granule, 8, DMA_FROM_DEVICE);
	ops->sync_single_for_device(td.dev, td.granule, 8, DMA_FROM_DEVICE);
	KUNIT_EXPECT_EQ(test, td.noncoherent ? 2 : 0,
			test_said(&td, "DMA sync of "));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).map);
	test_device_settled(test, &td, 0);
}

/* The first entries of a list alone */
static void list_prefix(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m;
	struct scatterlist *sgl, *rest;
	struct test_device td;
	int nents;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_LIST,
						  DMA_BIDIRECTIONAL, 0,
						  3 * td.granule));
	test_mapping_undo(m);
	test_device_settled(test, &td, 0);
	sgl = m->list.sgl;
	rest = sg_next(sg_next(sgl));
	sg_dma_address(rest) = 0x1234;
	sg_dma_len(rest) = 77;

	nents = ops->map_sg(td.dev, sgl, 2, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_GE(test, nents, 1);
	KUNIT_EXPECT_LE(test, nents, 2);
	KUNIT_EXPECT_EQ(test, 2, mock_iommu_counts(td.dev).mapped);
	ops->sync_sg_for_cpu(td.dev, sgl, 2, DMA_BIDIRECTIONAL);
	ops->sync_sg_for_device(td.dev, sgl, 2, DMA_BIDIRECTIONAL);
	ops->unmap_sg(td.dev, sgl, 2, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 0x1234, sg_dma_address(rest));
	KUNIT_EXPECT_EQ(test, 77, sg_dma_len(rest));
	test_device_settled(test, &td, 0);
}

static void attributes(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	const struct {
		unsigned long attrs;
		enum dma_data_direction dir;
		int prot;
	} rows[] = {
		{ 0, DMA_TO_DEVICE, IOMMU_READ },
		{ 0, DMA_FROM_DEVICE, IOMMU_WRITE },
		{ 0, DMA_BIDIRECTIONAL, IOMMU_READ | IOMMU_WRITE },
		{ DMA_ATTR_PRIVILEGED, DMA_TO_DEVICE, IOMMU_READ | IOMMU_PRIV },
		{ DMA_ATTR_SKIP_CPU_SYNC, DMA_FROM_DEVICE, IOMMU_WRITE },
	};
	struct test_mapping *m;
	struct test_device td;
	dma_addr_t addr;
	phys_addr_t phys;
	unsigned int i;
	int prot;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Whole, and in part, which is copied for some devices */
		size_t size = i & 1 ? 512 : td.granule;

		addr = ops->map_page(td.dev, virt_to_page(m->memory), 0, size,
				     rows[i].dir, rows[i].attrs);
		KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
		KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(td.dev, addr, &phys,
							  &prot));
		KUNIT_EXPECT_EQ(test, rows[i].prot |
				(env->noncoherent ? 0 : IOMMU_CACHE), prot);
		ops->unmap_page(td.dev, addr, size, rows[i].dir, rows[i].attrs);
	}
	for (i = 0; i < 2; i++) {
		unsigned long attrs = i ? DMA_ATTR_ALLOC_SINGLE_PAGES |
					  DMA_ATTR_PRIVILEGED :
					  DMA_ATTR_WEAK_ORDERING;
		void *cpu = ops->alloc(td.dev, 3 * td.granule, &addr,
				       GFP_KERNEL, attrs);

		KUNIT_ASSERT_NOT_NULL(test, cpu);
		KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(td.dev, addr, &phys,
							  &prot));
		KUNIT_EXPECT_EQ(test, i ? IOMMU_PRIV : 0, prot & IOMMU_PRIV);
		ops->free(td.dev, 3 * td.granule, cpu, addr, attrs);
	}
	test_device_settled(test, &td, 0);
}

/* A list of coherent memory has its pages, in order. */
static void get_sgtable(struct kunit *test)
{
	static const enum test_kind kinds[] = {
		TEST_ATOMIC, TEST_COHERENT, TEST_FORCED,
	};
	struct vm_area_struct vma = { .vm_start = 0 };
	struct sg_page_iter piter;
	struct test_mapping *m;
	struct test_device td;
	struct sg_table sgt;
	unsigned int i, pages;
	size_t size;
	u8 *cpu;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	size = 2 * max_t(size_t, td.granule, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, kinds[i],
							  DMA_BIDIRECTIONAL, 0,
							  size));
		cpu = m->cpu;
		KUNIT_ASSERT_EQ(test, 0, ops->get_sgtable(td.dev, &sgt, m->cpu,
							  m->addr, size, 0));
		pages = 0;
		for_each_sgtable_page(&sgt, &piter, 0) {
			struct page *want = is_vmalloc_addr(cpu) ?
					    vmalloc_to_page(cpu) :
					    virt_to_page(cpu);

			KUNIT_EXPECT_PTR_EQ(test, want,
					    sg_page_iter_page(&piter));
			cpu += PAGE_SIZE;
			pages++;
		}
		KUNIT_EXPECT_EQ(test, size / PAGE_SIZE, pages);
		sg_free_table(&sgt);

		/* What is not in it cannot be mapped into a process. */
		vma.vm_end = size + PAGE_SIZE;
		vma.vm_pgoff = 0;
		KUNIT_EXPECT_EQ(test, -ENXIO, ops->mmap(td.dev, &vma, m->cpu,
							m->addr, size, 0));
		vma.vm_end = PAGE_SIZE;
		vma.vm_pgoff = size / PAGE_SIZE;
		KUNIT_EXPECT_EQ(test, -ENXIO, ops->mmap(td.dev, &vma, m->cpu,
							m->addr, size, 0));
		test_mapping_undo(m);
	}
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_NONCONTIGUOUS,
						  DMA_BIDIRECTIONAL, 0, size));
	KUNIT_EXPECT_EQ(test, -ENXIO, dma_mmap_noncontiguous(td.dev, &vma, size,
							     m->pages));
	vma.vm_end = size;
	vma.vm_pgoff = 1;
	KUNIT_EXPECT_EQ(test, -ENXIO, dma_mmap_noncontiguous(td.dev, &vma, size,
							     m->pages));
	test_mapping_undo(m);
	test_device_settled(test, &td, 0);
}

/* Memory that the driver never touches takes no addresses of the CPU. */
static void no_kernel_mapping(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	const unsigned long attrs = DMA_ATTR_NO_KERNEL_MAPPING;
	dma_addr_t others[SPACE], addr;
	struct sg_page_iter piter;
	struct page *page = NULL;
	struct test_device td;
	unsigned int n = 0;
	struct sg_table sgt;
	phys_addr_t phys;
	u64 at, size;
	void *token;
	int prot;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	size = 2 * max_t(u64, td.granule, PAGE_SIZE);
	token = ops->alloc(td.dev, size, &addr, GFP_KERNEL, attrs);
	KUNIT_ASSERT_NOT_NULL(test, token);
	KUNIT_EXPECT_FALSE(test, is_vmalloc_addr(token));
	KUNIT_ASSERT_EQ(test, 0, ops->get_sgtable(td.dev, &sgt, token, addr,
						  size, attrs));
	at = addr;
	for_each_sgtable_page(&sgt, &piter, 0) {
		page = sg_page_iter_page(&piter);
		KUNIT_EXPECT_TRUE(test, PageHighMem(page) ||
				  !memchr_inv(page_address(page), 0,
					      PAGE_SIZE));
		KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(td.dev, at, &phys,
							  &prot));
		KUNIT_EXPECT_EQ(test, page_to_phys(page), phys);
		at += PAGE_SIZE;
	}
	KUNIT_EXPECT_EQ(test, addr + size, at);
	page = sg_page(sgt.sgl);
	sg_free_table(&sgt);

	get_page(page);
	ops->free(td.dev, size, token, addr, attrs);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));

	/* Freed once more, while somebody else has both page and address */
	do {
		others[n] = ops->map_page(td.dev, page, 0, PAGE_SIZE,
					  DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_ASSERT_NE(test, others[n], DMA_MAPPING_ERROR);
	} while (others[n++] != addr && n < SPACE);
	KUNIT_EXPECT_EQ(test, others[n - 1], addr);
	ops->free(td.dev, size, token, addr, attrs);
	KUNIT_EXPECT_TRUE(test, mock_iommu_lookup(td.dev, addr, &phys, &prot));
	KUNIT_EXPECT_EQ(test, -ENXIO, ops->get_sgtable(td.dev, &sgt, token, addr,
						       size, attrs));
	while (n--)
		ops->unmap_page(td.dev, others[n], PAGE_SIZE, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));
	put_page(page);
	test_device_settled(test, &td, 0);
}

/*
 * Failures.
 */

/* Each allocation, in each kind of mapping */
static void memory_fails(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m;
	struct test_device td;
	unsigned int errors[TEST_KINDS] = {};
	unsigned int nth, i;
	bool more;

	if (!test_fail_works())
		kunit_skip(test, "this kernel cannot let all memory fail, or was not told to");
	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	for (i = 0; i < 2 * TEST_KINDS; i++) {
		for (nth = 1, more = true; more && nth < 200; nth++) {
			test_fail_next(nth);
			test_mapping_make(m, i / 2, DMA_FROM_DEVICE,
					  i / 2 < TEST_STREAMING ? 8 : 0,
					  i & 1 ? 60 : 3 * td.granule - 100);
			more = !test_fail_left();
			test_fail_next(0);
			errors[i / 2] += !m->mapped;
			if (m->mapped)
				test_mapping_undo(m);
			KUNIT_EXPECT_EQ_MSG(test, 0,
					    mock_iommu_counts(td.dev).mapped,
					    "%s, allocation %u",
					    test_kinds[i / 2], nth);
		}
		KUNIT_EXPECT_LT(test, nth, 200);
	}
	/*
	 * For want of its memory each size fails, but a large one in one piece, which
	 * may be from CMA. All else that they need may be there; and other kinds have
	 * their memory, or find another way.
	 */
	for (i = TEST_COHERENT; i < TEST_KINDS; i++)
		KUNIT_EXPECT_GE_MSG(test, errors[i],
				    i == TEST_FORCED || i == TEST_PAGES ? 1 : 2,
				    "%s", test_kinds[i]);
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/*
 * The IOMMU's driver does not unmap a part. What is left is nobody's any more, and
 * is not handed out again; all else goes on.
 */
static void unmap_falls_short(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct mock_iommu_counts counts;
	struct test_mapping *m;
	struct test_device td;
	enum test_kind kind;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	for (kind = 0; kind < TEST_STREAMING; kind++) {
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, kind,
							  DMA_TO_DEVICE, 0,
							  3 * td.granule));
		mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, 1);
		test_mapping_undo(m);
		mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, -1);
	}
	/* Also one that has failed, and is being undone */
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, 1);
	mock_iommu_fail(td.dev, MOCK_FAULT_SYNC_MAP, 0);
	KUNIT_EXPECT_FALSE(test, test_mapping_make(m, TEST_LIST, DMA_TO_DEVICE,
						   0, 3 * td.granule));
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, -1);

	/* The log takes so many lines of a sort and no more. */
	if (test_env_turn(test, 0, 5))
		KUNIT_EXPECT_GE(test, test_said(&td, "IOMMU unmapped "), 1);
	counts = mock_iommu_counts(td.dev);
	KUNIT_EXPECT_GE(test, counts.mapped, TEST_STREAMING);
	/* Had any of it been handed out again, that would be wrong. */
	while (test_mapping_make(m, TEST_RESOURCE, DMA_TO_DEVICE, 0,
				 td.granule))
		;
	KUNIT_EXPECT_EQ(test, counts.wrong, mock_iommu_counts(td.dev).wrong);
	KUNIT_EXPECT_GT(test, mock_iommu_counts(td.dev).mapped,
			SPACE / 2 / (1 + test_guard));
}

/*
 * A map fails when it is all but done, and what has been mapped does not go. What
 * the device may still reach is nobody's: neither its address nor its memory.
 */
static void undo_falls_short(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m;
	struct test_device td;
	enum test_kind kind;
	phys_addr_t phys;
	dma_addr_t addr;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	for (kind = 0; kind < TEST_KINDS; kind++) {
		/*
		 * The DMA core gives its pages back, whatever became of the map;
		 * and those of its pool for atomic context tell nothing.
		 */
		if (kind == TEST_PAGES ||
		    (kind == TEST_ATOMIC && td.noncoherent))
			continue;
		mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, 0);
		mock_iommu_fail(td.dev, MOCK_FAULT_SYNC_MAP, 0);
		KUNIT_EXPECT_FALSE_MSG(test,
				       test_mapping_make(m, kind, DMA_TO_DEVICE,
							 0, td.granule),
				       "%s", test_kinds[kind]);
		mock_iommu_fail(td.dev, MOCK_FAULT_SYNC_MAP, -1);
		mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, -1);
	}
	KUNIT_EXPECT_GE(test, mock_iommu_counts(td.dev).mapped, TEST_STREAMING);
	for (addr = 0; addr < SPACE * td.granule; addr += td.granule)
		if (mock_iommu_reaches(td.dev, addr, &phys) &&
		    pfn_valid(PHYS_PFN(phys)))
			KUNIT_EXPECT_GT_MSG(test,
					    page_count(pfn_to_page(PHYS_PFN(phys))), 0,
					    "%#llx: memory that has been freed",
					    (u64)addr);
	/* Had any of it been handed out again, that would be wrong. */
	while (test_mapping_make(m, TEST_RESOURCE, DMA_TO_DEVICE, 0,
				 td.granule))
		;
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).wrong);
	KUNIT_EXPECT_GT(test, mock_iommu_counts(td.dev).mapped,
			SPACE / 2 / (1 + test_guard));
}

/* Memory that the device may still reach is not given back. */
static void free_falls_short(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_device td;
	struct sg_table *sgt;
	struct page *page;
	dma_addr_t addr;
	void *cpu_addr;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	if (td.granule > PAGE_SIZE)
		kunit_skip(test, "more than a page");
	cpu_addr = iommu_dma_ops.alloc(td.dev, PAGE_SIZE, &addr, GFP_KERNEL, 0);
	KUNIT_ASSERT_TRUE(test, is_vmalloc_addr(cpu_addr));
	page = vmalloc_to_page(cpu_addr);
	get_page(page);
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, 0);
	iommu_dma_ops.free(td.dev, PAGE_SIZE, cpu_addr, addr, 0);
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, -1);
	KUNIT_EXPECT_EQ(test, 2, page_ref_count(page));

	/* What the layer has kept, nobody else is going to give back. */
	vunmap(cpu_addr);
	if (page_ref_count(page) == 2)
		put_page(page);
	put_page(page);

	sgt = dma_alloc_noncontiguous(td.dev, PAGE_SIZE, DMA_BIDIRECTIONAL,
				      GFP_KERNEL, 0);
	KUNIT_ASSERT_NOT_NULL(test, sgt);
	page = sg_page(sgt->sgl);
	get_page(page);
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, 0);
	dma_free_noncontiguous(td.dev, PAGE_SIZE, sgt, DMA_BIDIRECTIONAL);
	mock_iommu_fail(td.dev, MOCK_FAULT_UNMAP, -1);
	KUNIT_EXPECT_EQ(test, 2, page_ref_count(page));
	if (page_ref_count(page) == 2)
		put_page(page);
	put_page(page);
}

/*
 * Freed as something smaller: the device does not reach it any more. But what of it
 * the caller still believes to have, nobody knows, so none of it is given back.
 */
static void free_wrong_size(struct kunit *test)
{
	size_t size = 2 * max_t(size_t, granule_of_env(test), PAGE_SIZE), i;
	struct mock_iommu_options options = env_options(test);
	struct page *pages[32];
	struct test_device td;
	dma_addr_t addr;
	u8 *cpu_addr;
	bool kept;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	KUNIT_ASSERT_LE(test, size / PAGE_SIZE, ARRAY_SIZE(pages));
	cpu_addr = ops->alloc(td.dev, size, &addr, GFP_KERNEL, 0);
	KUNIT_ASSERT_TRUE(test, is_vmalloc_addr(cpu_addr));
	for (i = 0; i < size / PAGE_SIZE; i++)
		pages[i] = vmalloc_to_page(cpu_addr + i * PAGE_SIZE);
	get_page(pages[0]);
	/* Not larger: a layer that believes it would take others' pages. */
	ops->free(td.dev, size / 2, cpu_addr, addr, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).mapped);
	kept = page_ref_count(pages[0]) == 2;
	KUNIT_EXPECT_TRUE_MSG(test, kept, "half of it has been freed");
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);

	/* What the layer has kept, nobody else is going to give back. */
	if (kept) {
		vunmap(cpu_addr);
		for (i = 0; i < size / PAGE_SIZE; i++)
			put_page(pages[i]);
	}
	put_page(pages[0]);
}

/*
 * Map granules of another device, in this order.
 * Return: whether their addresses follow each other.
 */
static bool map_row(struct test_device *td, const unsigned int *granules,
		    dma_addr_t *addrs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		addrs[i] = ops->map_resource(td->dev, BIT_ULL(43) +
					     granules[i] * td->granule,
					     td->granule, DMA_TO_DEVICE, 0);
		if (addrs[i] != addrs[0] + i * td->granule)
			return false;
	}
	return true;
}

/* One CPU has a row of addresses. Return: false if it does not come to the end. */
static bool unmap_rows(struct kunit *test, struct test_device *td)
{
	static const unsigned int row[] = { 0, 1, 2 }, others[] = { 0, 1, 5 };
	struct iommu_domain *domain = iommu_get_domain_for_dev(td->dev);
	size_t granule = td->granule;
	dma_addr_t addrs[3], before = 0;

	if (!map_row(td, row, addrs, 3))
		return false;
	ops->unmap_resource(td->dev, addrs[0], 3 * granule, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td->dev).mapped);

	/* The last is other memory. */
	if (!map_row(td, others, addrs, 3))
		return false;
	ops->unmap_resource(td->dev, addrs[0], 3 * granule, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 1, mock_iommu_counts(td->dev).mapped);
	KUNIT_EXPECT_NE(test, 0, iommu_iova_to_phys(domain, addrs[2]));
	ops->unmap_resource(td->dev, addrs[2], granule, DMA_TO_DEVICE, 0);

	/* The second is longer than that; of two granules, it is at an even one. */
	if (!map_row(td, row, addrs, 1))
		return false;
	if (!(addrs[0] & granule)) {
		before = addrs[0];
		if (!map_row(td, row, addrs, 1))
			return false;
	}
	addrs[1] = ops->map_resource(td->dev, BIT_ULL(43) + granule, 2 * granule,
				     DMA_TO_DEVICE, 0);
	if (addrs[1] != addrs[0] + granule)
		return false;
	ops->unmap_resource(td->dev, addrs[0], 2 * granule, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 2 + !!before, mock_iommu_counts(td->dev).mapped);
	ops->unmap_resource(td->dev, addrs[1], 2 * granule, DMA_TO_DEVICE, 0);
	if (before)
		ops->unmap_resource(td->dev, before, granule, DMA_TO_DEVICE, 0);
	return true;
}

/*
 * Mapped one by one, unmapped as one: nothing of it stays mapped, if it can be told from
 * a size that is wrong. Registers are never synced.
 */
static void unmap_as_one(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_device td;
	bool done;

	if (test_guard)
		kunit_skip(test, "no address follows another");
	options.aperture_last = 0;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	migrate_disable();
	done = unmap_rows(test, &td);
	migrate_enable();
	KUNIT_EXPECT_TRUE(test, done);
	test_device_settled(test, &td, 0);
}

/* Map somebody else's pages until one of them has @addr; return their number. */
static unsigned int take_address(struct kunit *test, struct test_device *td,
				 dma_addr_t addr, dma_addr_t *others)
{
	unsigned int n;

	for (n = 0; n < SPACE; n++) {
		others[n] = ops->map_resource(td->dev, BIT_ULL(43) +
					      n * td->granule, td->granule,
					      DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		KUNIT_ASSERT_NE(test, others[n], DMA_MAPPING_ERROR);
		if (others[n] == addr)
			return n + 1;
	}
	KUNIT_FAIL(test, "nobody got %pad", &addr);
	return n;
}

/*
 * Memory that is freed twice: once nobody has its address, once somebody else has,
 * who keeps it.
 */
static void free_twice(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	static const struct {
		gfp_t gfp;
		unsigned long attrs;
	} kinds[] = {
		{ GFP_KERNEL, 0 },
		{ GFP_KERNEL, DMA_ATTR_NO_KERNEL_MAPPING },
		{ GFP_KERNEL, DMA_ATTR_FORCE_CONTIGUOUS },
		{ GFP_ATOMIC, 0 },
	};
	dma_addr_t others[SPACE], addr;
	struct test_device td;
	unsigned int i, n;
	phys_addr_t phys;
	void *cpu_addr;
	int prot;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		cpu_addr = ops->alloc(td.dev, td.granule, &addr, kinds[i].gfp,
				      kinds[i].attrs);
		KUNIT_ASSERT_NOT_NULL(test, cpu_addr);
		ops->free(td.dev, td.granule, cpu_addr, addr, kinds[i].attrs);
		ops->free(td.dev, td.granule, cpu_addr, addr, kinds[i].attrs);
		n = take_address(test, &td, addr, others);
		/* By its own size, and by another */
		ops->free(td.dev, td.granule, cpu_addr, addr, kinds[i].attrs);
		ops->free(td.dev, 2 * td.granule, cpu_addr, addr,
			  kinds[i].attrs);
		KUNIT_EXPECT_EQ(test, n, mock_iommu_counts(td.dev).mapped);
		KUNIT_EXPECT_TRUE(test, mock_iommu_lookup(td.dev, addr, &phys,
							  &prot));
		KUNIT_EXPECT_EQ(test, BIT_ULL(43) + (n - 1) * td.granule, phys);
		while (n--)
			ops->unmap_resource(td.dev, others[n], td.granule,
					    DMA_TO_DEVICE, 0);
	}
	/* The log has ten of them in five seconds at most. */
	if (test_env_turn(test, 0, 100))
		KUNIT_EXPECT_EQ(test, 2 * ARRAY_SIZE(kinds),
				test_said(&td, "DMA free of "));
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

struct softirq_free {
	struct timer_list timer;
	struct completion done;
	struct test_device *td;
	void *cpu_addr;
	dma_addr_t addr;
};

static void softirq_free(struct timer_list *timer)
{
	struct softirq_free *s = from_timer(s, timer, timer);

	ops->free(s->td->dev, s->td->granule, s->cpu_addr, s->addr, 0);
	complete(&s->done);
}

/* Atomic memory is freed in interrupts, too; lockdep knows what must not be taken. */
static void free_in_softirq(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct softirq_free s;
	struct test_device td;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	s.td = &td;
	s.cpu_addr = ops->alloc(td.dev, td.granule, &s.addr, GFP_ATOMIC, 0);
	KUNIT_ASSERT_NOT_NULL(test, s.cpu_addr);
	init_completion(&s.done);
	timer_setup_on_stack(&s.timer, softirq_free, 0);
	mod_timer(&s.timer, jiffies);
	wait_for_completion(&s.done);
	timer_delete_sync(&s.timer);
	destroy_timer_on_stack(&s.timer);
	test_device_settled(test, &td, 0);
}

/* A kdump kernel's devices are attached by their first mapping, if they can be. */
static void attach_later(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m;
	struct test_device td;
	enum test_kind kind;
	bool before = static_key_enabled(&iommu_dma_deferred_attach);

	options.attach_later = true;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).attach);
	if (!before)
		static_branch_enable(&iommu_dma_deferred_attach);
	for (kind = 0; kind < TEST_KINDS; kind++) {
		mock_iommu_fail(td.dev, MOCK_FAULT_ATTACH, 0);
		KUNIT_EXPECT_FALSE_MSG(test, test_mapping_make(m, kind,
							       DMA_FROM_DEVICE,
							       0, 100),
				       "%s", test_kinds[kind]);
		KUNIT_EXPECT_EQ(test, kind + 1,
				mock_iommu_counts(td.dev).attach);
	}
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).map);
	all_kinds_work(test, m);
	KUNIT_EXPECT_EQ(test, TEST_KINDS + 1,
			mock_iommu_counts(td.dev).attach);
	if (!before)
		static_branch_disable(&iommu_dma_deferred_attach);
	test_device_settled(test, &td, 0);
}

static void space_is_full(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *m, *rest;
	struct test_device td;
	unsigned int count = 0;
	dma_addr_t *addrs;

	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	rest = test_mapping_create(test, &td);
	addrs = kunit_kcalloc(test, SPACE, sizeof(*addrs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, addrs);
	while (count < SPACE &&
	       test_mapping_make(rest, TEST_RESOURCE, DMA_TO_DEVICE, 0,
				 td.granule))
		addrs[count++] = rest->addr;
	KUNIT_EXPECT_EQ(test, (SPACE - 1) / (1 + test_guard), count);
	all_kinds_fail(test, m);
	while (count--)
		ops->unmap_resource(td.dev, addrs[count], td.granule,
				    DMA_TO_DEVICE, 0);
	all_kinds_work(test, m);
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/*
 * iommu.dma_quarantine: an unmap that comes twice is known from one of who is next
 * at that address, as nobody is while there are others; and a device that is late
 * hits nobody. It is as strict as before.
 */
static void quarantine(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	unsigned int last = (SPACE - 1) / (1 + test_guard) - 1, i;
	unsigned int before = iommu_dma_quarantine;
	dma_addr_t addr, others[SPACE];
	struct test_device td;
	bool deferred = options.deferred;

	options.deferred = false;
	/* Longer than the test waits anywhere */
	iommu_dma_quarantine = 10000;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	iommu_dma_quarantine = before;
	test_log_wait(test);

	addr = ops->map_resource(td.dev, BIT_ULL(43), td.granule,
				 DMA_TO_DEVICE, 0);
	KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
	ops->unmap_resource(td.dev, addr, td.granule, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).stale);
	for (i = 0; i < last; i++) {
		others[i] = ops->map_resource(td.dev, BIT_ULL(43), td.granule,
					      DMA_TO_DEVICE, 0);
		KUNIT_ASSERT_NE(test, others[i], DMA_MAPPING_ERROR);
		KUNIT_EXPECT_NE(test, others[i], addr);
	}
	ops->unmap_resource(td.dev, addr, td.granule, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 1, test_said(&td, "DMA unmap of "));
	KUNIT_EXPECT_EQ(test, last, mock_iommu_counts(td.dev).mapped);

	/* Nothing is refused for it. */
	others[last] = ops->map_resource(td.dev, BIT_ULL(43), td.granule,
					 DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, others[last], addr);
	for (i = 0; i <= last; i++)
		ops->unmap_resource(td.dev, others[i], td.granule,
				    DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).stale);

	if (deferred) {
		mock_iommu_defer(test, td.dev);
		all_kinds_work(test, test_mapping_create(test, &td));
	}
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
}

/*
 * Unusual IOMMUs.
 */

static void eager_iommu(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_device td;

	options.eager = true;
	/* Else there would have to be something to put off. */
	options.deferred = false;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	all_kinds_work(test, test_mapping_create(test, &td));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).stale);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).sync_map);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).sync);
	test_device_settled(test, &td, 0);
}

/* It was to be deferred, cannot be, and is strict; that is said. */
static void undeferrable_iommu(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct iommu_domain *domain;
	struct test_device td;

	options.undeferrable = true;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	domain = iommu_get_domain_for_dev(td.dev);
	KUNIT_EXPECT_EQ(test, IOMMU_DOMAIN_DMA, domain->type);
	KUNIT_EXPECT_EQ(test, -EINVAL, iommu_dma_init_fq(domain));
	KUNIT_EXPECT_EQ(test, options.deferred,
			test_said(&td, "IOMMU does not support deferred flush"));
	all_kinds_work(test, test_mapping_create(test, &td));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).stale);
	test_device_settled(test, &td, 0);
}

/* A window of a second, unless addresses are needed */
static void expensive_iommu(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct mock_iommu_counts counts;
	struct test_mapping *m;
	unsigned int i, before;
	struct test_device td;
	u64 start;

	options.expensive = true;
	options.deferred = true;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE, DMA_TO_DEVICE, 0,
						  3 * td.granule));
	start = ktime_get_ns();
	before = mock_iommu_counts(td.dev).flush;
	test_mapping_undo(m);
	msleep(30);
	counts = mock_iommu_counts(td.dev);
	/* It may be over where all is slow; then this says nothing. */
	if (ktime_get_ns() - start < 900 * NSEC_PER_MSEC) {
		KUNIT_EXPECT_EQ(test, 3, counts.stale);
		KUNIT_EXPECT_EQ(test, before, counts.flush);
	}
	for (i = 0; i < SPACE; i++) {
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, i % TEST_STREAMING,
							  DMA_TO_DEVICE, 0,
							  3 * td.granule));
		test_mapping_undo(m);
	}
	KUNIT_EXPECT_GE(test, mock_iommu_counts(td.dev).flush, before + 2);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).wrong);
	/* The rest goes down with the domain. */
}

/* A timer that looks each millisecond how late it is */
struct punctual {
	struct hrtimer timer;
	u64 late;
};

static enum hrtimer_restart punctual_tick(struct hrtimer *timer)
{
	struct punctual *p = container_of(timer, struct punctual, timer);
	ktime_t now = ktime_get();

	p->late = max_t(u64, p->late,
			ktime_to_ns(ktime_sub(now, hrtimer_get_expires(timer))));
	hrtimer_forward(timer, now, ns_to_ktime(NSEC_PER_MSEC));
	return HRTIMER_RESTART;
}

/* How late a timer of this CPU is while a window ends, in ns */
static u64 late_in_window(struct test_mapping *m, enum hrtimer_mode mode)
{
	unsigned int before = mock_iommu_counts(m->td->dev).flush, tries;
	struct punctual p = {};

	hrtimer_init_on_stack(&p.timer, CLOCK_MONOTONIC, mode);
	p.timer.function = punctual_tick;
	migrate_disable();
	test_mapping_undo(m);
	hrtimer_start(&p.timer, ns_to_ktime(NSEC_PER_MSEC), mode);
	migrate_enable();
	for (tries = 0; tries < 100; tries++) {
		msleep(20);
		if (mock_iommu_counts(m->td->dev).flush > before &&
		    !mock_iommu_counts(m->td->dev).stale)
			break;
	}
	hrtimer_cancel(&p.timer);
	destroy_hrtimer_on_stack(&p.timer);
	return p.late;
}

/*
 * An IOMMU that takes 20 ms to answer delays no timer, also none in a softirq: by
 * less than 1 ms, but for a machine that stands still now and then. So half of the
 * 20 ms are judged, and one good try of many will do.
 */
#define SLOW_US		20000
#define SLOW_MAX	(SLOW_US * NSEC_PER_USEC / 2)

static void slow_iommu(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	u64 hard = U64_MAX, soft = U64_MAX;
	struct test_mapping *m;
	struct test_device td;
	unsigned int tries;

	options.deferred = true;
	options.delay_us = SLOW_US;
	for (tries = 0; tries < 10; tries++) {
		test_device_init(test, mock_iommu_create(test, &options), &td);
		m = test_mapping_create(test, &td);
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE,
							  DMA_TO_DEVICE, 0,
							  3 * td.granule));
		hard = min(hard, late_in_window(m, HRTIMER_MODE_REL_PINNED_HARD));
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE,
							  DMA_TO_DEVICE, 0,
							  3 * td.granule));
		soft = min(soft, late_in_window(m, HRTIMER_MODE_REL_PINNED_SOFT));
		test_device_settled(test, &td, 0);
		if (hard <= SLOW_MAX && soft <= SLOW_MAX)
			break;
	}
	kunit_info(test, "late by %llu us, in a softirq by %llu us\n",
		   div_u64(hard, NSEC_PER_USEC), div_u64(soft, NSEC_PER_USEC));
	KUNIT_EXPECT_LE(test, hard, SLOW_MAX);
	KUNIT_EXPECT_LE(test, soft, SLOW_MAX);
}

/*
 * Life of a domain.
 */

/* What is in use when the mode changes is undone in the new one. */
static void mode_switch(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct test_mapping *before, *after;
	unsigned int flushes;
	struct test_device td;

	options.deferred = false;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	before = test_mapping_create(test, &td);
	after = test_mapping_create(test, &td);
	KUNIT_ASSERT_TRUE(test, test_mapping_make(before, TEST_PAGE,
						  DMA_TO_DEVICE, 0,
						  3 * td.granule));
	all_kinds_work(test, after);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).stale);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).flush);
	mock_iommu_defer(test, td.dev);
	/* Once more does no harm. */
	mock_iommu_defer(test, td.dev);
	flushes = mock_iommu_counts(td.dev).flush;
	KUNIT_ASSERT_TRUE(test, test_mapping_make(after, TEST_LIST,
						  DMA_TO_DEVICE, 0,
						  3 * td.granule));
	test_mapping_undo(before);
	test_mapping_undo(after);
	test_device_settled(test, &td, 0);
	KUNIT_EXPECT_GT(test, mock_iommu_counts(td.dev).flush, flushes);
	test_device_all_free(test, &td, SPACE);
}

/* A domain goes while ranges wait for their flush. */
static void gone_in_the_window(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	unsigned int i, tries;
	struct test_mapping *m;
	struct test_device td;

	options.deferred = true;
	for (i = 0; i < 3; i++) {
		test_device_init(test, mock_iommu_create(test, &options), &td);
		m = test_mapping_create(test, &td);
		/* A CPU that is busy may not come back before the flush. */
		for (tries = 0; tries < 100; tries++) {
			all_kinds_work(test, m);
			if (mock_iommu_counts(td.dev).stale)
				break;
		}
		KUNIT_EXPECT_LT(test, tries, 100);
		usleep_range(4000 * i, 4000 * i + 1000);
		/* The mock looks whether its page tables have been freed. */
		mock_iommu_remove(test, td.dev);
	}
}

static void domain_unfit(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct bus_dma_region map[2] = {
		{ .dma_start = 4 * options.aperture_last, .size = SZ_4K },
	};
	struct iommu_domain *domain, *other;
	unsigned long pgsizes;
	struct test_device td;

	options.aperture_start = options.pgsizes;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	domain = iommu_get_domain_for_dev(td.dev);
	KUNIT_EXPECT_EQ(test, -EEXIST, iommu_get_dma_cookie(domain));
	KUNIT_EXPECT_EQ(test, -EINVAL, iommu_get_msi_cookie(domain, 0));
	KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev, domain));

	/* A bus that reaches only what the IOMMU does not, above and below */
	td.dev->dma_range_map = map;
	KUNIT_EXPECT_EQ(test, -EFAULT, iommu_dma_init_domain(td.dev, domain));
	map[0] = (struct bus_dma_region) { .dma_start = 0, .size = 16 };
	KUNIT_EXPECT_EQ(test, -EFAULT, iommu_dma_init_domain(td.dev, domain));
	KUNIT_EXPECT_EQ(test, 2, test_said(&td, "dma-ranges "));
	iommu_setup_dma_ops(td.dev);
	KUNIT_EXPECT_FALSE(test, td.dev->dma_iommu);
	KUNIT_EXPECT_EQ(test, 1, test_said(&td, "failed to set up IOMMU DMA"));
	map[0] = (struct bus_dma_region) { .dma_start = 0, .size = SZ_1G };
	KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev, domain));
	td.dev->dma_range_map = NULL;

	pgsizes = domain->pgsize_bitmap;
	domain->pgsize_bitmap = pgsizes << 1;
	KUNIT_EXPECT_EQ(test, -EFAULT, iommu_dma_init_domain(td.dev, domain));
	domain->pgsize_bitmap = pgsizes;
	KUNIT_EXPECT_EQ(test, 1,
			test_said(&td, "IOMMU page size changed"));
	iommu_setup_dma_ops(td.dev);
	KUNIT_EXPECT_TRUE(test, td.dev->dma_iommu);

	other = iommu_paging_domain_alloc(td.dev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	KUNIT_EXPECT_EQ(test, -EINVAL, iommu_dma_init_domain(td.dev, other));
	KUNIT_EXPECT_EQ(test, -ENODEV, iommu_dma_init_fq(other));
	KUNIT_EXPECT_EQ(test, 0, iommu_get_msi_cookie(other, SZ_1M));
	KUNIT_EXPECT_EQ(test, -EEXIST, iommu_get_msi_cookie(other, SZ_1M));
	KUNIT_EXPECT_EQ(test, -EINVAL, iommu_dma_init_domain(td.dev, other));
	KUNIT_EXPECT_EQ(test, -ENODEV, iommu_dma_init_fq(other));
	iommu_put_dma_cookie(other);
	/* Of a domain that no device has been set up for */
	KUNIT_EXPECT_EQ(test, 0, iommu_get_dma_cookie(other));
	KUNIT_EXPECT_EQ(test, -ENODEV, iommu_dma_init_fq(other));
	iommu_put_dma_cookie(other);
	iommu_put_dma_cookie(other);
	iommu_domain_free(other);
	all_kinds_work(test, test_mapping_create(test, &td));
	test_device_settled(test, &td, 0);
}

/* Map large ranges until none is left: no device gets the region. */
static void expect_not_handed_out(struct kunit *test, struct test_device *td,
				  dma_addr_t region, size_t len)
{
	size_t size = 200 * td->granule;
	dma_addr_t addrs[16];
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(addrs); n++) {
		addrs[n] = dma_map_resource(td->dev, BIT_ULL(43), size,
					    DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (dma_mapping_error(td->dev, addrs[n]))
			break;
		KUNIT_EXPECT_TRUE(test, addrs[n] + size <= region ||
				  addrs[n] >= region + len);
	}
	KUNIT_EXPECT_GE(test, n, 3);
	for (i = 0; i < n; i++)
		dma_unmap_resource(td->dev, addrs[i], size, DMA_TO_DEVICE, 0);
}

/* Regions that come late, where addresses are in use and where not */
static void reserved_late(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	struct iommu_domain *domain;
	struct mock_iommu *mock;
	struct test_mapping *m;
	struct test_device td;
	dma_addr_t region;
	unsigned int i;

	options.aperture_last = 2000 * granule_of_env(test) - 1;
	mock = mock_iommu_create(test, &options);
	test_device_init(test, mock, &td);
	domain = iommu_get_domain_for_dev(td.dev);
	m = test_mapping_create(test, &td);
	/* In a chunk, and a range that is too large for one */
	for (i = 0; i < 2; i++) {
		size_t size = i ? 300 * td.granule : 2 * td.granule;

		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_RESOURCE,
							  DMA_TO_DEVICE, 0,
							  size));
		region = m->addr + td.granule;
		mock_iommu_reserve(mock, region, 2 * td.granule,
				   IOMMU_RESV_RESERVED);
		KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev,
							       domain));
		KUNIT_EXPECT_EQ(test, size / td.granule,
				mock_iommu_counts(td.dev).mapped);
		KUNIT_EXPECT_EQ(test, i + 1, test_said(&td, "reserved DMA addresses ["));
		/* Told once; and a region that overlaps, and another range goes. */
		mock_iommu_reserve(mock, m->addr, i * 2 * td.granule,
				   IOMMU_RESV_RESERVED);
		KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev,
							       domain));
		KUNIT_EXPECT_EQ(test, 2 * i + 1, test_said(&td, "reserved DMA addresses ["));
		expect_not_handed_out(test, &td, m->addr, size);
		test_mapping_undo(m);
		test_device_settled(test, &td, 0);
		expect_not_handed_out(test, &td, region, 2 * td.granule);
	}
	/* All of it, then beyond it, and what has no bytes */
	mock_iommu_reserve(mock, 0, 1000 * td.granule, IOMMU_RESV_RESERVED);
	KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev, domain));
	mock_iommu_reserve(mock, ~(phys_addr_t)0 - SZ_64K, SZ_64K,
			   IOMMU_RESV_RESERVED);
	KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev, domain));
	mock_iommu_reserve(mock, 1500 * td.granule, 10 * td.granule,
			   IOMMU_RESV_SW_MSI);
	KUNIT_EXPECT_EQ(test, 0, iommu_dma_init_domain(td.dev, domain));
	for (i = 0; i < 400; i++) {
		if (!test_mapping_make(m, TEST_RESOURCE, DMA_TO_DEVICE, 0,
				       5 * td.granule))
			break;
		KUNIT_EXPECT_GE(test, m->addr, 1000 * td.granule);
	}
	KUNIT_EXPECT_GE(test, i, 100);
}

/*
 * Doorbells.
 */

#ifdef CONFIG_IRQ_MSI_IOMMU
#define DOORBELL	(BIT_ULL(42) + 0x1040)

/* Where the device has to write, from the message that it gets */
static u64 doorbell(struct kunit *test, struct device *dev, phys_addr_t phys,
		    int want)
{
	struct msi_desc desc = { .dev = dev };
	struct msi_msg msg = {
		.address_hi = upper_32_bits(phys),
		.address_lo = lower_32_bits(phys),
	};

	KUNIT_EXPECT_EQ(test, want, iommu_dma_prepare_msi(&desc, phys));
	if (want)
		return 0;
	iommu_dma_compose_msi_msg(&desc, &msg);
	return (u64)msg.address_hi << 32 | msg.address_lo;
}

static void expect_doorbell(struct kunit *test, struct device *dev, u64 addr,
			    phys_addr_t want)
{
	phys_addr_t phys;
	int prot;

	KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(dev, addr, &phys, &prot));
	KUNIT_EXPECT_EQ(test, want, phys);
	KUNIT_EXPECT_EQ(test, IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO, prot);
}

static void doorbells(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	u64 granule = options.pgsizes, addr, other;
	struct test_mapping *m;
	struct test_device td;

	options.regions[0].start = BIT_ULL(40) + 16;
	options.regions[0].size = SZ_1M;
	options.regions[0].type = IOMMU_RESV_MSI;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	m = test_mapping_create(test, &td);

	/* The hardware lets it through: nothing is mapped. */
	KUNIT_EXPECT_EQ(test, BIT_ULL(40) + 0x8040,
			doorbell(test, td.dev, BIT_ULL(40) + 0x8040, 0));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).map);

	/* No mapping, no address, no memory: nothing stays. */
	mock_iommu_fail(td.dev, MOCK_FAULT_MAP, 0);
	doorbell(test, td.dev, DOORBELL, -ENOMEM);
	mock_iommu_fail(td.dev, MOCK_FAULT_SYNC_MAP, 0);
	doorbell(test, td.dev, DOORBELL, -ENOMEM);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).mapped);
	test_device_settled(test, &td, 0);
	test_device_all_free(test, &td, SPACE);
	test_device_settled(test, &td, 0);

	addr = doorbell(test, td.dev, DOORBELL, 0);
	expect_doorbell(test, td.dev, addr, DOORBELL);
	KUNIT_EXPECT_EQ(test, addr, doorbell(test, td.dev, DOORBELL, 0));
	KUNIT_EXPECT_EQ(test, addr + 4, doorbell(test, td.dev, DOORBELL + 4, 0));
	other = doorbell(test, td.dev, DOORBELL + granule, 0);
	expect_doorbell(test, td.dev, other, DOORBELL + granule);
	KUNIT_EXPECT_EQ(test, 2, mock_iommu_counts(td.dev).mapped);

	while (test_mapping_make(m, TEST_RESOURCE, DMA_TO_DEVICE, 0, granule))
		;
	doorbell(test, td.dev, DOORBELL + 2 * granule, -ENOSPC);
}

/* Each allocation for the first one in a domain fails, until there are no more. */
static void doorbells_fail(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	unsigned int nth, errors = 0;
	struct test_device td;
	bool more = true;
	int ret;

	if (!test_fail_works())
		kunit_skip(test, "this kernel cannot let all memory fail, or was not told to");
	for (nth = 1; more && nth < 50; nth++) {
		struct msi_desc desc;

		test_device_init(test, mock_iommu_create(test, &options), &td);
		desc = (struct msi_desc) { .dev = td.dev };
		test_fail_next(nth);
		ret = iommu_dma_prepare_msi(&desc, DOORBELL);
		more = !test_fail_left();
		test_fail_next(0);
		/* Some find another way; for some, addresses are what is short. */
		KUNIT_EXPECT_TRUE_MSG(test, !ret || (more && (ret == -ENOMEM ||
							      ret == -ENOSPC)),
				      "allocation %u: %d", nth, ret);
		KUNIT_EXPECT_EQ(test, !ret, mock_iommu_counts(td.dev).mapped);
		errors += !!ret;
	}
	KUNIT_EXPECT_FALSE(test, more);
	KUNIT_EXPECT_GE(test, errors, 2);
}

/* A doorbell is where each device of a domain reaches it. */
static void doorbells_in_reach(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct mock_iommu_options options = {
		.pgsizes = BIT(env->granule_shift),
		.deferred = env->deferred,
		.shared = true,
	};
	struct mock_iommu *mock = mock_iommu_create(test, &options);
	struct test_device wide, narrow;
	u64 high, low;

	test_device_init(test, mock, &wide);
	test_device_init(test, mock, &narrow);
	KUNIT_ASSERT_EQ(test, 0, dma_set_mask(narrow.dev, DMA_BIT_MASK(30)));
	high = doorbell(test, wide.dev, DOORBELL, 0);
	KUNIT_ASSERT_GE(test, high, BIT_ULL(30));
	low = doorbell(test, narrow.dev, DOORBELL, 0);
	KUNIT_EXPECT_LT(test, low, BIT_ULL(30));
	expect_doorbell(test, narrow.dev, low, DOORBELL);
	KUNIT_EXPECT_EQ(test, low, doorbell(test, narrow.dev, DOORBELL, 0));
	KUNIT_EXPECT_EQ(test, 2, mock_iommu_counts(wide.dev).mapped);
}

/* A domain whose addresses somebody else hands out */
static void doorbells_of_others(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test);
	phys_addr_t page = ALIGN_DOWN(DOORBELL, PAGE_SIZE);
	struct iommu_domain *domain;
	struct test_device td;
	u64 base;

	/* The window's pages are of PAGE_SIZE. */
	options.pgsizes = PAGE_SIZE;
	options.aperture_last = SPACE * PAGE_SIZE - 1;
	base = 8 * PAGE_SIZE;
	test_device_init(test, mock_iommu_create(test, &options), &td);
	domain = iommu_paging_domain_alloc(td.dev);
	KUNIT_ASSERT_FALSE(test, IS_ERR(domain));
	KUNIT_ASSERT_EQ(test, 0, iommu_attach_device(domain, td.dev));
	/* Without a window, the address is what it is. */
	KUNIT_EXPECT_EQ(test, DOORBELL, doorbell(test, td.dev, DOORBELL, 0));
	KUNIT_EXPECT_EQ(test, 0, iommu_get_msi_cookie(domain, base));
	mock_iommu_fail(td.dev, MOCK_FAULT_MAP, 0);
	doorbell(test, td.dev, DOORBELL, -ENOMEM);
	KUNIT_EXPECT_EQ(test, base + DOORBELL - page,
			doorbell(test, td.dev, DOORBELL, 0));
	expect_doorbell(test, td.dev, base + DOORBELL - page, DOORBELL);
	KUNIT_EXPECT_EQ(test, base + PAGE_SIZE + DOORBELL - page,
			doorbell(test, td.dev, DOORBELL + SZ_1M, 0));
	KUNIT_EXPECT_EQ(test, 2, mock_iommu_counts(td.dev).mapped);
	/* They go with what the layer keeps of the domain. */
	iommu_put_dma_cookie(domain);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(td.dev).mapped);

	/* One that no device has been set up for: who is to give out addresses? */
	KUNIT_EXPECT_EQ(test, 0, iommu_get_dma_cookie(domain));
	doorbell(test, td.dev, DOORBELL, -ENODEV);
	iommu_put_dma_cookie(domain);
	iommu_detach_device(domain, td.dev);
	iommu_domain_free(domain);
	test_device_settled(test, &td, 0);
}
#endif

static struct kunit_case ops_cases[] = {
	KUNIT_CASE_PARAM(sizes, test_env_gen_params),
	KUNIT_CASE_PARAM(largest_in_aperture, test_env_gen_params),
	KUNIT_CASE_PARAM(largest, test_env_gen_params),
	KUNIT_CASE_PARAM(nonsense, test_env_gen_params),
	KUNIT_CASE_PARAM(list_prefix, test_env_gen_params),
	KUNIT_CASE_PARAM(attributes, test_env_gen_params),
	KUNIT_CASE_PARAM(get_sgtable, test_env_gen_params),
	KUNIT_CASE_PARAM(memory_fails, test_env_gen_params),
	KUNIT_CASE_PARAM(unmap_falls_short, test_env_gen_params),
	KUNIT_CASE_PARAM(undo_falls_short, test_env_gen_params),
	KUNIT_CASE_PARAM(free_falls_short, test_env_gen_params),
	KUNIT_CASE_PARAM(free_wrong_size, test_env_gen_params),
	KUNIT_CASE_PARAM(unmap_as_one, test_env_gen_params),
	KUNIT_CASE_PARAM(free_twice, test_env_gen_params),
	KUNIT_CASE_PARAM(free_in_softirq, test_env_gen_params),
	KUNIT_CASE_PARAM(attach_later, test_env_gen_params),
	KUNIT_CASE_PARAM(space_is_full, test_env_gen_params),
	KUNIT_CASE_PARAM(no_kernel_mapping, test_env_gen_params),
	KUNIT_CASE_PARAM(quarantine, test_mode_gen_params),
	KUNIT_CASE_PARAM(eager_iommu, test_env_gen_params),
	KUNIT_CASE_PARAM(undeferrable_iommu, test_env_gen_params),
	KUNIT_CASE_PARAM(expensive_iommu, test_mode_gen_params),
	KUNIT_CASE_PARAM(slow_iommu, test_mode_gen_params),
	KUNIT_CASE_PARAM(mode_switch, test_mode_gen_params),
	KUNIT_CASE_PARAM(gone_in_the_window, test_mode_gen_params),
	KUNIT_CASE_PARAM(domain_unfit, test_mode_gen_params),
	KUNIT_CASE_PARAM(reserved_late, test_env_gen_params),
#ifdef CONFIG_IRQ_MSI_IOMMU
	KUNIT_CASE_PARAM(doorbells, test_env_gen_params),
	KUNIT_CASE_PARAM(doorbells_fail, test_env_gen_params),
	KUNIT_CASE_PARAM(doorbells_in_reach, test_mode_gen_params),
	KUNIT_CASE_PARAM(doorbells_of_others, test_mode_gen_params),
#endif
	{ }
};

static struct kunit_suite ops_suite = {
	.name = "dma_ops",
	.test_cases = ops_cases,
};

kunit_test_suite(ops_suite);
