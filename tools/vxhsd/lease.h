/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who may write a vdisk alone, or could last.  The number grows whenever
 * another session gains the right to write, so who comes back with an older
 * one has writes that are history.
 */
#ifndef _VXHSD_LEASE_H
#define _VXHSD_LEASE_H

#include "lease_record.h"

struct export;
struct session;

/**
 * struct lease - under control_lock()
 * @record: what is stored
 * @change: counts the changes of @record, from 1 when it is read
 * @needed: the last change that a restart of the server must know of
 * @stored: the last change that is durable
 * @retry_us: the last write failed; when to try again, or 0
 * @grace_us: until then a held lease waits for an owner who is away; 0 if none
 */
struct lease {
	struct lease_record record;
	u64 change;
	u64 needed;
	u64 stored;
	u64 retry_us;
	u64 grace_us;
};

void lease_read(const struct export *x, struct lease *l);
bool lease_is_stored(const struct export *x);
bool lease_is_held(const struct export *x);
bool lease_is_of(const struct export *x, const struct session *s);
bool lease_waits(const struct export *x, const struct session *s, u32 mode);
void lease_gain(struct export *x, const struct session *s, u32 mode);
void lease_let_go(struct export *x);
void lease_keep_for(struct export *x, u64 us);
void lease_end_grace(struct export *x);

int lease_write(const char *path, const struct lease *lease);
void lease_path(const struct export *x, char *path, size_t size);
void leases_keep(void);

#endif /* _VXHSD_LEASE_H */
