#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What vxhsd keeps to when clients fall silent, hosts lose vdisks and the
server itself stands still or starts anew: Documentation/recovery.rst."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import (Vxhsd, check, equal, eventually, main, skip, sparse, test,
                     tmpdir)
from vxhs import (BUSY, CLOSE, EV_GOING_AWAY, EV_RESIZED, GOING_AWAY,
                  NO_SESSION, OK, RO, RW, RW_SHARED, STALE, TAKE_OVER, WRITE,
                  Closed, client, opened)

KATO = 1000     # of those who fall silent; longer than any test machine does


def memory(*names, **kw):
    return Vxhsd(*('%s=memory,size=1M' % name for name in names or 'd'), **kw)


# ------------------------------------------------------------ silence


@test
def kato_is_what_the_client_asks_for_from_200_ms():
    with memory() as d:
        for asked, want in ((0, 5000), (1, 200), (200, 200), (350, 350),
                            (60000, 60000)):
            c = client(d, kato=asked)
            equal(c.grant.kato, want, 'kato %d' % asked)
            c.logout()


@test
def what_comes_after_a_session_was_closed_is_never_stale():
    with memory() as d:
        seen = set()
        for i in range(7):
            c, g = opened(d, kato=KATO)
            time.sleep(KATO / 1000 + i * 0.02 - 0.04)
            try:
                seen.add(c.write(g.handle, 0, b'x' * 512))
            except Closed:
                seen.add('closed')
            c.close()
            # It begins anew, with what it holds.
            c, _ = opened(d, session=c.session, epoch=2, lease=g.lease)
            c.logout()
        check(not seen - {OK, NO_SESSION, 'closed'}, 'answers %r' % seen)
        check(seen - {OK}, 'no session was ever closed')


@test
def after_a_stall_of_the_server_old_frames_are_not_executed():
    with memory() as d:
        for _ in range(3):
            c, g = opened(d, kato=KATO)
            equal(c.write(g.handle, 0, b'a' * 512), OK)
            equal(c.ping(), OK)
            d.signal(signal.SIGSTOP)
            tags = [c.send(WRITE, b'b' * 512, handle=g.handle)]
            time.sleep(1.5 * KATO / 1000)
            tags.append(c.send(WRITE, b'c' * 512, handle=g.handle))
            d.signal(signal.SIGCONT)
            try:
                for tag in tags:
                    equal(c.wait(tag)[0].status, NO_SESSION)
            except Closed:
                pass
            c.close()
            c, g = opened(d, session=c.session, epoch=2, lease=g.lease)
            equal(c.read(g.handle, 0, 512), (OK, b'a' * 512))
            c.logout()


@test
def a_stall_shorter_than_kato_disturbs_nobody():
    with memory() as d:
        c, g = opened(d)
        d.signal(signal.SIGSTOP)
        tag = c.send(WRITE, b'b' * 512, handle=g.handle)
        time.sleep(0.5)
        d.signal(signal.SIGCONT)
        equal(c.wait(tag)[0].status, OK)
        c.logout()


@test
def a_silent_lane_is_closed_and_its_siblings_go_on():
    with memory() as d:
        a, g = opened(d, lanes=2, kato=KATO)
        b = client(d, session=a.session, lane=1, lanes=2, kato=KATO)

        def gone():
            equal(a.ping(), OK)
            return vxhs.is_closed(b.sock, 0.02)
        eventually(gone, 'the silent lane stays')
        equal(a.write(g.handle, 0, b'x' * 512), OK)
        b.close()
        # It comes back, within the epoch.
        b = client(d, session=a.session, lane=1, lanes=2)
        equal(b.open('d')[1].handle, g.handle)
        b.close()
        a.logout()


# ------------------------------------------------------------ leases


def restarted(d, *exports, how=Vxhsd.kill, **kw):
    """Another vxhsd in the place of d, with its memory of what was."""
    how(d)
    state = getattr(d, 'state', d.dir)
    e = Vxhsd(*exports, state_dir=state, **kw)
    e.state = state
    return e


@test
def a_session_comes_back_with_its_lease_after_a_restart():
    for how in Vxhsd.kill, Vxhsd.stop:
        path = os.path.join(tmpdir(), 'd')
        exports = 'd=%s,size=1M' % path, 'm=memory,size=1M'
        d = Vxhsd(*exports)
        for name in 'd', 'm':
            a, g = opened(d, name, kato=5000)
            equal(a.write(g.handle, 0, b'a' * 512), OK)
            with restarted(d, *exports, how=how) as e:
                b, again = opened(e, name, session=a.session, epoch=2,
                                  lease=g.lease)
                equal((again.lease, again.vdisk_id), (g.lease, g.vdisk_id))
                equal(b.write(again.handle, 0, b'b' * 512), OK)
                # The answer to that was lost: it asks as if for the first
                # time, in its session.
                c, third = opened(e, name, session=a.session, epoch=3)
                equal(third.lease, g.lease, 'lease without a lease')
                equal(c.open(name, RW, lease=g.lease - 1)[0], STALE)
                c.logout()
            d = restarted(e, *exports, how=lambda e: None)
        d.stop()


@test
def a_lease_that_went_to_another_stays_lost_after_a_restart():
    d = memory()
    a, g = opened(d)
    b, taken = opened(d, options=TAKE_OVER)
    check(taken.lease > g.lease, 'the lease did not grow')
    with restarted(d, 'd=memory,size=1M') as e:
        late = client(e, session=a.session, epoch=2)
        equal(late.open('d', RW, lease=g.lease)[0], STALE)
        equal(late.open('d', RW, TAKE_OVER, lease=g.lease)[0], STALE)
        c, again = opened(e, session=b.session, epoch=2, lease=taken.lease)
        equal(again.lease, taken.lease)
        late.close()
        c.close()


@test
def after_a_restart_a_vdisk_waits_for_its_owner_for_one_kato():
    d = memory()
    a, g = opened(d, kato=3000)
    with restarted(d, 'd=memory,size=1M') as e:
        begun = time.monotonic()
        other = client(e, host_id=b'another host....')
        equal(other.open('d', RW)[0], BUSY, 'exclusively')
        equal(other.open('d', RW_SHARED)[0], BUSY, 'shared')
        equal(other.open('d', RO)[0], OK, 'read-only')
        check('busy for 127.0.0.1' in e.log() and
              'session %016x' % a.session in e.log(), 'no word of who has it')
        v34 = vxhs.V34Client(e.addr, e.port, 'd')
        check(v34.write(0, b'4' * 512), 'a v34 client wrote')

        def got():
            equal(other.ping(), OK)
            return other.open('d', RW)[0] == OK
        eventually(got, 'the vdisk waits for ever')
        check(time.monotonic() - begun > 2, 'it did not wait')
        late = client(e, session=a.session, epoch=2)
        equal(late.open('d', RW, lease=g.lease)[0], STALE)
        late.close()
        other.logout()
        equal(v34.write(0, b'4' * 512), 0)
        v34.close()


@test
def after_a_restart_take_over_does_not_wait():
    d = memory()
    _, g = opened(d, kato=60000)
    with restarted(d, 'd=memory,size=1M') as e:
        c, taken = opened(e, options=TAKE_OVER, host_id=b'another host....')
        check(taken.lease > g.lease, 'the lease did not grow')
        c.logout()


@test
def a_vdisk_that_was_closed_waits_for_nobody():
    d = memory()
    a, g = opened(d, kato=60000)
    equal(a.io(CLOSE, g.handle), OK)
    lease = [name for name in os.listdir(d.dir) if name.startswith('lease-')
             and not name.endswith('.new')]
    equal(len(lease), 1, 'leases in the state directory')

    def stored():
        with open(os.path.join(d.dir, lease[0])) as text:
            return 'free' in text.read()
    eventually(stored, 'the lease is held for ever')
    with restarted(d, 'd=memory,size=1M') as e:
        c, _ = opened(e, host_id=b'another host....')
        c.logout()


@test
def who_shared_a_vdisk_is_stale_after_an_exclusive_writer():
    """And the other way round: each has writes that are history."""
    with memory() as d:
        a, shared = opened(d, mode=RW_SHARED, kato=KATO)
        b, same = opened(d, mode=RW_SHARED)
        equal(same.lease, shared.lease)
        check(shared.lease, 'no lease')
        a.close()
        b.logout()
        eventually(lambda: 'is closed' in d.log(), 'it lives')
        c, g = opened(d)
        back = client(d, session=a.session, epoch=2)
        c.logout()
        equal(back.open('d', RW_SHARED, lease=shared.lease)[0], STALE)
        back.close()
        e, after = opened(d, mode=RW_SHARED)
        check(after.lease > g.lease, 'the lease did not grow')
        e.logout()
        back = client(d, session=c.session, epoch=2)
        equal(back.open('d', RW, lease=g.lease)[0], STALE)
        back.logout()


@test
def no_lease_is_given_that_a_restart_would_forget():
    state = tmpdir()
    d = memory(state_dir=state)
    try:
        if os.system('mount -t tmpfs -o size=4k,nr_inodes=2 none %s '
                     '2>/dev/null' % state):
            skip('cannot mount a tmpfs')
        c = client(d, kato=1000)
        with open(os.path.join(state, 'full'), 'wb') as full:
            full.write(bytes(4096))
        equal(c.open('d', RW, patience=0)[0], vxhs.AGAIN)
        equal(c.open('d', RO)[0], OK, 'read-only needs none')
        check('cannot write its lease' in d.log(), 'not a word')
        os.unlink(os.path.join(state, 'full'))
        equal(c.open('d', RW)[0], OK, 'when there is space')
        c.logout()
    finally:
        os.system('umount %s 2>/dev/null' % state)
        d.kill()


# ------------------------------------------------------------ the end


def wait_for_event(c, kind, handle=0):
    def came():
        if not any((e.op, e.tag) == (kind, handle) for e in c.events):
            equal(c.ping(), OK)
            return False
        return True
    return eventually(came, 'event %d did not come' % kind)


@test
def sigterm_lets_clients_leave_without_an_error():
    path = os.path.join(tmpdir(), 'd')
    d = Vxhsd('d=%s,size=1M' % path)
    a, g = opened(d, features=vxhs.F_EVENTS, kato=5000)
    b = client(d, kato=5000)    # does not listen to events
    equal(b.open('d', RO)[0], OK)
    new = client(d, login=False)
    d.signal(signal.SIGTERM)
    wait_for_event(a, EV_GOING_AWAY)
    equal(a.write(g.handle, 0, b'l' * 512), OK, 'a WRITE after the event')
    equal(a.open('d')[0], GOING_AWAY, 'OPEN')
    equal(new.login(), GOING_AWAY, 'LOGIN')
    again = client(d, session=a.session, epoch=2, login=False)
    equal(again.login(2), GOING_AWAY, 'LOGIN of the next epoch')
    equal(a.flush(g.handle)[0], OK)
    check(d.process.poll() is None, 'it did not wait')
    a.close()
    equal(d.process.wait(3), 0, 'exit status')
    Vxhsd.running.discard(d)
    check('Sanitizer' not in d.log(), d.log())
    with Vxhsd('d=%s,size=1M' % path, state_dir=d.dir) as e:
        c, again = opened(e, session=a.session, epoch=2, lease=g.lease)
        equal(again.verifier, g.verifier)
        equal(c.read(again.handle, 0, 512), (OK, b'l' * 512))
        c.logout()
    b.close()


@test
def sigterm_waits_for_nobody_for_long():
    for signals in 1, 2:
        d = memory()
        a, _ = opened(d, features=vxhs.F_EVENTS, kato=1000)
        for _ in range(signals):
            d.signal(signal.SIGTERM)
            wait_for_event(a, EV_GOING_AWAY)
        equal(d.process.wait(20), 0, 'exit status')
        Vxhsd.running.discard(d)
        a.close()


# ------------------------------------------------------------ resize


def config(path, *exports):
    with open(path, 'w') as file:
        for name, target, size in exports:
            file.write('[export %s]\ntarget = %s\n' % (name, target))
            if size:
                file.write('size = %d\n' % size)


def resized(d, c, g, name, size, lease=0):
    wait_for_event(c, EV_RESIZED, g.handle)
    c.events.clear()
    status, now = c.open(name, RW, lease=lease)
    equal((status, now.handle, now.size), (OK, g.handle, size), 'OPEN')
    if lease:
        equal(now.lease, lease)
    v34 = vxhs.V34Client(d.addr, d.port, name)
    equal(v34.stat(), (0, size), 'STAT')
    v34.close()


@test
def a_vdisk_grows_and_shrinks_while_it_is_used():
    directory = tmpdir()
    conf, file = (os.path.join(directory, n) for n in ('conf', 'file'))
    free = file + '2'
    M = 1 << 20
    sparse(free, M)

    def configure(mem, sized):
        config(conf, ('mem', 'memory', mem), ('sized', file, sized),
               ('free', free, 0))

    configure(M, M)
    with Vxhsd(args=('--config', conf)) as d:
        c = {}
        for name in 'mem', 'sized', 'free':
            c[name] = opened(d, name, kato=5000, features=vxhs.F_EVENTS)
            a, g = c[name]
            equal(a.write(g.handle, M - 512, b'e' * 512), OK)
            equal(a.write(g.handle, M, b'e' * 512), vxhs.INVALID)

        # They grow: two by the configuration, one by itself.
        os.truncate(free, 3 * M)
        configure(4 * M, 2 * M)
        d.signal(signal.SIGHUP)
        for name, size in ('mem', 4 * M), ('sized', 2 * M), ('free', 3 * M):
            a, g = c[name]
            resized(d, a, g, name, size, g.lease)
            equal(a.read(g.handle, M - 512, 1024), (OK, b'e' * 512 +
                                                    bytes(512)), name)
            equal(a.write(g.handle, size - 512, b'g' * 512), OK)
            equal(a.write(g.handle, size, b'g' * 512), vxhs.INVALID)
        equal(os.stat(file).st_size, 2 * M)

        # They shrink; the configuration cannot cut a file.
        configure(2 * M, M)
        os.truncate(free, M)
        d.signal(signal.SIGHUP)
        for name, size in ('mem', 2 * M), ('free', M):
            a, g = c[name]
            resized(d, a, g, name, size)
            equal(a.io(vxhs.READ, g.handle, size, 512), vxhs.INVALID)
            equal(a.write(g.handle, size, b'g' * 512), vxhs.INVALID)
        check('export free: it SHRANK' in d.log(), 'nobody is warned')
        check('not the 1048576 of size=' in d.log(), 'no word of the file')
        equal(os.stat(file).st_size, 2 * M)
        equal(os.stat(free).st_size, M)
        a, g = c['sized']
        equal(a.read(g.handle, 2 * M - 512, 512), (OK, b'g' * 512))
        equal([e for e in a.events if e.op == EV_RESIZED], [])

        # What was cut off is gone.
        configure(4 * M, 2 * M)
        d.signal(signal.SIGHUP)
        a, g = c['mem']
        resized(d, a, g, 'mem', 4 * M)
        for at in range(2 * M, 4 * M, 1 << 17):
            check(a.read(g.handle, at, 1 << 17)[1] == bytes(1 << 17),
                  'what was cut off is there again')
        for a, g in c.values():
            a.logout()


@test
def what_cannot_be_resized_keeps_its_size():
    conf = os.path.join(tmpdir(), 'conf')
    config(conf, ('d', 'memory', 1 << 20))
    with Vxhsd(args=('--config', conf)) as d:
        a, g = opened(d, features=vxhs.F_EVENTS)
        for size, word in (1 << 40, 'cannot have more'), (1234, 'multiple'):
            config(conf, ('d', 'memory', size))
            d.signal(signal.SIGHUP)
            eventually(lambda: word in d.log() and not a.ping(), 'no word')
            equal(a.open('d')[1].size, 1 << 20)
        equal(a.events, [])
        a.logout()


if __name__ == '__main__':
    main()
