// SPDX-License-Identifier: GPL-2.0
/* Who this process is, and what it may still do as that. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privilege.h"

#define BIT(n)		(1u << (n))

/*
 * Root's, if it has to stay root: files belong to anybody, and buffers are
 * pinned.
 */
#define ROOT_KEEPS	(BIT(CAP_DAC_OVERRIDE) | BIT(CAP_IPC_LOCK))

/* Nothing that is not in it comes back, not even by execve(). */
static void drop_bounding(unsigned int keep)
{
	unsigned int i;

	for (i = 0; i < 64; i++)
		if (i >= 32 || !(keep & BIT(i)))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

static int set_capabilities(unsigned int keep)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2], want[2];

	if (syscall(SYS_capget, &head, data))
		return -1;
	if (!data[0].permitted && !data[1].permitted)
		return 0;
	drop_bounding(keep);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(want, 0, sizeof(want));
	want[0].permitted = data[0].permitted & keep;
	want[0].effective = want[0].permitted;
	return (int)syscall(SYS_capset, &head, want);
}

static int become(const char *user, const char *state_dir, struct err *err)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return err_usage(err, "user %s does not exist on this host",
				 user);
	if (pw->pw_uid == geteuid() && pw->pw_uid == getuid())
		return 0;
	if (geteuid())
		return err_set(err,
			       "cannot become user %s: only root can, and this was not started by it",
			       user);
	/* Where root made it before, root has things in it: hands off. */
	if (!mkdir(state_dir, 0755) &&
	    chown(state_dir, pw->pw_uid, pw->pw_gid))
		return err_set(err, "cannot give %s to user %s: %s", state_dir,
			       user, strerror(errno));
	/* While there is a capability to do it with. */
	drop_bounding(pw->pw_uid ? 0 : ROOT_KEEPS);
	if (initgroups(user, pw->pw_gid) ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		return err_set(err, "cannot become user %s: %s", user,
			       strerror(errno));
	return 0;
}

/**
 * privilege_drop - become a user, for good, and keep no capability
 * @user: its name, or NULL to stay who we are
 * @state_dir: the user's, if it is made here
 * @err: why not
 *
 * Context: before there is a second thread, and before files are opened:
 * what cannot be opened again at SIGHUP cannot be opened now either.
 * Return: 0 or -1
 */
int privilege_drop(const char *user, const char *state_dir, struct err *err)
{
	if (user && become(user, state_dir, err))
		return -1;
	if (set_capabilities(geteuid() ? 0 : ROOT_KEEPS) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_set(err, "cannot give up privileges: %s",
			       strerror(errno));
#ifndef __SANITIZE_ADDRESS__	/* it looks for leaks as a debugger would */
	/* No dump of this process's memory: there are keys in it. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	return 0;
}
