// SPDX-License-Identifier: GPL-2.0
/* What is left of root when the agent has given up the rest. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/capability.h>

#include "../../tools/vxhs-handshake/privilege.h"

#define KEPT	(1ull << CAP_NET_ADMIN | 1ull << CAP_IPC_LOCK)

static uint64_t status_of(const char *format)
{
	char line[256];
	uint64_t value = UINT64_MAX;
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &value) == 1)
			break;
	if (file)
		fclose(file);
	return value;
}

/* In a child: what is given up does not come back. */
static int drop(void)
{
	uint64_t had = status_of("CapPrm: %" SCNx64);
	struct err err;

	if (privilege_drop(&err))
		return 1;
	if (status_of("CapPrm: %" SCNx64) != (had & KEPT) ||
	    status_of("CapEff: %" SCNx64) != (had & KEPT) ||
	    status_of("CapInh: %" SCNx64))
		return 2;
	/* and once more, with nothing to give up */
	return privilege_drop(&err) ? 3 : 0;
}

static void little_is_left(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(drop());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
