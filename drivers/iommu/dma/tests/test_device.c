// SPDX-License-Identifier: GPL-2.0
/*
 * Devices of all kinds for the KUnit suites: on which IOMMU, and with which
 * limits. Each case of a suite runs on each of the environments, most of them
 * with each of the limits.
 */

#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/dma-map-ops.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kmsg_dump.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/moduleparam.h>
#include <linux/ratelimit.h>

#include "test_device.h"

unsigned int test_guard;
module_param_named(guard, test_guard, uint, 0444);
MODULE_PARM_DESC(guard, "what the kernel was started with as iommu.dma_guard");

u32 test_seed = 20151103;
module_param_named(seed, test_seed, uint, 0444);
MODULE_PARM_DESC(seed, "of all that is random; another one tries other things");

bool test_forcedac;
module_param_named(forcedac, test_forcedac, bool, 0444);
MODULE_PARM_DESC(forcedac, "likewise, as iommu.forcedac");

/* A granule above the size of a page is memory that others share, too. */
static const struct test_env envs[] = {
	{ "4 KiB, strict", 12 },
	{ "16 KiB, deferred", 14, .deferred = true },
	{ "64 KiB, strict", 16 },
#ifdef CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE
	{ "4 KiB, deferred, not coherent", 12, .deferred = true,
	  .noncoherent = true },
	{ "16 KiB, strict, not coherent", 14, .noncoherent = true },
#else
	{ "4 KiB, deferred", 12, .deferred = true },
#endif
};

static void describe(const struct test_env *env, char *desc)
{
	strscpy(desc, env->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(env, envs, describe);

/**
 * test_env_gen_params - the environments, one after the other
 * @prev: the one before, or NULL
 * @desc: where to store its name
 *
 * Context: Any.
 * Return: the next, or NULL.
 */
const void *test_env_gen_params(const void *prev, char *desc)
{
	return env_gen_params(prev, desc);
}

/**
 * test_mode_gen_params - an environment in strict mode, and a deferred one
 * @prev: the one before, or NULL
 * @desc: where to store its name
 *
 * Context: Any.
 * Return: the next, or NULL.
 */
const void *test_mode_gen_params(const void *prev, char *desc)
{
	const struct test_env *env = prev;

	do {
		env = env_gen_params(env, desc);
	} while (env && env->granule_shift > 12);
	return env;
}

/**
 * test_noncoherent_gen_params - the environments whose devices do not snoop
 * @prev: the one before, or NULL
 * @desc: where to store its name
 *
 * Context: Any.
 * Return: the next, or NULL; if there are none, one that is not of that kind.
 */
const void *test_noncoherent_gen_params(const void *prev, char *desc)
{
	const struct test_env *env = prev;

	if (!IS_ENABLED(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE))
		return env ? NULL : env_gen_params(env, desc);
	do {
		env = env_gen_params(env, desc);
	} while (env && !env->noncoherent);
	return env;
}

/**
 * test_env_turn - whether it is an environment's turn
 * @test: the test, with a parameter of test_env_gen_params()
 * @n: number of what is to be done
 * @of: how many environments there are for each to have one
 *
 * What takes long does not have to be done in every environment, if all of it is
 * done in one and each environment gets some of all.
 *
 * Context: Any.
 * Return: whether this one is to do it.
 */
bool test_env_turn(const struct kunit *test, unsigned int n, unsigned int of)
{
	const struct test_env *env = test->param_value;

	return !((n + (env - envs)) % of);
}

const enum dma_data_direction test_dirs[TEST_DIRS] = {
	DMA_BIDIRECTIONAL, DMA_TO_DEVICE, DMA_FROM_DEVICE,
};

const struct test_limits test_limits[] = {
	{ "no limit" },
	{ "segments of 2 granules", .max_segment = 2 },
	{ "segments of 5 granules", .max_segment = 5 },
	{ "segments of 64 granules", .max_segment = 64 },
	{ "boundary of 1 granule", .boundary = 1 },
	{ "boundary of 2 granules", .boundary = 2 },
	{ "boundary of 4 granules", .boundary = 4 },
	{ "boundary of 16 granules", .boundary = 16 },
	{ "alignment below the granule", .min_align_mask = 0x1ff },
	{ "alignment of 2 granules", .min_align = 2 },
	{ "alignment of 16 granules", .min_align = 16 },
	{ "mask of 10 bits of granules", .mask = 10 },
	{ "mask of 20 bits of granules", .mask = 20 },
	{ "bus of 10 bits of granules", .bus = 10 },
	{ "bus below mask", .bus = 10, .mask = 20 },
	{ "boundary below alignment", .boundary = 4, .min_align = 16 },
	{ "alignment below boundary", .boundary = 8, .min_align = 2 },
	{ "segments below boundary", .max_segment = 3, .boundary = 4 },
	{ "all of them", .max_segment = 6, .boundary = 8, .min_align = 4,
	  .mask = 20, .bus = 12 },
};

const unsigned int test_limits_count = ARRAY_SIZE(test_limits);

static struct mock_iommu_options env_options(const struct test_env *env)
{
	return (struct mock_iommu_options) {
		/* Pages, and what a table and a table of tables map as one */
		.pgsizes = BIT(env->granule_shift) |
			   BIT(2 * env->granule_shift - 3),
		.deferred = env->deferred,
	};
}

/**
 * test_iommu - make an IOMMU as the test's &struct test_env says
 * @test: test case
 * @aperture_last: highest address that it translates; 0 for all
 *
 * Context: Process; may sleep.
 * Return: the IOMMU.
 */
struct mock_iommu *test_iommu(struct kunit *test, dma_addr_t aperture_last)
{
	struct mock_iommu_options options = env_options(test->param_value);

	options.aperture_last = aperture_last;
	return mock_iommu_create(test, &options);
}

/**
 * test_iommu_shared - test_iommu() whose devices share one domain
 * @test: test case
 *
 * Context: Process; may sleep.
 * Return: the IOMMU.
 */
struct mock_iommu *test_iommu_shared(struct kunit *test)
{
	struct mock_iommu_options options = env_options(test->param_value);

	options.shared = true;
	return mock_iommu_create(test, &options);
}

/**
 * test_device_init - make a device without limits
 * @test: the test, with a parameter of test_env_gen_params()
 * @mock: the IOMMU
 * @td: to be filled in
 *
 * Context: Process; may sleep.
 */
void test_device_init(struct kunit *test, struct mock_iommu *mock,
		      struct test_device *td)
{
	const struct test_env *env = test->param_value;
	struct kmsg_dump_iter iter = {};

	kmsg_dump_rewind(&iter);
	td->log = iter.next_seq;
	td->dev = mock_iommu_device(test, mock, !env->noncoherent);
	td->granule = BIT(env->granule_shift);
	td->noncoherent = env->noncoherent;
	test_device_limit(td, &test_limits[0]);
}

static u64 reach(const struct test_device *td, unsigned int granules_shift)
{
	return granules_shift ? ((u64)td->granule << granules_shift) - 1 :
				U64_MAX;
}

/**
 * test_device_limit - set the limits of a device
 * @td: the device
 * @limits: the limits
 *
 * Context: Any.
 */
void test_device_limit(struct test_device *td, const struct test_limits *limits)
{
	u64 align = (u64)td->granule * limits->min_align ?:
		    limits->min_align_mask + 1;

	td->max_segment = (u64)td->granule * limits->max_segment ?: U32_MAX;
	td->boundary = (u64)td->granule * limits->boundary;
	td->min_align = max_t(u64, align, td->granule);
	td->last = reach(td, limits->mask);
	td->dev->bus_dma_limit = limits->bus ? reach(td, limits->bus) : 0;
	test_device_set(td);
	dma_set_min_align_mask(td->dev, align - 1);
	td->last = min_not_zero(td->last, td->dev->bus_dma_limit);
}

/**
 * test_device_set - tell the DMA API what a device can do
 * @td: the device; its bus keeps its limit
 *
 * Context: Any.
 */
void test_device_set(struct test_device *td)
{
	WARN_ON(dma_set_mask_and_coherent(td->dev, td->last));
	dma_set_max_seg_size(td->dev, td->max_segment);
	/* 0 - 1 is all ones: none */
	dma_set_seg_boundary(td->dev, td->boundary - 1);
	dma_set_min_align_mask(td->dev, td->min_align - 1);
}

/**
 * test_device_reaches - whether a device can address a range
 * @td: the device
 * @addr: first byte
 * @size: bytes
 *
 * Context: Any.
 * Return: whether it can.
 */
bool test_device_reaches(const struct test_device *td, dma_addr_t addr,
			 u64 size)
{
	return addr + size - 1 >= addr && addr + size - 1 <= td->last;
}

/**
 * test_device_place - which memory's offset a mapping has for the device
 * @td: the device
 * @phys: first byte of the memory
 * @len: bytes
 * @dir: direction of the transfer
 *
 * Context: Any.
 * Return: @phys; or what the device asks for of it, if it is copied to where there
 * is room for that.
 */
u64 test_device_place(const struct test_device *td, u64 phys, size_t len,
		      enum dma_data_direction dir)
{
	u64 least = phys & dma_get_min_align_mask(td->dev);

	if (dma_kmalloc_needs_bounce(td->dev, len, dir) &&
	    least % td->granule + len <= td->granule)
		return least;
	return phys;
}

/**
 * test_device_crosses - whether a range crosses what a segment must not
 * @td: the device
 * @addr: first byte
 * @size: bytes
 *
 * Context: Any.
 * Return: whether it does.
 */
bool test_device_crosses(const struct test_device *td, dma_addr_t addr,
			 u64 size)
{
	return td->boundary && size &&
	       addr / td->boundary != (addr + size - 1) / td->boundary;
}

/**
 * test_device_settled - expect that nothing is left but what is known
 * @test: the test
 * @td: a device
 * @mapped: granules that are to be mapped in its domain
 *
 * Strict: no IOTLB knows more than the table. Deferred: soon.
 *
 * Context: Process; may sleep.
 */
void test_device_settled(struct kunit *test, const struct test_device *td,
			 unsigned long mapped)
{
	const struct iommu_domain *domain = iommu_get_domain_for_dev(td->dev);
	struct mock_iommu_counts counts = mock_iommu_counts(td->dev);
	unsigned int tries = domain->type == IOMMU_DOMAIN_DMA_FQ ? 200 : 0;

	for (; tries && (counts.stale || counts.limbo); tries--) {
		usleep_range(5000, 6000);
		counts = mock_iommu_counts(td->dev);
	}
	KUNIT_EXPECT_EQ(test, mapped, counts.mapped);
	KUNIT_EXPECT_EQ(test, 0, counts.stale);
	KUNIT_EXPECT_EQ(test, 0, counts.limbo);
	KUNIT_EXPECT_EQ(test, 0, counts.wrong);
}

/**
 * test_device_all_free - expect that no address has been lost
 * @test: the test
 * @td: a device in whose domain nothing is mapped
 * @granules: of the address space, from address 0 on; the lowest is never used
 *
 * Registers are mapped, as many as fit, for it takes no memory to make them up.
 *
 * Context: Process; may sleep.
 */
void test_device_all_free(struct kunit *test, const struct test_device *td,
			  unsigned int granules)
{
	size_t size = (granules - 1 - test_guard) * td->granule;
	dma_addr_t addr = dma_map_resource(td->dev, BIT_ULL(43), size,
					   DMA_TO_DEVICE, 0);

	KUNIT_EXPECT_FALSE_MSG(test, dma_mapping_error(td->dev, addr),
			       "%zu bytes are not free any more", size);
	if (!dma_mapping_error(td->dev, addr))
		dma_unmap_resource(td->dev, addr, size, DMA_TO_DEVICE, 0);
}

/**
 * test_log_wait - wait until the log takes lines of any sort again
 * @test: the test; nothing is done if its environment is not the first
 *
 * The log takes ten of a sort in five seconds, and a test before may have had
 * them. All environments together must keep within what it takes.
 *
 * Context: Process; sleeps for five seconds.
 */
void test_log_wait(const struct kunit *test)
{
	if (test->param_value == &envs[0])
		msleep(jiffies_to_msecs(DEFAULT_RATELIMIT_INTERVAL + 1));
}

/**
 * test_said - lines in the log about a device
 * @td: the device
 * @what: how they begin, after its name
 *
 * That is since it was made. The log takes ten of a sort in five seconds:
 * test_log_wait().
 *
 * Context: Process; the caller serialises.
 * Return: how many there are so far.
 */
unsigned int test_said(const struct test_device *td, const char *what)
{
	struct kmsg_dump_iter iter = {};
	static char line[512];
	unsigned int count = 0;
	char want[96];
	size_t len;

	snprintf(want, sizeof(want), "%s: %s", dev_name(td->dev), what);
	kmsg_dump_rewind(&iter);
	/* Another device may have had its name. */
	iter.cur_seq = max(iter.cur_seq, td->log);
	while (kmsg_dump_get_line(&iter, false, line, sizeof(line) - 1, &len)) {
		line[len] = '\0';
		count += !!strstr(line, want);
	}
	return count;
}

/**
 * test_fill - fill memory with what looks like noise
 * @buf: memory
 * @len: bytes
 * @seed: the same makes the same noise; is advanced
 *
 * Context: Any.
 */
void test_fill(void *buf, size_t len, u64 *seed)
{
	u64 state = *seed, word;
	size_t part;

	for (; len; buf += part, len -= part) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		word = state ^ state >> 29;
		part = min(len, sizeof(word));
		memcpy(buf, &word, part);
	}
	*seed = state;
}

struct test_thread {
	void (*work)(void *data, unsigned int i);
	void *data;
	unsigned int i;
	struct completion done;
};

static int thread_run(void *data)
{
	struct test_thread *thread = data;

	thread->work(thread->data, thread->i);
	kthread_complete_and_exit(&thread->done, 0);
}

/**
 * test_on_cpus - do something on several processors at once
 * @test: the test; fails and ends if it cannot be
 * @work: what to do; it is told which thread it is
 * @data: for @work
 *
 * Context: Process; may sleep. @work may use expectations, but not assertions.
 */
void test_on_cpus(struct kunit *test, void (*work)(void *data, unsigned int i),
		  void *data)
{
	struct test_thread *threads = kunit_kcalloc(test, TEST_CPUS,
						    sizeof(*threads),
						    GFP_KERNEL);
	struct task_struct *tasks[TEST_CPUS];
	unsigned int i;
	int cpu = -1;

	KUNIT_ASSERT_NOT_NULL(test, threads);
	for (i = 0; i < TEST_CPUS; i++) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		threads[i] = (struct test_thread) { work, data, i };
		init_completion(&threads[i].done);
		tasks[i] = kthread_run_on_cpu(thread_run, &threads[i], cpu,
					      "dma_test/%u");
		KUNIT_EXPECT_FALSE(test, IS_ERR(tasks[i]));
	}
	for (i = 0; i < TEST_CPUS; i++)
		if (!IS_ERR(tasks[i]))
			wait_for_completion(&threads[i].done);
}

/**
 * test_fail_next - let a memory allocation of this thread fail
 * @nth: which one of those that cannot wait, from 1 on; 0 for none any more
 *
 * Does nothing in a kernel without fault injection.
 *
 * Context: Process.
 */
void test_fail_next(unsigned int nth)
{
#ifdef CONFIG_FAULT_INJECTION
	current->fail_nth = nth;
#endif
}

/**
 * test_fail_left - what is left of the count of test_fail_next()
 *
 * Context: Process.
 * Return: 0 if an allocation has failed, or if there is no fault injection.
 */
unsigned int test_fail_left(void)
{
#ifdef CONFIG_FAULT_INJECTION
	return current->fail_nth;
#else
	return 0;
#endif
}

/**
 * test_fail_works - whether all memory can be made to fail
 *
 * By default a kernel with fault injection spares single pages, and all that may
 * sleep; the selftest that loads this module changes that (kunit.sh).
 *
 * Context: Process; may sleep.
 * Return: whether it can.
 */
bool test_fail_works(void)
{
	struct page *page;

	test_fail_next(1);
	page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
	test_fail_next(0);
	if (page)
		__free_page(page);
	return !page;
}
