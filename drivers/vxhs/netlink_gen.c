// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/vxhs.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/vxhs.h>

/* Integer value ranges */
static const struct netlink_range_validation vxhs_a_disk_index_range = {
	.max	= 1048575ULL,
};

/* Common nested types */
const struct nla_policy vxhs_disk_nl_policy[VXHS_A_DISK_TAKE_OVER + 1] = {
	[VXHS_A_DISK_INDEX] = NLA_POLICY_FULL_RANGE(NLA_U32, &vxhs_a_disk_index_range),
	[VXHS_A_DISK_VDISK] = { .type = NLA_NUL_STRING, .len = 63, },
	[VXHS_A_DISK_MODE] = NLA_POLICY_MAX(NLA_U32, 2),
	[VXHS_A_DISK_HOST_ID] = NLA_POLICY_EXACT_LEN(16),
	[VXHS_A_DISK_LANES] = NLA_POLICY_MAX(NLA_U32, 64),
	[VXHS_A_DISK_SIZE] = { .type = NLA_U64, },
	[VXHS_A_DISK_LOGICAL_BLOCK] = { .type = NLA_U32, },
	[VXHS_A_DISK_PHYSICAL_BLOCK] = { .type = NLA_U32, },
	[VXHS_A_DISK_CAPS] = { .type = NLA_U32, },
	[VXHS_A_DISK_VDISK_ID] = NLA_POLICY_EXACT_LEN(16),
	[VXHS_A_DISK_LEASE] = { .type = NLA_U64, },
	[VXHS_A_DISK_OPENERS] = { .type = NLA_U32, },
	[VXHS_A_DISK_REQUESTS] = { .type = NLA_U64, },
	[VXHS_A_DISK_ERRORS] = { .type = NLA_U64, },
	[VXHS_A_DISK_POLL_LANES] = NLA_POLICY_MAX(NLA_U32, 63),
	[VXHS_A_DISK_RESENDS] = { .type = NLA_U64, },
	[VXHS_A_DISK_FAST_IO_FAIL_TMO] = { .type = NLA_U32, },
	[VXHS_A_DISK_IO_TIMEOUT] = { .type = NLA_U32, },
	[VXHS_A_DISK_SHUTDOWN_TMO] = { .type = NLA_U32, },
	[VXHS_A_DISK_LOST] = { .type = NLA_U32, },
	[VXHS_A_DISK_LOSSES] = { .type = NLA_U64, },
	[VXHS_A_DISK_SLOW] = { .type = NLA_U64, },
	[VXHS_A_DISK_PARKED] = { .type = NLA_U32, },
	[VXHS_A_DISK_FAILED] = { .type = NLA_NUL_STRING, },
	[VXHS_A_DISK_FORCE] = NLA_POLICY_MAX(NLA_U32, 1),
	[VXHS_A_DISK_TAKE_OVER] = NLA_POLICY_MAX(NLA_U32, 1),
};

const struct nla_policy vxhs_portal_nl_policy[VXHS_A_PORTAL_SCOPE + 1] = {
	[VXHS_A_PORTAL_ADDRESS] = { .type = NLA_BINARY, },
	[VXHS_A_PORTAL_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
	[VXHS_A_PORTAL_SCOPE] = { .type = NLA_U32, },
};

const struct nla_policy vxhs_session_nl_policy[VXHS_A_SESSION_FEATURES + 1] = {
	[VXHS_A_SESSION_ID] = { .type = NLA_U64, },
	[VXHS_A_SESSION_HOST] = { .type = NLA_NUL_STRING, .len = 255, },
	[VXHS_A_SESSION_PORTAL] = NLA_POLICY_NESTED(vxhs_portal_nl_policy),
	[VXHS_A_SESSION_CURRENT_PORTAL] = { .type = NLA_U32, },
	[VXHS_A_SESSION_SOURCE] = { .type = NLA_BINARY, },
	[VXHS_A_SESSION_INTERFACE] = { .type = NLA_NUL_STRING, .len = 15, },
	[VXHS_A_SESSION_STATE] = NLA_POLICY_MAX(NLA_U32, 4),
	[VXHS_A_SESSION_DIALECT] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[VXHS_A_SESSION_EPOCH] = { .type = NLA_U32, },
	[VXHS_A_SESSION_LANES] = { .type = NLA_U32, },
	[VXHS_A_SESSION_LANES_UP] = { .type = NLA_U32, },
	[VXHS_A_SESSION_DISKS] = { .type = NLA_U32, },
	[VXHS_A_SESSION_KATO] = { .type = NLA_U32, },
	[VXHS_A_SESSION_MAX_INFLIGHT] = { .type = NLA_U32, },
	[VXHS_A_SESSION_MAX_INFLIGHT_BYTES] = { .type = NLA_U32, },
	[VXHS_A_SESSION_MAX_IO] = { .type = NLA_U32, },
	[VXHS_A_SESSION_SERVER_ID] = NLA_POLICY_EXACT_LEN(16),
	[VXHS_A_SESSION_REASON] = { .type = NLA_NUL_STRING, },
	[VXHS_A_SESSION_POLL_LANES] = { .type = NLA_U32, },
	[VXHS_A_SESSION_DIGESTS] = NLA_POLICY_MAX(NLA_U32, 2),
	[VXHS_A_SESSION_RECONNECT_DELAY] = { .type = NLA_U32, },
	[VXHS_A_SESSION_REPLAY_DELAY] = { .type = NLA_U32, },
	[VXHS_A_SESSION_RECOVERIES] = { .type = NLA_U64, },
	[VXHS_A_SESSION_KATO_ASKED] = { .type = NLA_U32, },
	[VXHS_A_SESSION_TLS] = NLA_POLICY_MAX(NLA_U32, 1),
	[VXHS_A_SESSION_TLS_PEERNAME] = { .type = NLA_NUL_STRING, .len = 255, },
	[VXHS_A_SESSION_TLS_IDENTITY] = { .type = NLA_NUL_STRING, .len = 63, },
	[VXHS_A_SESSION_TLS_PSK] = NLA_POLICY_MIN(NLA_S32, 1),
	[VXHS_A_SESSION_ALLOW_UNVERIFIED] = NLA_POLICY_MAX(NLA_U32, 1),
	[VXHS_A_SESSION_TLS_CIPHER] = { .type = NLA_NUL_STRING, },
	[VXHS_A_SESSION_FEATURES] = { .type = NLA_U64, },
};

/* VXHS_CMD_ATTACH - do */
static const struct nla_policy vxhs_attach_nl_policy[VXHS_A_SESSION + 1] = {
	[VXHS_A_DISK] = NLA_POLICY_NESTED(vxhs_disk_nl_policy),
	[VXHS_A_SESSION] = NLA_POLICY_NESTED(vxhs_session_nl_policy),
};

/* VXHS_CMD_DETACH - do */
static const struct nla_policy vxhs_detach_nl_policy[VXHS_A_DISK + 1] = {
	[VXHS_A_DISK] = NLA_POLICY_NESTED(vxhs_disk_nl_policy),
};

/* VXHS_CMD_DISK_GET - do */
static const struct nla_policy vxhs_disk_get_nl_policy[VXHS_A_DISK + 1] = {
	[VXHS_A_DISK] = NLA_POLICY_NESTED(vxhs_disk_nl_policy),
};

/* VXHS_CMD_SESSION_GET - do */
static const struct nla_policy vxhs_session_get_nl_policy[VXHS_A_SESSION + 1] = {
	[VXHS_A_SESSION] = NLA_POLICY_NESTED(vxhs_session_nl_policy),
};

/* VXHS_CMD_SET - do */
static const struct nla_policy vxhs_set_nl_policy[VXHS_A_SESSION + 1] = {
	[VXHS_A_DISK] = NLA_POLICY_NESTED(vxhs_disk_nl_policy),
	[VXHS_A_SESSION] = NLA_POLICY_NESTED(vxhs_session_nl_policy),
};

/* VXHS_CMD_ACK_LOSS - do */
static const struct nla_policy vxhs_ack_loss_nl_policy[VXHS_A_DISK + 1] = {
	[VXHS_A_DISK] = NLA_POLICY_NESTED(vxhs_disk_nl_policy),
};

/* Ops table for vxhs */
static const struct genl_split_ops vxhs_nl_ops[] = {
	{
		.cmd		= VXHS_CMD_ATTACH,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_attach_doit,
		.policy		= vxhs_attach_nl_policy,
		.maxattr	= VXHS_A_SESSION,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= VXHS_CMD_DETACH,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_detach_doit,
		.policy		= vxhs_detach_nl_policy,
		.maxattr	= VXHS_A_DISK,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= VXHS_CMD_DISK_GET,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_disk_get_doit,
		.policy		= vxhs_disk_get_nl_policy,
		.maxattr	= VXHS_A_DISK,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd	= VXHS_CMD_DISK_GET,
		.start	= vxhs_nl_pre_dump,
		.dumpit	= vxhs_nl_disk_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= VXHS_CMD_SESSION_GET,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_session_get_doit,
		.policy		= vxhs_session_get_nl_policy,
		.maxattr	= VXHS_A_SESSION,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd	= VXHS_CMD_SESSION_GET,
		.start	= vxhs_nl_pre_dump,
		.dumpit	= vxhs_nl_session_get_dumpit,
		.flags	= GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= VXHS_CMD_SET,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_set_doit,
		.policy		= vxhs_set_nl_policy,
		.maxattr	= VXHS_A_SESSION,
		.flags		= GENL_CMD_CAP_DO,
	},
	{
		.cmd		= VXHS_CMD_ACK_LOSS,
		.pre_doit	= vxhs_nl_pre_doit,
		.doit		= vxhs_nl_ack_loss_doit,
		.policy		= vxhs_ack_loss_nl_policy,
		.maxattr	= VXHS_A_DISK,
		.flags		= GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group vxhs_nl_mcgrps[] = {
	[VXHS_NLGRP_STATE] = { "state", },
};

struct genl_family vxhs_nl_family __ro_after_init = {
	.name		= VXHS_FAMILY_NAME,
	.version	= VXHS_FAMILY_VERSION,
	.netnsok	= true,
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= vxhs_nl_ops,
	.n_split_ops	= ARRAY_SIZE(vxhs_nl_ops),
	.mcgrps		= vxhs_nl_mcgrps,
	.n_mcgrps	= ARRAY_SIZE(vxhs_nl_mcgrps),
};
