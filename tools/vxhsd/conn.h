/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One TCP connection: bytes in, frames to its dialect, replies out.
 *
 * An idle connection holds no buffer: bytes arrive in one that the ring picks
 * from the loop's few, are parsed at once, and the buffer goes back.  Only
 * what a frame still lacks waits, in memory of that frame.
 */
#ifndef _VXHSD_CONN_H
#define _VXHSD_CONN_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "io.h"
#include "loop.h"

#define HEADER_MAX	256	/* bytes: of any dialect */
#define RX_DEAF		(UINT64_MAX / 2) /* *rx_seen while we do not listen */

/**
 * enum rx - what a dialect makes of a header
 * @RX_OK: go on
 * @RX_WAIT: not now; the same header comes again later
 * @RX_CLOSE: a rule was broken
 */
enum rx {
	RX_OK,
	RX_WAIT,
	RX_CLOSE,
};

/**
 * struct dialect - the language of a connection
 * @header_len: bytes of a request's header, at most HEADER_MAX
 * @header: one has arrived
 * @payload: so has what conn_expect() or conn_drain() announced
 * @reply: the I/O has ended; encode its reply and conn_reply() it
 * @dropped: payload will not come any more; free the I/O
 * @tick: once a second; let go of vdisks that are gone
 * @closing: no more frames come; let go of what others may see
 * @freed: the last I/O has ended; free everything
 */
struct dialect {
	const char *name;
	size_t header_len;
	enum rx (*header)(struct conn *c, const void *hdr);
	enum rx (*payload)(struct conn *c, struct io *io);
	void (*reply)(struct conn *c, struct io *io);
	void (*dropped)(struct conn *c, struct io *io);
	void (*tick)(struct conn *c);
	void (*closing)(struct conn *c);
	void (*freed)(struct conn *c);
};

extern const struct dialect dialect_qnio;
extern const struct dialect dialect_vxhs;

/**
 * enum conn_life - never goes back
 * @CONN_OPEN: reads and answers
 * @CONN_LAST: reads no more; closes when all is answered
 * @CONN_CLOSING: shut down; goes when all I/O has ended
 */
enum conn_life {
	CONN_OPEN,
	CONN_LAST,
	CONN_CLOSING,
};

/**
 * enum conn_wait - why a connection that is open does not read
 * @WAIT_NOT: it does
 * @WAIT_IO: for the end of some of its own I/O
 * @WAIT_MEMORY: for the pool; on loop->starved
 * @WAIT_CLIENT: for what its client has; on loop->held
 * @WAIT_TURN: for nothing any more; on loop->resume
 */
enum conn_wait {
	WAIT_NOT,
	WAIT_IO,
	WAIT_MEMORY,
	WAIT_CLIENT,
	WAIT_TURN,
};

struct client;
struct tls_who;

struct conn {
	struct op recv_op;
	struct op send_op;
	struct loop *loop;
	LIST_ENTRY(conn) all;		/* of loop->conns */
	TAILQ_ENTRY(conn) wait_entry;	/* of one of the loop's lists, by wait */
	struct conn *dirty_next;
	const struct dialect *dialect;
	void *state;			/* the dialect's */
	int fd;
	struct sockaddr_storage peer;
	struct tls_who *who;		/* NULL without TLS; constant */
	struct client *client;		/* whose connection it is; constant */
	bool cut;			/* he is not to come back */

	bool recv_armed;
	bool dirty;			/* on loop->dirty */
	bool established;		/* has shown that it speaks the dialect */
	enum conn_life life;
	enum conn_wait wait;
	u64 first_us;			/* when bytes first came, 0 for never */
	u64 rx_us;			/* when bytes last came */
	u64 rx_since_us;		/* when rx_io got its buffer */
	u64 tx_since_us;		/* when the reply on its way came first */
	_Atomic u64 *rx_seen;		/* who else wants to know, or NULL */
	u64 silence_us;			/* ends it if it has rx_seen */

	/* Receiving. */
	u8 hdr[HEADER_MAX];
	size_t hdr_have;
	struct io *rx_io;		/* whose payload comes now */
	u64 rx_len;			/* its bytes */
	u64 rx_left;			/* those that have not come */
	bool rx_drain;			/* they are thrown away */
	u8 *stash;			/* bytes that came while waiting */
	size_t stash_len;

	/* Sending. */
	struct io *queue;		/* replies that wait */
	struct io **queue_tail;
	struct io *sending;		/* replies that go out first */
	struct io **sending_tail;
	bool send_armed;		/* the socket is full */
	size_t tx_skip;			/* bytes of the first that are out */

	unsigned int nr_ios;		/* all of them */
	size_t io_bytes;		/* of all their buffers */
};

void conn_adopt(struct loop *loop, int fd, struct tls_who *who);
const char *conn_who(const struct conn *c);
void conn_owner(const struct conn *c, u8 owner[16]);
void conn_expect(struct conn *c, struct io *io, u64 len);
void conn_drain(struct conn *c, struct io *io, u64 len);
void conn_reply(struct conn *c, struct io *io, const void *data, u32 len);
void conn_reply_first(struct conn *c, struct io *io);
void conn_read_no_more(struct conn *c);
void conn_close(struct conn *c);
void conn_mark_dirty(struct conn *c);
void conn_starve(struct conn *c, size_t size);
void conn_io_freed(struct conn *c);
void conn_complain(struct conn *c, const char *what);

void conns_tick(struct loop *loop);
void conns_review(void);
void conns_resume(struct loop *loop);
void conns_flush(struct loop *loop);
void conns_drain(struct loop *loop);
void conns_free_caches(struct loop *loop);

#endif /* _VXHSD_CONN_H */
