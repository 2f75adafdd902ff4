// SPDX-License-Identifier: GPL-2.0
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "../vxhsd/util.h"
#include "log.h"

#define PREFIX		"vxhs-handshake: "
#define LINES		20	/* per second */

static struct {
	u64 since_us;
	unsigned int lines;
	unsigned int dropped;
} limit;

/*
 * The journal may be on the disk that a handshake is to bring back.  A pipe or
 * socket that poll() says has room takes a line of less than PIPE_BUF bytes.
 */
static bool put(const char *line, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) &&
	       write(STDERR_FILENO, line, len) == (ssize_t)len;
}

static bool is_allowed(u64 now)
{
	if (now - limit.since_us >= 1000000) {
		limit.since_us = now;
		limit.lines = 0;
	}
	return limit.lines++ < LINES;
}

/** log_line() - say something; without a newline */
void log_line(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n, more;

	if (!is_allowed(now_us())) {
		limit.dropped++;
		return;
	}
	if (limit.dropped) {
		n = snprintf(line, sizeof(line),
			     PREFIX "%u lines were left out\n", limit.dropped);
		if (put(line, (size_t)n))
			limit.dropped = 0;
	}
	n = snprintf(line, sizeof(line), PREFIX);
	va_start(ap, fmt);
	more = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (more > 0)
		n += more;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (!put(line, (size_t)n))
		limit.dropped++;
}
