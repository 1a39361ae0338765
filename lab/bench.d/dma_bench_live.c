// SPDX-License-Identifier: GPL-2.0
/*
 * A domain with many mappings, and an old one: mappings are replaced at random
 * until no order of addresses is left. The same seed, so the same sequence, on
 * any kernel.
 */
#include <linux/kernel.h>
#include <linux/sched.h>

#include "dma_bench_commands.h"
#include "dma_bench_watch.h"

#define BENCH_SEED	0x2015

static struct bench_sizes sizes;

static u32 next_size(struct bench *b)
{
	if (sizes.least == sizes.most)
		return sizes.least;
	return sizes.least * (1 + prandom_u32_state(&b->random) %
				  (sizes.most / sizes.least));
}

static bool expired(u64 start, u32 ms)
{
	return ktime_get_ns() - start > (u64)ms * NSEC_PER_MSEC;
}

/*
 * fill TOTAL LEAST MOST MILLISECONDS: more mappings until TOTAL are live, their
 * sizes multiples of LEAST up to MOST, unless it takes longer.
 */
static int bench_fill(struct bench *b, char **arg)
{
	u32 total, least, most, ms;
	u64 start = ktime_get_ns();
	struct bench_slot *slot;
	int ret = 0;

	if (kstrtou32(arg[0], 0, &total) || kstrtou32(arg[1], 0, &least) ||
	    kstrtou32(arg[2], 0, &most) || kstrtou32(arg[3], 0, &ms) ||
	    total > BENCH_SLOTS || !least || least > most ||
	    most > BENCH_BUFFER_SIZE)
		return -EINVAL;
	sizes.least = least;
	sizes.most = most;
	prandom_seed_state(&b->random, BENCH_SEED);
	while (b->live < total && !expired(start, ms)) {
		slot = &b->slots[b->live];
		slot->size = next_size(b);
		slot->addr = bench_map(b, slot->size);
		if (bench_bad(b, slot->addr)) {
			ret = -ENOSPC;
			break;
		}
		b->live++;
		cond_resched();
	}
	bench_say(b, "fill live=%lu ns=%llu\n", b->live,
		  ktime_get_ns() - start);
	return ret;
}

static int replace_once(struct bench *b)
{
	struct bench_slot *slot;
	unsigned long flags;
	bool alone;
	u64 t[4];
	u32 size;

	slot = &b->slots[prandom_u32_state(&b->random) % b->live];
	size = next_size(b);
	alone = bench_alone(&flags);
	t[0] = bench_now();
	dma_unmap_page(b->dev, slot->addr, slot->size, DMA_BIDIRECTIONAL);
	t[1] = bench_now();
	bench_note_unmap(b);
	/* If a timer is due, or a worker woke, this is their chance. */
	bench_alone_end(alone, flags);
	cond_resched();
	bench_stock_up(BENCH_TABLES);
	alone = bench_alone(&flags);
	t[2] = bench_now();
	slot->addr = bench_map(b, size);
	t[3] = bench_now();
	bench_alone_end(alone, flags);
	slot->size = size;
	if (bench_bad(b, slot->addr)) {
		*slot = b->slots[--b->live];
		return -ENOSPC;
	}
	bench_sample(b, 0, t[3] - t[2]);
	bench_sample(b, 1, t[1] - t[0]);
	return 0;
}

/* replace COUNT MILLISECONDS: unmap one at random, map another in its place */
static int bench_replace(struct bench *b, char **arg)
{
	u64 start = ktime_get_ns();
	u32 count, ms, done = 0;
	int ret = 0;

	if (kstrtou32(arg[0], 0, &count) || kstrtou32(arg[1], 0, &ms))
		return -EINVAL;
	while (!ret && b->live && done < count && !expired(start, ms)) {
		ret = replace_once(b);
		done += !ret;
		cond_resched();
	}
	bench_say(b, "replace done=%u of=%u ns=%llu\n", done, count,
		  ktime_get_ns() - start);
	bench_stat_say(b, 0, "map");
	bench_stat_say(b, 1, "unmap");
	return ret;
}

/*
 * exhaust FAILURES SIZE MILLISECONDS: map until it fails so many times, unless
 * that takes longer, then unmap all of it. For a device with a narrow mask.
 */
static int bench_exhaust(struct bench *b, char **arg)
{
	unsigned long before = b->live;
	u64 start = ktime_get_ns();
	u32 failures, size, ms, failed = 0;
	dma_addr_t addr;

	if (kstrtou32(arg[0], 0, &failures) || kstrtou32(arg[1], 0, &size) ||
	    kstrtou32(arg[2], 0, &ms) || !size || size > BENCH_BUFFER_SIZE)
		return -EINVAL;
	while (failed < failures && b->live < BENCH_SLOTS &&
	       !expired(start, ms)) {
		addr = bench_map(b, size);
		if (bench_bad(b, addr))
			failed++;
		else
			b->slots[b->live++] = (struct bench_slot){ addr, size };
		cond_resched();
	}
	bench_say(b, "exhaust mapped=%lu failed=%u ns=%llu\n",
		  b->live - before, failed, ktime_get_ns() - start);
	while (b->live > before) {
		struct bench_slot *slot = &b->slots[--b->live];

		bench_unmap(b, slot->addr, slot->size);
		cond_resched();
	}
	return 0;
}

/* drain REST: unmap, the youngest first, until REST are live */
static int bench_drain(struct bench *b, char **arg)
{
	u64 start = ktime_get_ns();
	u32 rest;

	if (kstrtou32(arg[0], 0, &rest))
		return -EINVAL;
	while (b->live > rest) {
		struct bench_slot *slot = &b->slots[--b->live];

		bench_unmap(b, slot->addr, slot->size);
		cond_resched();
	}
	bench_say(b, "drain live=%lu ns=%llu\n", b->live,
		  ktime_get_ns() - start);
	return 0;
}

/* mask BITS: how wide the device says that its addresses are */
static int bench_mask(struct bench *b, char **arg)
{
	u32 bits;

	if (kstrtou32(arg[0], 0, &bits) || !bits || bits > 64)
		return -EINVAL;
	return dma_set_mask(b->dev, DMA_BIT_MASK(bits));
}

const struct bench_command bench_live_commands[] = {
	{ "fill", 4, bench_fill },
	{ "replace", 2, bench_replace },
	{ "exhaust", 3, bench_exhaust },
	{ "drain", 1, bench_drain },
	{ "mask", 1, bench_mask },
	{ }
};
