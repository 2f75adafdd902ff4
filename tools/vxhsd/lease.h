/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may write a vdisk alone, or could last.  The number grows whenever
 * another session gains the right to write, so who comes back with an older
 * one has writes that are history.
 */
#ifndef _VXHSD_LEASE_H
#define _VXHSD_LEASE_H

#include "util.h"

struct export;
struct session;

/**
 * struct lease - under control_lock()
 * @number: never 0
 * @session: the owner; 0 when sessions that share have come after it
 * @host: the owner's host
 * @kato_ms: the owner's
 * @held: the owner has the vdisk open, or had when the server ended
 * @wanted: somebody waits for it to be stored, or did
 * @change: of the fields above but @wanted; counts them
 * @stored: the last change that is durable
 * @grace_us: until then a held lease waits for an owner who is away
 */
struct lease {
	u64 number;
	u64 session;
	u8 host[16];
	u32 kato_ms;
	bool held;
	bool wanted;
	u64 change;
	u64 stored;
	u64 grace_us;
};

void lease_read(const struct export *x, struct lease *l);
bool lease_is_stored(const struct export *x);
bool lease_is_of(const struct export *x, const struct session *s);
bool lease_waits(const struct export *x, const struct session *s, u32 mode);
void lease_gain(struct export *x, const struct session *s, u32 mode);
void lease_let_go(struct export *x);
void lease_keep_for(struct export *x, u64 us);

int lease_write(const char *path, const struct lease *lease);
void lease_path(const struct export *x, char *path, size_t size);
void leases_keep(void);

#endif /* _VXHSD_LEASE_H */
