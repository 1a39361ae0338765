/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What batch.c, sg.c and unmap.c call, as one small machine that remembers all of it.
 *
 * It is linked in place of bounce.c, of the IOMMU core and of an IOMMU driver. The
 * IOMMU is an array with the memory of each granule of one range, and an IOTLB that
 * has each granule until it is invalidated. A bounce is memory of its own, far from
 * all other, which knows the bytes that were put into it. Each call that can fail
 * counts, and the one that is told to does. What the interface does not allow is
 * found where it happens.
 *
 * Bytes are their addresses: what a device finds at an address is the physical
 * address of the byte, ZERO or FAULT.
 */
#ifndef _MACHINE_H
#define _MACHINE_H

#include "batch.h"
#include "bounce.h"
#include "unmap.h"

#define MACHINE_GRANULES	4096		/* of the range, at most */
#define MACHINE_PARTS		8192		/* of bounces */
#define MACHINE_BOUNCES		BIT_ULL(60)	/* memory of bounces begins here */
#define ZERO			BIT_ULL(62)
#define FAULT			BIT_ULL(63)

struct machine_part {
	u64 offset, phys, len;
	struct machine_part *next;
};

struct machine_slot {		/* of a granule of the range */
	bool mapped;
	bool stale;		/* not mapped, but the IOTLB has it */
	u64 phys;		/* of what is mapped */
	u64 bounce;		/* of its bounce, or 0 */
	struct machine_part *parts;
};

/**
 * struct machine - what there is and what was done
 * @dev: the device
 * @parms: its limits
 * @domain: its address space
 * @cookie: of it
 * @bounce: the device must not see what is beside a buffer
 * @prot: what everything has to be mapped with
 * @memory_end: nothing from there on can be bounced
 * @start: first byte of the range
 * @end: behind its last
 * @fail_nth: this call fails, see machine_error(); 0: none
 * @error: with this error; 0: one of its own
 * @calls: that can fail
 * @maps: of them, to map something
 * @unmaps: calls of the IOMMU core to unmap something
 * @vain: questions about what is not mapped
 * @stick_nth: this one of them leaves a granule mapped; 0: none
 * @stuck: one has been left
 * @sticks: the granule there stays mapped, whoever tries; 0: none
 * @waits: for caches
 * @messages: about the device
 * @holes: unmapping may come to what is not mapped, and stops there
 * @failed: one has; from then on nothing but undoing is allowed
 * @synced: the IOMMU driver has been told; nothing is mapped any more
 * @trace: print each call, for a person to read
 * @next_bounce: where the next granule for bounces is
 * @table: a page table that an unmap took out, or not in use
 * @bounce_page: of all bounces that were dropped, likewise
 * @parts: what was bounced as parts of granules; @slots has lists of them
 * @nr_parts: how many
 * @slots: what is mapped, by granule of the range
 */
struct machine {
	struct device dev;
	struct device_dma_parameters parms;
	struct iommu_domain domain;
	struct iommu_dma_cookie cookie;
	bool bounce;
	int prot;
	u64 memory_end;
	u64 start;
	u64 end;
	unsigned int fail_nth;
	int error;
	unsigned int calls;
	unsigned int maps;
	unsigned int unmaps;
	unsigned int vain;
	unsigned int stick_nth;
	bool stuck;
	u64 sticks;
	unsigned int waits;
	unsigned int messages;
	bool holes;
	bool failed;
	bool synced;
	bool trace;
	u64 next_bounce;
	struct page table;
	struct page bounce_page;
	struct machine_part parts[MACHINE_PARTS];
	unsigned int nr_parts;
	struct machine_slot slots[MACHINE_GRANULES];
};

extern struct machine machine;

static inline u64 granule(void)
{
	return cookie_granule(&machine.cookie);
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
void machine_invalidate(u64 start, u64 end);
bool machine_nothing_stale(void);

#endif /* _MACHINE_H */
