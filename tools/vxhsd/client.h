/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How much one client may have of what all clients share.  With TLS a client
 * is an identity, otherwise an address (IPv6: a network of 2^64 of them).
 */
#ifndef _VXHSD_CLIENT_H
#define _VXHSD_CLIENT_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "util.h"

#define CLIENT_CONNS	4096	/* without client-max-conns, at most */
#define CLIENT_BYTES_MIN (16u << 20) /* client-max-inflight: one request */

/**
 * struct client - somebody who has a connection or a session
 * @entry: in its bucket
 * @key: of conn_client_key()
 * @conns: its connections
 * @sessions: its sessions
 * @bytes: of payloads that wait for it, for us or for a disk; any thread
 * @held: connections that wait for those bytes; any thread
 */
struct client {
	LIST_ENTRY(client) entry;
	u8 key[16];
	unsigned int conns;
	unsigned int sessions;
	_Atomic size_t bytes;
	atomic_uint held;
};

extern unsigned int client_max_conns;
extern size_t client_max_bytes;
extern size_t client_share;

void clients_init(unsigned int conns, u64 bytes);
struct client *client_join(const u8 key[16]);
void client_leave(struct client *client);
bool client_begin_session(struct client *client);
void client_end_session(struct client *client);

/** client_take - so many bytes more of payload */
static inline void client_take(struct client *client, size_t size)
{
	atomic_fetch_add_explicit(&client->bytes, size, memory_order_relaxed);
}

/** client_give - and so many less */
static inline void client_give(struct client *client, size_t size)
{
	atomic_fetch_sub_explicit(&client->bytes, size, memory_order_relaxed);
}

/** client_full - would so many bytes be more than one may have? */
static inline bool client_full(const struct client *client, size_t size)
{
	return atomic_load_explicit(&client->bytes, memory_order_relaxed) +
	       size > client_max_bytes;
}

#endif /* _VXHSD_CLIENT_H */
