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

#include "session.h"
#include "wire.h"

struct netlink_ext_ack;
struct vxhs_io;

#define VXHS_MAX_DISKS		BIT(20)
#define VXHS_NEVER		U32_MAX	/* of a time-out: for ever */
#define VXHS_IO_TIMEOUT_MS	30000
#define VXHS_SHUTDOWN_MS	60000

/**
 * struct vxhs_policy - how a disk behaves when its server does not answer
 * @fast_io_fail_ms: so long requests wait for a recovery, or VXHS_NEVER
 * @io_timeout_ms: so old a request is reported; 0 reports none
 * @shutdown_ms: so long a shutdown waits for a recovery, or VXHS_NEVER
 */
struct vxhs_policy {
	u32	fast_io_fail_ms;
	u32	io_timeout_ms;
	u32	shutdown_ms;
};

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
 * @take_over: also if another host has the vdisk open
 * @policy: of the disk
 * @session_policy: of the session; 0 is the default or what it has
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
	bool				take_over;
	struct vxhs_policy		policy;
	struct vxhs_session_policy	session_policy;
};

/**
 * enum vxhs_reopened - what an answer to OPEN says of an attached disk
 * @VXHS_REOPENED: requests may flow
 * @VXHS_REOPENED_LOST: it is not the disk any more that was attached
 * @VXHS_REOPENED_WEAKER: this portal offers less than the one of the attach
 */
enum vxhs_reopened {
	VXHS_REOPENED,
	VXHS_REOPENED_LOST,
	VXHS_REOPENED_WEAKER,
};

/* What struct vxhs_set names of a disk's policy. */
#define VXHS_SET_FAST_IO_FAIL	BIT(0)
#define VXHS_SET_IO_TIMEOUT	BIT(1)
#define VXHS_SET_SHUTDOWN	BIT(2)

/**
 * struct vxhs_set - what is to change of an attached disk
 * @what: VXHS_SET_*, which of @policy
 * @policy: of the disk
 * @session_policy: of the session; 0 leaves what it has
 * @key: its portals replace the session's, or NULL
 */
struct vxhs_set {
	unsigned int			what;
	struct vxhs_policy		policy;
	struct vxhs_session_policy	session_policy;
	const struct vxhs_session_key	*key;
};

/**
 * struct vxhs_disk - an attached vdisk
 * @session: whose
 * @gendisk: the block device
 * @entry: in session->disks, under commands and lanes_lock
 * @ref: references: the gendisk's life, each user
 * @free_work: ends the gendisk's reference
 * @scan_work: reads the partition table
 * @scanned: completed when it was read
 * @index: N of /dev/vxhsN
 * @name: of the vdisk
 * @mode: how it is open
 * @geometry: as the server has it; changed under session->commands
 * @epoch: in which geometry.handle was given
 * @detaching: no more opens; under gendisk->open_mutex
 * @open: by lane: it was opened on its connection, see vxhs_disk_is_open()
 * @refuse: 0, or the status of every request; set under lanes_lock
 * @dead: detached by force; under lanes_lock, as the next four
 * @shown: its block device is there: recovery takes care of it
 * @waits: its requests wait for a server since @waits_since
 * @waits_since: jiffies
 * @sick: its OPEN was answered AGAIN: others come first
 * @loss_told: of @lost
 * @round: of the session's OPENs, in which it was last tried
 * @reread: something of it may have changed; under session->commands
 * @remove_work: ends a disk that was detached by force
 * @dirty: writes were acknowledged since the last FLUSH was sent
 * @lost: acknowledged, unflushed writes may be lost: every FLUSH fails
 * @lost_with: the verifier that told of the newest loss
 * @errors: requests failed
 * @resends: requests sent again, for their data was damaged on the way
 * @losses: how often acknowledged, unflushed writes may have been lost
 * @slow: requests that waited longer than policy.io_timeout_ms
 * @policy: changed under session->lock
 * @failed: why it fails everything for good, a constant string; or NULL
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
	u32			epoch;
	DECLARE_BITMAP(open, VXHS_MAX_LANES);
	blk_status_t		refuse;
	bool			dead;
	bool			shown;
	bool			waits;
	unsigned long		waits_since;
	bool			sick;
	bool			loss_told;
	unsigned int		round;
	bool			reread;
	struct work_struct	remove_work;
	bool			detaching;
	bool			dirty;
	bool			lost;
	u64			lost_with;
	atomic64_t		errors;
	atomic64_t		resends;
	atomic64_t		losses;
	atomic64_t		slow;
	struct vxhs_policy	policy;
	const char		*failed;
};

extern const struct blk_mq_ops vxhs_mq_ops;

/**
 * vxhs_disk_is_open - may a lane carry the disk's requests?
 * @disk: any
 * @lane: index of a lane that is live
 *
 * Pairs with vxhs_recovery_open_disk(): the handle is that of this epoch.
 *
 * Return: true if OPEN was answered on the lane's connection
 */
static inline bool vxhs_disk_is_open(const struct vxhs_disk *disk,
				     unsigned int lane)
{
	return test_bit_acquire(lane, disk->open);
}

/**
 * vxhs_disk_begin_flush - a FLUSH is about to be sent
 * @disk: whose
 *
 * Return: there were acknowledged writes that it makes durable
 */
static inline bool vxhs_disk_begin_flush(struct vxhs_disk *disk)
{
	return READ_ONCE(disk->dirty) && xchg(&disk->dirty, false);
}

/* Is it one that recovery opens?  session->commands or lanes_lock held */
static inline bool vxhs_disk_works(const struct vxhs_disk *disk)
{
	return disk->shown && !disk->dead && !disk->failed;
}

void vxhs_disk_lose(struct vxhs_disk *disk);

/**
 * vxhs_disk_unflushed - there is something that is acknowledged and not durable
 * @disk: any
 * @seen: its verifier when that was sent
 *
 * If the verifier has changed since, it may be lost already.
 *
 * Context: any.
 */
static inline void vxhs_disk_unflushed(struct vxhs_disk *disk, u64 seen)
{
	if (!READ_ONCE(disk->dirty))
		WRITE_ONCE(disk->dirty, true);
	if (unlikely(seen != READ_ONCE(disk->geometry.verifier)))
		vxhs_disk_lose(disk);
}

struct vxhs_disk *vxhs_disk_attach(const struct vxhs_attach *attach,
				   struct netlink_ext_ack *extack);
int vxhs_disk_detach(unsigned int index, bool force,
		     struct netlink_ext_ack *extack);
int vxhs_disk_set(unsigned int index, const struct vxhs_set *set,
		  struct netlink_ext_ack *extack);
int vxhs_disk_ack_loss(unsigned int index, struct netlink_ext_ack *extack);
struct vxhs_disk *vxhs_disk_find(unsigned int index);
struct vxhs_disk *vxhs_disk_next(unsigned int *index);
void vxhs_disk_put(struct vxhs_disk *disk);
u64 vxhs_disk_requests(const struct vxhs_disk *disk);
void vxhs_disk_tell(struct vxhs_disk *disk, enum vxhs_change change);
enum vxhs_reopened vxhs_disk_reopened(struct vxhs_disk *disk,
				      const struct vxhs_geometry *new,
				      const char **reason);
blk_status_t vxhs_disk_flushed(struct vxhs_disk *disk, u64 verifier,
			       const struct vxhs_io *io);

int vxhs_disk_init(void);
void vxhs_disk_exit(void);

#endif /* _VXHS_DISK_H */
