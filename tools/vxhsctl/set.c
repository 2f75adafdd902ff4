// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "device.h"
#include "nl.h"
#include "policy.h"
#include "resolve.h"
#include "vxhsctl.h"

/**
 * struct request - what the command line asks for
 * @index: N of /dev/vxhsN
 * @has_servers: the portals are to be replaced
 * @servers: by those of these
 * @policy: what else is to change
 */
struct request {
	uint32_t index;
	bool has_servers;
	struct server_list servers;
	struct policy policy;
};

static int parse(const struct command *cmd, int argc, char **argv,
		 struct request *req)
{
	static const struct option options[] = {
		{ "portals", required_argument, NULL, OPTION_PORTALS },
		POLICY_OPTIONS,
		{ }
	};
	char why[SERVER_WHY_SIZE];
	int opt, status;

	while ((opt = next_option(cmd, argc, argv, options)) != OPTION_END) {
		if (opt == OPTION_PORTALS) {
			if (server_list_parse(optarg, &req->servers, why))
				return bad_usage(cmd, "--portals: %s", why);
			req->has_servers = true;
			continue;
		}
		status = policy_take(cmd, opt, optarg, &req->policy);
		if (status != STATUS_OK)
			return status;
	}
	status = device_argument(cmd, argc, argv, &req->index);
	if (status == STATUS_OK && !req->has_servers &&
	    policy_is_empty(&req->policy))
		return bad_usage(cmd, "nothing is to be set");
	return status;
}

/* The new portals must do for what the session's connections are bound to. */
static int find_portals(struct nl *nl, const struct request *req,
			struct session *session)
{
	struct message msg;
	int status;

	if (!req->has_servers)
		return STATUS_OK;
	status = nl_disk_get(nl, req->index, &msg);
	if (status != STATUS_OK)
		return status;
	strcpy(session->interface, msg.session.interface);
	status = resolve_list(&req->servers, msg.session.source.len ?
			      &msg.session.source : NULL,
			      session->portals, &session->portal_count);
	return status != STATUS_OK ? status : check_scopes(session);
}

static int set(struct nl *nl, const struct request *req)
{
	struct session session = { .policy = req->policy };
	struct disk disk = { .index = req->index, .policy = req->policy };
	struct nlmsghdr *nlh;
	int status;

	status = find_portals(nl, req, &session);
	if (status != STATUS_OK)
		return status;
	nlh = nl_start(nl, VXHS_CMD_SET, NLM_F_ACK);
	if (!set_encode(nlh, sizeof(nl->request), &disk, &session))
		return failed("cannot set vxhs%u: the request is too long",
			      req->index);
	if (nl_exchange(nl, nlh, NULL, NULL))
		return nl_failed(nl, "cannot set vxhs%u", req->index);
	return STATUS_OK;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct request req = { .has_servers = false };
	struct nl nl;
	int status;

	status = parse(cmd, argc, argv, &req);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	status = set(&nl, &req);
	nl_close(&nl);
	return status;
}

const struct command set_command = {
	.name = "set",
	.synopsis = "DEV OPTION...",
	.summary = "Change a device's policy or portals while it is in use",
	.details =
"DEV is /dev/vxhsN, vxhsN, or a link to the device.\n"
"\n"
"  --portals HOST[:PORT],...\n"
"                        the server's portals, which replace those it has, of all\n"
"                        disks of the same session\n"
"\n"
POLICY_DETAILS,
	.run = run,
};
