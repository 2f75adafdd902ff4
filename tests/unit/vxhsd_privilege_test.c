// SPDX-License-Identifier: GPL-2.0
/* What a server that was broken into may not do. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tools/vxhsd/privilege.h"

static const char *user;	/* to become; NULL: nobody else */

/* Returns what becomes of a process that does this when it serves. */
static int status_of(void (*what)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct err err;

		if (privilege_drop(user, "/", &err) ||
		    privilege_filter(&err))
			_exit(101);
		what();
		_exit(100);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void work(void)
{
	char byte;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	_exit(fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : 1);
}

static void run_a_shell(void)
{
	execl("/bin/true", "true", NULL);
}

static void make_a_socket(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void do_something_odd(void)
{
	_exit(personality(ADDR_NO_RANDOMIZE) < 0 && errno == EPERM ? 0 : 1);
}

static void look(void)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");
	int found = 0;

	while (file && fgets(line, sizeof(line), file))
		found += !strcmp(line, "NoNewPrivs:\t1\n") ||
			 !strcmp(line, "Seccomp:\t2\n") ||
			 !strcmp(line, "CapInh:\t0000000000000000\n") ||
			 !strcmp(line, "CapAmb:\t0000000000000000\n") ||
			 /* DAC_OVERRIDE and IPC_LOCK, for root alone */
			 (!strncmp(line, "CapPrm:", 7) &&
			  !(strtoul(line + 8, NULL, 16) & ~0x4002ul));
	_exit(found == 5 ? 0 : 1);
}

static void test_system_calls(void **state)
{
	int status;

	(void)state;
	assert_int_equal(status_of(work), 0);
	assert_int_equal(status_of(look), 0);
	assert_int_equal(status_of(do_something_odd), 0);
	status = status_of(run_a_shell);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = status_of(make_a_socket);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static int result_of(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int ret;

	assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
	assert_int_equal(io_uring_wait_cqe(ring, &cqe), 0);
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

static void test_rings(void **state)
{
	struct io_uring ring;
	struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
	struct io_uring_probe *probe = io_uring_get_probe();

	(void)state;
	assert_non_null(probe);
	assert_int_equal(io_uring_queue_init_params(8, &ring, &params), 0);
	assert_int_equal(privilege_ring(&ring), 0);
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	assert_int_equal(result_of(&ring), 0);
	io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/", O_RDONLY,
			     0);
	assert_int_equal(result_of(&ring), -EACCES);
	io_uring_prep_socket(io_uring_get_sqe(&ring), AF_INET, SOCK_STREAM, 0,
			     0);
	assert_int_equal(result_of(&ring), -EACCES);
	assert_int_equal(io_uring_register_probe(&ring, probe, 1), -EACCES);
	io_uring_free_probe(probe);
	io_uring_queue_exit(&ring);
}

static void look_for_none(void)
{
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");
	int found = 0;

	while (file && fgets(line, sizeof(line), file))
		found += !strncmp(line, "Cap", 3) &&
			 !strtoul(line + 8, NULL, 16);
	_exit(found == 5 ? 0 : 1);
}

/* Root becomes another, and no set has anything of root's. */
static void test_another_user(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	user = "nobody";
	assert_int_equal(status_of(look_for_none), 0);
	user = NULL;
}

static void test_users(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(privilege_drop("no such user", "/x", &err), -1);
	assert_non_null(strstr(err.text, "does not exist"));
	if (!geteuid())
		return;
	assert_int_equal(privilege_drop("root", "/x", &err), -1);
	assert_non_null(strstr(err.text, "only root can"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_rings),
		cmocka_unit_test(test_another_user),
		cmocka_unit_test(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
