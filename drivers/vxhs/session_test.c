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

#define ALL		VXHS_DO_ABORT_ALL
#define ONE		VXHS_DO_ABORT
#define EPOCH		VXHS_DO_EPOCH
#define TELL		VXHS_DO_TELL
#define NOTHING		0

/* By event; for each state but CLOSING where it goes, and what is to be done. */
static const struct {
	enum vxhs_session_event event;
	struct vxhs_session_step to[4];
} rows[] = {
	{ VXHS_SESSION_LOGGED_IN,
	  { { CONNECTING, VXHS_DO_OPEN }, { LIVE, NOTHING },
	    { RECOVERING, VXHS_DO_OPEN }, { FAILING, VXHS_DO_OPEN } } },
	{ VXHS_SESSION_LOGIN_FAILED,
	  { { CONNECTING, ONE | VXHS_DO_NEXT }, { LIVE, NOTHING },
	    { RECOVERING, ONE | VXHS_DO_NEXT },
	    { FAILING, ONE | VXHS_DO_NEXT } } },
	{ VXHS_SESSION_PORTALS_TRIED,
	  { { CLOSING, ALL }, { LIVE, NOTHING }, { RECOVERING, NOTHING },
	    { FAILING, NOTHING } } },
	{ VXHS_SESSION_OPENED,
	  { { LIVE, VXHS_DO_JOIN }, { LIVE, VXHS_DO_RESEND },
	    { LIVE, VXHS_DO_RESEND | VXHS_DO_JOIN | TELL },
	    { LIVE, VXHS_DO_RESEND | VXHS_DO_JOIN | TELL } } },
	{ VXHS_SESSION_NOT_HERE,
	  { { CONNECTING, ALL | EPOCH }, { LIVE, NOTHING },
	    { RECOVERING, ALL | EPOCH }, { FAILING, ALL | EPOCH } } },
	{ VXHS_SESSION_OTHER_SERVER,
	  { { CONNECTING, ALL | EPOCH }, { RECOVERING, ALL | EPOCH | TELL },
	    { RECOVERING, ALL | EPOCH }, { FAILING, ALL | EPOCH } } },
	{ VXHS_SESSION_LANE_LOST,
	  { { CONNECTING, ONE }, { LIVE, ONE | VXHS_DO_REPLACE | TELL },
	    { RECOVERING, ONE }, { FAILING, ONE } } },
	{ VXHS_SESSION_LAST_LANE_LOST,
	  { { CONNECTING, ONE | VXHS_DO_NEXT },
	    { RECOVERING, ONE | EPOCH | TELL },
	    { RECOVERING, ONE | EPOCH }, { FAILING, ONE | EPOCH } } },
	{ VXHS_SESSION_LANE_MISSING,
	  { { CONNECTING, NOTHING }, { RECOVERING, ALL | EPOCH | TELL },
	    { RECOVERING, NOTHING }, { FAILING, NOTHING } } },
	{ VXHS_SESSION_GOING_AWAY,
	  { { CONNECTING, ALL | VXHS_DO_NEXT },
	    { RECOVERING, VXHS_DO_HOLD | TELL },
	    { RECOVERING, ALL | EPOCH }, { FAILING, ALL | EPOCH } } },
	{ VXHS_SESSION_DRAINED,
	  { { CONNECTING, NOTHING }, { LIVE, NOTHING },
	    { RECOVERING, ALL | EPOCH }, { FAILING, ALL | EPOCH } } },
	{ VXHS_SESSION_PORTALS_CHANGED,
	  { { CONNECTING, NOTHING }, { LIVE, NOTHING },
	    { RECOVERING, EPOCH }, { FAILING, EPOCH } } },
	{ VXHS_SESSION_DISK_TIMEOUT,
	  { { CONNECTING, NOTHING }, { LIVE, VXHS_DO_FAIL_DISK },
	    { RECOVERING, VXHS_DO_FAIL_DISK },
	    { FAILING, VXHS_DO_FAIL_DISK } } },
	{ VXHS_SESSION_ALL_TIMEOUT,
	  { { CLOSING, ALL }, { LIVE, NOTHING },
	    { FAILING, VXHS_DO_FAIL_ALL | TELL }, { FAILING, NOTHING } } },
	{ VXHS_SESSION_SHUTDOWN,
	  { { CLOSING, ALL }, { LIVE, VXHS_DO_SHUTDOWN_TMO },
	    { RECOVERING, VXHS_DO_SHUTDOWN_TMO }, { FAILING, NOTHING } } },
	{ VXHS_SESSION_DETACH,
	  { { CONNECTING, VXHS_DO_REFUSE }, { LIVE, VXHS_DO_CLOSE },
	    { RECOVERING, VXHS_DO_REFUSE }, { FAILING, VXHS_DO_REFUSE } } },
	{ VXHS_SESSION_FORCE,
	  { { CONNECTING, VXHS_DO_FAIL_DISK }, { LIVE, VXHS_DO_FAIL_DISK },
	    { RECOVERING, VXHS_DO_FAIL_DISK },
	    { FAILING, VXHS_DO_FAIL_DISK } } },
	{ VXHS_SESSION_UNUSED,
	  { { CLOSING, ALL }, { CLOSING, VXHS_DO_LOGOUT }, { CLOSING, ALL },
	    { CLOSING, ALL } } },
};

static void session_next_each_state_each_event(struct kunit *test)
{
	struct vxhs_session_step step;
	unsigned int state, i;

	KUNIT_EXPECT_EQ(test, ARRAY_SIZE(rows), VXHS_SESSION_EVENTS);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (state = CONNECTING; state < CLOSING; state++) {
			step = vxhs_session_next(state, rows[i].event);
			KUNIT_EXPECT_EQ_MSG(test, rows[i].to[state].state,
					    step.state, "state %u, event %u",
					    state, rows[i].event);
			KUNIT_EXPECT_EQ_MSG(test, rows[i].to[state].actions,
					    step.actions, "state %u, event %u",
					    state, rows[i].event);
		}
		/* CLOSING is final. */
		step = vxhs_session_next(CLOSING, rows[i].event);
		KUNIT_EXPECT_EQ(test, CLOSING, step.state);
		KUNIT_EXPECT_EQ(test, 0, step.actions);
	}
}

/* What holds whatever the table says. */
static void session_next_rules(struct kunit *test)
{
	unsigned int state, event;

	for (event = 0; event < VXHS_SESSION_EVENTS; event++) {
		for (state = CONNECTING; state < CLOSING; state++) {
			struct vxhs_session_step step =
				vxhs_session_next(state, event);

			/* A new epoch never begins beside lanes of the old. */
			if (step.actions & EPOCH && state == LIVE)
				KUNIT_EXPECT_TRUE(test, step.actions &
						  (ALL | ONE));
			/* Requests flow only where vdisks were opened. */
			if (step.state == LIVE && state != LIVE)
				KUNIT_EXPECT_EQ(test, event,
						VXHS_SESSION_OPENED);
			/* Who leaves LIVE tells. */
			if (state == LIVE && step.state == RECOVERING)
				KUNIT_EXPECT_TRUE(test, step.actions & TELL);
		}
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
	KUNIT_CASE(session_next_rules),
	KUNIT_CASE(session_slot_bounds),
	{}
};

static struct kunit_suite vxhs_session_suite = {
	.name		= "vxhs_session",
	.test_cases	= vxhs_session_cases,
};

kunit_test_suite(vxhs_session_suite);

MODULE_LICENSE("GPL");
