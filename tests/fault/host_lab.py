#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fault lab with its client in user space: vxhsd stands its faults, and
servers that break their word are found out."""

import contextlib
import io
import os
import random
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import lab
import stamp
import vxhs
from harness import check, equal, main, test, tmpdir
from vxhs import FLUSH, READ, WRITE


def run(*args, timeout=500):
    """lab.py with these arguments: (exit status, its lines)."""
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, 'lab.py'), '--dir', tmpdir(),
         *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
    sys.stderr.write(done.stderr)
    return done.returncode, done.stdout.split('\n')


# ------------------------------------------------------------ vxhsd


@test
def vxhsd_stands_each_fault():
    kinds = [name for name, (_, _, needs) in lab.KINDS.items()
             if not needs or 'digests' in needs or 'freeze' in needs]
    status, lines = run('--seed', '7', '--kato', '600', '--trap', '3',
                        '--count', ','.join(kinds), '--check-every', '4')
    for line in lines:
        if line.startswith('not ok'):
            raise AssertionError(line)
    equal(status, 0, 'exit status')
    equal(sum(line.startswith('ok fault-') for line in lines), len(kinds),
          'faults')


@test
def a_pair_of_vxhsd_stands_failover():
    status, lines = run('--seed', '9', '--kato', '600', '--servers', '2',
                        '--paths', '1', '--check-every', '4', '--count',
                        'failover=3,isolate=2,kill=2,restart=2,take_over=1')
    for line in lines:
        if line.startswith('not ok'):
            raise AssertionError(line)
    equal(status, 0, 'exit status')


# ------------------------------------------------------------ planted


class Planted:
    """A server in this process that looks like Vxhsd to the lab."""

    disks = None

    def __init__(self, disks, port, **kw):
        Planted.disks = disks
        self.server = vxhs.NativeServer(disks, port=port, features=7,
                                        grant=dict(kato=500), **kw)

    def alive(self):
        equal(self.server.errors, [], 'errors of the server')

    def stop(self, _=0):
        self.server.stop()

    kill = stop

    def signal(self, number):
        raise AssertionError('a signal')


class PlantedLab(lab.Lab):
    hooks = {}

    def start_server(self, i):
        disks = {self.names[n]: vxhs.Disk(self.args.blocks * 4096, path)
                 for n, path in self.files.items()}
        self.servers[i] = Planted(disks, self.ports[i], **self.hooks)

    def keeps_leases(self):
        return True


def found(hooks, kind, *args, words=(), lab_kind=PlantedLab):
    """The lab says of this server what is wrong with it."""
    saved, sys.argv = sys.argv, ['lab', '--seed', '5', '--disks', '1',
                                 '--dir', tmpdir(), '--blocks', '256',
                                 '--kato', '500', '--check-every', '1',
                                 '--patience', '20',
                                 '--count', kind, *args]
    try:
        options = lab.parse()
    finally:
        sys.argv = saved
    results = lab.Results()
    here = lab_kind(options, options.dir)
    here.hooks = hooks
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            here.start()
            lab.run(here, options, results)
    except (lab.Wrong, lab.Hung) as exc:
        results.failures.append(('start', str(exc)))
    finally:
        here.stop()
        for line in said.getvalue().splitlines():
            print('# ' + line, file=sys.stderr)
    why = [why for _, why in results.failures]
    if not words:
        equal(why, [], 'failures')
        return
    check(why, 'nothing was found')
    check(any(word in why[0] for word in words), why[0])


@test
def a_server_that_behaves_passes():
    found({}, 'attach_anew=3')


@test
def a_server_without_fences_falls_into_the_trap():
    # It lets the old connections write when their bytes come at last.
    # What is late may be zeros.
    found({}, 'trap=5', '--trap', '3',
          words=('older than', 'overwritten', 'zeros'))


@test
def a_server_that_loses_a_write_is_found():
    count = [0]

    def forget(conn, req, payload):
        count[0] += req.op == WRITE
        if req.op == WRITE and count[0] % 50 == 0:
            conn.send(vxhs.reply(req, features=conn.features))
            return True
        return False
    found(dict(on_io=forget), 'calm=40', words=('older than', 'zeros'))


@test
def a_server_that_tears_a_write_is_found():
    count = [0]

    def tear(conn, req, payload):
        count[0] += req.op == WRITE
        if req.op == WRITE and count[0] % 50 == 0:
            Planted.disks['disk0'].write(req.offset, bytes(payload[:1536]))
            conn.send(vxhs.reply(req, features=conn.features))
            return True
        return False
    found(dict(on_io=tear), 'calm=40', words=('torn', 'older than', 'zeros'))


@test
def a_server_that_answers_with_garbage_is_found():
    count = [0]

    def spoil(conn, req, payload):
        count[0] += req.op == READ
        if req.op == READ and count[0] % 50 == 0:
            conn.send(vxhs.reply(req, b'\x55' * req.length,
                                 features=conn.features))
            return True
        return False
    found(dict(on_io=spoil), 'calm=40', words=('garbage',))


@test
def a_server_that_never_answers_one_request_is_found():
    count = [0]

    def hang(conn, req, payload):
        count[0] += req.op == WRITE
        return req.op == WRITE and count[0] == 100
    found(dict(on_io=hang), 'calm=40', words=('no I/O for', 'does not come'))


@test
def a_verifier_that_changes_makes_flush_fail():
    verifier = [1]
    count = [0]

    def change(conn, req, payload):
        if req.op == FLUSH:
            count[0] += 1
            if count[0] == 5:
                verifier[0] += 1
            conn.send(vxhs.reply(req, struct.pack('<Q', verifier[0]),
                                 features=conn.features))
            return True
        return False
    found(dict(on_io=change), 'calm=40', words=('FLUSH failed',))


# ------------------------------------------------------------ crashes


class Volatile(vxhs.Disk):
    """A storage host whose cache is lost in a crash."""

    def __init__(self, size, path):
        super().__init__(size, path)
        self.lock = threading.Lock()
        self.durable = bytearray(size)

    def write(self, offset, data):
        with self.lock:
            super().write(offset, data)

    def sync(self, offset=0, length=None):
        with self.lock:
            length = self.size if length is None else length
            self.durable[offset:offset + length] = self.read(offset, length)

    def crash(self):
        with self.lock:
            super().write(0, bytes(self.durable))


class CrashLab(PlantedLab):
    bug = None
    verifier = 1

    def start_server(self, i):
        if not self.servers[i]:
            self.disks = {name: Volatile(self.args.blocks * 4096,
                                         self.files[n])
                          for n, name in self.names.items()}
        self.servers[i] = Planted(self.disks, self.ports[i], on_io=self.io,
                                  geometry=dict(verifier=self.verifier))

    def io(self, conn, req, payload):
        server = self.servers[0].server
        disk = server.handles.get(req.handle)
        if disk is None:
            return False
        if req.op == FLUSH and self.bug != 'ignores FLUSH':
            disk.sync()
        if req.flags & vxhs.FUA:
            disk.write(req.offset, payload)
            if self.bug != 'ignores FUA':
                disk.sync(req.offset, req.length)
        return False

    def crash(self):
        self.servers[0].stop()
        time.sleep(0.3)
        for disk in self.disks.values():
            disk.crash()
        if self.bug != 'keeps its verifier':
            self.verifier += 1
        self.devices.mark(stamp.CRASH)
        self.start_server(0)
        self.devices.flows()
        time.sleep(0.5)
        self.check()
        self.devices.ack_loss()
        self.devices.flows()


@lab.fault(0, planted=True)
def host_crash(here, _):
    """of the tests alone"""
    here.crash()


def crashes(bug, words=(), *args):
    CrashLab.bug = bug
    found({}, 'host_crash=6', *args, words=words, lab_kind=CrashLab)


@test
def a_storage_host_that_crashes_and_says_so_passes():
    crashes(None)


@test
def a_flush_that_does_nothing_is_found():
    crashes('ignores FLUSH', ('older than', 'zeros'))


@test
def a_fua_that_does_nothing_is_found():
    crashes('ignores FUA', ('older than', 'zeros'), '--attach-options',
            '--fua 60 --flush-every 300')


@test
def a_loss_that_nobody_is_told_of_is_found():
    crashes('keeps its verifier', ('FLUSH succeeded after',))


# ------------------------------------------------------------ seeds


@test
def a_seed_says_everything_about_a_fault():
    drawn = []
    for _ in range(2):
        orders = []

        class Proxy:
            def __call__(self, do, **order):
                if do != 'status':
                    orders.append((do, order))
                return {'hit': [], 'conns': []}

        class Fake:
            proxies = [Proxy(), Proxy()]
            kato = 0.001
            args = type('Args', (), {'patience': 1, 'trap': 0})
            devices = type('Devices', (), {'flows': staticmethod(
                lambda: None)})
        for kind in ('cut', 'stall', 'corrupt', 'truncate', 'duplicate',
                     'partition', 'trap', 'trap_back', 'lose_path', 'cut_often',
                     'slow'):
            lab.KINDS[kind][0](Fake, random.Random('3:4:' + kind))
        drawn.append(orders)
    check(len(drawn[0]) > 20, '%d orders' % len(drawn[0]))
    equal(drawn[0], drawn[1])


@test
def one_fault_can_be_replayed_by_its_seed():
    status, lines = run('--replay', '7:3:cut', '--times', '2', '--disks', '1',
                        '--kato', '600')
    equal(status, 0, 'exit status')
    equal([line.split(',')[0] for line in lines if 'fault-' in line],
          ['ok fault-%d cut - seed 7:3:cut' % n for n in (1, 2)])


if __name__ == '__main__':
    main()
