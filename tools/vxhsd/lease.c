// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "lease.h"
#include "log.h"
#include "session.h"
#include "store.h"

/* Under control_lock().  The server ends: what is held stays held. */
static bool keeping;

/*
 * Where no earlier process can have come, so a lease of which nothing is known
 * any more is never taken for a current one.
 */
static u64 first_number(void)
{
	return (u64)time(NULL) << 20;
}

void lease_path(const struct export *x, char *path, size_t size)
{
	char text[UUID_TEXT];

	uuid_format(x->vdisk_id, text);
	snprintf(path, size, "%s/lease-%s", store_dir(x->store), text);
}

static bool parse(const char *line, struct lease *l)
{
	unsigned long long number, session;
	char host[UUID_TEXT], state[8];
	unsigned int kato;

	if (sscanf(line, "%llu %llx %36s %u %7s", &number, &session, host,
		   &kato, state) != 5 || !number || !uuid_parse(host, l->host))
		return false;
	l->number = number;
	l->session = session;
	l->kato_ms = kato > KATO_MAX ? KATO_MAX : kato;
	l->held = !strcmp(state, "held");
	return true;
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
	char path[4200], line[160];

	memset(l, 0, sizeof(*l));
	l->change = 1;
	l->number = first_number();
	if (!x->store)
		return;
	lease_path(x, path, sizeof(path));
	if (!read_line(path, line, sizeof(line))) {
		if (!access(path, F_OK))
			log_error("export %s: cannot read %s; nobody can come back to the vdisk with the lease it had",
				  x->name, path);
		return;
	}
	if (!parse(line, l)) {
		log_error("export %s: %s is damaged; nobody can come back to the vdisk with the lease it had",
			  x->name, path);
		return;
	}
	l->stored = l->change;
	l->grace_us = now_us() + (u64)l->kato_ms * 1000;
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
	char line[160], host[UUID_TEXT];

	uuid_format(lease->host, host);
	snprintf(line, sizeof(line), "%llu %llx %s %u %s",
		 (unsigned long long)lease->number,
		 (unsigned long long)lease->session, host, lease->kato_ms,
		 lease->held ? "held" : "free");
	return write_line(path, line);
}

/** lease_is_stored - would a restart of the server know it? */
bool lease_is_stored(const struct export *x)
{
	return !x->store || x->lease.stored == x->lease.change;
}

static void changed(struct export *x)
{
	x->lease.change++;
	if (x->store)
		store_kick(x->store);
}

/** lease_is_of - was this session the last that could write alone? */
bool lease_is_of(const struct export *x, const struct session *s)
{
	return x->lease.session == s->id &&
	       !memcmp(x->lease.host, s->host_id, 16);
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
	return mode != VXHS_OPEN_RO && x->lease.held &&
	       !lease_is_of(x, s) && now_us() < x->lease.grace_us;
}

static void own(struct lease *l, const struct session *s)
{
	l->session = s->id;
	memcpy(l->host, s->host_id, 16);
}

static void share(struct lease *l)
{
	l->session = 0;
	memset(l->host, 0, 16);
	l->held = false;
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
	struct lease *l = &x->lease, old = *l;

	if (mode == VXHS_OPEN_RO)
		return;
	if (mode == VXHS_OPEN_RW) {
		if (!lease_is_of(x, s))
			l->number++;
		own(l, s);
		l->held = true;
		l->kato_ms = s->kato_ms;
	} else if (l->session) {
		if (!lease_is_of(x, s))
			l->number++;
		share(l);
	}
	l->grace_us = 0;
	if (memcmp(&old, l, offsetof(struct lease, wanted)))
		changed(x);
	if (!l->wanted && x->store) {
		l->wanted = true;
		store_kick(x->store);
	}
}

/**
 * lease_let_go - the owner has closed the vdisk, or is given up
 * @x: the export
 *
 * Nobody waits for that to be stored: a restart before costs the next one a
 * kato.  When the server ends nobody lets go, for its clients come back.
 *
 * Context: control_lock() held.
 */
void lease_let_go(struct export *x)
{
	if (!x->lease.held || keeping)
		return;
	x->lease.held = false;
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

/** leases_keep - the server ends, and no lease with it */
void leases_keep(void)
{
	control_lock();
	keeping = true;
	control_unlock();
}
