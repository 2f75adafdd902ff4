// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to bytes, in batches.
 *
 * Submitters push onto a lock-free list.  Whoever gets tx.lock sends all that
 * is queued, headers and data of many requests in one sendmsg(), spliced and
 * not copied; who does not get it leaves, for the holder looks again after it
 * has let go.  Requests that come one by one, while others are under way, are
 * gathered for the worker, see vxhs_send_commit().  Nothing here waits for the
 * socket: what does not fit is left to the worker too, which the socket's
 * write_space callback starts.
 *
 * With TLS only the worker sends: kTLS's locks are taken interruptibly, and by
 * an agent in user space too, for which a submitter of I/O must not wait.
 */
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/sched/mm.h>
#include <linux/tcp.h>
#include <net/sock.h>

#include "disk.h"
#include "lane.h"
#include "receive.h"
#include "recovery.h"
#include "send.h"
#include "session.h"
#include "trace.h"

/* Requests that are left to the worker before a submitter sends them itself. */
#define VXHS_SEND_GATHER	64

/* Batches that one caller sends before the worker takes over. */
#define VXHS_SEND_BATCHES	16

/* How long to wait for memory, jiffies. */
#define VXHS_SEND_RETRY		(HZ / 50 + 1)

static u32 vxhs_header_size(const struct vxhs_lane *lane)
{
	return lane->dialect == VXHS_DIALECT_NATIVE ?
	       sizeof(struct vxhs_req_hdr) : sizeof(struct vxhs_v34_hdr);
}

/* Bytes that follow the request's header. */
static u32 vxhs_payload_len(const struct vxhs_io *io)
{
	return io->opcode == VXHS_OP_WRITE ? io->length : 0;
}

/**
 * vxhs_send_push - queue a request on a lane (FLOW)
 * @lane: any; on one that is not live it waits
 * @io: the request
 *
 * vxhs_send_commit() or vxhs_send_kick() must follow.
 *
 * Context: task.  Full barrier, pairs with vxhs_send_kick().
 * Return: true if the queue was empty
 */
bool vxhs_send_push(struct vxhs_lane *lane, struct vxhs_io *io)
{
	io->lane = lane;
	return llist_add(&io->submit, &lane->tx.submit);
}

/* tx.lock held, or nobody else is left. */
static void vxhs_send_collect(struct vxhs_tx *tx)
{
	struct llist_node *list = llist_del_all(&tx->submit);
	struct vxhs_io *io, *next;

	if (!list)
		return;
	WRITE_ONCE(tx->gathered, 0);
	list = llist_reverse_order(list);
	llist_for_each_entry_safe(io, next, list, submit)
		list_add_tail(&io->entry, &tx->queue);
}

/**
 * vxhs_send_put_back - queue requests again that were sent (PARKED)
 * @lane: which is down
 * @list: the requests, in order
 *
 * Context: task, may sleep.
 */
void vxhs_send_put_back(struct vxhs_lane *lane, struct list_head *list)
{
	mutex_lock(&lane->tx.lock);
	list_splice_init(&lane->tx.held, &lane->tx.queue);
	list_splice_init(list, &lane->tx.queue);
	mutex_unlock(&lane->tx.lock);
}

/**
 * vxhs_send_release - a disk was opened on the lane: send what waited for that
 * @lane: any
 *
 * Context: task, may sleep.
 */
void vxhs_send_release(struct vxhs_lane *lane)
{
	mutex_lock(&lane->tx.lock);
	list_splice_init(&lane->tx.held, &lane->tx.queue);
	if (lane->tls)
		vxhs_lane_queue_work(lane, 0);
	else if (lane->sock)
		vxhs_send_all(lane);
	mutex_unlock(&lane->tx.lock);
	vxhs_send_kick(lane);
}

/**
 * vxhs_send_filter - take some of the requests that are not on the wire
 * @lane: any
 * @list: gets them behind what is there, in order
 * @take: whether to take this one
 * @data: for @take
 *
 * Context: task, may sleep.
 */
void vxhs_send_filter(struct vxhs_lane *lane, struct list_head *list,
		      bool (*take)(struct vxhs_io *io, void *data), void *data)
{
	struct vxhs_tx *tx = &lane->tx;
	struct vxhs_io *io, *next;

	mutex_lock(&tx->lock);
	vxhs_send_collect(tx);
	list_for_each_entry_safe(io, next, &tx->held, entry) {
		if (take(io, data))
			list_move_tail(&io->entry, list);
	}
	list_for_each_entry_safe(io, next, &tx->queue, entry) {
		if (take(io, data))
			list_move_tail(&io->entry, list);
	}
	mutex_unlock(&tx->lock);
}

/* Memory that lives until its last byte has left the network stack. */
static void *vxhs_send_frag(struct vxhs_tx *tx, unsigned int size)
{
	void *frag;

	if (tx->nr_frags == VXHS_TX_FRAGS)
		return NULL;
	frag = page_frag_alloc(&tx->frags, size, GFP_NOIO | __GFP_NOWARN);
	if (frag)
		tx->frag[tx->nr_frags++] = frag;
	return frag;
}

static void vxhs_send_free_frags(struct vxhs_tx *tx)
{
	while (tx->nr_frags)
		page_frag_free(tx->frag[--tx->nr_frags]);
}

/* The worker will try again.  Return: 0 bytes to send */
static size_t vxhs_send_no_memory(struct vxhs_lane *lane)
{
	vxhs_send_free_frags(&lane->tx);
	WRITE_ONCE(lane->tx.stalled, true);
	vxhs_lane_queue_work(lane, VXHS_SEND_RETRY);
	return 0;
}

/* Contiguous pieces become one: headers of reads, merged bios. */
static void vxhs_send_add(struct vxhs_tx *tx, struct page *page,
			  unsigned int offset, unsigned int len)
{
	if (tx->nr_bvecs) {
		struct bio_vec *last = &tx->bvec[tx->nr_bvecs - 1];
		unsigned int end = last->bv_offset + last->bv_len;

		if (last->bv_page + end / PAGE_SIZE ==
		    page + offset / PAGE_SIZE &&
		    offset_in_page(end) == offset_in_page(offset)) {
			last->bv_len += len;
			return;
		}
	}
	bvec_set_page(&tx->bvec[tx->nr_bvecs++], page, len, offset);
}

static void vxhs_send_add_virt(struct vxhs_tx *tx, void *p, unsigned int len)
{
	vxhs_send_add(tx, virt_to_page(p), offset_in_page(p), len);
}

/* The CRC of data that is sent from where it is. */
static void vxhs_send_crc(struct vxhs_tx *tx, struct bio_vec bv)
{
	while (bv.bv_len) {
		unsigned int offset = bv.bv_offset % PAGE_SIZE;
		unsigned int len = min_t(unsigned int, bv.bv_len,
					 PAGE_SIZE - offset);
		void *p = kmap_local_page(bv.bv_page +
					  bv.bv_offset / PAGE_SIZE);

		tx->crc = vxhs_wire_crc_more(tx->crc, p + offset, len);
		kunmap_local(p);
		bv.bv_offset += len;
		bv.bv_len -= len;
	}
}

/* What may not be spliced (slab memory), or must not change, is copied. */
static bool vxhs_send_add_copy(struct vxhs_lane *lane, struct bio_vec bv)
{
	struct vxhs_tx *tx = &lane->tx;

	while (bv.bv_len) {
		unsigned int offset = bv.bv_offset % PAGE_SIZE;
		unsigned int len = min_t(unsigned int, bv.bv_len,
					 PAGE_SIZE - offset);
		void *copy = vxhs_send_frag(tx, len);

		if (!copy)
			return false;
		memcpy_from_page(copy, bv.bv_page + bv.bv_offset / PAGE_SIZE,
				 offset, len);
		if (vxhs_lane_has_data_crc(lane))
			tx->crc = vxhs_wire_crc_more(tx->crc, copy, len);
		vxhs_send_add_virt(tx, copy, len);
		bv.bv_offset += len;
		bv.bv_len -= len;
	}
	return true;
}

/* Its payload and the CRC of it.  Return: there was memory */
static bool vxhs_send_add_data(struct vxhs_lane *lane, struct vxhs_io *io)
{
	struct vxhs_tx *tx = &lane->tx;
	struct req_iterator iter;
	struct bio_vec bv;

	tx->crc = 0;
	rq_for_each_bvec(bv, vxhs_io_to_rq(io), iter) {
		/*
		 * What was damaged once may have been changed by its owner.
		 * sendpages_ok() counts from the start of the first page.
		 */
		if (unlikely(io->resends) ||
		    unlikely(!sendpages_ok(bv.bv_page, bv.bv_len +
					   offset_in_page(bv.bv_offset),
					   bv.bv_offset))) {
			if (!vxhs_send_add_copy(lane, bv))
				return false;
			continue;
		}
		if (vxhs_lane_has_data_crc(lane))
			vxhs_send_crc(tx, bv);
		vxhs_send_add(tx, bv.bv_page, bv.bv_offset, bv.bv_len);
	}
	return true;
}

static void vxhs_send_put_header(struct vxhs_lane *lane, struct request *rq,
				 struct vxhs_io *io, u64 tag, void *header)
{
	struct vxhs_disk *disk = rq->q->queuedata;
	u64 offset = blk_rq_pos(rq) << SECTOR_SHIFT;

	if (lane->dialect == VXHS_DIALECT_NATIVE) {
		struct vxhs_request req = {
			.tag = tag,
			.offset = io->opcode == VXHS_OP_FLUSH ? 0 : offset,
			.handle = disk->geometry.handle,
			.length = io->length,
			.payload_len = vxhs_payload_len(io),
			.prio = req_get_ioprio(rq),
			.opcode = io->opcode,
		};

		if (req.payload_len && vxhs_lane_has_data_crc(lane))
			req.payload_crc = lane->tx.crc;
		if (rq->cmd_flags & REQ_FUA)
			req.flags |= VXHS_REQ_FUA;
		if (rq->cmd_flags & REQ_NOUNMAP)
			req.flags |= VXHS_REQ_NO_UNMAP;
		vxhs_put_request(header, &req, lane->features);
	} else {
		bool write = io->opcode == VXHS_OP_WRITE;
		struct vxhs_v34_msg msg = {
			.payload_size = vxhs_payload_len(io),
			.cookie = tag,
			.io_offset = offset,
			.io_size = io->length,
			.io_flags = VXHS_V34_IO_APP,
			.flags = VXHS_V34_REQ | (write ? VXHS_V34_NEED_ACK :
							 VXHS_V34_NEED_RESP),
			.data_type = VXHS_V34_RAW,
			.opcode = write ? VXHS_V34_WRITE : VXHS_V34_READ,
		};

		strscpy(msg.target, disk->name, sizeof(msg.target));
		vxhs_v34_put(header, &msg);
	}
}

/* Is there credit for it?  If not, a reply starts the worker again. */
static bool vxhs_send_gate(struct vxhs_lane *lane, const struct vxhs_io *io)
{
	bool gated = false;

	for (;;) {
		u64 inflight = atomic64_read(&lane->inflight);
		u64 bytes = inflight & (VXHS_INFLIGHT_ONE - 1);

		if (inflight >> VXHS_INFLIGHT_SHIFT < lane->max_inflight &&
		    bytes + vxhs_io_payload(io) <= lane->max_inflight_bytes) {
			if (lane->gated)
				WRITE_ONCE(lane->gated, false);
			return true;
		}
		if (gated)
			return false;
		WRITE_ONCE(lane->gated, true);
		gated = true;
		/* Pairs with vxhs_io_release(): it sees gated, or we the room. */
		smp_mb();
	}
}

/* Room in bvec[] for it at its worst? */
static bool vxhs_send_fits(const struct vxhs_tx *tx, struct request *rq,
			   u32 payload)
{
	unsigned int need = 1;

	if (payload)
		need += 2 * blk_rq_nr_phys_segments(rq) + payload / PAGE_SIZE;
	return tx->nr_bvecs + need <= VXHS_TX_BVECS &&
	       tx->nr_frags + need <= VXHS_TX_FRAGS;
}

/* One request more: its header into @header, its data behind it. */
static bool vxhs_send_add_io(struct vxhs_lane *lane, struct vxhs_io *io,
			     void *header)
{
	struct request *rq = vxhs_io_to_rq(io);
	struct vxhs_tx *tx = &lane->tx;
	unsigned int bvecs = tx->nr_bvecs;
	u32 payload = vxhs_payload_len(io);
	u32 last_len = bvecs ? tx->bvec[bvecs - 1].bv_len : 0;
	u32 generation;

	vxhs_send_add_virt(tx, header, vxhs_header_size(lane));
	if (payload && !vxhs_send_add_data(lane, io)) {
		tx->nr_bvecs = bvecs;
		if (bvecs)
			tx->bvec[bvecs - 1].bv_len = last_len;
		return false;
	}

	io->epoch = READ_ONCE(lane->session->epoch);
	io->sequence = tx->sequence++;
	io->seen = READ_ONCE(vxhs_io_disk(io)->geometry.verifier);
	/* What was answered before it is sent is what FLUSH covers. */
	if (io->opcode == VXHS_OP_FLUSH)
		io->dirty = vxhs_disk_begin_flush(rq->q->queuedata);
	generation = vxhs_slot_start(io->slot, rq, lane);
	vxhs_send_put_header(lane, rq, io,
			     vxhs_tag(generation, rq->mq_hctx->queue_num,
				      rq->tag), header);
	atomic64_add(VXHS_INFLIGHT_ONE + vxhs_io_payload(io), &lane->inflight);
	trace_vxhs_io_send(rq, io);
	list_move_tail(&io->entry, &tx->batch);
	return true;
}

/*
 * Its disk is not open on this lane (yet): it waits for that.  Or the disk
 * takes no requests any more: recovery fails it.
 */
static void vxhs_send_hold(struct vxhs_lane *lane, struct vxhs_io *io)
{
	list_move_tail(&io->entry, &lane->tx.held);
	if (READ_ONCE(vxhs_io_disk(io)->refuse))
		vxhs_recovery_wake(lane->session);
}

/*
 * QNIO v34 servers wait for the socket, not for what TLS has deciphered
 * already: so a header and a payload have records of their own.
 */
static bool vxhs_send_one_by_one(const struct vxhs_lane *lane)
{
	return lane->tls && lane->dialect == VXHS_DIALECT_V34;
}

/* A batch of the requests in queue; 0 bytes if there are none or no memory. */
static size_t vxhs_send_build_requests(struct vxhs_lane *lane)
{
	u32 header_size = vxhs_header_size(lane);
	struct vxhs_tx *tx = &lane->tx;
	struct vxhs_io *io, *next;
	unsigned int count = 0, max;
	size_t bytes = 0;
	u8 *header;

	if (!vxhs_lane_is_live(lane))
		return 0;
	/* All headers in one piece: page_frag_alloc() may have but a page. */
	max = min_t(unsigned int, VXHS_TX_BATCH, PAGE_SIZE / header_size);
	if (unlikely(vxhs_send_one_by_one(lane)))
		max = 1;
	list_for_each_entry_safe(io, next, &tx->queue, entry) {
		if (unlikely(!vxhs_disk_is_open(vxhs_io_disk(io),
						lane->index))) {
			vxhs_send_hold(lane, io);
			continue;
		}
		if (++count == max)
			break;
	}
	io = list_first_entry_or_null(&tx->queue, struct vxhs_io, entry);
	if (!io || !vxhs_send_gate(lane, io))
		return 0;

	header = vxhs_send_frag(tx, count * header_size);
	if (!header)
		return vxhs_send_no_memory(lane);

	list_for_each_entry_safe(io, next, &tx->queue, entry) {
		u32 payload = vxhs_payload_len(io);

		if (!count--)
			break;
		if (bytes && (bytes + payload > VXHS_TX_BYTES ||
			      !vxhs_send_fits(tx, vxhs_io_to_rq(io), payload) ||
			      !vxhs_send_gate(lane, io)))
			break;
		if (!vxhs_send_add_io(lane, io, header)) {
			if (!bytes)
				return vxhs_send_no_memory(lane);
			break;
		}
		bytes += header_size + payload;
		header += header_size;
	}
	return bytes;
}

/* The lane's own command, if one is queued. */
static size_t vxhs_send_build_command(struct vxhs_lane *lane)
{
	struct vxhs_command *command = &lane->command;
	size_t len = 0;
	void *copy;

	if (READ_ONCE(command->state) != VXHS_COMMAND_QUEUED)
		return 0;
	copy = vxhs_send_frag(&lane->tx, VXHS_COMMAND_OUT);
	if (!copy)
		return vxhs_send_no_memory(lane);

	spin_lock_bh(&command->lock);
	if (command->state == VXHS_COMMAND_QUEUED) {
		len = command->out_len;
		memcpy(copy, command->out, len);
		command->state = VXHS_COMMAND_SENT;
	}
	spin_unlock_bh(&command->lock);

	if (len)
		vxhs_send_add_virt(&lane->tx, copy, len);
	else
		vxhs_send_free_frags(&lane->tx);
	return len;
}

static size_t vxhs_send_build_ping(struct vxhs_lane *lane)
{
	struct vxhs_request req = {
		.opcode = VXHS_OP_PING,
	};
	void *header;

	/* Pairs with vxhs_lane_keepalive(): ping is set. */
	if (!smp_load_acquire(&lane->ping_queued))
		return 0;
	header = vxhs_send_frag(&lane->tx, sizeof(struct vxhs_req_hdr));
	if (!header)
		return vxhs_send_no_memory(lane);
	req.tag = vxhs_tag(lane->ping, VXHS_TAG_LANE_QUEUE, VXHS_TAG_PING);
	vxhs_put_request(header, &req, lane->features);
	WRITE_ONCE(lane->ping_queued, false);
	vxhs_send_add_virt(&lane->tx, header, sizeof(struct vxhs_req_hdr));
	return sizeof(struct vxhs_req_hdr);
}

/* The next batch into iter.  tx.lock held, iter empty. */
static bool vxhs_send_build(struct vxhs_lane *lane)
{
	struct vxhs_tx *tx = &lane->tx;
	size_t bytes;

	vxhs_send_collect(tx);
	bytes = vxhs_send_build_command(lane);
	if (!bytes)
		bytes = vxhs_send_build_ping(lane);
	if (!bytes)
		bytes = vxhs_send_build_requests(lane);
	iov_iter_bvec(&tx->iter, ITER_SOURCE, tx->bvec, tx->nr_bvecs, bytes);
	tx->bytes = bytes;
	return bytes;
}

static void vxhs_send_batch_done(struct vxhs_lane *lane)
{
	struct vxhs_tx *tx = &lane->tx;
	struct vxhs_io *io, *next;

	list_for_each_entry_safe(io, next, &tx->batch, entry) {
		list_del(&io->entry);
		/* From here on the receiver may complete it. */
		if (vxhs_slot_sent(io->slot)) {
			vxhs_io_release(io);
			vxhs_io_end(io, NULL);
		}
	}
	vxhs_send_free_frags(tx);
	tx->nr_bvecs = 0;
}

/**
 * vxhs_send_drop_batch - forget a batch that will not be sent any more
 * @lane: whose socket is gone; tx.lock held
 *
 * The batch's requests stay in their slots, where the caller finds them.
 */
void vxhs_send_drop_batch(struct vxhs_lane *lane)
{
	struct vxhs_tx *tx = &lane->tx;

	INIT_LIST_HEAD(&tx->batch);
	vxhs_send_free_frags(tx);
	page_frag_cache_drain(&tx->frags);
	tx->nr_bvecs = 0;
	tx->stalled = false;
	iov_iter_bvec(&tx->iter, ITER_SOURCE, tx->bvec, 0, 0);
}

static bool vxhs_send_more(const struct vxhs_tx *tx)
{
	return !list_empty(&tx->queue) || !llist_empty(&tx->submit);
}

/* How much of its key's life a sendmsg() has used. */
static void vxhs_send_count(struct vxhs_lane *lane, unsigned int len)
{
	if (lane->tls)
		lane->tx.sealed += len + VXHS_TLS_RECORD_COST *
				   (len / VXHS_TLS_RECORD + 1);
}

/* The socket takes no more, for now or for ever. */
static void vxhs_send_stopped(struct vxhs_lane *lane, int error)
{
	switch (error) {
	case -EAGAIN:
		/* kTLS says that without memory too: no callback comes then. */
		if (lane->tls && sk_stream_is_writeable(lane->sock->sk))
			kthread_queue_delayed_work(lane->worker, &lane->work,
						   VXHS_SEND_RETRY);
		break;
	case -ENOMEM:
		vxhs_lane_queue_work(lane, VXHS_SEND_RETRY);
		break;
	default:
		/* An alert that came before says more. */
		if (lane->tls)
			vxhs_receive_task(lane, VXHS_TX_BYTES);
		vxhs_lane_fail(lane, "cannot send");
	}
	WRITE_ONCE(lane->tx.stalled, true);
}

/* How much of the batch is for the next sendmsg(). */
static size_t vxhs_send_chunk(const struct vxhs_lane *lane)
{
	size_t left = iov_iter_count(&lane->tx.iter);
	size_t header = vxhs_header_size(lane);
	size_t sent = lane->tx.bytes - left;

	if (likely(!vxhs_send_one_by_one(lane)) || sent >= header)
		return left;
	return header - sent;
}

/*
 * Send what is left of the batch; @more tells whether the stack was told that
 * more will follow.  Return: it is all in the socket.
 */
static bool vxhs_send_batch(struct vxhs_lane *lane, bool *more)
{
	struct vxhs_tx *tx = &lane->tx;

	while (iov_iter_count(&tx->iter)) {
		struct socket *sock = lane->sock;
		struct msghdr msg = {
			.msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL |
				     MSG_SPLICE_PAGES,
			.msg_iter = tx->iter,
		};
		int ret;

		iov_iter_truncate(&msg.msg_iter, vxhs_send_chunk(lane));
		/* A record that waits for more would not leave kTLS. */
		*more = !lane->tls && vxhs_send_more(tx);
		if (*more)
			msg.msg_flags |= MSG_MORE;
		/*
		 * Not sock_sendmsg(): its security hook would judge whoever
		 * happens to submit I/O.
		 */
		ret = READ_ONCE(sock->ops)->sendmsg(sock, &msg,
						    msg_data_left(&msg));
		if (ret > 0) {
			iov_iter_advance(&tx->iter, ret);
			vxhs_send_count(lane, ret);
			continue;
		}
		vxhs_send_stopped(lane, ret);
		return false;
	}
	return true;
}

/**
 * vxhs_send_all - send all that is queued and fits
 * @lane: with a socket; tx.lock held
 *
 * Context: task, with TLS the lane's worker; does not wait for the socket.
 */
void vxhs_send_all(struct vxhs_lane *lane)
{
	unsigned int batches = VXHS_SEND_BATCHES;
	struct vxhs_tx *tx = &lane->tx;
	unsigned int noreclaim;
	bool more = false;

	if (!vxhs_lane_can_send(lane))
		return;

	noreclaim = memalloc_noreclaim_save();
	WRITE_ONCE(tx->stalled, false);
	while (iov_iter_count(&tx->iter) || vxhs_send_build(lane)) {
		if (!batches--) {
			WRITE_ONCE(tx->stalled, true);
			vxhs_lane_queue_work(lane, 0);
			break;
		}
		if (!vxhs_send_batch(lane, &more))
			break;
		vxhs_send_batch_done(lane);
	}
	/* What was to follow does not, for now: push. */
	if (more)
		tcp_sock_set_nodelay(lane->sock->sk);
	memalloc_noreclaim_restore(noreclaim);
}

static bool vxhs_send_pending(struct vxhs_lane *lane)
{
	if (READ_ONCE(lane->tx.stalled))
		return false;	/* the worker will come */
	return !llist_empty(&lane->tx.submit) ||
	       READ_ONCE(lane->command.state) == VXHS_COMMAND_QUEUED;
}

/**
 * vxhs_send_kick - send what is queued, or leave it to who is sending
 * @lane: any
 *
 * Context: task.
 */
void vxhs_send_kick(struct vxhs_lane *lane)
{
	/*
	 * Both barriers: a submitter queues, then looks for the lock; the
	 * holder drops the lock, then looks for the queue.  One of them sees
	 * the other.
	 */
	smp_mb();
	if (lane->tls) {
		if (vxhs_send_pending(lane) && vxhs_lane_can_send(lane))
			vxhs_lane_queue_work(lane, 0);
		return;
	}
	while (vxhs_send_pending(lane) && mutex_trylock(&lane->tx.lock)) {
		/* While it is aborted it is still CLOSING: who aborts waits. */
		bool gone = !lane->sock;

		if (!gone)
			vxhs_send_all(lane);
		mutex_unlock(&lane->tx.lock);
		if (gone || !vxhs_lane_can_send(lane))
			break;
		smp_mb();	/* as above */
	}
}

/*
 * Will more requests come soon?  While others are in flight, or when the last
 * replies came as a burst, the submitter is about to bring more of them one
 * by one: they go out together, as one packet.
 */
static bool vxhs_send_may_gather(const struct vxhs_lane *lane)
{
	return atomic64_read(&lane->inflight) || READ_ONCE(lane->burst) > 1;
}

/**
 * vxhs_send_commit - a submitter has pushed all that it has for now
 * @lane: any; where its submitter polls, vxhs_send_kick() is called instead,
 *	  for who polls does not make way for the worker
 * @first: what vxhs_send_push() said of the last request
 *
 * A lone request is sent at once, and so is a batch.  One of many that come
 * singly is left to the worker, which is of a scheduling class that does not
 * preempt the submitter: when it runs, the submitter has run out of work or
 * of time.  With TLS it sends everything.
 *
 * Context: task.
 */
void vxhs_send_commit(struct vxhs_lane *lane, bool first)
{
	struct vxhs_tx *tx = &lane->tx;

	if (first ? vxhs_send_may_gather(lane) : vxhs_lane_is_due(lane)) {
		unsigned int gathered = READ_ONCE(tx->gathered) + 1;

		if (first)
			vxhs_lane_queue_work(lane, 0);
		if (gathered < VXHS_SEND_GATHER) {
			/* Racy, but only a hint. */
			WRITE_ONCE(tx->gathered, gathered);
			return;
		}
	}
	vxhs_send_kick(lane);
}
