// SPDX-License-Identifier: GPL-2.0
/* What a file or a block device can do, found out when it is opened. */
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
#include <unistd.h>

#include "backend.h"
#include "backend_file.h"
#include "config.h"
#include "export.h"
#include "identity.h"
#include "log.h"
#include "loop.h"

#define ZEROES_MAX_SLOW	(16u << 20)	/* where zeros must be written */
#define FAR_AWAY	((off_t)1 << 42) /* behind the end of any file */

static int open_flags(const struct export *x)
{
	int flags = O_CLOEXEC | (x->read_only ? O_RDONLY : O_RDWR);

	if (x->write_through)
		flags |= O_DIRECT;
	return flags;
}

/*
 * A server that was killed lets go of its files a moment after its end, when
 * the kernel has taken down its ring and ended its I/O.  A server that
 * runs already does not wait: it would not watch over its sessions.  Returns
 * whether to try again.
 */
static bool predecessor_may_linger(u64 since_us)
{
	if (nr_loops || now_us() - since_us > LINGER_US)
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
	u64 since = now_us();
	int ret;

	/* What is shared is locked when it is asked for, see group.c. */
	if (x->read_only || x->shared)
		return 0;
	do {
		ret = lock_file(x->fd, F_WRLCK);
		if (!ret)
			return 0;
	} while (ret == -EAGAIN && predecessor_may_linger(since));
	if (ret == -EAGAIN)
		return err_set(err,
			       "export %s: %s is already exported read-write, by this or another vxhsd (its lock is held)",
			       x->name, spec->target);
	log_warn("export %s: cannot lock %s (%s); nothing keeps a second server off it",
		 x->name, spec->target, strerror(-ret));
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

	/* Another server may be growing it. */
	if (x->shared && at < FAR_AWAY)
		at = FAR_AWAY;

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
	if (!x->can_punch ||
	    (x->backend == &backend_blockdev && !x->write_through))
		g->max_write_zeroes = ZEROES_MAX_SLOW;
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

/** file_open - open, or create, a regular file; see struct backend */
int file_open(struct export *x, const struct export_spec *spec,
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

/** blockdev_open - open a block device; see struct backend */
int blockdev_open(struct export *x, const struct export_spec *spec,
			 struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;
	unsigned int physical = 0, io_min = 0, io_opt = 0;
	u64 size, value = 0;
	int logical = 0, ro = 0;
	struct stat st;

	/* O_EXCL: nobody on this host mounts or maps it meanwhile. */
	if (open_target(x, spec, x->read_only || x->shared ? 0 : O_EXCL, err))
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
	identity_derived(x);
	return 0;
}

static int find_size(const struct export *x, u64 *size)
{
	struct stat st;

	if (fstat(x->fd, &st))
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(x->fd, BLKGETSIZE64, size) ? -errno : 0;
	*size = (u64)st.st_size;
	return 0;
}

/* A file never shrinks by a word of the configuration: data would be lost. */
static int grow_file(struct export *x, const struct export_spec *spec,
		     u64 *size, struct err *err)
{
	if (x->backend == &backend_file && *size < spec->size &&
	    !x->read_only) {
		if (ftruncate(x->fd, (off_t)spec->size))
			return err_set(err,
				       "export %s: cannot make %s %llu bytes long: %s",
				       x->name, spec->target,
				       (unsigned long long)spec->size,
				       strerror(errno));
		*size = spec->size;
	}
	if (*size == spec->size)
		return 0;
	return err_set(err,
		       "export %s: %s has %llu bytes, not the %llu of size=; make it so first",
		       x->name, spec->target, (unsigned long long)*size,
		       (unsigned long long)spec->size);
}

/** file_resize - a file or a block device may have grown; see struct backend */
int file_resize(struct export *x, const struct export_spec *spec, u64 *size,
		struct err *err)
{
	int ret = find_size(x, size);

	if (ret)
		return err_set(err, "export %s: cannot look at %s: %s",
			       x->name, spec->target, strerror(-ret));
	if (spec->size && spec->size != x->spec->size)
		return grow_file(x, spec, size, err);
	if (spec->size && spec->size != *size)
		log_warn("export %s: %s has %llu bytes now; the size= of the configuration is wrong, and a server with it would not start",
			 x->name, spec->target, (unsigned long long)*size);
	return 0;
}
