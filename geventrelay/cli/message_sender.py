"""Sends messages so that none goes to nobody: waits for somebody who takes them, and says what became of each."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from typing import Any, cast

import gevent
import zmq
import zmq.green
from gevent.event import Event

from ..endpoints import Endpoint
from ..engine.libzmq import terminate
from ..engine.readiness import plain_send
from ..engine.socket import RelaySocket
from . import message_source as watching

_NOW, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)

# Who does not read what has been sent to him is not waited for longer where the replay has ended early.
_HASTY_LINGER_MS = 1000


class SenderType(enum.Enum):
    """What to send with."""

    PUB = "PUB"
    PUSH = "PUSH"
    DEALER = "DEALER"
    PAIR = "PAIR"


class Outcome(enum.Enum):
    """What became of a message. The values are the names in the summary."""

    SENT = "sent"
    """Handed to libzmq, for a peer that was there."""
    UNWANTED = "unwanted"
    """Nobody has subscribed to what it begins with."""
    TOO_SHORT = "too_short"
    """Nothing is left of it without the parts that were to be left out."""
    NOT_SENT = "not_sent"
    """The replay ended before."""


class Sender:
    """A socket to send with, that waits for who takes messages rather than lose them.

    As a PUB it is an XPUB that never drops (ZMQ_XPUB_NODROP), waits while nobody has subscribed to anything, and waits
    for subscribers who are slow. What comes back to a DEALER or PAIR is read and thrown away.

    :param kind: what to send with. :param endpoint: where. :param limit_s: how long to wait each time; None for ever.
    :raises StartError: if the endpoint cannot be had.
    """

    def __init__(self, kind: SenderType, endpoint: Endpoint, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._linger_ms = -1 if limit_s is None else int(limit_s * 1000)
        self._topics: set[bytes] = set()
        self._somebody = Event()
        self._publishes = kind is SenderType.PUB
        self._context: Any = zmq.green.Context()
        socket_type = zmq.XPUB if self._publishes else zmq.SocketType[kind.value]
        self._socket = cast(RelaySocket, self._context.socket(socket_type, socket_class=RelaySocket))
        if self._publishes:
            self._socket.set(zmq.XPUB_NODROP, 1)
        else:
            # A connection that is still being made is nobody.
            self._socket.set(zmq.IMMEDIATE, 1)
            self._somebody.set()
        self._reader = gevent.spawn(self._read)
        try:
            watching.attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def send(self, parts: Sequence[bytes]) -> Outcome:
        """Send a message of `parts` as soon as somebody takes it, and say what became of it. Yields if need be."""
        if not self._somebody.is_set():
            print("waiting for a subscription", file=sys.stderr, flush=True)
            if not self._somebody.wait(self._limit_s):
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
        """Close when all has left, or the time is over; whether it came to that before SIGINT or SIGTERM did. Yields.

        :param hastily: whether what still waits for a peer is to wait a second at most.
        """
        gevent.kill(self._reader)
        self._socket.close(_HASTY_LINGER_MS if hastily else self._linger_ms)
        with watching.until_signal():
            terminate(self._context)
            return True
        return False

    def _send_now(self, parts: Sequence[bytes]) -> None:
        """Send without waiting, at a third of what zmq.green's own call costs; raises `zmq.Again` if that cannot be."""
        first, *others = parts
        plain_send(self._socket, first, _MORE if others else _NOW)
        if others:
            # Who took the first part takes them all.
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
                self._somebody.set()
            else:
                self._somebody.clear()
