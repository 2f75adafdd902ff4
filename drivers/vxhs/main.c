// SPDX-License-Identifier: GPL-2.0
/*
 * vxhs: block devices that live on a remote storage server.
 */
#include <linux/module.h>
#include <net/genetlink.h>
#include <uapi/linux/vxhs.h>

#include "disk.h"
#include "lane.h"
#include "netlink.h"
#include "recovery.h"
#include "session.h"
#include "tls.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static int __init vxhs_init(void)
{
	int ret;

	ret = vxhs_tls_init();
	if (ret)
		return ret;
	ret = vxhs_lane_init();
	if (ret)
		goto err_tls;
	ret = vxhs_recovery_init();
	if (ret)
		goto err_lane;
	ret = vxhs_disk_init();
	if (ret)
		goto err_recovery;
	ret = vxhs_netlink_init();
	if (ret)
		goto err_disk;
	return 0;

err_disk:
	vxhs_disk_exit();
err_recovery:
	vxhs_recovery_exit();
err_lane:
	vxhs_lane_exit();
err_tls:
	vxhs_tls_exit();
	return ret;
}

static void __exit vxhs_exit(void)
{
	vxhs_netlink_exit();
	vxhs_disk_exit();
	vxhs_recovery_exit();
	vxhs_lane_exit();
	vxhs_tls_exit();
}

module_init(vxhs_init);
module_exit(vxhs_exit);

MODULE_DESCRIPTION("Network disks of VXHS 1 and Veritas HyperScale servers");
MODULE_LICENSE("GPL");
MODULE_ALIAS_GENL_FAMILY(VXHS_FAMILY_NAME);
