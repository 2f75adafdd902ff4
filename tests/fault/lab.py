#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fault lab: vdisks under load, one fault after the other, and a proof
after each that nothing acknowledged was lost, nothing old came back, and
nothing hangs.

  host side (devices.py) - two proxies (proxy.py) - vxhsd - backing files

Each fault is a line "ok fault-N KIND - ..." or "not ok ..." with its seed, a
word like 4711:12:kill, which says everything that was drawn for it:
--replay 4711:12:kill does the same again. Everything is in a folder of its
own (--dir), which is kept if anything failed."""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import checker
import devices
import proxy
import stamp
import storage
import vxhs
from devices import Hung
from harness import Vxhsd

KINDS = {}                      # name: (function, share of a random schedule)


class Wrong(Exception):
    """The storage has not kept its word."""


class Skipped(Exception):
    """This fault cannot be had here."""


def fault(share, **needs):
    def mark(func):
        KINDS[func.__name__] = (func, share, needs)
        return func
    return mark


def quiet_port():
    """A free port from which nobody connects: to connect to a port of the
    ephemeral range while its server is dead can succeed, with oneself."""
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with socket.socket() as sock:
            try:
                sock.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


def stacks(pid):
    """Where the threads of a process are in the kernel, for root."""
    folder = '/proc/%d/task' % pid
    for task in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            with open('%s/%s/comm' % (folder, task)) as comm, \
                    open('%s/%s/stack' % (folder, task)) as stack:
                yield '%s: %s' % (comm.read().strip(), ' < '.join(
                    line.split()[-1] for line in stack))
        except OSError:
            pass


class Lab:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.kato = args.kato / 1000
        self.rng = random.Random(args.seed)
        self.names = {i: 'disk%d' % i for i in range(args.disks)}
        # What is exported, and what is looked at afterwards.
        self.store = storage.Loops(args, folder, self.names) \
            if args.loops else storage.Files(args, folder, self.names)
        self.files = self.store.paths
        self.servers = [None] * args.servers
        self.shared = os.path.join(args.store or folder, 'shared')
        if args.servers > 1:
            os.makedirs(self.shared, exist_ok=True)
        self.ports = [quiet_port() for _ in self.servers]
        self.proxies = []
        self.devices = None
        self.thief = None
        self.run_number = args.seed % 1000 * 1000
        self.checkers = {i: checker.Checker(i, devices.BLOCK, args.blocks,
                                            self.names[i])
                         for i in self.names}
        self.histories = {i: checker.History(c)
                          for i, c in self.checkers.items()}
        self.old_logs = []
        self.known_errors = 0
        self.leases = True

    # ---------------------------------------------------------- parts

    def start(self):
        for i in range(len(self.servers)):
            self.start_server(i)
        for i, port in enumerate(self.ports):
            for k in range(self.args.paths):
                self.proxies.append(proxy.Control(
                    ('127.0.0.1', port), self.folder,
                    'path%d' % len(self.proxies), port=quiet_port(),
                    seed=self.args.seed))
        self.leases = self.args.block_devices or len(self.servers) > 1 or \
            self.keeps_leases()
        self.attach()
        self.devices.flows()

    def start_server(self, i):
        options = self.args.export
        if len(self.servers) > 1:
            options += ',cache=none,shared=' + self.shared
        exports = ['%s=%s%s' % (self.names[n], path, options)
                   for n, path in self.files.items()]
        end = time.monotonic() + self.args.patience
        while True:
            try:
                self.servers[i] = Vxhsd(
                    *exports, port=self.ports[i],
                    state_dir=os.path.join(self.folder, 'state%d' % i))
                return
            except AssertionError as exc:
                # The kernel may still have the socket of the one before.
                if 'already in use' not in str(exc) or \
                        time.monotonic() > end:
                    raise Wrong('vxhsd does not start: %s' % exc) from exc
            time.sleep(0.05)

    def keeps_leases(self):
        """Does a lease outlive the server's process? Else OPEN has to come
        without one after a restart."""
        session = vxhs.NativeClient('127.0.0.1', self.ports[0],
                                    self.names[0])
        _, g = session.open(self.names[0], vxhs.RW)
        self.servers[0].kill()
        session.close()
        self.start_server(0)
        again = vxhs.NativeClient('127.0.0.1', self.ports[0], self.names[0],
                                  session=session.session, epoch=2)
        status, _ = again.open(self.names[0], vxhs.RW, lease=g.lease)
        again.logout()
        if status == vxhs.OK:
            return True
        print('# vxhsd forgets leases when it restarts; not used after that')
        return False

    def portals(self):
        return [('127.0.0.1', p.port) for p in self.proxies]

    def attach(self):
        self.run_number += 1
        kind = devices.BlockDevices if self.args.block_devices else \
            devices.UserDevices
        options = self.args.attach_options.split()
        if not self.leases:
            options.append('--forgetful-server')
        self.devices = kind(self.folder, self.run_number, self.args.seed,
                            self.names, self.portals(), self.args.patience,
                            self.args.blocks, self.args.kato, options,
                            self.args.load_options.split())
        self.follow(self.devices)

    def follow(self, some):
        for number, path in some.logs.items():
            some_load = some.loads[0]
            try:
                reader = stamp.wait_for(path, self.args.patience)
            except TimeoutError as exc:
                raise Hung('%s (%s)' % (exc, some_load.state())) from exc
            self.histories[number].add(reader)

    def reattach(self):
        """Another run: a host that comes anew."""
        self.devices.stop()
        self.check()
        self.old_logs.append(list(self.devices.logs.values()))
        if len(self.old_logs) > 2:      # all is known of these
            for path in self.old_logs.pop(0):
                os.unlink(path)
        self.attach()
        self.devices.flows()

    def diagnose(self):
        """What is known of a failure that cannot be had again."""
        for load in (self.devices, self.thief):
            for line in load.diagnosis() if load else ():
                print('# ' + line)
        for i, server in enumerate(self.servers):
            for line in server.log().splitlines()[-10:] if server else ():
                print('# server %d: %s' % (i, line))
            for line in stacks(server.pid) if server else ():
                print('# server %d: %s' % (i, line))

    def stop(self):
        for load in (self.devices, self.thief):
            if load:
                load.kill()
        for p in self.proxies:
            p.stop()
        for server in self.servers:
            if server:
                server.kill()
        self.store.remove()

    # ---------------------------------------------------------- checks

    def check(self, everything=False):
        """Of what the logs say so far."""
        for history in self.histories.values():
            history.poll(everything)
        errors = [text for c in self.checkers.values() for text in c.errors]
        if len(errors) > self.known_errors:
            new = errors[self.known_errors:]
            self.known_errors = len(errors)
            raise Wrong('%s%s' % (new[0], '' if len(new) == 1 else
                                  ' (and %d more)' % (len(new) - 1)))

    def check_content(self):
        """Of all blocks, on the disks and in the backing files."""
        self.devices.pause()
        for number, c in self.checkers.items():
            self.histories[number].poll(True)
            path = self.devices.readers().get(number)
            if path:
                c.content(path)
            # Through the page cache, which vxhsd's writes are in.
            c.content(self.files[number], 'the backing store', False)
        self.check(True)
        self.devices.resume()

    def alive(self):
        for server in self.servers:
            if server:
                server.alive()

    # ---------------------------------------------------------- schedule

    def schedule(self):
        """Kinds of faults: as often as asked for, or without end."""
        kinds = {name: share for name, (_, share, needs) in KINDS.items()
                 if self.can(needs)}
        if self.args.count:
            wanted = []
            for word in self.args.count.split(','):
                name, _, n = word.partition('=')
                if name not in KINDS:
                    raise SystemExit('no fault is called ' + name)
                wanted += [name] * int(n or 1)
            self.rng.shuffle(wanted)
            yield from wanted
            return
        if self.args.kinds:
            kinds = {name: KINDS[name][1] or 1
                     for name in self.args.kinds.split(',')}
        number = 0
        while self.args.soak or number < self.args.faults:
            number += 1
            # Logs grow with a run.
            yield 'attach_anew' if number % 50 == 0 and self.args.soak else \
                self.rng.choices(list(kinds), kinds.values())[0]

    def can(self, needs):
        return not (needs.get('root') and not self.args.root or
                    needs.get('loops') and not self.args.loops or
                    needs.get('servers', 1) > len(self.servers) or
                    needs.get('freeze') and self.args.block_devices or
                    # Else nobody can tell what the network has changed.
                    needs.get('digests') and self.args.block_devices and
                    '--no-digests' in self.args.attach_options)

    def inject(self, number, kind, seed):
        """One fault; how long I/O stood still after it was over, seconds."""
        func, _, needs = KINDS[kind]
        if not self.can(needs):
            raise Skipped('it needs %r' % needs)
        self.alive()
        self.devices.mark(stamp.FAULT, number)
        func(self, random.Random(seed))
        pause = self.devices.flows()
        self.check()
        return pause


# ---------------------------------------------------------------- faults
# Each draws from rng what it needs before it begins, and has ended the fault
# when it returns.


@fault(10)
def kill(lab, rng):
    """kill -9 of a server, and its restart"""
    i, before, away = rng.randrange(len(lab.servers)), rng.random(), \
        rng.uniform(0, 3)
    time.sleep(before * lab.kato)
    lab.servers[i].kill()
    time.sleep(away * lab.kato)
    lab.start_server(i)


@fault(3)
def kill_twice(lab, rng):
    """again, while the session recovers"""
    i, away = rng.randrange(len(lab.servers)), [rng.uniform(0, 1)
                                                for _ in range(2)]
    for seconds in away:
        lab.servers[i].kill()
        lab.start_server(i)
        time.sleep(seconds * lab.kato)


@fault(5)
def restart(lab, rng):
    """an orderly end of a server, and its restart"""
    i, away = rng.randrange(len(lab.servers)), rng.uniform(0, 2)
    lab.servers[i].stop(lab.args.patience)
    time.sleep(away * lab.kato)
    lab.start_server(i)


@fault(8)
def freeze_server(lab, rng):
    """SIGSTOP of a server, shorter or longer than kato"""
    i, seconds = rng.randrange(len(lab.servers)), rng.uniform(0.1, 3)
    lab.servers[i].signal(signal.SIGSTOP)
    time.sleep(seconds * lab.kato)
    lab.servers[i].signal(signal.SIGCONT)


@fault(4, freeze=True)
def freeze_host(lab, rng):
    """SIGSTOP of the client: its session may be closed meanwhile"""
    seconds = rng.uniform(0.3, 3)
    lab.devices.freeze(signal.SIGSTOP)
    time.sleep(seconds * lab.kato)
    lab.devices.freeze(signal.SIGCONT)


@fault(10)
def partition(lab, rng):
    """silence on all paths, in one direction or both"""
    mode = rng.choice(('both', 'both', 'c2s', 's2c'))
    seconds = rng.uniform(0.1, 4)
    for p in lab.proxies:
        p('partition', mode=mode)
    time.sleep(seconds * lab.kato)
    for p in lab.proxies:
        p('partition', mode='off')


@fault(6)
def lose_path(lab, rng):
    """one of the portals goes away, and comes back"""
    p, quiet = rng.choice(lab.proxies), rng.random() < 0.5
    seconds = rng.uniform(0.5, 4)
    if quiet:
        p('partition')
    else:
        p('refuse')
        p('kill')
    time.sleep(seconds * lab.kato)
    p('calm')


def reached(lab, wanted):
    """Waits until the bytes have flowed at which faults are to happen."""
    end = time.monotonic() + lab.args.patience
    while time.monotonic() < end:
        left = 0
        for p, hits in wanted:
            conns = {c['conn']: c for c in p('status')['conns']}
            left += sum(1 for conn, way, at in hits if conn in conns and
                        conns[conn][way]['in'] <= at)
        if not left:
            return
        time.sleep(0.02)
    raise Hung('the byte is not reached at which a fault is to happen')


def at_random_byte(lab, rng, do, **order):
    """A fault of one connection or of all, within the next bytes."""
    pick = rng.random() if rng.random() < 0.7 else None
    way = rng.choice(('c2s', 's2c'))
    after = 1 + int(rng.expovariate(1 / 30000))
    reached(lab, [(p, p(do, dir=way, after=after, pick=pick, **order)['hit'])
                  for p in lab.proxies])


@fault(10)
def cut(lab, rng):
    """connections end at a random byte"""
    at_random_byte(lab, rng, 'cut', how=rng.choice(('rst', 'fin')))


@fault(3)
def cut_often(lab, rng):
    """and those that take their place, during login as well"""
    every = 10 ** rng.uniform(2.3, 4)
    seed = rng.getrandbits(32)
    seconds = rng.uniform(0.5, 3)
    for p in lab.proxies:
        p('random', seed=seed, every=every, faults=['cut'])
        p('kill')
    time.sleep(seconds * lab.kato)
    for p in lab.proxies:
        p('calm')


@fault(10)
def stall(lab, rng):
    """nothing moves on a connection, from a random byte on"""
    seconds = rng.uniform(0.1, 4) * lab.kato
    at_random_byte(lab, rng, 'stall', seconds=seconds)
    time.sleep(seconds)


@fault(4)
def slow(lab, rng):
    """each piece is late"""
    seconds = rng.uniform(0.01, 0.8) * lab.kato
    during = rng.uniform(1, 4)
    at_random_byte(lab, rng, 'delay', seconds=seconds)
    time.sleep(during * lab.kato)
    for p in lab.proxies:
        p('calm')


@fault(5, digests=True)
def corrupt(lab, rng):
    """bits of a byte are other ones"""
    at_random_byte(lab, rng, 'corrupt', mask=rng.randint(1, 255))


@fault(4, digests=True)
def truncate(lab, rng):
    """bytes are missing"""
    at_random_byte(lab, rng, 'truncate', count=rng.randint(1, 10000))


@fault(4, digests=True)
def duplicate(lab, rng):
    """bytes come twice"""
    at_random_byte(lab, rng, 'duplicate', count=rng.randint(1, 10000))


def hold_back(lab, rng, way):
    seconds = lab.args.trap
    after = int(rng.expovariate(1 / 5000))
    begun = time.monotonic()
    for p in lab.proxies:
        p('hold', seconds=seconds, dir=way, after=after)
    lab.devices.flows()             # on a new path
    time.sleep(max(0, begun + seconds - time.monotonic()))
    lab.devices.flows()


@fault(5)
def trap(lab, rng):
    """the stale-write trap: the old path holds back all that is written while
    new connections write, and delivers it then"""
    hold_back(lab, rng, 'c2s')


@fault(1)
def trap_back(lab, rng):
    """the other way: it is the replies that come when all is over"""
    hold_back(lab, rng, 's2c')


@fault(3)
def take_over(lab, rng):
    """another host takes a vdisk while its owner is cut off with parked
    writes; the owner comes back while the new one writes"""
    number = rng.choice(list(lab.names))
    alone, together = rng.uniform(0, 3), rng.uniform(1, 3)
    for p in lab.proxies:
        p('partition')
    options = ['--take-over', '--host-id', '746869656676786873746869656676ff',
               '--lanes', '1']
    lab.thief = devices.UserDevices(
        lab.folder, lab.run_number + 500, lab.args.seed + 1,
        {number: lab.names[number]},
        [('127.0.0.1', port) for port in lab.ports],
        lab.args.patience, lab.args.blocks, lab.args.kato, options)
    lab.follow(lab.thief)
    lab.thief.flows()
    time.sleep(alone * lab.kato)
    for p in lab.proxies:
        p('partition', mode='off')
    end = time.monotonic() + lab.args.patience
    while not lab.devices.lost(number):
        if time.monotonic() > end:
            raise Wrong('the old owner never hears that it has lost %s' %
                        lab.names[number])
        time.sleep(0.02)
    time.sleep(together * lab.kato)
    lab.devices.flows()
    lab.thief.stop()
    lab.thief = None
    lab.check_content()
    lab.reattach()


# With two servers of one store.


@fault(10, servers=2)
def failover(lab, rng):
    """one server dies and stays dead until the other has taken over"""
    i = rng.randrange(2)
    lab.servers[i].kill()
    lab.devices.flows()
    lab.start_server(i)


@fault(8, servers=2)
def isolate(lab, rng):
    """one server lives, but nobody reaches it"""
    i, more = rng.randrange(2), rng.uniform(0, 2)
    paths = lab.proxies[lab.args.paths * i:lab.args.paths * (i + 1)]
    for p in paths:
        p('partition')
    lab.devices.flows()
    time.sleep(more * lab.kato)
    for p in paths:
        p('partition', mode='off')


# What changes the machine: for a virtual one.


@fault(6, root=True)
def netem(lab, rng):
    """loss, delay and reordering on the loopback device"""
    options = 'delay %dms %dms 25%% loss %.1f%% reorder 20%% 50%%' % (
        rng.randint(1, 20), rng.randint(1, 20), rng.uniform(0, 8))
    seconds = rng.uniform(1, 5)
    storage.run('tc', 'qdisc', 'replace', 'dev', 'lo', 'root', 'netem',
                *options.split())
    time.sleep(seconds * lab.kato)
    storage.run('tc', 'qdisc', 'del', 'dev', 'lo', 'root')


@fault(8, root=True)
def drop_packets(lab, rng):
    """a firewall that drops, so that TCP sends again and again"""
    ports = [p.port for p in lab.proxies] if rng.random() < 0.7 else lab.ports
    rules = rng.choice((['sport'], ['dport'], ['sport', 'dport']))
    seconds = rng.uniform(0.3, 4)
    storage.run('nft', '; '.join(
        ['add table inet vxhs_fault',
         'add chain inet vxhs_fault in '
         '{ type filter hook input priority 0 ; }'] +
        ['add rule inet vxhs_fault in tcp %s { %s } drop' % (
            rule, ', '.join(str(port) for port in ports)) for rule in rules]))
    time.sleep(seconds * lab.kato)
    storage.run('nft', 'delete table inet vxhs_fault')


@fault(4, root=True)
def kill_sockets(lab, rng):
    """ss -K: the kernel ends the host's connections itself"""
    pick = rng.random() if rng.random() < 0.5 else None
    ports = [p.port for p in lab.proxies]
    if pick is not None:
        ports = [ports[int(pick * len(ports))]]
    for port in ports:
        storage.run('ss', '-K', 'dport', '=', ':%d' % port)


@fault(6, root=True, loops=True)
def hang_disk(lab, rng):
    """one backing disk stops: only its own vdisk does, through a recovery
    as well"""
    number = rng.choice(list(lab.names))
    recovery, seconds = rng.random() < 0.6, rng.uniform(0.5, 4)
    if not lab.store.can_hang:
        raise Skipped('there is no device mapper')
    lab.store.hang(number)
    try:
        lab.devices.flows(but=[number])
        if recovery:
            for p in lab.proxies:
                p('kill')
        lab.devices.flows(but=[number])
        time.sleep(seconds * lab.kato)
        lab.devices.flows(but=[number])
    except Hung:
        lab.diagnose()          # while it lasts
        raise
    finally:
        lab.store.go_on(number)


@fault(4, root=True, loops=True)
def crash(lab, rng):
    """the storage host loses its page cache and boots: what was not flushed
    may be gone, and then FLUSH fails until somebody has taken note"""
    away, during = rng.uniform(0, 2), rng.uniform(1, 3)
    server = lab.servers[0]
    server.signal(signal.SIGSTOP)
    time.sleep(0.3)                 # for what it had answered to arrive
    lab.store.snapshot()
    server.kill()
    lab.devices.mark(stamp.CRASH)
    lab.store.crash()
    time.sleep(away * lab.kato)
    lab.start_server(0)
    lab.devices.flows()
    time.sleep(during * lab.kato)
    lab.check()
    lab.devices.ack_loss()


@fault(0, root=True)
def suspend(lab, rng):
    """the machine suspends as far as it can do so here: user space, the
    servers in it as well, is frozen for a while"""
    seconds = rng.randrange(1, 4)
    # Who waits for I/O in the kernel cannot be frozen, and the server is:
    # neither udev may, nor the load, by FLUSH or zeroes.
    subprocess.run(['udevadm', 'settle', '--timeout=60'], check=False)
    for path, text in (('/sys/module/suspend/parameters/pm_test_delay',
                        str(seconds)),
                       ('/sys/power/pm_test', 'freezer'),
                       ('/sys/power/state', 'freeze')):
        with open(path, 'w') as file:
            file.write(text)


@fault(1)
def calm(lab, rng):
    """none at all: what is found then, the load has found by itself"""
    time.sleep(rng.uniform(1, 4) * lab.kato)


@fault(2)
def attach_anew(lab, _):
    """the host lets go of everything and comes again"""
    lab.reattach()


# ---------------------------------------------------------------- results


class Results:
    def __init__(self):
        self.passed = collections.Counter()
        self.failures = []
        self.pauses = collections.defaultdict(list)
        self.begun = time.monotonic()

    def add(self, number, kind, seed, why=None, pause=None):
        name = 'fault-%d %s' % (number, kind)
        if why is None:
            self.passed[kind] += 1
            self.pauses[kind].append(pause)
            print('ok %s - seed %s, I/O after %.3f s' % (name, seed, pause),
                  flush=True)
        else:
            self.failures.append((seed, why))
            print('not ok %s - seed %s: %s' % (name, seed, why), flush=True)

    def summary(self, lab):
        counts = collections.Counter()
        for c in lab.checkers.values():
            counts.update(c.count)
        return {
            'seconds': round(time.monotonic() - self.begun),
            'faults': dict(self.passed),
            'failures': [{'seed': seed, 'why': why}
                         for seed, why in self.failures],
            'operations': dict(counts),
            'longest_s': round(max(c.longest for c in
                                   lab.checkers.values()) / 1e9, 3),
            'io_after_s': {kind: {
                'median': round(statistics.median(values), 3),
                'max': round(max(values), 3)}
                for kind, values in sorted(self.pauses.items())},
        }

    def report(self, lab):
        s = self.summary(lab)
        print('# %d faults in %d s, %d failed' % (
            sum(self.passed.values()) + len(self.failures), s['seconds'],
            len(self.failures)))
        for kind, n in sorted(s['faults'].items()):
            print('#   %-14s %5d   I/O after %.3f s, at most %.3f s' % (
                kind, n, s['io_after_s'][kind]['median'],
                s['io_after_s'][kind]['max']))
        print('#   ' + ', '.join('%d %s' % (n, what) for what, n in
                                 sorted(s['operations'].items())))
        print('#   the longest operation took %.3f s' % s['longest_s'])
        for seed, why in self.failures:
            print('#   FAILED: --replay %s  (%s)' % (seed, why))
        sys.stdout.flush()
        return s


def run(lab, args, results):
    """Until the schedule, the time or somebody's patience ends."""
    if args.replay:
        parts = args.replay.split(':')
        plan = [parts[2]] * args.times
        seeds = [args.replay] * args.times
    else:
        plan, seeds = lab.schedule(), None
    end = time.monotonic() + args.soak * 3600 if args.soak else None
    last = time.monotonic()
    for number, kind in enumerate(plan, 1):
        seed = seeds[0] if seeds else '%d:%d:%s' % (args.seed, number, kind)
        why = pause = None
        try:
            pause = lab.inject(number, kind, seed)
            if number % args.check_every == 0:
                lab.check_content()
        except Skipped as exc:
            print('ok fault-%d %s # skipped: %s' % (number, kind, exc))
            continue
        except (Wrong, Hung) as exc:
            why = str(exc)
        except Exception as exc:
            traceback.print_exc()
            why = repr(exc)
        results.add(number, kind, seed, why, pause)
        if why and not (args.keep_going and why.startswith('disk')):
            return
        if end and time.monotonic() - last > 600:
            last = time.monotonic()
            results.report(lab)
        if end and time.monotonic() > end:
            break
    lab.check_content()
    lab.devices.stop()
    for server in lab.servers:
        server.stop(args.patience)      # and no sanitizer has spoken
    lab.check(True)
    print('ok content - each block has the newest write, in all %d' %
          (args.blocks * len(lab.names)), flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__ + '\n\nFaults:\n' + '\n'.join(
            '  %-15s%s' % (name, ' '.join(func.__doc__.split()))
            for name, (func, _, _) in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int,
                        help='of the whole run; random without it')
    parser.add_argument('--faults', type=int, default=50, metavar='N')
    parser.add_argument('--kinds', help='only these, separated by commas')
    parser.add_argument('--count', metavar='KIND=N,...',
                        help='exactly these, in a random order')
    parser.add_argument('--replay', metavar='SEED:N:KIND',
                        help='this fault alone')
    parser.add_argument('--times', type=int, default=1,
                        help='how often, with --replay')
    parser.add_argument('--soak', type=float, metavar='HOURS')
    parser.add_argument('--summary', metavar='FILE', help='as JSON')
    parser.add_argument('--keep-going', action='store_true',
                        help='also after a check that failed')
    parser.add_argument('--servers', type=int, default=1, choices=(1, 2),
                        help='two share their storage')
    parser.add_argument('--paths', type=int, default=2, metavar='N',
                        help='portals of each server, a proxy each')
    parser.add_argument('--disks', type=int, default=4)
    parser.add_argument('--blocks', type=int, default=1024,
                        help='of 4 KiB, of each disk')
    parser.add_argument('--kato', type=int, default=1000, metavar='MS')
    parser.add_argument('--trap', type=float, default=10.0, metavar='S',
                        help='how long an old path holds back what it has')
    parser.add_argument('--patience', type=float, default=60.0, metavar='S',
                        help='after which something hangs')
    parser.add_argument('--check-every', type=int, default=10, metavar='N',
                        help='faults between two checks of all content')
    parser.add_argument('--export', default='', metavar=',OPTION...',
                        help='more of vxhsd, such as ,cache=none')
    parser.add_argument('--block-devices', action='store_true',
                        help='of the driver, not a client in user space')
    parser.add_argument('--attach-options', default='',
                        help='of vxhsctl attach, or of client.py')
    parser.add_argument('--load-options', default='',
                        help='of load.c or client.py: how much is under way')
    parser.add_argument('--root', action='store_true',
                        help='faults that change this machine are allowed')
    parser.add_argument('--loops', action='store_true',
                        help='export block devices that can hang and crash '
                        '(device mapper on loop devices; needs root)')
    parser.add_argument('--dir', help='where logs go')
    parser.add_argument('--keep', metavar='FOLDER',
                        help='where logs are copied to if anything failed')
    parser.add_argument('--store', help='where backing files go')
    args = parser.parse_args()
    if args.replay:
        args.seed = int(args.replay.split(':')[0])
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1, 10**6)
    return args


def main():
    args = parse()
    folder = args.dir or tempfile.mkdtemp(prefix='vxhs-fault.')
    os.makedirs(folder, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if args.block_devices and not devices.make_load():
        raise SystemExit('load.c cannot be built')
    print('# seed %d, logs in %s' % (args.seed, folder), flush=True)
    results = Results()
    lab = Lab(args, folder)
    failed = True
    try:
        try:
            lab.start()
            run(lab, args, results)
        except (Wrong, Hung) as exc:
            results.add(0, 'start-or-end', str(args.seed), str(exc))
        failed = bool(results.failures)
        if failed:
            lab.diagnose()
        summary = results.report(lab)
        if args.summary:
            with open(args.summary, 'w') as file:
                json.dump(summary, file, indent=1)
    finally:
        lab.stop()
        if failed and args.keep:
            folder = shutil.copytree(folder, os.path.join(
                args.keep, 'seed-%d' % args.seed), dirs_exist_ok=True,
                ignore=shutil.ignore_patterns('*.control'))
        if failed:
            print('# logs are in ' + folder)
        elif not args.dir:
            shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
