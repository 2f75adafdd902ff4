#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""guest.py PLAN: the benchmark's half inside the VM. PLAN is JSON:
{"steps": [[TARGET, ROW], ...], "rounds": N, "alternate": BOOL, "runtime": MS,
"ramp": MS}. Prints a line of JSON for each run; the last one is
{"done": true}, or {"error": SENTENCE}."""

import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import cases
import fio
import vxhs
from fio import Failed

FLOOR = os.path.join(TOP, 'build', 'bench', 'floor')
HEADERS = (48, 32)      # of the native dialect: request, reply


def run(args):
    """A command that must succeed; its standard output. No time-out: the clock
    of deterministic mode runs ahead while the host is waited for."""
    text = args if isinstance(args, str) else ' '.join(args)
    try:
        done = subprocess.run(
            ['bash', '-ec', args] if isinstance(args, str) else args,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise Failed('%s is missing in the VM' % args[0]) from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).split('\n')[-1]
        raise Failed('"%s" ended with %d: %s' % (
            text.strip().split('\n')[0], done.returncode, said[-300:]))
    return done.stdout


def setup(name):
    """Runs a target's commands. What they leave in the background keeps none
    of our pipes, which run() would wait for."""
    log = '/run/bench-%s.log' % name
    with open(log, 'w') as out:
        done = subprocess.run(
            ['bash', '-exc', cases.SETUP[name]], stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, check=False)
    if done.returncode:
        with open(log) as out:
            said = ' / '.join(out.read().strip().split('\n')[-3:])
        raise Failed('%s cannot be set up: %s' % (
            cases.TITLES.get(name, name), said))
    if os.path.exists('/run/udev/control'):
        run(['udevadm', 'settle'])


class Disk:
    """A block device and fio."""

    def __init__(self, name, device, fill=True, options=()):
        self.options = options
        setup(name)
        found = glob.glob(device)
        if len(found) != 1:
            raise Failed('%s has no device %s' % (cases.TITLES[name], device))
        self.device = found[0]
        if fill:
            run(fio.fill(self.device))

    def command(self, row, runtime, ramp):
        return fio.command(self.device, row, runtime, ramp, *self.options)

    def measure(self, row, runtime, ramp):
        return fio.parse(run(self.command(row, runtime, ramp)), runtime)


class Floor:
    """The messages of the native dialect on a bare TCP connection."""

    def command(self, row, runtime, ramp):
        size = int(row.bs[:-1]) << (20 if row.bs.endswith('M') else 10)
        request, reply = HEADERS
        if row.rw == 'randread':
            reply += size
        else:
            request += size
        return [os.path.relpath(FLOOR), '--request', str(request), '--reply',
                str(reply), '--depth', str(row.depth), '--batch',
                str(row.batch or row.depth), '--runtime', str(runtime),
                '--ramp', str(ramp)]

    def measure(self, row, runtime, ramp):
        got = json.loads(run(self.command(row, runtime, ramp)))
        return {'iops': got['ios'] * 1e9 / got['ns']}


class Client(Disk):
    """Of a disk whose server is behind a pair of virtual interfaces, the share
    of the client: all but what the server's threads ran. In deterministic mode
    the scheduler's clock counts instructions."""

    veth = False

    def __init__(self, name, device, server):
        if not Client.veth:
            setup('veth')
            Client.veth = True
        self.server = re.compile(server + r'|napi/server-')
        super().__init__(name, device)

    def spent(self):
        """What each thread has run so far, in ns, but for ourselves."""
        out = {}
        for task in glob.glob('/proc/[0-9]*/task/[0-9]*'):
            try:
                with open(task + '/comm') as comm, \
                        open(task + '/schedstat') as stat:
                    out[task] = (comm.read(), int(stat.read().split()[0]))
            except OSError:
                continue        # it has ended
        out.pop('/proc/%d/task/%d' % (os.getpid(), os.getpid()), None)
        return out

    def done(self):
        """I/O that the device has completed so far."""
        with open('/sys/block/%s/stat' % os.path.basename(self.device)) as stat:
            fields = stat.read().split()
        return int(fields[0]) + int(fields[4])

    def measure(self, row, runtime, ramp):
        before = self.done()
        process = subprocess.Popen(
            self.command(row, runtime + 200, ramp), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while self.done() < before + row.depth and process.poll() is None:
            time.sleep(0.02)
        time.sleep((ramp + 50) / 1000)
        before, spent = self.done(), self.spent()
        time.sleep(runtime / 1000)
        after, ended = self.done(), self.spent()
        report, said = process.communicate()
        if process.returncode:
            raise Failed('fio ended with %d: %s' % (process.returncode, said))
        fio.parse(report, runtime + 200)
        client = server = 0
        for task, (comm, ns) in ended.items():
            ns -= spent.get(task, (comm, 0))[1]
            if self.server.match(comm):
                server += ns
            else:
                client += ns
        if not server or not client or after == before:
            raise Failed("the server's share of the time is not known")
        return {'iops': (after - before) * 1e9 / client}


def kernel_memory():
    """Bytes that are neither free nor page cache nor of processes."""
    for _ in range(2):      # what was looked at lately goes the second time
        run('sync; echo 3 >/proc/sys/vm/drop_caches; sleep 0.5')
    with open('/proc/meminfo') as file:
        info = {name: int(rest.split()[0]) << 10 for name, rest in
                (line.split(':') for line in file)}
    used = info['MemTotal'] - sum(info[name] for name in (
        'MemFree', 'Cached', 'Buffers', 'AnonPages', 'PageTables'))
    with open('/proc/zoneinfo') as file:    # free pages that a CPU keeps
        return used - sum(int(line.split()[1]) * os.sysconf('SC_PAGE_SIZE')
                          for line in file if line.split()[0] == 'count:')


class Many:
    """The disk of target vxhs beside many others, idle, of the same server.
    udev, which keeps notes on each device in a tmpfs, is stopped; and they
    are only read, for vxhsd keeps a file of each lease, here in a tmpfs too."""

    COMMAND = ('for i in $(seq %d); do vxhsctl attach 127.0.0.1:9999 d$i '
               '--read-only --no-digests; done' % cases.FURTHER)

    def __init__(self, disk):
        self.disk = disk
        if os.path.exists('/run/udev/control'):
            run(['udevadm', 'control', '--exit'])
        before = kernel_memory()
        run(self.COMMAND)
        self.each = (kernel_memory() - before) / cases.FURTHER

    def command(self, row, runtime, ramp):
        if row == cases.VDISK:
            return [self.COMMAND, '# growth of MemTotal - MemFree - Cached -',
                    'Buffers - AnonPages - PageTables (/proc/meminfo) -',
                    'the CPUs\' lists of free pages (/proc/zoneinfo)']
        return self.disk.command(row, runtime, ramp)

    def measure(self, row, runtime, ramp):
        if row == cases.VDISK:
            return {'bytes': self.each}
        return self.disk.measure(row, runtime, ramp)


class Connections:
    """What vxhsd keeps of a connection that has logged in, has opened a vdisk,
    has read from it, and is now idle."""

    PORT = 9936

    def command(self, row, runtime, ramp):
        return ['# VmRSS of vxhsd: its growth by %d connections that read '
                '4 KiB each and stay' % cases.CONNECTIONS]

    def connect(self):
        client = vxhs.NativeClient('127.0.0.1', self.PORT, 'd0', kato=60000)
        status, geometry = client.open('d0', mode=vxhs.RO)
        if status or client.read(geometry.handle, 0, 4096)[0]:
            raise Failed('vxhsd refuses a connection or a read')
        return client

    def measure(self, row, runtime, ramp):
        with open('/run/vxhsd-idle.log', 'w') as log:
            server = subprocess.Popen(
                ['vxhsd', '--listen', '127.0.0.1:%d' % self.PORT, '--export',
                 'd0=memory,size=1M'], stdout=log, stderr=log)
        time.sleep(1)
        clients = [self.connect() for _ in range(10)]
        before = self.rss(server.pid)
        clients += [self.connect() for _ in range(cases.CONNECTIONS)]
        time.sleep(0.2)
        after = self.rss(server.pid)
        for client in clients:
            client.close()
        server.kill()
        server.wait()
        return {'bytes': (after - before) / cases.CONNECTIONS}

    def rss(self, pid):
        with open('/proc/%d/status' % pid) as file:
            for line in file:
                if line.startswith('VmRSS:'):
                    return int(line.split()[1]) << 10
        raise Failed('vxhsd died')


class Bench:
    """Sets a target up when its first row is measured."""

    def __init__(self):
        self.targets = {}

    def target(self, name):
        if name not in self.targets:
            self.targets[name] = self.make(name)
        return self.targets[name]

    def make(self, name):
        if name == 'vxhs':
            return Disk(name, '/dev/vxhs0')
        if name == 'nvme':
            return Disk(name, '/dev/nvme*n1')
        if name == 'nbd':
            return Disk(name, '/dev/nbd0')
        if name == 'null':
            return Disk(name, '/dev/nullb0', fill=False)
        if name == 'floor':
            return Floor()
        if name == 'v34':
            return Disk(name, '/dev/vxhs34')
        if name == 'crc':
            return Disk(name, '/dev/vxhs32')
        if name == 'tls':
            return Disk(name, '/dev/vxhs33')
        if name == 'poll':
            return Disk(name, '/dev/vxhs35', options=('--hipri',))
        if name == 'client-vxhs':
            return Client(name, '/dev/vxhs36', 'vxhsd|iou-')
        if name == 'client-nvme':
            self.targets.pop('nvme', None)      # its module is loaded again
            return Client(name, '/dev/nvme*n1', r'kworker/\d+:\d+H')
        if name == 'client-nbd':
            return Client(name, '/dev/nbd1', 'nbdkit')
        if name == 'many':
            return Many(self.target('vxhs'))
        if name == 'memory':
            return Connections()
        raise Failed('there is no target "%s"' % name)

    def measure(self, name, row, runtime, ramp):
        """One run: what the target measured, and the command."""
        target = self.target(name)
        try:
            got = target.measure(row, runtime, ramp)
        except Failed as exc:
            raise Failed('%s, %s: %s' % (cases.TITLES[name], row.title,
                                         exc)) from None
        got['command'] = ' '.join(target.command(row, runtime, ramp))
        return got

    def instructions(self, name, row, runtime, ramp):
        """One run in deterministic mode: instructions per I/O."""
        return 1e9 / self.measure(name, row, runtime, ramp)['iops']


def believe_the_tsc():
    """Emulated CPUs share the host's time stamp counter; the VM prefers the
    HPET, for which each reading of the clock is a trip through the emulator."""
    path = '/sys/devices/system/clocksource/clocksource0/current_clocksource'
    with open(path, 'w') as file:
        file.write('tsc')


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    plan = json.loads(sys.argv[1])
    if plan['alternate']:
        believe_the_tsc()
    bench = Bench()
    steps = [(target, cases.ROWS[key]) for target, key in plan['steps']]
    rounds = range(plan['rounds'])
    if plan['alternate']:
        for target, _ in steps:
            bench.target(target)
        order = [step for _ in rounds for step in steps]
    else:
        order = [step for step in steps for _ in rounds]
    say(runs=len(order), kernel=os.uname().release,
        fio=run(['fio', '--version']).strip())
    for target, row in order:
        say(target=target, row=row.key,
            **bench.measure(target, row, plan['runtime'], plan['ramp']))
    say(done=True)


if __name__ == '__main__':
    try:
        main()
    except Failed as failed:
        say(error=str(failed))
        sys.exit(1)
