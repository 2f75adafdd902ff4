/* SPDX-License-Identifier: GPL-2.0 */
/* Whom to be, and whom to expect: what the kernel's peer name says. */
#ifndef VXHS_HANDSHAKE_PEER_H
#define VXHS_HANDSHAKE_PEER_H

#include <stdbool.h>

#include "../vxhsd/util.h"

#define IDENTITY_MAX	63
#define SERVER_MAX	255
#define IDENTITY_DEFAULT "default"

/**
 * struct peer - what is asked for
 * @identity: which of ours; IDENTITY_DEFAULT if the request names none
 * @server: name or address of the server
 */
struct peer {
	char identity[IDENTITY_MAX + 1];
	char server[SERVER_MAX + 1];
};

bool identity_name_ok(const char *name);
bool server_is_address(const char *server);
int peer_parse(const char *peername, struct peer *out, struct err *err);

#endif
