// SPDX-License-Identifier: GPL-2.0
/*
 * Test of arm64's cache maintenance (arch/arm64/mm/dma-mapping.c), on a cache of
 * this file's own, as emulated machines have none. What stands in its assembler
 * lines is what the cache does. Each buffer that begins and ends anywhere in a few
 * lines, with lines of several sizes:
 *
 *   for the device  it reads what the CPU has written
 *   for the CPU     it reads what the device has written, and what it has written
 *                   itself beside the buffer is not lost
 */

#include <linux/dma-iommu.h>

#define LINES		6
#define LARGEST		256	/* bytes of a line */
#define ROOM		(LINES * LARGEST)

struct line {
	bool valid, dirty;
	u8 bytes[LARGEST];
};

static u8 memory[ROOM];
static struct line lines[ROOM / 16];
static unsigned long line_bytes;
static unsigned int operations, barriers, pending;

static struct line *line_at(unsigned long addr)
{
	FAIL_IF(addr % line_bytes || addr >= ROOM);
	return &lines[addr / line_bytes];
}

static void write_back(unsigned long addr)
{
	struct line *line = line_at(addr);

	if (line->valid && line->dirty)
		memcpy(memory + addr, line->bytes, line_bytes);
	line->dirty = false;
}

static void line_operation(unsigned long addr, const char *text)
{
	operations++;
	pending++;
	/* With the workaround for an erratum, more than a clean: also right */
	if (strstr(text, "dc cvac")) {
		write_back(addr);
	} else if (strstr(text, "dc civac")) {
		write_back(addr);
		line_at(addr)->valid = false;
	} else {
		FAIL_IF(!strstr(text, "dc ivac"));
		line_at(addr)->valid = false;
	}
}

/*
 * What the file needs of the kernel.
 */

static struct { u64 sys_val; } arm64_ftr_reg_ctrel0;
static unsigned int warnings;

#define CTR_EL0_DminLine_SHIFT	16
#define TAINT_CPU_OUT_OF_SPEC	0
#define cpuid_feature_extract_unsigned_field(reg, shift) ((reg) >> (shift) & 15)
#define cache_line_size_of_cpu() ((int)line_bytes)
#define WARN_TAINT(cond, taint, ...) (warnings += !!(cond))
#define xen_setup_dma_ops(dev)	((void)(dev))
#define phys_to_virt(phys)	((void *)(phys))
#define dsb(kind)		(barriers++, pending = 0)

phys_addr_t page_to_phys(const struct page *page)
{
	return page->phys;
}

#define asm
#define volatile(...)		line_operation(addr, #__VA_ARGS__)
#include "dma-mapping.c"
#undef volatile
#undef asm

/*
 * The CPU, and the test.
 */

static void cpu_fetch(unsigned long addr)
{
	struct line *line = line_at(addr);

	if (!line->valid)
		memcpy(line->bytes, memory + addr, line_bytes);
	line->valid = true;
}

static u8 cpu_read(unsigned long addr)
{
	cpu_fetch(round_down(addr, line_bytes));
	return line_at(round_down(addr, line_bytes))->bytes[addr % line_bytes];
}

static void cpu_write(unsigned long addr, u8 byte)
{
	struct line *line = line_at(round_down(addr, line_bytes));

	cpu_fetch(round_down(addr, line_bytes));
	line->bytes[addr % line_bytes] = byte;
	line->dirty = true;
}

static void forget(void)
{
	memset(lines, 0, sizeof(lines));
	operations = barriers = pending = 0;
}

static u8 old_byte(unsigned long addr)
{
	return 3 + addr * 7;
}

static u8 new_byte(unsigned long addr)
{
	return 128 ^ old_byte(addr);
}

static void fill(unsigned long start, unsigned long end)
{
	unsigned long addr;

	forget();
	for (addr = 0; addr < ROOM; addr++)
		memory[addr] = addr >= start && addr < end ? 0x55 : old_byte(addr);
}

/* As the direction has it, waiting or not */
static void sync(bool for_cpu, bool wait, unsigned long start,
		 unsigned long size, enum dma_data_direction dir)
{
	if (wait && for_cpu)
		arch_sync_dma_for_cpu(start, size, dir);
	else if (wait)
		arch_sync_dma_for_device(start, size, dir);
	else if (for_cpu)
		arch_sync_dma_for_cpu_noflush(start, size, dir);
	else
		arch_sync_dma_for_device_noflush(start, size, dir);
	FAIL_IF(wait && pending);
	FAIL_IF(!wait && barriers);
}

static void check_device(unsigned long start, unsigned long size, bool wait,
			 enum dma_data_direction dir)
{
	unsigned long addr;

	fill(start, start + size);
	for (addr = 0; addr < ROOM; addr++)
		cpu_write(addr, new_byte(addr));
	sync(false, wait, start, size, dir);
	for (addr = start; addr < start + size; addr++)
		FAIL_IF(memory[addr] != new_byte(addr));
	for (addr = 0; addr < ROOM; addr++)
		FAIL_IF(cpu_read(addr) != new_byte(addr));
	/* No more than has to be: it takes time. */
	FAIL_IF(operations > (start % line_bytes + size + line_bytes - 1) /
			     line_bytes);
}

/* What is beside the buffer has been written by the CPU, or nothing has. */
static void check_cpu(unsigned long start, unsigned long size, bool wait,
		      bool beside, enum dma_data_direction dir)
{
	unsigned long first = round_down(start, line_bytes);
	unsigned long end = round_up(start + size, line_bytes), addr;

	fill(start, start + size);
	for (addr = 0; addr < ROOM; addr++)
		cpu_read(addr);
	for (addr = start; addr < start + size; addr++)
		memory[addr] = new_byte(addr);
	for (addr = 0; beside && addr < ROOM; addr++)
		if (addr < start || addr >= start + size)
			cpu_write(addr, new_byte(addr));
	sync(true, wait, start, size, dir);
	if (dir == DMA_TO_DEVICE) {
		FAIL_IF(operations);
		return;
	}
	FAIL_IF(operations > (end - first) / line_bytes);
	for (addr = 0; addr < ROOM; addr++) {
		bool inside = addr >= start && addr < start + size;
		bool shared = round_down(addr, line_bytes) < start ||
			      round_down(addr, line_bytes) + line_bytes >
			      start + size;

		/* Who shares a line with a device and writes may overwrite it. */
		if (inside && shared && beside)
			continue;
		FAIL_IF(cpu_read(addr) !=
			(inside || beside ? new_byte(addr) : old_byte(addr)));
	}
}

static void check_lines(void)
{
	unsigned long start, size, step = line_bytes / 16;
	unsigned int how;

	/* Bytes 0 and 1 of a line, its last, and some between them */
	for (start = 0; start < 2 * line_bytes; start += 1 + start % 2 * (step - 1))
		for (size = 0; start + size <= 4 * line_bytes;
		     size += 1 + size % 2 * (step - 1))
			for (how = 0; how < 12; how++) {
				enum dma_data_direction dir = how % 3;

				check_device(start, size, how & 1, dir);
				check_cpu(start, size, how & 1, how >= 6, dir);
			}
}

static void check_rest(void)
{
	struct page page = { .phys = line_bytes };
	struct device dev = { .dma_coherent = true };

	fill(0, 0);
	cpu_write(line_bytes, 1);
	cpu_write(3 * line_bytes - 1, 2);
	arch_dma_prep_coherent(&page, 2 * line_bytes);
	FAIL_IF(memory[line_bytes] != 1 || memory[3 * line_bytes - 1] != 2);
	FAIL_IF(pending);

	warnings = 0;
	arch_setup_dma_ops(&dev, false);
	FAIL_IF(dev.dma_coherent);
	FAIL_IF(warnings != (line_bytes > ARCH_DMA_MINALIGN));
	arch_setup_dma_ops(&dev, true);
	FAIL_IF(!dev.dma_coherent);
	FAIL_IF(warnings != (line_bytes > ARCH_DMA_MINALIGN));
}

int main(int argc, char **argv)
{
	unsigned int shift;

	for (shift = 4; 1U << shift <= LARGEST; shift++) {
		line_bytes = 1UL << shift;
		arm64_ftr_reg_ctrel0.sys_val = (u64)(shift - 2)
					       << CTR_EL0_DminLine_SHIFT;
		check_lines();
		check_rest();
		shim_report("caches: lines of %lu bytes", line_bytes);
	}
	return 0;
}
