// SPDX-License-Identifier: GPL-2.0
/*
 * Copies: granules that a device sees in place of memory.
 *
 * A translation covers whole granules. Where a buffer begins or ends inside of
 * one, the rest of the granule is somebody else's, and there are devices that
 * must not see it (untrusted ones), and caches that may not be maintained in
 * parts (small kmalloc() buffers of non-coherent devices). So the granule at
 * that end is replaced by one of the layer's own, zeroed and with just the
 * buffer's bytes copied in. All granules between are the buffer's alone and
 * stay where they are:
 *
 *   memory    ..aa|bbbb|cc..        . is somebody else's
 *   device    00aa|bbbb|cc00
 *             copy      copy
 *
 * Thus no mapping has more than two copies for a piece of contiguous memory, a
 * copy is never more than a granule, and there is no limit to a mapping's size.
 */

#include <linux/cleanup.h>
#include <linux/dma-map-ops.h>
#include <linux/highmem.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "../iommu-pages.h"
#include "copy.h"

/**
 * struct dma_copy - a granule that stands in for memory
 * @page: pages of the granule
 * @phys: the memory it stands for, first byte
 * @offset: where that is in the granule
 * @len: bytes; the rest is zero
 *
 * In &iommu_dma_cookie.copies by granule. Whoever has the mapping, has it.
 */
struct dma_copy {
	struct page *page;
	phys_addr_t phys;
	unsigned int offset;
	unsigned int len;
};

/**
 * dma_copy_needed_sg - whether a device must not get parts of granules
 * @dev: device
 * @sgl: list
 * @nents: its entries
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: whether ends of entries that do not fill a granule need copies.
 */
bool dma_copy_needed_sg(struct device *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	if (dma_untrusted(dev))
		return true;
	if (dma_kmalloc_safe(dev, dir))
		return false;
	for_each_sg(sgl, sg, nents, i)
		if (!dma_kmalloc_size_aligned(sg->length))
			return true;
	return false;
}

static unsigned int copy_order(const struct iommu_dma_cookie *cookie)
{
	return get_order(dma_granule(cookie));
}

static phys_addr_t copy_phys(const struct dma_copy *copy, size_t skip)
{
	return page_to_phys(copy->page) + copy->offset + skip;
}

/* Copy @len bytes at @skip in or out, through whatever pages they are in. */
static void copy_bytes(const struct dma_copy *copy, size_t skip, size_t len,
		       bool in)
{
	char *buf = page_address(copy->page) + copy->offset + skip;
	phys_addr_t phys = copy->phys + skip;
	size_t part;

	for (; len; len -= part, buf += part, phys += part) {
		struct page *page = pfn_to_page(PHYS_PFN(phys));

		part = min_t(size_t, len, PAGE_SIZE - offset_in_page(phys));
		if (in)
			memcpy_from_page(buf, page, offset_in_page(phys), part);
		else
			memcpy_to_page(page, offset_in_page(phys), buf, part);
	}
}

static struct dma_copy *copy_create(struct device *dev,
				    struct iommu_dma_cookie *cookie,
				    phys_addr_t phys, size_t len)
{
	struct dma_copy *copy = kmalloc(sizeof(*copy), GFP_ATOMIC | __GFP_NOWARN);
	void *buf;

	if (!copy)
		return NULL;
	buf = iommu_alloc_pages_node(dev_to_node(dev), GFP_ATOMIC | __GFP_NOWARN,
				     copy_order(cookie));
	if (!buf) {
		kfree(copy);
		return NULL;
	}
	*copy = (struct dma_copy) {
		.page = virt_to_page(buf),
		.phys = phys,
		.offset = dma_granule_offset(cookie, phys),
		.len = len,
	};
	/* So that each is freed by itself, with other pages of an unmap */
	split_page(copy->page, copy_order(cookie));
	copy_bytes(copy, 0, len, true);
	return copy;
}

static void copy_destroy(struct iommu_dma_cookie *cookie, struct dma_copy *copy,
			 struct list_head *pages)
{
	unsigned int i;

	for (i = 0; i < 1U << copy_order(cookie); i++)
		list_add_tail(&copy->page[i].lru, pages);
	kfree(copy);
}

/**
 * dma_copy_map - map a copy for a device
 * @dev: device
 * @cookie: its domain's
 * @addr: address for the first byte; the granule is the mapping's and free
 * @phys: memory of it, with the same offset in a granule
 * @len: bytes, which do not leave the granule
 * @prot: IOMMU_*
 *
 * The copy has the memory's bytes whatever the direction: a device may write
 * less than the mapping, and then the rest is to be what it was.
 *
 * Context: Any.
 * Return: 0; -ENOMEM; or the error of iommu_map().
 */
int dma_copy_map(struct device *dev, struct iommu_dma_cookie *cookie,
		 dma_addr_t addr, phys_addr_t phys, size_t len, int prot)
{
	struct dma_copy *copy = copy_create(dev, cookie, phys, len);
	LIST_HEAD(pages);
	unsigned long flags;
	int ret;

	if (!copy)
		return -ENOMEM;
	/* What has a copy needs syncing, also if the device is coherent. */
	dma_reset_need_sync(dev);
	if (!dev_is_dma_coherent(dev))
		arch_sync_dma_for_device(page_to_phys(copy->page),
					 dma_granule(cookie), DMA_BIDIRECTIONAL);

	xa_lock_irqsave(&cookie->copies, flags);
	ret = xa_err(__xa_store(&cookie->copies, addr >> cookie->granule_lg2,
				copy, GFP_ATOMIC | __GFP_NOWARN));
	xa_unlock_irqrestore(&cookie->copies, flags);
	if (ret) {
		copy_destroy(cookie, copy, &pages);
		iommu_put_pages_list(&pages);
		return ret;
	}

	addr -= copy->offset;
	ret = iommu_map(cookie->domain, addr, page_to_phys(copy->page),
			dma_granule(cookie), prot, GFP_ATOMIC);
	if (ret) {
		dma_copy_drop(cookie, addr, addr, &pages);
		iommu_put_pages_list(&pages);
	}
	return ret;
}

/**
 * dma_copy_drop - remove the copies of a mapping
 * @cookie: the domain's
 * @start: first byte of its range
 * @last: last byte of its range
 * @pages: gets the pages, to be freed when no IOTLB refers to them
 *
 * Context: Any. Never fails and never allocates memory.
 */
void dma_copy_drop(struct iommu_dma_cookie *cookie, dma_addr_t start,
		   dma_addr_t last, struct list_head *pages)
{
	struct dma_copy *copy;
	unsigned long index;
	unsigned long flags;

	xa_for_each_range(&cookie->copies, index, copy,
			  start >> cookie->granule_lg2,
			  last >> cookie->granule_lg2) {
		xa_lock_irqsave(&cookie->copies, flags);
		__xa_erase(&cookie->copies, index);
		xa_unlock_irqrestore(&cookie->copies, flags);
		copy_destroy(cookie, copy, pages);
	}
}

/* What of a copy is in [offset, offset + len) of its granule */
static void sync_copy(struct device *dev, const struct dma_copy *copy,
		      size_t offset, size_t len, enum dma_data_direction dir,
		      bool for_cpu)
{
	bool coherent = dev_is_dma_coherent(dev);
	phys_addr_t phys;
	size_t skip;

	/* A list's segments may include what is between entries. */
	if (offset + len <= copy->offset || offset >= copy->offset + copy->len)
		return;
	skip = offset > copy->offset ? offset - copy->offset : 0;
	len = min(offset + len, (size_t)copy->offset + copy->len) -
	      (copy->offset + skip);
	phys = copy_phys(copy, skip);
	if (for_cpu) {
		if (!coherent)
			arch_sync_dma_for_cpu(phys, len, dir);
		if (dir != DMA_TO_DEVICE)
			copy_bytes(copy, skip, len, false);
	} else {
		if (dir != DMA_FROM_DEVICE)
			copy_bytes(copy, skip, len, true);
		if (!coherent)
			arch_sync_dma_for_device(phys, len, dir);
	}
}

/* A granule of memory, or part of one, for a device that is not coherent */
static void sync_memory(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			size_t len, enum dma_data_direction dir, bool for_cpu)
{
	phys_addr_t phys = iommu_iova_to_phys(cookie->domain, addr);

	if (for_cpu)
		arch_sync_dma_for_cpu(phys, len, dir);
	else
		arch_sync_dma_for_device(phys, len, dir);
}

/*
 * From copy to copy; for a device that is not coherent also what is between,
 * granule by granule, as that need not be contiguous.
 */
static void sync_granules(struct device *dev, dma_addr_t addr, size_t size,
			  enum dma_data_direction dir, bool for_cpu)
{
	struct iommu_dma_cookie *cookie = dma_cookie(dev);
	unsigned long index = addr >> cookie->granule_lg2;
	dma_addr_t end = addr + size, next;
	unsigned long last = (end - 1) >> cookie->granule_lg2;
	struct dma_copy *copy = xa_find(&cookie->copies, &index, last,
					XA_PRESENT);

	for (; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, dma_granule(cookie)));
		if (copy && addr >> cookie->granule_lg2 == index) {
			sync_copy(dev, copy, dma_granule_offset(cookie, addr),
				  next - addr, dir, for_cpu);
			copy = xa_find_after(&cookie->copies, &index, last,
					     XA_PRESENT);
		} else if (dev_is_dma_coherent(dev)) {
			if (!copy)
				break;
			next = (dma_addr_t)index << cookie->granule_lg2;
		} else {
			sync_memory(cookie, addr, next - addr, dir, for_cpu);
		}
	}
}

/**
 * dma_copy_sync_for_device - give a mapping that may have copies to the device
 * @dev: device
 * @addr: first byte
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void dma_copy_sync_for_device(struct device *dev, dma_addr_t addr, size_t size,
			      enum dma_data_direction dir)
{
	sync_granules(dev, addr, size, dir, false);
}

/**
 * dma_copy_sync_for_cpu - take a mapping that may have copies from the device
 * @dev: device
 * @addr: first byte
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void dma_copy_sync_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
			   enum dma_data_direction dir)
{
	sync_granules(dev, addr, size, dir, true);
}
