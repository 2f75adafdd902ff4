#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A handshake agent that does not do its work, for tests.

bad_agent.py silent         takes no request
bad_agent.py hang           takes requests, and nothing comes of them
bad_agent.py die            ends when it has taken a request
bad_agent.py lie            says that all went well, and has done nothing
bad_agent.py refuse ERRNO   says so

It writes "ready" when the kernel knows of it, then a line for each request:
its peer name, authentication (2 psk, 3 x509) and time-out.
"""
import os
import select
import struct
import sys
import time

from genl import SOL_NETLINK, Error, Genl, attr, parse

READY, ACCEPT, DONE = 1, 2, 3
HANDLER_CLASS, TLSHD = 2, 1
SOCKFD, TIMEOUT, AUTH_MODE, PEERNAME = 1, 4, 5, 8
DONE_STATUS, DONE_SOCKFD = 1, 2
GETFAMILY, FAMILY_NAME, MCAST_GROUPS = 3, 2, 7
GROUP_NAME, GROUP_ID = 1, 2
ADD_MEMBERSHIP = 1


def u32(data):
    return struct.unpack('<I', data)[0]


def group_number(ask):
    """Number of the group in which requests are announced."""
    ours, ask.family = ask.family, 0x10
    answer = ask.call(GETFAMILY, attr(FAMILY_NAME, 'handshake'), version=2)
    ask.family = ours
    for _, group in parse(dict(parse(answer[0]))[MCAST_GROUPS]):
        fields = dict(parse(group))
        if fields[GROUP_NAME] == b'tlshd\0':
            return u32(fields[GROUP_ID])
    raise SystemExit('there is no group tlshd')


def take(ask):
    """The next request's attributes, or None."""
    try:
        answer = ask.call(ACCEPT, attr(HANDLER_CLASS, TLSHD))
    except Error as e:
        if e.errno == 11:       # EAGAIN
            return None
        raise
    return dict(parse(answer[0]))


def done(ask, fd, status):
    ask.call(DONE, attr(DONE_STATUS, status) + attr(DONE_SOCKFD, fd))
    os.close(fd)


def main():
    how = sys.argv[1]
    ask, news = Genl('handshake'), Genl('handshake')
    news.sock.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group_number(ask))
    print('ready', flush=True)
    if how == 'silent':
        time.sleep(3600)
    while True:
        request = take(ask)
        if request is None:
            select.select([news.sock], [], [])
            news.sock.recv(1 << 16)
            continue
        print(request.get(PEERNAME, b'').rstrip(b'\0').decode() or '-',
              u32(request[AUTH_MODE]), u32(request.get(TIMEOUT, bytes(4))),
              flush=True)
        fd = u32(request[SOCKFD])
        if how == 'die':
            return
        if how == 'lie':
            done(ask, fd, 0)
        if how == 'refuse':
            done(ask, fd, int(sys.argv[2]))


if __name__ == '__main__':
    main()
