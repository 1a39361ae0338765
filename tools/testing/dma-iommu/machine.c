// SPDX-License-Identifier: GPL-2.0
/*
 * One device, one IOMMU, one range. See machine.h.
 */

#include "machine.h"

struct machine machine;

/* Return: whether this call fails. */
bool machine_call_fails(void)
{
	FAIL_IF(machine.failed || machine.synced);
	machine.failed = ++machine.calls == machine.fail_nth;
	return machine.failed;
}

struct machine_slot *machine_slot(u64 addr)
{
	FAIL_IF(addr < machine.start || addr >= machine.end);
	return &machine.slots[(addr - machine.start) / granule()];
}

/*
 * The IOMMU driver, and what the core makes of it.
 */

static int map(struct iommu_domain *domain, u64 addr, u64 phys, size_t size,
	       int prot)
{
	struct machine_slot *slot;

	if (machine.trace)
		printf("map %#lx at %#lx, %#zx\n", phys, addr, size);
	FAIL_IF(domain != &machine.domain || prot != machine.prot);
	FAIL_IF(!size || (addr | phys | size) % granule());
	FAIL_IF(addr > machine.end || size > machine.end - addr);
	if (machine_call_fails())
		return machine_error(machine.calls);
	for (; size; size -= granule(), addr += granule(), phys += granule()) {
		slot = machine_slot(addr);
		FAIL_IF(slot->mapped || slot->stale);
		slot->mapped = true;
		slot->phys = phys;
	}
	return 0;
}

/* Return: bytes that are not mapped any more. */
static size_t unmap(struct iommu_domain *domain, u64 addr, size_t size)
{
	struct machine_slot *slot;
	size_t left;

	if (machine.trace)
		printf("unmap %#lx, %#zx\n", addr, size);
	FAIL_IF(domain != &machine.domain);
	FAIL_IF(!size || (addr | size) % granule());
	for (left = size; left; left -= granule(), addr += granule()) {
		slot = machine_slot(addr);
		FAIL_IF(!slot->mapped && !machine.holes);
		if (!slot->mapped || (machine.sticks && addr == machine.sticks))
			break;
		if (machine.stick_nth && machine.unmaps == machine.stick_nth &&
		    left == granule()) {
			machine.stuck = true;
			break;
		}
		slot->mapped = false;
		slot->stale = true;
	}
	return size - left;
}

/* As some drivers do, no more than is in one table: of eight granules, here */
static size_t in_table(unsigned long addr, size_t size, size_t count)
{
	FAIL_IF(size != granule());
	return size * min(count, 8 - addr / size % 8);
}

static int map_pages(struct iommu_domain *domain, unsigned long addr,
		     phys_addr_t phys, size_t size, size_t count, int prot,
		     gfp_t gfp, size_t *mapped)
{
	size_t some = in_table(addr, size, count);
	int ret = map(domain, addr, phys, some, prot);

	*mapped += ret ? 0 : some;
	return ret;
}

/* Not by way of iommu_map_page_nosync() or iommu_map_pages_nosync() */
int iommu_map_nosync(struct iommu_domain *domain, unsigned long addr,
		     phys_addr_t phys, size_t size, int prot, gfp_t gfp)
{
	FAIL_IF(size < machine.cookie.larger_page);
	machine.maps++;
	return map(domain, addr, phys, size, prot);
}

/* What map.c has, which is not here */
int iommu_dma_map_granules(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			   phys_addr_t phys, size_t size, int prot)
{
	return iommu_map_pages_nosync(cookie->domain, addr, phys, granule(),
				      size / granule(), prot);
}

int iommu_dma_map_failed(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			 size_t size, int error)
{
	for (; size; size -= granule(), addr += granule())
		if (machine_slot(addr)->mapped)
			return -EBUSY;
	return error;
}

/* Each of them tells when it has mapped something. */
void trace_map(unsigned long addr, u64 phys, size_t size)
{
	machine.maps++;
}

static int sync_map(struct iommu_domain *domain, unsigned long addr,
		    size_t size)
{
	FAIL_IF(domain != &machine.domain);
	FAIL_IF(addr != machine.start || size != machine.end - machine.start);
	if (machine_call_fails())
		return machine_error(machine.calls);
	machine.synced = true;
	return 0;
}

static void add_page(struct page *page, struct list_head *pages)
{
	if (!page->lru.next)
		list_add(&page->lru, pages);
}

/* What the IOTLB or the device may refer to is not freed. */
void iommu_put_pages_list(struct list_head *pages)
{
	struct page *page, *next;

	FAIL_IF(!list_empty(pages) && !machine_nothing_stale());
	list_for_each_entry_safe(page, next, pages, lru)
		*page = (struct page) {};
}

static size_t unmap_gather(struct iommu_domain *domain, u64 addr, size_t size,
			   struct iommu_iotlb_gather *gather)
{
	size_t unmapped = unmap(domain, addr, size);

	if (unmapped)
		add_page(&machine.table, &gather->freelist);
	if (unmapped && !iommu_iotlb_gather_queued(gather))
		iommu_iotlb_gather_add_range(gather, addr, unmapped);
	return unmapped;
}

static size_t unmap_pages(struct iommu_domain *domain, unsigned long addr,
			  size_t size, size_t count,
			  struct iommu_iotlb_gather *gather)
{
	return unmap_gather(domain, addr, in_table(addr, size, count), gather);
}

/* Not by way of iommu_unmap_page() and iommu_unmap_pages(), but of the core */
size_t iommu_unmap_fast(struct iommu_domain *domain, unsigned long addr,
			size_t size, struct iommu_iotlb_gather *gather)
{
	FAIL_IF(size < machine.cookie.larger_page);
	machine.unmaps++;
	return unmap_gather(domain, addr, size, gather);
}

/* Both of them tell when they have unmapped something. */
void trace_unmap(unsigned long addr, size_t size, size_t unmapped)
{
	machine.unmaps++;
}

size_t iommu_unmap(struct iommu_domain *domain, unsigned long addr,
		   size_t size)
{
	size_t unmapped;

	machine.unmaps++;
	unmapped = unmap(domain, addr, size);
	machine_invalidate(addr, addr + unmapped);
	return unmapped;
}

void machine_invalidate(u64 start, u64 end)
{
	for (; start < end; start += granule())
		machine_slot(start)->stale = false;
}

static void iotlb_sync(struct iommu_domain *domain,
		       struct iommu_iotlb_gather *gather)
{
	FAIL_IF(domain != &machine.domain || gather->queued);
	if (gather->start < gather->end)
		machine_invalidate(gather->start, gather->end + 1);
	iommu_put_pages_list(&gather->freelist);
}

static void flush_iotlb_all(struct iommu_domain *domain)
{
	FAIL_IF(domain != &machine.domain);
	machine_invalidate(machine.start, machine.end);
}

phys_addr_t iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t addr)
{
	const struct machine_slot *slot;

	FAIL_IF(domain != &machine.domain);
	/* Guard granules are a part of the range that nothing is mapped in. */
	if (addr >= machine.end &&
	    addr - machine.end < machine.cookie.guard * granule())
		return 0;
	slot = machine_slot(addr);
	machine.vain += !slot->mapped;
	return slot->mapped ? slot->phys + addr % granule() : 0;
}

struct iommu_domain *iommu_get_dma_domain(struct device *dev)
{
	FAIL_IF(dev != &machine.dev);
	return &machine.domain;
}

DEFINE_STATIC_KEY_FALSE(iommu_dma_deferred_attach);

/* No kdump kernel */
int iommu_deferred_attach(struct device *dev, struct iommu_domain *domain)
{
	FAIL_IF(true);
	return 0;
}

void arch_sync_dma_flush(void)
{
	machine.waits++;
}

void shim_message(struct device *dev, const char *fmt, ...)
{
	FAIL_IF(dev != &machine.dev);
	machine.messages++;
}

/*
 * Bounces, in place of bounce.c. The cookie knows of those that there are.
 */

static void part_add(struct machine_slot *slot, u64 offset, u64 phys, u64 len)
{
	struct machine_part *part = &machine.parts[machine.nr_parts++];
	const struct machine_part *other;

	FAIL_IF(machine.nr_parts > MACHINE_PARTS);
	for (other = slot->parts; other; other = other->next)
		FAIL_IF(offset < other->offset + other->len &&
			other->offset < offset + len);
	*part = (struct machine_part) { offset, phys, len, slot->parts };
	slot->parts = part;
}

static void bounce_begin(struct machine_slot *slot, u64 addr, u64 phys)
{
	slot->bounce = machine.next_bounce;
	/* Often, but not always, next to the one before */
	machine.next_bounce += granule() << (phys / granule() % 4 == 3);
	FAIL_IF(xa_store(&machine.cookie.bounces, addr / granule(), slot,
			 GFP_ATOMIC));
}

int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len)
{
	struct machine_slot *slot = machine_slot(addr);

	if (machine.trace)
		printf("bounce %#lx at %#lx, %#zx\n", phys, addr, len);
	FAIL_IF(dev != &machine.dev || cookie != &machine.cookie);
	FAIL_IF(!len || len > granule() - addr % granule());
	FAIL_IF(slot->mapped);
	if (phys + len > machine.memory_end) {
		machine.failed = true;
		return -EFAULT;
	}
	/* One that fails may have become a bounce already. */
	if (!slot->bounce)
		bounce_begin(slot, addr, phys);
	if (machine_call_fails())
		return machine_error(machine.calls);
	part_add(slot, addr % granule(), phys, len);
	return 0;
}

phys_addr_t iommu_dma_bounce_phys(struct device *dev,
				  struct iommu_dma_cookie *cookie,
				  dma_addr_t addr)
{
	FAIL_IF(dev != &machine.dev || cookie != &machine.cookie);
	FAIL_IF(!machine_slot(addr)->bounce);
	return machine_slot(addr)->bounce;
}

void iommu_dma_bounce_drop(struct iommu_dma_cookie *cookie, dma_addr_t start,
			   dma_addr_t last, struct list_head *pages)
{
	struct machine_slot *slot;

	FAIL_IF(cookie != &machine.cookie || start % granule());
	for (; start < min(last, machine.end); start += granule()) {
		slot = xa_erase(&cookie->bounces, start / granule());
		if (!slot)
			continue;
		slot->bounce = 0;
		slot->parts = NULL;
		add_page(&machine.bounce_page, pages);
	}
}

/*
 * For the programs.
 */

void machine_setup(unsigned int granule_shift, bool sync)
{
	static const struct iommu_domain_ops without = {
		.map_pages = map_pages,
		.unmap_pages = unmap_pages,
		.iotlb_sync = iotlb_sync,
		.flush_iotlb_all = flush_iotlb_all,
	};
	static struct iommu_domain_ops with;

	with = without;
	with.iotlb_sync_map = sync_map;
	xa_destroy(&machine.cookie.bounces);
	machine.domain.ops = sync ? &with : &without;
	machine.domain.iova_cookie = &machine.cookie;
	machine.cookie = (struct iommu_dma_cookie) {
		.domain = &machine.domain,
		.granule_shift = granule_shift,
		.larger_page = SIZE_MAX,
	};
	xa_init_flags(&machine.cookie.bounces, XA_FLAGS_LOCK_IRQ);
	machine.memory_end = MACHINE_BOUNCES;
	machine.fail_nth = 0;
	machine.error = 0;
	machine.stick_nth = 0;
	machine.sticks = 0;
}

/* Nothing has been called yet. */
void machine_begin(void)
{
	machine.calls = 0;
	machine.maps = 0;
	machine.unmaps = 0;
	machine.vain = 0;
	machine.stuck = false;
	machine.waits = 0;
	machine.messages = 0;
	machine.holes = false;
	machine.failed = false;
	machine.synced = false;
	machine_range(0, 0);
}

/* A range with nothing in it; what was in the one before is forgotten. */
void machine_range(u64 start, u64 end)
{
	FAIL_IF((start | end) % granule() || end < start);
	FAIL_IF((end - start) / granule() > MACHINE_GRANULES);
	machine.start = start;
	machine.end = end;
	machine.next_bounce = MACHINE_BOUNCES;
	machine.table = (struct page) {};
	machine.bounce_page = (struct page) {};
	machine.nr_parts = 0;
	xa_destroy(&machine.cookie.bounces);
	memset(machine.slots, 0,
	       sizeof(machine.slots[0]) * (end - start) / granule());
}

/* What the device finds at @addr */
u64 machine_read(u64 addr)
{
	const struct machine_slot *slot = machine_slot(addr);
	const struct machine_part *part;
	u64 offset = addr % granule();

	if (!slot->mapped)
		return FAULT;
	if (slot->phys < MACHINE_BOUNCES)
		return slot->phys + offset;
	FAIL_IF(slot->phys != slot->bounce);
	for (part = slot->parts; part; part = part->next)
		if (offset >= part->offset && offset < part->offset + part->len)
			return part->phys + (offset - part->offset);
	return ZERO;
}

/* In how many calls at least all that is mapped could have been */
unsigned int machine_runs(void)
{
	const struct machine_slot *before = NULL, *slot;
	unsigned int runs = 0;
	u64 addr;

	for (addr = machine.start; addr < machine.end; addr += granule()) {
		slot = machine_slot(addr);
		runs += slot->mapped && !(before && before->mapped &&
					  slot->phys == before->phys + granule());
		before = slot;
	}
	return runs;
}

/* Between granules that are not mapped */
unsigned int machine_spans(void)
{
	unsigned int spans = 0;
	bool mapped = false;
	u64 addr;

	for (addr = machine.start; addr < machine.end; addr += granule()) {
		spans += machine_slot(addr)->mapped && !mapped;
		mapped = machine_slot(addr)->mapped;
	}
	return spans;
}

bool machine_nothing_mapped(void)
{
	return !machine_spans();
}

bool machine_nothing_stale(void)
{
	u64 addr;

	for (addr = machine.start; addr < machine.end; addr += granule())
		if (machine_slot(addr)->stale)
			return false;
	return true;
}
