// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery: two works of a session, under memalloc_noio, for writeback may wait
 * for them.
 *
 * "recover" never waits for a server.  It ends broken lanes, parks their
 * requests in the lanes' queues, fails what policy fails, and moves what is
 * bound to no lane to one that is live.
 *
 * "reconnect" waits for servers.  It alone brings lanes up (one at a time, in
 * session->starting, which nobody else ends) and begins epochs.
 *
 * A request that was sent is bound to its lane until the epoch is over: only
 * OPEN on that lane's next connection, or in a new epoch, fences it (section
 * 5.1).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/list_sort.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <linux/sched/mm.h>

#include "disk.h"
#include "lane.h"
#include "netlink.h"
#include "recovery.h"
#include "send.h"
#include "session.h"

/* Back-off: from the first to the second while the break is fresh. */
#define VXHS_BACKOFF_MS		100
#define VXHS_BACKOFF_FRESH_MS	500
#define VXHS_FRESH		(30 * HZ)

/* An epoch that lived so long does not count as a failed attempt. */
#define VXHS_STEADY		HZ

/* How long OPEN that is answered AGAIN waits for the next try. */
#define VXHS_OPEN_RETRY		(HZ / 10 + 1)

/* How long what is on the wire may still be answered before a forced detach. */
#define VXHS_FORCE_WAIT		(HZ / 2)

/* How many reasons are told meanwhile. */
#define VXHS_REPORTS		4

/* How often to look whether lanes have drained. */
#define VXHS_DRAIN_POLL		(HZ / 50 + 1)

/* How often to look whether it is the turn of the next lane to be replaced. */
#define VXHS_SPENT_POLL		(HZ / 4 + 1)

/* How often it is said that a server is still away. */
#define VXHS_REPORT		(30 * HZ)

/* Must go on while lane workers wait, and under reclaim. */
static struct workqueue_struct *recovery_wq;

static bool vxhs_session_closing(const struct vxhs_session *session)
{
	return READ_ONCE(session->state) == VXHS_SESSION_STATE_CLOSING;
}

static bool vxhs_session_live(const struct vxhs_session *session)
{
	return READ_ONCE(session->state) == VXHS_SESSION_STATE_LIVE;
}

static unsigned long vxhs_kato(const struct vxhs_session *session)
{
	return msecs_to_jiffies(session->grant.kato_ms ?:
				READ_ONCE(session->policy.kato_ms));
}

/**
 * vxhs_recovery_wake - have recovery look at the session now
 * @session: any
 *
 * Context: any.
 */
void vxhs_recovery_wake(struct vxhs_session *session)
{
	mod_delayed_work(recovery_wq, &session->recover, 0);
}

static void vxhs_recovery_connect_in(struct vxhs_session *session,
				     unsigned long delay)
{
	mod_delayed_work(recovery_wq, &session->reconnect, delay);
}

/**
 * vxhs_recovery_told - a server has said something
 * @session: to which
 * @flag: VXHS_SESSION_EPOCH_OVER and so on
 *
 * Context: any, softirq with the socket's lock held included.
 */
void vxhs_recovery_told(struct vxhs_session *session, unsigned int flag)
{
	set_bit(flag, &session->flags);
	vxhs_recovery_wake(session);
}

/* Parking */

static int vxhs_recovery_by_sequence(void *priv, const struct list_head *a,
				     const struct list_head *b)
{
	return (s32)(list_entry(a, struct vxhs_io, entry)->sequence -
		     list_entry(b, struct vxhs_io, entry)->sequence) > 0;
}

/* Across lanes; stable, so what has no time keeps its lane's order. */
static int vxhs_recovery_by_time(void *priv, const struct list_head *a,
				 const struct list_head *b)
{
	struct vxhs_io *x = list_entry(a, struct vxhs_io, entry);
	struct vxhs_io *y = list_entry(b, struct vxhs_io, entry);

	return (s64)(vxhs_io_to_rq(x)->start_time_ns -
		     vxhs_io_to_rq(y)->start_time_ns) > 0;
}

/* What a lane carried goes back into its queue; the lane is DOWN. */
static void vxhs_recovery_park(struct vxhs_session *session,
			       struct vxhs_lane *lane)
{
	unsigned int nr_slots, i;
	LIST_HEAD(sent);

	if (!session->slots)
		return;
	nr_slots = session->tag_set.nr_hw_queues * session->tag_set.queue_depth;
	for (i = 0; i < nr_slots; i++) {
		struct vxhs_slot *slot = &session->slots[i];
		u64 word = atomic64_read_acquire(&slot->word);
		struct vxhs_io *io;

		if (!(word & VXHS_SLOT_ACTIVE) || slot->lane != lane)
			continue;
		io = vxhs_rq_to_io(slot->rq);
		vxhs_io_release(io);
		/* A complete reply holds, whatever came afterwards. */
		if (word & VXHS_SLOT_REPLIED) {
			vxhs_io_end(io, NULL);
			continue;
		}
		io->status = BLK_STS_OK;
		io->resend = false;
		io->fenced = jiffies + 2 * (lane->kato ?: vxhs_kato(session));
		if (io->dirty) {
			/* A FLUSH without an answer has flushed nothing. */
			io->dirty = false;
			vxhs_disk_unflushed(vxhs_io_disk(io), io->seen);
		}
		list_add_tail(&io->entry, &sent);
	}
	list_sort(NULL, &sent, vxhs_recovery_by_sequence);
	vxhs_send_put_back(lane, &sent);
}

/* lanes_lock held. */
static void vxhs_recovery_abort(struct vxhs_session *session,
				struct vxhs_lane *lane)
{
	vxhs_lane_abort(lane);
	vxhs_recovery_park(session, lane);
}

/* Is it bound to nothing?  Such a request may go on any lane. */
static bool vxhs_recovery_is_free(struct vxhs_io *io, void *data)
{
	const struct vxhs_session *session = data;

	return io->epoch != session->epoch;
}

/* What waits on lanes that are not live, and may go elsewhere, goes. */
static void vxhs_recovery_spread(struct vxhs_session *session)
{
	struct vxhs_io *io, *next;
	LIST_HEAD(list);
	unsigned int i;

	lockdep_assert_held(&session->lanes_lock);
	for (i = 0; i < session->nr_lanes; i++) {
		struct vxhs_lane *lane = session->lanes[i];

		if (!vxhs_lane_is_live(lane))
			vxhs_send_filter(lane, &list, vxhs_recovery_is_free,
					 session);
	}
	list_sort(NULL, &list, vxhs_recovery_by_time);
	list_for_each_entry_safe(io, next, &list, entry) {
		struct request *rq = vxhs_io_to_rq(io);
		unsigned int home = vxhs_session_home(session,
						      rq->mq_hctx->queue_num,
						      rq->tag);

		vxhs_send_push(vxhs_session_pick(session, home), io);
	}
	vxhs_session_kick(session);
}

/* Failing by policy */

struct vxhs_verdict {
	unsigned long next;		/* when to look again, jiffies */
	bool later;			/* @next is valid */
};

static void vxhs_recovery_due(struct vxhs_verdict *verdict, unsigned long when)
{
	if (!verdict->later || time_before(when, verdict->next))
		verdict->next = when;
	verdict->later = true;
}

/*
 * A request of a disk that takes none any more fails; but what may have reached
 * a server and changes data not before the server has fenced it (section 5.8),
 * unless somebody insists or the data is another host's by now.
 */
static bool vxhs_recovery_fails(struct vxhs_io *io, void *data)
{
	struct vxhs_verdict *verdict = data;
	struct vxhs_disk *disk = vxhs_io_disk(io);
	blk_status_t refuse = READ_ONCE(disk->refuse);

	if (!refuse)
		return false;
	if (io->epoch && vxhs_io_modifies(io) && !disk->dead &&
	    !disk->failed && time_before(jiffies, io->fenced)) {
		vxhs_recovery_due(verdict, io->fenced);
		return false;
	}
	io->status = refuse;
	return true;
}

/* Requests for @disk fail from now on.  lanes_lock held. */
static void vxhs_recovery_refuse(struct vxhs_disk *disk, blk_status_t status)
{
	lockdep_assert_held(&disk->session->lanes_lock);
	WRITE_ONCE(disk->refuse, status);
	/* What is queued on a live lane is held back, and found there. */
	bitmap_zero(disk->open, VXHS_MAX_LANES);
}

/* Has the disk waited long enough?  lanes_lock held */
static void vxhs_recovery_check_disk(struct vxhs_session *session,
				     struct vxhs_disk *disk,
				     struct vxhs_verdict *verdict)
{
	u32 tmo = READ_ONCE(disk->policy.fast_io_fail_ms);
	unsigned long until;

	if (!disk->shown)
		return;
	if (disk->lost && !disk->loss_told)
		vxhs_disk_tell(disk, VXHS_CHANGE_LOSS);
	disk->loss_told = disk->lost;
	if (!disk->waits || disk->refuse)
		return;

	if (READ_ONCE(session->shutting_down)) {
		u32 shutdown = READ_ONCE(disk->policy.shutdown_ms);

		if (shutdown != VXHS_NEVER) {
			until = session->shutdown_since +
				msecs_to_jiffies(shutdown);
			if (time_after_eq(jiffies, until))
				goto refuse;
			vxhs_recovery_due(verdict, until);
		}
	}
	/* Somebody waits for it to go, and nobody uses it. */
	if (READ_ONCE(disk->detaching))
		goto refuse;
	if (tmo == VXHS_NEVER)
		return;
	until = disk->waits_since + msecs_to_jiffies(tmo);
	if (time_before(jiffies, until)) {
		vxhs_recovery_due(verdict, until);
		return;
	}
refuse:
	if (!(vxhs_session_event(session, VXHS_SESSION_DISK_TIMEOUT) &
	      VXHS_DO_FAIL_DISK))
		return;
	pr_warn("%s: no answer from %s since %u s: requests fail from now on\n",
		disk->gendisk->disk_name, session->host,
		time_after(jiffies, disk->waits_since) ?
		jiffies_to_msecs(jiffies - disk->waits_since) / 1000 : 0);
	vxhs_recovery_refuse(disk, BLK_STS_TRANSPORT);
}

/* lanes_lock held.  Return: in how many jiffies to look again, or -1 */
static long vxhs_recovery_apply_policy(struct vxhs_session *session)
{
	struct vxhs_verdict verdict = {};
	struct vxhs_io *io, *next;
	struct vxhs_disk *disk;
	bool waiting = false;
	LIST_HEAD(failed);
	unsigned int i;

	list_for_each_entry(disk, &session->disks, entry) {
		vxhs_recovery_check_disk(session, disk, &verdict);
		waiting |= !disk->refuse;
	}
	if (!waiting && session->nr_disks &&
	    vxhs_session_event(session, VXHS_SESSION_ALL_TIMEOUT) &
	    VXHS_DO_TELL)
		vxhs_netlink_notify(VXHS_CHANGE_SESSION_STATE, session, NULL);

	for (i = 0; i < session->nr_lanes; i++)
		vxhs_send_filter(session->lanes[i], &failed,
				 vxhs_recovery_fails, &verdict);
	list_for_each_entry_safe(io, next, &failed, entry)
		vxhs_io_end(io, NULL);
	if (!verdict.later)
		return -1;
	return vxhs_jiffies_left(verdict.next);
}

/* What happened to lanes */

static bool vxhs_recovery_drained(const struct vxhs_session *session)
{
	unsigned int i;

	if (time_after_eq(jiffies, session->hold_until))
		return true;
	for (i = 0; i < session->nr_lanes; i++) {
		if (atomic64_read(&session->lanes[i]->inflight))
			return false;
	}
	return true;
}

/* The search for a portal goes on with the next one.  lanes_lock held. */
static void vxhs_recovery_next_portal(struct vxhs_session *session)
{
	spin_lock_irq(&session->state_lock);
	if (++session->current_portal >= session->key.nr_portals)
		session->current_portal = 0;
	spin_unlock_irq(&session->state_lock);
}

/* Jiffies until the next attempt, see architecture: jittered, bounded. */
static unsigned long vxhs_recovery_backoff(const struct vxhs_session *session,
					   unsigned int attempts,
					   unsigned long since)
{
	u32 cap = READ_ONCE(session->policy.reconnect_delay_ms);
	u32 ms;

	if (!attempts)
		return 0;
	if (time_before(jiffies, since + VXHS_FRESH))
		cap = min(cap, VXHS_BACKOFF_FRESH_MS);
	ms = min(VXHS_BACKOFF_MS << min(attempts - 1, 10U), cap);
	return msecs_to_jiffies(ms * 3 / 4 + get_random_u32_below(ms / 2 + 1));
}

/* No lane serves any more: requests wait from now on.  lanes_lock held. */
static void vxhs_recovery_begins(struct vxhs_session *session)
{
	struct vxhs_disk *disk;

	if (session->dialect == VXHS_DIALECT_V34)
		pr_warn("%s: QNIO v34 has no fence: requests are sent again after %u ms, and older writes may still land on newer ones\n",
			session->host,
			READ_ONCE(session->policy.replay_delay_ms));
	session->down_since = jiffies;
	session->next_report = jiffies + VXHS_REPORT;
	session->reports = 0;
	memset(session->reported, 0, sizeof(session->reported));
	session->tried = 0;
	if (time_after(jiffies, session->live_since + VXHS_STEADY))
		session->attempts = 0;
	else
		session->attempts++;
	list_for_each_entry(disk, &session->disks, entry) {
		if (!disk->waits)
			disk->waits_since = jiffies;
		disk->waits = true;
	}
}

/* Carry the actions of an event out.  lanes_lock held. */
static void vxhs_recovery_do(struct vxhs_session *session, u32 actions)
{
	unsigned int i;

	if (actions & VXHS_DO_HOLD) {
		session->holding = true;
		session->hold_until = jiffies + vxhs_kato(session);
		for (i = 0; i < session->nr_lanes; i++)
			cmpxchg(&session->lanes[i]->state, VXHS_LANE_LIVE,
				VXHS_LANE_UP);
		vxhs_recovery_next_portal(session);
	}
	if (actions & VXHS_DO_ABORT_ALL) {
		for (i = 0; i < session->nr_lanes; i++) {
			struct vxhs_lane *lane = session->lanes[i];

			if (lane == session->starting)
				vxhs_lane_fail(lane, "its session begins a new epoch");
			else if (READ_ONCE(lane->state) != VXHS_LANE_DOWN)
				vxhs_recovery_abort(session, lane);
		}
	}
	if (actions & (VXHS_DO_HOLD | VXHS_DO_EPOCH) &&
	    actions & VXHS_DO_TELL)
		vxhs_recovery_begins(session);
	if (actions & VXHS_DO_EPOCH) {
		session->holding = false;
		vxhs_recovery_connect_in(session,
					 vxhs_recovery_backoff(session,
							       session->attempts,
							       session->down_since));
	}
	if (actions & (VXHS_DO_REPLACE | VXHS_DO_JOIN))
		vxhs_recovery_connect_in(session, 0);
	if (actions & VXHS_DO_TELL)
		vxhs_netlink_notify(VXHS_CHANGE_SESSION_STATE, session, NULL);
}

static bool vxhs_recovery_any_up(const struct vxhs_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nr_lanes; i++) {
		if (session->lanes[i] != session->starting &&
		    vxhs_lane_is_up(session->lanes[i]))
			return true;
	}
	return false;
}

/* End lanes that broke.  lanes_lock held. */
static void vxhs_recovery_end_broken(struct vxhs_session *session)
{
	bool lost = false;
	u32 actions;
	unsigned int i;

	for (i = 0; i < session->nr_lanes; i++) {
		struct vxhs_lane *lane = session->lanes[i];

		if (lane == session->starting ||
		    READ_ONCE(lane->state) != VXHS_LANE_BROKEN)
			continue;
		vxhs_recovery_abort(session, lane);
		lost = true;
	}
	if (!lost)
		return;
	vxhs_netlink_notify(VXHS_CHANGE_LANE_LOST, session, NULL);
	if (vxhs_recovery_any_up(session)) {
		actions = vxhs_session_event(session, VXHS_SESSION_LANE_LOST);
	} else {
		actions = vxhs_session_event(session,
					     VXHS_SESSION_LAST_LANE_LOST);
		if (actions & VXHS_DO_TELL)
			pr_warn("%s: no lane is left, requests wait until it answers again\n",
				session->host);
	}
	vxhs_recovery_do(session, actions);
}

/* Nobody is away: the time-outs of the disks begin after kato.  lanes_lock. */
static void vxhs_recovery_grant(struct vxhs_session *session)
{
	struct vxhs_disk *disk;

	list_for_each_entry(disk, &session->disks, entry) {
		if (disk->waits)
			continue;
		disk->waits = true;
		disk->waits_since = jiffies + vxhs_kato(session);
	}
}

/* It waits for its answers no longer than for those of a dead server. */
static long vxhs_recovery_end_spent(struct vxhs_session *session,
				    struct vxhs_lane *lane)
{
	if ((atomic64_read(&lane->inflight) ||
	     READ_ONCE(lane->command.state) != VXHS_COMMAND_IDLE) &&
	    time_before(jiffies, lane->retire_by))
		return VXHS_DRAIN_POLL;
	if (__ratelimit(&session->messages))
		pr_info("%s: lane %u: its TLS keys have protected enough, connecting anew\n",
			session->host, lane->index);
	vxhs_recovery_abort(session, lane);
	if (!vxhs_recovery_any_up(session))
		vxhs_recovery_grant(session);
	vxhs_recovery_do(session,
			 vxhs_session_event(session,
					    vxhs_recovery_any_up(session) ?
					    VXHS_SESSION_LANE_LOST :
					    VXHS_SESSION_LAST_LANE_LOST));
	return VXHS_SPENT_POLL;
}

/*
 * A key protects only so much.  A lane near that takes no more requests, ends
 * when it has no answer to wait for, and is replaced as one that broke; one
 * lane at a time, so that the others serve.  lanes_lock held.
 * Return: in how many jiffies to look again, or -1
 */
static long vxhs_recovery_retire(struct vxhs_session *session)
{
	struct vxhs_lane *spent = NULL;
	bool whole = true;
	unsigned int i;

	if (session->holding || !vxhs_session_live(session))
		return -1;
	for (i = 0; i < session->nr_lanes; i++) {
		struct vxhs_lane *lane = session->lanes[i];

		/* What starts is reset by who starts it, without our lock. */
		if (lane != session->starting && lane->retiring &&
		    READ_ONCE(lane->state) == VXHS_LANE_UP)
			return vxhs_recovery_end_spent(session, lane);
		whole &= vxhs_lane_is_live(lane);
		if (READ_ONCE(lane->spent) && vxhs_lane_is_live(lane) &&
		    (!spent || vxhs_lane_is_spent(lane, 1)))
			spent = lane;
	}
	if (!spent)
		return -1;
	/* For a lane that does not come back it waits only so long. */
	if (!whole && !vxhs_lane_is_spent(spent, 1))
		return VXHS_SPENT_POLL;
	if (cmpxchg(&spent->state, VXHS_LANE_LIVE, VXHS_LANE_UP) ==
	    VXHS_LANE_LIVE) {
		spent->retiring = true;
		spent->retire_by = jiffies + vxhs_kato(session);
	}
	return VXHS_DRAIN_POLL;
}

/* Task (recovery_wq). */
static void vxhs_recovery_work(struct work_struct *work)
{
	struct vxhs_session *session = container_of(to_delayed_work(work),
						    struct vxhs_session,
						    recover);
	unsigned int noio;
	long delay, retire;

	/* Until it is live, who connects owns the lanes. */
	if (READ_ONCE(session->state) == VXHS_SESSION_STATE_CONNECTING ||
	    vxhs_session_closing(session))
		return;

	noio = memalloc_noio_save();
	mutex_lock(&session->lanes_lock);
	vxhs_recovery_end_broken(session);
	/* If no lane is left, that begins a new epoch. */
	if (test_and_clear_bit(VXHS_SESSION_EPOCH_OVER, &session->flags) &&
	    vxhs_recovery_any_up(session))
		vxhs_recovery_do(session,
				 vxhs_session_event(session,
						    VXHS_SESSION_OTHER_SERVER));
	if (test_and_clear_bit(VXHS_SESSION_AWAY, &session->flags) &&
	    !session->holding && vxhs_session_live(session)) {
		pr_info("%s: the server goes away or does not hold the vdisk, moving to the next portal\n",
			session->host);
		vxhs_recovery_do(session,
				 vxhs_session_event(session,
						    VXHS_SESSION_GOING_AWAY));
	}
	if (session->holding && vxhs_recovery_drained(session))
		vxhs_recovery_do(session,
				 vxhs_session_event(session,
						    VXHS_SESSION_DRAINED));
	retire = vxhs_recovery_retire(session);
	delay = vxhs_recovery_apply_policy(session);
	if (vxhs_session_live(session)) {
		vxhs_recovery_spread(session);
		if (test_bit(VXHS_SESSION_REREAD, &session->flags))
			vxhs_recovery_connect_in(session, 0);
	}
	if (session->holding && (delay < 0 || delay > VXHS_DRAIN_POLL))
		delay = VXHS_DRAIN_POLL;
	if (retire >= 0 && (delay < 0 || delay > retire))
		delay = retire;
	mutex_unlock(&session->lanes_lock);
	memalloc_noio_restore(noio);

	if (delay >= 0)
		queue_delayed_work(recovery_wq, &session->recover, delay);
}

/* Reconnecting */

static unsigned long vxhs_recovery_deadline(const struct vxhs_session *session)
{
	return jiffies + max_t(unsigned long, vxhs_kato(session), HZ);
}

/* The lane's disks must be opened anew.  Commands held. */
static void vxhs_recovery_forget_opens(struct vxhs_session *session,
				       struct vxhs_lane *lane)
{
	struct vxhs_disk *disk;

	list_for_each_entry(disk, &session->disks, entry)
		clear_bit(lane->index, disk->open);
}

/*
 * Bring a lane up, the @first one of an epoch or a further one.  Commands held:
 * nobody else may use the lane before LOGIN.
 * Return: 0, or a negative errno and the lane is down
 */
static int vxhs_recovery_start(struct vxhs_session *session,
			       struct vxhs_lane *lane, bool first,
			       struct netlink_ext_ack *extack)
{
	int ret;

	lockdep_assert_held(&session->commands);
	mutex_lock(&session->lanes_lock);
	session->starting = lane;
	session->moved = false;
	mutex_unlock(&session->lanes_lock);

	vxhs_recovery_forget_opens(session, lane);
	session->beginning = first;
	ret = vxhs_session_start_lane(session, lane,
				      vxhs_recovery_deadline(session), extack);
	session->beginning = false;
	if (!ret)
		return 0;

	mutex_lock(&session->lanes_lock);
	vxhs_recovery_abort(session, lane);
	session->starting = NULL;
	mutex_unlock(&session->lanes_lock);
	return ret;
}

/* A disk will not work again until it is attached anew.  Commands held. */
static void vxhs_recovery_fail_disk(struct vxhs_disk *disk, const char *reason,
				    enum vxhs_change change)
{
	struct vxhs_session *session = disk->session;

	mutex_lock(&session->lanes_lock);
	disk->failed = reason;
	disk->waits = false;
	vxhs_recovery_refuse(disk, BLK_STS_RESV_CONFLICT);
	mutex_unlock(&session->lanes_lock);
	pr_err("%s: %s on %s: %s; it fails until it is attached anew\n",
	       disk->gendisk->disk_name, disk->name, session->host, reason);
	vxhs_disk_tell(disk, change);
	vxhs_recovery_wake(session);
}

/* Its requests may flow on the lane.  Commands held. */
static void vxhs_recovery_open_disk(struct vxhs_session *session,
				    struct vxhs_lane *lane,
				    struct vxhs_disk *disk)
{
	mutex_lock(&session->lanes_lock);
	disk->sick = false;
	disk->waits = false;
	if (!disk->dead && !disk->failed) {
		WRITE_ONCE(disk->refuse, BLK_STS_OK);
		/* Publishes the handle, see vxhs_disk_is_open(). */
		smp_mb__before_atomic();
		set_bit(lane->index, disk->open);
	}
	mutex_unlock(&session->lanes_lock);
}

/*
 * One OPEN of an attached disk.  Commands held.
 * Return: 0 if it was answered, a negative errno if the lane is of no use
 */
static int vxhs_recovery_reopen(struct vxhs_session *session,
				struct vxhs_lane *lane, struct vxhs_disk *disk)
{
	struct netlink_ext_ack extack = {};
	struct vxhs_open open = {
		.mode = (u32)disk->mode,
		.lease = disk->geometry.lease,
	};
	struct vxhs_geometry geometry;
	const char *reason = NULL;
	int ret;

	strscpy(open.name, disk->name, sizeof(open.name));
	ret = vxhs_session_open_vdisk(session, lane, &open, &geometry,
				      jiffies + vxhs_kato(session) + HZ,
				      &extack);
	if (ret == -ETIMEDOUT)
		vxhs_lane_fail(lane, "server does not answer OPEN");
	if (ret == -EPROTO)
		vxhs_lane_fail(lane, "the answer to OPEN is malformed");
	if (ret == -EBUSY) {
		/* An attach did not wait for its answer. */
		disk->sick = true;
		return 0;
	}
	if (ret < 0)
		return ret;
	switch (ret) {
	case VXHS_ST_OK:
		break;
	case VXHS_ST_STALE:
		reason = "another host has taken the vdisk, or its server has lost its leases";
		vxhs_recovery_fail_disk(disk, reason, VXHS_CHANGE_LEASE_LOST);
		return 0;
	case VXHS_ST_NO_SESSION:
	case VXHS_ST_GOING_AWAY:
		return -ESTALE;
	case VXHS_ST_AGAIN:
		disk->sick = true;
		return 0;
	default:
		if (!disk->sick)
			pr_warn("%s: %s on %s: %s; trying again\n",
				disk->gendisk->disk_name, disk->name,
				session->host, extack._msg ?: "refused");
		disk->sick = true;
		disk->reread = false;
		return 0;
	}

	if (vxhs_session_has_handle(session, disk, geometry.handle)) {
		vxhs_lane_fail(lane, vxhs_rule_text(VXHS_RULE_HANDLE));
		return -EPROTO;
	}
	switch (vxhs_disk_reopened(disk, &geometry, &reason)) {
	case VXHS_REOPENED:
		disk->epoch = session->epoch;
		disk->reread = false;
		vxhs_recovery_open_disk(session, lane, disk);
		return 0;
	case VXHS_REOPENED_LOST:
		vxhs_recovery_fail_disk(disk, reason, VXHS_CHANGE_DISK_FAILED);
		return 0;
	default:
		if (!disk->sick)
			pr_warn("%s: %s on %s: %s; trying again\n",
				disk->gendisk->disk_name, disk->name,
				session->host, reason);
		disk->sick = true;
		disk->reread = false;
		return 0;
	}
}

/* Is OPEN to be sent, for requests to flow or to learn what has changed? */
static bool vxhs_recovery_wants(const struct vxhs_disk *disk,
				const struct vxhs_lane *lane)
{
	return vxhs_disk_works(disk) &&
	       (disk->reread || !vxhs_disk_is_open(disk, lane->index));
}

/* A disk that was not tried in this round, one that is well first. */
static struct vxhs_disk *vxhs_recovery_next_disk(struct vxhs_session *session,
						 struct vxhs_lane *lane)
{
	struct vxhs_disk *disk, *sick = NULL;

	list_for_each_entry(disk, &session->disks, entry) {
		if (disk->round == session->round ||
		    !vxhs_recovery_wants(disk, lane))
			continue;
		if (!disk->sick)
			return disk;
		sick = disk;
	}
	return sick;
}

/*
 * LIVE, if nothing happened meanwhile.
 * Return: it is; if not it is still the one that starts, for who started it to
 * give up
 */
static bool vxhs_recovery_make_live(struct vxhs_session *session,
				    struct vxhs_lane *lane, bool first)
{
	bool done = false;
	u32 actions;

	mutex_lock(&session->lanes_lock);
	/* First of an epoch while requests wait, or one more of a live one. */
	if (!vxhs_session_closing(session) && !session->holding &&
	    !session->moved && first != vxhs_session_live(session) &&
	    cmpxchg(&lane->state, VXHS_LANE_UP, VXHS_LANE_LIVE) ==
	    VXHS_LANE_UP) {
		done = true;
		session->starting = NULL;
		lane->failures = 0;
		actions = vxhs_session_event(session, VXHS_SESSION_OPENED);
		if (first) {
			session->live_since = jiffies;
			session->recoveries++;
			pr_info("%s: back after %u ms, epoch %u\n",
				session->host,
				jiffies_to_msecs(jiffies - session->down_since),
				session->epoch);
		}
		vxhs_recovery_do(session, actions);
		if (first)
			vxhs_netlink_notify(VXHS_CHANGE_RECOVERED, session,
					    NULL);
		vxhs_recovery_spread(session);
	}
	mutex_unlock(&session->lanes_lock);
	if (done)
		vxhs_send_release(lane);
	return done;
}

/* Somewhere among the disks is one that may use the lane, or there is none. */
static bool vxhs_recovery_serves(struct vxhs_session *session,
				 struct vxhs_lane *lane)
{
	struct vxhs_disk *disk;
	bool waits = false;

	list_for_each_entry(disk, &session->disks, entry) {
		if (!vxhs_disk_works(disk))
			continue;
		if (vxhs_disk_is_open(disk, lane->index))
			return true;
		waits = true;
	}
	return !waits;
}

/*
 * OPEN every disk on a lane that is up; it is made live as soon as one of them
 * may use it.  @first: of its epoch.
 * Return: 0, -EAGAIN if none was opened, another negative errno if the lane
 * broke
 */
static int vxhs_recovery_open_all(struct vxhs_session *session,
				  struct vxhs_lane *lane, bool first)
{
	bool live = vxhs_lane_is_live(lane);
	struct vxhs_disk *disk;
	int ret;

	mutex_lock(&session->commands);
	session->round++;
	for (;;) {
		disk = vxhs_recovery_next_disk(session, lane);
		/* One lane of those that are live may have died meanwhile. */
		ret = vxhs_lane_is_up(lane) ? 0 : -ENOTCONN;
		if (!ret && disk) {
			disk->round = session->round;
			ret = vxhs_recovery_reopen(session, lane, disk);
		}
		if (ret)
			break;
		if (!live && vxhs_recovery_serves(session, lane)) {
			live = vxhs_recovery_make_live(session, lane,
						       first);
			if (!live)
				ret = -ENOTCONN;
		} else if (live && disk) {
			vxhs_send_release(lane);
		}
		if (ret || !disk || vxhs_session_closing(session))
			break;
		/* Attach and detach wait for us. */
		mutex_unlock(&session->commands);
		cond_resched();
		mutex_lock(&session->commands);
	}
	mutex_unlock(&session->commands);
	if (!ret && !live)
		ret = -EAGAIN;
	return ret;
}

/*
 * Ends a lane that was brought up, and not made live.
 * Return: false if it was: then it is not ours any more
 */
static bool vxhs_recovery_give_up(struct vxhs_session *session,
				  struct vxhs_lane *lane)
{
	bool ours;

	mutex_lock(&session->lanes_lock);
	ours = session->starting == lane;
	if (ours) {
		vxhs_recovery_abort(session, lane);
		session->starting = NULL;
	}
	mutex_unlock(&session->lanes_lock);
	return ours;
}

/* @fixed: @message is a constant. */
static void vxhs_recovery_report(struct vxhs_session *session,
				 const char *message, bool fixed)
{
	const char *reason = fixed ? message : NULL;
	struct sockaddr_storage portal;
	unsigned int index;
	bool news;

	spin_lock_irq(&session->state_lock);
	index = session->current_portal;
	portal = session->key.portal[index];
	spin_unlock_irq(&session->state_lock);
	if (reason)
		WRITE_ONCE(session->reason, reason);

	/* Seldom, but a new reason is news, unless they take turns. */
	mutex_lock(&session->lanes_lock);
	news = reason && reason != session->reported[index] &&
	       session->reports++ < VXHS_REPORTS;
	session->reported[index] = reason;
	if (time_after_eq(jiffies, session->next_report))
		session->reports = 0;
	else if (session->attempts && !news)
		goto out;
	session->next_report = jiffies + VXHS_REPORT;
	pr_warn("%s: portal %pISpc: %s; trying on\n", session->host, &portal,
		message ?: "does not answer");
out:
	mutex_unlock(&session->lanes_lock);
}

/* One attempt at the first lane of a new epoch. */
static int vxhs_recovery_try_epoch(struct vxhs_session *session)
{
	struct vxhs_lane *lane = session->lanes[0];
	struct netlink_ext_ack extack = {};
	unsigned long until;
	int ret;

	mutex_lock(&session->commands);
	if (session->login_sent || session->dialect == VXHS_DIALECT_V34) {
		WRITE_ONCE(session->epoch, session->epoch + 1);
		session->login_sent = false;
	}
	ret = vxhs_recovery_start(session, lane, true, &extack);
	mutex_unlock(&session->commands);
	if (ret) {
		vxhs_session_event(session, VXHS_SESSION_LOGIN_FAILED);
		vxhs_recovery_report(session, extack._msg,
				     extack._msg != extack._msg_buf);
		return ret;
	}
	vxhs_session_event(session, VXHS_SESSION_LOGGED_IN);

	/* Drain there, or find out that the disks are elsewhere. */
	until = jiffies + 2 * vxhs_kato(session);
	do {
		ret = vxhs_recovery_open_all(session, lane, true);
		if (ret != -EAGAIN)
			break;
		if (session->key.nr_portals > 1) {
			vxhs_session_event(session, VXHS_SESSION_NOT_HERE);
			break;
		}
		schedule_timeout_uninterruptible(VXHS_OPEN_RETRY);
	} while (time_before(jiffies, until) && !vxhs_session_closing(session));
	if (ret) {
		/* It was live, then broke: that is an event of its own. */
		if (!vxhs_recovery_give_up(session, lane))
			return 0;
		vxhs_recovery_report(session, ret == -EAGAIN ?
				     "it does not hold the vdisks yet" :
				     READ_ONCE(lane->reason), true);
	}
	return ret;
}

/* Begin the next epoch on the first portal that serves. */
static void vxhs_recovery_begin(struct vxhs_session *session)
{
	unsigned long delay, until;
	bool ready;
	unsigned int i;

	mutex_lock(&session->lanes_lock);
	ready = !session->holding;
	for (i = 0; i < session->nr_lanes; i++)
		ready &= READ_ONCE(session->lanes[i]->state) == VXHS_LANE_DOWN;
	mutex_unlock(&session->lanes_lock);
	/* A lane that still ends brings us back. */
	if (!ready) {
		vxhs_recovery_wake(session);
		vxhs_recovery_connect_in(session, VXHS_OPEN_RETRY);
		return;
	}
	if (session->dialect == VXHS_DIALECT_V34) {
		until = session->down_since +
			msecs_to_jiffies(READ_ONCE(session->policy.replay_delay_ms));
		if (time_before(jiffies, until)) {
			vxhs_recovery_connect_in(session,
						 vxhs_jiffies_left(until));
			return;
		}
	}

	if (!vxhs_recovery_try_epoch(session) || vxhs_session_closing(session))
		return;
	mutex_lock(&session->lanes_lock);
	if (!session->moved)
		vxhs_recovery_next_portal(session);
	delay = 0;
	if (++session->tried >= session->key.nr_portals) {
		session->tried = 0;
		delay = vxhs_recovery_backoff(session, ++session->attempts,
					      session->down_since);
	}
	mutex_unlock(&session->lanes_lock);
	vxhs_recovery_connect_in(session, delay);
}

static bool vxhs_recovery_is_bound(struct vxhs_io *io, void *data)
{
	bool *found = data;

	if (io->epoch)
		*found = true;
	return false;
}

/* It carried requests, and cannot be replaced for kato: only an epoch helps. */
static void vxhs_recovery_check_missing(struct vxhs_session *session,
					struct vxhs_lane *lane)
{
	bool bound = false;
	LIST_HEAD(none);

	if (time_before(jiffies, lane->gone_since + vxhs_kato(session)))
		return;
	mutex_lock(&session->lanes_lock);
	vxhs_recovery_spread(session);
	vxhs_send_filter(lane, &none, vxhs_recovery_is_bound, &bound);
	if (bound)
		vxhs_recovery_do(session,
				 vxhs_session_event(session,
						    VXHS_SESSION_LANE_MISSING));
	mutex_unlock(&session->lanes_lock);
}

/* Bring one lane of a live session back.  Return: jiffies until it is due */
static unsigned long vxhs_recovery_join(struct vxhs_session *session,
					struct vxhs_lane *lane)
{
	struct netlink_ext_ack extack = {};
	unsigned long delay;
	int ret;

	if (time_before(jiffies, lane->retry_at) && lane->failures)
		return vxhs_jiffies_left(lane->retry_at);
	if (!lane->failures)
		lane->gone_since = jiffies;
	if (session->dialect == VXHS_DIALECT_V34) {
		delay = msecs_to_jiffies(READ_ONCE(session->policy.replay_delay_ms));
		if (time_before(jiffies, lane->ended + delay))
			return vxhs_jiffies_left(lane->ended + delay);
	}
	mutex_lock(&session->commands);
	ret = vxhs_session_live(session) ? 0 : -ENOTCONN;
	if (!ret)
		ret = vxhs_recovery_start(session, lane, false, &extack);
	mutex_unlock(&session->commands);
	if (!ret) {
		ret = vxhs_recovery_open_all(session, lane, false);
		if (ret && !vxhs_recovery_give_up(session, lane))
			return VXHS_OPEN_RETRY;
	}
	if (!ret || !vxhs_session_live(session))
		return VXHS_OPEN_RETRY;
	if (ret == -ESTALE) {
		/* Without a sentence it was OPEN that said so. */
		if (extack._msg)
			pr_warn("%s: lane %u: %s; a new epoch begins\n",
				session->host, lane->index, extack._msg);
		vxhs_recovery_told(session, VXHS_SESSION_EPOCH_OVER);
		return VXHS_OPEN_RETRY;
	}
	if (!lane->failures++)
		pr_warn("%s: lane %u does not come back: %s\n", session->host,
			lane->index, extack._msg ?: "no vdisk could be opened");
	vxhs_recovery_check_missing(session, lane);
	delay = vxhs_recovery_backoff(session, lane->failures,
				      lane->gone_since);
	lane->retry_at = jiffies + delay;
	return delay;
}

/* Commands held. */
static bool vxhs_recovery_all_open(struct vxhs_session *session,
				   struct vxhs_lane *lane)
{
	struct vxhs_disk *disk;

	list_for_each_entry(disk, &session->disks, entry) {
		if (vxhs_recovery_wants(disk, lane))
			return false;
	}
	return true;
}

/*
 * Something of a vdisk has changed: OPEN tells.  A disk that is not shown yet
 * may have been opened before that, and is asked for again when it is.
 */
static void vxhs_recovery_reread(struct vxhs_session *session)
{
	struct vxhs_disk *disk;

	mutex_lock(&session->commands);
	list_for_each_entry(disk, &session->disks, entry)
		disk->reread = true;
	mutex_unlock(&session->commands);
}

/* A live session: lanes that are missing, disks that are not open. */
static void vxhs_recovery_complete(struct vxhs_session *session)
{
	unsigned long delay = MAX_JIFFY_OFFSET;
	unsigned int i;

	if (test_and_clear_bit(VXHS_SESSION_REREAD, &session->flags))
		vxhs_recovery_reread(session);
	for (i = 0; i < session->nr_lanes && vxhs_session_live(session); i++) {
		struct vxhs_lane *lane = session->lanes[i];

		if (READ_ONCE(lane->state) == VXHS_LANE_DOWN)
			delay = min(delay, vxhs_recovery_join(session, lane));
	}
	for (i = 0; i < session->nr_lanes && vxhs_session_live(session); i++) {
		struct vxhs_lane *lane = session->lanes[i];

		if (!vxhs_lane_is_live(lane))
			continue;
		if (vxhs_recovery_open_all(session, lane, false) == -ESTALE)
			vxhs_recovery_told(session, VXHS_SESSION_EPOCH_OVER);
	}
	mutex_lock(&session->commands);
	for (i = 0; i < session->nr_lanes; i++) {
		if (vxhs_lane_is_live(session->lanes[i]) &&
		    !vxhs_recovery_all_open(session, session->lanes[i]))
			delay = min(delay, (unsigned long)VXHS_OPEN_RETRY);
	}
	mutex_unlock(&session->commands);
	if (vxhs_session_live(session) && delay != MAX_JIFFY_OFFSET)
		queue_delayed_work(recovery_wq, &session->reconnect,
				   max(delay, 1UL));
}

/* Task (recovery_wq). */
static void vxhs_recovery_reconnect_work(struct work_struct *work)
{
	struct vxhs_session *session = container_of(to_delayed_work(work),
						    struct vxhs_session,
						    reconnect);
	unsigned int noio = memalloc_noio_save();

	switch (READ_ONCE(session->state)) {
	case VXHS_SESSION_STATE_RECOVERING:
	case VXHS_SESSION_STATE_FAILING:
		vxhs_recovery_begin(session);
		break;
	case VXHS_SESSION_STATE_LIVE:
		vxhs_recovery_complete(session);
		break;
	default:
		break;
	}
	memalloc_noio_restore(noio);
}

/* What others ask for */

/**
 * vxhs_recovery_portals_changed - the list of portals was replaced
 * @session: locked
 * @ours: the portal in use is still on it
 *
 * Context: task, may sleep.
 */
void vxhs_recovery_portals_changed(struct vxhs_session *session, bool ours)
{
	unsigned int noio = memalloc_noio_save();
	u32 actions;

	mutex_lock(&session->lanes_lock);
	session->tried = 0;
	if (!ours && session->starting) {
		session->moved = true;
		vxhs_lane_fail(session->starting,
			       "its portal was taken off the list");
	}
	if (!ours && vxhs_session_live(session)) {
		actions = vxhs_session_event(session, VXHS_SESSION_GOING_AWAY);
		vxhs_recovery_do(session, actions);
		/* The new list's first one is the next one. */
		spin_lock_irq(&session->state_lock);
		session->current_portal = 0;
		spin_unlock_irq(&session->state_lock);
	} else {
		actions = vxhs_session_event(session,
					     VXHS_SESSION_PORTALS_CHANGED);
		session->attempts = 0;
		if (!session->holding)
			vxhs_recovery_do(session, actions);
	}
	mutex_unlock(&session->lanes_lock);
	memalloc_noio_restore(noio);
	vxhs_recovery_wake(session);
}

/* Lanes that carry something of the disk.  lanes_lock held. */
static bool vxhs_recovery_fail_carriers(struct vxhs_session *session,
					struct vxhs_disk *disk, bool end)
{
	unsigned int nr_slots, i;
	bool found = false;

	nr_slots = session->tag_set.nr_hw_queues * session->tag_set.queue_depth;
	for (i = 0; i < nr_slots; i++) {
		struct vxhs_slot *slot = &session->slots[i];
		u64 word = atomic64_read_acquire(&slot->word);

		if (!(word & VXHS_SLOT_ACTIVE) ||
		    slot->rq->q != disk->gendisk->queue)
			continue;
		found = true;
		if (end)
			vxhs_lane_fail(slot->lane,
				       "a disk was detached by force");
	}
	return found;
}

/**
 * vxhs_recovery_kill_disk - fail all of a disk's requests, whatever it takes
 * @session: whose
 * @disk: which
 *
 * What is on a wire is given a moment to be answered; then the lanes that carry
 * it end, and what other disks have there is sent again.
 *
 * Context: task, may sleep; takes about half a second at most.
 */
void vxhs_recovery_kill_disk(struct vxhs_session *session,
			     struct vxhs_disk *disk)
{
	unsigned long until = jiffies + VXHS_FORCE_WAIT;
	bool found;

	vxhs_session_event(session, VXHS_SESSION_FORCE);
	mutex_lock(&session->lanes_lock);
	disk->dead = true;
	vxhs_recovery_refuse(disk, BLK_STS_TRANSPORT);
	mutex_unlock(&session->lanes_lock);
	for (;;) {
		/* Takes each tx.lock: who sends has seen that it may not. */
		vxhs_recovery_wake(session);
		flush_delayed_work(&session->recover);
		mutex_lock(&session->lanes_lock);
		found = vxhs_recovery_fail_carriers(session, disk,
						    time_after(jiffies, until));
		mutex_unlock(&session->lanes_lock);
		if (!found)
			break;
		schedule_timeout_uninterruptible(HZ / 50 + 1);
	}
}

/**
 * vxhs_recovery_show_disk - a new disk's block device is there
 * @session: whose
 * @disk: which
 *
 * Until now recovery left it alone: a lane that came back meanwhile has not
 * opened it.
 *
 * Context: task, may sleep.
 */
void vxhs_recovery_show_disk(struct vxhs_session *session,
			     struct vxhs_disk *disk)
{
	mutex_lock(&session->lanes_lock);
	disk->shown = true;
	if (!vxhs_session_live(session)) {
		disk->waits = true;
		disk->waits_since = jiffies;
	}
	mutex_unlock(&session->lanes_lock);
	if (vxhs_session_live(session))
		vxhs_recovery_connect_in(session, 0);
	vxhs_recovery_wake(session);
}

/**
 * vxhs_recovery_prepare - a new session
 * @session: which
 */
void vxhs_recovery_prepare(struct vxhs_session *session)
{
	INIT_DELAYED_WORK(&session->recover, vxhs_recovery_work);
	INIT_DELAYED_WORK(&session->reconnect, vxhs_recovery_reconnect_work);
}

/**
 * vxhs_recovery_stop - a session is CLOSING
 * @session: which; its lanes belong to the caller afterwards
 *
 * Context: task, may sleep; not with commands or lanes_lock held.
 */
void vxhs_recovery_stop(struct vxhs_session *session)
{
	struct vxhs_lane *starting;

	mutex_lock(&session->lanes_lock);
	starting = session->starting;
	if (starting)
		vxhs_lane_fail(starting, "its session closes");
	mutex_unlock(&session->lanes_lock);
	disable_delayed_work_sync(&session->reconnect);
	disable_delayed_work_sync(&session->recover);
}

/**
 * vxhs_recovery_init - module init of this room
 *
 * Return: 0 or -ENOMEM
 */
int vxhs_recovery_init(void)
{
	recovery_wq = alloc_workqueue("vxhs_recovery",
				      WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return recovery_wq ? 0 : -ENOMEM;
}

/** vxhs_recovery_exit - module exit of this room; no session is left */
void vxhs_recovery_exit(void)
{
	destroy_workqueue(recovery_wq);
}
