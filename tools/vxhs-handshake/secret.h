/* SPDX-License-Identifier: GPL-2.0 */
/* Files and keys, read whole; those that are secret only if they are. */
#ifndef VXHS_HANDSHAKE_SECRET_H
#define VXHS_HANDSHAKE_SECRET_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "../vxhsd/util.h"

#define PSK_NAME_MAX	255	/* bytes of a PSK's identity */
#define PSK_KEY_MIN	16	/* bytes of its key */
#define PSK_KEY_MAX	64

/**
 * struct psk - a pre-shared key and the name that the server knows it by
 * @name: printable ASCII without space
 * @key: the key
 * @len: bytes of @key
 */
struct psk {
	char name[PSK_NAME_MAX + 1];
	uint8_t key[PSK_KEY_MAX];
	unsigned int len;
};

int file_read(const char *path, bool secret, gnutls_datum_t *out,
	      struct err *err);
void file_free(gnutls_datum_t *file);
int psk_parse(const char *path, char *text, struct psk *out, struct err *err);
int psk_from_keyring(int32_t serial, struct psk *out, struct err *err);

#endif
