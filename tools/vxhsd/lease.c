// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "identity.h"
#include "lease.h"
#include "log.h"
#include "session.h"
#include "store.h"

/* Under control_lock().  The server ends: what is held stays held. */
static bool keeping;

/*
 * Where no earlier process can have come, so a lease of which nothing is known
 * any more is never taken for a current one; not even if that process began
 * in the same second.
 */
static u64 first_number(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (u64)ts.tv_sec << 20 | (u64)ts.tv_nsec >> 10;
}

/**
 * lease_path - the file that this server writes a vdisk's lease to
 * @x: the export
 * @path: the result
 * @size: of @path, bytes
 *
 * No other server writes it: nothing stops a write by name of a server that
 * has lost the group meanwhile.
 */
void lease_path(const struct export *x, char *path, size_t size)
{
	char vdisk[UUID_TEXT], server[UUID_TEXT];

	uuid_format(x->vdisk_id, vdisk);
	uuid_format(server_id(), server);
	snprintf(path, size, "%s/" LEASE_FILE "%s%s%s", store_dir(x->store),
		 vdisk, x->shared ? "-" : "", x->shared ? server : "");
}

static void name_it(const struct export *x, struct lease *l)
{
	snprintf(l->record.name, sizeof(l->record.name), "%s", x->name);
}

/*
 * One file; *@found if @best is something.  Returns false if nobody knows what
 * is in it.
 */
static bool read_file(const struct export *x, const char *path,
		      struct lease_record *best, bool *found)
{
	struct lease_record record;
	char line[LEASE_LINE];

	if (!read_line(path, line, sizeof(line))) {
		if (access(path, F_OK))
			return true;
		log_error("export %s: cannot read %s; nobody can come back to the vdisk with the lease it had",
			  x->name, path);
		return false;
	}
	if (!lease_record_parse(line, &record)) {
		log_error("export %s: %s is damaged; nobody can come back to the vdisk with the lease it had",
			  x->name, path);
		return false;
	}
	if (!*found || lease_record_newer(&record, best))
		*best = record;
	*found = true;
	return true;
}

/* All servers' files; those of earlier versions have no server's name. */
static bool read_shared(const struct export *x, struct lease_record *best,
			bool *found)
{
	const char *dir = store_dir(x->store);
	DIR *stream = opendir(dir);
	struct dirent *entry;
	bool known = true;
	char path[4400];
	u8 id[16];

	errno = stream ? 0 : errno;
	while (stream && (entry = readdir(stream))) {
		if (lease_file_parse(entry->d_name, id) &&
		    !memcmp(id, x->vdisk_id, sizeof(id))) {
			snprintf(path, sizeof(path), "%s/%s", dir,
				 entry->d_name);
			known &= read_file(x, path, best, found);
		}
		errno = 0;
	}
	if (errno) {
		log_error("export %s: cannot read %s (%s); nobody can come back to the vdisk with the lease it had",
			  x->name, dir, strerror(errno));
		known = false;
	}
	if (stream)
		closedir(stream);
	return known;
}

/**
 * lease_read - take up a vdisk's lease where its last server left it
 * @x: the export, its id known
 * @l: the result
 *
 * A lease that was held then is kept for its owner for one kato.
 *
 * Context: may block as long as a disk.
 */
void lease_read(const struct export *x, struct lease *l)
{
	struct lease_record record;
	bool found = false, known;
	char path[4200];

	memset(l, 0, sizeof(*l));
	l->change = 1;
	l->needed = 1;
	l->record.number = first_number();
	name_it(x, l);
	if (!x->store)
		return;
	lease_path(x, path, sizeof(path));
	known = x->shared ? read_shared(x, &record, &found) :
			    read_file(x, path, &record, &found);
	/* What is not known may be newer than what is. */
	if (!known || !found)
		return;
	if (record.kato_ms > KATO_MAX)
		record.kato_ms = KATO_MAX;
	l->record = record;
	name_it(x, l);
	l->stored = l->change;
	if (record.state == LEASE_SHARED)
		l->record.state = LEASE_FREE;
	else if (record.state == LEASE_HELD)
		l->grace_us = now_us() + (u64)record.kato_ms * 1000;
}

/**
 * lease_write - make a lease durable; may block as long as a disk
 * @path: from lease_path()
 * @lease: what to write
 *
 * Return: 0 or a negative errno
 */
int lease_write(const char *path, const struct lease *lease)
{
	char line[LEASE_LINE];

	lease_record_format(&lease->record, line);
	return write_line(path, line);
}

/** lease_is_stored - would a restart of the server know it? */
bool lease_is_stored(const struct export *x)
{
	return !x->store || x->lease.stored >= x->lease.needed;
}

static void changed(struct export *x)
{
	x->lease.change++;
	x->lease.record.serial++;
	if (x->store)
		store_kick(x->store);
}

/** lease_is_held - exclusively, or waits for who held it so */
bool lease_is_held(const struct export *x)
{
	return x->lease.record.state == LEASE_HELD;
}

/* An address says nothing of who it is, an identity does. */
static void owner_text(const struct session *s, char text[INET6_ADDRSTRLEN])
{
	unsigned int i;
	int n;

	if (!s->who) {
		identity_format(s->peer, text);
		return;
	}
	n = sprintf(text, "id-");
	for (i = 0; i < sizeof(s->peer); i++)
		n += sprintf(text + n, "%02x", s->peer[i]);
}

static bool is_owner(const struct lease_record *r, const struct session *s)
{
	char text[INET6_ADDRSTRLEN];

	if (!s->who)
		return true;
	owner_text(s, text);
	return !strcmp(r->address, text);
}

/**
 * lease_is_of - was this session the last that could write alone?
 *
 * What a session and a host call themselves is no proof; where there is one,
 * it counts as well.
 */
bool lease_is_of(const struct export *x, const struct session *s)
{
	const struct lease_record *r = &x->lease.record;

	return r->session == s->id && !memcmp(r->host, s->host_id, 16) &&
	       is_owner(r, s);
}

/**
 * lease_waits - is the vdisk kept for an owner who is not back yet?
 * @x: the export
 * @s: who wants it
 * @mode: and how
 *
 * Context: control_lock() held.
 */
bool lease_waits(const struct export *x, const struct session *s, u32 mode)
{
	return mode != VXHS_OPEN_RO && lease_is_held(x) &&
	       !lease_is_of(x, s) && now_us() < x->lease.grace_us;
}

static void own(struct lease_record *r, const struct session *s)
{
	r->session = s->id;
	memcpy(r->host, s->host_id, sizeof(r->host));
	memset(r->address, 0, sizeof(r->address));
	owner_text(s, r->address);
	r->kato_ms = s->kato_ms;
	r->state = LEASE_HELD;
}

static void share(struct lease_record *r)
{
	r->session = 0;
	memset(r->host, 0, sizeof(r->host));
	memset(r->address, 0, sizeof(r->address));
	r->state = LEASE_SHARED;
}

/* What a restart must know is more than what people are shown. */
static bool decides(const struct lease_record *a, const struct lease_record *b)
{
	return a->number != b->number || a->session != b->session ||
	       memcmp(a->host, b->host, sizeof(a->host)) ||
	       a->kato_ms != b->kato_ms ||
	       (a->state == LEASE_HELD) != (b->state == LEASE_HELD);
}

/**
 * lease_gain - a session opens a vdisk and nothing stands in its way
 * @x: the export
 * @s: the session
 * @mode: how
 *
 * The number is the same for all who share.  One of them who is alone for a
 * while has not gained anything over the others, an exclusive writer has.
 *
 * Context: control_lock() held.  The answer waits for lease_is_stored().
 */
void lease_gain(struct export *x, const struct session *s, u32 mode)
{
	struct lease_record *r = &x->lease.record, old = *r;

	if (mode == VXHS_OPEN_RO)
		return;
	if ((mode == VXHS_OPEN_RW || r->session) && !lease_is_of(x, s))
		r->number++;
	if (mode == VXHS_OPEN_RW)
		own(r, s);
	else
		share(r);
	r->instance = server_instance();
	if (r->number != old.number || r->state != old.state)
		r->since = (u64)time(NULL);
	x->lease.grace_us = 0;
	if (!memcmp(&old, r, sizeof(old)))
		return;
	changed(x);
	if (decides(&old, r))
		x->lease.needed = x->lease.change;
}

/**
 * lease_let_go - the owner has closed the vdisk, or is given up; or the last
 * of those who share
 * @x: the export
 *
 * Nobody waits for that to be stored: a restart before costs the next one a
 * kato.  When the server ends nobody lets go, for its clients come back.
 *
 * Context: control_lock() held.
 */
void lease_let_go(struct export *x)
{
	struct lease_record *r = &x->lease.record;

	if (r->state == LEASE_FREE || keeping)
		return;
	r->state = LEASE_FREE;
	r->since = (u64)time(NULL);
	changed(x);
}

/**
 * lease_keep_for - the owner has to ask again, and is waited for
 * @x: the export
 * @us: for how long, microseconds
 */
void lease_keep_for(struct export *x, u64 us)
{
	x->lease.grace_us = now_us() + us;
}

/**
 * lease_end_grace - who was waited for has not come
 * @x: the export, ours, and nobody has it open to write alone
 *
 * Context: control_lock() held.
 */
void lease_end_grace(struct export *x)
{
	if (!x->lease.grace_us || now_us() < x->lease.grace_us)
		return;
	x->lease.grace_us = 0;
	if (lease_is_held(x))
		lease_let_go(x);
}

/** leases_keep - the server ends, and no lease with it */
void leases_keep(void)
{
	control_lock();
	keeping = true;
	control_unlock();
}
