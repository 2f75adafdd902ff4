// SPDX-License-Identifier: GPL-2.0
/*
 * The control plane: generic netlink, see Documentation/netlink/specs/vxhs.yaml.
 *
 * The family is parallel_ops, so a slow attach delays no other call.  Every
 * operation needs CAP_SYS_ADMIN and the initial network namespace.
 */
#include <linux/blkdev.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/ipv6.h>
#include <net/net_namespace.h>

#include "disk.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "session.h"
#include "tls.h"

/* Delays and time-outs are no longer than a day, or VXHS_NEVER. */
#define VXHS_MAX_MS		(24 * 60 * 60 * 1000U)
#define VXHS_MIN_KATO_MS	200
#define VXHS_MIN_DELAY_MS	100

/**
 * vxhs_mode_name - name of a mode, as in the spec
 * @mode: any value
 *
 * Return: a constant string
 */
const char *vxhs_mode_name(enum vxhs_mode mode)
{
	static const char * const names[] = {
		[VXHS_MODE_READ_ONLY] = "read-only",
		[VXHS_MODE_EXCLUSIVE] = "exclusive",
		[VXHS_MODE_SHARED] = "shared",
	};

	return mode < ARRAY_SIZE(names) ? names[mode] : "unknown";
}

/**
 * vxhs_session_state_name - name of a session's state, as in the spec
 * @state: any value
 *
 * Return: a constant string
 */
const char *vxhs_session_state_name(enum vxhs_session_state state)
{
	static const char * const names[] = {
		[VXHS_SESSION_STATE_CONNECTING] = "connecting",
		[VXHS_SESSION_STATE_LIVE] = "live",
		[VXHS_SESSION_STATE_RECOVERING] = "recovering",
		[VXHS_SESSION_STATE_FAILING] = "failing",
		[VXHS_SESSION_STATE_CLOSING] = "closing",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

/**
 * vxhs_dialect_name - name of a dialect, as in the spec
 * @dialect: any value
 *
 * Return: a constant string
 */
const char *vxhs_dialect_name(enum vxhs_dialect dialect)
{
	switch (dialect) {
	case VXHS_DIALECT_V34:
		return "v34";
	case VXHS_DIALECT_NATIVE:
		return "native";
	}
	return "unknown";
}

/* Addresses */

/**
 * vxhs_nl_get_address - read an address
 * @attr: 4 or 16 bytes, network order
 * @port: of it, host order
 * @scope: interface index of a link-local one
 * @ss: the result; zero before
 *
 * Return: 0, or -EINVAL for another length
 */
int vxhs_nl_get_address(const struct nlattr *attr, u16 port, u32 scope,
			struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	switch (nla_len(attr)) {
	case sizeof(struct in_addr):
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = nla_get_in_addr(attr);
		return 0;
	case sizeof(struct in6_addr):
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_addr = nla_get_in6_addr(attr);
		in6->sin6_scope_id = scope;
		return 0;
	}
	return -EINVAL;
}

static int vxhs_nl_put_address(struct sk_buff *skb, int type,
			       const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

	if (ss->ss_family == AF_INET)
		return nla_put_in_addr(skb, type, in->sin_addr.s_addr);
	return nla_put_in6_addr(skb, type, &in6->sin6_addr);
}

static int vxhs_nl_put_portal(struct sk_buff *skb,
			      const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	struct nlattr *nest = nla_nest_start(skb, VXHS_A_SESSION_PORTAL);

	/* The port stands at the same place in both families. */
	if (!nest || vxhs_nl_put_address(skb, VXHS_A_PORTAL_ADDRESS, ss) ||
	    nla_put_u16(skb, VXHS_A_PORTAL_PORT, ntohs(in6->sin6_port)))
		return -EMSGSIZE;
	if (ss->ss_family == AF_INET6 && in6->sin6_scope_id &&
	    nla_put_u32(skb, VXHS_A_PORTAL_SCOPE, in6->sin6_scope_id))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* Messages */

/* The session's state_lock held. */
static int vxhs_nl_put_portals(struct sk_buff *skb,
			       const struct vxhs_session *session)
{
	unsigned int i;

	if (nla_put_u32(skb, VXHS_A_SESSION_CURRENT_PORTAL,
			session->current_portal))
		return -EMSGSIZE;
	for (i = 0; i < session->key.nr_portals; i++) {
		if (vxhs_nl_put_portal(skb, &session->key.portal[i]))
			return -EMSGSIZE;
	}
	return 0;
}

static int vxhs_nl_put_session_policy(struct sk_buff *skb,
				      const struct vxhs_session_policy *policy)
{
	if (nla_put_u32(skb, VXHS_A_SESSION_KATO_ASKED,
			READ_ONCE(policy->kato_ms)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_RECONNECT_DELAY,
			READ_ONCE(policy->reconnect_delay_ms)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_REPLAY_DELAY,
			READ_ONCE(policy->replay_delay_ms)))
		return -EMSGSIZE;
	return 0;
}

static int vxhs_nl_put_tls(struct sk_buff *skb,
			   const struct vxhs_session *session)
{
	const struct vxhs_session_key *key = &session->key;
	char identity[VXHS_TLS_IDENTITY_MAX + 1];
	const char *server = key->tls.peername;
	const char *at;

	if (nla_put_u32(skb, VXHS_A_SESSION_TLS, !!server))
		return -EMSGSIZE;
	if (!server)
		return 0;
	at = strchr(server, '@');
	if (at) {
		strscpy(identity, server,
			min_t(size_t, at - server + 1, sizeof(identity)));
		if (nla_put_string(skb, VXHS_A_SESSION_TLS_IDENTITY, identity))
			return -EMSGSIZE;
		server = at + 1;
	}
	if (nla_put_string(skb, VXHS_A_SESSION_TLS_PEERNAME, server) ||
	    nla_put_string(skb, VXHS_A_SESSION_TLS_CIPHER,
			   vxhs_tls_text(session)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_ALLOW_UNVERIFIED,
			key->allow_unverified))
		return -EMSGSIZE;
	if (key->tls.psk &&
	    nla_put_s32(skb, VXHS_A_SESSION_TLS_PSK, key->tls.psk))
		return -EMSGSIZE;
	return 0;
}

static int vxhs_nl_put_session_body(struct sk_buff *skb,
				    struct vxhs_session *session)
{
	const char *reason = READ_ONCE(session->reason);
	const struct vxhs_grant *grant = &session->grant;
	unsigned long flags;
	int ret;

	spin_lock_irqsave(&session->state_lock, flags);
	ret = vxhs_nl_put_portals(skb, session);
	spin_unlock_irqrestore(&session->state_lock, flags);
	if (ret)
		return ret;

	if (nla_put_u64_64bit(skb, VXHS_A_SESSION_ID, session->id, 0) ||
	    nla_put_string(skb, VXHS_A_SESSION_HOST, session->host) ||
	    nla_put_u32(skb, VXHS_A_SESSION_STATE, READ_ONCE(session->state)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_EPOCH, session->epoch) ||
	    nla_put_u32(skb, VXHS_A_SESSION_LANES, session->nr_lanes) ||
	    nla_put_u32(skb, VXHS_A_SESSION_LANES_UP,
			vxhs_session_lanes_up(session)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_DISKS,
			READ_ONCE(session->nr_disks)) ||
	    nla_put_u32(skb, VXHS_A_SESSION_KATO, grant->kato_ms) ||
	    nla_put_u32(skb, VXHS_A_SESSION_MAX_INFLIGHT,
			grant->max_inflight) ||
	    nla_put_u32(skb, VXHS_A_SESSION_MAX_INFLIGHT_BYTES,
			grant->max_inflight_bytes) ||
	    nla_put_u32(skb, VXHS_A_SESSION_MAX_IO, grant->max_io) ||
	    nla_put_u32(skb, VXHS_A_SESSION_POLL_LANES, session->nr_poll) ||
	    nla_put_u32(skb, VXHS_A_SESSION_DIGESTS, session->key.digests) ||
	    nla_put_u64_64bit(skb, VXHS_A_SESSION_FEATURES, session->features,
			      0) ||
	    nla_put(skb, VXHS_A_SESSION_SERVER_ID, sizeof(grant->server_id),
		    grant->server_id) ||
	    nla_put_u64_64bit(skb, VXHS_A_SESSION_RECOVERIES,
			      READ_ONCE(session->recoveries), 0) ||
	    vxhs_nl_put_session_policy(skb, &session->policy) ||
	    vxhs_nl_put_tls(skb, session))
		return -EMSGSIZE;
	if (session->key.source.ss_family &&
	    vxhs_nl_put_address(skb, VXHS_A_SESSION_SOURCE,
				&session->key.source))
		return -EMSGSIZE;
	if (session->interface[0] &&
	    nla_put_string(skb, VXHS_A_SESSION_INTERFACE, session->interface))
		return -EMSGSIZE;
	if (session->dialect &&
	    nla_put_u32(skb, VXHS_A_SESSION_DIALECT, session->dialect))
		return -EMSGSIZE;
	if (reason && nla_put_string(skb, VXHS_A_SESSION_REASON, reason))
		return -EMSGSIZE;
	return 0;
}

static int vxhs_nl_put_session(struct sk_buff *skb,
			       struct vxhs_session *session)
{
	struct nlattr *nest = nla_nest_start(skb, VXHS_A_SESSION);

	if (!nest || vxhs_nl_put_session_body(skb, session))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int vxhs_nl_put_disk_policy(struct sk_buff *skb,
				   const struct vxhs_policy *policy)
{
	if (nla_put_u32(skb, VXHS_A_DISK_FAST_IO_FAIL_TMO,
			READ_ONCE(policy->fast_io_fail_ms)) ||
	    nla_put_u32(skb, VXHS_A_DISK_IO_TIMEOUT,
			READ_ONCE(policy->io_timeout_ms)) ||
	    nla_put_u32(skb, VXHS_A_DISK_SHUTDOWN_TMO,
			READ_ONCE(policy->shutdown_ms)))
		return -EMSGSIZE;
	return 0;
}

static int vxhs_nl_put_disk_health(struct sk_buff *skb,
				   const struct vxhs_disk *disk)
{
	const char *failed = READ_ONCE(disk->failed);
	bool parked = READ_ONCE(disk->waits) && !READ_ONCE(disk->refuse);

	if (nla_put_u32(skb, VXHS_A_DISK_LOST, READ_ONCE(disk->lost)) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_LOSSES,
			      atomic64_read(&disk->losses), 0) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_SLOW,
			      atomic64_read(&disk->slow), 0) ||
	    nla_put_u32(skb, VXHS_A_DISK_PARKED, parked))
		return -EMSGSIZE;
	if (failed && nla_put_string(skb, VXHS_A_DISK_FAILED, failed))
		return -EMSGSIZE;
	return 0;
}

static int vxhs_nl_put_disk(struct sk_buff *skb, const struct vxhs_disk *disk)
{
	const struct vxhs_geometry *geometry = &disk->geometry;
	struct nlattr *nest = nla_nest_start(skb, VXHS_A_DISK);

	if (!nest ||
	    nla_put_u32(skb, VXHS_A_DISK_INDEX, disk->index) ||
	    nla_put_string(skb, VXHS_A_DISK_VDISK, disk->name) ||
	    nla_put_u32(skb, VXHS_A_DISK_MODE, disk->mode) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_SIZE, geometry->size, 0) ||
	    nla_put_u32(skb, VXHS_A_DISK_LOGICAL_BLOCK,
			geometry->logical_block) ||
	    nla_put_u32(skb, VXHS_A_DISK_PHYSICAL_BLOCK,
			geometry->physical_block) ||
	    nla_put_u32(skb, VXHS_A_DISK_CAPS, geometry->caps) ||
	    nla_put(skb, VXHS_A_DISK_VDISK_ID, sizeof(geometry->vdisk_id),
		    geometry->vdisk_id) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_LEASE, geometry->lease, 0) ||
	    nla_put_u32(skb, VXHS_A_DISK_OPENERS,
			disk_openers(disk->gendisk)) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_ERRORS,
			      atomic64_read(&disk->errors), 0) ||
	    nla_put_u64_64bit(skb, VXHS_A_DISK_RESENDS,
			      atomic64_read(&disk->resends), 0) ||
	    vxhs_nl_put_disk_policy(skb, &disk->policy) ||
	    vxhs_nl_put_disk_health(skb, disk))
		return -EMSGSIZE;
	/* The block layer forgets them when the disk goes. */
	if (!READ_ONCE(disk->detaching) &&
	    nla_put_u64_64bit(skb, VXHS_A_DISK_REQUESTS,
			      vxhs_disk_requests(disk), 0))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* @disk or @session may be NULL. */
static int vxhs_nl_fill(struct sk_buff *skb, u32 portid, u32 seq, int flags,
			u8 cmd, const struct vxhs_disk *disk,
			struct vxhs_session *session)
{
	void *hdr = genlmsg_put(skb, portid, seq, &vxhs_nl_family, flags, cmd);

	if (!hdr)
		return -EMSGSIZE;
	if ((disk && vxhs_nl_put_disk(skb, disk)) ||
	    (session && vxhs_nl_put_session(skb, session))) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/**
 * vxhs_nl_reply - answer a request
 * @info: of the request
 * @disk: what it is about, or NULL
 * @session: what it is about, or NULL
 *
 * Context: task, may sleep.
 * Return: 0 or a negative errno
 */
int vxhs_nl_reply(struct genl_info *info, const struct vxhs_disk *disk,
		  struct vxhs_session *session)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	int ret;

	if (!skb)
		return -ENOMEM;
	ret = vxhs_nl_fill(skb, info->snd_portid, info->snd_seq, 0,
			   info->genlhdr->cmd, disk, session);
	if (ret) {
		nlmsg_free(skb);
		return ret;
	}
	return genlmsg_reply(skb, info);
}

/**
 * vxhs_netlink_notify - tell the group "state" that something changed
 * @change: what
 * @session: whose, or of the disk
 * @disk: which, or NULL
 *
 * Context: task, may sleep; under memalloc_noio where reclaim may wait.
 */
void vxhs_netlink_notify(enum vxhs_change change, struct vxhs_session *session,
			 struct vxhs_disk *disk)
{
	struct sk_buff *skb;
	void *hdr;

	if (!genl_has_listeners(&vxhs_nl_family, &init_net, VXHS_NLGRP_STATE))
		return;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	hdr = genlmsg_put(skb, 0, 0, &vxhs_nl_family, 0, VXHS_CMD_STATE_NTF);
	if (!hdr || nla_put_u32(skb, VXHS_A_CHANGE, change) ||
	    (disk && vxhs_nl_put_disk(skb, disk)) ||
	    vxhs_nl_put_session(skb, session)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	genlmsg_multicast(&vxhs_nl_family, skb, 0, VXHS_NLGRP_STATE,
			  GFP_KERNEL);
}

/* Operations */

static int vxhs_nl_check(const struct sk_buff *skb, const struct net *net,
			 struct netlink_ext_ack *extack)
{
	if (!netlink_capable(skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(extack, "needs CAP_SYS_ADMIN; run it as root");
		return -EPERM;
	}
	if (!net_eq(net, &init_net)) {
		NL_SET_ERR_MSG(extack,
			       "works in the host's network namespace only");
		return -EPERM;
	}
	return 0;
}

int vxhs_nl_pre_doit(const struct genl_split_ops *ops, struct sk_buff *skb,
		     struct genl_info *info)
{
	return vxhs_nl_check(skb, genl_info_net(info), info->extack);
}

int vxhs_nl_pre_dump(struct netlink_callback *cb)
{
	return vxhs_nl_check(cb->skb, sock_net(cb->skb->sk), cb->extack);
}

static int vxhs_nl_parse_portal(const struct nlattr *attr,
				struct vxhs_session_key *key,
				struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VXHS_A_PORTAL_SCOPE + 1];
	u16 port = VXHS_PORT;
	u32 scope = 0;
	unsigned int i;
	int ret;

	if (key->nr_portals == VXHS_MAX_PORTALS) {
		NL_SET_ERR_MSG(extack, "more than 8 portals; leave some out");
		return -E2BIG;
	}
	ret = nla_parse_nested(tb, VXHS_A_PORTAL_SCOPE, attr,
			       vxhs_portal_nl_policy, extack);
	if (ret)
		return ret;
	if (tb[VXHS_A_PORTAL_PORT])
		port = nla_get_u16(tb[VXHS_A_PORTAL_PORT]);
	if (tb[VXHS_A_PORTAL_SCOPE])
		scope = nla_get_u32(tb[VXHS_A_PORTAL_SCOPE]);
	if (!tb[VXHS_A_PORTAL_ADDRESS] ||
	    vxhs_nl_get_address(tb[VXHS_A_PORTAL_ADDRESS], port, scope,
				&key->portal[key->nr_portals])) {
		NL_SET_ERR_MSG(extack,
			       "a portal has no IPv4 or IPv6 address");
		return -EINVAL;
	}
	for (i = 0; i < key->nr_portals; i++) {
		if (memcmp(&key->portal[i], &key->portal[key->nr_portals],
			   sizeof(key->portal[i])))
			continue;
		NL_SET_ERR_MSG_FMT(extack, "portal %u is the same as portal %u",
				   key->nr_portals + 1, i + 1);
		return -EINVAL;
	}
	key->nr_portals++;
	return 0;
}

/**
 * vxhs_nl_parse_portals - read all portals of a session
 * @nest: the session
 * @key: gets them; has none before
 * @extack: told why not
 *
 * Return: 0 or a negative errno
 */
int vxhs_nl_parse_portals(struct nlattr *nest,
			  struct vxhs_session_key *key,
			  struct netlink_ext_ack *extack)
{
	struct nlattr *attr;
	int rem, ret;

	nla_for_each_nested_type(attr, VXHS_A_SESSION_PORTAL, nest, rem) {
		ret = vxhs_nl_parse_portal(attr, key, extack);
		if (ret)
			return ret;
	}
	return 0;
}

/* @attr may be NULL, and @never an allowed value too.  Return: 1 if it is set */
static int vxhs_nl_get_ms(const struct nlattr *attr, const char *name, u32 min,
			  bool never, u32 *ms, struct netlink_ext_ack *extack)
{
	u32 value;

	if (!attr)
		return 0;
	value = nla_get_u32(attr);
	if ((value < min || value > VXHS_MAX_MS) &&
	    !(never && value == VXHS_NEVER)) {
		NL_SET_ERR_MSG_ATTR_FMT(extack, attr,
					"%s is %u to %u ms%s", name, min,
					VXHS_MAX_MS, never ? ", or never" : "");
		return -EINVAL;
	}
	*ms = value;
	return 1;
}

/**
 * vxhs_nl_parse_session_policy - read a session's policy
 * @tb: by enum of the session's attributes
 * @policy: what is there of it is changed
 * @extack: told why not
 *
 * Return: 0 or -EINVAL
 */
int vxhs_nl_parse_session_policy(struct nlattr *tb[],
				 struct vxhs_session_policy *policy,
				 struct netlink_ext_ack *extack)
{
	int ret;

	ret = vxhs_nl_get_ms(tb[VXHS_A_SESSION_KATO], "kato",
			     VXHS_MIN_KATO_MS, false, &policy->kato_ms, extack);
	if (ret < 0)
		return ret;
	ret = vxhs_nl_get_ms(tb[VXHS_A_SESSION_RECONNECT_DELAY],
			     "reconnect-delay", VXHS_MIN_DELAY_MS, false,
			     &policy->reconnect_delay_ms, extack);
	if (ret < 0)
		return ret;
	ret = vxhs_nl_get_ms(tb[VXHS_A_SESSION_REPLAY_DELAY],
			     "replay-delay", VXHS_MIN_DELAY_MS, false,
			     &policy->replay_delay_ms, extack);
	return ret < 0 ? ret : 0;
}

/**
 * vxhs_nl_parse_disk_policy - read a disk's policy
 * @tb: by enum of the disk's attributes
 * @policy: what is there of it is changed
 * @extack: told why not
 *
 * Return: VXHS_SET_*, which were there; or -EINVAL
 */
int vxhs_nl_parse_disk_policy(struct nlattr *tb[],
			      struct vxhs_policy *policy,
			      struct netlink_ext_ack *extack)
{
	int ret, what = 0;

	ret = vxhs_nl_get_ms(tb[VXHS_A_DISK_FAST_IO_FAIL_TMO],
			     "fast-io-fail-tmo", 0, true,
			     &policy->fast_io_fail_ms, extack);
	if (ret < 0)
		return ret;
	if (ret)
		what |= VXHS_SET_FAST_IO_FAIL;
	ret = vxhs_nl_get_ms(tb[VXHS_A_DISK_IO_TIMEOUT], "io-timeout", 0, false,
			     &policy->io_timeout_ms, extack);
	if (ret < 0)
		return ret;
	if (ret)
		what |= VXHS_SET_IO_TIMEOUT;
	ret = vxhs_nl_get_ms(tb[VXHS_A_DISK_SHUTDOWN_TMO], "shutdown-tmo", 0,
			     true, &policy->shutdown_ms, extack);
	if (ret < 0)
		return ret;
	if (ret)
		what |= VXHS_SET_SHUTDOWN;
	return what;
}

/* The attributes of the disk that a request names by its index. */
static int vxhs_nl_get_disk(struct genl_info *info, struct nlattr *tb[],
			    unsigned int *index)
{
	int ret;

	if (!info->attrs[VXHS_A_DISK])
		goto missing;
	ret = nla_parse_nested(tb, VXHS_A_DISK_MAX, info->attrs[VXHS_A_DISK],
			       vxhs_disk_nl_policy, info->extack);
	if (ret)
		return ret;
	if (!tb[VXHS_A_DISK_INDEX])
		goto missing;
	*index = nla_get_u32(tb[VXHS_A_DISK_INDEX]);
	return 0;

missing:
	NL_SET_ERR_MSG(info->extack, "disk.index is missing");
	return -EINVAL;
}

static int vxhs_nl_get_index(struct genl_info *info, unsigned int *index)
{
	struct nlattr *tb[VXHS_A_DISK_MAX + 1];

	return vxhs_nl_get_disk(info, tb, index);
}

int vxhs_nl_detach_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[VXHS_A_DISK_MAX + 1];
	unsigned int index;
	bool force = false;
	int ret;

	ret = vxhs_nl_get_disk(info, tb, &index);
	if (ret)
		return ret;
	if (tb[VXHS_A_DISK_FORCE])
		force = nla_get_u32(tb[VXHS_A_DISK_FORCE]);
	return vxhs_disk_detach(index, force, info->extack);
}

int vxhs_nl_ack_loss_doit(struct sk_buff *skb, struct genl_info *info)
{
	unsigned int index;
	int ret = vxhs_nl_get_index(info, &index);

	return ret ?: vxhs_disk_ack_loss(index, info->extack);
}

/* @key is for the portals. */
static int vxhs_nl_parse_set_session(struct nlattr *nest, struct vxhs_set *set,
				     struct vxhs_session_key *key,
				     struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VXHS_A_SESSION_MAX + 1];
	int ret;

	ret = nla_parse_nested(tb, VXHS_A_SESSION_MAX, nest,
			       vxhs_session_nl_policy, extack);
	if (ret)
		return ret;
	if (tb[VXHS_A_SESSION_TLS] || tb[VXHS_A_SESSION_TLS_PEERNAME] ||
	    tb[VXHS_A_SESSION_TLS_IDENTITY] || tb[VXHS_A_SESSION_TLS_PSK] ||
	    tb[VXHS_A_SESSION_ALLOW_UNVERIFIED]) {
		NL_SET_ERR_MSG(extack,
			       "TLS of a session cannot be changed; detach and attach");
		return -EINVAL;
	}
	ret = vxhs_nl_parse_session_policy(tb, &set->session_policy, extack);
	if (ret)
		return ret;
	if (tb[VXHS_A_SESSION_PORTAL])
		set->key = key;
	return vxhs_nl_parse_portals(nest, key, extack);
}

int vxhs_nl_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *session = info->attrs[VXHS_A_SESSION];
	struct nlattr *tb[VXHS_A_DISK_MAX + 1];
	struct vxhs_session_key *key;
	struct vxhs_set set = { };
	unsigned int index;
	int ret;

	ret = vxhs_nl_get_disk(info, tb, &index);
	if (ret)
		return ret;
	ret = vxhs_nl_parse_disk_policy(tb, &set.policy, info->extack);
	if (ret < 0)
		return ret;
	set.what = ret;

	key = kzalloc(sizeof(*key), GFP_KERNEL);
	if (!key)
		return -ENOMEM;
	ret = 0;
	if (session)
		ret = vxhs_nl_parse_set_session(session, &set, key,
						info->extack);
	if (!ret && !set.what && !set.key &&
	    !memchr_inv(&set.session_policy, 0, sizeof(set.session_policy))) {
		NL_SET_ERR_MSG(info->extack, "set names nothing to set");
		ret = -EINVAL;
	}
	if (!ret)
		ret = vxhs_disk_set(index, &set, info->extack);
	kfree(key);
	return ret;
}

int vxhs_nl_disk_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct vxhs_disk *disk;
	unsigned int index;
	int ret = vxhs_nl_get_index(info, &index);

	if (ret)
		return ret;
	disk = vxhs_disk_find(index);
	if (!disk) {
		NL_SET_ERR_MSG_FMT(info->extack, "vxhs%u is not attached",
				   index);
		return -ENODEV;
	}
	ret = vxhs_nl_reply(info, disk, disk->session);
	vxhs_disk_put(disk);
	return ret;
}

int vxhs_nl_disk_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	unsigned int index = cb->args[0];
	struct vxhs_disk *disk;
	int ret = 0;

	while (!ret && (disk = vxhs_disk_next(&index))) {
		ret = vxhs_nl_fill(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, NLM_F_MULTI,
				   VXHS_CMD_DISK_GET, disk, disk->session);
		vxhs_disk_put(disk);
		if (!ret)
			index++;
	}
	cb->args[0] = index;
	return ret && skb->len ? skb->len : ret;
}

int vxhs_nl_session_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *tb[VXHS_A_SESSION_MAX + 1];
	struct vxhs_session *session;
	int ret;

	if (!info->attrs[VXHS_A_SESSION])
		goto missing;
	ret = nla_parse_nested(tb, VXHS_A_SESSION_MAX,
			       info->attrs[VXHS_A_SESSION],
			       vxhs_session_nl_policy, info->extack);
	if (ret)
		return ret;
	if (!tb[VXHS_A_SESSION_ID])
		goto missing;

	session = vxhs_session_find(nla_get_u64(tb[VXHS_A_SESSION_ID]));
	if (!session) {
		NL_SET_ERR_MSG(info->extack, "there is no such session");
		return -ENOENT;
	}
	ret = vxhs_nl_reply(info, NULL, session);
	vxhs_session_put(session);
	return ret;

missing:
	NL_SET_ERR_MSG(info->extack, "session.id is missing");
	return -EINVAL;
}

int vxhs_nl_session_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct vxhs_session *session = NULL;
	unsigned long skip = cb->args[0];
	unsigned long n = 0;
	int ret = 0;

	while ((session = vxhs_session_next_of(session))) {
		if (n++ < skip)
			continue;
		ret = vxhs_nl_fill(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, NLM_F_MULTI,
				   VXHS_CMD_SESSION_GET, NULL, session);
		if (ret) {
			vxhs_session_put(session);
			n--;
			break;
		}
	}
	cb->args[0] = n;
	return ret && skb->len ? skb->len : ret;
}

/* As generated, but for who may listen. */
static const struct genl_multicast_group vxhs_mcgrps[] = {
	[VXHS_NLGRP_STATE] = {
		.name	= VXHS_MCGRP_STATE,
		.flags	= GENL_MCAST_CAP_SYS_ADMIN,
	},
};

/**
 * vxhs_netlink_init - module init of this room
 *
 * Return: 0 or a negative errno
 */
int __init vxhs_netlink_init(void)
{
	int ret = vxhs_netlink_attach_init();

	if (ret)
		return ret;
	vxhs_nl_family.mcgrps = vxhs_mcgrps;
	vxhs_nl_family.n_mcgrps = ARRAY_SIZE(vxhs_mcgrps);
	ret = genl_register_family(&vxhs_nl_family);
	if (ret)
		vxhs_netlink_attach_exit();
	return ret;
}

/** vxhs_netlink_exit - module exit of this room */
void vxhs_netlink_exit(void)
{
	genl_unregister_family(&vxhs_nl_family);
	vxhs_netlink_attach_exit();
}
