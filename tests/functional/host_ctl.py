#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsctl's command line: what is wrong is refused by one sentence that names
it, before the kernel is asked."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

from harness import check, equal, main, run_vxhsctl, test

def refused(status, words, *args):
    """It ends with that status and one sentence that has these words."""
    got, out, err = run_vxhsctl(*args)
    equal(got, status, '%r said %r' % (args, err))
    equal(out, '', 'stdout of %r' % (args,))
    equal(err.count('\n'), 1, 'lines of %r' % err)
    check(err.startswith('vxhsctl: '), 'begins without "vxhsctl: ": ' + err)
    for word in words:
        check(word in err, '"%s" is not in %r' % (word, err))


@test
def help_is_everywhere():
    status, out, err = run_vxhsctl('--help')
    equal((status, err), (0, ''))
    for command in ('attach', 'detach', 'set', 'ack-loss', 'list', 'show',
                    'monitor', 'leases'):
        check('\n  %s ' % command in out, command + ' is not in --help')
        status, out_of, err = run_vxhsctl(command, '--help')
        equal((status, err), (0, ''), command)
        check(out_of.startswith('Usage: vxhsctl %s' % command), out_of)
        check(max(map(len, out_of.split('\n'))) <= 80, 'too wide: ' + command)


@test
def lists_of_hosts():
    for text, words in (
            ('', ('""', 'names no host')),
            ('a,', ('"" of "a,"', 'names no host')),
            (',a', ('"" of ",a"', 'names no host')),
            ('a,,b', ('"" of "a,,b"', 'names no host')),
            ('a,b:0', ('"b:0" of "a,b:0"', 'port')),
            ('a,b:65536', ('"b:65536"', 'port')),
            ('[::1],[::2', ('"[::2"', 'bracket')),
            ('a,b,A:9999', ('"A:9999"', 'twice')),
            ('a,b,c,d,e,f,g,h,i', ('"i"', 'at most 8')),
            ('a,' * 127 + 'bb', ('255 bytes',))):
        refused(2, ('attach: host ',) + words, 'attach', text, 'd')
        refused(2, ('set: --portals: host ',) + words, 'set', 'vxhs0',
                '--portals', text)


@test
def hosts_that_do_not_resolve():
    refused(1, ('"nosuchhost.invalid"', 'resolve'), 'attach',
            '127.0.0.1,nosuchhost.invalid', 'd')
    refused(1, ('"::1" and "0:0::1"', 'same portal', '[::1]:9999'), 'attach',
            '127.0.0.1,::1,0:0::1', 'd')
    refused(1, ('same portal', '127.0.0.1:9999'), 'attach',
            '127.0.0.1,::ffff:127.0.0.1', 'd')
    refused(1, ('link-local', '"fe80::7%IF"'), 'attach', '127.0.0.1,fe80::7',
            'd')
    refused(1, ('"::1" has no IPv4', '--source'), 'attach', '127.0.0.1,::1',
            'd', '--source', '127.0.0.1')


@test
def policy():
    for command in (('attach', 'h', 'd'), ('set', 'vxhs0')):
        for option in ('--fast-io-fail', '--io-timeout', '--shutdown-timeout'):
            for bad in ('', '-1', '5s', '1.', '.5', '1.0001', '86400.001',
                        '99999999999999', 'Off', 'never', '0x5'):
                refused(2, (option, '"%s"' % bad, 'seconds', 'off'),
                        *command, option, bad)
        refused(2, ('--io-timeout', '0.001'), *command, '--io-timeout', '0')
        for option, least in (('--kato', '0.2'), ('--reconnect-delay', '0.1'),
                              ('--replay-delay', '0.1')):
            for bad in ('off', '0', '0.09', '86401', '-1', ''):
                refused(2, (option, '"%s"' % bad, least), *command, option,
                        bad)
        refused(2, ('--kato', 'value'), *command, '--kato')


@test
def tls():
    attach = ('attach', '127.0.0.1:1', 'd')
    for option, value in (('--tls-peername', ['a']), ('--identity', ['a']),
                          ('--identity', ['key:1']),
                          ('--allow-unverified', [])):
        refused(2, ('need --tls',), *attach, option, *value)
        refused(2, (option,), 'set', 'vxhs0', option, *value)
    refused(2, ('"--tls"',), 'set', 'vxhs0', '--tls')
    refused(2, ('several hosts', '--tls-peername'), 'attach', '127.0.0.1,a',
            'd', '--tls')
    refused(2, ('"a/b"', '--tls-peername'), 'attach', 'a/b', 'd', '--tls')
    for bad in ('', 'a@b', '*.example', 'n' * 256, '[::1]', 'a:1'):
        refused(2, ('--tls-peername', 'letters'), *attach, '--tls',
                '--tls-peername', bad)
    for bad in ('', 'a@b', 'a:b', 'i' * 64):
        refused(2, ('--identity', 'key:SERIAL'), *attach, '--tls',
                '--identity', bad)
    for bad in ('key:', 'key:0', 'key:0x1', 'key:2147483648', 'key:a'):
        refused(2, (bad, 'serial number'), *attach, '--tls', '--identity', bad)


@test
def what_set_and_ack_loss_take():
    refused(2, ('nothing is to be set',), 'set', 'vxhs0')
    refused(2, ('one device',), 'set', '--kato', '1')
    refused(2, ('one device',), 'set', 'vxhs0', 'vxhs1', '--kato', '1')
    refused(2, ('--read-only',), 'set', 'vxhs0', '--read-only')
    refused(1, ('"sda"',), 'set', 'sda', '--kato', '1')
    refused(2, ('one device',), 'ack-loss')
    refused(2, ('one device',), 'ack-loss', 'vxhs0', 'vxhs1')
    refused(2, ('--all',), 'ack-loss', '--all')
    refused(1, ('partition',), 'ack-loss', 'vxhs0p1')
    refused(2, ('one device or --all',), 'detach', '--force')
    refused(2, ('takes no value',), 'detach', '--force=1', 'vxhs0')
    refused(2, ('takes no value',), 'attach', 'h', 'd', '--take-over=1')


if __name__ == '__main__':
    main()
