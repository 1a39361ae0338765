/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads that map and unmap for a device. See dma_soak_load.c.
 */
#ifndef DMA_SOAK_LOAD_H
#define DMA_SOAK_LOAD_H

#include <linux/atomic.h>
#include <linux/pci.h>
#include <linux/types.h>

#define SOAK_THREADS	8

struct iommu_domain;
struct soak_thread;

/**
 * struct soak - one device of ours
 * @pdev: the device
 * @domain: its domain if the layer has it, or NULL
 * @threads: its threads; those that are not there are NULL
 */
struct soak {
	struct pci_dev *pdev;
	struct iommu_domain *domain;
	struct soak_thread *threads[SOAK_THREADS];
};

/**
 * struct soak_counts - what all threads have done and seen so far
 * @maps: mappings made in a domain of the layer
 * @unmaps: and taken down again
 * @refused: asked for, and not made
 * @direct: mappings made where no IOMMU translates
 * @wrongs: what was not as it has to be
 */
struct soak_counts {
	atomic64_t maps;
	atomic64_t unmaps;
	atomic64_t refused;
	atomic64_t direct;
	atomic_t wrongs;
};

extern struct soak_counts soak_counts;
extern unsigned int soak_pace;
extern bool soak_single;

__printf(2, 3) void soak_wrong(struct device *dev, const char *fmt, ...);

int soak_load_start(struct soak *soak);
void soak_load_stop(struct soak *soak);

#endif /* DMA_SOAK_LOAD_H */
