#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long I/O stands still when a server ends and comes back: throughput
over time of a verified load of 32 requests at a time.

In a guest it measures (tests/functional/vm_outage.py runs it in deterministic
mode); on the host "outage.py" runs that, and writes the plot and the figures
into Documentation/reliability."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

from plot import write_svg

STEP_MS = 20
TITLES = {
    'killed': 'kill -9 of the server, restarted after 1 s',
    'orderly': 'SIGTERM of the server, restarted after 1 s',
    'failover': 'kill -9 of one of two servers',
}


class Watch:
    """Attached portals under load; when what happened, and what was
    answered."""

    def __init__(self, portals, folder, run, options):
        import devices
        import vm
        out, _ = vm.vxhsctl('attach', ','.join(portals), 'd', *options)
        self.device = out.strip()
        vm.settle()
        self.path = os.path.join(folder, 'watch%d' % run)
        self.load = devices.Load(
            [os.path.join(TOP, 'build', 'fault', 'load'), '--device',
             self.device, '--log', self.path + '.log', '--run', str(run),
             '--blocks', '4096', '--qd', '32', '--span', '1',
             '--flush-every', '0', '--report', str(STEP_MS)], [0],
            self.path)
        self.events = []

    def note(self, what):
        self.events.append([time.clock_gettime_ns(time.CLOCK_MONOTONIC),
                            what])

    def end(self):
        """{series, events, gap...}, seconds from the first event on."""
        import checker
        import vm
        self.load.order('stop')
        self.load.heard('done', 120)
        failed = self.load.progress[0].failed
        self.load.end()
        wrong = checker.check_logs([self.path + '.log'])
        vm.settle()
        vm.detach(self.device)
        with open(self.path + '.progress') as file:
            rows = [[int(word) for word in line.split()] for line in file]
        zero = self.events[0][0]
        series = []
        for (t0, _, n0), (t1, _, n1) in zip(rows, rows[1:]):
            if t1 > t0:
                series.append([(t1 - zero) / 1e9,
                               (n1 - n0) * 1e9 / (t1 - t0)])
        events = [[(t - zero) / 1e9, what] for t, what in self.events]
        back = next(t for t, what in events if what == 'back')
        return {'series': series, 'events': events, 'failed': failed,
                'errors': wrong.errors,
                'io_after_s': next(t for t, iops in series
                                   if t > back and iops > 0) - back,
                'longest_s': wrong.longest / 1e9}


def measure(kind, run):
    """One of TITLES, in a guest."""
    from harness import Vxhsd, tmpdir
    from vm import host
    folder = tmpdir()
    pair = kind == 'failover'
    export = 'd=%s/d,size=16M' % folder
    if pair:
        os.mkdir(folder + '/shared')
        export += ',cache=none,shared=%s/shared' % folder
    servers = [Vxhsd(export) for _ in range(2 if pair else 1)]
    watch = Watch([host(s) for s in servers], folder, run,
                  ['--lanes', '2', '--kato', '1'])
    time.sleep(1)
    watch.note('begin')
    time.sleep(1)
    if kind == 'orderly':
        watch.note('SIGTERM')
        servers[0].stop()
    else:
        watch.note('kill -9')
        servers[0].kill()
    if pair:
        watch.note('back')      # the other one is there
    else:
        time.sleep(1)
        servers[0] = Vxhsd(export, port=servers[0].port,
                           state_dir=servers[0].dir)
        watch.note('back')
    time.sleep(2)
    result = watch.end()
    for server in servers:
        if server.process.poll() is None:
            server.stop()
    return result


# ------------------------------------------------------------- the host


def plot(path, results):
    kinds = [kind for kind in TITLES if kind in results]
    script = ['set terminal svg size 960,%d font "sans-serif,12" '
              'background "white" noenhanced' % (230 * len(kinds)),
              'set multiplot layout %d,1' % len(kinds),
              'set yrange [0:*]', 'set xrange [0:4.2]', 'unset key',
              'set grid ytics', 'set ylabel "answers per second"']
    for kind in kinds:
        r = results[kind]
        script += ['unset arrow', 'unset label',
                   'set title "%s"' % TITLES[kind]]
        for t, what in r['events'][1:]:
            script += ['set arrow from %.4f, graph 0 to %.4f, graph 1 nohead '
                       'dashtype 2 linecolor "red"' % (t, t)]
            if not (kind == 'failover' and what == 'back'):
                script += ['set label "%s" at %.4f, graph 0.9 offset 0.5,0 '
                           'textcolor "red"' % (what, t)]
        if kind == kinds[-1]:
            script += ['set xlabel "seconds of the guest"']
        script += ['$d%s << END' % kind,
                   *['%.4f %.1f' % tuple(row) for row in r['series']], 'END',
                   'plot $d%s with steps linewidth 1.5' % kind]
    write_svg(path, script)


def figures(path, results):
    head = ('what', 'I/O after', 'longest I/O', 'failed')
    rows = [(TITLES[kind], '%.3f s' % r['io_after_s'],
             '%.3f s' % r['longest_s'], str(r['failed']))
            for kind, r in results.items()]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(4)]
    rule = '  '.join('=' * width for width in widths)

    def line(row):
        return '  '.join(cell.ljust(width)
                         for cell, width in zip(row, widths)).rstrip()
    with open(path, 'w') as file:
        file.write('.. SPDX-License-Identifier: GPL-2.0\n\n' + '\n'.join(
            [rule, line(head), rule, *map(line, rows), rule, '']))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--render', metavar='JSON',
                        help='of results that are there')
    parser.add_argument('--to', default=os.path.join(
        TOP, 'Documentation', 'reliability'), metavar='FOLDER')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.render
        if not path:
            subprocess.run(
                [os.path.join(TOP, 'tests', 'vm', 'run'), '--icount',
                 '--timeout', '900', '--share', folder, '--', 'env',
                 'FIGURES=/mnt/share/outage.json',
                 'tests/functional/vm_outage.py'], check=True)
            path = os.path.join(folder, 'outage.json')
        with open(path) as file:
            results = json.load(file)
    os.makedirs(args.to, exist_ok=True)
    plot(os.path.join(args.to, 'outage.svg'), results)
    figures(os.path.join(args.to, 'outage.rst'), results)
    print('written: %s/outage.svg, outage.rst' % args.to)


if __name__ == '__main__':
    main()
