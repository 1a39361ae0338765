// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a chunk in iova-space.c, for spin: who puts it on which list, and when it
 * may go.
 *
 * Three granules are taken, each in a word of its own. Two are retired, the third
 * is released at once, the recycler takes what waits, the CPU puts its chunk on a
 * partial list, somebody shrinks the pool. There are empty chunks enough, so this one
 * is to go when it is empty, if it can.
 *
 *   dirty     nothing dirty is left behind that no list leads to
 *   dead      a chunk that goes is on no list and gets on none
 *   memory    nobody looks at it when it has been freed
 *   lost      in the end it has gone, or is on the list of empty chunks
 *
 * Variants, each of which violates one of these:
 *
 *   QUEUED_FIRST   retiring looks at the queued bit, then sets the dirty one
 *   TAKE_FIRST     recycling takes the dirty bits, then clears the queued one
 *   KILL_BLIND     destroying does not look at the queued bits
 *   KILL_RACE      ... or looks, and then marks the chunk dead
 *   NO_DEAD        retiring does not look whether the chunk is dead
 *   NO_RCU         retiring is no reader of RCU
 *   NO_E           freeing reads the class before the bits are clear
 *   NO_F           putting it reads the bits before the class is seen
 */

#define CPU	0
#define FULL	1
#define SOME	2
#define EMPTY	3
#define GONE	4

#define QUEUED	1
#define DEAD	2

byte used = 7, dirty, queued;
byte class = CPU;
bit putting;		/* the class is FULL, but nobody sees it yet */
bit listed;		/* on the epoch's list */
bit recycling;		/* popped, and not done with */
bit freed;
byte readers;		/* of RCU, that began while the chunk was there */
bit locked;
byte running = 3;	/* two who retire, one who releases */
bit has_put;

inline lock() { atomic { !locked -> locked = 1 } }
inline unlock() { atomic { !putting -> locked = 0 } }

/* What list it belongs on; words are read one after the other. */
inline classify(is)
{
	byte seen = 0;

	seen = used & 1;
	seen = seen | (used & 2);
	seen = seen | (used & 4);
	atomic {
		if
		:: seen == 0 -> is = EMPTY
		:: seen == 7 -> is = FULL
		:: else -> is = SOME
		fi;
		seen = 0
	}
}

/* Nothing is used: @is becomes GONE if it can go. */
inline kill(is)
{
#ifdef KILL_BLIND
	atomic { queued = queued | DEAD; is = GONE }
#else
#ifdef KILL_RACE
	if
	:: queued == 0 -> queued = queued | DEAD; is = GONE
	:: else
	fi
#else
	atomic {
		if
		:: queued == 0 -> queued = DEAD; is = GONE
		:: else
		fi
	}
#endif
#endif
}

inline gone(is)
{
	if
	:: is == GONE -> assert(!listed); assert(!(dirty | used))
	:: else
	fi
}

/* With the lock held, on no list */
inline put_partial(is)
{
	putting = 1;
#ifndef NO_F
	!putting;
#endif
	classify(is);
	if
	:: is == EMPTY -> kill(is)
	:: else
	fi;
	atomic { !putting -> class = is };
	gone(is)
}

inline sort(is)
{
	lock();
	if
	:: class != CPU && class != GONE -> put_partial(is)
	:: else
	fi;
	unlock()
}

/* iova_chunk_clear_bits() of @bits, iova_chunk_outgrew(), iova_pool_sort() */
inline free_bits(bits, was, is)
{
	assert(!freed);
#ifdef NO_E
	was = class;
	used = used & ~bits;
#else
	used = used & ~bits;
	was = class;
#endif
	if
	:: was == CPU || was == EMPTY || was == GONE
	:: was == FULL -> sort(is)
	:: was == SOME ->
		classify(is);
		if
		:: is != SOME -> sort(is)
		:: else
		fi
	fi;
	assert(!freed)
}

proctype retirer(byte bits)
{
	byte was;

#ifndef NO_RCU
	readers++;
#endif
#ifdef QUEUED_FIRST
	was = queued & QUEUED;
	dirty = dirty | bits;
#else
	dirty = dirty | bits;
	was = queued & QUEUED;
#endif
	assert(!freed);
	if
	:: was
	:: else ->
		atomic { was = queued; queued = queued | QUEUED };
		assert(!freed);
#ifdef NO_DEAD
		was = was & QUEUED;
#endif
		if
		:: was
		:: else ->
			atomic {
				assert(class != GONE);
				assert(!listed);
				listed = 1
			}
		fi
	fi;
	atomic {
#ifndef NO_RCU
		readers--;
#endif
		running--
	}
}

active proctype releaser()
{
	byte was, is;

	readers++;
	free_bits(4, was, is);
	atomic { readers--; running-- }
}

active proctype cpu()
{
	byte is;

	lock();
	put_partial(is);
	has_put = 1;
	unlock()
}

active proctype shrinker()
{
	byte is;

	lock();
	if
	:: class == EMPTY ->
		is = EMPTY;
		kill(is);
		class = is;
		gone(is)
	:: else
	fi;
	unlock()
}

active proctype recycler()
{
	byte bits, was, is;

end:	do
	:: atomic { listed -> listed = 0; recycling = 1 };
		readers++;
#ifdef TAKE_FIRST
		atomic { bits = dirty; dirty = 0 };
		queued = queued & ~QUEUED;
#else
		queued = queued & ~QUEUED;
		atomic { bits = dirty; dirty = 0 };
#endif
		if
		:: bits -> free_bits(bits, was, is)
		:: else
		fi;
		atomic {
			readers--; recycling = 0;
			bits = 0; was = 0; is = 0
		}
	od
}

/* The store of the class gets seen. */
active proctype memory()
{
end:	do
	:: atomic { putting -> class = FULL; putting = 0 }
	od
}

active proctype rcu()
{
end:	do
	:: atomic { class == GONE && !readers && !freed -> freed = 1 }
	od
}

active proctype judge()
{
	atomic {
		!running && has_put && !listed && !recycling && !locked ->
		assert(!dirty);
		assert(!used);
		assert(class == EMPTY || class == GONE)
	}
}

init { atomic { run retirer(1); run retirer(2) } }
