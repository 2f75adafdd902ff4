/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control plane, from Documentation/netlink/specs/vxhs.yaml.
 */
#ifndef _VXHS_NETLINK_H
#define _VXHS_NETLINK_H

#include <uapi/linux/vxhs.h>

struct vxhs_disk;
struct vxhs_session;

const char *vxhs_mode_name(enum vxhs_mode mode);
const char *vxhs_session_state_name(enum vxhs_session_state state);
const char *vxhs_dialect_name(enum vxhs_dialect dialect);
void vxhs_netlink_notify(enum vxhs_change change, struct vxhs_session *session,
			 struct vxhs_disk *disk);

int vxhs_netlink_init(void);
void vxhs_netlink_exit(void);

#endif /* _VXHS_NETLINK_H */
