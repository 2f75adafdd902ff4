// SPDX-License-Identifier: GPL-2.0
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "audit.h"
#include "client.h"
#include "conn.h"
#include "conn_parts.h"
#include "io.h"
#include "listen.h"
#include "log.h"
#include "tls.h"

#define FIRST_US	10000000	/* for the first frame to be complete */
#define STALL_US	60000000	/* for the rest of a frame to begin */
#define STASH_MUCH	((size_t)16 << 20) /* bytes */
#define HELD_MANY	8		/* of a loop's connections in a turn */
#define REVIEW_MANY	8		/* of a loop's connections at a time */
#define SHORT_US	2000000		/* for one payload, when memory is short */

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* He would not come in now. */
static void cut(struct conn *c, const char *why)
{
	char peer[ADDR_TEXT];

	addr_format((struct sockaddr *)&c->peer, peer);
	log_info("%s: %s is cut: %s", peer, c->who->name, why);
	audit(&(struct audit){
		.event = "cut",
		.peer = peer,
		.identity = c->who->name,
		.why = why,
	});
	c->cut = true;
	conn_close(c);
}

/* What is believed may have changed since somebody came in. */
static void review(struct conn *c)
{
	struct err why = { 0 };

	if (c->who && c->life != CONN_CLOSING && !tls_who_passes(c->who, &why))
		cut(c, why.text);
}

static bool has_expired(const struct conn *c)
{
	struct err why;

	return c->who && c->who->until && c->life != CONN_CLOSING &&
	       time(NULL) > c->who->until && !tls_who_passes(c->who, &why);
}

/* Its client has enough of them. */
static void too_many(const struct conn *c)
{
	char peer[ADDR_TEXT], why[128];

	addr_format((const struct sockaddr *)&c->peer, peer);
	snprintf(why, sizeof(why),
		 "its client has %u connections, which is the limit (client-max-conns)",
		 client_max_conns);
	if (!log_peer("%s: a connection%s%s is refused: %s", peer,
		      c->who ? " of " : "", c->who ? c->who->name : "", why))
		return;
	audit(&(struct audit){
		.event = "refused",
		.peer = peer,
		.identity = conn_who(c),
		.why = why,
	});
}

static struct conn *conn_new(int fd, struct tls_who *who)
{
	struct conn *c = calloc(1, sizeof(*c));
	socklen_t len = sizeof(c->peer);
	u8 key[16];

	if (!c)
		return NULL;
	getpeername(fd, (struct sockaddr *)&c->peer, &len);
	c->who = who;
	if (who)
		memcpy(key, who->owner, sizeof(key));
	else
		addr_network((struct sockaddr *)&c->peer, key);
	c->client = client_join(key);
	if (c->client)
		return c;
	too_many(c);
	free(c);
	return NULL;
}

/**
 * conn_adopt - take over an accepted socket
 * @loop: of this thread
 * @fd: the socket; closed if it cannot be one more connection
 * @who: is at the other end, now the connection's; NULL without TLS
 */
void conn_adopt(struct loop *loop, int fd, struct tls_who *who)
{
	struct conn *c = loop->stopping ? NULL : conn_new(fd, who);

	if (!c) {
		tls_who_free(who);
		listeners_forget(fd);
		return;
	}
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);

	c->loop = loop;
	c->fd = fd;
	c->dialect = &dialect_qnio;
	c->queue_tail = &c->queue;
	c->sending_tail = &c->sending;
	LIST_INSERT_HEAD(&loop->conns, c, all);
	conn_mark_dirty(c);
	review(c);
}

/** conn_who - a connection's identity; NULL without TLS */
const char *conn_who(const struct conn *c)
{
	return c->who ? c->who->name : NULL;
}

/**
 * conn_owner - whose sessions may this connection join?
 * @c: any
 * @owner: alike for connections of one owner
 */
void conn_owner(const struct conn *c, u8 owner[16])
{
	if (c->who)
		memcpy(owner, c->who->owner, sizeof(c->who->owner));
	else
		addr_identity((const struct sockaddr *)&c->peer, owner);
}

/**
 * conn_mark_dirty - look at a connection at the end of this turn
 * @c: has something to send, to receive or to end
 */
void conn_mark_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = c->loop->dirty;
	c->loop->dirty = c;
}

/**
 * conn_complain - log what a peer did
 * @c: its connection
 * @what: in words
 */
void conn_complain(struct conn *c, const char *what)
{
	char peer[ADDR_TEXT];

	addr_format((struct sockaddr *)&c->peer, peer);
	log_peer("%s: %s; connection closed", peer, what);
}

static void stop_waiting(struct conn *c)
{
	if (c->wait == WAIT_MEMORY)
		TAILQ_REMOVE(&c->loop->starved, c, wait_entry);
	if (c->wait == WAIT_CLIENT) {
		TAILQ_REMOVE(&c->loop->held, c, wait_entry);
		atomic_fetch_sub(&c->client->held, 1);
	}
	if (c->wait == WAIT_TURN)
		TAILQ_REMOVE(&c->loop->resume, c, wait_entry);
	c->wait = WAIT_NOT;
}

static void free_list(struct io **head, struct io ***tail)
{
	struct io *io = *head;

	*head = NULL;
	*tail = head;
	while (io) {
		struct io *next = io->next;

		io_free(io);
		io = next;
	}
}

static void drop_pending(struct conn *c)
{
	free_list(&c->queue, &c->queue_tail);
	free_list(&c->sending, &c->sending_tail);
	conn_drop_rx(c);
	c->loop->stashed -= c->stash_len;
	c->stash_len = 0;
	free(c->stash);
	c->stash = NULL;
}

/**
 * conn_read_no_more - close a connection when what it asked is answered
 * @c: any
 */
void conn_read_no_more(struct conn *c)
{
	if (c->life == CONN_OPEN)
		c->life = CONN_LAST;
}

/**
 * conn_close - end a connection now
 * @c: any; a second call does nothing
 *
 * I/O that the backend has begun goes on, its reply is dropped.  @c stays
 * valid until the end of the turn.
 */
void conn_close(struct conn *c)
{
	if (c->life == CONN_CLOSING)
		return;
	c->life = CONN_CLOSING;
	shutdown(c->fd, SHUT_RDWR);
	c->dialect->closing(c);
	stop_waiting(c);
	drop_pending(c);
	conn_mark_dirty(c);
}

static void conn_free(struct conn *c)
{
	c->dialect->freed(c);
	LIST_REMOVE(c, all);
	listeners_forget(c->fd);
	client_leave(c->client);
	tls_who_free(c->who);
	free(c);
}

static void first_in_line(struct conn *c)
{
	TAILQ_REMOVE(&c->loop->starved, c, wait_entry);
	TAILQ_INSERT_HEAD(&c->loop->starved, c, wait_entry);
}

/**
 * conn_io_freed - an I/O of a connection is over
 * @c: may have waited for that
 */
void conn_io_freed(struct conn *c)
{
	if (!c->nr_ios)
		conn_mark_dirty(c);
	/* Who holds nothing may have of what is kept back: ask first. */
	if (c->wait == WAIT_MEMORY && !c->io_bytes)
		first_in_line(c);
	if (c->wait != WAIT_IO)
		return;
	c->wait = WAIT_TURN;
	TAILQ_INSERT_TAIL(&c->loop->resume, c, wait_entry);
}

static void go_on(struct conn *c)
{
	stop_waiting(c);
	if (c->rx_seen)
		atomic_store(c->rx_seen, c->loop->now_us);
	conn_resume(c);
}

/* Not all of them at once: they are to be no burden. */
static void resume_held(struct loop *loop)
{
	struct conn *c, *last = TAILQ_LAST(&loop->held, conn_list);
	unsigned int n = 0;

	while ((c = TAILQ_FIRST(&loop->held)) && n++ < HELD_MANY) {
		go_on(c);	/* perhaps to the end of the list */
		if (c == last)
			break;
	}
}

/**
 * conns_resume - go on with connections that waited for memory or a limit
 * @loop: of this thread
 */
void conns_resume(struct loop *loop)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&loop->starved))) {
		go_on(c);
		if (c->wait == WAIT_MEMORY) {
			first_in_line(c);
			break;
		}
	}
	while ((c = TAILQ_FIRST(&loop->resume))) {
		go_on(c);
	}
	resume_held(loop);
}

static bool must_care(const struct loop *loop)
{
	return loop->stashed > STASH_MUCH || pool_short(&loop->pool, 0);
}

static void flush_one(struct conn *c)
{
	bool listen;

	if (c->life == CONN_LAST && !c->nr_ios && !c->wait) {
		conn_close(c);	/* and is dirty again */
		return;
	}
	if (c->life == CONN_CLOSING) {
		if (!c->recv_armed && !c->send_armed && !c->nr_ios)
			conn_free(c);
		return;
	}
	if (!c->send_armed && (c->sending || c->queue))
		conn_send(c);
	listen = c->life == CONN_OPEN && !c->wait;
	if (listen && !c->recv_armed)
		conn_arm_recv(c);
	else if (!listen && c->recv_armed)
		conn_disarm_recv(c);
}

/*
 * When a connection has to wait, a receive that goes on by itself has brought
 * more than that one buffer.  So nobody has such a receive while much waits,
 * or soon will.
 */
static void take_care(struct loop *loop)
{
	struct conn *c;

	if (loop->careful || !must_care(loop))
		return;
	loop->careful = true;
	LIST_FOREACH(c, &loop->conns, all)
		if (c->recv_armed)
			conn_disarm_recv(c);
}

/**
 * conns_flush - send and arm what this turn has brought
 * @loop: of this thread
 */
void conns_flush(struct loop *loop)
{
	struct conn *c;

	take_care(loop);
	while ((c = loop->dirty)) {
		loop->dirty = c->dirty_next;
		c->dirty = false;
		flush_one(c);
	}
}

static const char *overdue(const struct conn *c, u64 now)
{
	bool partial = c->hdr_have || c->rx_io;

	if (c->life != CONN_OPEN || c->wait || !c->first_us)
		return NULL;
	if (!c->established && (partial || c->dialect == &dialect_vxhs) &&
	    now - c->first_us > FIRST_US)
		return "its first frame did not come in time";
	if (partial && now - c->rx_us > STALL_US)
		return "a frame stopped half-way";
	return NULL;
}

/*
 * Slow peers may keep what they hold until others want the memory, or other
 * connections of their client may.
 */
static const char *hoards(const struct conn *c, u64 now)
{
	bool memory_short = !TAILQ_EMPTY(&c->loop->starved);

	if (c->life == CONN_CLOSING ||
	    (!memory_short && !atomic_load(&c->client->held)))
		return NULL;
	if (c->send_armed && now - c->tx_since_us > SHORT_US)
		return memory_short ?
		       "it does not take its replies and memory is short" :
		       "it does not take its replies and its client is at its limit";
	if (c->rx_io && c->rx_io->buf && !c->wait &&
	    now - c->rx_since_us > SHORT_US)
		return memory_short ?
		       "its payload does not come and memory is short" :
		       "its payload does not come and its client is at its limit";
	return NULL;
}

/**
 * conns_tick - once a second: close those that hold up a frame or others, and
 * let go of vdisks that are gone
 * @loop: of this thread
 */
void conns_tick(struct loop *loop)
{
	struct conn *c;

	loop->careful = must_care(loop);
	LIST_FOREACH(c, &loop->conns, all) {
		const char *why = overdue(c, loop->now_us);

		if (has_expired(c)) {
			cut(c, "its certificate has expired");
			continue;
		}
		if (!why)
			why = hoards(c, loop->now_us);
		if (why) {
			conn_complain(c, why);
			conn_close(c);
		} else if (c->life != CONN_CLOSING) {
			c->dialect->tick(c);
		}
	}
}

/* A certificate takes a while: only so many before others have their turn. */
static void review_some(struct loop *loop, struct msg *msg)
{
	unsigned int now = tls_generation(), n = 0;
	struct conn *c;

	LIST_FOREACH(c, &loop->conns, all) {
		if (!c->who || c->who->checked == now ||
		    c->life == CONN_CLOSING)
			continue;
		if (n++ == REVIEW_MANY) {
			loop_send(loop, msg);
			return;
		}
		review(c);
	}
	free(msg);
}

/**
 * conns_review - what is believed has changed: cut who would not come in now
 *
 * Any thread.
 */
void conns_review(void)
{
	unsigned int i;

	for (i = 0; i < nr_loops; i++) {
		struct msg *msg = calloc(1, sizeof(*msg));

		if (!msg) {
			log_error("not enough memory to look at the connections again; reload once more");
			return;
		}
		msg->fn = review_some;
		loop_send(&loops[i], msg);
	}
}

/**
 * conns_drain - the server ends: answer what was asked, then close
 * @loop: of this thread
 */
void conns_drain(struct loop *loop)
{
	struct conn *c;

	loop->stopping = true;
	LIST_FOREACH(c, &loop->conns, all) {
		if (c->life == CONN_CLOSING)
			continue;
		stop_waiting(c);
		conn_eof(c);
		conn_mark_dirty(c);
	}
}

/** conns_free_caches - the loop has ended; free what waited for reuse */
void conns_free_caches(struct loop *loop)
{
	while (loop->free_ios) {
		struct io *io = loop->free_ios;

		loop->free_ios = io->next;
		free(io);
	}
}
