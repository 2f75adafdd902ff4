// SPDX-License-Identifier: GPL-2.0
/* Records of TLS that are not data. */
#include <errno.h>
#include <linux/tls.h>
#include <sys/socket.h>

#include "tls.h"

#define RECORD_ALERT		21
#define ALERT_CLOSE_NOTIFY	0

/**
 * tls_take_record - what is it that a receive could not give us?
 * @fd: a socket of which a receive failed with EIO
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

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return TLS_RECORD_NONE;
	if (!n && !cmsg)
		return TLS_RECORD_EOF;
	if (cmsg && cmsg->cmsg_level == SOL_TLS &&
	    cmsg->cmsg_type == TLS_GET_RECORD_TYPE &&
	    *CMSG_DATA(cmsg) == RECORD_ALERT && n == 2 &&
	    data[1] == ALERT_CLOSE_NOTIFY)
		return TLS_RECORD_EOF;
	return TLS_RECORD_OTHER;
}
