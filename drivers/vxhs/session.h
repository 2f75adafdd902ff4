/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A session: the relation of this host to one server, shared by all vdisks
 * that are attached from there.  It owns the lanes, the tag set and the slots,
 * and decides what becomes of requests whose lane ended.
 */
#ifndef _VXHS_SESSION_H
#define _VXHS_SESSION_H

#include <linux/blk-mq.h>
#include <linux/if.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/ratelimit_types.h>
#include <linux/socket.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <uapi/linux/vxhs.h>

#include "io.h"
#include "states.h"
#include "tls.h"
#include "wire.h"

struct netlink_ext_ack;
struct vxhs_attach;
struct vxhs_disk;
struct vxhs_lane;

#define VXHS_MAX_PORTALS	8
#define VXHS_MAX_LANES		64
#define VXHS_V34_MAX_LANES	8
#define VXHS_DEFAULT_LANES	8	/* at most, else one per online CPU */
/*
 * Requests per hardware queue.  More than a server grants: the block layer
 * shares them out evenly among the disks that did I/O lately, at least 4 each.
 */
#define VXHS_MAX_DEPTH		1024
#define VXHS_IDLE_TIME		(2 * HZ) /* a disk without I/O gives its share back */
#define VXHS_KATO_MS		5000	/* defaults */
#define VXHS_RECONNECT_DELAY_MS	5000
#define VXHS_REPLAY_DELAY_MS	5000
#define VXHS_DIGESTS		(VXHS_F_HEADER_CRC | VXHS_F_DATA_CRC)
#define VXHS_HOST_MAX		255	/* bytes of a host name */

/**
 * struct vxhs_session_key - what makes two attaches share a session
 * @portal: addresses of the server
 * @nr_portals: entries of @portal
 * @source: address to connect from, family 0 for any
 * @ifindex: interface to bind to, 0 for any
 * @host_id: UUID of this host
 * @digests: CRC32C protects headers and payloads
 * @tls: how its lanes get TLS; without a peer name they have none
 * @allow_unverified: with TLS, the server may be one that speaks v34
 */
struct vxhs_session_key {
	struct sockaddr_storage	portal[VXHS_MAX_PORTALS];
	unsigned int		nr_portals;
	struct sockaddr_storage	source;
	int			ifindex;
	u8			host_id[16];
	bool			digests;
	struct vxhs_tls		tls;
	bool			allow_unverified;
};

/**
 * struct vxhs_session_policy - how a session behaves when its server does not
 * @kato_ms: keepalive time-out that LOGIN asks for
 * @reconnect_delay_ms: longest pause between two attempts to connect
 * @replay_delay_ms: pause before requests are sent again to a v34 server
 */
struct vxhs_session_policy {
	u32	kato_ms;
	u32	reconnect_delay_ms;
	u32	replay_delay_ms;
};

/**
 * struct vxhs_session - a session
 * @key: who talks to whom; for portals see vxhs_session_set_portals()
 * @id: random number, names the session
 * @host: the server, as the administrator named it; part of the key too
 * @interface: name of key.ifindex
 * @ref: references: the list of sessions, each disk, each user
 * @entry: in the list of sessions
 * @lock: serialises attaches and detaches; protects the next three
 * @dialect: of all its lanes
 * @current_portal: index of the portal in use, or to be tried next
 * @policy: read without the lock
 * @vdisk: of its first disk, for STAT
 * @commands: who sends commands; protects what a lane is told; inside @lock
 * @grant: what the server granted; its limits are those of the first epoch
 * @disks: attached vdisks; changed under @commands and @lanes_lock
 * @nr_disks: entries of @disks
 * @lanes_lock: serialises who ends lanes; inside @commands
 * @starting: the lane that reconnect brings up, which nobody else ends
 * @moved: the portal of @starting was taken off the list
 * @holding: lanes are up but send no requests until they have drained
 * @hold_until: that ends then at the latest, jiffies
 * @down_since: when it was last LIVE, jiffies
 * @live_since: since when it is, jiffies
 * @next_report: when to say again that no portal works, jiffies
 * @reports: how often it was said before that, for another reason
 * @reported: the reason, by portal
 * @attempts: how often the portals were tried in vain
 * @tried: how many of them in this round
 * @round: of OPENs, for disk->round
 * @beginning: the lane that logs in is the first of its epoch; under @commands
 * @login_sent: a LOGIN with this epoch was sent
 * @shutting_down: the host does, since @shutdown_since
 * @shutdown_since: jiffies
 * @flags: VXHS_SESSION_*, of what lanes were told
 * @waiters: for a change of @state
 * @state: enum vxhs_session_state; changed under @state_lock
 * @state_lock: innermost, any context
 * @epoch: of the login
 * @reason: why a lane was lost, the newest reason
 * @recoveries: how often it recovered
 * @tls_cipher: TLS_CIPHER_* of its newest lane with TLS, or 0
 * @messages: so that one bad server does not silence what is said of others
 * @nr_lanes: entries of @lanes; fixed once the session was live
 * @nr_poll: how many of them, the last ones, are for polled requests
 * @nr_queues: hardware queues for the others
 * @lanes: the lanes
 * @spread: a hardware queue that is not polled uses more lanes than one
 * @tag_set: shared by all disks
 * @has_tag_set: @tag_set is allocated
 * @slots: by hardware queue and tag
 * @keeper: a queue without a disk: the tag set stays shared, for the block
 *	    layer would wait for parked requests when that changes
 * @recover: ends broken lanes, parks and fails requests
 * @reconnect: brings lanes up, begins epochs
 */
struct vxhs_session {
	struct vxhs_session_key	key;
	u64			id;
	char			host[VXHS_HOST_MAX + 1];
	char			interface[IFNAMSIZ];
	struct kref		ref;
	struct list_head	entry;

	struct mutex		lock;	/* outermost */
	enum vxhs_dialect	dialect;
	unsigned int		current_portal;
	struct vxhs_session_policy	policy;
	char			vdisk[VXHS_NAME_MAX + 1];

	struct mutex		commands;	/* who sends commands */
	struct vxhs_grant	grant;
	struct list_head	disks;
	unsigned int		nr_disks;

	struct mutex		lanes_lock;	/* who ends lanes */
	struct vxhs_lane	*starting;
	bool			moved;
	bool			holding;
	unsigned long		hold_until;
	unsigned long		down_since;
	unsigned long		live_since;
	unsigned long		next_report;
	unsigned int		reports;
	const char		*reported[VXHS_MAX_PORTALS];
	unsigned int		attempts;
	unsigned int		tried;
	unsigned int		round;
	bool			beginning;
	bool			login_sent;
	bool			shutting_down;
	unsigned long		shutdown_since;
	unsigned long		flags;
	wait_queue_head_t	waiters;

	spinlock_t		state_lock;	/* changes of state */
	enum vxhs_session_state	state;
	u32			epoch;
	const char		*reason;
	unsigned int		recoveries;
	u16			tls_cipher;
	struct ratelimit_state	messages;

	unsigned int		nr_lanes;
	unsigned int		nr_poll;
	unsigned int		nr_queues;
	struct vxhs_lane	*lanes[VXHS_MAX_LANES];
	bool			spread;
	struct blk_mq_tag_set	tag_set;
	bool			has_tag_set;
	struct vxhs_slot	*slots;
	struct request_queue	*keeper;
	struct delayed_work	recover;
	struct delayed_work	reconnect;
};

/* Bits of struct vxhs_session.flags: what the server said, any context. */
#define VXHS_SESSION_EPOCH_OVER	0	/* it does not know the session */
#define VXHS_SESSION_AWAY	1	/* it goes away */
#define VXHS_SESSION_REREAD	2	/* something of a vdisk has changed */

/** vxhs_session_default_lanes - lanes of a session if nobody says how many */
static inline unsigned int vxhs_session_default_lanes(void)
{
	return min_t(unsigned int, num_online_cpus(), VXHS_DEFAULT_LANES);
}

/**
 * vxhs_session_slot - look up a tag
 * @session: with a tag set, or not yet
 * @queue: hardware queue, any value
 * @index: tag, any value
 *
 * Return: the slot, or NULL if there is no such tag
 */
static inline struct vxhs_slot *
vxhs_session_slot(struct vxhs_session *session, u16 queue, u16 index)
{
	if (!session->slots || queue >= session->tag_set.nr_hw_queues ||
	    index >= session->tag_set.queue_depth)
		return NULL;
	return &session->slots[queue * session->tag_set.queue_depth + index];
}

/**
 * vxhs_session_home - the lane that requests of a hardware queue belong to
 * @session: any
 * @queue: hardware queue of the request
 * @tag: of the request
 *
 * Each hardware queue has its lane, or several in turn where there are more
 * lanes than queues; polled queues have theirs, behind the others.
 *
 * Return: the lane's index
 */
static inline unsigned int
vxhs_session_home(const struct vxhs_session *session, unsigned int queue,
		  unsigned int tag)
{
	unsigned int lanes = session->nr_lanes - session->nr_poll;

	if (unlikely(queue >= session->nr_queues))
		return lanes + queue - session->nr_queues;
	if (unlikely(session->spread))
		return (queue + tag * session->nr_queues) % lanes;
	return queue;
}

u32 vxhs_session_event(struct vxhs_session *session,
		       enum vxhs_session_event event);
struct vxhs_session *vxhs_session_get(const struct vxhs_attach *attach,
				      unsigned long deadline,
				      struct netlink_ext_ack *extack);
void vxhs_session_unlock(struct vxhs_session *session);
void vxhs_session_put(struct vxhs_session *session);
struct vxhs_session *vxhs_session_find(u64 id);
struct vxhs_session *vxhs_session_next_of(struct vxhs_session *session);
unsigned int vxhs_session_lanes_up(const struct vxhs_session *session);
bool vxhs_session_set_portals(struct vxhs_session *session,
			      const struct vxhs_session_key *key);
void vxhs_session_set_policy(struct vxhs_session *session,
			     const struct vxhs_session_policy *policy);
int vxhs_session_start_lane(struct vxhs_session *session,
			    struct vxhs_lane *lane, unsigned long deadline,
			    struct netlink_ext_ack *extack);
int vxhs_session_open_vdisk(struct vxhs_session *session,
			    struct vxhs_lane *lane,
			    const struct vxhs_open *open,
			    struct vxhs_geometry *geometry,
			    unsigned long deadline,
			    struct netlink_ext_ack *extack);
bool vxhs_session_has_handle(const struct vxhs_session *session,
			     const struct vxhs_disk *disk, u32 handle);
int vxhs_session_add_disk(struct vxhs_session *session, struct vxhs_disk *disk,
			  bool take_over, unsigned long deadline,
			  struct netlink_ext_ack *extack);
void vxhs_session_remove_disk(struct vxhs_session *session,
			      struct vxhs_disk *disk);
struct vxhs_lane *vxhs_session_pick(struct vxhs_session *session,
				    unsigned int home);
void vxhs_session_kick(struct vxhs_session *session);
void vxhs_session_commit(struct vxhs_session *session, struct vxhs_lane *lane,
			 bool first);
void vxhs_session_lane_broken(struct vxhs_session *session,
			      struct vxhs_lane *lane, const char *reason);
void vxhs_session_shutdown(void);

#endif /* _VXHS_SESSION_H */
