// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/genetlink.h>

#include "nl.h"
#include "vxhsctl.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK	270
#endif

/**
 * nl_error_decode() - read an error or an acknowledgement
 * @nlh: of type NLMSG_ERROR or NLMSG_DONE
 * @error: the errno, positive; 0 for an acknowledgement
 * @why: the extended ack's sentence, or empty
 * @size: bytes at @why
 */
void nl_error_decode(const struct nlmsghdr *nlh, int *error, char *why,
		     size_t size)
{
	const struct nlattr *attr;
	size_t skip = sizeof(int), len = mnl_nlmsg_get_payload_len(nlh);
	int code = 0;

	*why = 0;
	*error = 0;
	if (len >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	*error = code < 0 ? -code : code;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (nlh->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

		if (len < sizeof(*err))
			return;
		skip = sizeof(*err);
		/* The request follows, unless the kernel left it out. */
		if (!(nlh->nlmsg_flags & NLM_F_CAPPED)) {
			if (err->msg.nlmsg_len < MNL_NLMSG_HDRLEN)
				return;
			skip += MNL_ALIGN(err->msg.nlmsg_len) -
				MNL_NLMSG_HDRLEN;
		}
	}
	if (MNL_ALIGN(skip) > len)
		return;
	mnl_attr_for_each(attr, nlh, skip) {
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(why, size, "%.*s",
				 (int)mnl_attr_get_payload_len(attr),
				 (const char *)mnl_attr_get_payload(attr));
	}
}

static void decode_group(const struct nlattr *nest, struct nl_family *out)
{
	const struct nlattr *attr;
	bool is_state = false;
	uint32_t id = 0;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
			is_state = !strcmp(mnl_attr_get_str(attr),
					   VXHS_MCGRP_STATE);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    !mnl_attr_validate(attr, MNL_TYPE_U32))
			id = mnl_attr_get_u32(attr);
	}
	if (is_state)
		out->group = id;
}

/**
 * nl_family_decode() - read what nlctrl tells about a family
 * @nlh: a reply or notification of nlctrl
 * @out: all zero when it tells nothing
 */
void nl_family_decode(const struct nlmsghdr *nlh, struct nl_family *out)
{
	const struct nlattr *attr, *group;

	memset(out, 0, sizeof(*out));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct genlmsghdr))
		return;
	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		switch (mnl_attr_get_type(attr)) {
		case CTRL_ATTR_FAMILY_NAME:
			if (!mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
				snprintf(out->name, sizeof(out->name), "%s",
					 mnl_attr_get_str(attr));
			break;
		case CTRL_ATTR_FAMILY_ID:
			if (!mnl_attr_validate(attr, MNL_TYPE_U16))
				out->id = mnl_attr_get_u16(attr);
			break;
		case CTRL_ATTR_MCAST_GROUPS:
			mnl_attr_for_each_nested(group, attr)
				decode_group(group, out);
			break;
		}
	}
}

static struct nlmsghdr *start(struct nl *nl, uint16_t type, uint8_t cmd,
			      uint8_t version, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(nl->request);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

/**
 * nl_start() - begin a request; nl_exchange() sends it
 * @nl: from nl_open()
 * @cmd: VXHS_CMD_*
 * @flags: NLM_F_ACK, or NLM_F_DUMP
 *
 * Return: the request, in @nl->request, which has NL_REQUEST_SIZE bytes.
 */
struct nlmsghdr *nl_start(struct nl *nl, uint8_t cmd, uint16_t flags)
{
	return start(nl, nl->family, cmd, VXHS_FAMILY_VERSION, flags);
}

/* Returns whether the exchange is over. */
static bool take_replies(struct nl *nl, size_t bytes, nl_reply_fn on_reply,
			 void *arg)
{
	const struct nlmsghdr *nlh = (const void *)nl->reply;
	int len = bytes;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		/* A late answer to a request that was given up. */
		if (nlh->nlmsg_seq != nl->seq)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			nl->interrupted = true;
		if (nlh->nlmsg_type == NLMSG_ERROR ||
		    nlh->nlmsg_type == NLMSG_DONE) {
			nl_error_decode(nlh, &nl->error, nl->why,
					sizeof(nl->why));
			return true;
		}
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && on_reply)
			on_reply(nlh, arg);
	}
	return false;
}

/**
 * nl_exchange() - send a request and read all that is answered
 * @nl: from nl_open()
 * @nlh: the request, with NLM_F_ACK or NLM_F_DUMP
 * @on_reply: called for each message of the answer; may be NULL
 * @arg: for @on_reply
 *
 * Return: 0, or -1 with @nl->error and @nl->why set.
 */
int nl_exchange(struct nl *nl, struct nlmsghdr *nlh, nl_reply_fn on_reply,
		void *arg)
{
	ssize_t len;

	nl->error = 0;
	nl->interrupted = false;
	*nl->why = 0;
	nlh->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0) {
		nl->error = errno;
		return -1;
	}
	do {
		len = mnl_socket_recvfrom(nl->sock, nl->reply,
					  sizeof(nl->reply));
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0) {
			nl->error = errno == EAGAIN ? ETIMEDOUT : errno;
			return -1;
		}
	} while (len < 0 || !take_replies(nl, len, on_reply, arg));
	return nl->error ? -1 : 0;
}

static void on_family(const struct nlmsghdr *nlh, void *arg)
{
	nl_family_decode(nlh, arg);
}

/* Asking for a family by name makes the kernel load its module. */
static int find_family(struct nl *nl)
{
	struct nl_family family = { .id = 0 };
	struct nlmsghdr *nlh;

	nlh = start(nl, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, NLM_F_ACK);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, VXHS_FAMILY_NAME);
	if (nl_exchange(nl, nlh, on_family, &family) && nl->error != ENOENT)
		return nl_failed(nl, "cannot ask the kernel for vxhs");
	if (!family.id)
		return failed("the module vxhs is not loaded and could not be loaded; run \"modprobe vxhs\" as root to see why");
	nl->family = family.id;
	nl->group = family.group;
	return STATUS_OK;
}

/**
 * nl_open() - open a socket to vxhs, loading its module if need be
 * @nl: to be closed with nl_close() if this succeeds
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int nl_open(struct nl *nl)
{
	const struct timeval timeout = { .tv_sec = NL_TIMEOUT_S };
	int one = 1, status;

	nl->seq = 0;
	nl->sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID)) {
		status = failed("cannot open a netlink socket: %s; vxhsctl needs a kernel with generic netlink",
				strerror(errno));
		if (nl->sock)
			mnl_socket_close(nl->sock);
		return status;
	}
	/* Older kernels explain less; that is no reason to give up. */
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &one, sizeof(one));
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO,
		   &timeout, sizeof(timeout));
	status = find_family(nl);
	if (status != STATUS_OK)
		mnl_socket_close(nl->sock);
	return status;
}

/**
 * nl_close() - close the socket
 * @nl: from nl_open()
 */
void nl_close(struct nl *nl)
{
	mnl_socket_close(nl->sock);
}

/**
 * nl_failed() - complain about a failed exchange
 * @nl: whose @error and @why tell the reason
 * @fmt: what could not be done
 *
 * Return: STATUS_FAILED.
 */
int nl_failed(const struct nl *nl, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (*nl->why)
		return failed("%s: %s", what, nl->why);
	switch (nl->error) {
	case EPERM:
	case EACCES:
		return failed("%s: this needs CAP_SYS_ADMIN; run it as root",
			      what);
	case ETIMEDOUT:
		return failed("%s: the kernel did not answer within %d s; see its log and \"vxhsctl list\"",
			      what, NL_TIMEOUT_S);
	case EOPNOTSUPP:
		return failed("%s: the module vxhs does not know this request; load the module of the same version as vxhsctl",
			      what);
	default:
		return failed("%s: %s; the kernel's log may tell more", what,
			      strerror(nl->error));
	}
}

static void on_disk(const struct nlmsghdr *nlh, void *arg)
{
	message_decode(nlh, arg);
}

/**
 * nl_disk_get() - what the kernel knows of one disk
 * @nl: from nl_open()
 * @index: N of /dev/vxhsN
 * @out: the disk and its session
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int nl_disk_get(struct nl *nl, uint32_t index, struct message *out)
{
	struct nlmsghdr *nlh = nl_start(nl, VXHS_CMD_DISK_GET, NLM_F_ACK);

	memset(out, 0, sizeof(*out));
	disk_index_encode(nlh, sizeof(nl->request), index);
	if (nl_exchange(nl, nlh, on_disk, out)) {
		if (nl->error == ENODEV || nl->error == ENOENT)
			return failed("vxhs%u is not attached; \"vxhsctl list\" shows what is",
				      index);
		return nl_failed(nl, "cannot look at vxhs%u", index);
	}
	if (!out->has_disk)
		return failed("cannot look at vxhs%u: the module vxhs answered without a disk; load the module of the same version as vxhsctl",
			      index);
	return STATUS_OK;
}

struct disk_list {
	struct message *items;
	unsigned int count;
	bool no_memory;
};

static void on_listed_disk(const struct nlmsghdr *nlh, void *arg)
{
	struct disk_list *list = arg;
	struct message *items;

	items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items) {
		list->no_memory = true;
		return;
	}
	list->items = items;
	if (!message_decode(nlh, &items[list->count]) &&
	    items[list->count].has_disk)
		list->count++;
}

static int by_index(const void *a, const void *b)
{
	const struct message *x = a, *y = b;

	return (x->disk.index > y->disk.index) -
	       (x->disk.index < y->disk.index);
}

/**
 * nl_disk_dump() - all attached disks, each with its session
 * @nl: from nl_open()
 * @list: them, by index; to be freed by the caller
 * @count: how many
 *
 * Return: STATUS_OK, or STATUS_FAILED after complaining.
 */
int nl_disk_dump(struct nl *nl, struct message **list, unsigned int *count)
{
	struct disk_list found = { .items = NULL };
	unsigned int tries = 0;

	/* A list that changed underway may lack a disk: read it again. */
	do {
		found.count = 0;
		if (nl_exchange(nl, nl_start(nl, VXHS_CMD_DISK_GET,
					     NLM_F_DUMP),
				on_listed_disk, &found)) {
			free(found.items);
			return nl_failed(nl, "cannot list the attached disks");
		}
	} while (nl->interrupted && ++tries < 10);
	if (found.no_memory) {
		free(found.items);
		return failed("cannot list the attached disks: out of memory");
	}
	if (found.count)
		qsort(found.items, found.count, sizeof(*found.items),
		      by_index);
	*list = found.items;
	*count = found.count;
	return STATUS_OK;
}

/**
 * nl_disk_detach() - remove a disk
 * @nl: from nl_open(); its @error tells why, if it fails
 * @index: N of /dev/vxhsN
 * @force: also if it is in use
 *
 * Return: 0, or -1; nothing is printed.
 */
int nl_disk_detach(struct nl *nl, uint32_t index, bool force)
{
	struct nlmsghdr *nlh = nl_start(nl, VXHS_CMD_DETACH, NLM_F_ACK);

	detach_encode(nlh, sizeof(nl->request), index, force);
	return nl_exchange(nl, nlh, NULL, NULL);
}

/**
 * nl_disk_ack_loss() - make FLUSH of a disk work again
 * @nl: from nl_open(); its @error tells why, if it fails
 * @index: N of /dev/vxhsN
 *
 * Return: 0, or -1; nothing is printed.
 */
int nl_disk_ack_loss(struct nl *nl, uint32_t index)
{
	struct nlmsghdr *nlh = nl_start(nl, VXHS_CMD_ACK_LOSS, NLM_F_ACK);

	disk_index_encode(nlh, sizeof(nl->request), index);
	return nl_exchange(nl, nlh, NULL, NULL);
}
