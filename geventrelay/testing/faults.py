"""A device that loses, doubles, delays and damages messages, the same ones in every run."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
import zmq
import zmq.green

from ..endpoints import Endpoint
from ..engine.libzmq import last_endpoint, terminate
from ..engine.socket import RelaySocket
from ..errors import SettingsError
from ..settings.socket_types import directions
from .peer import LOCAL, Parts, is_mark
from .waiting import Closing


@dataclass(frozen=True, slots=True)
class FaultCounts:
    """What a device has done up to one moment, in messages, both directions together.

    :ivar received: messages read.
    :ivar dropped: of these, not passed on.
    :ivar duplicated: passed on twice.
    :ivar delayed: passed on late.
    :ivar corrupted: passed on with a byte changed.
    """

    received: int = 0
    dropped: int = 0
    duplicated: int = 0
    delayed: int = 0
    corrupted: int = 0


@dataclass(frozen=True, slots=True)
class _Faults:
    """What happens to one message."""

    drop: bool
    duplicate: bool
    delay: bool
    corrupt: bool


class FaultyDevice(Closing):
    """A relay that harms messages one by one, and keeps their order. A context manager; starts at once.

    What happens to the n-th message of a direction follows from `seed` and n alone, so runs repeat exactly. Each fault
    is drawn independently: a message can be late and damaged. Subscriptions and the messages of the harness pass
    unharmed and are not counted. Messages wait for a peer that is full or not connected.

    :param frontend: where traffic comes in: an endpoint to bind, or to connect to with ``>`` before it.
    :param backend: where it goes out, likewise. Both are a free port of 127.0.0.1 by default.
    :param frontend_type: a ZeroMQ socket type by name. Pairs such as ROUTER and DEALER carry messages both ways, and
        both ways are harmed.
    :param backend_type: the same for the backend.
    :param drop: the probability that a message is lost, from 0 to 1.
    :param duplicate: the probability that it is sent twice, from 0 to 1.
    :param delay: the probability that it, and everything behind it, is delayed by `delay_ms`, from 0 to 1.
    :param delay_ms: the delay, in milliseconds.
    :param corrupt: the probability that one byte of its last part with any bytes is changed, from 0 to 1.
    :param seed: another seed harms other messages.
    :raises SettingsError: if a number or an endpoint breaks a rule, or the two types cannot be joined.
    """

    def __init__(
        self, frontend: str = LOCAL, backend: str = LOCAL, *, frontend_type: str = "PULL", backend_type: str = "PUSH",
        drop: float = 0, duplicate: float = 0, delay: float = 0, delay_ms: float = 10, corrupt: float = 0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self._chances = {"drop": drop, "duplicate": duplicate, "delay": delay, "corrupt": corrupt}
        for name, chance in self._chances.items():
            if not 0 <= chance <= 1:
                raise SettingsError(name, "a probability from 0 to 1", chance)
        if delay_ms < 0:
            raise SettingsError("delay_ms", "a number >= 0", delay_ms)
        ends = [Endpoint.parse(frontend, name="frontend"), Endpoint.parse(backend, name="backend")]
        forward, backward = directions(frontend_type.upper(), backend_type.upper())
        self._delay_s, self._seed = delay_ms / 1000, seed
        self._counts = dict.fromkeys(FaultCounts.__dataclass_fields__, 0)
        self._context: Any = zmq.green.Context()
        self._sockets: list[RelaySocket] = []
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        try:
            self.frontend, self.backend = (
                self._open(kind, end) for kind, end in zip((frontend_type, backend_type), ends, strict=True)
            )
        except BaseException:
            self.close()
            raise
        one, other = self._sockets
        if forward:
            self._greenlets.append(gevent.spawn(self._carry, one, other, "forward"))
        if backward:
            self._greenlets.append(gevent.spawn(self._carry, other, one, "backward"))

    def __repr__(self) -> str:
        return f"<FaultyDevice {self.frontend} -> {self.backend}>"

    @property
    def counts(self) -> FaultCounts:
        """What it has done up to now."""
        return FaultCounts(**self._counts)

    def close(self) -> None:
        """End at once; queued messages are lost. Yields; may be called twice."""
        gevent.killall(self._greenlets)
        for socket in self._sockets:
            socket.close(0)
        if not self._context.closed:
            terminate(self._context)

    def _open(self, kind: str, end: Endpoint) -> str:
        socket: RelaySocket = self._context.socket(zmq.SocketType[kind.upper()], socket_class=RelaySocket)
        self._sockets.append(socket)
        socket.set(zmq.LINGER, 0)
        if kind.upper() == "SUB":
            socket.set(zmq.SUBSCRIBE, b"")
        if not end.binds:
            socket.connect(end.address)
            return end.address
        socket.bind(end.address)
        return last_endpoint(socket)

    def _carry(self, source: RelaySocket, destination: RelaySocket, direction: str) -> None:
        chance = random.Random(f"{self._seed} {direction}")
        # An XPUB delivers subscriptions. Without them, no messages would come back.
        send = destination.send_multipart if source.type == zmq.XPUB else self._harm(chance, destination.send_multipart)
        while True:
            send(source.recv_multipart())

    def _harm(self, chance: random.Random, send: Callable[[Parts], object]) -> Callable[[Parts], object]:
        def harm(parts: Parts) -> None:
            if is_mark(parts):
                send(parts)
                return
            faults = _Faults(**{name: chance.random() < limit for name, limit in self._chances.items()})
            # Drawn for every message, used or not: the next message must not depend on this one.
            place, bit = chance.random(), chance.randrange(8)
            self._counts["received"] += 1
            if faults.drop:
                self._counts["dropped"] += 1
                return
            if faults.delay:
                self._counts["delayed"] += 1
                gevent.sleep(self._delay_s)
            if faults.corrupt:
                self._counts["corrupted"] += 1
                parts = _corrupted(parts, place, bit)
            send(parts)
            if faults.duplicate:
                self._counts["duplicated"] += 1
                send(parts)

        return harm


def _corrupted(parts: Parts, place: float, bit: int) -> Parts:
    index = max((number for number, part in enumerate(parts) if part), default=None)
    if index is None:
        return [*parts[:-1], b"\xff"]
    body = bytearray(parts[index])
    body[int(place * len(body))] ^= 1 << bit
    return [*parts[:index], bytes(body), *parts[index + 1 :]]
