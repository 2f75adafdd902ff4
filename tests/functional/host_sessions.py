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
from harness import Vxhsd, check, equal, eventually, main, test
from vxhs import NO_SESSION, OK, RW, WRITE, Closed, NativeClient

KATO = 200


def client(d, vdisk='d', **kw):
    kw.setdefault('kato', KATO)
    return NativeClient(d.addr, d.port, vdisk, **kw)


def opened(d, vdisk='d', mode=RW, options=0, lease=0, **kw):
    c = client(d, vdisk, **kw)
    status, g = c.open(vdisk, mode, options, lease)
    equal(status, OK, 'OPEN')
    return c, g


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
        for i in range(12):
            c, g = opened(d)
            time.sleep(KATO / 1000 * (0.9 + i * 0.04))
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
        for _ in range(5):
            c, g = opened(d)
            equal(c.write(g.handle, 0, b'a' * 512), OK)
            equal(c.ping(), OK)
            d.signal(signal.SIGSTOP)
            tags = [c.send(WRITE, b'b' * 512, handle=g.handle)]
            time.sleep(2 * KATO / 1000)
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
        c, g = opened(d, kato=5000)
        d.signal(signal.SIGSTOP)
        tag = c.send(WRITE, b'b' * 512, handle=g.handle)
        time.sleep(0.5)
        d.signal(signal.SIGCONT)
        equal(c.wait(tag)[0].status, OK)
        c.logout()


@test
def a_silent_lane_is_closed_and_its_siblings_go_on():
    with memory() as d:
        a, g = opened(d, lanes=2)
        b = client(d, session=a.session, lane=1, lanes=2)

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


if __name__ == '__main__':
    main()
