/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS: who a peer is, and a socket whose records are the kernel's business.
 *
 * With TLS on, a socket becomes a connection only after tls_handshake.c has
 * got its peer's identity and given the keys to the kernel.
 */
#ifndef _VXHSD_TLS_H
#define _VXHSD_TLS_H

#include <gnutls/gnutls.h>
#include <time.h>

#include "../lib/secret.h"
#include "config.h"

#define WHO_MAX		PSK_NAME_MAX	/* bytes of an identity */

/**
 * struct tls_who - somebody who has proved it
 * @name: printable ASCII, no space
 * @owner: whose sessions and leases are whose; from kind and name
 * @checked: the credentials that he passed, by tls_generation()
 * @until: when the proof may end; 0 for never
 * @nr_certs: 0 with a PSK
 * @certs: the chain that was sent, to be looked at again
 * @key_digest: of the PSK
 */
struct tls_who {
	char name[WHO_MAX + 1];
	u8 owner[16];
	unsigned int checked;
	time_t until;
	unsigned int nr_certs;
	gnutls_datum_t *certs;
	u8 key_digest[32];
};

/** struct tls_psk - one of a list of keys */
struct tls_psk {
	struct tls_psk *next;
	struct psk psk;
};

struct tls_creds;

/* tls_creds.c */
struct tls_creds *tls_creds_load(const struct tls_spec *spec,
				 struct err *err);
void tls_creds_use(struct tls_creds *creds);
struct tls_creds *tls_creds_get(void);
void tls_creds_put(struct tls_creds *creds);
unsigned int tls_generation(void);
unsigned int tls_creds_generation(const struct tls_creds *creds);
gnutls_session_t tls_session(const struct tls_creds *creds, struct err *err);
bool tls_chain_passes(const struct tls_creds *creds,
		      const gnutls_datum_t *certs, unsigned int nr_certs,
		      struct err *err);
bool tls_psk_passes(const struct tls_creds *creds, const char *name,
		    const u8 digest[32], struct err *err);
bool tls_psk_digest(const struct tls_creds *creds, const char *name,
		    u8 digest[32]);

/* tls_who.c */
struct tls_who *tls_who_of(gnutls_session_t session,
			   const struct tls_creds *creds, struct err *err);
bool tls_who_passes(struct tls_who *who, struct err *err);
void tls_who_free(struct tls_who *who);

/* tls_psk.c */
struct tls_psk *tls_psk_parse(const char *path, char *text, struct err *err);
const struct psk *tls_psk_find(const struct tls_psk *list, const char *name);
void tls_psk_free(struct tls_psk *list);

/* tls_handshake.c */
int tls_reload(const struct tls_spec *spec, struct tls_creds **out,
	       struct err *err);
int tls_start(const struct tls_spec *spec, struct err *err);
bool tls_on(void);
void tls_handshake(int fd);
void tls_stop(void);

/* tls_record.c */

#define TLS_RX_SIZE	65536	/* bytes */

/**
 * struct tls_rx - where the records of a loop's connections pass, one at a time
 * @pipe: empty, but within tls_receive()
 * @buf: what it has brought
 */
struct tls_rx {
	int pipe[2];
	u8 buf[TLS_RX_SIZE];
};

/**
 * enum tls_record - a record that is not data
 * @TLS_RECORD_NONE: ask again
 * @TLS_RECORD_EOF: the peer has said its last word
 * @TLS_RECORD_OTHER: nothing that we have a use for
 */
enum tls_record {
	TLS_RECORD_NONE,
	TLS_RECORD_EOF,
	TLS_RECORD_OTHER,
};

struct tls_rx *tls_rx_new(void);
void tls_rx_free(struct tls_rx *rx);
ssize_t tls_receive(struct tls_rx *rx, int fd, size_t max);
enum tls_record tls_take_record(int fd);

#endif /* _VXHSD_TLS_H */
