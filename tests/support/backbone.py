"""Devices with a backbone, without the devices: exchanges at a real server of NATS, and what they are joined to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any

import gevent

from geventrelay.backbone.exchange import Exchange
from geventrelay.backbone.nats.loop import run
from geventrelay.backbone.topics.ends import StreamEnds
from geventrelay.backbone.values import BackboneSnapshot
from geventrelay.backbone.whole import split
from geventrelay.settings import Forwarder
from geventrelay.testing import eventually

LIMIT_S = 20.0
"""How long to wait for something of a backbone at most, in seconds. Much of it takes seconds by nature: a device says
each second that it is there, waits up to two before it connects again, and spends a twentieth of its time on changes.
"""


def encoded(parts: list[bytes]) -> bytes:
    """A message as ZMTP has it in a connection."""
    last = len(parts) - 1
    return b"".join(
        bytes([number < last, len(part)]) + part
        if len(part) < 256
        else bytes([2 | (number < last)]) + len(part).to_bytes(8, "big") + part
        for number, part in enumerate(parts)
    )


class Ends:
    """A device as an exchange sees it: what is published goes out where it is asked for, what comes is kept.

    :ivar topics: what the exchange asks for.
    :ivar came: the messages that came from others.
    :ivar is_stalled: whether the device takes none of these.
    :ivar unread: how many messages the exchange has not read yet.
    """

    def __init__(self) -> None:
        self.topics: frozenset[bytes] = frozenset()
        self.came: list[list[bytes]] = []
        self.is_stalled = False
        self.unread = 0
        self._to_read: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()
        self._news: asyncio.Queue[list[tuple[bytes, bool]]] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goes_on = asyncio.Event()

    def set_topics(self, topics: Collection[bytes]) -> None:
        self.topics = frozenset(topics)

    def publish(self, *messages: list[bytes]) -> int:
        """As publishers at this device do: a socket's filter is before the exchange. How many got past it."""
        wanted = [one for one in messages if one[0].startswith(tuple(self.topics))]
        if wanted:
            self.unread += len(wanted)
            self.call(self._to_read.put_nowait, (b"".join(map(encoded, wanted)), len(wanted)))
        return len(wanted)

    def want(self, *topics: bytes) -> None:
        self.call(self._news.put_nowait, [(topic, True) for topic in topics])

    def want_no_more(self, *topics: bytes) -> None:
        self.call(self._news.put_nowait, [(topic, False) for topic in topics])

    def go_on(self) -> None:
        self.is_stalled = False
        self.call(self._goes_on.set)

    def call(self, function: Any, *arguments: Any) -> None:
        eventually(lambda: self._loop, "the loop").call_soon_threadsafe(function, *arguments)

    async def run(self, exchange: Exchange) -> None:
        self._loop = asyncio.get_running_loop()
        await exchange.run(StreamEnds(self, _News(self._news), _Incoming(self)))

    async def read(self) -> tuple[bytes, int]:
        data, count = await self._to_read.get()
        # As from a socket, all that is there comes in one piece.
        while not self._to_read.empty() and len(data) < 65536:
            more, number = self._to_read.get_nowait()
            data, count = data + more, count + number
        self.unread -= count
        return data, count

    async def take(self, data: bytes) -> None:
        while self.is_stalled:
            self._goes_on.clear()
            await self._goes_on.wait()
        self.came += split(data)


class _News:
    def __init__(self, news: asyncio.Queue[list[tuple[bytes, bool]]]) -> None:
        self.read = news.get


class _Incoming:
    def __init__(self, ends: Ends) -> None:
        self.write = ends.take


class Relay:
    """An exchange that runs in a greenlet of its own, with its ends."""

    def __init__(self, url: str, name: str, own: Collection[bytes] = (), **more: Any) -> None:
        self.ends = Ends()
        self.exchange = Exchange(Forwarder(frontend=1, backend=2, name=name, backbone=url, **more), own)
        self.exchange.open()
        self.greenlet = gevent.spawn(run, self.ends.run(self.exchange))
        self.want, self.want_no_more, self.publish = self.ends.want, self.ends.want_no_more, self.ends.publish

    @property
    def came(self) -> list[list[bytes]]:
        return self.ends.came

    @property
    def now(self) -> BackboneSnapshot:
        return self.exchange.snapshot()

    def stop(self) -> None:
        self.greenlet.kill()

    def until(self, condition: Any, what: str) -> None:
        """Wait until `condition` holds of its snapshot."""
        eventually(lambda: condition(self.now), lambda: f"{what}: {self.now}", LIMIT_S)

    def until_asked_for(self, *topics: bytes) -> None:
        eventually(lambda: self.ends.topics == frozenset(topics), lambda: f"{topics}, not {self.ends.topics}", LIMIT_S)

    def until_came(self, count: int) -> None:
        what = f"{count} messages"
        eventually(lambda: len(self.came) >= count, lambda: f"{what}, not {len(self.came)}: {self.now}", LIMIT_S)


class Relays(contextlib.ExitStack):
    """Makes relays of one server, and stops them in the end.

    :param url: where that server is.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def start(self, name: str = "prices", own: Collection[bytes] = (), **more: Any) -> Relay:
        made = Relay(self.url, name, own, **more)
        self.callback(made.stop)
        return made


def until_served(*relays: Relay) -> None:
    """Wait until each of them is sent what it asks for by all others, and these know of it."""
    for relay in relays:
        relay.until(
            lambda now: (
                len(now.neighbours) == len(relays) - 1 and all(one.serves and one.served for one in now.neighbours)
            ),
            "others that serve and are served",
        )
