/* SPDX-License-Identifier: GPL-2.0 */
/* Between what the user calls a disk and its number. */
#ifndef VXHSCTL_DEVICE_H
#define VXHSCTL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_INDEX_MAX	1048575
#define DEVICE_PATH_SIZE	32

struct command;

bool device_name_parse(const char *name, uint32_t *index, bool *partition);
int device_resolve(const char *text, uint32_t *index);
int device_argument(const struct command *cmd, int argc, char **argv,
		    uint32_t *index);
void device_path(char out[DEVICE_PATH_SIZE], uint32_t index);
int device_wait(uint32_t index);

#endif
