/* SPDX-License-Identifier: GPL-2.0 */
/* A native lane: what the two files of its dialect share. */
#ifndef _VXHSD_NATIVE_H
#define _VXHSD_NATIVE_H

#include "conn.h"
#include "session.h"
#include "tags.h"

/** struct handle - how this lane knows an open vdisk */
struct handle {
	u32 handle;
	struct use *use;
};

struct native {
	/* What STAT agreed on. */
	u64 features;
	u64 offered;
	u16 min_version;
	u16 max_version;

	struct lane *lane;		/* NULL before LOGIN */
	struct handle *handles;		/* by slot */
	unsigned int nr_handles;
	unsigned int inflight;
	u32 inflight_bytes;
	struct tags tags;
};

/* dialect_vxhs.c */
void vxhs_answer(struct conn *c, struct io *io, const void *data, u32 len);
void vxhs_answer_status(struct conn *c, struct io *io, u16 status);

/* vxhs_open.c */
struct use *vxhs_find_use(struct conn *c, u32 handle);
void vxhs_open_request(struct conn *c, struct io *io, size_t len);
void vxhs_close_request(struct conn *c, struct io *io, u32 handle);
void vxhs_drop_waits(struct conn *c);
void vxhs_drop_handles(struct native *n);
void vxhs_tick(struct conn *c);

#endif /* _VXHSD_NATIVE_H */
