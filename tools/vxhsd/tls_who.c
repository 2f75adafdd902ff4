// SPDX-License-Identifier: GPL-2.0
/* Who is it that has proved something? */
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "tls.h"

/* x509 */

static bool set_name(struct tls_who *who, const char *name, size_t len)
{
	if (!psk_name_ok(name, len))
		return false;
	memcpy(who->name, name, len);
	who->name[len] = '\0';
	return true;
}

/* Its first DNS name, else its common name. */
static bool name_of_cert(struct tls_who *who, gnutls_x509_crt_t cert)
{
	char buf[WHO_MAX + 2];
	unsigned int i, type;
	size_t len;
	int ret;

	for (i = 0; ; i++) {
		len = sizeof(buf);
		/* If it is not told, it may have been one that counts. */
		type = GNUTLS_SAN_DNSNAME;
		ret = gnutls_x509_crt_get_subject_alt_name2(cert, i, buf, &len,
							    &type, NULL);
		if (ret == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (ret == GNUTLS_E_SHORT_MEMORY_BUFFER &&
		    type != GNUTLS_SAN_DNSNAME)
			continue;
		if (ret < 0)
			return false;
		if (type == GNUTLS_SAN_DNSNAME)
			return set_name(who, buf, len);
	}
	len = sizeof(buf);
	if (gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0,
					  0, buf, &len))
		return false;
	return set_name(who, buf, len);
}

static bool keep_chain(struct tls_who *who, const gnutls_datum_t *certs,
		       unsigned int n)
{
	unsigned int i;

	who->certs = calloc(n, sizeof(*certs));
	if (!who->certs)
		return false;
	who->nr_certs = n;
	for (i = 0; i < n; i++) {
		who->certs[i].data = malloc(certs[i].size);
		if (!who->certs[i].data)
			return false;
		who->certs[i].size = certs[i].size;
		memcpy(who->certs[i].data, certs[i].data, certs[i].size);
	}
	return true;
}

/*
 * The chain may end when one of its certificates does, the first of those that
 * end after @now; none is needed if all pass without it.
 */
static bool look_at_dates(struct tls_who *who, time_t now)
{
	unsigned int i;

	who->until = 0;
	for (i = 0; i < who->nr_certs; i++) {
		gnutls_x509_crt_t cert;
		time_t until;

		if (gnutls_x509_crt_init(&cert))
			return false;
		if (gnutls_x509_crt_import(cert, &who->certs[i],
					   GNUTLS_X509_FMT_DER)) {
			gnutls_x509_crt_deinit(cert);
			return false;
		}
		until = gnutls_x509_crt_get_expiration_time(cert);
		if (until > now && (!who->until || until < who->until))
			who->until = until;
		if (!i && !*who->name && !name_of_cert(who, cert))
			*who->name = '\0';
		gnutls_x509_crt_deinit(cert);
	}
	return true;
}

static int who_of_cert(struct tls_who *who, gnutls_session_t session,
		       struct err *err)
{
	const gnutls_datum_t *certs;
	unsigned int n = 0;

	certs = gnutls_certificate_get_peers(session, &n);
	if (!certs || !n || !keep_chain(who, certs, n) ||
	    !look_at_dates(who, 0))
		return err_set(err, "its certificate cannot be kept");
	if (!*who->name)
		return err_set(err,
			       "its certificate has neither a DNS name nor a common name that could be an identity");
	return 0;
}

/* psk */

static int who_of_psk(struct tls_who *who, gnutls_session_t session,
		      const struct tls_creds *creds, struct err *err)
{
	gnutls_datum_t name;

	if (gnutls_psk_server_get_username2(session, &name) ||
	    !set_name(who, (const char *)name.data, name.size) ||
	    !tls_psk_digest(creds, who->name, who->key_digest))
		return err_set(err, "it has used no key of an identity");
	return 0;
}

/* Another kind of the same name is somebody else. */
static bool set_owner(struct tls_who *who)
{
	char text[WHO_MAX + 8] = "psk:";
	u8 digest[32];

	if (who->nr_certs)
		strcpy(text, "x509:");
	strcat(text, who->name);
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text, strlen(text), digest))
		return false;
	memcpy(who->owner, digest, sizeof(who->owner));
	return true;
}

/**
 * tls_who_of - who is at the other end?
 * @session: its handshake has ended well
 * @creds: of the handshake
 * @err: why it is nobody
 *
 * Return: for tls_who_free(), or NULL
 */
struct tls_who *tls_who_of(gnutls_session_t session,
			   const struct tls_creds *creds, struct err *err)
{
	struct tls_who *who = calloc(1, sizeof(*who));
	int ret;

	if (!who) {
		err_set(err, "not enough memory");
		return NULL;
	}
	switch (gnutls_auth_client_get_type(session)) {
	case GNUTLS_CRD_CERTIFICATE:
		ret = who_of_cert(who, session, err);
		break;
	case GNUTLS_CRD_PSK:
		ret = who_of_psk(who, session, creds, err);
		break;
	default:
		ret = err_set(err, "it has proved nothing");
	}
	who->checked = tls_creds_generation(creds);
	if (!ret && !set_owner(who))
		ret = err_set(err, "SHA-256 is not to be had");
	if (!ret)
		return who;
	tls_who_free(who);
	return NULL;
}

/**
 * tls_who_passes - would somebody still come in?
 * @who: came in once; looked at if the credentials or the time say so
 * @err: why not
 *
 * Context: the thread that @who belongs to.
 */
bool tls_who_passes(struct tls_who *who, struct err *err)
{
	struct tls_creds *creds;
	time_t now = time(NULL);
	bool passes, ended = who->until && now > who->until;

	if (!ended && who->checked == tls_generation())
		return true;
	creds = tls_creds_get();
	if (who->nr_certs)
		passes = tls_chain_passes(creds, who->certs, who->nr_certs,
					  err);
	else
		passes = tls_psk_passes(creds, who->name, who->key_digest,
					err);
	who->checked = tls_creds_generation(creds);
	tls_creds_put(creds);
	/* What has ended was not needed, as a root that we know otherwise. */
	return passes && (!ended || look_at_dates(who, now));
}

void tls_who_free(struct tls_who *who)
{
	unsigned int i;

	if (!who)
		return;
	for (i = 0; i < who->nr_certs; i++)
		free(who->certs[i].data);
	free(who->certs);
	free(who);
}
