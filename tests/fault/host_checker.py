#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The fault lab's checker finds each kind of error that is planted, and
nothing where there is nothing."""

import errno
import os
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'lib')]

import checker
import stamp
from harness import TOP, check, equal, main, test, tmpdir
from stamp import (ACK_LOSS, BAD, CRASH, DONE, END, FENCE, FLUSH, FUA, MARK, READ,
                   SEEN, WRITE, ZERO)

BLOCKS = 64
RUN, DISK = 77, 3


class Story:
    """A log and a disk, written by hand; time is what comes next."""

    clock = [1000]

    def __init__(self, run=RUN, disk=None):
        self.run = run
        self.path = os.path.join(tmpdir(), 'log')
        self.log = stamp.Log(self.path, run, DISK, 4096, BLOCKS, 1)
        self.data = disk if disk is not None else bytearray(4096 * BLOCKS)
        self.ident = 0
        self.seq = 0
        self.of = {}

    def note(self, *args, **kw):
        self.clock[0] += 1
        self.log.note(*args, when=self.clock[0], **kw)

    def begin(self, kind, block=0, n=1, flags=0):
        self.ident += 1
        seq = 0
        if kind in (WRITE, ZERO):
            self.seq += 1
            seq = self.seq
        self.of[self.ident] = seq, block, n, kind
        self.note(kind, self.ident, block, n, seq=seq, flags=flags)
        return self.ident

    def stamp(self, ident, number):
        seq, _, _, kind = self.of[ident]
        return bytes(4096) if kind == ZERO else \
            stamp.block(self.run, number, seq, 0, DISK)

    def land(self, ident):
        _, block, n, _ = self.of[ident]
        for b in range(block, block + n):
            self.data[b * 4096:(b + 1) * 4096] = self.stamp(ident, b)

    def done(self, ident, result=0):
        self.note(DONE, ident, result=result)

    def write(self, block, n=1, flags=0, kind=WRITE):
        ident = self.begin(kind, block, n, flags)
        self.land(ident)
        self.done(ident)
        return ident

    def flush(self, result=0):
        self.done(self.begin(FLUSH), result)

    def read(self, block, ident=None):
        """Finds what IDENT wrote, or zeros."""
        reader = self.begin(READ, block)
        self.saw(reader, block, ident)
        self.done(reader)

    def saw(self, reader, block, ident=None, mask=0xff):
        seq = self.of[ident][0] if ident else 0
        self.note(SEEN, reader, block, mask, seq=seq,
                  flags=self.run if ident else 0)

    def mark(self, what):
        self.note(MARK, 0, what)

    def end(self):
        self.note(END, 0)
        self.log.close()


def verdict(*stories, crash=False, **kw):
    """The checker's errors about the logs and the disk of the last one."""
    for story in stories:
        if not story.log.file.closed:
            story.end()
    path = os.path.join(tmpdir(), 'disk')
    with open(path, 'wb') as file:
        file.write(stories[-1].data)
    c = checker.check_logs([s.path for s in stories], **kw)
    if crash:
        c.crash()
    c.content(path, 'the disk')
    return c.errors


def finds(errors, *words):
    check(errors, 'nothing was found')
    equal(len(errors), 1, 'errors: %r' % errors)
    for word in words:
        check(word in errors[0], '"%s" is not in "%s"' % (word, errors[0]))


@test
def a_disk_that_is_right_passes():
    s = Story()
    for i in range(200):
        s.write(i * 7 % 60, 1 + i % 4, kind=ZERO if i % 9 == 0 else WRITE)
        if i % 10 == 0:
            s.flush()
    a = s.begin(WRITE, 61)
    b = s.begin(WRITE, 62)
    s.land(b)
    s.done(a, -errno.EIO)
    s.done(b, -errno.EIO)
    equal(verdict(s, errors_ok=True), [])


@test
def a_lost_write_is_found():
    s = Story()
    s.write(5)
    lost = s.begin(WRITE, 5)
    s.done(lost)
    finds(verdict(s), 'block 5', 'older than', 'seq 2')


@test
def a_first_write_that_is_lost_is_found():
    s = Story()
    s.done(s.begin(WRITE, 5))
    finds(verdict(s), 'block 5', 'zeros', 'seq 1')


@test
def a_lost_zeroing_is_found():
    s = Story()
    s.write(5)
    s.done(s.begin(ZERO, 5))
    finds(verdict(s), 'block 5', 'older than')


@test
def a_stale_write_is_found():
    s = Story()
    old = s.begin(WRITE, 9)     # fails, and lands after a newer one
    s.done(old, -errno.EIO)
    s.write(9)
    s.land(old)
    finds(verdict(s, errors_ok=True), 'block 9', 'seq 1', 'older than')


@test
def a_stale_write_is_found_that_only_a_read_has_seen():
    s = Story()
    old = s.write(9)
    new = s.write(9)
    s.read(9, old)
    s.read(9, new)
    finds(verdict(s), 'block 9', 'a read found', 'older than')


@test
def what_a_read_has_seen_does_not_go_away():
    s = Story()
    old = s.write(9)
    new = s.begin(WRITE, 9)
    s.read(9, old)
    s.read(9, new)
    s.read(9, old)
    s.land(new)
    s.done(new)
    finds(verdict(s), 'block 9', 'a read found', 'seq 1')


@test
def a_read_beside_a_write_may_find_either_or_both():
    s = Story()
    old = s.write(9)
    reader = s.begin(READ, 9)
    new = s.begin(WRITE, 9)
    s.saw(reader, 9, old, 0x0f)
    s.saw(reader, 9, new, 0xf0)
    s.done(reader)
    s.read(9, old)
    s.land(new)
    s.done(new)
    equal(verdict(s), [])


@test
def garbage_in_a_read_is_found_unless_a_write_was_under_way():
    for busy in (False, True):
        s = Story()
        s.write(9)
        reader = s.begin(READ, 9)
        if busy:
            s.write(9)
        s.note(BAD, reader, 9, 0x10)
        s.done(reader)
        if busy:
            equal(verdict(s), [])
        else:
            finds(verdict(s), 'block 9', 'garbage', '0x10')


@test
def a_torn_block_is_found():
    s = Story()
    old = s.write(20, 3)
    s.write(20, 3)
    s.data[21 * 4096:21 * 4096 + 512] = s.stamp(old, 21)[:512]
    errors = verdict(s)
    equal(len(errors), 2, repr(errors))
    check(any('torn' in e for e in errors), repr(errors))
    check(all('block 21' in e for e in errors), repr(errors))


@test
def a_block_torn_by_a_write_that_failed_is_found():
    s = Story()
    s.write(20)
    torn = s.begin(WRITE, 20)
    s.data[20 * 4096:20 * 4096 + 512] = s.stamp(torn, 20)[:512]
    s.done(torn, -errno.EIO)
    finds(verdict(s, errors_ok=True), 'block 20', 'torn')


@test
def a_torn_read_is_found():
    s = Story()
    old = s.write(20)
    new = s.write(20)
    reader = s.begin(READ, 20)
    s.saw(reader, 20, old, 0x01)
    s.saw(reader, 20, new, 0xfe)
    s.done(reader)
    errors = verdict(s)
    check(any('torn' in e for e in errors), repr(errors))


@test
def garbage_is_found_whichever_byte_it_is():
    for at in (0, 5, 9, 17, 25, 33, 41, 45, 48, 300, 511, 512, 4095):
        s = Story()
        s.write(0, BLOCKS)
        s.data[11 * 4096 + at] ^= 0x40
        finds(verdict(s), 'block 11', 'sector %d' % (at // 512))


@test
def a_block_in_the_wrong_place_is_found():
    s = Story()
    s.write(0, BLOCKS)
    s.data[4 * 4096:5 * 4096] = s.data[7 * 4096:8 * 4096]
    errors = verdict(s)
    equal(len(errors), 8, repr(errors))
    check(all('block 4' in e and 'belongs to' in e for e in errors),
          repr(errors))


@test
def a_block_of_another_disk_is_found():
    s = Story()
    s.write(0, BLOCKS)
    s.data[:4096] = stamp.block(RUN, 0, 1, 0, DISK + 1)
    equal(len(verdict(s)), 8)


@test
def a_write_that_nobody_made_is_found():
    s = Story()
    s.write(0, BLOCKS)
    s.data[:4096] = stamp.block(RUN, 0, 99, 0, DISK)
    finds(verdict(s), 'block 0', 'nobody')


@test
def what_is_never_answered_is_found():
    s = Story()
    s.begin(WRITE, 1)
    finds(verdict(s), 'never answered')
    s = Story()
    s.begin(FLUSH)
    finds(verdict(s), 'never answered')


@test
def an_error_is_found():
    for kind in (WRITE, ZERO, READ, FLUSH):
        s = Story()
        s.done(s.begin(kind, 1), -errno.EIO)
        finds(verdict(s), 'failed')


@test
def a_second_answer_is_found():
    s = Story()
    s.done(s.write(3))
    finds(verdict(s), 'twice')


# ------------------------------------------------------------ FLUSH


@test
def after_a_crash_only_what_came_after_flush_may_be_lost():
    s = Story()
    s.write(1)
    s.flush()
    kept = bytes(s.data)
    s.write(1)
    s.write(2)
    equal(verdict(s, crash=True), [])
    s.data[:] = kept
    equal(verdict(s, crash=True), [])
    check(len(verdict(s)) == 2, 'without a crash that is a loss')


@test
def a_write_lost_although_flushed_is_found():
    s = Story()
    s.write(1)
    kept = bytes(s.data)
    s.write(1)
    s.flush()
    s.data[:] = kept
    finds(verdict(s, crash=True), 'block 1', 'seq 2')


@test
def a_write_lost_although_fua_is_found():
    s = Story()
    s.write(1)
    kept = bytes(s.data)
    s.write(1, flags=FUA)
    s.data[:] = kept
    finds(verdict(s, crash=True), 'block 1', 'seq 2')


@test
def flush_does_not_cover_what_was_under_way_when_it_began():
    s = Story()
    s.write(1)
    s.flush()
    kept = bytes(s.data)
    ident = s.begin(WRITE, 1)
    flush = s.begin(FLUSH)
    s.done(ident)
    s.done(flush)
    s.data[:] = kept
    equal(verdict(s, crash=True), [])


@test
def garbage_after_a_crash_is_found():
    s = Story()
    s.write(1)
    s.flush()
    first = s.write(1)
    s.write(1)
    s.data[4096:8192] = s.stamp(first, 1)
    equal(verdict(s, crash=True), [])
    s.data[5000] ^= 1
    finds(verdict(s, crash=True), 'block 1', 'sector 1')


@test
def flush_that_succeeds_after_a_loss_is_found():
    s = Story()
    s.write(1)
    s.mark(CRASH)
    s.flush()
    finds(verdict(s), 'FLUSH succeeded')


@test
def flush_must_fail_after_a_loss_until_it_is_acknowledged():
    s = Story()
    s.write(1)
    s.mark(CRASH)
    s.flush(-errno.EIO)
    s.write(2)
    s.flush(-errno.EIO)
    s.mark(ACK_LOSS)
    s.flush()
    equal(verdict(s), [])


@test
def after_a_loss_in_doubt_flush_may_fail_or_not():
    for result in (0, -errno.EIO):
        s = Story()
        s.write(1)
        flush = s.begin(FLUSH)      # it may have been sent after the next
        s.write(2)
        s.done(flush)
        s.mark(CRASH)
        s.flush(result)
        equal(verdict(s), [])


@test
def flush_must_not_fail_after_a_crash_that_lost_nothing():
    s = Story()
    s.write(1)
    s.flush()
    s.mark(CRASH)
    s.flush()
    equal(verdict(s), [])
    s = Story()
    s.write(1)
    s.flush()
    s.mark(CRASH)
    s.flush(-errno.EIO)
    finds(verdict(s), 'though nothing was lost')


# ------------------------------------------------------------ several runs


@test
def a_second_run_goes_on_where_the_first_ended():
    a = Story()
    first = a.write(1)
    a.write(2)
    a.end()
    b = Story(78, a.data)
    b.write(1)
    equal(verdict(a, b), [])
    b.data[4096:8192] = a.stamp(first, 1)
    finds(verdict(a, b), 'block 1', 'seq 1')


@test
def a_parked_write_that_lands_after_a_take_over_is_found():
    a = Story()
    parked = a.begin(WRITE, 1)
    b = Story(78, a.data)
    b.mark(FENCE)
    b.write(1)
    a.done(parked, -errno.EIO)
    equal(verdict(a, b), [])
    a.land(parked)
    finds(verdict(a, b), 'block 1', 'seq 1 of run 0000004d', 'older than')


@test
def a_write_begun_after_the_take_over_is_found():
    a = Story()
    a.write(2)
    b = Story(78, a.data)
    b.mark(FENCE)
    late = a.begin(WRITE, 1)
    a.land(late)
    a.done(late, -errno.EIO)
    finds(verdict(a, b), 'block 1', 'had lost the disk')


@test
def a_write_acknowledged_after_the_take_over_is_found():
    a = Story()
    a.write(2)
    b = Story(78, a.data)
    b.mark(FENCE)
    late = a.begin(WRITE, 1)
    a.done(late)
    errors = verdict(a, b)
    check(any('belonged to another' in e for e in errors), repr(errors))


# ------------------------------------------------------------ live


@test
def a_log_is_checked_while_it_grows():
    s = Story()
    reader = stamp.Reader(s.path)
    c = checker.Checker(DISK, 4096, BLOCKS)
    history = checker.History(c)
    history.add(reader)
    for i in range(1000):
        s.write(i % BLOCKS)
        if i % 3 == 0:
            s.read(i % BLOCKS, s.ident)
        s.log.commit()
        history.poll()
    equal(c.errors, [])
    s.read(5, 6)
    s.log.commit()
    history.poll()
    finds(c.errors, 'block 5')


@test
def old_writes_are_forgotten_and_still_known_as_old():
    checker.FORGET_EVERY, keep = 500, checker.FORGET_EVERY
    try:
        s = Story()
        first = s.write(0)
        for i in range(2000):
            s.write(i % BLOCKS)
            if i % 50 == 0:
                s.flush()
        s.end()
        c = checker.check_logs([s.path])
        check(len(c.versions) < 700, '%d are kept' % len(c.versions))
        s.data[:4096] = s.stamp(first, 0)
        finds(verdict(s), 'block 0', 'long overwritten')
    finally:
        checker.FORGET_EVERY = keep


# ------------------------------------------------------------ load.c


def load_binary():
    done = subprocess.run(['make', '-s', '-C', HERE], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise AssertionError('load.c: ' + done.stdout.decode()[-500:])
    return os.path.join(TOP, 'build', 'fault', 'load')


@test
def the_load_writes_what_the_checker_understands():
    folder = tmpdir()
    path, log = os.path.join(folder, 'd'), os.path.join(folder, 'log')
    with open(path, 'wb') as file:
        file.truncate(2 << 20)
    with subprocess.Popen(
            [load_binary(), '--device', path, '--log', log, '--run', '5',
             '--disk', '1', '--buffered', '--zeros', '3', '--seed', '9'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True) as process:
        answered = 0
        while answered < 3000:
            words = process.stdout.readline().split()
            check(words, 'the load has ended')
            if words[0] == 'progress':
                answered = int(words[2])
        process.stdin.close()
        process.stdout.read()
        equal(process.wait(), 0, 'exit status')
    c = checker.check_logs([log])
    c.content(path)
    equal(c.errors, [])
    for what in ('write ok', 'zero ok', 'read ok', 'flush ok'):
        check(c.count[what] > 0, 'no ' + what)
    # And what is planted there is found as well.
    newest = max((op for op in c.versions.values() if op.ok),
                 key=lambda op: op.seq)
    with open(path, 'r+b') as file:
        file.seek(newest.block * 4096)
        good = file.read(4096)
        file.seek(newest.block * 4096)
        file.write(stamp.block(5, newest.block, 1, 0, 1))
    c = checker.check_logs([log])
    c.content(path)
    equal(len(c.errors), 1, repr(c.errors))
    done = subprocess.run([os.path.join(HERE, 'checker.py'), '--log', log,
                           '--disk', path], stdout=subprocess.PIPE,
                          text=True, check=False)
    equal(done.returncode, 1, 'exit status of checker.py')
    check('block %d' % newest.block in done.stdout, done.stdout)
    with open(path, 'r+b') as file:
        file.seek(newest.block * 4096)
        file.write(good)
    equal(subprocess.run([os.path.join(HERE, 'checker.py'), '--log', log,
                          '--disk', path], stdout=subprocess.DEVNULL,
                         check=False).returncode, 0, 'exit status')


@test
def the_load_reports_garbage_that_it_reads():
    folder = tmpdir()
    path, log = os.path.join(folder, 'd'), os.path.join(folder, 'log')
    with open(path, 'wb') as file:
        file.write(struct.pack('<I', 1) * (1 << 19))
    with subprocess.Popen(
            [load_binary(), '--device', path, '--log', log, '--run', '5',
             '--disk', '1', '--buffered', '--reads', '100'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True) as process:
        for line in process.stdout:
            if line.startswith('progress') and int(line.split()[2]) > 100:
                break
        process.stdin.close()
        process.stdout.read()
    c = checker.check_logs([log])
    check(c.count['garbage'] > 10 and 'garbage' in c.errors[0], repr(c.errors[:1]))


if __name__ == '__main__':
    main()
