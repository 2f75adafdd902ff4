/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VXHS_SEND_H
#define _VXHS_SEND_H

struct vxhs_io;
struct vxhs_lane;
struct list_head;

bool vxhs_send_push(struct vxhs_lane *lane, struct vxhs_io *io);
void vxhs_send_commit(struct vxhs_lane *lane, bool first);
void vxhs_send_kick(struct vxhs_lane *lane);
void vxhs_send_all(struct vxhs_lane *lane);
void vxhs_send_drop_batch(struct vxhs_lane *lane);
void vxhs_send_put_back(struct vxhs_lane *lane, struct list_head *list);
void vxhs_send_release(struct vxhs_lane *lane);
void vxhs_send_filter(struct vxhs_lane *lane, struct list_head *list,
		      bool (*take)(struct vxhs_io *io, void *data), void *data);

#endif /* _VXHS_SEND_H */
