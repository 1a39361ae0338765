// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for device and CPU at once: coherent and non-contiguous allocations.
 *
 * With an IOMMU, memory that is contiguous for the device need not be
 * physically contiguous. There are five kinds, told apart by the CPU address
 * alone:
 *
 *   kind    when                          CPU address
 *   pages   may sleep; the usual case     vmalloc, with an array of pages
 *   token   the same, without a mapping   odd: no address, but the number of
 *           for the CPU                   the first page
 *   linear  atomic or has to be           linear map
 *           contiguous, coherent device
 *   remap   has to be contiguous, device  vmalloc, without an array
 *           not coherent
 *   pool    atomic, device not coherent   in the atomic pool
 *
 * Non-contiguous allocations are of the first kind, without a CPU address.
 */

#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include "map.h"
#include "unmap.h"

/*
 * Flags for the pages of the driver, which do not apply to the layer's own
 * memory
 */
#define IOMMU_DMA_ZONE_GFP	\
	(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP)

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
 * Allocate a block of at most @count pages, of the largest of @orders that is
 * available. An order that is not available is removed from @orders: retrying it
 * for each block is slow, and takes memory from others.
 */
static struct page *block_alloc(int nid, unsigned int count,
				unsigned long *orders, gfp_t gfp,
				unsigned int *order)
{
	unsigned long fit = *orders & GENMASK(__fls(count), 0);
	struct page *page;

	for (; fit; fit &= *orders) {
		*order = __fls(fit);
		/*
		 * A large block is preferred, but not worth reclaim with
		 * retries.
		 */
		page = alloc_pages_node(nid, fit == BIT(*order) ? gfp :
					gfp | __GFP_NORETRY, *order);
		if (page)
			return page;
		*orders &= ~BIT(*order);
	}
	return NULL;
}

/*
 * Allocate pages in blocks of sizes that the IOMMU can map as one, so that
 * mapping takes few steps and the IOTLB few entries.
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

/* Orders of blocks: all sizes of IOMMU pages, and always the smallest block */
static unsigned long block_orders(const struct iommu_dma_cookie *cookie,
				  unsigned long attrs)
{
	unsigned long orders = cookie->domain->pgsize_bitmap >> PAGE_SHIFT;
	/* A granule above the page size cannot be allocated in parts. */
	unsigned int least = cookie->granule_shift > PAGE_SHIFT ?
			     cookie->granule_shift - PAGE_SHIFT : 0;

	orders = (orders | BIT(least)) & GENMASK(MAX_PAGE_ORDER, least);
	return attrs & DMA_ATTR_ALLOC_SINGLE_PAGES ? BIT(least) : orders;
}

/*
 * Map @pages as @req asks, with a list of them, or the only one without. After -EBUSY
 * the device may still reach some of it.
 */
static int pages_map(struct device *dev, struct page **pages,
		     struct sg_table *sgt,
		     const struct iommu_dma_iova_req *req, int prot, gfp_t gfp,
		     dma_addr_t *addr)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	ssize_t mapped = -ENOMEM;
	struct iova_range range;

	if (!iommu_dma_alloc_iova(dev, cookie, req, &range))
		return -ENOSPC;
	*addr = iommu_dma_iova_addr(cookie, &range);
	if (sgt)
		mapped = iommu_map_sg(cookie->domain, *addr, sgt->sgl,
				      sgt->orig_nents, prot, gfp);
	else if (!iommu_map(cookie->domain, *addr, page_to_phys(*pages),
			    req->size, prot, gfp))
		mapped = req->size;
	/* Whether the core could undo what it had mapped, it does not say. */
	if (mapped < 0 || mapped < req->size)
		return iommu_dma_drop_iova(dev, cookie, &range, false) ?:
		       -ENOMEM;
	return 0;
}

static int list_create(struct device *dev, struct page **pages,
		       unsigned long count, size_t size, struct sg_table *sgt,
		       gfp_t gfp)
{
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	ret = sg_alloc_table_from_pages(sgt, pages, count, 0, size, gfp);
	if (!ret && !dev_is_dma_coherent(dev))
		for_each_sgtable_sg(sgt, sg, i)
			arch_dma_prep_coherent(sg_page(sg), sg->length);
	return ret;
}

/*
 * Allocate and map @size bytes. Where the caller wants a list of them, @sgt is that.
 * Else one page, as most coherent memory is, goes without: to make a list costs more
 * than to map the page.
 */
static struct page **pages_create(struct device *dev, size_t size, u64 align,
				  struct sg_table *sgt, dma_addr_t *addr,
				  gfp_t gfp, unsigned long attrs)
{
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);
	struct iommu_dma_iova_req req = {
		.size = ALIGN(size, cookie_granule(cookie)),
		.align = max(iommu_dma_min_align(dev, cookie), align),
		.boundary = iommu_dma_boundary(dev),
		.mask = dev->coherent_dma_mask,
		.nowarn = attrs & DMA_ATTR_NO_WARN,
	};
	int prot = iommu_dma_prot(dev, DMA_BIDIRECTIONAL, attrs), ret;
	unsigned long count = PFN_UP(req.size);
	struct sg_table own, *list = sgt;
	struct page **pages;

	/*
	 * The entries of a list are counted in an int, and the number of pages
	 * may wrap.
	 */
	if (!size || req.size < size || !count || count > INT_MAX ||
	    iommu_dma_attach(dev, cookie->domain))
		return NULL;
	pages = pages_alloc(dev, count, block_orders(cookie, attrs), gfp);
	if (!pages)
		return NULL;
	gfp &= ~(IOMMU_DMA_ZONE_GFP | __GFP_ZERO);
	if (!sgt && count > 1)
		list = &own;
	if (list && list_create(dev, pages, count, req.size, list, gfp))
		goto free_pages;
	if (!list && !dev_is_dma_coherent(dev))
		arch_dma_prep_coherent(*pages, PAGE_SIZE);
	ret = pages_map(dev, pages, list, &req, prot, gfp, addr);
	if (list && (ret || list == &own))
		sg_free_table(list);
	if (!ret)
		return pages;
	/* The pages are leaked, but nothing refers to the array any more. */
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
	struct iommu_dma_cookie *cookie = iommu_dma_dev_cookie(dev);

	return PFN_UP(ALIGN(size, cookie_granule(cookie)));
}

/*
 * Coherent memory.
 */

/*
 * All memory without a CPU address: its array of pages, by the number of the
 * first. So a token can be asked for even after the memory has been freed.
 */
static DEFINE_XARRAY(tokens);

/* What the driver gets in place of a CPU address; NULL if memory is short */
static void *token_create(struct page **pages, gfp_t gfp)
{
	unsigned long pfn = page_to_pfn(pages[0]);

	if (xa_err(xa_store(&tokens, pfn, pages, gfp)))
		return NULL;
	return (void *)(pfn << 1 | 1);
}

static bool is_token(const void *cpu_addr)
{
	return (unsigned long)cpu_addr & 1;
}

/* Return NULL if the memory has been freed. */
static struct page **token_pages(const void *token)
{
	return xa_load(&tokens, (unsigned long)token >> 1);
}

static struct page **token_free(const void *token)
{
	return xa_erase(&tokens, (unsigned long)token >> 1);
}

static __always_inline void *pages_for_cpu(struct device *dev,
					   struct page **pages, size_t size,
					   gfp_t gfp, unsigned long attrs)
{
	if (attrs & DMA_ATTR_NO_KERNEL_MAPPING)
		return token_create(pages, gfp & ~(IOMMU_DMA_ZONE_GFP |
						   __GFP_ZERO));
	return dma_common_pages_remap(pages, PAGE_ALIGN(size),
				      dma_pgprot(dev, PAGE_KERNEL, attrs),
				      __builtin_return_address(0));
}

static void *alloc_paged(struct device *dev, size_t size, dma_addr_t *addr,
			 gfp_t gfp, unsigned long attrs)
{
	struct page **pages;
	void *cpu_addr;

	/*
	 * Documentation/core-api/dma-api-howto.rst promises alignment to the
	 * size.
	 */
	pages = pages_create(dev, size, (u64)PAGE_SIZE << get_order(size), NULL,
			     addr, gfp, attrs);
	if (!pages)
		return NULL;

	cpu_addr = pages_for_cpu(dev, pages, size, gfp, attrs);
	if (!cpu_addr && !__iommu_dma_unmap(dev, *addr, size))
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
 * struct alloc_backing - what is behind the CPU address of coherent memory
 * @pages: all pages if the memory is of the first two kinds, else NULL
 * @page: the first page
 */
struct alloc_backing {
	struct page **pages;
	struct page *page;
};

/* Return NULL if the memory has been freed. Takes no lock. */
static struct page *first_page(void *cpu_addr)
{
	struct page **pages;

	if (is_token(cpu_addr)) {
		pages = token_pages(cpu_addr);
		return pages ? pages[0] : NULL;
	}
	return is_vmalloc_addr(cpu_addr) ? vmalloc_to_page(cpu_addr) :
					   virt_to_page(cpu_addr);
}

/* Not in an interrupt, as vmalloc's locks are taken */
static struct alloc_backing backing_of(void *cpu_addr)
{
	struct alloc_backing b = { .page = first_page(cpu_addr) };

	if (is_token(cpu_addr))
		b.pages = token_pages(cpu_addr);
	else if (is_vmalloc_addr(cpu_addr))
		b.pages = dma_common_find_pages(cpu_addr);
	return b;
}

/* Free memory of any kind, which has been unmapped; @page is the first of it. */
static void memory_free(struct device *dev, size_t size, void *cpu_addr,
			struct page *page)
{
	struct page **pages = NULL;

	if (IS_ENABLED(CONFIG_DMA_DIRECT_REMAP) &&
	    dma_free_from_pool(dev, cpu_addr, PAGE_ALIGN(size)))
		return;
	if (is_token(cpu_addr)) {
		pages = token_free(cpu_addr);
	} else if (is_vmalloc_addr(cpu_addr)) {
		pages = dma_common_find_pages(cpu_addr);
		dma_common_free_remap(cpu_addr, PAGE_ALIGN(size));
	}
	if (pages)
		pages_free(pages, pages_created(dev, size));
	else
		dma_free_contiguous(dev, page, PAGE_ALIGN(size));
}

/**
 * iommu_dma_alloc - allocate memory that device and CPU use at the same time
 * @dev: device
 * @size: bytes
 * @handle: where to store the address for the device
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: As @gfp says.
 * Return: the CPU address of zeroed memory, or NULL. With
 * DMA_ATTR_NO_KERNEL_MAPPING something that is no address and means this memory
 * in other calls.
 */
void *iommu_dma_alloc(struct device *dev, size_t size, dma_addr_t *handle,
		      gfp_t gfp, unsigned long attrs)
{
	struct page *page;
	void *cpu_addr;
	int ret;

	if (!size || PAGE_ALIGN(size) < size)
		return NULL;
	gfp |= __GFP_ZERO;
	if (gfpflags_allow_blocking(gfp) && !(attrs & DMA_ATTR_FORCE_CONTIGUOUS))
		return alloc_paged(dev, size, handle, gfp, attrs);

	page = alloc_contiguous(dev, PAGE_ALIGN(size), &cpu_addr, gfp, attrs);
	if (!page)
		return NULL;
	ret = iommu_dma_map_alloc(dev, page_to_phys(page), size,
				  dev->coherent_dma_mask,
				  iommu_dma_prot(dev, DMA_BIDIRECTIONAL, attrs),
				  attrs, handle);
	if (!ret)
		return cpu_addr;
	if (ret != -EBUSY)
		memory_free(dev, size, cpu_addr, page);
	return NULL;
}

/**
 * iommu_dma_free - undo iommu_dma_alloc()
 * @dev: device
 * @size: bytes, as for iommu_dma_alloc()
 * @cpu_addr: what iommu_dma_alloc() returned
 * @handle: the address for the device
 * @attrs: as for iommu_dma_alloc()
 *
 * Memory that has been freed before is reported and left alone.
 *
 * Context: May sleep where iommu_dma_alloc() might have.
 */
void iommu_dma_free(struct device *dev, size_t size, void *cpu_addr,
		    dma_addr_t handle, unsigned long attrs)
{
	struct page *page = first_page(cpu_addr);

	if (!iommu_dma_unmap_alloc(dev, handle, size, page))
		memory_free(dev, size, cpu_addr, page);
}

/**
 * iommu_dma_mmap - map what iommu_dma_alloc() returned into a process
 * @dev: device
 * @vma: where; its offset is in pages of the memory
 * @cpu_addr: what iommu_dma_alloc() returned
 * @dma_addr: the address for the device
 * @size: bytes, as for iommu_dma_alloc()
 * @attrs: as for iommu_dma_alloc()
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory, or that has been freed; or
 * the error of mm.
 */
int iommu_dma_mmap(struct device *dev, struct vm_area_struct *vma,
		   void *cpu_addr, dma_addr_t dma_addr, size_t size,
		   unsigned long attrs)
{
	unsigned long count = PFN_UP(size);
	struct alloc_backing b;
	int ret;

	vma->vm_page_prot = dma_pgprot(dev, vma->vm_page_prot, attrs);
	if (dma_mmap_from_dev_coherent(dev, vma, cpu_addr, size, &ret))
		return ret;
	if (vma->vm_pgoff >= count || vma_pages(vma) > count - vma->vm_pgoff)
		return -ENXIO;

	b = backing_of(cpu_addr);
	if (!b.page)
		return -ENXIO;
	if (b.pages)
		return vm_map_pages(vma, b.pages, count);
	return remap_pfn_range(vma, vma->vm_start,
			       page_to_pfn(b.page) + vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

/**
 * iommu_dma_get_sgtable - describe what iommu_dma_alloc() returned by a list
 * @dev: device
 * @sgt: to be filled in; the caller frees it
 * @cpu_addr: what iommu_dma_alloc() returned
 * @dma_addr: the address for the device
 * @size: bytes, as for iommu_dma_alloc()
 * @attrs: as for iommu_dma_alloc()
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if the memory has been freed; -ENOMEM.
 */
int iommu_dma_get_sgtable(struct device *dev, struct sg_table *sgt,
			  void *cpu_addr, dma_addr_t dma_addr, size_t size,
			  unsigned long attrs)
{
	struct alloc_backing b = backing_of(cpu_addr);
	int ret;

	if (b.pages)
		return sg_alloc_table_from_pages(sgt, b.pages,
						 PFN_UP(size), 0, size,
						 GFP_KERNEL);
	if (!b.page)
		return -ENXIO;
	ret = sg_alloc_table(sgt, 1, GFP_KERNEL);
	if (!ret)
		sg_set_page(sgt->sgl, b.page, PAGE_ALIGN(size), 0);
	return ret;
}

/*
 * Non-contiguous memory.
 */

/**
 * struct noncontiguous - a non-contiguous allocation
 * @sgt: what the driver sees of the allocation
 * @pages: its pages
 */
struct noncontiguous {
	struct sg_table sgt;
	struct page **pages;
};

static struct noncontiguous *to_noncontiguous(struct sg_table *sgt)
{
	return container_of(sgt, struct noncontiguous, sgt);
}

/**
 * iommu_dma_alloc_noncontiguous - allocate pages that are one DMA range
 * @dev: device
 * @size: bytes
 * @dir: direction of the transfers
 * @gfp: how to allocate
 * @attrs: DMA_ATTR_*
 *
 * Context: Process; may sleep.
 * Return: zeroed pages, mapped as one segment; NULL if memory or addresses are
 * short.
 */
struct sg_table *iommu_dma_alloc_noncontiguous(struct device *dev, size_t size,
					       enum dma_data_direction dir,
					       gfp_t gfp, unsigned long attrs)
{
	struct noncontiguous *nc;
	dma_addr_t addr;

	nc = kmalloc(sizeof(*nc), gfp & ~IOMMU_DMA_ZONE_GFP);
	if (!nc)
		return NULL;
	nc->pages = pages_create(dev, size, PAGE_SIZE, &nc->sgt, &addr,
				 gfp | __GFP_ZERO, attrs);
	if (!nc->pages) {
		kfree(nc);
		return NULL;
	}
	sg_dma_address(nc->sgt.sgl) = addr;
	sg_dma_len(nc->sgt.sgl) =
		ALIGN(size, cookie_granule(iommu_dma_dev_cookie(dev)));
	return &nc->sgt;
}

/**
 * iommu_dma_free_noncontiguous - undo iommu_dma_alloc_noncontiguous()
 * @dev: device
 * @size: bytes
 * @sgt: what iommu_dma_alloc_noncontiguous() returned
 * @dir: direction of the transfers
 *
 * Context: Process; may sleep.
 */
void iommu_dma_free_noncontiguous(struct device *dev, size_t size,
				  struct sg_table *sgt,
				  enum dma_data_direction dir)
{
	struct noncontiguous *nc = to_noncontiguous(sgt);

	if (!__iommu_dma_unmap(dev, sg_dma_address(sgt->sgl), size))
		pages_free(nc->pages, pages_created(dev, size));
	sg_free_table(sgt);
	kfree(nc);
}

/**
 * iommu_dma_vmap_noncontiguous - map non-contiguous pages for the CPU
 * @dev: device
 * @size: bytes
 * @sgt: what iommu_dma_alloc_noncontiguous() returned
 *
 * Context: Process; may sleep.
 * Return: the CPU address of the first byte, for vunmap(); or NULL.
 */
void *iommu_dma_vmap_noncontiguous(struct device *dev, size_t size,
				   struct sg_table *sgt)
{
	return vmap(to_noncontiguous(sgt)->pages, PFN_UP(size), VM_MAP,
		    PAGE_KERNEL);
}

/**
 * iommu_dma_mmap_noncontiguous - map non-contiguous pages into a process
 * @dev: device
 * @vma: where; its offset is in pages of the memory
 * @size: bytes
 * @sgt: what iommu_dma_alloc_noncontiguous() returned
 *
 * Context: Process; may sleep.
 * Return: 0; -ENXIO if @vma is not within the memory; or the error of mm.
 */
int iommu_dma_mmap_noncontiguous(struct device *dev, struct vm_area_struct *vma,
				 size_t size, struct sg_table *sgt)
{
	unsigned long count = PFN_UP(size);

	if (vma->vm_pgoff >= count || vma_pages(vma) > count - vma->vm_pgoff)
		return -ENXIO;
	return vm_map_pages(vma, to_noncontiguous(sgt)->pages, count);
}
