/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is beneath the IOMMU core: devices, pages, timers, works and static keys.
 *
 * The Makefile puts it in place of the headers that have these in the kernel, as
 * <linux/device.h> would bring the driver core with it. What is above, from
 * <linux/scatterlist.h> and <linux/iommu.h> on, is the kernel's own. Functions
 * without a body are for each program to define, if it gets to call them.
 */
#ifndef _DEVICE_SHIM_H
#define _DEVICE_SHIM_H

#include <linux/bug.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kconfig.h>
#include <linux/list.h>
#include <linux/sizes.h>

/*
 * Pages: what a program makes of them is its own business.
 */

#define PAGE_SHIFT		12
#define PAGE_SIZE		BIT(PAGE_SHIFT)
#define PAGE_ALIGNED(addr)	IS_ALIGNED((unsigned long)(addr), PAGE_SIZE)

struct page {
	struct list_head lru;
	phys_addr_t phys;
};

struct folio {
	struct page page;
};

typedef unsigned long pgprot_t;

#define pgprot_noncached(prot)	(prot)
#define offset_in_page(p)	((unsigned long)(p) % PAGE_SIZE)
#define PHYS_PFN(phys)		((unsigned long)((phys) >> PAGE_SHIFT))
#define PFN_PHYS(pfn)		((phys_addr_t)(pfn) << PAGE_SHIFT)
#define page_to_pfn(page)	((unsigned long)(page_to_phys(page) >> PAGE_SHIFT))
#define ARCH_DMA_MINALIGN	128
#define get_order(size)		order_base_2(DIV_ROUND_UP(size, PAGE_SIZE))

phys_addr_t page_to_phys(const struct page *page);
void *page_address(const struct page *page);
struct page *nth_page(struct page *page, unsigned long n);
struct page *pfn_to_page(unsigned long pfn);
struct page *virt_to_page(const void *addr);
bool is_vmalloc_addr(const void *addr);
bool pfn_valid(unsigned long pfn);
bool is_zone_device_page(const struct page *page);
bool is_pci_p2pdma_page(const struct page *page);
void __free_pages(struct page *page, unsigned int order);
size_t kmalloc_size_roundup(size_t size);
/* <linux/iommu.h> tells user space's memory from the kernel's. */
int copy_struct_from_user(void *dst, size_t ksize, const void *src,
			  size_t usize);

/* In place of drivers/iommu/iommu-pages.h, which counts them by zone */
#define __IOMMU_PAGES_H
void iommu_put_pages_list(struct list_head *pages);

/*
 * Devices.
 */

struct device_dma_parameters {
	unsigned int max_segment_size;
	unsigned int min_align_mask;
	unsigned long segment_boundary_mask;
};

struct device {
	u64 *dma_mask;
	u64 coherent_dma_mask;
	u64 bus_dma_limit;
	struct device_dma_parameters *dma_parms;
	bool dma_contiguous;
	struct dev_iommu *iommu;
	void *driver_data;
	bool dma_coherent;
	bool dma_iommu;
	struct pci_dev *pdev;
};

/* Of a device that is one of PCI, what only those have */
struct pci_dev {
	bool untrusted;
};

#define to_pci_dev(d)		((d)->pdev)
#define dev_is_pci(d)		((d)->pdev != NULL)
#define dev_get_drvdata(d)	((d)->driver_data)
#define dev_WARN_ONCE(d, cond, ...)	((void)(d), WARN_ON_ONCE(cond))
#define dev_err_ratelimited	shim_message
#define DEFINE_RATELIMIT_STATE(name, interval, burst)	int name __maybe_unused
#define __ratelimit(state)	true

void shim_message(struct device *dev, const char *fmt, ...);

/*
 * What the core's headers name
 */

struct attribute_group;
struct bus_type;
struct msi_desc;
struct msi_msg;
struct of_phandle_args;
struct vm_area_struct;

typedef struct {
	int unused;
} refcount_t;

/* Trace points, by which programs can count */
void trace_map(unsigned long iova, u64 phys, size_t size);
void trace_unmap(unsigned long iova, size_t size, size_t unmapped);

/* A branch on a static key costs nothing to test here. */
struct static_key_false {
	bool enabled;
};

#define DECLARE_STATIC_KEY_FALSE(name)	extern struct static_key_false name
#define DEFINE_STATIC_KEY_FALSE(name)	struct static_key_false name
#define static_branch_unlikely(key)	unlikely((key)->enabled)

/*
 * Timers and works that are due wait until a program runs them.
 */

typedef s64 ktime_t;

enum hrtimer_restart { HRTIMER_NORESTART };

struct hrtimer {
	enum hrtimer_restart (*function)(struct hrtimer *timer);
	int due;
};

struct work_struct {
	void (*func)(struct work_struct *work);
	int due;
};

struct workqueue_struct;

#define system_unbound_wq	NULL
#define alloc_workqueue(name, flags, most)	NULL
#define ns_to_ktime(ns)		(ns)
#define hrtimer_init(timer, clock, mode)	(*(timer) = (struct hrtimer) {})
/* No time passes, but for what a program adds. */
static u64 shim_clock __maybe_unused;
static __thread bool shim_in_timer __maybe_unused;
#define irqs_disabled()		shim_in_timer
#define ktime_get_mono_fast_ns()	shim_clock
#define get_jiffies_64()	0ULL
#define time_after64(a, b)	((s64)((b) - (a)) < 0)

#define INIT_WORK(work, f)	(*(work) = (struct work_struct) { .func = f })

#endif /* _DEVICE_SHIM_H */
