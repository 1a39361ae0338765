// SPDX-License-Identifier: GPL-2.0
/*
 * Two-step mappings: first the addresses, then the memory.
 *
 *   dma_iova_try_alloc()   allocates a range of addresses
 *   dma_iova_link()        maps memory to a part of it; as often as needed
 *   dma_iova_sync()        tells the IOMMU of what has been linked
 *   dma_iova_unlink()      unmaps a part, to which other memory may be linked
 *   dma_iova_destroy()     unmaps what is linked, and frees the addresses
 *   dma_iova_free()        the same where all has been unlinked
 *
 * A part that is unlinked may be linked again at once, so the IOMMU has forgotten it
 * when dma_iova_unlink() returns, in deferred mode, too. A range that is destroyed
 * waits for the flush as any other that is unmapped.
 *
 * Neither a table nor a bitmap tells what is linked: the IOMMU knows. It is asked only
 * when a driver has not unlinked or destroyed all of the range at once.
 */

#include <linux/dma-iommu.h>
#include <linux/dma-mapping.h>
#include <linux/export.h>

#include "../iommu-pages.h"
#include "batch.h"
#include "bounce.h"
#include "map.h"
#include "unmap.h"

/*
 * In &dma_iova_state.__size: something may be linked. The bit is mainline's, where it
 * tells of bounces, which this layer finds by their addresses.
 */
#define STATE_LINKED	DMA_IOVA_USE_SWIOTLB

/**
 * dma_iova_try_alloc - allocate addresses for memory that is to be linked
 * @dev: device
 * @state: to be filled in; all zero if this fails
 * @phys: the first byte to be linked; only its offset in a granule counts
 * @size: bytes
 *
 * The range is aligned as that of a mapping of @size bytes, and crosses the device's
 * boundary only if it is longer.
 *
 * Context: Any.
 * Return: false if the device is not behind an IOMMU, or there are no addresses; then
 * the driver maps each piece of memory by itself.
 */
bool dma_iova_try_alloc(struct device *dev, struct dma_iova_state *state,
			phys_addr_t phys, size_t size)
{
	struct iommu_dma_cookie *cookie;
	struct iova_range range;
	dma_addr_t addr;

	*state = (struct dma_iova_state) {};
	if (!use_dma_iommu(dev) || size & STATE_LINKED)
		return false;
	cookie = iommu_dma_dev_cookie(dev);
	if (iommu_dma_attach(dev, cookie->domain))
		return false;
	addr = iommu_dma_alloc_iova_phys(dev, cookie,
					 cookie_granule_offset(cookie, phys),
					 size, 1, DMA_ATTR_NO_WARN, &range);
	if (addr == DMA_MAPPING_ERROR)
		return false;
	state->addr = addr;
	state->__size = size;
	return true;
}
EXPORT_SYMBOL_GPL(dma_iova_try_alloc);

/* Whether a part lies in the range; if not, that has been reported. */
static bool is_part(struct device *dev, struct dma_iova_state *state,
		    size_t offset, size_t size)
{
	size_t whole = dma_iova_size(state);

	if (likely(size && size <= whole && offset <= whole - size))
		return true;
	dev_err_ratelimited(dev, "DMA link at %pad: %zu bytes from offset %zu on, but the range has %zu\n",
			    &state->addr, size, offset, whole);
	return false;
}

/* Link memory whose ends share granules with what the device must not see. */
static noinline int link_bounced(struct device *dev,
				 struct iommu_dma_cookie *cookie,
				 dma_addr_t addr, phys_addr_t phys, size_t size,
				 int prot, enum dma_data_direction dir,
				 unsigned long attrs)
{
	struct iommu_dma_span span = cookie_granules(cookie, addr, size);
	struct iommu_dma_batch batch = {
		.dev = dev,
		.cookie = cookie,
		.prot = prot,
		.bounce_piece = true,
	};
	LIST_HEAD(pages);
	int ret;

	/* Undoing this would free the bounces of what is linked there. */
	if (iommu_dma_has_bounces(cookie, span.start, span.end - span.start))
		return -EBUSY;
	ret = iommu_dma_batch_add(&batch, addr, phys, size);
	if (!ret)
		ret = iommu_dma_batch_finish(&batch, span.start, span.end);
	if (ret) {
		iommu_dma_batch_undo(&batch, addr, size);
		/* What the device may still reach is leaked. */
		if (!iommu_dma_batch_undo_end(&batch))
			return -EBUSY;
		iommu_dma_bounce_drop(cookie, span.start, span.end - 1, &pages);
		iommu_put_pages_list(&pages);
		return ret;
	}
	if (!dev_is_dma_coherent(dev) && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		iommu_dma_bounce_sync_for_device(dev, addr, size, dir);
	return 0;
}

static int link(struct device *dev, struct iommu_dma_cookie *cookie,
		dma_addr_t addr, phys_addr_t phys, size_t size,
		enum dma_data_direction dir, unsigned long attrs)
{
	size_t pad = cookie_granule_offset(cookie, phys);
	int prot = iommu_dma_prot(dev, dir, attrs);
	bool coherent = dev_is_dma_coherent(dev);

	if (iommu_dma_prot_is_none(prot) || phys + size - 1 < phys)
		return -EINVAL;
	if (attrs & DMA_ATTR_REQUIRE_COHERENT && !coherent)
		return -EOPNOTSUPP;
	if (unlikely(iommu_dma_bounce_needed(dev, size, dir)) &&
	    cookie_granule_offset(cookie, phys | size)) {
		if (attrs & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT))
			return -EPERM;
		return link_bounced(dev, cookie, addr, phys, size, prot, dir,
				    attrs);
	}
	if (attrs & DMA_ATTR_MMIO)
		prot = (prot & ~IOMMU_CACHE) | IOMMU_MMIO;
	else if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		arch_sync_dma_for_device_noflush(phys, size, dir);
	return iommu_dma_map_nosync(cookie, addr - pad, phys - pad,
				    ALIGN(pad + size, cookie_granule(cookie)),
				    prot);
}

/**
 * dma_iova_link - map memory to a part of a range
 * @dev: device
 * @state: the range
 * @phys: first byte; it has the same offset in a granule as its address, which is 0
 *	for all but the beginning of the range
 * @offset: bytes from the beginning of the range
 * @size: bytes; contiguous
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * The device may use it after dma_iova_sync().
 *
 * Context: Any. One call for a range at a time.
 * Return: 0; -EINVAL if it does not lie in the range, which has been reported, or no
 * access is allowed; -EIO if the offsets differ; -EOPNOTSUPP for
 * DMA_ATTR_REQUIRE_COHERENT and a device that is not coherent; -EPERM if it would have
 * to be bounced, and may not be; -EBUSY if something is linked there; -ENOMEM; or the
 * error of the IOMMU driver. After an error, what was linked before still is.
 */
int dma_iova_link(struct device *dev, struct dma_iova_state *state,
		  phys_addr_t phys, size_t offset, size_t size,
		  enum dma_data_direction dir, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	dma_addr_t addr = state->addr + offset;
	int ret;

	if (!is_part(dev, state, offset, size))
		return -EINVAL;
	/* Drivers try this with pieces of any kind, so it is refused without a word. */
	if (cookie_granule_offset(cookie, addr ^ phys) ||
	    (offset && cookie_granule_offset(cookie, addr)))
		return -EIO;
	ret = link(dev, cookie, addr, phys, size, dir, attrs);
	if ((!ret || ret == -EBUSY) && !(state->__size & STATE_LINKED))
		state->__size |= STATE_LINKED;
	return ret;
}
EXPORT_SYMBOL_GPL(dma_iova_link);

/**
 * dma_iova_sync - let the device use what has been linked
 * @dev: device
 * @state: the range
 * @offset: bytes from the beginning of the range
 * @size: bytes; all linked
 *
 * Context: Any.
 * Return: 0; -EINVAL if it does not lie in the range, which has been reported; or the
 * error of the IOMMU driver.
 */
int dma_iova_sync(struct device *dev, struct dma_iova_state *state,
		  size_t offset, size_t size)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_dma_span span;

	if (!is_part(dev, state, offset, size))
		return -EINVAL;
	if (!dev_is_dma_coherent(dev))
		arch_sync_dma_flush();
	span = cookie_granules(cookie, state->addr + offset, size);
	return iommu_sync_map(cookie->domain, span.start, span.end - span.start);
}
EXPORT_SYMBOL_GPL(dma_iova_sync);

/* Let the CPU see what the device wrote, to pieces that may be anywhere in memory. */
static void sync_for_cpu(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, size_t size,
			 enum dma_data_direction dir, unsigned long attrs)
{
	if (attrs & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO))
		return;
	if (!dev_is_dma_coherent(dev) ||
	    iommu_dma_has_bounces(cookie, addr, size))
		iommu_dma_bounce_sync_for_cpu(dev, addr, size, dir);
}

/* Whether both ends are linked; if not, that has been reported. */
static bool is_linked(struct device *dev, struct iommu_dma_cookie *cookie,
		      const struct iommu_dma_span *span)
{
	phys_addr_t phys;

	if (cookie_translate(cookie, span->start, &phys) &&
	    cookie_translate(cookie, span->end - 1, &phys))
		return true;
	dev_err_ratelimited(dev, "DMA unlink of [%#llx, %#llx]: not all of it is linked\n",
			    span->start, span->end - 1);
	return false;
}

/**
 * dma_iova_unlink - unmap a part of a range, and keep its addresses
 * @dev: device
 * @state: the range
 * @offset: bytes from the beginning of the range
 * @size: bytes; all linked
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * When this returns, the device cannot reach the memory.
 *
 * Context: Any. Never fails; what is wrong is reported.
 */
void dma_iova_unlink(struct device *dev, struct dma_iova_state *state,
		     size_t offset, size_t size, enum dma_data_direction dir,
		     unsigned long attrs)
{
	struct iommu_dma_unmap unmap = { .cookie = iommu_dma_dev_cookie(dev) };
	struct iommu_dma_span span;

	if (!is_part(dev, state, offset, size))
		return;
	span = cookie_granules(unmap.cookie, state->addr + offset, size);
	unmap.range.first = span.start >> unmap.cookie->granule_shift;
	unmap.range.last = (span.end >> unmap.cookie->granule_shift) - 1 +
			   unmap.cookie->guard;
	iommu_dma_unmap_start(&unmap, !is_linked(dev, unmap.cookie, &span));
	unmap.gather.queued = false;
	sync_for_cpu(dev, unmap.cookie, state->addr + offset, size, dir, attrs);
	if (!unmap.failed)
		iommu_dma_unmap_range(dev, &unmap, span.start,
				      span.end - span.start);
	if (iommu_dma_unmap_keep(dev, &unmap) && size == dma_iova_size(state))
		state->__size = size;
}
EXPORT_SYMBOL_GPL(dma_iova_unlink);

/**
 * dma_iova_destroy - unmap the beginning of a range, and free its addresses
 * @dev: device
 * @state: the range; not to be used again
 * @linked: bytes that are linked, from the beginning on; nothing else is. May be 0
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * If something else is linked, it is unmapped, too, and reported.
 *
 * Context: Any. Never fails.
 */
void dma_iova_destroy(struct device *dev, struct dma_iova_state *state,
		      size_t linked, enum dma_data_direction dir,
		      unsigned long attrs)
{
	struct iommu_dma_unmap unmap __uninitialized;
	size_t size = dma_iova_size(state);
	struct iommu_dma_span span;
	u64 end, more;

	if (!iommu_dma_unmap_claim(dev, &unmap, state->addr, size))
		return;
	iommu_dma_unmap_check(dev, &unmap, state->addr, size);
	if (linked && !is_part(dev, state, 0, linked)) {
		unmap.failed = true;
		linked = size;
	}
	if (!(state->__size & STATE_LINKED))
		linked = 0;
	if (linked)
		sync_for_cpu(dev, unmap.cookie, state->addr, linked, dir, attrs);

	span = cookie_granules(unmap.cookie, state->addr, linked);
	end = iommu_dma_unmap_iova_end(&unmap);
	if (linked && !unmap.failed)
		iommu_dma_unmap_range(dev, &unmap, span.start,
				      span.end - span.start);
	if (state->__size & STATE_LINKED && !unmap.failed) {
		more = iommu_dma_next_mapped(unmap.cookie,
					     linked ? span.end : span.start, end);
		if (more < end) {
			dev_err_ratelimited(dev, "DMA link at %pad: %zu bytes are unmapped, but %#llx is linked, too; unmapping all of it\n",
					    &state->addr, linked, more);
			unmap.failed = true;
		}
	}
	if (linked || unmap.failed)
		iommu_dma_unmap_end(dev, &unmap);
	else
		iova_space_release(&unmap.cookie->space, &unmap.range);
}
EXPORT_SYMBOL_GPL(dma_iova_destroy);

/**
 * dma_iova_free - free the addresses of a range, of which all has been unlinked
 * @dev: device
 * @state: the range; not to be used again
 *
 * Context: Any. Never fails.
 */
void dma_iova_free(struct device *dev, struct dma_iova_state *state)
{
	dma_iova_destroy(dev, state, 0, DMA_BIDIRECTIONAL, 0);
}
EXPORT_SYMBOL_GPL(dma_iova_free);
