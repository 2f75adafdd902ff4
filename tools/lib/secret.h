/* SPDX-License-Identifier: GPL-2.0 */
/* Files and keys, read whole; those that are secret only if they are. */
#ifndef _VXHS_SECRET_H
#define _VXHS_SECRET_H

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "../vxhsd/util.h"

#define PSK_NAME_MAX	255	/* bytes of a PSK's identity */
#define PSK_KEY_MIN	16	/* bytes of its key */
#define PSK_KEY_MAX	64

/**
 * struct psk - a pre-shared key and the name that it is known by
 * @name: printable ASCII without space
 * @key: the key
 * @len: bytes of @key
 */
struct psk {
	char name[PSK_NAME_MAX + 1];
	uint8_t key[PSK_KEY_MAX];
	unsigned int len;
};

/**
 * enum secrecy - who may read a file, besides root
 * @FILE_PUBLIC: everybody
 * @FILE_OF_GROUP: its owner, and its group
 * @FILE_OF_OWNER: its owner
 */
enum secrecy {
	FILE_PUBLIC,
	FILE_OF_GROUP,
	FILE_OF_OWNER,
};

int file_read(const char *path, enum secrecy secrecy, gnutls_datum_t *out,
	      struct err *err);
void file_free(gnutls_datum_t *file);
bool psk_name_ok(const char *name, size_t len);
int psk_parse_line(const char *path, unsigned int line, char *text,
		   struct psk *out, struct err *err);
int x509_load_own(gnutls_certificate_credentials_t to, const char *cert,
		  const char *key, enum secrecy secrecy, const char **ended,
		  struct err *err);

#endif /* _VXHS_SECRET_H */
