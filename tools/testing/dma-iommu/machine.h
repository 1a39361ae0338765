/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What batch.c and sg.c call, as one small machine that remembers all of it.
 *
 * Included before them in place of domain.h and bounce.h, whose guards it sets.
 * The IOMMU is an array with the memory of each granule of one range. A copy is
 * memory of its own, far from all other, which knows the bytes that were put
 * into it. Each call that can fail counts, and the one that is told to does.
 * What the interface does not allow is found where it happens.
 *
 * Bytes are their addresses: what a device finds at an address is the physical
 * address of the byte, ZERO or FAULT.
 */
#ifndef _MACHINE_H
#define _MACHINE_H

#define _IOMMU_DMA_BOUNCE_H
#define _IOMMU_DMA_DOMAIN_H

#define MACHINE_GRANULES	4096		/* of the range, at most */
#define MACHINE_PARTS		8192		/* of copies */
#define MACHINE_BOUNCES		BIT_ULL(60) /* memory of copies begins here */
#define ZERO			BIT_ULL(62)
#define FAULT			BIT_ULL(63)
#define PROT			0x2a

typedef u64 dma_addr_t;
typedef u64 phys_addr_t;

/*
 * Domains and devices.
 */

struct iommu_domain;

struct iommu_domain_ops {
	int (*iotlb_sync_map)(struct iommu_domain *domain, unsigned long addr,
			      size_t size);
};

struct iommu_domain {
	const struct iommu_domain_ops *ops;
};

struct iommu_dma_cookie {
	struct iommu_domain *domain;
	unsigned int granule_shift;
	unsigned int guard;
	struct xarray bounces; /* only asked whether there are any */
};

struct device {
	u64 unit;
	u64 boundary;
	u64 mask;
	unsigned int max_segment;
	bool contiguous;
	bool bounce;
	bool coherent;
};

struct iova_range {
	unsigned long first;
	unsigned long last;
};

static inline size_t cookie_granule(const struct iommu_dma_cookie *cookie)
{
	return (size_t)1 << cookie->granule_shift;
}

static inline size_t
cookie_granule_offset(const struct iommu_dma_cookie *cookie, u64 addr)
{
	return addr & (cookie_granule(cookie) - 1);
}

/*
 * What is called.
 */

int iommu_dma_map_nosync(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			 phys_addr_t phys, size_t size, int prot);
int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len);
phys_addr_t iommu_dma_bounce_phys(struct device *dev,
				  struct iommu_dma_cookie *cookie,
				  dma_addr_t addr);
size_t iommu_unmap(struct iommu_domain *domain, unsigned long addr,
		   size_t size);
void arch_sync_dma_flush(void);
#define dev_is_dma_coherent(dev) ((dev)->coherent)

/*
 * The machine.
 */

struct machine_part {
	u64 offset, phys, len;
	struct machine_part *next;
};

struct machine_slot {		/* of a granule of the range */
	bool mapped;
	u64 phys;		/* of what is mapped */
	u64 bounce;		/* of its bounce, or 0 */
	struct machine_part *parts;
};

/**
 * struct machine - what there is and what was done
 * @dev: the device
 * @domain: its address space
 * @cookie: of it
 * @memory_end: nothing from there on can be copied
 * @start: first byte of the range
 * @end: behind its last
 * @fail_nth: this call fails, see machine_error(); 0: none
 * @error: with this error; 0: one of its own
 * @calls: that can fail
 * @maps: of them, to iommu_dma_map_nosync()
 * @unmaps: calls to iommu_unmap()
 * @stick_nth: this one of them leaves a granule mapped; 0: none
 * @stuck: one has been left
 * @waits: for caches
 * @holes: unmapping may come to what is not mapped, and stops there
 * @failed: one has; from then on nothing but undoing is allowed
 * @synced: the IOMMU driver has been told; nothing is mapped any more
 * @trace: print each call, for a person to read
 * @next_bounce: where the next granule for copies is
 * @parts: what was copied as parts of granules; @slots has lists of them
 * @nr_parts: how many
 * @slots: what is mapped, by granule of the range
 */
struct machine {
	struct device dev;
	struct iommu_domain domain;
	struct iommu_dma_cookie cookie;
	u64 memory_end;
	u64 start;
	u64 end;
	unsigned int fail_nth;
	int error;
	unsigned int calls;
	unsigned int maps;
	unsigned int unmaps;
	unsigned int stick_nth;
	bool stuck;
	unsigned int waits;
	bool holes;
	bool failed;
	bool synced;
	bool trace;
	u64 next_bounce;
	struct machine_part parts[MACHINE_PARTS];
	unsigned int nr_parts;
	struct machine_slot slots[MACHINE_GRANULES];
};

extern struct machine machine;

static inline u64 granule(void)
{
	return 1ULL << machine.cookie.granule_shift;
}

/* Each call that is made to fail has an error of its own, unless told otherwise. */
static inline int machine_error(unsigned int call)
{
	return machine.error ?: -(int)(1000 + call);
}

void machine_setup(unsigned int granule_shift, bool sync_map);
void machine_begin(void);
void machine_range(u64 start, u64 end);
struct machine_slot *machine_slot(u64 addr);
bool machine_call_fails(void);
u64 machine_read(u64 addr);
unsigned int machine_runs(void);
unsigned int machine_spans(void);
bool machine_nothing_mapped(void);

#endif /* _MACHINE_H */
