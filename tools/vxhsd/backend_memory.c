// SPDX-License-Identifier: GPL-2.0
/* A vdisk in anonymous memory: fast, and gone with the process. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "backend.h"
#include "config.h"

#define MEM_PAGE	4096u
#define MEM_GROWTH	8	/* times its first size a vdisk may become */
#define MEM_GROWTH_MIN	((u64)1 << 30)	/* bytes that any may become */

/*
 * Replies refer to the memory while they are sent, so it never moves: addresses
 * are taken for all that it may grow to, where there are as many.
 */
static void *reserve(struct export *x, u64 size)
{
	u64 most = size > MEM_GROWTH_MIN / MEM_GROWTH ? size * MEM_GROWTH :
							MEM_GROWTH_MIN;
	void *mem = mmap(NULL, most, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	x->mem_reserved = most;
	if (mem != MAP_FAILED && !mprotect(mem, size, PROT_READ | PROT_WRITE))
		return mem;
	if (mem != MAP_FAILED)
		munmap(mem, most);
	x->mem_reserved = size;
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static int memory_open(struct export *x, const struct export_spec *spec,
		       struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;
	u64 verifier;

	if (!spec->size)
		return err_usage(err,
				 "export %s: a memory vdisk needs a size, as in size=1G",
				 x->name);
	x->mem = reserve(x, spec->size);
	if (x->mem == MAP_FAILED) {
		x->mem = NULL;
		return err_set(err, "export %s: cannot map %llu bytes: %s",
			       x->name, (unsigned long long)spec->size,
			       strerror(errno));
	}
	g->size = spec->size;
	g->logical_block = spec->block ? spec->block : 512;
	g->physical_block = MEM_PAGE;
	g->io_min = MEM_PAGE;
	g->discard_granularity = MEM_PAGE;
	g->caps = VXHS_CAP_FLUSH | VXHS_CAP_FUA | VXHS_CAP_DISCARD |
		  VXHS_CAP_WRITE_ZEROES;
	if (getrandom(&verifier, sizeof(verifier), 0) != sizeof(verifier))
		verifier = now_us();
	atomic_store(&x->verifier, verifier);
	return 0;
}

static void memory_close(struct export *x)
{
	if (x->mem)
		munmap(x->mem, x->mem_reserved);
}

static int memory_resize(struct export *x, const struct export_spec *spec,
			 u64 *size, struct err *err)
{
	u64 page = MEM_PAGE - 1, old = atomic_load(&x->size);
	u64 keep = (spec->size + page) & ~page;

	if (spec->size > x->mem_reserved)
		return err_set(err,
			       "export %s: a memory vdisk that began with %llu bytes cannot have more than %llu; remove it and add it again",
			       x->name, (unsigned long long)x->geometry.size,
			       (unsigned long long)x->mem_reserved);
	if (spec->size > old &&
	    mprotect(x->mem, spec->size, PROT_READ | PROT_WRITE))
		return err_set(err, "export %s: cannot map %llu bytes: %s",
			       x->name, (unsigned long long)spec->size,
			       strerror(errno));
	if (keep < old)
		madvise(x->mem + keep, old - keep, MADV_DONTNEED);
	*size = spec->size;
	return 0;
}

/* Give back the whole pages of a range; false if there are none. */
static bool drop_pages(struct export *x, u64 offset, u32 length, u64 *from,
		       u64 *to)
{
	*from = (offset + MEM_PAGE - 1) & ~(u64)(MEM_PAGE - 1);
	*to = (offset + length) & ~(u64)(MEM_PAGE - 1);
	return *from < *to &&
	       !madvise(x->mem + *from, *to - *from, MADV_DONTNEED);
}

/*
 * NO_UNMAP means nothing here: memory is never reserved, so pages that were
 * given back come again as surely as others.
 */
static void zero(struct export *x, u64 offset, u32 length)
{
	u64 from, to;

	if (!drop_pages(x, offset, length, &from, &to)) {
		memset(x->mem + offset, 0, length);
		return;
	}
	memset(x->mem + offset, 0, from - offset);
	memset(x->mem + to, 0, offset + length - to);
}

static void memory_submit(struct io *io)
{
	struct export *x = io->use->export;
	u64 from, to;

	switch (io->kind) {
	case IO_READ:
		if (io->buf)
			memcpy(io->buf, x->mem + io->offset, io->length);
		else
			io->buf = x->mem + io->offset;
		break;
	case IO_WRITE:
		memcpy(x->mem + io->offset, io->buf, io->length);
		break;
	case IO_DISCARD:
		drop_pages(x, io->offset, io->length, &from, &to);
		break;
	case IO_ZEROES:
		zero(x, io->offset, io->length);
		break;
	}
	io->done = io->length;
	io_end(io, VXHS_ST_OK);
}

const struct backend backend_memory = {
	.name = "memory",
	.at_once = true,
	.open = memory_open,
	.close = memory_close,
	.submit = memory_submit,
	.resize = memory_resize,
};
