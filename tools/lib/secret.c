// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "secret.h"

#define FILE_MAX	(16 << 20)	/* bytes; revocation lists grow */

static int check_mode(const char *path, const struct stat *st,
		      enum secrecy secrecy, struct err *err)
{
	unsigned int mode = st->st_mode & 0777;

	if (secrecy == FILE_PUBLIC)
		return 0;
	if (st->st_uid && st->st_uid != geteuid())
		return err_set(err, "%s holds keys and belongs to somebody else; \"chown root %s\"",
			       path, path);
	if (secrecy == FILE_OF_OWNER && (mode & 077))
		return err_set(err, "%s holds keys and its mode is %03o: nobody but its owner may read or write it; \"chmod 600 %s\", and make a new key if somebody may have read it",
			       path, mode, path);
	if (mode & 027)
		return err_set(err, "%s holds keys and its mode is %03o: others must not read it, nor any but its owner write it; \"chmod 640 %s\", and make a new key if somebody may have read it",
			       path, mode, path);
	return 0;
}

static int check_file(const char *path, int fd, enum secrecy secrecy,
		      size_t *size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, "cannot look at %s: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, "%s is not a regular file", path);
	if (check_mode(path, &st, secrecy, err))
		return -1;
	if (!st.st_size || st.st_size > FILE_MAX)
		return err_set(err, "%s has %lld bytes; 1 to %d are possible",
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
		return err_set(err, "not enough memory for %s", path);
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
 * @secrecy: refuse it if anybody else can read it
 * @out: its bytes, and a NUL behind them; for file_free(), also after an error
 * @err: what is wrong
 *
 * What is checked is the file that is read, whatever becomes of the name.
 *
 * Return: 0 or -1
 */
int file_read(const char *path, enum secrecy secrecy, gnutls_datum_t *out,
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
	ret = check_file(path, fd, secrecy, &size, err);
	if (!ret)
		ret = read_all(path, fd, out, size, err);
	close(fd);
	return ret;
}

/** file_free() - forget what was read, whatever it was */
void file_free(gnutls_datum_t *file)
{
	if (file->data)
		explicit_bzero(file->data, file->size);
	free(file->data);
	memset(file, 0, sizeof(*file));
}

/** psk_name_ok() - may this be an identity?  Printable ASCII without space */
bool psk_name_ok(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (name[i] < 0x21 || name[i] > 0x7e)
			return false;
	return len && len <= PSK_NAME_MAX;
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
 * psk_parse_line() - read IDENTITY:HEXKEY, as psktool writes it
 * @path: for messages, which never repeat what may be a key, as the identity
 *	may, where the line is not as it should be
 * @line: for messages
 * @text: the line, without its end; cut into pieces
 * @out: the key, to be wiped also after an error
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int psk_parse_line(const char *path, unsigned int line, char *text,
		   struct psk *out, struct err *err)
{
	char *colon = strrchr(text, ':');

	memset(out, 0, sizeof(*out));
	if (!colon || !psk_name_ok(text, (size_t)(colon - text)))
		return err_set(err,
			       "%s:%u: the line is not IDENTITY:HEXKEY with an identity of 1 to %d printable characters",
			       path, line, PSK_NAME_MAX);
	*colon = '\0';
	strcpy(out->name, text);
	/* Whose key it is may be the key, if somebody took one for the other. */
	if (!parse_key(colon + 1, out))
		return err_set(err,
			       "%s:%u: what is behind the last \":\" is not a key of %d to %d bytes in hexadecimal",
			       path, line, PSK_KEY_MIN, PSK_KEY_MAX);
	return 0;
}

static int check_dates(gnutls_certificate_credentials_t creds,
		       const char *path, const char **ended, struct err *err)
{
	gnutls_x509_crt_t *list;
	time_t now = time(NULL);
	unsigned int n, i;
	int ret;

	*ended = NULL;
	ret = gnutls_certificate_get_x509_crt(creds, 0, &list, &n);
	if (ret)
		return err_set(err, "%s: %s", path, gnutls_strerror(ret));
	if (now < gnutls_x509_crt_get_activation_time(list[0]))
		*ended = "is not valid yet";
	else if (now > gnutls_x509_crt_get_expiration_time(list[0]))
		*ended = "has expired";
	for (i = 0; i < n; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
	return 0;
}

/**
 * x509_load_own() - load our own certificate and its key
 * @to: where to; has no other
 * @cert: path of the certificate, its chain behind it (PEM)
 * @key: path of its key (PEM)
 * @secrecy: of @key
 * @ended: why it is not valid now, to stand behind its name, or NULL
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int x509_load_own(gnutls_certificate_credentials_t to, const char *cert,
		  const char *key, enum secrecy secrecy, const char **ended,
		  struct err *err)
{
	gnutls_datum_t certs, keys = { 0 };
	int ret, code;

	ret = file_read(cert, FILE_PUBLIC, &certs, err);
	if (!ret)
		ret = file_read(key, secrecy, &keys, err);
	if (!ret) {
		code = gnutls_certificate_set_x509_key_mem2(to, &certs, &keys,
							    GNUTLS_X509_FMT_PEM,
							    NULL, 0);
		if (code < 0)
			ret = err_set(err,
				      "%s and %s are not a certificate and its key: %s",
				      cert, key, gnutls_strerror(code));
	}
	file_free(&keys);
	file_free(&certs);
	return ret ? ret : check_dates(to, cert, ended, err);
}
