#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What vxhs-handshake says of its files, and that the commands of security.rst
and of the manual make what it and vxhsd want."""

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from certs import Authority
from harness import (TOP, Vxhsd, binary, check, environment, equal, eventually,
                     main, test, tmpdir)
from softtls import TlsPipe, under
from vxhs import OK, NativeClient, V34Client

AGENT = os.path.join(os.path.dirname(binary()), 'vxhs-handshake')
KEY = '00112233445566778899aabbccddeeff'
_shared = {}


def write(path, text, mode=0o644):
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def run_agent(*args, before=()):
    """(exit status, stderr)"""
    done = subprocess.run([*before, AGENT, *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment(), timeout=60, check=False)
    equal(done.stdout, b'', 'stdout')
    return done.returncode, done.stderr.decode()


def section(name='default', **paths):
    return '[identity %s]\n' % name + ''.join(
        '%s = %s\n' % item for item in paths.items() if item[1])


# ------------------------------------------------------------------ files


class Lab:
    """Files of an agent; what spoils one has a directory of its own."""

    def __init__(self):
        self.dir = tmpdir()
        self.ca = Authority(self.dir)
        self.host = self.ca.issue('host', dns='host.example')
        self.old = self.ca.issue(
            'old', dns='host.example', key=self.host.key,
            lines=('activation_date = "2001-01-01 00:00:00"',),
            days='expiration_date = "2001-02-01 00:00:00"')
        self.crl = self.ca.revoke(os.path.join(self.dir, 'crl.pem'))
        self.old_crl = self.ca.revoke(
            os.path.join(self.dir, 'oldcrl.pem'),
            when='crl_this_update_date = "2001-01-01 00:00:00"\n'
            'crl_next_update_date = "2001-02-01 00:00:00"')
        self.psk = write(os.path.join(self.dir, 'psk'), 'host1:%s\n' % KEY,
                         0o600)

    def text(self, **paths):
        return section(**{'ca': self.ca.cert, 'cert': self.host.cert,
                          'key': self.host.key, 'crl': self.crl, **paths}) + \
            section('backup', psk=self.psk)

    def config(self, text=None, **paths):
        return write(os.path.join(self.dir, 'handshake.conf'),
                     self.text(**paths) if text is None else text)

    def copy(self, of, mode):
        path = os.path.join(tmpdir(), os.path.basename(of))
        shutil.copyfile(of, path)
        os.chmod(path, mode)
        return path


def lab():
    if 'lab' not in _shared:
        _shared['lab'] = Lab()
    return _shared['lab']


def refused(config, *words, before=(), args=('--check',)):
    """One line, that has these words; and no sanitizer has spoken, whose
    exit status is another."""
    status, err = run_agent(*args, '--config', config, before=before)
    equal((status, err.count('\n')), (1, 1), err)
    check(err.startswith('vxhs-handshake: error: '), err)
    check(len(err) < 400, 'a long sentence: ' + err)
    for word in words:
        check(word in err, '"%s" is not in %r' % (word, err))
    check(KEY[8:] not in err, 'it tells the key: ' + err)


@test
def good_files():
    equal(run_agent('--check', '--config', lab().config()), (0, ''))
    equal(run_agent('--check', '--config', lab().config(crl=None)), (0, ''))


@test
def files_of_certificates():
    l = lab()
    gone = os.path.join(l.dir, 'gone.pem')
    for key in ('ca', 'crl', 'cert', 'key'):
        refused(l.config(**{key: gone}), '"default"', 'cannot open ' + gone,
                'No such file')
    for mode in (0o644, 0o640, 0o604, 0o620):
        path = l.copy(l.host.key, mode)
        refused(l.config(key=path), '"default"', path + ' holds keys',
                'mode is %o' % mode, 'chmod 600 ' + path, 'make a new key')
    equal(run_agent('--check', '--config',
                    l.config(key=l.copy(l.host.key, 0o400))), (0, ''))
    refused(l.config(cert=l.old.cert), l.old.cert + ' has expired')
    refused(l.config(crl=l.old_crl), l.old_crl + ' has ended')
    refused(l.config(crl=l.ca.cert), l.ca.cert + ' has no revocation list')
    refused(l.config(ca=l.crl), l.crl + ' has no certificate of an authority')
    refused(l.config(key=l.ca.key), l.host.cert, l.ca.key,
            'not a certificate and its key')
    refused(l.config(cert=l.dir), l.dir + ' is not a regular file')


@test
def files_of_psks():
    l = lab()
    for mode in (0o644, 0o640):
        path = l.copy(l.psk, mode)
        refused(l.config(section('p', psk=path)), '"p"', path + ' holds keys',
                'mode is %o' % mode, 'chmod 600 ' + path)
    path = os.path.join(tmpdir(), 'psk')
    for text, words in (
            ('', 'has 0 bytes'), ('# none\n', 'has no key'),
            (KEY + '\n', ':1: the line is not IDENTITY:HEXKEY'),
            ('a b:%s\n' % KEY, ':1: the line is not IDENTITY:HEXKEY'),
            ('# a\nhost1:%s\n' % KEY[2:], ':2: what is behind the last ":"'),
            ('host1:%sxy\n' % KEY, ':1: what is behind the last ":"'),
            ('host1:%s\n' % (KEY * 5), ':1: what is behind the last ":"'),
            ('%s:host1\n' % KEY, ':1: what is behind the last ":"'),
            ('a:%s\nb:%s\n' % (KEY, KEY), 'has several keys')):
        write(path, text, 0o600)
        refused(l.config(section('p', psk=path)), '"p"', path, words)


@test
def configurations():
    l = lab()
    config = l.config('')
    for text, words in (
            ('', ': there is no [identity NAME]'),
            (l.text() + 'colour = /red\n', ':8: [identity backup]: unknown '
             'key "colour"'),
            (l.text(ca=None), ': [identity default] has no ca;'),
            (l.text(cert=None), ': [identity default] has no cert;'),
            (l.text(key=None), ': [identity default] has no key;'),
            (l.text(key='host.key'), ':4: [identity default]: key needs the '
             'path'),
            (l.text(psk=l.psk), ': [identity default] has a psk and cert'),
            (l.text() + '[server]\na = /b\n', ':9: unknown section [server]'),
            (l.text() + 'nonsense\n', ':8: neither [SECTION] nor')):
        refused(l.config(text), config + words)
    refused(l.dir, 'cannot read ' + l.dir, 'Is a directory')
    refused('/nonexistent', 'cannot read /nonexistent: No such file')


@test
def a_start_is_refused_like_a_check():
    l = lab()
    refused(l.config(key=l.copy(l.host.key, 0o644)), 'holds keys',
            'mode is 644', before=under(AGENT), args=('--no-lock',))


# --------------------------------------------------------------- documents


def blocks(title):
    """The literal blocks of a part of security.rst, as lists of lines."""
    text = read(os.path.join(TOP, 'Documentation', 'security.rst'))
    found = re.search(r'^%s\n-+\n(.*?)^[^\n]+\n(-+|=+)\n' % title, text,
                      re.M | re.S)
    check(found, 'the document has no "%s" any more' % title)
    return [[line[2:] for line in block.splitlines()] for block in
            re.findall(r'::\n\n((?:  [^\n]*\n)+)', found[1])]


def sh(directory, *lines):
    for line in lines:
        done = subprocess.run(['sh', '-ec', line], cwd=directory, timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        equal(done.returncode, 0, '%s: %s' % (
            line, done.stdout.decode(errors='replace')))


def server_config(path, tls, exports):
    return write(path, '[server]\n%s[export disk0]\ntarget = memory\n'
                 'size = 1M\n%s' % (
                     ''.join('%s = %s\n' % item for item in tls.items()),
                     ''.join('allow = %s:rw\n' % who for who in exports)))


def start(config):
    return Vxhsd(args=('--config', config), under=under())


def reload(d):
    before = len(d.log())
    d.signal(signal.SIGHUP)
    eventually(lambda: 'exports are those of the configuration' in
               d.log()[before:], lambda: d.log()[before:])


class Host:
    """Somebody with what the document has made in a directory."""

    def __init__(self, d, directory, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(os.path.join(directory, 'ca.pem'))
        context.load_cert_chain(os.path.join(directory, name + '.pem'),
                                os.path.join(directory, name + '.key'))
        self.sock = context.wrap_socket(
            vxhs.connect(d.addr, d.port),
            server_hostname='server1.example.org')

    def uses(self):
        client = NativeClient('', 0, sock=self.sock, kato=30000)
        status, grant = client.open('disk0')
        equal(status, OK, 'OPEN')
        equal(client.read(grant.handle, 0, 512), (OK, bytes(512)), 'READ')
        return client


def revoked(d, directory, name):
    """With TLS 1.3 a client hears of it with the first byte it reads."""
    before = len(d.log())
    try:
        host = Host(d, directory, name)
        host.sock.sendall(vxhs.v34(vxhs.V34_STAT, 1, 'disk0'))
        equal(host.sock.recv(256), b'', name)
        host.sock.close()
    except (ssl.SSLError, ConnectionError):
        pass
    eventually(lambda: 'revoked' in d.log()[before:],
               lambda: 'not "revoked" but: ' + d.log()[before:])


@test
def certificates_in_five_lines():
    top = tmpdir()
    (five,), (again,) = blocks('Certificates in five lines'), \
        blocks('To rotate, and to revoke')
    equal((len(five), len(again)), (5, 3), 'lines')
    make, revoke = five[2:4], five[4]
    sh(top, *five[:4])
    sh(top, *(line.replace('host1', 'server1').replace(
        'tls_www_client', 'tls_www_server') for line in make))
    sh(top, *(line.replace('host1', 'host2') for line in make))
    for key in ('ca.key', 'host1.key', 'server1.key'):
        equal(os.stat(os.path.join(top, key)).st_mode & 0o777, 0o600, key)
    # A host has its two; the manual's configuration, with other paths.
    text = read(os.path.join(TOP, 'Documentation', 'examples',
                             'handshake.conf'))
    check('/etc/vxhs/tls/host.pem' in text, 'the example has other names')
    equal(run_agent('--check', '--config', write(
        os.path.join(top, 'handshake.conf'),
        text.replace('/etc/vxhs/tls/host', top + '/host1').replace(
            '/etc/vxhs/tls', top))), (0, ''))

    tls = {'tls': 'x509', 'tls-ca': top + '/ca.pem',
           'tls-cert': top + '/server1.pem', 'tls-key': top + '/server1.key'}
    exports = ('host1.example.org', 'host2.example.org')
    path = server_config(os.path.join(top, 'vxhsd.conf'), tls, exports)
    with start(path) as d:
        one = Host(d, top, 'host1').uses()
        equal(one.logout(), OK)
        one = Host(d, top, 'host1')
        sh(top, revoke)
        tls['tls-crl'] = top + '/revoked.pem'
        server_config(path, tls, exports)
        reload(d)
        check(vxhs.is_closed(one.sock, 10), 'host1 is still there')
        revoked(d, top, 'host1')
        two = Host(d, top, 'host2').uses()
        check('host2.pem' in again[1], 'the document has other names')
        sh(top, *again)
        reload(d)
        check(vxhs.is_closed(two.sock, 10), 'host2 is still there')
        revoked(d, top, 'host2')
        # Renewed, without --load-certificate, it has both of them.
        sh(top, *(line.replace('--load-certificate host2.pem ', '')
                  .replace('number = 2', 'number = 3') for line in again))
        reload(d)
        for name in ('host1', 'host2'):
            revoked(d, top, name)
        # Another certificate of the same name is another one.
        sh(top, *make)
        equal(Host(d, top, 'host1').uses().logout(), OK)


def psk_line(path, name):
    """The key of a host, as a file of its own, and as it is."""
    line, = [line for line in read(path).splitlines()
             if line.startswith(name + ':')]
    alone = write(os.path.join(tmpdir(), name + '.psk'), line + '\n', 0o600)
    return alone, line.split(':')[1]


@test
def pre_shared_keys():
    top = tmpdir()
    (lines,) = blocks('Without certificates')
    check('/etc/vxhs/tls/hosts.psk' in ' '.join(lines), 'another path')
    lines = [line.replace('/etc/vxhs/tls', top) for line in lines]
    hosts = os.path.join(top, 'hosts.psk')
    sh(top, *lines)
    sh(top, *(line.replace('host1', 'host2') for line in lines))
    equal(os.stat(hosts).st_mode & 0o777, 0o600, 'mode')
    alone, key = psk_line(hosts, 'host1')
    equal(run_agent('--check', '--config', write(
        os.path.join(top, 'handshake.conf'), section(psk=alone))), (0, ''))
    path = server_config(os.path.join(top, 'vxhsd.conf'),
                         {'tls': 'psk', 'tls-psk': hosts}, ('host1',))
    with start(path) as d:
        with TlsPipe(d, '-psk_identity', 'host1', '-psk', key) as pipe:
            equal(V34Client(d.addr, d.port, sock=pipe.sock).stat(),
                  (0, 1 << 20))
            # To rotate it: take the line out, call psktool again, reload.
            write(hosts, 'host2:' + psk_line(hosts, 'host2')[1] + '\n', 0o600)
            sh(top, *lines)
            reload(d)
            check(vxhs.is_closed(pipe.sock, 10), 'the old key is in use')
        new = psk_line(hosts, 'host1')[1]
        check(new != key, 'it is the old key')
        with TlsPipe(d, '-psk_identity', 'host1', '-psk', new) as pipe:
            equal(V34Client(d.addr, d.port, sock=pipe.sock).stat(),
                  (0, 1 << 20))


@test
def the_example_of_the_manual():
    top = tmpdir()
    manual = read(os.path.join(TOP, 'Documentation', 'man',
                               'vxhs-handshake.8')).replace('\\-', '-')
    found = re.search(r'^psktool .*(/etc/vxhs/tls)/host\.psk$', manual, re.M)
    check(found, 'the manual has no psktool any more')
    sh(top, found[0].replace(found[1], top))
    equal(run_agent('--check', '--config', write(
        os.path.join(top, 'handshake.conf'),
        section(psk=os.path.join(top, 'host.psk')))), (0, ''))


if __name__ == '__main__':
    main()
