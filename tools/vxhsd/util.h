/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small things that several rooms need: sizes, UUIDs, hashes, the clock, and
 * the sentence that says what went wrong.
 */
#ifndef _VXHSD_UTIL_H
#define _VXHSD_UTIL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "wire.h"

/**
 * struct err - one sentence for the person who started the server
 * @text: without a final newline
 * @usage: the command line or the config file is wrong, not the world
 */
struct err {
	char text[512];
	bool usage;
};

int err_set(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int err_usage(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define UUID_TEXT	37	/* bytes, NUL included */

bool uuid_parse(const char *text, u8 uuid[16]);
void uuid_format(const u8 uuid[16], char text[UUID_TEXT]);
void uuid_from_hash(u8 uuid[16], const void *a, size_t alen,
		    const void *b, size_t blen);
bool uuid_random(u8 uuid[16]);
u64 hash64(u64 seed, const void *buf, size_t len);

/* A server that was killed keeps its files and sockets so long, at most. */
#define LINGER_US	3000000
#define LINGER_STEP_US	10000

bool parse_size(const char *text, u64 *size);
u64 now_us(void);
u64 sooner(u64 a, u64 b);

#define ADDR_TEXT	64	/* bytes, NUL included */

void addr_format(const struct sockaddr *sa, char text[ADDR_TEXT]);
void addr_identity(const struct sockaddr *sa, u8 id[16]);
void addr_network(const struct sockaddr *sa, u8 id[16]);
void identity_format(const u8 id[16], char text[INET6_ADDRSTRLEN]);

bool read_line(const char *path, char *buf, size_t size);
bool read_number(const char *path, u64 *value);
int lock_file(int fd, short type);
int write_line(const char *path, const char *line);

#endif /* _VXHSD_UTIL_H */
