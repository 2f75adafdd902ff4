#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Proves from the logs of a load (stamp.py) that a disk has kept its word.

A write that was answered before another one was submitted is older than it.
No read, and nobody who looks at the disk afterwards, may find a block whose
content is older than a write that was acknowledged by then, or older than
what a read had found before (a read beside a write may find a mixture): it is there whole, or a later one is, of which
nothing is known. What a FLUSH has acknowledged outlives a crash of the
storage host; what came after it may be lost, and then no FLUSH succeeds until
somebody has acknowledged the loss."""

import argparse
import collections
import mmap
import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import stamp
from stamp import (ACK_LOSS, BAD, CRASH, DONE, END, FAULT, FENCE, FLUSH, FUA,
                   MARK, READ, SEEN, WRITE, ZERO)

NEVER = 1 << 63
FORGET_EVERY = 50000            # operations


class Op:
    __slots__ = ('run', 'kind', 'submit', 'end', 'ok', 'fence', 'block',
                 'nblocks', 'seq', 'flags', 'seen', 'floor')

    def __init__(self, run, record):
        self.run, self.kind, self.submit = run, record.kind, record.time
        self.end, self.ok, self.fence = NEVER, False, NEVER
        self.block, self.nblocks = record.block, record.nblocks
        self.seq, self.flags = record.seq, record.flags
        self.seen = self.floor = None   # of a READ

    def last(self):
        """It has not changed anything later than this."""
        return min(self.end, self.fence)

    def blocks(self):
        return range(self.block, self.block + self.nblocks)


class Checker:
    """One disk. errors has a sentence for each thing that went wrong."""

    def __init__(self, disk, block_size, blocks, name='disk', errors_ok=False):
        self.disk, self.block_size, self.blocks = disk, block_size, blocks
        self.name = name
        self.errors_ok = errors_ok      # writes and reads may fail
        self.errors = []
        self.more_errors = 0
        self.count = collections.Counter()
        self.longest = 0                # time to an answer, ns
        self.pending = {}               # (run, id): Op
        self.versions = {}              # (run, seq): Op
        self.zeros = collections.defaultdict(list)
        # Of each block: when the newest write was submitted of which it is
        # known that it happened; the same of what is durable; writes that
        # are under way; the end of the last one.
        self.newest = [0] * blocks
        self.durable = [0] * blocks
        self.busy = [0] * blocks
        self.calm = [0] * blocks
        self.volatile = collections.deque()     # acknowledged, by their end
        self.fenced = {}                # run: since when
        self.top = {}                   # run: highest seq
        self.faults = []                # (time, number)
        # At a crash: acknowledged writes of which no FLUSH can have said
        # that they are durable, and those of which it is not known.
        self.lost = self.doubtful = 0
        self.flushed_at = 0             # end of the last FLUSH that succeeded
        self.crashes = 0

    def error(self, text):
        if len(self.errors) < 100:
            self.errors.append('%s: %s' % (self.name, text))
        else:
            self.more_errors += 1

    # ------------------------------------------------------------ history

    def feed(self, run, record):
        """The next record; those of several runs in the order of time."""
        kind = record.kind
        if kind == DONE:
            self._done(run, record)
        elif kind in (WRITE, ZERO, READ, FLUSH):
            self._submit(run, record)
        elif kind in (SEEN, BAD):
            self._seen(run, record)
        elif kind == MARK:
            self._mark(run, record)
        elif kind == END:
            self._end(run)

    def _submit(self, run, record):
        op = Op(run, record)
        self.pending[run, record.id] = op
        if run in self.fenced:
            op.fence = self.fenced[run]
        if op.kind == READ:
            op.seen = []
            op.floor = self.newest[op.block:op.block + op.nblocks]
        if op.kind not in (WRITE, ZERO):
            return
        self.top[run] = max(self.top.get(run, 0), op.seq)
        if op.kind == WRITE:
            self.versions[run, op.seq] = op
        for b in op.blocks():
            self.busy[b] += 1
            if op.kind == ZERO:
                self.zeros[b].append(op)
        if len(self.versions) % FORGET_EVERY == 0:
            self._forget()

    def _done(self, run, record):
        op = self.pending.pop((run, record.id), None)
        if op is None:
            self.error('operation %d of run %08x was answered twice or never '
                       'submitted' % (record.id, run))
            return
        op.end = record.time
        op.ok = record.result == 0
        self.longest = max(self.longest, op.end - op.submit)
        self.count['%s %s' % (('', 'write', 'zero', 'read', 'flush')[op.kind],
                              'ok' if op.ok else 'failed')] += 1
        if not op.ok:
            self._failed(op, record.result)
        if op.kind in (WRITE, ZERO):
            self._written(op)
        elif op.ok and op.kind == FLUSH:
            self._flushed(op)
        elif op.ok and op.kind == READ:
            self._read(op)

    def _failed(self, op, result):
        if self.errors_ok or op.run in self.fenced:
            return
        if op.kind == FLUSH:
            if not self.lost and not self.doubtful:
                self.error('FLUSH failed (%s) though nothing was lost%s' %
                           (os.strerror(-result), self._when(op.end)))
        else:
            self.error('%s of block %d failed: %s%s' % (
                ('', 'WRITE', 'WRITE_ZEROES', 'READ')[op.kind], op.block,
                os.strerror(-result), self._when(op.end)))

    def _written(self, op):
        for b in op.blocks():
            self.busy[b] -= 1
            self.calm[b] = max(self.calm[b], op.end)
            if op.ok:
                self.newest[b] = max(self.newest[b], op.submit)
        if not op.ok:
            return
        if op.submit > op.fence:
            self.error('%s was acknowledged though the disk belonged to '
                       'another run' % self._name(op))
        if op.flags & FUA:
            self._is_durable(op)
        else:
            self.volatile.append(op)

    def _is_durable(self, op):
        for b in op.blocks():
            self.durable[b] = max(self.durable[b], op.submit)

    def _flushed(self, op):
        if self.lost:
            self.error('FLUSH succeeded after %d acknowledged writes may '
                       'have been lost%s' % (self.lost, self._when(op.end)))
        while self.volatile and self.volatile[0].end < op.submit:
            self._is_durable(self.volatile.popleft())
        self.flushed_at = max(self.flushed_at, op.end)

    def _seen(self, run, record):
        op = self.pending.get((run, record.id))
        if op is None:
            self.error('a read that was never submitted has an answer')
            return
        op.seen.append((record.block, None if record.kind == BAD else
                        (record.flags, record.seq), record.nblocks))

    def _read(self, op):
        found = collections.defaultdict(dict)
        for number, key, mask in op.seen:
            found[number][key] = mask
        for number, keys in found.items():
            quiet = not self.busy[number] and self.calm[number] < op.submit
            bad = keys.pop(None, 0)
            if bad and quiet:
                self.count['garbage'] += 1
                self.error('block %d: a read brought garbage in sectors %#x%s'
                           % (number, bad, self._when(op.end)))
            if bad:
                continue
            self._judge(number, keys, op.floor[number - op.block], quiet,
                        'a read', op.end)
            if len(keys) > 1:
                continue
            v = self.versions.get(next(iter(keys)))
            if v and v.last() >= self.newest[number]:
                # It has happened: nothing older may come back.
                self.newest[number] = max(self.newest[number], v.submit)

    def _mark(self, run, record):
        what = record.block
        if what == CRASH:
            self.crash()
        elif what == FENCE:
            self._fence(run, record.time)
        elif what == ACK_LOSS:
            self.lost = self.doubtful = 0
        elif what == FAULT:
            self.faults.append((record.time, record.seq))

    def _fence(self, thief, when):
        for run in self.top:
            if run != thief:
                self.fenced.setdefault(run, when)
        for (run, _), op in self.pending.items():
            if run != thief:
                op.fence = min(op.fence, when)

    def crash(self):
        """The storage host loses what no FLUSH has made durable."""
        self.crashes += 1
        lost = sum(op.end > self.flushed_at for op in self.volatile)
        self.lost += lost
        self.doubtful += len(self.volatile) - lost
        self.volatile.clear()
        self.newest = list(self.durable)
        for op in self.pending.values():
            if op.kind == READ:
                op.floor = self.durable[op.block:op.block + op.nblocks]

    def _end(self, run):
        for (owner, ident), op in list(self.pending.items()):
            if owner == run:
                self.error('%s was never answered' % self._name(op))
                del self.pending[owner, ident]

    def _forget(self):
        """Writes that are history whatever happens."""
        for key, op in list(self.versions.items()):
            last = op.last()
            if all(last < min(self.durable[b], self.newest[b])
                   for b in op.blocks()):
                del self.versions[key]
        for b, ops in list(self.zeros.items()):
            self.zeros[b] = [op for op in ops if op.last() >=
                             min(self.durable[b], self.newest[b])]

    # ------------------------------------------------------------ content

    def _when(self, time):
        before = [number for when, number in self.faults if when <= time]
        return ', after fault %d' % before[-1] if before else ''

    def _name(self, op):
        state = 'never answered' if op.end == NEVER else \
            'acknowledged' if op.ok else 'failed'
        return '%s of blocks %d+%d, seq %d of run %08x (submitted %.6f, ' \
            '%s%s)' % (('', 'write', 'zeroing', 'read', 'flush')[op.kind],
                       op.block, op.nblocks, op.seq, op.run, op.submit / 1e9,
                       state, '' if op.end == NEVER else
                       ' %.6f' % (op.end / 1e9))

    def _legal_zero(self, number, floor):
        return floor == 0 or any(op.last() >= floor
                                 for op in self.zeros[number])

    def _judge(self, number, keys, floor, quiet, who, when):
        """keys: {(run, seq): mask} as they stand in the block."""
        where = 'block %d: %s found ' % (number, who)
        after = self._when(when)
        for key, mask in keys.items():
            part = '' if len(keys) == 1 else ' in sectors %#x' % mask
            if key == (0, 0):
                if not self._legal_zero(number, floor):
                    self.count['lost'] += 1
                    self.error('%szeros%s, lost is %s%s' % (
                        where, part, self._newest(number, floor), after))
                continue
            op = self.versions.get(key)
            if op is None or number not in op.blocks():
                self.count['stale'] += 1
                known = key[0] in self.top and key[1] <= self.top[key[0]]
                self.error('%sseq %d of run %08x%s, %s%s' % (
                    where, key[1], key[0], part,
                    'which is long overwritten' if known else
                    'which nobody has submitted', after))
            elif op.submit > op.fence:
                self.count['stale'] += 1
                self.error('%s%s, from a run that had lost the disk%s' % (
                    where, self._name(op), after))
            elif op.last() < floor:
                self.count['stale'] += 1
                self.error('%s%s%s, which is older than %s%s' % (
                    where, self._name(op), part,
                    self._newest(number, floor), after))
        if len(keys) > 1 and quiet:
            self.count['torn'] += 1
            self.error('%sit torn: %s%s' % (where, ', '.join(
                'seq %d of run %08x in sectors %#x' % (seq, run, mask)
                for (run, seq), mask in sorted(keys.items())), after))

    def _newest(self, number, floor):
        for op in reversed(list(self.versions.values())):
            if op.submit == floor and number in op.blocks():
                return 'the ' + self._name(op)
        return 'a write submitted %.6f' % (floor / 1e9)

    def block(self, number, data, who='the disk'):
        """Content of a block while nothing is under way to it."""
        self.count['blocks checked'] += 1
        keys, bad = stamp.look(data, number, self.disk)
        for text in bad:
            self.count['garbage'] += 1
            self.error('block %d: %s: %s' % (number, who, text))
        if keys:
            self._judge(number, keys, self.newest[number], True, who, NEVER)

    def content(self, path, who=None, direct=None):
        """All of a device or a backing file, past the page cache if it is a
        device."""
        who = who or path
        with Blocks(path, self.block_size, direct) as disk:
            for number in range(self.blocks):
                self.block(number, disk.read(number), who)

    def summary(self):
        return ', '.join('%d %s' % (n, what) for what, n in
                         sorted(self.count.items()))


class Blocks:
    """Reads blocks of a device or a file, a MiB at a time."""

    def __init__(self, path, block_size, direct=None):
        flags = os.O_RDONLY
        if direct is None:
            direct = stat.S_ISBLK(os.stat(path).st_mode)
        if direct:
            flags |= os.O_DIRECT
        self.fd = os.open(path, flags)
        self.size = block_size
        self.buf = mmap.mmap(-1, 1 << 20)
        self.start = self.got = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fd)

    def read(self, number):
        at = number * self.size
        if not self.start <= at < self.start + self.got:
            self.start = at
            self.got = os.preadv(self.fd, [self.buf], at)
        at -= self.start
        return self.buf[at:at + self.size]


class History:
    """The logs of a disk's runs, one after the other or at once, fed to a
    Checker in the order of time while they still grow."""

    def __init__(self, checker):
        self.checker = checker
        self.logs = []          # [reader, records not fed yet, last, ended]

    def add(self, reader):
        self.logs.append([reader, collections.deque(), 0, False])

    def end(self, reader):
        """This run writes no more, with or without an END."""
        for log in self.logs:
            if log[0] is reader:
                log[3] = True

    def poll(self, everything=False):
        """What is certain by now; everything: nobody writes any more."""
        for log in self.logs:
            for record in log[0].records():
                log[1].append(record)
                log[2] = max(log[2], record.time)
                log[3] = log[3] or record.kind == END
        # Of a run that is silent nothing is known after its last record.
        until = min((log[2] for log in self.logs if not log[3]),
                    default=NEVER)
        if everything:
            until = NEVER
        feed = self.checker.feed
        while True:
            first = None
            for log in self.logs:
                if log[1] and (first is None or
                               log[1][0].time < first[1][0].time):
                    first = log
            if first is None or first[1][0].time > until:
                break
            feed(first[0].head.run, first[1].popleft())
        for log in self.logs:
            if log[3] and not log[1]:
                log[0].close()
        self.logs = [log for log in self.logs if not log[3] or log[1]]


def check_logs(paths, errors_ok=False, name='disk'):
    """A Checker that knows everything that is in complete logs."""
    readers = [stamp.Reader(path) for path in paths]
    head = readers[0].head
    checker = Checker(head.disk, head.block_size, head.blocks, name,
                      errors_ok)
    history = History(checker)
    for reader in readers:
        history.add(reader)
        history.end(reader)
    history.poll()
    return checker


def main():
    parser = argparse.ArgumentParser(
        description='Checks a disk against the logs of the load that it had; '
        'prints what is wrong and ends with 1 if anything is.')
    parser.add_argument('--log', action='append', required=True,
                        help='of a run; may be repeated')
    parser.add_argument('--disk', action='append', default=[],
                        help='device or file to look at; may be repeated')
    parser.add_argument('--lost-cache', action='store_true',
                        help='the storage host lost its cache at the end')
    parser.add_argument('--errors-ok', action='store_true',
                        help='reads and writes may have failed')
    parser.add_argument('--direct', action='store_true', default=None,
                        help='read past the page cache also from a file')
    args = parser.parse_args()
    checker = check_logs(args.log, args.errors_ok)
    if args.lost_cache:
        checker.crash()
    for path in args.disk:
        checker.content(path, direct=args.direct)
    for text in checker.errors:
        print(text)
    if checker.more_errors:
        print('and %d more' % checker.more_errors)
    print('# ' + checker.summary())
    sys.exit(1 if checker.errors else 0)


if __name__ == '__main__':
    main()
