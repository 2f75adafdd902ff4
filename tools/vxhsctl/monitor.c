// SPDX-License-Identifier: GPL-2.0
/*
 * Besides vxhs itself, this listens to nlctrl: when the module is unloaded and
 * loaded again, its multicast group has another number.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include "nl.h"
#include "output.h"
#include "vxhsctl.h"

#define BUFFERED_BYTES	(4 << 20)

/* nlctrl's own group "notify" has a fixed number. */
#define NLCTRL_GROUP	GENL_ID_CTRL

struct monitor {
	struct nl nl;
	int signal_fd;
	bool json;
};

static int join(struct nl *nl, uint32_t group)
{
	return mnl_socket_setsockopt(nl->sock, NETLINK_ADD_MEMBERSHIP, &group,
				     sizeof(group));
}

static int subscribe(struct nl *nl)
{
	int bytes = BUFFERED_BYTES, fd = mnl_socket_get_fd(nl->sock);

	/* The second works without privilege, up to a limit. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (!nl->group)
		return failed("the module vxhs has no state changes to tell; load the module of the same version as vxhsctl");
	if (join(nl, nl->group)) {
		nl->error = errno;
		*nl->why = 0;
		return nl_failed(nl, "cannot listen to state changes");
	}
	if (join(nl, NLCTRL_GROUP))
		return failed("cannot listen to the kernel's list of families: %s",
			      strerror(errno));
	return STATUS_OK;
}

static void take_change(struct monitor *mon, const struct nlmsghdr *nlh,
			const struct timespec *now)
{
	struct message msg;

	if (message_decode(nlh, &msg) || !msg.change)
		return;
	if (mon->json)
		print_json_line(stdout, change_json(&msg, now));
	else
		print_change(stdout, &msg, now);
}

static void take_family(struct monitor *mon, const struct nlmsghdr *nlh)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	struct nl_family family;

	nl_family_decode(nlh, &family);
	if (strcmp(family.name, VXHS_FAMILY_NAME))
		return;
	if (genl->cmd == CTRL_CMD_DELFAMILY) {
		complain("the module vxhs was unloaded; waiting until it is loaded again");
		mon->nl.family = 0;
	} else if (genl->cmd == CTRL_CMD_NEWFAMILY && family.group) {
		mon->nl.family = family.id;
		if (join(&mon->nl, family.group))
			complain("the module vxhs was loaded again, but its state changes cannot be listened to: %s; start vxhsctl monitor anew",
				 strerror(errno));
	}
}

static void take_messages(struct monitor *mon, size_t bytes,
			  const struct timespec *now)
{
	const struct nlmsghdr *nlh = (const void *)mon->nl.reply;
	int len = bytes;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_type == GENL_ID_CTRL)
			take_family(mon, nlh);
		else if (mon->nl.family && nlh->nlmsg_type == mon->nl.family)
			take_change(mon, nlh, now);
	}
}

static int receive(struct monitor *mon)
{
	struct timespec now;
	ssize_t len;

	len = recv(mnl_socket_get_fd(mon->nl.sock), mon->nl.reply,
		   sizeof(mon->nl.reply), MSG_DONTWAIT);
	clock_gettime(CLOCK_REALTIME, &now);
	if (len >= 0) {
		take_messages(mon, len, &now);
		return STATUS_OK;
	}
	if (errno == EAGAIN || errno == EINTR)
		return STATUS_OK;
	if (errno != ENOBUFS)
		return failed("cannot read state changes: %s; start vxhsctl monitor anew",
			      strerror(errno));
	complain("state changes came faster than they were read and some were lost; \"vxhsctl list\" shows how things stand now");
	if (mon->json)
		print_json_line(stdout, overrun_json(&now));
	return STATUS_OK;
}

/* Until a signal, or until nobody reads what is printed. */
static int watch(struct monitor *mon)
{
	struct pollfd fds[] = {
		{ .fd = mnl_socket_get_fd(mon->nl.sock), .events = POLLIN },
		{ .fd = mon->signal_fd, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int status;

	for (;;) {
		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return failed("cannot wait for state changes: %s",
				      strerror(errno));
		}
		if (fds[1].revents || fds[2].revents)
			return STATUS_OK;
		if (!fds[0].revents)
			continue;
		status = receive(mon);
		if (status != STATUS_OK)
			return status;
		if (ferror(stdout)) {
			/* nobody reads any more, or never did */
			if (errno == EPIPE || errno == EBADF) {
				clearerr(stdout);
				return STATUS_OK;
			}
			return failed("cannot write the output: %s",
				      strerror(errno));
		}
	}
}

static int signals_to_descriptor(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct monitor mon = { .json = false };
	int json = 0, status;

	status = parse_json_only(cmd, argc, argv, &json);
	if (status != STATUS_OK)
		return status;
	status = no_arguments(cmd, argc, argv);
	if (status != STATUS_OK)
		return status;
	mon.json = json;
	status = nl_open(&mon.nl);
	if (status != STATUS_OK)
		return status;
	setvbuf(stdout, NULL, _IOLBF, 0);
	mon.signal_fd = signals_to_descriptor();
	if (mon.signal_fd < 0)
		status = failed("cannot watch for signals: %s", strerror(errno));
	else
		status = subscribe(&mon.nl);
	if (status == STATUS_OK)
		status = watch(&mon);
	if (mon.signal_fd >= 0)
		close(mon.signal_fd);
	nl_close(&mon.nl);
	return status;
}

const struct command monitor_command = {
	.name = "monitor",
	.synopsis = "[--json]",
	.summary = "Print state changes as they happen, until it is interrupted",
	.details =
"Each change is one line: a disk was attached, detached or resized, has failed,\n"
"lost its lease or acknowledged writes; a session has another state, recovered or\n"
"lost a lane.\n"
"\n"
"  --json            print each change as a JSON object on one line\n",
	.run = run,
};
