// SPDX-License-Identifier: GPL-2.0
/* Options, numbers and error sentences, the same for every subcommand. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "vxhsctl.h"

#define SENTENCE_MAX	2048

static void say(const char *fmt, va_list ap)
{
	char raw[SENTENCE_MAX], clean[SENTENCE_MAX * TEXT_GROWTH];

	/* Part of it may come from a server: keep it off the terminal's wits. */
	vsnprintf(raw, sizeof(raw), fmt, ap);
	text_printable(clean, sizeof(clean), raw);
	fflush(stdout);
	fprintf(stderr, "vxhsctl: %s\n", clean);
}

/**
 * complain() - print one sentence on stderr
 * @fmt: the sentence, without program name and newline
 */
void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

/**
 * failed() - complain, for "return failed(...)"
 * @fmt: the sentence
 *
 * Return: STATUS_FAILED.
 */
int failed(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return STATUS_FAILED;
}

/**
 * bad_usage() - complain about the command line
 * @cmd: whose
 * @fmt: what is wrong; where help is to be had is appended
 *
 * Return: STATUS_USAGE.
 */
int bad_usage(const struct command *cmd, const char *fmt, ...)
{
	char what[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	complain("%s: %s; see vxhsctl %s --help", cmd->name, what, cmd->name);
	return STATUS_USAGE;
}

/**
 * next_option() - getopt_long() with this program's error sentences
 * @cmd: whose options, for the sentences
 * @argc: as of @cmd->run
 * @argv: as of @cmd->run
 * @options: none has a short form
 *
 * Return: an option's value, OPTION_END, or OPTION_BAD after complaining.
 */
int next_option(const struct command *cmd, int argc, char **argv,
		const struct option *options)
{
	int value;

	opterr = 0;
	value = getopt_long(argc, argv, ":", options, NULL);
	if (value == ':') {
		bad_usage(cmd, "option \"%s\" needs a value",
			  argv[optind - 1]);
		return OPTION_BAD;
	}
	if (value != '?')
		return value;
	if (optopt >= OPTION_JSON)
		bad_usage(cmd, "\"%s\": this option takes no value",
			  argv[optind - 1]);
	else if (optopt)
		bad_usage(cmd, "unknown option \"-%c\"", optopt);
	else
		bad_usage(cmd, "unknown option \"%s\"", argv[optind - 1]);
	return OPTION_BAD;
}

/**
 * parse_json_only() - parse the options of a command that has only --json
 * @cmd: whose
 * @argc: as of @cmd->run
 * @argv: as of @cmd->run; positional arguments begin at optind afterwards
 * @json: set when the option is there
 *
 * Return: STATUS_OK or STATUS_USAGE.
 */
int parse_json_only(const struct command *cmd, int argc, char **argv,
		    int *json)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ }
	};
	int opt;

	while ((opt = next_option(cmd, argc, argv, options)) != OPTION_END) {
		if (opt != OPTION_JSON)
			return STATUS_USAGE;
		*json = 1;
	}
	return STATUS_OK;
}

/**
 * no_arguments() - complain if a command was given arguments
 * @cmd: whose
 * @argc: as of @cmd->run
 * @argv: as of @cmd->run; its options were parsed
 *
 * Return: STATUS_OK or STATUS_USAGE.
 */
int no_arguments(const struct command *cmd, int argc, char **argv)
{
	if (argc == optind)
		return STATUS_OK;
	return bad_usage(cmd, "it takes no argument like \"%s\"",
			 argv[optind]);
}

/**
 * parse_number() - decimal digits and nothing else
 * @text: the digits
 * @min: smallest value allowed
 * @max: largest value allowed
 * @out: the value
 *
 * Return: 0, or -1 when @text is no such number.
 */
int parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
	unsigned long long value;
	size_t len = strlen(text);

	/* strtoull() would take a sign, blanks and 0x as well. */
	if (!len || len > 10 || strspn(text, "0123456789") != len)
		return -1;
	value = strtoull(text, NULL, 10);
	if (value < min || value > max)
		return -1;
	*out = value;
	return 0;
}

/**
 * parse_seconds() - seconds with up to three decimals, and nothing else
 * @text: such as 5, 0.25
 * @min: smallest value allowed, milliseconds
 * @max: largest value allowed, milliseconds
 * @ms: the value, milliseconds
 *
 * Return: 0, or -1 when @text is no such number.
 */
int parse_seconds(const char *text, uint32_t min, uint32_t max, uint32_t *ms)
{
	size_t whole = strspn(text, "0123456789"), decimals = 0, i;
	uint64_t value;

	if (!whole || whole > 7)
		return -1;
	if (text[whole] == '.') {
		decimals = strspn(text + whole + 1, "0123456789");
		if (!decimals || decimals > 3 || text[whole + 1 + decimals])
			return -1;
	} else if (text[whole]) {
		return -1;
	}
	value = strtoull(text, NULL, 10);
	for (i = 1; i <= 3; i++)
		value = value * 10 +
			(i <= decimals ? text[whole + i] - '0' : 0);
	if (value < min || value > max)
		return -1;
	*ms = value;
	return 0;
}
