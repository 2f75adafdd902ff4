#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --icount --timeout 900 --
"""In the VM, deterministic mode: I/O flows again within 1 s of a server's
return, and no request fails or is lost. FIGURES=FILE keeps the figures."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'),
                os.path.join(HERE, '..', 'fault')]

import devices
import outage
import vm
from harness import check, equal, main, test

_results = {}


def within(kind, limit):
    check(devices.make_load(), 'load.c cannot be built')
    r = _results[kind] = outage.measure(kind, len(_results) + 1)
    print('# %s: I/O after %.3f s, the longest request took %.3f s' % (
        kind, r['io_after_s'], r['longest_s']), flush=True)
    equal((r['failed'], r['errors']), (0, []), 'requests that failed, errors')
    check(r['io_after_s'] < limit, 'I/O after %.3f s' % r['io_after_s'])


@test
def killed():
    within('killed', 1)


@test
def orderly():
    within('orderly', 1)


@test
def failover():
    """The other server gets the lock when the first one's I/O has ended."""
    within('failover', 2)


@test
def nothing_is_left():
    vm.nothing_is_left()
    if os.environ.get('FIGURES'):
        with open(os.environ['FIGURES'], 'w') as file:
            json.dump(_results, file)


if __name__ == '__main__':
    main()
