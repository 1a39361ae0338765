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
 */

#include <linux/cleanup.h>
#include <linux/dma-map-ops.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "mock_iommu.h"

/*
 * An entry of the table is memory and IOMMU_* flags in one value; memory is in
 * whole granules of 4 KiB at least, so the low bits are free.
 */
#define ENTRY_PROT	GENMASK(7, 0)
#define ENTRY_STALE	BIT(8)
#define ENTRY_PHYS	(~(unsigned long)GENMASK(11, 0))

static_assert((IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE | IOMMU_NOEXEC |
	       IOMMU_MMIO | IOMMU_PRIV) <= ENTRY_PROT);

/**
 * struct mock_iommu - an IOMMU
 * @iommu: to the IOMMU core
 * @pdev: itself as a device; its fwnode is what devices name
 * @options: what it is like
 */
struct mock_iommu {
	struct iommu_device iommu;
	struct platform_device *pdev;
	struct mock_iommu_options options;
};

/**
 * struct mock_domain - an address space
 * @domain: to the IOMMU core
 * @table: entries by granule; its lock protects all of the below
 * @lg2: log2 of the granule
 * @counts: what has happened
 * @fail: how often to do well at each of &enum mock_iommu_fault before it
 *	fails once; -1 for always
 */
struct mock_domain {
	struct iommu_domain domain;
	struct xarray table;
	unsigned int lg2;
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
	return (size_t)1 << mock->lg2;
}

static unsigned long entry_at(struct mock_domain *mock, unsigned long iova)
{
	void *entry = xa_load(&mock->table, iova >> mock->lg2);

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
	return xa_err(__xa_store(&mock->table, iova >> mock->lg2,
				 xa_mk_value(entry),
				 GFP_ATOMIC | __GFP_NOWARN));
}

static int map_granule(struct mock_domain *mock, unsigned long iova,
		       phys_addr_t phys, int prot)
{
	unsigned long old = entry_at(mock, iova);
	int ret;

	if (old)
		mock->counts.wrong++;
	if (entry_mapped(old))
		return -EEXIST;
	ret = set_entry(mock, iova, phys | prot);
	if (ret)
		return ret;
	mock->counts.mapped++;
	mock->counts.stale -= !!old;
	return 0;
}

static void unmap_granule(struct mock_domain *mock, unsigned long iova)
{
	/* There is an entry already, so this takes no memory. */
	set_entry(mock, iova, entry_at(mock, iova) | ENTRY_STALE);
	mock->counts.mapped--;
	mock->counts.stale++;
}

static void invalidate(struct mock_domain *mock, unsigned long first,
		       unsigned long last)
{
	unsigned long index;
	void *entry;

	if (!mock->counts.stale)
		return;
	xa_for_each_range(&mock->table, index, entry, first >> mock->lg2,
			  last >> mock->lg2) {
		if (entry_mapped(xa_to_value(entry)))
			continue;
		__xa_erase(&mock->table, index);
		mock->counts.stale--;
	}
}

/* A page is one granule or many, and is mapped whole or not at all. */
static int map_page(struct mock_domain *mock, unsigned long iova,
		    phys_addr_t phys, size_t size, int prot)
{
	size_t done;
	int ret = 0;

	if (fault_is_due(mock, MOCK_FAULT_MAP))
		return -ENOMEM;
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
		unmap_granule(mock, iova + done - granule_of(mock));
	return ret;
}

static bool unmap_page(struct mock_domain *mock, unsigned long iova,
		       size_t size)
{
	size_t done;

	for (done = 0; done < size; done += granule_of(mock)) {
		if (!entry_mapped(entry_at(mock, iova + done))) {
			mock->counts.wrong++;
			return false;
		}
	}
	for (done = 0; done < size; done += granule_of(mock))
		unmap_granule(mock, iova + done);
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
	unsigned long flags;
	int ret = 0;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.map++;
	for (; pgcount; pgcount--, iova += pgsize, phys += pgsize) {
		ret = map_page(mock, iova, phys, pgsize, prot);
		if (ret)
			break;
		*mapped += pgsize;
	}
	xa_unlock_irqrestore(&mock->table, flags);
	return ret;
}

static size_t mock_unmap_pages(struct iommu_domain *domain, unsigned long iova,
			       size_t pgsize, size_t pgcount,
			       struct iommu_iotlb_gather *gather)
{
	struct mock_domain *mock = to_mock(domain);
	size_t unmapped = 0, i;
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.unmap++;
	for (i = 0; i < pgcount; i++) {
		if (!unmap_page(mock, iova + unmapped, pgsize))
			break;
		unmapped += pgsize;
	}
	xa_unlock_irqrestore(&mock->table, flags);

	if (!iommu_iotlb_gather_queued(gather))
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
		invalidate(mock, gather->start, gather->end);
	xa_unlock_irqrestore(&mock->table, flags);
}

static void mock_flush_iotlb_all(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.flush++;
	invalidate(mock, 0, ULONG_MAX);
	xa_unlock_irqrestore(&mock->table, flags);
}

static int mock_iotlb_sync_map(struct iommu_domain *domain, unsigned long iova,
			       size_t size)
{
	struct mock_domain *mock = to_mock(domain);
	unsigned long flags;
	int ret = 0;

	xa_lock_irqsave(&mock->table, flags);
	mock->counts.sync_map++;
	if (fault_is_due(mock, MOCK_FAULT_SYNC_MAP))
		ret = -ENOMEM;
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
	return 0;
}

static void mock_domain_free(struct iommu_domain *domain)
{
	struct mock_domain *mock = to_mock(domain);

	xa_destroy(&mock->table);
	kfree(mock);
}

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
	return cap == IOMMU_CAP_DEFERRED_FLUSH ||
	       cap == IOMMU_CAP_CACHE_COHERENCY;
}

static struct iommu_domain *mock_domain_alloc(struct device *dev)
{
	const struct mock_iommu *iommu = dev_iommu_priv_get(dev);
	const struct mock_iommu_options *options = &iommu->options;
	struct mock_domain *mock = kzalloc(sizeof(*mock), GFP_KERNEL);

	if (!mock)
		return ERR_PTR(-ENOMEM);
	xa_init_flags(&mock->table, XA_FLAGS_LOCK_IRQ);
	mock->lg2 = __ffs(options->pgsizes);
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

	if (!mock->options.reserved_size)
		return;
	region = iommu_alloc_resv_region(mock->options.reserved_start,
					 mock->options.reserved_size, 0,
					 IOMMU_RESV_RESERVED, GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, list);
}

static int mock_def_domain_type(struct device *dev)
{
	const struct mock_iommu *mock = dev_iommu_priv_get(dev);

	/* Whatever the kernel's command line says */
	return mock->options.deferred ? IOMMU_DOMAIN_DMA_FQ : IOMMU_DOMAIN_DMA;
}

static const struct iommu_ops mock_ops = {
	.capable		= mock_capable,
	.domain_alloc_paging	= mock_domain_alloc,
	.probe_device		= mock_probe_device,
	.device_group		= mock_device_group,
	.get_resv_regions	= mock_get_resv_regions,
	.def_domain_type	= mock_def_domain_type,
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
	KUNIT_ASSERT_EQ(test, mock->options.deferred ? IOMMU_DOMAIN_DMA_FQ :
						       IOMMU_DOMAIN_DMA,
			domain->type);
	return dev;
}

/**
 * mock_plain_device - make a device without an IOMMU, until the end of the test
 * @test: the test; fails and ends if it cannot be
 * @coherent: whether the device snoops caches; those of most machines do always
 *
 * Context: Process; may sleep.
 * Return: the device.
 */
struct device *mock_plain_device(struct kunit *test, bool coherent)
{
	struct device *dev = device_add_of(test, NULL, coherent);

	KUNIT_ASSERT_FALSE(test, dev->dma_iommu);
	return dev;
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
	counts = mock->counts;
	xa_unlock_irqrestore(&mock->table, flags);
	return counts;
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
	xa_unlock_irqrestore(&mock->table, flags);
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

	if (!entry_mapped(entry))
		return false;
	*phys = (entry & ENTRY_PHYS) + (addr & (granule_of(mock) - 1));
	*prot = entry & ENTRY_PROT;
	return true;
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
