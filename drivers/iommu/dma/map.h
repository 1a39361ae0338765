/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mapping: addresses and translation for one piece of memory. See map.c.
 */
#ifndef _IOMMU_DMA_MAP_H
#define _IOMMU_DMA_MAP_H

#include <linux/jiffies.h>
#include <linux/jump_label.h>

#include "../iommu-priv.h"
#include "cookie.h"

DECLARE_STATIC_KEY_FALSE(iommu_dma_deferred_attach);

/**
 * iommu_dma_attach - attach a device whose attachment was deferred
 * @dev: device that is about to get its first mapping
 * @domain: its domain
 *
 * Context: Any.
 * Return: 0, or the error of the IOMMU driver.
 */
static inline int iommu_dma_attach(struct device *dev,
				   struct iommu_domain *domain)
{
	if (static_branch_unlikely(&iommu_dma_deferred_attach))
		return iommu_deferred_attach(dev, domain);
	return 0;
}

/**
 * iommu_dma_prefers_32bit - whether to look below 4 GiB first
 * @dev: device
 * @cookie: cookie of its domain
 * @granules: of the request
 *
 * Where a request had no place there, those that are as large do not look for a
 * while: so a search that fails is not paid for each of many mappings.
 *
 * Context: Any.
 * Return: whether the device prefers such an address, and there may be one.
 */
static inline bool
iommu_dma_prefers_32bit(const struct device *dev,
			const struct iommu_dma_cookie *cookie,
			unsigned long granules)
{
	if (!dev->iommu->pci_32bit_workaround)
		return false;
	return likely(granules < READ_ONCE(cookie->low_refused)) ||
	       time_after64(get_jiffies_64(), READ_ONCE(cookie->low_until));
}

/* A mapping that allows no access is a bug of the caller, and is refused. */
static inline bool iommu_dma_prot_is_none(int prot)
{
	return !(prot & (IOMMU_READ | IOMMU_WRITE));
}

/**
 * struct iommu_dma_iova_req - what a mapping asks of its addresses
 * @size: bytes; whole granules
 * @align: bytes, a power of two
 * @boundary: bytes, a power of two; the mapping crosses no multiple of it, or
 *	begins at one if it is longer; 0 for none
 * @mask: highest address that the device can use
 * @nowarn: print no message if there is none
 */
struct iommu_dma_iova_req {
	u64 size;
	u64 align;
	u64 boundary;
	u64 mask;
	bool nowarn;
};

bool iommu_dma_alloc_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *req,
			  struct iova_range *range);
dma_addr_t iommu_dma_alloc_iova_phys(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     phys_addr_t phys, size_t size, u64 align,
				     unsigned long attrs,
				     struct iova_range *range);

int iommu_dma_map_alloc(struct device *dev, phys_addr_t phys, size_t size,
			u64 mask, int prot, unsigned long attrs,
			dma_addr_t *addr);
dma_addr_t iommu_dma_map_phys_slow(struct device *dev, phys_addr_t phys,
				   size_t size, int prot, unsigned long attrs);
void iommu_dma_drop_granule(struct device *dev, struct iommu_dma_cookie *cookie,
			    dma_addr_t addr, bool undone);

int iommu_dma_map_granules(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			   phys_addr_t phys, size_t size, int prot);
int iommu_dma_map_failed(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			 size_t size, int error);

/* iommu_dma_map_nosync(), inlined wherever it is called */
static __always_inline int
__iommu_dma_map_nosync(struct iommu_dma_cookie *cookie, dma_addr_t addr,
		       phys_addr_t phys, size_t size, int prot)
{
	int ret;

	if (size == cookie_granule(cookie))
		return iommu_map_page_nosync(cookie->domain, addr, phys, size,
					     prot);
	if (size < cookie->larger_page)
		ret = iommu_dma_map_granules(cookie, addr, phys, size, prot);
	else
		ret = iommu_map_nosync(cookie->domain, addr, phys, size, prot,
				       GFP_ATOMIC);
	return likely(!ret) ? 0 : iommu_dma_map_failed(cookie, addr, size, ret);
}

/**
 * iommu_dma_map_nosync - map whole granules; iommu_sync_map() is yet to come
 * @cookie: cookie of the domain
 * @addr: device address
 * @phys: memory
 * @size: bytes
 * @prot: IOMMU_*
 *
 * Context: Any.
 * Return: 0; or the error of the IOMMU driver, and then nothing is mapped, unless
 * it is -EBUSY.
 */
static inline int iommu_dma_map_nosync(struct iommu_dma_cookie *cookie,
				       dma_addr_t addr, phys_addr_t phys,
				       size_t size, int prot)
{
	return __iommu_dma_map_nosync(cookie, addr, phys, size, prot);
}

/**
 * iommu_dma_map_granule - map memory in one granule, with an address that is at hand
 * @dev: device, attached
 * @cookie: cookie of its domain
 * @phys: first byte
 * @size: bytes
 * @prot: IOMMU_*
 * @addr: where to store the address for the device
 *
 * Most mappings are one granule, for which the layer's share of the cost is
 * highest. So this path is inlined, without calls that one granule does not
 * need, such as the IOMMU core's search for the best page sizes.
 *
 * Context: Any.
 * Return: 0; the error of the IOMMU driver; or 1 if it has to be done another way.
 */
static __always_inline int
iommu_dma_map_granule(struct device *dev, struct iommu_dma_cookie *cookie,
		      phys_addr_t phys, size_t size, int prot, dma_addr_t *addr)
{
	u64 limit = iommu_dma_limit(dev, cookie, dma_get_mask(dev));
	struct iommu_domain *domain = cookie->domain;
	size_t granule = cookie_granule(cookie);
	size_t offset = phys & (granule - 1);
	dma_addr_t start;
	unsigned long first;
	bool undone = true;
	int ret;

	if (unlikely(size - 1 >= granule - offset ||
		     dma_get_min_align_mask(dev) >= granule || cookie->guard))
		return 1;

	/* See iommu_dma_alloc_iova(). */
	if (iommu_dma_prefers_32bit(dev, cookie, 1))
		limit = min_t(u64, limit, DMA_BIT_MASK(32));
	first = iova_space_alloc_one(&cookie->space,
				     cookie_limit_granule(cookie, limit));
	if (unlikely(first == IOVA_NONE))
		return 1;
	start = (dma_addr_t)first << cookie->granule_shift;
	*addr = start + offset;
	ret = iommu_map_page_nosync(domain, start, phys - offset, granule, prot);
	if (unlikely(ret))
		goto drop;
	ret = iommu_sync_map(domain, start, granule);
	if (likely(!ret))
		return 0;
	undone = iommu_unmap(domain, start, granule) == granule;
drop:
	iommu_dma_drop_granule(dev, cookie, start, undone);
	return ret;
}

/**
 * iommu_dma_map_phys - map physically contiguous memory
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @prot: IOMMU_*
 * @attrs: DMA_ATTR_*, of which only DMA_ATTR_NO_WARN is used
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
static __always_inline dma_addr_t iommu_dma_map_phys(struct device *dev,
						     phys_addr_t phys,
						     size_t size, int prot,
						     unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	dma_addr_t addr;
	int ret;

	if (iommu_dma_prot_is_none(prot) ||
	    iommu_dma_attach(dev, cookie->domain))
		return DMA_MAPPING_ERROR;
	ret = iommu_dma_map_granule(dev, cookie, phys, size, prot, &addr);
	if (likely(!ret))
		return addr;
	return ret < 0 ? DMA_MAPPING_ERROR :
			 iommu_dma_map_phys_slow(dev, phys, size, prot, attrs);
}

#endif /* _IOMMU_DMA_MAP_H */
