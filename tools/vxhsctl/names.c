// SPDX-License-Identifier: GPL-2.0
#include <stddef.h>

#include <linux/vxhs.h>
#include <linux/vxhs_wire.h>

#include "names.h"

#define NAME_OF(names, value)						\
	name_of(names, sizeof(names) / sizeof((names)[0]), value)

/* A newer module may know more values than this program. */
static const char *name_of(const char * const *names, size_t count,
			   uint32_t value)
{
	return value < count && names[value] ? names[value] : "unknown";
}

/**
 * mode_name() - how a vdisk is open
 * @mode: enum vxhs_mode
 *
 * Return: a word.
 */
const char *mode_name(uint32_t mode)
{
	static const char * const names[] = {
		[VXHS_MODE_READ_ONLY] = "read-only",
		[VXHS_MODE_EXCLUSIVE] = "exclusive",
		[VXHS_MODE_SHARED] = "shared",
	};

	return NAME_OF(names, mode);
}

/**
 * state_name() - the state of a session
 * @state: enum vxhs_session_state
 *
 * Return: a word.
 */
const char *state_name(uint32_t state)
{
	static const char * const names[] = {
		[VXHS_SESSION_STATE_CONNECTING] = "connecting",
		[VXHS_SESSION_STATE_LIVE] = "live",
		[VXHS_SESSION_STATE_RECOVERING] = "recovering",
		[VXHS_SESSION_STATE_FAILING] = "failing",
		[VXHS_SESSION_STATE_CLOSING] = "closing",
	};

	return NAME_OF(names, state);
}

/**
 * dialect_name() - the wire protocol of a session
 * @dialect: enum vxhs_dialect
 *
 * Return: a word.
 */
const char *dialect_name(uint32_t dialect)
{
	static const char * const names[] = {
		[VXHS_DIALECT_V34] = "v34",
		[VXHS_DIALECT_NATIVE] = "native",
	};

	return NAME_OF(names, dialect);
}

/**
 * digests_name() - what was asked for
 * @digests: enum vxhs_digests
 *
 * Return: a word.
 */
const char *digests_name(uint32_t digests)
{
	static const char * const names[] = {
		[VXHS_DIGESTS_NONE] = "none",
		[VXHS_DIGESTS_REQUIRED] = "required",
		[VXHS_DIGESTS_PREFERRED] = "preferred",
	};

	return NAME_OF(names, digests);
}

/**
 * digests_text() - what is in force
 * @features: VXHS_F_*
 *
 * Return: a phrase.
 */
const char *digests_text(uint64_t features)
{
	if (digests_all(features))
		return "CRC32C";
	if (features & VXHS_F_HEADER_CRC)
		return "CRC32C of headers";
	if (features & VXHS_F_DATA_CRC)
		return "CRC32C of data";
	return "none";
}

/** digests_all() - are headers and data protected? */
bool digests_all(uint64_t features)
{
	return !(~features & (VXHS_F_HEADER_CRC | VXHS_F_DATA_CRC));
}

/**
 * change_name() - what a notification is about
 * @change: enum vxhs_change
 *
 * Return: a word.
 */
const char *change_name(uint32_t change)
{
	static const char * const names[] = {
		[VXHS_CHANGE_ATTACHED] = "attached",
		[VXHS_CHANGE_DETACHED] = "detached",
		[VXHS_CHANGE_SESSION_STATE] = "session-state",
		[VXHS_CHANGE_LANE_LOST] = "lane-lost",
		[VXHS_CHANGE_LOSS] = "loss",
		[VXHS_CHANGE_LEASE_LOST] = "lease-lost",
		[VXHS_CHANGE_RESIZED] = "resized",
		[VXHS_CHANGE_DISK_FAILED] = "disk-failed",
		[VXHS_CHANGE_RECOVERED] = "recovered",
	};

	return NAME_OF(names, change);
}

/**
 * cap_name() - what a vdisk can do
 * @bit: number of a bit of VXHS_CAP_*
 *
 * Return: a word, or NULL for a bit without a meaning.
 */
const char *cap_name(unsigned int bit)
{
	switch (bit < 32 ? 1u << bit : 0) {
	case VXHS_CAP_FLUSH:
		return "flush";
	case VXHS_CAP_FUA:
		return "fua";
	case VXHS_CAP_DISCARD:
		return "discard";
	case VXHS_CAP_WRITE_ZEROES:
		return "write-zeroes";
	case VXHS_CAP_ROTATIONAL:
		return "rotational";
	case VXHS_CAP_READ_ONLY:
		return "read-only";
	}
	return NULL;
}
