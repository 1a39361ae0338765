// SPDX-License-Identifier: GPL-2.0
/*
 * Windows and reserved regions: addresses that no mapping may have.
 *
 * If a PCI device accesses an address that a bridge routes to the registers of
 * another device, the access does not reach the IOMMU. Nor does an access that
 * the host bridge does not let through (dma_ranges). Besides, firmware and the
 * IOMMU driver reserve regions. Each device of a domain adds the addresses that
 * it cannot use, at any time.
 */

#include <linux/acpi_iort.h>
#include <linux/cleanup.h>
#include <linux/of_iommu.h>
#include <linux/pci.h>

#include "../dma-iommu.h"
#include "msi.h"
#include "resv.h"

static int reserve_range(struct device *dev, struct iommu_dma_cookie *cookie,
			 u64 first, u64 last)
{
	unsigned int shift = cookie->granule_shift;
	int ret;

	ret = iova_space_reserve(&cookie->space,
				 min_t(u64, first >> shift, ULONG_MAX),
				 min_t(u64, last >> shift, ULONG_MAX));
	if (ret != -EBUSY)
		return ret;
	dev_warn(dev, "reserved DMA addresses [%#llx, %#llx] are in use by the IOMMU group\n",
		 first, last);
	return 0;
}

/* The window of @bridge that holds @addr, or else the next one above it */
static struct resource_entry *dma_window(struct pci_host_bridge *bridge,
					 u64 addr)
{
	struct resource_entry *window, *found = NULL;

	resource_list_for_each_entry(window, &bridge->dma_ranges) {
		if (window->res->end - window->offset < addr)
			continue;
		if (!found || window->res->start - window->offset <
			      found->res->start - found->offset)
			found = window;
	}
	return found;
}

/* Reserve all addresses that no inbound window of @bridge lets through. */
static int reserve_outside_dma_ranges(struct device *dev,
				      struct iommu_dma_cookie *cookie,
				      struct pci_host_bridge *bridge)
{
	struct resource_entry *window;
	u64 addr = 0, start;
	int ret;

	if (list_empty(&bridge->dma_ranges))
		return 0;
	do {
		window = dma_window(bridge, addr);
		if (!window)
			return reserve_range(dev, cookie, addr, U64_MAX);
		start = window->res->start - window->offset;
		if (start > addr) {
			ret = reserve_range(dev, cookie, addr, start - 1);
			if (ret)
				return ret;
		}
		addr = window->res->end - window->offset + 1;
	} while (addr);
	return 0;
}

static int reserve_pci(struct device *dev, struct iommu_dma_cookie *cookie)
{
	struct pci_host_bridge *bridge =
		pci_find_host_bridge(to_pci_dev(dev)->bus);
	struct resource_entry *window;
	int ret;

	resource_list_for_each_entry(window, &bridge->windows) {
		if (resource_type(window->res) != IORESOURCE_MEM)
			continue;
		ret = reserve_range(dev, cookie,
				    window->res->start - window->offset,
				    window->res->end - window->offset);
		if (ret)
			return ret;
	}
	return reserve_outside_dma_ranges(dev, cookie, bridge);
}

static int reserve_region(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_resv_region *region)
{
	int ret;

	/*
	 * This is a proposal for VFIO and iommufd. The DMA API allocates
	 * addresses for doorbells as for any mapping.
	 */
	if (region->type == IOMMU_RESV_SW_MSI || !region->length)
		return 0;
	ret = reserve_range(dev, cookie, region->start,
			    region->start + region->length - 1);
	if (ret || region->type != IOMMU_RESV_MSI)
		return ret;
	guard(mutex)(&cookie->lock);
	return iommu_dma_msi_reserve(cookie, region->start, region->length);
}

/**
 * iommu_dma_reserve_regions - reserve the addresses that a device cannot use
 * @dev: device that is being added to the domain
 * @cookie: cookie of the domain
 *
 * Context: Process; may sleep.
 * Return: 0 or -ENOMEM.
 */
int iommu_dma_reserve_regions(struct device *dev,
			      struct iommu_dma_cookie *cookie)
{
	struct iommu_resv_region *region;
	LIST_HEAD(regions);
	int ret = 0;

	if (dev_is_pci(dev))
		ret = reserve_pci(dev, cookie);
	if (ret)
		return ret;

	iommu_get_resv_regions(dev, &regions);
	list_for_each_entry(region, &regions, list) {
		ret = reserve_region(dev, cookie, region);
		if (ret)
			break;
	}
	iommu_put_resv_regions(dev, &regions);
	return ret;
}

/**
 * iommu_dma_get_resv_regions - list the regions that firmware reserves
 * @dev: device
 * @list: list of &struct iommu_resv_region to add to
 *
 * For the get_resv_regions() of all IOMMU drivers: reads IORT or the device
 * tree.
 *
 * Context: Process; may sleep.
 */
void iommu_dma_get_resv_regions(struct device *dev, struct list_head *list)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec_get(dev);

	if (!is_of_node(fwspec->iommu_fwnode))
		iort_iommu_get_resv_regions(dev, list);
	if (dev->of_node)
		of_iommu_get_resv_regions(dev, list);
}
EXPORT_SYMBOL(iommu_dma_get_resv_regions);
