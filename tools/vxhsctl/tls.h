/* SPDX-License-Identifier: GPL-2.0 */
/* TLS of a session: whom the server has to be, and who this host is. */
#ifndef VXHSCTL_TLS_H
#define VXHSCTL_TLS_H

#include <stdbool.h>
#include <stdint.h>

struct command;
struct server_list;

/**
 * struct tls - how a session has TLS
 * @on: whether; the others are nothing without it
 * @peername: what the server's certificate has to name
 * @identity: of the handshake agent's configuration; empty for its default
 * @psk: serial number of a pre-shared key, or 0
 * @allow_unverified: the server may speak QNIO v34
 * @cipher: of the connections, as the kernel names it; may be empty
 */
struct tls {
	bool on;
	char peername[256];
	char identity[64];
	int32_t psk;
	bool allow_unverified;
	char cipher[64];
};

#define TLS_IDENTITY_SIZE	sizeof(((struct tls *)0)->identity)

int tls_take(const struct command *cmd, int opt, const char *value,
	     struct tls *tls);
int tls_complete(const struct command *cmd, const struct server_list *servers,
		 struct tls *tls);
void tls_identity_text(char out[TLS_IDENTITY_SIZE], const struct tls *tls);

/* Lines of a table of options. */
#define TLS_OPTIONS							\
	{ "tls", no_argument, NULL, OPTION_TLS },			\
	{ "tls-peername", required_argument, NULL, OPTION_TLS_PEERNAME }, \
	{ "identity", required_argument, NULL, OPTION_IDENTITY },	\
	{ "allow-unverified", no_argument, NULL, OPTION_ALLOW_UNVERIFIED }

#define TLS_DETAILS							\
"TLS 1.3, with an agent on this host, such as vxhs-handshake, that has the keys:\n" \
"\n"									\
"  --tls                 on all connections, or not at all\n"		\
"  --tls-peername NAME   what the server's certificate has to name; otherwise\n" \
"                        HOST. Several different HOSTs need it\n"	\
"  --identity NAME       who this host is, by the agent's configuration; or\n" \
"                        key:SERIAL, a pre-shared key in a keyring\n"	\
"  --allow-unverified    also if the server speaks only QNIO v34, which verifies\n" \
"                        nothing of what TLS protects\n"

#endif
