// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "conn.h"
#include "dialect.h"
#include "io.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "privilege.h"
#include "tls.h"

#define SQ_ENTRIES	1024
#define CQ_ENTRIES	8192
#define OPEN_POLL_US	5000		/* how soon a fence is looked at again */
#define HELD_POLL_US	5000		/* and what a client has */
#define POOL_MIN	((size_t)256 << 20)

struct loop *loops;
unsigned int nr_loops;
atomic_uint nr_conns_total;
unsigned int max_conns;

static struct {
	pthread_mutex_t lock;		/* protects next 2 fields */
	pthread_cond_t changed;
	unsigned int ready;
	int error;
} start = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

/**
 * loop_sqe - a submission entry, submitting what is queued if there is none
 * @loop: of this thread
 * @op: gets the completion
 *
 * Return: an entry for an io_uring_prep function, which leaves the user_data
 * that is set here
 */
struct io_uring_sqe *loop_sqe(struct loop *loop, struct op *op)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&loop->ring)))
		io_uring_submit(&loop->ring);
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

/**
 * loop_pause - let 10 ms pass before something is tried again
 * @loop: of this thread
 * @op: gets the completion
 */
void loop_pause(struct loop *loop, struct op *op)
{
	static struct __kernel_timespec ts = { .tv_nsec = 10000000 };

	io_uring_prep_timeout(loop_sqe(loop, op), &ts, 0, 0);
}

/**
 * loop_send - ask a loop to do something
 * @loop: any
 * @msg: owned by the loop until its function is called
 *
 * Any thread.
 */
void loop_send(struct loop *loop, struct msg *msg)
{
	u64 one = 1;
	ssize_t done;
	bool first;

	msg->next = NULL;
	pthread_mutex_lock(&loop->lock);
	first = !loop->msgs;
	*loop->msgs_tail = msg;
	loop->msgs_tail = &msg->next;
	pthread_mutex_unlock(&loop->lock);
	if (!first)
		return;
	done = write(loop->wake_fd, &one, sizeof(one));
	(void)done;	/* a counter that is full wakes as well */
}

static void arm_wake(struct loop *loop)
{
	struct io_uring_sqe *sqe = loop_sqe(loop, &loop->wake_op);

	io_uring_prep_read(sqe, loop->wake_fd, &loop->wake_count,
			   sizeof(loop->wake_count), 0);
}

static void woken(struct op *op, int res, unsigned int flags)
{
	struct loop *loop = (struct loop *)((char *)op -
					    offsetof(struct loop, wake_op));
	struct msg *msg;

	(void)res;
	(void)flags;
	pthread_mutex_lock(&loop->lock);
	msg = loop->msgs;
	loop->msgs = NULL;
	loop->msgs_tail = &loop->msgs;
	pthread_mutex_unlock(&loop->lock);

	while (msg) {
		struct msg *next = msg->next;

		msg->fn(loop, msg);
		msg = next;
	}
	arm_wake(loop);
}

/**
 * loop_rx_return - give a receive buffer back to the ring
 * @loop: of this thread
 * @id: from the CQE's flags
 */
void loop_rx_return(struct loop *loop, unsigned int id)
{
	io_uring_buf_ring_add(loop->rx_ring, loop->rx_bufs + id * RX_BUF_SIZE,
			      RX_BUF_SIZE, (unsigned short)id,
			      io_uring_buf_ring_mask(RX_BUF_COUNT), 0);
	io_uring_buf_ring_advance(loop->rx_ring, 1);
}

/**
 * loop_pin_buffers - have pinned buffers for direct I/O, if that is possible
 * @loop: of this thread
 *
 * Through the page cache they gain nothing.  RLIMIT_MEMLOCK may forbid them.
 */
void loop_pin_buffers(struct loop *loop)
{
	struct iovec iov = { .iov_len = PINNED_SIZE };

	if (loop->pin_tried)
		return;
	loop->pin_tried = true;
	iov.iov_base = mmap(NULL, PINNED_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (iov.iov_base == MAP_FAILED)
		return;
	if (io_uring_register_buffers(&loop->ring, &iov, 1))
		munmap(iov.iov_base, PINNED_SIZE);
	else
		pool_take_pinned(&loop->pool, iov.iov_base);
}

/**
 * loop_file_get - register an export's file with the ring, at its first user
 * @loop: of this thread
 * @slot: the export's, or -1
 * @fd: the file
 */
void loop_file_get(struct loop *loop, int slot, int fd)
{
	if (slot < 0 || loop->file_users[slot]++ || !loop->files)
		return;
	if (io_uring_register_files_update(&loop->ring, (unsigned int)slot,
					   &fd, 1) != 1)
		loop->files = false;
}

/** loop_file_put - undo loop_file_get(); the file is let go after the last */
void loop_file_put(struct loop *loop, int slot)
{
	int none = -1;

	if (slot < 0 || --loop->file_users[slot] || !loop->files)
		return;
	io_uring_register_files_update(&loop->ring, (unsigned int)slot, &none,
				       1);
}

static int setup_rx(struct loop *loop)
{
	struct io_uring_buf_reg reg = { 0 };
	size_t ring_size = RX_BUF_COUNT * sizeof(struct io_uring_buf);
	size_t bufs_size = (size_t)RX_BUF_COUNT * RX_BUF_SIZE;
	unsigned int i;
	int ret;

	loop->rx_ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	loop->rx_bufs = mmap(NULL, bufs_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (loop->rx_ring == MAP_FAILED || loop->rx_bufs == MAP_FAILED)
		return -ENOMEM;

	reg.ring_addr = (u64)(uintptr_t)loop->rx_ring;
	reg.ring_entries = RX_BUF_COUNT;
	reg.bgid = RX_BUF_GROUP;
	ret = io_uring_register_buf_ring(&loop->ring, &reg, 0);
	if (ret)
		return ret;
	io_uring_buf_ring_init(loop->rx_ring);
	for (i = 0; i < RX_BUF_COUNT; i++)
		loop_rx_return(loop, i);
	if (tls_on()) {
		loop->tls_rx = tls_rx_new();
		if (!loop->tls_rx)
			return -errno;
	}
	return 0;
}

static int setup_ring(struct loop *loop)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE |
			 IORING_SETUP_R_DISABLED,
		.cq_entries = CQ_ENTRIES,
	};
	unsigned int workers[2] = { LOOP_WORKERS, 0 };
	int ret;

	ret = io_uring_queue_init_params(SQ_ENTRIES, &loop->ring, &params);
	if (ret)
		return ret;
	ret = privilege_ring(&loop->ring);
	if (ret)
		return ret;
	io_uring_register_iowq_max_workers(&loop->ring, workers);
	io_uring_register_ring_fd(&loop->ring);
	loop->files = !io_uring_register_files_sparse(&loop->ring, LOOP_FILES);
	return setup_rx(loop);
}

/** loop_memory - bytes that a loop may lend out at a time */
size_t loop_memory(void)
{
	struct sysinfo si;
	size_t limit = POOL_MIN;

	if (!sysinfo(&si))
		limit = (size_t)si.totalram * si.mem_unit / 4 / nr_loops;
	return limit > POOL_MIN ? limit : POOL_MIN;
}

static void report_start(int error)
{
	pthread_mutex_lock(&start.lock);
	start.ready++;
	if (error)
		start.error = error;
	pthread_cond_broadcast(&start.changed);
	pthread_mutex_unlock(&start.lock);
}

static void ticked(struct op *op, int res, unsigned int flags);

/* A timer of the ring: one for each wait would cost more than many waits. */
static void arm_tick(struct loop *loop)
{
	static struct __kernel_timespec ts = { .tv_sec = 1 };

	loop->tick_op.done = ticked;
	io_uring_prep_timeout(loop_sqe(loop, &loop->tick_op), &ts, 0, 0);
}

static void ticked(struct op *op, int res, unsigned int flags)
{
	struct loop *loop = (struct loop *)((char *)op -
					    offsetof(struct loop, tick_op));

	(void)res;
	(void)flags;
	conns_tick(loop);
	listeners_tick(loop);
	arm_tick(loop);
}

static void wait_for_work(struct loop *loop)
{
	struct __kernel_timespec ts = { 0 };
	u64 until = loop->opens ? loop->next_open_us : UINT64_MAX;
	struct io_uring_cqe *cqe;

	if (!TAILQ_EMPTY(&loop->held) && until > loop->now_us + HELD_POLL_US)
		until = loop->now_us + HELD_POLL_US;
	if (until != UINT64_MAX) {
		if (until > loop->now_us)
			ts.tv_nsec = (long long)(until - loop->now_us) * 1000;
		io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts,
						 NULL);
	} else {
		io_uring_submit_and_wait(&loop->ring, 1);
	}
	loop->now_us = now_us();
}

static void reap(struct loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;

	io_uring_for_each_cqe(&loop->ring, head, cqe) {
		struct op *op = io_uring_cqe_get_data(cqe);

		op->done(op, cqe->res, cqe->flags);
		n++;
	}
	io_uring_cq_advance(&loop->ring, n);
}

/*
 * Who asks for short turns gets them at once (Linux 6.12), and need not wait
 * until a handshake that is being computed has had its turn.
 */
static void want_short_turns(void)
{
	const struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime_ns, deadline, period;
	} attr = {
		.size = sizeof(attr),
		.nice = getpriority(PRIO_PROCESS, 0),
		.runtime_ns = 100000,
	};

	/* An older kernel takes no notice of it. */
	syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void *loop_run(void *arg)
{
	struct loop *loop = arg;
	int ret;

	want_short_turns();
	loop->now_us = now_us();
	ret = setup_ring(loop);
	report_start(ret);
	if (ret)
		return NULL;
	arm_wake(loop);
	arm_tick(loop);

	while (!loop->quit) {
		wait_for_work(loop);
		reap(loop);
		if (loop->opens && loop->now_us >= loop->next_open_us) {
			loop->next_open_us = loop->now_us + OPEN_POLL_US;
			vxhs_poll_opens(loop);
		}
		conns_resume(loop);
		conns_flush(loop);
	}
	io_uring_queue_exit(&loop->ring);
	return NULL;
}

static int loop_init(struct loop *loop, unsigned int index)
{
	loop->index = index;
	LIST_INIT(&loop->conns);
	TAILQ_INIT(&loop->held);
	TAILQ_INIT(&loop->starved);
	TAILQ_INIT(&loop->resume);
	loop->msgs_tail = &loop->msgs;
	loop->wake_op.done = woken;
	pthread_mutex_init(&loop->lock, NULL);
	pool_init(&loop->pool, loop_memory());
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (loop->wake_fd < 0)
		return -errno;
	return -pthread_create(&loop->thread, NULL, loop_run, loop);
}

/**
 * loops_start - start the threads and wait until their rings work
 * @threads: how many
 * @err: what went wrong
 *
 * Return: 0 or -1
 */
int loops_start(unsigned int threads, struct err *err)
{
	unsigned int i;
	int ret = 0;

	nr_loops = threads;
	loops = calloc(threads, sizeof(*loops));
	if (!loops)
		return err_set(err, "not enough memory for %u threads",
			       threads);
	for (i = 0; i < threads && !ret; i++)
		ret = loop_init(&loops[i], i);
	if (ret)
		return err_set(err, "cannot start thread %u of %u: %s", i,
			       threads, strerror(-ret));

	pthread_mutex_lock(&start.lock);
	while (start.ready < threads)
		pthread_cond_wait(&start.changed, &start.lock);
	ret = start.error;
	pthread_mutex_unlock(&start.lock);
	if (ret == -ENOSYS || ret == -EPERM || ret == -EINVAL)
		return err_set(err,
			       "io_uring of Linux 6.1 or later is needed and this system does not offer it (%s)",
			       strerror(-ret));
	if (ret)
		return err_set(err, "cannot set up io_uring: %s",
			       strerror(-ret));
	return 0;
}

struct loop_msg {
	struct msg msg;
	bool quit;
};

static void loop_told(struct loop *loop, struct msg *msg)
{
	struct loop_msg *m = (struct loop_msg *)msg;

	if (m->quit)
		loop->quit = true;
	else
		conns_drain(loop);
	free(m);
}

static void tell_all(bool quit)
{
	unsigned int i;

	for (i = 0; i < nr_loops; i++) {
		struct loop_msg *m = calloc(1, sizeof(*m));

		if (!m)
			continue;
		m->msg.fn = loop_told;
		m->quit = quit;
		loop_send(&loops[i], &m->msg);
	}
}

/**
 * loops_drain - stop reading, finish what was begun, close the connections
 * @deadline_us: when to stop waiting
 */
void loops_drain(u64 deadline_us)
{
	tell_all(false);
	while (atomic_load(&nr_conns_total) && now_us() < deadline_us)
		usleep(5000);
}

/** loops_stop - end the threads and free what they had */
void loops_stop(void)
{
	unsigned int i;

	tell_all(true);
	for (i = 0; i < nr_loops; i++) {
		struct loop *loop = &loops[i];

		pthread_join(loop->thread, NULL);
		conns_free_caches(loop);
		pool_destroy(&loop->pool);
		tls_rx_free(loop->tls_rx);
		munmap(loop->rx_bufs, (size_t)RX_BUF_COUNT * RX_BUF_SIZE);
		munmap(loop->rx_ring,
		       RX_BUF_COUNT * sizeof(struct io_uring_buf));
		close(loop->wake_fd);
		pthread_mutex_destroy(&loop->lock);
	}
	free(loops);
	loops = NULL;
}
