// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <linux/vxhs_wire.h>

#include "output.h"
#include "resolve.h"
#include "vxhsctl.h"

/* A name with more addresses than this is cut here, before sorting. */
#define ADDRESSES_MAX	64

/**
 * server_name_parse() - take HOST[:PORT] apart
 * @text: a name, an IPv4 address, an IPv6 address bare or in brackets; a port
 *        after an IPv6 address needs the brackets
 * @out: the parts
 *
 * Return: NULL, or what is wrong with @text.
 */
const char *server_name_parse(const char *text, struct server_name *out)
{
	const char *name = text, *end, *port = NULL;
	uint32_t number = VXHS_PORT;
	size_t len;

	if (*text == '[') {
		name = text + 1;
		end = strchr(name, ']');
		if (!end)
			return "has no closing bracket";
		if (end[1] == ':')
			port = end + 2;
		else if (end[1])
			return "has something other than :PORT after the bracket";
		if (!memchr(name, ':', end - name))
			return "has no IPv6 address in its brackets";
	} else {
		end = strchr(text, ':');
		if (!end || strchr(end + 1, ':'))
			end = text + strlen(text);	/* no port, or IPv6 */
		else
			port = end + 1;
	}
	len = end - name;
	if (!len)
		return "names no host";
	if (len > RESOLVE_NAME_MAX || strlen(text) > RESOLVE_NAME_MAX)
		return "is longer than 255 bytes";
	if (port && parse_number(port, 1, 65535, &number))
		return "has a port that is not a number from 1 to 65535";
	memcpy(out->name, name, len);
	out->name[len] = 0;
	out->port = number;
	return NULL;
}

static bool same_server(const struct server_name *a,
			const struct server_name *b)
{
	return a->port == b->port && !strcasecmp(a->name, b->name);
}

/**
 * server_list_parse() - take HOST[:PORT],... apart
 * @text: one or several as server_name_parse() takes them
 * @out: the parts
 * @why: what is wrong with @text, naming the entry
 *
 * Return: 0, or -1 with @why.
 */
int server_list_parse(const char *text, struct server_list *out,
		      char why[SERVER_WHY_SIZE])
{
	char entry[RESOLVE_NAME_MAX + 1], of[RESOLVE_NAME_MAX + 8] = "";
	const char *at = text, *wrong;
	unsigned int i;
	size_t len;

	out->count = 0;
	if (strlen(text) > RESOLVE_NAME_MAX) {
		snprintf(why, SERVER_WHY_SIZE,
			 "host \"%.32s...\" is longer than 255 bytes", text);
		return -1;
	}
	if (strchr(text, ','))
		snprintf(of, sizeof(of), " of \"%s\"", text);
	for (;; at += len + 1) {
		len = strcspn(at, ",");
		memcpy(entry, at, len);
		entry[len] = 0;
		if (out->count == PORTALS_MAX) {
			snprintf(why, SERVER_WHY_SIZE,
				 "host \"%s\"%s is one too many, for a session has at most %d portals",
				 entry, of, PORTALS_MAX);
			return -1;
		}
		wrong = server_name_parse(entry, &out->servers[out->count]);
		for (i = 0; !wrong && i < out->count; i++)
			if (same_server(&out->servers[i],
					&out->servers[out->count]))
				wrong = "is there twice";
		if (wrong) {
			snprintf(why, SERVER_WHY_SIZE, "host \"%s\"%s %s",
				 entry, of, wrong);
			return -1;
		}
		out->count++;
		if (!at[len])
			return 0;
	}
}

/**
 * address_parse() - read an IPv4 or IPv6 address
 * @text: the address, without port, brackets or scope
 * @out: the address
 *
 * Return: 0, or -1 when @text is none.
 */
int address_parse(const char *text, struct address *out)
{
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		out->len = 4;
	else if (inet_pton(AF_INET6, text, out->bytes) == 1)
		out->len = 16;
	else
		return -1;
	return 0;
}

/* IPv4 first, then by value: the same set of addresses is the same session. */
static int compare(const void *a, const void *b)
{
	const struct portal *x = a, *y = b;
	int order;

	if (x->address.len != y->address.len)
		return x->address.len < y->address.len ? -1 : 1;
	order = memcmp(x->address.bytes, y->address.bytes, x->address.len);
	if (order)
		return order;
	if (x->scope != y->scope)
		return x->scope < y->scope ? -1 : 1;
	return (x->port > y->port) - (x->port < y->port);
}

/**
 * portals_sort() - put portals into the order that does not depend on DNS
 * @portals: the portals; duplicates are removed
 * @count: how many
 *
 * Return: how many are left.
 */
unsigned int portals_sort(struct portal *portals, unsigned int count)
{
	unsigned int i, kept = 0;

	qsort(portals, count, sizeof(*portals), compare);
	for (i = 0; i < count; i++)
		if (!kept || compare(&portals[kept - 1], &portals[i]))
			portals[kept++] = portals[i];
	return kept;
}

/**
 * portals_of_family() - keep the portals that a source address can reach
 * @portals: the portals
 * @count: how many
 * @address_len: 4 for IPv4, 16 for IPv6
 *
 * Return: how many are left.
 */
unsigned int portals_of_family(struct portal *portals, unsigned int count,
			       unsigned int address_len)
{
	unsigned int i, kept = 0;

	for (i = 0; i < count; i++)
		if (portals[i].address.len == address_len)
			portals[kept++] = portals[i];
	return kept;
}

static bool portal_from(struct portal *out, const struct addrinfo *info,
			uint16_t port)
{
	memset(out, 0, sizeof(*out));
	out->port = port;
	if (info->ai_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)info->ai_addr;

		out->address.len = 4;
		memcpy(out->address.bytes, &in->sin_addr, 4);
		return true;
	}
	if (info->ai_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)info->ai_addr;

		/* Another way to write an IPv4 address. */
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			out->address.len = 4;
			memcpy(out->address.bytes,
			       &in6->sin6_addr.s6_addr[12], 4);
			return true;
		}
		out->address.len = 16;
		memcpy(out->address.bytes, &in6->sin6_addr, 16);
		out->scope = in6->sin6_scope_id;
		return true;
	}
	return false;
}

/**
 * resolve() - the portals of a server
 * @server: whose
 * @source: address that connections will come from, NULL for any; portals of
 *          the other family are left out
 * @portals: PORTALS_MAX of them
 * @count: how many there are, at least one
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int resolve(const struct server_name *server, const struct address *source,
	    struct portal *portals, unsigned int *count)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct portal all[ADDRESSES_MAX];
	struct addrinfo *list, *info;
	unsigned int found = 0;
	int err;

	err = getaddrinfo(server->name, NULL, &hints, &list);
	if (err)
		return failed("cannot resolve \"%s\": %s; check the name or use an address",
			      server->name,
			      err == EAI_SYSTEM ? strerror(errno) :
			      gai_strerror(err));
	for (info = list; info && found < ADDRESSES_MAX; info = info->ai_next)
		if (portal_from(&all[found], info, server->port))
			found++;
	freeaddrinfo(list);
	found = portals_sort(all, found);
	if (source) {
		found = portals_of_family(all, found, source->len);
		if (!found)
			return failed("\"%s\" has no IPv%c address, so --source cannot be used with it; use a source address of the other family",
				      server->name, source->len == 4 ? '4' : '6');
	}
	if (!found)
		return failed("\"%s\" has neither an IPv4 nor an IPv6 address; check the name or use an address",
			      server->name);
	if (found > PORTALS_MAX) {
		complain("\"%s\" has %u addresses, of which the lowest %u are used",
			 server->name, found, PORTALS_MAX);
		found = PORTALS_MAX;
	}
	memcpy(portals, all, found * sizeof(*portals));
	*count = found;
	return STATUS_OK;
}

/* Two names of one address are a mistake: the second one is no second way. */
static int check_same(const struct server_list *list, unsigned int server,
		      const struct portal *portals, const unsigned int *owners,
		      unsigned int count, const struct portal *portal)
{
	char text[PORTAL_TEXT_SIZE];
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (compare(&portals[i], portal))
			continue;
		portal_text(text, portal);
		return failed("\"%s\" and \"%s\" are the same portal, %s; name it once",
			      list->servers[owners[i]].name,
			      list->servers[server].name, text);
	}
	return STATUS_OK;
}

/**
 * resolve_list() - the portals of several servers, in their order
 * @list: whose
 * @source: as of resolve()
 * @portals: PORTALS_MAX of them
 * @count: how many there are, at least one
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int resolve_list(const struct server_list *list, const struct address *source,
		 struct portal *portals, unsigned int *count)
{
	unsigned int owners[PORTALS_MAX], found, i, j;
	struct portal some[PORTALS_MAX];
	int status;

	*count = 0;
	for (i = 0; i < list->count; i++) {
		status = resolve(&list->servers[i], source, some, &found);
		if (status != STATUS_OK)
			return status;
		for (j = 0; j < found; j++) {
			status = check_same(list, i, portals, owners, *count,
					    &some[j]);
			if (status != STATUS_OK)
				return status;
			if (*count == PORTALS_MAX)
				return failed("with \"%s\" there are more than %d addresses, which is what a session can have; name fewer hosts, or addresses",
					      list->servers[i].name,
					      PORTALS_MAX);
			owners[*count] = i;
			portals[(*count)++] = some[j];
		}
	}
	return STATUS_OK;
}

static bool is_link_local(const struct address *address)
{
	return address->len == 16 && address->bytes[0] == 0xfe &&
	       (address->bytes[1] & 0xc0) == 0x80;
}

/**
 * check_scopes() - whether each link-local portal has its link
 * @session: its portals and interface
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int check_scopes(const struct session *session)
{
	char text[INET6_ADDRSTRLEN];
	unsigned int i;

	for (i = 0; i < session->portal_count; i++) {
		if (!is_link_local(&session->portals[i].address) ||
		    session->portals[i].scope || *session->interface)
			continue;
		address_text(text, sizeof(text), &session->portals[i].address);
		return failed("\"%s\" is a link-local address; tell which link with \"%s%%IF\" or --interface IF",
			      text, text);
	}
	return STATUS_OK;
}
