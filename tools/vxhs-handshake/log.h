/* SPDX-License-Identifier: GPL-2.0 */
/* Lines on stderr.  What cannot be written at once is dropped. */
#ifndef VXHS_HANDSHAKE_LOG_H
#define VXHS_HANDSHAKE_LOG_H

void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
