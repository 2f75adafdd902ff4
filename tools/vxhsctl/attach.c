// SPDX-License-Identifier: GPL-2.0
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <linux/vxhs_wire.h>

#include "device.h"
#include "hostid.h"
#include "nl.h"
#include "output.h"
#include "policy.h"
#include "resolve.h"
#include "tls.h"
#include "vxhsctl.h"

#define LANES_MAX	64
#define POLL_LANES_MAX	63

/**
 * struct request - what the command line asks for
 * @disk: vdisk, mode, index, lanes, its policy
 * @session: host, source, interface, TLS, its policy
 * @servers: the host, taken apart
 * @json: print the disk as JSON
 */
struct request {
	struct disk disk;
	struct session session;
	struct server_list servers;
	bool json;
};

static int take_option(const struct command *cmd, int opt,
		       struct request *req)
{
	struct session *session = &req->session;
	struct disk *disk = &req->disk;

	switch (opt) {
	case OPTION_JSON:
		req->json = true;
		return STATUS_OK;
	case OPTION_READ_ONLY:
	case OPTION_SHARED:
		if (disk->mode != VXHS_MODE_EXCLUSIVE &&
		    (opt == OPTION_SHARED) !=
		    (disk->mode == VXHS_MODE_SHARED))
			return bad_usage(cmd, "--read-only and --shared exclude each other, for whoever only reads may always share");
		disk->mode = opt == OPTION_SHARED ? VXHS_MODE_SHARED :
						    VXHS_MODE_READ_ONLY;
		return STATUS_OK;
	case OPTION_LANES:
		if (parse_number(optarg, 1, LANES_MAX, &disk->lanes))
			return bad_usage(cmd, "--lanes \"%s\" is not a number from 1 to %d",
					 optarg, LANES_MAX);
		return STATUS_OK;
	case OPTION_POLL_LANES:
		if (parse_number(optarg, 1, POLL_LANES_MAX, &disk->poll_lanes))
			return bad_usage(cmd, "--poll-lanes \"%s\" is not a number from 1 to %d",
					 optarg, POLL_LANES_MAX);
		return STATUS_OK;
	case OPTION_DIGESTS:
	case OPTION_NO_DIGESTS:
		if (session->has_digests &&
		    (opt == OPTION_DIGESTS) !=
		    (session->digests == VXHS_DIGESTS_REQUIRED))
			return bad_usage(cmd, "--digests and --no-digests exclude each other");
		session->has_digests = true;
		session->digests = opt == OPTION_DIGESTS ?
			VXHS_DIGESTS_REQUIRED : VXHS_DIGESTS_NONE;
		return STATUS_OK;
	case OPTION_INDEX:
		disk->has_index = true;
		if (parse_number(optarg, 0, DEVICE_INDEX_MAX, &disk->index))
			return bad_usage(cmd, "--index \"%s\" is not a number from 0 to %d",
					 optarg, DEVICE_INDEX_MAX);
		return STATUS_OK;
	case OPTION_SOURCE:
		if (address_parse(optarg, &session->source))
			return bad_usage(cmd, "--source \"%s\" is not an IPv4 or IPv6 address",
					 optarg);
		return STATUS_OK;
	case OPTION_INTERFACE:
		if (!*optarg || strlen(optarg) >= sizeof(session->interface))
			return bad_usage(cmd, "--interface \"%s\" is not the name of a network interface",
					 optarg);
		strcpy(session->interface, optarg);
		return STATUS_OK;
	case OPTION_TAKE_OVER:
		disk->take_over = true;
		return STATUS_OK;
	case OPTION_TLS:
	case OPTION_TLS_PEERNAME:
	case OPTION_IDENTITY:
	case OPTION_ALLOW_UNVERIFIED:
		return tls_take(cmd, opt, optarg, &session->tls);
	default:
		return policy_take(cmd, opt, optarg, &disk->policy);
	}
}

/* A line break in a name would pass for the end of it in sysfs and in udev. */
static bool has_control(const char *name)
{
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return true;
	return false;
}

static int parse(const struct command *cmd, int argc, char **argv,
		 struct request *req)
{
	static const struct option options[] = {
		{ "read-only", no_argument, NULL, OPTION_READ_ONLY },
		{ "shared", no_argument, NULL, OPTION_SHARED },
		{ "lanes", required_argument, NULL, OPTION_LANES },
		{ "poll-lanes", required_argument, NULL, OPTION_POLL_LANES },
		{ "digests", no_argument, NULL, OPTION_DIGESTS },
		{ "no-digests", no_argument, NULL, OPTION_NO_DIGESTS },
		{ "index", required_argument, NULL, OPTION_INDEX },
		{ "source", required_argument, NULL, OPTION_SOURCE },
		{ "interface", required_argument, NULL, OPTION_INTERFACE },
		{ "take-over", no_argument, NULL, OPTION_TAKE_OVER },
		TLS_OPTIONS,
		POLICY_OPTIONS,
		{ "json", no_argument, NULL, OPTION_JSON },
		{ }
	};
	char why[SERVER_WHY_SIZE];
	const char *host, *vdisk;
	int opt, status;

	while ((opt = next_option(cmd, argc, argv, options)) != OPTION_END) {
		status = take_option(cmd, opt, req);
		if (status != STATUS_OK)
			return status;
	}
	if (argc - optind != 2)
		return bad_usage(cmd, "it takes a host and a vdisk, not %d argument%s",
				 argc - optind, argc - optind == 1 ? "" : "s");
	host = argv[optind];
	vdisk = argv[optind + 1];
	if (server_list_parse(host, &req->servers, why))
		return bad_usage(cmd, "%s", why);
	if (!*vdisk || strlen(vdisk) > VXHS_NAME_MAX)
		return bad_usage(cmd, "vdisk \"%s\" is not a name of 1 to %d bytes",
				 vdisk, VXHS_NAME_MAX);
	if (has_control(vdisk))
		return bad_usage(cmd, "vdisk \"%s\" has a control character in its name",
				 vdisk);
	if (tls_complete(cmd, &req->servers, &req->session.tls))
		return STATUS_USAGE;
	req->session.policy = req->disk.policy;
	strcpy(req->session.host, host);
	strcpy(req->disk.vdisk, vdisk);
	return STATUS_OK;
}

/* What the kernel would refuse too, but without knowing what was typed. */
static int check_route(const struct request *req)
{
	const struct session *session = &req->session;

	if (*session->interface && !if_nametoindex(session->interface))
		return failed("there is no interface \"%s\" on this host; \"ip link\" shows what there is",
			      session->interface);
	return check_scopes(session);
}

static void on_attached(const struct nlmsghdr *nlh, void *arg)
{
	message_decode(nlh, arg);
}

static int ask_kernel(struct nl *nl, const struct request *req,
		      struct message *reply)
{
	struct nlmsghdr *nlh = nl_start(nl, VXHS_CMD_ATTACH, NLM_F_ACK);

	memset(reply, 0, sizeof(*reply));
	if (!attach_encode(nlh, sizeof(nl->request), &req->disk,
			   &req->session))
		return failed("cannot attach \"%s\" of \"%s\": the request is too long",
			      req->disk.vdisk, req->session.host);
	if (nl_exchange(nl, nlh, on_attached, reply))
		return nl_failed(nl, "cannot attach \"%s\" of \"%s\"",
				 req->disk.vdisk, req->session.host);
	if (!reply->has_disk || !reply->disk.has_index)
		return failed("\"%s\" of \"%s\" was attached, but the module vxhs did not tell as what; see \"vxhsctl list\", and load the module of the same version as vxhsctl",
			      req->disk.vdisk, req->session.host);
	return STATUS_OK;
}

static void print_result(const struct request *req,
			 const struct message *reply)
{
	char path[DEVICE_PATH_SIZE];

	if (reply->session.dialect == VXHS_DIALECT_V34)
		complain("warning: the server \"%s\" speaks QNIO v34, which has no flush, no discard, no fencing and no authentication: what is written may be lost when the server crashes, and late writes may overwrite newer ones",
			 req->session.host);
	if (req->json) {
		print_json(stdout, disk_json(reply));
	} else {
		device_path(path, reply->disk.index);
		puts(path);
	}
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct request req = { .disk.mode = VXHS_MODE_EXCLUSIVE };
	struct message reply;
	struct nl nl;
	int status;

	status = parse(cmd, argc, argv, &req);
	if (status != STATUS_OK)
		return status;
	status = resolve_list(&req.servers, req.session.source.len ?
			      &req.session.source : NULL,
			      req.session.portals, &req.session.portal_count);
	if (status != STATUS_OK)
		return status;
	status = check_route(&req);
	if (status != STATUS_OK)
		return status;
	status = host_id(HOSTID_PATH, MACHINE_ID_PATH, req.disk.host_id);
	if (status != STATUS_OK)
		return status;
	status = nl_open(&nl);
	if (status != STATUS_OK)
		return status;
	status = ask_kernel(&nl, &req, &reply);
	nl_close(&nl);
	if (status != STATUS_OK)
		return status;
	status = device_wait(reply.disk.index);
	if (status == STATUS_OK)
		print_result(&req, &reply);
	return status;
}

const struct command attach_command = {
	.name = "attach",
	.synopsis = "HOST[:PORT][,...] VDISK [OPTION]...",
	.summary = "Attach a vdisk of a server and print the path of its device",
	.details =
"HOST is a name or an address; an IPv6 address with a port is [ADDR]:PORT.\n"
"The port is 9999 unless given. Several, with commas between them, are ways to\n"
"one server, or servers with shared storage; the first that answers is used.\n"
"VDISK is the disk's name on the server. It is opened for reading and writing,\n"
"and for this host alone, unless said otherwise.\n"
"\n"
"  --read-only       open it for reading\n"
"  --shared          open it for reading and writing by several hosts\n"
"  --lanes N         make N connections, 1 to 64; otherwise one per CPU up to 8\n"
"  --poll-lanes N    and N more for polled I/O (io_uring with IOPOLL)\n"
"  --digests         refuse a server that does not protect headers and data\n"
"                    with CRC32C; without TLS it is asked to, but not refused\n"
"  --no-digests      do without CRC32C\n"
"  --index N         make it /dev/vxhsN; otherwise the lowest number that is free\n"
"  --source ADDR     connect from this address\n"
"  --interface IF    connect through this network interface\n"
"  --take-over       also if another host has it open, which loses it\n"
"  --json            print what \"vxhsctl show --json\" prints\n"
"\n"
TLS_DETAILS
"\n"
POLICY_DETAILS,
	.run = run,
};
