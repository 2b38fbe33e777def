"""A link that can be stalled: what is sent over it waits on its way, both ways, and no end is told."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import gevent
from gevent import socket as green
from gevent.event import Event
from gevent.server import StreamServer


class StallingLink:
    """Leads to a port of this machine.

    :param port: that port.
    :ivar port: where to connect in its place.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._goes_on = Event()
        self._goes_on.set()
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = int(self._server.server_port)

    def stall(self) -> None:
        """Let nothing through until `go_on`. Connections that are made meanwhile are stalled too."""
        self._goes_on.clear()

    def go_on(self) -> None:
        """Let through what waits, and all that comes."""
        self._goes_on.set()

    def close(self) -> None:
        """End all connections."""
        self._server.stop(timeout=0)

    def _serve(self, near: green.socket, address: tuple[str, int]) -> None:
        with contextlib.closing(green.create_connection(("127.0.0.1", self._target))) as far:
            ways = [gevent.spawn(self._move, *ends) for ends in ((near, far), (far, near))]
            try:
                gevent.joinall(ways, count=1)
            finally:
                gevent.killall(ways)

    def _move(self, source: green.socket, target: green.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._goes_on.wait()
                target.sendall(data)
            self._goes_on.wait()
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def stalling_link(port: int) -> Iterator[StallingLink]:
    """A `StallingLink` to `port` for a ``with`` block."""
    link = StallingLink(port)
    try:
        yield link
    finally:
        link.close()
