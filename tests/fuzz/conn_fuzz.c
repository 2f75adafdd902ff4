// SPDX-License-Identifier: GPL-2.0
/*
 * vxhsd's connections, dialects, sessions, exports and backends under
 * libFuzzer: the server's own objects in a simulated world (sim.h).
 *
 * The input is a program: clients connect, send frames that are right, wrong
 * or cut, files complete in any order and with any result, time passes, the
 * configuration changes.  What the server answers is held against what it was
 * asked: each reply is whole, has the right CRCs, and answers one request that
 * was not answered yet.  At the end everything that was asked on a connection
 * that still lives has its answer, and when all have left nothing remains.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "conn.h"
#include "export.h"
#include "session.h"
#include "sim.h"

#define MAX_SENT	1024	/* frames of a client, but for raw ones */
#define MAX_REQS	2048
#define MAX_PAYLOAD	32768
#define SESSIONS	4
#define NR_EXPORTS	6
#define NR_HANDLES	4
#define CLOCK_STEP_US	50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The program */

static const u8 *input;
static size_t input_left;

static u8 byte(void)
{
	if (!input_left)
		return 0;
	input_left--;
	return *input++;
}

static u16 word(void)
{
	u16 low = byte();

	return (u16)(low | byte() << 8);
}

/* What clients know */

struct req {
	u64 tag;
	u64 length;
	u32 opcode;
};

/**
 * struct stream - one direction of a connection, cut into frames
 * @native: the frames are of that dialect
 * @hdr: of the frame that is not complete
 * @have: bytes of it
 * @left: bytes of its payload to come
 */
struct stream {
	bool native;
	u8 hdr[HEADER_MAX];
	size_t have;
	u64 left;
};

struct client {
	unsigned int sent;
	u64 next_tag;
	u64 features;			/* chosen */
	u64 offered;
	u16 min, max;
	u32 handles[NR_HANDLES];
	unsigned int next_handle;

	struct stream up;
	bool first;			/* the next frame up is the first */
	bool becomes_native;		/* behind this payload */
	bool broken;			/* a rule was, the lane ends there */
	struct req now;			/* its payload comes */
	unsigned int nr_reqs;

	struct stream down;
	struct vxhs_reply reply;	/* its payload comes */
	u32 crc;
	u8 body[sizeof(struct vxhs_open_rsp)];
	size_t body_have;

	struct req reqs[MAX_REQS];	/* unanswered, nr_reqs of them */
};

static struct client clients[SIM_SOCKS];
static u64 last_lease;

static const struct {
	const char *name;
	const char *target;
	u64 size;
	u32 block;
	bool read_only;
	bool write_through;
} exports[NR_EXPORTS] = {
	{ "mem", "memory", 1 << 20, 512, false, false },
	{ "file", SIM_FILE "a", 1 << 20, 512, false, false },
	{ "thru", SIM_FILE "b", 1 << 19, 4096, false, true },
	{ "dev", SIM_DEVICE "a", 1 << 20, 512, false, false },
	{ "ro", SIM_FILE "c", 1 << 16, 512, true, false },
	{ "direct", SIM_DEVICE "b", 1 << 20, 1024, false, true },
};

/* A name of the configuration, or one that is not there. */
static const char *name_of(u8 choice)
{
	static const char long_name[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789";

	choice &= 7;
	if (choice < NR_EXPORTS)
		return exports[choice].name;
	return choice == 6 ? "nothing" : long_name;
}

/* Up: what the server has been asked */

static void request_done(struct client *c)
{
	if (c->nr_reqs < MAX_REQS)
		c->reqs[c->nr_reqs++] = c->now;
	if (c->becomes_native) {
		c->up.native = true;
		c->becomes_native = false;
	}
}

static void v34_header(struct client *c)
{
	const struct vxhs_v34_hdr *hdr = (const void *)c->up.hdr;
	struct vxhs_v34_msg msg;
	u64 features;
	u16 min, max;

	if (vxhs_v34_get(hdr, &msg) || msg.payload_size > 1u << 30) {
		c->broken = true;
		return;
	}
	c->now = (struct req){ msg.cookie, msg.io_size, msg.opcode };
	c->up.left = msg.payload_size;
	c->becomes_native = c->first && msg.opcode == VXHS_V34_STAT &&
			    vxhs_get_offer(&hdr->offer, &min, &max,
					   &features) &&
			    min <= VXHS_VERSION && VXHS_VERSION <= max;
	if (c->becomes_native)
		c->features = features & VXHS_FEATURES_ALL;
	c->first = false;
}

static void native_header(struct client *c)
{
	struct vxhs_request req;

	if (vxhs_get_request((const void *)c->up.hdr, c->features, &req)) {
		c->broken = true;
		return;
	}
	c->now = (struct req){ req.tag, req.length, req.opcode };
	c->up.left = req.payload_len;
}

void sim_delivered(unsigned int i, const u8 *buf, size_t len)
{
	struct client *c = &clients[i];
	struct stream *up = &c->up;

	while (len && !c->broken) {
		size_t n, need;

		if (up->left) {
			n = len < up->left ? len : (size_t)up->left;
			up->left -= n;
			buf += n;
			len -= n;
			if (!up->left)
				request_done(c);
			continue;
		}
		need = up->native ? sizeof(struct vxhs_req_hdr) :
				    sizeof(struct vxhs_v34_hdr);
		n = need - up->have < len ? need - up->have : len;
		memcpy(up->hdr + up->have, buf, n);
		up->have += n;
		buf += n;
		len -= n;
		if (up->have < need)
			break;
		up->have = 0;
		if (up->native)
			native_header(c);
		else
			v34_header(c);
		if (!c->broken && !up->left)
			request_done(c);
	}
}

/* Down: what it has answered */

static struct req take_request(struct client *c, u64 tag, u32 opcode)
{
	unsigned int i;

	for (i = 0; i < c->nr_reqs; i++) {
		struct req req = c->reqs[i];

		if (req.tag != tag || req.opcode != opcode)
			continue;
		memmove(&c->reqs[i], &c->reqs[i + 1],
			(--c->nr_reqs - i) * sizeof(req));
		return req;
	}
	__builtin_trap();	/* nobody has asked for this */
}

static void v34_reply(struct client *c)
{
	const struct vxhs_v34_hdr *hdr = (const void *)c->down.hdr;
	struct vxhs_v34_msg msg;
	struct req req;
	u64 features;
	u16 version;

	must(!vxhs_v34_get(hdr, &msg));
	req = take_request(c, msg.cookie, msg.opcode);
	must(!vxhs_v34_check_reply(&msg, (u16)req.opcode, req.length));
	must(msg.opcode != VXHS_V34_STAT || msg.err ||
	     msg.payload_size == VXHS_SIZE_KVSET_LEN);
	must(!vxhs_get_choice(&hdr->offer, VXHS_FEATURES_ALL, &version,
			      &features) ||
	     hdr->offer.min_version == 0);
	c->down.left = msg.payload_size;
	c->reply.event = true;		/* no body to look at */
	if (version) {
		must(features == c->features);
		c->down.native = true;
	}
}

static void native_reply(struct client *c)
{
	struct req req;

	must(!vxhs_get_reply((const void *)c->down.hdr, c->features,
			     &c->reply));
	c->crc = 0;
	c->body_have = 0;
	c->down.left = c->reply.payload_len;
	if (c->reply.event) {
		must(c->reply.opcode >= VXHS_EV_RESIZED &&
		     c->reply.opcode <= VXHS_EV_LEASE_LOST);
		return;
	}
	req = take_request(c, c->reply.tag, c->reply.opcode);
	must(!vxhs_check_reply(&c->reply, (u8)req.opcode, (u32)req.length));
	must(c->reply.status <= VXHS_ST_BAD_CRC);
}

static void look_at_body(struct client *c)
{
	struct vxhs_geometry g;
	struct vxhs_grant grant;

	if (c->reply.event)
		return;
	must(!(c->features & VXHS_F_DATA_CRC) ||
	     c->crc == c->reply.payload_crc);
	if (c->reply.opcode == VXHS_OP_LOGIN)
		must(!vxhs_get_grant((const void *)c->body, c->features,
				     &grant));
	if (c->reply.opcode != VXHS_OP_OPEN)
		return;
	must(!vxhs_get_geometry((const void *)c->body, &g));
	c->handles[c->next_handle++ % NR_HANDLES] = g.handle;
	if (g.lease)
		last_lease = g.lease;
}

static void body_bytes(struct client *c, const u8 *buf, size_t n)
{
	size_t room = sizeof(c->body) - c->body_have;

	if (c->reply.event)
		return;
	if (c->features & VXHS_F_DATA_CRC)
		c->crc = vxhs_wire_crc_more(c->crc, buf, n);
	room = room < n ? room : n;
	memcpy(c->body + c->body_have, buf, room);
	c->body_have += room;
}

void sim_received(unsigned int i, const u8 *buf, size_t len)
{
	struct client *c = &clients[i];
	struct stream *down = &c->down;

	while (len) {
		size_t n, need;

		if (down->left) {
			n = len < down->left ? len : (size_t)down->left;
			body_bytes(c, buf, n);
			down->left -= n;
			buf += n;
			len -= n;
			if (!down->left)
				look_at_body(c);
			continue;
		}
		need = down->native ? sizeof(struct vxhs_rsp_hdr) :
				      sizeof(struct vxhs_v34_hdr);
		n = need - down->have < len ? need - down->have : len;
		memcpy(down->hdr + down->have, buf, n);
		down->have += n;
		buf += n;
		len -= n;
		if (down->have < need)
			break;
		down->have = 0;
		if (down->native)
			native_reply(c);
		else
			v34_reply(c);
	}
}

/* What clients send */

static void connect_client(unsigned int i, u8 how)
{
	if (socks[i].open)
		return;
	memset(&clients[i], 0, offsetof(struct client, reqs));
	clients[i].first = true;
	sim_connect(i, how & 3, how >> 2 & 1);
}

static void send_stat(unsigned int i, u8 features, u8 name, u8 odd)
{
	struct client *c = &clients[i];
	struct vxhs_v34_msg msg = {
		.cookie = c->next_tag++,
		.opcode = VXHS_V34_STAT,
		.flags = VXHS_V34_REQ | VXHS_V34_NEED_RESP,
	};
	struct vxhs_v34_hdr hdr;

	if (c->sent++ >= MAX_SENT)
		return;
	c->min = odd & 1 ? 2 : 1;
	c->max = odd & 2 ? 3 : 1;
	c->offered = features;
	strncpy(msg.target, name_of(name), sizeof(msg.target) - 1);
	if (odd & 4)
		msg.flags = 0;
	if (odd & 8)
		msg.payload_size = odd;
	vxhs_v34_put(&hdr, &msg);
	if (!(odd & 16))
		vxhs_put_offer(&hdr.offer, c->min, c->max, features);
	if (odd & 32)
		memset(hdr.target, 'x', sizeof(hdr.target));
	sim_send(&socks[i], &hdr, sizeof(hdr));
	if (odd & 8)
		sim_send(&socks[i], &hdr, odd);
}

/* A request and its payload, of which @cut bytes stay behind. */
static void send_request(unsigned int i, struct vxhs_request *req,
			 const void *payload, u8 odd, size_t cut)
{
	struct client *c = &clients[i];
	struct vxhs_req_hdr hdr;
	size_t len = req->payload_len;

	if (c->sent++ >= MAX_SENT)
		return;
	if (!(odd & 1))
		req->tag = c->next_tag++;
	if (c->features & VXHS_F_DATA_CRC)
		req->payload_crc = vxhs_wire_crc(payload, len);
	if (odd & 2)
		req->payload_crc ^= 1;
	if (odd & 4)
		req->payload_len++;
	vxhs_put_request(&hdr, req, c->features);
	if (odd & 8)
		hdr.header_crc ^= 1;
	if (odd & 16)
		hdr.reserved = 1;
	sim_send(&socks[i], &hdr, sizeof(hdr));
	sim_send(&socks[i], payload, len - (cut < len ? cut : len));
}

static void send_login(unsigned int i, u8 session, u8 epoch, u8 lane, u8 odd)
{
	static const u32 katos[] = { 0, 200, 1000, 100, 5000, 60000, 70000, 1 };
	struct client *c = &clients[i];
	struct vxhs_login login = {
		.session_id = session % SESSIONS + 1,
		.features = odd & 8 ? c->offered ^ 1 : c->offered,
		.epoch = epoch & 7,
		.lane = lane & 7,
		.lane_count = (lane >> 3 & 7) + (odd & 16 ? 62 : 1),
		.kato_ms = katos[epoch >> 3 & 7],
		.min_version = c->min,
		.max_version = odd & 32 ? c->max + 1 : c->max,
	};
	struct vxhs_request req = {
		.opcode = VXHS_OP_LOGIN,
		.payload_len = sizeof(struct vxhs_login_req),
	};
	struct vxhs_login_req body;

	login.host_id[0] = session >> 7;
	vxhs_put_login(&body, &login);
	send_request(i, &req, &body, odd & 7, odd & 64 ? 5 : 0);
}

static void send_open(unsigned int i, u8 name, u8 mode, u8 lease, u8 odd)
{
	struct vxhs_open open = {
		.mode = mode & 3,
		.options = mode >> 2 & 3,
		.lease = lease & 1 ? last_lease + (lease >> 1) : 0,
	};
	struct vxhs_request req = { .opcode = VXHS_OP_OPEN };
	u8 body[VXHS_OPEN_BODY_MAX];

	strncpy(open.name, name_of(name), sizeof(open.name) - 1);
	req.payload_len = (u32)vxhs_put_open(body, &open);
	if (odd & 32)
		body[16]++;
	send_request(i, &req, body, odd & 31, odd & 64 ? 3 : 0);
}

static u32 length_of(u8 choice)
{
	static const u32 lengths[] = {
		512, 4096, 0, 1024, 65536, 1, 16384, MAX_PAYLOAD,
		8192, 1 << 20, (1 << 20) + 512, 1u << 31, 511, 32768, ~0u,
		4096,
	};

	return lengths[choice & 15];
}

static u64 offset_of_io(u8 choice)
{
	static const u64 offsets[] = {
		0, 512, 4096, 65536, (1 << 20) - 512, 1 << 20, 1, 1 << 19,
		(1 << 16) - 4096, ~0ULL, ~0ULL << 9, 1ULL << 63, 1024, 8192,
		(1 << 20) - 4096, 1ULL << 32,
	};

	return offsets[choice & 15];
}

static u8 payload[MAX_PAYLOAD];

static void send_io(unsigned int i, u8 op, u8 handle, u8 where, u8 odd)
{
	static const u8 opcodes[] = {
		VXHS_OP_READ, VXHS_OP_WRITE, VXHS_OP_FLUSH, VXHS_OP_DISCARD,
		VXHS_OP_WRITE_ZEROES, VXHS_OP_CLOSE, VXHS_OP_PING,
		VXHS_OP_WRITE, VXHS_OP_READ, VXHS_OP_LOGOUT, 0x7f,
		VXHS_OP_WRITE, VXHS_OP_READ, VXHS_OP_LOGIN, VXHS_OP_OPEN,
		VXHS_OP_FLUSH,
	};
	struct client *c = &clients[i];
	struct vxhs_request req = {
		.opcode = opcodes[op & 15],
		.flags = op >> 4 & 7,
		.handle = c->handles[handle % NR_HANDLES] + (handle >> 4),
		.length = length_of(where),
		.offset = offset_of_io(where >> 4),
		.tag = odd >> 5,
	};

	if (req.opcode == VXHS_OP_WRITE)
		req.payload_len = req.length;
	if (req.payload_len > MAX_PAYLOAD)
		req.payload_len = req.length = MAX_PAYLOAD;
	send_request(i, &req, payload, odd & 31, op & 128 ? where : 0);
}

static void send_v34(unsigned int i, u8 op, u8 name, u8 where, u8 odd)
{
	static const u16 opcodes[] = {
		VXHS_V34_READ, VXHS_V34_WRITE, VXHS_V34_STAT, VXHS_V34_READY,
		VXHS_V34_WRITE, VXHS_V34_READ, 1, VXHS_V34_WRITE,
	};
	struct vxhs_v34_msg msg = {
		.cookie = clients[i].next_tag++,
		.opcode = opcodes[op & 7],
		.io_size = length_of(where),
		.io_offset = offset_of_io(where >> 4),
		.io_flags = VXHS_V34_IO_APP,
		.data_type = odd & 1 ? 9 : VXHS_V34_RAW,
		.flags = odd & 2 ? 0 : VXHS_V34_NEED_RESP,
	};
	struct vxhs_v34_hdr hdr;
	size_t len = 0;

	if (clients[i].sent++ >= MAX_SENT)
		return;
	if (odd & 4)
		msg.flags |= VXHS_V34_SYNC_REQ;
	if (msg.opcode == VXHS_V34_WRITE || (odd & 8))
		len = msg.io_size < MAX_PAYLOAD ? msg.io_size : MAX_PAYLOAD;
	msg.payload_size = odd & 16 ? msg.io_size : len;
	if (odd & 32)
		strcpy(msg.target, "/a/b/");
	strncpy(msg.target + strlen(msg.target), name_of(name), 32);
	vxhs_v34_put(&hdr, &msg);
	sim_send(&socks[i], &hdr, sizeof(hdr));
	sim_send(&socks[i], payload, odd & 64 ? len / 2 : len);
}

static void send_raw(unsigned int i, size_t len)
{
	len = len < input_left ? len : input_left;
	sim_send(&socks[i], input, len);
	input += len;
	input_left -= len;
}

/* Spoil what has not been taken. */
static void corrupt(struct sock *s, u16 back, u8 bits)
{
	size_t waits = s->out_len - s->out_taken;

	if (waits)
		s->out[s->out_len - 1 - back % waits] ^= bits;
}

/* From a connection to an open vdisk, of one of four lanes. */
static void quick_start(unsigned int i, u8 how, u8 name, u8 session, u8 mode)
{
	u8 epoch = 1 + (how >> 4 & 3), lane = how >> 6;

	if (socks[i].open)
		return;
	connect_client(i, session >> 2);
	send_stat(i, how & 15, name, 0);
	clients[i].features = how & VXHS_FEATURES_ALL;
	send_login(i, session & 3, epoch | (mode & 0x38),
		   (u8)(lane | 3 << 3), 0);
	send_open(i, name, mode & 7, session >> 5, 0);
}

/* What the administrator does */

static void add_export(struct config *config, unsigned int n, u8 size, u8 acl)
{
	struct export_spec *spec = calloc(1, sizeof(*spec));
	struct err err;

	must(spec);
	strcpy(spec->name, exports[n].name);
	spec->target = strdup(exports[n].target);
	must(spec->target);
	spec->size = exports[n].size;
	if (size >> n & 1)
		spec->size /= 2;
	spec->block = exports[n].block;
	spec->read_only = exports[n].read_only;
	spec->write_through = exports[n].write_through;
	if (acl & 1)
		must(!acl_add(&spec->allow, "alice:rw+take-over", "", &err));
	if (acl & 2)
		must(!acl_add(&spec->allow, "bob:rw", "", &err));
	if (acl & 4)
		must(!acl_add(&spec->allow, "carol:ro", "", &err));
	if (acl & 8)
		must(!acl_add(&spec->allow, "*:ro+take-over", "", &err));
	spec->next = config->exports;
	config->exports = spec;
}

static void reload(u8 without, u8 size, u8 acl)
{
	struct config config = { 0 };
	struct err err = { 0 };
	unsigned int n;

	for (n = 0; n < NR_EXPORTS; n++)
		if (!(without >> n & 1))
			add_export(&config, n, size, acl);
	exports_reload(&config, &err);
	while (config.exports) {
		struct export_spec *next = config.exports->next;

		export_spec_free(config.exports);
		config.exports = next;
	}
}

static void pass_time(u8 how)
{
	static const u64 steps[] = {
		1, 1000, 5000, 100000, 200000, 1000000, 2500000, 5000000,
		6000000, 11000000, 30000000, 61000000, 1000000, 200001,
		100001, 40000000,
	};
	unsigned int i;

	sim_clock_us += steps[how & 15];
	for (i = 0; i < nr_loops; i++)
		loops[i].now_us = sim_clock_us;
	if (how & 16)
		for (i = 0; i < nr_loops; i++)
			conns_tick(&loops[i]);
	if (how & 32)
		sessions_sweep(sim_clock_us);
	if (how & 64)
		exports_sweep();
}

static void turn(u8 how, size_t bytes)
{
	struct loop *loop = &loops[how & 1 ? nr_loops - 1 : 0];

	sim_clock_us += CLOCK_STEP_US;
	sim_turn(loop, bytes ? bytes : SIM_ENDLESS);
}

static void complete(u8 which, u8 result)
{
	struct loop *loop = &loops[which & 1 ? nr_loops - 1 : 0];

	sim_complete(loop, which >> 1, result % SIM_RESULTS);
}

static void run_one(void)
{
	u8 op = byte();
	unsigned int i = op >> 5;
	struct sock *s = &socks[i];
	u8 a, b, c, d;

	op &= 31;
	if (op >= 20) {		/* most of what happens is I/O and turns */
		a = byte();
		if (op < 24)
			send_io(i, a, byte(), byte(), 0);
		else if (op < 29)
			turn(a, 0);
		else
			complete(a, 0);
		return;
	}
	a = byte();
	switch (op) {
	case 0:
		connect_client(i, a);
		break;
	case 1:
		send_raw(i, a);
		break;
	case 2:
		b = byte();
		send_stat(i, a, b, byte());
		break;
	case 3:
		b = byte();
		c = byte();
		send_login(i, a, b, c, byte());
		break;
	case 4:
		b = byte();
		c = byte();
		send_open(i, a, b, c, byte());
		break;
	case 5:
		b = byte();
		c = byte();
		send_io(i, a, b, c, byte());
		break;
	case 6:
		b = byte();
		c = byte();
		send_v34(i, a, b, c, byte());
		break;
	case 7:
		turn(a, word());
		break;
	case 8:
		pass_time(a);
		break;
	case 9:
		s->eof = true;
		s->reset = a & 1;
		break;
	case 10:
		s->room = a == 255 ? SIM_ENDLESS : (size_t)a * a;
		break;
	case 11:
		complete(a, byte());
		break;
	case 12:
		corrupt(s, word(), a);
		break;
	case 13:
		b = byte();
		reload(a & byte(), b, a ^ 15);
		break;
	case 14:
		if (a == 0x77)
			conns_drain(&loops[0]);
		sim_generation++;
		sim_revoked = a & 15;
		conns_review();
		break;
	case 15:
	case 16:
	case 17:
		b = byte();
		c = byte();
		d = byte();
		quick_start(i, a, b, c, d);
		break;
	case 18:
		sim_record = a & 3;
		sim_no_bufs = a & 4;
		sim_no_memory = a >> 3;
		break;
	case 19:
		b = byte();
		c = byte();
		for (d = 0; d < (c >> 2); d++)
			send_io(i, a & 15, b, c & 3, 0);
		break;
	}
}

/* The end */

static void settle(void)
{
	unsigned int i, rounds = 0;
	bool quiet;

	do {
		quiet = true;
		sim_clock_us += CLOCK_STEP_US;
		for (i = 0; i < nr_loops; i++) {
			while (sim_complete(&loops[i], 0, SIM_OK))
				;
			sim_turn(&loops[i], SIM_ENDLESS);
			quiet &= sim_quiet(&loops[i]);
		}
		must(rounds++ < 5000);
	} while (!quiet);
}

/* All that was asked and may be answered has been, and fences nobody off. */
static void expect_answers(void)
{
	struct export *x = NULL;
	const struct use *u;
	unsigned int i;

	control_lock();
	while ((x = export_next(x)))
		for (u = x->uses; u; u = u->next)
			must(!atomic_load(&u->inflight));
	control_unlock();

	for (i = 0; i < SIM_SOCKS; i++) {
		if (!socks[i].open || socks[i].shut || socks[i].reset ||
		    !TAILQ_EMPTY(&socks[i].loop->starved))
			continue;
		must(clients[i].broken || !clients[i].nr_reqs);
	}
}

static void everybody_leaves(void)
{
	unsigned int i;

	for (i = 0; i < SIM_SOCKS; i++)
		socks[i].room = SIM_ENDLESS;
	sim_record = 0;
	sim_no_memory = 0;
	settle();
	sim_clock_us += 31000000;	/* half of the longest kato */
	settle();
	expect_answers();
	for (i = 0; i < SIM_SOCKS; i++)
		socks[i].eof = true;
	settle();
	sessions_close();
	settle();
	exports_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_options options;
	unsigned int i;
	u8 how;

	input = data;
	input_left = size;
	how = byte();
	options = (struct sim_options){
		.loops = how & 1 ? 2 : 1,
		.tls = how & 2,
		/* The largest request fits, as it always does in vxhsd. */
		.pool = how & 4 ? 5 << 18 : how & 8 ? 3 << 20 : 256 << 20,
	};
	for (i = 0; i < SIM_SOCKS; i++)
		memset(&clients[i], 0, offsetof(struct client, reqs));
	last_lease = 0;
	sim_begin(&options);
	reload(0, 0, 15);
	while (input_left)
		run_one();
	everybody_leaves();
	sim_end();
	return 0;
}
