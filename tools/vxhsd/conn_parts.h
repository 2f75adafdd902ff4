/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of a connection know of each other, and nobody else. */
#ifndef _VXHSD_CONN_PARTS_H
#define _VXHSD_CONN_PARTS_H

#include "conn.h"

/* conn_receive.c */
void conn_arm_recv(struct conn *c);
void conn_disarm_recv(struct conn *c);
void conn_resume(struct conn *c);
void conn_eof(struct conn *c);
void conn_drop_rx(struct conn *c);

/* conn_send.c */
void conn_send(struct conn *c);

#endif /* _VXHSD_CONN_PARTS_H */
