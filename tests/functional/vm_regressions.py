#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: bugs that were found, each with its name."""

import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import check, equal, eventually, main, test
from vm import Raw, attach, detach, host, refused, settle, show
from vxhs import FLUSH, READ, NativeServer


def disks():
    return {'d': vxhs.Disk(16 << 20), 'e': vxhs.Disk(16 << 20)}


@test
def rmmod_during_an_attach_is_refused():
    """It freed the module's text under the disk that was being made."""
    waiting = []

    def slow(conn, req, payload):
        waiting.append(conn)
        time.sleep(2)
        return False
    vm.sh('modprobe vxhs')
    with NativeServer(disks(), on_open=slow) as d:
        process = subprocess.Popen(['vxhsctl', 'attach', host(d), 'd'],
                                   stdout=subprocess.PIPE)
        eventually(lambda: waiting, 'it does not attach')
        done = vm.run('rmmod', 'vxhs')
        check(done.returncode != 0, 'rmmod succeeded')
        out, _ = process.communicate(timeout=20)
        equal(process.returncode, 0)
        settle()
        detach(out.decode().strip())


@test
def a_lane_granted_less_than_the_first_is_refused():
    """A request that one lane may never send waited on it for ever."""
    for field, value in (('max_io', 128 << 10),
                         ('max_inflight_bytes', 512 << 10)):
        logins = []

        def less(conn, req, payload):
            logins.append(conn)
            if len(logins) == 2:
                d.grant[field] = value
            return False
        with NativeServer(disks(), on_login=less) as d:
            refused(field, 'attach', host(d), 'd', '--lanes', 2)
            eventually(lambda: not d.conns, 'connections stay')


@test
def two_vdisks_with_one_handle_are_refused():
    """Closing one would have closed the other."""
    with NativeServer(disks(), geometry=dict(handle=7)) as d:
        d.handles[7] = d.disks['d']
        device = attach(d, 'd')
        settle()
        refused('handle', 'attach', host(d), 'e')
        with Raw(device) as raw:
            raw.read()
        detach(device)


@test
def a_new_verifier_without_unflushed_writes_is_taken():
    """Only who has something to lose has lost it (section 5.4)."""
    with NativeServer(disks()) as d:
        device = attach(d, 'd')
        settle()
        with Raw(device) as raw:
            d.geometry['verifier'] = 2
            raw.flush()
            raw.write(b'x' * 4096)
            raw.flush()
            d.geometry['verifier'] = 3
            raw.flush()             # the write was flushed before
            raw.write(b'y' * 4096)
            d.geometry['verifier'] = 4
            vm.fails(5, raw.flush)
            vm.fails(5, raw.flush)  # and goes on failing
        detach(device)


@test
def a_failed_flush_leaves_the_writes_unflushed():
    fail = []

    def flush(conn, req, payload):
        if req.op == FLUSH and fail:
            fail.clear()
            conn.send(vxhs.reply(req, b'', vxhs.IO, conn.features))
            return True
        return False
    with NativeServer(disks(), on_io=flush) as d:
        device = attach(d, 'd')
        settle()
        with Raw(device) as raw:
            raw.write(b'x' * 4096)
            fail.append(1)
            vm.fails(5, raw.flush)
            d.geometry['verifier'] = 2
            vm.fails(5, raw.flush)
        detach(device)


@test
def a_detach_waits_for_all_lanes_at_once():
    """LOGOUT waited a second for each lane in turn."""
    muted = []

    def mute(conn, req, payload):
        return bool(muted)
    with NativeServer(disks(), on_io=mute, grant=dict(kato=60000)) as d:
        device = attach(d, 'd', '--lanes', 16)
        settle()
        muted.append(1)
        begun = time.monotonic()
        detach(device)
        check(time.monotonic() - begun < 8, 'it took too long')
        muted.clear()


@test
def urgent_data_ends_the_lane():
    """It is never read, and stopped all that came behind it."""
    def urgent(conn, req, payload):
        if req.op == READ and armed:
            armed.clear()
            conn.flush()
            conn.sock.send(b'!', socket.MSG_OOB)
        return False
    armed = []
    with NativeServer(disks(), on_io=urgent) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            raw.write(b'u' * 4096)
            conns = set(d.conns)
            with vm.Recovers(device):
                armed.append(1)
                equal(vm.in_time(raw.read), b'u' * 4096)
                eventually(lambda: not conns & d.conns, 'the lane stays open')
        check('urgent' in show(device)['session']['reason'], 'reason')
        equal(show(device)['errors'], 0)
        settle()
        detach(device)


@test
def attach_and_detach_race():
    """A disk was freed between becoming visible and its attach's last look."""
    with NativeServer(disks()) as d:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            process = subprocess.Popen(
                ['vxhsctl', 'attach', host(d), 'd', '--index', '7'],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None:
                vm.run('vxhsctl', 'detach', 'vxhs7')
        settle()
        vm.detach_all()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
