#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: the netlink family, called with what vxhsctl never sends."""

import errno
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import genl
import vm
import vxhs
from genl import (A_DISK, A_SESSION, ATTACH, D_HOST_ID, D_INDEX, D_LANES,
                  D_MODE, D_VDISK, DETACH, DISK_GET, NLM_F_DUMP, P_ADDRESS,
                  P_PORT, S_HOST, S_INTERFACE, S_PORTAL, S_SOURCE,
                  SESSION_GET, Genl, attr, nest, portal)
from harness import check, equal, main, test
from vm import settle

_shared = {}


def setup():
    if not _shared:
        vm.sh('modprobe vxhs')
        _shared['d'] = vxhs.NativeServer({'d': vxhs.Disk(1 << 20)})
        _shared['nl'] = Genl()
    return _shared['nl'], _shared['d']


def disk(**change):
    fields = {D_VDISK: 'd', D_MODE: 1, D_HOST_ID: genl.HOST_ID, D_LANES: 1}
    fields.update({getattr(genl, k): v for k, v in change.items()})
    return nest(A_DISK, *(attr(k, v) for k, v in fields.items()
                          if v is not None))


def session(*extra, host='h', portals=None):
    d = setup()[1]
    if portals is None:
        portals = [portal('127.0.0.1', d.port)]
    return nest(A_SESSION, *([attr(S_HOST, host)] if host else []), *portals,
                *extra)


def refused(command, payload, codes=None, sentence=True, **kw):
    nl, _ = setup()
    try:
        nl.call(command, payload, **kw)
    except genl.Error as exc:
        if codes:
            check(exc.errno in codes, 'errno %s' % exc)
        if sentence:
            check(exc.strerror, 'no sentence with %s' %
                  errno.errorcode[exc.errno])
        return
    raise AssertionError('it was accepted')


@test
def attach_get_detach():
    nl, d = setup()
    index = nl.attach(d, 'd')
    equal(nl.disks(), [index])
    answer = nl.call(DISK_GET, nest(A_DISK, attr(D_INDEX, index)))
    fields = dict(genl.parse(dict(genl.parse(answer[0]))[A_DISK]))
    equal(fields[D_VDISK], b'd\0')
    sessions = nl.call(SESSION_GET, flags=NLM_F_DUMP)
    equal(len(sessions), 1)
    one = dict(genl.parse(dict(genl.parse(sessions[0]))[A_SESSION]))
    answer = nl.call(SESSION_GET, nest(A_SESSION, attr(1, one[1])))
    equal(dict(genl.parse(dict(genl.parse(answer[0]))[A_SESSION]))[S_HOST],
          b'test\0')
    settle()
    vm.detach('vxhs%d' % index)
    equal(nl.disks(), [])
    equal(nl.call(SESSION_GET, flags=NLM_F_DUMP), [])


@test
def missing_attributes():
    for payload in (b'', disk(), session(), disk(D_VDISK=None) + session(),
                    disk(D_HOST_ID=None) + session(),
                    disk() + session(host=None), disk() + session(portals=[]),
                    disk() + session(portals=[nest(S_PORTAL)]),
                    disk() + session(portals=[nest(
                        S_PORTAL, attr(P_ADDRESS, bytes(4)))]),
                    disk() + session(portals=[nest(
                        S_PORTAL, attr(P_PORT, struct.pack('<H', 1)))])):
        refused(ATTACH, payload)
    refused(DETACH, b'')
    refused(DETACH, nest(A_DISK))
    refused(DISK_GET, b'')
    refused(DISK_GET, nest(A_DISK))
    refused(SESSION_GET, b'')
    refused(SESSION_GET, nest(A_SESSION))


@test
def wrong_values():
    good = session()
    for payload in (
            disk(D_VDISK='') + good, disk(D_VDISK='n' * 64) + good,
            disk(D_MODE=3) + good, disk(D_LANES=65) + good,
            disk(D_INDEX=1 << 20) + good, disk(D_INDEX=0xffffffff) + good,
            disk(D_HOST_ID=b'short') + good,
            disk(D_HOST_ID=bytes(17)) + good,
            disk(D_VDISK=b'not terminated') + good,
            disk(D_MODE=b'x') + good,
            disk() + session(host='h' * 256),
            disk() + session(portals=[portal('127.0.0.1', 0)]),
            disk() + session(portals=[portal('127.0.0.1', 1)] * 9),
            disk() + session(portals=[nest(
                S_PORTAL, attr(P_ADDRESS, bytes(5)),
                attr(P_PORT, struct.pack('<H', 1)))]),
            disk() + session(attr(S_SOURCE, bytes(5))),
            disk() + session(attr(S_SOURCE, bytes(3))),
            disk() + session(attr(S_INTERFACE, 'i' * 16)),
            disk() + session(attr(S_INTERFACE, 'nosuchif')),
            disk() + attr(A_SESSION, b'xx'),
            attr(A_DISK, b'\xff' * 40) + good):
        refused(ATTACH, payload, sentence=False)
    equal(setup()[0].disks(), [])


@test
def things_that_do_not_exist():
    refused(DETACH, nest(A_DISK, attr(D_INDEX, 5)), (errno.ENODEV,
                                                     errno.ENOENT))
    refused(DISK_GET, nest(A_DISK, attr(D_INDEX, 5)), (errno.ENODEV,
                                                       errno.ENOENT))
    refused(SESSION_GET, nest(A_SESSION, attr(1, bytes(8))),
            (errno.ENODEV, errno.ENOENT))
    for command in (0, 5, 6, 200):
        refused(command, b'', (errno.EOPNOTSUPP,), sentence=False)


@test
def random_messages():
    nl, _ = setup()
    rng = random.Random(5)
    good = disk() + session(portals=[portal('127.0.0.1', 1)])
    for _ in range(2000):
        payload = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        payload = bytes(payload[:rng.randrange(len(payload) + 1)])
        # Other addresses than the closed port of this host would be tried.
        if rng.random() < 0.5 or b'\x7f\0\0\1' not in payload:
            command = rng.choice((DETACH, DISK_GET, SESSION_GET))
        else:
            command = ATTACH
        try:
            nl.call(command, payload)
        except genl.Error:
            pass
    equal(nl.disks(), [])


@test
def many_dumps_while_things_change():
    nl, d = setup()
    other = Genl()
    for _ in range(30):
        index = nl.attach(d, 'd')
        other.send(DISK_GET, flags=NLM_F_DUMP)
        check(len(other.recv()) <= 1, 'more disks than there are')
        settle()
        vm.detach('vxhs%d' % index)
    other.close()


@test
def without_cap_sys_admin():
    nl, _ = setup()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            fresh = Genl()
            for command in (ATTACH, DETACH, DISK_GET, SESSION_GET):
                for flags in (0, NLM_F_DUMP):
                    if flags and command in (ATTACH, DETACH):
                        continue
                    payload = {ATTACH: disk() + session(),
                               SESSION_GET: nest(A_SESSION,
                                                 attr(1, bytes(8)))}
                    try:
                        fresh.call(command, b'' if flags else payload.get(
                            command, nest(A_DISK, attr(D_INDEX, 0))),
                                   flags=flags)
                        os._exit(command)
                    except genl.Error as exc:
                        if exc.errno != errno.EPERM:
                            os._exit(10 + command)
            os._exit(0)
        except BaseException as exc:
            print(repr(exc), file=sys.stderr)
            os._exit(99)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0,
          'the command that was let through')


@test
def nothing_is_left():
    nl, d = setup()
    nl.close()
    vm.gone(d)
    equal(d.errors, [])
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
