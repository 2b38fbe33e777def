"""The clients of the leg ``endurance``, a thread each: those that stay and lose nothing, and those that come and go."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import threading
import time
from typing import Any

import zmq

RESET = struct.pack("ii", 1, 0)
WAIT_S = 3.0
"""A request that has no reply after so long went to a worker that left."""
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
BODIES = [b"." * size for size in (10, 100, 100, 1000, 20_000)]


class Client(threading.Thread):
    """One socket and what it does until it is over.

    ``kind``: its type; ``options``: its socket options by name.
    """

    def __init__(self, context: zmq.Context[Any], kind: int, endpoint: str, **options: Any) -> None:
        super().__init__(daemon=True)
        self.socket = context.socket(kind)
        for name, value in {"linger": 0, **options}.items():
            setattr(self.socket, name, value)
        self.socket.connect(endpoint)
        self.over = False
        self.sent = self.got = 0
        self.wrong = ""

    def run(self) -> None:
        try:
            while not self.over:
                self.step()
        except Exception as error:
            self.wrong = self.wrong or f"{type(self).__name__}: {error!r}"
        finally:
            self.socket.close()

    def step(self) -> None:
        raise NotImplementedError


class Sender(Client):
    """Sends numbered messages, ``rate`` in a second, and keeps none; a publisher waits for a subscriber first."""

    def __init__(self, context: zmq.Context[Any], kind: int, endpoint: str, rate: int) -> None:
        super().__init__(context, kind, endpoint, linger=-1, sndhwm=0)
        self.pause_s = 10 / rate
        self.chance = random.Random(rate)
        if kind == zmq.XPUB:
            self.socket.recv()

    def step(self) -> None:
        for body in self.chance.choices(BODIES, k=10):
            self.socket.send(b"topic %d %s" % (self.sent, body))
            self.sent += 1
        time.sleep(self.pause_s)


class Reader(Client):
    """Reads numbered messages; one that is ``exact`` must get all of them, in order."""

    def __init__(
        self, context: zmq.Context[Any], kind: int, endpoint: str, *, exact: bool = False, **more: Any
    ) -> None:
        super().__init__(context, kind, endpoint, rcvhwm=0, **more)
        self.exact = exact

    def step(self) -> None:
        if self.socket.poll(100):
            message = self.socket.recv()
            if self.exact and not message.startswith(b"topic %d " % self.got):
                self.wrong = self.wrong or f"message {self.got} was to come, and not {message[:20]!r}"
            self.got += 1


class Stalled(Client):
    """Takes a few messages, and then none."""

    def __init__(self, context: zmq.Context[Any], kind: int, endpoint: str, **more: Any) -> None:
        super().__init__(context, kind, endpoint, rcvhwm=1, rcvbuf=4096, **more)

    def step(self) -> None:
        time.sleep(0.1)


class Asker(Client):
    """Sends a request, waits for its reply, and counts those that have none, since a worker may have left with it."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        super().__init__(context, zmq.DEALER, endpoint)
        self.unanswered = 0

    def step(self) -> None:
        question, until = b"%d" % self.sent, time.monotonic() + WAIT_S
        self.socket.send_multipart([b"", question])
        self.sent += 1
        while self.socket.poll(max(0, int(1000 * (until - time.monotonic())))):
            reply = self.socket.recv_multipart()[-1]
            if reply == question:
                self.got += 1
                time.sleep(0.01)
                return
            if int(reply) > self.sent:
                self.wrong = self.wrong or f"a reply to {reply!r}, which was not asked"
        self.unanswered += 1


class Answerer(Client):
    """Answers each request that it gets."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        super().__init__(context, zmq.REP, endpoint)

    def step(self) -> None:
        if self.socket.poll(100):
            self.socket.send(self.socket.recv())
            self.got += 1


class Wanderer(Client):
    """A subscriber whose topics change all the time."""

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        super().__init__(context, zmq.SUB, endpoint)
        self.numbers = itertools.count()

    def step(self) -> None:
        number = next(self.numbers)
        self.socket.subscribe(b"topic %d" % number)
        if number >= 50:
            self.socket.unsubscribe(b"topic %d" % (number - 50))
        while self.socket.poll(0):
            self.socket.recv()
            self.got += 1
        time.sleep(0.01)


def cut(endpoint: str, kind: bytes, chance: random.Random) -> None:
    """Connect as a peer of type ``kind``, say some of what such a peer says, and have the connection reset."""
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    message = b"\x01\x04part\x02" + struct.pack(">Q", 50_000) + bytes(5000)
    said = GREETING + b"\x04" + bytes([len(ready)]) + ready + message
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as one:
        one.sendall(said[: chance.randrange(len(said))])
        time.sleep(0.02)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
