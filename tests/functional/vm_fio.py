#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# vm-run: --cpus 1 -- env LANES=1,2
# vm-run: --cpus 2 -- env LANES=1,2,8
# vm-run: --cpus 4 -- env LANES=2,4,8
"""In the VM: fio verifies data on four vdisks at once, in both dialects.
LANES, a list such as 1,2,8, comes from the environment; the number of CPUs is
the VM's."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import Vxhsd, equal, main, test, tmpdir
from vm import attach, settle, sh, show

LANES = [int(n) for n in os.environ.get('LANES', '1,2,8').split(',')]
NAMES = ('disk0', 'disk1', 'disk2', 'disk3')
MIB = 24
# Each vdisk has one of these; the next call gives each another.
SHAPES = (dict(bsrange='512-8k', iodepth=64, io_size='2m', rw='randrw'),
          dict(bsrange='4k-64k', iodepth=16, io_size='8m', rw='randwrite'),
          dict(bsrange='512-1m', iodepth=4, io_size='10m', rw='randrw'),
          dict(bsrange='64k-4m', iodepth=1, io_size='16m', rw='randwrite'))

_shared = {}


def servers():
    if not _shared:
        directory = tmpdir()
        _shared['native'] = Vxhsd(
            *('%s=%s/%s,size=%dM' % (n, directory, n, MIB)
              for n in NAMES[:2]),
            *('%s=memory,size=%dM' % (n, MIB) for n in NAMES[2:]))
        _shared['v34'] = vxhs.V34Server(
            {n: vxhs.Disk(MIB << 20) for n in NAMES})
    return _shared


def job_file(devices, turn):
    lines = ['[global]', 'ioengine=io_uring', 'direct=1', 'verify=crc32c',
             'verify_fatal=1', 'verify_backlog=256', 'size=%dm' % MIB,
             'randseed=%d' % (20 + turn), 'group_reporting=1', 'thread=1']
    for i, device in enumerate(devices):
        lines += ['[job%d]' % i, 'filename=' + device]
        shape = SHAPES[(i + turn) % len(SHAPES)]
        lines += ['%s=%s' % item for item in shape.items()]
    path = os.path.join(tmpdir(), 'fio')
    with open(path, 'w') as file:
        file.write('\n'.join(lines) + '\n')
    return path


def verified(dialect, lanes, turn):
    d = servers()[dialect]
    devices = [attach(d, name, '--lanes', lanes) for name in NAMES]
    session = show(devices[0])['session']
    equal((session['dialect'], session['lanes'], session['lanes_up'],
           session['disks']), (dialect, lanes, lanes, 4))
    sh('fio --output-format=terse ' + job_file(devices, turn))
    for device in devices:
        shown = show(device)
        equal(shown['errors'], 0, 'errors of ' + device)
        assert shown['requests'] > 0
    settle()
    vm.detach_all()
    vm.gone(d)


def add(dialect, lanes, turn):
    def func():
        verified(dialect, lanes, turn)
    func.__name__ = '%s_%d_lanes_%d_cpus' % (dialect, lanes, os.cpu_count())
    test(func)


for _turn, _lanes in enumerate(LANES, os.cpu_count()):
    add('native', _lanes, _turn)
    add('v34', _lanes, _turn + 1)


@test
def nothing_is_left():
    servers()['native'].stop()
    equal(servers()['v34'].errors, [])
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
