"""How many peers a socket has: what tells "nobody is there" from "everybody is full".

libzmq answers EAGAIN to both. Its socket monitor (zmq_socket_monitor(3)) reports each connection made and
lost, with the connection's file descriptor, which is what is counted here.
"""

from __future__ import annotations

import itertools
import struct

import gevent
import zmq

from .socket import RelaySocket

_EVENT = struct.Struct("=hi")
_GAINED = zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED
_names = itertools.count()


class PeerCount:
    """Counts the tcp and ipc connections of one socket. inproc peers raise no events and are not seen.

    A connection counts from the moment it is made, a little before its ZMTP handshake is through.

    :param socket: the socket to watch; it must not have another monitor.
    """

    def __init__(self, socket: RelaySocket) -> None:
        address = f"inproc://geventrelay-peers-{next(_names)}"
        socket.monitor(address, _GAINED | zmq.EVENT_DISCONNECTED)
        self._socket = socket
        self._events: RelaySocket = socket.context.socket(zmq.PAIR, socket_class=RelaySocket)
        # libzmq sends events from its io thread and would stop there when the pair is full.
        self._events.set(zmq.RCVHWM, 0)
        self._events.set(zmq.LINGER, 0)
        self._events.connect(address)
        self._descriptors: set[int] = set()
        self._greenlet = gevent.spawn(self._follow)

    def now(self) -> int:
        """How many connections there are, with every event up to now taken in. Does not yield."""
        while self._events.readable:
            event, descriptor = _EVENT.unpack(self._events.recv_multipart(zmq.NOBLOCK)[0])
            if event & _GAINED:
                self._descriptors.add(descriptor)
            else:
                self._descriptors.discard(descriptor)
        return len(self._descriptors)

    def close(self) -> None:
        """Stop watching. Call it before the watched socket is closed."""
        self._greenlet.kill()
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._events.close()

    def _follow(self) -> None:
        # Events that nobody asks for would pile up.
        while True:
            self._events.wait_readable()
            self.now()
