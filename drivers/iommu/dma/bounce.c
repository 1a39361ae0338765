// SPDX-License-Identifier: GPL-2.0
/*
 * Bounces: granules that a device sees in place of memory.
 *
 * A translation covers whole granules. If a buffer begins or ends inside a
 * granule, the rest of the granule belongs to others. Some devices must not see
 * it (untrusted ones), and some caches may not be maintained in parts (small
 * kmalloc() buffers of non-coherent devices). So the granule at that end is
 * replaced by one of the layer's own, which is zero except for the bytes of the
 * buffer, copied in. All granules between belong to the buffer alone and stay
 * where they are:
 *
 *   memory    ..aa|bbbb|cc..        . belongs to others
 *   device    00aa|bbbb|cc00
 *             bounced   bounced
 *
 * The same is done for a granule of a scatterlist that is to be contiguous but
 * does not lie in memory as the device is to see it (see batch.c); such a
 * bounce has several parts. As a bounce is never more than a granule, there is
 * no limit to the size of a mapping.
 *
 * A buffer of its own that fits into one granule is moved to the beginning of that, as
 * far as the device does not ask for its offset:
 *
 *   memory    ...a|aa..
 *   device    aaa00000
 */

#include <linux/dma-direct.h>
#include <linux/dma-iommu.h>
#include <linux/highmem.h>
#include <linux/kmsan-checks.h>
#include <linux/memremap.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <trace/events/swiotlb.h>

#include "../iommu-pages.h"
#include "bounce.h"

/**
 * struct iommu_dma_bounce_part - memory that a bounce stands for
 * @next: next part, or NULL
 * @phys: first byte
 * @offset: bytes from the beginning of the granule
 * @len: bytes
 */
struct iommu_dma_bounce_part {
	struct iommu_dma_bounce_part *next;
	phys_addr_t phys;
	unsigned int offset;
	unsigned int len;
};

/**
 * struct iommu_dma_bounce - a granule that stands for memory
 * @page: pages of the granule; what is in no part is zero
 * @part: the parts, in no order
 *
 * In &iommu_dma_cookie.bounces by granule. It belongs to the mapping there.
 */
struct iommu_dma_bounce {
	struct page *page;
	struct iommu_dma_bounce_part part;
};

/**
 * iommu_dma_bounce_needed_sg - whether a device must not get parts of granules
 * @dev: device
 * @sgl: scatterlist
 * @nents: number of entries
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: whether ends of entries that do not fill a granule have to be
 * bounced.
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

/* Copy @len bytes of @part, from @offset of the granule on, from memory. */
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

/* Copy @len bytes of @part, from @offset of the granule on, back to memory. */
static void copy_out(const struct iommu_dma_bounce *bounce,
		     const struct iommu_dma_bounce_part *part, size_t offset,
		     size_t len)
{
	phys_addr_t phys = part->phys + offset - part->offset;
	char *buf = page_address(bounce->page) + offset;
	size_t n;

	/* The device may have written this, which KMSAN cannot see. */
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
	int ret;

	if (!bounce)
		return NULL;
	bounce->page = alloc_pages_node(dev_to_node(dev),
					GFP_ATOMIC | __GFP_NOWARN,
					bounce_order(cookie));
	if (!bounce->page) {
		kfree(bounce);
		return NULL;
	}
	__iommu_alloc_account(bounce->page, bounce_order(cookie));
	/* The device sees the granule, which may be less than the page. */
	memset(page_address(bounce->page), 0, cookie_granule(cookie));
	/* Each page is freed by itself, along with other pages of an unmap. */
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
	/* A bounce needs syncing even if the device is coherent. */
	dma_reset_need_sync(dev);
	return bounce;
}

/* Return an unused part of @bounce: the embedded one first, then new ones. */
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

/*
 * Whether the CPU may copy from there: memory, that of files in persistent memory
 * too, but neither registers nor memory that only a device gets at
 */
static bool is_memory(phys_addr_t phys)
{
	struct page *page;

	if (!pfn_valid(PHYS_PFN(phys)))
		return false;
	page = pfn_to_page(PHYS_PFN(phys));
	return !is_pci_p2pdma_page(page) && !is_device_private_page(page);
}

/* Who looks for bounces looks at the event of swiotlb. */
static void trace_bounce(struct device *dev, phys_addr_t phys, size_t len)
{
#ifdef CONFIG_SWIOTLB
	trace_swiotlb_bounced(dev, phys_to_dma(dev, phys), len);
#endif
}

/**
 * iommu_dma_bounce_add - let a bounce stand for memory
 * @dev: device
 * @cookie: cookie of its domain
 * @addr: device address of the first byte, in a granule of the caller's mapping
 * @phys: memory
 * @len: bytes, which do not leave the granule
 *
 * The bounce is created unless the granule has one. The memory is always copied
 * in, even for DMA_FROM_DEVICE: bytes that the device does not write must keep
 * their value.
 *
 * Context: Any.
 * Return: 0; -EFAULT if it is not memory that the kernel can bounce; -ENOMEM.
 * After an error the caller calls iommu_dma_bounce_drop(), as the bounce may
 * exist.
 */
int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len)
{
	struct iommu_dma_bounce *bounce = bounce_find(cookie, addr);
	struct iommu_dma_bounce_part *part;

	if (!is_memory(phys) || !is_memory(phys + len - 1))
		return -EFAULT;
	if (!bounce)
		bounce = bounce_create(dev, cookie, addr);
	if (!bounce)
		return -ENOMEM;
	part = part_create(bounce);
	if (!part)
		return -ENOMEM;
	trace_bounce(dev, phys, len);
	part->phys = phys;
	part->offset = cookie_granule_offset(cookie, addr);
	part->len = len;
	copy_in(bounce, part, part->offset, len);
	return 0;
}

/**
 * iommu_dma_bounce_phys - get the address to map for a complete bounce
 * @dev: device
 * @cookie: cookie of its domain
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
 * iommu_dma_bounce_drop - remove the bounces of a mapping
 * @cookie: cookie of the domain
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

/*
 * Return: how many bytes of @part are in [@offset, @offset + @len); 0 for none.
 * @start: where to store the offset of the first one
 */
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

	for (part = &bounce->part; part; part = part->next) {
		n = part_overlap(part, offset, len, &start);
		if (!n)
			continue;
		/* copy_out() reads the bytes next, so this sync has to wait. */
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
 * iommu_dma_bounce_sync_range - sync all bounces of a range for the CPU
 * @dev: device
 * @cookie: cookie of its domain
 * @start: first byte of the mapping's range
 * @last: last byte of the mapping's range
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_bounce_sync_range(struct device *dev,
				 struct iommu_dma_cookie *cookie,
				 dma_addr_t start, dma_addr_t last,
				 enum dma_data_direction dir)
{
	struct iommu_dma_bounce *bounce;
	unsigned long index;

	xa_for_each_range(&cookie->bounces, index, bounce,
			  start >> cookie->granule_shift,
			  last >> cookie->granule_shift)
		if (dir != DMA_TO_DEVICE)
			bounce_sync_for_cpu(dev, bounce, 0,
					    cookie_granule(cookie), dir);
}

/**
 * struct sync_ops - how to sync a mapping for the CPU or for the device
 * @bounce: syncs part of a bounce
 * @caches: syncs memory that the device reaches itself; complete after
 *	arch_sync_dma_flush()
 */
struct sync_ops {
	void (*bounce)(struct device *dev, const struct iommu_dma_bounce *bounce,
		       size_t offset, size_t len, enum dma_data_direction dir);
	void (*caches)(phys_addr_t phys, size_t size,
		       enum dma_data_direction dir);
};

/*
 * Sync each bounce. For a device that is not coherent, also sync the memory in
 * between, one granule at a time, as it may be scattered.
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
			if (cookie_translate(cookie, addr, &phys))
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
