// SPDX-License-Identifier: GPL-2.0
/*
 * What a request and its reply cost on bare TCP, with nothing around them: a
 * client and a server, blocking, over loopback.  The client keeps --depth
 * requests under way; each side receives all there is and answers it with one
 * send().  Prints {"ios": N, "ns": T} for the time after the ramp.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/**
 * struct shape - the messages of a run
 * @request: bytes of a request, header and data
 * @reply: bytes of a reply
 * @depth: requests under way
 * @batch: at most so many requests to a send()
 * @run_ms: milliseconds that count
 * @ramp_ms: milliseconds before them
 */
struct shape {
	size_t request, reply;
	unsigned int depth, batch, run_ms, ramp_ms;
};

/* One end of the connection; @rest is what came of a message so far. */
struct end {
	int fd;
	char *in, *out;
	size_t in_size, rest;
};

static unsigned long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void end_init(struct end *end, int fd, size_t in, size_t out)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		err(1, "TCP_NODELAY");
	end->fd = fd;
	end->in_size = in;
	end->in = calloc(1, in);
	end->out = calloc(1, out);
	end->rest = 0;
	if (!end->in || !end->out)
		err(1, "memory");
}

static void send_all(struct end *end, size_t bytes)
{
	const char *from = end->out;
	ssize_t sent;

	while (bytes) {
		sent = send(end->fd, from, bytes, MSG_NOSIGNAL);
		if (sent < 0)
			err(1, "send");
		from += sent;
		bytes -= sent;
	}
}

/* Receives what there is.  Return: whole messages, 0 when it is closed */
static unsigned int receive(struct end *end, size_t message)
{
	unsigned int whole;
	ssize_t got;

	do {
		got = recv(end->fd, end->in, end->in_size, 0);
		if (!got || (got < 0 && errno == ECONNRESET))
			return 0;
		if (got < 0)
			err(1, "recv");
		end->rest += got;
		whole = end->rest / message;
	} while (!whole);
	end->rest %= message;
	return whole;
}

static void serve(int fd, const struct shape *shape)
{
	struct end end;
	unsigned int n;

	end_init(&end, fd, shape->depth * shape->request,
		 shape->depth * shape->reply);
	while ((n = receive(&end, shape->request)))
		send_all(&end, n * shape->reply);
}

static void ask(int fd, const struct shape *shape)
{
	unsigned long long begin, start = 0, now, ios = 0;
	unsigned int n, part;
	struct end end;

	end_init(&end, fd, shape->depth * shape->reply,
		 shape->depth * shape->request);
	begin = now_ns();
	for (n = shape->depth; n; n = receive(&end, shape->reply)) {
		now = now_ns();
		if (start) {
			ios += n;
			if (now - start >= shape->run_ms * 1000000ULL)
				break;
		} else if (now - begin >= shape->ramp_ms * 1000000ULL) {
			start = now;
		}
		for (; n; n -= part) {
			part = n < shape->batch ? n : shape->batch;
			send_all(&end, part * shape->request);
		}
	}
	if (!n)
		errx(1, "the server closed the connection");
	printf("{\"ios\": %llu, \"ns\": %llu}\n", ios, now - start);
}

static size_t number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!value || *end || value > 1UL << 30)
		errx(2, "\"%s\" is not a number", text);
	return value;
}

static void parse(int argc, char **argv, struct shape *shape)
{
	static const struct option options[] = {
		{ "request", required_argument, NULL, 'q' },
		{ "reply", required_argument, NULL, 'p' },
		{ "depth", required_argument, NULL, 'd' },
		{ "batch", required_argument, NULL, 'b' },
		{ "runtime", required_argument, NULL, 't' },
		{ "ramp", required_argument, NULL, 'r' },
		{ }
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'q':
			shape->request = number(optarg);
			break;
		case 'p':
			shape->reply = number(optarg);
			break;
		case 'd':
			shape->depth = number(optarg);
			break;
		case 'b':
			shape->batch = number(optarg);
			break;
		case 't':
			shape->run_ms = number(optarg);
			break;
		case 'r':
			shape->ramp_ms = number(optarg);
			break;
		default:
			errx(2, "usage: floor [--request BYTES] [--reply BYTES] [--depth N] [--batch N] [--runtime MS] [--ramp MS]");
		}
	}
}

int main(int argc, char **argv)
{
	struct shape shape = { .request = 48, .reply = 4128, .depth = 1,
			       .run_ms = 1000, .ramp_ms = 200 };
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int listener, fd;
	pid_t server;

	parse(argc, argv, &shape);
	if (!shape.batch)
		shape.batch = shape.depth;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (void *)&address, len) ||
	    listen(listener, 1) ||
	    getsockname(listener, (void *)&address, &len))
		err(1, "listen");
	server = fork();
	if (server < 0)
		err(1, "fork");
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			err(1, "accept");
		serve(fd, &shape);
		_exit(0);
	}
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (void *)&address, len))
		err(1, "connect");
	ask(fd, &shape);
	return 0;
}
