// SPDX-License-Identifier: GPL-2.0
/* Replies of a connection to bytes, many at a time. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "conn_parts.h"
#include "io.h"

#define TX_BYTES	(1 << 20)	/* of one sendmsg, more or less */
#define TX_IOVS		256

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
	if (c->life == CONN_CLOSING) {
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

	if (c->life == CONN_CLOSING) {
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

static size_t add_iovs(struct msghdr *msg, struct io *io, size_t skip)
{
	struct iovec *iov = &msg->msg_iov[msg->msg_iovlen];
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
	msg->msg_iovlen = (size_t)(iov - msg->msg_iov);
	return bytes;
}

/* What is half out, then what waits, as far as it goes. */
static void gather(struct conn *c, struct msghdr *msg)
{
	size_t bytes = 0;
	struct io *io;

	if (!c->sending)
		c->tx_since_us = c->loop->now_us;
	for (io = c->sending; io && msg->msg_iovlen + 2 <= TX_IOVS;
	     io = io->next)
		bytes += add_iovs(msg, io, io == c->sending ? c->tx_skip : 0);
	while (!io && c->queue && msg->msg_iovlen + 2 <= TX_IOVS &&
	       bytes < TX_BYTES) {
		struct io *next = c->queue;

		c->queue = next->next;
		if (!c->queue)
			c->queue_tail = &c->queue;
		append(&c->sending_tail, next);
		bytes += add_iovs(msg, next, 0);
	}
}

static void writable(struct op *op, int res, unsigned int flags)
{
	struct conn *c = (struct conn *)((char *)op -
					 offsetof(struct conn, send_op));

	(void)res;
	(void)flags;
	c->send_armed = false;
	conn_mark_dirty(c);
}

static void wait_until_writable(struct conn *c)
{
	c->send_armed = true;
	c->send_op.done = writable;
	io_uring_prep_poll_add(loop_sqe(c->loop, &c->send_op), c->fd, POLLOUT);
}

/*
 * Everything that waits, in one sendmsg as far as it goes.  A system call of
 * its own and not the ring's: the replies are out, and forgotten, before the
 * loop waits again.
 */
void conn_send(struct conn *c)
{
	struct iovec iov[TX_IOVS];
	struct msghdr msg = { .msg_iov = iov };
	ssize_t res;

	gather(c, &msg);
	res = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (res < 0 && errno != EAGAIN && errno != EINTR) {
		conn_close(c);
		return;
	}
	if (res > 0)
		sent_bytes(c, (size_t)res);
	if (c->sending)
		wait_until_writable(c);
	else if (c->queue)
		conn_mark_dirty(c);
}
