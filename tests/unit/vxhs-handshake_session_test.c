// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes with a server in the same process: who passes, who does not, and
 * what the kernel is told.  A kernel without TLS refuses the keys in the end;
 * then that is the only thing that may have gone wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../../tools/lib/ktls.h"
#include "../../tools/vxhs-handshake/log.h"
#include "../../tools/vxhs-handshake/session.h"

#define SERVER_TLS13	"NORMAL:-VERS-ALL:+VERS-TLS1.3"
#define SERVER_TLS12	"NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define SERVER_PSK	SERVER_TLS13 ":-CIPHER-ALL:+AES-128-GCM:-KX-ALL:" \
			"+ECDHE-PSK"
/* The key alone, which opens what was recorded once it is known. */
#define SERVER_PSK_ALONE SERVER_TLS13 ":-CIPHER-ALL:+AES-128-GCM:-KX-ALL:+PSK"
#define DAY		(24 * 60 * 60)
#define ROUNDS		2000	/* of 5 ms */

struct pair {
	gnutls_x509_crt_t cert;
	gnutls_x509_privkey_t key;
};

static char dir[] = "/tmp/vxhs-handshake-XXXXXX";
static struct pair ca, other_ca, host, stranger, server, expired, client_only;
static struct pair false_server, not_yet;
static struct pair costly;	/* of a test */
static uint8_t psk_key[16] = "0123456789abcdef";
static unsigned char serial;
static char told[4096];		/* what the log was told, in lines */

void __wrap_log_line(const char *fmt, ...);
void __wrap_log_line(const char *fmt, ...)
{
	size_t len = strlen(told);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(told + len, sizeof(told) - len - 1, fmt, ap);
	va_end(ap);
	strcat(told, "\n");
}

/* One line was said, with all of these words; NULL ends them. */
static void assert_said(const char *word, ...)
{
	size_t len = strlen(told);
	va_list ap;

	if (!len || strchr(told, '\n') != told + len - 1 ||
	    told[len - 2] == ' ')
		fail_msg("not one line: \"%s\"", told);
	va_start(ap, word);
	for (; word; word = va_arg(ap, const char *))
		if (!strstr(told, word))
			fail_msg("no \"%s\" in: %s", word, told);
	va_end(ap);
	*told = 0;
}

static unsigned int open_files(void)
{
	DIR *files = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(files);
	while (readdir(files))
		n++;
	closedir(files);
	return n;
}

static void make_from(struct pair *out, const char *name, struct pair *issuer,
		      const char *purpose, long since, long until)
{
	struct in_addr loopback = { htonl(INADDR_LOOPBACK) };

	serial++;
	assert_int_equal(gnutls_x509_privkey_init(&out->key), 0);
	assert_int_equal(gnutls_x509_privkey_generate(out->key,
			GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
	assert_int_equal(gnutls_x509_crt_init(&out->cert), 0);
	gnutls_x509_crt_set_version(out->cert, 3);
	gnutls_x509_crt_set_serial(out->cert, &serial, 1);
	gnutls_x509_crt_set_key(out->cert, out->key);
	gnutls_x509_crt_set_dn_by_oid(out->cert, GNUTLS_OID_X520_COMMON_NAME,
				      0, name, strlen(name));
	gnutls_x509_crt_set_activation_time(out->cert, time(NULL) + since);
	gnutls_x509_crt_set_expiration_time(out->cert, time(NULL) + until);
	gnutls_x509_crt_set_basic_constraints(out->cert, !issuer, -1);
	if (purpose) {
		gnutls_x509_crt_set_key_purpose_oid(out->cert, purpose, 0);
		gnutls_x509_crt_set_subject_alt_name(out->cert,
				GNUTLS_SAN_DNSNAME, name, strlen(name),
				GNUTLS_FSAN_SET);
		gnutls_x509_crt_set_subject_alt_name(out->cert,
				GNUTLS_SAN_IPADDRESS, &loopback,
				sizeof(loopback), GNUTLS_FSAN_APPEND);
	}
	if (!issuer)
		issuer = out;
	assert_int_equal(gnutls_x509_crt_sign2(out->cert, issuer->cert,
			issuer->key, GNUTLS_DIG_SHA256, 0), 0);
}

static void make(struct pair *out, const char *name, struct pair *issuer,
		 const char *purpose, long until)
{
	make_from(out, name, issuer, purpose, -2 * DAY, until);
}

static void put_file(const char *name, const void *data, size_t len)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	fclose(file);
}

static void put_pair(const char *name, const struct pair *pair)
{
	gnutls_datum_t pem;
	char file[64];

	gnutls_x509_crt_export2(pair->cert, GNUTLS_X509_FMT_PEM, &pem);
	snprintf(file, sizeof(file), "%s.pem", name);
	put_file(file, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_privkey_export2(pair->key, GNUTLS_X509_FMT_PEM, &pem);
	snprintf(file, sizeof(file), "%s.key", name);
	put_file(file, pem.data, pem.size);
	gnutls_free(pem.data);
}

static void put_crl(const char *name, const struct pair *issuer,
		    const struct pair *revoked, long since, long until)
{
	static const unsigned char number = 5;
	gnutls_x509_crl_t crl;
	gnutls_datum_t pem;

	gnutls_x509_crl_init(&crl);
	gnutls_x509_crl_set_version(crl, 2);
	gnutls_x509_crl_set_this_update(crl, time(NULL) + since);
	gnutls_x509_crl_set_next_update(crl, time(NULL) + until);
	gnutls_x509_crl_set_number(crl, &number, 1);
	gnutls_x509_crl_set_crt(crl, revoked->cert, time(NULL) - DAY);
	assert_int_equal(gnutls_x509_crl_sign2(crl, issuer->cert, issuer->key,
					       GNUTLS_DIG_SHA256, 0), 0);
	gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem);
	put_file(name, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
}

static enum expired expired_is = EXPIRED_REFUSE;

static struct identity *load(const char *text)
{
	struct identity *list;
	struct config config;
	struct err err;
	char path[128];

	*told = 0;
	put_file("conf", text, strlen(text));
	snprintf(path, sizeof(path), "%s/conf", dir);
	if (config_read(path, &config, &err))
		fail_msg("%s", err.text);
	list = identity_load_all(&config, expired_is, &err);
	if (!list)
		log_line("%s", err.text);
	config_free(&config);
	return list;
}

static struct identity *load_x509(const char *name, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "[identity default]\nca = %s/ca.pem\ncert = %s/%s.pem\nkey = %s/%s.key\n%s",
		 dir, dir, name, dir, name, more);
	return load(text);
}

static int set_up(void **state)
{
	(void)state;
	gnutls_global_init();
	assert_non_null(mkdtemp(dir));
	make(&ca, "ca", NULL, NULL, DAY);
	make(&other_ca, "other", NULL, NULL, DAY);
	make(&host, "host", &ca, GNUTLS_KP_TLS_WWW_CLIENT, DAY);
	make(&stranger, "host", &other_ca, GNUTLS_KP_TLS_WWW_CLIENT, DAY);
	make(&server, "server.example", &ca, GNUTLS_KP_TLS_WWW_SERVER, DAY);
	make(&expired, "server.example", &ca, GNUTLS_KP_TLS_WWW_SERVER, -DAY);
	make(&client_only, "server.example", &ca, GNUTLS_KP_TLS_WWW_CLIENT,
	     DAY);
	make(&false_server, "server.example", &other_ca,
	     GNUTLS_KP_TLS_WWW_SERVER, DAY);
	make_from(&not_yet, "server.example", &ca, GNUTLS_KP_TLS_WWW_SERVER,
		  DAY, 2 * DAY);
	put_pair("ca", &ca);
	put_pair("not_yet", &not_yet);
	put_pair("host", &host);
	put_pair("stranger", &stranger);
	put_pair("expired", &expired);
	put_crl("crl.pem", &ca, &server, -DAY, DAY);
	put_crl("other-crl.pem", &other_ca, &server, -DAY, DAY);
	put_crl("old-crl.pem", &ca, &server, -2 * DAY, -DAY);
	put_crl("old-else.pem", &ca, &client_only, -2 * DAY, -DAY);
	put_crl("early-else.pem", &ca, &client_only, DAY, 2 * DAY);
	return 0;
}

static void forget(struct pair *pair)
{
	gnutls_x509_crt_deinit(pair->cert);
	gnutls_x509_privkey_deinit(pair->key);
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	forget(&ca);
	forget(&other_ca);
	forget(&host);
	forget(&stranger);
	forget(&server);
	forget(&expired);
	forget(&client_only);
	forget(&false_server);
	forget(&not_yet);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	gnutls_global_deinit();
	return 0;
}

static void connect_both(int *client, int *peer)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (void *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (void *)&addr, &len);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*client, (void *)&addr, sizeof(addr)), 0);
	*peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(*peer >= 0);
	close(listener);
}

/* A key that nobody has; @modulus is a number of bytes, as is @exponent. */
static void make_rsa(struct pair *out, unsigned int modulus,
		     unsigned int exponent)
{
	gnutls_datum_t n = { malloc(modulus), modulus };
	gnutls_datum_t e = { malloc(exponent), exponent };
	gnutls_pubkey_t key;

	memset(n.data, 0xa5, modulus);
	memset(e.data, 0x25, exponent);
	gnutls_pubkey_init(&key);
	assert_int_equal(gnutls_pubkey_import_rsa_raw(key, &n, &e), 0);
	make(out, "server.example", &ca, GNUTLS_KP_TLS_WWW_SERVER, DAY);
	gnutls_x509_crt_set_pubkey(out->cert, key);
	assert_int_equal(gnutls_x509_crt_sign2(out->cert, ca.cert, ca.key,
					       GNUTLS_DIG_SHA256, 0), 0);
	gnutls_pubkey_deinit(key);
	free(n.data);
	free(e.data);
}

static unsigned int sign_bytes;

static int sign_nonsense(gnutls_privkey_t key,
			 gnutls_sign_algorithm_t algorithm, void *userdata,
			 unsigned int flags, const gnutls_datum_t *data,
			 gnutls_datum_t *signature)
{
	(void)key;
	(void)algorithm;
	(void)userdata;
	(void)flags;
	(void)data;
	signature->data = gnutls_malloc(sign_bytes);
	signature->size = sign_bytes;
	memset(signature->data, 0x22, sign_bytes);
	return 0;
}

static int describe_nonsense(gnutls_privkey_t key, unsigned int flags,
			     void *userdata)
{
	(void)key;
	(void)userdata;
	if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
		return GNUTLS_PK_RSA;
	if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
		return (int)sign_bytes * 8;
	return flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO ? 1 : -1;
}

static gnutls_pcert_st nonsense;	/* of a test, as is its key */
static gnutls_privkey_t nonsense_key;

static int give_nonsense(gnutls_session_t session,
			 const gnutls_datum_t *authorities, int nr_authorities,
			 const gnutls_pk_algorithm_t *algorithms,
			 int nr_algorithms, gnutls_pcert_st **certs,
			 unsigned int *nr_certs, gnutls_privkey_t *key)
{
	(void)session;
	(void)authorities;
	(void)nr_authorities;
	(void)algorithms;
	(void)nr_algorithms;
	*key = nonsense_key;
	*certs = &nonsense;
	*nr_certs = 1;
	return 0;
}

/* A server of any kind. */
struct serving {
	gnutls_session_t session;
	gnutls_certificate_credentials_t x509;
	gnutls_psk_server_credentials_t psk;
	int fd;
	int result;		/* GNUTLS_E_AGAIN while it runs */
};

static int give_psk(gnutls_session_t session, const char *name,
		    gnutls_datum_t *key)
{
	(void)session;
	if (strcmp(name, "host"))
		return -1;
	key->data = gnutls_malloc(sizeof(psk_key));
	memcpy(key->data, psk_key, sizeof(psk_key));
	key->size = sizeof(psk_key);
	return 0;
}

static void serve(struct serving *s, int fd, const char *priority,
		  const struct pair *pair)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->result = GNUTLS_E_AGAIN;
	gnutls_init(&s->session, GNUTLS_SERVER | GNUTLS_NONBLOCK |
		    GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
	assert_int_equal(gnutls_priority_set_direct(s->session, priority,
						    NULL), 0);
	gnutls_transport_set_int(s->session, fd);
	if (pair) {
		gnutls_x509_crt_t cert = pair->cert;

		gnutls_certificate_allocate_credentials(&s->x509);
		if (pair == &costly)
			gnutls_certificate_set_retrieve_function2(s->x509,
							give_nonsense);
		else
			gnutls_certificate_set_x509_key(s->x509, &cert, 1,
							pair->key);
		cert = ca.cert;
		gnutls_certificate_set_x509_trust(s->x509, &cert, 1);
		gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE,
				       s->x509);
		gnutls_certificate_server_set_request(s->session,
						      GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert(s->session, NULL, 0);
	} else {
		gnutls_psk_allocate_server_credentials(&s->psk);
		gnutls_psk_set_server_credentials_function(s->psk, give_psk);
		gnutls_credentials_set(s->session, GNUTLS_CRD_PSK, s->psk);
	}
}

static void serve_step(struct serving *s)
{
	if (s->result != GNUTLS_E_AGAIN)
		return;
	s->result = gnutls_handshake(s->session);
	if (s->result < 0 && !gnutls_error_is_fatal(s->result))
		s->result = GNUTLS_E_AGAIN;
	else if (s->result < 0)
		gnutls_alert_send_appropriate(s->session, s->result);
}

/* A server that has looked at who we are, and gone, before the kernel is asked. */
static struct serving *serving_now;
static bool ends_early;

int __real_ktls_install(gnutls_session_t session, int fd);
int __wrap_ktls_install(gnutls_session_t session, int fd);
int __wrap_ktls_install(gnutls_session_t session, int fd)
{
	struct pollfd pollfd = { .fd = serving_now->fd, .events = POLLIN };
	int i;

	if (!ends_early)
		return __real_ktls_install(session, fd);
	for (i = 0; i < ROUNDS && serving_now->result == GNUTLS_E_AGAIN; i++) {
		poll(&pollfd, 1, 5);
		serve_step(serving_now);
	}
	shutdown(serving_now->fd, SHUT_WR);
	return -ENOTCONN;
}

static void serve_end(struct serving *s)
{
	gnutls_deinit(s->session);
	if (s->x509)
		gnutls_certificate_free_credentials(s->x509);
	if (s->psk)
		gnutls_psk_free_server_credentials(s->psk);
	close(s->fd);
}

static enum progress go_on(struct session *s, struct serving *serving,
			   enum progress progress)
{
	int i;

	for (i = 0; i < ROUNDS && progress == PROGRESS_WAIT; i++) {
		struct pollfd pollfd = {
			.fd = s->fd, .events = session_events(s),
		};

		serve_step(serving);
		if (poll(&pollfd, 1, 5) == 1)
			progress = session_go_on(s);
	}
	return progress;
}

/*
 * Shake hands.  Returns what the kernel is told; *@result is the server's.
 * The kernel's refusal of the keys counts as success where it has no TLS.
 */
static int shake(struct identity *list, const char *peername,
		 const char *priority, const struct pair *pair, int *result)
{
	struct request request = {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509,
	};
	enum progress progress;
	struct serving serving;
	struct session s;
	int fd, i, status;

	strcpy(request.peername, peername);
	assert_non_null(list);
	*told = 0;
	connect_both(&request.fd, &fd);
	serve(&serving, fd, priority, pair);
	serving_now = &serving;
	progress = session_start(&s, &request, list, now_us());
	progress = go_on(&s, &serving, progress);
	assert_int_not_equal(progress, PROGRESS_WAIT);
	status = progress == PROGRESS_DONE ? 0 : s.status;
	if (status == EIO && !ktls_offered())
		status = 0;
	/* The server, too, comes to an end: with Finished or an alert. */
	for (i = 0; i < ROUNDS && serving.result == GNUTLS_E_AGAIN; i++) {
		struct pollfd pollfd = { .fd = fd, .events = POLLIN };

		poll(&pollfd, 1, 5);
		serve_step(&serving);
	}
	if (result)
		*result = serving.result;
	session_end(&s);
	serve_end(&serving);
	return status;
}

static void test_x509(void **state)
{
	struct identity *list = load_x509("host", "");
	int result;

	(void)state;
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &server,
			       &result), 0);
	assert_int_equal(result, 0);
	assert_int_equal(shake(list, "127.0.0.1", SERVER_TLS13, &server,
			       &result), 0);
	assert_int_equal(result, 0);
	assert_int_equal(shake(list, "default@server.example", SERVER_TLS13,
			       &server, &result), 0);
	identity_free_all(list);
}

/* The sentence says whom it is about, and these words. */
static void not_believed(struct identity *list, const char *name,
			 const struct pair *pair, const char *why)
{
	char whom[64];

	assert_int_equal(shake(list, name, SERVER_TLS13, pair, NULL),
			 EKEYREJECTED);
	snprintf(whom, sizeof(whom), "did not prove to be \"%s\": ", name);
	assert_said("127.0.0.1:", whom, why, NULL);
}

static void test_server_is_not_believed(void **state)
{
	struct identity *list = load_x509("host", "");
	unsigned int files = open_files();
	char crl[128];

	(void)state;
	not_believed(list, "other.example", &server, "name in the certificate");
	not_believed(list, "127.0.0.2", &server, "name in the certificate");
	not_believed(list, "server.example", &expired, "expired");
	not_believed(list, "server.example", &not_yet, "not yet valid");
	not_believed(list, "server.example", &client_only, "purpose");
	not_believed(list, "server.example", &false_server,
		     "issuer is unknown.\n");
	not_believed(list, "other", &other_ca,
		     "issuer is unknown. It is self-signed.\n");
	assert_int_equal(open_files(), files);
	identity_free_all(list);

	snprintf(crl, sizeof(crl), "crl = %s/crl.pem\n", dir);
	list = load_x509("host", crl);
	not_believed(list, "server.example", &server, "revoked");
	identity_free_all(list);
}

/* One that revokes nothing must not look as if it did. */
static void test_lists_of_others(void **state)
{
	struct identity *list;
	struct pair another;
	char crl[128];

	(void)state;
	snprintf(crl, sizeof(crl), "crl = %s/other-crl.pem\n", dir);
	assert_null(load_x509("host", crl));
	assert_said("/other-crl.pem", "signed", NULL);
	/* Who is on no list is not revoked. */
	make(&another, "server.example", &ca, GNUTLS_KP_TLS_WWW_SERVER, DAY);
	snprintf(crl, sizeof(crl), "crl = %s/crl.pem\n", dir);
	list = load_x509("host", crl);
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &another,
			       NULL), 0);
	forget(&another);
	identity_free_all(list);
}

/* What is in it goes on to count, but it is not taken at a reload. */
static void test_lists_of_another_time(void **state)
{
	static const struct {
		const char *name;
		int status;
	} lists[] = {
		{ "old-crl", EKEYREJECTED },
		{ "old-else", 0 },
		{ "early-else", 0 },
	};
	struct identity *list;
	char crl[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		snprintf(crl, sizeof(crl), "crl = %s/%s.pem\n", dir,
			 lists[i].name);
		assert_null(load_x509("host", crl));
		assert_said("the revocation list ", lists[i].name, NULL);
		expired_is = EXPIRED_WARN;
		list = load_x509("host", crl);
		assert_said("warning: the revocation list ", NULL);
		expired_is = EXPIRED_REFUSE;
		assert_int_equal(shake(list, "server.example", SERVER_TLS13,
				       &server, NULL), lists[i].status);
		identity_free_all(list);
	}
}

static void test_server_does_not_believe(void **state)
{
	struct identity *list = load_x509("stranger", "");
	int result;

	/* In TLS 1.3 the client is through before the server has looked. */
	(void)state;
	shake(list, "server.example", SERVER_TLS13, &server, &result);
	assert_int_not_equal(result, 0);
	ends_early = true;
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &server,
			       NULL), EACCES);
	assert_said("the server refuses identity \"default\": alert ", NULL);
	identity_free_all(list);
	list = load_x509("host", "");
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &server,
			       NULL), ECONNRESET);
	ends_early = false;
	identity_free_all(list);
}

static void test_old_tls(void **state)
{
	struct identity *list = load_x509("host", "");

	(void)state;
	assert_int_not_equal(shake(list, "server.example", SERVER_TLS12,
				   &server, NULL), 0);
	assert_said("refuses the handshake: alert", "TLS 1.3", NULL);
	/* A certificate was asked for, a PSK is none. */
	assert_int_not_equal(shake(list, "server.example", SERVER_PSK, NULL,
				   NULL), 0);
	assert_said("refuses the handshake: alert", "certificates", NULL);
	identity_free_all(list);
}

static int shake_with_rsa(struct identity *list, unsigned int modulus,
			  unsigned int exponent)
{
	int status;

	sign_bytes = modulus;
	make_rsa(&costly, modulus, exponent);
	gnutls_privkey_init(&nonsense_key);
	gnutls_privkey_import_ext4(nonsense_key, NULL, sign_nonsense,
				   sign_nonsense, NULL, NULL,
				   describe_nonsense, 0);
	gnutls_pcert_import_x509(&nonsense, costly.cert, 0);
	status = shake(list, "server.example", SERVER_TLS13, &costly, NULL);
	gnutls_pcert_deinit(&nonsense);
	gnutls_privkey_deinit(nonsense_key);
	forget(&costly);
	return status;
}

/* The signature is nonsense, so what is not refused before fails with it. */
static void test_costly_signatures(void **state)
{
	struct identity *list = load_x509("host", "");

	(void)state;
	assert_int_equal(shake_with_rsa(list, 256, 3), EPROTO);
	assert_int_equal(shake_with_rsa(list, 1024, 8), EPROTO);
	assert_int_equal(shake_with_rsa(list, 1025, 3), EKEYREJECTED);
	assert_said("key of the server", "8192 bits", NULL);
	assert_int_equal(shake_with_rsa(list, 256, 9), EKEYREJECTED);
	identity_free_all(list);
}

/* A server may not choose a group that keeps us from the others for long. */
static void test_costly_groups(void **state)
{
	struct identity *list = load_x509("host", "");

	(void)state;
	assert_int_not_equal(shake(list, "server.example",
				   SERVER_TLS13 ":-GROUP-ALL:+GROUP-FFDHE8192",
				   &server, NULL), 0);
	assert_int_equal(shake(list, "server.example",
			       SERVER_TLS13 ":-GROUP-ALL:+GROUP-SECP384R1",
			       &server, NULL), 0);
	identity_free_all(list);
}

static void test_psk(void **state)
{
	static const char good[] = "host:30313233343536373839616263646566\n";
	static const char wrong[] = "host:30313233343536373839616263646560\n";
	static const char unknown[] = "else:30313233343536373839616263646566\n";
	struct identity *list;
	char text[128];
	int result;

	(void)state;
	snprintf(text, sizeof(text), "[identity p]\npsk = %s/psk\n", dir);
	put_file("psk", good, strlen(good));
	list = load(text);
	assert_int_equal(shake(list, "p@whoever.it.is", SERVER_PSK, NULL,
			       &result), 0);
	assert_int_equal(result, 0);
	assert_int_equal(shake(list, "server.example", SERVER_PSK, NULL, NULL),
			 ENOKEY);
	assert_said("no [identity default] in the configuration", NULL);
	assert_int_not_equal(shake(list, "p@server.example", SERVER_TLS13,
				   &server, NULL), 0);
	assert_int_not_equal(shake(list, "p@a", SERVER_PSK_ALONE, NULL,
				   &result), 0);
	assert_int_not_equal(result, 0);
	identity_free_all(list);
	put_file("psk", wrong, strlen(wrong));
	list = load(text);
	assert_int_not_equal(shake(list, "p@a", SERVER_PSK, NULL, NULL), 0);
	assert_said("refuses identity \"p\": alert", "its log", NULL);
	identity_free_all(list);
	put_file("psk", unknown, strlen(unknown));
	list = load(text);
	assert_int_not_equal(shake(list, "p@a", SERVER_PSK, NULL, NULL), 0);
	assert_said("refuses identity \"p\": alert", "its log", NULL);
	identity_free_all(list);
}

/* Returns what is told when the other end says @said, then closes if @close. */
static int shake_with_bytes(const void *said, size_t len, bool closes)
{
	struct request request = {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509,
		.timeout_ms = 300, .peername = "server.example",
	};
	struct identity *list = load_x509("host", "");
	enum progress progress;
	struct session s;
	int fd, status;

	assert_non_null(list);
	*told = 0;
	connect_both(&request.fd, &fd);
	assert_int_equal(write(fd, said, len), len);
	if (closes)
		shutdown(fd, SHUT_WR);
	progress = session_start(&s, &request, list, now_us());
	while (progress == PROGRESS_WAIT) {
		struct pollfd pollfd = {
			.fd = s.fd, .events = session_events(&s),
		};

		if (poll(&pollfd, 1, 20) == 1)
			progress = session_go_on(&s);
		if (progress == PROGRESS_WAIT && now_us() >= s.deadline_us)
			progress = session_too_late(&s);
	}
	status = s.status;
	session_end(&s);
	identity_free_all(list);
	close(fd);
	return status;
}

static int shake_with_text(const char *said, bool closes)
{
	return shake_with_bytes(said, strlen(said), closes);
}

static void test_no_tls_at_all(void **state)
{
	(void)state;
	assert_int_equal(shake_with_text("", true), ECONNRESET);
	assert_said("closed the connection", "does it do TLS on that port?",
		    NULL);
	assert_int_equal(shake_with_text("", false), ETIMEDOUT);
	assert_said("did not end the handshake in time", NULL);
	assert_int_equal(shake_with_text("HTTP/1.1 400 Bad Request\r\n\r\n",
					 false), EPROTO);
	assert_said("does not speak TLS 1.3", NULL);
}

static void test_warnings(void **state)
{
	(void)state;
	/* user_canceled; the handshake does not wait for what may follow. */
	assert_int_equal(shake_with_text("\x15\x03\x03", false), ETIMEDOUT);
	assert_int_equal(shake_with_bytes("\x15\x03\x03\0\x02\x01\x5a", 7,
					  false), EPROTO);
}

static int refused(const struct request *like)
{
	struct identity *list = load_x509("host", "");
	struct request request = *like;
	struct session s;
	int fd, status;

	*told = 0;
	connect_both(&request.fd, &fd);
	assert_int_equal(session_start(&s, &request, list, now_us()),
			 PROGRESS_FAILED);
	status = s.status;
	session_end(&s);
	close(fd);
	identity_free_all(list);
	return status;
}

static void test_requests_of_others(void **state)
{
	(void)state;
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_SERVERHELLO, .auth = HS_AUTH_X509 }),
		EOPNOTSUPP);
	assert_said("does not do the server's side", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_UNAUTH }),
		EOPNOTSUPP);
	assert_said("no authentication", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509,
		.has_certificate = true }), EOPNOTSUPP);
	assert_said("certificate in a keyring", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509 }), EINVAL);
	assert_said("does not say whom to expect", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_PSK }), ENOKEY);
	assert_said("names no key", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_PSK,
		.psk_serial = 0x7ffffff0 }), ENOKEY);
	assert_said("cannot look at key", NULL);
	assert_int_equal(refused(&(struct request) {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509,
		.peername = "nobody@server.example" }), ENOKEY);
	assert_said("no [identity nobody]", NULL);
}

/* A key of the kernel's that only this thread has. */
static int32_t add_key(const char *name, const void *key, size_t len)
{
	const int32_t thread_keyring = -1;

	return (int32_t)syscall(SYS_add_key, "user", name, key, len,
				thread_keyring);
}

static void test_keyring(void **state)
{
	static const char long_key[PSK_KEY_MAX + 1];
	struct request request = {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_PSK,
	};
	struct psk psk;
	struct err err;
	int32_t key = add_key("a;b", psk_key, sizeof(psk_key));

	(void)state;
	if (key < 0 && (errno == ENOSYS || errno == EPERM))
		return;		/* a container may not */
	assert_true(key > 0);
	assert_int_equal(psk_from_keyring(key, &psk, &err), 0);
	assert_string_equal(psk.name, "a;b");
	assert_int_equal(psk.len, sizeof(psk_key));
	assert_memory_equal(psk.key, psk_key, sizeof(psk_key));
	request.psk_serial = add_key("host", long_key, sizeof(long_key));
	assert_int_equal(refused(&request), ENOKEY);
	assert_said("has 65 bytes, 16 to 64 are possible", NULL);
	request.psk_serial = add_key("host", psk_key, 15);
	assert_int_equal(refused(&request), ENOKEY);
	assert_said("has 15 bytes, 16 to 64 are possible", NULL);
}

static void spoil_host(const char *how)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/host.key", dir);
	if (!strcmp(how, "mode"))
		assert_int_equal(chmod(path, 0640), 0);
	else if (!strcmp(how, "fifo"))
		assert_int_equal(unlink(path) || mkfifo(path, 0600), 0);
	else if (!strcmp(how, "empty"))
		put_file("host.key", "", 0);
	else if (!strcmp(how, "certificate"))
		put_file("host.pem", "nonsense", 8);
	else if (!strcmp(how, "other key"))
		put_pair("host", &(struct pair) { host.cert, server.key });
	else if (!strcmp(how, "expired"))
		put_pair("host", &expired);
	else if (!strcmp(how, "not yet"))
		put_pair("host", &not_yet);
	else if (!strcmp(how, "no authority"))
		put_file("ca.pem", "nonsense", 8);
	else
		fail();
}

static void mend_host(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/host.key", dir);
	unlink(path);
	put_pair("host", &host);
	put_pair("ca", &ca);
}

static const struct {
	const char *how;
	const char *file;
	const char *why;
} bad_files[] = {
	{ "mode", "/host.key ", "mode is 640" },
	{ "fifo", "/host.key ", "not a regular file" },
	{ "empty", "/host.key ", "0 bytes" },
	{ "certificate", "/host.pem ", "not a certificate and its key" },
	{ "other key", "/host.pem ", "not a certificate and its key" },
	{ "expired", "/host.pem ", "has expired" },
	{ "not yet", "/host.pem ", "is not valid yet" },
	{ "no authority", "/ca.pem ", "no certificate of an authority" },
};

static void test_bad_files(void **state)
{
	unsigned int files = open_files();
	size_t i;

	(void)state;
	assert_null(load_x509("missing", ""));
	assert_said("cannot open", "/missing.pem", "No such file", NULL);
	for (i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++) {
		spoil_host(bad_files[i].how);
		assert_null(load_x509("host", ""));
		assert_said("identity \"default\": ", bad_files[i].file,
			    bad_files[i].why, NULL);
		mend_host();
	}
	assert_int_equal(open_files(), files);
}

/* What SIGHUP does. */
static void test_reload(void **state)
{
	struct identity *list = load_x509("host", "");
	const struct identity *old = list;
	unsigned int files = open_files();
	char path[128];
	size_t i;

	(void)state;
	snprintf(path, sizeof(path), "%s/conf", dir);
	for (i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++) {
		spoil_host(bad_files[i].how);
		identity_reload(&list, path);
		assert_ptr_equal(list, old);
		assert_said("error: ", bad_files[i].file, bad_files[i].why,
			    "; what was loaded before stays in use", NULL);
		assert_int_equal(open_files(), files);
		mend_host();
	}
	/* A configuration that cannot be read to its end. */
	identity_reload(&list, dir);
	assert_ptr_equal(list, old);
	assert_said("error: cannot read ", dir, "; what was loaded", NULL);
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &server,
			       NULL), 0);
	*told = 0;
	identity_reload(&list, path);
	assert_ptr_not_equal(list, old);
	assert_said("/conf was read again", NULL);
	assert_int_equal(shake(list, "server.example", SERVER_TLS13, &server,
			       NULL), 0);
	assert_int_equal(open_files(), files);
	identity_free_all(list);
}

/* Whoever shakes hands meanwhile ends with what he began with. */
static void test_reload_in_between(void **state)
{
	struct request request = {
		.type = HS_TYPE_CLIENTHELLO, .auth = HS_AUTH_X509,
		.peername = "server.example",
	};
	struct identity *list = load_x509("host", "");
	enum progress progress;
	struct serving serving;
	struct session s;
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/conf", dir);
	connect_both(&request.fd, &fd);
	serve(&serving, fd, SERVER_TLS13, &server);
	progress = session_start(&s, &request, list, now_us());
	assert_int_equal(progress, PROGRESS_WAIT);
	identity_reload(&list, path);
	assert_said("was read again", NULL);
	progress = go_on(&s, &serving, progress);
	assert_true(progress == PROGRESS_DONE ||
		    (s.status == EIO && !ktls_offered()));
	session_end(&s);
	serve_end(&serving);
	identity_free_all(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x509),
		cmocka_unit_test(test_server_is_not_believed),
		cmocka_unit_test(test_lists_of_others),
		cmocka_unit_test(test_lists_of_another_time),
		cmocka_unit_test(test_server_does_not_believe),
		cmocka_unit_test(test_old_tls),
		cmocka_unit_test(test_costly_signatures),
		cmocka_unit_test(test_costly_groups),
		cmocka_unit_test(test_psk),
		cmocka_unit_test(test_no_tls_at_all),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_requests_of_others),
		cmocka_unit_test(test_keyring),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_reload_in_between),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
