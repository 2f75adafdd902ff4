/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One block request on its way, and the tag that names it on the wire.
 *
 * At each moment a request has one owner:
 *
 *  state      owner                       leaves when
 *  ---------  --------------------------  ----------------------------------
 *  FLOW       the lane's queue            the transmitter takes it
 *  SENDING    the lane's transmitter      its last byte is in the socket
 *  IN_FLIGHT  nobody but the tag slot     a valid reply names its tag
 *  RECEIVING  the lane's receiver         its payload is complete
 *  PARKED     the lane's queue            recovery ends: FLOW; or policy fails it
 *
 * FLOW and PARKED are being on a list: of a lane that is LIVE, or that is not.
 * The other states are bits of the slot's word.  A
 * reply may come before the transmitter has looked at what sendmsg() returned
 * (our own sendmsg() may even deliver it, from the socket's backlog), so
 * "sent" and "replied" are separate bits, and whoever sets the second one
 * completes the request: never while the transmitter still holds its pages.
 */
#ifndef _VXHS_IO_H
#define _VXHS_IO_H

#include <linux/atomic.h>
#include <linux/blk-mq.h>
#include <linux/llist.h>
#include <linux/uio.h>

#include "wire.h"

struct vxhs_disk;
struct vxhs_lane;

/* Tags of this queue number are the lane's own commands, not requests. */
#define VXHS_TAG_LANE_QUEUE	0xffff
#define VXHS_TAG_COMMAND	0
#define VXHS_TAG_PING		1

/* Bits of a slot's word, below the generation. */
#define VXHS_SLOT_ACTIVE	BIT_ULL(0)	/* on the wire or about to be */
#define VXHS_SLOT_SENT		BIT_ULL(1)	/* the transmitter is through */
#define VXHS_SLOT_CLAIMED	BIT_ULL(2)	/* a reply has named it */
#define VXHS_SLOT_REPLIED	BIT_ULL(3)	/* its reply is complete */
#define VXHS_SLOT_GEN_SHIFT	32

/* How often a request whose data gets damaged is sent again. */
#define VXHS_MAX_RESENDS	3

/**
 * struct vxhs_slot - one tag of the session's tag set
 * @word: generation in the upper half, VXHS_SLOT_* in the lower
 * @rq: the request; valid while ACTIVE, written before ACTIVE is set
 * @lane: the lane that carries it; as @rq
 *
 * The generation lives here and not in the request, for a FLUSH borrows
 * another request's tag.
 */
struct vxhs_slot {
	atomic64_t		word;
	struct request		*rq;
	struct vxhs_lane	*lane;
};

/**
 * struct vxhs_io - driver data of a block request
 * @submit: in the lane's submit list (FLOW)
 * @entry: in the transmitter's queue (FLOW) or batch (SENDING), or in the
 *	   receiver's list of finished requests
 * @slot: its tag's slot
 * @lane: the lane that carries it
 * @bio: receiver: the bio that @iter covers
 * @iter: receiver: where the next payload bytes go
 * @started: when it was queued, jiffies
 * @reports: how often it was reported as slow
 * @length: bytes of the I/O on the vdisk
 * @opcode: enum vxhs_opcode
 * @status: the result, valid once replied
 * @dirty: of a FLUSH: there was something to flush
 * @epoch: in which it was last sent, 0 if it never was
 * @sequence: its place among what was sent on its lane
 * @fenced: parked: when the server has fenced it at the latest, jiffies
 * @seen: the disk's verifier when it was sent
 * @resend: its data was damaged on the way: queue it again
 * @resends: how often that was done
 * @verifier: receiver: FLUSH's body
 */
struct vxhs_io {
	struct llist_node	submit;
	struct list_head	entry;
	struct vxhs_slot	*slot;
	struct vxhs_lane	*lane;
	struct bio		*bio;
	struct iov_iter		iter;
	unsigned long		started;
	unsigned int		reports;
	u32			length;
	u8			opcode;
	blk_status_t		status;
	bool			dirty;
	bool			resend;
	u8			resends;
	u32			epoch;
	u32			sequence;
	unsigned long		fenced;
	u64			seen;
	struct vxhs_flush_rsp	verifier;
};

static inline struct vxhs_io *vxhs_rq_to_io(struct request *rq)
{
	return blk_mq_rq_to_pdu(rq);
}

static inline struct request *vxhs_io_to_rq(struct vxhs_io *io)
{
	return blk_mq_rq_from_pdu(io);
}

static inline struct vxhs_disk *vxhs_io_disk(struct vxhs_io *io)
{
	return vxhs_io_to_rq(io)->q->queuedata;
}

/**
 * vxhs_io_payload - the bytes that a request brings over the wire
 * @io: a request
 *
 * These count towards max_inflight_bytes; a DISCARD's length does not.
 *
 * Return: bytes, in either direction
 */
static inline u32 vxhs_io_payload(const struct vxhs_io *io)
{
	return io->opcode == VXHS_OP_READ || io->opcode == VXHS_OP_WRITE ?
	       io->length : 0;
}

/**
 * vxhs_io_modifies - does a request change what is stored?
 * @io: a request
 *
 * Return: true for WRITE, DISCARD and WRITE_ZEROES
 */
static inline bool vxhs_io_modifies(const struct vxhs_io *io)
{
	return io->opcode == VXHS_OP_WRITE || io->opcode == VXHS_OP_DISCARD ||
	       io->opcode == VXHS_OP_WRITE_ZEROES;
}

/**
 * vxhs_io_damaged - the data of a request was damaged on the way
 * @io: a READ or WRITE; the receiver calls
 *
 * When it ends it will be sent again, a WRITE from a copy that nobody can
 * change; or fail, if that was done often enough.
 */
static inline void vxhs_io_damaged(struct vxhs_io *io)
{
	io->resend = io->resends < VXHS_MAX_RESENDS;
	if (io->resend)
		io->resends++;
	else
		io->status = BLK_STS_PROTECTION;
}

static inline u64 vxhs_tag(u32 generation, u16 queue, u16 index)
{
	return (u64)generation << 32 | (u32)queue << 16 | index;
}

static inline u32 vxhs_tag_generation(u64 tag)
{
	return tag >> 32;
}

static inline u16 vxhs_tag_queue(u64 tag)
{
	return tag >> 16;
}

static inline u16 vxhs_tag_index(u64 tag)
{
	return tag;
}

/**
 * vxhs_slot_start - FLOW to SENDING
 * @slot: of the request's tag; the request's owner calls
 * @rq: the request
 * @lane: the lane that will carry it
 *
 * Return: the generation for the tag on the wire
 */
static inline u32 vxhs_slot_start(struct vxhs_slot *slot, struct request *rq,
				  struct vxhs_lane *lane)
{
	u64 word = atomic64_read(&slot->word);

	slot->rq = rq;
	slot->lane = lane;
	atomic64_set_release(&slot->word, word | VXHS_SLOT_ACTIVE);
	return word >> VXHS_SLOT_GEN_SHIFT;
}

/**
 * vxhs_slot_claim - a reply names this tag: make it RECEIVING
 * @slot: of the tag
 * @generation: from the tag
 * @lane: the lane that the reply came on; its receiver calls
 *
 * Return: the request, or NULL if the reply has no right to it
 */
static inline struct request *vxhs_slot_claim(struct vxhs_slot *slot,
					      u32 generation,
					      struct vxhs_lane *lane)
{
	s64 word = atomic64_read_acquire(&slot->word);

	do {
		if ((u64)word >> VXHS_SLOT_GEN_SHIFT != generation ||
		    !(word & VXHS_SLOT_ACTIVE) ||
		    (word & VXHS_SLOT_CLAIMED) || slot->lane != lane)
			return NULL;
	} while (!atomic64_try_cmpxchg(&slot->word, &word,
				       word | VXHS_SLOT_CLAIMED));
	return slot->rq;
}

/**
 * vxhs_slot_sent - the transmitter is through with the request
 * @slot: of its tag
 *
 * Return: true if the reply is complete already: the caller completes it
 */
static inline bool vxhs_slot_sent(struct vxhs_slot *slot)
{
	return atomic64_fetch_or(VXHS_SLOT_SENT, &slot->word) &
	       VXHS_SLOT_REPLIED;
}

/**
 * vxhs_slot_replied - the receiver is through with the request
 * @slot: of its tag
 *
 * Return: true if the transmitter is through too: the caller completes it
 */
static inline bool vxhs_slot_replied(struct vxhs_slot *slot)
{
	return atomic64_fetch_or(VXHS_SLOT_REPLIED, &slot->word) &
	       VXHS_SLOT_SENT;
}

/**
 * vxhs_slot_end - the tag goes back to the block layer
 * @slot: of the tag; the request's owner calls, before it completes it
 *
 * From here on a reply with the old generation is stale.
 */
static inline void vxhs_slot_end(struct vxhs_slot *slot)
{
	u64 generation = (u64)atomic64_read(&slot->word) >> VXHS_SLOT_GEN_SHIFT;

	atomic64_set_release(&slot->word,
			     (u64)(u32)(generation + 1) << VXHS_SLOT_GEN_SHIFT);
}

void vxhs_io_release(struct vxhs_io *io);
void vxhs_io_end(struct vxhs_io *io, struct io_comp_batch *batch);

#endif /* _VXHS_IO_H */
