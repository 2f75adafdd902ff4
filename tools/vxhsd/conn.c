// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend.h"
#include "conn.h"
#include "log.h"

#define DIRECT_MIN	16384		/* bytes that are worth a recv alone */
#define DIRECT_MAX	131072		/* bytes until progress is noticed */
#define TX_BYTES	(1 << 20)	/* of one sendmsg, more or less */
#define FIRST_US	10000000	/* for the first frame to be complete */
#define STALL_US	60000000	/* for the rest of a frame to begin */

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/**
 * conn_adopt - take over an accepted socket
 * @loop: of this thread
 * @fd: the socket; closed if there is no memory for it
 */
void conn_adopt(struct loop *loop, int fd)
{
	struct conn *c = loop->stopping ? NULL : calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->peer);

	if (!c) {
		close(fd);
		atomic_fetch_sub(&nr_conns_total, 1);
		return;
	}
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
	getpeername(fd, (struct sockaddr *)&c->peer, &len);

	c->loop = loop;
	c->fd = fd;
	c->dialect = &dialect_qnio;
	c->queue_tail = &c->queue;
	c->sending_tail = &c->sending;
	LIST_INSERT_HEAD(&loop->conns, c, all);
	conn_mark_dirty(c);
}

/**
 * conn_mark_dirty - look at a connection at the end of this turn
 * @c: has something to send, to receive or to end
 */
void conn_mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->loop->dirty;
	c->loop->dirty = c;
}

/**
 * conn_complain - log what a peer did
 * @c: its connection
 * @what: in words
 */
void conn_complain(struct conn *c, const char *what)
{
	char peer[ADDR_TEXT];

	addr_format((struct sockaddr *)&c->peer, peer);
	log_peer("%s: %s; connection closed", peer, what);
}

static void unlist(struct conn *c)
{
	if (c->starved)
		TAILQ_REMOVE(&c->loop->starved, c, starve_entry);
	if (c->resuming)
		TAILQ_REMOVE(&c->loop->resume, c, resume_entry);
	c->starved = false;
	c->resuming = false;
}

static void free_list(struct io **head, struct io ***tail)
{
	struct io *io = *head;

	*head = NULL;
	*tail = head;
	while (io) {
		struct io *next = io->next;

		io_free(io);
		io = next;
	}
}

static void drop_rx(struct conn *c)
{
	struct io *io = c->rx_io;

	c->rx_io = NULL;
	if (io)
		c->dialect->dropped(c, io);
}

/* What the kernel does not work on can go at once. */
static void drop_pending(struct conn *c)
{
	free_list(&c->queue, &c->queue_tail);
	if (!c->tx)
		free_list(&c->sending, &c->sending_tail);
	if (!(c->recv_armed && c->direct))
		drop_rx(c);
	free(c->stash);
	c->stash = NULL;
}

/**
 * conn_close - end a connection now
 * @c: any; a second call does nothing
 *
 * I/O that the backend has begun goes on, its reply is dropped.  @c stays
 * valid until the end of the turn.
 */
void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	shutdown(c->fd, SHUT_RDWR);
	c->dialect->closing(c);
	unlist(c);
	drop_pending(c);
	conn_mark_dirty(c);
}

static void conn_free(struct conn *c)
{
	c->dialect->freed(c);
	LIST_REMOVE(c, all);
	close(c->fd);
	free(c);
	atomic_fetch_sub(&nr_conns_total, 1);
}

/* Receiving */

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
 * conn_starve - go on when memory has come back to the loop's pool
 * @c: its dialect answers RX_WAIT
 */
void conn_starve(struct conn *c)
{
	if (c->starved)
		return;
	c->starved = true;
	TAILQ_INSERT_TAIL(&c->loop->starved, c, starve_entry);
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
			if (!io->buf && !io_get_buf(io, c->rx_len)) {
				conn_starve(c);
				return RX_WAIT;
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

/* Returns how much of the input was used; all of it, unless c->waiting. */
static size_t conn_input(struct conn *c, const u8 *data, size_t len)
{
	size_t used = 0, n;

	while (!c->closing && !c->last) {
		const void *hdr;

		if (c->rx_io) {
			if (take_payload(c, data + used, len - used, &n) ==
			    RX_WAIT) {
				c->waiting = true;
				return used;
			}
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
			c->waiting = true;
			return hdr == c->hdr ? used + n : used;
		case RX_CLOSE:
			conn_close(c);
			break;
		}
	}
	return len;
}

static void conn_take(struct conn *c, const u8 *data, size_t len)
{
	size_t used = conn_input(c, data, len);

	if (used == len)
		return;
	c->stash = malloc(len - used);
	if (!c->stash) {
		conn_complain(c, "no memory for what it sent");
		conn_close(c);
		return;
	}
	memcpy(c->stash, data + used, len - used);
	c->stash_len = len - used;
}

static void resume(struct conn *c)
{
	u8 *stash = c->stash;
	size_t len = c->stash_len;

	c->waiting = false;
	c->stash = NULL;
	c->stash_len = 0;
	conn_take(c, stash, len);
	free(stash);
	conn_mark_dirty(c);
}

/* The peer has said its last word; what it asked before is still answered. */
static void conn_eof(struct conn *c)
{
	c->last = true;
	drop_rx(c);
}

static void take_received(struct conn *c, const u8 *data, size_t len)
{
	c->rx_us = c->loop->now_us;
	if (!c->first_us)
		c->first_us = c->rx_us;
	if (c->rx_seen)
		atomic_store_explicit(c->rx_seen, c->rx_us,
				      memory_order_relaxed);
	if (c->direct) {
		c->rx_left -= len;
		if (!c->rx_left)
			payload_done(c);
	} else {
		conn_take(c, data, len);
	}
}

static void received(struct op *op, int res, unsigned int flags)
{
	struct conn *c = (struct conn *)((char *)op -
					 offsetof(struct conn, recv_op));
	struct loop *loop = c->loop;
	unsigned int id = flags >> IORING_CQE_BUFFER_SHIFT;

	c->recv_armed = false;
	conn_mark_dirty(c);
	if (c->closing)
		drop_pending(c);
	else if (!res || c->last)
		conn_eof(c);
	else if (res > 0)
		take_received(c, loop->rx_bufs + (size_t)id * RX_BUF_SIZE,
			      (size_t)res);
	else if (res != -ENOBUFS && res != -EAGAIN && res != -EINTR)
		conn_close(c);

	if (flags & IORING_CQE_F_BUFFER)
		loop_rx_return(loop, id);
}

static void arm_recv(struct conn *c)
{
	struct io_uring_sqe *sqe = loop_sqe(c->loop, &c->recv_op);
	struct io *io = c->rx_io;

	c->recv_op.done = received;
	c->recv_armed = true;
	c->direct = io && !c->rx_drain && io->buf && c->rx_left >= DIRECT_MIN;
	if (c->direct) {
		size_t len = c->rx_left < DIRECT_MAX ? (size_t)c->rx_left :
						       DIRECT_MAX;

		io_uring_prep_recv(sqe, c->fd,
				   io->buf + (c->rx_len - c->rx_left), len,
				   MSG_WAITALL);
		return;
	}
	io_uring_prep_recv(sqe, c->fd, NULL, RX_BUF_SIZE, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = RX_BUF_GROUP;
}

/* Sending */

static void append(struct io ***tail, struct io *io)
{
	io->next = NULL;
	**tail = io;
	*tail = &io->next;
}

/**
 * conn_reply - send a reply when the turn ends
 * @c: the request's connection
 * @io: the request; its hdr holds the reply's header, hdr_len bytes
 * @data: payload that lives as long as @io, or NULL
 * @len: its bytes
 */
void conn_reply(struct conn *c, struct io *io, const void *data, u32 len)
{
	if (c->closing) {
		io_free(io);
		return;
	}
	io->data = data;
	io->data_len = len;
	append(&c->queue_tail, io);
	conn_mark_dirty(c);
}

/**
 * conn_reply_first - send a reply without payload before others that wait
 * @c: the request's connection
 * @io: the request, as for conn_reply()
 *
 * The reply to STAT, in the language before this one, stays ahead.
 */
void conn_reply_first(struct conn *c, struct io *io)
{
	struct io **pos = &c->queue;

	if (c->closing) {
		io_free(io);
		return;
	}
	io->data = NULL;
	io->data_len = 0;
	while (*pos && (*pos)->hdr_len != io->hdr_len)
		pos = &(*pos)->next;
	io->next = *pos;
	if (!io->next)
		c->queue_tail = &io->next;
	*pos = io;
	conn_mark_dirty(c);
}

static struct tx *tx_get(struct loop *loop)
{
	struct tx *tx = loop->free_txs;

	if (tx)
		loop->free_txs = tx->next;
	else
		tx = malloc(sizeof(*tx));
	return tx;
}

static void tx_put(struct loop *loop, struct tx *tx)
{
	tx->next = loop->free_txs;
	loop->free_txs = tx;
}

static void sent_bytes(struct conn *c, size_t n)
{
	struct io *io;

	c->tx_us = c->loop->now_us;
	c->tx_skip += n;
	while ((io = c->sending) &&
	       c->tx_skip >= (size_t)io->hdr_len + io->data_len) {
		c->tx_skip -= (size_t)io->hdr_len + io->data_len;
		c->sending = io->next;
		if (!c->sending)
			c->sending_tail = &c->sending;
		io_free(io);
	}
}

static void sent(struct op *op, int res, unsigned int flags)
{
	struct conn *c = (struct conn *)((char *)op -
					 offsetof(struct conn, send_op));

	(void)flags;
	tx_put(c->loop, c->tx);
	c->tx = NULL;
	conn_mark_dirty(c);
	if (c->closing)
		drop_pending(c);
	else if (res >= 0)
		sent_bytes(c, (size_t)res);
	else if (res != -EAGAIN && res != -EINTR)
		conn_close(c);
}

static size_t add_iovs(struct tx *tx, struct io *io, size_t skip)
{
	struct iovec *iov = &tx->iov[tx->msg.msg_iovlen];
	size_t bytes = 0;

	if (skip < io->hdr_len) {
		iov->iov_base = (u8 *)&io->hdr + skip;
		iov->iov_len = io->hdr_len - skip;
		bytes += iov->iov_len;
		iov++;
		skip = 0;
	} else {
		skip -= io->hdr_len;
	}
	if (skip < io->data_len) {
		iov->iov_base = (u8 *)io->data + skip;
		iov->iov_len = io->data_len - skip;
		bytes += iov->iov_len;
		iov++;
	}
	tx->msg.msg_iovlen = (size_t)(iov - tx->iov);
	return bytes;
}

/* Everything that waits, in one sendmsg as far as it goes. */
static void start_tx(struct conn *c)
{
	struct tx *tx = tx_get(c->loop);
	struct io_uring_sqe *sqe;
	size_t bytes = 0;
	struct io *io;

	if (!tx) {
		conn_close(c);
		return;
	}
	memset(&tx->msg, 0, sizeof(tx->msg));
	tx->msg.msg_iov = tx->iov;
	for (io = c->sending; io && tx->msg.msg_iovlen + 2 <= TX_IOVS;
	     io = io->next)
		bytes += add_iovs(tx, io, io == c->sending ? c->tx_skip : 0);
	while (!io && c->queue && tx->msg.msg_iovlen + 2 <= TX_IOVS &&
	       bytes < TX_BYTES) {
		struct io *next = c->queue;

		c->queue = next->next;
		if (!c->queue)
			c->queue_tail = &c->queue;
		append(&c->sending_tail, next);
		bytes += add_iovs(tx, next, 0);
	}
	c->tx = tx;
	c->tx_us = c->loop->now_us;
	c->send_op.done = sent;
	sqe = loop_sqe(c->loop, &c->send_op);
	io_uring_prep_sendmsg(sqe, c->fd, &tx->msg, MSG_NOSIGNAL);
}

/* The loop's side */

/**
 * conn_io_freed - an I/O of a connection is over
 * @c: may have waited for that
 */
void conn_io_freed(struct conn *c)
{
	if (!c->nr_ios)
		conn_mark_dirty(c);
	if (!c->waiting || c->starved || c->resuming || c->closing)
		return;
	c->resuming = true;
	TAILQ_INSERT_TAIL(&c->loop->resume, c, resume_entry);
}

/**
 * conns_resume - go on with connections that waited for memory or a limit
 * @loop: of this thread
 */
void conns_resume(struct loop *loop)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&loop->starved))) {
		TAILQ_REMOVE(&loop->starved, c, starve_entry);
		c->starved = false;
		resume(c);
		if (c->starved) {
			/* Still first in line. */
			TAILQ_REMOVE(&loop->starved, c, starve_entry);
			TAILQ_INSERT_HEAD(&loop->starved, c, starve_entry);
			break;
		}
	}
	while ((c = TAILQ_FIRST(&loop->resume))) {
		TAILQ_REMOVE(&loop->resume, c, resume_entry);
		c->resuming = false;
		resume(c);
	}
}

static void flush_one(struct conn *c)
{
	if (!c->closing && c->last && !c->nr_ios && !c->waiting) {
		conn_close(c);	/* and is dirty again */
		return;
	}
	if (c->closing) {
		if (!c->recv_armed && !c->tx && !c->nr_ios)
			conn_free(c);
		return;
	}
	if (!c->tx && (c->sending || c->queue))
		start_tx(c);
	if (!c->recv_armed && !c->last && !c->waiting && !c->closing)
		arm_recv(c);
}

/**
 * conns_flush - send and arm what this turn has brought
 * @loop: of this thread
 */
void conns_flush(struct loop *loop)
{
	struct conn *c;

	while ((c = loop->dirty)) {
		loop->dirty = c->dirty_next;
		c->dirty = false;
		flush_one(c);
	}
}

static const char *overdue(const struct conn *c, u64 now)
{
	bool partial = c->hdr_have || c->rx_io;

	if (c->closing || c->last || c->waiting || !c->first_us)
		return NULL;
	if (!c->established && (partial || c->dialect == &dialect_vxhs) &&
	    now - c->first_us > FIRST_US)
		return "its first frame did not come in time";
	if (partial && now - c->rx_us > STALL_US)
		return "a frame stopped half-way";
	return NULL;
}

/**
 * conns_tick - once a second: close those that hold up a frame, and let go
 * of vdisks that are gone
 * @loop: of this thread
 *
 * A peer that takes no replies is closed only when others want the memory.
 */
void conns_tick(struct loop *loop)
{
	struct conn *c;

	LIST_FOREACH(c, &loop->conns, all) {
		const char *why = overdue(c, loop->now_us);

		if (!why && c->tx && !TAILQ_EMPTY(&loop->starved) &&
		    loop->now_us - c->tx_us > STALL_US)
			why = "it takes no replies and memory is short";
		if (why) {
			conn_complain(c, why);
			conn_close(c);
		} else if (!c->closing) {
			c->dialect->tick(c);
		}
	}
}

/**
 * conns_drain - the server ends: answer what was asked, then close
 * @loop: of this thread
 */
void conns_drain(struct loop *loop)
{
	struct conn *c;

	loop->stopping = true;
	LIST_FOREACH(c, &loop->conns, all) {
		if (c->closing)
			continue;
		c->last = true;
		c->waiting = false;
		if (c->recv_armed)
			shutdown(c->fd, SHUT_RD);
		else if (c->rx_io)
			conn_eof(c);
		conn_mark_dirty(c);
	}
}

/** conns_free_caches - the loop has ended; free what waited for reuse */
void conns_free_caches(struct loop *loop)
{
	while (loop->free_txs) {
		struct tx *tx = loop->free_txs;

		loop->free_txs = tx->next;
		free(tx);
	}
	while (loop->free_ios) {
		struct io *io = loop->free_ios;

		loop->free_ios = io->next;
		free(io);
	}
}
