// SPDX-License-Identifier: GPL-2.0
/*
 * Which system calls this process may make once it serves, and what its rings
 * may do, which no filter of system calls sees.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "privilege.h"

/* What the loops, the handshakes, the audit, SIGHUP and the end need. */
static const int allowed[] = {
	/* Waiting, threads and memory. */
	SCMP_SYS(futex), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(alarm), SCMP_SYS(setitimer), SCMP_SYS(restart_syscall),
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(setpriority),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(tgkill),
	SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(mmap), SCMP_SYS(munmap),
	SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(brk), SCMP_SYS(getrandom), SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage), SCMP_SYS(uname), SCMP_SYS(prlimit64),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	/* Rings. */
	SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	/* Files: leases, exports and configuration that SIGHUP brings. */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(open),
	SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(stat),
	SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
	SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
	SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
	SCMP_SYS(fcntl), SCMP_SYS(dup), SCMP_SYS(ioctl), SCMP_SYS(fsync),
	SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(ftruncate),
	SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rename),
	SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(fchmod), SCMP_SYS(fgetxattr),
	SCMP_SYS(fsetxattr),
	/* Sockets that there are. */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(sendto),
	SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getpeername),
	SCMP_SYS(getsockname), SCMP_SYS(shutdown), SCMP_SYS(splice),
#ifdef __SANITIZE_ADDRESS__
	/* For its search for leaks, and for tests that act as a kernel. */
	SCMP_SYS(getdents), SCMP_SYS(ptrace), SCMP_SYS(wait4), SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(kill),
	SCMP_SYS(process_vm_readv), SCMP_SYS(getcwd), SCMP_SYS(getppid),
	SCMP_SYS(socketpair), SCMP_SYS(dup2), SCMP_SYS(dup3),
#endif
};

/* What no new C library begins to call: only somebody who has broken in. */
static const int fatal[] = {
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),
#ifndef __SANITIZE_ADDRESS__
	SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
#endif
	SCMP_SYS(process_vm_writev), SCMP_SYS(setuid), SCMP_SYS(setresuid),
	SCMP_SYS(setgid), SCMP_SYS(setresgid), SCMP_SYS(mount),
	SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
	SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(keyctl),
	SCMP_SYS(add_key), SCMP_SYS(io_uring_setup), SCMP_SYS(socket),
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

/* One that this architecture does not have needs no rule. */
static int add_rules(scmp_filter_ctx ctx, unsigned int action,
		     const int *calls, size_t n)
{
	size_t i;
	int ret;

	for (i = 0; i < n; i++) {
		ret = seccomp_rule_add(ctx, action, calls[i], 0);
		if (ret && ret != -EDOM)
			return ret;
	}
	return 0;
}

static int load(scmp_filter_ctx ctx)
{
	int ret;

	/* The last two are not in every libseccomp. */
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);
	if (!ret)
		ret = add_rules(ctx, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (!ret)
		ret = add_rules(ctx, SCMP_ACT_KILL_PROCESS, fatal,
				COUNT(fatal));
	return ret ? ret : seccomp_load(ctx);
}

/**
 * privilege_filter - from now on make no system call but those we need
 * @err: why not
 *
 * For all threads that there are and will be.  What is not expected fails
 * with EPERM, and what only an attacker calls ends the process; the kernel
 * logs both.  A kernel without seccomp is said so, and served on.
 *
 * Return: 0 or -1
 */
int privilege_filter(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int ret = ctx ? load(ctx) : -ENOMEM;

	if (ctx)
		seccomp_release(ctx);
	if (ret == -ENOSYS || ret == -EINVAL || ret == -EOPNOTSUPP)
		log_warn("this kernel has no seccomp; the system calls of this process are not restricted");
	else if (ret)
		return err_set(err,
			       "cannot restrict the system calls of this process: %s",
			       strerror(-ret));
	return 0;
}

/* Rings */

static const unsigned char ops[] = {
	IORING_OP_NOP, IORING_OP_ACCEPT, IORING_OP_RECV, IORING_OP_POLL_ADD,
	IORING_OP_ASYNC_CANCEL, IORING_OP_TIMEOUT, IORING_OP_READ,
	IORING_OP_WRITE, IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
	IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_URING_CMD,
};

static const unsigned char registers[] = {
	IORING_REGISTER_BUFFERS, IORING_REGISTER_FILES2,
	IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_PBUF_RING,
	IORING_REGISTER_IOWQ_MAX_WORKERS, IORING_REGISTER_RING_FDS,
	IORING_UNREGISTER_RING_FDS, IORING_REGISTER_ENABLE_RINGS,
};

/**
 * privilege_ring - let a ring do what it is for, and begin
 * @ring: made with IORING_SETUP_R_DISABLED
 *
 * It opens nothing, connects nowhere and sends no message to another ring.
 *
 * Return: 0 or a negative errno
 */
int privilege_ring(struct io_uring *ring)
{
	struct io_uring_restriction res[COUNT(ops) + COUNT(registers) + 1];
	unsigned int i, n = 0;

	memset(res, 0, sizeof(res));
	for (i = 0; i < COUNT(ops); i++, n++) {
		res[n].opcode = IORING_RESTRICTION_SQE_OP;
		res[n].sqe_op = ops[i];
	}
	for (i = 0; i < COUNT(registers); i++, n++) {
		res[n].opcode = IORING_RESTRICTION_REGISTER_OP;
		res[n].register_op = registers[i];
	}
	res[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	res[n++].sqe_flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT |
			     IOSQE_ASYNC;
	/* Some builds of liburing declare these two and lack them. */
	if (syscall(SYS_io_uring_register, ring->ring_fd,
		    IORING_REGISTER_RESTRICTIONS, res, n) ||
	    syscall(SYS_io_uring_register, ring->ring_fd,
		    IORING_REGISTER_ENABLE_RINGS, NULL, 0))
		return -errno;
	return 0;
}
