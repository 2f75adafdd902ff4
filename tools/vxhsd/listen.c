// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "listen.h"
#include "log.h"
#include "tls.h"

struct listener {
	struct op op;
	struct listener *next;
	int fd;
	bool armed;		/* the first loop's thread only */
};

struct arrival {
	struct msg msg;
	int fd;
	struct tls_who *who;
};

/* Made before the threads start, freed after they ended. */
static struct listener *listeners;

static atomic_uint next_loop;
static bool stopped;		/* the first loop's thread only */

/* Binding */

/*
 * The ring of a server that was killed keeps its sockets until the kernel has
 * taken it down, a moment after the end of the process.
 */
static int bind_patiently(int fd, const struct addrinfo *ai)
{
	u64 until = now_us() + LINGER_US;

	while (bind(fd, ai->ai_addr, ai->ai_addrlen)) {
		if (errno != EADDRINUSE || now_us() > until)
			return -1;
		usleep(LINGER_STEP_US);
	}
	return 0;
}

static int add_socket(const struct addrinfo *ai, const char *text,
		      struct err *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	char addr[ADDR_TEXT];
	socklen_t len;
	struct sockaddr_storage bound;
	int one = 1, zero = 0;

	if (!l)
		return err_set(err, "cannot listen on %s: not enough memory",
			       text);
	l->next = listeners;
	listeners = l;
	l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto fail;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ai->ai_addr;
		bool any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);

		setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY,
			   any ? &zero : &one, sizeof(one));
	}
	if (bind_patiently(l->fd, ai) || listen(l->fd, 4096))
		goto fail;
	len = sizeof(bound);
	getsockname(l->fd, (struct sockaddr *)&bound, &len);
	addr_format((struct sockaddr *)&bound, addr);
	log_info("listening on %s", addr);
	return 0;

fail:
	return err_set(err, "cannot listen on %s: %s", text, strerror(errno));
}

/* Every address: one IPv6 socket takes both, where there is IPv6. */
static int bind_any(const char *port, struct err *err)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons((u16)atoi(port)),
		.sin6_addr = in6addr_any,
	};
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = in6.sin6_port,
	};
	struct addrinfo ai = {
		.ai_family = AF_INET6,
		.ai_addr = (struct sockaddr *)&in6,
		.ai_addrlen = sizeof(in6),
	};
	char text[16] = "port ";
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcat(text, port);
	if (fd >= 0) {
		close(fd);
	} else {
		ai.ai_family = AF_INET;
		ai.ai_addr = (struct sockaddr *)&in;
		ai.ai_addrlen = sizeof(in);
	}
	return add_socket(&ai, text, err);
}

static int bind_host(const struct listen_spec *spec, struct err *err)
{
	struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	}, *list, *ai;
	char text[300];
	int ret;

	ret = getaddrinfo(spec->host, spec->port, &hints, &list);
	if (ret)
		return err_set(err, "cannot listen on %s: %s", spec->host,
			       ret == EAI_SYSTEM ? strerror(errno) :
						   gai_strerror(ret));
	snprintf(text, sizeof(text), strchr(spec->host, ':') ? "[%.255s]:%s" :
							      "%.255s:%s",
		 spec->host, spec->port);
	ret = 0;
	for (ai = list; ai && !ret; ai = ai->ai_next)
		if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
			ret = add_socket(ai, text, err);
	freeaddrinfo(list);
	return ret;
}

/**
 * listeners_bind - open all listening sockets
 * @specs: what to listen on
 * @err: what went wrong
 *
 * Return: 0 or -1
 */
int listeners_bind(const struct listen_spec *specs, struct err *err)
{
	for (; specs; specs = specs->next) {
		if (specs->host ? bind_host(specs, err) :
				  bind_any(specs->port, err))
			return -1;
	}
	return 0;
}

/* Accepting */

static void arrived(struct loop *loop, struct msg *msg)
{
	struct arrival *a = (struct arrival *)msg;

	conn_adopt(loop, a->fd, a->who);
	free(a);
}

/**
 * listeners_forget - close an accepted socket
 * @fd: the socket
 *
 * Any thread.
 */
void listeners_forget(int fd)
{
	atomic_fetch_sub(&nr_conns_total, 1);
	close(fd);
}

static void send_to(struct loop *loop, int fd, struct tls_who *who)
{
	struct arrival *a = malloc(sizeof(*a));

	if (!a) {
		tls_who_free(who);
		listeners_forget(fd);
		return;
	}
	a->msg.fn = arrived;
	a->fd = fd;
	a->who = who;
	loop_send(loop, &a->msg);
}

static struct loop *choose_loop(void)
{
	return &loops[atomic_fetch_add(&next_loop, 1) % nr_loops];
}

/**
 * listeners_hand_over - an accepted socket becomes a connection
 * @fd: the socket
 * @who: is at the other end; belongs to the connection
 *
 * Any thread.
 */
void listeners_hand_over(int fd, struct tls_who *who)
{
	send_to(choose_loop(), fd, who);
}

static void deal_out(int fd)
{
	struct loop *loop;

	if (atomic_fetch_add(&nr_conns_total, 1) >= max_conns) {
		log_peer("a connection is refused: %u are open, which is the limit",
			 max_conns);
		listeners_forget(fd);
		return;
	}
	if (tls_on()) {
		tls_handshake(fd);
		return;
	}
	loop = choose_loop();
	if (loop == &loops[0])
		conn_adopt(loop, fd, NULL);
	else
		send_to(loop, fd, NULL);
}

static void accepted(struct op *op, int res, unsigned int flags);

static void arm(struct listener *l)
{
	struct io_uring_sqe *sqe = loop_sqe(&loops[0], &l->op);

	l->op.done = accepted;
	l->armed = true;
	io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
}

/* Short of something that others may give back: try again at the tick. */
static bool exhausted(int res)
{
	return res == -EMFILE || res == -ENFILE || res == -ENOBUFS ||
	       res == -ENOMEM;
}

static void accepted(struct op *op, int res, unsigned int flags)
{
	struct listener *l = (struct listener *)op;

	if (res >= 0 && stopped)
		close(res);
	else if (res >= 0)
		deal_out(res);
	else if (exhausted(res))
		log_peer("cannot accept connections for a while: %s",
			 strerror(-res));
	if (flags & IORING_CQE_F_MORE)
		return;
	l->armed = false;
	if (!stopped && res != -EINVAL && !exhausted(res))
		arm(l);
}

static void start_msg(struct loop *loop, struct msg *msg)
{
	struct listener *l;

	(void)loop;
	for (l = listeners; l; l = l->next)
		arm(l);
	free(msg);
}

static void stop_msg(struct loop *loop, struct msg *msg)
{
	struct listener *l;

	(void)loop;
	stopped = true;
	for (l = listeners; l; l = l->next)
		shutdown(l->fd, SHUT_RDWR);
	free(msg);
}

static void tell(void (*fn)(struct loop *, struct msg *))
{
	struct msg *msg = calloc(1, sizeof(*msg));

	if (!msg)
		return;
	msg->fn = fn;
	loop_send(&loops[0], msg);
}

/** listeners_start - begin to accept; the loops run */
void listeners_start(void)
{
	tell(start_msg);
}

/** listeners_stop - accept nothing more */
void listeners_stop(void)
{
	tell(stop_msg);
}

/**
 * listeners_tick - once a second: accept again what could not be
 * @loop: only the first has work
 */
void listeners_tick(struct loop *loop)
{
	struct listener *l;

	if (loop != &loops[0] || stopped)
		return;
	for (l = listeners; l; l = l->next)
		if (l->op.done && !l->armed)
			arm(l);
}
