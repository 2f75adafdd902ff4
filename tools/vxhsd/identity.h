/* SPDX-License-Identifier: GPL-2.0 */
/* Names that outlive the process: of the server, of vdisks, of leases. */
#ifndef _VXHSD_IDENTITY_H
#define _VXHSD_IDENTITY_H

#include "util.h"

struct export;

void identity_init(const char *state_dir);
const u8 *server_id(void);
u64 server_instance(void);
const char *state_dir(void);

void identity_of_file(struct export *x);
void identity_derived(struct export *x);
void losses_load(struct export *x);
void losses_store(const struct export *x);
u64 verifier_now(const struct export *x);

#endif /* _VXHSD_IDENTITY_H */
