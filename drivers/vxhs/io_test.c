// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the life of a tag slot, and each reply that has no right to it.
 */
#include <kunit/test.h>

#include "io.h"
#include "lane.h"

struct io_test {
	struct vxhs_slot	slot;
	struct request		*rq;
	struct vxhs_lane	*lane;
	struct vxhs_lane	*other_lane;
};

static int io_test_init(struct kunit *test)
{
	struct io_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	/* Compared, never followed. */
	t->rq = (struct request *)&t->rq;
	t->lane = (struct vxhs_lane *)&t->lane;
	t->other_lane = (struct vxhs_lane *)&t->other_lane;
	test->priv = t;
	return 0;
}

static void io_tag_fields(struct kunit *test)
{
	u64 tag = vxhs_tag(0x89abcdef, 0x4567, 0x0123);

	KUNIT_EXPECT_EQ(test, tag, 0x89abcdef45670123ULL);
	KUNIT_EXPECT_EQ(test, vxhs_tag_generation(tag), 0x89abcdefU);
	KUNIT_EXPECT_EQ(test, vxhs_tag_queue(tag), 0x4567);
	KUNIT_EXPECT_EQ(test, vxhs_tag_index(tag), 0x0123);
}

static void io_slot_reply_after_send(struct kunit *test)
{
	struct io_test *t = test->priv;
	u32 generation = vxhs_slot_start(&t->slot, t->rq, t->lane);

	KUNIT_EXPECT_FALSE(test, vxhs_slot_sent(&t->slot));
	KUNIT_EXPECT_PTR_EQ(test, t->rq,
			    vxhs_slot_claim(&t->slot, generation, t->lane));
	KUNIT_EXPECT_TRUE(test, vxhs_slot_replied(&t->slot));
}

/* Our own sendmsg() may deliver the reply before it returns. */
static void io_slot_reply_before_send_returns(struct kunit *test)
{
	struct io_test *t = test->priv;
	u32 generation = vxhs_slot_start(&t->slot, t->rq, t->lane);

	KUNIT_EXPECT_PTR_EQ(test, t->rq,
			    vxhs_slot_claim(&t->slot, generation, t->lane));
	KUNIT_EXPECT_FALSE(test, vxhs_slot_replied(&t->slot));
	KUNIT_EXPECT_TRUE(test, vxhs_slot_sent(&t->slot));
}

static void io_slot_refuses_unsent(struct kunit *test)
{
	struct io_test *t = test->priv;

	KUNIT_EXPECT_NULL(test, vxhs_slot_claim(&t->slot, 0, t->lane));
}

static void io_slot_refuses_other_lane(struct kunit *test)
{
	struct io_test *t = test->priv;
	u32 generation = vxhs_slot_start(&t->slot, t->rq, t->lane);

	KUNIT_EXPECT_NULL(test, vxhs_slot_claim(&t->slot, generation,
						t->other_lane));
}

static void io_slot_refuses_second_reply(struct kunit *test)
{
	struct io_test *t = test->priv;
	u32 generation = vxhs_slot_start(&t->slot, t->rq, t->lane);

	vxhs_slot_sent(&t->slot);
	KUNIT_EXPECT_NOT_NULL(test, vxhs_slot_claim(&t->slot, generation,
						    t->lane));
	KUNIT_EXPECT_NULL(test, vxhs_slot_claim(&t->slot, generation, t->lane));
}

static void io_slot_refuses_stale_generation(struct kunit *test)
{
	struct io_test *t = test->priv;
	u32 first = vxhs_slot_start(&t->slot, t->rq, t->lane);
	u32 second;

	vxhs_slot_end(&t->slot);
	KUNIT_EXPECT_NULL(test, vxhs_slot_claim(&t->slot, first, t->lane));
	second = vxhs_slot_start(&t->slot, t->rq, t->lane);
	KUNIT_EXPECT_NE(test, first, second);
	KUNIT_EXPECT_NULL(test, vxhs_slot_claim(&t->slot, first, t->lane));
	KUNIT_EXPECT_PTR_EQ(test, t->rq,
			    vxhs_slot_claim(&t->slot, second, t->lane));
}

static void io_slot_generation_wraps(struct kunit *test)
{
	struct io_test *t = test->priv;

	atomic64_set(&t->slot.word, 0xffffffffULL << VXHS_SLOT_GEN_SHIFT);
	KUNIT_EXPECT_EQ(test, 0xffffffffU,
			vxhs_slot_start(&t->slot, t->rq, t->lane));
	vxhs_slot_end(&t->slot);
	KUNIT_EXPECT_EQ(test, 0U, vxhs_slot_start(&t->slot, t->rq, t->lane));
}

static struct kunit_case vxhs_io_cases[] = {
	KUNIT_CASE(io_tag_fields),
	KUNIT_CASE(io_slot_reply_after_send),
	KUNIT_CASE(io_slot_reply_before_send_returns),
	KUNIT_CASE(io_slot_refuses_unsent),
	KUNIT_CASE(io_slot_refuses_other_lane),
	KUNIT_CASE(io_slot_refuses_second_reply),
	KUNIT_CASE(io_slot_refuses_stale_generation),
	KUNIT_CASE(io_slot_generation_wraps),
	{}
};

static struct kunit_suite vxhs_io_suite = {
	.name		= "vxhs_io",
	.init		= io_test_init,
	.test_cases	= vxhs_io_cases,
};

kunit_test_suite(vxhs_io_suite);

MODULE_LICENSE("GPL");
