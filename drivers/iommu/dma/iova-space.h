/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * The model is told in iova-space.c. Everything here counts in granules (the
 * smallest IOMMU page of the domain); "last" is inclusive throughout, so that
 * the top of the address space needs no special case.
 */
#ifndef _IOVA_SPACE_H
#define _IOVA_SPACE_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "iova-chunk.h"
#include "iova-extents.h"

/*
 * Zones keep narrow address limits from starving behind wide ones: a chunk
 * belongs to the narrowest zone that holds all of it, and a CPU keeps one
 * chunk at hand per zone.
 */
#define IOVA_ZONES		8

struct iova_cpu;

/**
 * struct iova_space - the addresses of one domain
 * @lock: protects the extents, the lists of chunks and chunk ownership
 * @extents: what is taken
 * @spare: freed last, for the next large range; or NULL
 * @chunks: chunk by granule number / IOVA_CHUNK_GRANULES, read under RCU
 * @partial: chunks that no CPU owns and that have free granules
 * @classes: by zone, bit per class with a chunk in @parked
 * @cpu_chunks: chunks that a CPU owns
 * @nr_cpu_chunks: how many
 * @nr_empty: chunks on the IOVA_CLASS_EMPTY lists
 * @dying: chunks that are to go, by &iova_extent.retired of epoch 0
 * @taken: granules of extents that end in each zone
 * @active_zones: bit per zone, set when a request needs a limit in it
 * @zone_for: by zone, which requests its chunks are for
 * @cpu: what each CPU allocates from
 * @retired: per epoch, what waits for that epoch's flush
 * @recycling: flushed but not yet given back; the caller serialises
 * @recycling_epoch: the epoch that @recycling belongs to; likewise
 * @granule_shift: log2 of the granule in bytes, to sort limits into zones
 *
 * @lock is raw and held for bounded steps, so any context may call.
 */
struct iova_space {
	raw_spinlock_t lock;
	struct iova_extents extents;
	struct iova_extent *spare;
	struct xarray chunks;
	struct list_head partial[IOVA_ZONES][IOVA_CLASSES];
	u16 classes[IOVA_ZONES];
	struct list_head cpu_chunks;
	unsigned int nr_cpu_chunks;
	unsigned int nr_empty;
	struct llist_head dying;
	unsigned long taken[IOVA_ZONES];
	u8 active_zones;
	u8 zone_for[IOVA_ZONES];
	struct iova_cpu __percpu *cpu;
	struct llist_head retired[IOVA_EPOCHS];
	struct llist_node *recycling;
	unsigned int recycling_epoch;
	unsigned int granule_shift;
};

int iova_space_init(struct iova_space *space, unsigned long first,
		    unsigned long last, unsigned int granule_shift);
void iova_space_destroy(struct iova_space *space);
int iova_space_reserve(struct iova_space *space, unsigned long first,
		       unsigned long last);

bool iova_space_alloc(struct iova_space *space, const struct iova_request *req,
		      struct iova_range *range);
unsigned long iova_space_alloc_one(struct iova_space *space,
				   unsigned long limit);
bool iova_space_claim(struct iova_space *space, unsigned long first,
		      struct iova_range *range);
bool iova_space_claim_large(struct iova_space *space, unsigned long first,
			    struct iova_range *range);
void iova_space_unclaim(struct iova_space *space,
			const struct iova_range *range);
void iova_space_release(struct iova_space *space,
			const struct iova_range *range);
void iova_space_retire(struct iova_space *space, const struct iova_range *range,
		       unsigned int epoch);
void iova_space_recycle_start(struct iova_space *space, unsigned int epoch);
bool iova_space_recycle(struct iova_space *space, unsigned int budget);

unsigned long iova_space_largest(struct iova_space *space, unsigned long limit);

#endif /* _IOVA_SPACE_H */
