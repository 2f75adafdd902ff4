/* SPDX-License-Identifier: GPL-2.0 */
/* One handshake, from the kernel's request to its end; it never waits. */
#ifndef VXHS_HANDSHAKE_SESSION_H
#define VXHS_HANDSHAKE_SESSION_H

#include "identity.h"
#include "message.h"

#define TIMEOUT_MS	10000	/* where the kernel names none, and at most */

enum progress {
	PROGRESS_WAIT,		/* for session_events() */
	PROGRESS_DONE,		/* the keys are in the kernel */
	PROGRESS_FAILED,
};

/**
 * struct session - one handshake
 * @fd: the connection; -1 if there is none here
 * @status: errno for the kernel, positive, once it has failed
 * @deadline_us: by now_us()
 * @received: bytes so far
 * @remote_auth: serial number of the key that was used, or 0
 * @identity: who we are
 * @gnutls: the handshake
 * @peer: whom we expect
 * @verify: @peer, as GnuTLS wants it
 * @where: address of the other end, for messages
 */
struct session {
	int fd;
	int status;
	u64 deadline_us;
	size_t received;
	int32_t remote_auth;
	struct identity *identity;
	gnutls_session_t gnutls;
	struct peer peer;
	gnutls_typed_vdata_st verify[2];
	char where[ADDR_TEXT];
};

enum progress session_start(struct session *s, const struct request *request,
			    struct identity *identities, u64 now);
enum progress session_go_on(struct session *s);
enum progress session_too_late(struct session *s);
short session_events(const struct session *s);
void session_end(struct session *s);

#endif
