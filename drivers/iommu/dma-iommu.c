// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA API for devices behind an IOMMU: what the DMA core calls.
 *
 * A driver's buffer gets an address of the device's domain and a translation
 * to it. How is decided in dma/, one room per idea:
 *
 *   domain.c       mapping and unmapping ranges of an address space
 *   iova-space.c         addresses: who gets which range
 *   flush.c        deferred invalidation: when a range may be used again
 *   sg.c         mapping scatterlists
 *   sg-layout.c  layout: which segments a list becomes
 *   batch.c          making a mapping out of pieces of memory
 *   bounce.c         granules that a device sees in place of memory
 *   alloc.c       coherent and non-contiguous allocations
 *   msi.c          doorbells
 *   resv.c      windows and reserved regions
 *
 * This file is the DMA API's contract: sizes, directions, attributes, caches; for
 * scatterlists, sg.c is.
 */

#include <linux/dma-iommu.h>
#include <linux/pci.h>

#include "dma-iommu.h"
#include "dma/bounce.h"
#include "dma/domain.h"
#include "dma/batch.h"
#include "dma/alloc.h"

/*
 * Single mappings.
 */

/* Memory that begins or ends inside a granule, for a device that needs copies */
static noinline dma_addr_t map_bounced_ends(struct device *dev,
					    phys_addr_t phys, size_t size,
					    enum dma_data_direction dir,
					    unsigned long attrs)
{
	bool coherent = dev_is_dma_coherent(dev);
	struct iommu_dma_batch batch = {
		.dev = dev,
		.cookie = iommu_dma_dev_cookie(dev),
		.prot = iommu_dma_prot(dir, coherent, attrs),
		.bounce = true,
	};
	dma_addr_t addr, start, end;
	struct iova_range range;

	if (!iommu_dma_allowed(batch.prot) ||
	    iommu_dma_attach(dev, batch.cookie->domain))
		return DMA_MAPPING_ERROR;
	addr = iommu_dma_alloc_iova_phys(dev, batch.cookie, phys, size, 1,
					 dma_get_mask(dev), attrs, &range);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	start = addr - cookie_granule_offset(batch.cookie, addr);
	end = ALIGN(addr + size, cookie_granule(batch.cookie));
	if (iommu_dma_batch_add(&batch, addr, phys, size) ||
	    iommu_dma_batch_finish(&batch, start, end)) {
		iommu_dma_batch_undo(&batch, addr, size);
		iommu_dma_batch_undo_end(&batch);
		iommu_dma_drop_iova(dev, batch.cookie, &range);
		return DMA_MAPPING_ERROR;
	}
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		iommu_dma_bounce_sync(dev, addr, size, dir, false);
	return addr;
}

/**
 * iommu_dma_map_page - map a page or part of one, or several in a row
 * @dev: device
 * @page: first page
 * @offset: of the first byte from @page
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
	bool coherent = dev_is_dma_coherent(dev);
	dma_addr_t addr;

	if (unlikely(iommu_dma_bounce_needed(dev, size, dir)) &&
	    cookie_granule_offset(iommu_dma_dev_cookie(dev), phys | size))
		return map_bounced_ends(dev, phys, size, dir, attrs);

	addr = iommu_dma_map_phys(dev, phys, size, 1,
				  iommu_dma_prot(dir, coherent, attrs),
				  dma_get_mask(dev), attrs);
	/* The device has not been told the address, so it is not too late. */
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    addr != DMA_MAPPING_ERROR)
		arch_sync_dma_for_device(phys, size, dir);
	return addr;
}

/*
 * Whether the end of a range is where it is expected in memory: a list is not in one
 * piece there, nor are mappings that happen to follow each other.
 */
static bool ends_at(struct iommu_dma_cookie *cookie, dma_addr_t addr,
		    phys_addr_t phys, size_t size)
{
	return cookie_granule_offset(cookie, addr) + size <=
		       cookie_granule(cookie) ||
	       iommu_iova_to_phys(cookie->domain, addr + size - 1) ==
		       phys + size - 1;
}

/* Nothing to do for coherent devices, and no page table walk for them */
static noinline void sync_single(struct device *dev,
				 struct iommu_dma_cookie *cookie,
				 dma_addr_t addr, size_t size,
				 enum dma_data_direction dir, bool for_cpu)
{
	phys_addr_t phys;

	if (iommu_dma_has_bounces(cookie, addr, size)) {
		iommu_dma_bounce_sync(dev, addr, size, dir, for_cpu);
		return;
	}
	if (dev_is_dma_coherent(dev) || (for_cpu && dir == DMA_TO_DEVICE))
		return;
	phys = iommu_iova_to_phys(cookie->domain, addr);
	if (!phys)
		dev_err_ratelimited(dev, "DMA sync of %pad, %zu bytes: nothing is mapped there\n",
				    &addr, size);
	else if (!ends_at(cookie, addr, phys, size))
		iommu_dma_bounce_sync(dev, addr, size, dir, for_cpu);
	else if (for_cpu)
		arch_sync_dma_for_cpu(phys, size, dir);
	else
		arch_sync_dma_for_device(phys, size, dir);
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

	if (!iommu_dma_unmap_begin(dev, &unmap, addr, size))
		return;
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    (!dev_is_dma_coherent(dev) ||
	     unlikely(!iommu_dma_no_bounces(unmap.cookie))) &&
	    addr < iommu_dma_unmap_iova_end(&unmap))
		sync_single(dev, unmap.cookie, addr,
			    min_t(u64, size,
				  iommu_dma_unmap_iova_end(&unmap) - addr),
			    dir, true);
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
	return iommu_dma_map_phys(dev, phys, size, 1,
				  iommu_dma_prot(dir, false, attrs) |
					  IOMMU_MMIO,
				  dma_get_mask(dev), attrs);
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
	__iommu_dma_unmap(dev, addr, size);
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
	sync_single(dev, iommu_dma_dev_cookie(dev), addr, size, dir, true);
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
	sync_single(dev, iommu_dma_dev_cookie(dev), addr, size, dir, false);
}

/*
 * Allocations: dma/alloc.c in the shape that the DMA core wants.
 */

/**
 * iommu_dma_alloc - allocate memory that device and CPU use at the same time
 * @dev: device
 * @size: bytes
 * @handle: where to store the address for the device
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: As @gfp says.
 * Return: the address for the CPU of zeroed memory, or NULL.
 */
void *iommu_dma_alloc(struct device *dev, size_t size, dma_addr_t *handle,
		      gfp_t gfp, unsigned long attrs)
{
	return dma_memory_alloc(dev, size, handle, gfp, attrs);
}

/**
 * iommu_dma_free - undo iommu_dma_alloc()
 * @dev: device
 * @size: bytes, as for iommu_dma_alloc()
 * @cpu_addr: what that returned
 * @handle: the address for the device
 * @attrs: as for iommu_dma_alloc()
 *
 * Context: May sleep where iommu_dma_alloc() might have.
 */
void iommu_dma_free(struct device *dev, size_t size, void *cpu_addr,
		    dma_addr_t handle, unsigned long attrs)
{
	dma_memory_free(dev, size, cpu_addr, handle);
}

/**
 * iommu_dma_mmap - map what iommu_dma_alloc() returned into a process
 * @dev: device
 * @vma: where; its offset is in pages of the memory
 * @cpu_addr: what iommu_dma_alloc() returned
 * @dma_addr: the address for the device
 * @size: bytes, as for iommu_dma_alloc()
 * @attrs: as for iommu_dma_alloc()
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory; or the error of mm.
 */
int iommu_dma_mmap(struct device *dev, struct vm_area_struct *vma,
		   void *cpu_addr, dma_addr_t dma_addr, size_t size,
		   unsigned long attrs)
{
	return dma_memory_mmap(dev, vma, cpu_addr, size, attrs);
}

/**
 * iommu_dma_get_sgtable - the pages of what iommu_dma_alloc() returned, as a list
 * @dev: device
 * @sgt: to be filled in; the caller frees it
 * @cpu_addr: what iommu_dma_alloc() returned
 * @dma_addr: the address for the device
 * @size: bytes, as for iommu_dma_alloc()
 * @attrs: as for iommu_dma_alloc()
 *
 * Context: Process; may sleep.
 * Return: 0 or -ENOMEM.
 */
int iommu_dma_get_sgtable(struct device *dev, struct sg_table *sgt,
			  void *cpu_addr, dma_addr_t dma_addr, size_t size,
			  unsigned long attrs)
{
	return dma_memory_sgtable(sgt, cpu_addr, size);
}

/**
 * iommu_dma_alloc_noncontiguous - allocate pages that the device sees as one range
 * @dev: device
 * @size: bytes
 * @dir: direction of the transfers
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: Process; may sleep.
 * Return: the pages, mapped as one segment; NULL if memory or addresses are short.
 */
struct sg_table *iommu_dma_alloc_noncontiguous(struct device *dev, size_t size,
					       enum dma_data_direction dir,
					       gfp_t gfp, unsigned long attrs)
{
	return dma_pages_alloc(dev, size, gfp, attrs);
}

/**
 * iommu_dma_free_noncontiguous - undo iommu_dma_alloc_noncontiguous()
 * @dev: device
 * @size: bytes
 * @sgt: what that returned
 * @dir: direction of the transfers
 *
 * Context: Process; may sleep.
 */
void iommu_dma_free_noncontiguous(struct device *dev, size_t size,
				  struct sg_table *sgt,
				  enum dma_data_direction dir)
{
	dma_pages_free(dev, size, sgt);
}

/**
 * iommu_dma_vmap_noncontiguous - give such pages one range of kernel addresses
 * @dev: device
 * @size: bytes
 * @sgt: what iommu_dma_alloc_noncontiguous() returned
 *
 * Context: Process; may sleep.
 * Return: the first byte, or NULL; to be given to vunmap().
 */
void *iommu_dma_vmap_noncontiguous(struct device *dev, size_t size,
				   struct sg_table *sgt)
{
	return dma_pages_vmap(sgt, size);
}

/**
 * iommu_dma_mmap_noncontiguous - map such pages into a process
 * @dev: device
 * @vma: where; its offset is in pages of the memory
 * @size: bytes
 * @sgt: what iommu_dma_alloc_noncontiguous() returned
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory; or the error of mm.
 */
int iommu_dma_mmap_noncontiguous(struct device *dev, struct vm_area_struct *vma,
				 size_t size, struct sg_table *sgt)
{
	return dma_pages_mmap(sgt, vma, size);
}

/*
 * Limits.
 */

/**
 * iommu_dma_get_merge_boundary - which ends of list entries can be merged
 * @dev: device
 *
 * Context: Any.
 * Return: mask of the address bits in which two entries that are to become one
 * segment have to be 0 where they meet.
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
	u64 limit = iommu_dma_limit(dev, cookie, dma_get_mask(dev)), unused;

	/* Drivers put this into 32 bits of sectors, so no odd large numbers. */
	if (limit > DMA_BIT_MASK(32))
		return SIZE_MAX;
	/* The lowest granule is never used, nor its unit; guards are not mapped. */
	unused = iommu_dma_min_align(dev, cookie) +
		 (u64)cookie->guard * cookie_granule(cookie);
	return limit + 1 > unused ? limit + 1 - unused : 0;
}

/**
 * iommu_setup_dma_ops - make a device use this layer, or not
 * @dev: device whose default domain has been set or changed
 *
 * Context: Process; may sleep. The mutex of the device's group is held.
 */
void iommu_setup_dma_ops(struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	if (dev_is_pci(dev))
		dev->iommu->pci_32bit_workaround = !iommu_dma_forcedac;

	dev->dma_iommu = iommu_is_dma_domain(domain);
	if (!dev->dma_iommu || !iommu_dma_init_domain(dev, domain))
		return;
	dev->dma_iommu = false;
	dev_warn(dev, "its IOMMU domain cannot be used for DMA, going on without: DMA may fail\n");
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
