// SPDX-License-Identifier: GPL-2.0
/*
 * Who has an export open and who uses it: exclusivity, leases, fences.
 */
#include <stdlib.h>

#include "audit.h"
#include "export.h"
#include "io.h"
#include "log.h"
#include "session.h"
#include "store.h"

static void note(const char *event, const struct session *s,
		 const char *vdisk, const char *why)
{
	audit(&(struct audit){
		.event = event,
		.peer = s->name,
		.identity = s->who,
		.session = s->id,
		.vdisk = vdisk,
		.why = why,
	});
}

/* Who has it open */

/* Does anybody have it open so? */
static bool is_open_as(const struct export *x, u32 mode)
{
	const struct open *o;

	for (o = x->opens; o; o = o->next)
		if (atomic_load(&o->mode) == mode)
			return true;
	return false;
}

/**
 * export_update_exclusive - may v34 clients, who open nothing, write?
 * @x: the export
 *
 * Context: control_lock() held.
 */
void export_update_exclusive(struct export *x)
{
	bool exclusive = lease_is_held(x) && now_us() < x->lease.grace_us;

	if (is_open_as(x, VXHS_OPEN_RW))
		exclusive = true;
	atomic_store(&x->exclusive, exclusive);
}

/**
 * export_end_grace - give up an owner who did not come back in time
 * @x: the export, ours
 *
 * Context: control_lock() held.
 */
void export_end_grace(struct export *x)
{
	/* Who shares holds nothing that could be given up. */
	if (!is_open_as(x, VXHS_OPEN_RW))
		lease_end_grace(x);
}

static bool conflict(u32 a, u32 b)
{
	if (a == VXHS_OPEN_RO || b == VXHS_OPEN_RO)
		return false;
	return a == VXHS_OPEN_RW || b == VXHS_OPEN_RW;
}

static void unlink_open(struct open *o)
{
	struct export *x = o->export;
	struct open **pos;

	for (pos = &x->opens; *pos; pos = &(*pos)->next) {
		if (*pos == o) {
			*pos = o->next;
			break;
		}
	}
	export_update_exclusive(x);
}

/*
 * A session loses a vdisk to another.  It keeps the handle, so that it hears
 * STALE, which is final, and not that the handle is unknown.
 */
static void open_revoke(struct open *o)
{
	atomic_store(&o->state, OPEN_REVOKED);
	unlink_open(o);
	session_event(o->session, VXHS_EV_LEASE_LOST, o->handle);
}

/* The next open, from @o on, of another that stands in the way. */
static struct open *in_the_way(struct open *o, const struct session *s,
			       u32 mode)
{
	while (o && (o->session_id == s->id ||
		     !conflict(atomic_load(&o->mode), mode)))
		o = o->next;
	return o;
}

static const char *mode_text(u32 mode)
{
	static const char * const text[] = {
		[VXHS_OPEN_RO] = "read-only",
		[VXHS_OPEN_RW] = "exclusively",
		[VXHS_OPEN_RW_SHARED] = "shared",
	};

	return text[mode];
}

/* May this session not have the vdisk without taking it over?  Says why. */
static bool is_busy(struct export *x, const struct session *s, u32 mode)
{
	const struct open *o = in_the_way(x->opens, s, mode);
	char host[UUID_TEXT];

	if (o) {
		log_peer("export %s: busy for %s: %s has it open %s since %llu s, lease %llu",
			 x->name, s->text, o->session->text,
			 mode_text(atomic_load(&o->mode)),
			 (unsigned long long)(now_us() - o->since_us) / 1000000,
			 (unsigned long long)x->lease.record.number);
		return true;
	}
	if (!lease_waits(x, s, mode))
		return false;
	uuid_format(x->lease.record.host, host);
	log_peer("export %s: busy for %s: session %016llx of host %s had it and has its kato to come back, lease %llu",
		 x->name, s->text, (unsigned long long)x->lease.record.session, host,
		 (unsigned long long)x->lease.record.number);
	return true;
}

static void take_over(struct export *x, const struct session *s, u32 mode)
{
	struct open *o = x->opens;

	while ((o = in_the_way(o, s, mode))) {
		struct open *next = o->next;

		log_info("export %s: taken over from %s by %s", x->name,
			 o->session->text, s->text);
		note("take-over", s, x->name, o->session->text);
		open_revoke(o);
		o = next;
	}
}

static struct open *open_new_for(struct session *s, struct export *x)
{
	struct open *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->export = x;
	o->session = s;
	o->session_id = s->id;
	atomic_store(&o->refs, 1);
	if (!session_add_open(s, o)) {
		free(o);
		return NULL;
	}
	atomic_fetch_add(&x->refs, 1);
	o->next = x->opens;
	x->opens = o;
	return o;
}

/**
 * open_vdisk - OPEN, up to the fence
 * @s: the session that asks
 * @epoch: of the lane that asks
 * @want: what it asks for
 * @out: the open vdisk
 * @fresh: this session did not have it open in any epoch
 *
 * Context: control_lock() held.
 * Return: VXHS_ST_OK; the answer waits while open_must_wait(*out).  AGAIN: the
 * storage is with another server, and has been asked for
 */
enum vxhs_status open_vdisk(struct session *s, u32 epoch,
			    const struct vxhs_open *want, struct open **out,
			    bool *fresh)
{
	bool take_over_it = want->options & VXHS_OPEN_TAKE_OVER;
	struct open *o, *old;
	unsigned int rights;
	struct export *x;

	x = export_find_for(s->who, want->name, &rights);
	if (!x) {
		note("denied", s, want->name,
		     export_find(want->name) ? "no right" : "no such vdisk");
		return VXHS_ST_NOT_FOUND;
	}
	if (want->mode != VXHS_OPEN_RO && !(rights & ACL_RW)) {
		log_peer("export %s: refused to %s: it may only read",
			 x->name, s->text);
		note("denied", s, x->name, "no right to write");
		return VXHS_ST_DENIED;
	}
	if (want->mode != VXHS_OPEN_RO && x->read_only)
		return VXHS_ST_READ_ONLY;
	if (!x->ours) {
		store_want(x->store);
		return VXHS_ST_AGAIN;
	}
	if (want->lease && want->lease != x->lease.record.number)
		return VXHS_ST_STALE;
	if (!(take_over_it && (rights & ACL_TAKE_OVER)) &&
	    is_busy(x, s, want->mode)) {
		if (!take_over_it)
			return VXHS_ST_BUSY;
		note("denied", s, x->name, "no right to take it over");
		return VXHS_ST_DENIED;
	}

	old = session_find_open(s, x);
	*fresh = !old;
	o = old;
	/* Another mode is another open: writes of the old one are fenced. */
	if (!old || old->epoch != epoch ||
	    atomic_load(&old->mode) != want->mode ||
	    atomic_load(&old->state) != OPEN_LIVE) {
		o = open_new_for(s, x);
		if (!o)
			return VXHS_ST_NO_SPACE;
		o->epoch = epoch;
		o->since_us = old ? old->since_us : now_us();
	}
	/* Nothing fails any more. */
	take_over(x, s, want->mode);
	atomic_store(&o->mode, want->mode);
	if (old && old != o)
		open_release(old);
	lease_gain(x, s, want->mode);
	export_update_exclusive(x);
	if (*fresh)
		log_peer("export %s: open %s by %s, lease %llu", x->name,
			 mode_text(want->mode), s->text,
			 (unsigned long long)x->lease.record.number);
	if (*fresh)
		note("open", s, x->name, mode_text(want->mode));
	*out = o;
	return VXHS_ST_OK;
}

/* Has its session got it exclusively, by this open or another? */
static bool has_exclusively(const struct export *x, u64 session_id)
{
	const struct open *o;

	for (o = x->opens; o; o = o->next)
		if (o->session_id == session_id &&
		    atomic_load(&o->mode) == VXHS_OPEN_RW)
			return true;
	return false;
}

/* An open of @s is gone; @had: it, or another of @s, was exclusive. */
static void let_go_unless_held(struct export *x, const struct session *s,
			       bool had)
{
	if (had && lease_is_of(x, s) && !has_exclusively(x, s->id))
		lease_let_go(x);
	if (x->lease.record.state == LEASE_SHARED &&
	    !is_open_as(x, VXHS_OPEN_RW_SHARED))
		lease_let_go(x);
}

static void release(struct open *o, bool keep_lease)
{
	struct export *x = o->export;
	bool had = has_exclusively(x, o->session_id);

	atomic_store(&o->state, OPEN_CLOSED);
	unlink_open(o);
	let_go_unless_held(x, o->session, had && !keep_lease);
	session_drop_open(o->session, o);
	o->session = NULL;
	export_put(x);
	open_put(o);
}

/**
 * open_release - a session lets go of a vdisk
 * @o: the open vdisk; its handle is gone from now on
 *
 * Context: control_lock() held.
 */
void open_release(struct open *o)
{
	release(o, false);
}

static unsigned int needs(const struct open *o)
{
	return atomic_load(&o->mode) == VXHS_OPEN_RO ? ACL_RO : ACL_RW;
}

/**
 * open_review - the rights to a vdisk have changed
 * @x: whoever has it open without a right loses it, for good
 *
 * Context: control_lock() held.
 */
void open_review(struct export *x)
{
	const struct acl *list = x->spec->allow;
	struct open *o, *next;
	struct use *u;
	bool had;

	for (o = x->opens; o; o = next) {
		next = o->next;
		if (acl_rights(list, o->session->who) & needs(o))
			continue;
		log_info("export %s: taken from %s, who has no right to it any more",
			 x->name, o->session->text);
		note("lost", o->session, x->name, "no right any more");
		had = has_exclusively(x, o->session_id);
		open_revoke(o);
		let_go_unless_held(x, o->session, had);
	}
	for (u = x->uses; u; u = u->next)
		if (!u->lane)
			atomic_store(&u->rights, acl_rights(list, u->who));
}

/**
 * open_give_up - an OPEN has waited too long for its fence
 * @o: the open vdisk; its handle is gone from now on
 *
 * The fence stays: it is made of the I/O that is still under way.  So does
 * the lease, for a kato: the client is told to ask again.
 *
 * Context: control_lock() held.
 */
void open_give_up(struct open *o)
{
	lease_keep_for(o->export, (u64)o->session->kato_ms * 1000);
	release(o, true);
}

void open_put(struct open *o)
{
	if (atomic_fetch_sub(&o->refs, 1) == 1)
		free(o);
}

static bool over(const struct use *u)
{
	return lane_stale(u->lane) ||
	       atomic_load(&u->open->state) != OPEN_LIVE;
}

/**
 * open_must_wait - is older I/O still on its way to this vdisk?
 * @o: just opened
 *
 * What a lower epoch, any replaced or broken lane of this session, or an
 * earlier owner has begun must have ended before OPEN is answered, and the
 * lease that it gained must be durable.
 *
 * Context: control_lock() held.
 */
bool open_must_wait(const struct open *o)
{
	bool exclusive = atomic_load(&o->mode) == VXHS_OPEN_RW;
	const struct use *u;

	if (atomic_load(&o->mode) != VXHS_OPEN_RO &&
	    !lease_is_stored(o->export))
		return true;
	for (u = o->export->uses; u; u = u->next) {
		if (!atomic_load(&u->inflight))
			continue;
		if (!u->lane) {
			if (exclusive)
				return true;
			continue;
		}
		if (!over(u))
			continue;
		if (exclusive || u->open->session_id == o->session_id ||
		    atomic_load(&u->open->mode) == VXHS_OPEN_RW)
			return true;
	}
	return false;
}

/* Who uses it */

/**
 * use_new - a connection begins to use a vdisk
 * @loop: the connection's
 * @x: the export
 * @open: for the native dialect, else NULL
 * @lane: the same
 * @who: the connection's identity, which lives as long; for v34 with TLS, else
 *	NULL
 *
 * Context: the loop's thread, control_lock() held.
 * Return: with one reference, or NULL without memory
 */
struct use *use_new(struct loop *loop, struct export *x, struct open *open,
		    struct lane *lane, const char *who)
{
	struct use *use = calloc(1, sizeof(*use));

	if (!use)
		return NULL;
	use->export = x;
	use->open = open;
	use->lane = lane;
	use->loop = loop;
	use->refs = 1;
	use->who = who;
	atomic_store(&use->rights, acl_rights(x->spec->allow, who));
	atomic_fetch_add(&x->refs, 1);
	if (open)
		atomic_fetch_add(&open->refs, 1);
	if (lane)
		atomic_fetch_add(&lane->refs, 1);
	use->next = x->uses;
	x->uses = use;
	loop_file_get(loop, x->slot, x->fd);
	if (x->write_through)
		loop_pin_buffers(loop);
	return use;
}

/**
 * use_put - one user less
 * @use: of this thread's loop
 *
 * Context: control_lock() not held.
 */
void use_put(struct use *use)
{
	struct export *x = use->export;
	struct use **pos;

	if (--use->refs)
		return;
	control_lock();
	for (pos = &x->uses; *pos != use; )
		pos = &(*pos)->next;
	*pos = use->next;
	control_unlock();
	loop_file_put(use->loop, x->slot);
	if (use->open)
		open_put(use->open);
	if (use->lane)
		lane_put(use->lane);
	export_put(x);
	free(use);
}

static bool changes(const struct io *io)
{
	return io->kind == IO_WRITE || io->kind == IO_DISCARD ||
	       io->kind == IO_ZEROES;
}

/**
 * use_verdict - may this I/O still run?
 * @use: whose @inflight was raised before
 * @io: the I/O
 *
 * Return: VXHS_ST_OK or why not
 */
u16 use_verdict(const struct use *use, const struct io *io)
{
	const struct export *x = use->export;
	u16 status;

	/* It may have shrunk since the header was checked. */
	if (io->offset + io->length > atomic_load(&x->size))
		return VXHS_ST_INVALID;
	if (changes(io) && x->read_only)
		return VXHS_ST_READ_ONLY;
	if (!use->lane && !(atomic_load(&use->rights) &
			    (changes(io) ? ACL_RW : ACL_RO)))
		return VXHS_ST_DENIED;
	/* v34 has no fences, and nothing says when it must stop. */
	if (!use->lane && x->shared)
		return VXHS_ST_BUSY;
	if (!use->lane)
		return changes(io) && atomic_load(&x->exclusive) ?
		       VXHS_ST_BUSY : VXHS_ST_OK;
	status = lane_verdict(use->lane);
	if (status)
		return status;
	switch (atomic_load(&use->open->state)) {
	case OPEN_REVOKED:
		return VXHS_ST_STALE;
	case OPEN_CLOSED:
		return VXHS_ST_NO_SESSION;
	}
	if (changes(io) && atomic_load(&use->open->mode) == VXHS_OPEN_RO)
		return VXHS_ST_READ_ONLY;
	return VXHS_ST_OK;
}
