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
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend.h"
#include "config.h"
#include "conn.h"
#include "flush.h"
#include "identity.h"
#include "log.h"

#define ZERO_CHUNK	(1u << 20)
#define DISCARD_MAX	(1u << 31)
#define ZEROES_MAX	(1u << 30)
#define ZEROES_MAX_SLOW	(16u << 20)	/* where zeros must be written */

#define LINGER_US	3000000
#define LINGER_STEP_US	10000

/* Since Linux 6.12; elsewhere it fails and punching a hole has to do. */
#define CMD_DISCARD	_IO(0x12, 0)

enum step {
	STEP_FIRST,
	STEP_COMMAND,		/* the block device's discard */
	STEP_PUNCH,
	STEP_RANGE,		/* FALLOC_FL_ZERO_RANGE */
	STEP_WRITE,		/* zeros, by hand */
	STEP_SYNC,
	STEP_AGAIN,		/* a write, for the second time */
};

static const u8 zeros[ZERO_CHUNK] __attribute__((aligned(POOL_ALIGN)));

/* Opening */

static int open_flags(const struct export *x)
{
	int flags = O_CLOEXEC | (x->read_only ? O_RDONLY : O_RDWR);

	if (x->write_through)
		flags |= O_DIRECT;
	return flags;
}

/*
 * A server that was killed lets go of its files a moment after its end, when
 * the kernel has taken down its ring and ended its I/O.  Returns whether to
 * try again.
 */
static bool predecessor_may_linger(u64 since_us)
{
	if (now_us() - since_us > LINGER_US)
		return false;
	usleep(LINGER_STEP_US);
	return true;
}

static int open_target(struct export *x, const struct export_spec *spec,
		       int extra, struct err *err)
{
	int flags = open_flags(x) | extra;
	u64 since = now_us();

	do {
		x->fd = open(spec->target, flags, 0600);
		if (x->fd >= 0)
			return 0;
	} while (errno == EBUSY && predecessor_may_linger(since));
	if (errno == EINVAL && x->write_through)
		return err_set(err,
			       "export %s: the filesystem of %s does not offer direct I/O, which cache=none needs",
			       x->name, spec->target);
	if (errno == EBUSY)
		return err_set(err,
			       "export %s: %s is in use on this host (mounted, or part of another device)",
			       x->name, spec->target);
	return err_set(err, "export %s: cannot open %s: %s", x->name,
		       spec->target, strerror(errno));
}

/* The lock is on the descriptor that does the I/O, and ends with it. */
static int take_lock(struct export *x, const struct export_spec *spec,
		     struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	u64 since = now_us();
	bool held;

	if (x->read_only)
		return 0;
	do {
		if (!fcntl(x->fd, F_OFD_SETLK, &lock))
			return 0;
		held = errno == EAGAIN || errno == EACCES;
	} while (held && predecessor_may_linger(since));
	if (held)
		return err_set(err,
			       "export %s: %s is already exported read-write, by this or another vxhsd (its lock is held)",
			       x->name, spec->target);
	log_warn("export %s: cannot lock %s (%s); nothing keeps a second server off it",
		 x->name, spec->target, strerror(errno));
	return 0;
}

static int open_sync_fd(struct export *x, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", x->fd);
	x->sync_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (x->sync_fd < 0)
		return err_set(err, "export %s: cannot open %s again: %s",
			       x->name, x->spec->target, strerror(errno));
	return 0;
}

/* Bytes that direct I/O must be aligned to. */
static u32 direct_align(int fd)
{
	struct statx sx = { 0 };
	u32 align;
	void *buf;
	bool ok;

	if (!syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) &&
	    (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align) {
		align = sx.stx_dio_offset_align;
		return align < 512 ? 512 : align;
	}
	buf = aligned_alloc(POOL_ALIGN, POOL_ALIGN);
	if (!buf)
		return POOL_ALIGN;
	ok = pread(fd, buf, 512, 512) >= 0;
	free(buf);
	return ok ? 512 : POOL_ALIGN;
}

static int check_size(struct export *x, const struct export_spec *spec,
		      u64 size, struct err *err)
{
	if (!size)
		return err_set(err,
			       "export %s: %s is empty; remove it and give a size to have it created",
			       x->name, spec->target);
	if (spec->size && spec->size != size)
		return err_set(err,
			       "export %s: %s has %llu bytes, not the %llu of size=",
			       x->name, spec->target,
			       (unsigned long long)size,
			       (unsigned long long)spec->size);
	x->geometry.size = size;
	return 0;
}

/* What the blocks of the file or device force upon logical_block. */
static int choose_block(struct export *x, const struct export_spec *spec,
			u32 least, struct err *err)
{
	if (x->write_through) {
		x->dio_align = direct_align(x->fd);
		if (x->dio_align > least)
			least = x->dio_align;
	}
	if (spec->block && spec->block < least)
		return err_set(err,
			       "export %s: block=%u is less than the %u bytes that %s needs",
			       x->name, spec->block, least, spec->target);
	x->geometry.logical_block = spec->block ? spec->block : least;
	return 0;
}

static bool queue_number(dev_t dev, const char *what, u64 *value)
{
	char path[128];
	const char *up;

	/* A partition has its queue one level up. */
	for (up = ""; ; up = "../") {
		snprintf(path, sizeof(path),
			 "/sys/dev/block/%u:%u/%squeue/%s", major(dev),
			 minor(dev), up, what);
		if (read_number(path, value))
			return true;
		if (*up)
			return false;
	}
}

static void set_rotational(struct export *x, dev_t dev)
{
	u64 value;

	if (queue_number(dev, "rotational", &value) && value)
		x->geometry.caps |= VXHS_CAP_ROTATIONAL;
}

static u32 power_of_two(u64 n, u32 least, u32 most)
{
	u32 p = least;

	while (p < n && p < most)
		p <<= 1;
	return p;
}

/* Ask beyond the end, where there is nothing to lose. */
static void probe_fallocate(struct export *x)
{
	off_t at = (off_t)((x->geometry.size + 1048575) & ~(u64)1048575);

	x->can_punch = !fallocate(x->fd, FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, at, 1048576);
}

static void set_caps(struct export *x)
{
	struct vxhs_geometry *g = &x->geometry;

	if (!x->write_through)
		g->caps |= VXHS_CAP_FLUSH | VXHS_CAP_FUA;
	if (x->read_only)
		return;
	if (x->can_punch)
		g->caps |= VXHS_CAP_DISCARD;
	g->caps |= VXHS_CAP_WRITE_ZEROES;
	g->max_discard = DISCARD_MAX;
	g->max_write_zeroes = x->can_punch ? ZEROES_MAX : ZEROES_MAX_SLOW;
}

static int create_file(struct export *x, const struct export_spec *spec,
		       struct err *err)
{
	if (!spec->size)
		return err_set(err,
			       "export %s: %s does not exist; give a size, as in size=10G, to have it created",
			       x->name, spec->target);
	if (x->read_only)
		return err_set(err,
			       "export %s: %s does not exist and a read-only export cannot create it",
			       x->name, spec->target);
	if (spec->size % (spec->block ? spec->block : 512))
		return err_set(err,
			       "export %s: its size of %llu bytes is not a multiple of its block size of %u bytes",
			       x->name, (unsigned long long)spec->size,
			       spec->block ? spec->block : 512);
	if (open_target(x, spec, O_CREAT | O_EXCL, err))
		return -1;
	if (!ftruncate(x->fd, (off_t)spec->size))
		return 0;
	err_set(err, "export %s: cannot make %s %llu bytes long: %s",
		x->name, spec->target, (unsigned long long)spec->size,
		strerror(errno));
	unlink(spec->target);
	return -1;
}

static int file_open(struct export *x, const struct export_spec *spec,
		     struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;
	struct stat st;

	if (!access(spec->target, F_OK) ? open_target(x, spec, 0, err) :
					  create_file(x, spec, err))
		return -1;
	if (fstat(x->fd, &st))
		return err_set(err, "export %s: cannot look at %s: %s",
			       x->name, spec->target, strerror(errno));
	if (take_lock(x, spec, err) || open_sync_fd(x, err) ||
	    check_size(x, spec, (u64)st.st_size, err) ||
	    choose_block(x, spec, 512, err))
		return -1;

	g->physical_block = power_of_two((u64)st.st_blksize, g->logical_block,
					 4096);
	g->io_min = g->physical_block;
	g->discard_granularity = g->physical_block;
	set_rotational(x, st.st_dev);
	if (!x->read_only)
		probe_fallocate(x);
	set_caps(x);
	identity_of_file(x);
	return 0;
}

static int blockdev_open(struct export *x, const struct export_spec *spec,
			 struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;
	unsigned int physical = 0, io_min = 0, io_opt = 0;
	u64 size, value = 0;
	int logical = 0, ro = 0;
	struct stat st;

	/* O_EXCL: nobody on this host mounts or maps it meanwhile. */
	if (open_target(x, spec, x->read_only ? 0 : O_EXCL, err))
		return -1;
	if (fstat(x->fd, &st) || ioctl(x->fd, BLKGETSIZE64, &size) ||
	    ioctl(x->fd, BLKSSZGET, &logical))
		return err_set(err, "export %s: cannot look at %s: %s",
			       x->name, spec->target, strerror(errno));
	if (!x->read_only && !ioctl(x->fd, BLKROGET, &ro) && ro)
		return err_set(err,
			       "export %s: %s is read-only; export it with ro",
			       x->name, spec->target);
	if (take_lock(x, spec, err) || open_sync_fd(x, err) ||
	    check_size(x, spec, size, err) ||
	    choose_block(x, spec, (u32)logical, err))
		return -1;

	ioctl(x->fd, BLKPBSZGET, &physical);
	ioctl(x->fd, BLKIOMIN, &io_min);
	ioctl(x->fd, BLKIOOPT, &io_opt);
	g->physical_block = power_of_two(physical, g->logical_block, 1 << 20);
	g->io_min = io_min % g->logical_block ? g->physical_block : io_min;
	g->io_opt = io_opt % g->logical_block ? 0 : io_opt;
	queue_number(st.st_rdev, "discard_granularity", &value);
	g->discard_granularity = power_of_two(value, g->logical_block,
					      1u << 31);
	value = 0;
	queue_number(st.st_rdev, "discard_max_bytes", &value);
	x->can_punch = value;
	set_rotational(x, st.st_rdev);
	set_caps(x);
	identity_of_device(x);
	return 0;
}

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

/* I/O */

static void file_step(struct io *io);

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
	u32 len = io->length - io->done;
	u64 offset = io->offset + io->done;

	if (io->kind == IO_READ) {
		io_uring_prep_read(sqe, x->fd, io->buf + io->done, len,
				   offset);
	} else if (io->kind == IO_WRITE) {
		io_uring_prep_write(sqe, x->fd, io->buf + io->done, len,
				    offset);
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
	if (res == -EAGAIN || res == -EINTR) {
		prep_rw(io);
		return;
	}
	if (res < 0 && io->kind == IO_WRITE && stale_error(io)) {
		prep_rw(io);
		return;
	}
	if (res <= 0) {
		/* 0: the file ends early, or takes nothing more. */
		io_end(io, io_status(res));
		return;
	}
	io->done += (u32)res;
	if (io->done < io->length) {
		prep_rw(io);
	} else if (io->kind == IO_ZEROES && must_sync(io)) {
		io->step = STEP_SYNC;
		file_step(io);
	} else {
		io_end(io, VXHS_ST_OK);
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
		io_end(io, res && !unsupported(res) ? io_status(res) :
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
		io_end(io, res ? io_status(res) : VXHS_ST_OK);
		return;
	}
	file_step(io);
}

static void step_done(struct op *op, int res, unsigned int flags)
{
	struct io *io = io_of_op(op);

	(void)flags;
	if (res == -EAGAIN || res == -EINTR)
		file_step(io);
	else if (io->kind == IO_DISCARD)
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
	case STEP_COMMAND:
		prep_discard_command(io);
		break;
	case STEP_PUNCH:
		prep_fallocate(io, FALLOC_FL_PUNCH_HOLE);
		break;
	case STEP_RANGE:
		prep_fallocate(io, FALLOC_FL_ZERO_RANGE);
		break;
	case STEP_WRITE:
		io->op.done = rw_done;
		prep_rw(io);
		break;
	case STEP_SYNC:
		prep_sync(io);
		break;
	}
}

static void file_submit(struct io *io)
{
	struct export *x = io->use->export;

	switch (io->kind) {
	case IO_READ:
	case IO_WRITE:
		io->op.done = rw_done;
		prep_rw(io);
		break;
	case IO_FLUSH:
		if (x->write_through || x->read_only)
			io_end(io, VXHS_ST_OK);
		else
			flush_submit(io);
		break;
	case IO_DISCARD:
		if (!x->can_punch) {
			io_end(io, VXHS_ST_UNSUPPORTED);
			break;
		}
		io->step = x->backend == &backend_blockdev ? STEP_COMMAND :
							     STEP_PUNCH;
		file_step(io);
		break;
	case IO_ZEROES:
		io->step = io->no_unmap || !x->can_punch ? STEP_RANGE :
							   STEP_PUNCH;
		file_step(io);
		break;
	}
}

const struct backend backend_file = {
	.name = "file",
	.open = file_open,
	.close = file_close,
	.submit = file_submit,
	.sync = file_sync,
};

const struct backend backend_blockdev = {
	.name = "blockdev",
	.open = blockdev_open,
	.close = file_close,
	.submit = file_submit,
	.sync = file_sync,
};
