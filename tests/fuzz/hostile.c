// SPDX-License-Identifier: GPL-2.0
/*
 * hostile SEED NATIVE V34: servers that lie, on ports 9999 of 127.0.0.1 and
 * further addresses, NATIVE of them native ones and V34 that speak QNIO v34.
 *
 * Each reply is made right first.  Then chance, seeded per connection, may
 * turn it into another: fields changed behind or under a right CRC, bits
 * flipped, frames cut, repeated, withheld, unasked for, of another request,
 * lane, dialect or time.  What was sent that a right server would not send is
 * counted, one for each frame, by the state that the client was in and by what
 * is wrong: malformed or ill-timed, or well-formed and only odd.
 *
 * Commands on stdin, a line each: "bad", "good" (from the next frame on),
 * "stats" (a line of JSON on stdout), "quit".
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define PORT		VXHS_PORT
#define MAX_SERVERS	32
#define MAX_CONNS	512
#define NAMES		4		/* vdisks of a server: d0, d1, ... */
#define DISK_SIZE	(1u << 20)
#define MAX_IO		131072u
#define IN_SIZE		(MAX_IO + 1024)
#define FRAME_MAX	(MAX_IO + 1024)
#define FILL_MAX	16384u
#define BURST		48		/* events at once, at most */

enum state {
	ST_STAT,		/* of a first epoch, as far as that is known */
	ST_LOGIN,
	ST_OPEN,
	ST_RECOVERY_LOGIN,	/* of later epochs */
	ST_RECOVERY_OPEN,
	ST_READ,
	ST_WRITE,
	ST_FLUSH,
	ST_DISCARD,
	ST_PING,
	ST_CLOSE,
	ST_LOGOUT,
	ST_EVENT,
	ST_V34_STAT,
	ST_V34_READ,
	ST_V34_WRITE,
	ST_V34_READY,
	STATES,
};

static const char * const state_names[STATES] = {
	"STAT", "LOGIN", "OPEN", "recovery LOGIN", "recovery OPEN", "READ",
	"WRITE", "FLUSH", "DISCARD and WRITE_ZEROES", "PING", "CLOSE",
	"LOGOUT", "events", "v34 STAT", "v34 READ", "v34 WRITE", "v34 READY",
};

/*
 * What is wrong with a frame, as wire.c sees it that knows what was asked.
 * Malformed, then ill-timed, then well-formed ones.
 */
enum class {
	CL_CUT,
	CL_LENGTH,
	CL_TAG,
	CL_HEADER,		/* magic, flags, opcode, CRC */
	CL_ERROR,
	CL_CRC,			/* of the payload */
	CL_FIELD,		/* the client need not look at */
	CL_BODY,
	CL_GARBAGE,
	CL_UNKNOWN_EVENT,	/* its kind, or its vdisk */
	CL_REPEATED,
	CL_UNASKED,
	CL_WITHHELD,
	CL_EVENT,
	CL_STATUS,		/* from here on: well-formed */
	CL_CONTENTS,
	CL_ODD_BODY,
	CLASSES,
};

static const char * const class_names[CLASSES] = {
	"cut", "wrong lengths", "wrong tags", "broken headers",
	"errors with a payload", "payloads with a wrong CRC",
	"fields not zero or not echoed", "broken bodies",
	"garbage", "unknown events", "repeated", "not asked for", "withheld",
	"untimely events", "odd status", "odd contents", "odd bodies",
};

struct disk {
	u64 size;
	u8 data[DISK_SIZE];
};

struct server {
	int fd;
	bool v34;
	unsigned int index;
	unsigned int conns;		/* so far */
	struct disk disks[NAMES];
};

/**
 * struct conn - a connection
 * @native: its frames are of that dialect
 * @ending: the frame that ends it has been sent, or is never sent
 * @close_at: ms; then it ends if the client did not end it
 */
struct conn {
	int fd;
	struct server *server;
	u64 random;
	bool native;
	bool ending;
	u64 close_at;
	u64 features;
	u32 epoch;
	u32 lane;
	u64 last_tag;			/* answered before */
	u8 *in;
	size_t in_len;
	u8 *out;
	size_t out_len;
};

static struct server *servers[MAX_SERVERS];
static unsigned int nr_servers;
static struct conn *conns[MAX_CONNS];
static int epoll_fd;
static bool bad;
static u64 seed;
static u64 counts[STATES][CLASSES];
static u64 right;			/* frames */
static u64 accepted;

static u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

static u64 mix(u64 x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static u64 chance(struct conn *c)
{
	c->random += 0x9e3779b97f4a7c15;
	return mix(c->random);
}

static u32 below(struct conn *c, u32 n)
{
	return (u32)(chance(c) >> 33) % n;
}

static bool one_in(struct conn *c, u32 n)
{
	return !below(c, n);
}

/* Sending */

static void end_soon(struct conn *c, u32 ms)
{
	c->ending = true;
	c->close_at = now_ms() + ms;
}

static void flush_out(struct conn *c)
{
	while (c->out_len) {
		ssize_t n = send(c->fd, c->out, c->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno != EAGAIN)
				end_soon(c, 0);
			return;
		}
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
}

static void put(struct conn *c, const void *buf, size_t len)
{
	u8 *more = realloc(c->out, c->out_len + len + 1);

	if (!more) {
		end_soon(c, 0);
		return;
	}
	c->out = more;
	memcpy(c->out + c->out_len, buf, len);
	c->out_len += len;
}

static void put_bad(struct conn *c, enum state state, enum class class,
		    const void *buf, size_t len)
{
	counts[state][class]++;
	put(c, buf, len);
}

/* A frame at once, or in pieces that arrive by themselves. */
static void put_good(struct conn *c, const void *buf, size_t len)
{
	size_t cut = bad && one_in(c, 32) ? below(c, (u32)len) : 0;

	right++;
	put(c, buf, cut);
	if (cut)
		flush_out(c);
	put(c, (const u8 *)buf + cut, len - cut);
}

/* Native frames */

static u32 rsp_crc(const struct vxhs_rsp_hdr *hdr)
{
	return vxhs_wire_crc(hdr, 28);
}

static bool has_crc(const struct conn *c, const struct vxhs_rsp_hdr *hdr)
{
	return (c->features & VXHS_F_HEADER_CRC) ||
	       (le32toh(hdr->magic) == VXHS_RSP_MAGIC &&
		hdr->opcode == VXHS_OP_LOGIN);
}

static void fix_crc(const struct conn *c, struct vxhs_rsp_hdr *hdr)
{
	hdr->header_crc = has_crc(c, hdr) ? htole32(rsp_crc(hdr)) : 0;
}

static void fix_payload_crc(const struct conn *c, struct vxhs_rsp_hdr *hdr,
			    const u8 *payload, u32 len)
{
	hdr->payload_crc = (c->features & VXHS_F_DATA_CRC) && len ?
			   htole32(vxhs_wire_crc(payload, len)) : 0;
	fix_crc(c, hdr);
}

static enum class class_of_body(const struct conn *c, u8 opcode,
				const u8 *body)
{
	const struct vxhs_login_rsp *login = (const void *)body;
	const struct vxhs_open_rsp *open = (const void *)body;
	static const u8 zero[sizeof(login->zero)];
	struct vxhs_geometry geometry;
	struct vxhs_grant grant;

	switch (opcode) {
	case VXHS_OP_LOGIN:
		if (vxhs_get_grant(login, c->features, &grant))
			return CL_BODY;
		if (login->reserved ||
		    memcmp(login->zero, zero, sizeof(zero)))
			return CL_FIELD;
		return CL_ODD_BODY;
	case VXHS_OP_OPEN:
		if (vxhs_get_geometry(open, &geometry))
			return CL_BODY;
		return open->reserved ? CL_FIELD : CL_ODD_BODY;
	default:
		return CL_CONTENTS;
	}
}

/* @frame answers @asked, and is not the right answer. */
static enum class class_of(const struct conn *c, const u8 *frame,
			   const u8 *asked)
{
	const struct vxhs_rsp_hdr *hdr = (const void *)frame;
	struct vxhs_request req;
	struct vxhs_reply rsp;

	if (vxhs_get_request((const void *)asked, c->features, &req))
		return CL_HEADER;
	switch (vxhs_get_reply(hdr, c->features, &rsp)) {
	case VXHS_RULE_OK:
		break;
	case VXHS_RULE_STATUS_PAYLOAD:
		return CL_ERROR;
	default:
		return CL_HEADER;
	}
	if (rsp.event)
		return CL_HEADER;
	if (rsp.tag != req.tag)
		return CL_TAG;
	switch (vxhs_check_reply(&rsp, req.opcode, req.length)) {
	case VXHS_RULE_OK:
		break;
	case VXHS_RULE_PAYLOAD_LEN:
		return CL_LENGTH;
	default:
		return CL_HEADER;
	}
	if (!(c->features & VXHS_F_DATA_CRC) || !rsp.payload_len) {
		if (rsp.payload_crc)
			return CL_FIELD;
	} else if (rsp.payload_crc !=
		   vxhs_wire_crc(frame + 32, rsp.payload_len)) {
		return CL_CRC;
	}
	if (!has_crc(c, hdr) && hdr->header_crc)
		return CL_FIELD;
	return rsp.status ? CL_STATUS :
			    class_of_body(c, req.opcode, frame + 32);
}

static void event(struct conn *c)
{
	struct vxhs_reply rsp = {
		.event = true,
		.opcode = (u8)chance(c),
		.tag = c->epoch << 8 | (1 + below(c, NAMES)),
	};
	struct vxhs_rsp_hdr hdr;
	bool known = true;

	if (!one_in(c, 3))
		rsp.opcode = one_in(c, 2) ? VXHS_EV_RESIZED :
					    VXHS_EV_LEASE_LOST;
	/* The whole session moves. */
	if (rsp.opcode == VXHS_EV_GOING_AWAY && !one_in(c, 4))
		rsp.opcode = 0;
	if (rsp.opcode < VXHS_EV_RESIZED || rsp.opcode > VXHS_EV_LEASE_LOST)
		known = false;
	if (one_in(c, 2)) {
		rsp.tag = one_in(c, 2) ? below(c, 8) : chance(c);
		known = false;
	}
	vxhs_put_reply(&hdr, &rsp, c->features);
	put_bad(c, ST_EVENT, known ? CL_EVENT : CL_UNKNOWN_EVENT, &hdr,
		sizeof(hdr));
}

/* A tag that is not this one. */
static u64 other_tag(struct conn *c, u64 tag)
{
	switch (below(c, 10)) {
	case 0: return tag ^ 1;
	case 1: return tag ^ 0x8000;
	case 2: return tag ^ 0x10000;
	case 3: return tag ^ 0xffff0000;
	case 4: return tag + (1ULL << 32);
	case 5: return tag - (1ULL << 32);
	case 6: return 0;
	case 7: return ~0ULL;
	case 8: return c->last_tag != tag ? c->last_tag : ~tag;
	default: return chance(c);
	}
}

static u32 other_len(struct conn *c, u32 len)
{
	switch (below(c, 6)) {
	case 0: return len + 1;
	case 1: return len ? len - 1 : 512;
	case 2: return len ? 0 : 64;
	case 3: return 0xffffffff;
	case 4: return len ^ 512;
	default: return len ^ (1u << below(c, 32));
	}
}

static void flip(struct conn *c, u8 *buf, size_t len)
{
	u32 n = 1 + below(c, 8);

	while (n--)
		buf[below(c, (u32)len)] ^= (u8)(1 << below(c, 8));
}

static void garbage(struct conn *c, enum state state)
{
	u8 buf[2048];
	u32 i, len = 1 + below(c, sizeof(buf));

	for (i = 0; i < len; i++)
		buf[i] = (u8)chance(c);
	put_bad(c, state, CL_GARBAGE, buf, len);
}

/* What a length promises, as far as it goes: somebody may have believed it. */
static void fill(struct conn *c, u64 len)
{
	u8 buf[4096];
	u32 i;

	if (len > FILL_MAX)
		len = FILL_MAX;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (u8)chance(c);
	while (len) {
		size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

		put(c, buf, n);
		len -= n;
	}
}

/* A command's reply, or PING's, that nobody waits for. */
static void unasked(struct conn *c, enum state state)
{
	static const u8 opcodes[] = { VXHS_OP_LOGIN, VXHS_OP_OPEN,
				      VXHS_OP_CLOSE, VXHS_OP_PING,
				      VXHS_OP_LOGOUT };
	struct vxhs_reply rsp = {
		.opcode = opcodes[below(c, sizeof(opcodes))],
		.tag = (u64)below(c, 6) << 32 | 0xffff0000 | below(c, 3),
	};
	u8 buf[32 + 80] = { 0 };

	if (rsp.opcode == VXHS_OP_LOGIN)
		rsp.payload_len = 64;
	if (rsp.opcode == VXHS_OP_OPEN)
		rsp.payload_len = 80;
	vxhs_put_reply((void *)buf, &rsp, c->features);
	fix_payload_crc(c, (void *)buf, buf + 32, rsp.payload_len);
	put_bad(c, state, CL_UNASKED, buf, 32 + rsp.payload_len);
}

static void reset(struct conn *c)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	end_soon(c, 0);
}

static void cut(struct conn *c, enum state state, const u8 *frame, size_t len)
{
	put_bad(c, state, CL_CUT, frame, 1 + below(c, (u32)len - 1));
	flush_out(c);
	if (one_in(c, 2))
		reset(c);
	end_soon(c, below(c, 50));
}

static void urgent(struct conn *c, enum state state)
{
	counts[state][CL_GARBAGE]++;
	flush_out(c);
	send(c->fd, "!", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
	end_soon(c, 200);
}

/* There is no answer: until the connection ends, or the client's patience. */
static void withhold(struct conn *c, enum state state)
{
	counts[state][CL_WITHHELD]++;
	end_soon(c, one_in(c, 16) ? 3000 : below(c, 100));
}

/* A status that costs the session's epoch, or its portal: seldom. */
static u16 last_status(struct conn *c, enum state state)
{
	/* For good, for it is said of a vdisk. */
	if ((state == ST_OPEN || state == ST_RECOVERY_OPEN) && !one_in(c, 50))
		return VXHS_ST_AGAIN;
	return one_in(c, 4) ? VXHS_ST_NO_SESSION :
	       one_in(c, 4) ? VXHS_ST_GOING_AWAY : VXHS_ST_STALE;
}

/* What costs the lane, whatever was asked; @frame is the right reply. */
static void break_lane(struct conn *c, enum state state, u8 *frame, size_t len,
		       const u8 *asked, size_t asked_len)
{
	struct vxhs_rsp_hdr *hdr = (void *)frame;
	enum class class;
	u32 left;

	switch (below(c, 20)) {
	case 0:
		hdr->magic ^= htole32(1u << below(c, 32));
		fix_crc(c, hdr);
		break;
	case 1:
		hdr->magic = htole32(one_in(c, 2) ? VXHS_REQ_MAGIC :
						    VXHS_EVT_MAGIC);
		hdr->flags = 1;
		fix_crc(c, hdr);
		break;
	case 2:
		hdr->header_crc ^= htole32(1u << below(c, 32));
		if (!has_crc(c, hdr))
			hdr->flags = 1;
		break;
	case 3:
		hdr->flags = (u8)(1 + below(c, 255));
		fix_crc(c, hdr);
		break;
	case 4:
	case 5:
		hdr->tag = htole64(other_tag(c, le64toh(hdr->tag)));
		fix_crc(c, hdr);
		break;
	case 6:
		hdr->opcode ^= (u8)(1 + below(c, 255));
		fix_crc(c, hdr);
		break;
	case 7:
	case 8:
		left = other_len(c, le32toh(hdr->payload_len));
		hdr->payload_len = htole32(left);
		fix_crc(c, hdr);
		class = class_of(c, frame, asked);
		if (left < len - 32)
			len = 32 + left;
		put_bad(c, state, class, frame, len);
		fill(c, left - (len - 32));
		end_soon(c, 300);
		return;
	case 9:
		hdr->status = htole16((u16)(1 + below(c, 0xffff)));
		if (!hdr->payload_len)
			hdr->payload_len = htole32(8);
		fix_crc(c, hdr);
		break;
	case 10:
		garbage(c, state);
		end_soon(c, 200);
		return;
	case 11:
		cut(c, state, frame, len);
		return;
	case 12:
		put(c, frame, len);
		right++;
		put_bad(c, state, CL_REPEATED, frame, len);
		end_soon(c, 300);
		return;
	case 13:
		unasked(c, state);
		end_soon(c, 300);
		return;
	case 14:
		flip(c, frame, 28);
		fix_crc(c, hdr);
		break;
	case 15:
		flip(c, frame, len);
		break;
	case 16:
		hdr->status = htole16(last_status(c, state));
		if (one_in(c, 4)) {
			if (!hdr->payload_len)
				hdr->payload_len = htole32(8);
		} else {
			hdr->payload_len = 0;
			hdr->payload_crc = 0;
			len = 32;
		}
		fix_crc(c, hdr);
		break;
	case 17:
		urgent(c, state);
		return;
	case 18:
		put_bad(c, state, CL_GARBAGE, asked, asked_len);
		end_soon(c, 200);
		return;
	default:
		withhold(c, state);
		return;
	}
	put_bad(c, state, class_of(c, frame, asked), frame, len);
	end_soon(c, 300);
}

/* A status that costs neither lane nor epoch. */
static u16 odd_status(struct conn *c, enum state state)
{
	static const u16 odd[] = {
		VXHS_ST_IO, VXHS_ST_INVALID, VXHS_ST_NOT_FOUND, VXHS_ST_DENIED,
		VXHS_ST_READ_ONLY, VXHS_ST_NO_SPACE, VXHS_ST_BUSY,
		VXHS_ST_UNSUPPORTED, VXHS_ST_AGAIN, VXHS_ST_BAD_CRC, 14, 0xffff,
	};

	/* That makes the client copy what it sends again. */
	if (state == ST_WRITE && one_in(c, 2))
		return VXHS_ST_BAD_CRC;
	if (one_in(c, 4))
		return (u16)(14 + below(c, 0xfff2));
	return odd[below(c, sizeof(odd) / sizeof(odd[0]))];
}

/* Wrong, but the lane lives on. */
static void bend(struct conn *c, enum state state, u8 *frame, size_t len,
		 const u8 *asked)
{
	struct vxhs_rsp_hdr *hdr = (void *)frame;
	u32 payload = (u32)len - 32, kind = below(c, 8);

	if (!kind) {
		hdr->status = htole16(odd_status(c, state));
		hdr->payload_len = 0;
		hdr->payload_crc = 0;
		fix_crc(c, hdr);
		len = 32;
	} else if (kind == 1 && (state == ST_READ || state == ST_FLUSH)) {
		/* Content, under a right CRC. */
		flip(c, frame + 32, payload);
		fix_payload_crc(c, hdr, frame + 32, payload);
	} else if (c->features & VXHS_F_DATA_CRC && payload) {
		/* Under a wrong one. */
		if (one_in(c, 2))
			frame[32 + below(c, payload)] ^= 1;
		else
			hdr->payload_crc ^= htole32(1u << below(c, 32));
		fix_crc(c, hdr);
	} else {
		/* A CRC where none belongs. */
		hdr->payload_crc = htole32((u32)chance(c) | 1);
		fix_crc(c, hdr);
		if (!has_crc(c, hdr) && one_in(c, 2))
			hdr->header_crc = htole32((u32)chance(c) | 1);
	}
	put_bad(c, state, class_of(c, frame, asked), frame, len);
}

/* A field of a body that is another, under a right CRC. */
static void bend_body(struct conn *c, enum state state, u8 *frame, size_t len,
		      const u8 *asked)
{
	static const u32 odd[] = { 0, 1, 511, 512, 513, 4096, 4097, 0x7fffffff,
				   0x80000000, 0xffffffff, 0xfffffe00, 3 };
	struct vxhs_rsp_hdr *hdr = (void *)frame;
	struct vxhs_open_rsp *rsp = (void *)(frame + 32);
	u32 n = 1 + below(c, 2), keep = state == ST_OPEN ||
					state == ST_RECOVERY_OPEN;
	u8 id[16];
	u64 size = 0;

	if (keep) {
		memcpy(id, rsp->vdisk_id, sizeof(id));
		size = rsp->size;
	}
	while (n--) {
		u32 at = below(c, (u32)(len - 32) / 4) * 4;
		u32 value = htole32(odd[below(c, 12)]);

		if (one_in(c, 2))
			flip(c, frame + 32 + at, 4);
		else
			memcpy(frame + 32 + at, &value, 4);
	}
	/* Another vdisk, or one that is smaller next time, is for good. */
	if (keep && !one_in(c, 50)) {
		memcpy(rsp->vdisk_id, id, sizeof(id));
		if (!one_in(c, 8) || le64toh(rsp->size) >> 20)
			rsp->size = size;
	}
	fix_payload_crc(c, hdr, frame + 32, (u32)len - 32);
	put_bad(c, state, class_of(c, frame, asked), frame, len);
	end_soon(c, 2000);
	/* It may have been taken for a good one. */
	c->ending = false;
}

/* The right reply, or another. */
static void answer(struct conn *c, enum state state, u8 *frame, size_t len,
		   const u8 *asked, size_t asked_len)
{
	bool body = state <= ST_RECOVERY_OPEN;
	u32 fatal = body ? 16 : state == ST_PING ? 3 : 24;

	if (state == ST_CLOSE || state == ST_LOGOUT)
		fatal = 2;
	if (!bad) {
		put_good(c, frame, len);
		return;
	}
	if ((c->features & VXHS_F_EVENTS) && state != ST_LOGIN &&
	    state != ST_RECOVERY_LOGIN && one_in(c, 32)) {
		u32 n = 1 + below(c, BURST);

		while (n--)
			event(c);
	}
	if (one_in(c, fatal)) {
		break_lane(c, state, frame, len, asked, asked_len);
		return;
	}
	if (body && one_in(c, 12)) {
		bend_body(c, state, frame, len, asked);
		return;
	}
	if (body ? one_in(c, 24) : !one_in(c, 8))
		bend(c, state, frame, len, asked);
	else
		put_good(c, frame, len);
}

/* Good answers */

static struct disk *disk_of_handle(struct conn *c, u32 handle)
{
	return &c->server->disks[(handle - 1) % NAMES];
}

static u32 login(struct conn *c, const u8 *payload, u8 *body)
{
	struct vxhs_grant grant = {
		.instance = 7,
		.features = c->features,
		.max_inflight = 64,
		.max_inflight_bytes = 8u << 20,
		.max_io = MAX_IO,
		.version = VXHS_VERSION,
	};
	struct vxhs_login login;

	vxhs_get_login((const void *)payload, &login);
	c->epoch = login.epoch;
	c->lane = login.lane;
	grant.kato_ms = login.kato_ms >= VXHS_KATO_FLOOR ? login.kato_ms :
							   VXHS_KATO_FLOOR;
	memset(grant.server_id, 0x50 + (int)c->server->index, 16);
	vxhs_put_grant((void *)body, &grant);
	return sizeof(struct vxhs_login_rsp);
}

static u32 open_disk(struct conn *c, const u8 *payload, u32 len, u8 *body)
{
	struct vxhs_geometry g = {
		.logical_block = 512,
		.physical_block = 4096,
		.io_min = 4096,
		.discard_granularity = 4096,
		.max_discard = 1u << 20,
		.max_write_zeroes = 1u << 20,
		.caps = VXHS_CAP_FLUSH | VXHS_CAP_FUA | VXHS_CAP_DISCARD |
			VXHS_CAP_WRITE_ZEROES,
		.verifier = 5,
		.lease = 9,
	};
	struct vxhs_open open;
	u32 disk;

	if (vxhs_get_open(payload, len, &open))
		return 0;
	disk = (u32)(open.name[1] - '0') % NAMES;
	g.handle = 1 + disk + (c->epoch << 8);
	g.size = c->server->disks[disk].size;
	memset(g.vdisk_id, 0x20 + (int)disk, 16);
	g.vdisk_id[0] = (u8)c->server->index;
	vxhs_put_geometry((void *)body, &g);
	return sizeof(struct vxhs_open_rsp);
}

static enum state state_of(const struct conn *c, u8 opcode)
{
	switch (opcode) {
	case VXHS_OP_LOGIN:
		return c->epoch > 1 ? ST_RECOVERY_LOGIN : ST_LOGIN;
	case VXHS_OP_OPEN:
		return c->epoch > 1 ? ST_RECOVERY_OPEN : ST_OPEN;
	case VXHS_OP_CLOSE: return ST_CLOSE;
	case VXHS_OP_PING: return ST_PING;
	case VXHS_OP_LOGOUT: return ST_LOGOUT;
	case VXHS_OP_READ: return ST_READ;
	case VXHS_OP_WRITE: return ST_WRITE;
	case VXHS_OP_FLUSH: return ST_FLUSH;
	default: return ST_DISCARD;
	}
}

static bool in_range(const struct vxhs_request *req)
{
	return req->offset <= DISK_SIZE && req->length <= MAX_IO &&
	       req->length <= DISK_SIZE - req->offset;
}

static void native_request(struct conn *c, const struct vxhs_request *req,
			   const u8 *frame, size_t len)
{
	static u8 out[FRAME_MAX];
	struct vxhs_reply rsp = { .tag = req->tag, .opcode = req->opcode };
	const u8 *payload = frame + sizeof(struct vxhs_req_hdr);
	struct disk *disk = disk_of_handle(c, req->handle);
	u64 verifier = htole64(5);
	u32 n = 0;

	switch (req->opcode) {
	case VXHS_OP_LOGIN:
		n = login(c, payload, out + 32);
		break;
	case VXHS_OP_OPEN:
		n = open_disk(c, payload, req->payload_len, out + 32);
		break;
	case VXHS_OP_READ:
		if (in_range(req)) {
			n = req->length;
			memcpy(out + 32, disk->data + req->offset, n);
		} else {
			rsp.status = VXHS_ST_INVALID;
		}
		break;
	case VXHS_OP_WRITE:
		if (in_range(req))
			memcpy(disk->data + req->offset, payload, req->length);
		break;
	case VXHS_OP_WRITE_ZEROES:
		if (req->offset <= DISK_SIZE &&
		    req->length <= DISK_SIZE - req->offset)
			memset(disk->data + req->offset, 0, req->length);
		break;
	case VXHS_OP_FLUSH:
		n = sizeof(verifier);
		memcpy(out + 32, &verifier, n);
		break;
	}
	rsp.payload_len = n;
	vxhs_put_reply((void *)out, &rsp, c->features);
	fix_payload_crc(c, (void *)out, out + 32, n);
	answer(c, state_of(c, req->opcode), out, 32 + n, frame, len);
	c->last_tag = req->tag;
}

/* v34 */

/* @right is the header that would have been. */
static enum class class_of_v34(const struct vxhs_v34_hdr *right,
			       const u8 *frame, const u8 *asked)
{
	const struct vxhs_v34_hdr *hdr = (const void *)frame;
	const struct vxhs_v34_hdr *req = (const void *)asked;
	u64 size, features, offered = 0;
	struct vxhs_v34_msg msg;
	u16 min, max, version;

	if (vxhs_v34_get(hdr, &msg))
		return CL_HEADER;
	if (hdr->cookie != req->cookie)
		return CL_TAG;
	switch (vxhs_v34_check_reply(&msg, le16toh(req->opcode),
				     le64toh(req->io_size))) {
	case VXHS_RULE_OK:
		break;
	case VXHS_RULE_PAYLOAD_LEN:
		return CL_LENGTH;
	case VXHS_RULE_STATUS_PAYLOAD:
		return CL_ERROR;
	default:
		return CL_HEADER;
	}
	if (msg.err)
		return CL_STATUS;
	if (msg.opcode == VXHS_V34_STAT) {
		if (hdr->payload_size != right->payload_size)
			return CL_LENGTH;
		if (vxhs_v34_get_size(frame + 256, msg.payload_size, &size))
			return CL_BODY;
		if (vxhs_get_offer(&req->offer, &min, &max, &offered) &&
		    vxhs_get_choice(&hdr->offer, offered, &version, &features))
			return CL_BODY;
		if (memcmp(&hdr->offer, &right->offer, sizeof(hdr->offer)))
			return CL_ODD_BODY;
	}
	return memcmp(hdr, right, sizeof(*hdr)) ? CL_FIELD : CL_CONTENTS;
}

static void v34_break(struct conn *c, enum state state, u8 *frame, size_t len,
		      const u8 *asked, size_t asked_len)
{
	struct vxhs_v34_hdr *hdr = (void *)frame, good = *hdr;

	switch (below(c, 14)) {
	case 0:
		hdr->marker ^= htole32(1u << below(c, 32));
		break;
	case 1:
	case 2:
		hdr->cookie = htole64(other_tag(c, le64toh(hdr->cookie)));
		break;
	case 3:
		hdr->opcode ^= htole16((u16)(1 + below(c, 0xffff)));
		break;
	case 4:
	case 5:
		hdr->payload_size =
			htole64(one_in(c, 3) ? chance(c) :
				other_len(c, (u32)le64toh(hdr->payload_size)));
		put_bad(c, state, class_of_v34(&good, frame, asked), frame,
			len);
		fill(c, le64toh(hdr->payload_size));
		end_soon(c, 300);
		return;
	case 6:
		hdr->err = htole32(1 + below(c, 1000));
		if (!hdr->payload_size)
			hdr->payload_size = htole64(8);
		break;
	case 7:
		garbage(c, state);
		end_soon(c, 200);
		return;
	case 8:
		cut(c, state, frame, len);
		return;
	case 9:
		put(c, frame, len);
		right++;
		put_bad(c, state, CL_REPEATED, frame, len);
		end_soon(c, 300);
		return;
	case 10:
		flip(c, frame, 96);
		break;
	case 11:
		put_bad(c, state, CL_GARBAGE, asked,
			asked_len < 256 ? asked_len : 256);
		end_soon(c, 200);
		return;
	case 12:
		urgent(c, state);
		return;
	default:
		withhold(c, state);
		return;
	}
	put_bad(c, state, class_of_v34(&good, frame, asked), frame, len);
	end_soon(c, 300);
}

/* STAT: what follows from a wrong one costs the lane sooner or later. */
static void stat_bend(struct conn *c, enum state state, u8 *frame, size_t len,
		      const u8 *asked)
{
	struct vxhs_v34_hdr *hdr = (void *)frame, good = *hdr;
	struct vxhs_offer *choice = &hdr->offer;

	switch (below(c, 6)) {
	case 0:
		flip(c, frame + 256, len - 256);
		break;
	case 1:
		choice->features ^= htole64(1ULL << below(c, 64));
		break;
	case 2:
		choice->max_version = htole16((u16)below(c, 4));
		break;
	case 3:
		choice->min_version = choice->max_version =
			htole16((u16)(one_in(c, 2) ? 0 : 2));
		break;
	case 4:
		choice->magic ^= htole32(1u << below(c, 32));
		break;
	default:
		hdr->err = htole32(1 + below(c, 1000));
		hdr->payload_size = 0;
		len = 256;
		break;
	}
	put_bad(c, state, class_of_v34(&good, frame, asked), frame, len);
	end_soon(c, 300);
}

/* Wrong, but the lane lives on: a client looks at few fields. */
static void v34_bend(struct conn *c, enum state state, u8 *frame, size_t len,
		     const u8 *asked)
{
	struct vxhs_v34_hdr *hdr = (void *)frame, good = *hdr;
	u32 kind = below(c, 8);

	if (!kind) {
		hdr->err = htole32((u32)chance(c) | 1);
		hdr->payload_size = 0;
		len = 256;
	} else if (kind == 1 && len > 256) {
		flip(c, frame + 256, len - 256);
	} else {
		switch (below(c, 4)) {
		case 0:
			flip(c, (u8 *)hdr->target, sizeof(hdr->target));
			break;
		case 1:
			hdr->io_offset ^= htole64(chance(c) | 1);
			break;
		case 2:
			hdr->flags ^= htole64(chance(c) | 1);
			break;
		default:
			hdr->data_type ^= htole32((u32)chance(c) | 1);
			break;
		}
	}
	put_bad(c, state, class_of_v34(&good, frame, asked), frame, len);
}

static void v34_answer(struct conn *c, enum state state, u8 *frame,
		       size_t len, const u8 *asked, size_t asked_len)
{
	bool stat = state == ST_STAT || state == ST_V34_STAT;

	if (!bad) {
		put_good(c, frame, len);
	} else if (one_in(c, stat ? 16 : 128)) {
		v34_break(c, state, frame, len, asked, asked_len);
	} else if (stat && one_in(c, 16)) {
		stat_bend(c, state, frame, len, asked);
	} else if (!stat && !one_in(c, 8)) {
		v34_bend(c, state, frame, len, asked);
	} else {
		put_good(c, frame, len);
	}
}

static void v34_request(struct conn *c, const struct vxhs_v34_msg *msg,
			const u8 *frame, size_t len)
{
	static u8 out[FRAME_MAX];
	const struct vxhs_v34_hdr *asked = (const void *)frame;
	struct vxhs_v34_hdr *hdr = (void *)out;
	struct disk *disk;
	enum state state;
	u64 features = 0;
	bool native = false;
	u16 min, max;
	u32 n = 0, name;

	name = (u32)(msg->target[1] - '0') % NAMES;
	disk = &c->server->disks[name];
	switch (msg->opcode) {
	case VXHS_V34_STAT:
		state = c->server->v34 ? ST_V34_STAT : ST_STAT;
		vxhs_v34_put_size(out + 256, disk->size);
		n = VXHS_SIZE_KVSET_LEN;
		native = !c->server->v34 &&
			 vxhs_get_offer(&asked->offer, &min, &max, &features);
		break;
	case VXHS_V34_READ:
		state = ST_V34_READ;
		if (msg->io_offset < DISK_SIZE && msg->io_size <= MAX_IO &&
		    msg->io_size <= DISK_SIZE - msg->io_offset) {
			n = (u32)msg->io_size;
			memcpy(out + 256, disk->data + msg->io_offset, n);
		}
		break;
	case VXHS_V34_WRITE:
		state = ST_V34_WRITE;
		if (msg->io_offset < DISK_SIZE &&
		    msg->io_size <= DISK_SIZE - msg->io_offset &&
		    msg->io_size == len - 256)
			memcpy(disk->data + msg->io_offset, frame + 256,
			       len - 256);
		break;
	default:
		state = ST_V34_READY;
		break;
	}
	vxhs_v34_put_reply(hdr, asked, VXHS_V34_OK, n);
	if (native)
		vxhs_put_choice(&hdr->offer, VXHS_VERSION,
				features & VXHS_FEATURES_ALL);
	v34_answer(c, state, out, 256 + n, frame, len);
	c->last_tag = msg->cookie;
	if (native) {
		c->native = true;
		c->features = features & VXHS_FEATURES_ALL;
	}
}

/* Receiving */

/* One request, if it is there.  Returns its bytes, 0 if not, -1 if broken. */
static ssize_t take_request(struct conn *c, const u8 *in, size_t len)
{
	struct vxhs_request req;
	struct vxhs_v34_msg msg;
	size_t need;

	if (c->native) {
		need = sizeof(struct vxhs_req_hdr);
		if (len < need)
			return 0;
		if (vxhs_get_request((const void *)in, c->features, &req) ||
		    req.payload_len > MAX_IO)
			return -1;
		need += req.payload_len;
		if (len < need)
			return 0;
		native_request(c, &req, in, need);
	} else {
		need = sizeof(struct vxhs_v34_hdr);
		if (len < need)
			return 0;
		if (vxhs_v34_get((const void *)in, &msg) ||
		    msg.payload_size > MAX_IO)
			return -1;
		need += msg.payload_size;
		if (len < need)
			return 0;
		v34_request(c, &msg, in, need);
	}
	return (ssize_t)need;
}

static void close_conn(struct conn *c)
{
	unsigned int i;

	for (i = 0; i < MAX_CONNS; i++)
		if (conns[i] == c)
			conns[i] = NULL;
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static void readable(struct conn *c)
{
	size_t at = 0;
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_SIZE - c->in_len,
			 MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_conn(c);
		return;
	}
	c->in_len += (size_t)n;
	while (!c->ending) {
		n = take_request(c, c->in + at, c->in_len - at);
		if (n < 0)
			end_soon(c, 0);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	c->in_len = c->ending ? 0 : c->in_len - at;
	memmove(c->in, c->in + at, c->in_len);
	flush_out(c);
}

static void watch(int op, int fd, void *what, u32 events)
{
	struct epoll_event ev = { .events = events, .data.ptr = what };

	epoll_ctl(epoll_fd, op, fd, &ev);
}

static void accept_one(struct server *s)
{
	int one = 1, fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct conn *c;
	unsigned int i = 0;

	while (i < MAX_CONNS && conns[i])
		i++;
	c = i < MAX_CONNS ? calloc(1, sizeof(*c)) : NULL;
	if (fd < 0 || !c) {
		free(c);
		if (fd >= 0)
			close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	c->server = s;
	c->in = malloc(IN_SIZE);
	c->random = mix(seed ^ (u64)s->index << 40 ^ s->conns++);
	conns[i] = c;
	accepted++;
	watch(EPOLL_CTL_ADD, fd, c, EPOLLIN);
}

static void look_at_clocks(void)
{
	u64 now = now_ms();
	unsigned int i;

	for (i = 0; i < MAX_CONNS; i++) {
		struct conn *c = conns[i];

		if (!c)
			continue;
		if (c->out_len)
			flush_out(c);
		if (c->close_at && now >= c->close_at)
			close_conn(c);
	}
}

/* Begin and end */

static int listen_on(unsigned int index, bool v34)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(0x7f000001 + index),
	};
	struct server *s = calloc(1, sizeof(*s));
	unsigned int i;
	int one = 1;

	if (!s)
		return -1;
	s->index = index;
	s->v34 = v34;
	for (i = 0; i < NAMES; i++)
		s->disks[i].size = DISK_SIZE;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, (struct sockaddr *)&in, sizeof(in)) ||
	    listen(s->fd, 128))
		return -1;
	servers[nr_servers++] = s;
	watch(EPOLL_CTL_ADD, s->fd, s, EPOLLIN);
	return 0;
}

/* Of each state how many are malformed or ill-timed; and of each class. */
static void print_stats(void)
{
	unsigned int i, k;

	printf("{\"right\": %llu, \"accepted\": %llu, \"states\": {",
	       (unsigned long long)right, (unsigned long long)accepted);
	for (i = 0; i < STATES; i++) {
		u64 wrong = 0;

		for (k = 0; k < CL_STATUS; k++)
			wrong += counts[i][k];
		printf("%s\"%s\": %llu", i ? ", " : "", state_names[i],
		       (unsigned long long)wrong);
	}
	for (k = 0; k < CLASSES; k++) {
		u64 n = 0;

		for (i = 0; i < STATES; i++)
			n += counts[i][k];
		printf("%s\"%s\": %llu",
		       k == 0 ? "}, \"malformed\": {" :
		       k == CL_REPEATED ? "}, \"ill-timed\": {" :
		       k == CL_STATUS ? "}, \"odd\": {" : ", ",
		       class_names[k], (unsigned long long)n);
	}
	printf("}}\n");
	fflush(stdout);
}

/* Returns false when it is time to go. */
static bool command(void)
{
	char line[256];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return false;
	line[n] = '\0';
	if (strstr(line, "bad"))
		bad = true;
	if (strstr(line, "good"))
		bad = false;
	if (strstr(line, "stats"))
		print_stats();
	return !strstr(line, "quit");
}

static bool is_server(const void *what)
{
	unsigned int i;

	for (i = 0; i < nr_servers; i++)
		if (servers[i] == what)
			return true;
	return false;
}

static bool is_conn(const void *what)
{
	unsigned int i;

	for (i = 0; i < MAX_CONNS; i++)
		if (conns[i] == what)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	unsigned int native, v34, i;
	u64 look_at = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: hostile SEED NATIVE V34\n");
		return 2;
	}
	seed = strtoull(argv[1], NULL, 0);
	native = (unsigned int)atoi(argv[2]);
	v34 = (unsigned int)atoi(argv[3]);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (i = 0; i < native + v34 && i < MAX_SERVERS; i++) {
		if (listen_on(i, i >= native)) {
			perror("listen");
			return 1;
		}
	}
	watch(EPOLL_CTL_ADD, STDIN_FILENO, &seed, EPOLLIN);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int k, n = epoll_wait(epoll_fd, events, 64, 10);

		for (k = 0; k < n; k++) {
			void *what = events[k].data.ptr;

			if (what == &seed) {
				if (!command())
					return 0;
			} else if (is_server(what)) {
				accept_one(what);
			} else if (is_conn(what)) {
				readable(what);
			}
		}
		if (now_ms() >= look_at) {
			look_at_clocks();
			look_at = now_ms() + 10;
		}
	}
}
