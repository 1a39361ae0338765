// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite of cache maintenance, for devices that do not snoop: emulated machines
 * have no caches, so nothing else would notice if any of it were missing.
 *
 *   map, sync for the device   all bytes are written back, whatever the direction
 *   sync for the CPU, unmap    all that the device may have written is invalidated
 *   attribute or direction     says that there is nothing to do: nothing is done
 *
 * And nothing outside: to invalidate what is not the device's loses others' data. What
 * the layer asks the architecture for is seen by probes of the kernel's, in the thread
 * of the test. Which memory that has to be, the IOMMU's table says, granule by granule:
 * a bounce is maintained in place of what it stands for. What the architecture does with
 * lines that are cut, tools/testing/dma-iommu/cache_test.c looks at.
 */

#include <linux/dma-iommu.h>
#include <linux/kprobes.h>
#include <linux/mm.h>

#include "test_mapping.h"

#if defined(CONFIG_KPROBES) && defined(CONFIG_ARM64)

/* Calls that one operation makes, at most, and granules of what it is about */
#define CALLS		64
#define PIECES		16

enum call_kind { CLEAN, INVALIDATE };

struct call {
	enum call_kind kind;
	phys_addr_t start;
	size_t size;
};

/**
 * struct maintenance - what the layer has asked for
 * @thread: whose calls count; NULL for nobody's
 * @calls: the calls
 * @count: how many there are
 * @pending: some of them have not been waited for
 */
static struct maintenance {
	struct task_struct *thread;
	struct call calls[CALLS];
	unsigned int count;
	bool pending;
} maintenance;

static void called(struct pt_regs *regs, enum call_kind kind)
{
	struct call *call = &maintenance.calls[min(maintenance.count, CALLS - 1)];

	*call = (struct call) {
		.kind = kind,
		.start = regs_get_kernel_argument(regs, 0),
		.size = regs_get_kernel_argument(regs, 1),
	};
	maintenance.count++;
}

static bool ours(void)
{
	return maintenance.thread == current && in_task();
}

/* There may be no memory at 0 here: then the architecture is not to touch any. */
static int passed_by(struct pt_regs *regs)
{
	if (regs_get_kernel_argument(regs, 0) >= PAGE_SIZE || pfn_valid(0))
		return 0;
	instruction_pointer_set(regs, procedure_link_pointer(regs));
	return 1;
}

static int called_for_device(struct kprobe *probe, struct pt_regs *regs)
{
	if (!ours())
		return 0;
	called(regs, CLEAN);
	return passed_by(regs);
}

static int called_for_cpu(struct kprobe *probe, struct pt_regs *regs)
{
	if (!ours())
		return 0;
	/* Of what the device only reads there is nothing to invalidate. */
	if (regs_get_kernel_argument(regs, 2) != DMA_TO_DEVICE)
		called(regs, INVALIDATE);
	return passed_by(regs);
}

static int prepared(struct kprobe *probe, struct pt_regs *regs)
{
	const struct page *page = (void *)regs_get_kernel_argument(regs, 0);

	if (!ours())
		return 0;
	called_for_device(probe, regs);
	maintenance.calls[min(maintenance.count, CALLS) - 1].start =
		page_to_phys(page);
	return 0;
}

static struct kprobe waiting[] = {
	{ .symbol_name = "arch_dma_prep_coherent", .pre_handler = prepared },
	{ .symbol_name = "arch_sync_dma_for_device",
	  .pre_handler = called_for_device },
	{ .symbol_name = "arch_sync_dma_for_cpu",
	  .pre_handler = called_for_cpu },
};

/* The architecture may call those that do not wait to do what those that do are for. */
static bool nested(const struct pt_regs *regs)
{
	unsigned long from = regs->regs[30];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(waiting); i++)
		if (from - (unsigned long)waiting[i].addr < 128)
			return true;
	return false;
}

static int begun_for_device(struct kprobe *probe, struct pt_regs *regs)
{
	if (!ours() || nested(regs))
		return 0;
	maintenance.pending = true;
	return called_for_device(probe, regs);
}

static int begun_for_cpu(struct kprobe *probe, struct pt_regs *regs)
{
	if (!ours() || nested(regs))
		return 0;
	maintenance.pending = true;
	return called_for_cpu(probe, regs);
}

static int waited(struct kprobe *probe, struct pt_regs *regs)
{
	if (ours())
		maintenance.pending = false;
	return 0;
}

static struct kprobe begun[] = {
	{ .symbol_name = "arch_sync_dma_for_device_noflush",
	  .pre_handler = begun_for_device },
	{ .symbol_name = "arch_sync_dma_for_cpu_noflush",
	  .pre_handler = begun_for_cpu },
	{ .symbol_name = "arch_sync_dma_flush", .pre_handler = waited },
};

static struct kprobe *probes[] = {
	&waiting[0], &waiting[1], &waiting[2], &begun[0], &begun[1], &begun[2],
};

static_assert(ARRAY_SIZE(probes) == ARRAY_SIZE(waiting) + ARRAY_SIZE(begun));

static int cache_suite_init(struct kunit_suite *suite)
{
	return register_kprobes(probes, ARRAY_SIZE(probes));
}

static void cache_suite_exit(struct kunit_suite *suite)
{
	unsigned int i;

	unregister_kprobes(probes, ARRAY_SIZE(probes));
	/* As they were, or they could not be set again */
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		probes[i]->addr = NULL;
		probes[i]->flags = 0;
	}
}

static void watch(void)
{
	maintenance = (struct maintenance) { .thread = current };
}

static void watch_end(void)
{
	maintenance.thread = NULL;
}

/*
 * What is to be maintained.
 */

/**
 * struct memory - what a device sees of a mapping, or of a part of it
 * @pieces: each in one granule
 * @count: how many there are
 * @granule: bytes
 */
struct memory {
	struct call pieces[PIECES];
	unsigned int count;
	size_t granule;
};

static void memory_add(struct kunit *test, const struct test_device *td,
		       dma_addr_t addr, size_t size, struct memory *memory)
{
	dma_addr_t end = addr + size, next;
	phys_addr_t phys;
	int prot;

	memory->granule = td->granule;
	for (; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, td->granule));
		KUNIT_ASSERT_LT(test, memory->count, PIECES);
		KUNIT_ASSERT_TRUE(test, mock_iommu_lookup(td->dev, addr, &phys,
							  &prot));
		memory->pieces[memory->count++] = (struct call) {
			.start = phys,
			.size = next - addr,
		};
	}
}

static void memory_of(struct kunit *test, const struct test_mapping *m,
		      struct memory *memory)
{
	struct test_range ranges[TEST_PIECES];
	unsigned int count = test_mapping_ranges(m, ranges), i;

	memory->count = 0;
	for (i = 0; i < count; i++)
		memory_add(test, m->td, ranges[i].addr, ranges[i].size, memory);
}

static bool is_maintained(phys_addr_t byte, enum call_kind kind)
{
	const struct call *call;

	for (call = maintenance.calls;
	     call < maintenance.calls + min(maintenance.count, CALLS); call++)
		if (call->kind == kind && byte >= call->start &&
		    byte - call->start < call->size)
			return true;
	return false;
}

/*
 * Each call for bytes of the memory alone; to clean is harmless, and a bounce is
 * cleaned as a whole, so for that all of the granules will do.
 */
static bool is_within(const struct call *call, const struct memory *memory)
{
	size_t round = call->kind == CLEAN ? memory->granule : 1;
	phys_addr_t byte = call->start, next;
	unsigned int i;

	while (byte < call->start + call->size) {
		next = byte;
		for (i = 0; i < memory->count; i++) {
			const struct call *piece = &memory->pieces[i];
			phys_addr_t start = ALIGN_DOWN(piece->start, round);
			phys_addr_t end = ALIGN(piece->start + piece->size, round);

			if (byte >= start && byte < end)
				next = end;
		}
		if (next == byte)
			return false;
		byte = next;
	}
	return true;
}

/* First and last bytes, and some between them: what is missing is more than one. */
static bool all_maintained(const struct call *piece, enum call_kind kind)
{
	unsigned int i;

	for (i = 0; i <= 8; i++)
		if (!is_maintained(piece->start + (piece->size - 1) * i / 8, kind))
			return false;
	return true;
}

static void expect_maintained(struct kunit *test, const struct memory *memory,
			      enum call_kind kind, const char *when)
{
	unsigned int i;

	watch_end();
	/* Once is enough: the log is not to lose what else there is to say. */
	if (READ_ONCE(test->status) != KUNIT_SUCCESS)
		return;
	KUNIT_EXPECT_FALSE_MSG(test, maintenance.pending, "%s: not waited for", when);
	KUNIT_EXPECT_LE(test, maintenance.count, CALLS);
	for (i = 0; i < memory->count; i++)
		KUNIT_EXPECT_TRUE_MSG(test,
				      all_maintained(&memory->pieces[i], kind),
				      "%s: of %zu bytes at %#llx some are left out",
				      when, memory->pieces[i].size,
				      (u64)memory->pieces[i].start);
	for (i = 0; i < min(maintenance.count, CALLS); i++) {
		KUNIT_EXPECT_EQ_MSG(test, kind, maintenance.calls[i].kind, "%s",
				    when);
		KUNIT_EXPECT_TRUE_MSG(test,
				      is_within(&maintenance.calls[i], memory),
				      "%s: %zu bytes at %#llx are somebody else's",
				      when, maintenance.calls[i].size,
				      (u64)maintenance.calls[i].start);
	}
}

static void expect_nothing(struct kunit *test, const char *when)
{
	watch_end();
	if (READ_ONCE(test->status) == KUNIT_SUCCESS)
		KUNIT_EXPECT_EQ_MSG(test, 0, maintenance.count, "%s", when);
}

static void expect_for_cpu(struct kunit *test, const struct memory *memory,
			   enum dma_data_direction dir, const char *when)
{
	if (dir == DMA_TO_DEVICE)
		expect_nothing(test, when);
	else
		expect_maintained(test, memory, INVALIDATE, when);
}

static void mapping_run(struct kunit *test, struct test_mapping *m,
			enum test_kind kind, enum dma_data_direction dir,
			size_t offset, size_t size)
{
	struct memory memory;

	watch();
	KUNIT_ASSERT_TRUE(test, test_mapping_make(m, kind, dir, offset, size));
	watch_end();
	memory_of(test, m, &memory);
	expect_maintained(test, &memory, CLEAN, "map");
	watch();
	test_mapping_sync_for_cpu(m);
	expect_for_cpu(test, &memory, dir, "sync for the CPU");
	watch();
	test_mapping_sync_for_device(m);
	expect_maintained(test, &memory, CLEAN, "sync for the device");
	watch();
	test_mapping_undo(m);
	expect_for_cpu(test, &memory, dir, "unmap");
}

/* Whole granules, parts, and what is copied as it shares its cache lines */
static void cache_mappings(struct kunit *test)
{
	static const enum test_kind kinds[] = {
		TEST_PAGE, TEST_LIST, TEST_CONTIGUOUS,
	};
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	for (i = 0; i < ARRAY_SIZE(kinds) * TEST_DIRS; i++) {
		enum test_kind kind = kinds[i / TEST_DIRS];
		enum dma_data_direction dir = test_dirs[i % TEST_DIRS];

		mapping_run(test, m, kind, dir, 0, td.granule);
		mapping_run(test, m, kind, dir, 0, 3 * td.granule);
		mapping_run(test, m, kind, dir, 256, 2 * td.granule + 512);
		mapping_run(test, m, kind, dir, 40, 100);
		mapping_run(test, m, kind, dir, 8, 2 * td.granule + 20);
	}
	test_device_settled(test, &td, 0);
}

/* A driver does it by itself, or it is registers. */
static void cache_left_alone(struct kunit *test)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	const unsigned long attrs = DMA_ATTR_SKIP_CPU_SYNC;
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;
	dma_addr_t addr;
	int nents;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	/* Whole granules: what is copied is cleaned in any case. */
	for (i = 0; i < TEST_DIRS; i++) {
		watch();
		addr = ops->map_page(td.dev, virt_to_page(m->memory), 0,
				     2 * td.granule, test_dirs[i], attrs);
		ops->unmap_page(td.dev, addr, 2 * td.granule, test_dirs[i],
				attrs);
		expect_nothing(test, "a page");

		/* So that there is a list */
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_LIST,
							  test_dirs[i], 0,
							  3 * td.granule));
		test_mapping_undo(m);
		watch();
		nents = ops->map_sg(td.dev, m->list.sgl, 3, test_dirs[i], attrs);
		ops->unmap_sg(td.dev, m->list.sgl, 3, test_dirs[i], attrs);
		expect_nothing(test, "a list");
		KUNIT_EXPECT_GE(test, nents, 1);

		watch();
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_RESOURCE,
							  test_dirs[i], 0,
							  2 * td.granule));
		test_mapping_undo(m);
		expect_nothing(test, "registers");
	}
	test_device_settled(test, &td, 0);
}

/* Pieces that are linked: each by itself, and one wait for all of them */
static void cache_linked(struct kunit *test)
{
	struct dma_iova_state state;
	enum dma_data_direction dir;
	struct memory memory;
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;
	size_t g;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	g = td.granule;
	/* Its end as it is, and copied as it shares its cache lines */
	for (i = 0; i < 2 * TEST_DIRS; i++) {
		size_t size = 3 * g + (i & 1 ? 20 : 256);

		dir = test_dirs[i / 2];
		KUNIT_ASSERT_TRUE(test, dma_iova_try_alloc(td.dev, &state, 0, size));
		watch();
		KUNIT_ASSERT_EQ(test, 0, dma_iova_link(td.dev, &state,
						       virt_to_phys(m->memory + 4 * g),
						       0, 2 * g, dir, 0));
		KUNIT_ASSERT_EQ(test, 0, dma_iova_link(td.dev, &state,
						       virt_to_phys(m->memory),
						       2 * g, size - 2 * g, dir, 0));
		KUNIT_ASSERT_EQ(test, 0, dma_iova_sync(td.dev, &state, 0, size));
		memory.count = 0;
		memory_add(test, &td, state.addr, size, &memory);
		expect_maintained(test, &memory, CLEAN, "link");
		watch();
		dma_iova_destroy(td.dev, &state, size, dir, 0);
		expect_for_cpu(test, &memory, dir, "destroy");
	}

	/* Registers, and what a driver does by itself */
	for (i = 0; i < 2; i++) {
		unsigned long attrs = i ? DMA_ATTR_MMIO : DMA_ATTR_SKIP_CPU_SYNC;

		KUNIT_ASSERT_TRUE(test, dma_iova_try_alloc(td.dev, &state, 0, g));
		watch();
		KUNIT_ASSERT_EQ(test, 0, dma_iova_link(td.dev, &state,
						       virt_to_phys(m->memory),
						       0, g, DMA_BIDIRECTIONAL,
						       attrs));
		KUNIT_ASSERT_EQ(test, 0, dma_iova_sync(td.dev, &state, 0, g));
		dma_iova_destroy(td.dev, &state, g, DMA_BIDIRECTIONAL, attrs);
		expect_nothing(test, "told to do nothing");
	}
	test_device_settled(test, &td, 0);
}

/* A part of a mapping, and it alone */
static void cache_parts(struct kunit *test)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	const struct {
		size_t offset, size;
	} *row, rows[] = {
		{ 0, 1 }, { 100, 200 }, { SZ_4K - 30, 60 }, { 700, SZ_4K },
	};
	enum dma_data_direction dir;
	struct memory memory;
	struct test_mapping *m;
	struct test_device td;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	/* As it is, and with bounces at its ends */
	for (i = 0; i < 2 * TEST_DIRS; i++) {
		dir = test_dirs[i / 2];
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, TEST_PAGE, dir,
							  i & 1 ? 8 : 0,
							  2 * td.granule));
		for (row = rows; row < rows + ARRAY_SIZE(rows); row++) {
			memory.count = 0;
			memory_add(test, &td, m->addr + row->offset, row->size,
				   &memory);
			watch();
			ops->sync_single_for_cpu(td.dev, m->addr + row->offset,
						 row->size, dir);
			expect_for_cpu(test, &memory, dir, "a part, for the CPU");
			watch();
			ops->sync_single_for_device(td.dev,
						    m->addr + row->offset,
						    row->size, dir);
			expect_maintained(test, &memory, CLEAN,
					  "a part, for the device");
		}
		test_mapping_undo(m);
	}
	test_device_settled(test, &td, 0);
}

/* Physical address 0 is memory as any other. */
static void cache_page_zero(struct kunit *test)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	struct memory memory = {
		.pieces = {{ .start = 0, .size = 700 }}, .count = 1,
	};
	struct test_device td;
	dma_addr_t addr;

	if (pfn_valid(0))
		kunit_skip(test, "what is at 0 is somebody's");
	test_device_init(test, test_iommu(test, 0), &td);
	memory.granule = td.granule;
	watch();
	addr = ops->map_page(td.dev, pfn_to_page(0), 0, 700, DMA_TO_DEVICE,
			     DMA_ATTR_SKIP_CPU_SYNC);
	KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
	expect_nothing(test, "told to do nothing");
	watch();
	ops->sync_single_for_device(td.dev, addr, 700, DMA_FROM_DEVICE);
	expect_maintained(test, &memory, CLEAN, "at 0, for the device");
	watch();
	ops->sync_single_for_cpu(td.dev, addr, 700, DMA_FROM_DEVICE);
	expect_maintained(test, &memory, INVALIDATE, "at 0, for the CPU");
	ops->unmap_page(td.dev, addr, 700, DMA_TO_DEVICE,
			DMA_ATTR_SKIP_CPU_SYNC);
	test_device_settled(test, &td, 0);
}

/*
 * Mappings whose addresses follow each other, of memory that does not: networks sync
 * what crosses from one to the next (xsk_buff_pool.c).
 */
static void cache_neighbours(struct kunit *test)
{
	const struct dma_map_ops *ops = &iommu_dma_ops;
	dma_addr_t addr, below = 0;
	struct test_mapping *m;
	struct memory memory = {};
	struct test_device td;
	unsigned int i;

	if (test_guard)
		kunit_skip(test, "no address follows another with iommu.dma_guard");
	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	for (i = 0; i < TEST_ROOM; i++) {
		/* Downwards in memory */
		u8 *start = m->memory + (TEST_ROOM - 1 - i) * td.granule;

		addr = ops->map_page(td.dev, virt_to_page(start), 0, td.granule,
				     DMA_FROM_DEVICE, 0);
		KUNIT_ASSERT_NE(test, addr, DMA_MAPPING_ERROR);
		if (i && addr == below + td.granule)
			break;
		below = addr;
	}
	KUNIT_ASSERT_LT(test, i, TEST_ROOM);
	memory_add(test, &td, addr - 300, 800, &memory);
	watch();
	ops->sync_single_for_cpu(td.dev, addr - 300, 800, DMA_FROM_DEVICE);
	expect_maintained(test, &memory, INVALIDATE, "two pages, for the CPU");
	watch();
	ops->sync_single_for_device(td.dev, addr - 300, 800, DMA_FROM_DEVICE);
	expect_maintained(test, &memory, CLEAN, "two pages, for the device");
	/* All goes with the domain. */
}

/* Zeroes, of which the CPU has dirty lines that would come over what is written */
static void cache_memory(struct kunit *test)
{
	static const enum test_kind kinds[] = {
		TEST_COHERENT, TEST_FORCED, TEST_NONCONTIGUOUS,
	};
	struct test_mapping *m;
	struct memory memory;
	struct test_device td;
	unsigned int i;

	test_device_init(test, test_iommu(test, 0), &td);
	m = test_mapping_create(test, &td);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		watch();
		KUNIT_ASSERT_TRUE(test, test_mapping_make(m, kinds[i],
							  DMA_BIDIRECTIONAL, 0,
							  3 * td.granule));
		watch_end();
		memory_of(test, m, &memory);
		/* All of a page is the allocation's. */
		memory.granule = max(td.granule, PAGE_SIZE);
		expect_maintained(test, &memory, CLEAN, test_kinds[kinds[i]]);
		test_mapping_undo(m);
	}
	test_device_settled(test, &td, 0);
}

#else

static int cache_suite_init(struct kunit_suite *suite)
{
	return 0;
}

static void cache_suite_exit(struct kunit_suite *suite)
{
}

static void cache_mappings(struct kunit *test)
{
	kunit_skip(test, "all devices snoop, or the kernel is without CONFIG_KPROBES");
}

#define cache_left_alone	cache_mappings
#define cache_linked		cache_mappings
#define cache_parts		cache_mappings
#define cache_page_zero		cache_mappings
#define cache_neighbours	cache_mappings
#define cache_memory		cache_mappings

#endif

static struct kunit_case cache_cases[] = {
	KUNIT_CASE_PARAM(cache_mappings, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_left_alone, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_linked, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_parts, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_page_zero, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_neighbours, test_noncoherent_gen_params),
	KUNIT_CASE_PARAM(cache_memory, test_noncoherent_gen_params),
	{ }
};

static struct kunit_suite cache_suite = {
	.name = "dma_cache",
	.suite_init = cache_suite_init,
	.suite_exit = cache_suite_exit,
	.test_cases = cache_cases,
};

kunit_test_suite(cache_suite);
