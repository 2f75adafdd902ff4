// SPDX-License-Identifier: GPL-2.0
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "lease.h"
#include "log.h"
#include "store.h"

#define RETRY_US	500000

/**
 * struct store - a folder and its thread
 * @dir: constant
 * @thread: constant
 * @kick: there may be something to do; with control_lock()
 * @failing: the last lease could not be written
 * @quit: end when all is written
 */
struct store {
	struct store *next;
	char *dir;
	pthread_t thread;
	pthread_cond_t kick;

	/* Under control_lock(). */
	bool failing;
	bool quit;
};

/* Under control_lock(). */
static struct store *stores;

const char *store_dir(const struct store *st)
{
	return st->dir;
}

/** store_kick - there is something to write; control_lock() held */
void store_kick(struct store *st)
{
	pthread_cond_signal(&st->kick);
}

/* Under control_lock(), which is let go meanwhile. */
static void write_lease(struct store *st, struct export *x)
{
	struct lease copy = x->lease;
	char path[4200];
	int ret;

	lease_path(x, path, sizeof(path));
	control_unlock();
	ret = lease_write(path, &copy);
	control_lock();
	if (!ret) {
		x->lease.stored = copy.change;
	} else if (!st->failing) {
		log_error("export %s: cannot write its lease to %s (%s); no vdisk can be opened for writing until that works",
			  x->name, path, strerror(-ret));
	}
	st->failing = ret;
	export_put(x);
}

static void *store_run(void *arg)
{
	struct store *st = arg;
	struct export *x;

	control_lock();
	for (;;) {
		x = export_unstored(st);
		if (x)
			write_lease(st, x);
		if (st->quit && (!x || st->failing))
			break;
		if (st->failing)
			control_wait(&st->kick, RETRY_US);
		else if (!x)
			control_wait(&st->kick, 0);
	}
	control_unlock();
	return NULL;
}

static struct store *store_new(const char *dir)
{
	struct store *st = calloc(1, sizeof(*st));
	pthread_condattr_t attr;

	if (!st)
		return NULL;
	st->dir = strdup(dir);
	if (!st->dir)
		goto fail;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&st->kick, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&st->thread, NULL, store_run, st)) {
		pthread_cond_destroy(&st->kick);
		goto fail;
	}
	st->next = stores;
	stores = st;
	return st;

fail:
	free(st->dir);
	free(st);
	return NULL;
}

/**
 * store_get - the store of a folder
 * @dir: exists
 *
 * Return: the store, which stays until stores_stop(), or NULL without memory
 */
struct store *store_get(const char *dir)
{
	struct store *st;

	control_lock();
	for (st = stores; st && strcmp(st->dir, dir); )
		st = st->next;
	if (!st)
		st = store_new(dir);
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
		free(st->dir);
		free(st);
		control_lock();
	}
	control_unlock();
}
