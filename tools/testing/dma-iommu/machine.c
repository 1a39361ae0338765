// SPDX-License-Identifier: GPL-2.0
/*
 * One device, one IOMMU, one range. See machine.h.
 */

struct machine machine;

/* Return: whether this call fails. */
bool machine_call_fails(void)
{
	FAIL_IF(machine.failed || machine.synced);
	machine.failed = ++machine.calls == machine.fail_nth;
	return machine.failed;
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

void machine_setup(unsigned int granule_shift, bool sync)
{
	static const struct iommu_domain_ops with = {
		.iotlb_sync_map = sync_map,
	};
	static const struct iommu_domain_ops without;

	machine.domain.ops = sync ? &with : &without;
	machine.cookie.domain = &machine.domain;
	machine.cookie.granule_shift = granule_shift;
	machine.memory_end = MACHINE_BOUNCES;
	machine.fail_nth = 0;
	machine.error = 0;
	machine.stick_nth = 0;
}

/* Nothing has been called yet. */
void machine_begin(void)
{
	machine.calls = 0;
	machine.maps = 0;
	machine.unmaps = 0;
	machine.stuck = false;
	machine.waits = 0;
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
	machine.nr_parts = 0;
	memset(machine.slots, 0,
	       sizeof(machine.slots[0]) * (end - start) / granule());
}

struct machine_slot *machine_slot(u64 addr)
{
	FAIL_IF(addr < machine.start || addr >= machine.end);
	return &machine.slots[(addr - machine.start) / granule()];
}

int iommu_dma_map_nosync(struct iommu_dma_cookie *cookie, dma_addr_t addr,
			 phys_addr_t phys, size_t size, int prot)
{
	struct machine_slot *slot;

	if (machine.trace)
		printf("map %#lx at %#lx, %#zx\n", phys, addr, size);
	FAIL_IF(cookie != &machine.cookie || prot != PROT);
	FAIL_IF(!size || (addr | phys | size) % granule());
	FAIL_IF(addr > machine.end || size > machine.end - addr);
	machine.maps++;
	if (machine_call_fails())
		return machine_error(machine.calls);
	for (; size; size -= granule(), addr += granule(), phys += granule()) {
		slot = machine_slot(addr);
		FAIL_IF(slot->mapped);
		slot->mapped = true;
		slot->phys = phys;
	}
	return 0;
}

size_t iommu_unmap(struct iommu_domain *domain, unsigned long addr,
		   size_t size)
{
	bool sticks = ++machine.unmaps == machine.stick_nth;
	size_t left;

	if (machine.trace)
		printf("unmap %#lx, %#zx\n", addr, size);
	FAIL_IF(domain != &machine.domain);
	FAIL_IF(!size || (addr | size) % granule());
	for (left = size; left; left -= granule(), addr += granule()) {
		FAIL_IF(!machine_slot(addr)->mapped && !machine.holes);
		if (!machine_slot(addr)->mapped)
			return size - left;
		if (sticks && left == granule()) {
			machine.stuck = true;
			return size - left;
		}
		machine_slot(addr)->mapped = false;
	}
	return size;
}

void arch_sync_dma_flush(void)
{
	machine.waits++;
}

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

int iommu_dma_bounce_add(struct device *dev, struct iommu_dma_cookie *cookie,
			 dma_addr_t addr, phys_addr_t phys, size_t len)
{
	struct machine_slot *slot = machine_slot(addr);

	if (machine.trace)
		printf("copy %#lx at %#lx, %#zx\n", phys, addr, len);
	FAIL_IF(dev != &machine.dev || cookie != &machine.cookie);
	FAIL_IF(!len || len > granule() - addr % granule());
	FAIL_IF(slot->mapped);
	if (phys + len > machine.memory_end) {
		machine.failed = true;
		return -EFAULT;
	}
	/* One that fails may have become a copy already. */
	if (!slot->bounce) {
		slot->bounce = machine.next_bounce;
		/* Often, but not always, next to the one before */
		machine.next_bounce += granule() << (phys / granule() % 4 == 3);
	}
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
	u64 addr;

	for (addr = machine.start; addr < machine.end; addr += granule())
		if (machine_slot(addr)->mapped)
			return false;
	return true;
}
