/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buffers for I/O, page-aligned, of one loop.  No lock: only the loop's
 * thread calls.  What is lent out at a time is bounded, so that no number of
 * clients can make the server's memory grow without end.
 *
 * A few are pinned: the kernel knows their pages once and for all, which
 * saves direct I/O to look for them each time.
 */
#ifndef _VXHSD_POOL_H
#define _VXHSD_POOL_H

#include <stdint.h>

#include "util.h"

#define POOL_ALIGN	4096
#define POOL_CLASSES	9	/* 4 KiB, 8 KiB ... 1 MiB */
#define PINNED_CLASSES	6	/* to 128 KiB */
#define PINNED_EACH	((size_t)1 << 20) /* bytes for each of them */
#define PINNED_SIZE	(PINNED_CLASSES * PINNED_EACH)

struct pool {
	void *free[POOL_CLASSES];	/* linked through their first word */
	void *free_pinned[PINNED_CLASSES];
	u8 *pinned;			/* PINNED_SIZE bytes, or NULL */
	size_t kept;			/* bytes in the lists above */
	size_t lent;			/* bytes with I/O, struct io included */
	size_t limit;			/* of @lent */
};

void pool_init(struct pool *pool, size_t limit);
void pool_destroy(struct pool *pool);
void pool_take_pinned(struct pool *pool, u8 *mem);
void *pool_get(struct pool *pool, size_t size, bool pinned);
bool pool_short(const struct pool *pool, size_t size);
void pool_put(struct pool *pool, void *buf, size_t size);

static inline bool pool_is_pinned(const struct pool *pool, const void *buf)
{
	return pool->pinned &&
	       (uintptr_t)buf - (uintptr_t)pool->pinned < PINNED_SIZE;
}

#endif /* _VXHSD_POOL_H */
