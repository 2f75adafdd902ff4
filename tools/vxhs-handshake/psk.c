// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "psk.h"

/**
 * psk_parse() - read the one line IDENTITY:HEXKEY of a file
 * @path: for messages
 * @text: what is in the file; cut into pieces
 * @out: the key, to be wiped also after an error
 * @err: what is wrong
 *
 * Return: 0 or -1
 */
int psk_parse(const char *path, char *text, struct psk *out, struct err *err)
{
	unsigned int n = 0;
	char *line;

	memset(out, 0, sizeof(*out));
	while ((line = strsep(&text, "\n"))) {
		n++;
		if (!*line || *line == '#')
			continue;
		if (out->len)
			return err_set(err, "%s has several keys; an identity has one",
				       path);
		if (psk_parse_line(path, n, line, out, err))
			return -1;
	}
	return out->len ? 0 : err_set(err, "%s has no key in it", path);
}
