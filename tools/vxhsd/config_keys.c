// SPDX-License-Identifier: GPL-2.0
/*
 * What may be said of exports, addresses and the server, wherever it is said:
 * each value is checked here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client.h"
#include "config.h"
#include "config_keys.h"

void export_spec_free(struct export_spec *spec)
{
	if (!spec)
		return;
	free(spec->target);
	free(spec->shared);
	acl_free(spec->allow);
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
	copy->shared = spec->shared ? strdup(spec->shared) : NULL;
	if (!acl_dup(spec->allow, &copy->allow) || !copy->target ||
	    (spec->shared && !copy->shared)) {
		export_spec_free(copy);
		return NULL;
	}
	return copy;
}

/** export_spec_equal - do both ask for the same export? */
bool export_spec_equal(const struct export_spec *a,
		       const struct export_spec *b)
{
	return export_spec_resized(a, b) && a->size == b->size;
}

/** export_spec_resized - do they differ in nothing but size, if at all? */
bool export_spec_resized(const struct export_spec *a,
			 const struct export_spec *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->target, b->target) &&
	       !a->shared == !b->shared &&
	       (!a->shared || !strcmp(a->shared, b->shared)) &&
	       a->block == b->block &&
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

/** config_new_export - an export of a name, with nothing set; NULL on error */
struct export_spec *config_new_export(struct config *config, const char *name,
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

static int set_shared(struct export_spec *spec, const char *value,
		      struct err *err)
{
	if (*value != '/')
		return err_usage(err,
				 "export %s: shared=%s is not the path of a folder, which begins with /",
				 spec->name, value);
	return config_set_string(&spec->shared, value, err);
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

static int set_allow(struct export_spec *spec, const char *value,
		     struct err *err)
{
	return acl_add(&spec->allow, value, spec->name, err);
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
	{ "shared", set_shared },
	{ "allow", set_allow },
};

/** config_set_export - set one option of an export, by its name */
int config_set_export(struct export_spec *spec, const char *key,
		      const char *value, struct err *err)
{
	unsigned int i;

	for (i = 0; i < sizeof(export_keys) / sizeof(export_keys[0]); i++)
		if (!strcmp(key, export_keys[i].key))
			return export_keys[i].set(spec, value, err);
	return err_usage(err,
			 "export %s: unknown option \"%s\"; there are size, ro, cache, id, block, shared and allow",
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
	return config_set_export(spec, option, value, err);
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
	spec = config_new_export(config, copy, err);
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

	return *port >= '0' && *port <= '9' && !*end && n <= 65535 &&
	       end - port <= 5;
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

int config_set_threads(struct config *config, const char *value,
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

/** config_set_client - a limit of each client: client-max-... */
int config_set_client(struct config *config, const char *key,
		      const char *value, struct err *err)
{
	u64 n;

	if (!strcmp(key, "client-max-conns")) {
		if (!parse_size(value, &n) || !n || n > UINT32_MAX)
			return err_usage(err,
					 "client-max-conns: \"%s\" is not a number of at least 1",
					 value);
		config->client_conns = (unsigned int)n;
	} else {
		if (!parse_size(value, &n) || n < CLIENT_BYTES_MIN)
			return err_usage(err,
					 "client-max-inflight: \"%s\" is not a size of at least 16M",
					 value);
		config->client_bytes = n;
	}
	return 0;
}

int config_set_string(char **where, const char *value, struct err *err)
{
	free(*where);
	*where = strdup(value);
	return *where ? 0 : err_set(err, "not enough memory");
}
