// SPDX-License-Identifier: GPL-2.0
/*
 * A vdisk in a regular file or on a block device, through io_uring.
 *
 * cache=writeback goes through the page cache: WRITE is answered when it is
 * there, FUA and FLUSH when it is on the medium.  cache=none goes around it,
 * and every answer means that the data is durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend.h"
#include "backend_file.h"
#include "conn.h"
#include "flush.h"

#define ZERO_CHUNK	(1u << 20)
#define GATE_WIDTH	(LOOP_WORKERS / 3)

/* Since Linux 6.12; elsewhere it fails and punching a hole has to do. */
#define CMD_DISCARD	_IO(0x12, 0)

enum step {
	STEP_FIRST,		/* of READ and WRITE the only one */
	STEP_COMMAND,		/* the block device's discard */
	STEP_PUNCH,
	STEP_RANGE,		/* FALLOC_FL_ZERO_RANGE */
	STEP_WRITE,		/* zeros, by hand */
	STEP_SYNC,
	STEP_AGAIN,		/* a write, for the second time */
};

/* Never written. */
static u8 zeros[ZERO_CHUNK] __attribute__((aligned(POOL_ALIGN)));

static void file_close(struct export *x)
{
	if (x->sync_fd >= 0)
		close(x->sync_fd);
	if (x->fd >= 0)
		close(x->fd);
}

static int file_sync(struct export *x)
{
	if (x->read_only || x->write_through)
		return 0;
	return fdatasync(x->sync_fd) ? -errno : 0;
}

static void file_step(struct io *io);
static void file_begin(struct io *io);

/*
 * Cached writes, and what frees or zeroes blocks, run in the ring's workers,
 * each of which waits for the disk.  The ring has so many; a disk that hangs
 * must not get hold of them all.
 */
static struct gate *gate_of(const struct io *io)
{
	const struct export *x = io->use->export;

	if (io->kind == IO_READ || io->kind == IO_FLUSH || x->slot < 0 ||
	    (io->kind == IO_WRITE && x->write_through))
		return NULL;
	return &io->conn->loop->gates[x->slot];
}

/* Returns whether it may begin; if not it waits. */
static bool enter_gate(struct io *io)
{
	struct gate *gate = gate_of(io);

	if (!gate)
		return true;
	if (gate->running < GATE_WIDTH) {
		gate->running++;
		io->gated = true;
		return true;
	}
	if (!gate->waiting)
		gate->waiting_tail = &gate->waiting;
	io->next = NULL;
	*gate->waiting_tail = io;
	gate->waiting_tail = &io->next;
	return false;
}

static void its_turn(struct op *op, int res, unsigned int flags);

static void leave_gate(struct io *io)
{
	struct gate *gate = gate_of(io);
	struct io *next = gate->waiting;

	io->gated = false;
	gate->running--;
	if (!next)
		return;
	gate->waiting = next->next;
	gate->running++;
	next->gated = true;
	next->op.done = its_turn;
	io_uring_prep_nop(loop_sqe(next->conn->loop, &next->op));
}

static void file_end(struct io *io, u16 status)
{
	if (io->gated)
		leave_gate(io);
	io_end(io, status);
}

/* Its client may have been fenced off meanwhile. */
static void its_turn(struct op *op, int res, unsigned int flags)
{
	struct io *io = io_of_op(op);
	u16 verdict = use_verdict(io->use, io);

	(void)res;
	(void)flags;
	if (verdict)
		file_end(io, verdict);
	else
		file_begin(io);
}

static void paused(struct op *op, int res, unsigned int flags)
{
	(void)res;
	(void)flags;
	file_step(io_of_op(op));
}

/* The kernel was short of something: the same step again, a little later. */
static bool again(struct io *io, int res)
{
	if (res != -EAGAIN && res != -EINTR)
		return false;
	io->op.done = paused;
	loop_pause(io->conn->loop, &io->op);
	return true;
}

static struct io_uring_sqe *file_sqe(struct io *io)
{
	return loop_sqe(io->conn->loop, &io->op);
}

static bool must_sync(const struct io *io)
{
	return io->fua || io->use->export->write_through;
}

static void prep_rw(struct io *io)
{
	struct export *x = io->use->export;
	struct io_uring_sqe *sqe = file_sqe(io);
	bool pinned = pool_is_pinned(&io->conn->loop->pool, io->buf);
	u32 len = io->length - io->done;
	u64 offset = io->offset + io->done;

	if (io->kind == IO_READ) {
		io_uring_prep_rw(pinned ? IORING_OP_READ_FIXED :
					  IORING_OP_READ,
				 sqe, x->fd, io->buf + io->done, len, offset);
	} else if (io->kind == IO_WRITE) {
		io_uring_prep_rw(pinned ? IORING_OP_WRITE_FIXED :
					  IORING_OP_WRITE,
				 sqe, x->fd, io->buf + io->done, len, offset);
		if (must_sync(io))
			sqe->rw_flags = RWF_DSYNC;
	} else {
		if (len > ZERO_CHUNK)
			len = ZERO_CHUNK;
		io_uring_prep_write(sqe, x->fd, zeros, len, offset);
	}
	loop_file(io->conn->loop, sqe, x->slot);
}

/*
 * A synchronous write may be told of a writeback that failed before it, of
 * other data; FLUSH hears of that by itself.  Writing once more brings out
 * how it stands with this one.
 */
static bool stale_error(struct io *io)
{
	if (!io->fua || io->use->export->write_through ||
	    io->step == STEP_AGAIN)
		return false;
	io->step = STEP_AGAIN;
	return true;
}

static void rw_done(struct op *op, int res, unsigned int flags)
{
	struct io *io = io_of_op(op);

	(void)flags;
	if (again(io, res))
		return;
	if (res < 0 && io->kind == IO_WRITE && stale_error(io)) {
		prep_rw(io);
		return;
	}
	if (res <= 0) {
		/* 0: the file ends early, or takes nothing more. */
		file_end(io, io_status(res));
		return;
	}
	io->done += (u32)res;
	if (io->done < io->length) {
		prep_rw(io);
	} else if (io->kind == IO_ZEROES && must_sync(io)) {
		io->step = STEP_SYNC;
		file_step(io);
	} else {
		file_end(io, VXHS_ST_OK);
	}
}

static bool unsupported(int res)
{
	return res == -EOPNOTSUPP || res == -EINVAL || res == -ENOTTY ||
	       res == -ENOSYS;
}

/* A discard that cannot be done has been done: the old data stays. */
static void discard_done(struct io *io, int res)
{
	if (unsupported(res) && io->step == STEP_COMMAND) {
		io->step = STEP_PUNCH;
		file_step(io);
	} else {
		file_end(io, res && !unsupported(res) ? io_status(res) :
						      VXHS_ST_OK);
	}
}

static void zeroes_done(struct io *io, int res)
{
	if (unsupported(res) && io->step < STEP_WRITE) {
		io->step++;
	} else if (!res && io->step != STEP_SYNC && must_sync(io)) {
		io->step = STEP_SYNC;
	} else {
		file_end(io, res ? io_status(res) : VXHS_ST_OK);
		return;
	}
	file_step(io);
}

static void step_done(struct op *op, int res, unsigned int flags)
{
	struct io *io = io_of_op(op);

	(void)flags;
	if (again(io, res))
		return;
	if (io->kind == IO_DISCARD)
		discard_done(io, res);
	else
		zeroes_done(io, res);
}

static void prep_fallocate(struct io *io, int mode)
{
	struct io_uring_sqe *sqe = file_sqe(io);

	io_uring_prep_fallocate(sqe, io->use->export->fd,
				mode | FALLOC_FL_KEEP_SIZE,
				(off_t)io->offset, (off_t)io->length);
	loop_file(io->conn->loop, sqe, io->use->export->slot);
}

static void prep_discard_command(struct io *io)
{
	struct io_uring_sqe *sqe = file_sqe(io);

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, io->use->export->fd,
			 NULL, 0, 0);
	sqe->cmd_op = CMD_DISCARD;
	sqe->addr = io->offset;
	sqe->addr3 = io->length;
	loop_file(io->conn->loop, sqe, io->use->export->slot);
}

static void prep_sync(struct io *io)
{
	struct io_uring_sqe *sqe = file_sqe(io);

	io_uring_prep_fsync(sqe, io->use->export->fd, IORING_FSYNC_DATASYNC);
	loop_file(io->conn->loop, sqe, io->use->export->slot);
}

static void file_step(struct io *io)
{
	io->op.done = step_done;
	switch (io->step) {
	case STEP_FIRST:
	case STEP_AGAIN:
	case STEP_WRITE:
		io->op.done = rw_done;
		prep_rw(io);
		break;
	case STEP_COMMAND:
		prep_discard_command(io);
		break;
	case STEP_PUNCH:
		prep_fallocate(io, FALLOC_FL_PUNCH_HOLE);
		break;
	case STEP_RANGE:
		prep_fallocate(io, FALLOC_FL_ZERO_RANGE);
		break;
	case STEP_SYNC:
		prep_sync(io);
		break;
	}
}

/*
 * fallocate() holds a block device's lock until the disk has answered, and
 * cached reads ask for it without a way to be told that they would wait: a
 * disk that hangs would stop the whole loop.
 */
static enum step first_zero_step(const struct io *io)
{
	const struct export *x = io->use->export;

	if (x->backend == &backend_blockdev && !x->write_through)
		return STEP_WRITE;
	return io->no_unmap || !x->can_punch ? STEP_RANGE : STEP_PUNCH;
}

static void file_begin(struct io *io)
{
	struct export *x = io->use->export;

	switch (io->kind) {
	case IO_READ:
	case IO_WRITE:
		file_step(io);
		break;
	case IO_FLUSH:
		if (x->write_through || x->read_only)
			file_end(io, VXHS_ST_OK);
		else
			flush_submit(io);
		break;
	case IO_DISCARD:
		if (!x->can_punch) {
			file_end(io, VXHS_ST_UNSUPPORTED);
			break;
		}
		io->step = x->backend == &backend_blockdev ? STEP_COMMAND :
							     STEP_PUNCH;
		file_step(io);
		break;
	case IO_ZEROES:
		io->step = first_zero_step(io);
		file_step(io);
		break;
	}
}

static void file_submit(struct io *io)
{
	if (enter_gate(io))
		file_begin(io);
}

const struct backend backend_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.submit = file_submit,
	.resize = file_resize,
	.sync = file_sync,
};

const struct backend backend_blockdev = {
	.name = "blockdev",
	.open = blockdev_open,
	.close = file_close,
	.submit = file_submit,
	.resize = file_resize,
	.sync = file_sync,
};
