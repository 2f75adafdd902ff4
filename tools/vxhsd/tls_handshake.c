// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes, all on one thread that no loop waits for.  A socket comes from
 * the loop that accepted it and goes, with its peer's identity and the keys in
 * the kernel, to the loop that will have it; or it is closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../lib/ktls.h"
#include "../lib/proof.h"
#include "audit.h"
#include "listen.h"
#include "log.h"
#include "tls.h"

#define TIME_US		10000000	/* from ACCEPT to the end */
#define MAX_SHAKES	1024
#define MAX_OF_ADDRESS	64
#define INTERVAL_US	20000		/* between two of an address, */
#define BURST_US	(200 * INTERVAL_US) /* in the long run */
#define NR_PACES	4096
#define NR_EVENTS	32
#define NICE		19

/**
 * struct shake - a handshake under way
 * @entry: oldest first; also of the inbox
 * @from: its address, as far as it counts
 * @why: filled in by what is called back
 * @begun: sits in the epoll set
 */
struct shake {
	TAILQ_ENTRY(shake) entry;
	int fd;
	u64 until_us;
	u8 from[16];
	char peer[ADDR_TEXT];
	struct tls_creds *creds;
	gnutls_session_t session;
	struct err why;
	bool begun;
};

TAILQ_HEAD(shakes, shake);

static struct {
	pthread_t thread;
	bool on;		/* constant while loops run, as is kind */
	enum tls_kind kind;
	int epoll;
	int wake;

	pthread_mutex_t lock;	/* protects next 2 fields */
	struct shakes inbox;
	bool quit;

	/* The thread's. */
	struct shakes all;
	unsigned int count;
	u64 seed;
	u64 paces[NR_PACES];	/* by address: when it has used up its burst */
} tls = { .lock = PTHREAD_MUTEX_INITIALIZER };

/** tls_on - does everybody have to prove who he is? */
bool tls_on(void)
{
	return tls.on;
}

/* Ends */

static void shake_free(struct shake *s)
{
	if (s->session)
		gnutls_deinit(s->session);
	if (s->creds)
		tls_creds_put(s->creds);
	free(s);
}

static void leave(struct shake *s)
{
	TAILQ_REMOVE(&tls.all, s, entry);
	tls.count--;
	s->begun = false;
	epoll_ctl(tls.epoll, EPOLL_CTL_DEL, s->fd, NULL);
}

static void refuse(struct shake *s, const char *why)
{
	struct audit a = { .event = "refused", .peer = s->peer, .why = why };

	if (log_peer("%s: TLS is refused: %s", s->peer, why))
		audit(&a);
	if (s->begun)
		leave(s);
	listeners_forget(s->fd);
	shake_free(s);
}

static void hand_over(struct shake *s)
{
	struct tls_who *who;
	int ret;

	leave(s);
	who = tls_who_of(s->session, s->creds, &s->why);
	if (!who) {
		refuse(s, s->why.text);
		return;
	}
	/* GnuTLS has read no record beyond the handshake's last. */
	ret = gnutls_record_check_pending(s->session) ? -EPROTO :
	      ktls_install(s->session, s->fd);
	if (ret) {
		err_set(&s->why, "the kernel does not take its records: %s",
			strerror(-ret));
		tls_who_free(who);
		refuse(s, s->why.text);
		return;
	}
	log_peer("%s: it is %s, %s", s->peer, who->name,
		 gnutls_cipher_get_name(gnutls_cipher_get(s->session)));
	listeners_hand_over(s->fd, who);
	shake_free(s);
}

/* Progress */

static void explain(struct shake *s, int ret)
{
	/* It was found out by ourselves, or in a callback. */
	if (*s->why.text)
		return;
	switch (ret) {
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET:
		err_set(&s->why, "it does not speak TLS 1.3 (%s)",
			gnutls_strerror(ret));
		break;
	case GNUTLS_E_NO_CIPHER_SUITES:
	case GNUTLS_E_UNKNOWN_CIPHER_SUITE:
		err_set(&s->why,
			"it offers no TLS 1.3 with a cipher and a signature that we have (%s)",
			gnutls_strerror(ret));
		break;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		err_set(&s->why, "it refuses us: %s",
			gnutls_alert_get_name(gnutls_alert_get(s->session)));
		break;
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		err_set(&s->why, "it has no certificate");
		break;
	case PROOF_TOO_COSTLY:
		err_set(&s->why,
			"the key of its certificate is not one of a curve, nor one of RSA with at most %d bits and a public exponent of at most %d",
			PROOF_RSA_BITS, PROOF_EXPONENT_BITS);
		break;
	case GNUTLS_E_DECRYPTION_FAILED:
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
		if (tls.kind == TLS_PSK) {
			err_set(&s->why,
				"its key is wrong, or it is unknown (%s)",
				gnutls_strerror(ret));
			break;
		}
		/* fall through */
	default:
		err_set(&s->why, "%s", gnutls_strerror(ret));
	}
}

static void wait_for_more(struct shake *s)
{
	struct epoll_event event = {
		.events = gnutls_record_get_direction(s->session) ?
			  EPOLLOUT : EPOLLIN,
		.data.ptr = s,
	};

	epoll_ctl(tls.epoll, EPOLL_CTL_MOD, s->fd, &event);
}

static void go_on(struct shake *s)
{
	int ret;

	do {
		ret = gnutls_handshake(s->session);
	} while (ret < 0 && ret != GNUTLS_E_AGAIN &&
		 !gnutls_error_is_fatal(ret));
	if (ret == GNUTLS_E_AGAIN) {
		wait_for_more(s);
	} else if (ret < 0) {
		gnutls_alert_send_appropriate(s->session, ret);
		explain(s, ret);
		refuse(s, s->why.text);
	} else {
		hand_over(s);
	}
}

/*
 * The socket stays a blocking one, as the ring wants it: only we do not wait.
 */
static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	struct shake *s = ptr;
	ssize_t n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		gnutls_transport_set_errno(s->session, errno);
	return n;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct shake *s = ptr;
	ssize_t n = recv(s->fd, data, len, MSG_DONTWAIT);

	if (n < 0)
		gnutls_transport_set_errno(s->session, errno);
	return n;
}

/* Begins */

/* May an address begin another?  Some addresses share a place, by chance. */
static bool in_pace(const struct shake *s, u64 now)
{
	u64 *pace = &tls.paces[hash64(tls.seed, s->from, sizeof(s->from)) %
			       NR_PACES];

	if (*pace > now + BURST_US)
		return false;
	*pace = (*pace > now ? *pace : now) + INTERVAL_US;
	return true;
}

static unsigned int of_address(const struct shake *s)
{
	const struct shake *other;
	unsigned int n = 0;

	TAILQ_FOREACH(other, &tls.all, entry)
		n += !memcmp(other->from, s->from, sizeof(s->from));
	return n;
}

static bool set_up(struct shake *s)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };

	s->creds = tls_creds_get();
	s->session = tls_session(s->creds, &s->why);
	if (!s->session)
		return false;
	gnutls_transport_set_ptr(s->session, s);
	gnutls_transport_set_push_function(s->session, push);
	gnutls_transport_set_pull_function(s->session, pull);
	return !epoll_ctl(tls.epoll, EPOLL_CTL_ADD, s->fd, &event);
}

static void begin(struct shake *s)
{
	if (!in_pace(s, now_us())) {
		refuse(s, "too many handshakes of its address in a short time");
		return;
	}
	if (of_address(s) >= MAX_OF_ADDRESS) {
		refuse(s, "too many handshakes of its address at a time");
		return;
	}
	if (tls.count >= MAX_SHAKES)
		refuse(TAILQ_FIRST(&tls.all),
		       "others want to come in, and it is the slowest");
	if (!set_up(s)) {
		refuse(s, "not enough memory");
		return;
	}
	TAILQ_INSERT_TAIL(&tls.all, s, entry);
	tls.count++;
	s->begun = true;
}

static void get_address(struct shake *s)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);

	getpeername(s->fd, (struct sockaddr *)&peer, &len);
	addr_format((struct sockaddr *)&peer, s->peer);
	addr_network((struct sockaddr *)&peer, s->from);
}

/* Under the lock: the last wakes before the thread's files are closed. */
static void wake(void)
{
	u64 one = 1;
	ssize_t done = write(tls.wake, &one, sizeof(one));

	(void)done;	/* a counter that is full wakes as well */
}

/**
 * tls_handshake - find out who is at the other end
 * @fd: an accepted socket; goes to listeners_hand_over() or
 *	listeners_forget()
 *
 * Any thread.
 */
void tls_handshake(int fd)
{
	struct shake *s = calloc(1, sizeof(*s));
	bool late;

	if (!s) {
		listeners_forget(fd);
		return;
	}
	s->fd = fd;
	s->until_us = now_us() + TIME_US;
	get_address(s);
	pthread_mutex_lock(&tls.lock);
	late = tls.quit;
	if (!late) {
		TAILQ_INSERT_TAIL(&tls.inbox, s, entry);
		wake();
	}
	pthread_mutex_unlock(&tls.lock);
	if (late)
		refuse(s, "the server ends");
}

/* The thread */

/* Returns whether to go on. */
static bool take_inbox(void)
{
	struct shakes fresh = TAILQ_HEAD_INITIALIZER(fresh);
	struct shake *s;
	bool quit;

	pthread_mutex_lock(&tls.lock);
	TAILQ_CONCAT(&fresh, &tls.inbox, entry);
	quit = tls.quit;
	pthread_mutex_unlock(&tls.lock);
	while ((s = TAILQ_FIRST(&fresh))) {
		TAILQ_REMOVE(&fresh, s, entry);
		if (quit)
			refuse(s, "the server ends");
		else
			begin(s);
	}
	return !quit;
}

/* Returns the milliseconds until the next is late, -1 if there is none. */
static int end_late(void)
{
	u64 now = now_us();
	struct shake *s;

	while ((s = TAILQ_FIRST(&tls.all)) && s->until_us <= now)
		refuse(s, "its handshake took too long");
	return s ? (int)((s->until_us - now) / 1000 + 1) : -1;
}

static void *run(void *arg)
{
	struct epoll_event events[NR_EVENTS];
	u64 count;
	int n, i;

	(void)arg;
	/* Who is served already goes first where there is one CPU for both. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while (take_inbox()) {
		n = epoll_wait(tls.epoll, events, NR_EVENTS, end_late());
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr)
				go_on(events[i].data.ptr);
			else if (read(tls.wake, &count, sizeof(count)) < 0)
				continue;
		}
	}
	while (!TAILQ_EMPTY(&tls.all))
		refuse(TAILQ_FIRST(&tls.all), "the server ends");
	return NULL;
}

/**
 * tls_start - read the credentials and start the thread, if TLS is wanted
 * @spec: what is wanted
 * @err: what went wrong
 *
 * Return: 0 or -1
 */
int tls_start(const struct tls_spec *spec, struct err *err)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct tls_creds *creds;
	int ret;

	if (spec->kind == TLS_OFF)
		return 0;
	if (!ktls_offered())
		return err_set(err,
			       "TLS is wanted and this kernel does not offer it to sockets: load its module (modprobe tls)");
	creds = tls_creds_load(spec, err);
	if (!creds)
		return -1;
	tls_creds_use(creds);
	TAILQ_INIT(&tls.inbox);
	TAILQ_INIT(&tls.all);
	if (getrandom(&tls.seed, sizeof(tls.seed), GRND_NONBLOCK) < 0)
		tls.seed = now_us();
	tls.epoll = epoll_create1(EPOLL_CLOEXEC);
	tls.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (tls.epoll < 0 || tls.wake < 0 ||
	    epoll_ctl(tls.epoll, EPOLL_CTL_ADD, tls.wake, &event))
		return err_set(err, "cannot set up TLS: %s", strerror(errno));
	ret = pthread_create(&tls.thread, NULL, run, NULL);
	if (ret)
		return err_set(err, "cannot start the thread for TLS: %s",
			       strerror(ret));
	tls.on = true;
	tls.kind = spec->kind;
	return 0;
}

/**
 * tls_reload - read the credentials again
 * @spec: where they are now
 * @out: for tls_creds_use() or tls_creds_put(); NULL without TLS
 * @err: why the old ones stay
 *
 * Return: 0 or -1
 */
int tls_reload(const struct tls_spec *spec, struct tls_creds **out,
	       struct err *err)
{
	*out = NULL;
	if (spec->kind != tls.kind)
		return err_set(err,
			       "tls cannot become another while the server runs: restart it");
	if (!tls.on)
		return 0;
	*out = tls_creds_load(spec, err);
	return *out ? 0 : -1;
}

/** tls_stop - no handshake ends any more; nothing more is accepted */
void tls_stop(void)
{
	if (!tls.on)
		return;
	pthread_mutex_lock(&tls.lock);
	tls.quit = true;
	wake();
	pthread_mutex_unlock(&tls.lock);
	pthread_join(tls.thread, NULL);
	close(tls.epoll);
	close(tls.wake);
}
