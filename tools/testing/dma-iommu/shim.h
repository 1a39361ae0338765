/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the layer's sources need of the kernel beyond tools/include, in user space.
 *
 * Included before anything else in every file. Numbers, bits, lists, trees, scoped
 * guards and the XArray are the kernel's own, from its tools/include or, where that
 * has none or a copy only, from the kernel itself (see the Makefile). What is here
 * the kernel has for user space, too, but not so that it finds mistakes:
 *
 *   locks     spin, know their holder and check the order in which classes nest;
 *             those of tools/include are mutexes that check nothing
 *   atomics   are the compiler's: ThreadSanitizer does not see the volatile
 *             accesses and the assembler lines of tools/include
 *   CPUs      a thread "is on" a CPU from local_irq_save() to _restore(), nobody
 *             else is on it then, and it migrates at random in between; in
 *             tools/testing/shared there is one CPU, which all threads are on
 *   RCU       readers hold a lock that freeing waits for, so that the sanitizers
 *             see what is freed too early; liburcu, which tools/testing/shared
 *             takes, frees late and in a thread of its own, which takes no turns
 *   memory    allocations fail at random or at a given one if asked to; those of
 *             tools/testing/shared fail by their flags
 *   turns     if asked to, threads run one at a time, and which runs when follows
 *             from a seed
 *
 * With SHIM_PERF all of that costs about what it costs in a kernel without
 * debugging: a thread is a CPU for good, disabling interrupts is a load and a
 * store of its own, a lock is an exchange, and what RCU is to free waits for
 * shim_rcu_barrier(). With SHIM_COUNT beside it, each thread counts the locks it takes.
 */
#ifndef _SHIM_H
#define _SHIM_H

#define _GNU_SOURCE		/* CPU_SET() */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autoconf.h"
#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/kconfig.h>
#include <linux/kernel.h>
#include <linux/log2.h>

void shim_die(const char *file, int line, const char *what);
#define FAIL_IF(cond) \
	do { if (unlikely(cond)) shim_die(__FILE__, __LINE__, #cond); } while (0)
#define WARN_ON(cond)		({ bool warn_ = (cond); FAIL_IF(warn_); warn_; })
#define WARN_ON_ONCE(cond)	WARN_ON(cond)

/*
 * Compiler and numbers: what <linux/...> of tools/include does not have.
 */

#undef max
#undef max_t
#undef min
#undef min_t
#undef clamp
#define is_signed_type(type)	((type)-1 < (type)1)
#define statically_true(x)	(__builtin_constant_p(x) && (x))
/* The kernel's own: those of tools/include take no two types. */
#include <linux/minmax.h>

#undef noinline
#undef __must_check
#define noinline		__attribute__((noinline))
#define __must_check		__attribute__((warn_unused_result))
#define __cleanup(func)		__maybe_unused __attribute__((cleanup(func)))
#define __init
#define __ro_after_init
#define core_initcall(fn)						\
	static void __attribute__((constructor)) fn##_call(void) { fn(); }
#define __percpu
#define __acquires(x)
#define __releases(x)
#define __uninitialized
#define EXPORT_SYMBOL_IF_KUNIT(sym)
#define __UNIQUE_ID(prefix)	__PASTE(__PASTE(shim_, prefix), __COUNTER__)
#define U32_MAX			UINT32_MAX
#define U64_MAX			UINT64_MAX
#define NSEC_PER_SEC		1000000000L
#define NSEC_PER_USEC		1000L
#define NSEC_PER_MSEC		1000000L

typedef u64 dma_addr_t;

static inline unsigned int __ffs64(u64 x)
{
	return __builtin_ctzll(x);
}

static inline unsigned int order_base_2(unsigned long x)
{
	return x > 1 ? ilog2(x - 1) + 1 : 0;
}

/* Programs set up and end by one thread. */
struct mutex {
	int unused;
};

#define DEFINE_MUTEX(name)	struct mutex name
#define mutex_lock(m)		((void)(m))
#define mutex_unlock(m)		((void)(m))

/* CPUs come and go when a program says so. */
enum cpuhp_state {
	CPUHP_IOMMU_IOVA_DEAD,
	CPUHP_BP_PREPARE_DYN,
};

typedef int (*cpuhp_fn)(unsigned int cpu);

int cpuhp_setup_state_nocalls(enum cpuhp_state state, const char *name,
			      cpuhp_fn online, cpuhp_fn dead);
void shim_cpu_dead(unsigned int cpu);

/*
 * Memory order. A load of a pointer orders what is read through it.
 */

#ifdef SHIM_PERF
#define shim_step()		barrier()
#else
extern unsigned int shim_pause_one_in;
void shim_pause(void);

/* Before any access that others see or could make: if asked to, a thread is held up. */
static inline void shim_step(void)
{
	if (unlikely(shim_pause_one_in))
		shim_pause();
}
#endif

#define shim_load(p, order)						\
	({ shim_step(); __atomic_load_n(p, order); })
#define shim_store(p, v, order)						\
	do { shim_step(); __atomic_store_n(p, v, order); } while (0)
/* Any of the compiler's that reads and writes */
#define shim_change(how, p, ...)					\
	({ shim_step(); __atomic_##how(p, __VA_ARGS__); })
#undef READ_ONCE
#undef WRITE_ONCE
#define READ_ONCE(x)		shim_load(&(x), __ATOMIC_ACQUIRE)
#define WRITE_ONCE(x, v)	shim_store(&(x), v, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	shim_load(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	shim_store(p, v, __ATOMIC_RELEASE)
#define rcu_assign_pointer(p, v) smp_store_release(&(p), v)
/* lib/xarray.c moves what readers know already: ThreadSanitizer does not know that. */
#define RCU_INIT_POINTER(p, v)	rcu_assign_pointer(p, v)
#define rcu_dereference_raw(p)	READ_ONCE(p)
#define rcu_dereference_check(p, cond)		READ_ONCE(p)
#define rcu_dereference_protected(p, cond)	(p)
#define data_race(expr)		(expr)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		smp_mb()
#define smp_wmb()		smp_mb()
#define xchg(p, v)		shim_change(exchange_n, p, v, __ATOMIC_SEQ_CST)
#define try_cmpxchg(p, old, new) \
	shim_change(compare_exchange_n, p, old, new, false, __ATOMIC_SEQ_CST, \
		    __ATOMIC_RELAXED)
#define cmpxchg(p, old, new)						\
	({								\
		typeof(*(p)) was_ = (old);				\
									\
		try_cmpxchg(p, &was_, new);				\
		was_;							\
	})

#define ATOMIC_INIT(i)		{ i }
#define atomic_read(v)		shim_load(&(v)->counter, __ATOMIC_RELAXED)
#define atomic_set(v, i) \
	shim_store(&(v)->counter, i, __ATOMIC_RELAXED)
#define atomic_set_release(v, i) \
	shim_store(&(v)->counter, i, __ATOMIC_RELEASE)
#define atomic_inc_return(v)	shim_change(add_fetch, &(v)->counter, 1, __ATOMIC_SEQ_CST)
#define atomic_read_acquire(v)	shim_load(&(v)->counter, __ATOMIC_ACQUIRE)
#define atomic_dec_return_release(v) \
	shim_change(sub_fetch, &(v)->counter, 1, __ATOMIC_RELEASE)
#define atomic_xchg(v, i)	xchg(&(v)->counter, i)
#define atomic_inc(v) \
	((void)shim_change(fetch_add, &(v)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(v) \
	((void)shim_change(fetch_sub, &(v)->counter, 1, __ATOMIC_RELAXED))

#define atomic_fetch_or(i, v) \
	shim_change(fetch_or, &(v)->counter, i, __ATOMIC_SEQ_CST)
#define atomic_fetch_andnot(i, v) \
	shim_change(fetch_and, &(v)->counter, ~(i), __ATOMIC_SEQ_CST)
#define atomic_cmpxchg(v, old, new)	cmpxchg(&(v)->counter, old, new)

typedef struct { s64 counter; } atomic64_t;
#define atomic64_read(v)	shim_load(&(v)->counter, __ATOMIC_RELAXED)
#define atomic64_read_acquire(v) \
	shim_load(&(v)->counter, __ATOMIC_ACQUIRE)
#define atomic64_set(v, i) \
	shim_store(&(v)->counter, i, __ATOMIC_RELAXED)
#define atomic64_xchg(v, i)	xchg(&(v)->counter, i)
#define atomic64_try_cmpxchg(v, old, new) \
	try_cmpxchg(&(v)->counter, old, new)
#define atomic64_fetch_or(i, v) \
	shim_change(fetch_or, &(v)->counter, i, __ATOMIC_SEQ_CST)
#define atomic64_fetch_andnot(i, v) \
	shim_change(fetch_and, &(v)->counter, ~(i), __ATOMIC_SEQ_CST)
#define atomic64_or(i, v) \
	((void)shim_change(fetch_or, &(v)->counter, i, __ATOMIC_RELAXED))

struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);	/* or else it is freed: */
	void *memory;
};

/*
 * Locks. A class is a place in the source where locks are initialised.
 */

#define SHIM_CLASSES		16

typedef struct {
	int held;
#ifndef SHIM_PERF
	const void *holder;
#endif
#if !defined(SHIM_PERF) || defined(SHIM_COUNT)
	unsigned int class;
#endif
} raw_spinlock_t;
typedef raw_spinlock_t spinlock_t;

extern unsigned int shim_classes;

#if defined(SHIM_COUNT)
/* By class: what is initialised, as it is in the source, and how often it was taken */
extern const char *shim_class_name[SHIM_CLASSES];
extern __thread unsigned long shim_taken[SHIM_CLASSES];
void shim_lock_init(raw_spinlock_t *l, unsigned int *class, const char *name);
#define raw_spin_lock_init(l)						\
	do {								\
		static unsigned int class_;				\
									\
		shim_lock_init(l, &class_, #l);				\
	} while (0)
#define lockdep_assert_held(l)	((void)(l))
static inline void shim_lock_checks(raw_spinlock_t *l)
{
	shim_taken[l->class]++;
}
static inline void shim_unlock_checks(raw_spinlock_t *l) { }
#elif defined(SHIM_PERF)
#define raw_spin_lock_init(l)	(*(l) = (raw_spinlock_t) {})
#define lockdep_assert_held(l)	((void)(l))
static inline void shim_lock_checks(raw_spinlock_t *l) { }
static inline void shim_unlock_checks(raw_spinlock_t *l) { }
#else
#define raw_spin_lock_init(l)						\
	do {								\
		static unsigned int class_;				\
									\
		shim_lock_init(l, &class_);				\
	} while (0)
#define lockdep_assert_held(l)	FAIL_IF((l)->holder != shim_self())
void shim_lock_init(raw_spinlock_t *l, unsigned int *class);
const void *shim_self(void);
void shim_lock_checks(raw_spinlock_t *l);
void shim_unlock_checks(raw_spinlock_t *l);
#endif

#ifdef SHIM_PERF
#define rcu_read_lock()		barrier()
#define rcu_read_unlock()	barrier()
#else
void rcu_read_lock(void);
void rcu_read_unlock(void);
#endif

/*
 * Turns: between shim_turns() and its end, the threads numbered 0 to @nr - 1 run one
 * at a time, from shim_turn_begin() to shim_turn_end(). Which of them, and for how many
 * steps, follows from @seed: whatever they do can be had again. All of them wait by
 * shim_yield() alone.
 */
void shim_turns(unsigned int nr, u64 seed);
/*
 * The same for two of them: the first is held up after @first steps, then the second
 * after @second, unless either ends or waits before. How often that did not happen,
 * shim_turns_left() tells.
 */
void shim_turns_at(unsigned int first, unsigned int second);
unsigned int shim_turns_left(void);
void shim_turn_begin(unsigned int nr);
void shim_turn_end(void);
/* Let others run. */
void shim_yield(void);

/* As a virtual CPU does: the holder may not be running. */
static inline void shim_lock_wait(raw_spinlock_t *l)
{
#ifdef SHIM_PERF
	unsigned int spins = 1000;

	while (spins-- && __atomic_load_n(&l->held, __ATOMIC_RELAXED))
		__builtin_ia32_pause();
	if (!__atomic_load_n(&l->held, __ATOMIC_RELAXED))
		return;
#endif
	shim_yield();
}

/* Whoever holds a raw lock is a reader too, until the lock is let go. */
static inline void raw_spin_lock(raw_spinlock_t *l)
{
	rcu_read_lock();
	while (unlikely(shim_change(exchange_n, &l->held, 1, __ATOMIC_ACQUIRE)))
		shim_lock_wait(l);
	shim_lock_checks(l);
}

static inline void raw_spin_unlock(raw_spinlock_t *l)
{
	shim_unlock_checks(l);
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
	rcu_read_unlock();
}

#ifdef SHIM_PERF
#define raw_spin_lock_irqsave(l, flags)					\
	do { local_irq_save(flags); raw_spin_lock(l); } while (0)
#define raw_spin_unlock_irqrestore(l, flags)				\
	do { raw_spin_unlock(l); local_irq_restore(flags); } while (0)
#else
#define raw_spin_lock_irqsave(l, flags)					\
	do { (flags) = 0; raw_spin_lock(l); } while (0)
#define raw_spin_unlock_irqrestore(l, flags)				\
	do { (void)(flags); raw_spin_unlock(l); } while (0)
#endif
#define spin_lock_init(l)	raw_spin_lock_init(l)
#define spin_lock(l)		raw_spin_lock(l)
#define spin_unlock(l)		raw_spin_unlock(l)
#define spin_lock_bh(l)		raw_spin_lock(l)
#define spin_unlock_bh(l)	raw_spin_unlock(l)
#define spin_lock_irq(l)	raw_spin_lock(l)
#define spin_unlock_irq(l)	raw_spin_unlock(l)
#define spin_lock_irqsave(l, flags)	raw_spin_lock_irqsave(l, flags)
#define spin_unlock_irqrestore(l, flags) raw_spin_unlock_irqrestore(l, flags)

/*
 * CPUs.
 */

/* A test may have more of them, or fewer, before it makes anything that is per CPU. */
#define SHIM_MAX_CPUS		256U
extern unsigned int shim_nr_cpus;
#define NR_CPUS			shim_nr_cpus
#define num_possible_cpus()	NR_CPUS

#define for_each_possible_cpu(cpu) \
	for ((cpu) = 0; (cpu) < NR_CPUS; (cpu)++)

extern __thread unsigned int shim_cpu;
#ifdef SHIM_PERF
extern __thread unsigned long shim_irqs_off;
#define local_irq_save(flags)						\
	do { (flags) = shim_irqs_off; shim_irqs_off = 1; barrier(); } while (0)
#define local_irq_restore(flags)					\
	do { barrier(); shim_irqs_off = (flags); } while (0)
#else
extern unsigned int shim_migrate_one_in;	/* 0: only when told */
void shim_cpu_get(void);
void shim_cpu_put(void);
#define local_irq_save(flags)	do { (flags) = 0; shim_cpu_get(); } while (0)
#define local_irq_restore(flags) do { (void)(flags); shim_cpu_put(); } while (0)
#endif

#define SHIM_PERCPU		2112
#define alloc_percpu(type)						\
	({								\
		BUILD_BUG_ON(sizeof(type) > SHIM_PERCPU);		\
		(type *)kzalloc(NR_CPUS * SHIM_PERCPU, GFP_KERNEL);	\
	})
#define free_percpu(p)		kfree(p)
#define per_cpu_ptr(p, cpu) \
	((typeof(p))((char *)(p) + (cpu) * SHIM_PERCPU))
#define this_cpu_ptr(p)		per_cpu_ptr(p, shim_cpu)

static inline long schedule_timeout_uninterruptible(long timeout)
{
	shim_yield();
	return 0;
}

/*
 * Memory and RCU.
 */

#define might_alloc(gfp)	((void)(gfp))

extern unsigned int shim_fail_one_in;	/* each fails with this chance, or */
extern unsigned int shim_fail_nth;	/* the one that counts this down to 0 */
void *kzalloc(size_t size, gfp_t gfp);

/* What is in it is nobody's business. */
static inline void *kmalloc(size_t size, gfp_t gfp)
{
	void *p = kzalloc(size, gfp);

#ifndef SHIM_PERF
	if (p)
		memset(p, 0x6b, size);
#endif
	return p;
}

#define kcalloc(n, size, gfp)	kzalloc((n) * (size), gfp)
void kfree(const void *p);
long shim_live(void);

void shim_rcu_queue(struct rcu_head *head);
void shim_rcu_barrier(void);
#define kfree_rcu(p, member)						\
	do { (p)->member = (struct rcu_head) { .memory = (p) };		\
	     shim_rcu_queue(&(p)->member); } while (0)

static inline void call_rcu(struct rcu_head *head,
			    void (*func)(struct rcu_head *head))
{
	*head = (struct rcu_head) { .func = func };
	shim_rcu_queue(head);
}

/* What lib/xarray.c allocates is nodes. */
struct list_lru;
void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru,
			   gfp_t gfp);

/* Random numbers: xorshift, one sequence per thread. */
extern __thread u64 shim_seed;

static inline u64 shim_next(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline u64 shim_random(void)
{
	return shim_next(&shim_seed);
}

static inline u64 shim_below(u64 n)
{
	return shim_random() % n;
}

static inline bool shim_one_in(u64 n)
{
	return !shim_below(n);
}

/* The kernel's own, by way of the forwarders that the Makefile makes */
#include <linux/cleanup.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/rbtree.h>

DEFINE_FREE(kfree, void *, kfree(_T))

#define SHIM_LOCK_GUARD(name)						\
	typedef raw_spinlock_t *class_##name##_t;			\
	static inline class_##name##_t					\
	class_##name##_constructor(raw_spinlock_t *l)			\
	{								\
		raw_spin_lock(l);					\
		return l;						\
	}								\
	static inline void class_##name##_destructor(class_##name##_t *l) \
	{								\
		raw_spin_unlock(*l);					\
	}								\
	static inline void *class_##name##_lock_ptr(class_##name##_t *l) \
	{								\
		return *l;						\
	}								\
	__DEFINE_CLASS_IS_CONDITIONAL(name, false)

SHIM_LOCK_GUARD(raw_spinlock);
SHIM_LOCK_GUARD(raw_spinlock_irqsave);
SHIM_LOCK_GUARD(spinlock_irqsave);

typedef int class_rcu_t;

static inline class_rcu_t class_rcu_constructor(void)
{
	rcu_read_lock();
	return 0;
}

static inline void class_rcu_destructor(class_rcu_t *unused)
{
	rcu_read_unlock();
}

/*
 * Counting.
 */

extern unsigned int shim_passed, shim_failed;
void shim_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* _SHIM_H */
