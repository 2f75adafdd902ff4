// SPDX-License-Identifier: GPL-2.0
/*
 * What an administrator, udev and multipath see of a disk in
 * /sys/block/vxhsN.  Read-only: deciding is netlink's business.
 */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/sysfs.h>

#include "disk.h"
#include "netlink.h"
#include "session.h"
#include "sysfs.h"
#include "tls.h"

static const struct vxhs_disk *to_disk(struct device *dev)
{
	return dev_to_disk(dev)->private_data;
}

static ssize_t wwid_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "vxhs.%pUb\n", to_disk(dev)->geometry.vdisk_id);
}
static DEVICE_ATTR_RO(wwid);

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%*phN\n", 16, to_disk(dev)->geometry.vdisk_id);
}
static DEVICE_ATTR_RO(serial);

static struct attribute *vxhs_identity_attrs[] = {
	&dev_attr_wwid.attr,
	&dev_attr_serial.attr,
	NULL
};

static const struct attribute_group vxhs_identity_group = {
	.attrs	= vxhs_identity_attrs,
};

static ssize_t host_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", to_disk(dev)->session->host);
}
static DEVICE_ATTR_RO(host);

static ssize_t vdisk_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", to_disk(dev)->name);
}
static DEVICE_ATTR_RO(vdisk);

static ssize_t vdisk_id_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%pUb\n", to_disk(dev)->geometry.vdisk_id);
}
static DEVICE_ATTR_RO(vdisk_id);

static ssize_t mode_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%s\n", vxhs_mode_name(to_disk(dev)->mode));
}
static DEVICE_ATTR_RO(mode);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n",
		vxhs_session_state_name(READ_ONCE(to_disk(dev)->session->state)));
}
static DEVICE_ATTR_RO(state);

static ssize_t dialect_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  vxhs_dialect_name(to_disk(dev)->session->dialect));
}
static DEVICE_ATTR_RO(dialect);

/* For all to read: so no name of an identity or a key. */
static ssize_t tls_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%s\n", vxhs_tls_text(to_disk(dev)->session));
}
static DEVICE_ATTR_RO(tls);

/* Without TLS it is what a session is known by: for root only. */
static ssize_t session_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%016llx\n", to_disk(dev)->session->id);
}

static DEVICE_ATTR_ADMIN_RO(session);

static ssize_t lanes_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%u\n", to_disk(dev)->session->nr_lanes);
}
static DEVICE_ATTR_RO(lanes);

static ssize_t lanes_up_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  vxhs_session_lanes_up(to_disk(dev)->session));
}
static DEVICE_ATTR_RO(lanes_up);

/* Policy, in milliseconds; -1 is for ever. */

static ssize_t vxhs_emit_ms(char *buf, u32 ms)
{
	return sysfs_emit(buf, "%d\n", ms == VXHS_NEVER ? -1 : (int)ms);
}

static ssize_t fast_io_fail_tmo_show(struct device *dev,
				     struct device_attribute *attr, char *buf)
{
	return vxhs_emit_ms(buf,
			    READ_ONCE(to_disk(dev)->policy.fast_io_fail_ms));
}
static DEVICE_ATTR_RO(fast_io_fail_tmo);

static ssize_t io_timeout_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	return vxhs_emit_ms(buf, READ_ONCE(to_disk(dev)->policy.io_timeout_ms));
}
static DEVICE_ATTR_RO(io_timeout);

static ssize_t shutdown_tmo_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return vxhs_emit_ms(buf, READ_ONCE(to_disk(dev)->policy.shutdown_ms));
}
static DEVICE_ATTR_RO(shutdown_tmo);

static const struct vxhs_session_policy *to_session_policy(struct device *dev)
{
	return &to_disk(dev)->session->policy;
}

static ssize_t kato_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return vxhs_emit_ms(buf, READ_ONCE(to_session_policy(dev)->kato_ms));
}
static DEVICE_ATTR_RO(kato);

static ssize_t reconnect_delay_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	return vxhs_emit_ms(buf,
		READ_ONCE(to_session_policy(dev)->reconnect_delay_ms));
}
static DEVICE_ATTR_RO(reconnect_delay);

static ssize_t replay_delay_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return vxhs_emit_ms(buf,
		READ_ONCE(to_session_policy(dev)->replay_delay_ms));
}
static DEVICE_ATTR_RO(replay_delay);

static struct attribute *vxhs_disk_attrs[] = {
	&dev_attr_host.attr,
	&dev_attr_vdisk.attr,
	&dev_attr_vdisk_id.attr,
	&dev_attr_mode.attr,
	&dev_attr_state.attr,
	&dev_attr_dialect.attr,
	&dev_attr_tls.attr,
	&dev_attr_session.attr,
	&dev_attr_lanes.attr,
	&dev_attr_lanes_up.attr,
	&dev_attr_fast_io_fail_tmo.attr,
	&dev_attr_io_timeout.attr,
	&dev_attr_shutdown_tmo.attr,
	&dev_attr_kato.attr,
	&dev_attr_reconnect_delay.attr,
	&dev_attr_replay_delay.attr,
	NULL
};

static const struct attribute_group vxhs_disk_group = {
	.name	= "vxhs",
	.attrs	= vxhs_disk_attrs,
};

const struct attribute_group *vxhs_sysfs_groups[] = {
	&vxhs_identity_group,
	&vxhs_disk_group,
	NULL
};
