/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Mappings of every kind for the KUnit suites. See test_mapping.c.
 */
#ifndef _DMA_TEST_MAPPING_H
#define _DMA_TEST_MAPPING_H

#include <linux/scatterlist.h>

#include "test_device.h"

enum test_kind {
	TEST_PAGE,
	TEST_RESOURCE,
	TEST_LIST,
	TEST_CONTIGUOUS,	/* a list as one segment */
	TEST_STREAMING,		/* those above are made in any context */
	TEST_ATOMIC = TEST_STREAMING,
	TEST_COHERENT,
	TEST_FORCED,		/* coherent and physically contiguous */
	TEST_PAGES,		/* by dma_alloc_pages() */
	TEST_NONCONTIGUOUS,
	TEST_KINDS
};

/* Entries of a list, and granules that a mapping has of memory, at most */
#define TEST_PIECES	4
#define TEST_ROOM	8

/**
 * struct test_mapping - a mapping and its memory
 * @td: device; may be gone at the end of the test, when memory is freed
 * @memory: TEST_ROOM granules, for the kinds that do not bring their own
 * @room: that in bytes
 * @direct: made and undone by &iommu_dma_ops, of which the DMA API's debugging
 *	learns nothing
 * @mapped: it is there
 * @kind: of @mapped, and all of the below, too
 * @dir: direction of the transfer
 * @size: bytes
 * @addr: device address of the first
 * @cpu: address for the CPU, of coherent memory
 * @list: the list, of lists
 * @pages: likewise, of non-contiguous memory
 */
struct test_mapping {
	const struct test_device *td;
	u8 *memory;
	size_t room;
	bool direct;
	bool mapped;
	enum test_kind kind;
	enum dma_data_direction dir;
	size_t size;
	dma_addr_t addr;
	void *cpu;
	struct sg_table list;
	struct sg_table *pages;
};

/**
 * struct test_range - what a device sees of a mapping in one piece
 * @addr: device address of the first byte
 * @size: bytes
 */
struct test_range {
	dma_addr_t addr;
	size_t size;
};

extern const char * const test_kinds[TEST_KINDS];

void test_mapping_init(struct kunit *test, const struct test_device *td,
		       struct test_mapping *m);
struct test_mapping *test_mapping_create(struct kunit *test,
					 const struct test_device *td);
bool test_mapping_make(struct test_mapping *m, enum test_kind kind,
		       enum dma_data_direction dir, size_t offset, size_t size);
void test_mapping_undo(struct test_mapping *m);
void test_mapping_sync_for_cpu(struct test_mapping *m);
void test_mapping_sync_for_device(struct test_mapping *m);
unsigned int test_mapping_ranges(const struct test_mapping *m,
				 struct test_range *ranges);
unsigned long test_mapping_granules(const struct test_mapping *m);
unsigned long test_mapping_reached(const struct test_mapping *m);
phys_addr_t test_mapping_phys(const struct test_mapping *m);

#endif /* _DMA_TEST_MAPPING_H */
