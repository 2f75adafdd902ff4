/* SPDX-License-Identifier: GPL-2.0 */
/* Messages of the family "handshake": bytes to structs and back. */
#ifndef VXHS_HANDSHAKE_MESSAGE_H
#define VXHS_HANDSHAKE_MESSAGE_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "uapi.h"

#define PEERNAME_MAX	383	/* bytes of IDENTITY@NAME */

/**
 * struct family - what nlctrl tells about the family
 * @id: its number, 0 if there is none
 * @group: number of the group HS_GROUP, 0 if there is none
 */
struct family {
	uint16_t id;
	uint32_t group;
};

/**
 * struct request - what the kernel wants
 * @fd: the connection, ours to close; -1 if the reply had none
 * @type: enum hs_type
 * @auth: enum hs_auth
 * @timeout_ms: 0 for no matter
 * @psk_serial: first key that may be used with HS_AUTH_PSK, 0 for none
 * @has_certificate: keys in a keyring are named as certificate
 * @too_long: the peer name does not fit
 * @peername: empty if there is none
 */
struct request {
	int fd;
	uint32_t type;
	uint32_t auth;
	uint32_t timeout_ms;
	int32_t psk_serial;
	bool has_certificate;
	bool too_long;
	char peername[PEERNAME_MAX + 1];
};

void family_decode(const struct nlmsghdr *nlh, struct family *out);
void request_decode(const struct nlmsghdr *nlh, struct request *out);
bool message_is_ready(const struct nlmsghdr *nlh, uint16_t family);
struct nlmsghdr *accept_encode(void *buf, uint16_t family, uint32_t seq);
struct nlmsghdr *done_encode(void *buf, uint16_t family, uint32_t seq, int fd,
			     int status, int32_t remote_auth);
struct nlmsghdr *family_encode(void *buf, uint32_t seq);

#endif
