"""A TCP link between two endpoints, and everything that can go wrong with it.

::

    client ── accept ──> Flow (forward)  ── sends in slices, late, or not at all ──> target
           <── sends ──  Flow (backward) <──────────────── reads ──────────────────
"""

from __future__ import annotations

import contextlib
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event
from gevent.pool import Group

from ..endpoints import Endpoint
from ..errors import SettingsError
from .waiting import Closing

_READ_BYTES = 65536


class FaultyLink(Closing):
    """A TCP link from `endpoint`, where clients connect, to `target`. A context manager; starts at once.

    A fault applies to present and later connections until it is taken back. Only `cut` and `close` yield.

    :param target: the endpoint to connect to, e.g. ``tcp://127.0.0.1:5555``; not needed before the first client.
    :raises SettingsError: if the target is not a tcp endpoint to connect to.
    :ivar endpoint: where clients connect: a free port of 127.0.0.1, which the link keeps while it is cut.
    :ivar passed_bytes: the number of bytes passed on, both directions together.
    """

    def __init__(self, target: str) -> None:
        parsed = Endpoint.parse(">" + target.removeprefix(">"), name="target")
        if parsed.host is None or parsed.port is None:
            raise SettingsError("target", "a tcp endpoint", target)
        self._target = (parsed.host.strip("[]"), int(parsed.port))
        self._greenlets, self._connections = Group(), set[_Connection]()
        # Those that are accepted and not yet served.
        self._clients: set[Any] = set()
        self.open, self.delay_s, self.slice_bytes, self.passed_bytes = Event(), 0.0, _READ_BYTES, 0
        self.open.set()
        # Bound but never listening: keeps the port while the listener is closed.
        self._keeper = _bound(0)
        self._port = self._keeper.getsockname()[1]
        self._listener: socket.socket | None = None
        self.endpoint = f"tcp://127.0.0.1:{self._port}"
        self.restore()

    def __repr__(self) -> str:
        return f"<FaultyLink {self.endpoint} -> tcp://{self._target[0]}:{self._target[1]}>"

    @property
    def connections(self) -> int:
        """The number of connections at this moment."""
        return len(self._connections)

    def cut(self) -> None:
        """End every connection, lose the bytes under way, and refuse new connections until `restore`. Yields."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._greenlets.kill()
        for connection in tuple(self._connections):
            connection.close()
        self._connections.clear()
        # A greenlet that was killed before it began has closed nothing.
        for client in self._clients:
            client.close()
        self._clients.clear()

    def restore(self) -> None:
        """Accept connections again after `cut`. Nothing happens if the link is not cut."""
        if self._listener is None:
            self._listener = _bound(self._port)
            self._listener.listen(128)
            self._greenlets.spawn(self._accept, self._listener)

    def stall(self) -> None:
        """Pass nothing on, and read nothing once buffers are full. Connections stay up, as with a dead router."""
        self.open.clear()

    def resume(self) -> None:
        """Go on after `stall`; nothing has been lost."""
        self.open.set()

    def delay(self, ms: float) -> None:
        """Pass on each piece that is read (64 KiB at most) `ms` milliseconds late, in order; 0 ends the delay."""
        self.delay_s = ms / 1000

    def slice(self, bytes: int | None) -> None:
        """Pass on at most so many `bytes` at a time, with a yield to the hub in between; None removes the limit."""
        self.slice_bytes = _READ_BYTES if bytes is None else bytes

    def half_close(self) -> None:
        """End the direction to the target on every present connection; the way back stays up."""
        for connection in tuple(self._connections):
            connection.end_forward()

    def close(self) -> None:
        """End everything for good. Yields; may be called twice."""
        self.cut()
        self._keeper.close()

    def _accept(self, listener: socket.socket) -> None:
        # Runs until it is killed, which happens right after the listener is closed.
        while True:
            client, _ = listener.accept()
            self._clients.add(client)
            self._greenlets.spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        # Without a target the client's connection ends, as it would without the link.
        with contextlib.closing(client), contextlib.suppress(OSError):
            self._clients.discard(client)
            target = socket.socket(socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET)
            connection = _Connection(self, client, target)
            self._connections.add(connection)
            try:
                target.connect(self._target)
                connection.run()
            finally:
                self._connections.discard(connection)
                connection.close()


class _Connection:
    """A client's connection and its connection to the target."""

    def __init__(self, link: FaultyLink, client: socket.socket, target: socket.socket) -> None:
        self._link, self._client, self._target = link, client, target
        for one in (client, target):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._forward: gevent.Greenlet[..., None] | None = None

    def run(self) -> None:
        """Pass bytes on in both directions until both have ended. Yields."""
        self._forward = gevent.spawn(self._flow, self._client, self._target)
        try:
            self._flow(self._target, self._client)
            self._forward.join()
        finally:
            self._forward.kill()

    def end_forward(self) -> None:
        """Pass nothing more on to the target, and end that direction."""
        if self._forward is not None:
            self._forward.kill(block=False)
        with contextlib.suppress(OSError):
            self._target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both at once."""
        self._client.close()
        self._target.close()

    def _flow(self, source: socket.socket, destination: socket.socket) -> None:
        link = self._link
        with contextlib.suppress(OSError):
            while True:
                link.open.wait()
                data = source.recv(_READ_BYTES)
                if not data:
                    break
                gevent.sleep(link.delay_s)
                self._hand_on(data, destination)
        with contextlib.suppress(OSError):
            destination.shutdown(socket.SHUT_WR)

    def _hand_on(self, data: bytes, destination: socket.socket) -> None:
        link, start = self._link, 0
        while start < len(data):
            # Here as well, for bytes that were read before the link was stalled.
            link.open.wait()
            piece = data[start : start + link.slice_bytes]
            destination.sendall(piece)
            link.passed_bytes += len(piece)
            start += len(piece)
            if start < len(data):
                gevent.sleep(0)


def _bound(port: int) -> Any:
    one = socket.socket(socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Two sockets on one port, of which only one ever listens.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("127.0.0.1", port))
    return one
