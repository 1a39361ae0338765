/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists of every shape, and the device's DMA through them. See dma_edu_list.c.
 */
#ifndef DMA_EDU_LIST_H
#define DMA_EDU_LIST_H

#include <linux/dma-mapping.h>
#include <linux/dma-map-ops.h>
#include <linux/scatterlist.h>

#include "dma_edu_core.h"

/* The most entries that a list may have; see edu_windows() */
#define EDU_ENTRIES	24

/* Links of a chained list */
#define EDU_LINKS	(EDU_ENTRIES / 2)

/**
 * enum edu_where - where an entry's memory comes from
 * @EDU_PAGES: pages of its own
 * @EDU_SMALL: kmalloc()
 * @EDU_NEXT: it follows that of the entry before
 */
enum edu_where { EDU_PAGES, EDU_SMALL, EDU_NEXT };

/**
 * struct edu_piece - an entry of a shape
 * @off: where it begins in its pages or object; unused for EDU_NEXT
 * @len: bytes
 * @where: where its memory comes from
 *
 * Bytes are those for a granule of 4 KiB, and more for larger ones.
 */
struct edu_piece {
	unsigned int off;
	unsigned int len;
	enum edu_where where;
};

/**
 * struct edu_shape - what a list looks like
 * @name: in the words of an operation
 * @n: entries
 * @pieces: these
 */
struct edu_shape {
	const char *name;
	unsigned int n;
	const struct edu_piece *pieces;
};

/**
 * struct edu_block - memory of an entry, or of several that follow one another
 * @mem: all of it
 * @size: bytes
 * @off: where the first entry begins
 * @len: bytes of the entries; all others are somebody else's
 * @small: from kmalloc()
 * @peer: another device's memory, of this device; else NULL
 */
struct edu_block {
	u8 *mem;
	size_t size;
	size_t off;
	size_t len;
	bool small;
	struct pci_dev *peer;
};

/**
 * struct edu_sgl - a list, its memory, and what should be there
 * @sg: entries and links
 * @was: what they were before mapping
 * @sgt: the list; nents is what mapping it returned
 * @n: entries
 * @blocks: memory
 * @nr_blocks: how many
 * @total: bytes in the list
 * @want: bytes that should be in the list
 * @tmp: bytes that are in it
 * @granule: of the IOMMU, or a page
 * @granules: granules of addresses that edu_sgl_translation() has looked at
 * @bounced: those of them that do not lead to memory of the list
 */
struct edu_sgl {
	struct scatterlist sg[EDU_ENTRIES + EDU_LINKS];
	struct scatterlist was[EDU_ENTRIES + EDU_LINKS];
	struct sg_table sgt;
	unsigned int n;
	struct edu_block blocks[EDU_ENTRIES];
	unsigned int nr_blocks;
	size_t total;
	u8 *want;
	u8 *tmp;
	size_t granule;
	unsigned int granules;
	unsigned int bounced;
};

extern const struct edu_shape edu_shapes[];

const struct edu_shape *edu_find_shape(const char *name);
struct edu_sgl *edu_sgl_make(struct edu *edu, const struct edu_shape *shape);
int edu_sgl_add_peer(struct edu_sgl *list, unsigned int n, struct pci_dev *peer);
void edu_sgl_drop(struct edu_sgl *list);
int edu_sgl_verify(struct edu *edu, struct edu_sgl *list, const char *when);
void edu_sgl_remember(struct edu_sgl *list);
bool edu_sgl_cleared(struct edu *edu, const struct edu_sgl *list);
int edu_sgl_segments(struct edu *edu, struct edu_sgl *list);
int edu_sgl_one_segment(struct edu *edu, struct edu_sgl *list);
int edu_sgl_translation(struct edu *edu, struct edu_sgl *list);
void edu_sgl_note(struct edu *edu, const struct edu_sgl *list);
int edu_sgl_use(struct edu *edu, struct edu_sgl *list,
		enum dma_data_direction dir);

/* Bits of an address that stay as they are in memory */
static inline u64 edu_sgl_min_align(struct edu *edu, const struct edu_sgl *list)
{
	return max_t(u64, list->granule,
		     (u64)dma_get_min_align_mask(edu_dev(edu)) + 1);
}

/* Bits of an address that are those of its memory, as it was promised */
static inline u64 edu_kept_bits(struct edu *edu, size_t granule, size_t len)
{
	struct device *dev = edu_dev(edu);
	u64 mask = dma_get_min_align_mask(dev);

	/* Of what may be bounced, no more than the device asks for */
	if (edu->pdev->untrusted ||
	    (!dev_is_dma_coherent(dev) && !dma_kmalloc_size_aligned(len)))
		return mask;
	return mask | (granule - 1);
}

#endif /* DMA_EDU_LIST_H */
