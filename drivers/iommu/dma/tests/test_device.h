/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Devices of all kinds for the KUnit suites. See test_device.c.
 */
#ifndef _DMA_TEST_DEVICE_H
#define _DMA_TEST_DEVICE_H

#include <linux/dma-mapping.h>

#include "mock_iommu.h"

/**
 * struct test_env - an IOMMU and a bus to run a test case on
 * @name: to be printed
 * @granule_shift: log2 of the granule
 * @deferred: deferred mode
 * @noncoherent: devices do not snoop caches
 */
struct test_env {
	const char *name;
	unsigned int granule_shift;
	bool deferred;
	bool noncoherent;
};

/* For KUNIT_CASE_PARAM(): all of them, one of each mode, those that do not snoop */
const void *test_env_gen_params(const void *prev, char *desc);
const void *test_mode_gen_params(const void *prev, char *desc);
const void *test_noncoherent_gen_params(const void *prev, char *desc);

bool test_env_turn(const struct kunit *test, unsigned int n, unsigned int of);

/**
 * struct test_limits - what a device can do; nothing is 0
 * @name: to be printed
 * @max_segment: granules
 * @boundary: granules
 * @min_align: granules; min_align_mask is that in bytes, less 1
 * @min_align_mask: below a granule, in place of @min_align
 * @mask: log2 of the granules that the dma mask reaches
 * @bus: log2 of the granules that the bus reaches
 */
struct test_limits {
	const char *name;
	unsigned int max_segment;
	unsigned int boundary;
	unsigned int min_align;
	unsigned int min_align_mask;
	unsigned int mask;
	unsigned int bus;
};

/* Threads at most, one on each processor */
#define TEST_CPUS	2

/* Directions of a transfer */
#define TEST_DIRS	3

extern const enum dma_data_direction test_dirs[TEST_DIRS];
extern const struct test_limits test_limits[];
extern const unsigned int test_limits_count;

/**
 * struct test_device - a device and what it can do, in bytes
 * @dev: the device
 * @granule: of its IOMMU
 * @noncoherent: it does not snoop caches
 * @max_segment: U32_MAX is none
 * @boundary: a power of two, or 0 for none
 * @min_align: bits of addresses below this are those of memory; at least @granule
 * @last: highest address for it
 * @log: where the kernel's log was before there was this device
 */
struct test_device {
	struct device *dev;
	size_t granule;
	bool noncoherent;
	u64 max_segment;
	u64 boundary;
	u64 min_align;
	u64 last;
	u64 log;
};

/* Granules behind each mapping, by iommu.dma_guard */
extern unsigned int test_guard;
/* Of all that is random */
extern u32 test_seed;
/* PCI devices need not have addresses below 4 GiB, by iommu.forcedac */
extern bool test_forcedac;

struct mock_iommu *test_iommu(struct kunit *test, dma_addr_t aperture_last);
struct mock_iommu *test_iommu_shared(struct kunit *test);
void test_device_init(struct kunit *test, struct mock_iommu *mock,
		      struct test_device *td);
void test_device_limit(struct test_device *td, const struct test_limits *limits);
void test_device_set(struct test_device *td);
bool test_device_reaches(const struct test_device *td, dma_addr_t addr,
			 u64 size);
u64 test_device_place(const struct test_device *td, u64 phys, size_t len,
		      enum dma_data_direction dir);
bool test_device_crosses(const struct test_device *td, dma_addr_t addr,
			 u64 size);
void test_device_settled(struct kunit *test, const struct test_device *td,
			 unsigned long mapped);
void test_device_all_free(struct kunit *test, const struct test_device *td,
			  unsigned int granules);
void test_log_wait(const struct kunit *test);
unsigned int test_said(const struct test_device *td, const char *what);
void test_fill(void *buf, size_t len, u64 *seed);
void test_on_cpus(struct kunit *test, void (*work)(void *data, unsigned int i),
		  void *data);
void test_fail_next(unsigned int nth);
unsigned int test_fail_left(void);
bool test_fail_works(void);

#endif /* _DMA_TEST_DEVICE_H */
