/* SPDX-License-Identifier: GPL-2.0 */
/* What the command line and the config file say. */
#ifndef _VXHSD_CONFIG_H
#define _VXHSD_CONFIG_H

#include "acl.h"
#include "util.h"

#define MAX_THREADS	256
#define DEFAULT_STATE_DIR "/var/lib/vxhs"

/**
 * struct export_spec - one export as it was asked for
 * @next: in the order they were given
 * @target: a path, or "memory"
 * @allow: who may do what, with TLS
 * @size: bytes, 0 if not given
 * @block: bytes of a logical block, 0 if not given
 * @shared: folder of the group of exports that servers share, or NULL
 * @read_only: refuses writes
 * @write_through: cache=none
 * @has_id: @id was given
 * @from_file: from the config file, so a reload may change it
 */
struct export_spec {
	struct export_spec *next;
	char name[VXHS_NAME_MAX + 1];
	char *target;
	char *shared;
	struct acl *allow;
	u64 size;
	u32 block;
	bool read_only;
	bool write_through;
	bool has_id;
	bool from_file;
	u8 id[16];
};

struct listen_spec {
	struct listen_spec *next;
	char *host;		/* NULL for every address */
	char port[8];
};

enum tls_kind {
	TLS_OFF,
	TLS_X509,
	TLS_PSK,
};

/**
 * struct tls_spec - TLS as it was asked for; see Documentation/security.rst
 * @cert: path of our certificate; NULL if not given, as are the others
 * @key: path of its key
 * @ca: path of whom to believe
 * @crl: path of what they have revoked
 * @psk: path of identities and their keys
 */
struct tls_spec {
	enum tls_kind kind;
	char *cert;
	char *key;
	char *ca;
	char *crl;
	char *psk;
};

enum config_action {
	CONFIG_RUN,
	CONFIG_HELP,
	CONFIG_VERSION,
};

struct config {
	enum config_action action;
	char *path;		/* of the config file, or NULL */
	char *state_dir;
	char *audit;		/* path of a file, or NULL */
	char *user;		/* to become, or NULL */
	bool user_given;	/* on the command line */
	unsigned int threads;
	unsigned int client_conns;	/* client-max-conns, 0 if not given */
	u64 client_bytes;	/* client-max-inflight, 0 if not given */
	bool threads_given;	/* on the command line */
	bool state_dir_given;
	struct listen_spec *listens;
	struct export_spec *exports;
	struct tls_spec tls;
};

int config_parse_args(struct config *config, int argc, char **argv,
		      struct err *err);
int config_read_file(struct config *config, struct err *err);
int config_finish(struct config *config, struct err *err);
int config_add_export(struct config *config, const char *text,
		      struct err *err);
int config_add_listen(struct config *config, const char *text,
		      struct err *err);
void config_free(struct config *config);
bool export_spec_equal(const struct export_spec *a,
		       const struct export_spec *b);
bool export_spec_resized(const struct export_spec *a,
			 const struct export_spec *b);
struct export_spec *export_spec_dup(const struct export_spec *spec);
void export_spec_free(struct export_spec *spec);

#endif /* _VXHSD_CONFIG_H */
