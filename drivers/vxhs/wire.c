// SPDX-License-Identifier: GPL-2.0
/*
 * The codecs of both dialects and every check of what a peer sent.
 *
 * Any context: nothing here sleeps, allocates or takes a lock.  Section
 * numbers refer to Documentation/protocol.rst.
 */
#include "wire.h"

#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/crc32c.h>
#include <linux/log2.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#else
#include <assert.h>
#include <endian.h>
#include <isa-l/crc.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)
#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)

static bool is_power_of_2(u32 n)
{
	return n && !(n & (n - 1));
}

static u32 get_unaligned_be32(const void *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static u64 get_unaligned_be64(const void *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static void put_unaligned_be32(u32 v, void *p)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put_unaligned_be64(u64 v, void *p)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}
#endif

/* The sizes that both ends rely on. */
static_assert(sizeof(struct vxhs_offer) == 28);
static_assert(sizeof(struct vxhs_req_hdr) == 48);
static_assert(sizeof(struct vxhs_rsp_hdr) == 32);
static_assert(sizeof(struct vxhs_login_req) == 64);
static_assert(sizeof(struct vxhs_login_rsp) == 64);
static_assert(sizeof(struct vxhs_open_req) == 18);
static_assert(sizeof(struct vxhs_open_rsp) == 80);
static_assert(sizeof(struct vxhs_v34_hdr) == 256);

static const char * const rule_texts[VXHS_RULE_MAX] = {
	[VXHS_RULE_OK] = "no rule was broken",
	[VXHS_RULE_MAGIC] = "a frame begins with an unknown magic",
	[VXHS_RULE_HEADER_CRC] = "a header's CRC is wrong",
	[VXHS_RULE_DATA_CRC] = "a payload's CRC is wrong",
	[VXHS_RULE_RESERVED] = "a reserved field is not zero",
	[VXHS_RULE_PAYLOAD_LEN] = "payload_len disagrees with the opcode",
	[VXHS_RULE_STATUS_PAYLOAD] = "an error reply carries a payload",
	[VXHS_RULE_TAG] = "a reply names a tag that is not in flight on this lane",
	[VXHS_RULE_OPCODE] = "a reply's opcode is not its request's",
	[VXHS_RULE_EVENT] = "an event was not negotiated or is malformed",
	[VXHS_RULE_BODY] = "a body is malformed",
	[VXHS_RULE_NAME] = "the vdisk name is empty, too long or has a NUL in it",
	[VXHS_RULE_OFFER] = "the choice in the STAT reply is malformed",
	[VXHS_RULE_VERSION] = "the two ends have no protocol version in common",
	[VXHS_RULE_FEATURES] = "LOGIN repeats other features than STAT agreed on",
	[VXHS_RULE_MAX_INFLIGHT] = "max_inflight is 0 or was exceeded",
	[VXHS_RULE_MAX_INFLIGHT_BYTES] =
		"max_inflight_bytes is below max_io or was exceeded",
	[VXHS_RULE_MAX_IO] = "max_io is below 131072 or no multiple of 4096",
	[VXHS_RULE_KATO] = "kato is not from 200 ms to one hour",
	[VXHS_RULE_HANDLE] = "handle is 0 or another vdisk's",
	[VXHS_RULE_LOGICAL_BLOCK] =
		"logical_block is not a power of two from 512 to 4096",
	[VXHS_RULE_PHYSICAL_BLOCK] =
		"physical_block is not a power of two from logical_block to 1 MiB",
	[VXHS_RULE_SIZE] =
		"size is 0, too large or not a multiple of logical_block",
	[VXHS_RULE_IO_MIN] = "io_min is no multiple of logical_block up to 64 MiB",
	[VXHS_RULE_IO_OPT] = "io_opt is no multiple of logical_block up to 64 MiB",
	[VXHS_RULE_MAX_DISCARD] =
		"max_discard is unaligned or below granularity or physical_block",
	[VXHS_RULE_MAX_WRITE_ZEROES] =
		"max_write_zeroes is 0 or no multiple of logical_block",
	[VXHS_RULE_DISCARD_GRANULARITY] =
		"discard_granularity is no power of two from logical_block up",
	[VXHS_RULE_V34_MARKER] = "a v34 header begins with a wrong marker",
	[VXHS_RULE_V34_COOKIE] =
		"a v34 reply names a cookie that is not in flight on this lane",
	[VXHS_RULE_V34_KVSET] = "the v34 STAT reply has no valid vdisk_size_bytes",
	[VXHS_RULE_INSTANCE] =
		"lanes of one epoch reached different servers or instances",
};

/**
 * vxhs_rule_text - what a rule says, in words for a log line
 * @rule: any value
 *
 * Return: a constant string, never NULL
 */
const char *vxhs_rule_text(enum vxhs_rule rule)
{
	if ((unsigned int)rule >= VXHS_RULE_MAX || !rule_texts[rule])
		return "an unknown rule was broken";
	return rule_texts[rule];
}

static const char * const status_texts[] = {
	[VXHS_ST_OK] = "ok",
	[VXHS_ST_IO] = "medium error",
	[VXHS_ST_INVALID] = "invalid request",
	[VXHS_ST_NOT_FOUND] = "no such vdisk",
	[VXHS_ST_DENIED] = "denied",
	[VXHS_ST_READ_ONLY] = "read-only",
	[VXHS_ST_NO_SPACE] = "no space left",
	[VXHS_ST_BUSY] = "exclusively open elsewhere",
	[VXHS_ST_STALE] = "stale epoch or lease",
	[VXHS_ST_UNSUPPORTED] = "not supported",
	[VXHS_ST_AGAIN] = "not yet, ask again",
	[VXHS_ST_GOING_AWAY] = "server is going away",
	[VXHS_ST_NO_SESSION] = "session or handle unknown",
	[VXHS_ST_BAD_CRC] = "payload damaged on the way",
};

/**
 * vxhs_status_text - what a status of section 4 says
 * @status: as on the wire, any value
 *
 * Return: a constant string, never NULL
 */
const char *vxhs_status_text(u16 status)
{
	if (status >= ARRAY_SIZE(status_texts))
		return "unknown status";
	return status_texts[status];
}

/**
 * vxhs_opcode_name - the protocol's name of a native opcode
 * @opcode: as on the wire, any value
 *
 * Return: a constant string, never NULL
 */
const char *vxhs_opcode_name(u8 opcode)
{
	switch (opcode) {
	case VXHS_OP_LOGIN: return "LOGIN";
	case VXHS_OP_OPEN: return "OPEN";
	case VXHS_OP_CLOSE: return "CLOSE";
	case VXHS_OP_PING: return "PING";
	case VXHS_OP_LOGOUT: return "LOGOUT";
	case VXHS_OP_READ: return "READ";
	case VXHS_OP_WRITE: return "WRITE";
	case VXHS_OP_FLUSH: return "FLUSH";
	case VXHS_OP_DISCARD: return "DISCARD";
	case VXHS_OP_WRITE_ZEROES: return "WRITE_ZEROES";
	}
	return "unknown opcode";
}

/**
 * vxhs_wire_crc_more - CRC32C of bytes that follow others
 * @crc: of what came before, 0 for nothing
 * @buf: the bytes
 * @len: how many
 *
 * Return: the CRC of all of them
 */
u32 vxhs_wire_crc_more(u32 crc, const void *buf, size_t len)
{
#ifdef __KERNEL__
	return ~crc32c(~crc, buf, len);
#else
	return ~crc32_iscsi((unsigned char *)buf, (int)len, ~crc);
#endif
}

/**
 * vxhs_wire_crc - CRC32C (Castagnoli) as the protocol has it
 * @buf: bytes
 * @len: how many
 *
 * Return: the CRC, initial value and final inversion included
 */
u32 vxhs_wire_crc(const void *buf, size_t len)
{
	return vxhs_wire_crc_more(0, buf, len);
}

/* Both headers end with their CRC. */
static u32 header_crc(const void *hdr, size_t size)
{
	return vxhs_wire_crc(hdr, size - sizeof(__le32));
}

/* Section 1: LOGIN is protected always, the rest where it was agreed on. */
static bool has_header_crc(u8 opcode, bool event, u64 features)
{
	return (features & VXHS_F_HEADER_CRC) ||
	       (!event && opcode == VXHS_OP_LOGIN);
}

/**
 * vxhs_put_request - encode a native request header
 * @hdr: where to
 * @req: what
 * @features: those agreed on for the lane
 */
void vxhs_put_request(struct vxhs_req_hdr *hdr, const struct vxhs_request *req,
		      u64 features)
{
	hdr->magic = cpu_to_le32(VXHS_REQ_MAGIC);
	hdr->opcode = req->opcode;
	hdr->flags = req->flags;
	hdr->prio = cpu_to_le16(req->prio);
	hdr->tag = cpu_to_le64(req->tag);
	hdr->handle = cpu_to_le32(req->handle);
	hdr->length = cpu_to_le32(req->length);
	hdr->offset = cpu_to_le64(req->offset);
	hdr->payload_len = cpu_to_le32(req->payload_len);
	hdr->payload_crc = cpu_to_le32(req->payload_crc);
	hdr->reserved = 0;
	hdr->header_crc = 0;
	if (has_header_crc(req->opcode, false, features))
		hdr->header_crc = cpu_to_le32(header_crc(hdr, sizeof(*hdr)));
}

static bool request_payload_ok(const struct vxhs_request *req)
{
	switch (req->opcode) {
	case VXHS_OP_LOGIN:
		return req->payload_len == sizeof(struct vxhs_login_req);
	case VXHS_OP_OPEN:
		return req->payload_len > sizeof(struct vxhs_open_req) &&
		       req->payload_len <= VXHS_OPEN_BODY_MAX;
	case VXHS_OP_WRITE:
		return req->payload_len == req->length;
	default:
		return !req->payload_len;
	}
}

/**
 * vxhs_get_request - decode and check a native request header
 * @hdr: as it came
 * @features: those agreed on for the lane
 * @req: the result
 *
 * An unknown opcode without a payload passes: it is answered UNSUPPORTED.
 *
 * Return: VXHS_RULE_OK, or the rule whose breach ends the lane (section 5.6)
 */
enum vxhs_rule vxhs_get_request(const struct vxhs_req_hdr *hdr, u64 features,
				struct vxhs_request *req)
{
	if (le32_to_cpu(hdr->magic) != VXHS_REQ_MAGIC)
		return VXHS_RULE_MAGIC;
	if (has_header_crc(hdr->opcode, false, features) &&
	    le32_to_cpu(hdr->header_crc) !=
	    header_crc(hdr, sizeof(*hdr)))
		return VXHS_RULE_HEADER_CRC;
	if (hdr->reserved)
		return VXHS_RULE_RESERVED;

	req->opcode = hdr->opcode;
	req->flags = hdr->flags;
	req->prio = le16_to_cpu(hdr->prio);
	req->tag = le64_to_cpu(hdr->tag);
	req->handle = le32_to_cpu(hdr->handle);
	req->length = le32_to_cpu(hdr->length);
	req->offset = le64_to_cpu(hdr->offset);
	req->payload_len = le32_to_cpu(hdr->payload_len);
	req->payload_crc = le32_to_cpu(hdr->payload_crc);

	return request_payload_ok(req) ? VXHS_RULE_OK : VXHS_RULE_PAYLOAD_LEN;
}

/**
 * vxhs_put_reply - encode a native reply or event header
 * @hdr: where to
 * @rsp: what
 * @features: those agreed on for the lane
 */
void vxhs_put_reply(struct vxhs_rsp_hdr *hdr, const struct vxhs_reply *rsp,
		    u64 features)
{
	hdr->magic = cpu_to_le32(rsp->event ? VXHS_EVT_MAGIC : VXHS_RSP_MAGIC);
	hdr->opcode = rsp->opcode;
	hdr->flags = 0;
	hdr->status = cpu_to_le16(rsp->status);
	hdr->tag = cpu_to_le64(rsp->tag);
	hdr->payload_len = cpu_to_le32(rsp->payload_len);
	hdr->payload_crc = cpu_to_le32(rsp->payload_crc);
	hdr->server_us = cpu_to_le32(rsp->server_us);
	hdr->header_crc = 0;
	if (has_header_crc(rsp->opcode, rsp->event, features))
		hdr->header_crc = cpu_to_le32(header_crc(hdr, sizeof(*hdr)));
}

/**
 * vxhs_get_reply - decode and check a native reply or event header
 * @hdr: as it came
 * @features: those agreed on for the lane
 * @rsp: the result
 *
 * What can be checked without the request is checked here, the rest by
 * vxhs_check_reply().
 *
 * Return: VXHS_RULE_OK, or the rule that was broken
 */
enum vxhs_rule vxhs_get_reply(const struct vxhs_rsp_hdr *hdr, u64 features,
			      struct vxhs_reply *rsp)
{
	u32 magic = le32_to_cpu(hdr->magic);

	if (magic != VXHS_RSP_MAGIC && magic != VXHS_EVT_MAGIC)
		return VXHS_RULE_MAGIC;

	rsp->event = magic == VXHS_EVT_MAGIC;
	rsp->opcode = hdr->opcode;
	if (has_header_crc(rsp->opcode, rsp->event, features) &&
	    le32_to_cpu(hdr->header_crc) !=
	    header_crc(hdr, sizeof(*hdr)))
		return VXHS_RULE_HEADER_CRC;
	if (hdr->flags)
		return VXHS_RULE_RESERVED;

	rsp->status = le16_to_cpu(hdr->status);
	rsp->tag = le64_to_cpu(hdr->tag);
	rsp->payload_len = le32_to_cpu(hdr->payload_len);
	rsp->payload_crc = le32_to_cpu(hdr->payload_crc);
	rsp->server_us = le32_to_cpu(hdr->server_us);

	if (rsp->event) {
		/* No event of version 1 has a payload. */
		if (!(features & VXHS_F_EVENTS) || rsp->payload_len)
			return VXHS_RULE_EVENT;
	} else if (rsp->status && rsp->payload_len) {
		return VXHS_RULE_STATUS_PAYLOAD;
	}
	return VXHS_RULE_OK;
}

/**
 * vxhs_check_reply - check a reply against the request it names
 * @rsp: the reply, from vxhs_get_reply()
 * @opcode: the request's
 * @length: the request's, bytes; used for READ
 *
 * Return: VXHS_RULE_OK, or the rule that was broken
 */
enum vxhs_rule vxhs_check_reply(const struct vxhs_reply *rsp, u8 opcode,
				u32 length)
{
	u32 expect = 0;

	if (rsp->opcode != opcode)
		return VXHS_RULE_OPCODE;
	if (rsp->status)
		return VXHS_RULE_OK;

	switch (opcode) {
	case VXHS_OP_READ:
		expect = length;
		break;
	case VXHS_OP_FLUSH:
		expect = sizeof(struct vxhs_flush_rsp);
		break;
	case VXHS_OP_LOGIN:
		expect = sizeof(struct vxhs_login_rsp);
		break;
	case VXHS_OP_OPEN:
		expect = sizeof(struct vxhs_open_rsp);
		break;
	}
	return rsp->payload_len == expect ? VXHS_RULE_OK :
					    VXHS_RULE_PAYLOAD_LEN;
}

/**
 * vxhs_check_io - may this I/O be done on a vdisk of this shape?
 * @req: READ, WRITE, DISCARD or WRITE_ZEROES
 * @size: of the vdisk, bytes
 * @logical_block: of the vdisk, bytes, a power of two
 * @max_io: bytes of one READ or WRITE
 *
 * Return: VXHS_ST_OK or VXHS_ST_INVALID (section 5.6)
 */
enum vxhs_status vxhs_check_io(const struct vxhs_request *req, u64 size,
			       u32 logical_block, u32 max_io)
{
	if (!req->length || ((req->length | req->offset) & (logical_block - 1)))
		return VXHS_ST_INVALID;
	if (req->offset > size || req->length > size - req->offset)
		return VXHS_ST_INVALID;
	if ((req->opcode == VXHS_OP_READ || req->opcode == VXHS_OP_WRITE) &&
	    req->length > max_io)
		return VXHS_ST_INVALID;
	return VXHS_ST_OK;
}

/**
 * vxhs_put_login - encode LOGIN's body
 * @body: where to
 * @in: what
 */
void vxhs_put_login(struct vxhs_login_req *body, const struct vxhs_login *in)
{
	memset(body, 0, sizeof(*body));
	memcpy(body->host_id, in->host_id, sizeof(body->host_id));
	body->session_id = cpu_to_le64(in->session_id);
	body->epoch = cpu_to_le32(in->epoch);
	body->lane = cpu_to_le16(in->lane);
	body->lane_count = cpu_to_le16(in->lane_count);
	body->kato_ms = cpu_to_le32(in->kato_ms);
	body->min_version = cpu_to_le16(in->min_version);
	body->max_version = cpu_to_le16(in->max_version);
	body->features = cpu_to_le64(in->features);
}

/**
 * vxhs_get_login - decode and check LOGIN's body
 * @body: as it came
 * @out: the result
 *
 * Return: VXHS_RULE_OK or the rule that was broken
 */
enum vxhs_rule vxhs_get_login(const struct vxhs_login_req *body,
			      struct vxhs_login *out)
{
	memcpy(out->host_id, body->host_id, sizeof(out->host_id));
	out->session_id = le64_to_cpu(body->session_id);
	out->epoch = le32_to_cpu(body->epoch);
	out->lane = le16_to_cpu(body->lane);
	out->lane_count = le16_to_cpu(body->lane_count);
	out->kato_ms = le32_to_cpu(body->kato_ms);
	out->min_version = le16_to_cpu(body->min_version);
	out->max_version = le16_to_cpu(body->max_version);
	out->features = le64_to_cpu(body->features);

	if (!out->epoch || !out->lane_count || out->lane >= out->lane_count)
		return VXHS_RULE_BODY;
	if (out->min_version > out->max_version)
		return VXHS_RULE_VERSION;
	return VXHS_RULE_OK;
}

/**
 * vxhs_put_grant - encode the body of LOGIN's reply
 * @body: where to
 * @in: what
 */
void vxhs_put_grant(struct vxhs_login_rsp *body, const struct vxhs_grant *in)
{
	memset(body, 0, sizeof(*body));
	memcpy(body->server_id, in->server_id, sizeof(body->server_id));
	body->instance = cpu_to_le64(in->instance);
	body->max_inflight = cpu_to_le32(in->max_inflight);
	body->max_inflight_bytes = cpu_to_le32(in->max_inflight_bytes);
	body->max_io = cpu_to_le32(in->max_io);
	body->kato_ms = cpu_to_le32(in->kato_ms);
	body->version = cpu_to_le16(in->version);
	body->features = cpu_to_le64(in->features);
}

/**
 * vxhs_get_grant - decode and check the body of LOGIN's reply
 * @body: as it came
 * @offered: the features agreed on in STAT, which LOGIN must repeat
 * @out: the result
 *
 * Return: VXHS_RULE_OK, or the rule that names the field
 */
enum vxhs_rule vxhs_get_grant(const struct vxhs_login_rsp *body, u64 offered,
			      struct vxhs_grant *out)
{
	memcpy(out->server_id, body->server_id, sizeof(out->server_id));
	out->instance = le64_to_cpu(body->instance);
	out->max_inflight = le32_to_cpu(body->max_inflight);
	out->max_inflight_bytes = le32_to_cpu(body->max_inflight_bytes);
	out->max_io = le32_to_cpu(body->max_io);
	out->kato_ms = le32_to_cpu(body->kato_ms);
	out->version = le16_to_cpu(body->version);
	out->features = le64_to_cpu(body->features);

	if (out->version != VXHS_VERSION)
		return VXHS_RULE_VERSION;
	if (out->features != offered)
		return VXHS_RULE_FEATURES;
	if (!out->max_inflight)
		return VXHS_RULE_MAX_INFLIGHT;
	if (out->max_io < VXHS_MIN_MAX_IO || out->max_io % VXHS_BLOCK_MAX)
		return VXHS_RULE_MAX_IO;
	if (out->max_inflight_bytes < out->max_io)
		return VXHS_RULE_MAX_INFLIGHT_BYTES;
	if (out->kato_ms < VXHS_KATO_FLOOR || out->kato_ms > VXHS_KATO_MAX)
		return VXHS_RULE_KATO;
	return VXHS_RULE_OK;
}

/**
 * vxhs_put_open - encode OPEN's body
 * @body: where to, room for VXHS_OPEN_BODY_MAX bytes
 * @in: what; its name has 1 to VXHS_NAME_MAX bytes
 *
 * Return: the body's length in bytes
 */
size_t vxhs_put_open(void *body, const struct vxhs_open *in)
{
	struct vxhs_open_req *o = body;
	size_t name_len = strnlen(in->name, VXHS_NAME_MAX);

	o->mode = cpu_to_le32(in->mode);
	o->options = cpu_to_le32(in->options);
	o->lease = cpu_to_le64(in->lease);
	o->name_len = cpu_to_le16((u16)name_len);
	memcpy((u8 *)body + sizeof(*o), in->name, name_len);
	return sizeof(*o) + name_len;
}

/**
 * vxhs_get_open - decode and check OPEN's body
 * @body: as it came
 * @len: its bytes, from payload_len
 * @out: the result
 *
 * Return: VXHS_RULE_OK or the rule that was broken
 */
enum vxhs_rule vxhs_get_open(const void *body, size_t len,
			     struct vxhs_open *out)
{
	const struct vxhs_open_req *o = body;
	const u8 *name = (const u8 *)body + sizeof(*o);
	size_t name_len;

	if (len < sizeof(*o) || len > VXHS_OPEN_BODY_MAX)
		return VXHS_RULE_BODY;
	name_len = le16_to_cpu(o->name_len);
	if (name_len != len - sizeof(*o))
		return VXHS_RULE_BODY;
	if (!name_len || memchr(name, 0, name_len))
		return VXHS_RULE_NAME;

	out->mode = le32_to_cpu(o->mode);
	out->options = le32_to_cpu(o->options);
	out->lease = le64_to_cpu(o->lease);
	memset(out->name, 0, sizeof(out->name));
	memcpy(out->name, name, name_len);

	if (out->mode > VXHS_OPEN_RW_SHARED ||
	    (out->options & ~(u32)VXHS_OPEN_TAKE_OVER))
		return VXHS_RULE_BODY;
	return VXHS_RULE_OK;
}

/**
 * vxhs_put_geometry - encode the body of OPEN's reply
 * @body: where to
 * @in: what
 */
void vxhs_put_geometry(struct vxhs_open_rsp *body,
		       const struct vxhs_geometry *in)
{
	body->handle = cpu_to_le32(in->handle);
	body->caps = cpu_to_le32(in->caps);
	body->size = cpu_to_le64(in->size);
	body->logical_block = cpu_to_le32(in->logical_block);
	body->physical_block = cpu_to_le32(in->physical_block);
	body->io_min = cpu_to_le32(in->io_min);
	body->io_opt = cpu_to_le32(in->io_opt);
	body->max_discard = cpu_to_le32(in->max_discard);
	body->max_write_zeroes = cpu_to_le32(in->max_write_zeroes);
	body->discard_granularity = cpu_to_le32(in->discard_granularity);
	body->reserved = 0;
	memcpy(body->vdisk_id, in->vdisk_id, sizeof(body->vdisk_id));
	body->verifier = cpu_to_le64(in->verifier);
	body->lease = cpu_to_le64(in->lease);
}

static enum vxhs_rule check_geometry(const struct vxhs_geometry *g)
{
	u32 mask = g->logical_block - 1;

	if (!g->handle)
		return VXHS_RULE_HANDLE;
	if (!is_power_of_2(g->logical_block) || g->logical_block < 512 ||
	    g->logical_block > VXHS_BLOCK_MAX)
		return VXHS_RULE_LOGICAL_BLOCK;
	if (!is_power_of_2(g->physical_block) ||
	    g->physical_block < g->logical_block ||
	    g->physical_block > VXHS_PHYSICAL_BLOCK_MAX)
		return VXHS_RULE_PHYSICAL_BLOCK;
	/* Offsets are signed in every block layer. */
	if (!g->size || (g->size & mask) || g->size >> 63)
		return VXHS_RULE_SIZE;
	if ((g->io_min & mask) || g->io_min > VXHS_IO_HINT_MAX)
		return VXHS_RULE_IO_MIN;
	if ((g->io_opt & mask) || g->io_opt > VXHS_IO_HINT_MAX)
		return VXHS_RULE_IO_OPT;
	if (g->caps & VXHS_CAP_DISCARD) {
		if (!is_power_of_2(g->discard_granularity) ||
		    g->discard_granularity < g->logical_block)
			return VXHS_RULE_DISCARD_GRANULARITY;
		if ((g->max_discard & mask) ||
		    g->max_discard < g->discard_granularity ||
		    g->max_discard < g->physical_block)
			return VXHS_RULE_MAX_DISCARD;
	}
	if ((g->caps & VXHS_CAP_WRITE_ZEROES) &&
	    (!g->max_write_zeroes || (g->max_write_zeroes & mask)))
		return VXHS_RULE_MAX_WRITE_ZEROES;
	return VXHS_RULE_OK;
}

/**
 * vxhs_get_geometry - decode and check the body of OPEN's reply
 * @body: as it came
 * @out: the result
 *
 * Return: VXHS_RULE_OK, or the rule that names the field
 */
enum vxhs_rule vxhs_get_geometry(const struct vxhs_open_rsp *body,
				 struct vxhs_geometry *out)
{
	out->handle = le32_to_cpu(body->handle);
	out->caps = le32_to_cpu(body->caps);
	out->size = le64_to_cpu(body->size);
	out->logical_block = le32_to_cpu(body->logical_block);
	out->physical_block = le32_to_cpu(body->physical_block);
	out->io_min = le32_to_cpu(body->io_min);
	out->io_opt = le32_to_cpu(body->io_opt);
	out->max_discard = le32_to_cpu(body->max_discard);
	out->max_write_zeroes = le32_to_cpu(body->max_write_zeroes);
	out->discard_granularity = le32_to_cpu(body->discard_granularity);
	memcpy(out->vdisk_id, body->vdisk_id, sizeof(out->vdisk_id));
	out->verifier = le64_to_cpu(body->verifier);
	out->lease = le64_to_cpu(body->lease);
	return check_geometry(out);
}

/**
 * vxhs_v34_put - encode a v34 header, trailer zero
 * @hdr: where to
 * @msg: what
 */
void vxhs_v34_put(struct vxhs_v34_hdr *hdr, const struct vxhs_v34_msg *msg)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->marker = cpu_to_le32(VXHS_V34_MARKER);
	hdr->payload_size = cpu_to_le64(msg->payload_size);
	hdr->data_type = cpu_to_le32(msg->data_type);
	hdr->err = cpu_to_le32((u32)msg->err);
	hdr->cookie = cpu_to_le64(msg->cookie);
	hdr->crc = msg->cookie & 0xff;
	hdr->opcode = cpu_to_le16(msg->opcode);
	hdr->io_offset = cpu_to_le64(msg->io_offset);
	hdr->io_size = cpu_to_le64(msg->io_size);
	hdr->io_flags = cpu_to_le64(msg->io_flags);
	hdr->flags = cpu_to_le64(msg->flags);
	memcpy(hdr->target, msg->target,
	       strnlen(msg->target, VXHS_V34_TARGET_LEN - 1));
}

/**
 * vxhs_v34_get - decode a v34 header
 * @hdr: as it came
 * @msg: the result; a target without a NUL is cut at 63 bytes
 *
 * Return: VXHS_RULE_OK or VXHS_RULE_V34_MARKER
 */
enum vxhs_rule vxhs_v34_get(const struct vxhs_v34_hdr *hdr,
			    struct vxhs_v34_msg *msg)
{
	if (le32_to_cpu(hdr->marker) != VXHS_V34_MARKER)
		return VXHS_RULE_V34_MARKER;

	msg->payload_size = le64_to_cpu(hdr->payload_size);
	msg->data_type = le32_to_cpu(hdr->data_type);
	msg->err = (s32)le32_to_cpu(hdr->err);
	msg->cookie = le64_to_cpu(hdr->cookie);
	msg->opcode = le16_to_cpu(hdr->opcode);
	msg->io_offset = le64_to_cpu(hdr->io_offset);
	msg->io_size = le64_to_cpu(hdr->io_size);
	msg->io_flags = le64_to_cpu(hdr->io_flags);
	msg->flags = le64_to_cpu(hdr->flags);
	memcpy(msg->target, hdr->target, VXHS_V34_TARGET_LEN);
	msg->target[VXHS_V34_TARGET_LEN - 1] = '\0';
	return VXHS_RULE_OK;
}

/**
 * vxhs_v34_put_reply - make a v34 reply as existing servers do
 * @hdr: where to, may be @request itself
 * @request: the header it answers
 * @err: enum vxhs_v34_err
 * @payload_size: bytes that will follow; must be 0 where @err is not
 *
 * Echoes the request except err, sizes, data_type and flags.  A WRITE that
 * asked for SYNC gets SYNC_RESP, which existing clients wait for.  The
 * trailer is zero.
 */
void vxhs_v34_put_reply(struct vxhs_v34_hdr *hdr,
			const struct vxhs_v34_hdr *request, s32 err,
			u64 payload_size)
{
	bool sync = le64_to_cpu(request->flags) & VXHS_V34_SYNC_REQ;

	if (hdr != request)
		memcpy(hdr, request, sizeof(*hdr));
	hdr->payload_size = cpu_to_le64(payload_size);
	hdr->err = cpu_to_le32((u32)err);
	hdr->flags = cpu_to_le64(sync ? VXHS_V34_SYNC_RESP : VXHS_V34_RESP);
	hdr->io_flags = hdr->flags;
	switch (le16_to_cpu(request->opcode)) {
	case VXHS_V34_READ:
		hdr->data_type = cpu_to_le32(VXHS_V34_RAW);
		break;
	case VXHS_V34_STAT:
		hdr->data_type = cpu_to_le32(VXHS_V34_KVSET);
		break;
	}
	memset(hdr->trailer, 0, sizeof(hdr->trailer));
	memset(&hdr->offer, 0, sizeof(hdr->offer));
}

/**
 * vxhs_v34_check_reply - check a v34 reply against the request it names
 * @msg: the reply
 * @opcode: the request's
 * @length: the request's io_size, bytes; used for READ
 *
 * Return: VXHS_RULE_OK, or the rule that was broken
 */
enum vxhs_rule vxhs_v34_check_reply(const struct vxhs_v34_msg *msg, u16 opcode,
				    u64 length)
{
	if (msg->opcode != opcode)
		return VXHS_RULE_OPCODE;
	if (msg->err)
		return msg->payload_size ? VXHS_RULE_STATUS_PAYLOAD :
					   VXHS_RULE_OK;
	/* A set's length is its own; who reads it bounds it. */
	if (opcode == VXHS_V34_STAT)
		return VXHS_RULE_OK;
	if (opcode != VXHS_V34_READ)
		length = 0;
	return msg->payload_size == length ? VXHS_RULE_OK :
					     VXHS_RULE_PAYLOAD_LEN;
}

/**
 * vxhs_put_offer - write a client's offer into a STAT request's trailer
 * @o: the trailer's bytes 228..255
 * @min: lowest version
 * @max: highest version
 * @features: VXHS_F_*
 */
void vxhs_put_offer(struct vxhs_offer *o, u16 min, u16 max, u64 features)
{
	memset(o, 0, sizeof(*o));
	o->magic = cpu_to_le32(VXHS_OFFER_MAGIC);
	o->min_version = cpu_to_le16(min);
	o->max_version = cpu_to_le16(max);
	o->features = cpu_to_le64(features);
}

/**
 * vxhs_get_offer - is there an offer in a STAT request's trailer?
 * @o: the trailer's bytes 228..255
 * @min: lowest version offered
 * @max: highest version offered
 * @features: those offered, unknown bits included
 *
 * Return: true if there is
 */
bool vxhs_get_offer(const struct vxhs_offer *o, u16 *min, u16 *max,
		    u64 *features)
{
	if (le32_to_cpu(o->magic) != VXHS_OFFER_MAGIC)
		return false;
	*min = le16_to_cpu(o->min_version);
	*max = le16_to_cpu(o->max_version);
	*features = le64_to_cpu(o->features);
	return true;
}

/**
 * vxhs_put_choice - write a server's choice into a STAT reply's trailer
 * @o: the trailer's bytes 228..255
 * @version: the chosen one, 0 for none in common
 * @features: those accepted
 */
void vxhs_put_choice(struct vxhs_offer *o, u16 version, u64 features)
{
	vxhs_put_offer(o, version, version, features);
	o->magic = cpu_to_le32(VXHS_CHOICE_MAGIC);
}

/**
 * vxhs_get_choice - decode and check a server's choice
 * @o: bytes 228..255 of the STAT reply
 * @offered: the features that were offered
 * @version: the chosen one; 0 for a v34 server, which leaves zeros or an echo
 * @features: those accepted
 *
 * Return: VXHS_RULE_OK; VXHS_RULE_VERSION if the server has none in common
 * with us; VXHS_RULE_OFFER for an answer to something that was not offered
 */
enum vxhs_rule vxhs_get_choice(const struct vxhs_offer *o, u64 offered,
			       u16 *version, u64 *features)
{
	*version = 0;
	*features = 0;
	if (le32_to_cpu(o->magic) != VXHS_CHOICE_MAGIC)
		return VXHS_RULE_OK;

	if (o->min_version != o->max_version)
		return VXHS_RULE_OFFER;
	if (!o->min_version)
		return VXHS_RULE_VERSION;
	if (le16_to_cpu(o->min_version) != VXHS_VERSION ||
	    (le64_to_cpu(o->features) & ~offered))
		return VXHS_RULE_OFFER;
	*version = VXHS_VERSION;
	*features = le64_to_cpu(o->features);
	return VXHS_RULE_OK;
}

#define KVSET_MAGIC	0x50533130u	/* "PS10" */
#define KVSET_HEAD	12		/* magic, total length, count */
#define KVSET_UINT64	5
#define KVSET_INT64	4
#define SIZE_KEY	"vdisk_size_bytes"
#define SIZE_KEY_LEN	16

/**
 * vxhs_v34_put_size - encode the property set of a STAT reply
 * @set: where to
 * @size: of the vdisk, bytes
 *
 * Existing clients crash on any other type and need this key to be first.
 */
void vxhs_v34_put_size(u8 set[VXHS_SIZE_KVSET_LEN], u64 size)
{
	put_unaligned_be32(KVSET_MAGIC, set);
	put_unaligned_be32(VXHS_SIZE_KVSET_LEN, set + 4);
	put_unaligned_be32(1, set + 8);
	put_unaligned_be32(KVSET_UINT64, set + 12);
	put_unaligned_be32(SIZE_KEY_LEN, set + 16);
	memcpy(set + 20, SIZE_KEY, SIZE_KEY_LEN);
	put_unaligned_be32(0, set + 36);
	put_unaligned_be64(size, set + 40);
}

/* Bytes of a value, 0 if it cannot be told or does not fit. */
static size_t kvset_value_len(u32 type, const u8 *value, size_t left)
{
	u64 len;

	switch (type) {
	case 1:
		len = 1;
		break;
	case 2:
	case 3:
		len = 4;
		break;
	case KVSET_INT64:
	case KVSET_UINT64:
	case 0x10005:
		len = 8;
		break;
	case 6:
	case 8:
		if (left < 4)
			return 0;
		len = 4 + (u64)get_unaligned_be32(value);
		break;
	case 9:
		len = 16;
		break;
	default:
		/* Nested sets and arrays: nobody puts them before the size. */
		return 0;
	}
	return len <= left ? (size_t)len : 0;
}

/**
 * vxhs_v34_get_size - find vdisk_size_bytes in a STAT reply's property set
 * @set: the payload as it came
 * @len: its bytes
 * @size: of the vdisk, bytes
 *
 * Return: VXHS_RULE_OK or VXHS_RULE_V34_KVSET
 */
enum vxhs_rule vxhs_v34_get_size(const u8 *set, size_t len, u64 *size)
{
	size_t pos = KVSET_HEAD;
	u32 count;

	if (len < KVSET_HEAD || get_unaligned_be32(set) != KVSET_MAGIC ||
	    get_unaligned_be32(set + 4) != len)
		return VXHS_RULE_V34_KVSET;

	for (count = get_unaligned_be32(set + 8); count; count--) {
		u32 type, key_len;
		size_t value_len;
		const u8 *key;

		if (len - pos < 8)
			return VXHS_RULE_V34_KVSET;
		type = get_unaligned_be32(set + pos);
		key_len = get_unaligned_be32(set + pos + 4);
		pos += 8;
		if (len - pos < 4 || key_len > len - pos - 4)
			return VXHS_RULE_V34_KVSET;
		key = set + pos;
		pos += key_len + 4;

		value_len = kvset_value_len(type, set + pos, len - pos);
		if (!value_len)
			return VXHS_RULE_V34_KVSET;
		if ((type == KVSET_UINT64 || type == KVSET_INT64) &&
		    key_len == SIZE_KEY_LEN &&
		    !memcmp(key, SIZE_KEY, SIZE_KEY_LEN)) {
			*size = get_unaligned_be64(set + pos);
			return VXHS_RULE_OK;
		}
		pos += value_len;
	}
	return VXHS_RULE_V34_KVSET;
}
