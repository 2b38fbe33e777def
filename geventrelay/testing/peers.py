"""The peers of one test: made in one context, and closed together."""

from __future__ import annotations

from typing import Any

import zmq
import zmq.green

from ..engine.libzmq import terminate
from ..errors import SettingsError
from ..settings import SOCKET_TYPES
from .leaks import open_sockets
from .peer import LOCAL, Peer, is_mark
from .waiting import LIMIT_S, Closing, within


class Peers(Closing):
    """Makes peers, all in one context, and closes them; a context manager.

    :param limit_s: how long each call of a peer waits by default, in seconds.
    :param options: ZeroMQ's options by name, which every peer gets before its own.
    :ivar context: the context; a device that gets it can share ``inproc`` endpoints with the peers.
    """

    def __init__(self, *, limit_s: float = LIMIT_S, **options: Any) -> None:
        self.context: Any = zmq.green.Context()
        self._limit_s, self._options = limit_s, options
        self._made: list[Peer] = []

    def __call__(self, type: str | int, endpoint: str = "@" + LOCAL, **options: Any) -> Peer:
        """Make a peer and bind or connect it. Does not wait for a handshake: see `geventrelay.testing.connected`.

        :param type: a socket type of ZeroMQ by name, e.g. ``"PUSH"``, or as ``zmq.PUSH``.
        :param endpoint: where to connect, or to bind with ``@`` before it; without it, a free port of 127.0.0.1 is
            bound. `Peer.endpoint` has the real port.
        :param options: ZeroMQ's options by name, and ``limit_s`` as for `Peers`. A SUB or XSUB subscribes to everything
            unless there is ``subscribe=``.
        :raises SettingsError: if there is no such socket type.
        """
        if isinstance(type, str) and type.upper() not in SOCKET_TYPES:
            raise SettingsError("type", "one of " + ", ".join(SOCKET_TYPES), type)
        kind = zmq.SocketType[type.upper()] if isinstance(type, str) else zmq.SocketType(type)
        if kind in (zmq.SUB, zmq.XSUB):
            options.setdefault("subscribe", b"")
        peer = self.make(kind, **options)
        if endpoint.startswith("@"):
            peer.bind(endpoint[1:])
        else:
            peer.connect(endpoint.removeprefix(">"), wait=False)
        return peer

    def make(self, kind: int, **options: Any) -> Peer:
        """Make a peer of ZeroMQ's socket type `kind` with `options`, neither bound nor connected."""
        self._made.append(Peer(self.context, kind, **{"limit_s": self._limit_s, **self._options, **options}))
        return self._made[-1]

    def connect(self, kind: int, *endpoints: str, wait: bool = True, **options: Any) -> Peer:
        """Make a peer of type `kind` with `options`, and connect it to each of `endpoints`.

        :param wait: whether to wait until the handshakes are done on its side.
        """
        peer = self.make(kind, **options)
        for endpoint in endpoints:
            peer.connect(endpoint, wait=wait)
        return peer

    def bind(self, kind: int, endpoint: str = LOCAL, **options: Any) -> Peer:
        """Make a peer of type `kind` with `options`, and bind it to `endpoint`; see `Peer.endpoint`."""
        peer = self.make(kind, **options)
        peer.bind(endpoint)
        return peer

    def publisher(self, *endpoints: str, **options: Any) -> Peer:
        """Make a publisher (an XPUB with `options`) and wait for a subscription from each of `endpoints`. Yields."""
        peer = self.make(zmq.XPUB, **options)
        for endpoint in endpoints:
            peer.connect(endpoint)
            with within(f"the subscription of {endpoint}", peer.limit_s):
                first = peer.recv()
            assert first[0][:1] == b"\x01" and not is_mark(first), f"{endpoint} sent {first} for a subscription"
        return peer

    def subscriber(self, *endpoints: str, prefix: bytes = b"", **options: Any) -> Peer:
        """Make a SUB with `options` for `prefix`, and wait for its handshakes with `endpoints`. Yields.

        A SUB cannot see whether the other side knows the prefix yet; `geventrelay.testing.connected` finds out.
        """
        return self.connect(zmq.SUB, *endpoints, subscribe=prefix, **options)

    def close(self) -> None:
        """Close every peer and the context. Yields; may be called twice.

        A context with open sockets of other code is not terminated: its term() would wait for them for ever.
        """
        for peer in self._made:
            peer.close()
        if not self.context.closed and not open_sockets(self.context):
            terminate(self.context)
