#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: what tests/fault/lab.py does to servers, connections and disks
while four vdisks are under verified load. Nothing is lost, nothing is stale,
nothing hangs, and no I/O fails. A failure is had again with SEED=N and the
command that is printed before it; see Documentation/reliability.rst."""

# vm-run: --mem 3072 --

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import vm
from faultlab import lab
from harness import main, test
from vm import LIGHT

# The floor; a kernel with sanitizers does nothing in that time.
KATO = '1000' if LIGHT else '200'
# At most so many operations, for the proof of each takes its time as well.
LOAD = '--qd 4 --span 4 --rate 40' if LIGHT else \
    '--qd 16 --rate 100 --report 50'


def faults(text, *args):
    """All faults "KIND=N,..."; of each at most 6 in a slow kernel."""
    counts = {}
    for word in text.split(','):
        name, _, n = word.partition('=')
        counts[name] = min(int(n), 6) if LIGHT else int(n)
    lab('--count', ','.join('%s=%d' % item for item in counts.items()),
        '--kato', KATO, '--load-options=' + LOAD, *args,
        faults=sum(counts.values()))


@test
def kills_partitions_stalls_cuts_and_the_trap():
    if LIGHT:
        faults('kill=6,partition=4,freeze_server=4,cut=6,trap=1,'
               'trap_back=1', '--trap', '4', '--disks', '2')
        return
    faults('kill=60,partition=20,drop_packets=20,freeze_server=40,cut=40,'
           'trap=1,trap_back=1', '--root', '--check-every', '60')


@test
def bytes_that_are_late_damaged_missing_or_twice():
    faults('stall=4,slow=2,corrupt=4,truncate=4,duplicate=4,cut_often=2,'
           'lose_path=3', '--attach-options=--digests --lanes 3',
           *(['--disks', '1'] if LIGHT else []))


@test
def a_host_whose_vdisk_was_taken_comes_back():
    """It was cut off, and has parked writes; none of them lands."""
    faults('take_over=3', *(['--disks', '2'] if LIGHT else []))


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
