/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buffers for I/O, page-aligned, of one loop.  No lock: only the loop's
 * thread calls.  What is lent out at a time is bounded, so that no number of
 * clients can make the server's memory grow without end.
 */
#ifndef _VXHSD_POOL_H
#define _VXHSD_POOL_H

#include "util.h"

#define POOL_ALIGN	4096
#define POOL_CLASSES	9	/* 4 KiB, 8 KiB ... 1 MiB */

struct pool {
	void *free[POOL_CLASSES];	/* linked through their first word */
	size_t kept;			/* bytes in the lists above */
	size_t lent;			/* bytes with I/O, struct io included */
	size_t limit;			/* of @lent */
};

void pool_init(struct pool *pool, size_t limit);
void pool_destroy(struct pool *pool);
void *pool_get(struct pool *pool, size_t size);
bool pool_short(const struct pool *pool, size_t size);
void pool_put(struct pool *pool, void *buf, size_t size);

#endif /* _VXHSD_POOL_H */
