# SPDX-License-Identifier: GPL-2.0
"""Authorities, certificates and lists for tests of TLS, by certtool."""

import os
import subprocess

_serial = [0]


def certtool(*args):
    done = subprocess.run(['certtool', *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode:
        raise RuntimeError('certtool %s: %s' % (
            ' '.join(args), done.stdout.decode(errors='replace')))


class Cert:
    """The paths of a certificate and its key."""

    def __init__(self, directory, name, key=None):
        self.name = name
        self.cert = os.path.join(directory, name + '.pem')
        self.key = key or os.path.join(directory, name + '.key')
        self.template = os.path.join(directory, name + '.cfg')
        if key:
            return
        certtool('--generate-privkey', '--key-type=ecdsa',
                 '--curve=secp256r1', '--outfile', self.key)
        os.chmod(self.key, 0o600)

    def fill(self, *lines):
        _serial[0] += 1
        with open(self.template, 'w') as file:
            file.write('\n'.join(('serial = %d' % _serial[0],) + lines))
            file.write('\n')


class Authority(Cert):
    def __init__(self, directory, name='ca', key=None):
        super().__init__(directory, name, key)
        self.directory = directory
        self.fill('cn = "%s"' % name, 'ca', 'cert_signing_key',
                  'crl_signing_key', 'expiration_days = 30')
        certtool('--generate-self-signed', '--load-privkey', self.key,
                 '--template', self.template, '--outfile', self.cert)

    def issue(self, file, cn=None, dns=None, server=False, lines=(),
              days='expiration_days = 10', key=None):
        """A certificate that this authority has signed; for a key that there
        is, which saves time, or a new one."""
        c = Cert(self.directory, file, key)
        text = ['signing_key', 'tls_www_server' if server else
                'tls_www_client', days, *lines]
        if cn:
            text.append('cn = "%s"' % cn)
        if dns:
            text.append('dns_name = "%s"' % dns)
        c.fill(*text)
        certtool('--generate-certificate', '--load-privkey', c.key,
                 '--load-ca-certificate', self.cert, '--load-ca-privkey',
                 self.key, '--template', c.template, '--outfile', c.cert)
        return c

    def revoke(self, path, *certs, when='crl_next_update = 30'):
        """A revocation list of these certificates."""
        template = path + '.cfg'
        with open(template, 'w') as file:
            file.write('%s\ncrl_number = %d\n' % (when, len(certs) + 1))
        both = path + '.certs'
        with open(both, 'w') as out:
            for c in certs:
                with open(c.cert) as file:
                    out.write(file.read())
        args = ['--load-certificate', both] if certs else []
        certtool('--generate-crl', '--load-ca-privkey', self.key,
                 '--load-ca-certificate', self.cert, *args,
                 '--template', template, '--outfile', path)
        return path
