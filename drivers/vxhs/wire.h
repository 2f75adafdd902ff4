/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The codecs of both dialects and every check of what a peer sent: pure
 * functions, without I/O or allocation.  One source for the module, the
 * server, the tests and the fuzzers.
 */
#ifndef _VXHS_WIRE_H
#define _VXHS_WIRE_H

#include <linux/vxhs_wire.h>

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
#endif

/* What the native dialect of this source can do. */
#define VXHS_FEATURES_ALL \
	(VXHS_F_HEADER_CRC | VXHS_F_DATA_CRC | VXHS_F_EVENTS)

#define VXHS_OPEN_BODY_MAX	(sizeof(struct vxhs_open_req) + VXHS_NAME_MAX)
#define VXHS_MIN_MAX_IO		131072	/* bytes: the least a server grants */
#define VXHS_KATO_FLOOR		200	/* ms */
#define VXHS_KATO_MAX		3600000	/* ms */
#define VXHS_PHYSICAL_BLOCK_MAX	1048576	/* bytes */
#define VXHS_IO_HINT_MAX	(64U << 20) /* bytes of io_min, io_opt */
#define VXHS_BLOCK_MAX		4096	/* bytes: the largest logical block */
#define VXHS_SIZE_KVSET_LEN	48	/* bytes of the v34 STAT payload */

/*
 * The rules a peer can break.  Each has a sentence, see vxhs_rule_text(), which
 * is its description.  A frame that breaks one is not obeyed, and its lane is
 * closed.
 */
enum vxhs_rule {
	VXHS_RULE_OK = 0,
	VXHS_RULE_MAGIC,
	VXHS_RULE_HEADER_CRC,
	VXHS_RULE_DATA_CRC,
	VXHS_RULE_RESERVED,
	VXHS_RULE_PAYLOAD_LEN,
	VXHS_RULE_STATUS_PAYLOAD,
	VXHS_RULE_TAG,
	VXHS_RULE_OPCODE,
	VXHS_RULE_EVENT,
	VXHS_RULE_BODY,
	VXHS_RULE_NAME,
	VXHS_RULE_OFFER,
	VXHS_RULE_VERSION,
	VXHS_RULE_FEATURES,
	VXHS_RULE_MAX_INFLIGHT,
	VXHS_RULE_MAX_INFLIGHT_BYTES,
	VXHS_RULE_MAX_IO,
	VXHS_RULE_KATO,
	VXHS_RULE_HANDLE,
	VXHS_RULE_LOGICAL_BLOCK,
	VXHS_RULE_PHYSICAL_BLOCK,
	VXHS_RULE_SIZE,
	VXHS_RULE_IO_MIN,
	VXHS_RULE_IO_OPT,
	VXHS_RULE_MAX_DISCARD,
	VXHS_RULE_MAX_WRITE_ZEROES,
	VXHS_RULE_DISCARD_GRANULARITY,
	VXHS_RULE_V34_MARKER,
	VXHS_RULE_V34_COOKIE,
	VXHS_RULE_V34_KVSET,
	VXHS_RULE_INSTANCE,
	VXHS_RULE_MAX,
};

const char *vxhs_rule_text(enum vxhs_rule rule);
const char *vxhs_status_text(u16 status);
const char *vxhs_opcode_name(u8 opcode);

/**
 * struct vxhs_request - a native request, decoded
 * @tag: opaque to the server
 * @offset: bytes from the start of the vdisk
 * @handle: the vdisk's, from OPEN; 0 where none applies
 * @length: bytes of the I/O on the vdisk
 * @payload_len: bytes that follow the header
 * @payload_crc: CRC32C of the payload where DATA_CRC is on
 * @prio: Linux I/O priority, 0 for unset
 * @opcode: enum vxhs_opcode
 * @flags: VXHS_REQ_*
 */
struct vxhs_request {
	u64	tag;
	u64	offset;
	u32	handle;
	u32	length;
	u32	payload_len;
	u32	payload_crc;
	u16	prio;
	u8	opcode;
	u8	flags;
};

/**
 * struct vxhs_reply - a native reply or event, decoded
 * @tag: the request's; of an event: the vdisk's handle
 * @payload_len: bytes that follow the header
 * @payload_crc: CRC32C of the payload where DATA_CRC is on
 * @server_us: microseconds that the server held the request
 * @status: enum vxhs_status, or one that this source does not know
 * @opcode: the request's; of an event: enum vxhs_event
 * @event: this is an event
 */
struct vxhs_reply {
	u64	tag;
	u32	payload_len;
	u32	payload_crc;
	u32	server_us;
	u16	status;
	u8	opcode;
	bool	event;
};

/**
 * struct vxhs_login - LOGIN's body, decoded
 * @host_id: UUID of the client host
 * @session_id: random, per session
 * @features: the offer again
 * @epoch: starts at 1, grows with every recovery of the session
 * @kato_ms: the client's wish; 0 for none
 * @lane: index of this lane
 * @lane_count: lanes of the session
 * @min_version: the offer again
 * @max_version: the offer again
 */
struct vxhs_login {
	u8	host_id[16];
	u64	session_id;
	u64	features;
	u32	epoch;
	u32	kato_ms;
	u16	lane;
	u16	lane_count;
	u16	min_version;
	u16	max_version;
};

/**
 * struct vxhs_grant - what a server grants a lane with its reply to LOGIN
 * @server_id: UUID of the server
 * @instance: changes with each start of the server process
 * @features: those accepted
 * @max_inflight: I/O requests per lane
 * @max_inflight_bytes: bytes of their payloads per lane
 * @max_io: bytes of one READ or WRITE
 * @kato_ms: keepalive time-out, milliseconds
 * @version: chosen version
 */
struct vxhs_grant {
	u8	server_id[16];
	u64	instance;
	u64	features;
	u32	max_inflight;
	u32	max_inflight_bytes;
	u32	max_io;
	u32	kato_ms;
	u16	version;
};

/**
 * struct vxhs_open - OPEN's body, decoded
 * @name: the vdisk's name, NUL-terminated
 * @lease: 0 on first attach, else the one held
 * @mode: enum vxhs_open_mode
 * @options: VXHS_OPEN_TAKE_OVER
 */
struct vxhs_open {
	char	name[VXHS_NAME_MAX + 1];
	u64	lease;
	u32	mode;
	u32	options;
};

/**
 * struct vxhs_geometry - a vdisk's shape, from the reply to OPEN
 * @vdisk_id: UUID of the vdisk
 * @size: bytes, a positive multiple of @logical_block
 * @verifier: changes when acknowledged, unflushed writes may have been lost
 * @lease: number of the exclusive write lease, 0 for none
 * @handle: names the vdisk in requests of this session and epoch, never 0
 * @caps: VXHS_CAP_*
 * @logical_block: bytes, a power of two from 512 to 4096
 * @physical_block: bytes, a power of two, at least @logical_block
 * @io_min: bytes
 * @io_opt: bytes, 0 for unknown
 * @max_discard: bytes
 * @max_write_zeroes: bytes
 * @discard_granularity: bytes
 */
struct vxhs_geometry {
	u8	vdisk_id[16];
	u64	size;
	u64	verifier;
	u64	lease;
	u32	handle;
	u32	caps;
	u32	logical_block;
	u32	physical_block;
	u32	io_min;
	u32	io_opt;
	u32	max_discard;
	u32	max_write_zeroes;
	u32	discard_granularity;
};

u32 vxhs_wire_crc_more(u32 crc, const void *buf, size_t len);
u32 vxhs_wire_crc(const void *buf, size_t len);

void vxhs_put_request(struct vxhs_req_hdr *hdr, const struct vxhs_request *req,
		      u64 features);
enum vxhs_rule vxhs_get_request(const struct vxhs_req_hdr *hdr, u64 features,
				struct vxhs_request *req);
void vxhs_put_reply(struct vxhs_rsp_hdr *hdr, const struct vxhs_reply *rsp,
		    u64 features);
enum vxhs_rule vxhs_get_reply(const struct vxhs_rsp_hdr *hdr, u64 features,
			      struct vxhs_reply *rsp);
enum vxhs_rule vxhs_check_reply(const struct vxhs_reply *rsp, u8 opcode,
				u32 length);
enum vxhs_status vxhs_check_io(const struct vxhs_request *req, u64 size,
			       u32 logical_block, u32 max_io);

void vxhs_put_login(struct vxhs_login_req *body, const struct vxhs_login *in);
enum vxhs_rule vxhs_get_login(const struct vxhs_login_req *body,
			      struct vxhs_login *out);
void vxhs_put_grant(struct vxhs_login_rsp *body, const struct vxhs_grant *in);
enum vxhs_rule vxhs_get_grant(const struct vxhs_login_rsp *body, u64 offered,
			      struct vxhs_grant *out);

size_t vxhs_put_open(void *body, const struct vxhs_open *in);
enum vxhs_rule vxhs_get_open(const void *body, size_t len,
			     struct vxhs_open *out);
void vxhs_put_geometry(struct vxhs_open_rsp *body,
		       const struct vxhs_geometry *in);
enum vxhs_rule vxhs_get_geometry(const struct vxhs_open_rsp *body,
				 struct vxhs_geometry *out);

/**
 * struct vxhs_v34_msg - a v34 header, decoded
 * @target: vdisk name, NUL-terminated
 * @payload_size: bytes that follow the header
 * @cookie: opaque, returned unchanged
 * @io_offset: bytes from the start of the vdisk
 * @io_size: bytes of the I/O
 * @io_flags: VXHS_V34_IO_APP on READ and WRITE requests
 * @flags: VXHS_V34_*
 * @data_type: enum vxhs_v34_data_type
 * @err: enum vxhs_v34_err or any other number, 0 in requests
 * @opcode: enum vxhs_v34_opcode
 */
struct vxhs_v34_msg {
	char	target[VXHS_V34_TARGET_LEN];
	u64	payload_size;
	u64	cookie;
	u64	io_offset;
	u64	io_size;
	u64	io_flags;
	u64	flags;
	u32	data_type;
	s32	err;
	u16	opcode;
};

void vxhs_v34_put(struct vxhs_v34_hdr *hdr, const struct vxhs_v34_msg *msg);
enum vxhs_rule vxhs_v34_get(const struct vxhs_v34_hdr *hdr,
			    struct vxhs_v34_msg *msg);
void vxhs_v34_put_reply(struct vxhs_v34_hdr *hdr,
			const struct vxhs_v34_hdr *request, s32 err,
			u64 payload_size);
enum vxhs_rule vxhs_v34_check_reply(const struct vxhs_v34_msg *msg, u16 opcode,
				    u64 length);

void vxhs_put_offer(struct vxhs_offer *o, u16 min, u16 max, u64 features);
bool vxhs_get_offer(const struct vxhs_offer *o, u16 *min, u16 *max,
		    u64 *features);
void vxhs_put_choice(struct vxhs_offer *o, u16 version, u64 features);
enum vxhs_rule vxhs_get_choice(const struct vxhs_offer *o, u64 offered,
			       u16 *version, u64 *features);

void vxhs_v34_put_size(u8 set[VXHS_SIZE_KVSET_LEN], u64 size);
enum vxhs_rule vxhs_v34_get_size(const u8 *set, size_t len, u64 *size);

#endif /* _VXHS_WIRE_H */
