// SPDX-License-Identifier: GPL-2.0
/*
 * What the KUnit suites call of the layer beside the DMA API. They may be a
 * module, and most of this is nobody's business but the IOMMU core's; so it is
 * exported by one table, and only to tests, in kernels that have these suites.
 */

#include <kunit/visibility.h>
#include <linux/export.h>

#include "test_access.h"

const struct test_access test_access = {
	.prepare_msi = iommu_dma_prepare_msi,
	.compose_msi = iommu_dma_compose_msi_msg,
	.setup_dma_ops = iommu_setup_dma_ops,
	.get_cookie = iommu_get_dma_cookie,
	.put_cookie = iommu_put_dma_cookie,
	.init_fq = iommu_dma_init_fq,
	.domain_init = iommu_dma_init_domain,
	.space_init = iova_space_init,
	.space_destroy = iova_space_destroy,
	.reserve = iova_space_reserve,
	.alloc = iova_space_alloc,
	.alloc_one = iova_space_alloc_one,
	.claim = iova_space_claim,
	.claim_large = iova_space_claim_large,
	.release = iova_space_release,
	.retire = iova_space_retire,
	.recycle_start = iova_space_recycle_start,
	.recycle = iova_space_recycle,
	.largest_gap = iova_space_largest,
	.attach_later = &iommu_dma_deferred_attach,
};
EXPORT_SYMBOL_IF_KUNIT(test_access);
