# SPDX-License-Identifier: GPL-2.0
"""Results of bench.py as tables in reStructuredText and as plots in SVG."""

import os
import re
import statistics

import cases
from plot import write_svg

SIDE = ('vxhs', 'nvme', 'nbd', 'floor', 'null')
PEERS = ('nvme', 'nbd')
NONE = '-'


def number(value):
    return format(round(value), ',')


class Figures:
    """The figures of a part, by target and row."""

    def __init__(self, results, part):
        self.entries = {(entry['target'], entry['row']): entry
                        for entry in results.get(part, ())}
        self.rows = [row for row in cases.ROWS.values()
                     if any(key == row.key for _, key in self.entries)]

    def value(self, target, key, name):
        """The figure, or None where there is none or it was refused."""
        entry = self.entries.get((target, key), {}).get(name, {})
        return entry.get('value')

    def cell(self, target, key, name):
        entry = self.entries.get((target, key), {}).get(name, {})
        if 'refused' in entry:
            return 'refused'
        return number(entry['value']) if entry else NONE

    def runs(self, target, key, name):
        return self.entries.get((target, key), {}).get(name, {}).get('runs')


def table(head, lines):
    """A simple table; the first column is text, the others are figures."""
    widths = [max(len(line[i]) for line in [head, *lines])
              for i in range(len(head))]
    rule = '  '.join('=' * width for width in widths)

    def join(line):
        return '  '.join([line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        ).rstrip()
    return '\n'.join([rule, join(head), rule, *map(join, lines), rule, ''])


def times(a, b):
    return '%.2f' % (a / b) if a and b else NONE


def bound(value, limit, text):
    """A limit, and whether it was missed."""
    return text + (' missed' if value and value > limit else '')


def costs(figures):
    """Rows that all targets have, in instructions per I/O."""
    lines = []
    for row in figures.rows:
        values = {target: figures.value(target, row.key, 'instructions')
                  for target in SIDE}
        if not any((target, row.key) in figures.entries for target in SIDE):
            continue
        peers = [values[peer] for peer in PEERS if values[peer]]
        must, aim = cases.GOALS.get(row.key, (None, None))
        lines.append(
            [row.title] +
            [figures.cell(target, row.key, 'instructions')
             for target in SIDE] +
            [times(min(peers, default=None), values['vxhs'])] +
            ([bound(values['vxhs'], must, number(must)), number(aim)]
             if must else [NONE, NONE]))
    return lines and table(
        ['instructions per I/O', *(cases.TITLES[target] for target in SIDE),
         'best peer : vxhs', 'must', 'aim'], lines)


def further(figures):
    """What only some targets have."""
    lines = []
    for (target, key), entry in figures.entries.items():
        title = '%s: %s' % (cases.TITLES[target], cases.ROWS[key].title)
        if 'bytes' in entry:
            value, limit = figures.value(target, key, 'bytes'), cases.BYTES[key]
            lines.append([title, figures.cell(target, key, 'bytes'), 'bytes',
                          bound(value, limit, number(limit))])
        elif target not in SIDE:
            value = figures.value(target, key, 'instructions')
            of, factor = cases.RATIOS.get((target, key), (None, 1))
            limit = of and figures.value(of, key, 'instructions')
            lines.append([title, figures.cell(target, key, 'instructions'),
                          'instructions per I/O',
                          bound(value, limit * factor, '%s (%s times %s)' % (
                              number(limit * factor), factor,
                              cases.TITLES[of])) if limit else NONE])
    return lines and table(['', 'figure', 'unit', 'must'], lines)


def met(holds, text):
    """A demand, and whether it was missed; holds is None if nobody knows."""
    return text + (' missed' if holds is False else '')


def demand(figures, target, key):
    """What vxhs must reach against this system, or this dialect of it."""
    def compare(name, one, other, factor, less):
        a, b = (figures.value(who, key, name) for who in (one, other))
        return None if a is None or b is None else \
            a <= b * factor if less else a >= b * factor
    peers, factor, latency = cases.FASTER.get(key, ((), 0, False))
    if target == 'v34':
        return met(compare('iops', 'v34', 'nbd', 1, False),
                   'IOPS no less than nbd')
    if target not in peers:
        return ''
    iops = met(compare('iops', 'vxhs', target, factor, False),
               '%s times the IOPS' % factor)
    if not latency:
        return iops
    return iops + met(compare('p99', 'vxhs', target, 1, True),
                      ', p99 no worse')


def two_cpus(figures):
    lines = []
    for row in figures.rows:
        ours = figures.value('vxhs', row.key, 'iops')
        for (target, key), entry in figures.entries.items():
            if key != row.key:
                continue
            value = figures.value(target, key, 'iops')
            lines.append(
                ['%s, %s' % (row.title, cases.TITLES[target])] +
                [figures.cell(target, key, name)
                 for name in ('iops', 'p50', 'p99')] +
                ['%.1f %%' % entry['iops']['spread']
                 if 'spread' in entry['iops'] else NONE,
                 times(ours, value) if target in PEERS else '',
                 demand(figures, target, key)])
    return lines and table(
        ['', 'IOPS', 'p50, us', 'p99, us', 'spread of IOPS', 'vxhs : this',
         'vxhs must'], lines)


TABLES = (
    ('icount', costs, 'Instructions per I/O',
     'Deterministic mode: client, network, server and fio together. The median '
     'of two runs.'),
    ('icount', further, 'Further figures',
     'Deterministic mode as well.'),
    ('cpus2', two_cpus, 'Two emulated CPUs',
     'Medians of alternating runs. The spread is the distance of the quartiles '
     'in per cent\nof the median.'),
)


def text(results):
    """The tables for a terminal."""
    out = []
    for part, make, title, _ in TABLES:
        made = make(Figures(results, part))
        if made:
            out += [title, '', made]
    return '\n'.join(out)


def heading(title, line):
    return [title, line * len(title), '']


def block(lines):
    return ['::', '', *('  ' + line for line in lines), '']


def commands(results):
    """How each figure was made."""
    out = heading('Commands', '=')
    out += ['Each figure with its own command is in `results.json '
            '<results.json>`_. To measure one again::', '',
            "  tests/bench/bench.py --part icount "
            "--only '^nbd/randread-4k-qd32$'", '']
    for part, command in results['machines'].items():
        out += ['%s: the virtual machine is ``%s``.' % (
            {'icount': 'Deterministic mode', 'cpus2': 'Two CPUs'}[part],
            command), '']
    seen = {}
    for part in results['machines']:
        for entry in results[part]:
            command = re.sub(r'--filename=\S+', '--filename=DEVICE',
                             entry['command'])
            seen.setdefault(command, []).append(entry)
    out += heading('The rows', '-')
    for command, entries in seen.items():
        what = '%s; %s' % (cases.ROWS[entries[0]['row']].title, ', '.join(
            dict.fromkeys(cases.TITLES[entry['target']] for entry in entries)))
        out += [what, ''] + block([command])
    out += heading('The targets', '-')
    used = {entry['target'] for part in results['machines']
            for entry in results[part]}
    if any(name.startswith('client-') for name in used):
        used.add('veth')
    for name, script in cases.SETUP.items():
        if name in used:
            out += [cases.TITLES.get(
                name, "The interfaces of the rows of the client's side"), '']
            out += block(script.strip().split('\n'))
    return out


def plot(path, title, categories, series):
    """Clustered bars; series is [(title, [(value, low, high) or None])]."""
    def cell(value):
        return '? ? ?' if value is None else '%.9g %.9g %.9g' % value
    lines = ['"%s" %s' % (name, ' '.join(cell(values[i])
                                         for _, values in series))
             for i, name in enumerate(categories)]
    script = [
        'set terminal svg size 960,420 font "sans-serif,12" '
        'background "white" noenhanced',
        'set title "%s"' % title, 'set yrange [0:*]', 'set grid ytics',
        'set format y "%.0f"', 'set datafile missing "?"', 'set bmargin 3.5',
        'set style data histograms',
        'set style histogram errorbars gap 1 linewidth 1',
        'set style fill solid 0.85 border -1', 'set bars 0.4',
        'set key outside right top', 'set xtics scale 0',
        '$data << END', *lines, 'END',
        'plot ' + ', '.join(
            '$data using %d:%d:%d:xtic(1) title "%s"' % (
                2 + 3 * i, 3 + 3 * i, 4 + 3 * i, name)
            for i, (name, _) in enumerate(series))]
    write_svg(path, script)


def bars(figures, targets, rows, name):
    """Series of plot(): median, and quartiles where there are many runs."""
    out = []
    for target in targets:
        values = []
        for row in rows:
            value = figures.value(target, row.key, name)
            runs = figures.runs(target, row.key, name)
            if value is None:
                values.append(None)
            elif len(runs) > 2:
                low, _, high = statistics.quantiles(runs, n=4,
                                                    method='inclusive')
                values.append((value, low, high))
            else:
                values.append((value, value, value))
        if any(values):
            out.append((cases.TITLES[target], values))
    return out


def label(row):
    """A row's title on two lines."""
    head, _, tail = row.title.partition(' QD')
    return '%s\\nQD%s' % (head.replace('random ', ''),
                          tail.replace('submitted 16 at a time', 'batches'))


def write_plots(results, folder):
    """Returns the plots' names."""
    icount, cpus2 = (Figures(results, part) for part in ('icount', 'cpus2'))
    plots = [
        ('cost-4k.svg', icount, SIDE, cases.SMALL, 'instructions',
         'Instructions per I/O, 4k'),
        ('cost-128k.svg', icount, SIDE,
         [row for row in cases.LARGE if row.bs == '128k'], 'instructions',
         'Instructions per I/O, 128k'),
        ('iops.svg', cpus2, ('vxhs', 'nvme', 'nbd', 'v34', 'poll'),
         [cases.READ1, cases.READ32, cases.JOBS2], 'iops',
         'I/O per second, two emulated CPUs'),
        ('p99.svg', cpus2, ('vxhs', 'nvme', 'nbd', 'v34', 'poll'),
         [cases.READ1, cases.READ32, cases.JOBS2], 'p99',
         '99th percentile of the latency in us, two emulated CPUs'),
    ]
    out = []
    for path, figures, targets, rows, name, title in plots:
        rows = [row for row in rows if row in figures.rows]
        series = bars(figures, targets, rows, name)
        if series:
            plot(os.path.join(folder, path), title,
                 [label(row) for row in rows], series)
            out.append((path, title))
    return out


def write(results, folder):
    """figures.rst and the plots."""
    out = ['.. SPDX-License-Identifier: GPL-2.0',
           '.. Made from results.json by tests/bench/render.py.', '',
           '=======', 'Figures', '=======', '',
           'Measured with ``make bench%s`` in a VM with Linux %s, %s, %s. What '
           'it\nmeans is in `index.rst <index.rst>`_.' % (
               ' QUICK=1' if results['quick'] else '', results['kernel'],
               results['qemu'], results['fio']), '']
    for part, make, title, words in TABLES:
        made = make(Figures(results, part))
        if made:
            out += heading(title, '=') + [words, '', made]
    for path, title in write_plots(results, folder):
        out += ['.. image:: ' + path, '   :alt: ' + title, '']
    out += commands(results)
    with open(os.path.join(folder, 'figures.rst'), 'w') as file:
        file.write('\n'.join(out).rstrip() + '\n')
