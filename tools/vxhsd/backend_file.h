/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VXHSD_BACKEND_FILE_H
#define _VXHSD_BACKEND_FILE_H

#include "util.h"

struct export;
struct export_spec;

int file_open(struct export *x, const struct export_spec *spec,
	      struct err *err);
int file_resize(struct export *x, const struct export_spec *spec, u64 *size,
		struct err *err);
int blockdev_open(struct export *x, const struct export_spec *spec,
		  struct err *err);

#endif /* _VXHSD_BACKEND_FILE_H */
