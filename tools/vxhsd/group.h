/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exports of a shared store: all of them are ours or none is.  One that
 * comes later, by a reload, is ours when its lock is.
 *
 * Everything here is called by the store's thread under control_lock(), which
 * group_lock() and group_unlock() let go meanwhile.
 */
#ifndef _VXHSD_GROUP_H
#define _VXHSD_GROUP_H

#include "util.h"

struct store;

bool group_wants_locks(const struct store *st);
bool group_has_locks(const struct store *st);
bool group_is_used(const struct store *st);
bool group_lock(struct store *st);
void group_unlock(struct store *st);

#endif /* _VXHSD_GROUP_H */
