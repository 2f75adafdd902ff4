#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""bench.py [--quick] [--part icount|cpus2] [--only REGEX]: measures vxhs and
its peers in two virtual machines, see Documentation/performance/index.rst.
bench.py --render RESULTS.json writes the tables and plots of a run again."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import cases
import render

TOOLS = ('qemu-system-x86_64', 'fio', 'nbdkit', 'nbd-client', 'nvme', 'nft',
         'ip', 'ethtool', 'nsenter', 'gnuplot')
BUILD = os.environ.get('VXHS_BENCH_DIR') or os.path.join(TOP, 'build', 'bench')
QUIET = float(os.environ.get('VXHS_BENCH_QUIET', '600'))     # seconds
DOCUMENTATION = os.path.join(TOP, 'Documentation', 'performance')


class Refused(Exception):
    """One sentence: why there is no result."""


def steps_icount(quick):
    """What the deterministic part measures, in this order: [(target, row)]."""
    rows = floors = cases.SMALL + cases.LARGE
    read1, read32, write32 = cases.READ1, cases.READ32, cases.WRITE32
    if quick:
        rows = [row for row in rows if row.key in cases.GOALS]
        floors = [read1, read32]
    out = [(target, row) for target in ('vxhs', 'nvme', 'nbd') for row in rows]
    out += [(target, row) for target in ('floor', 'null') for row in floors]
    out += [('v34', read32), ('crc', read32), ('tls', read32),
            ('poll', read1)]
    if not quick:
        out += [('crc', read1), ('crc', write32), ('poll', read32)] + \
            [('client-' + name, read32) for name in ('vxhs', 'nbd', 'nvme')]
        out += [('many', read32), ('many', cases.VDISK),
                ('memory', cases.CONNECTION)]
    return out


def steps_cpus2(quick):
    """One round of the part with two CPUs."""
    rows = [cases.READ1, cases.READ32] + ([] if quick else [cases.JOBS2])
    out = [(target, row) for row in rows for target in ('vxhs', 'nvme', 'nbd')]
    return out if quick else out + [('v34', cases.READ32),
                                   ('poll', cases.READ1)]


# name: (what the VM is, its options, steps, rounds full and quick, ms full and
# quick: runtime, ramp)
PARTS = {
    'icount': (['--icount', '--mem', '3072'], steps_icount,
               (2, 2), ((1000, 200), (300, 100))),
    'cpus2': (['--cpus', '2', '--mem', '3072'], steps_cpus2,
              (7, 5), ((1000, 300), (500, 200))),
}


def spread_of_runs(values):
    """In per cent of the least."""
    return 100 * (max(values) - min(values)) / min(values)


def spread_of_quartiles(values):
    """In per cent of the median."""
    first, _, third = statistics.quantiles(values, n=4, method='inclusive')
    return 100 * (third - first) / statistics.median(values)


def figure(values, spread, limit):
    """The median of runs, or why there is none."""
    out = {'value': round(statistics.median(values)),
           'spread': round(spread(values), 1),
           'runs': [round(value) for value in values]}
    if out['spread'] > limit:
        out['refused'] = 'its runs differ by %.1f %%, more than %g %%' % (
            out.pop('spread'), limit)
        del out['value']
    return out


def summarise(part, runs):
    """Runs of a part to figures: {target, row, command, and of icount
    instructions or bytes, of cpus2 iops, p50, p99}."""
    groups = {}
    for got in runs:
        groups.setdefault((got['target'], got['row']), []).append(got)
    out = []
    for (target, row), group in groups.items():
        entry = {'target': target, 'row': row, 'command': group[0]['command']}
        if 'bytes' in group[0]:
            entry['bytes'] = figure([got['bytes'] for got in group],
                                    spread_of_runs, cases.SPREAD_BYTES)
        elif part == 'icount':
            entry['instructions'] = figure(
                [1e9 / got['iops'] for got in group], spread_of_runs,
                cases.SPREAD_SMALL if cases.ROWS[row] in cases.SMALL else
                cases.SPREAD_LARGE)
        else:
            for name, limit in cases.SPREAD_CPUS2.items():
                entry[name] = figure([got[name] for got in group],
                                     spread_of_quartiles, limit)
        out.append(entry)
    return out


def describe(entry):
    """A figure in words."""
    for name, unit in (('bytes', 'bytes'), ('iops', 'I/O per second'),
                       ('instructions', 'instructions per I/O')):
        if name in entry:
            value = entry[name]
            return value.get('refused') and 'refused: ' + value['refused'] or \
                '%s %s' % (format(value['value'], ','), unit)
    return ''


class Watchdog:
    """Ends a VM from which nothing is heard any more."""

    def __init__(self, process):
        self.process = process
        self.timer = None
        self.alive()

    def alive(self):
        self.stop()
        self.timer = threading.Timer(QUIET, self.process.terminate)
        self.timer.daemon = True
        self.timer.start()

    def stop(self):
        if self.timer:
            self.timer.cancel()


class Progress:
    """Says how far a part has come: a line for each figure, once all of its
    runs are there; on a terminal in place, and for each run."""

    def __init__(self, part, rounds):
        self.part, self.rounds = part, rounds
        self.runs = []
        self.total = 0
        self.terminal = sys.stderr.isatty()

    def show(self, text):
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write('\r\033[K' + text[:width] if self.terminal else
                         text + '\n')
        sys.stderr.flush()

    def run(self, got):
        self.runs.append(got)
        mine = [run for run in self.runs
                if (run['target'], run['row']) == (got['target'], got['row'])]
        text = '[%s %d/%d] %s, %s' % (
            self.part, len(self.runs), self.total,
            cases.TITLES[got['target']], cases.ROWS[got['row']].title)
        if len(mine) == self.rounds:
            self.show(text + ': ' + describe(summarise(self.part, mine)[0]))
        elif self.terminal:
            self.show(text)

    def end(self):
        if self.terminal:
            sys.stderr.write('\r\033[K')
            sys.stderr.flush()


def vm_command(part, plan):
    runner = os.environ.get('VXHS_BENCH_VM', 'tests/vm/run')
    return [runner, *PARTS[part][0], '--timeout', '3600', '--',
            'tests/bench/guest.py', json.dumps(plan)]


def boot(part, plan):
    """One boot of the VM: what it said of itself, and its runs."""
    log, kernel = (os.path.join(BUILD, part + end)
                   for end in ('.log', '.kernel'))
    # Emulated, even where KVM would work: figures of one kind of machine.
    env = dict(os.environ, VXHS_KVM='0', VXHS_VM_LOG=kernel)
    progress = Progress(part, plan['rounds'])
    progress.show('[%s] the VM boots' % part)
    with open(log, 'w') as errors:
        machine = subprocess.Popen(
            vm_command(part, plan), cwd=TOP, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
    watchdog = Watchdog(machine)
    try:
        about, done = listen(machine.stdout, progress, watchdog)
        status = machine.wait()
    finally:
        watchdog.stop()
        if machine.poll() is None:
            machine.terminate()
            machine.wait()
        progress.end()
    if status or not done:
        raise Refused('the VM died after %d of %d runs, with exit status %d; '
                      'see %s' % (len(progress.runs), progress.total, status,
                                  os.path.relpath(log)))
    if subprocess.call([os.path.join(TOP, 'tests/lib/klog-check.sh'), kernel],
                       stdout=subprocess.DEVNULL):
        raise Refused("the VM's kernel complained; see %s" %
                      os.path.relpath(kernel))
    return about, progress.runs


def listen(lines, progress, watchdog):
    """Reads what guest.py prints: what it said of the VM, and whether it came
    to its end."""
    about, done = {}, False
    for line in lines:
        watchdog.alive()
        try:
            got = json.loads(line)
        except ValueError:      # the half of a line that a dead VM left
            break
        if 'error' in got:
            raise Refused(got['error'])
        if 'row' in got:
            progress.run(got)
        elif 'done' in got:
            done = len(progress.runs) == progress.total
        else:
            progress.total = got.pop('runs')
            about = got
    return about, done


def refusals(results):
    """A sentence for each figure that is not one."""
    out = []
    for part in PARTS:
        for entry in results.get(part, ()):
            out += ['%s of %s, %s, is refused: %s' % (
                name, cases.TITLES[entry['target']],
                cases.ROWS[entry['row']].title, value['refused'])
                for name, value in entry.items()
                if isinstance(value, dict) and 'refused' in value]
    return out


def check_tools():
    for tool in TOOLS:
        if not shutil.which(tool):
            raise Refused('%s is missing; "tests/lib/setup.sh bench" installs '
                          'what is needed' % tool)


def version(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split('\n')[0].strip()


def is_refused(entry):
    return any('refused' in value for value in entry.values()
               if isinstance(value, dict))


def measure_part(part, steps, quick):
    """What the VM said of itself, and the figures; those with too wide a
    spread are measured once more, in another boot."""
    rounds, times = PARTS[part][2:]
    runtime, ramp = times[quick]
    plan = {'steps': [[target, row.key] for target, row in steps],
            'rounds': rounds[quick], 'alternate': part == 'cpus2',
            'runtime': runtime, 'ramp': ramp}
    about, runs = boot(part, plan)
    entries = summarise(part, runs)
    wide = {(entry['target'], entry['row']) for entry in entries
            if is_refused(entry)}
    if wide and plan['alternate']:      # all that it is compared with, too
        rows = {row for _, row in wide}
        wide = {(entry['target'], entry['row']) for entry in entries
                if entry['row'] in rows}
    if wide:
        plan['steps'] = [step for step in plan['steps'] if tuple(step) in wide]
        again = {(entry['target'], entry['row']): entry
                 for entry in summarise(part, boot(part, plan)[1])}
        entries = [again.get((entry['target'], entry['row']), entry)
                   for entry in entries]
    return about, entries


def measure(parts, quick, only):
    results = {'license': 'SPDX-License-Identifier: GPL-2.0', 'quick': quick,
               'qemu': version('qemu-system-x86_64', '--version'),
               'machines': {}}
    for part in parts:
        options, steps = PARTS[part][:2]
        steps = [(target, row) for target, row in steps(quick)
                 if re.search(only, '%s/%s' % (target, row.key))]
        if steps:
            about, results[part] = measure_part(part, steps, quick)
            results.update(about)
            results['machines'][part] = shlex.join(
                ['VXHS_KVM=0', 'tests/vm/run', *options])
    if not results['machines']:
        raise Refused('nothing is called "%s"' % only)
    return results


def save(results, path):
    """JSON with a line for each figure, so that a change of one is a change
    of a line."""
    head = {key: value for key, value in results.items() if key not in PARTS}
    text = json.dumps(head, indent=1)[:-2]
    for part in PARTS:
        if part in results:
            text += ',\n "%s": [\n  ' % part + ',\n  '.join(
                json.dumps(entry) for entry in results[part]) + '\n ]'
    with open(path, 'w') as file:
        file.write(text + '\n}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--part', choices=PARTS)
    parser.add_argument('--only', default='', metavar='REGEX',
                        help='of TARGET/ROW, such as vxhs/randread-4k')
    parser.add_argument('--render', metavar='RESULTS.json')
    args = parser.parse_args()
    if args.render:
        with open(args.render) as file:
            render.write(json.load(file), os.path.dirname(args.render) or '.')
        return 0
    check_tools()
    busy = os.getloadavg()[0]
    if busy > 0.5 and args.part != 'icount':
        print('bench: this machine is busy (load %.1f), which the figures of '
              'two CPUs will show' % busy, file=sys.stderr)
    os.makedirs(BUILD, exist_ok=True)
    results = measure([args.part] if args.part else list(PARTS), args.quick,
                      args.only)
    save(results, os.path.join(BUILD, 'results.json'))
    print(render.text(results))
    refused = refusals(results)
    for sentence in refused:
        print('bench: ' + sentence, file=sys.stderr)
    if refused:
        return 1
    render.write(results, BUILD)
    if not (args.quick or args.part or args.only):
        save(results, os.path.join(DOCUMENTATION, 'results.json'))
        render.write(results, DOCUMENTATION)
    return 0


if __name__ == '__main__':
    # So that the VM ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Refused as refused_:
        print('bench: %s' % refused_, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
