// SPDX-License-Identifier: GPL-2.0
/*
 * The operation attach: what it asks for, and its answer.
 *
 * With TLS the answer comes later, from a thread.  The agent's part of a
 * handshake is a generic netlink call too, and must not wait behind this one:
 * the caller of an operation holds cb_lock, and whoever wants that to write, as
 * the loading of any module with a family, keeps out all that come after.
 */
#include <linux/ctype.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "disk.h"
#include "netlink.h"
#include "netlink_gen.h"
#include "session.h"
#include "tls.h"

/**
 * struct vxhs_nl_attach - an attach that is being done
 * @attach: what is asked for, with strings of the request
 * @key: of @attach
 * @info: of the request; the next are for one that is answered later
 * @extack: of @info
 * @skb: the request
 * @nlh: its header
 * @task: does it
 * @gone: the caller is
 * @entry: in vxhs_nl_attaches
 */
struct vxhs_nl_attach {
	struct vxhs_attach	attach;
	struct vxhs_session_key	key;
	struct genl_info	info;
	struct netlink_ext_ack	extack;
	struct sk_buff		*skb;
	struct nlmsghdr		*nlh;
	struct task_struct	*task;
	bool			gone;
	struct list_head	entry;
};

static LIST_HEAD(vxhs_nl_attaches);
static DEFINE_MUTEX(vxhs_nl_attaches_lock);	/* protects vxhs_nl_attaches */

static int vxhs_nl_parse_interface(const struct nlattr *attr,
				   struct vxhs_session_key *key,
				   struct netlink_ext_ack *extack)
{
	struct net_device *dev;

	dev = dev_get_by_name(&init_net, nla_data(attr));
	if (!dev) {
		NL_SET_ERR_MSG(extack,
			       "this host has no interface of that name");
		return -ENODEV;
	}
	key->ifindex = dev->ifindex;
	dev_put(dev);
	return 0;
}

/* Letters, digits and @others: safe in a log, a certificate, a peer name. */
static bool vxhs_nl_name_is_ok(const char *name, const char *others)
{
	if (!*name)
		return false;
	for (; *name; name++) {
		if (!(isascii(*name) && isalnum(*name)) &&
		    !strchr(others, *name))
			return false;
	}
	return true;
}

/* What only TLS has a use for is refused without it: nobody meant that. */
static int vxhs_nl_parse_tls(struct nlattr *tb[], struct vxhs_session_key *key,
			     struct netlink_ext_ack *extack)
{
	const struct nlattr *peername = tb[VXHS_A_SESSION_TLS_PEERNAME];
	const struct nlattr *identity = tb[VXHS_A_SESSION_TLS_IDENTITY];
	const struct nlattr *unverified = tb[VXHS_A_SESSION_ALLOW_UNVERIFIED];
	const struct nlattr *psk = tb[VXHS_A_SESSION_TLS_PSK];

	if (!tb[VXHS_A_SESSION_TLS] || !nla_get_u32(tb[VXHS_A_SESSION_TLS])) {
		if (!peername && !identity && !psk && !unverified)
			return 0;
		NL_SET_ERR_MSG(extack,
			       "a peer name, identity or key is for TLS; add --tls");
		return -EINVAL;
	}
	if (!peername) {
		NL_SET_ERR_MSG(extack,
			       "TLS needs the name that the server has to prove; add --tls-peername");
		return -EINVAL;
	}
	if (identity && psk) {
		NL_SET_ERR_MSG(extack,
			       "an identity and a key exclude each other");
		return -EINVAL;
	}
	if (!vxhs_nl_name_is_ok(nla_data(peername), ".-_:")) {
		NL_SET_ERR_MSG_ATTR(extack, peername,
				    "the TLS peer name is not of letters, digits, '.', '-', '_' and ':'");
		return -EINVAL;
	}
	if (identity && !vxhs_nl_name_is_ok(nla_data(identity), ".-_")) {
		NL_SET_ERR_MSG_ATTR(extack, identity,
				    "the TLS identity is not of letters, digits, '.', '-' and '_'");
		return -EINVAL;
	}
	if (psk)
		key->tls.psk = nla_get_s32(psk);
	if (unverified)
		key->allow_unverified = nla_get_u32(unverified);
	key->tls.peername = vxhs_tls_name(identity ? nla_data(identity) : NULL,
					  nla_data(peername));
	return key->tls.peername ? 0 : -ENOMEM;
}

/* TLS protects more than digests do, so with it they have to be asked for. */
static u8 vxhs_nl_get_digests(const struct nlattr *attr,
			      const struct vxhs_session_key *key)
{
	if (attr)
		return nla_get_u32(attr);
	return key->tls.peername ? VXHS_DIGESTS_NONE : VXHS_DIGESTS_PREFERRED;
}

/* The session's ends: who they are, from the nest of an attach. */
static int vxhs_nl_parse_session(struct nlattr *nest,
				 struct vxhs_attach *attach,
				 struct vxhs_session_key *key,
				 struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VXHS_A_SESSION_MAX + 1];
	int ret;

	ret = nla_parse_nested(tb, VXHS_A_SESSION_MAX, nest,
			       vxhs_session_nl_policy, extack);
	if (ret)
		return ret;
	if (!tb[VXHS_A_SESSION_HOST] || !tb[VXHS_A_SESSION_PORTAL]) {
		NL_SET_ERR_MSG(extack, "attach needs session.host and portal");
		return -EINVAL;
	}
	attach->host = nla_data(tb[VXHS_A_SESSION_HOST]);
	ret = vxhs_nl_parse_portals(nest, key, extack);
	if (ret)
		return ret;
	ret = vxhs_nl_parse_session_policy(tb, &attach->session_policy, extack);
	if (ret)
		return ret;
	ret = vxhs_nl_parse_tls(tb, key, extack);
	if (ret)
		return ret;
	/* Behind what says whether there is TLS. */
	key->digests = vxhs_nl_get_digests(tb[VXHS_A_SESSION_DIGESTS], key);
	if (tb[VXHS_A_SESSION_SOURCE] &&
	    vxhs_nl_get_address(tb[VXHS_A_SESSION_SOURCE], 0, 0,
				&key->source)) {
		NL_SET_ERR_MSG(extack, "source is no IPv4 or IPv6 address");
		return -EINVAL;
	}
	if (tb[VXHS_A_SESSION_INTERFACE]) {
		attach->interface = nla_data(tb[VXHS_A_SESSION_INTERFACE]);
		return vxhs_nl_parse_interface(tb[VXHS_A_SESSION_INTERFACE],
					       key, extack);
	}
	return 0;
}

static int vxhs_nl_parse_disk(struct nlattr *nest, struct vxhs_attach *attach,
			      struct vxhs_session_key *key,
			      struct netlink_ext_ack *extack)
{
	struct nlattr *tb[VXHS_A_DISK_MAX + 1];
	int ret;

	ret = nla_parse_nested(tb, VXHS_A_DISK_MAX, nest,
			       vxhs_disk_nl_policy, extack);
	if (ret)
		return ret;
	if (!tb[VXHS_A_DISK_VDISK] || !nla_len(tb[VXHS_A_DISK_VDISK]) ||
	    !*(char *)nla_data(tb[VXHS_A_DISK_VDISK])) {
		NL_SET_ERR_MSG(extack, "attach needs the name of a vdisk");
		return -EINVAL;
	}
	attach->vdisk = nla_data(tb[VXHS_A_DISK_VDISK]);
	if (!tb[VXHS_A_DISK_HOST_ID]) {
		NL_SET_ERR_MSG(extack, "attach needs disk.host-id");
		return -EINVAL;
	}
	memcpy(key->host_id, nla_data(tb[VXHS_A_DISK_HOST_ID]),
	       sizeof(key->host_id));
	attach->mode = VXHS_MODE_EXCLUSIVE;
	if (tb[VXHS_A_DISK_MODE])
		attach->mode = nla_get_u32(tb[VXHS_A_DISK_MODE]);
	if (tb[VXHS_A_DISK_LANES])
		attach->lanes = nla_get_u32(tb[VXHS_A_DISK_LANES]);
	if (tb[VXHS_A_DISK_POLL_LANES])
		attach->poll_lanes = nla_get_u32(tb[VXHS_A_DISK_POLL_LANES]);
	if ((attach->lanes ?: vxhs_session_default_lanes()) +
	    attach->poll_lanes > VXHS_MAX_LANES) {
		NL_SET_ERR_MSG_FMT(extack,
				   "a session has at most %u lanes, polled ones included",
				   VXHS_MAX_LANES);
		return -EINVAL;
	}
	/* The block layer has no use for more queues of a kind than CPUs. */
	if (attach->poll_lanes > num_possible_cpus()) {
		NL_SET_ERR_MSG_FMT(extack,
				   "more polled lanes than CPUs; this host has %u",
				   num_possible_cpus());
		return -EINVAL;
	}
	attach->index = -1;
	if (tb[VXHS_A_DISK_INDEX])
		attach->index = nla_get_u32(tb[VXHS_A_DISK_INDEX]);
	if (tb[VXHS_A_DISK_TAKE_OVER])
		attach->take_over = nla_get_u32(tb[VXHS_A_DISK_TAKE_OVER]);
	attach->policy = (struct vxhs_policy) {
		.fast_io_fail_ms = VXHS_NEVER,
		.io_timeout_ms = VXHS_IO_TIMEOUT_MS,
		.shutdown_ms = VXHS_SHUTDOWN_MS,
	};
	ret = vxhs_nl_parse_disk_policy(tb, &attach->policy, extack);
	return ret < 0 ? ret : 0;
}

static int vxhs_nl_attach(struct vxhs_nl_attach *job, struct genl_info *info)
{
	struct vxhs_disk *disk = vxhs_disk_attach(&job->attach, info->extack);
	int ret = 0;

	if (IS_ERR(disk))
		return PTR_ERR(disk);
	if (!READ_ONCE(job->gone))
		ret = vxhs_nl_reply(info, disk, disk->session);
	vxhs_disk_put(disk);
	return ret;
}

/* A thread and not a work item, so that a signal ends its waits. */
static int vxhs_nl_attach_thread(void *data)
{
	struct vxhs_nl_attach *job = data;
	struct sock *caller = NETLINK_CB(job->skb).sk;
	int ret = 0;

	/* A signal that came before this was lost. */
	allow_kernel_signal(SIGKILL);
	vxhs_tls_prepare();
	if (!READ_ONCE(job->gone))
		ret = vxhs_nl_attach(job, &job->info);
	/* Its port may be another's by now, who takes this for his answer. */
	if (!READ_ONCE(job->gone) &&
	    (ret || job->nlh->nlmsg_flags & NLM_F_ACK))
		netlink_ack(job->skb, job->nlh, ret, &job->extack);

	mutex_lock(&vxhs_nl_attaches_lock);
	list_del(&job->entry);
	mutex_unlock(&vxhs_nl_attaches_lock);
	consume_skb(job->skb);
	sock_put(caller);
	kfree(job);
	module_put_and_kthread_exit(0);
}

/* On success @job and a reference of the module are the thread's. */
static int vxhs_nl_attach_later(struct vxhs_nl_attach *job,
				struct sk_buff *skb,
				const struct genl_info *info)
{
	struct task_struct *task = kthread_create(vxhs_nl_attach_thread, job,
						  "vxhs_attach");

	if (IS_ERR(task)) {
		NL_SET_ERR_MSG(info->extack, "cannot start a thread for it");
		return PTR_ERR(task);
	}
	job->task = task;
	job->info = *info;
	job->info.attrs = NULL;		/* they are the caller's */
	job->info.extack = &job->extack;
	job->skb = skb_get(skb);
	job->nlh = nlmsg_hdr(skb);
	sock_hold(NETLINK_CB(skb).sk);
	mutex_lock(&vxhs_nl_attaches_lock);
	list_add(&job->entry, &vxhs_nl_attaches);
	mutex_unlock(&vxhs_nl_attaches_lock);
	wake_up_process(task);
	return 0;
}

int vxhs_nl_attach_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *session = info->attrs[VXHS_A_SESSION];
	struct nlattr *disk = info->attrs[VXHS_A_DISK];
	struct vxhs_nl_attach *job;
	int ret;

	if (!disk || !session) {
		NL_SET_ERR_MSG(info->extack,
			       "attach needs a disk and a session");
		return -EINVAL;
	}
	/* Nothing else keeps the module while there is no disk yet. */
	if (!try_module_get(THIS_MODULE)) {
		NL_SET_ERR_MSG(info->extack, "the module is being unloaded");
		return -ENODEV;
	}
	job = kzalloc(sizeof(*job), GFP_KERNEL);
	if (!job) {
		ret = -ENOMEM;
		goto out;
	}
	job->attach.key = &job->key;
	job->attach.interface = "";
	ret = vxhs_nl_parse_session(session, &job->attach, &job->key,
				    info->extack);
	if (!ret)
		ret = vxhs_nl_parse_disk(disk, &job->attach, &job->key,
					 info->extack);
	if (ret)
		goto out;
	if (!job->key.tls.peername) {
		ret = vxhs_nl_attach(job, info);
		goto out;
	}
	ret = vxhs_nl_attach_later(job, skb, info);
	if (!ret)
		return -EINTR;	/* nobody acknowledges it now */
out:
	kfree(job);
	/* The disk has its own; module exit waits for this operation to end. */
	module_put(THIS_MODULE);
	return ret;
}

/* What the signal of a caller is to other attaches. */
static int vxhs_nl_released(struct notifier_block *nb, unsigned long event,
			    void *data)
{
	const struct netlink_notify *notify = data;
	struct vxhs_nl_attach *job;

	if (event != NETLINK_URELEASE ||
	    notify->protocol != NETLINK_GENERIC ||
	    !net_eq(notify->net, &init_net))
		return NOTIFY_DONE;
	mutex_lock(&vxhs_nl_attaches_lock);
	list_for_each_entry(job, &vxhs_nl_attaches, entry) {
		if (job->info.snd_portid != notify->portid)
			continue;
		WRITE_ONCE(job->gone, true);
		send_sig(SIGKILL, job->task, 1);
	}
	mutex_unlock(&vxhs_nl_attaches_lock);
	return NOTIFY_DONE;
}

static struct notifier_block vxhs_nl_notifier = {
	.notifier_call	= vxhs_nl_released,
};

/**
 * vxhs_netlink_attach_init - module init of this room
 *
 * Return: 0 or a negative errno
 */
int __init vxhs_netlink_attach_init(void)
{
	return netlink_register_notifier(&vxhs_nl_notifier);
}

/** vxhs_netlink_attach_exit - module exit of this room; none is being done */
void vxhs_netlink_attach_exit(void)
{
	netlink_unregister_notifier(&vxhs_nl_notifier);
}
