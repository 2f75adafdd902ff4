// SPDX-License-Identifier: GPL-2.0
/*
 * [IDENTITY@]NAME: the kernel's request has no room for an identity of its
 * own, and no name of a server has an "@" in it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "peer.h"

static bool only(const char *text, const char *others)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	for (; *text; text++)
		if (!strchr(letters, *text) && !strchr(others, *text))
			return false;
	return true;
}

/** identity_name_ok() - may an identity have this name? */
bool identity_name_ok(const char *name)
{
	return *name && strlen(name) <= IDENTITY_MAX && only(name, ".-_");
}

/** server_is_address() - is it an IPv4 or IPv6 address? */
bool server_is_address(const char *server)
{
	struct in6_addr addr;

	return inet_pton(AF_INET, server, &addr) == 1 ||
	       inet_pton(AF_INET6, server, &addr) == 1;
}

static bool server_name_ok(const char *name)
{
	if (server_is_address(name))
		return true;
	return *name && strlen(name) <= SERVER_MAX && only(name, ".-_");
}

/**
 * peer_parse() - take a peer name apart
 * @peername: of the request
 * @out: the result
 * @err: what is wrong with it
 *
 * Return: 0 or -1
 */
int peer_parse(const char *peername, struct peer *out, struct err *err)
{
	const char *at = strchr(peername, '@');
	const char *server = at ? at + 1 : peername;
	size_t len = at ? (size_t)(at - peername) : 0;

	memset(out, 0, sizeof(*out));
	if (len > IDENTITY_MAX)
		return err_set(err, "the request names an identity of more than %d bytes",
			       IDENTITY_MAX);
	if (at)
		memcpy(out->identity, peername, len);
	else
		strcpy(out->identity, IDENTITY_DEFAULT);
	if (!identity_name_ok(out->identity))
		return err_set(err, "the request names an identity that is none: only letters, digits, \".\", \"-\" and \"_\" are possible");
	if (!*server)
		return err_set(err, "the request does not say whom to expect; without a name no server can be verified");
	if (!server_name_ok(server))
		return err_set(err, "the request's server is neither a name nor an address");
	strcpy(out->server, server);
	return 0;
}
