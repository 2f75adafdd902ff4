#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN, lockdep, kmemleak and UBSan: the driver
against servers that lie in every state of a session (tests/fuzz/hostile.c),
under I/O of all kinds (tests/fuzz/hammer.c), while disks come and go. Then the
servers behave, and everything works again.

FUZZ_SEED=N repeats a run as far as times allow, FUZZ_SECONDS=N makes it
longer."""

import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
from harness import TOP, check, equal, eventually, main, test
from vm import Raw, no_splats, run, vxhsctl

SEED = int(os.environ.get('FUZZ_SEED') or random.SystemRandom().getrandbits(32))
SECONDS = int(os.environ.get('FUZZ_SECONDS') or 0)
LIMIT = 900             # when it is given up
NATIVE, V34 = 12, 2
NAMES = 2               # disks of a server
LANES = 3
BUILD = os.path.join(TOP, 'build', 'fuzz')

# At least so many malformed or ill-timed frames, of all and in each state; and
# so many of them that are no events.
ALL = 200000
REPLIES = 80000
LEAST = {
    'STAT': 100, 'LOGIN': 10, 'OPEN': 5, 'recovery LOGIN': 100,
    'recovery OPEN': 100, 'READ': 10000, 'WRITE': 5000, 'FLUSH': 100,
    'DISCARD and WRITE_ZEROES': 200, 'PING': 10, 'CLOSE': 10, 'LOGOUT': 5,
    'events': 10000, 'v34 STAT': 20, 'v34 READ': 2000, 'v34 WRITE': 2000,
    'v34 READY': 20,
}
# Of each class, whatever the state.
LEAST_OF_CLASS = {
    'cut': 200, 'wrong lengths': 200, 'wrong tags': 200,
    'broken headers': 400, 'errors with a payload': 200,
    'payloads with a wrong CRC': 8000, 'fields not zero or not echoed': 8000,
    'broken bodies': 200, 'garbage': 200, 'unknown events': 5000,
    'repeated': 200, 'not asked for': 100, 'withheld': 100,
    'untimely events': 5000, 'odd status': 5000, 'odd contents': 2000,
    'odd bodies': 50,
}


class Tool:
    """A program that is told what to do on stdin."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, args[0])] + [str(a) for a in args[1:]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, word):
        self.process.stdin.write(word + '\n')
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        check(line, 'it has ended')
        return line

    def stats(self):
        self.say('stats')
        return json.loads(self.hear())

    def end(self):
        out, _ = self.process.communicate('', timeout=60)
        return out


def figures():
    """What a server could make grow: MiB of slabs, of all memory, sockets."""
    with open('/proc/meminfo', encoding='ascii') as f:
        memory = dict(line.split(':') for line in f)
    with open('/proc/net/sockstat', encoding='ascii') as f:
        tcp = next(line for line in f if line.startswith('TCP:')).split()
    return {
        'slab': int(memory['Slab'].split()[0]) >> 10,
        'pages': (int(memory['MemTotal'].split()[0]) -
                  int(memory['MemAvailable'].split()[0])) >> 10,
        'sockets': int(tcp[tcp.index('alloc') + 1]),
        'packets': int(tcp[tcp.index('mem') + 1]) * 4 >> 10,
    }


class Administrator(threading.Thread):
    """Attaches what is not there, and detaches now and then."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.chance = random.Random(SEED + number)
        self.number = number
        self.stop = threading.Event()
        self.attached = self.refused = self.detached = 0
        self.why = []

    def index(self, server, name):
        return server * NAMES + name

    def attach(self, server, name):
        args = ['--index', self.index(server, name), '--lanes', LANES,
                '--kato', '0.5', '--reconnect-delay', '0.1',
                '--replay-delay', '0.1']
        if server < NATIVE:
            args += ['--digests' if server % 2 else '--no-digests']
        if self.chance.random() < 0.3:
            args += ['--fast-io-fail', '0.2']
        return run('vxhsctl', 'attach', '127.0.0.%d' % (server + 1),
                   'd%d' % name, *[str(a) for a in args])

    def try_attach(self, server, name):
        good = self.attach(server, name).returncode == 0
        self.attached += good
        self.refused += not good

    def force(self, device):
        self.detached += run('vxhsctl', 'detach', '--force',
                             device).returncode == 0

    def detach(self, server):
        """All disks of a server: the session ends, the next is a new one."""
        for name in range(NAMES):
            self.force('/dev/vxhs%d' % self.index(server, name))
        self.try_attach(server, 0)

    def run(self):
        while not self.stop.is_set():
            server = self.chance.randrange(NATIVE + V34)
            name = self.chance.randrange(NAMES)
            device = '/dev/vxhs%d' % self.index(server, name)
            if not os.path.exists(device):
                self.try_attach(server, name)
            elif self.chance.random() < 0.1:
                self.detach(server)
            elif self.chance.random() < 0.2:
                self.force(device)
            self.stop.wait(0.3)

    def done(self):
        self.stop.set()
        self.join(30)
        check(not self.is_alive(), 'vxhsctl hangs')


def bring_back(administrator):
    """With good servers every disk is there and works."""
    for server in range(NATIVE + V34):
        for name in range(NAMES):
            device = '/dev/vxhs%d' % administrator.index(server, name)
            if not os.path.exists(device):
                done = administrator.attach(server, name)
                equal(done.returncode, 0, 'attach: ' + done.stderr)
            try:
                works(device)
            except (OSError, AssertionError):
                # It has lost its vdisk, for good, or may have lost writes.
                vxhsctl('detach', '--force', device)
                done = administrator.attach(server, name)
                equal(done.returncode, 0, 'attach: ' + done.stderr)
                works(device)


def works(device):
    data = os.urandom(4096)
    with Raw(device) as raw:
        vm.in_time(raw.write, data, 8192)
        vm.in_time(raw.flush)
        equal(vm.in_time(raw.read, 8192), data)


def wrong(stats):
    """How many frames were malformed or ill-timed."""
    return sum(stats['states'].values())


def print_counts(stats, seconds):
    odd = sum(stats['odd'].values())
    print('# seed %d, %d s, %d connections, %d right frames, %d odd ones, '
          '%d malformed or ill-timed:' % (SEED, seconds, stats['accepted'],
                                          stats['right'], odd, wrong(stats)))
    for kind in 'states', 'malformed', 'ill-timed', 'odd':
        print('#   %s: %s' % (kind, ', '.join(
            '%d %s' % (n, name) for name, n in stats[kind].items())))
    sys.stdout.flush()


def lacking(stats):
    """What there was too little of."""
    least = {**LEAST, **LEAST_OF_CLASS}
    found = dict(stats['states'], **stats['malformed'], **stats['ill-timed'],
                 **stats['odd'])
    lacks = ['%d of %s, fewer than %d' % (found[what], what, n)
             for what, n in least.items() if found[what] < n]
    replies = wrong(stats) - stats['states']['events']
    for what, n, least in ('all', wrong(stats), ALL), \
            ('replies', replies, REPLIES):
        if n < least:
            lacks.append('%d of %s, fewer than %d' % (n, what, least))
    return lacks


@test
def replies_of_every_kind():
    vm.sh('modprobe vxhs')
    server = Tool('hostile', SEED, NATIVE, V34)
    equal(server.hear(), 'ready\n')
    print('# FUZZ_SEED=%d' % SEED, flush=True)
    administrators = [Administrator(n) for n in range(1)]
    bring_back(administrators[0])
    before = figures()
    server.say('bad')
    hammer = Tool('hammer', SEED, (NATIVE + V34) * NAMES)
    for a in administrators:
        a.start()
    begun, most = time.monotonic(), before
    try:
        while True:
            for _ in range(4):
                time.sleep(0.5)
                now = figures()
                most = {k: max(v, now[k]) for k, v in most.items()}
            took = time.monotonic() - begun
            stats = server.stats()
            if os.environ.get('FUZZ_VERBOSE'):
                print_counts(stats, took)
                print('# %s' % now, flush=True)
            if took >= SECONDS and not lacking(stats) or \
                    took > max(LIMIT, SECONDS):
                break
            no_splats()
    finally:
        for a in administrators:
            a.stop.set()
    print_counts(stats, took)
    print('# before, and at most: %s' % ', '.join(
        '%s %d, %d' % (k, before[k], most[k]) for k in most), flush=True)
    for a in administrators:
        a.done()
    server.say('good')
    # I/O of a disk that got lost waits until somebody detaches it.
    hammer.say('stop')
    bring_back(administrators[0])
    done = json.loads(hammer.end())
    print('# %s' % done)
    print('# %d attached, %d refused, %d detached' % tuple(
        sum(getattr(a, k) for a in administrators)
        for k in ('attached', 'refused', 'detached')), flush=True)
    equal(lacking(stats), [], 'too few')
    # A lane has a socket at each end, and one that is on its way out.
    lanes = (NATIVE + V34) * LANES
    check(most['sockets'] < before['sockets'] + 4 * lanes,
          'sockets: %d, before %d' % (most['sockets'], before['sockets']))
    check(most['packets'] < before['packets'] + 64,
          'MiB of packets: %d' % most['packets'])
    check(most['slab'] < before['slab'] + 64,
          'MiB of slabs: %d, before %d' % (most['slab'], before['slab']))
    check(most['pages'] < before['pages'] + 96,
          'MiB in use: %d, before %d' % (most['pages'], before['pages']))
    equal(done['left'], 0, 'I/O that never ended')
    no_splats()
    vm.detach_all()
    eventually(lambda: vm.sh('lsmod | grep "^vxhs "').split()[2] == '0',
               'the module is in use')
    server.end()
    vm.sh('modprobe -r vxhs')
    no_splats()


if __name__ == '__main__':
    main()
