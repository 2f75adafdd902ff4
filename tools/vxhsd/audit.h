/* SPDX-License-Identifier: GPL-2.0 */
/* Who came, what he opened, what he was refused: for whoever asks later. */
#ifndef _VXHSD_AUDIT_H
#define _VXHSD_AUDIT_H

#include "util.h"

/**
 * struct audit - what is known of an event; NULL and 0 for what is not
 * @event: login, open, take-over, denied, refused, cut or lost
 * @peer: its address
 * @identity: it has proved
 * @session: its id
 * @vdisk: by name
 * @why: in words
 */
struct audit {
	const char *event;
	const char *peer;
	const char *identity;
	const char *vdisk;
	const char *why;
	u64 session;
};

int audit_start(const char *path, struct err *err);
int audit_reopen(const char *path, struct err *err);
void audit(const struct audit *a);
void audit_stop(void);

#endif /* _VXHSD_AUDIT_H */
