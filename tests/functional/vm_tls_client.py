#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""In the VM: attach with TLS. Who the driver takes for its server, and what
an administrator reads of those that it does not; agents that do not do their
work; I/O, recovery and the replacement of lanes in records."""

import ctypes
import errno
import glob
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib'),
                os.path.join(HERE, '..', 'fault')]

import vm
import vxhs
from certs import Authority, Cert, certtool
from harness import (Vxhsd, after_failure, check, equal, eventually, main,
                     test, tmpdir)
from proxy import Control
from vm import LIGHT, Kmsg, Raw, detach, force, run, settle, sh, show, vxhsctl

NAME = 'server.example'
KEY, WRONG = 'ab' * 32, 'cd' * 32
YEAR_2001 = ('activation_date = "2001-01-01 00:00:00"',)
OVER = 'expiration_date = "2001-02-01 00:00:00"'
PARAMETER = '/sys/module/vxhs/parameters/tls_lane_bytes'
ADD_KEY, KEYCTL, USER_KEYRING = 248, 250, -4
JOIN_SESSION_KEYRING, SETPERM = 1, 5
libc = ctypes.CDLL(None, use_errno=True)
_shared = {}


class Lab:
    """Certificates of everybody, and an agent that has them."""

    def __init__(self):
        sh('modprobe tls; modprobe vxhs')
        # The first use of a cipher loads modules, and emulation is slow.
        if not LIGHT:
            sh('modprobe aesni_intel || true')      # as udev does at boot
            with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as sock:
                sock.bind(('aead', 'gcm(aes)'))
        self.dir = tmpdir()
        self.ca = Authority(self.dir)
        self.other_ca = Authority(self.dir, 'other-ca', self.ca.key)
        self.server = self.ca.issue('server', dns=NAME, server=True)
        self.client = self.ca.issue('client', dns='client.example')
        # One key for all the others: making them takes a while.
        self.revoked = self.issue('revoked')
        self.expired = self.issue('expired', lines=YEAR_2001, days=OVER)
        self.stranger = self.issue('stranger', self.other_ca)
        self.crl = self.ca.revoke(os.path.join(self.dir, 'crl'), self.revoked)
        self.path = os.path.join(self.dir, 'handshake.conf')
        text = ''.join(self.identity(name, cert) for name, cert in (
            ('default', self.client), ('revoked', self.revoked),
            ('expired', self.expired), ('stranger', self.stranger)))
        for name, key in (('host1', KEY), ('wrong', WRONG)):
            psk = os.path.join(self.dir, name + '.psk')
            write(psk, 'host1:%s\n' % key, 0o600)
            text += '[identity %s]\npsk = %s\n' % (name, psk)
        write(self.path, text)
        self.log_path = os.path.join(self.dir, 'agent.log')
        self.agent = None

    def issue(self, name, ca=None, **kw):
        kw.setdefault('dns', name + '.example')
        return (ca or self.ca).issue(name, key=self.client.key, **kw)

    def false(self, name, ca=None, **kw):
        """A server's certificate."""
        kw.setdefault('server', True)
        return self.issue(name, ca, dns=NAME, **kw)

    def identity(self, name, cert):
        return '[identity %s]\nca = %s\ncert = %s\nkey = %s\n' % (
            name, self.ca.cert, cert.cert, cert.key)

    def start_agent(self):
        with open(self.log_path, 'ab') as log:
            # In a keyring of its own, as systemd starts it.
            self.agent = subprocess.Popen(
                ['vxhs-handshake', '--config', self.path],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: libc.syscall(KEYCTL, JOIN_SESSION_KEYRING,
                                                None))
        seen = len(self.log())
        eventually(lambda: 'ready' in self.log()[seen:] or
                   self.agent.poll() is not None, 'the agent is not ready')
        check(self.agent.poll() is None, 'the agent ended: ' + self.log())

    def stop_agent(self):
        if self.agent:
            self.agent.kill()
            self.agent.wait()
        self.agent = None

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def says(self, seen, words):
        """The agent has logged that since then."""
        eventually(lambda: words in self.log()[seen:], lambda:
                   'the agent: not "%s" but: %s' % (words, self.log()[seen:]))

    def config(self, **keys):
        keys = {'tls': 'x509', 'tls-cert': self.server.cert,
                'tls-key': self.server.key, 'tls-ca': self.ca.cert,
                'tls-crl': self.crl,
                **{k.replace('_', '-'): v for k, v in keys.items()}}
        path = os.path.join(tmpdir(), 'vxhsd.conf')
        write(path, '[server]\n' + ''.join(
            '%s = %s\n' % item for item in keys.items() if item[1]))
        return path


def agent_is_back():
    if 'lab' in _shared and not _shared['lab'].agent:
        _shared['lab'].start_agent()


after_failure.append(agent_is_back)


def write(path, text, mode=0o644):
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)


def lab():
    if 'lab' not in _shared:
        _shared['lab'] = Lab()
        _shared['lab'].start_agent()
    return _shared['lab']


def serve(port=None, files=None, **keys):
    files = files or tmpdir()
    return Vxhsd('disk0=%s/disk0,size=64M,allow=*:rw' % files,
                 'mem=memory,size=16M,allow=*:rw',
                 args=('--config', lab().config(**keys)), port=port,
                 state_dir=files)


def server():
    if 'd' not in _shared:
        _shared['d'] = serve()
    _shared['d'].alive()
    return _shared['d']


def options(d, vdisk, *more, name=NAME):
    return ('attach', vm.host(d), vdisk, '--tls', '--tls-peername', name,
            *more)


def attach(d, vdisk, *more, **kw):
    lab()
    out, err = vxhsctl(*options(d, vdisk, *more, **kw))
    equal(err, '', 'stderr of attach')
    return out.strip()


def refused(words, d, *more, log=None, within=10, **kw):
    """Attach fails in time, says why, and so does the server's log."""
    lab()
    seen = len(d.log()) if log else 0
    said = vm.refused(words, *options(d, 'mem', *more, **kw), within=within)
    if log:
        eventually(lambda: log in d.log()[seen:],
                   lambda: 'server: not "%s" but: %s' % (log, d.log()[seen:]))
    return said


class Load(threading.Thread):
    """Writes and reads back, until it is told to stop."""

    def __init__(self, device, seed=0):
        super().__init__(daemon=True)
        self.device = device
        self.raw, self.rng = Raw(device), random.Random(seed)
        self.wrote, self.done, self.error = {}, 0, None
        self.ending = False
        self.start()

    def run(self):
        try:
            while not self.ending:
                self.step()
                self.done += 1
        except Exception as exc:
            self.error = exc
            self.raw.close()

    def step(self):
        at = self.rng.randrange(48)
        if at in self.wrote and self.rng.random() < 0.5:
            n, data = self.wrote[at]
            check(self.raw.read(at << 20, n) == data, 'wrong data at %d' % at)
        else:
            n = self.rng.choice((512, 4096, 20480, 131072))
            data = self.rng.randbytes(512) * (n // 512)
            self.raw.write(data, at << 20)
            self.wrote[at] = n, data

    def goes_on(self, timeout=30):
        seen = self.done
        eventually(lambda: self.error or self.done > seen + 3,
                   'I/O does not go on', timeout)
        equal(self.error, None, 'error')

    def finish(self):
        self.ending = True
        self.join(60)
        check(not self.is_alive(), 'I/O hangs')
        equal(self.error, None, 'error')
        for at, (n, data) in self.wrote.items():
            check(self.raw.read(at << 20, n) == data, 'wrong data at %d' % at)
        self.raw.flush()
        self.raw.close()

    def ends_well(self):
        """It goes on, all is right, and nobody has the disk any more."""
        self.goes_on()
        self.finish()
        settle()
        detach(self.device)


# ------------------------------------------------------------------- I/O


@test
def x509():
    d = server()
    device = attach(d, 'disk0', '--lanes', 3, '--poll-lanes', 1)
    session = show(device)['session']
    equal((session['lanes_up'], session['digests'], session['digests_asked']),
          (4, False, 'none'))
    equal(d.log().count('it is client.example, '), 4, 'identities in the log')
    with Raw(device) as raw:
        data = random.Random(1).randbytes(1 << 20)
        raw.write(data)
        check(raw.read(0, 1 << 20) == data, 'wrong data')
        check(raw.read(512 * 7, 512) == data[512 * 7:512 * 8], 'wrong data')
        raw.flush()
    sh('fio --name=v --filename=%s --direct=1 --rw=randrw --bsrange=512-128k '
       '--iodepth=32 --ioengine=io_uring --size=2M --verify=crc32c' % device)
    # Who polls finds nothing himself, but what he waits for comes.
    sh('fio --name=p --filename=%s --direct=1 --rw=randrw --bs=4k '
       '--iodepth=4 --ioengine=io_uring --hipri --size=256k' % device)
    other = attach(d, 'mem')
    equal(show(other)['session']['id'], show(device)['session']['id'])
    settle()
    detach(other)
    detach(device)
    vm.gone(d)


@test
def what_is_shown():
    d = server()
    first = attach(d, 'disk0')
    second = attach(d, 'mem', '--identity', 'default')
    one, two = show(first)['session'], show(second)['session']
    check(one['id'] != two['id'], 'another identity shares the session')
    cipher = one['tls']['cipher']
    check(re.fullmatch(r'1\.3 (AES-(128|256)-GCM|CHACHA20-POLY1305)', cipher),
          cipher)
    equal(one['tls'], {'cipher': cipher, 'peername': NAME, 'identity': None,
                       'allow_unverified': False})
    equal(two['tls']['identity'], 'default')
    text = vxhsctl('show', second)[0]
    for line in ('tls: +' + cipher, 'tls peer name: +' + NAME,
                 'tls identity: +default'):
        check(re.search('^%s$' % line, text, re.M), text)
    for line in vxhsctl('list')[0].split('\n')[1:-1]:
        check(line.endswith(' yes'), line)
    equal(sh('cat /sys/block/%s/vxhs/tls' % os.path.basename(first)),
          cipher + '\n')
    settle()
    detach(second)
    detach(first)
    vm.gone(d)


@test
def psk():
    path = os.path.join(lab().dir, 'host1.psk')
    with serve(tls='psk', tls_cert=None, tls_key=None, tls_ca=None,
               tls_crl=None, tls_psk=path) as d:
        device = attach(d, 'disk0', '--identity', 'host1', '--digests')
        equal(show(device)['session']['digests'], True)
        load = Load(device)
        load.ends_well()
        refused('the TLS handshake was refused', d, '--identity', 'wrong',
                log='its PSK is wrong, or nobody has its identity')
        # It has a certificate, where a key is wanted.
        refused('the TLS handshake', d, log='TLS is refused')
        if not LIGHT:
            a_key_of_the_keyring(d)


def a_key_of_the_keyring(d):
    """As the documentation has it: root's services may read it."""
    key = bytes.fromhex(KEY)
    serial = libc.syscall(ADD_KEY, b'user', b'host1', key, len(key),
                          USER_KEYRING)
    check(serial > 0, 'add_key: ' + os.strerror(ctypes.get_errno()))
    refused('the handshake agent cannot use that key', d, '--identity',
            'key:%d' % serial)
    check('cannot read key %d' % serial in lab().log(), lab().log())
    equal(libc.syscall(KEYCTL, SETPERM, serial, 0x3f030000), 0, 'setperm')
    device = attach(d, 'mem', '--identity', 'key:%d' % serial)
    with Raw(device) as raw:
        raw.write(bytes(4096))
    settle()
    detach(device)


@test
def no_key_is_where_others_look():
    """Keys are in the agent, and their effects in the socket alone."""
    path = os.path.join(lab().dir, 'host1.psk')
    needles = KEY.encode(), bytes.fromhex(KEY)
    with open(lab().client.key, 'rb') as file:
        needles += tuple(file.read().split()[10:12])
    log = Kmsg(start=True)
    tracing = '/sys/kernel/tracing'
    sh('mount -t tracefs tracefs %s 2>/dev/null || true' % tracing)
    sh('mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null || true')
    enable = os.path.join(tracing, 'events/vxhs/enable')
    write(enable, '1')
    said = []
    try:
        with serve(tls='psk', tls_cert=None, tls_key=None, tls_ca=None,
                   tls_crl=None, tls_psk=path) as d, serve() as x:
            devices = (attach(d, 'mem', '--identity', 'host1'),
                       attach(x, 'mem'))
            for device in devices:
                said.append(vxhsctl('show', device, '--json')[0].encode())
                sh('dd if=%s of=/dev/null bs=4k count=4' % device)
            folders = [*glob.glob('/sys/block/vxhs*'), '/sys/module/vxhs',
                       '/sys/kernel/debug/vxhs', '/sys/kernel/debug/block']
            said.append(subprocess.run(['grep', '-rahs', '', *folders],
                                       stdout=subprocess.PIPE,
                                       check=False).stdout)
            settle()
            for device in devices:
                detach(device)
    finally:
        write(enable, '0')
    with open(os.path.join(tracing, 'trace'), 'rb') as file:
        said.append(file.read())
    said.append('\n'.join(log.read()).encode())
    for text in said:
        check(b'vxhs' in text or b'AES' in text, 'is this all: %s' % text)
        for needle in needles:
            check(needle not in text, 'a key is in: %s' % text[:4000])


@test
def plaintext_and_tls_do_not_share():
    d = server()
    seen = len(d.log())
    vm.refused('does it want --tls?', 'attach', vm.host(d), 'mem', within=15)
    eventually(lambda: 'TLS' in d.log()[seen:],
               lambda: 'the log says: ' + d.log()[seen:])


@test
def it_never_falls_back():
    """A disk that was attached with TLS waits rather than do without."""
    files = tmpdir()
    d = serve(files=files)
    device = attach(d, 'disk0', '--lanes', 2)
    load = Load(device, 4)
    load.goes_on()
    log = Kmsg()
    d.kill()
    with Vxhsd('disk0=%s/disk0,size=64M' % files, port=d.port) as plain:
        eventually(lambda: sum('does the server do TLS' in line
                               for line in log.vxhs()) >= 1,
                   lambda: 'log: %s' % log.vxhs(), 30)
        eventually(lambda: plain.log().count('TLS') >= 2,
                   lambda: 'the plain server: ' + plain.log(), 30)
        session = show(device)['session']
        equal((session['state'], session['lanes_up']), ('recovering', 0))
    with Server(lab().server, ssl.TLSVersion.TLSv1_2, port=d.port) as old:
        eventually(lambda: old.seen >= 2, 'it does not try', 30)
        equal(show(device)['session']['state'], 'recovering')
    d = serve(port=d.port, files=files)
    load.ends_well()
    d.stop()


# --------------------------------------------------------------- recovery


def fio_until_ended(device, running):
    """fio verifies what it wrote, beside Load's place, while that file is."""
    return subprocess.Popen(
        ['sh', '-ec', 'while [ -e %s ]; do fio --minimal --name=v --filename=%s '
         '--direct=1 --rw=randrw --bsrange=512-64k --iodepth=16 --offset=48M '
         '--size=4M --ioengine=io_uring --verify=crc32c --verify_fatal=1 '
         '--verify_backlog=32; done' % (running, device)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@test
def recovery_under_load():
    files = tmpdir()
    d = serve(files=files)
    device = attach(d, 'disk0', '--lanes', 2, '--kato', 2)
    running = os.path.join(files, 'running')
    write(running, '')
    fio = None if LIGHT else fio_until_ended(device, running)
    load = Load(device, 1)
    for _ in range(5):
        load.goes_on()
        time.sleep(1)
        d.kill()
        time.sleep(0.3)
        d = serve(port=d.port, files=files)
    load.goes_on()
    if fio:
        os.unlink(running)
        out = fio.communicate(timeout=120)[0]
        equal(fio.returncode, 0, 'fio: ' + out)
    check(show(device)['session']['recoveries'] >= 4, 'no recoveries')
    # And without an agent for a while.
    lab().stop_agent()
    log = Kmsg()
    d.kill()
    d = serve(port=d.port, files=files)
    eventually(lambda: any('no TLS handshake agent runs' in line
                           for line in log.vxhs()), 'nobody says it')
    lab().start_agent()
    load.ends_well()
    d.stop()


@test
def damaged_records():
    """Bits that change on the way cost a lane, and nothing else."""
    d = server()
    proxy = Control((d.addr, d.port), tmpdir(), 'proxy', seed=1)
    log = Kmsg()
    try:
        class Way:
            addr, port = '127.0.0.1', proxy.port
        device = attach(Way, 'disk0', '--lanes', 2)
        load = Load(device, 2)
        for i in range(4):
            load.goes_on()
            proxy('corrupt', mask=4, after=1000, pick=i % 2 * 0.6,
                  dir=('s2c', 'c2s')[i // 2])
        load.ends_well()
    finally:
        proxy.stop()
    check(any('a TLS record was damaged' in line for line in log.vxhs()),
          'nobody has noticed')


@test
def lanes_are_replaced_before_their_keys_are_used_up():
    d = server()
    device = attach(d, 'disk0', '--lanes', 2)
    with open(PARAMETER) as file:
        before = file.read()
    log = Kmsg()
    try:
        # The other lane waits for the first until a quarter more.
        write(PARAMETER, '16777216')
        load = Load(device, 3)
        eventually(lambda: load.error or sum(
            'connecting anew' in line for line in log.vxhs()) >= 3,
            'no lane is replaced', 120)
    finally:
        write(PARAMETER, before)
    load.goes_on()
    load.finish()
    now = show(device)['session']
    equal(now['recoveries'], 0, 'recoveries')
    equal(now['epoch'], 1, 'epoch')
    settle()
    detach(device)


@test
def the_only_lane_is_replaced_too():
    """Nobody takes over meanwhile, so the session recovers."""
    d = server()
    device = attach(d, 'disk0', '--lanes', 1)
    with open(PARAMETER) as file:
        before = file.read()
    try:
        write(PARAMETER, '2097152')
        load = Load(device, 5)
        eventually(lambda: load.error or
                   show(device)['session']['recoveries'] >= 2,
                   'the lane is not replaced', 40)
    finally:
        write(PARAMETER, before)
    load.ends_well()


# --------------------------------------------------- servers that are wrong


class Server(threading.Thread):
    """A server of Python's, which does not shake hands as ours does."""

    def __init__(self, cert, highest=ssl.TLSVersion.TLSv1_3, leave=False,
                 port=0):
        super().__init__(daemon=True)
        self.leave, self.seen = leave, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.maximum_version = highest
        self.context.num_tickets = 0
        self.context.load_cert_chain(cert.cert, cert.key)
        self.sock = socket.create_server(('127.0.0.1', port))
        self.addr, self.port = self.sock.getsockname()
        self.start()

    def run(self):
        while True:
            try:
                conn = self.sock.accept()[0]
            except OSError:
                return
            self.seen += 1
            try:
                with self.context.wrap_socket(conn, server_side=True) as tls:
                    tls.recv(1)
                    if self.leave:
                        tls.settimeout(5)
                        tls.unwrap()        # close_notify
            except OSError:
                conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def self_signed():
    cert = Cert(lab().dir, 'self', lab().client.key)
    cert.fill('cn = "%s"' % NAME, 'dns_name = "%s"' % NAME, 'signing_key',
              'tls_www_server', 'expiration_days = 10')
    certtool('--generate-self-signed', '--load-privkey', cert.key,
             '--template', cert.template, '--outfile', cert.cert)
    return cert


@test
def servers_that_do_not_prove_who_they_are():
    l = lab()
    proof = 'did not prove to be'
    seen = len(l.log())
    refused(proof, server(), name='other.example', log='TLS')
    l.says(seen, 'does not match the expected')
    seen = len(l.log())
    with serve(tls_cert=l.false('false', l.other_ca).cert,
               tls_key=l.client.key) as d:
        refused(proof, d, log='TLS')
    l.says(seen, 'issuer is unknown')
    for words, cert in (
            ('issuer is unknown', self_signed()),
            ('expired certificate', l.false('over', lines=YEAR_2001, days=OVER)),
            ('not yet valid certificate', l.false('not-yet', lines=(
                'activation_date = "2096-01-01 00:00:00"',),
                days='expiration_date = "2097-01-01 00:00:00"')),
            # A client's certificate is no server's.
            ('intended purpose', l.false('purpose', server=False))):
        seen = len(l.log())
        with Server(cert) as d:
            refused(proof, d)
        l.says(seen, words)


@test
def servers_that_do_not_do_tls_1_3():
    seen = len(lab().log())
    with Server(lab().server, ssl.TLSVersion.TLSv1_2) as d:
        refused('the log of the handshake agent says why', d)
    lab().says(seen, 'does it do TLS 1.3')
    with Vxhsd('mem=memory,size=16M') as d:
        refused('does the server do TLS on that port?', d, log='TLS')


class Records:
    """A TLS socket that notes how much it gets at a time."""

    def __init__(self, sock):
        self.sock, self.sizes = sock, []

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def recv_into(self, *args):
        self.sizes.append(self.sock.recv_into(*args))
        return self.sizes[-1]


class V34(vxhs.V34Server):
    """A server of QNIO v34 behind TLS."""

    def __init__(self, *args, **kw):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.num_tickets = 0
        self.context.load_cert_chain(lab().server.cert, lab().server.key)
        self.sizes = []
        super().__init__(*args, **kw)

    def serve(self, conn):
        conn.sock = Records(self.context.wrap_socket(conn.sock,
                                                     server_side=True))
        self.sizes = conn.sock.sizes
        super().serve(conn)


@test
def a_v34_server_is_refused_unless_that_is_allowed():
    with V34({'mem': vxhs.Disk(16 << 20)}) as d:
        refused('--allow-unverified', d)
        lab()
        out, err = vxhsctl(*options(d, 'mem', '--lanes', 1,
                                    '--allow-unverified'))
        check('QNIO v34' in err, err)
        device = out.strip()
        session = show(device)['session']
        equal((session['dialect'], session['tls']['allow_unverified']),
              ('v34', True))
        settle()
        d.sizes.clear()
        with Raw(device) as raw:
            data = random.Random(3).randbytes(8192)
            raw.write(data)
            check(raw.read(0, 8192) == data, 'wrong data')
        # A header, a payload: never two messages in a record.
        equal(set(d.sizes) - {256, 8192}, set(), 'sizes of records')
        settle()
        detach(device)
        vm.gone(d)


@test
def nobody_in_the_middle_changes_the_handshake():
    d = server()
    for way, place in (('c2s', 7), ('c2s', 60), ('c2s', 150), ('s2c', 30),
                       ('s2c', 90), ('s2c', 300), ('c2s', 500)):
        with Middle(d, way, place) as m:
            refused(('TLS',), m)
            check(m.done, 'byte %d was never there' % place)


class Middle(threading.Thread):
    """Changes a bit of what passes, once on each connection."""

    def __init__(self, d, way, place):
        super().__init__(daemon=True)
        self.to, self.way, self.place, self.done = d, way, place, False
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.addr, self.port = self.sock.getsockname()
        self.start()

    def run(self):
        while True:
            try:
                one = self.sock.accept()[0]
            except OSError:
                return
            two = socket.create_connection((self.to.addr, self.to.port))
            for a, b, way in ((one, two, 'c2s'), (two, one, 's2c')):
                threading.Thread(target=self.carry, args=(a, b, way),
                                 daemon=True).start()

    def carry(self, a, b, way):
        at = 0
        try:
            while True:
                data = bytearray(a.recv(65536))
                if not data:
                    break
                if way == self.way and at <= self.place < at + len(data):
                    data[self.place - at] ^= 1
                    self.done = True
                at += len(data)
                b.sendall(data)
        except OSError:
            pass
        for sock in (a, b):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Openssl:
    """openssl s_server, which can be told to end or change its keys."""

    def __init__(self, *args):
        self.addr, self.port = '127.0.0.1', Openssl.free()
        self.process = subprocess.Popen(
            ['openssl', 's_server', '-accept', str(self.port), '-tls1_3',
             '-cert', lab().server.cert, '-key', lab().server.key, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        eventually(lambda: self.listens(), 'openssl does not listen')

    @staticmethod
    def free():
        with socket.socket() as sock:
            sock.bind(('127.0.0.1', 0))
            return sock.getsockname()[1]

    def listens(self):
        return any(re.search(r':%04X \S+ 0A ' % self.port, open(path).read())
                   for path in ('/proc/net/tcp', '/proc/net/tcp6'))

    def tell(self, what):
        self.process.stdin.write(what + b'\n')
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


@test
def what_is_no_data_ends_the_lane():
    with Openssl() as d:
        refused('KeyUpdate or a ticket', d)
    with Openssl('-num_tickets', '0') as d:
        threading.Timer(2, d.tell, (b'K',)).start()
        refused('KeyUpdate or a ticket', d)
    with Server(lab().server, leave=True) as d:
        refused('closed the TLS session', d)


@test
def a_flood_without_data_ends():
    """kTLS skips such records in one call, for as long as more come."""
    port = Openssl.free()
    flood = subprocess.Popen(
        [os.path.join(HERE, '..', '..', 'build', 'empty_records'), str(port),
         lab().server.cert, lab().server.key], stdout=subprocess.PIPE)
    try:
        equal(flood.stdout.readline(), b'ready\n')
        said = vxhsctl('attach', '127.0.0.1:%d' % port, 'disk0', '--tls',
                       '--tls-peername', NAME, status=1)[1]
        check('records without data' in said, said)
        # It has ended the connection, not the other way round.
        flood.wait(60)
        check(int(flood.stdout.read()) > 40000, 'so few')
    finally:
        flood.kill()
        flood.wait()


# --------------------------------------------------- clients that are wrong


@test
def clients_that_the_server_refuses():
    """The driver hears of it from the server, or, if that has ended the
    connection before the kernel had the keys, from the agent."""
    d = server()
    for identity, log in (('revoked', 'revoked'), ('expired', 'expired'),
                          # It is not sent: the server names its authorities.
                          ('stranger', 'it has no certificate')):
        seen = len(lab().log())
        said = refused((), d, '--identity', identity, log=log)
        if 'agent' in said:
            lab().says(seen, 'the server refuses identity "%s": alert' %
                       identity)
        else:
            check(re.search(r'certificate.* \(alert \d+\)', said), said)
    refused('no such identity', d, '--identity', 'nobody')
    refused('TLS', d, '--identity', 'host1', log='TLS')


# ----------------------------------------------------------------- agents


class BadAgent:
    def __init__(self, *how):
        lab().stop_agent()
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, '..', 'lib', 'bad_agent.py'),
             *how], stdout=subprocess.PIPE)
        equal(self.process.stdout.readline(), b'ready\n')

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


@test
def agents_that_do_not_do_their_work():
    d = server()
    lab().stop_agent()
    refused(('no TLS handshake agent runs',
             'systemctl start vxhs-handshake'), d, within=5)
    for how, words in (('hang', 'does not answer'),
                       ('lie', 'did not install TLS 1.3'),
                       ('silent', 'does not answer'),
                       ('die', 'does not answer'))[:2 if LIGHT else 4]:
        with BadAgent(how):
            refused(words, d, within=6)
    with BadAgent('refuse', str(errno.EKEYREJECTED)):
        refused('did not prove to be', d)
    with BadAgent('refuse', str(errno.EACCES)):     # as tlshd would
        refused('--identity NAME needs vxhs-handshake', d,
                '--identity', 'default')
    # No errno; none that is negative: newer kernels do not take them.
    for status in (5000, 0xffffffff):
        with BadAgent('refuse', str(status)):
            refused('the TLS handshake', d)
    # What the driver means otherwise.
    for status in (errno.ESTALE, errno.ESRCH)[:1 if LIGHT else 2]:
        with BadAgent('refuse', str(status)):
            refused('the TLS handshake failed', d)
    lab().start_agent()


@test
def recovery_outlives_agents_that_hang_or_die():
    files = tmpdir()
    d = serve(files=files)
    device = attach(d, 'disk0', '--lanes', 1)
    load = Load(device, 6)
    load.goes_on()
    for how in ('hang', 'die'):
        with BadAgent(how) as agent:
            d.kill()
            d = serve(port=d.port, files=files)
            check(agent.process.stdout.readline(), 'it is not asked')
            equal(show(device)['session']['lanes_up'], 0, 'lanes')
        lab().start_agent()
        load.goes_on()
    load.ends_well()
    d.stop()


@test
def more_sessions_than_the_kernel_lets_wait():
    """It has 3 to 50 handshakes wait for an agent, by its memory: 5 here.
    Who is one too many tries again until its time is over."""
    d = server()
    names = ['n%d.example' % i for i in range(20)]
    with BadAgent('silent'):
        calls = [subprocess.Popen(
            ['vxhsctl', *options(d, 'mem', name=name)],
            stderr=subprocess.PIPE, text=True) for name in names]
        said = [call.communicate(timeout=60)[1] for call in calls]
    few = [text for text in said if 'too many TLS handshakes wait' in text]
    check(few, 'no one is too many: %s' % said)
    for text in said:
        check(text in few or 'does not answer' in text, text)
    lab().start_agent()
    names = names[:5 if LIGHT else 8]
    cert = lab().false('many', lines=['dns_name = "%s"' % n for n in names])
    with serve(tls_cert=cert.cert, tls_key=cert.key) as many:
        calls = [subprocess.Popen(
            ['vxhsctl', *options(many, 'mem', '--lanes', '1', '--read-only',
                                   name=name)],
            stderr=subprocess.PIPE, text=True) for name in names]
        said = [call.communicate(timeout=60)[1] for call in calls]
        equal([call.returncode for call in calls], [0] * len(names), said)
        settle()
        vm.detach_all()


@test
def detach_by_force_does_not_wait_for_an_agent():
    with serve() as d:
        device = attach(d, 'disk0', '--lanes', 1)
        port = d.port
    with BadAgent('hang') as agent, serve(port=port) as d:
        # It shakes hands, in vain.
        agent.process.stdout.readline()
        stuck = Raw(device)
        begun = time.monotonic()
        force(device)
        took = time.monotonic() - begun
        check(took < 2, 'detach --force takes %.1f s' % took)
        stuck.close()
        vm.gone(d)
        if not LIGHT:   # with lockdep, a socket of ours keeps its module
            vm.rmmod()
    sh('modprobe vxhs')


@test
def nothing_is_left():
    server().stop()
    vm.nothing_is_left()


if __name__ == '__main__':
    main()
