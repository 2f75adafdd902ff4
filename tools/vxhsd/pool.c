// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "pool.h"

#define KEEP_MAX	(16 << 20)	/* bytes that wait for the next user */

/* The size class, or -1 for what is too large to be worth keeping. */
static int class_of(size_t size)
{
	int class = 0;

	while ((size_t)POOL_ALIGN << class < size)
		if (++class == POOL_CLASSES)
			return -1;
	return class;
}

static size_t real_size(size_t size, int class)
{
	if (class >= 0)
		return (size_t)POOL_ALIGN << class;
	return (size + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
}

static void push(void **list, void *buf)
{
	memcpy(buf, list, sizeof(void *));
	*list = buf;
}

static void *pop(void **list)
{
	void *buf = *list;

	if (buf)
		memcpy(list, buf, sizeof(void *));
	return buf;
}

/**
 * pool_init - begin with nothing
 * @pool: of a loop
 * @limit: bytes that may be lent out at a time
 */
void pool_init(struct pool *pool, size_t limit)
{
	memset(pool, 0, sizeof(*pool));
	pool->limit = limit;
}

/** pool_destroy - give back what waits; everything lent came back before */
void pool_destroy(struct pool *pool)
{
	int class;

	for (class = 0; class < POOL_CLASSES; class++) {
		void *buf;

		while ((buf = pop(&pool->free[class])))
			free(buf);
	}
	if (pool->pinned)
		munmap(pool->pinned, PINNED_SIZE);
}

/**
 * pool_take_pinned - have pinned buffers
 * @pool: had none
 * @mem: PINNED_SIZE bytes from mmap(), known to the kernel; the pool's from now
 *	on
 */
void pool_take_pinned(struct pool *pool, u8 *mem)
{
	size_t at = 0;

	pool->pinned = mem;
	while (at < PINNED_SIZE) {
		int class = (int)(at / PINNED_EACH);

		push(&pool->free_pinned[class], mem + at);
		at += (size_t)POOL_ALIGN << class;
	}
}

/**
 * pool_get - a buffer for one I/O
 * @pool: of this thread's loop
 * @size: bytes, at least 1
 * @pinned: a pinned one, if there is one left
 *
 * Return: page-aligned memory with arbitrary content, or NULL when the limit
 * is reached: ask again when something was put back
 */
void *pool_get(struct pool *pool, size_t size, bool pinned)
{
	int class = class_of(size);
	void *buf = NULL;

	size = real_size(size, class);
	if (pool->lent + size > pool->limit)
		return NULL;
	if (pinned && class >= 0 && class < PINNED_CLASSES)
		buf = pop(&pool->free_pinned[class]);
	if (!buf && class >= 0) {
		buf = pop(&pool->free[class]);
		if (buf)
			pool->kept -= size;
	}
	if (!buf)
		buf = aligned_alloc(POOL_ALIGN, size);
	if (buf)
		pool->lent += size;
	return buf;
}

/**
 * pool_short - would this take of the last eighth, which is kept back?
 * @pool: of this thread's loop
 * @size: bytes
 */
bool pool_short(const struct pool *pool, size_t size)
{
	return pool->lent + size > pool->limit - pool->limit / 8;
}

/**
 * pool_put - give a buffer back
 * @pool: where it came from
 * @buf: from pool_get()
 * @size: as it was asked for
 */
void pool_put(struct pool *pool, void *buf, size_t size)
{
	int class = class_of(size);

	size = real_size(size, class);
	pool->lent -= size;
	if (pool_is_pinned(pool, buf)) {
		push(&pool->free_pinned[class], buf);
		return;
	}
	if (class < 0 || pool->kept + size > KEEP_MAX) {
		free(buf);
		return;
	}
	push(&pool->free[class], buf);
	pool->kept += size;
}
