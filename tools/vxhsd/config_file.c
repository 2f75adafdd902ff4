// SPDX-License-Identifier: GPL-2.0
/* The config file of vxhsd, an INI file. */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "config_keys.h"

struct reader {
	struct config *config;
	struct err *err;
	bool failed;
	bool own_listens;	/* none came from the command line */
	char export[VXHS_NAME_MAX + 1];
	struct export_spec *spec;
	unsigned int line;
	FILE *file;
};

static int set_server_key(struct reader *r, const char *key,
			  const char *value)
{
	if (!strcmp(key, "listen"))
		return r->own_listens ?
		       config_add_listen(r->config, value, r->err) : 0;
	if (!strcmp(key, "threads")) {
		if (r->config->threads_given)
			return 0;
		return config_set_threads(r->config, value, r->err);
	}
	if (!strcmp(key, "state_dir")) {
		if (r->config->state_dir_given)
			return 0;
		return config_set_string(&r->config->state_dir, value, r->err);
	}
	if (!strcmp(key, "user"))
		return r->config->user_given ? 0 :
		       config_set_string(&r->config->user, value, r->err);
	if (!strcmp(key, "audit"))
		return config_set_string(&r->config->audit, value, r->err);
	if (config_is_tls_key(key))
		return config_set_tls(&r->config->tls, key, value, r->err);
	if (!strcmp(key, "client-max-conns") ||
	    !strcmp(key, "client-max-inflight"))
		return config_set_client(r->config, key, value, r->err);
	return err_usage(r->err,
			 "unknown key \"%s\" in [server]; there are listen, threads, state_dir, user, audit, client-max-conns, client-max-inflight, tls, tls-cert, tls-key, tls-ca, tls-crl and tls-psk",
			 key);
}

static int set_file_export_key(struct reader *r, const char *name,
			       const char *key, const char *value)
{
	if (!r->spec || strcmp(r->spec->name, name)) {
		r->spec = config_new_export(r->config, name, r->err);
		if (!r->spec)
			return -1;
		r->spec->from_file = true;
	}
	return config_set_export(r->spec, key, value, r->err);
}

static int take_key(void *user, const char *section, const char *key,
		    const char *value)
{
	struct reader *r = user;
	int ret;

	if (r->failed)
		return 0;
	if (!strcmp(section, "server"))
		ret = set_server_key(r, key, value);
	else if (!strncmp(section, "export ", 7))
		ret = set_file_export_key(r, section + 7, key, value);
	else if (!*section)
		ret = err_usage(r->err,
				"\"%s\" stands before any section; there are [server] and [export NAME]",
				key);
	else
		ret = err_usage(r->err,
				"unknown section [%s]; there are [server] and [export NAME]",
				section);
	r->failed = ret;
	return !ret;
}

/* A line that inih would cut in two is an error, not two lines. */
static char *read_ini_line(char *buf, int size, void *stream)
{
	struct reader *r = stream;
	char *line = fgets(buf, size, r->file);

	if (!line || r->failed)
		return line;
	r->line++;
	if (!strchr(line, '\n') && !feof(r->file)) {
		err_usage(r->err, "the line is longer than %d bytes", size - 2);
		r->failed = true;
	}
	return line;
}

static int check_targets(const struct config *config, struct err *err)
{
	const struct export_spec *spec;

	for (spec = config->exports; spec; spec = spec->next)
		if (!spec->target)
			return err_usage(err, "export %s has no target",
					 spec->name);
	return 0;
}

/**
 * config_read_file - read the config file, if one was named
 * @config: from config_parse_args(); the command line goes first
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int config_read_file(struct config *config, struct err *err)
{
	struct err inner = { 0 };
	struct reader r = {
		.config = config,
		.err = &inner,
		.own_listens = !config->listens,
	};
	int line;

	if (!config->path)
		return 0;
	r.file = fopen(config->path, "re");
	if (!r.file)
		return err_set(err, "cannot open config file %s: %s",
			       config->path, strerror(errno));
	line = ini_parse_stream(read_ini_line, &r, take_key, &r);
	if (ferror(r.file)) {
		fclose(r.file);
		return err_set(err, "cannot read config file %s",
			       config->path);
	}
	fclose(r.file);
	if (line < 0)
		return err_set(err, "not enough memory");
	if (line && !r.failed)
		return err_usage(err,
				 "%s:%d: the line is neither [SECTION] nor KEY = VALUE",
				 config->path, line);
	if (line || r.failed) {
		if (!inner.usage)
			return err_set(err, "%s", inner.text);
		return err_usage(err, "%s:%d: %.400s", config->path,
				 line ? line : (int)r.line, inner.text);
	}
	return check_targets(config, err);
}
