/* SPDX-License-Identifier: GPL-2.0 */
/* What the configuration file says. */
#ifndef VXHS_HANDSHAKE_CONFIG_H
#define VXHS_HANDSHAKE_CONFIG_H

#include <stdbool.h>

#include "../vxhsd/util.h"
#include "peer.h"

/**
 * struct identity_spec - a section [identity NAME]
 * @next: in the order of the file
 * @name: NAME
 * @ca: path: who may sign servers' certificates
 * @crl: path or NULL: what they have revoked
 * @cert: path: who we are
 * @key: path: its key
 * @psk: path or NULL: a pre-shared key, instead of all of them
 */
struct identity_spec {
	struct identity_spec *next;
	char name[IDENTITY_MAX + 1];
	char *ca;
	char *crl;
	char *cert;
	char *key;
	char *psk;
};

/** struct config - all of the file */
struct config {
	struct identity_spec *identities;
};

int config_read(const char *path, struct config *out, struct err *err);
void config_free(struct config *config);

#endif
