# SPDX-License-Identifier: GPL-2.0
"""Attacks on a server, and what another client notices of them.

An attack is a function that is run in a process of its own until that is
killed; it first says that it has begun."""

import os
import signal
import time
import traceback

from harness import check, equal
from vxhs import OK, RW_SHARED, Closed

COUNTED = os.environ.get('VXHS_COUNTED')


class Attack:
    def __init__(self, attack, d):
        self.begun, theirs = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.begun)
            os.nice(19)     # what it costs here is not what it does there
            try:
                attack(d, lambda: os.write(theirs, b'x'))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(theirs)

    def __enter__(self):
        equal(os.read(self.begun, 1), b'x', 'the attack did not begin')
        return self

    def __exit__(self, kind, *exc):
        os.close(self.begun)
        ended = os.waitpid(self.pid, os.WNOHANG)[0]
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        # Else what was measured is a server that nobody attacked.
        check(kind or not ended, 'the attack has ended by itself')


def p99(make, name, n=1500):
    """Of so many requests, one after the other; microseconds."""
    c = make()
    status, g = c.open(name, RW_SHARED)
    equal(status, OK, 'OPEN')
    took = []
    for i in range(n):
        data = bytes([i & 255]) * 4096
        begun = time.monotonic()
        equal(c.write(g.handle, (i % 64) * 4096, data), OK)
        equal(c.read(g.handle, (i % 64) * 4096, 4096), (OK, data))
        took.append(time.monotonic() - begun)
    equal(c.logout(), OK)
    return sorted(took)[n * 99 // 100] * 1e6


def alone(func, *args):
    """As on a machine of one's own: without waiting for the server's CPU."""
    if not COUNTED:
        return func(*args)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        return func(*args)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def warm_up(make, name):
    """What was never used comes from the host's disk, and while a machine
    whose time is a count of instructions waits for that, its next timer
    goes off: whatever it is, it is too late."""
    for _ in range(20):
        try:
            p99(make, name, 100)
            return
        except (Closed, OSError):
            if not COUNTED:
                raise
    raise AssertionError('nobody is served')


def compare(attack, d, make, name):
    """That another client is served is checked; how fast, only where time is
    a count of instructions."""
    warm_up(make, name)
    quiet = alone(p99, make, name)
    with Attack(attack, d):
        busy = alone(p99, make, name)
    print('# %s: p99 %.0f us, without it %.0f us: %.1f times' %
          (attack.__name__, busy, quiet, busy / quiet), flush=True)
    if COUNTED:
        check(busy <= 2 * quiet, '%s: p99 is %.1f times what it was' %
              (attack.__name__, busy / quiet))
