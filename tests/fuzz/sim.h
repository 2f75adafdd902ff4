/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The world around vxhsd's connections, simulated: loops without threads,
 * rings without a kernel, sockets and files in memory, a clock that stands
 * still until it is moved.  Whoever drives it decides what completes, when,
 * in which order and with which result.
 *
 * sim.c takes the place of loop.c, listen.c, log.c, audit.c, the TLS files and
 * backend_file_open.c; system calls come here by the linker's --wrap.
 */
#ifndef _FUZZ_SIM_H
#define _FUZZ_SIM_H

#include "loop.h"

#define SIM_LOOPS	2
#define SIM_SOCKS	8
#define SIM_ENDLESS	SIZE_MAX
#define SIM_FILE	"/simulated/file/"	/* what such paths begin with */
#define SIM_DEVICE	"/simulated/device/"

#define must(x) do { if (!(x)) __builtin_trap(); } while (0)

/**
 * struct sock - a connection as the network sees it
 * @open: the server has it
 * @shut: the server has shut it down
 * @eof: the client has said its last word, behind @out
 * @reset: the client is gone
 * @out: bytes from the client
 * @out_len: of them
 * @out_taken: those that the server has
 * @room: bytes that the client still takes
 * @recv_op: the server's receive, or NULL
 * @sealed: it is told that there is something, and takes it by itself
 * @arrived: bytes that it finds then
 * @poll_op: the server waits for room, or NULL
 */
struct sock {
	struct loop *loop;
	bool open;
	bool shut;
	bool eof;
	bool reset;
	unsigned int peer;
	u8 *out;
	size_t out_len;
	size_t out_size;
	size_t out_taken;
	size_t room;
	struct op *recv_op;
	bool multishot;
	size_t recv_max;
	bool sealed;
	size_t arrived;
	struct op *poll_op;
};

/** enum sim_result - how a step of the ring ends */
enum sim_result {
	SIM_OK,
	SIM_SHORT,
	SIM_NOTHING,
	SIM_EIO,
	SIM_ENOSPC,
	SIM_EAGAIN,
	SIM_EINTR,
	SIM_EOPNOTSUPP,
	SIM_EINVAL,
	SIM_RESULTS,
};

struct sim_options {
	unsigned int loops;
	size_t pool;			/* bytes that a loop may lend out */
	bool tls;
};

extern struct sock socks[SIM_SOCKS];
extern u64 sim_clock_us;
extern unsigned int sim_generation;	/* of what is believed */
extern unsigned int sim_revoked;	/* a bit per identity */
extern unsigned int sim_record;		/* enum tls_record, of the next */
extern bool sim_no_bufs;		/* the next receive finds none */
extern unsigned int sim_no_memory;	/* the how-manieth allocation fails */

void sim_begin(const struct sim_options *options);
void sim_end(void);
bool sim_connect(unsigned int i, unsigned int peer, unsigned int loop);
void sim_send(struct sock *s, const void *buf, size_t len);
void sim_turn(struct loop *loop, size_t bytes);
bool sim_complete(struct loop *loop, unsigned int index,
		  enum sim_result result);
bool sim_quiet(const struct loop *loop);

/* The driver's. */
void sim_delivered(unsigned int i, const u8 *buf, size_t len);
void sim_received(unsigned int i, const u8 *buf, size_t len);

#endif /* _FUZZ_SIM_H */
