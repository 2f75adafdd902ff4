// SPDX-License-Identifier: GPL-2.0
/*
 * Events to a file, as JSON lines, and to the journal, as fields.  A thread of
 * their own writes them: a disk that hangs holds up nobody who is served.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "log.h"

#define JOURNAL		"/run/systemd/journal/socket"
#define MESSAGE_ID	"6f1c6d0a2e5b4b0f9d0f3f6f1b7a9c41"
#define MAX_WAITING	10000
#define COMPLAIN_US	60000000
#define LOST_US		1000000
#define INTERVAL_US	20000		/* between two alike, in the long run */
#define BURST_US	(2000 * INTERVAL_US)
#define NR_PACES	4096

struct line {
	STAILQ_ENTRY(line) entry;
	char *json;
	char *fields;
};

static struct {
	pthread_t thread;
	bool on;		/* constant while others run */
	u64 seed;		/* the same */
	int journal;		/* the thread's */
	u64 complained_us;	/* the thread's */

	pthread_mutex_t lock;	/* protects what follows */
	pthread_cond_t more;
	STAILQ_HEAD(, line) lines;
	unsigned int waiting;
	unsigned int lost;
	u64 told_us;		/* when it was last said how many are lost */
	u64 paces[NR_PACES];	/* when what is alike has used up its burst */
	int file;		/* -1: none */
	bool quit;
} log_to = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.lines = STAILQ_HEAD_INITIALIZER(log_to.lines),
	.file = -1,
	.journal = -1,
};

/* Encoding */

/* Bytes of the character of UTF-8 that begins here; 0 if none does. */
static unsigned int utf8_len(const unsigned char *p)
{
	static const u32 first[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int len, i;
	u32 code;

	if (*p < 0x80)
		return 1;
	len = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	if (*p < 0xc0 || *p > 0xf7)
		return 0;
	code = *p & (0x7f >> len);
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	return code >= first[len] && code <= 0x10ffff &&
	       (code < 0xd800 || code > 0xdfff) ? len : 0;
}

static bool is_plain(const unsigned char *p, unsigned int len)
{
	if (len == 2)	/* U+0080 to U+009f are control characters, too */
		return *p != 0xc2 || p[1] > 0x9f;
	return len > 2 || (len == 1 && *p >= 0x20 && *p <= 0x7e &&
			   *p != '"' && *p != '\\');
}

/* Peers choose names: nothing of theirs may mean anything. */
static void put_escaped(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned int len;

	for (; *p; p += len ? len : 1) {
		len = utf8_len(p);
		if (is_plain(p, len))
			fwrite(p, 1, len, out);
		else
			fprintf(out, "\\u%04x", len == 2 ? p[1] : *p);
	}
}

static void put_json(FILE *out, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(out, ", \"%s\": \"", key);
	put_escaped(out, value);
	fputc('"', out);
}

static void put_field(FILE *out, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(out, "%s=", key);
	put_escaped(out, value);
	fputc('\n', out);
}

static void put_time(FILE *out)
{
	struct timespec ts;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(out, "{\"time\": \"%s.%06ldZ\"", text, ts.tv_nsec / 1000);
}

static const char *session_text(const struct audit *a, char text[17])
{
	if (!a->session)
		return NULL;
	snprintf(text, 17, "%016llx", (unsigned long long)a->session);
	return text;
}

static bool encode_json(struct line *line, const struct audit *a)
{
	char session[17];
	size_t size;
	FILE *out = open_memstream(&line->json, &size);

	if (!out)
		return false;
	put_time(out);
	put_json(out, "event", a->event);
	put_json(out, "identity", a->identity);
	put_json(out, "peer", a->peer);
	put_json(out, "session", session_text(a, session));
	put_json(out, "vdisk", a->vdisk);
	put_json(out, "why", a->why);
	fputs("}\n", out);
	return !fclose(out);
}

static bool encode_fields(struct line *line, const struct audit *a)
{
	char session[17];
	size_t size;
	FILE *out = open_memstream(&line->fields, &size);

	if (!out)
		return false;
	fprintf(out, "MESSAGE=vxhsd audit: %s", a->event);
	if (a->identity) {
		fputs(" by ", out);
		put_escaped(out, a->identity);
	}
	fputs("\nMESSAGE_ID=" MESSAGE_ID "\nPRIORITY=5\n"
	      "SYSLOG_IDENTIFIER=vxhsd\n", out);
	put_field(out, "VXHS_EVENT", a->event);
	put_field(out, "VXHS_IDENTITY", a->identity);
	put_field(out, "VXHS_PEER", a->peer);
	put_field(out, "VXHS_SESSION", session_text(a, session));
	put_field(out, "VXHS_VDISK", a->vdisk);
	put_field(out, "VXHS_WHY", a->why);
	return !fclose(out);
}

static void line_free(struct line *line)
{
	free(line->json);
	free(line->fields);
	free(line);
}

/*
 * What is alike: of the same identity, else address, the same event, and the
 * same vdisk.  Of what is denied the vdisk's name is the peer's invention.
 */
static u64 kind_of(const struct audit *a)
{
	bool denied = !strcmp(a->event, "denied");
	const char *who = a->identity ? a->identity : a->peer;
	const char *port = a->identity ? NULL : strrchr(who, ':');
	char text[1024];
	int n;

	n = snprintf(text, sizeof(text), "%.*s %s %s",
		     port ? (int)(port - who) : 300, who, a->event,
		     a->vdisk && !denied ? a->vdisk : "");
	return hash64(log_to.seed, text, (size_t)n);
}

/*
 * Nobody is to fill the disk, or keep out what others did, by doing again and
 * again what is noted; nor to hide among it what else he does.  Some share a
 * place, by chance.
 */
static bool in_pace(const struct audit *a)
{
	u64 *pace = &log_to.paces[kind_of(a) % NR_PACES];
	u64 now = now_us();
	bool is;

	pthread_mutex_lock(&log_to.lock);
	is = *pace <= now + BURST_US;
	if (is)
		*pace = (*pace > now ? *pace : now) + INTERVAL_US;
	else
		log_to.lost++;
	pthread_mutex_unlock(&log_to.lock);
	return is;
}

/* Under the lock. */
static bool enqueue(struct line *line)
{
	if (log_to.waiting >= MAX_WAITING) {
		log_to.lost++;
		return false;
	}
	log_to.waiting++;
	STAILQ_INSERT_TAIL(&log_to.lines, line, entry);
	pthread_cond_signal(&log_to.more);
	return true;
}

/**
 * audit - note an event
 * @a: copied
 *
 * Any thread; waits for nothing.
 */
void audit(const struct audit *a)
{
	struct line *line;
	bool queued = false;

	if (!log_to.on || !in_pace(a))
		return;
	line = calloc(1, sizeof(*line));
	if (!line)
		return;
	if (encode_json(line, a) && encode_fields(line, a)) {
		pthread_mutex_lock(&log_to.lock);
		queued = enqueue(line);
		pthread_mutex_unlock(&log_to.lock);
	}
	if (!queued)
		line_free(line);
}

/* Writing */

static void complain(const char *what, int error)
{
	u64 now = now_us();

	if (log_to.complained_us &&
	    now - log_to.complained_us < COMPLAIN_US)
		return;
	log_to.complained_us = now;
	log_error("the audit %s: %s", what, strerror(error));
}

static void write_json(int file, const char *json)
{
	size_t len = strlen(json);
	ssize_t done = file < 0 ? (ssize_t)len : write(file, json, len);

	if (done < 0)
		complain("file cannot be written", errno);
	else if ((size_t)done < len)
		complain("file cannot be written", ENOSPC);
}

/* Where there is no journal nothing is wrong. */
static void write_journal(const char *fields)
{
	if (log_to.journal >= 0)
		send(log_to.journal, fields, strlen(fields), MSG_NOSIGNAL);
}

/* Under the lock.  How many are to be said to be lost, now? */
static unsigned int take_lost(void)
{
	unsigned int lost = log_to.lost;
	u64 now = now_us();

	if (!lost || (!log_to.quit && now - log_to.told_us < LOST_US))
		return 0;
	log_to.told_us = now;
	log_to.lost = 0;
	return lost;
}

static void tell_lost(unsigned int lost)
{
	if (lost)
		log_warn("%u events are missing in the audit", lost);
}

/* The file may be replaced meanwhile: each line has a copy of its own. */
static void put_line(struct line *line, int file)
{
	write_json(file, line->json);
	write_journal(line->fields);
	line_free(line);
	if (file >= 0)
		close(file);
}

static void *run(void *arg)
{
	struct line *line;
	unsigned int lost;
	int file;

	(void)arg;
	pthread_mutex_lock(&log_to.lock);
	for (;;) {
		line = STAILQ_FIRST(&log_to.lines);
		if (!line && log_to.quit)
			break;
		if (!line) {
			pthread_cond_wait(&log_to.more, &log_to.lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&log_to.lines, entry);
		log_to.waiting--;
		lost = take_lost();
		file = log_to.file < 0 ? -1 : fcntl(log_to.file,
						    F_DUPFD_CLOEXEC, 0);
		pthread_mutex_unlock(&log_to.lock);
		tell_lost(lost);
		put_line(line, file);
		pthread_mutex_lock(&log_to.lock);
	}
	lost = take_lost();
	pthread_mutex_unlock(&log_to.lock);
	tell_lost(lost);
	return NULL;
}

/* Begin and end */

static int open_journal(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX,
				   .sun_path = JOURNAL };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
		close(fd);
		return -1;
	}
	return fd;
}

/**
 * audit_reopen - go on in a file, which may have been moved away
 * @path: of the file; NULL for none
 * @err: why it stays as it was
 *
 * Return: 0 or -1
 */
int audit_reopen(const char *path, struct err *err)
{
	int fd = -1, old;

	if (path) {
		/* Does not wait for a reader, if it is a FIFO. */
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
			  O_NOCTTY | O_NONBLOCK, 0640);
		if (fd < 0)
			return err_set(err, "cannot open the audit file %s: %s",
				       path, strerror(errno));
	}
	pthread_mutex_lock(&log_to.lock);
	old = log_to.file;
	log_to.file = fd;
	pthread_mutex_unlock(&log_to.lock);
	if (old >= 0)
		close(old);
	return 0;
}

/**
 * audit_start - begin to note events
 * @path: of a file for them; NULL for none
 * @err: what went wrong
 *
 * Return: 0 or -1
 */
int audit_start(const char *path, struct err *err)
{
	int ret;

	if (audit_reopen(path, err))
		return -1;
	if (getrandom(&log_to.seed, sizeof(log_to.seed), GRND_NONBLOCK) < 0)
		log_to.seed = now_us();
	log_to.journal = open_journal();
	ret = pthread_create(&log_to.thread, NULL, run, NULL);
	if (ret)
		return err_set(err, "cannot start the thread for the audit: %s",
			       strerror(ret));
	log_to.on = true;
	return 0;
}

/** audit_stop - write what waits; nothing happens any more */
void audit_stop(void)
{
	struct err err;

	if (!log_to.on)
		return;
	pthread_mutex_lock(&log_to.lock);
	log_to.quit = true;
	pthread_cond_signal(&log_to.more);
	pthread_mutex_unlock(&log_to.lock);
	pthread_join(log_to.thread, NULL);
	audit_reopen(NULL, &err);
	if (log_to.journal >= 0)
		close(log_to.journal);
}
