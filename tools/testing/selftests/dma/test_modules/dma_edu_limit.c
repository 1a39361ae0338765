// SPDX-License-Identifier: GPL-2.0
/*
 * What a device can do, and what it cannot: lists within every limit, and lists
 * that have to be refused.
 *
 *   limits         lists of every shape with every combination of limits, as one
 *                  segment and as several; whether one is possible is known
 *                  before. Looked at, not moved: there are thousands
 *   single         the same for pages, registers and coherent memory
 *   largest        dma_max_contiguous_size() is what can be had, to the byte
 *   refuse CASE [quiet]  a list that cannot be mapped: the error, the list after
 *                  it, and that nothing is mapped. Quiet: nothing is to be said
 *   scattered      without an IOMMU, a list of memory that is not contiguous
 *   peer           a list with memory of another device in the middle: as one
 *                  segment if the kernel lets them reach each other, else refused
 *   fragment       addresses are free, but no two next to each other; then some
 *                  are, and the device uses them
 *   room           how many pages fit; less than before is a leak
 */
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "dma_edu_list.h"
#include "dma_edu_ops.h"

/* All of such a space can be looked at. */
#define EDU_NARROW	24

/* What mapping for a device depends on */
struct edu_limits {
	u64 mask;
	unsigned int max_seg;
	unsigned long boundary;
	unsigned int min_align;
};

static struct edu_limits edu_limits_get(struct device *dev)
{
	return (struct edu_limits) {
		.mask = dma_get_mask(dev),
		.max_seg = dma_get_max_seg_size(dev),
		.boundary = dma_get_seg_boundary(dev),
		.min_align = dma_get_min_align_mask(dev),
	};
}

static int edu_limits_set(struct device *dev, const struct edu_limits *limits)
{
	dma_set_max_seg_size(dev, limits->max_seg);
	dma_set_seg_boundary(dev, limits->boundary);
	dma_set_min_align_mask(dev, limits->min_align);
	return dma_set_mask(dev, limits->mask);
}

/* Does a range that begins at @off from an alignment fit between two boundaries? */
static bool edu_fits(const struct edu_limits *limits, u64 off, u64 len)
{
	u64 boundary = (u64)limits->boundary + 1;

	return !boundary || (off & (boundary - 1)) + len <= boundary;
}

/* Can the list be one segment; or, if not @one, each entry? */
static bool edu_possible(struct edu *edu, struct edu_sgl *list,
			 const struct edu_limits *limits, bool one)
{
	u64 mask = edu_sgl_min_align(edu, list) - 1;
	struct scatterlist *sg;
	unsigned int i;

	if (one)
		return list->total <= limits->max_seg &&
		       edu_fits(limits, sg_phys(list->sg) & mask, list->total);
	for_each_sg(list->sg, sg, list->n, i)
		if (sg->length > limits->max_seg ||
		    !edu_fits(limits, sg_phys(sg) & mask, sg->length))
			return false;
	return true;
}

/**
 * struct edu_count - what came of many tries
 * @mapped: lists that were mapped
 * @refused: and refused
 * @segments: of the former
 */
struct edu_count {
	unsigned int mapped;
	unsigned int refused;
	unsigned int segments;
};

static int edu_limits_try(struct edu *edu, struct edu_sgl *list,
			  const struct edu_limits *limits,
			  unsigned long attrs, struct edu_count *count)
{
	bool one = attrs & DMA_ATTR_CONTIGUOUS;
	bool possible = edu_possible(edu, list, limits, one);
	/* Several segments that share cache lines may be read, not written. */
	enum dma_data_direction dir = one ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;
	struct device *dev = edu_dev(edu);
	int ret, got;

	/* An entry that does not fit by itself is the driver's choice. */
	if (!possible && !one)
		return 0;
	attrs |= DMA_ATTR_NO_WARN;
	edu_sgl_remember(list);
	got = dma_map_sgtable(dev, &list->sgt, dir, attrs);
	if (got) {
		count->refused++;
		if (!edu_sgl_cleared(edu, list))
			return -EFAULT;
		if (!possible && got == -EINVAL)
			return 0;
		edu_note(edu, "error %d, should be %d\n", got,
			 possible ? 0 : -EINVAL);
		return -EIO;
	}
	count->mapped++;
	count->segments += list->sgt.nents;
	ret = one ? edu_sgl_one_segment(edu, list) : edu_sgl_segments(edu, list);
	ret = ret ?: edu_sgl_translation(edu, list);
	if (!ret && !possible) {
		edu_note(edu, "mapped, should be refused\n");
		ret = -ERANGE;
	}
	dma_unmap_sgtable(dev, &list->sgt, dir, attrs);
	return ret ?: edu_sgl_verify(edu, list, "after unmap");
}

static int edu_limits_shape(struct edu *edu, const struct edu_shape *shape,
			    struct edu_count *count)
{
	static const u8 masks[] = { 24, 32 };
	static const unsigned int maxes[] = { 0, 0x10000, 0x5000, 0x2000 };
	static const unsigned int boundaries[] = { 0, 0x10000, 0x4000 };
	static const unsigned int aligns[] = { 0, 0x200, 0x1000, 0x2000, 0x10000 };
	unsigned int i, n = ARRAY_SIZE(masks) * ARRAY_SIZE(maxes) *
			    ARRAY_SIZE(boundaries) * ARRAY_SIZE(aligns);
	struct edu_sgl *list = edu_sgl_make(edu, shape);
	struct edu_limits limits;
	size_t scale;
	int ret = 0;

	if (!list)
		return -ENOMEM;
	scale = list->granule / SZ_4K;
	for (i = 0; !ret && i < n; i++) {
		unsigned int k = i / ARRAY_SIZE(masks);

		limits.mask = DMA_BIT_MASK(masks[i % ARRAY_SIZE(masks)]);
		/* 0 is none. */
		limits.max_seg = maxes[k % ARRAY_SIZE(maxes)] * scale ?: UINT_MAX;
		k /= ARRAY_SIZE(maxes);
		limits.boundary = boundaries[k % ARRAY_SIZE(boundaries)] * scale - 1;
		k /= ARRAY_SIZE(boundaries);
		limits.min_align = aligns[k] ? aligns[k] * scale - 1 : 0;
		ret = edu_limits_set(edu_dev(edu), &limits) ?:
		      edu_limits_try(edu, list, &limits, DMA_ATTR_CONTIGUOUS,
				     count) ?:
		      edu_limits_try(edu, list, &limits, 0, count);
		if (ret)
			edu_note(edu, "%s mask %#llx max %#x boundary %#lx align %#x\n",
				 shape->name, limits.mask, limits.max_seg,
				 limits.boundary, limits.min_align);
		cond_resched();
	}
	edu_sgl_drop(list);
	return ret;
}

static int edu_op_limits(struct edu *edu, int argc, char **argv)
{
	struct edu_limits before = edu_limits_get(edu_dev(edu));
	const struct edu_shape *shape;
	struct edu_count count = {};
	int ret = 0;

	if (!edu_domain(edu))
		return EDU_SKIP;
	for (shape = edu_shapes; !ret && shape->name; shape++)
		ret = edu_limits_shape(edu, shape, &count);
	edu_limits_set(edu_dev(edu), &before);
	edu_note(edu, "%u mapped in %u segments, %u refused\n", count.mapped,
		 count.segments, count.refused);
	return ret;
}

/*
 * Single mappings.
 */

/* Where a mapping is, and that it leads somewhere: parts of granules may bounce. */
static int edu_single_check(struct edu *edu, const char *what, dma_addr_t addr,
			    phys_addr_t phys, size_t len)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct device *dev = edu_dev(edu);
	u64 kept = edu_kept_bits(edu, 1UL << __ffs(domain->pgsize_bitmap), len);

	if (addr + len - 1 >= addr && addr + len - 1 <= dma_get_mask(dev) &&
	    !((addr ^ phys) & kept) &&
	    iommu_iova_to_phys(domain, addr) &&
	    iommu_iova_to_phys(domain, addr + len - 1))
		return 0;
	edu_note(edu, "%s: %zu bytes of %pa at %pad, mask %#llx alignment %#llx\n",
		 what, len, &phys, &addr, dma_get_mask(dev), kept + 1);
	return -ERANGE;
}

/* The same, and it leads to the very memory. */
static int edu_single_check_direct(struct edu *edu, const char *what,
				   dma_addr_t addr, phys_addr_t phys, size_t len)
{
	struct iommu_domain *domain = edu_domain(edu);
	int ret = edu_single_check(edu, what, addr, phys, len);

	if (ret)
		return ret;
	if (iommu_iova_to_phys(domain, addr) == phys &&
	    iommu_iova_to_phys(domain, addr + len - 1) == phys + len - 1)
		return 0;
	edu_note(edu, "%s: %zu bytes at %pad do not lead to %pa\n", what, len,
		 &addr, &phys);
	return -ERANGE;
}

static int edu_single_page(struct edu *edu, struct page *page, size_t off,
			   size_t len)
{
	struct device *dev = edu_dev(edu);
	dma_addr_t addr = dma_map_page(dev, page, off, len, DMA_BIDIRECTIONAL);
	phys_addr_t phys = page_to_phys(page) + off;
	int ret;

	if (dma_mapping_error(dev, addr)) {
		edu_note(edu, "cannot map %zu bytes at offset %zu\n", len, off);
		return -ENOMEM;
	}
	if (edu->pdev->untrusted || !dev_is_dma_coherent(dev))
		ret = edu_single_check(edu, "page", addr, phys, len);
	else
		ret = edu_single_check_direct(edu, "page", addr, phys, len);
	dma_unmap_page(dev, addr, len, DMA_BIDIRECTIONAL);
	return ret;
}

/* Registers: the device's own, which nobody will write to. */
static int edu_single_resource(struct edu *edu, size_t off, size_t len)
{
	phys_addr_t phys = pci_resource_start(edu->pdev, 0) + off;
	struct device *dev = edu_dev(edu);
	dma_addr_t addr;
	int ret;

	addr = dma_map_resource(dev, phys, len, DMA_TO_DEVICE, 0);
	if (dma_mapping_error(dev, addr)) {
		edu_note(edu, "cannot map %zu bytes of registers\n", len);
		return -ENOMEM;
	}
	ret = edu_single_check_direct(edu, "resource", addr, phys, len);
	dma_unmap_resource(dev, addr, len, DMA_TO_DEVICE, 0);
	return ret;
}

static int edu_single_coherent(struct edu *edu, size_t len)
{
	struct device *dev = edu_dev(edu);
	dma_addr_t addr;
	void *cpu;
	int ret = 0;

	cpu = dma_alloc_coherent(dev, len, &addr, GFP_KERNEL);
	if (!cpu) {
		edu_note(edu, "cannot allocate %zu bytes\n", len);
		return -ENOMEM;
	}
	/* As large as it is, it is aligned. */
	if (addr + len - 1 > dev->coherent_dma_mask ||
	    addr & ((PAGE_SIZE << get_order(len)) - 1)) {
		edu_note(edu, "coherent: %zu bytes at %pad, mask %#llx\n", len,
			 &addr, dev->coherent_dma_mask);
		ret = -ERANGE;
	}
	dma_free_coherent(dev, len, cpu, addr);
	return ret;
}

static int edu_op_single(struct edu *edu, int argc, char **argv)
{
	static const struct { size_t off, len; } parts[] = {
		{ 0, SZ_4K }, { 0x234, 1 }, { 0xfff, 2 }, { 0x10, 0x3000 },
		{ 0, SZ_64K }, { 0x1e00, 0xa100 },
	};
	static const unsigned int aligns[] = { 0, 0xfff, 0x1fff, 0xffff };
	static const u8 masks[] = { 24, 28, 32 };
	struct device *dev = edu_dev(edu);
	struct edu_limits before = edu_limits_get(dev), limits = before;
	u64 coherent = dev->coherent_dma_mask;
	struct page *page;
	int i, k, ret = 0, n = ARRAY_SIZE(masks) * ARRAY_SIZE(aligns);

	if (!edu_domain(edu))
		return EDU_SKIP;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(SZ_128K));
	if (!page)
		return -ENOMEM;
	for (i = 0; !ret && i < n; i++) {
		limits.mask = DMA_BIT_MASK(masks[i % ARRAY_SIZE(masks)]);
		limits.min_align = aligns[i / ARRAY_SIZE(masks)];
		ret = edu_limits_set(dev, &limits) ?:
		      dma_set_coherent_mask(dev, limits.mask);
		for (k = 0; !ret && k < ARRAY_SIZE(parts); k++)
			ret = edu_single_page(edu, page, parts[k].off,
					      parts[k].len) ?:
			      edu_single_resource(edu, parts[k].off,
						  parts[k].len) ?:
			      edu_single_coherent(edu, parts[k].len);
	}
	edu_limits_set(dev, &before);
	dma_set_coherent_mask(dev, coherent);
	__free_pages(page, get_order(SZ_128K));
	return ret;
}

/*
 * The largest list.
 */

static int edu_largest_try(struct edu *edu, struct edu_sgl *list, size_t want)
{
	struct device *dev = edu_dev(edu);
	size_t size = dma_max_contiguous_size(dev);
	int ret;

	if (size != want) {
		edu_note(edu, "dma_max_contiguous_size() is %zu, should be %zu\n",
			 size, want);
		return -ERANGE;
	}
	edu_sgl_remember(list);
	ret = dma_map_sgtable_contiguous(dev, &list->sgt, DMA_TO_DEVICE,
					 DMA_ATTR_NO_WARN);
	if (!ret)
		dma_unmap_sgtable(dev, &list->sgt, DMA_TO_DEVICE, 0);
	edu_note(edu, "up to %zu bytes, %zu: %d\n", size, list->total, ret);
	if (list->total <= size)
		return ret;
	return ret == -EINVAL && edu_sgl_cleared(edu, list) ? 0 : -EIO;
}

static int edu_largest(struct edu *edu, struct edu_sgl *list)
{
	struct device *dev = edu_dev(edu);
	struct edu_limits before = edu_limits_get(dev), limits = before;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < 3; i++) {
		limits.max_seg = list->total + 1 - i;
		ret = edu_limits_set(dev, &limits) ?:
		      edu_largest_try(edu, list, limits.max_seg);
	}
	limits.max_seg = UINT_MAX;
	for (i = 4; !ret && i <= 8; i += 4) {
		limits.boundary = i * list->granule - 1;
		ret = edu_limits_set(dev, &limits) ?:
		      edu_largest_try(edu, list, i * list->granule);
	}
	edu_limits_set(dev, &before);
	return ret;
}

static int edu_op_largest(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	u64 mask = dma_get_mask(dev);
	struct edu_sgl *list;
	int ret;

	if (!edu_domain(edu))
		return EDU_SKIP;
	list = edu_sgl_make(edu, edu_find_shape("whole"));
	if (!list)
		return -ENOMEM;
	ret = edu_largest(edu, list);
	if (!ret)
		ret = dma_set_mask(dev, DMA_BIT_MASK(EDU_NARROW));
	if (!ret && dma_max_contiguous_size(dev) > 1UL << EDU_NARROW) {
		edu_note(edu, "%zu bytes with a mask of %d bits\n",
			 dma_max_contiguous_size(dev), EDU_NARROW);
		ret = -ERANGE;
	}
	dma_set_mask(dev, mask);
	edu_sgl_drop(list);
	return ret;
}

/*
 * Lists that have to be refused.
 */

static void edu_spoil_length(struct edu *edu, struct scatterlist *sg)
{
	sg->length = 0;
}

static void edu_spoil_page(struct edu *edu, struct scatterlist *sg)
{
	sg_assign_page(sg, NULL);
}

/* A page structure that is not there, as of registers */
static void edu_spoil_ram(struct edu *edu, struct scatterlist *sg)
{
	sg_assign_page(sg, pfn_to_page(PHYS_PFN(pci_resource_start(edu->pdev, 0))));
}

/* Of what is said to be there only the beginning is; it is never looked at. */
static void edu_spoil_overflow(struct edu *edu, struct scatterlist *sg)
{
	sg->length = 0xfffff000;
}

static void edu_spoil_space(struct edu *edu, struct scatterlist *sg)
{
	sg->length = SZ_4M;
}

static void edu_spoil_max(struct edu *edu, struct scatterlist *sg)
{
	dma_set_max_seg_size(edu_dev(edu), SZ_8K);
}

static void edu_spoil_boundary(struct edu *edu, struct scatterlist *sg)
{
	dma_set_seg_boundary(edu_dev(edu), SZ_16K - 1);
}

/**
 * struct edu_refusal - a list that has to be refused
 * @name: of the case
 * @spoil: makes it so
 * @one: the error as one segment
 * @several: the error else; 0 if it is possible then
 * @all: of all entries; otherwise of one, each in turn
 */
struct edu_refusal {
	const char *name;
	void (*spoil)(struct edu *edu, struct scatterlist *sg);
	int one;
	int several;
	bool all;
};

static const struct edu_refusal edu_refusals[] = {
	{ "empty", edu_spoil_length, -EINVAL, -EINVAL, .all = true },
	{ "page", edu_spoil_page, -EINVAL, -EINVAL },
	{ "ram", edu_spoil_ram, -EINVAL, -EINVAL },
	{ "overflow", edu_spoil_overflow, -EINVAL, -ENOMEM, .all = true },
	{ "space", edu_spoil_space, -EINVAL, -ENOMEM, .all = true },
	{ "max", edu_spoil_max, -EINVAL, 0, .all = true },
	{ "boundary", edu_spoil_boundary, -EINVAL, 0, .all = true },
	{ }
};

/* Translated granules among all that a narrow mask reaches */
static unsigned int edu_mapped(struct edu *edu, size_t granule)
{
	struct iommu_domain *domain = edu_domain(edu);
	unsigned int count = 0;
	dma_addr_t addr;

	if (!domain)
		return 0;
	for (addr = 0; addr >> EDU_NARROW == 0; addr += granule)
		count += iommu_iova_to_phys(domain, addr) != 0;
	return count;
}

static int edu_refused(struct edu *edu, struct edu_sgl *list, int want,
		       unsigned long attrs)
{
	enum dma_data_direction dir = DMA_TO_DEVICE;
	struct device *dev = edu_dev(edu);
	unsigned int before = edu_mapped(edu, list->granule);
	int ret;

	ret = dma_map_sgtable(dev, &list->sgt, dir, attrs);
	if (!ret)
		dma_unmap_sgtable(dev, &list->sgt, dir, attrs);
	if (ret != want) {
		edu_note(edu, "error %d, should be %d\n", ret, want);
		return -EIO;
	}
	ret = dma_map_sg_attrs(dev, list->sg, list->n, dir,
			       attrs | DMA_ATTR_NO_WARN);
	if (ret) {
		edu_note(edu, "dma_map_sg() gave %d segments\n", ret);
		return -EIO;
	}
	if (edu_mapped(edu, list->granule) != before) {
		edu_note(edu, "%u granules mapped before, %u after\n", before,
			 edu_mapped(edu, list->granule));
		return -EBUSY;
	}
	return edu_sgl_cleared(edu, list) ? 0 : -EFAULT;
}

/* All ways to map the same list, which is spoilt at entry @at or everywhere */
static int edu_refuse_at(struct edu *edu, const struct edu_refusal *refusal,
			 unsigned int at, unsigned long attrs)
{
	const struct edu_shape *shape = edu_find_shape("pages");
	struct edu_sgl *list = edu_sgl_make(edu, shape);
	struct device *dev = edu_dev(edu);
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	if (!list)
		return -ENOMEM;
	for_each_sg(list->sg, sg, list->n, i)
		if (refusal->all || i == at)
			refusal->spoil(edu, sg);
	edu_sgl_remember(list);
	ret = edu_refused(edu, list, refusal->one, attrs | DMA_ATTR_CONTIGUOUS);
	dma_set_contiguous(dev, true);
	ret = ret ?: edu_refused(edu, list, refusal->one, DMA_ATTR_NO_WARN);
	dma_set_contiguous(dev, false);
	if (!ret && refusal->several)
		ret = edu_refused(edu, list, refusal->several, attrs);
	if (ret)
		edu_note(edu, "case %s, entry %u\n", refusal->name, at);
	edu_sgl_drop(list);
	return ret;
}

static const struct edu_refusal *edu_find_refusal(const char *name)
{
	const struct edu_refusal *refusal;

	for (refusal = edu_refusals; refusal->name; refusal++)
		if (!strcmp(refusal->name, name))
			return refusal;
	return NULL;
}

static int edu_op_refuse(struct edu *edu, int argc, char **argv)
{
	static const unsigned int places[] = { 0, 2, 4 };
	const struct edu_refusal *refusal;
	struct edu_limits before = edu_limits_get(edu_dev(edu));
	struct edu_limits narrow = before;
	unsigned long attrs = argc > 2 ? DMA_ATTR_NO_WARN : 0;
	int i, ret;

	refusal = argc > 1 ? edu_find_refusal(argv[1]) : NULL;
	if (!refusal)
		return -EINVAL;
	if (!edu_domain(edu))
		return EDU_SKIP;
	if (refusal->spoil == edu_spoil_ram &&
	    pfn_valid(PHYS_PFN(pci_resource_start(edu->pdev, 0)))) {
		edu_note(edu, "registers have page structures here\n");
		return EDU_SKIP;
	}
	narrow.mask = DMA_BIT_MASK(EDU_NARROW);
	ret = edu_limits_set(edu_dev(edu), &narrow);
	/* Once is enough: the kernel does not say the same often. */
	for (i = 0; !ret && i < (refusal->all ? 1 : ARRAY_SIZE(places)); i++)
		ret = edu_refuse_at(edu, refusal, places[i],
				    i ? DMA_ATTR_NO_WARN : attrs);
	edu_limits_set(edu_dev(edu), &before);
	return ret;
}

static int edu_op_scattered(struct edu *edu, int argc, char **argv)
{
	const struct edu_shape *shape;
	struct edu_sgl *list;
	int ret = 0;

	if (edu_domain(edu)) {
		edu_note(edu, "an IOMMU translates for the device\n");
		return EDU_SKIP;
	}
	for (shape = edu_shapes; !ret && shape->name; shape++) {
		list = edu_sgl_make(edu, shape);
		if (!list)
			return -ENOMEM;
		if (list->nr_blocks > 1) {
			edu_sgl_remember(list);
			ret = edu_refused(edu, list, -EINVAL, DMA_ATTR_CONTIGUOUS) ?:
			      edu_sgl_verify(edu, list, "after an error");
		}
		edu_sgl_drop(list);
	}
	return ret;
}

/* The list is mapped as one segment, and the device moves all of it. */
static int edu_one_segment(struct edu *edu, struct edu_sgl *list)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = dma_map_sgtable_contiguous(dev, &list->sgt, DMA_BIDIRECTIONAL, 0);
	if (ret) {
		edu_note(edu, "mapping gave %d\n", ret);
		return ret;
	}
	ret = edu_sgl_one_segment(edu, list) ?: edu_sgl_translation(edu, list);
	if (!ret) {
		edu_sgl_note(edu, list);
		ret = edu_sgl_use(edu, list, DMA_BIDIRECTIONAL);
	}
	dma_unmap_sgtable(dev, &list->sgt, DMA_BIDIRECTIONAL, 0);
	return ret ?: edu_sgl_verify(edu, list, "after unmap");
}

/* Another device that has memory for peers, with a reference, or NULL */
static struct pci_dev *edu_find_peer(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (pci_has_p2pmem(pdev))
			return pdev;
	return NULL;
}

/* What is not memory cannot be bounced. */
static int edu_peer_shifted(struct edu *edu, struct edu_sgl *list)
{
	list->sg->offset = list->granule / 2;
	list->sg->length = list->granule / 4;
	edu_sgl_remember(list);
	return edu_refused(edu, list, -EINVAL,
			   DMA_ATTR_CONTIGUOUS | DMA_ATTR_NO_WARN);
}

static int edu_peer_list(struct edu *edu, struct edu_sgl *list,
			 struct pci_dev *peer)
{
	bool reach = pci_p2pdma_distance(peer, edu_dev(edu), false) >= 0;

	edu_note(edu, "memory of %s, %s\n", pci_name(peer),
		 reach ? "within reach" : "out of reach");
	if (reach)
		return edu_one_segment(edu, list) ?: edu_peer_shifted(edu, list);
	edu_sgl_remember(list);
	return edu_refused(edu, list, -EREMOTEIO, DMA_ATTR_CONTIGUOUS) ?:
	       edu_refused(edu, list, -EREMOTEIO, 0);
}

static int edu_op_peer(struct edu *edu, int argc, char **argv)
{
	struct pci_dev *peer = edu_find_peer();
	struct edu_sgl *list;
	int ret;

	if (!peer || !edu_domain(edu)) {
		edu_note(edu, "no device has memory for peers, or no IOMMU\n");
		pci_dev_put(peer);
		return EDU_SKIP;
	}
	list = edu_sgl_make(edu, edu_find_shape("whole"));
	ret = list ? edu_sgl_add_peer(list, 2, peer) : -ENOMEM;
	if (!ret)
		ret = edu_peer_list(edu, list, peer);
	edu_sgl_drop(list);
	pci_dev_put(peer);
	return ret;
}

/*
 * Address space used up.
 */

/**
 * struct edu_full - an address space full of pages
 * @dma: their addresses
 * @n: how many
 * @page: what is mapped
 * @size: bytes of each
 */
struct edu_full {
	dma_addr_t *dma;
	unsigned int n;
	struct page *page;
	size_t size;
};

static void edu_full_unmap(struct edu *edu, struct edu_full *full,
			   unsigned int i)
{
	if (full->dma[i] == DMA_MAPPING_ERROR)
		return;
	dma_unmap_page(edu_dev(edu), full->dma[i], full->size, DMA_TO_DEVICE);
	full->dma[i] = DMA_MAPPING_ERROR;
}

static void edu_full_free(struct edu *edu, struct edu_full *full)
{
	while (full->n)
		edu_full_unmap(edu, full, --full->n);
	if (full->page)
		__free_pages(full->page, get_order(full->size));
	kvfree(full->dma);
}

static int edu_full_cmp(const void *a, const void *b)
{
	dma_addr_t x = *(const dma_addr_t *)a, y = *(const dma_addr_t *)b;

	return x < y ? -1 : x > y;
}

/* Map until it is refused; then they are in order. */
static int edu_full_make(struct edu *edu, struct edu_full *full)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct device *dev = edu_dev(edu);
	unsigned int max;
	dma_addr_t dma;

	full->n = 0;
	full->size = 1UL << __ffs(domain->pgsize_bitmap);
	max = (1UL << EDU_NARROW) / full->size + 1;
	full->page = alloc_pages(GFP_KERNEL | __GFP_ZERO, get_order(full->size));
	full->dma = kvcalloc(max, sizeof(*full->dma), GFP_KERNEL);
	if (!full->page || !full->dma)
		return -ENOMEM;
	for (; full->n < max; full->n++) {
		dma = dma_map_page_attrs(dev, full->page, 0, full->size,
					 DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
		if (dma_mapping_error(dev, dma))
			break;
		full->dma[full->n] = dma;
		cond_resched();
	}
	sort(full->dma, full->n, sizeof(*full->dma), edu_full_cmp, NULL);
	return full->n < max ? 0 : -ERANGE;
}

/* The first of @count mappings that follow each other; -1 if there are none */
static int edu_full_row(const struct edu_full *full, unsigned int count)
{
	unsigned int i, first = 0;
	dma_addr_t stride = full->n > 1 ? full->dma[1] - full->dma[0] : 0;

	/* Neighbours are not always one granule from another: see dma_guard. */
	for (i = 1; i + 1 < full->n; i++)
		stride = min(stride, full->dma[i + 1] - full->dma[i]);
	for (i = 1; i < full->n; i++) {
		if (full->dma[i] - full->dma[i - 1] != stride)
			first = i;
		if (i - first + 1 == count)
			return first;
	}
	return -1;
}

static int edu_fragmented(struct edu *edu, struct edu_full *full,
			  struct edu_sgl *list)
{
	struct device *dev = edu_dev(edu);
	unsigned int i, count = list->total / list->granule + 8;
	int ret, first = edu_full_row(full, count);

	edu_note(edu, "%u mappings\n", full->n);
	if (first < 0) {
		edu_note(edu, "no %u of them in a row\n", count);
		return -ERANGE;
	}
	for (i = 1; i < full->n; i += 2)
		edu_full_unmap(edu, full, i);
	edu_sgl_remember(list);
	ret = dma_map_sgtable_contiguous(dev, &list->sgt, DMA_BIDIRECTIONAL, 0);
	if (!ret)
		dma_unmap_sgtable(dev, &list->sgt, DMA_BIDIRECTIONAL, 0);
	if (ret != -ENOMEM || !edu_sgl_cleared(edu, list)) {
		edu_note(edu, "no room for %zu bytes: %d\n", list->total, ret);
		return -EIO;
	}
	edu_note(edu, "refused %zu bytes\n", list->total);

	/* What waits for a flush has to be enough. */
	for (i = first; i < first + count; i++)
		edu_full_unmap(edu, full, i);
	return edu_one_segment(edu, list);
}

static int edu_op_fragment(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	u64 mask = dma_get_mask(dev);
	struct edu_full full = {};
	struct edu_sgl *list;
	int ret;

	if (!edu_domain(edu))
		return EDU_SKIP;
	list = edu_sgl_make(edu, edu_find_shape("mixed"));
	if (!list)
		return -ENOMEM;
	ret = dma_set_mask(dev, DMA_BIT_MASK(EDU_NARROW)) ?:
	      edu_full_make(edu, &full) ?: edu_fragmented(edu, &full, list);
	edu_full_free(edu, &full);
	dma_set_mask(dev, mask);
	edu_sgl_drop(list);
	return ret;
}

static int edu_op_room(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	u64 mask = dma_get_mask(dev);
	struct edu_full full = {};
	int ret;

	if (!edu_domain(edu))
		return EDU_SKIP;
	ret = dma_set_mask(dev, DMA_BIT_MASK(EDU_NARROW)) ?:
	      edu_full_make(edu, &full);
	edu_note(edu, "%u pages fit\n", full.n);
	edu_full_free(edu, &full);
	dma_set_mask(dev, mask);
	return ret;
}

const struct edu_op edu_limit_ops[] = {
	{ "limits", edu_op_limits },
	{ "single", edu_op_single },
	{ "largest", edu_op_largest },
	{ "refuse", edu_op_refuse },
	{ "scattered", edu_op_scattered },
	{ "peer", edu_op_peer },
	{ "fragment", edu_op_fragment },
	{ "room", edu_op_room },
	{ }
};
