#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fault lab's proxy does what it is told to, at the byte it is told."""

import os
import random
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import proxy
from harness import after_failure, check, equal, eventually, main, test, \
    tmpdir

DATA = random.Random(1).randbytes(1 << 20)


class Sink:
    """Takes connections and notes what each of them brings, how it ends."""

    def __init__(self, echo=False):
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.port = self.sock.getsockname()[1]
        self.got, self.ends = [], []
        self.echo = echo
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.got.append(bytearray())
            self.ends.append(None)
            threading.Thread(target=self.serve, daemon=True,
                             args=(conn, len(self.got) - 1)).start()

    def serve(self, conn, i):
        try:
            while True:
                data = conn.recv(1 << 16)
                if not data:
                    self.ends[i] = 'fin'
                    break
                self.got[i] += data
                if self.echo:
                    conn.sendall(data)
        except OSError:
            self.ends[i] = 'rst'
        conn.close()


class Lab:
    """A sink behind a proxy."""

    all = []

    def __init__(self, echo=False, **kw):
        self.sink = Sink(echo)
        self.folder = tmpdir()
        self.proxy = proxy.Control(('127.0.0.1', self.sink.port), self.folder,
                                   **kw)
        self.socks = []
        Lab.all.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.proxy.stop()
        self.sink.sock.close()
        for sock in self.socks:
            sock.close()
        Lab.all.remove(self)

    def connect(self):
        """A connection of which the other end is there too."""
        before = len(self.sink.got)
        sock = socket.create_connection(('127.0.0.1', self.proxy.port), 20)
        self.socks.append(sock)
        eventually(lambda: len(self.sink.got) > before, 'no connection')
        return sock

    def send(self, sock, data):
        """How it ended if that came first: a socket tells an error once."""
        try:
            sock.sendall(data)
        except OSError:
            return 'rst'
        return None

    def arrives(self, data, i=0):
        eventually(lambda: len(self.sink.got[i]) >= len(data),
                   'only %d bytes arrive' % len(self.sink.got[i]))
        check(self.sink.got[i] == data, 'other bytes arrive')

    def ends(self, i=0):
        return eventually(lambda: self.sink.ends[i], 'it does not end')


after_failure.append(lambda: [lab.close() for lab in list(Lab.all)])


def end_of(sock):
    sock.settimeout(20)
    try:
        while sock.recv(1 << 16):
            pass
        return 'fin'
    except ConnectionError:
        return 'rst'


@test
def bytes_go_through_both_ways():
    with Lab(echo=True) as lab:
        sock = lab.connect()
        sender = threading.Thread(target=lab.send, args=(sock, DATA * 8))
        sender.start()
        back = bytearray()
        while len(back) < len(DATA) * 8:
            back += sock.recv(1 << 16)
        sender.join()
        check(back == DATA * 8, 'other bytes come back')
        sock.shutdown(socket.SHUT_WR)
        equal(lab.ends(), 'fin')
        equal(end_of(sock), 'fin')


@test
def a_reset_goes_through():
    with Lab() as lab:
        sock = lab.connect()
        proxy.reset(sock)
        equal(lab.ends(), 'rst')


@test
def cut_is_at_its_byte():
    for how in ('rst', 'fin'):
        for at in (1, 48, 4096, 300001):
            with Lab() as lab:
                sock = lab.connect()
                lab.proxy('cut', after=at, how=how)
                end = lab.send(sock, DATA)
                lab.ends()
                lab.arrives(DATA[:at])
                check((end or end_of(sock)) in ('rst', how),
                      'the sender sees nothing')


@test
def cut_of_the_way_back():
    with Lab(echo=True) as lab:
        sock = lab.connect()
        lab.proxy('cut', after=1000, dir='s2c', how='fin')
        lab.send(sock, DATA[:5000])
        back = b''
        try:
            while True:
                data = sock.recv(65536)
                if not data:
                    break
                back += data
        except ConnectionError:
            pass
        equal(back, DATA[:1000])


@test
def truncate_duplicate_corrupt():
    with Lab() as lab:
        sock = lab.connect()
        lab.proxy('truncate', after=100, count=7)
        lab.proxy('corrupt', after=200, mask=0x81)
        lab.proxy('duplicate', after=300, count=10)
        lab.send(sock, DATA[:1000])
        lab.arrives(DATA[:100] + DATA[107:200] +
                    bytes([DATA[200] ^ 0x81]) + DATA[201:300] +
                    DATA[290:300] + DATA[300:1000])


@test
def one_connection_of_several():
    with Lab() as lab:
        socks = [lab.connect() for _ in range(3)]
        equal(lab.proxy('cut', after=5, pick=0.5)['hit'], [[1, 'c2s', 5]])
        for sock in socks:
            lab.send(sock, DATA[:10])
        lab.ends(1)
        lab.arrives(DATA[:5], 1)
        lab.arrives(DATA[:10], 0)
        lab.arrives(DATA[:10], 2)
        equal((lab.sink.ends[0], lab.sink.ends[2]), (None, None))


@test
def stall_and_delay_lose_nothing():
    with Lab() as lab:
        sock = lab.connect()
        lab.proxy('stall', seconds=0.5, after=1000)
        lab.proxy('delay', seconds=0.1, after=5000)
        begun = time.monotonic()
        lab.send(sock, DATA)
        lab.arrives(DATA)
        check(time.monotonic() - begun >= 0.5, 'there was no stall')


@test
def hold_delivers_although_the_sender_has_gone():
    with Lab() as lab:
        sock = lab.connect()
        lab.send(sock, DATA[:10])
        lab.arrives(DATA[:10])
        lab.proxy('hold', seconds=1.5)
        begun = time.monotonic()
        lab.send(sock, DATA[10:200000])
        eventually(lambda: lab.proxy('status')['conns'][0]['c2s']['queued'] ==
                   199990, 'the proxy does not take it')
        proxy.reset(sock)
        other = lab.connect()       # the new path is free meanwhile
        lab.send(other, DATA[:100])
        lab.arrives(DATA[:100], 1)
        equal(len(lab.sink.got[0]), 10)
        lab.arrives(DATA[:200000])
        check(time.monotonic() - begun >= 1.5, 'it came at once')
        equal(lab.ends(0), 'rst')
        equal(lab.sink.ends[1], None)


@test
def partition_is_silence_and_then_all_comes():
    with Lab() as lab:
        sock = lab.connect()
        lab.proxy('partition')
        lab.send(sock, DATA[:5000])
        fresh = socket.create_connection(('127.0.0.1', lab.proxy.port), 20)
        lab.socks.append(fresh)
        lab.send(fresh, b'hello')
        time.sleep(0.3)
        equal((len(lab.sink.got), len(lab.sink.got[0])), (1, 0))
        lab.proxy('partition', mode='off')
        lab.arrives(DATA[:5000])
        eventually(lambda: len(lab.sink.got) == 2, 'no second connection')
        lab.arrives(b'hello', 1)


@test
def a_close_during_a_partition_is_not_seen_until_it_ends():
    with Lab() as lab:
        sock = lab.connect()
        lab.proxy('partition')
        proxy.reset(sock)
        time.sleep(0.3)
        equal(lab.sink.ends[0], None)
        lab.proxy('partition', mode='off')
        equal(lab.ends(), 'rst')


@test
def one_direction_can_be_cut_off():
    with Lab(echo=True) as lab:
        sock = lab.connect()
        lab.proxy('partition', mode='s2c')
        lab.send(sock, b'ping')
        lab.arrives(b'ping')
        sock.settimeout(0.3)
        try:
            sock.recv(10)
            raise AssertionError('something came back')
        except socket.timeout:
            pass
        lab.proxy('partition', mode='off')
        sock.settimeout(20)
        equal(sock.recv(10), b'ping')


@test
def refuse_is_nobody_listening():
    with Lab() as lab:
        lab.proxy('refuse')
        try:
            socket.create_connection(('127.0.0.1', lab.proxy.port), 5)
            raise AssertionError('somebody listens')
        except ConnectionRefusedError:
            pass
        lab.proxy('refuse', on=False)
        lab.connect()


@test
def a_target_that_is_not_there_is_a_reset():
    with Lab() as lab:
        lab.sink.sock.close()
        free = socket.create_server(('127.0.0.1', 0))
        port = free.getsockname()[1]
        free.close()
        lab.proxy('target', addr='127.0.0.1', port=port)
        try:
            sock = socket.create_connection(('127.0.0.1', lab.proxy.port), 20)
        except ConnectionResetError:
            return
        lab.socks.append(sock)
        equal(end_of(sock), 'rst')


@test
def calm_ends_everything():
    with Lab() as lab:
        sock = lab.connect()
        lab.proxy('hold', seconds=1000)
        lab.proxy('corrupt', after=50, mask=1)
        lab.proxy('partition')
        lab.send(sock, DATA[:40])
        time.sleep(0.2)
        lab.proxy('calm')
        lab.send(sock, DATA[40:100])
        lab.arrives(DATA[:100])


def random_run(**kw):
    with Lab(**kw) as lab:
        got = []
        for i in range(4):
            sock = lab.connect()
            lab.send(sock, DATA)
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            lab.ends(i)
            got.append(bytes(lab.sink.got[i]))
        faults = [(e['conn'], e['dir'], e['at'], e['do'], e['arg'])
                  for e in lab.proxy.events() if e['do'] in proxy.FAULTS]
        check(all(e['seed'] == kw.get('seed') for e in lab.proxy.events()),
              'an event without its seed')
        return got, faults, lab.proxy.log


@test
def a_seed_says_everything_and_a_log_repeats_it():
    kw = dict(every=100000, longest=0.05,
              faults='stall,delay,truncate,duplicate,corrupt')
    got, faults, log = random_run(seed='s17', **kw)
    check(len(faults) > 15, '%d faults' % len(faults))
    equal(len({f[3] for f in faults}), 5, 'kinds')
    again, faults2, _ = random_run(seed='s17', **kw)
    equal(faults2, faults)
    check(again == got, 'the same seed brings other bytes')
    again, faults2, _ = random_run(replay=log)
    equal(sorted(faults2), sorted(faults))
    check(again == got, 'the replayed log brings other bytes')
    _, faults2, _ = random_run(seed='s18', **kw)
    check(faults2 != faults, 'another seed brings the same faults')


@test
def random_cuts_are_where_the_log_says():
    got, faults, _ = random_run(seed='c', every=200000, faults='cut')
    check(len(faults) >= 2, '%d faults' % len(faults))
    for conn, name, at, _, _ in faults:
        equal((name, len(got[conn])), ('c2s', at))
        check(got[conn] == DATA[:at], 'other bytes')


if __name__ == '__main__':
    main()
