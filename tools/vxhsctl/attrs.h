/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages of the netlink family vxhs as plain structs. What each field means
 * is told in Documentation/netlink/specs/vxhs.yaml.
 */
#ifndef VXHSCTL_ATTRS_H
#define VXHSCTL_ATTRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>
#include <linux/vxhs.h>

#include "policy.h"
#include "tls.h"

#define PORTALS_MAX	8

struct address {
	uint8_t bytes[16];	/* network order */
	uint8_t len;		/* 4, 16, or 0 for none */
};

struct portal {
	struct address address;
	uint16_t port;
	uint32_t scope;		/* interface index, 0 for none */
};

struct session {
	uint64_t id;
	char host[256];
	struct portal portals[PORTALS_MAX];
	unsigned int portal_count;
	uint32_t current_portal;
	struct address source;
	char interface[16];
	uint32_t state;		/* enum vxhs_session_state */
	uint32_t dialect;	/* enum vxhs_dialect */
	uint32_t epoch;
	uint32_t lanes;
	uint32_t lanes_up;
	uint32_t poll_lanes;
	struct tls tls;
	bool has_digests;
	uint32_t digests;	/* enum vxhs_digests, asked for */
	uint64_t features;	/* VXHS_F_*, agreed on */
	uint32_t disks;
	uint32_t kato;		/* ms, granted */
	struct policy policy;	/* the session's items of it */
	uint64_t recoveries;
	uint32_t max_inflight;
	uint32_t max_inflight_bytes;
	uint32_t max_io;	/* bytes */
	bool has_server_id;
	uint8_t server_id[16];
	char reason[256];
};

struct disk {
	bool has_index;
	uint32_t index;
	char vdisk[64];
	uint32_t mode;		/* enum vxhs_mode */
	uint8_t host_id[16];
	uint32_t lanes;		/* 0: the kernel chooses */
	uint32_t poll_lanes;
	uint64_t size;		/* bytes */
	uint32_t logical_block;
	uint32_t physical_block;
	uint32_t caps;		/* VXHS_CAP_* */
	bool has_vdisk_id;
	uint8_t vdisk_id[16];
	uint64_t lease;
	uint32_t openers;
	uint64_t requests;
	uint64_t errors;
	uint64_t resends;
	struct policy policy;	/* the disk's items of it */
	bool take_over;
	bool lost;
	uint64_t losses;
	uint64_t slow;
	bool parked;
	char failed[256];	/* empty if it is well */
};

/**
 * struct message - one message of the family
 * @change: enum vxhs_change, 0 in replies
 * @has_disk: there is @disk
 * @has_session: there is @session
 * @disk: the disk it is about
 * @session: its session
 */
struct message {
	uint32_t change;
	bool has_disk;
	bool has_session;
	struct disk disk;
	struct session session;
};

int message_decode(const struct nlmsghdr *nlh, struct message *out);
bool attach_encode(struct nlmsghdr *nlh, size_t size, const struct disk *disk,
		   const struct session *session);
bool set_encode(struct nlmsghdr *nlh, size_t size, const struct disk *disk,
		const struct session *session);
bool disk_index_encode(struct nlmsghdr *nlh, size_t size, uint32_t index);
bool detach_encode(struct nlmsghdr *nlh, size_t size, uint32_t index,
		   bool force);

#endif
