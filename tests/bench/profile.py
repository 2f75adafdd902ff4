#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""profile.py [ROW] [--digests | --tls]: where a row of the benchmark (4k random reads
at queue depth 32, unless ROW says otherwise) spends its instructions, by side
and by function. Runs in a VM in deterministic mode, where perf's clock counts
instructions. See Documentation/performance."""

import argparse
import collections
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import cases
import fio

# Samples per second. What repeats as strictly as this does could fall into
# step with the clock that samples it: so several rates, not multiples.
RATES = (3989, 4437, 4787)
LISTED = 0.004          # of all: functions below are not listed
DATA = '/run/profile.data'

SIDES = [
    ('client', 'load generator, block layer, driver, TCP until its packet leaves'),
    ('network', 'loopback, IP and TCP of both sides that receive a packet'),
    ('server', 'vxhsd, TCP until its packet leaves'),
    ('other', 'idle time and the rest'),
]


def side(comm, stack):
    """To whom a sample belongs. On one CPU a packet is received in the time of
    whoever sent it, by the driver too: the stack tells."""
    if 'vxhs_data_ready' in stack:
        return 'client'
    if 'net_rx_action' in stack:
        return 'network'
    if comm == 'vxhsd':
        return 'server'
    if comm.startswith(('fio', 'vxhs_lane')):
        return 'client'
    return 'other'


def samples(lines):
    """(command, [function, caller, ...]) of each sample of perf script."""
    comm, stack = None, []
    for line in lines:
        if not line.strip():
            if comm:
                yield comm, stack
            comm, stack = None, []
        elif comm is None:
            comm = line.strip()
        else:
            parts = line.split(None, 1)
            stack.append(parts[1].strip() if len(parts) > 1 else '[unknown]')
    if comm:
        yield comm, stack


def run(args):
    return subprocess.run(args, stdout=subprocess.PIPE, text=True, check=True,
                          stdin=subprocess.DEVNULL).stdout


def attach_with_tls():
    """As the benchmark does it."""
    subprocess.run(['bash', '-ec', cases.SETUP['tls']], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return '/dev/vxhs33'


def attach(digests):
    subprocess.Popen(['vxhsd', '--listen', '127.0.0.1:9999', '--threads', '1',
                      '--export', 'd=memory,size=256M'],
                     stderr=open('/run/vxhsd.log', 'w'))
    while 'ready' not in open('/run/vxhsd.log').read():
        pass
    return run(['vxhsctl', 'attach', '127.0.0.1', 'd', '--lanes', '1'] +
               ['--digests'] * digests).strip()


def guest(row, digests, tls):
    """Inside the VM."""
    device = attach_with_tls() if tls else attach(digests)
    run(fio.fill(device))
    for name, value in (('kptr_restrict', '0'),
                        ('perf_event_max_sample_rate', '100000')):
        with open('/proc/sys/kernel/' + name, 'w') as setting:
            setting.write(value)
    plain = fio.parse(run(fio.command(device, row, 1000, 200)), 1000)
    sides = collections.Counter()
    functions = collections.Counter()
    for rate in RATES:
        # fio's start is no I/O: leave it out.
        run(['perf', 'record', '-q', '-a', '-g', '-e', 'cpu-clock', '-F',
             str(rate), '-D', '1200', '-o', DATA, '--'] +
            fio.command(device, row, 3000, 200))
        script = run(['perf', 'script', '-i', DATA, '-F', 'comm,ip,sym'])
        for comm, stack in samples(script.split('\n')):
            if comm == 'perf' or not stack:
                continue
            whose = side(comm, stack)
            sides[whose] += 1
            functions[whose, stack[0]] += 1
    report(row, 1e9 / plain['iops'], sides, functions)


def report(row, cost, sides, functions):
    total = sum(sides.values())
    print('%s: %d instructions per I/O, from %d samples' %
          (row.title, round(cost), total))
    for whose, text in SIDES:
        if not sides[whose]:
            continue
        print('\n%7d  %s: %s' % (sides[whose] * cost / total, whose, text))
        for (of, name), count in functions.most_common():
            if of == whose and count >= total * LISTED:
                print('%7d    %s' % (count * cost / total, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('row', nargs='?', default=cases.READ32.key,
                        choices=[row.key for row in cases.SMALL + cases.LARGE])
    parser.add_argument('--digests', action='store_true')
    parser.add_argument('--tls', action='store_true')
    parser.add_argument('--guest', action='store_true',
                        help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.guest:
        guest(cases.ROWS[args.row], args.digests, args.tls)
        return 0
    command = [sys.executable, 'tests/bench/profile.py', '--guest', args.row]
    return subprocess.run(['tests/vm/run', '--icount', '--'] + command +
                          ['--digests'] * args.digests +
                          ['--tls'] * args.tls, cwd=TOP).returncode


if __name__ == '__main__':
    sys.exit(main())
