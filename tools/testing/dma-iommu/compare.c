// SPDX-License-Identifier: GPL-2.0
/*
 * iova-space.c beside the base's, compiled the same way: what an address costs, and how
 * much room is left in an old space. The script compare runs this.
 *
 * Best of many short rounds, the two by turns. See compare.h for what is called.
 */

#include "compare.h"

enum side { STOCK, OURS, ORACLE };

static const char * const sides[] = { "stock", "ours", "oracle" };

static void report(const char *name, enum side side, double value)
{
	printf("%s|%s|%.3f\n", name, sides[side], value);
	fflush(stdout);
}

/*
 * Threads: each is a CPU and does the same; what counts is the time that all of
 * them take together.
 */

#define OPS		40000
#define WINDOW		256	/* live per CPU: descriptors of a ring, say */
#define BURST		1024	/* mapped, and then unmapped, before the next */
#define MAX_CPUS	2

struct thread {
	unsigned long live[BURST];
	unsigned int cpu, at;
};

static struct thread threads[MAX_CPUS];
static pthread_barrier_t barrier_begin, barrier_end;

/* First in, first out */
static __always_inline_ void window(struct thread *t, bool ours,
				    unsigned int ops)
{
	unsigned int i;

	for (i = 0; i < ops; i++) {
		unsigned long *slot = &t->live[t->at++ % WINDOW];

		if (*slot)
			put(ours, *slot, 1);
		*slot = get(ours, 1, 1, LIMIT);
		FAIL_IF(!*slot);
	}
}

static __always_inline_ void burst(struct thread *t, bool ours,
				   unsigned int ops)
{
	unsigned int i;

	for (; ops >= BURST; ops -= BURST) {
		for (i = 0; i < BURST; i++)
			FAIL_IF(!(t->live[i] = get(ours, 1, 1, LIMIT)));
		for (i = 0; i < BURST; i++)
			put(ours, t->live[i], 1);
		memset(t->live, 0, sizeof(t->live));
	}
}

noinline void window_stock(struct thread *t)
{
	window(t, false, OPS);
}

noinline void window_ours(struct thread *t)
{
	window(t, true, OPS);
}

noinline void burst_stock(struct thread *t)
{
	burst(t, false, OPS);
}

noinline void burst_ours(struct thread *t)
{
	burst(t, true, OPS);
}

/* From the one that allocates to the one that frees */
#define RING		1024

static unsigned long ring[RING];
static unsigned int ring_head __attribute__((aligned(64)));
static unsigned int ring_tail __attribute__((aligned(64)));

static __always_inline_ void hand_over(struct thread *t, bool ours)
{
	unsigned int i;

	for (i = 0; i < OPS; i++) {
		unsigned int at = t->at++;

		if (!t->cpu) {
			wait_for(&ring_tail, at + 1 - RING);
			ring[at % RING] = get(ours, 1, 1, LIMIT);
			FAIL_IF(!ring[at % RING]);
			smp_store_release(&ring_head, at + 1);
		} else {
			wait_for(&ring_head, at + 1);
			put(ours, ring[at % RING], 1);
			smp_store_release(&ring_tail, at + 1);
		}
	}
}

static void hand_over_stock(struct thread *t)
{
	hand_over(t, false);
}

static void hand_over_ours(struct thread *t)
{
	hand_over(t, true);
}

typedef void (*work_t)(struct thread *t);

static work_t work;
static bool stop;

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	shim_cpu = t->cpu;
	for (;;) {
		pthread_barrier_wait(&barrier_begin);
		if (stop)
			return NULL;
		work(t);
		pthread_barrier_wait(&barrier_end);
	}
}

static void empty(bool ours)
{
	unsigned int cpu, i;

	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		for (i = 0; i < BURST; i++)
			if (threads[cpu].live[i])
				put(ours, threads[cpu].live[i], 1);
		threads[cpu] = (struct thread) { .cpu = cpu };
	}
	ring_head = 0;
	ring_tail = 0;
}

/* Return: nanoseconds per operation in the best of the rounds so far, or @best */
static double round_of(work_t what, unsigned int cpus, unsigned int repeat,
		       double best)
{
	double start;

	work = what;
	while (repeat--) {
		start = now();
		if (cpus == 1) {
			work(&threads[0]);
		} else {
			pthread_barrier_wait(&barrier_begin);
			pthread_barrier_wait(&barrier_end);
		}
		best = min(best, (now() - start) / OPS);
	}
	return best;
}

static void measure(const char *name, work_t stock, work_t ours,
		    unsigned int cpus, unsigned int per_op,
		    unsigned int rounds)
{
	pthread_t others[MAX_CPUS];
	double best[2] = { 1e18, 1e18 };
	unsigned int i, side;

	stop = false;
	if (cpus > 1) {
		pthread_barrier_init(&barrier_begin, NULL, cpus + 1);
		pthread_barrier_init(&barrier_end, NULL, cpus + 1);
		for (i = 0; i < cpus; i++)
			pthread_create(&others[i], NULL, thread_main,
				       &threads[i]);
	}
	for (i = 0; i < rounds; i++) {
		for (side = 0; side < 2; side++) {
			begin(side);
			empty(side);
			best[side] = round_of(side ? ours : stock, cpus, 8,
					      best[side]);
			empty(side);
			end(side);
		}
	}
	if (cpus > 1) {
		stop = true;
		pthread_barrier_wait(&barrier_begin);
		for (i = 0; i < cpus; i++)
			pthread_join(others[i], NULL);
	}
	for (side = 0; side < 2; side++)
		report(name, side, best[side] / per_op);
}

/*
 * 1 MiB at a time, many live, one at random replaced by another.
 */

#define BIG		256UL

static void live_test(const char *name, bool ours, unsigned int count,
		      double seconds)
{
	unsigned long *live = calloc(count, sizeof(*live));
	double best = 1e18, start, until;
	unsigned int i;

	begin(ours);
	for (i = 0; i < count; i++)
		FAIL_IF(!(live[i] = get(ours, BIG, 1, LIMIT)));
	shim_seed = 88172645463325252;
	until = now() + seconds * 1e9;
	/* Not the best, but what an old space costs: from half of the time on */
	do {
		unsigned int done = 0;

		start = now();
		do {
			for (i = 0; i < 50; i++, done++) {
				unsigned int k = shim_below(count);

				put(ours, live[k], BIG);
				live[k] = get(ours, BIG, 1, LIMIT);
				FAIL_IF(!live[k]);
			}
		} while (now() - start < 50e6);
		if (now() > until - seconds * 0.5e9)
			best = min(best, (now() - start) / done);
	} while (now() < until);
	for (i = 0; i < count; i++)
		put(ours, live[i], BIG);
	end(ours);
	free(live);
	report(name, ours, best);
}

/*
 * Room: an old space of 32 bits, 90 % of it taken, and requests for 4 MiB. The
 * oracle takes the smallest gap that suffices. Sizes are as devices have them:
 * most requests are small, most of the memory is in large ones.
 */

#define SPACE_LAST	((1UL << 20) - 1)
#define MOST		(SPACE_LAST / 10 * 9)
#define IDS		(1u << 20)

struct gap {
	struct rb_node by_size, by_address;
	unsigned long first, size;
};

static struct rb_root by_size, by_address;

#define to_gap(n, tree)	rb_entry(n, struct gap, tree)

static bool size_less(struct rb_node *a, const struct rb_node *b)
{
	const struct gap *x = to_gap(a, by_size);
	const struct gap *y = to_gap(b, by_size);

	return x->size != y->size ? x->size < y->size : x->first < y->first;
}

static bool address_less(struct rb_node *a, const struct rb_node *b)
{
	return to_gap(a, by_address)->first < to_gap(b, by_address)->first;
}

static void gap_add(struct gap *gap)
{
	rb_add(&gap->by_size, &by_size, size_less);
	rb_add(&gap->by_address, &by_address, address_less);
}

static void gap_remove(struct gap *gap)
{
	rb_erase(&gap->by_size, &by_size);
	rb_erase(&gap->by_address, &by_address);
}

static unsigned long oracle_get(unsigned long size)
{
	struct rb_node *node = by_size.rb_node;
	struct gap *best = NULL;
	unsigned long first;

	while (node) {
		struct gap *gap = to_gap(node, by_size);

		if (gap->size >= size) {
			best = gap;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	if (!best)
		return 0;
	gap_remove(best);
	first = best->first;
	best->first += size;
	best->size -= size;
	if (best->size)
		gap_add(best);
	else
		free(best);
	return first;
}

static void oracle_put(unsigned long first, unsigned long size)
{
	struct rb_node *node = by_address.rb_node;
	struct gap *below = NULL, *above = NULL, *gap;

	while (node) {
		gap = to_gap(node, by_address);
		if (gap->first < first) {
			below = gap;
			node = node->rb_right;
		} else {
			above = gap;
			node = node->rb_left;
		}
	}
	gap = calloc(1, sizeof(*gap));
	*gap = (struct gap) { .first = first, .size = size };
	if (below && below->first + below->size == first) {
		gap_remove(below);
		gap->first = below->first;
		gap->size += below->size;
		free(below);
	}
	if (above && gap->first + gap->size == above->first) {
		gap_remove(above);
		gap->size += above->size;
		free(above);
	}
	gap_add(gap);
}

/* As the layers ask for it; ours for large pages' alignment if it can be had */
static unsigned long room_get(enum side side, unsigned long size)
{
	unsigned long first = 0;

	if (side == ORACLE)
		return oracle_get(size);
	if (side == STOCK)
		return get(false, size, 1, SPACE_LAST);
	if (size >= 512)
		first = get(true, size, 512, SPACE_LAST);
	return first ? first : get(true, size, 1, SPACE_LAST);
}

static void room_put(enum side side, unsigned long first, unsigned long size)
{
	if (side == ORACLE)
		oracle_put(first, size);
	else
		put(side, first, size);
}

static unsigned long room_size(void)
{
	unsigned long what = shim_below(100);

	if (what < 50)		/* pages, packets */
		return 1;
	if (what < 70)		/* 8 to 32 KiB */
		return 2 + shim_below(7);
	if (what < 85)		/* 36 to 128 KiB: block I/O */
		return 9 + shim_below(24);
	if (what < 95)		/* to 512 KiB */
		return 33 + shim_below(96);
	if (what < 99)		/* to 1 MiB */
		return 129 + shim_below(128);
	return 512 << shim_below(3);	/* 2, 4, 8 MiB: frames */
}

struct room {
	unsigned long first;
	unsigned int size;
};

static void room_test(enum side side, unsigned int ops)
{
	struct room *live = calloc(IDS, sizeof(*live));
	unsigned long failed = 0, mean = 0, sum = 0, used = 0, free_left;
	unsigned int n = 0, i, got = 0, now_and_then = 0, tries = 0;
	unsigned long size = 0, k;

	if (side == ORACLE)
		oracle_put(1, SPACE_LAST);
	else
		begin(side);
	shim_seed = 88172645463325252;
	for (i = 0; i < ops; i++) {
		/*
		 * What comes next waits until enough was freed, or only small
		 * ones would be left. It does not depend on what succeeds.
		 */
		if (!size)
			size = room_size();
		if (used + size <= MOST) {
			live[n].size = size;
			live[n].first = room_get(side, size);
			failed += !live[n].first;
			n++;
			used += size;
			size = 0;
		} else {
			k = shim_below(n);
			if (live[k].first)
				room_put(side, live[k].first, live[k].size);
			used -= live[k].size;
			live[k] = live[--n];
		}
		if (i % (ops / 1000) == 0 && i > ops / 10) {
			unsigned long first = room_get(side, 1024);

			tries++;
			now_and_then += first != 0;
			if (first)
				room_put(side, first, 1024);
		}
		if (i > ops / 10) {
			mean += used;
			sum++;
		}
	}
	free_left = SPACE_LAST - used;
	for (i = 0; i < 1000; i++)
		got += room_get(side, 1024) != 0;
	report("4 MiB requests that succeed of 1,000, kept", side, got);
	report("4 MiB requests that succeed of 1,000, now and then", side,
	       now_and_then * 1000.0 / tries);
	report("requests that found no room, of 10 million operations", side,
	       failed);
	fprintf(stderr, "%s: %u live, %.1f %% taken in the mean, room for %lu of 4 MiB in the end\n",
		sides[side], n, mean * 100.0 / sum / SPACE_LAST,
		free_left / 1024);
	free(live);
	if (side != ORACLE)
		end(side);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned int rounds = argc > 2 ? atoi(argv[2]) : 30;
	enum side side;

	iova_cache_get();
	if (!strcmp(what, "time")) {
		measure("4 KiB, one thread", window_stock, window_ours, 1, 1,
			rounds);
		measure("4 KiB in bursts of 1,024, one thread", burst_stock,
			burst_ours, 1, 1, rounds);
		measure("4 KiB, two threads", window_stock, window_ours, 2, 2,
			rounds);
		measure("4 KiB in bursts of 1,024, two threads", burst_stock,
			burst_ours, 2, 2, rounds);
		measure("4 KiB, one allocates, another frees", hand_over_stock,
			hand_over_ours, 2, 1, rounds);
		live_test("1 MiB, 100,000 live, random replacement", false,
			  100000, 8);
		live_test("1 MiB, 100,000 live, random replacement", true,
			  100000, 2);
	} else if (!strcmp(what, "count")) {
		/* Under callgrind, which counts in window_*() and burst_*() */
		for (side = STOCK; side <= OURS; side++) {
			begin(side);
			empty(side);
			window(&threads[0], side, WINDOW);
			if (side)
				window_ours(&threads[0]);
			else
				window_stock(&threads[0]);
			empty(side);
			end(side);
		}
	} else if (!strcmp(what, "room")) {
		for (side = STOCK; side <= ORACLE; side++)
			room_test(side, rounds);
	} else {
		fprintf(stderr, "compare time ROUNDS | count | room OPERATIONS\n");
		return 2;
	}
	return 0;
}
