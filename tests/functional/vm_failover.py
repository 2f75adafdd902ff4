#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: two servers of the same files, of which one at a time serves
them, and servers that end in an orderly way and come back."""

import errno
import fcntl
import os
import re
import signal
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'),
                os.path.join(HERE, '..', 'fault')]

import storage
import vm
from faultlab import lab
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import Raw, detach, host, settle, sh, show, vxhsctl

LOAD = '--load-options=--qd 16 --rate 100 --report 50'
PAIR = ('--servers', '2', '--paths', '1', '--kato', '300', LOAD)


@test
def failover_by_kill_under_load():
    lab('--count', 'failover=12', *PAIR, faults=12)


@test
def failover_when_nobody_reaches_the_one_that_serves():
    lab('--count', 'isolate=6,lose_path=4,partition=4', *PAIR, faults=14)


@test
def orderly_restarts_under_load():
    """GOING_AWAY: of a server alone, and of each of a pair."""
    lab('--count', 'restart=8', '--kato', '300', LOAD, faults=8)
    lab('--count', 'restart=8', *PAIR, faults=8)


@test
def a_take_over_from_a_host_of_a_pair():
    lab('--count', 'take_over=2,failover=2,take_over=2', *PAIR, faults=6)


class Pair:
    def __init__(self, folder=None, **kw):
        self.folder = folder or tmpdir()
        os.mkdir(self.folder + '/shared')
        self.kw = kw
        self.servers = [self.start(), self.start()]

    def start(self, **kw):
        return Vxhsd('d=%s/d,size=16M,cache=none,shared=%s/shared' % (
            self.folder, self.folder), **self.kw, **kw)

    def attach(self, *options):
        out, _ = vxhsctl('attach', ','.join(map(host, self.servers)), 'd',
                         *options)
        settle()
        return out.strip()

    def stop(self):
        for server in self.servers:
            server.stop()


@test
def nothing_waits_for_a_time_out_when_a_server_says_that_it_goes():
    """kato is longer than anybody would wait here."""
    pair = Pair()
    device = pair.attach('--kato', 120)
    with Raw(device) as raw:
        for i in range(4):
            raw.write(bytes([i + 1]) * 4096, i * 4096)
            begun = time.monotonic()
            for server in pair.servers:
                if vm.established(server.port):
                    break
            server.stop()
            at = pair.servers.index(server)
            raw.write(bytes([i + 11]) * 4096, (i + 16) * 4096)
            check(time.monotonic() - begun < 60, 'it waited for kato')
            pair.servers[at] = pair.start(port=server.port)
            equal(raw.read(i * 4096), bytes([i + 1]) * 4096)
        equal(raw.read(19 * 4096), bytes([14]) * 4096)
    settle()
    detach(device)
    pair.stop()


@test
def an_attach_finds_the_one_that_serves():
    """The first portal answers, and another client keeps the storage with
    the second one."""
    shared = tmpdir()
    disks = ['%s=%s/%s,size=16M,cache=none,shared=%s' % (
        name, tmpdir(), name, shared) for name in 'de']
    with Vxhsd(*disks) as idle, Vxhsd(*disks) as serving:
        held = vxhsctl('attach', host(serving), 'd')[0].strip()
        device = vxhsctl('attach', '%s,%s' % (host(idle), host(serving)),
                         'e')[0].strip()
        equal(show(device)['session']['portal'], host(serving))
        with Raw(device) as raw:
            raw.write(b'e' * 4096)
        settle()
        detach(device)
        detach(held)


@test
def a_pair_keeps_what_was_acknowledged():
    """No FLUSH, and yet nothing is lost when the one that acknowledged it
    is killed; and no verifier changes."""
    pair = Pair()
    device = pair.attach('--kato', 1)
    with Raw(device) as raw:
        for i in range(6):
            raw.write(bytes([i + 1]) * 65536, i * 65536)
            server = next(s for s in pair.servers if vm.established(s.port))
            at = pair.servers.index(server)
            server.kill()
            for k in range(i + 1):
                equal(raw.read(k * 65536, 65536), bytes([k + 1]) * 65536)
            raw.flush()
            pair.servers[at] = pair.start(port=server.port)
    check(not show(device)['lost'], 'writes are said to be lost')
    settle()
    detach(device)
    pair.stop()


class SlowFolder:
    """A filesystem whose disk can be held up: what is written then is under
    way until it goes on."""

    mib = 64

    def __enter__(self):
        args = type('Args', (), dict(
            blocks=(self.mib << 20) // storage.BLOCK, store=None))
        vxhsd = os.environ['VXHSD']
        self.store = storage.Loops(args, tmpdir(), {0: 'medium'})
        os.environ['VXHSD'] = vxhsd     # this machine keeps its boot id
        check(self.store.can_hang, 'there is no device mapper')
        device = self.store.paths[0]
        self.path = tmpdir()
        sh('mkfs.ext4 -q %s && mount %s %s' % (device, device, self.path))
        self.number = os.stat(device).st_rdev
        return self

    def __exit__(self, kind, *exc):
        self.store.go_on(0)
        if kind:                # servers have it open still
            vm.run('umount', '-l', self.path)
            return
        eventually(lambda: vm.run('umount', self.path).returncode == 0,
                   'it stays mounted')
        self.store.remove()


class Submitted:
    """What the kernel submits to a block device from now on."""

    TRACING = '/sys/kernel/tracing'
    EVENT = TRACING + '/events/block/block_bio_queue'

    def __init__(self, number):
        self.write(self.TRACING + '/trace', '')
        self.write(self.EVENT + '/filter', 'dev == %d' % (
            os.major(number) << 20 | os.minor(number)))
        self.write(self.EVENT + '/enable', '1')

    @staticmethod
    def write(path, text):
        with open(path, 'w') as file:
            file.write(text)

    def writes(self):
        """[sectors] of each."""
        with open(self.TRACING + '/trace') as file:
            return [int(n) for n in re.findall(
                r'block_bio_queue: \S+ W\S* \d+ \+ (\d+) ', file.read())]

    def end(self):
        self.write(self.EVENT + '/enable', '0')
        self.write(self.EVENT + '/filter', '0')


def is_locked(path):
    """Does an open file description have the lock of a pair on it?"""
    whole = struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with open(path, 'r+b') as file:
        got = fcntl.fcntl(file, 36, whole)      # F_OFD_GETLK
    return struct.unpack('hhqqi4x', got)[0] != fcntl.F_UNLCK


def write_once(device, data):
    with Raw(device) as raw:
        raw.write(data)


@test
def the_lock_of_a_pair_outlives_the_io_of_a_killed_server():
    """A write of the dead server is under way on a disk that takes its time.
    The other server serves nothing until it has ended."""
    serves = 'is served from here'
    with SlowFolder() as slow:
        pair = Pair(folder=slow.path)
        target = slow.path + '/d'
        device = pair.attach('--kato', 1)
        with Raw(device) as raw:
            raw.write(b'1' * 65536)     # its blocks are there from now on
            at = next(i for i, s in enumerate(pair.servers)
                      if vm.established(s.port))
            first, second = pair.servers[at], pair.servers[1 - at]
            check(serves not in second.log(), 'both serve it')
            log = Submitted(slow.number)
            slow.store.hang(0)
            write = threading.Thread(target=write_once, args=(
                device, b'2' * 65536), daemon=True)
            write.start()
            eventually(lambda: 128 in log.writes(), 'the WRITE does not come '
                       'to the disk', 60)
            log.end()
            first.signal(signal.SIGKILL)
            eventually(lambda: vm.established(second.port),
                       'the host does not come to the other server', 60)
            # For as long as that takes.
            end = time.monotonic() + 5
            while time.monotonic() < end:
                check(is_locked(target), 'the lock is free, the I/O is not')
                time.sleep(0.1)
            check(serves not in second.log(), 'it has the group')
            check(write.is_alive(), 'the WRITE was answered')
            slow.store.go_on(0)
            second.wait_for_log(serves, 60)
            write.join(60)
            check(not write.is_alive(), 'the WRITE hangs')
            equal(raw.read(0, 65536), b'2' * 65536)
            raw.write(b'3' * 65536)
            equal(raw.read(0, 65536), b'3' * 65536)
        first.kill()                    # it is dead; its status is fetched
        check(not show(device)['lost'], 'writes are said to be lost')
        settle()
        detach(device)
        second.stop()
        with open(target, 'rb') as file:
            equal(file.read(65536), b'3' * 65536, 'the medium')


@test
def portals_can_be_changed_while_attached():
    pair = Pair()
    first, second = pair.servers
    out, _ = vxhsctl('attach', host(first), 'd', '--kato', 1)
    device = out.strip()
    settle()
    with Raw(device) as raw:
        raw.write(b'a' * 4096)
        vxhsctl('set', device, '--portals',
                '%s,%s' % (host(first), host(second)))
        first.kill()
        raw.write(b'b' * 4096, 4096)
        equal(raw.read(), b'a' * 4096)
        check(vm.established(second.port), 'it is not with the other one')
    settle()
    detach(device)
    second.stop()


@test
def another_disk_behind_a_second_portal_is_refused():
    """Two servers that do not share storage have a vdisk of one name."""
    directory = tmpdir()
    one = Vxhsd('d=%s/one,size=16M' % directory)
    two = Vxhsd('d=%s/two,size=16M' % directory)
    out, _ = vxhsctl('attach', '%s,%s' % (host(one), host(two)), 'd',
                     '--kato', 0.5)
    device = out.strip()
    settle()
    with Raw(device) as raw:
        raw.write(b'a' * 4096)
        raw.flush()
        one.kill()
        # No policy ends it: only the refusal does.
        vm.fails(errno.EBADE, raw.write, b'b' * 4096)
    # It does not know the lease, and so never tells what it has.
    why = show(device)['failed'] or ''
    check('lost its leases' in why, 'show says "%s"' % why)
    with open(directory + '/two', 'rb') as file:
        equal(file.read(4096), bytes(4096), 'the other disk')
    settle()
    vxhsctl('detach', '--force', device)
    eventually(lambda: not vm.devices(), 'the device stays')
    two.stop()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
