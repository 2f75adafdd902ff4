// SPDX-License-Identifier: GPL-2.0
/*
 * The JSON of --json.  Every object has all its keys at all times; what does
 * not apply is null.  Keys may be added, not removed or changed.  json-c takes
 * NULL for null, so what there is no memory for becomes null as well.
 */
#include <inttypes.h>
#include <string.h>

#include "output.h"
#include "device.h"
#include "leases.h"
#include "names.h"
#include "text.h"

static void add_number(struct json_object *object, const char *key,
		       uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

/* No limit, and a module that does not know the item, are null. */
static void add_policy(struct json_object *object, const struct policy *policy,
		       unsigned int first, unsigned int end)
{
	unsigned int i;

	for (i = first; i < end; i++) {
		const char *key = policy_names[i].key;

		if (policy->has[i] && !policy_is_off(i, policy->ms[i]))
			add_number(object, key, policy->ms[i]);
		else
			json_object_object_add(object, key, NULL);
	}
}

static struct json_object *new_string(const char *text)
{
	char clean[256 * TEXT_GROWTH];

	text_utf8(clean, sizeof(clean), text);
	return json_object_new_string(clean);
}

static void add_string(struct json_object *object, const char *key,
		       const char *text)
{
	json_object_object_add(object, key, new_string(text));
}

static void add_optional(struct json_object *object, const char *key,
			 const char *text)
{
	json_object_object_add(object, key, *text ? new_string(text) : NULL);
}

static void add_id(struct json_object *object, const char *key, uint64_t id)
{
	char text[17];

	/* 64 random bits do not fit the numbers of most JSON readers. */
	snprintf(text, sizeof(text), "%016" PRIx64, id);
	add_string(object, key, text);
}

static void add_uuid(struct json_object *object, const char *key,
		     const uint8_t *uuid)
{
	char text[UUID_TEXT_SIZE] = "";

	if (uuid)
		uuid_text(text, uuid);
	add_optional(object, key, text);
}

static struct json_object *caps_json(uint32_t caps)
{
	struct json_object *array = json_object_new_array();
	unsigned int bit;

	for (bit = 0; bit < 32; bit++)
		if (cap_name(bit) && caps & 1u << bit)
			json_object_array_add(array,
				json_object_new_string(cap_name(bit)));
	return array;
}

static void add_portals(struct json_object *object,
			const struct session *session)
{
	struct json_object *array = json_object_new_array();
	char text[PORTAL_TEXT_SIZE], current[PORTAL_TEXT_SIZE] = "";
	unsigned int i;

	for (i = 0; i < session->portal_count; i++) {
		portal_text(text, &session->portals[i]);
		json_object_array_add(array, json_object_new_string(text));
		if (i == session->current_portal)
			strcpy(current, text);
	}
	add_optional(object, "portal", current);
	json_object_object_add(object, "portals", array);
}

static void add_tls(struct json_object *object, const struct tls *tls)
{
	struct json_object *value = NULL;
	char identity[TLS_IDENTITY_SIZE];

	if (tls->on) {
		tls_identity_text(identity, tls);
		value = json_object_new_object();
		add_optional(value, "cipher", tls->cipher);
		add_string(value, "peername", tls->peername);
		add_optional(value, "identity", identity);
		json_object_object_add(value, "allow_unverified",
			json_object_new_boolean(tls->allow_unverified));
	}
	json_object_object_add(object, "tls", value);
}

static struct json_object *session_json(const struct session *session)
{
	struct json_object *object = json_object_new_object();
	char text[64];

	add_id(object, "id", session->id);
	add_string(object, "host", session->host);
	add_string(object, "state", state_name(session->state));
	add_string(object, "dialect", dialect_name(session->dialect));
	add_number(object, "epoch", session->epoch);
	add_number(object, "lanes", session->lanes);
	add_number(object, "lanes_up", session->lanes_up);
	add_number(object, "poll_lanes", session->poll_lanes);
	json_object_object_add(object, "digests",
			       json_object_new_boolean(digests_all(session->features)));
	add_string(object, "digests_asked", digests_name(session->digests));
	add_tls(object, &session->tls);
	add_portals(object, session);
	address_text(text, sizeof(text), &session->source);
	add_optional(object, "source", text);
	add_optional(object, "interface", session->interface);
	add_number(object, "kato_ms", session->kato);
	add_policy(object, &session->policy, POLICY_DISK_ITEMS, POLICY_ITEMS);
	add_number(object, "recoveries", session->recoveries);
	add_number(object, "max_inflight", session->max_inflight);
	add_number(object, "max_inflight_bytes", session->max_inflight_bytes);
	add_number(object, "max_io", session->max_io);
	add_uuid(object, "server_id",
		 session->has_server_id ? session->server_id : NULL);
	add_number(object, "disks", session->disks);
	add_optional(object, "reason", session->reason);
	return object;
}

static struct json_object *plain_disk_json(const struct disk *disk)
{
	struct json_object *object = json_object_new_object();
	char path[DEVICE_PATH_SIZE];

	device_path(path, disk->index);
	add_string(object, "device", path);
	add_number(object, "index", disk->index);
	add_string(object, "vdisk", disk->vdisk);
	add_uuid(object, "vdisk_id",
		 disk->has_vdisk_id ? disk->vdisk_id : NULL);
	add_number(object, "size", disk->size);
	add_number(object, "logical_block", disk->logical_block);
	add_number(object, "physical_block", disk->physical_block);
	add_string(object, "mode", mode_name(disk->mode));
	json_object_object_add(object, "capabilities", caps_json(disk->caps));
	add_number(object, "lease", disk->lease);
	add_number(object, "openers", disk->openers);
	add_number(object, "requests", disk->requests);
	add_number(object, "errors", disk->errors);
	add_number(object, "resends", disk->resends);
	add_number(object, "slow", disk->slow);
	json_object_object_add(object, "parked",
			       json_object_new_boolean(disk->parked));
	json_object_object_add(object, "lost",
			       json_object_new_boolean(disk->lost));
	add_number(object, "losses", disk->losses);
	add_optional(object, "failed", disk->failed);
	add_policy(object, &disk->policy, 0, POLICY_DISK_ITEMS);
	return object;
}

/**
 * disk_json() - all about a disk
 * @msg: the disk and its session
 *
 * Return: an object, for print_json().
 */
struct json_object *disk_json(const struct message *msg)
{
	struct json_object *object = plain_disk_json(&msg->disk);

	json_object_object_add(object, "session",
			       msg->has_session ?
			       session_json(&msg->session) : NULL);
	return object;
}

#define RFC3339_SECONDS	"%Y-%m-%dT%H:%M:%S"

static void add_time(struct json_object *object, const struct timespec *when)
{
	char text[64];
	struct tm tm;
	size_t len;

	gmtime_r(&when->tv_sec, &tm);
	len = strftime(text, sizeof(text), RFC3339_SECONDS, &tm);
	snprintf(text + len, sizeof(text) - len, ".%06ldZ",
		 when->tv_nsec / 1000);
	add_string(object, "time", text);
}

/**
 * change_json() - a notification
 * @msg: the notification
 * @when: when it came
 *
 * Return: an object, for print_json_line().
 */
struct json_object *change_json(const struct message *msg,
				const struct timespec *when)
{
	struct json_object *object = json_object_new_object();

	add_time(object, when);
	add_string(object, "change", change_name(msg->change));
	json_object_object_add(object, "disk", msg->has_disk ?
			       plain_disk_json(&msg->disk) : NULL);
	json_object_object_add(object, "session", msg->has_session ?
			       session_json(&msg->session) : NULL);
	return object;
}

/**
 * overrun_json() - what stands where notifications were lost
 * @when: when that was noticed
 *
 * Return: an object, for print_json_line().
 */
struct json_object *overrun_json(const struct timespec *when)
{
	struct json_object *object = json_object_new_object();

	add_time(object, when);
	add_string(object, "change", "overrun");
	json_object_object_add(object, "disk", NULL);
	json_object_object_add(object, "session", NULL);
	return object;
}

static void add_seconds(struct json_object *object, const char *key,
			uint64_t seconds)
{
	time_t when = seconds;
	char text[64] = "";
	struct tm tm;

	if (seconds && gmtime_r(&when, &tm))
		strftime(text, sizeof(text), RFC3339_SECONDS "Z", &tm);
	add_optional(object, key, text);
}

static struct json_object *server_json(const struct serving *server)
{
	struct json_object *object = json_object_new_object();

	add_number(object, "pid", server->pid);
	add_optional(object, "hostname", server->host);
	return object;
}

static struct json_object *lease_json(const struct lease_entry *entry)
{
	struct json_object *object = json_object_new_object();
	const struct lease_record *r = &entry->record;

	add_optional(object, "vdisk", r->name);
	add_uuid(object, "vdisk_id", entry->vdisk_id);
	add_string(object, "state", entry->state);
	add_seconds(object, "since", r->since);
	add_optional(object, "address", r->address);
	if (r->session)
		add_id(object, "session", r->session);
	else
		json_object_object_add(object, "session", NULL);
	add_uuid(object, "host_id", r->session ? r->host : NULL);
	add_number(object, "lease", r->number);
	add_number(object, "kato_ms", r->kato_ms);
	return object;
}

/**
 * leases_json() - who holds which vdisk of a server
 * @list: the leases
 *
 * Return: an object, for print_json().
 */
struct json_object *leases_json(const struct lease_list *list)
{
	struct json_object *object = json_object_new_object();
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < list->count; i++)
		json_object_array_add(array, lease_json(&list->items[i]));
	add_string(object, "directory", list->dir);
	json_object_object_add(object, "server", list->served ?
			       server_json(&list->server) : NULL);
	json_object_object_add(object, "leases", array);
	return object;
}

static void print_flags(FILE *out, struct json_object *object, int flags)
{
	fprintf(out, "%s\n", json_object_to_json_string_ext(object,
				flags | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

/**
 * print_json() - print a document over several lines
 * @out: where to
 * @object: the document; freed
 */
void print_json(FILE *out, struct json_object *object)
{
	print_flags(out, object,
		    JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

/**
 * print_json_line() - print a document on one line
 * @out: where to
 * @object: the document; freed
 */
void print_json_line(FILE *out, struct json_object *object)
{
	print_flags(out, object, JSON_C_TO_STRING_PLAIN);
}
