// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "memory.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER	57
#endif

#define HEAP		(8 << 20)	/* bytes in stock */
#define STACK		(256 << 10)	/* bytes that we never go beyond */

/**
 * memory_seal() - leave no trace of keys outside of memory
 *
 * No core dump, and no other process of the same user may look.
 */
void memory_seal(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

static void touch_stack(void)
{
	volatile char stack[STACK];
	size_t i;

	for (i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
}

/**
 * memory_lock() - from here on need no disk
 * @err: why not
 *
 * All code and data stays in memory, the heap has something in stock and
 * keeps it, and an allocation does not wait for writeback.
 *
 * Return: 0 or -1
 */
int memory_lock(struct err *err)
{
	void *stock;

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return err_set(err, "cannot lock itself in memory: %s; it needs CAP_IPC_LOCK, or --no-lock where no disk that it serves holds the system",
			       strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		return err_set(err, "cannot tell the kernel not to wait for writeback: %s; it needs CAP_SYS_RESOURCE, or --no-lock where no disk that it serves holds the system",
			       strerror(errno));
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, 2 * HEAP);
	stock = malloc(HEAP);
	if (!stock)
		return err_set(err, "not enough memory");
	memset(stock, 1, HEAP);
	/* A compiler that sees only free() might leave the memset() out. */
	__asm__ volatile("" : : "r" (stock) : "memory");
	free(stock);
	touch_stack();
	return 0;
}
