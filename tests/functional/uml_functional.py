#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In user-mode Linux, with KASAN, lockdep and kmemleak: attach, verified I/O
in both dialects, detach in loops, a server that dies, and each allocation of
an attach failing once. One process that calls netlink itself, as processes
are slow there."""

import errno
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import genl
import vm
import vxhs
from genl import Genl
from harness import (Vxhsd, after_failure, check, equal, eventually, main,
                     skip, test, tmpdir)
from vm import Raw, sh, vxhsctl

_shared = {}


def netlink():
    if 'nl' not in _shared:
        sh('modprobe vxhs')
        _shared['nl'] = Genl()
    return _shared['nl']


def detach_all():
    nl = netlink()
    for index in nl.disks():
        nl.detach(index)


def clean_up():
    nl = netlink()
    for index in nl.disks():
        try:
            nl.detach(index)
        except genl.Error:
            nl.detach(index, force=True)


after_failure.clear()
after_failure.append(clean_up)


def native():
    if 'native' not in _shared:
        _shared['native'] = Vxhsd('f=%s/f,size=8M' % tmpdir(),
                                  'm=memory,size=8M', 'n=memory,size=8M')
    return _shared['native']


@test
def the_tools_work():
    netlink()
    d = native()
    device = vm.attach(d, 'f', '--lanes', 2)
    equal(vm.show(device)['session']['lanes_up'], 2)
    with Raw(device) as raw:
        raw.write(b'u' * 4096)
        equal(raw.read(), b'u' * 4096)
        raw.flush()
    vxhsctl('detach', device)
    equal(vxhsctl('list'), ('', ''))


@test
def verified_io_in_both_dialects():
    nl = netlink()
    old = vxhs.V34Server({n: vxhs.Disk(8 << 20) for n in 'fmn'})
    for d, lanes in ((native(), 1), (native(), 3), (old, 1), (old, 3)):
        indexes = [nl.attach(d, name, lanes=lanes) for name in 'fmn']
        jobs = ['[global]', 'ioengine=io_uring', 'direct=1', 'thread=1',
                'verify=crc32c', 'verify_fatal=1', 'rw=randrw', 'size=8m']
        for index, (bs, depth, size) in zip(indexes, (
                ('512-16k', 32, '1m'), ('4k-64k', 8, '3m'),
                ('64k-2m', 2, '6m'))):
            jobs += ['[j%d]' % index, 'filename=/dev/vxhs%d' % index,
                     'bsrange=' + bs, 'iodepth=%d' % depth,
                     'io_size=' + size]
        path = os.path.join(tmpdir(), 'fio')
        with open(path, 'w') as file:
            file.write('\n'.join(jobs) + '\n')
        sh('fio --output-format=terse ' + path)
        for index in indexes:
            nl.detach(index)
    equal(old.errors, [])
    old.stop()


@test
def discard_zeroes_flush_fua():
    nl, d = netlink(), native()
    index = nl.attach(d, 'f')
    device = '/dev/vxhs%d' % index
    with Raw(device) as raw:
        raw.write(b'z' * (1 << 20), 1 << 20)
        sh('blkdiscard -z -o 1M -l 64k %s && blkdiscard -o 1536k -l 64k %s' %
           (device, device))
        equal(raw.read(1 << 20, 65536), bytes(65536))
        equal(raw.read((1 << 20) + 65536, 4096), b'z' * 4096)
        raw.flush()
    sh('blkdiscard -z ' + device)
    fd = os.open(device, os.O_RDWR | os.O_DSYNC)
    equal(os.pwrite(fd, b'dsync' * 1000, 0), 5000)
    os.close(fd)
    sh('mkfs.ext4 -q -F %s && e2fsck -fn %s' % (device, device))
    nl.detach(index)


@test
def attach_and_detach_with_io():
    nl, d = netlink(), native()
    for i in range(60):
        index = nl.attach(d, 'fmn'[i % 3], lanes=1 + i % 4)
        with Raw('/dev/vxhs%d' % index) as raw:
            for k in range(8):
                raw.write(b'l' * 32768, k * 32768)
        nl.detach(index)
    fds = d.fds()
    for i in range(20):
        nl.detach(nl.attach(d, 'm', lanes=4))
    eventually(lambda: d.fds() <= fds, 'descriptors of vxhsd')


class Hammers:
    """Threads that write and read back, until they are told or meet an
    error."""

    def __init__(self, device):
        self.device = device
        self.ending = False
        self.rounds, self.errors = [0] * 4, []
        self.threads = [threading.Thread(target=self.hammer, args=(n,),
                                         daemon=True) for n in range(4)]
        for thread in self.threads:
            thread.start()

    def hammer(self, n):
        try:
            with Raw(self.device) as raw:
                while not self.ending:
                    data = bytes([n + 1, self.rounds[n] & 0xff]) * 32768
                    raw.write(data, n * 65536)
                    check(raw.read(n * 65536, 65536) == data, 'wrong data')
                    self.rounds[n] += 1
        except Exception as exc:
            self.errors.append(exc)

    def all_go_on(self, timeout=30):
        seen = self.rounds[:]
        eventually(lambda: self.errors or all(
            now > then for now, then in zip(self.rounds, seen)),
            'I/O does not go on', timeout)
        equal(self.errors, [])

    def all_wait(self):
        time.sleep(0.5)
        seen = self.rounds[:]
        time.sleep(1)
        equal((self.rounds, self.errors), (seen, []), 'without a server')

    def join(self):
        for thread in self.threads:
            thread.join(30)
            check(not thread.is_alive(), 'I/O hangs')


@test
def a_server_killed_under_io():
    """I/O waits for it and goes on with it; if it does not come back, who
    insists ends it."""
    nl = netlink()
    for lanes in (1, 3):
        export, state = 'k=%s/k,size=8M' % tmpdir(), tmpdir()
        d = Vxhsd(export, state_dir=state)
        index = nl.attach(d, 'k', lanes=lanes)
        hammers = Hammers('/dev/vxhs%d' % index)
        for _ in range(2):
            hammers.all_go_on()
            d.kill()
            hammers.all_wait()
            d = Vxhsd(export, port=d.port, state_dir=state)
        hammers.all_go_on()
        d.kill()
        hammers.all_wait()
        try:
            nl.detach(index)
            raise AssertionError('a plain detach succeeded')
        except genl.Error as exc:
            equal(exc.errno, errno.EHOSTDOWN)
        nl.detach(index, force=True)
        hammers.join()
        for exc in hammers.errors:
            check(getattr(exc, 'errno', None) in
                  (errno.EIO, errno.ENOLINK, errno.ENODEV), repr(exc))
        equal(len(hammers.errors), 4, 'threads that saw an error')
        equal(nl.disks(), [])


@test
def attaches_that_fail():
    nl = netlink()
    with vxhs.NativeServer({}) as d:
        for _ in range(20):
            try:
                nl.attach(d, 'none', lanes=3)
                raise AssertionError('an unknown vdisk was attached')
            except genl.Error as exc:
                check(exc.strerror, 'no sentence')
    with vxhs.NativeServer({'d': vxhs.Disk(1 << 20)},
                           geometry=dict(size=1000)) as d:
        for _ in range(20):
            try:
                nl.attach(d, 'd', lanes=2)
                raise AssertionError('a bad geometry was accepted')
            except genl.Error as exc:
                check('size' in exc.strerror, exc.strerror)
    equal(nl.disks(), [])


def failslab():
    if not os.path.exists('/sys/kernel/debug/failslab'):
        skip('no failslab')
    for name, value in (('ignore-gfp-wait', 'N'), ('verbose', '0'),
                        ('times', '-1'), ('probability', '0')):
        with open('/sys/kernel/debug/failslab/' + name, 'w') as file:
            file.write(value)


@test
def each_allocation_of_an_attach_fails_once():
    failslab()
    nl, d = netlink(), native()
    failed = passed = 0
    step = n = 1
    end = time.monotonic() + 120
    while time.monotonic() < end:
        index = None
        genl.fail_nth(n)
        try:
            index = nl.attach(d, 'm', lanes=2, digests=1)
        except OSError:         # of the kernel, or of the call itself
            failed += 1
        still = genl.fail_nth(0)
        if index is None:
            # An answer that was lost, not the attach, leaves the disk.
            nl.close()
            _shared.pop('nl')
            nl = netlink()
            detach_all()
        else:
            passed += 1
            nl.detach(index)
        if still:
            break
        n += step
        if n > 400:             # add_disk(): far from this driver
            step = 7
    print('# %d allocations: %d attaches failed, %d did not mind' %
          (n, failed, passed))
    check(failed > 20, 'only %d attaches failed' % failed)
    equal(nl.disks(), [])
    index = nl.attach(d, 'm')
    nl.detach(index)


@test
def each_allocation_before_an_attach_is_answered_later_fails_once():
    failslab()
    netlink()
    failed = n = 0
    still = False
    while not still:
        n += 1
        # A peer name that is new, for it is kept.
        request = genl.nest(
            genl.A_DISK, genl.attr(genl.D_VDISK, 'd'),
            genl.attr(genl.D_HOST_ID, genl.HOST_ID)) + genl.nest(
                genl.A_SESSION, genl.attr(genl.S_HOST, 'h'),
                genl.attr(genl.S_TLS, 1),
                genl.attr(genl.S_TLS_PEERNAME, 'server%d' % n),
                genl.portal('127.0.0.1', 1))
        nl = genl.Genl()
        genl.fail_nth(n)
        try:
            nl.call(genl.ATTACH, request)
        except OSError as exc:
            failed += exc.errno != errno.ECONNREFUSED
        still = genl.fail_nth(0)
        nl.close()
    print('# %d allocations: %d attaches failed' % (n, failed))
    check(failed > 5, 'only %d attaches failed' % failed)


@test
def nothing_is_left():
    detach_all()
    _shared.pop('nl').close()
    vm.gone(native())
    native().stop()
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
