// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "serving.h"

#define LINE_SIZE	160

static int open_file(const char *dir, int flags)
{
	char path[4200];
	int fd;

	snprintf(path, sizeof(path), "%s/" SERVING_FILE, dir);
	fd = open(path, flags | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

static int write_self(int fd, u64 instance)
{
	char line[LINE_SIZE], host[SERVING_HOST];
	ssize_t done;
	int n;

	if (gethostname(host, sizeof(host)))
		snprintf(host, sizeof(host), "?");
	host[sizeof(host) - 1] = '\0';
	n = snprintf(line, sizeof(line), "%llx %ld %s\n",
		     (unsigned long long)instance, (long)getpid(), host);
	done = pwrite(fd, line, (size_t)n, 0);
	if (done < 0)
		return -errno;
	if (done != n)
		return -EIO;
	/* Else a reader on another host sees what was there before, on NFS. */
	return ftruncate(fd, n) || fdatasync(fd) ? -errno : 0;
}

/**
 * serving_begin - a folder is in this process's hands
 * @dir: the folder
 * @instance: of this process
 *
 * Context: may block as long as a disk.
 * Return: for serving_end(); -EAGAIN while it is in another's hands, or
 * another negative errno
 */
int serving_begin(const char *dir, u64 instance)
{
	int fd = open_file(dir, O_RDWR | O_CREAT), ret;

	if (fd < 0)
		return fd;
	ret = lock_file(fd, F_WRLCK);
	if (!ret)
		ret = write_self(fd, instance);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/** serving_end - it no longer is */
void serving_end(int fd)
{
	close(fd);
}

static bool read_other(int fd, struct serving *out)
{
	char line[LINE_SIZE];
	unsigned long long instance;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	memset(out, 0, sizeof(*out));
	if (n <= 0)
		return false;
	line[n] = '\0';
	if (sscanf(line, "%llx %ld %64s", &instance, &out->pid, out->host) != 3)
		return false;
	out->instance = instance;
	return true;
}

/**
 * serving_look - in whose hands is a folder?
 * @dir: the folder
 * @out: the process; all zero if it has not said yet who it is
 *
 * Return: 1, or 0 if in nobody's, or a negative errno
 */
int serving_look(const char *dir, struct serving *out)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open_file(dir, O_RDONLY), ret;

	memset(out, 0, sizeof(*out));
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_GETLK, &lock)) {
		ret = -errno;
	} else {
		ret = lock.l_type != F_UNLCK;
		if (ret)
			read_other(fd, out);
	}
	close(fd);
	return ret;
}
