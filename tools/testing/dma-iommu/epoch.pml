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
 * at any time and in any order, barriers and unlocking wait for all of them.
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
#define CPUS		(UNMAPPERS + 1)
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

/* Who has which range */
byte live = ALL(255);
byte free;

/* Under the lock */
bit locked;
byte recycling;			/* flushed, to be made free */
bit busy;			/* recycling has not been found empty */

bit timer_due, work_due;
byte owed;			/* in the IOTLB for nothing when the timer began */
byte unmapping = UNMAPPERS;

#define drained(cpu) \
	(clearing[cpu] == NONE && !switching[cpu] && \
	 (cpu != TIMER || !disarming))

inline lock() { atomic { !locked -> locked = 1 } }
inline unlock(cpu) { atomic { drained(cpu) -> locked = 0 } }

#define DRAIN(c)							\
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

/*
 * Steps 1 and 2 of flush.c; @able: whether the epochs could switch; @window: then
 * it invalidates in any case
 */
inline flush_switch(cpu, able, old, window)
{
	lock();
#ifdef SWITCH_BUSY
	able = 1;
#else
	able = !busy;
#endif
	old = epoch;
	if
	:: able -> atomic { switching[cpu] = 1; to[cpu] = !old }
	:: else
	fi;
#ifndef NO_B
	drained(cpu);
#endif
#ifdef RECYCLE_FIRST
	if
	:: able ->
		atomic {
			free = free | dirty[old]; late = late & ~dirty[old];
			dirty[old] = 0
		}
	:: else
	fi;
#endif
#ifdef SKIP_BUSY
	if
	:: able -> invalidate()
	:: else
	fi;
#else
	if
	:: able || window -> invalidate()
	:: else
	fi;
#endif
	if
	:: able ->
		atomic {
			recycling = dirty[old]; dirty[old] = 0; busy = 1
		}
	:: else
	fi;
	unlock(cpu)
}

inline recycle_locked(cpu)
{
	lock();
	recycle();
	more = busy;
	unlock(cpu)
}

/* Late ranges of the other epoch need no flush; @more: whether there are any */
inline recycle_late(cpu)
{
	lock();
#ifdef LATE_CURRENT
	old = epoch;
#else
	old = !epoch;
#endif
	more = !busy && dirty[old];
	if
	:: more ->
		atomic {
			recycling = dirty[old]; dirty[old] = 0; busy = 1
		}
	:: else
	fi;
	unlock(cpu)
}

/* Until there is something to map; a portion at a time, one invalidation */
inline flush_reclaim(cpu)
{
	do
	:: free -> break
	:: else ->
		if
		:: busy -> more = 1
		:: else -> recycle_late(cpu)
		fi;
		if
		:: more -> recycle_locked(cpu)
		:: else ->
			if
			:: flushes || !dirty[epoch] -> break
			:: else ->
				flush_switch(cpu, able, old, 0);
				flushes = able;
				recycle_locked(cpu)
			fi
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
	byte range;
	bit mine, seen, able, old, more, flushes;

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
		atomic { able = 0; old = 0; more = 0; flushes = 0; todo-- }
	:: !todo -> break
	od;
	atomic { drained(cpu) -> unmapping-- }
}

/* One CPU runs the timer: it is not started again while it runs, or it waits. */
active proctype timer()
{
	bit able, old, more;

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
		flush_switch(TIMER, able, old, 1);
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
		fi;
		atomic { able = 0; old = 0; more = 0 }
	od
}

active proctype worker()
{
	bit more;

end:	do
	:: atomic { work_due -> work_due = 0 };
		/* It has no stores of its own that are waiting. */
		more = 1;
		do
		:: more ->
			lock();
			recycle();
			more = busy;
			locked = 0
		:: else -> break
		od
	od
}

/* Nothing is under way and nothing is going to happen. */
#define quiet \
	(!unmapping && !timer_due && !work_due && !locked && \
	 drained(0) && drained(1) && drained(TIMER) && \
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
