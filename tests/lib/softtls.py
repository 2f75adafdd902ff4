# SPDX-License-Identifier: GPL-2.0
"""vxhsd with TLS on any kernel, and clients that Python's ssl cannot be."""

import errno
import os
import socket
import subprocess

from harness import TOP, binary, check

SOFT = os.path.join(TOP, 'build', 'softktls.so')


def kernel_has_tls():
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, 31, b'tls')
        except OSError as exc:
            return exc.errno == errno.ENOTCONN
    return True


def under(program=None):
    """What makes a program of ours do TLS on any kernel."""
    if kernel_has_tls():
        return ()
    check(not os.environ.get('VXHS_KERNEL_TLS'), 'this kernel has no TLS')
    libs = [SOFT]
    ldd = subprocess.run(['ldd', program or binary()], stdout=subprocess.PIPE,
                         check=True).stdout.decode()
    libs = [line.split()[2] for line in ldd.splitlines()
            if 'libasan' in line] + libs
    return ('env', 'LD_PRELOAD=' + ' '.join(libs))


class TlsPipe:
    """A connection of openssl s_client, which can what ssl cannot."""

    def __init__(self, d, *args):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(20)
        self.process = subprocess.Popen(
            ['openssl', 's_client', '-quiet', '-tls1_3', '-connect',
             '%s:%d' % (d.addr, d.port), *args],
            stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()
        self.process.kill()
        self.process.wait()
