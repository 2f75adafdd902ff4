// SPDX-License-Identifier: GPL-2.0
/*
 * One connection: its socket from connect to abort, its keepalive and its own
 * commands.  What becomes of the requests of a lane that ends is for the
 * session to decide.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/inet.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <net/busy_poll.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <uapi/linux/sched/types.h>

#include "lane.h"
#include "receive.h"
#include "recovery.h"
#include "send.h"
#include "session.h"
#include "tls.h"
#include "trace.h"

/* How long connect() waits before it looks whether somebody still wants it. */
#define VXHS_CONNECT_SLICE	(HZ / 5 + 1)

/* Bytes that the worker receives before it sends, and before others' turn. */
#define VXHS_WORKER_BUDGET	SZ_1M

/* Bytes of a connection with TLS that carried nothing. */
#define VXHS_TLS_EMPTY_MAX	SZ_1M

/* What came before an abort: more than a socket's buffer, and not endless. */
#define VXHS_ABORT_BUDGET	SZ_64M

/*
 * RFC 8446, 5.5: AES-GCM is good for 2^24.5 full records under one key.  Half a
 * power of two is left for what is still under way.
 */
#define VXHS_TLS_LANE_BYTES	BIT_ULL(38)

static unsigned long long tls_lane_bytes = VXHS_TLS_LANE_BYTES;
module_param(tls_lane_bytes, ullong, 0644);
MODULE_PARM_DESC(tls_lane_bytes,
		 "Bytes after which a connection with TLS is replaced, 1 MiB to 256 GiB");

/* Bytes that a softirq copies before the rest is left to the worker. */
#define VXHS_SOFTIRQ_BUDGET	(64 << 10)

/* Keepalives.  Recovery has a queue of its own, see session.c. */
static struct workqueue_struct *lane_wq;

/*
 * The first memalloc socket of a host patches kernel text, and the last one
 * again: this one keeps that from happening at each attach and detach.
 */
static struct socket *memalloc_sock;

/**
 * vxhs_lane_queue_work - have the worker look at the lane
 * @lane: any
 * @delay: jiffies from now, whatever was asked for before
 *
 * Context: any.
 */
void vxhs_lane_queue_work(struct vxhs_lane *lane, unsigned long delay)
{
	kthread_mod_delayed_work(lane->worker, &lane->work, delay);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
/*
 * Our sockets are locked below the block layer, those of user space above it:
 * one lockdep class for both would see a circle.  Those with TLS have a class
 * of their own: an agent in user space locks them too, and only the worker.
 */
static struct lock_class_key vxhs_sk_key[2][2];
static struct lock_class_key vxhs_slock_key[2][2];
static const char * const vxhs_sk_name[2][2] = {
	{ "sk_lock-AF_INET-VXHS", "sk_lock-AF_INET6-VXHS" },
	{ "sk_lock-AF_INET-VXHS-TLS", "sk_lock-AF_INET6-VXHS-TLS" },
};

static const char * const vxhs_slock_name[2][2] = {
	{ "slock-AF_INET-VXHS", "slock-AF_INET6-VXHS" },
	{ "slock-AF_INET-VXHS-TLS", "slock-AF_INET6-VXHS-TLS" },
};

static void vxhs_reclassify_socket(struct sock *sk, bool tls)
{
	bool v6 = sk->sk_family == AF_INET6;

	if (WARN_ON_ONCE(!sock_allow_reclassification(sk)))
		return;
	sock_lock_init_class_and_name(sk, vxhs_slock_name[tls][v6],
				      &vxhs_slock_key[tls][v6],
				      vxhs_sk_name[tls][v6],
				      &vxhs_sk_key[tls][v6]);
}
#else
static void vxhs_reclassify_socket(struct sock *sk, bool tls)
{
}
#endif

#ifdef CONFIG_NET_RX_BUSY_POLL
static void vxhs_lane_note_napi(struct vxhs_lane *lane, const struct sock *sk)
{
	unsigned int id = READ_ONCE(sk->sk_napi_id);

	if (unlikely(lane->napi_id != id))
		WRITE_ONCE(lane->napi_id, id);
}

static void vxhs_lane_busy_poll(const struct vxhs_lane *lane)
{
	unsigned int id = READ_ONCE(lane->napi_id);

	if (id >= MIN_NAPI_ID)
		napi_busy_loop(id, NULL, NULL, false, BUSY_POLL_BUDGET);
}
#else
static void vxhs_lane_note_napi(struct vxhs_lane *lane, const struct sock *sk)
{
}

static void vxhs_lane_busy_poll(const struct vxhs_lane *lane)
{
}
#endif

/**
 * vxhs_lane_poll - a submitter looks for replies itself
 * @lane: any
 *
 * Asks the network card for packets instead of waiting for its interrupt;
 * replies in them are received as ever, in data_ready.
 *
 * Context: task, does not sleep.
 * Return: how many requests completed meanwhile
 */
unsigned int vxhs_lane_poll(struct vxhs_lane *lane)
{
	unsigned int before = READ_ONCE(lane->completed);

	vxhs_lane_busy_poll(lane);
	return READ_ONCE(lane->completed) - before;
}

/*
 * kTLS skips records without data, in one call and for as long as more of them
 * come.  What is not read yet is in the socket's buffer, the rest was such.
 */
static bool vxhs_lane_is_flooded(const struct vxhs_lane *lane,
				 const struct sock *sk)
{
	return lane->tls &&
	       tcp_sk(sk)->bytes_received > lane->rx.sealed +
	       READ_ONCE(sk->sk_rcvbuf) + VXHS_TLS_EMPTY_MAX;
}

/* Softirq, the socket's spinlock held; or a task that holds the socket. */
static void vxhs_data_ready(struct sock *sk)
{
	struct vxhs_lane *lane;
	bool flooded = false;

	read_lock_bh(&sk->sk_callback_lock);
	lane = sk->sk_user_data;
	if (likely(lane)) {
		vxhs_lane_note_napi(lane, sk);
		/* Only a task can decipher records. */
		if (lane->tls || vxhs_receive(lane, VXHS_SOFTIRQ_BUDGET))
			vxhs_lane_queue_work(lane, 0);
		flooded = vxhs_lane_is_flooded(lane, sk);
		if (unlikely(flooded))
			vxhs_lane_fail(lane, "server sends TLS records without data, or padded");
	}
	read_unlock_bh(&sk->sk_callback_lock);
	/* Who aborts the lane waits for that call: no more may come. */
	if (unlikely(flooded) && sk->sk_state != TCP_CLOSE)
		tcp_done(sk);
}

/* Softirq or task. */
static void vxhs_write_space(struct sock *sk)
{
	struct vxhs_lane *lane;

	read_lock_bh(&sk->sk_callback_lock);
	lane = sk->sk_user_data;
	/* With TLS that is kTLS's own, and sends the rest of a record. */
	if (lane && lane->tls)
		lane->write_space(sk);
	if (lane && sk_stream_is_writeable(sk)) {
		clear_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
		vxhs_lane_queue_work(lane, 0);
	}
	read_unlock_bh(&sk->sk_callback_lock);
}

/* Softirq or task. */
static void vxhs_state_change(struct sock *sk)
{
	struct vxhs_lane *lane;

	read_lock_bh(&sk->sk_callback_lock);
	lane = sk->sk_user_data;
	if (!lane)
		goto out;

	switch (sk->sk_state) {
	case TCP_CLOSE_WAIT:
	case TCP_CLOSE:
	case TCP_LAST_ACK:
	case TCP_CLOSING:
		/* What came before says why, and only a task can read it. */
		if (lane->tls)
			vxhs_lane_queue_work(lane, 0);
		else if (sk->sk_err == ETIMEDOUT)
			vxhs_lane_fail(lane, "server does not answer TCP");
		else
			vxhs_lane_fail(lane, "server closed the connection");
		break;
	}
	lane->state_change(sk);
out:
	read_unlock_bh(&sk->sk_callback_lock);
}

static void vxhs_lane_set_callbacks(struct vxhs_lane *lane)
{
	struct sock *sk = lane->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	lane->data_ready = sk->sk_data_ready;
	lane->write_space = sk->sk_write_space;
	lane->state_change = sk->sk_state_change;
	sk->sk_user_data = lane;
	sk->sk_data_ready = vxhs_data_ready;
	sk->sk_write_space = vxhs_write_space;
	sk->sk_state_change = vxhs_state_change;
	write_unlock_bh(&sk->sk_callback_lock);
}

static void vxhs_lane_restore_callbacks(struct vxhs_lane *lane)
{
	struct sock *sk = lane->sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data) {
		sk->sk_user_data = NULL;
		sk->sk_data_ready = lane->data_ready;
		sk->sk_write_space = lane->write_space;
		sk->sk_state_change = lane->state_change;
	}
	write_unlock_bh(&sk->sk_callback_lock);
}

/**
 * vxhs_lane_is_spent - have its keys protected what they may?
 * @lane: any
 * @spare: how much of the limit they may be beyond it, in quarters
 *
 * Context: any; what it reads is a moment old.
 * Return: true if so
 */
bool vxhs_lane_is_spent(const struct vxhs_lane *lane, unsigned int spare)
{
	u64 limit = clamp(READ_ONCE(tls_lane_bytes), SZ_1M,
			  VXHS_TLS_LANE_BYTES);

	return max(READ_ONCE(lane->rx.sealed), READ_ONCE(lane->tx.sealed)) >=
	       limit + limit / 4 * spare;
}

/* tx.lock held. */
static void vxhs_lane_check_spent(struct vxhs_lane *lane)
{
	if (lane->spent || !vxhs_lane_is_spent(lane, 0))
		return;
	WRITE_ONCE(lane->spent, true);
	vxhs_recovery_wake(lane->session);
}

/* Task: the lane's own thread. */
static void vxhs_lane_work(struct kthread_work *work)
{
	struct vxhs_lane *lane = container_of(work, struct vxhs_lane,
					      work.work);
	bool more = false;

	/* Under tx.lock, for that is what keeps the socket from being freed. */
	mutex_lock(&lane->tx.lock);
	if (lane->sock) {
		more = vxhs_receive_task(lane, VXHS_WORKER_BUDGET);
		vxhs_send_all(lane);
		if (lane->tls)
			vxhs_lane_check_spent(lane);
	}
	mutex_unlock(&lane->tx.lock);

	if (more)
		vxhs_lane_queue_work(lane, 0);
	else
		vxhs_send_kick(lane);
}

/* Was nothing sent for so long?  The server may take the lane for dead then. */
static bool vxhs_lane_sent_nothing(struct vxhs_lane *lane, unsigned long now,
				   unsigned long half)
{
	u32 sequence = READ_ONCE(lane->tx.sequence);

	if (lane->seen_sequence != sequence) {
		lane->seen_sequence = sequence;
		lane->last_tx = now;
	}
	return time_after_eq(now, lane->last_tx + half);
}

/*
 * Section 5.7: a lane on which nothing arrived for kato while something was
 * asked is dead.  After kato/2 of silence, in either direction, PING asks.
 */
static void vxhs_lane_keepalive(struct work_struct *work)
{
	struct vxhs_lane *lane = container_of(to_delayed_work(work),
					      struct vxhs_lane, keepalive);
	unsigned long half = lane->kato / 2;
	unsigned long now = jiffies;

	if (!vxhs_lane_is_up(lane))
		return;

	if (READ_ONCE(lane->ping)) {
		if (time_after_eq(now, lane->ping_sent + half) &&
		    time_after_eq(now, READ_ONCE(lane->last_rx) + half)) {
			vxhs_lane_fail(lane, "no answer: nothing arrived for kato");
			return;
		}
	} else if (vxhs_lane_sent_nothing(lane, now, half) ||
		   time_after_eq(now, READ_ONCE(lane->last_rx) + half)) {
		lane->last_tx = now;
		/* Ours while no PING is out: nobody else writes these. */
		lane->ping_sent = now;
		if (!++lane->ping_generation)
			lane->ping_generation = 1;
		WRITE_ONCE(lane->ping, lane->ping_generation);
		/* Publishes ping; pairs with vxhs_send_build_ping(). */
		smp_store_release(&lane->ping_queued, true);
		vxhs_lane_queue_work(lane, 0);
	}
	queue_delayed_work(lane_wq, &lane->keepalive, max(half / 4, 1UL));
}

/**
 * vxhs_lane_keepalive_start - watch over a lane that speaks the native dialect
 * @lane: which is up
 * @kato_ms: the server's choice, checked
 */
void vxhs_lane_keepalive_start(struct vxhs_lane *lane, u32 kato_ms)
{
	lane->kato = msecs_to_jiffies(kato_ms);
	lane->last_rx = jiffies;
	lane->last_tx = jiffies;
	queue_delayed_work(lane_wq, &lane->keepalive, lane->kato / 8 + 1);
}

/*
 * Writeback waits for this thread, so it is made before anything needs it.  It
 * does not preempt a submitter that wakes it, see vxhs_send_commit(); but then
 * it comes before others that wait for the CPU.
 */
static struct kthread_worker *vxhs_lane_worker(unsigned int index)
{
	const struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_BATCH,
		.sched_nice = MIN_NICE,
	};
	struct kthread_worker *worker;

	worker = kthread_create_worker(0, "vxhs_lane/%u", index);
	if (!IS_ERR(worker))
		sched_setattr_nocheck(worker->task, &attr);
	return worker;
}

/**
 * vxhs_lane_alloc - make a lane that is down
 * @session: whose
 * @index: which
 *
 * Context: task, may sleep.
 * Return: the lane or NULL
 */
struct vxhs_lane *vxhs_lane_alloc(struct vxhs_session *session,
				  unsigned int index)
{
	struct vxhs_lane *lane = kvzalloc(sizeof(*lane), GFP_KERNEL);

	if (!lane)
		return NULL;
	lane->session = session;
	lane->index = index;
	lane->tls = session->key.tls.peername;
	lane->worker = vxhs_lane_worker(index);
	if (IS_ERR(lane->worker)) {
		kvfree(lane);
		return NULL;
	}
	kthread_init_delayed_work(&lane->work, vxhs_lane_work);
	INIT_DELAYED_WORK(&lane->keepalive, vxhs_lane_keepalive);
	init_llist_head(&lane->tx.submit);
	mutex_init(&lane->tx.lock);
	INIT_LIST_HEAD(&lane->tx.queue);
	INIT_LIST_HEAD(&lane->tx.held);
	INIT_LIST_HEAD(&lane->tx.batch);
	INIT_LIST_HEAD(&lane->rx.done);
	spin_lock_init(&lane->command.lock);
	init_completion(&lane->command.done);
	return lane;
}

/**
 * vxhs_lane_free - free a lane that is down
 * @lane: from vxhs_lane_alloc(), or NULL
 */
void vxhs_lane_free(struct vxhs_lane *lane)
{
	if (!lane)
		return;
	WARN_ON(lane->sock);
	kthread_cancel_delayed_work_sync(&lane->work);
	kthread_destroy_worker(lane->worker);
	mutex_destroy(&lane->tx.lock);
	kvfree(lane);
}

static void vxhs_lane_set_options(struct sock *sk, bool tls)
{
	vxhs_reclassify_socket(sk, tls);
	tcp_sock_set_nodelay(sk);
	tcp_sock_set_syncnt(sk, 2);
	sock_set_keepalive(sk);
	tcp_sock_set_keepidle(sk, 5);
	tcp_sock_set_keepintvl(sk, 2);
	tcp_sock_set_keepcnt(sk, 5);
	/* Long, for a v34 server reads nothing while it does slow I/O. */
	tcp_sock_set_user_timeout(sk, 60000);
	/* Its end is an abort: what is queued must not go out afterwards. */
	sock_no_linger(sk);
	/* Writeback and swap go through here. */
	sk->sk_allocation = GFP_NOIO;
	sk->sk_use_task_frag = false;
	sk_set_memalloc(sk);
}

/* Task, may sleep. */
static void vxhs_lane_release_socket(struct vxhs_lane *lane,
				     struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (lane->tls) {
		vxhs_tls_release(sock);
		return;
	}
	sock_hold(sk);
	/* Linger 0: resets, and purges the write queue. */
	sock_release(sock);
	/*
	 * Only now that no packet finds it any more: the backlog must not hold
	 * packets from the reserves when the flag goes.
	 */
	sk_clear_memalloc(sk);
	sock_put(sk);
}

static int vxhs_lane_bind(struct vxhs_lane *lane, struct socket *sock,
			  struct netlink_ext_ack *extack)
{
	struct vxhs_session *session = lane->session;
	int ret;

	if (session->key.ifindex) {
		ret = sock_bindtoindex(sock->sk, session->key.ifindex,
				       true);
		if (ret) {
			NL_SET_ERR_MSG(extack,
				       "this host: cannot bind to that interface");
			return ret;
		}
	}
	if (session->key.source.ss_family) {
		ret = kernel_bind(sock,
				  (struct sockaddr *)&session->key.source,
				  sizeof(session->key.source));
		if (ret) {
			NL_SET_ERR_MSG_FMT(extack,
					   "%pISc is no source address of this host",
					   &session->key.source);
			return ret;
		}
	}
	return 0;
}

static void vxhs_lane_connect_error(int ret, struct netlink_ext_ack *extack)
{
	switch (ret) {
	case -ECONNREFUSED:
		NL_SET_ERR_MSG(extack,
			       "connection refused; is vxhsd running and listening on that port?");
		break;
	case -ETIMEDOUT:
		NL_SET_ERR_MSG(extack,
			       "connection timed out; is the server up, and the port open in its firewall?");
		break;
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		NL_SET_ERR_MSG(extack,
			       "server unreachable; look at this host's routes and the network");
		break;
	case -EINTR:
		NL_SET_ERR_MSG(extack, "interrupted while connecting");
		break;
	default:
		NL_SET_ERR_MSG_FMT(extack, "cannot connect: error %d", -ret);
	}
}

/* With TLS it has a file.  Return: the socket, or an ERR_PTR() */
static struct socket *vxhs_lane_create_socket(struct vxhs_lane *lane,
					      sa_family_t family)
{
	struct socket *sock;
	int ret;

	ret = sock_create_kern(&init_net, family, SOCK_STREAM, IPPROTO_TCP,
			       &sock);
	if (!ret && lane->tls)
		ret = vxhs_tls_open(sock);
	return ret ? ERR_PTR(ret) : sock;
}

/* What the last connection has left; nobody else finds the lane yet. */
static void vxhs_lane_reset(struct vxhs_lane *lane)
{
	lane->dialect = VXHS_DIALECT_V34;
	lane->features = 0;
	lane->max_inflight = VXHS_V34_INFLIGHT;
	lane->max_inflight_bytes = VXHS_V34_INFLIGHT_BYTES;
	lane->kato = 0;
	lane->ping = 0;
	lane->ping_queued = false;
	lane->gated = false;
	lane->reason = NULL;
	lane->spent = false;
	lane->retiring = false;
	lane->tx.sealed = 0;
	lane->rx.sealed = 0;
	atomic64_set(&lane->inflight, 0);
	vxhs_receive_reset(lane);
}

/**
 * vxhs_lane_connect - bring a lane's socket up
 * @lane: which is down
 * @portal: address and port
 * @deadline: in jiffies
 * @extack: told why not
 *
 * Afterwards the lane speaks v34 and carries commands; if its session has TLS,
 * in records.
 *
 * Context: task, may sleep, the session's lock held.
 * Return: 0 or a negative errno
 */
int vxhs_lane_connect(struct vxhs_lane *lane, struct sockaddr_storage *portal,
		      unsigned long deadline, struct netlink_ext_ack *extack)
{
	struct socket *sock;
	struct sock *sk;
	int ret;

	sock = vxhs_lane_create_socket(lane, portal->ss_family);
	if (IS_ERR(sock)) {
		NL_SET_ERR_MSG(extack, "this host: cannot create a socket");
		return PTR_ERR(sock);
	}
	sk = sock->sk;
	vxhs_lane_reset(lane);
	vxhs_lane_set_options(sk, lane->tls);

	ret = vxhs_lane_bind(lane, sock, extack);
	if (ret)
		goto err_sock;

	do {
		/* In slices: a session that closes does not wait for it. */
		sk->sk_sndtimeo = min_t(long, vxhs_jiffies_left(deadline),
					VXHS_CONNECT_SLICE);
		ret = kernel_connect(sock, (struct sockaddr *)portal,
				     sizeof(*portal), 0);
		/* What a blocking connect says when sk_sndtimeo is over. */
		if (ret != -EINPROGRESS && ret != -EALREADY)
			break;
		ret = -ETIMEDOUT;
	} while (time_before(jiffies, deadline) &&
		 READ_ONCE(lane->session->state) != VXHS_SESSION_STATE_CLOSING);
	if (ret == -ERESTARTSYS)
		ret = -EINTR;
	if (ret) {
		vxhs_lane_connect_error(ret, extack);
		goto err_sock;
	}
	sk->sk_sndtimeo = MAX_SCHEDULE_TIMEOUT;

	if (lane->tls) {
		ret = vxhs_tls_handshake(lane->session, sock,
					 &lane->session->key.tls, deadline,
					 extack);
		if (ret)
			return ret;
	}

	/* Only now the worker may find it. */
	mutex_lock(&lane->tx.lock);
	lane->sock = sock;
	WRITE_ONCE(lane->state, VXHS_LANE_UP);
	vxhs_lane_set_callbacks(lane);
	mutex_unlock(&lane->tx.lock);
	/* What came before the callbacks were there: records, or a reset. */
	if (lane->tls)
		vxhs_lane_queue_work(lane, 0);
	else if (READ_ONCE(sk->sk_state) != TCP_ESTABLISHED)
		vxhs_lane_fail(lane, "server closed the connection");
	/* Who closes the session fails a lane that is up: one sees the other. */
	smp_mb();
	if (READ_ONCE(lane->session->state) == VXHS_SESSION_STATE_CLOSING)
		vxhs_lane_fail(lane, "its session closes");
	return 0;

err_sock:
	vxhs_lane_release_socket(lane, sock);
	return ret;
}

/**
 * vxhs_lane_fail - a lane is found to be broken
 * @lane: any
 * @reason: why, a constant string
 *
 * Says so once, stops the lane's use and leaves the rest to the session's
 * recovery.
 *
 * Context: any, softirq with the socket's lock held included.
 */
void vxhs_lane_fail(struct vxhs_lane *lane, const char *reason)
{
	enum vxhs_lane_state state = READ_ONCE(lane->state);

	do {
		if (state == VXHS_LANE_CLOSING) {
			/* The server may close before it answers LOGOUT. */
			vxhs_lane_command_end(lane, -ECONNRESET);
			return;
		}
		if (state != VXHS_LANE_UP && state != VXHS_LANE_LIVE)
			return;
	} while (!try_cmpxchg(&lane->state, &state, VXHS_LANE_BROKEN));

	WRITE_ONCE(lane->reason, reason);
	trace_vxhs_lane_fail(lane, reason);
	vxhs_session_lane_broken(lane->session, lane, reason);
}

/* Its end is no news from here on.  Return: it was up */
static bool vxhs_lane_start_closing(struct vxhs_lane *lane)
{
	enum vxhs_lane_state state = READ_ONCE(lane->state);

	do {
		if (state != VXHS_LANE_UP && state != VXHS_LANE_LIVE)
			return false;
	} while (!try_cmpxchg(&lane->state, &state, VXHS_LANE_CLOSING));
	return true;
}

/**
 * vxhs_lane_abort - end a lane's connection, at once and for good
 * @lane: in any state; DOWN afterwards
 *
 * When this returns, nothing of the lane's requests is in a socket any more,
 * no callback runs, no worker finds a socket, and all its requests belong to
 * the caller.
 *
 * Context: task, may sleep; only one caller at a time.
 */
void vxhs_lane_abort(struct vxhs_lane *lane)
{
	struct vxhs_tx *tx = &lane->tx;
	struct socket *sock;

	vxhs_lane_start_closing(lane);
	cancel_delayed_work_sync(&lane->keepalive);

	mutex_lock(&tx->lock);
	sock = lane->sock;
	if (sock) {
		lock_sock(sock->sk);
		/* Replies that arrived before the connection broke count. */
		vxhs_receive(lane, VXHS_ABORT_BUDGET);
		lane->rx.dead = true;
		vxhs_lane_restore_callbacks(lane);
		release_sock(sock->sk);

		vxhs_lane_release_socket(lane, sock);
		lane->sock = NULL;
	}
	vxhs_send_drop_batch(lane);
	mutex_unlock(&tx->lock);

	kthread_cancel_delayed_work_sync(&lane->work);
	lane->ended = jiffies;
	/* Before the command ends; pairs with vxhs_lane_do_command(). */
	smp_store_mb(lane->state, VXHS_LANE_DOWN);
	vxhs_lane_command_end(lane, -ECONNRESET);
}

/**
 * vxhs_lane_close - end a lane that carries no requests
 * @lane: in any state; DOWN afterwards
 * @deadline: in jiffies, for the answer to LOGOUT
 *
 * A native server is told with LOGOUT, so that it need not wait for kato.
 *
 * Context: task, may sleep, the session's lock held.
 */
void vxhs_lane_close(struct vxhs_lane *lane, unsigned long deadline)
{
	if (vxhs_lane_start_closing(lane) &&
	    lane->dialect == VXHS_DIALECT_NATIVE)
		vxhs_lane_command(lane, VXHS_OP_LOGOUT, NULL, 0, 0, deadline);
	vxhs_lane_abort(lane);
}

/**
 * vxhs_lane_command_end - a command will get no reply
 * @lane: its lane
 * @error: negative errno for who waits
 *
 * Context: any.
 */
void vxhs_lane_command_end(struct vxhs_lane *lane, int error)
{
	struct vxhs_command *command = &lane->command;

	spin_lock_bh(&command->lock);
	if (command->state == VXHS_COMMAND_QUEUED ||
	    command->state == VXHS_COMMAND_SENT) {
		command->error = error;
		complete(&command->done);
	}
	command->state = VXHS_COMMAND_IDLE;
	spin_unlock_bh(&command->lock);
}

/* Hand out[] to the transmitter and wait for the reply. */
static int vxhs_lane_do_command(struct vxhs_lane *lane, unsigned long deadline)
{
	struct vxhs_command *command = &lane->command;
	bool done;

	if (!vxhs_lane_can_send(lane))
		return -ENOTCONN;

	reinit_completion(&command->done);
	command->error = 0;
	spin_lock_bh(&command->lock);
	command->state = VXHS_COMMAND_QUEUED;
	spin_unlock_bh(&command->lock);

	/*
	 * A lane that breaks from here on ends the command; if it did ...
	 * Pairs with the change of state: one side sees the other.
	 */
	smp_mb();
	if (!vxhs_lane_can_send(lane))
		vxhs_lane_command_end(lane, -ENOTCONN);
	else
		vxhs_send_kick(lane);

	done = wait_for_completion_timeout(&command->done,
					   vxhs_jiffies_left(deadline));
	if (done)
		return command->error;

	spin_lock_bh(&command->lock);
	switch (command->state) {
	case VXHS_COMMAND_QUEUED:
		command->state = VXHS_COMMAND_IDLE;
		command->error = -ETIMEDOUT;
		break;
	case VXHS_COMMAND_SENT:
		/* The reply may still come, and must find its tag. */
		command->state = VXHS_COMMAND_ABANDONED;
		command->abandoned = jiffies;
		command->error = -ETIMEDOUT;
		break;
	default:
		break;
	}
	spin_unlock_bh(&command->lock);
	return command->error;
}

static bool vxhs_lane_command_idle(struct vxhs_lane *lane)
{
	struct vxhs_command *command = &lane->command;
	bool idle, late;

	spin_lock_bh(&command->lock);
	idle = command->state == VXHS_COMMAND_IDLE;
	if (idle)
		command->generation++;
	late = command->state == VXHS_COMMAND_ABANDONED && lane->kato &&
	       time_after(jiffies, command->abandoned + 2 * lane->kato);
	spin_unlock_bh(&command->lock);
	if (late)
		vxhs_lane_fail(lane, "server does not answer a command");
	return idle;
}

/**
 * vxhs_lane_command - send a native command and wait for its reply
 * @lane: up and native
 * @opcode: LOGIN, OPEN, CLOSE or LOGOUT
 * @body: its payload
 * @body_len: bytes of @body
 * @handle: for CLOSE, else 0
 * @deadline: in jiffies
 *
 * The reply's status and payload are in lane->command afterwards.
 *
 * Context: task, may sleep, the session's lock held.
 * Return: 0 when a reply came, -EBUSY if an earlier command still has none,
 * -ETIMEDOUT, or another negative errno if the lane broke
 */
int vxhs_lane_command(struct vxhs_lane *lane, u8 opcode, const void *body,
		      size_t body_len, u32 handle, unsigned long deadline)
{
	struct vxhs_command *command = &lane->command;
	struct vxhs_request req = {
		.opcode = opcode,
		.handle = handle,
		.payload_len = body_len,
	};

	if (!vxhs_lane_command_idle(lane))
		return -EBUSY;
	if (lane->features & VXHS_F_DATA_CRC)
		req.payload_crc = vxhs_wire_crc(body, body_len);
	req.tag = vxhs_tag(command->generation, VXHS_TAG_LANE_QUEUE,
			   VXHS_TAG_COMMAND);
	vxhs_put_request((struct vxhs_req_hdr *)command->out, &req,
			 lane->features);
	if (body_len)
		memcpy(command->out + sizeof(struct vxhs_req_hdr), body,
		       body_len);
	command->out_len = sizeof(struct vxhs_req_hdr) + body_len;
	command->opcode = opcode;
	return vxhs_lane_do_command(lane, deadline);
}

/* A v34 command without a payload. */
static int vxhs_lane_v34_command(struct vxhs_lane *lane, u16 opcode,
				 const char *vdisk, u64 offer,
				 unsigned long deadline)
{
	struct vxhs_command *command = &lane->command;
	struct vxhs_v34_hdr *hdr = (struct vxhs_v34_hdr *)command->out;
	struct vxhs_v34_msg msg = {
		.data_type = VXHS_V34_KVSET,
		.opcode = opcode,
		.flags = VXHS_V34_NEED_RESP | VXHS_V34_SYNC_REQ,
	};

	if (!vxhs_lane_command_idle(lane))
		return -EBUSY;
	msg.cookie = vxhs_tag(command->generation, VXHS_TAG_LANE_QUEUE,
			      VXHS_TAG_COMMAND);
	strscpy(msg.target, vdisk, sizeof(msg.target));
	vxhs_v34_put(hdr, &msg);
	if (offer != VXHS_NO_OFFER)
		vxhs_put_offer(&hdr->offer, VXHS_VERSION, VXHS_VERSION, offer);
	command->out_len = sizeof(*hdr);
	command->opcode = opcode;
	return vxhs_lane_do_command(lane, deadline);
}

/**
 * vxhs_lane_stat - send a v34 STAT and wait for its reply
 * @lane: up, speaking v34
 * @vdisk: name of the vdisk
 * @offer: features to offer with the native dialect; or VXHS_NO_OFFER
 * @deadline: in jiffies
 *
 * The reply's err, trailer and payload are in lane->command afterwards.
 *
 * Context: as vxhs_lane_command().
 * Return: as vxhs_lane_command()
 */
int vxhs_lane_stat(struct vxhs_lane *lane, const char *vdisk, u64 offer,
		   unsigned long deadline)
{
	return vxhs_lane_v34_command(lane, VXHS_V34_STAT, vdisk, offer,
				     deadline);
}

/**
 * vxhs_lane_ready - ask a v34 server whether it has taken a vdisk over
 * @lane: up, speaking v34
 * @vdisk: name of the vdisk
 * @deadline: in jiffies
 *
 * The reply's err is in lane->command afterwards, 0 if it is ready.
 *
 * Context: as vxhs_lane_command().
 * Return: as vxhs_lane_command()
 */
int vxhs_lane_ready(struct vxhs_lane *lane, const char *vdisk,
		    unsigned long deadline)
{
	return vxhs_lane_v34_command(lane, VXHS_V34_READY,
				     vdisk, VXHS_NO_OFFER, deadline);
}

/**
 * vxhs_lane_init - module init of this room
 *
 * Return: 0 or -ENOMEM
 */
int vxhs_lane_init(void)
{
	int ret;

	ret = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP,
			       &memalloc_sock);
	if (ret)
		return ret;
	sk_set_memalloc(memalloc_sock->sk);

	lane_wq = alloc_workqueue("vxhs_keepalive", WQ_MEM_RECLAIM, 0);
	if (lane_wq)
		return 0;
	sk_clear_memalloc(memalloc_sock->sk);
	sock_release(memalloc_sock);
	return -ENOMEM;
}

/** vxhs_lane_exit - module exit of this room; no lane is left */
void vxhs_lane_exit(void)
{
	destroy_workqueue(lane_wq);
	sk_clear_memalloc(memalloc_sock->sk);
	sock_release(memalloc_sock);
}
