// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "backend.h"
#include "export.h"
#include "flush.h"
#include "identity.h"
#include "log.h"
#include "session.h"
#include "store.h"

#define DISCARD_MAX	(1u << 31)
#define ZEROES_MAX	(1u << 30)

static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;

/* Under control_lock(). */
static struct export *table;
static bool slots_taken[LOOP_FILES];

void control_lock(void)
{
	pthread_mutex_lock(&control);
}

void control_unlock(void)
{
	pthread_mutex_unlock(&control);
}

/**
 * control_wait - wait for a condition, without the lock meanwhile
 * @cond: of the monotonic clock
 * @us: at most so long, 0 for ever
 *
 * Context: control_lock() held.
 */
void control_wait(pthread_cond_t *cond, u64 us)
{
	u64 until = now_us() + us;
	struct timespec ts = {
		.tv_sec = (time_t)(until / 1000000),
		.tv_nsec = (long)(until % 1000000 * 1000),
	};

	if (us)
		pthread_cond_timedwait(cond, &control, &ts);
	else
		pthread_cond_wait(cond, &control);
}

/* Opening and closing */

static const struct backend *choose_backend(const struct export_spec *spec)
{
	struct stat st;

	if (!strcmp(spec->target, "memory"))
		return &backend_memory;
	if (!stat(spec->target, &st) && S_ISBLK(st.st_mode))
		return &backend_blockdev;
	return &backend_file;
}

static int check_target(const struct export_spec *spec, struct err *err)
{
	struct stat st;

	if (!strcmp(spec->target, "memory") || stat(spec->target, &st) ||
	    S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	return err_set(err,
		       "export %s: %s is neither a regular file nor a block device",
		       spec->name, spec->target);
}

static void export_free(struct export *x)
{
	if (x->backend)
		x->backend->close(x);
	if (x->slot >= 0)
		slots_taken[x->slot] = false;
	flush_destroy(x);
	export_spec_free(x->spec);
	free(x);
}

static void take_slot(struct export *x)
{
	int i;

	for (i = 0; i < LOOP_FILES && x->slot < 0; i++)
		if (!slots_taken[i])
			x->slot = i;
	if (x->slot >= 0)
		slots_taken[x->slot] = true;
}

static int finish_geometry(struct export *x, struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;

	if (g->size % g->logical_block)
		return err_set(err,
			       "export %s: its size of %llu bytes is not a multiple of its block size of %u bytes",
			       x->name, (unsigned long long)g->size,
			       g->logical_block);
	if (g->physical_block < g->logical_block)
		g->physical_block = g->logical_block;
	if (g->io_min % g->logical_block)
		g->io_min = g->logical_block;
	if (g->discard_granularity < g->logical_block)
		g->discard_granularity = g->logical_block;
	if (!g->max_discard)
		g->max_discard = DISCARD_MAX;
	if (!g->max_write_zeroes)
		g->max_write_zeroes = ZEROES_MAX;
	if (x->read_only) {
		g->caps &= ~(u32)(VXHS_CAP_DISCARD | VXHS_CAP_WRITE_ZEROES);
		g->caps |= VXHS_CAP_READ_ONLY;
	}
	memcpy(g->vdisk_id, x->vdisk_id, 16);
	atomic_store(&x->size, g->size);
	return 0;
}

static int find_store(struct export *x, struct err *err)
{
	const char *dir = x->spec->shared ? x->spec->shared : state_dir();
	struct err why = { 0 };

	x->shared = x->spec->shared;
	if (!dir)
		return 0;
	x->store = store_get(dir, x->shared, &why);
	if (x->store)
		return 0;
	return err_set(err, "export %s: %s", x->name, why.text);
}

static struct export *export_open(const struct export_spec *spec,
				  struct err *err)
{
	struct export *x;

	if (check_target(spec, err))
		return NULL;
	x = calloc(1, sizeof(*x));
	if (!x) {
		err_set(err, "export %s: not enough memory", spec->name);
		return NULL;
	}
	memcpy(x->name, spec->name, sizeof(x->name));
	x->fd = -1;
	x->sync_fd = -1;
	x->dio_align = 1;
	x->read_only = spec->read_only;
	x->write_through = spec->write_through;
	x->slot = -1;
	flush_init(x);
	x->spec = export_spec_dup(spec);
	if (!x->spec) {
		err_set(err, "export %s: not enough memory", spec->name);
		goto fail;
	}
	if (find_store(x, err))
		goto fail;
	x->backend = choose_backend(spec);
	if (x->backend->open(x, spec, err))
		goto fail;
	if (x->backend == &backend_memory) {
		identity_derived(x);
	} else {
		losses_load(x);
		atomic_store(&x->verifier, verifier_now(x));
	}
	if (finish_geometry(x, err))
		goto fail;
	if (x->fd >= 0) {
		control_lock();
		take_slot(x);
		control_unlock();
	}
	if (!x->shared) {
		lease_read(x, &x->lease);
		x->ours = true;
		export_update_exclusive(x);
	}
	atomic_store(&x->refs, 1);
	return x;

fail:
	export_free(x);
	return NULL;
}

static struct export *find_in(struct export *list, const char *name)
{
	struct export *x;

	for (x = list; x; x = x->next)
		if (!strcmp(x->name, name) && atomic_load(&x->refs))
			return x;
	return NULL;
}

static int check_unique(const struct export *list, const struct export *x,
			struct err *err)
{
	const struct export *y;

	for (y = list; y; y = y->next)
		if (y != x && !memcmp(y->vdisk_id, x->vdisk_id, 16))
			return err_set(err,
				       "exports %s and %s have the same vdisk id; give one of them another with id=UUID",
				       y->name, x->name);
	return 0;
}

static void free_all(struct export *list)
{
	while (list) {
		struct export *next = list->next;

		export_free(list);
		list = next;
	}
}

/* Open what the specs ask for and the table does not have. */
static int open_new(const struct export_spec *specs, struct export **fresh,
		    struct err *err)
{
	const struct export_spec *spec;
	struct export *x;

	*fresh = NULL;
	for (spec = specs; spec; spec = spec->next) {
		control_lock();
		x = find_in(table, spec->name);
		if (x && !export_spec_resized(x->spec, spec)) {
			control_unlock();
			return err_set(err,
				       "export %s: it was changed; remove it, reload, and add it again when nobody uses it",
				       spec->name);
		}
		control_unlock();
		if (x)
			continue;
		x = export_open(spec, err);
		if (!x)
			return -1;
		x->next = *fresh;
		*fresh = x;
		control_lock();
		if (check_unique(table, x, err) ||
		    check_unique(*fresh, x, err)) {
			control_unlock();
			return -1;
		}
		control_unlock();
	}
	return 0;
}

static bool wanted(const struct export_spec *specs, const char *name)
{
	for (; specs; specs = specs->next)
		if (!strcmp(specs->name, name))
			return true;
	return false;
}

/* Under control_lock().  The table's own reference follows @removed. */
static void set_removed(struct export *x, bool removed)
{
	if (atomic_load(&x->removed) == removed)
		return;
	log_info("export %s: %s", x->name,
		 removed ? "removed" : "back again");
	atomic_store(&x->removed, removed);
	if (removed)
		atomic_fetch_sub(&x->refs, 1);
	else
		atomic_fetch_add(&x->refs, 1);
}

/* Whoever has it open is told, and reads the truth with OPEN. */
static void set_size(struct export *x, u64 size)
{
	u64 old = atomic_load(&x->size);
	struct open *o;

	if (size == old)
		return;
	if (size < old)
		log_warn("export %s: it SHRANK from %llu to %llu bytes; what was behind that is gone for those who use it",
			 x->name, (unsigned long long)old,
			 (unsigned long long)size);
	else
		log_info("export %s: it grew from %llu to %llu bytes", x->name,
			 (unsigned long long)old, (unsigned long long)size);
	control_lock();
	atomic_store(&x->size, size);
	for (o = x->opens; o; o = o->next)
		if (o->epoch == atomic_load(&o->session->epoch))
			session_event(o->session, VXHS_EV_RESIZED, o->handle);
	control_unlock();
}

static void resize(struct export *x, const struct export_spec *spec)
{
	u32 block = x->geometry.logical_block;
	struct err err = { 0 };
	bool ours;
	u64 size;

	if (spec->size % block) {
		log_error("export %s: it keeps its size: %llu bytes are not a multiple of its block size of %u bytes",
			  x->name, (unsigned long long)spec->size, block);
		return;
	}
	control_lock();
	ours = x->ours;
	control_unlock();
	/* It is looked at again before anybody uses it here. */
	if (ours && x->backend->resize(x, spec, &size, &err)) {
		log_error("%s; it keeps its size", err.text);
		return;
	}
	control_lock();
	x->spec->size = spec->size;
	control_unlock();
	if (!ours)
		return;
	set_size(x, size - size % block);
}

/* The table changes in this thread alone. */
static void resize_all(const struct export_spec *specs)
{
	struct export *x;

	for (; specs; specs = specs->next) {
		x = find_in(table, specs->name);
		if (x)
			resize(x, specs);
	}
}

/* Under control_lock().  Who has lost a right loses what he has by it. */
static void set_list(struct export *x, struct export_spec *spec)
{
	struct acl *old = x->spec->allow;

	x->spec->allow = spec->allow;
	spec->allow = old;
	open_review(x);
}

/* What is removed keeps nobody out who was let in: it only ends. */
static void set_lists(struct export_spec *specs)
{
	struct export *x;

	for (; specs; specs = specs->next) {
		x = find_in(table, specs->name);
		if (x)
			set_list(x, specs);
	}
}

/**
 * exports_reload - make the exports what the configuration says, the first
 * time and later
 * @config: complete, command line included; its lists of rights are taken
 * @err: why nothing was changed
 *
 * What is no longer there takes no new OPEN and goes when nobody uses it.
 * What has another size shows it, and tells those who have it open.
 *
 * Return: 0, or -1 with the old set kept
 */
int exports_reload(const struct config *config, struct err *err)
{
	struct export *fresh, *x;

	exports_sweep();
	if (open_new(config->exports, &fresh, err)) {
		control_lock();
		free_all(fresh);
		control_unlock();
		return -1;
	}
	control_lock();
	for (x = table; x; x = x->next)
		if (atomic_load(&x->refs))
			set_removed(x, !wanted(config->exports, x->name));
	set_lists(config->exports);
	while (fresh) {
		x = fresh;
		fresh = x->next;
		x->next = table;
		table = x;
		log_info("export %s: %s %s, %llu bytes%s%s%s%s", x->name,
			 x->backend->name, x->spec->target,
			 (unsigned long long)x->geometry.size,
			 x->read_only ? ", read-only" : "",
			 x->write_through ? ", cache=none" : "",
			 x->shared ? ", shared by " : "",
			 x->shared ? x->spec->shared : "");
	}
	control_unlock();
	resize_all(config->exports);
	return 0;
}

/**
 * exports_sweep - close what was removed and is not used any more; end the
 * time in which a vdisk waits for its owner
 */
void exports_sweep(void)
{
	struct export **pos, *x, *dead = NULL;

	control_lock();
	for (pos = &table; (x = *pos); ) {
		if (atomic_load(&x->refs)) {
			if (x->ours)
				export_end_grace(x);
			if (!x->opens && atomic_load(&x->exclusive))
				export_update_exclusive(x);
			pos = &x->next;
			continue;
		}
		*pos = x->next;
		x->next = dead;
		dead = x;
	}
	free_all(dead);
	control_unlock();
}

/**
 * exports_sync - make all exports durable; may block as long as a disk
 *
 * Return: false if one could not be
 */
bool exports_sync(void)
{
	struct export *x;
	bool ok = true;

	for (x = table; x; x = x->next) {
		int ret = x->backend->sync ? x->backend->sync(x) : 0;

		if (!ret)
			continue;
		log_error("export %s: cannot make it durable: %s", x->name,
			  strerror(-ret));
		export_lost_writes(x);
		ok = false;
	}
	return ok;
}

/** exports_close - all loops have ended */
void exports_close(void)
{
	free_all(table);
	table = NULL;
}

/**
 * export_find - the export of a name
 * @name: NUL-terminated
 *
 * Context: control_lock() held.
 * Return: the export, without a reference, or NULL
 */
struct export *export_find(const char *name)
{
	struct export *x = find_in(table, name);

	return x && !atomic_load(&x->removed) ? x : NULL;
}

/**
 * export_find_for - the export of a name, if it exists for somebody
 * @who: his identity; NULL without TLS
 * @name: the name
 * @rights: his
 *
 * What he has no right to he cannot tell from what is not there.
 *
 * Context: control_lock() held.
 */
struct export *export_find_for(const char *who, const char *name,
			       unsigned int *rights)
{
	struct export *x = export_find(name);

	*rights = x ? acl_rights(x->spec->allow, who) : 0;
	return *rights ? x : NULL;
}

/**
 * export_tries - how often the locks of a shared export were asked for
 * @name: of the export
 *
 * Context: control_lock() held.
 */
u64 export_tries(const char *name)
{
	const struct export *x = export_find(name);

	return x && x->shared ? store_tries(x->store) : 0;
}

/**
 * export_next - go through all exports
 * @x: the one before, or NULL
 *
 * Context: control_lock() held.
 */
struct export *export_next(struct export *x)
{
	x = x ? x->next : table;
	while (x && !atomic_load(&x->refs))
		x = x->next;
	return x;
}

/**
 * export_unstored - an export whose lease is to be written
 * @st: to there
 * @wait_us: how soon there will be one that failed before, 0 for never
 *
 * Context: control_lock() held.
 * Return: the export, with a reference, or NULL
 */
struct export *export_unstored(const struct store *st, u64 *wait_us)
{
	struct export *x = NULL, *found = NULL;
	u64 now = now_us();

	*wait_us = 0;
	while ((x = export_next(x))) {
		if (x->store != st || !x->ours || x->lease.change == 1 ||
		    x->lease.stored == x->lease.change)
			continue;
		/* One that fails keeps none of the others waiting. */
		if (x->lease.retry_us > now) {
			*wait_us = sooner(*wait_us, x->lease.retry_us - now);
			continue;
		}
		/* Those first for which somebody waits. */
		if (!found || lease_is_stored(found))
			found = x;
	}
	if (found)
		atomic_fetch_add(&found->refs, 1);
	return found;
}

void export_put(struct export *x)
{
	atomic_fetch_sub(&x->refs, 1);
}

/**
 * export_lost_writes - a writeback failed: what was answered may be gone
 * @x: the export; its verifier is another from now on
 */
void export_lost_writes(struct export *x)
{
	atomic_fetch_add(&x->losses, 1);
	atomic_store(&x->verifier, verifier_now(x));
	losses_store(x);
	log_error("export %s: a writeback failed; acknowledged writes may be lost",
		  x->name);
}
