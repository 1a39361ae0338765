/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An IOMMU made of memory, for KUnit. See mock_iommu.c.
 */
#ifndef _DMA_MOCK_IOMMU_H
#define _DMA_MOCK_IOMMU_H

#include <kunit/test.h>
#include <linux/iommu.h>
#include <linux/types.h>

struct device;
struct mock_iommu;

/* Regions that one IOMMU can have, at most */
#define MOCK_REGIONS	3

/**
 * struct mock_iommu_options - what an IOMMU is like
 * @pgsizes: sizes of its pages, as in &iommu_domain.pgsize_bitmap
 * @aperture_start: first address that it translates
 * @aperture_last: last one; 0 for all of them
 * @regions: reserved ones, by first address, bytes and type; of no bytes: none
 * @delay_us: how long it takes to invalidate
 * @deferred: its devices begin in deferred mode
 * @shared: all of its devices share one domain
 * @undeferrable: it cannot put off invalidation
 * @eager: it invalidates as it unmaps, and knows no calls for it
 * @expensive: an invalidation costs so much that a longer window is better
 * @attach_later: its devices are attached by their first mapping, if the kernel
 *	is one that puts that off
 */
struct mock_iommu_options {
	unsigned long pgsizes;
	dma_addr_t aperture_start;
	dma_addr_t aperture_last;
	struct {
		phys_addr_t start;
		size_t size;
		enum iommu_resv_type type;
	} regions[MOCK_REGIONS];
	unsigned int delay_us;
	bool deferred;
	bool shared;
	bool undeferrable;
	bool eager;
	bool expensive;
	bool attach_later;
};

/**
 * struct mock_iommu_counts - what has happened in a domain
 * @attach: calls to attach a device
 * @map: calls to map pages
 * @unmap: calls to unmap pages
 * @sync: invalidations of what an unmap has gathered
 * @flush: invalidations of everything
 * @sync_map: calls that tell of new mappings
 * @mapped: granules that are mapped
 * @stale: granules that are not, but may still be in an IOTLB
 * @tables: page tables in use
 * @limbo: page tables that are not, but that an IOTLB may refer to, or that have
 *	not been given back
 * @wrong: what must not happen: mapping what is mapped, or what an IOTLB still
 *	knows otherwise; unmapping what is not mapped; addresses out of reach;
 *	freeing a page table that an IOTLB may refer to
 */
struct mock_iommu_counts {
	unsigned int attach;
	unsigned int map;
	unsigned int unmap;
	unsigned int sync;
	unsigned int flush;
	unsigned int sync_map;
	unsigned long mapped;
	unsigned long stale;
	unsigned long tables;
	unsigned long limbo;
	unsigned int wrong;
};

/* Where a domain can be made to fail */
enum mock_iommu_fault {
	MOCK_FAULT_MAP,		/* when the next page but N is mapped */
	MOCK_FAULT_SYNC_MAP,	/* in the next call but N */
	MOCK_FAULT_TABLE,	/* when the next page table but N is needed */
	MOCK_MAP_FAULTS,	/* those above are all that mapping has */
	MOCK_FAULT_UNMAP = MOCK_MAP_FAULTS, /* at the next page but N, which stays */
	MOCK_FAULT_REFUSE,	/* as MOCK_FAULT_MAP, but not for want of memory */
	MOCK_FAULT_ATTACH,	/* when the next device but N is attached */
	MOCK_FAULTS
};

struct mock_iommu *mock_iommu_create(struct kunit *test,
				     const struct mock_iommu_options *options);
void mock_iommu_reserve(struct mock_iommu *mock, phys_addr_t start, size_t size,
			enum iommu_resv_type type);
struct device *mock_iommu_device(struct kunit *test, struct mock_iommu *mock,
				 bool coherent);
void mock_iommu_remove(struct kunit *test, struct device *dev);
struct device *mock_plain_device(struct kunit *test);
struct device *mock_plain_device_noncoherent(struct kunit *test);

struct mock_iommu_counts mock_iommu_counts(struct device *dev);
void mock_iommu_fail(struct device *dev, enum mock_iommu_fault fault, int after);
void mock_iommu_defer(struct kunit *test, struct device *dev);
unsigned int mock_iommu_forgive(struct device *dev);
bool mock_iommu_lookup(struct device *dev, dma_addr_t addr, phys_addr_t *phys,
		       int *prot);
bool mock_iommu_reaches(struct device *dev, dma_addr_t addr, phys_addr_t *phys);
int mock_iommu_read(struct device *dev, dma_addr_t addr, void *buf, size_t len);
int mock_iommu_write(struct device *dev, dma_addr_t addr, const void *buf,
		     size_t len);

#endif /* _DMA_MOCK_IOMMU_H */
