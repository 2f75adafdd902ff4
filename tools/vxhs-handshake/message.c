// SPDX-License-Identifier: GPL-2.0
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>

#include "message.h"

static bool is_u32(const struct nlattr *attr)
{
	return mnl_attr_validate(attr, MNL_TYPE_U32) >= 0;
}

static void decode_group(const struct nlattr *nest, struct family *out)
{
	const struct nlattr *attr;
	bool is_ours = false;
	uint32_t id = 0;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			is_ours = !strcmp(mnl_attr_get_str(attr), HS_GROUP);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    is_u32(attr))
			id = mnl_attr_get_u32(attr);
	}
	if (is_ours)
		out->group = id;
}

static bool has_genl_header(const struct nlmsghdr *nlh)
{
	return mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct genlmsghdr);
}

/**
 * family_decode() - read what nlctrl tells about a family
 * @nlh: its reply
 * @out: all zero when it tells nothing
 */
void family_decode(const struct nlmsghdr *nlh, struct family *out)
{
	const struct nlattr *attr, *group;

	memset(out, 0, sizeof(*out));
	if (!has_genl_header(nlh))
		return;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case CTRL_ATTR_FAMILY_ID:
			if (mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
				out->id = mnl_attr_get_u16(attr);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			mnl_attr_for_each_nested(group, attr)
				decode_group(group, out);
			break;
		}
	}
}

static void decode_peername(const struct nlattr *attr, struct request *out)
{
	const char *text = mnl_attr_get_payload(attr);
	size_t len = strnlen(text, mnl_attr_get_payload_len(attr));

	out->too_long = len > PEERNAME_MAX;
	if (out->too_long)
		return;
	memcpy(out->peername, text, len);
	out->peername[len] = 0;
}

/**
 * request_decode() - read the reply to ACCEPT
 * @nlh: the reply
 * @out: all of it is set
 */
void request_decode(const struct nlmsghdr *nlh, struct request *out)
{
	const struct nlattr *attr;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	if (!has_genl_header(nlh))
		return;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == HS_ACCEPT_PEERNAME)
			decode_peername(attr, out);
		else if (type == HS_ACCEPT_CERTIFICATE)
			out->has_certificate = true;
		else if (!is_u32(attr))
			continue;
		else if (type == HS_ACCEPT_SOCKFD)
			out->fd = (int)mnl_attr_get_u32(attr);
		else if (type == HS_ACCEPT_MESSAGE_TYPE)
			out->type = mnl_attr_get_u32(attr);
		else if (type == HS_ACCEPT_TIMEOUT)
			out->timeout_ms = mnl_attr_get_u32(attr);
		else if (type == HS_ACCEPT_AUTH_MODE)
			out->auth = mnl_attr_get_u32(attr);
		else if (type == HS_ACCEPT_PEER_IDENTITY && !out->psk_serial)
			out->psk_serial = (int32_t)mnl_attr_get_u32(attr);
	}
}

/** message_is_ready() - does it say that a request waits for an agent? */
bool message_is_ready(const struct nlmsghdr *nlh, uint16_t family)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);

	return nlh->nlmsg_type == family && has_genl_header(nlh) &&
	       genl->cmd == HS_CMD_READY;
}

static struct nlmsghdr *start(void *buf, uint16_t type, uint8_t cmd,
			      uint8_t version, uint16_t flags, uint32_t seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

/** accept_encode() - "give me the next request"; answered or an error */
struct nlmsghdr *accept_encode(void *buf, uint16_t family, uint32_t seq)
{
	struct nlmsghdr *nlh = start(buf, family, HS_CMD_ACCEPT, HS_VERSION, 0,
				     seq);

	mnl_attr_put_u32(nlh, HS_ACCEPT_HANDLER_CLASS, HS_CLASS_TLSHD);
	return nlh;
}

/**
 * done_encode() - "the handshake is over"; acknowledged
 * @buf: for the message
 * @family: number of the family
 * @seq: of the message
 * @fd: of the request
 * @status: 0 or an errno, positive
 * @remote_auth: serial number of the key that the peer has proved, or 0
 */
struct nlmsghdr *done_encode(void *buf, uint16_t family, uint32_t seq, int fd,
			     int status, int32_t remote_auth)
{
	struct nlmsghdr *nlh = start(buf, family, HS_CMD_DONE, HS_VERSION,
				     NLM_F_ACK, seq);

	mnl_attr_put_u32(nlh, HS_DONE_STATUS, (uint32_t)status);
	mnl_attr_put_u32(nlh, HS_DONE_SOCKFD, (uint32_t)fd);
	if (!status && remote_auth)
		mnl_attr_put_u32(nlh, HS_DONE_REMOTE_AUTH,
				 (uint32_t)remote_auth);
	return nlh;
}

/** family_encode() - "what is the family's number?" */
struct nlmsghdr *family_encode(void *buf, uint32_t seq)
{
	struct nlmsghdr *nlh = start(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1,
				     0, seq);

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, HS_FAMILY);
	return nlh;
}
