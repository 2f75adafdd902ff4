/* SPDX-License-Identifier: GPL-2.0 */
/* What is attached, as text for people and as JSON for programs. */
#ifndef VXHSCTL_OUTPUT_H
#define VXHSCTL_OUTPUT_H

#include <stdio.h>
#include <time.h>

#include <json-c/json.h>

#include "attrs.h"

#define PORTAL_TEXT_SIZE	80

struct lease_list;

void address_text(char *out, size_t size, const struct address *address);
void portal_text(char out[PORTAL_TEXT_SIZE], const struct portal *portal);

void print_disk_table(FILE *out, const struct message *list,
		      unsigned int count);
void print_disk(FILE *out, const struct message *msg);
void print_change(FILE *out, const struct message *msg,
		  const struct timespec *when);

void print_leases(FILE *out, const struct lease_list *list);

struct json_object *disk_json(const struct message *msg);
struct json_object *leases_json(const struct lease_list *list);
struct json_object *change_json(const struct message *msg,
				const struct timespec *when);
struct json_object *overrun_json(const struct timespec *when);
void print_json(FILE *out, struct json_object *object);
void print_json_line(FILE *out, struct json_object *object);

#endif
