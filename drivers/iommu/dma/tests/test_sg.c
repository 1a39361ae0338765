// SPDX-License-Identifier: GPL-2.0
/*
 * Scatterlists for the KUnit suites.
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
#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "test_sg.h"

/* What is next to entries, bytes, before and after a list has been mapped */
#define NEIGHBOUR	512
#define NEIGHBOUR_THEN	0xa5
#define NEIGHBOUR_NOW	0x5a

static bool device_reads(const struct test_sg *list)
{
	return list->dir != DMA_FROM_DEVICE;
}

static bool device_writes(const struct test_sg *list)
{
	return list->dir != DMA_TO_DEVICE;
}

/*
 * Memory.
 */

static void pool_free(void *data)
{
	const struct test_pool *pool = data;
	unsigned int i;

	for (i = 0; i < TEST_ENTRIES; i++)
		free_pages((unsigned long)pool->blocks[i],
			   get_order(pool->size));
}

/**
 * test_pool_create - memory for a list, until the end of the test
 * @test: the test; fails and ends if there is none
 * @granule: bytes
 *
 * Context: Process; may sleep.
 * Return: the memory.
 */
struct test_pool *test_pool_create(struct kunit *test, size_t granule)
{
	struct test_pool *pool = kunit_kzalloc(test, sizeof(*pool), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, pool);
	pool->size = TEST_BLOCK * granule;
	for (i = 0; i < TEST_ENTRIES; i++)
		pool->blocks[i] = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO,
							 get_order(pool->size));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, pool_free, pool));
	for (i = 0; i < TEST_ENTRIES; i++)
		KUNIT_ASSERT_NOT_NULL(test, pool->blocks[i]);
	return pool;
}

static u8 *entry_memory(const struct test_sg *list, unsigned int i)
{
	return list->pool->blocks[i] + list->spans[i].offset;
}

/* Memory to @buf or from it */
static void list_copy(const struct test_sg *list, u8 *buf, bool to_memory)
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

static bool list_memory_is_model(struct test_sg *list)
{
	list_copy(list, list->bytes, false);
	return !memcmp(list->bytes, list->model, list->total);
}

/* What of the block before entry @i is its neighbour, and what is behind it */
static struct test_span neighbour(const struct test_sg *list, unsigned int i,
				  bool behind)
{
	unsigned int offset = list->spans[i].offset, len;
	unsigned int end = offset + list->spans[i].len;

	len = min_t(size_t, NEIGHBOUR,
		    behind ? list->pool->size - end : offset);
	return (struct test_span) { behind ? end : offset - len, len };
}

static void neighbours_set(const struct test_sg *list, u8 value)
{
	struct test_span span;
	unsigned int i;

	for (i = 0; i < 2 * list->sgt.orig_nents; i++) {
		span = neighbour(list, i / 2, i & 1);
		memset(list->pool->blocks[i / 2] + span.offset, value,
		       span.len);
	}
}

static bool neighbours_are(const struct test_sg *list, u8 value)
{
	struct test_span span;
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

/* Whether the list is as @copies, but that no entry has a DMA address */
static bool sgt_is_cleared(const struct sg_table *sgt,
			   const struct scatterlist *copies)
{
	struct scatterlist *sg, cleared;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i) {
		cleared = copies[i];
		sg_dma_address(&cleared) = DMA_MAPPING_ERROR;
		sg_dma_len(&cleared) = 0;
		if (memcmp(sg, &cleared, sizeof(*sg)))
			return false;
	}
	return true;
}

/**
 * test_entry_set - make an entry, with a DMA address that nobody is to see
 * @sg: the entry
 * @page: its first page
 * @len: bytes
 * @offset: of the first in @page
 *
 * Context: Any.
 */
void test_entry_set(struct scatterlist *sg, struct page *page, unsigned int len,
		    unsigned int offset)
{
	sg_set_page(sg, page, len, offset);
	sg_dma_address(sg) = 0x123456789abcULL + len;
	sg_dma_len(sg) = 77;
}

/**
 * test_entry_is_cleared - whether an entry has no DMA address
 * @sg: the entry
 *
 * Context: Any.
 * Return: whether it is as in a list that could not be mapped.
 */
bool test_entry_is_cleared(struct scatterlist *sg)
{
	return sg_dma_address(sg) == DMA_MAPPING_ERROR && !sg_dma_len(sg) &&
	       !sg_dma_is_bus_address(sg);
}

/**
 * test_sg_alloc - room and memory for a list, until the end of the test
 * @test: the test; fails and ends if there is none
 * @td: device
 *
 * Context: Process; may sleep.
 * Return: the list, not made yet.
 */
struct test_sg *test_sg_alloc(struct kunit *test, const struct test_device *td)
{
	struct test_sg *list = kunit_kzalloc(test, sizeof(*list), GFP_KERNEL);
	size_t size = TEST_ENTRIES * TEST_BLOCK * td->granule;

	KUNIT_ASSERT_NOT_NULL(test, list);
	list->test = test;
	list->td = td;
	list->pool = test_pool_create(test, td->granule);
	list->model = kunit_kmalloc(test, size, GFP_KERNEL);
	list->bytes = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, list->model);
	KUNIT_ASSERT_NOT_NULL(test, list->bytes);
	return list;
}

/**
 * test_sg_make - make a list, with noise in it
 * @list: the list; not made, or freed
 * @spans: its entries, each in a block of its own
 * @count: how many
 * @dir: direction of the transfer
 *
 * Context: Process; may sleep.
 */
void test_sg_make(struct test_sg *list, const struct test_span *spans,
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
		test_entry_set(sg, virt_to_page(memory), spans[i].len,
			       offset_in_page(memory));
		list->total += spans[i].len;
	}
	test_fill(list->model, list->total, &list->seed);
	list_copy(list, list->model, true);
	neighbours_set(list, NEIGHBOUR_THEN);
	sgt_remember(&list->sgt, list->before);
}

/**
 * test_sg_free - undo test_sg_make()
 * @list: the list; not mapped
 *
 * Context: Any.
 */
void test_sg_free(struct test_sg *list)
{
	sg_free_table(&list->sgt);
}

/**
 * test_sgt_map - map a list
 * @dev: device
 * @sgt: the list
 * @dir: direction of the transfer
 * @how: whether it is to be one segment
 *
 * Context: Any.
 * Return: what the DMA API does.
 */
int test_sgt_map(struct device *dev, struct sg_table *sgt,
		 enum dma_data_direction dir, enum test_sg_how how)
{
	int ret;

	if (how == TEST_SG_AS_IS)
		return dma_map_sgtable(dev, sgt, dir, DMA_ATTR_NO_WARN);
	if (how == TEST_SG_CONTIGUOUS)
		return dma_map_sgtable_contiguous(dev, sgt, dir,
						  DMA_ATTR_NO_WARN);
	dma_set_contiguous(dev, true);
	ret = dma_map_sgtable(dev, sgt, dir, DMA_ATTR_NO_WARN);
	dma_set_contiguous(dev, false);
	return ret;
}

/**
 * test_sg_is_cleared - whether a list has no DMA address, and its memory is as made
 * @list: a list that could not be mapped
 *
 * Context: Any.
 * Return: whether they are.
 */
bool test_sg_is_cleared(struct test_sg *list)
{
	return sgt_is_cleared(&list->sgt, list->before) &&
	       list_memory_is_model(list) &&
	       neighbours_are(list, NEIGHBOUR_THEN);
}

/* Whether the list can be one segment, by what the device can do */
static bool list_can_be_one(const struct test_sg *list)
{
	const struct test_device *td = list->td;
	unsigned int i = 0;
	u64 first;

	while (!list->spans[i].len)
		i++;
	first = (td->min_align - 1) & virt_to_phys(entry_memory(list, i));
	if (list->total > td->max_segment)
		return false;
	/* At the minimum alignment, or at a boundary if that is further apart */
	return !test_device_crosses(td, first, list->total);
}

/**
 * test_sg_is_absurd - whether an entry is by itself more than a device can do
 * @list: the list
 *
 * The driver's choice, and nothing that the DMA API could help; its debugging
 * would complain.
 *
 * Context: Any.
 * Return: whether one is.
 */
bool test_sg_is_absurd(const struct test_sg *list)
{
	const struct test_device *td = list->td;
	unsigned int i;
	u64 first;

	for (i = 0; i < list->sgt.orig_nents; i++) {
		first = (td->min_align - 1) & virt_to_phys(entry_memory(list, i));
		if (list->spans[i].len > td->max_segment ||
		    test_device_crosses(td, first, list->spans[i].len))
			return true;
	}
	return false;
}

/* Whether the ends of entry @i are bounced */
static bool entry_bounces(const struct test_sg *list, unsigned int i)
{
	return dma_kmalloc_needs_bounce(list->td->dev, list->spans[i].len,
					list->dir);
}

/*
 * Mapped lists.
 */

/* Move @len bytes at @pos of the list, as the device does. */
static int list_access(struct test_sg *list, size_t pos, u8 *buf, size_t len,
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
		ret = write ? mock_iommu_write(dev, sg_dma_address(sg) + pos,
					       buf, part) :
			      mock_iommu_read(dev, sg_dma_address(sg) + pos,
					      buf, part);
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

static void expect_device_sees_model(struct test_sg *list)
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
static void device_write(struct test_sg *list, size_t pos, size_t len)
{
	test_fill(list->model + pos, len, &list->seed);
	KUNIT_EXPECT_EQ(list->test, 0,
			list_access(list, pos, list->model + pos, len, true));
}

static void expect_memory_is_model(struct test_sg *list, const char *when)
{
	KUNIT_EXPECT_TRUE_MSG(list->test, list_memory_is_model(list),
			      "%s: memory is something else", when);
	KUNIT_EXPECT_TRUE_MSG(list->test, neighbours_are(list, NEIGHBOUR_NOW),
			      "%s: what is next to an entry has changed", when);
}

/* A segment is within the limits, and keeps its first entry's offset. */
static void expect_segment(struct test_sg *list, struct scatterlist *segment,
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

static unsigned long segment_granules(const struct test_sg *list,
				      struct scatterlist *sg)
{
	size_t granule = list->td->granule;

	return (ALIGN(sg_dma_address(sg) + sg_dma_len(sg), granule) -
		ALIGN_DOWN(sg_dma_address(sg), granule)) / granule;
}

static struct scatterlist *skip_empty(struct scatterlist *entry,
				      unsigned int *entries)
{
	for (; entry && !entry->length; entry = sg_next(entry))
		++*entries;
	return entry;
}

/* Which memory's offset a segment has that begins with an entry */
static phys_addr_t segment_place(const struct test_sg *list,
				 struct scatterlist *entry, bool contiguous)
{
	struct scatterlist *next = sg_next(entry);
	phys_addr_t phys = sg_phys(entry);

	while (next && !next->length)
		next = sg_next(next);

	/* What meets the next entry at a granule has to be where it is for that. */
	if (contiguous || (next &&
			   IS_ALIGNED((phys + entry->length) | sg_phys(next),
				      list->td->granule)))
		return phys;
	return test_device_place(list->td, phys, entry->length, list->dir);
}

/* All segments, each of whole entries */
static void expect_segments(struct test_sg *list, bool contiguous)
{
	struct scatterlist *segment, *entry = list->sgt.sgl;
	unsigned int entries = 0, of_it;
	u64 bytes;
	int i;

	list->granules = 0;
	for_each_sgtable_dma_sg(&list->sgt, segment, i) {
		phys_addr_t phys;

		entry = skip_empty(entry, &entries);
		phys = entry ? segment_place(list, entry, contiguous) : 0;
		for (bytes = 0, of_it = 0; entry &&
		     bytes < sg_dma_len(segment); entry = sg_next(entry)) {
			bytes += entry->length;
			if (entry->length)
				of_it++;
			else
				entries++;
		}
		entries += of_it;
		KUNIT_EXPECT_EQ(list->test, bytes, sg_dma_len(segment));
		KUNIT_EXPECT_FALSE(list->test, sg_dma_is_bus_address(segment));
		expect_segment(list, segment, phys, of_it == 1);
		list->granules += segment_granules(list, segment);
	}
	skip_empty(entry, &entries);
	KUNIT_EXPECT_EQ(list->test, list->sgt.orig_nents, entries);
	/* Drivers go on to the first without bytes. */
	if (list->sgt.nents < list->sgt.orig_nents)
		KUNIT_EXPECT_EQ(list->test, 0, sg_dma_len(segment));
}

/*
 * Granules that are one entry's alone are its memory; others, and of an entry
 * that bounces all that are not whole, are not anybody's.
 */
static void expect_granule(struct test_sg *list, dma_addr_t addr,
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
				    "a granule that needs no bounce is one");
		return;
	}
	for (i = 0; i < list->sgt.orig_nents; i++) {
		start = virt_to_phys(list->pool->blocks[i]);
		KUNIT_EXPECT_FALSE_MSG(list->test, got >= start &&
				       got < start + list->pool->size,
				       "a granule that needs a bounce is memory");
	}
}

static void expect_granules(struct test_sg *list)
{
	struct scatterlist *sg = list->sgt.sgl, *entry;
	dma_addr_t addr = sg_dma_address(sg), begin = addr, end, granule;
	dma_addr_t last = addr + list->total - 1, low, high;
	size_t size = list->td->granule;
	bool own;
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
			if (entry_bounces(list, i) && high - low + 1 < size)
				own = false;
			low = max(low, begin);
			expect_granule(list, low, sg_phys(entry) + low - begin,
				       own);
		}
		begin = end;
	}
}

/* Next to an end that bounces, the device sees nothing. */
static void expect_nothing_before(struct test_sg *list)
{
	size_t granule = list->td->granule, size;
	dma_addr_t addr = sg_dma_address(list->sgt.sgl);

	size = addr & (granule - 1);
	KUNIT_EXPECT_EQ(list->test, 0,
			mock_iommu_read(list->td->dev, addr - size,
					list->bytes, size));
	KUNIT_EXPECT_NULL(list->test, memchr_inv(list->bytes, 0, size));
}

static void expect_nothing_behind(struct test_sg *list)
{
	size_t granule = list->td->granule, size;
	struct scatterlist *sg = list->sgt.sgl;
	dma_addr_t addr = sg_dma_address(sg) + sg_dma_len(sg);

	size = -addr & (granule - 1);
	KUNIT_EXPECT_EQ(list->test, 0,
			mock_iommu_read(list->td->dev, addr, list->bytes,
					size));
	KUNIT_EXPECT_NULL(list->test, memchr_inv(list->bytes, 0, size));
}

/**
 * test_sg_map - map a list, expect all that is to be expected
 * @list: the list
 * @how: as in test_sgt_map()
 * @what: to be printed
 *
 * Context: Process; may sleep.
 * Return: whether it is mapped.
 */
bool test_sg_map(struct test_sg *list, enum test_sg_how how, const char *what)
{
	bool contiguous = how != TEST_SG_AS_IS;
	struct device *dev = list->td->dev;
	unsigned long mapped = mock_iommu_counts(dev).mapped;
	int want = contiguous && !list_can_be_one(list) ? -EINVAL : 0;
	int ret;

	ret = test_sgt_map(dev, &list->sgt, list->dir, how);
	KUNIT_EXPECT_EQ_MSG(list->test, want, ret, "%s%s", what,
			    contiguous ? ", contiguous" : "");
	if (ret) {
		KUNIT_EXPECT_TRUE_MSG(list->test, test_sg_is_cleared(list),
				      "%s: the list is not cleared", what);
		KUNIT_EXPECT_EQ(list->test, mapped,
				mock_iommu_counts(dev).mapped);
		return false;
	}
	neighbours_set(list, NEIGHBOUR_NOW);
	expect_segments(list, contiguous);
	if (contiguous) {
		KUNIT_EXPECT_EQ_MSG(list->test, 1, list->sgt.nents,
				    "%s: not one segment", what);
		expect_granules(list);
		if (entry_bounces(list, 0) && device_reads(list))
			expect_nothing_before(list);
		if (entry_bounces(list, list->sgt.orig_nents - 1) &&
		    device_reads(list))
			expect_nothing_behind(list);
	}
	KUNIT_EXPECT_EQ(list->test, mapped + list->granules,
			mock_iommu_counts(dev).mapped);
	return true;
}

/**
 * test_sg_unmap - unmap a list, expect all that is to be expected
 * @list: the list
 *
 * Context: Process; may sleep.
 */
void test_sg_unmap(struct test_sg *list)
{
	struct device *dev = list->td->dev;
	unsigned long mapped = mock_iommu_counts(dev).mapped;

	dma_unmap_sgtable(dev, &list->sgt, list->dir, 0);
	KUNIT_EXPECT_EQ(list->test, mapped - list->granules,
			mock_iommu_counts(dev).mapped);
	expect_memory_is_model(list, "after unmap");
}

/* Part of a list that is one segment is synced, and it alone. */
static void use_part(struct test_sg *list, size_t offset, size_t len)
{
	dma_addr_t addr = sg_dma_address(list->sgt.sgl) + offset;
	struct device *dev = list->td->dev;

	device_write(list, offset, len);
	dma_sync_single_for_cpu(dev, addr, len, list->dir);
	expect_memory_is_model(list, "a part synced for the CPU");
	dma_sync_single_for_device(dev, addr, len, list->dir);
}

/**
 * test_sg_use - do what a device and its driver do with a list
 * @list: the list, mapped
 *
 * Context: Process; may sleep.
 */
void test_sg_use(struct test_sg *list)
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
		if (list->sgt.nents == 1 && some)
			use_part(list, some, some);
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

/**
 * test_sgt_refused - expect that a list is refused
 * @test: the test
 * @dev: device
 * @sgt: the list
 * @how: as in test_sgt_map()
 * @error: the error
 * @what: to be printed
 *
 * Behind an IOMMU it has no DMA address then; otherwise it stays as it is.
 *
 * Context: Process; may sleep.
 */
void test_sgt_refused(struct kunit *test, struct device *dev,
		      struct sg_table *sgt, enum test_sg_how how, int error,
		      const char *what)
{
	struct scatterlist *before;
	int ret;

	before = kunit_kmalloc_array(test, sgt->orig_nents, sizeof(*before),
				     GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	sgt_remember(sgt, before);
	ret = test_sgt_map(dev, sgt, DMA_TO_DEVICE, how);
	KUNIT_EXPECT_EQ_MSG(test, error, ret, "%s", what);
	if (!ret)
		dma_unmap_sgtable(dev, sgt, DMA_TO_DEVICE, 0);
	KUNIT_EXPECT_TRUE_MSG(test, use_dma_iommu(dev) ?
				    sgt_is_cleared(sgt, before) :
				    sgt_is_as_before(sgt, before), "%s", what);
	kunit_kfree(test, before);
}
