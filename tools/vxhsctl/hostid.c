// SPDX-License-Identifier: GPL-2.0
/*
 * The host's UUID is made once and kept, so that it outlives whatever changes
 * the machine id.  It is derived as machine-id(5) asks for: the machine id
 * itself must not be shown to a network.  The result is that of
 *
 *	systemd-id128 machine-id --app-specific=0af7a2f0-5b1c-4c4e-9d26-7668732d6964
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostid.h"
#include "sha256.h"
#include "text.h"
#include "vxhsctl.h"

static const uint8_t application[16] = {
	0x0a, 0xf7, 0xa2, 0xf0, 0x5b, 0x1c, 0x4c, 0x4e,
	0x9d, 0x26, 0x76, 0x68, 0x73, 0x2d, 0x69, 0x64
};

static void derive(const uint8_t machine_id[16], uint8_t id[16])
{
	uint8_t digest[SHA256_SIZE];

	hmac_sha256(machine_id, 16, application, sizeof(application), digest);
	memcpy(id, digest, 16);
	id[6] = (id[6] & 0x0f) | 0x40;	/* UUID version 4, */
	id[8] = (id[8] & 0x3f) | 0x80;	/* variant of RFC 4122 */
}

/* Returns 0, -ENOENT and the like, or -EBADMSG when the file holds no UUID. */
static int read_uuid(const char *path, uint8_t id[16])
{
	char text[64];
	ssize_t len;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	err = errno;
	close(fd);
	if (len < 0)
		return -err;
	text[len] = 0;
	return uuid_parse_text(text, id) ? -EBADMSG : 0;
}

static int write_whole(int fd, const uint8_t id[16])
{
	char text[UUID_TEXT_SIZE];

	uuid_text(text, id);
	text[UUID_TEXT_SIZE - 1] = '\n';
	if (write(fd, text, sizeof(text)) != sizeof(text))
		return -1;
	return fchmod(fd, 0644) || fsync(fd) ? -1 : 0;
}

/*
 * link() never replaces what another vxhsctl has made meanwhile, and shows
 * nobody a file that is half written.
 */
static void store(const char *path, const uint8_t id[16])
{
	char dir[PATH_MAX], temp[PATH_MAX + 8];
	int fd;

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return;
	dirname(dir);
	mkdir(dir, 0755);
	snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return;
	if (!write_whole(fd, id) && !link(temp, path)) {
		int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (dir_fd >= 0) {
			fsync(dir_fd);
			close(dir_fd);
		}
	}
	close(fd);
	unlink(temp);
}

/**
 * host_id() - the host's UUID, made on first use
 * @path: where it is kept; where that cannot be written, the UUID is derived
 *        anew each time, with the same result
 * @machine_id_path: what it is made from
 * @id: the result
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int host_id(const char *path, const char *machine_id_path, uint8_t id[16])
{
	uint8_t machine_id[16], stored[16];
	int err;

	err = read_uuid(path, id);
	if (!err)
		return STATUS_OK;
	if (err == -EBADMSG)
		return failed("\"%s\" does not hold a UUID; remove it to have it made anew",
			      path);
	if (err != -ENOENT && err != -ENOTDIR)
		return failed("cannot read \"%s\": %s; make it readable or remove it",
			      path, strerror(-err));
	err = read_uuid(machine_id_path, machine_id);
	if (err)
		return failed("cannot make this host's id from \"%s\": %s; run systemd-machine-id-setup or write a UUID to \"%s\"",
			      machine_id_path,
			      err == -EBADMSG ? "it holds no machine id" :
						strerror(-err), path);
	derive(machine_id, id);
	store(path, id);
	/* Whoever stored first is right, should it differ. */
	if (!read_uuid(path, stored))
		memcpy(id, stored, 16);
	return STATUS_OK;
}
