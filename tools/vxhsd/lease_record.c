// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "lease_record.h"

#define NOTHING	"-"	/* where a word must be */

static const char * const states[] = {
	[LEASE_FREE] = "free",
	[LEASE_HELD] = "held",
	[LEASE_SHARED] = "shared",
};

static bool parse_state(const char *text, enum lease_state *state)
{
	unsigned int i;

	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(text, states[i]))
			continue;
		*state = (enum lease_state)i;
		return true;
	}
	return false;
}

static void copy_word(char *out, size_t size, const char *word)
{
	snprintf(out, size, "%s", strcmp(word, NOTHING) ? word : "");
}

/**
 * lease_file_parse - is this the name of a file with a lease?
 * @name: in its folder
 * @vdisk_id: the vdisk's id, if so
 */
bool lease_file_parse(const char *name, u8 vdisk_id[16])
{
	char id[UUID_TEXT];
	u8 server_id[16];

	if (strncmp(name, LEASE_FILE, strlen(LEASE_FILE)))
		return false;
	name += strlen(LEASE_FILE);
	if (strnlen(name, sizeof(id)) < sizeof(id) - 1)
		return false;
	snprintf(id, sizeof(id), "%s", name);
	name += sizeof(id) - 1;
	return uuid_parse(id, vdisk_id) &&
	       (!*name || (*name == '-' && uuid_parse(name + 1, server_id)));
}

/**
 * lease_record_newer - of two records of one vdisk, does the first hold?
 * @a: the first
 * @b: the second
 *
 * The higher number does: a server that has lost the group may write late what
 * it knew before.  When the owner comes back the number stays; then it is the
 * one changed more often, then the later one by the clocks of the servers, then
 * one that is held, for that costs a kato at most.
 */
bool lease_record_newer(const struct lease_record *a,
			const struct lease_record *b)
{
	if (a->number != b->number)
		return a->number > b->number;
	if (a->serial != b->serial)
		return a->serial > b->serial;
	if (a->since != b->since)
		return a->since > b->since;
	return a->state == LEASE_HELD && b->state != LEASE_HELD;
}

/**
 * lease_record_parse - read a line of lease_record_format() or of an earlier
 * version
 * @line: NUL-terminated
 * @r: the result
 *
 * Return: true if it is one
 */
bool lease_record_parse(const char *line, struct lease_record *r)
{
	unsigned long long number, session, since = 0, instance = 0;
	unsigned long long serial = 0;
	char host[UUID_TEXT], state[8];
	char address[INET6_ADDRSTRLEN] = "", name[VXHS_NAME_MAX + 1] = "";
	unsigned int kato;

	memset(r, 0, sizeof(*r));
	if (sscanf(line, "%llu %llx %36s %u %7s %llu %llx %45s %63s %llu",
		   &number, &session, host, &kato, state, &since, &instance,
		   address, name, &serial) < 5 || !number || !uuid_parse(host, r->host) ||
	    !parse_state(state, &r->state))
		return false;
	r->number = number;
	r->session = session;
	r->kato_ms = kato;
	r->since = since;
	r->instance = instance;
	r->serial = serial;
	copy_word(r->address, sizeof(r->address), address);
	copy_word(r->name, sizeof(r->name), name);
	return true;
}

static const char *word(const char *text)
{
	return *text ? text : NOTHING;
}

/**
 * lease_record_format - the line that is kept
 * @r: the record
 * @line: the result, without a newline
 */
void lease_record_format(const struct lease_record *r, char line[LEASE_LINE])
{
	char host[UUID_TEXT];

	uuid_format(r->host, host);
	snprintf(line, LEASE_LINE, "%llu %llx %s %u %s %llu %llx %s %s %llu",
		 (unsigned long long)r->number, (unsigned long long)r->session,
		 host, r->kato_ms, states[r->state],
		 (unsigned long long)r->since, (unsigned long long)r->instance,
		 word(r->address), word(r->name),
		 (unsigned long long)r->serial);
}
