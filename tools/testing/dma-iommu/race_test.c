// SPDX-License-Identifier: GPL-2.0
/*
 * Threads against each other in iova-space.c, each test at one seam, by the interface
 * alone: as the host runs them, and before that in turns that follow from the seed.
 * Each takes up to 20 s of CPU time, or several times that on a host that is not idle;
 * one that takes 300 s does not come to an end.
 */

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "iova-space.h"

#define THREADS		4
#define MAX_LAST	(BIT(18) - 1)
#define TAKEN		1u
#define SECONDS		300

static struct iova_space space;
static unsigned long space_first, space_last;
static u8 *owners;			/* per granule: TAKEN or not */
static unsigned int *reserved_at;	/* per granule: tick, or 0 */
static unsigned int tick;
static unsigned int steps, running;
static unsigned int waiting;		/* granules, at least, for a flush */
static int epoch;
static long successes;
static bool in_turns;

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

static void begin(const char *name, unsigned long first, unsigned long last)
{
	test_name = name;
	shim_pause_one_in = 32;
	limit_time(SECONDS);
	space_first = first;
	space_last = last;
	owners = calloc(1, last + 1);
	reserved_at = calloc(last + 1, sizeof(*reserved_at));
	tick = 0;
	epoch = 0;
	waiting = 0;
	successes = 0;
	FAIL_IF(iova_space_init(&space, first, last, 12));
}

static const char *how(void)
{
	return in_turns ? ", in turns" : "";
}

static void recycle_all(void)
{
	unsigned int e;

	while (iova_space_recycle(&space, 100))
		;
	for (e = 0; e < IOVA_EPOCHS; e++) {
		iova_space_recycle_start(&space, e);
		while (iova_space_recycle(&space, 100))
			;
	}
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

	if (!iova_space_alloc(&space, &req, range))
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

	FAIL_IF(!iova_space_claim(&space, expected->first, &range));
	FAIL_IF(range.last != expected->last);
	FAIL_IF(iova_space_claim(&space, expected->first, &range));
	range.last = expected->last;
	own(&range, TAKEN, 0);
	if (retire) {
		add(waiting, range.last - range.first + 1);
		iova_space_retire(&space, &range, load(epoch));
	} else {
		iova_space_release(&space, &range);
	}
}

/* Everything has been given back, and nothing was lost: all of it can be had again. */
static void end(void)
{
	unsigned long g, all = space_last - space_first + 1;
	unsigned int migrate = shim_migrate_one_in;
	struct iova_range range;

	shim_pause_one_in = 0;
	recycle_all();
	for (g = space_first; g <= space_last; g++) {
		FAIL_IF(owners[g]);
		FAIL_IF(iova_space_claim(&space, g, &range));
		all -= !!reserved_at[g];
	}
	shim_migrate_one_in = 0;
	while (get(1, 1, space_last, &range))
		all--;
	FAIL_IF(all);
	shim_cpu = 0;
	shim_migrate_one_in = migrate;
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	free(owners);
	free(reserved_at);
	limit_time(0);
}

struct worker {
	void (*work)(unsigned int me);
	unsigned int me;
	u64 seed;
};

static void *work(void *arg)
{
	const struct worker *w = arg;

	shim_seed = w->seed;
	if (in_turns)
		shim_turn_begin(w->me);
	w->work(w->me);
	if (w->me < THREADS)
		add(running, -1);
	if (in_turns)
		shim_turn_end();
	return NULL;
}

/* THREADS of @worker, and @other beside them until they have ended */
static void run(void (*worker)(unsigned int me), void (*other)(unsigned int me))
{
	pthread_t threads[THREADS + 1];
	struct worker workers[THREADS + 1];
	unsigned int i;

	running = THREADS;
	if (in_turns)
		shim_turns(THREADS + 1, shim_random());
	for (i = 0; i <= THREADS; i++) {
		workers[i] = (struct worker) {
			.work = i < THREADS ? worker : other, .me = i,
			.seed = shim_random(),
		};
		pthread_create(&threads[i], NULL, work, &workers[i]);
	}
	for (i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* Nobody waits for who flushes; in turns all have their share. */
static void idle(void)
{
	if (!in_turns)
		sched_yield();
}

/* The flush: one epoch after the other */
static void recycle_once(unsigned int budget)
{
	int old = epoch;

	__atomic_store_n(&epoch, old ^ 1, __ATOMIC_RELEASE);
	__atomic_store_n(&waiting, 0, __ATOMIC_RELAXED);
	iova_space_recycle_start(&space, old);
	while (iova_space_recycle(&space, budget))
		;
}

/*
 * Reserving while all others allocate in the same chunks: what was reserved is
 * never handed out again, and nobody waits for ever.
 */

#define MINE	24
/* More than half of the space taken, and there would be large ranges. */
#define WAITING	(MAX_LAST / 8)

static void churn(unsigned int me)
{
	struct iova_range mine[MINE];
	unsigned int i, k, n = 0;

	for (i = 0; i < steps; i++) {
		if (n < MINE && shim_one_in(2)) {
			unsigned long size = 1 + shim_below(shim_one_in(2) ? 128 : 8);

			n += get(size, 1, space_last, &mine[n]);
		} else if (n) {
			k = shim_below(n);
			put(&mine[k], shim_one_in(4) &&
				      load(waiting) < WAITING);
			mine[k] = mine[--n];
		}
	}
	while (n)
		put(&mine[--n], false);
}

static void reserve_here_and_there(unsigned int me)
{
	unsigned long first;
	unsigned int count = 0;

	while (load(running)) {
		/* Where the chunks are: at the top */
		first = space_last - shim_below(16 * IOVA_CHUNK_GRANULES);
		if (count++ < 1500) {
			/* In use or not: there are no large ranges here. */
			int ret = iova_space_reserve(&space, first, first);

			FAIL_IF(ret && ret != -EBUSY);
			__atomic_store_n(&reserved_at[first], add(tick, 1),
					 __ATOMIC_RELEASE);
		}
		recycle_once(4);
		idle();
	}
}

static void reserve_test(unsigned int count)
{
	begin("reserving under load", 1, MAX_LAST);
	steps = count;
	run(churn, reserve_here_and_there);
	shim_report("race%s: reserving: %ld ranges handed out meanwhile", how(),
		    successes);
	end();
}

/*
 * CPUs go offline, again and again. This is harder than what a kernel does, where
 * such a CPU does nothing more.
 */

static unsigned int gone;

static void cpus_go(unsigned int me)
{
	while (load(running)) {
		shim_cpu_dead(shim_below(NR_CPUS));
		gone++;
		recycle_once(4);
		idle();
	}
}

static void offline_test(unsigned int count)
{
	begin("CPUs that go offline", 1, MAX_LAST);
	steps = count;
	gone = 0;
	run(churn, cpus_go);
	shim_report("race%s: %u times a CPU went offline, %ld ranges handed out meanwhile",
		    how(), gone, successes);
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
		if (in_turns || !(++spins % 4096))
			shim_yield();
}

static struct iova_range claim_range, claim_taken;
static unsigned int claim_round, claim_done, claim_won;
static unsigned int claim_won_total;

static void claim_all(unsigned int me)
{
	struct iova_range range;
	unsigned int round;

	for (round = 1; round <= steps; round++) {
		wait_until(&claim_round, round);
		if (shim_one_in(16))
			FAIL_IF(iova_space_claim(&space, claim_range.first + 1,
						 &range));
		if (iova_space_claim(&space, claim_range.first, &range)) {
			FAIL_IF(range.last != claim_range.last ||
				range.extent != claim_range.extent);
			claim_taken = range;
			add(claim_won, 1);
		}
		add(claim_done, 1);
	}
}

static void claim_judge(unsigned int me)
{
	struct iova_range keep;
	unsigned int round;

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
			iova_space_release(&space, &claim_taken);
		} else {
			iova_space_retire(&space, &claim_taken, epoch);
			recycle_once(10);
		}
	}
	put(&keep, false);
}

static void claim_test(unsigned int count)
{
	begin("claiming at once", 1, BIT(16) - 1);
	steps = count;
	claim_round = 0;
	claim_won_total = 0;
	run(claim_all, claim_judge);
	shim_report("race%s: claims: %u ranges, each by %u threads at once", how(),
		    claim_won_total, THREADS);
	end();
}

/*
 * Each thread gives what it gets to the next, which frees it, in a space that is
 * always used up, for limits of several widths: chunks go from CPU to CPU all the time.
 */

#define PIPE		512

struct pipe {
	struct iova_range ranges[PIPE];
	unsigned int head __attribute__((aligned(64)));
	unsigned int tail __attribute__((aligned(64)));
};

static struct pipe pipes[THREADS];
static unsigned int ended;

static void pipe_drain(struct pipe *in)
{
	unsigned int head = load(in->head);

	if (in->tail == head)
		shim_yield();
	while (in->tail != head) {
		put(&in->ranges[in->tail % PIPE], shim_one_in(3));
		__atomic_store_n(&in->tail, in->tail + 1, __ATOMIC_RELEASE);
	}
}

static void relay(unsigned int me)
{
	struct pipe *in = &pipes[me], *out = &pipes[(me + 1) % THREADS];
	struct iova_range range;
	unsigned int i;

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
}

static void flusher(unsigned int me)
{
	while (load(running)) {
		recycle_once(1 + shim_below(4));
		idle();
	}
}

static void relay_test(unsigned int bits, unsigned int count)
{
	begin("freeing what others got", 1, BIT(bits - 12) - 1);
	steps = count;
	memset(pipes, 0, sizeof(pipes));
	ended = 0;
	run(relay, flusher);
	shim_report("race%s: freed by others, %u bits: %ld ranges", how(), bits,
		    successes);
	end();
}

/*
 * Chunks that run empty go, by whoever frees last, recycles or finds
 * no gap for something large, while others retire into them.
 */

static void fill_and_empty(unsigned int me)
{
	struct iova_range mine[160];
	unsigned int i, n, most;

	for (i = 0; i < steps; i++) {
		bool retire = shim_one_in(2);

		/* Of few chunks, some are often empty but for one range. */
		most = shim_one_in(16) ? ARRAY_SIZE(mine) : 1 + shim_below(8);
		for (n = 0; n < most; n++)
			if (!get(100 + shim_below(29), 1, space_last, &mine[n]))
				break;
		while (n)
			put(&mine[--n], retire);
	}
}

static void shrink_and_flush(unsigned int me)
{
	struct iova_range range;

	while (load(running)) {
		recycle_once(1 + shim_below(4));
		/* Can be had only when nothing else is taken; shrinks the pool, then. */
		if (get(space_last - space_first, 1, space_last, &range))
			put(&range, false);
		shim_rcu_barrier();
	}
}

static void death_test(unsigned int count)
{
	begin("chunks that go", 1, BIT(20) - 1);
	steps = count;
	run(fill_and_empty, shrink_and_flush);
	shim_report("race%s: chunks that go: %ld ranges", how(), successes);
	end();
}

/*
 * Short rounds in little room: what is lost in a race shows only until something else
 * of the same chunk is freed. Up to one chunk each, none is partial, and all take
 * from chunks of other CPUs, which fill their caches from them at that moment.
 */
static void rounds_test(unsigned int count)
{
	unsigned int round, chunks;
	long total = 0;

	for (round = 0; round < count; round++) {
		chunks = 1 + shim_below(2 * NR_CPUS);
		begin("no room", BIT(20) - chunks * IOVA_CHUNK_GRANULES,
		      BIT(20) - 1);
		steps = 1 + shim_below(60);
		run(shim_one_in(2) ? churn : fill_and_empty,
		    shim_one_in(2) ? flusher : shrink_and_flush);
		total += successes;
		end();
	}
	shim_report("race%s: no room: %ld ranges", how(), total);
}

/* What one CPU holds, another can have when nothing else is left. */
static void foreign_test(void)
{
	unsigned long last = 4 * IOVA_CHUNK_GRANULES - 1, n = 0, i;
	struct iova_range *all = calloc(last + 1, sizeof(*all));
	unsigned int cpu;

	begin("what others hold", 1, last);
	shim_migrate_one_in = 0;
	for (cpu = 0; cpu < NR_CPUS; cpu++) {
		shim_cpu = cpu;
		FAIL_IF(!get(1, 1, BIT(22) - 1, &all[n]));
		n++;
	}
	shim_cpu = 0;
	while (get(1, 1, BIT(22) - 1, &all[n]))
		n++;
	FAIL_IF(n != last);
	for (i = 0; i < n; i++) {
		shim_cpu = i % NR_CPUS;
		put(&all[i], i % 3 == 0);
	}
	shim_cpu = 0;
	shim_migrate_one_in = 16;
	end();
	free(all);
	shim_report("race: all %lu granules of others' chunks", n);
}

static void all(unsigned int divide, unsigned int rounds)
{
	claim_test(20000 / divide);
	reserve_test(200000 / divide);
	offline_test(200000 / divide);
	/* Most are refused, which takes long. */
	relay_test(24, 100000 / divide);
	relay_test(28, 200000 / divide);
	relay_test(34, 200000 / divide);
	death_test(8000 / divide);
	rounds_test(rounds);
}

int main(int argc, char **argv)
{
	const char *variant = argc > 1 ? argv[1] : "plain";
	bool plain = !strcmp(variant, "plain"), tsan = !strcmp(variant, "tsan");

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	signal(SIGPROF, too_long);
	foreign_test();
	/* Threads that take turns have nothing to show to a sanitizer of threads. */
	if (!tsan) {
		in_turns = true;
		all(10, 300);
		in_turns = false;
	}
	all(plain ? 2 : tsan ? 24 : 8, 100);
	return 0;
}
