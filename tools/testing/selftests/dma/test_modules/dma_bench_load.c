// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that map and unmap for a while, and what each call took. The kernel's
 * half of dma_bench; what dma_map_benchmark does, and also lists, many mappings
 * that are live, and unmapping in any order.
 *
 * It drives any PCI device that is given to it, and no DMA happens:
 *
 *   # echo dma_bench_load > /sys/bus/pci/devices/BDF/driver_override
 *   # echo BDF > /sys/bus/pci/drivers_probe
 *   # echo cycle t=8 s=20 l=1000 r=1 > /sys/kernel/debug/dma_bench_load/BDF/run
 *
 * The letters are those of dma_bench's options; those that are not given are
 * dma_map_benchmark's defaults. A thread has a number of slots, each with memory
 * of its own. When all are mapped in all threads, the time begins: a thread
 * unmaps a slot and maps it again, then takes the next, or any.
 *
 * Each thread counts for itself, so that nothing is shared between CPUs but what
 * the DMA API shares.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/scatterlist.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "dma_command.h"
#include "dma_bench_load.h"

/* The same order of slots in every run */
#define LOAD_SEED	0x2015

/*
 * Latencies are counted in steps of a sixteenth of the power of two they are in,
 * and exactly below 16 ns.
 */
#define LOAD_STEP_BITS	4
#define LOAD_STEPS	BIT(LOAD_STEP_BITS)
#define LOAD_BUCKETS	((32 - LOAD_STEP_BITS + 1) * LOAD_STEPS)

/**
 * struct load_stat - what one kind of call took
 * @n: calls
 * @sum: nanoseconds of all
 * @square: sum of their squares, and
 * @square_high: how often it has overflowed
 * @least: the shortest, in ns
 * @most: the longest, in ns
 * @bucket: how many took how long
 */
struct load_stat {
	u64 n;
	u64 sum;
	u64 square;
	u64 square_high;
	u32 least;
	u32 most;
	u64 bucket[LOAD_BUCKETS];
};

/**
 * struct load_slot - a mapping, and its memory
 * @memory: of all of it; contiguous
 * @addr: where it is mapped, unless it is a list
 * @sgt: the list
 * @mapped: it is
 */
struct load_slot {
	void *memory;
	dma_addr_t addr;
	struct sg_table sgt;
	bool mapped;
};

struct load;

/**
 * struct load_thread - one of them
 * @load: what it does
 * @task: itself
 * @slots: as many as are to be live
 * @random: which slot is next, if any may be
 * @error: why it has stopped before its time
 * @segments_least: of its lists, when mapped
 * @segments_most: likewise
 * @map: what its calls took
 * @unmap: likewise
 */
struct load_thread {
	struct load *load;
	struct task_struct *task;
	struct load_slot *slots;
	struct rnd_state random;
	int error;
	unsigned int segments_least;
	unsigned int segments_most;
	struct load_stat map;
	struct load_stat unmap;
};

/**
 * struct load - a device, and what is done with it
 * @dev: the device
 * @dir: its directory in debugfs
 * @command: run and result
 * @max_segment: what the device had before, as bytes
 * @value: by option, see dma_bench_load.h
 * @direction: as the DMA API calls it
 * @size: bytes of a mapping
 * @attrs: DMA_ATTR_*
 * @threads: all of them
 * @filling: threads that have not filled their slots yet
 * @filled: they all have
 * @begin: now, says the one who gave the command
 *
 * The command's mutex protects all of it; threads only read it.
 */
struct load {
	struct device *dev;
	struct dentry *dir;
	struct dma_command command;
	unsigned int max_segment;
	s64 value[LOAD_OPTIONS];
	enum dma_data_direction direction;
	size_t size;
	unsigned long attrs;
	struct load_thread **threads;
	atomic_t filling;
	struct completion filled;
	struct completion begin;
};

static struct dentry *load_root;

static __printf(2, 3)
void load_say(struct load *load, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dma_command_vnote(&load->command, fmt, args);
	va_end(args);
}

/* ---- what calls take ---------------------------------------------------- */

static unsigned int load_bucket(u32 ns)
{
	unsigned int shift;

	if (ns < LOAD_STEPS)
		return ns;
	shift = fls(ns) - 1 - LOAD_STEP_BITS;
	return shift * LOAD_STEPS + (ns >> shift);
}

/* The longest time that belongs there */
static u64 load_bucket_last(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * LOAD_STEPS)
		return bucket;
	shift = bucket / LOAD_STEPS - 1;
	return ((u64)(bucket % LOAD_STEPS + LOAD_STEPS + 1) << shift) - 1;
}

static_assert(LOAD_BUCKETS == (32 - LOAD_STEP_BITS) * LOAD_STEPS + LOAD_STEPS);

static void load_count(struct load_stat *stat, u64 ns)
{
	u32 value = min_t(u64, ns, U32_MAX);
	u64 square = (u64)value * value;

	stat->n++;
	stat->sum += value;
	stat->square += square;
	if (stat->square < square)
		stat->square_high++;
	stat->least = min(stat->least, value);
	stat->most = max(stat->most, value);
	stat->bucket[load_bucket(value)]++;
}

static void load_add(struct load_stat *total, const struct load_stat *stat)
{
	unsigned int i;

	total->n += stat->n;
	total->sum += stat->sum;
	total->square += stat->square;
	total->square_high += stat->square_high;
	if (total->square < stat->square)
		total->square_high++;
	total->least = min(total->least, stat->least);
	total->most = max(total->most, stat->most);
	for (i = 0; i < LOAD_BUCKETS; i++)
		total->bucket[i] += stat->bucket[i];
}

/* What that many of a thousand calls took at most */
static u64 load_quantile(const struct load_stat *stat, unsigned int thousandths)
{
	u64 rank = div_u64(stat->n, 1000) * thousandths +
		   div_u64(stat->n % 1000 * thousandths, 1000), seen = 0;
	unsigned int i;

	for (i = 0; i < LOAD_BUCKETS; i++) {
		seen += stat->bucket[i];
		if (seen > rank)
			break;
	}
	return min_t(u64, load_bucket_last(i), stat->most);
}

static void load_stat_say(struct load *load, const char *name,
			  const struct load_stat *stat)
{
	load_say(load, "%s n=%llu sum=%llu square=%llu square_high=%llu",
		 name, stat->n, stat->sum, stat->square, stat->square_high);
	if (stat->n)
		load_say(load, " min=%u p50=%llu p99=%llu p999=%llu max=%u",
			 stat->least, load_quantile(stat, 500),
			 load_quantile(stat, 990), load_quantile(stat, 999),
			 stat->most);
	load_say(load, "\n");
}

/* ---- one mapping -------------------------------------------------------- */

static bool load_is_list(const struct load *load)
{
	return load->value[LOAD_ENTRIES];
}

static void load_slot_free(struct load *load, struct load_slot *slot)
{
	if (load_is_list(load))
		sg_free_table(&slot->sgt);
	free_pages((unsigned long)slot->memory, get_order(load->size));
}

/*
 * Entries lie in memory one behind the other, or from the last to the first:
 * then none ends where the next one begins.
 */
static int load_slot_make(struct load *load, struct load_slot *slot, int node)
{
	unsigned int entries = load->value[LOAD_ENTRIES], place, i;
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	struct scatterlist *sg;
	struct page *page;
	size_t bytes;

	page = alloc_pages_node(node, gfp, get_order(load->size));
	if (!page)
		return -ENOMEM;
	slot->memory = page_address(page);
	if (!entries)
		return 0;
	if (sg_alloc_table(&slot->sgt, entries, GFP_KERNEL | __GFP_NOWARN))
		return -ENOMEM;
	bytes = load->size / entries;
	for_each_sgtable_sg(&slot->sgt, sg, i) {
		place = load->value[LOAD_ADJACENT] ? i : entries - 1 - i;
		sg_set_buf(sg, slot->memory + place * bytes, bytes);
	}
	return 0;
}

static bool load_map(struct load_thread *thread, struct load_slot *slot)
{
	struct load *load = thread->load;
	unsigned int segments = 1;

	if (load_is_list(load)) {
		segments = dma_map_sg_attrs(load->dev, slot->sgt.sgl,
					    slot->sgt.orig_nents,
					    load->direction, load->attrs);
		slot->mapped = segments > 0;
	} else {
		slot->addr = dma_map_single(load->dev, slot->memory, load->size,
					    load->direction);
		slot->mapped = !dma_mapping_error(load->dev, slot->addr);
	}
	if (slot->mapped) {
		thread->segments_least = min(thread->segments_least, segments);
		thread->segments_most = max(thread->segments_most, segments);
	}
	return slot->mapped;
}

static void load_unmap(struct load_thread *thread, struct load_slot *slot)
{
	struct load *load = thread->load;

	if (load_is_list(load))
		dma_unmap_sg_attrs(load->dev, slot->sgt.sgl,
				   slot->sgt.orig_nents, load->direction,
				   load->attrs);
	else
		dma_unmap_single(load->dev, slot->addr, load->size,
				 load->direction);
	slot->mapped = false;
}

/*
 * A driver has just written what it sends: where a device does not look into
 * caches, cleaning those is a part of what mapping costs.
 */
static void load_dirty(struct load *load, struct load_slot *slot)
{
	if (load->direction != DMA_FROM_DEVICE && !dev_is_dma_coherent(load->dev))
		memset(slot->memory, 0x5a, load->size);
}

/* ---- a thread ----------------------------------------------------------- */

static struct load_slot *load_next(struct load_thread *thread, u32 *turn)
{
	u32 live = thread->load->value[LOAD_LIVE];

	if (thread->load->value[LOAD_RANDOM])
		return &thread->slots[prandom_u32_state(&thread->random) % live];
	*turn = *turn + 1 < live ? *turn + 1 : 0;
	return &thread->slots[*turn];
}

static int load_cycle(struct load_thread *thread, struct load_slot *slot)
{
	struct load *load = thread->load;
	u64 start, end;

	ndelay(load->value[LOAD_DELAY]);
	start = ktime_get_ns();
	load_unmap(thread, slot);
	end = ktime_get_ns();
	load_count(&thread->unmap, end - start);

	load_dirty(load, slot);
	start = ktime_get_ns();
	load_map(thread, slot);
	end = ktime_get_ns();
	if (!slot->mapped)
		return -ENOSPC;
	load_count(&thread->map, end - start);
	return 0;
}

static int load_fill(struct load_thread *thread)
{
	struct load *load = thread->load;
	u32 i;

	for (i = 0; i < load->value[LOAD_LIVE]; i++) {
		if (!load_map(thread, &thread->slots[i]))
			return -ENOSPC;
		if (kthread_should_stop())
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void load_drain(struct load_thread *thread)
{
	u32 i;

	for (i = 0; i < thread->load->value[LOAD_LIVE]; i++) {
		if (thread->slots[i].mapped)
			load_unmap(thread, &thread->slots[i]);
		cond_resched();
	}
}

static int load_thread_run(void *data)
{
	struct load_thread *thread = data;
	struct load *load = thread->load;
	u32 turn = U32_MAX;

	thread->error = load_fill(thread);
	if (atomic_dec_and_test(&load->filling))
		complete(&load->filled);
	wait_for_completion(&load->begin);
	while (!thread->error && !kthread_should_stop()) {
		thread->error = load_cycle(thread, load_next(thread, &turn));
		cond_resched();
	}
	load_drain(thread);
	return 0;
}

/* ---- all of them -------------------------------------------------------- */

static void load_thread_free(struct load_thread *thread)
{
	struct load *load = thread->load;
	u32 i;

	for (i = 0; thread->slots && i < load->value[LOAD_LIVE]; i++) {
		load_slot_free(load, &thread->slots[i]);
		cond_resched();
	}
	vfree(thread->slots);
	kfree(thread);
}

static struct load_thread *load_thread_new(struct load *load, u32 number)
{
	int node = load->value[LOAD_NODE];
	struct load_thread *thread;
	int ret = -ENOMEM;
	u32 i;

	thread = kzalloc_node(sizeof(*thread), GFP_KERNEL, node);
	if (!thread)
		return ERR_PTR(ret);
	thread->load = load;
	thread->segments_least = UINT_MAX;
	thread->map.least = U32_MAX;
	thread->unmap.least = U32_MAX;
	prandom_seed_state(&thread->random, LOAD_SEED + number);
	thread->slots = vcalloc(load->value[LOAD_LIVE], sizeof(*thread->slots));
	if (!thread->slots)
		goto fail;
	for (i = 0; i < load->value[LOAD_LIVE]; i++) {
		ret = load_slot_make(load, &thread->slots[i], node);
		if (!ret && signal_pending(current))
			ret = -EINTR;
		if (ret)
			goto fail;
		cond_resched();
	}
	thread->task = kthread_create_on_node(load_thread_run, thread, node,
					      "dma_bench/%u", number);
	if (IS_ERR(thread->task)) {
		ret = PTR_ERR(thread->task);
		goto fail;
	}
	get_task_struct(thread->task);
	if (node != NUMA_NO_NODE)
		set_cpus_allowed_ptr(thread->task, cpumask_of_node(node));
	return thread;
fail:
	load_thread_free(thread);
	return ERR_PTR(ret);
}

/*
 * Memory that a run takes must not be what the rest of the machine needs: with
 * half of what there is it would be told by the OOM killer.
 */
static int load_afford(struct load *load)
{
	u64 need = ((PAGE_SIZE << get_order(load->size)) +
		    sizeof(struct load_slot)) *
		   load->value[LOAD_LIVE] * load->value[LOAD_THREADS];
	u64 most = ((u64)si_mem_available() << PAGE_SHIFT) / 2;

	if (need <= most)
		return 0;
	load_say(load, "it takes %llu MiB of memory, and half of what is free is %llu MiB\n",
		 need >> 20, most >> 20);
	return -ENOMEM;
}

static int load_threads_make(struct load *load)
{
	u32 count = load->value[LOAD_THREADS], i;
	struct load_thread *thread;

	load->threads = kcalloc(count, sizeof(*load->threads), GFP_KERNEL);
	if (!load->threads)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		thread = load_thread_new(load, i);
		if (IS_ERR(thread)) {
			if (PTR_ERR(thread) == -ENOMEM)
				load_say(load, "there is no memory for thread %u\n",
					 i);
			return PTR_ERR(thread);
		}
		load->threads[i] = thread;
	}
	return 0;
}

/* Also those that have never been woken: these do not run at all. */
static int load_threads_stop(struct load *load)
{
	u32 count = load->value[LOAD_THREADS], i;
	int ret = 0;

	for (i = 0; load->threads && i < count && load->threads[i]; i++) {
		kthread_stop_put(load->threads[i]->task);
		ret = ret ?: load->threads[i]->error;
	}
	return ret;
}

static void load_threads_free(struct load *load)
{
	u32 count = load->value[LOAD_THREADS], i;

	for (i = 0; load->threads && i < count && load->threads[i]; i++)
		load_thread_free(load->threads[i]);
	kfree(load->threads);
	load->threads = NULL;
}

/* Wake them, wait until all is mapped, then for as long as it shall take */
static int load_threads_run(struct load *load, u64 *ns)
{
	u32 count = load->value[LOAD_THREADS], i;
	ktime_t end;
	u64 start;
	int ret;

	atomic_set(&load->filling, count);
	init_completion(&load->filled);
	init_completion(&load->begin);
	for (i = 0; i < count; i++)
		wake_up_process(load->threads[i]->task);
	ret = wait_for_completion_interruptible(&load->filled);
	start = ktime_get_ns();
	complete_all(&load->begin);
	/* If not all is mapped, there is nothing to measure. */
	for (i = 0; !ret && i < count; i++)
		if (READ_ONCE(load->threads[i]->error))
			return 0;
	if (!ret) {
		/* Not in jiffies: they may be behind where this begins. */
		end = ns_to_ktime(start + load->value[LOAD_SECONDS] * NSEC_PER_SEC);
		set_current_state(TASK_INTERRUPTIBLE);
		ret = schedule_hrtimeout(&end, HRTIMER_MODE_ABS);
	}
	*ns = ktime_get_ns() - start;
	return ret ? -EINTR : 0;
}

static int load_sum(struct load *load, u64 ns)
{
	u32 count = load->value[LOAD_THREADS], i;
	unsigned int least = UINT_MAX, most = 0;
	struct load_stat *map, *unmap;

	map = kzalloc(sizeof(*map), GFP_KERNEL);
	unmap = kzalloc(sizeof(*unmap), GFP_KERNEL);
	if (map && unmap) {
		map->least = U32_MAX;
		unmap->least = U32_MAX;
		for (i = 0; i < count; i++) {
			load_add(map, &load->threads[i]->map);
			load_add(unmap, &load->threads[i]->unmap);
			least = min(least, load->threads[i]->segments_least);
			most = max(most, load->threads[i]->segments_most);
		}
		load_say(load, "run ns=%llu bytes=%zu page=%lu coherent=%d ", ns,
			 load->size, PAGE_SIZE, dev_is_dma_coherent(load->dev));
		load_say(load, "segments_least=%u segments_most=%u\n", least,
			 most);
		load_stat_say(load, "map", map);
		load_stat_say(load, "unmap", unmap);
	}
	kfree(map);
	kfree(unmap);
	return map && unmap ? 0 : -ENOMEM;
}

static int load_run(struct load *load)
{
	u64 mask = dma_get_mask(load->dev), ns = 0;
	int ret, error;

	ret = load_afford(load);
	if (ret)
		return ret;
	ret = dma_set_mask(load->dev, DMA_BIT_MASK(load->value[LOAD_BITS]));
	if (ret) {
		load_say(load, "the device cannot have addresses of %lld bits\n",
			 load->value[LOAD_BITS]);
		return ret;
	}
	ret = load_threads_make(load);
	if (!ret)
		ret = load_threads_run(load, &ns);
	if (ret == -EINTR)
		load_say(load, "interrupted\n");
	error = load_threads_stop(load);
	if (!ret && error) {
		load_say(load, "a mapping has failed: no address of %lld bits, or no memory\n",
			 load->value[LOAD_BITS]);
		ret = error;
	}
	if (!ret)
		ret = load_sum(load, ns);
	load_threads_free(load);
	dma_set_mask(load->dev, mask);
	return ret;
}

/* ---- the command -------------------------------------------------------- */

static int load_parse(struct load *load, int argc, char **argv)
{
	int i, k;

	for (k = 0; k < LOAD_OPTIONS; k++)
		load->value[k] = load_options[k].usual;
	for (i = 1; i < argc; i++) {
		for (k = 0; k < LOAD_OPTIONS; k++)
			if (argv[i][0] == load_options[k].letter &&
			    argv[i][1] == '=')
				break;
		if (k == LOAD_OPTIONS ||
		    kstrtos64(argv[i] + 2, 0, &load->value[k])) {
			load_say(load, "what is '%s'?\n", argv[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static int load_check(struct load *load)
{
	static const enum dma_data_direction directions[] = {
		DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE,
	};
	s64 *value = load->value;
	const char *wrong;
	int k;

	for (k = 0; k < LOAD_OPTIONS; k++) {
		if (value[k] >= load_options[k].least &&
		    value[k] <= load_options[k].most)
			continue;
		load_say(load, "%s: %lld is not in %lld to %lld\n",
			 load_options[k].name, value[k], load_options[k].least,
			 load_options[k].most);
		return -EINVAL;
	}
	wrong = load_conflict(value);
	if (!wrong && value[LOAD_NODE] != NUMA_NO_NODE &&
	    (value[LOAD_NODE] >= MAX_NUMNODES || !node_online(value[LOAD_NODE])))
		wrong = "there is no such NUMA node";
	if (wrong) {
		load_say(load, "%s\n", wrong);
		return -EINVAL;
	}
	load->direction = directions[value[LOAD_DIRECTION]];
	load->size = value[LOAD_GRANULE] * max(value[LOAD_ENTRIES], 1) * PAGE_SIZE;
	load->attrs = 0;
	if (!value[LOAD_CONTIGUOUS])
		return 0;
#ifdef DMA_ATTR_CONTIGUOUS
	load->attrs = DMA_ATTR_CONTIGUOUS;
	return 0;
#else
	load_say(load, "this kernel does not map lists as one segment\n");
	return -EOPNOTSUPP;
#endif
}

static int load_command(struct dma_command *command, int argc, char **argv)
{
	struct load *load = container_of(command, struct load, command);

	if (strcmp(argv[0], "cycle"))
		return DMA_COMMAND_UNKNOWN;
	return load_parse(load, argc, argv) ?: load_check(load) ?:
	       load_run(load);
}

/* ---- the driver --------------------------------------------------------- */

static int load_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct load *load = kvzalloc(sizeof(*load), GFP_KERNEL);

	if (!load)
		return -ENOMEM;
	load->dev = &pdev->dev;
	load->max_segment = dma_get_max_seg_size(&pdev->dev);
	/* Else lists would be split at 64 KiB. */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	pci_set_drvdata(pdev, load);
	load->dir = debugfs_create_dir(pci_name(pdev), load_root);
	dma_command_init(&load->command, load->dir, load_command);
	return 0;
}

/* Waits for a command that is running: files are gone when all have left them. */
static void load_remove(struct pci_dev *pdev)
{
	struct load *load = pci_get_drvdata(pdev);

	debugfs_remove(load->dir);
	dma_set_max_seg_size(&pdev->dev, load->max_segment);
	kvfree(load);
}

/* No device is its own: one is given to it by driver_override. */
static struct pci_driver load_driver = {
	.name = "dma_bench_load",
	.probe = load_probe,
	.remove = load_remove,
};

static int __init load_init(void)
{
	int ret;

	load_root = debugfs_create_dir("dma_bench_load", NULL);
	ret = pci_register_driver(&load_driver);
	if (ret)
		debugfs_remove(load_root);
	return ret;
}

static void __exit load_exit(void)
{
	pci_unregister_driver(&load_driver);
	debugfs_remove(load_root);
}

module_init(load_init);
module_exit(load_exit);

MODULE_DESCRIPTION("Threads that map and unmap, and what it takes");
MODULE_LICENSE("GPL");
