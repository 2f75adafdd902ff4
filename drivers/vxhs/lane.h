/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A lane: one TCP connection of a session, with the state of its transmitter
 * and its receiver.  Others call what is declared here and in send.h and
 * receive.h, and read the fields marked so.
 */
#ifndef _VXHS_LANE_H
#define _VXHS_LANE_H

#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <uapi/linux/vxhs.h>

#include "io.h"

struct netlink_ext_ack;
struct sockaddr_storage;
struct vxhs_session;

#define VXHS_TX_BATCH		32	/* requests in one sendmsg() */
#define VXHS_TX_BYTES		(256 << 10) /* a batch ends beyond that */
#define VXHS_MAX_IO		SZ_1M	/* bytes of one request, at most */
#define VXHS_MAX_SEGMENTS	256	/* of one request */
/*
 * A request at its worst: each segment copied page by page, with two borders
 * inside a page each; and its header.
 */
#define VXHS_TX_BVECS		(2 * VXHS_MAX_SEGMENTS + VXHS_MAX_IO / SZ_4K + 1)
#define VXHS_TX_FRAGS		VXHS_TX_BVECS
/* A v34 server grants nothing: bounds of our own, per lane. */
#define VXHS_V34_INFLIGHT	128
#define VXHS_V34_INFLIGHT_BYTES	(16 << 20)
#define VXHS_NO_OFFER		(~0ULL)	/* STAT without an offer */
#define VXHS_COMMAND_OUT	256	/* header and body of a command */
#define VXHS_COMMAND_IN		1024	/* payload of a command's reply */
#define VXHS_TLS_RECORD		SZ_16K	/* data in a record, at most */
#define VXHS_TLS_RECORD_WORK	SZ_1K	/* bytes that take as long as a record */
#define VXHS_TLS_RECORD_COST	32	/* what a record counts besides its data */

/**
 * enum vxhs_lane_state - life of a lane
 * @VXHS_LANE_DOWN: no socket
 * @VXHS_LANE_UP: carries commands, but no further requests
 * @VXHS_LANE_LIVE: carries requests too
 * @VXHS_LANE_CLOSING: carries only LOGOUT
 * @VXHS_LANE_BROKEN: waits for its abort
 */
enum vxhs_lane_state {
	VXHS_LANE_DOWN,
	VXHS_LANE_UP,
	VXHS_LANE_LIVE,
	VXHS_LANE_CLOSING,
	VXHS_LANE_BROKEN,
};

enum vxhs_command_state {
	VXHS_COMMAND_IDLE,
	VXHS_COMMAND_QUEUED,
	VXHS_COMMAND_SENT,
	VXHS_COMMAND_ABANDONED,		/* sent, but nobody waits any more */
};

/**
 * struct vxhs_command - the lane's own request: STAT, LOGIN, OPEN, ...
 * @lock: protects the next six fields; taken in softirq too
 * @state: enum vxhs_command_state
 * @generation: of the tag
 * @abandoned: since when nobody waits any more, jiffies
 * @out_len: bytes of @out
 * @opcode: native or v34 opcode, by the lane's dialect
 * @error: negative errno if no reply came
 * @out: header and body
 * @done: completed with the reply or the lane's end
 * @status: of the reply, native
 * @err: of the reply, v34
 * @in_len: bytes of @in
 * @offer: trailer of a v34 reply
 * @in: payload of the reply; the receiver's until @done
 *
 * One at a time; the session's lock makes it so.
 */
struct vxhs_command {
	spinlock_t		lock;	/* protects the next six */
	enum vxhs_command_state	state;
	u32			generation;
	unsigned long		abandoned;
	u32			out_len;
	u16			opcode;
	int			error;

	u8			out[VXHS_COMMAND_OUT] __aligned(8);
	struct completion	done;
	u16			status;
	s32			err;
	u32			in_len;
	struct vxhs_offer	offer;
	u8			in[VXHS_COMMAND_IN] __aligned(8);
};

/**
 * struct vxhs_tx - a lane's transmitter
 * @submit: requests pushed by submitters, newest first (FLOW)
 * @gathered: about how many of @submit were left to the worker
 * @lock: whoever holds it sends; protects the rest
 * @queue: requests in order, taken from @submit (FLOW)
 * @held: requests whose disk is not open on this lane yet (PARKED)
 * @sequence: of the next request that is sent
 * @batch: requests of the batch in @iter (SENDING)
 * @iter: what is left of the batch
 * @bytes: of the batch
 * @frags: memory of headers; outlives the batch as page references
 * @frag: what @iter points to and is to be freed after the batch
 * @stalled: the rest of @iter, or the next batch, waits for the worker
 * @sealed: bytes that the connection's key has protected, TLS
 * @nr_frags: entries of @frag
 * @nr_bvecs: entries of @bvec
 * @crc: of the payload that is being added, where DATA_CRC is on
 * @bvec: the batch, headers and data
 */
struct vxhs_tx {
	struct llist_head	submit ____cacheline_aligned_in_smp;
	unsigned int		gathered;

	struct mutex		lock ____cacheline_aligned_in_smp;
	struct list_head	queue;
	struct list_head	held;
	u32			sequence;
	struct list_head	batch;
	struct iov_iter		iter;
	size_t			bytes;
	struct page_frag_cache	frags;
	bool			stalled;
	u64			sealed;
	unsigned int		nr_frags;
	unsigned int		nr_bvecs;
	u32			crc;
	void			*frag[VXHS_TX_FRAGS];
	struct bio_vec		bvec[VXHS_TX_BVECS];
};

enum vxhs_rx_phase {
	VXHS_RX_HEADER,
	VXHS_RX_DATA,			/* into a request's pages */
	VXHS_RX_BODY,			/* into a buffer */
};

/**
 * struct vxhs_rx - a lane's receiver; whoever holds the socket lock owns it
 * @phase: what the next bytes are
 * @crc: of the payload's bytes so far, where DATA_CRC is on
 * @payload_crc: what it has to be in the end
 * @io: the request that is RECEIVING, or NULL for a command
 * @left: bytes missing of the header or payload
 * @body: where the next bytes of a body go
 * @done: finished requests, not yet completed
 * @dead: a rule was broken or the server has closed: ignore what comes
 * @control: it has, with a TLS record that is not data and was not read yet
 * @sealed: bytes that the connection's key has protected, TLS
 * @header: the header as it comes
 */
struct vxhs_rx {
	enum vxhs_rx_phase	phase ____cacheline_aligned_in_smp;
	u32			crc;
	u32			payload_crc;
	struct vxhs_io		*io;
	u32			left;
	u8			*body;
	struct list_head	done;
	bool			dead;
	bool			control;
	u64			sealed;
	u8			header[sizeof(struct vxhs_v34_hdr)] __aligned(8);
};

/**
 * struct vxhs_lane - one connection of a session
 * @session: whose
 * @index: which
 * @tls: its connections have TLS; then only its worker sends and receives
 * @dialect: enum vxhs_dialect; set under the socket lock before requests flow
 * @state: enum vxhs_lane_state
 * @features: VXHS_F_* agreed on
 * @offered: of what, for LOGIN repeats it
 * @max_inflight: requests that the server grants
 * @max_inflight_bytes: bytes of payloads that the server grants
 * @sock: the connection; changed under tx.lock once the lane was up
 * @data_ready: the socket's own callback, as the next two
 * @write_space: see @data_ready
 * @state_change: see @data_ready
 * @worker: the thread of @work
 * @work: receives and sends what the fast paths left
 * @keepalive: looks whether the lane is alive
 * @kato: keepalive time-out, jiffies; 0 for a dialect without PING
 * @last_rx: jiffies when bytes last came
 * @last_tx: jiffies when something was sent, as the keepalive saw it
 * @seen_sequence: tx.sequence then
 * @ping_sent: jiffies when PING went out
 * @ping: 0, or the generation of the PING that is out or about to be
 * @ping_generation: of the last PING
 * @ping_queued: PING waits for the transmitter
 * @inflight: requests << VXHS_INFLIGHT_SHIFT | bytes, sent and unanswered
 * @gated: the transmitter waits for a reply to make room in @inflight
 * @spent: its connection's keys have protected what they may: replace it
 * @retiring: and for that it takes no requests any more; under lanes_lock, as
 *	      the next one, or its owner's while it starts
 * @retire_by: nor does it wait for answers from then on, jiffies
 * @napi_id: where the last packet came from
 * @completed: requests completed by replies, wraps
 * @burst: how many requests complete at once lately; halves with each receive
 * @reason: why it broke, a constant string
 * @ended: when it was last aborted, jiffies
 * @gone_since: when its replacement was first tried, jiffies
 * @retry_at: when to connect it again, jiffies
 * @failures: how often in a row that did not work
 * @tx: the transmitter
 * @rx: the receiver
 * @command: the lane's own request
 */
struct vxhs_lane {
	struct vxhs_session	*session;
	unsigned int		index;
	bool			tls;
	enum vxhs_dialect	dialect;
	enum vxhs_lane_state	state;
	u64			features;
	u64			offered;
	u32			max_inflight;
	u32			max_inflight_bytes;
	struct socket		*sock;
	void			(*data_ready)(struct sock *sk);
	void			(*write_space)(struct sock *sk);
	void			(*state_change)(struct sock *sk);
	struct kthread_worker	*worker;
	struct kthread_delayed_work work;
	struct delayed_work	keepalive;
	unsigned long		kato;
	unsigned long		last_rx;
	unsigned long		last_tx;
	u32			seen_sequence;
	unsigned long		ping_sent;
	u32			ping;
	u32			ping_generation;
	bool			ping_queued;
	atomic64_t		inflight;
	bool			gated;
	bool			spent;
	bool			retiring;
	unsigned long		retire_by;
	unsigned int		napi_id;
	unsigned int		completed;
	unsigned int		burst;
	const char		*reason;
	unsigned long		ended;
	unsigned long		gone_since;
	unsigned long		retry_at;
	unsigned int		failures;

	struct vxhs_tx		tx;
	struct vxhs_rx		rx;
	struct vxhs_command	command;
};

#define VXHS_INFLIGHT_SHIFT	40
#define VXHS_INFLIGHT_ONE	BIT_ULL(VXHS_INFLIGHT_SHIFT)

static inline bool vxhs_lane_is_live(const struct vxhs_lane *lane)
{
	return READ_ONCE(lane->state) == VXHS_LANE_LIVE;
}

/* Has it a connection that works? */
static inline bool vxhs_lane_is_up(const struct vxhs_lane *lane)
{
	enum vxhs_lane_state state = READ_ONCE(lane->state);

	return state == VXHS_LANE_UP || state == VXHS_LANE_LIVE;
}

/* LOGOUT goes out on a lane that is closing. */
static inline bool vxhs_lane_can_send(const struct vxhs_lane *lane)
{
	enum vxhs_lane_state state = READ_ONCE(lane->state);

	return state == VXHS_LANE_UP || state == VXHS_LANE_LIVE ||
	       state == VXHS_LANE_CLOSING;
}

static inline bool vxhs_lane_has_data_crc(const struct vxhs_lane *lane)
{
	return lane->features & VXHS_F_DATA_CRC;
}

/**
 * vxhs_lane_is_due - will the worker look at the lane?
 * @lane: any
 *
 * Pairs with vxhs_send_collect(): work that is still queued here has not
 * collected yet what the caller has pushed before.
 *
 * Return: true if the worker was told and has not begun yet
 */
static inline bool vxhs_lane_is_due(const struct vxhs_lane *lane)
{
	/* Work that waits for its timer is in a list too. */
	return !list_empty_careful(&lane->work.work.node) &&
	       !timer_pending(&lane->work.timer);
}

struct vxhs_lane *vxhs_lane_alloc(struct vxhs_session *session,
				  unsigned int index);
void vxhs_lane_free(struct vxhs_lane *lane);
int vxhs_lane_connect(struct vxhs_lane *lane, struct sockaddr_storage *portal,
		      unsigned long deadline, struct netlink_ext_ack *extack);
void vxhs_lane_keepalive_start(struct vxhs_lane *lane, u32 kato_ms);
void vxhs_lane_queue_work(struct vxhs_lane *lane, unsigned long delay);
unsigned int vxhs_lane_poll(struct vxhs_lane *lane);
bool vxhs_lane_is_spent(const struct vxhs_lane *lane, unsigned int spare);
void vxhs_lane_fail(struct vxhs_lane *lane, const char *reason);
void vxhs_lane_abort(struct vxhs_lane *lane);
void vxhs_lane_close(struct vxhs_lane *lane, unsigned long deadline);
int vxhs_lane_command(struct vxhs_lane *lane, u8 opcode, const void *body,
		      size_t body_len, u32 handle, unsigned long deadline);
int vxhs_lane_stat(struct vxhs_lane *lane, const char *vdisk, u64 offer,
		   unsigned long deadline);
int vxhs_lane_ready(struct vxhs_lane *lane, const char *vdisk,
		    unsigned long deadline);
void vxhs_lane_command_end(struct vxhs_lane *lane, int error);

int vxhs_lane_init(void);
void vxhs_lane_exit(void);

/**
 * vxhs_jiffies_left - how long until then
 * @when: jiffies
 *
 * Return: at least a jiffy, however late it is
 */
static inline long vxhs_jiffies_left(unsigned long when)
{
	long left = (long)(when - jiffies);

	return max(left, 1L);
}

#endif /* _VXHS_LANE_H */
