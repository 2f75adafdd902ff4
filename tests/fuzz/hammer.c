// SPDX-License-Identifier: GPL-2.0
/*
 * hammer SEED COUNT: I/O of all kinds on /dev/vxhs0 to COUNT - 1, with no
 * regard for its success, until stdin ends.  A device that is not there, or
 * only fails, is opened again after a while.  Prints how much was done.
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
#include <time.h>
#include <unistd.h>

#define MAX_DEVICES	64
#define DEPTH		24
#define BUF_SIZE	65536
#define DISK_SIZE	(1u << 20)
#define PATIENCE	64		/* failures in a row */
#define PAUSE_MS	300
#define LINGER_MS	20000		/* for what is under way in the end */

struct device {
	int fd;
	unsigned int under_way;
	unsigned int failures;		/* in a row */
	unsigned long long again_at;	/* ms */
};

static struct device devices[MAX_DEVICES];
static unsigned int nr_devices;
static struct io_uring ring;
static uint64_t state;
static void *buf;
static unsigned long long done, failed, opened;

static unsigned long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned long long)ts.tv_sec * 1000 +
	       (unsigned long long)ts.tv_nsec / 1000000;
}

static uint32_t below(uint32_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33) % n;
}

static void look_at(unsigned int i, bool stop)
{
	struct device *d = &devices[i];
	char path[32];

	if (d->fd >= 0 && (d->failures > PATIENCE || stop) && !d->under_way) {
		close(d->fd);
		d->fd = -1;
		d->failures = 0;
		d->again_at = now_ms() + PAUSE_MS;
	}
	if (d->fd >= 0 || stop || now_ms() < d->again_at)
		return;
	snprintf(path, sizeof(path), "/dev/vxhs%u", i);
	d->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0)
		d->again_at = now_ms() + PAUSE_MS;
	else
		opened++;
}

static void start(unsigned int i)
{
	struct device *d = &devices[i];
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	uint32_t kind = below(64), len = 512 << below(4);
	uint64_t offset;

	if (!sqe)
		return;
	if (!below(64))
		len = BUF_SIZE;
	offset = (uint64_t)below(DISK_SIZE / BUF_SIZE) * BUF_SIZE;
	if (kind < 38)
		io_uring_prep_read(sqe, d->fd, buf, len, offset);
	else if (kind < 60)
		io_uring_prep_write(sqe, d->fd, buf, len, offset);
	else if (kind < 61)
		io_uring_prep_fsync(sqe, d->fd, 0);
	else if (kind < 62)
		io_uring_prep_fallocate(sqe, d->fd, FALLOC_FL_PUNCH_HOLE |
					FALLOC_FL_KEEP_SIZE, (off_t)offset,
					BUF_SIZE);
	else
		io_uring_prep_fallocate(sqe, d->fd, FALLOC_FL_ZERO_RANGE |
					FALLOC_FL_KEEP_SIZE, (off_t)offset,
					BUF_SIZE);
	io_uring_sqe_set_data64(sqe, i);
	d->under_way++;
}

static unsigned int fill(bool stop)
{
	unsigned int i, under_way = 0;

	for (i = 0; i < nr_devices; i++) {
		struct device *d = &devices[i];

		look_at(i, stop);
		while (d->fd >= 0 && !stop && d->failures <= PATIENCE &&
		       d->under_way < DEPTH) {
			unsigned int before = d->under_way;

			start(i);
			if (d->under_way == before)
				break;
		}
		under_way += d->under_way;
	}
	return under_way;
}

static void reap(void)
{
	struct __kernel_timespec ts = { .tv_nsec = 20000000 };
	struct io_uring_cqe *cqe;

	if (io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &ts, NULL) < 0)
		return;
	while (!io_uring_peek_cqe(&ring, &cqe)) {
		struct device *d = &devices[io_uring_cqe_get_data64(cqe)];

		d->under_way--;
		done++;
		/* A disk that is gone ends where it begins. */
		if (cqe->res <= 0)
			d->failures++;
		else
			d->failures = 0;
		failed += cqe->res < 0;
		io_uring_cqe_seen(&ring, cqe);
	}
}

static bool told_to_stop(void)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	unsigned long long until;
	unsigned int i, left;

	if (argc != 3)
		return 2;
	state = strtoull(argv[1], NULL, 0);
	nr_devices = (unsigned int)atoi(argv[2]);
	if (nr_devices > MAX_DEVICES ||
	    posix_memalign(&buf, 4096, BUF_SIZE) ||
	    io_uring_queue_init(1024, &ring, 0)) {
		perror("hammer");
		return 1;
	}
	for (i = 0; i < nr_devices; i++)
		devices[i].fd = -1;
	while (!told_to_stop()) {
		fill(false);
		reap();
	}
	until = now_ms() + LINGER_MS;
	while ((left = fill(true)) && now_ms() < until)
		reap();
	printf("{\"done\": %llu, \"failed\": %llu, \"opened\": %llu, \"left\": %u}\n",
	       done, failed, opened, left);
	return left ? 1 : 0;
}
