// SPDX-License-Identifier: GPL-2.0
/* What vxhsctl sends to the kernel, and what it makes of the answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vxhs_wire.h>

#include "../../tools/vxhsctl/attrs.h"
#include "../../tools/vxhsctl/nl.h"

#define SIZE	4096

static _Alignas(struct nlmsghdr) char buffer[SIZE];

static struct nlmsghdr *start(void)
{
	struct nlmsghdr *nlh;

	memset(buffer, 0, sizeof(buffer));
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = NLMSG_MIN_TYPE + 1;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct genlmsghdr));
	return nlh;
}

static const struct disk sample_disk = {
	.has_index = true, .index = 17, .vdisk = "disk0",
	.mode = VXHS_MODE_SHARED, .host_id = { 1, 2, 3 }, .lanes = 4,
	.take_over = true,
	.policy = {
		.has = { [POLICY_IO_TIMEOUT] = true },
		.ms = { [POLICY_IO_TIMEOUT] = 1500 },
	},
};

static const struct session sample_session = {
	.host = "[::1]:9998", .portal_count = 2,
	.portals = {
		{ { { 127, 0, 0, 1 }, 4 }, 9998, 0 },
		{ { { 0xfe, 0x80, [15] = 1 }, 16 }, 9998, 3 },
	},
	.source = { { 127, 0, 0, 2 }, 4 }, .interface = "eth0",
	.has_digests = true, .digests = VXHS_DIGESTS_NONE,
	.policy = {
		.has = { [POLICY_KATO] = true, [POLICY_REPLAY_DELAY] = true },
		.ms = { [POLICY_KATO] = 300, [POLICY_REPLAY_DELAY] = 400 },
	},
};

/* Returns the value of a u32 in a nest, or -1. */
static int64_t find(const struct nlmsghdr *nlh, unsigned int nest_type,
		    unsigned int type)
{
	const struct nlattr *nest, *attr;

	mnl_attr_for_each(nest, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(nest) != nest_type)
			continue;
		mnl_attr_for_each_nested(attr, nest) {
			if (mnl_attr_get_type(attr) == type)
				return mnl_attr_get_u32(attr);
		}
	}
	return -1;
}

static void attach_request(void **state)
{
	const struct nlattr *attr;
	struct message msg;
	struct nlmsghdr *nlh = start();
	unsigned int disks = 0, sessions = 0;

	(void)state;
	assert_true(attach_encode(nlh, SIZE, &sample_disk, &sample_session));
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		/* the kernel's strict policies want nests marked as such */
		assert_true(attr->nla_type & NLA_F_NESTED);
		disks += mnl_attr_get_type(attr) == VXHS_A_DISK;
		sessions += mnl_attr_get_type(attr) == VXHS_A_SESSION;
	}
	assert_int_equal(disks, 1);
	assert_int_equal(sessions, 1);
	assert_int_equal(message_decode(nlh, &msg), 0);
	assert_true(msg.has_disk && msg.has_session);
	assert_true(msg.disk.has_index);
	assert_int_equal(msg.disk.index, 17);
	assert_string_equal(msg.disk.vdisk, "disk0");
	assert_int_equal(msg.disk.mode, VXHS_MODE_SHARED);
	assert_memory_equal(msg.disk.host_id, sample_disk.host_id, 16);
	assert_int_equal(msg.disk.lanes, 4);
	assert_string_equal(msg.session.host, "[::1]:9998");
	assert_int_equal(msg.session.portal_count, 2);
	assert_int_equal(msg.session.portals[0].address.len, 4);
	assert_int_equal(msg.session.portals[1].address.len, 16);
	assert_int_equal(msg.session.portals[1].address.bytes[15], 1);
	assert_int_equal(msg.session.portals[1].port, 9998);
	assert_int_equal(msg.session.portals[1].scope, 3);
	assert_int_equal(msg.session.source.len, 4);
	assert_string_equal(msg.session.interface, "eth0");
	assert_true(msg.session.has_digests);
	assert_int_equal(msg.session.digests, VXHS_DIGESTS_NONE);
}

static void policy_of_a_request(void **state)
{
	struct nlmsghdr *nlh = start();
	struct message msg;

	(void)state;
	assert_true(attach_encode(nlh, SIZE, &sample_disk, &sample_session));
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_TAKE_OVER), 1);
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_IO_TIMEOUT), 1500);
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_SHUTDOWN_TMO), -1);
	/* asked for as kato, and told as what was asked for */
	assert_int_equal(find(nlh, VXHS_A_SESSION, VXHS_A_SESSION_KATO), 300);
	assert_int_equal(find(nlh, VXHS_A_SESSION, VXHS_A_SESSION_KATO_ASKED),
			 -1);

	nlh = start();
	assert_true(set_encode(nlh, SIZE, &sample_disk, &sample_session));
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_INDEX), 17);
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_IO_TIMEOUT), 1500);
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_MODE), -1);
	assert_int_equal(find(nlh, VXHS_A_SESSION,
			      VXHS_A_SESSION_REPLAY_DELAY), 400);
	assert_int_equal(message_decode(nlh, &msg), 0);
	assert_int_equal(msg.session.portal_count, 2);
	assert_string_equal(msg.session.host, "");

	nlh = start();
	assert_true(detach_encode(nlh, SIZE, 3, false));
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_FORCE), -1);
	nlh = start();
	assert_true(detach_encode(nlh, SIZE, 3, true));
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_INDEX), 3);
	assert_int_equal(find(nlh, VXHS_A_DISK, VXHS_A_DISK_FORCE), 1);
}

static void policy_of_a_reply(void **state)
{
	struct nlmsghdr *nlh = start();
	struct nlattr *nest;
	struct message msg;

	(void)state;
	nest = mnl_attr_nest_start(nlh, VXHS_A_DISK);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_FAST_IO_FAIL_TMO, UINT32_MAX);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_SHUTDOWN_TMO, 60000);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_LOST, 1);
	mnl_attr_put_u64(nlh, VXHS_A_DISK_LOSSES, 2);
	mnl_attr_put_u64(nlh, VXHS_A_DISK_SLOW, UINT64_MAX);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_PARKED, 1);
	mnl_attr_put_strz(nlh, VXHS_A_DISK_FAILED, "it shrank");
	mnl_attr_nest_end(nlh, nest);
	nest = mnl_attr_nest_start(nlh, VXHS_A_SESSION);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_KATO, 5000);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_KATO_ASKED, 300);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_RECONNECT_DELAY, 100);
	mnl_attr_put_u64(nlh, VXHS_A_SESSION_RECOVERIES, 5);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_DIGESTS, VXHS_DIGESTS_PREFERRED);
	mnl_attr_put_u64(nlh, VXHS_A_SESSION_FEATURES, VXHS_F_DATA_CRC);
	mnl_attr_nest_end(nlh, nest);
	assert_int_equal(message_decode(nlh, &msg), 0);
	assert_true(msg.disk.policy.has[POLICY_FAST_IO_FAIL]);
	assert_int_equal(msg.disk.policy.ms[POLICY_FAST_IO_FAIL], POLICY_NEVER);
	assert_false(msg.disk.policy.has[POLICY_IO_TIMEOUT]);
	assert_int_equal(msg.disk.policy.ms[POLICY_SHUTDOWN], 60000);
	assert_true(msg.disk.lost && msg.disk.parked);
	assert_int_equal(msg.disk.losses, 2);
	assert_true(msg.disk.slow == UINT64_MAX);
	assert_string_equal(msg.disk.failed, "it shrank");
	assert_int_equal(msg.session.kato, 5000);
	assert_int_equal(msg.session.policy.ms[POLICY_KATO], 300);
	assert_int_equal(msg.session.policy.ms[POLICY_RECONNECT_DELAY], 100);
	assert_int_equal(msg.session.recoveries, 5);
	assert_int_equal(msg.session.digests, VXHS_DIGESTS_PREFERRED);
	assert_int_equal(msg.session.features, VXHS_F_DATA_CRC);
}

static void absent_means_the_kernel_chooses(void **state)
{
	struct disk disk = { .vdisk = "d", .mode = VXHS_MODE_EXCLUSIVE };
	struct session session = sample_session;
	const struct nlattr *nest, *attr;
	struct nlmsghdr *nlh = start();

	(void)state;
	session.source.len = 0;
	session.has_digests = false;
	*session.interface = 0;
	assert_true(attach_encode(nlh, SIZE, &disk, &session));
	mnl_attr_for_each(nest, nlh, sizeof(struct genlmsghdr)) {
		mnl_attr_for_each_nested(attr, nest) {
			if (mnl_attr_get_type(nest) == VXHS_A_DISK) {
				assert_int_not_equal(mnl_attr_get_type(attr),
						     VXHS_A_DISK_INDEX);
				assert_int_not_equal(mnl_attr_get_type(attr),
						     VXHS_A_DISK_LANES);
			} else {
				assert_int_not_equal(mnl_attr_get_type(attr),
						     VXHS_A_SESSION_SOURCE);
				assert_int_not_equal(mnl_attr_get_type(attr),
						     VXHS_A_SESSION_INTERFACE);
				assert_int_not_equal(mnl_attr_get_type(attr),
						     VXHS_A_SESSION_DIGESTS);
			}
		}
	}
}

static void requests_stay_in_their_buffer(void **state)
{
	size_t size;

	(void)state;
	for (size = 20; size < 256; size += 4) {
		struct nlmsghdr *nlh = start();
		bool fits = attach_encode(nlh, size, &sample_disk,
					  &sample_session);

		assert_true(nlh->nlmsg_len <= size || !fits);
		assert_int_equal(buffer[size], 0);
		nlh = start();
		fits = set_encode(nlh, size, &sample_disk, &sample_session);
		assert_true(nlh->nlmsg_len <= size || !fits);
		assert_int_equal(buffer[size], 0);
	}
}

static void whole_reply(void **state)
{
	struct nlmsghdr *nlh = start();
	struct nlattr *nest;
	struct message msg;

	(void)state;
	mnl_attr_put_u32(nlh, VXHS_A_CHANGE, VXHS_CHANGE_LANE_LOST);
	nest = mnl_attr_nest_start(nlh, VXHS_A_DISK);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_INDEX, 1048575);
	mnl_attr_put_u64(nlh, VXHS_A_DISK_SIZE, UINT64_MAX);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_LOGICAL_BLOCK, 512);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_PHYSICAL_BLOCK, 4096);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_CAPS, 0x3f);
	mnl_attr_put(nlh, VXHS_A_DISK_VDISK_ID, 16, "0123456789abcdef");
	mnl_attr_put_u64(nlh, VXHS_A_DISK_LEASE, 5);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_OPENERS, 6);
	mnl_attr_put_u64(nlh, VXHS_A_DISK_REQUESTS, 7);
	mnl_attr_put_u64(nlh, VXHS_A_DISK_ERRORS, 8);
	mnl_attr_put_u64(nlh, 4000, 1);
	mnl_attr_nest_end(nlh, nest);
	nest = mnl_attr_nest_start(nlh, VXHS_A_SESSION);
	mnl_attr_put_u64(nlh, VXHS_A_SESSION_ID, 0x8123456789abcdef);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_STATE,
			 VXHS_SESSION_STATE_RECOVERING);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_DIALECT, VXHS_DIALECT_NATIVE);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_EPOCH, 9);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_LANES, 8);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_LANES_UP, 7);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_DISKS, 2);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_KATO, 5000);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_MAX_INFLIGHT, 128);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_MAX_INFLIGHT_BYTES, 1 << 23);
	mnl_attr_put_u32(nlh, VXHS_A_SESSION_MAX_IO, 1 << 20);
	mnl_attr_put(nlh, VXHS_A_SESSION_SERVER_ID, 16, "fedcba9876543210");
	mnl_attr_put_strz(nlh, VXHS_A_SESSION_REASON, "reset by peer");
	mnl_attr_nest_end(nlh, nest);

	assert_int_equal(message_decode(nlh, &msg), 0);
	assert_int_equal(msg.change, VXHS_CHANGE_LANE_LOST);
	assert_int_equal(msg.disk.index, 1048575);
	assert_true(msg.disk.size == UINT64_MAX);
	assert_int_equal(msg.disk.logical_block, 512);
	assert_int_equal(msg.disk.physical_block, 4096);
	assert_int_equal(msg.disk.caps, 0x3f);
	assert_true(msg.disk.has_vdisk_id);
	assert_memory_equal(msg.disk.vdisk_id, "0123456789abcdef", 16);
	assert_int_equal(msg.disk.lease, 5);
	assert_int_equal(msg.disk.openers, 6);
	assert_int_equal(msg.disk.requests, 7);
	assert_int_equal(msg.disk.errors, 8);
	assert_true(msg.session.id == 0x8123456789abcdef);
	assert_int_equal(msg.session.state, VXHS_SESSION_STATE_RECOVERING);
	assert_int_equal(msg.session.dialect, VXHS_DIALECT_NATIVE);
	assert_int_equal(msg.session.epoch, 9);
	assert_int_equal(msg.session.lanes, 8);
	assert_int_equal(msg.session.lanes_up, 7);
	assert_int_equal(msg.session.disks, 2);
	assert_int_equal(msg.session.kato, 5000);
	assert_int_equal(msg.session.max_inflight, 128);
	assert_int_equal(msg.session.max_inflight_bytes, 1 << 23);
	assert_int_equal(msg.session.max_io, 1 << 20);
	assert_true(msg.session.has_server_id);
	assert_memory_equal(msg.session.server_id, "fedcba9876543210", 16);
	assert_string_equal(msg.session.reason, "reset by peer");
}

static void another_version_of_the_module(void **state)
{
	static const char zero[16];
	char name[200];
	struct nlmsghdr *nlh = start();
	struct nlattr *nest;
	struct message msg;
	unsigned int i;

	(void)state;
	memset(name, 'x', sizeof(name));
	nest = mnl_attr_nest_start(nlh, VXHS_A_DISK);
	mnl_attr_put_u8(nlh, VXHS_A_DISK_INDEX, 1);
	mnl_attr_put_u32(nlh, VXHS_A_DISK_SIZE, 1);
	mnl_attr_put(nlh, VXHS_A_DISK_VDISK_ID, 15, name);
	mnl_attr_put(nlh, VXHS_A_DISK_VDISK, sizeof(name), name);
	mnl_attr_nest_end(nlh, nest);
	nest = mnl_attr_nest_start(nlh, VXHS_A_SESSION);
	mnl_attr_put(nlh, VXHS_A_SESSION_SOURCE, 5, name);
	mnl_attr_put(nlh, VXHS_A_SESSION_INTERFACE, 0, NULL);
	/* a v34 server has no id */
	mnl_attr_put(nlh, VXHS_A_SESSION_SERVER_ID, 16, zero);
	for (i = 0; i < 2 * PORTALS_MAX; i++)
		mnl_attr_put(nlh, VXHS_A_SESSION_PORTAL, 0, NULL);
	mnl_attr_nest_end(nlh, nest);

	assert_int_equal(message_decode(nlh, &msg), 0);
	assert_int_equal(msg.disk.index, 0);
	assert_int_equal(msg.disk.size, 0);
	assert_false(msg.disk.has_vdisk_id);
	assert_int_equal(strlen(msg.disk.vdisk), sizeof(msg.disk.vdisk) - 1);
	assert_int_equal(msg.session.source.len, 0);
	assert_string_equal(msg.session.interface, "");
	assert_false(msg.session.has_server_id);
	assert_int_equal(msg.session.portal_count, PORTALS_MAX);

	nlh->nlmsg_len = MNL_NLMSG_HDRLEN + 3;
	assert_int_equal(message_decode(nlh, &msg), -1);
}

/* Any cut of a valid message is read without reading past it (ASan watches). */
static void truncated_replies(void **state)
{
	struct nlmsghdr *nlh = start();
	struct message msg;
	uint32_t len;

	(void)state;
	attach_encode(nlh, SIZE, &sample_disk, &sample_session);
	for (len = nlh->nlmsg_len; len > MNL_NLMSG_HDRLEN; len--) {
		nlh->nlmsg_len = len;
		message_decode(nlh, &msg);
	}
}

static struct nlmsghdr *start_error(int code, uint16_t flags, size_t echoed)
{
	struct nlmsghdr *nlh;
	struct nlmsgerr *err;

	memset(buffer, 0, sizeof(buffer));
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_flags = flags;
	err = mnl_nlmsg_put_extra_header(nlh, sizeof(*err) + echoed);
	err->error = code;
	err->msg.nlmsg_len = MNL_NLMSG_HDRLEN + (echoed ?: 40);
	return nlh;
}

static void error_sentences(void **state)
{
	struct nlmsghdr *nlh;
	char why[32];
	int error;

	(void)state;
	nlh = start_error(-EBUSY, NLM_F_CAPPED | NLM_F_ACK_TLVS, 0);
	mnl_attr_put_u32(nlh, NLMSGERR_ATTR_OFFS, 3);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "it is open");
	nl_error_decode(nlh, &error, why, sizeof(why));
	assert_int_equal(error, EBUSY);
	assert_string_equal(why, "it is open");

	nlh = start_error(-EINVAL, NLM_F_ACK_TLVS, 64);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG,
			  "a sentence that is longer than the room for it");
	nl_error_decode(nlh, &error, why, sizeof(why));
	assert_int_equal(error, EINVAL);
	assert_string_equal(why, "a sentence that is longer than ");

	nlh = start_error(0, NLM_F_CAPPED, 0);
	nl_error_decode(nlh, &error, why, sizeof(why));
	assert_int_equal(error, 0);
	assert_string_equal(why, "");

	/* the echoed request is longer than the message: no sentence */
	nlh = start_error(-EPERM, NLM_F_ACK_TLVS, 0);
	nl_error_decode(nlh, &error, why, sizeof(why));
	assert_int_equal(error, EPERM);
	assert_string_equal(why, "");

	/* the end of a dump has only the number before the sentence */
	memset(buffer, 0, sizeof(buffer));
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_ACK_TLVS;
	*(int *)mnl_nlmsg_put_extra_header(nlh, sizeof(int)) = -ENOMEM;
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "no memory");
	nl_error_decode(nlh, &error, why, sizeof(why));
	assert_int_equal(error, ENOMEM);
	assert_string_equal(why, "no memory");
}

static void add_group(struct nlmsghdr *nlh, const char *name, uint32_t id)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, id);

	mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, id);
	mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, name);
	mnl_attr_nest_end(nlh, nest);
}

static void family_and_group(void **state)
{
	struct nlmsghdr *nlh = start();
	struct nl_family family;
	struct nlattr *nest;

	(void)state;
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, "vxhs");
	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, 0x23);
	nest = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	add_group(nlh, "other", 4);
	add_group(nlh, VXHS_MCGRP_STATE, 5);
	add_group(nlh, "later", 6);
	mnl_attr_nest_end(nlh, nest);
	nl_family_decode(nlh, &family);
	assert_string_equal(family.name, "vxhs");
	assert_int_equal(family.id, 0x23);
	assert_int_equal(family.group, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attach_request),
		cmocka_unit_test(policy_of_a_request),
		cmocka_unit_test(policy_of_a_reply),
		cmocka_unit_test(absent_means_the_kernel_chooses),
		cmocka_unit_test(requests_stay_in_their_buffer),
		cmocka_unit_test(whole_reply),
		cmocka_unit_test(another_version_of_the_module),
		cmocka_unit_test(truncated_replies),
		cmocka_unit_test(error_sentences),
		cmocka_unit_test(family_and_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
