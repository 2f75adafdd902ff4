// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include "attrs.h"

/*
 * The kernel is trusted to say what is true, not to be of the same version:
 * an attribute that is shorter than expected reads as 0, one that is not known
 * is passed over.
 */
static uint32_t get_u32(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) < 4 ? 0 : mnl_attr_get_u32(attr);
}

static uint16_t get_u16(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) < 2 ? 0 : mnl_attr_get_u16(attr);
}

static uint64_t get_u64(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) < 8 ? 0 : mnl_attr_get_u64(attr);
}

static void get_string(const struct nlattr *attr, char *out, size_t size)
{
	size_t len = strnlen(mnl_attr_get_payload(attr),
			     mnl_attr_get_payload_len(attr));

	if (len >= size)
		len = size - 1;
	memcpy(out, mnl_attr_get_payload(attr), len);
	out[len] = 0;
}

/* Returns whether there is one; a v34 server has none, which reads as zero. */
static bool get_uuid(const struct nlattr *attr, uint8_t out[16])
{
	static const uint8_t none[16];

	if (mnl_attr_get_payload_len(attr) != 16)
		return false;
	memcpy(out, mnl_attr_get_payload(attr), 16);
	return memcmp(out, none, 16);
}

static void get_address(const struct nlattr *attr, struct address *out)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	if (len != 4 && len != 16)
		return;
	memcpy(out->bytes, mnl_attr_get_payload(attr), len);
	out->len = len;
}

/* By enum policy_item: what it is called in a reply, and in a request. */
static const struct {
	uint16_t reply, request;
} policy_attrs[POLICY_ITEMS] = {
	[POLICY_FAST_IO_FAIL] = { VXHS_A_DISK_FAST_IO_FAIL_TMO,
				  VXHS_A_DISK_FAST_IO_FAIL_TMO },
	[POLICY_IO_TIMEOUT] = { VXHS_A_DISK_IO_TIMEOUT,
				VXHS_A_DISK_IO_TIMEOUT },
	[POLICY_SHUTDOWN] = { VXHS_A_DISK_SHUTDOWN_TMO,
			      VXHS_A_DISK_SHUTDOWN_TMO },
	[POLICY_KATO] = { VXHS_A_SESSION_KATO_ASKED, VXHS_A_SESSION_KATO },
	[POLICY_RECONNECT_DELAY] = { VXHS_A_SESSION_RECONNECT_DELAY,
				     VXHS_A_SESSION_RECONNECT_DELAY },
	[POLICY_REPLAY_DELAY] = { VXHS_A_SESSION_REPLAY_DELAY,
				  VXHS_A_SESSION_REPLAY_DELAY },
};

/* The items from @first to before @end. */
static void decode_policy(const struct nlattr *attr, unsigned int first,
			  unsigned int end, struct policy *out)
{
	unsigned int i;

	for (i = first; i < end; i++) {
		if (mnl_attr_get_type(attr) != policy_attrs[i].reply)
			continue;
		out->has[i] = true;
		out->ms[i] = get_u32(attr);
	}
}

static bool encode_policy(struct nlmsghdr *nlh, size_t size,
			  unsigned int first, unsigned int end,
			  const struct policy *policy)
{
	unsigned int i;

	for (i = first; i < end; i++)
		if (policy->has[i] &&
		    !mnl_attr_put_u32_check(nlh, size, policy_attrs[i].request,
					    policy->ms[i]))
			return false;
	return true;
}

static void decode_portal(const struct nlattr *nest, struct portal *out)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case VXHS_A_PORTAL_ADDRESS:
			get_address(attr, &out->address);
			break;
		case VXHS_A_PORTAL_PORT:
			out->port = get_u16(attr);
			break;
		case VXHS_A_PORTAL_SCOPE:
			out->scope = get_u32(attr);
			break;
		}
	}
}

static void decode_session(const struct nlattr *nest, struct session *out)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case VXHS_A_SESSION_ID:
			out->id = get_u64(attr);
			break;
		case VXHS_A_SESSION_HOST:
			get_string(attr, out->host, sizeof(out->host));
			break;
		case VXHS_A_SESSION_PORTAL:
			if (out->portal_count < PORTALS_MAX)
				decode_portal(attr,
					&out->portals[out->portal_count++]);
			break;
		case VXHS_A_SESSION_CURRENT_PORTAL:
			out->current_portal = get_u32(attr);
			break;
		case VXHS_A_SESSION_SOURCE:
			get_address(attr, &out->source);
			break;
		case VXHS_A_SESSION_INTERFACE:
			get_string(attr, out->interface,
				   sizeof(out->interface));
			break;
		case VXHS_A_SESSION_STATE:
			out->state = get_u32(attr);
			break;
		case VXHS_A_SESSION_DIALECT:
			out->dialect = get_u32(attr);
			break;
		case VXHS_A_SESSION_EPOCH:
			out->epoch = get_u32(attr);
			break;
		case VXHS_A_SESSION_LANES:
			out->lanes = get_u32(attr);
			break;
		case VXHS_A_SESSION_POLL_LANES:
			out->poll_lanes = get_u32(attr);
			break;
		case VXHS_A_SESSION_DIGESTS:
			out->has_digests = true;
			out->digests = get_u32(attr);
			break;
		case VXHS_A_SESSION_FEATURES:
			out->features = get_u64(attr);
			break;
		case VXHS_A_SESSION_LANES_UP:
			out->lanes_up = get_u32(attr);
			break;
		case VXHS_A_SESSION_DISKS:
			out->disks = get_u32(attr);
			break;
		case VXHS_A_SESSION_KATO:
			out->kato = get_u32(attr);
			break;
		case VXHS_A_SESSION_MAX_INFLIGHT:
			out->max_inflight = get_u32(attr);
			break;
		case VXHS_A_SESSION_MAX_INFLIGHT_BYTES:
			out->max_inflight_bytes = get_u32(attr);
			break;
		case VXHS_A_SESSION_MAX_IO:
			out->max_io = get_u32(attr);
			break;
		case VXHS_A_SESSION_SERVER_ID:
			out->has_server_id = get_uuid(attr, out->server_id);
			break;
		case VXHS_A_SESSION_REASON:
			get_string(attr, out->reason, sizeof(out->reason));
			break;
		case VXHS_A_SESSION_RECOVERIES:
			out->recoveries = get_u64(attr);
			break;
		case VXHS_A_SESSION_TLS:
			out->tls.on = get_u32(attr);
			break;
		case VXHS_A_SESSION_TLS_PEERNAME:
			get_string(attr, out->tls.peername,
				   sizeof(out->tls.peername));
			break;
		case VXHS_A_SESSION_TLS_IDENTITY:
			get_string(attr, out->tls.identity,
				   sizeof(out->tls.identity));
			break;
		case VXHS_A_SESSION_TLS_PSK:
			out->tls.psk = get_u32(attr);
			break;
		case VXHS_A_SESSION_ALLOW_UNVERIFIED:
			out->tls.allow_unverified = get_u32(attr);
			break;
		case VXHS_A_SESSION_TLS_CIPHER:
			get_string(attr, out->tls.cipher,
				   sizeof(out->tls.cipher));
			break;
		default:
			decode_policy(attr, POLICY_DISK_ITEMS, POLICY_ITEMS,
				      &out->policy);
			break;
		}
	}
}

static void decode_disk(const struct nlattr *nest, struct disk *out)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case VXHS_A_DISK_INDEX:
			out->has_index = true;
			out->index = get_u32(attr);
			break;
		case VXHS_A_DISK_VDISK:
			get_string(attr, out->vdisk, sizeof(out->vdisk));
			break;
		case VXHS_A_DISK_MODE:
			out->mode = get_u32(attr);
			break;
		case VXHS_A_DISK_HOST_ID:
			get_uuid(attr, out->host_id);
			break;
		case VXHS_A_DISK_POLL_LANES:
			out->poll_lanes = get_u32(attr);
			break;
		case VXHS_A_DISK_RESENDS:
			out->resends = get_u64(attr);
			break;
		case VXHS_A_DISK_LANES:
			out->lanes = get_u32(attr);
			break;
		case VXHS_A_DISK_SIZE:
			out->size = get_u64(attr);
			break;
		case VXHS_A_DISK_LOGICAL_BLOCK:
			out->logical_block = get_u32(attr);
			break;
		case VXHS_A_DISK_PHYSICAL_BLOCK:
			out->physical_block = get_u32(attr);
			break;
		case VXHS_A_DISK_CAPS:
			out->caps = get_u32(attr);
			break;
		case VXHS_A_DISK_VDISK_ID:
			out->has_vdisk_id = get_uuid(attr, out->vdisk_id);
			break;
		case VXHS_A_DISK_LEASE:
			out->lease = get_u64(attr);
			break;
		case VXHS_A_DISK_OPENERS:
			out->openers = get_u32(attr);
			break;
		case VXHS_A_DISK_REQUESTS:
			out->requests = get_u64(attr);
			break;
		case VXHS_A_DISK_ERRORS:
			out->errors = get_u64(attr);
			break;
		case VXHS_A_DISK_LOST:
			out->lost = get_u32(attr);
			break;
		case VXHS_A_DISK_LOSSES:
			out->losses = get_u64(attr);
			break;
		case VXHS_A_DISK_SLOW:
			out->slow = get_u64(attr);
			break;
		case VXHS_A_DISK_PARKED:
			out->parked = get_u32(attr);
			break;
		case VXHS_A_DISK_FAILED:
			get_string(attr, out->failed, sizeof(out->failed));
			break;
		default:
			decode_policy(attr, 0, POLICY_DISK_ITEMS,
				      &out->policy);
			break;
		}
	}
}

/**
 * message_decode() - read a message of the family
 * @nlh: reply, dump part or notification
 * @out: all of it; what the message lacks is zero
 *
 * Return: 0, or -1 when @nlh is too short to be one.
 */
int message_decode(const struct nlmsghdr *nlh, struct message *out)
{
	const struct nlattr *attr;

	memset(out, 0, sizeof(*out));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
		return -1;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case VXHS_A_CHANGE:
			out->change = get_u32(attr);
			break;
		case VXHS_A_DISK:
			out->has_disk = true;
			decode_disk(attr, &out->disk);
			break;
		case VXHS_A_SESSION:
			out->has_session = true;
			decode_session(attr, &out->session);
			break;
		}
	}
	return 0;
}

static bool encode_portal(struct nlmsghdr *nlh, size_t size,
			  const struct portal *portal)
{
	struct nlattr *nest;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_SESSION_PORTAL);
	if (!nest ||
	    !mnl_attr_put_check(nlh, size, VXHS_A_PORTAL_ADDRESS,
				portal->address.len, portal->address.bytes) ||
	    !mnl_attr_put_u16_check(nlh, size, VXHS_A_PORTAL_PORT,
				    portal->port))
		return false;
	if (portal->scope &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_PORTAL_SCOPE,
				    portal->scope))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

static bool encode_tls(struct nlmsghdr *nlh, size_t size,
		       const struct tls *tls)
{
	if (!mnl_attr_put_u32_check(nlh, size, VXHS_A_SESSION_TLS, 1) ||
	    !mnl_attr_put_strz_check(nlh, size, VXHS_A_SESSION_TLS_PEERNAME,
				     tls->peername))
		return false;
	if (*tls->identity &&
	    !mnl_attr_put_strz_check(nlh, size, VXHS_A_SESSION_TLS_IDENTITY,
				     tls->identity))
		return false;
	if (tls->psk &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_SESSION_TLS_PSK,
				    tls->psk))
		return false;
	return !tls->allow_unverified ||
	       mnl_attr_put_u32_check(nlh, size,
				      VXHS_A_SESSION_ALLOW_UNVERIFIED, 1);
}

static bool encode_session(struct nlmsghdr *nlh, size_t size,
			   const struct session *session)
{
	struct nlattr *nest;
	unsigned int i;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_SESSION);
	if (!nest || !mnl_attr_put_strz_check(nlh, size, VXHS_A_SESSION_HOST,
					      session->host))
		return false;
	for (i = 0; i < session->portal_count; i++)
		if (!encode_portal(nlh, size, &session->portals[i]))
			return false;
	if (session->source.len &&
	    !mnl_attr_put_check(nlh, size, VXHS_A_SESSION_SOURCE,
				session->source.len, session->source.bytes))
		return false;
	if (*session->interface &&
	    !mnl_attr_put_strz_check(nlh, size, VXHS_A_SESSION_INTERFACE,
				     session->interface))
		return false;
	if (session->has_digests &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_SESSION_DIGESTS,
				    session->digests))
		return false;
	if (session->tls.on && !encode_tls(nlh, size, &session->tls))
		return false;
	if (!encode_policy(nlh, size, POLICY_DISK_ITEMS, POLICY_ITEMS,
			   &session->policy))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

static bool encode_disk(struct nlmsghdr *nlh, size_t size,
			const struct disk *disk)
{
	struct nlattr *nest;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_DISK);
	if (!nest ||
	    !mnl_attr_put_strz_check(nlh, size, VXHS_A_DISK_VDISK,
				     disk->vdisk) ||
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_MODE, disk->mode) ||
	    !mnl_attr_put_check(nlh, size, VXHS_A_DISK_HOST_ID,
				sizeof(disk->host_id), disk->host_id))
		return false;
	if (disk->has_index &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_INDEX, disk->index))
		return false;
	if (disk->lanes &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_LANES, disk->lanes))
		return false;
	if (disk->poll_lanes &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_POLL_LANES,
				    disk->poll_lanes))
		return false;
	if (disk->take_over &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_TAKE_OVER, 1))
		return false;
	if (!encode_policy(nlh, size, 0, POLICY_DISK_ITEMS, &disk->policy))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

/**
 * attach_encode() - add to a request what an attach needs
 * @nlh: the request
 * @size: bytes that it may have
 * @disk: vdisk, mode and host_id; index, lanes, poll_lanes, take_over and
 *	policy where set
 * @session: host and portals; source, interface, digests, tls and policy where
 *	set
 *
 * Return: whether it had room.
 */
bool attach_encode(struct nlmsghdr *nlh, size_t size, const struct disk *disk,
		   const struct session *session)
{
	return encode_disk(nlh, size, disk) &&
	       encode_session(nlh, size, session);
}

/**
 * disk_index_encode() - add to a request which disk it is about
 * @nlh: the request
 * @size: bytes that it may have
 * @index: N of /dev/vxhsN
 *
 * Return: whether it had room.
 */
bool disk_index_encode(struct nlmsghdr *nlh, size_t size, uint32_t index)
{
	struct nlattr *nest;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_DISK);
	if (!nest ||
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_INDEX, index))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

/**
 * detach_encode() - add to a request which disk goes
 * @nlh: the request
 * @size: bytes that it may have
 * @index: N of /dev/vxhsN
 * @force: also if it is in use
 *
 * Return: whether it had room.
 */
bool detach_encode(struct nlmsghdr *nlh, size_t size, uint32_t index,
		   bool force)
{
	struct nlattr *nest;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_DISK);
	if (!nest ||
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_INDEX, index))
		return false;
	if (force &&
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_FORCE, 1))
		return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}

/**
 * set_encode() - add to a request what is to be set
 * @nlh: the request
 * @size: bytes that it may have
 * @disk: index; policy where set
 * @session: portals and policy where set
 *
 * Return: whether it had room.
 */
bool set_encode(struct nlmsghdr *nlh, size_t size, const struct disk *disk,
		const struct session *session)
{
	struct nlattr *nest;
	unsigned int i;

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_DISK);
	if (!nest ||
	    !mnl_attr_put_u32_check(nlh, size, VXHS_A_DISK_INDEX,
				    disk->index) ||
	    !encode_policy(nlh, size, 0, POLICY_DISK_ITEMS, &disk->policy))
		return false;
	mnl_attr_nest_end(nlh, nest);

	nest = mnl_attr_nest_start_check(nlh, size, VXHS_A_SESSION);
	if (!nest || !encode_policy(nlh, size, POLICY_DISK_ITEMS, POLICY_ITEMS,
				    &session->policy))
		return false;
	for (i = 0; i < session->portal_count; i++)
		if (!encode_portal(nlh, size, &session->portals[i]))
			return false;
	mnl_attr_nest_end(nlh, nest);
	return true;
}
