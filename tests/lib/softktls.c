// SPDX-License-Identifier: GPL-2.0
/*
 * For hosts whose kernel has no TLS: an LD_PRELOAD library that does the
 * records of a socket which was given TLS_TX and TLS_RX.  The program's
 * descriptor becomes an end of a socket pair; two threads cipher between its
 * other end and the network, with nothing but what the kernel would have been
 * given.  What a kernel does beyond that (EIO, EBADMSG) ends the connection
 * here: those tests want the real thing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD		65536
#define MAX_DATA	16384
#define TAG		16

struct way {
	gnutls_aead_cipher_hd_t aead;
	unsigned char iv[12];
	unsigned long long seq;
};

struct soft {
	int net;
	int inner;
	struct way tx;
	struct way rx;
	int refs;
};

struct peer {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* Until the keys are there; then a soft belongs to its two threads. */
static struct soft *softs[MAX_FD];
static struct peer peers[MAX_FD];

static int real_setsockopt(int fd, int level, int name, const void *value,
			   socklen_t len)
{
	static int (*real)(int, int, int, const void *, socklen_t);

	if (!real)
		real = (int (*)(int, int, int, const void *, socklen_t))
			dlsym(RTLD_NEXT, "setsockopt");
	return real(fd, level, name, value, len);
}

static int real_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	static int (*real)(int, struct sockaddr *, socklen_t *);

	if (!real)
		real = (int (*)(int, struct sockaddr *, socklen_t *))
			dlsym(RTLD_NEXT, "getpeername");
	return real(fd, sa, len);
}

/* What the kernel was to be given, back to what a cipher wants. */
static int set_way(struct way *way, const void *value)
{
	const struct tls_crypto_info *info = value;
	const struct tls12_crypto_info_aes_gcm_128 *aes128 = value;
	const struct tls12_crypto_info_aes_gcm_256 *aes256 = value;
	const struct tls12_crypto_info_chacha20_poly1305 *chacha = value;
	gnutls_cipher_algorithm_t cipher;
	const unsigned char *seq;
	gnutls_datum_t key;
	int i;

	if (info->version != TLS_1_3_VERSION)
		return -1;
	switch (info->cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		cipher = GNUTLS_CIPHER_AES_128_GCM;
		key = (gnutls_datum_t){ (void *)aes128->key, 16 };
		memcpy(way->iv, aes128->salt, 4);
		memcpy(way->iv + 4, aes128->iv, 8);
		seq = aes128->rec_seq;
		break;
	case TLS_CIPHER_AES_GCM_256:
		cipher = GNUTLS_CIPHER_AES_256_GCM;
		key = (gnutls_datum_t){ (void *)aes256->key, 32 };
		memcpy(way->iv, aes256->salt, 4);
		memcpy(way->iv + 4, aes256->iv, 8);
		seq = aes256->rec_seq;
		break;
	case TLS_CIPHER_CHACHA20_POLY1305:
		cipher = GNUTLS_CIPHER_CHACHA20_POLY1305;
		key = (gnutls_datum_t){ (void *)chacha->key, 32 };
		memcpy(way->iv, chacha->iv, 12);
		seq = chacha->rec_seq;
		break;
	default:
		return -1;
	}
	for (i = 0; i < 8; i++)
		way->seq = way->seq << 8 | seq[i];
	return gnutls_aead_cipher_init(&way->aead, cipher, &key);
}

static void next_nonce(struct way *way, unsigned char nonce[12])
{
	unsigned long long seq = way->seq++;
	int i;

	memcpy(nonce, way->iv, 12);
	for (i = 11; i > 3; i--, seq >>= 8)
		nonce[i] ^= (unsigned char)seq;
}

static int read_all(int fd, unsigned char *buf, size_t len)
{
	ssize_t n;

	for (; len; len -= (size_t)n, buf += n) {
		n = read(fd, buf, len);
		if (n <= 0)
			return -1;
	}
	return 0;
}

static int write_all(int fd, const unsigned char *buf, size_t len)
{
	ssize_t n;

	for (; len; len -= (size_t)n, buf += n) {
		n = send(fd, buf, len, MSG_NOSIGNAL);
		if (n <= 0)
			return -1;
	}
	return 0;
}

static void put(struct soft *s)
{
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	close(s->net);
	close(s->inner);
	gnutls_aead_cipher_deinit(s->tx.aead);
	gnutls_aead_cipher_deinit(s->rx.aead);
	free(s);
}

/* Returns the type of a record, 0 if there is none any more. */
static int take_record(struct soft *s, unsigned char *out, size_t *len)
{
	unsigned char head[5], body[MAX_DATA + 256], nonce[12];
	size_t n;

	do {
		if (read_all(s->net, head, sizeof(head)))
			return 0;
		n = (size_t)head[3] << 8 | head[4];
		if (n > sizeof(body) || read_all(s->net, body, n))
			return 0;
	} while (head[0] == 20);
	next_nonce(&s->rx, nonce);
	*len = sizeof(body);
	if (gnutls_aead_cipher_decrypt(s->rx.aead, nonce, 12, head, 5, TAG,
				       body, n, out, len))
		return 0;
	while (*len && !out[*len - 1])
		--*len;
	return *len ? out[--*len] : 0;
}

static void *receive(void *arg)
{
	unsigned char data[MAX_DATA + 256];
	struct soft *s = arg;
	size_t len;
	int type;

	while ((type = take_record(s, data, &len)) == 23)
		if (write_all(s->inner, data, len))
			break;
	/* close_notify is the end; all else is the end of everything. */
	if (type == 21 && len == 2 && !data[1]) {
		shutdown(s->inner, SHUT_WR);
	} else {
		shutdown(s->inner, SHUT_RDWR);
		shutdown(s->net, SHUT_RDWR);
	}
	put(s);
	return NULL;
}

static void *transmit(void *arg)
{
	unsigned char data[MAX_DATA + 1], nonce[12];
	unsigned char out[5 + MAX_DATA + 1 + TAG];
	struct soft *s = arg;
	ssize_t n;
	size_t len;

	while ((n = read(s->inner, data, MAX_DATA)) > 0) {
		data[n++] = 23;
		len = (size_t)n + TAG;
		memcpy(out, (unsigned char[5]){ 23, 3, 3,
			(unsigned char)(len >> 8), (unsigned char)len }, 5);
		next_nonce(&s->tx, nonce);
		if (gnutls_aead_cipher_encrypt(s->tx.aead, nonce, 12, out, 5,
					       TAG, data, (size_t)n, out + 5,
					       &len) ||
		    write_all(s->net, out, 5 + len))
			break;
	}
	shutdown(s->net, SHUT_RDWR);
	shutdown(s->inner, SHUT_RDWR);
	put(s);
	return NULL;
}

static int go(struct soft *s, int fd)
{
	pthread_t thread;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	s->net = dup(fd);
	s->inner = pair[1];
	if (s->net < 0 || dup3(pair[0], fd, O_CLOEXEC) < 0)
		return -1;
	close(pair[0]);
	s->refs = 2;
	if (pthread_create(&thread, NULL, receive, s) ||
	    pthread_detach(thread) ||
	    pthread_create(&thread, NULL, transmit, s))
		abort();
	return pthread_detach(thread);
}

static int begin(int fd)
{
	struct peer peer = { .len = sizeof(peer.addr) };

	if (real_getpeername(fd, (struct sockaddr *)&peer.addr, &peer.len))
		return -1;	/* ENOTCONN, as the kernel says */
	peers[fd] = peer;
	softs[fd] = calloc(1, sizeof(*softs[fd]));
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct soft *s = fd >= 0 && fd < MAX_FD ? softs[fd] : NULL;
	int ret;

	if (level == SOL_TLS && s) {
		ret = set_way(name == TLS_TX ? &s->tx : &s->rx, value);
		if (!ret && s->rx.aead && s->tx.aead) {
			softs[fd] = NULL;
			ret = go(s, fd);
		}
		if (ret)
			errno = EINVAL;
		return ret ? -1 : 0;
	}
	ret = real_setsockopt(fd, level, name, value, len);
	if (ret && errno == ENOENT && level == IPPROTO_TCP && name == TCP_ULP)
		return begin(fd);
	return ret;
}

int getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	int ret = real_getpeername(fd, sa, len);

	if (!ret && sa->sa_family == AF_UNIX && fd < MAX_FD && peers[fd].len) {
		memcpy(sa, &peers[fd].addr, peers[fd].len);
		*len = peers[fd].len;
	}
	return ret;
}
