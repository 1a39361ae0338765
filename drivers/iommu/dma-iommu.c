// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA API for devices behind an IOMMU: what the DMA core calls.
 *
 * A driver's buffer gets an address of the device's domain and a translation
 * to it. How is decided in dma/, one room per idea:
 *
 *   domain.c       mapping and unmapping ranges of an address space
 *   iova.c         addresses: who gets which range
 *   flush.c        deferred invalidation: when a range may be used again
 *   scatterlist.c  layout: which segments a list becomes
 *   copy.c         granules that a device sees in place of memory
 *   memory.c       coherent and non-contiguous allocations
 *   msi.c          doorbells
 *   reserve.c      windows and reserved regions
 *
 * This file is the DMA API's contract: sizes, directions, attributes, caches,
 * and what scatterlists look like before and after.
 */

#include <linux/dma-iommu.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/vmalloc.h>

#include "dma-iommu.h"
#include "iommu-pages.h"
#include "dma/copy.h"
#include "dma/domain.h"
#include "dma/memory.h"
#include "dma/scatterlist.h"

/*
 * Making a mapping out of pieces, in ascending order of device addresses.
 */

/**
 * struct dma_job - a mapping in the making
 * @dev: device
 * @cookie: its domain's
 * @prot: IOMMU_*
 * @copy: granules that a piece does not fill are to be copies
 * @addr: device address of the run: what is contiguous and not mapped yet
 * @phys: its memory
 * @size: its bytes; 0 if there is no run
 * @done: all pieces below this device address are mapped
 */
struct dma_job {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	bool copy;
	dma_addr_t addr;
	phys_addr_t phys;
	size_t size;
	dma_addr_t done;
};

static int job_flush(struct dma_job *job)
{
	int ret;

	if (!job->size)
		return 0;
	ret = dma_pages_map(job->cookie, job->addr, job->phys, job->size,
			    job->prot);
	if (ret)
		return ret;
	job->done = job->addr + job->size;
	job->size = 0;
	return 0;
}

/* Whole granules; joined to the run if possible, as larger pages are faster. */
static int job_add(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		   size_t size)
{
	int ret;

	if (job->size && addr == job->addr + job->size &&
	    phys == job->phys + job->size) {
		job->size += size;
		return 0;
	}
	ret = job_flush(job);
	job->addr = addr;
	job->phys = phys;
	job->size = size;
	return ret;
}

static int job_copy(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		    size_t len)
{
	int ret = job_flush(job);

	if (!ret)
		ret = dma_copy_map(job->dev, job->cookie, addr, phys, len,
				   job->prot);
	if (!ret)
		job->done = ALIGN(addr + len, dma_granule(job->cookie));
	return ret;
}

/* Physically contiguous memory, with the same offset in a granule as @addr */
static int job_piece(struct dma_job *job, dma_addr_t addr, phys_addr_t phys,
		     size_t len)
{
	size_t granule = dma_granule(job->cookie);
	size_t offset = dma_granule_offset(job->cookie, phys);
	size_t part;
	int ret;

	if (!job->copy)
		return job_add(job, addr - offset, phys - offset,
			       ALIGN(offset + len, granule));

	for (; len; addr += part, phys += part, len -= part) {
		if (!dma_granule_offset(job->cookie, phys) && len >= granule) {
			part = ALIGN_DOWN(len, granule);
			ret = job_add(job, addr, phys, part);
		} else {
			part = min(len, granule -
				   dma_granule_offset(job->cookie, phys));
			ret = job_copy(job, addr, phys, part);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* All pieces are in [start, end). */
static int job_finish(struct dma_job *job, dma_addr_t start, dma_addr_t end)
{
	struct iommu_domain *domain = job->cookie->domain;
	int ret = job_flush(job);

	if (!ret && domain->ops->iotlb_sync_map)
		ret = domain->ops->iotlb_sync_map(domain, start, end - start);
	return ret;
}

/* Unmap as much of a piece as has been mapped. */
static void job_undo_piece(struct dma_job *job, dma_addr_t addr, size_t len)
{
	dma_addr_t end = min(job->done,
			     ALIGN(addr + len, dma_granule(job->cookie)));

	addr -= dma_granule_offset(job->cookie, addr);
	if (addr < end)
		iommu_unmap(job->cookie->domain, addr, end - addr);
}

/* No piece of [start, end) is mapped any more; give back what is behind it. */
static void job_abandon(struct dma_job *job, const struct iova_range *range,
			dma_addr_t start, dma_addr_t end)
{
	LIST_HEAD(pages);

	if (job->copy)
		dma_copy_drop(job->cookie, start, end - 1, &pages);
	iommu_put_pages_list(&pages);
	iova_release(&job->cookie->space, range);
}

/*
 * Single mappings.
 */

/* Memory that begins or ends inside a granule, for a device that needs copies */
static noinline dma_addr_t map_with_copies(struct device *dev, phys_addr_t phys,
				  size_t size, enum dma_data_direction dir,
				  unsigned long attrs)
{
	bool coherent = dev_is_dma_coherent(dev);
	struct dma_job job = {
		.dev = dev,
		.cookie = dma_cookie(dev),
		.prot = dma_protection(dir, coherent, attrs),
		.copy = true,
	};
	struct iova_range range;
	dma_addr_t addr;

	if (!dma_allowed(job.prot) ||
	    dma_domain_attach(dev, job.cookie->domain))
		return DMA_MAPPING_ERROR;
	addr = dma_iova_alloc_for(dev, job.cookie, phys, size, 1,
				  dma_get_mask(dev), &range);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	if (job_piece(&job, addr, phys, size) ||
	    job_finish(&job, addr, addr + size)) {
		job_undo_piece(&job, addr, size);
		job_abandon(&job, &range, addr, addr + size);
		return DMA_MAPPING_ERROR;
	}
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		dma_copy_sync_for_device(dev, addr, size, dir);
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

	if (unlikely(dma_copy_needed(dev, size, dir)) &&
	    dma_granule_offset(dma_cookie(dev), phys | size))
		return map_with_copies(dev, phys, size, dir, attrs);

	addr = dma_map(dev, phys, size, 1, dma_protection(dir, coherent, attrs),
		       dma_get_mask(dev));
	/* The device has not been told the address, so it is not too late. */
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    addr != DMA_MAPPING_ERROR)
		arch_sync_dma_for_device(phys, size, dir);
	return addr;
}

/* Nothing to do for coherent devices, and no page table walk for them */
static noinline void sync_single(struct device *dev, struct iommu_dma_cookie *cookie,
			dma_addr_t addr, size_t size,
			enum dma_data_direction dir, bool for_cpu)
{
	phys_addr_t phys;

	if (dma_has_copies(cookie, addr, size)) {
		if (for_cpu)
			dma_copy_sync_for_cpu(dev, addr, size, dir);
		else
			dma_copy_sync_for_device(dev, addr, size, dir);
		return;
	}
	if (dev_is_dma_coherent(dev) || (for_cpu && dir == DMA_TO_DEVICE))
		return;
	phys = iommu_iova_to_phys(cookie->domain, addr);
	if (!phys)
		dev_err_ratelimited(dev, "DMA sync of %pad, %zu bytes: nothing is mapped there\n",
				    &addr, size);
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
	struct dma_teardown td __uninitialized;

	if (!dma_teardown_begin(dev, &td, addr, size))
		return;
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
	    (!dev_is_dma_coherent(dev) ||
	     unlikely(!xa_empty(&td.cookie->copies))))
		sync_single(dev, td.cookie, addr,
			    min_t(u64, size, dma_teardown_limit(&td) - addr),
			    dir, true);
	dma_teardown_rest(dev, &td, addr);
	dma_teardown_end(&td);
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
	return dma_domain_map(dev, phys, size, 1,
			      dma_protection(dir, false, attrs) | IOMMU_MMIO,
			      dma_get_mask(dev));
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
	dma_domain_unmap(dev, addr, size);
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
	sync_single(dev, dma_cookie(dev), addr, size, dir, true);
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
	sync_single(dev, dma_cookie(dev), addr, size, dir, false);
}

/*
 * Scatterlists. The list is measured, its range is mapped, and only then is
 * anything written into it; dma_layout_next() gives the same places each time.
 */

/**
 * struct dma_list - a scatterlist in the making
 * @job: how to map it
 * @sgl: first entry
 * @nents: entries
 * @layout: what device and IOMMU ask for
 * @start: device address of its range
 */
struct dma_list {
	struct dma_job job;
	struct scatterlist *sgl;
	int nents;
	struct dma_layout layout;
	dma_addr_t start;
};

static struct dma_layout device_layout(struct device *dev,
				       const struct iommu_dma_cookie *cookie)
{
	return (struct dma_layout) {
		.granule = dma_granule(cookie),
		.unit = dma_unit(dev, cookie),
		/* All ones wrap to 0, which means none. */
		.boundary = (u64)dma_get_seg_boundary(dev) + 1,
		.max_segment = dma_get_max_seg_size(dev),
	};
}

/**
 * struct dma_walk - a pass over a list
 * @cursor: of the layout
 * @peers: what is known of other devices' memory
 *
 * All zero to begin with.
 */
struct dma_walk {
	struct dma_cursor cursor;
	struct pci_p2pdma_map_state peers;
};

/*
 * Another PCI device's memory may be reached without the IOMMU.
 * Return: 1 if so, with the address in @place; 0 if not; or -EREMOTEIO.
 */
static int list_place_peer(const struct dma_list *list, struct dma_walk *walk,
			   const struct scatterlist *sg, struct dma_place *place)
{
	/* The answer comes in the entry, which is not ours to change yet. */
	struct scatterlist peer = *sg;

	switch (pci_p2pdma_map_segment(&walk->peers, list->job.dev, &peer)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		dma_layout_break(&walk->cursor);
		*place = (struct dma_place) { .start = sg_dma_address(&peer) };
		return 1;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return 0;
	default:
		return -EREMOTEIO;
	}
}

/*
 * Place the next entry.
 * Return: 0 for one in the list's range; 1 for a bus address; or -EREMOTEIO.
 */
static int list_place(const struct dma_list *list, struct dma_walk *walk,
		      struct scatterlist *sg, struct dma_place *place)
{
	int ret;

	if (is_pci_p2pdma_page(sg_page(sg))) {
		ret = list_place_peer(list, walk, sg, place);
		if (ret)
			return ret;
	}
	*place = dma_layout_next(&list->layout, &walk->cursor, sg_phys(sg),
				 sg->length);
	return 0;
}

/* Return: bytes of the list's range, or an error of iommu_dma_map_sg(). */
static s64 list_measure(const struct dma_list *list)
{
	struct dma_walk walk = {};
	struct scatterlist *sg;
	struct dma_place place;
	int i, ret;

	for_each_sg(list->sgl, sg, list->nents, i) {
		if (!sg->length)
			return -EINVAL;
		ret = list_place(list, &walk, sg, &place);
		if (ret < 0)
			return ret;
	}
	return ALIGN(walk.cursor.end, list->layout.granule);
}

static int list_map_entries(struct dma_list *list)
{
	struct dma_walk walk = {};
	struct scatterlist *sg;
	struct dma_place place;
	int i, ret;

	for_each_sg(list->sgl, sg, list->nents, i) {
		if (list_place(list, &walk, sg, &place))
			continue;
		ret = job_piece(&list->job, list->start + place.start,
				sg_phys(sg), sg->length);
		if (ret)
			return ret;
	}
	return job_finish(&list->job, list->start, list->start +
			  ALIGN(walk.cursor.end, list->layout.granule));
}

static void list_undo_entries(struct dma_list *list)
{
	struct dma_walk walk = {};
	struct scatterlist *sg;
	struct dma_place place;
	int i;

	for_each_sg(list->sgl, sg, list->nents, i)
		if (!list_place(list, &walk, sg, &place))
			job_undo_piece(&list->job, list->start + place.start,
				       sg->length);
}

/*
 * Write the segments into the list, from its first entry on. A segment is never
 * behind the entry it comes from, so no entry is overwritten before it is read.
 * Return: the number of segments.
 */
static int list_write(struct dma_list *list)
{
	struct scatterlist *sg, *segment = NULL;
	struct dma_walk walk = {};
	struct dma_place place;
	int i, count = 0;
	bool bus;

	for_each_sg(list->sgl, sg, list->nents, i) {
		bus = list_place(list, &walk, sg, &place);
		sg_dma_address(sg) = DMA_MAPPING_ERROR;
		sg_dma_len(sg) = 0;
		sg_dma_unmark_bus_address(sg);
		if (!bus && place.joins) {
			sg_dma_len(segment) += sg->length;
			continue;
		}
		segment = count++ ? sg_next(segment) : list->sgl;
		sg_dma_address(segment) = place.start + (bus ? 0 : list->start);
		sg_dma_len(segment) = sg->length;
		if (bus)
			sg_dma_mark_bus_address(segment);
	}
	return count;
}

static int list_map(struct dma_list *list, u64 size)
{
	struct dma_need need = {
		.size = size,
		.align = list->layout.unit,
		.mask = dma_get_mask(list->job.dev),
	};
	struct iova_range range;
	int ret;

	/* Either it fits between two boundaries, or it begins at one. */
	if (list->layout.boundary && size > list->layout.boundary)
		need.align = max(need.align, list->layout.boundary);
	else
		need.boundary = list->layout.boundary;
	if (!dma_iova_alloc(list->job.dev, list->job.cookie, &need, &range))
		return -ENOMEM;

	list->start = dma_iova_start(list->job.cookie, &range);
	ret = list_map_entries(list);
	if (ret) {
		list_undo_entries(list);
		job_abandon(&list->job, &range, list->start, list->start + size);
	}
	return ret;
}

static void list_sync_for_device(struct scatterlist *sgl, int nents,
				 enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		arch_sync_dma_for_device(sg_phys(sg), sg->length, dir);
}

static void list_sync_for_cpu(struct scatterlist *sgl, int nents,
			      enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		arch_sync_dma_for_cpu(sg_phys(sg), sg->length, dir);
}

/*
 * Of a mapped list, the segments up to the first without bytes count, and of
 * these the ones that are no bus addresses are the IOMMU's.
 */

/* What the IOMMU has of a mapped list: [*start, *end); false if nothing */
static bool segments_span(struct scatterlist *sgl, int nents,
			  dma_addr_t *start, dma_addr_t *end)
{
	struct scatterlist *sg;
	bool found = false;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (sg_dma_is_bus_address(sg))
			continue;
		if (!found)
			*start = sg_dma_address(sg);
		*end = sg_dma_address(sg) + sg_dma_len(sg);
		found = true;
	}
	return found;
}

static bool segments_have_copies(struct device *dev, struct scatterlist *sgl,
				 int nents)
{
	struct iommu_dma_cookie *cookie = dma_cookie(dev);
	dma_addr_t start, end;

	return unlikely(!xa_empty(&cookie->copies)) &&
	       segments_span(sgl, nents, &start, &end) &&
	       dma_has_copies(cookie, start, end - start);
}

/* A list with copies: what is in memory and what is not, granule by granule */
static void segments_sync(struct device *dev, struct scatterlist *sgl,
			  int nents, enum dma_data_direction dir, bool for_cpu)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (sg_dma_is_bus_address(sg))
			continue;
		if (for_cpu)
			dma_copy_sync_for_cpu(dev, sg_dma_address(sg),
					      sg_dma_len(sg), dir);
		else
			dma_copy_sync_for_device(dev, sg_dma_address(sg),
						 sg_dma_len(sg), dir);
	}
}

/**
 * iommu_dma_map_sg - map a scatterlist
 * @dev: device
 * @sgl: first entry
 * @nents: entries
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * On error the list is as it was and nothing is mapped.
 *
 * Context: Any.
 * Return: the number of segments; -EINVAL if the list has no entry or one
 * without bytes; -EREMOTEIO if it has memory of another device that @dev cannot
 * reach; -ENOMEM if there is no memory or no address for it.
 */
int iommu_dma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		     enum dma_data_direction dir, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = dma_cookie(dev);
	bool coherent = dev_is_dma_coherent(dev);
	bool sync = !coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC);
	struct dma_list list = {
		.job = {
			.dev = dev,
			.cookie = cookie,
			.prot = dma_protection(dir, coherent, attrs),
			.copy = dma_copy_needed_sg(dev, sgl, nents, dir),
		},
		.sgl = sgl,
		.nents = nents,
		.layout = device_layout(dev, cookie),
	};
	int count;
	s64 size;

	if (nents < 1 || !dma_allowed(list.job.prot) ||
	    dma_domain_attach(dev, cookie->domain))
		return -EINVAL;

	size = list_measure(&list);
	if (size > 0 && list_map(&list, size))
		size = -ENOMEM;
	if (size < 0)
		return size;
	count = list_write(&list);
	if (sync && list.job.copy)
		segments_sync(dev, sgl, count, dir, false);
	else if (sync)
		list_sync_for_device(sgl, nents, dir);
	return count;
}

static void segments_unmark(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	int i;

	if (!IS_ENABLED(CONFIG_PCI_P2PDMA))
		return;
	for_each_sg(sgl, sg, nents, i)
		sg_dma_unmark_bus_address(sg);
}

/* Unmap the segments, as few runs as possible and not what is between them. */
static void segments_teardown(struct device *dev, struct dma_teardown *td,
			      struct scatterlist *sgl, int nents)
{
	dma_addr_t low = dma_iova_start(td->cookie, &td->range), addr = low;
	dma_addr_t limit = dma_teardown_limit(td), first, end;
	struct scatterlist *sg;
	size_t size = 0;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (sg_dma_is_bus_address(sg))
			continue;
		first = sg_dma_address(sg) -
			dma_granule_offset(td->cookie, sg_dma_address(sg));
		end = ALIGN(sg_dma_address(sg) + sg_dma_len(sg),
			    dma_granule(td->cookie));
		/* The list is not what it was when it was mapped. */
		if (first < addr + size || end > limit) {
			td->failed = true;
			continue;
		}
		if (first != addr + size && size) {
			dma_teardown_run(dev, td, addr, size);
			size = 0;
		}
		if (!size)
			addr = first;
		size = end - addr;
	}
	if (size)
		dma_teardown_run(dev, td, addr, size);
	if (addr + size != limit)
		td->failed = true;
	if (td->failed)
		dev_err_ratelimited(dev, "DMA unmap of a list that is not what it was when mapped, or not all of it: addresses from %pad on are not used again\n",
				    &low);
}

/**
 * iommu_dma_unmap_sg - undo iommu_dma_map_sg()
 * @dev: device
 * @sgl: first entry
 * @nents: entries, as many as were mapped
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * Context: Any. Never fails; a wrong unmap is reported.
 */
void iommu_dma_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir, unsigned long attrs)
{
	bool sync = !(attrs & DMA_ATTR_SKIP_CPU_SYNC);
	dma_addr_t start, end;
	struct dma_teardown td;

	if (!segments_span(sgl, nents, &start, &end) ||
	    !dma_teardown_begin(dev, &td, start, end - start)) {
		segments_unmark(sgl, nents);
		return;
	}
	if (sync && dma_has_copies(td.cookie, start, end - start))
		segments_sync(dev, sgl, nents, dir, true);
	else if (sync && !dev_is_dma_coherent(dev))
		list_sync_for_cpu(sgl, nents, dir);
	segments_teardown(dev, &td, sgl, nents);
	segments_unmark(sgl, nents);
	dma_teardown_end(&td);
}

/**
 * iommu_dma_sync_sg_for_cpu - let the CPU see what the device wrote to a list
 * @dev: device
 * @sgl: first entry
 * @nents: entries, as many as were mapped
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,
			       int nents, enum dma_data_direction dir)
{
	if (segments_have_copies(dev, sgl, nents))
		segments_sync(dev, sgl, nents, dir, true);
	else if (!dev_is_dma_coherent(dev))
		list_sync_for_cpu(sgl, nents, dir);
}

/**
 * iommu_dma_sync_sg_for_device - let the device see what the CPU wrote to a list
 * @dev: device
 * @sgl: first entry
 * @nents: entries, as many as were mapped
 * @dir: direction of the transfer
 *
 * Context: Any.
 */
void iommu_dma_sync_sg_for_device(struct device *dev, struct scatterlist *sgl,
				  int nents, enum dma_data_direction dir)
{
	if (segments_have_copies(dev, sgl, nents))
		segments_sync(dev, sgl, nents, dir, false);
	else if (!dev_is_dma_coherent(dev))
		list_sync_for_device(sgl, nents, dir);
}

/*
 * Allocations: dma/memory.c in the shape that the DMA core wants.
 */

void *iommu_dma_alloc(struct device *dev, size_t size, dma_addr_t *handle,
		      gfp_t gfp, unsigned long attrs)
{
	return dma_memory_alloc(dev, size, handle, gfp, attrs);
}

void iommu_dma_free(struct device *dev, size_t size, void *cpu_addr,
		    dma_addr_t handle, unsigned long attrs)
{
	dma_memory_free(dev, size, cpu_addr, handle);
}

int iommu_dma_mmap(struct device *dev, struct vm_area_struct *vma,
		   void *cpu_addr, dma_addr_t dma_addr, size_t size,
		   unsigned long attrs)
{
	return dma_memory_mmap(dev, vma, cpu_addr, size, attrs);
}

int iommu_dma_get_sgtable(struct device *dev, struct sg_table *sgt,
			  void *cpu_addr, dma_addr_t dma_addr, size_t size,
			  unsigned long attrs)
{
	return dma_memory_sgtable(sgt, cpu_addr, size);
}

struct sg_table *iommu_dma_alloc_noncontiguous(struct device *dev, size_t size,
					       enum dma_data_direction dir,
					       gfp_t gfp, unsigned long attrs)
{
	return dma_pages_alloc(dev, size, gfp, attrs);
}

void iommu_dma_free_noncontiguous(struct device *dev, size_t size,
				  struct sg_table *sgt,
				  enum dma_data_direction dir)
{
	dma_pages_free(dev, size, sgt);
}

void *iommu_dma_vmap_noncontiguous(struct device *dev, size_t size,
				   struct sg_table *sgt)
{
	return dma_pages_vmap(sgt, size);
}

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
	return dma_unit(dev, dma_cookie(dev)) - 1;
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
	u64 limit = dma_limit(dev, dma_cookie(dev), dma_get_mask(dev));

	/* Drivers put this into 32 bits of sectors, so no odd large numbers. */
	if (limit > DMA_BIT_MASK(32))
		return SIZE_MAX;
	/* The lowest granule is never used. */
	return limit + 1 - dma_granule(dma_cookie(dev));
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
	if (!dev->dma_iommu || !dma_domain_init(dev, domain))
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
