/* SPDX-License-Identifier: GPL-2.0 */
/* What this process may do; less after each of these. */
#ifndef _VXHSD_PRIVILEGE_H
#define _VXHSD_PRIVILEGE_H

#include <liburing.h>

#include "util.h"

int privilege_drop(const char *user, const char *state_dir, struct err *err);
int privilege_filter(struct err *err);
int privilege_ring(struct io_uring *ring);

#endif /* _VXHSD_PRIVILEGE_H */
