/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VXHSCTL_HOLDERS_H
#define VXHSCTL_HOLDERS_H

#include <stddef.h>

int holders_text(const char *disk, char *out, size_t size);

#endif
