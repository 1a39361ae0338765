// SPDX-License-Identifier: GPL-2.0
/*
 * Lists of every shape, as the device sees them.
 *
 * A list is made of blocks of memory of which no two are adjacent, and each block
 * has bytes before and behind its entries that are somebody else's and must never
 * change. What should be in the list is known at any time (@want): the CPU and the
 * device change both in the same way, and then they are compared.
 *
 *   one HOW SHAPE DIR [TIMES]  the list has to become one segment. HOW: "device"
 *                              (dma_set_contiguous()), "call" (an attribute of the
 *                              mapping), "chained" (likewise, with the list in
 *                              parts). Without an IOMMU for memory that is
 *                              contiguous by itself
 *   plain SHAPE DIR [TIMES]    the same list in as many segments as there are
 *
 * DIR is "to", "from" or "both". The device moves what is around each
 * boundary between two entries, and both ends of the list. In between, the list is given
 * to the CPU and back.
 *
 * With an IOMMU each granule of the device's addresses is looked at, too: those
 * that one entry fills, at the same offset, have to lead to the entry's own memory,
 * and those with bytes of several entries to neither.
 */
#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>
#include <linux/iommu.h>
#include <linux/pci-p2pdma.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "dma_edu_list.h"
#include "dma_edu_ops.h"

#define EDU_OTHERS	0xa5

/* Somebody else's bytes behind a kmalloc() buffer */
#define EDU_TAIL	192

/* How far the device looks and writes beside the segments of an untrusted one */
#define EDU_BESIDE	256

#define PAGES(off, len)	{ off, len, EDU_PAGES }
#define SMALL(off, len)	{ off, len, EDU_SMALL }
#define NEXT(len)	{ 0, len, EDU_NEXT }
#define SHAPE(name)	{ #name, ARRAY_SIZE(edu_shape_##name), edu_shape_##name }

/* Meet at granules, wherever they are: all of it can stay in place. */
static const struct edu_piece edu_shape_pages[] = {
	PAGES(0x200, 0xe00), PAGES(0, 0x1000), PAGES(0, 0x2000),
	PAGES(0, 0x1000), PAGES(0, 0x3e8),
};

/* Nothing but whole granules */
static const struct edu_piece edu_shape_whole[] = {
	PAGES(0, 0x1000), PAGES(0, 0x1000), PAGES(0, 0x1000), PAGES(0, 0x1000),
	PAGES(0, 0x1000),
};

/* The halves of a granule come from two pages. */
static const struct edu_piece edu_shape_halves[] = {
	PAGES(0, 0x1000), PAGES(0, 0x800), PAGES(0x800, 0x800),
	PAGES(0, 0x1000),
};

/* Many in one granule */
static const struct edu_piece edu_shape_pieces[] = {
	SMALL(0x100, 0x80), SMALL(0x100, 0x80), SMALL(0x100, 0x80),
	SMALL(0x100, 0x80), SMALL(0x100, 0x80), SMALL(0x100, 0x80),
};

/* One of each, with whole pages at their place among them */
static const struct edu_piece edu_shape_mixed[] = {
	PAGES(0, 0x1000), PAGES(0x100, 0x700), SMALL(0x40, 0x380),
	PAGES(0xb80, 0x1480), PAGES(0, 0x1000), PAGES(0x7f0, 0x40),
};

/* Bytes at odd addresses; one entry is over two pages. */
static const struct edu_piece edu_shape_odd[] = {
	PAGES(0xffd, 3), SMALL(7, 0x61), PAGES(0x123, 0x1077), SMALL(1, 1),
	PAGES(0x801, 0x17ff), PAGES(3, 0x29),
};

/* Whole pages, none at its place */
static const struct edu_piece edu_shape_shifted[] = {
	PAGES(0, 0x800), PAGES(0, 0x1000), PAGES(0, 0x1000), PAGES(0x10, 0x100),
};

/* One piece of memory, cut at odd places */
static const struct edu_piece edu_shape_cut[] = {
	PAGES(0x300, 0xd00), NEXT(0x123), NEXT(1), NEXT(0xedc), NEXT(0x1800),
	NEXT(0x100),
};

static const struct edu_piece edu_shape_single[] = {
	PAGES(0x234, 0x2345),
};

const struct edu_shape edu_shapes[] = {
	SHAPE(pages), SHAPE(whole), SHAPE(halves), SHAPE(pieces), SHAPE(mixed),
	SHAPE(odd), SHAPE(shifted), SHAPE(cut), SHAPE(single), { }
};

/**
 * edu_find_shape() - the shape of a name
 * @name: of it
 *
 * Return: the shape, or NULL.
 */
const struct edu_shape *edu_find_shape(const char *name)
{
	const struct edu_shape *shape;

	for (shape = edu_shapes; shape->name; shape++)
		if (!strcmp(shape->name, name))
			return shape;
	return NULL;
}

/*
 * A list and its memory.
 */

static bool edu_block_alloc(struct edu_block *block)
{
	size_t end = block->off + block->len;

	if (block->small) {
		block->size = end + EDU_TAIL;
		block->mem = kmalloc(block->size, GFP_KERNEL);
	} else {
		/* At least a page behind the entries, so that no blocks meet. */
		block->size = PAGE_SIZE << (get_order(end) + 1);
		block->mem = (u8 *)__get_free_pages(GFP_KERNEL,
						    get_order(block->size));
	}
	if (block->mem)
		memset(block->mem, EDU_OTHERS, block->size);
	return block->mem;
}

static void edu_block_free(struct edu_block *block)
{
	if (block->peer)
		pci_free_p2pmem(block->peer, block->mem, block->size);
	else if (block->small)
		kfree(block->mem);
	else
		free_pages((unsigned long)block->mem, get_order(block->size));
}

/**
 * edu_sgl_drop() - free a list and its memory
 * @list: the list; not mapped. May be NULL
 */
void edu_sgl_drop(struct edu_sgl *list)
{
	if (!list)
		return;
	while (list->nr_blocks)
		edu_block_free(&list->blocks[--list->nr_blocks]);
	kvfree(list->want);
	kvfree(list->tmp);
	kfree(list);
}

/* Parts of three entries, of which the last one is the link to the next. */
static void edu_sgl_init(struct edu_sgl *list, bool chained)
{
	unsigned int i, left = list->n;

	if (!chained) {
		sg_init_table(list->sg, list->n);
		return;
	}
	for (i = 0; left > 3; i += 3, left -= 2) {
		sg_init_table(&list->sg[i], 3);
		sg_chain(&list->sg[i], 3, &list->sg[i + 3]);
	}
	sg_init_table(&list->sg[i], left);
}

static bool edu_sgl_alloc(struct edu_sgl *list, const struct edu_shape *shape)
{
	size_t scale = list->granule / SZ_4K;
	struct edu_block *block = NULL;
	unsigned int i;

	for (i = 0; i < list->n; i++) {
		const struct edu_piece *piece = &shape->pieces[i % shape->n];

		if (piece->where != EDU_NEXT || !block) {
			block = &list->blocks[list->nr_blocks++];
			block->off = piece->off * scale;
			block->small = piece->where == EDU_SMALL;
		}
		block->len += piece->len * scale;
		list->total += piece->len * scale;
	}
	for (i = 0; i < list->nr_blocks; i++)
		if (!edu_block_alloc(&list->blocks[i]))
			return false;
	list->want = kvmalloc(list->total, GFP_KERNEL);
	list->tmp = kvmalloc(max_t(size_t, list->total, EDU_CHUNK), GFP_KERNEL);
	return list->want && list->tmp;
}

static void edu_sgl_fill(struct edu_sgl *list, const struct edu_shape *shape)
{
	size_t scale = list->granule / SZ_4K;
	struct edu_block *block = NULL;
	struct scatterlist *sg;
	unsigned int i;
	u8 *at = NULL;

	for_each_sgtable_sg(&list->sgt, sg, i) {
		const struct edu_piece *piece = &shape->pieces[i % shape->n];

		if (piece->where != EDU_NEXT || !block) {
			block = block ? block + 1 : list->blocks;
			at = block->mem + block->off;
		}
		sg_set_buf(sg, at, piece->len * scale);
		at += piece->len * scale;
	}
}

/* The CPU, whose the list is, writes a pattern into it. */
static void edu_sgl_put(struct edu_sgl *list, u8 seed)
{
	edu_fill(list->want, list->total, seed);
	sg_copy_from_buffer(list->sg, list->n, list->want, list->total);
}

static struct edu_sgl *edu_sgl_new(struct edu *edu, const struct edu_shape *shape,
				   unsigned int times, bool chained)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct edu_sgl *list;

	if (!times || times > EDU_ENTRIES / shape->n)
		return NULL;
	list = kzalloc(sizeof(*list), GFP_KERNEL);
	if (!list)
		return NULL;
	list->granule = domain ? 1UL << __ffs(domain->pgsize_bitmap) : PAGE_SIZE;
	list->n = shape->n * times;
	list->sgt.sgl = list->sg;
	list->sgt.orig_nents = list->n;
	edu_sgl_init(list, chained);
	if (!edu_sgl_alloc(list, shape)) {
		edu_sgl_drop(list);
		return NULL;
	}
	edu_sgl_fill(list, shape);
	edu_sgl_put(list, 3);
	return list;
}

/**
 * edu_sgl_make() - make a list
 * @edu: the device
 * @shape: what it looks like
 *
 * Return: the list, or NULL.
 */
struct edu_sgl *edu_sgl_make(struct edu *edu, const struct edu_shape *shape)
{
	return edu_sgl_new(edu, shape, 1, false);
}

/**
 * edu_sgl_add_peer() - put memory of another device into a list
 * @list: the list; not mapped
 * @n: entry, of whole pages of its own, that gets it
 * @peer: whose memory; stays as long as the list
 *
 * Return: 0 or -ENOMEM.
 */
int edu_sgl_add_peer(struct edu_sgl *list, unsigned int n, struct pci_dev *peer)
{
	struct edu_block *block = &list->blocks[n];
	size_t size = 2 * PAGE_ALIGN(block->len);
	u8 *mem = pci_alloc_p2pmem(peer, size);
	struct scatterlist *sg = list->sg;

	if (!mem)
		return -ENOMEM;
	edu_block_free(block);
	block->mem = mem;
	block->size = size;
	block->peer = peer;
	memset(mem, EDU_OTHERS, size);
	while (n--)
		sg = sg_next(sg);
	sg_set_page(sg, virt_to_page(mem), block->len, 0);
	edu_sgl_put(list, 3);
	return 0;
}

static int edu_compare(struct edu *edu, const char *what, size_t pos,
		       const u8 *got, const u8 *want, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (got[i] == want[i])
			continue;
		edu_note(edu, "%s: byte %zu is %#x, should be %#x\n", what,
			 pos + i, got[i], want[i]);
		return -EILSEQ;
	}
	return 0;
}

/**
 * edu_sgl_verify() - what the CPU sees in the list, and beside its entries
 * @edu: the device
 * @list: the list; the CPU's
 * @when: for the message
 *
 * Return: 0, or -EILSEQ at the first byte that is wrong.
 */
int edu_sgl_verify(struct edu *edu, struct edu_sgl *list, const char *when)
{
	const struct edu_block *block = list->blocks;
	const u8 *end;
	int ret;

	sg_copy_to_buffer(list->sg, list->n, list->tmp, list->total);
	ret = edu_compare(edu, when, 0, list->tmp, list->want, list->total);
	for (; !ret && block < list->blocks + list->nr_blocks; block++) {
		end = block->mem + block->off + block->len;
		ret = edu_check_byte(edu, "before an entry", block->mem,
				     block->off, EDU_OTHERS) ?:
		      edu_check_byte(edu, "behind an entry", end,
				     block->mem + block->size - end, EDU_OTHERS);
	}
	return ret;
}

/**
 * edu_sgl_remember() - keep what is in the entries
 * @list: the list
 *
 * In the fields that mapping writes is something by which it is known whether
 * they are cleared.
 */
void edu_sgl_remember(struct edu_sgl *list)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(list->sg, sg, list->n, i) {
		sg_dma_address(sg) = 0xd1d2d3d4 + i;
		sg_dma_len(sg) = 0x1e1e + i;
	}
	memcpy(list->was, list->sg, sizeof(list->was));
}

/**
 * edu_sgl_cleared() - whether the entries are what they were, without DMA addresses
 * @edu: the device
 * @list: the list
 *
 * Return: true if they are.
 */
bool edu_sgl_cleared(struct edu *edu, const struct edu_sgl *list)
{
	struct scatterlist was;
	unsigned int i;

	for (i = 0; i < list->n; i++) {
		was = list->was[i];
		/* Without an IOMMU, the core refuses what is to be contiguous. */
		if (use_dma_iommu(edu_dev(edu))) {
			sg_dma_address(&was) = DMA_MAPPING_ERROR;
			sg_dma_len(&was) = 0;
		}
		if (!memcmp(&was, &list->sg[i], sizeof(was)))
			continue;
		edu_note(edu, "entry %u of the refused list is not cleared\n",
			 i);
		return false;
	}
	return true;
}

/*
 * What the device was promised.
 */

static int edu_segment_check(struct edu *edu, struct edu_sgl *list,
			     const struct scatterlist *seg,
			     const struct scatterlist *first, bool several)
{
	u64 kept = edu_kept_bits(edu, list->granule, first->length), boundary;
	struct device *dev = edu_dev(edu);
	dma_addr_t start = sg_dma_address(seg);
	dma_addr_t last = start + sg_dma_len(seg) - 1;
	phys_addr_t phys = sg_phys((struct scatterlist *)first);
	const char *wrong = NULL;

	boundary = dma_get_seg_boundary(dev);
	if (last < start || last > dma_get_mask(dev))
		wrong = "above the mask";
	else if (several && sg_dma_len(seg) > dma_get_max_seg_size(dev))
		wrong = "larger than max_segment_size";
	else if ((start ^ last) & ~boundary)
		wrong = "across segment_boundary_mask";
	else if (edu_domain(edu) && (start ^ phys) & kept)
		wrong = "at another offset than in memory";
	if (!wrong)
		return 0;
	edu_note(edu, "segment at %pad, %u bytes of %pa: %s\n", &start,
		 sg_dma_len(seg), &phys, wrong);
	edu_note(edu, "mask %#llx max %u boundary %#llx alignment %#llx\n",
		 dma_get_mask(dev), dma_get_max_seg_size(dev), boundary, kept + 1);
	return -ERANGE;
}

/**
 * edu_sgl_segments() - do the segments have all bytes, within the limits?
 * @edu: the device
 * @list: the list; mapped
 *
 * Return: 0 or -ERANGE.
 */
int edu_sgl_segments(struct edu *edu, struct edu_sgl *list)
{
	struct scatterlist *seg = list->sg, *sg = list->sg;
	unsigned int i, k = 0, count;
	size_t len;
	int ret;

	for (i = 0; i < list->sgt.nents; i++, seg = sg_next(seg)) {
		struct scatterlist *first = sg;

		for (len = 0, count = 0; k < list->n && len < sg_dma_len(seg);
		     k++, count++, sg = sg_next(sg))
			len += sg->length;
		if (!len || len != sg_dma_len(seg)) {
			edu_note(edu, "segment %u has %u bytes, its entries %zu\n",
				 i, sg_dma_len(seg), len);
			return -ERANGE;
		}
		ret = edu_segment_check(edu, list, seg, first, count > 1);
		if (ret)
			return ret;
	}
	if (k < list->n) {
		edu_note(edu, "%u of %u entries are in segments\n", k, list->n);
		return -ERANGE;
	}
	return 0;
}

/**
 * edu_sgl_one_segment() - is it one segment, of all bytes and within the limits?
 * @edu: the device
 * @list: the list; mapped
 *
 * Return: 0 or -ERANGE.
 */
int edu_sgl_one_segment(struct edu *edu, struct edu_sgl *list)
{
	if (list->sgt.nents == 1)
		return edu_sgl_segments(edu, list);
	edu_note(edu, "%u segments, should be one\n", list->sgt.nents);
	return -ERANGE;
}

/* Memory of byte @pos of the list, and its entry's last byte in the list */
static phys_addr_t edu_sgl_phys(struct edu_sgl *list, size_t pos, size_t *last)
{
	struct scatterlist *sg;
	size_t at = 0;
	unsigned int i;

	for_each_sg(list->sg, sg, list->n, i) {
		if (pos - at < sg->length) {
			*last = at + sg->length - 1;
			return sg_phys(sg) + pos - at;
		}
		at += sg->length;
	}
	return 0;
}

/*
 * A granule of addresses: bytes @first to @last of the list are in it, the first
 * one at @addr. If it does not lead to memory of the list it is bounced.
 */
static int edu_granule_check(struct edu *edu, struct edu_sgl *list,
			     dma_addr_t addr, size_t first, size_t last)
{
	phys_addr_t got = iommu_iova_to_phys(edu_domain(edu), addr), want, tail;
	bool alone, full, contiguous;
	size_t end, unused;

	want = edu_sgl_phys(list, first, &end);
	tail = edu_sgl_phys(list, last, &unused);
	contiguous = tail - want == last - first;
	alone = end >= last;
	full = last - first + 1 == list->granule;
	list->granules++;
	list->bounced += got != want;
	if (!got) {
		edu_note(edu, "nothing is mapped at %pad\n", &addr);
		return -EFAULT;
	}
	/* Entries that follow one another may be taken for one, or not. */
	if (contiguous && !alone)
		return 0;
	if (!alone || (want ^ addr) & (list->granule - 1)) {
		if (got != want)
			return 0;
		edu_note(edu, "%pad leads to %pa, which not all of its bytes have\n",
			 &addr, &got);
		return -EPERM;
	}
	if (!full && edu->pdev->untrusted) {
		if (got != want)
			return 0;
		edu_note(edu, "an untrusted device sees what is beside %pa\n", &want);
		return -EPERM;
	}
	/* Ends that share cache lines may have to be bounced. */
	if (got == want || (!full && !dev_is_dma_coherent(edu_dev(edu))))
		return 0;
	edu_note(edu, "%pad leads to %pa, could lead to %pa\n", &addr, &got, &want);
	return -EXDEV;
}

/**
 * edu_sgl_translation() - where the device's addresses lead
 * @edu: the device; with an IOMMU
 * @list: the list; mapped
 *
 * Return: 0, or the error of the first granule that leads elsewhere.
 */
int edu_sgl_translation(struct edu *edu, struct edu_sgl *list)
{
	size_t pos = 0, part, left;
	struct scatterlist *sg;
	dma_addr_t addr;
	unsigned int i;
	int ret;

	list->granules = 0;
	list->bounced = 0;
	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		addr = sg_dma_address(sg);
		for (left = sg_dma_len(sg); left; left -= part) {
			part = min_t(size_t, left, list->granule -
				     (addr & (list->granule - 1)));
			ret = edu_granule_check(edu, list, addr, pos,
						pos + part - 1);
			if (ret)
				return ret;
			addr += part;
			pos += part;
		}
	}
	return 0;
}

/**
 * edu_sgl_note() - say what edu_sgl_translation() has counted
 * @edu: the device
 * @list: the list; mapped
 */
void edu_sgl_note(struct edu *edu, const struct edu_sgl *list)
{
	edu_note(edu, "%u entries %zu bytes %u segments %u granules %u bounced\n",
		 list->n, list->total, list->sgt.nents, list->granules,
		 list->bounced);
}

/*
 * What the device sees and does.
 */

/* edu_read() or edu_write() */
typedef int edu_transfer(struct edu *edu, dma_addr_t addr, size_t off,
			 size_t len);

/**
 * struct edu_window - bytes that the device moves
 * @pos: the first one in the list
 * @len: bytes
 * @off: where they are in the device's buffer
 */
struct edu_window {
	size_t pos;
	size_t len;
	size_t off;
};

/* All of a short list, or what is around each boundary and at both ends. */
static unsigned int edu_windows(const struct edu_sgl *list,
				struct edu_window *windows)
{
	size_t len = EDU_CHUNK / (list->n + 1), pos = 0;
	const struct scatterlist *sg = list->sg;
	unsigned int i;

	if (list->total <= EDU_CHUNK) {
		windows[0] = (struct edu_window) { .len = list->total };
		return 1;
	}
	for (i = 0; i <= list->n; i++) {
		windows[i] = (struct edu_window) {
			.pos = min(pos - min(pos, len / 2), list->total - len),
			.len = len,
			.off = i * len,
		};
		if (i == list->n)
			break;
		pos += sg->length;
		sg = sg_next((struct scatterlist *)sg);
	}
	return list->n + 1;
}

/* The device's address of byte @pos, and how much of its segment is left */
static dma_addr_t edu_sgl_addr(struct edu_sgl *list, size_t pos, size_t *left)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		if (pos < sg_dma_len(sg)) {
			*left = sg_dma_len(sg) - pos;
			return sg_dma_address(sg) + pos;
		}
		pos -= sg_dma_len(sg);
	}
	return DMA_MAPPING_ERROR;
}

static int edu_window_move(struct edu *edu, struct edu_sgl *list,
			   const struct edu_window *window,
			   edu_transfer *transfer)
{
	size_t done, len, left;
	dma_addr_t addr;
	int ret = 0;

	for (done = 0; !ret && done < window->len; done += len) {
		addr = edu_sgl_addr(list, window->pos + done, &left);
		if (addr == DMA_MAPPING_ERROR)
			return -ERANGE;
		len = min(left, window->len - done);
		ret = transfer(edu, addr, window->off + done, len);
	}
	return ret;
}

/*
 * The device reads every @step'th window; it has to get what should be in the
 * list.
 */
static int edu_sgl_read(struct edu *edu, struct edu_sgl *list,
			unsigned int step, const char *when)
{
	struct edu_window windows[EDU_ENTRIES + 1];
	unsigned int i, n = edu_windows(list, windows);
	u8 *seen;
	int ret = 0;

	for (i = 0; !ret && i < n; i += step)
		ret = edu_window_move(edu, list, &windows[i], edu_read);
	if (ret)
		return ret;
	seen = kmalloc(EDU_CHUNK, GFP_KERNEL);
	if (!seen)
		return -ENOMEM;
	ret = edu_fetch(edu, seen, EDU_CHUNK);
	for (i = 0; !ret && i < n; i += step)
		ret = edu_compare(edu, when, windows[i].pos,
				  seen + windows[i].off,
				  list->want + windows[i].pos, windows[i].len);
	kfree(seen);
	return ret;
}

/* The device writes what edu_load() gave it, to some of the windows. */
static int edu_sgl_write(struct edu *edu, struct edu_sgl *list,
			 unsigned int from, u8 seed)
{
	struct edu_window windows[EDU_ENTRIES + 1];
	unsigned int i, n = edu_windows(list, windows);
	size_t k;
	int ret = 0;

	for (i = n > 1 ? from : 0; !ret && i < n; i += from + 2) {
		ret = edu_window_move(edu, list, &windows[i], edu_write);
		for (k = 0; k < windows[i].len; k++)
			list->want[windows[i].pos + k] =
				edu_pattern(windows[i].off + k, seed);
	}
	return ret;
}

/*
 * Transfers of what is beside the segments in their first and last granules.
 *
 * Return: bytes, from the start of the device's buffer on, or an error.
 */
static int edu_beside(struct edu *edu, struct edu_sgl *list,
		      edu_transfer *transfer)
{
	size_t mask = list->granule - 1, len, done = 0;
	struct scatterlist *sg;
	dma_addr_t addr;
	unsigned int i;
	int ret = 0;

	for_each_sgtable_dma_sg(&list->sgt, sg, i) {
		addr = sg_dma_address(sg);
		len = min_t(size_t, addr & mask, EDU_BESIDE);
		if (len && done + len <= EDU_CHUNK) {
			ret = transfer(edu, addr - len, done, len);
			done += len;
		}
		addr += sg_dma_len(sg);
		len = min_t(size_t, -addr & mask, EDU_BESIDE);
		if (!ret && len && done + len <= EDU_CHUNK) {
			ret = transfer(edu, addr, done, len);
			done += len;
		}
		if (ret)
			return ret;
	}
	return done;
}

/* There an untrusted device reads zeros. */
static int edu_beside_read(struct edu *edu, struct edu_sgl *list)
{
	int ret, len = edu_beside(edu, list, edu_read);

	if (len <= 0)
		return len;
	edu_note(edu, "%d bytes beside the segments read\n", len);
	ret = edu_fetch(edu, list->tmp, len);
	return ret ?: edu_check_byte(edu, "beside a segment", list->tmp, len, 0);
}

/* What an untrusted device writes there goes nowhere. */
static int edu_beside_write(struct edu *edu, struct edu_sgl *list)
{
	int len = edu_beside(edu, list, edu_write);

	if (len <= 0)
		return len;
	edu_note(edu, "%d bytes beside the segments written\n", len);
	return 0;
}

static int edu_use_read(struct edu *edu, struct edu_sgl *list,
			enum dma_data_direction dir)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = edu_sgl_read(edu, list, 1, "what the device reads");
	if (!ret && edu->pdev->untrusted && edu_domain(edu))
		ret = edu_beside_read(edu, list);
	if (ret)
		return ret;
	dma_sync_sgtable_for_cpu(dev, &list->sgt, dir);
	ret = edu_sgl_verify(edu, list, "after the device has read");
	edu_sgl_put(list, 57);
	dma_sync_sgtable_for_device(dev, &list->sgt, dir);
	return ret ?: edu_sgl_read(edu, list, 3, "what it reads after a sync");
}

static int edu_use_write(struct edu *edu, struct edu_sgl *list,
			 enum dma_data_direction dir)
{
	struct device *dev = edu_dev(edu);
	int ret;

	ret = edu_load(edu, 91) ?: edu_sgl_write(edu, list, 0, 91);
	if (!ret && edu->pdev->untrusted && edu_domain(edu))
		ret = edu_beside_write(edu, list);
	if (ret)
		return ret;
	dma_sync_sgtable_for_cpu(dev, &list->sgt, dir);
	ret = edu_sgl_verify(edu, list, "what the device wrote, after a sync");
	dma_sync_sgtable_for_device(dev, &list->sgt, dir);
	/* This time unmapping brings it to the CPU. */
	return ret ?: edu_load(edu, 23) ?: edu_sgl_write(edu, list, 1, 23);
}

/**
 * edu_sgl_use() - the device uses a list
 * @edu: the device
 * @list: the list; mapped
 * @dir: direction of the mapping
 *
 * After unmapping, the list has to be what edu_sgl_verify() expects.
 *
 * Return: 0, or an error if the device or the CPU saw something else.
 */
int edu_sgl_use(struct edu *edu, struct edu_sgl *list,
		enum dma_data_direction dir)
{
	int ret = 0;

	if (dir != DMA_FROM_DEVICE)
		ret = edu_use_read(edu, list, dir);
	if (!ret && dir != DMA_TO_DEVICE)
		ret = edu_use_write(edu, list, dir);
	return ret;
}

/*
 * Operations.
 */

static int edu_dir_arg(int argc, char **argv, int n)
{
	static const char *const dirs[] = {
		[DMA_BIDIRECTIONAL] = "both",
		[DMA_TO_DEVICE] = "to",
		[DMA_FROM_DEVICE] = "from",
	};

	return n < argc ? match_string(dirs, ARRAY_SIZE(dirs), argv[n]) : -EINVAL;
}

/* Map by one of the ways to ask for one segment, or by none. */
static int edu_map_how(struct device *dev, struct sg_table *sgt,
		       enum dma_data_direction dir, const char *how)
{
	int ret;

	if (!strcmp(how, "plain"))
		return dma_map_sgtable(dev, sgt, dir, 0);
	if (strcmp(how, "device"))
		return dma_map_sgtable_contiguous(dev, sgt, dir, 0);
	dma_set_contiguous(dev, true);
	ret = dma_map_sgtable(dev, sgt, dir, 0);
	dma_set_contiguous(dev, false);
	return ret;
}

/* Is any of what was mapped still translated? */
static int edu_still_mapped(struct edu *edu, dma_addr_t addr, size_t len,
			    size_t granule)
{
	dma_addr_t end = addr + len;

	for (addr &= ~(dma_addr_t)(granule - 1); addr < end; addr += granule) {
		if (!iommu_iova_to_phys(edu_domain(edu), addr))
			continue;
		edu_note(edu, "%pad is still mapped\n", &addr);
		return -EBUSY;
	}
	return 0;
}

static int edu_list_try(struct edu *edu, struct edu_sgl *list,
			enum dma_data_direction dir, const char *how)
{
	size_t len;
	dma_addr_t addr;
	int ret;

	ret = edu_map_how(edu_dev(edu), &list->sgt, dir, how);
	if (ret) {
		edu_note(edu, "mapping gave %d\n", ret);
		return ret;
	}
	addr = sg_dma_address(list->sg);
	len = sg_dma_len(list->sg);
	ret = strcmp(how, "plain") ? edu_sgl_one_segment(edu, list) :
				     edu_sgl_segments(edu, list);
	if (!ret && edu_domain(edu)) {
		ret = edu_sgl_translation(edu, list);
		if (!ret)
			edu_sgl_note(edu, list);
	}
	if (!ret)
		ret = edu_sgl_use(edu, list, dir);
	dma_unmap_sgtable(edu_dev(edu), &list->sgt, dir, 0);
	ret = ret ?: edu_sgl_verify(edu, list, "after unmap");
	if (!ret && edu_domain(edu))
		ret = edu_still_mapped(edu, addr, len, list->granule);
	return ret;
}

static int edu_list_run(struct edu *edu, const char *how, const char *name,
			int dir, unsigned long times)
{
	const struct edu_shape *shape = edu_find_shape(name);
	struct edu_sgl *list;
	int ret;

	if (!shape || dir < 0)
		return -EINVAL;
	list = edu_sgl_new(edu, shape, times, !strcmp(how, "chained"));
	if (!list)
		return -ENOMEM;
	ret = edu_list_try(edu, list, dir, how);
	edu_sgl_drop(list);
	return ret;
}

static int edu_op_one(struct edu *edu, int argc, char **argv)
{
	static const char *const hows[] = { "device", "call", "chained" };
	unsigned long times;

	if (argc < 4 || edu_arg(argc, argv, 4, 1, &times) ||
	    match_string(hows, ARRAY_SIZE(hows), argv[1]) < 0)
		return -EINVAL;
	return edu_list_run(edu, argv[1], argv[2], edu_dir_arg(argc, argv, 3),
			    times);
}

static int edu_op_plain(struct edu *edu, int argc, char **argv)
{
	unsigned long times;

	if (argc < 3 || edu_arg(argc, argv, 3, 1, &times))
		return -EINVAL;
	return edu_list_run(edu, "plain", argv[1], edu_dir_arg(argc, argv, 2),
			    times);
}

const struct edu_op edu_list_ops[] = {
	{ "one", edu_op_one },
	{ "plain", edu_op_plain },
	{ }
};
