// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "table.h"

static size_t width_of(const struct table *t, unsigned int column)
{
	size_t widest = strlen(t->titles[column]), width;
	char text[CELL_SIZE];
	unsigned int row;

	for (row = 0; row < t->rows; row++) {
		t->cell(text, t->list, row, column);
		width = text_width(text);
		if (width > widest)
			widest = width;
	}
	return widest;
}

static void print_cell(FILE *out, const struct table *t, const char *text,
		       unsigned int column, size_t width)
{
	int pad = width - text_width(text);

	if (column == t->right)
		fprintf(out, "%*s%s", pad, "", text);
	else if (column == t->columns - 1)
		fputs(text, out);	/* no blanks at the end of a line */
	else
		fprintf(out, "%s%*s", text, pad, "");
	fputs(column == t->columns - 1 ? "\n" : "  ", out);
}

/**
 * print_table() - one line to a row, under a head line
 * @out: where to
 * @t: the table; nothing is printed if it has no rows
 */
void print_table(FILE *out, const struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX];
	unsigned int row, column;
	char text[CELL_SIZE];

	if (!t->rows)
		return;
	for (column = 0; column < t->columns; column++)
		widths[column] = width_of(t, column);
	for (column = 0; column < t->columns; column++)
		print_cell(out, t, t->titles[column], column, widths[column]);
	for (row = 0; row < t->rows; row++) {
		for (column = 0; column < t->columns; column++) {
			t->cell(text, t->list, row, column);
			print_cell(out, t, text, column, widths[column]);
		}
	}
}
