# SPDX-License-Identifier: GPL-2.0
"""Runs tests/fault/lab.py for a functional test in a guest."""

import os
import subprocess
import sys

from harness import TOP, check

# SEED=N in the environment: other faults, or those of a run that failed.
SEED = int(os.environ.get('SEED', 4711))


def lab(*args, faults=None, timeout=1000):
    """The fault lab with the driver's block devices: raises the first thing
    that was wrong; faults: how many must have been survived."""
    command = [sys.executable, os.path.join(TOP, 'tests', 'fault', 'lab.py'),
               '--block-devices', '--seed', str(SEED), *args]
    print('# ' + ' '.join(command[1:]), flush=True)
    wrong, survived = [], 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        watch = subprocess.Popen(['sleep', str(timeout)])
        try:
            for line in process.stdout:
                if line.startswith('not ok'):
                    wrong.append(line[7:].strip())
                survived += line.startswith('ok fault-') and \
                    '# skipped' not in line
                print('# ' + line.rstrip(), flush=True)
                if watch.poll() is not None:
                    process.terminate()
                    wrong.append('the lab takes more than %d s' % timeout)
        finally:
            watch.kill()
            watch.wait()
    check(not wrong, wrong[0] if wrong else '')
    check(process.returncode == 0, 'exit status %d' % process.returncode)
    check(faults is None or survived == faults,
          '%d faults, not %s' % (survived, faults))
