/* SPDX-License-Identifier: GPL-2.0 */
/* The disk that a handshake brings back may be the one we were started from. */
#ifndef VXHS_HANDSHAKE_MEMORY_H
#define VXHS_HANDSHAKE_MEMORY_H

#include "../vxhsd/util.h"

int memory_lock(struct err *err);
void memory_seal(void);

#endif
