// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping scatterlists: what the DMA core calls for them.
 *
 * A list gets one range of addresses. First the entries are placed in it by
 * sg-layout.c, then they are mapped, and only then are the segments written into
 * the list. Until then the DMA address of an entry is its place from the beginning
 * of the range, and its DMA length 0 if it is merged into the segment before; a bus
 * address is there from the first.
 *
 * In a dense list, as most are, entries follow each other without gaps. It needs
 * no places, and is mapped in runs of contiguous memory. So are the entries of other
 * lists, each with what is around it in its granules, unless something may have to be
 * bounced (batch.c). One entry in one granule is mapped as a page is.
 *
 * The segments of a mapped list end at the first entry whose DMA length is 0.
 * Segments that are bus addresses do not go through the IOMMU; the others do.
 */

#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>
#include <linux/memremap.h>
#include <linux/scatterlist.h>

#include "batch.h"
#include "bounce.h"
#include "sg-layout.h"
#include "unmap.h"

/* sg_next() and for_each_sg() without a call for each entry */
static __always_inline struct scatterlist *sg_entry_next(struct scatterlist *sg)
{
	if (unlikely(sg_is_last(sg)))
		return NULL;
	sg++;
	return unlikely(sg_is_chain(sg)) ? sg_chain_ptr(sg) : sg;
}

#define for_each_sg_entry(sgl, sg, nents, i)				\
	for ((i) = 0, (sg) = (nents) > 0 ? (sgl) : NULL; (sg); \
	     (sg) = ++(i) < (nents) ? sg_entry_next(sg) : NULL)

/**
 * struct iommu_dma_sg - a scatterlist that is being mapped
 * @dev: device
 * @cookie: cookie of its domain
 * @prot: IOMMU_* flags
 * @sgl: first entry
 * @nents: number of entries
 * @layout: what device and IOMMU ask for
 * @start: device address of its range
 * @size: bytes of its range, whole granules
 * @bytes: bytes of its entries
 * @nowarn: print no message if it cannot be mapped
 * @dir: direction of the transfer
 * @bounce: the device must not see what shares a granule with some entries
 * @plain: no entry is empty, or another device's memory
 * @dense: see iommu_dma_layout_is_dense(); and nothing is bounced
 * @not_memory: what has to be bounced is not memory
 * @undone: after a failure, the IOMMU driver has unmapped all of it
 */
struct iommu_dma_sg {
	struct device *dev;
	struct iommu_dma_cookie *cookie;
	int prot;
	int nents;
	struct scatterlist *sgl;
	struct sg_layout layout;
	dma_addr_t start;
	u64 size;
	u64 bytes;
	enum dma_data_direction dir;
	bool nowarn;
	bool bounce;
	bool plain;
	bool dense;
	bool not_memory;
	bool undone;
};

static struct sg_layout device_layout(struct device *dev,
				      const struct iommu_dma_cookie *cookie,
				      unsigned long attrs)
{
	return (struct sg_layout) {
		.granule = cookie_granule(cookie),
		.min_align = iommu_dma_min_align(dev, cookie),
		.boundary = iommu_dma_boundary(dev),
		.max_segment = dma_get_max_seg_size(dev),
		.contiguous = dma_sg_contiguous(dev, attrs),
	};
}

static int refuse_list(const struct iommu_dma_sg *map, const char *why)
{
	if (!map->nowarn)
		dev_err_ratelimited(map->dev, "DMA map of %d entries refused: %s\n",
				    map->nents, why);
	return -EINVAL;
}

static int refuse_contiguous(const struct iommu_dma_sg *map)
{
	struct device *dev = map->dev;

	if (!map->nowarn)
		dev_err_ratelimited(dev, "DMA map of %d entries refused: %llu bytes cannot be one segment: device limits are %zu bytes, mask %#llx, boundary %#lx\n",
				    map->nents, map->bytes,
				    dma_max_contiguous_size(dev),
				    dma_get_mask(dev),
				    dma_get_seg_boundary(dev));
	return -EINVAL;
}

/*
 * A page has to be in the memory map before anything is read of it. The map
 * comes and goes in pieces of at least 2 MiB; @known is the last one that was
 * there.
 */
static __always_inline bool in_memory_map(unsigned long pfn,
					  unsigned long *known)
{
	if (likely(pfn >> (21 - PAGE_SHIFT) == *known))
		return true;
	/* Without peers, nobody looks at the page itself. */
	if (IS_ENABLED(CONFIG_PCI_P2PDMA) && !pfn_valid(pfn))
		return false;
	*known = pfn >> (21 - PAGE_SHIFT);
	return true;
}

/* Check what every list has to satisfy, and whether the list is dense. */
static __always_inline int check_entries(struct iommu_dma_sg *map)
{
	unsigned long known = ULONG_MAX, pfn;
	u64 bytes = 0, bits = 0, end = 0;
	struct scatterlist *sg;
	phys_addr_t phys;
	bool plain = true;
	int i;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (unlikely(!sg->length)) {
			plain = false;
			continue;
		}
		pfn = sg_page(sg) ? page_to_pfn(sg_page(sg)) : 0;
		if (unlikely(!sg_page(sg) || !in_memory_map(pfn, &known)))
			return refuse_list(map, "an entry is not memory");
		if (unlikely(is_pci_p2pdma_page(sg_page(sg))))
			plain = false;
		phys = PFN_PHYS(pfn) + sg->offset;
		bits = i ? bits | end | phys : 0;
		end = phys + sg->length;
		bytes += sg->length;
	}
	if (unlikely(i < map->nents))
		return refuse_list(map, "list has fewer entries");
	if (unlikely(!bytes))
		return refuse_list(map, "list is empty");
	map->bytes = bytes;
	map->plain = plain;
	map->dense = plain &&
		     iommu_dma_layout_is_dense(&map->layout, sg_phys(map->sgl),
					       bits, bytes);
	return 0;
}

/*
 * Give an entry of another PCI device's memory its bus address, if it can be
 * reached without the IOMMU.
 * Return: 1 if so; 0 if not; or -EREMOTEIO.
 */
static int place_peer(const struct iommu_dma_sg *map,
		      struct pci_p2pdma_map_state *peers,
		      struct scatterlist *sg)
{
	switch (pci_p2pdma_map_segment(peers, map->dev, sg)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		return 1;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return 0;
	default:
		return -EREMOTEIO;
	}
}

/*
 * Place an entry that takes no addresses: one without bytes, or with a bus address.
 * Return: 1 if it is one; 0 if not; or -EREMOTEIO.
 */
static noinline int place_specially(const struct iommu_dma_sg *map,
				    struct pci_p2pdma_map_state *peers,
				    struct scatterlist *sg,
				    struct sg_cursor *cursor)
{
	int ret = 0;

	if (!sg->length) {
		sg_dma_address(sg) = 0;
		sg_dma_len(sg) = 0;
		return 1;
	}
	if (is_pci_p2pdma_page(sg_page(sg)))
		ret = place_peer(map, peers, sg);
	if (ret > 0)
		iommu_dma_layout_elsewhere(cursor);
	return ret;
}

/*
 * The memory whose place in a granule an entry of a list with bounces gets. It is its
 * own in one segment, as what follows would move with it and be bounced, too; and
 * where it meets the next entry at a granule, as they are one segment then. @behind:
 * entries that follow, empty ones, too.
 */
static phys_addr_t entry_place(struct device *dev,
			       const struct iommu_dma_cookie *cookie,
			       const struct sg_layout *layout,
			       struct scatterlist *sg, int behind,
			       enum dma_data_direction dir)
{
	struct scatterlist *next = sg;
	phys_addr_t phys = sg_phys(sg);

	do {
		next = behind-- > 0 ? sg_entry_next(next) : NULL;
	} while (next && !next->length);
	if (layout->contiguous ||
	    (next &&
	     !cookie_granule_offset(cookie, (phys + sg->length) | sg_phys(next))))
		return phys;
	return iommu_dma_bounce_place(dev, cookie, phys, sg->length, dir);
}

/* Place all entries. Return: 0, or an error of iommu_dma_map_sg(). */
static __always_inline int place_all(struct iommu_dma_sg *map, bool bounce)
{
	struct pci_p2pdma_map_state peers = {};
	struct sg_cursor cursor = {};
	bool plain = map->plain;
	struct scatterlist *sg;
	struct sg_place place;
	phys_addr_t phys;
	int i, ret;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		sg_dma_unmark_bus_address(sg);
		if (unlikely(!plain)) {
			ret = place_specially(map, &peers, sg, &cursor);
			if (ret < 0)
				return ret;
			if (ret)
				continue;
		}
		phys = sg_phys(sg);
		if (bounce)
			phys = entry_place(map->dev, map->cookie, &map->layout,
					   sg, map->nents - i - 1, map->dir);
		place = iommu_dma_layout_next(&map->layout, &cursor, phys,
					      sg->length);
		sg_dma_address(sg) = place.start;
		sg_dma_len(sg) = place.merged ? 0 : sg->length;
	}
	if (!iommu_dma_layout_fits(&map->layout, &cursor))
		return refuse_contiguous(map);
	map->size = ALIGN(cursor.end, map->layout.granule);
	return 0;
}

static noinline int place_entries(struct iommu_dma_sg *map)
{
	return place_all(map, false);
}

static noinline int place_bounced(struct iommu_dma_sg *map)
{
	return place_all(map, true);
}

static __always_inline u64 dense_start(const struct iommu_dma_sg *map)
{
	return iommu_dma_layout_dense_start(&map->layout,
					    sg_phys(map->sgl)).end;
}

/* Return: 0, or an error of iommu_dma_map_sg(). */
static __always_inline int measure_list(struct iommu_dma_sg *map)
{
	int ret = check_entries(map);

	if (ret)
		return ret;
	map->bounce = iommu_dma_bounce_needed_sg(map->dev, map->sgl, map->nents,
						 map->dir);
	map->dense = map->dense && !map->bounce;
	if (likely(map->dense)) {
		map->size = ALIGN(dense_start(map) + map->bytes,
				  map->layout.granule);
	} else {
		ret = unlikely(map->bounce) ? place_bounced(map) :
					      place_entries(map);
		if (ret)
			return ret;
	}
	if (map->layout.contiguous &&
	    map->bytes > dma_max_contiguous_size(map->dev))
		return refuse_contiguous(map);
	/* This can happen only where size_t has 32 bits. */
	if (map->size > SIZE_MAX)
		return refuse_list(map, "list is larger than the address space");
	return 0;
}

/* Map a dense list. Its entries meet at granules, so runs begin and end there. */
static int map_dense(struct iommu_dma_sg *map)
{
	struct iommu_dma_cookie *cookie = map->cookie;
	u64 begin = ALIGN_DOWN(map->start + dense_start(map),
			       map->layout.granule);
	phys_addr_t from = ALIGN_DOWN(sg_phys(map->sgl), map->layout.granule);
	phys_addr_t end = sg_phys(map->sgl);
	u64 addr = begin;
	struct scatterlist *sg;
	int i, ret;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (sg_phys(sg) != end) {
			ret = iommu_dma_map_nosync(cookie, addr, from,
						   end - from, map->prot);
			if (ret)
				goto undo;
			addr += end - from;
			from = sg_phys(sg);
			end = from;
		}
		end += sg->length;
	}
	end = ALIGN(end, map->layout.granule);
	ret = iommu_dma_map_nosync(cookie, addr, from, end - from, map->prot);
	if (ret)
		goto undo;
	addr += end - from;
	ret = iommu_sync_map(cookie->domain, map->start, map->size);
	if (!ret)
		return 0;
undo:
	map->undone = ret != -EBUSY;
	if (addr > begin &&
	    iommu_unmap(cookie->domain, begin, addr - begin) < addr - begin)
		map->undone = false;
	return ret;
}

/* Whether an entry has a place in the range: one with bytes, and no bus address */
static __always_inline bool entry_is_placed(struct scatterlist *sg)
{
	return sg->length && !sg_dma_is_bus_address(sg);
}

static __always_inline int map_whole(const struct iommu_dma_sg *map,
				     const struct iommu_dma_span *run,
				     phys_addr_t from)
{
	if (run->start == run->end)
		return 0;
	return iommu_dma_map_nosync(map->cookie, run->start, from,
				    run->end - run->start, map->prot);
}

static void undo_entries(struct iommu_dma_sg *map,
			 struct iommu_dma_batch *batch)
{
	struct scatterlist *sg;
	int i;

	for_each_sg_entry(map->sgl, sg, map->nents, i)
		if (entry_is_placed(sg))
			iommu_dma_batch_undo(batch,
					     map->start + sg_dma_address(sg),
					     sg->length);
	map->undone = iommu_dma_batch_undo_end(batch);
}

/*
 * Map a list whose entries have been placed, each with what is around it in its
 * granules, in runs of contiguous memory.
 */
static noinline int map_around(struct iommu_dma_sg *map)
{
	struct iommu_dma_cookie *cookie = map->cookie;
	struct iommu_dma_span run = {}, span;
	struct iommu_dma_batch batch;
	phys_addr_t from = 0, phys;
	bool plain = map->plain;
	struct scatterlist *sg;
	u64 addr;
	int i, ret;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (unlikely(!plain && !entry_is_placed(sg)))
			continue;
		addr = map->start + sg_dma_address(sg);
		span = cookie_granules(cookie, addr, sg->length);
		phys = sg_phys(sg) - (addr - span.start);
		if (span.start != run.end || phys != from + run.end - run.start) {
			ret = map_whole(map, &run, from);
			if (ret)
				goto undo;
			run.start = span.start;
			from = phys;
		}
		run.end = span.end;
	}
	ret = map_whole(map, &run, from);
	if (ret)
		goto undo;
	run.start = run.end;
	ret = iommu_sync_map(cookie->domain, map->start, map->size);
	if (!ret)
		return 0;
undo:
	batch = (struct iommu_dma_batch) {
		.cookie = cookie,
		.done = run.start,
		.undo_short = ret == -EBUSY,
	};
	undo_entries(map, &batch);
	return ret;
}

/* Map a list of which granules may be bounced or shared. */
static noinline int map_exact(struct iommu_dma_sg *map)
{
	struct iommu_dma_batch batch = {
		.dev = map->dev,
		.cookie = map->cookie,
		.prot = map->prot,
	};
	struct scatterlist *sg;
	int i, ret = 0;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (!entry_is_placed(sg))
			continue;
		if (unlikely(map->bounce))
			batch.bounce_piece =
				iommu_dma_bounce_needed(map->dev, sg->length,
							map->dir);
		ret = iommu_dma_batch_add(&batch,
					  map->start + sg_dma_address(sg),
					  sg_phys(sg), sg->length);
		if (ret)
			break;
	}
	if (!ret)
		ret = iommu_dma_batch_finish(&batch, map->start,
					     map->start + map->size);
	if (!ret)
		return 0;
	undo_entries(map, &batch);
	map->not_memory = batch.not_memory;
	return ret;
}

/*
 * All failures but -ENOMEM are final, so -EINVAL keeps callers from retrying.
 */
static noinline int map_failed(const struct iommu_dma_sg *map, int ret)
{
	if (map->not_memory)
		return refuse_list(map, "bounced entry is not memory");
	return ret == -ENOMEM ? ret :
	       refuse_list(map, "IOMMU driver failed");
}

static __always_inline u64 list_align(const struct iommu_dma_sg *map)
{
	u64 align = map->layout.min_align;
	struct scatterlist *sg;
	int i;

	if (IS_ENABLED(CONFIG_PAGE_SIZE_4KB))
		return align;
	for_each_sg_entry(map->sgl, sg, map->nents, i)
		if (map->dense || entry_is_placed(sg))
			return iommu_dma_page_align(align, sg->offset,
						    map->size);
	return align;
}

static __always_inline int map_list(struct iommu_dma_sg *map)
{
	struct iommu_dma_iova_req req = {
		.size = map->size,
		.align = list_align(map),
		.boundary = map->layout.boundary,
		.mask = dma_get_mask(map->dev),
		.nowarn = map->nowarn,
	};
	struct iova_range range __uninitialized;
	int ret;

	if (!iommu_dma_alloc_iova(map->dev, map->cookie, &req, &range))
		return -ENOMEM;
	map->start = iommu_dma_iova_addr(map->cookie, &range);
	if (likely(map->dense))
		ret = map_dense(map);
	else if (map->bounce || map->layout.contiguous)
		ret = map_exact(map);
	else
		ret = map_around(map);
	if (likely(!ret))
		return 0;
	iommu_dma_drop_iova(map->dev, map->cookie, &range, map->undone);
	return map_failed(map, ret);
}

/* What an entry is that begins no segment */
static __always_inline void entry_clear(struct scatterlist *sg)
{
	sg_dma_address(sg) = DMA_MAPPING_ERROR;
	sg_dma_len(sg) = 0;
	sg_dma_unmark_bus_address(sg);
}

/*
 * Write the segments of a dense list into it, from its first entry on. Return: the
 * number of segments.
 */
static __always_inline int write_dense(struct iommu_dma_sg *map)
{
	struct sg_cursor cursor =
		iommu_dma_layout_dense_start(&map->layout, sg_phys(map->sgl));
	struct scatterlist *sg, *segment = NULL;
	struct sg_place place;
	int i, count = 0;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		place = iommu_dma_layout_dense(&map->layout, &cursor,
					       sg->length);
		entry_clear(sg);
		if (!place.merged) {
			segment = count++ ? sg_entry_next(segment) : map->sgl;
			sg_dma_address(segment) = map->start + place.start;
		}
		sg_dma_len(segment) = cursor.segment;
	}
	return count;
}

/*
 * The same for a list whose entries have been placed. There are never more segments
 * than entries read so far, so no place is overwritten before it is read.
 */
static noinline int write_segments(struct iommu_dma_sg *map)
{
	struct scatterlist *sg, *segment = NULL, *unused = NULL;
	dma_addr_t addr, start = map->start;
	int i, count = 0;
	bool bus;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		addr = sg_dma_address(sg);
		bus = sg_dma_is_bus_address(sg);
		if (!bus && !sg_dma_len(sg)) {
			entry_clear(sg);
			if (sg->length)
				sg_dma_len(segment) += sg->length;
			if (!unused)
				unused = sg;
			continue;
		}
		count++;
		/* As long as none is merged, each is the place for its own segment. */
		if (!unused) {
			segment = sg;
			if (!bus)
				sg_dma_address(sg) = start + addr;
			continue;
		}
		entry_clear(sg);
		segment = unused;
		unused = sg_entry_next(unused);
		sg_dma_address(segment) = bus ? addr : start + addr;
		sg_dma_len(segment) = sg->length;
		if (bus)
			sg_dma_mark_bus_address(segment);
	}
	return count;
}

static noinline void clear_entries(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	int i;

	for_each_sg_entry(sgl, sg, nents, i)
		entry_clear(sg);
}

/* Sync the caches for a list without bounces, and wait once for all entries. */
static noinline void sync_entries_for_cpu(struct scatterlist *sgl, int nents,
					  enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	if (dir == DMA_TO_DEVICE)
		return;
	for_each_sg_entry(sgl, sg, nents, i)
		if (likely(sg->length))
			arch_sync_dma_for_cpu_noflush(sg_phys(sg), sg->length,
						      dir);
	arch_sync_dma_flush();
}

static noinline void sync_entries_for_device(struct scatterlist *sgl, int nents,
					     enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg_entry(sgl, sg, nents, i)
		if (likely(sg->length))
			arch_sync_dma_for_device_noflush(sg_phys(sg),
							 sg->length, dir);
	arch_sync_dma_flush();
}

/* The first segment from @sg on that goes through the IOMMU; NULL for none */
static __always_inline struct scatterlist *segment_from(struct scatterlist *sg,
							int *left)
{
	for (; (*left)-- > 0 && sg && sg_dma_len(sg); sg = sg_entry_next(sg))
		if (!sg_dma_is_bus_address(sg))
			return sg;
	return NULL;
}

/* Iterate over the segments of a mapped list that go through the IOMMU. */
#define for_each_sg_segment(sgl, sg, nents, left)			\
	for ((left) = (nents), (sg) = segment_from(sgl, &(left)); (sg);	\
	     (sg) = segment_from(sg_entry_next(sg), &(left)))

static noinline bool segments_have_bounces(struct device *dev,
					   struct scatterlist *sgl, int nents)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct scatterlist *sg;
	int left;

	if (likely(!iommu_dma_any_bounces(cookie)))
		return false;
	for_each_sg_segment(sgl, sg, nents, left)
		if (iommu_dma_has_bounces(cookie, sg_dma_address(sg),
					  sg_dma_len(sg)))
			return true;
	return false;
}

/**
 * iommu_dma_sync_sg_for_cpu - let the CPU see a list as the device wrote it
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
	struct scatterlist *sg;
	int left;

	if (segments_have_bounces(dev, sgl, nents)) {
		for_each_sg_segment(sgl, sg, nents, left)
			iommu_dma_bounce_sync_for_cpu(dev, sg_dma_address(sg),
						      sg_dma_len(sg), dir);
	} else if (!dev_is_dma_coherent(dev)) {
		sync_entries_for_cpu(sgl, nents, dir);
	}
}

/**
 * iommu_dma_sync_sg_for_device - let the device see a list as the CPU wrote it
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
	struct scatterlist *sg;
	int left;

	if (segments_have_bounces(dev, sgl, nents)) {
		for_each_sg_segment(sgl, sg, nents, left)
			iommu_dma_bounce_sync_for_device(dev,
							 sg_dma_address(sg),
							 sg_dma_len(sg), dir);
	} else if (!dev_is_dma_coherent(dev)) {
		sync_entries_for_device(sgl, nents, dir);
	}
}

/*
 * Map a list of one entry that is memory in one granule. Return: 1, an error of
 * iommu_dma_map_sg(), or 0 if it has to be mapped as any list.
 */
static __always_inline int map_one(struct device *dev, struct scatterlist *sg,
				   enum dma_data_direction dir,
				   unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	int prot = iommu_dma_prot(dev, dir, attrs), ret;
	struct page *page = sg_page(sg);
	dma_addr_t addr;

	if (!sg->length || !page || !pfn_valid(page_to_pfn(page)) ||
	    is_pci_p2pdma_page(page) || iommu_dma_prot_is_none(prot) ||
	    dma_sg_contiguous(dev, attrs) ||
	    iommu_dma_bounce_needed(dev, sg->length, dir))
		return 0;
	ret = iommu_dma_attach(dev, cookie->domain);
	if (ret)
		return ret == -ENOMEM ? ret : -EINVAL;
	ret = iommu_dma_map_granule(dev, cookie, sg_phys(sg), sg->length, prot,
				    &addr);
	if (unlikely(ret)) {
		struct iommu_dma_sg map = {
			.dev = dev,
			.nents = 1,
			.nowarn = attrs & DMA_ATTR_NO_WARN,
		};

		return ret < 0 ? map_failed(&map, ret) : 0;
	}
	sg_dma_address(sg) = addr;
	sg_dma_len(sg) = sg->length;
	sg_dma_unmark_bus_address(sg);
	return 1;
}

static __always_inline int map_any(struct device *dev, struct scatterlist *sgl,
				   int nents, enum dma_data_direction dir,
				   unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_dma_sg map = {
		.dev = dev,
		.cookie = cookie,
		.prot = iommu_dma_prot(dev, dir, attrs),
		.nents = nents,
		.sgl = sgl,
		.dir = dir,
		.layout = device_layout(dev, cookie, attrs),
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};
	int ret;

	if (nents < 1 || iommu_dma_prot_is_none(map.prot))
		return -EINVAL;
	ret = iommu_dma_attach(dev, cookie->domain);
	if (ret)
		return ret == -ENOMEM ? ret : -EINVAL;
	ret = measure_list(&map);
	if (!ret && map.size)
		ret = map_list(&map);
	if (ret)
		return ret;
	return likely(map.dense) ? write_dense(&map) : write_segments(&map);
}

/**
 * iommu_dma_map_sg - map a scatterlist
 * @dev: device
 * @sgl: first entry
 * @nents: number of entries
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * With DMA_ATTR_CONTIGUOUS, or after dma_set_contiguous(), there is one
 * segment. On error nothing is mapped, and the DMA address of each entry is
 * DMA_MAPPING_ERROR and its DMA length 0.
 *
 * Context: Any.
 * Return: the number of segments; -EINVAL if the list has no bytes or fewer
 * entries than @nents, or if an entry has no page, or if @dir allows no
 * access, or if the list is to be one segment and cannot be, or if the IOMMU
 * driver refuses it; -EREMOTEIO if it has memory of another device that @dev
 * cannot reach; -ENOMEM if memory or addresses are short.
 */
int iommu_dma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		     enum dma_data_direction dir, unsigned long attrs)
{
	int ret = nents == 1 && sgl ? map_one(dev, sgl, dir, attrs) : 0;

	if (!ret)
		ret = map_any(dev, sgl, nents, dir, attrs);
	if (unlikely(ret < 0)) {
		clear_entries(sgl, nents);
		return ret;
	}
	/*
	 * The device does not know the addresses yet, so this is early enough.
	 */
	if (!dev_is_dma_coherent(dev) && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		iommu_dma_sync_sg_for_device(dev, sgl, nents, dir);
	return ret;
}

static struct iommu_dma_span
segment_granules(const struct iommu_dma_cookie *cookie, struct scatterlist *sg)
{
	return cookie_granules(cookie, sg_dma_address(sg), sg_dma_len(sg));
}

/*
 * Whether the segments are those that this list gets from this device: then it is
 * known where the holes are. That each begins where it should is all that is asked:
 * somebody may have made an entry shorter.
 */
static __always_inline bool as_laid_out(struct device *dev,
					const struct iommu_dma_unmap *unmap,
					struct scatterlist *sgl, int nents,
					enum dma_data_direction dir,
					unsigned long attrs, bool bounces)
{
	struct sg_layout layout = device_layout(dev, unmap->cookie, attrs);
	u64 start = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	struct scatterlist *sg, *segment = NULL, *next = sgl;
	struct sg_cursor cursor = {};
	struct sg_place place;
	u64 len = 0, end;
	phys_addr_t phys;
	int i;

	for_each_sg_entry(sgl, sg, nents, i) {
		if (!sg->length)
			continue;
		end = ALIGN(cursor.end, layout.granule);
		if (next && sg_dma_is_bus_address(next) && sg_page(sg) &&
		    is_pci_p2pdma_page(sg_page(sg))) {
			iommu_dma_layout_elsewhere(&cursor);
			place.merged = false;
		} else {
			phys = sg_phys(sg);
			if (bounces)
				phys = entry_place(dev, unmap->cookie, &layout,
						   sg, nents - i - 1, dir);
			place = iommu_dma_layout_next(&layout, &cursor, phys,
						      sg->length);
		}
		if (place.merged) {
			len += sg->length;
			continue;
		}
		if (segment && sg_dma_len(segment) != len)
			return false;
		segment = next;
		if (!sg_dma_is_bus_address(segment)) {
			if (sg_dma_address(segment) != start + place.start)
				return false;
			if (end && place.start >= end + layout.granule &&
			    iommu_iova_to_phys(unmap->cookie->domain,
					       start + end))
				return false;
		}
		len = sg->length;
		next = cursor.segments < nents ? sg_entry_next(segment) : NULL;
	}
	return segment && sg_dma_len(segment) == len &&
	       (!next || !sg_dma_len(next)) &&
	       ALIGN(cursor.end, layout.granule) ==
	       iommu_dma_unmap_iova_size(unmap);
}

static noinline bool segments_as_laid_out(struct device *dev,
					  const struct iommu_dma_unmap *unmap,
					  struct scatterlist *sgl, int nents,
					  unsigned long attrs)
{
	return as_laid_out(dev, unmap, sgl, nents, DMA_NONE, attrs, false);
}

static noinline bool bounced_as_laid_out(struct device *dev,
					 const struct iommu_dma_unmap *unmap,
					 struct scatterlist *sgl, int nents,
					 enum dma_data_direction dir,
					 unsigned long attrs)
{
	return as_laid_out(dev, unmap, sgl, nents, dir, attrs, true);
}

/* Whether the segments can be all of what has been claimed, and nothing else */
static bool segments_match(const struct iommu_dma_unmap *unmap,
			   struct scatterlist *sgl, int nents)
{
	u64 addr = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	u64 end = iommu_dma_unmap_iova_end(unmap);
	struct iommu_dma_span span;
	struct scatterlist *sg;
	int left;

	for_each_sg_segment(sgl, sg, nents, left) {
		span = segment_granules(unmap->cookie, sg);
		if (span.start < addr || span.end <= span.start ||
		    span.end > end)
			return false;
		if (addr < span.start &&
		    iommu_dma_next_mapped(unmap->cookie, addr, span.start) <
		    span.start)
			return false;
		addr = span.end;
	}
	return addr == end;
}

/* Unmap segments that match in as few runs as possible, but not the gaps. */
static void segments_unmap(struct device *dev, struct iommu_dma_unmap *unmap,
			   struct scatterlist *sgl, int nents)
{
	struct iommu_dma_span run = {}, span;
	struct scatterlist *sg;
	int left;

	for_each_sg_segment(sgl, sg, nents, left) {
		span = segment_granules(unmap->cookie, sg);
		if (span.start != run.end) {
			if (run.end != run.start)
				iommu_dma_unmap_range(dev, unmap, run.start,
						      run.end - run.start);
			run.start = span.start;
		}
		run.end = span.end;
	}
	iommu_dma_unmap_range(dev, unmap, run.start, run.end - run.start);
}

static noinline void segments_unmark(struct scatterlist *sgl, int nents)
{
	struct scatterlist *sg;
	int i;

	for_each_sg_entry(sgl, sg, nents, i)
		sg_dma_unmark_bus_address(sg);
}

/* Unmap a list that has holes or bounces, or is wrong. */
static noinline void unmap_slow(struct device *dev,
				struct iommu_dma_unmap *unmap,
				struct scatterlist *sgl, int nents,
				enum dma_data_direction dir,
				unsigned long attrs)
{
	dma_addr_t start = iommu_dma_iova_addr(unmap->cookie, &unmap->range);
	bool known = unlikely(iommu_dma_any_bounces(unmap->cookie)) ?
			     bounced_as_laid_out(dev, unmap, sgl, nents, dir,
						 attrs) :
			     segments_as_laid_out(dev, unmap, sgl, nents, attrs);

	if (known || segments_match(unmap, sgl, nents)) {
		if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC))
			iommu_dma_sync_sg_for_cpu(dev, sgl, nents, dir);
		segments_unmap(dev, unmap, sgl, nents);
		return;
	}
	dev_err_ratelimited(dev, "DMA unmap: list changed since it was mapped; unmapping all of %pad\n",
			    &start);
	if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC)) {
		if (!dev_is_dma_coherent(dev))
			sync_entries_for_cpu(sgl, nents, dir);
		if (iommu_dma_any_bounces(unmap->cookie))
			iommu_dma_bounce_sync_range(dev, unmap->cookie, start,
						    iommu_dma_unmap_iova_end(unmap) - 1,
						    dir);
	}
	unmap->failed = true;
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
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_dma_unmap unmap __uninitialized;
	struct scatterlist *sg, *first = sgl;
	u64 mask = cookie_granule(cookie) - 1;
	u64 bytes = 0, mapped = 0, end = 0, next;
	bool peers = false;
	dma_addr_t addr;
	int i;

	for_each_sg_entry(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (sg_dma_is_bus_address(sg)) {
			peers = true;
			continue;
		}
		addr = sg_dma_address(sg);
		next = ((u64)addr + sg_dma_len(sg) + mask) & ~mask;
		addr &= ~mask;
		if (addr == end || !bytes)
			mapped += next - addr;
		end = next;
		bytes += sg_dma_len(sg);
	}
	if (unlikely(peers))
		first = segment_from(sgl, &(int) { nents });
	else if (unlikely(!bytes && nents > 0))
		dev_err_ratelimited(dev, "DMA unmap: list is not mapped\n");
	if (!bytes ||
	    !iommu_dma_unmap_claim(dev, &unmap, sg_dma_address(first), bytes))
		goto unmark;

	/*
	 * If the segments that follow each other are fewer granules than the range,
	 * there are holes.
	 */
	if (likely(mapped == iommu_dma_unmap_iova_size(&unmap) &&
		   !iommu_dma_any_bounces(cookie))) {
		if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
		    !dev_is_dma_coherent(dev))
			sync_entries_for_cpu(sgl, nents, dir);
		addr = iommu_dma_iova_addr(unmap.cookie, &unmap.range);
		iommu_dma_unmap_range(dev, &unmap, addr, mapped);
	} else {
		unmap_slow(dev, &unmap, sgl, nents, dir, attrs);
	}
	iommu_dma_unmap_end(dev, &unmap);
unmark:
	if (unlikely(peers))
		segments_unmark(sgl, nents);
}
