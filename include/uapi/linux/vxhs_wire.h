/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/*
 * What two ends of a vxhs lane send each other, byte by byte.
 *
 * Two dialects share a port: QNIO v34, which existing Veritas HyperScale
 * systems speak, and VXHS 1, the native one.  A lane begins with a v34 STAT
 * request; whether it becomes native is decided in that exchange (see
 * Documentation/protocol.rst).  All integers are little-endian, except in v34
 * property sets, which are big-endian.
 */
#ifndef _UAPI_LINUX_VXHS_WIRE_H
#define _UAPI_LINUX_VXHS_WIRE_H

#include <linux/types.h>

#define VXHS_PORT		9999	/* default TCP port of a portal */
#define VXHS_VERSION		1	/* of the native protocol */
#define VXHS_NAME_MAX		63	/* bytes of a vdisk name, without NUL */

/*
 * The offer (client) and the choice (server), in trailer bytes 228..255 of a
 * STAT request and its reply.
 */
#define VXHS_OFFER_MAGIC	0x53485856	/* "VXHS" */
#define VXHS_CHOICE_MAGIC	0x52485856	/* "VXHR": an echo is no answer */

#define VXHS_F_HEADER_CRC	(1ULL << 0)
#define VXHS_F_DATA_CRC		(1ULL << 1)
#define VXHS_F_EVENTS		(1ULL << 2)

struct vxhs_offer {
	__le32	magic;
	__le16	min_version;		/* choice: the chosen one, 0 for none */
	__le16	max_version;		/* choice: the same again */
	__le64	features;		/* VXHS_F_* */
	__u8	zero[12];
} __attribute__((packed));

/* Native frames: magic words. */
#define VXHS_REQ_MAGIC		0x51525856	/* "VXRQ" */
#define VXHS_RSP_MAGIC		0x50525856	/* "VXRP" */
#define VXHS_EVT_MAGIC		0x56455856	/* "VXEV" */

enum vxhs_opcode {
	VXHS_OP_LOGIN		= 0x01,
	VXHS_OP_OPEN		= 0x02,
	VXHS_OP_CLOSE		= 0x03,
	VXHS_OP_PING		= 0x04,
	VXHS_OP_LOGOUT		= 0x05,
	VXHS_OP_READ		= 0x10,
	VXHS_OP_WRITE		= 0x11,
	VXHS_OP_FLUSH		= 0x12,
	VXHS_OP_DISCARD		= 0x13,
	VXHS_OP_WRITE_ZEROES	= 0x14,
};

enum vxhs_event {
	VXHS_EV_RESIZED		= 1,
	VXHS_EV_GOING_AWAY	= 2,
	VXHS_EV_LEASE_LOST	= 3,
};

/* Flags of a request. */
#define VXHS_REQ_FUA		(1 << 0)	/* durable before the answer */
#define VXHS_REQ_NO_UNMAP	(1 << 1)	/* WRITE_ZEROES keeps blocks */

enum vxhs_status {
	VXHS_ST_OK		= 0,
	VXHS_ST_IO		= 1,	/* medium error */
	VXHS_ST_INVALID		= 2,	/* range, alignment, malformed */
	VXHS_ST_NOT_FOUND	= 3,
	VXHS_ST_DENIED		= 4,	/* this identity may not */
	VXHS_ST_READ_ONLY	= 5,
	VXHS_ST_NO_SPACE	= 6,
	VXHS_ST_BUSY		= 7,	/* exclusively open elsewhere */
	VXHS_ST_STALE		= 8,	/* older epoch or lost lease: final */
	VXHS_ST_UNSUPPORTED	= 9,
	VXHS_ST_AGAIN		= 10,	/* LOGIN, OPEN: ask again in 100 ms */
	VXHS_ST_GOING_AWAY	= 11,
	VXHS_ST_NO_SESSION	= 12,	/* unknown session or handle */
	VXHS_ST_BAD_CRC		= 13,	/* payload damaged: send it again */
};

struct vxhs_req_hdr {
	__le32	magic;
	__u8	opcode;
	__u8	flags;
	__le16	prio;			/* Linux I/O priority, 0 for unset */
	__le64	tag;
	__le32	handle;
	__le32	length;			/* bytes of the I/O on the vdisk */
	__le64	offset;			/* bytes */
	__le32	payload_len;
	__le32	payload_crc;
	__le32	reserved;
	__le32	header_crc;
} __attribute__((packed));

struct vxhs_rsp_hdr {
	__le32	magic;
	__u8	opcode;			/* of an event: its kind */
	__u8	flags;
	__le16	status;
	__le64	tag;			/* of an event: the vdisk's handle */
	__le32	payload_len;
	__le32	payload_crc;
	__le32	server_us;		/* time the server held the request */
	__le32	header_crc;
} __attribute__((packed));

struct vxhs_login_req {
	__u8	host_id[16];
	__le64	session_id;
	__le32	epoch;
	__le16	lane;
	__le16	lane_count;
	__le32	kato_ms;
	__le16	min_version;
	__le16	max_version;
	__le64	features;
	__u8	zero[16];
} __attribute__((packed));

struct vxhs_login_rsp {
	__u8	server_id[16];
	__le64	instance;
	__le32	max_inflight;		/* I/O requests, per lane */
	__le32	max_inflight_bytes;	/* their payloads, per lane */
	__le32	max_io;			/* bytes of one READ or WRITE */
	__le32	kato_ms;
	__le16	version;
	__le16	reserved;
	__le64	features;
	__u8	zero[12];
} __attribute__((packed));

enum vxhs_open_mode {
	VXHS_OPEN_RO		= 0,
	VXHS_OPEN_RW		= 1,	/* exclusive */
	VXHS_OPEN_RW_SHARED	= 2,
};

#define VXHS_OPEN_TAKE_OVER	(1 << 0)

/* The name follows, name_len bytes, not terminated. */
struct vxhs_open_req {
	__le32	mode;
	__le32	options;
	__le64	lease;
	__le16	name_len;
} __attribute__((packed));

#define VXHS_CAP_FLUSH		(1 << 0)
#define VXHS_CAP_FUA		(1 << 1)
#define VXHS_CAP_DISCARD	(1 << 2)
#define VXHS_CAP_WRITE_ZEROES	(1 << 3)
#define VXHS_CAP_ROTATIONAL	(1 << 4)
#define VXHS_CAP_READ_ONLY	(1 << 5)

struct vxhs_open_rsp {
	__le32	handle;
	__le32	caps;
	__le64	size;			/* bytes */
	__le32	logical_block;
	__le32	physical_block;
	__le32	io_min;
	__le32	io_opt;
	__le32	max_discard;		/* bytes */
	__le32	max_write_zeroes;	/* bytes */
	__le32	discard_granularity;
	__le32	reserved;
	__u8	vdisk_id[16];
	__le64	verifier;
	__le64	lease;
} __attribute__((packed));

struct vxhs_flush_rsp {
	__le64	verifier;
} __attribute__((packed));

/* QNIO v34. */
#define VXHS_V34_MARKER		0x5CA1AB1E
#define VXHS_V34_TARGET_LEN	64

enum vxhs_v34_opcode {
	VXHS_V34_STAT		= 1005,
	VXHS_V34_READY		= 2020,	/* CHECK_FAILOVER_READY */
	VXHS_V34_READ		= 0x1FFF,
	VXHS_V34_WRITE		= 0x2FFF,
};

enum vxhs_v34_data_type {
	VXHS_V34_RAW		= 1,
	VXHS_V34_KVSET		= 2,
};

#define VXHS_V34_REQ		0x01ULL
#define VXHS_V34_RESP		0x02ULL
#define VXHS_V34_NEED_ACK	0x08ULL
#define VXHS_V34_NEED_RESP	0x10ULL
#define VXHS_V34_SYNC_REQ	0x20ULL
#define VXHS_V34_SYNC_RESP	0x40ULL
#define VXHS_V34_IO_APP		0x100ULL	/* io_flags of READ, WRITE */

enum vxhs_v34_err {
	VXHS_V34_OK		= 0,
	VXHS_V34_ENOENT		= 2,
	VXHS_V34_EINVAL		= 5,
	VXHS_V34_ESIZE		= 61,	/* vdisk size invalid */
	VXHS_V34_EOPNOTSUPP	= 62,
	VXHS_V34_HUP		= 901,	/* retriable */
	VXHS_V34_NOCONN		= 902,	/* final */
};

struct vxhs_v34_hdr {
	__le32	marker;
	__le64	payload_size;
	__le32	data_type;
	__le32	err;			/* signed; 0 in requests */
	__le64	cookie;
	__u8	crc;			/* cookie & 0xff, checked by nobody */
	__u8	pad0;
	__le16	opcode;
	__u8	pad1[4];
	__le64	io_offset;
	__le64	io_size;
	__le64	io_nbytes;
	__le64	io_seqno;
	__le64	io_flags;
	__le64	flags;
	__le64	io_remote_hdl;
	__le32	io_remote_flags;
	char	target[VXHS_V34_TARGET_LEN];
	__u8	pad2[4];
	__u8	trailer[64];		/* bytes 164..227 */
	struct vxhs_offer offer;	/* bytes 228..255 */
} __attribute__((packed));

#endif /* _UAPI_LINUX_VXHS_WIRE_H */
