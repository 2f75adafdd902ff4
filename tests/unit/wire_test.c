// SPDX-License-Identifier: GPL-2.0
/*
 * Both dialects' codecs against bytes that were not made by them: captured
 * v34 frames, hand-written native ones, and everything a peer may get wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Rows of 16 bytes as a hex dump shows them; rows left out are zero. */
struct row {
	int	at;
	u8	bytes[16];
};

static void fill(u8 *frame, size_t size, const struct row *rows, size_t n)
{
	memset(frame, 0, size);
	for (size_t i = 0; i < n; i++)
		memcpy(frame + rows[i].at, rows[i].bytes, 16);
}

/* Bit by bit, so that it shares nothing with what it checks. */
static u32 slow_crc(const void *buf, size_t len)
{
	const u8 *p = buf;
	u32 crc = ~0u;

	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static u32 seed = 20170401;

static u32 random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* CRC32C: the vectors of RFC 3720 B.4, and the usual one. */

static void crc_vectors(void **state)
{
	static const u8 read_pdu[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
	};
	u8 buf[32];

	(void)state;
	assert_int_equal(vxhs_wire_crc("123456789", 9), 0xe3069283);
	assert_int_equal(vxhs_wire_crc("", 0), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(vxhs_wire_crc(buf, 32), 0x8a9136aa);
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(vxhs_wire_crc(buf, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		buf[i] = (u8)i;
	assert_int_equal(vxhs_wire_crc(buf, 32), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		buf[i] = (u8)(31 - i);
	assert_int_equal(vxhs_wire_crc(buf, 32), 0x113fdb5c);
	assert_int_equal(vxhs_wire_crc(read_pdu, 48), 0xd9963a56);
}

static void crc_of_any_length(void **state)
{
	u8 buf[300];

	(void)state;
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)random_u32();
	for (size_t len = 0; len <= sizeof(buf); len++)
		assert_int_equal(vxhs_wire_crc(buf, len), slow_crc(buf, len));
}

/* QNIO v34: frames captured from existing clients and servers. */

static const struct row stat_request[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x10, { 0, 0, 0, 0, 4, 3, 2, 1, 0xef, 0xbe, 0xad, 0xde,
		  4, 0, 0xed, 3 } },
	{ 0x40, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x30 } },
	{ 0x60, "disk0" },
};

static const struct row stat_reply[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0x30, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x10, { 0, 0, 0, 0, 4, 3, 2, 1, 0xef, 0xbe, 0xad, 0xde,
		  4, 0, 0xed, 3 } },
	{ 0x40, { 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40 } },
	{ 0x60, "disk0" },
};

static const struct row write_request[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 2, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 0, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
		  0, 0, 0xff, 0x2f } },
	{ 0x20, { 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x40, { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9 } },
	{ 0x60, "disk0" },
};

static const struct row write_reply[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 0, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99,
		  0, 0, 0xff, 0x2f } },
	{ 0x20, { 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x40, { 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x60, "disk0" },
};

static const struct row read_request[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		  0x88, 0, 0xff, 0x1f } },
	{ 0x20, { 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x40, { 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x11 } },
	{ 0x60, "disk0" },
};

static const struct row read_reply[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 2, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		  0x88, 0, 0xff, 0x1f } },
	{ 0x20, { 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x40, { 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2 } },
	{ 0x60, "disk0" },
};

static const struct row ready_request[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 4, 3, 2, 1, 0xef, 0xbe, 0xad, 0xde,
		  4, 0, 0xe4, 7 } },
	{ 0x40, { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x30 } },
	{ 0x60, "disk0" },
};

static const struct row ready_reply[] = {
	{ 0x00, { 0x1e, 0xab, 0xa1, 0x5c, 0, 0, 0, 0, 0, 0, 0, 0, 1 } },
	{ 0x10, { 0, 0, 0, 0, 4, 3, 2, 1, 0xef, 0xbe, 0xad, 0xde,
		  4, 0, 0xe4, 7 } },
	{ 0x40, { 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40 } },
	{ 0x60, "disk0" },
};

static const u8 kvset_100m[VXHS_SIZE_KVSET_LEN] = {
	0x50, 0x53, 0x31, 0x30, 0, 0, 0, 0x30, 0, 0, 0, 1, 0, 0, 0, 5,
	0, 0, 0, 0x10, 'v', 'd', 'i', 's', 'k', '_', 's', 'i', 'z', 'e', '_',
	'b', 'y', 't', 'e', 's', 0, 0, 0, 0, 0, 0, 0, 0, 0x06, 0x40, 0, 0,
};

struct capture {
	struct vxhs_v34_msg msg;
	const struct row *request, *reply;
	size_t request_rows, reply_rows;
	u64 reply_payload;
	u64 reply_flags;
};

#define CAPTURE(name) \
	.request = name##_request, .reply = name##_reply, \
	.request_rows = ARRAY_SIZE(name##_request), \
	.reply_rows = ARRAY_SIZE(name##_reply)

static const struct capture captures[] = {
	{ .msg = { .target = "disk0", .cookie = 0xdeadbeef01020304,
		   .flags = VXHS_V34_NEED_RESP | VXHS_V34_SYNC_REQ,
		   .data_type = VXHS_V34_KVSET, .opcode = VXHS_V34_STAT },
	  CAPTURE(stat), .reply_payload = 48,
	  .reply_flags = VXHS_V34_SYNC_RESP },
	{ .msg = { .target = "disk0", .cookie = 0x99aabbccddeeff00,
		   .payload_size = 512, .io_offset = 4096, .io_size = 512,
		   .io_flags = VXHS_V34_IO_APP,
		   .flags = VXHS_V34_REQ | VXHS_V34_NEED_ACK,
		   .data_type = VXHS_V34_RAW, .opcode = VXHS_V34_WRITE },
	  CAPTURE(write), .reply_flags = VXHS_V34_RESP },
	{ .msg = { .target = "disk0", .cookie = 0x1122334455667788,
		   .io_offset = 4096, .io_size = 512,
		   .io_flags = VXHS_V34_IO_APP,
		   .flags = VXHS_V34_REQ | VXHS_V34_NEED_RESP,
		   .data_type = VXHS_V34_RAW, .opcode = VXHS_V34_READ },
	  CAPTURE(read), .reply_payload = 512, .reply_flags = VXHS_V34_RESP },
	{ .msg = { .target = "disk0", .cookie = 0xdeadbeef01020304,
		   .flags = VXHS_V34_NEED_RESP | VXHS_V34_SYNC_REQ,
		   .data_type = VXHS_V34_RAW, .opcode = VXHS_V34_READY },
	  CAPTURE(ready), .reply_flags = VXHS_V34_SYNC_RESP },
};

#define N_CAPTURES (ARRAY_SIZE(captures))

static void v34_requests_are_byte_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CAPTURES; i++) {
		struct vxhs_v34_hdr hdr;
		u8 want[256];

		fill(want, sizeof(want), captures[i].request,
		     captures[i].request_rows);
		memset(&hdr, 0xa5, sizeof(hdr));
		vxhs_v34_put(&hdr, &captures[i].msg);
		assert_memory_equal(&hdr, want, sizeof(want));
	}
}

static void v34_requests_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CAPTURES; i++) {
		const struct vxhs_v34_msg *want = &captures[i].msg;
		struct vxhs_v34_msg msg;
		u8 frame[256];

		fill(frame, sizeof(frame), captures[i].request,
		     captures[i].request_rows);
		assert_int_equal(vxhs_v34_get((void *)frame, &msg),
				 VXHS_RULE_OK);
		assert_string_equal(msg.target, want->target);
		assert_int_equal(msg.payload_size, want->payload_size);
		assert_int_equal(msg.cookie, want->cookie);
		assert_int_equal(msg.io_offset, want->io_offset);
		assert_int_equal(msg.io_size, want->io_size);
		assert_int_equal(msg.io_flags, want->io_flags);
		assert_int_equal(msg.flags, want->flags);
		assert_int_equal(msg.data_type, want->data_type);
		assert_int_equal(msg.err, 0);
		assert_int_equal(msg.opcode, want->opcode);
	}
}

static void v34_replies_are_byte_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CAPTURES; i++) {
		u8 request[256], want[256], apart[256];

		fill(request, sizeof(request), captures[i].request,
		     captures[i].request_rows);
		fill(want, sizeof(want), captures[i].reply,
		     captures[i].reply_rows);
		vxhs_v34_put_reply((void *)apart, (void *)request, 0,
				   captures[i].reply_payload);
		assert_memory_equal(apart, want, sizeof(want));
		vxhs_v34_put_reply((void *)request, (void *)request, 0,
				   captures[i].reply_payload);
		assert_memory_equal(request, want, sizeof(want));
	}
}

static void v34_replies_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CAPTURES; i++) {
		const struct vxhs_v34_msg *req = &captures[i].msg;
		struct vxhs_v34_msg msg;
		u8 frame[256];

		fill(frame, sizeof(frame), captures[i].reply,
		     captures[i].reply_rows);
		assert_int_equal(vxhs_v34_get((void *)frame, &msg),
				 VXHS_RULE_OK);
		assert_int_equal(msg.cookie, req->cookie);
		assert_int_equal(msg.payload_size, captures[i].reply_payload);
		assert_int_equal(msg.flags, captures[i].reply_flags);
		assert_int_equal(msg.err, 0);
		assert_int_equal(vxhs_v34_check_reply(&msg, req->opcode,
						      req->io_size),
				 VXHS_RULE_OK);
	}
}

/* Existing servers answer a sync WRITE wrongly, and its client hangs. */
static void v34_sync_write_gets_a_sync_reply(void **state)
{
	u8 frame[256];

	(void)state;
	fill(frame, sizeof(frame), write_request,
	     ARRAY_SIZE(write_request));
	frame[76] = 0x28;
	vxhs_v34_put_reply((void *)frame, (void *)frame, 0, 0);
	assert_int_equal(frame[76], 0x40);
	assert_int_equal(frame[68], 0x40);
	assert_int_equal(frame[69], 0);
}

static void v34_error_replies(void **state)
{
	struct vxhs_v34_msg msg;
	u8 frame[256];

	(void)state;
	fill(frame, sizeof(frame), read_request,
	     ARRAY_SIZE(read_request));
	frame[16] = 77;		/* a client's err never comes back */
	vxhs_v34_put_reply((void *)frame, (void *)frame, VXHS_V34_ENOENT, 0);
	assert_int_equal(frame[16], 2);
	assert_int_equal(vxhs_v34_get((void *)frame, &msg), VXHS_RULE_OK);
	assert_int_equal(msg.err, 2);
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 512),
			 VXHS_RULE_OK);
	msg.payload_size = 512;
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 512),
			 VXHS_RULE_STATUS_PAYLOAD);

	memset(frame + 16, 0xff, 4);
	frame[16] = 0xfb;
	assert_int_equal(vxhs_v34_get((void *)frame, &msg), VXHS_RULE_OK);
	assert_int_equal(msg.err, -5);

	fill(frame, sizeof(frame), read_request,
	     ARRAY_SIZE(read_request));
	frame[16] = 77;
	vxhs_v34_put_reply((void *)frame, (void *)frame, 0, 512);
	assert_int_equal(frame[16], 0);
}

/* Bytes 164..255 are never echoed, or a client would take its own offer. */
static void v34_reply_has_no_trailer(void **state)
{
	u8 frame[256];
	const u8 zero[92] = { 0 };

	(void)state;
	fill(frame, sizeof(frame), stat_request,
	     ARRAY_SIZE(stat_request));
	memset(frame + 164, 0x77, 92);
	vxhs_v34_put_reply((void *)frame, (void *)frame, 0, 48);
	assert_memory_equal(frame + 164, zero, 92);
}

static void v34_rules(void **state)
{
	struct vxhs_v34_msg msg;
	u8 frame[256];

	(void)state;
	for (int i = 0; i < 4; i++) {
		fill(frame, sizeof(frame), stat_reply,
		     ARRAY_SIZE(stat_reply));
		frame[i] ^= 1;
		assert_int_equal(vxhs_v34_get((void *)frame, &msg),
				 VXHS_RULE_V34_MARKER);
	}

	fill(frame, sizeof(frame), read_reply,
	     ARRAY_SIZE(read_reply));
	assert_int_equal(vxhs_v34_get((void *)frame, &msg), VXHS_RULE_OK);
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_WRITE, 512),
			 VXHS_RULE_OPCODE);
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 511),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 513),
			 VXHS_RULE_PAYLOAD_LEN);
	msg.payload_size = 1ULL << 60;
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 512),
			 VXHS_RULE_PAYLOAD_LEN);
	msg.payload_size = (1ULL << 32) + 512;
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_READ, 512),
			 VXHS_RULE_PAYLOAD_LEN);

	fill(frame, sizeof(frame), write_reply,
	     ARRAY_SIZE(write_reply));
	frame[4] = 1;
	assert_int_equal(vxhs_v34_get((void *)frame, &msg), VXHS_RULE_OK);
	assert_int_equal(vxhs_v34_check_reply(&msg, VXHS_V34_WRITE, 512),
			 VXHS_RULE_PAYLOAD_LEN);
}

static void v34_target_is_bounded(void **state)
{
	struct vxhs_v34_msg msg = { .opcode = VXHS_V34_STAT };
	u8 frame[256];

	(void)state;
	memset(msg.target, 'x', sizeof(msg.target));	/* no NUL at all */
	vxhs_v34_put((void *)frame, &msg);
	for (int i = 96; i < 159; i++)
		assert_int_equal(frame[i], 'x');
	assert_int_equal(frame[159], 0);

	memset(frame + 96, 'y', 64);
	assert_int_equal(vxhs_v34_get((void *)frame, &msg), VXHS_RULE_OK);
	assert_int_equal(strlen(msg.target), 63);
}

/* The property set. */

static void kvset_is_byte_exact(void **state)
{
	u8 set[VXHS_SIZE_KVSET_LEN];
	u64 size = 0;

	(void)state;
	vxhs_v34_put_size(set, 100 << 20);
	assert_memory_equal(set, kvset_100m, sizeof(set));
	assert_int_equal(vxhs_v34_get_size(kvset_100m, 48, &size),
			 VXHS_RULE_OK);
	assert_int_equal(size, 100 << 20);

	vxhs_v34_put_size(set, 0x0123456789abcdef);
	assert_int_equal(vxhs_v34_get_size(set, 48, &size), VXHS_RULE_OK);
	assert_int_equal(size, 0x0123456789abcdef);
}

/* In a buffer of exactly its length, so that ASan sees one byte too many. */
static enum vxhs_rule get_size(const u8 *set, size_t len, u64 *size)
{
	u8 *copy = malloc(len ? len : 1);
	enum vxhs_rule rule;

	assert_non_null(copy);
	memcpy(copy, set, len);
	rule = vxhs_v34_get_size(copy, len, size);
	free(copy);
	return rule;
}

static void put_be32(u8 *p, u32 v)
{
	p[0] = (u8)(v >> 24);
	p[1] = (u8)(v >> 16);
	p[2] = (u8)(v >> 8);
	p[3] = (u8)v;
}

static void kvset_truncations(void **state)
{
	u8 set[VXHS_SIZE_KVSET_LEN];
	u64 size;

	(void)state;
	for (size_t len = 0; len < sizeof(set); len++) {
		memcpy(set, kvset_100m, sizeof(set));
		assert_int_equal(get_size(set, len, &size),
				 VXHS_RULE_V34_KVSET);
		put_be32(set + 4, (u32)len);	/* and a length that agrees */
		assert_int_equal(get_size(set, len, &size),
				 VXHS_RULE_V34_KVSET);
	}
}

static void kvset_fields(void **state)
{
	static const struct {
		int	at;
		u32	value;
	} bad[] = {
		{ 0, 0x50533131 }, { 4, 47 }, { 4, 49 }, { 4, 0xffffffff },
		{ 4, 0 }, { 8, 0 }, { 12, 0 }, { 12, 10 }, { 12, 6 },
		{ 12, 0x80000005 }, { 12, 0xffffffff }, { 16, 0 }, { 16, 15 },
		{ 16, 17 }, { 16, 0xfffffff0 }, { 16, 0xfffffffc },
		{ 16, 0xffffffff }, { 20, 0 },
	};
	u64 size;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		u8 set[VXHS_SIZE_KVSET_LEN];

		memcpy(set, kvset_100m, sizeof(set));
		put_be32(set + bad[i].at, bad[i].value);
		assert_int_equal(get_size(set, sizeof(set), &size),
				 VXHS_RULE_V34_KVSET);
	}
}

/* Other keys, before and after, of each type that can be skipped. */
static void kvset_with_other_keys(void **state)
{
	static const struct {
		u32	type;
		size_t	len;
	} types[] = {
		{ 1, 1 }, { 2, 4 }, { 3, 4 }, { 4, 8 }, { 5, 8 },
		{ 0x10005, 8 }, { 9, 16 }, { 6, 4 + 9 }, { 8, 4 + 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		u8 set[128] = { 0 };
		size_t pos = 12;
		u64 size = 0;

		memcpy(set, "PS10", 4);
		put_be32(set + 8, 3);
		put_be32(set + pos, types[i].type);
		put_be32(set + pos + 4, 3);
		memcpy(set + pos + 8, "aaa", 3);
		pos += 8 + 3 + 4;
		if (types[i].type == 6)
			put_be32(set + pos, 9);
		pos += types[i].len;
		memcpy(set + pos, kvset_100m + 12, 36);
		pos += 36;
		put_be32(set + pos, 1);
		put_be32(set + pos + 4, 1);
		set[pos + 8] = 'z';
		pos += 8 + 1 + 4 + 1;
		put_be32(set + 4, (u32)pos);
		assert_int_equal(get_size(set, pos, &size), VXHS_RULE_OK);
		assert_int_equal(size, 100 << 20);

		if (types[i].type != 6)
			continue;
		put_be32(set + 12 + 15, 0xfffffffc);	/* 4 + this wraps */
		assert_int_equal(get_size(set, pos, &size),
				 VXHS_RULE_V34_KVSET);
	}
}

static void kvset_random(void **state)
{
	(void)state;
	for (int round = 0; round < 200000; round++) {
		u8 set[96];
		size_t len = random_u32() % (sizeof(set) + 1);
		u64 size;

		for (size_t i = 0; i < sizeof(set); i++)
			set[i] = (u8)random_u32();
		if (round & 1) {	/* damage a good one instead */
			memcpy(set, kvset_100m, 48);
			len = 48 + random_u32() % 49;
			put_be32(set + 4, (u32)len);
			put_be32(set + 8, random_u32() % 4);
			set[12 + random_u32() % 28] = (u8)random_u32();
		} else if (len >= 12) {
			memcpy(set, "PS10", 4);
			put_be32(set + 4, (u32)len);
		}
		get_size(set, len, &size);
	}
}

/* Offer and choice. */

static void offer_layout(void **state)
{
	static const u8 want[28] = {
		'V', 'X', 'H', 'S', 1, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0x80,
	};
	struct vxhs_v34_hdr hdr;
	u16 min, max;
	u64 features;

	(void)state;
	memset(&hdr, 0xff, sizeof(hdr));
	vxhs_put_offer(&hdr.offer, 1, 2, 7 | 1ULL << 63);
	assert_memory_equal((u8 *)&hdr + 228, want, sizeof(want));
	assert_true(vxhs_get_offer(&hdr.offer, &min, &max, &features));
	assert_int_equal(min, 1);
	assert_int_equal(max, 2);
	assert_int_equal(features, 7 | 1ULL << 63);

	memset(&hdr, 0, sizeof(hdr));
	assert_false(vxhs_get_offer(&hdr.offer, &min, &max, &features));
	vxhs_put_choice(&hdr.offer, 1, 7);
	assert_false(vxhs_get_offer(&hdr.offer, &min, &max, &features));
}

static enum vxhs_rule choice(u16 min, u16 max, u64 features, u64 offered,
			     u16 *version, u64 *accepted)
{
	struct vxhs_offer o;

	vxhs_put_choice(&o, 0, features);
	o.min_version = min;
	o.max_version = max;
	return vxhs_get_choice(&o, offered, version, accepted);
}

static void choice_layout_and_rules(void **state)
{
	static const u8 want[28] = { 'V', 'X', 'H', 'R', 1, 0, 1, 0, 3 };
	struct vxhs_offer o;
	u16 version;
	u64 features;

	(void)state;
	memset(&o, 0xff, sizeof(o));
	vxhs_put_choice(&o, 1, 3);
	assert_memory_equal(&o, want, sizeof(want));
	assert_int_equal(vxhs_get_choice(&o, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(version, 1);
	assert_int_equal(features, 3);

	assert_int_equal(choice(1, 1, 7, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(choice(1, 1, 0, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(features, 0);
	assert_int_equal(choice(0, 0, 0, 7, &version, &features),
			 VXHS_RULE_VERSION);
	assert_int_equal(version, 0);
	assert_int_equal(choice(1, 2, 0, 7, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(choice(0, 1, 0, 7, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(choice(2, 2, 0, 7, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(choice(1, 1, 8, 7, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(choice(1, 1, 4, 3, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(choice(1, 1, 1ULL << 63, 7, &version, &features),
			 VXHS_RULE_OFFER);
	assert_int_equal(version, 0);
	assert_int_equal(features, 0);
}

/* A v34 server leaves zeros; one that echoes has not answered either. */
static void no_choice_means_v34(void **state)
{
	struct vxhs_offer o = { 0 };
	u16 version = 9;
	u64 features = 9;

	(void)state;
	assert_int_equal(vxhs_get_choice(&o, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(version, 0);
	assert_int_equal(features, 0);

	vxhs_put_offer(&o, 1, 1, 7);
	version = 9;
	assert_int_equal(vxhs_get_choice(&o, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(version, 0);

	memset(&o, 0xa5, sizeof(o));
	assert_int_equal(vxhs_get_choice(&o, 7, &version, &features),
			 VXHS_RULE_OK);
	assert_int_equal(version, 0);
}

/* Native headers. */

static const struct vxhs_request a_request = {
	.tag = 0x1817161514131211, .offset = 0x3837363534333231,
	.handle = 0x24232221, .length = 0x44434241, .payload_len = 0x44434241,
	.payload_crc = 0x64636261, .prio = 0x0706, .opcode = VXHS_OP_WRITE,
	.flags = VXHS_REQ_FUA | VXHS_REQ_NO_UNMAP,
};

static const u8 request_bytes[44] = {
	'V', 'X', 'R', 'Q', 0x11, 3, 0x06, 0x07,
	0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
	0x21, 0x22, 0x23, 0x24, 0x41, 0x42, 0x43, 0x44,
	0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
	0x41, 0x42, 0x43, 0x44, 0x61, 0x62, 0x63, 0x64,
	0, 0, 0, 0,
};

static void assert_le32(const u8 *p, u32 want)
{
	assert_int_equal((u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 |
			 (u32)p[3] << 24, want);
}

static void request_layout(void **state)
{
	struct vxhs_request req;
	u8 frame[48];

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	vxhs_put_request((void *)frame, &a_request, 0);
	assert_memory_equal(frame, request_bytes, 44);
	assert_le32(frame + 44, 0);

	vxhs_put_request((void *)frame, &a_request, VXHS_F_HEADER_CRC);
	assert_memory_equal(frame, request_bytes, 44);
	assert_le32(frame + 44, slow_crc(request_bytes, 44));

	memset(&req, 0xff, sizeof(req));
	assert_int_equal(vxhs_get_request((void *)frame, VXHS_F_HEADER_CRC,
					  &req), VXHS_RULE_OK);
	assert_int_equal(req.tag, a_request.tag);
	assert_int_equal(req.offset, a_request.offset);
	assert_int_equal(req.handle, a_request.handle);
	assert_int_equal(req.length, a_request.length);
	assert_int_equal(req.payload_len, a_request.payload_len);
	assert_int_equal(req.payload_crc, a_request.payload_crc);
	assert_int_equal(req.prio, a_request.prio);
	assert_int_equal(req.opcode, a_request.opcode);
	assert_int_equal(req.flags, a_request.flags);
}

/* Where no CRC was agreed on, that field's content does not matter. */
static void header_crc_covers_each_bit(void **state)
{
	struct vxhs_request req;
	struct vxhs_reply rsp, reply = {
		.tag = 5, .opcode = VXHS_OP_WRITE,
	};
	u8 frame[48], out[32];

	(void)state;
	for (int bit = 0; bit < 48 * 8; bit++) {
		vxhs_put_request((void *)frame, &a_request, VXHS_F_HEADER_CRC);
		frame[bit / 8] ^= (u8)(1 << bit % 8);
		assert_int_equal(vxhs_get_request((void *)frame,
						  VXHS_F_HEADER_CRC, &req),
				 bit < 32 ? VXHS_RULE_MAGIC :
					    VXHS_RULE_HEADER_CRC);
	}
	for (int bit = 0; bit < 32 * 8; bit++) {
		vxhs_put_reply((void *)out, &reply, VXHS_F_HEADER_CRC);
		out[bit / 8] ^= (u8)(1 << bit % 8);
		assert_int_equal(vxhs_get_reply((void *)out, VXHS_F_HEADER_CRC,
						&rsp),
				 bit < 32 ? VXHS_RULE_MAGIC :
					    VXHS_RULE_HEADER_CRC);
	}
	vxhs_put_request((void *)frame, &a_request, 0);
	frame[44] = 1;
	assert_int_equal(vxhs_get_request((void *)frame, 0, &req),
			 VXHS_RULE_OK);
}

static void login_always_has_a_header_crc(void **state)
{
	struct vxhs_request req = {
		.opcode = VXHS_OP_LOGIN, .payload_len = 64, .tag = 1,
	};
	struct vxhs_reply rsp = {
		.opcode = VXHS_OP_LOGIN, .payload_len = 64, .tag = 1,
	};
	u8 frame[48], out[32];

	(void)state;
	vxhs_put_request((void *)frame, &req, 0);
	assert_le32(frame + 44, slow_crc(frame, 44));
	assert_int_equal(vxhs_get_request((void *)frame, 0, &req),
			 VXHS_RULE_OK);
	frame[8] ^= 1;
	assert_int_equal(vxhs_get_request((void *)frame, 0, &req),
			 VXHS_RULE_HEADER_CRC);

	vxhs_put_reply((void *)out, &rsp, 0);
	assert_le32(out + 28, slow_crc(out, 28));
	assert_int_equal(vxhs_get_reply((void *)out, 0, &rsp), VXHS_RULE_OK);
	out[8] ^= 1;
	assert_int_equal(vxhs_get_reply((void *)out, 0, &rsp),
			 VXHS_RULE_HEADER_CRC);
}

static enum vxhs_rule parse_request(u8 opcode, u32 length, u32 payload_len)
{
	struct vxhs_request req = {
		.opcode = opcode, .length = length, .payload_len = payload_len,
	};
	struct vxhs_req_hdr hdr;

	vxhs_put_request(&hdr, &req, VXHS_F_HEADER_CRC);
	return vxhs_get_request(&hdr, VXHS_F_HEADER_CRC, &req);
}

static void request_rules(void **state)
{
	static const u8 bare[] = {
		VXHS_OP_CLOSE, VXHS_OP_PING, VXHS_OP_LOGOUT, VXHS_OP_READ,
		VXHS_OP_FLUSH, VXHS_OP_DISCARD, VXHS_OP_WRITE_ZEROES, 0, 0xff,
	};
	struct vxhs_request req;
	u8 frame[48];

	(void)state;
	vxhs_put_request((void *)frame, &a_request, 0);
	memcpy(frame, "VXRP", 4);
	assert_int_equal(vxhs_get_request((void *)frame, 0, &req),
			 VXHS_RULE_MAGIC);
	vxhs_put_request((void *)frame, &a_request, 0);
	frame[43] = 1;
	assert_int_equal(vxhs_get_request((void *)frame, 0, &req),
			 VXHS_RULE_RESERVED);

	for (size_t i = 0; i < sizeof(bare); i++) {
		assert_int_equal(parse_request(bare[i], 4096, 0),
				 VXHS_RULE_OK);
		assert_int_equal(parse_request(bare[i], 4096, 4096),
				 VXHS_RULE_PAYLOAD_LEN);
		assert_int_equal(parse_request(bare[i], 0, 1),
				 VXHS_RULE_PAYLOAD_LEN);
	}
	assert_int_equal(parse_request(VXHS_OP_WRITE, 4096, 4096),
			 VXHS_RULE_OK);
	assert_int_equal(parse_request(VXHS_OP_WRITE, 4096, 4095),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_WRITE, 4096, 0),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_LOGIN, 0, 64), VXHS_RULE_OK);
	assert_int_equal(parse_request(VXHS_OP_LOGIN, 0, 63),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_LOGIN, 0, 65),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_OPEN, 0, 18),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_OPEN, 0, 19), VXHS_RULE_OK);
	assert_int_equal(parse_request(VXHS_OP_OPEN, 0, 18 + 63),
			 VXHS_RULE_OK);
	assert_int_equal(parse_request(VXHS_OP_OPEN, 0, 18 + 64),
			 VXHS_RULE_PAYLOAD_LEN);
	assert_int_equal(parse_request(VXHS_OP_OPEN, 0, 0xffffffff),
			 VXHS_RULE_PAYLOAD_LEN);
}

static void reply_layout(void **state)
{
	static const struct vxhs_reply in = {
		.tag = 0x1817161514131211, .payload_len = 0x24232221,
		.payload_crc = 0x34333231, .server_us = 0x44434241,
		.opcode = VXHS_OP_READ,
	};
	static const u8 want[28] = {
		'V', 'X', 'R', 'P', 0x10, 0, 0, 0,
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
		0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x33, 0x34,
		0x41, 0x42, 0x43, 0x44,
	};
	struct vxhs_reply rsp;
	u8 frame[32];

	(void)state;
	memset(frame, 0xff, sizeof(frame));
	vxhs_put_reply((void *)frame, &in, 0);
	assert_memory_equal(frame, want, 28);
	assert_le32(frame + 28, 0);
	vxhs_put_reply((void *)frame, &in, VXHS_F_HEADER_CRC);
	assert_memory_equal(frame, want, 28);
	assert_le32(frame + 28, slow_crc(want, 28));

	memset(&rsp, 0xff, sizeof(rsp));
	assert_int_equal(vxhs_get_reply((void *)frame, VXHS_F_HEADER_CRC,
					&rsp), VXHS_RULE_OK);
	assert_int_equal(rsp.tag, in.tag);
	assert_int_equal(rsp.payload_len, in.payload_len);
	assert_int_equal(rsp.payload_crc, in.payload_crc);
	assert_int_equal(rsp.server_us, in.server_us);
	assert_int_equal(rsp.status, 0);
	assert_int_equal(rsp.opcode, in.opcode);
	assert_false(rsp.event);
}

static void status_and_event_layout(void **state)
{
	struct vxhs_reply in = { .status = 0x0201, .opcode = VXHS_OP_WRITE };
	struct vxhs_reply rsp;
	u8 frame[32];

	(void)state;
	vxhs_put_reply((void *)frame, &in, 0);
	assert_int_equal(frame[6], 1);
	assert_int_equal(frame[7], 2);
	assert_int_equal(vxhs_get_reply((void *)frame, 0, &rsp), VXHS_RULE_OK);
	assert_int_equal(rsp.status, 0x0201);

	in = (struct vxhs_reply){ .event = true, .tag = 7,
				  .opcode = VXHS_EV_LEASE_LOST };
	vxhs_put_reply((void *)frame, &in, 0);
	assert_memory_equal(frame, "VXEV\3", 5);
	assert_int_equal(frame[8], 7);
	assert_int_equal(vxhs_get_reply((void *)frame, VXHS_F_EVENTS, &rsp),
			 VXHS_RULE_OK);
	assert_true(rsp.event);
	assert_int_equal(rsp.opcode, VXHS_EV_LEASE_LOST);
	assert_int_equal(vxhs_get_reply((void *)frame, 0, &rsp),
			 VXHS_RULE_EVENT);
	frame[16] = 1;
	assert_int_equal(vxhs_get_reply((void *)frame, VXHS_F_EVENTS, &rsp),
			 VXHS_RULE_EVENT);

	/* An event of kind 1 is no LOGIN: no CRC unless agreed on. */
	in = (struct vxhs_reply){ .event = true, .opcode = VXHS_EV_RESIZED };
	vxhs_put_reply((void *)frame, &in, VXHS_F_EVENTS);
	assert_le32(frame + 28, 0);
	assert_int_equal(vxhs_get_reply((void *)frame, VXHS_F_EVENTS, &rsp),
			 VXHS_RULE_OK);
}

static void reply_rules(void **state)
{
	static const struct {
		u8 opcode;
		u32 payload_len;
	} good[] = {
		{ VXHS_OP_LOGIN, 64 }, { VXHS_OP_OPEN, 80 },
		{ VXHS_OP_CLOSE, 0 }, { VXHS_OP_PING, 0 },
		{ VXHS_OP_LOGOUT, 0 }, { VXHS_OP_READ, 4096 },
		{ VXHS_OP_WRITE, 0 }, { VXHS_OP_FLUSH, 8 },
		{ VXHS_OP_DISCARD, 0 }, { VXHS_OP_WRITE_ZEROES, 0 },
	};
	struct vxhs_reply rsp, in = { .opcode = VXHS_OP_READ };
	u8 frame[32];

	(void)state;
	vxhs_put_reply((void *)frame, &in, 0);
	memcpy(frame, "VXRQ", 4);
	assert_int_equal(vxhs_get_reply((void *)frame, 0, &rsp),
			 VXHS_RULE_MAGIC);
	vxhs_put_reply((void *)frame, &in, 0);
	frame[5] = 1;
	assert_int_equal(vxhs_get_reply((void *)frame, 0, &rsp),
			 VXHS_RULE_RESERVED);
	in.status = VXHS_ST_IO;
	in.payload_len = 4096;
	vxhs_put_reply((void *)frame, &in, 0);
	assert_int_equal(vxhs_get_reply((void *)frame, 0, &rsp),
			 VXHS_RULE_STATUS_PAYLOAD);

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		u8 op = good[i].opcode;

		rsp = (struct vxhs_reply){ .opcode = op,
					   .payload_len = good[i].payload_len };
		assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
				 VXHS_RULE_OK);
		rsp.payload_len++;
		assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
				 VXHS_RULE_PAYLOAD_LEN);
		rsp.payload_len = 0xffffffff;
		assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
				 VXHS_RULE_PAYLOAD_LEN);
		if (good[i].payload_len) {
			rsp.payload_len = good[i].payload_len - 1;
			assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
					 VXHS_RULE_PAYLOAD_LEN);
		}
		rsp.opcode ^= 0x40;
		assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
				 VXHS_RULE_OPCODE);
		rsp.opcode = op;
		rsp.payload_len = 0;
		rsp.status = 999;
		assert_int_equal(vxhs_check_reply(&rsp, op, 4096),
				 VXHS_RULE_OK);
	}
}

/* Section 5.6: what gets INVALID with the lane intact. */
static void io_bounds(void **state)
{
	const u64 size = 1ULL << 40;
	static const struct {
		u8 opcode;
		u64 offset;
		u32 length;
		enum vxhs_status want;
	} cases[] = {
		{ VXHS_OP_READ, 0, 4096, VXHS_ST_OK },
		{ VXHS_OP_READ, 0, 0, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 0, 1, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 0, 4095, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 512, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 1, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 0, 1 << 20, VXHS_ST_OK },
		{ VXHS_OP_READ, 0, (1 << 20) + 4096, VXHS_ST_INVALID },
		{ VXHS_OP_WRITE, 0, (1 << 20) + 4096, VXHS_ST_INVALID },
		{ VXHS_OP_WRITE, 0, 0xfffff000, VXHS_ST_INVALID },
		{ VXHS_OP_DISCARD, 0, (1 << 20) + 4096, VXHS_ST_OK },
		{ VXHS_OP_WRITE_ZEROES, 0, 0xfffff000, VXHS_ST_OK },
		{ VXHS_OP_READ, (1ULL << 40) - 4096, 4096, VXHS_ST_OK },
		{ VXHS_OP_READ, (1ULL << 40) - 4096, 8192, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 1ULL << 40, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 1ULL << 60, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_READ, 1ULL << 63, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_WRITE, -4096ULL, 4096, VXHS_ST_INVALID },
		{ VXHS_OP_WRITE, -4096ULL, 8192, VXHS_ST_INVALID },
		{ VXHS_OP_DISCARD, -4096ULL, 0xfffff000, VXHS_ST_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vxhs_request req = {
			.opcode = cases[i].opcode, .offset = cases[i].offset,
			.length = cases[i].length,
		};

		assert_int_equal(vxhs_check_io(&req, size, 4096, 1 << 20),
				 cases[i].want);
	}
}

/* Bodies. */

static void count_up(u8 *to, size_t n, u8 from)
{
	while (n--)
		*to++ = from++;
}

static void login_layout_and_rules(void **state)
{
	static const u8 want[64] = {
		0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
		0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x41, 0x42,
		0x51, 0x52, 0x53, 0x54, 0x01, 0, 0x02, 0,
		0x07, 0, 0, 0, 0, 0, 0, 0x80,
	};
	struct vxhs_login in = {
		.session_id = 0x1817161514131211, .epoch = 0x24232221,
		.lane = 0x3231, .lane_count = 0x4241, .kato_ms = 0x54535251,
		.min_version = 1, .max_version = 2, .features = 7 | 1ULL << 63,
	};
	struct vxhs_login out;
	struct vxhs_login_req body;

	(void)state;
	count_up(in.host_id, 16, 0xf0);
	memset(&body, 0xff, sizeof(body));
	vxhs_put_login(&body, &in);
	assert_memory_equal(&body, want, sizeof(want));

	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_OK);
	assert_memory_equal(out.host_id, in.host_id, 16);
	assert_int_equal(out.session_id, in.session_id);
	assert_int_equal(out.epoch, in.epoch);
	assert_int_equal(out.lane, in.lane);
	assert_int_equal(out.lane_count, in.lane_count);
	assert_int_equal(out.kato_ms, in.kato_ms);
	assert_int_equal(out.min_version, 1);
	assert_int_equal(out.max_version, 2);
	assert_int_equal(out.features, in.features);

	in.epoch = 0;
	vxhs_put_login(&body, &in);
	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_BODY);
	in.epoch = 1;
	in.lane_count = 0;
	vxhs_put_login(&body, &in);
	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_BODY);
	in.lane_count = 8;
	in.lane = 8;
	vxhs_put_login(&body, &in);
	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_BODY);
	in.lane = 7;
	in.min_version = 3;
	vxhs_put_login(&body, &in);
	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_VERSION);
	in.min_version = 2;
	vxhs_put_login(&body, &in);
	assert_int_equal(vxhs_get_login(&body, &out), VXHS_RULE_OK);
}

static const struct vxhs_grant a_grant = {
	.instance = 0x1817161514131211, .features = 7, .max_inflight = 128,
	.max_inflight_bytes = 16 << 20, .max_io = 1 << 20, .kato_ms = 5000,
	.version = 1,
};

static enum vxhs_rule grant(struct vxhs_grant g)
{
	struct vxhs_login_rsp body;

	vxhs_put_grant(&body, &g);
	return vxhs_get_grant(&body, 7, &g);
}

static void grant_layout_and_rules(void **state)
{
	static const u8 want[64] = {
		0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
		128, 0, 0, 0, 0, 0, 0, 1,
		0, 0, 0x10, 0, 0x88, 0x13, 0, 0,
		1, 0, 0, 0, 7, 0, 0, 0,
	};
	struct vxhs_login_rsp body;
	struct vxhs_grant g = a_grant, out;

	(void)state;
	count_up(g.server_id, 16, 0xf0);
	memset(&body, 0xff, sizeof(body));
	vxhs_put_grant(&body, &g);
	assert_memory_equal(&body, want, sizeof(want));
	assert_int_equal(vxhs_get_grant(&body, 7, &out), VXHS_RULE_OK);
	assert_memory_equal(out.server_id, g.server_id, 16);
	assert_int_equal(out.instance, g.instance);
	assert_int_equal(out.max_inflight, 128);
	assert_int_equal(out.max_inflight_bytes, 16 << 20);
	assert_int_equal(out.max_io, 1 << 20);
	assert_int_equal(out.kato_ms, 5000);
	assert_int_equal(out.version, 1);
	assert_int_equal(out.features, 7);

#define GRANT(change, rule) do { \
	struct vxhs_grant bad = a_grant; \
	\
	bad.change; \
	assert_int_equal(grant(bad), VXHS_RULE_##rule); \
} while (0)
	GRANT(version = 0, VERSION);
	GRANT(version = 2, VERSION);
	GRANT(features = 3, FEATURES);
	GRANT(features = 15, FEATURES);
	GRANT(max_inflight = 0, MAX_INFLIGHT);
	GRANT(max_inflight = 1, OK);
	GRANT(max_inflight_bytes = (1 << 20) - 1, MAX_INFLIGHT_BYTES);
	GRANT(max_inflight_bytes = 0, MAX_INFLIGHT_BYTES);
	GRANT(max_inflight_bytes = 1 << 20, OK);
	GRANT(max_io = 0, MAX_IO);
	GRANT(max_io = 131072 - 4096, MAX_IO);
	GRANT(max_io = 131072, OK);
	GRANT(max_io = 131072 + 512, MAX_IO);
	GRANT(kato_ms = 0, KATO);
	GRANT(kato_ms = 199, KATO);
	GRANT(kato_ms = 200, OK);
	GRANT(kato_ms = VXHS_KATO_MAX, OK);
	GRANT(kato_ms = VXHS_KATO_MAX + 1, KATO);
#undef GRANT
}

static void open_layout_and_rules(void **state)
{
	static const u8 want[23] = {
		2, 0, 0, 0, 1, 0, 0, 0,
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
		5, 0, 'd', 'i', 's', 'k', '0',
	};
	struct vxhs_open in = {
		.name = "disk0", .lease = 0x1817161514131211,
		.mode = VXHS_OPEN_RW_SHARED, .options = VXHS_OPEN_TAKE_OVER,
	};
	struct vxhs_open out;
	u8 body[VXHS_OPEN_BODY_MAX + 2];
	size_t len;

	(void)state;
	assert_int_equal(vxhs_put_open(body, &in), sizeof(want));
	assert_memory_equal(body, want, sizeof(want));
	memset(&out, 0xff, sizeof(out));
	assert_int_equal(vxhs_get_open(body, sizeof(want), &out),
			 VXHS_RULE_OK);
	assert_string_equal(out.name, "disk0");
	assert_int_equal(out.lease, in.lease);
	assert_int_equal(out.mode, VXHS_OPEN_RW_SHARED);
	assert_int_equal(out.options, VXHS_OPEN_TAKE_OVER);

	for (len = 0; len <= sizeof(want) + 1; len++) {
		u8 *exact = calloc(1, len ? len : 1);

		assert_non_null(exact);
		memcpy(exact, want, len < sizeof(want) ? len : sizeof(want));
		assert_int_equal(vxhs_get_open(exact, len, &out),
				 len == sizeof(want) ? VXHS_RULE_OK :
						       VXHS_RULE_BODY);
		free(exact);
	}

	body[0] = 3;
	assert_int_equal(vxhs_get_open(body, 23, &out), VXHS_RULE_BODY);
	body[0] = 2;
	body[3] = 0x80;
	assert_int_equal(vxhs_get_open(body, 23, &out), VXHS_RULE_BODY);
	body[3] = 0;
	body[4] = 2;
	assert_int_equal(vxhs_get_open(body, 23, &out), VXHS_RULE_BODY);
	body[4] = 0;
	body[20] = 0;
	assert_int_equal(vxhs_get_open(body, 23, &out), VXHS_RULE_NAME);
	body[20] = 's';
	body[16] = 0;
	assert_int_equal(vxhs_get_open(body, 18, &out), VXHS_RULE_NAME);
	body[16] = 0xff;
	body[17] = 0xff;
	assert_int_equal(vxhs_get_open(body, 23, &out), VXHS_RULE_BODY);

	memset(in.name, 'n', 63);
	in.name[63] = '\0';
	len = vxhs_put_open(body, &in);
	assert_int_equal(len, VXHS_OPEN_BODY_MAX);
	assert_int_equal(vxhs_get_open(body, len, &out), VXHS_RULE_OK);
	assert_int_equal(strlen(out.name), 63);
	body[len] = 'n';
	body[16] = 64;
	assert_int_equal(vxhs_get_open(body, len + 1, &out), VXHS_RULE_BODY);
}

static const struct vxhs_geometry a_geometry = {
	.size = 1 << 30, .verifier = 0x2827262524232221,
	.lease = 0x3837363534333231, .handle = 0x14131211, .caps = 0x1f,
	.logical_block = 512, .physical_block = 4096, .io_min = 4096,
	.io_opt = 65536, .max_discard = 1 << 20, .max_write_zeroes = 2 << 20,
	.discard_granularity = 4096,
};

static enum vxhs_rule geometry(struct vxhs_geometry g)
{
	struct vxhs_open_rsp body;

	vxhs_put_geometry(&body, &g);
	return vxhs_get_geometry(&body, &g);
}

static void geometry_layout_and_rules(void **state)
{
	static const u8 want[80] = {
		0x11, 0x12, 0x13, 0x14, 0x1f, 0, 0, 0,
		0, 0, 0, 0x40, 0, 0, 0, 0,
		0, 2, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 0,
		0, 0, 0x10, 0, 0, 0, 0x20, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
		0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
		0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
		0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
		0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38,
	};
	struct vxhs_open_rsp body;
	struct vxhs_geometry g = a_geometry, out;

	(void)state;
	count_up(g.vdisk_id, 16, 0xf0);
	memset(&body, 0xff, sizeof(body));
	vxhs_put_geometry(&body, &g);
	assert_memory_equal(&body, want, sizeof(want));
	memset(&out, 0xff, sizeof(out));
	assert_int_equal(vxhs_get_geometry(&body, &out), VXHS_RULE_OK);
	assert_memory_equal(&out, &g, offsetof(struct vxhs_geometry,
					       discard_granularity) + 4);

#define GEOMETRY(change, rule) do { \
	struct vxhs_geometry bad = a_geometry; \
	\
	bad.change; \
	assert_int_equal(geometry(bad), VXHS_RULE_##rule); \
} while (0)
	GEOMETRY(handle = 0, HANDLE);
	GEOMETRY(size = 0, SIZE);
	GEOMETRY(size = 511, SIZE);
	GEOMETRY(size += 1, SIZE);
	GEOMETRY(size = 1ULL << 63, SIZE);
	GEOMETRY(size = -512ULL, SIZE);
	GEOMETRY(size = 512, OK);
	GEOMETRY(logical_block = 0, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 1, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 256, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 520, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 8192, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 1U << 31, LOGICAL_BLOCK);
	GEOMETRY(logical_block = 4096, OK);
	GEOMETRY(physical_block = 0, PHYSICAL_BLOCK);
	GEOMETRY(physical_block = 256, PHYSICAL_BLOCK);
	GEOMETRY(physical_block = 1536, PHYSICAL_BLOCK);
	GEOMETRY(physical_block = 512, OK);
	GEOMETRY(physical_block = VXHS_PHYSICAL_BLOCK_MAX, OK);
	GEOMETRY(physical_block = VXHS_PHYSICAL_BLOCK_MAX * 2, PHYSICAL_BLOCK);
	GEOMETRY(physical_block = 1U << 31, PHYSICAL_BLOCK);
	GEOMETRY(io_min = 513, IO_MIN);
	GEOMETRY(io_min = 0, OK);
	GEOMETRY(io_min = VXHS_IO_HINT_MAX + 512, IO_MIN);
	GEOMETRY(io_opt = 1, IO_OPT);
	GEOMETRY(io_opt = 0, OK);
	GEOMETRY(io_opt = 0xfffffe00, IO_OPT);
	GEOMETRY(max_discard = 0, MAX_DISCARD);
	GEOMETRY(max_discard = 511, MAX_DISCARD);
	GEOMETRY(max_discard = 2048, MAX_DISCARD);
	GEOMETRY(max_discard = 8192 + 256, MAX_DISCARD);
	GEOMETRY(discard_granularity = 1U << 31, MAX_DISCARD);
	GEOMETRY(max_write_zeroes = 0, MAX_WRITE_ZEROES);
	GEOMETRY(max_write_zeroes = 511, MAX_WRITE_ZEROES);
	GEOMETRY(max_write_zeroes = 513, MAX_WRITE_ZEROES);
	GEOMETRY(discard_granularity = 0, DISCARD_GRANULARITY);
	GEOMETRY(discard_granularity = 256, DISCARD_GRANULARITY);
	GEOMETRY(discard_granularity = 4096 + 512, DISCARD_GRANULARITY);
#undef GEOMETRY

	/* Limits of what the vdisk cannot do are not looked at. */
	g.caps = 0;
	g.max_discard = 0;
	g.max_write_zeroes = 0;
	g.discard_granularity = 0;
	assert_int_equal(geometry(g), VXHS_RULE_OK);
}

static void texts(void **state)
{
	(void)state;
	for (int i = 0; i <= VXHS_RULE_MAX; i++) {
		assert_non_null(vxhs_rule_text((enum vxhs_rule)i));
		if (i < VXHS_RULE_MAX)
			assert_string_not_equal(vxhs_rule_text(
						(enum vxhs_rule)i),
						vxhs_rule_text(VXHS_RULE_MAX));
	}
	for (u16 i = 0; i <= VXHS_ST_BAD_CRC; i++)
		assert_string_not_equal(vxhs_status_text(i), "unknown status");
	assert_string_equal(vxhs_status_text(14), "unknown status");
	assert_string_equal(vxhs_status_text(0xffff), "unknown status");
	assert_string_equal(vxhs_opcode_name(VXHS_OP_WRITE_ZEROES),
			    "WRITE_ZEROES");
	assert_string_equal(vxhs_opcode_name(0xff), "unknown opcode");
}

/* Every decoder on bytes from nowhere: under ASan and UBSan, no splat. */
static void decoders_take_anything(void **state)
{
	(void)state;
	for (int round = 0; round < 100000; round++) {
		u8 bytes[256];
		union {
			struct vxhs_request req;
			struct vxhs_reply rsp;
			struct vxhs_login login;
			struct vxhs_grant grant;
			struct vxhs_open open;
			struct vxhs_geometry geometry;
			struct vxhs_v34_msg msg;
		} out;
		u64 features = random_u32() & 7;
		u16 version;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)random_u32();
		if (round & 1)
			memcpy(bytes, round & 2 ? "VXRQ" : "VXRP", 4);
		vxhs_get_request((void *)bytes, features, &out.req);
		vxhs_get_reply((void *)bytes, features, &out.rsp);
		vxhs_get_login((void *)bytes, &out.login);
		vxhs_get_grant((void *)bytes, features, &out.grant);
		vxhs_get_open(bytes, random_u32() % sizeof(bytes), &out.open);
		if (vxhs_get_geometry((void *)bytes, &out.geometry) ==
		    VXHS_RULE_OK)
			assert_true(out.geometry.size);
		memcpy(bytes, "\x1e\xab\xa1\x5c", 4);
		assert_int_equal(vxhs_v34_get((void *)bytes, &out.msg),
				 VXHS_RULE_OK);
		assert_true(strlen(out.msg.target) < VXHS_V34_TARGET_LEN);
		vxhs_get_choice((void *)bytes, features, &version, &features);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_vectors),
		cmocka_unit_test(crc_of_any_length),
		cmocka_unit_test(v34_requests_are_byte_exact),
		cmocka_unit_test(v34_requests_are_understood),
		cmocka_unit_test(v34_replies_are_byte_exact),
		cmocka_unit_test(v34_replies_are_understood),
		cmocka_unit_test(v34_sync_write_gets_a_sync_reply),
		cmocka_unit_test(v34_error_replies),
		cmocka_unit_test(v34_reply_has_no_trailer),
		cmocka_unit_test(v34_rules),
		cmocka_unit_test(v34_target_is_bounded),
		cmocka_unit_test(kvset_is_byte_exact),
		cmocka_unit_test(kvset_truncations),
		cmocka_unit_test(kvset_fields),
		cmocka_unit_test(kvset_with_other_keys),
		cmocka_unit_test(kvset_random),
		cmocka_unit_test(offer_layout),
		cmocka_unit_test(choice_layout_and_rules),
		cmocka_unit_test(no_choice_means_v34),
		cmocka_unit_test(request_layout),
		cmocka_unit_test(header_crc_covers_each_bit),
		cmocka_unit_test(login_always_has_a_header_crc),
		cmocka_unit_test(request_rules),
		cmocka_unit_test(reply_layout),
		cmocka_unit_test(status_and_event_layout),
		cmocka_unit_test(reply_rules),
		cmocka_unit_test(io_bounds),
		cmocka_unit_test(login_layout_and_rules),
		cmocka_unit_test(grant_layout_and_rules),
		cmocka_unit_test(open_layout_and_rules),
		cmocka_unit_test(geometry_layout_and_rules),
		cmocka_unit_test(decoders_take_anything),
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
