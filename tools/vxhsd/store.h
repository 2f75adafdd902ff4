/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A folder in which leases are kept, and the thread that writes them, so that
 * nobody else waits for its disk.
 */
#ifndef _VXHSD_STORE_H
#define _VXHSD_STORE_H

#include "util.h"

struct export;
struct store;

struct store *store_get(const char *dir);
const char *store_dir(const struct store *st);
void store_kick(struct store *st);
void stores_stop(void);

#endif /* _VXHSD_STORE_H */
