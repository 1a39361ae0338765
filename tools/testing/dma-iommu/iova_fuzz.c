// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing of iova-space.c. The input is a setup and a sequence of operations, four
 * bytes each; an oracle knows the state of each granule, and nothing of how the
 * allocator works but the promises of its interface:
 *
 *   - nothing is handed out that is not free, nor before its epoch is flushed,
 *     nor outside of the space, the limit, the alignment and the boundary;
 *   - a claim finds exactly what was handed out, once, and nothing else;
 *   - what is reserved is never handed out, now or when it comes back;
 *   - where room is certain, a request succeeds;
 *   - in the end every granule can be had again, and all memory is back.
 */

#include "fuzz.h"
#include "iova-space.h"

/*
 * The oracle. Pages of granules, sorted; what is in none is FREE.
 */

enum {
	FREE,
	RESERVED,
	LIVE,		/* handed out */
	CLAIMED,
	DIRTY,		/* DIRTY + epoch: waits for that flush */
	LATE = DIRTY + IOVA_EPOCHS,	/* LATE + epoch: in time or not */
	RECYCLING = LATE + IOVA_EPOCHS,
	STATES,

	LATER = 0x40,	/* a flag: reserved when it comes back */
	UNSURE = 0x80,	/* a flag: perhaps reserved */
	FLAGS = LATER | UNSURE,
};

#define PAGE_GRANULES	IOVA_CHUNK_GRANULES
#define MAX_PAGES	16384

struct page {
	unsigned long index;
	bool small;	/* a small range has been there: maybe it is a chunk */
	u8 state[PAGE_GRANULES];
};

static struct page *pages[MAX_PAGES], *pool[MAX_PAGES];
static unsigned int nr_pages;

/* The place of the page of @index, or where it has to go */
static unsigned int page_place(unsigned long index)
{
	unsigned int low = 0, high = nr_pages;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (pages[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct page *page_get(unsigned long index)
{
	unsigned int place = page_place(index), i;
	struct page *page;

	if (place < nr_pages && pages[place]->index == index)
		return pages[place];
	FAIL_IF(nr_pages == MAX_PAGES);
	if (!pool[nr_pages])
		pool[nr_pages] = malloc(sizeof(*page));
	page = pool[nr_pages];
	memset(page, 0, sizeof(*page));
	page->index = index;
	for (i = nr_pages++; i > place; i--)
		pages[i] = pages[i - 1];
	pages[place] = page;
	return page;
}

static u8 *state(unsigned long granule)
{
	static struct page *last;

	if (!last || !nr_pages || last->index != granule / PAGE_GRANULES)
		last = page_get(granule / PAGE_GRANULES);
	return &last->state[granule % PAGE_GRANULES];
}

/* Forget everything. The page that state() remembers is in the pool still. */
static void oracle_clear(void)
{
	unsigned int i;

	for (i = 0; i < nr_pages; i++)
		pages[i]->index = ULONG_MAX;
	nr_pages = 0;
}

static void move(u8 *s, u8 to)
{
	if (to == FREE && *s & LATER)
		*s = RESERVED;
	else
		*s = to | (*s & FLAGS);
}

static void change(const struct iova_range *range, u8 from, u8 to)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++) {
		u8 *s = state(g);

		FAIL_IF((*s & ~FLAGS) != from);
		move(s, to);
	}
}

/* The allocator gave us this, so it must be free by now, or might be. */
static void hand_out(const struct iova_range *range)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++) {
		u8 *s = state(g), was = *s & ~FLAGS;

		FAIL_IF(*s & LATER);
		FAIL_IF(was != FREE && was != RECYCLING &&
			(was < LATE || was >= LATE + IOVA_EPOCHS));
		*s = LIVE | (*s & UNSURE);
		if (!range->extent || range->extent->kind == IOVA_KIND_CHUNK)
			page_get(g / PAGE_GRANULES)->small = true;
	}
}

static void replace(u8 from, u8 to)
{
	unsigned int i, k;

	for (i = 0; i < nr_pages; i++)
		for (k = 0; k < PAGE_GRANULES; k++)
			if ((pages[i]->state[k] & ~FLAGS) == from)
				move(&pages[i]->state[k], to);
}

/*
 * The longest run that is free below @limit; with @certain, only what cannot be
 * part of a chunk or wait for anything, so that it is there in one piece.
 */
static unsigned long longest_run(unsigned long first, unsigned long limit,
				 bool certain)
{
	unsigned long begin = first, most = 0, at;
	unsigned int i, k;

	for (i = page_place(first / PAGE_GRANULES); i < nr_pages; i++) {
		for (k = 0; k < PAGE_GRANULES; k++) {
			u8 s = pages[i]->state[k];
			bool free = certain ? !s && !pages[i]->small :
				    (s & ~FLAGS) == FREE ||
				    (s & ~FLAGS) >= LATE;

			if (free)
				continue;
			at = pages[i]->index * PAGE_GRANULES + k;
			if (at > limit)
				goto end;
			if (at > begin)
				most = max(most, at - begin);
			begin = max(begin, at + 1);
		}
	}
end:
	if (limit >= begin)
		most = max(most, limit - begin + 1);
	return most;
}

/*
 * What is under way.
 */

struct setup {
	unsigned int granule_shift;
	unsigned long first, last;
};

static const struct setup setups[] = {
	{ 12, 1, BIT(12) - 1 },
	{ 12, 1, BIT(12) - 1 },
	{ 16, 1, BIT(8) - 1 },
	{ 12, 300, 2300 },
	{ 12, 1, BIT(16) - 1 },
	{ 12, 16, BIT(16) - 1 },
	{ 12, 1, BIT(20) - 1 },
	{ 14, 777, 99999 },
	{ 12, 1, BIT(24) - 1 },
	{ 14, 1, BIT(26) - 1 },
	{ 12, 1, BIT(36) - 1 },
	{ 12, 1, BIT(40) - 1 },
	{ 16, 1, BIT(36) - 1 },
	{ 12, 1, ULONG_MAX - 1 },
	{ 12, 511, 513 },
	{ 12, 513, 4096 },
};

/* Spaces that are small enough to be used up */
#define DRAIN_MAX	4096UL

/* More granules than the oracle wants to look at */
#define HUGE		8192UL

#define MAX_RANGES	2048
#define MAX_FREED	16

struct op {
	u8 what, a, b, c;
};

static const struct setup *setup;
static struct iova_space space;
static struct iova_range live[MAX_RANGES], claimed[MAX_RANGES];
static unsigned int nr_live, nr_claimed, nr_freed;
static unsigned long freed[MAX_FREED];
static int recycling;	/* epoch, or -1 */

static bool trace;	/* say what each operation does: for a finding */
static unsigned long long nr_allocated, nr_refused, nr_returned, nr_wrong,
			  nr_recycled, nr_reserved;

static bool memory_short(void)
{
	return shim_fail_one_in || shim_fail_nth;
}

static unsigned long op_size(const struct op *op)
{
	static const unsigned short sizes[] = {
		1, 1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48,
		63, 64, 65, 66, 100, 127, 128, 129, 200, 255, 256, 257, 300,
		511, 512, 513, 600, 1000, 1024, 1025, 2000, 2048, 4000, 5000,
	};

	switch (op->a) {
	case 255:
		return 0;
	case 254:
		return ULONG_MAX - op->c;
	case 253:
		return (setup->last - setup->first) / (op->c + 1);
	case 128 ... 252:
		return op->a - 127;
	default:
		return sizes[op->a % ARRAY_SIZE(sizes)];
	}
}

static unsigned long op_limit(const struct op *op)
{
	unsigned int width = fls_long(setup->last);

	switch (op->what / 16) {
	case 0 ... 7:
		return setup->last;
	case 8:
		return ULONG_MAX;
	case 9:
		return BIT(op->c % width) - 1 + (op->c >= 192);
	case 10:
		return setup->first + (setup->last - setup->first) / 256 * op->c;
	case 11:
		return setup->first + op->c;
	case 12:
		return BIT(24 - setup->granule_shift) - 1;
	case 13:
		return BIT(28 - setup->granule_shift) - 1;
	case 14:
		return BIT(30 - setup->granule_shift) - 1;
	default:
		return BIT(32 - setup->granule_shift) - 1;
	}
}

static void check_request(const struct iova_request *req,
			  const struct iova_range *range)
{
	FAIL_IF(range->last - range->first + 1 != req->size);
	FAIL_IF(range->last < range->first);
	FAIL_IF(range->first < setup->first || range->last > setup->last);
	FAIL_IF(range->last > req->limit);
	FAIL_IF(range->first % req->align);
	FAIL_IF(req->boundary &&
		range->first / req->boundary != range->last / req->boundary);
}

static bool must_succeed(const struct iova_request *req)
{
	unsigned long limit = min(req->limit, setup->last), need;

	if (!req->size ||
	    __builtin_add_overflow(req->size, req->align - 1, &need) ||
	    __builtin_add_overflow(need, req->boundary ? req->size : 0, &need))
		return false;
	return longest_run(setup->first, limit, true) >= need;
}

/* Too long for a state per granule, so it goes back at once. */
static void try_huge(const struct iova_range *range)
{
	struct iova_range again;
	unsigned long g;
	unsigned int i;

	for (i = page_place(range->first / PAGE_GRANULES); i < nr_pages; i++) {
		g = max(pages[i]->index * PAGE_GRANULES, range->first);
		for (; g <= range->last &&
		     g / PAGE_GRANULES == pages[i]->index; g++)
			hand_out(&(struct iova_range) {
				g, g, .extent = range->extent });
		if (g > range->last)
			break;
	}
	FAIL_IF(!iova_space_claim(&space, range->first, &again));
	FAIL_IF(again.first != range->first || again.last != range->last);
	iova_space_release(&space, &again);
	for (i = page_place(range->first / PAGE_GRANULES); i < nr_pages; i++) {
		g = max(pages[i]->index * PAGE_GRANULES, range->first);
		for (; g <= range->last &&
		     g / PAGE_GRANULES == pages[i]->index; g++)
			move(state(g), FREE);
		if (g > range->last)
			break;
	}
}

/* Return: false if that takes more, which says nothing of what there is. */
static bool do_alloc_one(unsigned long limit)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = limit };
	unsigned long granule = iova_space_alloc_one(&space, limit);
	struct iova_range range = { .first = granule, .last = granule };

	if (trace)
		printf("alloc one up to %lx, cpu %u\n  is %lx\n", limit, shim_cpu,
		       granule);
	if (granule == IOVA_NONE)
		return false;
	nr_allocated++;
	check_request(&req, &range);
	hand_out(&range);
	live[nr_live++] = range;
	return true;
}

static void do_alloc(const struct op *op)
{
	struct iova_request req = {
		.size = op_size(op),
		.align = BIT(op->b % 16 < 14 ? op->b % 16 : 0),
		.limit = op_limit(op),
		.soft = op->c & 2,
		.quick = op->c & 4,
	};
	bool unlucky = memory_short();
	struct iova_range range;

	if (nr_live == MAX_RANGES)
		return;
	if (op->b & 128 && req.size && req.size < BIT(40))
		req.boundary = roundup_pow_of_two(req.size) << (op->b / 16 % 8);
	if (req.size == 1 && req.align == 1 && !req.boundary && op->c & 1 &&
	    do_alloc_one(req.limit))
		return;
	if (trace)
		printf("alloc size %lu align %lu limit %lx boundary %lx%s, cpu %u\n",
		       req.size, req.align, req.limit, req.boundary,
		       req.soft ? " soft" : "", shim_cpu);
	if (!iova_space_alloc(&space, &req, &range)) {
		nr_refused++;
		FAIL_IF(!unlucky && must_succeed(&req));
		return;
	}
	nr_allocated++;
	if (trace)
		printf("  is %lx-%lx\n", range.first, range.last);
	check_request(&req, &range);
	if (req.size > HUGE) {
		try_huge(&range);
		return;
	}
	hand_out(&range);
	live[nr_live++] = range;
}

/* Which of @n the operation means: the newest ones, or any */
static unsigned int op_index(const struct op *op, unsigned int n)
{
	unsigned int i = op->a | (op->b & 15) << 8;

	return op->b & 128 ? i % n : n - 1 - i % min(n, 8);
}

static void claim(unsigned int i)
{
	struct iova_range range, again, *expected = &live[i];

	FAIL_IF(iova_space_size(&space, expected->first) !=
		expected->last - expected->first + 1);
	FAIL_IF(!iova_space_claim(&space, expected->first, &range));
	FAIL_IF(iova_space_size(&space, expected->first));
	FAIL_IF(range.first != expected->first || range.last != expected->last ||
		(expected->extent && range.extent != expected->extent));
	FAIL_IF(iova_space_claim(&space, expected->first, &again));
	change(&range, LIVE, CLAIMED);
	live[i] = live[--nr_live];
	freed[nr_freed++ % MAX_FREED] = range.first;
	if (nr_claimed == MAX_RANGES) {
		change(&range, CLAIMED, FREE);
		iova_space_release(&space, &range);
		return;
	}
	claimed[nr_claimed++] = range;
}

static void give_back(unsigned int i, unsigned int how)
{
	struct iova_range range = claimed[i];
	int epoch = how % 4;

	if (trace)
		printf("give back %lx-%lx, %u, cpu %u\n", range.first, range.last,
		       how % 4, shim_cpu);
	nr_returned++;
	claimed[i] = claimed[--nr_claimed];
	if (epoch >= IOVA_EPOCHS) {
		change(&range, CLAIMED, FREE);
		iova_space_release(&space, &range);
		return;
	}
	/* Late for its epoch: recycled with this flush or with the next */
	change(&range, CLAIMED, (epoch == recycling ? LATE : DIRTY) + epoch);
	iova_space_retire(&space, &range, epoch);
}

static void do_free(const struct op *op)
{
	if (!nr_live)
		return;
	claim(op_index(op, nr_live));
	give_back(nr_claimed - 1, op->c);
}

static bool begins_live(unsigned long granule)
{
	unsigned int i;

	for (i = 0; i < nr_live; i++)
		if (live[i].first == granule)
			return true;
	return false;
}

static void do_wrong_claim(const struct op *op)
{
	const struct iova_range *near = nr_live ? &live[op_index(op, nr_live)] :
						  NULL;
	unsigned long granule = setup->first + op->a * 256 + op->c;
	struct iova_range range;

	switch (op->c % 8) {
	case 0:		/* the granule behind */
		granule = near ? near->last + 1 : granule;
		break;
	case 1:		/* inside */
	case 2:
		granule = near ? near->first + 1 +
			  op->b % (near->last - near->first + 1) : granule;
		break;
	case 3:		/* before */
		granule = near ? near->first - 1 : granule;
		break;
	case 4:		/* once more */
		granule = nr_freed ? freed[op->a % min(nr_freed, MAX_FREED)] :
				     granule;
		break;
	case 5:		/* claimed and not given back */
		granule = nr_claimed ? claimed[op->a % nr_claimed].first : granule;
		break;
	case 6:		/* at the ends of what there is */
		granule = op->b & 1 ? ULONG_MAX - op->a % 2 : op->a % 2;
		break;
	}
	if (begins_live(granule))
		return;
	nr_wrong++;
	FAIL_IF(iova_space_claim(&space, granule, &range));
}

static void recycle_begin(int epoch)
{
	if (trace)
		printf("recycle epoch %d\n", epoch);
	recycling = epoch;
	replace(DIRTY + epoch, RECYCLING);
	replace(LATE + epoch, RECYCLING);
	iova_space_recycle_start(&space, epoch);
}

static void recycle_some(unsigned int budget)
{
	nr_recycled++;
	if (iova_space_recycle(&space, budget))
		return;
	replace(RECYCLING, FREE);
	recycling = -1;
}

static void do_recycle(const struct op *op)
{
	if (recycling < 0)
		recycle_begin(op->a % IOVA_EPOCHS);
	else
		recycle_some(op->b & 128 ? UINT_MAX : 1 + op->b % 16);
}

/* Reserved at once where it is free, and otherwise as its owner allows */
static void reserved(unsigned long granule, bool complete, bool *busy)
{
	u8 *s = state(granule), was = *s & ~FLAGS;

	if (was == RESERVED || *s & LATER)
		return;
	if (!complete || *s & UNSURE || was >= LATE)
		*s |= UNSURE;
	else if (was == FREE)
		*s = RESERVED;
	else
		*busy = true;
}

static void reserved_busy(const struct iova_range *range, unsigned long first,
			  unsigned long last)
{
	unsigned long g;

	first = max(first, range->first);
	last = min(last, range->last);
	for (g = first; g <= last; g++) {
		if (!range->extent)
			*state(g) |= UNSURE;
		else
			*state(g) |= LATER;
	}
}

static void do_reserve(const struct op *op)
{
	unsigned long span = setup->last - setup->first;
	unsigned long first = setup->first + (op->b & 1 ? span / 256 * op->a :
			      op->a * 16UL % (span + 1));
	unsigned long last = first + op->c % (op->b & 2 ? 8 : 256), g;
	bool busy = false, unsure = false, unlucky = memory_short(), complete;
	unsigned int i;
	int ret;

	/* Not too often, or there is nothing left. */
	if (nr_ops % 8)
		return;
	nr_reserved++;
	if (op->b & 4 && nr_live)
		first = live[op->a % nr_live].first, last = first + op->c % 8;
	if ((op->b & 0xf8) == 0xf8) {
		first = setup->last - op->a % 16;
		last = ULONG_MAX;
	}
	ret = iova_space_reserve(&space, first, last);
	if (trace)
		printf("reserve %lx-%lx: %d\n", first, last, ret);
	complete = ret != -ENOMEM;
	FAIL_IF(!complete && !unlucky);

	last = min(last, setup->last);
	for (g = first; g <= last; g++) {
		unsure |= *state(g) & UNSURE || (*state(g) & ~FLAGS) >= LATE;
		reserved(g, complete, &busy);
	}
	if (complete && !unsure)
		FAIL_IF(ret != (busy ? -EBUSY : 0));
	for (g = first; g <= last; g++) {
		u8 *s = state(g), was = *s & ~FLAGS;

		/* What waits for a flush is reserved when it is recycled. */
		if (complete && was >= DIRTY && was < LATE)
			*s |= LATER;
	}
	for (i = 0; complete && i < nr_live; i++)
		reserved_busy(&live[i], first, last);
	for (i = 0; complete && i < nr_claimed; i++)
		reserved_busy(&claimed[i], first, last);
	for (g = first; !complete && g <= last; g++)
		*state(g) |= UNSURE;
}

static void do_gap(const struct op *op)
{
	unsigned long limit = op_limit(op), gap, inside;

	gap = iova_pool_largest(&space.pool, limit);
	inside = min(limit, setup->last);
	if (trace)
		printf("largest gap up to %lx: %lx\n", limit, gap);
	FAIL_IF(gap < longest_run(setup->first, inside, true));
	FAIL_IF(gap > longest_run(setup->first, inside, false));
}

static void do_fail(const struct op *op)
{
	shim_fail_nth = op->a % 4 ? op->a % 4 : 0;
	shim_fail_one_in = op->b % 8 == 7;
	if (trace)
		printf("fail nth %u, one in %u\n", shim_fail_nth, shim_fail_one_in);
}

static void step(const struct op *op)
{
	nr_ops++;
	switch (op->what % 16) {
	case 0 ... 4:
		do_alloc(op);
		break;
	case 5 ... 7:
		do_free(op);
		break;
	case 8:
		if (nr_live && nr_claimed < MAX_RANGES)
			claim(op_index(op, nr_live));
		break;
	case 9:
		if (nr_claimed)
			give_back(op_index(op, nr_claimed), op->c);
		break;
	case 10:
		do_wrong_claim(op);
		break;
	case 11:
		do_recycle(op);
		break;
	case 12:
		do_reserve(op);
		break;
	case 13:
		shim_cpu = op->a % NR_CPUS;
		break;
	case 14:
		do_fail(op);
		break;
	case 15:
		if (op->c % 4)
			shim_rcu_barrier();
		else
			do_gap(op);
		break;
	}
}

static void recycle_all(void)
{
	int epoch;

	while (recycling >= 0)
		recycle_some(3);
	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++) {
		recycle_begin(epoch);
		while (recycling >= 0)
			recycle_some(7);
	}
}

/*
 * Each granule can be had: by some CPU and for some limit, as each CPU has a few
 * to itself for limits of a kind.
 */
static void drain(void)
{
	static struct iova_range all[DRAIN_MAX];
	struct iova_request one = { .size = 1, .align = 1 };
	struct iova_range range;
	unsigned long n = 0, g;
	unsigned int cpu, bits;

	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		shim_cpu = cpu;
		for (bits = 1; bits <= 64 - setup->granule_shift; bits++) {
			one.limit = BIT(bits) - 1;
			while (iova_space_alloc(&space, &one, &range)) {
				check_request(&one, &range);
				hand_out(&range);
				all[n++] = range;
			}
		}
	}
	for (g = setup->first; g <= setup->last; g++)
		FAIL_IF(*state(g) == FREE);
	FAIL_IF(iova_pool_largest(&space.pool, ULONG_MAX));
	while (n--) {
		shim_cpu = n % NR_CPUS;
		FAIL_IF(!iova_space_claim(&space, all[n].first, &range));
		FAIL_IF(range.last != range.first);
		change(&range, LIVE, CLAIMED);
		change(&range, CLAIMED, FREE);
		iova_space_release(&space, &range);
	}
}

static void finish(bool use_up)
{
	shim_fail_nth = 0;
	shim_fail_one_in = 0;
	while (nr_live) {
		claim(nr_live - 1);
		give_back(nr_claimed - 1, 3);
	}
	while (nr_claimed)
		give_back(nr_claimed - 1, nr_claimed);
	recycle_all();
	if (use_up && setup->last - setup->first < DRAIN_MAX) {
		drain();
		drain();
	}
	do_gap(&(struct op) {});
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
}

static void fuzz_report(void)
{
	printf("%llu operations in %llu inputs: ", nr_ops, nr_inputs);
	printf("%llu ranges handed out, %llu requests refused, ",
	       nr_allocated, nr_refused);
	printf("%llu ranges given back, %llu wrong claims, ", nr_returned,
	       nr_wrong);
	printf("%llu portions recycled, %llu reservations\n", nr_recycled,
	       nr_reserved);
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_init();
	trace = getenv("FUZZ_TRACE");
	shim_migrate_one_in = 0;
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct op op;

	if (size < 2)
		return 0;
	fuzz_input();
	setup = &setups[data[0] % ARRAY_SIZE(setups)];
	nr_live = 0;
	nr_claimed = 0;
	nr_freed = 0;
	recycling = -1;
	shim_seed = 88172645463325252 + data[1];
	shim_cpu = 0;
	FAIL_IF(iova_space_init(&space, setup->first, setup->last,
				setup->granule_shift));
	for (size_t at = 2; at + sizeof(op) <= size; at += sizeof(op)) {
		memcpy(&op, data + at, sizeof(op));
		step(&op);
	}
	finish(data[1] % 32 < 2);
	oracle_clear();
	return 0;
}
