"""A device that strangers can reach, with good peers, and what has to be as it was afterwards."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import psutil
import zmq

from geventrelay import Device, Forwarder, Streamer
from geventrelay.engine.peertable import PeersSnapshot
from geventrelay.testing import LOCAL, Peers, connected, eventually, within

from .strangers import greet, shake_hands, stranger

# Strangers at the sockets of these types.
SENDERS, SUBSCRIBERS = b"PUSH", b"SUB"
GROWTH_BYTES = 100 * 1024 * 1024
HANDSHAKE_S = 2.0


class House:
    """A device that strangers can reach, and a good sender and receiver of it.

    :param kind: which peers the socket is for that strangers connect to.
    :param engine: what moves the messages.
    :param rules: more options of the device.
    :param shows: the options by which good peers get in.
    :ivar address: where strangers connect to.
    """

    def __init__(
        self, kind: bytes, engine: str, peers: Peers, stack: contextlib.ExitStack,
        rules: Mapping[str, Any] = {}, shows: Mapping[str, Any] = {},
    ) -> None:  # fmt: skip
        self.kind = kind
        self.engine = engine
        self.waits_s: list[float] = []
        ends = {"frontend": LOCAL, "backend": LOCAL, "engine": engine, "handshake_timeout_s": HANDSHAKE_S, **rules}
        self.device = Device(Streamer(**ends) if kind == SENDERS else Forwarder(**ends), watch_peers=True)
        self.device.start()
        stack.callback(self.device.stop, 0)
        self.key = "frontend" if kind == SENDERS else "backend"
        self.address: str = self.device.endpoints[self.key][0]
        if kind == SENDERS:
            self._source = peers.connect(zmq.PUSH, *self.device.endpoints["frontend"], **shows)
            self._sink = peers.connect(zmq.PULL, *self.device.endpoints["backend"], **shows)
            connected(self._source, self._sink)
        else:
            self._sink = peers.subscriber(*self.device.endpoints["backend"], prefix=b"good", **shows)
            # It waits for that subscription.
            self._source = peers.publisher(*self.device.endpoints["frontend"], **shows)
        self.serve()
        self._before = self.told
        self._descriptors = descriptors()
        self._memory = memory_bytes()

    def serve(self, count: int = 20) -> None:
        """Good messages arrive one by one, and nothing else does. Yields."""
        for number in range(count):
            began = time.monotonic()
            self._source.send(b"good %d" % number)
            assert self._sink.recv() == [b"good %d" % number]
            self.waits_s.append(time.monotonic() - began)

    @property
    def told(self) -> PeersSnapshot:
        """What the device tells of the socket that strangers connect to."""
        return self.device.peers()[self.key]

    def new(self, name: str) -> Any:
        """A counter of that socket, without what it was before the strangers."""
        now, before = getattr(self.told, name), getattr(self._before, name)
        return now - before if isinstance(now, int) else {one: now[one] - before.get(one, 0) for one in now}

    def until(self, told: Callable[[House], bool]) -> None:
        """Wait until the counters say what has happened. Yields."""
        eventually(lambda: told(self), lambda: f"the counters: {self.told}", 20)

    def is_as_before(self) -> None:
        """Wait until connections, descriptors, memory and the processor are as before. Yields."""
        eventually(lambda: self.told.connected == self._before.connected, lambda: f"the peers: {self.told}", 20)
        eventually(lambda: descriptors() <= self._descriptors, "descriptors", 20)
        gc.collect()
        eventually(lambda: memory_bytes() - self._memory < GROWTH_BYTES, "memory", 20)
        eventually(is_idle, "a processor with nothing to do", 20)
        self.serve()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def memory_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def is_idle() -> bool:
    """Whether this process uses less than half of a processor."""
    began, used = time.monotonic(), time.process_time()
    gevent.sleep(0.05)
    return time.process_time() - used < 0.5 * (time.monotonic() - began)


@contextlib.contextmanager
def at_most(what: str) -> Iterator[None]:
    """A stranger's own calls: they end within a time, and may fail, since the device ends its connection."""
    with within(what, 20), contextlib.suppress(OSError):
        yield


@dataclass(frozen=True)
class Attack:
    """What some strangers do, each over a connection of its own.

    :ivar sends: what each sends, in one piece each.
    :ivar told: what the counters say afterwards.
    :ivar shaken: whether a whole handshake goes before it.
    :ivar greeted: whether greetings go before it.
    """

    sends: Sequence[bytes]
    told: Callable[[House], bool]
    shaken: bool = False
    greeted: bool = False


def failed(count: int) -> Callable[[House], bool]:
    """Their handshakes have failed, and none is a peer."""
    return lambda house: sum(house.new("handshake_failures").values()) == count and not house.new("connected_total")


def ended(count: int, reason: str, *, libzmq: str = "") -> Callable[[House], bool]:
    """The device has ended them, for a reason that libzmq may not tell."""

    def told(house: House) -> bool:
        name = reason if house.engine == "zmtp" else libzmq
        return house.new("disconnected_total") == count and house.new("cut_off") == ({name: count} if name else {})

    return told


def strangers(house: House, attack: Attack, stack: contextlib.ExitStack) -> None:
    """Connect, and send what each is to send; good peers are served meanwhile."""
    for data in attack.sends:
        with at_most("a stranger's words"):
            one = stack.enter_context(contextlib.closing(stranger(house.address)))
            if attack.shaken:
                shake_hands(one, house.kind)
            elif attack.greeted:
                greet(one)
            one.sendall(data)
        house.serve(2)
