// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "export.h"
#include "group.h"
#include "log.h"
#include "store.h"

/** group_wants_locks - is there an export whose lock is not ours? */
bool group_wants_locks(const struct store *st)
{
	struct export *x = NULL;

	while ((x = export_next(x)))
		if (x->store == st && !x->ours)
			return true;
	return false;
}

/** group_has_locks - is there one whose lock is? */
bool group_has_locks(const struct store *st)
{
	struct export *x = NULL;

	while ((x = export_next(x)))
		if (x->store == st && x->ours)
			return true;
	return false;
}

static bool is_used(const struct export *x)
{
	const struct use *u;

	if (x->opens)
		return true;
	for (u = x->uses; u; u = u->next)
		if (atomic_load(&u->inflight))
			return true;
	return false;
}

/** group_is_used - does a session have one open, or is I/O under way? */
bool group_is_used(const struct store *st)
{
	struct export *x = NULL;

	while ((x = export_next(x)))
		if (x->store == st && x->ours && is_used(x))
			return true;
	return false;
}

/* Exports with a reference each; those that are ours, or those that are not. */
static struct export **collect(const struct store *st, bool ours, size_t *n)
{
	struct export *x = NULL, **list;

	*n = 0;
	while ((x = export_next(x)))
		*n += x->store == st && x->ours == ours;
	list = calloc(*n ? *n : 1, sizeof(*list));
	*n = 0;
	if (!list)
		return NULL;
	while ((x = export_next(x))) {
		if (x->store != st || x->ours != ours)
			continue;
		atomic_fetch_add(&x->refs, 1);
		list[(*n)++] = x;
	}
	return list;
}

/* Returns whether all are locked; none is if not. */
static bool lock_all(struct export **list, size_t n)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < n; i++) {
		ret = lock_file(list[i]->fd, F_WRLCK);
		if (ret)
			break;
	}
	if (!ret)
		return true;
	if (ret != -EAGAIN)
		log_peer("export %s: cannot lock %s (%s), so it cannot be shared",
			 list[i]->name, list[i]->spec->target,
			 strerror(-ret));
	while (i--)
		lock_file(list[i]->fd, F_UNLCK);
	return false;
}

/* What the server before has left. */
static void take_up(struct export *x, struct lease *lease, u64 *size)
{
	struct err err = { 0 };

	lease_read(x, lease);
	*size = atomic_load(&x->size);
	if (x->backend->resize(x, x->spec, size, &err))
		log_error("%s", err.text);
	*size -= *size % x->geometry.logical_block;
}

/**
 * group_lock - try to get the locks that are missing
 * @st: its store
 *
 * Return: false if not all of them are free
 */
bool group_lock(struct store *st)
{
	struct lease *leases;
	struct export **list;
	bool got = false;
	u64 *sizes;
	size_t n, i;

	list = collect(st, false, &n);
	control_unlock();
	leases = calloc(n + 1, sizeof(*leases));
	sizes = calloc(n + 1, sizeof(*sizes));
	if (list && leases && sizes)
		got = lock_all(list, n);
	for (i = 0; got && i < n; i++)
		take_up(list[i], &leases[i], &sizes[i]);
	control_lock();
	for (i = 0; i < n; i++) {
		if (got) {
			list[i]->lease = leases[i];
			atomic_store(&list[i]->size, sizes[i]);
			list[i]->ours = true;
		}
		export_put(list[i]);
	}
	if (got)
		log_info("the shared group of %s is served from here",
			 store_dir(st));
	free(sizes);
	free(leases);
	free(list);
	return got;
}

/**
 * group_unlock - nobody uses it; another server may have it
 * @st: its store
 */
void group_unlock(struct store *st)
{
	struct export **list;
	size_t n, i;

	list = collect(st, true, &n);
	for (i = 0; i < n; i++)
		list[i]->ours = false;
	control_unlock();
	store_hide(st);
	for (i = 0; i < n; i++)
		lock_file(list[i]->fd, F_UNLCK);
	if (n)
		log_info("the shared group of %s is let go: nobody uses it",
			 store_dir(st));
	control_lock();
	for (i = 0; i < n; i++)
		export_put(list[i]);
	free(list);
}
