// SPDX-License-Identifier: GPL-2.0
/*
 * Two operations of iova-space.c at a time, one held up at each of its steps in turn while
 * the other goes on for each number of its own: all ways to interleave them in which
 * either is held up once. A race of a few instructions is met however few they are.
 *
 * A step ends before an access that others could see. CPU 0 is the first's, CPU 1 the
 * second's.
 */

#include "iova-cpu.h"
#include "iova-space.h"

#define CHUNK		IOVA_CHUNK_GRANULES
#define PIECE		128		/* of which four fill a chunk */
#define FIRST		(BIT(20) - 2 * CHUNK)
#define LAST		(BIT(20) - 1)	/* where CPUs own chunks */
#define KEPT		16

static struct iova_space space;
static int epoch;
static struct iova_range kept[KEPT];	/* what was had last under each number */
static bool handed_out[2 * CHUNK], reserved[2 * CHUNK];
static unsigned int won;
static bool got_all, got_some;

static void mark(const struct iova_range *range, bool is)
{
	unsigned long g;

	for (g = range->first; g <= range->last; g++) {
		FAIL_IF(g < FIRST || g > LAST || handed_out[g - FIRST] == is);
		handed_out[g - FIRST] = is;
	}
}

static bool get(unsigned int i, unsigned long size)
{
	struct iova_request req = { .size = size, .align = 1, .limit = LAST };

	if (!iova_space_alloc(&space, &req, &kept[i]))
		return false;
	mark(&kept[i], true);
	return true;
}

static void claim(unsigned int i)
{
	struct iova_range range;

	FAIL_IF(!iova_space_claim(&space, kept[i].first, &range));
	FAIL_IF(range.last != kept[i].last);
	kept[i] = range;
	mark(&range, false);
}

static void release(unsigned int i)
{
	claim(i);
	iova_space_release(&space, &kept[i]);
}

static void retire(unsigned int i)
{
	claim(i);
	iova_space_retire(&space, &kept[i], epoch);
}

static void flush(void)
{
	int old = epoch;

	epoch ^= 1;
	iova_space_recycle_start(&space, old);
	while (iova_space_recycle(&space, 1))
		;
}

/* What cannot be had gives back the empty chunks. */
static void shrink(void)
{
	struct iova_request req = { .size = LAST - FIRST + 1, .align = 1, .limit = LAST };
	struct iova_range range;

	if (iova_space_alloc(&space, &req, &range))
		iova_space_release(&space, &range);
}

/*
 * Two chunks: a partial one, of pieces 0 to 3, and that of piece 4, CPU 0's.
 */
static void two_chunks(void)
{
	unsigned int i;

	for (i = 0; i < 5; i++)
		FAIL_IF(!get(i, PIECE));
}

/* The partial one waits for a flush, and is in use by piece 3 alone. */
static void nearly_empty(void)
{
	two_chunks();
	retire(0);
	release(1);
	release(2);
}

/* The same, and nothing of it is in use. */
static void empty(void)
{
	nearly_empty();
	release(3);
	flush();
	flush();
}

/* In use by pieces 2 and 3 */
static void half_empty(void)
{
	two_chunks();
	release(0);
	release(1);
}

static void retire_third(void)
{
	retire(2);
}

static void retire_last(void)
{
	retire(3);
}

static void release_last(void)
{
	release(3);
}

static void flush_and_shrink(void)
{
	flush();
	shrink();
	shim_rcu_barrier();
	flush();
	shrink();
	shim_rcu_barrier();
}

/* CPU 0 has a CPU chunk that is full. */
static void full(void)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		FAIL_IF(!get(i, PIECE));
}

static void get_piece(void)
{
	get(5, PIECE);
}

static void get_other_piece(void)
{
	get(6, PIECE);
}

static void get_one(void)
{
	get(7, 1);
}

/* All are CPU chunks, and only the first has free granules, of pieces 1 and 2. */
static void low(void)
{
	unsigned int i;

	get(8, PIECE);
	for (i = 0; i < 3; i++)
		get(i, PIECE);
	shim_cpu = 1;
	get(3, PIECE);
	get(4, PIECE);
	get(9, PIECE);
	get(10, PIECE);
	shim_cpu = 0;
	release(1);
	release(2);
}

static void one_of_a_word(void)
{
	get(0, 1);
	get(1, 1);
}

static void release_first(void)
{
	release(0);
}

static void reserve_first(void)
{
	int ret = iova_space_reserve(&space, kept[0].first, kept[0].first);

	FAIL_IF(ret && ret != -EBUSY);
	reserved[kept[0].first - FIRST] = true;
}

static void claim_first(void)
{
	struct iova_range range;

	if (iova_space_claim(&space, kept[0].first, &range)) {
		FAIL_IF(range.last != kept[0].last);
		kept[0] = range;
		__atomic_add_fetch(&won, 1, __ATOMIC_RELAXED);
	}
}

static void one_won(void)
{
	FAIL_IF(won != 1);
	mark(&kept[0], false);
	iova_space_release(&space, &kept[0]);
}

/* Whoever asks for more than there is takes back what all CPUs have. */
static void drain(void)
{
	struct iova_request req = {
		.size = 2 * CHUNK, .align = 1, .limit = LAST,
	};
	struct iova_range range;

	FAIL_IF(iova_space_alloc(&space, &req, &range));
}

/* All but a word is in use, and CPU 1 has that in its cache. */
static void one_word(void)
{
	struct iova_request req = { .size = 64, .align = 64, .limit = LAST };
	struct iova_range range, last = {};

	while (iova_space_alloc(&space, &req, &range)) {
		mark(&range, true);
		last = range;
	}
	mark(&last, false);
	iova_space_release(&space, &last);
	shim_cpu = 1;
	FAIL_IF(!get(6, 1));
	release(6);
	shim_cpu = 0;
}

/* A chunk that the other CPU is about to list is as good as listed. */
static void retire_last_and_ask(void)
{
	int e = epoch;

	retire_last();
	FAIL_IF(!iova_space_has_retired(&space, e));
}

static void must_get_one(void)
{
	FAIL_IF(!get(7, 1));
}

static void get_and_release(void)
{
	if (get(6, 1))
		release(6);
}

static void large(void)
{
	FAIL_IF(!get(0, CHUNK));
}

static void get_large(void)
{
	get(1, CHUNK);
}

/* Free: 48 granules next to each other, most of them at the end of the lower chunk */
static void across_chunks(void)
{
	unsigned long first = LAST + 1 - CHUNK - 40, g;
	struct iova_range range;

	while (get(0, 1))
		;
	for (g = first; g < first + 48; g++) {
		FAIL_IF(!iova_space_claim(&space, g, &range));
		mark(&range, false);
		iova_space_release(&space, &range);
	}
	iova_cpu_drain(&space.pool, per_cpu_ptr(space.cpu, 0));
	got_all = got_some = false;
}

static void get_across(void)
{
	got_all = get(1, 48);
}

/* Once it has one of them, nobody can have them all. */
static void get_one_and_some(void)
{
	got_some = get(2, 1) && get(3, 30);
}

static void some_had(void)
{
	FAIL_IF(!got_all && !got_some);
}

static const struct pair {
	const char *name;
	void (*prepare)(void), (*first)(void), (*second)(void), (*after)(void);
} pairs[] = {
	{ "retiring the last of a chunk, flushing", nearly_empty, retire_last,
	  flush_and_shrink },
	{ "releasing the last of a chunk, flushing", nearly_empty, release_last,
	  flush_and_shrink },
	{ "putting a partial chunk, releasing its last", full, get_piece,
	  release_last },
	{ "putting a partial chunk, retiring its last", full, get_piece, retire_last },
	{ "filling a word, taking from others' CPU chunks", low, get_one,
	  get_other_piece },
	{ "taking from a CPU chunk, likewise from others'", low, get_piece,
	  get_other_piece },
	{ "taking of a chunk, shrinking", nearly_empty, get_piece, shrink },
	{ "getting an empty chunk, shrinking", empty, get_piece, shrink },
	{ "reserving of an empty chunk, shrinking", empty, reserve_first, shrink },
	{ "retiring two at once", half_empty, retire_third, retire_last },
	{ "retiring, asking what waits", half_empty, retire_third,
	  retire_last_and_ask },
	{ "flushing, handing out", nearly_empty, flush, get_piece },
	{ "making two chunks", NULL, get_piece, get_other_piece },
	{ "releasing, reserving", one_of_a_word, release_first, reserve_first },
	{ "handing out, reserving", one_of_a_word, get_one, reserve_first },
	{ "handing out, draining", one_of_a_word, get_one, drain },
	{ "releasing, draining", one_of_a_word, release_first, drain },
	{ "claiming, draining", one_of_a_word, claim_first, drain, one_won },
	{ "getting a chunk, draining", full, get_piece, drain },
	{ "draining twice", half_empty, drain, drain },
	{ "being short, caching again", one_word, must_get_one, get_and_release },
	{ "claiming twice", two_chunks, claim_first, claim_first, one_won },
	{ "claiming a large range twice", large, claim_first, claim_first,
	  one_won },
	{ "releasing a large range, getting one", large, release_first,
	  get_large },
	{ "taking pieces in vain, getting some of them", across_chunks, get_across,
	  get_one_and_some, some_had },
};

/* What is free can be had, all of it and nothing else. */
static void have_all(void)
{
	struct iova_request req = { .size = 1, .align = 1, .limit = LAST };
	unsigned long g, free = 0, got = 0;
	struct iova_range range;

	for (g = 0; g < 2 * CHUNK; g++)
		free += !handed_out[g] && !reserved[g];
	for (shim_cpu = 0; shim_cpu < NR_CPUS; shim_cpu++) {
		while (iova_space_alloc(&space, &req, &range)) {
			FAIL_IF(reserved[range.first - FIRST]);
			mark(&range, true);
			got++;
		}
	}
	shim_cpu = 0;
	FAIL_IF(got != free);
}

struct worker {
	void (*work)(void);
	unsigned int nr;
};

static void *work(void *arg)
{
	const struct worker *w = arg;

	shim_cpu = w->nr;
	shim_turn_begin(w->nr);
	w->work();
	shim_turn_end();
	return NULL;
}

/* Return: whether both came so far that they were held up. */
static bool run(const struct pair *p, unsigned int held_up, unsigned int then)
{
	struct worker workers[] = { { p->first, 0 }, { p->second, 1 } };
	pthread_t threads[2];
	unsigned int i;

	epoch = 0;
	won = 0;
	memset(kept, 0, sizeof(kept));
	memset(handed_out, 0, sizeof(handed_out));
	memset(reserved, 0, sizeof(reserved));
	FAIL_IF(iova_space_init(&space, FIRST, LAST, 12));
	if (p->prepare)
		p->prepare();

	shim_turns_at(held_up, then);
	shim_pause_one_in = 1;
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, work, &workers[i]);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	shim_pause_one_in = 0;

	if (p->after)
		p->after();
	flush();
	flush();
	have_all();
	iova_space_destroy(&space);
	shim_rcu_barrier();
	FAIL_IF(shim_live());
	return !shim_turns_left();
}

int main(int argc, char **argv)
{
	/* All ways are tried once, and every eighth with a sanitizer. */
	bool plain = argc < 2 || !strcmp(argv[1], "plain");
	unsigned int held_up, then, i, stride = plain ? 1 : 8;
	const struct pair *p;
	unsigned long runs;

	shim_migrate_one_in = 0;
	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		p = &pairs[i];
		runs = 0;
		for (held_up = 0; ; held_up++) {
			for (then = 0; run(p, held_up, then); then += stride)
				runs++;
			runs++;
			if (!then)
				break;
		}
		FAIL_IF(!held_up);
		shim_report("pair: %s: %lu ways, %u steps", p->name, runs, held_up);
	}
	return 0;
}
