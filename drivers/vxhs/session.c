// SPDX-License-Identifier: GPL-2.0
/*
 * The relation to one server: made by the first attach, shared by all disks
 * between the same ends, ended with the last detach.
 *
 * Locks, outermost first: session->lock (attach and detach; I/O never waits
 * for it), session->commands (who sends commands; its holder may wait for a
 * server, but allocates nothing that waits for I/O, for recovery needs it),
 * session->lanes_lock (who ends lanes; waits for no server while there are
 * disks), a lane's tx.lock, the socket's lock, command.lock, state_lock.  The
 * list of sessions has a mutex that is held only to look.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/inet.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <net/sock.h>

#include "disk.h"
#include "lane.h"
#include "netlink.h"
#include "recovery.h"
#include "receive.h"
#include "send.h"
#include "session.h"
#include "trace.h"

/* How long a new session asks at one portal before it tries the next. */
#define VXHS_NOT_HERE	HZ

static LIST_HEAD(sessions);
static DEFINE_MUTEX(sessions_lock);	/* protects the list */

/**
 * vxhs_session_event - something happens to a session
 * @session: to which
 * @event: what
 *
 * Context: any.
 * Return: VXHS_DO_*, what the caller is to do
 */
u32 vxhs_session_event(struct vxhs_session *session,
		       enum vxhs_session_event event)
{
	struct vxhs_session_step step;
	enum vxhs_session_state old;
	unsigned long flags;

	spin_lock_irqsave(&session->state_lock, flags);
	old = session->state;
	step = vxhs_session_next(old, event);
	WRITE_ONCE(session->state, step.state);
	spin_unlock_irqrestore(&session->state_lock, flags);

	if (step.state != old) {
		trace_vxhs_session_state(session, old, step.state);
		wake_up_all(&session->waiters);
	}
	return step.actions;
}

/* What the wire says of a reply's status, for who attaches. */
static int vxhs_session_status_error(u16 status, const char *command,
				     struct netlink_ext_ack *extack)
{
	switch (status) {
	case VXHS_ST_NOT_FOUND:
		NL_SET_ERR_MSG(extack,
			       "the server has no vdisk of that name; look at its exports");
		return -ENOENT;
	case VXHS_ST_DENIED:
		NL_SET_ERR_MSG(extack,
			       "the server denies this host that vdisk; look at its access list");
		return -EACCES;
	case VXHS_ST_READ_ONLY:
		NL_SET_ERR_MSG(extack,
			       "the server exports that vdisk read-only; use --read-only");
		return -EROFS;
	case VXHS_ST_BUSY:
		NL_SET_ERR_MSG(extack,
			       "the vdisk is exclusively open elsewhere, \"vxhsctl leases\" on the storage server tells where; detach it there first, or use --take-over");
		return -EBUSY;
	case VXHS_ST_AGAIN:
		NL_SET_ERR_MSG(extack,
			       "the server still drains or waits for that vdisk; try again");
		return -EAGAIN;
	case VXHS_ST_GOING_AWAY:
		NL_SET_ERR_MSG(extack,
			       "the server is shutting down; try again when it is back");
		return -EHOSTDOWN;
	default:
		NL_SET_ERR_MSG_FMT(extack, "server answered %s with: %s (%u)",
				   command, vxhs_status_text(status), status);
		return -EIO;
	}
}

static int vxhs_session_rule_error(enum vxhs_rule rule,
				   struct netlink_ext_ack *extack)
{
	NL_SET_ERR_MSG_FMT(extack, "server: %s", vxhs_rule_text(rule));
	return -EPROTO;
}

/* A command got no reply. */
static int vxhs_session_command_error(struct vxhs_lane *lane, int ret,
				      const char *command,
				      struct netlink_ext_ack *extack)
{
	const char *reason = READ_ONCE(lane->reason);
	/* With STAT, the first, it learns what is spoken. */
	bool plain = !strcmp(command, "STAT") && !lane->session->key.tls.peername;

	switch (ret) {
	case -ETIMEDOUT:
		NL_SET_ERR_MSG_FMT(extack,
				   "server took the connection but does not answer %s",
				   command);
		break;
	case -EBUSY:
		NL_SET_ERR_MSG(extack,
			       "server has not answered an earlier command yet; try again");
		break;
	default:
		NL_SET_ERR_MSG_FMT(extack, "server, %s: %.*s%s", command,
				   plain ? 40 : 60, reason ?: "connection broke",
				   plain ? "; does it want --tls?" : "");
	}
	return ret;
}

/*
 * The digests that a lane offers: what was asked for, and then what the first
 * lane got.  Pages are stable, or not, for a disk's life; and nothing that
 * protects its data may end without a word.
 */
static u64 vxhs_session_digests(const struct vxhs_session *session)
{
	if (session->dialect)
		return session->features & VXHS_DIGESTS;
	return session->key.digests == VXHS_DIGESTS_NONE ? 0 : VXHS_DIGESTS;
}

/* Has the server taken those without which this lane is not to be used? */
static int vxhs_session_check_digests(const struct vxhs_session *session,
				      u64 features,
				      struct netlink_ext_ack *extack)
{
	if (!(vxhs_session_digests(session) & ~features))
		return 0;
	if (session->dialect) {
		NL_SET_ERR_MSG(extack,
			       "server protected this session's data with digests before and now does not: refused");
		return -EPROTO;
	}
	if (session->key.digests == VXHS_DIGESTS_REQUIRED) {
		NL_SET_ERR_MSG(extack,
			       "the server does not offer digests; attach without --digests");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* STAT with an offer decides the dialect.  Return: 0 or a negative errno */
static int vxhs_session_negotiate(struct vxhs_session *session,
				  struct vxhs_lane *lane,
				  unsigned long deadline,
				  struct netlink_ext_ack *extack)
{
	u64 offer = vxhs_session_digests(session) | VXHS_F_EVENTS;
	u16 version;
	u64 features;
	enum vxhs_rule rule;
	int ret;

	/* What began without a fence goes on without: its disks have no FLUSH. */
	if (session->dialect == VXHS_DIALECT_V34)
		offer = VXHS_NO_OFFER;
	ret = vxhs_lane_stat(lane, session->vdisk, offer, deadline);
	if (ret)
		return vxhs_session_command_error(lane, ret, "STAT", extack);
	if (offer == VXHS_NO_OFFER)
		return 0;
	rule = vxhs_get_choice(&lane->command.offer, offer, &version,
			       &features);
	if (rule == VXHS_RULE_VERSION) {
		NL_SET_ERR_MSG_FMT(extack,
				   "no common protocol version: this host has %u to %u, the server none",
				   VXHS_VERSION, VXHS_VERSION);
		return -EPROTO;
	}
	if (rule)
		return vxhs_session_rule_error(rule, extack);

	if (!version) {
		if (session->dialect == VXHS_DIALECT_NATIVE) {
			NL_SET_ERR_MSG(extack,
				       "server spoke VXHS 1 before and now only QNIO v34: refused");
			return -EPROTO;
		}
		if (session->key.tls.peername &&
		    !session->key.allow_unverified) {
			NL_SET_ERR_MSG(extack,
				       "server speaks only QNIO v34, which does not verify what TLS protects; use --allow-unverified");
			return -EPROTO;
		}
		return vxhs_session_check_digests(session, 0, extack);
	}
	ret = vxhs_session_check_digests(session, features, extack);
	if (ret)
		return ret;

	lock_sock(lane->sock->sk);
	ret = vxhs_receive_is_idle(lane) ? 0 : -EPROTO;
	lane->dialect = VXHS_DIALECT_NATIVE;
	lane->features = features;
	lane->offered = offer;
	vxhs_receive_reset(lane);
	release_sock(lane->sock->sk);
	if (ret)
		NL_SET_ERR_MSG(extack,
			       "server sent more than the answer to STAT");
	return ret;
}

static int vxhs_session_login(struct vxhs_session *session,
			      struct vxhs_lane *lane, struct vxhs_grant *grant,
			      unsigned long deadline,
			      struct netlink_ext_ack *extack)
{
	struct vxhs_login login = {
		.session_id = session->id,
		.features = lane->offered,
		.epoch = session->epoch,
		.kato_ms = READ_ONCE(session->policy.kato_ms),
		.lane = lane->index,
		.lane_count = session->nr_lanes,
		.min_version = VXHS_VERSION,
		.max_version = VXHS_VERSION,
	};
	struct vxhs_login_req body;
	enum vxhs_rule rule;
	int ret;

	session->login_sent = true;
	memcpy(login.host_id, session->key.host_id, sizeof(login.host_id));
	vxhs_put_login(&body, &login);
	for (;;) {
		ret = vxhs_lane_command(lane, VXHS_OP_LOGIN, &body,
					sizeof(body), 0, deadline);
		if (ret)
			return vxhs_session_command_error(lane, ret, "LOGIN",
							  extack);
		if (lane->command.status != VXHS_ST_AGAIN ||
		    time_after(jiffies + HZ / 10, deadline))
			break;
		schedule_timeout_uninterruptible(HZ / 10 + 1);
	}
	/* Of an older epoch, or forgotten: only a new epoch helps. */
	if (lane->command.status == VXHS_ST_STALE ||
	    lane->command.status == VXHS_ST_NO_SESSION) {
		NL_SET_ERR_MSG(extack, "the server refuses this epoch");
		return -ESTALE;
	}
	if (lane->command.status)
		return vxhs_session_status_error(lane->command.status, "LOGIN",
						 extack);
	rule = vxhs_get_grant((struct vxhs_login_rsp *)lane->command.in,
			      lane->features, grant);
	if (rule)
		return vxhs_session_rule_error(rule, extack);
	return 0;
}

/* Does it wait for a server? */
static bool vxhs_session_is_down(const struct vxhs_session *session)
{
	enum vxhs_session_state state = READ_ONCE(session->state);

	return state == VXHS_SESSION_STATE_RECOVERING ||
	       state == VXHS_SESSION_STATE_FAILING;
}

/*
 * The first lane of all decides the disks' limits; that of a later epoch, on
 * another server maybe, must grant as much; others belong to the same server.
 */
static int vxhs_session_check_grant(struct vxhs_session *session,
				    const struct vxhs_grant *grant,
				    struct netlink_ext_ack *extack)
{
	struct vxhs_grant *have = &session->grant;
	bool first = session->beginning;

	if (!have->max_io) {
		*have = *grant;
		return 0;
	}
	if (!first && (memcmp(grant->server_id, have->server_id,
			      sizeof(grant->server_id)) ||
		       grant->instance != have->instance)) {
		vxhs_session_rule_error(VXHS_RULE_INSTANCE, extack);
		return -ESTALE;
	}
	if (grant->max_io < have->max_io)
		return vxhs_session_rule_error(VXHS_RULE_MAX_IO, extack);
	if (grant->max_inflight_bytes < have->max_io)
		return vxhs_session_rule_error(VXHS_RULE_MAX_INFLIGHT_BYTES,
					       extack);
	if (first) {
		u32 max_io = have->max_io;

		*have = *grant;
		have->max_io = max_io;
	}
	return 0;
}

/**
 * vxhs_session_start_lane - connect a lane to the current portal, and log in
 * @session: commands held; or connecting, and locked
 * @lane: which is down
 * @deadline: in jiffies
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0 and the lane is up; -ESTALE if the server is another one or does
 * not take this epoch; or another negative errno.  Then the caller aborts it.
 */
int vxhs_session_start_lane(struct vxhs_session *session,
			    struct vxhs_lane *lane, unsigned long deadline,
			    struct netlink_ext_ack *extack)
{
	struct sockaddr_storage portal;
	struct vxhs_grant grant = {
		.max_inflight = VXHS_V34_INFLIGHT,
		.max_inflight_bytes = VXHS_V34_INFLIGHT_BYTES,
		.max_io = VXHS_MAX_IO,
	};
	int ret;

	spin_lock_irq(&session->state_lock);
	portal = session->key.portal[session->current_portal];
	spin_unlock_irq(&session->state_lock);
	ret = vxhs_lane_connect(lane, &portal, deadline, extack);
	if (ret)
		return ret;
	ret = vxhs_session_negotiate(session, lane, deadline, extack);
	if (ret)
		return ret;
	if (session->dialect && lane->dialect != session->dialect)
		return vxhs_session_rule_error(VXHS_RULE_INSTANCE, extack);

	if (lane->dialect == VXHS_DIALECT_NATIVE) {
		ret = vxhs_session_login(session, lane, &grant, deadline,
					 extack);
		if (ret)
			return ret;
	}
	ret = vxhs_session_check_grant(session, &grant, extack);
	if (ret)
		return ret;
	if (!session->dialect) {
		session->dialect = lane->dialect;
		session->features = lane->features;
	}
	if (lane->dialect == VXHS_DIALECT_NATIVE) {
		lane->max_inflight = min(grant.max_inflight, 1U << 20);
		lane->max_inflight_bytes = grant.max_inflight_bytes;
		vxhs_lane_keepalive_start(lane, grant.kato_ms);
	}
	return 0;
}

static int vxhs_session_alloc_lanes(struct vxhs_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_lanes; i++) {
		session->lanes[i] = vxhs_lane_alloc(session, i);
		if (!session->lanes[i])
			return -ENOMEM;
	}
	return 0;
}

static int vxhs_session_alloc_tags(struct vxhs_session *session)
{
	struct blk_mq_tag_set *set = &session->tag_set;
	unsigned int lanes = session->nr_lanes - session->nr_poll;
	int ret;

	session->nr_queues = min(lanes, num_possible_cpus());
	session->spread = session->nr_queues != lanes;

	set->ops = &vxhs_mq_ops;
	set->driver_data = session;
	set->nr_maps = session->nr_poll ? HCTX_MAX_TYPES : 1;
	set->nr_hw_queues = session->nr_queues + session->nr_poll;
	set->queue_depth = VXHS_MAX_DEPTH;
	set->numa_node = NUMA_NO_NODE;
	set->cmd_size = sizeof(struct vxhs_io);
	set->timeout = VXHS_IDLE_TIME;
	/*
	 * Sending takes a mutex.  STACKING: CPU offlining does not wait for
	 * our requests, which may wait for a server.
	 */
	set->flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_BLOCKING |
		     BLK_MQ_F_STACKING | BLK_MQ_F_NO_SCHED_BY_DEFAULT;
	ret = blk_mq_alloc_tag_set(set);
	if (ret)
		return ret;
	session->has_tag_set = true;
	session->keeper = blk_mq_alloc_queue(set, NULL, NULL);
	if (IS_ERR(session->keeper)) {
		ret = PTR_ERR(session->keeper);
		session->keeper = NULL;
		return ret;
	}
	session->slots = kvcalloc((size_t)set->nr_hw_queues * set->queue_depth,
				  sizeof(*session->slots), GFP_KERNEL);
	return session->slots ? 0 : -ENOMEM;
}

/* The lanes of a new session; the session's lock held. */
static int vxhs_session_connect(struct vxhs_session *session,
				unsigned long deadline,
				struct netlink_ext_ack *extack)
{
	unsigned int i;
	int ret;

	ret = vxhs_session_alloc_lanes(session);
	if (ret)
		return ret;

	/* The first portal that answers serves all lanes. */
	for (i = 0; i < session->key.nr_portals; i++) {
		unsigned int left = session->key.nr_portals - i;
		unsigned long until;

		until = jiffies + vxhs_jiffies_left(deadline) / left;
		session->current_portal = i;
		ret = vxhs_session_start_lane(session, session->lanes[0], until,
					      extack);
		if (!ret)
			break;
		vxhs_lane_abort(session->lanes[0]);
	}
	if (ret)
		return ret;

	if (session->dialect == VXHS_DIALECT_V34 &&
	    session->nr_lanes > VXHS_V34_MAX_LANES) {
		NL_SET_ERR_MSG(extack,
			       "server speaks QNIO v34: at most 8 connections; use --lanes, --poll-lanes");
		return -EINVAL;
	}
	cmpxchg(&session->lanes[0]->state, VXHS_LANE_UP, VXHS_LANE_LIVE);
	for (i = 1; i < session->nr_lanes; i++) {
		ret = vxhs_session_start_lane(session, session->lanes[i],
					      deadline, extack);
		if (ret)
			return ret == -ESTALE ? -EPROTO : ret;
		cmpxchg(&session->lanes[i]->state, VXHS_LANE_UP,
			VXHS_LANE_LIVE);
	}
	return vxhs_session_alloc_tags(session);
}

/**
 * vxhs_session_lanes_up - how many lanes work
 * @session: any
 *
 * Context: any.
 * Return: that number
 */
unsigned int vxhs_session_lanes_up(const struct vxhs_session *session)
{
	unsigned int i, up = 0;

	for (i = 0; i < session->nr_lanes; i++)
		up += session->lanes[i] && vxhs_lane_is_up(session->lanes[i]);
	return up;
}

/**
 * vxhs_session_lane_broken - a lane has become BROKEN
 * @session: its session
 * @lane: the lane
 * @reason: a constant string
 *
 * Context: any, softirq with the socket's lock held included.
 */
void vxhs_session_lane_broken(struct vxhs_session *session,
			      struct vxhs_lane *lane, const char *reason)
{
	WRITE_ONCE(session->reason, reason);
	if (__ratelimit(&session->messages))
		pr_warn("%s: lane %u closed: %s\n", session->host, lane->index,
			reason);
	vxhs_lane_command_end(lane, -ECONNRESET);
	vxhs_recovery_wake(session);
}

/**
 * vxhs_session_pick - the lane for a request
 * @session: which was live
 * @home: vxhs_session_home() of the request
 *
 * The next lane stands in for one that is not live.
 *
 * Context: any.
 * Return: a lane; if none is live, the one where the request waits
 */
struct vxhs_lane *vxhs_session_pick(struct vxhs_session *session,
				    unsigned int home)
{
	unsigned int index = home;

	do {
		struct vxhs_lane *lane = session->lanes[index];

		if (likely(vxhs_lane_is_live(lane)))
			return lane;
		if (++index == session->nr_lanes)
			index = 0;
	} while (index != home);
	return session->lanes[home];
}

/**
 * vxhs_session_kick - send what is queued on any lane
 * @session: live
 *
 * Context: task.
 */
void vxhs_session_kick(struct vxhs_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_lanes; i++)
		vxhs_send_kick(session->lanes[i]);
}

/**
 * vxhs_session_commit - a hardware queue's batch is complete: send it
 * @session: live
 * @lane: the lane of the last request
 * @first: what vxhs_send_push() said of the last request
 *
 * Context: task.
 */
void vxhs_session_commit(struct vxhs_session *session, struct vxhs_lane *lane,
			 bool first)
{
	/* One batch may have gone to several lanes. */
	if (unlikely(session->spread))
		vxhs_session_kick(session);
	else
		vxhs_send_commit(lane, first);
}

/*
 * v34 vdisks have no UUID, yet udev and multipath need one that is stable and
 * differs: the server's name and the vdisk's, hashed.
 */
static void vxhs_session_v34_id(const struct vxhs_session *session,
				const char *vdisk, u8 id[16])
{
	static const siphash_key_t keys[2] = {
		{ { 0x5658485331763334ULL, 1 } },
		{ { 0x5658485331763334ULL, 2 } },
	};
	char name[VXHS_HOST_MAX + VXHS_NAME_MAX + 2] = {};
	unsigned int i;

	snprintf(name, sizeof(name), "%s/%s", session->host, vdisk);
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		put_unaligned_le64(siphash(name, strlen(name), &keys[i]),
				   id + 8 * i);
	id[6] = (id[6] & 0x0f) | 0x80;	/* RFC 9562: version 8, */
	id[8] = (id[8] & 0x3f) | 0x80;	/* the usual variant */
}

/*
 * A vdisk's size is all that v34 tells; and after a break, whether the server
 * has taken it over.
 */
static int vxhs_session_open_v34(struct vxhs_session *session,
				 struct vxhs_lane *lane,
				 const struct vxhs_open *open,
				 struct vxhs_geometry *geometry,
				 unsigned long deadline,
				 struct netlink_ext_ack *extack)
{
	enum vxhs_rule rule;
	u64 size;
	int ret;

	ret = vxhs_lane_stat(lane, open->name, VXHS_NO_OFFER, deadline);
	if (ret)
		return vxhs_session_command_error(lane, ret, "STAT", extack);
	if (lane->command.err) {
		NL_SET_ERR_MSG_FMT(extack, "server answered STAT with error %d",
				   lane->command.err);
		return lane->command.err == VXHS_V34_ENOENT ?
		       VXHS_ST_NOT_FOUND : VXHS_ST_IO;
	}
	rule = vxhs_v34_get_size(lane->command.in, lane->command.in_len, &size);
	if (rule)
		return vxhs_session_rule_error(rule, extack);
	/* That is how a v34 server says it. */
	if (!size) {
		vxhs_session_status_error(VXHS_ST_NOT_FOUND, "STAT", extack);
		return VXHS_ST_NOT_FOUND;
	}
	if (size % SECTOR_SIZE || size >> 63)
		return vxhs_session_rule_error(VXHS_RULE_SIZE, extack);
	if (session->recoveries || vxhs_session_is_down(session)) {
		ret = vxhs_lane_ready(lane, open->name, deadline);
		if (ret)
			return vxhs_session_command_error(lane, ret, "READY",
							  extack);
		if (lane->command.err)
			return VXHS_ST_AGAIN;
	}

	*geometry = (struct vxhs_geometry) {
		.size = size,
		.handle = 1,
		.logical_block = SECTOR_SIZE,
		.physical_block = SECTOR_SIZE,
		.caps = open->mode == VXHS_OPEN_RO ?
			VXHS_CAP_READ_ONLY : 0,
	};
	vxhs_session_v34_id(session, open->name, geometry->vdisk_id);
	return 0;
}

/**
 * vxhs_session_open_vdisk - ask for a vdisk, once
 * @session: commands held
 * @lane: which is up
 * @open: the vdisk, and how
 * @geometry: the result, checked by itself, not against other disks
 * @deadline: in jiffies
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0, a status of the wire (> 0), or a negative errno if there is no
 * answer or a malformed one
 */
int vxhs_session_open_vdisk(struct vxhs_session *session,
			    struct vxhs_lane *lane,
			    const struct vxhs_open *open,
			    struct vxhs_geometry *geometry,
			    unsigned long deadline,
			    struct netlink_ext_ack *extack)
{
	u8 body[VXHS_OPEN_BODY_MAX];
	enum vxhs_rule rule;
	int ret;

	lockdep_assert_held(&session->commands);
	if (lane->dialect != VXHS_DIALECT_NATIVE)
		return vxhs_session_open_v34(session, lane, open, geometry,
					     deadline, extack);

	ret = vxhs_lane_command(lane, VXHS_OP_OPEN, body,
				vxhs_put_open(body, open), 0, deadline);
	if (ret)
		return vxhs_session_command_error(lane, ret, "OPEN", extack);
	if (lane->command.status) {
		vxhs_session_status_error(lane->command.status, "OPEN", extack);
		return lane->command.status;
	}
	rule = vxhs_get_geometry((struct vxhs_open_rsp *)lane->command.in,
				 geometry);
	if (rule) {
		if (geometry->handle)
			vxhs_lane_command(lane, VXHS_OP_CLOSE, NULL, 0,
					  geometry->handle, jiffies + 2 * HZ);
		return vxhs_session_rule_error(rule, extack);
	}
	return 0;
}

/* Commands held; no request for @handle is on any lane. */
static void vxhs_session_close_handle(struct vxhs_session *session, u32 handle)
{
	struct vxhs_lane *lane = vxhs_session_pick(session, 0);

	if (vxhs_lane_is_live(lane) && lane->dialect == VXHS_DIALECT_NATIVE)
		vxhs_lane_command(lane, VXHS_OP_CLOSE, NULL, 0, handle,
				  jiffies + 2 * HZ);
}

/**
 * vxhs_session_has_handle - has another disk this handle in this epoch?
 * @session: commands held
 * @disk: which has it now
 * @handle: from the answer to its OPEN
 *
 * Return: true if the server gave it twice
 */
bool vxhs_session_has_handle(const struct vxhs_session *session,
			     const struct vxhs_disk *disk, u32 handle)
{
	const struct vxhs_disk *other;

	if (session->dialect != VXHS_DIALECT_NATIVE)
		return false;
	list_for_each_entry(other, &session->disks, entry) {
		if (other != disk && other->epoch == session->epoch &&
		    other->geometry.handle == handle)
			return true;
	}
	return false;
}

/* What a new disk's geometry must fit to.  Commands held. */
static int vxhs_session_check_new(struct vxhs_session *session,
				  const struct vxhs_disk *new,
				  const struct vxhs_geometry *geometry,
				  struct netlink_ext_ack *extack)
{
	if (vxhs_session_has_handle(session, new, geometry->handle))
		return vxhs_session_rule_error(VXHS_RULE_HANDLE, extack);
	if ((geometry->caps & VXHS_CAP_READ_ONLY) &&
	    new->mode != VXHS_MODE_READ_ONLY) {
		vxhs_session_close_handle(session, geometry->handle);
		return vxhs_session_status_error(VXHS_ST_READ_ONLY, "OPEN",
						 extack);
	}
	return 0;
}

/* One OPEN for a new disk.  Return: a status, or a negative errno. */
static int vxhs_session_try_add(struct vxhs_session *session,
				struct vxhs_disk *disk, u32 options,
				unsigned long deadline,
				struct netlink_ext_ack *extack)
{
	struct vxhs_open open = {
		.mode = (u32)disk->mode,
		.options = options,
	};
	unsigned int noio = memalloc_noio_save();
	struct vxhs_geometry geometry;
	struct vxhs_lane *lane;
	int ret = -ENOTCONN;

	strscpy(open.name, disk->name, sizeof(open.name));
	mutex_lock(&session->commands);
	lane = vxhs_session_pick(session, 0);
	if (!vxhs_lane_is_live(lane)) {
		NL_SET_ERR_MSG_FMT(extack,
				   "server, connection broke: %.50s",
				   READ_ONCE(session->reason) ?: "try again");
		goto out;
	}
	ret = vxhs_session_open_vdisk(session, lane, &open, &geometry, deadline,
				      extack);
	if (ret)
		goto out;
	ret = vxhs_session_check_new(session, disk, &geometry, extack);
	if (ret)
		goto out;
	disk->geometry = geometry;
	disk->epoch = session->epoch;
	/* Nothing of it is on any lane: each that is up may carry it. */
	bitmap_fill(disk->open, VXHS_MAX_LANES);
	mutex_lock(&session->lanes_lock);
	list_add_tail(&disk->entry, &session->disks);
	session->nr_disks++;
	mutex_unlock(&session->lanes_lock);
out:
	mutex_unlock(&session->commands);
	memalloc_noio_restore(noio);
	return ret;
}

/**
 * vxhs_session_add_disk - open a new disk's vdisk on the server
 * @session: locked
 * @disk: its name and mode are set; its geometry will be
 * @take_over: also if another host has it open
 * @deadline: in jiffies
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0 or a negative errno
 */
int vxhs_session_add_disk(struct vxhs_session *session, struct vxhs_disk *disk,
			  bool take_over, unsigned long deadline,
			  struct netlink_ext_ack *extack)
{
	u32 options = take_over ? VXHS_OPEN_TAKE_OVER : 0;
	unsigned long since = jiffies;
	int ret;

	lockdep_assert_held(&session->lock);
	/* It drains, or broke and recovers: both may be over in time. */
	for (;;) {
		ret = vxhs_session_try_add(session, disk, options, deadline,
					   extack);
		if ((ret != VXHS_ST_AGAIN && ret != -ENOTCONN &&
		     ret != -ECONNRESET) ||
		    time_after(jiffies + HZ / 10, deadline))
			break;
		/* Or the storage is with another server, which is a portal. */
		if (ret == VXHS_ST_AGAIN && !READ_ONCE(session->nr_disks) &&
		    session->key.nr_portals > 1 &&
		    time_after(jiffies, since + VXHS_NOT_HERE)) {
			vxhs_recovery_told(session, VXHS_SESSION_AWAY);
			since = jiffies;
		}
		schedule_timeout_uninterruptible(HZ / 10 + 1);
	}
	if (ret > 0)
		ret = vxhs_session_status_error(ret, "OPEN", extack);
	return ret;
}

/**
 * vxhs_session_remove_disk - a disk is gone: tell the server
 * @session: whose
 * @disk: no request of it is left
 *
 * Context: task, may sleep; waits for who sends a command.
 */
void vxhs_session_remove_disk(struct vxhs_session *session,
			      struct vxhs_disk *disk)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&session->commands);
	mutex_lock(&session->lanes_lock);
	session->nr_disks--;
	list_del(&disk->entry);
	mutex_unlock(&session->lanes_lock);
	/* Else LOGOUT will do; or the handle is another disk's by now. */
	if (session->nr_disks && !disk->failed &&
	    disk->epoch == session->epoch)
		vxhs_session_close_handle(session, disk->geometry.handle);
	mutex_unlock(&session->commands);
	memalloc_noio_restore(noio);
}

static void vxhs_session_release(struct kref *ref)
{
	struct vxhs_session *session = container_of(ref, struct vxhs_session,
						    ref);
	unsigned int i;

	/* Whose request ended last may still be on its way out of queue_rq. */
	if (session->has_tag_set)
		blk_mq_wait_quiesce_done(&session->tag_set);
	vxhs_recovery_stop(session);
	for (i = 0; i < session->nr_lanes; i++)
		vxhs_lane_free(session->lanes[i]);
	kvfree(session->slots);
	if (session->keeper) {
		blk_mq_destroy_queue(session->keeper);
		blk_put_queue(session->keeper);
	}
	if (session->has_tag_set)
		blk_mq_free_tag_set(&session->tag_set);
	mutex_destroy(&session->lanes_lock);
	mutex_destroy(&session->commands);
	mutex_destroy(&session->lock);
	kfree(session);
}

/**
 * vxhs_session_put - drop a reference
 * @session: not locked by the caller
 *
 * Context: task, may sleep.
 */
void vxhs_session_put(struct vxhs_session *session)
{
	kref_put(&session->ref, vxhs_session_release);
}

static void vxhs_session_close(struct vxhs_session *session)
{
	unsigned long deadline = jiffies + HZ;	/* for all lanes together */
	unsigned int i;

	vxhs_recovery_stop(session);
	mutex_lock(&session->lanes_lock);
	for (i = 0; i < session->nr_lanes; i++) {
		if (session->lanes[i])
			vxhs_lane_close(session->lanes[i], deadline);
	}
	mutex_unlock(&session->lanes_lock);

	mutex_lock(&sessions_lock);
	list_del_init(&session->entry);
	mutex_unlock(&sessions_lock);
	vxhs_netlink_notify(VXHS_CHANGE_SESSION_STATE, session, NULL);
	vxhs_session_put(session);
}

/**
 * vxhs_session_unlock - end the use that vxhs_session_get() began
 * @session: locked
 *
 * Closes the session if no disk uses it, and drops the caller's reference.
 */
void vxhs_session_unlock(struct vxhs_session *session)
{
	if (!session->nr_disks &&
	    READ_ONCE(session->state) != VXHS_SESSION_STATE_CLOSING) {
		vxhs_session_event(session, VXHS_SESSION_UNUSED);
		vxhs_session_close(session);
	}
	mutex_unlock(&session->lock);
	vxhs_session_put(session);
}

static void vxhs_session_apply_policy(struct vxhs_session *session,
				      const struct vxhs_session_policy *policy)
{
	struct vxhs_session_policy *to = &session->policy;

	if (policy->kato_ms)
		WRITE_ONCE(to->kato_ms, policy->kato_ms);
	if (policy->reconnect_delay_ms)
		WRITE_ONCE(to->reconnect_delay_ms, policy->reconnect_delay_ms);
	if (policy->replay_delay_ms)
		WRITE_ONCE(to->replay_delay_ms, policy->replay_delay_ms);
}

/**
 * vxhs_session_set_policy - change how a session behaves
 * @session: locked
 * @policy: 0 leaves a value as it is; kato holds from the next login on
 */
void vxhs_session_set_policy(struct vxhs_session *session,
			     const struct vxhs_session_policy *policy)
{
	lockdep_assert_held(&session->lock);
	vxhs_session_apply_policy(session, policy);
}

/**
 * vxhs_session_set_portals - replace the list of portals
 * @session: locked
 * @key: its portals count, one at least and no two the same
 *
 * Who reads portals holds one of: the session's lock, sessions_lock,
 * state_lock.  The session's host stays: names of its disks are made of it.
 *
 * Return: the portal in use is on the new list
 */
bool vxhs_session_set_portals(struct vxhs_session *session,
			      const struct vxhs_session_key *key)
{
	const struct sockaddr_storage *used;
	unsigned int i;
	bool found;

	lockdep_assert_held(&session->lock);
	mutex_lock(&sessions_lock);
	spin_lock_irq(&session->state_lock);
	used = &session->key.portal[session->current_portal];
	for (i = 0; i < key->nr_portals; i++) {
		if (!memcmp(&key->portal[i], used, sizeof(*used)))
			break;
	}
	found = i < key->nr_portals;
	memcpy(session->key.portal, key->portal, sizeof(key->portal));
	session->key.nr_portals = key->nr_portals;
	WRITE_ONCE(session->current_portal, found ? i : 0);
	spin_unlock_irq(&session->state_lock);
	mutex_unlock(&sessions_lock);
	return found;
}

static struct vxhs_session *vxhs_session_alloc(const struct vxhs_attach *attach)
{
	struct vxhs_session *session = kzalloc(sizeof(*session), GFP_KERNEL);

	if (!session)
		return NULL;
	session->key = *attach->key;
	strscpy(session->host, attach->host, sizeof(session->host));
	strscpy(session->interface, attach->interface,
		sizeof(session->interface));
	session->policy = (struct vxhs_session_policy) {
		.kato_ms = VXHS_KATO_MS,
		.reconnect_delay_ms = VXHS_RECONNECT_DELAY_MS,
		.replay_delay_ms = VXHS_REPLAY_DELAY_MS,
	};
	vxhs_session_apply_policy(session, &attach->session_policy);
	session->id = get_random_u64();
	session->epoch = 1;
	session->nr_poll = attach->poll_lanes;
	session->nr_lanes = session->nr_poll +
			    (attach->lanes ?: vxhs_session_default_lanes());
	kref_init(&session->ref);
	INIT_LIST_HEAD(&session->disks);
	strscpy(session->vdisk, attach->vdisk, sizeof(session->vdisk));
	mutex_init(&session->lock);
	mutex_init(&session->commands);
	mutex_init(&session->lanes_lock);
	init_waitqueue_head(&session->waiters);
	spin_lock_init(&session->state_lock);
	ratelimit_state_init(&session->messages, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	vxhs_recovery_prepare(session);
	return session;
}

/* Find or add; with a reference for the caller, not locked. */
static struct vxhs_session *vxhs_session_lookup(const struct vxhs_attach *attach)
{
	struct vxhs_session *session, *new;

	new = vxhs_session_alloc(attach);
	if (!new)
		return NULL;

	mutex_lock(&sessions_lock);
	list_for_each_entry(session, &sessions, entry) {
		enum vxhs_session_state state = READ_ONCE(session->state);

		if (state == VXHS_SESSION_STATE_CLOSING ||
		    memcmp(&session->key, attach->key, sizeof(session->key)) ||
		    strcmp(session->host, attach->host))
			continue;
		kref_get(&session->ref);
		mutex_unlock(&sessions_lock);
		vxhs_session_put(new);
		return session;
	}
	kref_get(&new->ref);
	list_add_tail(&new->entry, &sessions);
	mutex_unlock(&sessions_lock);
	return new;
}

/* A session's lanes are fixed for its life. */
static int vxhs_session_check_lanes(const struct vxhs_session *session,
				    const struct vxhs_attach *attach,
				    struct netlink_ext_ack *extack)
{
	unsigned int lanes = session->nr_lanes - session->nr_poll;

	if ((!attach->lanes || attach->lanes == lanes) &&
	    (!attach->poll_lanes || attach->poll_lanes == session->nr_poll))
		return 0;
	NL_SET_ERR_MSG_FMT(extack,
			   "its session has %u lanes and %u polled; detach its disks to change that",
			   lanes, session->nr_poll);
	return -EINVAL;
}

/* A session that recovers may be back in time. */
static int vxhs_session_wait_live(struct vxhs_session *session,
				  unsigned long deadline,
				  struct netlink_ext_ack *extack)
{
	if (wait_event_killable_timeout(session->waiters,
					!vxhs_session_is_down(session),
					vxhs_jiffies_left(deadline)) > 0)
		return 0;
	NL_SET_ERR_MSG_FMT(extack,
			   "no answer from the server since %u s; its disks wait for it",
			   jiffies_to_msecs(jiffies - session->down_since) /
			   1000);
	return -EHOSTDOWN;
}

/**
 * vxhs_session_get - a live session to a server, made if there is none
 * @attach: the key zero where unused, for it is compared bytewise
 * @deadline: in jiffies, for all of it
 * @extack: told why not
 *
 * Context: task, may sleep; no other call waits for this one but those for
 * the same session.
 * Return: the session, locked, with a reference for the caller, both ended by
 * vxhs_session_unlock(); or an ERR_PTR()
 */
struct vxhs_session *vxhs_session_get(const struct vxhs_attach *attach,
				      unsigned long deadline,
				      struct netlink_ext_ack *extack)
{
	struct vxhs_session *session;
	int ret;

again:
	session = vxhs_session_lookup(attach);
	if (!session)
		return ERR_PTR(-ENOMEM);
	if (mutex_lock_killable(&session->lock)) {
		vxhs_session_put(session);
		return ERR_PTR(-EINTR);
	}

	switch (READ_ONCE(session->state)) {
	case VXHS_SESSION_STATE_CONNECTING:
		ret = vxhs_session_connect(session, deadline, extack);
		session->live_since = jiffies;
		vxhs_session_event(session, ret ? VXHS_SESSION_PORTALS_TRIED :
						  VXHS_SESSION_OPENED);
		/* Nothing recovers it any more. */
		if (!ret &&
		    READ_ONCE(session->state) == VXHS_SESSION_STATE_CLOSING) {
			NL_SET_ERR_MSG(extack, "this host shuts down");
			ret = -ESHUTDOWN;
		}
		if (ret)
			vxhs_session_close(session);
		else
			vxhs_recovery_wake(session);
		break;
	case VXHS_SESSION_STATE_CLOSING:
		mutex_unlock(&session->lock);
		vxhs_session_put(session);
		goto again;
	default:
		ret = vxhs_session_check_lanes(session, attach, extack);
		if (!ret)
			vxhs_session_set_policy(session,
						&attach->session_policy);
		if (!ret)
			ret = vxhs_session_wait_live(session, deadline, extack);
	}
	if (!ret)
		return session;

	mutex_unlock(&session->lock);
	vxhs_session_put(session);
	return ERR_PTR(ret);
}

/**
 * vxhs_session_find - look up a session by its number
 * @id: the number
 *
 * Return: the session with a reference for the caller, or NULL
 */
struct vxhs_session *vxhs_session_find(u64 id)
{
	struct vxhs_session *session, *found = NULL;

	mutex_lock(&sessions_lock);
	list_for_each_entry(session, &sessions, entry) {
		if (session->id == id) {
			kref_get(&session->ref);
			found = session;
			break;
		}
	}
	mutex_unlock(&sessions_lock);
	return found;
}

/**
 * vxhs_session_next_of - walk the sessions
 * @session: where to go on, its reference is dropped; NULL for the first
 *
 * Return: the next session with a reference for the caller, or NULL
 */
struct vxhs_session *vxhs_session_next_of(struct vxhs_session *session)
{
	struct vxhs_session *next = NULL;
	struct list_head *entry;

	mutex_lock(&sessions_lock);
	/* One that left the list meanwhile points to itself: that is the end. */
	entry = session ? session->entry.next : sessions.next;
	if (entry != &sessions && (!session || entry != &session->entry)) {
		next = list_entry(entry, struct vxhs_session, entry);
		kref_get(&next->ref);
	}
	mutex_unlock(&sessions_lock);
	if (session)
		vxhs_session_put(session);
	return next;
}

/**
 * vxhs_session_shutdown - the host shuts down: no session waits for ever
 *
 * Context: task.
 */
void vxhs_session_shutdown(void)
{
	struct vxhs_session *session;

	mutex_lock(&sessions_lock);
	list_for_each_entry(session, &sessions, entry) {
		vxhs_session_event(session, VXHS_SESSION_SHUTDOWN);
		session->shutdown_since = jiffies;
		WRITE_ONCE(session->shutting_down, true);
		vxhs_recovery_wake(session);
	}
	mutex_unlock(&sessions_lock);
}
