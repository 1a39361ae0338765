// SPDX-License-Identifier: GPL-2.0
/*
 * The epoch protocol of flush.c, for spin: every interleaving, and every delay of
 * a store that a weakly ordered machine may make.
 *
 * Two CPUs unmap any range that is live, ROUNDS times the one and LESS times the
 * other, and map again what is free; where nothing is, they flush by themselves.
 * The timer runs when it is due, the worker recycles what the timer left over, a
 * range at a time. A second with the bounds below; LESS 2 takes 20 times as long,
 * RANGES 3 hardly more, but then no CPU has to flush by itself.
 *
 * A plain store waits in its CPU's buffer, one place per variable: stores drain
 * at any time and in any order, barriers wait for all of them. Unlocking waits in
 * the buffer, too, behind all others, while its CPU goes on.
 * Loads are in order but where a variant says otherwise.
 *
 * The IOTLB is as bad as it can be: it holds a translation from the moment that
 * it is in memory until an invalidation that finds it gone from memory. All that
 * is asserted is easier to keep if it holds less.
 *
 *   reuse     a range that is handed out is not in the IOTLB
 *   window    when the timer has run, nothing is in the IOTLB that was there for
 *             nothing when it began; and when nothing is under way and no timer
 *             is due, there is no such thing
 *   loss      then no range waits either but those that were late for their
 *             epoch, which its next flush recycles, and none is forgotten
 *
 * Variants, each of which violates one of these:
 *
 *   NO_A NO_B NO_C NO_D   without that barrier
 *   EPOCH_FIRST           the epoch is read before the translation is cleared
 *   RECYCLE_FIRST         ranges are recycled before the invalidation
 *   SWITCH_BUSY           epochs switch while the last one is still recycled, and
 *                         its ranges are forgotten
 *   NO_NUMBER             who has invalidated begins to recycle whatever epoch is
 *                         old by then
 *   DUE_LOST              the worker looks only at what is left to recycle
 *   NO_REARM              no timer after a window that could not switch
 *   SKIP_BUSY             no invalidation in such a window
 *   LATE_CURRENT          what retires into the current epoch passes for late
 */

#ifndef RANGES
#define RANGES		2
#endif
#ifndef ROUNDS
#define ROUNDS		2
#endif
#ifndef LESS
#define LESS		1
#endif

#define UNMAPPERS	2

#define TIMER		UNMAPPERS	/* the timer's CPU */
#define WORKER		(UNMAPPERS + 1)	/* the worker's */
#define CPUS		(UNMAPPERS + 2)
#define NONE		7
#define ALL(bits)	((bits) & ((1 << RANGES) - 1))

/* Memory; a bit per range where it is plural */
byte translated = ALL(255);
byte iotlb = ALL(255);
byte dirty[2];			/* on each epoch's list */
byte late;			/* dirty in an epoch that was over already */
bit epoch;
bit armed;

/* What stores wait, per CPU */
byte clearing[CPUS] = NONE;	/* the range whose translation goes */
bit switching[CPUS];		/* the epoch is to become to[] */
bit to[CPUS];
bit disarming;			/* only the timer's */
bit unlocking[CPUS];

/* Who has which range */
byte live = ALL(255);
byte free;

/* Under the lock */
bit locked;
byte number;			/* of the epoch, the last bits of it */
bit switched;			/* but not yet invalidated */
byte recycling;			/* flushed, to be made free */
bit busy;			/* recycling has not been found empty */

bit timer_due, work_due;
bit due;			/* the worker is to end a window */
byte owed;			/* in the IOTLB for nothing when the timer began */
byte unmapping = UNMAPPERS;

#define stored(cpu) \
	(clearing[cpu] == NONE && !switching[cpu] && \
	 (cpu != TIMER || !disarming))
#define drained(cpu)	(stored(cpu) && !unlocking[cpu])

inline lock() { atomic { !locked -> locked = 1 } }
inline unlock(cpu)
{
	atomic {
		if
		:: stored(cpu) -> locked = 0
		:: else -> unlocking[cpu] = 1
		fi
	}
}

#define DRAIN(c)							\
	:: atomic { unlocking[c] && stored(c) ->			\
		locked = 0; unlocking[c] = 0 }				\
	:: atomic { clearing[c] != NONE ->				\
		translated = translated & ~(1 << clearing[c]);		\
		clearing[c] = NONE }					\
	:: atomic { switching[c] -> epoch = to[c]; switching[c] = 0 }

/* Stores reach memory. */
active proctype memory()
{
end:	do
	DRAIN(0)
	DRAIN(1)
	DRAIN(TIMER)
	DRAIN(WORKER)
	:: atomic { disarming -> armed = 0; disarming = 0 }
	od
}

inline invalidate()
{
	/* What is still translated in memory comes back at once. */
	iotlb = iotlb & translated
}

/* A portion: one range. With the lock held. */
inline recycle()
{
	atomic {
		if
		:: recycling & 1 -> free = free | 1; recycling = recycling & ~1
		:: !(recycling & 1) && recycling & 2 ->
			free = free | 2; recycling = recycling & ~2
		:: !(recycling & 3) && recycling & 4 ->
			free = free | 4; recycling = recycling & ~4
		:: else
		fi;
		late = late & ~free;
		busy = recycling != 0
	}
}

#define old_epoch	(!(number & 1))
#define passed(first)	((number + 5 - first) & 3)

inline begin_recycling()
{
	atomic {
		recycling = dirty[old_epoch]; dirty[old_epoch] = 0;
		busy = 1; switched = 0
	}
}

/* Step 1 of flush.c, with the lock held; @able: whether the epochs could switch */
inline flush_switch(cpu, able)
{
#ifdef SWITCH_BUSY
	able = 1;
#else
	able = !busy && !switched;
#endif
	if
	:: able -> atomic {
			number = (number + 1) & 3; switched = 1;
			switching[cpu] = 1; to[cpu] = number & 1
		}
	:: else
	fi
}

/* Step 2, for the epoch of the number @n, and the beginning of step 3 */
inline flush_invalidate(cpu, n)
{
#ifndef NO_B
	drained(cpu);
#endif
#ifdef RECYCLE_FIRST
	lock();
	if
	:: switched && number == n -> begin_recycling()
	:: else
	fi;
	unlock(cpu);
#endif
	invalidate();
	lock();
	if
#ifdef NO_NUMBER
	:: switched -> begin_recycling()
#else
	:: switched && number == n -> begin_recycling()
#endif
	:: else
	fi;
	unlock(cpu)
}

/* The end of a window */
inline flush_window(cpu, able, n)
{
	lock();
	flush_switch(cpu, able);
	n = number;
	unlock(cpu);
#ifdef SKIP_BUSY
	if
	:: able -> flush_invalidate(cpu, n)
	:: else
	fi
#else
	flush_invalidate(cpu, n)
#endif
}

inline recycle_locked(cpu)
{
	lock();
	recycle();
	more = busy;
	unlock(cpu)
}

/* Late ranges of the other epoch need no flush. */
#ifdef LATE_CURRENT
#define late_epoch	(number & 1)
#else
#define late_epoch	old_epoch
#endif

/*
 * @more: whether anything waits that had retired when the caller began; @able:
 * whether it has to be invalidated; @first: number of the epoch at that time, plus 1
 */
inline flush_waiting(cpu, able, n, first, more)
{
	lock();
	atomic {
		n = number; able = 0; more = 1;
		if
		:: !first -> first = number + 1
		:: else
		fi
	};
	if
	:: passed(first) > 1 -> more = 0
	:: passed(first) <= 1 && switched ->
		atomic {
			able = dirty[old_epoch] ||
			       (!passed(first) && dirty[number & 1]);
			more = able
		}
	:: passed(first) <= 1 && busy && !switched
	:: passed(first) <= 1 && !busy && !switched && dirty[late_epoch] ->
		atomic {
			recycling = dirty[late_epoch]; dirty[late_epoch] = 0;
			busy = 1
		}
	:: passed(first) <= 1 && !busy && !switched && !dirty[late_epoch] ->
		if
		:: !passed(first) && dirty[number & 1] ->
			flush_switch(cpu, able);
			n = number
		:: else -> more = 0
		fi
	fi;
	unlock(cpu);
	if
	:: able -> flush_invalidate(cpu, n)
	:: else
	fi;
	able = 0
}

/* Until there is something to map; a portion at a time */
inline flush_reclaim(cpu)
{
	do
	:: free -> break
	:: else ->
		flush_waiting(cpu, able, n, first, more);
		if
		:: more -> recycle_locked(cpu)
		:: else -> break
		fi
	od
}

inline arm(seen)
{
	if
	:: seen
	:: else ->
		/* An exchange: of two who see 0, one starts the timer. */
		atomic {
			if
			:: armed
			:: else -> armed = 1; timer_due = 1
			fi
		}
	fi
}

inline pick(from, range)
{
	if
	:: from & 1 -> range = 0
	:: from & 2 -> range = 1
	:: from & 4 -> range = 2
	fi
}

inline map(range)
{
	atomic {
		pick(free, range);
		assert(!(iotlb & (1 << range)));
		assert(!(translated & (1 << range)));
		free = free & ~(1 << range);
		live = live | (1 << range);
		owed = owed & ~(1 << range);
		translated = translated | (1 << range);
		iotlb = iotlb | (1 << range);
		range = 0
	}
}

proctype unmapper(byte cpu, todo)
{
	byte range, n, first;
	bit mine, seen, able, more;

	do
	:: atomic {
			todo && live ->
			pick(live, range);
			live = live & ~(1 << range)
		};
#ifdef EPOCH_FIRST
		mine = epoch;
#endif
		clearing[cpu] = range;
#ifndef NO_A
		drained(cpu);
#endif
#ifdef NO_C
		/* A load of armed may be satisfied before that of the epoch. */
		seen = armed;
#endif
#ifndef EPOCH_FIRST
		mine = epoch;
#endif
		/* How late it gets here is up to the interleaving. */
		atomic {
			dirty[mine] = dirty[mine] | (1 << range);
			if
			:: mine != epoch -> late = late | (1 << range)
			:: else
			fi;
			range = 0
		};
#ifndef NO_C
		seen = armed;
#endif
		arm(seen);
		atomic { todo--; mine = 0; seen = 0 }
	:: atomic { free -> map(range) }
	:: todo && !live && !free ->
		flush_reclaim(cpu);
		atomic { able = 0; n = 0; more = 0; first = 0; todo-- }
	:: !todo -> break
	od;
	atomic { drained(cpu) -> unmapping-- }
}

/* One CPU runs the timer: it is not started again while it runs, or it waits. */
active proctype timer()
{
	byte n;
	bit able, more;

end:	do
	:: atomic {
			timer_due ->
			timer_due = 0;
			disarming = 1;
			owed = iotlb & ~translated
		};
#ifndef NO_D
		drained(TIMER);
#endif
		if
		:: flush_window(TIMER, able, n);
			atomic { assert(!(owed & iotlb)); owed = 0 };
#ifndef NO_REARM
			if
			:: able
			:: else -> arm(armed && !disarming)
			fi;
#endif
			recycle_locked(TIMER);
			if
			:: more -> work_due = 1
			:: else
			fi
		/* The IOMMU takes long. */
		:: atomic { due = 1; work_due = 1; owed = 0 }
		fi;
		atomic { able = 0; n = 0; more = 0 }
	od
}

active proctype worker()
{
	byte n;
	bit able, more;

end:	do
	:: atomic { work_due -> work_due = 0; more = 1 };
		do
		:: more ->
			if
#ifndef DUE_LOST
			:: atomic { due -> due = 0 };
				flush_window(WORKER, able, n);
				if
				:: able
				:: else -> arm(armed)
				fi
#endif
			:: else
			fi;
			recycle_locked(WORKER);
			atomic { able = 0; n = 0 }
		:: else -> break
		od
	od
}

/* Nothing is under way and nothing is going to happen. */
#define quiet \
	(!unmapping && !timer_due && !work_due && !locked && \
	 drained(0) && drained(1) && drained(TIMER) && drained(WORKER) && \
	 timer@end && worker@end)

active proctype judge()
{
	byte waiting;

	atomic {
		quiet ->
		assert(!(iotlb & ~translated));
		waiting = dirty[0] | dirty[1] | recycling;
		assert(!(waiting & ~late));
		/* All are somewhere. */
		assert((live | free | waiting) == ALL(255));
		assert(!armed)
	}
}

init { atomic { run unmapper(0, ROUNDS); run unmapper(1, LESS) } }
