/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VXHSCTL_SHA256_H
#define VXHSCTL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE	32
#define SHA256_BLOCK	64

void sha256(const void *data, size_t len, uint8_t digest[SHA256_SIZE]);
void hmac_sha256(const uint8_t *key, size_t key_len, const uint8_t *data,
		 size_t len, uint8_t digest[SHA256_SIZE]);

#endif
