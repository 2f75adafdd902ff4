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

static struct attribute *vxhs_disk_attrs[] = {
	&dev_attr_host.attr,
	&dev_attr_vdisk.attr,
	&dev_attr_vdisk_id.attr,
	&dev_attr_mode.attr,
	&dev_attr_state.attr,
	&dev_attr_dialect.attr,
	&dev_attr_session.attr,
	&dev_attr_lanes.attr,
	&dev_attr_lanes_up.attr,
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
