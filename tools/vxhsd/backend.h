/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What keeps the bytes of a vdisk.
 *
 * A backend is this struct of callbacks.  submit() gets I/O that was checked
 * against the export's size and blocks; it calls io_end() exactly once for
 * each, on the I/O's own loop, from submit() itself or later.
 */
#ifndef _VXHSD_BACKEND_H
#define _VXHSD_BACKEND_H

#include "export.h"
#include "io.h"

struct export_spec;

/**
 * struct backend - callbacks
 * @name: for messages
 * @at_once: submit() always ends the I/O before it returns and keeps no
 *	pointer to a WRITE's payload, which may then be lent to it; it finds
 *	the memory for a READ itself where it can
 * @open: fill in the export's geometry, caps, verifier and private data;
 *	0, or -1 with a sentence
 * @close: undo open(); all I/O has ended
 * @submit: begin one I/O; the loop's thread, must not block
 * @resize: find out how large the vdisk is now, having grown it if @spec, which
 *	differs from the export's in size alone, asks for that; may block;
 *	0, or -1 with a sentence
 * @sync: make everything durable before the server ends; may block
 */
struct backend {
	const char *name;
	bool at_once;
	int (*open)(struct export *x, const struct export_spec *spec,
		    struct err *err);
	void (*close)(struct export *x);
	void (*submit)(struct io *io);
	int (*resize)(struct export *x, const struct export_spec *spec,
		      u64 *size, struct err *err);
	int (*sync)(struct export *x);
};

extern const struct backend backend_file;
extern const struct backend backend_blockdev;
extern const struct backend backend_memory;

#endif /* _VXHSD_BACKEND_H */
