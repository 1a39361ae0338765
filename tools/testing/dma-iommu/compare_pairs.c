// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to unmap and map again while many ranges are live: drivers unmap
 * what completes, in whichever order, and map as much again. A pair is one unmap
 * and one map; both allocators free at once. The script compare runs this.
 *
 * Ranges live in tables. A worker is a CPU with a table: it unmaps a batch of it,
 * and then maps as many. These go into its own table or, by way of a queue, into
 * that of another CPU, which unmaps them.
 *
 * With SHIM_COUNT the same is done to count the locks that are taken; nothing is
 * timed then, as counting takes time.
 */

#include "compare.h"
#include "iova-cpu.h"

#define CPUS		2
#define ROUND		0.4e6	/* ns: seldom interrupted by what else runs */
#define AGE		2e9	/* ns at most, until the space is an old one */

enum pattern_order { AT_RANDOM, IN_ORDER };

enum who {
	ONE,			/* one thread */
	OWN,			/* two, each unmaps what it has mapped */
	OTHERS,			/* two, each unmaps what the other has mapped */
	HANDED,			/* one maps, the other unmaps */
};

static const char * const who_names[] = {
	"one thread", "two threads", "two, each the other's", "one maps, other unmaps",
};

/**
 * struct pattern - what is live, and what is unmapped and mapped again at a time
 * @name: for people
 * @live: ranges that are live, of all CPUs together
 * @batch: how many of them a CPU unmaps before it maps; 0 for all that it has
 * @size: granules of each; 0 for 1 to 64, at random
 * @order: which of them are next
 * @who: bit per enum who that it is measured for
 * @quick: whether it is measured in a hurry
 */
struct pattern {
	const char *name;
	unsigned int live, batch, size;
	enum pattern_order order;
	unsigned int who;
	bool quick;
};

#define NOT_HANDED	(BIT(ONE) | BIT(OWN) | BIT(OTHERS))
#define EVERY_WAY	(NOT_HANDED | BIT(HANDED))

/* 64 are fewer than either has room for in front of what is shared, 256 are more. */
static const struct pattern patterns[] = {
	{ "1 granule, N=4096, B=16", 4096, 16, 1, AT_RANDOM, NOT_HANDED, true },
	{ "1 granule, N=20000, B=64", 20000, 64, 1, AT_RANDOM, EVERY_WAY, true },
	{ "1 granule, N=20000, B=256", 20000, 256, 1, AT_RANDOM, NOT_HANDED },
	{ "1 granule, N=200000, B=64", 200000, 64, 1, AT_RANDOM, NOT_HANDED },
	{ "8 granules, N=20000, B=64", 20000, 64, 8, AT_RANDOM, EVERY_WAY, true },
	{ "8 granules, N=20000, B=256", 20000, 256, 8, AT_RANDOM, NOT_HANDED },
	{ "8 granules, N=200000, B=64", 200000, 64, 8, AT_RANDOM, NOT_HANDED },
	{ "32 granules, N=1024, B=32", 1024, 32, 32, AT_RANDOM, NOT_HANDED, true },
	{ "32 granules, N=20000, B=64", 20000, 64, 32, AT_RANDOM, NOT_HANDED },
	{ "1 to 64 granules, N=20000, B=64", 20000, 64, 0, AT_RANDOM, NOT_HANDED },
	{ "1 granule, ring of 1000", 1000, 1, 1, IN_ORDER, EVERY_WAY, true },
	{ "1 granule, bursts of 20000", 20000, 0, 1, IN_ORDER, NOT_HANDED },
};

/**
 * struct queue - ranges on their way from one CPU to another
 * @range: the ranges
 * @most: how many fit in @range
 * @head: how many have been sent
 * @tail_seen: @tail when the sender last had to look
 * @tail: how many have arrived
 * @head_seen: @head when the receiver last had to look
 *
 * The two look at each other's line only when they must, so that it is the
 * allocators whose lines go to and fro.
 */
struct queue {
	u64 *range;
	unsigned int most;
	unsigned int head __attribute__((aligned(64)));
	unsigned int tail_seen;
	unsigned int tail __attribute__((aligned(64)));
	unsigned int head_seen;
};

/* A live range: its first granule and its size, in one word to keep tables small */
#define RANGE_SIZE_BITS		8

static u64 range_pack(unsigned long first, unsigned int size)
{
	return first << RANGE_SIZE_BITS | size;
}

/**
 * struct worker - a CPU and what is live of it
 * @table: live ranges that it is going to unmap
 * @nr: how many
 * @at: where the next batch begins, in order
 * @batch: how many to unmap, and then to map
 * @size: as in struct pattern
 * @order: likewise
 * @cpu: number of the CPU
 * @maps: whether it maps; if it does not, others do
 * @unmaps: whether it unmaps
 * @seed: of its random numbers
 * @out: where what it maps goes to; NULL for its own table
 * @in: where what it is to unmap comes from, or NULL
 * @began: when it began a round
 * @ended: when it ended it
 * @taken: by class, locks that it has taken in the last round
 */
struct worker {
	u64 *table;
	unsigned int nr, at, batch, size;
	enum pattern_order order;
	unsigned int cpu;
	bool maps, unmaps;
	u64 seed;
	struct queue *out, *in;
	double began, ended;
	unsigned long taken[SHIM_CLASSES];
} __attribute__((aligned(64)));

/**
 * struct side - an allocator, and the workers that use it
 * @worker: per CPU
 * @queue: by the CPU that sends
 * @nr: number of workers
 * @pairs: pairs that all of them do in a batch
 * @batches: how many batches fill a round
 */
struct side {
	struct worker worker[CPUS];
	struct queue queue[CPUS];
	unsigned int nr, pairs, batches;
};

enum { STOCK, OURS };

static const char * const side_names[] = { "stock", "ours" };
static struct side side[2];

/*
 * A batch.
 */

static u32 worker_below(struct worker *w, u32 n)
{
	return (shim_next(&w->seed) >> 32) * n >> 32;
}

static unsigned int worker_size(struct worker *w)
{
	return w->size ?: 1 + worker_below(w, 64);
}

/* Where number @i of the current batch is in the table, after worker_pick() */
static u64 *worker_slot(struct worker *w, unsigned int i)
{
	unsigned int at;

	if (w->order == AT_RANDOM)
		return &w->table[w->nr - 1 - i];
	at = w->at + i;
	return &w->table[at < w->nr ? at : at - w->nr];
}

/* Choose number @i of a batch; those chosen at random move to the end. */
static u64 *worker_pick(struct worker *w, unsigned int i)
{
	u64 *slot = worker_slot(w, i), *chosen;

	if (w->order == AT_RANDOM) {
		chosen = &w->table[worker_below(w, w->nr - i)];
		swap(*slot, *chosen);
	}
	return slot;
}

static __always_inline_ u64 worker_get(struct worker *w, bool ours)
{
	unsigned int size = worker_size(w);
	unsigned long first = get(ours, size, 1, LIMIT);

	FAIL_IF(!first);
	return range_pack(first, size);
}

static __always_inline_ void range_put(bool ours, u64 range)
{
	put(ours, range >> RANGE_SIZE_BITS,
	    range & (BIT(RANGE_SIZE_BITS) - 1));
}

static __always_inline_ void unmap_batch(struct worker *w, bool ours)
{
	unsigned int i;

	for (i = 0; i < w->batch; i++)
		range_put(ours, *worker_pick(w, i));
}

static __always_inline_ void map_batch(struct worker *w, bool ours)
{
	unsigned int i;

	for (i = 0; i < w->batch; i++)
		*worker_slot(w, i) = worker_get(w, ours);
}

/* Until *@at, which was *@seen, is at least @value */
static void queue_wait(const unsigned int *at, unsigned int *seen,
		       unsigned int value)
{
	if ((int)(*seen - value) >= 0)
		return;
	wait_for(at, value);
	*seen = smp_load_acquire(at);
}

static __always_inline_ void send_batch(struct worker *w, bool ours)
{
	struct queue *q = w->out;
	unsigned int at = q->head % q->most, i;

	queue_wait(&q->tail, &q->tail_seen, q->head + w->batch - q->most);
	for (i = 0; i < w->batch; i++) {
		q->range[at] = worker_get(w, ours);
		at = at + 1 < q->most ? at + 1 : 0;
	}
	/* The ranges are there before they are looked for. */
	smp_store_release(&q->head, q->head + w->batch);
}

static void receive_batch(struct worker *w)
{
	struct queue *q = w->in;
	unsigned int at = q->tail % q->most, i;

	queue_wait(&q->head, &q->head_seen, q->tail + w->batch);
	for (i = 0; i < w->batch; i++) {
		*worker_slot(w, i) = q->range[at];
		at = at + 1 < q->most ? at + 1 : 0;
	}
	/* They have been read before others take their place. */
	smp_store_release(&q->tail, q->tail + w->batch);
}

static __always_inline_ void do_batches(struct worker *w, bool ours,
					unsigned int batches)
{
	while (batches--) {
		if (w->unmaps)
			unmap_batch(w, ours);
		if (w->out)
			send_batch(w, ours);
		else if (w->maps)
			map_batch(w, ours);
		if (w->in)
			receive_batch(w);
		w->at += w->batch;
		if (w->at >= w->nr)
			w->at -= w->nr;
	}
}

/* What is constant in do_batches() is known for either. */
static void worker_run(struct worker *w, bool ours, unsigned int batches)
{
	if (ours)
		do_batches(w, true, batches);
	else
		do_batches(w, false, batches);
}

/* callgrind counts in here. */
noinline void steady(struct worker *w, bool ours, unsigned int batches)
{
	worker_run(w, ours, batches);
	barrier();
}

/*
 * Threads: in a round each worker has one, which is its CPU.
 */

static pthread_barrier_t barrier_begin, barrier_end;
static unsigned int ready;	/* how many have begun, of all rounds */

static struct {
	bool ours, stop;
	unsigned int batches, ready;
} job;

static void count_begin(void)
{
#ifdef SHIM_COUNT
	memset(shim_taken, 0, sizeof(shim_taken));
#endif
}

static void count_end(struct worker *w)
{
#ifdef SHIM_COUNT
	memcpy(w->taken, shim_taken, sizeof(shim_taken));
#endif
}

static void worker_round(struct worker *w)
{
	count_begin();
	w->began = now();
	worker_run(w, job.ours, job.batches);
	w->ended = now();
	count_end(w);
}

/*
 * Have the CPU of that number among those that the program may use, so that two
 * workers do not take turns on one while another is idle.
 */
static void thread_pin(unsigned int nr)
{
	cpu_set_t all, one;
	unsigned int cpu;

	sched_getaffinity(0, sizeof(all), &all);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &all) && !nr--)
			break;
	if (cpu == CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *thread_main(void *arg)
{
	unsigned int cpu = (unsigned long)arg;

	shim_cpu = cpu;
	thread_pin(cpu);
	for (;;) {
		pthread_barrier_wait(&barrier_begin);
		if (job.stop)
			return NULL;
		/* Who waits on the barrier wakes up late. */
		__atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
		wait_for(&ready, job.ready);
		worker_round(&side[job.ours].worker[cpu]);
		pthread_barrier_wait(&barrier_end);
	}
}

static pthread_t threads[CPUS];

static void threads_start(unsigned int nr)
{
	unsigned long i;

	if (nr == 1)
		return;
	job.stop = false;
	pthread_barrier_init(&barrier_begin, NULL, nr + 1);
	pthread_barrier_init(&barrier_end, NULL, nr + 1);
	for (i = 0; i < nr; i++)
		pthread_create(&threads[i], NULL, thread_main, (void *)i);
}

static void threads_stop(unsigned int nr)
{
	unsigned int i;

	if (nr == 1)
		return;
	job.stop = true;
	pthread_barrier_wait(&barrier_begin);
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
}

/* Return: nanoseconds from when the first one began to when the last one ended */
static double do_round(bool ours, unsigned int batches)
{
	struct worker *w = side[ours].worker;

	job.ours = ours;
	job.batches = batches;
	if (side[ours].nr == 1) {
		worker_round(w);
		return w->ended - w->began;
	}
	job.ready = ready + CPUS;
	pthread_barrier_wait(&barrier_begin);
	pthread_barrier_wait(&barrier_end);
	return max(w[0].ended, w[1].ended) - min(w[0].began, w[1].began);
}

/*
 * Setting up: all that is live, in the order of addresses, and then an old space.
 */

static void queue_init(struct queue *q, unsigned int batch, unsigned int most)
{
	/* No less, or either CPU would wait for the other */
	most = max(most, 2 * batch);
	*q = (struct queue) {
		.range = calloc(most, sizeof(*q->range)),
		.most = most,
	};
}

/*
 * Some of what is live is on its way, so that a CPU that falls back does not hold
 * up the other at once.
 */
static void queue_fill(struct queue *q, struct worker *from, bool ours,
		       unsigned int nr)
{
	shim_cpu = from->cpu;
	while (nr--)
		q->range[q->head++] = worker_get(from, ours);
	shim_cpu = 0;
}

static void worker_init(struct worker *w, const struct pattern *p,
			unsigned int cpu, unsigned int nr)
{
	*w = (struct worker) {
		.table = calloc(nr, sizeof(u64)),
		.nr = nr,
		.batch = p->batch ?: nr,
		.size = p->size,
		.order = p->order,
		.cpu = cpu,
		.maps = true,
		.unmaps = true,
		.seed = 88172645463325252 + cpu,
	};
}

static void worker_fill(struct worker *w, bool ours)
{
	unsigned int i;

	shim_cpu = w->cpu;
	for (i = 0; i < w->nr; i++)
		w->table[i] = worker_get(w, ours);
	shim_cpu = 0;
}

/* What each has mapped is for the other to unmap. */
static void side_cross(struct side *s, bool ours, unsigned int on_the_way)
{
	unsigned int cpu;

	for (cpu = 0; cpu < CPUS; cpu++) {
		struct worker *w = &s->worker[cpu];

		queue_init(&s->queue[cpu], w->batch,
			   2 * (on_the_way + w->batch));
		queue_fill(&s->queue[cpu], w, ours, on_the_way);
		w->out = &s->queue[cpu];
		s->worker[!cpu].in = &s->queue[cpu];
	}
}

/* CPU 0 maps, CPU 1 unmaps. */
static void side_hand(struct side *s, unsigned int on_the_way)
{
	struct worker *maps = &s->worker[0], *unmaps = &s->worker[1];

	queue_init(&s->queue[0], maps->batch, on_the_way);
	maps->unmaps = false;
	maps->out = &s->queue[0];
	unmaps->maps = false;
	unmaps->in = &s->queue[0];
	s->pairs = maps->batch;
}

static void side_init(bool ours, const struct pattern *p, enum who who)
{
	struct side *s = &side[ours];
	unsigned int nr = p->live, on_the_way = 0, cpu;

	begin(ours);
	s->nr = who == ONE ? 1 : CPUS;
	if (who == OWN || who == OTHERS)
		nr /= CPUS;
	if (who == OTHERS || who == HANDED)
		on_the_way = p->batch ? ALIGN_DOWN(nr / 4, p->batch) : 0;
	for (cpu = 0; cpu < s->nr; cpu++) {
		worker_init(&s->worker[cpu], p, cpu, nr - on_the_way);
		if (who != HANDED || cpu)
			worker_fill(&s->worker[cpu], ours);
	}
	s->pairs = s->nr * s->worker[0].batch;
	if (who == OTHERS)
		side_cross(s, ours, on_the_way);
	else if (who == HANDED)
		side_hand(s, on_the_way);
}

static void side_destroy(bool ours)
{
	struct side *s = &side[ours];
	unsigned int cpu, i;

	for (cpu = 0; cpu < s->nr; cpu++) {
		struct worker *w = &s->worker[cpu];
		struct queue *q = &s->queue[cpu];

		for (i = 0; i < w->nr; i++)
			if (w->table[i])
				range_put(ours, w->table[i]);
		for (; q->tail != q->head; q->tail++)
			range_put(ours, q->range[q->tail % q->most]);
		free(w->table);
		free(q->range);
		*q = (struct queue) {};
	}
	end(ours);
}

/*
 * Do pairs until each range has been replaced twice in the mean, as long as that
 * does not take too long, and find out how many batches fill a round that nothing
 * interrupts.
 */
static void side_age(bool ours, unsigned int live)
{
	double start = now(), took, best = 1e18;
	struct side *s = &side[ours];
	unsigned int batches = 1, rounds = 0;
	unsigned long pairs = 0;

	do {
		took = do_round(ours, batches);
		best = min(best, took / batches);
		pairs += batches * s->pairs;
		if (took < ROUND)
			batches *= 2;
	} while ((pairs < 2 * live || ++rounds < 16) && now() - start < AGE);
	s->batches = max(1, ROUND / best);
}

/*
 * What is reported.
 */

static void report(const char *name, enum who who, const char *unit, bool ours,
		   double value)
{
	printf("%s, %s|%s|%s|%.5f\n", name, who_names[who], unit,
	       side_names[ours], value);
	fflush(stdout);
}

#ifdef SHIM_COUNT

/* The locks that are taken, as they are initialised, and whose they are */
static const struct {
	const char *name;
	const char *unit;
} locks[] = {
	{ "&iovad->iova_rbtree_lock", "shared locks" },
	{ "&rcache->lock", "shared locks" },
	{ "&cpu_rcache->lock", "CPU locks" },
	{ "&pool->lock", "shared locks" },
	{ "&xa->xa_lock", "shared locks" },
	{ "&cpu->lock", "CPU locks" },
};

static bool class_is(unsigned int class, const char *unit)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(locks); i++)
		if (!strcmp(shim_class_name[class], locks[i].name))
			return !strcmp(locks[i].unit, unit);
	fprintf(stderr, "is %s shared?\n", shim_class_name[class]);
	exit(1);
}

static unsigned long side_taken(const struct side *s, const char *unit)
{
	unsigned long taken = 0;
	unsigned int cpu, c;

	for (c = 1; c <= shim_classes; c++)
		if (class_is(c, unit))
			for (cpu = 0; cpu < s->nr; cpu++)
				taken += s->worker[cpu].taken[c];
	return taken;
}

static void measure_pairs(const struct pattern *p, enum who who,
			  unsigned int rounds)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct side *s = &side[i];
		double pairs;

		/*
		 * Enough for what is done once in a while to be counted, too, and
		 * for what depends on how two CPUs meet to be that of the mean
		 */
		s->batches = max(s->batches, 4 * p->live / s->pairs);
		pairs = (double)s->batches * s->pairs;
		do_round(i, s->batches);
		report(p->name, who, "shared locks", i,
		       side_taken(s, "shared locks") / pairs);
		report(p->name, who, "CPU locks", i,
		       side_taken(s, "CPU locks") / pairs);
	}
}

#else

/* Nanoseconds that a pair takes a CPU; where two share a pair, both together */
static void measure_pairs(const struct pattern *p, enum who who,
			  unsigned int rounds)
{
	double best[2] = { 1e18, 1e18 };
	unsigned int i;

	for (i = 0; i < 2 * rounds; i++) {
		struct side *s = &side[i % 2];
		double took = do_round(i % 2, s->batches);

		took *= who == HANDED ? 1 : s->nr;
		best[i % 2] = min(best[i % 2], took / s->batches / s->pairs);
	}
	for (i = 0; i < 2; i++)
		report(p->name, who, "ns", i, best[i]);
}

#endif

static void measure(const struct pattern *p, enum who who, unsigned int rounds)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		side_init(i, p, who);
	threads_start(side[0].nr);
	for (i = 0; i < 2; i++)
		side_age(i, p->live);
	measure_pairs(p, who, rounds);
	threads_stop(side[0].nr);
	for (i = 0; i < 2; i++)
		side_destroy(i);
}

static void measure_all(unsigned int rounds, bool quick)
{
	const struct pattern *p;
	enum who who;

	for (p = patterns; p < patterns + ARRAY_SIZE(patterns); p++)
		for (who = ONE; who <= HANDED; who++)
			if (p->who & BIT(who) &&
			    (!quick || (p->quick && who == ONE)))
				measure(p, who, rounds);
}

/* Under callgrind, which counts in steady(): as many pairs as the script divides by */
static void instructions(bool ours)
{
	const struct pattern *p = &patterns[1];

	side_init(ours, p, ONE);
	worker_run(side[ours].worker, ours, 2 * p->live / p->batch);
	steady(side[ours].worker, ours, 40000 / p->batch);
	side_destroy(ours);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *how = argc > 2 ? argv[2] : "";

	iova_cache_get();
	if (!strcmp(what, "all") || !strcmp(what, "quick")) {
		measure_all(atoi(how) ?: 10, !strcmp(what, "quick"));
		printf("a CPU's memory|bytes|ours|%zu\n", sizeof(struct iova_cpu));
	} else if (!strcmp(what, "instructions")) {
		instructions(!strcmp(how, "ours"));
	} else {
		fprintf(stderr, "compare_pairs all ROUNDS | quick ROUNDS | instructions stock|ours\n");
		return 2;
	}
	return 0;
}
