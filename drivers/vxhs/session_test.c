// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the session's state machine, each state with each event.
 */
#include <kunit/test.h>

#include "session.h"

#define CONNECTING	VXHS_SESSION_STATE_CONNECTING
#define LIVE		VXHS_SESSION_STATE_LIVE
#define RECOVERING	VXHS_SESSION_STATE_RECOVERING
#define FAILING		VXHS_SESSION_STATE_FAILING
#define CLOSING		VXHS_SESSION_STATE_CLOSING

static const enum vxhs_session_state expected[5][6] = {
	/* CONNECTED, CONNECT_FAILED, LANES_LOST, RECOVERED, GIVEN_UP, UNUSED */
	[CONNECTING] = { LIVE, CLOSING, CONNECTING, CONNECTING, CONNECTING,
			 CLOSING },
	[LIVE] = { LIVE, LIVE, RECOVERING, LIVE, LIVE, CLOSING },
	[RECOVERING] = { RECOVERING, RECOVERING, RECOVERING, LIVE, FAILING,
			 CLOSING },
	[FAILING] = { FAILING, FAILING, FAILING, LIVE, FAILING, CLOSING },
	[CLOSING] = { CLOSING, CLOSING, CLOSING, CLOSING, CLOSING, CLOSING },
};

static void session_next_each_state_each_event(struct kunit *test)
{
	unsigned int state, event;

	for (state = CONNECTING; state <= CLOSING; state++) {
		for (event = VXHS_SESSION_CONNECTED;
		     event <= VXHS_SESSION_UNUSED; event++)
			KUNIT_EXPECT_EQ_MSG(test, expected[state][event],
					    vxhs_session_next(state, event),
					    "state %u, event %u", state, event);
	}
}

/* A tag from the network is any 64 bits: no lookup may leave the table. */
static void session_slot_bounds(struct kunit *test)
{
	struct vxhs_session *session;
	struct vxhs_slot *slots;

	session = kunit_kzalloc(test, sizeof(*session), GFP_KERNEL);
	slots = kunit_kcalloc(test, 6, sizeof(*slots), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, session);
	KUNIT_ASSERT_NOT_NULL(test, slots);

	KUNIT_EXPECT_NULL(test, vxhs_session_slot(session, 0, 0));
	session->slots = slots;
	session->tag_set.nr_hw_queues = 2;
	session->tag_set.queue_depth = 3;
	KUNIT_EXPECT_PTR_EQ(test, vxhs_session_slot(session, 0, 0), &slots[0]);
	KUNIT_EXPECT_PTR_EQ(test, vxhs_session_slot(session, 1, 2), &slots[5]);
	KUNIT_EXPECT_NULL(test, vxhs_session_slot(session, 0, 3));
	KUNIT_EXPECT_NULL(test, vxhs_session_slot(session, 2, 0));
	KUNIT_EXPECT_NULL(test, vxhs_session_slot(session, 0xffff, 0xffff));
}

static struct kunit_case vxhs_session_cases[] = {
	KUNIT_CASE(session_next_each_state_each_event),
	KUNIT_CASE(session_slot_bounds),
	{}
};

static struct kunit_suite vxhs_session_suite = {
	.name		= "vxhs_session",
	.test_cases	= vxhs_session_cases,
};

kunit_test_suite(vxhs_session_suite);

MODULE_LICENSE("GPL");
