// SPDX-License-Identifier: GPL-2.0
/* What a socket whose records are the kernel's business has for us. */
#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls.h"

#define RECORD_ALERT		21
#define RECORD_MAX		16384	/* bytes of data */
#define RECORDS			32	/* of a connection's turn */
#define ALERT_CLOSE_NOTIFY	0

/** tls_rx_new - for a loop; NULL, with errno, if there is no room */
struct tls_rx *tls_rx_new(void)
{
	struct tls_rx *rx = malloc(sizeof(*rx));

	if (rx && pipe2(rx->pipe, O_CLOEXEC)) {
		free(rx);
		return NULL;
	}
	return rx;
}

/** tls_rx_free - undo tls_rx_new(); NULL is fine */
void tls_rx_free(struct tls_rx *rx)
{
	if (!rx)
		return;
	close(rx->pipe[0]);
	close(rx->pipe[1]);
	free(rx);
}

static bool has_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

/* A record's data, or the rest of it: the bytes, 0 if it is empty, -1. */
static ssize_t take_one(struct tls_rx *rx, int fd, size_t have, size_t max)
{
	ssize_t n = splice(fd, NULL, rx->pipe[1], NULL, max - have,
			   SPLICE_F_NONBLOCK);
	ssize_t done = 0, ret;

	while (done < n) {
		ret = read(rx->pipe[0], rx->buf + have + done,
			   (size_t)(n - done));
		if (ret <= 0)
			abort();	/* it is in there */
		done += ret;
	}
	return n;
}

/**
 * tls_receive - take what has come, for a turn
 * @rx: of the loop
 * @fd: of a connection
 * @max: bytes, at most TLS_RX_SIZE
 *
 * A receive does not return before it has data, for as long as records come:
 * a peer that sends empty ones faster than they are deciphered would have the
 * loop for itself.  A splice takes one record.
 *
 * Return: bytes in @rx->buf; 0 at the end; -EAGAIN, there may be more later;
 * -EIO for tls_take_record(); another negative errno
 */
ssize_t tls_receive(struct tls_rx *rx, int fd, size_t max)
{
	size_t have = 0;
	unsigned int i;
	ssize_t n = 0;

	for (i = 0; i < RECORDS && have < max; i++) {
		n = take_one(rx, fd, have, max);
		if (n < 0)
			break;
		have += (size_t)n;
		/* A short one is mostly the last that is there. */
		if (n && n < RECORD_MAX)
			break;
	}
	if (have)
		return (ssize_t)have;
	if (n < 0)
		return errno == EINVAL ? -EIO : -errno;
	return has_ended(fd) ? 0 : -EAGAIN;
}

/**
 * tls_take_record - what is it that tls_receive() could not give us?
 * @fd: a socket for which that returned -EIO
 */
enum tls_record tls_take_record(int fd)
{
	char control[CMSG_SPACE(sizeof(unsigned char))];
	u8 data[2];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (n < 0 && errno == EINTR)
		return TLS_RECORD_NONE;
	/* Else it is there, unless what has come was no record at all. */
	if (!n && !cmsg)
		return TLS_RECORD_EOF;
	if (cmsg && cmsg->cmsg_level == SOL_TLS &&
	    cmsg->cmsg_type == TLS_GET_RECORD_TYPE &&
	    *CMSG_DATA(cmsg) == RECORD_ALERT && n == 2 &&
	    data[1] == ALERT_CLOSE_NOTIFY)
		return TLS_RECORD_EOF;
	return TLS_RECORD_OTHER;
}
