#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""hostile_user.py INDEX: tries all that a user without privilege could try on
/dev/vxhsINDEX and its driver, and prints what he got, a line each.

It writes "listening" first, and goes on when a line is read: meanwhile things
should change. Nothing of it does harm to a disk, also if root runs it.
"""
import errno
import os
import socket
import sys

from genl import (A_DISK, A_SESSION, ATTACH, D_HOST_ID, D_INDEX, D_VDISK,
                  HOST_ID, NLM_F_DUMP, NETLINK_GENERIC, S_HOST,
                  S_ID, SESSION_GET, SOL_NETLINK, Error, Genl, attr, nest,
                  parse, portal)

GETFAMILY, FAMILY_NAME, MCAST_GROUPS, GROUP_ID = 3, 2, 7, 2
ADD_MEMBERSHIP, LISTEN_ALL_NSID = 1, 8
NOWHERE = (1 << 20) - 1         # a disk that there is not


def group():
    """Number of the family's only group."""
    ask = Genl()
    ask.family = 0x10
    answer = dict(parse(ask.call(GETFAMILY, attr(FAMILY_NAME, 'vxhs'),
                                 version=2)[0]))
    ask.close()
    (_, only), = parse(answer[MCAST_GROUPS])
    return int.from_bytes(dict(parse(only))[GROUP_ID], 'little')


def listeners(number):
    """Sockets that hear of changes, one for each way to become one."""
    out = {}
    for name in ('membership', 'all namespaces', 'bind'):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                             NETLINK_GENERIC)
        sock.setblocking(False)
        try:
            if name == 'bind':
                sock.bind((0, 1 << number - 1))
            else:
                sock.bind((0, 0))
                if name == 'all namespaces':
                    sock.setsockopt(SOL_NETLINK, LISTEN_ALL_NSID, 1)
                sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, number)
        except OSError:
            pass                # what it hears is looked at all the same
        out[name] = sock
    return out


def heard(sock):
    try:
        return bool(sock.recv(1 << 16))
    except OSError:
        return False


def commands():
    """Those that are not refused for who asks."""
    disk = nest(A_DISK, attr(D_INDEX, NOWHERE))
    payloads = {
        ATTACH: nest(A_DISK, attr(D_VDISK, 'd'), attr(D_HOST_ID, HOST_ID)) +
        nest(A_SESSION, attr(S_HOST, 'h'), portal('127.0.0.1', 1)),
        SESSION_GET: nest(A_SESSION, attr(S_ID, bytes(8))),
    }
    nl = Genl()
    for command in range(12):
        for flags in (0, NLM_F_DUMP):
            try:
                nl.call(command, b'' if flags else payloads.get(command, disk),
                        flags=flags)
            except Error as exc:
                if exc.errno in (errno.EPERM, errno.EOPNOTSUPP):
                    continue
            yield 'command %d%s' % (command, ' dump' if flags else '')
    nl.close()


def opened(path, flags):
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def files(index):
    """What he may write, and read of what is not for everybody."""
    disk = '/sys/block/vxhs%d' % index
    for top in (disk, '/sys/module/vxhs', '/etc/vxhs'):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if opened(path, os.O_WRONLY):
                    yield 'write ' + path
    for path in (disk + '/vxhs/session', '/dev/vxhs%d' % index):
        if opened(path, os.O_RDONLY):
            yield 'read ' + path
    for folder in ('/sys/kernel/debug', '/sys/kernel/tracing'):
        try:
            if os.listdir(folder):
                yield 'list ' + folder
        except OSError:
            pass


def main():
    index = int(sys.argv[1])
    socks = listeners(group())
    print('listening', flush=True)
    sys.stdin.readline()
    got = ['event by ' + name for name, sock in socks.items() if heard(sock)]
    got += commands()
    got += files(index)
    print('\n'.join(got))


if __name__ == '__main__':
    main()
