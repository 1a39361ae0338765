/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The watch on one domain. See dma_watch_core.c.
 */
#ifndef DMA_WATCH_CORE_H
#define DMA_WATCH_CORE_H

#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>

#include "dma_command.h"

#define WATCH_SKIP	DMA_COMMAND_SKIP

/* Flushes that may be under way, or not begun, at a time; a power of two. */
#define WATCH_FLUSHES	64

/* Strict unmaps that may be under way at a time. */
#define WATCH_GATHERS	32

/* Page-table pages that are followed at a time. */
#define WATCH_TABLES	256

#define WATCH_TASKS	8

/**
 * struct watch_task - what the watch knows of a thread of ours
 * @task: the thread
 * @turn: the first flush that covers its last unmap
 * @open: it has unmapped something strictly and not invalidated it
 */
struct watch_task {
	struct task_struct *task;
	u32 turn;
	bool open;
};

/**
 * struct watch_gather - a strict unmap under way
 * @gather: names it; NULL when the entry is free
 * @first: lowest granule
 * @last: highest granule
 */
struct watch_gather {
	struct iommu_iotlb_gather *gather;
	unsigned long first;
	unsigned long last;
};

/**
 * struct watch_table - a page-table page that an unmap has left over
 * @page: the page; the watch has a reference to it
 * @gather: the strict unmap that frees it, or NULL
 * @turn: the flush that frees it otherwise
 * @flushed: it may be freed
 */
struct watch_table {
	struct page *page;
	struct iommu_iotlb_gather *gather;
	u32 turn;
	bool flushed;
};

/**
 * struct watch - the domain under watch
 * @dev: the device
 * @domain: its domain
 * @ops: the domain's own operations
 * @hooked: a copy of them with ours in it
 * @shift: log2 of the granule in bytes
 * @granules: granules that are watched, from address 0 on
 * @state: per granule, WATCH_FREE, WATCH_MAPPED, or, once unmapped, the flush
 *	after which the address may be used again
 * @guard: granules that must stay unmapped behind every mapping
 * @started: whole-domain flushes that have begun
 * @tasks: our threads
 * @mapped: granules that are mapped
 * @unmaps: how often unmap_pages() was called
 * @queued: how often by somebody who puts the invalidation off
 * @syncs: how often iotlb_sync() was called
 * @wrongs: broken rules
 * @command: what scripts ask for, one operation at a time
 * @lock: protects all that follows
 * @finished: the latest flush that has ended
 * @since: by flush, when the first unmap that it covers returned; 0 for none
 * @longest: longest time from an unmap's return to the end of its flush
 * @gathers: strict unmaps under way
 * @follow: page-table pages are followed
 * @tables: these
 * @nr_tables: how many
 * @rule: the first broken rule
 * @where: at which address
 */
struct watch {
	struct device *dev;
	struct iommu_domain *domain;
	const struct iommu_domain_ops *ops;
	struct iommu_domain_ops hooked;
	unsigned int shift;
	unsigned long granules;
	u32 *state;
	unsigned int guard;
	atomic_t started;
	struct watch_task tasks[WATCH_TASKS];
	atomic_long_t mapped;
	atomic_long_t unmaps;
	atomic_long_t queued;
	atomic_long_t syncs;
	atomic_t wrongs;
	struct dma_command command;

	raw_spinlock_t lock;	/* protects all that follows */
	u32 finished;
	u64 since[WATCH_FLUSHES];
	u64 longest;
	struct watch_gather gathers[WATCH_GATHERS];
	bool follow;
	struct watch_table tables[WATCH_TABLES];
	unsigned int nr_tables;
	const char *rule;
	u64 where;
};

struct watch *watch_install(struct device *dev, unsigned int guard);
void watch_remove(struct watch *watch);

__printf(1, 2) void watch_note(const char *fmt, ...);
void watch_wrong(struct watch *watch, const char *rule, u64 where);
void watch_begin(struct watch *watch);
int watch_verdict(struct watch *watch, unsigned long bound_us);
void watch_returned(struct watch *watch, struct watch_task *self);
bool watch_is_mapped(struct watch *watch, unsigned long granule);
int watch_follow(struct watch *watch);
int watch_unfollow(struct watch *watch);

static inline int watch_arg(int argc, char **argv, int n, unsigned long def,
			    unsigned long *val)
{
	return dma_command_arg(argc, argv, n, def, val);
}

static inline bool watch_deferred(const struct watch *watch)
{
	return watch->domain->type == IOMMU_DOMAIN_DMA_FQ;
}

/* Bytes of a granule */
static inline size_t watch_granule(const struct watch *watch)
{
	return (size_t)1 << watch->shift;
}

#endif /* DMA_WATCH_CORE_H */
