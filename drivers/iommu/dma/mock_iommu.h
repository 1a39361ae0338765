/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An IOMMU made of memory, for KUnit. See mock_iommu.c.
 */
#ifndef _DMA_MOCK_IOMMU_H
#define _DMA_MOCK_IOMMU_H

#include <kunit/test.h>
#include <linux/types.h>

struct device;
struct mock_iommu;

/**
 * struct mock_iommu_options - what an IOMMU is like
 * @pgsizes: sizes of its pages, as in &iommu_domain.pgsize_bitmap
 * @aperture_start: first address that it translates
 * @aperture_last: last one; 0 for all of them
 * @reserved_start: of a region that no device may be given
 * @reserved_size: its bytes; 0 for none
 * @deferred: its devices begin in deferred mode
 * @shared: all of its devices share one domain
 */
struct mock_iommu_options {
	unsigned long pgsizes;
	dma_addr_t aperture_start;
	dma_addr_t aperture_last;
	phys_addr_t reserved_start;
	size_t reserved_size;
	bool deferred;
	bool shared;
};

/**
 * struct mock_iommu_counts - what has happened in a domain
 * @map: calls to map pages
 * @unmap: calls to unmap pages
 * @sync: invalidations of what an unmap has gathered
 * @flush: invalidations of everything
 * @sync_map: calls that tell of new mappings
 * @mapped: granules that are mapped
 * @stale: granules that are not, but may still be in an IOTLB
 * @wrong: what must not happen: mapping what is mapped, or what an IOTLB still
 *	knows otherwise; unmapping what is not mapped; addresses out of reach
 */
struct mock_iommu_counts {
	unsigned int map;
	unsigned int unmap;
	unsigned int sync;
	unsigned int flush;
	unsigned int sync_map;
	unsigned long mapped;
	unsigned long stale;
	unsigned int wrong;
};

/* Where a domain can be made to fail */
enum mock_iommu_fault {
	MOCK_FAULT_MAP,		/* when the next page but N is mapped */
	MOCK_FAULT_SYNC_MAP,	/* in the next call but N */
	MOCK_FAULTS
};

struct mock_iommu *mock_iommu_create(struct kunit *test,
				     const struct mock_iommu_options *options);
struct device *mock_iommu_device(struct kunit *test, struct mock_iommu *mock,
				 bool coherent);
void mock_iommu_remove(struct kunit *test, struct device *dev);
struct device *mock_plain_device(struct kunit *test, bool coherent);

struct mock_iommu_counts mock_iommu_counts(struct device *dev);
void mock_iommu_fail(struct device *dev, enum mock_iommu_fault fault, int after);
bool mock_iommu_lookup(struct device *dev, dma_addr_t addr, phys_addr_t *phys,
		       int *prot);
int mock_iommu_read(struct device *dev, dma_addr_t addr, void *buf, size_t len);
int mock_iommu_write(struct device *dev, dma_addr_t addr, const void *buf,
		     size_t len);

#endif /* _DMA_MOCK_IOMMU_H */
