/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VXHSD_FLUSH_H
#define _VXHSD_FLUSH_H

struct export;
struct io;

void flush_init(struct export *x);
void flush_destroy(struct export *x);
void flush_submit(struct io *io);

#endif /* _VXHSD_FLUSH_H */
