// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations: every way to get memory that CPU and device share, of every
 * size, filled by the device and read by the CPU, in the kernel or through a
 * mapping in user space.
 *
 * For user space: "alloc KIND SIZE", then "fill SEED" lets the device write its
 * pieces; the program dma_mmap maps the file "mem", checks the pieces and
 * writes its own; "verify SEED" lets the device read those; "free".
 */
#include <linux/dmapool.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "dma_edu_core.h"
#include "dma_edu_ops.h"

/* A piece of a buffer; there are three: at its start, middle and end. */
#define EDU_PIECE	1024

/**
 * struct edu_mem_kind - a way to allocate
 * @name: what scripts call it
 * @attrs: DMA attributes
 * @noncontig: with dma_alloc_noncontiguous()
 */
struct edu_mem_kind {
	const char *name;
	unsigned long attrs;
	bool noncontig;
};

static const struct edu_mem_kind edu_mem_kinds[] = {
	{ "coherent" },
	{ "writecombine", DMA_ATTR_WRITE_COMBINE },
	{ "contiguous", DMA_ATTR_FORCE_CONTIGUOUS },
	{ "pagewise", DMA_ATTR_ALLOC_SINGLE_PAGES },
	{ "nokernel", DMA_ATTR_NO_KERNEL_MAPPING },
	{ "noncontiguous", 0, true },
	{ }
};

static size_t edu_piece(const struct edu_mem *mem, int i)
{
	return i == 0 ? 0 : i == 1 ? mem->size / 2 : mem->size - EDU_PIECE;
}

static const struct edu_mem_kind *edu_mem_find(const char *name)
{
	const struct edu_mem_kind *kind;

	for (kind = edu_mem_kinds; kind->name; kind++)
		if (!strcmp(kind->name, name))
			return kind;
	return NULL;
}

static int edu_mem_get_noncontig(struct edu *edu, struct edu_mem *mem)
{
	struct device *dev = edu_dev(edu);

	/* Unlike the others, this one is zeroed only on request. */
	mem->sgt = dma_alloc_noncontiguous(dev, mem->size, DMA_BIDIRECTIONAL,
					   GFP_KERNEL | __GFP_ZERO, 0);
	if (!mem->sgt)
		return -ENOMEM;
	mem->dma = sg_dma_address(mem->sgt->sgl);
	mem->cpu = dma_vmap_noncontiguous(dev, mem->size, mem->sgt);
	if (mem->cpu && mem->sgt->nents == 1 &&
	    sg_dma_len(mem->sgt->sgl) >= mem->size)
		return 0;
	edu_note(edu, "%u segments, kernel address %d\n", mem->sgt->nents,
		 !!mem->cpu);
	if (mem->cpu)
		dma_vunmap_noncontiguous(dev, mem->cpu);
	dma_free_noncontiguous(dev, mem->size, mem->sgt, DMA_BIDIRECTIONAL);
	return -EINVAL;
}

static int edu_mem_get(struct edu *edu, struct edu_mem *mem,
		       const struct edu_mem_kind *kind, size_t size, gfp_t gfp)
{
	memset(mem, 0, sizeof(*mem));
	mem->kind = kind;
	mem->attrs = kind->attrs;
	mem->size = size;
	if (kind->noncontig)
		return edu_mem_get_noncontig(edu, mem);
	mem->cpu = dma_alloc_attrs(edu_dev(edu), size, &mem->dma,
				   gfp | __GFP_NOWARN, mem->attrs);
	return mem->cpu ? 0 : -ENOMEM;
}

static void edu_mem_put(struct edu *edu, struct edu_mem *mem)
{
	struct device *dev = edu_dev(edu);

	if (!mem->size)
		return;
	if (mem->kind->noncontig) {
		dma_vunmap_noncontiguous(dev, mem->cpu);
		dma_free_noncontiguous(dev, mem->size, mem->sgt,
				       DMA_BIDIRECTIONAL);
	} else {
		dma_free_attrs(dev, mem->size, mem->cpu, mem->dma, mem->attrs);
	}
	mem->size = 0;
}

static bool edu_mem_readable(const struct edu_mem *mem)
{
	return !(mem->attrs & DMA_ATTR_NO_KERNEL_MAPPING);
}

static void edu_mem_for_cpu(struct edu *edu, struct edu_mem *mem)
{
	if (!mem->kind->noncontig)
		return;
	dma_sync_sgtable_for_cpu(edu_dev(edu), mem->sgt, DMA_BIDIRECTIONAL);
	invalidate_kernel_vmap_range(mem->cpu, mem->size);
}

static void edu_mem_for_device(struct edu *edu, struct edu_mem *mem)
{
	if (!mem->kind->noncontig)
		return;
	flush_kernel_vmap_range(mem->cpu, mem->size);
	dma_sync_sgtable_for_device(edu_dev(edu), mem->sgt, DMA_BIDIRECTIONAL);
}

/* The address is within the mask, and new memory is zero. */
static int edu_mem_fresh(struct edu *edu, struct edu_mem *mem)
{
	dma_addr_t last = mem->dma + mem->size - 1;

	if (last < mem->dma || last > edu_dev(edu)->coherent_dma_mask ||
	    mem->dma & ~PAGE_MASK) {
		edu_note(edu, "%s %zu bytes at %pad\n", mem->kind->name,
			 mem->size, &mem->dma);
		return -ERANGE;
	}
	/* DMA-API-HOWTO: what is 64 KiB or less does not cross such a border. */
	if (!mem->kind->noncontig && mem->size <= SZ_64K &&
	    (mem->dma ^ last) & ~(dma_addr_t)(SZ_64K - 1)) {
		edu_note(edu, "%s %zu bytes at %pad cross 64 KiB\n",
			 mem->kind->name, mem->size, &mem->dma);
		return -ERANGE;
	}
	if (!edu_mem_readable(mem))
		return 0;
	return edu_check_byte(edu, "fresh memory", mem->cpu, mem->size, 0);
}

/* The device writes its buffer's first bytes to the pieces. */
static int edu_mem_device_write(struct edu *edu, struct edu_mem *mem, int step)
{
	int i, ret = 0;

	edu_mem_for_device(edu, mem);
	for (i = 0; !ret && i < 3; i += step)
		ret = edu_write(edu, mem->dma + edu_piece(mem, i), 0, EDU_PIECE);
	edu_mem_for_cpu(edu, mem);
	return ret;
}

static int edu_mem_check(struct edu *edu, struct edu_mem *mem, u8 seed, int step)
{
	int i, ret = 0;

	for (i = 0; !ret && i < 3; i += step)
		ret = edu_check(edu, mem->kind->name,
				mem->cpu + edu_piece(mem, i), EDU_PIECE, seed);
	return ret;
}

/* Where a driver holds a lock. */
static int edu_mem_get_atomic(struct edu *edu, struct edu_mem *mem,
			      const struct edu_mem_kind *kind, size_t size)
{
	static DEFINE_SPINLOCK(lock);
	int ret;

	spin_lock(&lock);
	ret = edu_mem_get(edu, mem, kind, size, GFP_ATOMIC);
	spin_unlock(&lock);
	return ret;
}

static int edu_class_one(struct edu *edu, const struct edu_mem_kind *kind,
			 size_t size, bool atomic)
{
	struct edu_mem mem;
	int ret;

	ret = atomic ? edu_mem_get_atomic(edu, &mem, kind, size) :
		       edu_mem_get(edu, &mem, kind, size, GFP_KERNEL);
	if (ret) {
		edu_note(edu, "%s %zu bytes%s: no memory\n", kind->name, size,
			 atomic ? " atomic" : "");
		/* Without sleeping only the small ones are certain. */
		return atomic && size > SZ_16K ? 0 : ret;
	}
	ret = edu_mem_fresh(edu, &mem) ?: edu_mem_device_write(edu, &mem, 2);
	if (!ret && edu_mem_readable(&mem))
		ret = edu_mem_check(edu, &mem, 51, 2);
	edu_mem_put(edu, &mem);
	if (ret)
		edu_note(edu, "%s %zu bytes%s: %d\n", kind->name, size,
			 atomic ? " atomic" : "", ret);
	return ret;
}

/* classes KIND [atomic]: every size that drivers ask for. */
static int edu_op_classes(struct edu *edu, int argc, char **argv)
{
	static const size_t odd[] = { SZ_8K + SZ_4K, 100 * SZ_1K, SZ_1M + SZ_4K };
	const struct edu_mem_kind *kind = argc > 1 ? edu_mem_find(argv[1]) : NULL;
	bool atomic = argc > 2 && !strcmp(argv[2], "atomic");
	size_t size, max = atomic ? SZ_64K : SZ_4M;
	int i, ret, n = 0;

	if (!kind)
		return -EINVAL;
	ret = edu_load(edu, 51);
	for (size = SZ_4K; !ret && size <= max; size *= 2, n++)
		ret = edu_class_one(edu, kind, size, atomic);
	for (i = 0; !ret && !atomic && i < ARRAY_SIZE(odd); i++, n++)
		ret = edu_class_one(edu, kind, odd[i], atomic);
	edu_note(edu, "%d sizes up to %zu\n", n, max);
	return ret;
}

static int edu_op_alloc(struct edu *edu, int argc, char **argv)
{
	const struct edu_mem_kind *kind = argc > 1 ? edu_mem_find(argv[1]) : NULL;
	unsigned long size;
	int ret;

	if (!kind || edu_arg(argc, argv, 2, SZ_64K, &size) ||
	    size < SZ_4K || edu->mem.size)
		return -EINVAL;
	ret = edu_mem_get(edu, &edu->mem, kind, size, GFP_KERNEL);
	if (ret) {
		edu->mem.size = 0;
		return ret;
	}
	edu_note(edu, "%s %lu bytes at %pad\n", kind->name, size, &edu->mem.dma);
	return edu_mem_fresh(edu, &edu->mem);
}

static int edu_op_fill(struct edu *edu, int argc, char **argv)
{
	unsigned long seed;
	int ret;

	if (edu_arg(argc, argv, 1, 1, &seed) || !edu->mem.size)
		return -EINVAL;
	ret = edu_load(edu, seed) ?: edu_mem_device_write(edu, &edu->mem, 1);
	if (!ret && edu_mem_readable(&edu->mem))
		ret = edu_mem_check(edu, &edu->mem, seed, 1);
	return ret;
}

static int edu_op_verify(struct edu *edu, int argc, char **argv)
{
	struct edu_mem *mem = &edu->mem;
	unsigned long seed;
	u8 *seen;
	int i, ret = 0;

	if (edu_arg(argc, argv, 1, 1, &seed) || !mem->size)
		return -EINVAL;
	seen = kmalloc(EDU_PIECE, GFP_KERNEL);
	if (!seen)
		return -ENOMEM;
	edu_mem_for_device(edu, mem);
	for (i = 0; !ret && i < 3; i++)
		ret = edu_read(edu, mem->dma + edu_piece(mem, i), 0, EDU_PIECE) ?:
		      edu_fetch(edu, seen, EDU_PIECE) ?:
		      edu_check(edu, "what the device read", seen, EDU_PIECE, seed);
	edu_mem_for_cpu(edu, mem);
	kfree(seen);
	return ret;
}

static void edu_mem_release(struct edu *edu)
{
	edu_mem_put(edu, &edu->mem);
}

static int edu_op_free(struct edu *edu, int argc, char **argv)
{
	edu_mem_release(edu);
	return 0;
}

/* Map what "alloc" got into user space. */
static int edu_mem_mmap(struct edu *edu, struct vm_area_struct *vma)
{
	struct edu_mem *mem = &edu->mem;

	if (!mem->size)
		return -ENXIO;
	if (mem->kind->noncontig)
		return dma_mmap_noncontiguous(edu_dev(edu), vma, mem->size,
					      mem->sgt);
	if (!dma_can_mmap(edu_dev(edu)))
		return -EOPNOTSUPP;
	return dma_mmap_attrs(edu_dev(edu), vma, mem->cpu, mem->dma, mem->size,
			      mem->attrs);
}

static int edu_mem_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct edu *edu = file->private_data;
	int ret;

	mutex_lock(&edu->command.lock);
	ret = edu_mem_mmap(edu, vma);
	mutex_unlock(&edu->command.lock);
	return ret;
}

const struct file_operations edu_mem_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.mmap = edu_mem_file_mmap,
};

/* Do the pages of @sgt lie where the device's addresses lead? */
static int edu_sgtable_check(struct edu *edu, struct edu_mem *mem,
			     struct sg_table *sgt)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct sg_page_iter iter;
	size_t pos = 0;

	for_each_sgtable_page(sgt, &iter, 0) {
		phys_addr_t phys = page_to_phys(sg_page_iter_page(&iter));

		if (iommu_iova_to_phys(domain, mem->dma + pos) != phys) {
			edu_note(edu, "byte %zu is not at %pa\n", pos, &phys);
			return -EILSEQ;
		}
		pos += PAGE_SIZE;
	}
	if (pos == PAGE_ALIGN(mem->size))
		return 0;
	edu_note(edu, "the table has %zu bytes, the buffer %zu\n", pos, mem->size);
	return -ERANGE;
}

/* sgtable KIND [SIZE]: the pages of an allocation as a table. */
static int edu_op_sgtable(struct edu *edu, int argc, char **argv)
{
	const struct edu_mem_kind *kind = argc > 1 ? edu_mem_find(argv[1]) : NULL;
	struct sg_table sgt;
	struct edu_mem mem;
	unsigned long size;
	int ret;

	if (!kind || kind->noncontig || edu_arg(argc, argv, 2, SZ_256K, &size))
		return -EINVAL;
	if (!edu_domain(edu))
		return EDU_SKIP;
	ret = edu_mem_get(edu, &mem, kind, size, GFP_KERNEL);
	if (ret)
		return ret;
	ret = dma_get_sgtable_attrs(edu_dev(edu), &sgt, mem.cpu, mem.dma,
				    mem.size, mem.attrs);
	if (!ret) {
		edu_note(edu, "%u entries\n", sgt.orig_nents);
		ret = edu_sgtable_check(edu, &mem, &sgt);
		sg_free_table(&sgt);
	}
	edu_mem_put(edu, &mem);
	return ret;
}

/* contiguous [SIZE]: DMA_ATTR_FORCE_CONTIGUOUS means physically. */
static int edu_op_contiguous(struct edu *edu, int argc, char **argv)
{
	struct iommu_domain *domain = edu_domain(edu);
	struct edu_mem mem;
	unsigned long size;
	phys_addr_t phys;
	size_t pos;
	int ret;

	if (edu_arg(argc, argv, 1, SZ_256K, &size))
		return -EINVAL;
	if (!domain)
		return EDU_SKIP;
	ret = edu_mem_get(edu, &mem, edu_mem_find("contiguous"), size, GFP_KERNEL);
	if (ret)
		return ret;
	phys = iommu_iova_to_phys(domain, mem.dma);
	for (pos = 0; !ret && pos < size; pos += PAGE_SIZE) {
		if (iommu_iova_to_phys(domain, mem.dma + pos) == phys + pos)
			continue;
		edu_note(edu, "not contiguous after %zu bytes\n", pos);
		ret = -EILSEQ;
	}
	edu_mem_put(edu, &mem);
	return ret;
}

static int edu_pages_move(struct edu *edu, struct page *page, size_t size,
			  dma_addr_t dma)
{
	struct device *dev = edu_dev(edu);
	u8 *cpu = page_address(page);
	int ret;

	edu_fill(cpu, EDU_CHUNK, 61);
	dma_sync_single_for_device(dev, dma, size, DMA_BIDIRECTIONAL);
	ret = edu_read(edu, dma, 0, EDU_CHUNK) ?:
	      edu_write(edu, dma + size - EDU_CHUNK, 0, EDU_CHUNK);
	dma_sync_single_for_cpu(dev, dma, size, DMA_BIDIRECTIONAL);
	return ret ?: edu_check(edu, "pages", cpu + size - EDU_CHUNK, EDU_CHUNK, 61);
}

/* pages: dma_alloc_pages(), there and back. */
static int edu_op_pages(struct edu *edu, int argc, char **argv)
{
	struct device *dev = edu_dev(edu);
	size_t size = SZ_16K;
	struct page *page;
	dma_addr_t dma;
	int ret;

	page = dma_alloc_pages(dev, size, &dma, DMA_BIDIRECTIONAL, GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	ret = edu_pages_move(edu, page, size, dma);
	dma_free_pages(dev, size, page, dma, DMA_BIDIRECTIONAL);
	return ret;
}

#define EDU_POOL_N	100
#define EDU_POOL_SIZE	192

static int edu_pool_use(struct edu *edu, struct dma_pool *pool, void **cpu,
			dma_addr_t *dma)
{
	int i, ret = 0;

	for (i = 0; i < EDU_POOL_N; i++) {
		cpu[i] = dma_pool_zalloc(pool, GFP_KERNEL, &dma[i]);
		if (!cpu[i])
			return -ENOMEM;
		memset(cpu[i], i, EDU_POOL_SIZE);
	}
	ret = edu_read(edu, dma[7], 0, EDU_POOL_SIZE) ?:
	      edu_write(edu, dma[93], 0, EDU_POOL_SIZE);
	for (i = 0; !ret && i < EDU_POOL_N; i++)
		ret = edu_check_byte(edu, "pool", cpu[i], EDU_POOL_SIZE,
				     i == 93 ? 7 : i);
	return ret;
}

/* pool: descriptors from a dma_pool. */
static int edu_op_pool(struct edu *edu, int argc, char **argv)
{
	struct dma_pool *pool;
	dma_addr_t *dma;
	void **cpu;
	int i, ret = -ENOMEM;

	cpu = kcalloc(EDU_POOL_N, sizeof(*cpu), GFP_KERNEL);
	dma = kcalloc(EDU_POOL_N, sizeof(*dma), GFP_KERNEL);
	pool = dma_pool_create("dma_edu", edu_dev(edu), EDU_POOL_SIZE, 64, 0);
	if (cpu && dma && pool)
		ret = edu_pool_use(edu, pool, cpu, dma);
	for (i = 0; cpu && dma && i < EDU_POOL_N; i++)
		if (cpu[i])
			dma_pool_free(pool, cpu[i], dma[i]);
	dma_pool_destroy(pool);
	kfree(dma);
	kfree(cpu);
	return ret;
}

const struct edu_op edu_alloc_ops[] = {
	{ "classes", edu_op_classes },
	{ "alloc", edu_op_alloc, edu_mem_release },
	{ "fill", edu_op_fill },
	{ "verify", edu_op_verify },
	{ "free", edu_op_free },
	{ "sgtable", edu_op_sgtable },
	{ "contiguous", edu_op_contiguous },
	{ "pages", edu_op_pages },
	{ "pool", edu_op_pool },
	{ }
};
