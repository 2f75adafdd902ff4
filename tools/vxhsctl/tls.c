// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "resolve.h"
#include "tls.h"
#include "vxhsctl.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_CHARS	LETTERS "0123456789.-_"
#define KEY_PREFIX	"key:"

static bool is_name(const char *text, size_t size)
{
	size_t len = strlen(text);

	return len && len < size && strspn(text, NAME_CHARS) == len;
}

/* A certificate names servers, or has their addresses. */
static bool is_peername(const char *text)
{
	struct address address;

	return !address_parse(text, &address) ||
	       is_name(text, sizeof(((struct tls *)0)->peername));
}

static int take_identity(const struct command *cmd, const char *value,
			 struct tls *tls)
{
	uint32_t serial;

	tls->psk = 0;
	*tls->identity = 0;
	if (!strncmp(value, KEY_PREFIX, strlen(KEY_PREFIX))) {
		if (parse_number(value + strlen(KEY_PREFIX), 1, INT32_MAX,
				 &serial))
			return bad_usage(cmd, "--identity \"%s\" does not have the serial number of a key, as keyctl(1) prints it",
					 value);
		tls->psk = serial;
		return STATUS_OK;
	}
	if (!is_name(value, sizeof(tls->identity)))
		return bad_usage(cmd, "--identity \"%s\" is neither 1 to 63 letters, digits, \".\", \"-\" and \"_\" nor key:SERIAL",
				 value);
	strcpy(tls->identity, value);
	return STATUS_OK;
}

/**
 * tls_take() - take an option if it is one of TLS_OPTIONS
 * @cmd: whose, for the sentence
 * @opt: the option
 * @value: what was given with it
 * @tls: where it goes
 *
 * Return: STATUS_OK; or STATUS_USAGE, after complaining if it is one of them.
 */
int tls_take(const struct command *cmd, int opt, const char *value,
	     struct tls *tls)
{
	switch (opt) {
	case OPTION_TLS:
		tls->on = true;
		return STATUS_OK;
	case OPTION_TLS_PEERNAME:
		if (!is_peername(value))
			return bad_usage(cmd, "--tls-peername \"%s\" is neither an address nor 1 to 255 letters, digits, \".\", \"-\" and \"_\"",
					 value);
		strcpy(tls->peername, value);
		return STATUS_OK;
	case OPTION_IDENTITY:
		return take_identity(cmd, value, tls);
	case OPTION_ALLOW_UNVERIFIED:
		tls->allow_unverified = true;
		return STATUS_OK;
	}
	return STATUS_USAGE;
}

/* The name that the servers share; the interface is no part of it. */
static int name_of(const struct command *cmd, const struct server_list *servers,
		   char *peername)
{
	const char *name = servers->servers[0].name;
	unsigned int i;

	for (i = 1; i < servers->count; i++)
		if (strcasecmp(servers->servers[i].name, name))
			return bad_usage(cmd, "--tls with several hosts needs --tls-peername, a name that all their certificates have");
	strcpy(peername, name);
	peername[strcspn(peername, "%")] = 0;
	if (!is_peername(peername))
		return bad_usage(cmd, "host \"%s\" is no name that a certificate can have; use --tls-peername",
				 name);
	return STATUS_OK;
}

/**
 * tls_complete() - check the options and fill in what was not given
 * @cmd: whose, for the sentence
 * @servers: to be attached to
 * @tls: from tls_take()
 *
 * Return: STATUS_OK, or STATUS_USAGE after complaining.
 */
int tls_complete(const struct command *cmd, const struct server_list *servers,
		 struct tls *tls)
{
	if (tls->on)
		return *tls->peername ? STATUS_OK :
					name_of(cmd, servers, tls->peername);
	if (*tls->peername || *tls->identity || tls->psk ||
	    tls->allow_unverified)
		return bad_usage(cmd, "--tls-peername, --identity and --allow-unverified need --tls");
	return STATUS_OK;
}

/**
 * tls_identity_text() - who this host is, as --identity takes it
 * @out: the text; empty for the agent's default
 * @tls: of a session
 */
void tls_identity_text(char out[TLS_IDENTITY_SIZE], const struct tls *tls)
{
	if (tls->psk)
		snprintf(out, TLS_IDENTITY_SIZE, KEY_PREFIX "%" PRId32,
			 tls->psk);
	else
		strcpy(out, tls->identity);
}
