// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

/*
 * Bytes of the well-formed UTF-8 character at @p, 0 where there is none;
 * overlong forms, surrogates and what is beyond U+10FFFF are none.
 */
static unsigned int utf8_length(const unsigned char *p, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int len, i;
	uint32_t c;

	if (p[0] < 0x80) {
		*code = p[0];
		return 1;
	}
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		len = 2;
		c = p[0] & 0x1f;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		c = p[0] & 0x0f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		c = p[0] & 0x07;
	} else {
		return 0;
	}
	/* A terminating NUL is no continuation byte, so this stops there. */
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*code = c;
	return len;
}

/* C0, DEL, C1, and the marks that reverse or hide text on a terminal. */
static bool disturbs(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

static size_t copy_clean(char *out, size_t size, const char *in,
			 bool hide_disturbing)
{
	const unsigned char *p = (const unsigned char *)in;
	size_t used = 0;

	while (*p) {
		uint32_t code = 0;
		unsigned int len = utf8_length(p, &code), i;
		bool escape = !len || (hide_disturbing && disturbs(code));

		if (!len)
			len = 1;
		if (used + (escape ? len * TEXT_GROWTH : len) >= size)
			break;
		for (i = 0; i < len; i++) {
			if (escape)
				used += sprintf(out + used, "\\x%02x", p[i]);
			else
				out[used++] = p[i];
		}
		p += len;
	}
	out[used] = 0;
	return used;
}

/**
 * text_printable() - copy a string so that a terminal may see it
 * @out: the copy; what is no UTF-8 or would move the cursor is \xNN there
 * @size: bytes at @out; the copy is cut to fit
 * @in: the string
 *
 * Return: its length.
 */
size_t text_printable(char *out, size_t size, const char *in)
{
	return copy_clean(out, size, in, true);
}

/**
 * text_utf8() - copy a string so that it is UTF-8, as JSON must be
 * @out: the copy; only bytes that are no UTF-8 are \xNN there
 * @size: bytes at @out; the copy is cut to fit
 * @in: the string
 *
 * Return: its length.
 */
size_t text_utf8(char *out, size_t size, const char *in)
{
	return copy_clean(out, size, in, false);
}

/**
 * text_width() - columns that a string takes, a column to a character
 * @printable: from text_printable()
 *
 * Return: the columns.
 */
size_t text_width(const char *printable)
{
	size_t width = 0;

	for (; *printable; printable++)
		if (((unsigned char)*printable & 0xc0) != 0x80)
			width++;
	return width;
}

/**
 * uuid_text() - a UUID as people write it
 * @out: 8-4-4-4-12, lower case
 * @uuid: 16 bytes in that order
 */
void uuid_text(char out[UUID_TEXT_SIZE], const uint8_t uuid[16])
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		out += sprintf(out, "%02x", uuid[i]);
	}
}

/**
 * uuid_parse_text() - read a UUID
 * @text: 32 hex digits, with hyphens anywhere between bytes or without;
 *        white space at the end is ignored
 * @uuid: 16 bytes
 *
 * Return: 0, or -1 when @text is none or all zero, which names nobody.
 */
int uuid_parse_text(const char *text, uint8_t uuid[16])
{
	static const uint8_t zero[16];
	unsigned int i, byte;

	for (i = 0; i < 16; i++) {
		if (i && *text == '-')
			text++;
		if (!isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1]) ||
		    sscanf(text, "%2x", &byte) != 1)
			return -1;
		uuid[i] = byte;
		text += 2;
	}
	if (text[strspn(text, " \t\r\n")])
		return -1;
	return memcmp(uuid, zero, 16) ? 0 : -1;
}

/**
 * size_text() - a size for people, in the unit that keeps it short
 * @out: such as 512B, 10GiB, 1.5TiB; rounded down to a tenth
 * @bytes: the size
 */
void size_text(char out[SIZE_TEXT_SIZE], uint64_t bytes)
{
	static const char * const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	unsigned int unit = 0, tenth;
	uint64_t one = 1;

	while (unit < 6 && bytes / one >= 1024) {
		one *= 1024;
		unit++;
	}
	/* one is at most 2^60, so bytes % one * 10 stays below 2^64. */
	tenth = bytes % one * 10 / one;
	if (tenth)
		snprintf(out, SIZE_TEXT_SIZE, "%" PRIu64 ".%u%s", bytes / one,
			 tenth, units[unit]);
	else
		snprintf(out, SIZE_TEXT_SIZE, "%" PRIu64 "%s", bytes / one,
			 units[unit]);
}
