/* SPDX-License-Identifier: GPL-2.0 */
/* The UUID by which storage servers know this host. */
#ifndef VXHSCTL_HOSTID_H
#define VXHSCTL_HOSTID_H

#include <stdint.h>

#define HOSTID_PATH	"/etc/vxhs/hostid"
#define MACHINE_ID_PATH	"/etc/machine-id"

int host_id(const char *path, const char *machine_id_path, uint8_t id[16]);

#endif
