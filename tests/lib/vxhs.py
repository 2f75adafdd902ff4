# SPDX-License-Identifier: GPL-2.0
"""Both wire protocols in Python, written from Documentation/protocol.rst and
from nothing else: frames, clients to test a server with, and servers to test
a client with (one that behaves, one that can be told to misbehave)."""

import argparse
import collections
import ctypes
import os
import random
import socket
import struct
import sys
import threading
import time

# ---------------------------------------------------------------- CRC32C


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc_table()


def crc32c_by_table(data):
    crc = 0xFFFFFFFF
    table = _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_function():
    """Python's loop, or what gives the same, much faster, where it is there:
    for emulated machines."""
    try:
        isal = ctypes.CDLL('libisal.so.2').crc32_iscsi
    except (OSError, AttributeError):
        return crc32c_by_table
    isal.restype = ctypes.c_uint32
    isal.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32)

    def crc32c(data):
        data = bytes(data)
        return isal(data, len(data), 0xFFFFFFFF) ^ 0xFFFFFFFF
    for probe in (b'', b'123456789', bytes(range(256)) * 5):
        if crc32c(probe) != crc32c_by_table(probe):
            return crc32c_by_table
    return crc32c


crc32c = _crc_function()


# ---------------------------------------------------------------- native

VERSION = 1
OFFER_MAGIC = 0x53485856
CHOICE_MAGIC = 0x52485856
REQ_MAGIC = 0x51525856
RSP_MAGIC = 0x50525856
EVT_MAGIC = 0x56455856

F_HEADER_CRC, F_DATA_CRC, F_EVENTS = 1, 2, 4

LOGIN, OPEN, CLOSE, PING, LOGOUT = 1, 2, 3, 4, 5
READ, WRITE, FLUSH, DISCARD, WRITE_ZEROES = 0x10, 0x11, 0x12, 0x13, 0x14
FUA, NO_UNMAP = 1, 2

(OK, IO, INVALID, NOT_FOUND, DENIED, READ_ONLY, NO_SPACE, BUSY, STALE,
 UNSUPPORTED, AGAIN, GOING_AWAY, NO_SESSION, BAD_CRC) = range(14)

EV_RESIZED, EV_GOING_AWAY, EV_LEASE_LOST = 1, 2, 3

RO, RW, RW_SHARED = 0, 1, 2
TAKE_OVER = 1

CAP_FLUSH, CAP_FUA, CAP_DISCARD, CAP_ZEROES, CAP_ROTATIONAL, CAP_RO = (
    1, 2, 4, 8, 16, 32)

_OFFER = struct.Struct('<IHHQ12s')
_REQ = struct.Struct('<IBBHQIIQIIII')
_RSP = struct.Struct('<IBBHQIIII')
_LOGIN_REQ = struct.Struct('<16sQIHHIHHQ16s')
_LOGIN_RSP = struct.Struct('<16sQIIIIHHQ12s')
_OPEN_REQ = struct.Struct('<IIQH')
_OPEN_RSP = struct.Struct('<IIQIIIIIIII16sQQ')
assert (_OFFER.size, _REQ.size, _RSP.size) == (28, 48, 32)
assert (_LOGIN_REQ.size, _LOGIN_RSP.size) == (64, 64)
assert (_OPEN_REQ.size, _OPEN_RSP.size) == (18, 80)

Offer = collections.namedtuple('Offer', 'magic min max features zero')
Req = collections.namedtuple(
    'Req', 'magic op flags prio tag handle length offset payload_len '
    'payload_crc reserved header_crc')
Rsp = collections.namedtuple(
    'Rsp', 'magic op flags status tag payload_len payload_crc server_us '
    'header_crc')
Login = collections.namedtuple(
    'Login', 'host_id session epoch lane lanes kato min max features zero')
Grant = collections.namedtuple(
    'Grant', 'server_id instance max_inflight max_inflight_bytes max_io kato '
    'version reserved features zero')
OpenReq = collections.namedtuple('OpenReq', 'mode options lease name')
Geometry = collections.namedtuple(
    'Geometry', 'handle caps size logical_block physical_block io_min io_opt '
    'max_discard max_write_zeroes discard_granularity reserved vdisk_id '
    'verifier lease')


def offer(features=7, vmin=VERSION, vmax=VERSION, magic=OFFER_MAGIC):
    return _OFFER.pack(magic, vmin, vmax, features, bytes(12))


def choice(version=VERSION, features=0):
    return _OFFER.pack(CHOICE_MAGIC, version, version, features, bytes(12))


def get_offer(trailer):
    return Offer(*_OFFER.unpack(trailer[-28:]))


def request(op, tag, payload=b'', handle=0, offset=0, length=None, flags=0,
            features=0, prio=0, magic=REQ_MAGIC, payload_len=None,
            reserved=0, payload_crc=None, header_crc=None):
    """A request's bytes; the keywords let a test lie in each field."""
    if length is None:
        length = len(payload) if op == WRITE else 0
    if payload_len is None:
        payload_len = len(payload)
    if payload_crc is None:
        payload_crc = crc32c(payload) if features & F_DATA_CRC and payload \
            else 0
    head = _REQ.pack(magic, op, flags, prio, tag, handle, length, offset,
                     payload_len, payload_crc, reserved, 0)
    if header_crc is None:
        header_crc = crc32c(head[:44]) if features & F_HEADER_CRC or \
            op == LOGIN else 0
    return head[:44] + struct.pack('<I', header_crc) + payload


def reply(req, payload=b'', status=OK, features=0, op=None, tag=None,
          magic=RSP_MAGIC, flags=0, payload_len=None, payload_crc=None,
          header_crc=None):
    """A reply's bytes; again each field can be a lie."""
    if payload_len is None:
        payload_len = len(payload)
    if payload_crc is None:
        payload_crc = crc32c(payload) if features & F_DATA_CRC and payload \
            else 0
    op = req.op if op is None else op
    head = _RSP.pack(magic, op, flags, status,
                     req.tag if tag is None else tag, payload_len,
                     payload_crc, 0, 0)
    if header_crc is None:
        header_crc = crc32c(head[:28]) if features & F_HEADER_CRC or \
            op == LOGIN and magic == RSP_MAGIC else 0
    return head[:28] + struct.pack('<I', header_crc) + bytes(payload)


def event(kind, handle=0, features=F_EVENTS):
    head = _RSP.pack(EVT_MAGIC, kind, 0, 0, handle, 0, 0, 0, 0)
    crc = crc32c(head[:28]) if features & F_HEADER_CRC else 0
    return head[:28] + struct.pack('<I', crc)


def login_body(session, epoch=1, lane=0, lanes=1, kato=0, features=7,
               host_id=b'test-host-uuid16', vmin=VERSION, vmax=VERSION):
    return _LOGIN_REQ.pack(host_id, session, epoch, lane, lanes, kato, vmin,
                           vmax, features, bytes(16))


def open_body(name, mode=RW, options=0, lease=0, name_len=None):
    name = name.encode() if isinstance(name, str) else name
    return _OPEN_REQ.pack(mode, options, lease, len(name) if name_len is None
                          else name_len) + name


# ---------------------------------------------------------------- QNIO v34

V34_MARKER = 0x5CA1AB1E
V34_STAT, V34_READY, V34_READ, V34_WRITE = 1005, 2020, 0x1FFF, 0x2FFF
V34_RAW, V34_KVSET = 1, 2
V34_REQ, V34_RESP, V34_NEED_ACK, V34_NEED_RESP = 1, 2, 8, 0x10
V34_SYNC_REQ, V34_SYNC_RESP, V34_APP = 0x20, 0x40, 0x100

_V34 = struct.Struct('<IQIiQBBH4sQQQQQQQI64s4s64s28s')
assert _V34.size == 256

V34Msg = collections.namedtuple(
    'V34Msg', 'marker payload_size data_type err cookie crc pad0 op pad1 '
    'offset size nbytes seqno io_flags flags remote_hdl remote_flags target '
    'pad2 trailer offer')


def v34(op, cookie, target=b'', payload=b'', offset=0, size=0, data_type=None,
        flags=None, io_flags=None, err=0, payload_size=None, marker=V34_MARKER,
        trailer=bytes(64), extra=bytes(28)):
    """A v34 request's bytes, by default as existing clients send them."""
    target = target.encode() if isinstance(target, str) else target
    if data_type is None:
        data_type = V34_KVSET if op == V34_STAT else V34_RAW
    if flags is None:
        flags = {V34_READ: 0x11, V34_WRITE: 0x09}.get(op, 0x30)
    if io_flags is None:
        io_flags = V34_APP if op in (V34_READ, V34_WRITE) else 0
    if payload_size is None:
        payload_size = len(payload)
    return _V34.pack(marker, payload_size, data_type & 0xffffffff, err, cookie,
                     cookie & 0xFF, 0, op, bytes(4), offset, size, 0, 0,
                     io_flags, flags, 0, 0, target, bytes(4), trailer,
                     extra) + payload


def v34_get(head):
    return V34Msg(*_V34.unpack(head))


def kvset(size, key=b'vdisk_size_bytes', kind=5):
    body = struct.pack('>II', kind, len(key)) + key + struct.pack('>IQ', 0,
                                                                  size)
    return b'PS10' + struct.pack('>II', 12 + len(body), 1) + body


def kvset_size(data):
    """The size in a STAT reply, exactly as existing clients insist on it."""
    if data != kvset(struct.unpack('>Q', data[-8:])[0]):
        raise ValueError('unexpected property set: ' + data.hex())
    return struct.unpack('>Q', data[-8:])[0]


# ---------------------------------------------------------------- sockets


class Closed(Exception):
    """The other end closed or reset the connection."""


def connect(addr, port, timeout=20, source=None):
    sock = socket.create_connection((addr, port), timeout,
                                    (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def recv_exact(sock, n):
    data = bytearray(n)
    view = memoryview(data)
    while view:
        try:
            got = sock.recv_into(view)
        except ConnectionError as exc:
            raise Closed(str(exc)) from exc
        if not got:
            raise Closed('end of stream, %d bytes missing' % len(view))
        view = view[got:]
    return bytes(data)


def send_all(sock, data):
    try:
        sock.sendall(data)
    except ConnectionError as exc:
        raise Closed(str(exc)) from exc


def is_closed(sock, timeout=5):
    """Does the other end close this connection without sending anything?"""
    sock.settimeout(timeout)
    try:
        return sock.recv(1) == b''
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def shout(d, data):
    """Sends something to a server, which may close the connection of it."""
    sock = connect(d.addr, d.port)
    sock.settimeout(0.005)
    try:
        sock.sendall(data)
        while sock.recv(65536):
            pass
    except OSError:
        pass
    sock.close()


# ---------------------------------------------------------------- clients


class V34Client:
    """One connection that speaks v34 as existing clients do."""

    def __init__(self, addr, port, vdisk='disk0', timeout=20, sock=None):
        self.vdisk = vdisk
        self.sock = sock or connect(addr, port, timeout)
        self.cookie = random.getrandbits(48)

    def close(self):
        self.sock.close()

    def send(self, op, **kw):
        self.cookie += 1
        kw.setdefault('target', self.vdisk)
        send_all(self.sock, v34(op, self.cookie, **kw))
        return self.cookie

    def recv(self):
        """Next reply: (header, payload)."""
        msg = v34_get(recv_exact(self.sock, 256))
        if msg.marker != V34_MARKER:
            raise ValueError('marker %#x' % msg.marker)
        if msg.payload_size > 1 << 28:
            raise ValueError('payload_size %d' % msg.payload_size)
        return msg, recv_exact(self.sock, msg.payload_size)

    def call(self, op, **kw):
        cookie = self.send(op, **kw)
        msg, payload = self.recv()
        if msg.cookie != cookie:
            raise ValueError('a reply to something else')
        return msg, payload

    def stat(self, **kw):
        msg, payload = self.call(V34_STAT, **kw)
        return msg.err, kvset_size(payload) if payload else 0

    def read(self, offset, size, **kw):
        msg, payload = self.call(V34_READ, offset=offset, size=size, **kw)
        return msg.err, payload

    def write(self, offset, data, **kw):
        msg, payload = self.call(V34_WRITE, offset=offset, size=len(data),
                                 payload=data, **kw)
        if payload:
            raise ValueError('a WRITE reply with a payload')
        return msg.err


class NativeClient:
    """One native lane; by default logged in as the only one of a session."""

    def __init__(self, addr, port, vdisk='disk0', features=0, session=None,
                 epoch=1, lane=0, lanes=1, kato=0, login=True, timeout=20,
                 host_id=b'test-host-uuid16', sock=None, source=None):
        self.session = session or random.getrandbits(63) + 1
        self.features = 0
        self.tag = 0
        self.stash = {}
        self.events = []
        self.host_id = host_id
        self.sock = sock or connect(addr, port, timeout, source)
        send_all(self.sock, v34(V34_STAT, 1, vdisk, extra=offer(features)))
        self.stat = v34_get(recv_exact(self.sock, 256))
        self.stat_payload = recv_exact(self.sock, self.stat.payload_size)
        self.choice = get_offer(self.stat.offer)
        if self.choice.magic != CHOICE_MAGIC or not self.choice.min:
            raise ValueError('the server did not choose the native dialect')
        self.features = self.choice.features
        self.offered = features
        if login:
            status = self.login(epoch, lane, lanes, kato)
            if status != OK:
                raise ValueError('LOGIN: status %d' % status)

    def close(self):
        self.sock.close()

    def send(self, op, payload=b'', tag=None, **kw):
        if tag is None:
            self.tag += 1
            tag = self.tag
        kw.setdefault('features', self.features)
        send_all(self.sock, request(op, tag, payload, **kw))
        return tag

    def recv(self):
        """Next frame: (header, payload)."""
        while True:
            head = recv_exact(self.sock, 32)
            rsp = Rsp(*_RSP.unpack(head))
            want = 0
            if self.features & F_HEADER_CRC or \
                    rsp.op == LOGIN and rsp.magic == RSP_MAGIC:
                want = crc32c(head[:28])
            if rsp.header_crc != want:
                raise ValueError('header_crc %#x, not %#x' %
                                 (rsp.header_crc, want))
            if rsp.magic == EVT_MAGIC:
                self.events.append(rsp)
                continue
            break
        if rsp.magic != RSP_MAGIC or rsp.flags:
            raise ValueError('not a reply: %r' % (rsp,))
        if rsp.status and rsp.payload_len:
            raise ValueError('an error with a payload')
        if rsp.payload_len > 1 << 26:
            raise ValueError('payload_len %d' % rsp.payload_len)
        payload = recv_exact(self.sock, rsp.payload_len)
        want = crc32c(payload) if self.features & F_DATA_CRC and payload else 0
        if rsp.payload_crc != want:
            raise ValueError('payload_crc %#x, not %#x' %
                             (rsp.payload_crc, want))
        return rsp, payload

    def wait(self, tag):
        while tag not in self.stash:
            rsp, payload = self.recv()
            if rsp.tag in self.stash:
                raise ValueError('tag %d answered twice' % rsp.tag)
            self.stash[rsp.tag] = rsp, payload
        return self.stash.pop(tag)

    def call(self, op, payload=b'', **kw):
        tag = self.send(op, payload, **kw)
        rsp, data = self.wait(tag)
        if rsp.op != op:
            raise ValueError('opcode %d answered with %d' % (op, rsp.op))
        return rsp, data

    def login(self, epoch=1, lane=0, lanes=1, kato=0, features=None):
        if features is None:
            features = self.offered
        rsp, body = self.call(LOGIN, login_body(
            self.session, epoch, lane, lanes, kato, features, self.host_id))
        if rsp.status == OK:
            self.grant = Grant(*_LOGIN_RSP.unpack(body))
        return rsp.status

    def open(self, name, mode=RW, options=0, lease=0, patience=10):
        """OPEN, asking again while the answer is AGAIN: (status, geometry)."""
        end = time.monotonic() + patience
        while True:
            rsp, body = self.call(OPEN, open_body(name, mode, options, lease))
            if rsp.status != AGAIN or time.monotonic() > end:
                break
            time.sleep(0.1)
        if rsp.status:
            return rsp.status, None
        return OK, Geometry(*_OPEN_RSP.unpack(body))

    def io(self, op, handle, offset=0, length=0, **kw):
        rsp, _ = self.call(op, handle=handle, offset=offset, length=length,
                           **kw)
        return rsp.status

    def read(self, handle, offset, length):
        rsp, data = self.call(READ, handle=handle, offset=offset,
                              length=length)
        if not rsp.status and len(data) != length:
            raise ValueError('READ of %d gave %d' % (length, len(data)))
        return rsp.status, data

    def write(self, handle, offset, data, **kw):
        rsp, _ = self.call(WRITE, data, handle=handle, offset=offset, **kw)
        return rsp.status

    def flush(self, handle):
        rsp, body = self.call(FLUSH, handle=handle)
        return rsp.status, struct.unpack('<Q', body)[0] if body else None

    def ping(self):
        return self.call(PING)[0].status

    def logout(self):
        status = self.call(LOGOUT)[0].status
        self.close()
        return status


def client(d, vdisk='d', **kw):
    """A client of a server (harness.Vxhsd) that does not soon fall silent."""
    kw.setdefault('kato', 5000)
    return NativeClient(d.addr, d.port, vdisk, **kw)


def opened(d, vdisk='d', mode=RW, options=0, lease=0, **kw):
    """Such a client, and the vdisk that it has opened."""
    c = client(d, vdisk, **kw)
    status, geometry = c.open(vdisk, mode, options, lease)
    if status != OK:
        raise AssertionError('OPEN: status %d' % status)
    return c, geometry


# ---------------------------------------------------------------- servers


class Conn:
    """A server's end of a connection: buffered in both directions."""

    def __init__(self, sock, peer):
        self.sock = sock
        self.peer = peer
        self.features = 0
        self.login = None
        self.names = {}             # anything a server keeps per connection
        self.buf = memoryview(bytearray(1 << 18))
        self.start = self.end = 0
        self.out = []
        self.out_bytes = 0

    def _fill(self):
        self.flush()
        got = self.sock.recv_into(self.buf)
        if not got:
            raise Closed('end of stream')
        self.start, self.end = 0, got

    def read(self, n):
        """Exactly n bytes, as a new bytearray."""
        data = bytearray(n)
        view = memoryview(data)
        while view:
            have = min(len(view), self.end - self.start)
            if have:
                view[:have] = self.buf[self.start:self.start + have]
                self.start += have
                view = view[have:]
            elif len(view) >= len(self.buf):
                self.flush()
                got = self.sock.recv_into(view)
                if not got:
                    raise Closed('end of stream')
                view = view[got:]
            else:
                self._fill()
        return data

    def send(self, *parts):
        """Queue; sent together with others once nothing more is buffered."""
        for part in parts:
            self.out.append(part)
            self.out_bytes += len(part)
        if self.start == self.end or self.out_bytes > 1 << 20:
            self.flush()

    def flush(self):
        if self.out:
            data, self.out, self.out_bytes = self.out, [], 0
            self.sock.sendall(b''.join(data) if len(data) > 1 else data[0])

    def dribble(self, data, pause=0):
        """Byte by byte."""
        self.flush()
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])
            if pause:
                time.sleep(pause)


def silent(conn, *rest):
    """A hook of a server that says no more, whatever comes."""
    try:
        while conn.sock.recv(65536):
            pass
    except OSError:
        pass
    raise Closed('silent')


class Disk:
    """Backing store of a test server: memory, or a sparse file by path."""

    def __init__(self, size, path=None):
        self.size = size
        self.fd = None
        if path:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(self.fd).st_size < size:
                os.ftruncate(self.fd, size)
        else:
            self.data = bytearray(size)
            self.view = memoryview(self.data)

    def read(self, offset, length):
        if self.fd is not None:
            data = os.pread(self.fd, length, offset)
        else:
            data = bytes(self.view[offset:offset + length])
        return data + bytes(length - len(data))

    def write(self, offset, data):
        if self.fd is not None:
            os.pwrite(self.fd, data, offset)
            self.size = max(self.size, offset + len(data))
        else:
            self.view[offset:offset + len(data)] = data


class Server:
    """Accepts connections, a thread each; subclasses say what happens."""

    def __init__(self, disks=None, addr='127.0.0.1', port=0):
        self.disks = disks if disks is not None else {'disk0': Disk(64 << 20)}
        family = socket.AF_INET6 if ':' in addr else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((addr, port))
        self.listener.listen(512)
        self.addr = addr
        self.port = self.listener.getsockname()[1]
        self.conns = set()
        self.accepted = 0
        self.errors = []            # what a test should not see happen
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def _accept(self):
        while True:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            conn = Conn(sock, peer)
            self.conns.add(conn)
            threading.Thread(target=self._run, args=(conn,),
                             daemon=True).start()

    def _run(self, conn):
        try:
            self.serve(conn)
            conn.flush()
        except (Closed, OSError):
            pass
        except Exception as exc:    # a test's hook went wrong: say so
            self.errors.append(repr(exc))
            print('server: %r' % exc, file=sys.stderr)
        finally:
            self.conns.discard(conn)
            conn.sock.close()

    def stop(self):
        # close() alone would leave accept() in its thread listening
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def drop(self):
        """Cut all connections."""
        for conn in list(self.conns):
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(self, conn):
        raise NotImplementedError


class V34Server(Server):
    """Behaves as existing v34 servers do, their oddities included: the reply
    is the request's own header, the trailer is zero, unknown opcodes
    "succeed", err comes back, a sync WRITE is answered as an async one.

    hook(conn, msg, head, payload), if set, is asked first and returns True
    where it has dealt with the request."""

    def __init__(self, *args, hook=None, ready_err=0, **kw):
        self.hook = hook
        self.ready_err = ready_err
        self.seen = collections.Counter()
        super().__init__(*args, **kw)

    def serve(self, conn):
        while True:
            self.one(conn)

    def one(self, conn):
        head = conn.read(256)
        (marker, payload_size, _, _, _, _, _, op, _, offset, size, _, _, _,
         flags, _, _, target, _, _, _) = _V34.unpack(head)
        if marker != V34_MARKER:
            time.sleep(3600)        # wedged for good
        payload = conn.read(payload_size) if payload_size else b''
        self.seen[op] += 1
        if self.hook and self.hook(conn, v34_get(head), head, payload):
            return
        name = bytes(target).split(b'\0', 1)[0].decode().rsplit('/', 1)[-1]
        self.answer(conn, head, op, self.disks.get(name), offset, size,
                    flags, payload)

    def answer(self, conn, head, op, disk, offset, size, flags, payload):
        data = b''
        err = None                  # the request's comes back
        data_type = None
        sync = bool(flags & V34_SYNC_REQ)
        if op == V34_STAT:
            data = kvset(disk.size if disk else 0)
            data_type = V34_KVSET
        elif op == V34_READ:
            if not disk:
                raise Closed('it exits here')
            data = disk.read(offset, size)
            data_type = V34_RAW
        elif op == V34_WRITE:
            if not disk or not payload:
                raise Closed('it exits here')
            disk.write(offset, payload)
            err = 0
            sync = False
        elif op == V34_READY:
            err = self.ready_err
        conn.send(self.head(head, data, err, data_type, sync), data)

    @staticmethod
    def head(head, data=b'', err=None, data_type=None, sync=False,
             payload_size=None):
        """The request's own header, turned into a reply."""
        head = bytearray(head)
        struct.pack_into('<Q', head, 4, len(data) if payload_size is None
                         else payload_size)
        if data_type is not None:
            struct.pack_into('<I', head, 12, data_type)
        if err is not None:
            struct.pack_into('<i', head, 16, err)
        answer = V34_SYNC_RESP if sync else V34_RESP
        struct.pack_into('<QQ', head, 68, answer, answer)
        head[164:] = bytes(92)
        return head


class NativeServer(Server):
    """A correct native server whose every step can be replaced.

    on_connect(conn), on_stat(conn, head), on_login/on_open/on_io(conn, req,
    payload): hooks that return True where they have dealt with it. grant
    and geometry override single fields of the replies."""

    def __init__(self, *args, features=0, grant=None, geometry=None,
                 on_connect=None, on_stat=None, on_login=None, on_open=None,
                 on_io=None, **kw):
        self.features = features
        self.grant = dict(server_id=b'python-test-svr!', instance=1,
                          max_inflight=64, max_inflight_bytes=16 << 20,
                          max_io=1 << 20, kato=5000, version=VERSION,
                          reserved=0, features=None, zero=bytes(12))
        self.grant.update(grant or {})
        self.geometry = dict(handle=None, caps=CAP_FLUSH | CAP_FUA |
                             CAP_DISCARD | CAP_ZEROES, size=None,
                             logical_block=512, physical_block=4096,
                             io_min=4096, io_opt=0, max_discard=1 << 20,
                             max_write_zeroes=1 << 20,
                             discard_granularity=4096, reserved=0,
                             vdisk_id=None, verifier=1, lease=1)
        self.geometry.update(geometry or {})
        self.on_connect, self.on_stat = on_connect, on_stat
        self.on_login, self.on_open, self.on_io = on_login, on_open, on_io
        self.handles = {}
        self.seen = collections.Counter()
        self.damaged = 0            # requests answered with BAD_CRC
        self.lock = threading.Lock()
        super().__init__(*args, **kw)

    def serve(self, conn):
        if self.on_connect and self.on_connect(conn):
            return
        head = conn.read(256)
        if self.on_stat and self.on_stat(conn, head):
            return
        self.stat(conn, head)
        while True:
            head = conn.read(48)
            req = Req(*_REQ.unpack(head))
            self.check_crc(conn, req, head)
            payload = conn.read(req.payload_len) if req.payload_len else b''
            self.seen[req.op] += 1
            hook = {LOGIN: self.on_login, OPEN: self.on_open}.get(
                req.op, self.on_io)
            if hook and hook(conn, req, payload):
                continue
            self.handle(conn, req, payload)

    def check_crc(self, conn, req, head):
        """What a client must never get wrong; a payload may be damaged."""
        with_crc = conn.features & F_HEADER_CRC or req.op == LOGIN
        if req.header_crc != (crc32c(head[:44]) if with_crc else 0):
            raise ValueError('wrong header_crc: %r' % (req,))
        if req.payload_crc and not (conn.features & F_DATA_CRC and
                                    req.payload_len):
            raise ValueError('payload_crc without a reason: %r' % (req,))

    @staticmethod
    def intact(conn, req, payload):
        """The payload is what its CRC was made of."""
        return not (conn.features & F_DATA_CRC and payload) or \
            crc32c(payload) == req.payload_crc

    def stat(self, conn, head, trailer=None):
        """The STAT reply, with the choice unless told otherwise."""
        msg = v34_get(head)
        name = msg.target.split(b'\0', 1)[0].decode()
        disk = self.disks.get(name)
        got = get_offer(msg.offer)
        conn.features = got.features & self.features
        if trailer is None:
            trailer = choice(VERSION, conn.features)
        data = kvset(disk.size) if disk else b''
        out = V34Server.head(head, data, 0 if disk else 2, V34_KVSET, True)
        out[228:] = trailer
        conn.send(out, data)

    def handle(self, conn, req, payload):
        conn.send(self.answer(conn, req, payload))

    def answer(self, conn, req, payload):
        """The correct reply's bytes."""
        op, data, status = req.op, b'', OK
        if not self.intact(conn, req, payload):
            self.damaged += 1
            status = BAD_CRC
        elif op == LOGIN:
            conn.login = parse_login(payload)
            grant = dict(self.grant)
            if grant['features'] is None:
                grant['features'] = conn.features
            data = _LOGIN_RSP.pack(*Grant(**grant))
        elif op == OPEN:
            data = self.open(payload)
            if data is None:
                status, data = NOT_FOUND, b''
        elif op in (READ, WRITE, DISCARD, WRITE_ZEROES, FLUSH):
            disk = self.handles.get(req.handle)
            if disk is None:
                status = NO_SESSION
            elif op == READ:
                data = disk.read(req.offset, req.length)
            elif op == WRITE:
                disk.write(req.offset, payload)
            elif op == FLUSH:
                data = struct.pack('<Q', self.geometry['verifier'])
            else:
                disk.write(req.offset, bytes(req.length))
        elif op not in (CLOSE, PING, LOGOUT):
            status = UNSUPPORTED
        return reply(req, data, status, conn.features)

    def open(self, payload):
        name = bytes(payload[18:]).decode()
        disk = self.disks.get(name)
        if disk is None:
            return None
        with self.lock:
            handle = next((h for h, d in self.handles.items() if d is disk),
                          len(self.handles) + 1)
            self.handles[handle] = disk
        geometry = dict(self.geometry)
        if geometry['handle'] is None:
            geometry['handle'] = handle
        if geometry['size'] is None:
            geometry['size'] = disk.size
        if geometry['vdisk_id'] is None:
            geometry['vdisk_id'] = (name.encode() + bytes(16))[:16]
        return _OPEN_RSP.pack(*Geometry(**geometry))


def parse_login(payload):
    return Login(*_LOGIN_REQ.unpack(payload))


def parse_open(payload):
    mode, options, lease, n = _OPEN_REQ.unpack(payload[:18])
    return OpenReq(mode, options, lease, bytes(payload[18:18 + n]).decode())


# ---------------------------------------------------------------- by hand


def main():
    parser = argparse.ArgumentParser(
        description='A server for tests; ends when its stdin does.')
    parser.add_argument('dialect', choices=('v34', 'native'))
    parser.add_argument('--listen', default='127.0.0.1')
    parser.add_argument('--port', type=int, default=9999)
    parser.add_argument('--disk', action='append', default=[],
                        metavar='NAME=MIB[,FILE]')
    args = parser.parse_args()
    disks = {}
    for text in args.disk or ['disk0=64']:
        name, _, rest = text.partition('=')
        mib, _, path = rest.partition(',')
        disks[name] = Disk(int(mib) << 20, path or None)
    kind = V34Server if args.dialect == 'v34' else NativeServer
    server = kind(disks, args.listen, args.port)
    print('ready on port %d' % server.port, flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == '__main__':
    main()
