// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing of batch.c. The input is a granule, where the range begins, and pieces of
 * memory, three bytes each, that lie in it without gaps, or each in granules of
 * its own, or anyhow.
 *
 * A machine records what is mapped and what is bounced (see machine.h). The
 * oracle reads it as the device would, and knows of batch.c only its promises:
 *
 *   - each byte of each piece is there, in its place;
 *   - bytes of no piece are zero, or next to a piece's in memory if the device
 *     may see that, and granules without a piece's byte are not mapped;
 *   - memory that fills a granule at the right offset is never bounced, and is
 *     mapped in as few calls as can be;
 *   - whichever call fails, its error is returned, nothing is called after it,
 *     and after undoing nothing is mapped, or else it is said;
 *   - what was mapped together is unmapped together.
 *
 * Most granules here are tiny, and then each byte is looked at. In granules of a
 * real IOMMU's sizes these are the ones at which something begins or ends.
 */

#include "fuzz.h"
#include "machine.h"

#define PROT		(IOMMU_READ | IOMMU_WRITE | IOMMU_PRIV)
#define MAX_PIECES	1024
#define MAX_FAILURES	24		/* of the calls of one input */

struct piece {
	u64 addr, phys, len;
	bool bounce;
};

static struct piece pieces[MAX_PIECES];
static unsigned int nr_pieces, tried;
static u64 range_start, range_end;
static bool undo_all, with_sync;
static unsigned int stick;	/* of so many unmaps one fails; 0: none */

static unsigned long long nr_bounced, nr_direct, nr_runs, nr_shared, nr_failed,
			  nr_hidden;

/*
 * From input to pieces.
 */

enum { GAPLESS, APART, ANYHOW, MODES };

struct header {
	u8 granule, flags, base;
};

struct record {
	u8 what, phys, len;
};

static unsigned int mode;

static void decode_header(const struct header *h)
{
	static const u8 granules_shift[] = { 3, 4, 3, 4, 12, 14, 16, 3 };
	static const u64 bases[] = { 1, 0xffffff, BIT_ULL(36), 0x123456789 };

	with_sync = !(h->flags & 1);
	machine_setup(granules_shift[h->granule % 8], with_sync);
	machine.bounce = h->flags & 2;
	machine.prot = PROT;
	undo_all = h->flags & 4;
	mode = h->flags / 8 % MODES;
	stick = h->base / 32;
	machine.dev.dma_coherent = h->base & 4;
	range_start = bases[h->base % 4] * granule();
}

static u64 decode_phys(const struct record *r, const struct piece *before,
		       u64 addr)
{
	u64 some = (0x100000 + r->phys * 7919ULL) * granule();

	switch (r->what % 8) {
	case 0 ... 1:
		return before->phys + before->len;
	case 2:
		return some + addr % granule();
	case 3:
		return before->phys + (addr - before->addr);
	case 4:
		return some + r->phys % granule();
	case 5:
		return some;
	case 6:
		return ALIGN(before->phys + before->len, granule()) +
		       addr % granule();
	default:
		return before->phys + granule() * (r->phys % 4);
	}
}

static u64 decode_addr(const struct record *r, const struct piece *before)
{
	u64 end = before->addr + before->len;

	if (mode != ANYHOW || r->what & 0x40)
		return end;
	if (r->what & 0x20)
		return end + r->len / 8 % granule();
	return ALIGN(end, granule()) + r->len / 8 % 4 * granule() +
	       (r->what & 0x10 ? r->len % granule() : 0);
}

static u64 decode_len(const struct record *r, u64 addr, u64 phys)
{
	u64 n = r->len % 32;

	switch (r->len / 32) {
	case 0:
		return 1 + n;
	case 1:
		return (1 + n) * granule();
	case 2:
		return granule() - addr % granule();
	case 3:
		return granule() - phys % granule();
	case 4:
		return (1 + n) * granule() - addr % granule();
	case 5:
		return (1 + n) * granule() - phys % granule();
	case 6:
		return n < 24 ? 1 + n * granule() / 8 : (n - 23) * 20 * granule();
	default:
		return (1 + n / 4) * granule() + n % 4 - 1;
	}
}

/* Return: false if no more fit. */
static bool decode_record(const struct record *r)
{
	static const struct piece none = { .phys = 0x7654321 };
	struct piece before = nr_pieces ? pieces[nr_pieces - 1] : none;
	struct piece *piece = &pieces[nr_pieces];

	if (!nr_pieces)
		before.addr = range_start;
	piece->addr = decode_addr(r, &before);
	piece->phys = decode_phys(r, &before, piece->addr);
	/* As the layout does it */
	if (mode == APART || (mode == GAPLESS && !nr_pieces))
		piece->addr = ALIGN(piece->addr, granule()) +
			      piece->phys % granule();
	piece->len = decode_len(r, piece->addr, piece->phys);
	piece->bounce = machine.bounce && !(r->what & 0x80);
	if (piece->addr + piece->len > range_start + MACHINE_GRANULES * granule())
		return false;
	range_end = ALIGN(piece->addr + piece->len, granule());
	return ++nr_pieces < MAX_PIECES;
}

/*
 * The oracle.
 */

/* Pieces with bytes in a granule: from @first on, @count of them */
struct inside {
	unsigned int first, count;
	bool bounce;	/* one of them is not to be seen with what is around it */
};

static struct inside pieces_inside(unsigned int from, u64 start)
{
	struct inside in = { .first = from };
	const struct piece *piece;

	while (in.first < nr_pieces &&
	       pieces[in.first].addr + pieces[in.first].len <= start)
		in.first++;
	for (piece = &pieces[in.first];
	     piece < &pieces[nr_pieces] && piece->addr < start + granule(); piece++) {
		in.bounce |= piece->bounce;
		in.count++;
	}
	return in;
}

/* Whether memory as it is can be what the device is to find in a granule */
static bool can_be_direct(struct inside in, u64 start)
{
	const struct piece *piece = &pieces[in.first];
	const struct piece *last = &pieces[in.first + in.count - 1];
	bool full = piece->addr <= start &&
		    last->addr + last->len >= start + granule();

	if (piece->addr % granule() != piece->phys % granule())
		return false;
	for (; piece < last; piece++)
		if (piece[1].addr != piece->addr + piece->len ||
		    piece[1].phys != piece->phys + piece->len)
			return false;
	if (full || !in.bounce)
		return true;
	if (!last->bounce)
		nr_hidden++;
	return false;
}

static void check_byte(struct inside in, u64 addr)
{
	u64 found = machine_read(addr);
	unsigned int i;

	for (i = in.first; i < in.first + in.count; i++) {
		const struct piece *piece = &pieces[i];

		if (addr < piece->addr || addr >= piece->addr + piece->len)
			continue;
		FAIL_IF(found != piece->phys + (addr - piece->addr));
		return;
	}
	FAIL_IF(found == FAULT);
	if (in.bounce || machine_slot(addr)->bounce)
		FAIL_IF(found != ZERO);
}

static void check_bytes(struct inside in, u64 start)
{
	u64 addr, last = start + granule() - 1;
	unsigned int i;

	if (granule() <= 16) {
		for (addr = start; addr <= last; addr++)
			check_byte(in, addr);
		return;
	}
	check_byte(in, start);
	check_byte(in, start + granule() / 2);
	check_byte(in, last);
	for (i = in.first; i < in.first + in.count; i++) {
		u64 first = max(pieces[i].addr, start);
		u64 end = min(pieces[i].addr + pieces[i].len - 1, last);

		check_byte(in, max(first - 1, start));
		check_byte(in, first);
		check_byte(in, end);
		check_byte(in, min(end + 1, last));
	}
}

static void check_granule(struct inside in, u64 start)
{
	struct machine_slot *at = machine_slot(start);

	if (!in.count) {
		FAIL_IF(at->mapped || at->bounce);
		return;
	}
	FAIL_IF(!at->mapped);
	if (can_be_direct(in, start)) {
		FAIL_IF(at->bounce);
		nr_direct++;
	} else {
		FAIL_IF(!at->bounce);
		nr_bounced++;
		nr_shared += in.count > 1;
	}
	check_bytes(in, start);
}

static void check(void)
{
	struct inside in = {};
	bool bounces = false;
	u64 start;

	for (start = range_start; start < range_end; start += granule()) {
		in = pieces_inside(in.first, start);
		check_granule(in, start);
		bounces |= machine_slot(start)->bounce != 0;
	}
	FAIL_IF(machine.maps != machine_runs());
	FAIL_IF(machine.synced != with_sync);
	FAIL_IF(machine.waits != (!machine.dev.dma_coherent && bounces));
	nr_runs += machine.maps;
}

static int make(struct iommu_dma_batch *batch)
{
	int ret = 0;

	machine_begin();
	machine_range(range_start, range_end);
	for (tried = 0; !ret && tried < nr_pieces; tried++) {
		batch->bounce_piece = pieces[tried].bounce;
		ret = iommu_dma_batch_add(batch, pieces[tried].addr,
					  pieces[tried].phys,
					  pieces[tried].len);
	}
	nr_ops += tried;
	return ret ?: iommu_dma_batch_finish(batch, range_start, range_end);
}

static struct iommu_dma_batch new_batch(void)
{
	return (struct iommu_dma_batch) {
		.dev = &machine.dev,
		.cookie = &machine.cookie,
		.prot = PROT,
	};
}

static void check_failure(unsigned int nth)
{
	struct iommu_dma_batch batch = new_batch();
	unsigned int i, spans;
	bool sticks;

	machine.fail_nth = nth;
	machine.stick_nth = 0;
	FAIL_IF(make(&batch) != machine_error(nth));
	spans = machine_spans();
	/* What the core has undone has been. */
	machine.unmaps = 0;
	machine.stick_nth = stick ? 1 + nth % stick : 0;
	for (i = 0; i < (undo_all ? nr_pieces : tried); i++)
		iommu_dma_batch_undo(&batch, pieces[i].addr, pieces[i].len);
	sticks = machine.stick_nth && machine.stick_nth <= spans;
	FAIL_IF(iommu_dma_batch_undo_end(&batch) == sticks);
	FAIL_IF(machine.unmaps != spans);
	FAIL_IF(machine_nothing_mapped() == sticks);
	nr_failed++;
}

static void show(void)
{
	unsigned int i;

	printf("granule %#lx, range %#lx to %#lx%s\n", granule(), range_start,
	       range_end, machine.bounce ? ", bounce" : "");
	for (i = 0; i < nr_pieces; i++)
		printf("%u: %#lx at %#lx, %#lx\n", i, pieces[i].phys,
		       pieces[i].addr, pieces[i].len);
}

static void fuzz_report(void)
{
	printf("%llu operations in %llu inputs: ", nr_ops, nr_inputs);
	printf("%llu granules as they are in %llu runs with ", nr_direct, nr_runs);
	printf("%llu bounced, %llu of them of several pieces, %llu for the first, ",
	       nr_bounced, nr_shared, nr_hidden);
	printf("%llu failures undone\n", nr_failed);
	fflush(stdout);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct header header = {};
	struct record record;
	struct iommu_dma_batch batch;
	unsigned int calls, nth;
	size_t at = min(size, sizeof(header));

	fuzz_input();
	memcpy(&header, data, at);
	decode_header(&header);
	nr_pieces = 0;
	do {
		memset(&record, 0, sizeof(record));
		memcpy(&record, data + at, min(size - at, sizeof(record)));
		at += sizeof(record);
	} while (decode_record(&record) && at < size);
	if (!nr_pieces)
		return 0;
	if (machine.trace)
		show();

	batch = new_batch();
	FAIL_IF(make(&batch));
	check();
	calls = machine.calls;
	for (nth = 1; nth <= calls; nth += 1 + calls / MAX_FAILURES)
		check_failure(nth);
	check_failure(calls);
	return 0;
}

/*
 * A granule of two pieces of which the first is not to be seen with what is around:
 * no branch of its own leads there, by which such an input would be kept.
 */
static const u8 hidden[] = { 0, 2, 0, 0, 0, 1, 0x80, 0, 1 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_init();
	machine.trace = getenv("FUZZ_TRACE");
	return LLVMFuzzerTestOneInput(hidden, sizeof(hidden));
}
