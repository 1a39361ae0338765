/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dma_soak: a driver for any PCI device that does nothing but map and unmap.
 *
 * The rooms of the module:
 *
 *   dma_soak_core.c    the driver, what it counts, how a script gets at it
 *   dma_soak_load.c    its threads: mappings of all kinds, each looked up in the
 *                      IOMMU when it is made and before it goes
 *   dma_soak_books.c   what the layer believes to be mapped in a domain, and what
 *                      the IOMMU does
 *
 * Drivers may be taken from it at any time, CPUs may go and memory run out: it
 * is a load for soak.sh.
 */
#ifndef DMA_SOAK_H
#define DMA_SOAK_H

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/pci.h>

#include "dma_command.h"

#define SOAK_THREADS	8

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
 * struct soak_counts - what all threads have done so far
 * @maps: mappings made in a domain of the layer
 * @unmaps: and taken down again
 * @refused: asked for, and not made
 * @direct: mappings made where no IOMMU translates
 */
struct soak_counts {
	atomic64_t maps;
	atomic64_t unmaps;
	atomic64_t refused;
	atomic64_t direct;
};

/**
 * struct soak_books - what there is in a domain
 * @live: mappings that the layer has handed out
 * @doorbells: those of them that are no memory
 * @mapped: granules, among those that the layer has handed out before, that lead
 *	to memory
 * @waiting: granules that wait for a flush
 * @used: granules that are not free, or in a CPU's hands
 * @large: large ranges that are not free
 */
struct soak_books {
	unsigned long live;
	unsigned long doorbells;
	unsigned long mapped;
	unsigned long waiting;
	unsigned long used;
	unsigned long large;
};

extern struct soak_counts soak_counts;
extern unsigned int soak_pace;
extern bool soak_single;

__printf(2, 3) void soak_wrong(struct device *dev, const char *fmt, ...);
u64 soak_seed(void);

int soak_load_start(struct soak *soak);
void soak_load_stop(struct soak *soak);

struct iommu_domain *soak_domain(struct device *dev);
void soak_books_read(struct iommu_domain *domain, struct soak_books *books);

#endif /* DMA_SOAK_H */
