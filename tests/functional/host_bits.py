#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd and bits that turn over on the way, digests on: each bit of each
frame's header, each of what comes before the first frame, random ones of
payloads. vxhsd notices, or it does no harm: nothing but what a client asked
for is ever in a vdisk, and nobody is answered as if all were well."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import Vxhsd, check, equal, main, test
from vxhs import (BAD_CRC, CLOSE, DISCARD, F_DATA_CRC, F_EVENTS, F_HEADER_CRC,
                  FLUSH, LOGIN, LOGOUT, OK, OPEN, PING, READ, RW_SHARED, WRITE,
                  WRITE_ZEROES, Closed, NativeClient)

ALL = F_HEADER_CRC | F_DATA_CRC | F_EVENTS
SIZE = 1 << 20
BLOCK = 4096
RNG = random.Random(3)
PATTERN = RNG.randbytes(BLOCK)
STAT, HEADER = 256, 48
SESSION = 4711                  # its lane is replaced again and again

_shared = {}


def server():
    """One for all: everywhere in d is a pattern, in e are zeros, and both
    have to stay."""
    if not _shared:
        _shared['d'] = Vxhsd('d=memory,size=%d' % SIZE,
                             'e=memory,size=%d' % SIZE)
        c, g = vxhs.opened(_shared['d'], 'd', RW_SHARED)
        for at in range(0, SIZE, BLOCK):
            equal(c.write(g.handle, at, PATTERN), OK)
        c.logout()
    _shared['d'].alive()
    return _shared['d']


def intact():
    for name, want in (('d', PATTERN), ('e', bytes(BLOCK))):
        c, g = vxhs.opened(server(), name, RW_SHARED)
        status, data = c.read(g.handle, 0, SIZE)
        equal((status, data == want * (SIZE // BLOCK)), (OK, True), name)
        c.logout()


def opened(features=ALL):
    return vxhs.opened(server(), 'd', RW_SHARED, features=features,
                       session=SESSION)


def flipped(data, *bits):
    data = bytearray(data)
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


class Flips:
    """A socket that turns over one bit of what it sends."""

    def __init__(self, bit):
        d = server()
        self.sock = vxhs.connect(d.addr, d.port)
        self.left = bit

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def sendall(self, data):
        if 0 <= self.left < len(data) * 8:
            data = flipped(data, self.left)
        self.left -= len(data) * 8
        self.sock.sendall(data)


def begin(bit, patience):
    """All that a client does until it has its vdisk and reads, with a bit
    turned over. Return: it has not noticed anything."""
    d, sock = server(), Flips(bit)
    sock.settimeout(patience)
    try:
        c = NativeClient(d.addr, d.port, 'd', ALL, SESSION, kato=5000,
                         sock=sock)
        status, g = c.open('d', RW_SHARED)
        if status:
            return False
        status, data = c.read(g.handle, 8192, BLOCK)
        if status:
            return False
        equal((data == PATTERN, c.features), (True, ALL),
              'data, and what protects it, with bit %d turned over' % bit)
        return True
    except (ValueError, Closed, TimeoutError):
        return False
    finally:
        sock.close()


@test
def each_bit_until_the_vdisk_is_open():
    """Of STAT, which has no CRC, what matters is repeated by LOGIN."""
    harmless = 0
    for bit in range(STAT * 8):
        # A STAT that announces more than it brings waits for the rest.
        harmless += begin(bit, 0.25 if 4 <= bit // 8 < 12 else 20)
    check(harmless, 'no bit of STAT is without a meaning')
    frames = 2 * HEADER + 64 + len(vxhs.open_body('d'))
    for bit in range(STAT * 8, (STAT + frames) * 8):
        check(not begin(bit, 20), 'bit %d changed nothing' % bit)
    check(begin(1 << 30, 20), 'and without it, it does not work')
    intact()


@test
def each_bit_of_each_header():
    """The lane ends, and there is no answer."""
    body = vxhs.open_body('d', RW_SHARED)
    for op, payload, length in ((READ, b'', BLOCK), (WRITE, bytes(512), None),
                                (WRITE_ZEROES, b'', BLOCK),
                                (DISCARD, b'', BLOCK), (FLUSH, b'', 0),
                                (OPEN, body, 0), (CLOSE, b'', 0),
                                (PING, b'', 0), (LOGOUT, b'', 0)):
        for bit in range(HEADER * 8):
            c, g = opened()
            handle = 0 if op in (OPEN, PING, LOGOUT) else g.handle
            offset = 0 if op in (FLUSH, OPEN, CLOSE, PING, LOGOUT) else 8192
            frame = vxhs.request(op, 77, payload, handle, offset, length,
                                 features=ALL)
            vxhs.send_all(c.sock, flipped(frame, bit))
            check(vxhs.is_closed(c.sock, 20), 'opcode %#x, bit %d is answered' %
                  (op, bit))
            c.close()
    intact()


@test
def each_bit_of_a_login_without_digests():
    """Its header has a CRC all the same."""
    d = server()
    for bit in range(HEADER * 8):
        c = vxhs.client(d, 'd', login=False)
        frame = vxhs.request(LOGIN, 1, vxhs.login_body(c.session, features=0))
        vxhs.send_all(c.sock, flipped(frame, bit))
        check(vxhs.is_closed(c.sock, 20), 'bit %d is answered' % bit)
        c.close()


@test
def some_bits_of_payloads():
    """BAD_CRC, the lane stays, nothing is written; sent again it is taken."""
    c, g = opened()
    for n in range(300):
        size = RNG.choice((512, 4096, 65536 if n % 50 == 0 else 1024))
        bits = RNG.sample(range(size * 8), RNG.choice((1, 1, 2, 3)))
        data = (PATTERN * 16)[:size]
        at = RNG.randrange((SIZE - size) // BLOCK) * BLOCK
        frame = vxhs.request(WRITE, n, data, g.handle, at, features=ALL)
        for send, want in ((flipped(frame, *(HEADER * 8 + bit
                                             for bit in bits)), BAD_CRC),
                           (frame, OK)):
            vxhs.send_all(c.sock, send)
            rsp, _ = c.recv()
            equal((rsp.tag, rsp.status), (n, want), 'bits %r' % bits)
    equal(c.ping(), OK)
    c.logout()
    intact()


@test
def the_server_has_survived():
    _shared['d'].stop()


if __name__ == '__main__':
    main()
