// SPDX-License-Identifier: GPL-2.0
/*
 * What the layer's sources need of the kernel, in user space. See shim.h.
 */

#include <linux/xarray.h>

void radix_tree_node_rcu_free(struct rcu_head *head);

unsigned int shim_passed, shim_failed;
unsigned int shim_fail_one_in, shim_fail_nth;
unsigned int shim_nr_cpus = 4;
__thread u64 shim_seed = 88172645463325252;

static long live;

void shim_die(const char *file, int line, const char *what)
{
	printf("not ok: %s:%d: %s\n", file, line, what);
	fflush(stdout);
	abort();
}

/* One test has passed: those that do not, die. */
void shim_report(const char *fmt, ...)
{
	va_list args;

	shim_passed++;
	printf("ok: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

/*
 * CPUs that go offline.
 */

static cpuhp_fn cpu_dead;

int cpuhp_setup_state_nocalls(enum cpuhp_state state, const char *name,
			      cpuhp_fn online, cpuhp_fn dead)
{
	cpu_dead = dead;
	return 0;
}

void shim_cpu_dead(unsigned int cpu)
{
	cpu_dead(cpu);
}

/*
 * Memory.
 */

#ifdef SHIM_PERF

void *kzalloc(size_t size, gfp_t gfp)
{
	return calloc(1, size);
}

void kfree(const void *p)
{
	free((void *)p);
}

#else

void *kzalloc(size_t size, gfp_t gfp)
{
	unsigned int one_in = __atomic_load_n(&shim_fail_one_in,
					      __ATOMIC_RELAXED);

	if (one_in && shim_one_in(one_in))
		return NULL;
	if (shim_fail_nth && !--shim_fail_nth)
		return NULL;
	__atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
	return calloc(1, size);
}

void kfree(const void *p)
{
	if (p)
		__atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
	free((void *)p);
}

#endif

/* Allocations that have not been freed */
long shim_live(void)
{
	return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

/*
 * Turns: the thread of the highest priority runs. Now and then one of them, whichever,
 * gets another priority; who waits gets the lowest.
 */

#ifndef SHIM_PERF

#define TURN_THREADS	8

static struct turn {
	sem_t go;
	u64 priority;		/* 0: not there any more */
} turns[TURN_THREADS];
static unsigned int nr_turns, turns_missing, turn_steps;
static cpu_set_t turn_cpu;		/* handing over is cheap on a single one */
static u64 turn_seed, turn_lowest;
static bool turns_told;			/* not by the seed, but */
static unsigned int turn_second, turns_left;
static __thread struct turn *my_turn;

static void turns_init(unsigned int nr)
{
	unsigned int i;

	FAIL_IF(nr > TURN_THREADS);
	nr_turns = turns_missing = nr;
	turn_lowest = BIT(32);
	CPU_ZERO(&turn_cpu);
	CPU_SET(sched_getcpu(), &turn_cpu);
	/* The first begins. */
	for (i = 0; i < nr; i++) {
		sem_init(&turns[i].go, 0, 0);
		turns[i].priority = BIT(33) - i;
	}
}

void shim_turns(unsigned int nr, u64 seed)
{
	turns_init(nr);
	turns_told = false;
	turn_seed = seed;
	turn_steps = 0;
}

void shim_turns_at(unsigned int first, unsigned int second)
{
	turns_init(2);
	turns_told = true;
	turn_steps = first;
	turn_second = second;
	turns_left = 2;
}

unsigned int shim_turns_left(void)
{
	return turns_left;
}

static struct turn *turn_next(void)
{
	struct turn *next = &turns[0];
	unsigned int i;

	for (i = 1; i < nr_turns; i++)
		if (turns[i].priority > next->priority)
			next = &turns[i];
	return next;
}

static void turn_pass(void)
{
	struct turn *next = turn_next();

	if (next == my_turn)
		return;
	sem_post(&next->go);
	while (sem_wait(&my_turn->go))
		;
}

void shim_turn_begin(unsigned int nr)
{
	my_turn = &turns[nr];
	sched_setaffinity(0, sizeof(turn_cpu), &turn_cpu);
	if (!__atomic_sub_fetch(&turns_missing, 1, __ATOMIC_ACQ_REL))
		sem_post(&turn_next()->go);
	while (sem_wait(&my_turn->go))
		;
}

void shim_turn_end(void)
{
	struct turn *next;

	my_turn->priority = 0;
	my_turn = NULL;
	next = turn_next();
	if (next->priority)
		sem_post(&next->go);
}

/* The one that runs is held up, until all others wait. */
static void turn_told(void)
{
	if (!turns_left)
		return;
	turns_left--;
	turn_steps = turn_second;
	my_turn->priority = --turn_lowest;
}

/*
 * Stretches of all lengths, as what must not be interrupted may be short or long; and
 * who is held up may be so until all others wait.
 */
static void turn_by_chance(void)
{
	u64 random = shim_next(&turn_seed);
	struct turn *other = &turns[(random >> 8) % nr_turns];

	turn_steps = (random >> 32) % BIT(1 + random % 8);
	if (random & BIT(16))
		my_turn->priority = --turn_lowest;
	else if (other->priority)
		other->priority = BIT(32) + (shim_next(&turn_seed) >> 32);
}

static void turn_step(void)
{
	if (turn_steps) {
		turn_steps--;
		return;
	}
	if (turns_told)
		turn_told();
	else
		turn_by_chance();
	turn_pass();
}

void shim_yield(void)
{
	if (!my_turn) {
		sched_yield();
		return;
	}
	my_turn->priority = --turn_lowest;
	turn_pass();
}

#endif

static struct rcu_head *rcu_waiting;

static void rcu_free(struct rcu_head *head)
{
	struct rcu_head *next;

	for (; head; head = next) {
		next = head->next;
		if (head->func)
			head->func(head);
		else
			kfree(head->memory);
	}
}

#ifdef SHIM_PERF

__thread unsigned int shim_cpu;
__thread unsigned long shim_irqs_off;

void shim_yield(void)
{
	sched_yield();
}

void shim_rcu_barrier(void)
{
	rcu_free(xchg(&rcu_waiting, NULL));
}

#else

static pthread_rwlock_t rcu_lock;
static unsigned int rcu_waits;		/* who frees, in turns */
static __thread unsigned int rcu_depth;

__attribute__((constructor)) static void rcu_init(void)
{
	pthread_rwlockattr_t attr;

	/* Readers nest by rcu_depth. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&rcu_lock, &attr);
}

void rcu_read_lock(void)
{
	if (rcu_depth++)
		return;
	while (rcu_waits)
		shim_yield();
	pthread_rwlock_rdlock(&rcu_lock);
}

void rcu_read_unlock(void)
{
	if (!--rcu_depth)
		pthread_rwlock_unlock(&rcu_lock);
}

/* Wait for all readers; then nobody has what was waiting before. */
void shim_rcu_barrier(void)
{
	struct rcu_head *head;

	FAIL_IF(rcu_depth);
	head = xchg(&rcu_waiting, NULL);
	if (my_turn) {
		rcu_waits++;
		while (pthread_rwlock_trywrlock(&rcu_lock))
			shim_yield();
		rcu_waits--;
	} else {
		pthread_rwlock_wrlock(&rcu_lock);
	}
	pthread_rwlock_unlock(&rcu_lock);
	rcu_free(head);
}

#endif

void shim_rcu_queue(struct rcu_head *head)
{
	struct rcu_head *first = READ_ONCE(rcu_waiting);

	do {
		head->next = first;
	} while (!try_cmpxchg(&rcu_waiting, &first, head));
#ifndef SHIM_PERF
	/* Often, so that the sanitizers know what nobody may touch any more */
	if (!rcu_depth && shim_one_in(4))
		shim_rcu_barrier();
#endif
}

/*
 * Locks: a thread's, innermost last, and which class was taken within which.
 */

#if !defined(SHIM_PERF) || defined(SHIM_COUNT)

unsigned int shim_classes;

static unsigned int class_of(unsigned int *class)
{
	unsigned int c = READ_ONCE(*class);

	if (!c) {
		c = __atomic_add_fetch(&shim_classes, 1, __ATOMIC_RELAXED);
		FAIL_IF(c >= SHIM_CLASSES);
		WRITE_ONCE(*class, c);
	}
	return c;
}

#endif

#ifdef SHIM_COUNT

const char *shim_class_name[SHIM_CLASSES];
__thread unsigned long shim_taken[SHIM_CLASSES];

void shim_lock_init(raw_spinlock_t *l, unsigned int *class, const char *name)
{
	*l = (raw_spinlock_t) { .class = class_of(class) };
	shim_class_name[l->class] = name;
}

#endif

#ifndef SHIM_PERF

static u8 class_within[SHIM_CLASSES][SHIM_CLASSES];
static __thread const raw_spinlock_t *held[8];
static __thread unsigned int nr_held;

const void *shim_self(void)
{
	return &nr_held;
}

void shim_lock_init(raw_spinlock_t *l, unsigned int *class)
{
	*l = (raw_spinlock_t) { .class = class_of(class) };
}

void shim_lock_checks(raw_spinlock_t *l)
{
	unsigned int i, c;

	for (i = 0; i < nr_held; i++) {
		c = held[i]->class;
		/* A class within itself, or both orders: a deadlock waits. */
		FAIL_IF(c == l->class);
		FAIL_IF(READ_ONCE(class_within[c][l->class]));
		WRITE_ONCE(class_within[l->class][c], 1);
	}
	FAIL_IF(nr_held == ARRAY_SIZE(held));
	held[nr_held++] = l;
	l->holder = shim_self();
}

void shim_unlock_checks(raw_spinlock_t *l)
{
	FAIL_IF(!nr_held || held[nr_held - 1] != l);
	nr_held--;
	l->holder = NULL;
}

/*
 * CPUs.
 */

__thread unsigned int shim_cpu;
unsigned int shim_migrate_one_in = 16;
unsigned int shim_pause_one_in;

/* For longer than it takes another CPU to do what it is at, or another thread */
void shim_pause(void)
{
	unsigned int spins;

	if (my_turn) {
		turn_step();
		return;
	}
	if (!shim_one_in(shim_pause_one_in))
		return;
	for (spins = shim_below(256); spins--; )
		__builtin_ia32_pause();
	if (shim_one_in(4))
		sched_yield();
}

static int cpu_taken[SHIM_MAX_CPUS];
static __thread unsigned int cpu_depth;

void shim_cpu_get(void)
{
	if (!cpu_depth)
		shim_step();
	rcu_read_lock();
	if (cpu_depth++)
		return;
	if (shim_migrate_one_in && shim_one_in(shim_migrate_one_in))
		shim_cpu = shim_below(NR_CPUS);
	while (__atomic_exchange_n(&cpu_taken[shim_cpu], 1, __ATOMIC_ACQUIRE)) {
		shim_cpu = (shim_cpu + 1) % NR_CPUS;
		shim_yield();
	}
}

void shim_cpu_put(void)
{
	if (!--cpu_depth)
		__atomic_store_n(&cpu_taken[shim_cpu], 0, __ATOMIC_RELEASE);
	rcu_read_unlock();
}

#endif

/*
 * Nodes of lib/xarray.c
 */

struct kmem_cache *radix_tree_node_cachep;

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru,
			   gfp_t gfp)
{
	struct xa_node *node = kzalloc(sizeof(*node), gfp);

	if (node)
		INIT_LIST_HEAD(&node->private_list);
	return node;
}

void radix_tree_node_rcu_free(struct rcu_head *head)
{
	kfree(container_of(head, struct xa_node, rcu_head));
}
