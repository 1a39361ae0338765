/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the base's iova.c needs of the kernel beyond shim.h, at the same cost:
 * objects from the same allocator as ours, CPUs that stay, works that wait for
 * ever (so its depot is never drained behind its back, which is in its favour).
 */
#ifndef _BASE_SHIM_H
#define _BASE_SHIM_H

#include <linux/mutex.h>
#include <linux/workqueue.h>

#define cache_line_size()	64
#define pr_err(fmt, ...)	printf(fmt, ##__VA_ARGS__)
#define kmemleak_transient_leak(p)
#define MODULE_AUTHOR(text)	extern int shim_module
#define MODULE_DESCRIPTION(text) extern int shim_module
#define MODULE_LICENSE(text)	extern int shim_module

#define assert_spin_locked(l)	((void)(l))
struct kmem_cache {
	size_t size;
};

#define SLAB_HWCACHE_ALIGN	0

static inline struct kmem_cache *
kmem_cache_create(const char *name, size_t size, size_t align, int flags,
		  void *ctor)
{
	struct kmem_cache *cache = kzalloc(sizeof(*cache), GFP_KERNEL);

	cache->size = size;
	return cache;
}

#define kmem_cache_destroy(cache)	kfree(cache)
#define kmem_cache_zalloc(cache, gfp)	kzalloc((cache)->size, gfp)
#define kmem_cache_alloc(cache, gfp)	malloc((cache)->size)
#define kmem_cache_free(cache, p)	kfree(p)

#define __alloc_percpu(size, align)	kzalloc(NR_CPUS * SHIM_PERCPU, GFP_KERNEL)
#define raw_cpu_ptr(p)			this_cpu_ptr(p)
#define num_online_cpus()		NR_CPUS
#define for_each_online_cpu(cpu)	for_each_possible_cpu(cpu)

#define cpuhp_setup_state_multi(state, name, up, down)	((void)(down), 0)
#define cpuhp_state_add_instance_nocalls(state, node)	((void)(node), 0)
#define cpuhp_state_remove_instance_nocalls(state, node) ((void)(node))
#define cpuhp_remove_multi_state(state)

struct delayed_work {
	struct work_struct work;
};

#define INIT_DELAYED_WORK(w, f)		((w)->work.func = (f))
#define msecs_to_jiffies(ms)		(ms)
#define schedule_delayed_work(w, delay)	do { WRITE_ONCE((w)->work.due, 1); } while (0)
#define cancel_delayed_work_sync(w)	((void)(w))

#endif /* _BASE_SHIM_H */
