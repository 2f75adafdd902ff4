# SPDX-License-Identifier: GPL-2.0
"""A place for a program that is trusted with one device and nothing else: a
root of its own with the program's files alone, a network without an interface,
an unprivileged user without groups and capabilities."""

import ctypes
import os
import subprocess

NOBODY = 65534
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = (
    0x20000, 0x4000000, 0x8000000, 0x40000000)
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(_libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)


class Jail:
    """Has what is named of this machine's files, read-only, and one device."""

    def __init__(self, root, device, shared):
        self.root = root
        self.mounts = []
        for path in shared:
            path = os.path.realpath(path)
            place = root + path
            if os.path.isdir(path):
                os.makedirs(place)
            else:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                open(place, 'w').close()
            subprocess.run(['mount', '--bind', path, place], check=True)
            self.mounts.append(place)
            subprocess.run(['mount', '-o', 'remount,bind,ro,nosuid,nodev',
                            place], check=True)
        # Where programs look for their interpreter.
        for name in ('lib', 'lib64'):
            if os.path.islink('/' + name):
                os.symlink(os.readlink('/' + name), root + '/' + name)
        os.mkdir(root + '/dev')
        self.node = '/dev/' + os.path.basename(device)
        os.mknod(root + self.node, 0o600 | os.stat(device).st_mode & 0o170000,
                 os.stat(device).st_rdev)
        os.chown(root + self.node, NOBODY, NOBODY)

    def enter(self):
        """Between fork and exec; there is no way back."""
        _call('unshare', CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC |
              CLONE_NEWNET)
        os.chroot(self.root)
        os.chdir('/')
        cap = 0
        while _libc.prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0:
            _call('prctl', PR_CAPBSET_DROP, cap, 0, 0, 0)
            cap += 1
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def remove(self):
        """What is shared; the rest is its owner's."""
        while self.mounts:
            subprocess.run(['umount', self.mounts.pop()], check=True)


def status(pid):
    """What the kernel says of a process, and of the network that it has."""
    with open('/proc/%d/status' % pid) as file:
        said = dict(line.split(':', 1) for line in file)
    said = {key: value.split() for key, value in said.items()}
    with open('/proc/%d/net/dev' % pid) as file:
        said['interfaces'] = [line.split(':')[0].strip()
                              for line in file.readlines()[2:]]
    with open('/proc/%d/net/route' % pid) as file:
        said['routes'] = file.readlines()[1:]
    return said
