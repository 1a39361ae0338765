// SPDX-License-Identifier: GPL-2.0
/*
 * Unmapping, in the order claim, translation, invalidation, addresses:
 *
 *   iommu_dma_unmap_claim()  claims the range, or reports a wrong unmap
 *   iommu_dma_unmap_range()  clears the translation of a part; once or more
 *   iommu_dma_unmap_end()    strict: invalidates and frees the range
 *                            deferred: lets the range wait for the flush
 *
 * The claim comes first so that a wrong unmap cannot touch what is not its own.
 *
 * If the IOMMU driver leaves something mapped, the device may still reach the
 * memory. Functions that return an error then return -EBUSY, and memory and
 * addresses are leaked on purpose.
 */

#include <linux/device.h>
#include <linux/mm.h>

#include "../iommu-pages.h"
#include "bounce.h"
#include "unmap.h"

/**
 * iommu_dma_next_mapped - find the first granule that the IOMMU has mapped
 * @cookie: cookie of the domain
 * @addr: DMA address of a granule
 * @end: DMA address behind the last granule
 *
 * Context: Any.
 * Return: its DMA address, or @end.
 */
u64 iommu_dma_next_mapped(const struct iommu_dma_cookie *cookie, u64 addr,
			  u64 end)
{
	while (addr < end && !iommu_iova_to_phys(cookie->domain, addr))
		addr += cookie_granule(cookie);
	return addr;
}

static u64 next_unmapped(const struct iommu_dma_cookie *cookie, u64 addr,
			 u64 end)
{
	while (addr < end && iommu_iova_to_phys(cookie->domain, addr))
		addr += cookie_granule(cookie);
	return addr;
}

/**
 * iommu_dma_unmap_claim_slow - claim a mapping that may begin before an address
 * @dev: device that the mapping was made for
 * @unmap: the unmap under way, with its cookie
 * @addr: DMA address, at which no mapping begins
 * @size: bytes, as far as the caller knows
 *
 * Context: Any.
 * Return: 0; 1 if the mapping does not begin in the granule of @addr; -ENOENT
 * if there is none. The latter two have been reported.
 */
int iommu_dma_unmap_claim_slow(struct device *dev,
			       struct iommu_dma_unmap *unmap, dma_addr_t addr,
			       size_t size)
{
	u64 min_align = iommu_dma_min_align(dev, unmap->cookie);
	dma_addr_t start;

	/* If the mapping begins before @addr, then @addr is mapped. */
	if (min_align <= cookie_granule(unmap->cookie) ||
	    !iommu_iova_to_phys(unmap->cookie->domain, addr) ||
	    !iommu_dma_claim_iova(unmap->cookie, ALIGN_DOWN(addr, min_align),
				  size, &unmap->range))
		goto none;
	/* What begins there may be another mapping, below that of @addr. */
	if (addr >= iommu_dma_unmap_iova_end(unmap)) {
		iova_space_unclaim(&unmap->cookie->space, &unmap->range);
		goto none;
	}
	start = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	start = iommu_dma_next_mapped(unmap->cookie, start,
				      iommu_dma_unmap_iova_end(unmap));
	if (addr - start < cookie_granule(unmap->cookie))
		return 0;
	dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but the mapping begins at %pad; unmapping all of it\n",
			    &addr, size, &start);
	return 1;
none:
	dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but no mapping begins there; unmapped twice?\n",
			    &addr, size);
	return -ENOENT;
}

/**
 * iommu_dma_report_size - report an unmap of the wrong size
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
	dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but %llu bytes are mapped\n",
			    &addr, size,
			    iommu_dma_unmap_iova_end(unmap) - addr);
}

/* Whether [@start, @end) goes on in memory at @phys, as far as its ends tell */
static bool goes_on(const struct iommu_dma_cookie *cookie, u64 start, u64 end,
		    phys_addr_t phys)
{
	return iommu_iova_to_phys(cookie->domain, start) == phys &&
	       iommu_iova_to_phys(cookie->domain, end - 1) ==
		       phys + (end - 1 - start);
}

/**
 * iommu_dma_unmap_following - unmap mappings that are unmapped as one with another
 * @dev: device that the mappings were made for
 * @unmap: the unmap under way, of the lowest of them
 * @addr: DMA address that the caller gave
 * @size: bytes that the caller gave
 * @sync: it is synced for the CPU
 *
 * A driver that has mapped neighbours one by one may unmap them as one, and then
 * believes that the device reaches none of them. They are told from a size that is wrong
 * by the memory: it has to go on where the addresses do, and to end by @size.
 *
 * What would need a sync, too, stays: for that it is a mapping of its own.
 *
 * Context: Any.
 */
void iommu_dma_unmap_following(struct device *dev,
			       const struct iommu_dma_unmap *unmap,
			       dma_addr_t addr, size_t size, bool sync)
{
	struct iommu_dma_unmap next = { .cookie = unmap->cookie };
	unsigned int shift = unmap->cookie->granule_shift;
	u64 begin = iommu_dma_unmap_iova_end(unmap), at = begin, end;
	u64 last = (addr + size - 1) | (cookie_granule(unmap->cookie) - 1);
	unsigned long granules;
	phys_addr_t phys;

	if (last < addr || last <= at ||
	    (sync && (!dev_is_dma_coherent(dev) ||
		      iommu_dma_any_bounces(unmap->cookie))))
		return;
	phys = iommu_iova_to_phys(unmap->cookie->domain, at - 1) + 1;
	while (at < last) {
		granules = iova_space_size(&next.cookie->space, at >> shift);
		end = at + ((u64)(granules - next.cookie->guard) << shift);
		if (!granules || end - 1 > last ||
		    !goes_on(next.cookie, at, end, phys) ||
		    !iommu_dma_claim_iova(next.cookie, at, end - at, &next.range))
			break;
		/* Before the claim, its owner could still unmap it. */
		if (iommu_dma_unmap_iova_end(&next) != end ||
		    !goes_on(next.cookie, at, end, phys)) {
			iova_space_unclaim(&next.cookie->space, &next.range);
			break;
		}
		/* A list may have holes, so this looks for what is mapped. */
		iommu_dma_unmap_start(&next, true);
		iommu_dma_unmap_end(dev, &next);
		if (next.failed)
			break;
		phys += end - at;
		at = end;
	}
	if (at > begin)
		dev_err_ratelimited(dev, "DMA unmap of %pad: the %llu bytes that follow were mapped one by one; unmapped, too\n",
				    &addr, at - begin);
}

/**
 * iommu_dma_report_unmap - report that the IOMMU driver unmapped too little
 * @dev: device that the mapping was made for
 * @addr: first byte to be unmapped
 * @size: bytes to be unmapped
 * @unmapped: bytes that were unmapped
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
 * iommu_dma_unmap_granules - iommu_unmap_fast() for pages of one granule only
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
	struct iommu_dma_cookie *cookie = unmap->cookie;

	return iommu_unmap_pages(cookie->domain, addr, cookie_granule(cookie),
				 size >> cookie->granule_shift, &unmap->gather);
}

/*
 * Unmap all that the IOMMU still has mapped: for the caller the whole mapping
 * is gone, so the device must not reach any of it.
 */
static void unmap_remains(struct device *dev, struct iommu_dma_unmap *unmap)
{
	u64 addr = iommu_dma_iova_addr(unmap->cookie, &unmap->range), next;
	u64 end = iommu_dma_unmap_iova_end(unmap);

	unmap->failed = false;
	while ((addr = iommu_dma_next_mapped(unmap->cookie, addr, end)) < end) {
		next = next_unmapped(unmap->cookie, addr, end);
		iommu_dma_unmap_range(dev, unmap, addr, next - addr);
		addr = next;
	}
}

/*
 * Invalidate what has been unmapped, then free page tables and bounces.
 * Return: false if the device may still reach the memory; bounces are leaked, then.
 */
static bool unmap_wait(struct iommu_dma_unmap *unmap)
{
	struct iommu_dma_cookie *cookie = unmap->cookie;
	LIST_HEAD(pages);

	iommu_dma_bounce_drop(cookie,
			      iommu_dma_iova_addr(cookie, &unmap->range),
			      iommu_dma_unmap_iova_end(unmap) - 1, &pages);
	if (unmap->gather.queued) {
		iommu_flush_iotlb_all(cookie->domain);
		iommu_put_pages_list(&unmap->gather.freelist);
	} else {
		iommu_iotlb_sync(cookie->domain, &unmap->gather);
	}
	if (!unmap->failed)
		iommu_put_pages_list(&pages);
	return !unmap->failed;
}

/**
 * iommu_dma_unmap_keep - finish an unmap of which the addresses are kept
 * @dev: device
 * @unmap: the unmap under way; its range is what is unmapped, and its gather is not
 *	queued
 *
 * Context: Any.
 * Return: false if the device may still reach the memory, which has been reported.
 */
bool iommu_dma_unmap_keep(struct device *dev, struct iommu_dma_unmap *unmap)
{
	if (unmap->failed)
		unmap_remains(dev, unmap);
	return unmap_wait(unmap);
}

/**
 * iommu_dma_unmap_end_slow - finish an unmap with bounces or after a failure
 * @dev: as in iommu_dma_unmap_claim()
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
	if (unmap->gather.queued && !unmap->failed) {
		iommu_dma_bounce_drop(cookie,
				      iommu_dma_iova_addr(cookie, &unmap->range),
				      iommu_dma_unmap_iova_end(unmap) - 1,
				      &pages);
		list_splice_tail_init(&unmap->gather.freelist, &pages);
		iommu_dma_flush_retire(&cookie->flush, &unmap->range, &pages);
		return;
	}
	/* If the device may still reach the memory, the addresses are leaked, too. */
	if (unmap_wait(unmap))
		iova_space_release(&cookie->space, &unmap->range);
}

/**
 * iommu_dma_drop_iova - free the range of a mapping that has failed
 * @dev: device
 * @cookie: cookie of its domain
 * @range: the range; what was mapped in it has been unmapped. Its bounces are
 *	freed, too
 * @undone: the IOMMU driver has unmapped as much; if not, this looks for what is left
 *
 * Context: Any.
 * Return: 0; or -EBUSY if the IOMMU driver has left something mapped, which has
 * been reported. Then the range is leaked, and its memory has to be leaked,
 * too.
 */
int iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			const struct iova_range *range, bool undone)
{
	u64 start = iommu_dma_iova_addr(cookie, range);
	u64 end = ((u64)range->last + 1) << cookie->granule_shift;
	dma_addr_t left = end;
	LIST_HEAD(pages);

	if (unlikely(!undone))
		left = iommu_dma_next_mapped(cookie, start, end);
	if (left < end) {
		dev_err_ratelimited(dev, "DMA map failed, and %pad is still mapped; leaking %llu bytes\n",
				    &left, end - start);
		return -EBUSY;
	}
	if (iommu_dma_any_bounces(cookie))
		iommu_dma_bounce_drop(cookie, start, end - 1, &pages);
	iommu_put_pages_list(&pages);
	iova_space_release(&cookie->space, range);
	return 0;
}

static int unmap_claimed(struct device *dev, struct iommu_dma_unmap *unmap,
			 dma_addr_t addr)
{
	bool expected = !unmap->failed;

	iommu_dma_unmap_rest(dev, unmap, addr);
	iommu_dma_unmap_end(dev, unmap);
	return expected && !unmap->failed ? 0 : -EBUSY;
}

/**
 * __iommu_dma_unmap - unmap a mapping without holes
 * @dev: device
 * @addr: DMA address of its first byte
 * @size: bytes
 *
 * Context: Any.
 * Return: 0; -ENOENT if there is no such mapping; -EBUSY if the device may
 * still reach some of it or it was not of that size, and the memory has to be
 * leaked. Errors have been reported.
 */
int __iommu_dma_unmap(struct device *dev, dma_addr_t addr, size_t size)
{
	struct iommu_dma_unmap unmap __uninitialized;

	if (!iommu_dma_unmap_claim(dev, &unmap, addr, size))
		return -ENOENT;
	iommu_dma_unmap_check(dev, &unmap, addr, size);
	return unmap_claimed(dev, &unmap, addr);
}

/* SMMUv2 has the hardware translate, which reports no more than 40 bits. */
static bool maps_page(const struct iommu_dma_cookie *cookie, dma_addr_t addr,
		      struct page *page)
{
	phys_addr_t phys = iommu_iova_to_phys(cookie->domain, addr);

	return !((phys ^ page_to_phys(page)) & GENMASK_ULL(39, 0));
}

/**
 * iommu_dma_unmap_alloc - unmap memory that is about to be freed
 * @dev: device
 * @addr: DMA address of its first byte
 * @size: bytes
 * @page: first page of the memory; NULL if it has been freed before
 *
 * If memory is freed twice, its address may meanwhile belong to another
 * mapping, which stays.
 *
 * Context: Any.
 * Return: as __iommu_dma_unmap(); -ENOENT also if other memory is mapped there.
 */
int iommu_dma_unmap_alloc(struct device *dev, dma_addr_t addr, size_t size,
			  struct page *page)
{
	struct iommu_dma_unmap unmap __uninitialized;

	if (!iommu_dma_unmap_claim(dev, &unmap, addr, size))
		return -ENOENT;
	if (!page || !maps_page(unmap.cookie, addr, page)) {
		iova_space_unclaim(&unmap.cookie->space, &unmap.range);
		dev_err_ratelimited(dev, "DMA free of %pad: size %zu, but that memory is not mapped there; freed twice?\n",
				    &addr, size);
		return -ENOENT;
	}
	iommu_dma_unmap_check(dev, &unmap, addr, size);
	return unmap_claimed(dev, &unmap, addr);
}
