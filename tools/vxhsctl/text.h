/* SPDX-License-Identifier: GPL-2.0 */
/* Strings that come from elsewhere, made fit for a terminal or for JSON. */
#ifndef VXHSCTL_TEXT_H
#define VXHSCTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A byte becomes at most this many: \xNN. */
#define TEXT_GROWTH	4

#define UUID_TEXT_SIZE	37
#define SIZE_TEXT_SIZE	32

size_t text_printable(char *out, size_t size, const char *in);
size_t text_utf8(char *out, size_t size, const char *in);
size_t text_width(const char *printable);
void uuid_text(char out[UUID_TEXT_SIZE], const uint8_t uuid[16]);
int uuid_parse_text(const char *text, uint8_t uuid[16]);
void size_text(char out[SIZE_TEXT_SIZE], uint64_t bytes);

#endif
