/* SPDX-License-Identifier: GPL-2.0 */
/* From what the administrator types to addresses that the kernel connects to. */
#ifndef VXHSCTL_RESOLVE_H
#define VXHSCTL_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "attrs.h"

#define RESOLVE_NAME_MAX	255

/**
 * struct server_name - HOST[:PORT], taken apart
 * @name: host name or address, brackets removed
 * @port: TCP port; VXHS_PORT where none was given
 */
struct server_name {
	char name[RESOLVE_NAME_MAX + 1];
	uint16_t port;
};

/**
 * struct server_list - HOST[:PORT],... taken apart
 * @servers: in their order, no two the same
 * @count: how many
 */
struct server_list {
	struct server_name servers[PORTALS_MAX];
	unsigned int count;
};

/* Bytes that server_list_parse() needs to say what is wrong. */
#define SERVER_WHY_SIZE		1024

const char *server_name_parse(const char *text, struct server_name *out);
int address_parse(const char *text, struct address *out);
unsigned int portals_sort(struct portal *portals, unsigned int count);
unsigned int portals_of_family(struct portal *portals, unsigned int count,
			       unsigned int address_len);
int server_list_parse(const char *text, struct server_list *out,
		      char why[SERVER_WHY_SIZE]);
int resolve_list(const struct server_list *list, const struct address *source,
		 struct portal *portals, unsigned int *count);
int check_scopes(const struct session *session);
int resolve(const struct server_name *server, const struct address *source,
	    struct portal *portals, unsigned int *count);

#endif
