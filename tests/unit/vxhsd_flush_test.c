// SPDX-License-Identifier: GPL-2.0
/* FLUSH and the verifier when a writeback fails: fdatasync ends by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../tools/vxhsd/backend.h"
#include "../../tools/vxhsd/config.h"
#include "../../tools/vxhsd/conn.h"
#include "../../tools/vxhsd/export.h"
#include "../../tools/vxhsd/flush.h"
#include "../../tools/vxhsd/identity.h"
#include "../../tools/vxhsd/io.h"
#include "../../tools/vxhsd/store.h"

#define UNANSWERED	0xffff

static struct loop loop;
static struct conn conn;
static struct export *x;
static struct use *use;
static char dir[32];

static void reply(struct conn *c, struct io *io)
{
	(void)c;
	(void)io;
}

static const struct dialect silent = { .reply = reply };

/* The server starts, or starts again. */
static void start(void)
{
	struct config config = { 0 };
	struct err err = { 0 };
	char text[128];

	identity_init(dir);
	snprintf(text, sizeof(text), "w=%s/w,size=1M", dir);
	assert_int_equal(config_add_export(&config, text, &err), 0);
	snprintf(text, sizeof(text), "t=%s/t,size=1M,cache=none", dir);
	assert_int_equal(config_add_export(&config, text, &err), 0);
	assert_int_equal(exports_reload(&config, &err), 0);
	config_free(&config);
	control_lock();
	x = export_find("w");
	use = use_new(&loop, x, NULL, NULL, NULL);
	control_unlock();
	assert_non_null(use);
}

static void stop(void)
{
	use_put(use);
	stores_stop();
	exports_close();
}

static int setup(void **state)
{
	(void)state;
	memset(&loop, 0, sizeof(loop));
	TAILQ_INIT(&loop.starved);
	TAILQ_INIT(&loop.resume);
	loop.msgs_tail = &loop.msgs;
	loop.wake_fd = eventfd(0, EFD_NONBLOCK);
	pthread_mutex_init(&loop.lock, NULL);
	assert_int_equal(io_uring_queue_init(16, &loop.ring, 0), 0);
	memset(&conn, 0, sizeof(conn));
	conn.loop = &loop;
	conn.dialect = &silent;
	strcpy(dir, "/tmp/vxhsd-flush-XXXXXX");
	assert_non_null(mkdtemp(dir));
	start();
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	stop();
	io_uring_queue_exit(&loop.ring);
	close(loop.wake_fd);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static struct io flush_io(void)
{
	struct io io = {
		.conn = &conn,
		.use = use,
		.kind = IO_FLUSH,
		.status = UNANSWERED,
	};

	return io;
}

static void submit(struct io *io)
{
	atomic_fetch_add(&use->inflight, 1);
	flush_submit(io);
}

/* What the ring would say of the fdatasync that this one carries. */
static void sync_ends(struct io *io, int res)
{
	io->op.done(&io->op, res, 0);
}

static void one_sync_for_all_that_wait(void **state)
{
	struct io a = flush_io(), b = flush_io(), c = flush_io();

	(void)state;
	submit(&a);
	submit(&b);
	submit(&c);
	sync_ends(&a, 0);
	assert_int_equal(a.status, VXHS_ST_OK);
	assert_int_equal(b.status, UNANSWERED);
	sync_ends(&b, 0);
	assert_int_equal(b.status, VXHS_ST_OK);
	assert_int_equal(c.status, VXHS_ST_OK);
}

/* It changes once for each loss, and a restart does not bring back the old. */
static void a_loss_changes_the_verifier_for_good(void **state)
{
	struct io a = flush_io(), b = flush_io();
	u64 first = atomic_load(&x->verifier), second, third;

	(void)state;
	submit(&a);
	sync_ends(&a, -EIO);
	assert_int_equal(a.status, VXHS_ST_IO);
	second = atomic_load(&x->verifier);
	assert_int_not_equal(second, first);

	stop();
	start();
	assert_int_equal(atomic_load(&x->verifier), second);

	b = flush_io();
	submit(&b);
	sync_ends(&b, -EIO);
	third = atomic_load(&x->verifier);
	assert_int_not_equal(third, second);
	assert_int_not_equal(third, first);

	stop();
	start();
	assert_int_equal(atomic_load(&x->verifier), third);
}

static void all_that_overlap_a_failure_fail(void **state)
{
	struct io a = flush_io(), b = flush_io(), c = flush_io();

	(void)state;
	submit(&a);
	submit(&b);		/* came before the failure was known */
	sync_ends(&a, -EIO);
	submit(&c);		/* afterwards */
	assert_int_equal(a.status, VXHS_ST_IO);
	sync_ends(&b, 0);
	assert_int_equal(b.status, VXHS_ST_IO);
	sync_ends(&c, 0);
	assert_int_equal(c.status, VXHS_ST_OK);
}

static void a_sync_that_is_interrupted_is_no_loss(void **state)
{
	struct io a = flush_io();
	u64 before = atomic_load(&x->verifier);

	(void)state;
	submit(&a);
	sync_ends(&a, -EINTR);
	sync_ends(&a, -ETIME);	/* the pause */
	sync_ends(&a, 0);
	assert_int_equal(a.status, VXHS_ST_OK);
	assert_int_equal(atomic_load(&x->verifier), before);
}

static void write_through_has_a_constant_verifier(void **state)
{
	u64 before;

	(void)state;
	control_lock();
	before = atomic_load(&export_find("t")->verifier);
	control_unlock();
	stop();
	start();
	control_lock();
	assert_int_equal(atomic_load(&export_find("t")->verifier), before);
	control_unlock();
	assert_int_not_equal(atomic_load(&x->verifier), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_sync_for_all_that_wait),
		TEST(a_loss_changes_the_verifier_for_good),
		TEST(all_that_overlap_a_failure_fail),
		TEST(a_sync_that_is_interrupted_is_no_loss),
		TEST(write_through_has_a_constant_verifier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
