// SPDX-License-Identifier: GPL-2.0
/* What people and programs get to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/vxhs_wire.h>

#include "../../tools/vxhsctl/output.h"
#include "../../tools/vxhsctl/text.h"

static struct message sample(void)
{
	struct message msg = {
		.has_disk = true, .has_session = true,
		.disk = {
			.has_index = true, .index = 3, .vdisk = "disk0",
			.mode = VXHS_MODE_EXCLUSIVE, .size = 10ULL << 30,
			.logical_block = 512, .physical_block = 4096,
			.caps = VXHS_CAP_FLUSH | VXHS_CAP_WRITE_ZEROES,
			.has_vdisk_id = true,
			.vdisk_id = { 0xab, 0xcd, [15] = 0x0f },
			.lease = 2, .openers = 1, .requests = UINT64_MAX,
			.errors = 0, .slow = 7,
			.policy = {
				.has = { true, true, true },
				.ms = { POLICY_NEVER, 30000, 60000 },
			},
		},
		.session = {
			.id = 0x0123456789abcdef, .host = "store1",
			.portal_count = 2,
			.portals = {
				{ { { 192, 0, 2, 1 }, 4 }, 9999, 0 },
				{ { { 0x20, 1, [15] = 1 }, 16 }, 9999, 0 },
			},
			.current_portal = 1,
			.state = VXHS_SESSION_STATE_LIVE,
			.dialect = VXHS_DIALECT_NATIVE, .epoch = 1,
			.lanes = 2, .lanes_up = 1, .disks = 4, .kato = 5000,
			.max_inflight = 128, .max_inflight_bytes = 8 << 20,
			.max_io = 1 << 20, .recoveries = 3,
			.policy = {
				.has = { [POLICY_KATO] = true, true, true },
				.ms = { [POLICY_KATO] = 2500, 200, 5000 },
			},
		},
	};

	return msg;
}

static char *text;
static size_t text_len;

static FILE *start(void)
{
	FILE *file = open_memstream(&text, &text_len);

	assert_non_null(file);
	return file;
}

static void expect(FILE *file, const char *want)
{
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, want);
	free(text);
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} all[] = {
		{ 0, "0B" }, { 1, "1B" }, { 1023, "1023B" }, { 1024, "1KiB" },
		{ 1536, "1.5KiB" }, { 1024 * 1024 - 1, "1023.9KiB" },
		{ 100ULL << 20, "100MiB" }, { 10ULL << 30, "10GiB" },
		{ (10ULL << 30) + 1, "10GiB" }, { 3ULL << 39, "1.5TiB" },
		{ 1ULL << 60, "1EiB" }, { UINT64_MAX, "15.9EiB" },
	};
	char out[SIZE_TEXT_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		size_text(out, all[i].bytes);
		assert_string_equal(out, all[i].want);
	}
}

static void strings(void **state)
{
	char out[64];

	(void)state;
	text_printable(out, sizeof(out), "disk 0-\xc3\xa9");
	assert_string_equal(out, "disk 0-\xc3\xa9");
	assert_int_equal(text_width(out), 8);
	text_printable(out, sizeof(out), "a\x1b[2Jb\n\x7f");
	assert_string_equal(out, "a\\x1b[2Jb\\x0a\\x7f");
	/* C1 controls, and marks that turn the text around */
	text_printable(out, sizeof(out), "\xc2\x9b" "1m\xe2\x80\xae");
	assert_string_equal(out, "\\xc2\\x9b1m\\xe2\\x80\\xae");
	/* no UTF-8: stray, overlong, surrogate, too large, cut */
	text_utf8(out, sizeof(out), "\xff\xc0\x80");
	assert_string_equal(out, "\\xff\\xc0\\x80");
	text_utf8(out, sizeof(out), "\xed\xa0\x80\xf4\x90\x80\x80");
	assert_string_equal(out, "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80");
	text_utf8(out, sizeof(out), "a\n\xe2\x82");
	assert_string_equal(out, "a\n\\xe2\\x82");
	/* cut to fit, between characters */
	text_printable(out, 4, "ab\xc3\xa9");
	assert_string_equal(out, "ab");
	text_printable(out, 5, "ab\xc3\xa9");
	assert_string_equal(out, "ab\xc3\xa9");
	text_printable(out, 6, "ab\x01");
	assert_string_equal(out, "ab");
}

static void uuids(void **state)
{
	char out[UUID_TEXT_SIZE];
	uint8_t uuid[16];

	(void)state;
	assert_int_equal(uuid_parse_text(
		"6BA7B810-9dad-11d1-80b4-00c04fd430c8\n", uuid), 0);
	uuid_text(out, uuid);
	assert_string_equal(out, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
	assert_int_equal(uuid_parse_text("6ba7b810", uuid), -1);
	assert_int_equal(uuid_parse_text(
		"6ba7b810-9dad-11d1-80b4-00c04fd430c8x", uuid), -1);
	assert_int_equal(uuid_parse_text(
		"6ba7b810-9dad-11d1-80b4-00c04fd430c-8", uuid), -1);
	assert_int_equal(uuid_parse_text(
		"00000000-0000-0000-0000-000000000000", uuid), -1);
}

static void portals(void **state)
{
	struct portal lo = { { { 0xfe, 0x80, [15] = 1 }, 16 }, 7, 1 };
	struct portal far = { { { 0xfe, 0x80, [15] = 1 }, 16 }, 7, 99999 };
	struct portal v4 = { { { 127, 0, 0, 1 }, 4 }, 65535, 0 };
	char out[PORTAL_TEXT_SIZE];

	(void)state;
	portal_text(out, &v4);
	assert_string_equal(out, "127.0.0.1:65535");
	portal_text(out, &lo);
	assert_string_equal(out, "[fe80::1%lo]:7");
	portal_text(out, &far);
	assert_string_equal(out, "[fe80::1%99999]:7");
}

static void table(void **state)
{
	struct message list[2] = { sample(), sample() };
	FILE *file = start();

	(void)state;
	print_disk_table(file, list, 0);
	expect(file, "");

	list[1].disk.index = 12;
	strcpy(list[1].disk.vdisk, "caf\xc3\xa9\n");
	strcpy(list[1].session.host, "[2001:db8::1]:9998");
	list[1].disk.size = 3ULL << 39;
	list[1].disk.mode = VXHS_MODE_READ_ONLY;
	list[1].session.state = 99;
	list[1].session.dialect = VXHS_DIALECT_V34;
	list[1].session.tls.on = true;
	list[0].disk.lost = true;
	file = start();
	print_disk_table(file, list, 2);
	expect(file,
"DEVICE       VDISK     HOST                  SIZE  MODE       STATE      DIALECT  TLS\n"
"/dev/vxhs3   disk0     store1               10GiB  exclusive  live,lost  native   no\n"
"/dev/vxhs12  caf\xc3\xa9\\x0a  [2001:db8::1]:9998  1.5TiB  read-only  unknown    v34      yes\n");

	strcpy(list[1].disk.failed, "its lease went to another host");
	file = start();
	print_disk_table(file, list + 1, 1);
	expect(file,
"DEVICE       VDISK     HOST                  SIZE  MODE       STATE   DIALECT  TLS\n"
"/dev/vxhs12  caf\xc3\xa9\\x0a  [2001:db8::1]:9998  1.5TiB  read-only  failed  v34      yes\n");
}

static void one_disk(void **state)
{
	struct message msg = sample();
	FILE *file = start();

	(void)state;
	strcpy(msg.session.reason, "reset\x1b[31m");
	msg.session.source.len = 4;
	strcpy(msg.session.interface, "eth0");
	print_disk(file, &msg);
	expect(file,
"device:             /dev/vxhs3\n"
"vdisk:              disk0\n"
"vdisk id:           abcd0000-0000-0000-0000-00000000000f\n"
"size:               10GiB (10737418240 bytes)\n"
"logical block:      512\n"
"physical block:     4096\n"
"mode:               exclusive\n"
"capabilities:       flush, write-zeroes\n"
"lease:              2\n"
"openers:            1\n"
"requests:           18446744073709551615\n"
"errors:             0\n"
"resends:            0\n"
"slow requests:      7\n"
"losses:             0\n"
"fast io fail:       off\n"
"io timeout:         30 s\n"
"shutdown timeout:   60 s\n"
"host:               store1\n"
"session:            0123456789abcdef\n"
"state:              live\n"
"dialect:            native\n"
"epoch:              1\n"
"recoveries:         3\n"
"lanes:              2\n"
"lanes up:           1\n"
"digests:            none\n"
"tls:                none\n"
"other portal:       192.0.2.1:9999\n"
"portal:             [2001::1]:9999\n"
"source:             0.0.0.0\n"
"interface:          eth0\n"
"kato:               5 s\n"
"kato asked for:     2.5 s\n"
"reconnect delay:    0.2 s\n"
"replay delay:       5 s\n"
"max in flight:      128 requests per lane\n"
"max bytes per lane: 8MiB (8388608 bytes)\n"
"max request:        1MiB (1048576 bytes)\n"
"disks of session:   4\n"
"last lane lost:     reset\\x1b[31m\n");
}

static void expect_line(const struct message *msg, const char *line)
{
	FILE *file = start();
	char *at;

	print_disk(file, msg);
	assert_int_equal(fclose(file), 0);
	at = strstr(text, line);
	if (!at)
		fail_msg("no line \"%s\" in:\n%s", line, text);
	assert_true(at == text || at[-1] == '\n');
	free(text);
}

static void a_disk_that_is_not_well(void **state)
{
	struct message msg = sample();

	(void)state;
	msg.disk.lost = true;
	msg.disk.losses = 2;
	msg.disk.parked = true;
	strcpy(msg.disk.failed, "shrunk\x1b");
	msg.disk.policy.ms[POLICY_FAST_IO_FAIL] = 0;
	msg.disk.policy.ms[POLICY_IO_TIMEOUT] = 0;
	msg.disk.policy.ms[POLICY_SHUTDOWN] = 86400000;
	msg.session.kato = 0;
	expect_line(&msg, "losses:             2; every FLUSH fails until vxhsctl ack-loss\n");
	expect_line(&msg, "parked:             requests wait for a recovery\n");
	expect_line(&msg, "failed:             shrunk\\x1b\n");
	expect_line(&msg, "fast io fail:       0 s\n");
	expect_line(&msg, "io timeout:         off\n");
	expect_line(&msg, "shutdown timeout:   86400 s\n");
	expect_line(&msg, "kato:               none\n");
}

static void digests(void **state)
{
	static const struct {
		uint32_t asked;
		uint64_t features;
		const char *line;
	} all[] = {
		{ VXHS_DIGESTS_PREFERRED, 7, "CRC32C\n" },
		{ VXHS_DIGESTS_REQUIRED, 3, "CRC32C, required\n" },
		{ VXHS_DIGESTS_NONE, 4, "none\n" },
		{ VXHS_DIGESTS_PREFERRED, 4, "none, the server does no more\n" },
		{ VXHS_DIGESTS_PREFERRED, 1,
		  "CRC32C of headers, the server does no more\n" },
		{ VXHS_DIGESTS_PREFERRED, 2,
		  "CRC32C of data, the server does no more\n" },
	};
	char line[80];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct message msg = sample();

		msg.session.digests = all[i].asked;
		msg.session.features = all[i].features;
		snprintf(line, sizeof(line), "digests:            %s",
			 all[i].line);
		expect_line(&msg, line);
	}
}

static void changes(void **state)
{
	const struct timespec when = { 1700000000, 123456789 };
	struct message msg = sample();
	FILE *file;

	(void)state;
	setenv("TZ", "UTC", 1);
	msg.change = VXHS_CHANGE_ATTACHED;
	file = start();
	print_change(file, &msg, &when);
	expect(file,
"2023-11-14 22:13:20.123 vxhs3 attached, vdisk disk0, host store1, "
"session 0123456789abcdef live, 1 of 2 lanes up\n");
	msg.has_disk = false;
	msg.change = VXHS_CHANGE_LANE_LOST;
	strcpy(msg.session.reason, "reset\nby peer");
	file = start();
	print_change(file, &msg, &when);
	expect(file,
"2023-11-14 22:13:20.123 lane-lost, host store1, "
"session 0123456789abcdef live, 1 of 2 lanes up: reset\\x0aby peer\n");
}

static void changes_of_a_disk(void **state)
{
	static const struct {
		uint32_t change;
		const char *name, *detail;
	} all[] = {
		{ VXHS_CHANGE_LOSS, "loss", ": acknowledged writes may be lost, every FLUSH fails until vxhsctl ack-loss" },
		{ VXHS_CHANGE_LEASE_LOST, "lease-lost", ": why\\x0anot" },
		{ VXHS_CHANGE_DISK_FAILED, "disk-failed", ": why\\x0anot" },
		{ VXHS_CHANGE_RESIZED, "resized", ": 10GiB" },
		{ VXHS_CHANGE_RECOVERED, "recovered", ": [2001::1]:9999" },
		{ 99, "unknown", "" },
	};
	const struct timespec when = { 1700000000, 0 };
	struct message msg = sample();
	char want[512];
	FILE *file;
	size_t i;

	(void)state;
	setenv("TZ", "UTC", 1);
	strcpy(msg.disk.failed, "why\nnot");
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		msg.change = all[i].change;
		snprintf(want, sizeof(want),
"2023-11-14 22:13:20.000 vxhs3 %s, vdisk disk0, host store1, "
"session 0123456789abcdef live, 1 of 2 lanes up%s\n",
			 all[i].name, all[i].detail);
		file = start();
		print_change(file, &msg, &when);
		expect(file, want);
	}
	/* A portal that is none. */
	msg.change = VXHS_CHANGE_RECOVERED;
	msg.session.current_portal = 2;
	file = start();
	print_change(file, &msg, &when);
	expect(file,
"2023-11-14 22:13:20.000 vxhs3 recovered, vdisk disk0, host store1, "
"session 0123456789abcdef live, 1 of 2 lanes up\n");
}

static const char *json_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return json_object_get_string(value);
}

static struct json_object *json_member(struct json_object *object,
				       const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static void json_of_a_disk(void **state)
{
	struct json_object *object, *session;
	struct message msg = sample();
	FILE *file = start();

	(void)state;
	strcpy(msg.disk.vdisk, "a\"\n\xff");
	print_json(file, disk_json(&msg));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(text[text_len - 1], '\n');
	object = json_tokener_parse(text);
	assert_non_null(object);
	free(text);
	assert_string_equal(json_string(object, "device"), "/dev/vxhs3");
	assert_string_equal(json_string(object, "vdisk"), "a\"\n\\xff");
	assert_string_equal(json_string(object, "mode"), "exclusive");
	assert_true(json_object_get_uint64(json_member(object, "requests")) ==
		    UINT64_MAX);
	assert_string_equal(json_object_to_json_string_ext(
			json_member(object, "capabilities"), 0),
			"[\"flush\",\"write-zeroes\"]");
	session = json_member(object, "session");
	assert_string_equal(json_string(session, "id"), "0123456789abcdef");
	assert_string_equal(json_string(session, "portal"), "[2001::1]:9999");
	assert_int_equal(json_object_array_length(
			json_member(session, "portals")), 2);
	assert_null(json_member(session, "source"));
	assert_null(json_member(session, "server_id"));
	assert_null(json_member(session, "reason"));
	assert_int_equal(json_object_get_int(json_member(object, "slow")), 7);
	assert_false(json_object_get_boolean(json_member(object, "lost")));
	assert_false(json_object_get_boolean(json_member(object, "parked")));
	assert_int_equal(json_object_get_int(json_member(object, "losses")), 0);
	assert_null(json_member(object, "failed"));
	assert_null(json_member(object, "fast_io_fail_tmo_ms"));
	assert_int_equal(json_object_get_int(json_member(object,
						"io_timeout_ms")), 30000);
	assert_int_equal(json_object_get_int(json_member(object,
						"shutdown_tmo_ms")), 60000);
	assert_int_equal(json_object_get_int(json_member(session,
						"kato_ms")), 5000);
	assert_int_equal(json_object_get_int(json_member(session,
						"kato_asked_ms")), 2500);
	assert_int_equal(json_object_get_int(json_member(session,
						"reconnect_delay_ms")), 200);
	assert_int_equal(json_object_get_int(json_member(session,
						"replay_delay_ms")), 5000);
	assert_int_equal(json_object_get_int(json_member(session,
						"recoveries")), 3);
	json_object_put(object);
}

/* All keys are there, but what an older module does not tell is null. */
static void json_of_another_version(void **state)
{
	struct message msg = sample();
	struct json_object *object;

	(void)state;
	memset(&msg.disk.policy, 0, sizeof(msg.disk.policy));
	memset(&msg.session.policy, 0, sizeof(msg.session.policy));
	object = disk_json(&msg);
	assert_null(json_member(object, "io_timeout_ms"));
	assert_null(json_member(json_member(object, "session"),
				"reconnect_delay_ms"));
	json_object_put(object);
}

static void json_of_changes(void **state)
{
	const struct timespec when = { 1700000000, 123456789 };
	struct message msg = sample();
	struct json_object *object;
	FILE *file = start();

	(void)state;
	msg.change = VXHS_CHANGE_SESSION_STATE;
	msg.has_disk = false;
	strcpy(msg.session.reason, "one\ntwo");
	print_json_line(file, change_json(&msg, &when));
	print_json_line(file, overrun_json(&when));
	assert_int_equal(fclose(file), 0);
	/* two lines, whatever is in them */
	assert_ptr_equal(strchr(strchr(text, '\n') + 1, '\n'),
			 text + text_len - 1);
	*strchr(text, '\n') = 0;
	object = json_tokener_parse(text);
	assert_non_null(object);
	assert_string_equal(json_string(object, "time"),
			    "2023-11-14T22:13:20.123456Z");
	assert_string_equal(json_string(object, "change"), "session-state");
	assert_null(json_member(object, "disk"));
	assert_string_equal(json_string(json_member(object, "session"),
					"reason"), "one\ntwo");
	json_object_put(object);
	object = json_tokener_parse(text + strlen(text) + 1);
	assert_non_null(object);
	assert_string_equal(json_string(object, "change"), "overrun");
	json_object_put(object);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(strings),
		cmocka_unit_test(uuids),
		cmocka_unit_test(portals),
		cmocka_unit_test(table),
		cmocka_unit_test(one_disk),
		cmocka_unit_test(a_disk_that_is_not_well),
		cmocka_unit_test(digests),
		cmocka_unit_test(changes),
		cmocka_unit_test(changes_of_a_disk),
		cmocka_unit_test(json_of_a_disk),
		cmocka_unit_test(json_of_another_version),
		cmocka_unit_test(json_of_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
