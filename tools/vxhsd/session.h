/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Native sessions: who is logged in, with which lanes, in which epoch.
 *
 * control_lock() protects what is not said to be otherwise.
 */
#ifndef _VXHSD_SESSION_H
#define _VXHSD_SESSION_H

#include "export.h"
#include "loop.h"

struct client;

#define MAX_LANES	64	/* of a session */
#define MAX_OPENS	4095	/* of a session */
#define HANDLE_BITS	12	/* of a handle that are its slot + 1 */

#define GRANT_INFLIGHT	128
#define GRANT_BYTES	(16u << 20)
#define GRANT_IO	(1u << 20)
#define KATO_DEFAULT	5000	/* ms */
#define KATO_MAX	60000

/**
 * struct lane - a logged-in connection
 * @session: it belongs to; constant
 * @epoch: of its LOGIN; constant
 * @index: constant
 * @events: its client wants to be told; constant
 * @refs: the connection's, one per use, one per message under way
 * @dead: replaced, closed, or its session is; read by every I/O
 * @rx_us: when bytes last came, or RX_DEAF; written by the loop, read by the
 *	sweep
 * @kill: tells the loop to close the connection
 * @conn: NULL when it has ended; the loop's thread only
 */
struct lane {
	struct session *session;
	struct loop *loop;
	u32 epoch;
	u16 index;
	bool events;
	atomic_uint refs;
	atomic_bool dead;
	_Atomic u64 rx_us;
	struct msg kill;
	struct conn *conn;
};

/** struct handle_slot - a place for an open vdisk; @gen keeps handles apart */
struct handle_slot {
	struct open *open;
	u32 gen;
};

struct session {
	/* Constant. */
	u64 id;
	u8 host_id[16];
	u8 peer[16];			/* conn_owner() */
	char name[ADDR_TEXT];		/* for messages */
	char *who;			/* conn_who(), or NULL */
	struct client *client;		/* counts it */
	char text[ADDR_TEXT + UUID_TEXT + 296];	/* the same, at length */

	/* Any thread. */
	atomic_uint epoch;
	atomic_uint refs;

	/* Under control_lock(). */
	struct session *next;
	u32 kato_ms;
	u64 alive_us;			/* when a lane last ended or began */
	u64 epoch_us;			/* when the epoch began */
	bool closed;
	u16 lane_count;
	struct lane **lanes;		/* of the current epoch */
	struct handle_slot *slots;
	unsigned int nr_slots;
};

enum vxhs_status session_login(const struct vxhs_login *login,
			       struct conn *c, struct lane **out,
			       u32 *kato_ms);
void lane_end(struct lane *lane, bool logout);
void lane_put(struct lane *lane);
bool lane_stale(const struct lane *lane);
u16 lane_verdict(const struct lane *lane);

struct open *session_find_open(struct session *s, struct export *x);
struct open *session_find_handle(struct session *s, u32 handle);
bool session_add_open(struct session *s, struct open *o);
void session_drop_open(struct session *s, struct open *o);
void session_event(struct session *s, enum vxhs_event kind, u32 handle);
void session_get(struct session *s);
void session_put(struct session *s);

unsigned int sessions_sweep(u64 now);
u64 sessions_go_away(void);
bool sessions_stay(void);
bool sessions_are_leaving(void);
void sessions_close(void);

#endif /* _VXHSD_SESSION_H */
