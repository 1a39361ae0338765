// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of flush.c, with an IOMMU that is two arrays: what is translated, and
 * what the IOTLB holds. The IOTLB keeps each entry until it is invalidated, so
 * a range that is handed out too early is found at once.
 */

/* A timer or work that is due waits until some thread of the test runs it. */

#define hrtimer_start(timer, window, mode) \
	do {							\
		__atomic_store_n(&started_for, window, __ATOMIC_RELAXED); \
		(void)xchg(&(timer)->due, 1);			\
	} while (0)
#define hrtimer_cancel(timer)			((void)xchg(&(timer)->due, 0))
#define queue_work(queue, work)			((void)xchg(&(work)->due, 1))
#define disable_work_sync(work)			((void)xchg(&(work)->due, 0))
#define cond_resched()				sched_yield()

#include "flush_shim.h"

static long long started_for;
static void grace_period(void);

#undef synchronize_rcu
#define synchronize_rcu()			grace_period()

#include "iova-extents.c"
#include "iova-chunk.c"
#include "iova-pool.c"
#include "iova-spanning.c"
#include "iova-cpu.c"
#include "iova-space.c"
#include "flush.c"

/*
 * The IOMMU. A mapping has a number of its own, that of its entries.
 */

#define GRANULES	8192UL

static unsigned int translation[GRANULES], iotlb[GRANULES];
static unsigned int pages_live, next_id, flushes;
static struct iova_space space;
static struct iommu_dma_flush flush;

#define load(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define store(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)

static void invalidate(unsigned long granule)
{
	unsigned int id = load(iotlb[granule]);

	if (id && load(translation[granule]) != id)
		__atomic_compare_exchange_n(&iotlb[granule], &id, 0, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* What happens while the IOMMU invalidates, once; or NULL */
static void (*meanwhile)(void);

static void invalidate_all(struct iommu_domain *unused)
{
	void (*then)(void) = meanwhile;
	unsigned long g;

	__atomic_add_fetch(&flushes, 1, __ATOMIC_RELAXED);
	if (then) {
		meanwhile = NULL;
		then();
	}
	for (g = 0; g < GRANULES; g++)
		invalidate(g);
}

/* What is freed is not in the IOTLB. */
void iommu_put_pages_list(struct list_head *pages)
{
	struct table *table, *next;

	list_for_each_entry_safe(table, next, pages, page.lru) {
		FAIL_IF(load(iotlb[table->granule]) == table->id);
		list_del(&table->page.lru);
		free(table);
		__atomic_sub_fetch(&pages_live, 1, __ATOMIC_RELAXED);
	}
}

static bool map(struct iova_range *range, unsigned long size)
{
	struct iova_request req = {
		.size = size, .align = 1, .limit = GRANULES - 1,
	};
	unsigned int id = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
	unsigned long g;

	if (!iova_space_alloc(&space, &req, range))
		return false;
	for (g = range->first; g <= range->last; g++) {
		FAIL_IF(load(translation[g]));
		FAIL_IF(load(iotlb[g]));
		store(translation[g], id);
		/* Whatever can be in the IOTLB is. */
		store(iotlb[g], id);
	}
	return true;
}

static void unmap(const struct iova_range *range)
{
	bool deferred = iommu_dma_flush_enabled(&flush);
	struct iova_range claimed;
	LIST_HEAD(pages);
	struct table *table;
	unsigned long g;

	FAIL_IF(!iova_space_claim(&space, range->first, &claimed));
	FAIL_IF(claimed.last != range->last);
	if (shim_one_in(4)) {
		table = malloc(sizeof(*table));
		table->granule = range->first;
		table->id = load(translation[range->first]);
		list_add(&table->page.lru, &pages);
		__atomic_add_fetch(&pages_live, 1, __ATOMIC_RELAXED);
	}
	for (g = range->first; g <= range->last; g++)
		store(translation[g], 0);
	if (deferred) {
		iommu_dma_flush_retire(&flush, &claimed, &pages);
		FAIL_IF(!list_empty(&pages));
		return;
	}
	for (g = range->first; g <= range->last; g++)
		invalidate(g);
	iommu_put_pages_list(&pages);
	iova_space_release(&space, &claimed);
}

/* Return: whether there was something to do. */
static bool run_timer(void)
{
	if (!xchg(&flush.timer.due, 0))
		return false;
	shim_in_timer = true;
	flush.timer.function(&flush.timer);
	shim_in_timer = false;
	return true;
}

static bool run_work(void)
{
	if (!xchg(&flush.work.due, 0))
		return false;
	flush.work.func(&flush.work);
	return true;
}

static void begin(void)
{
	memset(translation, 0, sizeof(translation));
	memset(iotlb, 0, sizeof(iotlb));
	flushes = 0;
	FAIL_IF(iova_space_init(&space, 1, GRANULES - 1, 12));
	iommu_dma_flush_init(&flush, &space, false);
}

static void end(void)
{
	struct iova_request one = {
		.size = 1, .align = 1, .limit = GRANULES - 1,
	};
	struct iova_range range;
	unsigned long g;

	/* Whatever waits, a timer or work is under way for it. */
	while (run_timer() || run_work())
		;
	FAIL_IF(pages_live);
	for (g = 0; g < GRANULES; g++) {
		FAIL_IF(translation[g]);
		FAIL_IF(iotlb[g]);
	}
	/* None is lost. What came late for its epoch may still wait. */
	flush_now(&flush);
	for (g = 1; g < GRANULES; g++)
		FAIL_IF(!iova_space_alloc(&space, &one, &range));
	run_work();
	iommu_dma_flush_destroy(&flush);
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
}

/* One thread: what waits is not handed out, and then it is. */
static void window_test(void)
{
	static const unsigned int sizes[] = { 300, 40, 6, 1 };
	static struct iova_range ranges[GRANULES];
	unsigned int count = 0, i;
	struct iova_range range;

	begin();
	/* Strict: free at once, and no timer */
	FAIL_IF(flush_now(&flush));
	FAIL_IF(!map(&range, 3));
	unmap(&range);
	FAIL_IF(run_timer() || flushes);

	iommu_dma_flush_enable(&flush, &domain);
	flushes = 0;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		while (map(&ranges[count], sizes[i]))
			count++;
	/* Nothing waits, so there is nothing to invalidate. */
	FAIL_IF(flush_now(&flush) || flushes);
	for (i = 0; i < count; i++)
		unmap(&ranges[i]);
	FAIL_IF(map(&range, 1));
	i = flushes;
	FAIL_IF(!run_timer() || flushes != i + 1);
	/* Work is shared out, so all of it is not free yet. */
	FAIL_IF(!map(&range, 1));
	while (run_work())
		;
	unmap(&range);
	for (i = 0; map(&ranges[i], 1); i++)
		;
	FAIL_IF(i < GRANULES - 2 - IOVA_SMALL_MAX);
	for (count = i, i = 0; i < count; i++)
		unmap(&ranges[i]);
	/* Instead of the timer, when addresses run out */
	FAIL_IF(map(&range, 1));
	i = flushes;
	FAIL_IF(!flush_now(&flush) || flushes != i + 1);
	FAIL_IF(!map(&range, 1));
	unmap(&range);
	end();
	shim_report("flush: a window");
}

/* What is unmapped while a quarantine ends, once */
static struct iova_range *meanwhile_unmapped;

/* It is still as strict as ever, as the timer may be far away. */
static void grace_period(void)
{
	struct iova_range *range = xchg(&meanwhile_unmapped, NULL);

	if (!range)
		return;
	unmap(range);
	FAIL_IF(iotlb[range->first]);
}

/* One thread: each unmap is as strict as ever, but nobody has its addresses soon. */
static void quarantine_test(void)
{
	static struct iova_range ranges[GRANULES];
	struct iova_range range, claimed;
	unsigned int count = 0, i;

	begin();
	iommu_dma_flush_quarantine(&flush, &domain, NSEC_PER_SEC);
	FAIL_IF(!map(&range, 1));
	for (i = 0; i < 100; i++) {
		FAIL_IF(!map(&ranges[i], 3));
		flushes = 0;
		unmap(&ranges[i]);
		FAIL_IF(flushes != 1 || iotlb[ranges[i].first] || pages_live);
	}
	for (i = 0; i < 100; i++)
		FAIL_IF(iova_space_claim(&space, ranges[i].first, &claimed));
	while (map(&ranges[count], 1))
		count++;
	FAIL_IF(count > GRANULES - 1 - 1 - 300);
	FAIL_IF(!flush_now(&flush) || !map(&ranges[count++], 1));

	FAIL_IF(started_for != NSEC_PER_SEC);
	/* Deferred from now on: the timer is started anew, for who is next. */
	meanwhile_unmapped = &ranges[--count];
	iommu_dma_flush_enable(&flush, &domain);
	FAIL_IF(meanwhile_unmapped || started_for != IOMMU_DMA_WINDOW_NS);
	flushes = 0;
	unmap(&range);
	FAIL_IF(flushes || !iotlb[range.first]);
	while (count)
		unmap(&ranges[--count]);
	FAIL_IF(flushes);
	end();
	shim_report("flush: a quarantine");
}

/*
 * One thread: a window ends while the one before is still being recycled. It is
 * invalidated in time, and the timer comes again for its ranges.
 */
static void late_test(void)
{
	static struct iova_range ranges[GRANULES];
	struct iova_range range;
	unsigned int count = 0, i;

	begin();
	iommu_dma_flush_enable(&flush, &domain);
	FAIL_IF(!map(&range, 1));
	while (map(&ranges[count], IOVA_SMALL_MAX + 1))
		count++;
	FAIL_IF(count <= IOMMU_DMA_FLUSH_PORTION);
	for (i = 0; i < count; i++)
		unmap(&ranges[i]);
	FAIL_IF(!run_timer());
	unmap(&range);
	i = flushes;
	FAIL_IF(!run_timer() || flushes != i + 1);
	FAIL_IF(iotlb[range.first]);
	FAIL_IF(!run_work() || !run_timer());
	end();
	shim_report("flush: a window behind the one before");
}

/*
 * One thread: who unmaps has looked at the epoch just before it ended. The range is
 * listed for it when its flush has been, but addresses are needed now: they are had
 * without another. And pages are freed, though nobody else unmaps anything any more.
 */
static void stale_test(void)
{
	static struct iova_range ranges[GRANULES];
	struct iova_range claimed, range;
	struct table *table = malloc(sizeof(*table));
	unsigned int count = 0, epoch, before;

	begin();
	iommu_dma_flush_enable(&flush, &domain);
	while (map(&ranges[count], 1))
		count++;
	FAIL_IF(!iova_space_claim(&space, ranges[--count].first, &claimed));
	store(translation[claimed.first], 0);
	epoch = flush.epoch % IOVA_EPOCHS;
	unmap(&ranges[--count]);
	FAIL_IF(!run_timer() || flush.epoch % IOVA_EPOCHS == epoch);
	while (run_work())
		;
	iova_space_retire(&space, &claimed, epoch);
	while (map(&ranges[count], 1))
		count++;
	before = flushes;
	FAIL_IF(!flush_now(&flush) || flushes != before);
	FAIL_IF(!map(&range, 1));
	unmap(&range);
	while (count)
		unmap(&ranges[--count]);
	*table = (struct table) { .granule = claimed.first, .id = next_id };
	list_add(&table->page.lru,
		 &flush.pages[(flush.epoch + 1) % IOVA_EPOCHS]);
	pages_live++;
	end();
	shim_report("flush: a range behind its epoch");
}

static struct iova_range interrupted;

static void takes_long(void)
{
	shim_clock += 20 * NSEC_PER_MSEC;
}

/* An interrupt, on the CPU that invalidates: its driver is short of addresses. */
static void interrupt(void)
{
	unsigned int before = flushes;

	FAIL_IF(flush.lock.held);
	FAIL_IF(map(&interrupted, 1));
	FAIL_IF(!flush_now(&flush) || flushes > before + 2);
	FAIL_IF(!map(&interrupted, 1));
}

/*
 * One thread: an IOMMU that takes long keeps nobody from anything, and is left to
 * the worker then, for as long as it does.
 */
static void slow_test(void)
{
	static struct iova_range ranges[GRANULES];
	unsigned int count = 0, i;

	begin();
	iommu_dma_flush_enable(&flush, &domain);
	while (map(&ranges[count], 1))
		count++;
	for (i = 0; i < 100; i++)
		unmap(&ranges[--count]);
	meanwhile = interrupt;
	FAIL_IF(!run_timer() || meanwhile);
	while (run_timer() || run_work())
		;
	unmap(&interrupted);

	for (i = 0; i < 3; i++) {
		meanwhile = takes_long;
		unmap(&ranges[--count]);
		flushes = 0;
		FAIL_IF(!run_timer());
		FAIL_IF(flushes != (i ? 0 : 1));
		while (run_timer() || run_work())
			;
		FAIL_IF(meanwhile || flushes != 1);
		FAIL_IF(iotlb[ranges[count].first]);
	}
	unmap(&ranges[--count]);
	FAIL_IF(!run_timer() || flushes != 1 || !run_work() || flushes != 2);
	unmap(&ranges[--count]);
	FAIL_IF(!run_timer() || flushes != 3);

	/* A worker that does not come */
	meanwhile = takes_long;
	unmap(&ranges[--count]);
	FAIL_IF(!run_timer() || flushes != 4);
	for (i = 0; i < IOMMU_DMA_WORKER_WINDOWS; i++) {
		unmap(&ranges[--count]);
		FAIL_IF(!run_timer() || flushes != 4);
	}
	unmap(&ranges[--count]);
	FAIL_IF(!run_timer() || flushes != 5);
	while (count)
		unmap(&ranges[--count]);
	end();
	shim_report("flush: an IOMMU that takes long");
}

/* Who is short of addresses does not wait for what retires meanwhile. */
static void reclaim_test(void)
{
	static struct iova_range ranges[GRANULES];
	struct iommu_dma_reclaim reclaim = {};
	unsigned int count = 0, calls = 0, i;

	begin();
	iommu_dma_flush_enable(&flush, &domain);
	do {
		FAIL_IF(++calls > 100);
		while (map(&ranges[count], IOVA_SMALL_MAX + 1))
			count++;
		for (i = 0; i < 3 * IOMMU_DMA_FLUSH_PORTION; i++)
			unmap(&ranges[--count]);
		while (run_work())
			;
		FAIL_IF(!run_timer());
	} while (iommu_dma_flush_reclaim(&flush, &reclaim));
	while (count)
		unmap(&ranges[--count]);
	end();
	shim_report("flush: %u calls for one request", calls);
}

static struct iommu_dma_reclaim overtaken;
static bool overtaken_waits;

static void ask_again(void)
{
	overtaken_waits = iommu_dma_flush_reclaim(&flush, &overtaken);
}

/* Unmap one that lies in chunk number @chunk. */
static void unmap_of_chunk(struct iova_range *ranges, unsigned int *count,
			   unsigned long chunk)
{
	unsigned int i;

	for (i = 0; ranges[i].first / IOVA_CHUNK_GRANULES != chunk; i++)
		FAIL_IF(i + 1 == *count);
	unmap(&ranges[i]);
	ranges[i] = ranges[--*count];
}

static void map_all(struct iova_range *ranges, unsigned int *count)
{
	while (map(&ranges[*count], 1))
		++*count;
}

/*
 * Who is short of addresses is overtaken by others time and again. What was listed
 * late, while its list was being recycled, waits for the next flush of that list, and
 * is asked for until then.
 */
static void overtaken_test(void)
{
	static struct iova_range ranges[GRANULES];
	unsigned int count = 0, epoch, i, migrate = shim_migrate_one_in;
	struct iova_range late, range;
	unsigned long chunk;

	shim_migrate_one_in = 0;
	begin();
	iommu_dma_flush_enable(&flush, &domain);
	map_all(ranges, &count);
	FAIL_IF(!iova_space_claim(&space, ranges[0].first, &late));
	store(translation[late.first], 0);
	epoch = flush_list(flush.epoch);
	ranges[0] = ranges[--count];
	/* That of its chunk is listed last, and so recycled first. */
	chunk = late.first / IOVA_CHUNK_GRANULES;
	for (i = 0; i < GRANULES / IOVA_CHUNK_GRANULES; i++)
		if (i != chunk)
			unmap_of_chunk(ranges, &count, i);
	unmap_of_chunk(ranges, &count, chunk);
	FAIL_IF(!run_timer());
	map_all(ranges, &count);
	iova_space_retire(&space, &late, epoch);
	flush_arm(&flush);

	overtaken = (struct iommu_dma_reclaim) {};
	FAIL_IF(flush.state != IOMMU_DMA_FLUSH_RECYCLING);
	FAIL_IF(!iommu_dma_flush_reclaim(&flush, &overtaken));
	map_all(ranges, &count);
	for (i = 0; i < 2; i++) {
		run_work();
		map_all(ranges, &count);
		unmap_of_chunk(ranges, &count, 3 + i);
		if (i)
			meanwhile = ask_again;
		FAIL_IF(!run_timer());
	}
	FAIL_IF(meanwhile || !overtaken_waits);
	while (run_work())
		;
	for (i = 0; iommu_dma_flush_reclaim(&flush, &overtaken); i++)
		FAIL_IF(i > 10);
	FAIL_IF(!map(&range, 1));
	unmap(&range);
	while (count)
		unmap(&ranges[--count]);
	end();
	shim_migrate_one_in = migrate;
	shim_report("flush: who is overtaken");
}

/*
 * Threads that map and unmap, one that runs what is due, and a switch from
 * strict to deferred on the way.
 */

#define THREADS		4
#define MINE		64

static unsigned int steps;
static int stop, unmaps;

static void *mapper(void *seed)
{
	struct iova_range mine[MINE];
	unsigned int i, count = 0, k;

	shim_seed = (u64)seed * 0x9e3779b97f4a7c15;
	for (i = 0; i < steps; i++) {
		unsigned long size = 1 + shim_below(shim_one_in(8) ? 300 : 6);

		if (count < MINE && shim_one_in(2)) {
			if (map(&mine[count], size) ||
			    (flush_now(&flush) && map(&mine[count], size)))
				count++;
		} else if (count) {
			k = shim_below(count);
			unmap(&mine[k]);
			mine[k] = mine[--count];
			__atomic_add_fetch(&unmaps, 1, __ATOMIC_RELAXED);
		}
	}
	while (count)
		unmap(&mine[--count]);
	return NULL;
}

static void *timers(void *seed)
{
	shim_seed = (u64)seed * 0x9e3779b97f4a7c15;
	while (!load(stop)) {
		if (shim_one_in(2))
			run_timer();
		else
			run_work();
		sched_yield();
	}
	return NULL;
}

/* Return: flushes. */
static unsigned int run_threads(unsigned int count)
{
	pthread_t threads[THREADS], timer;
	unsigned long i;

	steps = count;
	stop = 0;
	unmaps = 0;
	begin();
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, mapper, (void *)(shim_seed + i));
	pthread_create(&timer, NULL, timers, (void *)(shim_seed + i));
	while (load(unmaps) < (int)count / 10)
		sched_yield();
	iommu_dma_flush_enable(&flush, &domain);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	store(stop, 1);
	pthread_join(timer, NULL);
	end();
	return flushes;
}

static void thread_test(unsigned int count)
{
	unsigned int seen = run_threads(count), i;

	shim_report("flush: %d unmaps by %u threads, %u flushes", unmaps,
		    THREADS, seen);
	/* Often, as it is at the end that a timer may be missing. */
	for (i = 0; i < count / 1000; i++)
		run_threads(20 + shim_below(100));
	shim_report("flush: %u short runs", i);
}

int main(int argc, char **argv)
{
	bool plain = argc > 1 && !strcmp(argv[1], "plain");

	shim_seed *= argc > 2 ? 2 * strtoull(argv[2], NULL, 0) + 1 : 1;
	window_test();
	quarantine_test();
	late_test();
	stale_test();
	slow_test();
	reclaim_test();
	overtaken_test();
	thread_test(plain ? 1000000 : 50000);
	return 0;
}
