/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a session does when connections break, see Documentation/recovery.rst.
 */
#ifndef _VXHS_RECOVERY_H
#define _VXHS_RECOVERY_H

struct vxhs_disk;
struct vxhs_session;

void vxhs_recovery_prepare(struct vxhs_session *session);
void vxhs_recovery_stop(struct vxhs_session *session);
void vxhs_recovery_wake(struct vxhs_session *session);
void vxhs_recovery_told(struct vxhs_session *session, unsigned int flag);
void vxhs_recovery_portals_changed(struct vxhs_session *session, bool ours);
void vxhs_recovery_show_disk(struct vxhs_session *session,
			     struct vxhs_disk *disk);
void vxhs_recovery_kill_disk(struct vxhs_session *session,
			     struct vxhs_disk *disk);

int vxhs_recovery_init(void);
void vxhs_recovery_exit(void);

#endif /* _VXHS_RECOVERY_H */
