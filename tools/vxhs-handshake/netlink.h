/* SPDX-License-Identifier: GPL-2.0 */
/* Talking to the kernel's family "handshake". */
#ifndef VXHS_HANDSHAKE_NETLINK_H
#define VXHS_HANDSHAKE_NETLINK_H

#include "../vxhsd/util.h"
#include "message.h"

#define NETLINK_BUFFER	8192	/* bytes */

/**
 * struct netlink - two sockets: requests and replies must not wait behind news
 * @ask: for requests of ours
 * @news: in the group that is told of requests
 * @family: number of the family
 * @seq: of the newest request
 * @buf: for one message
 */
struct netlink {
	struct mnl_socket *ask;
	struct mnl_socket *news;
	uint16_t family;
	uint32_t seq;
	_Alignas(struct nlmsghdr) char buf[NETLINK_BUFFER];
};

int netlink_open(struct netlink *nl, struct err *err);
int netlink_join(struct netlink *nl, struct err *err);
void netlink_close(struct netlink *nl);
int netlink_news_fd(const struct netlink *nl);
void netlink_drain_news(struct netlink *nl);
int netlink_accept(struct netlink *nl, struct request *out);
int netlink_done(struct netlink *nl, int fd, int status, int32_t remote_auth);

#endif
