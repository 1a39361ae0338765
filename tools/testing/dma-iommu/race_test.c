// SPDX-License-Identifier: GPL-2.0
/*
 * Threads against each other in iova.c, each test at one seam, by the interface
 * alone. A test that takes a minute of CPU time does not come to an end.
 */

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "iova.h"

#define THREADS		4
#define MAX_LAST	(BIT(18) - 1)
#define TAKEN		1u
#define SECONDS		60

static struct iova_space space;
static unsigned long space_last;
static u8 *owners;			/* per granule: TAKEN or not */
static unsigned int *reserved_at;	/* per granule: tick, or 0 */
static unsigned int tick;
static unsigned int steps, running;
static int epoch;
static long successes;

#define load(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define add(x, n)	__atomic_add_fetch(&(x), n, __ATOMIC_ACQ_REL)

static const char *test_name;

static void too_long(int sig)
{
	printf("not ok: %s: not done in %d s of CPU time\n", test_name, SECONDS);
	fflush(stdout);
	_exit(1);
}

static void limit_time(unsigned int seconds)
{
	struct itimerval limit = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_PROF, &limit, NULL);
}

static void begin(const char *name, unsigned long last)
{
	test_name = name;
	shim_pause_one_in = 32;
	limit_time(SECONDS);
	space_last = last;
	owners = calloc(1, last + 1);
	reserved_at = calloc(last + 1, sizeof(*reserved_at));
	tick = 0;
	epoch = 0;
	successes = 0;
	FAIL_IF(iova_space_init(&space, 1, last, 12));
}

static void recycle_all(void)
{
	unsigned int e;

	while (iova_recycle(&space, 100))
		;
	for (e = 0; e < IOVA_EPOCHS; e++) {
		iova_recycle_start(&space, e);
		while (iova_recycle(&space, 100))
			;
	}
}

/* Everything has been given back. */
static void end(void)
{
	struct iova_range range;
	unsigned long g;

	shim_pause_one_in = 0;
	recycle_all();
	for (g = 0; g <= space_last; g++) {
		FAIL_IF(owners[g]);
		FAIL_IF(iova_claim(&space, g, &range));
	}
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	free(owners);
	free(reserved_at);
	limit_time(0);
}

static void own(const struct iova_range *range, u8 from, u8 to)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++)
		FAIL_IF(__atomic_exchange_n(&owners[g], to, __ATOMIC_RELAXED) !=
			from);
}

static bool get(unsigned long size, unsigned long align, unsigned long limit,
		struct iova_range *range)
{
	struct iova_request req = {
		.size = size, .align = align, .limit = limit,
	};
	unsigned int before = load(tick), at;
	unsigned long g;

	if (!iova_alloc(&space, &req, range))
		return false;
	FAIL_IF(range->last - range->first + 1 != size || range->last > limit);
	FAIL_IF(range->first % align);
	own(range, 0, TAKEN);
	for (g = range->first; g <= range->last; g++) {
		at = load(reserved_at[g]);
		FAIL_IF(at && at <= before);
	}
	add(successes, 1);
	return true;
}

static void put(const struct iova_range *expected, bool retire)
{
	struct iova_range range;

	FAIL_IF(!iova_claim(&space, expected->first, &range));
	FAIL_IF(range.last != expected->last);
	FAIL_IF(iova_claim(&space, expected->first, &range));
	range.last = expected->last;
	own(&range, TAKEN, 0);
	if (retire)
		iova_retire(&space, expected, load(epoch));
	else
		iova_release(&space, expected);
}

static void seed(const void *arg)
{
	shim_seed = (u64)arg * 0x9e3779b97f4a7c15;
}

static void run(void *(*worker)(void *), void *(*other)(void *))
{
	pthread_t threads[THREADS], last;
	unsigned long i;

	running = THREADS;
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, worker, (void *)(shim_seed + i));
	if (other)
		pthread_create(&last, NULL, other, (void *)(shim_seed + i));
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		add(running, -1);
	}
	if (other)
		pthread_join(last, NULL);
	shim_seed += 17;
}

/* The flush: one epoch after the other */
static void recycle_once(unsigned int budget)
{
	int old = epoch;

	__atomic_store_n(&epoch, old ^ 1, __ATOMIC_RELEASE);
	iova_recycle_start(&space, old);
	while (iova_recycle(&space, budget))
		;
}

/*
 * Reserving while all others allocate in the same chunks: what was reserved is
 * never handed out again, and nobody waits for ever.
 */

#define MINE	24

static void *churn(void *arg)
{
	struct iova_range mine[MINE];
	unsigned int i, k, n = 0;

	seed(arg);
	for (i = 0; i < steps; i++) {
		if (n < MINE && shim_one_in(2)) {
			unsigned long size = 1 + shim_below(shim_one_in(2) ? 128 : 8);

			n += get(size, 1, space_last, &mine[n]);
		} else if (n) {
			k = shim_below(n);
			put(&mine[k], shim_one_in(4));
			mine[k] = mine[--n];
		}
	}
	while (n)
		put(&mine[--n], false);
	return NULL;
}

static void *reserve_here_and_there(void *arg)
{
	unsigned long first;
	unsigned int count = 0;

	seed(arg);
	while (load(running)) {
		/* Where the chunks are: at the top */
		first = space_last - shim_below(16 * IOVA_CHUNK_GRANULES);
		if (count++ < 1500) {
			/* Else it may be in a large range, and is not reserved. */
			if (!iova_reserve(&space, first, first))
				__atomic_store_n(&reserved_at[first],
						 add(tick, 1), __ATOMIC_RELEASE);
		}
		recycle_once(4);
		sched_yield();
	}
	return NULL;
}

static void reserve_test(unsigned int count)
{
	begin("reserving under load", MAX_LAST);
	steps = count;
	run(churn, reserve_here_and_there);
	shim_report("race: reserving: %ld ranges handed out meanwhile", successes);
	end();
}

/*
 * One range, claimed by all threads at once: one succeeds, and a wrong address
 * does not.
 */

/* Most of the time without the scheduler, so that all see it at once */
static void wait_until(const unsigned int *at, unsigned int value)
{
	unsigned int spins = 0;

	while (__atomic_load_n(at, __ATOMIC_ACQUIRE) < value)
		if (!(++spins % 4096))
			sched_yield();
}

static struct iova_range claim_range;
static unsigned int claim_round, claim_done, claim_won;
static unsigned int claim_won_total;

static void *claim_all(void *arg)
{
	struct iova_range range;
	unsigned int round;

	seed(arg);
	for (round = 1; round <= steps; round++) {
		wait_until(&claim_round, round);
		if (shim_one_in(16))
			FAIL_IF(iova_claim(&space, claim_range.first + 1, &range));
		if (iova_claim(&space, claim_range.first, &range)) {
			FAIL_IF(range.last != claim_range.last ||
				range.extent != claim_range.extent);
			add(claim_won, 1);
		}
		add(claim_done, 1);
	}
	return NULL;
}

static void *claim_judge(void *arg)
{
	struct iova_range keep;
	unsigned int round;

	seed(arg);
	FAIL_IF(!get(1, 1, space_last, &keep));
	for (round = 1; round <= steps; round++) {
		claim_won = 0;
		claim_done = 0;
		FAIL_IF(!get(shim_one_in(8) ? 600 : 2 + shim_below(127), 1,
			     space_last, &claim_range));
		__atomic_store_n(&claim_round, round, __ATOMIC_RELEASE);
		wait_until(&claim_done, THREADS);
		FAIL_IF(claim_won != 1);
		claim_won_total++;
		own(&claim_range, TAKEN, 0);
		if (shim_one_in(2)) {
			iova_release(&space, &claim_range);
		} else {
			iova_retire(&space, &claim_range, epoch);
			recycle_once(10);
		}
	}
	put(&keep, false);
	return NULL;
}

static void claim_test(unsigned int count)
{
	begin("claiming at once", BIT(16) - 1);
	steps = count;
	claim_round = 0;
	claim_won_total = 0;
	run(claim_all, claim_judge);
	shim_report("race: claims: %u ranges, each by %u threads at once",
		    claim_won_total, THREADS);
	end();
}

/*
 * Each thread gives what it gets to the next, which frees it, in a space that is
 * always used up, for limits of several widths: chunks change hands all the time.
 */

#define PIPE		512

struct pipe {
	struct iova_range ranges[PIPE];
	unsigned int head __attribute__((aligned(64)));
	unsigned int tail __attribute__((aligned(64)));
};

static struct pipe pipes[THREADS];
static unsigned int next_worker, ended;

static void pipe_drain(struct pipe *in)
{
	unsigned int head = load(in->head);

	if (in->tail == head)
		sched_yield();
	while (in->tail != head) {
		put(&in->ranges[in->tail % PIPE], shim_one_in(3));
		__atomic_store_n(&in->tail, in->tail + 1, __ATOMIC_RELEASE);
	}
}

static void *relay(void *arg)
{
	unsigned int me = add(next_worker, 1) - 1, i;
	struct pipe *in = &pipes[me], *out = &pipes[(me + 1) % THREADS];
	struct iova_range range;

	seed(arg);
	for (i = 0; i < steps; i++) {
		unsigned long limit = space_last >> (shim_one_in(2) ? me : 0);
		unsigned long size = 1 + shim_below(shim_one_in(4) ? 128 : 16);

		if (out->head - load(out->tail) < PIPE &&
		    get(size, 1, limit, &range)) {
			out->ranges[out->head % PIPE] = range;
			__atomic_store_n(&out->head, out->head + 1,
					 __ATOMIC_RELEASE);
		} else {
			pipe_drain(in);
		}
	}
	add(ended, 1);
	while (load(ended) < THREADS) {
		pipe_drain(in);
	}
	pipe_drain(in);
	return NULL;
}

static void *flusher(void *arg)
{
	seed(arg);
	while (load(running)) {
		recycle_once(1 + shim_below(4));
		sched_yield();
	}
	return NULL;
}

static void relay_test(unsigned int bits, unsigned int count)
{
	begin("freeing what others got", BIT(bits - 12) - 1);
	steps = count;
	memset(pipes, 0, sizeof(pipes));
	next_worker = 0;
	ended = 0;
	run(relay, flusher);
	shim_report("race: freed by others, %u bits: %ld ranges", bits, successes);
	end();
}

/*
 * Chunks that run empty go, at the hands of whoever frees last, recycles or finds
 * no room for something large, while others retire into them.
 */

static void *fill_and_empty(void *arg)
{
	struct iova_range mine[160];
	unsigned int i, n;

	seed(arg);
	for (i = 0; i < steps; i++) {
		bool retire = shim_one_in(2);

		for (n = 0; n < ARRAY_SIZE(mine); n++)
			if (!get(100 + shim_below(29), 1, space_last, &mine[n]))
				break;
		while (n)
			put(&mine[--n], retire);
	}
	return NULL;
}

static void *trim_and_flush(void *arg)
{
	struct iova_range range;

	seed(arg);
	while (load(running)) {
		recycle_once(1 + shim_below(4));
		/* Can be had only when nothing else is taken; trims, then. */
		if (get(space_last - 2, 1, space_last, &range))
			put(&range, false);
		shim_rcu_barrier();
	}
	return NULL;
}

static void death_test(unsigned int count)
{
	begin("chunks that go", BIT(20) - 1);
	steps = count;
	run(fill_and_empty, trim_and_flush);
	shim_report("race: chunks that go: %ld ranges", successes);
	end();
}

/*
 * What one CPU holds, another can have when nothing else is left: but for the 64
 * granules at most that a CPU has to itself for limits of a kind.
 */
static void foreign_test(void)
{
	unsigned long last = 4 * IOVA_CHUNK_GRANULES - 1, n = 0, i;
	struct iova_range *all = calloc(last + 1, sizeof(*all));
	unsigned int cpu;

	begin("what others hold", last);
	shim_migrate_one_in = 0;
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		shim_cpu = cpu;
		FAIL_IF(!get(1, 1, BIT(22) - 1, &all[n]));
		n++;
	}
	shim_cpu = 0;
	while (get(1, 1, BIT(22) - 1, &all[n]))
		n++;
	FAIL_IF(n + (NR_CPUS - 1) * 64 < last);
	for (i = 0; i < n; i++) {
		shim_cpu = i % NR_CPUS;
		put(&all[i], i % 3 == 0);
	}
	shim_cpu = 0;
	shim_migrate_one_in = 16;
	end();
	free(all);
	shim_report("race: all but %lu granules of others' chunks", last - n);
}

int main(int argc, char **argv)
{
	const char *variant = argc > 1 ? argv[1] : "plain";
	unsigned int divide = !strcmp(variant, "plain") ? 2 :
			      !strcmp(variant, "tsan") ? 24 : 8;

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	signal(SIGPROF, too_long);
	foreign_test();
	claim_test(20000 / divide);
	reserve_test(200000 / divide);
	relay_test(24, 200000 / divide);
	relay_test(28, 200000 / divide);
	relay_test(34, 200000 / divide);
	death_test(400 / divide);
	return 0;
}
