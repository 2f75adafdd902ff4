// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps many direct writes, reads, FLUSHes under way on a block device, each
 * block stamped, and notes everything in a log for checker.py.  Both formats
 * are described in stamp.py.
 *
 * No two writes to one block are under way at once, so the log says which of
 * them is the newer one.  Everything is noted before it is submitted.
 *
 * stdin:  pause, resume, mark WHAT NUMBER, stop; its end is "stop" as well.
 * stdout: "progress NS ANSWERED FAILED INFLIGHT OLDEST_MS" now and then;
 *	   paused, resumed, done.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR		512
#define STAMP_MAGIC	0x42465856u
#define LOG_MAGIC	0x474f4c46u
#define MAX_QD		256
#define MAX_SPAN	32
#define NS_PER_MS	1000000ull

/* Kinds of records, and of operations. */
enum kind {
	WRITE = 1, ZERO, READ, FLUSH, DONE, SEEN, BAD, MARK, END,
};

#define FUA		1u

struct sector {
	uint32_t magic, crc;
	uint64_t run, block, seq, time;
	uint32_t index, disk;
	uint64_t fill[58];
};

struct log_head {
	uint32_t magic, version;
	uint64_t run;
	uint32_t disk, block_size;
	uint64_t blocks, seed;
	uint32_t unused[6];
};

struct record {
	uint32_t kind, flags;
	uint64_t time, id, block;
	uint32_t nblocks;
	int32_t result;
	uint64_t seq;
};

_Static_assert(sizeof(struct sector) == SECTOR, "sector");
_Static_assert(sizeof(struct log_head) == 64, "log_head");
_Static_assert(sizeof(struct record) == 48, "record");

/** struct op - an operation; id 0 if it is free */
struct op {
	uint64_t id, submitted, block;
	enum kind kind;
	unsigned int nblocks;
	unsigned char *buf;
};

static struct {
	const char *device, *log;
	uint64_t seed, blocks, run, disk, block_size, qd, span;
	uint64_t reads, fua, zeros;	/* of 100 */
	uint64_t flush_every, report_ms;
	uint64_t rate;			/* operations per second, 0: all */
	bool buffered;
} opt = {
	.seed = 1, .run = 1, .block_size = 4096, .qd = 32, .span = 8,
	.reads = 30, .fua = 5, .flush_every = 64, .report_ms = 200,
};

static struct {
	int fd, log_fd, bad_fd;
	struct io_uring ring;
	struct op ops[MAX_QD];
	unsigned char *writing;		/* per block: a write is under way */
	unsigned int inflight;
	bool flushing, paused, ending, said_paused, bursting;
	uint64_t random, next_id, seq, since_flush;
	uint64_t answered, failed, in_a_row;
	uint64_t allowed_from;		/* rate: when it began, less what it has used */
	struct record notes[4096];
	unsigned int nr_notes;
} self;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t z = self.random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
	return draw() % n;
}

/* The log */

static void commit(void)
{
	const char *p = (const char *)self.notes;
	size_t left = self.nr_notes * sizeof(*self.notes);

	while (left) {
		ssize_t n = write(self.log_fd, p, left);

		if (n < 0 && errno != EINTR)
			die(opt.log);
		if (n > 0) {
			p += n;
			left -= (size_t)n;
		}
	}
	self.nr_notes = 0;
}

static void note(struct record r)
{
	if (self.nr_notes == sizeof(self.notes) / sizeof(*self.notes))
		commit();
	r.time = now();
	self.notes[self.nr_notes++] = r;
}

static void open_log(void)
{
	struct log_head head = {
		.magic = LOG_MAGIC, .version = 1, .run = opt.run,
		.disk = (uint32_t)opt.disk,
		.block_size = (uint32_t)opt.block_size,
		.blocks = opt.blocks, .seed = opt.seed,
	};
	char bad[4096];

	self.log_fd = open(opt.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			   0644);
	if (self.log_fd < 0 ||
	    write(self.log_fd, &head, sizeof(head)) != sizeof(head))
		die(opt.log);
	snprintf(bad, sizeof(bad), "%s.bad", opt.log);
	self.bad_fd = open(bad, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (self.bad_fd < 0)
		die(bad);
}

/* Stamps */

static uint32_t crc_table[256];

static void crc_init(void)
{
	for (uint32_t n = 0; n < 256; n++) {
		uint32_t c = n;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		crc_table[n] = c;
	}
}

static uint32_t crc32(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint32_t c = 0xffffffffu;

	while (n--)
		c = crc_table[(c ^ *p++) & 0xff] ^ c >> 8;
	return ~c;
}

static uint32_t sector_crc(const struct sector *s)
{
	return crc32(&s->run, 40);
}

static uint64_t fill_word(const struct sector *s)
{
	return s->run + s->block * 0xc2b2ae3d27d4eb4fu +
	       s->seq * 0x9e3779b97f4a7c15u +
	       (uint64_t)s->index * 0x165667b19e3779f9u;
}

static void stamp(const struct op *op, uint64_t seq)
{
	unsigned int per_block = (unsigned int)opt.block_size / SECTOR;
	struct sector *s = (void *)op->buf;
	uint64_t time = now();

	for (unsigned int i = 0; i < op->nblocks * per_block; i++, s++) {
		uint64_t word;

		s->magic = STAMP_MAGIC;
		s->run = opt.run;
		s->block = op->block + i / per_block;
		s->seq = seq;
		s->time = time;
		s->index = i % per_block;
		s->disk = (uint32_t)opt.disk;
		s->crc = sector_crc(s);
		word = fill_word(s);
		for (int k = 0; k < 58; k++)
			s->fill[k] = word;
	}
}

static bool sector_good(const struct sector *s, uint64_t block,
			unsigned int index)
{
	uint64_t word = fill_word(s);

	if (s->magic != STAMP_MAGIC || s->crc != sector_crc(s) ||
	    s->block != block || s->index != index || s->disk != opt.disk)
		return false;
	for (int k = 0; k < 58; k++)
		if (s->fill[k] != word)
			return false;
	return true;
}

/* What a READ found in a block: a record for each write that is in it. */
static void look(const struct op *op, unsigned int i)
{
	static const struct sector zero;
	const struct sector *s = (void *)(op->buf + i * opt.block_size);
	unsigned int n = (unsigned int)opt.block_size / SECTOR;
	uint64_t block = op->block + i, seq[32], run[32];
	uint32_t bad = 0, left = 0;

	for (unsigned int k = 0; k < n; k++) {
		if (sector_good(&s[k], block, k)) {
			seq[k] = s[k].seq;
			run[k] = s[k].run;
		} else if (!memcmp(&s[k], &zero, SECTOR)) {
			seq[k] = 0;
			run[k] = 0;
		} else {
			bad |= 1u << k;
			continue;
		}
		left |= 1u << k;
	}
	if (bad) {
		note((struct record){ .kind = BAD, .id = op->id,
				      .block = block, .nblocks = bad });
		if (write(self.bad_fd, s, opt.block_size) < 0)
			die("noting a bad block");
	}
	while (left) {
		unsigned int first = (unsigned int)__builtin_ctz(left);
		uint32_t mask = 0;

		for (unsigned int k = first; k < n; k++)
			if (left & 1u << k && seq[k] == seq[first] &&
			    run[k] == run[first])
				mask |= 1u << k;
		left &= ~mask;
		note((struct record){ .kind = SEEN, .id = op->id,
				      .block = block, .nblocks = mask,
				      .flags = (uint32_t)run[first],
				      .seq = seq[first] });
	}
}

/* Operations */

static struct op *free_op(void)
{
	for (unsigned int i = 0; i < opt.qd; i++)
		if (!self.ops[i].id)
			return &self.ops[i];
	return NULL;
}

static bool changes(enum kind kind)
{
	return kind == WRITE || kind == ZERO;
}

static void mark(const struct op *op, bool writing)
{
	memset(self.writing + op->block, writing, op->nblocks);
}

/*
 * Where to: mostly an eighth of the disk, so that blocks are written again
 * and again.  False if others write there now.
 */
static bool place(struct op *op)
{
	uint64_t range = below(4) ? opt.blocks / 8 : opt.blocks;

	op->nblocks = below(2) ? 1 : 1 + (unsigned int)below(opt.span);
	if (range < op->nblocks)
		range = opt.blocks;
	op->block = below(range - op->nblocks + 1);
	if (!changes(op->kind))
		return true;
	for (unsigned int i = 0; i < op->nblocks; i++)
		if (self.writing[op->block + i])
			return false;
	return true;
}

static enum kind choose(void)
{
	if (opt.flush_every && self.since_flush >= opt.flush_every &&
	    !self.flushing)
		return FLUSH;
	if (below(100) < opt.reads)
		return READ;
	return below(100) < opt.zeros ? ZERO : WRITE;
}

static void prepare(struct io_uring_sqe *sqe, struct op *op, uint32_t flags)
{
	unsigned int length = op->nblocks * (unsigned int)opt.block_size;
	uint64_t offset = op->block * opt.block_size;

	switch (op->kind) {
	case WRITE:
		io_uring_prep_write(sqe, self.fd, op->buf, length, offset);
		if (flags & FUA)
			sqe->rw_flags = RWF_DSYNC;
		break;
	case READ:
		io_uring_prep_read(sqe, self.fd, op->buf, length, offset);
		break;
	case ZERO:
		io_uring_prep_fallocate(sqe, self.fd, FALLOC_FL_ZERO_RANGE |
					FALLOC_FL_KEEP_SIZE, (off_t)offset,
					length);
		break;
	default:
		io_uring_prep_fsync(sqe, self.fd, IORING_FSYNC_DATASYNC);
	}
	io_uring_sqe_set_data(sqe, op);
}

/*
 * With a rate: a whole queue at once and then a pause, rather than one at a
 * time, so that a fault finds many under way.
 */
static bool may_submit(uint64_t t)
{
	const uint64_t each = opt.rate ? 1000000000u / opt.rate : 0;

	if (!opt.rate)
		return true;
	if (self.allowed_from + 2 * opt.qd * each < t)
		self.allowed_from = t - 2 * opt.qd * each;
	if (!self.bursting && t < self.allowed_from + opt.qd * each)
		return false;
	self.bursting = t >= self.allowed_from + each;
	if (self.bursting)
		self.allowed_from += each;
	return self.bursting;
}

/* One more, if there is something to do. */
static bool submit_one(void)
{
	struct op *op = free_op();
	uint32_t flags = 0;
	uint64_t seq = 0;

	if (!op)
		return false;
	op->kind = choose();
	op->block = op->nblocks = 0;
	if (op->kind == FLUSH) {
		self.flushing = true;
		self.since_flush = 0;
	} else {
		for (int tries = 0; !place(op); tries++)
			if (tries > 50)
				return false;
		self.since_flush++;
	}
	if (changes(op->kind)) {
		seq = ++self.seq;
		mark(op, true);
	}
	if (op->kind == WRITE) {
		flags = below(100) < opt.fua ? FUA : 0;
		stamp(op, seq);
	}
	op->id = ++self.next_id;
	op->submitted = now();
	note((struct record){ .kind = op->kind, .flags = flags, .id = op->id,
			      .block = op->block, .nblocks = op->nblocks,
			      .seq = seq });
	prepare(io_uring_get_sqe(&self.ring), op, flags);
	self.inflight++;
	return true;
}

static void finished(struct op *op, int res)
{
	int want = op->kind == WRITE || op->kind == READ ?
		   (int)(op->nblocks * opt.block_size) : 0;
	int result = res < 0 ? res : res == want ? 0 : -EIO;

	if (op->kind == READ && !result)
		for (unsigned int i = 0; i < op->nblocks; i++)
			look(op, i);
	note((struct record){ .kind = DONE, .id = op->id, .result = result });
	if (changes(op->kind))
		mark(op, false);
	if (op->kind == FLUSH)
		self.flushing = false;
	op->id = 0;
	self.inflight--;
	if (result) {
		self.failed++;
		/* The disk is gone, not a request. */
		if (++self.in_a_row == 2 * opt.qd)
			printf("lost %llu\n", (unsigned long long)opt.disk);
	} else {
		self.answered++;
		self.in_a_row = 0;
	}
}

static void reap(void)
{
	struct __kernel_timespec ts = { .tv_nsec = 50 * NS_PER_MS };
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_submit_and_wait_timeout(&self.ring, &cqe, 1, &ts, NULL);
	if (ret < 0 && ret != -ETIME && ret != -EINTR) {
		errno = -ret;
		die("io_uring");
	}
	while (!io_uring_peek_cqe(&self.ring, &cqe)) {
		struct op *op = io_uring_cqe_get_data(cqe);

		if (op)
			finished(op, cqe->res);
		io_uring_cqe_seen(&self.ring, cqe);
	}
	/* A disk that fails everything at once must not fill the log. */
	if (self.in_a_row > 2 * opt.qd)
		nanosleep(&(struct timespec){ .tv_nsec = 20 * NS_PER_MS }, NULL);
}

/* Orders and reports */

static void obey(const char *line)
{
	unsigned long long what, number;

	if (!strcmp(line, "pause")) {
		self.paused = true;
		self.said_paused = false;
	} else if (!strcmp(line, "resume")) {
		self.paused = false;
		puts("resumed");
	} else if (!strcmp(line, "stop")) {
		self.ending = true;
	} else if (sscanf(line, "mark %llu %llu", &what, &number) == 2) {
		note((struct record){ .kind = MARK, .block = what,
				      .seq = number });
		commit();
		puts("marked");
	} else if (*line) {
		fprintf(stderr, "load: cannot \"%s\"\n", line);
	}
}

static void listen_to_orders(void)
{
	static char text[4096];
	static size_t have;
	struct pollfd p = { .fd = 0, .events = POLLIN };
	char *end;

	while (!self.ending && poll(&p, 1, 0) > 0) {
		ssize_t n = read(0, text + have, sizeof(text) - 1 - have);

		if (n <= 0) {
			self.ending = true;
			break;
		}
		have += (size_t)n;
		text[have] = '\0';
		while ((end = strchr(text, '\n'))) {
			*end = '\0';
			obey(text);
			have -= (size_t)(end + 1 - text);
			memmove(text, end + 1, have + 1);
		}
	}
}

static void report(uint64_t t)
{
	uint64_t oldest = t;

	for (unsigned int i = 0; i < opt.qd; i++)
		if (self.ops[i].id && self.ops[i].submitted < oldest)
			oldest = self.ops[i].submitted;
	printf("progress %llu %llu %llu %u %llu\n", (unsigned long long)t,
	       (unsigned long long)self.answered,
	       (unsigned long long)self.failed, self.inflight,
	       (unsigned long long)((t - oldest) / NS_PER_MS));
}

static void run(void)
{
	uint64_t next_report = 0, next_orders = 0;

	while (!self.ending || self.inflight) {
		uint64_t t = now();

		if (t >= next_orders) {
			listen_to_orders();
			next_orders = t + 20 * NS_PER_MS;
		}
		if (t >= next_report) {
			report(t);
			next_report = t + opt.report_ms * NS_PER_MS;
		}
		if (!self.paused && !self.ending)
			while (may_submit(t) && submit_one())
				;
		else if (self.paused && !self.inflight && !self.said_paused) {
			self.said_paused = true;
			commit();
			puts("paused");
		}
		commit();
		reap();
	}
	note((struct record){ .kind = END });
	commit();
	report(now());
	puts("done");
}

static void open_device(void)
{
	int flags = O_RDWR | O_CLOEXEC | (opt.buffered ? 0 : O_DIRECT);
	size_t size = (size_t)opt.span * opt.block_size;
	unsigned char *bufs;
	off_t end;

	self.fd = open(opt.device, flags);
	if (self.fd < 0)
		die(opt.device);
	end = lseek(self.fd, 0, SEEK_END);
	if (!opt.blocks)
		opt.blocks = (uint64_t)end / opt.block_size;
	if (opt.blocks < 64 || opt.blocks * opt.block_size > (uint64_t)end) {
		errno = EINVAL;
		die("--blocks");
	}
	self.writing = calloc(opt.blocks, 1);
	bufs = mmap(NULL, opt.qd * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!self.writing || bufs == MAP_FAILED)
		die("memory");
	for (unsigned int i = 0; i < opt.qd; i++)
		self.ops[i].buf = bufs + i * size;
}

static void usage(void)
{
	fputs("usage: load --device PATH --log FILE [--seed N] [--run N] [--disk N]\n"
	      "            [--blocks N] [--block-size BYTES] [--qd N] [--span BLOCKS]\n"
	      "            [--reads PERCENT] [--fua PERCENT] [--zeros PERCENT]\n"
	      "            [--flush-every N] [--report MS] [--rate N] [--buffered]\n",
	      stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{ "--seed", &opt.seed }, { "--run", &opt.run },
		{ "--disk", &opt.disk }, { "--blocks", &opt.blocks },
		{ "--block-size", &opt.block_size }, { "--qd", &opt.qd },
		{ "--span", &opt.span }, { "--reads", &opt.reads },
		{ "--fua", &opt.fua }, { "--zeros", &opt.zeros },
		{ "--flush-every", &opt.flush_every },
		{ "--report", &opt.report_ms }, { "--rate", &opt.rate },
	};
	const unsigned int n = sizeof(numbers) / sizeof(*numbers);

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value = argv[i + 1];
		unsigned int k = 0;

		if (!strcmp(name, "--buffered")) {
			opt.buffered = true;
			continue;
		}
		if (!value)
			usage();
		i++;
		while (k < n && strcmp(name, numbers[k].name))
			k++;
		if (k < n)
			*numbers[k].value = strtoull(value, NULL, 0);
		else if (!strcmp(name, "--device"))
			opt.device = value;
		else if (!strcmp(name, "--log"))
			opt.log = value;
		else
			usage();
	}
	if (!opt.device || !opt.log || !opt.run || opt.run >> 32 ||
	    opt.disk >> 32 || !opt.qd || opt.qd > MAX_QD || !opt.span ||
	    opt.span > MAX_SPAN || opt.block_size < SECTOR ||
	    opt.block_size > 32 * SECTOR || opt.block_size % SECTOR)
		usage();
}

int main(int argc, char **argv)
{
	int ret;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	crc_init();
	self.random = opt.seed ^ (uint64_t)opt.run << 32;
	open_device();
	open_log();
	ret = io_uring_queue_init((unsigned int)opt.qd, &self.ring, 0);
	if (ret) {
		errno = -ret;
		die("io_uring");
	}
	run();
	return 0;
}
