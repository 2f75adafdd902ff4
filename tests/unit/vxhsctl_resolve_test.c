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
		cmocka_unit_test(addresses),
		cmocka_unit_test(portals_do_not_depend_on_dns),
		cmocka_unit_test(addresses_need_no_dns),
		cmocka_unit_test(numbers),
		cmocka_unit_test(device_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
