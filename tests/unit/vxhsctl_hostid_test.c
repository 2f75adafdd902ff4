// SPDX-License-Identifier: GPL-2.0
/* The host's UUID: derived as systemd derives it, made once, never replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tools/vxhsctl/hostid.h"
#include "../../tools/vxhsctl/sha256.h"
#include "../../tools/vxhsctl/text.h"
#include "../../tools/vxhsctl/vxhsctl.h"

struct files {
	char dir[32];
	char machine_id[64];
	char hostid[128];
};

static int set_up(void **state)
{
	struct files *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/vxhs-hostid-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->machine_id, sizeof(f->machine_id), "%s/machine-id", f->dir);
	snprintf(f->hostid, sizeof(f->hostid), "%s/vxhs/hostid", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct files *f = *state;
	char dir[64];

	snprintf(dir, sizeof(dir), "%s/vxhs", f->dir);
	unlink(f->machine_id);
	unlink(f->hostid);
	/* Fails if a temporary file was left behind. */
	if (rmdir(dir) && !access(dir, F_OK))
		return -1;
	if (rmdir(f->dir))
		return -1;
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void expect_id(const struct files *f, const char *want)
{
	char text[UUID_TEXT_SIZE];
	uint8_t id[16];

	assert_int_equal(host_id(f->hostid, f->machine_id, id), STATUS_OK);
	uuid_text(text, id);
	assert_string_equal(text, want);
}

/* systemd-id128 machine-id --app-specific says so for this machine id. */
#define MACHINE_ID	"0123456789abcdef0123456789abcdef\n"
#define DERIVED_ID	"be6d9bcc-7d9f-4e31-b114-d1c7c475c548"

static void made_once(void **state)
{
	struct files *f = *state;
	struct stat st;

	write_file(f->machine_id, MACHINE_ID);
	expect_id(f, DERIVED_ID);
	assert_int_equal(stat(f->hostid, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 37);
	write_file(f->machine_id, "fedcba9876543210fedcba9876543210\n");
	expect_id(f, DERIVED_ID);
	unlink(f->machine_id);
	expect_id(f, DERIVED_ID);
}

static void what_is_there_counts(void **state)
{
	struct files *f = *state;
	char dir[64];

	snprintf(dir, sizeof(dir), "%s/vxhs", f->dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	write_file(f->machine_id, MACHINE_ID);
	write_file(f->hostid, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
	expect_id(f, "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
}

static void not_stored_where_it_cannot_be(void **state)
{
	struct files *f = *state;

	/* Not even root can write below a file. */
	write_file(f->machine_id, MACHINE_ID);
	snprintf(f->hostid, sizeof(f->hostid), "%s/vxhs/hostid",
		 f->machine_id);
	expect_id(f, DERIVED_ID);
}

static void nonsense_is_refused(void **state)
{
	static const char * const bad[] = {
		"", "\n", "uninitialized\n", "0123456789abcdef\n",
		"00000000000000000000000000000000\n",
		"0123456789abcdef0123456789abcdeg\n",
		"0123456789abcdef0123456789abcdef0\n",
	};
	struct files *f = *state;
	uint8_t id[16];
	char dir[64];
	size_t i;

	assert_int_equal(host_id(f->hostid, f->machine_id, id),
			 STATUS_FAILED);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(f->machine_id, bad[i]);
		assert_int_equal(host_id(f->hostid, f->machine_id, id),
				 STATUS_FAILED);
	}
	assert_int_equal(access(f->hostid, F_OK), -1);
	snprintf(dir, sizeof(dir), "%s/vxhs", f->dir);
	mkdir(dir, 0755);
	write_file(f->machine_id, MACHINE_ID);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(f->hostid, bad[i]);
		assert_int_equal(host_id(f->hostid, f->machine_id, id),
				 STATUS_FAILED);
	}
}

static void expect_digest(const uint8_t *digest, const char *want)
{
	char text[2 * SHA256_SIZE + 1];
	unsigned int i;

	for (i = 0; i < SHA256_SIZE; i++)
		sprintf(text + 2 * i, "%02x", digest[i]);
	assert_string_equal(text, want);
}

static void digests(void **state)
{
	uint8_t digest[SHA256_SIZE], long_text[1000];

	(void)state;
	/* FIPS 180-4 examples, and lengths around the padding's edges */
	sha256("", 0, digest);
	expect_digest(digest,
"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256("abc", 3, digest);
	expect_digest(digest,
"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
	       digest);
	expect_digest(digest,
"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(long_text, 'a', sizeof(long_text));
	sha256(long_text, 55, digest);
	expect_digest(digest,
"9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	sha256(long_text, 64, digest);
	expect_digest(digest,
"ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	sha256(long_text, 1000, digest);
	expect_digest(digest,
"41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
	/* RFC 4231, test case 2 */
	hmac_sha256((const uint8_t *)"Jefe", 4,
		    (const uint8_t *)"what do ya want for nothing?", 28,
		    digest);
	expect_digest(digest,
"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(made_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_there_counts, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(not_stored_where_it_cannot_be,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused, set_up,
						tear_down),
		cmocka_unit_test(digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
