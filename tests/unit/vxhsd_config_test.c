// SPDX-License-Identifier: GPL-2.0
/* What the command line and the config file of vxhsd mean. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tools/vxhsd/config.h"

#define ARGS_MAX	12

static int parse(struct config *config, struct err *err, const char *line)
{
	char *copy = strdup(line), *rest = copy, *word;
	char *argv[ARGS_MAX + 1] = { "vxhsd" };
	int argc = 1, ret;

	while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
		if (*word)
			argv[argc++] = word;
	memset(err, 0, sizeof(*err));
	ret = config_parse_args(config, argc, argv, err);
	free(copy);
	return ret;
}

static int read_text(struct config *config, struct err *err, const char *args,
		     const char *text)
{
	char path[] = "/tmp/vxhsd-config-XXXXXX";
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(parse(config, err, args), 0);
	config->path = strdup(path);
	ret = config_read_file(config, err);
	unlink(path);
	return ret;
}

static void exports_from_args(void **state)
{
	struct config config;
	struct export_spec *x;
	struct err err;

	(void)state;
	assert_int_equal(parse(&config, &err,
		"--export a=/x/y.img,size=10G,ro,cache=none,block=4096 --export=b=memory,size=4096,id=00112233-4455-6677-8899-aabbccddeeff"),
		0);
	x = config.exports;
	assert_string_equal(x->name, "a");
	assert_string_equal(x->target, "/x/y.img");
	assert_int_equal(x->size, 10ULL << 30);
	assert_int_equal(x->block, 4096);
	assert_true(x->read_only);
	assert_true(x->write_through);
	assert_false(x->has_id);
	x = x->next;
	assert_string_equal(x->name, "b");
	assert_int_equal(x->size, 4096);
	assert_false(x->read_only);
	assert_false(x->write_through);
	assert_true(x->has_id);
	assert_int_equal(x->id[0], 0x00);
	assert_int_equal(x->id[15], 0xff);
	assert_null(x->next);
	config_free(&config);
}

static void bad_args(void **state)
{
	static const char * const lines[] = {
		"--frobnicate", "word", "--export", "--export a",
		"--export a=", "--export =b", "--export a=x,size=",
		"--export a=x,size=0", "--export a=x,size=1Q",
		"--export a=x,size=-1", "--export a=x,size=9999999999999G",
		"--export a=x,cache=maybe", "--export a=x,block=500",
		"--export a=x,block=8192", "--export a=x,id=12",
		"--export a=x,ro=perhaps", "--export a=x,what",
		"--export a=x,target=y", "--export a=x,",
		"--export a=x --export a=y", "--export ..=x",
		"--export a/b=x", "--threads 0", "--threads 4x",
		"--threads 100000", "--listen [::1", "--listen [::1]9999",
		"--listen 1.2.3.4:", "--listen 1.2.3.4:70000",
		"--listen 1.2.3.4:00000009999",
		"--listen 1.2.3.4:http", "--listen []:1",
	};
	struct config config;
	struct err err;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!parse(&config, &err, lines[i]))
			fail_msg("accepted: %s", lines[i]);
		if (!err.usage || !*err.text)
			fail_msg("no sentence for: %s", lines[i]);
		config_free(&config);
	}
}

static void long_name(void **state)
{
	struct config config = { 0 };
	struct err err = { 0 };
	char text[100];

	(void)state;
	memset(text, 'n', sizeof(text));
	strcpy(text + 63, "=memory");
	assert_int_equal(config_add_export(&config, text, &err), 0);
	memset(text, 'n', 64);
	strcpy(text + 64, "=memory");
	assert_int_equal(config_add_export(&config, text, &err), -1);
	assert_true(err.usage);
	config_free(&config);
}

static void check_listen(const char *text, const char *host, const char *port)
{
	struct config config = { 0 };
	struct err err = { 0 };

	assert_int_equal(config_add_listen(&config, text, &err), 0);
	if (host)
		assert_string_equal(config.listens->host, host);
	else
		assert_null(config.listens->host);
	assert_string_equal(config.listens->port, port);
	config_free(&config);
}

static void listen_addresses(void **state)
{
	(void)state;
	check_listen("127.0.0.1", "127.0.0.1", "9999");
	check_listen("127.0.0.1:1", "127.0.0.1", "1");
	check_listen("[::1]:65535", "::1", "65535");
	check_listen("[fe80::1%eth0]", "fe80::1%eth0", "9999");
	check_listen("::1", "::1", "9999");
	check_listen("store.example:0", "store.example", "0");
	check_listen("*", NULL, "9999");
	check_listen(":7000", NULL, "7000");
}

static void from_file(void **state)
{
	struct config config;
	struct export_spec *x;
	struct err err;

	(void)state;
	assert_int_equal(read_text(&config, &err, "--threads 3",
		"; a comment\n"
		"[server]\n"
		"listen = 127.0.0.1:1\n"
		"listen = [::1]:2\n"
		"threads = 7\n"
		"state_dir = /s\n"
		"\n"
		"[export one]\n"
		"target = /d/one.img\n"
		"size = 1T\n"
		"cache = none   ; inline\n"
		"ro = yes\n"
		"[export two]\n"
		"target = memory\n"
		"size = 64M\n"
		"ro = no\n"), 0);
	assert_int_equal(config.threads, 3);
	assert_string_equal(config.state_dir, "/s");
	assert_string_equal(config.listens->port, "1");
	assert_string_equal(config.listens->next->host, "::1");
	x = config.exports;
	assert_string_equal(x->name, "one");
	assert_int_equal(x->size, 1ULL << 40);
	assert_true(x->write_through);
	assert_true(x->read_only);
	assert_true(x->from_file);
	assert_string_equal(x->next->target, "memory");
	assert_false(x->next->read_only);
	config_free(&config);
}

static void args_go_first(void **state)
{
	struct config config;
	struct err err;

	(void)state;
	assert_int_equal(read_text(&config, &err,
				   "--listen 127.0.0.9:9 --state-dir /mine",
				   "[server]\nlisten = 1.2.3.4\nstate_dir = /x\n"),
			 0);
	assert_string_equal(config.listens->host, "127.0.0.9");
	assert_null(config.listens->next);
	assert_string_equal(config.state_dir, "/mine");
	config_free(&config);
}

static void bad_files(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} files[] = {
		{ "words\n", ":1:" },
		{ "[server]\n\ncolour = red\n", ":3:" },
		{ "[disk]\nsize = 1\n", "[disk]" },
		{ "size = 1\n", "before any section" },
		{ "[export a]\nsize = 1M\n", "no target" },
		{ "[export a]\ntarget = x\nsize = big\n", ":3:" },
		{ "[export a b]\ntarget = x\n", "space" },
		{ "[export a]\ntarget = x\n[export b]\ntarget = y\n[export a]\nro = 1\n",
		  "twice" },
		{ "[server]\nthreads = many\n", "many" },
		{ "[server]\nlisten = [::1\n", "[::1" },
	};
	struct config config;
	struct err err;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (!read_text(&config, &err, "", files[i].text))
			fail_msg("accepted: %s", files[i].text);
		if (!err.usage || !strstr(err.text, files[i].says))
			fail_msg("\"%s\" gives: %s", files[i].text, err.text);
		config_free(&config);
	}
}

static void long_line(void **state)
{
	struct config config;
	struct err err;
	char text[400];

	(void)state;
	strcpy(text, "[export a]\ntarget = ");
	memset(text + 20, 'x', 300);
	strcpy(text + 320, "\n");
	assert_int_equal(read_text(&config, &err, "", text), -1);
	assert_non_null(strstr(err.text, "longer"));
	config_free(&config);
}

static void missing_file(void **state)
{
	struct config config;
	struct err err;

	(void)state;
	assert_int_equal(parse(&config, &err, "--config /nonexistent/f"), 0);
	assert_int_equal(config_read_file(&config, &err), -1);
	assert_false(err.usage);
	assert_non_null(strstr(err.text, "/nonexistent/f"));
	config_free(&config);
}

static void defaults(void **state)
{
	struct config config;
	struct err err;

	(void)state;
	assert_int_equal(parse(&config, &err, "--export a=x"), 0);
	assert_int_equal(config_finish(&config, &err), 0);
	assert_null(config.listens->host);
	assert_string_equal(config.listens->port, "9999");
	assert_string_equal(config.state_dir, DEFAULT_STATE_DIR);
	assert_true(config.threads >= 1);
	config_free(&config);

	assert_int_equal(parse(&config, &err, ""), 0);
	assert_int_equal(config_finish(&config, &err), -1);
	assert_true(err.usage);
	config_free(&config);
}

static void specs_compare(void **state)
{
	struct config config;
	struct export_spec *copy;
	struct err err;

	(void)state;
	assert_int_equal(parse(&config, &err, "--export a=x,size=1M"), 0);
	copy = export_spec_dup(config.exports);
	assert_non_null(copy);
	assert_true(export_spec_equal(copy, config.exports));
	copy->size++;
	assert_false(export_spec_equal(copy, config.exports));
	export_spec_free(copy);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exports_from_args),
		cmocka_unit_test(bad_args),
		cmocka_unit_test(long_name),
		cmocka_unit_test(listen_addresses),
		cmocka_unit_test(from_file),
		cmocka_unit_test(args_go_first),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(long_line),
		cmocka_unit_test(missing_file),
		cmocka_unit_test(defaults),
		cmocka_unit_test(specs_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
