// SPDX-License-Identifier: GPL-2.0
/* Identities and their keys: lines IDENTITY:HEXKEY. */
#include <stdlib.h>
#include <string.h>

#include "tls.h"

/** tls_name_ok - may this be an identity?  Printable ASCII without space */
bool tls_name_ok(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (name[i] < 0x21 || name[i] > 0x7e)
			return false;
	return len && len <= WHO_MAX;
}

/** tls_psk_find - the key of an identity, or NULL */
const struct tls_psk *tls_psk_find(const struct tls_psk *list,
				   const char *name)
{
	while (list && strcmp(list->name, name))
		list = list->next;
	return list;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_key(struct tls_psk *psk, const char *hex)
{
	size_t len = strlen(hex), i;

	if (len % 2 || len < 2 * PSK_MIN || len > 2 * PSK_MAX)
		return false;
	for (i = 0; i < len; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		psk->key[i / 2] = (u8)(high << 4 | low);
	}
	psk->key_len = (unsigned int)(len / 2);
	return true;
}

/* The line itself is not repeated: it may hold a key. */
static int parse_line(struct tls_psk **list, const char *path,
		      unsigned int line, char *text, struct err *err)
{
	char *colon = strrchr(text, ':');
	struct tls_psk *psk;

	if (!colon || !tls_name_ok(text, (size_t)(colon - text)))
		return err_set(err,
			       "%s:%u: the line is not IDENTITY:HEXKEY with an identity of 1 to %d printable characters",
			       path, line, WHO_MAX);
	*colon = '\0';
	if (tls_psk_find(*list, text))
		return err_set(err, "%s:%u: identity %s is there twice", path,
			       line, text);
	psk = calloc(1, sizeof(*psk));
	if (!psk)
		return err_set(err, "not enough memory");
	psk->next = *list;
	*list = psk;
	strcpy(psk->name, text);
	if (!parse_key(psk, colon + 1))
		return err_set(err,
			       "%s:%u: the key of %s is not %d to %d bytes in hexadecimal",
			       path, line, psk->name, PSK_MIN, PSK_MAX);
	return 0;
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
		if (parse_line(&list, path, n, line, err)) {
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
