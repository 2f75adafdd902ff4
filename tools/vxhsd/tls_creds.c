// SPDX-License-Identifier: GPL-2.0
/*
 * What we prove and what we believe.  A set of credentials never changes; a
 * reload makes another.
 */
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/proof.h"
#include "tls.h"

/*
 * In our order: what costs least comes first, none of them can be broken.  No
 * finite fields: anybody could ask for one that takes 300 ms, on the one thread
 * that shakes hands.
 */
#define COMMON		"NORMAL:-VERS-ALL:+VERS-TLS1.3:%SERVER_PRECEDENCE:" \
			"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:" \
			"+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448:" \
			"-CIPHER-ALL:"
#define PRIO_X509	COMMON "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305"
/* A PSK is of SHA-256 unless it says otherwise, and so must its ciphers be. */
#define PRIO_PSK	COMMON "+AES-128-GCM:+CHACHA20-POLY1305:-KX-ALL:" \
			"+ECDHE-PSK"
/*
 * Bytes of one message of a handshake: a chain of some certificates, and 30 ms to
 * take apart one that is nothing but names.
 */
#define HANDSHAKE_MAX	16384

/**
 * struct tls_creds - one set
 * @refs: whose it is, and one for each handshake
 * @generation: counts those that were in use
 * @trust: belongs to @x509
 * @psks: NULL with certificates
 */
struct tls_creds {
	atomic_uint refs;
	unsigned int generation;	/* constant once in use */
	enum tls_kind kind;
	gnutls_priority_t priority;
	gnutls_certificate_credentials_t x509;
	gnutls_x509_trust_list_t trust;
	gnutls_psk_server_credentials_t psk;
	struct tls_psk *psks;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects current */
static struct tls_creds *current;
static atomic_uint generation;	/* of current; written under the lock */

/* Loading */

static int load_trust(struct tls_creds *creds, const struct tls_spec *spec,
		      struct err *err)
{
	gnutls_datum_t ca, crl = { 0 };
	int n = -1;

	if (gnutls_x509_trust_list_init(&creds->trust, 0))
		return err_set(err, "not enough memory");
	gnutls_certificate_set_trust_list(creds->x509, creds->trust, 0);
	if (file_read(spec->ca, FILE_PUBLIC, &ca, err) ||
	    (spec->crl && file_read(spec->crl, FILE_PUBLIC, &crl, err)))
		goto out;
	n = gnutls_x509_trust_list_add_trust_mem(creds->trust, &ca, NULL,
						 GNUTLS_X509_FMT_PEM,
						 GNUTLS_TL_USE_IN_TLS, 0);
	if (n <= 0) {
		err_set(err, "%s: there is no certificate of an authority in it",
			spec->ca);
		n = -1;
		goto out;
	}
	if (!crl.data)
		goto out;
	n = gnutls_x509_trust_list_add_trust_mem(creds->trust, NULL, &crl,
						 GNUTLS_X509_FMT_PEM,
						 GNUTLS_TL_VERIFY_CRL |
						 GNUTLS_TL_FAIL_ON_INVALID_CRL,
						 0);
	if (n <= 0) {
		err_set(err,
			"%s: there is no list in it that the authorities of tls-ca have signed, and that has not ended",
			spec->crl);
		n = -1;
	}
out:
	file_free(&crl);
	file_free(&ca);
	return n < 0 ? -1 : 0;
}

static int verify_peer(gnutls_session_t session);

static int load_x509(struct tls_creds *creds, const struct tls_spec *spec,
		     struct err *err)
{
	const char *ended;

	if (gnutls_certificate_allocate_credentials(&creds->x509))
		return err_set(err, "not enough memory");
	if (load_trust(creds, spec, err))
		return -1;
	gnutls_certificate_set_verify_function(creds->x509, verify_peer);
	if (x509_load_own(creds->x509, spec->cert, spec->key, FILE_OF_GROUP,
			  &ended, err))
		return -1;
	return ended ? err_set(err, "%s: the certificate %s", spec->cert,
			       ended) : 0;
}

static int give_key(gnutls_session_t session, const char *name,
		    gnutls_datum_t *key);

static int load_psk(struct tls_creds *creds, const struct tls_spec *spec,
		    struct err *err)
{
	gnutls_datum_t file;

	if (!file_read(spec->psk, FILE_OF_GROUP, &file, err))
		creds->psks = tls_psk_parse(spec->psk, (char *)file.data, err);
	file_free(&file);
	if (!creds->psks)
		return -1;
	if (gnutls_psk_allocate_server_credentials(&creds->psk))
		return err_set(err, "not enough memory");
	gnutls_psk_set_server_credentials_function(creds->psk, give_key);
	return 0;
}

/**
 * tls_creds_load - read credentials from their files, and check them
 * @spec: where they are
 * @err: what is wrong
 *
 * Return: for tls_creds_use() or tls_creds_put(), or NULL
 */
struct tls_creds *tls_creds_load(const struct tls_spec *spec, struct err *err)
{
	struct tls_creds *creds = calloc(1, sizeof(*creds));
	bool x509 = spec->kind == TLS_X509;
	int ret;

	if (!creds) {
		err_set(err, "not enough memory");
		return NULL;
	}
	atomic_store(&creds->refs, 1);
	creds->kind = spec->kind;
	ret = gnutls_priority_init(&creds->priority,
				   x509 ? PRIO_X509 : PRIO_PSK, NULL);
	if (ret)
		ret = err_set(err, "GnuTLS cannot do TLS 1.3 as it is needed: %s",
			      gnutls_strerror(ret));
	else
		ret = x509 ? load_x509(creds, spec, err) :
			     load_psk(creds, spec, err);
	if (!ret)
		return creds;
	tls_creds_put(creds);
	return NULL;
}

/**
 * tls_creds_use - for handshakes that begin from now on
 * @creds: taken; NULL when nobody will ask for them any more
 */
void tls_creds_use(struct tls_creds *creds)
{
	struct tls_creds *old;

	pthread_mutex_lock(&lock);
	old = current;
	current = creds;
	if (creds)
		creds->generation = atomic_fetch_add(&generation, 1) + 1;
	pthread_mutex_unlock(&lock);
	if (old)
		tls_creds_put(old);
}

/** tls_generation - which credentials count now?  Any thread */
unsigned int tls_generation(void)
{
	return atomic_load(&generation);
}

unsigned int tls_creds_generation(const struct tls_creds *creds)
{
	return creds->generation;
}

/** tls_creds_get - those of now, for tls_creds_put() */
struct tls_creds *tls_creds_get(void)
{
	struct tls_creds *creds;

	pthread_mutex_lock(&lock);
	creds = current;
	atomic_fetch_add(&creds->refs, 1);
	pthread_mutex_unlock(&lock);
	return creds;
}

void tls_creds_put(struct tls_creds *creds)
{
	if (atomic_fetch_sub(&creds->refs, 1) != 1)
		return;
	if (creds->x509)
		gnutls_certificate_free_credentials(creds->x509);
	if (creds->psk)
		gnutls_psk_free_server_credentials(creds->psk);
	if (creds->priority)
		gnutls_priority_deinit(creds->priority);
	tls_psk_free(creds->psks);
	free(creds);
}

/* Using */

/**
 * tls_session - a session for one handshake
 * @creds: live longer than it
 * @err: why a handshake fails, also later; lives longer than it
 *
 * Return: for gnutls_deinit(), or NULL
 */
gnutls_session_t tls_session(const struct tls_creds *creds, struct err *err)
{
	gnutls_session_t session;
	int ret;

	if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK |
			GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS |
			GNUTLS_NO_AUTO_REKEY))
		return NULL;
	ret = gnutls_priority_set(session, creds->priority);
	if (!ret && creds->x509)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE,
					     creds->x509);
	if (!ret && creds->psk)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_PSK,
					     creds->psk);
	if (ret) {
		gnutls_deinit(session);
		return NULL;
	}
	if (creds->x509)
		gnutls_certificate_server_set_request(session,
						      GNUTLS_CERT_REQUIRE);
	gnutls_handshake_set_max_packet_length(session, HANDSHAKE_MAX);
	proof_limit(session);
	gnutls_session_set_ptr(session, err);
	gnutls_db_set_ptr(session, (void *)creds);
	return session;
}

static const struct tls_creds *creds_of(gnutls_session_t session)
{
	return gnutls_db_get_ptr(session);
}

/* Called by GnuTLS for a peer's certificate; other than 0 it fails. */
static int verify_peer(gnutls_session_t session)
{
	const gnutls_datum_t *certs;
	unsigned int n;

	certs = gnutls_certificate_get_peers(session, &n);
	if (!certs || !n ||
	    gnutls_certificate_type_get(session) != GNUTLS_CRT_X509)
		return GNUTLS_E_CERTIFICATE_ERROR;
	return tls_chain_passes(creds_of(session), certs, n,
				gnutls_session_get_ptr(session)) ?
	       0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/*
 * Called by GnuTLS.  Who is not known gets a key that nobody has, so that he
 * sees what he would see with a wrong key.
 */
static int give_key(gnutls_session_t session, const char *name,
		    gnutls_datum_t *key)
{
	const struct psk *psk = tls_psk_find(creds_of(session)->psks, name);
	unsigned int len = psk ? psk->len : PSK_KEY_MAX;

	key->data = gnutls_malloc(len);
	if (!key->data)
		return -1;
	key->size = len;
	if (psk)
		memcpy(key->data, psk->key, len);
	else if (gnutls_rnd(GNUTLS_RND_KEY, key->data, len))
		goto fail;
	return 0;

fail:
	gnutls_free(key->data);
	key->data = NULL;
	return -1;
}

static unsigned int verify(const struct tls_creds *creds,
			   gnutls_x509_crt_t *list, unsigned int n)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (void *)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	unsigned int status = GNUTLS_CERT_INVALID;

	if (gnutls_x509_trust_list_verify_crt2(creds->trust, list, n, &purpose,
					       1, 0, &status, NULL))
		return GNUTLS_CERT_INVALID;
	return status;
}

/* @cert is the first of the chain; NULL if something of it is no certificate. */
static void say_why_not(gnutls_x509_crt_t cert, unsigned int status,
			struct err *err)
{
	gnutls_datum_t text;

	if (!cert) {
		err_set(err, "its certificate is refused: it cannot be read");
	} else if (status & GNUTLS_CERT_SIGNER_NOT_FOUND) {
		err_set(err, "its certificate is refused: %s",
			gnutls_x509_crt_check_issuer(cert, cert) ?
			"it is self-signed" :
			"no authority of tls-ca has signed it");
	} else if (gnutls_certificate_verification_status_print(status,
						GNUTLS_CRT_X509, &text, 0)) {
		err_set(err, "its certificate is refused");
	} else {
		err_set(err, "its certificate is refused: %s",
			(char *)text.data);
		gnutls_free(text.data);
	}
}

/**
 * tls_chain_passes - is a client's certificate one that we believe, now?
 * @creds: whom and what we believe
 * @certs: DER; the client's own first
 * @nr_certs: at least 1
 * @err: why not
 */
bool tls_chain_passes(const struct tls_creds *creds,
		      const gnutls_datum_t *certs, unsigned int nr_certs,
		      struct err *err)
{
	gnutls_x509_crt_t list[16];
	unsigned int n, status;

	if (creds->kind != TLS_X509 || nr_certs > 16) {
		err_set(err, "its chain has %u certificates", nr_certs);
		return false;
	}
	for (n = 0; n < nr_certs; n++) {
		if (gnutls_x509_crt_init(&list[n]))
			break;
		if (gnutls_x509_crt_import(list[n], &certs[n],
					   GNUTLS_X509_FMT_DER)) {
			gnutls_x509_crt_deinit(list[n]);
			break;
		}
	}
	status = n == nr_certs ? verify(creds, list, n) : GNUTLS_CERT_INVALID;
	if (status)
		say_why_not(n == nr_certs ? list[0] : NULL, status, err);
	while (n)
		gnutls_x509_crt_deinit(list[--n]);
	return !status;
}

/** tls_psk_digest - of the key of an identity, to know it again */
bool tls_psk_digest(const struct tls_creds *creds, const char *name,
		    u8 digest[32])
{
	const struct psk *psk = tls_psk_find(creds->psks, name);

	return psk && !gnutls_hash_fast(GNUTLS_DIG_SHA256, psk->key, psk->len,
					digest);
}

/** tls_psk_passes - does an identity still have the same key? */
bool tls_psk_passes(const struct tls_creds *creds, const char *name,
		    const u8 digest[32], struct err *err)
{
	u8 now[32];

	if (tls_psk_digest(creds, name, now) && !memcmp(now, digest, 32))
		return true;
	err_set(err, "its key is no longer valid");
	return false;
}
