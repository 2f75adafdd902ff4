#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""vxhsd's command line, configuration and signals."""

import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))

import vxhs
from harness import (Vxhsd, check, equal, eventually, free_port, main,
                     run_vxhsd, skip, sparse, test, tmpdir)
from vxhs import BUSY, OK, RO, RW, NativeClient, V34Client


def sentence(err):
    """The last line; before it only what vxhsd tells of exports it opened."""
    lines = err.strip().split('\n')
    for line in lines[:-1]:
        check(re.match(r'vxhsd: export .* bytes$', line),
              'more than one sentence: ' + err)
    check('Sanitizer' not in err and 'runtime error' not in err, err)
    return lines[-1]


def refused(status, words, *args):
    """It ends with that status and one sentence that has these words."""
    got, err = run_vxhsd(*args)
    equal(got, status, '%r said %r' % (args, err))
    lines = [sentence(err)]
    check(lines[0].startswith('vxhsd: '), 'begins without "vxhsd: ": ' + err)
    check(len(lines[0]) < 300, 'a long sentence: ' + err)
    for word in words:
        check(word.lower() in err.lower(), '"%s" is not in %r' % (word, err))


def listen():
    return ('--listen', '127.0.0.1:%d' % free_port(), '--state-dir', tmpdir())


def export(text):
    return listen() + ('--export', text)


@test
def usage_errors():
    refused(2, ('--frobnicate',), '--frobnicate')
    refused(2, ('-z',), '-z')
    refused(2, ('spam',), *export('d=memory,size=1M'), 'spam')
    refused(2, (), *listen(), '--export')
    for text in ('d', '=memory,size=1M', 'd=', 'd=memory', 'd=memory,size=',
                 'd=memory,size=abc', 'd=memory,size=-1M', 'd=memory,size=0',
                 'd=memory,size=1Q', 'd=memory,size=99999999999999999999',
                 'd=memory,size=20E', 'd=memory,size=1M,colour=red',
                 'd=memory,size=1M,cache=maybe', 'd=memory,size=1M,block=1000',
                 'd=memory,size=1M,block=65536', 'd=memory,size=1M,id=xyz',
                 'n' * 64 + '=memory,size=1M'):
        got, err = run_vxhsd(*export(text))
        check(got in (1, 2), '%s ended with %d: %s' % (text, got, err))
        sentence(err)
    for address in ('127.0.0.1:99999', '127.0.0.1:x', '[::1',
                    '127.0.0.1:1:2'):
        got, err = run_vxhsd('--listen', address, '--state-dir', tmpdir(),
                             '--export', 'd=memory,size=1M')
        check(got in (1, 2), '%s ended with %d: %s' % (address, got, err))
        sentence(err)
    for n in ('0', '-1', 'x', '100000'):
        got, err = run_vxhsd('--threads', n, *export('d=memory,size=1M'))
        check(got in (1, 2), '--threads %s ended with %d' % (n, got))
        sentence(err)


@test
def help_and_version():
    import subprocess
    from harness import binary, environment
    for option in ('--help', '--version'):
        done = subprocess.run([binary(), option], capture_output=True,
                              env=environment(), timeout=20, check=False)
        equal(done.returncode, 0, option)
        text = (done.stdout + done.stderr).decode()
        check('vxhsd' in text, option + ' said ' + text)
        if option == '--help':
            for word in ('--listen', '--export', '--config', '--threads',
                         '--state-dir', 'memory'):
                check(word in text, word + ' is not in --help')


@test
def exports_that_cannot_be_opened():
    directory = tmpdir()
    missing = os.path.join(directory, 'missing')
    refused(1, ('missing',), *export('d=' + missing))
    refused(1, ('nowhere',), *export('d=%s/nowhere/f,size=1M' % directory))
    refused(1, (directory,), *export('d=' + directory))
    odd = os.path.join(directory, 'odd')
    with open(odd, 'wb') as file:
        file.write(bytes(4096 + 100))
    refused(1, ('export d', '4196', '512'), *export('d=' + odd))
    empty = os.path.join(directory, 'empty')
    open(empty, 'wb').close()
    refused(1, ('export d',), *export('d=' + empty))
    equal(os.path.exists(missing), False, 'a file was made')
    fifo = os.path.join(directory, 'fifo')
    os.mkfifo(fifo)
    refused(1, ('fifo',), *export('d=' + fifo))
    refused(1, ('null',), *export('d=/dev/null'))
    got, err = run_vxhsd(*export('d=memory,size=1M'), '--export',
                         'd=memory,size=2M')
    check(got in (1, 2), 'one name twice ended with %d' % got)
    sentence(err)
    sparse(os.path.join(directory, 'good'), 1 << 20)
    refused(1, ('missing',), *export('g=%s/good' % directory), '--export',
            'd=' + missing)


@test
def ports_in_use():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        sock.listen()
        port = sock.getsockname()[1]
        refused(1, (str(port), 'in use'), '--listen', '127.0.0.1:%d' % port,
                '--state-dir', tmpdir(), '--export', 'd=memory,size=1M')
    with Vxhsd('d=memory,size=1M') as d:
        refused(1, (str(d.port), 'in use'), '--listen',
                '127.0.0.1:%d' % d.port, '--state-dir', tmpdir(), '--export',
                'd=memory,size=1M')
    refused(1, ('192.0.2.1',), '--listen', '192.0.2.1:%d' % free_port(),
            '--state-dir', tmpdir(), '--export', 'd=memory,size=1M')


@test
def bad_configuration():
    directory = tmpdir()
    path = os.path.join(directory, 'conf')
    refused(1, ('missing.conf',), '--config', directory + '/missing.conf')
    for text, word in (
            ('[server\nlisten = x\n', 'conf'),
            ('[server]\ncolour = red\n', 'colour'),
            ('[spam]\nlisten = x\n', 'spam'),
            ('[server]\nthreads = many\n', 'threads'),
            ('[export d]\ntarget = memory\n', 'd'),
            ('[export d]\nsize = 1M\n', 'd'),
            ('[export d]\ntarget = memory\nsize = 1M\nro = perhaps\n', 'ro'),
            ('[export d]\ntarget = %s/missing\n' % directory, 'missing'),
            ('just words\n', 'conf')):
        with open(path, 'w') as file:
            file.write(text)
        got, err = run_vxhsd('--config', path, *listen())
        check(got in (1, 2), '%r ended with %d: %s' % (text, got, err))
        sentence(err)
        check(word in err, '%r does not name %s' % (err, word))


def config(path, port, *exports):
    text = '[server]\nlisten = 127.0.0.1:%d\nthreads = 1\n' \
        'state_dir = %s\n' % (port, os.path.dirname(path))
    for name, size in exports:
        text += '\n[export %s]\ntarget = memory\nsize = %s\n' % (name, size)
    with open(path, 'w') as file:
        file.write(text)


def size_of(d, name):
    """STAT's size, 0 if there is no such vdisk."""
    c = V34Client(d.addr, d.port, name)
    err, size = c.stat()
    c.close()
    return 0 if err else size


@test
def a_config_file_and_sighup():
    path = os.path.join(tmpdir(), 'vxhsd.conf')
    port = free_port()
    config(path, port, ('a', '1M'), ('b', '2M'))
    with Vxhsd(port=port, listen=False, args=('--config', path)) as d:
        equal([size_of(d, n) for n in 'abc'], [1 << 20, 2 << 20, 0])
        c = NativeClient(d.addr, d.port, 'a')
        status, g = c.open('a', RW)
        equal(status, OK)
        equal(c.write(g.handle, 0, b'h' * 512), OK)
        config(path, port, ('a', '1M'), ('c', '3M'))
        d.signal(signal.SIGHUP)
        eventually(lambda: size_of(d, 'c') == 3 << 20, 'c was not added')
        eventually(lambda: size_of(d, 'b') == 0, 'b was not removed')
        equal(c.read(g.handle, 0, 512), (OK, b'h' * 512), 'a was disturbed')
        # A file with a mistake changes nothing, and says so.
        with open(path, 'a') as file:
            file.write('\n[export broken]\ntarget = /missing/file\n')
        before = len(d.log())
        d.signal(signal.SIGHUP)
        eventually(lambda: 'missing' in d.log()[before:], 'no message')
        equal([size_of(d, n) for n in 'ac'], [1 << 20, 3 << 20])
        equal(c.read(g.handle, 0, 512), (OK, b'h' * 512))
        # One that is in use does not vanish under its user unnoticed.
        config(path, port, ('c', '3M'))
        d.signal(signal.SIGHUP)
        time.sleep(0.5)
        d.alive()
        try:
            status = c.read(g.handle, 0, 512)[0]
            check(status in (OK, vxhs.NO_SESSION, vxhs.IO, vxhs.NOT_FOUND,
                             vxhs.GOING_AWAY, vxhs.STALE),
                  'status %d' % status)
            c.logout()
        except vxhs.Closed:
            c.close()
        eventually(lambda: size_of(d, 'a') == 0, 'a was not removed')


@test
def sighup_without_a_config_file_is_harmless():
    with Vxhsd('d=memory,size=1M') as d:
        c = NativeClient(d.addr, d.port, 'd')
        _, g = c.open('d')
        d.signal(signal.SIGHUP)
        time.sleep(0.3)
        d.alive()
        equal(c.read(g.handle, 0, 512)[0], OK)
        c.logout()


@test
def signals_end_it():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Vxhsd('d=memory,size=1M') as d:
            idle = vxhs.connect(d.addr, d.port)
            c = NativeClient(d.addr, d.port, 'd')
            c.open('d')
            d.signal(number)
            equal(d.process.wait(30), 0, 'exit status')
            Vxhsd.running.discard(d)
            check('Sanitizer' not in d.log(), d.log())
            d.stop = lambda: None
            idle.close()
            c.close()


@test
def an_absent_file_is_created_sparse():
    path = os.path.join(tmpdir(), 'new')
    with Vxhsd('d=%s,size=10G' % path) as d:
        equal(size_of(d, 'd'), 10 << 30)
        info = os.stat(path)
        equal(info.st_size, 10 << 30)
        check(info.st_blocks < 2048, 'the file is not sparse')
        check(not info.st_mode & 0o077, 'others may read it: %o' %
              info.st_mode)
        c = NativeClient(d.addr, d.port, 'd')
        _, g = c.open('d')
        equal(c.write(g.handle, (10 << 30) - 512, b'e' * 512), OK)
        equal(c.flush(g.handle)[0], OK)
        c.logout()
    with Vxhsd('d=%s' % path) as d:
        c = NativeClient(d.addr, d.port, 'd')
        _, g = c.open('d')
        equal(c.read(g.handle, (10 << 30) - 512, 512), (OK, b'e' * 512))
        c.logout()


@test
def two_servers_on_one_file():
    path = os.path.join(tmpdir(), 'shared')
    with Vxhsd('d=%s,size=1M' % path) as d:
        args = listen() + ('--export', 'd=' + path)
        # Either it does not start, or nobody can open the vdisk there.
        try:
            second = Vxhsd('d=' + path)
        except AssertionError as exc:
            check('shared' in str(exc), str(exc))
            refused(1, ('shared',), *args)
        else:
            c = NativeClient(second.addr, second.port, 'd')
            status = c.open('d', RW, patience=0)[0]
            check(status in (vxhs.AGAIN, BUSY), 'OPEN: status %d' % status)
            c.close()
            second.stop()
        c = NativeClient(d.addr, d.port, 'd')
        equal(c.open('d', RW)[0], OK)
        c.logout()
    with Vxhsd('d=' + path) as d:
        c = NativeClient(d.addr, d.port, 'd')
        equal(c.open('d', RW)[0], OK, 'after the first has ended')
        c.logout()


@test
def a_file_twice_in_one_server():
    path = sparse(os.path.join(tmpdir(), 'twice'), 1 << 20)
    status, err = run_vxhsd(*export('a=' + path), '--export', 'b=' + path)
    equal(status, 1, err)
    check('twice' in err, err)


@test
def ipv6_several_listeners_and_threads():
    ports = [free_port(), free_port('::1')]
    try:
        socket.socket(socket.AF_INET6).bind(('::1', 0))
    except OSError:
        skip('no IPv6')
    with Vxhsd('d=memory,size=1M', port=ports[0],
               args=('--listen', '[::1]:%d' % ports[1],
                     '--threads', '3')) as d:
        a = NativeClient('127.0.0.1', ports[0], 'd', lanes=2)
        b = NativeClient('::1', ports[1], 'd', session=a.session, lane=1,
                         lanes=2, login=False)
        # Without TLS a session belongs to the address that opened it.
        status = b.login(1, 1, 2)
        check(status != OK, 'another address joined the session')
        b.close()
        c = NativeClient('::1', ports[1], 'd')
        equal(c.open('d', RO)[0], OK)
        c.logout()
        a.logout()


@test
def a_block_device():
    directory = tmpdir()
    path = sparse(os.path.join(directory, 'image'), 8 << 20)
    loop = os.popen('losetup -f --show %s 2>/dev/null' % path).read().strip()
    if not loop:
        skip('no loop devices')
    try:
        with Vxhsd('d=' + loop) as d:
            c = NativeClient(d.addr, d.port, 'd')
            status, g = c.open('d')
            equal((status, g.size), (OK, 8 << 20))
            data = os.urandom(65536)
            equal(c.write(g.handle, 4096, data), OK)
            equal(c.io(vxhs.WRITE_ZEROES, g.handle, 4096, 4096), OK)
            equal(c.read(g.handle, 4096, 65536), (OK, bytes(4096) +
                                                  data[4096:]))
            equal(c.flush(g.handle), (OK, g.verifier))
            c.logout()
            status, err = run_vxhsd(*export('d=' + loop))
            equal(status, 1, err)
    finally:
        os.system('losetup -d ' + loop)


@test
def sd_notify():
    path = os.path.join(tmpdir(), 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(20)
        os.environ['NOTIFY_SOCKET'] = path
        try:
            with Vxhsd('d=memory,size=1M'):
                check(b'READY=1' in sock.recv(4096), 'no READY=1')
        finally:
            del os.environ['NOTIFY_SOCKET']


@test
def the_example_configuration_is_understood():
    from harness import TOP
    path = os.path.join(TOP, 'Documentation', 'examples', 'vxhsd.conf')
    with open(path) as file:
        text = file.read()
    for word in ('[server]', 'listen', '[export', 'target', 'size', 'cache'):
        check(word in text, word + ' is not in it')


if __name__ == '__main__':
    main()
