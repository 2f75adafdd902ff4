#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: the netlink family, called with what vxhsctl never sends."""

import errno
import glob
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import genl
import vm
import vxhs
from genl import (A_DISK, A_SESSION, ACK_LOSS, ATTACH, D_FAILED,
                  D_FAST_IO_FAIL_TMO, D_FORCE, D_HOST_ID, D_INDEX,
                  D_IO_TIMEOUT, D_LANES, D_LOSSES, D_LOST, D_MODE, D_PARKED,
                  D_SHUTDOWN_TMO, D_SLOW, D_TAKE_OVER, D_VDISK, DETACH,
                  DISK_GET, NEVER, NLM_F_DUMP, P_ADDRESS, P_PORT, S_DIGESTS,
                  S_HOST, S_INTERFACE, S_KATO, S_KATO_ASKED, S_PORTAL,
                  S_RECONNECT_DELAY, S_RECOVERIES, S_REPLAY_DELAY, S_SOURCE,
                  S_ALLOW_UNVERIFIED, S_TLS, S_TLS_IDENTITY, S_TLS_PEERNAME,
                  S_TLS_PSK, SESSION_GET, SET, Genl, attr, nest, portal)
from harness import check, equal, eventually, main, test, tmpdir
from vm import Raw, settle

HOSTILE = os.path.join(os.path.dirname(genl.__file__), 'hostile_user.py')
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
    refused(ACK_LOSS, b'')
    refused(SET, b'')
    refused(SET, nest(A_DISK))
    refused(SET, nest(A_SESSION, attr(S_KATO, 1000)))


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
            disk() + session(portals=[portal('127.0.0.1', 1)] * 2),
            disk() + session(portals=[portal('127.0.0.1', p)
                                      for p in range(1, 10)]),
            disk() + session(portals=[nest(
                S_PORTAL, attr(P_ADDRESS, bytes(5)),
                attr(P_PORT, struct.pack('<H', 1)))]),
            disk() + session(attr(S_SOURCE, bytes(5))),
            disk() + session(attr(S_DIGESTS, 3)),
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
    for command in (SET, ACK_LOSS):
        refused(command, nest(A_DISK, attr(D_INDEX, 5),
                              attr(D_IO_TIMEOUT, 1)), (errno.ENODEV,))
    for command in (0, 5, 8, 200):
        refused(command, b'', (errno.EOPNOTSUPP,), sentence=False)


def look(index):
    """The numbers of a disk and of its session, and what is not a number."""
    answer = setup()[0].call(DISK_GET, nest(A_DISK, attr(D_INDEX, index)))
    nests = dict(genl.parse(answer[0]))
    return [{k: int.from_bytes(v, 'little') if len(v) in (4, 8) else v
             for k, v in genl.parse(nests[kind])}
            for kind in (A_DISK, A_SESSION)]


def sysfs(index, name):
    with open('/sys/block/vxhs%d/vxhs/%s' % (index, name)) as f:
        return int(f.read())


DISK_POLICY = {D_FAST_IO_FAIL_TMO: ('fast_io_fail_tmo', NEVER),
               D_IO_TIMEOUT: ('io_timeout', 30000),
               D_SHUTDOWN_TMO: ('shutdown_tmo', 60000)}
SESSION_POLICY = {S_KATO_ASKED: ('kato', 5000),
                  S_RECONNECT_DELAY: ('reconnect_delay', 5000),
                  S_REPLAY_DELAY: ('replay_delay', 5000)}


def policy_is(index, changed):
    for policy, got in zip((DISK_POLICY, SESSION_POLICY), look(index)):
        for kind, (name, default) in policy.items():
            want = changed.get(name, default)
            equal(got[kind], want, name)
            equal(sysfs(index, name), -1 if want == NEVER else want, name)


def set_of(index, *attrs, session=()):
    return nest(A_DISK, attr(D_INDEX, index), *attrs) + (
        nest(A_SESSION, *session) if session else b'')


@test
def policy():
    """Each value is set alone, read back, and leaves the others alone."""
    nl, d = setup()
    index = nl.attach(d, 'd')
    changed = {}
    policy_is(index, changed)
    for kind, (name, _) in DISK_POLICY.items():
        for value in (0, 86400000, 12345):
            nl.call(SET, set_of(index, attr(kind, value)))
            changed[name] = value
            policy_is(index, changed)
    for kind, (name, _) in SESSION_POLICY.items():
        for value in (86400000, 200):
            nl.call(SET, set_of(index, session=[
                attr(S_KATO if kind == S_KATO_ASKED else kind, value)]))
            changed[name] = value
            policy_is(index, changed)
    nl.call(SET, set_of(index, attr(D_FAST_IO_FAIL_TMO, NEVER),
                        attr(D_SHUTDOWN_TMO, NEVER),
                        session=[attr(S_KATO, 1000)]))
    changed.update(fast_io_fail_tmo=NEVER, shutdown_tmo=NEVER, kato=1000)
    policy_is(index, changed)
    equal([look(index)[0].get(k) for k in (D_LOST, D_LOSSES, D_SLOW, D_PARKED,
                                           D_FAILED)], [0, 0, 0, 0, None])
    equal(look(index)[1][S_RECOVERIES], 0)
    settle()
    vm.detach('vxhs%d' % index)


@test
def policy_of_an_attach():
    """A shared session keeps what a later attach does not name."""
    nl, d = setup()
    d.disks['e'] = vxhs.Disk(1 << 20)
    asked = []
    d.on_login = lambda conn, req, payload: asked.append(
        struct.unpack_from('<I', payload, 32)[0])
    first = struct.unpack('<I', dict(genl.parse(dict(genl.parse(nl.call(
        ATTACH, disk(D_IO_TIMEOUT=7000, D_TAKE_OVER=1) + session(
            attr(S_KATO, 2000), attr(S_RECONNECT_DELAY, 300)))[0]))
        [A_DISK]))[D_INDEX])[0]
    changed = {'io_timeout': 7000, 'kato': 2000, 'reconnect_delay': 300}
    policy_is(first, changed)
    d.on_login = None
    equal(asked, [2000], 'asked for in LOGIN')
    equal(look(first)[1][S_KATO], d.grant['kato'], 'granted')
    second = struct.unpack('<I', dict(genl.parse(dict(genl.parse(nl.call(
        ATTACH, disk(D_VDISK='e') + session(
            attr(S_REPLAY_DELAY, 400)))[0]))[A_DISK]))[D_INDEX])[0]
    equal(look(first)[1][1], look(second)[1][1], 'session')
    changed['replay_delay'] = 400
    policy_is(first, changed)
    del changed['io_timeout']
    policy_is(second, changed)
    settle()
    for index in (first, second):
        vm.detach('vxhs%d' % index)


@test
def policy_out_of_range():
    nl, d = setup()
    index = nl.attach(d, 'd')
    for kind in DISK_POLICY:
        for value in (86400001, 0x7fffffff, 0x80000000, 0xfffffffe):
            refused(SET, set_of(index, attr(kind, value)), (errno.EINVAL,))
            refused(ATTACH, nest(A_DISK, attr(D_VDISK, 'd'),
                                 attr(D_HOST_ID, genl.HOST_ID),
                                 attr(kind, value)) + session(),
                    (errno.EINVAL,))
    refused(SET, set_of(index, attr(D_IO_TIMEOUT, NEVER)), (errno.EINVAL,))
    for kind, least in ((S_KATO, 200), (S_RECONNECT_DELAY, 100),
                        (S_REPLAY_DELAY, 100)):
        for value in (0, least - 1, 86400001, NEVER):
            # Nothing is set if one value is refused.
            refused(SET, set_of(index, attr(D_IO_TIMEOUT, 1), session=[
                attr(kind, value)]), (errno.EINVAL,))
            refused(ATTACH, disk() + session(attr(kind, value)),
                    (errno.EINVAL,))
    refused(SET, set_of(index), (errno.EINVAL,))
    refused(SET, set_of(index, session=[attr(S_HOST, 'other')]),
            (errno.EINVAL,))
    refused(DETACH, set_of(index, attr(D_FORCE, 2)), sentence=False)
    refused(ACK_LOSS, set_of(index), (errno.EINVAL,))
    policy_is(index, {})
    settle()
    vm.detach('vxhs%d' % index)


def tls(**change):
    fields = {'S_TLS': 1, 'S_TLS_PEERNAME': 'server.example'}
    fields.update(change)
    return [attr(getattr(genl, k), v) for k, v in fields.items()
            if v is not None]


@test
def wrong_tls():
    """Refused before anything is connected."""
    d = setup()[1]
    before = d.accepted
    for bad in (tls(S_TLS=2), tls(S_TLS=b'\1'), tls(S_TLS=0),
                tls(S_TLS=None), tls(S_TLS_PEERNAME=None),
                tls(S_TLS_PEERNAME=''), tls(S_TLS_PEERNAME='n' * 256),
                tls(S_TLS_PEERNAME=b'not terminated'),
                tls(S_TLS_IDENTITY='', S_TLS_PSK=None),
                tls(S_TLS_IDENTITY='i' * 64), tls(S_TLS_IDENTITY='a:b'),
                tls(S_TLS_PSK=0), tls(S_TLS_PSK=0xffffffff),
                tls(S_TLS_PSK=b'\1\0'), tls(S_TLS_PSK=7, S_TLS_IDENTITY='a'),
                tls(S_ALLOW_UNVERIFIED=2),
                tls(S_TLS=None, S_TLS_PEERNAME=None, S_TLS_PSK=7),
                tls(S_TLS=None, S_TLS_PEERNAME=None, S_TLS_IDENTITY='a'),
                tls(S_TLS=None, S_TLS_PEERNAME=None, S_ALLOW_UNVERIFIED=1)):
        refused(ATTACH, disk() + session(*bad),
                (errno.EINVAL, errno.ERANGE, errno.E2BIG), sentence=False)
    for text in ('a@b', 'a/b', 'a b', 'a\nb', 'a\tb', 'a%b', 'a"b', 'a$b',
                 '\x7f', 'b\u00fccher', '*.example'):
        refused(ATTACH, disk() + session(*tls(S_TLS_PEERNAME=text)),
                (errno.EINVAL,))
        refused(ATTACH, disk() + session(*tls(S_TLS_IDENTITY=text)),
                (errno.EINVAL,))
    equal(d.accepted, before, 'connections')


class Deaf:
    """A server that completes no connection: its queue is full."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(('127.0.0.1', 0))
        self.sock.listen(0)
        self.port = self.sock.getsockname()[1]
        self.queued = []
        for _ in range(3):
            self.queued.append(socket.socket())
            self.queued[-1].setblocking(False)
            self.queued[-1].connect_ex(self.sock.getsockname())

    def close(self):
        for sock in (*self.queued, self.sock):
            sock.close()


def attaching():
    """How many attaches are answered later."""
    found = 0
    for path in glob.glob('/proc/[0-9]*/comm'):
        try:
            with open(path) as f:
                found += f.read() == 'vxhs_attach\n'
        except OSError:         # it has ended
            pass
    return found


@test
def tls_answers_later():
    """The family's lock is free meanwhile, the module is not, and the caller's
    end is the attach's."""
    nl, deaf = setup()[0], Deaf()
    stays, goes = Genl(), Genl()
    stays.send(ATTACH, disk() + session(*tls(), portals=[
        portal('127.0.0.1', deaf.port)]))
    time.sleep(1)       # so that its time is over first, were it about time
    goes.send(ATTACH, disk() + session(*tls(), portals=[
        portal('127.0.0.1', deaf.port)], host='other'))
    equal(attaching(), 2)
    if vm.run('modprobe', '-n', 'fou').returncode == 0:
        vm.sh('modprobe fou')           # it registers a family
        equal(attaching(), 2, 'attaches after a module was loaded')
    equal(nl.disks(), [])
    check(vm.run('rmmod', 'vxhs').returncode, 'the module was unloaded')
    port = goes.sock.getsockname()
    goes.close()
    heir = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                         genl.NETLINK_GENERIC)
    heir.bind(port)
    eventually(lambda: attaching() == 1,
               'an attach whose caller has gone goes on')
    for sock, why in ((stays.sock, 'they ended together'),
                      (heir, 'the next owner of the port got an answer')):
        sock.setblocking(False)
        try:
            sock.recv(1 << 16)
        except BlockingIOError:
            continue
        raise AssertionError(why)
    heir.close()
    stays.close()
    eventually(lambda: attaching() == 0, 'the other attach goes on')
    deaf.close()
    equal(nl.call(SESSION_GET, flags=NLM_F_DUMP), [])


@test
def tls_says_why_later():
    """Several requests in one datagram, each with its own answer."""
    nl = Genl()
    closed = socket.socket()
    closed.bind(('127.0.0.1', 0))
    requests = b''
    for _ in range(3):
        nl.seq += 1
        body = struct.pack('<BBH', ATTACH, 1, 0) + disk() + session(
            *tls(), portals=[portal('127.0.0.1', closed.getsockname()[1])])
        requests += struct.pack('<IHHII', 16 + len(body), nl.family, 1,
                                nl.seq, 0) + body
    last = nl.seq
    nl.sock.send(requests)
    seen = set()
    while len(seen) < 3:
        data = nl.sock.recv(1 << 16)
        _, kind, _, seq, _ = struct.unpack_from('<IHHII', data)
        equal(kind, genl.NLMSG_ERROR)
        equal(struct.unpack_from('<i', data, 16)[0], -errno.ECONNREFUSED)
        check(dict(genl.parse(data[36:])).get(1), 'no sentence')
        seen.add(seq)
    equal(seen, {last - 2, last - 1, last})
    nl.close()
    closed.close()


@test
def tls_is_for_ever():
    nl, d = setup()
    index = nl.attach(d, 'd')
    equal(look(index)[1][S_TLS], 0)
    equal(vm.sh('cat /sys/block/vxhs%d/vxhs/tls' % index), 'none\n')
    for kind, value in ((S_TLS, 0), (S_TLS, 1), (S_TLS_PEERNAME, 'a'),
                        (S_TLS_IDENTITY, 'a'), (S_TLS_PSK, 7),
                        (S_ALLOW_UNVERIFIED, 1)):
        refused(SET, set_of(index, attr(D_IO_TIMEOUT, 1),
                            session=[attr(kind, value)]), (errno.EINVAL,))
    policy_is(index, {})
    settle()
    vm.detach('vxhs%d' % index)


@test
def a_loss_is_acknowledged():
    nl, d = setup()
    index = nl.attach(d, 'd')
    settle()

    def lost():
        return [look(index)[0][kind] for kind in (D_LOST, D_LOSSES)]

    with Raw('/dev/vxhs%d' % index) as raw:
        raw.write(b'x' * 4096)
        d.geometry['verifier'] += 1
        vm.fails(errno.EIO, raw.flush)
        vm.fails(errno.EIO, raw.flush)
        equal(lost(), [1, 1])
        nl.call(ACK_LOSS, set_of(index))
        equal(lost(), [0, 1])
        raw.flush()
        refused(ACK_LOSS, set_of(index), (errno.EINVAL,))
        # And once more, twice within one alarm.
        for count in (2, 3):
            raw.write(b'y' * 4096)
            d.geometry['verifier'] += 1
            vm.fails(errno.EIO, raw.flush)
            equal(lost(), [1, count])
        nl.call(ACK_LOSS, set_of(index))
        raw.flush()
        raw.write(b'z' * 4096)
        raw.flush()
        equal(lost(), [0, 3])
    vm.detach('vxhs%d' % index)


@test
def portals_are_replaced():
    nl, d = setup()
    index = nl.attach(d, 'd')

    def portals():
        answer = nl.call(DISK_GET, nest(A_DISK, attr(D_INDEX, index)))
        return [v for k, v in genl.parse(dict(genl.parse(answer[0]))
                                         [A_SESSION]) if k == S_PORTAL]

    before = portals()
    new = [portal('::1', 7), portal('127.0.0.1', d.port),
           portal('127.0.0.2', 65535)]
    nl.call(SET, set_of(index, session=new))
    equal(portals(), [p[4:] for p in new])
    equal(look(index)[1][4], 1, 'the portal in use')
    for bad, why in ((new + new[:1], 'portal 4 is the same as portal 1'),
                     ([portal('127.0.0.1', p) for p in range(1, 10)],
                      'more than 8 portals'), ([nest(S_PORTAL)], 'address')):
        try:
            nl.call(SET, set_of(index, session=bad))
        except genl.Error as exc:
            check(why in exc.strerror, exc.strerror)
        else:
            raise AssertionError('accepted: ' + why)
    equal(portals(), [p[4:] for p in new])
    nl.call(SET, set_of(index, session=[portal('127.0.0.1', d.port)]))
    equal(portals(), before)
    settle()
    vm.detach('vxhs%d' % index)


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
            command = rng.choice((DETACH, DISK_GET, SESSION_GET, SET,
                                  ACK_LOSS))
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


def for_everybody(*files):
    """Copies where others than root find them, wherever this tree is."""
    where = tmpdir()
    for path in os.path.dirname(where), where:
        os.chmod(path, 0o755)
    return [shutil.copy(path, where) for path in files]


def got_by(*command):
    """What hostile_user.py gets while a disk comes and goes."""
    nl, d = setup()
    script = for_everybody(HOSTILE, genl.__file__)[0]
    d.disks['e'] = vxhs.Disk(1 << 20)
    index = nl.attach(d, 'd')
    settle()
    child = subprocess.Popen([*command, sys.executable, script, str(index)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    equal(child.stdout.readline(), 'listening\n')
    vm.detach('vxhs%d' % nl.attach(d, 'e'))
    got = child.communicate('\n', timeout=60)[0].split('\n')
    equal(child.returncode, 0)
    vm.detach('vxhs%d' % index)
    return [line for line in got if line]


@test
def a_hostile_user_gets_nothing():
    """Nor one who is root, with all capabilities, in namespaces of his own."""
    nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    equal(got_by(*nobody), [])
    if os.path.exists('/proc/self/ns/user'):    # not in user-mode Linux
        vm.sh('sysctl -qw kernel.unprivileged_userns_clone=1')
        for options in ('-Ur', '-Urn'):
            equal(got_by(*nobody, 'unshare', options, '--fork'), [], options)
        check(vm.run(*nobody, 'unshare', '-Urnm', 'mount', '-t', 'debugfs',
                     'none', '/mnt').returncode, 'debugfs was mounted')


@test
def root_gets_what_others_do_not():
    """So that the test before this one cannot pass without a reason."""
    got = got_by()
    for what in ('event by membership', 'event by bind', 'write /sys/block',
                 'write /sys/module/vxhs', 'read /dev/vxhs', 'read /sys/',
                 *('command %d' % command for command in (
                     ATTACH, DETACH, DISK_GET, SESSION_GET, SET, ACK_LOSS)),
                 'command %d dump' % DISK_GET,
                 'command %d dump' % SESSION_GET):
        check(any(line.startswith(what) for line in got),
              'no "%s" in %s' % (what, got))


@test
def nothing_is_left():
    nl, d = setup()
    nl.close()
    vm.gone(d)
    equal(d.errors, [])
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
