// SPDX-License-Identifier: GPL-2.0
/* VXHS 1, the native dialect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "conn.h"
#include "dialect.h"
#include "identity.h"
#include "log.h"
#include "session.h"
#include "tags.h"

/*
 * A client within its grants never reaches these: they bound what one may
 * make the server hold by asking for control operations and not reading.
 */
#define MAX_IOS		(GRANT_INFLIGHT + 2 * MAX_OPENS)
#define MAX_BYTES	(2 * GRANT_BYTES)

/** struct handle - how this lane knows an open vdisk */
struct handle {
	u32 handle;
	struct use *use;
};

struct native {
	/* What STAT agreed on. */
	u64 features;
	u64 offered;
	u16 min_version;
	u16 max_version;

	struct lane *lane;		/* NULL before LOGIN */
	struct handle *handles;		/* by slot */
	unsigned int nr_handles;
	unsigned int inflight;
	u32 inflight_bytes;
	struct tags tags;
};

/** struct open_wait - an OPEN whose answer waits for a fence */
struct open_wait {
	struct open_wait *next;
	struct io *io;
	struct open *open;
	u64 until_us;
	bool fresh;
};

static enum rx breach(struct conn *c, enum vxhs_rule rule)
{
	conn_complain(c, vxhs_rule_text(rule));
	return RX_CLOSE;
}

/* Answering */

static u32 held_us(const struct conn *c, const struct io *io)
{
	u64 us = c->loop->now_us - io->t0_us;

	return us > UINT32_MAX ? UINT32_MAX : (u32)us;
}

/* From here on the client may use the tag again. */
static void forget(struct native *n, struct io *io)
{
	if (io->hashed)
		tags_del(&n->tags, io);
	io->hashed = false;
	if (io->granted) {
		n->inflight--;
		if (io->kind == IO_READ || io->kind == IO_WRITE)
			n->inflight_bytes -= io->length;
	}
	io->granted = false;
}

/* It ends without an answer. */
static void vxhs_dropped(struct conn *c, struct io *io)
{
	forget(c->state, io);
	io_free(io);
}

static void encode(struct conn *c, struct io *io, const void *data, u32 len)
{
	struct native *n = c->state;
	struct vxhs_reply rsp = {
		.tag = io->tag,
		.opcode = io->opcode,
		.status = io->status,
		.payload_len = len,
		.server_us = held_us(c, io),
	};

	forget(n, io);
	if (len && (n->features & VXHS_F_DATA_CRC))
		rsp.payload_crc = vxhs_wire_crc(data, len);
	io->hdr_len = sizeof(io->hdr.native);
	vxhs_put_reply(&io->hdr.native, &rsp, n->features);
}

static void answer(struct conn *c, struct io *io, const void *data, u32 len)
{
	encode(c, io, data, len);
	conn_reply(c, io, data, len);
}

static void answer_status(struct conn *c, struct io *io, u16 status)
{
	io->status = status;
	answer(c, io, NULL, 0);
}

/* The backend is done with it. */
static void vxhs_reply(struct conn *c, struct io *io)
{
	struct vxhs_flush_rsp *flush = (void *)io->body;

	if (io->status) {
		answer(c, io, NULL, 0);
	} else if (io->kind == IO_READ) {
		answer(c, io, io->buf, io->length);
	} else if (io->kind == IO_FLUSH) {
		flush->verifier =
			htole64(atomic_load(&io->use->export->verifier));
		answer(c, io, flush, sizeof(*flush));
	} else {
		answer(c, io, NULL, 0);
	}
}

/* LOGIN, LOGOUT, PING */

static bool repeats_offer(const struct native *n,
			  const struct vxhs_login *login)
{
	return (login->features == n->offered ||
		login->features == n->features) &&
	       login->min_version == n->min_version &&
	       login->max_version == n->max_version;
}

static void grant(struct conn *c, struct io *io, u32 kato_ms)
{
	struct native *n = c->state;
	struct vxhs_grant g = {
		.instance = server_instance(),
		.features = n->features,
		.max_inflight = GRANT_INFLIGHT,
		.max_inflight_bytes = GRANT_BYTES,
		.max_io = GRANT_IO,
		.kato_ms = kato_ms,
		.version = VXHS_VERSION,
	};

	memcpy(g.server_id, server_id(), 16);
	vxhs_put_grant((void *)io->body, &g);
	answer(c, io, io->body, sizeof(struct vxhs_login_rsp));
}

static enum rx login(struct conn *c, struct io *io)
{
	struct native *n = c->state;
	struct vxhs_login req;
	enum vxhs_rule rule;
	u32 kato_ms;
	u16 status;

	rule = vxhs_get_login((const void *)io->buf, &req);
	if (!rule && !repeats_offer(n, &req)) {
		vxhs_dropped(c, io);
		return breach(c, VXHS_RULE_FEATURES);
	}
	status = rule ? VXHS_ST_INVALID :
			session_login(&req, c, &n->lane, &kato_ms);
	if (status) {
		char peer[ADDR_TEXT];

		addr_format((struct sockaddr *)&c->peer, peer);
		log_peer("%s: its LOGIN to session %016llx is refused: %s",
			 peer, (unsigned long long)req.session_id,
			 vxhs_status_text(status));
		answer_status(c, io, status);
		c->last = true;
		return RX_OK;
	}
	c->established = true;
	c->rx_seen = &n->lane->rx_us;
	grant(c, io, kato_ms);
	return RX_OK;
}

static void logout(struct conn *c, struct io *io)
{
	struct native *n = c->state;

	lane_end(n->lane, true);
	answer_status(c, io, VXHS_ST_OK);
	c->last = true;
}

static void ping(struct conn *c, struct io *io)
{
	encode(c, io, NULL, 0);
	conn_reply_first(c, io);
}

/* Handles */

/* Under control_lock(). */
static struct use *find_session_handle(struct conn *c, u32 handle)
{
	struct native *n = c->state;
	struct open *o;

	o = session_find_handle(n->lane->session, handle);
	if (!o || o->epoch != n->lane->epoch)
		return NULL;
	return use_new(c->loop, o->export, o, n->lane);
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
static void vxhs_tick(struct conn *c)
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
static struct use *find_use(struct conn *c, u32 handle)
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

/* OPEN, CLOSE */

static void opened(struct conn *c, struct io *io, const struct open *o)
{
	struct vxhs_geometry g = o->export->geometry;

	g.handle = o->handle;
	g.verifier = atomic_load(&o->export->verifier);
	if (atomic_load(&o->mode) == VXHS_OPEN_RW)
		g.lease = o->export->lease;
	vxhs_put_geometry((void *)io->body, &g);
	answer(c, io, io->body, sizeof(struct vxhs_open_rsp));
}

static bool wait_for_fence(struct conn *c, struct io *io, struct open *o,
			   bool fresh)
{
	struct native *n = c->state;
	struct open_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->io = io;
	w->open = o;
	w->fresh = fresh;
	w->until_us = c->loop->now_us +
		      (u64)n->lane->session->kato_ms * 1000 / 2;
	atomic_fetch_add(&o->refs, 1);
	w->next = c->loop->opens;
	c->loop->opens = w;
	return true;
}

static void open_request(struct conn *c, struct io *io, size_t len)
{
	struct native *n = c->state;
	struct vxhs_open want;
	struct open *o;
	bool fresh;
	u16 status;

	if (vxhs_get_open(io->buf, len, &want)) {
		answer_status(c, io, VXHS_ST_INVALID);
		return;
	}
	control_lock();
	if (lane_stale(n->lane))
		status = VXHS_ST_STALE;
	else
		status = open_vdisk(n->lane->session, n->lane->epoch, &want,
				    &o, &fresh);
	if (status)
		answer_status(c, io, status);
	else if (!open_must_wait(o))
		opened(c, io, o);
	else if (!wait_for_fence(c, io, o, fresh))
		answer_status(c, io, VXHS_ST_AGAIN);
	control_unlock();
}

/* Under control_lock().  Returns whether the OPEN has been answered. */
static bool poll_open(struct loop *loop, struct open_wait *w)
{
	struct conn *c = w->io->conn;
	struct native *n = c->state;

	if (atomic_load(&w->open->state) != OPEN_LIVE || lane_stale(n->lane)) {
		answer_status(c, w->io, VXHS_ST_STALE);
		return true;
	}
	if (!open_must_wait(w->open)) {
		opened(c, w->io, w->open);
		return true;
	}
	if (loop->now_us < w->until_us)
		return false;
	/* The fence stays: it is made of the I/O that is still under way. */
	if (w->fresh)
		open_release(w->open, OPEN_CLOSED);
	answer_status(c, w->io, VXHS_ST_AGAIN);
	return true;
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
		if (!poll_open(loop, w)) {
			pos = &w->next;
			continue;
		}
		*pos = w->next;
		open_put(w->open);
		free(w);
	}
	control_unlock();
}

static void close_request(struct conn *c, struct io *io, u32 handle)
{
	struct native *n = c->state;
	u16 status = VXHS_ST_NO_SESSION;
	struct open *o;

	control_lock();
	o = session_find_handle(n->lane->session, handle);
	if (o && o->epoch == n->lane->epoch) {
		open_release(o, OPEN_CLOSED);
		status = VXHS_ST_OK;
	}
	control_unlock();
	answer_status(c, io, status);
}

/* I/O */

static bool take_grant(struct native *n, struct io *io)
{
	bool payload = io->kind == IO_READ || io->kind == IO_WRITE;

	if (n->inflight == GRANT_INFLIGHT ||
	    (payload && io->length > GRANT_BYTES - n->inflight_bytes))
		return false;
	n->inflight++;
	if (payload)
		n->inflight_bytes += io->length;
	io->granted = true;
	return true;
}

static enum io_kind kind_of(u8 opcode)
{
	switch (opcode) {
	case VXHS_OP_READ:
		return IO_READ;
	case VXHS_OP_WRITE:
		return IO_WRITE;
	case VXHS_OP_FLUSH:
		return IO_FLUSH;
	case VXHS_OP_DISCARD:
		return IO_DISCARD;
	case VXHS_OP_WRITE_ZEROES:
		return IO_ZEROES;
	default:
		return IO_NONE;
	}
}

/* Finds the vdisk and checks the bounds; what fails has its answer. */
static u16 prepare_io(struct conn *c, struct io *io,
		      const struct vxhs_request *req)
{
	struct use *use = find_use(c, req->handle);
	u16 status;

	if (!use)
		return VXHS_ST_NO_SESSION;
	if (req->opcode != VXHS_OP_FLUSH) {
		status = vxhs_check_io(req, use->export->geometry.size,
				       use->export->geometry.logical_block,
				       GRANT_IO);
		if (status)
			return status;
	}
	use->refs++;
	io->use = use;
	io->offset = req->offset;
	io->length = req->length;
	io->payload_crc = req->payload_crc;
	io->kind = kind_of(req->opcode);
	io->fua = req->flags & VXHS_REQ_FUA;
	io->no_unmap = req->flags & VXHS_REQ_NO_UNMAP;
	return VXHS_ST_OK;
}

/* The reply may come straight from the backend's memory, without DATA_CRC. */
static bool needs_buf(const struct native *n, const struct io *io)
{
	return io->kind == IO_READ &&
	       (!io->use->export->backend->at_once ||
		(n->features & VXHS_F_DATA_CRC));
}

static enum rx begin_io(struct conn *c, struct io *io,
			const struct vxhs_request *req)
{
	struct native *n = c->state;
	bool bytes;

	if (needs_buf(n, io) && !io_get_buf(io, io->length)) {
		conn_starve(c);
		vxhs_dropped(c, io);
		return RX_WAIT;
	}
	if (!take_grant(n, io)) {
		bytes = n->inflight < GRANT_INFLIGHT;
		vxhs_dropped(c, io);
		return breach(c, bytes ? VXHS_RULE_MAX_INFLIGHT_BYTES :
					 VXHS_RULE_MAX_INFLIGHT);
	}
	if (io->kind == IO_WRITE)
		conn_expect(c, io, req->payload_len);
	else
		io_start(io);
	return RX_OK;
}

/* An answer that is known from the header alone. */
static enum rx refuse(struct conn *c, struct io *io, u16 status,
		      u32 payload_len)
{
	io->status = status;
	conn_drain(c, io, payload_len);
	return RX_OK;
}

static enum rx dispatch(struct conn *c, struct io *io,
			const struct vxhs_request *req)
{
	struct native *n = c->state;
	u16 status;

	if (req->flags & ~(VXHS_REQ_FUA | VXHS_REQ_NO_UNMAP))
		return refuse(c, io, VXHS_ST_INVALID, req->payload_len);
	if (n->lane && lane_stale(n->lane))
		return refuse(c, io, VXHS_ST_STALE, req->payload_len);

	switch (req->opcode) {
	case VXHS_OP_LOGIN:
	case VXHS_OP_OPEN:
		io->length = req->payload_len;
		io->payload_crc = req->payload_crc;
		conn_expect(c, io, req->payload_len);
		return RX_OK;
	case VXHS_OP_PING:
		ping(c, io);
		return RX_OK;
	case VXHS_OP_CLOSE:
		close_request(c, io, req->handle);
		return RX_OK;
	case VXHS_OP_LOGOUT:
		logout(c, io);
		return RX_OK;
	}
	if (kind_of(req->opcode) == IO_NONE)
		return refuse(c, io, VXHS_ST_UNSUPPORTED, 0);
	status = prepare_io(c, io, req);
	if (status)
		return refuse(c, io, status, req->payload_len);
	return begin_io(c, io, req);
}

static enum rx vxhs_header(struct conn *c, const void *hdr)
{
	struct native *n = c->state;
	struct vxhs_request req;
	enum vxhs_rule rule;
	struct io *io;

	rule = vxhs_get_request(hdr, n->features, &req);
	if (rule)
		return breach(c, rule);
	if ((n->lane == NULL) != (req.opcode == VXHS_OP_LOGIN)) {
		conn_complain(c, n->lane ? "it sent a second LOGIN" :
					   "its first frame is not LOGIN");
		return RX_CLOSE;
	}
	if (tags_have(&n->tags, req.tag)) {
		conn_complain(c, "a request's tag is that of an unanswered one");
		return RX_CLOSE;
	}
	if (c->nr_ios >= MAX_IOS || c->io_bytes >= MAX_BYTES)
		return RX_WAIT;

	io = io_new(c);
	if (!io) {
		conn_complain(c, "no memory for its request");
		return RX_CLOSE;
	}
	io->tag = req.tag;
	io->opcode = req.opcode;
	io->hashed = true;
	tags_add(&n->tags, io);
	return dispatch(c, io, &req);
}

static enum rx vxhs_payload(struct conn *c, struct io *io)
{
	struct native *n = c->state;

	if (io->status) {
		answer(c, io, NULL, 0);
		/* A LOGIN that failed has nothing to follow it. */
		if (!n->lane)
			c->last = true;
		return RX_OK;
	}
	if ((n->features & VXHS_F_DATA_CRC) &&
	    vxhs_wire_crc(io->buf, io->length) != io->payload_crc) {
		answer_status(c, io, VXHS_ST_BAD_CRC);
		return RX_OK;
	}
	switch (io->opcode) {
	case VXHS_OP_LOGIN:
		return login(c, io);
	case VXHS_OP_OPEN:
		open_request(c, io, io->length);
		return RX_OK;
	default:
		io_start(io);
		return RX_OK;
	}
}

/**
 * vxhs_send_event - tell a client something, if it wants to know
 * @c: a lane of this thread's loop
 * @kind: enum vxhs_event
 * @handle: of the vdisk that it is about
 */
void vxhs_send_event(struct conn *c, u8 kind, u32 handle)
{
	struct native *n = c->state;
	struct vxhs_reply event = {
		.tag = handle,
		.opcode = kind,
		.event = true,
	};
	struct io *io;

	if (c->closing || !(n->features & VXHS_F_EVENTS) ||
	    c->nr_ios >= MAX_IOS)
		return;
	io = io_new(c);
	if (!io)
		return;
	io->hdr_len = sizeof(io->hdr.native);
	vxhs_put_reply(&io->hdr.native, &event, n->features);
	conn_reply(c, io, NULL, 0);
}

/* The loop's thread.  Answers to a closing connection only free the I/O. */
static void drop_waits(struct conn *c)
{
	struct open_wait **pos = &c->loop->opens, *w;

	while ((w = *pos)) {
		if (w->io->conn != c) {
			pos = &w->next;
			continue;
		}
		*pos = w->next;
		answer_status(c, w->io, VXHS_ST_STALE);
		open_put(w->open);
		free(w);
	}
}

static void vxhs_closing(struct conn *c)
{
	struct native *n = c->state;

	drop_waits(c);
	if (!n->lane)
		return;
	n->lane->conn = NULL;
	lane_end(n->lane, false);
}

static void vxhs_freed(struct conn *c)
{
	struct native *n = c->state;
	unsigned int i;

	for (i = 0; i < n->nr_handles; i++)
		drop_handle(&n->handles[i]);
	free(n->handles);
	if (n->lane)
		lane_put(n->lane);
	free(n);
	c->state = NULL;
}

const struct dialect dialect_vxhs = {
	.name = "VXHS 1",
	.header_len = sizeof(struct vxhs_req_hdr),
	.header = vxhs_header,
	.payload = vxhs_payload,
	.reply = vxhs_reply,
	.dropped = vxhs_dropped,
	.tick = vxhs_tick,
	.closing = vxhs_closing,
	.freed = vxhs_freed,
};

/**
 * vxhs_begin - a lane becomes native
 * @c: its STAT reply with our choice is on its way
 * @min: lowest version of the client's offer
 * @max: highest
 * @features: those it offered
 */
void vxhs_begin(struct conn *c, u16 min, u16 max, u64 features)
{
	struct native *n = calloc(1, sizeof(*n));

	if (!n) {
		conn_complain(c, "no memory for a native lane");
		conn_close(c);
		return;
	}
	n->features = features & VXHS_FEATURES_ALL;
	n->offered = features;
	n->min_version = min;
	n->max_version = max;
	dialect_qnio.freed(c);
	c->state = n;
	c->dialect = &dialect_vxhs;
	c->established = false;
}
