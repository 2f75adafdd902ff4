// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "privilege.h"

/**
 * privilege_drop() - keep what it takes to be an agent, and nothing else
 * @err: why not
 *
 * CAP_NET_ADMIN is for taking requests, CAP_IPC_LOCK for memory that is asked
 * for later and is to stay as well.
 *
 * Return: 0 or -1
 */
int privilege_drop(struct err *err)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	__u32 keep[_LINUX_CAPABILITY_U32S_3] = { 0 };
	unsigned int i;

	keep[CAP_TO_INDEX(CAP_NET_ADMIN)] |= CAP_TO_MASK(CAP_NET_ADMIN);
	keep[CAP_TO_INDEX(CAP_IPC_LOCK)] |= CAP_TO_MASK(CAP_IPC_LOCK);
	if (syscall(SYS_capget, &header, caps))
		goto failed;
	for (i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		caps[i].permitted &= keep[i];
		caps[i].effective = caps[i].permitted;
		caps[i].inheritable = 0;
	}
	if (!syscall(SYS_capset, &header, caps))
		return 0;
failed:
	return err_set(err, "cannot give up privileges: %s", strerror(errno));
}
