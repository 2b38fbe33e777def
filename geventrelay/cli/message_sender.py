"""Sends messages only while a peer can take them: waits for one, and returns the outcome of each message."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gevent
import zmq
import zmq.green
from gevent.event import Event

from ..endpoints import Endpoint
from ..engine.libzmq import terminate
from ..engine.readiness import plain_send
from ..engine.socket import RelaySocket
from .endpoint import attach
from .interrupt import until_signal
from .output import print_stderr

_NOW, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)

# After an early end of the replay, a peer that does not read has only this time, in ms.
_HASTY_LINGER_MS = 1000


class SenderType(enum.Enum):
    """The socket type that sends."""

    PUB = "PUB"
    PUSH = "PUSH"
    DEALER = "DEALER"
    PAIR = "PAIR"


class Outcome(enum.Enum):
    """The outcome of a message. The values are the names in the summary."""

    SENT = "sent"
    """Handed to libzmq for a connected peer."""
    UNWANTED = "unwanted"
    """No peer has subscribed to a prefix of it."""
    TOO_SHORT = "too_short"
    """Nothing is left without the skipped parts."""
    NOT_SENT = "not_sent"
    """The replay ended before it."""


class Sender:
    """A socket that sends, and waits for a receiver so that no message is lost.

    As a PUB it is an XPUB that never drops (ZMQ_XPUB_NODROP). It waits while there is no subscription, and for slow
    subscribers. Messages that come back to a DEALER or PAIR are read and thrown away.

    :param kind: the socket type.
    :param endpoint: where to connect or bind.
    :param limit_s: how long to wait for a receiver each time, in seconds; None is no limit.
    :param keys: see `geventrelay.cli.client_keys.ClientKeys.socket_options`.
    :raises StartError: if it cannot connect or bind there.
    """

    def __init__(self, kind: SenderType, endpoint: Endpoint, limit_s: float | None, keys: Mapping[int, bytes]) -> None:
        self._limit_s = limit_s
        self._linger_ms = -1 if limit_s is None else int(limit_s * 1000)
        self._topics: set[bytes] = set()
        self._receiver_present = Event()
        self._publishes = kind is SenderType.PUB
        self._context: Any = zmq.green.Context()
        socket_type = zmq.XPUB if self._publishes else zmq.SocketType[kind.value]
        self._socket = cast(RelaySocket, self._context.socket(socket_type, socket_class=RelaySocket))
        for number, value in keys.items():
            self._socket.set(number, value)
        if self._publishes:
            self._socket.set(zmq.XPUB_NODROP, 1)
        else:
            # A connection in its handshake is not a peer yet.
            self._socket.set(zmq.IMMEDIATE, 1)
            self._receiver_present.set()
        self._reader = gevent.spawn(self._read)
        try:
            attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def send(self, parts: Sequence[bytes]) -> Outcome:
        """Send a message of `parts` as soon as a peer takes it; returns the outcome. Yields if it must wait."""
        if not self._receiver_present.is_set():
            print_stderr("waiting for a subscription")
            if not self._receiver_present.wait(self._limit_s):
                return Outcome.NOT_SENT
        if self._publishes and not parts[0].startswith(tuple(self._topics)):
            return Outcome.UNWANTED
        try:
            self._send_now(parts)
        except zmq.Again:
            gone = gevent.with_timeout(self._limit_s, self._socket.send_multipart, parts, timeout_value=False)
            return Outcome.NOT_SENT if gone is False else Outcome.SENT
        return Outcome.SENT

    def close(self, *, hastily: bool = False) -> bool:
        """Close when everything is sent or the time is over; False if SIGINT or SIGTERM came before that. Yields.

        :param hastily: whether queued messages wait for a peer for one second at most.
        """
        gevent.kill(self._reader)
        self._socket.close(_HASTY_LINGER_MS if hastily else self._linger_ms)
        with until_signal():
            terminate(self._context)
            return True
        return False

    def _send_now(self, parts: Sequence[bytes]) -> None:
        """Send without waiting, in a third of the time of zmq.green's call; raises `zmq.Again` if no peer takes it."""
        first, *others = parts
        plain_send(self._socket, first, _MORE if others else _NOW)
        if others:
            # The peer that took the first part takes all parts.
            self._socket.send_multipart(others)
        self._socket.after_write()

    def _read(self) -> None:
        if self._socket.type == zmq.PUSH:
            return
        while True:
            message = b"".join(self._socket.recv_multipart())
            if not self._publishes:
                continue
            if message[:1] == b"\1":
                self._topics.add(message[1:])
            elif message[:1] == b"\0":
                self._topics.discard(message[1:])
            if self._topics:
                self._receiver_present.set()
            else:
                self._receiver_present.clear()
