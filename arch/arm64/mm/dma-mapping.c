// SPDX-License-Identifier: GPL-2.0
/*
 * arm64: cache maintenance for DMA, and setting up of devices.
 *
 * A device that does not snoop works on memory, the point of coherency for all.
 * Before it reads or writes, dirty lines have to be written back to memory. A
 * clean is enough, even for memory that the device will write, as clean lines
 * are only dropped later. After the device has written, lines that the CPU has
 * fetched in the meantime are stale and have to be invalidated.
 *
 * Maintenance by address need only be complete at the next DSB, so it is issued
 * for all buffers before one DSB is executed.
 */

#include <linux/dma-iommu.h>
#include <linux/dma-map-ops.h>
#include <linux/mm.h>

#include <asm/alternative.h>
#include <asm/barrier.h>
#include <asm/cache.h>
#include <asm/cpufeature.h>
#include <asm/xen/xen-ops.h>

/* Bytes of the smallest cache line in the system, a power of two */
static unsigned long line_size(void)
{
	u64 ctr = arm64_ftr_reg_ctrel0.sys_val;

	return 4UL << cpuid_feature_extract_unsigned_field(ctr, CTR_EL0_DminLine_SHIFT);
}

static void clean_line(unsigned long addr)
{
	asm volatile(ALTERNATIVE("dc cvac, %0", "dc civac, %0",
				 ARM64_WORKAROUND_CLEAN_CACHE)
		     : : "r" (addr) : "memory");
}

static void clean_and_invalidate_line(unsigned long addr)
{
	asm volatile("dc civac, %0" : : "r" (addr) : "memory");
}

static void invalidate_line(unsigned long addr)
{
	asm volatile("dc ivac, %0" : : "r" (addr) : "memory");
}

/**
 * arch_sync_dma_for_device_noflush - write memory back for a device to see
 * @phys: first byte
 * @size: bytes
 * @dir: direction of the transfer
 *
 * Context: Any. Complete when arch_sync_dma_flush() returns.
 */
void arch_sync_dma_for_device_noflush(phys_addr_t phys, size_t size,
				      enum dma_data_direction dir)
{
	unsigned long start = (unsigned long)phys_to_virt(phys);
	unsigned long line = line_size(), addr;

	for (addr = round_down(start, line); addr < start + size; addr += line)
		clean_line(addr);
}

/**
 * arch_sync_dma_for_cpu_noflush - invalidate what caches hold of memory
 * @phys: first byte
 * @size: bytes
 * @dir: direction of the transfer; nothing is done for DMA_TO_DEVICE
 *
 * Context: Any. Complete when arch_sync_dma_flush() returns.
 */
void arch_sync_dma_for_cpu_noflush(phys_addr_t phys, size_t size,
				   enum dma_data_direction dir)
{
	unsigned long start = (unsigned long)phys_to_virt(phys);
	unsigned long line = line_size();
	unsigned long addr = round_down(start, line);
	unsigned long last = round_down(start + size, line);

	if (dir == DMA_TO_DEVICE || !size)
		return;
	/*
	 * Write back what shares a line with the buffer, as it must not be
	 * lost.
	 */
	if (last < start + size)
		clean_and_invalidate_line(last);
	if (addr < start && addr < last)
		clean_and_invalidate_line(addr);
	for (addr = round_up(start, line); addr < last; addr += line)
		invalidate_line(addr);
}

/**
 * arch_sync_dma_flush - wait for all cache maintenance that was begun before
 *
 * Context: Any.
 */
void arch_sync_dma_flush(void)
{
	dsb(sy);
}

void arch_sync_dma_for_device(phys_addr_t phys, size_t size,
			      enum dma_data_direction dir)
{
	arch_sync_dma_for_device_noflush(phys, size, dir);
	arch_sync_dma_flush();
}

void arch_sync_dma_for_cpu(phys_addr_t phys, size_t size,
			   enum dma_data_direction dir)
{
	if (dir == DMA_TO_DEVICE)
		return;
	arch_sync_dma_for_cpu_noflush(phys, size, dir);
	arch_sync_dma_flush();
}

/* No dirty line of the cacheable alias may be written back from now on. */
void arch_dma_prep_coherent(struct page *page, size_t size)
{
	arch_sync_dma_for_device(page_to_phys(page), size, DMA_BIDIRECTIONAL);
}

void arch_setup_dma_ops(struct device *dev, bool coherent)
{
	int line = cache_line_size_of_cpu();

	/*
	 * kmalloc() buffers would share a cache line, in spite of their
	 * alignment.
	 */
	WARN_TAINT(!coherent && line > ARCH_DMA_MINALIGN,
		   TAINT_CPU_OUT_OF_SPEC,
		   "%s: not coherent, and the CPU's cache lines of %d bytes exceed ARCH_DMA_MINALIGN (%d)",
		   dev_name(dev), line, ARCH_DMA_MINALIGN);
	dev->dma_coherent = coherent;
	xen_setup_dma_ops(dev);
}
