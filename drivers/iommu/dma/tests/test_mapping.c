// SPDX-License-Identifier: GPL-2.0
/*
 * Mappings of every kind for the KUnit suites: one way to make them, to look at
 * what the device gets, and to undo them.
 *
 * What a device sees of a mapping is one range or, of a list, one for each
 * segment.
 */

#include <linux/dma-contiguity.h>
#include <linux/dma-iommu.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "test_sg.h"
#include "test_mapping.h"

/* Registers of a mapping's own, above any memory */
static phys_addr_t registers(const struct test_mapping *m)
{
	return BIT_ULL(43) + virt_to_phys(m->memory);
}

const char * const test_kinds[TEST_KINDS] = {
	[TEST_PAGE] = "page",
	[TEST_RESOURCE] = "resource",
	[TEST_LIST] = "list",
	[TEST_CONTIGUOUS] = "contiguous list",
	[TEST_ATOMIC] = "atomic memory",
	[TEST_COHERENT] = "coherent memory",
	[TEST_FORCED] = "coherent memory in one piece",
	[TEST_PAGES] = "pages",
	[TEST_NONCONTIGUOUS] = "non-contiguous memory",
};

static void mapping_free(void *data)
{
	struct test_mapping *m = data;

	sg_free_table(&m->list);
	free_pages_exact(m->memory, m->room);
}

/**
 * test_mapping_init - memory for a mapping, until the end of the test
 * @test: the test; fails and ends if there is none
 * @td: device
 * @m: to be filled in; not mapped
 *
 * Context: Process; may sleep.
 */
void test_mapping_init(struct kunit *test, const struct test_device *td,
		       struct test_mapping *m)
{
	*m = (struct test_mapping) {
		.td = td,
		.room = TEST_ROOM * td->granule,
	};
	m->memory = alloc_pages_exact(m->room, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, m->memory);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, mapping_free,
							   m));
	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(&m->list, TEST_PIECES,
						GFP_KERNEL));
}

/**
 * test_mapping_create - a mapping, not made yet, until the end of the test
 * @test: the test; fails and ends if there is no memory
 * @td: device
 *
 * Context: Process; may sleep.
 * Return: The mapping, which will be made by the layer's own operations (@direct).
 */
struct test_mapping *test_mapping_create(struct kunit *test,
					 const struct test_device *td)
{
	struct test_mapping *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, m);
	test_mapping_init(test, td, m);
	m->direct = true;
	return m;
}

/*
 * Pieces with holes between them in memory. For one segment, they meet inside of
 * granules; else all but the first begin one, and all but the last end one.
 */
static void list_make(struct test_mapping *m, size_t offset)
{
	size_t room = TEST_ROOM * m->td->granule / TEST_PIECES;
	size_t left = m->size, len;
	struct scatterlist *sg;
	unsigned int i, count;
	u8 *start;

	count = DIV_ROUND_UP(offset + m->size, m->td->granule);
	count = min(count, TEST_PIECES);
	sg = m->list.sgl;
	for (i = 0; i < TEST_PIECES; i++, sg++) {
		start = m->memory + i * room + offset;
		if (m->kind == TEST_CONTIGUOUS) {
			len = m->size / count;
		} else {
			len = min(left, m->td->granule - offset);
			offset = 0;
		}
		if (i + 1 >= count)
			len = left;
		test_entry_set(sg, virt_to_page(start), len ?: 1,
			       offset_in_page(start));
		left -= len;
	}
	m->list.orig_nents = count;
}

static bool list_map(struct test_mapping *m)
{
	unsigned long attrs = DMA_ATTR_NO_WARN;
	struct device *dev = m->td->dev;
	int ret;

	if (m->kind == TEST_CONTIGUOUS)
		attrs |= DMA_ATTR_CONTIGUOUS;
	if (m->direct) {
		ret = iommu_dma_ops.map_sg(dev, m->list.sgl, m->list.orig_nents,
					   m->dir, attrs);
		m->list.nents = max(ret, 0);
		return ret > 0;
	}
	return !dma_map_sgtable(dev, &m->list, m->dir, attrs);
}

static bool address_map(struct test_mapping *m, size_t offset)
{
	struct device *dev = m->td->dev;
	u8 *start = m->memory + offset;

	if (m->kind == TEST_RESOURCE && m->direct)
		m->addr = iommu_dma_ops.map_resource(dev, registers(m) + offset,
						     m->size, m->dir,
						     DMA_ATTR_NO_WARN);
	else if (m->kind == TEST_RESOURCE)
		m->addr = dma_map_resource(dev, registers(m) + offset, m->size,
					   m->dir, DMA_ATTR_NO_WARN);
	else if (m->direct)
		m->addr = iommu_dma_ops.map_page(dev, virt_to_page(start),
						 offset_in_page(start), m->size,
						 m->dir, DMA_ATTR_NO_WARN);
	else
		m->addr = dma_map_single_attrs(dev, start, m->size, m->dir,
					       DMA_ATTR_NO_WARN);
	/* The debugging of the DMA API wants to be asked. */
	return m->direct ? m->addr != DMA_MAPPING_ERROR :
			   !dma_mapping_error(dev, m->addr);
}

static unsigned long memory_attrs(const struct test_mapping *m)
{
	return DMA_ATTR_NO_WARN |
	       (m->kind == TEST_FORCED ? DMA_ATTR_FORCE_CONTIGUOUS : 0);
}

static bool memory_alloc(struct test_mapping *m)
{
	gfp_t gfp = m->kind == TEST_ATOMIC ? GFP_ATOMIC : GFP_KERNEL;
	struct device *dev = m->td->dev;

	gfp |= __GFP_NOWARN;
	if (m->direct)
		m->cpu = iommu_dma_ops.alloc(dev, m->size, &m->addr, gfp,
					     memory_attrs(m));
	else
		m->cpu = dma_alloc_attrs(dev, m->size, &m->addr, gfp,
					 memory_attrs(m));
	return m->cpu;
}

/* Whole pages, which the DMA core sees to */
static bool pages_alloc(struct test_mapping *m)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct device *dev = m->td->dev;
	struct page *page;

	if (m->direct)
		page = iommu_dma_ops.alloc_pages_op(dev, PAGE_ALIGN(m->size),
						    &m->addr, DMA_BIDIRECTIONAL,
						    gfp);
	else
		page = dma_alloc_pages(dev, m->size, &m->addr,
				       DMA_BIDIRECTIONAL, gfp);
	m->cpu = page ? page_address(page) : NULL;
	return page;
}

static void pages_free(struct test_mapping *m)
{
	struct page *page = virt_to_page(m->cpu);
	struct device *dev = m->td->dev;

	if (m->direct)
		iommu_dma_ops.free_pages(dev, PAGE_ALIGN(m->size), page,
					 m->addr, DMA_BIDIRECTIONAL);
	else
		dma_free_pages(dev, m->size, page, m->addr, DMA_BIDIRECTIONAL);
}

/**
 * test_mapping_make - make a mapping
 * @m: not mapped
 * @kind: what it is to be
 * @dir: direction of the transfer; memory that is allocated has both
 * @offset: bytes, of the first in a granule; likewise, such has none
 * @size: bytes; with @offset at most TEST_PIECES granules
 *
 * Context: As its kind.
 * Return: whether it is there.
 */
bool test_mapping_make(struct test_mapping *m, enum test_kind kind,
		       enum dma_data_direction dir, size_t offset, size_t size)
{
	m->kind = kind;
	m->dir = dir;
	m->size = size;
	if (kind == TEST_LIST || kind == TEST_CONTIGUOUS) {
		list_make(m, offset);
		m->mapped = list_map(m);
		m->addr = sg_dma_address(m->list.sgl);
	} else if (kind == TEST_NONCONTIGUOUS) {
		m->pages = dma_alloc_noncontiguous(m->td->dev, size,
						   DMA_BIDIRECTIONAL,
						   GFP_KERNEL | __GFP_NOWARN, 0);
		m->mapped = m->pages;
		m->addr = m->pages ? sg_dma_address(m->pages->sgl) : 0;
	} else if (kind == TEST_PAGES) {
		m->mapped = pages_alloc(m);
	} else if (kind < TEST_STREAMING) {
		m->mapped = address_map(m, offset);
	} else {
		m->mapped = memory_alloc(m);
	}
	return m->mapped;
}

static void list_unmap(struct test_mapping *m)
{
	struct device *dev = m->td->dev;

	if (m->direct)
		iommu_dma_ops.unmap_sg(dev, m->list.sgl, m->list.orig_nents,
				       m->dir, 0);
	else
		dma_unmap_sgtable(dev, &m->list, m->dir, 0);
}

static void address_unmap(struct test_mapping *m)
{
	struct device *dev = m->td->dev;

	if (m->kind == TEST_RESOURCE && m->direct)
		iommu_dma_ops.unmap_resource(dev, m->addr, m->size, m->dir, 0);
	else if (m->kind == TEST_RESOURCE)
		dma_unmap_resource(dev, m->addr, m->size, m->dir, 0);
	else if (m->direct)
		iommu_dma_ops.unmap_page(dev, m->addr, m->size, m->dir, 0);
	else
		dma_unmap_single(dev, m->addr, m->size, m->dir);
}

/**
 * test_mapping_undo - undo test_mapping_make()
 * @m: mapped
 *
 * Context: As its kind.
 */
void test_mapping_undo(struct test_mapping *m)
{
	struct device *dev = m->td->dev;

	m->mapped = false;
	if (m->kind == TEST_LIST || m->kind == TEST_CONTIGUOUS)
		list_unmap(m);
	else if (m->kind == TEST_NONCONTIGUOUS)
		dma_free_noncontiguous(dev, m->size, m->pages,
				       DMA_BIDIRECTIONAL);
	else if (m->kind == TEST_PAGES)
		pages_free(m);
	else if (m->kind < TEST_STREAMING)
		address_unmap(m);
	else if (m->direct)
		iommu_dma_ops.free(dev, m->size, m->cpu, m->addr,
				   memory_attrs(m));
	else
		dma_free_attrs(dev, m->size, m->cpu, m->addr, memory_attrs(m));
}

/**
 * test_mapping_sync_for_cpu - hand a streaming mapping of memory to the CPU
 * @m: the mapping; of other kinds nothing is done
 *
 * Context: Any.
 */
void test_mapping_sync_for_cpu(struct test_mapping *m)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	struct device *dev = m->td->dev;

	if (m->kind == TEST_PAGE)
		ops->sync_single_for_cpu(dev, m->addr, m->size, m->dir);
	else if (m->kind == TEST_LIST || m->kind == TEST_CONTIGUOUS)
		ops->sync_sg_for_cpu(dev, m->list.sgl, m->list.orig_nents,
				     m->dir);
}

/**
 * test_mapping_sync_for_device - hand a streaming mapping of memory to the device
 * @m: the mapping; of other kinds nothing is done
 *
 * Context: Any.
 */
void test_mapping_sync_for_device(struct test_mapping *m)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	struct device *dev = m->td->dev;

	if (m->kind == TEST_PAGE)
		ops->sync_single_for_device(dev, m->addr, m->size, m->dir);
	else if (m->kind == TEST_LIST || m->kind == TEST_CONTIGUOUS)
		ops->sync_sg_for_device(dev, m->list.sgl, m->list.orig_nents,
					m->dir);
}

/**
 * test_mapping_ranges - what a device sees of a mapping
 * @m: mapped
 * @ranges: room for TEST_PIECES
 *
 * Context: Any.
 * Return: how many there are.
 */
unsigned int test_mapping_ranges(const struct test_mapping *m,
				 struct test_range *ranges)
{
	struct scatterlist *sg;
	int i;

	if (m->kind != TEST_LIST && m->kind != TEST_CONTIGUOUS) {
		ranges[0] = (struct test_range) {
			m->addr,
			m->kind == TEST_PAGES ? PAGE_ALIGN(m->size) : m->size,
		};
		return 1;
	}
	for_each_sgtable_dma_sg(&m->list, sg, i)
		ranges[i] = (struct test_range) {
			sg_dma_address(sg), sg_dma_len(sg),
		};
	return m->list.nents;
}

static unsigned long range_granules(const struct test_range *range,
				    size_t granule)
{
	return (ALIGN(range->addr + range->size, granule) -
		ALIGN_DOWN(range->addr, granule)) / granule;
}

/**
 * test_mapping_granules - granules that are mapped for it
 * @m: mapped
 *
 * Context: Any.
 * Return: how many.
 */
unsigned long test_mapping_granules(const struct test_mapping *m)
{
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;
	unsigned long granules = 0;

	for (i = 0; i < count; i++)
		granules += range_granules(&ranges[i], m->td->granule);
	return granules;
}

/**
 * test_mapping_reached - granules of it that the device may still reach
 * @m: mapped, or not any more
 *
 * Context: Any.
 * Return: how many.
 */
unsigned long test_mapping_reached(const struct test_mapping *m)
{
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;
	size_t granule = m->td->granule;
	unsigned long reached = 0;
	phys_addr_t phys;
	dma_addr_t addr;

	for (i = 0; i < count; i++)
		for (addr = ALIGN_DOWN(ranges[i].addr, granule);
		     addr < ranges[i].addr + ranges[i].size; addr += granule)
			reached += mock_iommu_reaches(m->td->dev, addr, &phys);
	return reached;
}

/**
 * test_mapping_phys - where the first byte of it is
 * @m: mapped, of a kind that tells
 *
 * Context: Any.
 * Return: the physical address; 0 if that is not known.
 */
phys_addr_t test_mapping_phys(const struct test_mapping *m)
{
	switch (m->kind) {
	case TEST_PAGE:
		return virt_to_phys(m->memory) + (m->addr & (m->td->granule - 1));
	case TEST_RESOURCE:
		return registers(m) + (m->addr & (m->td->granule - 1));
	case TEST_LIST:
	case TEST_CONTIGUOUS:
		return sg_phys(m->list.sgl);
	case TEST_NONCONTIGUOUS:
		return sg_phys(m->pages->sgl);
	default:
		return is_vmalloc_addr(m->cpu) ? 0 : virt_to_phys(m->cpu);
	}
}
