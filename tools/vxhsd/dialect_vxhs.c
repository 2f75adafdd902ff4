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
#include "native.h"
#include "session.h"

/*
 * A client within its grants never reaches these: they bound what one may
 * make the server hold by asking for control operations and not reading.
 */
#define MAX_IOS		(GRANT_INFLIGHT + 2 * MAX_OPENS)
#define MAX_IOS_SHORT	(2 * GRANT_INFLIGHT)	/* when memory is short */
#define MAX_BYTES	(2 * GRANT_BYTES)

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

/* Send the reply; its status is set. */
void vxhs_answer(struct conn *c, struct io *io, const void *data, u32 len)
{
	encode(c, io, data, len);
	conn_reply(c, io, data, len);
}

void vxhs_answer_status(struct conn *c, struct io *io, u16 status)
{
	io->status = status;
	vxhs_answer(c, io, NULL, 0);
}

/* The backend is done with it. */
static void vxhs_reply(struct conn *c, struct io *io)
{
	struct vxhs_flush_rsp *flush = (void *)io->body;

	if (io->status) {
		vxhs_answer(c, io, NULL, 0);
	} else if (io->kind == IO_READ) {
		vxhs_answer(c, io, io->buf, io->length);
	} else if (io->kind == IO_FLUSH) {
		flush->verifier =
			htole64(atomic_load(&io->use->export->verifier));
		vxhs_answer(c, io, flush, sizeof(*flush));
	} else {
		vxhs_answer(c, io, NULL, 0);
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
	vxhs_answer(c, io, io->body, sizeof(struct vxhs_login_rsp));
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
		vxhs_answer_status(c, io, status);
		conn_read_no_more(c);
		return RX_OK;
	}
	c->established = true;
	c->rx_seen = &n->lane->rx_us;
	c->silence_us = (u64)kato_ms * 1000;
	grant(c, io, kato_ms);
	return RX_OK;
}

static void logout(struct conn *c, struct io *io)
{
	struct native *n = c->state;

	lane_end(n->lane, true);
	vxhs_answer_status(c, io, VXHS_ST_OK);
	conn_read_no_more(c);
}

static void ping(struct conn *c, struct io *io)
{
	encode(c, io, NULL, 0);
	conn_reply_first(c, io);
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

/* vxhs_check_io() knows nothing of what OPEN said of these two. */
static bool too_long(const struct vxhs_request *req,
		     const struct vxhs_geometry *g)
{
	return (req->opcode == VXHS_OP_DISCARD &&
		req->length > g->max_discard) ||
	       (req->opcode == VXHS_OP_WRITE_ZEROES &&
		req->length > g->max_write_zeroes);
}

/* Finds the vdisk and checks the bounds; what fails has its answer. */
static u16 prepare_io(struct conn *c, struct io *io,
		      const struct vxhs_request *req)
{
	struct use *use = vxhs_find_use(c, req->handle);
	u16 status;

	if (!use)
		return VXHS_ST_NO_SESSION;
	if (req->opcode != VXHS_OP_FLUSH) {
		status = vxhs_check_io(req, atomic_load(&use->export->size),
				       use->export->geometry.logical_block,
				       GRANT_IO);
		if (status)
			return status;
		if (too_long(req, &use->export->geometry))
			return VXHS_ST_INVALID;
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
		vxhs_dropped(c, io);
		conn_starve(c, req->length);
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
	status = n->lane ? lane_verdict(n->lane) : VXHS_ST_OK;
	if (status)
		return refuse(c, io, status, req->payload_len);

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
		vxhs_close_request(c, io, req->handle);
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

/* It goes on when some of its requests have been answered. */
static bool must_wait(const struct conn *c)
{
	return c->nr_ios >= MAX_IOS || c->io_bytes >= MAX_BYTES ||
	       (c->nr_ios >= MAX_IOS_SHORT &&
		pool_short(&c->loop->pool, 0));
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
	if (!n->lane != (req.opcode == VXHS_OP_LOGIN)) {
		conn_complain(c, n->lane ? "it sent a second LOGIN" :
					   "its first frame is not LOGIN");
		return RX_CLOSE;
	}
	if (tags_have(&n->tags, req.tag)) {
		conn_complain(c, "a request's tag is that of an unanswered one");
		return RX_CLOSE;
	}
	if (must_wait(c))
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
		vxhs_answer(c, io, NULL, 0);
		/* A LOGIN that failed has nothing to follow it. */
		if (!n->lane)
			conn_read_no_more(c);
		return RX_OK;
	}
	if ((n->features & VXHS_F_DATA_CRC) &&
	    vxhs_wire_crc(io->buf, io->length) != io->payload_crc) {
		vxhs_answer_status(c, io, VXHS_ST_BAD_CRC);
		return RX_OK;
	}
	switch (io->opcode) {
	case VXHS_OP_LOGIN:
		return login(c, io);
	case VXHS_OP_OPEN:
		vxhs_open_request(c, io, io->length);
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

	if (c->life == CONN_CLOSING || !(n->features & VXHS_F_EVENTS) ||
	    c->nr_ios >= MAX_IOS)
		return;
	io = io_new(c);
	if (!io)
		return;
	io->hdr_len = sizeof(io->hdr.native);
	vxhs_put_reply(&io->hdr.native, &event, n->features);
	conn_reply(c, io, NULL, 0);
}

static void vxhs_closing(struct conn *c)
{
	struct native *n = c->state;

	vxhs_drop_waits(c);
	if (!n->lane)
		return;
	n->lane->conn = NULL;
	lane_end(n->lane, c->cut);
}

static void vxhs_freed(struct conn *c)
{
	struct native *n = c->state;

	vxhs_drop_handles(n);
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
