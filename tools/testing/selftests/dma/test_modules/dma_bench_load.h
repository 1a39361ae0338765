/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a run of dma_bench consists of. Read by the program and by the module, so
 * that both refuse the same.
 */
#ifndef DMA_BENCH_LOAD_H
#define DMA_BENCH_LOAD_H

enum load_option_number {
	LOAD_THREADS,
	LOAD_SECONDS,
	LOAD_NODE,
	LOAD_BITS,
	LOAD_DIRECTION,
	LOAD_DELAY,
	LOAD_GRANULE,
	LOAD_ENTRIES,
	LOAD_ADJACENT,
	LOAD_CONTIGUOUS,
	LOAD_LIVE,
	LOAD_RANDOM,
	LOAD_OPTIONS
};

/* Pages of one mapping at most: what can be had as one piece of memory */
#define LOAD_PAGES	1024

/**
 * struct load_option - a number that can be set
 * @letter: of the program's option, and in the command
 * @flag: the option has no argument; it stands for 1
 * @name: what it is
 * @least: the smallest value
 * @most: the largest value
 * @usual: what it is unless set
 *
 * Letters, limits and usual values are those of dma_map_benchmark where it has
 * them.
 */
struct load_option {
	char letter;
	int flag;
	const char *name;
	long long least;
	long long most;
	long long usual;
};

static const struct load_option load_options[LOAD_OPTIONS] = {
	[LOAD_THREADS] =    { 't', 0, "threads", 1, 1024, 1 },
	[LOAD_SECONDS] =    { 's', 0, "seconds", 1, 300, 20 },
	[LOAD_NODE] =       { 'n', 0, "NUMA node (-1: any)", -1, 65535, -1 },
	[LOAD_BITS] =       { 'b', 0, "bits of an address", 20, 64, 32 },
	[LOAD_DIRECTION] =  { 'd', 0, "direction (0: both, 1: to device, 2: from it)", 0, 2, 0 },
	[LOAD_DELAY] =      { 'x', 0, "nanoseconds before an unmap", 0, 10000000, 0 },
	[LOAD_GRANULE] =    { 'g', 0, "pages of a mapping, or of an entry", 1, LOAD_PAGES, 1 },
	[LOAD_ENTRIES] =    { 'e', 0, "entries of a list (0: no list)", 0, LOAD_PAGES, 0 },
	[LOAD_ADJACENT] =   { 'a', 1, "entries lie one behind the other in memory", 0, 1, 0 },
	[LOAD_CONTIGUOUS] = { 'c', 1, "a list is to become one segment", 0, 1, 0 },
	[LOAD_LIVE] =       { 'l', 0, "live mappings of each thread", 1, 1000000, 1 },
	[LOAD_RANDOM] =     { 'r', 1, "unmap any, not the oldest", 0, 1, 0 },
};

/* Why options, each good by itself, are not good together; or a null pointer */
static inline const char *load_conflict(const long long *value)
{
	if (value[LOAD_ENTRIES] * value[LOAD_GRANULE] > LOAD_PAGES)
		return "entries (-e) times pages (-g) is more than 1024";
	if (!value[LOAD_ENTRIES] && value[LOAD_ADJACENT])
		return "-a is about the entries of a list (-e)";
	if (!value[LOAD_ENTRIES] && value[LOAD_CONTIGUOUS])
		return "-c is about the entries of a list (-e)";
	if (value[LOAD_LIVE] < 2 && value[LOAD_RANDOM])
		return "-r needs two live mappings (-l) or more to choose from";
	return (void *)0;
}

#endif /* DMA_BENCH_LOAD_H */
