#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd speaks the native dialect as Documentation/protocol.rst says."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import (Vxhsd, check, equal, eventually, main, skip, test,
                     tmpdir)
from vxhs import (AGAIN, BAD_CRC, BUSY, CLOSE, DISCARD, FLUSH, FUA, INVALID,
                  LOGIN, LOGOUT, NO_SESSION, NO_UNMAP, NOT_FOUND, OK, OPEN,
                  PING, READ, READ_ONLY, RO, RW, RW_SHARED, STALE, TAKE_OVER,
                  UNSUPPORTED, WRITE, WRITE_ZEROES, Closed, NativeClient)

SIZE = 64 << 20
ID = '11223344-5566-7788-99aa-bbccddeeff00'

_shared = {}


def server():
    """One vxhsd for all tests that do it no harm; must survive them all."""
    if not _shared:
        path = os.path.join(tmpdir(), 'disk0')
        _shared['path'] = path
        _shared['d'] = Vxhsd(
            'disk0=%s,size=%d' % (path, SIZE), 'mem=memory,size=%d' % SIZE,
            'other=memory,size=16M', 'ro=memory,size=16M,ro',
            'big=memory,size=16M,block=4096', 'huge=memory,size=4G',
            *('x%d=memory,size=1M' % i for i in range(40)))
        _shared['fresh'] = iter('x%d' % i for i in range(40))
    _shared['d'].alive()
    return _shared['d']


def fresh():
    """A vdisk that no other test has open, nor a session not yet dead."""
    server()
    return next(_shared['fresh'])


def client(vdisk='disk0', **kw):
    d = server()
    return NativeClient(d.addr, d.port, vdisk, **kw)


class Opened:
    """A session that has a vdisk open and says goodbye at the end."""

    def __init__(self, name='mem', mode=RW_SHARED, **kw):
        self.c = client(name, **kw)
        status, self.g = self.c.open(name, mode)
        equal(status, OK, 'OPEN')

    def __enter__(self):
        return self.c, self.g

    def __exit__(self, kind, *exc):
        if kind:
            self.c.close()
        else:
            equal(self.c.logout(), OK, 'LOGOUT')


def closes(c, why):
    check(vxhs.is_closed(c.sock, 10), why)
    c.close()
    server().alive()


# ------------------------------------------------------------ negotiation


@test
def choice_is_a_subset_of_the_offer():
    for features in (0, 1, 2, 3, 4, 7, 7 | 1 << 3, (1 << 64) - 1):
        c = client(features=features, login=False)
        equal((c.choice.min, c.choice.max), (1, 1), 'version')
        equal(c.choice.zero, bytes(12), 'zero bytes')
        check(not c.choice.features & ~(features & 7),
              'features %#x for %#x' % (c.choice.features, features))
        equal(c.choice.features & 3, features & 3, 'CRC features')
        c.close()


@test
def no_common_version_is_answered_with_zero():
    d = server()
    for vmin, vmax in ((2, 9), (0, 0)):
        sock = vxhs.connect(d.addr, d.port)
        sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'disk0',
                              extra=vxhs.offer(7, vmin, vmax)))
        msg = vxhs.v34_get(vxhs.recv_exact(sock, 256))
        got = vxhs.get_offer(msg.offer)
        equal(got.magic, vxhs.CHOICE_MAGIC, 'magic')
        equal((got.min, got.max), (0, 0), 'version')
        sock.close()


@test
def a_range_that_contains_version_1_is_accepted():
    d = server()
    sock = vxhs.connect(d.addr, d.port)
    sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'disk0',
                          extra=vxhs.offer(0, 1, 77)))
    got = vxhs.get_offer(vxhs.v34_get(vxhs.recv_exact(sock, 256)).offer)
    equal((got.magic, got.min, got.max), (vxhs.CHOICE_MAGIC, 1, 1))
    sock.close()


@test
def stat_tells_the_size_and_offers_are_answered_whatever_becomes_of_it():
    c = client('disk0', login=False)
    equal(c.stat.err, 0)
    equal(vxhs.kvset_size(c.stat_payload), SIZE)
    c.close()
    c = client('no-such-vdisk')
    check(c.stat.err != 0 and not c.stat_payload,
          'STAT of an unknown vdisk succeeded')
    equal(c.open('no-such-vdisk')[0], NOT_FOUND)
    equal(c.open('mem', RO)[0], OK)
    equal(c.logout(), OK)


# ------------------------------------------------------------ LOGIN, OPEN


@test
def login_grants_sane_limits():
    c = client()
    g = c.grant
    equal((g.version, g.reserved, g.zero), (1, 0, bytes(12)))
    check(g.max_io >= 131072 and g.max_io % 4096 == 0, 'max_io %d' % g.max_io)
    check(g.max_inflight >= 1, 'max_inflight 0')
    check(g.max_inflight_bytes >= g.max_io, 'max_inflight_bytes < max_io')
    equal(g.kato, 5000, 'default kato')
    check(any(g.server_id), 'server_id is zero')
    equal(c.logout(), OK)
    c = client(kato=1)
    check(c.grant.kato >= 200, 'kato below its floor')
    equal(c.logout(), OK)


@test
def lanes_of_an_epoch_show_one_server():
    a = client(lanes=2)
    b = client(session=a.session, lane=1, lanes=2)
    equal((a.grant.server_id, a.grant.instance),
          (b.grant.server_id, b.grant.instance))
    a.close()
    b.close()


@test
def login_comes_first():
    for op in (PING, OPEN, READ, FLUSH, LOGOUT, 0x77):
        c = client(login=False)
        body = vxhs.open_body('mem') if op == OPEN else b''
        try:
            rsp, _ = c.call(op, body, handle=1, length=512)
            check(rsp.status not in (OK, UNSUPPORTED),
                  'opcode %#x before LOGIN: status %d' % (op, rsp.status))
            c.close()
        except Closed:
            pass
        server().alive()


@test
def a_damaged_login_closes_the_lane():
    c = client(login=False)
    c.send(LOGIN, vxhs.login_body(c.session), header_crc=1)
    closes(c, 'LOGIN with a wrong CRC was accepted')


@test
def malformed_logins_are_refused():
    for kw in (dict(epoch=0), dict(lanes=0), dict(lane=4, lanes=4),
               dict(vmin=2, vmax=1), dict(vmin=2, vmax=2),
               dict(features=7)):
        c = client(features=0, login=False)
        try:
            rsp, _ = c.call(LOGIN, vxhs.login_body(c.session, **dict(
                dict(features=0), **kw)))
            check(rsp.status != OK, 'LOGIN with %r succeeded' % kw)
            c.close()
        except Closed:
            pass
        server().alive()


@test
def open_is_idempotent_and_handles_hold_on_all_lanes():
    name = fresh()
    a = client(lanes=2)
    b = client(session=a.session, lane=1, lanes=2)
    status, g = a.open(name)
    equal(status, OK)
    check(g.handle != 0, 'handle 0')
    equal(a.open(name)[1], g, 'OPEN again')
    equal(b.open(name)[1].handle, g.handle, 'handle on lane 1')
    status, other = b.open('other')
    equal(status, OK)
    check(other.handle != g.handle, 'two vdisks with one handle')
    equal(b.write(g.handle, 0, b'l' * 4096), OK)
    equal(a.read(g.handle, 0, 4096), (OK, b'l' * 4096))
    b.close()
    equal(a.logout(), OK)


@test
def another_mode_is_another_open():
    """Else the old mode's writes in flight would escape the next fence."""
    name = fresh()
    a = client()
    old = a.open(name)[1]
    status, g = a.open(name, mode=0)
    equal(status, OK)
    check(g.handle != old.handle, 'the handle stays')
    check(a.write(old.handle, 0, b'x' * 4096) != OK, 'the old handle writes')
    equal(a.logout(), OK)


@test
def geometry_is_sane():
    for name, size, block in (('disk0', SIZE, 512), ('mem', SIZE, 512),
                              ('big', 16 << 20, 4096)):
        with Opened(name) as (c, g):
            equal((g.size, g.logical_block), (size, block), name)
            check(g.physical_block >= block, 'physical_block')
            equal((g.io_min % block, g.io_opt % block, g.reserved), (0, 0, 0))
            want = vxhs.CAP_FLUSH | vxhs.CAP_FUA | vxhs.CAP_ZEROES
            equal(g.caps & want, want, 'caps of ' + name)
            check(not g.caps & vxhs.CAP_RO, name + ' is read-only')
            check(any(g.vdisk_id), 'vdisk_id is zero')


@test
def vdisk_ids_differ_and_can_be_set():
    ids = []
    for name in ('disk0', 'mem', 'other', 'ro', 'big'):
        with Opened(name, RO) as (c, g):
            ids.append(g.vdisk_id)
    equal(len(set(ids)), len(ids), 'different ids')
    with Vxhsd('d=memory,size=1M,id=' + ID) as d:
        c = NativeClient(d.addr, d.port, 'd')
        equal(c.open('d')[1].vdisk_id.hex(), ID.replace('-', ''))
        equal(c.logout(), OK)


@test
def malformed_opens_are_refused():
    bodies = [vxhs.open_body('mem', mode=3), vxhs.open_body('mem', options=2),
              vxhs.open_body('m\0m'), vxhs.open_body('mem', name_len=2),
              vxhs.open_body('mem', name_len=4),
              vxhs.open_body('mem', name_len=65535)]
    for body in bodies:
        c = client()
        try:
            rsp, _ = c.call(OPEN, body)
            check(rsp.status not in (OK, AGAIN), 'OPEN %r succeeded' % body)
            equal(c.ping(), OK)
            c.close()
        except Closed:
            pass
        server().alive()


@test
def names_of_63_bytes_and_of_any_bytes():
    c = client()
    equal(c.open('n' * 63)[0], NOT_FOUND)
    equal(c.open(b'\xff\xfe')[0] in (NOT_FOUND, INVALID), True)
    equal(c.open('../disk0')[0] in (NOT_FOUND, INVALID), True)
    equal(c.logout(), OK)


@test
def close_makes_the_handle_dead():
    name = fresh()
    c = client()
    _, g = c.open(name)
    equal(c.io(CLOSE, g.handle), OK)
    equal(c.io(READ, g.handle, 0, 512), NO_SESSION)
    equal(c.io(CLOSE, g.handle), NO_SESSION)
    status, again = c.open(name)
    equal(status, OK)
    check(again.handle != g.handle, 'the handle was reused within the epoch')
    equal(c.logout(), OK)


@test
def unknown_handles():
    with Opened() as (c, g):
        for handle in (0, g.handle + 1000, 0xffffffff):
            for op in (READ, FLUSH, DISCARD, WRITE_ZEROES, CLOSE):
                equal(c.io(op, handle, 0, 0 if op in (FLUSH, CLOSE) else 512),
                      NO_SESSION, 'opcode %#x handle %#x' % (op, handle))
            equal(c.write(handle, 0, bytes(512)), NO_SESSION)


@test
def a_handle_of_another_session_is_unknown():
    a, b = client(), client()
    first, second = a.open(fresh(), RW)[1], a.open(fresh(), RW)[1]
    own = b.open('mem', RW_SHARED)[1]
    for handle in {first.handle, second.handle} - {own.handle}:
        equal(b.io(READ, handle, 0, 512), NO_SESSION)
    a.logout()
    b.logout()


@test
def ping_and_unknown_opcodes():
    with Opened() as (c, g):
        equal(c.ping(), OK)
        for op in (0, 6, 0x0f, 0x15, 0x80, 0xff):
            equal(c.io(op, g.handle), UNSUPPORTED, 'opcode %#x' % op)
        equal(c.ping(), OK)


@test
def logout_ends_the_lane():
    c = client()
    rsp, _ = c.call(LOGOUT)
    equal(rsp.status, OK)
    closes(c, 'the lane stayed open after LOGOUT')


# ------------------------------------------------------------ I/O


@test
def data_of_all_sizes_comes_back():
    for name in ('disk0', 'mem'):
        for features in (0, vxhs.F_HEADER_CRC):
            with Opened(name, features=features) as (c, g):
                for n in (512, 1024, 4096, 65536, 131072, c.grant.max_io):
                    data = random.randbytes(n)
                    offset = random.randrange(0, SIZE - n, 512)
                    equal(c.write(g.handle, offset, data), OK)
                    equal(c.read(g.handle, offset, n), (OK, data), name)
                data = random.randbytes(512)
                equal(c.write(g.handle, SIZE - 512, data), OK)
                equal(c.read(g.handle, SIZE - 512, 512), (OK, data))


@test
def data_crc_both_ways():
    with Opened('mem', features=3) as (c, g):
        equal(c.features & 2, 2, 'DATA_CRC')
        data = random.randbytes(8192)
        equal(c.write(g.handle, 0, data), OK)
        equal(c.read(g.handle, 0, 8192), (OK, data))
        equal(c.write(g.handle, 0, bytes(8192), payload_crc=12345), BAD_CRC)
        equal(c.read(g.handle, 0, 8192), (OK, data), 'after BAD_CRC')
        equal(c.write(g.handle, 0, data[:512]), OK)
        equal(c.flush(g.handle)[0], OK)


@test
def pipelined_requests_in_one_segment():
    with Opened('disk0') as (c, g):
        model = random.randbytes(32 * 4096)
        tags = {}
        burst = b''
        for i in range(32):
            c.tag += 1
            tags[c.tag] = i
            burst += vxhs.request(WRITE, c.tag, model[i * 4096:(i + 1) * 4096],
                                  handle=g.handle, offset=i * 4096)
        c.sock.sendall(burst)
        for tag in tags:
            equal(c.wait(tag)[0].status, OK)
        burst = b''
        tags = {}
        for i in range(32):
            c.tag += 1
            tags[c.tag] = i
            burst += vxhs.request(READ, c.tag, handle=g.handle,
                                  offset=i * 4096, length=4096)
        c.sock.sendall(burst)
        for tag, i in tags.items():
            equal(c.wait(tag)[1], model[i * 4096:(i + 1) * 4096], 'block')


@test
def requests_byte_by_byte():
    with Opened('mem') as (c, g):
        data = random.randbytes(512)
        c.tag += 1
        for byte in vxhs.request(WRITE, c.tag, data, handle=g.handle,
                                 offset=1024):
            c.sock.sendall(bytes((byte,)))
        equal(c.wait(c.tag)[0].status, OK)
        c.tag += 1
        for byte in vxhs.request(READ, c.tag, handle=g.handle, offset=1024,
                                 length=512):
            c.sock.sendall(bytes((byte,)))
        equal(c.wait(c.tag)[1], data)


@test
def tags_are_opaque():
    with Opened('mem') as (c, g):
        for tag in (0, 1 << 63, (1 << 64) - 1):
            c.send(READ, tag=tag, handle=g.handle, length=512)
            equal(c.wait(tag)[0].status, OK)


@test
def bad_ranges_are_invalid_and_the_lane_lives():
    with Opened('mem') as (c, g):
        equal(c.write(g.handle, 0, b'b' * 4096), OK)
        limit = c.grant.max_io
        cases = [(0, 0), (0, 511), (0, 513), (1, 512), (511, 512),
                 (SIZE, 512), (SIZE - 512, 1024), (SIZE + 512, 512),
                 (1 << 60, 512), (1 << 63, 512), ((1 << 64) - 512, 512),
                 ((1 << 64) - 512, 1024), ((1 << 64) - 4096, 4096)]
        for offset, length in cases:
            for op in (READ, DISCARD, WRITE_ZEROES):
                equal(c.io(op, g.handle, offset, length), INVALID,
                      'opcode %#x offset %#x length %d' % (op, offset, length))
            equal(c.write(g.handle, offset, b'x' * length), INVALID,
                  'WRITE offset %#x length %d' % (offset, length))
            equal(c.ping(), OK)
        if limit + 512 <= SIZE:
            equal(c.io(READ, g.handle, 0, limit + 512), INVALID)
            equal(c.write(g.handle, 0, bytes(limit + 512)), INVALID)
        equal(c.io(WRITE_ZEROES, g.handle, 0, 0xfffffe00), INVALID)
        equal(c.read(g.handle, 0, 4096), (OK, b'b' * 4096), 'block 0')


@test
def discards_and_zeroes_beyond_what_open_allowed_are_invalid():
    with Opened('huge') as (c, g):
        for op, most in ((DISCARD, g.max_discard),
                         (WRITE_ZEROES, g.max_write_zeroes)):
            equal(c.io(op, g.handle, 0, most), OK, 'op %#x of the most' % op)
            equal(c.io(op, g.handle, 0, most + 512), INVALID, 'op %#x' % op)


@test
def a_large_block_is_a_rule():
    with Opened('big') as (c, g):
        equal(c.io(READ, g.handle, 0, 512), INVALID)
        equal(c.write(g.handle, 512, bytes(4096)), INVALID)
        equal(c.write(g.handle, 4096, bytes(4096)), OK)


@test
def flush_and_fua():
    with Opened('disk0') as (c, g):
        equal(c.write(g.handle, 0, b'f' * 4096, flags=FUA), OK)
        equal(c.io(WRITE_ZEROES, g.handle, 0, 4096, flags=FUA), OK)
        equal(c.flush(g.handle), (OK, g.verifier))
    equal(os.pread(os.open(_shared['path'], os.O_RDONLY), 4096, 0),
          bytes(4096))


@test
def discard_and_write_zeroes_tell_the_truth():
    for name in ('disk0', 'mem'):
        with Opened(name) as (c, g):
            data = random.randbytes(1 << 17)
            equal(c.write(g.handle, 1 << 20, data), OK)
            equal(c.io(WRITE_ZEROES, g.handle, (1 << 20) + 512, 1024), OK)
            equal(c.read(g.handle, 1 << 20, 4096)[1],
                  data[:512] + bytes(1024) + data[1536:4096], name)
            equal(c.io(WRITE_ZEROES, g.handle, (1 << 20) + 8192, 8192,
                       flags=NO_UNMAP), OK)
            equal(c.read(g.handle, (1 << 20) + 8192, 8192)[1], bytes(8192))
            if not g.caps & vxhs.CAP_DISCARD:
                continue
            equal(c.io(DISCARD, g.handle, (1 << 20) + 65536, 65536), OK)
            got = c.read(g.handle, 1 << 20, 1 << 17)[1]
            equal(got[16384:65536], data[16384:65536], 'before the discard')
            for i in range(65536, 1 << 17, 512):
                check(got[i:i + 512] in (data[i:i + 512], bytes(512)),
                      'neither old data nor zeros after DISCARD')


@test
def write_zeroes_and_discard_free_blocks_unless_told_not_to():
    with Opened('disk0') as (c, g):
        n = 4 << 20
        path = _shared['path']
        for i in range(0, n, 1 << 17):
            equal(c.write(g.handle, (16 << 20) + i, b'z' * (1 << 17)), OK)
        c.flush(g.handle)
        full = os.stat(path).st_blocks
        equal(c.io(WRITE_ZEROES, g.handle, 16 << 20, n, flags=NO_UNMAP), OK)
        c.flush(g.handle)
        check(os.stat(path).st_blocks >= full, 'NO_UNMAP freed blocks')
        equal(c.io(WRITE_ZEROES, g.handle, 16 << 20, n), OK)
        c.flush(g.handle)
        check(os.stat(path).st_blocks <= full - n // 1024,
              'WRITE_ZEROES freed nothing')
        equal(os.stat(path).st_size, SIZE, 'file size')


# ------------------------------------------------------------ broken rules


@test
def broken_frames_close_the_lane():
    h = 1
    cases = {
        'magic': dict(op=PING, magic=0x51525857),
        'reply magic': dict(op=PING, magic=vxhs.RSP_MAGIC),
        'reserved': dict(op=PING, reserved=1),
        'PING with a payload': dict(op=PING, payload=b'x'),
        'READ with a payload': dict(op=READ, payload=b'x' * 512, length=512,
                                    handle=h),
        'FLUSH with a payload': dict(op=FLUSH, payload=b'x', handle=h),
        'unknown opcode with a payload': dict(op=0x99, payload=b'x'),
        'WRITE payload_len > length': dict(op=WRITE, payload=b'x' * 1024,
                                           length=512, handle=h),
        'WRITE payload_len < length': dict(op=WRITE, payload=b'x' * 512,
                                           length=1024, handle=h),
        'WRITE payload_len 0': dict(op=WRITE, length=1024, handle=h),
        'OPEN of 18 bytes': dict(op=OPEN, payload=bytes(18)),
        'OPEN of 82 bytes': dict(op=OPEN, payload=bytes(82)),
        'OPEN of 4 GiB': dict(op=OPEN, payload_len=0xffffffff),
        'LOGIN of 63 bytes': dict(op=LOGIN, payload=bytes(63)),
        'LOGIN of 65 bytes': dict(op=LOGIN, payload=bytes(65)),
        'READ of 2^32-1 payload': dict(op=READ, payload_len=0xffffffff),
    }
    for name, kw in cases.items():
        c = client()
        c.open('mem', RW_SHARED)
        c.send(**kw)
        closes(c, name + ' did not close the lane')
    for op in (PING, READ, WRITE):
        c = client(features=1)
        c.open('mem', RW_SHARED)
        c.send(op, b'x' * 512 if op == WRITE else b'', handle=h, length=512,
               header_crc=0xbad)
        closes(c, 'a wrong header CRC did not close the lane')


@test
def a_duplicate_tag_closes_the_lane():
    # The first of each pair may be answered before the second is seen.
    for _ in range(30):
        c = client()
        _, g = c.open('disk0', RW_SHARED)
        one = vxhs.request(READ, 77, handle=g.handle, length=c.grant.max_io)
        c.sock.sendall(one * min(8, c.grant.max_inflight_bytes //
                                 c.grant.max_io, c.grant.max_inflight))
        try:
            for _ in range(8):
                c.recv()
        except Closed:
            c.close()
            server().alive()
            return
        c.close()
    raise AssertionError('30 bursts of one tag, and every one was answered')


@test
def more_requests_than_granted_close_the_lane():
    c = client()
    _, g = c.open('mem', RW_SHARED)
    before = server().rss()
    # Nothing is read, so the server can only hold back or close.
    burst = b''.join(vxhs.request(READ, i, handle=g.handle, length=4096)
                     for i in range(40000))
    c.sock.settimeout(20)
    try:
        c.sock.sendall(burst)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            c.sock.send(vxhs.request(PING, 1 << 40))
            time.sleep(0.05)
        raise AssertionError('the lane stayed open')
    except (ConnectionError, TimeoutError) as exc:
        check(isinstance(exc, ConnectionError), 'the server stopped reading')
    c.close()
    check(server().rss() - before < 128 << 20, 'RSS grew by %d MiB' %
          ((server().rss() - before) >> 20))


@test
def more_bytes_than_granted_close_the_lane():
    c = client()
    # Memory answers at once, so that nothing is in flight there.
    _, g = c.open('disk0', RW_SHARED)
    n = 4 * c.grant.max_inflight_bytes // c.grant.max_io + 16
    if n > c.grant.max_inflight:
        skip('max_inflight is reached first')
    c.sock.settimeout(20)
    c.sock.sendall(b''.join(
        vxhs.request(READ, i, handle=g.handle, length=c.grant.max_io)
        for i in range(n)))
    got = 0
    time.sleep(1)
    try:
        while got < n:
            c.recv()
            got += 1
        raise AssertionError('all %d MiB were served' %
                             (n * c.grant.max_io >> 20))
    except Closed:
        pass
    c.close()
    server().alive()


@test
def ping_passes_a_full_lane():
    c = client()
    _, g = c.open('disk0', RW_SHARED)
    n = min(c.grant.max_inflight, c.grant.max_inflight_bytes // 65536)
    for i in range(n):
        c.send(READ, handle=g.handle, offset=i % 64 * 65536, length=65536)
    tag = c.send(PING)
    equal(c.wait(tag)[0].status, OK)
    equal(c.logout(), OK)


# ------------------------------------------------------------ sessions


@test
def a_second_login_replaces_the_lane():
    name = fresh()
    a = client()
    _, g = a.open(name, RW)
    b = client(session=a.session)
    closes(a, 'the replaced lane stayed open')
    status, again = b.open(name, RW)
    equal((status, again.handle), (OK, g.handle))
    equal(b.write(g.handle, 0, b'r' * 512), OK)
    equal(b.logout(), OK)


@test
def a_higher_epoch_makes_the_lower_stale():
    name = fresh()
    a = client(lanes=2)
    _, g = a.open(name, RW)
    b = client(session=a.session, epoch=2, lanes=2)
    try:
        equal(a.write(g.handle, 0, b's' * 512), STALE)
        a.close()
    except Closed:
        pass
    status = b.read(g.handle, 0, 512)[0]
    equal(status, NO_SESSION, 'the old handle before OPEN')
    status, again = b.open(name, RW)
    equal(status, OK)
    equal(b.write(again.handle, 0, b's' * 512), OK)
    late = client(session=a.session, epoch=1, lanes=2, login=False)
    try:
        equal(late.login(1, 1, 2), STALE, 'LOGIN of a lower epoch')
    except Closed:
        pass
    late.close()
    equal(b.read(again.handle, 0, 512), (OK, b's' * 512))
    equal(b.logout(), OK)


@test
def exclusive_shared_and_read_only_opens():
    table = {(RW, RW): BUSY, (RW, RW_SHARED): BUSY, (RW_SHARED, RW): BUSY,
             (RW_SHARED, RW_SHARED): OK, (RO, RO): OK, (RO, RW_SHARED): OK,
             (RW_SHARED, RO): OK}
    for (first, second), want in table.items():
        name = fresh()
        a, b = client(), client()
        equal(a.open(name, first)[0], OK, 'first')
        equal(b.open(name, second, patience=0)[0], want,
              'mode %d after mode %d' % (second, first))
        equal(a.logout(), OK)
        equal(b.open(name, second)[0], OK, 'after LOGOUT')
        equal(b.logout(), OK)


@test
def close_lets_others_in():
    name = fresh()
    a, b = client(), client()
    _, g = a.open(name, RW)
    equal(b.open(name, RW)[0], BUSY)
    equal(a.io(CLOSE, g.handle), OK)
    equal(b.open(name, RW)[0], OK)
    equal(a.open(name, RW)[0], BUSY)
    a.logout()
    b.logout()


@test
def a_session_without_lanes_ends_after_kato():
    name = fresh()
    a = client(kato=1000)
    kato = a.grant.kato / 1000
    equal(a.open(name, RW)[0], OK)
    gone = time.monotonic()
    a.close()
    b = client()
    equal(b.open(name, RW)[0], BUSY, 'at once')
    eventually(lambda: b.open(name, RW)[0] == OK,
               'the dead session kept its vdisk', kato + 10)
    check(time.monotonic() - gone > kato * 0.8,
          'the vdisk was given away before kato had passed')
    b.logout()


@test
def a_silent_lane_is_closed_after_kato():
    name = fresh()
    a = client(kato=1000)
    equal(a.open(name, RW)[0], OK)
    closes(a, 'a lane silent for ten times kato is still open')
    b = client()
    eventually(lambda: b.open(name, RW)[0] == OK, 'its vdisk stays taken')
    b.logout()


@test
def a_lane_that_returns_keeps_the_session():
    name = fresh()
    a = client(kato=1000)
    _, g = a.open(name, RW)
    for _ in range(3):
        a.close()
        time.sleep(0.4)
        a = client(session=a.session, kato=1000)
        equal(a.open(name, RW)[1].handle, g.handle)
    for _ in range(5):
        time.sleep(0.4)
        equal(a.ping(), OK)
    b = client()
    equal(b.open(name, RW)[0], BUSY, 'a live session')
    b.logout()
    equal(a.write(g.handle, 0, b'k' * 512), OK)
    a.logout()


@test
def take_over_fences_the_old_owner():
    name = fresh()
    a, b = client(features=4), client()
    _, g = a.open(name, RW)
    status, taken = b.open(name, RW, options=TAKE_OVER)
    if status == UNSUPPORTED:
        skip('no take-over yet')
    equal(status, OK)
    check(taken.lease > g.lease, 'the lease did not grow')
    equal(a.write(g.handle, 0, b'o' * 512), STALE)
    equal(a.open(name, RW, lease=g.lease)[0], STALE)
    equal(b.write(taken.handle, 0, b'n' * 512), OK)
    if a.features & vxhs.F_EVENTS:
        equal([e.op for e in a.events], [3], 'events')
    a.close()
    b.logout()


@test
def a_wrong_lease_is_stale():
    name = fresh()
    a = client()
    equal(a.open(name, RW, lease=0x7777777777777777)[0], STALE)
    status, g = a.open(name, RW)
    equal(status, OK)
    equal(a.io(CLOSE, g.handle), OK)
    equal(a.open(name, RW, lease=g.lease)[0], OK, 'the current lease')
    a.logout()


@test
def read_only_is_read_only():
    c = client('ro')
    status, g = c.open('ro', RW)
    if status != READ_ONLY:
        equal(status, OK)
        check(g.caps & vxhs.CAP_RO, 'no READ_ONLY cap')
    status, g = c.open('ro', RO)
    equal(status, OK)
    check(g.caps & vxhs.CAP_RO, 'no READ_ONLY cap')
    equal(c.read(g.handle, 0, 512), (OK, bytes(512)))
    equal(c.write(g.handle, 0, b'x' * 512), READ_ONLY)
    equal(c.io(WRITE_ZEROES, g.handle, 0, 512), READ_ONLY)
    equal(c.io(DISCARD, g.handle, 0, 4096), READ_ONLY)
    equal(c.read(g.handle, 0, 512), (OK, bytes(512)))
    c.logout()
    with Opened('mem', RO) as (c, g):
        equal(c.write(g.handle, 0, b'x' * 512), READ_ONLY, 'opened RO')


@test
def verifiers():
    directory = tmpdir()
    path = os.path.join(directory, 'd')
    exports = ('file=%s,size=1M' % path, 'mem=memory,size=1M',
               'wt=%s2,size=1M,cache=none' % path)
    seen = []
    for _ in range(2):
        with Vxhsd(*exports, state_dir=directory) as d:
            c = NativeClient(d.addr, d.port, 'file')
            row = {'server': c.grant.server_id, 'instance': c.grant.instance}
            for name in ('file', 'mem', 'wt'):
                status, g = c.open(name)
                equal(status, OK, name)
                equal(c.write(g.handle, 0, b'v' * 4096), OK)
                equal(c.flush(g.handle), (OK, g.verifier), name)
                row[name], row[name + ' id'] = g.verifier, g.vdisk_id
            seen.append(row)
            c.logout()
    equal(seen[0]['server'], seen[1]['server'], 'server_id after a restart')
    check(seen[0]['instance'] != seen[1]['instance'], 'the same instance')
    equal(seen[0]['file'], seen[1]['file'], 'verifier of a file')
    equal(seen[0]['wt'], seen[1]['wt'], 'verifier of a write-through export')
    check(seen[0]['mem'] != seen[1]['mem'], 'memory kept its verifier')
    equal(seen[0]['file id'], seen[1]['file id'], 'vdisk_id of a file')


@test
def cache_none_works_at_any_alignment():
    path = os.path.join(tmpdir(), 'd')
    with Vxhsd('d=%s,size=16M,cache=none' % path) as d:
        c = NativeClient(d.addr, d.port, 'd')
        _, g = c.open('d')
        for n in (g.logical_block, 4096, 12288, 1 << 17):
            data = random.randbytes(n)
            equal(c.write(g.handle, g.logical_block * 8, data), OK)
            equal(c.read(g.handle, g.logical_block * 8, n), (OK, data))
        c.logout()


def pinned(d):
    """KiB that the kernel may not move."""
    with open('/proc/%d/status' % d.pid) as status:
        return int(next(line for line in status
                        if line.startswith('VmPin')).split()[1])


@test
def direct_io_with_pinned_buffers_and_without():
    path = os.path.join(tmpdir(), 'd')
    may_not = ('setpriv', '--bounding-set=-ipc_lock', 'prlimit',
               '--memlock=1048576')
    for under, want in (((), 6 << 10), (may_not, 0)):
        with Vxhsd('d=%s,size=16M,cache=none' % path, 'other=%s2,size=1M' %
                   path, args=('--threads', '1'), under=under) as d:
            c = NativeClient(d.addr, d.port, 'other')
            _, g = c.open('other')
            equal(c.write(g.handle, 0, bytes(4096)), OK)
            equal(pinned(d), 0, 'through the page cache')
            _, g = c.open('d')
            equal(c.write(g.handle, 0, bytes(4096)), OK)
            equal(pinned(d), want)
            # More at a time than there are of a size, and larger ones.
            for size in (1 << 12, 3 << 12, 1 << 17, 1 << 18):
                count = min(100, (15 << 20) // size)
                blocks = [random.randbytes(size) for _ in range(count)]
                tags = {c.send(WRITE, data, handle=g.handle, length=size,
                               offset=i * size)
                        for i, data in enumerate(blocks)}
                while tags:
                    rsp, _ = c.recv()
                    tags.remove(rsp.tag)
                    equal(rsp.status, OK)
                tags = {c.send(READ, handle=g.handle, length=size,
                               offset=i * size): data
                        for i, data in enumerate(blocks)}
                while tags:
                    rsp, payload = c.recv()
                    check(tags.pop(rsp.tag) == payload, 'other data')
            c.logout()


@test
def no_space_is_reported():
    directory = tmpdir()
    if os.system('mount -t tmpfs -o size=1M none %s 2>/dev/null' % directory):
        skip('cannot mount a tmpfs')
    try:
        with Vxhsd('d=%s/d,size=16M' % directory) as d:
            c = NativeClient(d.addr, d.port, 'd')
            _, g = c.open('d')
            status = [c.write(g.handle, i << 17, b'n' * (1 << 17))
                      for i in range(32)]
            check(vxhs.NO_SPACE in status, 'statuses %r' % set(status))
            equal(set(status) - {OK, vxhs.NO_SPACE}, set())
            equal(c.read(g.handle, 0, 512), (OK, b'n' * 512))
            old = vxhs.V34Client(d.addr, d.port, 'd')
            c.logout()
            check(any(old.write((4 << 20) + (i << 17), b'v' * (1 << 17))
                      for i in range(32)), 'v34 writes "succeeded"')
            old.close()
    finally:
        os.system('umount %s' % directory)


# ------------------------------------------------------------ abuse


def conversation(name='mem'):
    """STAT, LOGIN, OPEN, WRITE, READ, FLUSH in one piece."""
    session = random.getrandbits(63) | 1
    return b''.join((
        vxhs.v34(vxhs.V34_STAT, 1, name, extra=vxhs.offer(0)),
        vxhs.request(LOGIN, 1, vxhs.login_body(session, features=0, kato=200)),
        vxhs.request(OPEN, 2, vxhs.open_body(name, RW_SHARED)),
        vxhs.request(WRITE, 3, bytes(512), handle=1, offset=SIZE - 8192),
        vxhs.request(READ, 4, handle=1, length=4096),
        vxhs.request(FLUSH, 5, handle=1)))


@test
def conversations_cut_at_any_byte():
    d = server()
    whole = conversation()
    with Opened('mem') as (c, g):
        for n in range(1, len(whole), 3):
            sock = vxhs.connect(d.addr, d.port)
            sock.sendall(whole[:n])
            sock.close()
            if n % 100 < 3:
                equal(c.ping(), OK)
    d.alive()


@test
def damaged_conversations():
    d = server()
    rng = random.Random(2)
    # Past the offset that conversation() writes to nobody else looks.
    with Opened(fresh(), RW) as (c, g):
        data = random.randbytes(4096)
        equal(c.write(g.handle, 0, data), OK)
        for i in range(1500):
            if i % 100 == 0:
                equal(c.ping(), OK)
            whole = bytearray(conversation())
            for _ in range(rng.randrange(1, 6)):
                whole[rng.randrange(len(whole))] = rng.randrange(256)
            vxhs.shout(d, whole)
        d.alive()
        equal(c.read(g.handle, 0, 4096), (OK, data), "another client's data")


@test
def an_endless_payload_is_not_kept_in_memory():
    c = client()
    _, g = c.open('mem', RW_SHARED)
    before = server().rss()
    length = 0x7ffffe00
    head = vxhs.request(WRITE, 9, handle=g.handle, length=length,
                        payload_len=length)
    chunk = bytes(1 << 20)
    try:
        c.sock.sendall(head)
        for _ in range(256):
            c.sock.sendall(chunk)
    except ConnectionError:
        pass
    check(server().rss() - before < 64 << 20, 'RSS grew')
    c.close()
    server().alive()


@test
def sigterm_answers_what_was_asked():
    path = os.path.join(tmpdir(), 'd')
    with Vxhsd('d=%s,size=64M' % path) as d:
        c = NativeClient(d.addr, d.port, 'd')
        _, g = c.open('d')
        n = min(32, c.grant.max_inflight, c.grant.max_inflight_bytes >> 17)
        tags = [c.send(WRITE, b'T' * (1 << 17), handle=g.handle,
                       offset=i << 17) for i in range(n)]
        equal(c.wait(tags[0])[0].status, OK)
        d.stop()
        answered = 1
        try:
            for tag in tags[1:]:
                equal(c.wait(tag)[0].status in (OK, vxhs.GOING_AWAY), True)
                answered += 1
        except Closed:
            pass
        c.close()
        written = sum(os.pread(os.open(path, os.O_RDONLY), 1, i << 17) == b'T'
                      for i in range(n))
        check(written >= answered, 'an answered WRITE is not in the file')
        d.stop = lambda: None


@test
def the_server_survived():
    d = server()
    d.stop()
    _shared.clear()


if __name__ == '__main__':
    main()
