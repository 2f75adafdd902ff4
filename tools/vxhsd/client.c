// SPDX-License-Identifier: GPL-2.0
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "client.h"

#define NR_BUCKETS	1024

/* Constant while loops run. */
unsigned int client_max_conns = CLIENT_CONNS;
size_t client_max_bytes = SIZE_MAX;
size_t client_share = SIZE_MAX;	/* of one of so many connections */
static u64 seed;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under the lock, as is what the clients count, but for bytes. */
static LIST_HEAD(, client) buckets[NR_BUCKETS];

/**
 * clients_init - what one may have
 * @conns: connections, and as many sessions
 * @bytes: of payloads at a time
 */
void clients_init(unsigned int conns, u64 bytes)
{
	client_max_conns = conns;
	client_max_bytes = bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
	client_share = client_max_bytes / conns;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed = now_us();
}

/* Under the lock.  NULL without memory. */
static struct client *find_or_add(const u8 key[16])
{
	unsigned int i = hash64(seed, key, 16) % NR_BUCKETS;
	struct client *client;

	LIST_FOREACH(client, &buckets[i], entry)
		if (!memcmp(client->key, key, 16))
			return client;
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	memcpy(client->key, key, 16);
	LIST_INSERT_HEAD(&buckets[i], client, entry);
	return client;
}

/* Under the lock. */
static void free_unused(struct client *client)
{
	if (client->conns || client->sessions)
		return;
	LIST_REMOVE(client, entry);
	free(client);
}

/**
 * client_join - one more connection of a client
 * @key: who it is
 *
 * Any thread.
 * Return: for client_leave(), or NULL if it has as many as it may
 */
struct client *client_join(const u8 key[16])
{
	struct client *client;

	pthread_mutex_lock(&lock);
	client = find_or_add(key);
	if (client && client->conns < client_max_conns)
		client->conns++;
	else
		client = NULL;
	pthread_mutex_unlock(&lock);
	return client;
}

/** client_leave - a connection has ended, with all that it had */
void client_leave(struct client *client)
{
	pthread_mutex_lock(&lock);
	client->conns--;
	free_unused(client);
	pthread_mutex_unlock(&lock);
}

/**
 * client_begin_session - one more session of a client
 * @client: of a connection, which stays
 *
 * Return: whether it may, then for client_end_session()
 */
bool client_begin_session(struct client *client)
{
	bool may;

	pthread_mutex_lock(&lock);
	may = client->sessions < client_max_conns;
	if (may)
		client->sessions++;
	pthread_mutex_unlock(&lock);
	return may;
}

/** client_end_session - it is over, and nobody refers to it any more */
void client_end_session(struct client *client)
{
	pthread_mutex_lock(&lock);
	client->sessions--;
	free_unused(client);
	pthread_mutex_unlock(&lock);
}
