# SPDX-License-Identifier: GPL-2.0
"""Runs the functions of a test script as TAP-like lines, and starts vxhsd
for them. A test fails by an exception; skip(why) leaves one out."""

import atexit
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

_tests = []
after_failure = []      # called so that the next test begins clean


class Skip(Exception):
    pass


def skip(why):
    raise Skip(why)


def test(func):
    """Marks a test; its name is the function's, its prefix the script's."""
    _tests.append(func)
    return func


def main():
    """Runs all tests, or those named on the command line."""
    prefix = os.environ.get('TEST_PREFIX') or \
        os.path.splitext(os.path.basename(sys.argv[0]))[0]
    failed = 0
    for func in _tests:
        if sys.argv[1:] and func.__name__ not in sys.argv[1:]:
            continue
        name = '%s.%s' % (prefix, func.__name__)
        begun = time.monotonic()
        try:
            func()
            print('ok %s' % name, flush=True)
        except Skip as exc:
            print('ok %s # skipped: %s' % (name, exc), flush=True)
        except Exception as exc:
            failed += 1
            why = str(exc).strip().split('\n')[0] or type(exc).__name__
            print('not ok %s - %s' % (name, why), flush=True)
            traceback.print_exc()
            for clean in after_failure:
                try:
                    clean()
                except Exception as again:
                    print('cleaning up: %s' % again, file=sys.stderr)
        print('# %5.1f s %s' % (time.monotonic() - begun, name),
              file=sys.stderr, flush=True)
    for server in list(Vxhsd.running):
        server.kill()
    sys.exit(1 if failed else 0)


def equal(got, want, what=''):
    if got != want:
        raise AssertionError('%s%r, expected %r' %
                             (what and what + ': ', got, want))


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def eventually(condition, why, timeout=15):
    """Waits until condition() is true and returns what it gave.

    why may be a function, for what is known only then.
    """
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(why() if callable(why) else why)
        time.sleep(0.02)


def free_port(addr='127.0.0.1'):
    family = socket.AF_INET6 if ':' in addr else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((addr, 0))
        return sock.getsockname()[1]


def many_files():
    """Room for tens of thousands of connections, inherited by vxhsd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 32768
    if hard != resource.RLIM_INFINITY and hard < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
            return
        except ValueError:      # not even root may, in some containers
            want = hard
    if soft < want:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


_tmp = []


def tmpdir():
    """A directory that lives as long as the script."""
    if not _tmp:
        _tmp.append(tempfile.mkdtemp(prefix='vxhs-test.'))
        atexit.register(shutil.rmtree, _tmp[0], ignore_errors=True)
    return tempfile.mkdtemp(dir=_tmp[0])


def sparse(path, size):
    """A file of zeros."""
    with open(path, 'wb') as file:
        file.truncate(size)
    return path


def binary():
    if os.environ.get('VXHSD'):
        return os.environ['VXHSD']
    for flavour in ('asan', 'tools'):
        path = os.path.join(TOP, 'build', flavour, 'vxhsd')
        if os.path.exists(path):
            return path
    return shutil.which('vxhsd') or 'vxhsd'


def environment():
    env = dict(os.environ)
    # The quarantine would look like a leak to the tests that watch RSS.
    env['ASAN_OPTIONS'] = 'quarantine_size_mb=4:thread_local_quarantine_' \
        'size_kb=64:' + env.get('ASAN_OPTIONS', '')
    env['UBSAN_OPTIONS'] = 'print_stacktrace=1:' + env.get('UBSAN_OPTIONS', '')
    return env


def run_vxhsd(*args, timeout=20, under=()):
    """For calls that are to fail: (exit status, stderr)."""
    done = subprocess.run([*under, binary(), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment(), timeout=timeout, check=False)
    equal(done.stdout, b'', 'stdout')
    return done.returncode, done.stderr.decode()


def run_vxhsctl(*args):
    """(exit status, stdout, stderr)."""
    vxhsctl = os.path.join(os.path.dirname(binary()), 'vxhsctl')
    done = subprocess.run([vxhsctl, *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment(), timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def leases(directory):
    """What vxhsctl tells of the leases that a server keeps there."""
    status, out, err = run_vxhsctl('leases', directory, '--json')
    equal((status, err), (0, ''), 'vxhsctl leases')
    found = json.loads(out)
    equal(found['directory'], directory)
    return found


class Vxhsd:
    """A running server; its stderr is kept in a file."""

    running = set()

    def __init__(self, *exports, addr='127.0.0.1', port=None, args=(),
                 listen=True, ready=True, state_dir=None, under=()):
        self.addr = addr
        self.port = port or free_port(addr)
        self.dir = tmpdir()
        self.log_path = os.path.join(self.dir, 'stderr')
        command = [*under, binary()]
        if listen:
            host = '[%s]' % addr if ':' in addr else addr
            command += ['--listen', '%s:%d' % (host, self.port)]
        for export in exports:
            command += ['--export', export]
        command += ['--state-dir', state_dir or self.dir, *args]
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment())
        self.pid = self.process.pid
        Vxhsd.running.add(self)
        if ready:
            self.wait_for_log('vxhsd: ready')

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        if kind:
            print(self.log()[-3000:], file=sys.stderr)
            self.kill()
        else:
            self.stop()

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def wait_for_log(self, text, timeout=30):
        def seen():
            if text in self.log():
                return True
            if self.process.poll() is not None:
                raise AssertionError('vxhsd ended with %d: %s' % (
                    self.process.returncode, self.log().strip()))
            return False
        eventually(seen, 'vxhsd never wrote "%s"' % text, timeout)

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError('vxhsd died, status %d: %s' % (
                self.process.returncode, self.log()[-2000:]))

    def signal(self, number):
        """When this returns a process that is stopped stands still."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            eventually(self.stands_still, 'SIGSTOP does not stop it')

    def stands_still(self):
        tasks = '/proc/%d/task' % self.pid
        for task in os.listdir(tasks):
            try:
                with open(os.path.join(tasks, task, 'stat')) as stat:
                    name, state = stat.read().rsplit(')', 1)
            except OSError:     # it ended meanwhile
                return False
            if state.split()[0] != 'T' and '(iou-' not in name:
                return False
        return True

    def stop(self, timeout=30):
        """SIGTERM must end it cleanly, and no sanitizer may have spoken."""
        self.alive()
        self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError('SIGTERM did not end vxhsd') from None
        Vxhsd.running.discard(self)
        log = self.log()
        if status or re.search(r'Sanitizer|runtime error', log):
            raise AssertionError('vxhsd ended with %d: %s' %
                                 (status, log[-3000:]))

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        Vxhsd.running.discard(self)

    def rss(self):
        """Resident bytes."""
        with open('/proc/%d/statm' % self.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def cpu(self):
        """Seconds of CPU time used so far."""
        with open('/proc/%d/stat' % self.pid) as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))
