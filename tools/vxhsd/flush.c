// SPDX-License-Identifier: GPL-2.0
/*
 * FLUSH by fdatasync, one at a time per export.
 *
 * The kernel reports a failed writeback once for each open file, to whichever
 * fdatasync or synchronous write looks first.  So FLUSH has an open file of
 * its own, and only one fdatasync runs on it: every FLUSH that was answered
 * by it has heard the same, and a failure reaches all that it concerns.
 * Those that arrive while one runs share the next.  The thread that brought
 * the first of them runs it and tells the other loops.
 */
#include <errno.h>
#include <pthread.h>

#include "backend.h"
#include "conn.h"
#include "flush.h"

void flush_init(struct export *x)
{
	pthread_mutex_init(&x->flushes.lock, NULL);
	x->flushes.waiting_tail = &x->flushes.waiting;
}

void flush_destroy(struct export *x)
{
	pthread_mutex_destroy(&x->flushes.lock);
}

static void flush_done(struct op *op, int res, unsigned int flags);

/* On the loop of @io, which carries the batch. */
static void flush_run(struct io *io)
{
	struct io_uring_sqe *sqe = loop_sqe(io->conn->loop, &io->op);

	io->op.done = flush_done;
	io_uring_prep_fsync(sqe, io->use->export->sync_fd,
			    IORING_FSYNC_DATASYNC);
}

static void flush_again(struct op *op, int res, unsigned int flags)
{
	(void)res;
	(void)flags;
	flush_run(io_of_op(op));
}

static void flush_run_msg(struct loop *loop, struct msg *msg)
{
	(void)loop;
	flush_run(io_of_msg(msg));
}

static void flush_end_msg(struct loop *loop, struct msg *msg)
{
	struct io *io = io_of_msg(msg);

	(void)loop;
	io_end(io, io->status);
}

/* Everything that waits becomes the next batch; the first carries it. */
static struct io *next_batch(struct flush_queue *q)
{
	q->batch = q->waiting;
	q->waiting = NULL;
	q->waiting_tail = &q->waiting;
	q->running = q->batch;
	return q->batch;
}

/*
 * A FLUSH that came while another was failing fails with it, for what it
 * waited for may be what was lost.
 */
static void end_batch(struct io *io, struct loop *here, u16 status)
{
	while (io) {
		struct io *next = io->next;

		io->status = status;
		if (!status && io->seen_losses !=
			       atomic_load(&io->use->export->losses))
			io->status = VXHS_ST_IO;
		if (io->conn->loop == here) {
			io_end(io, io->status);
		} else {
			io->msg.fn = flush_end_msg;
			loop_send(io->conn->loop, &io->msg);
		}
		io = next;
	}
}

static void flush_done(struct op *op, int res, unsigned int flags)
{
	struct io *io = io_of_op(op), *batch, *next;
	struct export *x = io->use->export;
	struct loop *here = io->conn->loop;

	(void)flags;
	if (res == -EINTR || res == -EAGAIN) {
		io->op.done = flush_again;
		loop_pause(here, op);
		return;
	}
	if (res < 0)
		export_lost_writes(x);

	pthread_mutex_lock(&x->flushes.lock);
	batch = x->flushes.batch;
	next = next_batch(&x->flushes);
	pthread_mutex_unlock(&x->flushes.lock);

	if (next && next->conn->loop == here) {
		flush_run(next);
	} else if (next) {
		next->msg.fn = flush_run_msg;
		loop_send(next->conn->loop, &next->msg);
	}
	end_batch(batch, here, res < 0 ? io_status(res) : VXHS_ST_OK);
}

/**
 * flush_submit - make durable what was answered before
 * @io: IO_FLUSH on an export with a sync_fd
 */
void flush_submit(struct io *io)
{
	struct flush_queue *q = &io->use->export->flushes;
	bool run;

	io->next = NULL;
	io->seen_losses = atomic_load(&io->use->export->losses);
	pthread_mutex_lock(&q->lock);
	*q->waiting_tail = io;
	q->waiting_tail = &io->next;
	run = !q->running;
	if (run)
		next_batch(q);
	pthread_mutex_unlock(&q->lock);
	if (run)
		flush_run(io);
}
