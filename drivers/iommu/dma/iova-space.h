/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses: who gets which range of an IOMMU address space.
 *
 * The model is described in iova-space.c. Everything here counts in granules
 * (the smallest IOMMU page of the domain); "last" is inclusive throughout, so
 * that the top of the address space needs no special case.
 */
#ifndef _IOVA_SPACE_H
#define _IOVA_SPACE_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/types.h>

#include "iova-pool.h"

struct iova_cpu;

/**
 * struct iova_space - the addresses of one domain
 * @pool: chunks and extents
 * @cpu: what each CPU allocates from
 * @list: entry in the list of all spaces
 * @spare: an extent kept for the next large range, or NULL
 * @retired: per epoch, what waits for the flush of that epoch
 * @retiring: per epoch, chunks that are about to be added to @retired
 * @recycling: what has been flushed and not yet freed; the caller serialises
 * @recycling_epoch: the epoch that @recycling belongs to; likewise
 */
struct iova_space {
	struct iova_pool pool;
	struct iova_cpu __percpu *cpu;
	struct list_head list;
	struct iova_extent *spare;
	struct llist_head retired[IOVA_EPOCHS];
	atomic_t retiring[IOVA_EPOCHS];
	struct llist_node *recycling;
	unsigned int recycling_epoch;
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
unsigned long iova_space_size(struct iova_space *space, unsigned long first);
void iova_space_unclaim(struct iova_space *space,
			const struct iova_range *range);
void iova_space_release(struct iova_space *space,
			const struct iova_range *range);
void iova_space_retire(struct iova_space *space, const struct iova_range *range,
		       unsigned int epoch);
void iova_space_recycle_start(struct iova_space *space, unsigned int epoch);
bool iova_space_recycle(struct iova_space *space, unsigned int budget);

/* Whether ranges have retired into @epoch since it was last recycled */
static inline bool iova_space_has_retired(const struct iova_space *space,
					  unsigned int epoch)
{
	/* [I] pairs with [J] in retire_queue(): first this, and then the list */
	return atomic_read_acquire(&space->retiring[epoch]) ||
	       !llist_empty(&space->retired[epoch]);
}

#endif /* _IOVA_SPACE_H */
