/* SPDX-License-Identifier: GPL-2.0 */
/* What the loop and the dialects know of each other. */
#ifndef _VXHSD_DIALECT_H
#define _VXHSD_DIALECT_H

#include "conn.h"

void vxhs_begin(struct conn *c, u16 min, u16 max, u64 features);
void vxhs_send_event(struct conn *c, u8 kind, u32 handle);
void vxhs_poll_opens(struct loop *loop);

#endif /* _VXHSD_DIALECT_H */
