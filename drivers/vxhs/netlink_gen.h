/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/vxhs.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_VXHS_GEN_H
#define _LINUX_VXHS_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/vxhs.h>

/* Common nested types */
extern const struct nla_policy vxhs_disk_nl_policy[VXHS_A_DISK_TAKE_OVER + 1];
extern const struct nla_policy vxhs_portal_nl_policy[VXHS_A_PORTAL_SCOPE + 1];
extern const struct nla_policy vxhs_session_nl_policy[VXHS_A_SESSION_FEATURES + 1];

int vxhs_nl_pre_doit(const struct genl_split_ops *ops, struct sk_buff *skb,
		     struct genl_info *info);
int vxhs_nl_pre_dump(struct netlink_callback *cb);

int vxhs_nl_attach_doit(struct sk_buff *skb, struct genl_info *info);
int vxhs_nl_detach_doit(struct sk_buff *skb, struct genl_info *info);
int vxhs_nl_disk_get_doit(struct sk_buff *skb, struct genl_info *info);
int vxhs_nl_disk_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int vxhs_nl_session_get_doit(struct sk_buff *skb, struct genl_info *info);
int vxhs_nl_session_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int vxhs_nl_set_doit(struct sk_buff *skb, struct genl_info *info);
int vxhs_nl_ack_loss_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	VXHS_NLGRP_STATE,
};

extern struct genl_family vxhs_nl_family;

#endif /* _LINUX_VXHS_GEN_H */
