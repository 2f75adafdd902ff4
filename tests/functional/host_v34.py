#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd serves v34 clients, and answers correctly in every case in which
existing v34 servers die, wedge, spin or lie."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import Vxhsd, check, equal, main, test, tmpdir
from vxhs import (V34_READ, V34_READY, V34_STAT, V34_WRITE, Closed,
                  NativeClient, V34Client)

SIZE = 100 << 20
ENOENT, EINVAL, EOPNOTSUPP = 2, 5, 62

_shared = {}


def server():
    """One vxhsd for all tests; must survive them all."""
    if not _shared:
        path = os.path.join(tmpdir(), 'disk0')
        _shared['path'] = path
        _shared['d'] = Vxhsd('disk0=%s,size=%d' % (path, SIZE),
                             'mem=memory,size=%d' % SIZE,
                             'ro=memory,size=1M,ro', 'own=memory,size=1M')
    _shared['d'].alive()
    return _shared['d']


def client(vdisk='disk0', **kw):
    d = server()
    return V34Client(d.addr, d.port, vdisk, **kw)


def in_step(c):
    """The connection still frames correctly."""
    equal(c.stat(), (0, SIZE), 'STAT afterwards')


def refused(c, op, what, errs=None, **kw):
    msg, payload = c.call(op, **kw)
    check(msg.err != 0, what + ' was answered with success')
    if errs:
        check(msg.err in errs, '%s: err %d' % (what, msg.err))
    equal(payload, b'', what + ': payload of an error')
    in_step(c)


def answered_or_closed(what, data):
    """A request that may end its connection, but nothing else."""
    c = client()
    c.sock.settimeout(10)
    try:
        c.sock.sendall(data)
        msg, payload = c.recv()
        check(msg.err != 0 and not payload, what + ' succeeded')
        in_step(c)
    except Closed:
        pass
    except TimeoutError:
        raise AssertionError(what + ' wedged its connection') from None
    c.close()
    server().alive()


@test
def captured_frames():
    """The exchange that was captured from existing clients and servers."""
    d = server()
    head = bytes.fromhex
    rows = {
        'stat': ('1eaba15c000000000000000002000000'
                 '0000000004030201efbeadde0400ed03', '30', 0, ''),
        'write': ('1eaba15c000200000000000001000000'
                  '0000000000ffeeddccbbaa990000ff2f', '09', 1,
                  '0010000000000000000200'),
        'read': ('1eaba15c000000000000000001000000'
                 '0000000088776655443322118800ff1f', '11', 1,
                 '0010000000000000000200'),
        'ready': ('1eaba15c000000000000000001000000'
                  '0000000004030201efbeadde0400e407', '30', 0, ''),
    }

    def frame(first, flags, io_flags, middle):
        data = bytearray(256)
        data[:32] = head(first)
        data[36:36 + len(middle) // 2] = head(middle)
        data[69] = io_flags
        data[76:77] = head(flags)
        data[96:101] = b'disk0'
        return bytes(data)

    sock = vxhs.connect(d.addr, d.port)
    content = random.randbytes(512)
    size = head('50533130000000300000000100000005'
                '00000010766469736b5f73697a655f62'
                '797465730000000000000000') + (SIZE).to_bytes(4, 'big')
    for name, sent, payload in (('stat', b'', size), ('write', content, b''),
                                ('read', b'', content), ('ready', b'', b'')):
        request = frame(*rows[name])
        want = bytearray(request)
        want[4:12] = len(payload).to_bytes(8, 'little')
        answer = 0x40 if request[76] & 0x20 else 0x02
        want[68:84] = answer.to_bytes(8, 'little') * 2
        sock.sendall(request + sent)
        equal(vxhs.recv_exact(sock, 256).hex(), want.hex(), name + ' reply')
        equal(vxhs.recv_exact(sock, len(payload)), payload, name)
    sock.close()


@test
def stat():
    c = client()
    equal(c.stat(), (0, SIZE))
    equal(c.stat(payload=vxhs.kvset(5)), (0, SIZE), 'with a property set')
    equal(c.stat(payload=bytes(5000)), (0, SIZE), 'with any payload')
    msg, _ = c.call(V34_STAT, err=77)
    equal(msg.err, 0, "the client's err")
    c.close()


@test
def no_trailer_without_an_offer():
    c = client()
    for trailer, extra in ((bytes(64), bytes(28)), (b'\xa5' * 64, b'\xa5' * 28),
                           (bytes(64), vxhs.offer(magic=0x52485856))):
        msg, _ = c.call(V34_STAT, trailer=trailer, extra=extra)
        equal((msg.trailer, msg.offer), (bytes(64), bytes(28)), 'trailer')
    msg, _ = c.call(V34_READ, offset=0, size=512, extra=vxhs.offer())
    equal(msg.offer, bytes(28), 'an offer outside STAT')
    c.close()


@test
def ready():
    c = client()
    equal(c.call(V34_READY)[0].err, 0)
    refused(c, V34_READY, 'READY of an unknown vdisk', target='nope')
    equal(c.call(V34_READY, err=77)[0].err, 0, "the client's err")
    c.close()


@test
def unknown_vdisks():
    c = client()
    refused(c, V34_STAT, 'STAT', (ENOENT,), target='nope')
    refused(c, V34_READ, 'READ', (ENOENT,), target='nope', size=4096)
    refused(c, V34_WRITE, 'WRITE', (ENOENT,), target='nope', size=4096,
            payload=bytes(4096))
    refused(c, V34_READ, 'READ of 1 GiB', target='nope', size=1 << 30)
    c.close()


@test
def targets():
    c = client()
    equal(c.stat(target='/disk0'), (0, SIZE), 'a leading slash, as QEMU sends')
    equal(c.write(0, b't' * 512, target='/disk0'), 0)
    equal(c.read(0, 512), (0, b't' * 512))
    for target in (b'', b'/', b'.', b'..', b'\xff' * 64, b'd' * 64,
                   b'../../../../etc/passwd', b'x/'):
        refused(c, V34_STAT, 'STAT of %r' % target, target=target)
        refused(c, V34_READ, 'READ of %r' % target, target=target, size=512)
    c.close()


@test
def io_of_any_size_and_alignment():
    for name in ('disk0', 'mem'):
        c = client(name)
        equal(c.write(0, b'.' * 8192), 0)
        equal(c.write(3, b'hello'), 0, '5 bytes at offset 3')
        equal(c.read(0, 16)[1], b'...hello........')
        for n in (1, 511, 513, 4095, 65537, 1 << 20, 4 << 20):
            data = random.randbytes(n)
            offset = random.randrange(SIZE - n)
            equal(c.write(offset, data), 0, 'WRITE of %d' % n)
            equal(c.read(offset, n), (0, data), 'READ of %d' % n)
        c.close()


@test
def io_of_16_mib_or_a_clean_refusal():
    c = client()
    data = random.randbytes(16 << 20)
    if c.write(0, data) == 0:
        equal(c.read(0, len(data)), (0, data))
    else:
        err, got = c.read(0, len(data))
        check(err and not got, 'READ of 16 MiB gave %d bytes' % len(got))
    in_step(c)
    c.close()


@test
def replies_to_sync_and_async():
    c = client()
    for op, kw in ((V34_READ, dict(size=512)),
                   (V34_WRITE, dict(size=512, payload=bytes(512)))):
        ask = 0x10 if op == V34_READ else 0x08
        for flags, want in ((ask | 1, 2), (ask, 2), (ask | 0x20, 0x40),
                            (ask | 0x21, 0x40)):
            msg, _ = c.call(op, flags=flags, **kw)
            equal((msg.flags, msg.io_flags, msg.err), (want, want, 0),
                  'opcode %#x flags %#x' % (op, flags))
    c.close()


@test
def err_is_never_echoed():
    c = client()
    for err in (77, -5, 901):
        equal(c.read(0, 512, err=err)[0], 0, 'READ')
        equal(c.write(0, bytes(512), err=err), 0, 'WRITE')
        equal(c.call(0x1234, err=err)[0].err, EOPNOTSUPP)
    c.close()


@test
def read_past_the_end():
    c = client()
    equal(c.write(SIZE - 512, b'e' * 512), 0)
    for offset, size in ((SIZE - 512, 1024), (SIZE, 512), (SIZE + 4096, 512)):
        err, data = c.read(offset, size)
        if err:
            equal(data, b'', 'payload of an error')
        else:
            have = max(0, SIZE - offset)
            equal(data, b'e' * have + bytes(size - have))
        in_step(c)
    c.close()


@test
def write_past_the_end_is_refused_and_extends_nothing():
    for name in ('disk0', 'mem'):
        c = client(name)
        equal(c.write(SIZE - 512, b'E' * 512), 0)
        for offset, n in ((SIZE - 512, 1024), (SIZE, 512), (SIZE + 4096, 1)):
            refused(c, V34_WRITE, 'WRITE past the end', offset=offset, size=n,
                    payload=b'x' * n)
        equal(c.read(SIZE - 512, 512), (0, b'E' * 512))
        c.close()
    equal(os.stat(_shared['path']).st_size, SIZE, 'file size')


@test
def offsets_that_wrap_do_not_hit_block_0():
    c = client()
    equal(c.write(0, b'0' * 4096), 0)
    for offset in (1 << 63, (1 << 64) - 512, (1 << 64) - 1, 1 << 60,
                   (1 << 63) - 512):
        refused(c, V34_WRITE, 'WRITE at %#x' % offset, offset=offset,
                size=1024, payload=b'w' * 1024)
        refused(c, V34_READ, 'READ at %#x' % offset, offset=offset, size=1024)
    equal(c.read(0, 4096), (0, b'0' * 4096), 'block 0')
    c.close()


@test
def zero_sizes():
    c = client()
    equal(c.read(0, 0), (0, b''), 'READ')
    c.call(V34_WRITE, size=0)
    in_step(c)
    c.close()


@test
def io_size_that_is_not_the_payloads():
    c = client()
    equal(c.write(0, b'p' * 8192), 0)
    for size in (4096, 0, 1 << 60):
        msg, _ = c.call(V34_WRITE, size=size, payload=b'q' * 512)
        in_step(c)
        want = b'p' if msg.err else b'q'
        equal(c.read(0, 4096)[1], want * 512 + b'p' * 3584)
        equal(c.write(0, b'p' * 512), 0)
    c.close()


@test
def unknown_opcodes_are_not_acknowledged():
    c = client()
    for op in (0, 1, 2017, 2019, 0x3FFF, 0xFFFF):
        refused(c, op, 'opcode %d' % op, (EOPNOTSUPP,))
        refused(c, op, 'opcode %d' % op, (EOPNOTSUPP,), size=4096)
        refused(c, op, 'opcode %d with a payload' % op, (EOPNOTSUPP,),
                payload=b'u' * 5000)
        refused(c, op, 'opcode %d sync' % op, (EOPNOTSUPP,), flags=0x30)
    c.close()


@test
def write_data_types():
    c = client()
    for kind in (1, 2):
        equal(c.write(0, b'k' * 512, data_type=kind), 0, 'data_type')
    for kind in (0, 3, -1, 1 << 30):
        refused(c, V34_WRITE, 'data_type %d' % kind, data_type=kind, size=512,
                payload=b'K' * 512)
    equal(c.read(0, 512), (0, b'k' * 512))
    c.close()


@test
def neither_ack_nor_response_wanted():
    for flags in (0, 1, 0x20, 0x80, 0xffffffffffffffff):
        for op, n in ((V34_READ, 0), (V34_WRITE, 512), (V34_STAT, 0)):
            c = client()
            c.sock.settimeout(1)
            try:
                c.call(op, flags=flags, size=512, payload=bytes(n))
                in_step(c)
            except (Closed, TimeoutError):
                pass
            c.close()
            server().alive()


@test
def enormous_sizes():
    for n in (1 << 60, 1 << 63, (1 << 64) - 1, 1 << 40, 1 << 32):
        c = client()
        refused(c, V34_READ, 'READ of %#x' % n, size=n)
        c.close()
        for op in (V34_WRITE, V34_READ, V34_STAT, V34_READY, 0x1234):
            c = client()
            before = server().rss()
            c.sock.settimeout(5)
            try:
                c.sock.sendall(vxhs.v34(op, 1, 'disk0', size=n & 0xffff,
                                        payload_size=n))
                for _ in range(32):
                    c.sock.sendall(bytes(1 << 20))
                # Draining for ever is an answer too, keeping is not.
            except (OSError, Closed):
                pass
            check(server().rss() - before < 24 << 20, 'it keeps the payload')
            c.close()
    other = client()
    in_step(other)
    other.close()


@test
def read_with_a_payload():
    c = client()
    equal(c.write(0, b'r' * 512), 0)
    msg, data = c.call(V34_READ, size=512, payload=b'?' * 3000)
    if msg.err == 0:
        equal(data, b'r' * 512)
    in_step(c)
    c.close()


@test
def a_bad_marker_closes_the_connection():
    for at in range(4):
        c = client()
        frame = bytearray(vxhs.v34(V34_STAT, 1, 'disk0'))
        frame[at] ^= 0x10
        before = server().cpu()
        c.sock.sendall(frame)
        check(vxhs.is_closed(c.sock, 10), 'the connection stayed open')
        check(server().cpu() - before < 2, 'it spins')
        c.close()
    answered_or_closed('garbage', os.urandom(100000))
    answered_or_closed('an HTTP request', b'GET / HTTP/1.1\r\n\r\n' * 20)
    answered_or_closed('a native frame without negotiation',
                       vxhs.request(vxhs.PING, 1) * 10)


@test
def a_peer_that_does_not_read():
    c = client()
    c.sock.settimeout(2)
    before = server().rss()
    burst = b''.join(vxhs.v34(V34_READ, i, 'disk0', size=65536)
                     for i in range(2000))
    try:
        c.sock.sendall(burst)
    except (OSError, Closed):
        pass
    time.sleep(0.5)
    cpu = server().cpu()
    time.sleep(2)
    check(server().cpu() - cpu < 0.5, 'it spins: %.2f s of CPU in 2 s' %
          (server().cpu() - cpu))
    check(server().rss() - before < 64 << 20, 'RSS grew by %d MiB' %
          ((server().rss() - before) >> 20))
    other = client()
    in_step(other)
    other.close()
    c.close()


@test
def a_half_closed_peer_gets_its_answers():
    c = client()
    for i in range(20):
        c.send(V34_READ, offset=i * 4096, size=4096)
    c.sock.shutdown(1)
    got = 0
    try:
        while True:
            c.recv()
            got += 1
    except Closed:
        pass
    # Either all, or the connection is gone; never a hang.
    check(got <= 20, 'more answers than questions')
    c.close()
    server().alive()


@test
def no_memory_is_leaked():
    c = client('mem')
    for _ in range(20):
        c.read(0, 1 << 20)
    before = server().rss()
    for _ in range(200):
        equal(c.read(0, 1 << 20)[0], 0)
    for _ in range(2000):
        c.call(V34_STAT)
    check(server().rss() - before < 32 << 20, 'RSS grew by %d MiB' %
          ((server().rss() - before) >> 20))
    c.close()


@test
def pipelined_requests():
    c = client()
    data = random.randbytes(64 * 4096)
    equal(c.write(0, data), 0)
    want = {}
    burst = b''
    for i in range(64):
        c.cookie += 1
        want[c.cookie] = i
        burst += vxhs.v34(V34_READ, c.cookie, 'disk0', offset=i * 4096,
                          size=4096)
    c.sock.sendall(burst)
    for _ in range(64):
        msg, got = c.recv()
        i = want.pop(msg.cookie)
        equal(got, data[i * 4096:(i + 1) * 4096], 'block %d' % i)
    c.close()


@test
def the_same_cookie_twice():
    # v34 servers do not look at cookies.
    c = client()
    c.sock.sendall(vxhs.v34(V34_READ, 5, 'disk0', size=512) * 2)
    equal([c.recv()[0].cookie for _ in range(2)], [5, 5])
    c.close()


@test
def requests_byte_by_byte():
    c = client()
    data = random.randbytes(300)
    for byte in vxhs.v34(V34_WRITE, 1, 'disk0', data, 700, 300):
        c.sock.sendall(bytes((byte,)))
    equal(c.recv()[0].err, 0)
    equal(c.read(700, 300), (0, data))
    c.close()


@test
def read_only_exports():
    c = client('ro')
    equal(c.read(0, 512), (0, bytes(512)))
    check(c.write(0, b'x' * 512) != 0, 'a WRITE succeeded')
    equal(c.read(0, 512), (0, bytes(512)))
    c.close()


@test
def a_vdisk_that_a_native_session_has_exclusively():
    d = server()
    native = NativeClient(d.addr, d.port, 'own')
    status, g = native.open('own', vxhs.RW)
    equal(status, vxhs.OK)
    equal(native.write(g.handle, 0, b'n' * 4096), vxhs.OK)
    c = client('own')
    check(c.write(0, b'v' * 4096) != 0, 'a v34 WRITE went into it')
    equal(native.read(g.handle, 0, 4096), (vxhs.OK, b'n' * 4096))
    native.logout()
    equal(c.write(0, b'v' * 4096), 0, 'after LOGOUT')
    c.close()


@test
def truncated_requests():
    d = server()
    whole = vxhs.v34(V34_STAT, 1, 'disk0') + \
        vxhs.v34(V34_WRITE, 2, 'disk0', bytes(512), 8192, 512)
    for n in range(1, len(whole), 5):
        sock = vxhs.connect(d.addr, d.port)
        sock.sendall(whole[:n])
        sock.close()
    d.alive()


@test
def damaged_requests():
    d = server()
    rng = random.Random(34)
    watch = client('mem')
    data = random.randbytes(4096)
    equal(watch.write(4096, data), 0)
    for _ in range(800):
        frame = bytearray(vxhs.v34(
            rng.choice((V34_STAT, V34_READ, V34_WRITE, V34_READY)), 1, 'disk0',
            bytes(rng.choice((0, 512))), rng.randrange(1 << 20), 512))
        for _ in range(rng.randrange(1, 5)):
            # Not the target: another's data may well be named by chance.
            at = rng.choice([i for i in range(len(frame))
                             if not 96 <= i < 160])
            frame[at] = rng.randrange(256)
        vxhs.shout(d, frame + os.urandom(64))
    d.alive()
    equal(watch.read(4096, 4096), (0, data), "another vdisk's data")
    watch.close()


@test
def the_server_survived():
    server().stop()
    _shared.clear()


if __name__ == '__main__':
    main()
