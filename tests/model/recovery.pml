/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of recovery: hosts with their sessions and lanes, servers that share
 * storage, connections that delay and lose, and one block of one vdisk, for
 * the model checker spin.  tests/model/check.sh says which configurations are
 * checked, Documentation/recovery.rst what is modelled and what is not.
 *
 * (5.1), (3) ... are sections of Documentation/protocol.rst, (arch) is what
 * Documentation/recovery.rst demands of the driver.  Each BUG_... takes one
 * step of the protocol away; spin must then find what that step is for.
 *
 * Every step is one transition.  Whatever may take time lies between two of
 * them: a frame that is not read yet is one that the network delays.
 */

/* ---- bounds ---- */
#ifndef HOSTS
#define HOSTS	1	/* host 0 has request slots 0 and 1, host 1 slot 2 */
#endif
#ifndef SERVERS
#define SERVERS	2
#endif
#ifndef LANES
#define LANES	1	/* of host 0; host 1 has one */
#endif
#ifndef SLOTS
#define SLOTS	1	/* of host 0 */
#endif
#ifndef WRITES
#define WRITES	2	/* of host 0; host 1 writes once */
#endif
#ifndef FLUSHES
#define FLUSHES	0	/* by slot 1, which then does not write */
#endif
#ifndef CONNS
#define CONNS	3	/* connections that exist at a time */
#endif
#ifndef FAULTS
#define FAULTS	2
#endif
#ifndef EPOCHS
#define EPOCHS	12	/* no run may need more */
#endif

#define NREQ	3
#define NWRITES	(WRITES + HOSTS - 1)
#define FLUSHED	15	/* instead of a write's number */
#define NONE	255

#define BIT(n)		(1 << (n))

/* ---- the network ---- */
mtype = { LOGIN, OPEN, WRITE, OPENED, AGAIN, STALE, DONE };

/*
 * A connection: frames keep their order, are read at any later time, or are
 * lost with it.  Client and server close their own ends; what the client sent
 * before it closed may still be read.
 */
#ifdef BUG_NO_OPEN
#define FRAMES	4
#else
#define FRAMES	3
#endif
chan to_server[CONNS] = [FRAMES] of { mtype, byte, byte };
chan to_client[CONNS] = [FRAMES] of { mtype, byte, byte };
byte used;			/* bit per connection */
bool copen[CONNS];		/* the client's end */
bool sopen[CONNS];		/* the server's end */
byte kserver[CONNS];
byte khost[CONNS];
byte klane[CONNS];
byte kepoch[CONNS];
byte kinst[CONNS];		/* instance of the server (3: LOGIN's reply) */
bool klogin[CONNS];		/* the server has read LOGIN */
bool kopening[CONNS];		/* the server has read OPEN, not answered */
short kwait[CONNS];		/* I/O that this OPEN waits for, as in running */

/* ---- the servers: memory of a process ---- */
#define AT(s, h)	((s) * 2 + (h))
byte sepoch[4];			/* highest epoch of LOGIN, 0: no such session */
byte sopened[4];		/* epoch in which the vdisk is open, 0: is not */
byte sinst[2];
byte reach = BIT(SERVERS) - 1;	/* bit per server: hosts can connect */

/* ---- the storage, which outlives them ---- */
#define FREE_LOCK	0
#define HELD_BY(s)	(1 + (s))
#define HELD_BY_DEAD(s)	(3 + (s))	/* its I/O still runs */
byte lock;
byte lease;			/* "stored with the vdisk" (5.2), */
byte owner = NONE;		/* and with it whose it is */
#define IO(c, r)	((c) * NREQ + (r))
#define IO_OF(c)	(7 << ((c) * NREQ))
#define IO_OF_HOST_0	(3 | 3 << NREQ | 3 << 2 * NREQ | 3 << 3 * NREQ)
short running;			/* I/O in the store: bit IO(c, r) */
byte content[CONNS * NREQ];	/* what it writes */
byte nrunning[2];		/* how many of each server */
byte disk;			/* durable: number of the write it holds */
#ifdef CACHING
byte cache;			/* what a read would give */
byte verifier;
#else
#define cache		disk
#define verifier	0
#endif

/* ---- the hosts ---- */
#define LN(h, l)	((h) * 2 + (l))
#define HOST_OF(r)	((r) / 2)
mtype = { DOWN, OPENING, UP };
mtype = { RECOVERING, LIVE, LOST };
mtype = { IDLE, WAITING, SENT };	/* FLOW and PARKED are both WAITING */
mtype lane[3] = DOWN;
byte lconn[3] = NONE;
mtype session[2] = RECOVERING;
byte epoch[2];
byte instance[2] = NONE;	/* that this epoch talks to */
byte held[2];			/* the lease, 0: none yet */
byte portal[2] = NONE;		/* to try next, NONE: any */

mtype req[NREQ] = IDLE;
byte number[NREQ];		/* of the write */
byte rconn[NREQ];		/* where it is in flight */
byte repoch[NREQ];		/* where it was last sent, 0: never */
byte rlane[NREQ];

byte unflushed;			/* acknowledged writes: bit per number */
byte covers;			/* those of them that FLUSH is for */
byte known;			/* verifier */
bool flush_fails;
#ifdef BUG_NO_ABORT
byte receiving = NONE;
#endif

/* ---- what is only there to be checked ---- */
byte submitted;			/* number of the newest write */
byte written;			/* writes of host 0 */
byte flushed;
byte before[NWRITES + 1];	/* those that had ended when it was submitted */
byte ended, acked, landed;	/* bit per number */
byte promised;			/* acknowledged before FLUSH was submitted */
bool taken;			/* host 1 has been given the lease */
byte faults = FAULTS;

hidden byte i, j, k, x;		/* scratch within one step */
hidden mtype t;
hidden byte a, b;

#define drain(q)	do :: len(q) > 0 -> q?_,_,_ :: len(q) == 0 -> break od

/* A connection is forgotten when both ends are closed and its I/O has ended. */
inline reap(c)
{
	if
	:: (used & BIT(c)) && !copen[c] && !sopen[c] && !(running & IO_OF(c)) ->
		used = used & ~BIT(c);
		kserver[c] = 0; khost[c] = 0; klane[c] = 0; kepoch[c] = 0;
		kinst[c] = 0
	:: else
	fi
}

inline server_closes(c)
{
	sopen[c] = false; klogin[c] = false; kopening[c] = false; kwait[c] = 0;
	drain(to_server[c]);
	reap(c)
}

inline reply(c, type, n, m)
{
	if
	:: copen[c] -> to_client[c]!type,n,m
	:: else
	fi
}

/* ==== the host ==== */

inline end_write(r)
{
	/* No request is answered twice. */
	assert(number[r] == FLUSHED || !(ended & BIT(number[r])));
	if
	:: number[r] == FLUSHED
	:: else -> ended = ended | BIT(number[r])
	fi;
	req[r] = IDLE; number[r] = 0; rconn[r] = 0; repoch[r] = 0; rlane[r] = 0
}

/*
 * A lane ends by abort, and only then are its requests parked (arch): nothing
 * is received on it any more.  What it had sent may still arrive.
 */
inline lane_ends(n)
{
	j = lconn[n];
#ifdef BUG_NO_ABORT
	/* ... but a reply is half received when its request is parked. */
	if
	:: to_client[j]?[DONE,_,_] -> to_client[j]?t,receiving,b
	:: else
	fi;
#endif
	copen[j] = false;
	drain(to_client[j]);
	lane[n] = DOWN; lconn[n] = NONE;
	k = 0;
	do
	:: k < NREQ ->
		if
#ifdef BUG_FORGET
		:: req[k] == SENT && rconn[k] == j && !sopen[j]
#endif
		:: req[k] == SENT && rconn[k] == j -> req[k] = WAITING; rconn[k] = 0
		:: else
		fi;
		k++
	:: else -> break
	od;
	reap(j);
	if
	:: session[(n) / 2] == LIVE && lane[LN((n) / 2, 0)] == DOWN &&
	   (n == 2 || lane[1] == DOWN) -> session[(n) / 2] = RECOVERING
	:: else
	fi
}

inline all_lanes_end(h)
{
	if
	:: lane[LN(h, 0)] != DOWN -> lane_ends(LN(h, 0))
	:: else
	fi;
	if
	:: h == 0 && lane[1] != DOWN -> lane_ends(1)
	:: else
	fi
}

/* STALE is final: what was parked is history (5.2). */
inline disk_is_lost(h)
{
#ifndef BUG_NO_OPEN	/* which has worse */
	assert(owner != h);	/* not for nothing */
#endif
	all_lanes_end(h);
	session[h] = LOST;
	x = h * 2;
	do
	:: x < NREQ && HOST_OF(x) == h ->
		if
		:: req[x] == WAITING -> end_write(x)
		:: else
		fi;
		x++
	:: else -> break
	od
}

/* A new connection: LOGIN, OPEN; nothing else before OPEN is answered. */
inline connect(h, l, s)
{
	i = 0;
	do
	:: used & BIT(i) -> i++
	:: else -> break
	od;
	used = used | BIT(i);
	copen[i] = true; sopen[i] = true;
	kserver[i] = s; khost[i] = h; klane[i] = l; kepoch[i] = epoch[h];
	kinst[i] = sinst[s];
	lconn[LN(h, l)] = i; lane[LN(h, l)] = OPENING;
	to_server[i]!LOGIN,0,0;
	to_server[i]!OPEN,held[h],0
}

/* (5.4), and the driver's answer to it */
inline see_verifier(v)
{
	if
	:: v != known ->
#ifndef BUG_VERIFIER_IGNORED
		if
		:: unflushed -> flush_fails = true
		:: else
		fi;
#endif
		known = v
	:: else
	fi
}

inline flush_answered(v)
{
	see_verifier(v);
	if
	:: flush_fails	/* to the upper layers: an error */
	:: else ->
		/* Every write acknowledged before FLUSH is durable (3). */
		k = 1;
		do
		:: k <= NWRITES ->
			assert(!(promised & BIT(k)) ||
			       (disk && !(before[k] & BIT(disk))));
			k++
		:: else -> break
		od;
#ifdef BUG_FLUSH_COVERS_ALL
		unflushed = 0
#else
		unflushed = unflushed & ~covers
#endif
	fi;
	covers = 0; promised = 0
}

inline answered(r, v)
{
	/* A reply finds its request in flight on this lane (arch). */
	assert(req[r] == SENT && rconn[r] == lconn[n]);
	if
	:: number[r] == FLUSHED -> flush_answered(v)
	:: else ->
		/* No acknowledged write is lost: it was in the store, and
		 * nothing older comes after it, see lands(). */
		assert(landed & BIT(number[r]));
		acked = acked | BIT(number[r]);
#ifdef CACHING
		unflushed = unflushed | BIT(number[r])
#endif
	fi;
	end_write(r)
}

/*
 * Where a request may go (5.1): anywhere if it was never sent, or sent in an
 * older epoch, for OPEN of this epoch has fenced that.  Else only on the next
 * incarnation of the lane that carried it, for nothing else fences the old one.
 */
#ifdef BUG_SIBLING
#define fenced(r)	(true)
#else
#define fenced(r)	(repoch[r] != epoch[h] || rlane[r] == l)
#endif
#define home(r)		(h == 1 || repoch[r] == epoch[h] || (r) % LANES == l || \
			 lane[LN(h, (r) % LANES)] != UP)
#define may_go(r)	(req[r] == WAITING && fenced(r) && home(r))

#ifdef SHARED
#define host_1_may	true
#else
#define host_1_may	held[0]
#endif

proctype a_lane(byte h; byte l)
{
	byte n = LN(h, l), s;
end:	do
	/*
	 * No lane is left: the next epoch, on a portal that answers.  Lane 0
	 * comes first, the other joins.
	 */
	:: atomic { l == 0 && lane[n] == DOWN && session[h] == RECOVERING &&
		    (h == 0 && lane[1] == DOWN || h == 1 && host_1_may) &&
		    used != BIT(CONNS) - 1 ->
		if
		:: (reach & 1) && (portal[h] != 1 || reach == 1) -> s = 0
		:: (reach & 2) && (portal[h] != 0 || reach == 2) -> s = 1
		fi;
		d_step {
		epoch[h]++;
		assert(epoch[h] < EPOCHS);
		instance[h] = NONE; portal[h] = NONE;
		connect(h, l, s);
		s = 0
		} }

	/* A lane of a live session: the same server and epoch. */
	:: d_step { lane[n] == DOWN && session[h] == LIVE &&
		    used != BIT(CONNS) - 1 ->
		x = kserver[lconn[LN(h, 1 - l)]];
		if
		:: reach & BIT(x) ->
			connect(h, l, x);
#ifdef BUG_NO_OPEN
			lane[n] = UP
#endif
		:: else -> /* the lane cannot come back: the next epoch */
			all_lanes_end(h)
		fi }

	:: d_step { lane[n] != DOWN && nempty(to_client[lconn[n]]) ->
		to_client[lconn[n]]?t,a,b;
		if
		:: t == OPENED && instance[h] != NONE &&
		   instance[h] != kinst[lconn[n]] ->
			/* Another server than the epoch's (3): a new epoch. */
			all_lanes_end(h)
		:: t == OPENED && (instance[h] == NONE ||
				   instance[h] == kinst[lconn[n]]) ->
			instance[h] = kinst[lconn[n]];
			held[h] = a;
			see_verifier(b);
			lane[n] = UP;
			session[h] = LIVE
		:: t == AGAIN ->
			/* Perhaps only the other portal can (5.5). */
			x = 1 - kserver[lconn[n]];
			if
#ifndef BUG_STAYS
			:: reach & BIT(x) -> all_lanes_end(h); portal[h] = x
#endif
			:: else ->
				if
				:: sopen[lconn[n]] ->
					to_server[lconn[n]]!OPEN,held[h],0
				:: else
				fi
			fi
		:: t == STALE -> disk_is_lost(h)
		:: t == DONE -> answered(a, b)
		fi;
		t = 0; a = 0; b = 0 }

	/* Waiting requests go in the order in which they were submitted
	 * (FLUSH, which is for what was answered already, may be late). */
	:: d_step { lane[n] == UP && sopen[lconn[n]] &&
		    (h == 0 && (may_go(0) || may_go(1)) ||
		     h == 1 && may_go(2)) ->
		if
		:: h == 1 -> x = 2
		:: h == 0 && may_go(0) &&
		   !(may_go(1) && number[1] < number[0]) -> x = 0
		:: else -> x = 1
		fi;
		req[x] = SENT; rconn[x] = lconn[n];
		repoch[x] = epoch[h]; rlane[x] = l;
		to_server[lconn[n]]!WRITE,x,number[x] }

#ifdef BUG_NO_ABORT
	:: d_step { receiving != NONE ->
		a = receiving; receiving = NONE;
		if
		:: req[a] != IDLE -> acked = acked | BIT(number[a]); end_write(a)
		:: else
		fi;
		a = 0 }
#endif

	/* The server has closed it, or it was cut. */
	:: d_step { lane[n] != DOWN && !sopen[lconn[n]] -> lane_ends(n) }
	od
}

/* Whoever writes: a file system, a guest. */
proctype upper(byte r)
{
end:	do
	:: d_step { req[r] == IDLE && session[HOST_OF(r)] != LOST &&
		    (r == 0 || r == 1 && !FLUSHES) && written < WRITES ||
		    req[r] == IDLE && r == 2 && submitted - written < 1 &&
		    session[1] == LIVE ->
		submitted++;
		if
		:: r != 2 -> written++
		:: else
		fi;
#ifdef SHARED
		before[submitted] = ended;
#else
		/* What another host wrote before is history. */
		before[submitted] = (r == 2 -> BIT(submitted) - 1 : ended);
#endif
		number[r] = submitted; req[r] = WAITING }

	:: d_step { req[r] == IDLE && r == 1 && flushed < FLUSHES ->
		flushed++;
		promised = acked; covers = unflushed;
		number[r] = FLUSHED; req[r] = WAITING }

#ifdef FAST_FAIL
	/*
	 * fast_io_fail_tmo: "no sooner than 2 x kato after its lane ended, for
	 * by then the server has fenced it" (5.8): it has closed the session
	 * and drained it.
	 */
	:: d_step { HOST_OF(r) == 0 && session[0] == RECOVERING &&
		    req[r] == WAITING &&
#ifdef BUG_FAILS_EARLY
		    true
#else
		    (!repoch[r] || !sepoch[AT(0, 0)] && !sepoch[AT(1, 0)]
#ifndef BUG_FENCED_ONLY
		     && !(running & IO_OF_HOST_0)
#endif
		    )
#endif
		    -> end_write(r) }
#endif
	od
}

/* ==== the server ==== */

/* Which I/O an OPEN on c waits for (5.1). */
inline fence(c, s, h)
{
	kwait[c] = 0;
	i = 0;
	do
	:: i < CONNS ->
		if
		:: (used & BIT(i)) && i != c && kserver[i] == s &&
#ifdef BUG_NO_DRAIN
		   false &&
#endif
#ifdef SHARED
		   khost[i] == h &&
#endif
		   (khost[i] != h	/* a previous owner */
		    || kepoch[i] < kepoch[c]	/* a lower epoch */
		    || kepoch[i] == kepoch[c] && klane[i] == klane[c]) ->
			/* the last line: a replaced incarnation of this lane */
			kwait[c] = kwait[c] | (running & IO_OF(i))
		:: else
		fi;
		i++
	:: else -> break
	od
}

/* OPEN gains the lease: it grows, and the other owner's handles die (5.2). */
inline take_over(s, h)
{
	lease++; owner = h;
#ifndef BUG_NOT_REVOKED
	sopened[AT(s, 1 - h)] = 0;
#endif
	i = 0;
	do
	:: i < CONNS ->
		if
		:: kopening[i] && khost[i] != h ->
			kopening[i] = false; kwait[i] = 0;
			reply(i, STALE, 0, 0)
		:: else
		fi;
		i++
	:: else -> break
	od
}

inline login(c, s, h)
{
	if
	:: kepoch[c] < sepoch[AT(s, h)] -> server_closes(c)	/* STALE */
	:: else ->
		i = 0;
		do
		:: i < CONNS ->
			if
			:: i != c && klogin[i] && kserver[i] == s &&
			   khost[i] == h && kepoch[i] == kepoch[c] &&
			   klane[i] == klane[c] ->
				/* it replaces that lane (5.1) */
				server_closes(i)
			:: i != c && kopening[i] && kserver[i] == s &&
			   khost[i] == h && kepoch[i] < kepoch[c] ->
				kopening[i] = false; kwait[i] = 0
			:: else
			fi;
			i++
		:: else -> break
		od;
		if
		:: kepoch[c] > sepoch[AT(s, h)] ->
			/* lower epochs are STALE from now on (5.1); handles
			 * belong to an epoch (3) */
			sepoch[AT(s, h)] = kepoch[c]; sopened[AT(s, h)] = 0
		:: else
		fi;
		klogin[c] = true
	fi
}

inline open(c, s, h, mine)
{
	if
	:: kepoch[c] < sepoch[AT(s, h)] -> reply(c, STALE, 0, 0)
	:: kepoch[c] >= sepoch[AT(s, h)] && lock == HELD_BY(1 - s) ->
		/* not without the storage's lock (5.5) */
		reply(c, AGAIN, 0, 0)
	:: else ->
		lock = HELD_BY(s);
		if
#if !defined(SHARED) && !defined(BUG_STALE_LEASE)
		:: mine && mine != lease -> reply(c, STALE, 0, 0)	/* (5.2) */
#endif
#ifndef SHARED
		/* BUSY: only host 1 says TAKE_OVER */
		:: !mine && h == 0 && owner == 1 -> reply(c, STALE, 0, 0)
#endif
		:: else ->
			if
#ifndef SHARED
#ifdef BUG_OWNER_FORGOTTEN
			:: !mine -> take_over(s, h)
#else
			/* grows when *another* session gains it (5.2) */
			:: !mine && owner != h -> take_over(s, h)
#endif
#endif
			:: else
			fi;
			fence(c, s, h);
			kopening[c] = true
		fi
	fi
}

#ifdef BUG_OLD_EPOCH
#define current(c, s, h)	(lock == HELD_BY(s))
#else
#define current(c, s, h)	(kepoch[c] == sepoch[AT(s, h)] && \
				 sopened[AT(s, h)] == kepoch[c])
#endif

proctype server_end(byte c)
{
end:	do
	/* Frames, in their order.  While the lock's owner is dead and its I/O
	 * runs, OPEN waits: AGAIN, and the client asks again on this lane. */
	:: d_step { sopen[c] && nempty(to_server[c]) &&
		    !(lock >= HELD_BY_DEAD(0) && to_server[c]?[OPEN,_,_]) ->
		to_server[c]?t,a,b;
		if
		:: t == LOGIN -> login(c, kserver[c], khost[c])
		:: t == OPEN -> open(c, kserver[c], khost[c], a)
		:: t == WRITE && current(c, kserver[c], khost[c]) ->
			if
			/* FLUSH need not cover what lands while it runs. */
			:: b == FLUSHED -> disk = cache
			:: else
			fi;
			running = running | BIT(IO(c, a));
			content[IO(c, a)] = b;
			nrunning[kserver[c]]++
		:: else -> reply(c, STALE, a, 0)	/* (4), (5.1) */
		fi;
		t = 0; a = 0; b = 0 }

	/* OPEN is answered when that I/O has ended in the store (5.1). */
	:: d_step { kopening[c] && !kwait[c] ->
		kopening[c] = false;
		sopened[AT(kserver[c], khost[c])] = kepoch[c];
#ifndef SHARED
		if
		:: khost[c] == 1 -> taken = true
		:: else
		fi;
#endif
		reply(c, OPENED, lease, verifier) }

	/* The client has closed its end: noticed at some time. */
	:: d_step { sopen[c] && !copen[c] -> server_closes(c) }
	od
}

/* A session without a lane for kato is closed (5.2); a server without a
 * session lets go of the lock when its I/O has ended (5.5). */
#define lane_at(c, s, h)	(sopen[c] && klogin[c] && kserver[c] == s && \
				 khost[c] == h)
#if CONNS == 3
#define lanes_at(s, h)	(lane_at(0, s, h) || lane_at(1, s, h) || \
			 lane_at(2, s, h))
#elif CONNS == 4
#define lanes_at(s, h)	(lane_at(0, s, h) || lane_at(1, s, h) || \
			 lane_at(2, s, h) || lane_at(3, s, h))
#endif

proctype kato(byte s)
{
end:	do
	:: d_step { sepoch[AT(s, 0)] && !lanes_at(s, 0) ->
		sepoch[AT(s, 0)] = 0; sopened[AT(s, 0)] = 0 }
	:: d_step { sepoch[AT(s, 1)] && !lanes_at(s, 1) ->
		sepoch[AT(s, 1)] = 0; sopened[AT(s, 1)] = 0 }
#ifndef BUG_LOCK_KEPT
	:: d_step { lock == HELD_BY(s) && !sepoch[AT(s, 0)] &&
		    !sepoch[AT(s, 1)] && !nrunning[s] -> lock = FREE_LOCK }
#endif
	od
}

/* ==== the storage ==== */

/* No older write lands on top of a newer one.  Older: it had ended, however,
 * when the other was submitted. */
inline lands(n)
{
	k = 1;
	do
	:: k <= NWRITES ->
		assert(!(landed & BIT(k) && before[k] & BIT(n)));
		k++
	:: else -> break
	od;
	landed = landed | BIT(n);
	cache = n
}

/* I/O ends in any order, and also when nobody waits for it any more. */
proctype store()
{
	byte n;
end:	do
	:: atomic { running ->
		do
		:: running & BIT(n) -> break
		:: running >> (n + 1) -> n++
		od;
		d_step {
		i = n / NREQ;
		/* Nothing lands of one whose lease another has. */
		assert(!(taken && khost[i] == 0));
		running = running & ~BIT(n);
		if
		:: content[n] != FLUSHED -> lands(content[n])
		:: else
		fi;
		content[n] = 0;
		j = kserver[i];
		nrunning[j]--;
		/* the kernel frees a dead process's lock */
		if
		:: lock == HELD_BY_DEAD(j) && !nrunning[j] -> lock = FREE_LOCK
		:: else
		fi;
		k = 0;
		do
		:: k < CONNS -> kwait[k] = kwait[k] & running; k++
		:: else -> break
		od;
		if
		:: sopen[i] -> reply(i, DONE, n % NREQ, verifier)
		:: else
		fi;
		reap(i);
		n = 0
		} }
#ifdef CACHING
	/* writeback */
	:: d_step { disk != cache -> disk = cache }
#endif
	od
}

/* ==== what goes wrong ==== */

inline sessions_end(s, h)
{
	i = 0;
	do
	:: i < CONNS ->
		if
		:: lane_at(i, s, h) -> server_closes(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	sepoch[AT(s, h)] = 0; sopened[AT(s, h)] = 0
}

/* The process ends; its I/O goes on. */
inline crash(s)
{
	i = 0;
	do
	:: i < CONNS ->
		if
		:: sopen[i] && kserver[i] == s -> server_closes(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	sepoch[AT(s, 0)] = 0; sopened[AT(s, 0)] = 0;
	sepoch[AT(s, 1)] = 0; sopened[AT(s, 1)] = 0;
	sinst[s] = sinst[s] + 2;
#ifdef BUG_LOCK_FREED
	if
	:: lock == HELD_BY(s) -> lock = FREE_LOCK
	:: else
	fi
#else
	if
	:: lock == HELD_BY(s) && nrunning[s] -> lock = HELD_BY_DEAD(s)
	:: lock == HELD_BY(s) && !nrunning[s] -> lock = FREE_LOCK
	:: else
	fi
#endif
}

/* No host reaches it any more; it does not know that yet. */
inline sever(s)
{
	x = 0;
	do
	:: x < 3 ->
		if
		:: lane[x] != DOWN && kserver[lconn[x]] == s -> lane_ends(x)
		:: else
		fi;
		x++
	:: else -> break
	od
}

#ifdef CACHING
#ifdef BUG_SAME_VERIFIER
#define cache_is_lost	cache = disk
#else
#define cache_is_lost	cache = disk; verifier++
#endif

/* The storage host reboots: its I/O and its cache are gone. */
inline reboot()
{
	crash(0);
	i = 0;
	do
	:: i < CONNS * NREQ -> content[i] = 0; i++
	:: else -> break
	od;
	running = 0; nrunning[0] = 0; lock = FREE_LOCK;
	i = 0;
	do
	:: i < CONNS -> kwait[i] = 0; reap(i); i++
	:: else -> break
	od;
	cache_is_lost
}
#endif

proctype faulty()
{
	byte n;
end:	do
	/* The client takes a lane for dead: kato, reset, a broken rule. */
	:: atomic { faults && (lane[0] != DOWN || lane[1] != DOWN ||
			       lane[2] != DOWN) ->
		if
		:: lane[0] != DOWN -> n = 0
		:: lane[1] != DOWN -> n = 1
		:: lane[2] != DOWN -> n = 2
		fi;
		d_step { faults--; lane_ends(n); n = 0 } }
	/* The server takes one for dead. */
	:: atomic { faults && used ->
		do
		:: used & BIT(n) -> break
		:: used >> (n + 1) -> n++
		od;
		d_step {
		if
		:: sopen[n] && copen[n] -> faults--; server_closes(n)
		:: else
		fi;
		n = 0 } }
	/* Nothing goes wrong any more. */
	:: d_step { faults -> faults = 0 }
	/* It ends: upgrade, kill. */
	:: d_step { faults -> faults--; crash(0) }
#if SERVERS == 2
	:: d_step { faults -> faults--; crash(1) }
	/* It sees no lane of a host any more; GOING_AWAY is this, too. */
	:: d_step { faults && lanes_at(0, 0) -> faults--; sessions_end(0, 0) }
	:: d_step { faults && lanes_at(1, 0) -> faults--; sessions_end(1, 0) }
#endif
#ifdef PARTITIONS
	:: d_step { faults && reach == 3 -> faults--; sever(1); reach = 1 }
	:: d_step { faults && reach == 3 -> faults--; sever(0); reach = 2 }
#endif
#ifdef CACHING
	:: d_step { faults -> faults--; reboot() }
	/* A writeback fails; the page counts as clean (5.4). */
	:: d_step { faults && cache != disk -> faults--; cache_is_lost }
#endif
	od
}

#define all_done	(req[0] == IDLE && req[1] == IDLE && req[2] == IDLE && \
			 (session[0] == LOST || session[0] == LIVE && \
			  written == WRITES && flushed == FLUSHES) && \
			 (HOSTS == 1 || session[1] == LOST || \
			  session[1] == LIVE && submitted - written == 1))

init {
	atomic {
		sinst[1] = 1;
		portal[0] = 0;	/* the servers are alike */
		run a_lane(0, 0);
		run upper(0);
#if LANES == 2
		run a_lane(0, 1);
#endif
#if SLOTS == 2
		run upper(1);
#endif
#if HOSTS == 2
		run a_lane(1, 0);
		run upper(2);
#endif
		i = 0;
		do
		:: i < CONNS -> run server_end(i); i++
		:: else -> break
		od;
		run kato(0);
#if SERVERS == 2
		run kato(1);
#endif
		run store();
		run faulty()
	};
	/* No request is forgotten: when nothing moves any more all is done. */
end:	timeout -> assert(all_done)
}

#ifdef LIVENESS
/* Recovery ends and every request is answered. */
ltl ends { <> all_done }
#endif
