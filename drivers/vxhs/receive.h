/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _VXHS_RECEIVE_H
#define _VXHS_RECEIVE_H

struct vxhs_lane;

void vxhs_receive_reset(struct vxhs_lane *lane);
bool vxhs_receive_is_idle(const struct vxhs_lane *lane);
bool vxhs_receive(struct vxhs_lane *lane, size_t budget);
bool vxhs_receive_task(struct vxhs_lane *lane, size_t budget);

#endif /* _VXHS_RECEIVE_H */
