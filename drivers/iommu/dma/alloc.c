// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for device and CPU at once: coherent and non-contiguous allocations.
 *
 * With an IOMMU, memory that is contiguous for the device need not be so in
 * fact. There are four kinds, told apart by the CPU address alone:
 *
 *   kind    when                          CPU address
 *   pages   may sleep; the usual case     vmalloc, with an array of pages
 *   linear  atomic or has to be           linear map
 *           contiguous, coherent device
 *   remap   has to be contiguous, device  vmalloc, without an array
 *           not coherent
 *   pool    atomic, device not coherent   in the atomic pool
 *
 * Non-contiguous allocations are of the first kind without a CPU address.
 */

#include <linux/dma-map-ops.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "domain.h"
#include "alloc.h"

/* How the pages are to be had is no concern of what is needed besides. */
#define IOMMU_DMA_ZONE_GFP	\
	(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP)

static unsigned long page_count_of(size_t size)
{
	return PAGE_ALIGN(size) >> PAGE_SHIFT;
}

/*
 * Arrays of pages.
 */

static void pages_free(struct page **pages, unsigned long count)
{
	while (count--)
		__free_page(pages[count]);
	kvfree(pages);
}

/*
 * A block of at most @count pages; of @orders the largest that can be had. One that
 * cannot be had is struck off: asking again for each block would take long, and
 * others' memory.
 */
static struct page *block_alloc(int nid, unsigned int count,
				unsigned long *orders, gfp_t gfp,
				unsigned int *order)
{
	unsigned long fit = *orders & GENMASK(__fls(count), 0);
	struct page *page;

	for (; fit; fit &= *orders) {
		*order = __fls(fit);
		/* Large blocks are nice to have, but not worth an effort. */
		page = alloc_pages_node(nid, fit == BIT(*order) ? gfp :
					gfp | __GFP_NORETRY, *order);
		if (page)
			return page;
		*orders &= ~BIT(*order);
	}
	return NULL;
}

/*
 * Pages in blocks of sizes that the IOMMU can map as one, so that mapping takes
 * few steps and the IOTLB few entries.
 */
static struct page **pages_alloc(struct device *dev, unsigned int count,
				 unsigned long orders, gfp_t gfp)
{
	struct page **pages =
		kvcalloc(count, sizeof(*pages),
			 __GFP_NOWARN | (gfp & ~IOMMU_DMA_ZONE_GFP));
	unsigned int done = 0, order, i;
	struct page *page;

	if (!pages)
		return NULL;
	while (done < count) {
		page = block_alloc(dev_to_node(dev), count - done, &orders,
				   gfp | __GFP_NOWARN | __GFP_HIGHMEM, &order);
		if (!page) {
			pages_free(pages, done);
			return NULL;
		}
		split_page(page, order);
		for (i = 0; i < 1U << order; i++)
			pages[done++] = page++;
	}
	return pages;
}

/* Orders of blocks: all sizes of IOMMU pages, and single pages in any case */
static unsigned long block_orders(const struct iommu_dma_cookie *cookie,
				  unsigned long attrs)
{
	unsigned long orders = cookie->domain->pgsize_bitmap >> PAGE_SHIFT;
	/* A granule above the page size cannot be had in parts. */
	unsigned int least = cookie->granule_shift > PAGE_SHIFT ?
				     cookie->granule_shift - PAGE_SHIFT :
				     0;

	orders = (orders | BIT(least)) & GENMASK(MAX_PAGE_ORDER, least);
	return attrs & DMA_ATTR_ALLOC_SINGLE_PAGES ? BIT(least) : orders;
}

/*
 * Coherent memory is promised to be aligned to its size, rounded up to a power
 * of two: see Documentation/core-api/dma-api-howto.rst.
 */
static u64 natural_align(size_t size)
{
	return (u64)PAGE_SIZE << get_order(size);
}

/*
 * Give @sgt's memory, @size bytes in whole granules, an address. If that fails with
 * -EBUSY, the device may reach some of the memory.
 */
static int pages_map(struct device *dev, struct sg_table *sgt, u64 size,
		     u64 align, int prot, gfp_t gfp, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_dma_iova_req req = {
		.size = size,
		.align = max(iommu_dma_min_align(dev, cookie), align),
		.boundary = iommu_dma_boundary(dev),
		.mask = dev->coherent_dma_mask,
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};
	struct iova_range range;
	ssize_t mapped;

	if (!iommu_dma_alloc_iova(dev, cookie, &req, &range))
		return -ENOSPC;
	mapped = iommu_map_sg(cookie->domain,
			      iommu_dma_iova_addr(cookie, &range), sgt->sgl,
			      sgt->orig_nents, prot, gfp);
	if (mapped < 0 || mapped < size)
		return iommu_dma_drop_iova(dev, cookie, &range) ? -ENOMEM :
								  -EBUSY;
	sg_dma_address(sgt->sgl) = iommu_dma_iova_addr(cookie, &range);
	sg_dma_len(sgt->sgl) = size;
	return 0;
}

/* Allocate and map @size bytes; @sgt describes them then. */
static struct page **pages_create(struct device *dev, size_t size, u64 align,
				  struct sg_table *sgt, gfp_t gfp,
				  unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	bool coherent = dev_is_dma_coherent(dev);
	size_t mapped = ALIGN(size, cookie_granule(cookie));
	unsigned long count = page_count_of(mapped);
	struct scatterlist *sg;
	struct page **pages;
	unsigned int i;
	int ret;

	/* A list has no more entries than an int can count; whole pages may wrap. */
	if (!size || mapped < size || !count || count > INT_MAX ||
	    iommu_dma_attach(dev, cookie->domain))
		return NULL;
	pages = pages_alloc(dev, count, block_orders(cookie, attrs), gfp);
	if (!pages)
		return NULL;
	gfp &= ~(IOMMU_DMA_ZONE_GFP | __GFP_ZERO);
	if (sg_alloc_table_from_pages(sgt, pages, count, 0, mapped, gfp))
		goto free_pages;
	if (!coherent)
		for_each_sgtable_sg(sgt, sg, i)
			arch_dma_prep_coherent(sg_page(sg), sg->length);
	ret = pages_map(dev, sgt, mapped, align,
			iommu_dma_prot(DMA_BIDIRECTIONAL, coherent, attrs), gfp,
			attrs);
	if (!ret)
		return pages;
	sg_free_table(sgt);
	/* Then the pages stay, and no page has to be found again. */
	if (ret == -EBUSY) {
		kvfree(pages);
		return NULL;
	}
free_pages:
	pages_free(pages, count);
	return NULL;
}

static unsigned long pages_created(struct device *dev, size_t size)
{
	return page_count_of(
		ALIGN(size, cookie_granule(iommu_dma_dev_cookie(dev))));
}

/*
 * Coherent memory.
 */

static void *alloc_paged(struct device *dev, size_t size, dma_addr_t *addr,
			 gfp_t gfp, unsigned long attrs)
{
	struct page **pages;
	struct sg_table sgt;
	void *cpu_addr;

	pages = pages_create(dev, size, natural_align(size), &sgt, gfp,
			     attrs);
	if (!pages)
		return NULL;
	*addr = sg_dma_address(sgt.sgl);
	sg_free_table(&sgt);

	cpu_addr = dma_common_pages_remap(pages, PAGE_ALIGN(size),
					  dma_pgprot(dev, PAGE_KERNEL, attrs),
					  __builtin_return_address(0));
	if (!cpu_addr && __iommu_dma_unmap(dev, *addr, size))
		pages_free(pages, pages_created(dev, size));
	return cpu_addr;
}

static struct page *alloc_contiguous(struct device *dev, size_t size,
				     void **cpu_addr, gfp_t gfp,
				     unsigned long attrs)
{
	pgprot_t prot = dma_pgprot(dev, PAGE_KERNEL, attrs);
	bool coherent = dev_is_dma_coherent(dev);
	struct page *page;

	if (IS_ENABLED(CONFIG_DMA_DIRECT_REMAP) && !coherent &&
	    !gfpflags_allow_blocking(gfp))
		return dma_alloc_from_pool(dev, size, cpu_addr, gfp, NULL);

	page = dma_alloc_contiguous(dev, size, gfp);
	if (!page)
		page = alloc_pages_node(dev_to_node(dev), gfp, get_order(size));
	if (!page)
		return NULL;
	if (coherent && !PageHighMem(page)) {
		*cpu_addr = page_address(page);
	} else {
		*cpu_addr = dma_common_contiguous_remap(page, size, prot,
							__builtin_return_address(0));
		if (!*cpu_addr) {
			dma_free_contiguous(dev, page, size);
			return NULL;
		}
		if (!coherent)
			arch_dma_prep_coherent(page, size);
	}
	memset(*cpu_addr, 0, size);
	return page;
}

/**
 * struct backing - what is behind the CPU address of coherent memory
 * @pages: of the first kind of memory all pages, else NULL
 * @page: the first page; NULL if there is none, as the memory has been freed
 */
struct backing {
	struct page **pages;
	struct page *page;
};

static struct backing backing_of(void *cpu_addr)
{
	struct backing b = {};

	if (!is_vmalloc_addr(cpu_addr)) {
		b.page = virt_to_page(cpu_addr);
		return b;
	}
	b.pages = dma_common_find_pages(cpu_addr);
	b.page = b.pages ? b.pages[0] : vmalloc_to_page(cpu_addr);
	return b;
}

/* Free memory of any kind; it is unmapped. */
static void memory_free(struct device *dev, size_t size, void *cpu_addr,
			const struct backing *b)
{
	if (IS_ENABLED(CONFIG_DMA_DIRECT_REMAP) &&
	    dma_free_from_pool(dev, cpu_addr, PAGE_ALIGN(size)))
		return;
	if (is_vmalloc_addr(cpu_addr))
		dma_common_free_remap(cpu_addr, PAGE_ALIGN(size));
	if (b->pages)
		pages_free(b->pages, pages_created(dev, size));
	else
		dma_free_contiguous(dev, b->page, PAGE_ALIGN(size));
}

/**
 * dma_memory_alloc - allocate memory that device and CPU use at the same time
 * @dev: device
 * @size: bytes
 * @addr: where to store the address for the device
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: As @gfp says.
 * Return: the address for the CPU of zeroed memory, or NULL.
 */
void *dma_memory_alloc(struct device *dev, size_t size, dma_addr_t *addr,
		       gfp_t gfp, unsigned long attrs)
{
	bool coherent = dev_is_dma_coherent(dev);
	struct page *page;
	void *cpu_addr;
	bool kept;

	if (!size || PAGE_ALIGN(size) < size)
		return NULL;
	gfp |= __GFP_ZERO;
	if (gfpflags_allow_blocking(gfp) && !(attrs & DMA_ATTR_FORCE_CONTIGUOUS))
		return alloc_paged(dev, size, addr, gfp, attrs);

	page = alloc_contiguous(dev, PAGE_ALIGN(size), &cpu_addr, gfp, attrs);
	if (!page)
		return NULL;
	*addr = iommu_dma_map_alloc(
		dev, page_to_phys(page), size, natural_align(size),
		iommu_dma_prot(DMA_BIDIRECTIONAL, coherent, attrs),
		dev->coherent_dma_mask, attrs, &kept);
	if (*addr != DMA_MAPPING_ERROR)
		return cpu_addr;
	if (!kept)
		memory_free(dev, size, cpu_addr, &(struct backing) { .page = page });
	return NULL;
}

/**
 * dma_memory_free - free what dma_memory_alloc() allocated
 * @dev: device
 * @size: bytes
 * @cpu_addr: address for the CPU
 * @addr: address for the device
 *
 * Context: May sleep where dma_memory_alloc() might have.
 */
void dma_memory_free(struct device *dev, size_t size, void *cpu_addr,
		     dma_addr_t addr)
{
	struct backing b = backing_of(cpu_addr);

	/* Freed before, perhaps, and not ours; or still within reach. */
	if (iommu_dma_unmap_alloc(dev, addr, size, b.page))
		memory_free(dev, size, cpu_addr, &b);
}

/**
 * dma_memory_mmap - map coherent memory into a process
 * @dev: device
 * @vma: where; its offset is in pages of the memory
 * @cpu_addr: address for the CPU
 * @size: bytes
 * @attrs: DMA_ATTR_*
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory; or the error of mm.
 */
int dma_memory_mmap(struct device *dev, struct vm_area_struct *vma,
		    void *cpu_addr, size_t size, unsigned long attrs)
{
	unsigned long count = page_count_of(size);
	struct backing b;
	int ret;

	vma->vm_page_prot = dma_pgprot(dev, vma->vm_page_prot, attrs);
	if (dma_mmap_from_dev_coherent(dev, vma, cpu_addr, size, &ret))
		return ret;
	if (vma->vm_pgoff >= count || vma_pages(vma) > count - vma->vm_pgoff)
		return -ENXIO;

	b = backing_of(cpu_addr);
	if (b.pages)
		return vm_map_pages(vma, b.pages, count);
	return remap_pfn_range(vma, vma->vm_start,
			       page_to_pfn(b.page) + vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

/**
 * dma_memory_sgtable - describe coherent memory by a list
 * @sgt: table to be filled in
 * @cpu_addr: address for the CPU
 * @size: bytes
 *
 * Context: Process; may sleep.
 * Return: 0 or -ENOMEM.
 */
int dma_memory_sgtable(struct sg_table *sgt, void *cpu_addr, size_t size)
{
	struct backing b = backing_of(cpu_addr);
	int ret;

	if (b.pages)
		return sg_alloc_table_from_pages(sgt, b.pages,
						 page_count_of(size), 0, size,
						 GFP_KERNEL);
	ret = sg_alloc_table(sgt, 1, GFP_KERNEL);
	if (!ret)
		sg_set_page(sgt->sgl, b.page, PAGE_ALIGN(size), 0);
	return ret;
}

/*
 * Non-contiguous memory.
 */

/**
 * struct dma_pages - a non-contiguous allocation
 * @sgt: what the driver sees of it
 * @pages: its pages
 */
struct dma_pages {
	struct sg_table sgt;
	struct page **pages;
};

static struct dma_pages *to_dma_pages(struct sg_table *sgt)
{
	return container_of(sgt, struct dma_pages, sgt);
}

/**
 * dma_pages_alloc - allocate zeroed pages that are contiguous for the device
 * @dev: device
 * @size: bytes
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: Process; may sleep.
 * Return: a table with one segment, or NULL.
 */
struct sg_table *dma_pages_alloc(struct device *dev, size_t size, gfp_t gfp,
				 unsigned long attrs)
{
	struct dma_pages *dp = kmalloc(sizeof(*dp), gfp & ~IOMMU_DMA_ZONE_GFP);

	if (!dp)
		return NULL;
	dp->pages = pages_create(dev, size, PAGE_SIZE, &dp->sgt,
				 gfp | __GFP_ZERO, attrs);
	if (!dp->pages) {
		kfree(dp);
		return NULL;
	}
	return &dp->sgt;
}

/**
 * dma_pages_free - free what dma_pages_alloc() allocated
 * @dev: device
 * @size: bytes
 * @sgt: the table
 *
 * Context: Process; may sleep.
 */
void dma_pages_free(struct device *dev, size_t size, struct sg_table *sgt)
{
	struct dma_pages *dp = to_dma_pages(sgt);

	if (__iommu_dma_unmap(dev, sg_dma_address(sgt->sgl), size))
		pages_free(dp->pages, pages_created(dev, size));
	sg_free_table(sgt);
	kfree(dp);
}

/**
 * dma_pages_vmap - give a non-contiguous allocation an address for the CPU
 * @sgt: the table
 * @size: bytes
 *
 * Context: Process; may sleep.
 * Return: the address, for vunmap() to undo, or NULL.
 */
void *dma_pages_vmap(struct sg_table *sgt, size_t size)
{
	return vmap(to_dma_pages(sgt)->pages, page_count_of(size), VM_MAP,
		    PAGE_KERNEL);
}

/**
 * dma_pages_mmap - map a non-contiguous allocation into a process
 * @sgt: the table
 * @vma: where; its offset is in pages of the memory
 * @size: bytes
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory; or the error of mm.
 */
int dma_pages_mmap(struct sg_table *sgt, struct vm_area_struct *vma,
		   size_t size)
{
	unsigned long count = page_count_of(size);

	if (vma->vm_pgoff >= count || vma_pages(vma) > count - vma->vm_pgoff)
		return -ENXIO;
	return vm_map_pages(vma, to_dma_pages(sgt)->pages, count);
}
