# SPDX-License-Identifier: GPL-2.0
"""What the tests that run inside the VM (or user-mode Linux) share: calling
vxhsctl, watching the kernel's log, raw I/O on a device."""

import errno
import glob
import json
import mmap
import os
import re
import shutil
import subprocess
import threading
import time

os.environ.setdefault('VXHSD', shutil.which('vxhsd') or 'vxhsd')

from harness import after_failure, check, equal, eventually

SPLAT = re.compile(
    r'WARNING: |BUG: |Oops|general protection|KASAN|UBSAN|kernel BUG|'
    r'possible (circular|recursive|irq lock)|suspicious RCU|blocked for more|'
    r'self-detected stall|detected stalls|soft lockup|Call Trace|refcount_t:|'
    r'inconsistent lock state|scheduling while atomic|sleeping function|'
    r'list_(add|del) corruption|Unable to handle|unreferenced object|'
    r'page allocation failure|held lock freed|bad unlock balance')
# What a test does on purpose, or a kernel without fault says at boot.
HARMLESS = re.compile(r'FAULT_INJECTION|lockdep: |Lock dependency validator|'
                      r'kmemleak: Kernel memory leak detector')


class Kmsg:
    """The kernel's log from now on."""

    def __init__(self, start=False):
        self.fd = os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)
        self.lines = []
        if not start:
            os.lseek(self.fd, 0, os.SEEK_END)

    @staticmethod
    def line(head, text):
        """What is kept of a record, whose head has its time."""
        return text

    def read(self):
        """All lines so far."""
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors='replace')
            except BlockingIOError:
                return self.lines
            except OSError as exc:
                if exc.errno != errno.EPIPE:    # overwritten meanwhile
                    raise
                continue
            head, _, text = record.partition(';')
            self.lines.append(self.line(head, text.split('\n')[0]))

    def vxhs(self):
        """Lines of the driver."""
        return [line for line in self.read() if 'vxhs' in line]

    def close(self):
        os.close(self.fd)


# In slow kernels with sanitizers: leave out what only repeats a path.
LIGHT = bool(os.environ.get('LIGHT'))

_kmsg = Kmsg(start=True)


def no_splats():
    """The kernel's log since boot has nothing to be ashamed of.  What was found
    good is not kept: a run may take hours."""
    bad = [line for line in _kmsg.read()
           if SPLAT.search(line) and not HARMLESS.search(line)]
    if bad:
        at = _kmsg.lines.index(bad[0])
        print('\n'.join('# ' + line for line in _kmsg.lines[at:at + 80]))
        raise AssertionError('%d lines such as "%s"' % (len(bad), bad[0]))
    _kmsg.lines.clear()


def run(*args, timeout=60, **kw):
    return subprocess.run(args, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=timeout, check=False, **kw)


def sh(command, timeout=90):
    """A shell command that must succeed; its stdout."""
    done = run('sh', '-c', command, timeout=timeout)
    if done.returncode:
        raise AssertionError('"%s" ended with %d: %s' % (
            command, done.returncode,
            (done.stderr.strip() or done.stdout.strip())[-800:]))
    return done.stdout


def vxhsctl(*args, status=0, timeout=60):
    """A call of vxhsctl with that exit status: (stdout, stderr)."""
    args = [str(arg) for arg in args]
    done = run('vxhsctl', *args, timeout=timeout)
    if done.returncode != status:
        raise AssertionError('"vxhsctl %s" ended with %d, not %d: %s' % (
            ' '.join(args), done.returncode, status, done.stderr.strip()))
    return done.stdout, done.stderr


def host(server):
    """HOST:PORT of a server as vxhsctl takes it."""
    return ('[%s]:%d' if ':' in server.addr else '%s:%d') % (server.addr,
                                                             server.port)


def attach(server, name, *options):
    """Attaches and returns the device's path."""
    out, err = vxhsctl('attach', host(server), name, *options)
    check(re.fullmatch(r'/dev/vxhs\d+\n', out), 'attach printed %r' % out)
    if 'v34' not in err:
        equal(err, '', 'stderr of attach')
    device = out.strip()
    check(os.path.exists(device), device + ' does not exist')
    return device


def settle():
    if shutil.which('udevadm') and os.path.exists('/run/udev/control'):
        run('udevadm', 'settle', '--timeout=30')


def detach(device, patience=20):
    """Detaches; udev may have the device open for a moment."""
    end = time.monotonic() + patience
    while True:
        done = run('vxhsctl', 'detach', device)
        if done.returncode == 0:
            break
        if 'use' not in done.stderr or time.monotonic() > end:
            raise AssertionError('detach: ' + done.stderr.strip())
        time.sleep(0.05)
    check(not os.path.exists('/sys/block/' + os.path.basename(device)),
          device + ' is still there')


def force(device):
    """Detaches whatever its server does and whoever has it open."""
    vxhsctl('detach', '--force', device)
    check(not os.path.exists('/sys/block/' + os.path.basename(device)),
          device + ' is still there')


def detach_all():
    for path in glob.glob('/sys/block/vxhs*'):
        detach('/dev/' + os.path.basename(path))


def clean_up():
    """Also of what its test left open, or without a server."""
    sh('umount /dev/vxhs* 2>/dev/null || true')
    for path in glob.glob('/sys/block/vxhs*'):
        device = '/dev/' + os.path.basename(path)
        if run('vxhsctl', 'detach', device).returncode:
            force(device)


after_failure.append(clean_up)


def devices():
    return sorted(os.path.basename(p) for p in glob.glob('/sys/block/vxhs*'))


def show(device):
    return json.loads(vxhsctl('show', device, '--json')[0])


def refused(words, *args, status=1, within=10):
    """A call of vxhsctl that fails in time, with one sentence that has these
    words, and leaves no new device."""
    before = devices()
    begun = time.monotonic()
    out, err = vxhsctl(*args, status=status)
    took = time.monotonic() - begun
    check(took < within, 'it took %.1f s' % took)
    equal(out, '', 'stdout')
    equal(len(err.strip().split('\n')), 1, 'lines of %r' % err)
    check(err.startswith('vxhsctl: '), 'begins without "vxhsctl: ": ' + err)
    for word in [words] if isinstance(words, str) else words:
        check(word.lower() in err.lower(), '"%s" is not in %r' % (word, err))
    equal(devices(), before, 'devices')
    return err


class Raw:
    """Direct I/O on a device, past the page cache."""

    def __init__(self, device, flags=os.O_RDWR):
        self.fd = os.open(device, flags | os.O_DIRECT)
        self.buf = mmap.mmap(-1, 1 << 20)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        os.close(self.fd)
        self.buf.close()

    def read(self, offset=0, n=4096):
        view = memoryview(self.buf)[:n]
        try:
            equal(os.preadv(self.fd, [view], offset), n, 'bytes read')
            return bytes(view)
        finally:
            view.release()

    def write(self, data, offset=0):
        self.buf[:len(data)] = data
        view = memoryview(self.buf)[:len(data)]
        try:
            equal(os.pwritev(self.fd, [view], offset), len(data),
                  'bytes written')
        finally:
            view.release()

    def flush(self):
        os.fsync(self.fd)


def in_time(func, *args, within=20):
    """Calls it and gives its result; who hangs in it is left behind."""
    result = []

    def call():
        try:
            result.append((func(*args), None))
        except BaseException as exc:
            result.append((None, exc))
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(within)
    check(result, 'it hangs: no answer after %g s' % within)
    if result[0][1]:
        raise result[0][1]
    return result[0][0]


def fails(errors, func, *args, within=20):
    """An I/O that must fail with one of these errno, and in time."""
    errors = (errors,) if isinstance(errors, int) else errors
    try:
        in_time(func, *args, within=within)
    except OSError as exc:
        check(exc.errno in errors, 'errno %s' % errno.errorcode[exc.errno])
    else:
        raise AssertionError('the I/O succeeded')


class Recovers:
    """A block in which a session loses its last lane and gets it back, once
    unless told otherwise; within that time it is live again."""

    def __init__(self, device, times=1, within=20):
        self.device, self.times, self.within = device, times, within

    def __enter__(self):
        self.before = show(self.device)['session']
        return self

    def __exit__(self, kind, *exc):
        if kind:
            return

        def whole():
            self.now = show(self.device)['session']
            return self.now['state'] == 'live' and \
                self.now['lanes_up'] == self.now['lanes'] and \
                self.now['recoveries'] >= \
                self.before['recoveries'] + self.times
        eventually(whole, 'the session does not recover', self.within)
        equal(self.now['recoveries'] - self.before['recoveries'], self.times,
              'recoveries')
        check(self.now['epoch'] > self.before['epoch'] or
              self.now['dialect'] == 'v34', 'no new epoch')


def established(port):
    """Connections of this host to a port that are not closed yet."""
    count = 0
    for name in ('tcp', 'tcp6'):
        if not os.path.exists('/proc/net/' + name):
            continue
        with open('/proc/net/' + name) as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                count += fields[3] == '01' and \
                    int(fields[2].rpartition(':')[2], 16) == port
    return count


def gone(server, timeout=15):
    """No connection to the server is left."""
    eventually(lambda: not established(server.port),
               'a connection to the server stays', timeout)


def rmmod():
    """Unloads the module; a session may need a moment to say goodbye."""
    eventually(lambda: run('rmmod', 'vxhs').returncode == 0,
               'rmmod vxhs is refused', 20)


def loaded():
    return os.path.exists('/sys/module/vxhs')


def lane_threads():
    """Names of the driver's threads, one for each lane."""
    names = []
    for path in glob.glob('/proc/[0-9]*/comm'):
        try:
            with open(path) as file:
                names.append(file.read().strip())
        except OSError:         # it ended meanwhile
            pass
    return sorted(n for n in names if n.startswith('vxhs_lane/'))


def nothing_is_left():
    """The last test of a script: all that was attached can go, and the
    kernel has nothing to complain about."""
    detach_all()
    eventually(lambda: not lane_threads(), 'threads of lanes stay')
    rmmod()
    no_splats()
