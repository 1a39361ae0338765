/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites call of the layer beside the DMA API. See test_access.c.
 */
#ifndef _DMA_TEST_ACCESS_H
#define _DMA_TEST_ACCESS_H

#include <linux/jump_label.h>

#include "../domain.h"

struct msi_desc;
struct msi_msg;

/**
 * struct test_access - functions that no module can call otherwise
 * @prepare_msi: iommu_dma_prepare_msi()
 * @compose_msi: iommu_dma_compose_msi_msg()
 * @setup_dma_ops: iommu_setup_dma_ops()
 * @get_cookie: iommu_get_dma_cookie()
 * @put_cookie: iommu_put_dma_cookie()
 * @init_fq: iommu_dma_init_fq()
 * @domain_init: iommu_dma_init_domain()
 * @space_init: iova_space_init(), and likewise for all that follow
 * @space_destroy: what its name says
 * @reserve: likewise
 * @alloc: likewise
 * @alloc_one: likewise
 * @claim: likewise
 * @claim_large: likewise
 * @release: likewise
 * @retire: likewise
 * @recycle_start: likewise
 * @recycle: likewise
 * @largest_gap: likewise
 * @attach_later: a kdump kernel's, which puts off attaching devices
 */
struct test_access {
	int (*prepare_msi)(struct msi_desc *desc, phys_addr_t addr);
	void (*compose_msi)(struct msi_desc *desc, struct msi_msg *msg);
	void (*setup_dma_ops)(struct device *dev);
	int (*get_cookie)(struct iommu_domain *domain);
	void (*put_cookie)(struct iommu_domain *domain);
	int (*init_fq)(struct iommu_domain *domain);
	int (*domain_init)(struct device *dev, struct iommu_domain *domain);
	int (*space_init)(struct iova_space *space, unsigned long first,
			  unsigned long last, unsigned int granule_shift);
	void (*space_destroy)(struct iova_space *space);
	int (*reserve)(struct iova_space *space, unsigned long first,
		       unsigned long last);
	bool (*alloc)(struct iova_space *space, const struct iova_request *req,
		      struct iova_range *range);
	unsigned long (*alloc_one)(struct iova_space *space,
				   unsigned long limit);
	bool (*claim)(struct iova_space *space, unsigned long first,
		      struct iova_range *range);
	bool (*claim_large)(struct iova_space *space, unsigned long first,
			    struct iova_range *range);
	void (*release)(struct iova_space *space,
			const struct iova_range *range);
	void (*retire)(struct iova_space *space, const struct iova_range *range,
		       unsigned int epoch);
	void (*recycle_start)(struct iova_space *space, unsigned int epoch);
	bool (*recycle)(struct iova_space *space, unsigned int budget);
	unsigned long (*largest_gap)(struct iova_space *space,
				     unsigned long limit);
	struct static_key_false *attach_later;
};

extern const struct test_access test_access;

#endif /* _DMA_TEST_ACCESS_H */
