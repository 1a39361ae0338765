// SPDX-License-Identifier: GPL-2.0
/*
 * Unmapping, in the order claim, translation, invalidation, addresses:
 *
 *   iommu_dma_unmap_begin()  claims the range, or reports a wrong unmap
 *   iommu_dma_unmap_range()  clears the translation of a part, as often as needed
 *   iommu_dma_unmap_end()    strict: invalidates, and the range is free
 *                            deferred: the range waits for the end of the window
 *
 * The claim comes first so that a wrong unmap cannot touch what is not its own.
 *
 * If the IOMMU driver leaves something mapped, the device may still reach the
 * memory. This is told by -EBUSY everywhere, and then memory and addresses are
 * leaked on purpose.
 */

#include <linux/device.h>
#include <linux/mm.h>

#include "../iommu-pages.h"
#include "bounce.h"
#include "unmap.h"

/* How far from @start on no granule below @end is mapped */
static u64 unmapped_bytes(const struct iommu_dma_cookie *cookie, u64 start,
			  u64 end)
{
	u64 addr;

	for (addr = start; addr < end; addr += cookie_granule(cookie))
		if (iommu_iova_to_phys(cookie->domain, addr))
			break;
	return addr - start;
}

/* How far from @start on all granules below @end are mapped */
static u64 mapped_bytes(const struct iommu_dma_cookie *cookie, u64 start,
			u64 end)
{
	u64 addr;

	for (addr = start; addr < end; addr += cookie_granule(cookie))
		if (!iommu_iova_to_phys(cookie->domain, addr))
			break;
	return addr - start;
}

/**
 * iommu_dma_unmap_claim_slow - claim a mapping that may begin before its address
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
	u64 min_align = iommu_dma_min_align(dev, unmap->cookie);
	dma_addr_t start;

	/* A mapping that begins before @addr is mapped there, too. */
	if (min_align <= cookie_granule(unmap->cookie) ||
	    !iommu_iova_to_phys(unmap->cookie->domain, addr) ||
	    !iommu_dma_claim_iova(unmap->cookie, ALIGN_DOWN(addr, min_align),
				  size, &unmap->range)) {
		dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but no mapping begins there; unmapped twice?\n",
				    &addr, size);
		return -ENOENT;
	}
	start = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	start += unmapped_bytes(unmap->cookie, start,
				iommu_dma_unmap_iova_end(unmap));
	if (addr - start < cookie_granule(unmap->cookie))
		return 0;
	dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but the mapping begins at %pad; unmapping all of it\n",
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
	dev_err_ratelimited(dev, "DMA unmap of %pad: size %zu, but %llu bytes are mapped\n",
			    &addr, size,
			    iommu_dma_unmap_iova_end(unmap) - addr);
}

/**
 * iommu_dma_report_unmap - tell that the IOMMU driver unmapped too little
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
 * iommu_dma_unmap_granules - iommu_unmap_fast() without pages above a granule
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
 * The caller believes all of it gone, so the device must not reach any of it:
 * ask the IOMMU what is still there.
 */
static void unmap_remains(struct device *dev, struct iommu_dma_unmap *unmap)
{
	u64 addr = iommu_dma_iova_addr(unmap->cookie, &unmap->range), size;
	u64 end = iommu_dma_unmap_iova_end(unmap);

	unmap->failed = false;
	for (; addr < end; addr += size) {
		addr += unmapped_bytes(unmap->cookie, addr, end);
		size = mapped_bytes(unmap->cookie, addr, end);
		if (size)
			iommu_dma_unmap_range(dev, unmap, addr, size);
	}
}

/**
 * iommu_dma_unmap_end_slow - iommu_dma_unmap_end() with bounces, or after a failure
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

/**
 * iommu_dma_drop_iova - give up the range of a mapping that has failed
 * @dev: device
 * @cookie: of its domain
 * @range: the range; all that was mapped in it has been unmapped, and its bounces
 *	go
 *
 * Context: Any.
 * Return: 0; or -EBUSY if the IOMMU driver left something mapped, which has been
 * reported: the range is leaked, and so has to be its memory.
 */
int iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			const struct iova_range *range)
{
	u64 start = iommu_dma_iova_addr(cookie, range);
	u64 end = ((u64)range->last + 1) << cookie->granule_shift;
	u64 gone = unmapped_bytes(cookie, start, end);
	LIST_HEAD(pages);

	if (start + gone < end) {
		iommu_dma_report_unmap(dev, start, end - start, gone);
		return -EBUSY;
	}
	if (!iommu_dma_no_bounces(cookie))
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
 * Return: 0; or, after a report, -ENOENT if there is no such mapping; -EBUSY if the
 * device may still reach some of it or it was not of that size: the memory has to
 * be leaked.
 */
int __iommu_dma_unmap(struct device *dev, dma_addr_t addr, size_t size)
{
	struct iommu_dma_unmap unmap __uninitialized;

	if (!iommu_dma_unmap_begin(dev, &unmap, addr, size))
		return -ENOENT;
	return unmap_claimed(dev, &unmap, addr);
}

/**
 * iommu_dma_unmap_alloc - unmap memory that is about to be freed
 * @dev: device
 * @addr: DMA address of its first byte
 * @size: bytes
 * @page: first page; NULL if there is none any more
 *
 * Memory that is freed twice may find its address in use by somebody else, whose
 * mapping stays.
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
	if (!page || iommu_iova_to_phys(unmap.cookie->domain, addr) !=
		     page_to_phys(page)) {
		iova_space_unclaim(&unmap.cookie->space, &unmap.range);
		dev_err_ratelimited(dev, "DMA free of %pad: size %zu, but other memory is mapped there; freed twice?\n",
				    &addr, size);
		return -ENOENT;
	}
	iommu_dma_unmap_check(dev, &unmap, addr, size);
	return unmap_claimed(dev, &unmap, addr);
}
