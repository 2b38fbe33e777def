"""Somebody else's socket, as a pump sees it."""

from __future__ import annotations

import os
from typing import Any

import zmq
import zmq.green
from gevent.hub import get_hub

from .port import Port


def _is_green(socket: object) -> bool:
    return isinstance(socket, zmq.green.Socket)


class Borrowed:
    """A socket that goes on belonging to its caller, green or plain, with the port that a pump needs.

    While it is borrowed, nobody else may read or write the socket; closing it is fine, but whoever waits here does not
    wake up from that: pyzmq tells nobody that a socket has been closed, so `raw.closed` is to be looked at.

    :param socket: any `zmq.Socket`; it is in `raw` from then on.
    :ivar port: how a pump waits for it.
    """

    def __init__(self, socket: zmq.Socket[Any]) -> None:
        self.raw = socket
        self.port = Port(socket)
        # XPUB_NODROP cannot be read back; where it is off, nobody ever waits for these to become writable.
        self.port.pollout_lies = socket.type in (zmq.XPUB, zmq.PUB)
        # A plain socket's descriptor goes when its owner closes it, and its number may be another's by the time that we
        # look; libuv would then watch neither of the two. So it gets one of our own. Not a green socket, which watches
        # its descriptor too: whoever of two descriptors is reported first takes the edge from the other, while two
        # watchers of one are told together.
        self._own_descriptor: int | None = None if _is_green(socket) else os.dup(socket.fileno())
        descriptor = socket.fileno() if self._own_descriptor is None else self._own_descriptor
        self.port.watcher = get_hub().loop.io(descriptor, 1)
        self.port.watcher.start(self.port.on_edge)

    def give_back(self) -> None:
        """Stop watching the socket, which is left as it is. Does not yield; does nothing the second time."""
        self.port.stop_watching()
        if self._own_descriptor is not None:
            os.close(self._own_descriptor)
            self._own_descriptor = None
