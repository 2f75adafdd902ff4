// SPDX-License-Identifier: GPL-2.0
/* Keys in a keyring of the kernel, by their serial number. */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "psk.h"

static long keyctl(int op, int32_t serial, void *buf, size_t size)
{
	return syscall(SYS_keyctl, op, serial, buf, size);
}

/**
 * psk_from_keyring() - a pre-shared key, its identity the key's description
 * @serial: of the key
 * @out: the key
 * @err: why not
 *
 * Return: 0 or -1
 */
int psk_from_keyring(int32_t serial, struct psk *out, struct err *err)
{
	/* "type;uid;gid;perm;description" */
	char text[PSK_NAME_MAX + 64];
	const char *name = text;
	long len;
	int i;

	memset(out, 0, sizeof(*out));
	len = keyctl(KEYCTL_DESCRIBE, serial, text, sizeof(text));
	if (len < 0)
		return err_set(err, "cannot look at key %d: %s", serial,
			       strerror(errno));
	if ((size_t)len > sizeof(text))
		return err_set(err, "the description of key %d is too long",
			       serial);
	/* There may be further ones in the description. */
	for (i = 0; i < 4 && name; i++) {
		name = strchr(name, ';');
		name = name ? name + 1 : NULL;
	}
	if (!name || !*name || strlen(name) > PSK_NAME_MAX)
		return err_set(err, "key %d has no description to be its identity",
			       serial);
	strcpy(out->name, name);
	len = keyctl(KEYCTL_READ, serial, out->key, sizeof(out->key));
	if (len < 0)
		return err_set(err, "cannot read key %d: %s", serial,
			       strerror(errno));
	if (len < PSK_KEY_MIN || len > PSK_KEY_MAX)
		return err_set(err, "key %d has %ld bytes, %d to %d are possible",
			       serial, len, PSK_KEY_MIN, PSK_KEY_MAX);
	out->len = (unsigned int)len;
	return 0;
}
