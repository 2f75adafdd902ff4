#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --down --
"""In the VM, which this takes down: a shutdown while the server is dead and
writes wait for it. It waits for shutdown_tmo, and no longer."""

import ctypes
import os
import re
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import vm
from harness import Vxhsd, check, equal, eventually, main, test
from vm import Kmsg, attach, settle, sh, show

SECONDS = 4
POWER_OFF = 0x4321fedc
DOWN = '/run/vxhs-guest/down'


def wait_for_ever():
    """Somebody whose fsync waits for the dead server."""
    try:
        with open('/run/mnt/file', 'wb') as file:
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
    except OSError:
        pass


def power_off():
    """Without the sync of the command of that name, which waits for ever."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.reboot(POWER_OFF)


class Clock(Kmsg):
    """The kernel's log with the time of each line, in seconds."""

    @staticmethod
    def line(head, text):
        return int(head.split(',')[2]) / 1e6, text

    def when(self, words):
        return next((at for at, text in self.read()
                     if re.search(words, text)), None)


@test
def a_shutdown_ends_after_shutdown_tmo():
    """What waits for writes while the kernel goes down is the RAID: it marks
    its arrays as clean, and one of them is on a vdisk. ext4 is on another
    one, with writes that nobody takes."""
    d = Vxhsd('raid=memory,size=64M', 'fs=memory,size=64M')
    policy = ('--kato', 0.5, '--shutdown-timeout', SECONDS)
    half, disk = attach(d, 'raid', *policy), attach(d, 'fs', *policy)
    settle()
    sh('modprobe raid1 && mdadm --create /dev/md7 --run --assume-clean '
       '--metadata=1.2 --level=1 --raid-devices=2 %s missing' % half)
    # It stays dirty, however long nobody writes.
    with open('/sys/block/md7/md/safe_mode_delay', 'w') as file:
        file.write('0')
    sh('mkfs.ext4 -q -F %s && mkdir -p /run/mnt && mount %s /run/mnt' % (
        disk, disk))
    sh('dd if=/dev/zero of=/dev/md7 bs=64k count=4 oflag=direct 2>&1')
    with open('/sys/block/md7/md/array_state') as file:
        equal(file.read().strip(), 'active', 'state of the array')
    settle()
    d.kill()
    threading.Thread(target=wait_for_ever, daemon=True).start()
    eventually(lambda: show(disk)['parked'], 'nothing waits', 60)
    time.sleep(2)
    equal(show(disk)['errors'], 0, 'errors before')

    clock = Clock()
    with open('/dev/kmsg', 'w') as file:
        file.write('vm_shutdown: power off\n')
    threading.Thread(target=power_off, daemon=True).start()
    eventually(lambda: clock.when('requests fail from now on'),
               'requests wait for ever', 120)
    # The kernel's own clock: it goes down meanwhile.
    took = clock.when('requests fail from now on') - \
        clock.when('vm_shutdown: power off')
    check(took >= SECONDS, 'I/O failed after %.3f s' % took)
    with open(DOWN, 'w'):
        pass


if __name__ == '__main__':
    main()
