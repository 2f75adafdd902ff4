// SPDX-License-Identifier: GPL-2.0
/*
 * The table of Documentation/recovery.rst, row by row.  Nothing here does
 * anything: who raises an event carries the actions out.
 */
#include <linux/array_size.h>

#include "states.h"

#define CONNECTING	VXHS_SESSION_STATE_CONNECTING
#define LIVE		VXHS_SESSION_STATE_LIVE
#define RECOVERING	VXHS_SESSION_STATE_RECOVERING
#define FAILING		VXHS_SESSION_STATE_FAILING
#define CLOSING		VXHS_SESSION_STATE_CLOSING

#define ABORT		VXHS_DO_ABORT
#define ABORT_ALL	VXHS_DO_ABORT_ALL
#define EPOCH		VXHS_DO_EPOCH
#define TELL		VXHS_DO_TELL

/* A cell that is not here: the event changes nothing and asks for nothing. */
#define STAY(from, what)	[from] = { from, what, true }
#define GO(from, to, what)	[from] = { to, what, true }

static const struct {
	enum vxhs_session_state	state;
	u32			actions;
	bool			set;
} steps[VXHS_SESSION_EVENTS][CLOSING + 1] = {
	[VXHS_SESSION_LOGGED_IN] = {
		STAY(CONNECTING, VXHS_DO_OPEN),
		STAY(RECOVERING, VXHS_DO_OPEN),
		STAY(FAILING, VXHS_DO_OPEN),
	},
	[VXHS_SESSION_LOGIN_FAILED] = {
		STAY(CONNECTING, ABORT | VXHS_DO_NEXT),
		STAY(RECOVERING, ABORT | VXHS_DO_NEXT),
		STAY(FAILING, ABORT | VXHS_DO_NEXT),
	},
	[VXHS_SESSION_PORTALS_TRIED] = {
		GO(CONNECTING, CLOSING, ABORT_ALL),
	},
	[VXHS_SESSION_OPENED] = {
		GO(CONNECTING, LIVE, VXHS_DO_JOIN),
		STAY(LIVE, VXHS_DO_RESEND),
		GO(RECOVERING, LIVE, VXHS_DO_RESEND | VXHS_DO_JOIN | TELL),
		GO(FAILING, LIVE, VXHS_DO_RESEND | VXHS_DO_JOIN | TELL),
	},
	[VXHS_SESSION_NOT_HERE] = {
		STAY(CONNECTING, ABORT_ALL | EPOCH),
		STAY(RECOVERING, ABORT_ALL | EPOCH),
		STAY(FAILING, ABORT_ALL | EPOCH),
	},
	[VXHS_SESSION_OTHER_SERVER] = {
		STAY(CONNECTING, ABORT_ALL | EPOCH),
		GO(LIVE, RECOVERING, ABORT_ALL | EPOCH | TELL),
		STAY(RECOVERING, ABORT_ALL | EPOCH),
		STAY(FAILING, ABORT_ALL | EPOCH),
	},
	[VXHS_SESSION_LANE_LOST] = {
		STAY(CONNECTING, ABORT),
		STAY(LIVE, ABORT | VXHS_DO_REPLACE | TELL),
		STAY(RECOVERING, ABORT),
		STAY(FAILING, ABORT),
	},
	[VXHS_SESSION_LAST_LANE_LOST] = {
		STAY(CONNECTING, ABORT | VXHS_DO_NEXT),
		GO(LIVE, RECOVERING, ABORT | EPOCH | TELL),
		STAY(RECOVERING, ABORT | EPOCH),
		STAY(FAILING, ABORT | EPOCH),
	},
	[VXHS_SESSION_LANE_MISSING] = {
		GO(LIVE, RECOVERING, ABORT_ALL | EPOCH | TELL),
	},
	[VXHS_SESSION_GOING_AWAY] = {
		STAY(CONNECTING, ABORT_ALL | VXHS_DO_NEXT),
		GO(LIVE, RECOVERING, VXHS_DO_HOLD | TELL),
		STAY(RECOVERING, ABORT_ALL | EPOCH),
		STAY(FAILING, ABORT_ALL | EPOCH),
	},
	[VXHS_SESSION_DRAINED] = {
		STAY(RECOVERING, ABORT_ALL | EPOCH),
		STAY(FAILING, ABORT_ALL | EPOCH),
	},
	[VXHS_SESSION_PORTALS_CHANGED] = {
		STAY(RECOVERING, EPOCH),
		STAY(FAILING, EPOCH),
	},
	[VXHS_SESSION_DISK_TIMEOUT] = {
		STAY(RECOVERING, VXHS_DO_FAIL_DISK),
	},
	[VXHS_SESSION_ALL_TIMEOUT] = {
		GO(CONNECTING, CLOSING, ABORT_ALL),
		GO(RECOVERING, FAILING, VXHS_DO_FAIL_ALL | TELL),
	},
	[VXHS_SESSION_SHUTDOWN] = {
		GO(CONNECTING, CLOSING, ABORT_ALL),
		STAY(LIVE, VXHS_DO_SHUTDOWN_TMO),
		STAY(RECOVERING, VXHS_DO_SHUTDOWN_TMO),
	},
	[VXHS_SESSION_DETACH] = {
		STAY(CONNECTING, VXHS_DO_REFUSE),
		STAY(LIVE, VXHS_DO_CLOSE),
		STAY(RECOVERING, VXHS_DO_REFUSE),
		STAY(FAILING, VXHS_DO_REFUSE),
	},
	[VXHS_SESSION_FORCE] = {
		STAY(CONNECTING, VXHS_DO_FAIL_DISK),
		STAY(LIVE, VXHS_DO_FAIL_DISK),
		STAY(RECOVERING, VXHS_DO_FAIL_DISK),
		STAY(FAILING, VXHS_DO_FAIL_DISK),
	},
	[VXHS_SESSION_UNUSED] = {
		GO(CONNECTING, CLOSING, ABORT_ALL),
		GO(LIVE, CLOSING, VXHS_DO_LOGOUT),
		GO(RECOVERING, CLOSING, ABORT_ALL),
		GO(FAILING, CLOSING, ABORT_ALL),
	},
};

/**
 * vxhs_session_next - the session's state machine
 * @state: where it is
 * @event: what happens
 *
 * A pure function.  CLOSING is final.
 *
 * Return: where it goes, and what is to be done; @state and nothing for an
 * event that comes late
 */
struct vxhs_session_step vxhs_session_next(enum vxhs_session_state state,
					   enum vxhs_session_event event)
{
	struct vxhs_session_step stay = { state, 0 };

	if (state > CLOSING || event >= VXHS_SESSION_EVENTS ||
	    !steps[event][state].set)
		return stay;
	return (struct vxhs_session_step) {
		.state = steps[event][state].state,
		.actions = steps[event][state].actions,
	};
}
