// SPDX-License-Identifier: GPL-2.0
/* --tls and its relatives: from the command line to the kernel and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include "../../tools/vxhsctl/attrs.h"
#include "../../tools/vxhsctl/output.h"
#include "../../tools/vxhsctl/resolve.h"
#include "../../tools/vxhsctl/tls.h"
#include "../../tools/vxhsctl/vxhsctl.h"

static int take(struct tls *tls, int opt, const char *value)
{
	memset(tls, 0, sizeof(*tls));
	return tls_take(&attach_command, opt, value, tls);
}

static void peer_names(void **state)
{
	static const char * const good[] = {
		"a", "server.example", "A-b_C.9", "192.0.2.1", "2001:db8::1",
	};
	static const char * const bad[] = {
		"", "a@b", "*.example", "a b", "a\n", "b\xc3\xbc" "cher",
		"a:1", "[::1]", "fe80::1%eth0", "a/b", "a\"", "%s",
	};
	char text[300];
	struct tls tls;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(take(&tls, OPTION_TLS_PEERNAME, good[i]),
				 STATUS_OK);
		assert_string_equal(tls.peername, good[i]);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(take(&tls, OPTION_TLS_PEERNAME, bad[i]),
				 STATUS_USAGE);
	memset(text, 'a', sizeof(text));
	text[256] = 0;
	assert_int_equal(take(&tls, OPTION_TLS_PEERNAME, text), STATUS_USAGE);
	text[255] = 0;
	assert_int_equal(take(&tls, OPTION_TLS_PEERNAME, text), STATUS_OK);
}

static void identities(void **state)
{
	static const char * const bad[] = {
		"", "a@b", "a:b", "key:", "key:0", "key:-1", "key:+1",
		"key: 1", "key:0x7", "key:7a", "key:2147483648", "KEY:1",
	};
	char text[100];
	struct tls tls;
	size_t i;

	(void)state;
	assert_int_equal(take(&tls, OPTION_IDENTITY, "back-up_1.x"),
			 STATUS_OK);
	assert_string_equal(tls.identity, "back-up_1.x");
	assert_int_equal(tls.psk, 0);
	tls_identity_text(text, &tls);
	assert_string_equal(text, "back-up_1.x");

	assert_int_equal(take(&tls, OPTION_IDENTITY, "key:2147483647"),
			 STATUS_OK);
	assert_string_equal(tls.identity, "");
	assert_int_equal(tls.psk, INT32_MAX);
	tls_identity_text(text, &tls);
	assert_string_equal(text, "key:2147483647");

	assert_int_equal(take(&tls, OPTION_IDENTITY, "key"), STATUS_OK);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(take(&tls, OPTION_IDENTITY, bad[i]),
				 STATUS_USAGE);
	/* the last one counts */
	assert_int_equal(take(&tls, OPTION_IDENTITY, "key:7"), STATUS_OK);
	assert_int_equal(tls_take(&attach_command, OPTION_IDENTITY, "a", &tls),
			 STATUS_OK);
	assert_int_equal(tls.psk, 0);
	memset(text, 'a', sizeof(text));
	text[64] = 0;
	assert_int_equal(take(&tls, OPTION_IDENTITY, text), STATUS_USAGE);
	text[63] = 0;
	assert_int_equal(take(&tls, OPTION_IDENTITY, text), STATUS_OK);
}

static void a_peer_name_of_the_host(void **state)
{
	static const struct {
		const char *hosts, *peername;	/* NULL: it is refused */
	} all[] = {
		{ "store1", "store1" },
		{ "store1.example:9998", "store1.example" },
		{ "192.0.2.1:1", "192.0.2.1" },
		{ "[2001:db8::1]:9998", "2001:db8::1" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "[fe80::1%eth0]:9998", "fe80::1" },
		{ "store1:1,STORE1:2", "store1" },
		{ "store1,store2", NULL },
		{ "store1,192.0.2.1", NULL },
		{ "store/1", NULL },
		{ "b\xc3\xbc" "cher", NULL },
	};
	char why[SERVER_WHY_SIZE];
	struct server_list list;
	struct tls tls;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(server_list_parse(all[i].hosts, &list, why),
				 0);
		assert_int_equal(take(&tls, OPTION_TLS, NULL), STATUS_OK);
		assert_int_equal(tls_complete(&attach_command, &list, &tls),
				 all[i].peername ? STATUS_OK : STATUS_USAGE);
		if (all[i].peername)
			assert_string_equal(tls.peername, all[i].peername);
		/* what was typed is not changed */
		take(&tls, OPTION_TLS_PEERNAME, "other.example");
		tls.on = true;
		assert_int_equal(tls_complete(&attach_command, &list, &tls),
				 STATUS_OK);
		assert_string_equal(tls.peername, "other.example");
	}
}

static void nothing_of_it_without_tls(void **state)
{
	char why[SERVER_WHY_SIZE];
	struct server_list list;
	struct tls tls = { .on = false };

	(void)state;
	assert_int_equal(server_list_parse("store1", &list, why), 0);
	assert_int_equal(tls_complete(&attach_command, &list, &tls),
			 STATUS_OK);
	assert_string_equal(tls.peername, "");
	take(&tls, OPTION_TLS_PEERNAME, "a");
	assert_int_equal(tls_complete(&attach_command, &list, &tls),
			 STATUS_USAGE);
	take(&tls, OPTION_IDENTITY, "a");
	assert_int_equal(tls_complete(&attach_command, &list, &tls),
			 STATUS_USAGE);
	take(&tls, OPTION_IDENTITY, "key:7");
	assert_int_equal(tls_complete(&attach_command, &list, &tls),
			 STATUS_USAGE);
	take(&tls, OPTION_ALLOW_UNVERIFIED, NULL);
	assert_int_equal(tls_complete(&attach_command, &list, &tls),
			 STATUS_USAGE);
}

/* Encodes an attach with it, and decodes what was encoded. */
static struct session through(const struct tls *tls)
{
	static _Alignas(struct nlmsghdr) char buffer[4096];
	struct session session = { .host = "h", .tls = *tls };
	const struct disk disk = { .vdisk = "d" };
	struct nlmsghdr *nlh;
	struct message msg;

	memset(buffer, 0, sizeof(buffer));
	nlh = mnl_nlmsg_put_header(buffer);
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct genlmsghdr));
	assert_true(attach_encode(nlh, sizeof(buffer), &disk, &session));
	assert_int_equal(message_decode(nlh, &msg), 0);
	return msg.session;
}

static void to_the_kernel_and_back(void **state)
{
	static const struct tls all[] = {
		{ .on = false },
		{ .on = true, .peername = "server.example" },
		{ .on = true, .peername = "::1", .identity = "a" },
		{ .on = true, .peername = "a", .psk = INT32_MAX,
		  .allow_unverified = true },
	};
	struct session session;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		session = through(&all[i]);
		assert_int_equal(session.tls.on, all[i].on);
		assert_string_equal(session.tls.peername, all[i].peername);
		assert_string_equal(session.tls.identity, all[i].identity);
		assert_int_equal(session.tls.psk, all[i].psk);
		assert_int_equal(session.tls.allow_unverified,
				 all[i].allow_unverified);
	}
}

static struct message sample(const char *identity, const char *cipher)
{
	struct message msg = {
		.has_disk = true, .has_session = true,
		.session = { .tls = { .on = true, .peername = "s.example" } },
	};

	strcpy(msg.session.tls.identity, identity);
	strcpy(msg.session.tls.cipher, cipher);
	return msg;
}

static void expect(const struct message *msg, const char *lines)
{
	char *text;
	size_t len;
	FILE *file = open_memstream(&text, &len);

	print_disk(file, msg);
	assert_int_equal(fclose(file), 0);
	if (!strstr(text, lines))
		fail_msg("no \"%s\" in:\n%s", lines, text);
	free(text);
}

static void shown_to_people(void **state)
{
	struct message msg = sample("", "1.3 AES-128-GCM");

	(void)state;
	expect(&msg,
"\ntls:                1.3 AES-128-GCM\n"
"tls peer name:      s.example\n"
"tls identity:       the agent's default\n");
	msg = sample("backup", "");
	expect(&msg,
"\ntls:                yes\n"
"tls peer name:      s.example\n"
"tls identity:       backup\n");
	msg = sample("", "1.3\x1b[31m");
	msg.session.tls.psk = 7;
	expect(&msg,
"\ntls:                1.3\\x1b[31m\n"
"tls peer name:      s.example\n"
"tls identity:       key:7\n");
	msg.session.tls.on = false;
	expect(&msg, "\ntls:                none\nkato:");
}

static void shown_to_programs(void **state)
{
	struct message msg = sample("", "1.3 AES-128-GCM");
	struct json_object *object, *session, *tls;

	(void)state;
	object = disk_json(&msg);
	assert_true(json_object_object_get_ex(object, "session", &session));
	assert_true(json_object_object_get_ex(session, "tls", &tls));
	assert_string_equal(json_object_to_json_string_ext(tls, 0),
		"{\"cipher\":\"1.3 AES-128-GCM\",\"peername\":\"s.example\","
		"\"identity\":null,\"allow_unverified\":false}");
	json_object_put(object);

	msg.session.tls.on = false;
	object = disk_json(&msg);
	assert_true(json_object_object_get_ex(object, "session", &session));
	assert_true(json_object_object_get_ex(session, "tls", &tls));
	assert_null(tls);
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_names),
		cmocka_unit_test(identities),
		cmocka_unit_test(a_peer_name_of_the_host),
		cmocka_unit_test(nothing_of_it_without_tls),
		cmocka_unit_test(to_the_kernel_and_back),
		cmocka_unit_test(shown_to_people),
		cmocka_unit_test(shown_to_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
