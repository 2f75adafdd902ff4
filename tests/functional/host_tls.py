#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd with TLS: who comes in, who does not, and that their I/O is right.

The kernel does the records. Where it cannot, a library does for the server
what the kernel would do (tests/lib/softktls.c), and what only a kernel does is
not looked at: `tests/vm/run -- tests/functional/vm_tls.py` does that."""

import itertools
import json
import math
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from attack import COUNTED, Attack, compare
from certs import Authority, Cert, certtool
from harness import (TOP, Vxhsd, check, equal, eventually, leases, main,
                     run_vxhsd, test, tmpdir)
from relay import DOWN, Relay
from softtls import TlsPipe, kernel_has_tls, under
from vxhs import (BUSY, DENIED, NOT_FOUND, OK, RO, RW, RW_SHARED, STALE,
                  TAKE_OVER, NativeClient, V34Client)

NAME = 'server.example'

_shared = {}


class Lab:
    """Certificates, and configurations made of them."""

    def __init__(self):
        self.dir = tmpdir()
        self.ca = Authority(self.dir)
        self.server = self.ca.issue('server', dns=NAME, server=True)
        self.client = self.ca.issue('client', dns='client.example')
        self.other = self.ca.issue('other', cn='other')

    def config(self, exports='', path=None, **keys):
        path = path or os.path.join(tmpdir(), 'vxhsd.conf')
        keys = {'tls': 'x509', 'tls-cert': self.server.cert,
                'tls-key': self.server.key, 'tls-ca': self.ca.cert,
                **{key.replace('_', '-'): value
                   for key, value in keys.items()}}
        with open(path, 'w') as file:
            file.write('[server]\n')
            for key, value in keys.items():
                if value is not None:
                    file.write('%s = %s\n' % (key, value))
            file.write(exports)
        return path


def lab():
    if 'lab' not in _shared:
        _shared['lab'] = Lab()
    return _shared['lab']


def start(config, *exports, **kw):
    return Vxhsd(*exports, args=('--config', config), under=under(), **kw)


def server():
    if 'd' not in _shared:
        _shared['d'] = start(lab().config(), 'disk0=memory,size=64M,allow=*:rw',
                             'other=memory,size=16M,allow=*:rw')
    d = _shared['d']
    d.alive()
    # vxhsd says only so much of its peers in a second, and tests are quick.
    lines = d.log().count('\n')
    if lines > _shared.get('lines', 0) + 6:
        time.sleep(1.1)
        _shared['lines'] = lines
    return d


def context(cert=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    c.load_verify_locations(lab().ca.cert)
    if cert:
        c.load_cert_chain(cert.cert, cert.key)
    return c


def connect(d, cert=None, ctx=None, source=None):
    sock = vxhs.connect(d.addr, d.port, source=source)
    return (ctx or context(cert)).wrap_socket(sock, server_hostname=NAME)


def client(d, vdisk='disk0', cert=None, source=None, **kw):
    kw.setdefault('kato', 30000)    # machines may be slow
    sock = connect(d, cert or lab().client, source=source)
    return NativeClient(d.addr, d.port, vdisk, sock=sock, **kw)


# What the server says of whom it refuses; each of nobody else.
NO_CERTIFICATE = 'it has no certificate'
OTHER_AUTHORITY = 'certificate is refused: no authority of tls-ca has signed it'
SELF_SIGNED = 'certificate is refused: it is self-signed'
EXPIRED = 'certificate chain uses expired certificate'
NOT_YET_VALID = 'certificate chain uses not yet valid certificate'
REVOKED = 'certificate chain is revoked'
OF_A_SERVER = 'certificate chain does not match the intended purpose'
WRONG_PSK = 'its PSK is wrong, or nobody has its identity'
NO_PROOF = 'it offers nothing to prove itself with that we take'
OLD_TLS = 'it offers nothing newer than TLS1.2: TLS 1.3 is needed'
NO_TLS = 'what it says is no handshake of TLS'
OTHER_KEYS = 'it does not have the keys of this handshake'
SENTENCES = (NO_CERTIFICATE, OTHER_AUTHORITY, SELF_SIGNED, EXPIRED,
             NOT_YET_VALID, REVOKED, OF_A_SERVER, WRONG_PSK, NO_PROOF,
             OLD_TLS, NO_TLS, OTHER_KEYS)


def refusals(log):
    return [line.split('TLS is refused: ')[1] for line in log.splitlines()
            if 'TLS is refused: ' in line]


def said_why(d, before, why, times=1):
    """It says this of them, and nothing that it says of others."""
    found = eventually(
        lambda: [text for text in refusals(d.log()[before:])
                 if why in text][times - 1:],
        lambda: 'not "%s" but: %s' % (why, d.log()[before:]))
    equal([words for words in SENTENCES
           if words in found[0] and words != why], [], found[0])


def refused(d, why, cert=None, ctx=None):
    """The server lets nobody in who comes like this, and says why."""
    before = len(d.log())
    try:
        sock = connect(d, cert, ctx)
        # With TLS 1.3 a client hears of it with the first byte it reads.
        sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'disk0'))
        got = sock.recv(256)
        sock.close()
        check(not got, 'the server has answered')
    except (ssl.SSLError, ConnectionError):
        pass
    said_why(d, before, why)
    d.alive()


# ------------------------------------------------------------------- x509


@test
def reads_and_writes():
    d = server()
    c = client(d)
    status, g = c.open('disk0')
    equal(status, OK, 'OPEN')
    rng = random.Random(1)
    want = {}
    for _ in range(60):
        offset = rng.randrange(0, 60 << 20) & ~4095
        data = rng.randbytes(rng.choice((512, 4096, 65536, 1 << 20)))
        equal(c.write(g.handle, offset, data), OK, 'WRITE')
        equal(c.read(g.handle, offset, len(data)), (OK, data), 'READ')
        want[offset] = data[:512]
    for offset, data in want.items():
        got = c.read(g.handle, offset, 512)
        equal(got[0], OK, 'READ')
        check(got[1] != bytes(512), 'the data are gone')
    equal(c.logout(), OK, 'LOGOUT')
    check('it is client.example, ' in d.log(), 'it does not say who came')


@test
def many_requests_at_once():
    d = server()
    c = client(d)
    g = c.open('disk0')[1]
    data = random.Random(2).randbytes(64 * 4096)
    tags = [c.send(vxhs.WRITE, data[i * 4096:(i + 1) * 4096],
                   handle=g.handle, offset=i * 4096) for i in range(64)]
    for tag in tags:
        equal(c.wait(tag)[0].status, OK, 'WRITE')
    tags = [c.send(vxhs.READ, handle=g.handle, offset=i * 4096, length=4096)
            for i in range(64)]
    equal(b''.join(c.wait(tag)[1] for tag in tags), data)
    equal(c.logout(), OK, 'LOGOUT')


@test
def every_cipher_works():
    d = server()
    for cipher in ('TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384',
                   'TLS_CHACHA20_POLY1305_SHA256'):
        before = len(d.log())
        with TlsPipe(d, '-ciphersuites', cipher, '-cert', lab().client.cert,
                     '-key', lab().client.key) as pipe:
            c = V34Client(d.addr, d.port, sock=pipe.sock)
            equal(c.stat(), (0, 64 << 20), cipher)
            data = os.urandom(200000)
            equal(c.write(4096, data), 0, cipher)
            equal(c.read(4096, len(data)), (0, data), cipher)
        name = cipher.split('_')[1:3]
        check(name[0].title() in d.log()[before:] or
              name[0] in d.log()[before:], 'another cipher was used')


@test
def a_frame_may_be_spread_over_records():
    d = server()
    c = V34Client(d.addr, d.port, sock=connect(d, lab().client))
    for byte in vxhs.v34(vxhs.V34_STAT, 7, 'disk0'):
        c.sock.sendall(bytes([byte]))
    msg, payload = c.recv()
    equal((msg.cookie, vxhs.kvset_size(payload)), (7, 64 << 20))
    c.close()


@test
def the_last_words_are_still_answered():
    d = server()
    sock = connect(d, lab().client)
    sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'disk0') +
                 vxhs.v34(vxhs.V34_READ, 2, 'disk0', size=1 << 20))
    # close_notify, without a FIN: unwrap() waits for the server's, so only
    # what it sends is wanted.
    sock.settimeout(20)
    c = V34Client(d.addr, d.port, sock=sock)
    c.recv()
    equal(len(c.recv()[1]), 1 << 20)
    try:
        sock.unwrap()
    except (OSError, ssl.SSLError):
        pass
    d.alive()


def closed_because(d, before, why):
    """What the kernel found is logged; what softktls.c found is not."""
    if kernel_has_tls():
        eventually(lambda: why in d.log()[before:],
                   lambda: 'not "%s" but: %s' % (why, d.log()[before:]))
    d.alive()


class Raw:
    """A client whose records can be seen, and changed, on their way."""

    def __init__(self, d, cert):
        self.sock = vxhs.connect(d.addr, d.port)
        self.said = []          # each byte of it
        self.inner, self.outer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(cert).wrap_bio(self.inner, self.outer,
                                          server_hostname=NAME)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.send(self.outer.read())
                self.inner.write(self.sock.recv(65536))
        self.send(self.outer.read())

    def send(self, data):
        self.said.append(bytes(data))
        self.sock.sendall(data)

    def record(self, data):
        self.tls.write(data)
        return bytearray(self.outer.read())

    def read(self, n):
        while True:
            try:
                return self.tls.read(n)
            except ssl.SSLWantReadError:
                got = self.sock.recv(65536)
                if not got:
                    return b''
                self.inner.write(got)

    def ask(self, data, size):
        """Sends a frame; returns the answer, of so many bytes."""
        self.send(self.record(data))
        answer = b''
        while len(answer) < size:
            got = self.read(size - len(answer))
            check(got, 'no answer')
            answer += got
        return answer


@test
def no_bit_of_a_record_may_change():
    # Of its own, for it makes so many lines that others' would be left out.
    with start(lab().config(), 'disk0=memory,size=64M,allow=*:rw') as d:
        change_bits(d)


def change_bits(d):
    stat = vxhs.v34(vxhs.V34_STAT, 1, 'disk0')
    size = len(Raw(d, lab().client).record(stat))
    rng = random.Random(3)
    # Not the length: a record that is not complete is waited for.
    places = [0, 1, 2, 5, size - 1] + [rng.randrange(5, size)
                                       for _ in range(10)]
    for place in places:
        before = len(d.log())
        c = Raw(d, lab().client)
        good = c.record(stat)
        c.sock.sendall(good)
        answer = c.read(256)
        equal(len(answer), 256)
        c.read(256)
        bad = c.record(stat)
        bad[place] ^= 1 << rng.randrange(8)
        c.sock.sendall(bad)
        # The outer type means nothing: the one that counts is enciphered,
        # and a kernel does not look at the other.
        try:
            got = c.read(256)
        except TimeoutError:
            got = None
        check(got == b'' or not place and got == answer,
              'byte %d of a record has changed: %r' % (place, got))
        c.sock.close()
        if place >= 5:
            closed_because(d, before, 'a TLS record is not authentic')


@test
def a_record_does_not_come_twice():
    d = server()
    c = Raw(d, lab().client)
    stat = c.record(vxhs.v34(vxhs.V34_STAT, 1, 'disk0'))
    c.sock.sendall(stat)
    equal(len(c.read(256)), 256)
    c.read(256)
    c.sock.sendall(stat)
    equal(c.read(1), b'')
    c.sock.close()


@test
def records_do_not_change_places():
    with start(lab().config(), 'disk0=memory,size=64M,allow=*:rw') as d:
        before = len(d.log())
        c = Raw(d, lab().client)
        first, second = (c.record(vxhs.v34(vxhs.V34_STAT, cookie, 'disk0'))
                         for cookie in (1, 2))
        c.send(second)
        c.send(first)
        try:
            equal(c.read(1), b'')
        except ConnectionError:
            pass
        c.sock.close()
        closed_because(d, before, 'a TLS record is not authentic')


@test
def a_key_update_ends_the_lane():
    # Of its own: what it says must not be among what is left out.
    with start(lab().config(), 'disk0=memory,size=1M,allow=*:rw') as d:
        update_key(d)


def update_key(d):
    before = len(d.log())
    with subprocess.Popen(
            ['openssl', 's_client', '-tls1_3', '-connect', '%s:%d' %
             (d.addr, d.port), '-cert', lab().client.cert, '-key',
             lab().client.key], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        eventually(lambda: 'it is client.example' in d.log()[before:],
                   'the handshake never ended')
        while b'Verify return code' not in process.stdout.readline():
            pass
        process.stdin.write(b'K\n')
        process.stdin.flush()
        # It ends when the server has closed the connection.
        process.wait(20)
    closed_because(d, before, 'neither data nor the end')


@test
def the_session_is_the_identitys():
    d = server()
    a = client(d, session=77, lanes=2)
    # From elsewhere, and with the same certificate.
    b = client(d, session=77, lanes=2, lane=1, source='127.0.0.9')
    equal(b.ping(), OK)
    c = client(d, session=77, lanes=2, lane=1, cert=lab().other, login=False)
    equal(c.login(1, 1, 2), DENIED, 'somebody else in the session')
    equal(a.ping(), OK)
    for x in (a, b, c):
        x.close()


@test
def no_certificate():
    refused(server(), NO_CERTIFICATE)


@test
def certificate_of_another_authority():
    ca = Authority(tmpdir(), 'ca2')
    refused(server(), OTHER_AUTHORITY,
            ca.issue('client', cn='client.example'))


@test
def self_signed_certificate():
    c = Cert(tmpdir(), 'self')
    c.fill('cn = "client.example"', 'tls_www_client', 'signing_key',
           'expiration_days = 1')
    certtool('--generate-self-signed', '--load-privkey', c.key, '--template',
             c.template, '--outfile', c.cert)
    refused(server(), SELF_SIGNED, c)


@test
def expired_certificate():
    refused(server(), EXPIRED, lab().ca.issue(
        'old', cn='client.example', days='expiration_date = '
        '"2020-01-02 00:00:00"', lines=('activation_date = '
                                        '"2020-01-01 00:00:00"',)))


@test
def certificate_not_valid_yet():
    refused(server(), NOT_YET_VALID, lab().ca.issue(
        'early', cn='client.example', days='expiration_date = '
        '"2090-01-02 00:00:00"', lines=('activation_date = '
                                        '"2090-01-01 00:00:00"',)))


@test
def certificate_of_a_server():
    refused(server(), OF_A_SERVER, lab().server)


@test
def certificate_without_a_usable_name():
    refused(server(), 'could be an identity',
            lab().ca.issue('space', cn='two words'))


@test
def certificates_with_odd_names():
    d = server()
    for n, (keys, who) in enumerate((
            ({'cn': 'a', 'dns': 'b.example'}, 'b.example'),
            ({'cn': 'c', 'lines': ('ip_address = "192.0.2.1"',
                                   'uri = "http://%s"' % ('x' * 400))}, 'c'),
            ({'cn': 'd', 'lines': ('email = "x@y.example"',
                                   'dns_name = "e.example"',
                                   'dns_name = "f.example"')}, 'e.example'),
            ({'cn': 'client.example'}, 'client.example'))):
        before = len(d.log())
        client(d, cert=lab().ca.issue('odd%d' % n, **keys)).logout()
        check('it is %s, ' % who in d.log()[before:], d.log()[before:])
    refused(d, 'could be an identity', lab().ca.issue(
        'long', cn='g', dns='h' * 60 + ('.' + 'h' * 60) * 4))
    # To take apart what is allowed to be longer keeps others waiting.
    refused(d, 'size is too large', lab().ca.issue(
        'huge', cn='g', lines=['uri = "http://%s"' % ('x' * 1000)] * 20))


@test
def revoked_certificate():
    bad = lab().ca.issue('bad', cn='bad')
    crl = lab().ca.revoke(os.path.join(tmpdir(), 'crl.pem'), bad)
    with start(lab().config(tls_crl=crl), 'disk0=memory,size=1M,allow=*:rw') as d:
        refused(d, REVOKED, bad)
        client(d).logout()


# certtool reads local time.
os.environ['TZ'] = 'UTC'


def date(when):
    return '"%s"' % time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(when))


def crl_of(since, until):
    return lab().ca.revoke(
        os.path.join(tmpdir(), 'crl.pem'), when='crl_this_update_date = %s\n'
        'crl_next_update_date = %s' % (date(since), date(until)))


@test
def a_certificate_that_expires_ends_the_lane():
    d = server()
    # Long enough to come in, on a machine that is busy.
    cert = lab().ca.issue('short', cn='short', days='expiration_date = ' +
                          date(time.time() + 5))
    c = client(d, cert=cert, kato=60000)
    equal(c.ping(), OK)
    check(vxhs.is_closed(c.sock, 20), 'it is still there')
    eventually(lambda: 'short is cut: its certificate has expired' in d.log(),
               'it does not say so')
    c.close()


@test
def an_old_root_that_nobody_needs_ends_nothing():
    """The authority has got a new certificate for its key, and clients still
    send the one before, which has ended."""
    old = Authority(tmpdir(), 'old')
    new = Authority(tmpdir(), 'old', key=old.key)
    old.fill('cn = "old"', 'ca', 'cert_signing_key',
             'activation_date = ' + date(time.time() - 3600),
             'expiration_date = ' + date(time.time() - 60))
    certtool('--generate-self-signed', '--load-privkey', old.key,
             '--template', old.template, '--outfile', old.cert)
    cert = new.issue('heir', cn='heir')
    with open(cert.cert, 'a') as out, open(old.cert) as file:
        out.write(file.read())
    with start(lab().config(tls_ca=new.cert),
               'disk0=memory,size=1M,allow=*:rw') as d:
        c = client(d, cert=cert, kato=60000)
        check(not vxhs.is_closed(c.sock, 3), d.log())
        equal(c.ping(), OK)
        equal(c.logout(), OK)


@test
def tls_1_2():
    ctx = context(lab().client)
    ctx.minimum_version = ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    refused(server(), OLD_TLS, ctx=ctx)


@test
def no_group_that_costs_the_server_much():
    """A handshake of FFDHE8192 would keep its thread for 300 ms."""
    d = server()
    for group in ('ffdhe2048', 'ffdhe8192'):
        before = len(d.log())
        with TlsPipe(d, '-groups', group, '-cert', lab().client.cert,
                     '-key', lab().client.key) as pipe:
            equal(pipe.sock.recv(1), b'', group)
        eventually(lambda: 'TLS is refused: ' in d.log()[before:],
                   'nobody was refused')
    for group in ('X25519', 'P-256', 'P-384', 'P-521', 'X448'):
        with TlsPipe(d, '-groups', group, '-cert', lab().client.cert,
                     '-key', lab().client.key) as pipe:
            equal(V34Client(d.addr, d.port, sock=pipe.sock).stat(),
                  (0, 64 << 20), group)


def key_with_long_exponent():
    """A self-signed certificate; who checks what its key has signed raises
    to a power as long as the modulus."""
    c = Cert.__new__(Cert)
    c.key, c.cert = (os.path.join(tmpdir(), name) for name in ('key', 'cert'))
    p, q = (int(subprocess.run(['openssl', 'prime', '-generate', '-bits',
                                '1024'], stdout=subprocess.PIPE,
                               check=True).stdout) for _ in range(2))
    phi = (p - 1) * (q - 1)
    e = phi - 2
    while math.gcd(e, phi) != 1:
        e -= 1
    d = pow(e, -1, phi)
    conf = c.key + '.cnf'
    with open(conf, 'w') as file:
        file.write('asn1 = SEQUENCE:key\n[key]\n')
        for i, x in enumerate((0, p * q, e, d, p, q, d % (p - 1), d % (q - 1),
                               pow(q, -1, p))):
            file.write('f%d = INTEGER:0x%x\n' % (i, x))
    subprocess.run(['openssl', 'asn1parse', '-genconf', conf, '-noout', '-out',
                    c.key + '.der'], check=True)
    subprocess.run(['openssl', 'rsa', '-inform', 'DER', '-in', c.key + '.der',
                    '-out', c.key], stderr=subprocess.DEVNULL, check=True)
    subprocess.run(['openssl', 'req', '-x509', '-key', c.key, '-subj', '/CN=x',
                    '-out', c.cert], check=True)
    return c


@test
def no_signature_that_takes_long_to_check():
    """GnuTLS checks it before anybody has looked at whose it is."""
    d = server()
    costly = key_with_long_exponent()
    before = len(d.log())
    with TlsPipe(d, '-cert', costly.cert, '-key', costly.key) as pipe:
        equal(pipe.sock.recv(1), b'')
    eventually(lambda: 'refused: the key of its certificate' in
               d.log()[before:], lambda: d.log()[before:])
    client(d).logout()


@test
def no_tls_at_all():
    d = server()
    before = len(d.log())
    for hello in (vxhs.v34(vxhs.V34_STAT, 1, 'disk0'), b'GET / HTTP/1.1\r\n\r\n',
                  bytes(300)):
        sock = vxhs.connect(d.addr, d.port)
        sock.sendall(hello)
        sock.settimeout(10)
        try:
            while True:
                got = sock.recv(4096)
                if not got:
                    break
                # At most an alert, in the clear.
                check(got[0] == 21, 'it has answered %r' % got[:16])
        except ConnectionError:
            pass
        sock.close()
    said_why(d, before, NO_TLS, 3)


@test
def tls_to_a_plain_port():
    with Vxhsd('disk0=memory,size=1M') as d:
        sock = vxhs.connect(d.addr, d.port)
        try:
            context(lab().client).wrap_socket(sock, server_hostname=NAME)
            raise AssertionError('a handshake without TLS')
        except (ssl.SSLError, ConnectionError):
            pass
        eventually(lambda: 'it begins TLS, which this server is not' in
                   d.log(), d.log)
        V34Client(d.addr, d.port).close()


def hello(cert):
    """A client, and the first that it says."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(cert).wrap_bio(incoming, outgoing, server_hostname=NAME)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return tls, incoming, outgoing, bytearray(outgoing.read())


@test
def a_man_in_the_middle_cannot_downgrade():
    """What he takes away from what is offered is missed, by one or by the
    other: by the server where TLS 1.3 is gone, by both where it is another
    cipher, for what they have said must be the same."""
    d = server()
    versions = b'\x00\x2b\x00\x03\x02\x03\x04'
    for old, new, why in (
            (versions, versions[:-1] + b'\x03', OLD_TLS),
            # By whom first, with their keys different, is chance.
            (b'\x13\x02\x13\x03\x13\x01', b'\x13\x03' * 3, None)):
        before = len(d.log())
        tls, incoming, outgoing, first = hello(lab().client)
        check(old in first, 'not what clients say')
        sock = vxhs.connect(d.addr, d.port)
        sock.sendall(first.replace(old, new))
        try:
            while True:
                got = sock.recv(65536)
                if not got:
                    break
                incoming.write(got)
                try:
                    tls.do_handshake()
                    raise AssertionError('the handshake has ended well')
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLError:
                    sock.sendall(outgoing.read())
                    break
        except ConnectionError:
            pass
        sock.close()
        eventually(lambda: refusals(d.log()[before:]), 'nobody was refused')
        if why:
            said_why(d, before, why)
        check('it is client' not in d.log()[before:], 'somebody came in')


class Tapped(Raw):
    """A lane that has written; what was said for that is known by heart."""

    def __init__(self, d, cert):
        super().__init__(d, cert)
        self.ask(vxhs.v34(vxhs.V34_STAT, 1, 'disk0', extra=vxhs.offer(0)),
                 256 + len(vxhs.kvset(0)))
        self.login = len(self.said)
        self.call(vxhs.LOGIN, vxhs.login_body(0x4242, kato=60000, features=0),
                  answer=64)
        opened = self.call(vxhs.OPEN, vxhs.open_body('disk0', RW_SHARED),
                           answer=80)
        self.handle = struct.unpack_from('<I', opened)[0]
        self.write(b'o')

    def call(self, op, payload=b'', answer=0, **kw):
        rsp = self.ask(vxhs.request(op, 1, payload, **kw), 32 + answer)
        equal(struct.unpack_from('<H', rsp, 6)[0], OK, 'status of %d' % op)
        return rsp[32:]

    def write(self, byte):
        self.call(vxhs.WRITE, byte * 512, handle=self.handle)


def say_again(sock, said):
    """Sends what was heard; returns when that is over."""
    sock.settimeout(20)
    try:
        for data in said:
            sock.sendall(data)
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    sock.close()


@test
def a_login_cannot_be_replayed():
    """All that a client has said, said again by who has listened: on a
    connection of his own, and on one that he has a right to."""
    d = server()
    tap = Tapped(d, lab().client)
    said = list(tap.said)
    tap.write(b'n')
    before = len(d.log())
    say_again(vxhs.connect(d.addr, d.port), said)
    said_why(d, before, OTHER_KEYS)
    check('it is client' not in d.log()[before:], 'somebody came in')
    own = Raw(d, lab().other)
    say_again(own.sock, said[tap.login:])
    # The session is what it was, and so are the data.
    equal(tap.call(vxhs.READ, handle=tap.handle, length=512, answer=512),
          b'n' * 512)
    tap.call(vxhs.LOGOUT)
    tap.sock.close()


@test
def half_a_handshake_holds_up_nobody():
    with start(lab().config(), 'disk0=memory,size=64M,allow=*:rw') as d:
        begin_halves(d)


def begin_halves(d):
    # Less than one address may have at a time.
    socks = [vxhs.connect(d.addr, d.port, source='127.0.0.7')
             for _ in range(70)]
    for sock in socks:
        try:
            sock.sendall(b'\x16\x03\x01\x02')
        except ConnectionError:
            pass
    eventually(lambda: 'of its address at a time' in d.log(),
               'nobody was refused')
    client(d).logout()
    for sock in socks:
        sock.close()
    client(d).logout()


def client_hello():
    """The first message of somebody who knows what he does."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context(lab().client).wrap_bio(coming, going,
                                       server_hostname=NAME).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return going.read()


def send_until_closed(sock, first, again):
    with sock:
        try:
            sock.sendall(first)
            for _ in range(10000):
                sock.sendall(again)
        except OSError:
            pass


@test
def who_only_says_what_is_skipped_holds_up_nobody():
    """Records that TLS has an endpoint ignore, as fast as they can be sent."""
    for record in (b'\x14\x03\x03\x00\x01\x01',      # change_cipher_spec
                   b'\x15\x03\x03\x00\x02\x01\x5a'):  # warning: user_canceled
        for hello in (client_hello(), b''):
            # One of its own: what is said of peers is limited.
            with start(lab().config(),
                       'disk0=memory,size=1M,allow=*:rw') as d:
                sock = vxhs.connect(d.addr, d.port, source='127.0.0.8')
                flood = threading.Thread(target=send_until_closed,
                                         args=(sock, hello, record * 20000))
                flood.start()
                client(d).logout()
                flood.join(60)
                check(not flood.is_alive(), 'it was not closed')
                eventually(lambda: '127.0.0.8' in d.log(),
                           lambda: 'not said in: ' + d.log())
                check('took too long' not in d.log(), 'only by its time')


def attack_handshakes(d, begun):
    """Each costs the server a signature, and this side nothing."""
    first = bytes(hello(lab().client)[3])
    socks = []
    for n in itertools.count():
        sock = vxhs.connect(d.addr, d.port, source='127.0.0.2')
        try:
            sock.sendall(first)
        except ConnectionError:
            pass
        socks.append(sock)
        if len(socks) > 40:
            socks.pop(0).close()
        if n == 400:
            begun()


if COUNTED or not kernel_has_tls():     # in the VM once is enough
    @test
    def handshakes_without_end():
        d = server()
        lab()       # not in each process
        compare(attack_handshakes, d, lambda: client(d, kato=60000), 'disk0')
        with Attack(attack_handshakes, d):
            eventually(lambda: 'too many handshakes of its address in a '
                       'short time' in d.log(), 'nobody was refused')


@test
def a_slow_handshake_ends():
    d = server()
    sock = vxhs.connect(d.addr, d.port)
    sock.sendall(b'\x16\x03\x01')
    sock.settimeout(30)
    try:
        equal(sock.recv(1), b'')
    except ConnectionError:
        pass
    check('its handshake took too long' in d.log(), 'it does not say so')


@test
def the_server_ends_with_handshakes_under_way():
    with start(lab().config(), 'disk0=memory,size=1M,allow=*:rw') as d:
        socks = [vxhs.connect(d.addr, d.port) for _ in range(5)]
        c = client(d)
        for sock in socks:
            sock.sendall(b'\x16')
        c.close()


# -------------------------------------------------------------------- psk


def psk_file(text, mode=0o600):
    path = os.path.join(tmpdir(), 'psk')
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def psk_config(path):
    return lab().config(tls='psk', tls_cert=None, tls_key=None, tls_ca=None,
                        tls_psk=path)


LONG = 'n' * 255


def psk_server():
    if 'psk' not in _shared:
        _shared['key'] = os.urandom(32).hex()
        path = psk_file('# hosts\nhost1:%s\n%s:%s\n' %
                        (_shared['key'], LONG, _shared['key']))
        _shared['psk'] = start(psk_config(path), 'disk0=memory,size=16M,allow=host1:rw')
    return _shared['psk']


@test
def psk():
    d = psk_server()
    with TlsPipe(d, '-psk_identity', 'host1', '-psk', _shared['key']) as pipe:
        c = NativeClient(d.addr, d.port, sock=pipe.sock, kato=5000)
        g = c.open('disk0')[1]
        data = os.urandom(100 * 4096)
        equal(c.write(g.handle, 0, data), OK, 'WRITE')
        equal(c.read(g.handle, 0, len(data)), (OK, data), 'READ')
        equal(c.logout(), OK)
    check('it is host1, ' in d.log(), 'it does not say who came')
    with TlsPipe(d, '-psk_identity', LONG, '-psk', _shared['key']) as pipe:
        V34Client(d.addr, d.port, sock=pipe.sock).stat()
    check('it is %s, ' % LONG in d.log(), 'not the longest')


class Heard(Relay):
    """Keeps what a server says."""

    said = b''

    def _change(self, way, data):
        if way == DOWN:
            self.said += data
        return data


@test
def wrong_psk_looks_like_an_unknown_identity():
    d = psk_server()
    seen = []
    for name in ('host1', 'nobody'):
        before = len(d.log())
        with Heard(d) as relay, TlsPipe(relay, '-psk_identity', name, '-psk',
                                        'ab' * 32) as pipe:
            equal(pipe.sock.recv(1), b'', name)
            said_why(d, before, WRONG_PSK)
            eventually(lambda: len(relay.said) >= 7, 'there is no alert')
            seen.append((refusals(d.log()[before:]), relay.said))
    equal(seen[0], seen[1])
    # Nothing but an alert, a fatal one.
    alert = seen[0][1]
    equal((len(alert), alert[0], alert[5]), (7, 21, 2), alert.hex())


@test
def no_psk_without_diffie_hellman():
    """Else who gets the key reads what he has recorded."""
    d = psk_server()
    for exchange, good in (('+PSK', False), ('+ECDHE-PSK', True)):
        before = len(d.log())
        done = subprocess.run(
            ['gnutls-cli', '--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.3:'
             '-CIPHER-ALL:+AES-128-GCM:-KX-ALL:' + exchange, '--pskusername',
             'host1', '--pskkey', _shared['key'], '-p', str(d.port), d.addr],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=60, check=False)
        equal(done.returncode == 0, good, exchange)
        if good:
            eventually(lambda: 'it is host1, ' in d.log()[before:], d.log)
        else:
            said_why(d, before, NO_PROOF)
            check('it is host1' not in d.log()[before:], 'it came in')


# ------------------------------------------------------------------ lists

LISTS = """
[export a]
target = memory
size = 16M
allow = client.example:rw
allow = other:ro

[export b]
target = memory
size = 16M
allow = other:rw+take-over
allow = third:rw
allow = *:ro

[export c]
target = memory
size = 16M
"""


def third():
    if 'third' not in _shared:
        _shared['third'] = lab().ca.issue('third', cn='third')
    return _shared['third']


def lists():
    if 'lists' not in _shared:
        _shared['lists'] = start(lab().config(LISTS))
    _shared['lists'].alive()
    return _shared['lists']


def status_of(c, name, mode, options=0):
    return c.open(name, mode, options, patience=0)[0]


@test
def rights_of_native_clients():
    d = lists()
    mine, other, thirds = (client(d, 'b', cert) for cert in (
        lab().client, lab().other, third()))
    equal(status_of(mine, 'a', RW), OK)
    equal(status_of(other, 'a', RO), OK)
    equal(status_of(other, 'a', RW), DENIED)
    equal(status_of(other, 'a', RW_SHARED), DENIED)
    equal(status_of(thirds, 'a', RO), NOT_FOUND)
    equal(status_of(mine, 'b', RO), OK)
    equal(status_of(mine, 'b', RW), DENIED)
    equal(status_of(other, 'b', RW), OK)
    equal(status_of(thirds, 'b', RW), BUSY)
    equal(status_of(thirds, 'b', RW, TAKE_OVER), DENIED)
    equal(other.ping(), OK)
    equal(other.logout(), OK)
    equal(status_of(thirds, 'b', RW, TAKE_OVER), OK)
    other = client(d, 'b', lab().other)
    equal(status_of(other, 'b', RW), BUSY)
    equal(status_of(other, 'b', RW, TAKE_OVER), OK)
    for c in (mine, other, thirds):
        equal(c.logout(), OK)


@test
def what_is_forbidden_does_not_exist():
    d = lists()
    owner = client(d, 'a')
    equal(status_of(owner, 'a', RW), OK)
    said = []
    for name in ('a', 'c', 'z'):
        # The same of all but the name: that is what was asked.
        c = V34Client(d.addr, d.port, name, sock=connect(d, third()))
        c.cookie = 5
        replies = [c.call(vxhs.V34_STAT), c.call(vxhs.V34_READY),
                   c.call(vxhs.V34_READ, size=4096),
                   c.call(vxhs.V34_WRITE, size=4096, payload=bytes(4096))]
        c.close()
        n = client(d, name, third())
        opens = [n.call(vxhs.OPEN, vxhs.open_body(name, mode, options))
                 for mode in (RO, RW, RW_SHARED)
                 for options in (0, TAKE_OVER)]
        equal([rsp.status for rsp, _ in opens[:4]], [NOT_FOUND] * 4, name)
        said.append((
            [(msg._replace(target=b''), body) for msg, body in replies],
            n.stat._replace(target=b''), n.stat_payload,
            [(rsp._replace(server_us=0), body) for rsp, body in opens]))
        n.logout()
    equal(said[0], said[2])
    equal(said[1], said[2])
    equal(owner.ping(), OK)
    equal(owner.logout(), OK)


@test
def rights_of_v34_clients():
    d = lists()
    c = V34Client(d.addr, d.port, 'a', sock=connect(d, lab().client))
    o = V34Client(d.addr, d.port, 'a', sock=connect(d, lab().other))
    data = os.urandom(8192)
    equal(c.write(0, data), 0)
    equal(o.read(0, 8192), (0, data))
    check(o.write(0, bytes(8192)), 'a WRITE without a right')
    equal(c.read(0, 8192), (0, data))
    c.close()
    o.close()


@test
def a_limit_is_the_identitys():
    """Wherever it comes from; and another's at the same address is another."""
    with start(lab().config(client_max_conns=4),
               'disk0=memory,size=1M,allow=*:rw') as d:
        there = [client(d, source=source) for source in
                 ('127.0.0.2', '127.0.0.3', '127.0.0.2', '127.0.0.3')]
        for source in ('127.0.0.2', '127.0.0.3', '127.0.0.4'):
            before = len(d.log())
            sock = connect(d, lab().client, source=source)
            check(vxhs.is_closed(sock), 'one too many of ' + source)
            sock.close()
            eventually(lambda: source + ':' in d.log()[before:] and
                       'its client has 4 connections, which is the limit' in
                       d.log()[before:], d.log)
        equal(client(d, cert=lab().other, source='127.0.0.2').logout(), OK)
        for c in there:
            equal(c.logout(), OK)


@test
def nobody_comes_back_as_somebody_else():
    config = lab().config()
    path = os.path.join(tmpdir(), 'disk')
    export = path + ',size=16M,allow=*:rw'
    first = start(config, 'd=' + export)
    a = client(first, 'd', session=99, kato=20000)
    equal(status_of(a, 'd', RW), OK)
    first.kill()
    a.close()
    with start(config, 'd=' + export, state_dir=first.dir) as d:
        b = client(d, 'd', lab().other, session=99, epoch=2)
        equal(status_of(b, 'd', RW), BUSY, 'somebody else')
        equal(b.logout(), OK)
        a = client(d, 'd', session=99, epoch=2, kato=20000)
        equal(status_of(a, 'd', RW), OK, 'the owner')
        equal(a.logout(), OK)


# ----------------------------------------------------------------- SIGHUP


def reload(d, expect):
    before = len(d.log())
    d.signal(signal.SIGHUP)
    eventually(lambda: expect in d.log()[before:],
               lambda: 'no "%s" in: %s' % (expect, d.log()[before:]))


DONE = 'exports are those of the configuration'


@test
def a_right_that_is_lost_ends_what_it_was_for():
    path = lab().config(LISTS)
    with start(path) as d:
        c = client(d, 'a')
        g = c.open('a')[1]
        keeps = client(d, 'b')
        kept = keeps.open('b', RO)[1]
        v = V34Client(d.addr, d.port, 'b', sock=connect(d, third()))
        equal(v.write(0, bytes(4096)), 0)
        lab().config(LISTS.replace('client.example:rw', 'client.example:ro')
                     .replace('third:rw', 'third:ro'), path)
        reload(d, DONE)
        equal(c.write(g.handle, 0, bytes(4096)), STALE)
        equal(c.ping(), OK)
        # Nor does he keep on paper what he has no more.
        eventually(lambda: leases(d.dir)['leases'][0]['state'] == 'free',
                   lambda: 'he holds it still: %r' % leases(d.dir))
        equal(status_of(c, 'a', RW), DENIED)
        equal(status_of(c, 'a', RO), OK)
        equal(keeps.read(kept.handle, 0, 512), (OK, bytes(512)))
        check(v.write(0, bytes(4096)), 'a WRITE without a right')
        equal(v.read(0, 512), (0, bytes(512)))
        lab().config(LISTS.replace('*:ro', 'x:ro').replace('third:rw', 'x:ro'),
                     path)
        reload(d, DONE)
        equal(v.read(0, 512)[0], v.read(0, 512, target='z')[0])
        equal(status_of(keeps, 'b', RO), NOT_FOUND)
        for x in (c, keeps, v):
            x.close()


@test
def who_is_revoked_is_cut():
    crl = lab().ca.revoke(os.path.join(tmpdir(), 'crl.pem'))
    path = lab().config(LISTS, tls_crl=crl)
    with start(path) as d:
        gone = client(d, 'b', third(), kato=60000)
        equal(status_of(gone, 'b', RW), OK)
        stays = client(d, 'b', lab().other)
        lab().ca.revoke(crl, third())
        reload(d, DONE)
        check(vxhs.is_closed(gone.sock, 10), 'it is still there')
        eventually(lambda: 'third is cut: ' in d.log(), 'it does not say so')
        refused(d, REVOKED, third())
        # Its session is over, and with it what it had.
        equal(status_of(stays, 'b', RW), OK)
        equal(stays.logout(), OK)
        gone.close()


@test
def the_server_ends_while_it_looks_at_who_is_there():
    """SIGTERM right after SIGHUP, with many certificates to look at."""
    with start(lab().config(LISTS)) as d:
        socks = [connect(d, lab().client) for _ in range(150)]
        reload(d, DONE)
    for sock in socks:
        sock.close()


@test
def what_is_bad_changes_nothing():
    path = lab().config(LISTS)
    old = lab().ca.issue('oldserver', dns=NAME, server=True, days='expiration_'
                         'date = "2020-01-02 00:00:00"', lines=(
                             'activation_date = "2020-01-01 00:00:00"',))
    open_key = os.path.join(tmpdir(), 'open.key')
    with open(open_key, 'w') as out, open(lab().server.key) as key:
        out.write(key.read())
    os.chmod(open_key, 0o644)
    with start(path) as d:
        c = client(d, 'a')
        fds = d.fds()
        for keys, word in (
                ({'tls_key': open_key}, 'mode is 644'),
                ({'tls_cert': old.cert, 'tls_key': old.key}, 'expired'),
                ({'tls_key': '/nonexistent'}, 'cannot open'),
                ({'tls_crl': lab().ca.cert}, 'no list'),
                ({'exports': LISTS + 'allow = x:y\n'}, '"y" is no right'),
                ({'exports': LISTS + 'allow = ro\n'}, 'IDENTITY:RIGHT'),
                ({'exports': LISTS + 'allow = x:take-over\n'}, 'goes with'),
                ({'exports': LISTS + '[export q]\nallow = x:ro\n'},
                 'export q has no target'),
                ({'tls': None, 'tls_cert': None, 'tls_key': None,
                  'tls_ca': None, 'exports': ''}, 'restart it'),
                ({'tls': None, 'tls_cert': None, 'tls_key': None,
                  'tls_ca': None}, 'allow needs tls')):
            lab().config(**{'exports': LISTS, 'path': path, **keys})
            reload(d, 'nothing is changed: ')
            check(word in d.log().splitlines()[-1],
                  'no "%s" in: %s' % (word, d.log().splitlines()[-1]))
            equal(c.ping(), OK)
            client(d, 'a').logout()
        eventually(lambda: d.fds() == fds, 'files stay open')
        new = lab().ca.issue('newserver', dns='server2.example', server=True)
        lab().config(LISTS, path, tls_cert=new.cert, tls_key=new.key)
        reload(d, DONE)
        equal(c.ping(), OK)
        try:
            client(d, 'a')
            raise AssertionError('the old certificate is still in use')
        except ssl.SSLCertVerificationError:
            pass
        c.close()


@test
def a_key_that_is_gone_is_cut():
    key = os.urandom(32).hex()
    psks = psk_file('host1:%s\nhost2:%s\n' % (key, key))
    with start(psk_config(psks), 'disk0=memory,size=1M,allow=*:rw') as d:
        with TlsPipe(d, '-psk_identity', 'host1', '-psk', key) as one, \
                TlsPipe(d, '-psk_identity', 'host2', '-psk', key) as two:
            a = V34Client(d.addr, d.port, sock=one.sock)
            b = V34Client(d.addr, d.port, sock=two.sock)
            equal((a.stat(), b.stat()), ((0, 1 << 20),) * 2)
            with open(psks, 'w') as file:
                file.write('host2:%s\n' % key)
            reload(d, DONE)
            check(vxhs.is_closed(a.sock, 10), 'it is still there')
            equal(b.stat(), (0, 1 << 20))


# ------------------------------------------------------------------ audit


def events(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


@test
def the_audit_has_everything():
    path = os.path.join(tmpdir(), 'audit.json')
    crl = lab().ca.revoke(os.path.join(tmpdir(), 'crl.pem'))
    config = lab().config(LISTS, audit=path, tls_crl=crl)

    def wait_for(**want):
        return eventually(
            lambda: [e for e in events(path) if
                     {key: e.get(key) for key in want} == want],
            lambda: '%r is not among %r' % (want, events(path)))

    with start(config) as d:
        equal(os.stat(path).st_mode & 0o777, 0o640 & ~umask(), 'mode')
        refused(d, NO_CERTIFICATE)
        wait_for(event='refused', why=NO_CERTIFICATE, identity=None)
        a = client(d, 'b', third(), session=0x1234)
        wait_for(event='login', identity='third', session='%016x' % 0x1234)
        equal(status_of(a, 'b', RW), OK)
        wait_for(event='open', identity='third', vdisk='b',
                 why='exclusively')
        equal(status_of(a, 'a', RO), NOT_FOUND)
        wait_for(event='denied', identity='third', vdisk='a', why='no right')
        equal(status_of(a, 'n"\n\\', RO), NOT_FOUND)
        wait_for(event='denied', identity='third', vdisk='n"\n\\',
                 why='no such vdisk')
        # What is no UTF-8 is shown byte by byte: cut short, a surrogate, one
        # that is too long for what it is, or beyond the last.
        for name, shown in (
                ('d\u00e9p\u00f4t-\u20ac\U0001f4be\x7f\x85'.encode(), None),
                (b'\xc3(\xed\xa0\x80\xc0\xaf\xe0\x82\x82\xf4\x90\x80\x80'
                 b'\xf0\x80\x82\x82\xff\xe2\x82', 'latin1')):
            equal(status_of(a, name, RO), NOT_FOUND)
            wait_for(event='denied', identity='third',
                     vdisk=name.decode(shown or 'utf-8'))
        b = client(d, 'b', lab().other)
        equal(status_of(b, 'b', RW, TAKE_OVER), OK)
        found = wait_for(event='take-over', identity='other', vdisk='b')
        check('third' in found[0]['why'], 'it does not say from whom')
        c = client(d, 'b', session=0x1234, login=False)
        equal(c.login(), DENIED)
        wait_for(event='denied', identity='client.example',
                 session='%016x' % 0x1234)
        v = V34Client(d.addr, d.port, 'a', sock=connect(d, lab().other))
        equal(v.read(0, 512)[0], 0)
        wait_for(event='open', identity='other', vdisk='a')
        check(v.write(0, bytes(512)), 'a WRITE without a right')
        wait_for(event='denied', identity='other', vdisk='a',
                 why='no right to write')
        for op, name, why in ((vxhs.V34_STAT, 'c', 'no right'),
                              (vxhs.V34_READY, 'z', 'no such vdisk')):
            v.call(op, target=name)
            wait_for(event='denied', identity='other', vdisk=name, why=why)
        check(v.read(0, 512, target='y')[0], 'a READ of nothing')
        wait_for(event='denied', identity='other', vdisk='y')
        v.close()
        # Moved away by logrotate, then told.
        os.rename(path, path + '.1')
        lab().ca.revoke(crl, third())
        reload(d, DONE)
        wait_for(event='cut', identity='third')
        check('cut' not in [e['event'] for e in events(path + '.1')],
              'it goes on in the old file')
        for e in events(path + '.1'):
            check(e['peer'].startswith('127.0.0.1:'), e)
        for x in (a, b, c):
            x.close()


if kernel_has_tls() and not COUNTED:
    @test
    def a_flood_without_data_holds_up_nobody():
        """A receive would go on for as long as empty records come."""
        with start(lab().config(threads=1),
                   'disk0=memory,size=1M,allow=*:rw') as d:
            c = client(d)
            _, g = c.open('disk0')
            flood = subprocess.Popen(
                [os.path.join(TOP, 'build', 'empty_records'), str(d.port),
                 lab().other.cert, lab().other.key, '400000'],
                stdout=subprocess.PIPE)
            try:
                equal(flood.stdout.readline(), b'begun\n')
                for i in range(20):
                    c.read(g.handle, 4096 * i, 4096)
                equal(flood.poll(), None, 'it waited until the flood ended')
            finally:
                flood.kill()
                flood.wait()
            c.logout()


if kernel_has_tls():
    @test
    def the_journal_has_fields():
        """A machine of ours, without a journal of its own."""
        where = '/run/systemd/journal/socket'
        os.makedirs(os.path.dirname(where), exist_ok=True)
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        journal.bind(where)
        journal.settimeout(20)
        try:
            with start(lab().config(LISTS)) as d:
                c = client(d, 'b', third(), session=0x77)
                c.open('n\n=x', RO, patience=0)
                equal(status_of(c, 'b', RW), OK)
                other = client(d, 'b', lab().other, session=0x78)
                equal(status_of(other, 'b', RW, TAKE_OVER), OK)
                login, denied, opened, _, taken = [
                    dict(line.split('=', 1) for line in
                         journal.recv(65536).decode().splitlines())
                    for _ in range(5)]
                c.close()
                other.logout()
        finally:
            os.unlink(where)
        equal(login['VXHS_EVENT'], 'login')
        for e, event, who, session, vdisk, why in (
                (denied, 'denied', 'third', 0x77, 'n\\u000a=x',
                 'no such vdisk'),
                (opened, 'open', 'third', 0x77, 'b', 'exclusively'),
                (taken, 'take-over', 'other', 0x78, 'b', None)):
            equal(e['MESSAGE_ID'], login['MESSAGE_ID'])
            equal(e['MESSAGE'], 'vxhsd audit: %s by %s' % (event, who))
            equal((e['VXHS_EVENT'], e['VXHS_IDENTITY'], e['VXHS_SESSION'],
                   e['VXHS_VDISK'], e['SYSLOG_IDENTIFIER']),
                  (event, who, '%016x' % session, vdisk, 'vxhsd'))
            if why:
                equal(e['VXHS_WHY'], why)
            check(e['VXHS_PEER'].startswith('127.0.0.1:'), e)
        check('third' in taken['VXHS_WHY'], taken)


@test
def the_audit_is_not_flooded():
    """By somebody who has no right and asks again and again; nor does he
    hide anything by that."""
    path = os.path.join(tmpdir(), 'audit.json')
    with start(lab().config(LISTS, audit=path)) as d:
        began = time.monotonic()
        bad = client(d, 'b', third(), kato=60000)
        good = client(d, 'a', kato=60000)
        for i in range(60):
            tags = [bad.send(vxhs.OPEN, vxhs.open_body('v%d-%d' % (i, j), RO))
                    for j in range(100)]
            for tag in tags:
                equal(bad.wait(tag)[0].status, NOT_FOUND)
        equal(status_of(bad, 'b', RO), OK)
        equal(status_of(good, 'a', RW), OK)
        for who, vdisk in (('third', 'b'), ('client.example', 'a')):
            eventually(lambda: [e for e in events(path)
                                if e['event'] == 'open' and
                                e['identity'] == who and e['vdisk'] == vdisk],
                       'the OPEN of %s is missing' % who)
        seen = len([e for e in events(path) if e['event'] == 'denied'])
        check(2000 <= seen <= 2002 + 50 * (time.monotonic() - began),
              '%d lines of 6000 denials' % seen)
        eventually(lambda: 'events are missing in the audit' in d.log(),
                   'it does not say so')
        bad.close()
        good.close()


if kernel_has_tls():
    @test
    def every_system_call_was_on_the_list():
        said = subprocess.run(['dmesg'], stdout=subprocess.PIPE,
                              check=True).stdout.decode(errors='replace')
        equal([line for line in said.splitlines() if 'type=1326' in line], [])


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------- configuration


def config_fails(config, *words, tls=True):
    status, text = run_vxhsd('--config', config, '--state-dir', tmpdir(),
                             '--listen', '127.0.0.1:0', '--export',
                             'd=memory,size=1M', under=under() if tls else ())
    check(status in (1, 2), 'it has started')
    equal(len(text.splitlines()) - text.count('vxhsd: export '), 1, text)
    for word in words:
        check(word in text, 'no "%s" in: %s' % (word, text))


@test
def bad_configurations():
    ca, cert = lab().ca, lab().server
    open_key = os.path.join(tmpdir(), 'open.key')
    with open(open_key, 'w') as out, open(cert.key) as key:
        out.write(key.read())
    os.chmod(open_key, 0o644)
    fifo = os.path.join(tmpdir(), 'fifo')
    os.mkfifo(fifo)
    old = ca.issue('oldserver', dns=NAME, server=True, days='expiration_'
                   'date = "2020-01-02 00:00:00"', lines=(
                       'activation_date = "2020-01-01 00:00:00"',))
    for config, *words in (
            (lab().config(tls='yes'), 'neither x509 nor psk'),
            (lab().config(tls_key=None), 'tls-key'),
            (lab().config(tls=None), 'would not be used'),
            (lab().config(tls_psk='/x'), 'tls-psk', 'would not be used'),
            (lab().config(tls_foo='x'), 'unknown key "tls-foo"'),
            (lab().config(tls_key=open_key), open_key, 'mode is 644'),
            (lab().config(tls_key='/nonexistent'), 'cannot open'),
            (lab().config(tls_key=lab().client.key), 'not a certificate'),
            (lab().config(tls_cert=old.cert, tls_key=old.key),
             'expired'),
            (lab().config(tls_ca=cert.key), 'authority'),
            (lab().config(tls_crl=ca.cert), 'no list'),
            (lab().config(tls_crl=Authority(tmpdir(), 'x').revoke(
                os.path.join(tmpdir(), 'crl'))), 'no list'),
            (lab().config(tls_crl=crl_of(1577836800, 1577923200)),
             'no list', 'has not ended'),
            (lab().config(tls_ca='/'), 'not a regular file'),
            (psk_config(psk_file('a:%s\n' % ('11' * 32), 0o604)),
             'mode is 604'),
            (lab().config(audit='/nonexistent/x'), 'audit file'),
            (lab().config(audit=fifo), 'audit file', fifo),
            (psk_config(psk_file('a:1234\n')), ':1: what is behind the last ":"'),
            (psk_config(psk_file('\na b:%s\n' % ('1' * 32))), ':2: '),
            (psk_config(psk_file('a:%s\n' % ('g' * 32))), 'hexadecimal'),
            (psk_config(psk_file('#\n')), 'names no identity'),
            (psk_config(psk_file('a:%s\na:%s\n' % ('1' * 32, '2' * 32))),
             'there twice')):
        config_fails(config, *words)


if not kernel_has_tls():
    @test
    def a_kernel_without_tls_is_an_error():
        config_fails(lab().config(), 'modprobe tls', tls=False)


main()
