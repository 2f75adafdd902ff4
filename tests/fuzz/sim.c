// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit.h"
#include "backend.h"
#include "backend_file.h"
#include "conn.h"
#include "dialect.h"
#include "identity.h"
#include "io.h"
#include "listen.h"
#include "log.h"
#include "session.h"
#include "sim.h"
#include "tls.h"

#define SQES		4096
#define CQES		(2 * SQES)
#define FD_SOCK		5000
#define FD_FILE		6000
#define DISKS		16
#define DISK_SIZE	(1u << 20)
#define RX_SIZE		((size_t)RX_BUF_COUNT * RX_BUF_SIZE)

struct cqe {
	struct op *op;
	int res;
	unsigned int flags;
};

struct ring {
	struct io_uring_sqe sqes[SQES];	/* prepared, not submitted */
	unsigned int nr_sqes;
	struct io_uring_sqe pending[SQES]; /* of files and timers */
	unsigned int nr_pending;
	struct cqe cqes[CQES];
	unsigned int nr_cqes;
	int files[LOOP_FILES];
	unsigned int next_buf;
};

struct loop *loops;
unsigned int nr_loops;
atomic_uint nr_conns_total;
unsigned int max_conns = SIM_SOCKS;

struct sock socks[SIM_SOCKS];
u64 sim_clock_us;
unsigned int sim_generation;
unsigned int sim_revoked;
unsigned int sim_record;
bool sim_no_bufs;
unsigned int sim_no_memory;

static bool in_server;			/* its allocations may fail */
static struct loop loop_mem[SIM_LOOPS];
static struct ring rings[SIM_LOOPS];
static struct sim_options opts;
static u8 *rx_mem;
static struct tls_rx tls_rx;
static u8 disks[DISKS][DISK_SIZE];
static bool disk_dirty[DISKS];
static bool disk_used[DISKS];

static struct ring *ring_of(const struct loop *loop)
{
	return &rings[loop->index];
}

/* loop.c */

static void post(struct ring *ring, struct op *op, int res, unsigned int flags)
{
	must(ring->nr_cqes < CQES);
	ring->cqes[ring->nr_cqes++] = (struct cqe){ op, res, flags };
}

static struct sock *sock_of(int fd)
{
	must(fd >= FD_SOCK && fd < FD_SOCK + SIM_SOCKS);
	must(socks[fd - FD_SOCK].open);
	return &socks[fd - FD_SOCK];
}

static void cancel(struct ring *ring, const struct io_uring_sqe *sqe)
{
	struct op *target = (struct op *)(uintptr_t)sqe->addr;
	unsigned int i;

	for (i = 0; i < SIM_SOCKS; i++) {
		if (!socks[i].open || socks[i].recv_op != target)
			continue;
		socks[i].recv_op = NULL;
		post(ring, target, -ECANCELED, 0);
	}
}

static void submit_one(struct ring *ring, const struct io_uring_sqe *sqe)
{
	struct op *op = (struct op *)(uintptr_t)sqe->user_data;
	struct sock *s;

	switch (sqe->opcode) {
	case IORING_OP_RECV:
		s = sock_of(sqe->fd);
		must(!s->recv_op && !opts.tls);
		s->sealed = false;
		must(sqe->flags & IOSQE_BUFFER_SELECT);
		must(sqe->buf_group == RX_BUF_GROUP);
		s->recv_op = op;
		s->multishot = sqe->ioprio & IORING_RECV_MULTISHOT;
		s->recv_max = sqe->len ? sqe->len : RX_BUF_SIZE;
		break;
	case IORING_OP_POLL_ADD:
		s = sock_of(sqe->fd);
		if (sqe->poll32_events & POLLIN) {
			must(!s->recv_op && opts.tls);
			s->sealed = true;
			s->recv_op = op;
			break;
		}
		must(!s->poll_op);
		s->poll_op = op;
		break;
	case IORING_OP_ASYNC_CANCEL:
		cancel(ring, sqe);
		post(ring, op, 0, 0);
		break;
	default:
		must(ring->nr_pending < SQES);
		ring->pending[ring->nr_pending++] = *sqe;
	}
}

static void submit(struct ring *ring)
{
	unsigned int i;

	for (i = 0; i < ring->nr_sqes; i++)
		submit_one(ring, &ring->sqes[i]);
	ring->nr_sqes = 0;
}

struct io_uring_sqe *loop_sqe(struct loop *loop, struct op *op)
{
	struct ring *ring = ring_of(loop);
	struct io_uring_sqe *sqe;

	if (ring->nr_sqes == SQES)
		submit(ring);
	sqe = &ring->sqes[ring->nr_sqes++];
	memset(sqe, 0, sizeof(*sqe));
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

void loop_pause(struct loop *loop, struct op *op)
{
	static struct __kernel_timespec ts = { .tv_nsec = 10000000 };

	io_uring_prep_timeout(loop_sqe(loop, op), &ts, 0, 0);
}

void loop_send(struct loop *loop, struct msg *msg)
{
	msg->next = NULL;
	*loop->msgs_tail = msg;
	loop->msgs_tail = &msg->next;
}

void loop_rx_return(struct loop *loop, unsigned int id)
{
	must(id < RX_BUF_COUNT);
	ASAN_POISON_MEMORY_REGION(loop->rx_bufs + (size_t)id * RX_BUF_SIZE,
				  RX_BUF_SIZE);
}

void loop_pin_buffers(struct loop *loop)
{
	loop->pin_tried = true;
}

void loop_file_get(struct loop *loop, int slot, int fd)
{
	if (slot < 0 || loop->file_users[slot]++)
		return;
	must(ring_of(loop)->files[slot] == -1);
	ring_of(loop)->files[slot] = fd;
}

void loop_file_put(struct loop *loop, int slot)
{
	if (slot < 0)
		return;
	must(loop->file_users[slot]);
	if (!--loop->file_users[slot])
		ring_of(loop)->files[slot] = -1;
}

static void take_messages(struct loop *loop)
{
	struct msg *msg = loop->msgs;

	loop->msgs = NULL;
	loop->msgs_tail = &loop->msgs;
	while (msg) {
		struct msg *next = msg->next;

		msg->fn(loop, msg);
		msg = next;
	}
}

/* Data, or what comes instead of it, to a receive that waits. */
static void deliver(struct loop *loop, struct sock *s, size_t bytes)
{
	struct ring *ring = ring_of(loop);
	struct op *op = s->recv_op;
	size_t n = s->out_len - s->out_taken;
	unsigned int id;
	u8 *buf;

	if (!op)
		return;
	if (s->sealed) {
		if (!s->shut && !s->reset && !s->eof && !(n && bytes))
			return;
		s->recv_op = NULL;
		s->arrived = bytes;
		op->done(op, POLLIN, 0);
		ASAN_POISON_MEMORY_REGION(tls_rx.buf, TLS_RX_SIZE);
		return;
	}
	if (s->shut || s->reset || (s->eof && !n)) {
		s->recv_op = NULL;
		op->done(op, s->reset && !s->shut ? -ECONNRESET : 0, 0);
		return;
	}
	if (!n || !bytes)
		return;
	if (sim_no_bufs) {
		sim_no_bufs = false;
		s->recv_op = NULL;
		op->done(op, -ENOBUFS, 0);
		return;
	}
	n = n < bytes ? n : bytes;
	n = n < s->recv_max ? n : s->recv_max;
	n = n < RX_BUF_SIZE ? n : RX_BUF_SIZE;
	id = ring->next_buf++ % RX_BUF_COUNT;
	buf = loop->rx_bufs + (size_t)id * RX_BUF_SIZE;
	ASAN_UNPOISON_MEMORY_REGION(buf, n);
	memcpy(buf, s->out + s->out_taken, n);
	sim_delivered((unsigned int)(s - socks), s->out + s->out_taken, n);
	s->out_taken += n;
	if (!s->multishot)
		s->recv_op = NULL;
	op->done(op, (int)n, (s->multishot ? IORING_CQE_F_MORE : 0) |
			     IORING_CQE_F_BUFFER |
			     id << IORING_CQE_BUFFER_SHIFT);
}

static void writable(struct sock *s)
{
	struct op *op = s->poll_op;

	if (!op || (!s->room && !s->shut && !s->reset))
		return;
	s->poll_op = NULL;
	op->done(op, s->shut || s->reset ? POLLHUP : POLLOUT, 0);
}

static void reap(struct ring *ring)
{
	unsigned int i, n = ring->nr_cqes;
	static struct cqe taken[CQES];

	memcpy(taken, ring->cqes, n * sizeof(*taken));
	ring->nr_cqes = 0;
	for (i = 0; i < n; i++)
		taken[i].op->done(taken[i].op, taken[i].res, taken[i].flags);
}

/* What is kept for reuse hides its use after it was freed. */
static void forget_caches(struct loop *loop)
{
	struct pool *pool = &loop->pool;
	size_t lent = pool->lent, limit = pool->limit;

	conns_free_caches(loop);
	loop->free_ios_count = 0;
	pool_destroy(pool);
	pool_init(pool, limit);
	pool->lent = lent;
}

/**
 * sim_turn - a turn of a loop
 * @loop: any
 * @bytes: at most so many arrive on each connection
 */
void sim_turn(struct loop *loop, size_t bytes)
{
	unsigned int i;

	loop->now_us = sim_clock_us;
	in_server = true;
	take_messages(loop);
	for (i = 0; i < SIM_SOCKS; i++) {
		if (!socks[i].open || socks[i].loop != loop)
			continue;
		deliver(loop, &socks[i], bytes);
		writable(&socks[i]);
	}
	reap(ring_of(loop));
	if (loop->opens)
		vxhs_poll_opens(loop);
	conns_resume(loop);
	conns_flush(loop);
	in_server = false;
	submit(ring_of(loop));
	forget_caches(loop);
}

/** sim_quiet - would another turn do nothing? */
bool sim_quiet(const struct loop *loop)
{
	const struct ring *ring = ring_of(loop);
	unsigned int i;

	if (loop->msgs || ring->nr_cqes || ring->nr_pending || loop->dirty)
		return false;
	for (i = 0; i < SIM_SOCKS; i++) {
		const struct sock *s = &socks[i];

		if (!s->open || s->loop != loop)
			continue;
		if (s->recv_op && (s->out_taken < s->out_len || s->eof ||
				   s->reset || s->shut))
			return false;
		if (s->poll_op && (s->room || s->shut || s->reset))
			return false;
	}
	return true;
}

/* Files */

static int disk_of(const struct ring *ring, const struct io_uring_sqe *sqe)
{
	int fd = sqe->fd;

	if (sqe->flags & IOSQE_FIXED_FILE)
		fd = ring->files[fd];
	must(fd >= FD_FILE && fd < FD_FILE + 2 * DISKS);
	must(disk_used[(fd - FD_FILE) / 2]);
	return (fd - FD_FILE) / 2;
}

static int transfer(const struct ring *ring, const struct io_uring_sqe *sqe,
		    u32 len)
{
	int disk = disk_of(ring, sqe);
	void *buf = (void *)(uintptr_t)sqe->addr;

	must(sqe->off + sqe->len <= DISK_SIZE);
	if (sqe->opcode == IORING_OP_READ ||
	    sqe->opcode == IORING_OP_READ_FIXED) {
		memcpy(buf, disks[disk] + sqe->off, len);
	} else {
		memcpy(disks[disk] + sqe->off, buf, len);
		disk_dirty[disk] = true;
	}
	return (int)len;
}

static int execute(const struct ring *ring, const struct io_uring_sqe *sqe,
		   enum sim_result result)
{
	static const int errors[SIM_RESULTS] = {
		[SIM_EIO] = -EIO,
		[SIM_ENOSPC] = -ENOSPC,
		[SIM_EAGAIN] = -EAGAIN,
		[SIM_EINTR] = -EINTR,
		[SIM_EOPNOTSUPP] = -EOPNOTSUPP,
		[SIM_EINVAL] = -EINVAL,
	};
	bool data;

	if (sqe->opcode == IORING_OP_TIMEOUT)
		return -ETIME;
	if (sqe->opcode == IORING_OP_NOP)
		return 0;
	data = sqe->opcode == IORING_OP_READ ||
	       sqe->opcode == IORING_OP_READ_FIXED ||
	       sqe->opcode == IORING_OP_WRITE ||
	       sqe->opcode == IORING_OP_WRITE_FIXED;
	disk_of(ring, sqe);
	if (result >= SIM_EIO)
		return errors[result];
	if (!data || result == SIM_NOTHING)
		return 0;
	return transfer(ring, sqe, result == SIM_SHORT && sqe->len > 1 ?
					   sqe->len / 2 : sqe->len);
}

/**
 * sim_complete - end something that the ring works on
 * @loop: any
 * @index: which
 * @result: how
 *
 * Return: false if there is nothing
 */
bool sim_complete(struct loop *loop, unsigned int index,
		  enum sim_result result)
{
	struct ring *ring = ring_of(loop);
	struct io_uring_sqe sqe;

	if (!ring->nr_pending)
		return false;
	index %= ring->nr_pending;
	sqe = ring->pending[index];
	ring->pending[index] = ring->pending[--ring->nr_pending];
	post(ring, (struct op *)(uintptr_t)sqe.user_data,
	     execute(ring, &sqe, result), 0);
	return true;
}

static int sim_open(struct export *x, const struct export_spec *spec,
		    struct err *err)
{
	struct vxhs_geometry *g = &x->geometry;
	int disk = 0;

	while (disk < DISKS && disk_used[disk])
		disk++;
	if (disk == DISKS)
		return err_set(err, "export %s: no disk is left", x->name);
	disk_used[disk] = true;
	x->fd = FD_FILE + 2 * disk;
	x->sync_fd = x->fd + 1;
	g->size = spec->size;
	g->logical_block = spec->block ? spec->block : 512;
	g->physical_block = 4096;
	g->io_min = 4096;
	g->discard_granularity = 4096;
	g->caps = VXHS_CAP_FLUSH | VXHS_CAP_FUA | VXHS_CAP_DISCARD |
		  VXHS_CAP_WRITE_ZEROES;
	x->dio_align = x->write_through ? 512 : 1;
	x->can_punch = !x->write_through;
	identity_derived(x);
	return 0;
}

int file_open(struct export *x, const struct export_spec *spec,
	      struct err *err)
{
	return sim_open(x, spec, err);
}

int blockdev_open(struct export *x, const struct export_spec *spec,
		  struct err *err)
{
	return sim_open(x, spec, err);
}

int file_resize(struct export *x, const struct export_spec *spec, u64 *size,
		struct err *err)
{
	(void)x;
	(void)err;
	*size = spec->size;
	return 0;
}

/* System calls */

u64 __wrap_now_us(void);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_close(int fd);
int __wrap_shutdown(int fd, int how);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len);
int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);

u64 __wrap_now_us(void)
{
	return sim_clock_us;
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	(void)flags;
	memset(buf, 0x5a, len);
	return (ssize_t)len;
}

/* What libFuzzer asks for is real. */
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st)
{
	if (!strncmp(path, SIM_FILE, strlen(SIM_FILE))) {
		errno = ENOENT;
		return -1;
	}
	if (strncmp(path, SIM_DEVICE, strlen(SIM_DEVICE)))
		return __real_stat(path, st);
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFBLK;
	return 0;
}

int __real_close(int fd);
int __wrap_close(int fd)
{
	struct sock *s;

	if (fd >= FD_FILE) {
		disk_used[(fd - FD_FILE) / 2] = false;
		return 0;
	}
	if (fd < FD_SOCK)
		return __real_close(fd);
	s = sock_of(fd);
	must(!s->recv_op && !s->poll_op);
	s->open = false;
	s->shut = true;
	return 0;
}

int __wrap_shutdown(int fd, int how)
{
	(void)how;
	sock_of(fd)->shut = true;
	return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value,
		      socklen_t len)
{
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	sock_of(fd);
	return 0;
}

int __wrap_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons((u16)fd),
		.sin_addr.s_addr = htonl(0x0a000001 + sock_of(fd)->peer),
	};

	memcpy(sa, &in, sizeof(in));
	*len = sizeof(in);
	return 0;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct sock *s = sock_of(fd);
	size_t i, done = 0;

	must((flags & MSG_DONTWAIT) && (flags & MSG_NOSIGNAL));
	if (s->shut || s->reset) {
		errno = EPIPE;
		return -1;
	}
	for (i = 0; i < msg->msg_iovlen && s->room; i++) {
		size_t n = msg->msg_iov[i].iov_len;

		n = n < s->room ? n : s->room;
		sim_received((unsigned int)(s - socks),
			     msg->msg_iov[i].iov_base, n);
		if (s->room != SIM_ENDLESS)
			s->room -= n;
		done += n;
	}
	if (!done) {
		errno = EAGAIN;
		return -1;
	}
	return (ssize_t)done;
}

/* Memory */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *mem, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *mem, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *text);

static bool no_memory(void)
{
	return in_server && sim_no_memory && !--sim_no_memory;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *mem, size_t size)
{
	return no_memory() ? NULL : __real_realloc(mem, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return no_memory() ? NULL : __real_aligned_alloc(align, size);
}

char *__wrap_strdup(const char *text)
{
	return no_memory() ? NULL : __real_strdup(text);
}

/* tls_*.c, ktls.c: identities are given, "alice" to "dave". */

bool tls_on(void)
{
	return opts.tls;
}

unsigned int tls_generation(void)
{
	return sim_generation;
}

bool tls_who_passes(struct tls_who *who, struct err *err)
{
	if (who->checked == sim_generation)
		return true;
	who->checked = sim_generation;
	if (!(sim_revoked & 1u << (who->owner[0] & 3)))
		return true;
	err_set(err, "it is revoked");
	return false;
}

void tls_who_free(struct tls_who *who)
{
	free(who);
}

void listeners_forget(int fd)
{
	atomic_fetch_sub(&nr_conns_total, 1);
	close(fd);
}

bool psk_name_ok(const char *name, size_t len)
{
	return name && len;
}

ssize_t tls_receive(struct tls_rx *rx, int fd, size_t max)
{
	struct sock *s = sock_of(fd);
	size_t n = s->out_len - s->out_taken;

	must(max && max <= TLS_RX_SIZE);
	if (s->shut || s->reset || (s->eof && !n))
		return s->reset && !s->shut ? -ECONNRESET : 0;
	if (sim_no_bufs || !n || !s->arrived) {
		sim_no_bufs = false;
		return -EAGAIN;
	}
	if (sim_record)
		return -EIO;
	n = n < s->arrived ? n : s->arrived;
	n = n < max ? n : max;
	ASAN_UNPOISON_MEMORY_REGION(rx->buf, n);
	memcpy(rx->buf, s->out + s->out_taken, n);
	sim_delivered((unsigned int)(s - socks), s->out + s->out_taken, n);
	s->out_taken += n;
	return (ssize_t)n;
}

enum tls_record tls_take_record(int fd)
{
	enum tls_record record = (enum tls_record)(sim_record & 3);

	(void)sock_of(fd);
	sim_record = 0;
	return record > TLS_RECORD_OTHER ? TLS_RECORD_NONE : record;
}

static struct tls_who *new_who(unsigned int peer)
{
	static const char * const names[] = { "alice", "bob", "carol", "dave" };
	struct tls_who *who = calloc(1, sizeof(*who));

	must(who);
	strcpy(who->name, names[peer & 3]);
	memset(who->owner, (int)(peer & 3), sizeof(who->owner));
	who->checked = sim_generation;
	return who;
}

/* log.c, audit.c: what is said is made, for the sake of its arguments. */

static void say(const char *fmt, va_list ap)
{
	char line[1024];

	vsnprintf(line, sizeof(line), fmt, ap);
}

#define SAY(name) \
void name(const char *fmt, ...) \
{ \
	va_list ap; \
	va_start(ap, fmt); \
	say(fmt, ap); \
	va_end(ap); \
}

SAY(log_info)
SAY(log_warn)
SAY(log_error)

bool log_peer(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return true;
}

void audit(const struct audit *a)
{
	must(a->event);
	must(!a->peer || strlen(a->peer) < ADDR_TEXT);
	must(!a->vdisk || strlen(a->vdisk) <= VXHS_NAME_MAX);
}

/* Clients */

/**
 * sim_connect - somebody connects
 * @i: of socks
 * @peer: his address; with TLS, his identity
 * @loop: that it goes to
 */
bool sim_connect(unsigned int i, unsigned int peer, unsigned int loop)
{
	struct sock *s = &socks[i];

	if (s->open)
		return false;
	free(s->out);
	memset(s, 0, sizeof(*s));
	s->open = true;
	s->peer = peer;
	s->room = SIM_ENDLESS;
	s->loop = &loops[loop % nr_loops];
	atomic_fetch_add(&nr_conns_total, 1);
	conn_adopt(s->loop, FD_SOCK + (int)i, opts.tls ? new_who(peer) : NULL);
	return s->open;
}

void sim_send(struct sock *s, const void *buf, size_t len)
{
	if (!len)
		return;
	if (s->out_len + len > s->out_size) {
		s->out_size = 2 * (s->out_len + len);
		s->out = realloc(s->out, s->out_size);
		must(s->out);
	}
	memcpy(s->out + s->out_len, buf, len);
	s->out_len += len;
}

/* Begin and end */

void sim_begin(const struct sim_options *options)
{
	unsigned int i, k;

	if (!rx_mem) {
		rx_mem = malloc(SIM_LOOPS * RX_SIZE);
		must(rx_mem);
		ASAN_POISON_MEMORY_REGION(rx_mem, SIM_LOOPS * RX_SIZE);
	}
	opts = *options;
	sim_clock_us = 1000000000;
	sim_generation = 1;
	sim_revoked = 0;
	sim_record = 0;
	sim_no_bufs = false;
	sim_no_memory = 0;
	loops = loop_mem;
	nr_loops = opts.loops;
	for (i = 0; i < SIM_LOOPS; i++) {
		struct loop *loop = &loops[i];

		memset(loop, 0, sizeof(*loop));
		loop->index = i;
		loop->now_us = sim_clock_us;
		LIST_INIT(&loop->conns);
		TAILQ_INIT(&loop->held);
		TAILQ_INIT(&loop->starved);
		TAILQ_INIT(&loop->resume);
		loop->msgs_tail = &loop->msgs;
		loop->rx_bufs = rx_mem + i * RX_SIZE;
		loop->tls_rx = &tls_rx;
		loop->files = true;
		pool_init(&loop->pool, opts.pool);
		for (k = 0; k < LOOP_FILES; k++)
			rings[i].files[k] = -1;
		rings[i].nr_cqes = 0;
		rings[i].nr_sqes = 0;
		rings[i].nr_pending = 0;
		rings[i].next_buf = 0;
	}
	for (i = 0; i < DISKS; i++) {
		if (disk_dirty[i])
			memset(disks[i], 0, DISK_SIZE);
		disk_dirty[i] = false;
		must(!disk_used[i]);
	}
}

/* Everybody has left: nothing may remain. */
void sim_end(void)
{
	unsigned int i;

	must(!atomic_load(&nr_conns_total));
	for (i = 0; i < SIM_LOOPS; i++) {
		struct loop *loop = &loops[i];

		must(LIST_EMPTY(&loop->conns));
		must(TAILQ_EMPTY(&loop->held));
		must(TAILQ_EMPTY(&loop->starved));
		must(TAILQ_EMPTY(&loop->resume));
		must(!loop->opens && !loop->dirty && !loop->msgs);
		must(!loop->stashed && !loop->pool.lent);
		must(!rings[i].nr_pending && !rings[i].nr_cqes);
		conns_free_caches(loop);
		pool_destroy(&loop->pool);
	}
	for (i = 0; i < SIM_SOCKS; i++) {
		must(!socks[i].open);
		free(socks[i].out);
		memset(&socks[i], 0, sizeof(socks[i]));
	}
}
