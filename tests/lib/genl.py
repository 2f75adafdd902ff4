# SPDX-License-Identifier: GPL-2.0
"""Just enough generic netlink to send the vxhs family what vxhsctl never
would, and to call it without a process for each call."""

import os
import socket
import struct

NETLINK_GENERIC = 16
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NESTED = 0x8000

ATTACH, DETACH, DISK_GET, SESSION_GET, SET, ACK_LOSS = 1, 2, 3, 4, 6, 7
A_DISK, A_SESSION = 2, 3
D_INDEX, D_VDISK, D_MODE, D_HOST_ID, D_LANES = 1, 2, 3, 4, 5
D_POLL_LANES = 15
D_FAST_IO_FAIL_TMO, D_IO_TIMEOUT, D_SHUTDOWN_TMO = 17, 18, 19
D_LOST, D_LOSSES, D_SLOW, D_PARKED, D_FAILED = 20, 21, 22, 23, 24
D_FORCE, D_TAKE_OVER = 25, 26
S_KATO, S_DIGESTS = 13, 20
S_RECONNECT_DELAY, S_REPLAY_DELAY, S_RECOVERIES, S_KATO_ASKED = 21, 22, 23, 24
S_TLS, S_TLS_PEERNAME, S_TLS_IDENTITY, S_TLS_PSK = 25, 26, 27, 28
S_ALLOW_UNVERIFIED = 29
NEVER = 0xffffffff
S_ID, S_HOST, S_PORTAL, S_SOURCE, S_INTERFACE = 1, 2, 3, 5, 6
P_ADDRESS, P_PORT, P_SCOPE = 1, 2, 3
READ_ONLY, EXCLUSIVE, SHARED = 0, 1, 2
HOST_ID = b'genl-test-hostid'


class Error(OSError):
    """What the kernel answered: errno and its sentence."""


def attr(kind, data):
    if isinstance(data, str):
        data = data.encode() + b'\0'
    elif isinstance(data, int):
        data = struct.pack('<I', data)
    return struct.pack('<HH', 4 + len(data), kind) + data + \
        bytes(-len(data) % 4)


def nest(kind, *attrs):
    return attr(kind | NESTED, b''.join(attrs))


def portal(address, port, scope=None):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    extra = [] if scope is None else [attr(P_SCOPE, scope)]
    return nest(S_PORTAL, attr(P_ADDRESS, socket.inet_pton(family, address)),
                attr(P_PORT, struct.pack('<H', port)), *extra)


def parse(data):
    """Attributes as a list of (kind, data)."""
    out = []
    while len(data) >= 4:
        length, kind = struct.unpack_from('<HH', data)
        if length < 4:
            break
        out.append((kind & 0x3fff, data[4:length]))
        data = data[(length + 3) & ~3:]
    return out


class Genl:
    def __init__(self, family='vxhs'):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                  NETLINK_GENERIC)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.sock.bind((0, 0))
        self.sock.settimeout(30)
        self.seq = 0
        self.family = 0x10
        answer = self.call(3, attr(2, family), version=2)
        self.family = struct.unpack('<H', dict(parse(answer[0]))[1])[0]

    def close(self):
        self.sock.close()

    def send(self, command, payload=b'', flags=0, version=1, length=None):
        self.seq += 1
        body = struct.pack('<BBH', command, version, 0) + payload
        self.sock.send(struct.pack(
            '<IHHII', 16 + len(body) if length is None else length,
            self.family, NLM_F_REQUEST | NLM_F_ACK | flags, self.seq, 0) +
            body)

    def recv(self):
        """Payloads of the answers, until it is done; Error for an error."""
        answers = []
        while True:
            data = self.sock.recv(1 << 17)
            while len(data) >= 16:
                length, kind, _, seq, _ = struct.unpack_from('<IHHII', data)
                message, data = data[16:length], data[(length + 3) & ~3:]
                if seq != self.seq:
                    continue
                if kind == NLMSG_ERROR:
                    error = -struct.unpack_from('<i', message)[0]
                    if not error:
                        return answers
                    text = dict(parse(message[20:])).get(1, b'')
                    raise Error(error, text.rstrip(b'\0').decode())
                if kind == NLMSG_DONE:
                    return answers
                answers.append(message[4:])

    def call(self, command, payload=b'', **kw):
        self.send(command, payload, **kw)
        return self.recv()

    def attach(self, server, name, mode=EXCLUSIVE, lanes=1, index=None,
               poll_lanes=0, digests=0):
        """Attaches and returns N of /dev/vxhsN."""
        disk = [attr(D_VDISK, name), attr(D_MODE, mode),
                attr(D_HOST_ID, HOST_ID), attr(D_LANES, lanes)]
        if index is not None:
            disk.append(attr(D_INDEX, index))
        if poll_lanes:
            disk.append(attr(D_POLL_LANES, poll_lanes))
        answer = self.call(ATTACH, nest(A_DISK, *disk) + nest(
            A_SESSION, attr(S_HOST, 'test'), attr(S_DIGESTS, digests),
            portal(server.addr, server.port)))
        disk = dict(parse(dict(parse(answer[0]))[A_DISK]))
        return struct.unpack('<I', disk[D_INDEX])[0]

    def detach(self, index, force=False):
        self.call(DETACH, nest(A_DISK, attr(D_INDEX, index),
                               *[attr(D_FORCE, 1)] * force))

    def disks(self):
        """Indexes of all disks."""
        out = []
        for answer in self.call(DISK_GET, flags=NLM_F_DUMP):
            disk = dict(parse(dict(parse(answer))[A_DISK]))
            out.append(struct.unpack('<I', disk[D_INDEX])[0])
        return out


_fail_nth = []


def fail_nth(n):
    """The n-th allocation of this thread from now on fails; 0 for none.
    Returns whether the last one asked for was still to come."""
    if not _fail_nth:           # kept open: to open it allocates
        _fail_nth.append(os.open('/proc/thread-self/fail-nth', os.O_RDWR))
    left = int(os.pread(_fail_nth[0], 32, 0).split(b'\0')[0] or b'0')
    os.pwrite(_fail_nth[0], b'%d' % n, 0)
    return left > 0
