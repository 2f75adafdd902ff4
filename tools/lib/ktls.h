/* SPDX-License-Identifier: GPL-2.0 */
/* The keys that were agreed on go to the kernel. */
#ifndef _VXHS_KTLS_H
#define _VXHS_KTLS_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

bool ktls_offered(void);
int ktls_install(gnutls_session_t session, int fd);

#endif /* _VXHS_KTLS_H */
