#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: a slow attach delays no other call."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import check, equal, eventually, main, test
from vm import attach, detach, host, refused, settle, vxhsctl
from vxhs import NativeServer, silent


def quick(process, func, *args):
    """It is done while the slow call still waits."""
    result = func(*args)
    equal(process.poll(), None, 'the slow attach, which should still wait')
    return result


def slow_attach(d, name='d'):
    process = subprocess.Popen(['vxhsctl', 'attach', host(d), name],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(lambda: d.conns, 'it does not connect')
    time.sleep(0.3)
    return process


def failed(process):
    out, err = process.communicate(timeout=20)
    equal((process.returncode, out), (1, b''))
    check(b'answer' in err, err.decode())


@test
def a_silent_server_delays_nobody():
    disks = {'d': vxhs.Disk(1 << 20), 'e': vxhs.Disk(1 << 20)}
    with NativeServer(disks) as good:
        first = attach(good, 'e')
        settle()
        for kw in (dict(on_connect=silent), dict(on_login=silent),
                   dict(on_open=silent)):
            with NativeServer(disks, **kw) as bad:
                process = slow_attach(bad)
                equal(len(json.loads(quick(process, vxhsctl, 'list',
                                           '--json')[0])), 1)
                quick(process, vxhsctl, 'show', first)
                device = quick(process, attach, good, 'd')
                settle()
                detach(device)
                failed(process)
        equal(vm.devices(), [os.path.basename(first)])
        detach(first)


@test
def a_server_that_hangs_in_the_partition_scan_delays_nobody():
    """add_disk() reads: the server that does not answer holds only this."""
    def hang(conn, req, payload):
        if req.op == vxhs.READ:
            silent(conn)
        return False
    disks = {'d': vxhs.Disk(1 << 20)}
    with NativeServer(disks) as good, \
            NativeServer(disks, on_io=hang, grant=dict(kato=3000)) as bad:
        process = slow_attach(bad)
        quick(process, vxhsctl, 'list')
        device = quick(process, attach, good, 'd')
        settle()
        detach(device)
        # It ends at its deadline, with a disk whose scan waits on; who
        # insists ends that, too.
        out, _ = process.communicate(timeout=30)
        slow = out.decode().strip()
        equal((process.returncode, slow[:9]), (0, '/dev/vxhs'), 'attach')
        refused([], 'detach', slow)
        vm.force(slow)
        settle()
        equal(vm.devices(), [])
        vm.gone(bad)


@test
def a_kill_ends_a_slow_attach():
    with NativeServer({'d': vxhs.Disk(1 << 20)}, on_login=silent) as bad:
        process = slow_attach(bad)
        process.kill()
        process.communicate(timeout=20)
        eventually(lambda: not bad.conns, 'the connection stays', 15)
    equal(vm.devices(), [])


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
