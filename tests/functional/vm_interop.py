#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: the driver with a server that behaves as existing v34 servers
do, and vxhsd with a client that behaves as existing v34 clients do."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import Vxhsd, check, equal, main, test, tmpdir
from vm import Raw, attach, detach, refused, settle, sh, show, vxhsctl
from vxhs import V34_READ, V34_STAT, V34_WRITE

MIB = 16


@test
def the_driver_with_a_v34_server():
    frames = []

    def look(conn, msg, head, payload):
        frames.append((id(conn), msg, len(payload)))
        return False

    disk = vxhs.Disk(MIB << 20)
    with vxhs.V34Server({'disk0': disk}, hook=look) as d:
        out, err = vxhsctl('attach', vm.host(d), 'disk0', '--lanes', 3)
        for word in ('v34', 'flush', 'authentication'):
            check(word in err, '"%s" is not in the warning: %s' % (word, err))
        device = out.strip()
        session = show(device)['session']
        equal((session['dialect'], session['lanes']), ('v34', 3))
        equal(show(device)['size'], MIB << 20)
        queue = '/sys/block/%s/queue/' % os.path.basename(device)
        for name, want in (('write_cache', 'write through'), ('fua', '0'),
                           ('discard_max_bytes', '0'),
                           ('write_zeroes_max_bytes', '0')):
            with open(queue + name) as file:
                equal(file.read().strip(), want, name)
        model = bytearray(MIB << 20)
        rng = random.Random(34)
        with Raw(device) as raw:
            for _ in range(60):
                n = rng.choice((512, 4096, 65536, 1 << 20))
                offset = rng.randrange(0, (MIB << 20) - n, 512)
                data = rng.randbytes(n)
                raw.write(data, offset)
                model[offset:offset + n] = data
            raw.flush()
            for offset in range(0, MIB << 20, 1 << 20):
                equal(raw.read(offset, 1 << 20),
                      bytes(model[offset:offset + (1 << 20)]))
        check(vm.run('blkdiscard', device).returncode != 0, 'a discard worked')
        sh('blkdiscard -z -o 0 -l 1M ' + device)
        with Raw(device) as raw:
            equal(raw.read(0, 1 << 20), bytes(1 << 20), 'zeroed by writes')
        settle()
        detach(device)
        vm.gone(d)
        equal(d.errors, [])

    # Nothing but what such a server knows, all of it well-formed.
    equal({m.op for _, m, _ in frames} - {V34_STAT, V34_READ, V34_WRITE},
          set(), 'other opcodes')
    equal(len({c for c, _, _ in frames}), 3, 'connections used')
    greeted = set()
    for conn, m, _ in frames:
        equal((m.err, m.nbytes, m.seqno, m.remote_hdl, m.remote_flags, m.pad0,
               m.pad1, m.pad2, m.trailer),
              (0, 0, 0, 0, 0, 0, bytes(4), bytes(4), bytes(64)), 'zero fields')
        equal(m.crc, m.cookie & 0xff, 'crc')
        equal(m.target, b'disk0'.ljust(64, b'\0'), 'target')
        check(m.op == V34_STAT or conn in greeted, 'I/O before STAT')
        if m.op == V34_STAT:
            equal((m.data_type, m.payload_size, m.flags, m.io_flags),
                  (2, 0, 0x30, 0), 'STAT')
            got = vxhs.get_offer(m.offer)
            if greeted:             # the session's dialect is settled
                equal(m.offer, bytes(28), 'a late offer')
            else:
                equal((got.magic, got.min, got.max, got.zero),
                      (vxhs.OFFER_MAGIC, 1, 1, bytes(12)), 'offer')
            greeted.add(conn)
        elif m.op == V34_READ:
            equal((m.data_type, m.payload_size, m.flags, m.io_flags),
                  (1, 0, 0x11, 0x100), 'READ')
        else:
            equal((m.data_type, m.payload_size, m.flags, m.io_flags),
                  (1, m.size, 0x09, 0x100), 'WRITE')
        if m.op != V34_STAT:
            equal(m.offer, bytes(28), 'an offer outside STAT')
            check(0 < m.size and m.offset + m.size <= MIB << 20, 'range')


@test
def replies_out_of_order_and_in_pieces():
    held = []

    def shuffle(conn, msg, head, payload):
        if msg.op != V34_READ:
            return False
        data = disk.read(msg.offset, msg.size)
        conn.dribble(bytes(vxhs.V34Server.head(head, data, None, 1)) +
                     data[:40])
        conn.send(data[40:])
        return True

    def reorder(conn, msg, head, payload):
        if msg.op != V34_READ:
            return False
        data = disk.read(msg.offset, msg.size)
        held.append(bytes(vxhs.V34Server.head(head, data, None, 1)) + data)
        if len(held) >= 4 or conn.start == conn.end:
            for answer in reversed(held):
                conn.send(answer)
            held.clear()
        return True

    disk = vxhs.Disk(1 << 20)
    disk.write(0, random.randbytes(1 << 20))
    for hook in (shuffle, reorder):
        with vxhs.V34Server({'d': disk}, hook=hook) as d:
            device = attach(d, 'd', '--lanes', 1)
            out = os.path.join(tmpdir(), 'out')
            sh('fio --name=r --filename=%s --rw=randread --bs=4k --iodepth=16 '
               '--ioengine=io_uring --direct=1 --io_size=1m --size=1m '
               '--output=%s' % (device, out))
            with Raw(device) as raw:
                equal(raw.read(0, 1 << 20), disk.read(0, 1 << 20))
            settle()
            detach(device)
            equal(d.errors, [])


@test
def errors_of_a_v34_server():
    error = [0]

    def err(conn, msg, head, payload):
        if msg.op == V34_STAT or not error[0]:
            return False
        conn.send(vxhs.V34Server.head(head, b'', error[0]))
        return True

    with vxhs.V34Server({'d': vxhs.Disk(1 << 20)}, hook=err) as d:
        device = attach(d, 'd', '--lanes', 1)
        settle()
        with Raw(device) as raw:
            for number in (5, -5, 62, 2, 12345):
                error[0] = number
                vm.fails(5, raw.read, 0)
                vm.fails(5, raw.write, bytes(4096))
                error[0] = 0
                raw.read(0)         # the lane lives
        check(show(device)['errors'] >= 10, 'errors are not counted')
        equal(show(device)['session']['lanes_up'], 1)
        detach(device)
        equal(d.accepted, 1, 'connections')


@test
def what_a_v34_server_may_not_do():
    def attach_fails(words, **kw):
        with vxhs.V34Server({'d': vxhs.Disk(1 << 20)}, **kw) as d:
            refused(words, 'attach', vm.host(d), 'd')
            vm.gone(d)

    def stat(size=None, payload=None, err=0):
        def hook(conn, msg, head, body):
            data = vxhs.kvset(size) if payload is None else payload
            conn.send(vxhs.V34Server.head(head, data, err, 2, True), data)
            return True
        return hook

    with vxhs.V34Server({}) as d:   # "no such vdisk" looks like this there
        refused('no vdisk', 'attach', vm.host(d), 'nope')
    attach_fails('', hook=stat(0))
    attach_fails('size', hook=stat(1000))
    attach_fails('size', hook=stat(1 << 63))
    attach_fails('size', hook=stat((1 << 64) - 512))
    attach_fails('', hook=stat(payload=b'', err=2))
    attach_fails('vdisk_size_bytes', hook=stat(payload=b''))
    attach_fails('vdisk_size_bytes', hook=stat(payload=b'x' * 48))
    attach_fails('vdisk_size_bytes', hook=stat(payload=vxhs.kvset(1)[:40]))
    attach_fails('', hook=stat(payload=bytes(1 << 20)))
    with vxhs.V34Server({'d': vxhs.Disk(1 << 20)}) as d:
        refused('8', 'attach', vm.host(d), 'd', '--lanes', '9')


@test
def vxhsd_with_v34_clients_beside_the_driver():
    with Vxhsd('d=memory,size=16M', 'e=memory,size=16M') as d:
        device = attach(d, 'd', '--shared')
        c = vxhs.V34Client(d.addr, d.port, 'd')
        equal(c.stat(), (0, 16 << 20))
        data = random.randbytes(65536)
        equal(c.write(4096, data), 0)
        with Raw(device) as raw:
            equal(raw.read(4096, 65536), data)
            raw.write(data[::-1], 1 << 20)
        equal(c.read(1 << 20, 65536), (0, data[::-1]))
        settle()
        detach(device)
        device = attach(d, 'd')     # exclusive: not beside v34 writers
        check(c.write(0, data) != 0, 'a v34 WRITE into an exclusive vdisk')
        settle()
        detach(device)
        equal(c.write(0, data), 0)
        c.close()


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
