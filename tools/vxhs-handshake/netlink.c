// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "netlink.h"

#define ANSWER_S	10	/* the kernel answers at once, or something is wrong */

/* Returns 0, with the answer in buf; or a negative errno. */
static int exchange(struct netlink *nl, const struct nlmsghdr *request)
{
	const struct nlmsghdr *nlh = (const void *)nl->buf;
	uint32_t seq = request->nlmsg_seq;
	ssize_t len;

	if (mnl_socket_sendto(nl->ask, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		len = mnl_socket_recvfrom(nl->ask, nl->buf, sizeof(nl->buf));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		/* A late answer to what was given up is nobody's. */
		if (!mnl_nlmsg_ok(nlh, (int)len) || nlh->nlmsg_seq != seq)
			continue;
		if (nlh->nlmsg_type != NLMSG_ERROR)
			return 0;
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(int))
			return -EBADMSG;
		return *(const int *)mnl_nlmsg_get_payload(nlh);
	}
}

static struct mnl_socket *open_socket(struct err *err)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_GENERIC,
						   SOCK_CLOEXEC);

	if (sock && !mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID))
		return sock;
	err_set(err, "cannot open a netlink socket: %s", strerror(errno));
	if (sock)
		mnl_socket_close(sock);
	return NULL;
}

/**
 * netlink_open() - open a socket to the family
 * @nl: to be closed with netlink_close(), whatever this returns
 * @err: why not
 *
 * Return: 0 or -1
 */
int netlink_open(struct netlink *nl, struct err *err)
{
	const struct timeval patience = { .tv_sec = ANSWER_S };
	struct family family;
	int ret;

	memset(nl, 0, sizeof(*nl));
	nl->ask = open_socket(err);
	if (!nl->ask)
		return -1;
	setsockopt(mnl_socket_get_fd(nl->ask), SOL_SOCKET, SO_RCVTIMEO,
		   &patience, sizeof(patience));
	nl->news = open_socket(err);
	if (!nl->news)
		return -1;
	ret = exchange(nl, family_encode(nl->buf, ++nl->seq));
	if (ret)
		return err_set(err, "this kernel does no TLS handshakes for its own connections (CONFIG_NET_HANDSHAKE): %s",
			       strerror(-ret));
	family_decode((const void *)nl->buf, &family);
	if (!family.id || !family.group)
		return err_set(err, "the kernel's family \"%s\" has no group \"%s\"",
			       HS_FAMILY, HS_GROUP);
	nl->family = family.id;
	return 0;
}

/**
 * netlink_join() - be told of requests, from now on
 * @nl: open
 * @err: why not
 *
 * From here on the kernel takes us for an agent that works.
 *
 * Return: 0 or -1
 */
int netlink_join(struct netlink *nl, struct err *err)
{
	struct family family;
	int ret;

	ret = exchange(nl, family_encode(nl->buf, ++nl->seq));
	if (!ret) {
		family_decode((const void *)nl->buf, &family);
		ret = mnl_socket_setsockopt(nl->news, NETLINK_ADD_MEMBERSHIP,
					    &family.group,
					    sizeof(family.group)) ? -errno : 0;
	}
	return ret ? err_set(err, "cannot join the group \"%s\" of the family \"%s\": %s; it needs CAP_NET_ADMIN",
			     HS_GROUP, HS_FAMILY, strerror(-ret)) : 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->news)
		mnl_socket_close(nl->news);
	if (nl->ask)
		mnl_socket_close(nl->ask);
	memset(nl, 0, sizeof(*nl));
}

int netlink_news_fd(const struct netlink *nl)
{
	return mnl_socket_get_fd(nl->news);
}

/**
 * netlink_drain_news() - forget what the group was told
 * @nl: open
 *
 * Whatever it was, and however much was lost: netlink_accept() tells what
 * there is to do.
 */
void netlink_drain_news(struct netlink *nl)
{
	ssize_t len;

	do {
		len = recv(netlink_news_fd(nl), nl->buf, sizeof(nl->buf),
			   MSG_DONTWAIT);
	} while (len >= 0 || errno == EINTR || errno == ENOBUFS);
}

/**
 * netlink_accept() - take the next request
 * @nl: open
 * @out: the request, with its connection
 *
 * Return: 0, -EAGAIN if there is none, or another negative errno
 */
int netlink_accept(struct netlink *nl, struct request *out)
{
	int ret = exchange(nl, accept_encode(nl->buf, nl->family, ++nl->seq));

	if (ret)
		return ret;
	request_decode((const void *)nl->buf, out);
	return out->fd < 0 ? -EBADMSG : 0;
}

/**
 * netlink_done() - tell the kernel how a handshake ended
 * @nl: open
 * @fd: of the request; the caller closes it afterwards
 * @status: 0 or an errno, positive
 * @remote_auth: as done_encode()
 *
 * Return: 0 or a negative errno
 */
int netlink_done(struct netlink *nl, int fd, int status, int32_t remote_auth)
{
	return exchange(nl, done_encode(nl->buf, nl->family, ++nl->seq, fd,
					status, remote_auth));
}
