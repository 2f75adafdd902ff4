#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A client in user space that recovers as section 5 of
Documentation/protocol.rst says, and the load on its vdisks.

It stands where a host with the driver stands: several lanes to one of several
portals, all vdisks on each lane. A lane that breaks is replaced within the
epoch or, by the toss of a seeded coin or where that is not allowed, the whole
session logs in again with the next epoch. What was not answered is parked,
and sent again in the order of its submission on a lane that has opened its
vdisk again.

stdin and stdout are those of load.c, but for the vdisk's number after the
word progress, and for:
  event NS TEXT       something that recovery did
  lost N              vdisk N went to another session
"""

import argparse
import collections
import ctypes
import ctypes.util
import errno
import os
import random
import select
import selectors
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import proxy
import stamp
import vxhs
from vxhs import (AGAIN, BAD_CRC, BUSY, FLUSH, FUA, GOING_AWAY, LOGIN,
                  LOGOUT, NO_SESSION, NO_SPACE, OK, OPEN, PING, READ, STALE,
                  WRITE, WRITE_ZEROES)

BLOCK = 4096
EV_RESIZED, EV_GOING_AWAY, EV_LEASE_LOST = 1, 2, 3
KINDS = {WRITE: stamp.WRITE, WRITE_ZEROES: stamp.ZERO, READ: stamp.READ,
         FLUSH: stamp.FLUSH}


def fast_crc():
    """CRC32C by the library that vxhsd uses; Python's own is slow."""
    name = ctypes.util.find_library('isal')
    if not name:
        return
    func = ctypes.CDLL(name).crc32_iscsi
    func.restype = ctypes.c_uint
    func.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_uint)

    def crc(data):
        return func(bytes(data), len(data), 0xFFFFFFFF) ^ 0xFFFFFFFF
    if crc(b'123456789') == 0xE3069283:
        vxhs.crc32c = crc


class Broken(Exception):
    """This lane is of no use any more."""


class Request:
    __slots__ = ('disk', 'op', 'block', 'nblocks', 'seq', 'ident', 'payload',
                 'flags', 'begun', 'order', 'mark', 'lane')

    def __init__(self, disk, op, block, nblocks):
        self.disk, self.op = disk, op
        self.block, self.nblocks = block, nblocks
        self.seq = self.flags = self.mark = 0
        self.payload = b''
        self.lane = None


class Disk:
    """A vdisk: its load, its log, what the session must remember of it."""

    def __init__(self, number, name, log, args):
        self.number, self.name = number, name
        self.args = args
        self.rng = random.Random('%s/%d/%d' % (args.seed, args.run, number))
        self.blocks = args.blocks
        self.log = stamp.Log(log, args.run, number, BLOCK, self.blocks,
                             args.seed)
        self.writing = bytearray(self.blocks)
        self.inflight = {}          # ident: Request
        self.ident = self.seq = self.since_flush = 0
        self.flushing = False
        self.answered = self.failed = 0
        self.queue = collections.deque()    # to be sent, in order
        self.lease = self.verifier = self.vdisk_id = self.instance = None
        self.lost = False
        # Changes that were answered; those of which a FLUSH has said that
        # they are durable.
        self.changed = self.durable = 0
        self.flush_fails = False

    # What the load does next; the same as in load.c.

    def place(self, changes):
        for _ in range(50):
            rng = self.rng
            span = 1 if rng.random() < 0.5 else rng.randint(1, self.args.span)
            size = self.blocks // 8 if rng.random() < 0.75 else self.blocks
            if size < span:
                size = self.blocks
            at = rng.randint(0, size - span)
            if not changes or not any(self.writing[at:at + span]):
                return at, span
        return None

    def next(self):
        if len(self.inflight) >= self.args.qd or self.lost:
            return None
        rng, args = self.rng, self.args
        if self.since_flush >= args.flush_every and not self.flushing:
            self.since_flush = 0
            self.flushing = True
            return self.submit(Request(self, FLUSH, 0, 0))
        op = READ if rng.random() * 100 < args.reads else \
            WRITE_ZEROES if rng.random() * 100 < args.zeros else WRITE
        where = self.place(op != READ)
        if where is None:
            return None
        self.since_flush += 1
        r = Request(self, op, *where)
        if op != READ:
            self.seq += 1
            r.seq = self.seq
            for b in range(r.block, r.block + r.nblocks):
                self.writing[b] = 1
        if op == WRITE:
            if rng.random() * 100 < args.fua:
                r.flags = FUA
            now = stamp.now()
            r.payload = b''.join(
                stamp.block(args.run, b, r.seq, now, self.number)
                for b in range(r.block, r.block + r.nblocks))
        return self.submit(r)

    def submit(self, r):
        self.ident += 1
        r.ident = self.ident
        self.inflight[r.ident] = r
        r.begun = time.monotonic()
        self.log.note(KINDS[r.op], r.ident, r.block, r.nblocks, seq=r.seq,
                      flags=r.flags)
        return r

    def done(self, r, result, data=b''):
        """Exactly once for each request."""
        del self.inflight[r.ident]
        if r.op == READ and not result:
            self.look(r, data)
        self.log.note(stamp.DONE, r.ident, result=result)
        self.log.commit()
        if r.op in (WRITE, WRITE_ZEROES):
            for b in range(r.block, r.block + r.nblocks):
                self.writing[b] = 0
            if not result and not r.flags & FUA:
                self.changed += 1
        elif r.op == FLUSH:
            self.flushing = False
            if not result:
                self.durable = max(self.durable, r.mark)
        if result:
            self.failed += 1
        else:
            self.answered += 1

    def look(self, r, data):
        for i in range(r.nblocks):
            b = r.block + i
            found, bad = stamp.look(data[i * BLOCK:(i + 1) * BLOCK], b,
                                    self.number)
            for text in bad:
                say('event %d block %d: %s' % (stamp.now(), b, text))
            if bad:
                mask = 0xff
                for m in found.values():
                    mask &= ~m
                self.log.note(stamp.BAD, r.ident, b, mask)
            for (run, seq), mask in found.items():
                self.log.note(stamp.SEEN, r.ident, b, mask, seq=seq, flags=run)

    # The verifier (5.4).

    def saw_verifier(self, verifier):
        if self.verifier not in (None, verifier) and \
                self.changed > self.durable and not self.flush_fails:
            self.flush_fails = True
            say('event %d vdisk %s lost %d unflushed writes' % (
                stamp.now(), self.name, self.changed - self.durable))
        self.verifier = verifier


def say(text):
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.exit(1)


class Lane:
    """A connection; broken() tells the session once, by an exception."""

    def __init__(self, session, index, portal):
        self.session, self.index, self.portal = session, index, portal
        self.state = 'connect'
        self.epoch = session.epoch
        self.tag = 0
        self.asked = {}             # tag: what was asked
        self.asked_at = 0
        self.rx = self.tx = time.monotonic()
        self.buf = bytearray()
        self.out = bytearray()
        self.features = 0
        self.grant = None
        self.bytes = 0
        self.opened = {}            # disk: handle
        self.parked = collections.defaultdict(list)
        self.again = []             # [when, what to do]
        self.head = None
        family = socket.AF_INET6 if ':' in portal[0] else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked_at = self.rx
        err = self.sock.connect_ex(portal)
        if err not in (0, errno.EINPROGRESS):
            proxy.reset(self.sock)
            raise Broken(os.strerror(err))
        session.selector.register(self.sock, selectors.EVENT_WRITE, self)
        self.interest = selectors.EVENT_WRITE

    def abort(self):
        """As the driver does it: nothing of it goes out any more."""
        self.session.selector.unregister(self.sock)
        proxy.reset(self.sock)
        self.state = 'dead'

    # ---------------------------------------------------------- sending

    def frame(self, what, op, payload=b'', **kw):
        self.tag += 1
        if not self.asked:
            self.asked_at = time.monotonic()
        self.asked[self.tag] = what
        self.out += vxhs.request(op, self.tag, payload,
                                 features=self.features, **kw)

    def flush_out(self):
        while self.out:
            try:
                n = self.sock.send(self.out[:1 << 18])
            except BlockingIOError:
                break
            except OSError as exc:
                raise Broken('send: %s' % exc.strerror) from exc
            del self.out[:n]
            self.tx = time.monotonic()
        want = selectors.EVENT_READ | (
            selectors.EVENT_WRITE if self.out else 0)
        if want != self.interest and self.state != 'connect':
            self.session.selector.modify(self.sock, want, self)
            self.interest = want

    def has_credit(self, r):
        return len(self.asked) < min(self.grant.max_inflight, 64) and \
            self.bytes + r.nblocks * BLOCK <= self.grant.max_inflight_bytes

    def request(self, r):
        r.lane = self
        r.mark = r.disk.changed
        self.bytes += r.nblocks * BLOCK
        kw = {}
        if r.op != FLUSH:
            kw = dict(offset=r.block * BLOCK, length=r.nblocks * BLOCK)
        self.frame(r, r.op, r.payload, handle=self.opened[r.disk],
                   flags=r.flags, **kw)

    def open(self, disk):
        s = self.session
        options = vxhs.TAKE_OVER if s.args.take_over and \
            disk.lease is None else 0
        lease = disk.lease or 0
        if s.args.forgetful_server and disk.instance != s.instance:
            lease = 0
        self.frame(('open', disk), OPEN, vxhs.open_body(
            disk.name, vxhs.RW, options, lease))

    # -------------------------------------------------------- receiving

    def event(self, events):
        if self.state == 'connect':
            err = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if err:
                raise Broken('connect: ' + os.strerror(err))
            self.state = 'stat'
            self.asked['stat'] = 'stat'
            self.asked_at = self.rx = time.monotonic()
            self.out += vxhs.v34(vxhs.V34_STAT, 1,
                                 self.session.disks[0].name,
                                 extra=vxhs.offer(self.session.args.features))
        if events & selectors.EVENT_READ:
            self.receive()
        if self.state != 'dead':
            self.flush_out()

    def receive(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as exc:
            raise Broken('receive: %s' % exc.strerror) from exc
        if not data:
            raise Broken('closed by the server')
        self.rx = time.monotonic()
        self.buf += data
        if self.state == 'stat' and not self.take_stat():
            return
        at = 0
        while self.state != 'dead' and len(self.buf) - at >= 32:
            used = self.take_frame(at)
            if not used:
                break
            at += used
        del self.buf[:at]

    def take_stat(self):
        if len(self.buf) < 256:
            return False
        msg = vxhs.v34_get(bytes(self.buf[:256]))
        if msg.payload_size > 4096 or msg.marker != vxhs.V34_MARKER:
            raise Broken('no STAT reply')
        if len(self.buf) < 256 + msg.payload_size:
            return False
        choice = vxhs.get_offer(msg.offer)
        if choice.magic != vxhs.CHOICE_MAGIC or choice.min != 1 or \
                choice.max != 1 or \
                choice.features & ~self.session.args.features:
            raise Broken('a choice that was not offered')
        del self.buf[:256 + msg.payload_size]
        del self.asked['stat']
        self.features = choice.features
        self.state = 'login'
        self.login()
        return True

    def login(self):
        s = self.session
        self.frame('login', LOGIN, vxhs.login_body(
            s.id, s.epoch, self.index, s.args.lanes, s.args.kato,
            s.args.features, s.args.host_id))

    def take_frame(self, at):
        head = bytes(self.buf[at:at + 32])
        rsp = vxhs.Rsp(*vxhs._RSP.unpack(head))
        if rsp.magic not in (vxhs.RSP_MAGIC, vxhs.EVT_MAGIC):
            raise Broken('magic %#x' % rsp.magic)
        if (self.features & vxhs.F_HEADER_CRC or rsp.op == LOGIN) and \
                rsp.header_crc != vxhs.crc32c(head[:28]):
            raise Broken('header_crc')
        if rsp.magic == vxhs.EVT_MAGIC:
            self.take_event(rsp)
            return 32
        what = self.asked.get(rsp.tag)
        if what is None:
            raise Broken('an answer to nothing (tag %d)' % rsp.tag)
        if rsp.payload_len > 1 << 20 or rsp.status and rsp.payload_len:
            raise Broken('payload_len %d' % rsp.payload_len)
        if len(self.buf) - at < 32 + rsp.payload_len:
            return 0
        data = bytes(self.buf[at + 32:at + 32 + rsp.payload_len])
        if data and self.features & vxhs.F_DATA_CRC and \
                rsp.payload_crc != vxhs.crc32c(data):
            raise Broken('payload_crc')
        del self.asked[rsp.tag]
        self.asked_at = time.monotonic()
        if isinstance(what, Request):
            self.answered(what, rsp, data)
        elif what == 'login':
            self.logged_in(rsp, data)
        elif isinstance(what, tuple):
            self.was_opened(what[1], rsp, data)
        elif rsp.status:
            raise Broken('%s: status %d' % (what, rsp.status))
        elif what == 'logout':
            self.state = 'out'
        return 32 + rsp.payload_len

    def take_event(self, rsp):
        say('event %d event %d' % (stamp.now(), rsp.op))
        if rsp.op == EV_GOING_AWAY:
            raise Broken('the server is going away')
        if rsp.op == EV_LEASE_LOST:
            for disk, handle in self.opened.items():
                if handle == rsp.tag and not disk.lost:
                    self.open(disk)

    def logged_in(self, rsp, data):
        s = self.session
        if rsp.status == AGAIN:
            self.later(0.1, self.login)
            return
        if rsp.status:
            s.refused(self, 'LOGIN: status %d' % rsp.status)
        if len(data) != 64:
            raise Broken('a LOGIN reply of %d bytes' % len(data))
        self.grant = vxhs.Grant(*vxhs._LOGIN_RSP.unpack(data))
        if self.grant.features != self.features:
            raise Broken('LOGIN chose other features than STAT')
        s.logged_in(self)
        self.state = 'up'
        for disk in s.disks:
            if not disk.lost:
                self.open(disk)

    def was_opened(self, disk, rsp, data):
        if disk.lost:
            return
        if rsp.status in (AGAIN, BUSY):
            self.session.count['open again'] += 1
            self.later(0.1 + 0.05 * random.random(),
                       lambda: self.open(disk))
            return
        if rsp.status == STALE:
            self.session.disk_lost(disk, 'OPEN: STALE')
            return
        if rsp.status or len(data) != 80:
            raise Broken('OPEN: status %d' % rsp.status)
        g = vxhs.Geometry(*vxhs._OPEN_RSP.unpack(data))
        if disk.vdisk_id not in (None, g.vdisk_id) or \
                g.size < disk.blocks * BLOCK:
            raise SystemExit('vdisk %s has become another one' % disk.name)
        if disk.lease is None:
            if self.session.args.take_over:
                disk.log.note(stamp.MARK, 0, stamp.FENCE)
                disk.log.commit()
            say('event %d vdisk %s is open' % (stamp.now(), disk.name))
        disk.vdisk_id, disk.lease = g.vdisk_id, g.lease
        disk.instance = self.session.instance
        disk.saw_verifier(g.verifier)
        self.session.opened_at = time.monotonic()
        known = self.opened.get(disk)
        if known not in (None, g.handle):
            raise SystemExit('OPEN gave another handle within an epoch')
        for lane in self.session.lanes:
            if lane and lane.opened.get(disk, g.handle) != g.handle:
                raise SystemExit('lanes of an epoch have different handles')
        self.opened[disk] = g.handle
        for r in self.parked.pop(disk, ()):
            self.session.count['replayed'] += 1
            self.request(r)

    def answered(self, r, rsp, data):
        self.bytes -= r.nblocks * BLOCK
        disk = r.disk
        if disk.lost:
            return
        if rsp.op != r.op or rsp.status == OK and rsp.payload_len != (
                r.nblocks * BLOCK if r.op == READ else
                8 if r.op == FLUSH else 0):
            self.asked[rsp.tag] = r
            raise Broken('an answer to another question')
        if rsp.status == BAD_CRC:
            self.request(r)
            return
        if rsp.status in (NO_SESSION, GOING_AWAY) or \
                rsp.status == STALE and self.session.args.doubt_stale:
            self.session.count['status %d' % rsp.status] += 1
            # It is parked with the others.
            self.asked[rsp.tag] = r
            self.session.force_epoch = True
            raise Broken('status %d' % rsp.status)
        if rsp.status == STALE and not self.session.args.doubt_stale:
            self.session.disk_lost(disk, 'STALE')
            return
        result = 0 if rsp.status == OK else \
            -errno.ENOSPC if rsp.status == NO_SPACE else -errno.EIO
        if r.op == FLUSH and not result:
            disk.saw_verifier(struct.unpack('<Q', data)[0])
            if disk.flush_fails:
                result = -errno.EIO
        disk.done(r, result, data)

    # ------------------------------------------------------------- time

    def later(self, seconds, func):
        self.again.append([time.monotonic() + seconds, func])

    def tick(self, now):
        for item in [item for item in self.again if item[0] <= now]:
            self.again.remove(item)
            item[1]()
        kato = self.session.kato
        if (self.asked or self.state == 'connect') and \
                now - max(self.rx, self.asked_at) > kato:
            raise Broken('silent for %d ms' % (kato * 1000))
        if self.state == 'up' and 'ping' not in self.asked.values() and \
                (now - self.rx > kato / 2 or now - self.tx > kato / 2):
            self.frame('ping', PING)


class Session:
    def __init__(self, args):
        self.args = args
        self.id = random.SystemRandom().getrandbits(63) + 1
        self.rng = random.Random('%s/session' % args.seed)
        self.opened_at = time.monotonic()   # a vdisk, or began to try
        self.selector = selectors.DefaultSelector()
        self.kato = args.kato / 1000
        self.epoch = 1
        self.instance = None
        self.portals = args.portal
        self.portal = 0
        self.lanes = [None] * args.lanes
        self.orphans = [{} for _ in range(args.lanes)]
        self.disks = [Disk(number, name, log, args)
                      for number, name, log in args.vdisk]
        self.order = 0
        self.force_epoch = False
        self.next_try = 0
        self.tries = 0
        self.count = collections.Counter()
        self.paused = self.ending = self.said_paused = False

    # --------------------------------------------------------- recovery

    def recover(self, why):
        """A new epoch: all lanes end, all requests are parked."""
        say('event %d epoch %d ends: %s' % (stamp.now(), self.epoch, why))
        self.count['epochs'] += 1
        for lane in self.lanes:
            if lane:
                self.park(lane)
        for i, parked in enumerate(self.orphans):
            for disk, requests in parked.items():
                disk.queue.extend(requests)
            self.orphans[i] = {}
        for disk in self.disks:
            disk.queue = collections.deque(
                sorted(disk.queue, key=lambda r: r.order))
        self.lanes = [None] * self.args.lanes
        self.epoch += 1
        self.instance = None
        self.force_epoch = False

    def park(self, lane):
        """End a lane; what it had not answered goes to orphans."""
        lane.abort()
        parked = self.orphans[lane.index]
        for what in lane.asked.values():
            if isinstance(what, Request):
                parked.setdefault(what.disk, []).append(what)
        for disk, requests in lane.parked.items():
            parked.setdefault(disk, []).extend(requests)
        for requests in parked.values():
            requests.sort(key=lambda r: r.order)
        self.lanes[lane.index] = None

    def broken(self, lane, why):
        """A lane has ended: replace it, or begin a new epoch."""
        if self.lanes[lane.index] is not lane:
            return
        if lane.state != 'up' and not any(
                l and l.state == 'up' for l in self.lanes):
            # Nothing of this epoch ever worked: another portal.
            self.portal = (self.portal + 1) % len(self.portals)
        others = any(l and l is not lane and l.state == 'up'
                     for l in self.lanes)
        if others and lane.state == 'up' and not self.force_epoch and \
                self.rng.random() < 0.5:
            say('event %d lane %d ends: %s' % (stamp.now(), lane.index, why))
            self.count['lanes replaced'] += 1
            self.park(lane)
        else:
            self.recover('lane %d: %s' % (lane.index, why))
        self.tries += 1
        self.next_try = time.monotonic() + min(0.5, 0.05 * self.tries) * \
            (0.5 + self.rng.random())

    def refused(self, lane, why):
        self.force_epoch = True
        raise Broken(why)

    def logged_in(self, lane):
        instance = lane.grant.server_id, lane.grant.instance
        if self.instance is None:
            self.instance = instance
        elif self.instance != instance:
            self.force_epoch = True
            raise Broken('another server instance in this epoch')
        self.kato = lane.grant.kato / 1000
        self.opened_at = max(self.opened_at, time.monotonic())
        lane.parked.update(self.orphans[lane.index])
        self.orphans[lane.index] = {}
        self.tries = 0

    def disk_lost(self, disk, why):
        """Its lease went to another: what is parked is history."""
        say('event %d vdisk %s is lost: %s' % (stamp.now(), disk.name, why))
        disk.lost = True
        disk.queue.clear()
        for parked in self.orphans:
            parked.pop(disk, None)
        for lane in self.lanes:
            if lane:
                lane.parked.pop(disk, None)
        for r in list(disk.inflight.values()):
            disk.done(r, -errno.ESTALE)
        say('lost %d' % disk.number)

    def connect(self, now):
        """Lanes that are missing, the first one first."""
        if now < self.next_try:
            return
        if len(self.portals) > 1 and self.instance is not None and \
                now - self.opened_at > self.kato and not any(
                    lane and lane.opened for lane in self.lanes):
            # It answers, but another server has the storage.
            self.portal = (self.portal + 1) % len(self.portals)
            self.recover('no vdisk can be opened here')
        up = self.instance is not None
        for index in range(self.args.lanes):
            if self.lanes[index] is None:
                try:
                    self.lanes[index] = Lane(self, index,
                                             self.portals[self.portal])
                except Broken:
                    self.portal = (self.portal + 1) % len(self.portals)
                    self.next_try = now + 0.1
                    return
            if not up:
                return

    # -------------------------------------------------------------- load

    def generate(self):
        for disk in self.disks:
            while not self.paused and not self.ending:
                r = disk.next()
                if r is None:
                    break
                self.order += 1
                r.order = self.order
                disk.queue.append(r)
            disk.log.commit()
            self.dispatch(disk)

    def dispatch(self, disk):
        while disk.queue:
            r = disk.queue[0]
            lanes = [lane for lane in self.lanes if lane and
                     disk in lane.opened and lane.has_credit(r)]
            if not lanes:
                return
            disk.queue.popleft()
            if r.lane is not None:
                self.count['replayed'] += 1
            lanes[r.order % len(lanes)].request(r)

    # ------------------------------------------------------------- orders

    def orders(self, state={'text': ''}):
        while select.select([0], [], [], 0)[0]:
            data = os.read(0, 4096).decode()
            if not data:
                self.ending = True
                return
            *lines, state['text'] = (state['text'] + data).split('\n')
            for line in lines:
                self.obey(line.split())
            if self.ending:
                return

    def obey(self, words):
        if words == ['pause']:
            self.paused, self.said_paused = True, False
        elif words == ['resume']:
            self.paused = False
            say('resumed')
        elif words == ['stop']:
            self.ending = True
        elif words and words[0] == 'mark':
            for disk in self.disks:
                disk.log.note(stamp.MARK, 0, int(words[1]),
                              seq=int(words[2]))
                disk.log.commit()
            say('marked')
        elif words == ['ack-loss']:
            for disk in self.disks:
                disk.flush_fails = False
                disk.durable = disk.changed
                disk.log.note(stamp.MARK, 0, stamp.ACK_LOSS)
                disk.log.commit()
            say('acknowledged')

    def idle(self):
        return not any(disk.inflight for disk in self.disks)

    def report(self, now):
        for disk in self.disks:
            oldest = min((r.begun for r in disk.inflight.values()),
                         default=now)
            say('progress %d %d %d %d %d %d' % (
                disk.number, stamp.now(), disk.answered, disk.failed,
                len(disk.inflight), (now - oldest) * 1000))

    def step(self, wait):
        for key, events in self.selector.select(wait):
            lane = key.data
            if lane.state == 'dead':
                continue
            self.guarded(lane, lambda: lane.event(events))

    def guarded(self, lane, func):
        try:
            func()
        except Broken as exc:
            self.broken(lane, str(exc))

    def run(self):
        next_report = 0
        while not self.ending or not self.idle():
            now = time.monotonic()
            self.orders()
            if now >= next_report:
                next_report = now + self.args.report / 1000
                self.report(now)
            self.connect(now)
            self.generate()
            for lane in list(self.lanes):
                if lane and self.lanes[lane.index] is lane:
                    self.guarded(lane, lambda: lane.tick(now))
                if lane and lane.state not in ('dead', 'connect'):
                    self.guarded(lane, lane.flush_out)
            if self.paused and self.idle() and not self.said_paused:
                self.said_paused = True
                say('paused')
            self.step(0.02)
        self.goodbye()

    def goodbye(self):
        for disk in self.disks:
            disk.log.note(stamp.END, 0)
            disk.log.close()
        self.report(time.monotonic())
        if self.args.logout:
            for lane in self.lanes:
                if lane and lane.state == 'up':
                    lane.frame('logout', LOGOUT)
            end = time.monotonic() + 2
            while time.monotonic() < end and any(
                    lane and lane.state == 'up' for lane in self.lanes):
                for lane in self.lanes:
                    if lane and lane.state == 'up':
                        self.guarded(lane, lane.flush_out)
                self.step(0.02)
        say('event %d %s' % (stamp.now(), dict(self.count)))
        say('done')


def vdisk(text):
    """NUMBER:NAME:LOG"""
    number, name, log = text.split(':', 2)
    return int(number), name, log


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.
                                     RawDescriptionHelpFormatter)
    parser.add_argument('--portal', type=proxy.address, action='append',
                        required=True)
    parser.add_argument('--vdisk', type=vdisk, action='append', required=True,
                        metavar='NUMBER:NAME:LOG')
    parser.add_argument('--lanes', type=int, default=2)
    parser.add_argument('--kato', type=int, default=1000, help='ms')
    parser.add_argument('--features', type=int, default=7)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--run', type=int, default=1)
    parser.add_argument('--blocks', type=int, default=1024)
    parser.add_argument('--qd', type=int, default=16)
    parser.add_argument('--span', type=int, default=8)
    parser.add_argument('--reads', type=int, default=30)
    parser.add_argument('--fua', type=int, default=5)
    parser.add_argument('--zeros', type=int, default=2)
    parser.add_argument('--flush-every', type=int, default=64)
    parser.add_argument('--report', type=int, default=200, help='ms')
    parser.add_argument('--host-id', type=bytes.fromhex,
                        default=b'fault-lab-client')
    parser.add_argument('--take-over', action='store_true')
    parser.add_argument('--forgetful-server', action='store_true',
                        help='it forgets leases when it restarts: OPEN with '
                        '0 then')
    parser.add_argument('--doubt-stale', action='store_true',
                        help='STALE in answer to I/O is not final: ask again '
                        'in a new epoch')
    parser.add_argument('--no-logout', dest='logout', action='store_false')
    args = parser.parse_args()
    fast_crc()
    Session(args).run()


if __name__ == '__main__':
    main()
