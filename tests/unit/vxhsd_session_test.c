// SPDX-License-Identifier: GPL-2.0
/* Who may open what, epochs, lanes, leases and fences, without a network. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../tools/vxhsd/client.h"
#include "../../tools/vxhsd/config.h"
#include "../../tools/vxhsd/conn.h"
#include "../../tools/vxhsd/dialect.h"
#include "../../tools/vxhsd/export.h"
#include "../../tools/vxhsd/io.h"
#include "../../tools/vxhsd/native.h"
#include "../../tools/vxhsd/session.h"

/* A loop that does not run; its messages are handled by hand. */
static struct loop loop;

static struct client everybody = { .conns = 1 };

static struct conn *client(u32 address)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct sockaddr_in *in = (struct sockaddr_in *)&c->peer;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(address);
	c->client = &everybody;
	c->loop = &loop;
	c->fd = -1;
	c->life = CONN_CLOSING;	/* conn_close() has nothing to do */
	return c;
}

static enum vxhs_status login(struct conn *c, u64 id, u32 epoch, u16 lane,
			      struct lane **out)
{
	struct vxhs_login req = {
		.session_id = id,
		.epoch = epoch,
		.lane = lane,
		.lane_count = 2,
		.kato_ms = 1000,
	};
	u32 kato;

	return session_login(&req, c, out, &kato);
}

/* A client of its own logs in with the first lane of a session. */
static struct lane *enter(u32 address, u64 id)
{
	struct lane *l;

	assert_int_equal(login(client(address), id, 1, 0, &l), VXHS_ST_OK);
	return l;
}

static enum vxhs_status open_as(struct lane *lane, u32 mode, u32 options,
				u64 lease, struct open **out)
{
	struct vxhs_open want = {
		.name = "m",
		.mode = mode,
		.options = options,
		.lease = lease,
	};
	enum vxhs_status status;
	bool fresh;

	control_lock();
	status = open_vdisk(lane->session, lane->epoch, &want, out, &fresh);
	control_unlock();
	return status;
}

static bool must_wait(struct open *o)
{
	bool wait;

	control_lock();
	wait = open_must_wait(o);
	control_unlock();
	return wait;
}

static void run_messages(void)
{
	struct msg *msg = loop.msgs;

	loop.msgs = NULL;
	loop.msgs_tail = &loop.msgs;
	while (msg) {
		struct msg *next = msg->next;

		msg->fn(&loop, msg);
		msg = next;
	}
}

static int setup(void **state)
{
	struct config config = { 0 };
	struct err err = { 0 };

	(void)state;
	memset(&loop, 0, sizeof(loop));
	TAILQ_INIT(&loop.starved);
	TAILQ_INIT(&loop.resume);
	loop.now_us = now_us();
	loop.msgs_tail = &loop.msgs;
	loop.wake_fd = eventfd(0, EFD_NONBLOCK);
	pthread_mutex_init(&loop.lock, NULL);
	assert_int_equal(config_add_export(&config, "m=memory,size=1M", &err),
			 0);
	assert_int_equal(exports_reload(&config, &err), 0);
	config_free(&config);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sessions_close();
	run_messages();
	exports_close();
	close(loop.wake_fd);
	return 0;
}

static void end(struct lane *lane)
{
	struct conn *c = lane->conn;

	lane->conn = NULL;
	lane_end(lane, false);
	run_messages();
	lane_put(lane);
	free(c);
}

static void exclusive_and_shared(void **state)
{
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open *a, *b;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_BUSY);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW_SHARED, 0, 0, &b),
			 VXHS_ST_BUSY);
	assert_int_equal(open_as(l2, VXHS_OPEN_RO, 0, 0, &b), VXHS_ST_OK);

	/* The first asks for less: the way is free. */
	assert_int_equal(open_as(l1, VXHS_OPEN_RW_SHARED, 0, 0, &a),
			 VXHS_ST_OK);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW_SHARED, 0, 0, &b),
			 VXHS_ST_OK);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_BUSY);
	end(l1);
	end(l2);
}

static void handles(void **state)
{
	struct open *a, *b;
	struct lane *l = enter(1, 1);
	u32 first;

	(void)state;
	assert_int_equal(open_as(l, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	first = a->handle;
	assert_int_not_equal(first, 0);
	assert_int_equal(open_as(l, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_OK);
	assert_ptr_equal(a, b);

	control_lock();
	assert_ptr_equal(session_find_handle(l->session, first), a);
	assert_null(session_find_handle(l->session, 0));
	assert_null(session_find_handle(l->session, first + 1));
	assert_null(session_find_handle(l->session, ~0u));
	open_release(a);
	assert_null(session_find_handle(l->session, first));
	control_unlock();

	/* Not reused: a late frame must not hit another vdisk. */
	assert_int_equal(open_as(l, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_OK);
	assert_int_not_equal(b->handle, first);
	end(l);
}

static void leases(void **state)
{
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open *a, *b;
	u64 lease;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	lease = a->export->lease.record.number;
	assert_int_not_equal(lease, 0);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, lease, &a), VXHS_ST_OK);
	assert_int_equal(a->export->lease.record.number, lease);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, lease - 1, &a),
			 VXHS_ST_STALE);

	assert_int_equal(open_as(l2, VXHS_OPEN_RW, VXHS_OPEN_TAKE_OVER, 0, &b),
			 VXHS_ST_OK);
	assert_int_equal(b->export->lease.record.number, lease + 1);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, lease, &a),
			 VXHS_ST_STALE);
	end(l1);
	end(l2);
}

static void whose_session(void **state)
{
	struct conn *c1 = client(1), *c2 = client(2);
	struct lane *l1, *l2;

	(void)state;
	assert_int_equal(login(c1, 1, 5, 0, &l1), VXHS_ST_OK);
	assert_int_equal(login(c2, 1, 5, 1, &l2), VXHS_ST_DENIED);
	assert_int_equal(login(c1, 1, 4, 1, &l2), VXHS_ST_STALE);
	free(c2);
	end(l1);
}

static void replaced_lane(void **state)
{
	struct conn *c1 = client(1), *c2 = client(1), *c3 = client(1);
	struct lane *l1, *l2, *l3;

	(void)state;
	assert_int_equal(login(c1, 1, 1, 0, &l1), VXHS_ST_OK);
	assert_int_equal(login(c2, 1, 1, 1, &l2), VXHS_ST_OK);
	assert_false(lane_stale(l1));
	assert_int_equal(login(c3, 1, 1, 0, &l3), VXHS_ST_OK);
	assert_true(lane_stale(l1));
	assert_false(lane_stale(l2));
	assert_false(lane_stale(l3));
	end(l1);
	end(l2);
	end(l3);
}

static struct use *use_of(struct open *o, struct lane *lane)
{
	struct use *use;

	control_lock();
	use = use_new(&loop, o->export, o, lane, NULL);
	control_unlock();
	assert_non_null(use);
	return use;
}

static void epoch_fence(void **state)
{
	struct conn *c1 = client(1), *c2 = client(1);
	struct io write = { .kind = IO_WRITE };
	struct lane *l1, *l2;
	struct open *a, *b;
	struct use *use;

	(void)state;
	assert_int_equal(login(c1, 1, 1, 0, &l1), VXHS_ST_OK);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	use = use_of(a, l1);
	atomic_fetch_add(&use->inflight, 1);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_OK);
	assert_false(must_wait(a));

	/* A recovery: the write of before still runs. */
	assert_int_equal(login(c2, 1, 2, 0, &l2), VXHS_ST_OK);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_STALE);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_OK);
	assert_int_not_equal(b->epoch, 1);
	assert_true(must_wait(b));
	atomic_fetch_sub(&use->inflight, 1);
	assert_false(must_wait(b));

	use_put(use);
	end(l1);
	end(l2);
}

/* A LOGIN that was late may replace a lane that is newer than itself. */
static void all_incarnations_of_a_lane_fence(void **state)
{
	struct conn *c[4] = { client(1), client(1), client(1), client(1) };
	struct lane *l[4];
	struct use *use[3];
	struct open *o;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(login(c[i], 1, 1, 0, &l[i]), VXHS_ST_OK);
		assert_int_equal(open_as(l[i], VXHS_OPEN_RW, 0, 0, &o),
				 VXHS_ST_OK);
		use[i] = use_of(o, l[i]);
		atomic_fetch_add(&use[i]->inflight, 1);
	}
	assert_int_equal(login(c[3], 1, 1, 0, &l[3]), VXHS_ST_OK);
	assert_int_equal(open_as(l[3], VXHS_OPEN_RW, 0, 0, &o), VXHS_ST_OK);
	/* In another order than they came. */
	assert_true(must_wait(o));
	atomic_fetch_sub(&use[2]->inflight, 1);
	assert_true(must_wait(o));
	atomic_fetch_sub(&use[0]->inflight, 1);
	assert_true(must_wait(o));
	atomic_fetch_sub(&use[1]->inflight, 1);
	assert_false(must_wait(o));
	for (i = 0; i < 3; i++)
		use_put(use[i]);
	for (i = 0; i < 4; i++)
		end(l[i]);
}

/* Only an older epoch and a lease that was lost are final. */
static void what_is_final(void **state)
{
	struct io write = { .kind = IO_WRITE };
	struct conn *c1 = client(1), *c2 = client(1), *c3 = client(1);
	struct lane *l1, *l2, *l3, *other;
	struct use *u1, *u3;
	struct open *o;

	(void)state;
	assert_int_equal(login(c1, 1, 1, 0, &l1), VXHS_ST_OK);
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &o), VXHS_ST_OK);
	u1 = use_of(o, l1);
	assert_int_equal(login(c2, 1, 1, 0, &l2), VXHS_ST_OK);
	assert_int_equal(use_verdict(u1, &write), VXHS_ST_NO_SESSION);
	assert_int_equal(login(c3, 1, 2, 0, &l3), VXHS_ST_OK);
	assert_int_equal(use_verdict(u1, &write), VXHS_ST_STALE);
	assert_int_equal(lane_verdict(l2), VXHS_ST_STALE);

	assert_int_equal(open_as(l3, VXHS_OPEN_RW, 0, 0, &o), VXHS_ST_OK);
	u3 = use_of(o, l3);
	other = enter(2, 2);
	assert_int_equal(open_as(other, VXHS_OPEN_RW, VXHS_OPEN_TAKE_OVER, 0,
				 &o), VXHS_ST_OK);
	assert_int_equal(lane_verdict(l3), VXHS_ST_OK);
	assert_int_equal(use_verdict(u3, &write), VXHS_ST_STALE);

	sessions_sweep(loop.now_us + 1100000);
	assert_int_equal(lane_verdict(l3), VXHS_ST_NO_SESSION);
	assert_int_equal(use_verdict(u3, &write), VXHS_ST_NO_SESSION);
	use_put(u1);
	use_put(u3);
	end(l1);
	end(l2);
	end(l3);
	end(other);
}

static void one_silent_lane_of_two(void **state)
{
	struct conn *c1 = client(1), *c2 = client(1);
	struct lane *l1, *l2;

	(void)state;
	assert_int_equal(login(c1, 1, 1, 0, &l1), VXHS_ST_OK);
	assert_int_equal(login(c2, 1, 1, 1, &l2), VXHS_ST_OK);
	atomic_store(&l2->rx_us, loop.now_us + 900000);
	sessions_sweep(loop.now_us + 1100000);
	assert_int_equal(lane_verdict(l1), VXHS_ST_NO_SESSION);
	assert_int_equal(lane_verdict(l2), VXHS_ST_OK);
	sessions_sweep(loop.now_us + 2000000);
	assert_int_equal(lane_verdict(l2), VXHS_ST_NO_SESSION);
	end(l1);
	end(l2);
}

static void take_over_fence(void **state)
{
	struct io write = { .kind = IO_WRITE };
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open *a, *b;
	struct use *use;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	use = use_of(a, l1);
	atomic_fetch_add(&use->inflight, 1);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, VXHS_OPEN_TAKE_OVER, 0, &b),
			 VXHS_ST_OK);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_STALE);
	assert_true(must_wait(b));
	atomic_fetch_sub(&use->inflight, 1);
	assert_false(must_wait(b));
	use_put(use);
	end(l1);
	end(l2);
}

/* Who cannot have it in the end has taken it from nobody. */
static void take_over_that_fails(void **state)
{
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open none[MAX_OPENS] = { 0 };
	struct open *a, *b;
	unsigned int i;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	control_lock();
	for (i = 0; i < MAX_OPENS; i++)
		assert_true(session_add_open(l2->session, &none[i]));
	control_unlock();
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, VXHS_OPEN_TAKE_OVER, 0, &b),
			 VXHS_ST_NO_SPACE);
	assert_int_equal(atomic_load(&a->state), OPEN_LIVE);
	control_lock();
	for (i = 0; i < MAX_OPENS; i++)
		session_drop_open(l2->session, &none[i]);
	control_unlock();
	end(l1);
	end(l2);
}

static void v34_writers(void **state)
{
	struct io read = { .kind = IO_READ }, write = { .kind = IO_WRITE };
	struct export *x;
	struct lane *l = enter(1, 1);
	struct open *a;
	struct use *use;

	(void)state;
	control_lock();
	x = export_find("m");
	use = use_new(&loop, x, NULL, NULL, NULL);
	control_unlock();
	atomic_fetch_add(&use->inflight, 1);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_OK);

	/* An exclusive owner waits for them, then keeps them out. */
	assert_int_equal(open_as(l, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	assert_true(must_wait(a));
	assert_int_equal(use_verdict(use, &write), VXHS_ST_BUSY);
	assert_int_equal(use_verdict(use, &read), VXHS_ST_OK);
	atomic_fetch_sub(&use->inflight, 1);
	assert_false(must_wait(a));

	control_lock();
	open_release(a);
	control_unlock();
	assert_int_equal(use_verdict(use, &write), VXHS_ST_OK);
	use_put(use);
	end(l);
}

static void read_only_open(void **state)
{
	struct io read = { .kind = IO_READ }, write = { .kind = IO_WRITE };
	struct lane *l = enter(1, 1);
	struct open *a;
	struct use *use;

	(void)state;
	assert_int_equal(open_as(l, VXHS_OPEN_RO, 0, 0, &a), VXHS_ST_OK);
	use = use_of(a, l);
	assert_int_equal(use_verdict(use, &read), VXHS_ST_OK);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_READ_ONLY);
	use_put(use);
	end(l);
}

/* It shrank between the header of a WRITE and the end of its payload. */
static void beyond_the_end_of_now(void **state)
{
	struct io write = { .kind = IO_WRITE, .offset = 4096, .length = 512 };
	struct lane *l = enter(1, 1);
	struct open *a;
	struct use *use;

	(void)state;
	assert_int_equal(open_as(l, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	use = use_of(a, l);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_OK);
	atomic_store(&a->export->size, 4096 + 512);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_OK);
	atomic_store(&a->export->size, 4096);
	assert_int_equal(use_verdict(use, &write), VXHS_ST_INVALID);
	use_put(use);
	end(l);
}

static void silence_ends_a_session(void **state)
{
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open *a;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	sessions_sweep(loop.now_us + 900000);
	assert_false(lane_stale(l1));
	atomic_store(&l2->rx_us, loop.now_us + 900000);
	sessions_sweep(loop.now_us + 1100000);
	assert_true(lane_stale(l1));
	assert_false(lane_stale(l2));
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	end(l1);
	end(l2);
}

static void logout_ends_a_session(void **state)
{
	struct lane *l1 = enter(1, 1), *l2 = enter(2, 2);
	struct open *a;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	lane_end(l1, true);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	end(l1);
	end(l2);
}

/* Its bytes wait in the socket because the server has no memory for them. */
static void a_lane_that_is_not_read_is_not_silent(void **state)
{
	struct conn *c = client(1);
	struct lane *l;

	(void)state;
	assert_int_equal(login(c, 1, 1, 0, &l), VXHS_ST_OK);
	c->rx_seen = &l->rx_us;
	conn_starve(c, 1);
	sessions_sweep(loop.now_us + 60000000);
	assert_false(lane_stale(l));
	atomic_store(&l->rx_us, loop.now_us);
	sessions_sweep(loop.now_us + 1100000);
	assert_true(lane_stale(l));
	end(l);
}

static void ask_to_open(struct conn *c, struct native *n, struct lane *l)
{
	struct vxhs_open want = { .name = "m", .mode = VXHS_OPEN_RW };
	u8 body[VXHS_OPEN_BODY_MAX];
	struct io *io;

	n->lane = l;
	c->state = n;
	c->dialect = &dialect_vxhs;
	c->life = CONN_OPEN;
	c->queue_tail = &c->queue;
	io = io_new(c);
	io->buf = body;
	io->opcode = VXHS_OP_OPEN;
	vxhs_open_request(c, io, vxhs_put_open(body, &want));
}

/* One gives up its wait for the fence; to the other that is nothing final. */
static void two_lanes_wait_for_one_fence(void **state)
{
	struct conn *c1 = client(1), *c2 = client(1);
	struct native n1 = { 0 }, n2 = { 0 };
	struct lane *l1, *l2;
	struct use *old;

	(void)state;
	assert_int_equal(login(c1, 1, 1, 0, &l1), VXHS_ST_OK);
	assert_int_equal(login(c2, 1, 1, 1, &l2), VXHS_ST_OK);
	control_lock();
	old = use_new(&loop, export_find("m"), NULL, NULL, NULL);
	control_unlock();
	atomic_fetch_add(&old->inflight, 1);

	ask_to_open(c1, &n1, l1);
	loop.now_us += 100000;
	ask_to_open(c2, &n2, l2);
	assert_null(c1->queue);
	assert_null(c2->queue);
	loop.now_us += 450000;
	vxhs_poll_opens(&loop);
	assert_int_equal(c1->queue->status, VXHS_ST_AGAIN);
	assert_null(c2->queue);
	vxhs_poll_opens(&loop);
	assert_int_equal(c2->queue->status, VXHS_ST_AGAIN);

	atomic_fetch_sub(&old->inflight, 1);
	use_put(old);
	c1->life = CONN_CLOSING;
	c2->life = CONN_CLOSING;
	io_free(c1->queue);
	io_free(c2->queue);
	end(l1);
	end(l2);
	conns_free_caches(&loop);
}

/* AGAIN leaves the fence, and the lease with who asks again. */
static void again_keeps_the_fence(void **state)
{
	struct lane *l1 = enter(1, 1), *l2, *l3;
	struct conn *c2 = client(2);
	struct native n2 = { 0 };
	struct open *a, *b;
	struct use *use;
	u64 lease;

	(void)state;
	assert_int_equal(open_as(l1, VXHS_OPEN_RW, 0, 0, &a), VXHS_ST_OK);
	use = use_of(a, l1);
	atomic_fetch_add(&use->inflight, 1);
	end(l1);
	sessions_sweep(loop.now_us + 1100000);

	assert_int_equal(login(c2, 2, 1, 0, &l2), VXHS_ST_OK);
	ask_to_open(c2, &n2, l2);
	assert_null(c2->queue);
	lease = use->export->lease.record.number;
	loop.now_us += 550000;
	vxhs_poll_opens(&loop);
	assert_int_equal(c2->queue->status, VXHS_ST_AGAIN);
	io_free(c2->queue);
	c2->queue = NULL;

	/* It is nobody else's meanwhile. */
	l3 = enter(4, 4);
	assert_int_equal(open_as(l3, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_BUSY);
	assert_int_equal(open_as(l2, VXHS_OPEN_RW, 0, 0, &b), VXHS_ST_OK);
	assert_int_equal(b->export->lease.record.number, lease);
	assert_true(must_wait(b));
	atomic_fetch_sub(&use->inflight, 1);
	assert_false(must_wait(b));

	use_put(use);
	c2->life = CONN_CLOSING;
	end(l2);
	end(l3);
	conns_free_caches(&loop);
}

/* However much one holds, others get memory for one I/O at a time. */
static void who_hoards_leaves_some(void **state)
{
	struct conn *c1 = client(1), *c2 = client(2);
	struct io *io = NULL, *list = NULL;
	bool more = true;

	(void)state;
	pool_init(&loop.pool, 16 << 20);
	while (more) {
		io = io_new(c1);
		more = io_get_buf(io, 1 << 20);
		io->next = list;
		list = io;
	}
	io = io_new(c2);
	assert_false(io_get_buf(io, 2 << 20));
	assert_true(io_get_buf(io, 1 << 20));
	io_free(io);
	while (list) {
		io = list;
		list = io->next;
		io_free(io);
	}
	assert_int_equal(loop.pool.lent, 0);
	free(c1);
	free(c2);
	conns_free_caches(&loop);
	pool_destroy(&loop.pool);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exclusive_and_shared),
		TEST(handles),
		TEST(leases),
		TEST(whose_session),
		TEST(replaced_lane),
		TEST(epoch_fence),
		TEST(all_incarnations_of_a_lane_fence),
		TEST(what_is_final),
		TEST(one_silent_lane_of_two),
		TEST(take_over_fence),
		TEST(take_over_that_fails),
		TEST(v34_writers),
		TEST(read_only_open),
		TEST(beyond_the_end_of_now),
		TEST(silence_ends_a_session),
		TEST(logout_ends_a_session),
		TEST(a_lane_that_is_not_read_is_not_silent),
		TEST(two_lanes_wait_for_one_fence),
		TEST(again_keeps_the_fence),
		TEST(who_hoards_leaves_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
