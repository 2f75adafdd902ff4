#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: what an administrator sees of recovery, and decides about it:
how long I/O waits, when it fails, what becomes of a disk whose server lost
data, has another disk of the same name, a smaller one, or a larger one."""

import contextlib
import errno
import os
import re
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import vm
import vxhs
from faultlab import lab
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import (LIGHT, Kmsg, Raw, attach, detach, refused, settle, sh, show,
                vxhsctl)
from vxhs import FLUSH, READ, WRITE, NativeServer

KATO = 1.0 if LIGHT else 0.5
MIB = 1 << 20
# What dm-multipath does not try again elsewhere: of the target, not of the
# path to it.
FINAL = {errno.EREMOTEIO, errno.ENODATA, errno.ENOSPC, errno.EOPNOTSUPP,
         errno.EBADE, errno.EILSEQ}


class Try(threading.Thread):
    """An I/O in a thread of its own: when it ended, and with which errno."""

    def __init__(self, device, what, *args):
        super().__init__(daemon=True)
        self.device, self.what, self.args = device, what, args
        self.errno = self.ended = None
        self.start()

    def run(self):
        with Raw(self.device) as raw:
            try:
                getattr(raw, self.what)(*self.args)
                self.errno = 0
            except OSError as exc:
                self.errno = exc.errno
            self.ended = time.monotonic()

    def result(self, within=30):
        self.join(within)
        check(not self.is_alive(), '%s hangs' % self.what)
        return self.errno


class Server(NativeServer):
    """In this process; silent: it takes these opcodes and says nothing."""

    def __init__(self, port=0, disk=None, **kw):
        self.silent = set()
        self.taken = threading.Event()
        kw.setdefault('grant', dict(kato=int(KATO * 1000)))
        super().__init__({'d': disk or vxhs.Disk(16 * MIB)}, port=port,
                         on_io=self.take, **kw)

    def take(self, conn, req, payload):
        if req.op not in self.silent:
            return False
        self.taken.set()
        return True


def attached(server, *options):
    device = attach(server, 'd', '--kato', KATO, *options)
    settle()
    return device


def data(byte, n=4096):
    return bytes([byte]) * n


# ------------------------------------------------------------ I/O waits


@test
def io_waits_for_a_server_that_comes_back():
    with Server() as one:
        device = attached(one, '--lanes', 2)
        with Raw(device) as raw:
            raw.write(data(1))
        one.silent = {WRITE}
        parked = Try(device, 'write', data(2), 8192)
        check(one.taken.wait(20), 'the WRITE does not come')
        one.stop()
        more = [Try(device, 'write', data(3), 16384), Try(device, 'read')]
        time.sleep(3 * KATO)
        check(parked.is_alive() and all(t.is_alive() for t in more),
              'I/O ends without a server')
        with Server(one.port, one.disks['d']):
            for t in [parked, *more]:
                equal(t.result(), 0, t.what)
            with Raw(device) as raw:
                equal(raw.read(0), data(1))
                equal(raw.read(8192), data(2))
                equal(raw.read(16384), data(3))
                raw.flush()
            settle()
            detach(device)


@test
def what_was_submitted_first_is_sent_first():
    """Overlapping writes one after the other, parked together, land in that
    order; each request is sent again once."""
    with Server() as one:
        device = attached(one, '--lanes', 1)
        one.silent = {WRITE}
        tries = []
        for i in range(8):
            one.taken.clear()
            tries.append(Try(device, 'write', data(i + 1), i * 4096))
            check(one.taken.wait(20), 'the WRITE does not come')
        one.stop()
        seen = []

        def note(conn, req, payload):
            if req.op == WRITE:
                seen.append(req.offset // 4096)
            return False
        two = NativeServer(one.disks, port=one.port, on_io=note,
                           grant=one.grant)
        for t in tries:
            equal(t.result(), 0, t.what)
        equal(seen, list(range(8)), 'order')
        settle()
        detach(device)
        two.stop()


@contextlib.contextmanager
def recovery_on_cpu(cpu):
    """Works of queues that are bound to no CPU run there."""
    path = '/sys/devices/virtual/workqueue/cpumask'
    with open(path) as file:
        before = file.read()
    try:
        with open(path, 'w') as file:
            file.write('%x' % (1 << cpu))
        yield
    finally:
        with open(path, 'w') as file:
            file.write(before)


@test
def a_server_that_answers_open_and_closes():
    """Before who recovers gets the only CPU, so the lane is broken before it
    can be used."""
    with Server() as one, recovery_on_cpu(0):
        device = attached(one, '--lanes', 1)
        closed = []

        def close(conn, req, payload):
            closed.append(req)
            if len(closed) > 3:
                return False
            answer = one.answer(conn, req, payload)
            os.sched_setaffinity(0, {0})
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
            conn.sock.sendall(answer)
            conn.sock.shutdown(socket.SHUT_WR)
            return True
        one.on_open = close
        one.drop()
        waits = Try(device, 'write', data(1))
        equal(waits.result(), 0, 'WRITE')
        check(len(closed) > 3, 'OPEN came %d times' % len(closed))
        settle()
        detach(device)


# ------------------------------------------------------------ it fails


@test
def fast_io_fail_is_not_before_twice_kato():
    with Server() as one:
        device = attached(one, '--fast-io-fail', KATO / 2)
        one.silent = {WRITE}
        parked = Try(device, 'write', data(1))
        check(one.taken.wait(20), 'the WRITE does not come')
        gone = time.monotonic()
        one.stop()
        read = Try(device, 'read')
        check(read.result() not in FINAL | {0}, 'READ: %s' % read.errno)
        check(parked.result() not in FINAL | {0}, 'WRITE: %s' % parked.errno)
        check(parked.ended - gone >= 2 * KATO, 'a WRITE that may have '
              'reached the server failed after %.3f s' % (parked.ended - gone))
        # From now on at once, and not for ever.
        equal(Try(device, 'read').result(), read.errno, 'the next READ')
        with Server(one.port, one.disks['d']):
            def again():
                try:
                    with Raw(device) as raw:
                        raw.write(data(2))
                        return raw.read() == data(2)
                except OSError:
                    return False
            eventually(again, 'I/O does not come back', 30)
            settle()
            detach(device)


@test
def policy_can_be_changed_while_io_waits():
    with Server() as one:
        device = attached(one)
        one.stop()
        read = Try(device, 'read')
        time.sleep(2 * KATO)
        check(read.is_alive(), 'READ fails without a policy')
        vxhsctl('set', device, '--fast-io-fail', KATO / 2)
        check(read.result() not in FINAL | {0}, 'READ: %s' % read.errno)
        vxhsctl('detach', '--force', device)


def force(device, *tries, stays=()):
    begun = time.monotonic()
    vm.in_time(lambda: vxhsctl('detach', '--force', device))
    took = time.monotonic() - begun
    for t in tries:
        check(t.result(10) != 0, '%s succeeded' % t.what)
    check(took < (20 if LIGHT else 2.5), 'it took %.1f s' % took)
    names = [os.path.basename(path) for path in stays]
    eventually(lambda: vm.devices() == names, 'the device stays')


@test
def detach_force_whatever_the_server_does():
    """It is silent, it is gone, it is frozen."""
    with Server() as one:
        device = attached(one)
        one.silent = {vxhs.READ, WRITE, FLUSH, vxhs.PING, vxhs.LOGOUT,
                      vxhs.CLOSE}
        tries = [Try(device, 'write', data(1)), Try(device, 'read')]
        check(one.taken.wait(20), 'the WRITE does not come')
        force(device, *tries)
    with Server() as one:
        device = attached(one)
        one.stop()
        tries = [Try(device, 'write', data(1)), Try(device, 'read')]
        time.sleep(2 * KATO)
        force(device, *tries)
    with Vxhsd('d=memory,size=16M') as d:
        device = attached(d)
        d.signal(19)
        tries = [Try(device, 'write', data(1)), Try(device, 'read')]
        time.sleep(KATO / 2)
        force(device, *tries)
        d.signal(18)


@test
def plain_detach_is_refused_while_the_server_is_away():
    with Server() as one:
        device = attached(one)
        one.stop()
        eventually(lambda: show(device)['session']['state'] == 'recovering',
                   'the session does not recover')
        refused([], 'detach', device)
        done = vm.run('rmmod', 'vxhs', timeout=20)
        check(done.returncode, 'rmmod succeeded')
        force(device)


# ------------------------------------------------------------ one of two


class Pair(Server):
    """Two vdisks, d and e; silent to d only."""

    def __init__(self, **kw):
        super().__init__(**kw)
        self.disks['e'] = vxhs.Disk(16 * MIB)

    def take(self, conn, req, payload):
        if self.handles.get(req.handle) is not self.disks['d']:
            return False
        return super().take(conn, req, payload)


def answered(one, *tries):
    """The server is well again, and what waited is answered."""
    one.silent = set()
    one.drop()
    for t in tries:
        equal(t.result(), 0, t.what)


@test
def detach_force_of_one_of_two_while_the_other_is_parked():
    """The block layer would wait for the other's requests."""
    with Pair() as one:
        device, other = attached(one), attach(one, 'e')
        settle()
        one.silent = {WRITE}
        waits = Try(device, 'write', data(1))
        check(one.taken.wait(20), 'the WRITE does not come')
        one.stop()
        eventually(lambda: show(device)['session']['state'] == 'recovering',
                   'the session does not recover')
        force(other, Try(other, 'write', data(2)), stays=[device])
        check(waits.is_alive(), 'the other WRITE ended')
        with Server(one.port, one.disks['d']):
            equal(waits.result(), 0, 'the other WRITE')
            settle()
            detach(device)


@test
def detach_of_one_of_two_while_the_other_is_parked():
    with Pair() as one:
        device, other = attached(one), attach(one, 'e')
        settle()
        one.silent = {WRITE}
        waits = Try(device, 'write', data(1))
        check(one.taken.wait(20), 'the WRITE does not come')
        vm.in_time(lambda: detach(other))
        check(waits.is_alive(), 'the other WRITE ended')
        answered(one, waits)
        settle()
        detach(device)


@test
def attach_of_a_second_disk_while_the_first_is_parked():
    """It is done if the server answers it, else refused in time."""
    with Pair() as one:
        device = attached(one)
        one.silent = {WRITE}
        waits = Try(device, 'write', data(1))
        check(one.taken.wait(20), 'the WRITE does not come')
        other = vm.in_time(lambda: attach(one, 'e'))
        with Raw(other) as raw:
            raw.write(data(2))
            equal(raw.read(), data(2))
        settle()
        detach(other)
        check(waits.is_alive(), 'the first WRITE ended')
        one.stop()
        refused([], 'attach', vm.host(one), 'e', within=20)
        force(device, waits)


# ------------------------------------------------------------ losses


@test
def detach_does_not_wait_for_a_partition_scan():
    with Server() as one:
        device = attached(one, '--lanes', 1)
        one.silent = {READ}
        scan = subprocess.Popen(['blockdev', '--rereadpt', device],
                                stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        check(one.taken.wait(20), 'nothing is read')
        refused('in use by blockdev', 'detach', device, within=20)
        one.silent = set()
        one.drop()
        scan.wait(30)
        settle()
        detach(device)


def with_verifier(server, verifier):
    server.geometry['verifier'] = verifier
    server.drop()


def flush_errno(device):
    return Try(device, 'flush').result()


@test
def a_changed_verifier_fails_flush_until_ack_loss():
    with Server() as d:
        device = attached(d)
        kmsg = Kmsg()
        with Raw(device) as raw:
            raw.write(data(1))
            with_verifier(d, 2)
            raw.write(data(2), 4096)
            for _ in range(3):
                equal(flush_errno(device), errno.EIO, 'FLUSH')
            raw.write(data(3), 8192)
            equal(raw.read(8192), data(3), 'other I/O')
            # Neither a recovery nor a server that repents ends it.
            with_verifier(d, 1)
            equal(flush_errno(device), errno.EIO, 'FLUSH')
        check(show(device)['lost'], 'show says nothing of it')
        check(any(re.search('lost|loss', line) for line in kmsg.vxhs()),
              'no message')
        vxhsctl('ack-loss', device)
        equal(flush_errno(device), 0, 'FLUSH after ack-loss')
        check(not show(device)['lost'], 'show still says lost')
        settle()
        detach(device)


@test
def a_changed_verifier_without_unflushed_writes_is_nothing():
    with Server() as d:
        device = attached(d)
        with Raw(device) as raw:
            raw.write(data(1))
            raw.flush()
            with_verifier(d, 2)
            raw.read()
            raw.flush()
            raw.write(data(2))
            raw.flush()
        check(not show(device)['lost'], 'show says lost')
        settle()
        detach(device)


@test
def a_verifier_that_changes_in_a_flush_fails_it():
    """The server noticed a failed writeback by itself."""
    with Server() as d:
        device = attached(d)
        with Raw(device) as raw:
            raw.write(data(1))
            d.geometry['verifier'] = 2
            equal(flush_errno(device), errno.EIO, 'FLUSH')
            equal(flush_errno(device), errno.EIO, 'the next one')
        vxhsctl('ack-loss', device)
        equal(flush_errno(device), 0, 'FLUSH after ack-loss')
        settle()
        detach(device)


# ------------------------------------------------------------ other disks


def becomes_another(words, **geometry):
    """After a recovery the vdisk is not the one that was attached."""
    with Server() as d:
        device = attached(d)
        with Raw(device) as raw:
            raw.write(data(1))
            before = bytes(d.disks['d'].read(0, MIB))
            kmsg = Kmsg()
            d.geometry.update(geometry)
            write = Try(device, 'write', data(9), 4096)
            equal(write.result(), 0, 'WRITE before')
            before = bytes(d.disks['d'].read(0, MIB))
            d.drop()
            eventually(lambda: Try(device, 'write', data(8)).result(),
                       'WRITEs succeed')
        equal(bytes(d.disks['d'].read(0, MIB)), before, 'the data')
        text = '\n'.join(kmsg.vxhs())
        check(words in text, 'no message says "%s": %s' % (words, text))
        check(words in (show(device)['failed'] or ''), 'show does not say why')
        settle()
        vxhsctl('detach', '--force', device)
    eventually(lambda: not vm.devices(), 'the device stays')


@test
def another_vdisk_of_the_same_name_is_refused():
    becomes_another('another vdisk of the same name',
                    vdisk_id=b'something else!!')


@test
def a_vdisk_that_shrank_is_refused():
    becomes_another('has shrunk', size=8 * MIB)


@test
def a_take_over_is_final():
    with Vxhsd('d=memory,size=16M') as d:
        device = attached(d)
        with Raw(device) as raw:
            raw.write(data(1))
        thief = vxhs.NativeClient(d.addr, d.port, 'd', kato=5000)
        status, g = thief.open('d', options=vxhs.TAKE_OVER)
        equal(status, vxhs.OK, 'OPEN with TAKE_OVER')
        equal(thief.write(g.handle, 0, data(2)), vxhs.OK)
        eventually(lambda: Try(device, 'write', data(3)).result(),
                   'the old owner goes on writing')
        equal(thief.read(g.handle, 0, 4096)[1], data(2), 'the data')
        thief.logout()
        # It does not come back by itself.
        check(Try(device, 'write', data(4)).result(), 'it came back')
        settle()
        vxhsctl('detach', '--force', device)
        device = attached(d)
        with Raw(device) as raw:
            equal(raw.read(), data(2))
        settle()
        detach(device)


# ------------------------------------------------------------ other epochs


def whole(device):
    session = show(device)['session']
    return session['state'] == 'live' and \
        session['lanes_up'] == session['lanes']


@test
def a_server_that_refuses_the_epoch_gets_a_later_one():
    """It went back in epochs, or has forgotten the session."""
    with Server() as one:
        device = attached(one, '--lanes', 1)
        answers = [vxhs.STALE, vxhs.NO_SESSION, vxhs.STALE, vxhs.NO_SESSION]
        epochs = []

        def refuse(conn, req, payload):
            epochs.append(vxhs.parse_login(payload).epoch)
            if not answers:
                return False
            conn.send(vxhs.reply(req, status=answers.pop(0),
                                 features=conn.features))
            return True
        with Raw(device) as raw:
            raw.write(data(1))
            before = show(device)['session']['epoch']
            one.on_login = refuse
            one.silent = {WRITE}
            waits = Try(device, 'write', data(2), 8192)
            check(one.taken.wait(20), 'the WRITE does not come')
            one.silent = set()
            one.drop()
            equal(waits.result(), 0, 'WRITE')
            equal(len(epochs), 5, 'LOGINs')
            equal(epochs, sorted(set(epochs)), 'epochs')
            check(epochs[0] > before, 'the first is not later')
            equal(show(device)['session']['epoch'], epochs[-1], 'epoch')
            equal(raw.read(), data(1))
            equal(raw.read(8192), data(2))
        settle()
        detach(device)


def a_lane_is_refused(words, stranger=None, status=None):
    """Lane 1 of a live session comes back, and its LOGIN is answered by
    another server, or with a refusal: twice."""
    asked, epochs, left = [], [], [2]
    with Server() as one:
        device = attached(one, '--lanes', 2)
        eventually(lambda: whole(device), 'the lanes are not up')

        def answer(conn, req, payload):
            login = vxhs.parse_login(payload)
            if login.lane and left[0]:
                left[0] -= 1
                epochs.append(login.epoch)
                conn.strange = True
                conn.send(stranger.answer(conn, req, payload) if stranger else
                          vxhs.reply(req, status=status,
                                     features=conn.features))
                return True
            return False

        def note(conn, req, payload):
            if not getattr(conn, 'strange', False):
                return False
            asked.append(req)
            if stranger:
                conn.send(stranger.answer(conn, req, payload))
            return True
        with Raw(device) as raw:
            raw.write(data(1))
            kmsg = Kmsg()
            before = show(device)['session']['epoch']
            one.on_login, one.on_open, one.on_io = answer, note, note
            for conn in list(one.conns):
                if conn.login.lane:
                    conn.sock.shutdown(socket.SHUT_RDWR)

            def later():
                raw.write(data(2), 8192)
                return not left[0] and whole(device)
            eventually(later, 'the lanes do not come back', 30)
            raw.write(data(3), 16384)
            equal(raw.read(), data(1))
            equal(raw.read(8192), data(2))
            equal(raw.read(16384), data(3))
        equal(epochs, [before, before + 1], 'epochs that were refused')
        equal(show(device)['session']['epoch'], before + 2, 'epoch')
        equal(asked, [], 'asked on a lane that was refused')
        text = '\n'.join(kmsg.vxhs())
        check(words in text, 'no message says "%s": %s' % (words, text))
        settle()
        detach(device)
        equal(one.errors, [])


@test
def a_lane_that_reaches_another_server_begins_an_epoch():
    """The other one, or its new process, sees no I/O."""
    for grant in dict(server_id=b'another  server!'), dict(instance=2):
        with Server(grant=dict(grant, kato=int(KATO * 1000))) as other:
            a_lane_is_refused('different servers or instances', other)
            equal(other.disks['d'].read(0, MIB), bytes(MIB), 'its disk')


@test
def a_lane_whose_epoch_is_refused_begins_another():
    for status in vxhs.STALE, vxhs.NO_SESSION:
        a_lane_is_refused('refuses this epoch', status=status)


# ------------------------------------------------------------ resize


def size_of(device):
    return int(sh('blockdev --getsize64 ' + device))


def config(path, target, mib):
    with open(path, 'w') as file:
        file.write('[export d]\ntarget = %s\nsize = %dM\n' % (target, mib))


@test
def resize_in_use_and_during_recovery():
    directory = tmpdir()
    target, path = directory + '/d', directory + '/conf'
    config(path, target, 16)
    d = Vxhsd(args=['--config', path])
    device = attached(d)
    with Raw(device) as raw:
        raw.write(data(1), 15 * MIB)
        os.truncate(target, 24 * MIB)
        config(path, target, 24)
        d.signal(1)
        eventually(lambda: size_of(device) == 24 * MIB,
                   'the disk has %d bytes' % size_of(device))
        raw.write(data(2), 23 * MIB)
        equal(raw.read(15 * MIB), data(1))
        # While nobody serves it.
        d.kill()
        waiting = Try(device, 'write', data(3), 0)
        os.truncate(target, 32 * MIB)
        config(path, target, 32)
        d = Vxhsd(port=d.port, args=['--config', path], state_dir=d.dir)
        equal(waiting.result(), 0, 'WRITE')
        eventually(lambda: size_of(device) == 32 * MIB,
                   'the disk has %d bytes' % size_of(device))
        raw.write(data(4), 31 * MIB)
        equal(raw.read(31 * MIB), data(4))
    settle()
    detach(device)
    d.stop()


@test
def a_resize_while_a_disk_is_added_is_not_missed():
    """The server tells of it right behind the answer to the first OPEN, when
    there is no block device yet."""
    with Server(features=vxhs.F_EVENTS) as one:
        opens = []

        def grow(conn, req, payload):
            answer = one.answer(conn, req, payload)
            opens.append(req)
            if len(opens) == 1:
                one.geometry['size'] = 24 * MIB
                answer += vxhs.event(vxhs.EV_RESIZED, features=conn.features)
            conn.send(answer)
            return True
        one.on_open = grow
        device = attached(one, '--lanes', 1)
        eventually(lambda: size_of(device) == 24 * MIB,
                   'the disk has %d bytes' % size_of(device))
        settle()
        detach(device)


@test
def a_vdisk_that_is_gone_is_not_asked_for_again_and_again():
    """It is open, and goes on working; what changed was another one."""
    with Server(features=vxhs.F_EVENTS) as one:
        device = attached(one, '--lanes', 1)
        conn, = one.conns
        opens = one.seen[vxhs.OPEN]
        disk = one.disks.pop('d')
        conn.sock.sendall(vxhs.event(vxhs.EV_RESIZED, features=conn.features))
        eventually(lambda: one.seen[vxhs.OPEN] > opens, 'no OPEN comes')
        time.sleep(1)
        equal(one.seen[vxhs.OPEN], opens + 1, 'OPENs')
        with Raw(device) as raw:
            raw.write(data(1))
        one.disks['d'] = disk
        settle()
        detach(device)


# ------------------------------------------------------------ the system


def not_in_uml(func):
    """It has one CPU, and neither swap nor power management."""
    if not LIGHT:
        test(func)
    return func


@not_in_uml
def cpus_come_and_go_under_recovery():
    cpus = sorted(name for name in os.listdir('/sys/devices/system/cpu')
                  if re.fullmatch(r'cpu[1-9]\d*', name))
    ending = threading.Event()
    toggled = [0]

    def toggle():
        while not ending.is_set():
            for value in '01':
                for cpu in cpus:
                    with open('/sys/devices/system/cpu/%s/online' % cpu,
                              'w') as file:
                        file.write(value)
                    toggled[0] += 1
                    time.sleep(0.1)
    thread = threading.Thread(target=toggle)
    if cpus:
        thread.start()
    try:
        lab('--count', 'kill=8,cut=8,freeze_server=4', '--kato', '300',
            '--disks', '2', '--load-options=--qd 16 --rate 100 --report 50',
            faults=20)
    finally:
        ending.set()
        if cpus:
            thread.join()
    check(toggled[0] > 10 or not cpus, 'CPUs were hardly toggled')


@not_in_uml
def suspend_and_resume_under_load():
    """For longer than kato, and for shorter. The driver's own threads go on
    while user space is frozen: they find a server that says nothing."""
    load = '--load-options=--qd 16 --rate 100 --report 50 --zeros 0 ' \
        '--flush-every 0'
    for kato in '300', '5000':
        lab('--root', '--count', 'suspend=3', '--kato', kato, '--disks', '2',
            load, faults=3)


SWAPPER = '''
import mmap, sys
n = int(sys.argv[1])
m = mmap.mmap(-1, n << 20)
for i in range(n << 8):
    m[i << 12:(i << 12) + 8] = i.to_bytes(8, 'little')
for i in range(n << 8):
    if int.from_bytes(m[i << 12:(i << 12) + 8], 'little') != i:
        sys.exit('page %d is wrong' % i)
'''


@not_in_uml
def swap_goes_through_recoveries():
    """A process that has more memory than it may use, while its swap's
    server dies again and again."""
    group = '/sys/fs/cgroup/vxhs-swap'
    export = 'd=%s/swap,size=192M' % tmpdir()
    state = tmpdir()            # leases are in it
    d = Vxhsd(export, state_dir=state)
    device = attached(d)
    sh('mkswap %s && swapon %s' % (device, device))
    with open('/sys/fs/cgroup/cgroup.subtree_control', 'w') as file:
        file.write('+memory')
    os.makedirs(group, exist_ok=True)
    # Not memory.max: swap that stands still for a second is reason enough for
    # the kernel to kill there.
    with open(group + '/memory.high', 'w') as file:
        file.write('64M')
    process = subprocess.Popen(
        ['sh', '-c', 'echo $$ >%s/cgroup.procs; exec "$@"' % group, 'sh',
         sys.executable, '-c', SWAPPER, '96'],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    kills = 0
    try:
        # Not for ever: it would hardly get on.
        while process.poll() is None and kills < 12:
            time.sleep(1)
            d.kill()
            time.sleep(0.3)
            d = Vxhsd(export, port=d.port, state_dir=state)
            kills += 1
        eventually(lambda: process.poll() is not None, 'it does not end', 200)
        equal((process.returncode, process.stderr.read()), (0, ''),
              'the process')
        check(kills > 2, 'only %d kills' % kills)
        with open('/proc/vmstat') as file:
            out = int(re.search(r'pswpout (\d+)', file.read()).group(1))
        check(out > 1000, 'only %d pages went to swap' % out)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        sh('swapoff ' + device)
    settle()
    detach(device)
    d.stop()


# ------------------------------------------------------------ QNIO v34


class V34:
    """A v34 server, and what it was asked on which connection, when. READY
    is not asked of one that was there all the time."""

    def __init__(self):
        self.frames, self.silent = [], True
        self.taken = threading.Event()
        self.disk = vxhs.Disk(MIB)
        self.server = vxhs.V34Server({'d': self.disk}, hook=self.look)

    def look(self, conn, msg, head, payload):
        self.frames.append((time.monotonic(), id(conn), msg.op, payload))
        if msg.op != vxhs.V34_WRITE or not self.silent:
            return False
        self.taken.set()
        return True

    def ops(self, since=0):
        return [op for at, _, op, _ in self.frames if at >= since]

    def attach(self, *options):
        out, err = vxhsctl('attach', vm.host(self.server), 'd', *options)
        check('v34' in err, 'no warning: ' + err)
        settle()
        return out.strip()

    def breaks(self, device):
        """With a WRITE under way, of which nobody knows what became. When,
        and the WRITE."""
        write = Try(device, 'write', data(7))
        check(self.taken.wait(20), 'the WRITE does not come')
        check(vxhs.V34_READY not in self.ops(), 'READY of a server that '
              'was there all the time')
        self.silent = False
        at = time.monotonic()
        self.server.drop()
        return at, write

    def end(self, device, write, since):
        equal(write.result(), 0, 'WRITE')
        equal(self.disk.read(0, 4096), data(7), 'what was written')
        asked = set()
        for at, conn, op, _ in self.frames:
            if op == vxhs.V34_READY:
                asked.add(conn)
            check(at < since or conn in asked or
                  op not in (vxhs.V34_WRITE, vxhs.V34_READ),
                  'I/O before READY was answered')
        check(asked, 'READY was not asked')
        settle()
        detach(device)
        equal(self.server.errors, [])
        self.server.stop()


@test
def a_v34_peer_is_left_alone_for_replay_delay():
    """There is no fence: what was sent before has that time to end."""
    v34 = V34()
    device = v34.attach('--replay-delay', 3)
    kmsg = Kmsg()
    at, write = v34.breaks(device)
    eventually(lambda: v34.ops(at), 'it does not come back', 60)
    first = next(when for when, _, _, _ in v34.frames if when >= at)
    check(first - at >= 3, 'it was asked after %.3f s' % (first - at))
    check(any('no fence' in line for line in kmsg.vxhs()), 'no warning')
    v34.end(device, write, at)


@test
def a_v34_peer_that_is_not_ready_gets_no_io():
    """It has the vdisk only when it says so, and is asked until then."""
    v34 = V34()
    device = v34.attach('--replay-delay', 0.2)
    v34.server.ready_err = 11
    at, write = v34.breaks(device)
    eventually(lambda: v34.ops(at).count(vxhs.V34_READY) >= 3,
               'it is not asked again', 60)
    check(vxhs.V34_WRITE not in v34.ops(at), 'a WRITE was sent')
    check(write.is_alive(), 'the WRITE has ended')
    v34.frames.clear()
    v34.server.ready_err = 0
    v34.end(device, write, at)


@test
def replay_delay_holds_for_the_next_break():
    v34 = V34()
    device = v34.attach('--replay-delay', 86400)
    vxhsctl('set', device, '--replay-delay', 0.2)
    at, write = v34.breaks(device)
    v34.end(device, write, at)


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
