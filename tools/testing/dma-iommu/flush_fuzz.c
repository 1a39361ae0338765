// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing of flush.c: every interleaving that one thread can make.
 *
 * The input is a sequence of maps, unmaps, timers and works that are due, and of
 * flushes because addresses ran out. At each point where another CPU could come
 * in between (in front of barriers, of retiring, of the invalidation and after
 * it) the input may call for another operation in the middle of this one, as far
 * as the locks that are held allow.
 *
 * The IOMMU is two arrays: what is translated, and what the IOTLB holds, which is
 * everything that was ever translated since it was last invalidated. So:
 *
 *   - a range that is handed out while the IOTLB holds it is found at once;
 *   - as soon as nothing is in the middle of an unmap, whatever the IOTLB holds
 *     of the past has a timer that comes for it, so the window is bounded;
 *   - pages are not freed before what refers to them is invalidated;
 *   - when all timers and works have run, nothing is lost.
 */

#include "flush_shim.h"

#define hrtimer_start(timer, window, mode) \
	do { point(); (timer)->due = true; } while (0)
#define hrtimer_cancel(timer)	((timer)->due = false)
#define queue_work(queue, work)	((work)->due = true)
#define disable_work_sync(work)	((work)->due = false)
#define cond_resched()		point()

static void point(void);
static void count_late(unsigned int epoch);

/* Another CPU comes first here, or right after the epoch was read. */
#undef smp_mb
#undef smp_rmb
#undef READ_ONCE
#undef synchronize_rcu
#define synchronize_rcu()		point()
#define READ_ONCE(x)			({ typeof(x) x_ = (x); point(); x_; })
#define smp_mb()			point()
#define smp_rmb()			point()
#define iova_space_retire(space, range, epoch)          \
	do {                                            \
		point();                                \
		count_late(epoch);                      \
		iova_space_retire(space, range, epoch); \
	} while (0)

#include "flush.c"
#include "fuzz.h"

#undef iova_space_retire

#define GRANULES	2048UL
#define MAX_RANGES	512
#define MAX_DEPTH	3

static unsigned int translation[GRANULES], iotlb[GRANULES], next_id;
static struct iova_range live[MAX_RANGES];
static unsigned int nr_live, unmapping, depth, pages_live;
static struct iova_space space;
static struct iommu_dma_flush flush;

static const u8 *input, *input_end;

static unsigned long long nr_nested, nr_flushes, nr_late;
static unsigned int flushes_of_input;

static u8 next(void)
{
	return input < input_end ? *input++ : 0;
}

static bool locked(void)
{
	return __atomic_load_n(&flush.lock.held, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&flush.pages_lock.held, __ATOMIC_RELAXED);
}

static void step(u8 what);

/* Here another CPU may do something, if the input says so. */
static void point(void)
{
	unsigned int cpu = shim_cpu;
	u8 what;

	if (depth >= MAX_DEPTH || input >= input_end)
		return;
	what = next();
	if (what < 0x60)
		return;
	depth++;
	nr_nested++;
	shim_cpu = (cpu + 1) % NR_CPUS;
	step(what);
	shim_cpu = cpu;
	depth--;
}

static void count_late(unsigned int epoch)
{
	nr_late += epoch != flush.epoch % IOVA_EPOCHS;
}

static void invalidate_all(struct iommu_domain *unused)
{
	unsigned long g;

	nr_flushes++;
	FAIL_IF(locked());
	/* Now and then it takes long. */
	if (!(++flushes_of_input % 5))
		shim_clock += 2 * IOMMU_DMA_SLOW_NS;
	point();
	for (g = 0; g < GRANULES; g++)
		if (iotlb[g] != translation[g])
			iotlb[g] = 0;
	point();
}

void iommu_put_pages_list(struct list_head *pages)
{
	struct table *table, *next;

	list_for_each_entry_safe(table, next, pages, page.lru) {
		FAIL_IF(iotlb[table->granule] == table->id);
		list_del(&table->page.lru);
		free(table);
		pages_live--;
	}
}

static bool map(unsigned long size)
{
	struct iova_request req = {
		.size = size, .align = 1, .limit = GRANULES - 1,
	};
	struct iova_range range;
	unsigned long g;

	if (nr_live == MAX_RANGES || !iova_space_alloc(&space, &req, &range))
		return false;
	next_id++;
	for (g = range.first; g <= range.last; g++) {
		FAIL_IF(translation[g] || iotlb[g]);
		translation[g] = next_id;
		iotlb[g] = next_id;
	}
	live[nr_live++] = range;
	return true;
}

static void unmap(unsigned int i, bool with_page)
{
	struct iova_range range;
	LIST_HEAD(pages);
	struct table *table;
	unsigned long g;

	FAIL_IF(!iova_space_claim(&space, live[i].first, &range));
	FAIL_IF(range.last != live[i].last);
	live[i] = live[--nr_live];
	unmapping++;
	point();
	if (with_page) {
		table = malloc(sizeof(*table));
		*table = (struct table) {
			.id = translation[range.first], .granule = range.first,
		};
		list_add(&table->page.lru, &pages);
		pages_live++;
	}
	for (g = range.first; g <= range.last; g++)
		translation[g] = 0;
	if (iommu_dma_flush_enabled(&flush)) {
		iommu_dma_flush_retire(&flush, &range, &pages);
		FAIL_IF(!list_empty(&pages));
	} else {
		for (g = range.first; g <= range.last; g++)
			iotlb[g] = 0;
		iommu_put_pages_list(&pages);
		iova_space_release(&space, &range);
	}
	unmapping--;
}

/* Neither the timer nor the worker runs twice at once. */

static void run_timer(void)
{
	static bool running;

	if (!flush.timer.due || running)
		return;
	running = true;
	flush.timer.due = false;
	shim_in_timer = true;
	flush.timer.function(&flush.timer);
	shim_in_timer = false;
	running = false;
}

static void run_work(void)
{
	static bool running;

	if (!flush.work.due || running)
		return;
	running = true;
	flush.work.due = false;
	flush.work.func(&flush.work);
	running = false;
}

static void step(u8 what)
{
	unsigned long size = 1 + next() % 16;

	nr_ops++;
	switch (what % 16) {
	case 0 ... 4:
		map(what & 16 ? size * 24 : size);
		break;
	case 5 ... 10:
		if (nr_live)
			unmap(next() % nr_live, what & 16);
		break;
	case 11 ... 12:
		if (!locked())
			run_timer();
		break;
	case 13:
		if (!locked())
			run_work();
		break;
	case 14:
		if (!locked() && !map(size * 8))
			flush_now(&flush);
		break;
	case 15:
		if (what & 16 && !iommu_dma_flush_enabled(&flush))
			iommu_dma_flush_enable(&flush, &domain);
		else
			shim_cpu = what / 32 % NR_CPUS;
		break;
	}
}

/* Is there an entry of the past that nobody comes for? */
static void check_window(void)
{
	unsigned long g;

	if (unmapping || flush.timer.due || atomic_read(&flush.due))
		return;
	for (g = 0; g < GRANULES; g++)
		FAIL_IF(iotlb[g] && iotlb[g] != translation[g]);
}

static void finish(bool use_up)
{
	unsigned long g;

	input = input_end;
	while (flush.timer.due || flush.work.due) {
		run_work();
		run_timer();
	}
	while (nr_live)
		unmap(0, false);
	while (flush.timer.due || flush.work.due) {
		run_timer();
		run_work();
	}
	for (g = 0; g < GRANULES; g++)
		FAIL_IF(translation[g] || iotlb[g]);
	/* What came late for its epoch may still wait for the next window. */
	flush_now(&flush);
	while (flush.work.due)
		run_work();
	FAIL_IF(pages_live);
	if (use_up) {
		for (g = 0; map(1); g++)
			nr_live = 0;
		FAIL_IF(g != GRANULES - 1);
	}
	iommu_dma_flush_destroy(&flush);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
}

static void fuzz_report(void)
{
	printf("%llu operations in %llu inputs, %llu in the middle of another: ",
	       nr_ops, nr_inputs, nr_nested);
	printf("%llu flushes, %llu unmaps late for their epoch\n", nr_flushes,
	       nr_late);
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_init();
	shim_migrate_one_in = 0;
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	fuzz_input();
	memset(translation, 0, sizeof(translation));
	memset(iotlb, 0, sizeof(iotlb));
	nr_live = 0;
	flushes_of_input = 0;
	shim_cpu = 0;
	shim_seed = 88172645463325252;
	input = data;
	input_end = data + size;
	FAIL_IF(iova_space_init(&space, 1, GRANULES - 1, 12));
	iommu_dma_flush_init(&flush, &space, false);
	if (next() % 8)
		iommu_dma_flush_enable(&flush, &domain);
	while (input < input_end) {
		step(next());
		check_window();
	}
	finish(size && data[0] % 128 < 8);
	return 0;
}
