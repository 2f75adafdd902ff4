// SPDX-License-Identifier: GPL-2.0
/* Bytes of a connection to frames. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "client.h"
#include "conn.h"
#include "conn_parts.h"
#include "tls.h"

#define CAREFUL_BYTES	16384		/* of one receive, when memory is short */

/* The payload of a request will not come any more. */
void conn_drop_rx(struct conn *c)
{
	struct io *io = c->rx_io;

	c->rx_io = NULL;
	if (io)
		c->dialect->dropped(c, io);
}

/**
 * conn_expect - the payload of a request comes next
 * @c: the request's connection
 * @io: the request
 * @len: bytes, at least 1
 *
 * Called by the dialect for a header; it gets the payload in @io->buf.
 */
void conn_expect(struct conn *c, struct io *io, u64 len)
{
	c->rx_io = io;
	c->rx_len = len;
	c->rx_left = len;
	c->rx_drain = false;
}

/**
 * conn_drain - the payload that comes next is of no use
 * @c: the request's connection
 * @io: the request, handed to the dialect's payload() when it is over
 * @len: bytes, 0 included
 */
void conn_drain(struct conn *c, struct io *io, u64 len)
{
	conn_expect(c, io, len);
	c->rx_drain = true;
}

/**
 * conn_starve - go on when there is memory: in the loop's pool, or for its
 * client, who holds up nobody else
 * @c: its dialect answers RX_WAIT
 * @size: bytes that it wants
 */
void conn_starve(struct conn *c, size_t size)
{
	if (c->wait)
		return;
	/* It is not the peer who is silent while we do not listen. */
	if (c->rx_seen)
		atomic_store(c->rx_seen, RX_DEAF);
	if (client_full(c->client, size)) {
		c->wait = WAIT_CLIENT;
		atomic_fetch_add(&c->client->held, 1);
		TAILQ_INSERT_TAIL(&c->loop->held, c, wait_entry);
	} else {
		c->wait = WAIT_MEMORY;
		TAILQ_INSERT_TAIL(&c->loop->starved, c, wait_entry);
	}
}

static bool may_lend(const struct io *io)
{
	return io->kind == IO_NONE || io->use->export->backend->at_once;
}

static void payload_done(struct conn *c)
{
	struct io *io = c->rx_io;

	c->rx_io = NULL;
	if (c->dialect->payload(c, io) == RX_CLOSE)
		conn_close(c);
}

/*
 * Take payload from a receive buffer; *taken says how much.  A payload that
 * is complete there may be used where it is.  RX_WAIT: there is no memory.
 */
static enum rx take_payload(struct conn *c, const u8 *data, size_t len,
			    size_t *taken)
{
	struct io *io = c->rx_io;
	size_t n = len < c->rx_left ? len : (size_t)c->rx_left;

	*taken = 0;
	if (c->rx_left && !c->rx_drain && n) {
		if (!io->buf && n == c->rx_left && may_lend(io)) {
			io->buf = (u8 *)data;
		} else {
			if (!io->buf) {
				if (!io_get_buf(io, c->rx_len)) {
					conn_starve(c, c->rx_len);
					return RX_WAIT;
				}
				c->rx_since_us = c->loop->now_us;
			}
			memcpy(io->buf + (c->rx_len - c->rx_left), data, n);
		}
	}
	*taken = n;
	c->rx_left -= n;
	if (!c->rx_left)
		payload_done(c);
	return RX_OK;
}

/* Find the next header in what has come; NULL if it is not complete. */
static const void *take_header(struct conn *c, const u8 *data, size_t len,
			       size_t *taken)
{
	size_t need = c->dialect->header_len - c->hdr_have;

	if (!c->hdr_have && len >= need) {
		*taken = need;
		return data;
	}
	*taken = len < need ? len : need;
	if (*taken)
		memcpy(c->hdr + c->hdr_have, data, *taken);
	c->hdr_have += *taken;
	return c->hdr_have == c->dialect->header_len ? c->hdr : NULL;
}

/* Returns how much of the input was used; all of it, unless c->wait. */
static size_t conn_input(struct conn *c, const u8 *data, size_t len)
{
	size_t used = 0, n;

	while (c->life == CONN_OPEN) {
		const void *hdr;

		if (c->rx_io) {
			if (take_payload(c, data + used, len - used, &n) ==
			    RX_WAIT)
				return used;
			used += n;
			if (c->rx_io)
				return used;
			continue;
		}
		hdr = take_header(c, data + used, len - used, &n);
		if (!hdr)
			return len;
		switch (c->dialect->header(c, hdr)) {
		case RX_OK:
			c->hdr_have = 0;
			used += n;
			break;
		case RX_WAIT:
			if (!c->wait)
				c->wait = WAIT_IO;
			return hdr == c->hdr ? used + n : used;
		case RX_CLOSE:
			conn_close(c);
			break;
		}
	}
	return len;
}

static void stash(struct conn *c, const u8 *data, size_t len)
{
	u8 *more = realloc(c->stash, c->stash_len + len);

	if (!more) {
		conn_complain(c, "no memory for what it sent");
		conn_close(c);
		return;
	}
	memcpy(more + c->stash_len, data, len);
	c->stash = more;
	c->stash_len += len;
	c->loop->stashed += len;
}

/* It may wait already: the ring hears of that only when the turn ends. */
static void conn_take(struct conn *c, const u8 *data, size_t len)
{
	size_t used = c->wait ? 0 : conn_input(c, data, len);

	if (used < len)
		stash(c, data + used, len - used);
}

/* Go on with what waited. */
void conn_resume(struct conn *c)
{
	u8 *stash = c->stash;
	size_t len = c->stash_len;

	c->stash = NULL;
	c->stash_len = 0;
	c->loop->stashed -= len;
	/* A header that is complete has perhaps nothing behind it. */
	conn_take(c, stash ? stash : c->hdr, len);
	free(stash);
	conn_mark_dirty(c);
}

/* The peer has said its last word; what it asked before is still answered. */
void conn_eof(struct conn *c)
{
	conn_read_no_more(c);
	conn_drop_rx(c);
}

/*
 * When this process or its machine stood still, what came meanwhile waits in
 * the sockets.  Whoever was silent for too long before has been given up, by
 * itself as well: the clock decides before the bytes are looked at.
 */
static bool was_silent(const struct conn *c)
{
	return c->rx_seen &&
	       now_us() > atomic_load(c->rx_seen) + c->silence_us;
}

/* A handshake record of any version. */
static bool begins_tls(const u8 *data, size_t len)
{
	return len > 1 && data[0] == 0x16 && data[1] == 3;
}

static void take_received(struct conn *c, const u8 *data, size_t len)
{
	if (was_silent(c)) {
		conn_complain(c, "it was silent for kato");
		conn_close(c);
		return;
	}
	if (!c->first_us && !c->who && begins_tls(data, len)) {
		conn_complain(c, "it begins TLS, which this server is not configured for");
		conn_close(c);
		return;
	}
	c->rx_us = c->loop->now_us;
	if (!c->first_us)
		c->first_us = c->rx_us;
	if (c->rx_seen && !c->wait)
		atomic_store_explicit(c->rx_seen, c->rx_us,
				      memory_order_relaxed);
	conn_take(c, data, len);
}

/* A receive of TLS failed with EIO: there is a record that is not data. */
static void take_record(struct conn *c)
{
	switch (tls_take_record(c->fd)) {
	case TLS_RECORD_NONE:
		break;
	case TLS_RECORD_EOF:
		conn_eof(c);
		break;
	case TLS_RECORD_OTHER:
		conn_complain(c, "it sent a TLS record that is neither data nor the end");
		conn_close(c);
		break;
	}
}

static void receive_failed(struct conn *c, int res)
{
	if (res == -ENOBUFS || res == -ECANCELED || res == -EAGAIN ||
	    res == -EINTR)
		return;
	if (c->who && res == -EIO) {
		take_record(c);
		return;
	}
	if (c->who && res == -EBADMSG)
		conn_complain(c, "a TLS record is not authentic");
	conn_close(c);
}

static void received(struct op *op, int res, unsigned int flags)
{
	struct conn *c = (struct conn *)((char *)op -
					 offsetof(struct conn, recv_op));
	struct loop *loop = c->loop;
	unsigned int id = flags >> IORING_CQE_BUFFER_SHIFT;

	c->recv_armed = flags & IORING_CQE_F_MORE;
	conn_mark_dirty(c);
	if (res > 0 && c->life == CONN_OPEN)
		take_received(c, loop->rx_bufs + (size_t)id * RX_BUF_SIZE,
			      (size_t)res);
	else if (!res && c->life == CONN_OPEN && !c->wait)
		conn_eof(c);	/* else it is heard again, after the stash */
	else if (res < 0)
		receive_failed(c, res);

	if (flags & IORING_CQE_F_BUFFER)
		loop_rx_return(loop, id);
}

/* With TLS there is something. */
static void readable(struct op *op, int res, unsigned int flags)
{
	struct conn *c = (struct conn *)((char *)op -
					 offsetof(struct conn, recv_op));
	struct tls_rx *rx = c->loop->tls_rx;
	ssize_t n;

	(void)flags;
	c->recv_armed = false;
	conn_mark_dirty(c);
	if (res < 0) {
		receive_failed(c, res);
		return;
	}
	/* What waits is heard again. */
	if (c->life != CONN_OPEN || c->wait)
		return;
	n = tls_receive(rx, c->fd,
			c->loop->careful ? CAREFUL_BYTES : TLS_RX_SIZE);
	if (n > 0)
		take_received(c, rx->buf, (size_t)n);
	else if (!n)
		conn_eof(c);
	else
		receive_failed(c, (int)n);
}

/*
 * Ask the ring for all that comes; where it could not be kept, for a buffer
 * of it.
 */
void conn_arm_recv(struct conn *c)
{
	struct io_uring_sqe *sqe = loop_sqe(c->loop, &c->recv_op);

	c->recv_armed = true;
	if (c->who) {
		c->recv_op.done = readable;
		io_uring_prep_poll_add(sqe, c->fd, POLLIN);
		return;
	}
	c->recv_op.done = received;
	if (c->loop->careful)
		io_uring_prep_recv(sqe, c->fd, NULL, CAREFUL_BYTES, 0);
	else
		io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = RX_BUF_GROUP;
}

static void cancelled(struct op *op, int res, unsigned int flags)
{
	(void)op;
	(void)res;
	(void)flags;
}

/* What comes stays in the socket. */
void conn_disarm_recv(struct conn *c)
{
	static struct op op = { .done = cancelled };

	io_uring_prep_cancel(loop_sqe(c->loop, &op), &c->recv_op, 0);
}
