/* SPDX-License-Identifier: GPL-2.0 */
/* The unanswered requests of a lane by their tags; its loop's thread only. */
#ifndef _VXHSD_TAGS_H
#define _VXHSD_TAGS_H

#include "io.h"

#define TAG_BUCKETS	256

struct tags {
	struct io *bucket[TAG_BUCKETS];
};

static inline unsigned int tag_hash(u64 tag)
{
	return (unsigned int)(tag * 0x9e3779b97f4a7c15ULL >> 56);
}

static inline bool tags_have(const struct tags *t, u64 tag)
{
	const struct io *io = t->bucket[tag_hash(tag)];

	while (io && io->tag != tag)
		io = io->hash_next;
	return io;
}

static inline void tags_add(struct tags *t, struct io *io)
{
	struct io **bucket = &t->bucket[tag_hash(io->tag)];

	io->hash_next = *bucket;
	*bucket = io;
}

static inline void tags_del(struct tags *t, const struct io *io)
{
	struct io **pos = &t->bucket[tag_hash(io->tag)];

	while (*pos != io)
		pos = &(*pos)->hash_next;
	*pos = io->hash_next;
}

#endif /* _VXHSD_TAGS_H */
