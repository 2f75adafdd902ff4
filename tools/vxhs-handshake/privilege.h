/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VXHS_HANDSHAKE_PRIVILEGE_H
#define VXHS_HANDSHAKE_PRIVILEGE_H

#include "../vxhsd/util.h"

int privilege_drop(struct err *err);

#endif
