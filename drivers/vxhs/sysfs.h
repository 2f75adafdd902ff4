/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VXHS_SYSFS_H
#define _VXHS_SYSFS_H

struct attribute_group;

extern const struct attribute_group *vxhs_sysfs_groups[];

#endif /* _VXHS_SYSFS_H */
