// SPDX-License-Identifier: GPL-2.0
/*
 * empty_records PORT CERT KEY [RECORDS]: a TLS server of one connection that
 * sends records without data as fast as it can, until the other end closes.
 * It says "ready", and at the end how many there were.  With RECORDS it is a
 * client that sends so many, made beforehand, and says "begun" when the first
 * are gone.
 */
#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD	(5 + 1 + 16)	/* header, type, tag */
#define BATCH	1024
#define CHUNK	65536

struct flow {
	gnutls_aead_cipher_hd_t aead;
	unsigned char iv[12];
	uint64_t seq;
};

static void must(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "empty_records: %s\n", what);
	exit(1);
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	must(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	     !listen(fd, 8), "cannot listen");
	return fd;
}

static void begin(struct flow *flow, gnutls_session_t session)
{
	gnutls_datum_t iv, key;
	unsigned char seq[8];
	int i;

	must(!gnutls_record_get_state(session, 0, NULL, &iv, &key, seq) &&
	     iv.size == sizeof(flow->iv) &&
	     !gnutls_aead_cipher_init(&flow->aead, gnutls_cipher_get(session),
				      &key), "no keys");
	memcpy(flow->iv, iv.data, iv.size);
	flow->seq = 0;
	for (i = 0; i < 8; i++)
		flow->seq = flow->seq << 8 | seq[i];
}

static void put(struct flow *flow, unsigned char *out)
{
	static const unsigned char header[5] = { 23, 3, 3, 0, RECORD - 5 };
	static const unsigned char type = 23;
	unsigned char nonce[12];
	size_t len = RECORD - 5;
	int i;

	memcpy(nonce, flow->iv, sizeof(nonce));
	for (i = 0; i < 8; i++)
		nonce[11 - i] ^= (unsigned char)(flow->seq >> 8 * i);
	flow->seq++;
	memcpy(out, header, sizeof(header));
	must(!gnutls_aead_cipher_encrypt(flow->aead, nonce, sizeof(nonce),
					 header, sizeof(header), 16, &type, 1,
					 out + 5, &len), "cannot encrypt");
}

static int connect_to(const char *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	must(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
	     "cannot connect");
	return fd;
}

static void set_up(gnutls_session_t *session, int side, char **argv)
{
	static const char ciphers[] =
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:%NO_TICKETS:-CIPHER-ALL:+AES-128-GCM";
	gnutls_certificate_credentials_t creds;

	must(!gnutls_certificate_allocate_credentials(&creds) &&
	     !gnutls_certificate_set_x509_key_file(creds, argv[2], argv[3],
						   GNUTLS_X509_FMT_PEM) &&
	     !gnutls_init(session, side | GNUTLS_NO_SIGNAL) &&
	     !gnutls_priority_set_direct(*session, ciphers, NULL) &&
	     !gnutls_credentials_set(*session, GNUTLS_CRD_CERTIFICATE, creds),
	     "cannot set up TLS");
}

static void shake_hands(gnutls_session_t session, int fd)
{
	gnutls_transport_set_int(session, fd);
	must(!gnutls_handshake(session), "no handshake");
}

static void serve(char **argv)
{
	static unsigned char batch[BATCH * RECORD];
	gnutls_session_t session;
	unsigned long sent = 0;
	struct flow flow;
	int fd, i;

	fd = listen_on(argv[1]);
	set_up(&session, GNUTLS_SERVER, argv);
	puts("ready");
	fflush(stdout);
	fd = accept(fd, NULL, NULL);
	shake_hands(session, fd);
	begin(&flow, session);
	do {
		for (i = 0; i < BATCH; i++)
			put(&flow, batch + i * RECORD);
		sent += BATCH;
	} while (send(fd, batch, sizeof(batch), MSG_NOSIGNAL) > 0);
	printf("%lu\n", sent);
}

static void flood(char **argv, size_t records)
{
	unsigned char *all = malloc(records * RECORD);
	gnutls_session_t session;
	size_t i, at = 0;
	struct flow flow;
	ssize_t n;
	int fd;

	must(all && records, "no memory");
	set_up(&session, GNUTLS_CLIENT, argv);
	fd = connect_to(argv[1]);
	shake_hands(session, fd);
	begin(&flow, session);
	for (i = 0; i < records; i++)
		put(&flow, all + i * RECORD);
	while (at < records * RECORD) {
		n = records * RECORD - at < CHUNK ?
			(ssize_t)(records * RECORD - at) : CHUNK;
		n = send(fd, all + at, (size_t)n, MSG_NOSIGNAL);
		must(n > 0, "the connection has ended");
		if (!at)
			puts("begun");
		fflush(stdout);
		at += (size_t)n;
	}
}

int main(int argc, char **argv)
{
	must(argc == 4 || argc == 5, "PORT CERT KEY [RECORDS]");
	if (argc == 4)
		serve(argv);
	else
		flood(argv, strtoul(argv[4], NULL, 10));
	return 0;
}
