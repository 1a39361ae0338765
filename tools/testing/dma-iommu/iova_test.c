// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of iova-space.c: random operations against an oracle that knows the state of
 * each granule, a validator of all that the allocator believes, and threads
 * that allocate and free each other's ranges.
 *
 * iova-space.c is included, not linked, for the validator to see its insides.
 */

#include "iova-extents.c"
#include "iova-chunk.c"
#include "iova-pool.c"
#include "iova-spanning.c"
#include "iova-cpu.c"
#include "iova-space.c"

/*
 * The oracle: a byte for each granule, in pages made on demand.
 */

enum {
	FREE,
	RESERVED, /* by iova_space_reserve() */
	LIVE, /* handed out */
	SPARE, /* taken with what is below it; or free, as addresses got short */
	CLAIMED,
	MAYBE, /* being recycled: may be handed out, or not yet */
	DIRTY, /* DIRTY + epoch: must not be handed out */
	LATER = 0x80, /* a flag: reserved as soon as it comes back */
};

#define ORACLE_BUCKETS	BIT(16)

struct page {
	struct page *next;
	unsigned long index;
	u8 state[IOVA_CHUNK_GRANULES];
};

static struct page *oracle[ORACLE_BUCKETS];

static u8 *state(unsigned long granule)
{
	unsigned long index = granule >> IOVA_CHUNK_SHIFT;
	struct page **bucket = &oracle[index % ORACLE_BUCKETS], *page;

	for (page = *bucket; page; page = page->next)
		if (page->index == index)
			goto found;
	page = calloc(1, sizeof(*page));
	page->index = index;
	page->next = *bucket;
	*bucket = page;
found:
	return &page->state[granule % IOVA_CHUNK_GRANULES];
}

static void move(u8 *s, u8 to)
{
	bool later = *s & LATER;

	if (to == FREE && later)
		*s = RESERVED;
	else
		*s = to | (*s & LATER);
}

/* All of @range are in @from or in @also; they are in @to now. */
static void change(const struct iova_range *range, u8 from, u8 also, u8 to)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++) {
		u8 *s = state(g), was = *s & ~LATER;

		FAIL_IF(was != from && was != also &&
			!(was == SPARE && to == LIVE));
		FAIL_IF(to == LIVE && *s & LATER);
		move(s, to);
	}
	for (; g <= range->last + range->spare; g++) {
		u8 *s = state(g);

		FAIL_IF(*s & LATER);
		if (to == LIVE)
			FAIL_IF(*s != from && *s != also && *s != SPARE);
		else
			FAIL_IF(*s != SPARE);
		*s = to == LIVE || to == CLAIMED ? SPARE : to;
	}
}

static void oracle_replace(u8 from, u8 to)
{
	struct page *page;
	unsigned long i, k;

	for (i = 0; i < ORACLE_BUCKETS; i++)
		for (page = oracle[i]; page; page = page->next)
			for (k = 0; k < IOVA_CHUNK_GRANULES; k++)
				if ((page->state[k] & ~LATER) == from)
					move(&page->state[k], to);
}

static void oracle_clear(void)
{
	struct page *page;
	unsigned long i;

	for (i = 0; i < ORACLE_BUCKETS; i++) {
		while ((page = oracle[i])) {
			oracle[i] = page->next;
			free(page);
		}
	}
}

/*
 * The validator. Nothing else happens meanwhile.
 */

static struct iova_gaps check_subtree(const struct rb_node *node)
{
	const struct iova_extent *x = to_extent(node);
	struct iova_gaps most = extent_gap(x), below;
	unsigned int side;

	for (side = 0; side < 2; side++) {
		const struct rb_node *child = side ? node->rb_left :
						     node->rb_right;

		if (!child)
			continue;
		FAIL_IF(rb_parent(child) != node);
		below = check_subtree(child);
		most.granules = max(most.granules, below.granules);
		most.aligned = max(most.aligned, below.aligned);
	}
	FAIL_IF(x->below.granules != most.granules);
	FAIL_IF(x->below.aligned != most.aligned);
	return most;
}

/* Check what a CPU keeps, and add its granules of @c. */
static void add_kept(struct iova_space *space, const struct iova_cpu *of,
		     const struct iova_chunk *c, u64 *cached)
{
	unsigned int at, zone, order, w, entries = 0, kept;
	const struct iova_cpu_range *r;
	u64 bits;

	for (zone = 0; zone < IOVA_ZONES; zone++) {
		kept = 0;
		for (order = 0; order < IOVA_CPU_ORDERS; order++) {
			for (at = of->top[zone][order]; at; at = of->next[at - 1]) {
				r = &of->range[at - 1];
				FAIL_IF(!r->size || iova_cpu_order(r->size) != order);
				FAIL_IF(r->first % IOVA_WORD + r->size > IOVA_WORD);
				FAIL_IF(++entries > IOVA_CPU_RANGES);
				kept += r->size;
				if (of->range_chunk[at - 1] != c)
					continue;
				w = r->first / IOVA_WORD;
				bits = iova_word_bits(r->first, r->size);
				FAIL_IF(cached[w] & bits);
				FAIL_IF(bits & ~c->used[w].counter);
				cached[w] |= bits;
			}
		}
		FAIL_IF(kept != of->kept[zone]);
		FAIL_IF(kept > space->pool.keep_max[zone]);
	}
	for (at = of->unused; at; at = of->next[at - 1])
		FAIL_IF(++entries > IOVA_CPU_RANGES);
	FAIL_IF(entries != IOVA_CPU_RANGES);
}

/* Whether @c is a CPU chunk; and its granules that are in the caches of CPUs */
static bool chunk_is_cpu_chunk(struct iova_space *space,
			       const struct iova_chunk *c, u64 *cached)
{
	const struct iova_cpu_word *word;
	const struct iova_cpu *of;
	unsigned int cpu, i, w, cpus = 0;

	memset(cached, 0, IOVA_WORDS * sizeof(*cached));
	for_each_possible_cpu(cpu) {
		of = per_cpu_ptr(space->cpu, cpu);
		for (i = 0; i < IOVA_ZONES; i++)
			cpus += of->chunk[i] == c;
		for (i = 0; i < IOVA_CPU_WORDS; i++) {
			word = &of->word[i];
			if (!word->free || word->chunk != c)
				continue;
			FAIL_IF(word->base % IOVA_WORD);
			FAIL_IF(word->base < c->extent.first ||
				word->base > c->extent.last);
			w = iova_base_word(word->base);
			FAIL_IF(cached[w] & word->free);
			FAIL_IF(word->free & ~c->used[w].counter);
			cached[w] |= word->free;
		}
		add_kept(space, of, c, cached);
	}
	FAIL_IF(cpus > 1);
	return cpus;
}

static bool chunk_listed(struct iova_space *space, const struct iova_chunk *c)
{
	const struct iova_chunk *at;

	list_for_each_entry(at, &space->pool.partial[c->zone][c->class], list)
		if (at == c)
			return true;
	return false;
}

static bool retired_listed(struct iova_space *space, struct iova_extent *x,
			   unsigned int epoch)
{
	struct llist_node *node;

	llist_for_each(node, space->retired[epoch].first)
		if (node == &x->retired[epoch])
			return true;
	if (space->recycling_epoch == epoch)
		llist_for_each(node, space->recycling)
			if (node == &x->retired[epoch])
				return true;
	return false;
}

static const struct iova_extent *spanning_at(struct iova_space *space,
					     unsigned long granule)
{
	struct iova_extent *x = iova_extents_at(&space->pool.spanning, granule);

	return x->first <= granule && x->kind == IOVA_KIND_SPANNING ? x : NULL;
}

/* What a range of several extents has to do with the states of its granules */
static void check_spanning(struct iova_space *space)
{
	const struct iova_extent *x;
	struct rb_node *node;
	unsigned long at;

	check_subtree(space->pool.spanning.root.rb_node);
	for (node = rb_first(&space->pool.spanning.root); node; node = rb_next(node)) {
		x = to_extent(node);
		for (at = x->first; x->kind == IOVA_KIND_SPANNING && at <= x->last; at++)
			FAIL_IF(x->mapped != ((*state(at) & ~LATER) == LIVE) ||
				(*state(at) & ~LATER) == FREE);
	}
}

static void check_chunk(struct iova_space *space, struct iova_chunk *c)
{
	unsigned int i, epoch, left = 0;
	u64 cached[IOVA_WORDS];
	bool of_cpu = chunk_is_cpu_chunk(space, c, cached);
	struct iova_range range;

	FAIL_IF(c->extent.first % IOVA_CHUNK_GRANULES);
	FAIL_IF(c->extent.last != c->extent.first + IOVA_CHUNK_GRANULES - 1);
	FAIL_IF(xa_load(&space->pool.chunks,
			iova_pool_index(&space->pool, c->extent.first)) != c);
	FAIL_IF(c->zone != iova_pool_zone(&space->pool, c->extent.last));
	FAIL_IF(c->class == IOVA_CLASS_NONE);
	FAIL_IF(c->queued.counter & IOVA_QUEUED_DEAD);
	FAIL_IF((c->class == IOVA_CLASS_CPU) != of_cpu);
	if (c->class != IOVA_CLASS_CPU)
		FAIL_IF(c->class != iova_chunk_class(c));
	if (c->class < IOVA_CLASSES)
		FAIL_IF(!chunk_listed(space, c));

	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++) {
		bool queued = c->queued.counter & BIT(epoch);
		u64 any = 0;

		for (i = 0; i < IOVA_WORDS; i++)
			any |= c->dirty[epoch][i].counter;
		FAIL_IF(any && !queued);
		FAIL_IF(queued != retired_listed(space, &c->extent, epoch));
	}
	for (i = 0; i < IOVA_CHUNK_GRANULES; i++) {
		u64 bit = BIT_ULL(i % 64);
		bool used = c->used[i / 64].counter & bit;
		u8 s = *state(c->extent.first + i) & ~LATER;
		bool spanning = spanning_at(space, c->extent.first + i);

		if (cached[i / 64] & bit)
			used = false;
		FAIL_IF(c->size[i] && left);
		if (c->size[i]) {
			iova_chunk_get_range(c, c->extent.first + i, c->size[i],
					     &range);
			left += iova_range_granules(&range);
		}
		FAIL_IF(left && !used);
		FAIL_IF(left && spanning);
		FAIL_IF((s == LIVE || (s == SPARE && left)) != !!left &&
			!spanning);
		FAIL_IF(spanning && !used);
		left -= !!left;
		FAIL_IF(used && s == FREE);
		FAIL_IF(!used && s != FREE && s != MAYBE && s != SPARE);
		for (epoch = 0; epoch < IOVA_EPOCHS; epoch++) {
			bool dirty = c->dirty[epoch][i / 64].counter & bit;

			FAIL_IF(dirty && !used);
			FAIL_IF(dirty && s != DIRTY + epoch && s != MAYBE);
			FAIL_IF(s == DIRTY + epoch && !dirty && !spanning);
		}
	}
	FAIL_IF(left);
}

static void check_lists(struct iova_space *space, unsigned int partial)
{
	unsigned int zone, class, found = 0, empty = 0;
	struct iova_chunk *c;

	for (zone = 0; zone < IOVA_ZONES; zone++) {
		for (class = 0; class < IOVA_CLASSES; class++) {
			list_for_each_entry(c, &space->pool.partial[zone][class],
					    list) {
				FAIL_IF(c->zone != zone || c->class != class);
				found++;
				empty += class == IOVA_CLASS_EMPTY;
			}
			FAIL_IF(list_empty(&space->pool.partial[zone][class]) ==
				(space->pool.classes[zone] >> class & 1));
		}
	}
	FAIL_IF(found != partial);
	FAIL_IF(empty != space->pool.nr_empty || empty > IOVA_EMPTY_MAX);
}

static void check_recent(struct iova_space *space)
{
	struct iova_chunk *c;
	unsigned long first;
	unsigned int i;

	for (i = 0; i < IOVA_RECENT; i++) {
		c = space->pool.recent[i];
		if (!c)
			continue;
		first = c->extent.first;
		FAIL_IF(iova_pool_recent(&space->pool, first) !=
			&space->pool.recent[i]);
		FAIL_IF(xa_load(&space->pool.chunks,
				iova_pool_index(&space->pool, first)) != c);
	}
}

static void check_space(struct iova_space *space)
{
	struct iova_extent *x, *before = NULL;
	unsigned int partial = 0;
	struct rb_node *node;

	check_subtree(space->pool.extents.root.rb_node);
	for (node = rb_first(&space->pool.extents.root); node; node = rb_next(node)) {
		x = to_extent(node);
		FAIL_IF(x->gap_first > x->first || x->first > x->last);
		FAIL_IF(x->gap_first != (before ? before->last + 1 : 0));
		FAIL_IF(!before && x != &space->pool.extents.floor);
		if (x->kind == IOVA_KIND_CHUNK) {
			check_chunk(space, to_chunk(x));
			partial += to_chunk(x)->class < IOVA_CLASSES;
		} else if (x->kind == IOVA_KIND_LARGE) {
			u8 was = *state(x->first) & ~LATER;

			if (spanning_at(space, x->first))
				FAIL_IF(x->mapped);
			else
				FAIL_IF(x->mapped != (was == LIVE));
			FAIL_IF(was != (*state(x->last) & ~LATER));
		}
		before = x;
	}
	FAIL_IF(before != &space->pool.extents.ceiling || before->last != ULONG_MAX);
	check_lists(space, partial);
	check_recent(space);
	check_spanning(space);
}

/* By looking at all gaps */
static unsigned long largest_gap(struct iova_space *space, unsigned long limit)
{
	unsigned long most = 0;
	struct rb_node *node;

	for (node = rb_first(&space->pool.extents.root); node; node = rb_next(node)) {
		struct iova_extent *x = to_extent(node);
		unsigned long first = x->gap_first;

		if (x->first > first && first <= limit)
			most = max(most, min(x->first - 1, limit) - first + 1);
	}
	return most;
}

static void check_largest(struct iova_space *space, unsigned long limit)
{
	unsigned long most = largest_gap(space, limit);

	raw_spin_lock(&space->pool.lock);
	most = max(most, partial_largest(&space->pool, limit));
	raw_spin_unlock(&space->pool.lock);
	FAIL_IF(iova_pool_largest(&space->pool, limit) != most);
}

/* Drain the caches of all CPUs. */
static void drain_all(struct iova_space *space)
{
	struct rb_node *node;
	struct iova_extent *x;

	space_drain(space);
	for (node = rb_first(&space->pool.extents.root); node; node = rb_next(node)) {
		x = to_extent(node);
		FAIL_IF(x->kind == IOVA_KIND_CHUNK &&
			to_chunk(x)->class == IOVA_CLASS_CPU);
	}
	iova_pool_shrink(&space->pool, 0);
}

/*
 * Random operations, one thread.
 */

struct setup {
	const char *name;
	unsigned int granule_shift;
	unsigned long first, last;
	unsigned int steps;
	unsigned long max_size;
	unsigned int fail_one_in;
	bool reserve;
};

struct live {
	struct iova_range range;
	u64 id;
};

#define MAX_LIVE	20000

static struct live live[MAX_LIVE];
static unsigned int nr_live;
static unsigned int nr_alloc_failed, nr_allocs;
static int recycling;	/* epoch, or -1 */

static unsigned long random_size(unsigned long most)
{
	static const unsigned long mosts[] = { 1, 1, 1, 4, 16, 64, 65, 128, 600, ~0UL };

	return 1 + shim_below(min(most, mosts[shim_below(ARRAY_SIZE(mosts))]));
}

static struct iova_request random_request(const struct setup *setup)
{
	unsigned int width = fls_long(setup->last);
	struct iova_request req = {
		.size = random_size(setup->max_size),
		.align = 1,
		.limit = setup->last,
	};

	if (shim_one_in(3))
		req.align = 1UL << shim_below(shim_one_in(4) ? 13 : 7);
	if (shim_one_in(4))
		req.boundary = roundup_pow_of_two(req.size) << shim_below(6);
	switch (shim_below(8)) {
	case 0:
		req.limit = shim_below(setup->last) + 1;
		break;
	case 1:
		req.limit = BIT(width - 1 - shim_below(min(width - 1, 30))) - 1;
		break;
	case 2:
		req.limit = ULONG_MAX;
		break;
	}
	return req;
}

static void check_range(const struct setup *setup, const struct iova_request *req,
			const struct iova_range *range)
{
	FAIL_IF(range->last - range->first + 1 != req->size);
	FAIL_IF(range->first < setup->first || range->last > setup->last);
	FAIL_IF(range->last > req->limit);
	FAIL_IF(range->first % req->align);
	FAIL_IF(req->boundary && req->boundary >= req->size &&
		range->first / req->boundary != range->last / req->boundary);
	FAIL_IF(!range->extent);
}

/* Room enough for certain, wherever it is: then failing is wrong. */
static bool must_succeed(struct iova_space *space, const struct iova_request *req)
{
	unsigned long need = req->size + req->align +
			     (req->boundary ? req->size : 0);

	return largest_gap(space, req->limit) >= need;
}

static void do_alloc(const struct setup *setup, struct iova_space *space)
{
	struct iova_request req = random_request(setup);
	struct iova_range range;

	if (nr_live == MAX_LIVE)
		return;
	nr_allocs++;
	if (!iova_space_alloc(space, &req, &range)) {
		nr_alloc_failed++;
		FAIL_IF(!setup->fail_one_in && must_succeed(space, &req));
		return;
	}
	check_range(setup, &req, &range);
	/* No chunk is left to others to free. */
	FAIL_IF(!llist_empty(&space->pool.dying));
	change(&range, FREE, MAYBE, LIVE);
	live[nr_live++].range = range;
}

static void do_free(struct iova_space *space)
{
	struct iova_range *expected, range, again;
	unsigned int i, epoch;

	if (!nr_live)
		return;
	i = shim_below(nr_live);
	expected = &live[i].range;
	FAIL_IF(!iova_space_claim(space, expected->first, &range));
	FAIL_IF(range.first != expected->first || range.last != expected->last ||
		range.extent != expected->extent);
	FAIL_IF(iova_space_claim(space, range.first, &again));
	if (!shim_below(8)) {
		iova_space_unclaim(space, &range);
		FAIL_IF(!iova_space_claim(space, range.first, &again));
		FAIL_IF(memcmp(&range, &again, sizeof(range)));
	}
	change(&range, LIVE, LIVE, CLAIMED);
	live[i] = live[--nr_live];

	epoch = shim_below(4);
	if (epoch >= IOVA_EPOCHS) {
		change(&range, CLAIMED, CLAIMED, FREE);
		iova_space_release(space, &range);
	} else {
		/* Late for its epoch: recycled now or by the next flush */
		change(&range, CLAIMED, CLAIMED,
		       (int)epoch == recycling ? MAYBE : DIRTY + epoch);
		iova_space_retire(space, &range, epoch);
	}
	FAIL_IF(iova_space_claim(space, range.first, &again));
}

/* Anywhere, most of all in the middle and just behind what is mapped */
static void do_wrong_claim(const struct setup *setup, struct iova_space *space)
{
	unsigned long granule = shim_below(setup->last) + 1;
	struct iova_range range;
	unsigned int i;

	if (nr_live && !shim_one_in(3)) {
		i = shim_below(nr_live);
		granule = live[i].range.first + 1 +
			  shim_below(live[i].range.last - live[i].range.first + 1);
	}
	if (shim_one_in(50))
		granule = ULONG_MAX - shim_below(2);
	for (i = 0; i < nr_live; i++)
		if (live[i].range.first == granule)
			return;
	FAIL_IF(iova_space_claim(space, granule, &range));
}

static void do_recycle(struct iova_space *space)
{
	unsigned int epoch = shim_below(IOVA_EPOCHS);

	if (recycling < 0) {
		recycling = epoch;
		oracle_replace(DIRTY + epoch, MAYBE);
		iova_space_recycle_start(space, epoch);
		return;
	}
	if (iova_space_recycle(space, 1 + shim_below(20)))
		return;
	/* What came late waits for that epoch's next flush. */
	recycling = -1;
}

static void recycle_all(struct iova_space *space)
{
	unsigned int epoch;

	while (iova_space_recycle(space, 7))
		;
	recycling = -1;
	for (epoch = 0; epoch < IOVA_EPOCHS; epoch++) {
		iova_space_recycle_start(space, epoch);
		while (iova_space_recycle(space, 3))
			;
		oracle_replace(DIRTY + epoch, FREE);
	}
	oracle_replace(MAYBE, FREE);
}

static void do_reserve(const struct setup *setup, struct iova_space *space)
{
	unsigned long first = setup->first +
			      shim_below(setup->last - setup->first + 1);
	unsigned long last = first + random_size(1000) - 1, g;
	unsigned int one_in = shim_fail_one_in;
	bool busy = false;
	int ret;

	if (shim_one_in(10)) {
		first = setup->last - shim_below(10);
		last = ULONG_MAX;
	}
	/* What may be free or not would be reserved at once or later. */
	for (g = first; g <= last && g <= setup->last; g++)
		if (*state(g) == MAYBE || *state(g) == SPARE)
			return;
	shim_fail_one_in = 0;
	ret = iova_space_reserve(space, first, last);
	for (g = first; g <= last && g <= setup->last; g++) {
		u8 *s = state(g);

		if (*s == FREE)
			*s = RESERVED;
		if (*s == RESERVED || *s & LATER)
			continue;
		busy = true;
		*s |= LATER;
	}
	FAIL_IF(ret != (busy ? -EBUSY : 0));
	shim_fail_one_in = one_in;
}

static void end_empty(const struct setup *setup, struct iova_space *space)
{
	struct iova_range range;

	while (nr_live) {
		range = live[--nr_live].range;
		FAIL_IF(!iova_space_claim(space, range.first, &range));
		change(&range, LIVE, LIVE, FREE);
		iova_space_release(space, &range);
	}
	recycle_all(space);
	drain_all(space);
	check_space(space);
	if (setup->reserve)
		return;
	FAIL_IF(space->pool.extents.root.rb_node->rb_right);
	FAIL_IF(space->pool.extents.ceiling.gap_first != setup->first);
	FAIL_IF(space->pool.extents.ceiling.first != setup->last + 1);
	FAIL_IF(iova_pool_largest(&space->pool, setup->last) !=
		setup->last - setup->first + 1);
}

static void random_test(const struct setup *setup, unsigned int divide)
{
	unsigned int step, target = MAX_LIVE;
	struct iova_space space;
	unsigned long limit;

	nr_live = 0;
	nr_allocs = 0;
	nr_alloc_failed = 0;
	recycling = -1;
	FAIL_IF(iova_space_init(&space, setup->first, setup->last,
				setup->granule_shift));
	shim_fail_one_in = setup->fail_one_in;
	for (step = 0; step < setup->steps / divide; step++) {
		unsigned int what = shim_below(100);

		/* Ebb and flow */
		if (step % 2000 == 0)
			target = shim_below(shim_one_in(2) ? MAX_LIVE : 300);
		if (what < 80)
			nr_live < target ? do_alloc(setup, &space) :
					   do_free(&space);
		else if (what < 94)
			do_free(&space);
		else if (what < 96)
			do_wrong_claim(setup, &space);
		else if (what < 97 || recycling >= 0)
			do_recycle(&space);
		else if (setup->reserve && shim_one_in(step < 20000 ? 20 : 2000))
			do_reserve(setup, &space);
		if (step % 9973 == 0) {
			check_space(&space);
			limit = random_request(setup).limit;
			limit = min(limit, setup->last);
			check_largest(&space, limit);
		}
	}
	shim_fail_one_in = 0;
	check_space(&space);
	end_empty(setup, &space);
	iova_space_destroy(&space);
	oracle_clear();
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("random: %s: %u allocations, %u found no room", setup->name,
		    nr_allocs, nr_alloc_failed);
}

/* Each granule of a narrow space can be had, over and over. */
static void exhaust_test(unsigned int bits, unsigned int granule_shift)
{
	unsigned long last = BIT(bits - granule_shift) - 1, count, i, round;
	struct iova_request req = { .size = 1, .align = 1, .limit = last };
	struct iova_range *ranges = calloc(last, sizeof(*ranges));
	struct iova_space space;

	FAIL_IF(iova_space_init(&space, 1, last, granule_shift));
	for (round = 0, count = 0; round < 4; round++) {
		while (iova_space_alloc(&space, &req, &ranges[count])) {
			change(&ranges[count], FREE, FREE, LIVE);
			count++;
			FAIL_IF(count > last);
			if (count == last)
				break;
		}
		FAIL_IF(count != last);
		FAIL_IF(iova_space_alloc(&space, &req, &ranges[0]));
		FAIL_IF(iova_pool_largest(&space.pool, last));
		check_space(&space);
		for (i = 0; i < last / 2; i++) {
			unsigned long k = shim_below(count);

			FAIL_IF(!iova_space_claim(&space, ranges[k].first,
						  &ranges[k]));
			change(&ranges[k], LIVE, LIVE, FREE);
			iova_space_release(&space, &ranges[k]);
			ranges[k] = ranges[--count];
		}
	}
	check_space(&space);
	iova_space_destroy(&space);
	oracle_clear();
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	free(ranges);
	shim_report("exhaust: all %lu granules of %u bits, four times", last, bits);
}

static void init_test(void)
{
	struct iova_space space;
	struct iova_range range;

	FAIL_IF(iova_space_init(&space, 0, 100, 12) != -EINVAL);
	FAIL_IF(iova_space_init(&space, 101, 100, 12) != -EINVAL);
	FAIL_IF(iova_space_init(&space, 1, ULONG_MAX, 12) != -EINVAL);

	/* One granule; then the widest space that there can be */
	FAIL_IF(iova_space_init(&space, 1, 1, 12));
	FAIL_IF(!iova_space_alloc(&space,
				  &(struct iova_request) { .size = 1,
							  .align = 1,
							  .limit = ULONG_MAX },
				  &range));
	FAIL_IF(range.first != 1 || range.last != 1);
	iova_space_release(&space, &range);
	iova_space_destroy(&space);

	FAIL_IF(iova_space_init(&space, 1, ULONG_MAX - 1, 12));
	FAIL_IF(!iova_space_alloc(&space,
				  &(struct iova_request) { .size = 1000,
							  .align = 1,
							  .limit = ULONG_MAX },
				  &range));
	FAIL_IF(range.last != ULONG_MAX - 1);
	FAIL_IF(iova_space_alloc(&space,
				 &(struct iova_request) { .size = 1000,
							 .align = 1,
							 .limit = 998 },
				 &range));
	FAIL_IF(iova_space_alloc(
		&space,
		&(struct iova_request) { .size = 0, .align = 1, .limit = 998 },
		&range));
	FAIL_IF(iova_space_alloc(&space,
				 &(struct iova_request) { .size = ULONG_MAX,
							 .align = 1,
							 .limit = ULONG_MAX },
				 &range));
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("ends of spaces");
}

/* Bitmaps, against looking at each bit */
static void bits_test(void)
{
	unsigned int round, n, i, k;

	for (round = 0; round < 20000; round++) {
		u64 bits = shim_random() | shim_random(), expected = 0;

		n = 1 + shim_below(64);
		bits |= shim_random() | (shim_one_in(2) ? shim_random() : 0);
		bits = shim_one_in(50) ? ~0ULL : bits;
		for (i = 0; i + n <= 64; i++) {
			for (k = i; k < i + n && bits & BIT_ULL(k); k++)
				;
			if (k == i + n)
				expected |= BIT_ULL(i);
		}
		FAIL_IF(iova_run_starts(bits, n) != expected);
	}
	shim_report("runs of bits");
}

/* A chunk on the list of a class has a place for any request of that class. */
static void class_test(void)
{
	struct iova_chunk c;
	struct iova_range range;
	struct iova_request req;
	unsigned int round, i, dense, found = 0;

	for (round = 0; round < 100000; round++) {
		c = (struct iova_chunk) {
			.extent.first = IOVA_CHUNK_GRANULES,
			.extent.last = 2 * IOVA_CHUNK_GRANULES - 1,
			.first = IOVA_CHUNK_GRANULES,
		};
		dense = 1 + shim_below(8);
		for (i = 0; i < IOVA_WORDS; i++)
			if (shim_below(8) < dense)
				c.used[i].counter = shim_random() & shim_random();
		req = (struct iova_request) {
			.size = 1 + shim_below(IOVA_SMALL_MAX),
			.align = BIT(shim_below(IOVA_CHUNK_SHIFT + 1)),
			.limit = ULONG_MAX,
		};
		if (shim_one_in(4))
			req.size = req.align = BIT(shim_below(7));
		if (iova_chunk_class(&c) == IOVA_CLASS_FULL ||
		    !(iova_request_classes(&req) & BIT(iova_chunk_class(&c)))) {
			/* For aligned powers of two, the class tells all. */
			if (req.size == req.align && req.size <= IOVA_WORD)
				FAIL_IF(iova_chunk_take(&c, &req, &range));
			continue;
		}
		found++;
		FAIL_IF(!iova_chunk_take(&c, &req, &range));
		FAIL_IF(range.first % req.align);
	}
	FAIL_IF(found < 1000);
	shim_report("classes of chunks");
}

static void free_range(struct iova_space *space, const struct iova_range *range)
{
	struct iova_range claimed;

	FAIL_IF(!iova_space_claim(space, range->first, &claimed));
	iova_space_release(space, &claimed);
}

/* An aligned place in a chunk is found without a search of everything. */
static void holes_test(unsigned int size, unsigned int align)
{
	unsigned long last = BIT(16) - 1, first = 16 * IOVA_CHUNK_GRANULES;
	struct iova_request req = { .size = size, .align = align, .limit = last };
	struct iova_range *ranges = calloc(BIT(16), sizeof(*ranges));
	unsigned int round, i, k, n = 0, migrate = shim_migrate_one_in;
	struct iova_space space;

	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, first, last, 12));
	while (iova_space_alloc(&space, &req, &ranges[n]))
		n++;
	FAIL_IF(n < (last - first + 1) / roundup(size, align) / 2);
	req.quick = true;
	for (round = 0; round < 20; round++) {
		/* More than a CPU keeps */
		for (i = 0; i < 3 * IOVA_CPU_RANGES; i++) {
			k = i + shim_below(n - i);
			swap(ranges[i], ranges[k]);
			free_range(&space, &ranges[i]);
		}
		for (i = 0; i < 3 * IOVA_CPU_RANGES; i++)
			FAIL_IF(!iova_space_alloc(&space, &req, &ranges[i]));
	}
	for (i = 0; i < n; i++)
		free_range(&space, &ranges[i]);
	iova_space_destroy(&space);
	shim_migrate_one_in = migrate;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	free(ranges);
	shim_report("aligned holes of chunks: %u of %u granules, aligned to %u",
		    n, size, align);
}

/*
 * What a CPU has freed it has again, also if the chunks are in a narrower zone than the
 * requests; and of what is short, it gathers more than it needs, whatever the size.
 */
static void kept_test(unsigned int size)
{
	unsigned long last = BIT(20) - 1;
	struct iova_request req = { .size = size, .align = 1, .limit = last };
	struct iova_request large_req = { .size = BIT(14), .align = 1, .limit = last };
	unsigned int i, k, n = 0, migrate = shim_migrate_one_in, had = 0;
	struct iova_range large[9];
	struct iova_range *ranges = calloc(BIT(18), sizeof(*ranges)), range;
	const struct iova_cpu *cpu;
	struct iova_space space;

	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, 1, last, 12));
	cpu = this_cpu_ptr(space.cpu);
	FAIL_IF(iova_space_reserve(&space, BIT(18), last));
	/* More than half is taken, so sizes are not rounded up. */
	for (i = 0; i < ARRAY_SIZE(large); i++)
		FAIL_IF(!iova_space_alloc(&space, &large_req, &large[i]));
	while (n < BIT(16) / roundup_pow_of_two(size) * 7 / 8) {
		FAIL_IF(!iova_space_alloc(&space, &req, &ranges[n]));
		n++;
	}
	free_range(&space, &ranges[--n]);
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	FAIL_IF(range.first != ranges[n].first);
	ranges[n++] = range;
	for (i = 0; i < 8 * IOVA_CPU_RANGES; i++) {
		k = i + shim_below(n - i);
		swap(ranges[i], ranges[k]);
		free_range(&space, &ranges[i]);
	}
	for (i = 0; i < 8 * IOVA_CPU_RANGES; i++) {
		FAIL_IF(!iova_space_alloc(&space, &req, &ranges[i]));
		had += cpu->nr_unused < IOVA_CPU_RANGES;
	}
	FAIL_IF(had < i / 2);
	for (i = 0; i < 1000; i++) {
		if (i % 64 == 0)
			for (k = 0; k < 64; k++)
				free_range(&space, &ranges[i + k]);
		FAIL_IF(!iova_space_alloc(&space, &req, &ranges[i]));
	}
	for (; i % 64; i++)
		FAIL_IF(!iova_space_alloc(&space, &req, &ranges[i]));
	/* 64 have been taken out. */
	FAIL_IF(cpu->nr_unused < 64);
	for (i = 0; i < n; i++)
		free_range(&space, &ranges[i]);
	for (i = 0; i < ARRAY_SIZE(large); i++)
		free_range(&space, &large[i]);
	iova_space_destroy(&space);
	shim_migrate_one_in = migrate;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	free(ranges);
	shim_report("kept: %u granules, in a narrower zone", size);
}

/* A gap that just suffices is found among some that do not. */
static void tight_test(void)
{
	struct iova_request req = {
		.size = 256, .align = 256, .limit = 65535, .quick = true,
	};
	struct iova_range ranges[256], range;
	struct iova_space space;
	unsigned int i, count = 0;

	FAIL_IF(iova_space_init(&space, 1, 65535, 12));
	while (iova_space_alloc(&space, &req, &ranges[count]))
		count++;
	FAIL_IF(count != 255);
	for (i = 0; i < count; i++) {
		iova_space_release(&space, &ranges[i]);
		FAIL_IF(!iova_space_alloc(&space, &req, &range));
		FAIL_IF(range.first != ranges[i].first);
		ranges[i] = range;
	}
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("gaps that just suffice");
}

/*
 * The one gap with whole chunks is found below many that are long enough, but have
 * none, whatever the boundary: any PCI device has one of 4 GiB.
 */
static void aligned_test(void)
{
	struct iova_request req = { .size = 512, .align = 512, .quick = true };
	struct iova_range range;
	struct iova_space space;
	unsigned long boundary;
	unsigned int i;

	req.limit = 1024 * 102;
	for (boundary = 512; boundary; boundary *= 2) {
		req.boundary = boundary;
		FAIL_IF(iova_space_init(&space, 1, req.limit, 12));
		FAIL_IF(iova_space_reserve(&space, 1, 1023));
		FAIL_IF(iova_space_reserve(&space, 2048, 2048));
		for (i = 2; i < 102; i++)
			FAIL_IF(iova_space_reserve(&space, 1024 * i + 1001,
						   1024 * (i + 1)));
		for (i = 0; i < 2; i++) {
			FAIL_IF(!iova_space_alloc(&space, &req, &range));
			FAIL_IF(range.first != 1536 - 512 * i);
		}
		FAIL_IF(iova_space_alloc(&space, &req, &range));
		iova_space_destroy(&space);
	}
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("the only aligned gap");
}

/* Regions that overlap, reserved while one large range has all of them */
static void late_test(void)
{
	static const unsigned int regions[][2] = {
		{ 100, 199 }, { 50, 149 }, { 150, 299 },
	};
	struct iova_request req = { .size = 1000, .align = 1, .limit = 65535 };
	struct iova_range range;
	struct iova_space space;
	unsigned long base, granule;
	unsigned int i, count = 0;

	FAIL_IF(iova_space_init(&space, 1, 65535, 12));
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	base = range.first;
	for (i = 0; i < ARRAY_SIZE(regions); i++)
		FAIL_IF(iova_space_reserve(&space, base + regions[i][0],
					   base + regions[i][1]) != -EBUSY);
	/* All of it is to be reserved by now. */
	FAIL_IF(iova_space_reserve(&space, base + 60, base + 250));
	FAIL_IF(!iova_space_claim_large(&space, base, &range));
	iova_space_release(&space, &range);
	req.size = 1;
	for (; iova_space_alloc(&space, &req, &range); count++) {
		granule = range.first - base;
		FAIL_IF(granule >= 50 && granule <= 299);
	}
	FAIL_IF(count != 65535 - 250);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("late reservations that overlap");
}

/*
 * All pages are mapped by CPUs in turns, and unmapped in any order by others: then
 * one CPU can have all, in one piece of a quarter or page by page.
 */
static void others_test(unsigned int bits, unsigned int shift,
			unsigned int cpus)
{
	unsigned long last = BIT(bits - shift) - 1, count = 0, had = 0, i;
	struct iova_request req = { .size = 1, .align = 1, .limit = last };
	struct iova_range *ranges = calloc(last, sizeof(*ranges));
	unsigned int migrate = shim_migrate_one_in, nr_cpus = shim_nr_cpus;
	struct iova_range range;
	struct iova_space space;

	shim_migrate_one_in = 0;
	shim_nr_cpus = cpus;
	FAIL_IF(iova_space_init(&space, 1, last, shift));
	while (iova_space_alloc(&space, &req, &ranges[count])) {
		shim_cpu = shim_below(NR_CPUS);
		if (++count == last)
			break;
	}
	FAIL_IF(count != last);
	for (; count; count--) {
		i = shim_below(count);
		range = ranges[i];
		ranges[i] = ranges[count - 1];
		FAIL_IF(!iova_space_claim(&space, range.first, &range));
		iova_space_release(&space, &range);
		shim_cpu = shim_below(NR_CPUS);
	}
	req.size = (last + 1) / 4;
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	iova_space_release(&space, &range);
	req.size = 1;
	while (iova_space_alloc(&space, &req, &range))
		had++;
	FAIL_IF(had != last);
	iova_space_destroy(&space);
	free(ranges);
	shim_cpu = 0;
	shim_migrate_one_in = migrate;
	shim_nr_cpus = nr_cpus;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("others: %u bits, %lu KiB: all that %u CPUs had", bits,
		    BIT(shift - 10), cpus);
}

/* A CPU that goes offline gives back what it has, before anybody is short. */
static void offline_test(void)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = BIT(18) - 1 };
	unsigned int migrate = shim_migrate_one_in, i;
	struct iova_range ranges[300], range;
	struct iova_space space;

	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, 1, req.limit, 12));
	shim_cpu = 1;
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		FAIL_IF(!iova_space_alloc(&space, &req, &ranges[i]));
	while (i)
		iova_space_release(&space, &ranges[--i]);
	shim_cpu = 0;
	req.size = req.limit;
	req.quick = true;
	FAIL_IF(iova_space_alloc(&space, &req, &range));
	shim_cpu_dead(0);
	FAIL_IF(iova_space_alloc(&space, &req, &range));
	shim_cpu_dead(1);
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	iova_space_destroy(&space);
	shim_migrate_one_in = migrate;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("offline: all that a CPU had");
}

static void others_tests(bool few)
{
	static const unsigned int cpus[] = { 4, 8, 72, 128, 256 };
	unsigned int i;

	for (i = 0; i < (few ? 1 : ARRAY_SIZE(cpus)); i++) {
		others_test(30, 12, cpus[i]);
		others_test(32, 16, cpus[i]);
		others_test(32, 12, cpus[i]);
	}
}

/*
 * 3 granules take 4 where most addresses are free, and no CPU is short of any. What
 * is behind them is given up before a request is refused, and not freed twice.
 */
static void rounded_test(void)
{
	struct iova_request req = { .size = 3, .align = 1, .limit = 0xffff };
	struct iova_request all = { .size = 1, .align = 1, .limit = 0xffff };
	struct iova_range three, four, range, claimed;
	unsigned int migrate = shim_migrate_one_in, had = 0;
	struct iova_space space;

	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, 1, 0xffff, 12));
	FAIL_IF(!iova_space_alloc(&space, &req, &three));
	FAIL_IF(three.last - three.first != 2 || three.spare != 1);
	FAIL_IF(!iova_space_claim(&space, three.first, &claimed));
	FAIL_IF(claimed.spare != 1);
	iova_space_unclaim(&space, &claimed);
	FAIL_IF(!iova_space_alloc(&space, &req, &four));
	atomic_inc(&space.pool.nr_short);
	FAIL_IF(!iova_space_alloc(&space, &req, &range) || range.spare);
	atomic_dec(&space.pool.nr_short);
	/* Not claimed, so it is known here what the range takes. */
	iova_space_release(&space, &range);
	while (iova_space_alloc(&space, &all, &range))
		had++;
	FAIL_IF(had != 0xffff - 6);
	/* One that was never used, and one that is claimed */
	iova_space_release(&space, &three);
	FAIL_IF(!iova_space_claim(&space, four.first, &claimed));
	FAIL_IF(claimed.spare || claimed.last != four.last);
	iova_space_release(&space, &claimed);
	for (had = 0; iova_space_alloc(&space, &all, &range); had++)
		;
	FAIL_IF(had != 6);
	/* Most is taken. */
	iova_space_release(&space, &range);
	iova_space_destroy(&space);

	FAIL_IF(iova_space_init(&space, 1, 0xffff, 12));
	all.size = 0x9000;
	FAIL_IF(!iova_space_alloc(&space, &all, &range));
	FAIL_IF(!iova_space_alloc(&space, &req, &range) || range.spare);
	iova_space_destroy(&space);
	shim_migrate_one_in = migrate;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("rounded up, where there is room");
}

/* A spanning range that has retired is freed piece by piece, as the budget says. */
static void pieces_test(void)
{
	const unsigned long last = 8 * IOVA_CHUNK_GRANULES - 1;
	struct iova_request req = { .size = 1, .align = 1, .limit = last };
	unsigned int steps = 1, n = 0;
	struct iova_range *ranges = calloc(last, sizeof(*ranges)), range;
	struct iova_space space;

	FAIL_IF(iova_space_init(&space, 1, last, 12));
	while (iova_space_alloc(&space, &req, &ranges[n]))
		n++;
	FAIL_IF(n != last);
	/* What is left is in the chunk at the bottom, which so is no gap. */
	while (n--)
		if (ranges[n].first < 512 || ranges[n].first >= 612)
			iova_space_release(&space, &ranges[n]);
	req.size = last - 611;
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	FAIL_IF(range.extent->kind != IOVA_KIND_SPANNING);
	FAIL_IF(!iova_space_claim(&space, range.first, &range));
	iova_space_retire(&space, &range, 0);
	iova_space_recycle_start(&space, 0);
	while (iova_space_recycle(&space, 1))
		steps++;
	FAIL_IF(steps < 2);
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	iova_space_destroy(&space);
	free(ranges);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("a spanning range in %u pieces", steps);
}

/*
 * Requests that only prefer 32 bits find what is kept for them, whatever others have
 * asked for; and where there are many CPUs for the granules of a zone, none has a
 * chunk of it, so that one granule for each leaves room for large ranges.
 */
static void zones_test(void)
{
	struct iova_request wide = { .size = 1, .align = 1, .limit = BIT(36) - 1 };
	struct iova_request soft = {
		.size = 1, .align = 1, .limit = BIT(20) - 1, .soft = true,
	};
	struct iova_request one = { .size = 1, .align = 1, .limit = BIT(16) - 1 };
	unsigned int migrate = shim_migrate_one_in, nr_cpus = shim_nr_cpus, i;
	struct iova_range ranges[200], range;
	struct iova_space space;
	struct iova_cpu *cpu;

	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, 1, BIT(36) - 1, 12));
	cpu = this_cpu_ptr(space.cpu);
	FAIL_IF(!iova_space_alloc(&space, &wide, &range));
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		FAIL_IF(!iova_space_alloc(&space, &soft, &ranges[i]));
	while (i)
		iova_space_release(&space, &ranges[--i]);
	FAIL_IF(cpu->nr_unused > IOVA_CPU_RANGES / 2);
	for (; i < ARRAY_SIZE(ranges); i++)
		FAIL_IF(!iova_space_alloc(&space, &soft, &ranges[i]));
	FAIL_IF(cpu->nr_unused != IOVA_CPU_RANGES);
	iova_space_destroy(&space);

	shim_nr_cpus = 128;
	FAIL_IF(iova_space_init(&space, 1, one.limit, 16));
	for (shim_cpu = 0; shim_cpu < NR_CPUS; shim_cpu++)
		FAIL_IF(!iova_space_alloc(&space, &one, &range));
	shim_cpu = 0;
	one.size = BIT(14);
	one.align = BIT(14);
	FAIL_IF(!iova_space_alloc(&space, &one, &range));
	iova_space_destroy(&space);
	shim_nr_cpus = nr_cpus;
	shim_migrate_one_in = migrate;
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("zones: soft requests, and many CPUs");
}

/* What is reserved is neither taken nor free. */
static void low_test(void)
{
	struct iova_request req = { .size = 0x1000, .align = 1, .limit = 0xffff };
	struct iova_range range;
	struct iova_space space;
	unsigned int zone, count = 0;

	FAIL_IF(iova_space_init(&space, 1, 0xffff, 12));
	zone = iova_pool_zone(&space.pool, 0xffff);
	FAIL_IF(iova_space_reserve(&space, 0x4000, 0xffff));
	FAIL_IF(iova_pool_low(&space.pool, zone));
	for (; !iova_pool_low(&space.pool, zone); count++)
		FAIL_IF(!iova_space_alloc(&space, &req, &range));
	/* More than half of 0x3fff granules, by 0x1000 */
	FAIL_IF(count != 2);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("low without what is reserved");
}

/* Chunks that are kept with nothing in them make room for a large range. */
static void empty_test(void)
{
	struct iova_request small = { .size = 1, .align = 1, .limit = 8191 };
	struct iova_request large = {
		.size = 6144, .align = 1, .limit = 8191, .quick = true,
	};
	static struct iova_range ranges[8192];
	struct iova_space space;
	struct iova_range range;
	unsigned int count = 0, cpu;

	FAIL_IF(iova_space_init(&space, 1, 8191, 12));
	while (iova_space_alloc(&space, &small, &ranges[count]))
		count++;
	FAIL_IF(count != 8191);
	while (count)
		iova_space_release(&space, &ranges[--count]);
	FAIL_IF(space.pool.nr_empty < 8);
	/* What CPUs keep is not what this is about. */
	for_each_possible_cpu(cpu)
		iova_cpu_drain(&space.pool, per_cpu_ptr(space.cpu, cpu));
	iova_pool_reap(&space.pool);
	FAIL_IF(!iova_space_alloc(&space, &large, &range));
	iova_space_release(&space, &range);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("room in place of empty chunks");
}

/*
 * Holes of a length that is no power of two, all over an old space, are found without
 * a search of everything.
 */
static void odd_holes_test(unsigned int one, unsigned int other)
{
	struct iova_request req = { .align = 1, .limit = BIT(18) - 1, .quick = true };
	static unsigned long firsts[BIT(18)];
	struct iova_space space;
	struct iova_range range;
	unsigned int i, n, searched = 0;

	FAIL_IF(iova_space_init(&space, 1, req.limit, 12));
	for (n = 0; ; n++) {
		req.size = one;
		if (!iova_space_alloc(&space, &req, &range))
			break;
		req.size = other;
		if (!iova_space_alloc(&space, &req, &range))
			break;
		firsts[n] = range.first;
	}
	for (i = 0; i < n; i++) {
		FAIL_IF(!iova_space_claim(&space, firsts[i], &range));
		iova_space_release(&space, &range);
	}
	for (i = 0; i < n * 9 / 10; i++) {
		req.quick = true;
		if (iova_space_alloc(&space, &req, &range))
			continue;
		req.quick = false;
		FAIL_IF(!iova_space_alloc(&space, &req, &range));
		searched++;
	}
	FAIL_IF(searched > n / 50);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("holes of %u: %u of %u searched for", other, searched, n);
}

/*
 * Chunks whose holes are all too short do not hide others. Short ones are not aligned, and
 * so are in a class below.
 */
static void short_holes_test(void)
{
	struct iova_request page = { .size = 1, .align = 1, .limit = BIT(16) - 1 };
	struct iova_request req = {
		.size = 12, .align = 1, .limit = BIT(16) - 1, .quick = true,
	};
	const unsigned int chunks = BIT(16) >> IOVA_CHUNK_SHIFT;
	unsigned int i, at, from, granules, served = 0;
	struct iova_space space;
	struct iova_range range;

	FAIL_IF(iova_space_init(&space, 1, req.limit, 12));
	while (iova_space_alloc(&space, &page, &range))
		;
	for (i = 1; i < chunks; i++) {
		from = i <= 20 ? 10 : 4;
		granules = i <= 20 ? 10 : 12;
		for (at = from; at < from + granules; at++) {
			FAIL_IF(!iova_space_claim(&space, (i << IOVA_CHUNK_SHIFT) + at,
						  &range));
			iova_space_release(&space, &range);
		}
	}
	for_each_possible_cpu(i)
		iova_cpu_drain(&space.pool, per_cpu_ptr(space.cpu, i));
	for (i = 21; i < chunks; i++)
		served += iova_space_alloc(&space, &req, &range);
	FAIL_IF(served < chunks - 21);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("holes that are too short: %u found behind them", served);
}

/* What CPUs keep of a narrow zone does not cost large ranges their alignment. */
static void narrow_test(void)
{
	struct iova_request small = { .size = 1, .align = 1, .limit = 4095 };
	struct iova_request large = {
		.size = 512, .align = 512, .limit = 4095, .quick = true,
	};
	static struct iova_range ranges[3500];
	struct iova_space space;
	unsigned int i;

	FAIL_IF(iova_space_init(&space, 1, BIT(20) - 1, 12));
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		FAIL_IF(!iova_space_alloc(&space, &small, &ranges[i]));
	/* Those that are kept are of all chunks. */
	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		iova_space_release(&space, &ranges[i * 997 % ARRAY_SIZE(ranges)]);
	/* The lowest chunk has no granule 0. */
	for (i = 0; i < 7; i++)
		FAIL_IF(!iova_space_alloc(&space, &large, &ranges[i]));
	while (i)
		iova_space_release(&space, &ranges[--i]);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("large ranges of a narrow zone");
}

/*
 * Where only a zone below their own has room left, small ranges fill its chunks
 * like any other's: there is room for large ranges afterwards.
 */
static void lower_zone_test(bool soft, bool narrow, unsigned int taken_shift)
{
	struct iova_request taken = {
		.size = BIT(20) - BIT(taken_shift) - IOVA_CHUNK_GRANULES,
		.align = 1,
		.limit = BIT(20) - 1,
		.soft = soft,
	};
	struct iova_request small = {
		.size = 1, .align = 1, .limit = BIT(20) - 1, .soft = soft,
	};
	struct iova_request large = {
		.size = 4096,
		.align = 1,
		.limit = BIT(taken_shift) - 1,
	};
	struct iova_space space;
	struct iova_range range;
	unsigned int i;

	FAIL_IF(iova_space_init(&space, 1, BIT(36) - 1, 12));
	if (narrow)
		FAIL_IF(!iova_space_alloc(
			&space,
			&(struct iova_request) {
				.size = 1, .align = 1, .limit = BIT(16) - 1 },
			&range));
	FAIL_IF(!iova_space_alloc(&space, &taken, &range));
	for (i = 0; i < 8192; i++)
		FAIL_IF(!iova_space_alloc(&space, &small, &range));
	FAIL_IF(!iova_space_alloc(&space, &large, &range));
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
}

/*
 * Who would rather have an address below 4 GiB finds what is free in the zones below that,
 * if nobody needs those: here 28 to 30 bits.
 */
static void preferred_test(void)
{
	struct iova_request req = {
		.size = 16, .align = 16, .limit = BIT(36) - 1,
	};
	unsigned int migrate = shim_migrate_one_in, i, n = 0;
	static unsigned long below[BIT(16)];
	struct iova_space space;
	struct iova_range range;

	/* What another CPU keeps is not found at once. */
	shim_migrate_one_in = 0;
	FAIL_IF(iova_space_init(&space, 1, req.limit, 12));
	FAIL_IF(!iova_space_alloc(&space, &req, &range));
	req.limit = BIT(20) - 1;
	req.soft = true;
	while (iova_space_alloc(&space, &req, &range))
		if (range.first >= BIT(16) && range.last < BIT(18))
			below[n++] = range.first;
	FAIL_IF(n < 1000);
	req.quick = true;
	for (i = 0; i < n; i++) {
		FAIL_IF(!iova_space_claim(&space, below[i], &range));
		iova_space_release(&space, &range);
		FAIL_IF(!iova_space_alloc(&space, &req, &range));
	}
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_migrate_one_in = migrate;
	shim_report("what is preferred: %u in the zones below", n);
}

static void lower_zones_test(void)
{
	lower_zone_test(true, false, 18);
	lower_zone_test(false, false, 18);
	lower_zone_test(false, true, 16);
	preferred_test();
	shim_report("small ranges from a lower zone");
}

/*
 * Threads. Each granule has an owner; a range is claimed by two at once, and
 * whoever comes second gives it back for the one that succeeded.
 */

#define THREADS		6
#define BOXES		64
#define OWNER_RESERVED	255

struct item {
	struct iova_range handed_out, claimed;
	int tries, successes;
	int claimants;
};

static struct iova_space shared;
static u8 *cpus;
static struct item *boxes[BOXES];
static int shared_epoch, shared_stop;
static unsigned int shared_steps;
static unsigned long shared_last;
static int shared_allocs;

static void own(const struct iova_range *range, u8 from, u8 to)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++)
		FAIL_IF(__atomic_exchange_n(&cpus[g], to, __ATOMIC_RELAXED) !=
		       from);
}

static void consume(struct item *item)
{
	const struct iova_range *range = &item->handed_out;
	int claimants = item->claimants;

	if (iova_space_claim(&shared, range->first, &item->claimed)) {
		FAIL_IF(item->claimed.first != range->first ||
			item->claimed.last != range->last);
		__atomic_add_fetch(&item->successes, 1, __ATOMIC_RELAXED);
	}
	if (__atomic_add_fetch(&item->tries, 1, __ATOMIC_ACQ_REL) < claimants)
		return;
	FAIL_IF(item->successes != 1);
	own(range, 1, 0);
	if (shim_one_in(2))
		iova_space_release(&shared, &item->claimed);
	else
		iova_space_retire(&shared, &item->claimed, READ_ONCE(shared_epoch));
	free(item);
}

static void produce(void)
{
	struct iova_request req = {
		.size = random_size(shim_one_in(8) ? 2000 : 40),
		.align = shim_one_in(4) ? BIT(shim_below(9)) : 1,
		.limit = shim_one_in(4) ? shim_below(shared_last) + 1 :
					  shared_last,
	};
	struct item *item, *other;
	unsigned int i;

	item = calloc(1, sizeof(*item));
	if (!iova_space_alloc(&shared, &req, &item->handed_out)) {
		free(item);
		return;
	}
	__atomic_add_fetch(&shared_allocs, 1, __ATOMIC_RELAXED);
	own(&item->handed_out, 0, 1);
	item->claimants = 1 + shim_below(2);
	for (i = item->claimants; i; i--) {
		other = xchg(&boxes[shim_below(BOXES)], item);
		if (other)
			consume(other);
	}
}

static void take(unsigned int box)
{
	struct item *item = xchg(&boxes[box], NULL);

	if (item)
		consume(item);
}

static void *worker(void *seed)
{
	unsigned int i;

	shim_seed = (u64)seed * 0x9e3779b97f4a7c15;
	for (i = 0; i < shared_steps; i++) {
		if (shim_one_in(2))
			produce();
		else
			take(shim_below(BOXES));
	}
	return NULL;
}

/* Each granule at most once, as what is in use is reserved later. */
static void reserve_now_and_then(u8 *tried)
{
	struct iova_range range = { .first = 1 + shim_below(shared_last) };
	unsigned long g;

	/* Most of the space has to be left. */
	if (range.first % 16 >= 4)
		return;
	range.last = min(range.first + shim_below(4), shared_last);
	for (g = range.first; g <= range.last; g++)
		if (tried[g]++)
			return;
	/* If nobody had any of it, nobody will. */
	if (!iova_space_reserve(&shared, range.first, range.last))
		own(&range, 0, OWNER_RESERVED);
}

static void *recycler(void *seed)
{
	u8 *tried = calloc(1, shared_last + 1);

	shim_seed = (u64)seed * 0x9e3779b97f4a7c15;
	while (!READ_ONCE(shared_stop)) {
		int old = shared_epoch;

		WRITE_ONCE(shared_epoch, old ^ 1);
		iova_space_recycle_start(&shared, old);
		while (iova_space_recycle(&shared, 1 + shim_below(8)))
			sched_yield();
		if (shim_one_in(100))
			reserve_now_and_then(tried);
		iova_pool_largest(&shared.pool, shim_below(shared_last));
		sched_yield();
	}
	free(tried);
	return NULL;
}

static bool reserved_later(struct iova_space *space, unsigned long granule)
{
	struct iova_chunk *c =
		xa_load(&space->pool.chunks, iova_pool_index(&space->pool, granule));
	unsigned int i = granule % IOVA_CHUNK_GRANULES;

	return c && c->reserved && c->reserved[i / 64] & BIT_ULL(i % 64);
}

static void thread_test(unsigned int bits, unsigned int steps,
			unsigned int fail_one_in)
{
	pthread_t threads[THREADS], last;
	unsigned long i;

	shared_last = BIT(bits - 12) - 1;
	shared_steps = steps;
	shared_stop = 0;
	shared_epoch = 0;
	shared_allocs = 0;
	cpus = calloc(1, shared_last + 1);
	FAIL_IF(iova_space_init(&shared, 1, shared_last, 12));
	shim_fail_one_in = fail_one_in;
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, worker, (void *)(shim_seed + i));
	pthread_create(&last, NULL, recycler, (void *)(shim_seed + i));
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	WRITE_ONCE(shared_stop, 1);
	pthread_join(last, NULL);
	shim_fail_one_in = 0;

	for (i = 0; i < BOXES; i++)
		take(i);
	recycling = -1;
	recycle_all(&shared);
	for (i = 1; i <= shared_last; i++) {
		FAIL_IF(cpus[i] == 1);
		*state(i) = cpus[i] || reserved_later(&shared, i) ?
			    RESERVED : FREE;
	}
	drain_all(&shared);
	check_space(&shared);
	iova_space_destroy(&shared);
	oracle_clear();
	free(cpus);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	shim_report("threads: %u bits, %d allocations by %u threads", bits,
		    shared_allocs, THREADS);
}

static const struct setup setups[] = {
	{ "24 bits", 12, 1, BIT(12) - 1, 400000, 200 },
	{ "24 bits, 64 KiB", 16, 1, BIT(8) - 1, 200000, 20 },
	{ "24 bits, no memory", 12, 1, BIT(12) - 1, 200000, 200, 10 },
	{ "28 bits", 12, 1, BIT(16) - 1, 600000, 2000 },
	{ "28 bits, reserved", 12, 16, BIT(16) - 1, 300000, 2000, 0, true },
	{ "28 bits, no memory", 12, 1, BIT(16) - 1, 300000, 2000, 20 },
	{ "odd space", 14, 777, 99999, 300000, 2000 },
	{ "32 bits", 12, 256, BIT(20) - 1, 600000, 2000 },
	{ "32 bits, reserved, no memory", 12, 1, BIT(20) - 1, 300000, 2000, 50, true },
	{ "36 bits", 12, 1, BIT(24) - 1, 300000, 2000 },
	{ "52 bits", 12, 1, BIT(40) - 1, 600000, 2000 },
	{ "52 bits, 16 KiB", 14, 1, BIT(38) - 1, 200000, 2000 },
	{ "52 bits, 64 KiB, no memory", 16, 1, BIT(36) - 1, 200000, 2000, 30 },
	{ "64 bits", 12, 1, BIT(52) - 1, 200000, 2000 },
	{ "all bits", 12, 1, ULONG_MAX - 1, 200000, 2000 },
};

int main(int argc, char **argv)
{
	const char *variant = argc > 1 ? argv[1] : "plain";
	bool tsan = !strcmp(variant, "tsan"), plain = !strcmp(variant, "plain");
	unsigned int divide = plain ? 4 : 12, i;

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	init_test();
	bits_test();
	class_test();
	tight_test();
	holes_test(16, 16);
	holes_test(4, 4);
	holes_test(28, 16);
	kept_test(1);
	kept_test(5);
	kept_test(16);
	aligned_test();
	late_test();
	low_test();
	rounded_test();
	pieces_test();
	zones_test();
	offline_test();
	others_tests(!plain);
	empty_test();
	narrow_test();
	odd_holes_test(1, 3);
	odd_holes_test(1, 7);
	odd_holes_test(4, 12);
	short_holes_test();
	lower_zones_test();
	for (i = 0; !tsan && i < ARRAY_SIZE(setups); i++)
		random_test(&setups[i], divide);
	if (!tsan) {
		exhaust_test(24, 12);
		exhaust_test(24, 16);
		exhaust_test(28, 12);
	}
	thread_test(24, 400000 / divide, 0);
	thread_test(28, 400000 / divide, 0);
	thread_test(28, 200000 / divide, 20);
	thread_test(32, 300000 / divide, 0);
	thread_test(36, 200000 / divide, 0);
	return 0;
}
