// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret.h"

#define FILE_MAX	(1 << 20)	/* bytes of a file that is not nonsense */

static int check_file(const char *path, int fd, bool secret, size_t *size,
		      struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, "cannot look at %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, "%s is not a regular file", path);
	if (secret && st.st_uid && st.st_uid != geteuid())
		return err_set(err, "%s belongs to somebody else; \"chown root %s\"",
			       path, path);
	if (secret && (st.st_mode & 077))
		return err_set(err, "%s is open to others than its owner; \"chmod 600 %s\", and make a new key if somebody may have read it",
			       path, path);
	if (!st.st_size || st.st_size > FILE_MAX)
		return err_set(err, "%s has %lld bytes, 1 to %d are possible",
			       path, (long long)st.st_size, FILE_MAX);
	*size = (size_t)st.st_size;
	return 0;
}

static int read_all(const char *path, int fd, gnutls_datum_t *out, size_t size,
		    struct err *err)
{
	size_t have = 0;

	out->data = calloc(1, size + 1);
	if (!out->data)
		return err_set(err, "not enough memory");
	out->size = (unsigned int)size;
	while (have < size) {
		ssize_t n = read(fd, out->data + have, size - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, "cannot read %s: %s", path,
				       strerror(errno));
		if (!n)
			return err_set(err, "%s became shorter while it was read",
				       path);
		have += (size_t)n;
	}
	return 0;
}

/**
 * file_read() - read a file whole
 * @path: which
 * @secret: refuse it if anybody but us and root can read it
 * @out: its bytes, and a NUL behind them; for file_free(), also after an error
 * @err: what is wrong
 *
 * What is checked is the file that is read, whatever becomes of the name.
 *
 * Return: 0 or -1
 */
int file_read(const char *path, bool secret, gnutls_datum_t *out,
	      struct err *err)
{
	/* Does not wait for a writer, if it is a FIFO. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t size = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return err_set(err, "cannot open %s: %s", path,
			       strerror(errno));
	ret = check_file(path, fd, secret, &size, err);
	if (!ret)
		ret = read_all(path, fd, out, size, err);
	close(fd);
	return ret;
}

/** file_free() - forget what was read */
void file_free(gnutls_datum_t *file)
{
	if (file->data)
		explicit_bzero(file->data, file->size);
	free(file->data);
	memset(file, 0, sizeof(*file));
}

static bool psk_name_ok(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (*c < 0x21 || *c > 0x7e)
			return false;
	return *name && strlen(name) <= PSK_NAME_MAX;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_key(const char *hex, struct psk *out)
{
	size_t len = strlen(hex), i;

	if (len % 2 || len < 2 * PSK_KEY_MIN || len > 2 * PSK_KEY_MAX)
		return false;
	for (i = 0; i < len; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out->key[i / 2] = (uint8_t)(high << 4 | low);
	}
	out->len = (unsigned int)(len / 2);
	return true;
}

/**
 * psk_parse() - read the line IDENTITY:HEXKEY, as psktool writes it
 * @path: for messages, which never repeat what may be a key
 * @text: what is in the file; cut into pieces
 * @out: the key
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int psk_parse(const char *path, char *text, struct psk *out, struct err *err)
{
	char *line, *colon;

	memset(out, 0, sizeof(*out));
	while ((line = strsep(&text, "\n"))) {
		if (!*line || *line == '#')
			continue;
		if (out->len)
			return err_set(err, "%s has several keys; an identity has one",
				       path);
		colon = strrchr(line, ':');
		if (!colon)
			return err_set(err, "%s: the line is not IDENTITY:HEXKEY",
				       path);
		*colon = 0;
		if (!psk_name_ok(line))
			return err_set(err, "%s: the key's identity is not 1 to %d printable characters",
				       path, PSK_NAME_MAX);
		strcpy(out->name, line);
		if (!parse_key(colon + 1, out))
			return err_set(err, "%s: the key is not %d to %d bytes in hexadecimal",
				       path, PSK_KEY_MIN, PSK_KEY_MAX);
	}
	return out->len ? 0 : err_set(err, "%s has no key in it", path);
}
