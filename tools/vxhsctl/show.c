// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "device.h"
#include "nl.h"
#include "output.h"
#include "vxhsctl.h"

static int run(const struct command *cmd, int argc, char **argv)
{
	struct message msg;
	int json = 0, status;
	uint32_t index;
	struct nl nl;

	status = parse_json_only(cmd, argc, argv, &json);
	if (status != STATUS_OK)
		return status;
	status = device_argument(cmd, argc, argv, &index);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	status = nl_disk_get(&nl, index, &msg);
	nl_close(&nl);
	if (status != STATUS_OK)
		return status;
	if (json)
		print_json(stdout, disk_json(&msg));
	else
		print_disk(stdout, &msg);
	return STATUS_OK;
}

const struct command show_command = {
	.name = "show",
	.synopsis = "DEV [--json]",
	.summary = "Show all about a device and its session",
	.details =
"DEV is /dev/vxhsN, vxhsN, or a link to the device.\n"
"\n"
"  --json            print an object for programs, described in vxhsctl(8)\n",
	.run = run,
};
