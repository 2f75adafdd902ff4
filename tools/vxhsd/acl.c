// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "tls.h"

static const struct {
	const char *word;
	unsigned int rights;
} words[] = {
	{ "ro", ACL_RO },
	{ "rw", ACL_RO | ACL_RW },
	{ "take-over", ACL_TAKE_OVER },
};

/* Returns 0 for a word that is none. */
static unsigned int right_of(const char *word)
{
	unsigned int i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i].word))
			return words[i].rights;
	return 0;
}

static int parse_rights(char *text, const char *export, unsigned int *rights,
			struct err *err)
{
	char *word;

	*rights = 0;
	while ((word = strsep(&text, "+"))) {
		unsigned int right = right_of(word);

		if (!right)
			return err_usage(err,
					 "export %s: allow: \"%s\" is no right; there are ro, rw and take-over",
					 export, word);
		*rights |= right;
	}
	if (!(*rights & ACL_RO))
		return err_usage(err,
				 "export %s: allow: take-over goes with rw or ro",
				 export);
	return 0;
}

/**
 * acl_add - take IDENTITY:RIGHT[+RIGHT]...
 * @list: gets one more
 * @text: as in the configuration
 * @export: its name, for messages
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int acl_add(struct acl **list, const char *text, const char *export,
	    struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	unsigned int rights;
	struct acl *entry;
	char *copy;
	int ret;

	if (!psk_name_ok(text, len))
		return err_usage(err,
				 "export %s: allow=%.300s is not IDENTITY:RIGHT[+RIGHT]...",
				 export, text);
	copy = strdup(colon + 1);
	if (!copy)
		return err_set(err, "not enough memory");
	ret = parse_rights(copy, export, &rights, err);
	free(copy);
	if (ret)
		return ret;
	entry = malloc(sizeof(*entry) + len + 1);
	if (!entry)
		return err_set(err, "not enough memory");
	entry->rights = rights;
	memcpy(entry->who, text, len);
	entry->who[len] = '\0';
	entry->next = *list;
	*list = entry;
	return 0;
}

/**
 * acl_rights - what may somebody do?
 * @list: of the vdisk
 * @who: his identity; NULL where nobody has one, because TLS is off
 */
unsigned int acl_rights(const struct acl *list, const char *who)
{
	unsigned int rights = 0;

	if (!who)
		return tls_on() ? 0 : ACL_ALL;
	for (; list; list = list->next)
		if (!strcmp(list->who, "*") || !strcmp(list->who, who))
			rights |= list->rights;
	return rights;
}

/** acl_dup - a copy that stands alone; false without memory */
bool acl_dup(const struct acl *list, struct acl **copy)
{
	struct acl **tail = copy;

	*copy = NULL;
	for (; list; list = list->next) {
		size_t size = sizeof(*list) + strlen(list->who) + 1;

		*tail = malloc(size);
		if (!*tail)
			return false;
		memcpy(*tail, list, size);
		(*tail)->next = NULL;
		tail = &(*tail)->next;
	}
	return true;
}

void acl_free(struct acl *list)
{
	while (list) {
		struct acl *next = list->next;

		free(list);
		list = next;
	}
}
