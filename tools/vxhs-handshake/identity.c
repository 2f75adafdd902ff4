// SPDX-License-Identifier: GPL-2.0
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "identity.h"
#include "log.h"

/*
 * What kTLS can do, and TLS 1.3 alone.  No finite fields: a server could choose
 * one that keeps us from the others for 300 ms.
 */
#define COMMON		"SECURE128:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:-KX-ALL:" \
			"-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:" \
			"+GROUP-SECP384R1:+GROUP-SECP521R1:+GROUP-X448:" \
			"%NO_TICKETS:"
#define PRIO_X509	COMMON "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:" \
			"+ECDHE-ECDSA:+ECDHE-RSA"
/*
 * GnuTLS binds a PSK to SHA-256, so its ciphers must be of SHA-256 too.  Never
 * without Diffie-Hellman: a key that leaks must not open what was recorded.
 */
#define PRIO_PSK	COMMON "+AES-128-GCM:+CHACHA20-POLY1305:" \
			"+ECDHE-PSK"

static int load_ca(struct identity *id, const struct identity_spec *spec,
		   struct err *err)
{
	gnutls_datum_t file;
	int n = -1;

	if (!file_read(spec->ca, FILE_PUBLIC, &file, err)) {
		n = gnutls_certificate_set_x509_trust_mem(id->x509, &file,
							  GNUTLS_X509_FMT_PEM);
		if (n <= 0)
			err_set(err, "%s has no certificate of an authority in it",
				spec->ca);
	}
	file_free(&file);
	return n > 0 ? 0 : -1;
}

/* One that the authorities have not signed would revoke nothing. */
static bool crls_are_signed(const gnutls_x509_crl_t *crls, unsigned int n,
			    const gnutls_datum_t *ca)
{
	const unsigned int bad = GNUTLS_CERT_SIGNER_NOT_FOUND |
				 GNUTLS_CERT_SIGNER_NOT_CA |
				 GNUTLS_CERT_SIGNATURE_FAILURE |
				 GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE |
				 GNUTLS_CERT_INSECURE_ALGORITHM;
	gnutls_x509_crt_t *cas;
	unsigned int nr_cas, i, status;
	bool good = true;

	if (gnutls_x509_crt_list_import2(&cas, &nr_cas, ca,
					 GNUTLS_X509_FMT_PEM, 0))
		return false;
	for (i = 0; i < n && good; i++)
		good = !gnutls_x509_crl_verify(crls[i], cas, (int)nr_cas, 0,
					       &status) && !(status & bad);
	for (i = 0; i < nr_cas; i++)
		gnutls_x509_crt_deinit(cas[i]);
	gnutls_free(cas);
	return good;
}

/* GnuTLS does not look at it with a handshake: what is in it counts. */
static const char *crl_ended(gnutls_x509_crl_t crl)
{
	time_t now = time(NULL), next = gnutls_x509_crl_get_next_update(crl);

	if (now < gnutls_x509_crl_get_this_update(crl))
		return "is not valid yet";
	return next != (time_t)-1 && now > next ? "has ended" : NULL;
}

static bool use_crls(struct identity *id, const gnutls_datum_t *file,
		     const gnutls_datum_t *ca, const char **ended)
{
	gnutls_x509_crl_t *crls;
	unsigned int n, i;
	bool good;

	if (gnutls_x509_crl_list_import2(&crls, &n, file, GNUTLS_X509_FMT_PEM,
					 0))
		return false;
	good = n && crls_are_signed(crls, n, ca) &&
	       gnutls_certificate_set_x509_crl(id->x509, crls, (int)n) > 0;
	for (i = 0; i < n; i++) {
		if (!*ended)
			*ended = crl_ended(crls[i]);
		gnutls_x509_crl_deinit(crls[i]);
	}
	gnutls_free(crls);
	return good;
}

static int load_crl(struct identity *id, const struct identity_spec *spec,
		    enum expired expired, struct err *err)
{
	gnutls_datum_t file, ca = { 0 };
	const char *ended = NULL;
	int ret;

	ret = file_read(spec->crl, FILE_PUBLIC, &file, err);
	if (!ret)
		ret = file_read(spec->ca, FILE_PUBLIC, &ca, err);
	if (!ret && !use_crls(id, &file, &ca, &ended))
		ret = err_set(err, "%s has no revocation list in it that the authorities of %s have signed",
			      spec->crl, spec->ca);
	file_free(&ca);
	file_free(&file);
	if (ret || !ended)
		return ret;
	if (expired == EXPIRED_REFUSE)
		return err_set(err, "the revocation list %s %s", spec->crl,
			       ended);
	log_line("warning: the revocation list %s %s; what is in it counts, and nothing newer: replace it and \"systemctl reload vxhs-handshake\"",
		 spec->crl, ended);
	return 0;
}

/* If it is not valid servers refuse it; the other identities are needed. */
static int load_own(struct identity *id, const struct identity_spec *spec,
		    enum expired expired, struct err *err)
{
	const char *ended;

	if (x509_load_own(id->x509, spec->cert, spec->key, FILE_OF_OWNER,
			  &ended, err))
		return -1;
	if (!ended)
		return 0;
	if (expired == EXPIRED_REFUSE)
		return err_set(err, "the certificate %s %s", spec->cert, ended);
	log_line("warning: the certificate %s %s, servers will refuse it; replace it and \"systemctl reload vxhs-handshake\"",
		 spec->cert, ended);
	return 0;
}

static int load_x509(struct identity *id, const struct identity_spec *spec,
		     enum expired expired, struct err *err)
{
	if (gnutls_certificate_allocate_credentials(&id->x509))
		return err_set(err, "not enough memory");
	if (load_ca(id, spec, err) ||
	    (spec->crl && load_crl(id, spec, expired, err)))
		return -1;
	return load_own(id, spec, expired, err);
}

static int use_psk(struct identity *id, const struct psk *psk, struct err *err)
{
	gnutls_datum_t name = { (void *)psk->name, strlen(psk->name) };
	gnutls_datum_t key = { (void *)psk->key, psk->len };

	if (gnutls_psk_allocate_client_credentials(&id->psk) ||
	    gnutls_psk_set_client_credentials2(id->psk, &name, &key,
					       GNUTLS_PSK_KEY_RAW))
		return err_set(err, "not enough memory");
	return 0;
}

static int load_psk(struct identity *id, const struct identity_spec *spec,
		    struct err *err)
{
	gnutls_datum_t file;
	struct psk psk = { 0 };
	int ret;

	ret = file_read(spec->psk, FILE_OF_OWNER, &file, err);
	if (!ret)
		ret = psk_parse(spec->psk, (char *)file.data, &psk, err);
	if (!ret)
		ret = use_psk(id, &psk, err);
	explicit_bzero(&psk, sizeof(psk));
	file_free(&file);
	return ret;
}

static struct identity *identity_new(const char *name, const char *priority,
				     struct err *err)
{
	struct identity *id = calloc(1, sizeof(*id));
	int ret;

	if (!id) {
		err_set(err, "not enough memory");
		return NULL;
	}
	id->refs = 1;
	strcpy(id->name, name);
	/* Once here: it may read the system's policy from a file. */
	ret = gnutls_priority_init(&id->priority, priority, NULL);
	if (!ret)
		return id;
	err_set(err, "GnuTLS cannot do TLS 1.3 as it is needed: %s",
		gnutls_strerror(ret));
	identity_put(id);
	return NULL;
}

/**
 * identity_put() - give a reference back
 * @id: an identity or NULL
 */
void identity_put(struct identity *id)
{
	if (!id || --id->refs)
		return;
	if (id->x509)
		gnutls_certificate_free_credentials(id->x509);
	if (id->psk)
		gnutls_psk_free_client_credentials(id->psk);
	if (id->priority)
		gnutls_priority_deinit(id->priority);
	free(id);
}

/** identity_free_all() - forget a list; who is in use stays until it is not */
void identity_free_all(struct identity *list)
{
	while (list) {
		struct identity *next = list->next;

		list->next = NULL;
		identity_put(list);
		list = next;
	}
}

/**
 * identity_load_all() - load what the configuration names, all or nothing
 * @config: what it names
 * @expired: what to do about a certificate of ours, or a revocation list, that
 *	is not valid now
 * @err: what is wrong
 *
 * Return: the list, for identity_free_all(), or NULL
 */
struct identity *identity_load_all(const struct config *config,
				   enum expired expired, struct err *err)
{
	const struct identity_spec *spec;
	struct identity *list = NULL;
	struct err inner;

	for (spec = config->identities; spec; spec = spec->next) {
		struct identity *id = identity_new(spec->name, spec->psk ?
						   PRIO_PSK : PRIO_X509,
						   &inner);

		if (id) {
			id->next = list;
			list = id;
		}
		if (!id || (spec->psk ? load_psk(id, spec, &inner) :
				load_x509(id, spec, expired, &inner))) {
			err_set(err, "identity \"%s\": %.400s", spec->name,
				inner.text);
			identity_free_all(list);
			return NULL;
		}
	}
	return list;
}

/**
 * identity_load() - have what a configuration names in the place of a list
 * @list: the list; stays as it is if anything is wrong
 * @path: of the configuration
 * @expired: what to do about a certificate of ours that has expired
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int identity_load(struct identity **list, const char *path,
		  enum expired expired, struct err *err)
{
	struct identity *new = NULL;
	struct config config;

	if (!config_read(path, &config, err))
		new = identity_load_all(&config, expired, err);
	config_free(&config);
	if (!new)
		return -1;
	/* Handshakes that run end with what they began with. */
	identity_free_all(*list);
	*list = new;
	return 0;
}

/** identity_reload() - the same while the agent runs; says what became of it */
void identity_reload(struct identity **list, const char *path)
{
	struct err err;

	if (identity_load(list, path, EXPIRED_REFUSE, &err))
		log_line("error: %s; what was loaded before stays in use",
			 err.text);
	else
		log_line("%s was read again", path);
}

/** identity_find() - the identity of a name, with a reference, or NULL */
struct identity *identity_find(struct identity *list, const char *name)
{
	while (list && strcmp(list->name, name))
		list = list->next;
	if (list)
		list->refs++;
	return list;
}

/**
 * identity_from_psk() - an identity for one handshake
 * @psk: its key
 * @err: why not
 *
 * Return: for identity_put(), or NULL
 */
struct identity *identity_from_psk(const struct psk *psk, struct err *err)
{
	struct identity *id = identity_new("keyring", PRIO_PSK, err);

	if (id && use_psk(id, psk, err)) {
		identity_put(id);
		return NULL;
	}
	return id;
}
