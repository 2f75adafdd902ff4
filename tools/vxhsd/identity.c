// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "export.h"
#include "identity.h"
#include "log.h"
#include "store.h"

#define XATTR_ID	"user.vxhs.id"

/* Constant once identity_init() has returned. */
static struct {
	u8 server_id[16];
	u64 instance;
	char boot_id[UUID_TEXT];
	char state_dir[4000];		/* empty if it cannot be written */
} self;

static int make_dirs(const char *path)
{
	char dir[4096];
	char *p;

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	for (p = dir + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(dir, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(dir, 0755) && errno != EEXIST ? -errno : 0;
}

static void server_id_from_machine(void)
{
	char machine[64] = "";

	if (!read_line("/etc/machine-id", machine, sizeof(machine)))
		gethostname(machine, sizeof(machine) - 1);
	uuid_from_hash(self.server_id, "vxhs server", 11, machine,
		       strlen(machine));
}

static void load_server_id(const char *state_dir)
{
	char path[4160], line[64], text[UUID_TEXT];
	int ret = make_dirs(state_dir);

	snprintf(path, sizeof(path), "%s/server-id", state_dir);
	snprintf(self.state_dir, sizeof(self.state_dir), "%s", state_dir);
	if (read_line(path, line, sizeof(line)) &&
	    uuid_parse(line, self.server_id)) {
		if (!access(state_dir, W_OK))
			return;
		log_warn("cannot write to %s (%s); leases and the counts of lost writes end with this process",
			 state_dir, strerror(errno));
		self.state_dir[0] = '\0';
		return;
	}
	if (!ret && uuid_random(self.server_id)) {
		uuid_format(self.server_id, text);
		ret = write_line(path, text);
		if (!ret)
			return;
	}
	self.state_dir[0] = '\0';
	log_warn("cannot keep the server id in %s (%s); it is derived from the machine id, and leases end with this process",
		 state_dir, strerror(-ret));
	server_id_from_machine();
}

/**
 * identity_init - find out who this server is
 * @state_dir: where its id is kept; created if missing
 */
void identity_init(const char *state_dir)
{
	load_server_id(state_dir);
	if (getrandom(&self.instance, sizeof(self.instance), 0) !=
	    sizeof(self.instance))
		self.instance = now_us() ^ (u64)getpid() << 32;
	if (!read_line("/proc/sys/kernel/random/boot_id", self.boot_id,
		       sizeof(self.boot_id)))
		snprintf(self.boot_id, sizeof(self.boot_id), "%016llx",
			 (unsigned long long)self.instance);
}

/** state_dir - where this server may keep things, or NULL */
const char *state_dir(void)
{
	return *self.state_dir ? self.state_dir : NULL;
}

/** server_id - UUID of this server; it outlives the process */
const u8 *server_id(void)
{
	return self.server_id;
}

/** server_instance - another number for each start of the process */
u64 server_instance(void)
{
	return self.instance;
}

/**
 * identity_derived - a vdisk's id from its name and the server's id, or that
 * of the group of exports that servers share
 * @x: the export; an id from its configuration goes first
 */
void identity_derived(struct export *x)
{
	if (x->spec->has_id)
		memcpy(x->vdisk_id, x->spec->id, 16);
	else if (x->shared)
		uuid_from_hash(x->vdisk_id, store_group(x->store), 16, x->name,
			       strlen(x->name));
	else
		uuid_from_hash(x->vdisk_id, self.server_id, 16, x->name,
			       strlen(x->name));
}

/**
 * identity_of_file - a vdisk's id, kept with its file where that can be
 * @x: the export, its file open
 */
void identity_of_file(struct export *x)
{
	char text[UUID_TEXT] = "";
	u8 id[16];

	if (x->spec->has_id || x->shared) {
		identity_derived(x);
		return;
	}
	if (fgetxattr(x->fd, XATTR_ID, text, sizeof(text) - 1) > 0 &&
	    uuid_parse(text, x->vdisk_id))
		return;
	if (!x->read_only && uuid_random(id)) {
		uuid_format(id, text);
		if (!fsetxattr(x->fd, XATTR_ID, text, strlen(text), 0)) {
			memcpy(x->vdisk_id, id, 16);
			return;
		}
	}
	identity_derived(x);
}

static void losses_path(const struct export *x, char *path, size_t size)
{
	char text[UUID_TEXT];

	uuid_format(x->vdisk_id, text);
	snprintf(path, size, "%s/losses-%s", self.state_dir, text);
}

/**
 * losses_load - how often a vdisk has lost writes before
 * @x: the export, its id known
 */
void losses_load(struct export *x)
{
	char path[4100];
	u64 losses;

	losses_path(x, path, sizeof(path));
	if (*self.state_dir && read_number(path, &losses))
		atomic_store(&x->losses, (u32)losses);
}

/**
 * losses_store - keep the count, so that a restart does not bring back the
 * verifier of before the loss
 * @x: the export
 */
void losses_store(const struct export *x)
{
	char path[4100], line[16];
	int ret;

	if (!*self.state_dir)
		return;
	losses_path(x, path, sizeof(path));
	snprintf(line, sizeof(line), "%u", atomic_load(&x->losses));
	ret = write_line(path, line);
	if (ret)
		log_error("export %s: cannot note in %s that writes were lost: %s",
			  x->name, path, strerror(-ret));
}

/**
 * verifier_now - the verifier of an export as things stand
 * @x: a file or a device
 *
 * What was answered lives in the page cache of this host: it survives the
 * process, not a boot, and not a writeback that failed.
 */
u64 verifier_now(const struct export *x)
{
	u32 losses = atomic_load(&x->losses);
	u64 h;

	if (x->write_through)
		return 1;
	h = hash64(0, self.boot_id, strlen(self.boot_id));
	h = hash64(h, x->vdisk_id, 16);
	return hash64(h, &losses, sizeof(losses));
}
