// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of two-step mappings: addresses first, and memory linked to parts of them.
 * What has to be copied is in the suite of PCI devices, caches in that of caches.
 */

#include <linux/dma-iommu.h>

#include "test_mapping.h"

/* Granules of the address space */
#define SPACE	64

/* Of the first piece in its granule, and bytes of the last: whole cache lines */
#define OFFSET	128
#define LAST	512

/**
 * struct fixture - a range of addresses, and memory for it
 * @td: device
 * @m: brings TEST_ROOM granules of memory
 * @state: the range
 */
struct fixture {
	struct test_device td;
	struct test_mapping *m;
	struct dma_iova_state state;
};

static struct fixture *fixture_create(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	u64 seed = 18;

	KUNIT_ASSERT_NOT_NULL(test, f);
	test_device_init(test, test_iommu(test, (SPACE << env->granule_shift) - 1),
			 &f->td);
	f->m = test_mapping_create(test, &f->td);
	test_fill(f->m->memory, f->m->room, &seed);
	return f;
}

static void fixture_alloc(struct kunit *test, struct fixture *f, size_t offset,
			  size_t size)
{
	KUNIT_ASSERT_TRUE(test, dma_iova_try_alloc(f->td.dev, &f->state, offset,
						   size));
	KUNIT_EXPECT_TRUE(test, dma_use_iova(&f->state));
	KUNIT_EXPECT_EQ(test, size, dma_iova_size(&f->state));
	KUNIT_EXPECT_EQ(test, offset, f->state.addr % f->td.granule);
}

static int fixture_link(struct fixture *f, size_t offset, size_t at, size_t size)
{
	return dma_iova_link(f->td.dev, &f->state,
			     virt_to_phys(f->m->memory + at), offset, size,
			     DMA_BIDIRECTIONAL, 0);
}

/* The device reads from @offset of the range on what is from @at on in memory. */
static void expect_linked(struct kunit *test, struct fixture *f, size_t offset,
			  size_t at, size_t size)
{
	u8 *bytes = kunit_kmalloc(test, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(f->td.dev,
						 f->state.addr + offset, bytes,
						 size));
	KUNIT_EXPECT_FALSE(test, memcmp(bytes, f->m->memory + at, size));
}

static void expect_unlinked(struct kunit *test, struct fixture *f, size_t offset)
{
	phys_addr_t phys;

	KUNIT_EXPECT_FALSE(test, mock_iommu_reaches(f->td.dev,
						    f->state.addr + offset,
						    &phys));
}

static void expect_all_free(struct kunit *test, struct fixture *f)
{
	test_device_settled(test, &f->td, 0);
	test_device_all_free(test, &f->td, SPACE);
}

static void link_pieces(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	struct fixture *f = fixture_create(test);
	size_t g = f->td.granule, size = 3 * g - OFFSET + LAST, i;
	const struct {
		size_t offset, at, size;
	} rows[] = {
		{ 0, 3 * g + OFFSET, g - OFFSET },
		{ g - OFFSET, 0, 2 * g },
		{ 3 * g - OFFSET, 5 * g, LAST },
	};
	struct mock_iommu_counts before, now;

	fixture_alloc(test, f, OFFSET, size);
	/* As a mapping of that size */
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(f->state.addr - OFFSET,
					   min(4 * g, (size_t)SZ_64K)));
	before = mock_iommu_counts(f->td.dev);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		KUNIT_EXPECT_EQ(test, 0, fixture_link(f, rows[i].offset,
						      rows[i].at, rows[i].size));
	now = mock_iommu_counts(f->td.dev);
	KUNIT_EXPECT_EQ(test, 4, now.mapped);
	/* The IOMMU is told once. */
	KUNIT_EXPECT_EQ(test, before.sync_map, now.sync_map);
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(f->td.dev, &f->state, 0, size));
	KUNIT_EXPECT_EQ(test, before.sync_map + 1,
			mock_iommu_counts(f->td.dev).sync_map);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		expect_linked(test, f, rows[i].offset, rows[i].at, rows[i].size);

	before = mock_iommu_counts(f->td.dev);
	dma_iova_destroy(f->td.dev, &f->state, size, DMA_BIDIRECTIONAL, 0);
	now = mock_iommu_counts(f->td.dev);
	KUNIT_EXPECT_EQ(test, 0, now.mapped);
	/* All of it at once, or with the next flush */
	KUNIT_EXPECT_EQ(test, before.sync + !env->deferred, now.sync);
	expect_all_free(test, f);
}

/* In each mode the device cannot reach what is unlinked. */
static void link_again(struct kunit *test)
{
	struct fixture *f = fixture_create(test);
	struct mock_iommu_counts before, now;
	size_t g = f->td.granule, i;

	fixture_alloc(test, f, 0, 4 * g);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, 0, fixture_link(f, i * g, i * g, g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(f->td.dev, &f->state, 0, 4 * g));
	before = mock_iommu_counts(f->td.dev);
	dma_iova_unlink(f->td.dev, &f->state, g, 2 * g, DMA_BIDIRECTIONAL, 0);
	now = mock_iommu_counts(f->td.dev);
	KUNIT_EXPECT_EQ(test, before.sync + 1, now.sync);
	KUNIT_EXPECT_EQ(test, 2, now.mapped);
	expect_unlinked(test, f, g);
	expect_unlinked(test, f, 3 * g - 1);
	expect_linked(test, f, 0, 0, g);
	expect_linked(test, f, 3 * g, 3 * g, g);

	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, g, 6 * g, 2 * g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(f->td.dev, &f->state, g, 2 * g));
	expect_linked(test, f, g, 6 * g, 2 * g);
	dma_iova_unlink(f->td.dev, &f->state, 0, 4 * g, DMA_BIDIRECTIONAL, 0);
	expect_unlinked(test, f, 0);
	dma_iova_free(f->td.dev, &f->state);
	expect_all_free(test, f);
}

/* Piece by piece, or never linked: then it is not asked what is linked. */
static void link_freed(struct kunit *test)
{
	struct fixture *f = fixture_create(test);
	size_t g = f->td.granule;

	fixture_alloc(test, f, 0, 2 * g);
	dma_iova_free(f->td.dev, &f->state);
	fixture_alloc(test, f, OFFSET, 2 * g);
	dma_iova_destroy(f->td.dev, &f->state, 0, DMA_BIDIRECTIONAL, 0);
	fixture_alloc(test, f, 0, 2 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, g));
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, g, 3 * g, g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(f->td.dev, &f->state, 0, 2 * g));
	dma_iova_unlink(f->td.dev, &f->state, 0, g, DMA_BIDIRECTIONAL, 0);
	dma_iova_unlink(f->td.dev, &f->state, g, g, DMA_BIDIRECTIONAL, 0);
	dma_iova_free(f->td.dev, &f->state);
	/* What is linked is the beginning, as when a driver gives up half-way. */
	fixture_alloc(test, f, 0, 4 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, g));
	dma_iova_destroy(f->td.dev, &f->state, g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 0, test_said(&f->td, "DMA "));
	expect_all_free(test, f);
}

static void link_refused(struct kunit *test)
{
	struct fixture *f = fixture_create(test);
	struct device *dev = f->td.dev;
	struct dma_iova_state none;
	size_t g = f->td.granule;
	phys_addr_t phys;
	int prot;

	KUNIT_EXPECT_FALSE(test, dma_iova_try_alloc(dev, &none, 0, 0));
	KUNIT_EXPECT_FALSE(test, dma_iova_try_alloc(dev, &none, 0, SPACE * g));
	KUNIT_EXPECT_FALSE(test, dma_iova_try_alloc(dev, &none, 0, SIZE_MAX));
	KUNIT_EXPECT_FALSE(test, dma_iova_try_alloc(mock_plain_device(test),
						    &none, 0, g));
	KUNIT_EXPECT_FALSE(test, dma_use_iova(&none));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_size(&none));

	/* What lies in memory as the device is not to see it */
	fixture_alloc(test, f, 0, 4 * g);
	KUNIT_EXPECT_EQ(test, -EIO, fixture_link(f, 0, OFFSET, g));
	KUNIT_EXPECT_EQ(test, -EIO, fixture_link(f, OFFSET, OFFSET, LAST));
	KUNIT_EXPECT_EQ(test, -EIO, fixture_link(f, OFFSET, 0, LAST));
	KUNIT_EXPECT_EQ(test, -EIO, fixture_link(f, g, OFFSET, g));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			dma_iova_link(dev, &f->state, 0, 0, g, DMA_NONE, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			dma_iova_link(dev, &f->state, -g, 0, 2 * g,
				      DMA_TO_DEVICE, DMA_ATTR_MMIO));
	KUNIT_EXPECT_EQ(test, f->td.noncoherent ? -EOPNOTSUPP : 0,
			dma_iova_link(dev, &f->state, virt_to_phys(f->m->memory),
				      0, g, DMA_TO_DEVICE,
				      DMA_ATTR_REQUIRE_COHERENT));
	KUNIT_EXPECT_EQ(test, !f->td.noncoherent,
			mock_iommu_counts(dev).mapped);

	/* Registers, though they are no memory */
	KUNIT_EXPECT_EQ(test, 0, dma_iova_link(dev, &f->state, BIT_ULL(43), g, g,
					       DMA_TO_DEVICE, DMA_ATTR_MMIO));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, g, g));
	KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(dev, f->state.addr + g, &phys,
						  &prot));
	KUNIT_EXPECT_EQ(test, BIT_ULL(43), phys);
	KUNIT_EXPECT_EQ(test, IOMMU_READ | IOMMU_MMIO, prot);
	dma_iova_unlink(dev, &f->state, g, g, DMA_TO_DEVICE, DMA_ATTR_MMIO);
	dma_iova_destroy(dev, &f->state, f->td.noncoherent ? 0 : g,
			 DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 0, test_said(&f->td, "DMA "));
	KUNIT_EXPECT_EQ(test, 0, test_said(&f->td, "no DMA address"));
	expect_all_free(test, f);
}

/* What is wrong is told, and hurts nobody. */
static void link_wrong(struct kunit *test)
{
	struct fixture *f = fixture_create(test);
	struct device *dev = f->td.dev;
	size_t g = f->td.granule;

	test_log_wait(test);
	fixture_alloc(test, f, 0, 3 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, 0, g));
	/* Beyond the range */
	KUNIT_EXPECT_EQ(test, -EINVAL, fixture_link(f, 2 * g, 0, 2 * g));
	KUNIT_EXPECT_EQ(test, -EINVAL, fixture_link(f, SIZE_MAX - g + 1, 0, g));
	KUNIT_EXPECT_EQ(test, -EINVAL, dma_iova_sync(dev, &f->state, 0, 3 * g + 1));
	KUNIT_EXPECT_EQ(test, 3, test_said(&f->td, "DMA link at "));
	KUNIT_EXPECT_EQ(test, 1, mock_iommu_counts(dev).mapped);

	/* Linked twice, alone and with what is not; the mock counts each. */
	KUNIT_EXPECT_NE(test, 0, fixture_link(f, 0, 4 * g, g));
	KUNIT_EXPECT_EQ(test, -EBUSY, fixture_link(f, 0, 4 * g, 2 * g));
	KUNIT_EXPECT_EQ(test, 2, mock_iommu_forgive(dev));
	expect_linked(test, f, 0, 0, g);
	KUNIT_EXPECT_EQ(test, 1, mock_iommu_counts(dev).mapped);

	/* Not linked: what is of that is unlinked. */
	dma_iova_unlink(dev, &f->state, g, g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 1, test_said(&f->td, "DMA unlink of "));
	expect_linked(test, f, 0, 0, g);
	dma_iova_unlink(dev, &f->state, 0, 2 * g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 2, test_said(&f->td, "DMA unlink of "));
	expect_unlinked(test, f, 0);

	/* More is linked than the driver knows. */
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, 2 * g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, 0, 2 * g));
	dma_iova_destroy(dev, &f->state, g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 4, test_said(&f->td, "DMA link at "));
	expect_all_free(test, f);

	/* Longer than its range; and twice */
	fixture_alloc(test, f, 0, 3 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, 2 * g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, 0, 2 * g));
	dma_iova_destroy(dev, &f->state, 4 * g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 5, test_said(&f->td, "DMA link at "));
	dma_iova_destroy(dev, &f->state, 3 * g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 1, test_said(&f->td, "DMA unmap of "));
	expect_all_free(test, f);
}

/* What was linked before still is. */
static void link_failures(struct kunit *test)
{
	struct fixture *f = fixture_create(test);
	struct device *dev = f->td.dev;
	size_t g = f->td.granule;
	int after;

	fixture_alloc(test, f, 0, 4 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, g));
	for (after = 0; after < 3; after++) {
		mock_iommu_fail(dev, MOCK_FAULT_MAP, after);
		KUNIT_EXPECT_NE(test, 0, fixture_link(f, g, g, 3 * g));
		KUNIT_EXPECT_EQ(test, 1, mock_iommu_counts(dev).mapped);
	}
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, g, g, 3 * g));
	mock_iommu_fail(dev, MOCK_FAULT_SYNC_MAP, 0);
	KUNIT_EXPECT_EQ(test, -ENOMEM, dma_iova_sync(dev, &f->state, 0, 4 * g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, 0, 4 * g));
	dma_iova_destroy(dev, &f->state, 4 * g, DMA_BIDIRECTIONAL, 0);
	expect_all_free(test, f);

	/* What the IOMMU leaves mapped is nobody else's, ever. */
	fixture_alloc(test, f, 0, 2 * g);
	KUNIT_EXPECT_EQ(test, 0, fixture_link(f, 0, 0, 2 * g));
	KUNIT_EXPECT_EQ(test, 0, dma_iova_sync(dev, &f->state, 0, 2 * g));
	mock_iommu_fail(dev, MOCK_FAULT_UNMAP, 0);
	dma_iova_unlink(dev, &f->state, 0, 2 * g, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_GE(test, test_said(&f->td, "IOMMU unmapped "), 1);
	dma_iova_free(dev, &f->state);
	KUNIT_EXPECT_GE(test, mock_iommu_counts(dev).mapped, 1);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR,
			dma_map_resource(dev, BIT_ULL(43),
					 (SPACE - 1 - test_guard) * g,
					 DMA_TO_DEVICE, DMA_ATTR_NO_WARN));
}

static struct kunit_case link_cases[] = {
	KUNIT_CASE_PARAM(link_pieces, test_env_gen_params),
	KUNIT_CASE_PARAM(link_again, test_env_gen_params),
	KUNIT_CASE_PARAM(link_freed, test_env_gen_params),
	KUNIT_CASE_PARAM(link_refused, test_env_gen_params),
	KUNIT_CASE_PARAM(link_wrong, test_mode_gen_params),
	KUNIT_CASE_PARAM(link_failures, test_mode_gen_params),
	{}
};

static struct kunit_suite link_suite = {
	.name = "dma_link",
	.test_cases = link_cases,
};

kunit_test_suite(link_suite);
