// SPDX-License-Identifier: GPL-2.0
/* vxhsd, the storage server: start, signals, end. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../lib/ktls.h"
#include "audit.h"
#include "client.h"
#include "config.h"
#include "conn.h"
#include "export.h"
#include "identity.h"
#include "listen.h"
#include "log.h"
#include "loop.h"
#include "privilege.h"
#include "session.h"
#include "store.h"
#include "tls.h"

#define VERSION		"0.1.0"
#define LEAVE_US	5000000
#define DRAIN_US	5000000
#define SYNC_S		5
#define RESERVED_FILES	256	/* not for connections */

static const char help[] =
"Usage: vxhsd [OPTION]...\n"
"Serve vdisks to vxhs and QNIO v34 clients over TCP.\n"
"\n"
"  --export NAME=TARGET[,OPTION]...  serve TARGET as vdisk NAME; TARGET is a\n"
"                         file, a block device or the word \"memory\"; options:\n"
"                           size=10G          create a file (sparse) or memory\n"
"                           ro                refuse writes\n"
"                           cache=writeback|none   through or around the page\n"
"                                             cache\n"
"                           id=UUID           the vdisk's identity\n"
"                           block=512         logical block size, to 4096\n"
"                           shared=DIR        with a second server, see vxhsd(8)\n"
"  --listen ADDR[:PORT]   default: every address, port 9999; may be repeated\n"
"  --config FILE          read exports and settings; SIGHUP reads them again\n"
"  --threads N            default: one per CPU\n"
"  --state-dir DIR        default: " DEFAULT_STATE_DIR "\n"
"  --user NAME            become this user before anything is opened\n"
"  --help, --version\n"
"\n"
"See vxhsd(8).\n";

static int fail(const struct err *err)
{
	fprintf(stderr, "vxhsd: %s\n", err->text);
	return err->usage ? 2 : 1;
}

static int load_config(struct config *config, int argc, char **argv,
		       struct err *err)
{
	if (config_parse_args(config, argc, argv, err))
		return -1;
	if (config->action != CONFIG_RUN)
		return 0;
	if (config_read_file(config, err))
		return -1;
	return config_finish(config, err);
}

/* All the open files that the system lets us have; most for connections. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		limit.rlim_cur = 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			limit.rlim_cur = before;
	}
	if (limit.rlim_cur > 1000000)
		limit.rlim_cur = 1000000;
	max_conns = limit.rlim_cur > 2 * RESERVED_FILES ?
		    (unsigned int)limit.rlim_cur - RESERVED_FILES :
		    (unsigned int)limit.rlim_cur / 2;
}

/* Without other limits nobody can have more than half of anything, see io.c. */
static void limit_clients(const struct config *config)
{
	unsigned int conns = max_conns / 2;

	if (conns > CLIENT_CONNS)
		conns = CLIENT_CONNS;
	clients_init(config->client_conns ? config->client_conns : conns,
		     config->client_bytes ? config->client_bytes :
					    loop_memory() / 4);
}

/*
 * For a service manager that asked for it: sd_notify(3), READY=1.  Its socket
 * is made while that is allowed; -1 for none.
 */
static int notify_connect(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len;
	int fd;

	if (!path || (*path != '/' && *path != '@') ||
	    strlen(path) >= sizeof(sun.sun_path))
		return -1;
	memcpy(sun.sun_path, path, strlen(path));
	if (*path == '@')
		sun.sun_path[0] = '\0';
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			  strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&sun, len))
		return fd;
	log_warn("cannot tell %s that we are ready: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static void notify_ready(int fd)
{
	if (fd < 0)
		return;
	if (send(fd, "READY=1", 7, MSG_NOSIGNAL) < 0)
		log_warn("cannot tell the service manager that we are ready: %s",
			 strerror(errno));
	close(fd);
}

static void reload(int argc, char **argv)
{
	struct tls_creds *creds = NULL;
	struct config config;
	struct err err = { 0 };

	if (load_config(&config, argc, argv, &err) ||
	    tls_reload(&config.tls, &creds, &err) ||
	    exports_reload(&config, &err)) {
		log_error("nothing is changed: %s", err.text);
		if (creds)
			tls_creds_put(creds);
	} else {
		log_info("exports are those of the configuration");
		if (audit_reopen(config.audit, &err))
			log_error("%s; the old one stays", err.text);
		if (creds) {
			tls_creds_use(creds);
			conns_review();
		}
	}
	config_free(&config);
}

/* Until told to end.  The main thread also watches over the sessions. */
static void serve(const sigset_t *signals, int argc, char **argv)
{
	for (;;) {
		unsigned int ms = sessions_sweep(now_us());
		struct timespec wait = {
			.tv_sec = ms / 1000,
			.tv_nsec = ms % 1000 * 1000000L,
		};
		int sig = sigtimedwait(signals, NULL, &wait);

		exports_sweep();
		if (sig == SIGHUP) {
			reload(argc, argv);
		} else if (sig > 0) {
			log_info("%s, ending", strsignal(sig));
			return;
		}
	}
}

static void too_late(int sig)
{
	static const char text[] =
		"vxhsd: error: a disk does not answer; ending without it\n";
	ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)sig;
	(void)done;
	_exit(1);
}

/*
 * What they have asked is served meanwhile.  A second signal says that there
 * is no time for that.
 */
static void let_clients_leave(const sigset_t *signals)
{
	u64 wait = sessions_go_away(), until;
	struct timespec pause = { .tv_nsec = 10000000 };
	int sig;

	until = now_us() + (wait < LEAVE_US ? wait : LEAVE_US);
	while (sessions_stay() && now_us() < until) {
		sessions_sweep(now_us());
		sig = sigtimedwait(signals, NULL, &pause);
		if (sig == SIGTERM || sig == SIGINT)
			return;
	}
}

/* Returns the exit status. */
static int end(const sigset_t *signals)
{
	bool ok;

	leases_keep();
	let_clients_leave(signals);
	listeners_stop();
	tls_stop();
	loops_drain(now_us() + DRAIN_US);

	/* A disk that hangs must not keep us. */
	signal(SIGALRM, too_late);
	alarm(SYNC_S);
	if (atomic_load(&nr_conns_total)) {
		log_error("%u connections still have I/O under way",
			  atomic_load(&nr_conns_total));
		_exit(exports_sync() ? 0 : 1);
	}
	loops_stop();
	/* Until then connections are looked at after a SIGHUP. */
	tls_creds_use(NULL);
	sessions_close();
	audit_stop();
	ok = exports_sync();
	stores_stop();
	exports_close();
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct config config;
	struct err err = { 0 };
	sigset_t signals;
	int ret = 0, notify;

	if (load_config(&config, argc, argv, &err)) {
		ret = fail(&err);
		goto out;
	}
	if (config.action == CONFIG_HELP) {
		fputs(help, stdout);
		goto out;
	}
	if (config.action == CONFIG_VERSION) {
		puts("vxhsd " VERSION);
		goto out;
	}

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	raise_limits();

	/* As long as we may: it makes the kernel load its module. */
	if (config.tls.kind != TLS_OFF)
		ktls_offered();
	if (privilege_drop(config.user, config.state_dir, &err)) {
		ret = fail(&err);
		goto out;
	}
	identity_init(config.state_dir);
	if (exports_reload(&config, &err) ||
	    audit_start(config.audit, &err) ||
	    tls_start(&config.tls, &err) ||
	    listeners_bind(config.listens, &err) ||
	    loops_start(config.threads, &err)) {
		ret = fail(&err);
		goto out;
	}
	limit_clients(&config);
	notify = notify_connect();
	if (privilege_filter(&err)) {
		ret = fail(&err);
		goto out;
	}
	listeners_start();
	log_info("ready");
	notify_ready(notify);
	serve(&signals, argc, argv);
	ret = end(&signals);
out:
	config_free(&config);
	return ret;
}
