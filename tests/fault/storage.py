# SPDX-License-Identifier: GPL-2.0
"""What the fault lab's servers export: plain files, or block devices of the
device mapper on loop devices, which can hang, and lose what their page cache
has not written yet."""

import os
import shutil
import subprocess
import time
import uuid

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

    def remove(self):
        pass


class Loops(Files):
    """The page cache of the exported device is what a storage host loses;
    the file below the loop device is the medium."""

    def __init__(self, args, folder, names):
        super().__init__(args, folder, names)
        self.loops, self.paths = {}, {}
        self.sectors = args.blocks * BLOCK // 512
        self.boot_id = os.path.join(folder, 'boot-id')
        self.new_boot()
        self.wrap_vxhsd(folder)
        for n, path in self.files.items():
            self.loops[n] = run('losetup', '--find', '--show', path)
            name = 'vxhs-fault-%d-%d' % (os.getpid(), n)
            run('dmsetup', 'create', '--noudevrules', '--noudevsync', name,
                '--table', self.table(n))
            run('dmsetup', 'mknodes', name)
            self.paths[n] = '/dev/mapper/' + name

    def table(self, n):
        return '0 %d linear %s 0' % (self.sectors, self.loops[n])

    def new_boot(self):
        with open(self.boot_id, 'w') as file:
            file.write(str(uuid.uuid4()) + '\n')

    def wrap_vxhsd(self, folder):
        """vxhsd sees another boot id than this machine has."""
        path = os.path.join(folder, 'vxhsd')
        real = os.environ.get('VXHSD') or shutil.which('vxhsd')
        with open(path, 'w') as file:
            file.write('#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" '
                       '%s && exec "$@"\' %s %s "$@"\n' % (
                           BOOT_ID, self.boot_id, os.path.abspath(real)))
        os.chmod(path, 0o755)
        os.environ['VXHSD'] = path

    def hang(self, n):
        """I/O of this device does not end any more."""
        run('dmsetup', 'suspend', '--noflush', '--nolockfs',
            '--noudevsync', os.path.basename(self.paths[n]))

    def go_on(self, n):
        run('dmsetup', 'resume', '--noudevsync',
            os.path.basename(self.paths[n]))

    def snapshot(self):
        """What the media have now, while nobody writes."""
        for path in self.files.values():
            shutil.copyfile(path, path + '.crash')

    def crash(self):
        """The server has ended: the media are as they were."""
        end = time.monotonic() + 30
        for n, path in self.files.items():
            while run('dmsetup', 'info', '-c', '--noheadings', '-o', 'open',
                      os.path.basename(self.paths[n])) != '0':
                if time.monotonic() > end:
                    raise RuntimeError(self.paths[n] + ' stays open')
                time.sleep(0.02)
            # The last close has written the cache back: undo that, below
            # the loop device, which is taken away for it.
            name = os.path.basename(self.paths[n])
            run('dmsetup', 'remove', '--retry', name)
            run('losetup', '--detach', self.loops[n])
            os.replace(path + '.crash', path)
            self.loops[n] = run('losetup', '--find', '--show', path)
            run('dmsetup', 'create', '--noudevrules', '--noudevsync', name,
                '--table', self.table(n))
            run('dmsetup', 'mknodes', name)
        self.new_boot()

    def remove(self):
        for n, path in self.paths.items():
            name = os.path.basename(path)
            subprocess.run(['dmsetup', 'resume', name], check=False,
                           stderr=subprocess.DEVNULL)
            subprocess.run(['dmsetup', 'remove', '--retry', name],
                           check=False, stderr=subprocess.DEVNULL)
            subprocess.run(['losetup', '--detach', self.loops[n]],
                           check=False, stderr=subprocess.DEVNULL)
