// SPDX-License-Identifier: GPL-2.0
/*
 * OPEN and CLOSE of the native dialect: handles, and answers that wait for
 * older I/O to end.
 */
#include <stdlib.h>
#include <string.h>

#include "dialect.h"
#include "native.h"

/**
 * struct open_wait - an OPEN whose answer waits for a fence
 * @open: what is opened; NULL while its storage is asked for
 * @want: what was asked for
 * @tries: of its storage, when that was asked for
 * @until_us: when it is answered AGAIN
 * @fresh: from open_vdisk()
 */
struct open_wait {
	struct open_wait *next;
	struct io *io;
	struct open *open;
	struct vxhs_open want;
	u64 tries;
	u64 until_us;
	bool fresh;
};

/* Under control_lock(). */
static struct use *find_session_handle(struct conn *c, u32 handle)
{
	struct native *n = c->state;
	struct open *o;

	o = session_find_handle(n->lane->session, handle);
	if (!o || o->epoch != n->lane->epoch)
		return NULL;
	return use_new(c->loop, o->export, o, n->lane, NULL);
}

static bool room_for(struct native *n, u32 slot)
{
	unsigned int count = n->nr_handles ? n->nr_handles : 4;
	struct handle *handles;

	if (slot < n->nr_handles)
		return true;
	while (count <= slot)
		count *= 2;
	handles = realloc(n->handles, count * sizeof(*handles));
	if (!handles)
		return false;
	memset(handles + n->nr_handles, 0,
	       (count - n->nr_handles) * sizeof(*handles));
	n->handles = handles;
	n->nr_handles = count;
	return true;
}

static void drop_handle(struct handle *h)
{
	if (h->use)
		use_put(h->use);
	h->use = NULL;
	h->handle = 0;
}

/* Others have closed what this lane still knows. */
void vxhs_tick(struct conn *c)
{
	struct native *n = c->state;
	unsigned int i;

	for (i = 0; i < n->nr_handles; i++) {
		struct use *use = n->handles[i].use;

		if (use && atomic_load(&use->open->state) == OPEN_CLOSED)
			drop_handle(&n->handles[i]);
	}
}

/* A handle from OPEN on any lane of this session and epoch. */
struct use *vxhs_find_use(struct conn *c, u32 handle)
{
	struct native *n = c->state;
	u32 slot = (handle & MAX_OPENS) - 1;
	struct use *use;

	if (slot >= MAX_OPENS)
		return NULL;
	if (slot < n->nr_handles && n->handles[slot].handle == handle &&
	    handle)
		return n->handles[slot].use;

	control_lock();
	use = find_session_handle(c, handle);
	control_unlock();
	if (!use)
		return NULL;
	if (!room_for(n, slot)) {
		use_put(use);
		return NULL;
	}
	drop_handle(&n->handles[slot]);
	n->handles[slot].handle = handle;
	n->handles[slot].use = use;
	return use;
}

/* The connection has ended. */
void vxhs_drop_handles(struct native *n)
{
	unsigned int i;

	for (i = 0; i < n->nr_handles; i++)
		drop_handle(&n->handles[i]);
	free(n->handles);
}

static void drop_wait(struct open_wait *w)
{
	if (w->open)
		open_put(w->open);
	free(w);
}

static void opened(struct conn *c, struct io *io, const struct open *o)
{
	struct vxhs_geometry g = o->export->geometry;

	g.handle = o->handle;
	g.size = atomic_load(&o->export->size);
	g.verifier = atomic_load(&o->export->verifier);
	if (atomic_load(&o->mode) != VXHS_OPEN_RO)
		g.lease = o->export->lease.record.number;
	vxhs_put_geometry((void *)io->body, &g);
	vxhs_answer(c, io, io->body, sizeof(struct vxhs_open_rsp));
}

/*
 * Where several servers share the storage it may have to be asked for; that
 * is VXHS_ST_AGAIN, and nothing is open yet.
 */
static u16 try_open(struct conn *c, struct open_wait *w)
{
	struct native *n = c->state;
	u16 status = lane_verdict(n->lane);

	if (!status && sessions_are_leaving())
		status = VXHS_ST_GOING_AWAY;
	if (!status)
		status = open_vdisk(n->lane->session, n->lane->epoch, &w->want,
				    &w->open, &w->fresh);
	if (status)
		w->open = NULL;
	else
		atomic_fetch_add(&w->open->refs, 1);
	return status;
}

/* What has become of an OPEN that waits; VXHS_ST_OK if nothing yet. */
static u16 verdict(const struct native *n, const struct open_wait *w)
{
	u16 status = lane_verdict(n->lane);

	if (status)
		return status;
	switch (atomic_load(&w->open->state)) {
	case OPEN_REVOKED:
		return VXHS_ST_STALE;
	case OPEN_CLOSED:
		/* By another lane, which gave up: nothing is final. */
		return VXHS_ST_AGAIN;
	}
	return VXHS_ST_OK;
}

/* Under control_lock(), as is what follows.  Has the OPEN been answered? */
static bool poll_fence(struct conn *c, struct open_wait *w)
{
	u16 status = verdict(c->state, w);

	if (status) {
		vxhs_answer_status(c, w->io, status);
		return true;
	}
	if (!open_must_wait(w->open)) {
		opened(c, w->io, w->open);
		return true;
	}
	if (c->loop->now_us < w->until_us)
		return false;
	if (w->fresh)
		open_give_up(w->open);
	vxhs_answer_status(c, w->io, VXHS_ST_AGAIN);
	return true;
}

static bool first_look(struct conn *c, struct open_wait *w)
{
	u16 status = try_open(c, w);

	if (!status)
		return poll_fence(c, w);
	if (status == VXHS_ST_AGAIN) {
		w->tries = export_tries(w->want.name);
		return false;
	}
	vxhs_answer_status(c, w->io, status);
	return true;
}

static bool poll_open(struct open_wait *w)
{
	struct conn *c = w->io->conn;
	u16 status;

	if (w->open)
		return poll_fence(c, w);
	status = try_open(c, w);
	if (!status)
		return poll_fence(c, w);
	if (status == VXHS_ST_AGAIN && c->loop->now_us < w->until_us &&
	    export_tries(w->want.name) == w->tries)
		return false;
	vxhs_answer_status(c, w->io, status);
	return true;
}

/* Answered now, or when its fence has come down. */
void vxhs_open_request(struct conn *c, struct io *io, size_t len)
{
	struct native *n = c->state;
	struct open_wait *w = calloc(1, sizeof(*w));

	if (!w) {
		vxhs_answer_status(c, io, VXHS_ST_AGAIN);
		return;
	}
	if (vxhs_get_open(io->buf, len, &w->want)) {
		free(w);
		vxhs_answer_status(c, io, VXHS_ST_INVALID);
		return;
	}
	w->io = io;
	w->until_us = c->loop->now_us +
		      (u64)n->lane->session->kato_ms * 1000 / 2;
	control_lock();
	if (first_look(c, w)) {
		drop_wait(w);
	} else {
		w->next = c->loop->opens;
		c->loop->opens = w;
	}
	control_unlock();
}

/**
 * vxhs_poll_opens - answer the OPENs whose fence has come down
 * @loop: of this thread
 */
void vxhs_poll_opens(struct loop *loop)
{
	struct open_wait **pos = &loop->opens, *w;

	control_lock();
	while ((w = *pos)) {
		if (!poll_open(w)) {
			pos = &w->next;
			continue;
		}
		*pos = w->next;
		drop_wait(w);
	}
	control_unlock();
}

void vxhs_close_request(struct conn *c, struct io *io, u32 handle)
{
	struct native *n = c->state;
	struct open *o;
	u16 status;

	control_lock();
	o = session_find_handle(n->lane->session, handle);
	status = lane_verdict(n->lane);
	if (!status && (!o || o->epoch != n->lane->epoch))
		status = VXHS_ST_NO_SESSION;
	if (!status)
		open_release(o);
	control_unlock();
	vxhs_answer_status(c, io, status);
}

/* The loop's thread.  Answers to a closing connection only free the I/O. */
void vxhs_drop_waits(struct conn *c)
{
	struct open_wait **pos = &c->loop->opens, *w;

	while ((w = *pos)) {
		if (w->io->conn != c) {
			pos = &w->next;
			continue;
		}
		*pos = w->next;
		vxhs_answer_status(c, w->io, VXHS_ST_NO_SESSION);
		drop_wait(w);
	}
}
