// SPDX-License-Identifier: GPL-2.0
/*
 * What is in a domain, from two sides: the layer's own books, and the
 * translations that the IOMMU has for the addresses in them. Both are read while
 * nothing is mapped or unmapped there, or the numbers are only about right.
 *
 * A doorbell is mapped for as long as its domain lives. It is told from a leak by
 * where it leads: not to memory.
 */
#include <linux/bitops.h>
#include <linux/rcupdate.h>

#include "cookie.h"
#include "dma_soak_books.h"

/**
 * soak_domain() - the domain of a device
 * @dev: device
 *
 * Return: its domain if the DMA API maps there, or NULL.
 */
struct iommu_domain *soak_domain(struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	struct iommu_dma_cookie *cookie;

	if (!domain || !(domain->type & __IOMMU_DOMAIN_DMA_API))
		return NULL;
	cookie = domain->iova_cookie;
	return cookie && cookie->granule_shift ? domain : NULL;
}

static phys_addr_t soak_lookup(struct iommu_dma_cookie *cookie,
			       unsigned long granule)
{
	return iommu_iova_to_phys(cookie->domain,
				  (dma_addr_t)granule << cookie->granule_shift);
}

static void soak_books_chunk(struct iommu_dma_cookie *cookie,
			     const struct iova_chunk *c,
			     struct soak_books *books)
{
	unsigned int i, w, epoch;

	for (w = 0; w < IOVA_WORDS; w++) {
		books->used += hweight64(~iova_chunk_free_mask(c, w) &
					 ~(c->reserved ? c->reserved[w] : 0));
		for (epoch = 0; epoch < IOVA_EPOCHS; epoch++)
			books->waiting +=
				hweight64(atomic64_read(&c->dirty[epoch][w]));
	}
	for (i = 0; i < IOVA_CHUNK_GRANULES; i++) {
		phys_addr_t phys = soak_lookup(cookie, c->extent.first + i);
		bool memory = phys && pfn_valid(PHYS_PFN(phys));

		books->mapped += memory;
		if (!READ_ONCE(c->size[i]))
			continue;
		books->live++;
		books->doorbells += phys && !memory;
	}
}

static void soak_books_large(struct iova_pool *pool, struct soak_books *books)
{
	struct rb_node *node;
	unsigned long flags;

	raw_spin_lock_irqsave(&pool->lock, flags);
	for (node = rb_first(&pool->extents.root); node; node = rb_next(node)) {
		struct iova_extent *x = rb_entry(node, struct iova_extent, node);

		if (x->kind != IOVA_KIND_LARGE)
			continue;
		books->large++;
		books->live += READ_ONCE(x->mapped);
	}
	raw_spin_unlock_irqrestore(&pool->lock, flags);
}

/**
 * soak_books_read() - what is in a domain
 * @domain: one that soak_domain() returned
 * @books: to be filled in
 */
void soak_books_read(struct iommu_domain *domain, struct soak_books *books)
{
	struct iommu_dma_cookie *cookie = domain->iova_cookie;
	struct iova_chunk *c;
	unsigned long index;

	*books = (struct soak_books) {};
	rcu_read_lock();
	xa_for_each(&cookie->space.pool.chunks, index, c)
		soak_books_chunk(cookie, c, books);
	rcu_read_unlock();
	soak_books_large(&cookie->space.pool, books);
}
