#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: attach and detach, load and unload, again and again with I/O
until the last moment; and a server that dies under I/O. ATTACHES and LOADS
say how often."""

import errno
import glob
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import genl
import vm
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import Raw, attach, detach, settle, sh, show

ATTACHES = int(os.environ.get('ATTACHES', '500'))
LOADS = int(os.environ.get('LOADS', '50'))
NAMES = ('a', 'b')


def serve():
    return Vxhsd('a=%s/a,size=16M' % tmpdir(), 'b=memory,size=16M')


class Hammer(threading.Thread):
    """Reads and writes until it is told to stop, then closes."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.raw = Raw(device)
        self.ending = False
        self.done = 0
        self.error = None
        self.start()

    def run(self):
        try:
            while not self.ending:
                at = self.done % 64 * 65536
                self.raw.write(b'h' * 65536, at)
                check(self.raw.read(at) == b'h' * 4096, 'wrong data')
                self.done += 1
        except Exception as exc:
            self.error = exc
        finally:
            self.raw.close()

    def goes_on(self, timeout=20):
        seen = self.done
        eventually(lambda: self.error or self.done > seen + 2,
                   'I/O does not go on', timeout)
        equal(self.error, None, 'error')

    def waits(self):
        """Neither errors nor answers."""
        time.sleep(0.5)
        seen = self.done
        time.sleep(0.5)
        equal((self.done, self.error), (seen, None), 'without a server')

    def finish(self):
        self.ending = True
        self.join(30)
        check(not self.is_alive(), 'I/O hangs')
        return self.error


def caches():
    """Active objects of the slab caches that a leak would show in."""
    sh('echo 3 >/proc/sys/vm/drop_caches; sleep 0.5; '
       'echo 3 >/proc/sys/vm/drop_caches')
    # What is free in a CPU's own slabs counts as active, and is any number.
    for path in glob.glob('/sys/kernel/slab/*/shrink'):
        with open(path, 'w') as file:
            file.write('1')
    counts = {}
    with open('/proc/slabinfo') as file:
        for line in file:
            fields = line.split()
            if re.match(r'vxhs|TCP|tw_sock|request_sock|sock_inode|bdev_cache|'
                        r'blkdev|kmalloc-(512|1k|2k|4k|8k)$', fields[0]):
                counts[fields[0]] = int(fields[1])
    return counts


def no_growth(before, after, rounds):
    """A leak of one object a round would be seen."""
    for name, count in after.items():
        check(count - before.get(name, 0) < rounds // 2 + 20,
              '%s: %d objects before, %d after %d rounds' %
              (name, before.get(name, 0), count, rounds))


def hammered(device, i):
    hammer = Hammer(device)
    if i % 10 == 0:
        time.sleep(0.1)
    error = hammer.finish()
    check(error is None, 'I/O failed: %s' % error)


def attach_detach(d, nl, rounds):
    # One in five as an administrator does it, the others without the cost
    # of processes.
    for i in range(rounds):
        name, lanes = NAMES[i % 2], 1 + i % 3
        if i % 5 == 0:
            device = attach(d, name, '--lanes', lanes)
            hammered(device, i)
            detach(device)
            continue
        index = nl.attach(d, name, lanes=lanes)
        hammered('/dev/vxhs%d' % index, i)
        try:
            nl.detach(index)
        except genl.Error as exc:       # udev looks at it
            equal(exc.errno, errno.EBUSY)
            detach('vxhs%d' % index)


@test
def attach_and_detach_under_io():
    sh('modprobe vxhs')
    nl = genl.Genl()
    with serve() as d:
        attach_detach(d, nl, 20)
        vm.gone(d)
        settle()
        before, fds = caches(), d.fds()
        attach_detach(d, nl, ATTACHES)
        nl.close()
        vm.gone(d)
        settle()
        no_growth(before, caches(), ATTACHES)
        eventually(lambda: d.fds() <= fds, 'descriptors of vxhsd: %d before, '
                   '%d after' % (fds, d.fds()))
        equal(vm.devices(), [])


@test
def two_disks_in_turns_share_a_session():
    with serve() as d:
        a = attach(d, 'a', '--lanes', 2)
        session = show(a)['session']['id']
        hammer = Hammer(a)
        for _ in range(ATTACHES // 20):
            b = attach(d, 'b')
            equal(show(b)['session']['id'], session)
            other = Hammer(b)
            equal(other.finish(), None)
            detach(b)
        equal(hammer.finish(), None)
        detach(a)
        vm.gone(d)


@test
def load_and_unload():
    with serve() as d:
        for i in range(LOADS):
            if i == 5:
                before = caches()
            if vm.loaded():
                vm.rmmod()
            if i % 2:
                sh('modprobe vxhs')
            device = attach(d, NAMES[i % 2], '--lanes', 2)
            hammer = Hammer(device)
            equal(hammer.finish(), None)
            detach(device)
            vm.rmmod()
        vm.gone(d)
        no_growth(before, caches(), LOADS - 5)


@test
def attach_and_detach_race():
    """Several at once, of the same few vdisks: each call succeeds or says
    why not, and in the end all is as it was."""
    with serve() as d:
        ending = time.monotonic() + 10
        strange = []

        def churn(name):
            while time.monotonic() < ending:
                done = vm.run('vxhsctl', 'attach', vm.host(d), name)
                if done.returncode == 0:
                    vm.run('vxhsctl', 'detach', done.stdout.strip())
                elif not re.search(r'already|being|elsewhere|closing|again',
                                   done.stderr):
                    strange.append(done.stderr)
        threads = [threading.Thread(target=churn, args=(n,))
                   for n in NAMES * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(strange, [])
        settle()
        vm.detach_all()
        vm.gone(d)
        device = attach(d, 'a')
        settle()
        detach(device)


def fio(device, *options):
    return subprocess.Popen(
        ['fio', '--name=k', '--filename=' + device, '--rw=randrw', '--bs=4k',
         '--iodepth=32', '--ioengine=io_uring', '--direct=1', '--size=8m',
         '--offset=8m', *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@test
def a_server_killed_under_io():
    """Killed and started again: I/O waits, goes on, and its data is right.
    Killed for good: it fails when policy says so."""
    for lanes in (1, 4):
        exports = ['%s=%s/f,size=16M' % (n, tmpdir()) for n in 'kl']
        state = tmpdir()
        d = Vxhsd(*exports, state_dir=state)
        devices = [attach(d, 'k', '--lanes', lanes, '--kato', 1),
                   attach(d, 'l')]
        hammers = [Hammer(device) for device in devices * 2]
        load = fio(devices[1], '--verify=crc32c', '--verify_fatal=1',
                   '--verify_backlog=64', '--io_size=6m', '--rate=1m')
        for _ in range(2):
            for hammer in hammers:
                hammer.goes_on()
            with vm.Recovers(devices[0]):
                d.kill()
                for hammer in hammers:
                    hammer.waits()
                d = Vxhsd(*exports, port=d.port, state_dir=state)
        for hammer in hammers:
            hammer.goes_on()
        eventually(lambda: load.poll() is not None, 'fio hangs', 60)
        equal(load.returncode, 0, 'fio')
        for device in devices:
            shown = show(device)
            equal((shown['errors'], shown['lost']), (0, False))

        load = fio(devices[1], '--time_based', '--runtime=120')
        vm.vxhsctl('set', devices[0], '--fast-io-fail', 1)
        vm.vxhsctl('set', devices[1], '--fast-io-fail', 1)
        before = show(devices[1])['requests']
        eventually(lambda: show(devices[1])['requests'] > before + 100,
                   'fio does nothing')
        begun = time.monotonic()
        d.kill()
        for hammer in hammers:
            eventually(lambda: hammer.error, 'I/O goes on or hangs', 20)
            check(isinstance(hammer.error, OSError) and
                  hammer.error.errno in (errno.EIO, errno.ENOLINK),
                  repr(hammer.error))
            hammer.finish()
        check(time.monotonic() - begun < 10, 'the errors came late')
        eventually(lambda: load.poll() is not None, 'fio hangs', 30)
        check(load.returncode != 0, 'fio saw no error')
        settle()
        state_now = show(devices[0])['session']
        equal((state_now['lanes_up'], state_now['state']), (0, 'failing'))
        with Raw(devices[0]) as raw:
            vm.fails((errno.EIO, errno.ENOLINK), raw.read)
            vm.fails((errno.EIO, errno.ENOLINK), raw.flush)
        # What is attached to a dead server can be detached and used again.
        settle()
        for device in devices:
            vm.refused('--force', 'detach', device)
            vm.force(device)
        again = Vxhsd(*exports, port=d.port, state_dir=state)

        def attached():
            done = vm.run('vxhsctl', 'attach', vm.host(again), 'k',
                          '--lanes', str(lanes))
            check(done.returncode == 0 or 'elsewhere' in done.stderr,
                  done.stderr)
            return done.stdout.strip()
        # The lease is kept for the session that was, for kato.
        device = eventually(attached, 'the lease stays')
        with Raw(device) as raw:
            equal(raw.read(), b'h' * 4096)
            raw.write(b'again' * 1024 * 4)
            raw.read()
            raw.flush()
        settle()
        detach(device)
        vm.gone(again)
        again.stop()


@test
def a_server_stopped_under_io():
    """SIGTERM: it drains, so no I/O that was answered is lost."""
    path, state = tmpdir() + '/s', tmpdir()
    d = Vxhsd('s=%s,size=16M' % path, state_dir=state)
    device = attach(d, 's')
    hammer = Hammer(device)
    hammer.goes_on()
    with vm.Recovers(device):
        d.stop()
        hammer.waits()
        with open(path, 'rb') as file:
            data = file.read(min(64, hammer.done) * 65536)
        equal(data.count(b'h'), len(data), 'bytes of answered writes')
        d = Vxhsd('s=%s,size=16M' % path, port=d.port, state_dir=state)
    hammer.goes_on()
    equal(hammer.finish(), None)
    equal(show(device)['errors'], 0)
    settle()
    detach(device)
    d.stop()


@test
def a_frozen_server_is_given_up_after_kato():
    d = serve()
    device = attach(d, 'a', '--lanes', 1, '--kato', 1)
    hammer = Hammer(device)
    hammer.goes_on()
    with vm.Recovers(device):
        d.signal(19)
        try:
            eventually(lambda: show(device)['session']['state'] ==
                       'recovering', 'it is not given up', 30)
            hammer.waits()
        finally:
            d.signal(18)
    hammer.goes_on()
    equal(hammer.finish(), None)
    equal(show(device)['errors'], 0)
    settle()
    detach(device)
    d.stop()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
