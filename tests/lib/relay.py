# SPDX-License-Identifier: GPL-2.0
"""Passes bytes between clients and a server, and turns single bits over."""

import socket
import threading

UP, DOWN = 'up', 'down'         # to the server, and from it


class Relay:
    """In front of a server that has addr and port."""

    def __init__(self, server):
        self.server = server
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=128)
        self.addr, self.port = self.listener.getsockname()[:2]
        self.lock = threading.Lock()
        self.ahead = {}             # bits that pass in a direction before it
        self.flipped = 0
        self.socks = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def flip(self, way, bit):
        """Turns over this one of the bits that pass next; least bit first."""
        with self.lock:
            self.ahead = {way: bit}

    def forget(self):
        """A bit that did not come is left alone."""
        with self.lock:
            self.ahead = {}

    def drop(self):
        """Cut all connections."""
        for sock in list(self.socks):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection((self.server.addr,
                                                   self.server.port))
            except OSError:
                client.close()
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.socks.add(sock)
            for way, source, sink in ((UP, client, server),
                                      (DOWN, server, client)):
                threading.Thread(target=self._pass, args=(way, source, sink),
                                 daemon=True).start()

    def _change(self, way, data):
        with self.lock:
            ahead = self.ahead.get(way)
            if ahead is None:
                return data
            if ahead >= len(data) * 8:
                self.ahead[way] = ahead - len(data) * 8
                return data
            self.ahead = {}
            self.flipped += 1
        data = bytearray(data)
        data[ahead // 8] ^= 1 << ahead % 8
        return data

    def _pass(self, way, source, sink):
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                sink.sendall(self._change(way, data))
        except OSError:
            pass
        # Whoever ends it, both ends see it; the other thread closes as well.
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()
        self.socks.discard(source)
