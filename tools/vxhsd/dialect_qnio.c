// SPDX-License-Identifier: GPL-2.0
/*
 * QNIO v34, as existing VxHS clients speak it.
 *
 * Such a client cannot flush, so a WRITE is durable before it is answered.
 * It cannot open either: where a native session has a vdisk exclusively, its
 * WRITEs are refused.  Where the reference server dies, wedges, spins or
 * lies, this one answers with an error and no payload.
 */
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "backend.h"
#include "conn.h"
#include "dialect.h"

#define MAX_IO		(16u << 20)	/* bytes of one READ or WRITE */
#define MAX_DRAIN	(1ull << 30)	/* larger payloads are absurd */
#define MAX_IOS		256		/* unanswered, of a connection */
#define MAX_BYTES	(32u << 20)	/* the same */
#define NR_USES		64		/* vdisks that are remembered */

/** struct qnio - vdisks that this connection has named, by their hash */
struct qnio {
	struct use *uses[NR_USES];
};

static s32 err_of(u16 status)
{
	switch (status) {
	case VXHS_ST_OK:
		return VXHS_V34_OK;
	case VXHS_ST_NOT_FOUND:
		return VXHS_V34_ENOENT;
	case VXHS_ST_UNSUPPORTED:
		return VXHS_V34_EOPNOTSUPP;
	default:
		return VXHS_V34_EINVAL;
	}
}

static void answer(struct conn *c, struct io *io, u16 status,
		   const void *data, u32 len)
{
	if (status) {
		data = NULL;
		len = 0;
	}
	vxhs_v34_put_reply(&io->hdr.v34, &io->hdr.v34, err_of(status), len);
	io->hdr_len = sizeof(io->hdr.v34);
	conn_reply(c, io, data, len);
}

static void note(const struct conn *c, const char *event, const char *vdisk,
		 const char *why)
{
	char peer[ADDR_TEXT];

	addr_format((const struct sockaddr *)&c->peer, peer);
	audit(&(struct audit){
		.event = event,
		.peer = peer,
		.identity = conn_who(c),
		.vdisk = vdisk,
		.why = why,
	});
}

/* Under control_lock(). */
static struct export *find(const struct conn *c, const char *name)
{
	unsigned int rights;
	struct export *x;

	if (!name)
		return NULL;
	x = export_find_for(conn_who(c), name, &rights);
	if (!x)
		note(c, "denied", name,
		     export_find(name) ? "no right" : "no such vdisk");
	return x;
}

static void qnio_reply(struct conn *c, struct io *io)
{
	if (io->status == VXHS_ST_DENIED)
		note(c, "denied", io->use->export->name, "no right to write");
	if (io->kind == IO_READ)
		answer(c, io, io->status, io->buf, io->length);
	else
		answer(c, io, io->status, NULL, 0);
}

/* The last component is the name; NULL for one that no vdisk can have. */
static const char *vdisk_name(const struct vxhs_v34_hdr *hdr,
			      const struct vxhs_v34_msg *msg)
{
	const char *slash = strrchr(msg->target, '/');
	const char *name = slash ? slash + 1 : msg->target;

	if (!*name || hdr->target[VXHS_V34_TARGET_LEN - 1])
		return NULL;
	return name;
}

static void forget(struct use **place)
{
	if (*place)
		use_put(*place);
	*place = NULL;
}

static struct use *remember(struct conn *c, struct use **place,
			    const char *name)
{
	struct export *x;

	forget(place);
	control_lock();
	x = find(c, name);
	if (x)
		*place = use_new(c->loop, x, NULL, NULL, conn_who(c));
	control_unlock();
	if (*place)
		note(c, "open", name, "by QNIO v34");
	return *place;
}

static struct use *find_use(struct conn *c, const char *name)
{
	struct qnio *q = c->state;
	struct use **place;

	if (!q) {
		q = calloc(1, sizeof(*q));
		c->state = q;
	}
	if (!q || !name)
		return NULL;
	place = &q->uses[hash64(0, name, strlen(name)) % NR_USES];
	if (*place && !strcmp((*place)->export->name, name) &&
	    atomic_load(&(*place)->rights) &&
	    !atomic_load(&(*place)->export->removed))
		return *place;
	return remember(c, place, name);
}

static u16 check_io(const struct vxhs_v34_msg *msg, const struct export *x)
{
	u64 size = atomic_load(&x->size);

	if (msg->io_size > MAX_IO || msg->io_offset > size ||
	    msg->io_size > size - msg->io_offset)
		return VXHS_ST_INVALID;
	/* Around the page cache only whole blocks will do. */
	if ((msg->io_size | msg->io_offset) & (x->dio_align - 1))
		return VXHS_ST_INVALID;
	if (msg->opcode != VXHS_V34_WRITE)
		return VXHS_ST_OK;
	if (!msg->io_size || msg->payload_size != msg->io_size ||
	    (msg->data_type != VXHS_V34_RAW &&
	     msg->data_type != VXHS_V34_KVSET))
		return VXHS_ST_INVALID;
	return x->read_only ? VXHS_ST_READ_ONLY : VXHS_ST_OK;
}

/* READ and WRITE: find the vdisk, check the bounds. */
static u16 prepare_io(struct conn *c, struct io *io,
		      const struct vxhs_v34_msg *msg)
{
	struct use *use = find_use(c, vdisk_name(&io->hdr.v34, msg));
	u16 status;

	if (!use)
		return VXHS_ST_NOT_FOUND;
	status = check_io(msg, use->export);
	if (status)
		return status;
	use->refs++;
	io->use = use;
	io->offset = msg->io_offset;
	io->length = (u32)msg->io_size;
	io->kind = msg->opcode == VXHS_V34_READ ? IO_READ : IO_WRITE;
	io->fua = true;
	return VXHS_ST_OK;
}

static u16 check_ready(const struct io *io, const struct vxhs_v34_msg *msg)
{
	const char *name = vdisk_name(&io->hdr.v34, msg);
	bool found;

	control_lock();
	found = find(io->conn, name);
	control_unlock();
	return found ? VXHS_ST_OK : VXHS_ST_NOT_FOUND;
}

static u16 prepare(struct conn *c, struct io *io,
		   const struct vxhs_v34_msg *msg)
{
	if (!(msg->flags & (VXHS_V34_NEED_ACK | VXHS_V34_NEED_RESP)))
		return VXHS_ST_INVALID;
	switch (msg->opcode) {
	case VXHS_V34_READ:
	case VXHS_V34_WRITE:
		return prepare_io(c, io, msg);
	case VXHS_V34_READY:
		return check_ready(io, msg);
	case VXHS_V34_STAT:
		return VXHS_ST_OK;
	default:
		return VXHS_ST_UNSUPPORTED;
	}
}

/* Is there a version that both speak?  0 if not. */
static u16 choose_version(u16 min, u16 max)
{
	return min <= VXHS_VERSION && VXHS_VERSION <= max ? VXHS_VERSION : 0;
}

/*
 * An unknown vdisk has size 0.  An offer is answered whatever becomes of STAT
 * itself, after put_reply() has cleared the trailer; the connection does not
 * close or send before the turn ends.  From here on the lane may be native.
 */
static void answer_stat(struct conn *c, struct io *io)
{
	struct vxhs_offer offer = io->hdr.v34.offer;
	bool first = io->first;
	struct vxhs_v34_msg msg;
	u64 features, size = 0;
	struct export *x;
	const char *name;
	u16 min, max, version;

	vxhs_v34_get(&io->hdr.v34, &msg);
	name = vdisk_name(&io->hdr.v34, &msg);
	control_lock();
	x = find(c, name);
	if (x)
		size = atomic_load(&x->size);
	else if (!io->status)
		io->status = VXHS_ST_NOT_FOUND;
	control_unlock();

	vxhs_v34_put_size(io->body, size);
	answer(c, io, io->status, io->body, VXHS_SIZE_KVSET_LEN);
	if (!first || !vxhs_get_offer(&offer, &min, &max, &features))
		return;
	version = choose_version(min, max);
	vxhs_put_choice(&io->hdr.v34.offer, version,
			version ? features & VXHS_FEATURES_ALL : 0);
	if (version)
		vxhs_begin(c, min, max, features);
}

static void run(struct conn *c, struct io *io, u16 opcode)
{
	if (opcode == VXHS_V34_STAT) {
		answer_stat(c, io);
	} else if (io->kind == IO_NONE || !io->length) {
		io->length = 0;
		qnio_reply(c, io);
	} else {
		io_start(io);
	}
}

static enum rx qnio_header(struct conn *c, const void *hdr)
{
	struct vxhs_v34_msg msg;
	struct io *io;

	if (vxhs_v34_get(hdr, &msg)) {
		conn_complain(c, vxhs_rule_text(VXHS_RULE_V34_MARKER));
		return RX_CLOSE;
	}
	if (msg.payload_size > MAX_DRAIN) {
		conn_complain(c, "a v34 payload is larger than 1 GiB");
		return RX_CLOSE;
	}
	if (c->nr_ios >= MAX_IOS || c->io_bytes >= MAX_BYTES)
		return RX_WAIT;

	io = io_new(c);
	if (!io) {
		conn_complain(c, "no memory for its request");
		return RX_CLOSE;
	}
	memcpy(&io->hdr.v34, hdr, sizeof(io->hdr.v34));
	io->first = !c->established;
	io->status = prepare(c, io, &msg);
	if (!io->status && io->kind == IO_READ && io->length &&
	    !io->use->export->backend->at_once &&
	    !io_get_buf(io, io->length)) {
		io_free(io);
		conn_starve(c, msg.io_size);
		return RX_WAIT;
	}
	c->established = true;
	if (io->status || (msg.payload_size && io->kind != IO_WRITE))
		conn_drain(c, io, msg.payload_size);
	else if (io->kind == IO_WRITE)
		conn_expect(c, io, msg.payload_size);
	else
		run(c, io, msg.opcode);
	return RX_OK;
}

static enum rx qnio_payload(struct conn *c, struct io *io)
{
	struct vxhs_v34_msg msg;

	vxhs_v34_get(&io->hdr.v34, &msg);
	if (!io->status || msg.opcode == VXHS_V34_STAT) {
		run(c, io, msg.opcode);
	} else {
		io->length = 0;
		answer(c, io, io->status, NULL, 0);
	}
	return RX_OK;
}

static void qnio_dropped(struct conn *c, struct io *io)
{
	(void)c;
	io_free(io);
}

static void qnio_tick(struct conn *c)
{
	struct qnio *q = c->state;
	unsigned int i;

	for (i = 0; q && i < NR_USES; i++)
		if (q->uses[i] && atomic_load(&q->uses[i]->export->removed))
			forget(&q->uses[i]);
}

static void qnio_closing(struct conn *c)
{
	(void)c;
}

static void qnio_freed(struct conn *c)
{
	struct qnio *q = c->state;
	unsigned int i;

	for (i = 0; q && i < NR_USES; i++)
		forget(&q->uses[i]);
	free(q);
	c->state = NULL;
}

const struct dialect dialect_qnio = {
	.name = "QNIO v34",
	.header_len = sizeof(struct vxhs_v34_hdr),
	.header = qnio_header,
	.payload = qnio_payload,
	.reply = qnio_reply,
	.dropped = qnio_dropped,
	.tick = qnio_tick,
	.closing = qnio_closing,
	.freed = qnio_freed,
};
