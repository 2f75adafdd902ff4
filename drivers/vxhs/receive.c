// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes to completions, in batches.
 *
 * All bytes that there are go straight into the requests' pages, usually in
 * the softirq that brought them; with TLS, in the lane's worker.  The receive
 * state belongs to whoever holds the socket lock.  Nothing here sends, sleeps
 * (but for TLS) or takes the session's locks.
 */
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <net/handshake.h>
#include <net/tcp.h>
#include <net/tls.h>
#include <net/tls_prot.h>

#include "disk.h"
#include "lane.h"
#include "receive.h"
#include "recovery.h"
#include "session.h"
#include "trace.h"

/* When to look again for what kTLS had no memory for. */
#define VXHS_RECEIVE_RETRY	(HZ / 50 + 1)

static void vxhs_receive_next_header(struct vxhs_lane *lane)
{
	struct vxhs_rx *rx = &lane->rx;

	rx->phase = VXHS_RX_HEADER;
	rx->io = NULL;
	rx->left = lane->dialect == VXHS_DIALECT_NATIVE ?
		   sizeof(struct vxhs_rsp_hdr) : sizeof(struct vxhs_v34_hdr);
	rx->body = rx->header;
}

/**
 * vxhs_receive_reset - expect the first header of a dialect
 * @lane: no byte of the next header has come; the socket lock is held, or no
 *	  callback is set yet
 */
void vxhs_receive_reset(struct vxhs_lane *lane)
{
	lane->rx.dead = false;
	lane->rx.control = false;
	vxhs_receive_next_header(lane);
}

/**
 * vxhs_receive_is_idle - is the receiver between two frames?
 * @lane: the socket lock is held
 *
 * Return: true if no byte of the next frame has come
 */
bool vxhs_receive_is_idle(const struct vxhs_lane *lane)
{
	return lane->rx.phase == VXHS_RX_HEADER &&
	       lane->rx.body == lane->rx.header;
}

static void vxhs_receive_break(struct vxhs_lane *lane, enum vxhs_rule rule)
{
	lane->rx.dead = true;
	vxhs_lane_fail(lane, vxhs_rule_text(rule));
}

/* The reply to a request is complete. */
static void vxhs_receive_io_done(struct vxhs_lane *lane, struct vxhs_io *io)
{
	vxhs_receive_next_header(lane);
	if (vxhs_slot_replied(io->slot))
		list_add_tail(&io->entry, &lane->rx.done);
}

static blk_status_t vxhs_receive_status(u16 status, u8 opcode)
{
	switch (status) {
	case VXHS_ST_STALE:
		/* Another host has the vdisk: no other path helps. */
		return BLK_STS_RESV_CONFLICT;
	case VXHS_ST_OK:
		return BLK_STS_OK;
	case VXHS_ST_NO_SPACE:
		return BLK_STS_NOSPC;
	case VXHS_ST_UNSUPPORTED:
		/* fsync() takes "not supported" of a FLUSH for success. */
		if (opcode == VXHS_OP_DISCARD ||
		    opcode == VXHS_OP_WRITE_ZEROES)
			return BLK_STS_NOTSUPP;
		return BLK_STS_IOERR;
	default:
		return BLK_STS_IOERR;
	}
}

/* Aim at the payload of the reply to @io. */
static void vxhs_receive_aim(struct vxhs_lane *lane, struct vxhs_io *io)
{
	struct vxhs_rx *rx = &lane->rx;

	rx->io = io;
	rx->crc = 0;
	if (io->opcode == VXHS_OP_READ) {
		rx->phase = VXHS_RX_DATA;
		rx->left = io->length;
		io->bio = NULL;
		iov_iter_bvec(&io->iter, ITER_DEST, NULL, 0, 0);
	} else {
		rx->phase = VXHS_RX_BODY;
		rx->left = sizeof(io->verifier);
		rx->body = (u8 *)&io->verifier;
	}
}

/* The request that a tag names, or NULL. */
static struct vxhs_io *vxhs_receive_claim(struct vxhs_lane *lane, u64 tag)
{
	struct vxhs_slot *slot;
	struct request *rq;

	slot = vxhs_session_slot(lane->session, vxhs_tag_queue(tag),
				 vxhs_tag_index(tag));
	if (!slot)
		return NULL;
	rq = vxhs_slot_claim(slot, vxhs_tag_generation(tag), lane);
	return rq ? vxhs_rq_to_io(rq) : NULL;
}

static void vxhs_receive_command_done(struct vxhs_lane *lane)
{
	struct vxhs_command *command = &lane->command;

	spin_lock_bh(&command->lock);
	if (command->state == VXHS_COMMAND_SENT)
		complete(&command->done);
	command->state = VXHS_COMMAND_IDLE;
	spin_unlock_bh(&command->lock);
}

/* Is a reply with this generation and opcode what the command waits for? */
static enum vxhs_rule vxhs_receive_command_check(struct vxhs_lane *lane,
						 u32 generation)
{
	struct vxhs_command *command = &lane->command;
	bool expected;

	spin_lock_bh(&command->lock);
	expected = (command->state == VXHS_COMMAND_SENT ||
		    command->state == VXHS_COMMAND_ABANDONED) &&
		   command->generation == generation;
	spin_unlock_bh(&command->lock);
	return expected ? VXHS_RULE_OK : VXHS_RULE_TAG;
}

static void vxhs_receive_command_body(struct vxhs_lane *lane, u32 len)
{
	struct vxhs_rx *rx = &lane->rx;

	lane->command.in_len = len;
	if (len) {
		rx->phase = VXHS_RX_BODY;
		rx->io = NULL;
		rx->crc = 0;
		rx->left = len;
		rx->body = lane->command.in;
	} else {
		vxhs_receive_next_header(lane);
		vxhs_receive_command_done(lane);
	}
}

/* A reply to PING or to the lane's command. */
static enum vxhs_rule vxhs_receive_lane_reply(struct vxhs_lane *lane,
					      const struct vxhs_reply *rsp)
{
	u32 generation = vxhs_tag_generation(rsp->tag);
	enum vxhs_rule rule;
	u32 ping;

	switch (vxhs_tag_index(rsp->tag)) {
	case VXHS_TAG_PING:
		ping = READ_ONCE(lane->ping);
		if (!ping || ping != generation ||
		    READ_ONCE(lane->ping_queued))
			return VXHS_RULE_TAG;
		rule = vxhs_check_reply(rsp, VXHS_OP_PING, 0);
		if (rule)
			return rule;
		vxhs_receive_next_header(lane);
		WRITE_ONCE(lane->ping, 0);
		return VXHS_RULE_OK;
	case VXHS_TAG_COMMAND:
		rule = vxhs_receive_command_check(lane, generation);
		if (!rule)
			rule = vxhs_check_reply(rsp, lane->command.opcode, 0);
		if (rule)
			return rule;
		lane->command.status = rsp->status;
		vxhs_receive_command_body(lane, rsp->payload_len);
		return VXHS_RULE_OK;
	default:
		return VXHS_RULE_TAG;
	}
}

/* A hint: the truth is read with OPEN. */
static void vxhs_receive_event(struct vxhs_lane *lane, u8 event)
{
	vxhs_recovery_told(lane->session, event == VXHS_EV_GOING_AWAY ?
			   VXHS_SESSION_AWAY : VXHS_SESSION_REREAD);
}

/*
 * A status that says nothing of the request, but of the session: the request
 * was not executed and stays in its slot until the lane is aborted.
 */
static bool vxhs_receive_parks(struct vxhs_lane *lane, u16 status)
{
	switch (status) {
	case VXHS_ST_NO_SESSION:
		lane->rx.dead = true;
		vxhs_recovery_told(lane->session, VXHS_SESSION_EPOCH_OVER);
		vxhs_lane_fail(lane, "server does not know this session");
		return true;
	case VXHS_ST_GOING_AWAY:
		lane->rx.dead = true;
		vxhs_recovery_told(lane->session, VXHS_SESSION_AWAY);
		vxhs_lane_fail(lane, "server goes away");
		return true;
	case VXHS_ST_STALE:
		vxhs_recovery_told(lane->session, VXHS_SESSION_REREAD);
		return false;
	default:
		return false;
	}
}

static enum vxhs_rule vxhs_receive_native(struct vxhs_lane *lane)
{
	struct vxhs_reply rsp;
	enum vxhs_rule rule;
	struct vxhs_io *io;

	rule = vxhs_get_reply((struct vxhs_rsp_hdr *)lane->rx.header,
			      lane->features, &rsp);
	if (rule)
		return rule;
	if (rsp.event) {
		vxhs_receive_event(lane, rsp.opcode);
		vxhs_receive_next_header(lane);
		return VXHS_RULE_OK;
	}
	lane->rx.payload_crc = rsp.payload_crc;
	if (vxhs_tag_queue(rsp.tag) == VXHS_TAG_LANE_QUEUE)
		return vxhs_receive_lane_reply(lane, &rsp);

	io = vxhs_receive_claim(lane, rsp.tag);
	if (!io)
		return VXHS_RULE_TAG;
	rule = vxhs_check_reply(&rsp, io->opcode, io->length);
	if (rule)
		return rule;
	if (unlikely(rsp.status) && vxhs_receive_parks(lane, rsp.status))
		return VXHS_RULE_OK;

	io->status = vxhs_receive_status(rsp.status, io->opcode);
	trace_vxhs_io_reply(vxhs_io_to_rq(io), io, rsp.server_us);
	if (unlikely(rsp.status == VXHS_ST_BAD_CRC) &&
	    io->opcode == VXHS_OP_WRITE && vxhs_lane_has_data_crc(lane))
		vxhs_io_damaged(io);
	if (rsp.payload_len)
		vxhs_receive_aim(lane, io);
	else
		vxhs_receive_io_done(lane, io);
	return VXHS_RULE_OK;
}

static enum vxhs_rule vxhs_receive_v34(struct vxhs_lane *lane)
{
	struct vxhs_v34_hdr *hdr = (struct vxhs_v34_hdr *)lane->rx.header;
	struct vxhs_v34_msg msg;
	enum vxhs_rule rule;
	struct vxhs_io *io;

	rule = vxhs_v34_get(hdr, &msg);
	if (rule)
		return rule;

	if (vxhs_tag_queue(msg.cookie) == VXHS_TAG_LANE_QUEUE) {
		u32 generation = vxhs_tag_generation(msg.cookie);

		if (vxhs_tag_index(msg.cookie) != VXHS_TAG_COMMAND ||
		    vxhs_receive_command_check(lane, generation))
			return VXHS_RULE_V34_COOKIE;
		rule = vxhs_v34_check_reply(&msg, lane->command.opcode, 0);
		if (!rule && msg.payload_size > VXHS_COMMAND_IN)
			rule = VXHS_RULE_PAYLOAD_LEN;
		if (rule)
			return rule;
		lane->command.err = msg.err;
		lane->command.offer = hdr->offer;
		vxhs_receive_command_body(lane, msg.payload_size);
		return VXHS_RULE_OK;
	}

	io = vxhs_receive_claim(lane, msg.cookie);
	if (!io)
		return VXHS_RULE_V34_COOKIE;
	rule = vxhs_v34_check_reply(&msg, io->opcode == VXHS_OP_WRITE ?
				    VXHS_V34_WRITE : VXHS_V34_READ, io->length);
	if (rule)
		return rule;

	io->status = msg.err ? BLK_STS_IOERR : BLK_STS_OK;
	trace_vxhs_io_reply(vxhs_io_to_rq(io), io, 0);
	if (msg.payload_size)
		vxhs_receive_aim(lane, io);
	else
		vxhs_receive_io_done(lane, io);
	return VXHS_RULE_OK;
}

static enum vxhs_rule vxhs_receive_body_done(struct vxhs_lane *lane)
{
	struct vxhs_rx *rx = &lane->rx;
	struct vxhs_io *io = rx->io;

	if (vxhs_lane_has_data_crc(lane) && rx->crc != rx->payload_crc)
		return VXHS_RULE_DATA_CRC;
	if (!io) {
		vxhs_receive_next_header(lane);
		vxhs_receive_command_done(lane);
		return VXHS_RULE_OK;
	}
	io->status = vxhs_disk_flushed(vxhs_io_to_rq(io)->q->queuedata,
				       le64_to_cpu(io->verifier.verifier),
				       io);
	vxhs_receive_io_done(lane, io);
	return VXHS_RULE_OK;
}

/* Point the iterator at the request's next bio. */
static void vxhs_receive_next_bio(struct vxhs_io *io)
{
	struct bio *bio = io->bio ? io->bio->bi_next : vxhs_io_to_rq(io)->bio;
	unsigned int bvecs = 0;
	struct bvec_iter iter;
	struct bio_vec bv;

	/* A clone shares a longer bi_io_vec: only counting tells. */
	bio_for_each_bvec(bv, bio, iter)
		bvecs++;
	io->bio = bio;
	iov_iter_bvec(&io->iter, ITER_DEST,
		      __bvec_iter_bvec(bio->bi_io_vec, bio->bi_iter), bvecs,
		      bio->bi_iter.bi_size);
	io->iter.iov_offset = bio->bi_iter.bi_bvec_done;
}

/* Bytes of a header or body.  Return: bytes taken, or -EFAULT. */
static int vxhs_receive_copy(struct vxhs_lane *lane, struct sk_buff *skb,
			     unsigned int offset, size_t len)
{
	struct vxhs_rx *rx = &lane->rx;
	enum vxhs_rule rule;

	len = min_t(size_t, len, rx->left);
	if (skb_copy_bits(skb, offset, rx->body, len))
		return -EFAULT;
	if (rx->phase == VXHS_RX_BODY && vxhs_lane_has_data_crc(lane))
		rx->crc = vxhs_wire_crc_more(rx->crc, rx->body, len);
	rx->body += len;
	rx->left -= len;
	if (rx->left)
		return len;

	if (rx->phase == VXHS_RX_BODY)
		rule = vxhs_receive_body_done(lane);
	else if (lane->dialect == VXHS_DIALECT_NATIVE)
		rule = vxhs_receive_native(lane);
	else
		rule = vxhs_receive_v34(lane);
	if (rule)
		vxhs_receive_break(lane, rule);
	return len;
}

/*
 * Copy to where @io wants it, and take the CRC of the bytes as they arrive:
 * the pages that they go to belong to somebody who may write there.
 */
static int vxhs_receive_copy_data(struct vxhs_lane *lane, struct vxhs_io *io,
				  struct sk_buff *skb, unsigned int offset,
				  unsigned int len)
{
	struct vxhs_rx *rx = &lane->rx;
	struct skb_seq_state state;
	unsigned int done = 0;
	const u8 *data;

	/*
	 * Not skb_copy_datagram_iter(), which checks each piece as if it went
	 * to user space.
	 */
	skb_prepare_seq_read(skb, offset, offset + len, &state);
	while (done < len) {
		unsigned int n = skb_seq_read(done, &data, &state);

		n = min(n, len - done);
		if (!n || _copy_to_iter(data, n, &io->iter) != n)
			break;
		if (vxhs_lane_has_data_crc(lane))
			rx->crc = vxhs_wire_crc_more(rx->crc, data, n);
		done += n;
	}
	skb_abort_seq_read(&state);
	return done == len ? 0 : -EFAULT;
}

/* Bytes of a READ's payload.  Return: bytes taken, or -EFAULT. */
static int vxhs_receive_data(struct vxhs_lane *lane, struct sk_buff *skb,
			     unsigned int offset, size_t len)
{
	struct vxhs_rx *rx = &lane->rx;
	struct vxhs_io *io = rx->io;

	if (!iov_iter_count(&io->iter))
		vxhs_receive_next_bio(io);
	len = min3(len, (size_t)rx->left, iov_iter_count(&io->iter));
	if (vxhs_receive_copy_data(lane, io, skb, offset, len))
		return -EFAULT;
	rx->left -= len;
	if (rx->left)
		return len;
	if (vxhs_lane_has_data_crc(lane) && rx->crc != rx->payload_crc)
		vxhs_io_damaged(io);
	vxhs_receive_io_done(lane, io);
	return len;
}

/* tcp_read_sock()'s actor.  Return: bytes taken. */
static int vxhs_receive_skb(read_descriptor_t *desc, struct sk_buff *skb,
			    unsigned int offset, size_t len)
{
	struct vxhs_lane *lane = desc->arg.data;
	struct vxhs_rx *rx = &lane->rx;
	size_t left = len;

	while (left && !rx->dead) {
		int taken = rx->phase == VXHS_RX_DATA ?
			    vxhs_receive_data(lane, skb, offset, left) :
			    vxhs_receive_copy(lane, skb, offset, left);

		if (taken < 0) {
			rx->dead = true;
			vxhs_lane_fail(lane, "cannot copy received data");
			break;
		}
		offset += taken;
		left -= taken;
	}
	len -= left;
	desc->count -= min(desc->count, len);
	return len;
}

/* tls_sw_read_sock()'s actor: data of one record.  Return: bytes taken. */
static int vxhs_receive_record(read_descriptor_t *desc, struct sk_buff *skb,
			       unsigned int offset, size_t len)
{
	struct vxhs_lane *lane = desc->arg.data;
	int taken = vxhs_receive_skb(desc, skb, offset, len);

	lane->rx.sealed += len + VXHS_TLS_RECORD_COST;
	/* A record is work, however little it carries. */
	desc->count -= min_t(size_t, desc->count, VXHS_TLS_RECORD_WORK);
	/* kTLS would lose the rest of a record if it were to go on. */
	if (taken != len)
		desc->count = 0;
	return taken;
}

static void vxhs_receive_fail(struct vxhs_lane *lane, const char *reason)
{
	lane->rx.dead = true;
	vxhs_lane_fail(lane, reason);
}

/* The records have come to an end, or to something else than data. */
static void vxhs_receive_ended(struct vxhs_lane *lane, int ret)
{
	switch (ret) {
	case -EAGAIN:
		/* Part of a record; or kTLS had no memory, and wakes others. */
		if (!skb_queue_empty(&lane->sock->sk->sk_receive_queue))
			kthread_queue_delayed_work(lane->worker, &lane->work,
						   VXHS_RECEIVE_RETRY);
		break;
	case -EINVAL:
		/* Read without the socket's lock, see vxhs_receive_task(). */
		lane->rx.dead = true;
		lane->rx.control = true;
		break;
	case -EBADMSG:
	case -EMSGSIZE:
		vxhs_receive_fail(lane, "a TLS record was damaged on the way");
		break;
	case -ENOMEM:
		vxhs_receive_fail(lane, "this host: no memory for a TLS record");
		break;
	case -ETIMEDOUT:
		vxhs_receive_fail(lane, "server does not answer TCP");
		break;
	default:
		vxhs_receive_fail(lane, "server closed the connection");
	}
}

static bool vxhs_receive_is_tcp_error(int ret)
{
	return ret < 0 && ret != -EAGAIN && ret != -EINVAL &&
	       ret != -EBADMSG && ret != -EMSGSIZE && ret != -ENOMEM;
}

/* As tcp_read_sock(), of what was deciphered. */
static int vxhs_receive_tls(struct vxhs_lane *lane, read_descriptor_t *desc)
{
	struct socket *sock = lane->sock;
	unsigned int noreclaim;
	int ret, error = 0, all = 0;

	/* kTLS allocates, and writeback may wait for what has come. */
	noreclaim = memalloc_noreclaim_save();
	for (;;) {
		ret = READ_ONCE(sock->ops)->read_sock(sock->sk, desc,
						      vxhs_receive_record);
		if (ret > 0) {
			all += ret;
			/* What stopped it is told when it is asked again. */
			if (desc->count)
				continue;
			break;
		}
		/* TCP's error comes first, before what came before it. */
		if (!error && vxhs_receive_is_tcp_error(ret)) {
			error = ret;
			continue;
		}
		if (error && (!ret || ret == -EAGAIN))
			ret = error;
		if (!lane->rx.dead)
			vxhs_receive_ended(lane, ret);
		break;
	}
	memalloc_noreclaim_restore(noreclaim);
	return all;
}

/* Why a server ends a session, as far as it says; 0 is close_notify. */
static const char *vxhs_receive_alert(u8 alert)
{
	switch (alert) {
	case 0:
		return "server closed the TLS session";
	case 20:
	case 51:
		return "server received a damaged TLS record (alert 20 or 51)";
	case TLS_ALERT_DESC_BAD_CERTIFICATE:
		return "server refuses this host's certificate (alert 42)";
	case TLS_ALERT_DESC_UNSUPPORTED_CERTIFICATE:
		return "server refuses this host's kind of certificate (alert 43)";
	case TLS_ALERT_DESC_CERTIFICATE_REVOKED:
		return "server says this host's certificate is revoked (alert 44)";
	case TLS_ALERT_DESC_CERTIFICATE_EXPIRED:
		return "server says this host's certificate has expired (alert 45)";
	case TLS_ALERT_DESC_CERTIFICATE_UNKNOWN:
		return "server refuses this host's certificate (alert 46)";
	case TLS_ALERT_DESC_UNKNOWN_CA:
		return "server does not trust who issued this host's certificate (48)";
	case TLS_ALERT_DESC_ACCESS_DENIED:
		return "server denies this host's identity access (alert 49)";
	case TLS_ALERT_DESC_CERTIFICATE_REQUIRED:
		return "server wants a certificate of this host (alert 116)";
	default:
		return "server ended the TLS session with an alert";
	}
}

/*
 * What the record is that is no data, which only recvmsg() tells.  tx.lock
 * held, the socket's lock not.
 */
static void vxhs_receive_control(struct vxhs_lane *lane)
{
	union {
		struct cmsghdr	cmsg;
		u8		space[CMSG_SPACE(sizeof(u8))];
	} control = {};
	u8 data[2] = {};
	struct kvec iov = {
		.iov_base = data,
		.iov_len = sizeof(data),
	};
	struct msghdr msg = {
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int ret;

	lane->rx.control = false;
	ret = kernel_recvmsg(lane->sock, &msg, &iov, 1, sizeof(data),
			     MSG_DONTWAIT);
	if (ret < 0) {
		/* Not even a record. */
		vxhs_lane_fail(lane, "a TLS record was damaged on the way");
		return;
	}
	switch (tls_get_record_type(lane->sock->sk, &control.cmsg)) {
	case TLS_RECORD_TYPE_ALERT:
		vxhs_lane_fail(lane, ret == sizeof(data) ?
			       vxhs_receive_alert(data[1]) :
			       "server sent a malformed TLS alert");
		break;
	case TLS_RECORD_TYPE_HANDSHAKE:
		vxhs_lane_fail(lane,
			       "server sent KeyUpdate or a ticket, which VXHS forbids");
		break;
	default:
		vxhs_lane_fail(lane, "server sent a TLS record that is no data");
	}
}

static int vxhs_receive_read(struct vxhs_lane *lane, read_descriptor_t *desc)
{
	if (lane->tls)
		return vxhs_receive_tls(lane, desc);
	return tcp_read_sock(lane->sock->sk, desc, vxhs_receive_skb);
}

/**
 * vxhs_receive - receive all there is
 * @lane: with a socket
 * @budget: stop after about so many bytes
 *
 * Context: the socket's lock is held, by a softirq or a task; with TLS by a
 * task that holds tx.lock, and may sleep.
 * Return: true if there is more
 */
bool vxhs_receive(struct vxhs_lane *lane, size_t budget)
{
	read_descriptor_t desc = {
		.arg.data = lane,
		.count = budget,
	};
	DEFINE_IO_COMP_BATCH(batch);
	struct vxhs_rx *rx = &lane->rx;
	struct sock *sk = lane->sock->sk;
	struct vxhs_io *io, *next;
	unsigned int burst = 0;
	LIST_HEAD(done);

	/* It would never be read, and stop what is behind it. */
	if (unlikely(tcp_sk(sk)->urg_data) && !rx->dead) {
		rx->dead = true;
		vxhs_lane_fail(lane, "server sent urgent data");
	}
	if (rx->dead || vxhs_receive_read(lane, &desc) <= 0)
		return false;
	WRITE_ONCE(lane->last_rx, jiffies);

	list_splice_init(&rx->done, &done);
	list_for_each_entry_safe(io, next, &done, entry) {
		vxhs_io_release(io);
		vxhs_io_end(io, &batch);
		burst++;
	}
	/* A burst may come in pieces, the last of them small. */
	if (burst) {
		WRITE_ONCE(lane->burst, max(burst, lane->burst / 2));
		WRITE_ONCE(lane->completed, lane->completed + burst);
	}
	if (batch.complete)
		batch.complete(&batch);
	return !rx->dead && !desc.count;
}

/**
 * vxhs_receive_task - receive all there is, and what is no data
 * @lane: with a socket; tx.lock held
 * @budget: stop after about so many bytes
 *
 * Context: task, may sleep.
 * Return: true if there is more
 */
bool vxhs_receive_task(struct vxhs_lane *lane, size_t budget)
{
	struct sock *sk = lane->sock->sk;
	bool more;

	lock_sock(sk);
	more = vxhs_receive(lane, budget);
	release_sock(sk);
	if (unlikely(lane->rx.control))
		vxhs_receive_control(lane);
	return more;
}
