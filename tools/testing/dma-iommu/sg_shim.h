/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What sg.c calls beside the machine: scatterlists, other devices' memory, a
 * range of addresses, and caches of which each call is counted.
 *
 * Memory is of four kinds, by its address: the system's; another device's that
 * is reached through the host bridge, or on the bus, or not at all; and none.
 */
#ifndef _SG_SHIM_H
#define _SG_SHIM_H

#include "machine.h"

enum { MEMORY, BRIDGE, BUS, UNREACHABLE, NOWHERE, KINDS };

#define KIND_SHIFT 50
#define BUS_OFFSET		BIT_ULL(61)

static inline unsigned int phys_kind(u64 phys)
{
	return phys >> KIND_SHIFT;
}

/*
 * Pages are no more than their numbers.
 */

struct page;

#define __uninitialized
#define PAGE_SHIFT		12
#define PAGE_SIZE		BIT(PAGE_SHIFT)
#define STRUCT_PAGE_SHIFT	6 /* of what a struct page would take */

static inline unsigned long page_to_pfn(const struct page *page)
{
	return (unsigned long)page >> STRUCT_PAGE_SHIFT;
}

static inline bool pfn_valid(unsigned long pfn)
{
	return phys_kind((u64)pfn << PAGE_SHIFT) != NOWHERE;
}

/* As in the kernel, only to be asked of a page that is there. */
static inline bool is_pci_p2pdma_page(const struct page *page)
{
	unsigned int kind = phys_kind((u64)page_to_pfn(page) << PAGE_SHIFT);

	FAIL_IF(kind == NOWHERE);
	return kind != MEMORY;
}

/*
 * Scatterlists, with the kernel's names and chains.
 */

struct scatterlist {
	unsigned long page_link;
	unsigned int offset;
	unsigned int length;
	dma_addr_t dma_address;
	unsigned int dma_length;
	unsigned int dma_flags;
};

#define SG_CHAIN		1UL
#define SG_END			2UL
#define SG_DMA_BUS		1U
#define DMA_MAPPING_ERROR	(~(dma_addr_t)0)
#define sg_dma_address(sg)	((sg)->dma_address)
#define sg_dma_len(sg)		((sg)->dma_length)
#define sg_page(sg) \
	((struct page *)((sg)->page_link & ~(SG_CHAIN | SG_END)))
#define for_each_sg(sgl, sg, nr, i) \
	for (i = 0, sg = (sgl); i < (nr); i++, sg = sg_next(sg))

static inline phys_addr_t sg_phys(const struct scatterlist *sg)
{
	return ((u64)page_to_pfn(sg_page(sg)) << PAGE_SHIFT) + sg->offset;
}

static inline bool sg_is_chain(const struct scatterlist *sg)
{
	return sg->page_link & SG_CHAIN;
}

static inline bool sg_is_last(const struct scatterlist *sg)
{
	return sg->page_link & SG_END;
}

static inline struct scatterlist *sg_chain_ptr(const struct scatterlist *sg)
{
	return (struct scatterlist *)sg_page(sg);
}

static inline struct scatterlist *sg_next(struct scatterlist *sg)
{
	if (sg_is_last(sg))
		return NULL;
	sg++;
	return sg_is_chain(sg) ? sg_chain_ptr(sg) : sg;
}

static inline bool sg_dma_is_bus_address(const struct scatterlist *sg)
{
	return sg->dma_flags & SG_DMA_BUS;
}

static inline void sg_dma_mark_bus_address(struct scatterlist *sg)
{
	sg->dma_flags |= SG_DMA_BUS;
}

static inline void sg_dma_unmark_bus_address(struct scatterlist *sg)
{
	sg->dma_flags &= ~SG_DMA_BUS;
}

/*
 * Other devices' memory.
 */

struct pci_p2pdma_map_state {
	unsigned int asked;
};

enum pci_p2pdma_map_type {
	PCI_P2PDMA_MAP_UNKNOWN,
	PCI_P2PDMA_MAP_NOT_SUPPORTED,
	PCI_P2PDMA_MAP_BUS_ADDR,
	PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
};

enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *dev,
		       struct scatterlist *sg);

/*
 * What a device asks for.
 */

enum dma_data_direction {
	DMA_BIDIRECTIONAL,
	DMA_TO_DEVICE,
	DMA_FROM_DEVICE,
	DMA_NONE,
};

#define DMA_ATTR_SKIP_CPU_SYNC	BIT(5)
#define DMA_ATTR_NO_WARN	BIT(8)
#define DMA_ATTR_CONTIGUOUS	BIT(11)

#define iommu_dma_dev_cookie(dev)	((void)(dev), &machine.cookie)
#define iommu_dma_prot(dir, coherent, attrs) \
	((void)(coherent), (void)(attrs), (dir) == DMA_NONE ? 0 : PROT)
#define iommu_dma_allowed(prot)	((prot) != 0)
#define iommu_dma_attach(dev, domain) ((void)(dev), (void)(domain), 0)
#define iommu_dma_min_align(dev, cookie)	((void)(cookie), (dev)->unit)
#define iommu_dma_boundary(dev)	((dev)->boundary)
#define dma_get_seg_boundary(dev) ((unsigned long)(dev)->boundary - 1)
#define dma_get_max_seg_size(dev) ((dev)->max_segment)
#define dma_get_mask(dev)	((dev)->mask)
#define dma_sg_contiguous(dev, attrs) \
	((dev)->contiguous || (attrs) & DMA_ATTR_CONTIGUOUS)
#define iommu_dma_bounce_needed_sg(dev, sgl, nents, dir) \
	((void)(sgl), (void)(nents), (void)(dir), (dev)->bounce)

static inline size_t dma_max_contiguous_size(struct device *dev)
{
	return min_t(u64, dev->max_segment - 1, dev->boundary - 1) + 1;
}

int iommu_dma_map_sg(struct device *dev, struct scatterlist *sgl, int nents,
		     enum dma_data_direction dir, unsigned long attrs);
void iommu_dma_unmap_sg(struct device *dev, struct scatterlist *sgl, int nents,
			enum dma_data_direction dir, unsigned long attrs);
void iommu_dma_sync_sg_for_cpu(struct device *dev, struct scatterlist *sgl,
			       int nents, enum dma_data_direction dir);
void iommu_dma_sync_sg_for_device(struct device *dev, struct scatterlist *sgl,
				  int nents, enum dma_data_direction dir);

void shim_message(struct device *dev, const char *fmt, ...);
#define dev_err_ratelimited	shim_message

/*
 * Addresses.
 */

struct iommu_dma_iova_req {
	u64 size;
	u64 align;
	u64 boundary;
	u64 mask;
	bool nowarn;
};

bool iommu_dma_alloc_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *need,
			  struct iova_range *range);
bool iommu_dma_drop_iova(struct device *dev, struct iommu_dma_cookie *cookie,
			 const struct iova_range *range);

static inline dma_addr_t
iommu_dma_iova_addr(const struct iommu_dma_cookie *cookie,
		    const struct iova_range *range)
{
	return (dma_addr_t)range->first << cookie->granule_shift;
}

struct iommu_dma_unmap {
	struct iommu_dma_cookie *cookie;
	struct iova_range range;
	bool failed;
};

bool iommu_dma_unmap_claim(struct device *dev, struct iommu_dma_unmap *td,
			   dma_addr_t addr, size_t size);
void iommu_dma_unmap_range(struct device *dev, struct iommu_dma_unmap *td,
			   dma_addr_t addr, size_t size);
void iommu_dma_unmap_end(struct device *dev, struct iommu_dma_unmap *td);
phys_addr_t iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t addr);

static inline u64 iommu_dma_unmap_iova_end(const struct iommu_dma_unmap *td)
{
	return ((u64)td->range.last + 1 - td->cookie->guard)
	       << td->cookie->granule_shift;
}

static inline u64 iommu_dma_unmap_iova_size(const struct iommu_dma_unmap *td)
{
	return iommu_dma_unmap_iova_end(td) -
	       ((u64)td->range.first << td->cookie->granule_shift);
}

/*
 * Caches and copies.
 */

bool shim_has_bounces(u64 addr, u64 size);
#define iommu_dma_no_bounces(cookie) \
	((void)(cookie),             \
	 !shim_has_bounces(machine.start, machine.end - machine.start))
#define iommu_dma_has_bounces(cookie, addr, size) \
	((void)(cookie), shim_has_bounces(addr, size))
void shim_sync(u64 phys, u64 size, bool for_cpu);
void shim_sync_bounces(u64 addr, u64 size, bool for_cpu);
#define arch_sync_dma_for_cpu_noflush(phys, size, dir) \
	((void)(dir), shim_sync(phys, size, true))
#define arch_sync_dma_for_device_noflush(phys, size, dir) \
	((void)(dir), shim_sync(phys, size, false))
#define iommu_dma_bounce_copy_back(dev, cookie, start, last, dir) \
	((void)(dev), (void)(cookie), (void)(dir),                \
	 shim_sync_bounces(start, (last) + 1 - (start), true))
#define iommu_dma_bounce_sync(dev, addr, size, dir, for_cpu) \
	((void)(dev), (void)(dir), shim_sync_bounces(addr, size, for_cpu))

#endif /* _SG_SHIM_H */
