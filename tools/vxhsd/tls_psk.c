// SPDX-License-Identifier: GPL-2.0
/* Identities and their keys: lines IDENTITY:HEXKEY. */
#include <stdlib.h>
#include <string.h>

#include "tls.h"

/** tls_psk_find - the key of an identity, or NULL */
const struct psk *tls_psk_find(const struct tls_psk *list, const char *name)
{
	while (list && strcmp(list->psk.name, name))
		list = list->next;
	return list ? &list->psk : NULL;
}

static int add_line(struct tls_psk **list, const char *path,
		    unsigned int line, char *text, struct err *err)
{
	struct tls_psk *one = calloc(1, sizeof(*one));
	int ret;

	if (!one)
		return err_set(err, "not enough memory");
	ret = psk_parse_line(path, line, text, &one->psk, err);
	if (!ret && tls_psk_find(*list, one->psk.name))
		ret = err_set(err, "%s:%u: identity %s is there twice", path,
			      line, one->psk.name);
	one->next = *list;
	*list = one;
	return ret;
}

/**
 * tls_psk_parse - read a list of identities
 * @path: for messages
 * @text: what is in the file; cut into pieces
 * @err: what is wrong
 *
 * Return: the list, for tls_psk_free(), or NULL
 */
struct tls_psk *tls_psk_parse(const char *path, char *text, struct err *err)
{
	struct tls_psk *list = NULL;
	unsigned int n = 0;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		n++;
		if (!*line || *line == '#')
			continue;
		if (add_line(&list, path, n, line, err)) {
			tls_psk_free(list);
			return NULL;
		}
	}
	if (!list)
		err_set(err, "%s names no identity", path);
	return list;
}

void tls_psk_free(struct tls_psk *list)
{
	while (list) {
		struct tls_psk *next = list->next;

		explicit_bzero(list, sizeof(*list));
		free(list);
		list = next;
	}
}
