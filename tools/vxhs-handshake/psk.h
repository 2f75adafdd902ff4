/* SPDX-License-Identifier: GPL-2.0 */
/* Pre-shared keys, from where this agent may have them. */
#ifndef VXHS_HANDSHAKE_PSK_H
#define VXHS_HANDSHAKE_PSK_H

#include "../lib/secret.h"

int psk_parse(const char *path, char *text, struct psk *out, struct err *err);
int psk_from_keyring(int32_t serial, struct psk *out, struct err *err);

#endif
