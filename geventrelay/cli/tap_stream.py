"""The messages from a tap's endpoint."""

from __future__ import annotations

import os
import time
from typing import Any, cast

import zmq
import zmq.green

from ..endpoints import Endpoint
from ..engine.libzmq import terminate
from ..engine.socket import RelaySocket
from ..recording import Record
from ..recording.record import source_name
from .endpoint import attach

# The number of messages to read before other greenlets run, and signals are handled.
_MESSAGES_AT_A_TIME = 200


class TapStream:
    """A SUB that reads a tap.

    :param endpoint: where the tap is.
    :param direction: the key of the socket where messages came in; None is every one.
    :raises StartError: if it cannot connect or bind there.
    """

    def __init__(self, endpoint: Endpoint, direction: str | None) -> None:
        self._context: Any = zmq.green.Context()
        self._socket = cast(RelaySocket, self._context.socket(zmq.SUB, socket_class=RelaySocket))
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, 100_000)
        self._socket.set(zmq.SUBSCRIBE, b"" if direction is None else os.fsencode(direction))
        try:
            attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def receive(self) -> list[Record]:
        """Wait for the next messages, at least one. Yields if there is none yet."""
        while not (records := self._received()):
            self._socket.wait_readable()
        return records

    def close(self) -> None:
        """Close it. Yields."""
        self._socket.close(0)
        terminate(self._context)

    def _received(self) -> list[Record]:
        records: list[Record] = []
        receive = self._socket.readiness.receive
        try:
            while len(records) < _MESSAGES_AT_A_TIME:
                source, *parts = receive()
                records.append(Record(time.time_ns(), source_name(source.bytes), tuple(part.bytes for part in parts)))
        except zmq.Again:
            pass
        return records
