// SPDX-License-Identifier: GPL-2.0
/*
 * One IOMMU address space: mapping and unmapping ranges of it.
 *
 * A mapping is made in the order addresses, translation; and torn down in the
 * order claim, translation, invalidation, addresses:
 *
 *   iommu_dma_unmap_begin()  claims the range, or reports a wrong unmap
 *   iommu_dma_unmap_range()    clears the translation of a part, as often as needed
 *   iommu_dma_unmap_end()    strict: invalidates, and the range is free
 *                         deferred: the range waits for the end of the window
 *
 * The claim comes first so that a wrong unmap cannot touch what is not its own.
 */

#include <linux/crash_dump.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/slab.h>

#include "../dma-iommu.h"
#include "../iommu-pages.h"
#include "bounce.h"
#include "domain.h"

/*
 * A kdump kernel finds devices doing DMA for the kernel that crashed. Their
 * IOMMU domain is left alone until their new driver maps something.
 */
DEFINE_STATIC_KEY_FALSE(iommu_dma_deferred_attach);

/* More would only use up addresses. */
#define IOMMU_DMA_GUARD_MAX	64U

bool iommu_dma_forcedac __read_mostly;

static int __init iommu_dma_forcedac_setup(char *str)
{
	int ret = kstrtobool(str, &iommu_dma_forcedac);

	if (!ret && iommu_dma_forcedac)
		pr_info("iommu: PCI devices get addresses above 4 GiB from the start\n");
	return ret;
}
early_param("iommu.forcedac", iommu_dma_forcedac_setup);

/* Granules left unmapped behind every mapping */
static unsigned int iommu_dma_guard __read_mostly;

static int __init iommu_dma_guard_setup(char *str)
{
	unsigned int guard;
	int ret = kstrtouint(str, 0, &guard);

	if (ret || guard > IOMMU_DMA_GUARD_MAX) {
		pr_err("iommu: dma_guard=%s: not a number from 0 to %u, there are no guard granules\n",
		       str, IOMMU_DMA_GUARD_MAX);
		return ret ?: -ERANGE;
	}
	iommu_dma_guard = guard;
	return 0;
}
early_param("iommu.dma_guard", iommu_dma_guard_setup);

static int __init iommu_dma_setup(void)
{
	if (is_kdump_kernel())
		static_branch_enable(&iommu_dma_deferred_attach);
	return 0;
}
arch_initcall(iommu_dma_setup);

/*
 * Addresses.
 */

/* How far from @start on all granules below @limit are mapped, or none is */
static u64 mapped_bytes(const struct iommu_dma_cookie *cookie, u64 start,
			u64 limit, bool mapped)
{
	u64 end;

	for (end = start; end < limit; end += cookie_granule(cookie))
		if (!!iommu_iova_to_phys(cookie->domain, end) != mapped)
			break;
	return end - start;
}

/* Large pages need aligned addresses, so that is what is tried first. */
static u64 preferred_align(const struct iommu_dma_cookie *cookie,
			   const struct iommu_dma_iova_req *req)
{
	unsigned long sizes = cookie->domain->pgsize_bitmap;

	if (req->size <= cookie_granule(cookie))
		return req->align;
	if (req->size < ULONG_MAX)
		sizes &= GENMASK(__fls(req->size), 0);
	return max_t(u64, req->align, sizes ? BIT(__fls(sizes)) : 0);
}

static __always_inline bool range_try(struct iommu_dma_cookie *cookie,
				      const struct iommu_dma_iova_req *req,
				      u64 align, u64 limit, bool soft,
				      struct iova_range *range)
{
	unsigned int shift = cookie->granule_shift;
	struct iova_request want = {
		.size = (req->size >> shift) + cookie->guard,
		.align = align >> shift,
		.limit = cookie_limit_granule(cookie, limit),
		.boundary = req->boundary >> shift,
		.soft = soft,
	};

	if (unlikely(want.boundary && want.size > want.boundary)) {
		want.align = max(want.align, want.boundary);
		want.boundary = 0;
	}
	return iova_space_alloc(&cookie->space, &want, range);
}

/*
 * With the alignment that is best, or else what is needed. Before giving up,
 * take back what only waits for its flush, unless there are other addresses.
 */
static bool range_try_slow(struct iommu_dma_cookie *cookie,
			   const struct iommu_dma_iova_req *req, u64 limit,
			   bool soft, struct iova_range *range)
{
	u64 align = preferred_align(cookie, req);
	unsigned int flushes = 0;

	do {
		if (range_try(cookie, req, align, limit, soft, range) ||
		    (align != req->align &&
		     range_try(cookie, req, req->align, limit, soft, range)))
			return true;
	} while (!soft && iommu_dma_flush_more(&cookie->flush, &flushes));
	return false;
}

/* The first try has failed. */
static noinline bool iova_alloc_slow(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     const struct iommu_dma_iova_req *req,
				     u64 limit, struct iova_range *range)
{
	u64 largest;

	if (iommu_dma_prefers_32bit(dev) && limit > DMA_BIT_MASK(32)) {
		if (range_try_slow(cookie, req, DMA_BIT_MASK(32), true, range))
			return true;
		dev->iommu->pci_32bit_workaround = false;
		dev_notice(dev, "DMA addresses below 4 GiB are used up, going on with %d bits\n",
			   fls64(limit));
	}
	if (range_try_slow(cookie, req, limit, false, range))
		return true;

	if (req->nowarn)
		return false;
	largest = (u64)iova_space_largest(&cookie->space,
					  cookie_limit_granule(cookie, limit))
		  << cookie->granule_shift;
	dev_err_ratelimited(
		dev,
		"no DMA address for %llu bytes up to %#llx, largest free range is %llu bytes\n",
		req->size, limit, largest);
	return false;
}

static __always_inline bool iova_alloc_for(struct device *dev,
					   struct iommu_dma_cookie *cookie,
					   const struct iommu_dma_iova_req *req,
					   struct iova_range *range)
{
	u64 limit = iommu_dma_limit(dev, cookie, req->mask);
	bool soft = iommu_dma_prefers_32bit(dev) && limit > DMA_BIT_MASK(32);

	return likely(range_try(cookie, req, preferred_align(cookie, req),
				soft ? DMA_BIT_MASK(32) : limit, soft,
				range)) ||
	       iova_alloc_slow(dev, cookie, req, limit, range);
}

/**
 * iommu_dma_alloc_iova - find addresses for a mapping
 * @dev: device that is going to use them
 * @cookie: of its domain
 * @req: what the mapping asks for
 * @range: where to store the range
 *
 * PCI devices get addresses below 4 GiB while there are any: the mask that a
 * driver sets is not always what device, bridges and firmware can really do.
 *
 * Context: Any.
 * Return: true; or false, and a message says what did not fit.
 */
bool iommu_dma_alloc_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *req,
			  struct iova_range *range)
{
	return iova_alloc_for(dev, cookie, req, range);
}

/**
 * iommu_dma_drop_iova - give up the range of a mapping that has failed
 * @dev: device
 * @cookie: of its domain
 * @range: the range, from which all that was mapped has been unmapped; copies in
 *	it go
 *
 * If the IOMMU driver could not unmap all of it, the device may still reach what
 * is there. So the range is not used again, nor must be its memory.
 *
 * Context: Any.
 * Return: whether nothing is mapped there; else it has been reported.
 */
bool iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			 const struct iova_range *range)
{
	u64 start = iommu_dma_iova_addr(cookie, range);
	u64 limit = ((u64)range->last + 1) << cookie->granule_shift;
	u64 gone = mapped_bytes(cookie, start, limit, false);
	LIST_HEAD(pages);

	if (start + gone < limit) {
		iommu_dma_report_unmap(dev, start, limit - start, gone);
		return false;
	}
	if (!iommu_dma_no_bounces(cookie))
		iommu_dma_bounce_drop(cookie, start, limit - 1, &pages);
	iommu_put_pages_list(&pages);
	iova_space_release(&cookie->space, range);
	return true;
}

/*
 * Taking a mapping down.
 */

/**
 * iommu_dma_unmap_claim_slow - claim a mapping that may begin before the granule of its address
 * @dev: device that the mapping was made for
 * @unmap: the unmap under way, with its cookie
 * @addr: DMA address, which begins no mapping
 * @size: bytes, as far as the caller knows
 *
 * Context: Any.
 * Return: 0; 1 if that mapping does not begin at @addr, or -ENOENT if there is
 * none, both of which have been reported.
 */
int iommu_dma_unmap_claim_slow(struct device *dev,
			       struct iommu_dma_unmap *unmap, dma_addr_t addr,
			       size_t size)
{
	u64 unit = iommu_dma_min_align(dev, unmap->cookie);
	dma_addr_t start;
	u64 skip;

	/* Perhaps @addr is in the middle of the device's unit; it is mapped then. */
	if (unit <= cookie_granule(unmap->cookie) ||
	    !iommu_iova_to_phys(unmap->cookie->domain, addr) ||
	    !iommu_dma_claim_iova(unmap->cookie, ALIGN_DOWN(addr, unit), size,
				  &unmap->range)) {
		dev_err_ratelimited(dev, "DMA unmap of %pad, %zu bytes: no mapping begins there, or it has been unmapped before\n",
				    &addr, size);
		return -ENOENT;
	}
	start = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	skip = mapped_bytes(unmap->cookie, start,
			    iommu_dma_unmap_iova_end(unmap), false);
	if (addr - start - skip < cookie_granule(unmap->cookie))
		return 0;
	start += skip;
	dev_err_ratelimited(dev, "DMA unmap of %pad, %zu bytes: a mapping begins at %pad, which is unmapped\n",
			    &addr, size, &start);
	return 1;
}

/**
 * iommu_dma_report_size - tell of an unmap of the wrong size
 * @dev: device that the mapping was made for
 * @unmap: the unmap under way
 * @addr: DMA address that the caller gave
 * @size: bytes that the caller gave
 *
 * Context: Any.
 */
void iommu_dma_report_size(struct device *dev,
			   const struct iommu_dma_unmap *unmap, dma_addr_t addr,
			   size_t size)
{
	dev_err_ratelimited(
		dev,
		"DMA unmap of %pad, %zu bytes: mapped were up to %llu bytes from there\n",
		&addr, size, iommu_dma_unmap_iova_end(unmap) - addr);
}

/**
 * iommu_dma_report_unmap - tell that the IOMMU driver has unmapped less than it should
 * @dev: device that the mapping was made for
 * @addr: first byte that was to be unmapped
 * @size: bytes that were to be unmapped
 * @unmapped: bytes that were
 *
 * Context: Any.
 */
void iommu_dma_report_unmap(struct device *dev, dma_addr_t addr, size_t size,
			    size_t unmapped)
{
	dev_err_ratelimited(dev, "IOMMU unmapped %zu of %zu bytes at %pad\n",
			    unmapped, size, &addr);
}

/**
 * iommu_dma_unmap_granules - iommu_unmap_fast() where no page is larger than a granule
 * @unmap: the unmap under way
 * @addr: first byte, at a granule
 * @size: bytes, whole granules
 *
 * Context: Any.
 * Return: bytes that were unmapped.
 */
size_t iommu_dma_unmap_granules(struct iommu_dma_unmap *unmap, dma_addr_t addr,
				size_t size)
{
	struct iommu_domain *domain = unmap->cookie->domain;
	unsigned int shift = unmap->cookie->granule_shift;
	size_t unmapped = 0, some;

	/* A page table at a time, as some drivers do it */
	do {
		some = domain->ops->unmap_pages(domain, addr + unmapped,
						(size_t)1 << shift,
						(size - unmapped) >> shift,
						&unmap->gather);
		unmapped += some;
	} while (some && unmapped < size);
	trace_unmap(addr, size, unmapped);
	return unmapped;
}

/*
 * The caller believes all of it gone, so the device must not reach any of it:
 * ask the IOMMU what is still there.
 */
static void unmap_remains(struct device *dev, struct iommu_dma_unmap *unmap)
{
	u64 addr = iommu_dma_iova_addr(unmap->cookie, &unmap->range), size;
	u64 limit = iommu_dma_unmap_iova_end(unmap);

	unmap->failed = false;
	for (; addr < limit; addr += size) {
		addr += mapped_bytes(unmap->cookie, addr, limit, false);
		size = mapped_bytes(unmap->cookie, addr, limit, true);
		if (size)
			iommu_dma_unmap_range(dev, unmap, addr, size);
	}
}

/**
 * iommu_dma_unmap_end_slow - iommu_dma_unmap_end() with copies, or after a failure
 * @dev: as in iommu_dma_unmap_begin()
 * @unmap: the unmap under way
 *
 * Context: Any.
 */
void iommu_dma_unmap_end_slow(struct device *dev, struct iommu_dma_unmap *unmap)
{
	struct iommu_dma_cookie *cookie = unmap->cookie;
	LIST_HEAD(pages);

	if (unmap->failed)
		unmap_remains(dev, unmap);
	iommu_dma_bounce_drop(cookie,
			      iommu_dma_iova_addr(cookie, &unmap->range),
			      iommu_dma_unmap_iova_end(unmap) - 1, &pages);
	if (unmap->gather.queued && !unmap->failed) {
		list_splice_tail_init(&unmap->gather.freelist, &pages);
		iommu_dma_flush_retire(&cookie->flush, &unmap->range, &pages);
		return;
	}
	if (unmap->gather.queued) {
		iommu_flush_iotlb_all(cookie->domain);
		iommu_put_pages_list(&unmap->gather.freelist);
	} else {
		iommu_iotlb_sync(cookie->domain, &unmap->gather);
	}
	/* After a failure the device may still reach what is there: leave it. */
	if (unmap->failed)
		return;
	iommu_put_pages_list(&pages);
	iova_space_release(&cookie->space, &unmap->range);
}

/*
 * Mappings of one piece of memory.
 */

static __always_inline dma_addr_t
iova_alloc_phys(struct device *dev, struct iommu_dma_cookie *cookie,
		phys_addr_t phys, size_t size, u64 align, u64 mask,
		unsigned long attrs, struct iova_range *range)
{
	u64 unit = iommu_dma_min_align(dev, cookie);
	/* Bits of the address that the device wants as they are in memory */
	u64 offset = phys & (unit - 1);
	struct iommu_dma_iova_req req = {
		.size = ALIGN(offset + size, cookie_granule(cookie)),
		.align = max(unit, align),
		.boundary = iommu_dma_boundary(dev),
		.mask = mask,
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};

	/* Nothing, or past the end of memory or addresses */
	if (!size || phys + size - 1 < phys || req.size < size)
		return DMA_MAPPING_ERROR;
	if (!iova_alloc_for(dev, cookie, &req, range))
		return DMA_MAPPING_ERROR;
	return iommu_dma_iova_addr(cookie, range) + offset;
}

/**
 * iommu_dma_alloc_iova_phys - find addresses for physically contiguous memory
 * @dev: device that is going to use them
 * @cookie: of its domain
 * @phys: first byte
 * @size: bytes
 * @align: the address is a multiple of this power of two as far as @phys is
 * @mask: highest address that the device can use for this
 * @attrs: DMA_ATTR_NO_WARN matters
 * @range: where to store the range
 *
 * Context: Any.
 * Return: the address for the first byte, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_alloc_iova_phys(struct device *dev,
				     struct iommu_dma_cookie *cookie,
				     phys_addr_t phys, size_t size, u64 align,
				     u64 mask, unsigned long attrs,
				     struct iova_range *range)
{
	return iova_alloc_phys(dev, cookie, phys, size, align, mask, attrs,
			       range);
}

static dma_addr_t range_map(struct device *dev, struct iommu_dma_cookie *cookie,
			    phys_addr_t phys, size_t size, u64 align, int prot,
			    u64 mask, unsigned long attrs, bool *kept)
{
	size_t offset = cookie_granule_offset(cookie, phys);
	struct iova_range range;
	dma_addr_t addr;

	addr = iova_alloc_phys(dev, cookie, phys, size, align, mask, attrs,
			       &range);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	if (!iommu_map(cookie->domain, addr - offset, phys - offset,
		       ALIGN(offset + size, cookie_granule(cookie)), prot,
		       GFP_ATOMIC))
		return addr;
	*kept = !iommu_dma_drop_iova(dev, cookie, &range);
	return DMA_MAPPING_ERROR;
}

/**
 * iommu_dma_map_phys_slow - iommu_dma_map_phys() for anything but one granule
 * @dev: device
 * @cookie: of its domain
 * @phys: first byte
 * @size: bytes
 * @align: as in iommu_dma_alloc_iova_phys()
 * @prot: IOMMU_*
 * @mask: highest address that the device can use for this
 * @attrs: DMA_ATTR_NO_WARN matters
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_map_phys_slow(struct device *dev,
				   struct iommu_dma_cookie *cookie,
				   phys_addr_t phys, size_t size, u64 align,
				   int prot, u64 mask, unsigned long attrs)
{
	bool kept;

	return range_map(dev, cookie, phys, size, align, prot, mask, attrs,
			 &kept);
}

/**
 * iommu_dma_undo_granule - the IOMMU driver would not map a granule: give its address back
 * @dev: device
 * @cookie: of its domain
 * @addr: the granule's address
 * @mapped: its translation is there, but the IOMMU has not taken notice of it
 *
 * Context: Any.
 */
void iommu_dma_undo_granule(struct device *dev, struct iommu_dma_cookie *cookie,
			    dma_addr_t addr, bool mapped)
{
	struct iova_range range;

	if (mapped)
		iommu_unmap(cookie->domain, addr, cookie_granule(cookie));
	if (iommu_dma_claim_iova(cookie, addr, cookie_granule(cookie), &range))
		iommu_dma_drop_iova(dev, cookie, &range);
}

/**
 * iommu_dma_map_alloc - map physically contiguous memory that is the layer's own
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @align: as in iommu_dma_alloc_iova_phys()
 * @prot: IOMMU_*
 * @mask: highest address that the device can use for this
 * @attrs: DMA_ATTR_NO_WARN matters
 * @kept: where to store whether the memory must not be freed after a failure, as
 *	the device may reach some of it
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_map_alloc(struct device *dev, phys_addr_t phys,
			       size_t size, u64 align, int prot, u64 mask,
			       unsigned long attrs, bool *kept)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);

	*kept = false;
	if (iommu_dma_attach(dev, cookie->domain))
		return DMA_MAPPING_ERROR;
	return range_map(dev, cookie, phys, size, align, prot, mask, attrs,
			 kept);
}

static bool unmap_claimed(struct device *dev, struct iommu_dma_unmap *unmap,
			  dma_addr_t addr)
{
	bool expected = !unmap->failed;

	iommu_dma_unmap_rest(dev, unmap, addr);
	iommu_dma_unmap_end(dev, unmap);
	return expected && !unmap->failed;
}

/**
 * __iommu_dma_unmap - take down what iommu_dma_map_alloc() made
 * @dev: device
 * @addr: what iommu_dma_map_alloc() returned
 * @size: what iommu_dma_map_alloc() was given
 *
 * Context: Any.
 * Return: whether all of it is gone, and no less or more than the caller thought
 * was there. Else that has been reported, and the memory must not be freed: the
 * device may still reach it, or it may be somebody else's.
 */
bool __iommu_dma_unmap(struct device *dev, dma_addr_t addr, size_t size)
{
	struct iommu_dma_unmap unmap __uninitialized;

	return iommu_dma_unmap_begin(dev, &unmap, addr, size) &&
	       unmap_claimed(dev, &unmap, addr);
}

/**
 * iommu_dma_unmap_alloc - __iommu_dma_unmap() that knows what is mapped there
 * @dev: device
 * @addr: what iommu_dma_map_alloc() returned
 * @size: what iommu_dma_map_alloc() was given
 * @page: first page of the memory; NULL if there is none any more
 *
 * Memory that is freed twice may find its address in use by somebody else, whose
 * mapping stays.
 *
 * Context: Any.
 * Return: as __iommu_dma_unmap().
 */
bool iommu_dma_unmap_alloc(struct device *dev, dma_addr_t addr, size_t size,
			   struct page *page)
{
	struct iommu_dma_unmap unmap __uninitialized;

	if (!iommu_dma_unmap_claim(dev, &unmap, addr, size))
		return false;
	/* What is mapped for somebody else has other memory. */
	if (!page || iommu_iova_to_phys(unmap.cookie->domain, addr) !=
			     page_to_phys(page)) {
		iova_space_unclaim(&unmap.cookie->space, &unmap.range);
		dev_err_ratelimited(dev, "DMA free of %pad: size %zu, but other memory is mapped there\n",
				    &addr, size);
		return false;
	}
	iommu_dma_unmap_check(dev, &unmap, addr, size);
	return unmap_claimed(dev, &unmap, addr);
}

/*
 * Life of a domain.
 */

static int cookie_create(struct iommu_domain *domain,
			 enum iommu_dma_cookie_type type, dma_addr_t msi_base)
{
	struct iommu_dma_cookie *cookie;

	if (domain->iova_cookie)
		return -EEXIST;
	cookie = kzalloc(sizeof(*cookie), GFP_KERNEL);
	if (!cookie)
		return -ENOMEM;
	cookie->domain = domain;
	cookie->type = type;
	cookie->msi_next = msi_base;
	INIT_LIST_HEAD(&cookie->msi_pages);
	mutex_init(&cookie->lock);
	domain->iova_cookie = cookie;
	return 0;
}

/**
 * iommu_get_dma_cookie - prepare a domain for the DMA API
 * @domain: domain that is going to be a default domain
 *
 * Context: Process; may sleep.
 * Return: 0; -EEXIST if it has been prepared before; -ENOMEM.
 */
int iommu_get_dma_cookie(struct iommu_domain *domain)
{
	return cookie_create(domain, IOMMU_DMA_COOKIE_IOVA, 0);
}

/**
 * iommu_get_msi_cookie - prepare a domain for mapping doorbells only
 * @domain: domain whose addresses the caller manages
 * @base: where the window for doorbells begins
 *
 * For VFIO and iommufd. The caller keeps a page at @base free for each doorbell
 * that the devices of the domain may use.
 *
 * Context: Process; may sleep.
 * Return: 0; -EINVAL if the DMA API manages the addresses; -EEXIST if it has
 * been prepared before; -ENOMEM.
 */
int iommu_get_msi_cookie(struct iommu_domain *domain, dma_addr_t base)
{
	if (domain->type != IOMMU_DOMAIN_UNMANAGED)
		return -EINVAL;
	return cookie_create(domain, IOMMU_DMA_COOKIE_MSI, base);
}
EXPORT_SYMBOL(iommu_get_msi_cookie);

/**
 * iommu_put_dma_cookie - undo iommu_get_dma_cookie() or iommu_get_msi_cookie()
 * @domain: domain that is about to be freed; no device is attached to it
 *
 * Context: Process; may sleep.
 */
void iommu_put_dma_cookie(struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;
	LIST_HEAD(pages);

	if (!cookie)
		return;
	iommu_dma_msi_destroy(cookie);
	if (cookie->granule_shift) {
		iommu_dma_flush_destroy(&cookie->flush);
		/* Of mappings that their drivers have left behind */
		iommu_dma_bounce_drop(cookie, 0, cookie->last, &pages);
		iommu_put_pages_list(&pages);
		iova_space_destroy(&cookie->space);
		xa_destroy(&cookie->bounces);
	}
	mutex_destroy(&cookie->lock);
	kfree(cookie);
	domain->iova_cookie = NULL;
}

/**
 * iommu_dma_init_fq - switch a domain to deferred invalidation
 * @domain: default domain, in use or not
 *
 * Context: Process; the group's mutex serialises.
 * Return: 0; -ENODEV if no device has been set up; -EINVAL if the IOMMU cannot
 * put off invalidation.
 */
int iommu_dma_init_fq(struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;

	if (!cookie || cookie->type != IOMMU_DMA_COOKIE_IOVA ||
	    !cookie->granule_shift)
		return -ENODEV;
	if (!cookie->deferrable)
		return -EINVAL;
	iommu_dma_flush_enable(&cookie->flush, domain);
	return 0;
}

static int space_init(struct device *dev, struct iommu_dma_cookie *cookie)
{
	const struct iommu_domain_geometry *geometry = &cookie->domain->geometry;
	unsigned int shift = __ffs(cookie->domain->pgsize_bitmap);
	unsigned long larger = cookie->domain->pgsize_bitmap & ~BIT(shift);
	/* Without the top granule, so that the end of any range is an address. */
	u64 end = (u64)(dma_addr_t)U64_MAX >> shift, last;
	int ret;

	/* Of the aperture whole granules */
	if (geometry->force_aperture)
		end = min(end,
			  ((u64)geometry->aperture_end >> shift) +
				  IS_ALIGNED((u64)geometry->aperture_end + 1,
					     BIT(shift)));
	last = max(end, 1) - 1;
	ret = iova_space_init(
		&cookie->space,
		max(DIV_ROUND_UP_ULL(geometry->aperture_start, BIT(shift)), 1),
		min_t(u64, last, ULONG_MAX - 1), shift);
	if (ret)
		return ret;

	xa_init_flags(&cookie->bounces, XA_FLAGS_LOCK_IRQ);
	iommu_dma_flush_init(&cookie->flush, &cookie->space,
			     dev->iommu->shadow_on_flush);
	cookie->larger_page = larger ? BIT(__ffs(larger)) : SIZE_MAX;
	cookie->guard = iommu_dma_guard;
	cookie->last = ((last + 1) << shift) - 1;
	cookie->granule_shift = shift;
	cookie->deferrable = device_iommu_capable(dev, IOMMU_CAP_DEFERRED_FLUSH);

	if (cookie->domain->type == IOMMU_DOMAIN_DMA_FQ &&
	    iommu_dma_init_fq(cookie->domain)) {
		dev_notice(dev, "the IOMMU cannot put off invalidation, DMA is strict\n");
		cookie->domain->type = IOMMU_DOMAIN_DMA;
	}
	return 0;
}

/**
 * iommu_dma_init_domain - let a device use a domain for the DMA API
 * @dev: device
 * @domain: its default domain
 *
 * Called for each device of the domain, and again when anything about it may
 * have changed.
 *
 * Context: Process; may sleep. One device of the domain at a time.
 * Return: 0; -EINVAL if this is no domain of the DMA API; -EFAULT if the device
 * and the IOMMU have no addresses in common, or the domain does not suit the
 * device; -ENOMEM.
 */
int iommu_dma_init_domain(struct device *dev, struct iommu_domain *domain)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;
	const struct bus_dma_region *map = dev->dma_range_map;
	int ret = 0;

	if (!cookie || cookie->type != IOMMU_DMA_COOKIE_IOVA)
		return -EINVAL;
	if (map && (dma_range_map_min(map) > domain->geometry.aperture_end ||
		    dma_range_map_max(map) < domain->geometry.aperture_start)) {
		dev_err(dev, "its dma-ranges [%#llx, %#llx] are out of the IOMMU's reach [%#llx, %#llx]\n",
			(u64)dma_range_map_min(map), (u64)dma_range_map_max(map),
			(u64)domain->geometry.aperture_start,
			(u64)domain->geometry.aperture_end);
		return -EFAULT;
	}

	mutex_lock(&cookie->lock);
	if (!cookie->granule_shift) {
		ret = space_init(dev, cookie);
	} else if (cookie->granule_shift != __ffs(domain->pgsize_bitmap)) {
		dev_err(dev, "its IOMMU domain is in use with another page size\n");
		ret = -EFAULT;
	}
	mutex_unlock(&cookie->lock);
	return ret ?: iommu_dma_reserve_regions(dev, cookie);
}
