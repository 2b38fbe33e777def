"""The messages from a tap's endpoint, or from any other publisher."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping

import gevent

from ..endpoints import Endpoint
from ..errors import StartError
from ..recording import Record
from ..recording.questions import RESERVED, Questions
from ..recording.record import source_name
from .subscriber import Subscriber

# How long to wait for the answer to one question; it may be lost like any message.
_ANSWER_S = 1.0
# A peer that leaves so many questions unanswered is no tap.
_UNANSWERED = 2
# What comes before it is known whether the peer is a tap is kept, up to so many bytes.
_KEPT_BYTES = 16 * 1024 * 1024

UNKNOWN = "unknown"
"""The source of a message from a publisher that is no tap."""


class TapStream:
    """A SUB that reads a tap, or a publisher that is none.

    :param endpoint: where it is.
    :param direction: the key of the socket where messages came in; None is every one.
    :param topic: at a publisher that is no tap, what to subscribe to.
    :param keys: see `geventrelay.cli.client_keys.ClientKeys.socket_options`.
    :raises StartError: if it cannot connect or bind there.
    """

    def __init__(self, endpoint: Endpoint, direction: str | None, topic: bytes, keys: Mapping[int, bytes]) -> None:
        self._endpoint, self._direction, self._topic = endpoint, direction, topic
        self._is_tap = False
        self._questions = Questions()
        # Messages and the times when they were received, before it is known what they are.
        self._kept: deque[tuple[int, list[bytes]]] = deque()
        self._kept_bytes = 0
        self._subscriber = Subscriber(endpoint, b"" if direction is None else os.fsencode(direction), keys)

    def begin(self) -> bool:
        """Wait until the subscription is in force: a tap has said so, or a publisher is connected. Yields.

        A publisher that is no tap says nothing; from it, messages of the next moment may be missed.

        :returns: whether it is a tap.
        :raises StartError: if it is none, but one direction was asked for.
        """
        unanswered, subscriber = 0, self._subscriber
        while not self._is_tap and unanswered < _UNANSWERED:
            question, connected = self._questions.new(), subscriber.is_connected()
            subscriber.subscribe(question)
            gevent.with_timeout(_ANSWER_S, self._await_answer, timeout_value=None)
            subscriber.unsubscribe(question)
            unanswered = unanswered + 1 if connected and subscriber.is_connected() else 0
        if not self._is_tap:
            self._take_topic()
        return self._is_tap

    def receive(self) -> list[Record]:
        """Wait for the next messages, at least one. Yields if there is none yet."""
        while not (records := self._records()):
            self._subscriber.wait()
        return records

    def close(self) -> None:
        """Close it. Yields."""
        self._subscriber.close()

    def _await_answer(self) -> None:
        """Wait for the answer, and keep what comes before it; the oldest is dropped beyond a limit."""
        while True:
            for time_ns, parts in self._received():
                self._kept.append((time_ns, parts))
                self._kept_bytes += sum(map(len, parts))
            if self._is_tap:
                return
            while self._kept_bytes > _KEPT_BYTES:
                self._kept_bytes -= sum(map(len, self._kept.popleft()[1]))
            self._subscriber.wait()

    def _take_topic(self) -> None:
        if self._direction is not None:
            raise StartError(f"{self._endpoint.address} is no tap: its messages have no direction")
        if self._topic:
            self._subscriber.subscribe(self._topic)
            self._subscriber.unsubscribe(b"")

    def _records(self) -> list[Record]:
        received = [*self._kept, *self._received()]
        self._kept.clear()
        if not self._is_tap:
            return [Record(time_ns, UNKNOWN, tuple(parts)) for time_ns, parts in received]
        return [
            Record(time_ns, source_name(source), tuple(parts))
            for time_ns, (source, *parts) in received
            if not source.startswith(RESERVED)
        ]

    def _received(self) -> list[tuple[int, list[bytes]]]:
        """The messages that are there to be read, up to a share, without answers to questions. Does not yield."""
        received = []
        for message in self._subscriber.received():
            if self._questions.answered_by(message[1][0]):
                self._is_tap = True
            else:
                received.append(message)
        return received
