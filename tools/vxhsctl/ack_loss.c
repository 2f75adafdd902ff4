// SPDX-License-Identifier: GPL-2.0
#include "device.h"
#include "nl.h"
#include "vxhsctl.h"

static int run(const struct command *cmd, int argc, char **argv)
{
	static const struct option options[] = { { } };
	uint32_t index;
	struct nl nl;
	int status;

	if (next_option(cmd, argc, argv, options) != OPTION_END)
		return STATUS_USAGE;
	status = device_argument(cmd, argc, argv, &index);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	if (nl_disk_ack_loss(&nl, index))
		status = nl_failed(&nl, "cannot acknowledge a loss of vxhs%u",
				   index);
	nl_close(&nl);
	return status;
}

const struct command ack_loss_command = {
	.name = "ack-loss",
	.synopsis = "DEV",
	.summary = "Make FLUSH work again after acknowledged writes were lost",
	.details =
"DEV is /dev/vxhsN, vxhsN, or a link to the device.\n"
"\n"
"A server that lost writes which it had acknowledged says so, and from then on\n"
"every FLUSH and fsync of the device fails, lest anybody believe in what is\n"
"gone. Check the data, repair the filesystem, then acknowledge the loss.\n",
	.run = run,
};
