#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: CRC32C of headers and data, asked for or not. Data that is
damaged on the way is sent again, without an error; what is damaged for ever
fails alone; a damaged header ends the lane. LIGHT=1 leaves out what only
repeats a path."""

import errno
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from relay import DOWN, UP, Relay
from vm import (Kmsg, Raw, attach, detach, host, refused, settle, sh, show,
                vxhsctl)
from vxhs import (BAD_CRC, F_DATA_CRC, F_HEADER_CRC, FLUSH, READ,
                  WRITE, NativeServer, reply)

BOTH = F_HEADER_CRC | F_DATA_CRC
RESENDS = 3                     # after that the request fails
SIZES = (512, 4096, 65536) if vm.LIGHT else (512, 4096, 5120, 65536, 262144)
HEADER_CRC = "a header's CRC is wrong"
DATA_CRC = "a payload's CRC is wrong"


def disks(*names):
    return {n: vxhs.Disk(16 << 20) for n in names or ('d',)}


def server(hook=None, features=BOTH, **kw):
    return NativeServer(kw.pop('disks', None) or disks(), features=features,
                        on_io=hook, **kw)


def attached(d, *options, lanes=1):
    device = attach(d, 'd', '--digests', '--lanes', lanes, *options)
    settle()
    return device


def queue(device, name):
    with open('/sys/block/%s/queue/%s' % (os.path.basename(device),
                                          name)) as file:
        return file.read().strip()


def flipped(data, at):
    data = bytearray(data)
    data[at] ^= 0x10
    return data


class Damage:
    """A hook that damages the next replies to requests of some kind, until
    so many of them were."""

    def __init__(self, op, damage):
        self.op, self.damage = op, damage
        self.left = 0
        self.fired = 0
        self.server = None

    def __call__(self, conn, req, payload):
        if not self.left or req.op != self.op:
            return False
        self.left -= 1
        self.fired += 1
        self.damage(self.server, conn, req, payload)
        return True


def damaged_read(at=0):
    def damage(d, conn, req, payload):
        data = d.answer(conn, req, payload)
        conn.send(flipped(data, 32 + at % req.length))
    return Damage(READ, damage)


def refused_write():
    def damage(d, conn, req, payload):
        check(d.intact(conn, req, payload), 'a WRITE came damaged')
        conn.send(reply(req, status=BAD_CRC, features=conn.features))
    return Damage(WRITE, damage)


@test
def what_show_says():
    with server(disks=disks('d', 'e', 'f')) as d:
        device = attached(d)
        shown = show(device)
        equal((shown['session']['digests'], shown['resends'],
               shown['session']['poll_lanes']), (True, 0, 0))
        text = vxhsctl('show', device)[0]
        check('CRC32C' in text and 'resends' in text, text)
        equal(queue(device, 'stable_writes'), '1', 'stable pages')
        # Without digests it is another session, with them the same.
        plain = attach(d, 'e', '--lanes', 1, '--no-digests')
        same = attach(d, 'f', '--digests')
        shown = [show(p)['session'] for p in (device, plain, same)]
        equal([s['digests'] for s in shown], [True, False, True])
        equal([s['digests_asked'] for s in shown],
              ['required', 'none', 'required'])
        check(shown[1]['id'] != shown[0]['id'], 'sessions merged')
        equal(shown[2]['id'], shown[0]['id'])
        equal(queue(plain, 'stable_writes'), '0', 'stable pages')
        check('none' in vxhsctl('show', plain)[0], 'digests: none')
        settle()
        vm.detach_all()
        vm.gone(d)
        equal(d.errors, [])


@test
def who_does_not_offer_them_is_refused():
    servers = [vxhs.V34Server(disks())]
    for features in (0, F_HEADER_CRC, F_DATA_CRC):
        servers.append(server(features=features))
    for d in servers:
        with d:
            refused(['server', 'digests'], 'attach', host(d), 'd',
                    '--digests')
            vm.gone(d)
            # It is good for an attach that does not insist.
            device = attach(d, 'd', '--lanes', 1)
            settle()
            detach(device)
            equal(d.errors, [])
    vxhsctl('attach', 'h', 'd', '--digests', 'x', status=2)
    vxhsctl('attach', 'h', 'd', '--digests', '--no-digests', status=2)


@test
def they_are_on_where_the_server_has_them():
    none = 'none, the server does no more'
    for features, text, stable, options in (
            (BOTH, 'CRC32C', '1', ()), (0, none, '0', ()),
            (F_HEADER_CRC, 'CRC32C of headers, the server does no more', '0',
             ()),
            (F_DATA_CRC, 'CRC32C of data, the server does no more', '1', ()),
            (None, none, '0', ()), (BOTH, 'none', '0', ('--no-digests',))):
        logins = []

        def on_login(conn, req, payload):
            logins.append(vxhs.parse_login(payload).features)
            return False
        with vxhs.V34Server(disks()) if features is None else \
                server(features=features, on_login=on_login) as d:
            device = attach(d, 'd', '--lanes', 2, *options)
            settle()
            shown = show(device)['session']
            equal((shown['digests'], shown['digests_asked']),
                  (text == 'CRC32C', 'none' if options else 'preferred'))
            lines = vxhsctl('show', device)[0].split('\n')
            equal([l.split(':', 1)[1].strip() for l in lines
                   if l.startswith('digests:')], [text])
            equal(queue(device, 'stable_writes'), stable, 'stable pages')
            with Raw(device) as raw:
                raw.write(b'm' * 4096, 4096)
                equal(raw.read(4096), b'm' * 4096)
            detach(device)
            # What STAT asked for, so that the server sees what was changed.
            wants = 0 if options else BOTH
            equal(logins, [] if features is None else
                  [vxhs.F_EVENTS | wants, vxhs.F_EVENTS | wants & features])
            equal((d.errors, getattr(d, 'damaged', 0)), ([], 0))


@test
def what_protects_a_disk_does_not_end_unseen():
    """Its server comes back without digests: it is not used. One that had
    none and has them now is not asked: pages are as they were at attach."""
    offers = []

    def on_stat(conn, head):
        offers.append(vxhs.get_offer(head).features & BOTH)
        return False
    words = 'protected this session'
    for worse in (0, F_HEADER_CRC, F_DATA_CRC) if vm.LIGHT else (0,):
        with server(on_stat=on_stat) as d:
            device = attach(d, 'd', '--lanes', 1)
            settle()
            with Raw(device) as raw:
                raw.write(b'o' * 4096)
                with vm.Recovers(device):
                    d.features = worse
                    d.drop()
                    eventually(lambda: words in
                               show(device)['session']['reason'],
                               'the reason is another one', 20)
                    equal(show(device)['session']['state'], 'recovering')
                    d.features = BOTH
                equal(vm.in_time(raw.read), b'o' * 4096)
            equal(show(device)['session']['digests'], True)
            detach(device)
            equal(d.errors, [])
    offers.clear()
    with server(features=0, on_stat=on_stat) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        equal(offers, [BOTH])
        with vm.Recovers(device):
            d.features = BOTH
            d.drop()
        equal((offers[1:], show(device)['session']['digests']), ([0], False))
        with Raw(device) as raw:
            raw.write(b'p' * 4096)
        detach(device)
        equal(d.errors, [])


@test
def an_offer_that_is_changed_on_the_way():
    """vxhsd sees from LOGIN what STAT did not say; the driver from its reply
    what was not chosen."""
    with Vxhsd('d=memory,size=8M') as d, Relay(d) as relay:
        for way in (UP, DOWN):
            for bit in (0, 1):
                relay.flip(way, 236 * 8 + bit)
                refused('server', 'attach', host(relay), 'd', '--lanes', 1)
        equal(relay.flipped, 4)
        vm.gone(d)


@test
def a_lane_that_does_not_offer_them_is_refused():
    seen = []

    def on_stat(conn, head):
        seen.append(conn)
        if len(seen) == 2:
            d.features = F_HEADER_CRC
        return False
    with server(on_stat=on_stat) as d:
        refused('digests', 'attach', host(d), 'd', '--digests', '--lanes', 3)
        vm.gone(d)


@test
def a_choice_that_the_login_denies():
    with server(grant=dict(features=0)) as d:
        refused('features', 'attach', host(d), 'd', '--digests')
        vm.gone(d)


def fio(device, *options):
    sh('fio --name=v --filename=%s --verify=crc32c --verify_fatal=1 '
       '--ioengine=io_uring --thread=1 --randseed=7 --output-format=terse %s'
       % (device, ' '.join(options)), timeout=200)


@test
def verified_io():
    with Vxhsd('d=memory,size=32M', 'e=%s/e,size=32M' % tmpdir()) as d:
        for name, lanes in (('d', 1), ('e', 3)):
            device = attach(d, name, '--digests', '--lanes', lanes)
            settle()
            for mode in ('--direct=1', '--direct=0'):
                fio(device, '--rw=randrw --bsrange=512-1m --bs_unaligned=0 '
                    '--blockalign=512 --iodepth=16 --size=32m --io_size=%s' %
                    ('4m' if vm.LIGHT else '8m'), mode)
            fio(device, '--rw=randwrite --bs=512 --iodepth=64 --size=512k '
                '--direct=1')
            shown = show(device)
            equal((shown['errors'], shown['resends'],
                   shown['session']['lanes_up']), (0, 0, lanes))
            settle()
            detach(device)
        vm.gone(d)


@test
def a_filesystem():
    with Vxhsd('d=memory,size=64M') as d:
        device = attached(d, lanes=2)
        mount = tmpdir()
        sh('mkfs.ext4 -q -F %s && mount %s %s' % (device, device, mount))
        try:
            sh('dd if=/dev/urandom of=%s/a bs=64k count=%d 2>/dev/null; '
               'cp %s/a %s/b; sync; echo 3 >/proc/sys/vm/drop_caches; '
               'cmp %s/a %s/b' % (mount, 32 if vm.LIGHT else 64, mount,
                                  mount, mount, mount))
        finally:
            sh('umount ' + mount)
        sh('e2fsck -fn ' + device)
        equal((show(device)['errors'], show(device)['resends']), (0, 0))
        settle()
        detach(device)
        vm.gone(d)


@test
def a_damaged_read_is_sent_again():
    for times in (1, RESENDS):
        for size in SIZES:
            hook = damaged_read(size - 1 if times == 1 else size // 2)
            with server(hook) as d:
                hook.server = d
                data = random.Random(size).randbytes(size)
                d.disks['d'].write(8192, data)
                device = attached(d)
                with Raw(device) as raw:
                    hook.left = times
                    equal(raw.read(8192, size) == data, True, 'right data')
                equal(hook.fired, times)
                shown = show(device)
                equal((shown['resends'], shown['errors'],
                       shown['session']['lanes_up']), (times, 0, 1))
                detach(device)
                equal(d.errors, [])


@test
def a_read_that_is_always_damaged_fails_alone():
    at = 1 << 20

    def bad(conn, req, payload):
        if not armed or req.op != READ or req.offset // 4096 != at // 4096:
            return False
        tries.append(req)
        conn.send(flipped(d.answer(conn, req, payload), 40))
        return True
    armed, tries = [], []
    with server(bad) as d:
        device = attached(d)
        armed.append(1)
        ending, errors, reads = [], [], []

        def neighbour():
            try:
                with Raw(device) as raw:
                    while not ending:
                        raw.write(b'n' * 4096, 8192)
                        equal(raw.read(8192), b'n' * 4096)
                        reads.append(1)
            except Exception as exc:
                errors.append(exc)
        thread = threading.Thread(target=neighbour)
        thread.start()
        try:
            with Raw(device) as raw:
                for i in range(1, 4):
                    vm.fails(errno.EILSEQ, raw.read, at)
                    equal(len(tries), i * (RESENDS + 1), 'tries')
                    shown = show(device)
                    equal((shown['resends'], shown['errors']),
                          (i * RESENDS, i))
                raw.read(at + 4096)
                raw.flush()
        finally:
            ending.append(1)
            thread.join(30)
        equal(errors, [])
        check(reads, 'the neighbour did nothing')
        equal(show(device)['session']['lanes_up'], 1)
        settle()
        detach(device)
        equal(d.errors, [])


@test
def a_write_answered_bad_crc_is_sent_again():
    for times in (1, RESENDS):
        for size in SIZES:
            hook = refused_write()
            with server(hook) as d:
                hook.server = d
                data = random.Random(size).randbytes(size)
                device = attached(d)
                with Raw(device) as raw:
                    hook.left = times
                    raw.write(data, 4096)
                equal(bytes(d.disks['d'].read(4096, size)) == data, True,
                      'right data')
                equal((hook.fired, d.seen[WRITE], d.damaged),
                      (times, times + 1, 0))
                shown = show(device)
                equal((shown['resends'], shown['errors']), (times, 0))
                detach(device)
                equal(d.errors, [])


@test
def a_write_that_is_always_bad_fails_alone():
    hook = refused_write()
    with server(hook) as d:
        hook.server = d
        device = attached(d)
        with Raw(device) as raw:
            for i in range(1, 3):
                hook.left = RESENDS + 1
                vm.fails(errno.EILSEQ, raw.write, b'x' * 4096)
                equal((hook.left, hook.fired), (0, i * (RESENDS + 1)))
                raw.write(b'y' * 4096)
                equal(raw.read(), b'y' * 4096)
                raw.flush()
        shown = show(device)
        equal((shown['resends'], shown['errors'],
               shown['session']['lanes_up']), (2 * RESENDS, 2, 1))
        detach(device)
        equal(d.errors, [])


@test
def writes_that_flush():
    """A resend within the block layer's sequence of flush, write, flush."""
    caps = vxhs.CAP_FLUSH | vxhs.CAP_FUA
    for caps in (caps, vxhs.CAP_FLUSH, 0):
        hook = refused_write()
        with server(hook, geometry=dict(caps=caps)) as d:
            hook.server = d
            device = attached(d)
            fd = os.open(device, os.O_RDWR | os.O_DSYNC)
            hook.left = 2
            equal(os.pwrite(fd, b'sync' * 1024, 8192), 4096)
            hook.left = RESENDS + 1
            vm.fails((errno.EILSEQ, errno.EIO), os.pwrite, fd, b's' * 4096, 0)
            equal(os.pwrite(fd, b'more' * 1024, 4096), 4096)
            os.fsync(fd)
            os.close(fd)
            equal(d.disks['d'].read(4096, 8192), b'more' * 1024 +
                  b'sync' * 1024)
            check(show(device)['resends'] == 2 + RESENDS, 'resends')
            settle()
            detach(device)
            equal(d.errors, [])


@test
def writeback_that_is_damaged():
    hook = refused_write()
    with server(hook) as d:
        hook.server = d
        device = attached(d)
        hook.left = RESENDS     # it may be one request
        with open(device, 'r+b') as file:
            file.write(b'writeback' * 30000)
            file.flush()
            os.fsync(file.fileno())
        check(hook.fired, 'nothing was damaged')
        equal(bytes(d.disks['d'].read(0, 270000)) == b'writeback' * 30000,
              True, 'right data')
        equal(show(device)['errors'], 0)
        settle()
        detach(device)
        equal(d.errors, [])


class Scribbler:
    """A process that goes on writing to memory that is shared with it."""

    def __init__(self, buf):
        self.pid = os.fork()
        if not self.pid:
            n = 0
            while True:
                n = n + 1 & 0xff
                for at in range(0, len(buf), 512):
                    buf[at] = n

    def end(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


@test
def a_buffer_that_changes_in_flight():
    """The second copy is one that nobody can change: its CRC is right."""
    writes, armed = [], []

    def hook(conn, req, payload):
        if req.op == READ and armed:
            conn.send(d.answer(conn, req, payload))
            conn.flush()
            time.sleep(1)       # what follows waits in the socket
            return True
        if req.op == WRITE and armed:
            writes.append(d.intact(conn, req, payload))
            if not writes[-1]:
                conn.send(d.answer(conn, req, payload))
                conn.flush()
                time.sleep(1)
                return True
        return False
    with server(hook) as d:
        device = attached(d)
        for size in (512, 4096, 65536):
            buf = mmap.mmap(-1, size)
            scribbler = Scribbler(buf)
            fd = os.open(device, os.O_RDWR | os.O_DIRECT)
            writes.clear()
            armed.append(1)
            try:
                with Raw(device) as raw:
                    raw.read(1 << 20)
                    equal(os.pwritev(fd, [buf], 0), size)
            finally:
                armed.clear()
                scribbler.end()
                os.close(fd)
            equal(writes, [False, True], 'intact WRITEs')
            buf.close()
        shown = show(device)
        equal((shown['resends'], shown['errors']), (3, 0))
        settle()
        detach(device)
        equal(d.errors, [])


@test
def a_copy_of_many_odd_pieces():
    """The most pages that a request can have, none of them aligned."""
    size = 256 << 10 if vm.LIGHT else 1 << 20
    hook = refused_write()
    with server(hook) as d:
        hook.server = d
        device = attached(d)
        room = mmap.mmap(-1, 4 * size)
        fd = os.open(device, os.O_RDWR | os.O_DIRECT)
        for shift, piece in ((4, size), (2052, size), (508, 4096)):
            data = random.Random(shift).randbytes(size)
            views = []
            for n, at in enumerate(range(0, size, piece)):
                begin = n * (piece + 4096) + shift
                view = memoryview(room)[begin:begin + piece]
                view[:] = data[at:at + piece]
                views.append(view)
            hook.left = 1
            equal(os.pwritev(fd, views, 0), size)
            equal(bytes(d.disks['d'].read(0, size)) == data, True, 'data')
            for view in views:
                view.release()
        os.close(fd)
        shown = show(device)
        check((shown['resends'], shown['errors']) == (3, 0), repr(shown))
        settle()
        detach(device)
        equal(d.errors, [])


@test
def buffers_that_change_under_load():
    with Vxhsd('d=memory,size=16M') as d:
        device = attached(d, lanes=2)
        size = 65536
        buf = mmap.mmap(-1, size)
        scribblers = [Scribbler(buf) for _ in range(2)]
        errors = []

        def writer(n):
            fd = os.open(device, os.O_RDWR | os.O_DIRECT)
            try:
                for i in range(20 if vm.LIGHT else 100):
                    equal(os.pwritev(fd, [buf], (n * 16 + i % 16) * size),
                          size)
            except Exception as exc:
                errors.append(exc)
            finally:
                os.close(fd)
        threads = [threading.Thread(target=writer, args=(n,))
                   for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            check(not thread.is_alive(), 'a write hangs')
        for scribbler in scribblers:
            scribbler.end()
        equal(errors, [])
        shown = show(device)
        equal(shown['errors'], 0)
        print('# %d WRITEs were sent again' % shown['resends'])
        settle()
        detach(device)
        vm.gone(d)


@test
def many_damaged_at_depth():
    """Each third READ and each fifth WRITE, while fio verifies."""
    count = [0]

    def hook(conn, req, payload):
        if not armed or req.op not in (READ, WRITE):
            return False
        count[0] += 1
        if req.op == READ and count[0] % 3 == 0:
            conn.send(flipped(d.answer(conn, req, payload),
                              32 + count[0] % req.length))
            return True
        if req.op == WRITE and count[0] % 5 == 0:
            conn.send(reply(req, status=BAD_CRC, features=conn.features))
            return True
        return False
    armed = []
    for options, lanes in (((), 1), ((), 3), (('--poll-lanes', 1), 1)):
        count[0] = 0
        with server(hook) as d:
            device = attached(d, *options, lanes=lanes)
            armed.append(1)
            # One that is damaged again and again may fail in the end, but
            # what was read is right.
            sh('fio --name=v --filename=%s --verify=crc32c --direct=1 '
               '--ioengine=io_uring --thread=1 --rw=randrw --bsrange=512-8k '
               '--blockalign=512 --iodepth=16 --size=512k --io_size=%s '
               '--continue_on_error=all --output-format=terse %s; exit 0' %
               (device, '256k' if vm.LIGHT else '1m',
                '--hipri=1' if options else ''), timeout=200)
            armed.clear()
            shown = show(device)
            check(shown['resends'] > 10, 'resends: %d' % shown['resends'])
            equal(shown['session']['lanes_up'], shown['session']['lanes'])
            settle()
            with Raw(device) as raw:
                for at in range(0, 512 << 10, 65536):
                    equal(raw.read(at, 65536) ==
                          bytes(d.disks['d'].read(at, 65536)), True, 'data')
            detach(device)
            equal(d.errors, [])


@test
def resent_while_its_lane_dies():
    """A damaged reply is the last that a lane brings: each READ gets its data
    all the same, and the lanes come back."""
    for how in range(4 if vm.LIGHT else 8):
        def last(d, conn, req, payload):
            data = flipped(d.answer(conn, req, payload), 50)
            conn.sock.sendall(data if how % 2 else data * 2)
            if how % 4 > 1:
                conn.sock.setsockopt(1, 13, struct.pack('ii', 1, 0))
            raise vxhs.Closed('on purpose')
        hook = Damage(READ, last)
        with server(hook) as d:
            hook.server = d
            device = attached(d, lanes=2)
            data = [bytes([65 + i]) * 4096 for i in range(8)]
            for i in range(8):
                d.disks['d'].write(i << 16, data[i])
            hook.left = 2 if how > 5 else 1
            results = []

            def reader(i):
                try:
                    with Raw(device, os.O_RDONLY) as raw:
                        for _ in range(4):
                            check(raw.read(i << 16) == data[i], 'wrong data')
                except Exception as exc:
                    results.append(exc)
            threads = [threading.Thread(target=reader, args=(i,), daemon=True)
                       for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
                check(not thread.is_alive(), 'a read hangs')
            equal((results, hook.left), ([], 0))
            eventually(lambda: show(device)['session']['lanes_up'] == 2,
                       'a lane does not come back')
            shown = show(device)
            equal((shown['errors'], shown['session']['state']), (0, 'live'))
            settle()
            detach(device)
            equal(d.errors, [])


@test
def bad_crc_where_it_makes_no_sense():
    def status(d, conn, req, payload):
        conn.send(reply(req, status=BAD_CRC, features=conn.features))
    for features, ops in ((BOTH, (READ, FLUSH)),
                          (0, (READ, WRITE, FLUSH))):
        for op in ops:
            hook = Damage(op, status)
            with server(hook, features=features) as d:
                hook.server = d
                device = attach(d, 'd', '--lanes', 1,
                                *(['--digests'] if features else []))
                settle()
                with Raw(device) as raw:
                    io = {READ: raw.read, FLUSH: raw.flush,
                          WRITE: lambda: raw.write(b'x' * 4096)}[op]
                    hook.left = 1
                    vm.fails(errno.EIO, io)
                    equal(hook.fired, 1)
                    io()
                shown = show(device)
                equal((shown['resends'], shown['errors'],
                       shown['session']['lanes_up']), (0, 1, 1))
                detach(device)
                equal(d.errors, [])


def read_right(raw):
    equal(raw.read(8192), b'a' * 4096)


def write_and_read(raw):
    raw.write(b'w' * 4096, 8192)
    equal(raw.read(8192), b'w' * 4096)


def ends_the_lane(hook, words, io):
    with server(hook) as d:
        hook.server = d
        device = attached(d)
        d.disks['d'].write(8192, b'a' * 4096)
        with Raw(device) as raw:
            kmsg, conns = Kmsg(), set(d.conns)
            with vm.Recovers(device):
                hook.left = 1
                vm.in_time(io, raw)
                equal(hook.fired, 1)
                lines = eventually(
                    lambda: [l for l in kmsg.vxhs() if words in l],
                    '"%s" is not in the log: %r' % (words, kmsg.lines), 5)
                equal(len(lines), 1, 'messages')
                eventually(lambda: not conns & d.conns, 'the lane stays open',
                           5)
            vm.in_time(raw.read)
            kmsg.close()
        # By a new connection, not by what mends a damaged payload.
        shown = show(device)
        equal((shown['errors'], shown['resends']), (0, 0))
        settle()
        detach(device)
        equal(d.errors, [])


@test
def a_damaged_header_ends_the_lane():
    def at(offset):
        def damage(d, conn, req, payload):
            conn.send(flipped(d.answer(conn, req, payload), offset))
        return damage
    # Not the magic: that has a rule of its own. For every bit of it see
    # each_bit_of_a_frame().
    for offset, op, io in ((4, READ, read_right), (8, READ, read_right),
                           (20, READ, read_right), (28, READ, read_right),
                           (28, WRITE, write_and_read),
                           (28, FLUSH, lambda raw: raw.flush())):
        ends_the_lane(Damage(op, at(offset)), HEADER_CRC, io)


@test
def a_damaged_flush_body_ends_the_lane():
    def damage(d, conn, req, payload):
        conn.send(flipped(d.answer(conn, req, payload), 33))
    ends_the_lane(Damage(FLUSH, damage), DATA_CRC, lambda raw: raw.flush())


@test
def damaged_answers_to_commands():
    def damage(at):
        def hook(conn, req, payload):
            conn.send(flipped(hook.server.answer(conn, req, payload), at))
            return True
        return hook
    def tell_of_it(d, words, tries=3):
        """It may be in the middle of a try when its time is over."""
        try:
            refused(["crc", words], 'attach', host(d), 'd', '--digests')
        except AssertionError as exc:
            if tries == 1 or 'does not answer OPEN' not in str(exc):
                raise
            tell_of_it(d, words, tries - 1)
    def case(step, at, words):
        hook = damage(at)
        with server(**{step: hook}) as d:
            hook.server = d
            tell_of_it(d, words)
            vm.gone(d)
    # OPEN is tried until the attach's time is over: all at the same time.
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(case, step, at, words)
                     for step in ('on_login', 'on_open')
                     for at, words in ((6, 'header'), (29, 'header'),
                                       (32, 'payload'), (60, 'payload'))]:
            done.result()


@test
def payloads_in_any_pieces():
    rng = random.Random(5)

    def pieces(d, conn, req, payload):
        data = bytes(d.answer(conn, req, payload))
        conn.flush()
        cuts = sorted(rng.sample(range(1, len(data)), 12))
        for begin, end in zip([0] + cuts, cuts + [len(data)]):
            conn.sock.sendall(data[begin:end])
            time.sleep(0.002)
    hook = Damage(READ, pieces)
    with server(hook) as d:
        hook.server = d
        d.disks['d'].write(0, rng.randbytes(1 << 20))
        device = attached(d)
        with Raw(device) as raw:
            for size in SIZES * (1 if vm.LIGHT else 3):
                hook.left = 1
                at = rng.randrange(1024) * 512
                equal(raw.read(at, size) == bytes(
                    d.disks['d'].read(at, size)), True, 'right data')
        equal(hook.left, 0)
        equal((show(device)['resends'], show(device)['errors']), (0, 0))
        detach(device)
        equal(d.errors, [])


@test
def every_boundary_of_a_small_payload():
    def pieces(d, conn, req, payload):
        data = bytes(d.answer(conn, req, payload))
        conn.flush()
        conn.sock.sendall(data[:hook.cut])
        time.sleep(0.002)
        conn.sock.sendall(data[hook.cut:])
    hook = Damage(READ, pieces)
    with server(hook) as d:
        hook.server = d
        data = random.Random(9).randbytes(512)
        d.disks['d'].write(0, data)
        device = attached(d)
        with Raw(device) as raw:
            for hook.cut in range(1, 544, 37 if vm.LIGHT else 11):
                hook.left = 1
                equal(raw.read(0, 512), data, 'cut at %d' % hook.cut)
        equal((show(device)['resends'], show(device)['errors']), (0, 0))
        detach(device)
        equal(d.errors, [])


class Sweep(threading.Thread):
    """A session of its own, through a relay that turns bits over. The disk
    has a pattern; whatever comes damaged, that is what is read, and what is
    written is there."""

    BLOCK = 512

    def __init__(self, d, number):
        super().__init__()
        self.number = number
        self.rng = random.Random(number)
        self.relay = Relay(d)
        self.device = attach(self.relay, 'd%d' % number, '--lanes', 1,
                             '--source', '127.0.0.%d' % (2 + number),
                             '--reconnect-delay', 0.1)
        self.raw = Raw(self.device)
        self.data = self.rng.randbytes(64 << 10)
        self.raw.write(self.data)
        self.error = None
        self.flips = 0          # that must have ended a lane
        self.damaged = 0        # that must have been sent again

    def block(self):
        return self.rng.randrange(len(self.data) // self.BLOCK) * self.BLOCK

    def read(self, *flip):
        at = self.block()
        self.turn(flip)
        got = vm.in_time(self.raw.read, at, self.BLOCK)
        equal(got == self.data[at:at + self.BLOCK], True,
              'right data with %r turned over' % (flip,))
        self.turned(flip)

    def write(self, *flip):
        at, new = self.block(), self.rng.randbytes(self.BLOCK)
        self.turn(flip)
        vm.in_time(self.raw.write, new, at)
        self.turned(flip)
        self.data = self.data[:at] + new + self.data[at + self.BLOCK:]
        got = vm.in_time(self.raw.read, at, self.BLOCK)
        equal(got == new, True, 'what was written with %r turned over' %
              (flip,))

    def turn(self, flip):
        if flip:
            self.relay.flip(*flip)

    def turned(self, flip):
        check(not flip or not self.relay.ahead, 'bit %r never came' % (flip,))

    def header(self, func, way, bits):
        for bit in bits:
            func(way, bit)
            self.flips += 1

    def payload(self, func, way, begin, count):
        for _ in range(count):
            func(way, begin + self.rng.randrange(self.BLOCK * 8))
            self.damaged += 1

    def first_bytes(self, way, size, count):
        """What comes before the first I/O of a connection."""
        for _ in range(count):
            # But for the size of STAT's payload, for which one would wait.
            byte = self.rng.choice([n for n in range(size)
                                    if not 4 <= n < 12])
            self.turn((way, byte * 8 + self.rng.randrange(8)))
            self.relay.drop()
            self.read()
            self.relay.forget()

    def run(self):
        def mine(bits, all_of_them):
            step = SWEEPS * (1 if all_of_them else 9)
            return range(self.number, bits, step)
        try:
            # What goes up is for vxhsd to find, see host_bits.py.
            self.header(self.read, DOWN, mine(32 * 8, vm.LIGHT))
            self.header(self.write, DOWN, mine(32 * 8, vm.LIGHT))
            self.header(self.write, UP, mine(48 * 8, False))
            self.header(self.read, UP, mine(48 * 8, False))
            self.payload(self.read, DOWN, 32 * 8, 5)
            self.payload(self.write, UP, 48 * 8, 5)
            begun = show(self.device)
            check(begun['session']['recoveries'] >= self.flips,
                  'a damaged header did not end its lane')
            # One may hit a PING.
            check(begun['resends'] >= self.damaged / 2, 'resends')
            self.first_bytes(DOWN, 256 + 48 + 96 + 112, 3)
            self.first_bytes(UP, 256 + 112 + 67, 3)
        except Exception as exc:
            self.error = exc


SWEEPS = 8


@test
def each_bit_of_a_frame():
    """Of the replies to READ and WRITE each bit of the headers (in the VM,
    where emulation is slow, each ninth), and some of payloads, of requests and
    of what comes before them."""
    with Vxhsd(*('d%d=memory,size=1M' % n for n in range(SWEEPS))) as d:
        sweeps = [Sweep(d, n) for n in range(SWEEPS)]
        settle()
        for sweep in sweeps:
            sweep.start()
        for sweep in sweeps:
            sweep.join(120)
            check(not sweep.is_alive(), 'it hangs')
        for sweep in sweeps:
            if sweep.error:
                raise sweep.error
            shown = show(sweep.device)
            equal(shown['errors'], 0)
            # As the server has it, past the relay.
            c, g = vxhs.opened(d, 'd%d' % sweep.number, vxhs.RO)
            equal(c.read(g.handle, 0, len(sweep.data))[1] == sweep.data, True,
                  'the data in the end')
            c.logout()
            sweep.raw.close()
            settle()
            detach(sweep.device)
            sweep.relay.__exit__()
        print('# %d bits of headers' % sum(s.flips for s in sweeps))
        vm.gone(d)


@test
def detach_while_it_is_sent_again():
    """The reader is killed while its request goes round."""
    def always(d, conn, req, payload):
        time.sleep(0.3)
        conn.send(flipped(d.answer(conn, req, payload), 40))
    for _ in range(3):
        hook = Damage(READ, always)
        with server(hook) as d:
            hook.server = d
            device = attached(d)
            hook.left = 1 << 30
            process = subprocess.Popen(
                ['dd', 'if=' + device, 'iflag=direct', 'bs=4k', 'count=1',
                 'of=/dev/null'], stderr=subprocess.DEVNULL)
            eventually(lambda: hook.fired, 'nothing was read')
            process.kill()
            detach(device)
            process.wait(20)
            vm.gone(d)


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
