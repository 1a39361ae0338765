// SPDX-License-Identifier: GPL-2.0
/*
 * "A request is refused only if no place for it exists."
 *
 * A state is a small space with a random history: ranges of all kinds are had
 * by some CPUs and freed by others, at once or after a flush, and regions are
 * reserved early and late. Then it is settled, so that nothing waits for a
 * flush, and thousands of requests are made. Whatever is refused is looked for
 * in a bitmap of all free granules, which this program keeps on its own: there
 * must be no place for it. Whatever is granted must be a place by the same
 * bitmap. The state goes on changing, as some of what is granted is kept and
 * other ranges are freed.
 *
 * Requests before that are looked at in the same way: what waits is not free.
 * What is refused wrongly is counted by kind, and what is granted wrongly ends
 * the program. A state follows from the seed and its number, so it can be had
 * again:
 *
 *   iova_oracle-plain [VARIANT [SEED]]
 *   OPS=N     requests, in as many states as that takes
 *   STATE=N   this state alone, as often as failures are said to be of it
 *   TRACE=1   say what each call does
 */

#include <signal.h>
#include <unistd.h>

#include "iova-space.h"

#define OPS_PLAIN	4000000UL
#define OPS_OTHER	400000UL	/* slow: for wrong accesses */
#define STATE_SECONDS	120		/* more is for ever */

/* Of what is looked at exhaustively, bit 0 is that of the granule @base. */
#define MAX_GRANULES	BIT(16)
#define MAX_BITS	(MAX_GRANULES + IOVA_WORD)	/* the ends are odd */
#define MAX_WORDS	(MAX_BITS / IOVA_WORD)

/* Hardware has limits of so many bits. */
static const unsigned int zone_bits[] = { 24, 28, 30, 32, 36, 40, 48 };

enum sizes {
	SIZES_PAGES,
	SIZES_WORD,		/* up to a word */
	SIZES_PAIR,		/* up to the most that comes out of chunks */
	SIZES_LARGE,		/* more */
	SIZES_POWERS,		/* each aligned to its size */
	SIZES_MIXED,
	NR_SIZES
};

enum aligns {
	ALIGNS_NONE,
	ALIGNS_SIZE,		/* rounded up to a power of two */
	ALIGNS_WIDER,
	ALIGNS_MIXED,
	NR_ALIGNS
};

enum limits {
	LIMITS_NONE,
	LIMITS_ZONE,
	LIMITS_ANY,
	LIMITS_MIXED,
	NR_LIMITS
};

enum boundaries {
	BOUNDARIES_NONE,
	BOUNDARIES_SOME,
	BOUNDARIES_MIXED,
	NR_BOUNDARIES
};

enum order {
	ORDER_ADDRESS,
	ORDER_RANDOM,
	ORDER_EVERY_OTHER,
	ORDER_ALL_BUT_ONE,	/* per chunk */
	NR_ORDERS
};

static const char *const size_names[] = {
	"pages", "up to a word",  "up to two words",
	"large", "powers of two", "mixed",
};
static const char * const align_names[] = { "none", "size", "wider", "mixed" };
static const char * const limit_names[] = { "none", "zones", "any", "mixed" };
static const char * const boundary_names[] = { "none", "some", "mixed" };

/* What requests are like */
struct mix {
	enum sizes sizes;
	enum aligns aligns;
	enum limits limits;
	enum boundaries boundaries;
};

static struct state {
	unsigned long number;
	unsigned int granule_shift;
	unsigned int cpus;
	unsigned int moves;	/* to another CPU once in so many operations */
	unsigned int retires;	/* so many of 4 ranges wait for a flush */
	unsigned int reserves;	/* a region, once in so many requests */
	unsigned long first, last, granules;
	struct mix mix;
	unsigned long request;	/* since it was settled */
	bool settled;
} state;

static struct iova_space space;
static unsigned int epoch;

/*
 * The truth. What is reserved while it is in use becomes reserved when it is
 * freed.
 */
static unsigned long base, nr_bits;
static unsigned long free_map[MAX_WORDS], reserved_map[MAX_WORDS];
static unsigned long begin_map[MAX_WORDS];	/* of ranges handed out */
static unsigned long waiting_map[IOVA_EPOCHS][MAX_WORDS];
static unsigned int length[MAX_BITS];
static unsigned long nr_busy;		/* granules handed out, or waiting */

static unsigned long seed;
static bool trace;

/*
 * What has been counted, by kind of request
 */

enum { KIND_WORD, KIND_PAIR, KIND_LARGE, NR_SIZE_KINDS };
enum {
	KIND_ALIGNED = BIT(0), KIND_LIMITED = BIT(1), KIND_BOUNDARY = BIT(2),
	NR_FLAG_KINDS = BIT(3)
};

struct place {
	unsigned long count, lowest, highest;
};

/* The first that was refused wrongly */
struct failure {
	struct state state;
	struct iova_request req;
	struct place place;
	unsigned int cpu;
};

static struct kind {
	unsigned long requests, granted, refused, wrong, wrong_unsettled;
	struct failure failure;
} kinds[NR_SIZE_KINDS][NR_FLAG_KINDS];

static struct failure first_failure;
static unsigned long nr_requests, nr_states, nr_wrong;

static struct kind *request_kind(const struct iova_request *req)
{
	unsigned int size = req->size <= IOVA_WORD	? KIND_WORD :
			    req->size <= IOVA_SMALL_MAX ? KIND_PAIR :
							  KIND_LARGE;
	unsigned int flags = (req->align > 1 ? KIND_ALIGNED : 0) |
			     (req->limit < state.last ? KIND_LIMITED : 0) |
			     (req->boundary ? KIND_BOUNDARY : 0);

	return &kinds[size][flags];
}

static void say_state(const struct state *s)
{
	printf("# SEED=%lu STATE=%lu: granules %#lx to %#lx of %u KiB, %u CPUs; sizes: %s; alignments: %s; limits: %s; boundaries: %s; %u of 4 wait for a flush; a region is reserved in %u requests\n",
	       seed, s->number, s->first, s->last,
	       1U << (s->granule_shift - 10), s->cpus, size_names[s->mix.sizes],
	       align_names[s->mix.aligns], limit_names[s->mix.limits],
	       boundary_names[s->mix.boundaries], s->retires, s->reserves);
}

static void say_request(const struct state *s, const struct iova_request *req,
			unsigned int cpu)
{
	printf("# request %lu%s: size %lu, align %lu, limit %#lx, boundary %lu%s, by CPU %u\n",
	       s->request, s->settled ? "" : " (not settled)", req->size,
	       req->align, req->limit, req->boundary, req->soft ? ", soft" : "",
	       cpu);
}

static void say_failure(const struct failure *f)
{
	say_state(&f->state);
	say_request(&f->state, &f->req, f->cpu);
	printf("# is refused, and has %lu places, from %#lx to %#lx\n",
	       f->place.count, f->place.lowest, f->place.highest);
}

/* Whatever ends the program, say where. */
static void say_died(void)
{
	printf("# died in request %lu of\n", state.request);
	say_state(&state);
	fflush(stdout);
}

static void died(int sig)
{
	say_died();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Which of @size bits from @bit on are in word @w */
static unsigned long in_word(unsigned long w, unsigned long bit,
			     unsigned long size)
{
	unsigned long from = max(bit, w * IOVA_WORD);
	unsigned long to = min(bit + size, (w + 1) * IOVA_WORD);

	return iova_word_bits(from % IOVA_WORD, to - from);
}

static void set_bits(unsigned long *map, unsigned long bit, unsigned long size)
{
	unsigned long w;

	for (w = bit / IOVA_WORD; w * IOVA_WORD < bit + size; w++)
		map[w] |= in_word(w, bit, size);
}

/*
 * Looking for places, a word at a time
 */

/* Of a run that begins in @bits, so many granules more are free. */
static unsigned long and_shifted(unsigned long *starts, unsigned long words,
				 unsigned long shift)
{
	unsigned long skip = shift / IOVA_WORD, i, any = 0;
	unsigned int bits = shift % IOVA_WORD;
	const unsigned long *from = starts + skip;

	if (skip >= words)
		return 0;
	words -= skip;
	if (bits) {
		for (i = 0; i < words; i++) {
			starts[i] &= from[i] >> bits |
				     from[i + 1] << (IOVA_WORD - bits);
			any |= starts[i];
		}
	} else {
		for (i = 0; i < words; i++) {
			starts[i] &= from[i];
			any |= starts[i];
		}
	}
	starts[words] = 0;
	return any ? words : 0;
}

/* Where in a word at @first a range may begin that crosses no boundary */
static unsigned long within_boundary(unsigned long first,
				     const struct iova_request *req)
{
	unsigned long most, at;

	if (!req->boundary)
		return ~0UL;
	/* From a boundary to the last place above it */
	most = req->boundary - req->size;
	if (req->boundary >= IOVA_WORD) {
		at = first % req->boundary;
		if (at > most)
			return 0;
		most -= at;
		return most >= IOVA_WORD - 1 ? ~0UL : BIT(most + 1) - 1;
	}
	/* As many of each boundary in the word */
	return (~0UL / (BIT(req->boundary) - 1)) * (BIT(most + 1) - 1);
}

/*
 * Whether @req has a place. If @place, all are counted.
 */
static bool find_place(const struct iova_request *req, struct place *place)
{
	static unsigned long starts[MAX_WORDS + 1];
	unsigned long last = min(req->limit, state.last), aligned = ~0UL;
	unsigned long words, bits, have, step, w, found;

	if (place)
		*place = (struct place) {};
	if (last < state.first || (req->boundary && req->boundary < req->size))
		return false;
	bits = last - base + 1;
	if (req->size > bits)
		return false;
	words = BITS_TO_LONGS(bits);
	memcpy(starts, free_map, words * sizeof(*starts));
	starts[words - 1] &= BITMAP_LAST_WORD_MASK(bits);
	starts[words] = 0;
	for (have = 1; have < req->size; have += step) {
		step = min(have, req->size - have);
		words = and_shifted(starts, words, step);
		if (!words)
			return false;
	}

	/* The word of a multiple of a wider alignment has it first. */
	step = max(req->align / IOVA_WORD, 1UL);
	w = (ALIGN(base, step * IOVA_WORD) - base) / IOVA_WORD;
	if (req->align >= IOVA_WORD)
		aligned = 1;
	else if (req->align > 1)
		aligned = ~0UL / (BIT(req->align) - 1);
	for (; w < words; w += step) {
		found = starts[w] & aligned;
		if (!found)
			continue;
		found &= within_boundary(base + w * IOVA_WORD, req);
		if (!found)
			continue;
		if (!place)
			return true;
		if (!place->count)
			place->lowest = base + w * IOVA_WORD + __ffs(found);
		place->highest = base + w * IOVA_WORD + __fls(found);
		place->count += hweight_long(found);
	}
	return place && place->count;
}

static bool is_free(unsigned long first, unsigned long last)
{
	return first >= state.first && last <= state.last && first <= last &&
	       find_next_zero_bit(free_map, last - base + 1, first - base) >
	       last - base;
}

/* Whether what a range satisfies is what @req asks for */
static bool is_place(const struct iova_request *req, unsigned long first,
		     unsigned long last)
{
	return last - first + 1 == req->size && first % req->align == 0 &&
	       last <= req->limit && first != IOVA_NONE &&
	       is_free(first, last) &&
	       (!req->boundary ||
		first / req->boundary == last / req->boundary);
}

/*
 * Requests
 */

static unsigned long draw_size(enum sizes sizes)
{
	/* About a chunk, where what is rounded up and what is not differ */
	static const unsigned short large[] = {
		129, 192, 255, 256, 257, 258, 300,
		511, 512, 513, 640, 1024, 1025,
	};

	switch (sizes) {
	case SIZES_PAGES:
		return 1;
	case SIZES_WORD:
		return 1 + shim_below(IOVA_WORD);
	case SIZES_PAIR:
		return IOVA_WORD + 1 + shim_below(IOVA_SMALL_MAX - IOVA_WORD);
	case SIZES_LARGE:
		if (shim_one_in(2))
			return large[shim_below(ARRAY_SIZE(large))];
		return IOVA_SMALL_MAX + 1 + shim_below(2 * IOVA_CHUNK_GRANULES);
	case SIZES_POWERS:
		return BIT(shim_below(IOVA_CHUNK_SHIFT + 2));
	default:
		return draw_size(shim_below(SIZES_MIXED));
	}
}

static unsigned long draw_align(enum aligns aligns, unsigned long size)
{
	switch (aligns) {
	case ALIGNS_NONE:
		return 1;
	case ALIGNS_SIZE:
		return roundup_pow_of_two(size);
	case ALIGNS_WIDER:
		return roundup_pow_of_two(size) << (1 + shim_below(4));
	default:
		return draw_align(shim_below(ALIGNS_MIXED), size);
	}
}

static unsigned long draw_zone_limit(void)
{
	unsigned int bits = zone_bits[shim_below(ARRAY_SIZE(zone_bits))];

	return BIT(bits - state.granule_shift) - 1;
}

static unsigned long draw_limit(enum limits limits)
{
	unsigned long limit;

	switch (limits) {
	case LIMITS_NONE:
		return shim_one_in(8) ? ULONG_MAX : state.last;
	case LIMITS_ZONE:
		limit = draw_zone_limit();
		return limit >= state.first ? limit : state.last;
	case LIMITS_ANY:
		return state.first + shim_below(state.granules);
	default:
		return draw_limit(shim_below(LIMITS_MIXED));
	}
}

static unsigned long draw_boundary(enum boundaries boundaries,
				   unsigned long size)
{
	switch (boundaries) {
	case BOUNDARIES_NONE:
		return 0;
	case BOUNDARIES_SOME:
		return roundup_pow_of_two(size) << shim_below(6);
	default:
		return draw_boundary(shim_below(BOUNDARIES_MIXED), size);
	}
}

static void draw_request(const struct mix *mix, struct iova_request *req)
{
	*req = (struct iova_request) { .size = draw_size(mix->sizes) };
	req->align = mix->sizes == SIZES_POWERS ?
			     req->size :
			     draw_align(mix->aligns, req->size);
	req->limit = draw_limit(mix->limits);
	req->boundary = draw_boundary(mix->boundaries, req->size);
}

static void draw_mix(struct mix *mix)
{
	mix->sizes = shim_below(NR_SIZES);
	mix->aligns = shim_below(NR_ALIGNS);
	mix->limits = shim_below(NR_LIMITS);
	/* Most requests have none. */
	mix->boundaries = shim_one_in(2) ? BOUNDARIES_NONE :
					   shim_below(NR_BOUNDARIES);
}

/* A free run, from bit @begin to before @end: any, or a long one of some */
static bool draw_run(unsigned long *begin, unsigned long *end)
{
	unsigned int tries = shim_one_in(4) ? 16 : 1;
	unsigned long from, to;

	*begin = *end = 0;
	while (tries--) {
		from = find_next_zero_bit(free_map, nr_bits,
					  shim_below(nr_bits));
		from = find_next_bit(free_map, nr_bits, from);
		if (from >= nr_bits)
			from = find_next_bit(free_map, nr_bits, 0);
		if (from >= nr_bits)
			return false;
		to = find_next_zero_bit(free_map, nr_bits, from);
		if (to - from > *end - *begin) {
			*begin = from;
			*end = to;
		}
	}
	return true;
}

/* A request that has a place, and perhaps no other */
static bool draw_fitting(const struct mix *mix, struct iova_request *req)
{
	unsigned long begin, end, first, last, size;

	if (!draw_run(&begin, &end))
		return false;
	size = end - begin;
	if (shim_one_in(4))
		size = 1 + shim_below(size);
	else if (shim_one_in(2))
		size = min(size, draw_size(mix->sizes));
	first = base + begin;
	if (shim_one_in(2))
		first = base + end - size;
	else if (shim_one_in(2))
		first += shim_below(end - begin - size + 1);
	last = first + size - 1;

	*req = (struct iova_request){ .size = size,
				      .align = 1,
				      .limit = ULONG_MAX };
	if (shim_one_in(2)) {
		req->align = first & -first;
		req->align >>= shim_below(ilog2(req->align) + 1);
	}
	if (shim_one_in(2))
		req->limit = last;
	else if (shim_one_in(2))
		req->limit = state.last;
	/* The narrowest that it does not cross, or one that is wider */
	if (shim_one_in(4))
		req->boundary = BIT(fls_long(first ^ last) + shim_below(4));
	FAIL_IF(!is_place(req, first, last));
	return true;
}

static void maybe_move(void)
{
	if (shim_one_in(state.moves))
		shim_cpu = shim_below(state.cpus);
}

static void hand_out(const struct iova_range *range)
{
	unsigned long bit = range->first - base,
		      size = range->last - range->first + 1;

	bitmap_clear(free_map, bit, size);
	__set_bit(bit, begin_map);
	length[bit] = size;
	nr_busy += size;
}

static void refused(const struct iova_request *req, struct kind *kind)
{
	struct failure f = { .state = state, .req = *req, .cpu = shim_cpu };

	if (req->soft)
		return;
	if (!find_place(req, NULL)) {
		kind->refused += state.settled;
		return;
	}
	find_place(req, &f.place);
	if (!nr_wrong++) {
		first_failure = f;
		printf("not ok: a request that has a place is refused\n");
		say_failure(&f);
		fflush(stdout);
	}
	if (!(kind->wrong + kind->wrong_unsettled))
		kind->failure = f;
	if (state.settled)
		kind->wrong++;
	else
		kind->wrong_unsettled++;
	if (trace)
		say_failure(&f);
}

static bool ask(const struct iova_request *req, struct iova_range *range)
{
	struct kind *kind = request_kind(req);
	bool granted;

	maybe_move();
	state.request++;
	kind->requests += state.settled;
	nr_requests += state.settled;
	if (trace)
		say_request(&state, req, shim_cpu);
	granted = iova_space_alloc(&space, req, range);
	if (!granted) {
		refused(req, kind);
		return false;
	}
	if (trace)
		printf("# is %#lx to %#lx\n", range->first, range->last);
	if (!is_place(req, range->first, range->last)) {
		say_request(&state, req, shim_cpu);
		printf("# is granted %#lx to %#lx\n", range->first,
		       range->last);
		shim_die(__FILE__, __LINE__, "what is granted is no place");
	}
	hand_out(range);
	kind->granted += state.settled;
	return true;
}

/* The other way to have one granule may leave it to iova_space_alloc(). */
static bool ask_one(unsigned long limit)
{
	const struct iova_request req = { .size = 1,
					  .align = 1,
					  .limit = limit };
	struct iova_range range;

	maybe_move();
	range.first = iova_space_alloc_one(&space, limit);
	if (range.first == IOVA_NONE)
		return false;
	range.last = range.first;
	if (trace)
		printf("# one up to %#lx by CPU %u is %#lx\n", limit, shim_cpu,
		       range.first);
	FAIL_IF(!is_place(&req, range.first, range.last));
	hand_out(&range);
	return true;
}

/*
 * Freeing
 */

/* Granules from @bit on are free, unless they have been reserved meanwhile. */
static void set_free(unsigned long bit, unsigned long size)
{
	unsigned long w;

	for (w = bit / IOVA_WORD; w * IOVA_WORD < bit + size; w++)
		free_map[w] |= in_word(w, bit, size) & ~reserved_map[w];
	nr_busy -= size;
}

static void give_back(unsigned long bit, bool retire)
{
	unsigned long size = length[bit];
	struct iova_range range;

	maybe_move();
	FAIL_IF(!iova_space_claim(&space, base + bit, &range));
	FAIL_IF(range.first != base + bit ||
		range.last != range.first + size - 1);
	if (trace)
		printf("# CPU %u %s %#lx to %#lx\n", shim_cpu,
		       retire ? "retires" : "releases", range.first,
		       range.last);
	__clear_bit(bit, begin_map);
	maybe_move();
	if (retire) {
		iova_space_retire(&space, &range, epoch);
		/* What is taken with a live range is free if need be; no more. */
		bitmap_clear(free_map, bit + size, range.spare);
		nr_busy += range.spare;
		set_bits(waiting_map[epoch], bit, size + range.spare);
		return;
	}
	iova_space_release(&space, &range);
	set_free(bit, size);
}

static bool draw_retire(void)
{
	return shim_below(4) < state.retires;
}

static void flush(void)
{
	unsigned int old = epoch, w;
	unsigned long *waiting;

	epoch = (epoch + 1) % IOVA_EPOCHS;
	maybe_move();
	if (trace)
		printf("# CPU %u flushes\n", shim_cpu);
	iova_space_recycle_start(&space, old);
	while (iova_space_recycle(&space, 1 + shim_below(8)))
		maybe_move();
	waiting = waiting_map[old];
	for (w = 0; w < BITS_TO_LONGS(nr_bits); w++) {
		nr_busy -= hweight_long(waiting[w]);
		free_map[w] |= waiting[w] & ~reserved_map[w];
		waiting[w] = 0;
	}
}

static void settle(void)
{
	unsigned int i;

	for (i = 0; i < IOVA_EPOCHS; i++)
		flush();
}

/* The next range that has been handed out, from @bit on and round */
static unsigned long next_range(unsigned long bit)
{
	bit = find_next_bit(begin_map, nr_bits, bit);
	return bit < nr_bits ? bit : find_next_bit(begin_map, nr_bits, 0);
}

static bool give_back_any(bool retire)
{
	unsigned long bit = next_range(shim_below(nr_bits));

	if (bit >= nr_bits)
		return false;
	give_back(bit, retire);
	return true;
}

/* Free about @percent of the ranges, or in an order that says which. */
static void give_back_some(enum order order, unsigned int percent)
{
	static unsigned int bits[MAX_BITS];
	unsigned long bit, nr = 0, i, with, chunk, kept = ULONG_MAX;
	bool keep = false;

	for_each_set_bit(bit, begin_map, nr_bits) {
		if (order == ORDER_EVERY_OTHER) {
			keep = !keep;
		} else if (order == ORDER_ALL_BUT_ONE) {
			chunk = (base + bit) >> IOVA_CHUNK_SHIFT;
			keep = chunk != kept && !shim_one_in(4);
			if (keep)
				kept = chunk;
		} else {
			keep = shim_below(100) >= percent;
		}
		if (!keep)
			bits[nr++] = bit;
	}
	if (order != ORDER_ADDRESS && shim_one_in(2)) {
		for (i = 1; i < nr; i++) {
			with = shim_below(i + 1);
			swap(bits[i], bits[with]);
		}
	}
	for (i = 0; i < nr; i++) {
		give_back(bits[i], draw_retire());
		if (!state.settled && shim_one_in(IOVA_CHUNK_GRANULES))
			flush();
	}
	if (state.settled)
		settle();
}

/*
 * States
 */

static void reserve_some(void)
{
	unsigned long most = shim_one_in(4) ? state.granules / 16 + 1 :
					      IOVA_WORD;
	unsigned long size = 1 + shim_below(most);
	unsigned long first = state.first + shim_below(state.granules);
	unsigned long last = min(first + size - 1, state.last);
	int ret;

	if (bitmap_weight(reserved_map, nr_bits) > state.granules / 4)
		return;
	if (trace)
		printf("# reserving %#lx to %#lx\n", first, last);
	maybe_move();
	ret = iova_space_reserve(&space, first, last);
	FAIL_IF(ret && ret != -EBUSY);
	set_bits(reserved_map, first - base, last - first + 1);
	bitmap_clear(free_map, first - base, last - first + 1);
}

/* From 1 on, at the top of so many bits, or on both sides of that */
static void draw_space(void)
{
	unsigned long granules = BIT(10 + shim_below(7)), top;
	unsigned int bits = zone_bits[shim_below(5)];

	if (!shim_one_in(4))
		granules -= shim_below(granules / 2);
	top = BIT(bits - state.granule_shift) - 1;
	switch (shim_below(3)) {
	case 0:
		state.first = 1;
		state.last = granules;
		break;
	case 1:
		state.last = top;
		if (shim_one_in(2))
			state.last -= shim_below(min(top, IOVA_CHUNK_GRANULES));
		state.first =
			state.last > granules ? state.last - granules + 1 : 1;
		break;
	default:
		state.last = top + shim_below(granules);
		state.first =
			state.last > granules ? state.last - granules + 1 : 1;
	}
	state.granules = state.last - state.first + 1;
	FAIL_IF(state.first > state.last || state.granules > MAX_GRANULES);
}

static void state_begin(unsigned long number)
{
	static const unsigned int moves[] = { 1, 1, 4, 64 };
	static const unsigned int reserves[] = { 256, 2048, 2048, 16384 };
	unsigned int i;

	shim_seed = ((seed << 32) + number + 1) * 0x9e3779b97f4a7c15;
	for (i = 0; i < 8; i++)
		shim_random();
	state = (struct state) {
		.number = number,
		.granule_shift = 12 + 2 * shim_below(3),
		.cpus = 4 << shim_below(7),
		.moves = moves[shim_below(ARRAY_SIZE(moves))],
		.retires = shim_below(5),
		.reserves = reserves[shim_below(ARRAY_SIZE(reserves))],
	};
	state.cpus = min(state.cpus + shim_below(state.cpus), SHIM_MAX_CPUS);
	draw_space();
	draw_mix(&state.mix);
	shim_nr_cpus = state.cpus;
	shim_cpu = 0;
	epoch = 0;
	base = ALIGN_DOWN(state.first, IOVA_WORD);
	nr_bits = state.last - base + 1;
	nr_busy = 0;
	memset(free_map, 0, sizeof(free_map));
	memset(reserved_map, 0, sizeof(reserved_map));
	memset(begin_map, 0, sizeof(begin_map));
	memset(waiting_map, 0, sizeof(waiting_map));
	set_bits(free_map, state.first - base, state.granules);
	if (trace)
		say_state(&state);
	FAIL_IF(iova_space_init(&space, state.first, state.last,
				state.granule_shift));
	for (i = shim_below(4); i; i--)
		reserve_some();
}

/* What the bitmap has free can be had page by page. */
static void have_all(void)
{
	const struct iova_request req = { .size = 1,
					  .align = 1,
					  .limit = state.last };
	struct iova_range range;

	state.settled = false;
	while (ask(&req, &range))
		;
}

/* In the end nothing is in use. */
static void state_end(void)
{
	struct iova_request req;
	struct iova_range range;
	unsigned int i;

	give_back_some(ORDER_ADDRESS, 100);
	FAIL_IF(nr_busy);
	for (i = 0; i < 16; i++)
		if (draw_fitting(&state.mix, &req))
			ask(&req, &range);
	if (shim_one_in(16))	/* as it is slow */
		have_all();
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	nr_states++;
}

static unsigned long draw_goal(void)
{
	static const unsigned int percent[] = { 25, 50, 75,  90, 95,
						98, 99, 100, 100 };

	return state.granules * percent[shim_below(ARRAY_SIZE(percent))] / 100;
}

/* Allocate until so much is busy, or much is refused; now and then free one. */
static void fill(const struct mix *mix, unsigned long goal,
		 unsigned int free_one_in)
{
	unsigned long most = 2 * state.granules;
	unsigned int refusals = 0;
	struct iova_request req;
	struct iova_range range;

	while (most-- && nr_busy < goal && refusals < 16) {
		draw_request(mix, &req);
		req.soft = shim_one_in(16);
		if (req.size == 1 && shim_one_in(2) && ask_one(req.limit))
			continue;
		refusals += !ask(&req, &range);
		if (free_one_in && shim_one_in(free_one_in))
			give_back_any(draw_retire());
		if (shim_one_in(state.reserves))
			reserve_some();
		if (shim_one_in(2 * IOVA_CHUNK_GRANULES))
			flush();
	}
}

static void make_history(void)
{
	static const unsigned int free_one_in[] = { 0, 0, 8, 2 };
	unsigned int rounds = 1 + shim_below(4);
	struct mix mix = state.mix;

	while (rounds--) {
		fill(&mix, draw_goal(),
		     free_one_in[shim_below(ARRAY_SIZE(free_one_in))]);
		if (shim_one_in(4))
			reserve_some();
		if (!shim_one_in(8))
			give_back_some(shim_below(NR_ORDERS),
				       1 + shim_below(100));
		if (shim_one_in(4))
			draw_mix(&mix);
	}
	settle();
	state.settled = true;
	state.request = 0;
}

/* One request until it is refused: then no place for it is left. */
static void ask_until_refused(const struct mix *mix, bool keep)
{
	unsigned int most = 2 * IOVA_CHUNK_GRANULES;
	struct iova_request req;
	struct iova_range range;

	draw_request(mix, &req);
	if (shim_one_in(2))
		req.align = roundup_pow_of_two(req.size);
	while (most-- && ask(&req, &range))
		if (!keep && shim_one_in(2))
			give_back_any(false);
}

static void ask_some(const struct mix *mix)
{
	struct iova_request req;
	struct iova_range range;

	if (shim_one_in(256)) {
		ask_until_refused(mix, shim_one_in(2));
		return;
	}
	if (shim_one_in(2) || !draw_fitting(mix, &req))
		draw_request(mix, &req);
	if (ask(&req, &range) && shim_one_in(2)) {
		if (draw_retire() && shim_one_in(8)) {
			give_back(range.first - base, true);
			settle();
		} else {
			give_back(range.first - base, false);
		}
	}
}

/* Full spaces are where requests are refused. */
static void refill(const struct mix *mix, unsigned long goal)
{
	state.settled = false;
	fill(mix, goal, 0);
	settle();
	state.settled = true;
}

static void make_requests(void)
{
	unsigned long end = nr_requests + 2048 + shim_below(4096),
		      goal = draw_goal();
	struct mix mix = state.mix;

	while (nr_requests < end) {
		if (shim_one_in(128)) {
			draw_mix(&mix);
			if (shim_one_in(2))
				mix = state.mix;
			goal = draw_goal();
			if (shim_one_in(2))
				refill(&mix, goal);
			if (shim_one_in(4))
				give_back_some(shim_below(NR_ORDERS),
					       1 + shim_below(100));
		}
		if (shim_one_in(state.reserves))
			reserve_some();
		ask_some(&mix);
		while (nr_busy > goal && give_back_any(false))
			;
	}
}

static void run_state(unsigned long number)
{
	alarm(STATE_SECONDS);
	state_begin(number);
	make_history();
	make_requests();
	state_end();
	alarm(0);
}

/* Is the truth true? Look for places granule by granule. */
static void places_test(void)
{
	const unsigned int rounds = 20000;
	unsigned long first, begin, end;
	struct iova_request req;
	unsigned int i, with = 0;
	struct place place;
	struct mix mix;

	state = (struct state){
		.granule_shift = 12,
		.first = 777,
		.last = 777 + 2999,
		.granules = 3000,
	};
	base = ALIGN_DOWN(state.first, IOVA_WORD);
	nr_bits = state.last - base + 1;
	for (i = 0; i < rounds; i++) {
		if (i % 16 == 0) {
			memset(free_map, 0, sizeof(free_map));
			set_bits(free_map, state.first - base, state.granules);
			for (end = shim_below(100); end; end--) {
				begin = shim_below(state.granules);
				bitmap_clear(free_map,
					     state.first - base + begin,
					     min(1 + shim_below(64),
						 state.granules - begin));
			}
		}
		draw_mix(&mix);
		draw_request(&mix, &req);
		if (shim_one_in(2))
			draw_fitting(&mix, &req);
		begin = ULONG_MAX;
		for (first = state.last; first >= state.first; first--)
			if (is_place(&req, first, first + req.size - 1))
				begin = first;
		FAIL_IF(find_place(&req, NULL) != (begin != ULONG_MAX));
		find_place(&req, &place);
		FAIL_IF(place.count ? place.lowest != begin :
				      begin != ULONG_MAX);
		with += place.count > 0;
	}
	shim_report(
		"oracle: %u requests, %u of them with places, as by granule",
		rounds, with);
}

static void say_kinds(void)
{
	static const char * const sizes[] = { "1..64", "65..128", "> 128" };
	unsigned int size, flags;
	const struct kind *k;

	printf("# size    aligned limited boundary   requests    granted  no place    WRONG  and if not settled\n");
	for (size = 0; size < NR_SIZE_KINDS; size++) {
		for (flags = 0; flags < NR_FLAG_KINDS; flags++) {
			k = &kinds[size][flags];
			printf("# %-7s %-7s %-7s %-8s %10lu %10lu %9lu %8lu %8lu\n",
			       sizes[size],
			       flags & KIND_ALIGNED ? "aligned" : "-",
			       flags & KIND_LIMITED ? "limited" : "-",
			       flags & KIND_BOUNDARY ? "boundary" : "-",
			       k->requests, k->granted, k->refused, k->wrong,
			       k->wrong_unsettled);
		}
	}
	for (size = 0; size < NR_SIZE_KINDS; size++) {
		for (flags = 0; flags < NR_FLAG_KINDS; flags++) {
			k = &kinds[size][flags];
			if (!(k->wrong + k->wrong_unsettled))
				continue;
			printf("# the first of %s%s%s%s:\n", sizes[size],
			       flags & KIND_ALIGNED ? " aligned" : "",
			       flags & KIND_LIMITED ? " limited" : "",
			       flags & KIND_BOUNDARY ? " boundary" : "");
			say_failure(&k->failure);
		}
	}
}

static unsigned long from_env(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

extern void __weak __sanitizer_set_death_callback(void (*callback)(void));

int main(int argc, char **argv)
{
	bool plain = argc < 2 || !strcmp(argv[1], "plain");
	unsigned long ops, i, granted = 0;
	struct kind *k;

	seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	ops = from_env("OPS", plain ? OPS_PLAIN : OPS_OTHER);
	trace = from_env("TRACE", 0);
	shim_migrate_one_in = 0;
	places_test();

	signal(SIGABRT, died);
	signal(SIGSEGV, died);
	signal(SIGFPE, died);
	signal(SIGALRM, died);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_died);
	if (getenv("STATE"))
		run_state(from_env("STATE", 0));
	else
		for (i = 0; nr_requests < ops; i++)
			run_state(i);

	for (k = kinds[0]; k < kinds[NR_SIZE_KINDS]; k++)
		granted += k->granted;
	if (!nr_wrong) {
		shim_report(
			"oracle: %lu requests in %lu states, %lu granted, the others with no place",
			nr_requests, nr_states, granted);
		return 0;
	}
	printf("not ok: %lu of %lu requests in %lu states are refused and have places\n",
	       nr_wrong, nr_requests, nr_states);
	say_kinds();
	printf("# the first:\n");
	say_failure(&first_failure);
	return 1;
}
