// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>

#include <linux/vxhs.h>
#include <linux/vxhs_wire.h>

#include "output.h"
#include "device.h"
#include "leases.h"
#include "names.h"
#include "table.h"
#include "text.h"

#define TIME_TEXT_SIZE	64
#define FIELD_SIZE	(256 * TEXT_GROWTH)

/**
 * address_text() - an address as people write it
 * @out: the text; empty where there is no address
 * @size: bytes at @out
 * @address: the address
 */
void address_text(char *out, size_t size, const struct address *address)
{
	*out = 0;
	if (address->len)
		inet_ntop(address->len == 4 ? AF_INET : AF_INET6,
			  address->bytes, out, size);
}

/**
 * portal_text() - a portal as vxhsctl takes it: 192.0.2.1:9999, [::1]:9999
 * @out: the text
 * @portal: the portal
 */
void portal_text(char out[PORTAL_TEXT_SIZE], const struct portal *portal)
{
	char address[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "";

	address_text(address, sizeof(address), &portal->address);
	if (portal->address.len != 16) {
		snprintf(out, PORTAL_TEXT_SIZE, "%s:%u", address,
			 portal->port);
		return;
	}
	if (portal->scope) {
		scope[0] = '%';
		if (!if_indextoname(portal->scope, scope + 1))
			snprintf(scope + 1, sizeof(scope) - 1, "%u",
				 portal->scope);
	}
	snprintf(out, PORTAL_TEXT_SIZE, "[%s%s]:%u", address, scope,
		 portal->port);
}

/*
 * The table
 */

enum { DEVICE, VDISK, HOST, SIZE, MODE, STATE, DIALECT, TLS, COLUMNS };

static const char * const titles[COLUMNS] = {
	"DEVICE", "VDISK", "HOST", "SIZE", "MODE", "STATE", "DIALECT",
	"TLS"
};

static void disk_cell(char out[CELL_SIZE], const void *list, unsigned int row,
		      unsigned int column)
{
	const struct message *msg = (const struct message *)list + row;
	const struct session *session = &msg->session;
	const struct disk *disk = &msg->disk;
	char text[SIZE_TEXT_SIZE];

	switch (column) {
	case DEVICE:
		device_path(out, disk->index);
		break;
	case VDISK:
		text_printable(out, CELL_SIZE, disk->vdisk);
		break;
	case HOST:
		text_printable(out, CELL_SIZE, session->host);
		break;
	case SIZE:
		size_text(text, disk->size);
		strcpy(out, text);
		break;
	case MODE:
		strcpy(out, mode_name(disk->mode));
		break;
	case STATE:
		/* A disk may be worse off than its session. */
		sprintf(out, "%s%s",
			*disk->failed ? "failed" : state_name(session->state),
			disk->lost ? ",lost" : "");
		break;
	case DIALECT:
		strcpy(out, dialect_name(session->dialect));
		break;
	default:
		strcpy(out, session->tls.on ? "yes" : "no");
		break;
	}
}

/**
 * print_disk_table() - one line to a disk, under a head line
 * @out: where to
 * @list: the disks
 * @count: how many; nothing is printed for none
 */
void print_disk_table(FILE *out, const struct message *list,
		      unsigned int count)
{
	const struct table table = {
		.columns = COLUMNS,
		.rows = count,
		.titles = titles,
		.right = SIZE,
		.list = list,
		.cell = disk_cell,
	};

	print_table(out, &table);
}

/*
 * One disk
 */

__attribute__((format(printf, 3, 4)))
static void print_field(FILE *out, const char *key, const char *fmt, ...)
{
	char raw[FIELD_SIZE], text[FIELD_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_printable(text, sizeof(text), raw);
	fprintf(out, "%-20s%s\n", key, text);
}

static void print_size(FILE *out, const char *key, uint64_t bytes)
{
	char text[SIZE_TEXT_SIZE];

	size_text(text, bytes);
	if (bytes < 1024)
		print_field(out, key, "%s", text);
	else
		print_field(out, key, "%s (%" PRIu64 " bytes)", text, bytes);
}

static void print_policy(FILE *out, const struct policy *policy,
			 unsigned int first, unsigned int end)
{
	char text[POLICY_TEXT_SIZE];
	unsigned int i;

	for (i = first; i < end; i++) {
		if (!policy->has[i])
			continue;
		policy_text(text, policy->ms[i]);
		print_field(out, policy_names[i].label, "%s",
			    policy_is_off(i, policy->ms[i]) ? "off" : text);
	}
}

static void caps_text(char *out, size_t size, uint32_t caps)
{
	unsigned int bit;
	size_t used = 0;

	snprintf(out, size, "none");
	for (bit = 0; bit < 32; bit++)
		if (cap_name(bit) && caps & 1u << bit && used < size)
			used += snprintf(out + used, size - used, "%s%s",
					 used ? ", " : "", cap_name(bit));
}

static void print_portals(FILE *out, const struct session *session)
{
	char text[PORTAL_TEXT_SIZE];
	unsigned int i;

	for (i = 0; i < session->portal_count; i++) {
		portal_text(text, &session->portals[i]);
		if (i == session->current_portal)
			print_field(out, "portal:", "%s", text);
		else
			print_field(out, "other portal:", "%s", text);
	}
}

static void print_tls(FILE *out, const struct tls *tls)
{
	char identity[TLS_IDENTITY_SIZE];

	if (!tls->on) {
		print_field(out, "tls:", "none");
		return;
	}
	tls_identity_text(identity, tls);
	print_field(out, "tls:", "%s", *tls->cipher ? tls->cipher : "yes");
	print_field(out, "tls peer name:", "%s", tls->peername);
	print_field(out, "tls identity:", "%s",
		    *identity ? identity : "the agent's default");
}

/* What is in force, and why that may be less than what was asked for. */
static void print_digests(FILE *out, const struct session *session)
{
	const char *why = "";

	if (session->digests == VXHS_DIGESTS_REQUIRED)
		why = ", required";
	else if (session->digests == VXHS_DIGESTS_PREFERRED &&
		 session->dialect && !digests_all(session->features))
		why = ", the server does no more";
	print_field(out, "digests:", "%s%s", digests_text(session->features),
		    why);
}

static void print_session(FILE *out, const struct session *session)
{
	char text[UUID_TEXT_SIZE], source[INET6_ADDRSTRLEN];
	char seconds[POLICY_TEXT_SIZE];

	print_field(out, "host:", "%s", session->host);
	print_field(out, "session:", "%016" PRIx64, session->id);
	print_field(out, "state:", "%s", state_name(session->state));
	print_field(out, "dialect:", "%s", dialect_name(session->dialect));
	print_field(out, "epoch:", "%u", session->epoch);
	print_field(out, "recoveries:", "%" PRIu64, session->recoveries);
	print_field(out, "lanes:", "%u", session->lanes);
	print_field(out, "lanes up:", "%u", session->lanes_up);
	if (session->poll_lanes)
		print_field(out, "polled lanes:", "%u", session->poll_lanes);
	print_digests(out, session);
	print_tls(out, &session->tls);
	print_portals(out, session);
	address_text(source, sizeof(source), &session->source);
	if (*source)
		print_field(out, "source:", "%s", source);
	if (*session->interface)
		print_field(out, "interface:", "%s", session->interface);
	policy_text(seconds, session->kato);
	print_field(out, "kato:", "%s", session->kato ? seconds : "none");
	print_policy(out, &session->policy, POLICY_DISK_ITEMS, POLICY_ITEMS);
	print_field(out, "max in flight:", "%u requests per lane",
		    session->max_inflight);
	print_size(out, "max bytes per lane:", session->max_inflight_bytes);
	print_size(out, "max request:", session->max_io);
	if (session->has_server_id) {
		uuid_text(text, session->server_id);
		print_field(out, "server id:", "%s", text);
	}
	print_field(out, "disks of session:", "%u", session->disks);
	if (*session->reason)
		print_field(out, "last lane lost:", "%s", session->reason);
}

static void print_health(FILE *out, const struct disk *disk)
{
	print_field(out, "losses:", "%" PRIu64 "%s", disk->losses, disk->lost ?
		    "; every FLUSH fails until vxhsctl ack-loss" : "");
	if (disk->parked)
		print_field(out, "parked:", "requests wait for a recovery");
	if (*disk->failed)
		print_field(out, "failed:", "%s", disk->failed);
}

/**
 * print_disk() - all about a disk, one line to a field
 * @out: where to
 * @msg: the disk and its session
 */
void print_disk(FILE *out, const struct message *msg)
{
	const struct disk *disk = &msg->disk;
	char path[DEVICE_PATH_SIZE], text[256];

	device_path(path, disk->index);
	print_field(out, "device:", "%s", path);
	print_field(out, "vdisk:", "%s", disk->vdisk);
	if (disk->has_vdisk_id) {
		uuid_text(text, disk->vdisk_id);
		print_field(out, "vdisk id:", "%s", text);
	}
	print_size(out, "size:", disk->size);
	print_field(out, "logical block:", "%u", disk->logical_block);
	print_field(out, "physical block:", "%u", disk->physical_block);
	print_field(out, "mode:", "%s", mode_name(disk->mode));
	caps_text(text, sizeof(text), disk->caps);
	print_field(out, "capabilities:", "%s", text);
	print_field(out, "lease:", "%" PRIu64, disk->lease);
	print_field(out, "openers:", "%u", disk->openers);
	print_field(out, "requests:", "%" PRIu64, disk->requests);
	print_field(out, "errors:", "%" PRIu64, disk->errors);
	print_field(out, "resends:", "%" PRIu64, disk->resends);
	print_field(out, "slow requests:", "%" PRIu64, disk->slow);
	print_health(out, disk);
	print_policy(out, &disk->policy, 0, POLICY_DISK_ITEMS);
	if (msg->has_session)
		print_session(out, &msg->session);
}

/*
 * A change
 */

static void time_text(char out[TIME_TEXT_SIZE], const struct timespec *when)
{
	struct tm tm;
	size_t len;

	localtime_r(&when->tv_sec, &tm);
	len = strftime(out, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + len, TIME_TEXT_SIZE - len, ".%03ld",
		 when->tv_nsec / 1000000);
}

/* What makes this change more than its name. */
static void print_change_detail(FILE *out, const struct message *msg)
{
	const struct session *session = &msg->session;
	char raw[FIELD_SIZE] = "", text[FIELD_SIZE];

	switch (msg->change) {
	case VXHS_CHANGE_LANE_LOST:
	case VXHS_CHANGE_SESSION_STATE:
		strcpy(raw, session->reason);
		break;
	case VXHS_CHANGE_LEASE_LOST:
	case VXHS_CHANGE_DISK_FAILED:
		strcpy(raw, msg->disk.failed);
		break;
	case VXHS_CHANGE_RESIZED:
		size_text(raw, msg->disk.size);
		break;
	case VXHS_CHANGE_RECOVERED:
		if (session->current_portal < session->portal_count)
			portal_text(raw, &session->portals[
						session->current_portal]);
		break;
	case VXHS_CHANGE_LOSS:
		strcpy(raw, "acknowledged writes may be lost, every FLUSH fails until vxhsctl ack-loss");
		break;
	}
	if (!*raw)
		return;
	text_printable(text, sizeof(text), raw);
	fprintf(out, ": %s", text);
}

/**
 * print_change() - one line about a notification
 * @out: where to
 * @msg: the notification
 * @when: when it came
 */
void print_change(FILE *out, const struct message *msg,
		  const struct timespec *when)
{
	const struct session *session = &msg->session;
	char when_text[TIME_TEXT_SIZE], host[FIELD_SIZE], vdisk[FIELD_SIZE];

	time_text(when_text, when);
	text_printable(host, sizeof(host), session->host);
	text_printable(vdisk, sizeof(vdisk), msg->disk.vdisk);
	fprintf(out, "%s ", when_text);
	if (msg->has_disk)
		fprintf(out, "vxhs%u %s, vdisk %s", msg->disk.index,
			change_name(msg->change), vdisk);
	else
		fprintf(out, "%s", change_name(msg->change));
	if (msg->has_session)
		fprintf(out, ", host %s, session %016" PRIx64 " %s, %u of %u lanes up",
			host, session->id, state_name(session->state),
			session->lanes_up, session->lanes);
	print_change_detail(out, msg);
	fputc('\n', out);
}

/*
 * The leases of a server
 */

enum {
	LEASE_VDISK, LEASE_STATE, LEASE_SINCE, LEASE_ADDRESS, LEASE_SESSION,
	LEASE_HOST, LEASE_NUMBER, LEASE_COLUMNS
};

static const char * const lease_titles[LEASE_COLUMNS] = {
	"VDISK", "STATE", "SINCE", "ADDRESS", "SESSION", "HOST", "LEASE"
};

static void since_text(char out[TIME_TEXT_SIZE], uint64_t since)
{
	time_t when = since;
	struct tm tm;

	strcpy(out, "-");
	if (since && localtime_r(&when, &tm))
		strftime(out, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
}

static void lease_cell(char out[CELL_SIZE], const void *list, unsigned int row,
		       unsigned int column)
{
	const struct lease_entry *entry = (const struct lease_entry *)list +
					  row;
	const struct lease_record *r = &entry->record;

	strcpy(out, "-");
	switch (column) {
	case LEASE_VDISK:
		if (*r->name)
			text_printable(out, CELL_SIZE, r->name);
		else
			uuid_text(out, entry->vdisk_id);
		break;
	case LEASE_STATE:
		strcpy(out, entry->state);
		break;
	case LEASE_SINCE:
		since_text(out, r->since);
		break;
	case LEASE_ADDRESS:
		if (*r->address)
			text_printable(out, CELL_SIZE, r->address);
		break;
	case LEASE_SESSION:
		if (r->session)
			sprintf(out, "%016llx",
				(unsigned long long)r->session);
		break;
	case LEASE_HOST:
		if (r->session)
			uuid_text(out, r->host);
		break;
	default:
		sprintf(out, "%llu", (unsigned long long)r->number);
		break;
	}
}

/**
 * print_leases() - who holds which vdisk of a server
 * @out: where to
 * @list: the leases
 */
void print_leases(FILE *out, const struct lease_list *list)
{
	const struct table table = {
		.columns = LEASE_COLUMNS,
		.rows = list->count,
		.titles = lease_titles,
		.right = LEASE_COLUMNS,
		.list = list->items,
		.cell = lease_cell,
	};

	if (!list->served)
		print_field(out, "served by:", "nobody");
	else if (!list->server.instance)
		print_field(out, "served by:", "a vxhsd that is starting");
	else
		print_field(out, "served by:", "vxhsd, process %ld on %s",
			    list->server.pid, list->server.host);
	print_table(out, &table);
}
