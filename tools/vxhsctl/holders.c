// SPDX-License-Identifier: GPL-2.0
/*
 * Who has a disk open, for the sentence that refuses a detach.  The kernel
 * only counts openers; who they are is spread over /proc and /sys.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "holders.h"

#define DEVICES_MAX	257	/* the disk and its partitions */
#define NAMED_MAX	8	/* holders that a sentence can bear */

struct search {
	const char *disk;
	dev_t devices[DEVICES_MAX];
	unsigned int device_count;
	unsigned int found;
	char *out;
	size_t size;
	size_t used;
};

static bool is_searched(const struct search *s, dev_t device)
{
	unsigned int i;

	for (i = 0; i < s->device_count; i++)
		if (s->devices[i] == device)
			return true;
	return false;
}

static void add_holder(struct search *s, const char *what, const char *name)
{
	int len;

	if (s->found++ >= NAMED_MAX || s->used >= s->size)
		return;
	len = snprintf(s->out + s->used, s->size - s->used, "%s%s%s",
		       s->used ? ", " : "", what, name);
	s->used += len;
}

static void add_device(struct search *s, const char *sysfs_dir)
{
	char path[PATH_MAX];
	unsigned int maj, min;
	FILE *file;

	if (snprintf(path, sizeof(path), "%s/dev", sysfs_dir) >=
	    (int)sizeof(path))
		return;
	file = fopen(path, "re");
	if (!file)
		return;
	if (fscanf(file, "%u:%u", &maj, &min) == 2 &&
	    s->device_count < DEVICES_MAX)
		s->devices[s->device_count++] = makedev(maj, min);
	fclose(file);
}

static void add_stacked(struct search *s, const char *sysfs_dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/holders", sysfs_dir) >=
	    (int)sizeof(path))
		return;
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.')
			add_holder(s, "/dev/", entry->d_name);
	closedir(dir);
}

static void find_devices(struct search *s)
{
	char disk[PATH_MAX], part[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	DIR *dir;

	snprintf(disk, sizeof(disk), "/sys/block/%s", s->disk);
	add_device(s, disk);
	add_stacked(s, disk);
	dir = opendir(disk);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, s->disk, strlen(s->disk)))
			continue;
		snprintf(part, sizeof(part), "%s/%s", disk, entry->d_name);
		add_device(s, part);
		add_stacked(s, part);
	}
	closedir(dir);
}

/* mountinfo writes blanks and backslashes as \ooo. */
static void unescape(char *text)
{
	char *in, *out = text;

	for (in = text; *in; in++) {
		if (in[0] == '\\' && isdigit((unsigned char)in[1]) &&
		    isdigit((unsigned char)in[2]) &&
		    isdigit((unsigned char)in[3])) {
			*out++ = (in[1] - '0') << 6 | (in[2] - '0') << 3 |
				 (in[3] - '0');
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = 0;
}

static void find_mounts(struct search *s)
{
	char *line = NULL, *point = NULL, *source = NULL;
	FILE *file = fopen("/proc/self/mountinfo", "re");
	unsigned int maj, min;
	size_t size = 0;
	struct stat st;
	char *tail;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0) {
		point = NULL;
		source = NULL;
		tail = strstr(line, " - ");
		if (sscanf(line, "%*s %*s %u:%u %*s %ms", &maj, &min,
			   &point) == 3 && tail) {
			/* btrfs and the like show a device of their own. */
			sscanf(tail, " - %*s %ms", &source);
			if (is_searched(s, makedev(maj, min)) ||
			    (source && *source == '/' && !stat(source, &st) &&
			     S_ISBLK(st.st_mode) &&
			     is_searched(s, st.st_rdev))) {
				unescape(point);
				add_holder(s, "mount ", point);
			}
		}
		free(point);
		free(source);
	}
	free(line);
	fclose(file);
}

static void find_swap(struct search *s)
{
	FILE *file = fopen("/proc/swaps", "re");
	char *line = NULL, *path;
	size_t size = 0;
	struct stat st;

	if (!file)
		return;
	while (getline(&line, &size, file) > 0) {
		path = NULL;
		if (sscanf(line, "%ms", &path) == 1) {
			unescape(path);
			if (!stat(path, &st) && S_ISBLK(st.st_mode) &&
			    is_searched(s, st.st_rdev))
				add_holder(s, "swap on ", path);
		}
		free(path);
	}
	free(line);
	fclose(file);
}

static bool has_open(const struct search *s, int proc, const char *pid)
{
	char path[NAME_MAX + 8];
	struct dirent *entry;
	bool found = false;
	struct stat st;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while (!found && (entry = readdir(dir)))
		found = *entry->d_name != '.' &&
			!fstatat(fd, entry->d_name, &st, 0) &&
			S_ISBLK(st.st_mode) && is_searched(s, st.st_rdev);
	closedir(dir);
	return found;
}

/* udev looks at each new disk, and at each that was written; it lets go soon. */
static bool is_passing(const char *comm)
{
	return !strcmp(comm, "(udev-worker)") || !strcmp(comm, "systemd-udevd");
}

static void add_process(struct search *s, int proc, const char *pid)
{
	char path[NAME_MAX + 8], name[64 + NAME_MAX], comm[32] = "process";
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, comm, sizeof(comm) - 1);
		if (len > 0)
			comm[len - 1] = 0;	/* over the newline */
		close(fd);
	}
	if (is_passing(comm))
		return;
	snprintf(name, sizeof(name), "%s (pid %s)", comm, pid);
	add_holder(s, "", name);
}

static void find_processes(struct search *s)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc");

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)*entry->d_name) &&
		    has_open(s, dirfd(dir), entry->d_name))
			add_process(s, dirfd(dir), entry->d_name);
	closedir(dir);
}

/**
 * holders_text() - name what keeps a disk or its partitions open
 * @disk: the kernel's name, such as vxhs0
 * @out: such as "mount /srv, /dev/dm-0, qemu-system-x86 (pid 812)"
 * @size: bytes at @out
 *
 * udev does not count.
 *
 * Return: how many were found. There may be more, in other namespaces.
 */
int holders_text(const char *disk, char *out, size_t size)
{
	struct search s = { .disk = disk, .out = out, .size = size };

	*out = 0;
	find_devices(&s);
	if (!s.device_count)
		return 0;
	find_mounts(&s);
	find_swap(&s);
	find_processes(&s);
	if (s.found > NAMED_MAX && s.used < size)
		snprintf(out + s.used, size - s.used, " and %u more",
			 s.found - NAMED_MAX);
	return s.found;
}
