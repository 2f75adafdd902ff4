/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One request of a client, from its header to the last byte of its reply.
 *
 * Owner: the connection while it is received and while its reply waits to be
 * sent; the backend between io_start() and io_end().  It never leaves the
 * thread of its loop, except that a FLUSH may be carried by that of another
 * loop (flush.c).
 */
#ifndef _VXHSD_IO_H
#define _VXHSD_IO_H

#include "loop.h"

enum io_kind {
	IO_NONE,		/* nothing for the backend: LOGIN, PING, STAT */
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_DISCARD,
	IO_ZEROES,
};

/**
 * struct io - a request
 * @op: its current step on the ring; first, so that the one gives the other
 * @msg: its way to another loop
 * @next: in the list of its owner
 * @hash_next: in the lane's table of tags
 * @conn: where it came from
 * @use: the vdisk it is for, as this connection knows it; NULL for IO_NONE
 * @tag: the client's name for it (v34: cookie)
 * @offset: bytes on the vdisk
 * @t0_us: when its header was seen
 * @buf: payload of a WRITE, or room for that of a READ
 * @data: payload of the reply, in @buf, @body or the backend's own memory
 * @buf_size: bytes of @buf as asked from the pool, 0 if it is not ours
 * @length: bytes of the I/O
 * @done: how many of them the backend has done
 * @data_len: bytes of @data
 * @hdr_len: bytes of the reply's header
 * @payload_crc: the client's, of a WRITE's payload
 * @seen_losses: the export's count when a FLUSH began
 * @status: enum vxhs_status, in both dialects
 * @kind: what the backend is to do
 * @opcode: of the native request
 * @step: where the backend is in an I/O of several steps
 * @fua: durable before the answer
 * @no_unmap: IO_ZEROES keeps blocks allocated
 * @hashed: it is in the table of tags
 * @granted: it counts towards the lane's grants
 * @first: of its connection (v34)
 * @gated: it counts in its export's gate
 * @hdr: of the request (v34), then of the reply
 * @body: small payloads of replies
 */
struct io {
	struct op op;
	struct msg msg;
	struct io *next;
	struct io *hash_next;
	struct conn *conn;
	struct use *use;
	u64 tag;
	u64 offset;
	u64 t0_us;
	u8 *buf;
	const void *data;
	size_t buf_size;
	u32 length;
	u32 done;
	u32 data_len;
	u32 hdr_len;
	u32 payload_crc;
	u32 seen_losses;
	u16 status;
	u8 kind;
	u8 opcode;
	u8 step;
	bool fua;
	bool no_unmap;
	bool hashed;
	bool granted;
	bool first;
	bool gated;
	union {
		struct vxhs_rsp_hdr native;
		struct vxhs_v34_hdr v34;
	} hdr;
	u8 body[sizeof(struct vxhs_open_rsp)];
};

static inline struct io *io_of_op(struct op *op)
{
	return (struct io *)op;
}

static inline struct io *io_of_msg(struct msg *msg)
{
	return (struct io *)((char *)msg - offsetof(struct io, msg));
}

struct io *io_new(struct conn *c);
void io_free(struct io *io);
bool io_get_buf(struct io *io, size_t size);
void io_start(struct io *io);
void io_end(struct io *io, u16 status);
u16 io_status(int res);

#endif /* _VXHSD_IO_H */
