// SPDX-License-Identifier: GPL-2.0
/*
 * What happens beside the calls, while a script lets them run: invalidations of
 * a whole domain and how long unmaps waited for one; how late an interrupt is.
 */
#include <linux/hrtimer.h>
#include <linux/kernel.h>
#include <linux/ptrace.h>
#include <linux/spinlock.h>
#include <asm/irq_regs.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"

/*
 * Invalidations. The domain gets a copy of its operations in which the one that
 * invalidates everything counts itself. Unmaps that returned before it began
 * are protected when it returns; what unmapped meanwhile waits for the next.
 */

/**
 * struct flush_watch - unmaps that wait for an invalidation
 * @lock: protects the rest
 * @domain: what is watched, or NULL
 * @was: its own operations
 * @ops: the copy
 * @count: invalidations of the whole domain so far
 * @waiting: unmaps since the last one began
 * @waiting_sum: sum of the moments at which they returned
 * @oldest: the first of these moments
 * @unmaps: those that were invalidated
 * @window_sum: sum of the time that each of them waited
 * @window_max: the longest
 * @start: when watching began
 */
static struct flush_watch {
	raw_spinlock_t lock;
	struct iommu_domain *domain;
	const struct iommu_domain_ops *was;
	struct iommu_domain_ops ops;
	u64 count;
	u64 waiting;
	u64 waiting_sum;
	u64 oldest;
	u64 unmaps;
	u64 window_sum;
	u64 window_max;
	u64 start;
} flushes = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(flushes.lock),
};

static void counting_flush(struct iommu_domain *domain)
{
	u64 waiting, sum, oldest, now;
	unsigned long flags;

	raw_spin_lock_irqsave(&flushes.lock, flags);
	waiting = flushes.waiting;
	sum = flushes.waiting_sum;
	oldest = flushes.oldest;
	flushes.waiting = 0;
	flushes.waiting_sum = 0;
	raw_spin_unlock_irqrestore(&flushes.lock, flags);

	flushes.was->flush_iotlb_all(domain);

	raw_spin_lock_irqsave(&flushes.lock, flags);
	now = ktime_get_ns() - flushes.start;
	flushes.count++;
	if (waiting) {
		flushes.unmaps += waiting;
		flushes.window_sum += waiting * now - sum;
		flushes.window_max = max(flushes.window_max, now - oldest);
	}
	raw_spin_unlock_irqrestore(&flushes.lock, flags);
}

void bench_note_unmap(struct bench *b)
{
	unsigned long flags;
	u64 now;

	if (!READ_ONCE(flushes.domain))
		return;
	raw_spin_lock_irqsave(&flushes.lock, flags);
	now = ktime_get_ns() - flushes.start;
	if (!flushes.waiting++)
		flushes.oldest = now;
	flushes.waiting_sum += now;
	raw_spin_unlock_irqrestore(&flushes.lock, flags);
}

static int flushes_start(struct bench *b)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(b->dev);

	if (flushes.domain || !domain->ops->flush_iotlb_all)
		return -EINVAL;
	flushes.was = domain->ops;
	flushes.ops = *domain->ops;
	flushes.ops.flush_iotlb_all = counting_flush;
	flushes.count = 0;
	flushes.waiting = 0;
	flushes.waiting_sum = 0;
	flushes.unmaps = 0;
	flushes.window_sum = 0;
	flushes.window_max = 0;
	flushes.start = ktime_get_ns();
	WRITE_ONCE(domain->ops, &flushes.ops);
	WRITE_ONCE(flushes.domain, domain);
	return 0;
}

static void flushes_stop(struct bench *b)
{
	struct iommu_domain *domain = flushes.domain;

	if (!domain)
		return;
	WRITE_ONCE(domain->ops, flushes.was);
	WRITE_ONCE(flushes.domain, NULL);
	bench_say(b, "flushes count=%llu ns=%llu\n", flushes.count,
		  ktime_get_ns() - flushes.start);
	bench_say(b, "window unmaps=%llu waiting=%llu sum=%llu max=%llu\n",
		  flushes.unmaps, flushes.waiting, flushes.window_sum,
		  flushes.window_max);
}

/* flushes on|off: watch, and tell what was seen */
static int bench_flushes(struct bench *b, char **arg)
{
	if (!strcmp(arg[0], "on"))
		return flushes_start(b);
	flushes_stop(b);
	return 0;
}

/*
 * Interrupts. A timer of the hardest kind is due all the time, at irregular
 * distances so that it does not keep step with what it watches. How late it
 * comes is how long interrupts were off, plus what any interrupt costs.
 */

#define LATE_PERIOD_MIN		7000
#define LATE_PERIOD_SPREAD	6000

/* Delays are told apart by who turned interrupts on again, if so many ns. */
#define LATE_WORTH_A_PLACE	3000
#define LATE_PLACES		16

/**
 * struct late_place - who was seen to turn interrupts on again
 * @where: what the timer interrupted
 * @caller: what probably called that: on arm64 the link register, which is
 *	right when @where is the end of a function that calls nothing
 * @n: how often
 * @max: the longest delay
 */
struct late_place {
	unsigned long where;
	unsigned long caller;
	u64 n;
	u64 max;
};

/**
 * struct late_watch - how late a timer comes
 * @timer: it
 * @random: distances
 * @running: @timer is in use
 * @n: how often it came
 * @sum: of all delays, ns
 * @max: the longest delay
 * @place: the places with the longest delays
 */
static struct late_watch {
	struct hrtimer timer;
	struct rnd_state random;
	bool running;
	u64 n;
	u64 sum;
	u64 max;
	struct late_place place[LATE_PLACES];
} late;

/* The shortest of the places makes room for a longer one. */
static void late_note(u64 delay, unsigned long where, unsigned long caller)
{
	struct late_place *p, *shortest = late.place;

	for (p = late.place; p < late.place + LATE_PLACES; p++) {
		if (p->where == where && p->caller == caller)
			break;
		if (p->max < shortest->max)
			shortest = p;
	}
	if (p == late.place + LATE_PLACES) {
		p = shortest;
		if (p->max >= delay)
			return;
		*p = (struct late_place){ .where = where, .caller = caller };
	}
	p->n++;
	p->max = max(p->max, delay);
}

static enum hrtimer_restart late_timer(struct hrtimer *timer)
{
	u64 delay = ktime_to_ns(ktime_sub(ktime_get(),
					  hrtimer_get_expires(timer)));
	struct pt_regs *regs = get_irq_regs();
	unsigned long caller = 0;

	late.n++;
	late.sum += delay;
	late.max = max(late.max, delay);
	if (delay >= LATE_WORTH_A_PLACE && regs) {
#ifdef CONFIG_ARM64
		caller = regs->regs[30];
#endif
		late_note(delay, instruction_pointer(regs), caller);
	}
	hrtimer_set_expires(timer, ktime_add_ns(ktime_get(), LATE_PERIOD_MIN +
			    prandom_u32_state(&late.random) %
			    LATE_PERIOD_SPREAD));
	return HRTIMER_RESTART;
}

bool bench_late_on(void)
{
	return READ_ONCE(late.running);
}

static void late_start(void)
{
	late.n = 0;
	late.sum = 0;
	late.max = 0;
	memset(late.place, 0, sizeof(late.place));
	late.running = true;
	prandom_seed_state(&late.random, 1);
	hrtimer_init(&late.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	late.timer.function = late_timer;
	hrtimer_start(&late.timer, ns_to_ktime(LATE_PERIOD_MIN),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void late_stop(struct bench *b)
{
	struct late_place *p;

	if (!late.running)
		return;
	hrtimer_cancel(&late.timer);
	late.running = false;
	bench_say(b, "late n=%llu sum=%llu max=%llu\n", late.n, late.sum,
		  late.max);
	for (p = late.place; p < late.place + LATE_PLACES; p++)
		if (p->n)
			bench_say(b, "place max=%llu n=%llu where=%ps caller=%ps\n",
				  p->max, p->n, (void *)p->where,
				  (void *)p->caller);
}

/* late on|off: watch, and tell what was seen */
static int bench_late(struct bench *b, char **arg)
{
	bool on = !strcmp(arg[0], "on");

	if (on && late.running)
		return -EBUSY;
	if (on)
		late_start();
	else
		late_stop(b);
	return 0;
}

void bench_watch_stop(struct bench *b)
{
	flushes_stop(b);
	late_stop(b);
}

const struct bench_command bench_watch_commands[] = {
	{ "flushes", 1, bench_flushes },
	{ "late", 1, bench_late },
	{ }
};
