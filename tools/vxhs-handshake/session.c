// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/ktls.h"
#include "../lib/proof.h"
#include "log.h"
#include "session.h"

#define HANDSHAKE_MAX	65536	/* bytes of one message of a handshake */
#define RECEIVE_MAX	(1 << 20)	/* bytes of all of it */

static enum progress refuse(struct session *s, int status, const char *why)
{
	log_line("%s: %s", s->where, why);
	s->status = status;
	return PROGRESS_FAILED;
}

/*
 * The socket's flags are the kernel's: it would see O_NONBLOCK on its own
 * file.  So each call says that it does not wait.
 */
static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	const struct session *s = ptr;

	return send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	struct session *s = ptr;
	ssize_t n;

	/* What GnuTLS skips by itself must not keep us from everybody else. */
	if (s->received > RECEIVE_MAX) {
		errno = ECONNABORTED;
		return -1;
	}
	n = recv(s->fd, data, len, MSG_DONTWAIT);
	if (n > 0)
		s->received += (size_t)n;
	return n;
}

static enum progress choose_identity(struct session *s,
				     const struct request *request,
				     struct identity *identities)
{
	struct psk psk;
	struct err err;

	if (request->auth == HS_AUTH_X509) {
		s->identity = identity_find(identities, s->peer.identity);
		if (s->identity)
			return PROGRESS_WAIT;
		err_set(&err, "there is no [identity %s] in the configuration",
			s->peer.identity);
		return refuse(s, ENOKEY, err.text);
	}
	if (!request->psk_serial)
		return refuse(s, ENOKEY, "the request names no key");
	if (!psk_from_keyring(request->psk_serial, &psk, &err))
		s->identity = identity_from_psk(&psk, &err);
	explicit_bzero(&psk, sizeof(psk));
	if (!s->identity)
		return refuse(s, ENOKEY, err.text);
	s->remote_auth = request->psk_serial;
	return PROGRESS_WAIT;
}

/* What we do not do: somebody else's connections, and half measures. */
static enum progress check_request(struct session *s,
				   const struct request *request)
{
	if (request->type != HS_TYPE_CLIENTHELLO)
		return refuse(s, EOPNOTSUPP,
			      "this agent does not do the server's side; tlshd does");
	if (request->auth != HS_AUTH_X509 && request->auth != HS_AUTH_PSK)
		return refuse(s, EOPNOTSUPP,
			      "the request wants no authentication, which this agent never does");
	if (request->has_certificate)
		return refuse(s, EOPNOTSUPP,
			      "the request has its certificate in a keyring; this agent has them in files, tlshd can read both");
	if (request->too_long)
		return refuse(s, EINVAL, "the request's peer name is too long");
	return PROGRESS_WAIT;
}

static int set_up_gnutls(struct session *s)
{
	int ret;

	ret = gnutls_init(&s->gnutls, GNUTLS_CLIENT | GNUTLS_NONBLOCK |
			  GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS |
			  GNUTLS_NO_AUTO_REKEY);
	if (ret)
		return ret;
	ret = gnutls_priority_set(s->gnutls, s->identity->priority);
	if (ret)
		return ret;
	gnutls_handshake_set_max_packet_length(s->gnutls, HANDSHAKE_MAX);
	proof_limit(s->gnutls);
	gnutls_transport_set_ptr(s->gnutls, s);
	gnutls_transport_set_push_function(s->gnutls, push);
	gnutls_transport_set_pull_function(s->gnutls, pull);
	if (s->identity->psk)
		return gnutls_credentials_set(s->gnutls, GNUTLS_CRD_PSK,
					      s->identity->psk);
	if (!server_is_address(s->peer.server))
		gnutls_server_name_set(s->gnutls, GNUTLS_NAME_DNS,
				       s->peer.server, strlen(s->peer.server));
	/* GnuTLS compares an address with the certificate's addresses. */
	s->verify[0].type = GNUTLS_DT_DNS_HOSTNAME;
	s->verify[0].data = (void *)s->peer.server;
	s->verify[1].type = GNUTLS_DT_KEY_PURPOSE_OID;
	s->verify[1].data = (void *)GNUTLS_KP_TLS_WWW_SERVER;
	gnutls_session_set_verify_cert2(s->gnutls, s->verify, 2, 0);
	return gnutls_credentials_set(s->gnutls, GNUTLS_CRD_CERTIFICATE,
				      s->identity->x509);
}

static void note_where(struct session *s)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getpeername(s->fd, (struct sockaddr *)&addr, &len))
		strcpy(s->where, "a connection that has ended");
	else
		addr_format((struct sockaddr *)&addr, s->where);
}

/**
 * session_start() - begin a handshake
 * @s: all of it is set; for session_end() whatever becomes of it
 * @request: from the kernel; its connection is the session's now
 * @identities: who we can be
 * @now: now_us()
 *
 * Return: how it is
 */
enum progress session_start(struct session *s, const struct request *request,
			    struct identity *identities, u64 now)
{
	u64 timeout_ms = request->timeout_ms;
	enum progress progress;
	struct err err;
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = request->fd;
	if (!timeout_ms || timeout_ms > TIMEOUT_MS)
		timeout_ms = TIMEOUT_MS;
	s->deadline_us = now + timeout_ms * 1000;
	note_where(s);

	progress = check_request(s, request);
	if (progress != PROGRESS_WAIT)
		return progress;
	/* With a PSK the server is who has it, whatever its name. */
	if (request->auth == HS_AUTH_X509 &&
	    peer_parse(request->peername, &s->peer, &err))
		return refuse(s, EINVAL, err.text);
	progress = choose_identity(s, request, identities);
	if (progress != PROGRESS_WAIT)
		return progress;
	ret = set_up_gnutls(s);
	if (ret) {
		err_set(&err, "cannot begin a handshake: %s",
			gnutls_strerror(ret));
		return refuse(s, ENOMEM, err.text);
	}
	return session_go_on(s);
}

/* Whose issuer nobody knows: is it its own? */
static bool is_self_signed(gnutls_session_t session)
{
	const gnutls_datum_t *certs;
	gnutls_x509_crt_t cert;
	bool yes = false;
	unsigned int n;

	certs = gnutls_certificate_get_peers(session, &n);
	if (!certs || !n || gnutls_x509_crt_init(&cert))
		return false;
	if (!gnutls_x509_crt_import(cert, certs, GNUTLS_X509_FMT_DER))
		yes = gnutls_x509_crt_check_issuer(cert, cert);
	gnutls_x509_crt_deinit(cert);
	return yes;
}

static enum progress refuse_certificate(struct session *s)
{
	unsigned int status = gnutls_session_get_verify_cert_status(s->gnutls);
	gnutls_datum_t text = { NULL, 0 };
	const char *more = "";
	struct err err;

	if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) &&
	    is_self_signed(s->gnutls))
		more = "It is self-signed.";
	gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509,
						     &text, 0);
	/* Each sentence of GnuTLS's ends with a space. */
	err_set(&err, "the server did not prove to be \"%s\": %s%s",
		s->peer.server,
		text.data ? (char *)text.data : "its certificate is not valid ",
		more);
	gnutls_free(text.data);
	if (!*more)
		err.text[strlen(err.text) - 1] = 0;
	return refuse(s, EKEYREJECTED, err.text);
}

/*
 * In TLS 1.3 a server looks at the client's certificate when the client is
 * through; what it says before is about something else.  @known: it has looked.
 */
static enum progress refuse_alert(struct session *s, bool known)
{
	gnutls_alert_description_t alert = gnutls_alert_get(s->gnutls);
	const char *name = gnutls_alert_get_name(alert);
	struct err err;

	if (!name)
		name = "which has no name";
	if (known)
		err_set(&err, "the server refuses identity \"%s\": alert %d, %s; its log may say more",
			s->identity->name, alert, name);
	else
		err_set(&err, "the server refuses the handshake: alert %d, %s; does it do TLS 1.3, with certificates?",
			alert, name);
	return refuse(s, EACCES, err.text);
}

static enum progress fail(struct session *s, int ret)
{
	struct err err;

	switch (ret) {
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
		return refuse_certificate(s);
	case PROOF_TOO_COSTLY:
		err_set(&err, "the key of the server's certificate is not one of a curve, nor one of RSA with at most %d bits and a public exponent of at most %d",
			PROOF_RSA_BITS, PROOF_EXPONENT_BITS);
		return refuse(s, EKEYREJECTED, err.text);
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		return refuse_alert(s, s->identity->psk);
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return refuse(s, ECONNRESET,
			      "the server closed the connection during the handshake; does it do TLS on that port?");
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_UNEXPECTED_PACKET:
		err_set(&err, "the server does not speak TLS 1.3 (%s)",
			gnutls_strerror(ret));
		return refuse(s, EPROTO, err.text);
	default:
		err_set(&err, "handshake as \"%s\" failed: %s",
			s->identity->name, gnutls_strerror(ret));
		return refuse(s, EPROTO, err.text);
	}
}

/* The server has looked at who we are, and has gone. */
static enum progress ended_early(struct session *s)
{
	char c;
	ssize_t ret = gnutls_record_recv(s->gnutls, &c, sizeof(c));

	if (ret == GNUTLS_E_FATAL_ALERT_RECEIVED)
		return refuse_alert(s, true);
	return fail(s, GNUTLS_E_PREMATURE_TERMINATION);
}

/* The handshake is over: is it what was wanted?  Then to the kernel with it. */
static enum progress finish(struct session *s)
{
	struct err err;
	int ret;

	/* A credential that was asked for must have been used. */
	if (gnutls_protocol_get_version(s->gnutls) != GNUTLS_TLS1_3 ||
	    gnutls_auth_get_type(s->gnutls) !=
	    (s->identity->psk ? GNUTLS_CRD_PSK : GNUTLS_CRD_CERTIFICATE))
		return refuse(s, EPROTO,
			      "the handshake is not TLS 1.3 with the identity that was wanted");
	if (gnutls_record_check_pending(s->gnutls))
		return refuse(s, EPROTO,
			      "the server sent something before it was asked");
	ret = ktls_install(s->gnutls, s->fd);
	if (ret == -ENOTCONN)
		return ended_early(s);
	if (ret) {
		err_set(&err, "cannot give the keys to the kernel: %s",
			strerror(-ret));
		return refuse(s, EIO, err.text);
	}
	return PROGRESS_DONE;
}

/**
 * session_go_on() - do what can be done without waiting
 * @s: a session that waits
 *
 * Return: how it is
 */
enum progress session_go_on(struct session *s)
{
	int ret;

	/* A warning is no reason to go on: it could be one of very many. */
	do {
		ret = gnutls_handshake(s->gnutls);
	} while (ret == GNUTLS_E_INTERRUPTED);
	if (ret == GNUTLS_E_AGAIN)
		return PROGRESS_WAIT;
	if (!ret)
		return finish(s);
	gnutls_alert_send_appropriate(s->gnutls, ret);
	return fail(s, ret);
}

/** session_too_late() - its time is over */
enum progress session_too_late(struct session *s)
{
	return refuse(s, ETIMEDOUT,
		      "the server did not end the handshake in time");
}

/** session_events() - what a session waits for, as poll() wants it */
short session_events(const struct session *s)
{
	return gnutls_record_get_direction(s->gnutls) ? POLLOUT : POLLIN;
}

/**
 * session_end() - forget a session, and let go of its connection
 * @s: in any state; its status was told
 */
void session_end(struct session *s)
{
	if (s->gnutls)
		gnutls_deinit(s->gnutls);
	identity_put(s->identity);
	if (s->fd >= 0)
		close(s->fd);
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}
