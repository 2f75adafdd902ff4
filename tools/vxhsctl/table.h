/* SPDX-License-Identifier: GPL-2.0 */
/* Rows under a head line, with columns as wide as they must be. */
#ifndef VXHSCTL_TABLE_H
#define VXHSCTL_TABLE_H

#include <stdio.h>

#include "text.h"

#define CELL_SIZE		(256 * TEXT_GROWTH)
#define TABLE_COLUMNS_MAX	8

/**
 * struct table - what is in a table
 * @columns: how many, at most TABLE_COLUMNS_MAX
 * @rows: how many
 * @titles: of the columns
 * @right: the column of numbers, which is aligned right; or @columns
 * @list: what @cell gets
 * @cell: the text of a cell, fit for a terminal
 */
struct table {
	unsigned int columns;
	unsigned int rows;
	const char * const *titles;
	unsigned int right;
	const void *list;
	void (*cell)(char out[CELL_SIZE], const void *list, unsigned int row,
		     unsigned int column);
};

void print_table(FILE *out, const struct table *t);

#endif
