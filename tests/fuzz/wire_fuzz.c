// SPDX-License-Identifier: GPL-2.0
/*
 * Every decoder of wire.c under libFuzzer, both dialects, both directions.
 *
 * The first byte chooses the decoder, the second what is put right before it
 * (magic, reserved field, CRC), so that mutation gets past the first check.
 * Each input lives in memory of exactly its size.  What a decoder accepts has
 * to keep what its description promises, and to come out of the encoder as it
 * was.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define FIX_MAGIC	(1 << 0)
#define FIX_RESERVED	(1 << 1)
#define FIX_CRC		(1 << 2)
#define FIX_EVENT	(1 << 3)
#define FEATURES(fix)	((u64)(fix) >> 4 & VXHS_FEATURES_ALL)

#define must(x) do { if (!(x)) __builtin_trap(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A struct of the wire from the input; what the input lacks is zero. */
#define FROM_INPUT(type, name) \
	type *name = calloc(1, sizeof(*name)); \
	must(name); \
	memcpy(name, data, size < sizeof(*name) ? size : sizeof(*name))

static bool is_block(u32 n)
{
	return n >= 512 && n <= VXHS_BLOCK_MAX && !(n & (n - 1));
}

/* Native headers */

static void check_io(const struct vxhs_request *req)
{
	static const u32 blocks[] = { 512, 1024, 2048, 4096 };
	u64 size = req->tag;
	u32 block = blocks[req->prio & 3];
	u32 max_io = req->handle;

	if (vxhs_check_io(req, size, block, max_io))
		return;
	must(req->length && !(req->length % block));
	must(!(req->offset % block));
	must(req->offset + req->length > req->offset);
	must(req->offset + req->length <= size);
	if (req->opcode == VXHS_OP_READ || req->opcode == VXHS_OP_WRITE)
		must(req->length <= max_io);
}

static void fuzz_request(const u8 *data, size_t size, u8 fix)
{
	u64 features = FEATURES(fix);
	struct vxhs_request req, again;
	struct vxhs_req_hdr out;

	FROM_INPUT(struct vxhs_req_hdr, hdr);
	if (fix & FIX_MAGIC)
		hdr->magic = htole32(VXHS_REQ_MAGIC);
	if (fix & FIX_RESERVED)
		hdr->reserved = 0;
	if (fix & FIX_CRC)
		hdr->header_crc = htole32(vxhs_wire_crc(hdr, 44));
	memset(&req, 0, sizeof(req));
	if (!vxhs_get_request(hdr, features, &req)) {
		vxhs_put_request(&out, &req, features);
		must(!memcmp(&out, hdr, 44));
		memset(&again, 0, sizeof(again));
		must(!vxhs_get_request(&out, features, &again));
		must(!memcmp(&again, &req, sizeof(req)));
		must(vxhs_opcode_name(req.opcode));
		check_io(&req);
	}
	free(hdr);
}

static void check_reply(const struct vxhs_reply *rsp, u8 opcode, u32 length)
{
	if (vxhs_check_reply(rsp, opcode, length))
		return;
	must(rsp->opcode == opcode);
	if (rsp->status)
		must(!rsp->payload_len);
	else if (opcode == VXHS_OP_READ)
		must(rsp->payload_len == length);
	else
		must(rsp->payload_len <= sizeof(struct vxhs_open_rsp));
}

static void fuzz_reply(const u8 *data, size_t size, u8 fix)
{
	u64 features = FEATURES(fix);
	struct vxhs_reply rsp, again;
	struct vxhs_rsp_hdr out;

	FROM_INPUT(struct vxhs_rsp_hdr, hdr);
	if (fix & FIX_MAGIC)
		hdr->magic = htole32(fix & FIX_EVENT ? VXHS_EVT_MAGIC :
						       VXHS_RSP_MAGIC);
	if (fix & FIX_RESERVED)
		hdr->flags = 0;
	if (fix & FIX_CRC)
		hdr->header_crc = htole32(vxhs_wire_crc(hdr, 28));
	memset(&rsp, 0, sizeof(rsp));
	if (!vxhs_get_reply(hdr, features, &rsp)) {
		vxhs_put_reply(&out, &rsp, features);
		must(!memcmp(&out, hdr, 28));
		memset(&again, 0, sizeof(again));
		must(!vxhs_get_reply(&out, features, &again));
		must(!memcmp(&again, &rsp, sizeof(rsp)));
		must(!rsp.event || !rsp.payload_len);
		must(!rsp.event || (features & VXHS_F_EVENTS));
		must(vxhs_status_text(rsp.status));
		if (!rsp.event) {
			check_reply(&rsp, rsp.opcode, rsp.server_us);
			check_reply(&rsp, (u8)rsp.tag, (u32)(rsp.tag >> 8));
		}
	}
	free(hdr);
}

/* Native bodies */

static void fuzz_login(const u8 *data, size_t size)
{
	struct vxhs_login in, again;
	struct vxhs_login_req out;

	FROM_INPUT(struct vxhs_login_req, body);
	memset(&in, 0, sizeof(in));
	if (!vxhs_get_login(body, &in)) {
		must(in.epoch && in.lane < in.lane_count);
		vxhs_put_login(&out, &in);
		must(!memcmp(&out, body, offsetof(struct vxhs_login_req, zero)));
		memset(&again, 0, sizeof(again));
		must(!vxhs_get_login(&out, &again));
		must(!memcmp(&again, &in, sizeof(in)));
	}
	free(body);
}

static void fuzz_grant(const u8 *data, size_t size, u8 fix)
{
	u64 offered = FEATURES(fix);
	struct vxhs_grant in, again;
	struct vxhs_login_rsp out;

	FROM_INPUT(struct vxhs_login_rsp, body);
	if (fix & FIX_MAGIC) {
		body->version = htole16(VXHS_VERSION);
		body->features = htole64(offered);
	}
	memset(&in, 0, sizeof(in));
	if (!vxhs_get_grant(body, offered, &in)) {
		must(in.max_inflight && in.max_io >= VXHS_MIN_MAX_IO);
		must(in.max_inflight_bytes >= in.max_io);
		must(in.kato_ms >= VXHS_KATO_FLOOR);
		must(in.kato_ms <= VXHS_KATO_MAX);
		must(in.features == offered);
		vxhs_put_grant(&out, &in);
		must(!memcmp(&out, body,
			     offsetof(struct vxhs_login_rsp, reserved)));
		memset(&again, 0, sizeof(again));
		must(!vxhs_get_grant(&out, offered, &again));
		must(!memcmp(&again, &in, sizeof(in)));
	}
	free(body);
}

static void fuzz_open(const u8 *data, size_t size, u8 fix)
{
	u8 out[VXHS_OPEN_BODY_MAX];
	u8 *body = malloc(size);
	struct vxhs_open in;

	must(body || !size);
	if (size)
		memcpy(body, data, size);
	if ((fix & FIX_MAGIC) && size >= sizeof(struct vxhs_open_req)) {
		struct vxhs_open_req *o = (void *)body;

		o->name_len = htole16((u16)(size - sizeof(*o)));
		o->mode = htole32(le32toh(o->mode) & 3);
		o->options = htole32(le32toh(o->options) & 1);
	}
	memset(&in, 0, sizeof(in));
	if (!vxhs_get_open(body, size, &in)) {
		must(strnlen(in.name, sizeof(in.name)) < sizeof(in.name));
		must(*in.name && in.mode <= VXHS_OPEN_RW_SHARED);
		must(vxhs_put_open(out, &in) == size);
		must(!memcmp(out, body, size));
	}
	free(body);
}

static void fuzz_geometry(const u8 *data, size_t size, u8 fix)
{
	struct vxhs_geometry in, again;
	struct vxhs_open_rsp out;

	FROM_INPUT(struct vxhs_open_rsp, body);
	if (fix & FIX_MAGIC) {
		/* Powers of two are rare among random numbers. */
		body->logical_block = htole32(1u << (fix >> 4 & 15));
		body->physical_block =
			htole32(1u << (le32toh(body->physical_block) & 31));
		body->discard_granularity =
			htole32(1u << (le32toh(body->discard_granularity) & 31));
	}
	if (fix & FIX_RESERVED) {
		body->size = htole64(le64toh(body->size) & ~4095ULL);
		body->io_min = htole32(le32toh(body->io_min) & ~4095u);
		body->io_opt = htole32(le32toh(body->io_opt) & ~4095u);
	}
	memset(&in, 0, sizeof(in));
	if (!vxhs_get_geometry(body, &in)) {
		must(in.handle && is_block(in.logical_block));
		must(in.physical_block >= in.logical_block);
		must(in.physical_block <= VXHS_PHYSICAL_BLOCK_MAX);
		must(in.size && !(in.size % in.logical_block));
		must((long long)in.size > 0);
		must(in.io_min <= VXHS_IO_HINT_MAX);
		must(in.io_opt <= VXHS_IO_HINT_MAX);
		if (in.caps & VXHS_CAP_DISCARD)
			must(in.max_discard >= in.discard_granularity);
		if (in.caps & VXHS_CAP_WRITE_ZEROES)
			must(in.max_write_zeroes >= in.logical_block);
		body->reserved = 0;
		vxhs_put_geometry(&out, &in);
		must(!memcmp(&out, body, sizeof(out)));
		memset(&again, 0, sizeof(again));
		must(!vxhs_get_geometry(&out, &again));
		must(!memcmp(&again, &in, sizeof(in)));
	}
	free(body);
}

/* v34 */

static void check_v34_reply(const struct vxhs_v34_msg *msg, u16 opcode,
			    u64 length)
{
	if (vxhs_v34_check_reply(msg, opcode, length))
		return;
	must(msg->opcode == opcode);
	if (msg->err)
		must(!msg->payload_size);
	else if (opcode == VXHS_V34_READ)
		must(msg->payload_size == length);
	else if (opcode != VXHS_V34_STAT)
		must(!msg->payload_size);
}

static void answer_v34(const struct vxhs_v34_hdr *hdr,
		       const struct vxhs_v34_msg *req, u8 fix)
{
	s32 err = fix & FIX_EVENT ? VXHS_V34_ENOENT : VXHS_V34_OK;
	u64 len = !err && req->opcode == VXHS_V34_READ ? req->io_size : 0;
	struct vxhs_v34_hdr apart, there = *hdr;
	struct vxhs_v34_msg rsp;
	u64 features;
	u16 version;

	vxhs_v34_put_reply(&apart, hdr, err, len);
	vxhs_v34_put_reply(&there, &there, err, len);
	must(!memcmp(&apart, &there, sizeof(apart)));
	must(!vxhs_v34_get(&apart, &rsp));
	must(rsp.cookie == req->cookie && rsp.opcode == req->opcode);
	must(!vxhs_v34_check_reply(&rsp, req->opcode, req->io_size));
	must(!vxhs_get_choice(&apart.offer, ~0ULL, &version, &features));
	must(!version);
}

static void fuzz_v34(const u8 *data, size_t size, u8 fix)
{
	struct vxhs_v34_msg msg, again;
	struct vxhs_v34_hdr out;

	FROM_INPUT(struct vxhs_v34_hdr, hdr);
	if (fix & FIX_MAGIC)
		hdr->marker = htole32(VXHS_V34_MARKER);
	if (!vxhs_v34_get(hdr, &msg)) {
		must(strnlen(msg.target, sizeof(msg.target)) <
		     sizeof(msg.target));
		vxhs_v34_put(&out, &msg);
		must(!vxhs_v34_get(&out, &again));
		must(!strcmp(again.target, msg.target));
		must(again.payload_size == msg.payload_size);
		must(again.cookie == msg.cookie);
		must(again.io_offset == msg.io_offset);
		must(again.io_size == msg.io_size);
		must(again.io_flags == msg.io_flags);
		must(again.flags == msg.flags);
		must(again.data_type == msg.data_type);
		must(again.err == msg.err && again.opcode == msg.opcode);
		check_v34_reply(&msg, msg.opcode, msg.io_size);
		check_v34_reply(&msg, (u16)msg.io_offset, msg.io_size);
		answer_v34(hdr, &msg, fix);
	}
	free(hdr);
}

static void fuzz_offer(const u8 *data, size_t size, u8 fix)
{
	struct vxhs_offer out;
	u64 features;
	u16 min, max;

	FROM_INPUT(struct vxhs_offer, offer);
	if (fix & FIX_MAGIC)
		offer->magic = htole32(VXHS_OFFER_MAGIC);
	if (vxhs_get_offer(offer, &min, &max, &features)) {
		vxhs_put_offer(&out, min, max, features);
		must(!memcmp(&out, offer, offsetof(struct vxhs_offer, zero)));
	}
	free(offer);
}

static void fuzz_choice(const u8 *data, size_t size, u8 fix)
{
	u64 offered = FEATURES(fix), features;
	enum vxhs_rule rule;
	struct vxhs_offer out;
	u16 version;

	FROM_INPUT(struct vxhs_offer, choice);
	if (fix & FIX_MAGIC)
		choice->magic = htole32(VXHS_CHOICE_MAGIC);
	rule = vxhs_get_choice(choice, offered, &version, &features);
	must(vxhs_rule_text(rule));
	must(!version || version == VXHS_VERSION);
	must(!(features & ~offered));
	must(!rule || !version);
	if (version) {
		vxhs_put_choice(&out, version, features);
		must(!memcmp(&out, choice, offsetof(struct vxhs_offer, zero)));
	}
	free(choice);
}

static void fuzz_size(const u8 *data, size_t size, u8 fix)
{
	u8 set[VXHS_SIZE_KVSET_LEN];
	u8 *in = malloc(size);
	u64 value, again;

	must(in || !size);
	if (size)
		memcpy(in, data, size);
	if ((fix & FIX_MAGIC) && size >= 8) {
		u32 len = htobe32((u32)size);

		memcpy(in, "PS10", 4);
		memcpy(in + 4, &len, 4);
	}
	if (!vxhs_v34_get_size(in, size, &value)) {
		vxhs_v34_put_size(set, value);
		must(!vxhs_v34_get_size(set, sizeof(set), &again));
		must(value == again);
	}
	free(in);
}

static void fuzz_words(const u8 *data, size_t size)
{
	u32 n = 0;

	memcpy(&n, data, size < 4 ? size : 4);
	must(vxhs_rule_text((enum vxhs_rule)n));
	must(vxhs_status_text((u16)n));
	must(vxhs_opcode_name((u8)n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u8 decoder, fix;

	if (size < 2)
		return 0;
	decoder = data[0];
	fix = data[1];
	data += 2;
	size -= 2;
	switch (decoder % 12) {
	case 0: fuzz_request(data, size, fix); break;
	case 1: fuzz_reply(data, size, fix); break;
	case 2: fuzz_login(data, size); break;
	case 3: fuzz_grant(data, size, fix); break;
	case 4: fuzz_open(data, size, fix); break;
	case 5: fuzz_geometry(data, size, fix); break;
	case 6: fuzz_v34(data, size, fix); break;
	case 7: fuzz_offer(data, size, fix); break;
	case 8: fuzz_choice(data, size, fix); break;
	case 9: fuzz_size(data, size, fix); break;
	case 10: fuzz_words(data, size); break;
	}
	return 0;
}
