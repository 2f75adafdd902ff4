/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Exports: the vdisks that clients can name, who has them open, and how.
 *
 * control_lock() protects everything here that is not said to be otherwise.
 * It is taken for control operations only (STAT, LOGIN, OPEN, CLOSE, a
 * connection's end), never for I/O, and nobody who holds it waits for a disk.
 */
#ifndef _VXHSD_EXPORT_H
#define _VXHSD_EXPORT_H

#include <pthread.h>
#include <stdatomic.h>

#include "config.h"
#include "lease.h"
#include "util.h"

struct backend;
struct io;
struct lane;
struct loop;
struct session;
struct store;

/**
 * struct flush_queue - FLUSHes of one export; see flush.c
 * @lock: protects the other fields
 * @running: the FLUSH whose fdatasync runs carries those in @batch
 * @batch: answered when it ends
 * @waiting: came later; the next fdatasync is theirs
 */
struct flush_queue {
	pthread_mutex_t lock;
	bool running;
	struct io *batch;
	struct io *waiting;
	struct io **waiting_tail;
};

struct export {
	/* Constant while the export lives. */
	char name[VXHS_NAME_MAX + 1];
	const struct backend *backend;
	struct export_spec *spec;
	struct store *store;		/* of its lease; NULL if nothing is kept */
	bool shared;			/* with other servers, as is the store */
	bool read_only;
	bool write_through;		/* cache=none */
	u8 vdisk_id[16];
	struct vxhs_geometry geometry;	/* without handle, lease and size */
	int slot;			/* of the loops' registered files, -1 */

	/* The backend's, constant while the export lives. */
	int fd;				/* for I/O; holds the lock */
	int sync_fd;			/* for FLUSH alone, see flush.c */
	u8 *mem;
	u64 mem_reserved;		/* bytes of @mem that it may grow to */
	u32 dio_align;			/* bytes; 1 where anything goes */
	bool can_punch;

	/* Any thread, without the lock. */
	atomic_uint refs;
	_Atomic u64 size;		/* bytes */
	_Atomic u64 verifier;
	atomic_uint losses;		/* writebacks that failed */
	atomic_bool exclusive;		/* some session has it so */
	atomic_bool removed;		/* no longer in the configuration */
	struct flush_queue flushes;

	/* Under control_lock(). */
	struct export *next;
	struct open *opens;
	struct use *uses;
	struct lease lease;
	bool ours;			/* always, unless it is shared */
};

enum open_state {
	OPEN_LIVE,
	OPEN_REVOKED,			/* taken over: final */
	OPEN_CLOSED,
};

/**
 * struct open - a session has a vdisk open
 * @next: of the same export
 * @since_us: when the session got it, this epoch or earlier
 * @refs: the session's and one per use
 * @state: enum open_state; read without the lock by every I/O
 * @mode: enum vxhs_open_mode; read without the lock by every I/O
 */
struct open {
	struct open *next;
	struct export *export;
	struct session *session;	/* NULL once the session let go */
	u64 session_id;
	u64 since_us;
	u32 epoch;
	u32 handle;
	atomic_uint refs;
	atomic_uint state;
	atomic_uint mode;
};

/**
 * struct use - a connection uses a vdisk
 * @next: of the same export; under control_lock()
 * @open: NULL for v34
 * @lane: NULL for v34
 * @loop: the connection's
 * @refs: the connection's and one per I/O; the loop's thread only
 * @who: the connection's identity, for v34 with TLS, else NULL
 * @rights: for v34; written under control_lock(), read by every I/O
 * @inflight: I/O that may still change the vdisk; written by the loop's
 *	thread, read by whoever waits for a fence.  It is raised before and
 *	looked at after what can forbid the I/O is looked at or changed, both
 *	with sequential consistency, so one of the two sides always notices.
 */
struct use {
	struct use *next;
	struct export *export;
	struct open *open;
	struct lane *lane;
	struct loop *loop;
	unsigned int refs;
	const char *who;
	atomic_uint rights;
	atomic_uint inflight;
};

void control_lock(void);
void control_unlock(void);
void control_wait(pthread_cond_t *cond, u64 us);

int exports_reload(const struct config *config, struct err *err);
bool exports_sync(void);
void exports_close(void);

void exports_sweep(void);

struct export *export_find(const char *name);
struct export *export_find_for(const char *who, const char *name,
			       unsigned int *rights);
u64 export_tries(const char *name);
struct export *export_next(struct export *x);
struct export *export_unstored(const struct store *st, u64 *wait_us);
void export_put(struct export *x);
void export_lost_writes(struct export *x);

enum vxhs_status open_vdisk(struct session *s, u32 epoch,
			    const struct vxhs_open *want, struct open **out,
			    bool *fresh);
void export_update_exclusive(struct export *x);
void export_end_grace(struct export *x);
void open_release(struct open *o);
void open_review(struct export *x);
void open_put(struct open *o);
void open_give_up(struct open *o);
bool open_must_wait(const struct open *o);

struct use *use_new(struct loop *loop, struct export *x, struct open *open,
		    struct lane *lane, const char *who);
void use_put(struct use *use);
u16 use_verdict(const struct use *use, const struct io *io);

#endif /* _VXHSD_EXPORT_H */
