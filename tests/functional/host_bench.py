#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make bench, without its virtual machines: what it refuses, what it makes of
runs, and that its tables and plots say what the runs said."""

import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'),
                os.path.join(HERE, '..', 'bench')]

import bench
import cases
import fio
from harness import TOP, check, equal, eventually, main, test, tmpdir

BENCH = os.path.join(TOP, 'tests', 'bench', 'bench.py')
FLOOR = os.path.join(TOP, 'build', 'bench', 'floor')

STUB = '''#!/bin/sh
case $0 in
*/gnuplot) cat >"$OUT/gnuplot.in"; printf '<?xml version="1.0"?>\\n<svg/>\\n' ;;
*) echo "${0##*/} 1.0" ;;
esac
'''
# A VM runner: takes the plan, prints what it is told to for each run.
RUNNER = '''#!%s
import json, os, sys
plan = json.loads(sys.argv[-1])
with open(os.environ['VXHS_VM_LOG'], 'w') as log:
    log.write(os.environ.get('KERNEL', 'all is well') + '\\n')
order = [step for step in plan['steps'] for _ in range(plan['rounds'])]
print(json.dumps(dict(runs=len(order), kernel='6.12', fio='fio-3')))
for i, (target, row) in enumerate(order):
    exec(os.environ['EACH'])
    run = dict(target=target, row=row, command='fio --filename=/dev/x')
    run.update(dict(bytes=value) if row.startswith('memory') else
               dict(iops=1e9 / value, p50=10, p99=20))
    print(json.dumps(run), flush=True)
print(json.dumps(dict(done=True)))
''' % sys.executable


def command(*args, each='value = 50000', without=None, kernel='fine',
            quiet='1.5'):
    """bench.py with a fake VM and fake tools: its arguments and environment,
    and the folder that it writes to."""
    folder = tmpdir()
    tools = os.path.join(folder, 'bin')
    os.mkdir(tools)
    for name in bench.TOOLS:
        if name != without:
            write(os.path.join(tools, name), STUB, 0o755)
    for name in ('sh', 'env', 'bash', 'tr', 'grep', 'head', 'tail', 'cat',
                 'python3', os.path.basename(sys.executable)):
        if not os.path.exists(os.path.join(tools, name)):
            os.symlink(shutil.which(name) or sys.executable,
                       os.path.join(tools, name))
    runner = os.path.join(folder, 'run')
    write(runner, RUNNER, 0o755)
    env = {'PATH': tools, 'OUT': folder, 'VXHS_BENCH_VM': runner,
           'VXHS_BENCH_DIR': folder, 'EACH': each, 'KERNEL': kernel,
           'VXHS_BENCH_QUIET': quiet, 'PYTHONDONTWRITEBYTECODE': '1'}
    return [sys.executable, BENCH, *args], env, folder


def run_bench(*args, **kw):
    """(status, stdout, stderr, folder)"""
    argv, env, folder = command(*args, **kw)
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=env)
    return done.returncode, done.stdout, done.stderr, folder


def write(path, text, mode=0o644):
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)


def refused(words, *args, **kw):
    """It fails with one sentence and without a table."""
    status, out, err, folder = run_bench(*args, **kw)
    equal(status, 1, 'exit status; ' + err)
    equal(out, '', 'stdout')
    sentences = re.findall(r'^bench: (?!this machine is busy).*', err, re.M)
    equal(len(sentences), 1, 'sentences in ' + err)
    check(words in sentences[0], '"%s" is not in "%s"' % (words, sentences[0]))
    left = [name for name in os.listdir(folder)
            if re.search('svg|rst|json', name)]
    equal(left, [], 'what was written')


@test
def refuses_without_a_tool():
    for tool in ('nbdkit', 'nvme', 'gnuplot'):
        refused(tool + ' is missing', without=tool)


@test
def refuses_when_the_vm_dies():
    refused('the VM died after 5 of', '--quick',
            each='value = 50000\nif i == 5: os._exit(125)')
    refused('the VM died after 0 of', '--quick', each='os._exit(0)')
    refused('the VM died after 1 of', '--quick', each='value = 50000\n'
            'if i == 1:\n import time\n time.sleep(30)')
    refused('the VM died', '--quick', each='value = 50000\n'
            'if i == 3:\n print(\'{"target": "vx\')\n sys.exit()')


@test
def its_end_ends_the_vm():
    argv, env, folder = command(
        '--quick', quiet='60', each='value = 50000\nwith open(os.environ["OUT"]'
        ' + "/pid", "w") as f: f.write(str(os.getpid()))\nif i:\n'
        ' import time\n time.sleep(60)')
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=env,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        pid = eventually(lambda: os.path.exists(folder + '/pid') and
                         open(folder + '/pid').read(), 'no VM is started')
        process.terminate()
        equal(process.wait(20), 143)
    check(not os.path.exists('/proc/' + pid), 'the VM lives on')


@test
def refuses_a_failed_run():
    refused('nbd, 4k: fio ended with 1', '--quick', each='value = 50000\n'
            'if i == 7:\n print(json.dumps(dict(error="nbd, 4k: fio ended with '
            '1")))\n sys.exit(1)')


@test
def refuses_when_the_kernel_complains():
    refused('kernel complained', '--quick', '--part', 'icount',
            kernel='[  1.0] WARNING: CPU: 0 at drivers/vxhs/send.c')


@test
def refuses_what_it_does_not_have():
    refused('nothing is called "floppy"', '--only', 'floppy')


@test
def refuses_a_wide_spread():
    """The figure is in no table, the others are."""
    status, out, err, folder = run_bench(
        '--part', 'icount', '--only', '^(vxhs|nbd|nvme)/randread-4k-qd1$',
        each='value = 61234 if (target, i % 2) == ("nbd", 0) else 50000')
    equal(status, 1)
    check(re.search(r'^bench: instructions of nbd, 4k random read QD1, is '
                    r'refused: its runs differ by 22.5 %', err, re.M), err)
    check(re.search(r'QD1 +50,000 +50,000 +refused ', out), out)
    check('61,234' not in out + err and '55,617' not in out + err, out + err)
    check(not os.path.exists(os.path.join(folder, 'figures.rst')),
          'tables were written')
    status, out, err, _ = run_bench(
        '--part', 'cpus2', '--only', '^vxhs/randread-4k-qd1$',
        each='value = 50000 * (1 + i)')
    equal(status, 1)
    check('I/O per second' not in err, err)
    check(re.search(r'vxhs +refused +10 +20', out), out)


@test
def a_good_run():
    status, out, err, folder = run_bench('--quick', each='value = {"vxhs": '
                                         '20000}.get(target, 50000 + i % 2)')
    equal(status, 0, err)
    check('[icount 2/' in err and ': 20,000 instructions per I/O' in err, err)
    check(re.search(r'4k random read QD32  +20,000 +50,000 +50,000 +50,000 '
                    r'+50,000 +2.50 +26,000 +18,000', out), out)
    with open(os.path.join(folder, 'figures.rst')) as file:
        text = file.read()
    check('2.50' in text and 'nbdkit memory' in text and
          'fio --filename=DEVICE' in text, text)
    for name in ('cost-4k.svg', 'cost-128k.svg', 'iops.svg', 'p99.svg'):
        with open(os.path.join(folder, name)) as file:
            check('SPDX-License-Identifier: ' in file.readlines()[1], name)
    with open(os.path.join(folder, 'results.json')) as file:
        results = json.load(file)
    entry = results['icount'][0]
    equal((entry['target'], entry['row'], entry['command'],
           entry['instructions']['value']),
          ('vxhs', 'randread-4k-qd1', 'fio --filename=/dev/x', 20000))

    again = tmpdir()
    shutil.copy(os.path.join(folder, 'results.json'), again)
    subprocess.run([sys.executable, BENCH, '--render',
                    os.path.join(again, 'results.json')], check=True,
                   env={'PATH': os.path.join(folder, 'bin'), 'OUT': folder,
                        'PYTHONDONTWRITEBYTECODE': '1'})
    with open(os.path.join(again, 'figures.rst')) as file:
        equal(file.read(), text)


@test
def a_missed_goal_is_said():
    status, out, _, _ = run_bench('--quick', '--part', 'icount')
    equal(status, 0)
    check('49,000 missed' in out and '150,000  ' in out, out)


def report(**change):
    side = {'total_ios': 1000, 'runtime': 300, 'iops': 3333.3,
            'lat_ns': {'percentile': {'50.000000': 5000,
                                       '99.000000': 9000}}}
    side.update(change)
    return 'fio: a word before\n' + json.dumps({'jobs': [{
        'error': change.get('error', 0), 'read': side,
        'write': {'total_ios': 0}}]})


@test
def reads_fio():
    equal(fio.parse(report(), 300), {'iops': 3333.3, 'p50': 5.0, 'p99': 9.0})
    for text, words in ((report(error=5), 'error 5'),
                        (report(total_ios=0), 'no I/O'),
                        (report(runtime=200), '200 ms instead of 300'),
                        (report(lat_ns={}), 'percentiles'),
                        ('fio: killed', 'cannot be read'),
                        (report()[:-20], 'cannot be read')):
        try:
            fio.parse(text, 300)
        except fio.Failed as exc:
            check(words in str(exc), '%r for %r' % (str(exc), words))
        else:
            raise AssertionError('believed: ' + text)


@test
def asks_fio():
    row = cases.ROWS['randread-4k-qd32-batch16']
    asked = fio.command('/dev/x', row, 1000, 200)
    for word in ('--rw=randread', '--bs=4k', '--iodepth=32',
                 '--iodepth_batch_submit=16', '--iodepth_batch_complete_min=1',
                 '--iodepth_batch_complete_max=32', '--ioengine=io_uring',
                 '--direct=1', '--time_based', '--runtime=1000ms'):
        check(word in asked, word)


@test
def bare_tcp():
    """The floor counts whole requests, also when a message is longer than
    what one receive brings."""
    for args in (['--depth', '8'],
                 ['--depth', '32', '--batch', '16', '--request', '4144',
                  '--reply', '32'],
                 ['--depth', '8', '--reply', '131104']):
        done = subprocess.run([FLOOR, '--runtime', '50', '--ramp', '5', *args],
                              stdout=subprocess.PIPE, check=True, timeout=20)
        got = json.loads(done.stdout)
        check(got['ios'] > 0 and got['ns'] >= 50000000, got)
    equal(subprocess.run([FLOOR, '--depth', 'x'], stderr=subprocess.DEVNULL,
                         check=False).returncode, 2)


if __name__ == '__main__':
    main()
