// SPDX-License-Identifier: GPL-2.0
/* The small parts of vxhsd: sizes, UUIDs, addresses, buffers, tags, records. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../tools/vxhsd/lease_record.h"
#include "../../tools/vxhsd/pool.h"
#include "../../tools/vxhsd/tags.h"
#include "../../tools/vxhsd/util.h"

static void sizes(void **state)
{
	u64 n;

	(void)state;
	assert_true(parse_size("0", &n) && n == 0);
	assert_true(parse_size("512", &n) && n == 512);
	assert_true(parse_size("64k", &n) && n == 65536);
	assert_true(parse_size("10G", &n) && n == 10ULL << 30);
	assert_true(parse_size("2TiB", &n) && n == 2ULL << 40);
	assert_true(parse_size("3MB", &n) && n == 3ULL << 20);
	assert_true(parse_size("7E", &n) && n == 7ULL << 60);
	assert_false(parse_size("8E", &n));
	assert_false(parse_size("9223372036854775808", &n));
	assert_false(parse_size("99999999999999999999", &n));
	assert_false(parse_size("", &n));
	assert_false(parse_size("-1", &n));
	assert_false(parse_size(" 1", &n));
	assert_false(parse_size("1.5G", &n));
	assert_false(parse_size("1Gx", &n));
	assert_false(parse_size("1Bx", &n));
}

static void uuids(void **state)
{
	static const char text[] = "01234567-89ab-cdef-0123-456789abcdef";
	char out[UUID_TEXT];
	u8 id[16], other[16];

	(void)state;
	assert_true(uuid_parse(text, id));
	uuid_format(id, out);
	assert_string_equal(out, text);
	assert_true(uuid_parse("0123456789ABCDEF0123456789abcdef\n", other));
	assert_memory_equal(id, other, 16);
	assert_false(uuid_parse("01234567-89ab-cdef-0123-456789abcde", id));
	assert_false(uuid_parse("01234567--89ab-cdef-0123-456789abcde", id));
	assert_false(uuid_parse("0123456789abcdef0123456789abcdef0", id));
	assert_false(uuid_parse("g1234567-89ab-cdef-0123-456789abcdef", id));
	assert_false(uuid_parse("", id));
}

static void derived_uuids(void **state)
{
	u8 a[16], b[16], c[16];

	(void)state;
	uuid_from_hash(a, "x", 1, "yz", 2);
	uuid_from_hash(b, "x", 1, "yz", 2);
	uuid_from_hash(c, "xy", 2, "z", 1);
	assert_memory_equal(a, b, 16);
	assert_memory_not_equal(a, c, 16);
	assert_int_equal(a[6] >> 4, 8);
	assert_int_equal(a[8] >> 6, 2);
}

static void addresses(void **state)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(9999),
		.sin_addr.s_addr = htonl(0x7f000001),
	};
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(1),
	};
	char text[ADDR_TEXT];
	u8 a[16], b[16];

	(void)state;
	addr_format((struct sockaddr *)&in, text);
	assert_string_equal(text, "127.0.0.1:9999");
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr);
	addr_format((struct sockaddr *)&in6, text);
	assert_string_equal(text, "127.0.0.1:1");

	/* The same client, whichever socket took it, whatever its port. */
	addr_identity((struct sockaddr *)&in, a);
	addr_identity((struct sockaddr *)&in6, b);
	assert_memory_equal(a, b, 16);

	inet_pton(AF_INET6, "fd00::1", &in6.sin6_addr);
	addr_format((struct sockaddr *)&in6, text);
	assert_string_equal(text, "[fd00::1]:1");
	addr_identity((struct sockaddr *)&in6, b);
	assert_memory_not_equal(a, b, 16);
}

static void pool_is_bounded(void **state)
{
	struct pool pool;
	void *a, *b;

	(void)state;
	pool_init(&pool, 3 * 4096);
	a = pool_get(&pool, 5000, false);
	assert_non_null(a);
	assert_int_equal((uintptr_t)a % POOL_ALIGN, 0);
	assert_null(pool_get(&pool, 4097, false));
	b = pool_get(&pool, 1, false);
	assert_non_null(b);
	assert_null(pool_get(&pool, 1, false));
	pool_put(&pool, b, 1);
	assert_ptr_equal(pool_get(&pool, 4096, false), b);
	pool_put(&pool, b, 4096);
	pool_put(&pool, a, 5000);
	assert_int_equal(pool.lent, 0);
	pool_destroy(&pool);
}

static void pool_pinned(void **state)
{
	struct pool pool;
	void *mem = mmap(NULL, PINNED_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u8 *buf[PINNED_EACH / 131072], *other;
	size_t i, n = PINNED_EACH / 131072;

	(void)state;
	assert_ptr_not_equal(mem, MAP_FAILED);
	pool_init(&pool, 64 << 20);
	other = pool_get(&pool, 131072, true);
	assert_false(pool_is_pinned(&pool, other));
	pool_put(&pool, other, 131072);
	pool_take_pinned(&pool, mem);
	for (i = 0; i < n; i++) {
		buf[i] = pool_get(&pool, 131072, true);
		assert_true(pool_is_pinned(&pool, buf[i]));
		assert_int_equal((uintptr_t)buf[i] % POOL_ALIGN, 0);
		memset(buf[i], (int)i, 131072);
	}
	/* They are all out, too large, or not asked for. */
	other = pool_get(&pool, 131072, true);
	assert_false(pool_is_pinned(&pool, other));
	pool_put(&pool, other, 131072);
	other = pool_get(&pool, 131073, true);
	assert_false(pool_is_pinned(&pool, other));
	pool_put(&pool, other, 131073);
	other = pool_get(&pool, 4096, false);
	assert_false(pool_is_pinned(&pool, other));
	pool_put(&pool, other, 4096);
	for (i = 0; i < n; i++) {
		assert_int_equal(buf[i][0], i);
		assert_int_equal(buf[i][131071], i);
		pool_put(&pool, buf[i], 131072);
	}
	assert_int_equal(pool.lent, 0);
	pool_destroy(&pool);
}

static void pool_large(void **state)
{
	struct pool pool;
	u8 *a;

	(void)state;
	pool_init(&pool, 64 << 20);
	a = pool_get(&pool, (16 << 20) + 1, false);
	assert_non_null(a);
	a[16 << 20] = 1;
	pool_put(&pool, a, (16 << 20) + 1);
	assert_int_equal(pool.kept, 0);
	pool_destroy(&pool);
}

static void tags_find(void **state)
{
	static struct tags tags;
	static struct io ios[1000];
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		ios[i].tag = (u64)i << 32;
		assert_false(tags_have(&tags, ios[i].tag));
		tags_add(&tags, &ios[i]);
		assert_true(tags_have(&tags, ios[i].tag));
	}
	for (i = 0; i < 1000; i += 2)
		tags_del(&tags, &ios[i]);
	for (i = 0; i < 1000; i++)
		assert_int_equal(tags_have(&tags, ios[i].tag), i % 2);
}

#define HOST_TEXT	"01020304-0506-0708-090a-0b0c0d0e0f10"

static void lease_records(void **state)
{
	struct lease_record r, again;
	char line[LEASE_LINE];

	(void)state;
	memset(&r, 0, sizeof(r));
	r.number = ~0ULL;
	r.session = ~0ULL;
	memset(r.host, 0xff, sizeof(r.host));
	r.kato_ms = ~0u;
	r.state = LEASE_SHARED;
	r.since = ~0ULL;
	r.instance = ~0ULL;
	r.serial = ~0ULL;
	memset(r.address, 'f', sizeof(r.address) - 1);
	memset(r.name, 'n', sizeof(r.name) - 1);
	lease_record_format(&r, line);
	assert_true(lease_record_parse(line, &again));
	assert_memory_equal(&r, &again, sizeof(r));

	/* What is not known. */
	memset(r.address, 0, sizeof(r.address));
	memset(r.name, 0, sizeof(r.name));
	r.state = LEASE_HELD;
	lease_record_format(&r, line);
	assert_true(lease_record_parse(line, &again));
	assert_memory_equal(&r, &again, sizeof(r));

	/* Of earlier versions. */
	assert_true(lease_record_parse("7 8a " HOST_TEXT " 5000 held", &r));
	assert_int_equal(r.number, 7);
	assert_int_equal(r.session, 0x8a);
	assert_int_equal(r.host[15], 0x10);
	assert_int_equal(r.kato_ms, 5000);
	assert_int_equal(r.state, LEASE_HELD);
	assert_int_equal(r.since, 0);
	assert_int_equal(r.instance, 0);
	assert_int_equal(r.serial, 0);
	assert_string_equal(r.address, "");
	assert_string_equal(r.name, "");
	assert_true(lease_record_parse("7 8a " HOST_TEXT " 5000 free", &r));
	assert_int_equal(r.state, LEASE_FREE);

	assert_false(lease_record_parse("", &r));
	assert_false(lease_record_parse("7 8a " HOST_TEXT " 5000", &r));
	assert_false(lease_record_parse("0 8a " HOST_TEXT " 5000 held", &r));
	assert_false(lease_record_parse("7 8a " HOST_TEXT "0 5000 held", &r));
	assert_false(lease_record_parse("7 8a 0102 5000 held", &r));
}

static void assert_newer(const struct lease_record *a,
			 const struct lease_record *b)
{
	assert_true(lease_record_newer(a, b));
	assert_false(lease_record_newer(b, a));
}

static void newer_leases(void **state)
{
	struct lease_record a = { .number = 7, .serial = 3, .since = 5 }, b = a;

	(void)state;
	assert_false(lease_record_newer(&a, &b));
	a.state = LEASE_HELD;
	assert_newer(&a, &b);
	b.since++;
	assert_newer(&b, &a);
	a.serial++;
	assert_newer(&a, &b);
	b.number++;
	assert_newer(&b, &a);
}

static void lease_files(void **state)
{
	u8 id[16];

	(void)state;
	assert_true(lease_file_parse("lease-" HOST_TEXT, id));
	assert_int_equal(id[15], 0x10);
	assert_true(lease_file_parse("lease-" HOST_TEXT "-" HOST_TEXT, id));
	assert_int_equal(id[15], 0x10);
	assert_false(lease_file_parse("lease-", id));
	assert_false(lease_file_parse("losses-" HOST_TEXT, id));
	assert_false(lease_file_parse("lease-" HOST_TEXT ".new", id));
	assert_false(lease_file_parse("lease-" HOST_TEXT "-", id));
	assert_false(lease_file_parse("lease-" HOST_TEXT "-" HOST_TEXT ".new",
				      id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(uuids),
		cmocka_unit_test(derived_uuids),
		cmocka_unit_test(addresses),
		cmocka_unit_test(pool_is_bounded),
		cmocka_unit_test(pool_pinned),
		cmocka_unit_test(pool_large),
		cmocka_unit_test(tags_find),
		cmocka_unit_test(lease_records),
		cmocka_unit_test(newer_leases),
		cmocka_unit_test(lease_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
