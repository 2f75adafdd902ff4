# SPDX-License-Identifier: GPL-2.0
"""The load generator: its command line for a row, and what its report says."""

import json


class Failed(Exception):
    """One sentence: why there is no figure."""


def command(device, row, runtime, ramp, *more):
    """fio for a row of cases.py; times in milliseconds."""
    out = ['fio', '--name=bench', '--filename=' + device, '--rw=' + row.rw,
           '--bs=' + row.bs, '--iodepth=%d' % row.depth]
    if row.batch:
        out += ['--iodepth_batch_submit=%d' % row.batch,
                '--iodepth_batch_complete_min=1',
                '--iodepth_batch_complete_max=%d' % row.depth]
    if row.jobs > 1:
        out += ['--numjobs=%d' % row.jobs, '--group_reporting']
    return out + ['--ioengine=io_uring', '--direct=1', '--norandommap',
                  '--time_based', '--runtime=%dms' % runtime,
                  '--ramp_time=%dms' % ramp, '--lat_percentiles=1',
                  '--clat_percentiles=0', *more, '--output-format=json']


def fill(device):
    """Writes all of a device once: a page that was never written would be
    answered without being read."""
    return ['fio', '--name=fill', '--filename=' + device, '--rw=write',
            '--bs=1M', '--iodepth=2', '--ioengine=io_uring', '--direct=1',
            '--end_fsync=1']


def parse(report, runtime):
    """I/O per second, and the 50th and 99th percentile of the time from before
    submission to completion in microseconds, of a run that should have taken
    so many milliseconds."""
    try:
        # fio may say something before its report.
        jobs = json.loads(report[report.index('{'):])['jobs']
        job, = jobs
        error = job['error']
        side, = [job[name] for name in ('read', 'write')
                 if job[name]['total_ios']] or [None]
    except (KeyError, TypeError, ValueError):
        raise Failed("fio's report cannot be read") from None
    if error:
        raise Failed('fio ended with error %d' % error)
    if side is None:
        raise Failed('fio did no I/O')
    if side['runtime'] < runtime * 0.95:
        raise Failed('fio ran for %d ms instead of %d' %
                     (side['runtime'], runtime))
    percentile = side['lat_ns'].get('percentile', {})
    try:
        p50, p99 = (percentile['%d.000000' % n] / 1000 for n in (50, 99))
    except KeyError:
        raise Failed("fio's report has no percentiles") from None
    return {'iops': side['iops'], 'p50': p50, 'p99': p99}
