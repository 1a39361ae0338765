// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of what is mapped in one piece: pages, registers, coherent and
 * non-contiguous memory, on a mock IOMMU, under the same limits as lists.
 */

#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "test_device.h"
#include "test_sg.h"

/* What is next to a buffer: before and after it has been mapped */
#define NEIGHBOUR_THEN	0xa5
#define NEIGHBOUR_NOW	0x5a

/* Granules of memory; of the address space, where it is to be small */
#define MEMORY	16
#define SPACE	64

/**
 * struct memory - a buffer among neighbours
 * @test: the test
 * @td: device
 * @start: of the memory, MEMORY granules
 * @size: bytes of it
 * @model: what it is to hold
 * @bytes: room for as much
 * @seed: of what is written next
 */
struct memory {
	struct kunit *test;
	struct test_device td;
	u8 *start;
	size_t size;
	u8 *model;
	u8 *bytes;
	u64 seed;
};

/* Buffers, in sixteenths of a granule: offset and length */
static const struct {
	unsigned int offset, len;
} buffers[] = {
	{ 0, 16 }, { 3, 5 }, { 15, 1 }, { 0, 1 }, { 8, 16 }, { 0, 32 },
	{ 1, 62 }, { 16, 64 }, { 32, 128 }, { 40, 200 },
};

static void memory_free(void *data)
{
	const struct memory *memory = data;

	free_pages_exact(memory->start, memory->size);
	kvfree(memory->model);
	kvfree(memory->bytes);
}

static struct memory *memory_create(struct kunit *test, dma_addr_t last)
{
	struct memory *memory =
		kunit_kzalloc(test, sizeof(*memory), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	memory->test = test;
	test_device_init(test, test_iommu(test, last), &memory->td);
	memory->size = MEMORY * memory->td.granule;
	memory->start = alloc_pages_exact(memory->size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, memory->start);
	memory->model = kvmalloc(memory->size, GFP_KERNEL);
	memory->bytes = kvmalloc(memory->size, GFP_KERNEL);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, memory_free,
							   memory));
	KUNIT_ASSERT_NOT_NULL(test, memory->model);
	KUNIT_ASSERT_NOT_NULL(test, memory->bytes);
	return memory;
}

static void memory_fill(struct memory *memory, size_t offset, size_t len)
{
	memset(memory->model, NEIGHBOUR_THEN, memory->size);
	test_fill(memory->model + offset, len, &memory->seed);
	memcpy(memory->start, memory->model, memory->size);
}

/* The CPU goes on using what is next to the buffer. */
static void neighbours_change(struct memory *memory, size_t offset, size_t len)
{
	size_t end = offset + len;

	memset(memory->model, NEIGHBOUR_NOW, offset);
	memset(memory->model + end, NEIGHBOUR_NOW, memory->size - end);
	memcpy(memory->start, memory->model, offset);
	memcpy(memory->start + end, memory->model + end, memory->size - end);
}

static void expect_memory_is_model(struct memory *memory, const char *when)
{
	KUNIT_EXPECT_FALSE_MSG(memory->test, memcmp(memory->start,
						    memory->model,
						    memory->size),
			       "%s: memory is something else", when);
}

static unsigned long granules(const struct memory *memory, dma_addr_t addr,
			      size_t len)
{
	size_t granule = memory->td.granule;

	return (ALIGN(addr + len, granule) - ALIGN_DOWN(addr, granule)) /
	       granule;
}

/* An address is what a device with such limits can use. */
static void expect_reached(struct memory *memory, dma_addr_t addr, size_t len,
			   const char *what)
{
	const struct test_device *td = &memory->td;

	KUNIT_EXPECT_TRUE_MSG(memory->test, test_device_reaches(td, addr, len),
			      "%s: %#llx, %zu bytes, is above %#llx", what,
			      (u64)addr, len, td->last);
}

/* Only what would fit between two boundaries can be asked not to cross one. */
static void expect_uncrossed(struct memory *memory, dma_addr_t addr, size_t len,
			     u64 offset, const char *what)
{
	const struct test_device *td = &memory->td;

	if (!td->boundary || len <= PAGE_SIZE ||
	    (offset & (td->boundary - 1)) + len > td->boundary)
		return;
	KUNIT_EXPECT_FALSE_MSG(memory->test, test_device_crosses(td, addr, len),
			       "%s: %#llx, %zu bytes, crosses %#llx", what,
			       (u64)addr, len, td->boundary);
}

static void expect_address(struct memory *memory, dma_addr_t addr, size_t len,
			   u64 phys, const char *what)
{
	const struct test_device *td = &memory->td;
	u64 align = dma_get_min_align_mask(td->dev) | (td->granule - 1);

	expect_reached(memory, addr, len, what);
	expect_uncrossed(memory, addr, len, phys & align, what);
	KUNIT_EXPECT_EQ_MSG(memory->test, phys & align, addr & align,
			    "%s: %#llx, %zu bytes, is not aligned as its memory",
			    what, (u64)addr, len);
}

static bool bounces(const struct memory *memory, size_t len,
		    enum dma_data_direction dir)
{
	return dma_kmalloc_needs_bounce(memory->td.dev, len, dir);
}

/* In a buffer that bounces, the device sees nothing next to it. */
static void expect_nothing_around(struct memory *memory, dma_addr_t addr,
				  size_t len)
{
	size_t granule = memory->td.granule;
	struct device *dev = memory->td.dev;
	size_t before = addr & (granule - 1);
	size_t after = -(addr + len) & (granule - 1);

	KUNIT_EXPECT_EQ(memory->test, 0,
			mock_iommu_read(dev, addr - before, memory->bytes,
					before));
	KUNIT_EXPECT_NULL(memory->test, memchr_inv(memory->bytes, 0, before));
	KUNIT_EXPECT_EQ(memory->test, 0,
			mock_iommu_read(dev, addr + len, memory->bytes, after));
	KUNIT_EXPECT_NULL(memory->test, memchr_inv(memory->bytes, 0, after));
}

/* What a device and its driver do with a buffer, one after the other */
static void buffer_use(struct memory *memory, dma_addr_t addr, size_t offset,
		       size_t len, enum dma_data_direction dir)
{
	struct device *dev = memory->td.dev;
	struct kunit *test = memory->test;
	size_t some = len / 3;
	int ret;

	ret = mock_iommu_read(dev, addr, memory->bytes, len);
	KUNIT_EXPECT_EQ(test, dir == DMA_FROM_DEVICE ? -EACCES : 0, ret);
	if (!ret)
		KUNIT_EXPECT_FALSE(test, memcmp(memory->bytes,
						memory->model + offset, len));
	if (dir == DMA_TO_DEVICE) {
		KUNIT_EXPECT_EQ(test, -EACCES,
				mock_iommu_write(dev, addr, memory->bytes, 1));
		return;
	}
	/* A part only: the rest has to stay as it was. */
	test_fill(memory->model + offset + some, len - some, &memory->seed);
	KUNIT_EXPECT_EQ(test, 0,
			mock_iommu_write(dev, addr + some,
					 memory->model + offset + some,
					 len - some));
	dma_sync_single_for_cpu(dev, addr, len, dir);
	expect_memory_is_model(memory, "synced");
	dma_sync_single_for_device(dev, addr, len, dir);
	test_fill(memory->model + offset, some, &memory->seed);
	KUNIT_EXPECT_EQ(test, 0,
			mock_iommu_write(dev, addr, memory->model + offset,
					 some));
}

static void buffer_run(struct memory *memory, size_t offset, size_t len,
		       enum dma_data_direction dir, const char *what)
{
	u64 phys = virt_to_phys(memory->start) + offset;
	struct device *dev = memory->td.dev;
	struct kunit *test = memory->test;
	dma_addr_t addr;

	memory_fill(memory, offset, len);
	addr = dma_map_single(dev, memory->start + offset, len, dir);
	KUNIT_ASSERT_FALSE_MSG(test, dma_mapping_error(dev, addr), "%s", what);
	neighbours_change(memory, offset, len);
	expect_address(memory, addr, len,
		       test_device_place(&memory->td, phys, len, dir), what);
	KUNIT_EXPECT_EQ(test, granules(memory, addr, len),
			mock_iommu_counts(dev).mapped);
	if (bounces(memory, len, dir) && dir == DMA_BIDIRECTIONAL)
		expect_nothing_around(memory, addr, len);
	buffer_use(memory, addr, offset, len, dir);
	dma_unmap_single(dev, addr, len, dir);
	expect_memory_is_model(memory, what);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
}

/* Each buffer under each limit in one environment, in turn in all directions */
static void map_single(struct kunit *test)
{
	struct memory *memory = memory_create(test, 0);
	size_t part = memory->td.granule / 16;
	unsigned int i, j;

	for (i = 0; i < test_limits_count; i++) {
		test_device_limit(&memory->td, &test_limits[i]);
		for (j = 0; j < ARRAY_SIZE(buffers); j++)
			if (test_env_turn(test, i + j, 4))
				buffer_run(memory, buffers[j].offset * part,
					   buffers[j].len * part,
					   test_dirs[(i + j) % TEST_DIRS],
					   test_limits[i].name);
		test_device_settled(test, &memory->td, 0);
	}
}

/* As kmalloc() might have given them */
static void map_small(struct kunit *test)
{
	static const struct {
		size_t offset, len;
	} small[] = {
		{ 0, 1 }, { 4095, 1 }, { 4095, 2 }, { 8, 20 }, { 100, 3 },
		{ 4080, 24 }, { 8000, 200 },
	};
	struct memory *memory = memory_create(test, 0);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(small) * TEST_DIRS; i++)
		buffer_run(memory, small[i / TEST_DIRS].offset,
			   small[i / TEST_DIRS].len,
			   test_dirs[i % TEST_DIRS], "small");
	test_device_settled(test, &memory->td, 0);
}

/* Registers: no memory is behind them, and no cache. */
static void map_resource(struct kunit *test)
{
	struct memory *memory = memory_create(test, 0);
	struct device *dev = memory->td.dev;
	/* Above any memory */
	phys_addr_t phys = BIT_ULL(43) + memory->td.granule / 2, got;
	size_t len = 3 * memory->td.granule;
	unsigned int i;
	dma_addr_t addr;
	int prot;

	for (i = 0; i < test_limits_count; i++) {
		test_device_limit(&memory->td, &test_limits[i]);
		addr = dma_map_resource(dev, phys, len, DMA_BIDIRECTIONAL, 0);
		KUNIT_ASSERT_FALSE(test, dma_mapping_error(dev, addr));
		expect_address(memory, addr, len, phys, test_limits[i].name);
		KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(dev, addr + len - 1,
							  &got, &prot));
		KUNIT_EXPECT_EQ(test, phys + len - 1, got);
		KUNIT_EXPECT_EQ(test, IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO,
				prot);
		KUNIT_EXPECT_EQ(test, -ENXIO,
				mock_iommu_read(dev, addr, memory->bytes, 1));
		dma_unmap_resource(dev, addr, len, DMA_BIDIRECTIONAL, 0);
	}
	test_device_settled(test, &memory->td, 0);
}

/*
 * Memory for device and CPU at once.
 */

/* Whether what one of them writes the other reads */
static void expect_shared(struct memory *memory, u8 *cpu, dma_addr_t addr,
			  size_t len)
{
	struct device *dev = memory->td.dev;
	struct kunit *test = memory->test;

	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(cpu, 0, len), "not zeroed");
	len = min(len, memory->size);
	test_fill(memory->model, len, &memory->seed);
	memcpy(cpu, memory->model, len);
	KUNIT_EXPECT_EQ(test, 0,
			mock_iommu_read(dev, addr, memory->bytes, len));
	KUNIT_EXPECT_FALSE(test, memcmp(memory->bytes, memory->model, len));
	test_fill(memory->model, len, &memory->seed);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, addr, memory->model,
						  len));
	KUNIT_EXPECT_FALSE(test, memcmp(cpu, memory->model, len));
}

static void coherent_run(struct memory *memory, size_t len, gfp_t gfp,
			 unsigned long attrs, const char *what)
{
	struct device *dev = memory->td.dev;
	struct kunit *test = memory->test;
	dma_addr_t addr;
	void *cpu;

	cpu = dma_alloc_attrs(dev, len, &addr, gfp, attrs);
	KUNIT_ASSERT_NOT_NULL_MSG(test, cpu, "%s: %zu bytes", what, len);
	expect_reached(memory, addr, len, what);
	expect_uncrossed(memory, addr, len, 0, what);
	KUNIT_EXPECT_EQ_MSG(test, 0, addr & ((PAGE_SIZE << get_order(len)) - 1),
			    "%s: %#llx, %zu bytes", what, (u64)addr, len);
	expect_shared(memory, cpu, addr, len);
	dma_free_attrs(dev, len, cpu, addr, attrs);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
}

static void alloc_coherent(struct kunit *test)
{
	struct memory *memory = memory_create(test, 0);
	size_t granule = memory->td.granule;
	const size_t lens[] = {
		100, granule, 3 * granule, 7 * granule,
	};
	unsigned int i, j;

	for (i = 0; i < test_limits_count; i++) {
		test_device_limit(&memory->td, &test_limits[i]);
		for (j = 0; j < ARRAY_SIZE(lens); j++) {
			if (!test_env_turn(test, i + j, 3))
				continue;
			coherent_run(memory, lens[j], GFP_KERNEL, 0,
				     test_limits[i].name);
			if ((i ^ j) & 1)
				coherent_run(memory, lens[j], GFP_KERNEL,
					     DMA_ATTR_FORCE_CONTIGUOUS,
					     test_limits[i].name);
			else if (lens[j] <= SZ_16K)
				coherent_run(memory, lens[j], GFP_ATOMIC, 0,
					     test_limits[i].name);
		}
		test_device_settled(test, &memory->td, 0);
	}
}

static void noncontiguous_run(struct memory *memory, size_t len,
			      const char *what)
{
	struct device *dev = memory->td.dev;
	struct kunit *test = memory->test;
	struct sg_table *sgt;
	u8 *cpu;

	/* The DMA API's debugging would complain. */
	if (len > dma_max_contiguous_size(dev))
		return;
	sgt = dma_alloc_noncontiguous(dev, len, DMA_BIDIRECTIONAL, GFP_KERNEL,
				      0);
	KUNIT_ASSERT_NOT_NULL_MSG(test, sgt, "%s: %zu bytes", what, len);
	KUNIT_EXPECT_EQ(test, 1, sgt->nents);
	KUNIT_EXPECT_GE(test, sg_dma_len(sgt->sgl), len);
	expect_reached(memory, sg_dma_address(sgt->sgl), len, what);
	expect_uncrossed(memory, sg_dma_address(sgt->sgl), len, 0, what);
	cpu = dma_vmap_noncontiguous(dev, len, sgt);
	if (cpu) {
		expect_shared(memory, cpu, sg_dma_address(sgt->sgl), len);
		dma_vunmap_noncontiguous(dev, cpu);
	}
	KUNIT_EXPECT_NOT_NULL(test, cpu);
	dma_free_noncontiguous(dev, len, sgt, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
}

static void alloc_noncontiguous(struct kunit *test)
{
	struct memory *memory = memory_create(test, 0);
	size_t granule = memory->td.granule;
	unsigned int i;

	for (i = 0; i < test_limits_count; i++) {
		test_device_limit(&memory->td, &test_limits[i]);
		noncontiguous_run(memory, PAGE_SIZE, test_limits[i].name);
		noncontiguous_run(memory, 3 * granule, test_limits[i].name);
		noncontiguous_run(memory, 7 * granule, test_limits[i].name);
		test_device_settled(test, &memory->td, 0);
	}
}

/*
 * Alignment, which drivers rely on.
 */

/* Live at once of each size; single granules among them */
#define ALIGNED	16
#define SINGLES	256

/* How an address is aligned: up to a bound, or always */
enum aligned_kind {
	ALIGNED_MAP,		/* up to 64 KiB, and to whole pages */
	ALIGNED_RESOURCE,
	ALIGNED_LIST,
	ALIGNED_ALLOC,		/* those below are always */
	ALIGNED_PAGES = ALIGNED_ALLOC,
	ALIGNED_COHERENT,
	ALIGNED_KINDS
};

struct aligned {
	dma_addr_t addr;
	void *cpu;
	struct page *page;
	struct scatterlist sg;
};

/*
 * The same memory is mapped more often than the debugging of the DMA API allows, so
 * it learns nothing of that.
 */
static dma_addr_t aligned_make(struct memory *memory, enum aligned_kind kind,
			       size_t size, struct aligned *a)
{
	const enum dma_data_direction dir = DMA_BIDIRECTIONAL;
	struct device *dev = memory->td.dev;

	a->addr = DMA_MAPPING_ERROR;
	switch (kind) {
	case ALIGNED_MAP:
		a->addr = iommu_dma_ops.map_page(dev,
						 virt_to_page(memory->start), 0,
						 size, dir, 0);
		break;
	case ALIGNED_RESOURCE:
		a->addr = iommu_dma_ops.map_resource(dev, BIT_ULL(43), size,
						     dir, 0);
		break;
	case ALIGNED_LIST:
		sg_init_table(&a->sg, 1);
		test_entry_set(&a->sg, virt_to_page(memory->start), size, 0);
		if (iommu_dma_ops.map_sg(dev, &a->sg, 1, dir, 0) == 1)
			a->addr = sg_dma_address(&a->sg);
		break;
	case ALIGNED_PAGES:
		a->page = dma_alloc_pages(dev, size, &a->addr, dir, GFP_KERNEL);
		break;
	default:
		a->cpu = dma_alloc_coherent(dev, size, &a->addr, GFP_KERNEL);
	}
	return a->addr;
}

static void aligned_undo(struct memory *memory, enum aligned_kind kind,
			 size_t size, struct aligned *a)
{
	const enum dma_data_direction dir = DMA_BIDIRECTIONAL;
	struct device *dev = memory->td.dev;

	switch (kind) {
	case ALIGNED_MAP:
		iommu_dma_ops.unmap_page(dev, a->addr, size, dir, 0);
		break;
	case ALIGNED_RESOURCE:
		iommu_dma_ops.unmap_resource(dev, a->addr, size, dir, 0);
		break;
	case ALIGNED_LIST:
		iommu_dma_ops.unmap_sg(dev, &a->sg, 1, dir, 0);
		break;
	case ALIGNED_PAGES:
		dma_free_pages(dev, size, a->page, a->addr, dir);
		break;
	default:
		dma_free_coherent(dev, size, a->cpu, a->addr);
	}
}

/* What can be relied on, where there is room */
static u64 aligned_to(const struct memory *memory, enum aligned_kind kind,
		      size_t size)
{
	size_t granule = memory->td.granule;
	size_t whole = size + test_guard * granule;
	u64 align = roundup_pow_of_two(size);

	if (kind >= ALIGNED_ALLOC)
		return PAGE_SIZE << get_order(size);
	/* Chunks do not tell of what is aligned to more than a word. */
	if (whole <= 128 * granule)
		align = min_t(u64, align, 64 * granule);
	/* Above 64 KiB only where no more than a sixteenth is lost */
	if (ALIGN(whole, align) - whole <= whole / 16)
		return align;
	return max(min_t(u64, align, SZ_64K), size < PAGE_SIZE ? 1 : PAGE_SIZE);
}

static void aligned_run(struct memory *memory, enum aligned_kind kind,
			size_t size)
{
	struct kunit *test = memory->test;
	struct aligned *a = kunit_kcalloc(test, ALIGNED, sizeof(*a),
					  GFP_KERNEL);
	u64 align = aligned_to(memory, kind, size);
	unsigned int i, n;

	KUNIT_ASSERT_NOT_NULL(test, a);
	for (n = 0; n < ALIGNED; n++) {
		if (aligned_make(memory, kind, size, &a[n]) ==
		    DMA_MAPPING_ERROR)
			break;
		KUNIT_EXPECT_EQ_MSG(test, 0, a[n].addr & (align - 1),
				    "kind %d: %#llx, %zu bytes", kind,
				    (u64)a[n].addr, size);
	}
	KUNIT_EXPECT_EQ(test, ALIGNED, n);
	for (i = 0; i < n; i++)
		aligned_undo(memory, kind, size, &a[i]);
	kunit_kfree(test, a);
}

/*
 * Map single granules, and unmap some, so that what is free then has room for @n
 * granules, but not aligned to that.
 */
static void singles_make(struct memory *memory, dma_addr_t *singles,
			 unsigned int n)
{
	struct device *dev = memory->td.dev;
	unsigned int i;

	for (i = 0; i < SINGLES; i++)
		singles[i] = iommu_dma_ops.map_resource(dev, BIT_ULL(43),
							memory->td.granule,
							DMA_BIDIRECTIONAL, 0);
	for (i = 0; i < SINGLES; i++) {
		KUNIT_ASSERT_NE(memory->test, DMA_MAPPING_ERROR, singles[i]);
		if ((singles[i] / memory->td.granule + n / 2) / n % 2)
			continue;
		iommu_dma_ops.unmap_resource(dev, singles[i],
					     memory->td.granule,
					     DMA_BIDIRECTIONAL, 0);
		singles[i] = DMA_MAPPING_ERROR;
	}
	test_device_settled(memory->test, &memory->td,
			    mock_iommu_counts(dev).mapped);
}

static void singles_undo(struct memory *memory, const dma_addr_t *singles)
{
	unsigned int i;

	for (i = 0; i < SINGLES; i++)
		if (singles[i] != DMA_MAPPING_ERROR)
			iommu_dma_ops.unmap_resource(memory->td.dev, singles[i],
						     memory->td.granule,
						     DMA_BIDIRECTIONAL, 0);
}

/* Among others that nothing is aligned behind */
static void map_aligned(struct kunit *test)
{
	static const size_t sizes[] = {
		SZ_4K, SZ_8K, 3 * SZ_4K, SZ_16K, SZ_32K, 9 * SZ_4K, SZ_64K,
		17 * SZ_4K, SZ_128K, 61 * SZ_4K, SZ_512K, SZ_1M, SZ_2M, SZ_4M,
	};
	struct memory *memory = memory_create(test, 0);
	size_t granule = memory->td.granule;
	dma_addr_t *singles = kunit_kcalloc(test, SINGLES, sizeof(*singles),
					    GFP_KERNEL);
	struct aligned odd[3] = {};
	enum aligned_kind kind;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, singles);
	for (i = 0; i < ARRAY_SIZE(odd); i++)
		aligned_make(memory, ALIGNED_RESOURCE,
			     (258 * i + 1) * granule, &odd[i]);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (!test_env_turn(test, i, 3))
			continue;
		singles_make(memory, singles,
			     clamp(roundup_pow_of_two(sizes[i] / granule ?: 1),
				   2UL, 64UL));
		for (kind = 0; kind < ALIGNED_KINDS; kind++)
			if (kind >= ALIGNED_ALLOC || kind == ALIGNED_RESOURCE ||
			    sizes[i] <= memory->size)
				aligned_run(memory, kind, sizes[i]);
		singles_undo(memory, singles);
	}
	for (i = 0; i < ARRAY_SIZE(odd); i++)
		aligned_undo(memory, ALIGNED_RESOURCE,
			     (258 * i + 1) * granule, &odd[i]);
	test_device_settled(test, &memory->td, 0);
}

/*
 * Failures: of each page that is mapped in turn, then of telling the IOMMU.
 */

static bool try_single(struct memory *memory)
{
	struct device *dev = memory->td.dev;
	size_t len = 3 * memory->td.granule + 8;
	dma_addr_t addr = dma_map_single(dev, memory->start + 4, len,
					 DMA_TO_DEVICE);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_unmap_single(dev, addr, len, DMA_TO_DEVICE);
	return true;
}

static bool try_granule(struct memory *memory)
{
	struct device *dev = memory->td.dev;
	dma_addr_t addr = dma_map_single(dev, memory->start, 512,
					 DMA_FROM_DEVICE);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_unmap_single(dev, addr, 512, DMA_FROM_DEVICE);
	return true;
}

static bool try_small(struct memory *memory)
{
	struct device *dev = memory->td.dev;
	dma_addr_t addr = dma_map_single(dev, memory->start +
					 memory->td.granule - 10, 20,
					 DMA_FROM_DEVICE);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_unmap_single(dev, addr, 20, DMA_FROM_DEVICE);
	return true;
}

static bool try_resource(struct memory *memory)
{
	size_t len = 3 * memory->td.granule;
	struct device *dev = memory->td.dev;
	dma_addr_t addr = dma_map_resource(dev, BIT_ULL(43), len,
					   DMA_TO_DEVICE, 0);

	if (dma_mapping_error(dev, addr))
		return false;
	dma_unmap_resource(dev, addr, len, DMA_TO_DEVICE, 0);
	return true;
}

static bool try_coherent_attrs(struct memory *memory, unsigned long attrs)
{
	size_t len = 3 * memory->td.granule;
	struct device *dev = memory->td.dev;
	dma_addr_t addr;
	void *cpu;

	cpu = dma_alloc_attrs(dev, len, &addr, GFP_KERNEL, attrs);
	if (cpu)
		dma_free_attrs(dev, len, cpu, addr, attrs);
	return cpu;
}

static bool try_coherent(struct memory *memory)
{
	return try_coherent_attrs(memory, 0);
}

static bool try_coherent_contiguous(struct memory *memory)
{
	return try_coherent_attrs(memory, DMA_ATTR_FORCE_CONTIGUOUS);
}

static bool try_noncontiguous(struct memory *memory)
{
	size_t len = 3 * memory->td.granule;
	struct device *dev = memory->td.dev;
	struct sg_table *sgt;

	sgt = dma_alloc_noncontiguous(dev, len, DMA_BIDIRECTIONAL, GFP_KERNEL,
				      0);
	if (sgt)
		dma_free_noncontiguous(dev, len, sgt, DMA_BIDIRECTIONAL);
	return sgt;
}

static void map_failures(struct kunit *test)
{
	static bool (* const tries[])(struct memory *memory) = {
		try_single, try_granule, try_small, try_resource, try_coherent,
		try_coherent_contiguous, try_noncontiguous,
	};
	const struct test_env *env = test->param_value;
	u64 space = (u64)SPACE << env->granule_shift;
	struct memory *memory = memory_create(test, space - 1);
	struct device *dev = memory->td.dev;
	unsigned int i;
	int after;
	bool done;

	memory_fill(memory, 0, memory->size);
	for (i = 0; i < MOCK_MAP_FAULTS * ARRAY_SIZE(tries); i++) {
		for (after = 0, done = false; !done; after++) {
			KUNIT_ASSERT_LT(test, after, 1000);
			mock_iommu_fail(dev, i % MOCK_MAP_FAULTS, after);
			done = tries[i / MOCK_MAP_FAULTS](memory);
			mock_iommu_fail(dev, i % MOCK_MAP_FAULTS, -1);
			KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
		}
		/* At least one failure has been seen. */
		KUNIT_EXPECT_GE(test, after, 2);
		expect_memory_is_model(memory, "after failures");
	}
	test_device_settled(test, &memory->td, 0);
	test_device_all_free(test, &memory->td, SPACE);
}

/* Two devices with different limits in one domain, and a region for neither */
static void shared_domain(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	u64 granule = BIT(env->granule_shift);
	struct mock_iommu_options options = {
		.pgsizes = granule,
		.aperture_start = 2 * granule,
		.aperture_last = 32 * granule - 1,
		.regions = {
			{ 8 * granule, 8 * granule, IOMMU_RESV_RESERVED },
		},
		.deferred = env->deferred,
		.shared = true,
	};
	struct mock_iommu *mock = mock_iommu_create(test, &options);
	u8 *page = (u8 *)kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct test_device devices[2];
	dma_addr_t addrs[2][32];
	unsigned int i, failed = 0, count[2] = {};

	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < 2; i++)
		test_device_init(test, mock, &devices[i]);
	devices[1].last = 24 * granule - 1;
	test_device_set(&devices[1]);
	/* One takes turns with the other until neither gets any more. */
	for (i = 0; i < 64 && failed < 2; i++) {
		const struct test_device *td = &devices[i & 1];
		unsigned int *n = &count[i & 1];
		dma_addr_t addr;

		addr = dma_map_single(td->dev, page, 64, DMA_TO_DEVICE);
		if (dma_mapping_error(td->dev, addr)) {
			failed++;
			continue;
		}
		failed = 0;
		KUNIT_ASSERT_LT(test, *n, 32);
		addrs[i & 1][(*n)++] = addr;
		KUNIT_EXPECT_GE(test, addr, 2 * granule);
		KUNIT_EXPECT_LT(test, addr, (i & 1 ? 24 : 32) * granule);
		KUNIT_EXPECT_FALSE(test, addr >= 8 * granule &&
				   addr < 16 * granule);
	}
	KUNIT_EXPECT_GT(test, count[1], 0);
	KUNIT_EXPECT_EQ(test, count[0] + count[1],
			mock_iommu_counts(devices[0].dev).mapped);
	for (i = 0; i < count[0]; i++)
		dma_unmap_single(devices[0].dev, addrs[0][i], 64,
				 DMA_TO_DEVICE);
	for (i = 0; i < count[1]; i++)
		dma_unmap_single(devices[1].dev, addrs[1][i], 64,
				 DMA_TO_DEVICE);
	test_device_settled(test, &devices[0], 0);
}

static struct kunit_case mapping_cases[] = {
	KUNIT_CASE_PARAM(map_single, test_env_gen_params),
	KUNIT_CASE_PARAM(map_small, test_env_gen_params),
	KUNIT_CASE_PARAM(map_resource, test_env_gen_params),
	KUNIT_CASE_PARAM(alloc_coherent, test_env_gen_params),
	KUNIT_CASE_PARAM(alloc_noncontiguous, test_env_gen_params),
	KUNIT_CASE_PARAM(map_aligned, test_env_gen_params),
	KUNIT_CASE_PARAM(map_failures, test_env_gen_params),
	KUNIT_CASE_PARAM(shared_domain, test_env_gen_params),
	{ }
};

static struct kunit_suite mapping_suite = {
	.name = "dma_mapping",
	.test_cases = mapping_cases,
};

kunit_test_suite(mapping_suite);
