// SPDX-License-Identifier: GPL-2.0
/*
 * The leases of a folder, while a server may be changing them.  Each is whole,
 * old or new; what they mean depends on which server process has the folder.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leases.h"
#include "vxhsctl.h"

#define TRIES	10

static const char *state_now(const struct lease_list *list,
			     const struct lease_record *r)
{
	bool by_server = list->served && r->instance &&
			 r->instance == list->server.instance;

	switch (r->state) {
	case LEASE_HELD:
		if (by_server)
			return "held";
		/* Servers of earlier versions say nothing of themselves. */
		return list->served || r->instance ? "kept" : "unknown";
	case LEASE_SHARED:
		return by_server ? "shared" : "free";
	default:
		return "free";
	}
}

static struct lease_entry *add(struct lease_list *list)
{
	struct lease_entry *items;

	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items)
		return NULL;
	list->items = items;
	return &items[list->count++];
}

static struct lease_entry *find(struct lease_list *list,
				const uint8_t vdisk_id[16])
{
	unsigned int i;

	for (i = 0; i < list->count; i++)
		if (!memcmp(list->items[i].vdisk_id, vdisk_id, 16))
			return &list->items[i];
	return NULL;
}

static int read_one(struct lease_list *list, const char *name)
{
	char path[4200], line[LEASE_LINE];
	struct lease_record record;
	struct lease_entry *entry;
	uint8_t vdisk_id[16];

	if (!lease_file_parse(name, vdisk_id))
		return STATUS_OK;
	snprintf(path, sizeof(path), "%s/%s", list->dir, name);
	errno = 0;
	if (!read_line(path, line, sizeof(line))) {
		if (errno == ENOENT)
			return STATUS_OK;
		complain("cannot read \"%s\": %s; vxhsd cannot either, so nobody can come back to that vdisk with the lease it had",
			 path, errno ? strerror(errno) : "it is empty");
		list->damaged++;
		return STATUS_OK;
	}
	if (!lease_record_parse(line, &record)) {
		complain("\"%s\" is damaged; nobody can come back to that vdisk with the lease it had, and vxhsd writes another when it is next opened",
			 path);
		list->damaged++;
		return STATUS_OK;
	}
	/* Servers that share a folder have a file each; vxhsd does the same. */
	entry = find(list, vdisk_id);
	if (entry && !lease_record_newer(&record, &entry->record))
		return STATUS_OK;
	if (!entry)
		entry = add(list);
	if (!entry)
		return failed("cannot list the leases: out of memory");
	memcpy(entry->vdisk_id, vdisk_id, sizeof(vdisk_id));
	entry->record = record;
	return STATUS_OK;
}

/* What vxhsd puts into every such folder, whoever has opened what. */
static bool is_of_server(const char *name)
{
	return !strcmp(name, "server-id") || !strcmp(name, "group");
}

static int read_all(struct lease_list *list)
{
	DIR *dir = opendir(list->dir);
	bool of_server = false;
	struct dirent *entry;
	int status = STATUS_OK;

	if (!dir)
		return failed("cannot read the directory \"%s\": %s; leases are on the storage server, in the state_dir of its vxhsd, or in the shared folder of two",
			      list->dir, strerror(errno));
	while (status == STATUS_OK && (entry = readdir(dir))) {
		of_server |= is_of_server(entry->d_name);
		status = read_one(list, entry->d_name);
	}
	closedir(dir);
	if (status == STATUS_OK && !of_server)
		return failed("\"%s\" is no directory of vxhsd: it has neither \"server-id\" nor \"group\"; give the state_dir of the vxhsd of this host, or the shared folder of two",
			      list->dir);
	return status;
}

static int by_name(const void *a, const void *b)
{
	const struct lease_entry *x = a, *y = b;
	int order = strcmp(x->record.name, y->record.name);

	return order ? order : memcmp(x->vdisk_id, y->vdisk_id, 16);
}

static int look_at_server(struct lease_list *list)
{
	int ret = serving_look(list->dir, &list->server);

	if (ret < 0)
		return failed("cannot see whether a vxhsd is there: \"%s/" SERVING_FILE "\": %s",
			      list->dir, strerror(-ret));
	list->served = ret;
	return STATUS_OK;
}

/**
 * leases_read() - read the leases of a folder
 * @dir: a state directory, or the shared folder of two servers
 * @out: the leases; to be freed with leases_free(), whatever is returned
 *
 * Return: STATUS_OK, also if some are damaged, or STATUS_FAILED after
 * complaining.
 */
int leases_read(const char *dir, struct lease_list *out)
{
	unsigned int tries = 0, i;
	struct serving before;
	int status;

	memset(out, 0, sizeof(*out));
	out->dir = dir;
	status = look_at_server(out);
	/* A server that came underway makes them mean something else. */
	do {
		if (status != STATUS_OK)
			return status;
		before = out->server;
		leases_free(out);
		status = read_all(out);
		if (status == STATUS_OK)
			status = look_at_server(out);
	} while (before.instance != out->server.instance && ++tries < TRIES);
	for (i = 0; i < out->count; i++)
		out->items[i].state = state_now(out, &out->items[i].record);
	if (out->count)
		qsort(out->items, out->count, sizeof(*out->items), by_name);
	return status;
}

/**
 * leases_free() - forget what was read
 * @list: from leases_read()
 */
void leases_free(struct lease_list *list)
{
	free(list->items);
	list->items = NULL;
	list->count = 0;
	list->damaged = 0;
}
