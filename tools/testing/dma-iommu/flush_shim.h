/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What flush.c needs of the kernel beyond shim.h, as far as the programs that
 * include it agree: timers and works only note that they are due.
 */
#ifndef _FLUSH_SHIM_H
#define _FLUSH_SHIM_H

typedef s64 ktime_t;

enum hrtimer_restart { HRTIMER_NORESTART };

struct hrtimer {
	enum hrtimer_restart (*function)(struct hrtimer *timer);
	int due;
};

struct work_struct {
	void (*function)(struct work_struct *work);
	int due;
};

struct page {
	struct list_head lru;
	unsigned int id;
	unsigned long granule;
};

struct iommu_domain {
	unsigned int flushes;
};

#define system_unbound_wq	NULL
#define ns_to_ktime(ns)		(ns)
#define hrtimer_init(timer, clock, mode)	(*(timer) = (struct hrtimer) {})
#define INIT_WORK(work, func)	(*(work) = (struct work_struct) { func })

static void iommu_flush_iotlb_all(struct iommu_domain *domain);
static void iommu_put_pages_list(struct list_head *pages);

struct iommu_dma_flush;
bool iommu_dma_flush_more(struct iommu_dma_flush *flush, unsigned int *flushes);

/* Everything that waits for a flush becomes free. */
static bool flush_now(struct iommu_dma_flush *flush)
{
	unsigned int flushes = 0;
	bool any = false;

	while (iommu_dma_flush_more(flush, &flushes))
		any = true;
	return any;
}

#endif /* _FLUSH_SHIM_H */
