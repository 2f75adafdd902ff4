// SPDX-License-Identifier: GPL-2.0
/* What may be said of TLS. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_keys.h"

static const struct {
	const char *key;
	size_t place;		/* in struct tls_spec */
	enum tls_kind kind;	/* that it belongs to */
	bool needed;
} files[] = {
	{ "tls-cert", offsetof(struct tls_spec, cert), TLS_X509, true },
	{ "tls-key", offsetof(struct tls_spec, key), TLS_X509, true },
	{ "tls-ca", offsetof(struct tls_spec, ca), TLS_X509, true },
	{ "tls-crl", offsetof(struct tls_spec, crl), TLS_X509, false },
	{ "tls-psk", offsetof(struct tls_spec, psk), TLS_PSK, true },
};

#define NR_FILES	(sizeof(files) / sizeof(files[0]))

static char **file_of(const struct tls_spec *tls, unsigned int i)
{
	return (char **)((char *)tls + files[i].place);
}

static const char *kind_text(enum tls_kind kind)
{
	static const char * const text[] = {
		[TLS_OFF] = "no",
		[TLS_X509] = "x509",
		[TLS_PSK] = "psk",
	};

	return text[kind];
}

/** config_is_tls_key - is a key of [server] one of ours? */
bool config_is_tls_key(const char *key)
{
	return !strcmp(key, "tls") || !strncmp(key, "tls-", 4);
}

static int set_kind(struct tls_spec *tls, const char *value, struct err *err)
{
	if (!strcmp(value, "x509"))
		tls->kind = TLS_X509;
	else if (!strcmp(value, "psk"))
		tls->kind = TLS_PSK;
	else
		return err_usage(err, "tls = %s is neither x509 nor psk",
				 value);
	return 0;
}

/** config_set_tls - set one key of TLS, by its name */
int config_set_tls(struct tls_spec *tls, const char *key, const char *value,
		   struct err *err)
{
	unsigned int i;

	if (!strcmp(key, "tls"))
		return set_kind(tls, value, err);
	for (i = 0; i < NR_FILES; i++) {
		if (strcmp(key, files[i].key))
			continue;
		if (!*value)
			return err_usage(err, "%s names no file", key);
		return config_set_string(file_of(tls, i), value, err);
	}
	return err_usage(err,
			 "unknown key \"%s\"; there are tls, tls-cert, tls-key, tls-ca, tls-crl and tls-psk",
			 key);
}

/** config_check_tls - is everything there, and nothing that goes unused? */
int config_check_tls(const struct tls_spec *tls, struct err *err)
{
	unsigned int i;

	for (i = 0; i < NR_FILES; i++) {
		bool ours = files[i].kind == tls->kind;

		if (*file_of(tls, i) && !ours)
			return err_usage(err,
					 "%s is given, and would not be used: it needs tls = %s",
					 files[i].key,
					 kind_text(files[i].kind));
		if (!*file_of(tls, i) && ours && files[i].needed)
			return err_usage(err, "tls = %s needs %s as well",
					 kind_text(tls->kind), files[i].key);
	}
	return 0;
}

void config_free_tls(struct tls_spec *tls)
{
	unsigned int i;

	for (i = 0; i < NR_FILES; i++)
		free(*file_of(tls, i));
	memset(tls, 0, sizeof(*tls));
}
