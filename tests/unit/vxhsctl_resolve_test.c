// SPDX-License-Identifier: GPL-2.0
/* HOST[:PORT], addresses, and the order of portals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/vxhsctl/device.h"
#include "../../tools/vxhsctl/resolve.h"
#include "../../tools/vxhsctl/vxhsctl.h"

static void host_and_port(void **state)
{
	static const struct {
		const char *text, *name;
		unsigned int port;
	} good[] = {
		{ "store1", "store1", 9999 },
		{ "store1:1", "store1", 1 },
		{ "store1.example.org:65535", "store1.example.org", 65535 },
		{ "192.0.2.1", "192.0.2.1", 9999 },
		{ "192.0.2.1:09998", "192.0.2.1", 9998 },
		{ "::1", "::1", 9999 },
		{ "2001:db8::1:9998", "2001:db8::1:9998", 9999 },
		{ "[::1]", "::1", 9999 },
		{ "[::1]:9998", "::1", 9998 },
		{ "fe80::1%eth0", "fe80::1%eth0", 9999 },
		{ "[fe80::1%eth0]:7", "fe80::1%eth0", 7 },
	};
	static const char * const bad[] = {
		"", ":9999", "store1:", "store1:0", "store1:65536",
		"store1:-1", "store1:+1", "store1: 1", "store1:1x",
		"store1:0x10", "store1:99999999999999999999", "[::1",
		"[]", "[]:1", "[::1]9999", "[::1]:", "[::1]:0", "[store1]:1",
		"[::1]]:1",
	};
	struct server_name out;
	char text[400];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(server_name_parse(good[i].text, &out));
		assert_string_equal(out.name, good[i].name);
		assert_int_equal(out.port, good[i].port);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(server_name_parse(bad[i], &out));
	memset(text, 'a', sizeof(text));
	text[255] = 0;
	assert_null(server_name_parse(text, &out));
	text[255] = 'a';
	text[256] = 0;
	assert_non_null(server_name_parse(text, &out));
}

static void lists_of_hosts(void **state)
{
	static const struct {
		const char *text, *words[2];
	} bad[] = {
		{ "", { "host \"\"", "names no host" } },
		{ ",", { "host \"\" of \",\"", "names no host" } },
		{ "a,,b", { "host \"\" of \"a,,b\"", "names no host" } },
		{ "a,", { "host \"\" of \"a,\"", "names no host" } },
		{ "a,b:0", { "host \"b:0\" of", "port" } },
		{ "[::1,a", { "host \"[::1\" of", "bracket" } },
		{ "a,b,A", { "host \"A\" of", "twice" } },
		{ "a,a:9999", { "host \"a:9999\" of", "twice" } },
		{ "a,b,c,d,e,f,g,h,i", { "host \"i\" of", "at most 8" } },
	};
	char text[400], why[SERVER_WHY_SIZE];
	struct server_list list;
	size_t i, j;

	(void)state;
	assert_int_equal(server_list_parse("store1", &list, why), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(server_list_parse("b,a:9998,[::1]:9998,::1,b:1", &list,
					   why), 0);
	assert_int_equal(list.count, 5);
	assert_string_equal(list.servers[0].name, "b");
	assert_int_equal(list.servers[0].port, 9999);
	assert_string_equal(list.servers[1].name, "a");
	assert_int_equal(list.servers[1].port, 9998);
	assert_string_equal(list.servers[2].name, "::1");
	assert_int_equal(list.servers[2].port, 9998);
	assert_int_equal(list.servers[3].port, 9999);
	assert_int_equal(list.servers[4].port, 1);
	assert_int_equal(server_list_parse("a,b,c,d,e,f,g,h", &list, why), 0);
	assert_int_equal(list.count, 8);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(server_list_parse(bad[i].text, &list, why),
				 -1);
		for (j = 0; j < 2; j++)
			if (!strstr(why, bad[i].words[j]))
				fail_msg("no \"%s\" in: %s", bad[i].words[j],
					 why);
	}
	/* what the kernel stores is all of it */
	memset(text, 'a', sizeof(text));
	text[100] = ',';
	text[255] = 0;
	assert_int_equal(server_list_parse(text, &list, why), 0);
	text[255] = 'a';
	text[256] = 0;
	assert_int_equal(server_list_parse(text, &list, why), -1);
	assert_non_null(strstr(why, "255"));
}

static void addresses(void **state)
{
	static const uint8_t v4[] = { 192, 0, 2, 1 };
	struct address out;

	(void)state;
	assert_int_equal(address_parse("192.0.2.1", &out), 0);
	assert_int_equal(out.len, 4);
	assert_memory_equal(out.bytes, v4, 4);
	assert_int_equal(address_parse("2001:db8::1", &out), 0);
	assert_int_equal(out.len, 16);
	assert_int_equal(out.bytes[15], 1);
	assert_int_equal(address_parse("", &out), -1);
	assert_int_equal(address_parse("192.0.2", &out), -1);
	assert_int_equal(address_parse("192.0.2.1:1", &out), -1);
	assert_int_equal(address_parse("[::1]", &out), -1);
	assert_int_equal(address_parse("fe80::1%lo", &out), -1);
	assert_int_equal(address_parse("localhost", &out), -1);
}

static struct portal portal(const char *text, uint32_t scope)
{
	struct portal out = { .port = 9999, .scope = scope };

	assert_int_equal(address_parse(text, &out.address), 0);
	return out;
}

static void expect_portals(const struct portal *got, const struct portal *want,
			   unsigned int count)
{
	for (; count--; got++, want++) {
		assert_int_equal(got->address.len, want->address.len);
		assert_memory_equal(got->address.bytes, want->address.bytes,
				    want->address.len);
		assert_int_equal(got->port, want->port);
		assert_int_equal(got->scope, want->scope);
	}
}

static void portals_do_not_depend_on_dns(void **state)
{
	struct portal list[] = {
		portal("2001:db8::2", 0), portal("192.0.2.2", 0),
		portal("fe80::1", 3), portal("192.0.2.1", 0),
		portal("192.0.2.2", 0), portal("fe80::1", 2),
		portal("2001:db8::1", 0),
	};
	struct portal want[] = {
		portal("192.0.2.1", 0), portal("192.0.2.2", 0),
		portal("2001:db8::1", 0), portal("2001:db8::2", 0),
		portal("fe80::1", 2), portal("fe80::1", 3),
	};

	(void)state;
	assert_int_equal(portals_sort(list, 7), 6);
	expect_portals(list, want, 6);
	assert_int_equal(portals_sort(list, 6), 6);
	expect_portals(list, want, 6);
	assert_int_equal(portals_of_family(list, 6, 16), 4);
	expect_portals(list, want + 2, 4);
	assert_int_equal(portals_of_family(list, 4, 4), 0);
	assert_int_equal(portals_sort(list, 0), 0);
}

static void addresses_need_no_dns(void **state)
{
	struct server_name server = { .name = "127.0.0.1", .port = 12 };
	struct portal list[PORTALS_MAX];
	struct address v6, v4;
	unsigned int count = 0;

	(void)state;
	assert_int_equal(resolve(&server, NULL, list, &count), STATUS_OK);
	assert_int_equal(count, 1);
	assert_int_equal(list[0].port, 12);
	assert_int_equal(list[0].address.len, 4);
	assert_int_equal(list[0].address.bytes[0], 127);
	assert_int_equal(address_parse("::1", &v6), 0);
	assert_int_equal(address_parse("127.0.0.2", &v4), 0);
	assert_int_equal(resolve(&server, &v4, list, &count), STATUS_OK);
	assert_int_equal(resolve(&server, &v6, list, &count), STATUS_FAILED);
	strcpy(server.name, "fe80::1%lo");
	assert_int_equal(resolve(&server, &v6, list, &count), STATUS_OK);
	assert_int_equal(list[0].address.len, 16);
	assert_int_not_equal(list[0].scope, 0);
	strcpy(server.name, "no such host");
	assert_int_equal(resolve(&server, NULL, list, &count), STATUS_FAILED);
}

static void lists_keep_their_order(void **state)
{
	struct portal list[PORTALS_MAX];
	char why[SERVER_WHY_SIZE];
	struct server_list servers;
	unsigned int count;

	(void)state;
	assert_int_equal(server_list_parse("127.0.0.2,[::1]:7,127.0.0.1",
					   &servers, why), 0);
	assert_int_equal(resolve_list(&servers, NULL, list, &count),
			 STATUS_OK);
	assert_int_equal(count, 3);
	assert_int_equal(list[0].address.bytes[3], 2);
	assert_int_equal(list[1].address.len, 16);
	assert_int_equal(list[1].port, 7);
	assert_int_equal(list[2].address.bytes[3], 1);

	/* two spellings of one address */
	assert_int_equal(server_list_parse("::1,127.0.0.1,0:0::1", &servers,
					   why), 0);
	assert_int_equal(resolve_list(&servers, NULL, list, &count),
			 STATUS_FAILED);
	assert_int_equal(server_list_parse("127.0.0.1,no such host", &servers,
					   why), 0);
	assert_int_equal(resolve_list(&servers, NULL, list, &count),
			 STATUS_FAILED);
}

static void link_local_needs_a_link(void **state)
{
	struct session session = { .portal_count = 2 };

	(void)state;
	session.portals[0] = portal("127.0.0.1", 0);
	session.portals[1] = portal("fe80::1", 0);
	assert_int_equal(check_scopes(&session), STATUS_FAILED);
	session.portals[1].scope = 1;
	assert_int_equal(check_scopes(&session), STATUS_OK);
	session.portals[1].scope = 0;
	strcpy(session.interface, "lo");
	assert_int_equal(check_scopes(&session), STATUS_OK);
}

static void seconds(void **state)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = {
		{ "0", 0 }, { "5", 5000 }, { "0.2", 200 }, { "0.25", 250 },
		{ "1.005", 1005 }, { "007", 7000 }, { "86400", 86400000 },
		{ "86400.000", 86400000 },
	};
	static const char * const bad[] = {
		"", ".", ".5", "5.", "5.0000", "-1", "+1", " 1", "1 ", "1s",
		"0x1", "1e3", "1,5", "86400.001", "99999999999999999999", "off",
	};
	uint32_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_seconds(good[i].text, 0, 86400000, &ms),
				 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_seconds(bad[i], 0, 86400000, &ms), -1);
	assert_int_equal(parse_seconds("0.199", 200, 86400000, &ms), -1);
}

static void numbers(void **state)
{
	uint32_t n = 7;

	(void)state;
	assert_int_equal(parse_number("0", 0, 9, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_number("4294967295", 0, UINT32_MAX, &n), 0);
	assert_int_equal(n, UINT32_MAX);
	assert_int_equal(parse_number("4294967296", 0, UINT32_MAX, &n), -1);
	assert_int_equal(parse_number("99999999999", 0, UINT32_MAX, &n), -1);
	assert_int_equal(parse_number("0", 1, 9, &n), -1);
	assert_int_equal(parse_number("10", 1, 9, &n), -1);
	assert_int_equal(parse_number("", 0, 9, &n), -1);
	assert_int_equal(parse_number("-1", 0, 9, &n), -1);
	assert_int_equal(parse_number("1 ", 0, 9, &n), -1);
	assert_int_equal(n, UINT32_MAX);
}

static void device_names(void **state)
{
	static const char * const bad[] = {
		"", "0", "vxhs", "vxhs-1", "vxhs01", "vxhs1048576",
		"vxhs99999999999", "vxhs0x", "vxhs0p", "vxhs0p0", "vxhs0pp1",
		"xvxhs0", "sda", "vxhs/host/vdisk", "vxhs0/..",
	};
	bool partition;
	uint32_t index;
	size_t i;

	(void)state;
	assert_true(device_name_parse("vxhs0", &index, &partition));
	assert_int_equal(index, 0);
	assert_false(partition);
	assert_true(device_name_parse("vxhs1048575", &index, &partition));
	assert_int_equal(index, 1048575);
	assert_true(device_name_parse("vxhs12p3", &index, &partition));
	assert_int_equal(index, 12);
	assert_true(partition);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(device_name_parse(bad[i], &index, &partition));
	assert_int_equal(device_resolve("/dev/vxhs7", &index), STATUS_OK);
	assert_int_equal(index, 7);
	assert_int_equal(device_resolve("vxhs8", &index), STATUS_OK);
	assert_int_equal(index, 8);
	assert_int_equal(device_resolve("vxhs8p1", &index), STATUS_FAILED);
	assert_int_equal(device_resolve("0", &index), STATUS_FAILED);
	assert_int_equal(device_resolve("", &index), STATUS_FAILED);
	assert_int_equal(device_resolve("/dev/null", &index), STATUS_FAILED);
	assert_int_equal(device_resolve("/nonexistent/vxhs0", &index),
			 STATUS_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_and_port),
		cmocka_unit_test(lists_of_hosts),
		cmocka_unit_test(addresses),
		cmocka_unit_test(portals_do_not_depend_on_dns),
		cmocka_unit_test(addresses_need_no_dns),
		cmocka_unit_test(lists_keep_their_order),
		cmocka_unit_test(link_local_needs_a_link),
		cmocka_unit_test(seconds),
		cmocka_unit_test(numbers),
		cmocka_unit_test(device_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
