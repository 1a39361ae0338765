// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing of sg-layout.c. The input is a device with its IOMMU, and a list: of
 * a record of four bytes come one or many entries, which often begin where the
 * one before ended, and are as long as some limit is, or nearly.
 *
 * The oracle knows what a layout promises, not how it is made. It divides where
 * the layout masks, and looks at each entry's bytes and granules:
 *
 *   - all bytes are there, once, in order, and nothing else is;
 *   - each segment begins at its memory's offset from an aligned address, and
 *     each granule of the range is one of memory, if one segment was not asked
 *     for;
 *   - wherever the range may begin, no segment of several entries is longer than
 *     the device allows or crosses a boundary; one that is a single entry does
 *     so only if that would anywhere;
 *   - what can be merged is merged, and nothing could begin lower;
 *   - one segment, if asked for, is gapless, and refused if and only if the
 *     device could not use it;
 *   - the same list gives the same places again, also in the short way that
 *     there is for lists whose entries meet aligned.
 */

#include "fuzz.h"
#include "sg-layout.h"

#define MAX_ENTRIES	8192

struct entry {
	u64 phys, len;
	bool bus;	/* does not go through the IOMMU */
};

struct header {
	u8 granule, min_align, boundary, segment;
	u8 base;
};

struct record {
	u8 what, phys, len, repeat;
};

static struct sg_layout layout;
static struct entry entries[MAX_ENTRIES];
static struct sg_place places[MAX_ENTRIES];
static struct sg_cursor cursor;
static unsigned int nr_entries;

static const char *trace;
static unsigned long long nr_merged, nr_moved, nr_alone, nr_bus, nr_whole,
			  nr_refused, nr_dense;

/*
 * From input to list.
 */

static void decode_layout(const struct header *h)
{
	static const u8 granules_shift[] = { 12, 14, 16 };
	unsigned int granule_shift = granules_shift[h->granule % 3];
	u64 segment;

	layout = (struct sg_layout) {
		.granule = 1ULL << granule_shift,
		.min_align = 1ULL
			<< (granule_shift +
			    (h->min_align < 128 ? 0 : h->min_align % 12)),
		.contiguous = h->granule & 0x80,
	};
	/* Usual ones, and some below the granule */
	if (h->boundary % 64 >= 8 && h->boundary % 64 < 40)
		layout.boundary = 1ULL << (h->boundary % 64 + 4);
	else if (h->boundary % 64 == 40)
		layout.boundary = 1ULL << 63;
	switch (h->segment / 32) {
	case 0:
		segment = UINT_MAX;
		break;
	case 1:
		segment = 65536;
		break;
	case 2:
		segment = layout.granule * (1 + h->segment % 32);
		break;
	case 3:
		segment = layout.min_align * (1 + h->segment % 32);
		break;
	case 4:
		segment = layout.granule / 8 * (1 + h->segment % 8);
		break;
	case 5:
		segment = 1ULL << (h->segment % 32);
		break;
	case 6:
		segment = layout.boundary >> (h->segment % 4);
		break;
	default:
		segment = (h->segment % 32 + 1) * 12345;
	}
	layout.max_segment = min_t(u64, max_t(u64, segment, 1), UINT_MAX);
}

static u64 decode_phys(const struct record *r, u64 before)
{
	u64 some = (r->phys * 0x9e3779b97f4a7c15ULL + nr_entries) >> 20;

	switch (r->what % 8) {
	case 0 ... 1:
		return before;
	case 2:
		return (before / layout.granule + 1) * layout.granule;
	case 3:
		return (before / layout.min_align + 1) * layout.min_align;
	case 4:
		return some;
	case 5:
		return some - some % layout.granule;
	case 6:
		return some - some % layout.min_align + r->phys;
	default:
		return (1ULL << 52) - (some % 1024 + (1ULL << 22)) * layout.granule;
	}
}

static u64 decode_len(const struct record *r, u64 phys)
{
	u64 n = r->len % 32, len;

	switch (r->len / 32) {
	case 0:
		len = 1 + n * n * n;
		break;
	case 1:
	case 2:
		len = (1 + n) * layout.granule;
		break;
	case 3:
		len = n * layout.granule + layout.granule - phys % layout.granule;
		break;
	case 4:
		len = (1 + n) * layout.min_align;
		break;
	case 5:
		len = layout.max_segment / (1 + n);
		break;
	case 6:
		len = layout.boundary ? layout.boundary / 4 * (n + 1) :
					(n + 1) << 20;
		len -= n & 1 ? phys % layout.min_align : 0;
		break;
	default:
		len = n < 16 ? UINT_MAX - n :
			       (1ULL << 32) - (n - 15) * layout.granule;
	}
	if (r->what & 0x40)
		len += r->what & 0x20 ? 1 : -1;
	return min_t(u64, max_t(u64, len, 1), UINT_MAX);
}

static void decode_record(const struct record *r)
{
	/* Many of a kind only in the beginning, as that takes time */
	unsigned int times = r->repeat < 244 || nr_entries > 2 ? 1 :
			     4 << (r->repeat - 244);
	u64 before = nr_entries ? entries[nr_entries - 1].phys +
				  entries[nr_entries - 1].len : 1ULL << 32;

	while (times-- && nr_entries < MAX_ENTRIES) {
		struct entry *entry = &entries[nr_entries];

		entry->phys = decode_phys(r, before);
		entry->len = decode_len(r, entry->phys);
		entry->bus = r->what % 32 == 31;
		before = entry->phys + entry->len;
		nr_entries++;
	}
}

/*
 * The oracle.
 */

static bool crossing(u64 first, u64 last)
{
	return layout.boundary &&
	       first / layout.boundary != last / layout.boundary;
}

/* Whether there is a place for it where it does not cross a boundary */
static bool can_be_inside(const struct entry *entry)
{
	return !crossing(entry->phys % layout.min_align,
			 entry->phys % layout.min_align + entry->len - 1);
}

/* First granule behind what ends at @end */
static u64 next_granule(u64 end)
{
	return (end + layout.granule - 1) / layout.granule * layout.granule;
}

/* The lowest address not below @from with this entry's offset */
static u64 congruent(const struct entry *entry, u64 from)
{
	u64 start = from / layout.min_align * layout.min_align +
		    entry->phys % layout.min_align;

	return start < from ? start + layout.min_align : start;
}

static u64 crossings(u64 start, u64 len)
{
	if (!layout.boundary)
		return 0;
	return (start + len - 1) / layout.boundary - start / layout.boundary;
}

/*
 * Where a segment may begin: at the lowest place that crosses as few boundaries
 * as any does. That is here, or else at a boundary.
 */
static void check_start(const struct entry *entry, u64 start, u64 end)
{
	u64 here = congruent(entry, next_granule(end)), there;

	FAIL_IF(start % layout.min_align != entry->phys % layout.min_align);
	if (start == here &&
	    crossings(here, entry->len) ==
	    crossings(entry->phys % layout.min_align, entry->len))
		return;
	FAIL_IF(!crossings(here, entry->len));
	there = congruent(entry, (here / layout.boundary + 1) * layout.boundary);
	FAIL_IF(start != there);
	FAIL_IF(crossings(there, entry->len) !=
		crossings(entry->phys % layout.min_align, entry->len));
	nr_moved++;
}

/* Whether it could go on where @len bytes of a segment end */
static bool can_merge(const struct entry *entry, u64 end, u64 len)
{
	return end % layout.granule == 0 && entry->phys % layout.granule == 0 &&
	       len + entry->len <= layout.max_segment &&
	       !crossing(end - len, end + entry->len - 1);
}

struct segment {
	u64 start, len;
	unsigned int count;
	const struct entry *first;
};

/* As the device sees it, from each of some places where the range may be */
static void check_segment(const struct segment *segment, u64 size, u64 base)
{
	u64 align = layout.min_align;

	if (layout.boundary && size > layout.boundary)
		align = max(align, layout.boundary);
	base *= align;
	/* The allocator's promise */
	if (layout.boundary && size <= layout.boundary && crossing(base, base + size - 1))
		return;
	FAIL_IF((base + segment->start) % layout.min_align !=
		segment->first->phys % layout.min_align);
	if (crossing(base + segment->start,
		     base + segment->start + segment->len - 1))
		FAIL_IF(segment->count > 1 || can_be_inside(segment->first));
	if (segment->len > layout.max_segment)
		FAIL_IF(segment->count > 1);
}

static void check_segments(u64 base)
{
	u64 size = next_granule(cursor.end);
	struct segment segment = {};
	unsigned int i;

	for (i = 0; i <= nr_entries; i++) {
		if (i < nr_entries && !entries[i].bus && places[i].merged) {
			segment.len += entries[i].len;
			segment.count++;
			continue;
		}
		if (segment.count) {
			check_segment(&segment, size, 0);
			check_segment(&segment, size, 1);
			check_segment(&segment, size, base);
			nr_alone += segment.len > layout.max_segment;
		}
		segment.count = 0;
		if (i < nr_entries && !entries[i].bus)
			segment = (struct segment) {
				places[i].start, entries[i].len, 1, &entries[i]
			};
	}
}

static void check_any(void)
{
	unsigned int i, segments = 0;
	u64 end = 0, segment = 0;

	for (i = 0; i < nr_entries; i++) {
		const struct entry *entry = &entries[i];
		u64 start = places[i].start;

		if (entry->bus) {
			segment = 0;
			segments++;
			continue;
		}
		/* In order, and no granule has bytes of two entries. */
		FAIL_IF(end && start / layout.granule <=
			       (end - 1) / layout.granule);
		/* A granule of the range is one of memory. */
		FAIL_IF(start % layout.granule != entry->phys % layout.granule);
		if (places[i].merged) {
			FAIL_IF(!segment || start != end);
			FAIL_IF(!can_merge(entry, end, segment));
			segment += entry->len;
			nr_merged++;
		} else {
			FAIL_IF(segment && can_merge(entry, end, segment));
			check_start(entry, start, end);
			segment = entry->len;
			segments++;
		}
		end = start + entry->len;
	}
	FAIL_IF(cursor.end != end);
	FAIL_IF(cursor.segments != segments);
	FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
}

static void check_contiguous(void)
{
	u64 offset = entries[0].phys % layout.min_align, end = offset;
	bool bus = false;
	unsigned int i;

	for (i = 0; i < nr_entries; i++)
		bus |= entries[i].bus;
	if (bus) {
		FAIL_IF(iommu_dma_layout_fits(&layout, &cursor) !=
			(nr_entries == 1));
		nr_refused++;
		return;
	}
	for (i = 0; i < nr_entries; i++) {
		FAIL_IF(places[i].start != end);
		FAIL_IF(places[i].merged != !!i);
		end += entries[i].len;
	}
	FAIL_IF(cursor.end != end);
	FAIL_IF(cursor.segments != 1);
	/* At a boundary is the best place that there is. */
	if (end - offset > layout.max_segment || crossing(offset, end - 1)) {
		FAIL_IF(iommu_dma_layout_fits(&layout, &cursor));
		nr_refused++;
	} else {
		FAIL_IF(!iommu_dma_layout_fits(&layout, &cursor));
		nr_whole++;
	}
}

static void place(void)
{
	unsigned int i;

	cursor = (struct sg_cursor) {};
	memset(places, 0, sizeof(places[0]) * nr_entries);
	for (i = 0; i < nr_entries; i++) {
		if (entries[i].bus)
			iommu_dma_layout_elsewhere(&cursor);
		else
			places[i] = iommu_dma_layout_next(&layout, &cursor,
							  entries[i].phys,
							  entries[i].len);
		nr_bus += entries[i].bus;
	}
	nr_ops += nr_entries;
}

static void place_again(void)
{
	static struct sg_place before[MAX_ENTRIES];
	struct sg_cursor end = cursor;
	unsigned int i;

	memcpy(before, places, sizeof(places[0]) * nr_entries);
	place();
	FAIL_IF(memcmp(&end, &cursor, sizeof(cursor)));
	for (i = 0; i < nr_entries; i++)
		FAIL_IF(places[i].start != before[i].start ||
			places[i].merged != before[i].merged);
}

/* Where the short way may be gone, it has the same results. */
static void place_dense(void)
{
	u64 bits = 0, bytes = 0, phys = entries[0].phys, before = 0;
	struct sg_cursor dense;
	bool meet = true;
	unsigned int i;

	for (i = 0; i < nr_entries; i++) {
		if (entries[i].bus)
			return;
		if (i) {
			bits |= before | entries[i].phys;
			meet &= before % layout.min_align == 0 &&
				entries[i].phys % layout.min_align == 0;
		}
		before = entries[i].phys + entries[i].len;
		bytes += entries[i].len;
	}
	if (meet && layout.boundary &&
	    phys % layout.min_align + bytes > layout.boundary)
		meet = false;
	FAIL_IF(iommu_dma_layout_is_dense(&layout, phys, bits, bytes) != meet);
	if (!meet || (layout.contiguous && bytes > layout.max_segment))
		return;
	nr_dense++;
	dense = iommu_dma_layout_dense_start(&layout, phys);
	for (i = 0; i < nr_entries; i++) {
		struct sg_place at =
			iommu_dma_layout_dense(&layout, &dense, entries[i].len);

		FAIL_IF(at.start != places[i].start ||
			at.merged != places[i].merged);
	}
	FAIL_IF(dense.end != cursor.end);
}

static void show(void)
{
	unsigned int i;

	printf("granule %#llx alignment %#llx boundary %#llx segment %#llx%s\n",
	       (unsigned long long)layout.granule,
	       (unsigned long long)layout.min_align,
	       (unsigned long long)layout.boundary,
	       (unsigned long long)layout.max_segment,
	       layout.contiguous ? " contiguous" : "");
	for (i = 0; i < nr_entries; i++)
		printf("%u: %#llx bytes at %#llx%s: %#llx%s\n", i,
		       (unsigned long long)entries[i].len,
		       (unsigned long long)entries[i].phys,
		       entries[i].bus ? ", bus" : "",
		       (unsigned long long)places[i].start,
		       places[i].merged ? ", merged" : "");
}

static void fuzz_report(void)
{
	printf("%llu operations in %llu inputs: ", nr_ops, nr_inputs);
	printf("%llu entries merged, %llu moved to a boundary, ", nr_merged,
	       nr_moved);
	printf("%llu by themselves too long, %llu bus addresses, ", nr_alone,
	       nr_bus);
	printf("%llu lists as one segment, %llu refused, %llu dense\n",
	       nr_whole, nr_refused, nr_dense);
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_init();
	trace = getenv("FUZZ_TRACE");
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct header header = {};
	struct record record;
	size_t at = min(size, sizeof(header));

	fuzz_input();
	memcpy(&header, data, at);
	decode_layout(&header);
	nr_entries = 0;
	do {
		memset(&record, 0, sizeof(record));
		memcpy(&record, data + at, min(size - at, sizeof(record)));
		decode_record(&record);
		at += sizeof(record);
	} while (at < size);
	place();
	if (trace)
		show();
	if (layout.contiguous)
		check_contiguous();
	else
		check_any();
	if (iommu_dma_layout_fits(&layout, &cursor))
		check_segments(header.base);
	place_dense();
	place_again();
	return 0;
}
