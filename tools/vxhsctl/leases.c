// SPDX-License-Identifier: GPL-2.0
#include "../vxhsd/config.h"
#include "leases.h"
#include "output.h"
#include "vxhsctl.h"

static int run(const struct command *cmd, int argc, char **argv)
{
	const char *dir = DEFAULT_STATE_DIR;
	struct lease_list list;
	int json = 0, status;

	status = parse_json_only(cmd, argc, argv, &json);
	if (status != STATUS_OK)
		return status;
	if (argc - optind > 1)
		return bad_usage(cmd, "it takes at most one directory, not %d",
				 argc - optind);
	if (argc > optind)
		dir = argv[optind];
	status = leases_read(dir, &list);
	if (status == STATUS_OK && json)
		print_json(stdout, leases_json(&list));
	else if (status == STATUS_OK)
		print_leases(stdout, &list);
	if (list.damaged)
		status = STATUS_FAILED;
	leases_free(&list);
	return status;
}

const struct command leases_command = {
	.name = "leases",
	.synopsis = "[DIR] [--json]",
	.summary = "On a storage server, show which host holds which vdisk",
	.details =
"DIR is the state directory of vxhsd, " DEFAULT_STATE_DIR " unless given, or the\n"
"shared folder of two vxhsd. The state of each vdisk that was ever opened for\n"
"writing is one of:\n"
"\n"
"  held              the host has it open for itself alone\n"
"  kept              vxhsd ended meanwhile; the host may come back to it\n"
"  shared            opened for sharing; by whom is not written down\n"
"  free              nobody has it open for writing; the host had it last\n"
"  unknown           held or kept; a vxhsd of an earlier version wrote it down\n"
"\n"
"  --json            print an object for programs, described in vxhsctl(8)\n",
	.run = run,
};
