// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "client.h"
#include "conn.h"
#include "dialect.h"
#include "log.h"
#include "session.h"

/* Old epochs' opens that nobody asked for again: released after so many katos */
#define FORGOTTEN_KATOS	6

#define SWEEP_MS	200	/* the least that kato can be */

/* Under control_lock(). */
static struct session *sessions;
static bool leaving;		/* the server ends; nobody comes in */

void session_get(struct session *s)
{
	atomic_fetch_add(&s->refs, 1);
}

void session_put(struct session *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	client_end_session(s->client);
	free(s->lanes);
	free(s->slots);
	free(s->who);
	free(s);
}

void lane_put(struct lane *lane)
{
	if (atomic_fetch_sub(&lane->refs, 1) != 1)
		return;
	session_put(lane->session);
	free(lane);
}

/**
 * lane_stale - are this lane's frames history?
 * @lane: any
 *
 * Any thread, without the lock.
 */
bool lane_stale(const struct lane *lane)
{
	return atomic_load(&lane->dead) ||
	       atomic_load(&lane->session->epoch) != lane->epoch;
}

/**
 * lane_verdict - may this lane's frames still be executed?
 * @lane: any
 *
 * Only an older epoch is final.  A lane that was replaced, or whose session
 * was closed, is about to be closed; until then its client hears that it has
 * to begin anew, and loses nothing.
 *
 * Any thread, without the lock.
 * Return: VXHS_ST_OK or why not
 */
u16 lane_verdict(const struct lane *lane)
{
	if (atomic_load(&lane->session->epoch) != lane->epoch)
		return VXHS_ST_STALE;
	return atomic_load(&lane->dead) ? VXHS_ST_NO_SESSION : VXHS_ST_OK;
}

static void lane_kill_msg(struct loop *loop, struct msg *msg)
{
	struct lane *lane = (struct lane *)((char *)msg -
					    offsetof(struct lane, kill));

	(void)loop;
	if (lane->conn)
		conn_close(lane->conn);
	lane_put(lane);
}

/* Under control_lock().  Its frames are refused at once, it closes soon. */
static void lane_kill(struct lane *lane)
{
	if (atomic_exchange(&lane->dead, true))
		return;
	atomic_fetch_add(&lane->refs, 1);
	lane->kill.fn = lane_kill_msg;
	loop_send(lane->loop, &lane->kill);
}

/* Open vdisks */

/** session_find_open - this session's open vdisk, revoked ones included */
struct open *session_find_open(struct session *s, struct export *x)
{
	unsigned int i;

	for (i = 0; i < s->nr_slots; i++)
		if (s->slots[i].open && s->slots[i].open->export == x)
			return s->slots[i].open;
	return NULL;
}

struct open *session_find_handle(struct session *s, u32 handle)
{
	u32 slot = (handle & MAX_OPENS) - 1;

	if (slot >= s->nr_slots || !s->slots[slot].open ||
	    s->slots[slot].open->handle != handle)
		return NULL;
	return s->slots[slot].open;
}

static bool grow_slots(struct session *s)
{
	unsigned int n = s->nr_slots ? s->nr_slots * 2 : 8;
	struct handle_slot *slots;

	if (n > MAX_OPENS)
		n = MAX_OPENS;
	if (n == s->nr_slots)
		return false;
	slots = realloc(s->slots, n * sizeof(*slots));
	if (!slots)
		return false;
	memset(slots + s->nr_slots, 0, (n - s->nr_slots) * sizeof(*slots));
	s->slots = slots;
	s->nr_slots = n;
	return true;
}

/**
 * session_add_open - give an open vdisk a handle
 * @s: the session
 * @o: the open vdisk
 *
 * A handle is a slot and the slot's generation: it is not 0 and does not
 * come back within any epoch that could remember it.
 *
 * Context: control_lock() held.
 * Return: false when the session has all it may
 */
bool session_add_open(struct session *s, struct open *o)
{
	unsigned int i = 0;

	while (i < s->nr_slots && s->slots[i].open)
		i++;
	if (i == s->nr_slots && !grow_slots(s))
		return false;
	s->slots[i].open = o;
	o->handle = s->slots[i].gen++ << HANDLE_BITS | (i + 1);
	return true;
}

/** session_drop_open - undo session_add_open(); control_lock() held */
void session_drop_open(struct session *s, struct open *o)
{
	u32 slot = (o->handle & MAX_OPENS) - 1;

	if (slot < s->nr_slots && s->slots[slot].open == o)
		s->slots[slot].open = NULL;
}

static void release_opens(struct session *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_slots; i++)
		if (s->slots[i].open)
			open_release(s->slots[i].open);
}

/* Lanes and epochs */

static void session_close(struct session *s)
{
	struct session **pos;
	unsigned int i;

	s->closed = true;
	for (i = 0; i < s->lane_count; i++) {
		if (s->lanes[i])
			lane_kill(s->lanes[i]);
		s->lanes[i] = NULL;
	}
	release_opens(s);
	for (pos = &sessions; *pos != s; )
		pos = &(*pos)->next;
	*pos = s->next;
	session_put(s);
}

/** struct event - an event on its way to a lane's loop */
struct event {
	struct msg msg;
	struct lane *lane;
	u8 kind;
	u32 handle;
};

static void event_msg(struct loop *loop, struct msg *msg)
{
	struct event *e = (struct event *)msg;

	(void)loop;
	if (e->lane->conn)
		vxhs_send_event(e->lane->conn, e->kind, e->handle);
	lane_put(e->lane);
	free(e);
}

/**
 * session_event - tell a client something, on every lane
 * @s: its session
 * @kind: what
 * @handle: of the vdisk that it is about
 *
 * A hint: without memory nothing is sent.
 *
 * Context: control_lock() held.
 */
void session_event(struct session *s, enum vxhs_event kind, u32 handle)
{
	unsigned int i;

	for (i = 0; i < s->lane_count; i++) {
		struct event *e = s->lanes[i] ? calloc(1, sizeof(*e)) : NULL;

		if (!e)
			continue;
		e->msg.fn = event_msg;
		e->lane = s->lanes[i];
		e->kind = (u8)kind;
		e->handle = handle;
		atomic_fetch_add(&e->lane->refs, 1);
		loop_send(e->lane->loop, &e->msg);
	}
}

static bool may_begin(const struct conn *c)
{
	char peer[ADDR_TEXT];

	if (client_begin_session(c->client))
		return true;
	addr_format((const struct sockaddr *)&c->peer, peer);
	log_peer("%s: its client has %u sessions, which is the limit (client-max-conns)",
		 peer, client_max_conns);
	return false;
}

static struct session *session_new(const struct vxhs_login *login,
				   const struct conn *c)
{
	struct session *s = calloc(1, sizeof(*s));
	char host[UUID_TEXT];

	if (!s)
		return NULL;
	s->lanes = calloc(login->lane_count, sizeof(*s->lanes));
	s->who = conn_who(c) ? strdup(conn_who(c)) : NULL;
	if (!s->lanes || (conn_who(c) && !s->who) || !may_begin(c)) {
		free(s->who);
		free(s->lanes);
		free(s);
		return NULL;
	}
	s->client = c->client;
	s->id = login->session_id;
	memcpy(s->host_id, login->host_id, 16);
	conn_owner(c, s->peer);
	addr_format((const struct sockaddr *)&c->peer, s->name);
	uuid_format(s->host_id, host);
	snprintf(s->text, sizeof(s->text), "%s%s%s (session %016llx, host %s)",
		 s->name, s->who ? ", " : "", s->who ? s->who : "",
		 (unsigned long long)s->id, host);
	s->lane_count = login->lane_count;
	atomic_store(&s->epoch, login->epoch);
	atomic_store(&s->refs, 1);
	s->next = sessions;
	sessions = s;
	return s;
}

/* Everything of the epochs before is history from here on. */
static bool begin_epoch(struct session *s, const struct vxhs_login *login)
{
	struct lane **lanes = calloc(login->lane_count, sizeof(*lanes));

	if (!lanes)
		return false;
	atomic_store(&s->epoch, login->epoch);
	s->epoch_us = now_us();
	free(s->lanes);
	s->lanes = lanes;
	s->lane_count = login->lane_count;
	return true;
}

static struct session *find_session(u64 id)
{
	struct session *s;

	for (s = sessions; s; s = s->next)
		if (s->id == id)
			return s;
	return NULL;
}

static bool same_client(const struct session *s,
			const struct vxhs_login *login, const struct conn *c)
{
	u8 peer[16];

	conn_owner(c, peer);
	return !memcmp(peer, s->peer, 16) &&
	       !memcmp(login->host_id, s->host_id, 16);
}

static enum vxhs_status join(struct session *s,
			     const struct vxhs_login *login,
			     const struct conn *c)
{
	u32 epoch = atomic_load(&s->epoch);

	if (!same_client(s, login, c))
		return VXHS_ST_DENIED;
	if (login->epoch < epoch)
		return VXHS_ST_STALE;
	if (login->epoch > epoch)
		return begin_epoch(s, login) ? VXHS_ST_OK : VXHS_ST_NO_SPACE;
	if (login->lane_count != s->lane_count)
		return VXHS_ST_INVALID;
	return VXHS_ST_OK;
}

static struct lane *add_lane(struct session *s,
			     const struct vxhs_login *login, struct conn *c)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->session = s;
	lane->loop = c->loop;
	lane->epoch = login->epoch;
	lane->index = login->lane;
	lane->events = login->features & VXHS_F_EVENTS;
	lane->conn = c;
	atomic_store(&lane->refs, 1);
	atomic_store(&lane->rx_us, c->loop->now_us);
	session_get(s);
	if (s->lanes[lane->index])
		lane_kill(s->lanes[lane->index]);
	s->lanes[lane->index] = lane;
	s->alive_us = c->loop->now_us;
	return lane;
}

static u32 choose_kato(u32 wish)
{
	if (!wish)
		return KATO_DEFAULT;
	if (wish < VXHS_KATO_FLOOR)
		return VXHS_KATO_FLOOR;
	return wish > KATO_MAX ? KATO_MAX : wish;
}

static void note(const struct vxhs_login *login, const struct conn *c,
		 enum vxhs_status status)
{
	char peer[ADDR_TEXT];

	addr_format((const struct sockaddr *)&c->peer, peer);
	audit(&(struct audit){
		.event = status ? "denied" : "login",
		.peer = peer,
		.identity = conn_who(c),
		.session = login->session_id,
		.why = status ? vxhs_status_text(status) : NULL,
	});
}

/**
 * session_login - LOGIN: a connection becomes a lane
 * @login: what it says
 * @c: the connection
 * @out: the lane, with the connection's reference
 * @kato_ms: the session's
 *
 * Neither a higher epoch nor the replacement of a lane waits for I/O.
 *
 * Return: VXHS_ST_OK or why not
 */
enum vxhs_status session_login(const struct vxhs_login *login,
			       struct conn *c, struct lane **out,
			       u32 *kato_ms)
{
	enum vxhs_status status;
	struct session *s;

	if (login->lane_count > MAX_LANES)
		return VXHS_ST_INVALID;
	control_lock();
	s = find_session(login->session_id);
	if (leaving) {
		status = VXHS_ST_GOING_AWAY;
	} else if (s) {
		status = join(s, login, c);
	} else {
		s = session_new(login, c);
		status = s ? VXHS_ST_OK : VXHS_ST_NO_SPACE;
	}
	if (!status) {
		*out = add_lane(s, login, c);
		if (!*out)
			status = VXHS_ST_NO_SPACE;
		s->kato_ms = choose_kato(login->kato_ms);
		*kato_ms = s->kato_ms;
	}
	control_unlock();
	note(login, c, status);
	return status;
}

static bool has_lanes(const struct session *s)
{
	unsigned int i;

	for (i = 0; i < s->lane_count; i++)
		if (s->lanes[i])
			return true;
	return false;
}

/**
 * lane_end - a lane's connection closes, or said LOGOUT
 * @lane: whose frames are refused from now on
 * @logout: if it was the last one, the session ends here and now; also for
 *	a client that is cut
 *
 * Context: the loop's thread.
 */
void lane_end(struct lane *lane, bool logout)
{
	struct session *s = lane->session;

	control_lock();
	atomic_store(&lane->dead, true);
	if (!s->closed && lane->epoch == atomic_load(&s->epoch) &&
	    s->lanes[lane->index] == lane) {
		s->lanes[lane->index] = NULL;
		s->alive_us = now_us();
		if (logout && !has_lanes(s))
			session_close(s);
	}
	control_unlock();
}

static u64 last_alive(const struct session *s)
{
	u64 alive = s->alive_us;
	unsigned int i;

	for (i = 0; i < s->lane_count; i++) {
		u64 rx = s->lanes[i] ? atomic_load(&s->lanes[i]->rx_us) : 0;

		if (rx > alive)
			alive = rx;
	}
	return alive;
}

/* A vdisk that was not opened again after a recovery was given up. */
static void release_forgotten(struct session *s, u64 now)
{
	u64 limit = (u64)s->kato_ms * 1000 * FORGOTTEN_KATOS;
	u32 epoch = atomic_load(&s->epoch);
	unsigned int i;

	for (i = 0; i < s->nr_slots; i++) {
		struct open *o = s->slots[i].open;

		if (o && o->epoch != epoch && now > s->epoch_us + limit)
			open_release(o);
	}
}

/* Frames that hang on its way must not be executed when they come at last. */
static void close_silent_lanes(struct session *s, u64 now)
{
	unsigned int i;

	for (i = 0; i < s->lane_count; i++) {
		struct lane *lane = s->lanes[i];
		u64 rx = lane ? atomic_load(&lane->rx_us) : now;

		if (now <= rx + (u64)s->kato_ms * 1000)
			continue;
		log_peer("%s: lane %u of its session %016llx was silent for %u ms and is closed",
			 s->name, i, (unsigned long long)s->id, s->kato_ms);
		if (rx > s->alive_us)
			s->alive_us = rx;
		s->lanes[i] = NULL;
		lane_kill(lane);
	}
}

/**
 * sessions_sweep - close lanes that were silent for kato, and sessions of
 * which no lane has lived for so long
 * @now: microseconds
 *
 * Return: how soon to call again, milliseconds
 */
unsigned int sessions_sweep(u64 now)
{
	unsigned int soon = SWEEP_MS;
	struct session *s, *next;

	control_lock();
	for (s = sessions; s; s = next) {
		next = s->next;
		if (now > last_alive(s) + (u64)s->kato_ms * 1000) {
			log_peer("%s: its session %016llx was silent for %u ms and is closed",
				 s->name, (unsigned long long)s->id,
				 s->kato_ms);
			session_close(s);
			continue;
		}
		close_silent_lanes(s, now);
		release_forgotten(s, now);
		if (s->kato_ms / 8 < soon)
			soon = s->kato_ms / 8;
	}
	control_unlock();
	return soon;
}

/**
 * sessions_go_away - ask all clients to leave; from now on none comes in
 *
 * Return: how long to wait for them, microseconds: the longest kato
 */
u64 sessions_go_away(void)
{
	struct session *s;
	u32 kato_ms = 0;

	control_lock();
	leaving = true;
	for (s = sessions; s; s = s->next) {
		session_event(s, VXHS_EV_GOING_AWAY, 0);
		if (s->kato_ms > kato_ms)
			kato_ms = s->kato_ms;
	}
	control_unlock();
	return (u64)kato_ms * 1000;
}

/** sessions_are_leaving - control_lock() held */
bool sessions_are_leaving(void)
{
	return leaving;
}

/** sessions_stay - has somebody who was asked to leave not left yet? */
bool sessions_stay(void)
{
	bool stay = false;
	struct session *s;
	unsigned int i;

	control_lock();
	for (s = sessions; s; s = s->next)
		for (i = 0; i < s->lane_count; i++)
			if (s->lanes[i] && s->lanes[i]->events)
				stay = true;
	control_unlock();
	return stay;
}

/** sessions_close - all connections have ended; forget everybody */
void sessions_close(void)
{
	control_lock();
	while (sessions)
		session_close(sessions);
	control_unlock();
}
