// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a request's life: its tag and its share of the lane's credit go
 * back, then the block layer gets it.
 */
#include "disk.h"
#include "io.h"
#include "lane.h"
#include "trace.h"

/**
 * vxhs_io_release - a request leaves its lane
 * @io: a request whose slot is ACTIVE; its owner calls
 *
 * Context: any, softirq with the socket's lock held included.
 */
void vxhs_io_release(struct vxhs_io *io)
{
	struct vxhs_lane *lane = io->lane;

	vxhs_slot_end(io->slot);
	/* Full barrier: pairs with the one in vxhs_send_gate(). */
	atomic64_sub_return(VXHS_INFLIGHT_ONE + vxhs_io_payload(io),
			    &lane->inflight);
	if (unlikely(READ_ONCE(lane->gated)))
		vxhs_lane_queue_work(lane, 0);
}

/* What the disk remembers of a request. */
static void vxhs_io_account(struct vxhs_disk *disk, const struct vxhs_io *io)
{
	bool dirty = false;

	/* With FUA it is durable already. */
	if (likely(io->status == BLK_STS_OK))
		dirty = vxhs_io_modifies(io) &&
			!(vxhs_io_to_rq((struct vxhs_io *)io)->cmd_flags &
			  REQ_FUA);
	else if (io->status != BLK_STS_NOTSUPP)
		atomic64_inc(&disk->errors);
	/* A FLUSH that failed has flushed nothing. */
	if (unlikely(io->dirty && io->status != BLK_STS_OK))
		dirty = true;
	if (dirty)
		vxhs_disk_unflushed(disk, io->seen);
}

/**
 * vxhs_io_end - give a request back to the block layer with @io->status
 * @io: a request that nobody else knows any more
 * @batch: collects successful requests for blk_mq_end_request_batch(), or
 *	   NULL
 *
 * Context: any; may cause other requests to be queued, never to be sent here.
 */
void vxhs_io_end(struct vxhs_io *io, struct io_comp_batch *batch)
{
	struct request *rq = vxhs_io_to_rq(io);
	struct vxhs_disk *disk = rq->q->queuedata;

	if (unlikely(io->resend)) {
		io->resend = false;
		atomic64_inc(&disk->resends);
		rq->rq_flags |= RQF_DONTPREP;	/* for vxhs_queue_rq() */
		blk_mq_requeue_request(rq, true);
		return;
	}
	trace_vxhs_io_end(rq, io);
	vxhs_io_account(disk, io);
	if (blk_mq_complete_request_remote(rq))
		return;
	if (!blk_mq_add_to_batch(rq, batch, io->status != BLK_STS_OK,
				 blk_mq_end_request_batch))
		blk_mq_end_request(rq, io->status);
}
