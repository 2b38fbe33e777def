"""The legs ``streamer`` and ``queue``: numbered messages, and whether each arrives once and in order.

Everything runs in this process: a device, the programs at both of its ends, and TCP between them.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import _client
import gevent
import zmq
import zmq.green
from gevent.lock import Semaphore

from geventrelay import Device, Queue, RelaySocket, Streamer

LOCAL = "tcp://127.0.0.1:0"
IN_FLIGHT = 1000
"""Requests per client: within every high-water mark, beyond which a queue drops replies."""
STEP = 1000
"""Messages between two steps of the progress bar, which would cost more than a message."""


@dataclass(frozen=True, slots=True)
class Load:
    """``size`` in bytes; ``timeout_s``: give up when nothing arrives for so long."""

    messages: int
    size: int
    sources: int
    timeout_s: float


class Source:
    """One program that sends: its share of the numbers, and a hash of each direction."""

    def __init__(self, name: int, count: int, size: int) -> None:
        self.name, self.count, self.size = name, count, size
        self.sent, self.arrived = hashlib.blake2b(), hashlib.blake2b()
        self.next = 0

    def messages(self) -> Iterator[bytes]:
        for number in range(self.count):
            message = (b"%d %d " % (self.name, number)).ljust(self.size, b".")
            self.sent.update(message)
            yield message

    def arrive(self, message: bytes) -> None:
        number = int(message.split(b" ", 2)[1])
        if number != self.next:
            raise _client.GaveUp(f"source {self.name}: expected message {self.next}, got {number}")
        self.next += 1
        self.arrived.update(message)

    def check(self) -> None:
        if self.next != self.count or self.sent.digest() != self.arrived.digest():
            raise _client.GaveUp(f"source {self.name}: what arrived is not what was sent")


def sources_of(load: Load) -> list[Source]:
    """As many as asked for; the messages are divided among them."""
    share, rest = divmod(load.messages, load.sources)
    return [Source(name, share + (name < rest), load.size) for name in range(load.sources)]


class Setting:
    """A device, and what is at its ends; all of it is ended with the ``with`` block of :func:`running`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._context = zmq.green.Context()
        self._sockets: list[Any] = []
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def connect(self, kind: int, side: str) -> Any:
        socket = self._context.socket(kind, socket_class=RelaySocket)
        self._sockets.append(socket)
        socket.connect(*self.device.endpoints[side])
        return socket

    def spawn(self, function: Callable[..., object], *arguments: Any) -> gevent.Greenlet[..., Any]:
        self._greenlets.append(gevent.spawn(function, *arguments))
        return self._greenlets[-1]

    def end(self) -> None:
        gevent.killall(self._greenlets)
        for socket in self._sockets:
            socket.close(0)
        self.device.stop()
        self._context.term()


@contextlib.contextmanager
def running(settings: Streamer | Queue) -> Iterator[Setting]:
    with Device(settings) as device:
        setting = Setting(device)
        try:
            yield setting
        finally:
            setting.end()


def soak_streamer(load: Load) -> None:
    """Every message from pushers through a streamer to a puller; raises :class:`_client.GaveUp`."""
    sources = sources_of(load)
    with running(Streamer(frontend=LOCAL, backend=LOCAL)) as setting:
        puller = setting.connect(zmq.PULL, "backend")
        for source in sources:
            setting.spawn(push, setting.connect(zmq.PUSH, "frontend"), source)
        began = time.monotonic()
        with arriving(load) as arrived:
            for _ in range(load.messages):
                message = patiently(puller.recv, load)
                sources[int(message.split(b" ", 1)[0])].arrive(message)
                arrived()
        report(setting.device, sources, time.monotonic() - began)


def push(socket: Any, source: Source) -> None:
    for message in source.messages():
        socket.send(message)


def soak_queue(load: Load) -> None:
    """Every request from clients through a queue, and its reply back; raises :class:`_client.GaveUp`."""
    sources = sources_of(load)
    with running(Queue(frontend=LOCAL, backend=LOCAL)) as setting:
        setting.spawn(serve, setting.connect(zmq.DEALER, "backend"))
        began = time.monotonic()
        with arriving(load) as arrived:
            gevent.joinall([client(setting, source, load, arrived) for source in sources], raise_error=True)
        report(setting.device, sources, time.monotonic() - began)


def client(setting: Setting, source: Source, load: Load, arrived: Callable[[], None]) -> gevent.Greenlet[..., Any]:
    """Start to ask; the greenlet that is returned ends with the last reply."""
    socket, room = setting.connect(zmq.DEALER, "frontend"), Semaphore(IN_FLIGHT)
    setting.spawn(ask, socket, source, room)
    return setting.spawn(take_replies, socket, source, room, load, arrived)


def serve(socket: Any) -> None:
    while True:
        socket.send_multipart(socket.recv_multipart())


def ask(socket: Any, source: Source, room: Semaphore) -> None:
    for message in source.messages():
        room.acquire()
        socket.send(message)


def take_replies(socket: Any, source: Source, room: Semaphore, load: Load, arrived: Callable[[], None]) -> None:
    for _ in range(source.count):
        source.arrive(patiently(socket.recv, load))
        room.release()
        arrived()


def patiently(receive: Callable[..., bytes], load: Load) -> bytes:
    try:
        # Most messages are there already, and a timer for each would cost more than the message.
        return receive(zmq.NOBLOCK)
    except zmq.Again:
        with gevent.Timeout(load.timeout_s, _client.GaveUp(f"nothing arrived for {load.timeout_s:g} s")):
            return receive()


@contextlib.contextmanager
def arriving(load: Load) -> Iterator[Callable[[], None]]:
    """A function to call for each message that has arrived; it moves the progress bar."""
    count = 0
    with _client.progress(load.messages) as advance:

        def arrived() -> None:
            nonlocal count
            count += 1
            if count % STEP == 0:
                advance(STEP)

        yield arrived


def report(device: Device, sources: list[Source], seconds: float) -> None:
    """Print what was checked; raises :class:`_client.GaveUp` for what does not hold."""
    for source in sources:
        source.check()
    snapshot, total = device.snapshot(), sum(source.count for source in sources)
    for pump in snapshot.pumps:
        counts = {pump.received, *(outlet.sent for outlet in pump.outlets)}
        if counts != {total} or not pump.balanced or any(outlet.dropped for outlet in pump.outlets):
            raise _client.GaveUp(f"the accounting does not add up: {snapshot.accounting()}")
    measured = f"{device.name}: {total} messages in {seconds:.1f} s ({total / seconds:,.0f}/s)"
    print(f"{measured}: none lost, none twice, in order", flush=True)
    print(f"  hash of what was sent = hash of what arrived, for each of {len(sources)} sources")
    print(f"  {snapshot.accounting()}", flush=True)
