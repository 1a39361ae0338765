// SPDX-License-Identifier: GPL-2.0
/*
 * Doorbells: the addresses that devices write to for an interrupt.
 *
 * Where such a write goes through the IOMMU like any other, the doorbell needs
 * a mapping, and the device has to be told its address. All interrupts of a
 * domain that use the doorbell share one mapping, which lasts as long as the
 * domain.
 */

#include <kunit/visibility.h>
#include <linux/cleanup.h>
#include <linux/dma-mapping.h>
#include <linux/msi.h>
#include <linux/slab.h>

#include "map.h"
#include "msi.h"
#include "unmap.h"

/**
 * struct iommu_dma_msi_page - doorbells that devices of a domain can reach
 * @list: entry in &iommu_dma_cookie.msi_pages
 * @phys: first physical address
 * @iova: first address for devices
 * @size: bytes
 * @mapped: the layer has mapped it; otherwise the hardware passes it through
 */
struct iommu_dma_msi_page {
	struct list_head list;
	phys_addr_t phys;
	dma_addr_t iova;
	size_t size;
	bool mapped;
};

static int msi_page_add(struct iommu_dma_cookie *cookie,
			const struct iommu_dma_msi_page *page)
{
	struct iommu_dma_msi_page *copy =
		kmemdup(page, sizeof(*page), GFP_KERNEL);

	lockdep_assert_held(&cookie->lock);
	if (!copy)
		return -ENOMEM;
	list_add(&copy->list, &cookie->msi_pages);
	return 0;
}

/* A doorbell mapped for another device may be above the limit of this one. */
static bool msi_page_reached(const struct iommu_dma_msi_page *page, u64 last)
{
	return !page->mapped || page->iova + page->size - 1 <= last;
}

static const struct iommu_dma_msi_page *
msi_page_find(struct iommu_dma_cookie *cookie, phys_addr_t addr, u64 last)
{
	const struct iommu_dma_msi_page *page;

	lockdep_assert_held(&cookie->lock);
	list_for_each_entry(page, &cookie->msi_pages, list)
		if (addr >= page->phys && addr - page->phys < page->size &&
		    msi_page_reached(page, last))
			return page;
	return NULL;
}

/**
 * iommu_dma_msi_reserve - record a region that the hardware passes through
 * @cookie: cookie of the domain; the caller holds its lock
 * @start: first address, the same for CPU and devices
 * @length: bytes
 *
 * Context: Process; may sleep.
 * Return: 0 or -ENOMEM.
 */
int iommu_dma_msi_reserve(struct iommu_dma_cookie *cookie, phys_addr_t start,
			  size_t length)
{
	size_t offset = cookie_granule_offset(cookie, start);
	const struct iommu_dma_msi_page *page =
		msi_page_find(cookie, start, U64_MAX);

	if (page && start - page->phys + length <= page->size)
		return 0;
	return msi_page_add(cookie, &(struct iommu_dma_msi_page) {
					    .phys = start - offset,
					    .iova = start - offset,
					    .size = length + offset,
				    });
}

static unsigned int msi_page_shift(const struct iommu_dma_cookie *cookie)
{
	return cookie->type == IOMMU_DMA_COOKIE_IOVA ? cookie->granule_shift :
						       PAGE_SHIFT;
}

/* Allocate an address for @page, and map it. */
static int msi_page_map(struct device *dev, struct iommu_dma_cookie *cookie,
			struct iommu_dma_msi_page *page)
{
	struct iommu_dma_iova_req req = {
		.size = page->size,
		.align = page->size,
		.mask = dma_get_mask(dev),
	};
	struct iova_range range;
	bool undone = true;
	int ret;

	if (cookie->type == IOMMU_DMA_COOKIE_MSI)
		page->iova = cookie->msi_next;
	else if (iommu_dma_alloc_iova(dev, cookie, &req, &range))
		page->iova = iommu_dma_iova_addr(cookie, &range);
	else
		return -ENOSPC;
	/*
	 * Claim the range at once, so that no wrong unmap can remove the
	 * doorbell.
	 */
	if (cookie->type == IOMMU_DMA_COOKIE_IOVA)
		iommu_dma_claim_iova(cookie, page->iova, page->size, &range);

	ret = iommu_map(cookie->domain, page->iova, page->phys, page->size,
			IOMMU_WRITE | IOMMU_NOEXEC | IOMMU_MMIO, GFP_KERNEL);
	if (!ret) {
		ret = msi_page_add(cookie, page);
		if (ret)
			undone = iommu_unmap(cookie->domain, page->iova,
					     page->size) == page->size;
	}
	if (!ret)
		cookie->msi_next += page->size;
	else if (cookie->type == IOMMU_DMA_COOKIE_IOVA)
		iommu_dma_drop_iova(dev, cookie, &range, undone);
	return ret;
}

/**
 * iommu_dma_prepare_msi - make a doorbell reachable for a device
 * @desc: interrupt; the device address of the doorbell is stored in it
 * @msi_addr: physical address of the doorbell
 *
 * Context: Process; may sleep.
 * Return: 0; -ENOMEM; -ENOSPC if there is no address for it; -ENODEV if the
 * domain has not been set up; or the error of iommu_map().
 */
int iommu_dma_prepare_msi(struct msi_desc *desc, phys_addr_t msi_addr)
{
	struct device *dev = msi_desc_to_dev(desc);
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	struct iommu_dma_cookie *cookie = domain ? domain->iova_cookie : NULL;
	const struct iommu_dma_msi_page *page;
	struct iommu_dma_msi_page new;
	unsigned int shift;
	u64 last;
	int ret;

	if (!cookie) {
		msi_desc_set_iommu_msi_iova(desc, 0, 0);
		return 0;
	}
	shift = msi_page_shift(cookie);
	/*
	 * Setting the device up for the domain has failed, which was reported.
	 */
	if (!shift)
		return -ENODEV;
	msi_addr = ALIGN_DOWN(msi_addr, BIT_ULL(shift));

	guard(mutex)(&cookie->lock);
	/*
	 * The owner of an MSI-only window keeps it within reach of all its
	 * devices.
	 */
	last = cookie->type == IOMMU_DMA_COOKIE_IOVA ?
		       iommu_dma_limit(dev, cookie, dma_get_mask(dev)) :
		       U64_MAX;
	page = msi_page_find(cookie, msi_addr, last);
	if (!page) {
		new = (struct iommu_dma_msi_page) {
			.phys = msi_addr,
			.size = BIT_ULL(shift),
			.mapped = true,
		};
		ret = msi_page_map(dev, cookie, &new);
		if (ret)
			return ret;
		page = &new;
	}
	msi_desc_set_iommu_msi_iova(desc, page->iova + (msi_addr - page->phys),
				    shift);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_prepare_msi);

/**
 * iommu_dma_compose_msi_msg - put the device address of a doorbell in a message
 * @desc: interrupt that iommu_dma_prepare_msi() was called for
 * @msg: message with the physical address of the doorbell, to be translated
 *
 * Context: Any.
 */
void iommu_dma_compose_msi_msg(struct msi_desc *desc, struct msi_msg *msg)
{
#ifdef CONFIG_IRQ_MSI_IOMMU
	u64 page = (u64)desc->iommu_msi_iova << desc->iommu_msi_shift;
	u32 offset = msg->address_lo & (BIT(desc->iommu_msi_shift) - 1);

	if (!desc->iommu_msi_shift)
		return;
	msg->address_hi = upper_32_bits(page);
	msg->address_lo = lower_32_bits(page) | offset;
#endif
}
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_compose_msi_msg);

/**
 * iommu_dma_msi_destroy - unmap all doorbells of a domain
 * @cookie: cookie of a domain without devices
 *
 * Context: Process; may sleep.
 */
void iommu_dma_msi_destroy(struct iommu_dma_cookie *cookie)
{
	struct iommu_dma_msi_page *page, *next;

	list_for_each_entry_safe(page, next, &cookie->msi_pages, list) {
		if (page->mapped)
			iommu_unmap(cookie->domain, page->iova, page->size);
		kfree(page);
	}
}
