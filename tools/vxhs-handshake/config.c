// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define SECTION		"identity "

struct reader {
	struct config *config;
	struct err *err;
	bool failed;
	FILE *file;
	int line;
};

static struct identity_spec *find(struct reader *r, const char *name)
{
	struct identity_spec **at = &r->config->identities;

	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	if (*at)
		return *at;
	if (!identity_name_ok(name)) {
		err_set(r->err, "[identity %s]: a name is 1 to %d letters, digits, \".\", \"-\" and \"_\"",
			name, IDENTITY_MAX);
		return NULL;
	}
	*at = calloc(1, sizeof(**at));
	if (*at)
		strcpy((*at)->name, name);
	else
		err_set(r->err, "not enough memory");
	return *at;
}

static int set_key(struct reader *r, struct identity_spec *spec,
		   const char *key, const char *value)
{
	const struct {
		const char *key;
		char **value;
	} keys[] = {
		{ "ca", &spec->ca },
		{ "crl", &spec->crl },
		{ "cert", &spec->cert },
		{ "key", &spec->key },
		{ "psk", &spec->psk },
	};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcmp(key, keys[i].key))
			continue;
		if (*keys[i].value)
			return err_set(r->err, "[identity %s]: %s is there twice",
				       spec->name, key);
		if (*value != '/')
			return err_set(r->err, "[identity %s]: %s needs the path of a file, beginning with \"/\"",
				       spec->name, key);
		*keys[i].value = strdup(value);
		return *keys[i].value ? 0 : err_set(r->err,
						    "not enough memory");
	}
	return err_set(r->err, "[identity %s]: unknown key \"%s\"; there are ca, crl, cert, key and psk",
		       spec->name, key);
}

static int take_key(void *user, const char *section, const char *key,
		    const char *value)
{
	struct identity_spec *spec;
	struct reader *r = user;

	if (r->failed)
		return 0;
	r->failed = true;
	if (strncmp(section, SECTION, strlen(SECTION))) {
		err_set(r->err, "unknown section [%s]; there is [identity NAME]",
			section);
		return 0;
	}
	spec = find(r, section + strlen(SECTION));
	if (spec && !set_key(r, spec, key, value))
		r->failed = false;
	return !r->failed;
}

/* A line that inih would cut in two is an error, not two lines. */
static char *read_line_whole(char *buf, int size, void *stream)
{
	struct reader *r = stream;
	char *line = r->failed ? NULL : fgets(buf, size, r->file);

	if (!line)
		return NULL;
	r->line++;
	if (!strchr(line, '\n') && !feof(r->file)) {
		err_set(r->err, "the line is longer than %d bytes", size - 2);
		r->failed = true;
	}
	return line;
}

static int check(const struct identity_spec *spec, struct err *err)
{
	if (spec->psk && (spec->ca || spec->crl || spec->cert || spec->key))
		return err_set(err, "[identity %s] has a psk and certificates; it can be one of them",
			       spec->name);
	if (!spec->psk && (!spec->ca || !spec->cert || !spec->key))
		return err_set(err, "[identity %s] has no %s; it needs ca, cert and key, or psk",
			       spec->name, !spec->ca ? "ca" :
			       !spec->cert ? "cert" : "key");
	return 0;
}

/**
 * config_read() - read the configuration file
 * @path: which
 * @out: for config_free(), also after an error
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int config_read(const char *path, struct config *out, struct err *err)
{
	struct err inner = { 0 };
	struct reader r = { .config = out, .err = &inner };
	const struct identity_spec *spec;
	int line, failed;

	memset(out, 0, sizeof(*out));
	r.file = fopen(path, "re");
	if (!r.file)
		return err_set(err, "cannot read %s: %s", path,
			       strerror(errno));
	line = ini_parse_stream(read_line_whole, &r, take_key, &r);
	/* Half a file is not a shorter one. */
	failed = ferror(r.file) ? errno : 0;
	fclose(r.file);
	if (failed)
		return err_set(err, "cannot read %s: %s", path,
			       strerror(failed));
	if (line < 0)
		return err_set(err, "not enough memory");
	if (r.failed)
		return err_set(err, "%s:%d: %.400s", path, r.line, inner.text);
	if (line)
		return err_set(err, "%s:%d: neither [SECTION] nor KEY = VALUE",
			       path, line);
	for (spec = out->identities; spec; spec = spec->next)
		if (check(spec, &inner))
			return err_set(err, "%s: %.400s", path, inner.text);
	if (!out->identities)
		return err_set(err, "%s: there is no [identity NAME] in it",
			       path);
	return 0;
}

void config_free(struct config *config)
{
	while (config->identities) {
		struct identity_spec *spec = config->identities;

		config->identities = spec->next;
		free(spec->ca);
		free(spec->crl);
		free(spec->cert);
		free(spec->key);
		free(spec->psk);
		free(spec);
	}
}
