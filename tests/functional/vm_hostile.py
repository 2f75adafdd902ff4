#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: the driver against servers that break the rules. Each breach
costs the lane and names the rule in one message of the kernel's log; the
session recovers, and the I/O is sent again and succeeds, unless it had its
answer. Nothing is left behind. LIGHT=1 leaves out what only
repeats a path; that is for slow kernels with sanitizers."""

import os
import random
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import check, equal, eventually, main, test
from vm import Kmsg, Raw, attach, detach, host, refused, settle, show
from vxhs import (FLUSH, LOGIN, PING, READ, WRITE, NativeServer, V34Server,
                  silent)

MIB = 16
EIO = 5
SOON = 0.1                      # until a v34 server gets it again
LIGHT = vm.LIGHT


def disks():
    return {'d': vxhs.Disk(MIB << 20)}


class Armed:
    """A hook that misbehaves once, after it was armed."""

    def __init__(self, func, ops):
        self.func, self.ops = func, ops
        self.armed = False
        self.fired = 0
        self.server = None

    def __call__(self, conn, req, *rest):
        if not self.armed or req.op not in self.ops:
            return False
        self.armed = False
        self.fired += 1
        self.func(self.server, conn, req, *rest)
        return True


def breach(kind, hook, words, io, features=0, failed=False):
    """One I/O meets a misbehaving server. With failed, it is answered with
    an error before the breach; else it is sent again and succeeds."""
    with kind(disks(), **({'hook': hook} if kind is V34Server else
                          {'on_io': hook, 'features': features})) as d:
        hook.server = d
        device = attach(d, 'd', '--lanes', 1, '--replay-delay', SOON)
        settle()
        with Raw(device) as raw:
            raw.write(b'a' * 4096, 8192)
            kmsg, conns = Kmsg(), set(d.conns)
            with vm.Recovers(device):
                hook.armed = True
                if failed:
                    vm.fails(EIO, io, raw)
                else:
                    vm.in_time(io, raw)
                equal(hook.fired, 1, 'breaches')
                if words:
                    lines = eventually(
                        lambda: [l for l in kmsg.vxhs() if words in l],
                        '"%s" is not in the log: %r' % (words, kmsg.vxhs()),
                        5)
                    equal(len(lines), 1, 'messages')
                eventually(lambda: not conns & d.conns, 'the lane stays open',
                           5)
            equal(d.accepted, 2, 'connections')
            # What was there is, and so is what was written.
            equal(vm.in_time(raw.read, 8192), b'a' * 4096)
            if io is write4k:
                equal(vm.in_time(raw.read, 4096), b'w' * 4096)
                equal(d.disks['d'].read(4096, 4096), b'w' * 4096)
            vm.in_time(raw.write, b'b' * 4096)
            equal(vm.in_time(raw.read, 0), b'b' * 4096)
            kmsg.close()
        shown = show(device)
        equal((shown['errors'], shown['lost'], shown['parked']),
              (int(failed), False, False), 'errors, lost, parked')
        if words:
            check(words in (shown['session']['reason'] or ''),
                  'reason: %r' % shown['session']['reason'])
        settle()
        detach(device)
        equal(d.errors, [])
        vm.gone(d)


def read4k(raw):
    equal(raw.read(8192, 4096), b'a' * 4096)


def write4k(raw):
    raw.write(b'w' * 4096, 4096)


def sync(raw):
    raw.flush()


NATIVE = {}
V34 = {}


def native(words, ops=(READ,), io=read4k, features=0, light=False,
           failed=False):
    def wrap(func):
        NATIVE[func.__name__] = (func, ops, words, io, features, light,
                                 failed)
        return func
    return wrap


def v34(words, ops=(vxhs.V34_READ,), io=read4k, light=False, failed=False):
    def wrap(func):
        V34[func.__name__] = (func, ops, words, io, 0, light, failed)
        return func
    return wrap


# What the driver's log calls the broken rules.
MAGIC = 'unknown magic'
TAG = 'a tag that is not in flight'
OPCODE = "opcode is not its request's"
LENGTH = 'payload_len disagrees'
STATUS = 'an error reply carries a payload'
RESERVED = 'a reserved field'
EVENT = 'an event was not negotiated'
MARKER = 'wrong marker'
COOKIE = 'a cookie that is not in flight'


@native(MAGIC, light=True)
def wrong_magic(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(req.length), magic=0x50525857))


@native(MAGIC)
def a_request_as_reply(d, conn, req, payload):
    conn.send(vxhs.request(READ, req.tag, length=req.length))


@native(MAGIC)
def garbage_instead_of_a_header(d, conn, req, payload):
    conn.send(random.Random(1).randbytes(70000))


@native(MAGIC)
def zeros_instead_of_a_header(d, conn, req, payload):
    conn.send(bytes(70000))


@native(RESERVED)
def reply_with_flags(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(req.length), flags=1))


def wrong_tag(name, change, light=False):
    def func(d, conn, req, payload):
        conn.send(vxhs.reply(req, bytes(req.length), tag=change(req.tag) &
                             ((1 << 64) - 1)))
    func.__name__ = name
    native(TAG, light=light)(func)


wrong_tag('tag_of_another_index', lambda t: t ^ 1, True)
wrong_tag('tag_of_a_far_index', lambda t: t ^ 0x8000)
wrong_tag('tag_of_another_queue', lambda t: t ^ 1 << 16)
wrong_tag('tag_of_a_far_queue', lambda t: t ^ 0xffff0000)
wrong_tag('tag_of_the_next_generation', lambda t: t + (1 << 32), True)
wrong_tag('tag_of_the_generation_before', lambda t: t - (1 << 32))
wrong_tag('tag_0', lambda t: 0)
wrong_tag('tag_of_all_ones', lambda t: (1 << 64) - 1, True)


@native(TAG)
def tag_with_swapped_halves(d, conn, req, payload):
    tag = (req.tag >> 32 | req.tag << 32) & ((1 << 64) - 1)
    if tag == req.tag:
        tag ^= 1
    conn.send(vxhs.reply(req, bytes(req.length), tag=tag))


@native(OPCODE, light=True)
def opcode_write_for_read(d, conn, req, payload):
    conn.send(vxhs.reply(req, op=WRITE))


@native(OPCODE, ops=(WRITE,), io=write4k)
def opcode_read_for_write(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(4096), op=READ))


@native(OPCODE)
def opcode_unknown(d, conn, req, payload):
    conn.send(vxhs.reply(req, op=0xee))


@native('')
def opcode_login(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(64), op=LOGIN))


def wrong_length(name, change, ops=(READ,), io=read4k, light=False):
    def func(d, conn, req, payload):
        n = change(req.length)
        conn.send(vxhs.reply(req, b'L' * min(n, 1 << 17), payload_len=n))
    func.__name__ = name
    native(LENGTH, ops, io, light=light)(func)


wrong_length('read_answered_shorter', lambda n: n - 512, light=True)
wrong_length('read_answered_with_nothing', lambda n: 0)
wrong_length('read_answered_longer', lambda n: n + 512, light=True)
wrong_length('read_answered_with_4_gib', lambda n: 0xffffffff, light=True)
wrong_length('write_answered_with_data', lambda n: 4096, (WRITE,), write4k)
wrong_length('flush_answered_with_too_much', lambda n: 16, (FLUSH,), sync)
wrong_length('flush_answered_with_too_little', lambda n: 4, (FLUSH,), sync,
             True)
wrong_length('flush_answered_with_nothing', lambda n: 0, (FLUSH,), sync)


@native(STATUS, light=True)
def error_with_a_payload(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(req.length), status=vxhs.IO))


@native(TAG, light=True, failed=True)
def answered_twice(d, conn, req, payload):
    """The second is stale; the first, a good one, must not be undone: so
    this is one reply with an error and one more for the same tag."""
    conn.send(vxhs.reply(req, status=vxhs.IO) * 2)


@native(TAG)
def an_old_tag_answered_again(d, conn, req, payload):
    old = req._replace(tag=d.first_tag)
    conn.send(vxhs.reply(old, bytes(req.length)))


@native(EVENT, light=True)
def event_that_was_not_negotiated(d, conn, req, payload):
    conn.send(vxhs.event(1, req.handle))


@native('', light=True)
def truncated_payload(d, conn, req, payload):
    conn.send(vxhs.reply(req, b'T' * 1000, payload_len=req.length))
    conn.flush()
    raise vxhs.Closed('on purpose')


@native('')
def truncated_header(d, conn, req, payload):
    conn.send(vxhs.reply(req, bytes(4096))[:20])
    conn.flush()
    raise vxhs.Closed('on purpose')


@native('', light=True)
def closed_instead_of_an_answer(d, conn, req, payload):
    raise vxhs.Closed('on purpose')


@native('', ops=(WRITE,), io=write4k)
def reset_instead_of_an_answer(d, conn, req, payload):
    conn.sock.setsockopt(1, 13, struct.pack('ii', 1, 0))    # SO_LINGER
    raise vxhs.Closed('on purpose')


@v34(MARKER, light=True)
def v34_wrong_marker(d, conn, msg, head, payload):
    data = bytes(4096)
    conn.send(b'\x1f' + bytes(d.head(head, data, 0, 1))[1:], data)


@v34(MARKER)
def v34_garbage(d, conn, msg, head, payload):
    conn.send(random.Random(2).randbytes(70000))


def v34_cookie(name, change, light=False):
    def func(d, conn, msg, head, payload):
        out = d.head(head, bytes(msg.size), 0, 1)
        struct.pack_into('<Q', out, 20, change(msg.cookie) & ((1 << 64) - 1))
        conn.send(out, bytes(msg.size))
    func.__name__ = name
    v34(COOKIE, light=light)(func)


v34_cookie('v34_cookie_of_another_index', lambda c: c ^ 1, True)
v34_cookie('v34_cookie_of_the_next_generation', lambda c: c + (1 << 32))
v34_cookie('v34_cookie_0', lambda c: 0)
v34_cookie('v34_cookie_of_all_ones', lambda c: (1 << 64) - 1)


@v34(OPCODE, light=True)
def v34_wrong_opcode(d, conn, msg, head, payload):
    out = d.head(head, b'', 0, 1)
    struct.pack_into('<H', out, 30, vxhs.V34_WRITE)
    conn.send(out)


def v34_length(name, n, send, ops=(vxhs.V34_READ,), io=read4k, light=False):
    def func(d, conn, msg, head, payload):
        conn.send(d.head(head, b'', 0, 1, payload_size=n), bytes(send))
    func.__name__ = name
    v34(LENGTH, ops, io, light)(func)


v34_length('v34_read_answered_shorter', 512, 512, light=True)
v34_length('v34_read_answered_longer', 8192, 8192)
v34_length('v34_read_answered_with_nothing', 0, 0)
v34_length('v34_read_answered_with_2_to_60', 1 << 60, 8192, light=True)
v34_length('v34_read_answered_with_4_gib_more', (1 << 32) + 4096, 8192)
v34_length('v34_write_answered_with_data', 4096, 4096, (vxhs.V34_WRITE,),
           write4k)


@v34(STATUS)
def v34_error_with_a_payload(d, conn, msg, head, payload):
    conn.send(d.head(head, bytes(4096), 5, 1), bytes(4096))


@v34(COOKIE, light=True, failed=True)
def v34_answered_twice(d, conn, msg, head, payload):
    conn.send(d.head(head, b'', 5, 1) * 2)


@v34('', light=True)
def v34_truncated_payload(d, conn, msg, head, payload):
    conn.send(d.head(head, bytes(4096), 0, 1), bytes(1000))
    conn.flush()
    raise vxhs.Closed('on purpose')


@v34('')
def v34_closed(d, conn, msg, head, payload):
    raise vxhs.Closed('on purpose')


class Remembers(Armed):
    """Knows a tag that was answered long ago."""

    def __call__(self, conn, req, payload):
        if req.op in (READ, WRITE) and not self.armed:
            self.server.first_tag = req.tag
        return super().__call__(conn, req, payload)


def add_breach(name, kind, func, ops, words, io, features, light, failed):
    def run():
        hook = (Remembers if func is an_old_tag_answered_again else
                Armed)(func, ops)
        breach(kind, hook, words, io, features, failed)
    run.__name__ = name
    if light or not LIGHT:
        test(run)


for _name, _args in NATIVE.items():
    add_breach(_name, NativeServer, *_args)
for _name, _args in V34.items():
    add_breach(_name, V34Server, *_args)


# ------------------------------------------------------------ attach


def no_attach(words, within=10, **kw):
    try:
        with NativeServer(disks(), **kw) as d:
            err = refused(words, 'attach', host(d), 'd', within=within)
            vm.gone(d)
            equal(d.errors, [])
    except AssertionError as exc:
        raise AssertionError('%r: %s' % (kw, exc)) from exc
    return err


GEOMETRY = [
    ('handle', dict(handle=0)),
    ('size', dict(size=0)), ('size', dict(size=1000)),
    ('size', dict(size=1 << 63)), ('size', dict(size=(1 << 64) - 512)),
    ('logical_block', dict(logical_block=0)),
    ('logical_block', dict(logical_block=1)),
    ('logical_block', dict(logical_block=520)),
    ('logical_block', dict(logical_block=8192)),
    ('logical_block', dict(logical_block=1 << 31)),
    ('physical_block', dict(physical_block=0)),
    ('physical_block', dict(physical_block=256)),
    ('physical_block', dict(physical_block=3000)),
    ('io_min', dict(io_min=100)), ('io_opt', dict(io_opt=100)),
    ('max_discard', dict(max_discard=0)),
    ('max_write_zeroes', dict(max_write_zeroes=100)),
    ('discard_granularity', dict(discard_granularity=0)),
    ('discard_granularity', dict(discard_granularity=3000)),
]
GRANT = [
    ('version', dict(version=2)), ('features', dict(features=1)),
    ('max_inflight', dict(max_inflight=0)),
    ('max_inflight_bytes', dict(max_inflight_bytes=4096)),
    ('max_io', dict(max_io=0)), ('max_io', dict(max_io=65536)),
    ('max_io', dict(max_io=131072 + 512)), ('kato', dict(kato=0)),
    ('kato', dict(kato=0xffffffff)),
]


@test
def bad_geometry():
    for word, fields in GEOMETRY[::4] if LIGHT else GEOMETRY:
        no_attach(word, geometry=fields)


@test
def bad_grants():
    for word, fields in GRANT[::3] if LIGHT else GRANT:
        no_attach(word, grant=fields)


@test
def extreme_but_allowed_limits():
    """Whatever is accepted must work, and be bounded by the driver."""
    extremes = [
        (dict(max_inflight=1), {}), (dict(max_inflight=0xffffffff), {}),
        (dict(max_io=0xfffff000, max_inflight_bytes=0xffffffff), {}),
        (dict(max_io=131072, max_inflight_bytes=131072), {}),
        (dict(kato=3600000), {}),
        ({}, dict(caps=0)), ({}, dict(caps=0xffffffff & ~vxhs.CAP_RO)),
        ({}, dict(max_discard=0xfffff000, max_write_zeroes=0xfffff000)),
        ({}, dict(logical_block=4096, physical_block=4096)),
        ({}, dict(io_min=0, io_opt=1 << 20)),
    ]
    for grant, geometry in extremes[::3] if LIGHT else extremes:
        with NativeServer(disks(), grant=grant, geometry=geometry) as d:
            device = attach(d, 'd', '--lanes', 2)
            settle()
            with Raw(device) as raw:
                data = os.urandom(1 << 20)
                raw.write(data, 1 << 20)
                equal(raw.read(1 << 20, 1 << 20), data, repr(
                    (grant, geometry)))
                raw.flush()
            detach(device)
            vm.gone(d)


@test
def absurd_limits_are_refused():
    """Limits that no device has, and that would hurt this host."""
    for word, fields in (('physical_block', dict(physical_block=1 << 31)),
                         ('io_min', dict(io_min=0xfffff000)),
                         ('io_opt', dict(io_opt=0xfffff000)),
                         ('max_discard',
                          dict(discard_granularity=1 << 31)),
                         ('max_discard', dict(logical_block=4096,
                                              max_discard=4608)),
                         ('max_write_zeroes',
                          dict(logical_block=4096, max_write_zeroes=4608))):
        no_attach(word, geometry=fields)


@test
def statuses_of_open_and_login():
    def status(number):
        def hook(conn, req, payload):
            conn.send(vxhs.reply(req, status=number))
            return True
        return hook
    for number, word in ((vxhs.DENIED, 'denies'), (vxhs.BUSY, 'exclusively'),
                         (vxhs.NOT_FOUND, 'no vdisk'),
                         (vxhs.READ_ONLY, 'read-only'),
                         (vxhs.GOING_AWAY, 'shutting down'),
                         (vxhs.STALE, 'stale'), (777, '777')):
        no_attach(word, on_open=status(number))
    no_attach('denie', on_login=status(vxhs.DENIED))
    if not LIGHT:
        no_attach('again', on_open=status(vxhs.AGAIN))


@test
def bad_choices():
    def trailer(data):
        def hook(conn, head):
            hook.server.stat(conn, head, data)
            time.sleep(3)
            return True
        return hook
    cases = (('version', vxhs.choice(0)), ('choice', vxhs.choice(2)),
             ('choice', vxhs.choice(1, 1 << 40)),
             ('choice', vxhs._OFFER.pack(vxhs.CHOICE_MAGIC, 1, 2, 0,
                                         bytes(12))))
    for word, data in cases:
        hook = trailer(data)
        with NativeServer(disks(), on_stat=hook) as d:
            hook.server = d
            refused(word, 'attach', host(d), 'd')


@test
def an_echoed_offer_is_no_choice():
    def echo(conn, msg, head, payload):
        if msg.op != vxhs.V34_STAT:
            return False
        data = vxhs.kvset(MIB << 20)
        out = V34Server.head(head, data, 0, 2, True)
        out[164:] = head[164:]
        conn.send(out, data)
        return True
    with V34Server(disks(), hook=echo) as d:
        device = attach(d, 'd', '--lanes', 1)
        equal(show(device)['session']['dialect'], 'v34')
        settle()
        detach(device)


@test
def silence_at_each_step():
    for kw in (dict(on_connect=silent), dict(on_stat=silent),
               dict(on_login=silent), dict(on_open=silent))[::1]:
        if LIGHT and 'on_open' not in kw:
            continue
        err = no_attach('answer', **kw)
        check('server' in err, 'the side is not in ' + err)


@test
def closing_at_each_step():
    def close(conn, *rest):
        raise vxhs.Closed('on purpose')
    for kw in (dict(on_connect=close), dict(on_stat=close),
               dict(on_login=close), dict(on_open=close)):
        no_attach('', **kw)


@test
def garbage_at_each_step():
    def garbage(conn, *rest):
        conn.send(random.Random(3).randbytes(5000))
        conn.flush()
        time.sleep(1)
        raise vxhs.Closed('on purpose')
    for kw in (dict(on_connect=garbage), dict(on_stat=garbage),
               dict(on_login=garbage), dict(on_open=garbage)):
        no_attach('', **kw)


@test
def lanes_that_reach_different_servers():
    count = [0]

    def other(conn, req, payload):
        count[0] += 1
        if count[0] == 1:
            return False
        d = other.server
        d.grant['instance'] += 1
        return False
    with NativeServer(disks(), on_login=other) as d:
        other.server = d
        refused('different servers', 'attach', host(d), 'd', '--lanes', 2)


@test
def silence_under_io_and_keepalive():
    """PING is not answered: the lane is dead after kato, not later."""
    quiet, silenced = threading.Event(), []

    def hook(conn, req, payload):
        if quiet.is_set() and not silenced:
            silenced.append(time.monotonic())
            silent(conn)
        return False
    with NativeServer(disks(), on_io=hook, grant=dict(kato=1000)) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            raw.write(b'q' * 4096)
            conns = set(d.conns)
            with vm.Recovers(device):
                quiet.set()
                equal(vm.in_time(raw.read, 0, within=15), b'q' * 4096)
                check(time.monotonic() - silenced[0] > 0.5,
                      'the lane was given up before kato')
                eventually(lambda: not conns & d.conns, 'the lane stays open')
        settle()
        detach(device)
        vm.gone(d)


@test
def a_slow_request_is_no_dead_lane():
    slow = Armed(lambda d, conn, req, payload:
                 later.append((conn, d.answer(conn, req, payload))), (READ,))
    later = []
    with NativeServer(disks(), on_io=slow, grant=dict(kato=1000)) as d:
        slow.server = d
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            raw.write(b'S' * 4096)
            slow.armed = True
            pings = d.seen[PING]
            timer = threading.Timer(4, lambda: later[0][0].sock.sendall(
                later[0][1]))
            timer.start()
            equal(raw.read(), b'S' * 4096)
            timer.join()
            check(d.seen[PING] > pings, 'no PING meanwhile')
        equal(show(device)['session']['lanes_up'], 1)
        detach(device)


@test
def a_correct_reply_in_any_pieces():
    def dribble(d, conn, req, payload):
        data = d.answer(conn, req, payload)
        conn.dribble(data[:60], 0.002)
        for i in range(60, len(data), 997):
            conn.sock.sendall(data[i:i + 997])
    for op, io in ((READ, 'read'), (WRITE, 'write'), (FLUSH, 'flush')):
        hook = Armed(dribble, (op,))
        with NativeServer(disks(), on_io=hook) as d:
            hook.server = d
            device = attach(d, 'd', '--lanes', 1)
            settle()
            with Raw(device) as raw:
                raw.write(b'P' * 65536, 65536)
                hook.armed = True
                if io == 'read':
                    equal(raw.read(65536, 65536), b'P' * 65536)
                elif io == 'write':
                    raw.write(b'Q' * 65536, 65536)
                else:
                    raw.flush()
                equal(hook.fired, 1)
            detach(device)


@test
def replies_coalesced_and_out_of_order():
    held = []

    def hook(conn, req, payload):
        if req.op != READ:
            return False
        held.append(server.answer(conn, req, payload))
        if len(held) >= 8 or conn.start == conn.end:
            random.shuffle(held)
            conn.send(b''.join(held))
            held.clear()
        return True
    disk = disks()
    with NativeServer(disk, on_io=hook) as server:
        device = attach(server, 'd', '--lanes', 1)
        settle()
        disk['d'].write(0, random.Random(4).randbytes(1 << 20))
        results = {}

        def reader(i):
            with Raw(device, os.O_RDONLY) as raw:
                for k in range(16):
                    at = (i * 16 + k) * 4096
                    results[at] = raw.read(at)
        threads = [threading.Thread(target=reader, args=(i,))
                   for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(len(results), 128)
        for at, got in results.items():
            equal(got, disk['d'].read(at, 4096), 'block at %d' % at)
        detach(device)


@test
def statuses_of_io():
    number = [0]

    def hook(conn, req, payload):
        if not number[0] or req.op == PING:
            return False
        conn.send(vxhs.reply(req, status=number[0]))
        # These say that it was not executed, and is to be sent elsewhere.
        if number[0] in elsewhere:
            number[0] = 0
        return True
    elsewhere = (vxhs.GOING_AWAY, vxhs.NO_SESSION)
    errors = 0
    with NativeServer(disks(), on_io=hook) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            raw.write(b'a' * 4096, 8192)
            for status in list(range(1, 14)) + [14, 999, 65535]:
                for io in (read4k, write4k, sync):
                    if status in elsewhere:
                        with vm.Recovers(device):
                            number[0] = status
                            vm.in_time(io, raw)
                            equal(number[0], 0, 'status')
                        continue
                    number[0] = status
                    try:
                        vm.in_time(io, raw)
                    except OSError:
                        errors += 1
                    else:
                        raise AssertionError('status %d was a success' %
                                             status)
                number[0] = 0
                vm.in_time(read4k, raw)
        equal(show(device)['errors'], errors, 'errors')
        settle()
        detach(device)


@test
def replies_that_nobody_asked_for():
    req = vxhs.Req(0, READ, 0, 0, 1 << 32, 1, 4096, 0, 0, 0, 0, 0)
    frames = {NativeServer: (TAG, vxhs.reply(req, bytes(4096))),
              V34Server: (COOKIE, V34Server.head(
                  vxhs.v34(vxhs.V34_READ, 1 << 32, 'd', size=4096),
                  bytes(4096), 0, 1) + bytes(4096))}
    for kind, (words, frame) in frames.items():
        with kind(disks()) as d:
            device = attach(d, 'd', '--lanes', 1, '--replay-delay', SOON)
            settle()
            with Raw(device) as raw:
                raw.write(b'n' * 4096)
                kmsg, conns = Kmsg(), set(d.conns)
                with vm.Recovers(device):
                    for conn in conns:
                        conn.sock.sendall(frame)
                    eventually(lambda: not conns & d.conns,
                               'the lane stays open', 10)
                    equal(vm.in_time(raw.read), b'n' * 4096)
                equal(len([l for l in kmsg.vxhs() if words in l]), 1,
                      'messages')
                kmsg.close()
            equal(show(device)['errors'], 0)
            settle()
            detach(device)


@test
def one_lane_of_several_breaks():
    """The others go on; it comes back, in the same epoch, with what it
    carried."""
    hook = Armed(wrong_magic, (READ,))
    with NativeServer(disks(), on_io=hook) as d:
        hook.server = d
        device = attach(d, 'd', '--lanes', 3)
        settle()
        with Raw(device) as raw:
            raw.write(b'3' * 4096)
            before = show(device)['session']
            hook.armed = True
            equal(vm.in_time(raw.read), b'3' * 4096)
            equal(hook.fired, 1)
            for _ in range(20):
                equal(vm.in_time(raw.read), b'3' * 4096)
            eventually(lambda: show(device)['session']['lanes_up'] == 3,
                       'the lane does not come back')
            after = show(device)['session']
            for key in ('state', 'epoch', 'recoveries'):
                equal(after[key], before[key], key)
            equal(d.accepted, 4, 'connections')
        settle()
        detach(device)
        vm.gone(d)


@test
def a_server_that_changes_its_verifier():
    with NativeServer(disks()) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            raw.write(b'v' * 4096)
            raw.flush()
            raw.write(b'v' * 4096)
            d.geometry['verifier'] += 1
            vm.fails(EIO, raw.flush)
            vm.fails(EIO, raw.flush)
        detach(device)


@test
def random_replies():
    """Replies with a few random bytes: an error or the right data, never a
    hang; and the session is whole again."""
    rng = random.Random(20)

    def damage(d, conn, req, payload):
        data = bytearray(d.answer(conn, req, payload))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(min(len(data), 32))] = rng.randrange(256)
        conn.send(bytes(data))
        conn.flush()
        time.sleep(0.1)
        raise vxhs.Closed('on purpose')
    for _ in range(5 if LIGHT else 25):
        hook = Armed(damage, (READ, WRITE))
        with NativeServer(disks(), on_io=hook) as d:
            hook.server = d
            device = attach(d, 'd', '--lanes', 1)
            settle()
            with Raw(device) as raw:
                raw.write(b'r' * 4096)
                with vm.Recovers(device):
                    hook.armed = True
                    try:
                        equal(vm.in_time(raw.read), b'r' * 4096)
                    except OSError:
                        pass
                    equal(hook.fired, 1)
                equal(vm.in_time(raw.read), b'r' * 4096)
            settle()
            detach(device)


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
