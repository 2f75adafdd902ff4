// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"
#include "group.h"
#include "identity.h"
#include "lease.h"
#include "log.h"
#include "serving.h"
#include "store.h"

#define RETRY_US	500000	/* to write a lease, after a failure */
#define LOOK_US		100000	/* is a group still used? */
#define TRY_US		50000	/* are its locks free now? */
#define WANTED_US	1000000	/* after the last OPEN that asked for them */
#define IDLE_US		500000	/* before locks that nobody uses are let go */

/**
 * struct store - a folder and its thread
 * @dir: constant
 * @shared: other servers use it, too; constant
 * @id: of the group of exports, if shared; constant
 * @thread: constant
 * @serving: from serving_begin(), or negative; the thread's, if there is one
 * @serve_by_us: when to complain that it is not; the thread's
 * @kick: there may be something to do; with control_lock()
 * @quit: end when all is written
 * @wanted_us: when somebody last asked for the locks
 * @used_us: when somebody last used an export of ours
 * @tries: how often the locks were asked for
 */
struct store {
	struct store *next;
	char *dir;
	bool shared;
	u8 id[16];
	pthread_t thread;
	int serving;
	u64 serve_by_us;
	pthread_cond_t kick;

	/* Under control_lock(). */
	bool quit;
	u64 wanted_us;
	u64 used_us;
	u64 tries;
};

/* Under control_lock(). */
static struct store *stores;

const char *store_dir(const struct store *st)
{
	return st->dir;
}

/** store_group - the id of a shared folder, the same for all its servers */
const u8 *store_group(const struct store *st)
{
	return st->id;
}

/** store_kick - there is something to do; control_lock() held */
void store_kick(struct store *st)
{
	pthread_cond_signal(&st->kick);
}

/** store_want - somebody wants a group whose locks are not ours */
void store_want(struct store *st)
{
	st->wanted_us = now_us();
	store_kick(st);
}

/** store_tries - another number when store_want() has had an effect, or not */
u64 store_tries(const struct store *st)
{
	return st->tries;
}

/* Under control_lock(), which is let go meanwhile. */
static void write_lease(struct export *x)
{
	struct lease copy = x->lease;
	char path[4200];
	int ret;

	lease_path(x, path, sizeof(path));
	control_unlock();
	ret = lease_write(path, &copy);
	control_lock();
	if (!ret)
		x->lease.stored = copy.change;
	else if (!x->lease.retry_us)
		log_error("export %s: cannot write its lease to %s (%s); the vdisk cannot be opened for writing until that works",
			  x->name, path, strerror(-ret));
	x->lease.retry_us = ret ? now_us() + RETRY_US : 0;
	export_put(x);
}

/*
 * Under control_lock(), which is let go meanwhile.  Returns how soon to look
 * again, 0 for never.
 */
static u64 watch_group(struct store *st)
{
	u64 now = now_us();

	if (group_wants_locks(st) && now < st->wanted_us + WANTED_US) {
		if (group_lock(st))
			st->used_us = now_us();
		st->tries++;
		return TRY_US;
	}
	if (!group_has_locks(st))
		return 0;
	if (group_is_used(st))
		st->used_us = now;
	else if (now > st->used_us + IDLE_US)
		group_unlock(st);
	return LOOK_US;
}

/**
 * store_hide - who looks at the leases does not see us any more
 *
 * Before another server may have them, for only one can be seen.
 *
 * Context: the store's thread; may block as long as a disk.
 */
void store_hide(struct store *st)
{
	if (st->serving >= 0)
		serving_end(st->serving);
	st->serving = -1;
	st->serve_by_us = 0;
}

/*
 * Under control_lock(), which is let go meanwhile.  Tells who looks at the
 * leases that they are ours now, or no longer.  That must not stand in the way
 * of anybody, so it is tried again.  Returns how soon, 0 for never.
 */
static u64 show_ours(struct store *st)
{
	bool ours = !st->shared || group_has_locks(st);
	int ret;

	if (ours == (st->serving >= 0))
		return 0;
	control_unlock();
	if (!ours) {
		store_hide(st);
		control_lock();
		return 0;
	}
	if (!st->serve_by_us)
		st->serve_by_us = now_us() + LINGER_US;
	ret = serving_begin(st->dir, server_instance());
	if (ret < 0 && now_us() > st->serve_by_us) {
		log_warn("cannot lock %s/" SERVING_FILE " (%s), so vxhsctl leases does not tell of this server%s",
			 st->dir, ret == -EAGAIN ?
			 "another process has" : strerror(-ret),
			 st->shared ? "" :
			 "; each needs a state directory of its own");
		st->serve_by_us = ~0ULL;
	}
	control_lock();
	st->serving = ret;
	return ret < 0 ? RETRY_US : 0;
}

static void *store_run(void *arg)
{
	struct store *st = arg;
	struct export *x;
	u64 wait, shown, retry;

	control_lock();
	for (;;) {
		/* First, for who reads a lease looks there. */
		shown = show_ours(st);
		x = export_unstored(st, &retry);
		if (x) {
			write_lease(x);
			continue;
		}
		if (st->quit)
			break;
		wait = st->shared ? watch_group(st) : 0;
		control_wait(&st->kick, sooner(wait, sooner(shown, retry)));
	}
	control_unlock();
	return NULL;
}

/*
 * Whoever comes first names the group.  A folder that is not there is never
 * made: it may be that of a filesystem that is not mounted.
 */
static int find_group(struct store *st, struct err *err)
{
	char path[4200], tmp[4300], line[64], text[UUID_TEXT];
	int ret;

	snprintf(path, sizeof(path), "%s/group", st->dir);
	if (read_line(path, line, sizeof(line)) && uuid_parse(line, st->id))
		return 0;
	snprintf(tmp, sizeof(tmp), "%s.%ld", path, (long)getpid());
	if (!uuid_random(st->id))
		return err_set(err, "no random numbers");
	uuid_format(st->id, text);
	ret = write_line(tmp, text);
	if (!ret && link(tmp, path) && errno != EEXIST)
		ret = -errno;
	unlink(tmp);
	if (!ret && read_line(path, line, sizeof(line)) &&
	    uuid_parse(line, st->id))
		return 0;
	return err_set(err, "cannot keep the id of a shared group in %s: %s",
		       path, ret ? strerror(-ret) : "it is damaged");
}

static void store_free(struct store *st)
{
	store_hide(st);
	free(st->dir);
	free(st);
}

static struct store *store_new(const char *dir, bool shared, struct err *err)
{
	struct store *st = calloc(1, sizeof(*st));
	pthread_condattr_t attr;

	if (!st)
		goto no_memory;
	st->shared = shared;
	st->serving = -1;
	st->dir = strdup(dir);
	if (!st->dir)
		goto no_memory;
	if (shared && find_group(st, err)) {
		store_free(st);
		return NULL;
	}
	/* If that fails the thread tries again. */
	if (!shared)
		st->serving = serving_begin(dir, server_instance());
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&st->kick, &attr);
	pthread_condattr_destroy(&attr);
	if (!pthread_create(&st->thread, NULL, store_run, st))
		return st;
	pthread_cond_destroy(&st->kick);

no_memory:
	if (st)
		store_free(st);
	err_set(err, "not enough memory");
	return NULL;
}

/**
 * store_get - the store of a folder
 * @dir: exists
 * @shared: with other servers; its exports are a group
 * @err: what went wrong
 *
 * Context: the main thread.
 * Return: the store, which stays until stores_stop(), or NULL
 */
struct store *store_get(const char *dir, bool shared, struct err *err)
{
	struct store *st;

	for (st = stores; st; st = st->next)
		if (!strcmp(st->dir, dir) && st->shared == shared)
			return st;
	st = store_new(dir, shared, err);
	if (!st)
		return NULL;
	control_lock();
	st->next = stores;
	stores = st;
	control_unlock();
	return st;
}

/** stores_stop - write what is left, end the threads; may block like a disk */
void stores_stop(void)
{
	struct store *st;

	control_lock();
	while ((st = stores)) {
		stores = st->next;
		st->quit = true;
		store_kick(st);
		control_unlock();
		pthread_join(st->thread, NULL);
		pthread_cond_destroy(&st->kick);
		store_free(st);
		control_lock();
	}
	control_unlock();
}
