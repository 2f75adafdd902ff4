# SPDX-License-Identifier: GPL-2.0
"""The host's side of the fault lab: vdisks under load. What the lab needs of
them is class Devices; there is one kind in user space (client.py) and one of
block devices (the driver, and load.c on each)."""

import json
import os
import subprocess
import sys
import threading
import time

import stamp

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BLOCK = 4096


class Hung(Exception):
    """Something did not happen within all patience."""


class Progress:
    """Of one vdisk, as the load last told it."""

    def __init__(self):
        self.time = self.answered = self.failed = self.inflight = 0
        self.oldest_ms = 0
        self.lost = False


class Load:
    """A process of load.c or client.py: orders in, progress out."""

    def __init__(self, command, numbers, log):
        self.progress = {number: Progress() for number in numbers}
        self.said = []
        self.changed = threading.Condition()
        self.err = open(log, 'ab')
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.err, text=True)
        self.thread = threading.Thread(target=self._listen, args=(log,),
                                       daemon=True)
        self.thread.start()

    def _listen(self, log):
        with open(log, 'a') as file, open(log + '.progress', 'a') as series:
            for line in self.process.stdout:
                words = line.split()
                with self.changed:
                    if words[:1] == ['progress']:
                        self._progress([int(word) for word in words[1:]],
                                       series)
                    else:
                        file.write(line)
                        file.flush()
                        if words[:1] == ['lost']:
                            self.progress[int(words[1])].lost = True
                        elif words[:1] != ['event']:
                            self.said.append(line.strip())
                    self.changed.notify_all()
        with self.changed:
            self.said.append('ended')
            self.changed.notify_all()

    def _progress(self, numbers, series):
        if len(numbers) == 5:       # load.c knows of one disk only
            numbers = [next(iter(self.progress))] + numbers
        p = self.progress[numbers[0]]
        (p.time, p.answered, p.failed, p.inflight, p.oldest_ms) = numbers[1:]
        # For whoever wants to draw throughput over time.
        series.write('%d %d %d\n' % (p.time, numbers[0], p.answered))

    def order(self, text):
        try:
            self.process.stdin.write(text + '\n')
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError) as exc:
            raise Hung('the load has ended by itself') from exc

    def heard(self, word, patience):
        """Waits until it says that, and forgets it."""
        with self.changed:
            if not self.changed.wait_for(
                    lambda: word in self.said or 'ended' in self.said,
                    patience):
                raise Hung('"%s" does not come within %d s: %s' % (
                    word, patience, self.state()))
            if word not in self.said:
                raise Hung('the load has ended by itself')
            self.said.remove(word)

    def state(self):
        now = stamp.now()
        return ', '.join(
            'vdisk %d: %d answered, %d failed, %d under way, the oldest for '
            '%.1f s' % (number, p.answered, p.failed, p.inflight,
                        p.oldest_ms / 1e3 +
                        (max(0, now - p.time) / 1e9 if p.time else 0))
            for number, p in self.progress.items())

    def end(self):
        """At once, with no goodbye. One whose I/O never ends is left."""
        self.process.kill()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            return
        self.thread.join(10)
        self.process.stdin.close()
        self.process.stdout.close()
        self.err.close()


class Devices:
    """Vdisks under load. paths: of their logs, by number."""

    def __init__(self, folder, run, seed, numbers, patience):
        self.run, self.seed = run, seed
        self.patience = patience
        self.numbers = list(numbers)
        self.logs = {number: os.path.join(folder, 'run%d.%d.log' %
                                          (run, number))
                     for number in self.numbers}
        self.told = os.path.join(folder, 'run%d.told' % run)
        self.loads = []

    def progress(self):
        """{number: Progress} of those that were not lost to others."""
        return {number: p for load in self.loads
                for number, p in load.progress.items() if not p.lost}

    def lost(self, number):
        return any(load.progress[number].lost for load in self.loads
                   if number in load.progress)

    def each(self, order, answer=None):
        for load in self.loads:
            load.order(order)
        for load in self.loads:
            if answer:
                load.heard(answer, self.patience)

    def mark(self, what, number=0):
        self.each('mark %d %d' % (what, number), 'marked')

    def pause(self):
        """Nothing is under way when it returns."""
        self.each('pause', 'paused')

    def resume(self):
        self.each('resume', 'resumed')

    def stop(self):
        self.each('stop', 'done')
        for load in self.loads:
            load.process.wait(self.patience)
        self.kill()

    def kill(self):
        for load in self.loads:
            load.end()
        self.loads = []

    def flows(self, but=()):
        """Waits until each vdisk answers what was submitted after now."""
        since = stamp.now()
        end = time.monotonic() + self.patience
        start = {n: p.answered for n, p in self.progress().items()
                 if n not in but}
        waiting = dict(start)
        while waiting:
            for number, p in self.progress().items():
                if number in waiting and p.time > since and \
                        p.answered > start[number] and \
                        p.time - p.oldest_ms * 10**6 >= since:
                    del waiting[number]
            for number in list(waiting):
                if self.lost(number):
                    del waiting[number]
            if waiting and time.monotonic() > end:
                raise Hung('no I/O for %d s: %s' % (
                    self.patience, '; '.join(load.state()
                                             for load in self.loads)))
            for load in self.loads:
                if load.process.poll() is not None:
                    raise Hung('the load ended with %d, see %s' % (
                        load.process.returncode, self.told))
            time.sleep(0.02)
        return (stamp.now() - since) / 1e9

    # What the kinds differ in.

    def ack_loss(self):
        """An administrator has taken note that writes were lost."""
        self.each('ack-loss', 'acknowledged')

    def readers(self):
        """{number: path} of what can be read directly."""
        return {}

    def diagnosis(self):
        """Lines on how all stands."""
        for load in self.loads:
            yield load.state()


class UserDevices(Devices):
    """One session of client.py with all vdisks."""

    def __init__(self, folder, run, seed, names, portals, patience, blocks,
                 kato, options=(), load_options=()):
        super().__init__(folder, run, seed, names, patience)
        command = [sys.executable, os.path.join(HERE, 'client.py'),
                   '--seed', str(seed), '--run', str(run),
                   '--blocks', str(blocks), '--kato', str(kato)]
        for portal in portals:
            command += ['--portal', '%s:%d' % portal]
        for number, name in names.items():
            command += ['--vdisk', '%d:%s:%s' % (number, name,
                                                 self.logs[number])]
        command += [*options, *load_options]
        self.loads = [Load(command, self.numbers, self.told)]

    def freeze(self, number):
        self.loads[0].process.send_signal(number)


class BlockDevices(Devices):
    """Block devices of the driver, load.c on each of them."""

    def __init__(self, folder, run, seed, names, portals, patience, blocks,
                 kato, options=(), load_options=()):
        super().__init__(folder, run, seed, names, patience)
        where = ','.join('%s:%d' % portal for portal in portals)
        self.devices = {}
        try:
            for number, name in names.items():
                self.devices[number] = self.vxhsctl(
                    'attach', where, name, '--kato', str(kato / 1000),
                    *options).strip()
                self.loads.append(Load(
                    [os.path.join(TOP, 'build', 'fault', 'load'),
                     '--device', self.devices[number],
                     '--log', self.logs[number], '--seed', str(seed + number),
                     '--run', str(run), '--disk', str(number),
                     '--blocks', str(blocks), '--zeros', '2', *load_options],
                    [number], self.told))
        except BaseException:
            self.kill()
            raise

    def vxhsctl(self, *args, check=True):
        try:
            done = subprocess.run(
                ['vxhsctl', *args], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                timeout=self.patience, check=False)
        except subprocess.TimeoutExpired as exc:
            raise Hung('vxhsctl %s does not end' % ' '.join(args)) from exc
        if check and done.returncode:
            raise Hung('vxhsctl %s: %s' % (' '.join(args),
                                           done.stderr.strip()))
        return done.stdout

    def ack_loss(self):
        # With nothing under way: a FLUSH must not succeed before its log
        # knows why.
        self.pause()
        for device in self.devices.values():
            if json.loads(self.vxhsctl('show', device, '--json'))['lost']:
                self.vxhsctl('ack-loss', device)
        self.mark(stamp.ACK_LOSS)
        self.resume()

    def stop(self):
        super().stop()
        for device in self.devices.values():
            end = time.monotonic() + self.patience
            while True:     # udev may look at it for a moment
                try:
                    self.vxhsctl('detach', device)
                    break
                except Hung:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.1)

    def kill(self):
        # A load in an endless wait dies only when its I/O ends.
        if any(load.process.poll() is None for load in self.loads):
            for device in self.devices.values():
                self.vxhsctl('detach', '--force', device, check=False)
        super().kill()

    def readers(self):
        return {number: device for number, device in self.devices.items()
                if not self.lost(number)}

    def diagnosis(self):
        yield from super().diagnosis()
        for device in self.devices.values():
            try:
                yield from self.vxhsctl('show', device, check=False
                                        ).splitlines()
            except Hung as exc:
                yield str(exc)


def make_load():
    """Builds load.c where that is possible; True if it is there."""
    subprocess.run(['make', '-s', '-C', HERE], stdin=subprocess.DEVNULL,
                   check=False)
    return os.path.exists(os.path.join(TOP, 'build', 'fault', 'load'))
