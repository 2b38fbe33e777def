"""Subscribers without gaps of every kind, each as a reader beside the test; and a relay written from the wire."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import gevent
import zmq
import zmq.green

from geventrelay.client import AsyncGaplessSubscriber, Event, GaplessSubscriber, Message
from geventrelay.retention.replay_wire import ErrorAnswer, Fetch, WireError, read_request, split_delimiter
from geventrelay.testing import LIMIT_S, LOCAL, eventually
from geventrelay.testing.waiting import Closing

from .gapless import ModelLog

KINDS = ["plain", "green", "asyncio"]

# How often a thread looks whether it is to end.
_LOOK_S = 0.02


class FakeRelay(Closing):
    """Publishes with stamps, and answers requests from a log without bounds.

    :param first: the number of its first message.
    :param live_hwm: how many messages may wait for one subscriber; 0 for no limit.
    :param options: ZeroMQ's options, for both sockets.
    :ivar log: what it has published in this life.
    :ivar requests: how many requests have come, and `fetches` how many of them for messages.
    """

    def __init__(self, first: int = 1000, *, stamped: bool = True, live_hwm: int = 0, **options: Any) -> None:
        self.context: Any = zmq.green.Context()
        self.log = ModelLog(first, stamped=stamped)
        self.requests = self.fetches = 0
        self._breaks_off: int | None = None
        self._broken: set[bytes] = set()
        self._options, self._hwms = options, (live_hwm, 0)
        self._ends = [LOCAL, LOCAL]
        self._open()

    def _open(self) -> None:
        self.xpub, self.router = self.context.socket(zmq.XPUB), self.context.socket(zmq.ROUTER)
        for place, socket in enumerate((self.xpub, self.router)):
            # Before it is bound: connections have what held then.
            socket.linger, socket.sndhwm = 0, self._hwms[place]
            for name, value in self._options.items():
                setattr(socket, name, value)
            socket.bind(self._ends[place])
            self._ends[place] = socket.last_endpoint.decode()
        self.sub_endpoint, self.replay_endpoint = self._ends
        self._serving = gevent.spawn(self._serve, self.router)

    def _serve(self, router: Any) -> None:
        while True:
            peer, *frames = router.recv_multipart()
            delimiter, frames = split_delimiter(frames)
            try:
                request = read_request(frames)
                self.requests += 1
                self.fetches += isinstance(request, Fetch)
                answers = self.log.answers(request)
            except WireError as error:
                answers = iter([ErrorAnswer(error.tag, str(error)).frames()])
            for answer in answers:
                if self._breaks_off == 0:
                    self._breaks_off = None
                    self._broken.add(peer)
                if self._breaks_off:
                    self._breaks_off -= 1
                if peer not in self._broken:
                    router.send_multipart([peer, *delimiter, *answer])

    def break_off_after(self, answers: int) -> None:
        """After so many answers, no more go to the peer that has asked, as over a dead connection."""
        self._breaks_off = answers

    def publish(self, *parts: bytes, arrives: bool = True) -> None:
        """Publish a message; `arrives` is whether subscribers get it."""
        message = self.log.publish(*parts)
        if arrives:
            self.xpub.send_multipart(message)

    def subscribed(self) -> None:
        """Wait for a subscription."""
        with gevent.Timeout(LIMIT_S):
            assert self.xpub.recv().startswith(b"\1")

    def begin_anew(self, first: int) -> None:
        """End all connections and forget everything, and be there again with other numbers."""
        self._shut()
        self.log = ModelLog(first)
        self._open()

    def _shut(self) -> None:
        self._serving.kill()
        for socket in (self.xpub, self.router):
            socket.close(0)
        # Until libzmq has let go of the addresses.
        for end in self._ends:
            eventually(lambda end=end: _is_free(end), f"{end} to be free")  # type: ignore[misc]

    def close(self) -> None:
        self._shut()
        self.context.term()


def _is_free(end: str) -> bool:
    probe = zmq.Context()
    try:
        with probe.socket(zmq.PULL) as socket:
            socket.bind(end)
        return True
    except zmq.ZMQError:
        return False
    finally:
        probe.term()


class Reader(Closing):
    """Reads all that a subscriber without gaps hands out, while the test goes on; in a greenlet, or in a thread.

    :param kind: one of `KINDS`.
    :param arguments: what the subscriber gets.
    :ivar events: what it has handed out.
    """

    def __init__(self, kind: str, *arguments: Any, **options: Any) -> None:
        self.events: list[Event] = []
        self.started = self._ended = False
        self._arguments, self._options = arguments, options
        read = {"plain": self._read_plain, "green": self._read_green, "asyncio": self._read_asyncio}[kind]
        self._reading: Any = gevent.spawn(read) if kind == "green" else gevent.get_hub().threadpool.spawn(read)
        self._in_greenlet = kind == "green"
        eventually(lambda: self.started or self._reading.ready(), "the subscriber to start")
        if self._reading.ready():
            self._reading.get()

    def _read_green(self) -> None:
        with GaplessSubscriber(*self._arguments, context=zmq.green, **self._options) as subscriber:
            self._subscriber = subscriber
            self.started = subscriber.wait_started()
            for event in subscriber:
                self._take(event)

    def _read_plain(self) -> None:
        with GaplessSubscriber(*self._arguments, **self._options) as subscriber:
            self.started = subscriber.wait_started()
            while not self._ended:
                self._take(subscriber.recv(_LOOK_S))

    def _read_asyncio(self) -> None:
        async def read() -> None:
            async with AsyncGaplessSubscriber(*self._arguments, **self._options) as subscriber:
                self.started = await subscriber.wait_started()
                while not self._ended:
                    self._take(await subscriber.recv(_LOOK_S))

        asyncio.run(read())

    def _take(self, event: Event | None) -> None:
        if event is not None:
            self.events.append(event)

    @property
    def numbers(self) -> list[int | tuple[int, int]]:
        """Of each message its number, and of each loss its numbers."""
        return [one.number if isinstance(one, Message) else (one.first, one.end) for one in self.events]

    @property
    def unanswered(self) -> int:
        """Of a reader in a greenlet: how many requests in a row have had no answer."""
        return self._subscriber._gapless._unanswered

    @property
    def hash(self) -> str:
        """A hash of all messages, part by part."""
        return hash_of([one.parts for one in self.events if isinstance(one, Message)])

    def until(self, condition: Callable[[], object], what: str, within_s: float = LIMIT_S) -> None:
        """Wait until the `condition` is true; fails at once if the subscriber ends."""

        def look() -> object:
            if self._reading.ready():
                self._reading.get()
            return condition()

        eventually(look, lambda: f"{what}; it has {len(self.events)} events, ending in {self.events[-3:]}", within_s)

    def until_number(self, number: int, within_s: float = LIMIT_S) -> None:
        """Wait until the message of this number has been handed out."""
        self.until(
            lambda: self.events and isinstance(self.events[-1], Message) and self.events[-1].number >= number,
            f"message {number}",
            within_s,
        )

    def close(self) -> None:
        self._ended = True
        if self._in_greenlet:
            self._reading.kill()
        self._reading.get()


def hash_of(messages: list[list[bytes]]) -> str:
    """A hash of messages, part by part."""
    found = hashlib.sha256()
    for parts in messages:
        for part in parts:
            found.update(b"%d:" % len(part) + part)
        found.update(b";")
    return found.hexdigest()
