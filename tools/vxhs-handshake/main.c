// SPDX-License-Identifier: GPL-2.0
/*
 * vxhs-handshake - shakes hands for the kernel's own connections.  One thread,
 * one poll(): a server that is slow holds up nobody else.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "identity.h"
#include "../lib/ktls.h"
#include "log.h"
#include "memory.h"
#include "netlink.h"
#include "privilege.h"
#include "session.h"

#define CONFIG_PATH	"/etc/vxhs/handshake.conf"
#define SESSIONS	256	/* at a time; who comes later waits in the kernel */
#define RETRY_US	200000	/* after an error of the kernel's */
#define VERSION		"0.1.0"

/* What poll() looks at: these, then the sessions. */
enum {
	POLL_NEWS,
	POLL_SIGNALS,
	POLL_SESSIONS,
};

/**
 * struct agent - all there is
 * @path: of the configuration
 * @lock: stay in memory
 * @signals: a signalfd
 * @identities: who we can be, for handshakes that begin now
 * @nl: the kernel
 * @more: there may be requests that were not taken yet
 * @retry_us: not to be tried before, by now_us()
 * @count: how many of them are in use
 * @session: those that wait; the others have no fd
 */
struct agent {
	const char *path;
	bool lock;
	int signals;
	struct identity *identities;
	struct netlink nl;
	bool more;
	u64 retry_us;
	unsigned int count;
	struct session session[SESSIONS];
};

static void tell_manager(const char *what)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, what, strlen(what), MSG_DONTWAIT | MSG_NOSIGNAL,
	       (struct sockaddr *)&addr,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

/* The session's end is known: tell it, and forget it. */
static void conclude(struct agent *agent, struct session *s,
		     enum progress progress)
{
	int status = progress == PROGRESS_DONE ? 0 : s->status;
	int ret = netlink_done(&agent->nl, s->fd, status, s->remote_auth);

	/* EBUSY: the kernel has given up before. */
	if (ret && ret != -EBUSY)
		log_line("%s: cannot tell the kernel how the handshake ended: %s",
			 s->where, strerror(-ret));
	session_end(s);
}

/* GnuTLS knows a session by its address, so it stays where it began. */
static struct session *free_session(struct agent *agent)
{
	struct session *s = agent->session;

	while (s->fd >= 0)
		s++;
	return s;
}

static void accept_requests(struct agent *agent, u64 now)
{
	while (agent->more && agent->count < SESSIONS) {
		struct session *s = free_session(agent);
		enum progress progress;
		struct request request;
		int ret;

		ret = netlink_accept(&agent->nl, &request);
		if (ret == -EAGAIN) {
			agent->more = false;
			break;
		}
		if (ret) {
			log_line("error: cannot take a request of the kernel's: %s",
				 strerror(-ret));
			agent->retry_us = now + RETRY_US;
			break;
		}
		progress = session_start(s, &request, agent->identities, now);
		if (progress == PROGRESS_WAIT)
			agent->count++;
		else
			conclude(agent, s, progress);
	}
}

static void serve_sessions(struct agent *agent, const struct pollfd *fds,
			   u64 now)
{
	unsigned int i;

	for (i = 0; i < SESSIONS; i++) {
		struct session *s = &agent->session[i];
		enum progress progress = PROGRESS_WAIT;

		if (s->fd < 0)
			continue;
		if (fds[i].revents)
			progress = session_go_on(s);
		if (progress == PROGRESS_WAIT && now >= s->deadline_us)
			progress = session_too_late(s);
		if (progress != PROGRESS_WAIT) {
			conclude(agent, s, progress);
			agent->count--;
		}
	}
}

static int wait_ms(const struct agent *agent, u64 now)
{
	u64 until = 0;
	unsigned int i;

	if (agent->more && agent->count < SESSIONS)
		until = agent->retry_us;
	for (i = 0; i < SESSIONS; i++)
		if (agent->session[i].fd >= 0)
			until = sooner(until, agent->session[i].deadline_us);
	if (!until)
		return -1;
	return until <= now ? 0 : (int)((until - now + 999) / 1000);
}

/* Returns whether it is to go on. */
static bool take_signal(struct agent *agent)
{
	struct signalfd_siginfo info;

	if (read(agent->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo != SIGHUP)
		return false;
	tell_manager("RELOADING=1");
	identity_reload(&agent->identities, agent->path);
	tell_manager("READY=1");
	return true;
}

static void run(struct agent *agent)
{
	static struct pollfd fds[POLL_SESSIONS + SESSIONS];
	unsigned int i;
	u64 now;

	agent->more = true;
	for (;;) {
		now = now_us();
		if (now >= agent->retry_us)
			accept_requests(agent, now);
		fds[POLL_NEWS].fd = netlink_news_fd(&agent->nl);
		fds[POLL_NEWS].events = POLLIN;
		fds[POLL_SIGNALS].fd = agent->signals;
		fds[POLL_SIGNALS].events = POLLIN;
		for (i = 0; i < SESSIONS; i++) {
			struct pollfd *fd = &fds[POLL_SESSIONS + i];
			const struct session *s = &agent->session[i];

			/* poll() leaves those without out. */
			fd->fd = s->fd;
			fd->events = s->fd < 0 ? 0 : session_events(s);
			fd->revents = 0;
		}
		if (poll(fds, POLL_SESSIONS + SESSIONS,
			 wait_ms(agent, now)) < 0)
			continue;
		if (fds[POLL_SIGNALS].revents && !take_signal(agent))
			return;
		if (fds[POLL_NEWS].revents) {
			netlink_drain_news(&agent->nl);
			agent->more = true;
		}
		serve_sessions(agent, fds + POLL_SESSIONS, now_us());
	}
}

static int open_signals(struct err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		err_set(err, "cannot watch signals: %s", strerror(errno));
	return fd;
}

static int start(struct agent *agent, struct err *err)
{
	unsigned int i;

	for (i = 0; i < SESSIONS; i++)
		agent->session[i].fd = -1;
	memory_seal();
	agent->signals = open_signals(err);
	if (agent->signals < 0)
		return -1;
	if (gnutls_global_init())
		return err_set(err, "GnuTLS does not work here");
	if (!ktls_offered())
		return err_set(err, "this kernel cannot do TLS; load its module \"tls\" (CONFIG_TLS)");
	/* Before the keys come. */
	if (agent->lock && memory_lock(err))
		return -1;
	if (privilege_drop(err))
		return -1;
	if (identity_load(&agent->identities, agent->path, EXPIRED_WARN, err) ||
	    netlink_open(&agent->nl, err))
		return -1;
	return netlink_join(&agent->nl, err);
}

/* Who is interrupted is told so: the kernel need not find out by time-out. */
static void stop(struct agent *agent)
{
	unsigned int i;

	for (i = 0; i < SESSIONS; i++) {
		struct session *s = &agent->session[i];

		if (s->fd < 0)
			continue;
		s->status = EAGAIN;
		conclude(agent, s, PROGRESS_FAILED);
	}
	netlink_close(&agent->nl);
	identity_free_all(agent->identities);
	if (agent->signals >= 0)
		close(agent->signals);
	gnutls_global_deinit();
}

static void print_help(void)
{
	puts("Usage: vxhs-handshake [--config FILE] [--no-lock]\n"
	     "Does the TLS handshakes of vxhs's connections. It stays in the foreground.\n"
	     "\n"
	     "  --config FILE  read FILE, not " CONFIG_PATH "\n"
	     "  --check        read the configuration and all keys, and end\n"
	     "  --no-lock      do not stay in memory: no disk holds the system\n"
	     "  --help         print this\n"
	     "  --version      print the version");
}

static int check(struct agent *agent)
{
	struct err err;

	memory_seal();
	if (!identity_load(&agent->identities, agent->path, EXPIRED_REFUSE,
			   &err)) {
		identity_free_all(agent->identities);
		return EXIT_SUCCESS;
	}
	log_line("error: %s", err.text);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	enum { CONFIG = 1, CHECK, NO_LOCK, HELP, VERSION_ };
	static const struct option options[] = {
		{ "config", required_argument, NULL, CONFIG },
		{ "check", no_argument, NULL, CHECK },
		{ "no-lock", no_argument, NULL, NO_LOCK },
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, VERSION_ },
		{ }
	};
	static struct agent agent = {
		.path = CONFIG_PATH, .lock = true, .signals = -1,
	};
	bool only_check = false;
	struct err err;
	int opt, status = EXIT_SUCCESS;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case CONFIG:
			agent.path = optarg;
			break;
		case CHECK:
			only_check = true;
			break;
		case NO_LOCK:
			agent.lock = false;
			break;
		case HELP:
			print_help();
			return EXIT_SUCCESS;
		case VERSION_:
			puts("vxhs-handshake " VERSION);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
	}
	if (optind != argc) {
		log_line("error: \"%s\" is no option; see vxhs-handshake --help",
			 argv[optind]);
		return 2;
	}
	if (only_check)
		return check(&agent);
	if (start(&agent, &err)) {
		log_line("error: %s", err.text);
		status = EXIT_FAILURE;
	} else {
		log_line("ready");
		tell_manager("READY=1");
		run(&agent);
	}
	stop(&agent);
	return status;
}
