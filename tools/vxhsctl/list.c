// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>

#include "nl.h"
#include "output.h"
#include "vxhsctl.h"

static void print_list(const struct message *list, unsigned int count,
		       int json)
{
	struct json_object *array;
	unsigned int i;

	if (!json) {
		print_disk_table(stdout, list, count);
		return;
	}
	array = json_object_new_array();
	for (i = 0; i < count; i++)
		json_object_array_add(array, disk_json(&list[i]));
	print_json(stdout, array);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct message *list;
	unsigned int count;
	int json = 0, status;
	struct nl nl;

	status = parse_json_only(cmd, argc, argv, &json);
	if (status != STATUS_OK)
		return status;
	status = no_arguments(cmd, argc, argv);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	status = nl_disk_dump(&nl, &list, &count);
	nl_close(&nl);
	if (status != STATUS_OK)
		return status;
	print_list(list, count, json);
	free(list);
	return STATUS_OK;
}

const struct command list_command = {
	.name = "list",
	.synopsis = "[--json]",
	.summary = "List the attached vdisks, one to a line",
	.details =
"Nothing is printed when nothing is attached.\n"
"\n"
"  --json            print an array of what \"vxhsctl show --json\" prints\n",
	.run = run,
};
