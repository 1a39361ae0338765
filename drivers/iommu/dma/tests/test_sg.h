/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scatterlists for the KUnit suites. See test_sg.c.
 */
#ifndef _DMA_TEST_SG_H
#define _DMA_TEST_SG_H

#include <linux/scatterlist.h>

#include "test_device.h"

/* Entries of a list at most, and granules in the block that each has */
#define TEST_ENTRIES	8
#define TEST_BLOCK	2

/**
 * struct test_span - where an entry is in its block
 * @offset: bytes
 * @len: bytes
 */
struct test_span {
	unsigned int offset;
	unsigned int len;
};

/**
 * struct test_pool - memory for one list
 * @blocks: of TEST_BLOCK granules each
 * @size: bytes of a block
 */
struct test_pool {
	u8 *blocks[TEST_ENTRIES];
	size_t size;
};

/**
 * enum test_sg_how - whether a list is to be one segment
 * @TEST_SG_AS_IS: no
 * @TEST_SG_CONTIGUOUS: yes, says the mapping
 * @TEST_SG_CONTIGUOUS_DEVICE: yes, says the device
 */
enum test_sg_how {
	TEST_SG_AS_IS,
	TEST_SG_CONTIGUOUS,
	TEST_SG_CONTIGUOUS_DEVICE,
};

/* Both ways to be one segment in turn */
static inline enum test_sg_how test_sg_contiguous(unsigned int n)
{
	return n & 1 ? TEST_SG_CONTIGUOUS_DEVICE : TEST_SG_CONTIGUOUS;
}

/* Each second time as it is */
static inline enum test_sg_how test_sg_any(unsigned int n)
{
	return n & 1 ? test_sg_contiguous(n / 2) : TEST_SG_AS_IS;
}

/**
 * struct test_sg - a list and what it is to be
 * @test: the test
 * @td: device
 * @pool: memory
 * @sgt: the list
 * @spans: its entries, in bytes
 * @total: bytes
 * @dir: direction of the transfer
 * @model: the bytes that memory is to have
 * @bytes: room for as many
 * @before: the entries as they were before the list was mapped
 * @seed: of what is written next
 * @granules: mapped for it
 */
struct test_sg {
	struct kunit *test;
	const struct test_device *td;
	const struct test_pool *pool;
	struct sg_table sgt;
	struct test_span spans[TEST_ENTRIES];
	size_t total;
	enum dma_data_direction dir;
	u8 *model;
	u8 *bytes;
	struct scatterlist before[TEST_ENTRIES];
	u64 seed;
	unsigned long granules;
};

struct test_pool *test_pool_create(struct kunit *test, size_t granule);
struct test_sg *test_sg_alloc(struct kunit *test, const struct test_device *td);
void test_sg_make(struct test_sg *list, const struct test_span *spans,
		  unsigned int count, enum dma_data_direction dir);
void test_sg_free(struct test_sg *list);
bool test_sg_is_absurd(const struct test_sg *list);
bool test_sg_is_cleared(struct test_sg *list);
bool test_sg_map(struct test_sg *list, enum test_sg_how how, const char *what);
void test_sg_use(struct test_sg *list);
void test_sg_unmap(struct test_sg *list);

void test_entry_set(struct scatterlist *sg, struct page *page,
		    unsigned int len, unsigned int offset);
bool test_entry_is_cleared(struct scatterlist *sg);
int test_sgt_map(struct device *dev, struct sg_table *sgt,
		 enum dma_data_direction dir, enum test_sg_how how);
void test_sgt_refused(struct kunit *test, struct device *dev,
		      struct sg_table *sgt, enum test_sg_how how, int error,
		      const char *what);

#endif /* _DMA_TEST_SG_H */
