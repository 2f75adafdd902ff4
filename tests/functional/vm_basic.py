#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: what an administrator does, and gets wrong."""

import glob
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
from harness import (Vxhsd, check, equal, eventually, free_port, leases, main,
                     test, tmpdir)
from vm import attach, detach, host, refused, run, settle, sh, show, vxhsctl

ID = '11223344-5566-7788-99aa-bbccddeeff00'
_servers = {}


def server(kind='4'):
    if kind not in _servers:
        path = os.path.join(tmpdir(), 'd')
        _servers[kind] = Vxhsd(
            'disk0=%s,size=64M' % path, 'disk1=memory,size=64M,id=' + ID,
            'mem=memory,size=16M', 'ro=memory,size=16M,ro',
            'big=memory,size=16M,block=4096',
            addr='127.0.0.1' if kind == '4' else '::1')
    _servers[kind].alive()
    return _servers[kind]


@test
def the_first_call_loads_the_module():
    if vm.loaded():
        vm.rmmod()
    out, err = vxhsctl('list')
    check(vm.loaded(), 'vxhs was not loaded')
    equal((out, err), ('', ''))
    equal(json.loads(vxhsctl('list', '--json')[0]), [])
    vm.rmmod()
    sh('modprobe vxhs')
    check(vm.loaded(), 'modprobe')
    sh('modprobe -r vxhs')
    check(not vm.loaded(), 'modprobe -r')


@test
def attach_list_show_detach():
    d = server()
    device = attach(d, 'disk0')
    equal(device, '/dev/vxhs0')
    second = attach(d, 'disk1')
    equal(second, '/dev/vxhs1')
    text = vxhsctl('list')[0]
    equal(len(text.strip().split('\n')), 3, 'lines of the list')
    for word in (device, second, 'disk0', 'disk1', host(d), 'exclusive',
                 'live', 'native'):
        check(word in text, word + ' is not in the list')
    listed = json.loads(vxhsctl('list', '--json')[0])
    equal([d['device'] for d in listed], [device, second])
    shown = show(second)
    equal(shown['vdisk_id'], ID)
    equal((shown['device'], shown['index'], shown['vdisk'], shown['size'],
           shown['logical_block'], shown['mode']),
          (second, 1, 'disk1', 64 << 20, 512, 'exclusive'))
    for cap in ('flush', 'fua', 'discard'):
        check(cap in [c.lower() for c in shown['capabilities']], cap)
    session = shown['session']
    equal((session['state'], session['dialect'], session['host'],
           session['disks'], session['epoch']),
          ('live', 'native', host(d), 2, 1))
    equal(session['lanes'], min(os.cpu_count(), 8), 'default lanes')
    equal(session['lanes_up'], session['lanes'])
    equal(vm.established(d.port), session['lanes'], 'connections')
    equal(show(device)['session']['id'], session['id'], 'one session')
    text = vxhsctl('show', second)[0]
    for word in ('disk1', ID, second, 'native'):
        check(word in text, word + ' is not in show')
    detach(device)
    equal(vm.devices(), ['vxhs1'])
    equal(show(second)['session']['disks'], 1)
    vxhsctl('detach', '--all')
    equal(vm.devices(), [])
    vm.gone(d)


@test
def sysfs_and_udev():
    d = server()
    device = attach(d, 'disk1')
    name = os.path.basename(device)
    base = '/sys/block/' + name

    def read(path):
        with open(os.path.join(base, path)) as file:
            return file.read().strip()

    equal(read('wwid'), 'vxhs.' + ID)
    equal(read('serial'), ID.replace('-', ''))
    for key, want in (('host', host(d)), ('vdisk', 'disk1'),
                      ('mode', 'exclusive'), ('state', 'live'),
                      ('dialect', 'native'), ('vdisk_id', ID),
                      ('lanes', str(min(os.cpu_count(), 8)))):
        equal(read('vxhs/' + key), want, key)
    equal(read('vxhs/lanes_up'), read('vxhs/lanes'))
    equal(read('vxhs/session'), show(device)['session']['id'])
    equal(read('queue/logical_block_size'), '512')
    equal(read('queue/write_cache'), 'write back')
    equal(read('queue/fua'), '1')
    check(int(read('queue/discard_max_bytes')) > 0, 'discard_max_bytes')
    check(int(read('queue/write_zeroes_max_bytes')) > 0, 'write_zeroes')
    equal(read('size'), str((64 << 20) // 512))
    equal(read('ro'), '0')
    for path in glob.glob(base + '/vxhs/*') + [base + '/wwid',
                                               base + '/serial']:
        equal(os.stat(path).st_mode & 0o222, 0, path + ' is writable')
    settle()
    for pattern in ('/dev/disk/by-id/vxhs-*', '/dev/vxhs/*/disk1'):
        links = [p for p in glob.glob(pattern)
                 if os.path.realpath(p) == device]
        equal(len(links), 1, pattern)
    check(glob.glob('/dev/disk/by-id/vxhs-' + ID), 'by-id name')
    sh('mkfs.ext4 -q -U %s %s' % (ID, device))
    link = '/dev/disk/by-uuid/' + ID
    eventually(lambda: os.path.exists(link), 'no by-uuid link')
    equal(os.path.realpath(link), device)
    settle()
    vxhsctl('detach', link)         # DEV may be any link to it
    settle()
    equal(glob.glob('/dev/disk/by-id/vxhs-*') + glob.glob('/dev/vxhs/*/*'),
          [], 'links that stay')


@test
def partitions():
    d = server()
    device = attach(d, 'disk0')
    # An MBR with two Linux partitions.
    table = bytearray(4096)
    for i, (first, count) in enumerate(((2048, 32768), (34816, 65536))):
        struct.pack_into('<B3xB3xII', table, 446 + 16 * i, 0, 0x83, first,
                         count)
    table[510:512] = b'\x55\xaa'
    with vm.Raw(device) as raw:
        raw.write(table)
    settle()
    detach(device)
    device = attach(d, 'disk0')
    eventually(lambda: os.path.exists(device + 'p1') and
               os.path.exists(device + 'p2'), 'no partitions after attach')
    settle()
    links = [p for p in glob.glob('/dev/disk/by-id/vxhs-*')
             if os.path.realpath(p) == device + 'p1']
    check(links, 'no by-id link of partition 1')
    refused('partition', 'detach', device + 'p1')
    sh('wipefs -qa ' + device)
    settle()
    detach(device)


@test
def read_only_and_shared():
    d = server()
    device = attach(d, 'disk0', '--read-only')
    with open('/sys/block/%s/ro' % os.path.basename(device)) as file:
        equal(file.read().strip(), '1')
    equal(show(device)['mode'], 'read-only')
    vm.fails((30, 1, 13), os.open, device, os.O_WRONLY)
    with vm.Raw(device, os.O_RDONLY) as raw:
        raw.read()
    detach(device)
    refused('--read-only', 'attach', host(d), 'ro')
    device = attach(d, 'ro', '--read-only')
    detach(device)
    device = attach(d, 'disk0', '--shared')
    equal(show(device)['mode'], 'shared')
    with vm.Raw(device) as raw:
        raw.write(b's' * 4096)
        equal(raw.read(), b's' * 4096)
    settle()
    detach(device)


@test
def a_block_size_of_4096():
    device = attach(server(), 'big')
    with open('/sys/block/%s/queue/logical_block_size' %
              os.path.basename(device)) as file:
        equal(file.read().strip(), '4096')
    with vm.Raw(device) as raw:
        raw.write(b'4' * 4096, 8192)
        equal(raw.read(8192), b'4' * 4096)
        vm.fails(22, raw.read, 0, 512)
    settle()
    detach(device)


@test
def index_and_lanes():
    d = server()
    equal(attach(d, 'disk0', '--index', 7), '/dev/vxhs7')
    err = refused('7', 'attach', host(d), 'disk1', '--index', 7)
    check('disk0' in err or 'taken' in err, err)
    equal(attach(d, 'disk1'), '/dev/vxhs0')
    equal(attach(d, 'mem', '--index', 1048575), '/dev/vxhs1048575')
    vm.detach_all()
    vm.gone(d)
    for lanes in (1, 3, 16):
        device = attach(d, 'mem', '--lanes', lanes)
        equal(show(device)['session']['lanes'], lanes)
        equal(vm.established(d.port), lanes)
        with vm.Raw(device) as raw:
            raw.write(b'%2d' % lanes * 2048)
            equal(raw.read(), b'%2d' % lanes * 2048)
        settle()
        detach(device)
        vm.gone(d)


@test
def addresses_and_names():
    d = server()
    for name in ('localhost:%d' % d.port, '127.0.0.1:%d' % d.port):
        out, err = vxhsctl('attach', name, 'mem')
        equal((out, err), ('/dev/vxhs0\n', ''))
        equal(show('vxhs0')['session']['host'], name)
        settle()
        detach('vxhs0')
    d6 = server('6')
    device = attach(d6, 'mem')
    equal(show(device)['session']['portal'], '[::1]:%d' % d6.port)
    with vm.Raw(device) as raw:
        raw.write(b'6' * 4096)
    settle()
    detach(device)


@test
def the_default_port():
    path = tmpdir() + '/d'
    with Vxhsd('d=%s,size=16M' % path, port=9999):
        out, _ = vxhsctl('attach', 'localhost', 'd')
        equal(show(out.strip())['session']['portal'].rpartition(':')[2],
              '9999')
        settle()
        detach(out.strip())


@test
def source_and_interface():
    d = server()
    device = attach(d, 'mem', '--source', '127.0.0.5', '--interface', 'lo')
    session = show(device)['session']
    equal((session['source'], session['interface']), ('127.0.0.5', 'lo'))
    peers = sh('ss -Htn state established dport = :%d' % d.port)
    check(all('127.0.0.5' in line for line in peers.strip().split('\n')),
          'connections from elsewhere: ' + peers)
    # What differs in the source is another session.
    other = attach(d, 'disk0')
    check(show(other)['session']['id'] != session['id'], 'sessions merged')
    settle()
    vm.detach_all()
    refused('nosuchif0', 'attach', host(d), 'mem', '--interface', 'nosuchif0')
    refused('source address', 'attach', host(d), 'mem', '--source',
            '192.0.2.77')


@test
def monitor():
    d = server()
    texts = {}
    monitors = {}
    for name, args in (('json', ['--json']), ('text', [])):
        texts[name] = os.path.join(tmpdir(), name)
        with open(texts[name], 'wb') as out:
            monitors[name] = subprocess.Popen(['vxhsctl', 'monitor', *args],
                                              stdout=out)

    def lines(name):
        with open(texts[name]) as file:
            return file.read().split('\n')[:-1]

    try:
        time.sleep(1)
        with Vxhsd('m=memory,size=16M') as second:
            a, b = attach(d, 'mem'), attach(second, 'm')
            settle()
            detach(a)
            second.kill()
            second.stop = lambda: None
            settle()
            eventually(lambda: any('lane-lost' in line or 'session-state' in
                                   line for line in lines('json')),
                       'no word of the lost server')
            # It may wait for its server, for which it would be kept.
            vxhsctl('detach', '--force', b)
        eventually(lambda: sum('"detached"' in line
                               for line in lines('json')) == 2,
                   'no two detached')
        changes = [json.loads(line) for line in lines('json')]
        equal([c['disk']['vdisk'] for c in changes
               if c['change'] == 'attached'], ['mem', 'm'])
        equal([c['disk']['vdisk'] for c in changes
               if c['change'] == 'detached'], ['mem', 'm'])
        check(len(lines('text')) >= len(changes), 'fewer lines of text')
    finally:
        for process in monitors.values():
            process.terminate()
            process.wait(10)


# ------------------------------------------------------------ bad input


@test
def unknown_hosts_and_ports():
    refused('no.such.host.invalid', 'attach', 'no.such.host.invalid', 'd',
            within=15)
    port = free_port()
    err = refused('refused', 'attach', '127.0.0.1:%d' % port, 'd')
    check(str(port) in err, 'the port is not in ' + err)


@test
def a_silent_port():
    # One that accepts and says nothing, and one that does not even accept.
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(16)
        err = refused('answer', 'attach',
                      '127.0.0.1:%d' % silent.getsockname()[1], 'd')
        check('server' in err, 'the side is not in ' + err)
    sh('nft add table inet t && nft add chain inet t c "{ type filter hook '
       'input priority 0; }" && nft add rule inet t c tcp dport 9 drop')
    refused('9', 'attach', '127.0.0.1:9', 'd')
    sh('nft delete table inet t')


@test
def a_port_that_drops_everything_does_not_stop_ctrl_c():
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(16)
        process = subprocess.Popen(
            ['vxhsctl', 'attach', '127.0.0.1:%d' % silent.getsockname()[1],
             'd'], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        process.terminate()
        process.wait(15)
    equal(vm.devices(), [])


@test
def unknown_vdisks():
    d = server()
    err = refused('nosuchdisk', 'attach', host(d), 'nosuchdisk')
    check('server' in err and 'no vdisk' in err, err)
    vm.gone(d)
    refused(('n' * 63)[:20], 'attach', host(d), 'n' * 63)


@test
def exclusively_open_elsewhere():
    import vxhs
    d = server()
    other = vxhs.NativeClient(d.addr, d.port, 'mem')
    equal(other.open('mem', vxhs.RW)[0], vxhs.OK)
    refused(('mem', 'exclusively', 'elsewhere', '"vxhsctl leases"'), 'attach',
            host(d), 'mem')
    other.logout()
    device = attach(d, 'mem')
    # There one sees the same as here.
    held, = [x for x in leases(d.dir)['leases'] if x['vdisk'] == 'mem']
    shown = show(device)
    with open('/etc/vxhs/hostid') as hostid:
        equal([held[key] for key in ('state', 'lease', 'vdisk_id', 'session',
                                     'address', 'host_id')],
              ['held', shown['lease'], shown['vdisk_id'],
               shown['session']['id'], '127.0.0.1', hostid.read().strip()])
    equal(vxhs.NativeClient(d.addr, d.port, 'mem').open('mem', vxhs.RW)[0],
          vxhs.BUSY, 'OPEN beside the attached device')
    settle()
    detach(device)


@test
def attached_twice():
    d = server()
    device = attach(d, 'mem')
    refused(device, 'attach', host(d), 'mem')
    refused(device, 'attach', host(d), 'mem', '--read-only')
    settle()
    detach(device)


@test
def detach_in_use():
    d = server()
    device = attach(d, 'disk0')
    settle()
    with open(device, 'rb'):
        err = refused('use', 'detach', device)
        check('python' in err or str(os.getpid()) in err,
              'the holder is not in ' + err)
    sh('mkfs.ext4 -q -F ' + device)
    mount = tmpdir()
    sh('mount %s %s' % (device, mount))
    try:
        settle()
        err = refused('use', 'detach', device)
        check(mount in err, 'the mount point is not in ' + err)
        err = refused('use', 'detach', '--all')
        check(run('rmmod', 'vxhs').returncode != 0, 'rmmod while in use')
    finally:
        sh('umount ' + mount)
    settle()
    detach(device)
    refused('attached', 'detach', 'vxhs0')
    refused('attached', 'show', '/dev/vxhs77')
    refused('', 'detach', '/dev/null')
    refused('', 'detach', '/no/such/file')


@test
def usage_errors_are_2():
    for args in ((), ('frobnicate',), ('attach',), ('attach', 'h'),
                 ('attach', 'h', 'd', 'x'), ('attach', 'h', ''),
                 ('attach', 'h', 'n' * 64), ('attach', 'h:0', 'd'),
                 ('attach', 'h:99999', 'd'), ('attach', '[::1', 'd'),
                 ('attach', '', 'd'), ('attach', 'h', 'd', '--frob'),
                 ('attach', 'h', 'd', '--lanes'),
                 ('attach', 'h', 'd', '--lanes', '0'),
                 ('attach', 'h', 'd', '--lanes', '65'),
                 ('attach', 'h', 'd', '--lanes', 'x'),
                 ('attach', 'h', 'd', '--index', '-1'),
                 ('attach', 'h', 'd', '--index', '1048576'),
                 ('attach', 'h', 'd', '--source', 'nonsense'),
                 ('attach', 'h', 'd', '--read-only', '--shared'),
                 ('detach',), ('detach', 'a', 'b'), ('detach', '--all', 'a'),
                 ('show',), ('list', 'x'), ('monitor', 'x')):
        out, err = vxhsctl(*args, status=2)
        equal(out, '', 'stdout of %r' % (args,))
        equal(len(err.strip().split('\n')), 1, 'lines of %r' % err)
        check(err.startswith('vxhsctl: '), err)


@test
def help_is_everywhere():
    for args in (('--help',), ('attach', '--help'), ('detach', '--help'),
                 ('set', '--help'), ('ack-loss', '--help'),
                 ('list', '--help'), ('show', '--help'),
                 ('monitor', '--help')):
        out, err = vxhsctl(*args)
        check('Usage: vxhsctl' in out and not err, ' '.join(args))


@test
def others_than_root_are_refused():
    nobody = ('setpriv', '--reuid=nobody', '--regid=nogroup',
              '--clear-groups', 'vxhsctl')
    d = server()
    device = attach(d, 'mem')
    settle()
    for args in (('list',), ('show', device), ('detach', device),
                 ('set', device, '--kato', '1'), ('ack-loss', device),
                 ('attach', host(d), 'disk0'), ('monitor',)):
        done = run(*nobody, *args, timeout=10)
        equal(done.returncode, 1, ' '.join(args))
        check(re.search(r'root|CAP_SYS_ADMIN|permi', done.stderr),
              'it said ' + done.stderr)
    # Nor does a capability that is not CAP_SYS_ADMIN help.
    done = run('setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin',
               'vxhsctl', 'detach', device, timeout=10)
    equal(done.returncode, 1, 'without CAP_SYS_ADMIN')
    # Nor another network namespace.
    done = run('unshare', '-n', 'vxhsctl', 'detach', device, timeout=10)
    equal(done.returncode, 1, 'in another network namespace')
    equal(vm.devices(), [os.path.basename(device)])
    detach(device)


@test
def a_module_in_use_stays():
    device = attach(server(), 'mem')
    settle()
    done = run('rmmod', 'vxhs')
    check(done.returncode != 0, 'rmmod with a disk attached')
    detach(device)
    vm.rmmod()


@test
def many_at_once():
    d = server()
    names = ('disk0', 'disk1', 'mem', 'big')
    results = []

    def one(name):
        results.append(attach(d, name))

    threads = [threading.Thread(target=one, args=(n,)) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(results), ['/dev/vxhs%d' % i for i in range(4)])
    equal({d['session']['id'] for d in json.loads(
        vxhsctl('list', '--json')[0])}.__len__(), 1, 'sessions')
    settle()
    vxhsctl('detach', '--all')
    vm.gone(d)


@test
def nothing_is_left():
    for d in _servers.values():
        vm.gone(d)
        d.stop()
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
