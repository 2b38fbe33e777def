"""The messages from a tap's endpoint, or from any other publisher."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gevent
import zmq
import zmq.green

from ..endpoints import Endpoint
from ..engine.fair import FairYield
from ..engine.libzmq import terminate
from ..engine.monitor import Monitor
from ..engine.socket import RelaySocket
from ..errors import StartError
from ..recording import Record
from ..recording.questions import RESERVED, Questions
from ..recording.record import RecordClock, source_name
from .endpoint import attach
from .room import Room

# How much to read before other greenlets run, and signals are handled. A message may have a million parts.
_MESSAGES_AT_A_TIME, _PARTS_AT_A_TIME, _BYTES_AT_A_TIME = 200, 1000, 4 * 1024 * 1024
# How long to wait for the answer to one question; it may be lost like any message.
_ANSWER_S = 1.0
# A peer that leaves so many questions unanswered is no tap.
_UNANSWERED = 2
# What comes before it is known whether the peer is a tap is kept, up to so many bytes.
_KEPT_BYTES = 16 * 1024 * 1024

_CONNECTED, _DISCONNECTED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED), int(zmq.EVENT_DISCONNECTED)

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
        self._is_tap = self._connected = False
        self._questions, self._clock = Questions(), RecordClock()
        # Messages and the times when they were received, before it is known what they are.
        self._kept: deque[tuple[int, list[bytes]]] = deque()
        # Those of the message that is being read.
        self._parts: list[bytes] = []
        self._kept_bytes = 0
        self._context: Any = zmq.green.Context()
        self._socket = cast(RelaySocket, self._context.socket(zmq.SUB, socket_class=RelaySocket))
        self._socket.set(zmq.LINGER, 0)
        for number, value in keys.items():
            self._socket.set(number, value)
        self._room = Room()
        self._socket.set(zmq.RCVHWM, self._room.messages)
        self._socket.set(zmq.SUBSCRIBE, b"" if direction is None else os.fsencode(direction))
        self._monitor = Monitor(self._socket, _CONNECTED | _DISCONNECTED)
        try:
            attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def begin(self) -> bool:
        """Wait until the subscription is in force: a tap has said so, or a publisher is connected. Yields.

        A publisher that is no tap says nothing; from it, messages of the next moment may be missed.

        :returns: whether it is a tap.
        :raises StartError: if it is none, but one direction was asked for.
        """
        unanswered = 0
        while not self._is_tap and unanswered < _UNANSWERED:
            question, connected = self._questions.new(), self._is_connected()
            self._socket.set(zmq.SUBSCRIBE, question)
            gevent.with_timeout(_ANSWER_S, self._await_answer, timeout_value=None)
            self._socket.set(zmq.UNSUBSCRIBE, question)
            unanswered = unanswered + 1 if connected and self._is_connected() else 0
        if not self._is_tap:
            self._take_topic()
        return self._is_tap

    def receive(self) -> list[Record]:
        """Wait for the next messages, at least one. Yields if there is none yet."""
        while not (records := self._records()):
            self._wait()
        return records

    def close(self) -> None:
        """Close it. Yields."""
        self._monitor.close_socket(0).join()
        terminate(self._context)

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
            self._wait()

    def _wait(self) -> None:
        """Yield until there is something to read, and at least once."""
        with FairYield() as turn:
            turn.wait()
        self._socket.wait_readable()

    def _is_connected(self) -> bool:
        for event in self._monitor.read():
            self._connected = event.kind == _CONNECTED
        return self._connected

    def _take_topic(self) -> None:
        if self._direction is not None:
            raise StartError(f"{self._endpoint.address} is no tap: its messages have no direction")
        if self._topic:
            self._socket.set(zmq.SUBSCRIBE, self._topic)
            self._socket.set(zmq.UNSUBSCRIBE, b"")

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

    def _received(self) -> Sequence[tuple[int, list[bytes]]]:
        """The messages that are there to be read, up to a share; it may end within one. Does not yield."""
        received: list[tuple[int, list[bytes]]] = []
        receive_part, nparts, nbytes = self._socket.readiness.receive_part, 0, 0
        try:
            while len(received) < _MESSAGES_AT_A_TIME and nparts < _PARTS_AT_A_TIME and nbytes < _BYTES_AT_A_TIME:
                part = receive_part()
                self._parts.append(part.bytes)
                nparts, nbytes = nparts + 1, nbytes + len(self._parts[-1])
                if not part.more:
                    self._take(received)
        except zmq.Again:
            pass
        if received and self._room.after(len(received), nparts, nbytes):
            # libzmq follows at once (socket_base_t::update_pipe_options).
            self._socket.set(zmq.RCVHWM, self._room.messages)
        return received

    def _take(self, received: list[tuple[int, list[bytes]]]) -> None:
        parts, self._parts = self._parts, []
        if self._questions.answered_by(parts[0]):
            self._is_tap = True
        else:
            received.append((self._clock(), parts))
