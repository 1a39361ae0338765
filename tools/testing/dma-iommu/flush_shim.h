/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs that include flush.c have in common: an IOMMU whose only
 * operation is to invalidate all, and tables that the IOTLB may still refer to.
 */
#ifndef _FLUSH_SHIM_H
#define _FLUSH_SHIM_H

#include "flush.h"

struct table {
	struct page page;
	unsigned int id;
	unsigned long granule;
};

static void invalidate_all(struct iommu_domain *domain);

static const struct iommu_domain_ops domain_ops = {
	.flush_iotlb_all = invalidate_all,
};

static struct iommu_domain domain = { .ops = &domain_ops };

/* Everything that waits for a flush becomes free. */
static bool flush_now(struct iommu_dma_flush *flush)
{
	struct iommu_dma_reclaim reclaim = {};
	bool any = false;

	while (iommu_dma_flush_reclaim(flush, &reclaim))
		any = true;
	return any;
}

#endif /* _FLUSH_SHIM_H */
