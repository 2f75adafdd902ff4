/* SPDX-License-Identifier: GPL-2.0 */
/* What a storage server has written down about who holds its vdisks. */
#ifndef VXHSCTL_LEASES_H
#define VXHSCTL_LEASES_H

#include <stdbool.h>

#include "../vxhsd/lease_record.h"
#include "../vxhsd/serving.h"

/**
 * struct lease_entry - a vdisk
 * @vdisk_id: its id
 * @record: what is written down
 * @state: what that means now
 */
struct lease_entry {
	uint8_t vdisk_id[16];
	struct lease_record record;
	const char *state;
};

/**
 * struct lease_list - the leases of a folder
 * @dir: the folder
 * @served: a server has it in its hands
 * @server: that server
 * @items: by name; to be freed with leases_free()
 * @count: how many
 * @damaged: how many more could not be read
 */
struct lease_list {
	const char *dir;
	bool served;
	struct serving server;
	struct lease_entry *items;
	unsigned int count;
	unsigned int damaged;
};

int leases_read(const char *dir, struct lease_list *out);
void leases_free(struct lease_list *list);

#endif
