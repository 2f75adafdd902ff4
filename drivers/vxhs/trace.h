/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vxhs

#if !defined(_VXHS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VXHS_TRACE_H

#include <linux/blk-mq.h>
#include <linux/tracepoint.h>

#include "disk.h"
#include "io.h"
#include "lane.h"
#include "session.h"

#define show_vxhs_opcode(op) __print_symbolic(op,	\
	{ VXHS_OP_READ,		"READ" },		\
	{ VXHS_OP_WRITE,	"WRITE" },		\
	{ VXHS_OP_FLUSH,	"FLUSH" },		\
	{ VXHS_OP_DISCARD,	"DISCARD" },		\
	{ VXHS_OP_WRITE_ZEROES,	"WRITE_ZEROES" })

#define show_vxhs_session_state(state) __print_symbolic(state,	\
	{ VXHS_SESSION_STATE_CONNECTING,	"connecting" },	\
	{ VXHS_SESSION_STATE_LIVE,		"live" },	\
	{ VXHS_SESSION_STATE_RECOVERING,	"recovering" },	\
	{ VXHS_SESSION_STATE_FAILING,		"failing" },	\
	{ VXHS_SESSION_STATE_CLOSING,		"closing" })

/* A request enters FLOW. */
TRACE_EVENT(vxhs_io_queue,
	TP_PROTO(struct request *rq, struct vxhs_io *io,
		 struct vxhs_lane *lane),
	TP_ARGS(rq, io, lane),
	TP_STRUCT__entry(
		__field(unsigned int, disk)
		__field(unsigned int, lane)
		__field(unsigned int, tag)
		__field(u8, opcode)
		__field(u64, sector)
		__field(u32, length)
	),
	TP_fast_assign(
		__entry->disk = ((struct vxhs_disk *)rq->q->queuedata)->index;
		__entry->lane = lane->index;
		__entry->tag = rq->tag;
		__entry->opcode = io->opcode;
		__entry->sector = blk_rq_pos(rq);
		__entry->length = io->length;
	),
	TP_printk("vxhs%u lane=%u tag=%u %s sector=%llu length=%u",
		  __entry->disk, __entry->lane, __entry->tag,
		  show_vxhs_opcode(__entry->opcode), __entry->sector,
		  __entry->length)
);

DECLARE_EVENT_CLASS(vxhs_io,
	TP_PROTO(struct request *rq, struct vxhs_io *io),
	TP_ARGS(rq, io),
	TP_STRUCT__entry(
		__field(unsigned int, disk)
		__field(unsigned int, lane)
		__field(unsigned int, tag)
		__field(u8, opcode)
		__field(u8, status)
	),
	TP_fast_assign(
		__entry->disk = ((struct vxhs_disk *)rq->q->queuedata)->index;
		__entry->lane = io->lane->index;
		__entry->tag = rq->tag;
		__entry->opcode = io->opcode;
		__entry->status = (__force u8)io->status;
	),
	TP_printk("vxhs%u lane=%u tag=%u %s status=%u", __entry->disk,
		  __entry->lane, __entry->tag,
		  show_vxhs_opcode(__entry->opcode), __entry->status)
);

/* FLOW to SENDING. */
DEFINE_EVENT(vxhs_io, vxhs_io_send,
	TP_PROTO(struct request *rq, struct vxhs_io *io),
	TP_ARGS(rq, io));

/* The block layer gets it back. */
DEFINE_EVENT(vxhs_io, vxhs_io_end,
	TP_PROTO(struct request *rq, struct vxhs_io *io),
	TP_ARGS(rq, io));

/* A valid reply's header has come. */
TRACE_EVENT(vxhs_io_reply,
	TP_PROTO(struct request *rq, struct vxhs_io *io, u32 server_us),
	TP_ARGS(rq, io, server_us),
	TP_STRUCT__entry(
		__field(unsigned int, disk)
		__field(unsigned int, lane)
		__field(unsigned int, tag)
		__field(u8, opcode)
		__field(u8, status)
		__field(u32, server_us)
	),
	TP_fast_assign(
		__entry->disk = ((struct vxhs_disk *)rq->q->queuedata)->index;
		__entry->lane = io->lane->index;
		__entry->tag = rq->tag;
		__entry->opcode = io->opcode;
		__entry->status = (__force u8)io->status;
		__entry->server_us = server_us;
	),
	TP_printk("vxhs%u lane=%u tag=%u %s status=%u server_us=%u",
		  __entry->disk, __entry->lane, __entry->tag,
		  show_vxhs_opcode(__entry->opcode), __entry->status,
		  __entry->server_us)
);

TRACE_EVENT(vxhs_lane_fail,
	TP_PROTO(struct vxhs_lane *lane, const char *reason),
	TP_ARGS(lane, reason),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(unsigned int, lane)
		__string(reason, reason)
	),
	TP_fast_assign(
		__entry->session = lane->session->id;
		__entry->lane = lane->index;
		__assign_str(reason);
	),
	TP_printk("session=%016llx lane=%u %s", __entry->session,
		  __entry->lane, __get_str(reason))
);

TRACE_EVENT(vxhs_session_state,
	TP_PROTO(struct vxhs_session *session, enum vxhs_session_state old,
		 enum vxhs_session_state new),
	TP_ARGS(session, old, new),
	TP_STRUCT__entry(
		__field(u64, session)
		__field(u8, old)
		__field(u8, new)
	),
	TP_fast_assign(
		__entry->session = session->id;
		__entry->old = old;
		__entry->new = new;
	),
	TP_printk("session=%016llx %s -> %s", __entry->session,
		  show_vxhs_session_state(__entry->old),
		  show_vxhs_session_state(__entry->new))
);

#endif /* _VXHS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
