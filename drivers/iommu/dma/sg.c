// SPDX-License-Identifier: GPL-2.0
/*
 * Mapping scatterlists: what the DMA core calls for them.
 *
 * A list gets one range of addresses. First the list is measured, then the
 * range is mapped, and only then are the segments written into the list.
 * Whatever fails, the list is as it was. All three steps get the places of the
 * entries from sg-layout.c, which are the same each time.
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
 * @batch: how to map it
 * @sgl: first entry
 * @nents: number of entries
 * @layout: what device and IOMMU ask for
 * @start: device address of its range
 * @size: bytes of its range, whole granules
 * @bytes: bytes of its entries
 * @nowarn: print no message if it cannot be mapped
 * @dense: see iommu_dma_layout_is_dense()
 */
struct iommu_dma_sg {
	struct iommu_dma_batch batch;
	struct scatterlist *sgl;
	int nents;
	struct sg_layout layout;
	dma_addr_t start;
	u64 size;
	u64 bytes;
	bool nowarn;
	bool dense;
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

/**
 * struct sg_walk - a pass over a list
 * @cursor: how far the layout has come
 * @peers: what is known about memory of other devices
 */
struct sg_walk {
	struct sg_cursor cursor;
	struct pci_p2pdma_map_state peers;
};

static __always_inline struct sg_walk walk_begin(const struct iommu_dma_sg *map)
{
	struct sg_walk walk = {};

	if (likely(map->dense))
		walk.cursor = iommu_dma_layout_dense_start(&map->layout,
							   sg_phys(map->sgl));
	return walk;
}

/*
 * Place an entry of another PCI device's memory, which may be reached without
 * the IOMMU.
 * Return: 1 if so, with the address in @place; 0 if not; or -EREMOTEIO.
 */
static noinline int walk_place_peer(const struct iommu_dma_sg *map,
				    struct sg_walk *walk,
				    const struct scatterlist *sg,
				    struct sg_place *place)
{
	/*
	 * The answer is written into an entry, and the list must not change
	 * yet.
	 */
	struct scatterlist peer = *sg;

	switch (pci_p2pdma_map_segment(&walk->peers, map->batch.dev, &peer)) {
	case PCI_P2PDMA_MAP_BUS_ADDR:
		iommu_dma_layout_elsewhere(&walk->cursor);
		*place = (struct sg_place) { .start = sg_dma_address(&peer) };
		return 1;
	case PCI_P2PDMA_MAP_THRU_HOST_BRIDGE:
		return 0;
	default:
		return -EREMOTEIO;
	}
}

/*
 * Place the next entry.
 * Return: 0 for an entry in the range of the list; 1 for a bus address; or
 * -EREMOTEIO.
 */
static __always_inline int walk_place(const struct iommu_dma_sg *map,
				      struct sg_walk *walk,
				      struct scatterlist *sg,
				      struct sg_place *place)
{
	int ret;

	if (likely(map->dense)) {
		*place = iommu_dma_layout_dense(&map->layout, &walk->cursor,
						sg->length);
		return 0;
	}
	if (unlikely(is_pci_p2pdma_page(sg_page(sg)))) {
		ret = walk_place_peer(map, walk, sg, place);
		if (ret)
			return ret;
	}
	*place = iommu_dma_layout_next(&map->layout, &walk->cursor, sg_phys(sg),
				       sg->length);
	return 0;
}

static int refuse_list(const struct iommu_dma_sg *map, const char *why)
{
	if (!map->nowarn)
		dev_err_ratelimited(map->batch.dev, "DMA map of %d entries refused: %s\n",
				    map->nents, why);
	return -EINVAL;
}

static int refuse_contiguous(const struct iommu_dma_sg *map)
{
	struct device *dev = map->batch.dev;

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
static __always_inline bool in_memory_map(struct page *page,
					  unsigned long *known)
{
	unsigned long pfn;

	if (unlikely(!page))
		return false;
	pfn = page_to_pfn(page);
	if (likely(pfn >> (21 - PAGE_SHIFT) == *known))
		return true;
	if (!pfn_valid(pfn))
		return false;
	*known = pfn >> (21 - PAGE_SHIFT);
	return true;
}

/* Check what every list has to satisfy, and whether the list is dense. */
static int check_entries(struct iommu_dma_sg *map)
{
	unsigned long known = ULONG_MAX;
	u64 bytes = 0, bits = 0, end = 0;
	struct scatterlist *sg;
	bool peers = false;
	int i;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (unlikely(!sg->length))
			return refuse_list(map, "an entry is empty");
		if (unlikely(!in_memory_map(sg_page(sg), &known)))
			return refuse_list(map, "an entry is not memory");
		if (unlikely(is_pci_p2pdma_page(sg_page(sg))))
			peers = true;
		bits = i ? bits | end | sg_phys(sg) : 0;
		end = sg_phys(sg) + sg->length;
		bytes += sg->length;
	}
	if (unlikely(i < map->nents))
		return refuse_list(map, "list has fewer entries");
	map->bytes = bytes;
	map->dense = !peers &&
		     iommu_dma_layout_is_dense(&map->layout, sg_phys(map->sgl),
					       bits, bytes);
	return 0;
}

/* Return: 0, or an error of iommu_dma_map_sg(). */
static int measure_list(struct iommu_dma_sg *map)
{
	struct scatterlist *sg;
	struct sg_place place;
	struct sg_walk walk;
	int i, ret;

	ret = check_entries(map);
	if (ret)
		return ret;
	walk = walk_begin(map);
	if (map->dense) {
		walk.cursor.end += map->bytes;
	} else {
		for_each_sg_entry(map->sgl, sg, map->nents, i) {
			ret = walk_place(map, &walk, sg, &place);
			if (ret < 0)
				return ret;
		}
		if (!iommu_dma_layout_fits(&map->layout, &walk.cursor))
			return refuse_contiguous(map);
	}
	map->size = ALIGN(walk.cursor.end, map->layout.granule);
	if (map->layout.contiguous &&
	    map->bytes > dma_max_contiguous_size(map->batch.dev))
		return refuse_contiguous(map);
	/* This can happen only where size_t has 32 bits. */
	if (map->size > SIZE_MAX)
		return refuse_list(map, "list is larger than the address space");
	return 0;
}

/* A faster map_entries() for dense lists without bounces, as most are */
static int map_dense(struct iommu_dma_sg *map)
{
	dma_addr_t addr = map->start + walk_begin(map).cursor.end;
	struct scatterlist *sg;
	int i, ret;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		ret = iommu_dma_batch_add_around(&map->batch, addr, sg_phys(sg),
						 sg->length);
		if (ret)
			return ret;
		addr += sg->length;
	}
	return 0;
}

static int map_entries(struct iommu_dma_sg *map)
{
	struct sg_walk walk = walk_begin(map);
	struct scatterlist *sg;
	struct sg_place place;
	int i, ret;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		if (walk_place(map, &walk, sg, &place))
			continue;
		ret = iommu_dma_batch_add(&map->batch, map->start + place.start,
					  sg_phys(sg), sg->length);
		if (ret)
			return ret;
	}
	return 0;
}

static void undo_entries(struct iommu_dma_sg *map)
{
	struct sg_walk walk = walk_begin(map);
	struct scatterlist *sg;
	struct sg_place place;
	int i;

	for_each_sg_entry(map->sgl, sg, map->nents, i)
		if (!walk_place(map, &walk, sg, &place))
			iommu_dma_batch_undo(&map->batch,
					     map->start + place.start,
					     sg->length);
}

/*
 * All failures but -ENOMEM are final, so -EINVAL keeps callers from retrying.
 */
static noinline int map_failed(const struct iommu_dma_sg *map, int ret)
{
	if (map->batch.not_memory)
		return refuse_list(map, "bounced entry is not memory");
	return ret == -ENOMEM ? ret :
	       refuse_list(map, "IOMMU driver failed");
}

static int map_list(struct iommu_dma_sg *map)
{
	struct iommu_dma_iova_req req = {
		.size = map->size,
		.align = map->layout.min_align,
		.boundary = map->layout.boundary,
		.mask = dma_get_mask(map->batch.dev),
		.nowarn = map->nowarn,
	};
	struct iova_range range;
	int ret;

	if (!iommu_dma_alloc_iova(map->batch.dev, map->batch.cookie, &req,
				  &range))
		return -ENOMEM;
	map->start = iommu_dma_iova_addr(map->batch.cookie, &range);
	ret = map->dense && !map->batch.bounce ? map_dense(map) :
						 map_entries(map);
	if (!ret)
		ret = iommu_dma_batch_finish(&map->batch, map->start,
					     map->start + map->size);
	if (!ret)
		return 0;
	undo_entries(map);
	iommu_dma_batch_undo_end(&map->batch);
	iommu_dma_drop_iova(map->batch.dev, map->batch.cookie, &range);
	return map_failed(map, ret);
}

/*
 * Write the segments into the list, from its first entry on. There are never
 * more segments than entries read so far, so no unread entry is overwritten.
 * Return: the number of segments.
 */
static int write_segments(struct iommu_dma_sg *map)
{
	struct scatterlist *sg, *segment = NULL;
	struct sg_walk walk = walk_begin(map);
	struct sg_place place;
	int i, count = 0;
	bool bus;

	for_each_sg_entry(map->sgl, sg, map->nents, i) {
		/* It was placed before, so this is no error. */
		bus = walk_place(map, &walk, sg, &place) > 0;
		sg_dma_address(sg) = DMA_MAPPING_ERROR;
		sg_dma_len(sg) = 0;
		sg_dma_unmark_bus_address(sg);
		if (!bus && place.merged) {
			sg_dma_len(segment) += sg->length;
			continue;
		}
		segment = count++ ? sg_next(segment) : map->sgl;
		sg_dma_address(segment) = place.start + (bus ? 0 : map->start);
		sg_dma_len(segment) = sg->length;
		if (bus)
			sg_dma_mark_bus_address(segment);
	}
	return count;
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
		arch_sync_dma_for_cpu_noflush(sg_phys(sg), sg->length, dir);
	arch_sync_dma_flush();
}

static noinline void sync_entries_for_device(struct scatterlist *sgl, int nents,
					     enum dma_data_direction dir)
{
	struct scatterlist *sg;
	int i;

	for_each_sg_entry(sgl, sg, nents, i)
		arch_sync_dma_for_device_noflush(sg_phys(sg), sg->length, dir);
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

/**
 * iommu_dma_map_sg - map a scatterlist
 * @dev: device
 * @sgl: first entry
 * @nents: number of entries
 * @dir: direction of the transfer
 * @attrs: DMA_ATTR_*
 *
 * With DMA_ATTR_CONTIGUOUS, or after dma_set_contiguous(), there is one
 * segment. On error the list is as it was and nothing is mapped.
 *
 * Context: Any.
 * Return: the number of segments; -EINVAL if the list has no entry or fewer
 * than @nents, or if an entry has no bytes or is not memory, or if @dir allows
 * no access, or if the list is to be one segment and cannot be, or if the IOMMU
 * driver refuses it; -EREMOTEIO if it has memory of another device that @dev
 * cannot reach; -ENOMEM if memory or addresses are short.
 */
int iommu_dma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		     enum dma_data_direction dir, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	bool coherent = dev_is_dma_coherent(dev);
	struct iommu_dma_sg map = {
		.batch = {
			.dev = dev,
			.cookie = cookie,
			.prot = iommu_dma_prot(dev, dir, attrs),
		},
		.sgl = sgl,
		.nents = nents,
		.layout = device_layout(dev, cookie, attrs),
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};
	int ret;

	if (nents < 1 || iommu_dma_prot_is_none(map.batch.prot))
		return -EINVAL;
	ret = iommu_dma_attach(dev, cookie->domain);
	if (ret)
		return ret == -ENOMEM ? ret : -EINVAL;

	ret = measure_list(&map);
	if (ret)
		return ret;
	map.batch.bounce = iommu_dma_bounce_needed_sg(dev, sgl, nents, dir);
	map.batch.share_granules = map.layout.contiguous && !map.dense;
	ret = map.size ? map_list(&map) : 0;
	if (ret)
		return ret;
	ret = write_segments(&map);
	/*
	 * The device does not know the addresses yet, so this is early enough.
	 */
	if (!coherent && !(attrs & DMA_ATTR_SKIP_CPU_SYNC))
		iommu_dma_sync_sg_for_device(dev, sgl, nents, dir);
	return ret;
}

static struct iommu_dma_span
segment_granules(const struct iommu_dma_cookie *cookie, struct scatterlist *sg)
{
	return cookie_granules(cookie, sg_dma_address(sg), sg_dma_len(sg));
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

	if (segments_match(unmap, sgl, nents)) {
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
	struct iommu_dma_unmap unmap __uninitialized;
	struct scatterlist *sg, *first = sgl;
	struct iommu_dma_span span;
	bool peers = false;
	dma_addr_t addr;
	u64 bytes = 0;
	int i;

	for_each_sg_entry(sgl, sg, nents, i) {
		if (!sg_dma_len(sg))
			break;
		if (sg_dma_is_bus_address(sg))
			peers = true;
		else
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
	 * If the segments are fewer bytes than the range, there may be holes.
	 */
	span = cookie_granules(unmap.cookie, sg_dma_address(first), bytes);
	bytes = span.end - span.start;
	if (likely(bytes == iommu_dma_unmap_iova_size(&unmap) &&
		   !iommu_dma_any_bounces(unmap.cookie))) {
		if (!(attrs & DMA_ATTR_SKIP_CPU_SYNC) &&
		    !dev_is_dma_coherent(dev))
			sync_entries_for_cpu(sgl, nents, dir);
		addr = iommu_dma_iova_addr(unmap.cookie, &unmap.range);
		iommu_dma_unmap_range(dev, &unmap, addr, bytes);
	} else {
		unmap_slow(dev, &unmap, sgl, nents, dir, attrs);
	}
	iommu_dma_unmap_end(dev, &unmap);
unmark:
	if (unlikely(peers))
		segments_unmark(sgl, nents);
}
