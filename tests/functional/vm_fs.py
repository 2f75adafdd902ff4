#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: filesystems and disk images on a vdisk."""

import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import Vxhsd, check, equal, main, test, tmpdir
from vm import attach, detach, settle, sh

_shared = {}


def server():
    if not _shared:
        _shared['path'] = os.path.join(tmpdir(), 'fs')
        _shared['d'] = Vxhsd('fs=%s,size=400M' % _shared['path'],
                             'image=memory,size=64M')
        _shared['old'] = vxhs.V34Server({'fs': vxhs.Disk(64 << 20)})
    return _shared['d']


def fill(mount, mib):
    """A tree of files; their digest."""
    sh('mkdir -p %s/tree/a/b' % mount)
    sums = {}
    for i in range(mib):
        data = os.urandom(1 << 20)
        path = '%s/tree/%sfile%d' % (mount, 'a/b/' if i % 3 else '', i)
        with open(path, 'wb') as file:
            file.write(data)
            os.fsync(file.fileno())
        sums[path] = hashlib.md5(data).digest()
    for i in range(200):
        with open('%s/tree/a/small%d' % (mount, i), 'w') as file:
            file.write('small %d\n' % i)
    for i in range(0, 200, 3):
        os.unlink('%s/tree/a/small%d' % (mount, i))
    return sums


def compare(sums):
    for path, want in sums.items():
        with open(path, 'rb') as file:
            equal(hashlib.md5(file.read()).digest(), want, path)


def round_trip(d, name, mkfs, fsck, mib, discards=True):
    """Make it, fill it, take it away, check it, and look again."""
    device = attach(d, name)
    sh('%s %s' % (mkfs, device))
    mount = tmpdir()
    sh('mount %s %s' % (device, mount))
    sums = fill(mount, mib)
    if discards:
        sh('rm %s/tree/file0 && sync && fstrim %s' % (mount, mount))
        sums = {p: s for p, s in sums.items() if os.path.exists(p)}
    sh('umount ' + mount)
    settle()
    detach(device)
    device = attach(d, name)
    sh('%s %s' % (fsck, device))
    sh('mount %s %s' % (device, mount))
    compare(sums)
    sh('umount ' + mount)
    sh('%s %s' % (fsck, device))
    settle()
    detach(device)


@test
def ext4():
    round_trip(server(), 'fs', 'mkfs.ext4 -q -F', 'e2fsck -fn', 24)


@test
def xfs():
    round_trip(server(), 'fs', 'mkfs.xfs -q -f', 'xfs_repair -n', 24)


@test
def ext4_on_a_v34_server():
    server()
    round_trip(_shared['old'], 'fs', 'mkfs.ext4 -q -F', 'e2fsck -fn', 8,
               discards=False)


@test
def the_server_sees_what_was_fsynced():
    d = server()
    device = attach(d, 'fs')
    data = os.urandom(1 << 20)
    with open(device, 'r+b') as file:
        file.write(data)
        os.fsync(file.fileno())
    with open(_shared['path'], 'rb') as file:
        equal(file.read(1 << 20), data, "the server's file")
    settle()
    detach(device)


@test
def an_image_converted_onto_it_compares_equal():
    d = server()
    device = attach(d, 'image')
    directory = tmpdir()
    raw, qcow = directory + '/raw', directory + '/qcow2'
    with open(raw, 'wb') as file:
        for i in range(0, 64 << 20, 4 << 20):
            file.seek(i)
            file.write(os.urandom(1 << 20))
        file.truncate(64 << 20)
    sh('qemu-img convert -O qcow2 %s %s' % (raw, qcow))
    sh('blkdiscard -z ' + device)
    for cache in ('none', 'writeback'):
        sh('qemu-img convert -n -t %s -O raw %s %s' % (cache, qcow, device))
        out = sh('qemu-img compare -f qcow2 -F raw %s %s' % (qcow, device))
        check('identical' in out, out)
    settle()
    detach(device)
    device = attach(d, 'image')
    sh('cmp %s %s' % (raw, device))
    settle()
    detach(device)


@test
def discard_and_zeroes():
    device = attach(server(), 'fs')
    with vm.Raw(device) as raw:
        for offset in (0, 1 << 20, 2 << 20):
            raw.write(b'd' * (1 << 20), offset)
    before = os.stat(_shared['path']).st_blocks
    sh('blkdiscard -z -o 0 -l 1M ' + device)
    with vm.Raw(device) as raw:
        equal(raw.read(0, 1 << 20), bytes(1 << 20), 'zeroed')
        equal(raw.read(1 << 20, 4096), b'd' * 4096, 'beside it')
    sh('blkdiscard -o 1M -l 1M ' + device)
    with vm.Raw(device) as raw:
        got = raw.read(1 << 20, 1 << 20)
        check(set(got) <= {0, ord('d')}, 'neither old data nor zeros')
        equal(raw.read(2 << 20, 4096), b'd' * 4096, 'beside it')
    sh('blkdiscard -f ' + device)
    check(os.stat(_shared['path']).st_blocks < before, 'nothing was freed')
    sh('blkdiscard -z ' + device)
    with vm.Raw(device) as raw:
        equal(raw.read((400 << 20) - 4096), bytes(4096), 'the end')
    settle()
    detach(device)


@test
def nothing_is_left():
    server().stop()
    equal(_shared['old'].errors, [])
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
