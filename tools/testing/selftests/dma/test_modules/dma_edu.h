/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dma_edu: a driver that tests the DMA API with a device's own DMA.
 *
 * The rooms of the module:
 *
 *   dma_edu_core.c    the device: probe, one transfer at a time, debugfs
 *   dma_edu_stream.c  streaming mappings: lists, faults, bouncing, sync
 *   dma_edu_list.c    lists of every shape, as one segment and as several
 *   dma_edu_limit.c   what the device can do, and lists that are refused
 *   dma_edu_live.c    mappings that live while others come and go
 *   dma_edu_alloc.c   allocations: coherent, non-contiguous, mmap
 *   dma_edu_owner.c   a driver that takes the IOMMU for itself
 *   dma_edu_hostile.c DMA where nothing is mapped
 *   dma_edu_fail.c    each allocation of a call fails in turn
 *
 * An operation is a function that gets its words and returns 0 (passed),
 * 1 (skipped: the machine lacks what it needs) or a negative error (failed).
 * What it has to say goes to edu_note(), which the reader of the debugfs file
 * "result" gets after the first line.
 */
#ifndef DMA_EDU_H
#define DMA_EDU_H

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
 * straddle every join between two pages sooner or later.
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

/**
 * struct edu_op - one operation
 * @name: first word of the line written to "run"
 * @run: the operation; @argv[0] is its name
 */
struct edu_op {
	const char *name;
	int (*run)(struct edu *edu, int argc, char **argv);
};

extern const struct edu_op edu_stream_ops[];
extern const struct edu_op edu_list_ops[];
extern const struct edu_op edu_limit_ops[];
extern const struct edu_op edu_live_ops[];
extern const struct edu_op edu_alloc_ops[];
extern const struct edu_op edu_owner_ops[];
extern const struct edu_op edu_hostile_ops[];
extern const struct edu_op edu_fail_ops[];

__printf(2, 3) void edu_note(struct edu *edu, const char *fmt, ...);

int edu_start(struct edu *edu, dma_addr_t addr, size_t off, size_t len,
	      bool to_memory);
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

int edu_mem_mmap(struct edu *edu, struct vm_area_struct *vma);
void edu_mem_release(struct edu *edu);
void edu_held_release(struct edu *edu);

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

#endif /* DMA_EDU_H */
