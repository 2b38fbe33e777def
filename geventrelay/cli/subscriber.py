"""A SUB of a command, which reads a share at a time and bounds what waits to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import zmq
import zmq.green

from ..endpoints import Endpoint
from ..engine.fair import FairYield
from ..engine.libzmq import terminate
from ..engine.monitor import Monitor
from ..engine.socket import RelaySocket
from ..recording.record import RecordClock
from .endpoint import attach
from .room import Room

# How much to read before other greenlets run, and signals are handled. A message may have a million parts.
_MESSAGES_AT_A_TIME, _PARTS_AT_A_TIME, _BYTES_AT_A_TIME = 200, 1000, 4 * 1024 * 1024

_CONNECTED, _DISCONNECTED = int(zmq.EVENT_HANDSHAKE_SUCCEEDED), int(zmq.EVENT_DISCONNECTED)


class Subscriber:
    """A SUB at an endpoint, with a context of its own.

    :param endpoint: where the publisher is.
    :param topic: what to subscribe to.
    :param keys: see `geventrelay.cli.client_keys.ClientKeys.socket_options`.
    :raises StartError: if it cannot connect or bind there.
    """

    def __init__(self, endpoint: Endpoint, topic: bytes, keys: Mapping[int, bytes]) -> None:
        self._clock = RecordClock()
        # Those of the message that is being read.
        self._parts: list[bytes] = []
        self._connected = False
        self._context: Any = zmq.green.Context()
        self._socket = cast(RelaySocket, self._context.socket(zmq.SUB, socket_class=RelaySocket))
        self._socket.set(zmq.LINGER, 0)
        for number, value in keys.items():
            self._socket.set(number, value)
        self._room = Room()
        self._socket.set(zmq.RCVHWM, self._room.messages)
        self._socket.set(zmq.SUBSCRIBE, topic)
        self._monitor = Monitor(self._socket, _CONNECTED | _DISCONNECTED)
        try:
            attach(self._socket, endpoint)
        except BaseException:
            self.close()
            raise

    def subscribe(self, topic: bytes) -> None:
        """Subscribe to one `topic` more. Does not yield."""
        self._socket.set(zmq.SUBSCRIBE, topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Take the subscription to a `topic` back. Does not yield."""
        self._socket.set(zmq.UNSUBSCRIBE, topic)

    def is_connected(self) -> bool:
        """Whether a publisher is connected, as far as is known. Does not yield."""
        for event in self._monitor.read():
            self._connected = event.kind == _CONNECTED
        return self._connected

    def wait_connected(self) -> None:
        """Yield until a publisher is connected."""
        while not self.is_connected():
            self._monitor.wait()

    def received(self) -> list[tuple[int, list[bytes]]]:
        """The messages that are there to be read, up to a share, each with its time; it may end within one.

        Does not yield.
        """
        received: list[tuple[int, list[bytes]]] = []
        receive_part, nparts, nbytes = self._socket.readiness.receive_part, 0, 0
        try:
            while len(received) < _MESSAGES_AT_A_TIME and nparts < _PARTS_AT_A_TIME and nbytes < _BYTES_AT_A_TIME:
                part = receive_part()
                self._parts.append(part.bytes)
                nparts, nbytes = nparts + 1, nbytes + len(self._parts[-1])
                if not part.more:
                    received.append((self._clock(), self._parts))
                    self._parts = []
        except zmq.Again:
            pass
        if received and self._room.after(len(received), nparts, nbytes):
            # libzmq follows at once (socket_base_t::update_pipe_options).
            self._socket.set(zmq.RCVHWM, self._room.messages)
        return received

    def wait(self) -> None:
        """Yield until there is something to read, and at least once."""
        with FairYield() as turn:
            turn.wait()
        self._socket.wait_readable()

    def close(self) -> None:
        """Close it. Yields."""
        self._monitor.close_socket(0).join()
        terminate(self._context)
