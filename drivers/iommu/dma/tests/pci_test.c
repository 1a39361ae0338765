// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of what only PCI devices have: bridges with windows, firmware that
 * does not trust them, and masks that promise more than is true.
 *
 * The device is one as far as the layer looks at it, with the IOMMU of a mock
 * device; no driver and no bus ever see it.
 */

#include <linux/delay.h>
#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/memremap.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "../../dma-iommu.h"
#include "../domain.h"
#include "test_mapping.h"

/* What is next to a buffer, and in it */
#define FILL	0xa5

/**
 * struct fake_pci - a device and its host bridge
 * @td: as other suites know it
 * @lender: the device that the IOMMU knows
 * @pdev: the device
 * @bus: the bus that it is on
 * @bridge: what leads there
 */
struct fake_pci {
	struct test_device td;
	struct device *lender;
	struct pci_dev pdev;
	struct pci_bus bus;
	struct pci_host_bridge bridge;
};

static struct fake_pci *pci_create(struct kunit *test, struct mock_iommu *mock)
{
	struct fake_pci *pci = kunit_kzalloc(test, sizeof(*pci), GFP_KERNEL);
	struct device *dev;

	KUNIT_ASSERT_NOT_NULL(test, pci);
	test_device_init(test, mock, &pci->td);
	INIT_LIST_HEAD(&pci->bridge.windows);
	INIT_LIST_HEAD(&pci->bridge.dma_ranges);
	pci->bus.bridge = &pci->bridge.dev;
	pci->pdev.bus = &pci->bus;
	pci->pdev.dma_mask = DMA_BIT_MASK(64);
	pci->lender = pci->td.dev;
	dev = &pci->pdev.dev;
	*dev = (struct device) {
		.bus = &pci_bus_type,
		.init_name = "fake_pci",
		.dma_mask = &pci->pdev.dma_mask,
		.coherent_dma_mask = DMA_BIT_MASK(64),
		.dma_parms = &pci->pdev.dma_parms,
		.iommu = pci->lender->iommu,
		.iommu_group = pci->lender->iommu_group,
		.dma_iommu = true,
	};
	set_dev_node(dev, NUMA_NO_NODE);
#ifdef CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE
	dev->dma_coherent = pci->lender->dma_coherent;
#endif
	pci->td.dev = dev;
	test_device_set(&pci->td);
	return pci;
}

static void window_add(struct kunit *test, struct list_head *list,
		       unsigned long flags, u64 first, u64 last, u64 offset)
{
	struct resource *res = kunit_kzalloc(test, sizeof(*res), GFP_KERNEL);
	struct resource_entry *entry = kunit_kzalloc(test, sizeof(*entry),
						     GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, res);
	KUNIT_ASSERT_NOT_NULL(test, entry);
	res->start = first + offset;
	res->end = last + offset;
	res->flags = flags;
	entry->res = res;
	entry->offset = offset;
	list_add_tail(&entry->node, list);
}

static dma_addr_t granule_map(const struct test_device *td)
{
	return iommu_dma_ops.map_resource(td->dev, BIT_ULL(43), td->granule,
					  DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
}

/* Behind an IOMMU with so many granules */
static struct fake_pci *pci_create_small(struct kunit *test, u64 granules)
{
	const struct test_env *env = test->param_value;
	u64 granule = BIT(env->granule_shift);
	struct mock_iommu_options options = {
		.pgsizes = granule,
		.aperture_last = granules * granule - 1,
		.deferred = env->deferred,
	};

	return pci_create(test, mock_iommu_create(test, &options));
}

/*
 * Registers at granules 32 to 39, seen by the CPU elsewhere; and the host bridge
 * lets 100 to 199 and 20 to 59 through, in no order, and perhaps all from 220 on.
 */
static void windows_run(struct kunit *test, bool to_the_top)
{
	struct fake_pci *pci = pci_create_small(test, 256);
	u64 g = pci->td.granule;
	struct iommu_domain *domain = iommu_get_domain_for_dev(pci->td.dev);
	struct list_head *windows = &pci->bridge.windows;
	struct list_head *ranges = &pci->bridge.dma_ranges;
	unsigned int count = 0, want = 8 + 20 + 100;
	dma_addr_t addr;
	u64 n;

	window_add(test, windows, IORESOURCE_IO, 100 * g, 110 * g - 1, 0);
	window_add(test, windows, IORESOURCE_MEM, 32 * g, 40 * g - 1, SZ_1G);
	window_add(test, ranges, IORESOURCE_MEM, 100 * g, 200 * g - 1, SZ_1M);
	window_add(test, ranges, IORESOURCE_MEM, 20 * g, 60 * g - 1, 0);
	if (to_the_top) {
		window_add(test, ranges, IORESOURCE_MEM, 220 * g, U64_MAX, 0);
		want += 36;
	}
	want += 4;
	KUNIT_ASSERT_EQ(test, 0, iommu_dma_init_domain(pci->td.dev, domain));
	while ((addr = granule_map(&pci->td)) != DMA_MAPPING_ERROR) {
		n = addr / g;
		KUNIT_EXPECT_TRUE_MSG(test, (n >= 20 && n < 32) ||
				      (n >= 40 && n < 60) ||
				      (n >= 100 && n < 200) ||
				      (to_the_top && n >= 220),
				      "granule %llu", n);
		KUNIT_ASSERT_LT(test, count++, 256);
	}
	/* Guards do not fit as well as what they guard. */
	if (!test_guard)
		KUNIT_EXPECT_EQ(test, want, count);
	KUNIT_EXPECT_GE(test, count, 10);
}

static void windows(struct kunit *test)
{
	windows_run(test, false);
	windows_run(test, true);
}

/* Of the granules of a mapping's ends, all but the mapping reads as zeroes. */
static void expect_alone(struct kunit *test, struct test_mapping *m, u8 *bytes)
{
	size_t granule = m->td->granule, part;
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges);
	dma_addr_t first = ALIGN_DOWN(ranges[0].addr, granule);
	dma_addr_t end = ranges[count - 1].addr + ranges[count - 1].size;

	part = ranges[0].addr - first;
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(m->td->dev, first, bytes,
						 part + 1));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes, 0, part));
	KUNIT_EXPECT_EQ(test, FILL, bytes[part]);
	part = ALIGN(end, granule) - end;
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(m->td->dev, end - 1, bytes,
						 part + 1));
	KUNIT_EXPECT_EQ(test, FILL, bytes[0]);
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes + 1, 0, part));
}

static void untrusted_run(struct kunit *test, struct test_mapping *m,
			  enum test_kind kind, size_t size, u8 *bytes)
{
	struct device *dev = m->td->dev;
	static const u8 word[4] = { 1, 2, 3, 4 };

	memset(m->memory, FILL, TEST_ROOM * m->td->granule);
	KUNIT_ASSERT_TRUE_MSG(test, test_mapping_make(m, kind,
						      DMA_BIDIRECTIONAL, 40,
						      size),
			      "%s", test_kinds[kind]);
	expect_alone(test, m, bytes);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, m->addr, word, 4));
	/* It gets there when it is handed over, and not before. */
	KUNIT_EXPECT_NULL(test, memchr_inv(m->memory, FILL, 44));
	test_mapping_sync_for_cpu(m);
	KUNIT_EXPECT_FALSE(test, memcmp(m->memory + 40, word, 4));
	KUNIT_EXPECT_NULL(test, memchr_inv(m->memory, FILL, 40));
	memset(m->memory + 40, FILL, 4);
	test_mapping_sync_for_device(m);
	expect_alone(test, m, bytes);
	/* In a granule of the mapping, beside it: nobody ever sees that. */
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, m->addr - 8, word, 4));
	test_mapping_undo(m);
	KUNIT_EXPECT_NULL(test, memchr_inv(m->memory, FILL,
					   TEST_ROOM * m->td->granule));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
}

/* What the device wrote is not lost, also if the driver has spoilt its list. */
static void untrusted_spoilt(struct kunit *test, struct test_mapping *m)
{
	struct device *dev = m->td->dev;
	size_t granule = m->td->granule;
	static const u8 word[4] = { 1, 2, 3, 4 };

	memset(m->memory, FILL, TEST_ROOM * granule);
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_LIST,
						  DMA_BIDIRECTIONAL, 40,
						  3 * granule));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, m->addr, word, 4));
	sg_dma_len(m->list.sgl) -= granule;
	iommu_dma_ops.unmap_sg(dev, m->list.sgl, m->list.orig_nents,
			       DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_FALSE(test, memcmp(m->memory + 40, word, 4));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);
}

/*
 * The same of pieces that are linked: between them nothing is copied, and what stands for
 * their ends is there for as long as the device may know it.
 */
static void untrusted_linked(struct kunit *test)
{
	struct fake_pci *pci = pci_create(test, test_iommu(test, 0));
	struct test_mapping *m = test_mapping_create(test, &pci->td);
	size_t g = pci->td.granule, size = 3 * g - 40 + 300, i;
	const struct {
		size_t offset, at, size;
	} *row, rows[] = {
		{ 0, 3 * g + 40, g - 40 },
		{ g - 40, 0, 2 * g },
		{ 3 * g - 40, 5 * g, 300 },
	};
	struct device *dev = pci->td.dev;
	static const u8 word[4] = { 1, 2, 3, 4 };
	u8 *bytes = kunit_kmalloc(test, g, GFP_KERNEL);
	struct dma_iova_state state;
	struct page *page;
	phys_addr_t phys;
	int prot;

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	pci->pdev.untrusted = true;
	memset(m->memory, FILL, m->room);
	KUNIT_ASSERT_TRUE(test, dma_iova_try_alloc(dev, &state, 40, size));
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, !i && pci->td.noncoherent ? -EOPNOTSUPP :
								  -EPERM,
				dma_iova_link(dev, &state,
					      virt_to_phys(m->memory + 40), 0,
					      100, DMA_BIDIRECTIONAL,
					      i ? DMA_ATTR_MMIO :
						  DMA_ATTR_REQUIRE_COHERENT));
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		KUNIT_ASSERT_EQ(test, 0,
				dma_iova_link(dev, &state,
					      virt_to_phys(m->memory + row->at),
					      row->offset, row->size,
					      DMA_BIDIRECTIONAL, 0));
	/* Again: those that are there stay. */
	KUNIT_EXPECT_EQ(test, -EBUSY,
			dma_iova_link(dev, &state,
				      virt_to_phys(m->memory + 6 * g + 40), 0,
				      100, DMA_BIDIRECTIONAL, 0));
	KUNIT_ASSERT_EQ(test, 0, dma_iova_sync(dev, &state, 0, size));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, state.addr - 40, bytes, 41));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes, 0, 40));
	KUNIT_EXPECT_EQ(test, FILL, bytes[40]);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, state.addr + size - 1,
						 bytes, g - 299));
	KUNIT_EXPECT_EQ(test, FILL, bytes[0]);
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes + 1, 0, g - 300));

	KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(dev, state.addr, &phys, &prot));
	KUNIT_EXPECT_NE(test, virt_to_phys(m->memory + 3 * g + 40), phys);
	page = pfn_to_page(PHYS_PFN(phys));
	get_page(page);
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		KUNIT_EXPECT_EQ(test, 0,
				mock_iommu_write(dev, state.addr + row->offset,
						 word, 4));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, state.addr - 8, word, 4));
	dma_iova_unlink(dev, &state, 0, rows[0].size, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));
	put_page(page);
	KUNIT_ASSERT_EQ(test, 0,
			dma_iova_link(dev, &state,
				      virt_to_phys(m->memory + 3 * g + 40), 0,
				      rows[0].size, DMA_BIDIRECTIONAL, 0));
	KUNIT_ASSERT_EQ(test, 0, dma_iova_sync(dev, &state, 0, rows[0].size));
	dma_iova_destroy(dev, &state, size, DMA_BIDIRECTIONAL, 0);
	for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		KUNIT_EXPECT_FALSE(test, memcmp(m->memory + row->at, word, 4));
		memset(m->memory + row->at, FILL, 4);
	}
	KUNIT_EXPECT_NULL(test, memchr_inv(m->memory, FILL, m->room));
	test_device_settled(test, &pci->td, 0);
}

static void expect_skips_sync(struct kunit *test, struct device *dev, bool want)
{
#ifdef CONFIG_DMA_NEED_SYNC
	KUNIT_EXPECT_EQ(test, want, !!dev->dma_skip_sync);
#endif
}

static void untrusted(struct kunit *test)
{
	struct fake_pci *pci = pci_create(test, test_iommu(test, 0));
	struct test_mapping *m = test_mapping_create(test, &pci->td);
	size_t granule = pci->td.granule;
	u8 *bytes = kunit_kmalloc(test, granule + 1, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	pci->pdev.untrusted = true;
	/* As long as nothing has been copied, the DMA core may skip syncs. */
	KUNIT_ASSERT_EQ(test, 0, dma_set_mask(pci->td.dev, DMA_BIT_MASK(64)));
	expect_skips_sync(test, pci->td.dev, dev_is_dma_coherent(pci->td.dev));
	untrusted_run(test, m, TEST_PAGE, 700, bytes);
	expect_skips_sync(test, pci->td.dev, false);
	untrusted_run(test, m, TEST_PAGE, granule - 40, bytes);
	untrusted_run(test, m, TEST_PAGE, 3 * granule, bytes);
	untrusted_run(test, m, TEST_LIST, 3 * granule, bytes);
	untrusted_run(test, m, TEST_CONTIGUOUS, 2 * granule + 300, bytes);
	untrusted_spoilt(test, m);
	test_device_settled(test, &pci->td, 0);
}

/* A driver goes without unmapping: its bounces go with the domain. */
static void untrusted_left(struct kunit *test)
{
	struct fake_pci *pci = pci_create_small(test, 64);
	struct test_mapping *m = test_mapping_create(test, &pci->td);
	struct page *page;
	phys_addr_t phys;
	int prot;

	pci->pdev.untrusted = true;
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE, DMA_TO_DEVICE,
						  8, 100));
	KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(pci->td.dev, m->addr, &phys,
						  &prot));
	KUNIT_EXPECT_NE(test, virt_to_phys(m->memory + 8), phys);
	page = pfn_to_page(PHYS_PFN(phys));
	get_page(page);
	mock_iommu_remove(test, pci->lender);
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(page));
	put_page(page);
}

/* What has to be copied and cannot be, and what nobody wants to have copied back */
static void untrusted_refused(struct kunit *test)
{
	struct fake_pci *pci = pci_create_small(test, 64);
	u64 g = pci->td.granule;
	struct test_mapping *m = test_mapping_create(test, &pci->td);
	struct page *page = virt_to_page(m->memory);
	static const u8 word[4] = { 1, 2, 3, 4 };
	struct device *dev = pci->td.dev;
	dma_addr_t addr;
	u8 bytes[4];

	pci->pdev.untrusted = true;
	memset(m->memory, FILL, m->room);
	/* Registers above any memory: the kernel cannot copy them. */
	addr = iommu_dma_ops.map_page(dev, page, BIT_ULL(43) + 8, 100,
				      DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR, addr);
	/* Also when it is the last of several granules */
	addr = iommu_dma_ops.map_page(dev, page, BIT_ULL(43), 2 * g + 100,
				      DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR, addr);
	addr = iommu_dma_ops.map_page(dev, page, 8, 0, DMA_TO_DEVICE,
				      DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR, addr);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_counts(dev).mapped);

	/* What the device may read is copied all the same; back it is not. */
	addr = iommu_dma_ops.map_page(dev, page, 40, 100, DMA_BIDIRECTIONAL,
				      DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, addr, bytes, 4));
	KUNIT_EXPECT_NULL(test, memchr_inv(bytes, FILL, 4));
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, addr, word, 4));
	iommu_dma_ops.unmap_page(dev, addr, 100, DMA_BIDIRECTIONAL,
				 DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_EXPECT_NULL(test, memchr_inv(m->memory, FILL, m->room));
	test_device_settled(test, &pci->td, 0);

	/* All of it can be had; and then there is no address for a bounce. */
	addr = iommu_dma_ops.map_resource(dev, BIT_ULL(43),
					  (63 - test_guard) * g, DMA_TO_DEVICE,
					  DMA_ATTR_NO_WARN);
	KUNIT_EXPECT_NE(test, addr, DMA_MAPPING_ERROR);
	KUNIT_EXPECT_FALSE(test, test_mapping_make(m, TEST_PAGE,
						   DMA_TO_DEVICE, 8, 100));
	if (addr != DMA_MAPPING_ERROR)
		iommu_dma_ops.unmap_resource(dev, addr, (63 - test_guard) * g,
					     DMA_TO_DEVICE, 0);
	test_device_settled(test, &pci->td, 0);
}

#ifdef CONFIG_ZONE_DEVICE
/**
 * struct device_pages - memory whose pages say that it is a device's
 * @page: the first
 * @count: how many
 * @flags: of each, before
 * @map: what they say
 */
struct device_pages {
	struct page *page;
	unsigned int count;
	unsigned long *flags;
	struct dev_pagemap map;
};

static void device_pages_free(void *data)
{
	struct device_pages *pages = data;
	unsigned int i;

	for (i = 0; i < pages->count; i++) {
		pages->page[i].flags = pages->flags[i];
		INIT_LIST_HEAD(&pages->page[i].lru);
	}
	free_pages_exact(page_address(pages->page), pages->count * PAGE_SIZE);
}

static struct page *device_pages(struct kunit *test, size_t size,
				 enum memory_type type)
{
	struct device_pages *pages =
		kunit_kzalloc(test, sizeof(*pages), GFP_KERNEL);
	unsigned int i;
	void *start;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	pages->count = PFN_UP(size);
	pages->flags = kunit_kcalloc(test, pages->count,
				     sizeof(*pages->flags), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages->flags);
	start = alloc_pages_exact(size, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, start);
	pages->page = virt_to_page(start);
	pages->map.type = type;
	for (i = 0; i < pages->count; i++) {
		pages->flags[i] = pages->page[i].flags;
		set_page_zone(&pages->page[i], ZONE_DEVICE);
		pages->page[i].pgmap = &pages->map;
	}
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, device_pages_free,
						  pages));
	return pages->page;
}
#else
static struct page *device_pages(struct kunit *test, size_t size,
				 enum memory_type type)
{
	kunit_skip(test, "this kernel is without CONFIG_ZONE_DEVICE");
	return NULL;
}
#endif

/* What the device sees of a bounced buffer at @page is the buffer, both ways. */
static void expect_bounced(struct kunit *test, struct device *dev,
			   struct page *page, size_t offset, size_t size)
{
	u8 *memory = page_address(page), byte;
	dma_addr_t addr;
	u8 said = 0x5a;

	memory[offset] = 1;
	memory[offset + size - 1] = 2;
	memory[offset + size] = 3;
	addr = iommu_dma_ops.map_page(dev, page, offset, size,
				      DMA_BIDIRECTIONAL, 0);
	KUNIT_ASSERT_NE(test, DMA_MAPPING_ERROR, addr);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, addr, &byte, 1));
	KUNIT_EXPECT_EQ(test, 1, byte);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, addr + size - 1, &byte, 1));
	KUNIT_EXPECT_EQ(test, 2, byte);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_read(dev, addr + size, &byte, 1));
	KUNIT_EXPECT_EQ(test, 0, byte);
	KUNIT_EXPECT_EQ(test, 0, mock_iommu_write(dev, addr + size - 1, &said, 1));
	iommu_dma_ops.unmap_page(dev, addr, size, DMA_BIDIRECTIONAL, 0);
	KUNIT_EXPECT_EQ(test, 1, memory[offset]);
	KUNIT_EXPECT_EQ(test, 0x5a, memory[offset + size - 1]);
	KUNIT_EXPECT_EQ(test, 3, memory[offset + size]);
}

/* Files in persistent memory are memory, too. */
static void untrusted_files(struct kunit *test)
{
	static const enum memory_type types[] = {
		MEMORY_DEVICE_FS_DAX, MEMORY_DEVICE_GENERIC,
	};
	struct fake_pci *pci = pci_create_small(test, 64);
	size_t granule = pci->td.granule;
	struct device *dev = pci->td.dev;
	struct scatterlist sg;
	struct page *page;
	unsigned int i;
	u8 byte;

	pci->pdev.untrusted = true;
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		page = device_pages(test, 2 * granule, types[i]);
		expect_bounced(test, dev, page, 8, 512);
		expect_bounced(test, dev, page, granule - 100, 200);
		sg_init_table(&sg, 1);
		sg_set_page(&sg, page, 200, granule - 100);
		KUNIT_ASSERT_EQ(test, 1,
				iommu_dma_ops.map_sg(dev, &sg, 1, DMA_TO_DEVICE,
						     0));
		KUNIT_EXPECT_EQ(test, 0,
				mock_iommu_read(dev, sg_dma_address(&sg) + 199,
						&byte, 1));
		KUNIT_EXPECT_EQ(test, 0x5a, byte);
		iommu_dma_ops.unmap_sg(dev, &sg, 1, DMA_TO_DEVICE, 0);
	}
	test_device_settled(test, &pci->td, 0);
}

/* Memory that only a device gets at cannot be copied. */
static void untrusted_no_memory(struct kunit *test)
{
	struct fake_pci *pci = pci_create_small(test, 64);
	size_t granule = pci->td.granule;
	struct device *dev = pci->td.dev;
	struct scatterlist sg;
	struct page *page;
	dma_addr_t addr;
	int i;

	pci->pdev.untrusted = true;
	if (IS_ENABLED(CONFIG_PCI_P2PDMA)) {
		page = device_pages(test, granule, MEMORY_DEVICE_PCI_P2PDMA);
		KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR,
				iommu_dma_ops.map_page(dev, page, 8, 100,
						       DMA_TO_DEVICE, 0));
		/* Of whole granules nothing is next to the buffer. */
		addr = iommu_dma_ops.map_page(dev, page, 0, granule,
					      DMA_TO_DEVICE,
					      DMA_ATTR_SKIP_CPU_SYNC);
		KUNIT_ASSERT_NE(test, DMA_MAPPING_ERROR, addr);
		iommu_dma_ops.unmap_page(dev, addr, granule, DMA_TO_DEVICE,
					 DMA_ATTR_SKIP_CPU_SYNC);
	}
	if (!IS_ENABLED(CONFIG_DEVICE_PRIVATE))
		return;
	page = device_pages(test, granule, MEMORY_DEVICE_PRIVATE);
	KUNIT_EXPECT_EQ(test, DMA_MAPPING_ERROR,
			iommu_dma_ops.map_page(dev, page, 8, 100, DMA_TO_DEVICE,
					       0));
	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, 100, 8);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				iommu_dma_ops.map_sg(dev, &sg, 1, DMA_TO_DEVICE,
						     i ? DMA_ATTR_CONTIGUOUS :
							 0));
	KUNIT_EXPECT_EQ(test, 2, test_said(&pci->td, "DMA map of 1 entries refused: bounced"));
	test_device_settled(test, &pci->td, 0);
}

/* Whatever the mask, addresses are below 4 GiB while there are any. */
static void below_4g(struct kunit *test)
{
	const struct test_env *env = test->param_value;
	u64 g = BIT(env->granule_shift);
	struct mock_iommu_options options = {
		.pgsizes = g,
		.aperture_start = SZ_4G - 16 * g,
		.aperture_last = SZ_4G + 64 * g - 1,
		.deferred = env->deferred,
	};
	struct fake_pci *pci = pci_create(test, mock_iommu_create(test,
								  &options));
	unsigned int below = 0, above = 0, i;
	dma_addr_t addrs[48];

	iommu_setup_dma_ops(pci->td.dev);
	KUNIT_ASSERT_TRUE(test, pci->td.dev->dma_iommu);
	if (test_forcedac) {
		/* Then that is nothing to care for. */
		addrs[0] = granule_map(&pci->td);
		KUNIT_EXPECT_GE(test, addrs[0], SZ_4G);
		iommu_dma_ops.unmap_resource(pci->td.dev, addrs[0], g,
					     DMA_TO_DEVICE, 0);
		test_device_settled(test, &pci->td, 0);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(addrs) / (1 + test_guard); i++) {
		addrs[i] = granule_map(&pci->td);
		KUNIT_ASSERT_NE(test, addrs[i], DMA_MAPPING_ERROR);
		if (addrs[i] < SZ_4G)
			below++;
		else
			above++;
		/* None goes above before all below are taken. */
		if (addrs[i] < SZ_4G && !test_guard)
			KUNIT_EXPECT_EQ(test, 0, above);
	}
	KUNIT_EXPECT_GE(test, below, 16 / (1 + test_guard) - 1);
	KUNIT_EXPECT_GT(test, above, 0);
	/* What is free there again is used again, and nothing is said twice. */
	iommu_dma_ops.unmap_resource(pci->td.dev, addrs[0], g, DMA_TO_DEVICE, 0);
	msleep(50);
	addrs[0] = granule_map(&pci->td);
	KUNIT_EXPECT_LT(test, addrs[0], SZ_4G);
	KUNIT_EXPECT_EQ(test, 1, test_said(&pci->td, "Using "));
	while (i--)
		iommu_dma_ops.unmap_resource(pci->td.dev, addrs[i], g,
					     DMA_TO_DEVICE, 0);
	test_device_settled(test, &pci->td, 0);
}

static struct kunit_case pci_cases[] = {
	KUNIT_CASE_PARAM(windows, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted_linked, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted_left, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted_refused, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted_files, test_env_gen_params),
	KUNIT_CASE_PARAM(untrusted_no_memory, test_env_gen_params),
	KUNIT_CASE_PARAM(below_4g, test_env_gen_params),
	{ }
};

static struct kunit_suite pci_suite = {
	.name = "dma_pci",
	.test_cases = pci_cases,
};

kunit_test_suite(pci_suite);
