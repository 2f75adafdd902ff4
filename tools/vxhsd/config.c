// SPDX-License-Identifier: GPL-2.0
/* The command line of vxhsd, and what was not said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "config.h"
#include "config_keys.h"

#define DEFAULT_THREADS	16	/* at most, without --threads */

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
	return config_set_string(&config->path, value, err);
}

static int take_threads(struct config *config, const char *value,
			struct err *err)
{
	config->threads_given = true;
	return config_set_threads(config, value, err);
}

static int take_state_dir(struct config *config, const char *value,
			  struct err *err)
{
	config->state_dir_given = true;
	return config_set_string(&config->state_dir, value, err);
}

static int take_user(struct config *config, const char *value,
		     struct err *err)
{
	config->user_given = true;
	return config_set_string(&config->user, value, err);
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
	{ "--user", take_user },
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

static int check_shared(const struct config *config, struct err *err)
{
	const struct export_spec *spec;

	for (spec = config->exports; spec; spec = spec->next) {
		if (!spec->shared)
			continue;
		if (!strcmp(spec->target, "memory") || spec->read_only)
			return err_usage(err,
					 "export %s: memory, and what is read-only, cannot be shared with another server",
					 spec->name);
		if (!spec->write_through)
			return err_usage(err,
					 "export %s: what is shared with another server needs cache=none, or it would lose writes",
					 spec->name);
	}
	return 0;
}

/* A list that nothing enforces would be believed all the same. */
static int check_lists(const struct config *config, struct err *err)
{
	const struct export_spec *spec;

	for (spec = config->exports; spec; spec = spec->next)
		if (spec->allow && config->tls.kind == TLS_OFF)
			return err_usage(err,
					 "export %s: allow needs tls, or anybody could say to be anybody",
					 spec->name);
	return 0;
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
	if (check_shared(config, err) || config_check_tls(&config->tls, err) ||
	    check_lists(config, err))
		return -1;
	if (!config->listens && config_add_listen(config, "*", err))
		return -1;
	if (!config->state_dir &&
	    config_set_string(&config->state_dir, DEFAULT_STATE_DIR, err))
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
	config_free_tls(&config->tls);
	free(config->path);
	free(config->state_dir);
	free(config->audit);
	free(config->user);
	memset(config, 0, sizeof(*config));
}
