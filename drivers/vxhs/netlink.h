/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control plane, from Documentation/netlink/specs/vxhs.yaml.
 */
#ifndef _VXHS_NETLINK_H
#define _VXHS_NETLINK_H

#include <linux/types.h>
#include <uapi/linux/vxhs.h>

struct genl_info;
struct netlink_ext_ack;
struct nlattr;
struct sockaddr_storage;
struct vxhs_disk;
struct vxhs_policy;
struct vxhs_session;
struct vxhs_session_key;
struct vxhs_session_policy;

const char *vxhs_mode_name(enum vxhs_mode mode);
const char *vxhs_session_state_name(enum vxhs_session_state state);
const char *vxhs_dialect_name(enum vxhs_dialect dialect);
void vxhs_netlink_notify(enum vxhs_change change, struct vxhs_session *session,
			 struct vxhs_disk *disk);

/* What attach shares with the other operations. */
int vxhs_nl_get_address(const struct nlattr *attr, u16 port, u32 scope,
			struct sockaddr_storage *ss);
int vxhs_nl_parse_portals(struct nlattr *nest, struct vxhs_session_key *key,
			  struct netlink_ext_ack *extack);
int vxhs_nl_parse_session_policy(struct nlattr *tb[],
				 struct vxhs_session_policy *policy,
				 struct netlink_ext_ack *extack);
int vxhs_nl_parse_disk_policy(struct nlattr *tb[], struct vxhs_policy *policy,
			      struct netlink_ext_ack *extack);
int vxhs_nl_reply(struct genl_info *info, const struct vxhs_disk *disk,
		  struct vxhs_session *session);
int vxhs_netlink_attach_init(void);
void vxhs_netlink_attach_exit(void);

int vxhs_netlink_init(void);
void vxhs_netlink_exit(void);

#endif /* _VXHS_NETLINK_H */
