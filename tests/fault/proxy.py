#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A TCP proxy that does to a connection what networks do, at a given byte.

A fault happens at an offset of one direction of one connection: "c2s" or
"s2c", connections counted from 0 as they were accepted. It comes from a seed
(--seed, --every), from the log of an earlier run (--replay), or from whoever
is connected to the control socket (Control below); all that happens is a line
of JSON in the log, with those three numbers.

  cut      what came before is delivered, then both ends see a reset, or an
           end of stream
  stall    nothing is read or delivered for a while
  hold     all is read and acknowledged, and delivered after a while, whatever
           has become of the sender by then
  delay    from here on each piece is late by so much
  truncate bytes go missing
  duplicate the last bytes come twice
  corrupt  bits of one byte are other ones

and, for all connections, partition (silence in one or both directions, closed
connections included) and refuse (as if nobody listened)."""

import argparse
import collections
import errno
import fcntl
import json
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

CHUNK = 1 << 16
QUEUE_LIMIT = 1 << 20
FLIGHT_TIME = 1.0               # a cut waits so long for what came before
FAULTS = ('cut', 'stall', 'hold', 'delay', 'truncate', 'duplicate', 'corrupt')
OTHER = {'c2s': 's2c', 's2c': 'c2s'}


def unsent(sock):
    """Bytes that the peer has not acknowledged."""
    try:
        return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ,
                                              b'\0\0\0\0'))[0]
    except OSError:
        return 0


def reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack('ii', 1, 0))
    except OSError:
        pass
    sock.close()


class Half:
    """One direction of a connection."""

    def __init__(self, conn, name, plan):
        self.conn, self.name = conn, name
        self.offset = 0             # bytes that came in
        self.out = 0                # bytes that went out
        self.queue = collections.deque()    # [due, what, argument]
        self.queued = 0
        self.plan = plan            # faults to come, [at, do, argument]
        self.random = None          # where more of them come from
        self.tail = b''             # for duplicate
        self.stalled = self.held = 0.0
        self.delay = 0.0
        self.missing = 0            # bytes still to be left out
        self.ended = False          # nothing more comes in
        self.closed = False         # nothing more goes out

    def source(self):
        return self.conn.client if self.name == 'c2s' else self.conn.server

    def sink(self):
        return self.conn.server if self.name == 'c2s' else self.conn.client

    def add(self, at, do, arg):
        self.plan.append([at, do, arg])
        self.plan.sort(key=lambda fault: fault[0])

    def put(self, what, arg, now):
        self.queue.append([now + self.delay, what, arg])
        if what == 'data':
            self.queued += len(arg)

    def take(self, data, now):
        """Bytes came in: apply the faults that lie in them."""
        data = self.leave_out(data)
        while self.plan and self.plan[0][0] < self.offset + len(data):
            at, do, arg = self.plan.pop(0)
            keep = max(0, at - self.offset)
            self.pass_on(data[:keep], now)
            data = data[keep:]
            self.conn.proxy.log(do=do, conn=self.conn.number, dir=self.name,
                                at=self.offset, arg=arg)
            if self.random:
                self.random.refill(self, arg if do == 'truncate' else 0)
            if do == 'truncate':
                self.missing = arg
                data = self.leave_out(data)
            elif do == 'duplicate':
                self.put('data', self.tail[-arg:], now)
            elif do == 'corrupt':
                data = bytes([data[0] ^ arg]) + data[1:]
            else:
                self.put(do, arg, now)
            if do == 'cut':
                self.ended = True
                return
        self.pass_on(data, now)

    def leave_out(self, data):
        gone = min(self.missing, len(data))
        self.missing -= gone
        self.offset += gone
        return data[gone:]

    def pass_on(self, data, now):
        if data:
            self.put('data', data, now)
            self.offset += len(data)
            self.tail = (self.tail + data[-CHUNK:])[-CHUNK:]

    def wants_input(self, now):
        if self.ended or self.conn.proxy.silent(self.name):
            return False
        if now < self.held:
            return True
        return now >= self.stalled and self.queued < QUEUE_LIMIT

    def blocked(self, now):
        return now < self.held or now < self.stalled or \
            self.conn.proxy.silent(self.name)

    def ready(self, now):
        return bool(self.queue) and not self.blocked(now) and \
            self.queue[0][0] <= now

    def wake(self, now):
        """When to look again although nothing came."""
        times = [t for t in (self.held, self.stalled) if t > now]
        if self.queue and self.queue[0][0] > now:
            times.append(self.queue[0][0])
        return min(times, default=None)


class Random:
    """Faults of a direction, one after the other, from a seed."""

    def __init__(self, seed, conn, name, every, faults, longest):
        self.rng = random.Random('%s/%d/%s' % (seed, conn, name))
        self.every, self.faults, self.longest = every, faults, longest

    def refill(self, half, skip=0):
        rng = self.rng
        at = half.offset + skip + 1 + int(rng.expovariate(1 / self.every))
        do = rng.choice(self.faults)
        arg = {'cut': lambda: rng.choice(('rst', 'fin')),
               'stall': lambda: round(rng.uniform(0, self.longest), 3),
               'hold': lambda: round(rng.uniform(0, self.longest), 3),
               'delay': lambda: round(rng.uniform(0, self.longest / 10), 3),
               'truncate': lambda: rng.randint(1, 8192),
               'duplicate': lambda: rng.randint(1, 8192),
               'corrupt': lambda: rng.randint(1, 255)}[do]()
        half.add(at, do, arg)


class Conn:
    def __init__(self, proxy, number, client, server):
        self.proxy, self.number = proxy, number
        self.client, self.server = client, server
        self.connecting = True
        self.gone = set()           # ends that were closed
        self.halves = {name: Half(self, name, list(
            proxy.plans.get((number, name), ()))) for name in ('c2s', 's2c')}
        for half in self.halves.values():
            if proxy.random:
                half.random = Random(proxy.random['seed'], number, half.name,
                                     proxy.random['every'],
                                     proxy.random['faults'],
                                     proxy.random['longest'])
                half.random.refill(half)


class Proxy:
    def __init__(self, listen, target, control=None, log=None, seed=None,
                 every=0, faults=FAULTS, longest=3.0, replay=None):
        self.selector = selectors.DefaultSelector()
        self.target = target
        self.log_file = open(log, 'a', buffering=1) if log else None
        self.seed = seed
        self.random = None
        if every:
            self.random = dict(seed=seed, every=every, faults=faults,
                               longest=longest)
        self.plans = collections.defaultdict(list)
        if replay:
            self.load(replay)
        self.address = listen
        self.conns = {}
        self.accepted = 0
        self.partition = 'off'
        self.listener = None
        self.listen()
        self.orders = {}
        self.control = None
        if control:
            self.control = socket.socket(socket.AF_UNIX)
            self.control.bind(control)
            self.control.listen(8)
            self.control.setblocking(False)
            self.selector.register(self.control, selectors.EVENT_READ,
                                   ('control', None))
        self.log(do='start', target=list(target), listen=list(self.address),
                 every=every)

    def listen(self):
        family = socket.AF_INET6 if ':' in self.address[0] else socket.AF_INET
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.address)
        sock.listen(512)
        sock.setblocking(False)
        self.address = sock.getsockname()[:2]
        self.listener = sock
        self.selector.register(sock, selectors.EVENT_READ, ('listen', None))

    def load(self, path):
        """The faults of an earlier run, from its log."""
        with open(path) as file:
            for line in file:
                event = json.loads(line)
                if event.get('do') in FAULTS and 'at' in event:
                    self.plans[event['conn'], event['dir']].append(
                        [event['at'], event['do'], event['arg']])
        for plan in self.plans.values():
            plan.sort(key=lambda fault: fault[0])

    def log(self, **event):
        if self.log_file:
            event = dict(t=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
                         seed=self.seed, **event)
            self.log_file.write(json.dumps(event) + '\n')

    def silent(self, name):
        return self.partition in ('both', name)

    # ------------------------------------------------------------ moving

    def run(self):
        while True:
            now = time.monotonic()
            for conn in list(self.conns.values()):
                self.pump(conn, now)
                self.interest(conn, now)
            wakes = [t for conn in self.conns.values()
                     for half in conn.halves.values()
                     for t in (half.wake(now),) if t is not None]
            timeout = max(0, min(wakes) - now) if wakes else None
            for key, events in self.selector.select(timeout):
                kind, obj = key.data
                if kind == 'listen':
                    self.accept()
                elif kind == 'control':
                    self.accept_control()
                elif kind == 'order':
                    if self.order(obj) == 'quit':
                        return
                else:
                    self.event(obj, kind, events)

    def accept(self):
        if self.partition != 'off':
            return
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        family = socket.AF_INET6 if ':' in self.target[0] else socket.AF_INET
        server = socket.socket(family)
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Conn(self, self.accepted, client, server)
        self.accepted += 1
        self.conns[conn.number] = conn
        self.log(do='open', conn=conn.number)
        err = server.connect_ex(self.target)
        if err not in (0, errno.EINPROGRESS):
            self.drop(conn, os.strerror(err))

    def event(self, conn, kind, events):
        if conn.number not in self.conns:
            return
        if kind == 'server' and conn.connecting:
            err = conn.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if err:
                self.drop(conn, os.strerror(err))
            elif events & selectors.EVENT_WRITE:
                conn.connecting = False
            return
        if events & selectors.EVENT_READ:
            self.read(conn, conn.halves['c2s' if kind == 'client' else 's2c'])

    def read(self, conn, half):
        now = time.monotonic()
        if not half.wants_input(now):
            return
        try:
            data = half.source().recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            half.ended = True
            half.put('gone', None, now)
            # Nobody is left to take what comes back.
            self.nobody(conn.halves[OTHER[half.name]])
            return
        if data:
            half.take(data, now)
        else:
            half.ended = True
            half.put('end', None, now)

    @staticmethod
    def nobody(half):
        half.closed = True
        half.queue.clear()
        half.queued = 0

    def pump(self, conn, now):
        """Deliver what is due."""
        if conn.connecting:
            return
        for half in conn.halves.values():
            while conn.number in self.conns and half.ready(now):
                if not self.step(conn, half, now):
                    break
        if conn.number in self.conns and all(
                h.ended and not h.queue for h in conn.halves.values()):
            self.close(conn)

    def step(self, conn, half, now):
        """The head of the queue; False if it has to wait."""
        item = half.queue[0]
        what, arg = item[1], item[2]
        if half.closed and what not in ('gone', 'end'):
            half.queue.popleft()
            return True
        if what == 'data':
            try:
                sent = half.sink().send(arg)
            except BlockingIOError:
                return False
            except OSError:
                self.drop(conn, 'an end was closed')
                return False
            half.queued -= sent
            half.out += sent
            if sent < len(arg):
                item[2] = arg[sent:]
                return False
            half.queue.popleft()
            return True
        if what in ('cut', 'gone'):
            # What came before must have arrived, or the cut is not at its
            # byte.
            began = item[3] if len(item) > 3 else now
            if unsent(half.sink()) and now < began + FLIGHT_TIME:
                half.queue[0] = [now + 0.002, what, arg, began]
                return False
            self.drop(conn, what, arg or 'rst')
            return False
        half.queue.popleft()
        if what == 'stall':
            half.stalled = now + arg
        elif what == 'hold':
            half.held = now + arg
        elif what == 'delay':
            half.delay = arg
        elif what == 'end':
            try:
                half.sink().shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return True

    def interest(self, conn, now):
        if conn.number not in self.conns:
            return
        c2s, s2c = conn.halves['c2s'], conn.halves['s2c']
        for kind, sock, taker, giver in (
                ('client', conn.client, c2s, s2c),
                ('server', conn.server, s2c, c2s)):
            want = 0
            if kind == 'server' and conn.connecting:
                want = selectors.EVENT_WRITE
            elif not conn.connecting or kind == 'client':
                if taker.wants_input(now):
                    want |= selectors.EVENT_READ
                if giver.ready(now) and giver.queue[0][1] == 'data':
                    want |= selectors.EVENT_WRITE
            known = self.selector.get_map().get(sock)
            if known is None:
                if want:
                    self.selector.register(sock, want, (kind, conn))
            elif not want:
                self.selector.unregister(sock)
            elif known.events != want:
                self.selector.modify(sock, want, (kind, conn))

    def unregister(self, conn):
        for sock in (conn.client, conn.server):
            if self.selector.get_map().get(sock) is not None:
                self.selector.unregister(sock)

    def finish(self, conn, why):
        self.unregister(conn)
        del self.conns[conn.number]
        self.log(do='close', conn=conn.number, why=why,
                 c2s=conn.halves['c2s'].offset, s2c=conn.halves['s2c'].offset)

    def close(self, conn):
        self.finish(conn, 'both ends have finished')
        conn.client.close()
        conn.server.close()

    def drop(self, conn, why, how='rst'):
        if conn.number not in self.conns:
            return
        self.finish(conn, why)
        for sock in (conn.client, conn.server):
            if how == 'fin':
                sock.close()
            else:
                reset(sock)

    # ------------------------------------------------------------ orders

    def accept_control(self):
        try:
            sock, _ = self.control.accept()
        except OSError:
            return
        self.orders[sock] = b''
        self.selector.register(sock, selectors.EVENT_READ, ('order', sock))

    def order(self, sock):
        try:
            data = sock.recv(CHUNK)
        except OSError:
            data = b''
        if not data:
            self.selector.unregister(sock)
            del self.orders[sock]
            sock.close()
            return None
        *lines, self.orders[sock] = (self.orders[sock] + data).split(b'\n')
        for line in lines:
            try:
                order = json.loads(line)
                do = order.pop('do')
                self.log(do='order', order=do, args=order)
                answer = getattr(self, 'do_' + do)(**order) or {}
            except Exception as exc:
                answer = {'error': repr(exc)}
                do = None
            sock.sendall(json.dumps(answer).encode() + b'\n')
            if do == 'quit':
                return 'quit'
        return None

    def chosen(self, conn, pick):
        """A connection by number, or a fraction of the list of all."""
        numbers = sorted(self.conns)
        if conn is not None:
            return [self.conns[conn]]
        if pick is not None and numbers:
            return [self.conns[numbers[int(pick * len(numbers))]]]
        return [self.conns[number] for number in numbers]

    def at_byte(self, do, arg, after, dir, conn, pick):
        """A fault after so many more bytes; at once if 0 for those that
        do not touch bytes."""
        hit = []
        now = time.monotonic()
        for c in self.chosen(conn, pick):
            for name in (dir,) if dir != 'both' else ('c2s', 's2c'):
                half = c.halves[name]
                hit.append([c.number, name, half.offset + after])
                if after or do in ('truncate', 'duplicate', 'corrupt'):
                    half.add(half.offset + after, do, arg)
                    continue
                self.log(do=do, conn=c.number, dir=name, at=half.offset,
                         arg=arg)
                if do == 'hold':
                    half.held = now + arg
                elif do == 'stall':
                    half.stalled = now + arg
                elif do == 'delay':
                    half.delay = arg
                else:
                    half.put(do, arg, now)
                    half.ended = True
        return {'hit': hit}

    def do_cut(self, after=0, how='rst', dir='c2s', conn=None, pick=None):
        return self.at_byte('cut', how, after, dir, conn, pick)

    def do_stall(self, seconds, after=0, dir='both', conn=None, pick=None):
        return self.at_byte('stall', seconds, after, dir, conn, pick)

    def do_hold(self, seconds, after=0, dir='c2s', conn=None, pick=None):
        return self.at_byte('hold', seconds, after, dir, conn, pick)

    def do_delay(self, seconds, after=0, dir='both', conn=None, pick=None):
        return self.at_byte('delay', seconds, after, dir, conn, pick)

    def do_truncate(self, count, after=0, dir='c2s', conn=None, pick=None):
        return self.at_byte('truncate', count, after, dir, conn, pick)

    def do_duplicate(self, count, after=0, dir='c2s', conn=None, pick=None):
        return self.at_byte('duplicate', count, after, dir, conn, pick)

    def do_corrupt(self, mask, after=0, dir='c2s', conn=None, pick=None):
        return self.at_byte('corrupt', mask, after, dir, conn, pick)

    def do_partition(self, mode='both'):
        if mode not in ('both', 'c2s', 's2c', 'off'):
            raise ValueError(mode)
        self.partition = mode
        # Who connects meanwhile waits in the listener's queue.
        known = self.selector.get_map().get(self.listener) is not None
        if mode == 'off' and self.listener and not known:
            self.selector.register(self.listener, selectors.EVENT_READ,
                                   ('listen', None))
        elif mode != 'off' and known:
            self.selector.unregister(self.listener)

    def do_refuse(self, on=True):
        if on and self.listener:
            if self.selector.get_map().get(self.listener) is not None:
                self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
        elif not on and not self.listener:
            self.listen()

    def do_kill(self):
        """All connections see a reset now."""
        for conn in list(self.conns.values()):
            self.drop(conn, 'kill')

    def do_calm(self):
        """No fault is left, nor one to come; nothing is lost."""
        self.do_refuse(False)
        self.do_partition('off')
        self.random = None
        for conn in self.conns.values():
            for half in conn.halves.values():
                half.stalled = half.held = half.delay = 0.0
                half.plan, half.random = [], None

    def do_random(self, seed, every, faults=FAULTS, longest=3.0):
        """From here on, for connections to come."""
        self.seed = seed
        self.random = dict(seed=seed, every=every, faults=faults,
                           longest=longest) if every else None

    def do_target(self, addr, port):
        self.target = (addr, port)

    def do_note(self, **_):
        pass

    def do_status(self):
        return {'accepted': self.accepted, 'partition': self.partition,
                'listen': list(self.address), 'conns': [
                    {'conn': c.number, **{
                        name: {'in': h.offset, 'out': h.out,
                               'queued': h.queued,
                               'faults': len(h.plan)}
                        for name, h in c.halves.items()}}
                    for c in self.conns.values()]}

    def do_quit(self):
        self.do_kill()


class Control:
    """A proxy of its own process, and orders to it."""

    def __init__(self, target, folder, name='proxy', addr='127.0.0.1', port=0,
                 seed=None, every=0, **kw):
        self.path = os.path.join(folder, name + '.control')
        self.log = os.path.join(folder, name + '.log')
        command = [sys.executable, os.path.abspath(__file__),
                   '--listen', '%s:%d' % (addr, port),
                   '--target', '%s:%d' % target,
                   '--control', self.path, '--log', self.log]
        if seed is not None:
            command += ['--seed', str(seed), '--every', str(every)]
        for key, value in kw.items():
            command += ['--' + key, str(value)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('ready '):
            raise RuntimeError('the proxy does not start')
        self.addr, _, port = line.split()[1].rpartition(':')
        self.port = int(port)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)
        self.file = self.sock.makefile('r')

    def __call__(self, do, **order):
        """proxy('cut', after=7): the answer, or an exception."""
        self.sock.sendall(json.dumps(dict(order, do=do)).encode() + b'\n')
        line = self.file.readline()
        answer = json.loads(line) if line else {'error': 'the proxy is dead'}
        if 'error' in answer:
            raise RuntimeError('proxy, %s: %s' % (do, answer['error']))
        return answer

    def events(self):
        """What it has logged."""
        with open(self.log) as file:
            return [json.loads(line) for line in file]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.file.close()
        self.sock.close()


def address(text):
    host, _, port = text.rpartition(':')
    return host.strip('[]'), int(port)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--listen', type=address, default=('127.0.0.1', 0),
                        metavar='ADDR:PORT')
    parser.add_argument('--target', type=address, required=True,
                        metavar='ADDR:PORT')
    parser.add_argument('--control', help='path of a Unix socket')
    parser.add_argument('--log')
    parser.add_argument('--seed', type=str)
    parser.add_argument('--every', type=int, default=0, metavar='BYTES',
                        help='between two faults of a direction, on average')
    parser.add_argument('--faults', type=lambda text: text.split(','),
                        default=FAULTS, help=','.join(FAULTS))
    parser.add_argument('--longest', type=float, default=3.0,
                        metavar='SECONDS', help='of a stall or hold')
    parser.add_argument('--replay', metavar='LOG',
                        help='the faults of an earlier run')
    args = parser.parse_args()
    proxy = Proxy(**vars(args))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print('ready %s:%d' % proxy.address, flush=True)
    try:
        proxy.run()
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    main()
