/* SPDX-License-Identifier: GPL-2.0 */
/* Listening sockets; the first loop accepts and deals connections out. */
#ifndef _VXHSD_LISTEN_H
#define _VXHSD_LISTEN_H

#include "config.h"
#include "loop.h"

int listeners_bind(const struct listen_spec *specs, struct err *err);
void listeners_start(void);
void listeners_stop(void);
void listeners_tick(struct loop *loop);

struct tls_who;
void listeners_hand_over(int fd, struct tls_who *who);
void listeners_forget(int fd);

#endif /* _VXHSD_LISTEN_H */
