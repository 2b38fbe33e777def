"""A peer: one socket that knows its connections, with a time limit on every wait."""

from __future__ import annotations

import difflib
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import zmq

from ..engine.libzmq import last_endpoint
from ..engine.monitor import Monitor
from ..engine.socket import RelaySocket
from ..engine.subscriptions import Subscription
from ..errors import SettingsError
from .waiting import LIMIT_S, within

LOCAL = "tcp://127.0.0.1:0"
"""A free port of this host, to bind."""

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _FAILED
_SUBSCRIBERS = (zmq.SUB, zmq.XSUB)
# The number of messages that a failure shows.
_SHOWN = 3
_MARK = b"\0geventrelay-mark\0"
_mark_numbers = itertools.count()

Parts = list[bytes]


class Peer:
    """One socket of a program that talks to the one under test. Every method that waits yields to the hub.

    The socket's linger is 0. No method here returns the messages that `connected` and `fence` send. A method that waits
    raises `AssertionError` after `within_s` seconds. The error says what it waited for, where, and which messages were
    received and sent before.

    :param context: the ZeroMQ context to make the socket in.
    :param kind: a socket type of ZeroMQ, e.g. ``zmq.PUSH``.
    :param limit_s: how long each call waits by default, in seconds.
    :param options: ZeroMQ's options by name, e.g. ``rcvhwm=1``; ``subscribe`` takes one prefix or several.
    :raises SettingsError: if ZeroMQ has no such option.
    :ivar socket: the socket itself, for everything that this class does not offer.
    :ivar endpoint: where it was bound last, with the real port; empty if it was not bound.
    :ivar subscriptions: the prefixes that it has subscribed to.
    """

    def __init__(self, context: Any, kind: int, *, limit_s: float = LIMIT_S, **options: Any) -> None:
        # Before there is a socket, which a wrong name would leave behind.
        numbers = {name: _option(name) for name in options if name != "subscribe"}
        self.socket: RelaySocket = context.socket(kind, socket_class=RelaySocket)
        self.type = zmq.SocketType(kind)
        self.endpoint = ""
        self.endpoints: list[str] = []
        self.subscriptions: list[bytes] = []
        self.limit_s = limit_s
        self._early: deque[Parts] = deque()
        self._sent, self._received = _Log(), _Log()
        self._unread: deque[int] = deque()
        self._live = self._failed = 0
        self._monitor = Monitor(self.socket, _WATCHED)
        self.socket.set(zmq.LINGER, 0)
        for name, value in options.items():
            if name == "subscribe":
                self.subscribe(*([value] if isinstance(value, (str, bytes)) else value))
            else:
                value = value.encode() if isinstance(value, str) else value
                self.socket.set(numbers[name], value)

    def __repr__(self) -> str:
        way = f" bound to {self.endpoint}" if self.endpoint else ""
        way += f" connected to {', '.join(self.endpoints)}" if self.endpoints else ""
        return f"<{self.type.name} peer{way}>"

    def connect(self, endpoint: str, *, wait: bool = True, within_s: float | None = None) -> None:
        """Connect to `endpoint` and, if `wait` is true, wait until the handshake is done on this side.

        :param within_s: for how long at most, in seconds; None is the peer's own limit.
        """
        self.socket.connect(endpoint)
        self.endpoints.append(endpoint)
        # inproc connections have no handshake, and raise no events.
        if wait and not endpoint.startswith("inproc"):
            self.wait_for(zmq.EVENT_HANDSHAKE_SUCCEEDED, within_s)

    def bind(self, endpoint: str = LOCAL) -> str:
        """Bind to `endpoint`, and return the bound address. Does not yield."""
        self.socket.bind(endpoint)
        self.endpoint = last_endpoint(self.socket)
        return self.endpoint

    def subscribe(self, *prefixes: str | bytes) -> None:
        """Subscribe a SUB or XSUB to each of `prefixes`; ``b""`` is everything. Does not wait for a publisher."""
        for prefix in prefixes:
            prefix = prefix.encode() if isinstance(prefix, str) else prefix
            if self.type == zmq.XSUB:
                self.socket.send(Subscription(prefix, wanted=True).frame)
            else:
                self.socket.set(zmq.SUBSCRIBE, prefix)
            self.subscriptions.append(prefix)

    @property
    def subscribes(self) -> bool:
        """Whether this receives only what it has subscribed to."""
        return self.type in _SUBSCRIBERS

    @property
    def publishes(self) -> bool:
        """Whether this sends only to peers that have subscribed."""
        return self.type in (zmq.PUB, zmq.XPUB)

    @property
    def connections(self) -> int:
        """The number of connections with a finished handshake; inproc ones do not count. Does not yield."""
        self._read_events()
        return self._live

    def wait_connections(self, count: int) -> None:
        """Wait until there are `count` connections or more, without a limit. Yields."""
        while self.connections < count:
            self._monitor.wait()

    def wait_for(self, event: int, within_s: float | None = None) -> None:
        """Read the socket monitor's events up to the first `event`.

        :param event: ``zmq.EVENT_HANDSHAKE_SUCCEEDED`` or ``zmq.EVENT_DISCONNECTED``.
        :param within_s: for how long at most, in seconds; None is the peer's own limit.
        """
        with self._within(str(zmq.Event(event).name), within_s):
            while True:
                self._read_events()
                while self._unread:
                    if self._unread.popleft() == event:
                        return
                self._monitor.wait()

    def saw(self, event: int) -> bool:
        """Whether `event` is among the monitor's unread events. Reads all of them; does not yield."""
        self._read_events()
        seen = event in self._unread
        self._unread.clear()
        return seen

    def send(self, *parts: bytes, within_s: float | None = None) -> None:
        """Send one message of `parts`; waits for room in the queue for `within_s` seconds at most."""
        with self._within(f"room to send {short(parts)}", within_s):
            self.socket.send_multipart(parts)
        if not is_mark(parts):
            self._sent.add(parts)

    def recv(self, within_s: float | None = None) -> Parts:
        """The next message, all its parts; waits for it for `within_s` seconds at most."""
        return self.recv_all(1, within_s)[0]

    def recv_all(self, count: int, within_s: float | None = None) -> list[Parts]:
        """The next `count` messages; waits for all of them for `within_s` seconds at most."""
        messages: list[Parts] = []
        what = "a message" if count == 1 else f"{count} messages"
        with self._within(what, within_s):
            while len(messages) < count:
                messages.append(self._early.popleft() if self._early else self._next())
        return messages

    def recv_now(self) -> list[Parts]:
        """The messages that have come up to now; more may be on their way. Does not yield."""
        messages = list(self._early)
        self._early.clear()
        while self.socket.readable:
            if not is_mark(parts := self.socket.recv_multipart(zmq.NOBLOCK)):
                self._received.add(parts)
                messages.append(parts)
        return messages

    def recv_until(self, mark: bytes, before: list[Parts]) -> bool:
        """Read up to the message of the harness that ends in `mark`; puts the messages before it into `before`.

        Waits without a limit and returns True. `before` has the messages even if the wait is interrupted.
        """
        before.extend(self._early)
        self._early.clear()
        while not (parts := self.socket.recv_multipart())[-1].endswith(mark):
            if not is_mark(parts):
                self._received.add(parts)
                before.append(parts)
        return True

    def put_back(self, messages: Iterable[Parts]) -> None:
        """Let `messages` be received again, before everything else."""
        self._early.extendleft(reversed(list(messages)))

    def fill(self, *parts: bytes, limit: int = 100_000) -> int:
        """Send copies of a message of `parts` until the queue is full; returns how many it took.

        :raises AssertionError: if the queue is not full after `limit` messages.
        """
        for count in range(limit):
            try:
                self.socket.send_multipart(parts, zmq.NOBLOCK)
            except zmq.Again:
                return count
            self._sent.add(parts)
        raise AssertionError(f"{self} took {limit} messages and was not full")

    def close(self, linger_ms: int = 0) -> None:
        """Close. May be called twice. Does not yield.

        :param linger_ms: for how long the queued messages are still sent, in the background, in milliseconds. 0 drops
            them, -1 sends them all, however long it takes.
        """
        self._monitor.stop()
        self.socket.close(linger_ms)

    def _next(self) -> Parts:
        while is_mark(parts := self.socket.recv_multipart()):
            pass
        self._received.add(parts)
        return parts

    def _within(self, what: str, within_s: float | None) -> Any:
        return within(lambda: f"{what} at {self.state()}", self.limit_s if within_s is None else within_s)

    def state(self) -> str:
        """What this peer is and what it has seen up to now, as text for an error. Does not yield."""
        connections = "closed" if self.socket.closed else f"connections: {self.connections}"
        return f"{self} (received before: {self._received}; sent before: {self._sent}; {connections})"

    def _read_events(self) -> None:
        while events := self._monitor.read():
            for event in events:
                self._take(event.kind)

    def _take(self, kind: int) -> None:
        self._unread.append(kind)
        if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._live += 1
        elif kind & _FAILED:
            self._failed += 1
        elif kind == zmq.EVENT_DISCONNECTED:
            # libzmq also reports the end of a connection whose handshake failed.
            if self._failed:
                self._failed -= 1
            else:
                self._live -= 1


def _option(name: str) -> zmq.SocketOption:
    try:
        return zmq.SocketOption[name.upper()]
    except KeyError:
        near = difflib.get_close_matches(name.upper(), list(zmq.SocketOption.__members__), 1)
        hint = f" (did you mean {near[0].lower()}?)" if near else ""
        raise SettingsError("peer option", f"a socket option of ZeroMQ{hint}", name) from None


class _Log:
    """The number of messages in one direction, and the last of them."""

    def __init__(self) -> None:
        self.count = 0
        self.last: deque[str] = deque(maxlen=_SHOWN)

    def __str__(self) -> str:
        if not self.count:
            return "nothing"
        return f"{self.count}, ending in {' '.join(self.last)}" if self.count > _SHOWN else " ".join(self.last)

    def add(self, parts: Sequence[bytes]) -> None:
        self.count += 1
        self.last.append(short(parts))


def short(parts: Sequence[bytes]) -> str:
    """A message of `parts` as short text for an error."""
    return repr([bytes(part[:20]) for part in parts[:4]]) + ("..." if len(parts) > 4 else "")


def new_mark() -> bytes:
    """A body that no other message of this process has. It may get a prefix, for example that of a subscription."""
    return b"%s%d." % (_MARK, next(_mark_numbers))


def is_mark(parts: Sequence[bytes]) -> bool:
    """Whether the message `parts` comes from the harness."""
    return _MARK in parts[-1]
