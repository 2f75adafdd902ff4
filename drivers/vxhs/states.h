/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The states of a session and what moves it from one to another: a table, see
 * Documentation/recovery.rst.
 */
#ifndef _VXHS_STATES_H
#define _VXHS_STATES_H

#include <linux/bits.h>
#include <linux/types.h>
#include <uapi/linux/vxhs.h>

/**
 * enum vxhs_session_event - what happens to a session
 * @VXHS_SESSION_LOGGED_IN: the first lane of an epoch has its LOGIN answered
 * @VXHS_SESSION_LOGIN_FAILED: it could not connect, log in, or does not suit
 * @VXHS_SESSION_PORTALS_TRIED: the same, and it was the attach's last try
 * @VXHS_SESSION_OPENED: a lane is up on which vdisks are open
 * @VXHS_SESSION_NOT_HERE: the server has no vdisk for us, and there is another
 * @VXHS_SESSION_OTHER_SERVER: the server is not the one of this epoch
 * @VXHS_SESSION_LANE_LOST: a lane ended, others are up
 * @VXHS_SESSION_LAST_LANE_LOST: a lane ended and no other is up
 * @VXHS_SESSION_LANE_MISSING: a lane that carried requests cannot be replaced
 * @VXHS_SESSION_GOING_AWAY: the server asks us to move
 * @VXHS_SESSION_DRAINED: nothing is in flight any more, or kato has passed
 * @VXHS_SESSION_PORTALS_CHANGED: the list changed, ours is still on it
 * @VXHS_SESSION_DISK_TIMEOUT: a disk does not wait any more, others do
 * @VXHS_SESSION_ALL_TIMEOUT: no disk waits any more
 * @VXHS_SESSION_SHUTDOWN: the host shuts down
 * @VXHS_SESSION_DETACH: somebody wants to detach a disk
 * @VXHS_SESSION_FORCE: somebody insists
 * @VXHS_SESSION_UNUSED: its last disk went
 * @VXHS_SESSION_EVENTS: how many there are
 */
enum vxhs_session_event {
	VXHS_SESSION_LOGGED_IN,
	VXHS_SESSION_LOGIN_FAILED,
	VXHS_SESSION_PORTALS_TRIED,
	VXHS_SESSION_OPENED,
	VXHS_SESSION_NOT_HERE,
	VXHS_SESSION_OTHER_SERVER,
	VXHS_SESSION_LANE_LOST,
	VXHS_SESSION_LAST_LANE_LOST,
	VXHS_SESSION_LANE_MISSING,
	VXHS_SESSION_GOING_AWAY,
	VXHS_SESSION_DRAINED,
	VXHS_SESSION_PORTALS_CHANGED,
	VXHS_SESSION_DISK_TIMEOUT,
	VXHS_SESSION_ALL_TIMEOUT,
	VXHS_SESSION_SHUTDOWN,
	VXHS_SESSION_DETACH,
	VXHS_SESSION_FORCE,
	VXHS_SESSION_UNUSED,
	VXHS_SESSION_EVENTS,
};

/* What to do, in this order. */
#define VXHS_DO_REFUSE		BIT(0)	/* tell who asked why not */
#define VXHS_DO_LOGOUT		BIT(1)	/* on each lane that is up, then ABORT_ALL */
#define VXHS_DO_ABORT		BIT(2)	/* the lane, then park its requests */
#define VXHS_DO_ABORT_ALL	BIT(3)	/* the same for each lane */
#define VXHS_DO_HOLD		BIT(4)	/* send no further request */
#define VXHS_DO_FAIL_DISK	BIT(5)	/* fail what the disk has waiting */
#define VXHS_DO_FAIL_ALL	BIT(6)	/* the same for each disk */
#define VXHS_DO_EPOCH		BIT(7)	/* begin the next epoch */
#define VXHS_DO_NEXT		BIT(8)	/* the same lane on the next portal */
#define VXHS_DO_REPLACE		BIT(9)	/* connect the lane again */
#define VXHS_DO_OPEN		BIT(10)	/* send OPEN for every vdisk */
#define VXHS_DO_RESEND		BIT(11)	/* send what may go on this lane */
#define VXHS_DO_JOIN		BIT(12)	/* connect the lanes that are missing */
#define VXHS_DO_CLOSE		BIT(13)	/* CLOSE, and the disk goes */
#define VXHS_DO_SHUTDOWN_TMO	BIT(14)	/* shutdown_tmo begins */
#define VXHS_DO_TELL		BIT(15)	/* log, netlink event */

/**
 * struct vxhs_session_step - a row's cell of the table
 * @state: where the session goes
 * @actions: VXHS_DO_*
 */
struct vxhs_session_step {
	enum vxhs_session_state	state;
	u32			actions;
};

struct vxhs_session_step vxhs_session_next(enum vxhs_session_state state,
					   enum vxhs_session_event event);

#endif /* _VXHS_STATES_H */
