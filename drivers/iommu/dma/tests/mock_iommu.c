// SPDX-License-Identifier: GPL-2.0
/*
 * An IOMMU made of memory, for KUnit.
 *
 * It registers as any IOMMU does, and its devices are platform devices that
 * name it in their fwspec, so the IOMMU core gives them a default domain of the
 * DMA API, and whatever they map goes the same way as for a device of the real
 * world. What that would not tell, this IOMMU knows of every granule:
 *
 *              map                 unmap               invalidate
 *   not there -----> mapped        -----> stale        -----> not there
 *                    a device             only an IOTLB
 *                    reaches it           knows of it
 *
 * So a test sees what is left behind, and an address that is used again before
 * it has been invalidated is a fault that counts. Devices read and write through
 * the same table, a granule at a time and only as its protection allows.
 *
 * Its IOTLB is the worst that there can be: it knows every translation that there
 * ever was, until that is invalidated. An invalidation may take a while, in which
 * others go on; it is done when it returns, and covers what had been unmapped when
 * it was called, and nothing that was unmapped since.
 *
 * Page tables are there for their number only: one for as many granules as would
 * fit. One that has run empty goes to whoever unmapped, to be freed, as IOMMU
 * drivers do it; this keeps an eye on it, and one that is freed while the IOTLB
 * may refer to it is a fault, too.
 */

#include <linux/bitfield.h>
#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "../../iommu-pages.h"
#include "../../dma-iommu.h"
#include "mock_iommu.h"

/*
 * An entry of the table is memory and IOMMU_* flags in one value; memory is in
 * whole granules of 4 KiB at least, so the low bits are free. The age of a stale
 * one is &mock_domain.age when it was unmapped.
 */
#define ENTRY_PROT	GENMASK_ULL(7, 0)
#define ENTRY_STALE	BIT_ULL(8)
/* Mapped, but the IOMMU has not been told: a device does not get there yet. */
#define ENTRY_NEW	BIT_ULL(9)
#define ENTRY_PHYS	GENMASK_ULL(51, 12)
#define ENTRY_AGE	GENMASK_ULL(59, 52)

static_assert((IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE | IOMMU_NOEXEC |
	       IOMMU_MMIO | IOMMU_PRIV) <= ENTRY_PROT);

static_assert(sizeof(unsigned long) == sizeof(u64));

/**
 * struct mock_table - a page table, in its own page
 * @limbo: in &mock_domain.limbo, when nothing is mapped by it any more
 * @used: granules that are mapped by it
 * @age: as that of a stale entry
 * @covered: it has been invalidated since
 */
struct mock_table {
	struct list_head limbo;
	unsigned int used;
	u8 age;
	bool covered;
};

/**
 * struct mock_iommu - an IOMMU
 * @iommu: to the IOMMU core
 * @pdev: itself as a device; its fwnode is what devices name
 * @options: what it is like
 * @test: the test that it was made for
 * @wrong: &mock_iommu_counts.wrong of domains that have gone
 * @limbo: page tables that have not been given back, likewise
 */
struct mock_iommu {
	struct iommu_device iommu;
	struct platform_device *pdev;
	struct mock_iommu_options options;
	struct kunit *test;
	unsigned int wrong;
	unsigned long limbo;
};

/**
 * struct mock_domain - an address space
 * @domain: to the IOMMU core
 * @iommu: whose it is
 * @table: entries by granule; its lock protects all of the below
 * @tables: &struct mock_table by their place; protected by the lock of @table
 * @limbo: those that have gone
 * @shift: log2 of the granule
 * @age: invalidations that have begun
 * @delay_us: as in the options
 * @eager: likewise
 * @stuck: the page that cannot be unmapped, or %ULONG_MAX
 * @counts: what has happened
 * @fail: how often to do well at each of &enum mock_iommu_fault before it
 *	fails once; -1 for always
 */
struct mock_domain {
	struct iommu_domain domain;
	struct mock_iommu *iommu;
	struct xarray table;
	struct xarray tables;
	struct list_head limbo;
	unsigned int shift;
	u8 age;
	unsigned int delay_us;
	bool eager;
	unsigned long stuck;
	struct mock_iommu_counts counts;
	int fail[MOCK_FAULTS];
};

static struct mock_domain *to_mock(struct iommu_domain *domain)
{
	return container_of(domain, struct mock_domain, domain);
}

static struct mock_domain *mock_of(struct device *dev)
{
	return to_mock(iommu_get_domain_for_dev(dev));
}

static size_t granule_of(const struct mock_domain *mock)
{
	return (size_t)1 << mock->shift;
}

static unsigned long entry_at(struct mock_domain *mock, unsigned long iova)
{
	void *entry = xa_load(&mock->table, iova >> mock->shift);

	return entry ? xa_to_value(entry) : 0;
}

static bool entry_mapped(unsigned long entry)
{
	return entry && !(entry & ENTRY_STALE);
}

static bool fault_is_due(struct mock_domain *mock, enum mock_iommu_fault fault)
{
	return mock->fail[fault] >= 0 && !mock->fail[fault]--;
}

/* Whether an invalidation that began at @age covers what was unmapped at @at */
static bool age_covers(u8 age, u8 at)
{
	return (u8)(age - at) < 128;
}

/*
 * Page tables. The lock of the table is held.
 */

static unsigned long table_index(const struct mock_domain *mock,
				 unsigned long iova)
{
	return iova >> (2 * mock->shift - 3);
}

static struct mock_table *table_get(struct mock_domain *mock, unsigned long iova)
{
	struct mock_table *table = xa_load(&mock->tables,
					   table_index(mock, iova));

	if (table)
		return table;
	if (fault_is_due(mock, MOCK_FAULT_TABLE))
		return NULL;
	table = iommu_alloc_page(GFP_ATOMIC | __GFP_NOWARN);
	if (!table)
		return NULL;
	if (xa_err(xa_store(&mock->tables, table_index(mock, iova), table,
			    GFP_ATOMIC | __GFP_NOWARN))) {
		iommu_free_page(table);
		return NULL;
	}
	mock->counts.tables++;
	return table;
}

/* One that has been made for nothing: no IOTLB can know of it. */
static void table_drop(struct mock_domain *mock, unsigned long iova,
		       struct mock_table *table)
{
	if (table->used)
		return;
	xa_erase(&mock->tables, table_index(mock, iova));
	mock->counts.tables--;
	iommu_free_page(table);
}

/* One granule less; the last one's page goes to @pages, but stays in sight. */
static void table_put(struct mock_domain *mock, unsigned long iova,
		      struct list_head *pages)
{
	unsigned long index = table_index(mock, iova);
	struct mock_table *table = xa_load(&mock->tables, index);

	if (--table->used)
		return;
	xa_erase(&mock->tables, index);
	mock->counts.tables--;
	get_page(virt_to_page(table));
	table->age = mock->age;
	list_add_tail(&table->limbo, &mock->limbo);
	mock->counts.limbo++;
	list_add_tail(&virt_to_page(table)->lru, pages);
}

static bool table_is_freed(const struct mock_table *table)
{
	return page_count(virt_to_page(table)) == 1;
}

static void limbo_check(struct mock_domain *mock)
{
	struct mock_table *table, *next;

	list_for_each_entry_safe(table, next, &mock->limbo, limbo) {
		if (!table_is_freed(table))
			continue;
		mock->counts.wrong += !table->covered;
		mock->counts.limbo--;
		list_del(&table->limbo);
		put_page(virt_to_page(table));
	}
}

static void limbo_cover(struct mock_domain *mock, u8 age)
{
	struct mock_table *table;

	list_for_each_entry(table, &mock->limbo, limbo)
		table->covered |= age_covers(age, table->age);
}

/*
 * The table. Its lock is held.
 */

static bool in_reach(const struct mock_domain *mock, unsigned long iova,
		     phys_addr_t phys, size_t size)
{
	const struct iommu_domain_geometry *geometry = &mock->domain.geometry;

	return mock->domain.pgsize_bitmap & size &&
	       IS_ALIGNED(iova | phys, size) &&
	       iova >= geometry->aperture_start &&
	       iova + size - 1 >= iova &&
	       iova + size - 1 <= geometry->aperture_end;
}

static int set_entry(struct mock_domain *mock, unsigned long iova,
		     unsigned long entry)
{
	return xa_err(__xa_store(&mock->table, iova >> mock->shift,
				 xa_mk_value(entry),
				 GFP_ATOMIC | __GFP_NOWARN));
}

static int map_granule(struct mock_domain *mock, unsigned long iova,
		       phys_addr_t phys, int prot)
{
	unsigned long old = entry_at(mock, iova);
	struct mock_table *table;
	int ret;

	if (old)
		mock->counts.wrong++;
	if (entry_mapped(old))
		return -EEXIST;
	table = table_get(mock, iova);
	if (!table)
		return -ENOMEM;
	ret = set_entry(mock, iova, phys | prot | (mock->eager ? 0 : ENTRY_NEW));
	if (ret) {
		table_drop(mock, iova, table);
		return ret;
	}
	table->used++;
	mock->counts.mapped++;
	mock->counts.stale -= !!old;
	return 0;
}

static void unmap_granule(struct mock_domain *mock, unsigned long iova,
			  struct list_head *pages)
{
	/* There is an entry already, so this takes no memory. */
	set_entry(mock, iova, entry_at(mock, iova) | ENTRY_STALE |
			      FIELD_PREP(ENTRY_AGE, mock->age));
	mock->counts.mapped--;
	mock->counts.stale++;
	table_put(mock, iova, pages);
}

/* The lock may be dropped for a while. */
static void invalidate(struct mock_domain *mock, unsigned long first,
		       unsigned long last, unsigned long *flags)
{
	u8 age = mock->age++;
	unsigned long index, value;
	void *entry;

	limbo_check(mock);
	if (mock->delay_us) {
		xa_unlock_irqrestore(&mock->table, *flags);
		udelay(mock->delay_us);
		xa_lock_irqsave(&mock->table, *flags);
	}
	/* Walk caches are not by address. */
	limbo_cover(mock, age);
	if (!mock->counts.stale)
		return;
	xa_for_each_range(&mock->table, index, entry, first >> mock->shift,
			  last >> mock->shift) {
		value = xa_to_value(entry);
		if (entry_mapped(value) ||
		    !age_covers(age, FIELD_GET(ENTRY_AGE, value)))
			continue;
		__xa_erase(&mock->table, index);
		mock->counts.stale--;
	}
}

/* A page is one granule or many, and is mapped whole or not at all. */
static int map_page(struct mock_domain *mock, unsigned long iova,
		    phys_addr_t phys, size_t size, int prot,
		    struct list_head *pages)
{
	size_t done;
	int ret = 0;

	if (fault_is_due(mock, MOCK_FAULT_MAP))
		return -ENOMEM;
	/* An error that others have for other reasons */
	if (fault_is_due(mock, MOCK_FAULT_REFUSE))
		return -EFAULT;
	if (!in_reach(mock, iova, phys, size)) {
		mock->counts.wrong++;
		return -EINVAL;
	}
	for (done = 0; done < size && !ret; done += granule_of(mock))
		ret = map_granule(mock, iova + done, phys + done, prot);
	if (!ret)
		return 0;
	/* The last one has not been mapped. */
	for (done -= granule_of(mock); done; done -= granule_of(mock))
		unmap_granule(mock, iova + done - granule_of(mock), pages);
	return ret;
}

static bool unmap_page(struct mock_domain *mock, unsigned long iova,
		       size_t size, struct list_head *pages)
{
	size_t done;

	if (fault_is_due(mock, MOCK_FAULT_UNMAP))
		mock->stuck = iova;
	if (mock->stuck == iova)
		return false;
	for (done = 0; done < size; done += granule_of(mock)) {
		if (!entry_mapped(entry_at(mock, iova + done))) {
			mock->counts.wrong++;
			return false;
		}
	}
	for (done = 0; done < size; done += granule_of(mock))
		unmap_granule(mock, iova + done, pages);
	return true;
}

/*
 * What the IOMMU core calls.
 */

static int mock_map_pages(struct iommu_domain *domain, unsigned long iova,
			  phys_addr_t phys, size_t pgsize, size_t pgcount,
			  int prot, gfp_t gfp, size_t *mapped)
{
	struct mock_domain *mock = to_mock(domain);
	LIST_HEAD(pages);
	unsigned long flags;
	int ret = 0;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.map++;
	for (; pgcount; pgcount--, iova += pgsize, phys += pgsize) {
		ret = map_page(mock, iova, phys, pgsize, prot, &pages);
		if (ret)
			break;
		*mapped += pgsize;
	}
	/* Nothing else cleans up after a page of which a part was mapped. */
	if (!list_empty(&pages))
		invalidate(mock, iova, iova + pgsize - 1, &flags);
	xa_unlock_irqrestore(&mock->table, flags);
	iommu_put_pages_list(&pages);
	return ret;
}

static size_t mock_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			       size_t pgsize, size_t pgcount,
			       struct iommu_iotlb_gather *gather)
{
	struct mock_domain *mock = to_mock(domain);
	size_t unmapped = 0, i;
	LIST_HEAD(pages);
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.unmap++;
	for (i = 0; i < pgcount; i++) {
		if (!unmap_page(mock, iova + unmapped, pgsize, &pages))
			break;
		unmapped += pgsize;
	}
	if (mock->eager && unmapped)
		invalidate(mock, iova, iova + unmapped - 1, &flags);
	else
		list_splice_tail_init(&pages, &gather->freelist);
	xa_unlock_irqrestore(&mock->table, flags);

	iommu_put_pages_list(&pages);
	if (!iommu_iotlb_gather_queued(gather) && !mock->eager)
		for (i = 0; i < unmapped; i += pgsize)
			iommu_iotlb_gather_add_page(domain, gather, iova + i,
						    pgsize);
	return unmapped;
}

static void mock_iotlb_sync(struct iommu_domain *domain,
			    struct iommu_iotlb_gather *gather)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.sync++;
	if (gather->pgsize)
		invalidate(mock, gather->start, gather->end, &flags);
	xa_unlock_irqrestore(&mock->table, flags);
	iommu_put_pages_list(&gather->freelist);
}

static void mock_flush_iotlb_all(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.flush++;
	invalidate(mock, 0, ULONG_MAX, &flags);
	xa_unlock_irqrestore(&mock->table, flags);
}

static int mock_iotlb_sync_map(struct iommu_domain *domain, unsigned long iova,
			       size_t size)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;
	unsigned long index, value;
	void *entry;
	int ret = 0;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.sync_map++;
	/* Drivers count on what iommu_map() would tell: whole granules. */
	if (!size || !IS_ALIGNED(iova | size, granule_of(mock)))
		mock->counts.wrong++;
	if (fault_is_due(mock, MOCK_FAULT_SYNC_MAP)) {
		ret = -ENOMEM;
		goto unlock;
	}
	xa_for_each_range(&mock->table, index, entry, iova >> mock->shift,
			  (iova + size - 1) >> mock->shift) {
		value = xa_to_value(entry);
		/* There is an entry already, so this takes no memory. */
		if (value & ENTRY_NEW)
			set_entry(mock, index << mock->shift,
				  value & ~ENTRY_NEW);
	}
unlock:
	xa_unlock_irqrestore(&mock->table, flags);
	return ret;
}

static phys_addr_t mock_iova_to_phys(struct iommu_domain *domain,
				     dma_addr_t iova)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long entry = entry_at(mock, iova);

	if (!entry_mapped(entry))
		return 0;
	return (entry & ENTRY_PHYS) + (iova & (granule_of(mock) - 1));
}

static int mock_attach_dev(struct iommu_domain *domain, struct device *dev)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;
	int ret = 0;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.attach++;
	if (fault_is_due(mock, MOCK_FAULT_ATTACH))
		ret = -EBUSY;
	xa_unlock_irqrestore(&mock->table, flags);
	return ret;
}

static void mock_domain_free(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);
	struct mock_table *table;
	unsigned long index;

	limbo_check(mock);
	mock->iommu->wrong += mock->counts.wrong;
	mock->iommu->limbo += list_count_nodes(&mock->limbo);
	/* Those of what nobody has unmapped, such as doorbells that failed */
	xa_for_each(&mock->tables, index, table)
		iommu_free_page(table);
	xa_destroy(&mock->tables);
	xa_destroy(&mock->table);
	kfree(mock);
}

/* As few as there can be */
static const struct iommu_domain_ops mock_eager_ops = {
	.attach_dev		= mock_attach_dev,
	.map_pages		= mock_map_pages,
	.unmap_pages		= mock_unmap_pages,
	.iova_to_phys		= mock_iova_to_phys,
	.free			= mock_domain_free,
};

static const struct iommu_domain_ops mock_domain_ops = {
	.attach_dev		= mock_attach_dev,
	.map_pages		= mock_map_pages,
	.unmap_pages		= mock_unmap_pages,
	.flush_iotlb_all	= mock_flush_iotlb_all,
	.iotlb_sync		= mock_iotlb_sync,
	.iotlb_sync_map		= mock_iotlb_sync_map,
	.iova_to_phys		= mock_iova_to_phys,
	.free			= mock_domain_free,
};

static bool mock_capable(struct device *dev, enum iommu_cap cap)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);

	return cap == IOMMU_CAP_CACHE_COHERENCY ||
	       (cap == IOMMU_CAP_DEFERRED_FLUSH && !mock->options.undeferrable);
}

static struct iommu_domain *mock_domain_alloc(struct device *dev)
{
	/* Its lock is taken with that of the other one held. */
	static struct lock_class_key tables_key;
	struct mock_iommu *iommu = dev_iommu_priv_get(dev);
	const struct mock_iommu_options *options = &iommu->options;
	struct mock_domain *mock = kzalloc(sizeof(*mock), GFP_KERNEL);

	if (!mock)
		return ERR_PTR(-ENOMEM);
	xa_init_flags(&mock->table, XA_FLAGS_LOCK_IRQ);
	xa_init(&mock->tables);
	lockdep_set_class(&mock->tables.xa_lock, &tables_key);
	INIT_LIST_HEAD(&mock->limbo);
	mock->iommu = iommu;
	mock->shift = __ffs(options->pgsizes);
	mock->delay_us = options->delay_us;
	mock->eager = options->eager;
	mock->stuck = ULONG_MAX;
	if (options->eager)
		mock->domain.ops = &mock_eager_ops;
	memset(mock->fail, -1, sizeof(mock->fail));
	mock->domain.pgsize_bitmap = options->pgsizes;
	mock->domain.geometry = (struct iommu_domain_geometry) {
		.aperture_start = options->aperture_start,
		.aperture_end = options->aperture_last ?: ~(dma_addr_t)0,
		.force_aperture = true,
	};
	return &mock->domain;
}

static struct iommu_device *mock_probe_device(struct device *dev)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);
	struct device *hw = bus_find_device_by_fwnode(&platform_bus_type,
						      fwspec->iommu_fwnode);
	struct mock_iommu *mock;

	if (!hw)
		return ERR_PTR(-ENODEV);
	mock = dev_get_drvdata(hw);
	put_device(hw);
	dev_iommu_priv_set(dev, mock);
	dev->iommu->shadow_on_flush = mock->options.expensive;
	return &mock->iommu;
}

static struct iommu_group *mock_device_group(struct device *dev)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);

	return mock->options.shared ? generic_single_device_group(dev) :
				      generic_device_group(dev);
}

static void mock_get_resv_regions(struct device *dev, struct list_head *list)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);
	struct iommu_resv_region *region;
	unsigned int i;

	/* As drivers do; no firmware has anything to say of these devices. */
	iommu_dma_get_resv_regions(dev, list);
	for (i = 0; i < MOCK_REGIONS; i++) {
		if (!mock->options.regions[i].size)
			continue;
		region = iommu_alloc_resv_region(mock->options.regions[i].start,
						 mock->options.regions[i].size,
						 0,
						 mock->options.regions[i].type,
						 GFP_KERNEL);
		if (region)
			list_add_tail(&region->list, list);
	}
}

static int mock_def_domain_type(struct device *dev)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);

	/* Whatever the kernel's command line says */
	return mock->options.deferred ? IOMMU_DOMAIN_DMA_FQ : IOMMU_DOMAIN_DMA;
}

static bool mock_is_attach_deferred(struct device *dev)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);

	return mock->options.attach_later;
}

static const struct iommu_ops mock_ops = {
	.capable		= mock_capable,
	.domain_alloc_paging	= mock_domain_alloc,
	.probe_device		= mock_probe_device,
	.device_group		= mock_device_group,
	.get_resv_regions	= mock_get_resv_regions,
	.def_domain_type	= mock_def_domain_type,
	.is_attach_deferred	= mock_is_attach_deferred,
	.default_domain_ops	= &mock_domain_ops,
	.owner			= THIS_MODULE,
};

/*
 * What tests call.
 */

/* With it, the device gets a fwnode. */
static const struct property_entry mock_properties[] = {
	PROPERTY_ENTRY_BOOL("mock"),
	{ }
};

static void mock_iommu_destroy(void *data)
{
	struct mock_iommu *mock = data;

	/* Its devices have gone before, and their domains with them. */
	KUNIT_EXPECT_EQ_MSG(mock->test, 0, mock->wrong,
			    "the IOMMU was used wrongly, at the latest when its domains went");
	KUNIT_EXPECT_EQ_MSG(mock->test, 0, mock->limbo,
			    "page tables have not been given back");
	iommu_device_unregister(&mock->iommu);
	iommu_device_sysfs_remove(&mock->iommu);
	platform_device_unregister(mock->pdev);
	kfree(mock);
}

/**
 * mock_iommu_create - make an IOMMU, until the end of the test
 * @test: the test; fails and ends if it cannot be
 * @options: what it is to be like
 *
 * Context: Process; may sleep.
 * Return: the IOMMU.
 */
struct mock_iommu *mock_iommu_create(struct kunit *test,
				     const struct mock_iommu_options *options)
{
	struct platform_device_info info = {
		.name = "mock_iommu",
		.id = PLATFORM_DEVID_AUTO,
		.properties = mock_properties,
	};
	struct mock_iommu *mock = kzalloc(sizeof(*mock), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mock);
	mock->options = *options;
	mock->test = test;
	mock->pdev = platform_device_register_full(&info);
	if (IS_ERR(mock->pdev))
		goto free_mock;
	platform_set_drvdata(mock->pdev, mock);
	if (iommu_device_sysfs_add(&mock->iommu, &mock->pdev->dev, NULL, "%s",
				   dev_name(&mock->pdev->dev)))
		goto unregister;
	if (iommu_device_register(&mock->iommu, &mock_ops, &mock->pdev->dev))
		goto remove_sysfs;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   mock_iommu_destroy,
							   mock));
	return mock;

remove_sysfs:
	iommu_device_sysfs_remove(&mock->iommu);
unregister:
	platform_device_unregister(mock->pdev);
free_mock:
	kfree(mock);
	KUNIT_FAIL_AND_ABORT(test, "no mock IOMMU");
	return NULL;
}

/**
 * mock_iommu_reserve - let devices have one more reserved region from now on
 * @mock: the IOMMU
 * @start: first address
 * @size: bytes
 * @type: what for
 *
 * Takes the place of its last one.
 *
 * Context: Process; the caller serialises.
 */
void mock_iommu_reserve(struct mock_iommu *mock, phys_addr_t start, size_t size,
			enum iommu_resv_type type)
{
	mock->options.regions[MOCK_REGIONS - 1].start = start;
	mock->options.regions[MOCK_REGIONS - 1].size = size;
	mock->options.regions[MOCK_REGIONS - 1].type = type;
}

static void mock_device_remove(void *data)
{
	platform_device_unregister(data);
}

static void set_coherent(struct device *dev, bool coherent)
{
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU_ALL)
	dev->dma_coherent = coherent;
#endif
}

static struct device *device_add_of(struct kunit *test, struct mock_iommu *mock,
				    bool coherent)
{
	struct platform_device *pdev =
		platform_device_alloc("mock_device", PLATFORM_DEVID_AUTO);
	int ret = 0;

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	set_coherent(&pdev->dev, coherent);
	if (mock) {
		guard(mutex)(&iommu_probe_device_lock);
		ret = iommu_fwspec_init(&pdev->dev,
					dev_fwnode(&mock->pdev->dev));
	}
	if (!ret)
		ret = platform_device_add(pdev);
	if (ret)
		platform_device_put(pdev);
	KUNIT_ASSERT_EQ(test, 0, ret);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test,
							   mock_device_remove,
							   pdev));
	KUNIT_ASSERT_EQ(test, 0, dma_set_mask_and_coherent(&pdev->dev,
							   DMA_BIT_MASK(64)));
	return &pdev->dev;
}

/**
 * mock_iommu_device - make a device behind an IOMMU, until the end of the test
 * @test: the test; fails and ends if it cannot be
 * @mock: the IOMMU
 * @coherent: whether the device snoops caches; those of most machines do always
 *
 * Context: Process; may sleep.
 * Return: the device, whose DMA goes through the DMA-IOMMU layer.
 */
struct device *mock_iommu_device(struct kunit *test, struct mock_iommu *mock,
				 bool coherent)
{
	struct device *dev = device_add_of(test, mock, coherent);
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	KUNIT_ASSERT_TRUE(test, dev->dma_iommu);
	KUNIT_ASSERT_EQ(test, mock->options.deferred &&
			!mock->options.undeferrable ? IOMMU_DOMAIN_DMA_FQ :
						      IOMMU_DOMAIN_DMA,
			domain->type);
	return dev;
}

static struct device *plain_device(struct kunit *test, bool coherent)
{
	struct device *dev = device_add_of(test, NULL, coherent);

	KUNIT_ASSERT_FALSE(test, dev->dma_iommu);
	return dev;
}

/**
 * mock_plain_device - make a device without an IOMMU, until the end of the test
 * @test: the test; fails and ends if it cannot be
 *
 * Context: Process; may sleep.
 * Return: the device.
 */
struct device *mock_plain_device(struct kunit *test)
{
	return plain_device(test, true);
}

/**
 * mock_plain_device_noncoherent - mock_plain_device() that does not snoop caches
 * @test: the test; fails and ends if it cannot be
 *
 * On machines whose devices always snoop, this one does, too.
 *
 * Context: Process; may sleep.
 * Return: the device.
 */
struct device *mock_plain_device_noncoherent(struct kunit *test)
{
	return plain_device(test, false);
}

/**
 * mock_iommu_remove - remove a device before the end of the test
 * @test: the test
 * @dev: of mock_iommu_device() or mock_plain_device()
 *
 * Context: Process; may sleep.
 */
void mock_iommu_remove(struct kunit *test, struct device *dev)
{
	kunit_release_action(test, mock_device_remove, to_platform_device(dev));
}

/**
 * mock_iommu_counts - what has happened in a device's domain so far
 * @dev: device
 *
 * Context: Any.
 * Return: the counts, all of the same moment.
 */
struct mock_iommu_counts mock_iommu_counts(struct device *dev)
{
	struct mock_domain *mock = mock_of(dev);
	struct mock_iommu_counts counts;
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	limbo_check(mock);
	counts = mock->counts;
	xa_unlock_irqrestore(&mock->table, flags);
	return counts;
}

/**
 * mock_iommu_forgive - take what was wrong for right
 * @dev: device
 *
 * For a test that does something wrong and looks at what comes of it.
 *
 * Context: Any.
 * Return: &mock_iommu_counts.wrong until now; it begins again at 0.
 */
unsigned int mock_iommu_forgive(struct device *dev)
{
	struct mock_domain *mock = mock_of(dev);
	unsigned long flags;
	unsigned int wrong;

	xa_lock_irqsave(&mock->table, flags);
	wrong = mock->counts.wrong;
	mock->counts.wrong = 0;
	xa_unlock_irqrestore(&mock->table, flags);
	return wrong;
}

/**
 * mock_iommu_fail - let something fail once
 * @dev: device whose domain it is about
 * @fault: what
 * @after: how often it is to succeed before; -1 to let it always succeed
 *
 * Context: Any.
 */
void mock_iommu_fail(struct device *dev, enum mock_iommu_fault fault, int after)
{
	struct mock_domain *mock = mock_of(dev);
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->fail[fault] = after;
	if (fault == MOCK_FAULT_UNMAP)
		mock->stuck = ULONG_MAX;
	xa_unlock_irqrestore(&mock->table, flags);
}

/**
 * mock_iommu_defer - let a device's domain become deferred while it is in use
 * @test: the test; fails if it cannot
 * @dev: device
 *
 * What the IOMMU core does when DMA-FQ is written to the group's type.
 *
 * Context: Process; the caller serialises.
 */
void mock_iommu_defer(struct kunit *test, struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	KUNIT_ASSERT_EQ(test, 0, iommu_dma_init_fq(domain));
	domain->type = IOMMU_DOMAIN_DMA_FQ;
}

/**
 * mock_iommu_lookup - translate an address as a device's IOMMU does
 * @dev: device
 * @addr: the address
 * @phys: where to store the memory behind it
 * @prot: where to store IOMMU_*
 *
 * Context: Any.
 * Return: whether there is a translation.
 */
bool mock_iommu_lookup(struct device *dev, dma_addr_t addr, phys_addr_t *phys,
		       int *prot)
{
	struct mock_domain *mock = mock_of(dev);
	unsigned long entry = entry_at(mock, addr);

	if (!entry_mapped(entry) || entry & ENTRY_NEW)
		return false;
	*phys = (entry & ENTRY_PHYS) + (addr & (granule_of(mock) - 1));
	*prot = entry & ENTRY_PROT;
	return true;
}

/**
 * mock_iommu_reaches - whether a device may still reach something at an address
 * @dev: device
 * @addr: the address
 * @phys: where to store the memory behind it
 *
 * Unlike mock_iommu_lookup() with what an IOTLB may still know.
 *
 * Context: Any.
 * Return: whether it may.
 */
bool mock_iommu_reaches(struct device *dev, dma_addr_t addr, phys_addr_t *phys)
{
	struct mock_domain *mock = mock_of(dev);
	unsigned long entry = entry_at(mock, addr);

	*phys = (entry & ENTRY_PHYS) + (addr & (granule_of(mock) - 1));
	return entry;
}

static int device_access(struct device *dev, dma_addr_t addr, void *buf,
			 size_t len, int need)
{
	size_t granule = granule_of(mock_of(dev)), part;
	phys_addr_t phys;
	struct page *page;
	int prot;

	for (; len; addr += part, buf += part, len -= part) {
		if (!mock_iommu_lookup(dev, addr, &phys, &prot))
			return -EFAULT;
		if (!(prot & need))
			return -EACCES;
		if (!pfn_valid(PHYS_PFN(phys)))
			return -ENXIO;
		part = min3(len, granule - (size_t)(addr & (granule - 1)),
			    PAGE_SIZE - (size_t)offset_in_page(phys));
		page = pfn_to_page(PHYS_PFN(phys));
		if (need == IOMMU_READ)
			memcpy_from_page(buf, page, offset_in_page(phys), part);
		else
			memcpy_to_page(page, offset_in_page(phys), buf, part);
	}
	return 0;
}

/**
 * mock_iommu_read - read memory as a device would
 * @dev: device
 * @addr: address for the device
 * @buf: where to store the bytes
 * @len: bytes
 *
 * Context: Any.
 * Return: 0; -EFAULT if nothing is mapped there; -EACCES if the device must not
 * read it; -ENXIO if there is no memory behind it.
 */
int mock_iommu_read(struct device *dev, dma_addr_t addr, void *buf, size_t len)
{
	return device_access(dev, addr, buf, len, IOMMU_READ);
}

/**
 * mock_iommu_write - write memory as a device would
 * @dev: device
 * @addr: address for the device
 * @buf: the bytes
 * @len: how many
 *
 * Context: Any.
 * Return: 0; -EFAULT if nothing is mapped there; -EACCES if the device must not
 * write it; -ENXIO if there is no memory behind it.
 */
int mock_iommu_write(struct device *dev, dma_addr_t addr, const void *buf,
		     size_t len)
{
	return device_access(dev, addr, (void *)buf, len, IOMMU_WRITE);
}
