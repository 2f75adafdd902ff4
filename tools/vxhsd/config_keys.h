/* SPDX-License-Identifier: GPL-2.0 */
/* What the command line and the config file have in common. */
#ifndef _VXHSD_CONFIG_KEYS_H
#define _VXHSD_CONFIG_KEYS_H

#include "config.h"

struct export_spec *config_new_export(struct config *config, const char *name,
				      struct err *err);
int config_set_export(struct export_spec *spec, const char *key,
		      const char *value, struct err *err);
int config_set_threads(struct config *config, const char *value,
		       struct err *err);
int config_set_client(struct config *config, const char *key,
		      const char *value, struct err *err);
bool config_is_tls_key(const char *key);
int config_set_tls(struct tls_spec *tls, const char *key, const char *value,
		   struct err *err);
int config_check_tls(const struct tls_spec *tls, struct err *err);
void config_free_tls(struct tls_spec *tls);
int config_set_string(char **where, const char *value, struct err *err);

#endif /* _VXHSD_CONFIG_KEYS_H */
