/* SPDX-License-Identifier: GPL-2.0 */
/* Who we can be: credentials, loaded and checked, that no longer need files. */
#ifndef VXHS_HANDSHAKE_IDENTITY_H
#define VXHS_HANDSHAKE_IDENTITY_H

#include <gnutls/gnutls.h>

#include "config.h"
#include "psk.h"

/**
 * struct identity - one of them; never changes
 * @next: in its list
 * @refs: its list, and each handshake
 * @name: as in the request
 * @priority: what is offered
 * @x509: credentials, or NULL
 * @psk: credentials, or NULL
 */
struct identity {
	struct identity *next;
	unsigned int refs;
	char name[IDENTITY_MAX + 1];
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t x509;
	gnutls_psk_client_credentials_t psk;
};

/**
 * enum expired - what to do about what has ended, or has not begun
 * @EXPIRED_WARN: use it, for the other identities are needed
 * @EXPIRED_REFUSE: it is an error
 */
enum expired {
	EXPIRED_WARN,
	EXPIRED_REFUSE,
};

struct identity *identity_load_all(const struct config *config,
				   enum expired expired, struct err *err);
int identity_load(struct identity **list, const char *path,
		  enum expired expired, struct err *err);
void identity_reload(struct identity **list, const char *path);
void identity_free_all(struct identity *list);
struct identity *identity_find(struct identity *list, const char *name);
struct identity *identity_from_psk(const struct psk *psk, struct err *err);
void identity_put(struct identity *identity);

#endif
