/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's generic netlink family "handshake", as of Linux 6.12.  The
 * headers of a distribution may be older than its kernel, so the numbers are
 * here: they are those of linux/handshake.h.
 */
#ifndef VXHS_HANDSHAKE_UAPI_H
#define VXHS_HANDSHAKE_UAPI_H

#define HS_FAMILY	"handshake"
#define HS_VERSION	1
#define HS_GROUP	"tlshd"
#define HS_CLASS_TLSHD	1

enum hs_cmd {
	HS_CMD_READY = 1,
	HS_CMD_ACCEPT,
	HS_CMD_DONE,
};

enum hs_type {
	HS_TYPE_UNSPEC,
	HS_TYPE_CLIENTHELLO,
	HS_TYPE_SERVERHELLO,
};

enum hs_auth {
	HS_AUTH_UNSPEC,
	HS_AUTH_UNAUTH,
	HS_AUTH_PSK,
	HS_AUTH_X509,
};

enum hs_accept_attr {
	HS_ACCEPT_SOCKFD = 1,
	HS_ACCEPT_HANDLER_CLASS,
	HS_ACCEPT_MESSAGE_TYPE,
	HS_ACCEPT_TIMEOUT,
	HS_ACCEPT_AUTH_MODE,
	HS_ACCEPT_PEER_IDENTITY,
	HS_ACCEPT_CERTIFICATE,
	HS_ACCEPT_PEERNAME,
};

enum hs_done_attr {
	HS_DONE_STATUS = 1,
	HS_DONE_SOCKFD,
	HS_DONE_REMOTE_AUTH,
};

#endif
