// SPDX-License-Identifier: GPL-2.0
/*
 * GnuTLS checks a peer's signature before anybody has looked at whose
 * certificate it is.  A key of the peer's own making that fills a message of the
 * handshake, with an exponent as long, takes minutes.
 */
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdbool.h>

#include "proof.h"

/* Those of whole bytes. */
static unsigned int bits_of(const gnutls_datum_t *number)
{
	unsigned int i = 0;

	while (i < number->size && !number->data[i])
		i++;
	return (number->size - i) * 8;
}

static bool rsa_is_cheap(gnutls_pubkey_t key)
{
	gnutls_datum_t modulus, exponent;
	bool cheap;

	if (gnutls_pubkey_export_rsa_raw2(key, &modulus, &exponent, 0))
		return false;
	cheap = bits_of(&modulus) <= PROOF_RSA_BITS &&
		bits_of(&exponent) <= PROOF_EXPONENT_BITS;
	gnutls_free(modulus.data);
	gnutls_free(exponent.data);
	return cheap;
}

static bool key_is_cheap(gnutls_pubkey_t key)
{
	switch (gnutls_pubkey_get_pk_algorithm(key, NULL)) {
	case GNUTLS_PK_RSA:
	case GNUTLS_PK_RSA_PSS:
		return rsa_is_cheap(key);
	case GNUTLS_PK_ECDSA:
	case GNUTLS_PK_EDDSA_ED25519:
	case GNUTLS_PK_EDDSA_ED448:
		return true;
	default:
		return false;
	}
}

static bool is_cheap(const gnutls_datum_t *der)
{
	gnutls_x509_crt_t cert = NULL;
	gnutls_pubkey_t key = NULL;
	bool cheap;

	cheap = !gnutls_x509_crt_init(&cert) && !gnutls_pubkey_init(&key) &&
		!gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER) &&
		!gnutls_pubkey_import_x509(key, cert, 0) && key_is_cheap(key);
	if (key)
		gnutls_pubkey_deinit(key);
	if (cert)
		gnutls_x509_crt_deinit(cert);
	return cheap;
}

/* The peer's signature is there and has not been looked at. */
static int look(gnutls_session_t session, unsigned int type, unsigned int when,
		unsigned int incoming, const gnutls_datum_t *msg)
{
	const gnutls_datum_t *certs;
	unsigned int n = 0;

	(void)type;
	(void)when;
	(void)msg;
	if (!incoming)
		return 0;
	certs = gnutls_certificate_get_peers(session, &n);
	return certs && n && is_cheap(certs) ? 0 : PROOF_TOO_COSTLY;
}

/**
 * proof_limit() - refuse a peer whose signature takes long to check
 * @session: of a handshake; has no other hook
 *
 * gnutls_handshake() returns PROOF_TOO_COSTLY then.
 */
void proof_limit(gnutls_session_t session)
{
	gnutls_handshake_set_hook_function(session,
					   GNUTLS_HANDSHAKE_CERTIFICATE_VERIFY,
					   GNUTLS_HOOK_POST, look);
}
