// SPDX-License-Identifier: GPL-2.0
/*
 * The relation to one server: made by the first attach, shared by all disks
 * between the same ends, ended with the last detach.
 *
 * Locks, outermost first: session->lock (attach, detach, commands; held over
 * connect and login, so it is never taken to end I/O), session->lanes_lock
 * (who ends lanes), a lane's tx.lock, the socket's lock, command.lock,
 * state_lock.  The list of sessions has a mutex that is held only to look.
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
#include "receive.h"
#include "send.h"
#include "session.h"
#include "trace.h"

static LIST_HEAD(sessions);
static DEFINE_MUTEX(sessions_lock);	/* protects the list */

/* Ends lanes: must go on while lane workers wait, and under reclaim. */
static struct workqueue_struct *recovery_wq;

/**
 * vxhs_session_next - the session's state machine
 * @state: where it is
 * @event: what happens
 *
 * Return: where it goes; @state itself for an event that says nothing new
 */
enum vxhs_session_state vxhs_session_next(enum vxhs_session_state state,
					  enum vxhs_session_event event)
{
	if (state == VXHS_SESSION_STATE_CLOSING)
		return state;

	switch (event) {
	case VXHS_SESSION_CONNECTED:
		return state == VXHS_SESSION_STATE_CONNECTING ?
		       VXHS_SESSION_STATE_LIVE : state;
	case VXHS_SESSION_CONNECT_FAILED:
		return state == VXHS_SESSION_STATE_CONNECTING ?
		       VXHS_SESSION_STATE_CLOSING : state;
	case VXHS_SESSION_LANES_LOST:
		return state == VXHS_SESSION_STATE_LIVE ?
		       VXHS_SESSION_STATE_RECOVERING : state;
	case VXHS_SESSION_RECOVERED:
		return state == VXHS_SESSION_STATE_RECOVERING ||
		       state == VXHS_SESSION_STATE_FAILING ?
		       VXHS_SESSION_STATE_LIVE : state;
	case VXHS_SESSION_GIVEN_UP:
		return state == VXHS_SESSION_STATE_RECOVERING ?
		       VXHS_SESSION_STATE_FAILING : state;
	case VXHS_SESSION_UNUSED:
		return VXHS_SESSION_STATE_CLOSING;
	}
	return state;
}

/* Any context.  Return: the state changed */
static bool vxhs_session_event(struct vxhs_session *session,
			       enum vxhs_session_event event)
{
	enum vxhs_session_state old, new;
	unsigned long flags;

	spin_lock_irqsave(&session->state_lock, flags);
	old = session->state;
	new = vxhs_session_next(old, event);
	WRITE_ONCE(session->state, new);
	spin_unlock_irqrestore(&session->state_lock, flags);

	if (new != old)
		trace_vxhs_session_state(session, old, new);
	return new != old;
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
			       "the vdisk is exclusively open elsewhere; detach it there first");
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
		NL_SET_ERR_MSG_FMT(extack, "server, %s: %.60s", command,
				   reason ?: "connection broke");
	}
	return ret;
}

/* STAT with an offer decides the dialect.  Return: 0 or a negative errno */
static int vxhs_session_negotiate(struct vxhs_session *session,
				  struct vxhs_lane *lane, const char *vdisk,
				  unsigned long deadline,
				  struct netlink_ext_ack *extack)
{
	u64 offer = session->key.digests ? VXHS_DIGESTS : 0;
	u16 version;
	u64 features;
	enum vxhs_rule rule;
	int ret;

	ret = vxhs_lane_stat(lane, vdisk, offer, deadline);
	if (ret)
		return vxhs_session_command_error(lane, ret, "STAT", extack);
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
	if (offer && (!version || features != offer)) {
		NL_SET_ERR_MSG(extack,
			       "the server does not offer digests; attach without --digests");
		return -EOPNOTSUPP;
	}

	if (!version) {
		if (session->dialect == VXHS_DIALECT_NATIVE) {
			NL_SET_ERR_MSG(extack,
				       "server spoke VXHS 1 before and now only QNIO v34: refused");
			return -EPROTO;
		}
		return 0;
	}

	lock_sock(lane->sock->sk);
	ret = vxhs_receive_is_idle(lane) ? 0 : -EPROTO;
	lane->dialect = VXHS_DIALECT_NATIVE;
	lane->features = features;
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
		.features = lane->features,
		.epoch = session->epoch,
		.kato_ms = VXHS_KATO_MS,
		.lane = lane->index,
		.lane_count = session->nr_lanes,
		.min_version = VXHS_VERSION,
		.max_version = VXHS_VERSION,
	};
	struct vxhs_login_req body;
	enum vxhs_rule rule;
	int ret;

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
	if (lane->command.status)
		return vxhs_session_status_error(lane->command.status, "LOGIN",
						 extack);
	rule = vxhs_get_grant((struct vxhs_login_rsp *)lane->command.in,
			      lane->features, grant);
	if (rule)
		return vxhs_session_rule_error(rule, extack);
	return 0;
}

/* Bring one lane up on the current portal. */
static int vxhs_session_start_lane(struct vxhs_session *session,
				   unsigned int index, const char *vdisk,
				   unsigned long deadline,
				   struct netlink_ext_ack *extack)
{
	struct vxhs_lane *lane = session->lanes[index];
	struct sockaddr_storage *portal;
	struct vxhs_grant grant;
	int ret;

	portal = &session->key.portal[session->current_portal];
	ret = vxhs_lane_connect(lane, portal, deadline, extack);
	if (ret)
		return ret;
	ret = vxhs_session_negotiate(session, lane, vdisk, deadline, extack);
	if (ret)
		return ret;

	if (lane->dialect == VXHS_DIALECT_NATIVE) {
		ret = vxhs_session_login(session, lane, &grant, deadline,
					 extack);
		if (ret)
			return ret;
		if (index && (memcmp(grant.server_id, session->grant.server_id,
				     sizeof(grant.server_id)) ||
			      grant.instance != session->grant.instance))
			return vxhs_session_rule_error(VXHS_RULE_INSTANCE,
						       extack);
		/* The disks' limits come from the first lane. */
		if (index && grant.max_io < session->grant.max_io)
			return vxhs_session_rule_error(VXHS_RULE_MAX_IO,
						       extack);
		if (index && grant.max_inflight_bytes < session->grant.max_io)
			return vxhs_session_rule_error(VXHS_RULE_MAX_INFLIGHT_BYTES,
						       extack);
		lane->max_inflight = min(grant.max_inflight, 1U << 20);
		lane->max_inflight_bytes = grant.max_inflight_bytes;
		vxhs_lane_keepalive_start(lane, grant.kato_ms);
	} else {
		grant = (struct vxhs_grant) {
			.max_inflight = VXHS_V34_INFLIGHT,
			.max_inflight_bytes = VXHS_V34_INFLIGHT_BYTES,
			.max_io = VXHS_MAX_IO,
		};
	}
	if (!index) {
		session->grant = grant;
		session->dialect = lane->dialect;
	} else if (lane->dialect != session->dialect) {
		return vxhs_session_rule_error(VXHS_RULE_INSTANCE, extack);
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
	session->slots = kvcalloc((size_t)set->nr_hw_queues * set->queue_depth,
				  sizeof(*session->slots), GFP_KERNEL);
	return session->slots ? 0 : -ENOMEM;
}

/* The lanes of a new session; the session's lock held. */
static int vxhs_session_connect(struct vxhs_session *session,
				const char *vdisk, unsigned long deadline,
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

		until = jiffies + max((long)(deadline - jiffies), 1L) / left;
		session->current_portal = i;
		ret = vxhs_session_start_lane(session, 0, vdisk, until, extack);
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
	for (i = 1; i < session->nr_lanes; i++) {
		ret = vxhs_session_start_lane(session, i, vdisk, deadline,
					      extack);
		if (ret)
			return ret;
	}
	return vxhs_session_alloc_tags(session);
}

/* Fail what a lane carried; the lane is DOWN. */
static void vxhs_session_fail_lane(struct vxhs_session *session,
				   struct vxhs_lane *lane)
{
	unsigned int nr_slots, i;
	struct vxhs_io *io, *next;
	LIST_HEAD(flow);

	if (!session->slots)
		return;

	nr_slots = session->tag_set.nr_hw_queues * session->tag_set.queue_depth;
	for (i = 0; i < nr_slots; i++) {
		struct vxhs_slot *slot = &session->slots[i];
		u64 word = atomic64_read_acquire(&slot->word);

		if (!(word & VXHS_SLOT_ACTIVE) || slot->lane != lane)
			continue;
		io = vxhs_rq_to_io(slot->rq);
		/* A complete reply holds, whatever came afterwards. */
		if (!(word & VXHS_SLOT_REPLIED))
			io->status = BLK_STS_IOERR;
		vxhs_io_release(io);
		vxhs_io_end(io, NULL);
	}

	vxhs_send_take_flow(lane, &flow);
	list_for_each_entry_safe(io, next, &flow, entry) {
		io->status = BLK_STS_IOERR;
		vxhs_io_end(io, NULL);
	}
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

/* A lane that is BROKEN will be news of its own. */
static bool vxhs_session_all_down(const struct vxhs_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_lanes; i++) {
		if (READ_ONCE(session->lanes[i]->state) != VXHS_LANE_DOWN)
			return false;
	}
	return true;
}

/*
 * Ends broken lanes and fails what they carried.  Never takes session->lock:
 * its holder may wait for the very I/O that is failed here.
 */
static void vxhs_session_recover(struct work_struct *work)
{
	struct vxhs_session *session = container_of(work, struct vxhs_session,
						    recover);
	unsigned int noio, i;
	bool lost = false;

	/* Until it is live, who connects owns the lanes. */
	if (READ_ONCE(session->state) == VXHS_SESSION_STATE_CONNECTING)
		return;

	noio = memalloc_noio_save();
	mutex_lock(&session->lanes_lock);
	for (i = 0; i < session->nr_lanes; i++) {
		struct vxhs_lane *lane = session->lanes[i];

		if (!lane)
			break;
		if (READ_ONCE(lane->state) == VXHS_LANE_BROKEN) {
			vxhs_lane_abort(lane);
			lost = true;
		}
		if (READ_ONCE(lane->state) == VXHS_LANE_DOWN)
			vxhs_session_fail_lane(session, lane);
	}
	mutex_unlock(&session->lanes_lock);

	if (lost) {
		vxhs_netlink_notify(VXHS_CHANGE_LANE_LOST, session, NULL);
		if (vxhs_session_all_down(session) &&
		    vxhs_session_event(session, VXHS_SESSION_LANES_LOST)) {
			/* No policy waits yet: the wait is over at once. */
			vxhs_session_event(session, VXHS_SESSION_GIVEN_UP);
			vxhs_netlink_notify(VXHS_CHANGE_SESSION_STATE, session,
					    NULL);
			pr_warn("%s: no lane is left, I/O fails until its disks are attached anew\n",
				session->host);
		}
	}
	memalloc_noio_restore(noio);
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
	queue_work(recovery_wq, &session->recover);
}

/**
 * vxhs_session_stranded - something may be left on a lane that ended
 * @session: the lane's session
 *
 * Context: any.
 */
void vxhs_session_stranded(struct vxhs_session *session)
{
	queue_work(recovery_wq, &session->recover);
}

/**
 * vxhs_session_pick - the lane for a request
 * @session: live
 * @queue: hardware queue of the request
 * @tag: of the request
 *
 * Each hardware queue has its lane, or several in turn where there are more
 * lanes than queues; polled queues have theirs, behind the others.  The next
 * one stands in for a lane that is missing.
 *
 * Context: any.
 * Return: a lane, or NULL if none is up
 */
struct vxhs_lane *vxhs_session_pick(struct vxhs_session *session,
				    unsigned int queue, unsigned int tag)
{
	unsigned int lanes = session->nr_lanes - session->nr_poll;
	unsigned int index = queue;
	unsigned int i;

	if (unlikely(queue >= session->nr_queues))
		index = lanes + queue - session->nr_queues;
	else if (unlikely(session->spread))
		index = (queue + tag * session->nr_queues) % lanes;
	for (i = 0; i < session->nr_lanes; i++) {
		struct vxhs_lane *lane = session->lanes[index];

		if (likely(vxhs_lane_is_up(lane)))
			return lane;
		if (++index == session->nr_lanes)
			index = 0;
	}
	return NULL;
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

/* A vdisk's size is all that v34 tells. */
static int vxhs_session_open_v34(struct vxhs_session *session,
				 struct vxhs_lane *lane, const char *vdisk,
				 enum vxhs_mode mode,
				 struct vxhs_geometry *geometry,
				 unsigned long deadline,
				 struct netlink_ext_ack *extack)
{
	enum vxhs_rule rule;
	u64 size;
	int ret;

	ret = vxhs_lane_stat(lane, vdisk, ~0ULL, deadline);
	if (ret)
		return vxhs_session_command_error(lane, ret, "STAT", extack);
	if (lane->command.err) {
		NL_SET_ERR_MSG_FMT(extack, "server answered STAT with error %d",
				   lane->command.err);
		return lane->command.err == VXHS_V34_ENOENT ? -ENOENT : -EIO;
	}
	rule = vxhs_v34_get_size(lane->command.in, lane->command.in_len, &size);
	if (rule)
		return vxhs_session_rule_error(rule, extack);
	/* That is how a v34 server says it. */
	if (!size)
		return vxhs_session_status_error(VXHS_ST_NOT_FOUND, "STAT",
						 extack);
	if (size % SECTOR_SIZE || size >> 63)
		return vxhs_session_rule_error(VXHS_RULE_SIZE, extack);

	*geometry = (struct vxhs_geometry) {
		.size = size,
		.handle = 1,
		.logical_block = SECTOR_SIZE,
		.physical_block = SECTOR_SIZE,
		.caps = mode == VXHS_MODE_READ_ONLY ? VXHS_CAP_READ_ONLY : 0,
	};
	vxhs_session_v34_id(session, vdisk, geometry->vdisk_id);
	return 0;
}

static int vxhs_session_open_native(struct vxhs_session *session,
				    struct vxhs_lane *lane, const char *vdisk,
				    enum vxhs_mode mode,
				    struct vxhs_geometry *geometry,
				    unsigned long deadline,
				    struct netlink_ext_ack *extack)
{
	struct vxhs_open open = {
		.mode = mode,
	};
	u8 body[VXHS_OPEN_BODY_MAX];
	struct vxhs_disk *disk;
	enum vxhs_rule rule;
	int ret;

	strscpy(open.name, vdisk, sizeof(open.name));
	for (;;) {
		ret = vxhs_lane_command(lane, VXHS_OP_OPEN, body,
					vxhs_put_open(body, &open), 0,
					deadline);
		if (ret)
			return vxhs_session_command_error(lane, ret, "OPEN",
							  extack);
		if (lane->command.status != VXHS_ST_AGAIN ||
		    time_after(jiffies + HZ / 10, deadline))
			break;
		schedule_timeout_uninterruptible(HZ / 10 + 1);
	}
	if (lane->command.status)
		return vxhs_session_status_error(lane->command.status, "OPEN",
						 extack);
	rule = vxhs_get_geometry((struct vxhs_open_rsp *)lane->command.in,
				 geometry);
	list_for_each_entry(disk, &session->disks, entry) {
		if (disk->geometry.handle == geometry->handle)
			return vxhs_session_rule_error(VXHS_RULE_HANDLE,
						       extack);
	}
	if (rule) {
		if (geometry->handle)
			vxhs_session_close_vdisk(session, geometry->handle);
		return vxhs_session_rule_error(rule, extack);
	}
	if ((geometry->caps & VXHS_CAP_READ_ONLY) &&
	    mode != VXHS_MODE_READ_ONLY) {
		vxhs_session_close_vdisk(session, geometry->handle);
		return vxhs_session_status_error(VXHS_ST_READ_ONLY, "OPEN",
						 extack);
	}
	return 0;
}

/**
 * vxhs_session_open - open a vdisk on the server
 * @session: live, locked
 * @vdisk: its name
 * @mode: how
 * @geometry: the result, checked
 * @deadline: in jiffies
 * @extack: told why not
 *
 * Return: 0 or a negative errno
 */
int vxhs_session_open(struct vxhs_session *session, const char *vdisk,
		      enum vxhs_mode mode, struct vxhs_geometry *geometry,
		      unsigned long deadline, struct netlink_ext_ack *extack)
{
	struct vxhs_lane *lane = vxhs_session_pick(session, 0, 0);

	lockdep_assert_held(&session->lock);
	if (!lane) {
		NL_SET_ERR_MSG(extack,
			       "the connections to the server just broke; try again");
		return -ENOTCONN;
	}
	if (lane->dialect == VXHS_DIALECT_NATIVE)
		return vxhs_session_open_native(session, lane, vdisk, mode,
						geometry, deadline, extack);
	return vxhs_session_open_v34(session, lane, vdisk, mode, geometry,
				     deadline, extack);
}

/**
 * vxhs_session_close_vdisk - tell the server that a handle is not used any more
 * @session: locked
 * @handle: no request for it is on any lane
 */
void vxhs_session_close_vdisk(struct vxhs_session *session, u32 handle)
{
	struct vxhs_lane *lane = vxhs_session_pick(session, 0, 0);

	lockdep_assert_held(&session->lock);
	if (lane && lane->dialect == VXHS_DIALECT_NATIVE)
		vxhs_lane_command(lane, VXHS_OP_CLOSE, NULL, 0, handle,
				  jiffies + 2 * HZ);
}

static void vxhs_session_release(struct kref *ref)
{
	struct vxhs_session *session = container_of(ref, struct vxhs_session,
						    ref);
	unsigned int i;

	/* Whose request ended last may still be on its way out of queue_rq. */
	if (session->has_tag_set)
		blk_mq_wait_quiesce_done(&session->tag_set);
	cancel_work_sync(&session->recover);
	for (i = 0; i < session->nr_lanes; i++)
		vxhs_lane_free(session->lanes[i]);
	kvfree(session->slots);
	if (session->has_tag_set)
		blk_mq_free_tag_set(&session->tag_set);
	mutex_destroy(&session->lanes_lock);
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
	    vxhs_session_event(session, VXHS_SESSION_UNUSED))
		vxhs_session_close(session);
	mutex_unlock(&session->lock);
	vxhs_session_put(session);
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
	session->id = get_random_u64();
	session->epoch = 1;
	session->nr_poll = attach->poll_lanes;
	session->nr_lanes = session->nr_poll +
			    (attach->lanes ?: vxhs_session_default_lanes());
	kref_init(&session->ref);
	INIT_LIST_HEAD(&session->disks);
	mutex_init(&session->lock);
	mutex_init(&session->lanes_lock);
	spin_lock_init(&session->state_lock);
	ratelimit_state_init(&session->messages, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	INIT_WORK(&session->recover, vxhs_session_recover);
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
		    state == VXHS_SESSION_STATE_FAILING ||
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
		ret = vxhs_session_connect(session, attach->vdisk, deadline,
					   extack);
		vxhs_session_event(session, ret ? VXHS_SESSION_CONNECT_FAILED :
						  VXHS_SESSION_CONNECTED);
		if (ret)
			vxhs_session_close(session);
		else
			vxhs_session_stranded(session);
		break;
	case VXHS_SESSION_STATE_CLOSING:
	case VXHS_SESSION_STATE_FAILING:
		mutex_unlock(&session->lock);
		vxhs_session_put(session);
		goto again;
	default:
		ret = vxhs_session_check_lanes(session, attach, extack);
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
 * vxhs_session_init - module init of this room
 *
 * Return: 0 or -ENOMEM
 */
int vxhs_session_init(void)
{
	recovery_wq = alloc_workqueue("vxhs_recovery",
				      WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return recovery_wq ? 0 : -ENOMEM;
}

/** vxhs_session_exit - module exit of this room; no session is left */
void vxhs_session_exit(void)
{
	destroy_workqueue(recovery_wq);
}
