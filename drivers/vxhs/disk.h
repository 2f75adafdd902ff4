/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk: one attached vdisk and its block device.
 */
#ifndef _VXHS_DISK_H
#define _VXHS_DISK_H

#include <linux/blk-mq.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/workqueue.h>
#include <uapi/linux/vxhs.h>

#include "wire.h"

struct netlink_ext_ack;
struct vxhs_session;
struct vxhs_session_key;

#define VXHS_MAX_DISKS		BIT(20)

/**
 * struct vxhs_attach - what an attach asks for
 * @key: between whom
 * @host: the server, as the administrator named it
 * @interface: to bind the connections to, or ""
 * @vdisk: name on the server
 * @mode: how to open it
 * @lanes: connections of a new session, 0 for the default
 * @poll_lanes: further ones for polled requests
 * @index: N of /dev/vxhsN, negative for the first free one
 */
struct vxhs_attach {
	const struct vxhs_session_key	*key;
	const char			*host;
	const char			*interface;
	const char			*vdisk;
	enum vxhs_mode			mode;
	unsigned int			lanes;
	unsigned int			poll_lanes;
	int				index;
};

/**
 * struct vxhs_disk - an attached vdisk
 * @session: whose
 * @gendisk: the block device
 * @entry: in session->disks, under session->lock
 * @ref: references: the gendisk's life, each user
 * @free_work: ends the gendisk's reference
 * @scan_work: reads the partition table
 * @scanned: completed when it was read
 * @index: N of /dev/vxhsN
 * @name: of the vdisk
 * @mode: how it is open
 * @geometry: as the server has it
 * @detaching: no more opens; under gendisk->open_mutex
 * @dirty: writes were acknowledged since the last FLUSH began
 * @lost: acknowledged, unflushed writes may be lost: every FLUSH fails
 * @errors: requests failed
 * @resends: requests sent again, for their data was damaged on the way
 */
struct vxhs_disk {
	struct vxhs_session	*session;
	struct gendisk		*gendisk;
	struct list_head	entry;
	struct kref		ref;
	struct work_struct	free_work;
	struct work_struct	scan_work;
	struct completion	scanned;
	unsigned int		index;
	char			name[VXHS_NAME_MAX + 1];
	enum vxhs_mode		mode;
	struct vxhs_geometry	geometry;
	bool			detaching;
	bool			dirty;
	bool			lost;
	atomic64_t		errors;
	atomic64_t		resends;
};

extern const struct blk_mq_ops vxhs_mq_ops;

struct vxhs_disk *vxhs_disk_attach(const struct vxhs_attach *attach,
				   struct netlink_ext_ack *extack);
int vxhs_disk_detach(unsigned int index, struct netlink_ext_ack *extack);
struct vxhs_disk *vxhs_disk_find(unsigned int index);
struct vxhs_disk *vxhs_disk_next(unsigned int *index);
void vxhs_disk_put(struct vxhs_disk *disk);
u64 vxhs_disk_requests(const struct vxhs_disk *disk);
blk_status_t vxhs_disk_flushed(struct vxhs_disk *disk, u64 verifier,
			       bool dirty);

int vxhs_disk_init(void);
void vxhs_disk_exit(void);

#endif /* _VXHS_DISK_H */
