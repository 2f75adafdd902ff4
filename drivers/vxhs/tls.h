/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lane's handshake, through the kernel's net/handshake and an agent in user
 * space.  No key comes here.
 */
#ifndef _VXHS_TLS_H
#define _VXHS_TLS_H

#include <linux/key.h>
#include <linux/types.h>

struct netlink_ext_ack;
struct socket;
struct vxhs_session;

#define VXHS_TLS_IDENTITY_MAX	63	/* bytes of an identity */

/**
 * struct vxhs_tls - how the lanes of a session get TLS
 * @peername: what the agent is told: [IDENTITY@]NAME; from vxhs_tls_name(), so
 *	      that equal names are equal pointers
 * @psk: serial number of a pre-shared key in a keyring, or 0
 */
struct vxhs_tls {
	const char	*peername;
	key_serial_t	psk;
};

const char *vxhs_tls_name(const char *identity, const char *server);
const char *vxhs_tls_text(const struct vxhs_session *session);
void vxhs_tls_prepare(void);
int vxhs_tls_open(struct socket *sock);
int vxhs_tls_handshake(struct vxhs_session *session, struct socket *sock,
		       const struct vxhs_tls *tls, unsigned long deadline,
		       struct netlink_ext_ack *extack);
void vxhs_tls_release(struct socket *sock);

int vxhs_tls_init(void);
void vxhs_tls_exit(void);

#endif /* _VXHS_TLS_H */
