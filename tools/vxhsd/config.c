// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sysinfo.h>

#include "config.h"

#define DEFAULT_THREADS	16	/* at most, without --threads */

/* Exports */

void export_spec_free(struct export_spec *spec)
{
	if (!spec)
		return;
	free(spec->target);
	free(spec);
}

/** export_spec_dup - a copy that stands alone, or NULL without memory */
struct export_spec *export_spec_dup(const struct export_spec *spec)
{
	struct export_spec *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *spec;
	copy->next = NULL;
	copy->target = strdup(spec->target);
	if (!copy->target) {
		free(copy);
		return NULL;
	}
	return copy;
}

/** export_spec_equal - do both ask for the same export? */
bool export_spec_equal(const struct export_spec *a,
		       const struct export_spec *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->target, b->target) &&
	       a->size == b->size && a->block == b->block &&
	       a->read_only == b->read_only &&
	       a->write_through == b->write_through &&
	       a->has_id == b->has_id && !memcmp(a->id, b->id, 16);
}

static int check_name(const char *name, struct err *err)
{
	size_t len = strlen(name);
	const char *p;

	if (!len || len > VXHS_NAME_MAX)
		return err_usage(err,
				 "export name \"%.80s\" has %zu bytes; 1 to %d are allowed",
				 name, len, VXHS_NAME_MAX);
	for (p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '/' ||
		    *p == '=' || *p == ',')
			return err_usage(err,
					 "export name \"%s\" has a space, a control character or one of / = , in it",
					 name);
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return err_usage(err, "an export cannot be named \"%s\"",
				 name);
	return 0;
}

static struct export_spec *add_export(struct config *config, const char *name,
				      struct err *err)
{
	struct export_spec **tail, *spec;

	if (check_name(name, err))
		return NULL;
	for (tail = &config->exports; *tail; tail = &(*tail)->next) {
		if (strcmp((*tail)->name, name))
			continue;
		err_usage(err, "export %s is given twice", name);
		return NULL;
	}
	spec = calloc(1, sizeof(*spec));
	if (!spec) {
		err_set(err, "not enough memory");
		return NULL;
	}
	strcpy(spec->name, name);
	*tail = spec;
	return spec;
}

static int set_target(struct export_spec *spec, const char *value,
		      struct err *err)
{
	if (!*value)
		return err_usage(err, "export %s: its target is empty",
				 spec->name);
	free(spec->target);
	spec->target = strdup(value);
	return spec->target ? 0 : err_set(err, "not enough memory");
}

static int set_size(struct export_spec *spec, const char *value,
		    struct err *err)
{
	if (!parse_size(value, &spec->size) || !spec->size)
		return err_usage(err,
				 "export %s: size=%s is not a size; write bytes, or a number with K, M, G or T",
				 spec->name, value);
	return 0;
}

static int set_cache(struct export_spec *spec, const char *value,
		     struct err *err)
{
	if (strcmp(value, "writeback") && strcmp(value, "none"))
		return err_usage(err,
				 "export %s: cache=%s is neither writeback nor none",
				 spec->name, value);
	spec->write_through = !strcmp(value, "none");
	return 0;
}

static int set_id(struct export_spec *spec, const char *value,
		  struct err *err)
{
	if (!uuid_parse(value, spec->id))
		return err_usage(err, "export %s: id=%s is not a UUID",
				 spec->name, value);
	spec->has_id = true;
	return 0;
}

static int set_block(struct export_spec *spec, const char *value,
		     struct err *err)
{
	u64 block;

	if (!parse_size(value, &block) || block < 512 ||
	    block > VXHS_BLOCK_MAX || (block & (block - 1)))
		return err_usage(err,
				 "export %s: block=%s is not 512, 1024, 2048 or 4096",
				 spec->name, value);
	spec->block = (u32)block;
	return 0;
}

static int set_ro(struct export_spec *spec, const char *value,
		  struct err *err)
{
	static const char * const words[] = {
		"no", "yes", "false", "true", "off", "on", "0", "1",
	};
	unsigned int i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(value, words[i])) {
			spec->read_only = i % 2;
			return 0;
		}
	}
	return err_usage(err, "export %s: ro=%s is neither yes nor no",
			 spec->name, value);
}

static const struct {
	const char *key;
	int (*set)(struct export_spec *spec, const char *value,
		   struct err *err);
} export_keys[] = {
	{ "target", set_target },
	{ "size", set_size },
	{ "cache", set_cache },
	{ "id", set_id },
	{ "block", set_block },
	{ "ro", set_ro },
};

static int set_export_key(struct export_spec *spec, const char *key,
			  const char *value, struct err *err)
{
	unsigned int i;

	for (i = 0; i < sizeof(export_keys) / sizeof(export_keys[0]); i++)
		if (!strcmp(key, export_keys[i].key))
			return export_keys[i].set(spec, value, err);
	return err_usage(err,
			 "export %s: unknown option \"%s\"; there are size, ro, cache, id and block",
			 spec->name, key);
}

static int set_export_option(struct export_spec *spec, char *option,
			     struct err *err)
{
	char *value = strchr(option, '=');

	if (value)
		*value++ = '\0';
	if (!value && !strcmp(option, "ro"))
		return set_ro(spec, "yes", err);
	if (!value)
		return err_usage(err,
				 "export %s: option \"%s\" is unknown or lacks its value",
				 spec->name, option);
	if (!strcmp(option, "target"))
		return err_usage(err, "export %s: it has a target already",
				 spec->name);
	return set_export_key(spec, option, value, err);
}

/**
 * config_add_export - take NAME=TARGET[,OPTION]...
 * @config: gets the export
 * @text: as on the command line
 * @err: what is wrong with it
 *
 * Return: 0 or -1
 */
int config_add_export(struct config *config, const char *text,
		      struct err *err)
{
	char *copy = strdup(text), *rest, *target, *option;
	struct export_spec *spec;
	int ret = -1;

	if (!copy)
		return err_set(err, "not enough memory");
	rest = strchr(copy, '=');
	if (!rest) {
		err_usage(err, "--export %s: it must be NAME=TARGET[,OPTION]...",
			  text);
		goto out;
	}
	*rest++ = '\0';
	spec = add_export(config, copy, err);
	if (!spec)
		goto out;
	target = strsep(&rest, ",");
	ret = set_target(spec, target, err);
	while (!ret && (option = strsep(&rest, ",")))
		ret = set_export_option(spec, option, err);
out:
	free(copy);
	return ret;
}

/* Listeners */

static bool valid_port(const char *port)
{
	char *end;
	long n = strtol(port, &end, 10);

	return *port >= '0' && *port <= '9' && !*end && n <= 65535;
}

/* Split ADDR, ADDR:PORT, [ADDR], [ADDR]:PORT or :PORT; false if malformed. */
static bool split_address(char *text, char **host, char **port)
{
	char *colon;

	*host = text;
	*port = NULL;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (!end)
			return false;
		*end++ = '\0';
		*host = text + 1;
		if (!*end)
			return **host;
		*port = end + 1;
		return *end == ':' && **host;
	}
	colon = strchr(text, ':');
	if (!colon || strchr(colon + 1, ':'))
		return *text;		/* no port, or a bare IPv6 address */
	*colon = '\0';
	*port = colon + 1;
	return true;
}

static struct listen_spec *new_listen(struct config *config, const char *host,
				      const char *port)
{
	struct listen_spec **tail, *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	snprintf(spec->port, sizeof(spec->port), "%s", port);
	if (*host && strcmp(host, "*")) {
		spec->host = strdup(host);
		if (!spec->host) {
			free(spec);
			return NULL;
		}
	}
	for (tail = &config->listens; *tail; )
		tail = &(*tail)->next;
	*tail = spec;
	return spec;
}

/**
 * config_add_listen - take ADDR[:PORT]
 * @config: gets the address
 * @text: as on the command line
 * @err: what is wrong with it
 *
 * Return: 0 or -1
 */
int config_add_listen(struct config *config, const char *text,
		      struct err *err)
{
	char *copy = strdup(text), *host, *port;
	char standard[8];
	int ret = 0;

	if (!copy)
		return err_set(err, "not enough memory");
	snprintf(standard, sizeof(standard), "%d", VXHS_PORT);
	if (!split_address(copy, &host, &port))
		ret = err_usage(err,
				"listen address \"%s\" is not ADDR, ADDR:PORT or [ADDR]:PORT",
				text);
	else if (port && !valid_port(port))
		ret = err_usage(err,
				"listen address \"%s\": its port is not a number from 0 to 65535",
				text);
	else if (!new_listen(config, host, port ? port : standard))
		ret = err_set(err, "not enough memory");
	free(copy);
	return ret;
}

/* Server */

static int set_threads(struct config *config, const char *value,
		       struct err *err)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (!*value || *end || n < 1 || n > MAX_THREADS)
		return err_usage(err,
				 "threads: \"%s\" is not a number from 1 to %d",
				 value, MAX_THREADS);
	config->threads = (unsigned int)n;
	return 0;
}

static int set_string(char **where, const char *value, struct err *err)
{
	free(*where);
	*where = strdup(value);
	return *where ? 0 : err_set(err, "not enough memory");
}

/* The config file */

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
		return set_threads(r->config, value, r->err);
	}
	if (!strcmp(key, "state_dir")) {
		if (r->config->state_dir_given)
			return 0;
		return set_string(&r->config->state_dir, value, r->err);
	}
	return err_usage(r->err,
			 "unknown key \"%s\" in [server]; there are listen, threads and state_dir",
			 key);
}

static int set_file_export_key(struct reader *r, const char *name,
			       const char *key, const char *value)
{
	if (!r->spec || strcmp(r->spec->name, name)) {
		r->spec = add_export(r->config, name, r->err);
		if (!r->spec)
			return -1;
		r->spec->from_file = true;
	}
	return set_export_key(r->spec, key, value, r->err);
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

/* The command line */

static const char *option_value(int argc, char **argv, int *i,
				const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	if (*i + 1 < argc)
		return argv[++*i];
	err_usage(err, "option %s needs a value; see vxhsd --help", name);
	return NULL;
}

static bool is_option(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(arg, name, len) && (!arg[len] || arg[len] == '=');
}

static int take_config(struct config *config, const char *value,
		       struct err *err)
{
	return set_string(&config->path, value, err);
}

static int take_threads(struct config *config, const char *value,
			struct err *err)
{
	config->threads_given = true;
	return set_threads(config, value, err);
}

static int take_state_dir(struct config *config, const char *value,
			  struct err *err)
{
	config->state_dir_given = true;
	return set_string(&config->state_dir, value, err);
}

static const struct {
	const char *name;
	int (*take)(struct config *config, const char *value,
		    struct err *err);
} options[] = {
	{ "--config", take_config },
	{ "--listen", config_add_listen },
	{ "--export", config_add_export },
	{ "--threads", take_threads },
	{ "--state-dir", take_state_dir },
};

static int take_arg(struct config *config, int argc, char **argv, int *i,
		    struct err *err)
{
	const char *arg = argv[*i], *value;
	unsigned int n;

	if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
		config->action = CONFIG_HELP;
		return 0;
	}
	if (!strcmp(arg, "--version")) {
		config->action = CONFIG_VERSION;
		return 0;
	}
	for (n = 0; n < sizeof(options) / sizeof(options[0]); n++) {
		if (!is_option(arg, options[n].name))
			continue;
		value = option_value(argc, argv, i, options[n].name, err);
		return value ? options[n].take(config, value, err) : -1;
	}
	return err_usage(err, "unknown %s \"%s\"; see vxhsd --help",
			 *arg == '-' ? "option" : "argument", arg);
}

/**
 * config_parse_args - read the command line
 * @config: the result
 * @argc: as in main()
 * @argv: as in main()
 * @err: what is wrong
 *
 * Return: 0 or -1; config_free() in both cases
 */
int config_parse_args(struct config *config, int argc, char **argv,
		      struct err *err)
{
	int i;

	memset(config, 0, sizeof(*config));
	for (i = 1; i < argc && config->action == CONFIG_RUN; i++)
		if (take_arg(config, argc, argv, &i, err))
			return -1;
	return 0;
}

static unsigned int default_threads(void)
{
	int n = get_nprocs();

	if (n < 1)
		return 1;
	return n > DEFAULT_THREADS ? DEFAULT_THREADS : (unsigned int)n;
}

/**
 * config_finish - fill in what was not said
 * @config: command line and file are read
 * @err: what is missing
 *
 * Return: 0 or -1
 */
int config_finish(struct config *config, struct err *err)
{
	if (!config->exports && !config->path)
		return err_usage(err,
				 "there is nothing to export; give --export NAME=TARGET or --config FILE, see vxhsd --help");
	if (!config->listens && config_add_listen(config, "*", err))
		return -1;
	if (!config->state_dir &&
	    set_string(&config->state_dir, DEFAULT_STATE_DIR, err))
		return -1;
	if (!config->threads)
		config->threads = default_threads();
	return 0;
}

void config_free(struct config *config)
{
	while (config->exports) {
		struct export_spec *next = config->exports->next;

		export_spec_free(config->exports);
		config->exports = next;
	}
	while (config->listens) {
		struct listen_spec *next = config->listens->next;

		free(config->listens->host);
		free(config->listens);
		config->listens = next;
	}
	free(config->path);
	free(config->state_dir);
	memset(config, 0, sizeof(*config));
}
