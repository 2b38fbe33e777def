"""The programs around a relay: sockets that wait for their handshakes, and whose every wait has a limit."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import gevent
import zmq
import zmq.green

from geventrelay import RelaySocket

from .waiting import LIMIT_S, within

LOCAL = "tcp://127.0.0.1:0"

_EVENT = struct.Struct("=hi")
_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
_names = itertools.count()


class Peer:
    """One socket of a program that talks to the relay. Options are ZeroMQ's by name, e.g. ``rcvhwm=1``."""

    def __init__(self, context: Any, kind: int, **options: Any) -> None:
        self.socket: RelaySocket = context.socket(kind, socket_class=RelaySocket)
        self.socket.set(zmq.LINGER, 0)
        for name, value in options.items():
            self.socket.set(getattr(zmq, name.upper()), value)
        self.endpoint = ""
        address = f"inproc://test-monitor-{next(_names)}"
        self.socket.monitor(address, _WATCHED)
        self._events = context.socket(zmq.PAIR, socket_class=RelaySocket)
        self._events.set(zmq.LINGER, 0)
        self._events.set(zmq.RCVHWM, 0)
        self._events.connect(address)

    def __repr__(self) -> str:
        return f"<{zmq.SocketType(self.socket.type).name} peer>"

    def connect(self, endpoint: str, *, wait: bool = True) -> None:
        """Connect and, unless told otherwise, wait until the handshake is through on this side."""
        self.socket.connect(endpoint)
        if wait and not endpoint.startswith("inproc"):
            self.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED)

    def bind(self, endpoint: str = LOCAL) -> str:
        """Bind, and return the address."""
        self.socket.bind(endpoint)
        self.endpoint = self.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        return self.endpoint

    def wait_for(self, event: int, seconds: float = LIMIT_S) -> None:
        """Read the monitor's events up to the first `event`."""
        with within(f"{zmq.Event(event).name} at {self}", seconds):
            while True:
                seen, _ = _EVENT.unpack(self._events.recv_multipart()[0])
                if seen == event:
                    return

    def saw(self, event: int) -> bool:
        """Whether `event` is among the monitor's events that nobody has read yet. Reads them."""
        seen = False
        while self._events.readable:
            seen = seen or _EVENT.unpack(self._events.recv_multipart(zmq.NOBLOCK)[0])[0] == event
        return seen

    def send(self, *parts: bytes, seconds: float = LIMIT_S) -> None:
        """Send one message, waiting for room in the queue if need be."""
        with within(f"{self} to send {short(parts)}", seconds):
            self.socket.send_multipart(parts)

    def recv(self, seconds: float = LIMIT_S) -> list[bytes]:
        """The next message."""
        with within(f"a message at {self}", seconds):
            return self.socket.recv_multipart()

    def recv_all(self, count: int, seconds: float = LIMIT_S) -> list[list[bytes]]:
        """The next `count` messages."""
        messages: list[list[bytes]] = []
        with within(f"{count} messages at {self}", seconds):
            try:
                while len(messages) < count:
                    messages.append(self.socket.recv_multipart())
            except gevent.Timeout:
                print(f"{self} got {len(messages)} of {count}")
                raise
        return messages

    def recv_now(self) -> list[list[bytes]]:
        """What has come up to now. Shows nothing about what may still be on its way."""
        messages = []
        while self.socket.readable:
            messages.append(self.socket.recv_multipart(zmq.NOBLOCK))
        return messages

    def fill(self, *parts: bytes, limit: int = 100_000) -> int:
        """Send copies of a message until the queue takes no more at this moment; how many it took."""
        for count in range(limit):
            try:
                self.socket.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                return count
        raise AssertionError(f"{self} took {limit} messages and was not full")

    def close(self) -> None:
        """Close at once; what is still queued is lost."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self._events.close(0)
            self.socket.close(0)


class Peers:
    """Makes peers, all in one context, and closes them."""

    def __init__(self) -> None:
        self.context: Any = zmq.green.Context()
        self._made: list[Peer] = []

    def make(self, kind: int, **options: Any) -> Peer:
        """A peer that is neither bound nor connected."""
        self._made.append(Peer(self.context, kind, **options))
        return self._made[-1]

    def connect(self, kind: int, *endpoints: str, wait: bool = True, **options: Any) -> Peer:
        """A peer that is connected, with its handshakes through on its side."""
        peer = self.make(kind, **options)
        for endpoint in endpoints:
            peer.connect(endpoint, wait=wait)
        return peer

    def bind(self, kind: int, endpoint: str = LOCAL, **options: Any) -> Peer:
        """A peer that is bound, at `Peer.endpoint`."""
        peer = self.make(kind, **options)
        peer.bind(endpoint)
        return peer

    def publisher(self, *endpoints: str, **options: Any) -> Peer:
        """A publisher (an XPUB) to which each of `endpoints` has said what it subscribes to."""
        peer = self.make(zmq.XPUB, **options)
        for endpoint in endpoints:
            peer.connect(endpoint)
            with within(f"the subscription of {endpoint}"):
                assert peer.recv()[0][:1] == b"\x01"
        return peer

    def subscriber(self, *endpoints: str, prefix: bytes = b"", **options: Any) -> Peer:
        """A SUB whose handshakes are through; whether the other side knows the prefix yet cannot be seen here."""
        return self.connect(zmq.SUB, *endpoints, subscribe=prefix, **options)

    def close(self) -> None:
        """Close every peer and the context."""
        for peer in self._made:
            peer.close()
        gevent.get_hub().threadpool.apply(self.context.term)


def short(parts: tuple[bytes, ...]) -> str:
    """A message for a sentence."""
    return repr([bytes(part[:20]) for part in parts[:4]]) + ("..." if len(parts) > 4 else "")
