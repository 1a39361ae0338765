// SPDX-License-Identifier: GPL-2.0
/*
 * Streaming mappings, looked at from both ends: what the CPU wrote is what the
 * device reads, and the other way round; and what is not mapped stays out of
 * the device's reach.
 *
 * Lists are made of pages of which no two are adjacent (each is the first of an
 * allocation of two), so whatever the device sees as one segment has been
 * merged by the IOMMU. The second page of each pair is a canary.
 */
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "dma_edu_core.h"
#include "dma_edu_ops.h"

#define EDU_CANARY	0xa5
#define EDU_LIST_MAX	1024
#define EDU_NOTED	16

/* A trimmed list: bytes before the first entry, and bytes of the last one */
#define EDU_SKIPPED	512
#define EDU_LAST	1000

/* A deferred unmap is complete after 10 ms; timers are late now and then. */
#define EDU_WINDOW_MS	30

/**
 * struct edu_list - a scattered list and its pages
 * @sgt: the list; nents is what mapping it returned
 * @n: number of pages
 * @total: bytes in the list
 * @pages: the pages, each the first of two
 */
struct edu_list {
	struct sg_table sgt;
	unsigned long n;
	size_t total;
	struct page **pages;
};

static void edu_list_free(struct edu_list *list)
{
	unsigned long i;

	for (i = 0; i < list->n; i++)
		if (list->pages[i])
			__free_pages(list->pages[i], 1);
	kvfree(list->pages);
	sg_free_table(&list->sgt);
}

static int edu_list_alloc(struct edu_list *list, unsigned long n)
{
	struct scatterlist *sg;
	unsigned long i;

	memset(list, 0, sizeof(*list));
	list->pages = kvcalloc(n, sizeof(*list->pages), GFP_KERNEL);
	if (!list->pages)
		return -ENOMEM;
	if (sg_alloc_table(&list->sgt, n, GFP_KERNEL)) {
		kvfree(list->pages);
		return -ENOMEM;
	}
	list->n = n;
	for_each_sgtable_sg(&list->sgt, sg, i) {
		list->pages[i] = alloc_pages(GFP_KERNEL, 1);
		if (!list->pages[i]) {
			edu_list_free(list);
			return -ENOMEM;
		}
		memset(page_address(list->pages[i]), EDU_CANARY, 2 * PAGE_SIZE);
		sg_set_page(sg, list->pages[i], PAGE_SIZE, 0);
	}
	list->total = n * PAGE_SIZE;
	return 0;
}

/*
 * The first entry begins inside its page and the last one ends inside its page,
 * which does not keep the device from seeing one segment.
 */
static void edu_list_trim(struct edu_list *list)
{
	struct scatterlist *first = list->sgt.sgl;
	struct scatterlist *last = sg_last(first, list->n);

	if (last != first) {
		list->total -= last->length - EDU_LAST;
		last->length = EDU_LAST;
	}
	first->offset = EDU_SKIPPED;
	first->length -= EDU_SKIPPED;
	list->total -= EDU_SKIPPED;
}

/* Put the pattern into the list, or compare the list with it. */
static int edu_list_fill(struct edu_list *list, u8 seed)
{
	void *buf = vmalloc(list->total);

	if (!buf)
		return -ENOMEM;
	edu_fill(buf, list->total, seed);
	sg_copy_from_buffer(list->sgt.sgl, list->n, buf, list->total);
	vfree(buf);
	return 0;
}

static int edu_list_check(struct edu *edu, struct edu_list *list, u8 seed)
{
	void *buf = vmalloc(list->total);
	unsigned long i;
	int ret;

	if (!buf)
		return -ENOMEM;
	sg_copy_to_buffer(list->sgt.sgl, list->n, buf, list->total);
	ret = edu_check(edu, "list", buf, list->total, seed);
	vfree(buf);
	for (i = 0; !ret && i < list->n; i++)
		ret = edu_check_byte(edu, "page behind an entry",
				     page_address(list->pages[i]) + PAGE_SIZE,
				     PAGE_SIZE, EDU_CANARY);
	return ret;
}

/* The device's address of byte @pos, and how much of its segment is left. */
static dma_addr_t edu_list_addr(struct edu_list *list, size_t pos, size_t *left)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		if (pos < sg_dma_len(sg)) {
			*left = sg_dma_len(sg) - pos;
			return sg_dma_address(sg) + pos;
		}
		pos -= sg_dma_len(sg);
	}
	*left = 0;
	return DMA_MAPPING_ERROR;
}

/* The first segments, as many as a reader looks at */
static void edu_list_note(struct edu *edu, struct edu_list *list)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		dma_addr_t addr = sg_dma_address(sg);

		if (i == EDU_NOTED)
			break;
		edu_note(edu, "segment %d address %pad length %u\n", i, &addr,
			 sg_dma_len(sg));
	}
}

/* What the device was promised about its segments. */
static int edu_list_limits(struct edu *edu, struct edu_list *list)
{
	struct device *dev = edu_dev(edu);
	unsigned int max = dma_get_max_seg_size(dev);
	unsigned long boundary = dma_get_seg_boundary(dev);
	struct scatterlist *sg;
	size_t sum = 0;
	int i, ret = 0;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		dma_addr_t first = sg_dma_address(sg);
		dma_addr_t last = first + sg_dma_len(sg) - 1;

		sum += sg_dma_len(sg);
		if (!sg_dma_len(sg) || sg_dma_len(sg) > max ||
		    last < first || last > dma_get_mask(dev) ||
		    (first & ~(dma_addr_t)boundary) != (last & ~(dma_addr_t)boundary)) {
			edu_note(edu, "segment %d at %pad length %u breaks max %u boundary %#lx\n",
				 i, &first, sg_dma_len(sg), max, boundary);
			ret = -ERANGE;
		}
	}
	if (sum != list->total) {
		edu_note(edu, "segments hold %zu bytes, the list %zu\n", sum,
			 list->total);
		ret = -ERANGE;
	}
	return ret;
}

/* Is every byte of the list where the device's address says? */
static int edu_list_translated(struct edu *edu, struct edu_list *list)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct scatterlist *sg;
	size_t pos = 0, left;
	unsigned long i;

	for_each_sgtable_sg(&list->sgt, sg, i) {
		dma_addr_t dma = edu_list_addr(list, pos, &left);
		phys_addr_t phys = iommu_iova_to_phys(domain, dma);

		if (phys != sg_phys(sg)) {
			phys_addr_t want = sg_phys(sg);

			edu_note(edu, "entry %lu at %pad leads to %pa, should be %pa\n",
				 i, &dma, &phys, &want);
			return -EILSEQ;
		}
		pos += sg->length;
	}
	return 0;
}

/* The device copies all of @src to @dst. */
static int edu_list_copy(struct edu *edu, struct edu_list *dst,
			 struct edu_list *src)
{
	size_t pos, len;
	int ret;

	for (pos = 0; pos < src->total; pos += len) {
		size_t from_left, to_left;
		dma_addr_t from = edu_list_addr(src, pos, &from_left);
		dma_addr_t to = edu_list_addr(dst, pos, &to_left);

		len = min3(from_left, to_left, (size_t)EDU_CHUNK);
		ret = edu_read(edu, from, 0, len) ?: edu_write(edu, to, 0, len);
		if (ret)
			return ret;
	}
	return 0;
}

static int edu_contig_mapped(struct edu *edu, struct edu_list *src,
			     struct edu_list *dst, bool by_device)
{
	struct device *dev = edu_dev(edu);
	bool one = dma_get_max_seg_size(dev) >= src->total &&
		   dma_get_seg_boundary(dev) + 1 == 0x100000000 &&
		   edu_domain(edu) && dma_get_merge_boundary(dev);
	int ret;

	edu_note(edu, "entries %lu segments %u\n", src->n, src->sgt.nents);
	edu_list_note(edu, src);
	ret = edu_list_limits(edu, src) ?: edu_list_limits(edu, dst);
	if (ret)
		return ret;
	if (one && (src->sgt.nents != 1 || dst->sgt.nents != 1)) {
		edu_note(edu, "one segment was possible\n");
		return -ERANGE;
	}
	if (!by_device)
		return edu_list_translated(edu, src) ?:
		       edu_list_translated(edu, dst);
	return edu_list_copy(edu, dst, src);
}

static int edu_contig_lists(struct edu *edu, struct edu_list *src,
			    struct edu_list *dst, bool by_device)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = edu_list_fill(src, 3);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, &src->sgt, DMA_TO_DEVICE, 0);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, &dst->sgt, DMA_FROM_DEVICE, 0);
	if (!ret) {
		ret = edu_contig_mapped(edu, src, dst, by_device);
		dma_unmap_sgtable(dev, &dst->sgt, DMA_FROM_DEVICE, 0);
	}
	dma_unmap_sgtable(dev, &src->sgt, DMA_TO_DEVICE, 0);
	if (!ret && by_device)
		ret = edu_list_check(edu, dst, 3);
	return ret;
}

/*
 * contig N [MAX-SEGMENT [BOUNDARY]]: a list of N pages as the device sees it,
 * copied by the device to another one.
 * list N [MAX-SEGMENT [BOUNDARY]]: the same by looking at the translation only,
 * for lists too long for a device of 30 KiB/s.
 */
static int edu_op_contig(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	unsigned int old_max = dma_get_max_seg_size(dev);
	unsigned long old_boundary = dma_get_seg_boundary(dev);
	bool by_device = !strcmp(argv[0], "contig");
	unsigned long n, max, boundary;
	struct edu_list src, dst;
	int ret;

	if (edu_arg(argc, argv, 1, 16, &n) || !n || n > EDU_LIST_MAX ||
	    edu_arg(argc, argv, 2, old_max, &max) ||
	    edu_arg(argc, argv, 3, old_boundary, &boundary))
		return -EINVAL;
	if (!by_device && !edu_domain(edu))
		return EDU_SKIP;
	ret = edu_list_alloc(&src, n);
	if (ret)
		return ret;
	edu_list_trim(&src);
	ret = edu_list_alloc(&dst, n);
	if (!ret) {
		edu_list_trim(&dst);
		dma_set_max_seg_size(dev, max);
		dma_set_seg_boundary(dev, boundary);
		ret = edu_contig_lists(edu, &src, &dst, by_device);
		dma_set_max_seg_size(dev, old_max);
		dma_set_seg_boundary(dev, old_boundary);
		edu_list_free(&dst);
	}
	edu_list_free(&src);
	return ret;
}

/*
 * The device writes to @dma after the memory at @cpu was unmapped from there.
 * Nothing may change.
 */
static int edu_stale_write(struct edu *edu, dma_addr_t dma, void *cpu)
{
	int ret;

	memset(cpu, EDU_CANARY, PAGE_SIZE);
	if (edu_deferred(edu))
		msleep(EDU_WINDOW_MS);
	ret = edu_write(edu, dma, 0, EDU_CHUNK);
	return ret ?: edu_check_byte(edu, "memory after unmap", cpu, PAGE_SIZE,
				     EDU_CANARY);
}

static int edu_fault_page(struct edu *edu, struct page *page)
{
	struct device *dev = edu_dev(edu);
	dma_addr_t dma;
	int ret;

	dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, dma))
		return -ENOMEM;
	ret = edu_write(edu, dma, 0, EDU_CHUNK);
	dma_unmap_page(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
	edu_note(edu, "address %pad mode %s\n", &dma,
		 edu_deferred(edu) ? "deferred" : "strict");
	if (!ret)
		ret = edu_check(edu, "memory while mapped", page_address(page),
				EDU_CHUNK, 5);
	return ret ?: edu_stale_write(edu, dma, page_address(page));
}

static int edu_fault_sg(struct edu *edu, struct page *unused)
{
	struct device *dev = edu_dev(edu);
	struct edu_list list;
	dma_addr_t dma = 0;
	size_t left;
	int ret;

	ret = edu_list_alloc(&list, 4);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, &list.sgt, DMA_FROM_DEVICE, 0);
	if (!ret) {
		dma = edu_list_addr(&list, 2 * PAGE_SIZE, &left);
		ret = edu_write(edu, dma, 0, EDU_CHUNK);
		dma_unmap_sgtable(dev, &list.sgt, DMA_FROM_DEVICE, 0);
		edu_note(edu, "address %pad\n", &dma);
	}
	if (!ret)
		ret = edu_check(edu, "memory while mapped",
				page_address(list.pages[2]), EDU_CHUNK, 5);
	if (!ret)
		ret = edu_stale_write(edu, dma, page_address(list.pages[2]));
	edu_list_free(&list);
	return ret;
}

/* A few equal bytes may be anybody's; a row of them comes from the page. */
static bool edu_canary_in(const u8 *buf, size_t len)
{
	size_t i, row = 0;

	for (i = 0; i < len; i++) {
		row = buf[i] == EDU_CANARY ? row + 1 : 0;
		if (row == 16)
			return true;
	}
	return false;
}

/* The memory is not ours any more, so the device reads instead of writing. */
static int edu_fault_coherent(struct edu *edu, struct page *scratch)
{
	struct device *dev = edu_dev(edu);
	u8 *seen = page_address(scratch);
	dma_addr_t dma;
	void *cpu;
	int ret;

	cpu = dma_alloc_coherent(dev, PAGE_SIZE, &dma, GFP_KERNEL);
	if (!cpu)
		return -ENOMEM;
	memset(cpu, EDU_CANARY, PAGE_SIZE);
	dma_free_coherent(dev, PAGE_SIZE, cpu, dma);
	if (edu_deferred(edu))
		msleep(EDU_WINDOW_MS);
	ret = edu_read(edu, dma, 0, EDU_CHUNK) ?: edu_fetch(edu, seen, EDU_CHUNK);
	if (!ret && edu_canary_in(seen, EDU_CHUNK)) {
		edu_note(edu, "the device read memory that was freed\n");
		ret = -EILSEQ;
	}
	return ret;
}

/* fault [page|sg|coherent]: the device uses an address after its unmap. */
static int edu_op_fault(struct edu *edu, int argc, char **argv)
{
	int (*fn)(struct edu *edu, struct page *page) = edu_fault_page;
	struct page *page;
	int ret;

	if (!edu_domain(edu)) {
		edu_note(edu, "no IOMMU translates for the device\n");
		return EDU_SKIP;
	}
	if (argc > 1 && !strcmp(argv[1], "sg"))
		fn = edu_fault_sg;
	else if (argc > 1 && !strcmp(argv[1], "coherent"))
		fn = edu_fault_coherent;
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = edu_load(edu, 5) ?: fn(edu, page);
	__free_page(page);
	return ret;
}

/*
 * Unmap at a time when a transfer is about to happen. Return: 0 when the memory
 * had not been written by the time unmap returned and was not written later;
 * -EAGAIN when the device was faster.
 */
static int edu_window_once(struct edu *edu, struct page *page, unsigned int ms)
{
	struct device *dev = edu_dev(edu);
	u8 *cpu = page_address(page);
	dma_addr_t dma;
	bool early;
	int ret;

	memset(cpu, EDU_CANARY, PAGE_SIZE);
	dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_FROM_DEVICE);
	if (dma_mapping_error(dev, dma))
		return -ENOMEM;
	/* So that the IOTLB knows the translation. */
	ret = edu_write(edu, dma, 0, 1);
	if (!ret)
		ret = edu_start_write(edu, dma, 0, EDU_CHUNK);
	if (!ret)
		msleep(ms);
	dma_unmap_page(dev, dma, PAGE_SIZE, DMA_FROM_DEVICE);
	if (ret)
		return ret;
	early = memchr_inv(cpu + 1, EDU_CANARY, PAGE_SIZE - 1);
	ret = edu_wait(edu);
	if (early)
		return ret ?: -EAGAIN;
	return ret ?: edu_check_byte(edu, "memory after unmap", cpu + 1,
				     PAGE_SIZE - 1, EDU_CANARY);
}

/* window: strict means that unmap, when it returns, has stopped the device. */
static int edu_op_window(struct edu *edu, int argc, char **argv)
{
	struct page *page;
	unsigned int ms, tries = 0, good = 0;
	int ret = 0;

	if (!edu_domain(edu) || edu_deferred(edu)) {
		edu_note(edu, "the device is not in strict mode\n");
		return EDU_SKIP;
	}
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = edu_load(edu, 5);
	for (ms = 97; !ret && good < 3 && tries < 12; tries++) {
		ret = edu_window_once(edu, page, ms);
		if (ret == -EAGAIN) {
			ms -= 5;
			ret = 0;
		} else if (!ret) {
			good++;
		}
	}
	edu_note(edu, "%u of %u unmaps came before the transfer, the last after %u ms\n",
		 good, tries, ms);
	if (!ret && !good)
		ret = -EAGAIN;
	__free_page(page);
	return ret;
}

/* Compare @buf with what @want says, outside of a pattern's grid. */
static int edu_compare(struct edu *edu, const char *what, const u8 *buf,
		       const u8 *want, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (buf[i] == want[i])
			continue;
		edu_note(edu, "%s: byte %zu of %zu is %#x, should be %#x\n",
			 what, i, len, buf[i], want[i]);
		return -EILSEQ;
	}
	return 0;
}

#define EDU_BOUNCE_OFF	512
#define EDU_BOUNCE_LEN	1024

/* The device reads the whole granule around a mapping. */
static int edu_bounce_read(struct edu *edu, dma_addr_t dma, u8 *seen)
{
	size_t off = dma & (SZ_4K - 1);
	int ret;

	ret = edu_read(edu, dma - off, 0, EDU_CHUNK) ?:
	      edu_fetch(edu, seen, EDU_CHUNK);
	if (ret)
		return ret;
	ret = edu_check(edu, "what the device read", seen + off, EDU_BOUNCE_LEN, 9);
	if (ret)
		return ret;
	if (edu_canary_in(seen, off) ||
	    edu_canary_in(seen + off + EDU_BOUNCE_LEN,
			  EDU_CHUNK - off - EDU_BOUNCE_LEN)) {
		edu_note(edu, "the device saw memory outside the mapping\n");
		return -EPERM;
	}
	return 0;
}

static int edu_bounce_page(struct edu *edu, u8 *mem, u8 *tmp)
{
	struct device *dev = edu_dev(edu);
	u8 *buf = mem + EDU_BOUNCE_OFF;
	dma_addr_t dma;
	size_t off;
	int ret;

	memset(mem, EDU_CANARY, PAGE_SIZE);
	edu_fill(buf, EDU_BOUNCE_LEN, 9);
	dma = dma_map_single(dev, buf, EDU_BOUNCE_LEN, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, dma)) {
		edu_note(edu, "an unaligned buffer cannot be mapped: no bounce buffers?\n");
		return EDU_SKIP;
	}
	off = dma & (SZ_4K - 1);
	edu_note(edu, "address %pad for offset %#x\n", &dma, EDU_BOUNCE_OFF);
	if (off + EDU_BOUNCE_LEN > EDU_CHUNK) {
		edu_note(edu, "the mapping is too far into its granule for this test\n");
		ret = EDU_SKIP;
	} else {
		ret = edu_bounce_read(edu, dma, tmp) ?: edu_load(edu, 77) ?:
		      edu_write(edu, dma - off, 0, EDU_CHUNK);
	}
	dma_unmap_single(dev, dma, EDU_BOUNCE_LEN, DMA_BIDIRECTIONAL);
	if (ret)
		return ret;
	edu_fill(tmp, EDU_CHUNK, 77);
	ret = edu_compare(edu, "the mapping", buf, tmp + off, EDU_BOUNCE_LEN);
	if (!ret)
		ret = edu_check_byte(edu, "before the mapping", mem,
				     EDU_BOUNCE_OFF, EDU_CANARY);
	if (!ret)
		ret = edu_check_byte(edu, "behind the mapping", buf + EDU_BOUNCE_LEN,
				     PAGE_SIZE - EDU_BOUNCE_OFF - EDU_BOUNCE_LEN,
				     EDU_CANARY);
	return ret;
}

/* bounce: of an untrusted device not even the rest of the granule is seen. */
static int edu_op_bounce(struct edu *edu, int argc, char **argv)
{
	u8 *mem, *tmp;
	int ret = -ENOMEM;

	if (!edu->pdev->untrusted || !edu_domain(edu)) {
		edu_note(edu, "the device is trusted\n");
		return EDU_SKIP;
	}
	mem = (u8 *)__get_free_page(GFP_KERNEL);
	tmp = (u8 *)__get_free_page(GFP_KERNEL);
	if (mem && tmp)
		ret = edu_bounce_page(edu, mem, tmp);
	free_page((unsigned long)mem);
	free_page((unsigned long)tmp);
	return ret;
}

static int edu_kmalloc_move(struct edu *edu, u8 *buf, size_t len,
			    enum dma_data_direction dir)
{
	struct device *dev = edu_dev(edu);
	dma_addr_t dma;
	int ret;

	dma = dma_map_single(dev, buf, len, dir);
	if (dma_mapping_error(dev, dma)) {
		edu_note(edu, "cannot map %zu bytes\n", len);
		return -ENOMEM;
	}
	ret = dir == DMA_FROM_DEVICE ? edu_write(edu, dma, 0, len) :
				       edu_read(edu, dma, 0, len);
	dma_unmap_single(dev, dma, len, dir);
	return ret;
}

static int edu_kmalloc_one(struct edu *edu, size_t size, size_t skip)
{
	size_t len = size - skip;
	u8 *obj[3] = {};
	int i, ret = -ENOMEM;

	for (i = 0; i < 3; i++) {
		obj[i] = kmalloc(size, GFP_KERNEL);
		if (!obj[i])
			goto out;
		memset(obj[i], EDU_CANARY, size);
	}
	edu_fill(obj[1] + skip, len, 11);
	ret = edu_kmalloc_move(edu, obj[1] + skip, len, DMA_TO_DEVICE);
	if (ret)
		goto out;
	memset(obj[1], EDU_CANARY, size);
	ret = edu_kmalloc_move(edu, obj[1] + skip, len, DMA_FROM_DEVICE);
	if (!ret)
		ret = edu_check(edu, "buffer", obj[1] + skip, len, 11) ?:
		      edu_check_byte(edu, "before it", obj[1], skip, EDU_CANARY) ?:
		      edu_check_byte(edu, "neighbour", obj[0], size, EDU_CANARY) ?:
		      edu_check_byte(edu, "neighbour", obj[2], size, EDU_CANARY);
out:
	for (i = 0; i < 3; i++)
		kfree(obj[i]);
	return ret;
}

/* kmalloc: small buffers there and back, at odd addresses. */
static int edu_op_kmalloc(struct edu *edu, int argc, char **argv)
{
	static const struct { size_t size, skip; } cases[] = {
		{ 8, 0 }, { 40, 4 }, { 96, 0 }, { 192, 1 }, { 700, 60 }, { 1500, 2 },
	};
	int i, ret = 0;

	for (i = 0; !ret && i < ARRAY_SIZE(cases); i++) {
		ret = edu_kmalloc_one(edu, cases[i].size, cases[i].skip);
		edu_note(edu, "%zu bytes at offset %zu: %d\n",
			 cases[i].size - cases[i].skip, cases[i].skip, ret);
	}
	return ret;
}

#define EDU_SYNC_FROM	1000
#define EDU_SYNC_LEN	500

static int edu_sync_mapped(struct edu *edu, u8 *buf, dma_addr_t dma, u8 *tmp)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = edu_write(edu, dma, 0, EDU_CHUNK);
	if (ret)
		return ret;
	dma_sync_single_range_for_cpu(dev, dma, EDU_SYNC_FROM, EDU_SYNC_LEN,
				      DMA_BIDIRECTIONAL);
	edu_fill(tmp, EDU_CHUNK, 21);
	ret = edu_compare(edu, "range after sync for the CPU", buf + EDU_SYNC_FROM,
			  tmp + EDU_SYNC_FROM, EDU_SYNC_LEN);
	if (ret)
		return ret;
	memset(buf + EDU_SYNC_FROM, 0x3c, EDU_SYNC_LEN);
	dma_sync_single_range_for_device(dev, dma, EDU_SYNC_FROM, EDU_SYNC_LEN,
					 DMA_BIDIRECTIONAL);
	return edu_read(edu, dma, 0, EDU_CHUNK);
}

static int edu_sync_page(struct edu *edu, u8 *mem, u8 *tmp)
{
	struct device *dev = edu_dev(edu);
	u8 *buf = mem + 256;
	dma_addr_t dma;
	u8 *seen;
	int ret;

	memset(mem, EDU_CANARY, PAGE_SIZE);
	dma = dma_map_single(dev, buf, EDU_CHUNK, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, dma))
		return edu->pdev->untrusted ? EDU_SKIP : -ENOMEM;
	ret = edu_sync_mapped(edu, buf, dma, tmp);
	dma_unmap_single(dev, dma, EDU_CHUNK, DMA_BIDIRECTIONAL);
	if (ret)
		return ret;

	seen = kmalloc(EDU_CHUNK, GFP_KERNEL);
	if (!seen)
		return -ENOMEM;
	memset(tmp + EDU_SYNC_FROM, 0x3c, EDU_SYNC_LEN);
	ret = edu_fetch(edu, seen, EDU_CHUNK);
	if (!ret)
		ret = edu_compare(edu, "what the device has", seen, tmp,
				  EDU_CHUNK) ?:
		      edu_compare(edu, "what the CPU has", buf, tmp, EDU_CHUNK) ?:
		      edu_check_byte(edu, "before it", mem, 256, EDU_CANARY);
	kfree(seen);
	return ret;
}

/* sync: parts of a mapping handed to and fro. */
static int edu_op_sync(struct edu *edu, int argc, char **argv)
{
	u8 *mem, *tmp;
	int ret = -ENOMEM;

	mem = (u8 *)__get_free_page(GFP_KERNEL);
	tmp = (u8 *)__get_free_page(GFP_KERNEL);
	if (mem && tmp)
		ret = edu_load(edu, 21) ?: edu_sync_page(edu, mem, tmp);
	free_page((unsigned long)mem);
	free_page((unsigned long)tmp);
	return ret;
}

static int edu_sync_sg_mapped(struct edu *edu, struct edu_list *list)
{
	struct device *dev = edu_dev(edu);
	struct sg_table *sgt = &list->sgt;
	size_t left, len, pos;
	dma_addr_t dma;
	int ret;

	/* Across the boundary of the first two entries. */
	pos = PAGE_SIZE - EDU_CHUNK / 2;
	dma = edu_list_addr(list, pos, &left);
	len = min_t(size_t, left, EDU_CHUNK);
	ret = edu_load(edu, 31) ?: edu_write(edu, dma, 0, len);
	if (ret)
		return ret;
	dma_sync_sgtable_for_cpu(dev, sgt, DMA_BIDIRECTIONAL);
	ret = edu_check(edu, "list after sync for the CPU",
			page_address(list->pages[0]) + pos,
			PAGE_SIZE - pos, 31);
	if (ret)
		return ret;
	edu_list_fill(list, 32);
	dma_sync_sgtable_for_device(dev, sgt, DMA_BIDIRECTIONAL);
	dma = edu_list_addr(list, 0, &left);
	return edu_read(edu, dma, 0, EDU_CHUNK);
}

/* sync_sg: the same with a list. */
static int edu_op_sync_sg(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	struct edu_list list;
	u8 *seen;
	int ret;

	seen = kmalloc(EDU_CHUNK, GFP_KERNEL);
	if (!seen)
		return -ENOMEM;
	ret = edu_list_alloc(&list, 4);
	if (ret)
		goto out;
	ret = dma_map_sgtable(dev, &list.sgt, DMA_BIDIRECTIONAL, 0);
	if (!ret) {
		ret = edu_sync_sg_mapped(edu, &list);
		dma_unmap_sgtable(dev, &list.sgt, DMA_BIDIRECTIONAL, 0);
	}
	if (!ret)
		ret = edu_list_check(edu, &list, 32);
	if (!ret)
		ret = edu_fetch(edu, seen, EDU_CHUNK) ?:
		      edu_check(edu, "what the device read", seen, EDU_CHUNK, 32);
	edu_list_free(&list);
out:
	kfree(seen);
	return ret;
}

/* The first memory BAR of another device, at least a page of it. */
static phys_addr_t edu_other_bar(struct edu *edu)
{
	struct pci_dev *pdev = NULL;
	int bar;

	for_each_pci_dev(pdev) {
		if (pdev == edu->pdev)
			continue;
		for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
			phys_addr_t start = pci_resource_start(pdev, bar);

			if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM) ||
			    pci_resource_len(pdev, bar) < PAGE_SIZE ||
			    !start || !IS_ALIGNED(start, PAGE_SIZE))
				continue;
			edu_note(edu, "BAR %d of %s at %pa\n", bar,
				 pci_name(pdev), &start);
			pci_dev_put(pdev);
			return start;
		}
	}
	return 0;
}

/* resource: registers of another device, mapped for this one. */
static int edu_op_resource(struct edu *edu, int argc, char **argv)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct device *dev = edu_dev(edu);
	phys_addr_t phys = edu_other_bar(edu);
	dma_addr_t dma;
	int ret = 0;

	if (!phys || !domain)
		return EDU_SKIP;
	dma = dma_map_resource(dev, phys, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	if (dma_mapping_error(dev, dma))
		return -ENOMEM;
	edu_note(edu, "address %pad\n", &dma);
	if (iommu_iova_to_phys(domain, dma) != phys ||
	    dma + PAGE_SIZE - 1 > dma_get_mask(dev))
		ret = -EILSEQ;
	dma_unmap_resource(dev, dma, PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	if (!ret && iommu_iova_to_phys(domain, dma)) {
		edu_note(edu, "still translated after unmap\n");
		ret = -EBUSY;
	}
	return ret;
}

static int edu_mask_one(struct edu *edu, struct page *page, unsigned int order)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct device *dev = edu_dev(edu);
	size_t size = PAGE_SIZE << order;
	dma_addr_t dma;
	int ret = 0;

	dma = dma_map_page(dev, page, 0, size, DMA_TO_DEVICE);
	if (dma_mapping_error(dev, dma)) {
		edu_note(edu, "mask %#llx: cannot map %zu bytes\n",
			 dma_get_mask(dev), size);
		return -ENOMEM;
	}
	if (dma + size - 1 > dma_get_mask(dev) ||
	    iommu_iova_to_phys(domain, dma + size - 1) !=
	    page_to_phys(page) + size - 1) {
		edu_note(edu, "mask %#llx: %zu bytes at %pad\n",
			 dma_get_mask(dev), size, &dma);
		ret = -ERANGE;
	}
	dma_unmap_page(dev, dma, size, DMA_TO_DEVICE);
	return ret;
}

/* mask: addresses within masks of any width, whatever came before. */
static int edu_op_mask(struct edu *edu, int argc, char **argv)
{
	static const u8 bits[] = { 64, 24, 48, 40, 36, 28, 32, 30, 24, 64, 25 };
	struct device *dev = edu_dev(edu);
	u64 old = dma_get_mask(dev);
	struct page *page;
	int i, ret = 0;

	if (!edu_domain(edu))
		return EDU_SKIP;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 4);
	if (!page)
		return -ENOMEM;
	for (i = 0; !ret && i < ARRAY_SIZE(bits); i++) {
		ret = dma_set_mask(dev, DMA_BIT_MASK(bits[i]));
		if (!ret)
			ret = edu_mask_one(edu, page, 0) ?:
			      edu_mask_one(edu, page, 4);
	}
	dma_set_mask(dev, old);
	__free_pages(page, 4);
	return ret;
}

const struct edu_op edu_stream_ops[] = {
	{ "contig", edu_op_contig },
	{ "list", edu_op_contig },
	{ "fault", edu_op_fault },
	{ "window", edu_op_window },
	{ "bounce", edu_op_bounce },
	{ "kmalloc", edu_op_kmalloc },
	{ "sync", edu_op_sync },
	{ "sync_sg", edu_op_sync_sg },
	{ "resource", edu_op_resource },
	{ "mask", edu_op_mask },
	{ }
};
