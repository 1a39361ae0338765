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
 * Likewise a granule of a list that is to be contiguous but does not lie in
 * memory as the device is to see it (see batch.c): then it has several parts. As a
 * copy is never more than a granule, there is no limit to a mapping's size.
 */

#include <linux/dma-iommu.h>
#include <linux/highmem.h>
#include <linux/kmsan-checks.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "../iommu-pages.h"
#include "bounce.h"

/**
 * struct iommu_dma_bounce_part - memory that a copy stands for
 * @next: more of it, or NULL
 * @phys: first byte
 * @offset: where that is in the granule
 * @len: bytes
 */
struct iommu_dma_bounce_part {
	struct iommu_dma_bounce_part *next;
	phys_addr_t phys;
	unsigned int offset;
	unsigned int len;
};

/**
 * struct iommu_dma_bounce - a granule that stands in for memory
 * @page: pages of the granule; what is in no part is zero
 * @part: the parts, in no order
 *
 * In &iommu_dma_cookie.bounces by granule. Whoever has the mapping, has it.
 */
struct iommu_dma_bounce {
	struct page *page;
	struct iommu_dma_bounce_part part;
};

/**
 * iommu_dma_bounce_needed_sg - whether a device must not get parts of granules
 * @dev: device
 * @sgl: list
 * @nents: its entries
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: whether ends of entries that do not fill a granule need copies.
 */
bool iommu_dma_bounce_needed_sg(struct device *dev, struct scatterlist *sgl,
				int nents, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	if (iommu_dma_untrusted(dev))
		return true;
	if (dma_kmalloc_safe(dev, dir))
		return false;
	for_each_sg(sgl, sg, nents, i)
		if (!dma_kmalloc_size_aligned(sg->length))
			return true;
	return false;
}

static unsigned int bounce_order(const struct iommu_dma_cookie *cookie)
{
	return get_order(cookie_granule(cookie));
}

/* Copy @len bytes from @offset of the granule on, which are @part's, from memory. */
static void copy_in(const struct iommu_dma_bounce *bounce,
		    const struct iommu_dma_bounce_part *part, size_t offset,
		    size_t len)
{
	phys_addr_t phys = part->phys + offset - part->offset;
	char *buf = page_address(bounce->page) + offset;
	size_t n;

	for (; len; len -= n, buf += n, phys += n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(phys));
		memcpy_from_page(buf, pfn_to_page(PHYS_PFN(phys)),
				 offset_in_page(phys), n);
	}
}

/* The same to memory */
static void copy_out(const struct iommu_dma_bounce *bounce,
		     const struct iommu_dma_bounce_part *part, size_t offset,
		     size_t len)
{
	phys_addr_t phys = part->phys + offset - part->offset;
	char *buf = page_address(bounce->page) + offset;
	size_t n;

	/* A device wrote it, or may have: KMSAN cannot see that. */
	kmsan_unpoison_memory(buf, len);
	for (; len; len -= n, buf += n, phys += n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(phys));
		memcpy_to_page(pfn_to_page(PHYS_PFN(phys)),
			       offset_in_page(phys), buf, n);
	}
}

static struct iommu_dma_bounce *bounce_find(struct iommu_dma_cookie *cookie,
					    dma_addr_t addr)
{
	return xa_load(&cookie->bounces, addr >> cookie->granule_shift);
}

static void bounce_destroy(struct iommu_dma_cookie *cookie,
			   struct iommu_dma_bounce *bounce,
			   struct list_head *pages)
{
	struct iommu_dma_bounce_part *part, *next;
	unsigned int i;

	for (i = 0; i < 1U << bounce_order(cookie); i++)
		list_add_tail(&bounce->page[i].lru, pages);
	for (part = bounce->part.next; part; part = next) {
		next = part->next;
		kfree(part);
	}
	kfree(bounce);
}

static struct iommu_dma_bounce *bounce_create(struct device *dev,
					      struct iommu_dma_cookie *cookie,
					      dma_addr_t addr)
{
	struct iommu_dma_bounce *bounce =
		kzalloc(sizeof(*bounce), GFP_ATOMIC | __GFP_NOWARN);
	LIST_HEAD(pages);
	unsigned long flags;
	void *buf;
	int ret;

	if (!bounce)
		return NULL;
	buf = iommu_alloc_pages_node(dev_to_node(dev),
				     GFP_ATOMIC | __GFP_NOWARN,
				     bounce_order(cookie));
	if (!buf) {
		kfree(bounce);
		return NULL;
	}
	bounce->page = virt_to_page(buf);
	/* So that each is freed by itself, with other pages of an unmap */
	split_page(bounce->page, bounce_order(cookie));

	xa_lock_irqsave(&cookie->bounces, flags);
	ret = xa_err(__xa_store(&cookie->bounces, addr >> cookie->granule_shift,
				bounce, GFP_ATOMIC | __GFP_NOWARN));
	xa_unlock_irqrestore(&cookie->bounces, flags);
	if (ret) {
		bounce_destroy(cookie, bounce, &pages);
		iommu_put_pages_list(&pages);
		return NULL;
	}
	/* What has a copy needs syncing, also if the device is coherent. */
	dma_reset_need_sync(dev);
	return bounce;
}

/* Another part of a bounce, or the first if it has none */
static struct iommu_dma_bounce_part *
part_create(struct iommu_dma_bounce *bounce)
{
	struct iommu_dma_bounce_part *part;

	if (!bounce->part.len)
		return &bounce->part;
	part = kmalloc(sizeof(*part), GFP_ATOMIC | __GFP_NOWARN);
	if (part) {
		part->next = bounce->part.next;
		bounce->part.next = part;
	}
	return part;
}

/**
 * iommu_dma_bounce_add - let a copy stand for memory
 * @dev: device
 * @cookie: its domain's
 * @addr: device address of the first byte; the granule is the caller's mapping's
 * @phys: memory
 * @len: bytes, which do not leave the granule
 *
 * The granule becomes a copy unless it is one. It gets the memory's bytes
 * whatever the direction: a device may write less than the mapping, and then the
 * rest is to be what it was.
 *
 * Context: Any.
 * Return: 0; -EFAULT if it is not memory that the kernel can bounce; -ENOMEM, and
 * the granule may be a copy: iommu_dma_bounce_drop() will do.
 */
int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len)
{
	struct iommu_dma_bounce *bounce = bounce_find(cookie, addr);
	struct iommu_dma_bounce_part *part;

	if (!iommu_dma_is_memory(PHYS_PFN(phys)) ||
	    !iommu_dma_is_memory(PHYS_PFN(phys + len - 1)))
		return -EFAULT;
	if (!bounce)
		bounce = bounce_create(dev, cookie, addr);
	if (!bounce)
		return -ENOMEM;
	part = part_create(bounce);
	if (!part)
		return -ENOMEM;
	part->phys = phys;
	part->offset = cookie_granule_offset(cookie, addr);
	part->len = len;
	copy_in(bounce, part, part->offset, len);
	return 0;
}

/**
 * iommu_dma_bounce_phys - a copy has all its parts: where is it?
 * @dev: device
 * @cookie: its domain's
 * @addr: device address in the granule
 *
 * Context: Any.
 * Return: the physical address to map, of a whole granule that is ready for the
 * device after arch_sync_dma_flush().
 */
phys_addr_t iommu_dma_bounce_phys(struct device *dev,
				  struct iommu_dma_cookie *cookie,
				  dma_addr_t addr)
{
	phys_addr_t phys = page_to_phys(bounce_find(cookie, addr)->page);

	if (!dev_is_dma_coherent(dev))
		arch_sync_dma_for_device_noflush(phys, cookie_granule(cookie),
						 DMA_BIDIRECTIONAL);
	return phys;
}

/**
 * iommu_dma_bounce_drop - remove the copies of a mapping
 * @cookie: the domain's
 * @start: first byte of its range
 * @last: last byte of its range
 * @pages: gets the pages, to be freed when no IOTLB refers to them
 *
 * Context: Any. Never fails and never allocates memory.
 */
void iommu_dma_bounce_drop(struct iommu_dma_cookie *cookie, dma_addr_t start,
			   dma_addr_t last, struct list_head *pages)
{
	struct iommu_dma_bounce *bounce;
	unsigned long index;
	unsigned long flags;

	xa_for_each_range(&cookie->bounces, index, bounce,
			  start >> cookie->granule_shift,
			  last >> cookie->granule_shift) {
		xa_lock_irqsave(&cookie->bounces, flags);
		__xa_erase(&cookie->bounces, index);
		xa_unlock_irqrestore(&cookie->bounces, flags);
		bounce_destroy(cookie, bounce, pages);
	}
}

/* Of [@offset, @offset + @len) of the granule, where @part begins and how long it is */
static size_t part_overlap(const struct iommu_dma_bounce_part *part,
			   size_t offset, size_t len, size_t *start)
{
	size_t end = min(offset + len, (size_t)part->offset + part->len);

	*start = max_t(size_t, offset, part->offset);
	return end > *start ? end - *start : 0;
}

static void bounce_sync_for_cpu(struct device *dev,
				const struct iommu_dma_bounce *bounce,
				size_t offset, size_t len,
				enum dma_data_direction dir)
{
	const struct iommu_dma_bounce_part *part;
	size_t start, n;

	if (dir == DMA_TO_DEVICE)
		return;
	for (part = &bounce->part; part; part = part->next) {
		n = part_overlap(part, offset, len, &start);
		if (!n)
			continue;
		/* It is read at once, so this has to be complete. */
		if (!dev_is_dma_coherent(dev))
			arch_sync_dma_for_cpu(page_to_phys(bounce->page) + start,
					      n, dir);
		copy_out(bounce, part, start, n);
	}
}

static void bounce_sync_for_device(struct device *dev,
				   const struct iommu_dma_bounce *bounce,
				   size_t offset, size_t len,
				   enum dma_data_direction dir)
{
	phys_addr_t phys = page_to_phys(bounce->page);
	const struct iommu_dma_bounce_part *part;
	size_t start, n;

	for (part = &bounce->part; part; part = part->next) {
		n = part_overlap(part, offset, len, &start);
		if (!n)
			continue;
		if (dir != DMA_FROM_DEVICE)
			copy_in(bounce, part, start, n);
		if (!dev_is_dma_coherent(dev))
			arch_sync_dma_for_device_noflush(phys + start, n, dir);
	}
}

/**
 * iommu_dma_bounce_copy_back - let memory have what the device wrote to its bounces
 * @dev: device
 * @cookie: its domain's
 * @start: first byte of the mapping's range
 * @last: last byte of the mapping's range
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_bounce_copy_back(struct device *dev,
				struct iommu_dma_cookie *cookie,
				dma_addr_t start, dma_addr_t last,
				enum dma_data_direction dir)
{
	struct iommu_dma_bounce *bounce;
	unsigned long index;

	xa_for_each_range(&cookie->bounces, index, bounce,
			  start >> cookie->granule_shift,
			  last >> cookie->granule_shift)
		bounce_sync_for_cpu(dev, bounce, 0, cookie_granule(cookie), dir);
}

/**
 * struct sync_ops - how to hand memory to the CPU or to the device
 * @bounce: part of a bounce
 * @caches: memory that the device reaches itself, completed by
 *	arch_sync_dma_flush()
 */
struct sync_ops {
	void (*bounce)(struct device *dev, const struct iommu_dma_bounce *bounce,
		       size_t offset, size_t len, enum dma_data_direction dir);
	void (*caches)(phys_addr_t phys, size_t size,
		       enum dma_data_direction dir);
};

/*
 * From bounce to bounce; for a device that is not coherent also what is between,
 * granule by granule, as that need not be contiguous in memory.
 */
static __always_inline void sync_mapping(struct device *dev, dma_addr_t addr,
					 size_t size,
					 enum dma_data_direction dir,
					 const struct sync_ops *ops)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	unsigned long index = addr >> cookie->granule_shift;
	bool coherent = dev_is_dma_coherent(dev);
	dma_addr_t end = addr + size, next;
	unsigned long last = (end - 1) >> cookie->granule_shift;
	struct iommu_dma_bounce *bounce;
	phys_addr_t phys;

	bounce = xa_find(&cookie->bounces, &index, last, XA_PRESENT);
	for (; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, cookie_granule(cookie)));
		if (bounce && addr >> cookie->granule_shift == index) {
			ops->bounce(dev, bounce,
				    cookie_granule_offset(cookie, addr),
				    next - addr, dir);
			bounce = xa_find_after(&cookie->bounces, &index, last,
					       XA_PRESENT);
		} else if (coherent) {
			if (!bounce)
				break;
			next = (dma_addr_t)index << cookie->granule_shift;
		} else {
			phys = iommu_iova_to_phys(cookie->domain, addr);
			if (phys)
				ops->caches(phys, next - addr, dir);
		}
	}
	if (!coherent)
		arch_sync_dma_flush();
}

/**
 * iommu_dma_bounce_sync_for_cpu - let the CPU see what the device wrote
 * @dev: device
 * @addr: first byte of a mapping that may have bounces, or of a part of one
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_bounce_sync_for_cpu(struct device *dev, dma_addr_t addr,
				   size_t size, enum dma_data_direction dir)
{
	static const struct sync_ops ops = {
		.bounce = bounce_sync_for_cpu,
		.caches = arch_sync_dma_for_cpu_noflush,
	};

	if (dir != DMA_TO_DEVICE)
		sync_mapping(dev, addr, size, dir, &ops);
}

/**
 * iommu_dma_bounce_sync_for_device - let the device see what the CPU wrote
 * @dev: device
 * @addr: first byte of a mapping that may have bounces, or of a part of one
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_bounce_sync_for_device(struct device *dev, dma_addr_t addr,
				      size_t size, enum dma_data_direction dir)
{
	static const struct sync_ops ops = {
		.bounce = bounce_sync_for_device,
		.caches = arch_sync_dma_for_device_noflush,
	};

	sync_mapping(dev, addr, size, dir, &ops);
}
