/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A folder in which leases are kept, and the thread that writes them, so that
 * nobody else waits for its disk.
 *
 * If the folder is shared with another server, its exports are a group: one
 * server has the locks of them all, and with them the right to any I/O.  The
 * locks are on the descriptors that do the I/O, so those of a server that was
 * killed last until its I/O has ended.
 */
#ifndef _VXHSD_STORE_H
#define _VXHSD_STORE_H

#include "util.h"

struct export;
struct store;

struct store *store_get(const char *dir, bool shared, struct err *err);
const char *store_dir(const struct store *st);
const u8 *store_group(const struct store *st);
void store_kick(struct store *st);
void store_want(struct store *st);
u64 store_tries(const struct store *st);
void store_hide(struct store *st);
void stores_stop(void);

#endif /* _VXHSD_STORE_H */
