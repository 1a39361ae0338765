// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of lists that are to be one segment where no IOMMU can make them
 * one: they are if their memory is, and refused if not. See
 * <linux/dma-contiguity.h>.
 */

#include <kunit/device.h>
#include <linux/device.h>
#include <linux/dma-contiguity.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/sizes.h>

#include "test_sg.h"

/* Of any page's size, as three of them are less than a segment may be */
#define PIECE	((size_t)SZ_4K)
#define FILL	0xa5

/* Three entries that are one piece of memory, cut inside of pages */
static void sgt_make_cut(struct kunit *test, struct sg_table *sgt, u8 *memory,
			 size_t size)
{
	const size_t cuts[] = { 0, 100, PIECE + 1000, size };
	struct scatterlist *sg;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(sgt, 3, GFP_KERNEL));
	for_each_sgtable_sg(sgt, sg, i)
		test_entry_set(sg, virt_to_page(memory + cuts[i]),
			       cuts[i + 1] - cuts[i],
			       offset_in_page(memory + cuts[i]));
}

static void plain_run(struct kunit *test, struct device *dev)
{
	const size_t size = 3 * PIECE;
	struct test_pool *pool = test_pool_create(test, 2 * PIECE);
	u8 *memory = pool->blocks[0];
	struct sg_table sgt;
	unsigned int i;

	for (i = 0; i < 2 * TEST_DIRS; i++) {
		memset(memory, FILL, pool->size);
		sgt_make_cut(test, &sgt, memory, size);
		KUNIT_ASSERT_EQ(test, 0,
				test_sgt_map(dev, &sgt, test_dirs[i / 2],
					     test_sg_contiguous(i)));
		KUNIT_EXPECT_EQ(test, 1, sgt.nents);
		KUNIT_EXPECT_EQ(test, size, sg_dma_len(sgt.sgl));
		KUNIT_EXPECT_EQ(test, phys_to_dma(dev, virt_to_phys(memory)),
				sg_dma_address(sgt.sgl));
		KUNIT_EXPECT_EQ(test, 0, sg_dma_len(sg_next(sgt.sgl)));
		dma_sync_sgtable_for_cpu(dev, &sgt, test_dirs[i / 2]);
		dma_sync_sgtable_for_device(dev, &sgt, test_dirs[i / 2]);
		dma_unmap_sgtable(dev, &sgt, test_dirs[i / 2], 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(memory, FILL,
						   pool->size));
		sg_free_table(&sgt);
	}
}

static void plain_contiguous(struct kunit *test)
{
	plain_run(test, mock_plain_device(test));
	plain_run(test, mock_plain_device_noncoherent(test));
}

/* Its end shares a cache line with who knows what, so all of it is copied. */
static void plain_bounced(struct kunit *test)
{
	const size_t size = PIECE + 1020;
	struct device *dev = mock_plain_device_noncoherent(test);
	struct test_pool *pool = test_pool_create(test, 2 * PIECE);
	u8 *memory = pool->blocks[0];
	dma_addr_t addr, next;
	struct scatterlist *sg;
	struct sg_table sgt;
	unsigned int i;

	if (!dma_kmalloc_needs_bounce(dev, 20, DMA_BIDIRECTIONAL))
		kunit_skip(test, "no memory shares a cache line with a device");
	memset(memory, FILL, pool->size);
	sgt_make_cut(test, &sgt, memory, size);
	KUNIT_ASSERT_EQ(test, 0,
			test_sgt_map(dev, &sgt, DMA_BIDIRECTIONAL,
				     TEST_SG_CONTIGUOUS_DEVICE));
	addr = sg_dma_address(sgt.sgl);
	KUNIT_EXPECT_EQ(test, 1, sgt.nents);
	KUNIT_EXPECT_EQ(test, size, sg_dma_len(sgt.sgl));
	KUNIT_EXPECT_NE(test, phys_to_dma(dev, virt_to_phys(memory)), addr);
	KUNIT_EXPECT_NULL(test, memchr_inv(phys_to_virt(dma_to_phys(dev, addr)),
					   FILL, size));
	next = addr;
	for_each_sgtable_sg(&sgt, sg, i) {
		KUNIT_EXPECT_EQ(test, next, sg_dma_address(sg));
		next += sg->length;
	}
	dma_sync_sgtable_for_cpu(dev, &sgt, DMA_BIDIRECTIONAL);
	dma_sync_sgtable_for_device(dev, &sgt, DMA_BIDIRECTIONAL);
	dma_unmap_sgtable(dev, &sgt, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(memory, FILL, pool->size));
	sg_free_table(&sgt);
}

static void plain_refused(struct kunit *test)
{
	struct device *dev = mock_plain_device(test);
	struct test_pool *pool = test_pool_create(test, 2 * PIECE);
	struct scatterlist *sg, good;
	struct sg_table sgt;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, SZ_64K, dma_max_contiguous_size(dev));
	sgt_make_cut(test, &sgt, pool->blocks[0], 3 * PIECE);
	for_each_sgtable_sg(&sgt, sg, i) {
		good = *sg;
		sg_assign_page(sg, virt_to_page(pool->blocks[1]));
		test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
				 "not contiguous");
		*sg = good;
		sg->length--;
		if (i < 2)
			test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS,
					 -EINVAL, "a byte is missing");
		*sg = good;
		sg->length = 0;
		test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
				 "no bytes");
		*sg = good;
		sg_assign_page(sg, NULL);
		test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
				 "no page");
		*sg = good;
	}
	dma_set_max_seg_size(dev, 3 * PIECE - 1);
	KUNIT_EXPECT_EQ(test, 3 * PIECE - 1, dma_max_contiguous_size(dev));
	test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
			 "above the limit");
	dma_set_max_seg_size(dev, 3 * PIECE);
	dma_set_seg_boundary(dev, PIECE - 1);
	KUNIT_EXPECT_EQ(test, PIECE, dma_max_contiguous_size(dev));
	test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
			 "across a boundary");
	dma_set_seg_boundary(dev, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, 0,
			test_sgt_map(dev, &sgt, DMA_TO_DEVICE,
				     TEST_SG_CONTIGUOUS_DEVICE));
	KUNIT_EXPECT_EQ(test, 1, sgt.nents);
	dma_unmap_sgtable(dev, &sgt, DMA_TO_DEVICE, 0);
	sg_free_table(&sgt);

	/* Small enough, but where it is */
	sgt_make_cut(test, &sgt, pool->blocks[0] + PIECE, 2 * PIECE);
	dma_set_seg_boundary(dev, 2 * PIECE - 1);
	test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
			 "over a boundary");
	sg_free_table(&sgt);
}

#ifdef CONFIG_ARCH_HAS_DMA_OPS
/*
 * DMA operations of an architecture that make one segment of a list, or one of
 * each entry, or nothing.
 */
enum { OPS_ONE, OPS_EACH, OPS_NOTHING };

static int ops_make;
static int ops_mapped;

static int ops_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		      enum dma_data_direction dir, unsigned long attrs)
{
	struct scatterlist *sg;
	dma_addr_t addr = SZ_1M;
	int i;

	if (ops_make == OPS_NOTHING) {
		sg_dma_address(sgl) = DMA_MAPPING_ERROR;
		return -ENOMEM;
	}
	for_each_sg(sgl, sg, nents, i) {
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = ops_make == OPS_EACH ? sg->length : 0;
		addr += sg->length;
	}
	ops_mapped++;
	if (ops_make == OPS_EACH)
		return nents;
	sg_dma_len(sgl) = addr - SZ_1M;
	return 1;
}

static void ops_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			 enum dma_data_direction dir, unsigned long attrs)
{
	ops_mapped--;
}

static const struct dma_map_ops ops = {
	.map_sg = ops_map_sg,
	.unmap_sg = ops_unmap_sg,
};

static void ops_contiguous(struct kunit *test)
{
	struct device *dev = mock_plain_device(test);
	struct test_pool *pool = test_pool_create(test, 2 * PIECE);
	struct sg_table sgt;

	set_dma_ops(dev, &ops);
	sgt_make_cut(test, &sgt, pool->blocks[0], 3 * PIECE);
	ops_make = OPS_EACH;
	test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -EINVAL,
			 "several segments");
	KUNIT_EXPECT_EQ(test, 0, ops_mapped);
	ops_make = OPS_NOTHING;
	test_sgt_refused(test, dev, &sgt, TEST_SG_CONTIGUOUS, -ENOMEM,
			 "an error");
	KUNIT_EXPECT_EQ(test, 0, ops_mapped);
	ops_make = OPS_ONE;
	KUNIT_EXPECT_EQ(test, 0, test_sgt_map(dev, &sgt, DMA_TO_DEVICE,
					      TEST_SG_CONTIGUOUS_DEVICE));
	KUNIT_EXPECT_EQ(test, 1, sgt.nents);
	KUNIT_EXPECT_EQ(test, 3 * PIECE, sg_dma_len(sgt.sgl));
	dma_unmap_sgtable(dev, &sgt, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_EQ(test, 0, ops_mapped);
	sg_free_table(&sgt);
	set_dma_ops(dev, NULL);
}
#endif

/* What one driver needs, the next may not, nor another device of the same parent. */
static void ends_with_driver(struct kunit *test)
{
	struct device_dma_parameters shared = {};
	struct device *dev = kunit_device_register(test, "dma_contiguity");
	struct device *sibling;

	KUNIT_ASSERT_FALSE(test, IS_ERR(dev));
	sibling = kunit_device_register(test, "dma_contiguity_sibling");
	KUNIT_ASSERT_FALSE(test, IS_ERR(sibling));
	dev->dma_parms = &shared;
	sibling->dma_parms = &shared;
	dma_set_contiguous(dev, true);
	KUNIT_EXPECT_TRUE(test, dma_get_contiguous(dev));
	KUNIT_EXPECT_FALSE(test, dma_get_contiguous(sibling));
	KUNIT_ASSERT_NOT_NULL(test, dev->driver);
	device_release_driver(dev);
	KUNIT_EXPECT_FALSE(test, dma_get_contiguous(dev));
}

static struct kunit_case contiguity_cases[] = {
	KUNIT_CASE(ends_with_driver),
	KUNIT_CASE(plain_contiguous),
	KUNIT_CASE(plain_bounced),
	KUNIT_CASE(plain_refused),
#ifdef CONFIG_ARCH_HAS_DMA_OPS
	KUNIT_CASE(ops_contiguous),
#endif
	{ }
};

static struct kunit_suite contiguity_suite = {
	.name = "dma_contiguity",
	.test_cases = contiguity_cases,
};

kunit_test_suite(contiguity_suite);
