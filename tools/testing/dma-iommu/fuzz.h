/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all fuzzers here have: a count of operations, an end after FUZZ_OPS of
 * them if that is in the environment, and a report whenever they end.
 */
#ifndef _FUZZ_H
#define _FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned long long nr_ops, nr_inputs, nr_limit;

/* The fuzzer's own: what has been done so far */
static void fuzz_report(void);

static void fuzz_init(void)
{
	const char *limit = getenv("FUZZ_OPS");

	nr_limit = limit ? strtoull(limit, NULL, 0) : 0;
	atexit(fuzz_report);
}

/* Another input: perhaps there have been enough. */
static void fuzz_input(void)
{
	if (nr_limit && nr_ops >= nr_limit) {
		fuzz_report();
		_exit(0);
	}
	nr_inputs++;
}

#endif /* _FUZZ_H */
