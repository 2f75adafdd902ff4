/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is kept of a lease: one line, in a file of its own.  vxhsd writes it
 * and reads it when it starts; vxhsctl shows it.  In a folder that servers
 * share each writes files of its own, so that what one writes late is never
 * in place of what another has written since.
 */
#ifndef _VXHSD_LEASE_RECORD_H
#define _VXHSD_LEASE_RECORD_H

#include <netinet/in.h>

#include "util.h"

#define LEASE_FILE	"lease-"	/* the vdisk's id; shared: - server's */
#define LEASE_LINE	320		/* bytes, NUL included */

/**
 * enum lease_state - has its owner the vdisk open, or had when the server
 * ended?
 * @LEASE_FREE: no
 * @LEASE_HELD: yes, and nobody else may write
 * @LEASE_SHARED: there is no owner: sessions that share have it open
 */
enum lease_state {
	LEASE_FREE,
	LEASE_HELD,
	LEASE_SHARED,
};

/**
 * struct lease_record - who may write a vdisk alone, or could last
 * @number: never 0
 * @session: the owner; 0 when sessions that share have come after it
 * @host: the owner's host
 * @kato_ms: the owner's
 * @state: as above
 * @since: of @state and @number, seconds since 1970; 0: not known
 * @instance: the server process in which the owner opened it; 0: not known
 * @address: the owner's, without a port; with TLS "id-" and what is made of its
 *	identity; may be empty
 * @name: the vdisk's; may be empty
 * @serial: grows with each change, whichever server makes it; 0: not known
 *
 * Records of earlier versions end after @state or @name.
 */
struct lease_record {
	u64 number;
	u64 session;
	u8 host[16];
	u32 kato_ms;
	enum lease_state state;
	u64 since;
	u64 instance;
	char address[INET6_ADDRSTRLEN];
	char name[VXHS_NAME_MAX + 1];
	u64 serial;
};

bool lease_file_parse(const char *name, u8 vdisk_id[16]);
bool lease_record_newer(const struct lease_record *a,
			const struct lease_record *b);

bool lease_record_parse(const char *line, struct lease_record *r);
void lease_record_format(const struct lease_record *r, char line[LEASE_LINE]);

#endif /* _VXHSD_LEASE_RECORD_H */
