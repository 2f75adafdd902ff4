// SPDX-License-Identifier: GPL-2.0
/* vxhsctl - attach vdisks of a storage server as block devices. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vxhsctl.h"

static const struct command * const commands[] = {
	&attach_command,
	&detach_command,
	&set_command,
	&ack_loss_command,
	&list_command,
	&show_command,
	&monitor_command,
	&leases_command,
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
	size_t i;

	puts("Usage: vxhsctl COMMAND [ARGUMENT]...\n"
	     "Attach vdisks of a storage server as block devices /dev/vxhsN.\n"
	     "\n"
	     "Commands:");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-10s%s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "  --help     this text; vxhsctl COMMAND --help says more\n"
	     "  --version  the version of this program\n"
	     "\n"
	     "Exit status: 0 done, 1 failed, 2 wrong usage. See vxhsctl(8).");
}

static void print_command_help(const struct command *cmd)
{
	printf("Usage: vxhsctl %s%s%s\n%s.\n\n%s", cmd->name,
	       *cmd->synopsis ? " " : "", cmd->synopsis, cmd->summary,
	       cmd->details);
}

static int wants_help(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return 1;
	return 0;
}

static int run(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		complain("no command is given; see vxhsctl --help");
		return STATUS_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		print_help();
		return STATUS_OK;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("vxhsctl " VXHS_VERSION_STRING);
		return STATUS_OK;
	}
	for (i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i]->name))
			continue;
		if (wants_help(argc - 1, argv + 1)) {
			print_command_help(commands[i]);
			return STATUS_OK;
		}
		return commands[i]->run(commands[i], argc - 1, argv + 1);
	}
	complain("unknown command \"%s\"; see vxhsctl --help", argv[1]);
	return STATUS_USAGE;
}

/*
 * A netlink socket must not become descriptor 1 because somebody started us
 * without one. What is opened here fails when it is used.
 */
static void keep_standard_descriptors(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			if (open("/dev/null", fd ? O_RDONLY : O_WRONLY) < 0)
				return;
}

int main(int argc, char **argv)
{
	int status;

	keep_standard_descriptors();
	status = run(argc, argv);
	/* monitor ends by itself, and well, when nobody reads any more */
	if ((fflush(stdout) || ferror(stdout)) && status == STATUS_OK)
		return failed("cannot write the output: %s", strerror(errno));
	return status;
}
