// SPDX-License-Identifier: GPL-2.0
/* The kernel's part of TLS: it is given the keys, and does the records. */
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls.h"

#define RECORD_ALERT		21
#define ALERT_CLOSE_NOTIFY	0

/* All of them begin with a tls_crypto_info. */
union keys {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/** ktls_offered - can this kernel do TLS? */
bool ktls_offered(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	if (fd < 0)
		return false;
	/* A socket without a connection is refused, but only by what is there. */
	yes = !setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) ||
	      errno == ENOTCONN;
	close(fd);
	return yes;
}

/* The kernel's IV is GnuTLS's, cut in two: the salt comes first. */
#define FILL(k, type, key, iv_, seq_) ({				\
	bool fits_ = (key).size == sizeof((k)->key) &&			\
		     (iv_).size == sizeof((k)->salt) + sizeof((k)->iv);	\
									\
	if (fits_) {							\
		(k)->info.version = TLS_1_3_VERSION;			\
		(k)->info.cipher_type = type;				\
		memcpy((k)->key, (key).data, (key).size);		\
		memcpy((k)->salt, (iv_).data, sizeof((k)->salt));	\
		memcpy((k)->iv, (iv_).data + sizeof((k)->salt),		\
		       sizeof((k)->iv));				\
		memcpy((k)->rec_seq, seq_, sizeof((k)->rec_seq));	\
	}								\
	fits_ ? (socklen_t)sizeof(*(k)) : 0;				\
})

/* Returns the size of what the kernel is to be given, 0 if it cannot be. */
static socklen_t get_keys(gnutls_session_t session, unsigned int read,
			  union keys *keys)
{
	gnutls_datum_t iv, key;
	unsigned char seq[8];

	if (gnutls_record_get_state(session, read, NULL, &iv, &key, seq))
		return 0;
	switch (gnutls_cipher_get(session)) {
	case GNUTLS_CIPHER_AES_128_GCM:
		return FILL(&keys->aes128, TLS_CIPHER_AES_GCM_128, key, iv,
			    seq);
	case GNUTLS_CIPHER_AES_256_GCM:
		return FILL(&keys->aes256, TLS_CIPHER_AES_GCM_256, key, iv,
			    seq);
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
		return FILL(&keys->chacha, TLS_CIPHER_CHACHA20_POLY1305, key,
			    iv, seq);
	default:
		return 0;
	}
}

static int install(gnutls_session_t session, int fd, unsigned int read)
{
	union keys keys = { 0 };
	socklen_t len = get_keys(session, read, &keys);
	int ret;

	if (len)
		ret = setsockopt(fd, SOL_TLS, read ? TLS_RX : TLS_TX, &keys,
				 len) ? -errno : 0;
	else
		ret = -EINVAL;
	explicit_bzero(&keys, sizeof(keys));
	return ret;
}

/**
 * ktls_install - give a connection's records to the kernel
 * @session: its handshake has ended, and it has read nothing since
 * @fd: its socket
 *
 * Return: 0 or a negative errno; then the socket is of no more use
 */
int ktls_install(gnutls_session_t session, int fd)
{
	int ret;

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		return -errno;
	ret = install(session, fd, 0);
	return ret ? ret : install(session, fd, 1);
}

/**
 * ktls_take_record - what is it that a receive could not give us?
 * @fd: a socket of which a receive failed with EIO
 */
enum ktls_record ktls_take_record(int fd)
{
	char control[CMSG_SPACE(sizeof(unsigned char))];
	u8 data[2];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return KTLS_NONE;
	if (!n && !cmsg)
		return KTLS_EOF;
	if (cmsg && cmsg->cmsg_level == SOL_TLS &&
	    cmsg->cmsg_type == TLS_GET_RECORD_TYPE &&
	    *CMSG_DATA(cmsg) == RECORD_ALERT && n == 2 &&
	    data[1] == ALERT_CLOSE_NOTIFY)
		return KTLS_EOF;
	return KTLS_OTHER;
}
