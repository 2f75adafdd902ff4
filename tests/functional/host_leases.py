#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsctl leases: who holds a vdisk, as the server has written it down, and
whether that is so now."""

import os
import re
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

from harness import (Vxhsd, check, equal, eventually, leases, main,
                     run_vxhsctl, test, tmpdir)
from vxhs import (AGAIN, CLOSE, OK, RO, RW, RW_SHARED, STALE, TAKE_OVER,
                  client, opened)

HOST_A, HOST_B = b'host a..........', b'host b..........'
KATO = 1000     # of those who fall silent


def memory(*names, state=None, **kw):
    return Vxhsd(*('%s=memory,size=1M' % name for name in names or 'd'),
                 state_dir=state or tmpdir(), **kw)


def state_dir(d):
    return d.process.args[d.process.args.index('--state-dir') + 1]


def of(d, vdisk='d'):
    """The lease of a vdisk."""
    found = [x for x in leases(state_dir(d))['leases'] if x['vdisk'] == vdisk]
    equal(len(found), 1, 'leases of ' + vdisk)
    return found[0]


def state(d, vdisk='d'):
    return of(d, vdisk)['state']


def is_now(d, want, vdisk='d'):
    """The server writes it down some time after it answered."""
    eventually(lambda: state(d, vdisk) == want,
               lambda: 'it is %s, not %s' % (state(d, vdisk), want))


def holder(lease):
    return tuple(lease[key] for key in ('lease', 'session', 'host_id',
                                        'address'))


def holds(c, g, host, address='127.0.0.1'):
    return g.lease, '%016x' % c.session, str(uuid.UUID(bytes=host)), address


@test
def the_holder_is_shown_and_that_it_let_go():
    with memory('d', 'never') as d:
        begun = int(time.time())
        found = leases(state_dir(d))
        equal(found['leases'], [])
        equal((found['server']['pid'], found['server']['hostname']),
              (d.pid, os.uname().nodename))
        c, g = opened(d, host_id=HOST_A)
        lease = of(d)
        equal(holder(lease), holds(c, g, HOST_A))
        equal((lease['state'], lease['vdisk_id'], lease['kato_ms']),
              ('held', str(uuid.UUID(bytes=bytes(g.vdisk_id))), 5000))
        since = time.strptime(lease['since'], '%Y-%m-%dT%H:%M:%SZ')
        check(begun <= time.mktime(since) - time.timezone <= time.time(),
              lease['since'])
        equal(c.io(CLOSE, g.handle), OK)
        is_now(d, 'free')
        equal(holder(of(d)), holds(c, g, HOST_A), 'who had it last')
        # Who only reads holds nothing.
        equal(c.open('never', RO)[0], OK)
        c.logout()
        equal(len(leases(state_dir(d))['leases']), 1)


@test
def a_take_over_hands_it_on():
    with memory() as d:
        a, g = opened(d, host_id=HOST_A)
        b, taken = opened(d, host_id=HOST_B, options=TAKE_OVER)
        equal(holder(of(d)), holds(b, taken, HOST_B))
        check(taken.lease > g.lease, 'the lease did not grow')
        a.logout()
        equal((state(d), holder(of(d))), ('held', holds(b, taken, HOST_B)))
        b.logout()
        is_now(d, 'free')


@test
def who_falls_silent_holds_nothing_after_kato():
    with memory() as d:
        c, _ = opened(d, kato=KATO)
        equal(state(d), 'held')
        is_now(d, 'free')
        c.close()


@test
def what_is_shared_has_no_holder():
    with memory() as d:
        a, _ = opened(d, mode=RW_SHARED)
        b, _ = opened(d, mode=RW_SHARED)
        is_now(d, 'shared')
        lease = of(d)
        equal((lease['session'], lease['host_id'], lease['address']),
              (None, None, None))
        a.logout()
        equal(state(d), 'shared')
        b.logout()
        is_now(d, 'free')
        c, g = opened(d, host_id=HOST_A)
        equal(holder(of(d)), holds(c, g, HOST_A))
        equal(c.open('d', RW_SHARED)[0], OK)
        equal(holder(of(d))[1:], (None, None, None))
        is_now(d, 'shared')
        c.logout()


@test
def after_a_kill_it_is_kept_until_its_holder_is_back_or_late():
    keeps = tmpdir()
    d = memory('d', 'e', 's', state=keeps)
    a, g = opened(d, host_id=HOST_A, kato=KATO)
    s, _ = opened(d, 's', mode=RW_SHARED)
    e, h = opened(d, 'e', host_id=HOST_B, kato=KATO)
    since = of(d)['since']
    equal([state(d, x) for x in 'des'], ['held', 'held', 'shared'])
    d.kill()
    equal(leases(keeps)['server'], None, 'a dead server')
    equal([state(d, x) for x in 'des'], ['kept', 'kept', 'free'])
    equal(holder(of(d)), holds(a, g, HOST_A))

    with memory('d', 'e', 's', state=keeps) as d:
        equal(leases(keeps)['server']['pid'], d.pid)
        back, _ = opened(d, session=a.session, epoch=2, lease=g.lease,
                         host_id=HOST_A)
        is_now(d, 'held')
        equal((holder(of(d)), of(d)['since']), (holds(a, g, HOST_A), since))
        # The other one never comes.
        is_now(d, 'free', 'e')
        equal(holder(of(d, 'e')), holds(e, h, HOST_B))
        back.logout()


@test
def a_server_that_is_told_to_end_keeps_what_is_held():
    d = memory()
    c, g = opened(d, kato=KATO, host_id=HOST_A)
    d.stop()
    equal((state(d), holder(of(d))), ('kept', holds(c, g, HOST_A)))
    equal(leases(state_dir(d))['server'], None)
    c.close()


@test
def a_recovery_does_not_wait_for_what_is_only_shown():
    """A holder who comes back to a server that cannot write any more."""
    keeps = tmpdir()
    d = memory(state=keeps)
    a, g = opened(d)
    d.kill()
    with memory(state=keeps) as d:
        name = [x for x in os.listdir(keeps) if x.startswith('lease-')][0]
        os.mkdir(os.path.join(keeps, name + '.new'))    # in its way
        c, again = opened(d, session=a.session, epoch=2, lease=g.lease)
        equal(again.lease, g.lease)
        equal(state(d), 'kept', 'what could not be written')
        os.rmdir(os.path.join(keeps, name + '.new'))
        is_now(d, 'held')
        c.logout()


@test
def a_lease_that_cannot_be_written_keeps_no_other_waiting():
    with memory('d', 'e', 'f') as d:
        c, g = opened(d)
        name, = [x for x in os.listdir(state_dir(d)) if x.startswith('lease-')]
        in_its_way = os.path.join(state_dir(d), name + '.new')
        os.mkdir(in_its_way)
        other = client(d, host_id=HOST_B)
        equal(other.open('d', RW, TAKE_OVER, patience=0)[0], AGAIN)
        for vdisk in 'ef':
            equal(c.open(vdisk, RW, patience=0)[0], OK, vdisk)
            equal(state(d, vdisk), 'held')
        equal(of(d)['lease'], g.lease, 'what could not be written')
        equal(d.log().count('cannot write its lease'), 1)
        os.rmdir(in_its_way)
        equal(other.open('d', RW, TAKE_OVER)[0], OK)
        equal(of(d)['host_id'], str(uuid.UUID(bytes=HOST_B)))
        c.logout()
        other.logout()


@test
def records_of_earlier_versions():
    keeps = tmpdir()
    d = memory(state=keeps)
    c, g = opened(d, kato=60000, host_id=HOST_A)
    path, = [os.path.join(keeps, x) for x in os.listdir(keeps)
             if x.startswith('lease-')]
    d.kill()
    with open(path) as file:
        fields = file.read().split()
    # What they wrote stands where it stood.
    equal(fields[:5], ['%d' % g.lease, '%x' % c.session,
                       str(uuid.UUID(bytes=HOST_A)), '60000', 'held'])
    with open(path, 'w') as file:
        file.write(' '.join(fields[:5]) + '\n')
    lease = leases(keeps)['leases'][0]
    equal((lease['state'], lease['vdisk'], lease['since'], lease['address']),
          ('unknown', None, None, None))
    equal(lease['lease'], g.lease)
    status, out, _ = run_vxhsctl('leases', keeps)
    check(status == 0 and lease['vdisk_id'] in out, out)
    with memory(state=keeps) as d:
        equal(leases(keeps)['leases'][0]['state'], 'kept')
        back, again = opened(d, session=c.session, epoch=2, lease=g.lease,
                             host_id=HOST_A)
        equal(again.lease, g.lease)
        is_now(d, 'held')
        back.logout()


@test
def every_look_at_a_busy_server_is_whole():
    with memory() as d:
        a, b = (client(d, host_id=host) for host in (HOST_A, HOST_B))
        seen = set()
        for i in range(60):
            equal((a, b)[i % 2].open('d', RW, TAKE_OVER)[0], OK)
            lease = of(d)
            seen.add(lease['session'])
            equal((lease['state'], lease['host_id']),
                  ('held', str(uuid.UUID(bytes=(HOST_A, HOST_B)[i % 2]))))
        equal(len(seen), 2)
        a.logout()
        b.logout()


@test
def the_table_for_people():
    with memory('long-name', 'ü') as d:
        keeps = state_dir(d)
        equal(run_vxhsctl('leases', keeps),
              (0, 'served by:          vxhsd, process %d on %s\n' %
               (d.pid, os.uname().nodename), ''))
        for name, mode in ('ü', RW), ('long-name', RW_SHARED):
            opened(d, name, mode=mode, host_id=HOST_A)
        status, out, err = run_vxhsctl('leases', keeps)
        equal((status, err), (0, ''))
        lines = out.split('\n')
        equal(lines[1].split(), ['VDISK', 'STATE', 'SINCE', 'ADDRESS',
                                 'SESSION', 'HOST', 'LEASE'])
        check(re.fullmatch(r'long-name  shared  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d'
                           r'  -  +-  +-  +\d+', lines[2]), lines[2])
        check(re.fullmatch(r'ü          held    \d{4}-\d\d-\d\d \d\d:\d\d:\d\d'
                           r'  127\.0\.0\.1  [0-9a-f]{16}  [0-9a-f-]{36}  \d+',
                           lines[3]), lines[3])


def refused(words, *args, status=1):
    got, out, err = run_vxhsctl('leases', *args)
    equal((got, out, err.count('\n')), (status, '', 1), '%r: %s' % (args, err))
    for word in words:
        check(word in err, '"%s" is not in %r' % (word, err))


@test
def what_is_no_directory_of_a_server():
    here = tmpdir()
    nowhere = os.path.join(here, 'none')
    refused(('"%s"' % nowhere, 'No such file', 'storage server', 'state_dir'),
            nowhere)
    refused(('"%s"' % here, 'server-id', 'state_dir'), here)
    file = os.path.join(here, 'file')
    with open(file, 'w'):
        pass
    refused(('"%s"' % file, 'Not a directory'), file)
    refused(('at most one directory',), here, here, status=2)
    refused(('"--all"',), '--all', status=2)


@test
def damaged_records_are_named_and_the_others_shown():
    with memory('d', 'e') as d:
        keeps = state_dir(d)
        c, _ = opened(d)
        names = ['lease-%s' % uuid.UUID(int=i) for i in range(1, 4)]
        for name, text in zip(names, ('', 'rubbish\n', '0 1 2 3 held\n')):
            with open(os.path.join(keeps, name), 'w') as file:
                file.write(text)
        # What is being written is none yet, nor is what has another name.
        for name in names[0] + '.new', 'lease-', 'lease-x':
            with open(os.path.join(keeps, name), 'w') as file:
                file.write('rubbish\n')
        status, out, err = run_vxhsctl('leases', keeps)
        equal((status, err.count('\n')), (1, 3), err)
        for name, word in zip(names, ('empty', 'damaged', 'damaged')):
            check(re.search(r'%s": .*%s|%s" is %s' % (name, word, name, word),
                            err), '%s in %s' % (name, err))
        equal(len(out.split('\n')), 4, out)
        # Names come from a file: none may move the cursor.
        with open(os.path.join(keeps, names[0]), 'w') as file:
            file.write('7 8 %s 9 free 1 2 \033[2J \033]0;x\n' % uuid.UUID(int=1))
        for name in names[1:]:
            os.unlink(os.path.join(keeps, name))
        status, out, _ = run_vxhsctl('leases', keeps)
        check(status == 0 and '\\x1b[2J' in out and '\033' not in out, out)
        c.logout()


@test
def a_lost_record_gives_no_lease_twice():
    """The number of who held it then is nobody's now, however soon the
    server is back."""
    for _ in range(4):
        keeps = tmpdir()
        d = memory(state=keeps)
        a, g = opened(d, host_id=HOST_A)
        d.kill()
        name, = [x for x in os.listdir(keeps) if x.startswith('lease-')]
        os.unlink(os.path.join(keeps, name))
        with memory(state=keeps) as d:
            b, taken = opened(d, host_id=HOST_B)
            check(taken.lease > g.lease, 'lease %d after %d' % (taken.lease,
                                                                g.lease))
            b.logout()
            a = client(d, session=a.session, epoch=2, host_id=HOST_A)
            equal(a.open('d', RW, lease=g.lease)[0], STALE)
            a.logout()


@test
def two_servers_with_one_state_directory():
    with memory() as d:
        with memory('e', state=state_dir(d)) as e:
            e.wait_for_log('needs a state directory of its own')
            equal(leases(state_dir(d))['server']['pid'], d.pid)


if __name__ == '__main__':
    main()
