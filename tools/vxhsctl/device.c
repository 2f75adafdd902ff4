// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "vxhsctl.h"

#define NODE_WAIT_MS	5000
#define NODE_POLL_MS	10

/**
 * device_name_parse() - read the kernel's name of a disk or partition
 * @name: such as vxhs0 or vxhs0p1
 * @index: N of vxhsN
 * @partition: whether it is a partition
 *
 * Return: whether @name is such a name.
 */
bool device_name_parse(const char *name, uint32_t *index, bool *partition)
{
	const char *digits = name + 4;
	char number[8];
	uint32_t unused;
	size_t len;

	if (strncmp(name, "vxhs", 4))
		return false;
	len = strspn(digits, "0123456789");
	if (!len || len >= sizeof(number) || (*digits == '0' && len > 1))
		return false;
	memcpy(number, digits, len);
	number[len] = 0;
	if (parse_number(number, 0, DEVICE_INDEX_MAX, index))
		return false;
	digits += len;
	*partition = *digits == 'p';
	return !*digits ||
	       (*partition && !parse_number(digits + 1, 1, 65535, &unused));
}

/* The kernel's name of a device node, wherever and however named that is. */
static bool kernel_name(dev_t rdev, char *out, size_t size)
{
	char link[64], target[PATH_MAX], *base;
	ssize_t len;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(rdev),
		 minor(rdev));
	len = readlink(link, target, sizeof(target) - 1);
	if (len <= 0)
		return false;
	target[len] = 0;
	base = strrchr(target, '/');
	return snprintf(out, size, "%s", base ? base + 1 : target) < (int)size;
}

/**
 * device_resolve() - find the disk that the user means
 * @text: vxhsN, /dev/vxhsN, or the path of any link or node of that device
 * @index: N
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int device_resolve(const char *text, uint32_t *index)
{
	char name[NAME_MAX + 1] = "";
	bool partition = false;
	struct stat st;

	/* Names work even where the node is missing. */
	if (!strncmp(text, "/dev/", 5))
		snprintf(name, sizeof(name), "%s", text + 5);
	else if (!strchr(text, '/'))
		snprintf(name, sizeof(name), "%s", text);
	if (!device_name_parse(name, index, &partition)) {
		if (!strchr(text, '/'))
			return failed("\"%s\" is not the name of a vxhs disk; give /dev/vxhsN or a link to it, as \"vxhsctl list\" shows",
				      text);
		if (stat(text, &st))
			return failed("cannot find \"%s\": %s; \"vxhsctl list\" shows what is attached",
				      text, strerror(errno));
		if (!S_ISBLK(st.st_mode) ||
		    !kernel_name(st.st_rdev, name, sizeof(name)) ||
		    !device_name_parse(name, index, &partition))
			return failed("\"%s\" is not a vxhs disk; give /dev/vxhsN or a link to it, as \"vxhsctl list\" shows",
				      text);
	}
	if (partition)
		return failed("\"%s\" is a partition; give the disk, /dev/vxhs%u",
			      text, *index);
	return STATUS_OK;
}

/**
 * device_argument() - the one disk that a command is for
 * @cmd: the command
 * @argc: as of @cmd->run
 * @argv: as of @cmd->run; its options were parsed
 * @index: N
 *
 * Return: STATUS_OK, or STATUS_USAGE or STATUS_FAILED after complaining.
 */
int device_argument(const struct command *cmd, int argc, char **argv,
		    uint32_t *index)
{
	if (argc - optind != 1)
		return bad_usage(cmd, "it takes one device, not %d",
				 argc - optind);
	return device_resolve(argv[optind], index);
}

/**
 * device_path() - the path of a disk's node
 * @out: the path
 * @index: N of /dev/vxhsN
 */
void device_path(char out[DEVICE_PATH_SIZE], uint32_t index)
{
	snprintf(out, DEVICE_PATH_SIZE, "/dev/vxhs%u", index);
}

/**
 * device_wait() - wait until a disk has its node
 * @index: N of /dev/vxhsN
 *
 * devtmpfs makes the node and udev may change its owner or links; this waits
 * for no more than the node.  It does not open it: that waits, and cannot be
 * interrupted, while the server does not answer the partition scan.
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int device_wait(uint32_t index)
{
	const struct timespec pause = { .tv_nsec = NODE_POLL_MS * 1000000 };
	char path[DEVICE_PATH_SIZE];
	struct stat st;
	int waited, err = ENOENT;

	device_path(path, index);
	for (waited = 0; waited <= NODE_WAIT_MS; waited += NODE_POLL_MS) {
		err = stat(path, &st) ? errno : 0;
		if (!err && !S_ISBLK(st.st_mode))
			return failed("the vdisk is attached as vxhs%u, but \"%s\" is not a block device; remove that file, then \"vxhsctl detach vxhs%u\" and attach again",
				      index, path, index);
		if (!err)
			return STATUS_OK;
		nanosleep(&pause, NULL);
	}
	return failed("the vdisk is attached as vxhs%u, but \"%s\" is not there: %s; check that devtmpfs is mounted at /dev, or \"vxhsctl detach vxhs%u\"",
		      index, path, strerror(err), index);
}
