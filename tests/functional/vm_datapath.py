#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --cpus 2 --
# vm-run: --cpus 1 -- env LIGHT=1 LANES=1,8
# vm-run: --cpus 4 -- env LIGHT=1 LANES=2,8
"""In the VM: how requests get onto the wire. None may be forgotten, whatever
the mix of submitters and the rhythm of the server; polled lanes; lanes that
die under load; many vdisks on one session. With LANES, a list such as 1,2,8,
only the first of these, with so many lanes. LIGHT=1 leaves out what only
repeats a path."""

import errno
import mmap
import os
import random
import re
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import genl
import vm
import vxhs
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import (Raw, attach, detach, host, refused, settle, sh, show,
                vxhsctl)
from vxhs import READ, WRITE, NativeServer

LANES = [int(n) for n in os.environ.get('LANES', '1,2').split(',')]
MIB = 8
# PING wakes a lane's worker, which sends what was forgotten: none here.
QUIET = dict(kato=3600000)


def disks(names=('d',), size=MIB << 20):
    return {n: vxhs.Disk(size) for n in names}


# ------------------------------------------------------------ servers


class Paced(NativeServer):
    """Answers in a rhythm: by one thread, which sends what is due."""

    def __init__(self, rhythm, grant=None, **kw):
        self.rhythm = rhythm
        self.owed = []              # (connection, reply), oldest first
        self.ready = threading.Condition()
        self.most = 0               # owed at once
        self.got = 0
        self.ending = False
        self.rng = random.Random(1)
        self.fence = threading.Lock()
        super().__init__(kw.pop('disks', None) or disks(),
                         grant=dict(QUIET, **(grant or {})),
                         on_io=self.take, **kw)
        threading.Thread(target=self.pace, daemon=True).start()

    def take(self, conn, req, payload):
        if req.op < READ:
            return False
        # What was read from a connection that is cut is not executed: it may
        # be sent again, and this would be later.
        with self.fence:
            if getattr(conn, 'cut', False):
                raise vxhs.Closed('cut')
            data = self.answer(conn, req, payload)
        with self.ready:
            self.owed.append((conn, data))
            self.got += 1
            self.most = max(self.most, len(self.owed))
            self.ready.notify()
        return True

    def pace(self):
        while not self.ending:
            with self.ready:
                self.ready.wait_for(lambda: self.owed or self.ending, 1)
            self.rhythm(self)

    def due(self, count=None):
        """Takes the oldest replies, all unless told otherwise."""
        with self.ready:
            count = len(self.owed) if count is None else count
            taken, self.owed = self.owed[:count], self.owed[count:]
        return taken

    @staticmethod
    def put(replies):
        """One send for each connection."""
        by_conn = {}
        for conn, data in replies:
            by_conn.setdefault(conn, []).append(data)
        for conn, parts in by_conn.items():
            try:
                conn.sock.sendall(b''.join(parts))
            except OSError:
                pass

    def stop(self):
        self.ending = True
        super().stop()


def one_by_one(server):
    for answer in server.due():
        server.put([answer])


def slowly(server):
    time.sleep(0.003)
    server.put(server.due(1))


def in_bursts(server):
    """Waits until nothing more comes: each burst is all there can be."""
    while True:
        got = server.got
        time.sleep(0.01)
        if server.got == got:
            break
    replies = server.due()
    server.rng.shuffle(replies)
    server.put(replies)


def at_random(server):
    time.sleep(server.rng.choice((0, 0, 0, 0.001, 0.01)))
    replies = server.due(server.rng.randrange(1, 20))
    server.rng.shuffle(replies)
    if server.rng.randrange(2):
        server.put(replies)
    else:
        for answer in replies:
            server.put([answer])


RHYTHMS = (one_by_one, slowly, in_bursts, at_random)


def inflight(device):
    """Requests that the block layer waits for."""
    with open('/sys/block/%s/inflight' % os.path.basename(device)) as file:
        return sum(map(int, file.read().split()))


def nothing_forgotten(process, server, *devices, patience=8, limit=240):
    """Waits for a load, and finds requests that are neither on the wire nor
    done: the server has answered all it got, and no more comes."""
    end = time.monotonic() + limit
    seen, since = None, time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        waiting = sum(map(inflight, devices))
        state = (server.got, len(server.owed))
        if state != seen or state[1] or not waiting:
            seen, since = state, now
        if now - since > patience or now > end:
            why = '%d requests forgotten' % waiting if now < end else \
                'the load does not end'
            print('# %s; the server got %d and owes %d' %
                  (why, server.got, len(server.owed)))
            server.stop()           # so that it ends
            process.wait(30)
            raise AssertionError(why)
        time.sleep(0.05)
    done(process)


def done(process):
    """A load has ended, and without an error."""
    said = [line for line in process.stdout.read().split('\n')
            if line and not line.startswith('3;')]
    process.stdout.close()
    equal(process.wait(), 0, 'fio said %r' % said)


def load(*jobs, **common):
    """fio with several jobs at once, each a dict; verified where asked."""
    common = dict(dict(ioengine='io_uring', direct=1, thread=1, size='4m',
                       bs='4k', rw='randrw', randseed=3), **common)
    lines = ['[global]'] + ['%s=%s' % item for item in common.items()]
    for n, job in enumerate(jobs):
        lines += ['[j%d]' % n] + ['%s=%s' % item for item in job.items()]
    path = os.path.join(tmpdir(), 'fio')
    with open(path, 'w') as file:
        file.write('\n'.join(lines) + '\n')
    return subprocess.Popen(['fio', '--output-format=terse', path],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def mixes(device, ios):
    """What submits: (name, jobs)."""
    d = dict(filename=device)

    def job(depth, count=None, **kw):
        return dict(d, iodepth=depth, number_ios=count or ios, **kw)
    yield 'pairs', [job(2)]
    yield 'threads', [job(1, ios // 12, ioengine='psync')
                      for _ in range(12)]
    yield 'single', [job(depth, ios // 4) for depth in (1, 2, 8, 64)]
    yield 'batches', [
        job(depth, ios // 3, iodepth_batch_submit=batch,
            iodepth_batch_complete_min=1, iodepth_batch_complete_max=depth)
        for depth, batch in ((16, 16), (32, 5), (64, 16))]
    yield 'mixed', [job(1, ios // 8, ioengine='psync'),
                    job(32, ios // 4, bsrange='512-16k', blockalign=512),
                    job(8, ios // 8, iodepth_batch_submit=8),
                    job(4, ios // 8, ioengine='libaio'),
                    # Where nobody else is: direct writes beside it would
                    # make its fsync fail.
                    job(1, ios // 16, ioengine='psync', direct=0,
                        fsync=4, offset='6m', size='1m')]


def gathered(lanes):
    ios = 120 if vm.LIGHT else 240
    for rhythm in RHYTHMS:
        with Paced(rhythm) as d:
            device = attach(d, 'd', '--lanes', lanes)
            settle()
            for name, jobs in mixes(device, ios // 4 if rhythm == slowly
                                    else ios):
                try:
                    nothing_forgotten(load(*jobs), d, device)
                except AssertionError as exc:
                    raise AssertionError('%s, %s: %s' % (
                        rhythm.__name__, name, exc)) from exc
            equal((show(device)['errors'], d.errors), (0, []))
            settle()
            detach(device)
            vm.gone(d)


GATHERED = []


def add_gathered(lanes):
    def func():
        gathered(lanes)
    func.__name__ = 'none_forgotten_%d_lanes_%d_cpus' % (lanes,
                                                         os.cpu_count())
    GATHERED.append(func.__name__)
    test(func)


for _lanes in LANES:
    add_gathered(_lanes)


@test
def none_forgotten_within_small_grants():
    grants = (dict(max_inflight=1), dict(max_inflight=2),
              dict(max_inflight=7),
              dict(max_io=131072, max_inflight_bytes=131072),
              dict(max_io=131072, max_inflight_bytes=200000))
    for n, grant in enumerate(grants[::3] if vm.LIGHT else grants):
        for lanes in (1, 2) if vm.LIGHT else (1 + n % 2,):
            with Paced(at_random, grant) as d:
                device = attach(d, 'd', '--lanes', lanes)
                settle()
                f = dict(filename=device)
                nothing_forgotten(load(
                    dict(f, iodepth=32, number_ios=100),
                    dict(f, ioengine='psync', number_ios=30),
                    dict(f, bs='128k', iodepth=8, number_ios=30),
                    dict(f, bsrange='4k-1m', iodepth=4, number_ios=20,
                         iodepth_batch_submit=4)), d, device)
                if 'max_inflight' in grant:
                    check(d.most <= grant['max_inflight'] * lanes,
                          '%d in flight, granted %r' % (d.most, grant))
                equal((show(device)['errors'], d.errors), (0, []))
                settle()
                detach(device)


@test
def one_request_at_a_time_after_a_burst():
    """The last of a burst is nobody's to send but the worker's."""
    with Paced(in_bursts) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        for depth in (2, 33, 64):
            nothing_forgotten(load(dict(
                filename=device, iodepth=depth, number_ios=depth * 4,
                iodepth_batch_submit=1, iodepth_batch_complete_min=depth)),
                d, device)
            with Raw(device) as raw:
                for i in range(10):
                    raw.read(i * 4096)
        detach(device)
        equal(d.errors, [])


@test
def flushes_and_discards_among_them():
    with Paced(at_random) as d:
        device = attach(d, 'd', '--lanes', 2)
        settle()
        f = dict(filename=device)
        nothing_forgotten(load(
            dict(f, rw='randwrite', iodepth=16, fsync=3, number_ios=100),
            dict(f, rw='randtrim', iodepth=4, number_ios=50),
            dict(f, rw='randwrite', ioengine='psync', sync='dsync',
                 number_ios=30),
            dict(f, rw='randread', iodepth=32, number_ios=200)), d, device)
        equal((show(device)['errors'], d.errors), (0, []))
        settle()
        detach(device)


def verified(device, *more, size=4):
    """fio checks what it wrote."""
    sh('fio --name=v --filename=%s --verify=crc32c --verify_fatal=1 '
       '--ioengine=io_uring --thread=1 --direct=1 --rw=randrw --size=%dm '
       '--output-format=terse %s' % (device, size, ' '.join(more)),
       timeout=240)


@test
def verified_with_more_lanes_than_cpus():
    lanes = os.cpu_count() + 3
    with Vxhsd('d=memory,size=16M') as d:
        device = attach(d, 'd', '--lanes', lanes)
        settle()
        for depth, batch in ((1, 1), (7, 1), (64, 1), (64, 16)):
            verified(device, '--bsrange=512-16k --blockalign=512 '
                     '--iodepth=%d --iodepth_batch_submit=%d '
                     '--verify_backlog=64 --io_size=2m' % (depth, batch))
        equal(show(device)['errors'], 0)
        settle()
        detach(device)
        vm.gone(d)


# ------------------------------------------------------------ polled lanes


def lanes_used(d):
    """A hook that counts READs by lane."""
    def hook(conn, req, payload):
        if req.op == READ:
            used[conn.login.lane] = used.get(conn.login.lane, 0) + 1
        return False
    used = {}
    d.on_io = hook
    return used


@test
def polled_io_verifies():
    with Vxhsd('d=memory,size=16M') as d:
        for lanes, poll, digests in ((1, 1, False), (2, 2, False),
                                     (1, 2, True)):
            poll = min(poll, os.cpu_count())
            options = ['--lanes', lanes, '--poll-lanes', poll] + \
                ['--digests' if digests else '--no-digests']
            device = attach(d, 'd', *options)
            session = show(device)['session']
            equal((session['lanes'], session['lanes_up'],
                   session['poll_lanes']), (lanes + poll, lanes + poll, poll))
            text = vxhsctl('show', device)[0]
            check(re.search(r'polled lanes: +%d' % poll, text), text)
            settle()
            for depth in (1, 16, 64):
                verified(device, '--hipri=1 --bsrange=512-32k '
                         '--blockalign=512 --io_size=%s --iodepth=%d' %
                         ('512k' if vm.LIGHT else '1m', depth))
            # Polled and other I/O side by side.
            process = load(
                dict(filename=device, hipri=1, iodepth=8, number_ios=500),
                dict(filename=device, iodepth=8, number_ios=500))
            done(process)
            equal(show(device)['errors'], 0)
            settle()
            detach(device)
            vm.gone(d)


@test
def polled_requests_take_the_polled_lanes():
    with NativeServer(disks()) as d:
        device = attach(d, 'd', '--lanes', 1, '--poll-lanes', 1)
        settle()
        with open('/sys/block/%s/queue/io_poll' %
                  os.path.basename(device)) as file:
            equal(file.read().strip(), '1', 'io_poll')
        used = lanes_used(d)
        load(dict(filename=device, hipri=1, rw='randread',
                  number_ios=50)).wait(60)
        equal(used, {1: 50})
        used.clear()
        load(dict(filename=device, rw='randread', number_ios=50)).wait(60)
        equal(used, {0: 50})
        settle()
        detach(device)
        # A disk without them says so, and such I/O is refused or works.
        device = attach(d, 'd', '--lanes', 1)
        with open('/sys/block/%s/queue/io_poll' %
                  os.path.basename(device)) as file:
            equal(file.read().strip(), '0', 'io_poll')
        settle()
        detach(device)
        vm.gone(d)


def segments_sent(port):
    """Segments with data on all connections to a port so far."""
    text = sh('ss -tinH dport = :%d' % port)
    return sum(int(n) for n in re.findall(r'data_segs_out:(\d+)', text))


@test
def batches_of_polled_requests_go_out_together():
    with NativeServer(disks()) as d:
        device = attach(d, 'd', '--lanes', 1, '--poll-lanes', 1)
        settle()
        before = segments_sent(d.port)
        load(dict(filename=device, hipri=1, rw='randread', iodepth=16,
                  iodepth_batch_submit=16, iodepth_batch_complete_min=16,
                  number_ios=320)).wait(60)
        sent = segments_sent(d.port) - before
        # 20 batches; the rest is for PING and what fio asks for first.
        check(0 < sent < 100, '%d segments for 320 requests' % sent)
        settle()
        detach(device)
        vm.gone(d)


@test
def none_forgotten_on_polled_lanes():
    for rhythm in (in_bursts, at_random):
        with Paced(rhythm, dict(max_inflight=5)) as d:
            device = attach(d, 'd', '--lanes', 1, '--poll-lanes',
                            min(2, os.cpu_count()))
            settle()
            f = dict(filename=device, number_ios=60)
            nothing_forgotten(load(
                dict(f, hipri=1, iodepth=32), dict(f, hipri=1),
                dict(f, hipri=1, iodepth=16, iodepth_batch_submit=16),
                dict(f, iodepth=32)), d, device)
            equal((show(device)['errors'], d.errors), (0, []))
            settle()
            detach(device)


@test
def numbers_of_lanes_that_are_refused():
    with NativeServer(disks(('d', 'e', 'f'))) as d:
        for lanes, poll in ((64, 1), (60, 5), (2, 63)):
            refused(['64 lanes'], 'attach', host(d), 'd', '--lanes', lanes,
                    '--poll-lanes', poll)
            equal(d.accepted, 0, 'connections')
        for poll in ('0', '64', '-1', 'x', ''):
            vxhsctl('attach', host(d), 'd', '--poll-lanes', poll, status=2)
        device = attach(d, 'd', '--lanes', 2, '--poll-lanes', 1)
        for lanes, poll in ((3, 1), (2, 2), (1, 2), (3, None), (None, 2)):
            if poll and poll > os.cpu_count():
                continue            # refused for another reason
            refused(['2 lanes and 1 polled'], 'attach', host(d), 'e',
                    *(['--lanes', lanes] if lanes else []),
                    *(['--poll-lanes', poll] if poll else []))
        attach(d, 'e', '--lanes', 2, '--poll-lanes', 1)
        attach(d, 'f')
        equal(show(device)['session']['disks'], 3)
        settle()
        vm.detach_all()
        vm.gone(d)
        cpus = os.cpu_count()
        refused('more polled lanes than CPUs', 'attach', host(d), 'd',
                '--lanes', 1, '--poll-lanes', cpus + 1)
        # The most that there can be.
        device = attach(d, 'd', '--lanes', 1, '--poll-lanes', cpus)
        equal(show(device)['session']['lanes_up'], 1 + cpus)
        settle()
        verified(device, '--hipri=1 --iodepth=16 --io_size=128k', size=1)
        detach(device)
        vm.gone(d)
        device = attach(d, 'd', '--lanes', 63, '--poll-lanes', 1)
        equal(len(vm.lane_threads()), 64, 'threads')
        settle()
        detach(device)
        vm.gone(d)
    with vxhs.V34Server(disks()) as d:
        refused('at most 8', 'attach', host(d), 'd', '--lanes', 8,
                '--poll-lanes', 1)
        device = attach(d, 'd', '--lanes', 7, '--poll-lanes', 1)
        settle()
        verified(device, '--hipri=1 --iodepth=16 --io_size=1m', size=1)
        detach(device)
        vm.gone(d)


def conn_of(d, lane):
    return next(c for c in d.conns if c.login and c.login.lane == lane)


def all_lanes(device, why='a lane does not come back'):
    """All lanes are up; the session."""
    def whole():
        session = show(device)['session']
        return session['lanes_up'] == session['lanes'] and session
    return eventually(whole, why, 20)


class Gate:
    """Refuses LOGIN of some lanes while it is shut for them."""

    def __init__(self, d):
        self.shut = set()
        d.on_login = self.login

    def login(self, conn, req, payload):
        if vxhs.Login(*vxhs._LOGIN_REQ.unpack(payload)).lane in self.shut:
            raise vxhs.Closed('on purpose')
        return False


@test
def a_polled_lane_breaks_under_load():
    """No request fails; the lane comes back, and until then another lane
    stands in."""
    for poll in range(1, min(2, os.cpu_count()) + 1):
        with NativeServer(disks()) as d:
            gate = Gate(d)
            device = attach(d, 'd', '--lanes', 1, '--poll-lanes', poll)
            settle()
            before = show(device)['session']
            f = dict(filename=device, iodepth=16, time_based=1, runtime=4)
            process = load(dict(f, hipri=1), dict(f, hipri=1), f)
            time.sleep(2)
            for lane in range(1, 1 + poll):
                conn_of(d, lane).sock.shutdown(2)
                time.sleep(0.5)
            eventually(lambda: process.poll() is not None, 'polled I/O hangs',
                       40)
            done(process)
            after = all_lanes(device)
            for key in ('state', 'epoch', 'recoveries'):
                equal(after[key], before[key], key)
            settle()
            # Nothing is in flight now that would wait for this very lane.
            gate.shut = set(range(1, 1 + poll))
            for lane in gate.shut:
                conn_of(d, lane).sock.shutdown(2)
            eventually(lambda: show(device)['session']['lanes_up'] == 1,
                       'lanes')
            used = lanes_used(d)
            process = load(dict(filename=device, hipri=1, iodepth=8,
                                number_ios=100))
            eventually(lambda: process.poll() is not None, 'polled I/O hangs',
                       40)
            done(process)
            equal(set(used), {0}, 'lanes used')
            gate.shut = set()
            all_lanes(device)
            equal(show(device)['errors'], 0)
            settle()
            detach(device)
            vm.gone(d)


@test
def the_lane_that_is_not_polled_breaks():
    with NativeServer(disks()) as d:
        gate = Gate(d)
        device = attach(d, 'd', '--lanes', 1, '--poll-lanes', 1)
        settle()
        gate.shut = {0}
        conn_of(d, 0).sock.shutdown(2)
        eventually(lambda: show(device)['session']['lanes_up'] == 1, 'lanes')
        with Raw(device) as raw:
            vm.in_time(raw.write, b's' * 4096)
            equal(vm.in_time(raw.read), b's' * 4096)
            vm.in_time(raw.flush)
        gate.shut = {0, 1}
        conn_of(d, 1).sock.shutdown(2)
        eventually(lambda: show(device)['session']['lanes_up'] == 0, 'lanes')

        def polled():
            return load(dict(filename=device, hipri=1, iodepth=8,
                             number_ios=10))

        def ended(process):
            eventually(lambda: process.poll() is not None, 'polled I/O hangs',
                       40)
        # It waits for a lane.
        process = polled()
        time.sleep(3)
        equal(process.poll(), None, 'fio without a lane')
        gate.shut = set()
        ended(process)
        done(process)
        all_lanes(device)
        equal(show(device)['errors'], 0)
        # It fails where it is not to wait.
        vxhsctl('set', device, '--fast-io-fail', 0)
        gate.shut = {0, 1}
        d.drop()
        eventually(lambda: show(device)['session']['state'] == 'failing',
                   'the disk still waits')
        process = polled()
        ended(process)
        process.stdout.close()
        check(process.returncode, 'I/O without a lane succeeded')
        gate.shut = set()
        all_lanes(device)
        process = polled()
        ended(process)
        done(process)
        settle()
        detach(device)
        vm.gone(d)


@test
def detach_while_polled_io_runs():
    with Vxhsd('d=memory,size=16M') as d:
        for _ in range(2 if vm.LIGHT else 3):
            device = attach(d, 'd', '--lanes', 1, '--poll-lanes', 1)
            settle()
            process = load(dict(filename=device, hipri=1, iodepth=32,
                                time_based=1, runtime=60))
            before = show(device)['requests']
            eventually(lambda: show(device)['requests'] > before + 300,
                       'no I/O', 30)
            refused('use', 'detach', device)
            process.kill()
            detach(device)          # as soon as it is closed
            process.wait(20)
            vm.gone(d)


@test
def a_silent_server_and_polled_io():
    """Who polls waits as long as who does not, and can be killed."""
    def hook(conn, req, payload):
        if req.op == READ and armed:
            held.append((conn, d.answer(conn, req, payload)))
            return True
        return False
    armed, held = [], []
    with NativeServer(disks(), on_io=hook) as d:
        device = attach(d, 'd', '--lanes', 1, '--poll-lanes', 1)
        settle()
        armed.append(1)
        process = load(dict(filename=device, hipri=1, iodepth=4,
                            rw='randread', number_ios=4))
        eventually(lambda: len(held) == 4, 'no polled READ')
        with Raw(device) as raw:
            raw.write(b'o' * 4096)  # the others go on
        time.sleep(1)
        equal(process.poll(), None, 'fio')
        process.terminate()
        armed.clear()
        for conn, data in held:
            conn.sock.sendall(data)
        process.wait(30)
        process.stdout.close()
        settle()
        detach(device)


# ------------------------------------------------------------ lanes that die


def cut(d, conn, how):
    """Close, or reset, in the midst of whatever is under way."""
    with d.fence:
        conn.cut = True
    try:
        if how:
            conn.sock.setsockopt(1, 13, struct.pack('ii', 1, 0))
        conn.sock.shutdown(2)
        if how:
            conn.sock.close()
    except OSError:
        pass


@test
def lanes_that_die_at_any_moment():
    """Each request succeeds, with the right data, and all lanes are there in
    the end."""
    rng = random.Random(8)
    nl = genl.Genl()
    end = time.monotonic() + 15
    rounds = cuts = 0
    while time.monotonic() < end:
        rounds += 1
        rhythm = rng.choice((one_by_one, at_random, in_bursts))
        lanes = rng.choice((1, 2, 3))
        with Paced(rhythm, dict(max_inflight=rng.choice((1, 4, 64)))) as d:
            index = nl.attach(d, 'd', lanes=lanes)
            device = '/dev/vxhs%d' % index
            stop, strange, turns = [], [], [0] * 10

            def hammer(n):
                fd = os.open(device, os.O_RDWR | os.O_DIRECT)
                raw = None
                try:
                    raw = Raw(device)
                    while not stop:
                        size = 65536 if n % 2 else 4096
                        data = bytes([n, turns[n] & 0xff]) * (size // 2)
                        raw.write(data, n * 65536)
                        check(raw.read(n * 65536, size) == data,
                              'wrong data')
                        turns[n] += 1
                except Exception as exc:
                    strange.append(exc)
                finally:
                    os.close(fd)
                    if raw:
                        raw.close()
            threads = [threading.Thread(target=hammer, args=(n,), daemon=True)
                       for n in range(10)]
            for thread in threads:
                thread.start()
            for _ in range(rng.randrange(1, 2 * lanes + 2)):
                time.sleep(rng.random() * 0.2)
                conns = [c for c in list(d.conns) if c.login]
                if conns:
                    cuts += 1
                    cut(d, rng.choice(conns), rng.randrange(2))
            seen = turns[:]
            eventually(lambda: strange or all(
                now > then for now, then in zip(turns, seen)),
                'I/O does not go on, round %d' % rounds, 30)
            stop.append(1)
            for thread in threads:
                thread.join(30)
                check(not thread.is_alive(), 'I/O hangs, round %d' % rounds)
            equal(strange, [])
            session = all_lanes(device)
            equal((session['state'], show(device)['errors']), ('live', 0))
            settle()
            vm.detach(device)
    nl.close()
    eventually(lambda: not vm.lane_threads(), 'threads of lanes stay')
    print('# %d rounds, %d cuts' % (rounds, cuts))


@test
def threads_come_and_go_with_the_session():
    with NativeServer(disks(('d', 'e'))) as d:
        equal(vm.lane_threads(), [])
        a = attach(d, 'd', '--lanes', 2, '--poll-lanes', 1)
        b = attach(d, 'e')
        equal(vm.lane_threads(), ['vxhs_lane/%d' % i for i in range(3)])
        settle()
        detach(a)
        equal(len(vm.lane_threads()), 3)
        detach(b)
        eventually(lambda: not vm.lane_threads(), 'threads stay')
    refused('', 'attach', host(d), 'd', '--lanes', 8)
    eventually(lambda: not vm.lane_threads(), 'threads stay')


# ------------------------------------------------------------ memory


@test
def under_memory_pressure():
    """Writeback of more than there is memory, beside one who takes it all."""
    with Vxhsd('d=%s/d,size=512M' % tmpdir()) as d:
        device = attach(d, 'd', '--lanes', 2)
        settle()
        hog = subprocess.Popen([sys.executable, '-c', '''
import mmap, time
keep = []
while True:
    with open('/proc/meminfo') as file:
        free = int(file.read().split('MemAvailable:')[1].split()[0])
    if free > 100 << 10:
        m = mmap.mmap(-1, 8 << 20)
        for at in range(0, 8 << 20, 4096):
            m[at] = 1
        keep.append(m)
    else:
        time.sleep(0.05)
'''])
        try:
            size = 24 if vm.LIGHT else 96
            process = load(
                dict(rw='write', bs='1m', direct=0, offset='16m',
                     size='%dm' % size, end_fsync=1),
                dict(rw='randrw', iodepth=32, io_size='4m', offset=0,
                     size='8m', verify='crc32c', verify_fatal=1),
                filename=device)
            eventually(lambda: process.poll() is not None, 'it hangs', 240)
            done(process)
        finally:
            hog.kill()
            hog.wait()
        equal(show(device)['errors'], 0)
        settle()
        detach(device)
        vm.gone(d)


# ------------------------------------------------------------ many vdisks

MANY = 128 if vm.LIGHT else 256


def attach_many(d, names):
    nl = genl.Genl()
    indexes = [nl.attach(d, name) for name in names]
    settle()
    return nl, ['/dev/vxhs%d' % i for i in indexes]


def detach_many(nl, devices):
    settle()
    for device in devices:
        try:
            nl.detach(int(device.rpartition('vxhs')[2]))
        except genl.Error as exc:   # udev looks at it
            equal(exc.errno, errno.EBUSY)
            detach(device)
    nl.close()


@test
def many_vdisks_with_io_on_all():
    names = ['v%d' % i for i in range(MANY)]
    sh('modprobe vxhs')
    with Vxhsd(*('%s=memory,size=1M' % n for n in names)) as d:
        nl, devices = attach_many(d, names)
        wrong = []

        def busy(n):
            rng = random.Random(n)
            try:
                with Raw(devices[n]) as raw:
                    for i in range(8):
                        data = rng.randbytes(4096 << i % 3)
                        raw.write(data, i << 16)
                        equal(raw.read(i << 16, len(data)) == data, True,
                              'right data')
                    raw.flush()
            except Exception as exc:
                wrong.append('%s: %s' % (names[n], exc))
        threads = [threading.Thread(target=busy, args=(n,))
                   for n in range(MANY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            check(not thread.is_alive(), 'I/O hangs')
        equal(wrong, [])
        detach_many(nl, devices)
        vm.gone(d)


@test
def one_busy_among_many_gets_its_depth():
    """All did I/O at once; soon the one that goes on has its depth again."""
    names = ['v%d' % i for i in range(MANY)]
    sh('modprobe vxhs')
    with Paced(in_bursts, disks=disks(names, 1 << 20)) as d:
        nl, devices = attach_many(d, names)
        fds = [os.open(p, os.O_RDONLY | os.O_DIRECT) for p in devices]
        threads = []

        def read(fd):
            equal(os.preadv(fd, [mmap.mmap(-1, 4096)], 8192), 4096)
        for fd in fds:
            threads.append(threading.Thread(target=read, args=(fd,)))
            threads[-1].start()
        for thread in threads:
            thread.join(60)
            check(not thread.is_alive(), 'a read hangs')
        for fd in fds:
            os.close(fd)
        settle()

        def depth():
            d.most = 0
            nothing_forgotten(load(dict(
                filename=devices[MANY // 2], rw='randread', iodepth=32,
                size='1m', number_ios=128)), d, devices[MANY // 2])
            return d.most
        print('# at once: %d in flight' % depth())
        time.sleep(5)
        got = depth()
        print('# later: %d in flight' % got)
        check(got == 32, '%d in flight, not 32' % got)
        equal(d.errors, [])
        detach_many(nl, devices)


@test
def a_request_without_an_answer_is_reported():
    """Each --io-timeout, though the block layer asks each 2 s; and it ends
    well."""
    if vm.LIGHT:
        return
    held = []

    def hook(conn, req, payload):
        if req.op == WRITE and not held:
            held.append((conn, d.answer(conn, req, payload)))
            return True
        return False
    with NativeServer(disks(), on_io=hook) as d:
        device = attach(d, 'd', '--lanes', 1, '--io-timeout', 8)
        settle()
        kmsg = vm.Kmsg()
        with Raw(device) as raw:
            begun = time.monotonic()
            thread = threading.Thread(target=raw.write, args=(b'w' * 4096,))
            thread.start()

            def lines():
                return [l for l in kmsg.vxhs() if 'waits for' in l]
            eventually(lines, 'no message after 8 s', 14)
            check(time.monotonic() - begun > 7, 'the message comes early')
            time.sleep(4)
            equal(len(lines()), 1, 'messages')
            eventually(lambda: len(lines()) == 2, 'no message after 16 s', 10)
            held[0][0].sock.sendall(held[0][1])
            thread.join(20)
        check('WRITE at sector 0' in lines()[0], lines()[0])
        equal((show(device)['errors'], show(device)['slow']), (0, 1))
        detach(device)
        kmsg.close()


test(vm.nothing_is_left)


if __name__ == '__main__':
    if 'LANES' in os.environ and not sys.argv[1:]:
        sys.argv += GATHERED + ['nothing_is_left']
    main()
