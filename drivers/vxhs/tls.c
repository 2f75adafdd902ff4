// SPDX-License-Identifier: GPL-2.0
/*
 * A lane's handshake: asked for, waited for, given up.
 *
 * The agent is a process of its own, and may hang, die or lie at any moment.
 * So no wait for it is without an end, until it has said that it is done no
 * lock of its socket is waited for by who has something else to do, and what it
 * says is compared with the socket.
 */
#include <crypto/aead.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <net/handshake.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/tls.h>

#include "lane.h"
#include "session.h"
#include "tls.h"

/* From the request to its end; attach has 5 s to say that nobody answers. */
#define VXHS_TLS_TIMEOUT	(4 * HZ)
/* The agent's own reason is the better one, so its time is shorter. */
#define VXHS_TLS_MARGIN_MS	500
#define VXHS_TLS_MIN_MS		100
/* How long a wait lasts before it looks whether somebody still wants it. */
#define VXHS_TLS_SLICE		(HZ / 5 + 1)
/* A pause while the kernel has too many requests, with as much jitter. */
#define VXHS_TLS_PAUSE_MS	20
#define VXHS_TLS_JITTER_MS	40

/**
 * struct vxhs_tls_request - a handshake that runs
 * @done: the agent has answered, or the kernel for it
 * @status: 0 or a negative errno
 */
struct vxhs_tls_request {
	struct completion	done;
	int			status;
};

/**
 * struct vxhs_tls_orphan - a socket whose handshake came to nothing
 * @work: ends it
 * @sock: its file may still be open in the agent
 */
struct vxhs_tls_orphan {
	struct work_struct	work;
	struct socket		*sock;
};

/**
 * struct vxhs_tls_known - a peer name that was once used
 * @entry: in the list
 * @text: the name
 */
struct vxhs_tls_known {
	struct list_head	entry;
	char			text[];
};

/* The kernel reads a request's peer name at any time, see vxhs_tls_exit(). */
static LIST_HEAD(vxhs_tls_names);
static DEFINE_MUTEX(vxhs_tls_names_lock);	/* protects vxhs_tls_names */

static struct workqueue_struct *vxhs_tls_wq;

/**
 * vxhs_tls_name - the peer name for an identity and a server
 * @identity: of the agent's configuration, or NULL for its default
 * @server: name or address to be verified
 *
 * Context: task, may sleep.
 * Return: a name that stays as long as the module, or NULL without memory
 */
const char *vxhs_tls_name(const char *identity, const char *server)
{
	struct vxhs_tls_known *known;
	const char *name = NULL;
	size_t size;
	char *text;

	text = identity ? kasprintf(GFP_KERNEL, "%s@%s", identity, server) :
			  kstrdup(server, GFP_KERNEL);
	if (!text)
		return NULL;

	mutex_lock(&vxhs_tls_names_lock);
	list_for_each_entry(known, &vxhs_tls_names, entry) {
		if (!strcmp(known->text, text)) {
			name = known->text;
			goto out;
		}
	}
	size = strlen(text) + 1;
	known = kmalloc(struct_size(known, text, size), GFP_KERNEL);
	if (!known)
		goto out;
	memcpy(known->text, text, size);
	list_add(&known->entry, &vxhs_tls_names);
	name = known->text;
out:
	mutex_unlock(&vxhs_tls_names_lock);
	kfree(text);
	return name;
}

/**
 * vxhs_tls_prepare - have the ciphers in memory
 *
 * Recovery may bring back the disk that their modules would be loaded from.
 *
 * Context: task, may sleep, loads modules.
 */
void vxhs_tls_prepare(void)
{
	crypto_has_aead("gcm(aes)", 0, 0);
	crypto_has_aead("rfc7539(chacha20,poly1305)", 0, 0);
}

/**
 * vxhs_tls_open - give a socket the file that a handshake needs
 * @sock: from sock_create_kern(); to be ended with vxhs_tls_release() then
 *
 * Context: task, may sleep.
 * Return: 0, or a negative errno with @sock released
 */
int vxhs_tls_open(struct socket *sock)
{
	return PTR_ERR_OR_ZERO(sock_alloc_file(sock, O_CLOEXEC, NULL));
}

/**
 * vxhs_tls_release - end a connection, whoever else has its file
 * @sock: from vxhs_tls_open(), without callbacks of ours
 *
 * The last fput() may be the agent's, and late.  What counts is done before:
 * the connection is reset and what was queued is gone, or it has ended before;
 * no packet finds it, and none that found it before is still under way.
 *
 * Context: task, may sleep.
 */
void vxhs_tls_release(struct socket *sock)
{
	struct sock *sk = sock->sk;

	tcp_abort(sk, ECONNABORTED);
	/*
	 * Packets from the reserves must not be in the backlog when the flag
	 * goes: who has found the socket puts them there, under RCU, and the
	 * next one to hold the socket takes them out.
	 */
	synchronize_rcu_expedited();
	lock_sock(sk);
	release_sock(sk);
	lock_sock(sk);
	if (sock_flag(sk, SOCK_MEMALLOC))
		sk_clear_memalloc(sk);
	release_sock(sk);
	fput(sock->file);
}

static void vxhs_tls_orphan_work(struct work_struct *work)
{
	struct vxhs_tls_orphan *orphan = container_of(work,
						      struct vxhs_tls_orphan,
						      work);

	vxhs_tls_release(orphan->sock);
	kfree(orphan);
}

/*
 * An agent that is stuck in a system call may hold the socket's lock: only
 * this worker waits for it.  Nothing of ours was ever sent there.
 */
static void vxhs_tls_abandon(struct vxhs_tls_orphan *orphan,
			     struct socket *sock)
{
	orphan->sock = sock;
	INIT_WORK(&orphan->work, vxhs_tls_orphan_work);
	queue_work(vxhs_tls_wq, &orphan->work);
}

/*
 * An agent may say any number, also one that is no errno, or that has another
 * meaning to those who wait; only these mean something here.
 */
static int vxhs_tls_status(int status)
{
	switch (status) {
	case 0:
	case -EACCES:
	case -EKEYREJECTED:
	case -ENOKEY:
	case -ETIMEDOUT:
		return status;
	default:
		return -EPROTO;
	}
}

/* Task or softirq; the request is the waiter's again after complete(). */
static void vxhs_tls_done(void *data, int status, key_serial_t peerid)
{
	struct vxhs_tls_request *request = data;

	request->status = vxhs_tls_status(status);
	complete(&request->done);
}

static bool vxhs_tls_is_wanted(const struct vxhs_session *session)
{
	return READ_ONCE(session->state) != VXHS_SESSION_STATE_CLOSING;
}

static int vxhs_tls_submit(struct socket *sock, const struct vxhs_tls *tls,
			   struct vxhs_tls_request *request,
			   unsigned long until)
{
	unsigned int left = jiffies_to_msecs(vxhs_jiffies_left(until));
	struct tls_handshake_args args = {
		.ta_sock = sock,
		.ta_done = vxhs_tls_done,
		.ta_data = request,
		.ta_peername = tls->peername,
		.ta_timeout_ms = VXHS_TLS_MIN_MS,
	};
	void (*destruct)(struct sock *sk) = sock->sk->sk_destruct;
	int ret;

	if (left > VXHS_TLS_MARGIN_MS + VXHS_TLS_MIN_MS)
		args.ta_timeout_ms = left - VXHS_TLS_MARGIN_MS;
	if (tls->psk) {
		args.ta_num_peerids = 1;
		args.ta_my_peerids[0] = tls->psk;
		ret = tls_client_hello_psk(&args, GFP_KERNEL);
	} else {
		ret = tls_client_hello_x509(&args, GFP_KERNEL);
	}
	/* Early 6.12 leaves its own behind, which then never calls this one. */
	if (ret)
		sock->sk->sk_destruct = destruct;
	return ret;
}

/* Others wait for an agent too, and the kernel bounds how many may. */
static int vxhs_tls_ask(const struct vxhs_session *session,
			struct socket *sock, const struct vxhs_tls *tls,
			struct vxhs_tls_request *request, unsigned long until)
{
	int ret;

	for (;;) {
		ret = vxhs_tls_submit(sock, tls, request, until);
		if (ret != -EAGAIN || time_after_eq(jiffies, until) ||
		    !vxhs_tls_is_wanted(session))
			return ret;
		if (msleep_interruptible(VXHS_TLS_PAUSE_MS +
				get_random_u32_below(VXHS_TLS_JITTER_MS)))
			return -EINTR;
	}
}

/* Return: what the agent said; -EINTR; or -ETIME if it said nothing. */
static int vxhs_tls_wait(const struct vxhs_session *session,
			 struct socket *sock, struct vxhs_tls_request *request,
			 unsigned long until)
{
	long left;

	do {
		left = min_t(long, vxhs_jiffies_left(until), VXHS_TLS_SLICE);
		left = wait_for_completion_interruptible_timeout(&request->done,
								 left);
	} while (!left && time_before(jiffies, until) &&
		 vxhs_tls_is_wanted(session));
	if (left > 0)
		return request->status;
	if (tls_handshake_cancel(sock->sk))
		return left < 0 ? -EINTR : -ETIME;
	/* Too late: it has been answered, and vxhs_tls_done() runs or has. */
	wait_for_completion(&request->done);
	return request->status;
}

static void vxhs_tls_error(const struct vxhs_tls *tls, int ret,
			   struct netlink_ext_ack *extack)
{
	switch (ret) {
	case -ESRCH:
		NL_SET_ERR_MSG(extack,
			       "no TLS handshake agent runs or answers on this host; start it with \"systemctl start vxhs-handshake\" (or tlshd)");
		break;
	case -ETIME:
		NL_SET_ERR_MSG(extack,
			       "the TLS handshake agent does not answer; see \"systemctl status vxhs-handshake\"");
		break;
	case -EAGAIN:
		NL_SET_ERR_MSG(extack,
			       "too many TLS handshakes wait for the agent; see \"systemctl status vxhs-handshake\"");
		break;
	case -EINTR:
		NL_SET_ERR_MSG(extack, "interrupted during the TLS handshake");
		break;
	case -ETIMEDOUT:
		NL_SET_ERR_MSG(extack,
			       "the server did not end the TLS handshake in time; does it do TLS on that port?");
		break;
	case -EKEYREJECTED:
		NL_SET_ERR_MSG(extack,
			       "the server did not prove to be the one that was expected; the log of the handshake agent says why");
		break;
	case -EACCES:
		/* tlshd takes all of "IDENTITY@NAME" for the server's name. */
		if (strchr(tls->peername, '@'))
			NL_SET_ERR_MSG(extack,
				       "the TLS handshake was refused; the log of the handshake agent says why (tlshd has one identity, --identity NAME needs vxhs-handshake)");
		else
			NL_SET_ERR_MSG(extack,
				       "the TLS handshake was refused; the log of the handshake agent says why");
		break;
	case -ENOKEY:
		if (tls->psk)
			NL_SET_ERR_MSG(extack,
				       "the handshake agent cannot use that key; its log says why");
		else
			NL_SET_ERR_MSG(extack,
				       "the handshake agent has no such identity; only vxhs-handshake knows several, see its configuration");
		break;
	case -ENOMEM:
		NL_SET_ERR_MSG(extack, "this host: not enough memory");
		break;
	default:
		NL_SET_ERR_MSG(extack,
			       "the TLS handshake failed; does the server do TLS on that port? The log of the handshake agent says more");
	}
}

/* Those of which the bound on what one key may protect is known, or NULL. */
static const char *vxhs_tls_cipher_name(u16 cipher)
{
	switch (cipher) {
	case TLS_CIPHER_AES_GCM_128:
		return "1.3 AES-128-GCM";
	case TLS_CIPHER_AES_GCM_256:
		return "1.3 AES-256-GCM";
	case TLS_CIPHER_CHACHA20_POLY1305:
		return "1.3 CHACHA20-POLY1305";
	}
	return NULL;
}

/**
 * vxhs_tls_text - what protects a session's lanes
 * @session: any
 *
 * Return: version and cipher of the newest lane with TLS, or "none"
 */
const char *vxhs_tls_text(const struct vxhs_session *session)
{
	if (!session->key.tls.peername)
		return "none";
	return vxhs_tls_cipher_name(READ_ONCE(session->tls_cipher)) ?: "1.3";
}

/*
 * Is it TLS 1.3, both ways?  An agent that says so may be wrong.
 * Return: the cipher, or 0
 */
static u16 vxhs_tls_installed(struct sock *sk)
{
	const struct tcp_ulp_ops *ulp;
	const struct tls_context *ctx;
	u16 cipher = 0;

	lock_sock(sk);
	ulp = inet_csk(sk)->icsk_ulp_ops;
	ctx = tls_get_ctx(sk);
	if (ulp && !strcmp(ulp->name, "tls") && ctx &&
	    ctx->tx_conf != TLS_BASE && ctx->rx_conf != TLS_BASE &&
	    ctx->prot_info.version == TLS_1_3_VERSION &&
	    vxhs_tls_cipher_name(ctx->prot_info.cipher_type))
		cipher = ctx->prot_info.cipher_type;
	release_sock(sk);
	return cipher;
}

/**
 * vxhs_tls_handshake - have an agent shake hands on a connection
 * @session: whose lane it is; one that closes wants it no longer
 * @sock: connected, from vxhs_tls_open(), without callbacks of ours
 * @tls: with whom
 * @deadline: in jiffies; VXHS_TLS_TIMEOUT is over earlier
 * @extack: told why not
 *
 * Context: task, may sleep; under memalloc_noio where I/O may wait for it.
 * Return: 0, or a negative errno with @sock released
 */
int vxhs_tls_handshake(struct vxhs_session *session, struct socket *sock,
		       const struct vxhs_tls *tls, unsigned long deadline,
		       struct netlink_ext_ack *extack)
{
	unsigned long until = jiffies + VXHS_TLS_TIMEOUT;
	struct vxhs_tls_request request = {
		.done = COMPLETION_INITIALIZER_ONSTACK(request.done),
		.status = -EIO,
	};
	struct vxhs_tls_orphan *orphan;
	u16 cipher;
	int ret;

	if (time_after(until, deadline))
		until = deadline;
	orphan = kmalloc(sizeof(*orphan), GFP_KERNEL);
	if (!orphan) {
		vxhs_tls_error(tls, -ENOMEM, extack);
		/* No agent has seen it yet. */
		vxhs_tls_release(sock);
		return -ENOMEM;
	}

	ret = vxhs_tls_ask(session, sock, tls, &request, until);
	if (!ret)
		ret = vxhs_tls_wait(session, sock, &request, until);
	if (ret) {
		vxhs_tls_error(tls, ret, extack);
		goto err;
	}
	cipher = vxhs_tls_installed(sock->sk);
	if (!cipher) {
		NL_SET_ERR_MSG(extack,
			       "the handshake agent did not install TLS 1.3 on the connection, which is closed");
		ret = -EPROTO;
		goto err;
	}
	WRITE_ONCE(session->tls_cipher, cipher);
	kfree(orphan);
	return 0;

err:
	vxhs_tls_abandon(orphan, sock);
	return ret == -ETIME ? -ETIMEDOUT : ret;
}

/**
 * vxhs_tls_init - module init of this room
 *
 * Return: 0 or -ENOMEM
 */
int vxhs_tls_init(void)
{
	/* Unbound: one that waits for an agent's lock holds up no other. */
	vxhs_tls_wq = alloc_workqueue("vxhs_tls", WQ_UNBOUND, 0);
	return vxhs_tls_wq ? 0 : -ENOMEM;
}

/**
 * vxhs_tls_exit - module exit of this room; no lane is left
 *
 * The kernel may still read the peer name of a request that was cancelled, in a
 * generic netlink call of the agent.  vxhs_netlink_exit() came before this, and
 * unregistering a family waits for all such calls.
 */
void vxhs_tls_exit(void)
{
	struct vxhs_tls_known *known, *next;

	destroy_workqueue(vxhs_tls_wq);
	list_for_each_entry_safe(known, next, &vxhs_tls_names, entry)
		kfree(known);
	INIT_LIST_HEAD(&vxhs_tls_names);
}
