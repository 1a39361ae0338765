// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping: addresses and translation for one piece of memory.
 *
 * The limits of a device, its bus and the IOMMU become a request for a range of
 * addresses, and the memory is mapped there. The usual mapping of one granule
 * is inlined from map.h; all others come here.
 */

#include <kunit/visibility.h>
#include <linux/crash_dump.h>
#include <linux/dma-map-ops.h>
#include <linux/ratelimit.h>

#include "map.h"
#include "unmap.h"

/*
 * A kdump kernel finds devices that still do DMA for the kernel that crashed.
 * They are attached to their IOMMU domain only when their new driver maps
 * something.
 */
DEFINE_STATIC_KEY_FALSE(iommu_dma_deferred_attach);
EXPORT_SYMBOL_IF_KUNIT(iommu_dma_deferred_attach);

static int __init iommu_dma_setup(void)
{
	if (is_kdump_kernel())
		static_branch_enable(&iommu_dma_deferred_attach);
	return 0;
}
arch_initcall(iommu_dma_setup);

/**
 * struct addr_limit - the highest address to try
 * @last: the address
 * @soft: there is another limit to try after this one
 * @quick: there is another try, as &iova_request.quick says
 */
struct addr_limit {
	u64 last;
	bool soft;
	bool quick;
};

/* When to look below 4 GiB again: what was unmapped may be free by then */
#define IOMMU_DMA_LOW_RETRY_MS	10

/*
 * Devices and their drivers have come to rely on buffers that cross no multiple
 * of their size rounded up to a power of two. Up to this size all are aligned so.
 */
#define IOMMU_DMA_NATURAL_MAX	SZ_64K

/* No device has pages that are larger, so no alignment above is worth anything. */
#define IOMMU_DMA_ALIGN_MAX	SZ_1G

/* An IOMMU page of up to this size sets the alignment, whatever that wastes. */
#define IOMMU_DMA_PAGE_FREELY	SZ_2M

/*
 * Pages of the IOMMU, and those that devices have, need aligned addresses. Return:
 * the largest alignment that wastes no more than a sixteenth. Chunks tell of words
 * that are free, and not of what is aligned to more than one.
 */
static noinline u64 large_align(const struct iommu_dma_cookie *cookie,
				u64 size)
{
	unsigned long pages = cookie->domain->pgsize_bitmap, most, align;
	unsigned int shift = cookie->granule_shift;
	u64 whole = size + ((u64)cookie->guard << shift);

	most = whole >> shift <= IOVA_SMALL_MAX ? (unsigned long)IOVA_WORD << shift :
						  IOMMU_DMA_ALIGN_MAX;
	most = min_t(u64, most, size);
	pages &= GENMASK(__fls(min_t(u64, most, IOMMU_DMA_PAGE_FREELY)), 0);
	align = roundup_pow_of_two(most);
	while (align > IOMMU_DMA_NATURAL_MAX &&
	       ALIGN(whole, align) - whole > whole / 16)
		align >>= 1;
	return max(align, BIT(__fls(pages | 1)));
}

/* The alignment to try first */
static __always_inline u64
preferred_align(const struct iommu_dma_cookie *cookie,
		const struct iommu_dma_iova_req *req)
{
	if (likely(req->size <= IOMMU_DMA_NATURAL_MAX))
		return max_t(u64, req->align, roundup_pow_of_two(req->size));
	return max(req->align, large_align(cookie, req->size));
}

static __always_inline bool try_limit(struct iommu_dma_cookie *cookie,
				      const struct iommu_dma_iova_req *req,
				      u64 align, struct addr_limit limit,
				      struct iova_range *range)
{
	unsigned int shift = cookie->granule_shift;
	struct iova_request want = {
		.size = (req->size >> shift) + cookie->guard,
		.align = align >> shift,
		.limit = cookie_limit_granule(cookie, limit.last),
		.boundary = req->boundary >> shift,
		.soft = limit.soft,
		.quick = limit.quick,
	};

	if (unlikely(want.boundary && want.size > want.boundary)) {
		want.align = max(want.align, want.boundary);
		want.boundary = 0;
	}
	return iova_space_alloc(&cookie->space, &want, range);
}

/*
 * Try the preferred alignment, then the required one. Before giving up on a
 * limit that is not soft, free the ranges that wait for a flush, and search
 * everything. Another CPU may free the last of them, so a try comes after it is
 * known that none waits.
 */
static bool try_limit_slow(struct iommu_dma_cookie *cookie,
			   const struct iommu_dma_iova_req *req,
			   struct addr_limit limit, struct iova_range *range)
{
	u64 align = preferred_align(cookie, req);
	/* A quarantine is not to make addresses higher than they would be. */
	bool more = !limit.soft || iommu_dma_flush_quarantined(&cookie->flush);
	struct iommu_dma_reclaim reclaim = {};

	limit.quick = true;
	while (!try_limit(cookie, req, align, limit, range) &&
	       (align == req->align ||
		!try_limit(cookie, req, req->align, limit, range))) {
		if (!more)
			goto search;
		more = iommu_dma_flush_reclaim(&cookie->flush, &reclaim);
	}
	return true;

search:
	limit.quick = false;
	return !limit.soft && try_limit(cookie, req, req->align, limit, range);
}

static __always_inline bool
prefers_32bit(const struct device *dev, const struct iommu_dma_cookie *cookie,
	      const struct iommu_dma_iova_req *req)
{
	return iommu_dma_prefers_32bit(dev, cookie,
				       req->size >> cookie->granule_shift);
}

/* A request that had no place below 4 GiB has one above. */
static void note_low_refused(struct device *dev,
			     struct iommu_dma_cookie *cookie,
			     const struct iommu_dma_iova_req *req, u64 last)
{
	WRITE_ONCE(cookie->low_until,
		   get_jiffies_64() + msecs_to_jiffies(IOMMU_DMA_LOW_RETRY_MS));
	WRITE_ONCE(cookie->low_refused, req->size >> cookie->granule_shift);
	if (!test_and_set_bit(0, &cookie->low_used_up))
		dev_notice(dev, "Using %d-bit DMA addresses\n",
			   fls64(last));
}

/* The first try has failed. */
static noinline bool alloc_iova_slow(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     const struct iommu_dma_iova_req *req,
				     u64 last, struct iova_range *range)
{
	struct addr_limit limit = { DMA_BIT_MASK(32), .soft = true };
	bool low = last > limit.last && prefers_32bit(dev, cookie, req);
	static DEFINE_RATELIMIT_STATE(limited, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	u64 largest;

	if (low && try_limit_slow(cookie, req, limit, range))
		return true;
	limit = (struct addr_limit) { last };
	if (try_limit_slow(cookie, req, limit, range)) {
		if (low && iommu_dma_iova_addr(cookie, range) > DMA_BIT_MASK(32))
			note_low_refused(dev, cookie, req, last);
		return true;
	}

	if (req->nowarn || !__ratelimit(&limited))
		return false;
	largest = iova_pool_largest(&cookie->space.pool,
				    cookie_limit_granule(cookie, last));
	dev_err(dev, "no DMA address for %llu bytes up to %#llx, largest free range is %llu bytes\n",
		req->size, last, largest << cookie->granule_shift);
	return false;
}

static __always_inline bool alloc_iova(struct device *dev,
				       struct iommu_dma_cookie *cookie,
				       const struct iommu_dma_iova_req *req,
				       struct iova_range *range)
{
	u64 last = iommu_dma_limit(dev, cookie, req->mask);
	bool soft = last > DMA_BIT_MASK(32) && prefers_32bit(dev, cookie, req);
	struct addr_limit limit = {
		.last = soft ? DMA_BIT_MASK(32) : last,
		.soft = soft,
		.quick = true,
	};

	return likely(try_limit(cookie, req, preferred_align(cookie, req),
				limit, range)) ||
	       alloc_iova_slow(dev, cookie, req, last, range);
}

/**
 * iommu_dma_alloc_iova - allocate addresses for a mapping
 * @dev: device that is going to use them
 * @cookie: cookie of its domain
 * @req: what the mapping asks for
 * @range: where to store the range
 *
 * PCI devices get addresses below 4 GiB while there are any: the mask that a
 * driver sets is not always what device, bridges and firmware can really do.
 *
 * Context: Any.
 * Return: true; or false, after a message about what did not fit unless @req
 * has nowarn.
 */
bool iommu_dma_alloc_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *req,
			  struct iova_range *range)
{
	return alloc_iova(dev, cookie, req, range);
}

/*
 * Mappings of one piece of memory.
 */

/* Fill in what depends neither on the size nor on the device's alignment. */
static struct iommu_dma_iova_req phys_req(u64 mask, u64 align,
					  unsigned long attrs)
{
	return (struct iommu_dma_iova_req) {
		.align = align,
		.mask = mask,
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};
}

/*
 * Complete @req and allocate addresses. Return: that of the first byte, or an
 * error.
 */
static __always_inline dma_addr_t
alloc_iova_phys(struct device *dev, struct iommu_dma_cookie *cookie,
		phys_addr_t phys, size_t size, struct iommu_dma_iova_req *req,
		struct iova_range *range)
{
	u64 min_align = iommu_dma_min_align(dev, cookie);
	/* Bits of the address that have to be the same as in memory */
	u64 offset = phys & (min_align - 1);

	req->size = ALIGN(offset + size, cookie_granule(cookie));
	req->align = max(iommu_dma_page_align(min_align, phys, size),
			 req->align);
	req->boundary = iommu_dma_boundary(dev);
	/* The size is 0, or memory or addresses wrap. */
	if (!size || phys + size - 1 < phys || req->size < size ||
	    !alloc_iova(dev, cookie, req, range))
		return DMA_MAPPING_ERROR;
	return iommu_dma_iova_addr(cookie, range) + offset;
}

/**
 * iommu_dma_alloc_iova_phys - allocate addresses for contiguous memory
 * @dev: device that is going to use them
 * @cookie: cookie of its domain
 * @phys: first byte, or what is like it in the bits below the minimum alignment
 * @size: bytes
 * @align: bytes, a power of two, to which the range is aligned
 * @attrs: DMA_ATTR_*, of which only DMA_ATTR_NO_WARN is used
 * @range: where to store the range
 *
 * Context: Any.
 * Return: the address for the first byte, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_alloc_iova_phys(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     phys_addr_t phys, size_t size, u64 align,
				     unsigned long attrs,
				     struct iova_range *range)
{
	struct iommu_dma_iova_req req = phys_req(dma_get_mask(dev), align,
						 attrs);

	return alloc_iova_phys(dev, cookie, phys, size, &req, range);
}

/**
 * iommu_dma_map_granules - iommu_map_nosync() of pages of one granule only
 * @cookie: cookie of the domain
 * @addr: device address
 * @phys: memory
 * @size: bytes, whole granules
 * @prot: IOMMU_*
 *
 * Context: Any.
 * Return: 0; or an error, after which something may still be mapped.
 */
int iommu_dma_map_granules(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			   phys_addr_t phys, size_t size, int prot)
{
	return iommu_map_pages_nosync(cookie->domain, addr, phys,
				      cookie_granule(cookie),
				      size >> cookie->granule_shift, prot);
}

/**
 * iommu_dma_map_failed - look whether a map that failed has left something mapped
 * @cookie: cookie of the domain
 * @addr: device address
 * @size: bytes, several granules
 * @error: what the IOMMU driver said
 *
 * Not all drivers tell how much they have mapped before they fail, as VT-d's does
 * not; and the core does not tell whether it could undo that. Each call of a driver is
 * for pages of one size, and what it leaves is where that call began: at @addr, or at
 * the first or the last page of some size in the range.
 *
 * Context: Any.
 * Return: @error, or -EBUSY if something is mapped.
 */
int iommu_dma_map_failed(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			 size_t size, int error)
{
	unsigned long sizes = cookie->domain->pgsize_bitmap;
	u64 end = (u64)addr + size, page, first, last;

	for (; sizes; sizes &= sizes - 1) {
		page = BIT(__ffs(sizes));
		if (page > size)
			break;
		first = ALIGN((u64)addr, page);
		last = ALIGN_DOWN(end, page);
		if ((first < end &&
		     iommu_iova_to_phys(cookie->domain, first)) ||
		    (last > addr && last < end &&
		     iommu_iova_to_phys(cookie->domain, last)))
			return -EBUSY;
	}
	return error;
}

static __always_inline int map_range(struct device *dev, phys_addr_t phys,
				     size_t size, int prot,
				     struct iommu_dma_iova_req *req,
				     dma_addr_t *addr)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	size_t offset = cookie_granule_offset(cookie, phys);
	struct iommu_domain *domain = cookie->domain;
	struct iova_range range __uninitialized;
	bool undone;
	u64 start;
	int ret;

	*addr = alloc_iova_phys(dev, cookie, phys, size, req, &range);
	if (*addr == DMA_MAPPING_ERROR)
		return -ENOSPC;
	start = *addr - offset;
	size = ALIGN(offset + size, cookie_granule(cookie));
	ret = __iommu_dma_map_nosync(cookie, start, phys - offset, size, prot);
	undone = ret != -EBUSY;
	if (ret)
		goto drop;
	if (!iommu_sync_map(domain, start, size))
		return 0;
	undone = iommu_unmap(domain, start, size) == size;
drop:
	return iommu_dma_drop_iova(dev, cookie, &range, undone) ?: -ENOMEM;
}

/**
 * iommu_dma_map_phys_slow - iommu_dma_map_phys() for anything but one granule
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @prot: IOMMU_*
 * @attrs: DMA_ATTR_*, of which only DMA_ATTR_NO_WARN is used
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_map_phys_slow(struct device *dev, phys_addr_t phys,
				   size_t size, int prot, unsigned long attrs)
{
	struct iommu_dma_iova_req req = phys_req(dma_get_mask(dev), 1, attrs);
	dma_addr_t addr;

	return map_range(dev, phys, size, prot, &req, &addr) ?
	       DMA_MAPPING_ERROR : addr;
}

/**
 * iommu_dma_drop_granule - free the address of a granule that is not mapped
 * @dev: device
 * @cookie: cookie of its domain
 * @addr: from iova_space_alloc_one(), in bytes
 * @undone: as in iommu_dma_drop_iova()
 *
 * Context: Any.
 */
void iommu_dma_drop_granule(struct device *dev, struct iommu_dma_cookie *cookie,
			    dma_addr_t addr, bool undone)
{
	struct iova_range range;

	if (iommu_dma_claim_iova(cookie, addr, cookie_granule(cookie), &range))
		iommu_dma_drop_iova(dev, cookie, &range, undone);
}

/**
 * iommu_dma_map_alloc - map contiguous memory that the layer has allocated
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @mask: highest address that the device can use
 * @prot: IOMMU_*
 * @attrs: DMA_ATTR_*, of which only DMA_ATTR_NO_WARN is used
 * @addr: where to store the address for the device, which is aligned to @size
 *	rounded up to a power of two
 *
 * Context: Any.
 * Return: 0; -ENOSPC if addresses are short; -ENOMEM, also if the IOMMU driver
 * failed or the device cannot be attached; -EBUSY if the device may reach some
 * of the memory, which has to be leaked.
 */
int iommu_dma_map_alloc(struct device *dev, phys_addr_t phys, size_t size,
			u64 mask, int prot, unsigned long attrs,
			dma_addr_t *addr)
{
	u64 align = (u64)PAGE_SIZE << get_order(size);
	struct iommu_dma_iova_req req = phys_req(mask, align, attrs);

	return iommu_dma_attach(dev, iommu_dma_dev_cookie(dev)->domain) ?
	       -ENOMEM : map_range(dev, phys, size, prot, &req, addr);
}
