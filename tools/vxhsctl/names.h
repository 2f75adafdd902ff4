/* SPDX-License-Identifier: GPL-2.0 */
/* Words for the numbers of the netlink family, the same in text and in JSON. */
#ifndef VXHSCTL_NAMES_H
#define VXHSCTL_NAMES_H

#include <stdint.h>

const char *mode_name(uint32_t mode);
const char *state_name(uint32_t state);
const char *dialect_name(uint32_t dialect);
const char *change_name(uint32_t change);
const char *cap_name(unsigned int bit);

#endif
