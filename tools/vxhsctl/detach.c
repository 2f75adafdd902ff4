// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "device.h"
#include "holders.h"
#include "nl.h"
#include "vxhsctl.h"

#define HOLDERS_SIZE	400
#define RETRY_MS	3000
#define RETRY_POLL_MS	20

/*
 * A disk that nobody seems to hold is busy for a moment only, with udev for
 * example, which looks at it after attach and after each writer.
 */
static bool try_detach(struct nl *nl, uint32_t index, bool force,
		       char *holders)
{
	const struct timespec pause = { .tv_nsec = RETRY_POLL_MS * 1000000 };
	char name[DEVICE_PATH_SIZE];
	int waited;

	*holders = 0;
	snprintf(name, sizeof(name), "vxhs%u", index);
	for (waited = 0; waited <= RETRY_MS; waited += RETRY_POLL_MS) {
		if (!nl_disk_detach(nl, index, force)) {
			if (force)
				complain("vxhs%u was detached by force: what was in flight has failed, and may reach the server all the same",
					 index);
			return true;
		}
		if (nl->error != EBUSY ||
		    holders_text(name, holders, HOLDERS_SIZE))
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int refused(const struct nl *nl, uint32_t index, const char *holders)
{
	if (*holders)
		return failed("cannot detach vxhs%u: it is in use by %s; end that first",
			      index, holders);
	return nl_failed(nl, "cannot detach vxhs%u", index);
}

static int detach_one(struct nl *nl, uint32_t index, bool force)
{
	char holders[HOLDERS_SIZE];

	if (try_detach(nl, index, force, holders))
		return STATUS_OK;
	return refused(nl, index, holders);
}

static int detach_all(struct nl *nl, bool force)
{
	char holders[HOLDERS_SIZE];
	struct message *list;
	unsigned int count, i;
	int status;

	status = nl_disk_dump(nl, &list, &count);
	if (status != STATUS_OK)
		return status;
	for (i = 0; i < count; i++) {
		uint32_t index = list[i].disk.index;

		/* If somebody else was faster it is gone all the same. */
		if (!try_detach(nl, index, force, holders) &&
		    nl->error != ENODEV)
			status = refused(nl, index, holders);
	}
	free(list);
	return status;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, OPTION_ALL },
		{ "force", no_argument, NULL, OPTION_FORCE },
		{ }
	};
	uint32_t index = 0;
	bool all = false, force = false;
	struct nl nl;
	int opt, status;

	while ((opt = next_option(cmd, argc, argv, options)) != OPTION_END) {
		if (opt == OPTION_ALL)
			all = true;
		else if (opt == OPTION_FORCE)
			force = true;
		else
			return STATUS_USAGE;
	}
	if (argc - optind != !all)
		return bad_usage(cmd, "it takes either one device or --all");
	status = all ? STATUS_OK : device_argument(cmd, argc, argv, &index);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	status = all ? detach_all(&nl, force) : detach_one(&nl, index, force);
	nl_close(&nl);
	return status;
}

const struct command detach_command = {
	.name = "detach",
	.synopsis = "DEV|--all [--force]",
	.summary = "Remove a device that nobody uses, or all of them",
	.details =
"DEV is /dev/vxhsN, vxhsN, or a link to the device.\n"
"\n"
"  --all             detach every vdisk; go on where one cannot be detached\n"
"  --force           also if it is in use or its server is away: what is in\n"
"                    flight fails, and may reach the server all the same\n",
	.run = run,
};
