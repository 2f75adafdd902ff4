/* SPDX-License-Identifier: GPL-2.0 */
/* Who may do what with a vdisk. */
#ifndef _VXHSD_ACL_H
#define _VXHSD_ACL_H

#include "util.h"

#define ACL_RO		1u
#define ACL_RW		2u	/* never without ACL_RO */
#define ACL_TAKE_OVER	4u	/* from whoever has it */
#define ACL_ALL		(ACL_RO | ACL_RW | ACL_TAKE_OVER)

/** struct acl - a line of a list; @who is "*" for everybody with an identity */
struct acl {
	struct acl *next;
	unsigned int rights;
	char who[];
};

int acl_add(struct acl **list, const char *text, const char *export,
	    struct err *err);
unsigned int acl_rights(const struct acl *list, const char *who);
bool acl_dup(const struct acl *list, struct acl **copy);
void acl_free(struct acl *list);

#endif /* _VXHSD_ACL_H */
