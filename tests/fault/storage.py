# SPDX-License-Identifier: GPL-2.0
"""What the fault lab's servers export: plain files, or block devices of the
device mapper on loop devices, which can hang, and lose what their page cache
has not written yet."""

import errno
import fcntl
import glob
import os
import shutil
import struct
import subprocess
import time
import uuid

from harness import binary

BLOCK = 4096
BOOT_ID = '/proc/sys/kernel/random/boot_id'


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode:
        raise RuntimeError('%s: %s' % (' '.join(command),
                                       done.stderr.strip()))
    return done.stdout.strip()


def patiently(*command):
    """The kernel may still have open what a dead server had open."""
    end = time.monotonic() + 30
    while True:
        try:
            return run(*command)
        except RuntimeError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


# Of <linux/loop.h>. By hand: losetup takes a second where the processor is
# emulated.
LOOP_CTL_GET_FREE, LOOP_CONFIGURE, LOOP_CLR_FD = 0x4c82, 0x4c0a, 0x4c01


def loop(path):
    """The loop device of a file, which it makes."""
    file = os.open(path, os.O_RDWR)
    control = os.open('/dev/loop-control', os.O_RDWR)
    try:
        while True:
            name = '/dev/loop%d' % fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = os.open(name, os.O_RDWR)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE,
                            struct.pack('I300x', file))
                return name
            except OSError as exc:
                if exc.errno != errno.EBUSY:    # another was faster
                    raise
            finally:
                os.close(device)
    finally:
        os.close(control)
        os.close(file)


def end_loop(name):
    device = os.open(name, os.O_RDWR)
    try:
        fcntl.ioctl(device, LOOP_CLR_FD)
    finally:
        os.close(device)


def mapped(name):
    """The node of a device of the device mapper."""
    for path in glob.glob('/sys/block/dm-*/dm/name'):
        with open(path) as file:
            if file.read().strip() == name:
                return '/dev/' + path.split('/')[3]
    raise RuntimeError('there is no device ' + name)


class Files:
    """A file per vdisk. paths: what is exported."""

    def __init__(self, args, folder, names):
        self.names = names
        self.files = {n: os.path.join(args.store or folder, name)
                      for n, name in names.items()}
        self.paths = self.files
        for path in self.files.values():
            with open(path, 'wb') as file:
                file.truncate(args.blocks * BLOCK)

    can_hang = False

    def remove(self):
        pass


class Loops(Files):
    """The page cache of the exported device is what a storage host loses;
    the file below the loop device is the medium. Without a device mapper
    the loop devices are exported themselves, and cannot hang."""

    def __init__(self, args, folder, names):
        super().__init__(args, folder, names)
        self.loops, self.paths = {}, {}
        self.sectors = args.blocks * BLOCK // 512
        self.boot_id = os.path.join(folder, 'boot-id')
        self.new_boot()
        self.wrap_vxhsd(folder)
        subprocess.run(['modprobe', '-qa', 'loop', 'dm_mod'], check=False,
                       stderr=subprocess.DEVNULL)
        self.can_hang = subprocess.run(
            ['dmsetup', 'version'], check=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode == 0
        try:
            for n in names:
                self.make(n)
        except BaseException:
            self.remove()
            raise

    def name(self, n):
        """Of the device mapper."""
        return 'vxhs-fault-%d-%d' % (os.getpid(), n)

    def make(self, n):
        self.loops[n] = loop(self.files[n])
        if not self.can_hang:
            self.paths[n] = self.loops[n]
            return
        run('dmsetup', 'create', '--noudevrules', '--noudevsync',
            self.name(n), '--table',
            '0 %d linear %s 0' % (self.sectors, self.loops[n]))
        self.paths[n] = mapped(self.name(n))

    def new_boot(self):
        with open(self.boot_id, 'w') as file:
            file.write(str(uuid.uuid4()) + '\n')

    def wrap_vxhsd(self, folder):
        """vxhsd sees another boot id than this machine has."""
        path = os.path.join(folder, 'vxhsd')
        with open(path, 'w') as file:
            # What is mounted on its own vdisks is none of its business: it
            # would stay mounted there.
            file.write('#!/bin/sh\nexec unshare -m sh -c \''
                       'umount -l /run/mnt 2>/dev/null; mount --bind "$0" '
                       '%s && exec "$@"\' %s %s "$@"\n' % (
                           BOOT_ID, self.boot_id, os.path.abspath(binary())))
        os.chmod(path, 0o755)
        os.environ['VXHSD'] = path

    def hang(self, n):
        """I/O of this device does not end any more."""
        run('dmsetup', 'suspend', '--noflush', '--nolockfs', '--noudevsync',
            self.name(n))

    def go_on(self, n):
        run('dmsetup', 'resume', '--noudevsync', self.name(n))

    def snapshot(self):
        """What the media have now, while nobody writes."""
        for path in self.files.values():
            shutil.copyfile(path, path + '.crash')

    def free(self, n):
        """The device of a server that has ended."""
        if self.can_hang:
            patiently('dmsetup', 'remove', '--noudevsync', self.name(n))
        # Exclusively: nobody else has it any more.
        end = time.monotonic() + 30
        while True:
            try:
                os.close(os.open(self.loops[n], os.O_RDONLY | os.O_EXCL))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)
        end_loop(self.loops[n])

    def crash(self):
        """The server has ended: the media are as they were."""
        for n, path in self.files.items():
            # The last close writes the cache back: undo that, below the
            # loop device, which is taken away for it.
            self.free(n)
            os.replace(path + '.crash', path)
            self.make(n)
        self.new_boot()

    def remove(self):
        quiet = dict(check=False, stderr=subprocess.DEVNULL)
        for n, name in self.loops.items():
            if self.can_hang:
                subprocess.run(['dmsetup', 'resume', self.name(n)], **quiet)
                subprocess.run(['dmsetup', 'remove', '--retry',
                                self.name(n)], **quiet)
            try:
                end_loop(name)
            except OSError:     # it is gone already
                pass
