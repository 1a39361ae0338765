// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of scatterlists, on a mock IOMMU and without one.
 *
 * A list is made of blocks of memory, one for each entry, so that what is next
 * to an entry is known too. A model has the bytes that the list is to have, one
 * after the other, and three parties are compared with it all the time: the
 * CPU, the device, which goes by the segments and the IOMMU's own table, and
 * what is next to the entries, which the CPU changes while the list is mapped.
 *
 * Whether a segment may be as it is, is decided here anew from what the device
 * can do, not asked of the layer.
 */

#include <linux/dma-contiguity.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "test_device.h"

#define ENTRIES		8
/* Granules in a block */
#define BLOCK		2
/* Parts of a granule that the shapes below are in */
#define PARTS		16

/* What is next to entries, bytes, before and after a list has been mapped */
#define NEIGHBOUR	512
#define NEIGHBOUR_THEN	0xa5
#define NEIGHBOUR_NOW	0x5a

/* Each mapping has as many granules more, by iommu.dma_guard. */
static unsigned int guard;
module_param(guard, uint, 0444);
MODULE_PARM_DESC(guard, "what the kernel was started with as iommu.dma_guard");

/**
 * struct span - where an entry is in its block
 * @offset: bytes
 * @len: bytes
 */
struct span {
	unsigned int offset;
	unsigned int len;
};

/* Lists, in PARTS of a granule */
static const struct shape {
	const char *name;
	unsigned int count;
	struct span spans[ENTRIES];
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
};

/**
 * struct pool - memory for one list
 * @blocks: of BLOCK granules each
 * @size: bytes of a block
 */
struct pool {
	u8 *blocks[ENTRIES];
	size_t size;
};

/**
 * struct list - a list and what it is to be
 * @test: the test
 * @td: device
 * @pool: memory
 * @sgt: the list
 * @spans: its entries, in bytes
 * @total: bytes
 * @dir: direction of the transfer
 * @model: the bytes that memory is to have
 * @bytes: room for as many
 * @before: the entries as they were when last asked
 * @seed: of what is written next
 * @granules: mapped for it
 */
struct list {
	struct kunit *test;
	const struct test_device *td;
	const struct pool *pool;
	struct sg_table sgt;
	struct span spans[ENTRIES];
	size_t total;
	enum dma_data_direction dir;
	u8 *model;
	u8 *bytes;
	struct scatterlist before[ENTRIES];
	u64 seed;
	unsigned long granules;
};

static const enum dma_data_direction dirs[] = {
	DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE,
};

static bool device_reads(const struct list *list)
{
	return list->dir != DMA_FROM_DEVICE;
}

static bool device_writes(const struct list *list)
{
	return list->dir != DMA_TO_DEVICE;
}

/*
 * Memory.
 */

static void pool_free(void *data)
{
	const struct pool *pool = data;
	unsigned int i;

	for (i = 0; i < ENTRIES; i++)
		free_pages((unsigned long)pool->blocks[i],
			   get_order(pool->size));
}

static struct pool *pool_create(struct kunit *test, size_t granule)
{
	struct pool *pool = kunit_kzalloc(test, sizeof(*pool), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, pool);
	pool->size = BLOCK * granule;
	for (i = 0; i < ENTRIES; i++)
		pool->blocks[i] = (u8 *)__get_free_pages(GFP_KERNEL,
							 get_order(pool->size));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, pool_free, pool));
	for (i = 0; i < ENTRIES; i++)
		KUNIT_ASSERT_NOT_NULL(test, pool->blocks[i]);
	return pool;
}

static u8 *entry_memory(const struct list *list, unsigned int i)
{
	return list->pool->blocks[i] + list->spans[i].offset;
}

/* Memory to @buf or from it */
static void list_copy(const struct list *list, u8 *buf, bool to_memory)
{
	unsigned int i;

	for (i = 0; i < list->sgt.orig_nents; i++) {
		if (to_memory)
			memcpy(entry_memory(list, i), buf, list->spans[i].len);
		else
			memcpy(buf, entry_memory(list, i), list->spans[i].len);
		buf += list->spans[i].len;
	}
}

static bool list_memory_is_model(struct list *list)
{
	list_copy(list, list->bytes, false);
	return !memcmp(list->bytes, list->model, list->total);
}

/* What of the block before entry @i is its neighbour, and what is behind it */
static struct span neighbour(const struct list *list, unsigned int i,
			     bool behind)
{
	unsigned int offset = list->spans[i].offset, len;
	unsigned int end = offset + list->spans[i].len;

	len = min_t(size_t, NEIGHBOUR, behind ? list->pool->size - end : offset);
	return (struct span) { behind ? end : offset - len, len };
}

static void neighbours_set(const struct list *list, u8 value)
{
	struct span span;
	unsigned int i;

	for (i = 0; i < 2 * list->sgt.orig_nents; i++) {
		span = neighbour(list, i / 2, i & 1);
		memset(list->pool->blocks[i / 2] + span.offset, value, span.len);
	}
}

static bool neighbours_are(const struct list *list, u8 value)
{
	struct span span;
	unsigned int i;

	for (i = 0; i < 2 * list->sgt.orig_nents; i++) {
		span = neighbour(list, i / 2, i & 1);
		if (memchr_inv(list->pool->blocks[i / 2] + span.offset, value,
			       span.len))
			return false;
	}
	return true;
}

/*
 * Lists.
 */

/* An entry in place of which memory is not to be looked at */
static void entry_set(struct scatterlist *sg, struct page *page,
		      unsigned int len, unsigned int offset)
{
	sg_set_page(sg, page, len, offset);
	/* What happens to be there is to be there after an error. */
	sg_dma_address(sg) = 0x123456789abcULL + len;
	sg_dma_len(sg) = 77;
}

static struct list *list_alloc(struct kunit *test, const struct test_device *td,
			       const struct pool *pool)
{
	struct list *list = kunit_kzalloc(test, sizeof(*list), GFP_KERNEL);
	size_t size = ENTRIES * pool->size;

	KUNIT_ASSERT_NOT_NULL(test, list);
	list->test = test;
	list->td = td;
	list->pool = pool;
	list->model = kunit_kmalloc(test, size, GFP_KERNEL);
	list->bytes = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list->model);
	KUNIT_ASSERT_NOT_NULL(test, list->bytes);
	return list;
}

/* Make a new list of the old one, with noise in it. */
static void list_make(struct list *list, const struct span *spans,
		      unsigned int count, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int i;
	u8 *memory;

	KUNIT_ASSERT_EQ(list->test, 0,
			sg_alloc_table(&list->sgt, count, GFP_KERNEL));
	memcpy(list->spans, spans, count * sizeof(*spans));
	list->total = 0;
	list->dir = dir;
	for_each_sgtable_sg(&list->sgt, sg, i) {
		memory = entry_memory(list, i);
		entry_set(sg, virt_to_page(memory), spans[i].len,
			  offset_in_page(memory));
		list->total += spans[i].len;
	}
	test_fill(list->model, list->total, &list->seed);
	list_copy(list, list->model, true);
	neighbours_set(list, NEIGHBOUR_THEN);
}

static void list_make_shape(struct list *list, const struct shape *shape,
			    enum dma_data_direction dir)
{
	unsigned int part = list->td->granule / PARTS, i;
	struct span spans[ENTRIES];

	for (i = 0; i < shape->count; i++)
		spans[i] = (struct span) {
			.offset = shape->spans[i].offset * part,
			.len = shape->spans[i].len * part,
		};
	list_make(list, spans, shape->count, dir);
}

static void list_free(struct list *list)
{
	sg_free_table(&list->sgt);
}

static void sgt_remember(const struct sg_table *sgt, struct scatterlist *copies)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i)
		copies[i] = *sg;
}

static bool sgt_is_as_before(const struct sg_table *sgt,
			     const struct scatterlist *copies)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i)
		if (memcmp(sg, &copies[i], sizeof(*sg)))
			return false;
	return true;
}

/* One in two is contiguous by its device, the others by their mapping. */
static int sgt_map(struct device *dev, struct sg_table *sgt,
		   enum dma_data_direction dir, bool contiguous,
		   bool by_device)
{
	int ret;

	if (!contiguous)
		return dma_map_sgtable(dev, sgt, dir, DMA_ATTR_NO_WARN);
	if (!by_device)
		return dma_map_sgtable_contiguous(dev, sgt, dir,
						  DMA_ATTR_NO_WARN);
	dma_set_contiguous(dev, true);
	ret = dma_map_sgtable(dev, sgt, dir, DMA_ATTR_NO_WARN);
	dma_set_contiguous(dev, false);
	return ret;
}

/* Whether the list can be one segment, by what the device can do */
static bool list_can_be_one(const struct list *list)
{
	const struct test_device *td = list->td;
	u64 first = (td->unit - 1) & virt_to_phys(entry_memory(list, 0));

	if (list->total > td->max_segment)
		return false;
	/* At a unit, or at a boundary if that is further apart */
	return !test_device_crosses(td, first, list->total);
}

/* Whether an entry is by itself more than the device can do */
static bool list_is_absurd(const struct list *list)
{
	const struct test_device *td = list->td;
	unsigned int i;
	u64 first;

	for (i = 0; i < list->sgt.orig_nents; i++) {
		first = (td->unit - 1) & virt_to_phys(entry_memory(list, i));
		if (list->spans[i].len > td->max_segment ||
		    test_device_crosses(td, first, list->spans[i].len))
			return true;
	}
	return false;
}

static bool list_bounces(const struct list *list)
{
	unsigned int i;

	if (dma_kmalloc_safe(list->td->dev, list->dir))
		return false;
	for (i = 0; i < list->sgt.orig_nents; i++)
		if (!dma_kmalloc_size_aligned(list->spans[i].len))
			return true;
	return false;
}

/*
 * Mapped lists.
 */

/* Move @len bytes at @pos of the list, as the device does. */
static int list_access(struct list *list, size_t pos, u8 *buf, size_t len,
		       bool write)
{
	struct device *dev = list->td->dev;
	struct scatterlist *sg;
	size_t part;
	int i, ret;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		if (pos >= sg_dma_len(sg)) {
			pos -= sg_dma_len(sg);
			continue;
		}
		part = min_t(size_t, len, sg_dma_len(sg) - pos);
		ret = write ?
		      mock_iommu_write(dev, sg_dma_address(sg) + pos, buf, part) :
		      mock_iommu_read(dev, sg_dma_address(sg) + pos, buf, part);
		if (ret)
			return ret;
		buf += part;
		len -= part;
		pos = 0;
		if (!len)
			return 0;
	}
	return len ? -ERANGE : 0;
}

static void expect_device_sees_model(struct list *list)
{
	struct kunit *test = list->test;

	memset(list->bytes, 0, list->total);
	KUNIT_EXPECT_EQ(test, 0, list_access(list, 0, list->bytes, list->total,
					     false));
	KUNIT_EXPECT_FALSE_MSG(test, memcmp(list->bytes, list->model,
					    list->total),
			       "the device sees something else");
}

/* A part only: the rest has to stay as it was. */
static void device_write(struct list *list, size_t pos, size_t len)
{
	test_fill(list->model + pos, len, &list->seed);
	KUNIT_EXPECT_EQ(list->test, 0,
			list_access(list, pos, list->model + pos, len, true));
}

static void expect_memory_is_model(struct list *list, const char *when)
{
	KUNIT_EXPECT_TRUE_MSG(list->test, list_memory_is_model(list),
			      "%s: memory is something else", when);
	KUNIT_EXPECT_TRUE_MSG(list->test, neighbours_are(list, NEIGHBOUR_NOW),
			      "%s: what is next to an entry has changed", when);
}

/* A segment is within the limits, and keeps its first entry's offset. */
static void expect_segment(struct list *list, struct scatterlist *segment,
			   phys_addr_t phys, bool alone)
{
	const struct test_device *td = list->td;
	dma_addr_t addr = sg_dma_address(segment);
	u64 len = sg_dma_len(segment), align = dma_get_min_align_mask(td->dev);

	align |= td->granule - 1;
	if (len && test_device_reaches(td, addr, len) &&
	    !test_device_crosses(td, addr, len) &&
	    (alone || len <= td->max_segment) && !((addr ^ phys) & align))
		return;
	kunit_err(list->test, "last %#llx, boundary %#llx, most %llu, alignment %#llx\n",
		  td->last, td->boundary, td->max_segment, align);
	KUNIT_FAIL(list->test, "a segment at %#llx, %llu bytes, of memory at %#llx",
		   (u64)addr, len, (u64)phys);
}

static unsigned long segment_granules(const struct list *list,
				      struct scatterlist *sg)
{
	size_t granule = list->td->granule;

	return (ALIGN(sg_dma_address(sg) + sg_dma_len(sg), granule) -
		ALIGN_DOWN(sg_dma_address(sg), granule)) / granule;
}

/* All segments, each of whole entries */
static void expect_segments(struct list *list)
{
	struct scatterlist *segment, *entry = list->sgt.sgl;
	unsigned int entries = 0, of_it;
	u64 bytes;
	int i;

	list->granules = 0;
	for_each_sgtable_dma_sg(&list->sgt, segment, i) {
		phys_addr_t phys = entry ? sg_phys(entry) : 0;

		for (bytes = 0, of_it = 0; entry &&
		     bytes < sg_dma_len(segment); entry = sg_next(entry)) {
			bytes += entry->length;
			of_it++;
		}
		entries += of_it;
		KUNIT_EXPECT_EQ(list->test, bytes, sg_dma_len(segment));
		KUNIT_EXPECT_FALSE(list->test, sg_dma_is_bus_address(segment));
		expect_segment(list, segment, phys, of_it == 1);
		list->granules += segment_granules(list, segment);
	}
	KUNIT_EXPECT_EQ(list->test, list->sgt.orig_nents, entries);
	/* Drivers go on to the first without bytes. */
	if (list->sgt.nents < list->sgt.orig_nents)
		KUNIT_EXPECT_EQ(list->test, 0, sg_dma_len(segment));
}

/*
 * Granules that are one entry's alone are its memory; others, and in a list
 * that bounces all that are not whole, are not anybody's.
 */
static void expect_granule(struct list *list, dma_addr_t addr,
			   phys_addr_t phys, bool own)
{
	phys_addr_t got;
	unsigned int i;
	u64 start;
	int prot;

	KUNIT_ASSERT_TRUE(list->test,
			  mock_iommu_lookup(list->td->dev, addr, &got, &prot));
	KUNIT_EXPECT_EQ(list->test, !list->td->noncoherent,
			!!(prot & IOMMU_CACHE));
	if (own) {
		KUNIT_EXPECT_EQ_MSG(list->test, phys, got,
				    "a granule that needs no copy is one");
		return;
	}
	for (i = 0; i < list->sgt.orig_nents; i++) {
		start = virt_to_phys(list->pool->blocks[i]);
		KUNIT_EXPECT_FALSE_MSG(list->test, got >= start &&
				       got < start + list->pool->size,
				       "a granule that needs a copy is memory");
	}
}

static void expect_granules(struct list *list)
{
	struct scatterlist *sg = list->sgt.sgl, *entry;
	dma_addr_t addr = sg_dma_address(sg), begin = addr, end, granule;
	dma_addr_t last = addr + list->total - 1, low, high;
	size_t size = list->td->granule;
	bool bounces = list_bounces(list), own;
	unsigned int i;

	for_each_sgtable_sg(&list->sgt, entry, i) {
		end = begin + entry->length;
		for (granule = ALIGN_DOWN(begin, size); granule < end;
		     granule += size) {
			/* What of the granule is the list's */
			low = max(granule, addr);
			high = min(granule + size - 1, last);
			own = begin <= low && end > high &&
			      !((begin ^ sg_phys(entry)) & (size - 1));
			if (bounces && high - low + 1 < size)
				own = false;
			low = max(low, begin);
			expect_granule(list, low, sg_phys(entry) + low - begin,
				       own);
		}
		begin = end;
	}
}

/* In a list that bounces, the device sees nothing next to it. */
static void expect_nothing_around(struct list *list)
{
	size_t granule = list->td->granule, size;
	struct scatterlist *sg = list->sgt.sgl;
	dma_addr_t addr = sg_dma_address(sg);

	size = addr & (granule - 1);
	KUNIT_EXPECT_EQ(list->test, 0,
			mock_iommu_read(list->td->dev, addr - size,
					list->bytes, size));
	KUNIT_EXPECT_NULL(list->test, memchr_inv(list->bytes, 0, size));
	addr += sg_dma_len(sg);
	size = -addr & (granule - 1);
	KUNIT_EXPECT_EQ(list->test, 0,
			mock_iommu_read(list->td->dev, addr, list->bytes, size));
	KUNIT_EXPECT_NULL(list->test, memchr_inv(list->bytes, 0, size));
}

static bool list_map(struct list *list, bool contiguous, bool by_device,
		     const char *what)
{
	struct device *dev = list->td->dev;
	unsigned long mapped = mock_iommu_counts(dev).mapped;
	int want = contiguous && !list_can_be_one(list) ? -EINVAL : 0;
	int ret;

	sgt_remember(&list->sgt, list->before);
	ret = sgt_map(dev, &list->sgt, list->dir, contiguous, by_device);
	KUNIT_EXPECT_EQ_MSG(list->test, want, ret, "%s%s", what,
			    contiguous ? ", contiguous" : "");
	if (ret) {
		KUNIT_EXPECT_TRUE_MSG(list->test,
				      sgt_is_as_before(&list->sgt, list->before),
				      "%s: the list has changed", what);
		KUNIT_EXPECT_EQ(list->test, mapped,
				mock_iommu_counts(dev).mapped);
		return false;
	}
	neighbours_set(list, NEIGHBOUR_NOW);
	expect_segments(list);
	if (contiguous) {
		KUNIT_EXPECT_EQ_MSG(list->test, 1, list->sgt.nents,
				    "%s: not one segment", what);
		expect_granules(list);
		if (list_bounces(list) && device_reads(list))
			expect_nothing_around(list);
	}
	KUNIT_EXPECT_EQ(list->test, mapped + list->granules,
			mock_iommu_counts(dev).mapped);
	return true;
}

static void list_unmap(struct list *list)
{
	struct device *dev = list->td->dev;
	unsigned long mapped = mock_iommu_counts(dev).mapped;

	dma_unmap_sgtable(dev, &list->sgt, list->dir, 0);
	KUNIT_EXPECT_EQ(list->test, mapped - list->granules,
			mock_iommu_counts(dev).mapped);
	expect_memory_is_model(list, "after unmap");
}

/* What a device and its driver do with a list, one after the other */
static void list_use(struct list *list)
{
	struct device *dev = list->td->dev;
	struct kunit *test = list->test;
	size_t some = list->total / 3;
	u8 byte = 0;

	if (device_reads(list))
		expect_device_sees_model(list);
	else
		KUNIT_EXPECT_EQ(test, -EACCES,
				list_access(list, 0, &byte, 1, false));
	if (!device_writes(list)) {
		KUNIT_EXPECT_EQ(test, -EACCES,
				list_access(list, 0, &byte, 1, true));
	} else {
		device_write(list, some, list->total - some);
		dma_sync_sgtable_for_cpu(dev, &list->sgt, list->dir);
		expect_memory_is_model(list, "synced for the CPU");
		dma_sync_sgtable_for_device(dev, &list->sgt, list->dir);
	}
	if (device_reads(list)) {
		if (!device_writes(list))
			dma_sync_sgtable_for_cpu(dev, &list->sgt, list->dir);
		test_fill(list->model, list->total, &list->seed);
		list_copy(list, list->model, true);
		dma_sync_sgtable_for_device(dev, &list->sgt, list->dir);
		expect_device_sees_model(list);
	}
	if (device_writes(list))
		device_write(list, 0, list->total - some);
}

/*
 * Cases.
 */

/* Every shape under every limit, in turn in all directions */
static void shapes_run(struct kunit *test, bool contiguous)
{
	unsigned int i, j, fitted = 0;
	struct test_device td;
	struct list *list;
	char what[100];

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < test_limits_count; i++) {
		test_device_limit(&td, &test_limits[i]);
		for (j = 0; j < ARRAY_SIZE(shapes); j++) {
			list_make_shape(list, &shapes[j],
					dirs[(i + j) % ARRAY_SIZE(dirs)]);
			snprintf(what, sizeof(what), "%s, %s",
				 test_limits[i].name, shapes[j].name);
			/* The DMA API's debugging would complain. */
			if (!list_is_absurd(list) &&
			    list_map(list, contiguous, (i + j) & 1, what)) {
				list_use(list);
				list_unmap(list);
				fitted++;
			}
			list_free(list);
		}
		test_device_settled(test, &td, 0);
	}
	/* Or else this has tested little. */
	KUNIT_EXPECT_GE(test, fitted, test_limits_count *
				      ARRAY_SIZE(shapes) / 3);
}

static void list_shapes(struct kunit *test)
{
	shapes_run(test, false);
}

static void list_shapes_contiguous(struct kunit *test)
{
	shapes_run(test, true);
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
	struct span spans[ENTRIES];
	struct test_device td;
	struct list *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < ENTRIES; i++)
		spans[i] = (struct span) { 0, td.granule };
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		test_device_limit(&td, &(struct test_limits) {
			.max_segment = rows[i].max_segment,
			.boundary = rows[i].boundary,
		});
		list_make(list, spans, ENTRIES, DMA_TO_DEVICE);
		if (list_map(list, false, false, "pages")) {
			KUNIT_EXPECT_EQ_MSG(test, rows[i].segments,
					    list->sgt.nents,
					    "at most %u, boundary %u",
					    rows[i].max_segment,
					    rows[i].boundary);
			list_use(list);
			list_unmap(list);
		}
		list_free(list);
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
	struct span spans[ENTRIES];
	struct test_device td;
	struct list *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < ENTRIES; i++)
		spans[i] = (struct span) { 0, td.granule };
	for (i = 0; i < 2; i++) {
		list_make(list, spans, ENTRIES, DMA_TO_DEVICE);
		before = mock_iommu_counts(td.dev);
		KUNIT_ASSERT_TRUE(test, list_map(list, i, false, "pages"));
		after = mock_iommu_counts(td.dev);
		KUNIT_EXPECT_EQ(test, 1, after.sync_map - before.sync_map);
		KUNIT_EXPECT_LE(test, after.map - before.map, ENTRIES);
		KUNIT_EXPECT_EQ(test, after.unmap, before.unmap);
		list_unmap(list);
		before = after;
		after = mock_iommu_counts(td.dev);
		KUNIT_EXPECT_EQ(test, 1, after.unmap - before.unmap);
		KUNIT_EXPECT_EQ(test, !env->deferred,
				after.sync - before.sync);
		if (!env->deferred)
			KUNIT_EXPECT_EQ(test, after.flush, before.flush);
		list_free(list);
	}
	test_device_settled(test, &td, 0);
	after = mock_iommu_counts(td.dev);
	KUNIT_EXPECT_EQ(test, env->deferred, !!after.flush);
}

/* Each mapping of a page fails in turn, then telling of them does. */
static void failures_run(struct kunit *test, struct list *list, bool contiguous,
			 enum mock_iommu_fault fault)
{
	struct device *dev = list->td->dev;
	int after, ret;

	for (after = 0; ; after++) {
		mock_iommu_fail(dev, fault, after);
		ret = sgt_map(dev, &list->sgt, list->dir, contiguous, after & 1);
		mock_iommu_fail(dev, fault, -1);
		if (!ret)
			break;
		KUNIT_EXPECT_EQ(test, -ENOMEM, ret);
		KUNIT_EXPECT_TRUE(test, sgt_is_as_before(&list->sgt,
							 list->before));
		KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
		KUNIT_EXPECT_TRUE(test, list_memory_is_model(list));
		KUNIT_EXPECT_TRUE(test, neighbours_are(list, NEIGHBOUR_THEN));
		KUNIT_ASSERT_LT(test, after, 1000);
	}
	KUNIT_EXPECT_GE(test, after, 1);
	dma_unmap_sgtable(dev, &list->sgt, list->dir, 0);
}

static void list_failures(struct kunit *test)
{
	struct test_device td;
	struct list *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < 2 * MOCK_FAULTS * ARRAY_SIZE(shapes); i++) {
		list_make_shape(list, &shapes[i / (2 * MOCK_FAULTS)],
				dirs[i % ARRAY_SIZE(dirs)]);
		sgt_remember(&list->sgt, list->before);
		failures_run(test, list, i & 1, i / 2 % MOCK_FAULTS);
		list_free(list);
		test_device_settled(test, &td, 0);
	}
}

/*
 * Addresses run out.
 */

#define SPACE	64	/* granules of the address space in this case */
#define LISTS	16

static void list_make_granules(struct list *list, unsigned int entries,
			       unsigned int granules)
{
	struct span spans[ENTRIES];
	unsigned int i;

	for (i = 0; i < entries; i++)
		spans[i] = (struct span) { 0, granules * list->td->granule };
	list_make(list, spans, entries, DMA_BIDIRECTIONAL);
}

static void expect_no_room(struct list *list, bool contiguous, bool quiet)
{
	struct device *dev = list->td->dev;
	struct mock_iommu_counts counts = mock_iommu_counts(dev);
	struct kunit *test = list->test;

	sgt_remember(&list->sgt, list->before);
	KUNIT_EXPECT_EQ(test, -ENOMEM,
			quiet ? sgt_map(dev, &list->sgt, list->dir, contiguous,
					false) :
				dma_map_sgtable(dev, &list->sgt, list->dir, 0));
	KUNIT_EXPECT_TRUE(test, sgt_is_as_before(&list->sgt, list->before));
	KUNIT_EXPECT_EQ(test, counts.mapped, mock_iommu_counts(dev).mapped);
	KUNIT_EXPECT_TRUE(test, list_memory_is_model(list));
}

/* Full, then full of holes, then empty, when nothing may be left of it */
static void list_space(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	u64 space = (u64)SPACE << env->granule_lg2;
	/* The lowest granule is never used. */
	unsigned int fit = (SPACE - 1) / (4 + guard), i;
	struct list *lists[LISTS], *large, *more;
	struct test_device td;

	if (guard > 3)
		kunit_skip(test, "so many guard granules are most of the space");
	test_device_init(test, test_iommu(test, space - 1, false), &td);
	td.last = space - 1;
	large = list_alloc(test, &td, pool_create(test, td.granule));
	more = list_alloc(test, &td, pool_create(test, td.granule));
	list_make_granules(large, ENTRIES, 1);
	list_make_granules(more, 2, 2);
	for (i = 0; i < fit; i++) {
		lists[i] = list_alloc(test, &td, pool_create(test, td.granule));
		list_make_granules(lists[i], 2, 2);
		KUNIT_ASSERT_TRUE(test, list_map(lists[i], i & 1, i & 2,
						 "filling"));
	}
	expect_no_room(more, true, true);
	expect_no_room(more, false, true);

	for (i = 0; i < fit; i += 2) {
		list_use(lists[i]);
		list_unmap(lists[i]);
	}
	/* Holes of 4, and what was never had: no room for 8 */
	expect_no_room(large, true, true);
	expect_no_room(large, false, true);
	/* This time with a message, which kunit.sh looks for */
	expect_no_room(large, false, false);

	/* What waits for its flush is room: the pieces fit again. */
	for (i = 0; i < fit; i += 2)
		KUNIT_ASSERT_TRUE(test, list_map(lists[i], true, i & 2,
						 "filling holes"));
	for (i = 0; i < fit; i++) {
		list_use(lists[i]);
		list_unmap(lists[i]);
		list_free(lists[i]);
	}
	KUNIT_ASSERT_TRUE(test, list_map(large, true, false, "all is free"));
	list_use(large);
	list_unmap(large);
	list_free(large);
	list_free(more);
	test_device_settled(test, &td, 0);
}

/*
 * Bad input.
 */

static void expect_refused(struct kunit *test, struct device *dev,
			   struct sg_table *sgt, bool contiguous, int error,
			   const char *what)
{
	struct scatterlist *before;
	int ret;

	before = kunit_kmalloc_array(test, sgt->orig_nents, sizeof(*before),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	sgt_remember(sgt, before);
	ret = sgt_map(dev, sgt, DMA_TO_DEVICE, contiguous, false);
	KUNIT_EXPECT_EQ_MSG(test, error, ret, "%s", what);
	if (!ret)
		dma_unmap_sgtable(dev, sgt, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_TRUE_MSG(test, sgt_is_as_before(sgt, before), "%s", what);
	kunit_kfree(test, before);
}

/* Of three good entries, one after the other becomes a bad one. */
static void list_bad_entry(struct kunit *test)
{
	const struct span spans[] = { { 0, 512 }, { 512, 512 }, { 0, 1024 } };
	struct scatterlist *sg, good;
	struct test_device td;
	struct list *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	list_make(list, spans, ARRAY_SIZE(spans), DMA_TO_DEVICE);
	for_each_sgtable_sg(&list->sgt, sg, i) {
		good = *sg;
		sg->length = 0;
		expect_refused(test, td.dev, &list->sgt, false, -EINVAL,
			       "no bytes");
		expect_refused(test, td.dev, &list->sgt, true, -EINVAL,
			       "no bytes, contiguous");
		*sg = good;
		sg_assign_page(sg, NULL);
		expect_refused(test, td.dev, &list->sgt, false, -EINVAL,
			       "no page");
		expect_refused(test, td.dev, &list->sgt, true, -EINVAL,
			       "no page, contiguous");
		*sg = good;
	}
	sgt_remember(&list->sgt, list->before);
	KUNIT_EXPECT_EQ(test, 0, dma_map_sg(td.dev, list->sgt.sgl, 0,
					    DMA_TO_DEVICE));
	KUNIT_EXPECT_TRUE(test, sgt_is_as_before(&list->sgt, list->before));
	KUNIT_ASSERT_TRUE(test, list_map(list, true, false, "good again"));
	list_use(list);
	list_unmap(list);
	list_free(list);
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
		entry_set(sg, virt_to_page(memory), len, 0);
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
	u64 space = (u64)512 << env->granule_lg2;
	struct test_device td, wide;
	struct sg_table sgt;
	struct pool *pool;
	unsigned int i;

	test_device_init(test, test_iommu(test, space - 1, false), &td);
	test_device_init(test, test_iommu(test, 0, false), &wide);
	pool = pool_create(test, td.granule);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		sgt_make_huge(test, &sgt, rows[i].count, rows[i].len,
			      pool->blocks[0]);
		expect_refused(test, td.dev, &sgt, false, -ENOMEM,
			       rows[i].what);
		expect_refused(test, td.dev, &sgt, true, -EINVAL,
			       rows[i].what);
		/* Here there is room, but no segment can say how large it is. */
		expect_refused(test, wide.dev, &sgt, true, -EINVAL,
			       rows[i].what);
		sg_free_table(&sgt);
	}
	test_device_settled(test, &td, 0);
	test_device_settled(test, &wide, 0);
}

/* What dma_max_contiguous_size() says can be had; a byte more cannot. */
static void largest_run(struct list *list, size_t size, const char *what)
{
	size_t block = list->pool->size;
	unsigned int count = DIV_ROUND_UP(size, block), i;
	struct span spans[ENTRIES + 1];
	struct kunit *test = list->test;

	KUNIT_ASSERT_LT(test, count, ENTRIES);
	for (i = 0; i < count; i++)
		spans[i] = (struct span) { 0, min(size - i * block, block) };
	list_make(list, spans, count, DMA_BIDIRECTIONAL);
	if (list_map(list, true, size / list->td->granule & 1, what)) {
		list_use(list);
		list_unmap(list);
	}
	list_free(list);
	spans[count] = (struct span) { 0, 1 };
	list_make(list, spans, count + 1, DMA_BIDIRECTIONAL);
	expect_refused(test, list->td->dev, &list->sgt, true, -EINVAL, what);
	list_free(list);
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
	struct list *list;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* A guard takes of so few granules, too. */
		if (guard && (rows[i].limits.mask || rows[i].limits.bus))
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
	static const struct span rows[][3] = {
		{ { 0, 20 }, { 0, 20 }, { 0, 20 } },
		{ { 100, 1 }, { 200, 3 }, { 300, 5 } },
		{ { 4000, 96 }, { 0, 4096 }, { 0, 17 } },
		{ { 4088, 16 }, { 8, 4096 }, { 4095, 2 } },
	};
	struct test_device td;
	struct list *list;
	unsigned int i, j;

	test_device_init(test, test_iommu(test, 0, false), &td);
	list = list_alloc(test, &td, pool_create(test, td.granule));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < 2 * ARRAY_SIZE(dirs); j++) {
			list_make(list, rows[i], ARRAY_SIZE(rows[i]),
				  dirs[j / 2]);
			if (list_map(list, j & 1, j & 2, "small")) {
				list_use(list);
				list_unmap(list);
			}
			list_free(list);
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
	return 800 >> (3 * (ilog2(td->granule) - 12) / 4);
}

static void random_limits(struct test_device *td, struct rnd_state *rnd)
{
	struct test_limits limits = {};

	if (prandom_u32_state(rnd) & 1)
		limits.max_segment = 2 + prandom_u32_state(rnd) % 10;
	if (prandom_u32_state(rnd) & 1)
		limits.boundary = 1 << prandom_u32_state(rnd) % 6;
	if (prandom_u32_state(rnd) & 1)
		limits.unit = 1 << prandom_u32_state(rnd) % 5;
	else
		limits.min_align_mask = (1 << prandom_u32_state(rnd) % 13) - 1;
	if (prandom_u32_state(rnd) & 1)
		limits.mask = 12 + prandom_u32_state(rnd) % 20;
	if (prandom_u32_state(rnd) & 1)
		limits.bus = 12 + prandom_u32_state(rnd) % 20;
	test_device_limit(td, &limits);
}

static void random_list(struct list *list, struct rnd_state *rnd)
{
	unsigned int count = 1 + prandom_u32_state(rnd) % ENTRIES, i;
	size_t size = list->pool->size, granule = list->td->granule;
	u32 how = prandom_u32_state(rnd);
	struct span spans[ENTRIES];

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
	list_make(list, spans, count,
		  dirs[prandom_u32_state(rnd) % ARRAY_SIZE(dirs)]);
}

static void list_random(struct kunit *test)
{
	struct mock_iommu *mock = test_iommu(test, 0, true);
	struct test_device devices[DEVICES];
	bool mapped[DEVICES] = {};
	struct list *lists[DEVICES];
	unsigned int i, round, rounds, count = 0;
	unsigned long live = 0;
	struct rnd_state rnd;
	u32 seed = 20151103;

	kunit_info(test, "seed %u\n", seed);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < DEVICES; i++) {
		test_device_init(test, mock, &devices[i]);
		lists[i] = list_alloc(test, &devices[i],
				      pool_create(test, devices[i].granule));
		lists[i]->seed = seed + i;
	}
	rounds = random_rounds(&devices[0]);
	for (round = 0; round < rounds && test->status == KUNIT_SUCCESS; round++) {
		i = prandom_u32_state(&rnd) % DEVICES;
		if (mapped[i]) {
			list_use(lists[i]);
			list_unmap(lists[i]);
			list_free(lists[i]);
			live -= lists[i]->granules;
			mapped[i] = false;
		} else {
			random_limits(&devices[i], &rnd);
			random_list(lists[i], &rnd);
			if (list_is_absurd(lists[i]) ||
			    !list_map(lists[i], prandom_u32_state(&rnd) & 1,
				      prandom_u32_state(&rnd) & 1, "random")) {
				list_free(lists[i]);
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
	if (test->status != KUNIT_SUCCESS)
		kunit_err(test, "round %u of seed %u\n", round, seed);
	for (i = 0; i < DEVICES; i++) {
		if (!mapped[i])
			continue;
		list_use(lists[i]);
		list_unmap(lists[i]);
		list_free(lists[i]);
	}
	KUNIT_EXPECT_GE(test, count, rounds / 5);
	test_device_settled(test, &devices[0], 0);
}

/*
 * Without an IOMMU.
 */

/* Three entries that are one piece of memory, cut inside of pages */
static void sgt_make_cut(struct kunit *test, struct sg_table *sgt, u8 *memory,
			 size_t size)
{
	const size_t cuts[] = { 0, 100, PAGE_SIZE + 1000, size };
	struct scatterlist *sg;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, 0, sg_alloc_table(sgt, 3, GFP_KERNEL));
	for_each_sgtable_sg(sgt, sg, i)
		entry_set(sg, virt_to_page(memory + cuts[i]),
			  cuts[i + 1] - cuts[i],
			  offset_in_page(memory + cuts[i]));
}

static void plain_run(struct kunit *test, bool coherent)
{
	const size_t size = 3 * PAGE_SIZE;
	struct device *dev = mock_plain_device(test, coherent);
	struct pool *pool = pool_create(test, 2 * PAGE_SIZE);
	u8 *memory = pool->blocks[0];
	struct sg_table sgt;
	unsigned int i;

	for (i = 0; i < 2 * ARRAY_SIZE(dirs); i++) {
		memset(memory, NEIGHBOUR_THEN, pool->size);
		sgt_make_cut(test, &sgt, memory, size);
		KUNIT_ASSERT_EQ(test, 0, sgt_map(dev, &sgt, dirs[i / 2], true,
						 i & 1));
		KUNIT_EXPECT_EQ(test, 1, sgt.nents);
		KUNIT_EXPECT_EQ(test, size, sg_dma_len(sgt.sgl));
		KUNIT_EXPECT_EQ(test, phys_to_dma(dev, virt_to_phys(memory)),
				sg_dma_address(sgt.sgl));
		KUNIT_EXPECT_EQ(test, 0, sg_dma_len(sg_next(sgt.sgl)));
		dma_sync_sgtable_for_cpu(dev, &sgt, dirs[i / 2]);
		dma_sync_sgtable_for_device(dev, &sgt, dirs[i / 2]);
		dma_unmap_sgtable(dev, &sgt, dirs[i / 2], 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(memory, NEIGHBOUR_THEN,
						   pool->size));
		sg_free_table(&sgt);
	}
}

static void plain_contiguous(struct kunit *test)
{
	plain_run(test, true);
	plain_run(test, false);
}

static void plain_refused(struct kunit *test)
{
	struct device *dev = mock_plain_device(test, true);
	struct pool *pool = pool_create(test, 2 * PAGE_SIZE);
	struct scatterlist *sg, good;
	struct sg_table sgt;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, SZ_64K, dma_max_contiguous_size(dev));
	sgt_make_cut(test, &sgt, pool->blocks[0], 3 * PAGE_SIZE);
	for_each_sgtable_sg(&sgt, sg, i) {
		good = *sg;
		sg_assign_page(sg, virt_to_page(pool->blocks[1]));
		expect_refused(test, dev, &sgt, true, -EINVAL,
			       "not contiguous");
		*sg = good;
		sg->length--;
		if (i < 2)
			expect_refused(test, dev, &sgt, true, -EINVAL,
				       "a byte is missing");
		*sg = good;
		sg->length = 0;
		expect_refused(test, dev, &sgt, true, -EINVAL, "no bytes");
		*sg = good;
		sg_assign_page(sg, NULL);
		expect_refused(test, dev, &sgt, true, -EINVAL, "no page");
		*sg = good;
	}
	dma_set_max_seg_size(dev, 3 * PAGE_SIZE - 1);
	KUNIT_EXPECT_EQ(test, 3 * PAGE_SIZE - 1, dma_max_contiguous_size(dev));
	expect_refused(test, dev, &sgt, true, -EINVAL, "above the limit");
	dma_set_max_seg_size(dev, 3 * PAGE_SIZE);
	dma_set_seg_boundary(dev, PAGE_SIZE - 1);
	KUNIT_EXPECT_EQ(test, PAGE_SIZE, dma_max_contiguous_size(dev));
	expect_refused(test, dev, &sgt, true, -EINVAL, "across a boundary");
	dma_set_seg_boundary(dev, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, 0, sgt_map(dev, &sgt, DMA_TO_DEVICE, true, true));
	KUNIT_EXPECT_EQ(test, 1, sgt.nents);
	dma_unmap_sgtable(dev, &sgt, DMA_TO_DEVICE, 0);
	sg_free_table(&sgt);
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
	KUNIT_CASE(plain_contiguous),
	KUNIT_CASE(plain_refused),
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
