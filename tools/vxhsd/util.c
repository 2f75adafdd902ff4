// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

/**
 * err_set - note what failed
 * @err: where to
 * @fmt: the sentence
 *
 * Return: -1, so that a caller can return it on
 */
int err_set(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

/**
 * err_usage - note what is wrong with what the user wrote
 * @err: where to
 * @fmt: the sentence
 *
 * Return: -1
 */
int err_usage(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	err->usage = true;
	return -1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/**
 * uuid_parse - read 8-4-4-4-12 hex digits
 * @text: NUL-terminated; white space may follow
 * @uuid: the result
 *
 * Return: true if @text is a UUID
 */
bool uuid_parse(const char *text, u8 uuid[16])
{
	int n = 0;

	for (; n < 32; text++) {
		int digit;

		if (*text == '-' && (n == 8 || n == 12 || n == 16 || n == 20) &&
		    text[-1] != '-')
			continue;
		digit = hex_digit(*text);
		if (digit < 0)
			return false;
		if (n % 2)
			uuid[n / 2] |= (u8)digit;
		else
			uuid[n / 2] = (u8)(digit << 4);
		n++;
	}
	while (isspace((unsigned char)*text))
		text++;
	return !*text;
}

void uuid_format(const u8 uuid[16], char text[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	int i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		*text++ = digits[uuid[i] >> 4];
		*text++ = digits[uuid[i] & 15];
	}
	*text = '\0';
}

/* FNV-1a, 128 bits: spreads names, keeps no secrets. */
static unsigned __int128 hash128(unsigned __int128 h, const void *buf,
				 size_t len)
{
	const unsigned __int128 prime =
		((unsigned __int128)1 << 88) + 0x13b;
	const u8 *p = buf;

	while (len--)
		h = (h ^ *p++) * prime;
	return h;
}

/**
 * uuid_from_hash - derive a UUID (version 8) from two byte strings
 * @uuid: the result; the same for the same strings
 * @a: first string
 * @alen: its bytes
 * @b: second string
 * @blen: its bytes
 */
void uuid_from_hash(u8 uuid[16], const void *a, size_t alen,
		    const void *b, size_t blen)
{
	unsigned __int128 h =
		((unsigned __int128)0x6c62272e07bb0142 << 64) |
		0x62b821756295c58d;

	h = hash128(h, a, alen);
	h = hash128(h, "", 1);
	h = hash128(h, b, blen);
	memcpy(uuid, &h, 16);
	uuid[6] = (uuid[6] & 0x0f) | 0x80;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

bool uuid_random(u8 uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		return false;
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return true;
}

/**
 * hash64 - FNV-1a over more bytes
 * @seed: 0, or the result of an earlier call
 * @buf: bytes
 * @len: how many
 */
u64 hash64(u64 seed, const void *buf, size_t len)
{
	const u8 *p = buf;
	u64 h = seed ? seed : 0xcbf29ce484222325ULL;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ULL;
	return h;
}

/**
 * parse_size - read a number of bytes: "4096", "64K", "10G", "2TiB"
 * @text: NUL-terminated
 * @size: the result
 *
 * Return: true if it is one, below 2^63
 */
bool parse_size(const char *text, u64 *size)
{
	static const char units[] = "KMGTPE";
	unsigned long long n;
	unsigned int shift = 0;
	const char *unit;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit)
			return false;
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
		if (*end && strcmp(end, "B") && strcmp(end, "iB"))
			return false;
	}
	if (n > (u64)INT64_MAX >> shift)
		return false;
	*size = (u64)n << shift;
	return true;
}

/** now_us - the monotonic clock in microseconds */
u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000 + (u64)ts.tv_nsec / 1000;
}

/** sooner - of two times to wait, where 0 is for ever */
u64 sooner(u64 a, u64 b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/**
 * addr_format - ADDR:PORT for a log line
 * @sa: IPv4 or IPv6; a mapped address is shown as IPv4
 * @text: the result
 */
void addr_format(const struct sockaddr *sa, char text[ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, ADDR_TEXT, "%s:%u", host, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host,
				  sizeof(host));
			snprintf(text, ADDR_TEXT, "%s:%u", host,
				 ntohs(in6->sin6_port));
		} else {
			inet_ntop(AF_INET6, &in6->sin6_addr, host,
				  sizeof(host));
			snprintf(text, ADDR_TEXT, "[%s]:%u", host,
				 ntohs(in6->sin6_port));
		}
	} else {
		snprintf(text, ADDR_TEXT, "?");
	}
}

/**
 * addr_identity - who a peer is, as far as an address tells
 * @sa: IPv4 or IPv6
 * @id: the address without its port, IPv4 mapped into IPv6
 */
void addr_identity(const struct sockaddr *sa, u8 id[16])
{
	memset(id, 0, 16);
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		id[10] = 0xff;
		id[11] = 0xff;
		memcpy(id + 12, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(id, &in6->sin6_addr, 16);
	}
}

/**
 * addr_network - the addresses that one client can have all of, as far as an
 * address tells
 * @sa: IPv4 or IPv6
 * @id: the address, of IPv6 its first 64 bits
 */
void addr_network(const struct sockaddr *sa, u8 id[16])
{
	addr_identity(sa, id);
	if (!IN6_IS_ADDR_V4MAPPED((struct in6_addr *)id))
		memset(id + 8, 0, 8);
}

/**
 * identity_format - the address that a peer is known by
 * @id: from addr_identity()
 * @text: the result, without a port
 */
void identity_format(const u8 id[16], char text[INET6_ADDRSTRLEN])
{
	struct in6_addr in6;

	memcpy(&in6, id, sizeof(in6));
	if (IN6_IS_ADDR_V4MAPPED(&in6))
		inet_ntop(AF_INET, id + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, id, text, INET6_ADDRSTRLEN);
}

/**
 * read_line - the first line of a small file, without its newline
 * @path: of the file
 * @buf: the result
 * @size: of @buf, bytes
 *
 * Return: true if there was one
 */
bool read_line(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

/**
 * read_number - a decimal number from a file such as those of sysfs
 * @path: of the file
 * @value: the result
 *
 * Return: true if there was one
 */
bool read_number(const char *path, u64 *value)
{
	char line[64], *end;

	if (!read_line(path, line, sizeof(line)))
		return false;
	*value = strtoull(line, &end, 10);
	return end != line;
}

/**
 * lock_file - lock all of a file for an open descriptor, or unlock it
 * @fd: the lock is that of its open file description, and ends with it
 * @type: F_WRLCK or F_UNLCK
 *
 * Return: 0, -EAGAIN while another has it locked, or another negative errno
 */
int lock_file(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int sync_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[4300];
	int fd, ret;

	if (!slash || slash == path)
		snprintf(dir, sizeof(dir), "%s", slash ? "/" : ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

/**
 * write_line - make a file of one line, durably
 * @path: of the file; it is whole, old or new, whatever happens
 * @line: without its newline
 *
 * Return: 0 or a negative errno
 */
int write_line(const char *path, const char *line)
{
	char tmp[4300];
	int fd, ret = 0;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%s\n", line) < 0 || fsync(fd))
		ret = -errno;
	close(fd);
	if (!ret && rename(tmp, path))
		ret = -errno;
	return ret ? ret : sync_folder_of(path);
}
