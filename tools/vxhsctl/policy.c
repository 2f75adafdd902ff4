// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy.h"
#include "vxhsctl.h"

const struct policy_name policy_names[POLICY_ITEMS] = {
	[POLICY_FAST_IO_FAIL] = {
		"fast-io-fail", "fast_io_fail_tmo_ms", "fast io fail:",
		POLICY_NEVER, true, 0,
	},
	[POLICY_IO_TIMEOUT] = {
		"io-timeout", "io_timeout_ms", "io timeout:", 0, true, 1,
	},
	[POLICY_SHUTDOWN] = {
		"shutdown-timeout", "shutdown_tmo_ms", "shutdown timeout:",
		POLICY_NEVER, true, 0,
	},
	[POLICY_KATO] = {
		"kato", "kato_asked_ms", "kato asked for:", 0, false, 200,
	},
	[POLICY_RECONNECT_DELAY] = {
		"reconnect-delay", "reconnect_delay_ms", "reconnect delay:",
		0, false, 100,
	},
	[POLICY_REPLAY_DELAY] = {
		"replay-delay", "replay_delay_ms", "replay delay:",
		0, false, 100,
	},
};

/**
 * policy_is_off() - whether a value means that there is no limit
 * @item: of what
 * @ms: the value
 */
bool policy_is_off(enum policy_item item, uint32_t ms)
{
	const struct policy_name *name = &policy_names[item];

	return name->has_off && ms == name->off;
}

/**
 * policy_text() - milliseconds as people write them: 5 s, 0.2 s
 * @out: the text
 * @ms: the value
 */
void policy_text(char out[POLICY_TEXT_SIZE], uint32_t ms)
{
	char *end;

	snprintf(out, POLICY_TEXT_SIZE, "%" PRIu32 ".%03" PRIu32, ms / 1000,
		 ms % 1000);
	end = out + strlen(out);
	while (end[-1] == '0')
		end--;
	if (end[-1] == '.')
		end--;
	strcpy(end, " s");
}

/**
 * policy_is_empty() - whether nothing is there
 * @policy: of a command line
 */
bool policy_is_empty(const struct policy *policy)
{
	unsigned int i;

	for (i = 0; i < POLICY_ITEMS; i++)
		if (policy->has[i])
			return false;
	return true;
}

static int refuse(const struct command *cmd, const struct policy_name *name,
		  const char *value)
{
	char min[POLICY_TEXT_SIZE];

	policy_text(min, name->min);
	*strchr(min, ' ') = 0;
	return bad_usage(cmd, "--%s \"%s\" is %s a number of seconds from %s to %u with at most three decimals",
			 name->option, value,
			 name->has_off ? "neither \"off\" nor" : "not", min,
			 POLICY_MAX_MS / 1000);
}

/**
 * policy_take() - take an option if it is one of POLICY_OPTIONS
 * @cmd: whose, for the sentence
 * @opt: the option
 * @value: what was given with it
 * @policy: where it goes
 *
 * Return: STATUS_OK; or STATUS_USAGE, after complaining if it is one of them.
 */
int policy_take(const struct command *cmd, int opt, const char *value,
		struct policy *policy)
{
	const struct policy_name *name;
	enum policy_item item;

	if (opt < OPTION_POLICY || opt >= OPTION_POLICY + POLICY_ITEMS)
		return STATUS_USAGE;
	item = opt - OPTION_POLICY;
	name = &policy_names[item];
	if (name->has_off && !strcmp(value, "off"))
		policy->ms[item] = name->off;
	else if (parse_seconds(value, name->min, POLICY_MAX_MS,
			       &policy->ms[item]))
		return refuse(cmd, name, value);
	policy->has[item] = true;
	return STATUS_OK;
}
