/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is in a domain. See dma_soak_books.c.
 */
#ifndef DMA_SOAK_BOOKS_H
#define DMA_SOAK_BOOKS_H

struct device;
struct iommu_domain;

/**
 * struct soak_books - what there is in a domain
 * @live: mappings that the layer has handed out
 * @doorbells: those of them that are no memory
 * @mapped: granules, among those that the layer has handed out before, that lead
 *	to memory
 * @waiting: granules that wait for a flush
 * @used: granules that are not free, or in a CPU's cache
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

struct iommu_domain *soak_domain(struct device *dev);
void soak_books_read(struct iommu_domain *domain, struct soak_books *books);

#endif /* DMA_SOAK_BOOKS_H */
