// SPDX-License-Identifier: GPL-2.0
/* What the kernel asks an agent, and what an agent answers; whom to expect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/genetlink.h>

#include "../../tools/vxhs-handshake/config.h"
#include "../../tools/vxhs-handshake/message.h"
#include "../../tools/vxhs-handshake/peer.h"
#include "../../tools/vxhs-handshake/psk.h"

#define FAMILY	29

static _Alignas(struct nlmsghdr) char buf[8192];

static struct nlmsghdr *reply(uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = FAMILY;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	return nlh;
}

static void test_request(void **state)
{
	struct nlmsghdr *nlh = reply(HS_CMD_ACCEPT);
	struct request request;

	(void)state;
	mnl_attr_put_u32(nlh, HS_ACCEPT_SOCKFD, 7);
	mnl_attr_put_u32(nlh, HS_ACCEPT_MESSAGE_TYPE, HS_TYPE_CLIENTHELLO);
	mnl_attr_put_u32(nlh, HS_ACCEPT_TIMEOUT, 3500);
	mnl_attr_put_u32(nlh, HS_ACCEPT_AUTH_MODE, HS_AUTH_PSK);
	mnl_attr_put_u32(nlh, HS_ACCEPT_PEER_IDENTITY, 1234);
	mnl_attr_put_u32(nlh, HS_ACCEPT_PEER_IDENTITY, 5678);
	mnl_attr_put_strz(nlh, HS_ACCEPT_PEERNAME, "a@b");
	request_decode(nlh, &request);
	assert_int_equal(request.fd, 7);
	assert_int_equal(request.type, HS_TYPE_CLIENTHELLO);
	assert_int_equal(request.timeout_ms, 3500);
	assert_int_equal(request.auth, HS_AUTH_PSK);
	assert_int_equal(request.psk_serial, 1234);
	assert_string_equal(request.peername, "a@b");
	assert_false(request.has_certificate);
	assert_false(request.too_long);
}

static void test_odd_requests(void **state)
{
	char name[PEERNAME_MAX + 2];
	struct nlmsghdr *nlh = reply(HS_CMD_ACCEPT);
	struct nlattr *nest;
	struct request request;

	(void)state;
	request_decode(nlh, &request);
	assert_int_equal(request.fd, -1);

	/* Of the wrong size: not there. */
	mnl_attr_put_u8(nlh, HS_ACCEPT_SOCKFD, 7);
	nest = mnl_attr_nest_start(nlh, HS_ACCEPT_CERTIFICATE);
	mnl_attr_put_u32(nlh, 1, 99);
	mnl_attr_nest_end(nlh, nest);
	memset(name, 'n', sizeof(name));
	mnl_attr_put(nlh, HS_ACCEPT_PEERNAME, sizeof(name), name);
	request_decode(nlh, &request);
	assert_int_equal(request.fd, -1);
	assert_true(request.has_certificate);
	assert_true(request.too_long);
	assert_string_equal(request.peername, "");

	/* Without a NUL, and as long as possible. */
	nlh = reply(HS_CMD_ACCEPT);
	mnl_attr_put(nlh, HS_ACCEPT_PEERNAME, PEERNAME_MAX, name);
	request_decode(nlh, &request);
	assert_false(request.too_long);
	assert_int_equal(strlen(request.peername), PEERNAME_MAX);

	/* Shorter than a header. */
	nlh = mnl_nlmsg_put_header(buf);
	request_decode(nlh, &request);
	assert_int_equal(request.fd, -1);
	nlh->nlmsg_type = FAMILY;
	assert_false(message_is_ready(nlh, FAMILY));
	assert_true(message_is_ready(reply(HS_CMD_READY), FAMILY));
	assert_false(message_is_ready(reply(HS_CMD_DONE), FAMILY));
}

static unsigned int count_attrs(const struct nlmsghdr *nlh, uint16_t type,
				uint32_t value)
{
	const struct nlattr *attr;
	unsigned int n = 0;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == type) {
			assert_int_equal(mnl_attr_get_u32(attr), value);
			n++;
		}
	return n;
}

static void test_done(void **state)
{
	struct nlmsghdr *nlh = done_encode(buf, FAMILY, 3, 7, 0, 1234);

	(void)state;
	assert_int_equal(nlh->nlmsg_seq, 3);
	assert_int_equal(count_attrs(nlh, HS_DONE_STATUS, 0), 1);
	assert_int_equal(count_attrs(nlh, HS_DONE_SOCKFD, 7), 1);
	assert_int_equal(count_attrs(nlh, HS_DONE_REMOTE_AUTH, 1234), 1);

	/* Who failed has proved nothing. */
	nlh = done_encode(buf, FAMILY, 4, 7, 13, 1234);
	assert_int_equal(count_attrs(nlh, HS_DONE_STATUS, 13), 1);
	assert_int_equal(count_attrs(nlh, HS_DONE_REMOTE_AUTH, 1234), 0);
}

static void test_family(void **state)
{
	struct nlmsghdr *nlh = reply(CTRL_CMD_NEWFAMILY);
	struct nlattr *groups, *group;
	struct family family;

	(void)state;
	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, FAMILY);
	groups = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	group = mnl_attr_nest_start(nlh, 1);
	mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, "none");
	mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, 8);
	mnl_attr_nest_end(nlh, group);
	group = mnl_attr_nest_start(nlh, 2);
	mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, 9);
	mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, HS_GROUP);
	mnl_attr_nest_end(nlh, group);
	mnl_attr_nest_end(nlh, groups);
	family_decode(nlh, &family);
	assert_int_equal(family.id, FAMILY);
	assert_int_equal(family.group, 9);
	family_decode(reply(CTRL_CMD_NEWFAMILY), &family);
	assert_int_equal(family.id, 0);
	assert_int_equal(family.group, 0);
}

static void test_peer(void **state)
{
	static const char * const bad[] = {
		"", "@", "a@", "@b", "a@b@c", "a b@c", "a/../b@c", "a@b c",
		"a@[::1]", "::1::", "server\n",
	};
	char text[IDENTITY_MAX + SERVER_MAX + 3];
	struct peer peer;
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(peer_parse("server.example", &peer, &err), 0);
	assert_string_equal(peer.identity, IDENTITY_DEFAULT);
	assert_string_equal(peer.server, "server.example");
	assert_int_equal(peer_parse("backup@fd00::1", &peer, &err), 0);
	assert_string_equal(peer.identity, "backup");
	assert_string_equal(peer.server, "fd00::1");
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(peer_parse(bad[i], &peer, &err), -1);

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_int_equal(peer_parse(text, &peer, &err), -1);
	text[IDENTITY_MAX] = '@';
	text[IDENTITY_MAX + 1 + SERVER_MAX] = 0;
	assert_int_equal(peer_parse(text, &peer, &err), 0);
	text[IDENTITY_MAX] = 'a';
	text[IDENTITY_MAX + 1] = '@';
	assert_int_equal(peer_parse(text, &peer, &err), -1);
}

static void test_psk(void **state)
{
	static const char * const bad[] = {
		"", "\n# nothing\n", "host\n", "host:00\n",
		":000102030405060708090a0b0c0d0e0f\n",
		"ho st:000102030405060708090a0b0c0d0e0f\n",
		"host:000102030405060708090a0b0c0d0e0\n",
		"host:000102030405060708090a0b0c0d0e0g\n",
		"a:000102030405060708090a0b0c0d0e0f\n"
		"b:000102030405060708090a0b0c0d0e0f\n",
	};
	char text[128];
	struct psk psk;
	struct err err;
	size_t i;

	(void)state;
	strcpy(text, "# a key\nnvme:1:000102030405060708090a0b0c0d0E0F\n");
	assert_int_equal(psk_parse("f", text, &psk, &err), 0);
	assert_string_equal(psk.name, "nvme:1");
	assert_int_equal(psk.len, 16);
	assert_int_equal(psk.key[15], 15);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		strcpy(text, bad[i]);
		assert_int_equal(psk_parse("f", text, &psk, &err), -1);
		/* A sentence never shows what may be a key. */
		assert_null(strstr(err.text, "0001"));
	}
}

static int try_config(const char *text, struct err *err)
{
	char path[] = "/tmp/vxhs-handshake-XXXXXX";
	struct config config;
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ret = config_read(path, &config, err);
	unlink(path);
	config_free(&config);
	return ret;
}

static void test_config(void **state)
{
	char longest[1024] = "[identity a]\npsk = /";
	static const char * const bad[] = {
		"", "psk = /a\n", "[server]\npsk = /a\n", "[identity a]\n",
		"[identity a]\npsk = a\n", "[identity a]\nnope = /a\n",
		"[identity a b]\npsk = /a\n", "[identity a]\nca = /a\n",
		"[identity a]\npsk = /a\npsk = /b\n", "[identity a]\npsk\n",
		"[identity a]\npsk = /a\ncert = /b\n",
		"[identity a]\ncert = /a\nkey = /b\n",
	};
	struct err err;
	size_t i;

	(void)state;
	assert_int_equal(try_config("[identity default]\nca = /a\ncert = /b\n"
				    "key = /c\ncrl = /d\n\n"
				    "[identity p]\npsk = /e\n", &err), 0);
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		*err.text = 0;
		assert_int_equal(try_config(bad[i], &err), -1);
		assert_true(*err.text);
	}
	memset(longest + strlen(longest), 'a', 900);
	assert_int_equal(try_config(longest, &err), -1);
	assert_non_null(strstr(err.text, "longer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_odd_requests),
		cmocka_unit_test(test_done),
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_psk),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
