#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two vxhsd that share storage: one serves it, the other waits for it."""

import fcntl
import os
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import (Vxhsd, check, equal, eventually, leases, main, run_vxhsctl,
                     run_vxhsd, sparse, test, tmpdir)
from vxhs import (AGAIN, BUSY, GOING_AWAY, OK, RO, RW, STALE, TAKE_OVER,
                  client, opened)

M = 1 << 20
F_OFD_GETLK, F_OFD_SETLK = 36, 37


def lock(file, kind):
    """An open-file-description lock, or what stands in its way."""
    flock = struct.pack('hhqqi4x', kind, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(file, F_OFD_SETLK, flock)


def is_locked(path):
    with open(path, 'r+b') as file:
        flock = struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        got = fcntl.fcntl(file, F_OFD_GETLK, flock)
        return struct.unpack('hhqqi4x', got)[0] != fcntl.F_UNLCK


class Pair:
    """Two servers of one group; each has a memory of its own as well."""

    def __init__(self, names=('d',), size=M):
        self.dir = tmpdir()
        self.files = [os.path.join(self.dir, name) for name in names]
        for path in self.files:
            sparse(path, size)
        self.conf = os.path.join(self.dir, 'conf')
        self.configure()
        self.a = self.start()
        self.b = self.start()

    def configure(self, *lines):
        with open(self.conf, 'w') as conf:
            for path in self.files:
                conf.write('\n'.join((
                    '[export %s]' % os.path.basename(path),
                    'target = ' + path, 'cache = none',
                    'shared = ' + self.dir) + lines) + '\n')

    def start(self, **kw):
        return Vxhsd('own=memory,size=1M', args=('--config', self.conf), **kw)

    def locked(self):
        return [is_locked(path) for path in self.files]

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        for d in self.a, self.b:
            if d in Vxhsd.running:
                d.__exit__(kind, *exc)


def waits(d, name='d', **kw):
    """A server that does not have the storage says AGAIN, to everybody."""
    c = client(d, name)
    equal(c.open(name, RW, patience=0, **kw)[0], AGAIN, 'OPEN elsewhere')
    equal(c.open(name, RO, patience=0)[0], AGAIN, 'OPEN to read elsewhere')
    c.logout()


@test
def one_serves_and_the_other_waits_until_it_is_killed():
    with Pair() as p:
        c, g = opened(p.a)
        equal(c.write(g.handle, 0, b'1' * 4096), OK)
        waits(p.b)
        waits(p.b, options=TAKE_OVER)
        equal(p.locked(), [True])
        p.a.kill()
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        equal((h.vdisk_id, h.verifier, h.lease),
              (g.vdisk_id, g.verifier, g.lease))
        check(n.grant.instance != c.grant.instance, 'the same instance')
        equal(n.read(h.handle, 0, 4096), (OK, b'1' * 4096))
        equal(n.write(h.handle, 0, b'2' * 4096), OK)
        # The first one is back, and waits in its turn.
        p.a = p.start()
        waits(p.a)
        equal(n.logout(), OK)
        c, g = opened(p.a)
        equal(c.read(g.handle, 0, 4096), (OK, b'2' * 4096))
        equal(g.vdisk_id, h.vdisk_id)
        c.logout()


@test
def a_lease_that_went_to_another_is_lost_on_the_other_server():
    with Pair() as p:
        c, g = opened(p.a)
        other, taken = opened(p.a, options=TAKE_OVER)
        p.a.kill()
        late = client(p.b, session=c.session, epoch=2)
        equal(late.open('d', RW, lease=g.lease)[0], STALE)
        stranger = client(p.b, host_id=b'another host....')
        equal(stranger.open('d', RW)[0], BUSY, 'its owner may come back')
        back, again = opened(p.b, session=other.session, epoch=2,
                             lease=taken.lease)
        equal(again.lease, taken.lease)
        for x in late, stranger, back:
            x.logout()


@test
def a_server_that_nobody_reaches_lets_go_after_kato():
    with Pair() as p:
        c, g = opened(p.a, kato=1000)
        equal(c.write(g.handle, 0, b'i' * 4096), OK)
        begun = time.monotonic()
        # It is cut off: the connection stays, nothing comes.
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        check(time.monotonic() - begun > 0.5, 'before kato')
        equal(n.read(h.handle, 0, 4096), (OK, b'i' * 4096))
        check('let go' in p.a.log(), 'no word of it')
        # What it sent then comes at last.
        try:
            check(c.write(g.handle, 0, b'late' * 1024) != OK, 'a late WRITE')
        except vxhs.Closed:
            pass
        equal(n.read(h.handle, 0, 4096), (OK, b'i' * 4096))
        waits(p.a)
        n.logout()


@test
def a_server_that_a_client_reaches_keeps_it():
    with Pair() as p:
        c, g = opened(p.a, kato=1500)
        n = client(p.b)
        for _ in range(25):
            time.sleep(0.1)
            equal(c.ping(), OK)
            equal(n.open('d', RW, patience=0)[0], AGAIN)
        equal(c.write(g.handle, 0, b'k' * 4096), OK)
        c.logout()
        n.logout()


@test
def a_group_is_taken_as_a_whole_or_not_at_all():
    with Pair(('d', 'e', 'f')) as p:
        with open(p.files[1], 'r+b') as held:
            lock(held, fcntl.F_WRLCK)
            for name in 'd', 'e', 'f':
                waits(p.a, name)
            equal(p.locked(), [False, True, False])
        c, _ = opened(p.a)
        equal(p.locked(), [True] * 3)
        for name in 'd', 'e', 'f':
            waits(p.b, name)
        equal(c.open('f')[0], OK)
        c.logout()
        eventually(lambda: p.locked() == [False] * 3, 'it is never let go')
        # What it does not share is served all the time.
        for d in p.a, p.b:
            c, _ = opened(d, 'own')
            c.logout()


@test
def sigterm_hands_over():
    with Pair() as p:
        c, g = opened(p.a, features=vxhs.F_EVENTS)
        equal(c.write(g.handle, 0, b't' * 4096), OK)
        p.a.signal(signal.SIGTERM)
        eventually(lambda: c.events or c.ping(), 'no GOING_AWAY')
        waits(p.b)
        equal(c.open('d')[0], GOING_AWAY)
        c.close()
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        equal(n.read(h.handle, 0, 4096), (OK, b't' * 4096))
        equal(p.a.process.wait(20), 0, 'exit status')
        Vxhsd.running.discard(p.a)
        n.logout()


@test
def the_other_server_finds_the_size_of_now():
    with Pair() as p:
        waits_here = client(p.b)
        c, g = opened(p.a)
        p.configure('size = %d' % (2 * M))
        p.a.signal(signal.SIGHUP)
        eventually(lambda: c.open('d')[1].size == 2 * M, 'it does not grow')
        p.b.signal(signal.SIGHUP)
        eventually(lambda: 'are those of the' in p.b.log(), 'no reload')
        c.logout()
        status, h = waits_here.open('d')
        equal((status, h.size), (OK, 2 * M))
        equal(waits_here.write(h.handle, 2 * M - 4096, bytes(4096)), OK)
        waits_here.logout()


@test
def an_export_that_comes_later_belongs_to_the_group():
    with Pair() as p:
        c, _ = opened(p.a)
        p.files.append(os.path.join(p.dir, 'new'))
        sparse(p.files[1], M)
        p.configure()
        for d in p.a, p.b:
            d.signal(signal.SIGHUP)
            eventually(lambda d=d: 'export new' in d.log(), 'it does not come')
        equal(c.open('new')[0], OK)
        waits(p.b, 'new')
        c.logout()
        c, _ = opened(p.b, 'new')
        waits(p.a)
        c.logout()


@test
def vxhsctl_tells_who_serves_and_who_holds_a_shared_vdisk():
    with Pair(('d', 'e')) as p:
        equal(leases(p.dir)['server'], None)
        c, g = opened(p.a)

        def is_with(server):
            # That a holder came back is written without anybody waiting.
            eventually(lambda: leases(p.dir)['leases'][0]['state'] == 'held',
                       'nobody holds it')
            found = leases(p.dir)
            equal(found['server']['pid'], server.pid)
            equal([(x['vdisk'], x['state'], x['lease'], x['session'])
                   for x in found['leases']],
                  [('d', 'held', g.lease, '%016x' % c.session)])

        is_with(p.a)
        p.a.kill()
        found = leases(p.dir)
        equal((found['server'], found['leases'][0]['state']), (None, 'kept'))
        n, _ = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        is_with(p.b)
        n.logout()
        eventually(lambda: not leases(p.dir)['server'], 'it is never let go')
        equal(leases(p.dir)['leases'][0]['state'], 'free')


def records(p):
    """The files with leases in a shared folder, and what they say."""
    found = {}
    for name in os.listdir(p.dir):
        if name.startswith('lease-') and not name.endswith('.new'):
            with open(os.path.join(p.dir, name)) as file:
                found[name] = file.read()
    return found


def write_record(p, name, text):
    with open(os.path.join(p.dir, name), 'w') as file:
        file.write(text)


@test
def an_older_lease_that_is_written_late_takes_none_back():
    """A server hangs in the write of a lease, and loses the group."""
    with Pair() as p:
        c, g = opened(p.a)
        (of_a, late), = records(p).items()
        p.a.kill()
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        new, taken = opened(p.b, host_id=b'another host....',
                            options=TAKE_OVER)
        check(taken.lease > h.lease, 'the lease did not grow')
        of_b, = set(records(p)) - {of_a}
        equal(records(p)[of_a], late, "the other's file")

        def shown(state):
            status, out, _ = run_vxhsctl('leases', p.dir)
            equal((status, out.count('%d' % g.lease)), (0, 0), out)
            found = leases(p.dir)['leases']
            equal([(x['lease'], x['session'], x['state']) for x in found],
                  [(taken.lease, '%016x' % new.session, state)])

        shown('held')
        write_record(p, of_a, late)     # as late as can be
        shown('held')
        p.b.kill()
        write_record(p, of_a, late)
        shown('kept')
        p.a = p.start()
        stale = client(p.a, session=c.session, epoch=3)
        equal(stale.open('d', RW, lease=g.lease)[0], STALE)
        back, again = opened(p.a, session=new.session, epoch=2,
                             lease=taken.lease, host_id=b'another host....')
        equal(again.lease, taken.lease)
        for x in n, stale, back:
            x.close()
        check(of_b in records(p), 'it is gone')


@test
def a_lease_that_was_let_go_on_the_other_server_is_free():
    """The number is the same in both files."""
    with Pair() as p:
        c, g = opened(p.a, kato=60000)
        p.a.kill()
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease,
                      kato=60000)
        equal(h.lease, g.lease)
        n.logout()
        eventually(lambda: leases(p.dir)['leases'][0]['state'] == 'free',
                   'it is not let go')
        equal(sorted(text.split()[4] for text in records(p).values()),
              ['free', 'held'])
        p.b.kill()
        p.a = p.start()
        other, taken = opened(p.a, host_id=b'another host....')
        check(taken.lease > g.lease, 'the lease did not grow')
        other.logout()


@test
def leases_of_earlier_versions_and_damaged_ones_in_a_shared_folder():
    with Pair() as p:
        c, g = opened(p.a)
        p.a.kill()
        (name, text), = records(p).items()
        os.unlink(os.path.join(p.dir, name))
        # Both servers wrote one file, and no count of the changes.
        old = name[:len('lease-') + 36]
        write_record(p, old, ' '.join(text.split()[:9]) + '\n')
        equal(leases(p.dir)['leases'][0]['lease'], g.lease)
        n, h = opened(p.b, session=c.session, epoch=2, lease=g.lease)
        equal(h.lease, g.lease)
        eventually(lambda: len(records(p)) == 2, 'it is never written')
        p.b.kill()
        # What cannot be read may be the newest.
        write_record(p, old, 'rubbish\n')
        p.a = p.start()
        late = client(p.a, session=c.session, epoch=3)
        equal(late.open('d', RW, lease=g.lease)[0], STALE)
        check(old + ' is damaged' in p.a.log(), 'not a word')
        for x in n, late:
            x.close()


@test
def vxhsctl_tells_the_truth_as_soon_as_it_has_changed_hands():
    with Pair() as p:
        for i in range(6):
            d = (p.a, p.b)[i % 2]
            c, g = opened(d)
            found = leases(p.dir)
            equal((found['server'] or {}).get('pid'), d.pid, 'who serves')
            equal((found['leases'][0]['state'], found['leases'][0]['lease']),
                  ('held', g.lease))
            c.logout()


@test
def v34_clients_are_kept_off():
    with Pair() as p:
        for d in p.a, p.b, p.a:
            c = vxhs.V34Client(d.addr, d.port, 'd')
            equal(c.stat(), (0, M))
            check(c.write(0, b'4' * 4096), 'a v34 WRITE')
            check(c.read(0, 4096)[0], 'a v34 READ')
            c.close()
            if p.locked() == [False]:
                owner = client(p.a)
                equal(owner.open('d', RO)[0], OK)
        owner.logout()


@test
def what_cannot_be_shared_is_refused():
    directory = tmpdir()
    path = sparse(os.path.join(directory, 'd'), M)
    for text, words in (
            (path + ',shared=' + directory, 'needs cache=none'),
            ('memory,size=1M,cache=none,shared=' + directory, 'memory'),
            (path + ',ro,cache=none,shared=' + directory, 'read-only'),
            (path + ',cache=none,shared=here', 'begins with /'),
            (path + ',cache=none,shared=' + directory + '/none', 'group')):
        status, err = run_vxhsd('--listen', '127.0.0.1:0', '--state-dir',
                                directory, '--export', 'd=' + text)
        check(status in (1, 2) and words in err, '%s: %d %s' %
              (text, status, err))
    check(not os.path.exists(directory + '/none'), 'it made the folder')


if __name__ == '__main__':
    main()
