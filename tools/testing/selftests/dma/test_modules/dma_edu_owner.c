// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that takes its IOMMU for itself and gives it back.
 *
 * "takeover" claims DMA ownership of the device's group, attaches a domain of
 * its own, maps one page there at an address of its choice, and lets the device
 * copy through it. While it owns the group, an address of the DMA API must lead
 * nowhere; afterwards the DMA API works as before, with the mappings it had.
 *
 * The module must have been loaded with managed=1: the driver core claims the
 * group for the DMA API otherwise.
 */
#include <linux/iommu.h>
#include <linux/slab.h>

#include "dma_edu_core.h"
#include "dma_edu_ops.h"

/* Far from what the DMA API hands out first, within 28 bits. */
#define EDU_OWN_IOVA	0x04200000UL

/* The device copies the first bytes of the page to its end, by our map. */
static int edu_own_move(struct edu *edu, struct iommu_domain *domain, u8 *cpu)
{
	int ret;

	ret = iommu_map(domain, EDU_OWN_IOVA, virt_to_phys(cpu), PAGE_SIZE,
			IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL);
	if (ret)
		return ret;
	edu_fill(cpu, 1024, 71);
	ret = edu_read(edu, EDU_OWN_IOVA, 0, 1024) ?:
	      edu_write(edu, EDU_OWN_IOVA + PAGE_SIZE - 1024, 0, 1024);
	if (iommu_unmap(domain, EDU_OWN_IOVA, PAGE_SIZE) != PAGE_SIZE)
		ret = ret ?: -EIO;
	return ret ?: edu_check(edu, "own page", cpu + PAGE_SIZE - 1024, 1024, 71);
}

/* In our domain nothing is at the DMA API's address @dma of @api. */
static int edu_own_isolated(struct edu *edu, dma_addr_t dma, u8 *api)
{
	int ret = edu_write(edu, dma, 0, 1024);

	return ret ?: edu_check_byte(edu, "page of the DMA API", api, PAGE_SIZE, 0x11);
}

static int edu_own_domain(struct edu *edu, u8 *own, dma_addr_t dma, u8 *api)
{
	struct device *dev = edu_dev(edu);
	struct iommu_domain *domain = iommu_paging_domain_alloc(dev);
	int ret;

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_device(domain, dev);
	if (!ret) {
		ret = edu_own_move(edu, domain, own);
		if (!ret)
			ret = edu_own_isolated(edu, dma, api);
		iommu_detach_device(domain, dev);
	} else {
		edu_note(edu, "cannot attach: %d\n", ret);
	}
	iommu_domain_free(domain);
	return ret;
}

static int edu_own_device(struct edu *edu, u8 *own, dma_addr_t dma, u8 *api)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = iommu_device_claim_dma_owner(dev, edu);
	if (ret) {
		edu_note(edu, "cannot claim the group: %d (module loaded with managed=1?)\n",
			 ret);
		return ret;
	}
	ret = edu_own_domain(edu, own, dma, api);
	iommu_device_release_dma_owner(dev);
	return ret;
}

/* @dma was mapped before the takeover and is used again after it. */
static int edu_own_return(struct edu *edu, dma_addr_t dma, u8 *api)
{
	struct device *dev = edu_dev(edu);
	int ret = edu_load(edu, 72) ?: edu_write(edu, dma, 0, 1024);

	dma_sync_single_for_cpu(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
	return ret ?: edu_check(edu, "page of the DMA API", api, 1024, 72);
}

static int edu_op_takeover(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	u8 *own, *api;
	dma_addr_t dma;
	int ret = -ENOMEM;

	if (!edu_domain(edu)) {
		edu_note(edu, "no IOMMU translates for the device\n");
		return EDU_SKIP;
	}
	own = (u8 *)get_zeroed_page(GFP_KERNEL);
	api = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!own || !api)
		goto out;
	memset(api, 0x11, PAGE_SIZE);
	dma = dma_map_single(dev, api, PAGE_SIZE, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, dma))
		goto out;
	ret = edu_own_device(edu, own, dma, api) ?: edu_own_return(edu, dma, api);
	dma_unmap_single(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
out:
	free_page((unsigned long)own);
	free_page((unsigned long)api);
	return ret;
}

const struct edu_op edu_owner_ops[] = {
	{ "takeover", edu_op_takeover },
	{ }
};
