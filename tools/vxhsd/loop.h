/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One thread, one io_uring ring, and the connections that live on them.
 *
 * Everything a loop owns is touched by its thread alone; others send it
 * messages.  A turn handles all completions there are, then sends what was
 * collected for each connection, then submits everything at once.
 */
#ifndef _VXHSD_LOOP_H
#define _VXHSD_LOOP_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "pool.h"
#include "util.h"

#define RX_BUF_SIZE	262144	/* bytes */
#define RX_BUF_COUNT	16	/* a power of two */
#define RX_BUF_GROUP	0
#define LOOP_FILES	1024	/* exports with a registered file */
#define LOOP_WORKERS	64	/* of the ring; a disk that hangs holds some */

struct conn;
struct export;
struct io;
struct loop;
struct open_wait;
struct tls_rx;

/**
 * struct op - something the ring works on; its address is the user_data
 * @done: called on the loop's thread with the CQE's res and flags
 */
struct op {
	void (*done)(struct op *op, int res, unsigned int flags);
};

/**
 * struct msg - something another thread asks a loop to do
 * @fn: called on the loop's thread; @msg belongs to it from then on
 */
struct msg {
	struct msg *next;
	void (*fn)(struct loop *loop, struct msg *msg);
};

/**
 * struct gate - what an export has under way that may keep a worker busy
 * @running: how many
 * @waiting: those that wait for their turn
 */
struct gate {
	unsigned int running;
	struct io *waiting;
	struct io **waiting_tail;
};

TAILQ_HEAD(conn_list, conn);

struct loop {
	struct io_uring ring;
	pthread_t thread;
	unsigned int index;
	u64 now_us;			/* of this turn */
	bool stopping;			/* takes no new connections */
	bool quit;

	struct io_uring_buf_ring *rx_ring;
	u8 *rx_bufs;
	struct tls_rx *tls_rx;		/* if TLS is on */
	struct pool pool;
	bool pin_tried;
	struct io *free_ios;
	unsigned int free_ios_count;

	LIST_HEAD(, conn) conns;	/* all of them */
	struct conn *dirty;		/* have something to send or to arm */
	struct conn_list held;		/* wait for what their clients have */
	TAILQ_HEAD(, conn) starved;	/* wait for memory of the pool */
	TAILQ_HEAD(, conn) resume;	/* may go on with what waited */
	struct open_wait *opens;	/* OPENs that wait for a fence */
	size_t stashed;			/* bytes that came and wait */
	bool careful;			/* take no more than can be kept */
	u64 next_open_us;		/* when to look at the fences */

	/* Users of each slot of the ring's registered files. */
	unsigned int file_users[LOOP_FILES];
	struct gate gates[LOOP_FILES];
	bool files;

	struct op tick_op;
	struct op wake_op;
	u64 wake_count;
	int wake_fd;

	pthread_mutex_t lock;		/* protects next 2 fields */
	struct msg *msgs;
	struct msg **msgs_tail;
};

extern struct loop *loops;
extern unsigned int nr_loops;
extern atomic_uint nr_conns_total;
extern unsigned int max_conns;

size_t loop_memory(void);
int loops_start(unsigned int threads, struct err *err);
void loops_drain(u64 deadline_us);
void loops_stop(void);

struct io_uring_sqe *loop_sqe(struct loop *loop, struct op *op);
void loop_pause(struct loop *loop, struct op *op);
void loop_send(struct loop *loop, struct msg *msg);
void loop_rx_return(struct loop *loop, unsigned int id);
void loop_file_get(struct loop *loop, int slot, int fd);
void loop_file_put(struct loop *loop, int slot);
void loop_pin_buffers(struct loop *loop);

/** loop_file - prepare an SQE for an export's file, registered or not */
static inline void loop_file(struct loop *loop, struct io_uring_sqe *sqe,
			     int slot)
{
	if (loop->files && slot >= 0) {
		sqe->fd = slot;
		sqe->flags |= IOSQE_FIXED_FILE;
	}
}

#endif /* _VXHSD_LOOP_H */
