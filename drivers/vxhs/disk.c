// SPDX-License-Identifier: GPL-2.0
/*
 * Block devices: made on attach, gone on detach; and the way in for requests.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/part_stat.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "disk.h"
#include "lane.h"
#include "netlink.h"
#include "recovery.h"
#include "send.h"
#include "session.h"
#include "sysfs.h"
#include "trace.h"

/* How long an attach may take altogether. */
#define VXHS_ATTACH_TIMEOUT	(7 * HZ)

/* By index; an entry is reserved (zero) while its disk is made. */
static DEFINE_XARRAY_ALLOC(disks);

static struct workqueue_struct *disk_wq;

static int vxhs_opcode(const struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return VXHS_OP_READ;
	case REQ_OP_WRITE:
		return VXHS_OP_WRITE;
	case REQ_OP_FLUSH:
		return VXHS_OP_FLUSH;
	case REQ_OP_DISCARD:
		return VXHS_OP_DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return VXHS_OP_WRITE_ZEROES;
	default:
		return -EOPNOTSUPP;
	}
}

/* Task; may sleep (BLK_MQ_F_BLOCKING). */
static blk_status_t vxhs_queue_rq(struct blk_mq_hw_ctx *hctx,
				  const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct vxhs_disk *disk = rq->q->queuedata;
	struct vxhs_session *session = disk->session;
	struct vxhs_io *io = vxhs_rq_to_io(rq);
	struct vxhs_lane *lane;
	int opcode = vxhs_opcode(rq);
	bool polled = rq->cmd_flags & REQ_POLLED;
	blk_status_t refuse = READ_ONCE(disk->refuse);
	unsigned int home;
	bool first;

	if (opcode < 0)
		return BLK_STS_NOTSUPP;
	if (unlikely(refuse)) {
		atomic64_inc(&disk->errors);
		vxhs_session_kick(session);
		return refuse;
	}
	home = vxhs_session_home(session, hctx->queue_num, rq->tag);
	lane = vxhs_session_pick(session, home);

	io->slot = vxhs_session_slot(session, hctx->queue_num, rq->tag);
	io->opcode = opcode;
	io->length = opcode == VXHS_OP_FLUSH ? 0 : blk_rq_bytes(rq);
	io->status = BLK_STS_OK;
	io->started = jiffies;
	io->reports = 0;
	/* One that comes again remembers how often. */
	if (likely(!(rq->rq_flags & RQF_DONTPREP))) {
		io->resend = false;
		io->resends = 0;
	}
	io->dirty = false;
	io->epoch = 0;
	blk_mq_start_request(rq);
	trace_vxhs_io_queue(rq, io, lane);
	first = vxhs_send_push(lane, io);
	/* From here on it may be completed: do not touch it. */
	if (unlikely(lane->index != home))
		/* Its own lane may be back before the batch is complete. */
		vxhs_send_kick(lane);
	else if (bd->last && unlikely(polled))
		vxhs_send_kick(lane);
	else if (bd->last)
		vxhs_session_commit(session, lane, first);
	if (unlikely(!vxhs_lane_is_live(lane)))
		vxhs_recovery_wake(session);
	return BLK_STS_OK;
}

static void vxhs_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct vxhs_disk *disk = hctx->queue->queuedata;

	vxhs_session_kick(disk->session);
}

/* Softirq, or wherever vxhs_io_end() was called. */
static void vxhs_complete_rq(struct request *rq)
{
	blk_mq_end_request(rq, vxhs_rq_to_io(rq)->status);
}

/*
 * A slow request is no dead lane, and a request that is on the wire belongs
 * to its tag slot: report it now and then, and wait on.  Task (kblockd).
 */
static enum blk_eh_timer_return vxhs_timeout(struct request *rq)
{
	struct vxhs_disk *disk = rq->q->queuedata;
	struct vxhs_io *io = vxhs_rq_to_io(rq);
	unsigned long waited = jiffies - io->started;
	unsigned long slow =
		msecs_to_jiffies(READ_ONCE(disk->policy.io_timeout_ms));

	/* Each time that it has waited so long again. */
	if (!slow || waited / slow <= io->reports)
		return BLK_EH_RESET_TIMER;
	if (!io->reports)
		atomic64_inc(&disk->slow);
	io->reports = waited / slow;
	pr_warn_ratelimited("%s: %s at sector %llu waits for %s since %u s\n",
			    disk->gendisk->disk_name,
			    vxhs_opcode_name(io->opcode),
			    (unsigned long long)blk_rq_pos(rq),
			    disk->session->host,
			    jiffies_to_msecs(waited) / 1000);
	return BLK_EH_RESET_TIMER;
}

static void vxhs_map_queues(struct blk_mq_tag_set *set)
{
	const struct vxhs_session *session = set->driver_data;
	struct blk_mq_queue_map *map = set->map;

	map[HCTX_TYPE_DEFAULT].nr_queues = session->nr_queues;
	blk_mq_map_queues(&map[HCTX_TYPE_DEFAULT]);
	if (!session->nr_poll)
		return;
	map[HCTX_TYPE_READ].nr_queues = 0;
	map[HCTX_TYPE_POLL].nr_queues = session->nr_poll;
	map[HCTX_TYPE_POLL].queue_offset = session->nr_queues;
	blk_mq_map_queues(&map[HCTX_TYPE_POLL]);
}

/* Task, in an RCU read section. */
static int vxhs_poll(struct blk_mq_hw_ctx *hctx, struct io_comp_batch *batch)
{
	struct vxhs_disk *disk = hctx->queue->queuedata;
	unsigned int home = vxhs_session_home(disk->session, hctx->queue_num,
					      0);

	return vxhs_lane_poll(vxhs_session_pick(disk->session, home));
}

const struct blk_mq_ops vxhs_mq_ops = {
	.queue_rq	= vxhs_queue_rq,
	.commit_rqs	= vxhs_commit_rqs,
	.complete	= vxhs_complete_rq,
	.timeout	= vxhs_timeout,
	.map_queues	= vxhs_map_queues,
	.poll		= vxhs_poll,
};

static int vxhs_open(struct gendisk *gendisk, blk_mode_t mode)
{
	struct vxhs_disk *disk = gendisk->private_data;

	lockdep_assert_held(&gendisk->open_mutex);
	if (disk->detaching)
		return -ENXIO;
	if ((mode & BLK_OPEN_WRITE) && disk->mode == VXHS_MODE_READ_ONLY)
		return -EROFS;
	return 0;
}

/* Whoever holds the last reference to the device calls: not for long work. */
static void vxhs_free_disk(struct gendisk *gendisk)
{
	struct vxhs_disk *disk = gendisk->private_data;

	queue_work(disk_wq, &disk->free_work);
}

static const struct block_device_operations vxhs_fops = {
	.owner		= THIS_MODULE,
	.open		= vxhs_open,
	.free_disk	= vxhs_free_disk,
};

static void vxhs_disk_release(struct kref *ref)
{
	struct vxhs_disk *disk = container_of(ref, struct vxhs_disk, ref);

	vxhs_session_put(disk->session);
	kfree(disk);
	/* Nobody but us and disk_wq, which module exit waits for. */
	module_put(THIS_MODULE);
}

static void vxhs_disk_unref(struct vxhs_disk *disk)
{
	kref_put(&disk->ref, vxhs_disk_release);
}

static void vxhs_disk_free_work(struct work_struct *work)
{
	vxhs_disk_unref(container_of(work, struct vxhs_disk, free_work));
}

/* For somebody who will look at the gendisk too. */
static void vxhs_disk_get(struct vxhs_disk *disk)
{
	kref_get(&disk->ref);
	get_device(disk_to_dev(disk->gendisk));
}

/**
 * vxhs_disk_put - drop a reference
 * @disk: from vxhs_disk_attach(), vxhs_disk_find() or vxhs_disk_next()
 *
 * Context: task, may sleep; in code that a module reference or module exit
 * protects.
 */
void vxhs_disk_put(struct vxhs_disk *disk)
{
	put_disk(disk->gendisk);
	vxhs_disk_unref(disk);
}

/**
 * vxhs_disk_find - look up an attached disk
 * @index: N of /dev/vxhsN
 *
 * Return: the disk with a reference for the caller, or NULL
 */
struct vxhs_disk *vxhs_disk_find(unsigned int index)
{
	struct vxhs_disk *disk;

	xa_lock(&disks);
	disk = xa_load(&disks, index);
	if (disk)
		vxhs_disk_get(disk);
	xa_unlock(&disks);
	return disk;
}

/**
 * vxhs_disk_next - walk the attached disks
 * @index: the lowest index that is wanted; set to the one found
 *
 * Return: the disk with a reference for the caller, or NULL
 */
struct vxhs_disk *vxhs_disk_next(unsigned int *index)
{
	unsigned long i = *index;
	struct vxhs_disk *disk;

	xa_lock(&disks);
	disk = xa_find(&disks, &i, VXHS_MAX_DISKS - 1, XA_PRESENT);
	if (disk)
		vxhs_disk_get(disk);
	xa_unlock(&disks);
	*index = i;
	return disk;
}

/**
 * vxhs_disk_requests - how many requests the disk has completed
 * @disk: any
 *
 * Return: that number
 */
u64 vxhs_disk_requests(const struct vxhs_disk *disk)
{
	struct block_device *part0 = disk->gendisk->part0;

	return part_stat_read(part0, ios[STAT_READ]) +
	       part_stat_read(part0, ios[STAT_WRITE]) +
	       part_stat_read(part0, ios[STAT_DISCARD]) +
	       part_stat_read(part0, ios[STAT_FLUSH]);
}

/**
 * vxhs_disk_tell - say that something happened to a disk
 * @disk: to which
 * @change: what
 *
 * Context: task, may sleep.
 */
void vxhs_disk_tell(struct vxhs_disk *disk, enum vxhs_change change)
{
	vxhs_netlink_notify(change, disk->session, disk);
}

/**
 * vxhs_disk_lose - acknowledged, unflushed writes may be lost
 * @disk: whose; one without a cache loses nothing
 *
 * Context: any.
 */
void vxhs_disk_lose(struct vxhs_disk *disk)
{
	u64 verifier = READ_ONCE(disk->geometry.verifier);
	bool again;

	if (!(disk->geometry.caps & VXHS_CAP_FLUSH))
		return;
	/* More than one request may notice the same loss. */
	again = xchg(&disk->lost, true);
	if (xchg(&disk->lost_with, verifier) == verifier && again)
		return;
	atomic64_inc(&disk->losses);
	pr_err_ratelimited("vxhs%u: %s may have lost acknowledged writes: every FLUSH fails from now on; check the data, then run vxhsctl ack-loss\n",
			   disk->index, disk->session->host);
	vxhs_recovery_wake(disk->session);
}

/*
 * The verifier changes exactly when acknowledged, unflushed writes may have
 * been lost; a client without such writes takes the new value (section 5.4).
 * What is in flight meanwhile finds out by what it has seen.  Any context.
 */
static void vxhs_disk_verify(struct vxhs_disk *disk, u64 verifier)
{
	if (xchg(&disk->geometry.verifier, verifier) != verifier &&
	    READ_ONCE(disk->dirty))
		vxhs_disk_lose(disk);
}

/**
 * vxhs_disk_flushed - a FLUSH was answered
 * @disk: whose
 * @verifier: from the answer
 * @io: the FLUSH
 *
 * Context: any; the block layer sends one FLUSH of a disk at a time.
 * Return: what FLUSH is to say
 */
blk_status_t vxhs_disk_flushed(struct vxhs_disk *disk, u64 verifier,
			       const struct vxhs_io *io)
{
	if (unlikely(verifier != READ_ONCE(disk->geometry.verifier)))
		vxhs_disk_verify(disk, verifier);
	if (unlikely(io->dirty && verifier != io->seen))
		vxhs_disk_lose(disk);
	return READ_ONCE(disk->lost) ? BLK_STS_IOERR : BLK_STS_OK;
}

/* Task, under memalloc_noio. */
static void vxhs_disk_resize(struct vxhs_disk *disk, u64 size)
{
	pr_info("%s: size changes from %llu to %llu bytes\n",
		disk->gendisk->disk_name, disk->geometry.size, size);
	WRITE_ONCE(disk->geometry.size, size);
	set_capacity_and_notify(disk->gendisk, size >> SECTOR_SHIFT);
	vxhs_disk_tell(disk, VXHS_CHANGE_RESIZED);
}

/**
 * vxhs_disk_reopened - an attached disk's OPEN was answered again
 * @disk: which; session->commands held
 * @new: the answer, checked by itself
 * @reason: why it does not fit, a constant string
 *
 * Context: task, may sleep, under memalloc_noio.
 * Return: what the answer means; the handle, lease, size and verifier are
 * taken if requests may flow
 */
enum vxhs_reopened vxhs_disk_reopened(struct vxhs_disk *disk,
				      const struct vxhs_geometry *new,
				      const char **reason)
{
	struct vxhs_geometry *have = &disk->geometry;

	if (memcmp(new->vdisk_id, have->vdisk_id, sizeof(have->vdisk_id))) {
		*reason = "the server has another vdisk of the same name";
		return VXHS_REOPENED_LOST;
	}
	if (new->size < have->size) {
		*reason = "the vdisk has shrunk";
		return VXHS_REOPENED_LOST;
	}
	if ((have->caps & ~new->caps & ~VXHS_CAP_ROTATIONAL) ||
	    ((new->caps & ~have->caps) & (VXHS_CAP_FLUSH |
					  VXHS_CAP_READ_ONLY)) ||
	    new->logical_block != have->logical_block ||
	    new->max_discard < have->max_discard ||
	    new->max_write_zeroes < have->max_write_zeroes) {
		*reason = "the portal offers less than the one of the attach";
		return VXHS_REOPENED_WEAKER;
	}
	WRITE_ONCE(have->handle, new->handle);
	have->lease = new->lease;
	if (new->verifier != READ_ONCE(have->verifier))
		vxhs_disk_verify(disk, new->verifier);
	if (new->size != have->size)
		vxhs_disk_resize(disk, new->size);
	return VXHS_REOPENED;
}

static void vxhs_disk_set_limits(const struct vxhs_disk *disk,
				 struct queue_limits *lim)
{
	const struct vxhs_geometry *geometry = &disk->geometry;
	u32 max_io = min(disk->session->grant.max_io, VXHS_MAX_IO);

	*lim = (struct queue_limits) {
		.logical_block_size = geometry->logical_block,
		.physical_block_size = geometry->physical_block,
		.io_min = geometry->io_min,
		.io_opt = geometry->io_opt,
		.max_hw_sectors = max_io >> SECTOR_SHIFT,
		.max_segments = VXHS_MAX_SEGMENTS,
		.max_segment_size = UINT_MAX,
		.dma_alignment = 3,
	};
	if (geometry->caps & VXHS_CAP_FLUSH)
		lim->features |= BLK_FEAT_WRITE_CACHE;
	if (geometry->caps & VXHS_CAP_FUA)
		lim->features |= BLK_FEAT_FUA;
	if (geometry->caps & VXHS_CAP_ROTATIONAL)
		lim->features |= BLK_FEAT_ROTATIONAL;
	/* A page that changes under way would be sent with a wrong CRC. */
	if (disk->session->features & VXHS_F_DATA_CRC)
		lim->features |= BLK_FEAT_STABLE_WRITES;
	if (geometry->caps & VXHS_CAP_DISCARD) {
		lim->max_hw_discard_sectors =
			geometry->max_discard >> SECTOR_SHIFT;
		lim->discard_granularity = geometry->discard_granularity;
	}
	if (geometry->caps & VXHS_CAP_WRITE_ZEROES)
		lim->max_write_zeroes_sectors =
			geometry->max_write_zeroes >> SECTOR_SHIFT;
}

static int vxhs_disk_reserve_index(struct vxhs_disk *disk, int index,
				   struct netlink_ext_ack *extack)
{
	struct vxhs_disk *other;
	int ret;

	if (index < 0)
		return xa_alloc(&disks, &disk->index, NULL,
				XA_LIMIT(0, VXHS_MAX_DISKS - 1), GFP_KERNEL);

	disk->index = index;
	ret = xa_insert(&disks, index, NULL, GFP_KERNEL);
	if (ret != -EBUSY)
		return ret;
	other = vxhs_disk_find(index);
	if (other) {
		NL_SET_ERR_MSG_FMT(extack, "index %d is taken by vdisk %.40s",
				   index, other->name);
		vxhs_disk_put(other);
	} else {
		NL_SET_ERR_MSG_FMT(extack, "index %d is being attached", index);
	}
	return ret;
}

static int vxhs_disk_check_new(struct vxhs_session *session, const char *vdisk,
			       struct netlink_ext_ack *extack)
{
	struct vxhs_disk *disk;
	int ret = 0;

	mutex_lock(&session->lanes_lock);
	list_for_each_entry(disk, &session->disks, entry) {
		if (strcmp(disk->name, vdisk))
			continue;
		NL_SET_ERR_MSG_FMT(extack, "already attached as /dev/vxhs%u",
				   disk->index);
		ret = -EEXIST;
		break;
	}
	mutex_unlock(&session->lanes_lock);
	return ret;
}

/* Make and show the block device. */
static int vxhs_disk_add(struct vxhs_disk *disk, struct netlink_ext_ack *extack)
{
	struct queue_limits lim;
	struct gendisk *gendisk;
	int ret;

	vxhs_disk_set_limits(disk, &lim);
	gendisk = blk_mq_alloc_disk(&disk->session->tag_set, &lim, disk);
	if (IS_ERR(gendisk)) {
		NL_SET_ERR_MSG(extack,
			       "this host: the block layer refuses the disk's limits or is out of memory");
		return PTR_ERR(gendisk);
	}
	disk->gendisk = gendisk;
	gendisk->fops = &vxhs_fops;
	gendisk->private_data = disk;
	snprintf(gendisk->disk_name, DISK_NAME_LEN, "vxhs%u", disk->index);
	set_capacity(gendisk, disk->geometry.size >> SECTOR_SHIFT);
	if (disk->mode == VXHS_MODE_READ_ONLY)
		set_disk_ro(gendisk, true);

	/* There is nothing to suspend; its files in sysfs are 1.4 KB a disk. */
	device_set_pm_not_required(disk_to_dev(gendisk));
	set_bit(GD_SUPPRESS_PART_SCAN, &gendisk->state);
	ret = device_add_disk(NULL, gendisk, vxhs_sysfs_groups);
	if (ret) {
		NL_SET_ERR_MSG(extack, "this host: cannot add the block device");
		/* Never added: free_disk will not be called. */
		disk->gendisk = NULL;
		put_disk(gendisk);
		return ret;
	}
	kref_get(&disk->ref);	/* ended by free_disk */
	return 0;
}

static void vxhs_disk_scan_work(struct work_struct *work)
{
	struct vxhs_disk *disk = container_of(work, struct vxhs_disk,
					      scan_work);
	struct gendisk *gendisk = disk->gendisk;

	mutex_lock(&gendisk->open_mutex);
	clear_bit(GD_SUPPRESS_PART_SCAN, &gendisk->state);
	if (!disk->detaching)
		bdev_disk_changed(gendisk, false);
	mutex_unlock(&gendisk->open_mutex);
	complete_all(&disk->scanned);
	vxhs_disk_put(disk);
}

/*
 * Read the partition table.  A server may never answer that: so not within
 * add_disk(), when the disk cannot be found and detached yet, and without
 * waiting for ever.
 */
static void vxhs_disk_scan(struct vxhs_disk *disk, unsigned long deadline)
{
	vxhs_disk_get(disk);	/* the work's */
	queue_work(disk_wq, &disk->scan_work);
	wait_for_completion_killable_timeout(&disk->scanned,
					     vxhs_jiffies_left(deadline));
}

/*
 * The last step of a detach: the server is told, and the session ends with its
 * last disk.  Task, may sleep.
 */
static void vxhs_disk_remove(struct vxhs_disk *disk)
{
	struct vxhs_session *session = disk->session;

	kref_get(&session->ref);
	vxhs_session_remove_disk(session, disk);
	/* Until now recovery could look at it. */
	put_disk(disk->gendisk);
	mutex_lock(&session->lock);
	vxhs_session_unlock(session);
	vxhs_disk_unref(disk);	/* of the attach */
}

static void vxhs_disk_remove_work(struct work_struct *work)
{
	vxhs_disk_remove(container_of(work, struct vxhs_disk, remove_work));
}

static struct vxhs_disk *vxhs_disk_alloc(struct vxhs_session *session,
					 const struct vxhs_attach *attach)
{
	struct vxhs_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);

	if (!disk)
		return NULL;
	kref_init(&disk->ref);
	INIT_WORK(&disk->free_work, vxhs_disk_free_work);
	INIT_WORK(&disk->remove_work, vxhs_disk_remove_work);
	INIT_WORK(&disk->scan_work, vxhs_disk_scan_work);
	init_completion(&disk->scanned);
	kref_get(&session->ref);
	disk->session = session;
	disk->mode = attach->mode;
	disk->policy = attach->policy;
	strscpy(disk->name, attach->vdisk, sizeof(disk->name));
	__module_get(THIS_MODULE);
	return disk;
}

/**
 * vxhs_disk_attach - open a vdisk and make its block device
 * @attach: what is asked for
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: the disk with a reference for the caller, or an ERR_PTR()
 */
struct vxhs_disk *vxhs_disk_attach(const struct vxhs_attach *attach,
				   struct netlink_ext_ack *extack)
{
	unsigned long deadline = jiffies + VXHS_ATTACH_TIMEOUT;
	struct vxhs_session *session;
	struct vxhs_disk *disk;
	int ret;

	session = vxhs_session_get(attach, deadline, extack);
	if (IS_ERR(session))
		return ERR_CAST(session);

	ret = vxhs_disk_check_new(session, attach->vdisk, extack);
	if (ret)
		goto err_unlock;
	ret = -ENOMEM;
	disk = vxhs_disk_alloc(session, attach);
	if (!disk)
		goto err_unlock;
	ret = vxhs_disk_reserve_index(disk, attach->index, extack);
	if (ret)
		goto err_put;
	ret = vxhs_session_add_disk(session, disk, attach->take_over, deadline,
				    extack);
	if (ret)
		goto err_index;
	ret = vxhs_disk_add(disk, extack);
	if (ret)
		goto err_close;
	vxhs_recovery_show_disk(session, disk);
	vxhs_disk_get(disk);	/* the caller's */
	vxhs_netlink_notify(VXHS_CHANGE_ATTACHED, session, disk);
	/* From here on others find it, and may detach it. */
	xa_store(&disks, disk->index, disk, GFP_KERNEL);
	vxhs_session_unlock(session);
	vxhs_disk_scan(disk, deadline);
	return disk;

err_close:
	vxhs_session_remove_disk(session, disk);
err_index:
	xa_release(&disks, disk->index);
err_put:
	vxhs_disk_unref(disk);
err_unlock:
	vxhs_session_unlock(session);
	return ERR_PTR(ret);
}

/*
 * Whoever has the partition table read again, or closes last, holds it while a
 * server may not answer.  Return: it is locked
 */
static bool vxhs_disk_lock_opens(struct gendisk *gendisk)
{
	unsigned long until = jiffies + HZ;

	while (!mutex_trylock(&gendisk->open_mutex)) {
		if (time_after(jiffies, until))
			return false;
		schedule_timeout_uninterruptible(HZ / 50 + 1);
	}
	return true;
}

/* From now on nobody can open it; unless somebody has it open. */
static int vxhs_disk_stop_opens(struct vxhs_disk *disk,
				struct netlink_ext_ack *extack)
{
	struct gendisk *gendisk = disk->gendisk;
	int ret = 0;

	/* The scan holds open_mutex while it waits for the server. */
	if (!try_wait_for_completion(&disk->scanned)) {
		NL_SET_ERR_MSG(extack,
			       "its partition table is still being read; try again");
		return -EBUSY;
	}
	if (!vxhs_disk_lock_opens(gendisk)) {
		NL_SET_ERR_MSG(extack,
			       "it is being opened, closed or scanned for partitions; try again");
		return -EBUSY;
	}
	if (disk->detaching) {
		NL_SET_ERR_MSG(extack, "it is being detached already");
		ret = -EALREADY;
	} else if (disk_openers(gendisk)) {
		NL_SET_ERR_MSG_FMT(extack,
				   "in use: open %u times; unmount or close it first",
				   disk_openers(gendisk));
		ret = -EBUSY;
	} else {
		disk->detaching = true;
	}
	mutex_unlock(&gendisk->open_mutex);
	return ret;
}

static struct vxhs_disk *vxhs_disk_find_or_say(unsigned int index,
					       struct netlink_ext_ack *extack)
{
	struct vxhs_disk *disk = vxhs_disk_find(index);

	if (!disk)
		NL_SET_ERR_MSG_FMT(extack, "vxhs%u is not attached", index);
	return disk;
}

/**
 * vxhs_disk_set - change how an attached disk and its session behave
 * @index: N of /dev/vxhsN
 * @set: what, checked
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0 or a negative errno, and then nothing has changed
 */
int vxhs_disk_set(unsigned int index, const struct vxhs_set *set,
		  struct netlink_ext_ack *extack)
{
	struct vxhs_disk *disk = vxhs_disk_find_or_say(index, extack);
	const struct vxhs_policy *from = &set->policy;
	struct vxhs_session *session;
	struct vxhs_policy *to;
	int ret = 0;
	bool ours;

	if (!disk)
		return -ENODEV;
	session = disk->session;
	to = &disk->policy;
	if (mutex_lock_killable(&session->lock)) {
		ret = -EINTR;
		goto out;
	}
	if (READ_ONCE(disk->detaching)) {
		NL_SET_ERR_MSG(extack, "it is being detached");
		ret = -ENODEV;
		goto out_unlock;
	}
	if (set->what & VXHS_SET_FAST_IO_FAIL)
		WRITE_ONCE(to->fast_io_fail_ms, from->fast_io_fail_ms);
	if (set->what & VXHS_SET_IO_TIMEOUT)
		WRITE_ONCE(to->io_timeout_ms, from->io_timeout_ms);
	if (set->what & VXHS_SET_SHUTDOWN)
		WRITE_ONCE(to->shutdown_ms, from->shutdown_ms);
	vxhs_session_set_policy(session, &set->session_policy);
	if (set->key) {
		ours = vxhs_session_set_portals(session, set->key);
		vxhs_recovery_portals_changed(session, ours);
	}
	vxhs_recovery_wake(session);
out_unlock:
	mutex_unlock(&session->lock);
out:
	vxhs_disk_put(disk);
	return ret;
}

/**
 * vxhs_disk_ack_loss - FLUSH works again after acknowledged writes were lost
 * @index: N of /dev/vxhsN
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0 or a negative errno
 */
int vxhs_disk_ack_loss(unsigned int index, struct netlink_ext_ack *extack)
{
	struct vxhs_disk *disk = vxhs_disk_find_or_say(index, extack);
	int ret = 0;

	if (!disk)
		return -ENODEV;
	if (!xchg(&disk->lost, false)) {
		NL_SET_ERR_MSG_FMT(extack,
				   "vxhs%u has lost nothing; there is nothing to acknowledge",
				   index);
		ret = -EINVAL;
	}
	vxhs_disk_put(disk);
	return ret;
}

/* The block device is gone, its name is free; the rest may take its time. */
static void vxhs_disk_gone(struct vxhs_disk *disk)
{
	vxhs_netlink_notify(VXHS_CHANGE_DETACHED, disk->session, disk);
	xa_erase(&disks, disk->index);
}

static int vxhs_disk_detach_gently(struct vxhs_disk *disk,
				   struct netlink_ext_ack *extack)
{
	struct vxhs_session *session = disk->session;
	int ret;

	if (vxhs_session_event(session, VXHS_SESSION_DETACH) & VXHS_DO_REFUSE) {
		NL_SET_ERR_MSG_FMT(extack,
				   "its server does not answer, writes may wait; use --force");
		return -EHOSTDOWN;
	}
	ret = vxhs_disk_stop_opens(disk, extack);
	if (ret)
		return ret;
	/*
	 * Nobody has it open, so what is in flight is little.  If the session
	 * breaks meanwhile, recovery fails it.
	 */
	vxhs_recovery_wake(session);
	del_gendisk(disk->gendisk);
	vxhs_disk_gone(disk);
	vxhs_disk_remove(disk);
	return 0;
}

/* Returns soon, whatever the server does; whoever has it open sees errors. */
static int vxhs_disk_detach_by_force(struct vxhs_disk *disk,
				     struct netlink_ext_ack *extack)
{
	struct gendisk *gendisk = disk->gendisk;
	bool first;

	vxhs_recovery_kill_disk(disk->session, disk);
	mutex_lock(&gendisk->open_mutex);
	first = !disk->detaching;
	disk->detaching = true;
	mutex_unlock(&gendisk->open_mutex);
	if (!first) {
		NL_SET_ERR_MSG(extack,
			       "it is being detached already; its requests have failed now");
		return -EALREADY;
	}
	pr_warn("%s: detached by force: requests in flight failed, and may still reach %s\n",
		gendisk->disk_name, disk->session->host);
	blk_mark_disk_dead(gendisk);
	del_gendisk(gendisk);
	vxhs_disk_gone(disk);
	queue_work(disk_wq, &disk->remove_work);
	return 0;
}

/**
 * vxhs_disk_detach - remove a block device
 * @index: N of /dev/vxhsN
 * @force: also if somebody has it open, or its server does not answer
 * @extack: told why not
 *
 * Context: task, may sleep.
 * Return: 0 or a negative errno
 */
int vxhs_disk_detach(unsigned int index, bool force,
		     struct netlink_ext_ack *extack)
{
	struct vxhs_disk *disk = vxhs_disk_find_or_say(index, extack);
	int ret;

	if (!disk)
		return -ENODEV;
	ret = force ? vxhs_disk_detach_by_force(disk, extack) :
		      vxhs_disk_detach_gently(disk, extack);
	vxhs_disk_put(disk);
	return ret;
}

static int vxhs_disk_reboot(struct notifier_block *block, unsigned long action,
			    void *data)
{
	vxhs_session_shutdown();
	return NOTIFY_DONE;
}

static struct notifier_block reboot_block = {
	.notifier_call	= vxhs_disk_reboot,
	/*
	 * Others of the highest priority, such as md, write to their disks, and
	 * wait: before them, if they were loaded later.
	 */
	.priority	= INT_MAX,
};

/**
 * vxhs_disk_init - module init of this room
 *
 * Return: 0 or -ENOMEM
 */
int vxhs_disk_init(void)
{
	int ret;

	disk_wq = alloc_workqueue("vxhs_disk", WQ_UNBOUND, 0);
	if (!disk_wq)
		return -ENOMEM;
	ret = register_reboot_notifier(&reboot_block);
	if (ret)
		destroy_workqueue(disk_wq);
	return ret;
}

/** vxhs_disk_exit - module exit of this room; no disk is left */
void vxhs_disk_exit(void)
{
	unregister_reboot_notifier(&reboot_block);
	destroy_workqueue(disk_wq);
	xa_destroy(&disks);
}
