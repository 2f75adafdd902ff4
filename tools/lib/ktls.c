// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ktls.h"

#ifndef SOL_TLS
#define SOL_TLS		282
#endif

/* All of them begin with the first. */
union keys {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/**
 * struct layout - where the kernel wants what
 * @type: TLS_CIPHER_*
 * @size: bytes of the whole
 * @key: where the key goes
 * @key_size: bytes
 * @salt: the first bytes of TLS's IV
 * @salt_size: bytes; 0 with ChaCha20-Poly1305
 * @iv: the others
 * @iv_size: bytes
 * @seq: the sequence number, 8 bytes
 */
struct layout {
	uint16_t type;
	socklen_t size;
	unsigned char *key;
	size_t key_size;
	unsigned char *salt;
	size_t salt_size;
	unsigned char *iv;
	size_t iv_size;
	unsigned char *seq;
};

#define LAYOUT(k, cipher) (struct layout) {				\
	.type = (cipher), .size = sizeof(*(k)),				\
	.key = (k)->key, .key_size = sizeof((k)->key),			\
	.salt = (k)->salt, .salt_size = sizeof((k)->salt),		\
	.iv = (k)->iv, .iv_size = sizeof((k)->iv), .seq = (k)->rec_seq,	\
}

static int get_layout(gnutls_cipher_algorithm_t cipher, union keys *keys,
		      struct layout *out)
{
	switch (cipher) {
	case GNUTLS_CIPHER_AES_128_GCM:
		*out = LAYOUT(&keys->aes128, TLS_CIPHER_AES_GCM_128);
		return 0;
	case GNUTLS_CIPHER_AES_256_GCM:
		*out = LAYOUT(&keys->aes256, TLS_CIPHER_AES_GCM_256);
		return 0;
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
		*out = LAYOUT(&keys->chacha, TLS_CIPHER_CHACHA20_POLY1305);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int fill(gnutls_session_t session, unsigned int read,
		struct layout *out, union keys *keys)
{
	gnutls_datum_t iv, key;
	unsigned char seq[8];

	/* All three belong to the session: there is nothing to free. */
	if (gnutls_record_get_state(session, read, NULL, &iv, &key, seq) ||
	    key.size != out->key_size ||
	    iv.size != out->salt_size + out->iv_size)
		return -EINVAL;
	keys->info.version = TLS_1_3_VERSION;
	keys->info.cipher_type = out->type;
	memcpy(out->key, key.data, key.size);
	memcpy(out->salt, iv.data, out->salt_size);
	memcpy(out->iv, iv.data + out->salt_size, out->iv_size);
	memcpy(out->seq, seq, sizeof(seq));
	explicit_bzero(seq, sizeof(seq));
	return 0;
}

static int install(gnutls_session_t session, int fd, unsigned int read)
{
	struct layout layout;
	union keys keys = { 0 };
	int ret;

	ret = get_layout(gnutls_cipher_get(session), &keys, &layout);
	if (!ret)
		ret = fill(session, read, &layout, &keys);
	if (!ret && setsockopt(fd, SOL_TLS, read ? TLS_RX : TLS_TX, &keys,
			       layout.size))
		ret = -errno;
	explicit_bzero(&keys, sizeof(keys));
	return ret;
}

/**
 * ktls_offered() - can this kernel do TLS?
 *
 * Loads the kernel's module, so that no handshake has to.
 */
bool ktls_offered(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	if (fd < 0)
		return false;
	/* Refused for it is not connected, but only by what is there. */
	yes = !setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) ||
	      errno == ENOTCONN;
	close(fd);
	return yes;
}

/**
 * ktls_install() - let the kernel do a connection's records, both ways
 * @session: its handshake is over and it has read nothing further
 * @fd: its connection
 *
 * Return: 0 or a negative errno; then the connection is of no more use
 */
int ktls_install(gnutls_session_t session, int fd)
{
	int ret;

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		return -errno;
	ret = install(session, fd, 0);
	return ret ? ret : install(session, fd, 1);
}
