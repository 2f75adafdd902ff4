#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: what happens below the server. A backing disk that hangs, a
storage host that crashes and loses its page cache."""

# vm-run: --mem 3072 --

import hashlib
import mmap
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'),
                os.path.join(HERE, '..', 'fault')]

import storage
import vm
from faultlab import lab
from harness import Vxhsd, check, equal, eventually, main, test, tmpdir
from vm import attach, detach, settle, sh, show, vxhsctl

MIB = 1 << 20
LOAD = '--load-options=--qd 16 --rate 100 --report 50'


@test
def a_backing_disk_that_hangs_stops_its_own_vdisks_alone():
    """Through recoveries as well."""
    lab('--root', '--loops', '--count', 'hang_disk=4', '--kato', '500',
        LOAD, faults=4)


@test
def crashes_of_the_storage_host_under_load():
    """What was flushed is there, and FLUSH fails where something is not."""
    lab('--root', '--loops', '--count', 'crash=4', '--kato', '500',
        LOAD + ' --flush-every 200', faults=4)


class Host:
    """A storage host with one vdisk, whose page cache can be lost."""

    def __init__(self, mib):
        self.folder = tmpdir()
        args = type('Args', (), dict(blocks=mib * MIB // storage.BLOCK,
                                     store=None))
        self.vxhsd = os.environ['VXHSD']
        self.store = storage.Loops(args, self.folder, {0: 'd'})
        self.port = None
        self.start()

    def start(self):
        self.server = Vxhsd('d=' + self.store.paths[0], port=self.port,
                            state_dir=self.folder + '/state')
        self.port = self.server.port

    def crash(self):
        """Power fails, and comes back."""
        self.server.signal(signal.SIGSTOP)
        time.sleep(0.5)
        self.store.snapshot()
        self.server.kill()
        self.store.crash()
        # Nobody answers before; what is answered from here on was not before
        # the crash, however late a writer on a busy machine notes it.
        self.at = time.monotonic()
        self.start()

    def end(self):
        self.server.stop()
        self.store.remove()
        os.environ['VXHSD'] = self.vxhsd


class Writers:
    """Threads that make files, some of them with fsync: a mail server."""

    def __init__(self, folder, n=3):
        self.folder, self.ending = folder, False
        self.synced = {}            # path: (md5, when fsync had ended)
        self.errors = []            # (when, errno)
        self.files = 0
        self.buf = mmap.mmap(-1, 4096)
        with open(folder + '/direct', 'wb') as file:
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
        self.fd = os.open(folder + '/direct', os.O_RDWR | os.O_DIRECT)
        self.threads = [threading.Thread(target=self.run, args=(i,),
                                         daemon=True) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, me):
        number = 0
        while not self.ending:
            number += 1
            if me == 0:         # never with fsync
                self.overwrite(number)
                continue
            path = '%s/%d-%d' % (self.folder, me, number)
            data = os.urandom(3000 + number % 5 * 20000)
            try:
                with open(path + '.new', 'wb') as file:
                    file.write(data)
                    if number % 3:
                        file.flush()
                        os.fsync(file.fileno())
                os.rename(path + '.new', path)
                if number % 3:
                    fd = os.open(self.folder, os.O_RDONLY)
                    try:
                        os.fsync(fd)
                    finally:
                        os.close(fd)
                    self.synced[path] = (hashlib.md5(data).digest(),
                                         time.monotonic())
                self.files += 1
            except OSError as exc:
                self.errors.append((time.monotonic(), exc.errno))
                if len(self.errors) > 20:
                    return

    def overwrite(self, number):
        """Past the page cache: acknowledged, and not flushed."""
        try:
            self.buf[:8] = number.to_bytes(8, 'little')
            os.pwrite(self.fd, self.buf, number % 256 * 4096)
        except OSError as exc:
            self.errors.append((time.monotonic(), exc.errno))
            time.sleep(0.1)

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join(60)
            check(not thread.is_alive(), 'a writer hangs')
        os.close(self.fd)


def filesystem(h):
    device = attach(h.server, 'd', '--kato', '1')
    settle()
    sh('mkfs.ext4 -q -F -E lazy_itable_init=0 %s && mkdir -p /run/mnt && '
       'mount %s /run/mnt && mkdir /run/mnt/mail' % (device, device))
    sh('sync')
    return device


def unmount(device):
    sh('umount /run/mnt')
    settle()


def fsck(device):
    """Like the boot after a power cut: the journal, then no fault."""
    done = vm.run('e2fsck', '-p', device)
    check(done.returncode in (0, 1), 'e2fsck -p: %d %s' % (
        done.returncode, done.stdout))
    sh('e2fsck -fn ' + device)


def crash_turn(h):
    """True if writes were lost, and all that fsync has promised is there."""
    device = filesystem(h)
    writers = Writers('/run/mnt/mail')
    eventually(lambda: writers.files > 60, 'no files are made', 60)
    h.crash()
    files = writers.files
    eventually(lambda: writers.errors or writers.files > files + 60,
               'neither files nor errors', 60)
    writers.end()
    lost = bool(show(device)['lost'])
    equal(bool(writers.errors), lost, 'errors although nothing was lost, or '
          'a loss of which nobody is told')
    if lost:
        late = [when for _, when in writers.synced.values() if when > h.at]
        equal(late, [], 'fsyncs that succeeded after the crash')
    unmount(device)
    if lost:                    # an administrator has taken note
        vxhsctl('ack-loss', device)
    fsck(device)
    sh('mount %s /run/mnt' % device)
    for path, (digest, _) in writers.synced.items():
        with open(path, 'rb') as file:
            equal(hashlib.md5(file.read()).digest(), digest, path)
    print('# %d files, %d of them with fsync, %s lost' % (
        writers.files, len(writers.synced), 'some' if lost else 'nothing'))
    with open('/run/mnt/mail/after', 'w') as file:
        file.write('life goes on')
        file.flush()
        os.fsync(file.fileno())
    unmount(device)
    fsck(device)
    detach(device)
    return lost


@test
def ext4_survives_the_crash_of_its_storage_host():
    lost = 0
    for _ in range(3):
        h = Host(64)
        lost += crash_turn(h)
        h.end()
    check(lost, 'none of the crashes came between a write and its FLUSH')


@test
def ext4_does_not_notice_a_crash_that_lost_nothing():
    """All was flushed: another verifier means nothing."""
    h = Host(64)
    device = filesystem(h)
    with open('/run/mnt/mail/one', 'w') as file:
        file.write('one')
        file.flush()
        os.fsync(file.fileno())
    sh('sync; blockdev --flushbufs %s; sync' % device)
    # ext4 itself may have something to write a little later.
    time.sleep(6)
    with open(device) as file:
        os.fsync(file.fileno())
    h.crash()
    with open('/run/mnt/mail/two', 'w') as file:
        file.write('two')
        file.flush()
        os.fsync(file.fileno())
    check(not show(device)['lost'], 'show says that something was lost')
    unmount(device)
    fsck(device)
    sh('mount %s /run/mnt' % device)
    for name in ('one', 'two'):
        with open('/run/mnt/mail/' + name) as file:
            equal(file.read(), name)
    unmount(device)
    detach(device)
    h.end()


@test
def the_crash_of_a_host_that_writes_through_loses_nothing():
    """cache=none: what is acknowledged is durable, and the verifier stays."""
    h = Host(64)
    h.server.stop()
    h.start = lambda: setattr(h, 'server', Vxhsd(
        'd=%s,cache=none' % h.store.paths[0], port=h.port,
        state_dir=h.folder + '/state'))
    h.start()
    device = filesystem(h)
    writers = Writers('/run/mnt/mail')
    for _ in range(3):
        files = writers.files
        eventually(lambda: writers.files > files + 40, 'no files', 60)
        h.crash()
    writers.end()
    equal(writers.errors, [], 'errors')
    check(not show(device)['lost'], 'show says that something was lost')
    unmount(device)
    fsck(device)
    sh('mount %s /run/mnt' % device)
    for path, (digest, _) in writers.synced.items():
        with open(path, 'rb') as file:
            equal(hashlib.md5(file.read()).digest(), digest, path)
    unmount(device)
    detach(device)
    h.end()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
