// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "client.h"
#include "conn.h"
#include "io.h"

#define KEEP_IOS	1024
#define SMALL_IO	(1u << 20)

/**
 * io_new - begin with a request
 * @c: where it came from
 *
 * Return: a request with nothing in it but its connection and time, or NULL
 * without memory
 */
struct io *io_new(struct conn *c)
{
	struct loop *loop = c->loop;
	struct io *io = loop->free_ios;

	if (io) {
		loop->free_ios = io->next;
		loop->free_ios_count--;
	} else {
		io = malloc(sizeof(*io));
		if (!io)
			return NULL;
	}
	memset(io, 0, offsetof(struct io, hdr));
	io->conn = c;
	io->t0_us = loop->now_us;
	c->nr_ios++;
	loop->pool.lent += sizeof(*io);
	return io;
}

/**
 * io_free - a request is over
 * @io: in no list, and neither the kernel nor a backend knows it
 */
void io_free(struct io *io)
{
	struct conn *c = io->conn;
	struct loop *loop = c->loop;

	if (io->buf_size) {
		pool_put(&loop->pool, io->buf, io->buf_size);
		client_give(c->client, io->buf_size);
		c->io_bytes -= io->buf_size;
	}
	if (io->use)
		use_put(io->use);
	c->nr_ios--;
	loop->pool.lent -= sizeof(*io);
	conn_io_freed(c);
	if (loop->free_ios_count == KEEP_IOS) {
		free(io);
		return;
	}
	io->next = loop->free_ios;
	loop->free_ios = io;
	loop->free_ios_count++;
}

/**
 * io_get_buf - get memory for the payload of a request or its reply
 * @io: has none yet
 * @size: bytes, at least 1
 *
 * What is kept back is for one small I/O of each who holds nothing, so that
 * those who hoard do not stop the others, nor one connection of a client its
 * others.  So a client may come to have twice what it may.
 *
 * Return: false when the loop has lent out all it may, or its client has all
 * it may have; see conn_starve()
 */
bool io_get_buf(struct io *io, size_t size)
{
	struct pool *pool = &io->conn->loop->pool;
	struct conn *c = io->conn;

	if ((c->io_bytes || size > SMALL_IO) && pool_short(pool, size))
		return false;
	if ((c->io_bytes || size > client_share) &&
	    client_full(c->client, size))
		return false;
	io->buf = pool_get(pool, size,
			   io->use && io->use->export->write_through);
	if (!io->buf)
		return false;
	io->buf_size = size;
	client_take(c->client, size);
	c->io_bytes += size;
	return true;
}

/* A v34 READ holds up nobody's fence, for it changes nothing. */
static bool fenced(const struct io *io)
{
	return io->use->lane || io->kind != IO_READ;
}

/**
 * io_start - hand a request to its backend, unless it may not run any more
 * @io: checked against size and blocks, its payload complete
 */
void io_start(struct io *io)
{
	u16 verdict;

	if (fenced(io))
		atomic_fetch_add(&io->use->inflight, 1);
	verdict = use_verdict(io->use, io);
	if (verdict)
		io_end(io, verdict);
	else
		io->use->export->backend->submit(io);
}

/**
 * io_end - a request has been dealt with; send its reply
 * @io: from io_start()
 * @status: enum vxhs_status
 */
void io_end(struct io *io, u16 status)
{
	if (fenced(io))
		atomic_fetch_sub(&io->use->inflight, 1);
	io->status = status;
	io->conn->dialect->reply(io->conn, io);
}

/**
 * io_status - what a failed system call means to a client
 * @res: negative errno
 *
 * Return: enum vxhs_status
 */
u16 io_status(int res)
{
	switch (res) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return VXHS_ST_NO_SPACE;
	case -EROFS:
		return VXHS_ST_READ_ONLY;
	default:
		return VXHS_ST_IO;
	}
}
