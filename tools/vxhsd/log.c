// SPDX-License-Identifier: GPL-2.0
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#define PEER_LINES	20	/* per second */

static struct {
	pthread_mutex_t lock;	/* protects the fields below */
	u64 since_us;
	unsigned int lines;
	unsigned int dropped;
} peer_limit = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void put_line(const char *level, const char *fmt, va_list ap)
{
	char line[1024];
	ssize_t done;
	int n, more;

	n = snprintf(line, sizeof(line), "vxhsd: %s", level);
	more = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (more > 0)
		n += more;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	done = write(STDERR_FILENO, line, (size_t)n);
	(void)done;	/* there is nowhere else to say so */
}

/** log_info - what happened, in the order of a few lines per start */
void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_line("", fmt, ap);
	va_end(ap);
}

/** log_warn - the server goes on, but somebody should look */
void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_line("warning: ", fmt, ap);
	va_end(ap);
}

/** log_error - something was asked for and could not be done */
void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_line("error: ", fmt, ap);
	va_end(ap);
}

/**
 * log_peer - what a peer did; at most PEER_LINES a second, for it may lie
 *
 * Return: whether it was said
 */
bool log_peer(const char *fmt, ...)
{
	unsigned int dropped = 0;
	u64 now = now_us();
	bool show;
	va_list ap;

	pthread_mutex_lock(&peer_limit.lock);
	if (now - peer_limit.since_us >= 1000000) {
		dropped = peer_limit.dropped;
		peer_limit.since_us = now;
		peer_limit.lines = 0;
		peer_limit.dropped = 0;
	}
	show = peer_limit.lines < PEER_LINES;
	if (show)
		peer_limit.lines++;
	else
		peer_limit.dropped++;
	pthread_mutex_unlock(&peer_limit.lock);

	if (dropped)
		log_info("%u messages about peers were left out", dropped);
	if (!show)
		return false;
	va_start(ap, fmt);
	put_line("", fmt, ap);
	va_end(ap);
	return true;
}
