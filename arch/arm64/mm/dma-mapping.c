// SPDX-License-Identifier: GPL-2.0
/*
 * arm64: cache maintenance for DMA, and wiring of devices.
 *
 * A device that does not snoop works on memory, the point of coherency for all.
 * Before it reads or writes, dirty lines have to be there: a clean is enough,
 * also for what it is going to write, as lines that are clean are only dropped
 * later. After it has written, lines that the CPU fetched meanwhile are stale
 * and have to be invalidated.
 */

#include <linux/dma-map-ops.h>
#include <linux/mm.h>

#include <asm/cache.h>
#include <asm/cacheflush.h>
#include <asm/xen/xen-ops.h>

void arch_sync_dma_for_device(phys_addr_t phys, size_t size,
			      enum dma_data_direction dir)
{
	unsigned long addr = (unsigned long)phys_to_virt(phys);

	dcache_clean_poc(addr, addr + size);
}

void arch_sync_dma_for_cpu(phys_addr_t phys, size_t size,
			   enum dma_data_direction dir)
{
	unsigned long addr = (unsigned long)phys_to_virt(phys);

	if (dir != DMA_TO_DEVICE)
		dcache_inval_poc(addr, addr + size);
}

/* No dirty line of the cacheable alias may be written back from now on. */
void arch_dma_prep_coherent(struct page *page, size_t size)
{
	arch_sync_dma_for_device(page_to_phys(page), size, DMA_BIDIRECTIONAL);
}

void arch_setup_dma_ops(struct device *dev, bool coherent)
{
	int line = cache_line_size_of_cpu();

	/* Then buffers that are apart for kmalloc() share a line after all. */
	WARN_TAINT(!coherent && line > ARCH_DMA_MINALIGN,
		   TAINT_CPU_OUT_OF_SPEC,
		   "%s: not coherent, and the CPU's cache lines of %d bytes exceed ARCH_DMA_MINALIGN (%d)",
		   dev_name(dev), line, ARCH_DMA_MINALIGN);
	dev->dma_coherent = coherent;
	xen_setup_dma_ops(dev);
}
