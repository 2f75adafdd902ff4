# SPDX-License-Identifier: GPL-2.0
"""What the fault lab writes onto a disk, and what it notes about that.

A block is stamped sector by sector, so that a block of which one half is
older than the other is found out. All of a sector follows from its header:

    0 u32 magic   4 u32 CRC-32 of bytes 8..47   8 u64 run    16 u64 block
   24 u64 seq    32 u64 time, ns (monotonic)   40 u32 sector 44 u32 disk
   48 one 64-bit word, 58 times: mix(run, block, seq, sector)

A run is one load generator from start to end and has a number of 32 bits;
seq grows with each of its writes. The log of a run is a header and records of 48 bytes; what stands
earlier happened earlier. load.c writes the same two formats."""

import collections
import os
import struct
import time
import zlib

SECTOR = 512
STAMP_MAGIC = 0x42465856        # "VXFB"
LOG_MAGIC = 0x474F4C46          # "FLOG"
LOG_VERSION = 1

_SECTOR = struct.Struct('<IIQQQQII')
_HEAD = struct.Struct('<IIQIIQQI20x')
_RECORD = struct.Struct('<IIQQQIiQ')
assert (_SECTOR.size, _HEAD.size, _RECORD.size) == (48, 64, 48)
HEAD_SIZE, RECORD_SIZE = _HEAD.size, _RECORD.size

Stamp = collections.namedtuple(
    'Stamp', 'magic crc run block seq time sector disk')
Head = collections.namedtuple(
    'Head', 'magic version run disk block_size blocks seed unused')
# kind, flags, time: see below. id: of the operation. result: 0 or -errno.
Record = collections.namedtuple(
    'Record', 'kind flags time id block nblocks result seq')

# Kinds of records. An operation is noted before it is submitted; its DONE
# after its end is known. Each block that a READ brought is a SEEN (nblocks:
# mask of the sectors, flags: the run that wrote them) or a BAD before it.
WRITE, ZERO, READ, FLUSH, DONE, SEEN, BAD, MARK, END = range(1, 10)
FUA = 1                         # flag of WRITE

# What a MARK says, in its field block.
# CRASH: the storage host loses its cache here. FENCE: what other runs have
# not had answered by now never lands. ACK_LOSS: FLUSH may succeed again.
# FAULT: one was injected, seq has its number.
CRASH, FENCE, ACK_LOSS, FAULT = range(1, 5)

_MASK = (1 << 64) - 1


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def mix(run, block, seq, sector):
    return (run + block * 0xC2B2AE3D27D4EB4F + seq * 0x9E3779B97F4A7C15 +
            sector * 0x165667B19E3779F9) & _MASK


def sector(run, block, seq, when, index, disk):
    tail = _SECTOR.pack(0, 0, run, block, seq, when, index, disk)[8:]
    return struct.pack('<II', STAMP_MAGIC, zlib.crc32(tail)) + tail + \
        struct.pack('<Q', mix(run, block, seq, index)) * 58


def block(run, number, seq, when, disk, size=4096):
    return b''.join(sector(run, number, seq, when, i, disk)
                    for i in range(size // SECTOR))


_ZERO = bytes(SECTOR)


def look(data, number, disk):
    """What is in a block: ({(run, seq): mask of sectors}, complaints).

    Zeros are (0, 0)."""
    found, bad = {}, []
    for i in range(len(data) // SECTOR):
        part = bytes(data[i * SECTOR:(i + 1) * SECTOR])
        if part == _ZERO:
            key = 0, 0
        else:
            s = Stamp(*_SECTOR.unpack_from(part))
            why = None
            if s.magic != STAMP_MAGIC or s.crc != zlib.crc32(part[8:48]):
                why = 'garbage: ' + part[:16].hex()
            elif (s.block, s.sector, s.disk) != (number, i, disk):
                why = 'what belongs to disk %d block %d sector %d' % (
                    s.disk, s.block, s.sector)
            elif part[48:] != struct.pack('<Q', mix(s.run, s.block, s.seq,
                                                    i)) * 58:
                why = 'the header of seq %d and a damaged body' % s.seq
            if why:
                bad.append('sector %d has %s' % (i, why))
                continue
            key = s.run, s.seq
        found[key] = found.get(key, 0) | 1 << i
    return found, bad


class Log:
    """Writes a run's log; each call is in the file when it returns."""

    def __init__(self, path, run, disk, block_size, blocks, seed):
        self.file = open(path, 'wb', buffering=0)
        self.file.write(_HEAD.pack(LOG_MAGIC, LOG_VERSION, run, disk,
                                   block_size, blocks, seed, 0))
        self.pending = []

    def note(self, kind, ident, block=0, nblocks=0, result=0, seq=0, flags=0,
             when=None):
        """Kept until commit(), which must come before the submission."""
        self.pending.append(_RECORD.pack(kind, flags, when or now(), ident,
                                         block, nblocks, result, seq))

    def commit(self):
        if self.pending:
            self.file.write(b''.join(self.pending))
            self.pending = []

    def close(self):
        self.commit()
        self.file.close()


class Reader:
    """Reads a log, also one that still grows."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, 'rb')
        raw = self.file.read(HEAD_SIZE)
        if len(raw) < HEAD_SIZE:
            raise ValueError(path + ' has no header')
        self.head = Head(*_HEAD.unpack(raw))
        if self.head.magic != LOG_MAGIC or self.head.version != LOG_VERSION:
            raise ValueError(path + ' is not a log of the fault lab')
        self.rest = b''

    def records(self):
        """Those that were not read yet; a last, incomplete one stays."""
        data = self.rest + self.file.read()
        whole = len(data) - len(data) % RECORD_SIZE
        self.rest = data[whole:]
        return [Record(*fields) for fields in
                _RECORD.iter_unpack(data[:whole])]

    def close(self):
        self.file.close()


def wait_for(path, timeout=60):
    """A Reader as soon as the run has written its header."""
    end = time.monotonic() + timeout
    while True:
        if os.path.exists(path) and os.path.getsize(path) >= HEAD_SIZE:
            return Reader(path)
        if time.monotonic() > end:
            raise TimeoutError('no log appears in ' + path)
        time.sleep(0.02)
