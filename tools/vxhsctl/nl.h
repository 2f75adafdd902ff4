/* SPDX-License-Identifier: GPL-2.0 */
/* Talking to the generic netlink family vxhs. */
#ifndef VXHSCTL_NL_H
#define VXHSCTL_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "attrs.h"

#define NL_TIMEOUT_S	30
#define NL_REQUEST_SIZE	4096
#define NL_REPLY_SIZE	32768

/**
 * struct nl - a socket to the kernel's side of vxhs
 * @sock: the socket
 * @family: the family's number
 * @group: number of the multicast group of state changes, 0 if there is none
 * @seq: of the newest request
 * @error: errno of the last exchange, 0 when it went well
 * @interrupted: the last dump changed while it was read
 * @why: the kernel's sentence about @error, or empty
 * @request: where nl_start() builds the request
 * @reply: where replies are read
 */
struct nl {
	struct mnl_socket *sock;
	uint16_t family;
	uint32_t group;
	uint32_t seq;
	int error;
	bool interrupted;
	char why[512];
	_Alignas(struct nlmsghdr) char request[NL_REQUEST_SIZE];
	_Alignas(struct nlmsghdr) char reply[NL_REPLY_SIZE];
};

/**
 * struct nl_family - what the kernel tells about a family
 * @name: the family
 * @id: its number
 * @group: number of its group VXHS_MCGRP_STATE, or 0
 */
struct nl_family {
	char name[16];
	uint16_t id;
	uint32_t group;
};

typedef void (*nl_reply_fn)(const struct nlmsghdr *nlh, void *arg);

int nl_open(struct nl *nl);
void nl_close(struct nl *nl);
struct nlmsghdr *nl_start(struct nl *nl, uint8_t cmd, uint16_t flags);
int nl_exchange(struct nl *nl, struct nlmsghdr *nlh, nl_reply_fn on_reply,
		void *arg);
int nl_failed(const struct nl *nl, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void nl_error_decode(const struct nlmsghdr *nlh, int *error, char *why,
		     size_t size);
void nl_family_decode(const struct nlmsghdr *nlh, struct nl_family *out);

int nl_disk_get(struct nl *nl, uint32_t index, struct message *out);
int nl_disk_dump(struct nl *nl, struct message **list, unsigned int *count);
int nl_disk_detach(struct nl *nl, uint32_t index, bool force);
int nl_disk_ack_loss(struct nl *nl, uint32_t index);

#endif
