/* SPDX-License-Identifier: GPL-2.0 */
/* What a peer's proof, that a certificate is its own, may cost us. */
#ifndef _VXHS_PROOF_H
#define _VXHS_PROOF_H

#include <gnutls/gnutls.h>

#define PROOF_RSA_BITS		8192	/* of a modulus */
#define PROOF_EXPONENT_BITS	64
#define PROOF_TOO_COSTLY	GNUTLS_E_CONSTRAINT_ERROR

void proof_limit(gnutls_session_t session);

#endif /* _VXHS_PROOF_H */
