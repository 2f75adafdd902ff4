/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which server process a folder with leases is in the hands of: it says so in
 * a file there, and keeps the file locked while that is so.
 */
#ifndef _VXHSD_SERVING_H
#define _VXHSD_SERVING_H

#include "util.h"

#define SERVING_FILE	"serving"
#define SERVING_HOST	65	/* bytes, NUL included */

/**
 * struct serving - a server process
 * @instance: as in LOGIN; never 0
 * @pid: on its host
 * @host: its name
 */
struct serving {
	u64 instance;
	long pid;
	char host[SERVING_HOST];
};

int serving_begin(const char *dir, u64 instance);
void serving_end(int fd);
int serving_look(const char *dir, struct serving *out);

#endif /* _VXHSD_SERVING_H */
