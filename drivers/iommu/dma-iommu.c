// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA API for devices behind an IOMMU: what the DMA core calls.
 *
 * The buffer of a driver gets an address in the domain of its device, and a
 * translation from that address to the buffer. The files in dma/ do this. Each
 * of them calls only those below it:
 *
 *   domain.c        the life of a domain
 *   resv.c, msi.c   windows and reserved regions; doorbells
 *   sg.c            mapping scatterlists
 *   alloc.c         coherent and non-contiguous memory
 *   link.c          addresses first, memory later: dma_iova_link()
 *   batch.c         a mapping made of pieces of memory
 *   map.c, unmap.c  addresses and translation for one piece of memory
 *   bounce.c        granules that a device sees in place of memory
 *   flush.c         deferred invalidation: when a range may be used again
 *   iova-space.c    addresses: who gets which range
 *   iova-pool.c     the chunks and extents of a space
 *   iova-chunk.c, iova-extents.c, sg-layout.c   pure parts
 *
 * This file implements the DMA API for single buffers: sizes, directions,
 * attributes, caches. sg.c and alloc.c do so for scatterlists and for memory.
 */

#include <linux/dma-iommu.h>
#include <linux/export.h>

#include "dma-iommu.h"
#include "dma/batch.h"
#include "dma/bounce.h"
#include "dma/map.h"
#include "dma/unmap.h"

/*
 * Single mappings.
 */

/* Whether a buffer begins or ends inside a granule and has to be bounced there */
static __always_inline bool bounces_ends(struct device *dev, phys_addr_t phys,
					 size_t size,
					 enum dma_data_direction dir)
{
	return unlikely(iommu_dma_bounce_needed(dev, size, dir)) &&
	       cookie_granule_offset(iommu_dma_dev_cookie(dev), phys | size);
}

/*
 * Map such a buffer, with bounces at these ends. @stuck: set if that has failed and the
 * device may still reach some of it.
 */
static noinline dma_addr_t map_bounced_ends(struct device *dev, phys_addr_t phys,
					    size_t size,
					    enum dma_data_direction dir,
					    unsigned long attrs, u64 align,
					    bool *stuck)
{
	bool coherent = dev_is_dma_coherent(dev);
	struct iommu_dma_batch batch = {
		.dev = dev,
		.cookie = iommu_dma_dev_cookie(dev),
		.prot = iommu_dma_prot(dev, dir, attrs),
		.bounce_piece = true,
	};
	struct iommu_dma_span span;
	struct iova_range range;
	dma_addr_t addr;

	if (iommu_dma_prot_is_none(batch.prot) || phys + size - 1 < phys ||
	    iommu_dma_attach(dev, batch.cookie->domain))
		return DMA_MAPPING_ERROR;
	addr = iommu_dma_alloc_iova_phys(dev, batch.cookie,
					 iommu_dma_bounce_place(dev, batch.cookie,
								phys, size, dir),
					 size, align, attrs, &range);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	span = cookie_granules(batch.cookie, addr, size);
	if (iommu_dma_batch_add(&batch, addr, phys, size) ||
	    iommu_dma_batch_finish(&batch, span.start, span.end)) {
		iommu_dma_batch_undo(&batch, addr, size);
		*stuck = iommu_dma_drop_iova(dev, batch.cookie, &range,
					     iommu_dma_batch_undo_end(&batch));
		return DMA_MAPPING_ERROR;
	}
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		iommu_dma_bounce_sync_for_device(dev, addr, size, dir);
	return addr;
}

/**
 * iommu_dma_map_page - map a page, a part of one, or contiguous pages
 * @dev: device
 * @page: first page
 * @offset: bytes from the beginning of @page
 * @size: bytes
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_map_page(struct device *dev, struct page *page,
			      unsigned long offset, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	phys_addr_t phys = page_to_phys(page) + offset;
	bool coherent = dev_is_dma_coherent(dev), stuck;
	dma_addr_t addr;

	if (bounces_ends(dev, phys, size, dir))
		return map_bounced_ends(dev, phys, size, dir, attrs, 1, &stuck);

	addr = iommu_dma_map_phys(dev, phys, size,
				  iommu_dma_prot(dev, dir, attrs), attrs);
	/* The device does not know the address yet, so this is early enough. */
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    addr != DMA_MAPPING_ERROR)
		arch_sync_dma_for_device(phys, size, dir);
	return addr;
}

/**
 * iommu_dma_map_pages - map pages that have been allocated for the device
 * @dev: device
 * @page: first page
 * @size: bytes
 * @dir: direction of the transfer
 * @addr: where to store the address for the device, which is aligned to @size
 *	rounded up to a power of two of pages; or DMA_MAPPING_ERROR
 *
 * For dma_alloc_pages(), which leaves the caches to its caller.
 *
 * Context: Any.
 * Return: whether the pages may be freed if they could not be mapped: not those that
 * the device may still reach.
 */
bool iommu_dma_map_pages(struct device *dev, struct page *page, size_t size,
			 enum dma_data_direction dir, dma_addr_t *addr)
{
	const unsigned long attrs = DMA_ATTR_SKIP_CPU_SYNC;
	u64 align = (u64)PAGE_SIZE << get_order(size);
	int prot = iommu_dma_prot(dev, dir, attrs);
	phys_addr_t phys = page_to_phys(page);
	bool stuck = false;
	int ret;

	/* Granules may be larger than pages. */
	if (bounces_ends(dev, phys, size, dir)) {
		*addr = map_bounced_ends(dev, phys, size, dir, attrs, align,
					 &stuck);
		return !stuck;
	}
	ret = iommu_dma_prot_is_none(prot) ? -EINVAL :
	      iommu_dma_map_alloc(dev, phys, size, dma_get_mask(dev), prot,
				  attrs, addr);
	if (ret)
		*addr = DMA_MAPPING_ERROR;
	return ret != -EBUSY;
}

/*
 * Whether first and last byte are as far apart in memory as in the range. If
 * not, it is a scatterlist or several mappings.
 */
static bool ends_at(struct iommu_dma_cookie *cookie, dma_addr_t addr,
		    phys_addr_t phys, size_t size)
{
	size_t in_granule = cookie_granule(cookie) -
			    cookie_granule_offset(cookie, addr);
	size_t last = size - 1;

	return size <= in_granule ||
	       iommu_iova_to_phys(cookie->domain, addr + last) == phys + last;
}

/* What a sync of a part of a mapping has to do */
enum sync_kind {
	SYNC_NOTHING,
	SYNC_CACHES,	/* of memory in one piece */
	SYNC_PIECES,	/* bounces, or granules anywhere in memory */
};

/* A coherent device needs no sync, and no page table walk, unless bounced. */
static noinline enum sync_kind sync_needed(struct device *dev,
					   struct iommu_dma_cookie *cookie,
					   dma_addr_t addr, size_t size,
					   phys_addr_t *phys)
{
	if (iommu_dma_has_bounces(cookie, addr, size))
		return SYNC_PIECES;
	if (dev_is_dma_coherent(dev))
		return SYNC_NOTHING;
	if (cookie_translate(cookie, addr, phys))
		return ends_at(cookie, addr, *phys, size) ? SYNC_CACHES :
							    SYNC_PIECES;
	dev_err_ratelimited(dev, "DMA sync of %pad: size %zu, but nothing is mapped there\n",
			    &addr, size);
	return SYNC_NOTHING;
}

static void sync_for_cpu(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, size_t size,
			 enum dma_data_direction dir)
{
	enum sync_kind sync = SYNC_NOTHING;
	phys_addr_t phys;

	if (dir != DMA_TO_DEVICE)
		sync = sync_needed(dev, cookie, addr, size, &phys);
	if (sync == SYNC_PIECES)
		iommu_dma_bounce_sync_for_cpu(dev, addr, size, dir);
	else if (sync == SYNC_CACHES)
		arch_sync_dma_for_cpu(phys, size, dir);
}

/* Claim a single mapping; with what follows it, if they are unmapped as one. */
static __always_inline bool unmap_begin(struct device *dev,
					struct iommu_dma_unmap *unmap,
					dma_addr_t addr, size_t size, bool sync)
{
	if (!iommu_dma_unmap_claim(dev, unmap, addr, size))
		return false;
	if (!iommu_dma_unmap_check(dev, unmap, addr, size))
		iommu_dma_unmap_following(dev, unmap, addr, size, sync);
	return true;
}

/**
 * iommu_dma_unmap_page - undo iommu_dma_map_page()
 * @dev: device
 * @addr: the address for the device
 * @size: bytes
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any. Never fails; a wrong unmap is reported.
 */
void iommu_dma_unmap_page(struct device *dev, dma_addr_t addr, size_t size,
			  enum dma_data_direction dir, unsigned long attrs)
{
	struct iommu_dma_unmap unmap __uninitialized;
	bool sync = !(attrs & DMA_ATTR_SKIP_CPU_SYNC);

	if (!unmap_begin(dev, &unmap, addr, size, sync))
		return;
	if (sync &&
	    (!dev_is_dma_coherent(dev) ||
	     unlikely(iommu_dma_any_bounces(unmap.cookie))) &&
	    addr < iommu_dma_unmap_iova_end(&unmap))
		sync_for_cpu(dev, unmap.cookie, addr,
			     min_t(u64, size,
				   iommu_dma_unmap_iova_end(&unmap) - addr),
			     dir);
	iommu_dma_unmap_rest(dev, &unmap, addr);
	iommu_dma_unmap_end(dev, &unmap);
}

/**
 * iommu_dma_map_resource - map registers or memory of another device
 * @dev: device
 * @phys: first byte
 * @size: bytes
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any.
 * Return: the address for the device, or DMA_MAPPING_ERROR.
 */
dma_addr_t iommu_dma_map_resource(struct device *dev, phys_addr_t phys,
				  size_t size, enum dma_data_direction dir,
				  unsigned long attrs)
{
	int prot = iommu_dma_prot(dev, dir, attrs) & ~IOMMU_CACHE;

	return iommu_dma_map_phys(dev, phys, size, prot | IOMMU_MMIO, attrs);
}

/**
 * iommu_dma_unmap_resource - undo iommu_dma_map_resource()
 * @dev: device
 * @addr: the address for the device
 * @size: bytes
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any. Never fails; a wrong unmap is reported.
 */
void iommu_dma_unmap_resource(struct device *dev, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir, unsigned long attrs)
{
	struct iommu_dma_unmap unmap __uninitialized;

	if (!unmap_begin(dev, &unmap, addr, size, false))
		return;
	iommu_dma_unmap_rest(dev, &unmap, addr);
	iommu_dma_unmap_end(dev, &unmap);
}

/**
 * iommu_dma_sync_single_for_cpu - let the CPU see what the device wrote
 * @dev: device
 * @addr: the address for the device, anywhere in a mapping
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr,
				   size_t size, enum dma_data_direction dir)
{
	sync_for_cpu(dev, iommu_dma_dev_cookie(dev), addr, size, dir);
}

/**
 * iommu_dma_sync_single_for_device - let the device see what the CPU wrote
 * @dev: device
 * @addr: the address for the device, anywhere in a mapping
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_sync_single_for_device(struct device *dev, dma_addr_t addr,
				      size_t size, enum dma_data_direction dir)
{
	enum sync_kind sync;
	phys_addr_t phys;

	sync = sync_needed(dev, iommu_dma_dev_cookie(dev), addr, size, &phys);
	if (sync == SYNC_PIECES)
		iommu_dma_bounce_sync_for_device(dev, addr, size, dir);
	else if (sync == SYNC_CACHES)
		arch_sync_dma_for_device(phys, size, dir);
}

/*
 * Limits.
 */

/**
 * iommu_dma_get_merge_boundary - where list entries can be merged
 * @dev: device
 *
 * Context: Any.
 * Return: mask of the address bits that have to be 0 where two entries meet, if
 * they are to become one segment.
 */
unsigned long iommu_dma_get_merge_boundary(struct device *dev)
{
	return cookie_granule(iommu_dma_dev_cookie(dev)) - 1;
}

/**
 * iommu_dma_opt_mapping_size - the size up to which mapping is fastest
 *
 * Context: Any.
 * Return: bytes, for a granule of PAGE_SIZE.
 */
size_t iommu_dma_opt_mapping_size(void)
{
	return IOVA_SMALL_MAX << PAGE_SHIFT;
}

/**
 * iommu_dma_max_mapping_size - the size up to which mapping is possible at all
 * @dev: device
 *
 * Context: Any.
 * Return: bytes; SIZE_MAX stands for any that a driver may think of.
 */
size_t iommu_dma_max_mapping_size(struct device *dev)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	u64 align = max_t(u64, iommu_dma_min_align(dev, cookie), PAGE_SIZE);
	u64 limit = iommu_dma_limit(dev, cookie, dma_get_mask(dev)), unused;

	/*
	 * Drivers convert this to 32 bits of sectors: report no odd large
	 * sizes.
	 */
	if (limit > DMA_BIT_MASK(32))
		return SIZE_MAX;
	/*
	 * Addresses below the minimum alignment are never used, nor are guards
	 * mapped.
	 */
	unused = ALIGN((u64)cookie->domain->geometry.aperture_start, align);
	unused = max(unused, align) +
		 (u64)cookie->guard * cookie_granule(cookie);
	return limit + 1 > unused ? limit + 1 - unused : 0;
}

const struct dma_map_ops iommu_dma_ops = {
	.alloc			= iommu_dma_alloc,
	.free			= iommu_dma_free,
	.alloc_pages_op		= dma_common_alloc_pages,
	.free_pages		= dma_common_free_pages,
	.mmap			= iommu_dma_mmap,
	.get_sgtable		= iommu_dma_get_sgtable,
	.map_page		= iommu_dma_map_page,
	.unmap_page		= iommu_dma_unmap_page,
	.map_sg			= iommu_dma_map_sg,
	.unmap_sg		= iommu_dma_unmap_sg,
	.map_resource		= iommu_dma_map_resource,
	.unmap_resource		= iommu_dma_unmap_resource,
	.sync_single_for_cpu	= iommu_dma_sync_single_for_cpu,
	.sync_single_for_device	= iommu_dma_sync_single_for_device,
	.sync_sg_for_cpu	= iommu_dma_sync_sg_for_cpu,
	.sync_sg_for_device	= iommu_dma_sync_sg_for_device,
	.max_mapping_size	= iommu_dma_max_mapping_size,
	.opt_mapping_size	= iommu_dma_opt_mapping_size,
	.get_merge_boundary	= iommu_dma_get_merge_boundary,
};
EXPORT_SYMBOL_GPL(iommu_dma_ops);
