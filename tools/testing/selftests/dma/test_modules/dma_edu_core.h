/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device of dma_edu, and what its operations have in common. See
 * dma_edu_core.c.
 */
#ifndef DMA_EDU_CORE_H
#define DMA_EDU_CORE_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "dma_command.h"

#define EDU_BUF_SIZE	SZ_4K

/*
 * The most that one transfer moves. Not the whole buffer: some versions of the
 * device take a transfer that ends exactly at the buffer's end for an overrun.
 * Not a divisor of the page size: transfers that follow one another then
 * straddle every boundary between two pages sooner or later.
 */
#define EDU_CHUNK	3072

#define EDU_SKIP	DMA_COMMAND_SKIP
#define EDU_HELD	8

/**
 * struct edu_mem - the allocation that user space can map
 * @kind: how it was allocated, one of the edu_mem_kinds
 * @size: bytes; 0 when there is none
 * @cpu: kernel address, or NULL when there is no kernel mapping
 * @sgt: for a non-contiguous allocation
 * @dma: the device's address
 * @attrs: DMA attributes given to the allocation
 */
struct edu_mem {
	const struct edu_mem_kind *kind;
	size_t size;
	void *cpu;
	struct sg_table *sgt;
	dma_addr_t dma;
	unsigned long attrs;
};

/**
 * struct edu_held - a page that stays mapped while others do damage
 * @page: the memory
 * @dma: the device's address
 */
struct edu_held {
	struct page *page;
	dma_addr_t dma;
};

/**
 * struct edu - one device
 * @pdev: the PCI device
 * @regs: BAR 0
 * @irq: interrupt vector, or 0 when transfers are polled
 * @done: completed by the interrupt at the end of a transfer
 * @irqs: interrupts seen
 * @dir: this device's debugfs directory
 * @command: what scripts ask for; its lock protects all that follows
 * @mem: allocation for user space to map
 * @held: pages that stay mapped from "hold" to "release"
 */
struct edu {
	struct pci_dev *pdev;
	void __iomem *regs;
	int irq;
	struct completion done;
	atomic_t irqs;
	struct dentry *dir;

	struct dma_command command;	/* its lock protects all that follows */
	struct edu_mem mem;
	struct edu_held held[EDU_HELD];
};

__printf(2, 3) void edu_note(struct edu *edu, const char *fmt, ...);

int edu_start_write(struct edu *edu, dma_addr_t addr, size_t off, size_t len);
int edu_wait(struct edu *edu);
int edu_read(struct edu *edu, dma_addr_t addr, size_t off, size_t len);
int edu_write(struct edu *edu, dma_addr_t addr, size_t off, size_t len);
int edu_load(struct edu *edu, u8 seed);
int edu_fetch(struct edu *edu, void *dst, size_t len);

void edu_fill(void *buf, size_t len, u8 seed);
int edu_check(struct edu *edu, const char *what, const void *buf, size_t len,
	      u8 seed);
int edu_check_byte(struct edu *edu, const char *what, const void *buf,
		   size_t len, u8 byte);

struct iommu_domain *edu_domain(struct edu *edu);
bool edu_deferred(struct edu *edu);

/* No two pages, and no two places in a page, look alike. */
static inline u8 edu_pattern(size_t i, u8 seed)
{
	return seed + i + (i >> 8) * 31 + (i >> 12) * 7;
}

static inline int edu_arg(int argc, char **argv, int n, unsigned long def,
			  unsigned long *val)
{
	return dma_command_arg(argc, argv, n, def, val);
}

static inline struct device *edu_dev(struct edu *edu)
{
	return &edu->pdev->dev;
}

#endif /* DMA_EDU_CORE_H */
