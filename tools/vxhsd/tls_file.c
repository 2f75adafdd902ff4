// SPDX-License-Identifier: GPL-2.0
/* Files with certificates, lists and keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls.h"

#define FILE_MAX	(16 << 20)	/* bytes; revocation lists grow */

static int check_file(const char *path, int fd, bool secret, off_t *size,
		      struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, "cannot look at %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, "%s is not a regular file", path);
	if (secret && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)))
		return err_set(err,
			       "%s holds keys and its mode is %03o: others must not read it, nor any but its owner write it (chmod 640 or 600)",
			       path, (unsigned int)st.st_mode & 0777);
	if (!st.st_size || st.st_size > FILE_MAX)
		return err_set(err, "%s has %lld bytes; 1 to %d are allowed",
			       path, (long long)st.st_size, FILE_MAX);
	*size = st.st_size;
	return 0;
}

/* One that grows or shrinks meanwhile is being written: no good either. */
static int read_all(const char *path, int fd, size_t size,
		    gnutls_datum_t *out, struct err *err)
{
	size_t have = 0;
	ssize_t n = 1;

	out->data = malloc(size + 1);
	if (!out->data)
		return err_set(err, "not enough memory for %s", path);
	while (have < size && n > 0) {
		n = read(fd, out->data + have, size - have);
		if (n > 0)
			have += (size_t)n;
	}
	out->data[have] = '\0';
	out->size = (unsigned int)have;
	if (n < 0)
		return err_set(err, "cannot read %s: %s", path,
			       strerror(errno));
	return have == size ? 0 : err_set(err, "%s changes as it is read",
					  path);
}

/**
 * tls_file_read - read a file whole
 * @path: its path
 * @secret: it holds keys, and must not be open to others
 * @out: what is in it, and a NUL after it; for tls_file_free()
 * @err: why not
 *
 * Return: 0 or -1
 */
int tls_file_read(const char *path, bool secret, gnutls_datum_t *out,
		  struct err *err)
{
	/* Not to wait for who writes, if it is a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	off_t size = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return err_set(err, "cannot open %s: %s", path,
			       strerror(errno));
	ret = check_file(path, fd, secret, &size, err);
	if (!ret)
		ret = read_all(path, fd, (size_t)size, out, err);
	close(fd);
	if (ret)
		tls_file_free(out);
	return ret;
}

/** tls_file_free - forget what was read, whatever it was */
void tls_file_free(gnutls_datum_t *file)
{
	if (file->data)
		explicit_bzero(file->data, file->size);
	free(file->data);
	memset(file, 0, sizeof(*file));
}
