// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing of sg.c, with sg-layout.c, batch.c and unmap.c as they are. The input is
 * a device, an IOMMU in strict or deferred mode, a range of addresses, and a
 * scatterlist, of three bytes an entry, with chains, memory of other devices, and an
 * entry that is refused.
 *
 * A machine records what is mapped (see machine.h). The oracle has the list as a
 * driver has it, and reads its segments as the device does:
 *
 *   - the segments' bytes are the entries' bytes, in order, each once;
 *   - segments are what the device can use, and one if it needs one;
 *   - a device that must not sees nothing but the list;
 *   - refused is what the documentation says, with that error;
 *   - after an error, also if any call fails, the list is bit for bit what it
 *     was, nothing is mapped and no address is taken;
 *   - caches are told of all bytes, and waited for once;
 *   - after unmapping all is as if it had never been;
 *   - the range and its pages are free only when the IOTLB has nothing of them.
 */

#include "fuzz.h"
#include "machine.h"
#include <linux/dma-iommu.h>

#define MAX_ENTRIES	512
#define MAX_FAILURES	12		/* of the calls of one input */
#define BEHIND		2		/* entries that are not to be mapped */

struct header {
	u8 granule, min_align, boundary, segment, flags, more, base, fault;
};

struct record {
	u8 what, phys, len;
};

struct entry {
	u64 phys, len;
};

static struct entry entries[MAX_ENTRIES];
static unsigned int nr_entries, chain;
/* As a driver has it; every other one may be a chain. */
static struct scatterlist list[2 * (MAX_ENTRIES + BEHIND)], before[2 * (MAX_ENTRIES + BEHIND)];
static struct scatterlist *sgs[MAX_ENTRIES + BEHIND];	/* without the chains */
static unsigned long attrs;
static enum dma_data_direction dir;
static u64 base;
static bool too_short;	/* the list ends before its last entry */
static bool meet;	/* all its entries do, aligned, as in most lists */

/* What the device can do, as the oracle knows it */
static u64 min_align, align_mask, boundary, mask = 0x123456789;
static unsigned int max_segment;
static bool always_contiguous;

static struct dev_iommu iommu;
static struct pci_dev untrusted = { .untrusted = true };
static struct device *const dev = &machine.dev;
static bool range_taken, range_claimed;
static u64 synced_for_device, synced_for_cpu, bytes_all;

static unsigned long long nr_mapped, nr_segments, nr_whole, nr_refused,
			  nr_failed, nr_bounced, nr_bus, nr_at_hand;

/*
 * Memory is of four kinds, by its address: the system's; another device's that is
 * reached through the host bridge, or on the bus, or not at all; and none. Pages
 * are no more than their numbers.
 */

enum { MEMORY, BRIDGE, BUS, UNREACHABLE, NOWHERE };

#define KIND_SHIFT		50
#define BUS_OFFSET		BIT_ULL(61)
#define STRUCT_PAGE_SHIFT	6	/* of what a struct page would take */

static unsigned int phys_kind(u64 phys)
{
	return phys >> KIND_SHIFT;
}

static struct page *phys_page(u64 phys)
{
	return (struct page *)(phys >> PAGE_SHIFT << STRUCT_PAGE_SHIFT);
}

phys_addr_t page_to_phys(const struct page *page)
{
	return (u64)page >> STRUCT_PAGE_SHIFT << PAGE_SHIFT;
}

bool pfn_valid(unsigned long pfn)
{
	return phys_kind((u64)pfn << PAGE_SHIFT) != NOWHERE;
}

/* As in the kernel, only to be asked of a page that is there. */
bool is_pci_p2pdma_page(const struct page *page)
{
	FAIL_IF(!pfn_valid(page_to_pfn(page)));
	return phys_kind(page_to_phys(page)) != MEMORY;
}

struct scatterlist *sg_next(struct scatterlist *sg)
{
	if (sg_is_last(sg++))
		return NULL;
	return sg_is_chain(sg) ? sg_chain_ptr(sg) : sg;
}

enum pci_p2pdma_map_type
pci_p2pdma_map_segment(struct pci_p2pdma_map_state *state, struct device *d,
		       struct scatterlist *sg)
{
	FAIL_IF(d != dev);
	switch (phys_kind(sg_phys(sg))) {
	case BRIDGE:
		return PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
	case BUS:
		sg->dma_address = sg_phys(sg) + BUS_OFFSET;
		sg_dma_len(sg) = sg->length;
		sg_dma_mark_bus_address(sg);
		return PCI_P2PDMA_MAP_BUS_ADDR;
	case UNREACHABLE:
		return PCI_P2PDMA_MAP_NOT_SUPPORTED;
	}
	FAIL_IF(true);
	return PCI_P2PDMA_MAP_UNKNOWN;
}

size_t dma_max_contiguous_size(struct device *d)
{
	FAIL_IF(d != dev);
	return min_t(u64, max_segment - 1, boundary - 1) + 1;
}

/*
 * Addresses, in place of map.c, iova-space.c and flush.c: one range at a time.
 */

/* Somewhere, as far as what was asked for allows */
bool iommu_dma_alloc_iova(struct device *d, struct iommu_dma_cookie *cookie,
			  const struct iommu_dma_iova_req *req,
			  struct iova_range *range)
{
	u64 align = req->align, start;

	FAIL_IF(d != dev || cookie != &machine.cookie || range_taken);
	FAIL_IF(!req->size || req->size % granule());
	FAIL_IF(req->align != min_align || req->boundary != boundary ||
		req->mask != mask ||
		req->nowarn != !!(attrs & DMA_ATTR_NO_WARN));
	if (machine_call_fails() ||
	    req->size > MACHINE_GRANULES * granule()) {
		machine.messages += !req->nowarn;
		machine.failed = true;
		return false;
	}
	if (req->boundary && req->size > req->boundary)
		align = max(align, req->boundary);
	start = base * align;
	if (req->boundary && req->size <= req->boundary &&
	    start / req->boundary != (start + req->size - 1) / req->boundary)
		start = ALIGN(start, req->boundary);
	machine_range(start, start + req->size);
	range->first = start / granule();
	range->last = range->first + req->size / granule() - 1 + cookie->guard;
	range_taken = true;
	range_claimed = false;
	return true;
}

/* One at hand, or none. That there is none anywhere, iommu_dma_alloc_iova() says. */
unsigned long iova_space_alloc_one(struct iova_space *space,
				   unsigned long limit)
{
	FAIL_IF(space != &machine.cookie.space || range_taken);
	if (base % 4 == 0 || machine.fail_nth == 1)
		return IOVA_NONE;
	FAIL_IF(machine_call_fails());
	machine_range(base * granule(), (base + 1) * granule());
	range_taken = true;
	range_claimed = false;
	nr_at_hand++;
	return base;
}

bool iova_space_claim(struct iova_space *space, unsigned long first,
		      struct iova_range *range)
{
	FAIL_IF(space != &machine.cookie.space);
	if (!range_taken || range_claimed || first != machine.start / granule())
		return false;
	range_claimed = true;
	range->first = first;
	range->last = machine.end / granule() - 1 + machine.cookie.guard;
	return true;
}

unsigned long iova_space_size(struct iova_space *space, unsigned long first)
{
	FAIL_IF(space != &machine.cookie.space);
	if (!range_taken || range_claimed || first != machine.start / granule())
		return 0;
	return (machine.end - machine.start) / granule() + machine.cookie.guard;
}

/* The caller cannot tell for sure which ranges are large, so it tries both. */
bool iova_space_claim_large(struct iova_space *space, unsigned long first,
			    struct iova_range *range)
{
	return first & 1 && iova_space_claim(space, first, range);
}

void iommu_dma_drop_granule(struct device *d, struct iommu_dma_cookie *cookie,
			    dma_addr_t addr, bool undone)
{
	struct iova_range range;

	FAIL_IF(!iova_space_claim(&cookie->space, addr / granule(), &range));
	iommu_dma_drop_iova(d, cookie, &range, undone);
}

void iova_space_unclaim(struct iova_space *space,
			const struct iova_range *range)
{
	FAIL_IF(true);
}

/* Nothing may be left of what was there. */
void iova_space_release(struct iova_space *space,
			const struct iova_range *range)
{
	FAIL_IF(space != &machine.cookie.space || !range_taken);
	FAIL_IF(iommu_dma_iova_addr(&machine.cookie, range) != machine.start);
	FAIL_IF(range->last - range->first + 1 - machine.cookie.guard !=
		(machine.end - machine.start) / granule());
	FAIL_IF(!machine_nothing_mapped() || !machine_nothing_stale());
	FAIL_IF(iommu_dma_any_bounces(&machine.cookie));
	FAIL_IF(machine.table.lru.next || machine.bounce_page.lru.next);
	range_taken = false;
}

/* The window ends at once. */
void iommu_dma_flush_retire(struct iommu_dma_flush *flush,
			    const struct iova_range *range,
			    struct list_head *pages)
{
	FAIL_IF(flush != &machine.cookie.flush || !flush->domain);
	machine_invalidate(machine.start, machine.end);
	iommu_put_pages_list(pages);
	iova_space_release(&machine.cookie.space, range);
}

/*
 * Caches and bounces, in place of those of bounce.c and of the architecture: bytes
 * are counted.
 */

bool iommu_dma_bounce_needed_sg(struct device *d, struct scatterlist *sgl,
				int nents, enum dma_data_direction dir)
{
	FAIL_IF(d != dev);
	return machine.bounce;
}

void arch_sync_dma_for_cpu_noflush(phys_addr_t phys, size_t size,
				   enum dma_data_direction dir)
{
	FAIL_IF(machine.waits);
	synced_for_cpu += size;
}

void arch_sync_dma_for_device_noflush(phys_addr_t phys, size_t size,
				      enum dma_data_direction dir)
{
	FAIL_IF(machine.waits);
	synced_for_device += size;
}

static u64 bounces_synced(u64 addr, u64 size)
{
	FAIL_IF(addr < machine.start || size > machine.end - addr);
	return size;
}

void iommu_dma_bounce_sync_for_cpu(struct device *d, dma_addr_t addr,
				   size_t size, enum dma_data_direction dir)
{
	synced_for_cpu += bounces_synced(addr, size);
}

void iommu_dma_bounce_sync_for_device(struct device *d, dma_addr_t addr,
				      size_t size, enum dma_data_direction dir)
{
	synced_for_device += bounces_synced(addr, size);
}

void iommu_dma_bounce_sync_range(struct device *d,
				 struct iommu_dma_cookie *cookie,
				 dma_addr_t start, dma_addr_t last,
				 enum dma_data_direction dir)
{
	synced_for_cpu += bounces_synced(start, last + 1 - start);
}

/* The linker puts this in front of unmap.c's: a failure has been told by then. */
void __real_iommu_dma_unmap_end_slow(struct device *d,
				     struct iommu_dma_unmap *unmap);
void __wrap_iommu_dma_unmap_end_slow(struct device *d,
				     struct iommu_dma_unmap *unmap);

void __wrap_iommu_dma_unmap_end_slow(struct device *d,
				     struct iommu_dma_unmap *unmap)
{
	FAIL_IF(unmap->failed && !machine.messages);
	__real_iommu_dma_unmap_end_slow(d, unmap);
}

/*
 * From input to list.
 */

static void decode_device(const struct header *h)
{
	min_align = granule() << (h->min_align < 160 ? 0 : h->min_align % 8);
	align_mask = min_align - 1;
	if (min_align == granule())
		align_mask >>= h->min_align % 32;
	boundary = h->boundary < 96 ? 0 : granule() / 4 << h->boundary % 16;
	max_segment = h->segment < 96 ? UINT_MAX :
		      granule() / 4 * (1 + h->segment % 64);
	always_contiguous = (h->flags & 3) == 1;
	machine.parms = (struct device_dma_parameters) {
		.max_segment_size = max_segment,
		.min_align_mask = align_mask,
		.segment_boundary_mask = boundary - 1,
	};
	*dev = (struct device) {
		.dma_mask = &mask,
		.dma_parms = &machine.parms,
		.dma_contiguous = always_contiguous,
		.dma_coherent = h->flags & 8,
		.iommu = &iommu,
	};
}

static void decode_header(const struct header *h)
{
	static const u8 granules_shift[] = { 3, 4, 3, 4, 12, 14, 16, 3 };
	static const int prots[] = {
		[DMA_BIDIRECTIONAL] = IOMMU_READ | IOMMU_WRITE,
		[DMA_TO_DEVICE] = IOMMU_READ,
		[DMA_FROM_DEVICE] = IOMMU_WRITE,
	};

	machine_setup(granules_shift[h->granule % 8], h->more & 1);
	machine.memory_end = BIT_ULL(KIND_SHIFT);
	machine.cookie.guard = h->more >> 1 & 1;
	if (h->more & 0x20)
		machine.cookie.larger_page = 4 * granule();
	if (h->more & 0x40)
		machine.cookie.flush.domain = &machine.domain;
	decode_device(h);
	machine.bounce = h->flags & 4;
	dev->pdev = machine.bounce ? &untrusted : NULL;
	attrs = (h->flags & 3) == 2 ? DMA_ATTR_CONTIGUOUS : 0;
	if (h->flags & 16)
		attrs |= DMA_ATTR_SKIP_CPU_SYNC;
	if (h->flags & 32)
		attrs |= DMA_ATTR_NO_WARN;
	dir = (h->flags >> 6) % 3;
	machine.prot = prots[dir] | (dev->dma_coherent ? IOMMU_CACHE : 0);
	chain = 1 + h->more / 4 % 8;
	if (h->more & 0x80)
		chain = MAX_ENTRIES + BEHIND;
	base = 1 + h->base;
	meet = h->granule >= 160;
}

static u64 decode_len(const struct record *r, u64 phys)
{
	u64 n = r->len % 32;

	switch (r->len / 32) {
	case 0:
		return 1 + n;
	case 1:
		return (1 + n) * granule();
	case 2:
		return (1 + n) * granule() - phys % granule();
	case 3:
		return (1 + n % 8) * min_align;
	case 4:
		return max_segment / (1 + n);
	case 5:
		return boundary / 4 * (1 + n % 8);
	case 6:
		return 1 + n * granule() / 4;
	default:
		return n ? n * 3 * granule() + 1 : UINT_MAX;
	}
}

static void decode_record(const struct record *r)
{
	struct entry *entry = &entries[nr_entries];
	u64 last = nr_entries ? entry[-1].phys + entry[-1].len : 0x7654000;
	u64 some = (0x10000 + r->phys * 7919ULL) * min_align, phys = last;

	switch (r->what % 8) {
	case 2:
		phys = some;
		break;
	case 3:
		phys = some + r->phys % granule();
		break;
	case 4:
		phys = some + last % granule();
		break;
	case 5:
		phys = some + granule() * (r->phys % 8);
		break;
	case 6:
		phys = ALIGN(last, granule());
		break;
	case 7:
		phys = ALIGN(last, min_align) + r->phys % 16;
		break;
	}
	/* All of it is of one kind. */
	phys %= BIT_ULL(KIND_SHIFT - 1);
	if (r->what >= 0xe0)
		phys += (r->what / 8 % 4 ? BUS : BRIDGE) * BIT_ULL(KIND_SHIFT);
	if (meet)
		phys = ALIGN(phys, min_align);
	entry->phys = phys;
	entry->len = max_t(u64, decode_len(r, phys), 1);
	if (meet)
		entry->len = ALIGN(entry->len, min_align);
	entry->len = min_t(u64, entry->len, UINT_MAX);
	nr_entries++;
}

/* A buffer may begin and end anywhere. */
static void cut_ends(u64 front, u64 back)
{
	struct entry *last = &entries[nr_entries - 1];

	front = min(front, entries[0].len - 1);
	entries[0].phys += front;
	entries[0].len -= front;
	last->len -= min(back, last->len - 1);
}

/* One entry of an otherwise good list */
static void decode_fault(u8 fault)
{
	struct entry *entry = &entries[fault / 8 * (nr_entries - 1) / 31];

	too_short = fault % 8 == 4 && nr_entries > 1;
	switch (fault % 8) {
	case 5:
		entry->len = 0;
		break;
	case 6:
		entry->phys %= BIT_ULL(KIND_SHIFT);
		entry->phys += NOWHERE * BIT_ULL(KIND_SHIFT);
		break;
	case 7:
		entry->phys %= BIT_ULL(KIND_SHIFT);
		entry->phys += UNREACHABLE * BIT_ULL(KIND_SHIFT);
		break;
	}
}

static void sg_fill(struct scatterlist *sg, const struct entry *entry,
		    unsigned int i)
{
	u64 pfn = entry->phys >> PAGE_SHIFT;
	/* Offsets may be more than a page. */
	u64 back = min_t(u64, pfn, i % 3);

	*sg = (struct scatterlist) {
		.page_link = (unsigned long)phys_page((pfn - back) << PAGE_SHIFT),
		.offset = entry->phys % PAGE_SIZE + back * PAGE_SIZE,
		.length = entry->len,
		/* What is there before does not count. */
		.dma_address = 0x5a5a5a5a + i,
		.dma_length = i * 77,
		.dma_flags = i % 5 ? 0 : SG_DMA_BUS_ADDRESS,
	};
}

static void make_list(void)
{
	static const struct entry behind = { 0x1000, 0x1000 };
	struct scatterlist *sg = list;
	unsigned int i, count = nr_entries + BEHIND;

	memset(list, 0, sizeof(list));
	for (i = 0; i < count; i++) {
		sg_fill(sg, i < nr_entries ? &entries[i] : &behind, i);
		sgs[i] = sg++;
		if (i % chain == chain - 1 && i < count - 1) {
			/* Not right behind it */
			sg->page_link = (unsigned long)(sg + 1) | SG_CHAIN;
			sg++;
		}
	}
	sgs[count - 1]->page_link |= SG_END;
	if (too_short)
		sgs[nr_entries / 2 - 1]->page_link |= SG_END;
	memcpy(before, list, sizeof(list));
}

/*
 * The oracle.
 */

static bool contiguous(void)
{
	return always_contiguous || attrs & DMA_ATTR_CONTIGUOUS;
}

static bool crossing(u64 first, u64 last)
{
	return boundary && first / boundary != last / boundary;
}

/* Whether the device could use it, wherever it is */
static bool fits(u64 phys, u64 len)
{
	u64 offset = phys % min_align;

	return len <= max_segment && !crossing(offset, offset + len - 1);
}

static bool has(unsigned int kind)
{
	unsigned int i;

	for (i = 0; i < nr_entries; i++)
		if (entries[i].len && phys_kind(entries[i].phys) == kind)
			return true;
	return false;
}

/* The first entry from @entry on that is not empty, or nr_entries */
static unsigned int skip_empty(unsigned int entry)
{
	while (entry < nr_entries && !entries[entry].len)
		entry++;
	return entry;
}

/*
 * What is bounced and fits into a granule has no more of its offset than it must, unless
 * it meets the next entry at a granule.
 */
static u64 place(const struct entry *entry)
{
	u64 least = entry->phys & align_mask, end = entry->phys + entry->len;
	unsigned int next = skip_empty(entry - entries + 1);

	if (!machine.bounce || contiguous() ||
	    least % granule() + entry->len > granule() ||
	    (next < nr_entries && (end | entries[next].phys) % granule() == 0))
		return entry->phys;
	return least;
}

static bool has_several(void)
{
	return skip_empty(skip_empty(0) + 1) < nr_entries;
}

/* Whether @ret is the error that is documented for this list */
static bool right_error(int ret)
{
	if (too_short || !bytes_all || has(NOWHERE))
		return ret == -EINVAL;
	if (has(UNREACHABLE))
		return ret == -EREMOTEIO;
	if (contiguous() && has_several() && has(BUS))
		return ret == -EINVAL;
	if (contiguous() && !has(BUS) && !fits(entries[skip_empty(0)].phys, bytes_all))
		return ret == -EINVAL;
	if (contiguous() && bytes_all > dma_max_contiguous_size(dev))
		return ret == -EINVAL;
	/* Registers of a bridge's other side cannot be bounced. */
	if (has(BRIDGE) && (contiguous() || machine.bounce) && ret == -EINVAL)
		return true;
	return ret == -ENOMEM && machine.failed;
}

/* Whatever fails, no entry has a DMA address, and nothing else has changed. */
static void check_cleared(void)
{
	unsigned int i, count = too_short ? nr_entries / 2 : nr_entries;
	static struct scatterlist expected[ARRAY_SIZE(before)];
	struct scatterlist *sg;

	memcpy(expected, before, sizeof(before));
	for (i = 0; i < count; i++) {
		sg = &expected[sgs[i] - list];
		sg_dma_address(sg) = DMA_MAPPING_ERROR;
		sg_dma_len(sg) = 0;
		sg_dma_unmark_bus_address(sg);
	}
	FAIL_IF(memcmp(list, expected, sizeof(list)));
}

static void check_refused(void)
{
	check_cleared();
	FAIL_IF(range_taken || !machine_nothing_mapped());
}

/* The part of the list that begins at @addr, in segment and entry */
static void check_chunk(u64 addr, u64 phys, u64 len)
{
	u64 offset;

	if (granule() <= 16) {
		for (offset = 0; offset < len; offset++)
			FAIL_IF(machine_read(addr + offset) != phys + offset);
		return;
	}
	FAIL_IF(machine_read(addr) != phys);
	FAIL_IF(machine_read(addr + len - 1) != phys + len - 1);
	for (offset = granule() - addr % granule(); offset < len;
	     offset += granule()) {
		FAIL_IF(machine_read(addr + offset) != phys + offset);
		FAIL_IF(machine_read(addr + offset - 1) != phys + offset - 1);
	}
}

static void check_segment(struct scatterlist *sg, unsigned int *entry)
{
	const struct entry *first = &entries[*entry];
	u64 addr = sg_dma_address(sg), len = sg_dma_len(sg);

	FAIL_IF(!len || *entry == nr_entries);
	FAIL_IF(sg_dma_is_bus_address(sg) != (phys_kind(first->phys) == BUS));
	if (sg_dma_is_bus_address(sg)) {
		FAIL_IF(addr != first->phys + BUS_OFFSET || len != first->len);
		++*entry;
		nr_bus++;
		return;
	}
	FAIL_IF((addr - place(first)) % min_align);
	if (len > first->len || contiguous()) {
		FAIL_IF(len > max_segment);
		FAIL_IF(crossing(addr, addr + len - 1));
	} else if (crossing(0, place(first) % min_align + len - 1) == 0) {
		FAIL_IF(crossing(addr, addr + len - 1));
	}
	while (len) {
		*entry = skip_empty(*entry);
		FAIL_IF(*entry == nr_entries);
		FAIL_IF(phys_kind(entries[*entry].phys) == BUS);
		FAIL_IF(entries[*entry].len > len);
		check_chunk(addr, entries[*entry].phys, entries[*entry].len);
		addr += entries[*entry].len;
		len -= entries[*entry].len;
		++*entry;
	}
}

/* Nothing but the list, and nothing where there is nothing of it */
static void check_rest(int count)
{
	u64 addr, end, seen = machine.start;
	int i = 0;

	for (addr = machine.start; addr < machine.end; addr = end) {
		u64 from, to;

		end = addr + granule();
		while (i < count && (sg_dma_is_bus_address(sgs[i]) ||
				     sg_dma_address(sgs[i]) + sg_dma_len(sgs[i]) <= addr)) {
			if (!sg_dma_is_bus_address(sgs[i]))
				seen = sg_dma_address(sgs[i]) + sg_dma_len(sgs[i]);
			i++;
		}
		from = i < count ? sg_dma_address(sgs[i]) : end;
		to = i < count ? from + sg_dma_len(sgs[i]) : end;
		if (seen <= addr && from >= end) {
			FAIL_IF(machine_slot(addr)->mapped);
			continue;
		}
		FAIL_IF(!machine_slot(addr)->mapped);
		nr_bounced += !!machine_slot(addr)->bounce;
		if (!machine.bounce)
			continue;
		if (from > addr && seen <= addr) {
			FAIL_IF(machine_read(addr) != ZERO);
			FAIL_IF(machine_read(from - 1) != ZERO);
		}
		if (to < end)
			FAIL_IF(machine_read(to) != ZERO ||
				machine_read(end - 1) != ZERO);
	}
}

static void check_mapped(int count)
{
	unsigned int i, entry = 0;

	FAIL_IF(count < 1 || (unsigned int)count > nr_entries);
	FAIL_IF(contiguous() && count != 1);
	for (i = 0; i < nr_entries + BEHIND; i++) {
		size_t at = sgs[i] - list;

		FAIL_IF(sgs[i]->page_link != before[at].page_link ||
			sgs[i]->offset != before[at].offset ||
			sgs[i]->length != before[at].length);
		if (i >= nr_entries)
			FAIL_IF(memcmp(sgs[i], &before[at], sizeof(before[at])));
		else if (i >= (unsigned int)count)
			FAIL_IF(sg_dma_len(sgs[i]) || sg_dma_is_bus_address(sgs[i]) ||
				sg_dma_address(sgs[i]) != DMA_MAPPING_ERROR);
		if (i >= (unsigned int)count)
			continue;
		entry = skip_empty(entry);
		check_segment(sgs[i], &entry);
	}
	FAIL_IF(skip_empty(entry) != nr_entries);
	FAIL_IF(too_short || has(UNREACHABLE) || has(NOWHERE));
	check_rest(count);
	FAIL_IF(machine.maps != machine_runs());
	FAIL_IF(range_taken && machine.synced != !!machine.domain.ops->iotlb_sync_map);
	FAIL_IF(machine.messages);
	nr_segments += count;
	nr_whole += contiguous();
	nr_mapped++;
}

/* Bytes of the list that caches may have */
static u64 bytes_cached(bool bounces)
{
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < nr_entries; i++)
		if (!bounces || phys_kind(entries[i].phys) != BUS)
			bytes += entries[i].len;
	return bytes;
}

static bool bounces_in_range(void)
{
	return range_taken &&
	       iommu_dma_any_bounces(&machine.cookie);
}

static int map(void)
{
	int ret;

	make_list();
	machine_begin();
	synced_for_device = 0;
	ret = iommu_dma_map_sg(dev, list, nr_entries, dir, attrs);
	nr_ops += nr_entries;
	if (machine.trace)
		printf("mapped: %d\n", ret);
	return ret;
}

static void check_synced(u64 synced, bool bounces, bool none)
{
	if (none || (dev->dma_coherent && !bounces))
		FAIL_IF(synced || machine.waits);
	else
		FAIL_IF(synced != bytes_cached(bounces) || machine.waits != !bounces);
}

/* Mapping is done; making bounces waits once, too. */
static void check_sync(void)
{
	bool bounces = bounces_in_range();

	if (bounces && !dev->dma_coherent)
		FAIL_IF(!machine.waits--);
	check_synced(synced_for_device, bounces,
		     dev->dma_coherent || attrs & DMA_ATTR_SKIP_CPU_SYNC);

	machine.waits = 0;
	synced_for_cpu = 0;
	iommu_dma_sync_sg_for_cpu(dev, list, nr_entries, dir);
	check_synced(synced_for_cpu, bounces, dir == DMA_TO_DEVICE && !bounces);

	machine.waits = 0;
	synced_for_device = 0;
	iommu_dma_sync_sg_for_device(dev, list, nr_entries, dir);
	check_synced(synced_for_device, bounces, false);
}

static void unmap(void)
{
	bool bounces = bounces_in_range();
	bool skip = attrs & DMA_ATTR_SKIP_CPU_SYNC || !range_taken ||
		    (dir == DMA_TO_DEVICE && !bounces);
	unsigned int i, spans = machine_spans();

	machine.waits = 0;
	machine.unmaps = 0;
	synced_for_cpu = 0;
	iommu_dma_unmap_sg(dev, list, nr_entries, dir, attrs);
	FAIL_IF(machine.messages || machine.unmaps != spans);
	/* An alignment above the granule may leave some free at the beginning. */
	FAIL_IF(machine.vain >= max(spans, 1U) && min_align <= granule());
	for (i = 0; i < nr_entries; i++)
		FAIL_IF(sg_dma_is_bus_address(sgs[i]));
	check_synced(synced_for_cpu, bounces, skip);
}

/* As if it had never been longer. Return: false if it is not. */
static bool shorten(struct scatterlist *sg)
{
	if (sg->length <= granule() || sg->length != sg_dma_len(sg))
		return false;
	sg->length -= granule();
	sg_dma_len(sg) = sg->length;
	return true;
}

static void spoil(struct scatterlist *sg, u8 how, bool first)
{
	switch (how % 4) {
	case 0:
		/* Where the first is, says which mapping it is. */
		if (!first)
			sg_dma_address(sg) += granule();
		break;
	case 1:
		sg_dma_len(sg) += 1 + how;
		break;
	case 2:
		sg_dma_len(sg) = first;
		break;
	default:
		sg_dma_address(sg) += !first;
		sg_dma_len(sg) /= 2;
		sg_dma_len(sg) += first;
	}
}

/*
 * Whatever a driver has done to its list, all of it is unmapped, or whoever ends
 * that is told to look for the rest; and it has been said.
 */
static void unmap_spoilt(u8 how)
{
	struct scatterlist *sg = sgs[how / 8 * (nr_entries - 1) / 31];
	bool first = true;
	unsigned int i;

	for (i = 0; sgs[i] != sg; i++)
		first &= sg_dma_is_bus_address(sgs[i]);
	if (!(how & 4) || !shorten(sg))
		spoil(sg, how, first);
	machine.waits = 0;
	machine.holes = true;
	iommu_dma_unmap_sg(dev, list, nr_entries, dir, attrs);
	FAIL_IF(range_taken);
}

/* What cannot be unmapped is told of, and neither it nor its pages are used again. */
static void check_stuck(void)
{
	u64 addr = machine.start;

	while (!machine_slot(addr)->mapped)
		addr += granule();
	machine.waits = 0;
	machine.sticks = addr;
	iommu_dma_unmap_sg(dev, list, nr_entries, dir, attrs);
	FAIL_IF(!machine.messages || !range_taken || !machine_nothing_stale());
	machine.sticks = 0;
	range_taken = false;
}

static void check_failure(unsigned int nth)
{
	/* One that callers may try again, one that the layer has itself, and another */
	static const int errors[] = { -ENOMEM, -EFAULT, -EIO };
	int ret, error = errors[nth % ARRAY_SIZE(errors)];

	machine.fail_nth = nth;
	machine.error = error;
	machine.stick_nth = nth % 8 == 5;
	ret = map();
	machine.fail_nth = 0;
	machine.error = 0;
	machine.stick_nth = 0;
	/* The first call is for addresses, which has no error of its own. */
	FAIL_IF(machine.vain > 2 * BITS_PER_LONG && !machine.stuck);
	if (machine.stuck)
		FAIL_IF(ret >= 0);
	else
		FAIL_IF(ret != (nth == 1 || error == -ENOMEM ? -ENOMEM : -EINVAL));
	check_cleared();
	FAIL_IF(range_taken != machine.stuck);
	range_taken = false;
	nr_failed++;
}

static void show(void)
{
	unsigned int i;

	printf("granule %#lx alignment %#lx boundary %#lx segment %#x%s%s\n",
	       granule(), min_align, boundary, max_segment,
	       contiguous() ? " contiguous" : "", machine.bounce ? " bounce" : "");
	for (i = 0; i < nr_entries; i++)
		printf("%u: %#lx bytes at %#lx\n", i, entries[i].len,
		       entries[i].phys);
}

static void fuzz_report(void)
{
	printf("%llu operations in %llu inputs: ", nr_ops, nr_inputs);
	printf("%llu lists mapped as %llu segments, %llu of them as one, ",
	       nr_mapped, nr_segments, nr_whole);
	printf("%llu of one granule that was at hand, ", nr_at_hand);
	printf("%llu granules bounced, %llu bus addresses, ", nr_bounced, nr_bus);
	printf("%llu lists refused, %llu failures undone\n", nr_refused, nr_failed);
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_init();
	machine.trace = getenv("FUZZ_TRACE");
	return 0;
}

static void decode(const u8 *data, size_t size)
{
	struct header header = {};
	struct record record;
	size_t at = min(size, sizeof(header));
	unsigned int i;

	memcpy(&header, data, at);
	decode_header(&header);
	nr_entries = 0;
	do {
		memset(&record, 0, sizeof(record));
		memcpy(&record, data + at, min(size - at, sizeof(record)));
		decode_record(&record);
		at += sizeof(record);
	} while (at < size && nr_entries < MAX_ENTRIES);
	if (meet)
		cut_ends(header.more % granule(), header.flags % granule());
	decode_fault(header.fault);
	bytes_all = 0;
	for (i = 0; i < nr_entries; i++)
		bytes_all += entries[i].len;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	unsigned int calls, nth;
	int ret;

	fuzz_input();
	decode(data, size);
	if (machine.trace)
		show();
	ret = map();
	if (ret < 0) {
		FAIL_IF(!right_error(ret));
		FAIL_IF(attrs & DMA_ATTR_NO_WARN && machine.messages);
		FAIL_IF(!(attrs & DMA_ATTR_NO_WARN) && !machine.messages &&
			ret != -EREMOTEIO);
		check_refused();
		nr_refused++;
		return 0;
	}
	check_mapped(ret);
	check_sync();
	calls = machine.calls;
	unmap();
	FAIL_IF(range_taken || !machine_nothing_mapped());
	for (nth = 1; nth <= calls; nth += 1 + calls / MAX_FAILURES)
		check_failure(nth);
	if (calls)
		check_failure(calls);
	if (size && data[0] & 8 && map() > 0 && range_taken)
		unmap_spoilt(data[size - 1]);
	if (map() > 0 && range_taken)
		check_stuck();
	return 0;
}
