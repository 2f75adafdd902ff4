/* SPDX-License-Identifier: GPL-2.0 */
/* What every subcommand of vxhsctl shares. */
#ifndef VXHSCTL_H
#define VXHSCTL_H

#include <getopt.h>
#include <stdint.h>

#ifndef VXHS_VERSION_STRING
#define VXHS_VERSION_STRING	"0.1.0"
#endif

enum exit_status {
	STATUS_OK	= 0,
	STATUS_FAILED	= 1,
	STATUS_USAGE	= 2,
};

/**
 * struct command - one subcommand; a new one needs a file and a table line
 * @name: what the user types
 * @synopsis: its arguments, one line
 * @summary: what it does, one line
 * @details: the options and what else --help says; ends with a newline
 * @run: does it; argv[0] is @name, the result an enum exit_status. --help was
 *       handled before.
 */
struct command {
	const char *name;
	const char *synopsis;
	const char *summary;
	const char *details;
	int (*run)(const struct command *cmd, int argc, char **argv);
};

extern const struct command attach_command;
extern const struct command detach_command;
extern const struct command set_command;
extern const struct command ack_loss_command;
extern const struct command list_command;
extern const struct command show_command;
extern const struct command monitor_command;
extern const struct command leases_command;

/* Values of options; above any character, so that none has a short form. */
enum {
	OPTION_JSON = 256,
	OPTION_ALL,
	OPTION_READ_ONLY,
	OPTION_SHARED,
	OPTION_LANES,
	OPTION_POLL_LANES,
	OPTION_DIGESTS,
	OPTION_NO_DIGESTS,
	OPTION_INDEX,
	OPTION_SOURCE,
	OPTION_INTERFACE,
	OPTION_TAKE_OVER,
	OPTION_FORCE,
	OPTION_PORTALS,
	OPTION_TLS,
	OPTION_TLS_PEERNAME,
	OPTION_IDENTITY,
	OPTION_ALLOW_UNVERIFIED,
	OPTION_POLICY,		/* the first of POLICY_OPTIONS; keep it last */
};

/* What next_option() returns besides an option's value. */
#define OPTION_END	(-1)
#define OPTION_BAD	'?'

int next_option(const struct command *cmd, int argc, char **argv,
		const struct option *options);
int no_arguments(const struct command *cmd, int argc, char **argv);
int parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *out);
int parse_seconds(const char *text, uint32_t min, uint32_t max, uint32_t *ms);
int parse_json_only(const struct command *cmd, int argc, char **argv,
		    int *json);

void complain(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
int failed(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
int bad_usage(const struct command *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
