/* SPDX-License-Identifier: GPL-2.0 */
/* How a disk and its session behave when the server does not answer. */
#ifndef VXHSCTL_POLICY_H
#define VXHSCTL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_NEVER	UINT32_MAX	/* of a time-out: for ever */

/* The first POLICY_DISK_ITEMS belong to the disk, the others to the session. */
enum policy_item {
	POLICY_FAST_IO_FAIL,
	POLICY_IO_TIMEOUT,
	POLICY_SHUTDOWN,
	POLICY_DISK_ITEMS,
	POLICY_KATO = POLICY_DISK_ITEMS,
	POLICY_RECONNECT_DELAY,
	POLICY_REPLAY_DELAY,
	POLICY_ITEMS,
};

/**
 * struct policy - some of the values
 * @has: which of @ms are there
 * @ms: milliseconds; of a kernel's message, POLICY_NEVER is for ever
 */
struct policy {
	bool has[POLICY_ITEMS];
	uint32_t ms[POLICY_ITEMS];
};

/**
 * struct policy_name - how an item is called
 * @option: on the command line
 * @key: in JSON
 * @label: in what people read
 * @off: what the kernel takes for "off", where @has_off
 * @has_off: it can be switched off
 * @min: smallest value, milliseconds
 */
struct policy_name {
	const char *option;
	const char *key;
	const char *label;
	uint32_t off;
	bool has_off;
	uint32_t min;
};

struct command;

#define POLICY_TEXT_SIZE	32
#define POLICY_MAX_MS		86400000u

extern const struct policy_name policy_names[POLICY_ITEMS];

bool policy_is_off(enum policy_item item, uint32_t ms);
void policy_text(char out[POLICY_TEXT_SIZE], uint32_t ms);
int policy_take(const struct command *cmd, int opt, const char *value,
		struct policy *policy);
bool policy_is_empty(const struct policy *policy);

/* Lines of a table of options. */
#define POLICY_OPTIONS							\
	POLICY_OPTION("fast-io-fail", POLICY_FAST_IO_FAIL),		\
	POLICY_OPTION("io-timeout", POLICY_IO_TIMEOUT),			\
	POLICY_OPTION("shutdown-timeout", POLICY_SHUTDOWN),		\
	POLICY_OPTION("kato", POLICY_KATO),				\
	POLICY_OPTION("reconnect-delay", POLICY_RECONNECT_DELAY),	\
	POLICY_OPTION("replay-delay", POLICY_REPLAY_DELAY)

#define POLICY_OPTION(name, item)					\
	{ name, required_argument, NULL, OPTION_POLICY + (item) }

#define POLICY_DETAILS							\
"Policy, in seconds, 1.5 for example:\n"				\
"\n"									\
"  --fast-io-fail T      fail requests that waited T for a server that is away;\n" \
"                        off: they wait for ever (the default)\n"	\
"  --io-timeout T        report requests that take longer; default 30, or off\n" \
"  --shutdown-timeout T  a shutdown waits so long for a server that is away;\n" \
"                        default 60; off: for ever\n"			\
"\n"									\
"and for all disks of the same session:\n"				\
"\n"									\
"  --kato T              a connection on which nothing arrived for T is dead,\n" \
"                        at least 0.2, default 5; holds from the next login on\n" \
"  --reconnect-delay T   longest pause between attempts to reach the server, at\n" \
"                        least 0.1, default 5\n"			\
"  --replay-delay T      wait T before requests are sent again to a server that\n" \
"                        speaks QNIO v34, at least 0.1, default 5\n"

#endif
