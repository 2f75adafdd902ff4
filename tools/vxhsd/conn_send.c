// SPDX-License-Identifier: GPL-2.0
/* Replies of a connection to bytes, many at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "conn_parts.h"
#include "io.h"

#define TX_BYTES	(1 << 20)	/* of one sendmsg, more or less */

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

	c->tx_skip += n;
	while ((io = c->sending) &&
	       c->tx_skip >= (size_t)io->hdr_len + io->data_len) {
		c->tx_skip -= (size_t)io->hdr_len + io->data_len;
		c->sending = io->next;
		if (!c->sending)
			c->sending_tail = &c->sending;
		c->tx_since_us = c->loop->now_us;
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
		conn_drop_pending(c);
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
void conn_start_tx(struct conn *c)
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
	if (!c->sending)
		c->tx_since_us = c->loop->now_us;
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
	c->send_op.done = sent;
	sqe = loop_sqe(c->loop, &c->send_op);
	io_uring_prep_sendmsg(sqe, c->fd, &tx->msg, MSG_NOSIGNAL);
}
