/* SPDX-License-Identifier: GPL-2.0 */
/* Words for the numbers of the netlink family, the same in text and in JSON. */
#ifndef VXHSCTL_NAMES_H
#define VXHSCTL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

const char *mode_name(uint32_t mode);
const char *state_name(uint32_t state);
const char *dialect_name(uint32_t dialect);
const char *digests_name(uint32_t digests);
const char *digests_text(uint64_t features);
bool digests_all(uint64_t features);
const char *change_name(uint32_t change);
const char *cap_name(unsigned int bit);

#endif
