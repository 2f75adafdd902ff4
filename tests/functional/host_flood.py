#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd under many connections: those who work notice nothing, memory and
CPU time stay bounded, nothing is left behind."""

import errno
import itertools
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from attack import compare
from harness import (Vxhsd, check, equal, eventually, main, many_files, test,
                     tmpdir)
from vxhs import NO_SPACE, OK, READ, RW, RW_SHARED, NativeClient, V34Client

many_files()
CROWD = 10000
IDLE = 16 << 10         # bytes that an idle connection may cost


def limits(**keys):
    path = os.path.join(tmpdir(), 'limits.conf')
    with open(path, 'w') as file:
        file.write('[server]\n' + ''.join(
            '%s = %s\n' % (key.replace('_', '-'), value)
            for key, value in keys.items()))
    return ('--config', path)


class Worker(threading.Thread):
    """Writes and reads back random blocks of its own stretch of a vdisk."""

    def __init__(self, make, start, blocks=256):
        super().__init__(daemon=True)
        self.make, self.first, self.blocks = make, start, blocks
        self.ending = False
        self.error = None
        self.done = 0
        self.slowest = 0
        self.start()

    def run(self):
        try:
            write, read, close = self.make()
            rng = random.Random(self.first)
            model = {}
            while not self.ending:
                n = rng.choice((1, 2, 8, 16))
                at = rng.randrange(self.blocks - n)
                data = rng.randbytes(n * 512)
                begun = time.monotonic()
                equal(write(self.first + at * 512, data), 0, 'WRITE')
                for i in range(n):
                    model[at + i] = data[i * 512:(i + 1) * 512]
                block = rng.choice(list(model))
                equal(read(self.first + block * 512, 512), (0, model[block]),
                      'READ')
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.done += 1
            for block, want in model.items():
                equal(read(self.first + block * 512, 512), (0, want), 'READ')
            close()
        except Exception as exc:
            self.error = exc

    def finish(self):
        self.ending = True
        self.join(60)
        if self.error:
            raise self.error
        check(not self.is_alive(), 'a worker hangs')
        check(self.done > 0, 'a worker did nothing')
        check(self.slowest < 10, 'a request took %.1f s' % self.slowest)


def native_worker(d, name, start, **kw):
    def make():
        c = NativeClient(d.addr, d.port, name, **kw)
        status, g = c.open(name, RW_SHARED)
        equal(status, OK)
        return (lambda offset, data: c.write(g.handle, offset, data),
                lambda offset, n: c.read(g.handle, offset, n), c.logout)
    return Worker(make, start)


def v34_worker(d, name, start):
    def make():
        c = V34Client(d.addr, d.port, name)
        return c.write, c.read, c.close
    return Worker(make, start)


@test
def both_dialects_at_once_with_verified_data():
    path = os.path.join(tmpdir(), 'f')
    with Vxhsd('file=%s,size=16M' % path, 'mem=memory,size=16M') as d:
        workers = []
        for i in range(4):
            for name in ('file', 'mem'):
                workers.append(native_worker(d, name, i << 20,
                                             features=i & 3))
                workers.append(v34_worker(d, name, (8 + i) << 20))
        time.sleep(4)
        for worker in workers:
            worker.finish()
        # What one dialect wrote the other reads.
        c = NativeClient(d.addr, d.port, 'file')
        _, g = c.open('file')
        old = V34Client(d.addr, d.port, 'file')
        for offset in range(0, 16 << 20, 1 << 20):
            equal(c.read(g.handle, offset, 1 << 17),
                  old.read(offset, 1 << 17))
        data = random.randbytes(4096)
        equal(c.write(g.handle, 0, data), OK)
        equal(old.read(0, 4096), (0, data))
        old.close()
        c.logout()


@test
def ten_thousand_idle_and_half_open_connections():
    with Vxhsd('mem=memory,size=16M', 'other=memory,size=1M',
               args=limits(client_max_conns=2 * CROWD)) as d:
        stat = vxhs.v34(vxhs.V34_STAT, 1, 'mem')
        workers = [native_worker(d, 'mem', 0), v34_worker(d, 'mem', 8 << 20)]
        eventually(lambda: all(w.done for w in workers), 'no I/O at all')
        rss = d.rss()
        crowd = []
        for i in range(CROWD):
            sock = vxhs.connect(d.addr, d.port)
            if i % 4 == 1:          # half a STAT
                sock.sendall(stat[:100])
            elif i % 4 == 2:        # a v34 client that rests
                sock.sendall(stat)
            elif i % 4 == 3:        # a native one that stops in a header
                sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'mem',
                                      extra=vxhs.offer(0)) +
                             vxhs.request(vxhs.LOGIN, 1, bytes(64))[:60])
            crowd.append(sock)
        for i in range(2, CROWD, 4):
            equal(len(vxhs.recv_exact(crowd[i], 304)), 304)
        before = [w.done for w in workers]
        eventually(lambda: all(w.done > n for w, n in zip(workers, before)),
                   'I/O stopped')
        grown = (d.rss() - rss) // CROWD
        check(grown < IDLE, '%d bytes for each connection' % grown)
        for worker in workers:
            worker.finish()
        time.sleep(1)
        cpu = d.cpu()
        time.sleep(3)
        check(d.cpu() - cpu < 1, 'idle, it used %.2f s of CPU in 3 s' %
              (d.cpu() - cpu))
        c = NativeClient(d.addr, d.port, 'mem')
        equal(c.logout(), OK)
        for sock in crowd:
            sock.close()
        eventually(lambda: d.fds() < 200, 'descriptors stay', 60)
        c = NativeClient(d.addr, d.port, 'mem')
        equal(c.logout(), OK)


@test
def a_thousand_lanes_that_rest():
    path = os.path.join(tmpdir(), 'f')
    with Vxhsd('file=%s,size=16M' % path) as d:
        def lane():
            c = NativeClient(d.addr, d.port, 'file', kato=60000)
            status, g = c.open('file', RW_SHARED)
            equal(status, OK)
            equal(c.write(g.handle, 0, bytes(1 << 17)), OK)
            equal(c.read(g.handle, 0, 1 << 17), (OK, bytes(1 << 17)))
            return c
        lanes = [lane() for _ in range(100)]
        rss = d.rss()
        lanes += [lane() for _ in range(1000)]
        grown = (d.rss() - rss) // 1000
        check(grown < IDLE, '%d bytes for each lane' % grown)
        for c in lanes:
            c.logout()


class Talker(V34Client):
    """Says all it has to say, then that it is done; listens afterwards."""

    SIZE = 1 << 16
    COUNT = 600         # more than a connection may have unanswered

    def __init__(self, d, data):
        super().__init__(d.addr, d.port, 'mem')
        self.data = data
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    def writes(self, cookie):
        return cookie % 10 == 0

    def talk(self):
        self.sock.sendall(b''.join(
            vxhs.v34(vxhs.V34_WRITE, i, 'mem', self.data, size=self.SIZE)
            if self.writes(i) else
            vxhs.v34(vxhs.V34_READ, i, 'mem', size=self.SIZE)
            for i in range(self.COUNT)))
        self.sock.shutdown(socket.SHUT_WR)

    def listen(self):
        left = set(range(self.COUNT))
        while left:
            msg, payload = self.recv()
            left.remove(msg.cookie)
            equal(msg.err, 0)
            check(payload == (b'' if self.writes(msg.cookie) else self.data),
                  'other data than was written')
        self.thread.join()
        equal(self.sock.recv(1), b'')
        self.close()


@test
def many_who_say_all_at_once_and_that_it_is_all():
    with Vxhsd('mem=memory,size=1M', args=('--threads', '1')) as d:
        c = V34Client(d.addr, d.port, 'mem')
        data = random.randbytes(Talker.SIZE)
        equal(c.write(0, data), 0)
        talkers = [Talker(d, data) for _ in range(32)]
        time.sleep(1)
        check(d.rss() < 256 << 20, 'RSS of %d MiB' % (d.rss() >> 20))
        equal(c.read(0, Talker.SIZE), (0, data), 'READ of who waits for none')
        for talker in talkers:
            talker.listen()
        equal(c.read(0, Talker.SIZE), (0, data))
        c.close()


@test
def a_thousand_connects_leave_nothing():
    with Vxhsd('mem=memory,size=16M') as d:
        def one(i):
            if i % 2:
                c = V34Client(d.addr, d.port, 'mem')
                equal(c.stat()[0], 0)
            else:
                c = NativeClient(d.addr, d.port, 'mem', kato=200)
                equal(c.open('mem', RW_SHARED)[0], OK)
            c.close()
        for i in range(100):
            one(i)
        time.sleep(1)
        fds, rss = d.fds(), d.rss()
        for i in range(1000):
            one(i)
        eventually(lambda: d.fds() <= fds, 'descriptors: %d before, %d after' %
                   (fds, d.fds()), 20)
        check(d.rss() - rss < 24 << 20, 'RSS grew by %d KiB' %
              ((d.rss() - rss) >> 10))


@test
def many_who_ask_and_do_not_read():
    with Vxhsd('mem=memory,size=64M') as d:
        worker = native_worker(d, 'mem', 0)
        eventually(lambda: worker.done, 'no I/O at all')
        rss = d.rss()
        greedy = []
        for _ in range(20):
            c = NativeClient(d.addr, d.port, 'mem')
            _, g = c.open('mem', RW_SHARED)
            n = min(c.grant.max_inflight,
                    c.grant.max_inflight_bytes // c.grant.max_io)
            c.sock.sendall(b''.join(
                vxhs.request(READ, 100 + i, handle=g.handle,
                             length=c.grant.max_io) for i in range(n)))
            greedy.append(c)
        time.sleep(1)
        before = worker.done
        cpu = d.cpu()
        eventually(lambda: worker.done > before, 'I/O stopped')
        worker.finish()
        cpu = d.cpu()
        time.sleep(2)
        check(d.cpu() - cpu < 0.5, 'it spins')
        grown = d.rss() - rss
        bound = 20 * (greedy[0].grant.max_inflight_bytes + (1 << 20))
        check(grown < bound, 'RSS grew by %d MiB' % (grown >> 20))
        for c in greedy:
            c.close()


@test
def sessions_by_the_thousand():
    with Vxhsd('mem=memory,size=1M') as d:
        rss = d.rss()
        for _ in range(3000):
            c = NativeClient(d.addr, d.port, 'mem', kato=200)
            c.close()
        check(d.rss() - rss < 48 << 20, 'RSS grew by %d MiB' %
              ((d.rss() - rss) >> 20))
        c = NativeClient(d.addr, d.port, 'mem')
        equal(c.open('mem', RW)[0], OK)
        equal(c.logout(), OK)


@test
def a_client_has_so_many_connections():
    with Vxhsd('mem=memory,size=1M', args=limits(client_max_conns=20)) as d:
        socks = [vxhs.connect(d.addr, d.port, source='127.0.0.2')
                 for _ in range(20)]
        # They are connections when one has an answer.
        for sock in socks:
            sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'mem'))
            equal(len(vxhs.recv_exact(sock, 304)), 304)
        more = vxhs.connect(d.addr, d.port, source='127.0.0.2')
        equal(more.recv(1), b'', 'one too many')
        check('127.0.0.2:' in d.log() and 'is refused: its client has 20 '
              'connections, which is the limit' in d.log(), d.log())
        NativeClient(d.addr, d.port, 'mem', source='127.0.0.3').logout()
        socks.pop().close()

        def comes_in():
            try:
                NativeClient(d.addr, d.port, 'mem',
                             source='127.0.0.2').logout()
                return True
            except (OSError, vxhs.Closed):
                return False
        eventually(comes_in, 'there is room and nobody comes in')
        # And so many sessions, of which none has a connection.
        for sock in socks:
            sock.close()
        status = 0
        for _ in range(40):
            c = NativeClient(d.addr, d.port, 'mem', source='127.0.0.4',
                             login=False)
            status = c.login(kato=60000)
            c.close()
            if status:
                break
        equal(status, NO_SPACE, 'sessions without end')
        check('its client has 20 sessions' in d.log(), d.log())
        NativeClient(d.addr, d.port, 'mem', source='127.0.0.3').logout()


@test
def a_client_has_so_much_in_flight():
    """In buffers, which a file needs."""
    path = os.path.join(tmpdir(), 'f')
    limit, conns = 16 << 20, 12
    with Vxhsd('file=%s,size=64M' % path, args=limits(
            client_max_inflight='16M') + ('--threads', '1')) as d:
        rss = d.rss()
        greedy = []
        for i in range(conns):
            c = NativeClient(d.addr, d.port, 'file', source='127.0.0.2')
            _, g = c.open('file', RW_SHARED)
            c.sock.sendall(b''.join(
                vxhs.request(READ, 100 + k, handle=g.handle,
                             length=1 << 20) for k in range(16)))
            greedy.append(c)
        worker = native_worker(d, 'file', 0)
        eventually(lambda: worker.done > 20, 'no I/O at all')
        worker.finish()
        grown = d.rss() - rss
        check(grown < limit + (24 << 20),
              'RSS grew by %d MiB' % (grown >> 20))
        # Who was held back is answered, when the others take what is theirs
        # or have been closed because they do not.
        answered = 0
        for c in greedy:
            try:
                for k in range(16):
                    rsp, data = c.wait(100 + k)
                    equal((rsp.status, len(data)), (OK, 1 << 20))
                answered += 1
            except (OSError, vxhs.Closed):
                c.close()
        check(answered, 'nobody was answered')
        check('it does not take its replies and its client is at its limit' in
              d.log(), d.log())
        NativeClient(d.addr, d.port, 'file', source='127.0.0.2').logout()


def attack_loris(d, begun):
    """Whom the server has closed begins again."""
    def begin():
        return vxhs.connect(d.addr, d.port, source='127.0.0.2')
    stat = vxhs.v34(vxhs.V34_STAT, 1, 'mem')
    socks = [[begin(), 0] for _ in range(1000)]
    begun()
    while True:
        for pair in socks:
            sock, sent = pair
            if sent == len(stat) - 1:
                continue
            try:
                sock.sendall(stat[sent:sent + 1])
                pair[1] += 1
            except ConnectionError:
                sock.close()
                pair[:] = begin(), 0
        time.sleep(0.05)


def attack_connects(d, begun):
    """A port cannot be had again soon: when all are used, another address."""
    begun()
    for host in itertools.cycle(range(2, 250)):
        try:
            while True:
                vxhs.connect(d.addr, d.port,
                             source='127.0.0.%d' % host).close()
        except OSError as exc:
            if exc.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise


def attack_half_writes(d, begun):
    socks = []
    for _ in range(300):
        sock = vxhs.connect(d.addr, d.port, source='127.0.0.2')
        sock.sendall(vxhs.v34(vxhs.V34_WRITE, 1, 'mem', b'x' * 100,
                              size=16 << 20, payload_size=16 << 20))
        socks.append(sock)
    begun()
    time.sleep(600)


def attack_deaf(d, begun):
    socks = []
    for _ in range(100):
        c = NativeClient(d.addr, d.port, 'file', source='127.0.0.2',
                         kato=60000)
        _, g = c.open('file', RW_SHARED)
        c.sock.sendall(b''.join(
            vxhs.request(READ, 100 + i, handle=g.handle, length=1 << 20)
            for i in range(16)))
        socks.append(c)
    begun()
    time.sleep(600)


@test
def attacks_and_another_client():
    path = os.path.join(tmpdir(), 'f')
    with Vxhsd('file=%s,size=64M' % path, 'mem=memory,size=64M') as d:
        def client():
            return NativeClient(d.addr, d.port, 'file', kato=60000)
        for attack in (attack_loris, attack_connects, attack_half_writes,
                       attack_deaf):
            compare(attack, d, client, 'file')
            check('memory is short' not in d.log(), 'memory was short')


if __name__ == '__main__':
    main()
