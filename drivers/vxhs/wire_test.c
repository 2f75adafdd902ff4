// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the codecs in the kernel's build.  The full set of cases runs in user
 * space (tests/unit/wire_test.c); here is what the kernel does differently
 * (byte order helpers, CRC), and what bounds its messages.
 */
#include <kunit/test.h>
#include <linux/string.h>

#include "wire.h"

static void wire_crc32c_vector(struct kunit *test)
{
	/* RFC 3720, B.4 */
	u8 zeros[32] = {};

	KUNIT_EXPECT_EQ(test, vxhs_wire_crc("123456789", 9), 0xe3069283U);
	KUNIT_EXPECT_EQ(test, vxhs_wire_crc(zeros, sizeof(zeros)), 0x8a9136aaU);
}

/* Behind "server: ", in an extack sentence of at most 80 characters. */
static void wire_rule_texts_fit_extack(struct kunit *test)
{
	unsigned int rule;

	for (rule = 0; rule < VXHS_RULE_MAX; rule++)
		KUNIT_EXPECT_LE_MSG(test, strlen(vxhs_rule_text(rule)), 71UL,
				    "%s", vxhs_rule_text(rule));
}

static void wire_request_layout(struct kunit *test)
{
	static const u8 bytes[44] = {
		0x56, 0x58, 0x52, 0x51, 0x11, 0x01, 0x34, 0x12,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0x07, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00,
		0x00, 0x20, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
		0x00, 0x10, 0x00, 0x00,
	};
	struct vxhs_request in = {
		.opcode = VXHS_OP_WRITE,
		.flags = VXHS_REQ_FUA,
		.prio = 0x1234,
		.tag = 0x1122334455667788ULL,
		.handle = 7,
		.length = 4096,
		.offset = 0x100002000ULL,
		.payload_len = 4096,
	};
	struct vxhs_request out;
	struct vxhs_req_hdr hdr;

	vxhs_put_request(&hdr, &in, VXHS_F_HEADER_CRC);
	KUNIT_EXPECT_MEMEQ(test, &hdr, bytes, sizeof(bytes));
	KUNIT_EXPECT_EQ(test, VXHS_RULE_OK,
			vxhs_get_request(&hdr, VXHS_F_HEADER_CRC, &out));
	KUNIT_EXPECT_EQ(test, out.offset, in.offset);
	KUNIT_EXPECT_EQ(test, out.tag, in.tag);
	hdr.handle ^= cpu_to_le32(1);
	KUNIT_EXPECT_EQ(test, VXHS_RULE_HEADER_CRC,
			vxhs_get_request(&hdr, VXHS_F_HEADER_CRC, &out));
}

static void wire_v34_size_kvset(struct kunit *test)
{
	static const u8 set[VXHS_SIZE_KVSET_LEN] = {
		0x50, 0x53, 0x31, 0x30, 0x00, 0x00, 0x00, 0x30,
		0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x05,
		0x00, 0x00, 0x00, 0x10, 0x76, 0x64, 0x69, 0x73,
		0x6b, 0x5f, 0x73, 0x69, 0x7a, 0x65, 0x5f, 0x62,
		0x79, 0x74, 0x65, 0x73, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x06, 0x40, 0x00, 0x00,
	};
	u8 made[VXHS_SIZE_KVSET_LEN];
	u64 size;

	vxhs_v34_put_size(made, 0x06400000);
	KUNIT_EXPECT_MEMEQ(test, made, set, sizeof(set));
	KUNIT_EXPECT_EQ(test, VXHS_RULE_OK,
			vxhs_v34_get_size(set, sizeof(set), &size));
	KUNIT_EXPECT_EQ(test, size, 0x06400000ULL);
}

/* Each cut of the payload is refused, and read only within its bytes. */
static void wire_v34_kvset_truncated(struct kunit *test)
{
	u8 made[VXHS_SIZE_KVSET_LEN];
	size_t len;
	u64 size;

	vxhs_v34_put_size(made, 1 << 20);
	for (len = 0; len < sizeof(made); len++) {
		u8 *cut = kunit_kmalloc(test, len ?: 1, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, cut);
		memcpy(cut, made, len);
		if (len >= 8)
			cut[7] = len;	/* a set that claims to be complete */
		KUNIT_EXPECT_EQ(test, VXHS_RULE_V34_KVSET,
				vxhs_v34_get_size(cut, len, &size));
	}
}

static struct kunit_case vxhs_wire_cases[] = {
	KUNIT_CASE(wire_crc32c_vector),
	KUNIT_CASE(wire_rule_texts_fit_extack),
	KUNIT_CASE(wire_request_layout),
	KUNIT_CASE(wire_v34_size_kvset),
	KUNIT_CASE(wire_v34_kvset_truncated),
	{}
};

static struct kunit_suite vxhs_wire_suite = {
	.name		= "vxhs_wire",
	.test_cases	= vxhs_wire_cases,
};

kunit_test_suite(vxhs_wire_suite);

MODULE_LICENSE("GPL");
