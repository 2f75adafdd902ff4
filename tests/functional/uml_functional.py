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


after_failure.clear()
after_failure.append(detach_all)


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


@test
def a_server_killed_under_io():
    nl = netlink()
    for lanes in (1, 3):
        with Vxhsd('k=memory,size=8M') as d:
            index = nl.attach(d, 'k', lanes=lanes)
            errors = []

            def hammer():
                try:
                    with Raw('/dev/vxhs%d' % index) as raw:
                        while True:
                            raw.write(b'k' * 65536, 65536)
                            raw.read(0, 65536)
                except OSError as exc:
                    errors.append(exc.errno)
            threads = [threading.Thread(target=hammer) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            d.kill()
            d.stop = lambda: None
            for thread in threads:
                thread.join(30)
                check(not thread.is_alive(), 'I/O hangs')
            equal(set(errors), {errno.EIO})
            nl.detach(index)


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


@test
def each_allocation_of_an_attach_fails_once():
    if not os.path.exists('/sys/kernel/debug/failslab'):
        skip('no failslab')
    nl, d = netlink(), native()
    for name, value in (('ignore-gfp-wait', 'N'), ('verbose', '0'),
                        ('times', '-1'), ('probability', '0')):
        with open('/sys/kernel/debug/failslab/' + name, 'w') as file:
            file.write(value)
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
def nothing_is_left():
    detach_all()
    _shared.pop('nl').close()
    vm.gone(native())
    native().stop()
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
