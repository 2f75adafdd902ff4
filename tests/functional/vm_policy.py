#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: portal lists and policy, as an administrator sets and sees them."""

import json
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vm
import vxhs
from harness import (Vxhsd, check, equal, eventually, free_port, main, test,
                     tmpdir)
from vm import Kmsg, Raw, detach, host, refused, settle, show, vxhsctl
from vxhs import NativeServer

# Option, where JSON has it, its file in sysfs, its default in ms.
ITEMS = (('fast-io-fail', 'fast_io_fail_tmo_ms', 'fast_io_fail_tmo', None),
         ('io-timeout', 'io_timeout_ms', 'io_timeout', 30000),
         ('shutdown-timeout', 'shutdown_tmo_ms', 'shutdown_tmo', 60000),
         ('kato', 'kato_asked_ms', 'kato', 5000),
         ('reconnect-delay', 'reconnect_delay_ms', 'reconnect_delay', 5000),
         ('replay-delay', 'replay_delay_ms', 'replay_delay', 5000))


def attach(hosts, name, *options):
    out, err = vxhsctl('attach', hosts, name, *options)
    equal(err, '', 'stderr of attach')
    settle()
    return out.strip()


def sysfs(device, name):
    with open('/sys/block/%s/vxhs/%s' % (os.path.basename(device),
                                         name)) as file:
        return int(file.read())


def text(ms):
    return 'off' if ms is None else '%g s' % (ms / 1000)


def policy_is(device, changed):
    """In show, in JSON and in sysfs."""
    lines = vxhsctl('show', device)[0]
    found = show(device)
    for option, key, name, default in ITEMS:
        want = changed.get(option, default)
        equal(found.get(key, found['session'].get(key)), want, key)
        label = 'kato asked for' if option == 'kato' else \
            option.replace('-', ' ')
        check(re.search(r'^%s: +%s$' % (label, re.escape(text(want))), lines,
                        re.M), 'no "%s: %s" in %s' % (label, text(want),
                                                      lines))
        off = 0 if option == 'io-timeout' else -1
        equal(sysfs(device, name), off if want is None else want, name)


@test
def each_value_is_set_and_shown():
    with Vxhsd('d=memory,size=16M') as d:
        device = attach(host(d), 'd')
        changed = {}
        policy_is(device, changed)
        for option, _, _, _ in ITEMS:
            for value, ms in (('86400', 86400000), ('0.25', 250), ('1.5',
                                                                  1500)):
                equal(vxhsctl('set', device, '--' + option, value), ('', ''))
                changed[option] = ms
                policy_is(device, changed)
        for option in ('fast-io-fail', 'io-timeout', 'shutdown-timeout'):
            vxhsctl('set', device, '--' + option, 'off')
            changed[option] = None
        policy_is(device, changed)
        vxhsctl('set', device, '--fast-io-fail', '0', '--kato', '0.2')
        changed.update({'fast-io-fail': 0, 'kato': 200})
        policy_is(device, changed)
        detach(device)


@test
def attach_takes_policy_too():
    with Vxhsd('d=memory,size=16M', 'e=memory,size=16M') as d:
        device = attach(host(d), 'd', '--kato', '2.5', '--io-timeout', 'off',
                        '--fast-io-fail', '7', '--take-over')
        changed = {'kato': 2500, 'io-timeout': None, 'fast-io-fail': 7000}
        policy_is(device, changed)
        equal(show(device)['session']['kato_ms'], 2500, 'granted')
        # A session that is shared keeps what is not named.
        other = attach(host(d), 'e', '--reconnect-delay', '0.3')
        equal(show(other)['session']['id'], show(device)['session']['id'])
        changed['reconnect-delay'] = 300
        policy_is(device, changed)
        policy_is(other, {'kato': 2500, 'reconnect-delay': 300})
        detach(other)
        detach(device)


@test
def bad_values():
    with Vxhsd('d=memory,size=16M') as d:
        device = attach(host(d), 'd')
        for args in (('--kato', '0.1'), ('--kato', 'off'),
                     ('--reconnect-delay', '0'), ('--io-timeout', '86401'),
                     ('--fast-io-fail', '1h'), ()):
            out, err = vxhsctl('set', device, *args, status=2)
            equal((out, err.count('\n')), ('', 1), err)
        refused('vxhs999', 'set', 'vxhs999', '--kato', '1')
        refused('vxhs999', 'ack-loss', 'vxhs999')
        refused('nothing to acknowledge', 'ack-loss', device)
        # All or nothing.
        vxhsctl('set', device, '--io-timeout', '3', '--kato', '0', status=2)
        policy_is(device, {})
        detach(device)


def linked(link, device):
    if os.path.exists('/run/udev/control'):
        equal(os.path.realpath(link), device, link)


@test
def portals():
    """The first one that answers is used; the list is replaced under I/O."""
    closed = free_port()
    with Vxhsd('d=memory,size=16M') as d, \
            Vxhsd('d=memory,size=16M', addr='::1') as six:
        name = '127.0.0.1:%d,%s,%s' % (closed, host(d), host(six))
        device = attach(name, 'd')
        session = show(device)['session']
        equal(session['portals'], name.split(','))
        equal(session['portal'], host(d))
        equal(session['host'], name)
        link = '/dev/vxhs/%s/d' % re.sub(r'[^-A-Za-z0-9#+.:=@_]', '_', name)
        linked(link, device)
        refused('same portal', 'set', device, '--portals',
                'localhost,127.0.0.1')
        refused('link-local', 'set', device, '--portals', 'fe80::7')
        equal(show(device)['session']['portals'], name.split(','))
        with Raw(device) as raw:
            raw.write(b'p' * 4096)
            new = '%s,127.0.0.1:%d' % (host(d), closed)
            vxhsctl('set', device, '--portals', new)
            equal(raw.read(), b'p' * 4096)
        session = show(device)['session']
        equal(session['portals'], new.split(','))
        equal(session['portal'], host(d))
        equal(session['host'], name, 'its name')
        linked(link, device)
        lines = vxhsctl('show', device)[0]
        check(re.search(r'^portal: +%s$' % re.escape(host(d)), lines, re.M) and
              re.search(r'^other portal: +127.0.0.1:%d$' % closed, lines,
                        re.M), lines)
        detach(device)


@test
def the_portal_in_use_is_taken_off_the_list():
    """I/O moves to the new one, and nobody sees an error."""
    second = free_port()
    done = threading.Event()
    errors, counts = [], [0]

    def work(device):
        try:
            with Raw(device) as raw:
                while not done.is_set():
                    data = b'%d' % (counts[0] % 10) * 4096
                    raw.write(data, counts[0] % 64 * 4096)
                    raw.flush()
                    equal(raw.read(counts[0] % 64 * 4096), data)
                    counts[0] += 1
        except Exception as exc:
            errors.append(exc)

    with Vxhsd('d=memory,size=16M', args=('--listen',
                                          '127.0.0.1:%d' % second)) as d:
        device = attach(host(d), 'd')
        worker = threading.Thread(target=work, args=(device,))
        worker.start()
        try:
            portals = [host(d), '127.0.0.1:%d' % second]
            for n in range(1, 5):
                vxhsctl('set', device, '--portals', portals[n % 2])
                eventually(lambda n=n: show(device)['session']['recoveries']
                           == n, 'it does not move')
                session = show(device)['session']
                equal(session['portal'], portals[n % 2])
                before = counts[0]
                eventually(lambda before=before: counts[0] > before + 1,
                           'no I/O')
        finally:
            done.set()
            worker.join(60)
        check(not worker.is_alive(), 'I/O hangs')
        equal(errors, [])
        equal(show(device)['errors'], 0)
        settle()
        detach(device)


@test
def a_portal_is_taken_off_the_list_while_it_comes_back():
    """It answers the LOGIN of a new epoch only then, and is not used."""
    disks = {'d': vxhs.Disk(16 << 20)}
    asked, answer = threading.Event(), threading.Event()
    slow = []

    def login(conn, req, payload):
        if slow:
            asked.set()
            answer.wait(20)
        return False
    with NativeServer(disks, on_login=login) as one, \
            NativeServer(disks) as two:
        device = attach(host(one), 'd')
        slow.append(True)
        one.drop()
        check(asked.wait(20), 'no LOGIN')
        vxhsctl('set', device, '--portals', host(two))
        answer.set()
        with Raw(device) as raw:
            raw.write(b'n' * 4096)
        equal(show(device)['session']['portal'], host(two))
        equal((one.seen[vxhs.WRITE], two.seen[vxhs.WRITE]), (0, 1), 'WRITEs')
        settle()
        detach(device)


@test
def a_new_portal_ends_the_wait():
    state = tmpdir()
    disk = 'd=%s/disk,size=16M' % state
    d = Vxhsd(disk, state_dir=state)
    device = attach(host(d), 'd', '--reconnect-delay', '86400')
    with Raw(device) as raw:
        raw.write(b'o' * 4096)
        d.kill()
        eventually(lambda: show(device)['parked'], 'not parked')
        other = Vxhsd(disk, state_dir=state)
        vxhsctl('set', device, '--portals', host(other))
        equal(raw.read(), b'o' * 4096)
        equal(show(device)['session']['portal'], host(other))
        raw.flush()
    settle()
    detach(device)
    other.stop()


@test
def a_source_address_leaves_portals_out():
    with Vxhsd('d=memory,size=16M') as d:
        device = attach(host(d), 'd', '--source', '127.0.0.1')
        refused('no IPv4', 'set', device, '--portals', '%s,[::1]:1' % host(d))
        detach(device)


@test
def slow_requests_are_counted():
    held, go = threading.Event(), threading.Event()

    def hold(conn, req, payload):
        if req.op == vxhs.READ and hold.armed:
            hold.armed = False
            held.set()
            go.wait(60)
        return False
    hold.armed = False
    log = Kmsg()
    with NativeServer({'d': vxhs.Disk(1 << 20)}, on_io=hold,
                      grant=dict(kato=60000)) as d:
        device = attach(host(d), 'd', '--lanes', 1, '--io-timeout', '0.5')
        equal(show(device)['slow'], 0)
        with Raw(device) as raw:
            hold.armed = True
            reader = threading.Thread(target=raw.read)
            reader.start()
            check(held.wait(30), 'no READ came')
            eventually(lambda: show(device)['slow'] == 1, 'not counted')
            go.set()
            reader.join(30)
        equal(show(device)['slow'], 1)
        equal(show(device)['session']['state'], 'live')
        check(any('waits for' in line for line in log.vxhs()), 'no message')
        detach(device)
        vm.gone(d)


@test
def a_loss_is_shown_and_acknowledged():
    with NativeServer({'d': vxhs.Disk(1 << 20)}) as d:
        device = attach(host(d), 'd')
        with Raw(device) as raw:
            raw.write(b'x' * 4096)
            d.geometry['verifier'] += 1
            vm.fails(5, raw.flush)
            found = show(device)
            equal((found['lost'], found['losses']), (True, 1))
            check('live,lost' in vxhsctl('list')[0], vxhsctl('list')[0])
            check('ack-loss' in vxhsctl('show', device)[0], 'show')
            equal(json.loads(vxhsctl('list', '--json')[0])[0]['lost'], True)
            equal(vxhsctl('ack-loss', device), ('', ''))
            found = show(device)
            equal((found['lost'], found['losses']), (False, 1))
            raw.flush()
            refused('nothing', 'ack-loss', device)
        detach(device)
        vm.gone(d)


@test
def a_recovery_is_shown():
    """In show, in sysfs and by monitor, while it lasts and when it is over."""
    lines = os.path.join(tmpdir(), 'monitor')
    state = tmpdir()
    args = dict(port=free_port(), state_dir=state)
    disk = 'd=%s/disk,size=16M' % state
    d = Vxhsd(disk, **args)
    device = attach(host(d), 'd', '--reconnect-delay', '0.1')
    with open(lines, 'wb') as out:
        monitor = subprocess.Popen(['vxhsctl', 'monitor', '--json'],
                                   stdout=out)
    try:
        d.kill()
        eventually(lambda: show(device)['parked'], 'not parked')
        found = show(device)
        equal((found['session']['state'], found['session']['recoveries'],
               found['failed']), ('recovering', 0, None))
        check('requests wait for a recovery' in vxhsctl('show', device)[0],
              'show')
        refused('--force', 'detach', device)
        with Vxhsd(disk, **args):
            with Raw(device) as raw:
                raw.read()
            found = show(device)
            equal((found['session']['state'], found['parked'],
                   found['session']['recoveries']), ('live', False, 1))
            eventually(lambda: '"recovered"' in open(lines).read(),
                       'no word of it')
            detach(device)
    finally:
        monitor.terminate()
        monitor.wait(10)
    with open(lines) as file:
        changes = [json.loads(line) for line in file]
    told = [c for c in changes if c['change'] == 'recovered']
    equal(len(told), 1, 'how often it was told')
    equal((told[0]['session']['state'], told[0]['session']['portal'],
           told[0]['session']['recoveries']), ('live', host(d), 1))


@test
def detach_by_force_says_so():
    with Vxhsd('d=memory,size=16M') as d:
        device = attach(host(d), 'd')
        out, err = vxhsctl('detach', '--force', device)
        equal(out, '')
        check('may reach the server' in err, err)
        check(not os.path.exists(device), 'it is still there')


test(vm.nothing_is_left)


if __name__ == '__main__':
    main()
