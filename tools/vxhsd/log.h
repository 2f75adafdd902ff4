/* SPDX-License-Identifier: GPL-2.0 */
/* Lines on stderr.  Any thread; a line is one write. */
#ifndef _VXHSD_LOG_H
#define _VXHSD_LOG_H

#include <stdbool.h>

void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool log_peer(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif /* _VXHSD_LOG_H */
