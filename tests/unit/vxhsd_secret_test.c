// SPDX-License-Identifier: GPL-2.0
/* Lines with pre-shared keys: which are taken, and what is said of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/lib/secret.h"

#define KEY	"00112233445566778899aabbccddeeff"

static int parse(const char *line, struct psk *psk, struct err *err)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s", line);
	memset(err, 0, sizeof(*err));
	return psk_parse_line("file", 7, text, psk, err);
}

static void good_lines(void **state)
{
	struct err err;
	struct psk psk;

	(void)state;
	assert_int_equal(parse("a:b:" KEY, &psk, &err), 0);
	assert_string_equal(psk.name, "a:b");
	assert_int_equal(psk.len, 16);
	assert_int_equal(psk.key[15], 0xff);
}

static void long_identities(void **state)
{
	char line[258 + sizeof(KEY)];
	struct err err;
	struct psk psk;

	(void)state;
	memset(line, 'a', 255);
	strcpy(line + 255, ":" KEY);
	assert_int_equal(parse(line, &psk, &err), 0);
	assert_int_equal(strlen(psk.name), 255);
	memset(line, 'a', 256);
	strcpy(line + 256, ":" KEY);
	assert_int_equal(parse(line, &psk, &err), -1);
	assert_non_null(strstr(err.text, "1 to 255 "));
}

/* What is wrong may stand where the name should be. */
static void no_key_is_said(void **state)
{
	static const char *const lines[] = {
		KEY, "alice " KEY, "alice:" KEY "0", "alice:" KEY ":",
		"alice:" KEY ":alice", KEY ":alice", ":" KEY, "alice:x" KEY,
		"alice: " KEY, KEY KEY KEY KEY ":" KEY KEY KEY KEY "00",
	};
	struct err err;
	struct psk psk;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(parse(lines[i], &psk, &err), -1);
		assert_non_null(strstr(err.text, "file:7: "));
		if (strstr(err.text, "00112233"))
			fail_msg("\"%s\" says: %s", lines[i], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(long_identities),
		cmocka_unit_test(no_key_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
