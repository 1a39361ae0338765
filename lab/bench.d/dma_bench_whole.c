// SPDX-License-Identifier: GPL-2.0
/*
 * What many pairs of calls cost with all that they cause: the whole time of many,
 * divided by their number. Interrupts are on, so timers, softirqs and workers take
 * their share while the calls are made; then the CPU is kept busy with nothing for
 * longer than deferred mode puts anything off, so what comes later is counted, too.
 *
 * The same is done once more without the calls, and subtracted. That is what the
 * loop, the choice of the next mapping, the wait and the kernel's own ticks cost.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "dma_bench_whole.h"

/* Milliseconds, if a nanosecond is an instruction; both layers wait 10 at most. */
#define WHOLE_SETTLE	30

/* Long enough for whatever the last command left to be done */
#define WHOLE_REST	60

static int run_steps(struct bench *b, const struct bench_whole *whole,
		     void *data, u32 count, u32 *done)
{
	u64 start = ktime_get_ns();
	int ret = 0;

	for (*done = 0; !ret && *done < count; (*done)++) {
		if (ktime_get_ns() - start > (u64)whole->ms * NSEC_PER_MSEC)
			break;
		ret = whole->step(b, data);
		cond_resched();
	}
	return ret;
}

/* An idle CPU would skip the time, and nobody knows what it skipped. */
static void settle(void)
{
	unsigned int i;

	for (i = 0; i < WHOLE_SETTLE * 1000; i++) {
		bench_spend_thousand();
		cond_resched();
	}
}

/*
 * Both runs begin at the same distance from a tick, since the rest ends at one, and
 * with nothing put off by vunmap(), which coherent memory needs: what it puts off
 * is done in one go after some hundred calls, and belongs to all of them.
 */
static int measure(struct bench *b, const struct bench_whole *whole, void *data,
		   u32 *done, u64 *ticks)
{
	u32 count = *done;
	u64 start;
	int ret;

	vm_unmap_aliases();
	msleep(WHOLE_REST);
	start = bench_now();
	ret = run_steps(b, whole, data, count, done);
	vm_unmap_aliases();
	settle();
	*ticks = bench_now() - start;
	return ret;
}

/**
 * bench_whole() - measure, and say what came out
 * @b: the benchmark
 * @whole: what to measure
 *
 * Says "whole n=PAIRS sum=TICKS of=PAIRS", the last being how many were wanted.
 *
 * Return: 0, or the error of a step.
 */
int bench_whole(struct bench *b, const struct bench_whole *whole)
{
	u64 real, empty;
	u32 done;
	int ret;

	ret = run_steps(b, whole, whole->real, whole->warm, &done);
	if (ret)
		return ret;
	done = whole->count;
	ret = measure(b, whole, whole->real, &done, &real);
	if (ret)
		return ret;
	ret = measure(b, whole, whole->empty, &done, &empty);
	if (ret)
		return ret;
	bench_say(b, "whole n=%llu sum=%llu of=%llu\n",
		  (u64)done * whole->pairs, real - empty,
		  (u64)whole->count * whole->pairs);
	return 0;
}
