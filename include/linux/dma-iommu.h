/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The DMA API for devices behind an IOMMU.
 *
 * Drivers use <linux/dma-mapping.h> and need nothing from here. This header is
 * for architecture and bus code that sets DMA operations by a table, and for
 * tests.
 */
#ifndef _LINUX_DMA_IOMMU_H
#define _LINUX_DMA_IOMMU_H

#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>

#ifdef CONFIG_IOMMU_DMA
/*
 * The operations of the DMA-IOMMU layer, for devices whose dma_iommu is set and
 * for no others. The DMA core calls the same functions without the table.
 */
extern const struct dma_map_ops iommu_dma_ops;
#endif

/*
 * Cache maintenance of many buffers: like arch_sync_dma_for_device() and
 * arch_sync_dma_for_cpu(), but complete only when arch_sync_dma_flush()
 * returns, so that there is one wait for all buffers.
 */
#ifdef CONFIG_ARCH_HAS_BATCHED_DMA_SYNC
void arch_sync_dma_for_device_noflush(phys_addr_t phys, size_t size,
				      enum dma_data_direction dir);
void arch_sync_dma_for_cpu_noflush(phys_addr_t phys, size_t size,
				   enum dma_data_direction dir);
void arch_sync_dma_flush(void);
#else
static inline void arch_sync_dma_for_device_noflush(phys_addr_t phys,
						    size_t size,
						    enum dma_data_direction dir)
{
	arch_sync_dma_for_device(phys, size, dir);
}

static inline void arch_sync_dma_for_cpu_noflush(phys_addr_t phys, size_t size,
						 enum dma_data_direction dir)
{
	arch_sync_dma_for_cpu(phys, size, dir);
}

static inline void arch_sync_dma_flush(void)
{
}
#endif

#endif /* _LINUX_DMA_IOMMU_H */
