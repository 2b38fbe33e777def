"""Exchanges at a real server of NATS: each message that is wanted comes once and in order, or is counted as lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from support.nats import NatsServer, nats_server

from geventrelay.backbone.exchange import Exchange
from geventrelay.backbone.loop import run
from geventrelay.backbone.values import LinkState
from geventrelay.backbone.whole import split
from geventrelay.settings import Forwarder
from geventrelay.testing import eventually


class Ends:
    """A device as an exchange sees it: what is published goes out where it is asked for, what comes is kept."""

    def __init__(self) -> None:
        self.topics: frozenset[bytes] = frozenset()
        self.came: list[list[bytes]] = []
        self.is_stalled = False
        self._to_read: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()
        self._news: asyncio.Queue[list[tuple[bytes, bool]]] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._goes_on = asyncio.Event()

    def set_topics(self, topics: Collection[bytes]) -> None:
        self.topics = frozenset(topics)

    def publish(self, *messages: list[bytes]) -> None:
        """As publishers at this device do: a socket's filter is before the exchange."""
        wanted = [one for one in messages if any(one[0].startswith(topic) for topic in self.topics)]
        if wanted:
            self._call(self._to_read.put_nowait, (b"".join(map(encoded, wanted)), len(wanted)))

    def want(self, *topics: bytes) -> None:
        self._call(self._news.put_nowait, [(topic, True) for topic in topics])

    def want_no_more(self, *topics: bytes) -> None:
        self._call(self._news.put_nowait, [(topic, False) for topic in topics])

    def go_on(self) -> None:
        self.is_stalled = False
        self._call(self._goes_on.set)

    def _call(self, function: Any, *arguments: Any) -> None:
        loop = eventually(lambda: self._loop, "the loop")
        loop.call_soon_threadsafe(function, *arguments)

    async def run(self, exchange: Exchange) -> None:
        self._loop = asyncio.get_running_loop()

        class Outgoing:
            set_topics = self.set_topics
            read = self._to_read.get

        class News:
            read = self._news.get

        class Incoming:
            write = self._write

        await exchange.run(Outgoing(), News(), Incoming())

    async def _write(self, data: bytes) -> None:
        while self.is_stalled:
            self._goes_on.clear()
            await self._goes_on.wait()
        self.came += split(data)


def encoded(parts: list[bytes]) -> bytes:
    return b"".join(
        bytes([number < len(parts) - 1, len(part)]) + part
        if len(part) < 256
        else bytes([2 | (number < len(parts) - 1)]) + len(part).to_bytes(8, "big") + part
        for number, part in enumerate(parts)
    )


class Relay:
    """An exchange that runs, with its ends."""

    def __init__(self, url: str, name: str, own: Collection[bytes], **more: Any) -> None:
        settings = Forwarder(frontend=1, backend=2, name=name, backbone=url, **more)
        self.ends = Ends()
        self.exchange = Exchange(settings, own)
        self.exchange.open()
        self.greenlet = gevent.spawn(run, self.ends.run(self.exchange))
        self.want, self.want_no_more, self.publish = self.ends.want, self.ends.want_no_more, self.ends.publish

    @property
    def came(self) -> list[list[bytes]]:
        return self.ends.came

    @property
    def now(self) -> Any:
        return self.exchange.snapshot()

    def stop(self) -> None:
        self.greenlet.kill()

    def until_asked_for(self, *topics: bytes) -> None:
        eventually(lambda: self.ends.topics == frozenset(topics), lambda: f"{topics}, not {self.ends.topics}")

    def until_came(self, count: int) -> None:
        eventually(lambda: len(self.came) >= count, lambda: f"{count} messages, not {len(self.came)}: {self.now}")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


class Relays(contextlib.ExitStack):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def start(self, name: str = "prices", own: Collection[bytes] = (), **more: Any) -> Relay:
        made = Relay(self.url, name, own, **more)
        self.callback(made.stop)
        return made


@pytest.fixture
def relays(nats: NatsServer) -> Iterator[Relays]:
    with Relays(nats.url) as made:
        yield made


def served(*relays: Relay) -> None:
    """Wait until each of them gets what it asked for from all others."""
    for relay in relays:
        eventually(
            lambda relay=relay: (
                len(relay.now.neighbours) == len(relays) - 1 and all(one.serves for one in relay.now.neighbours)
            ),
            lambda relay=relay: f"relays that serve: {relay.now}",
        )


def test_a_message_goes_from_one_device_to_the_other(relays):
    one, other = relays.start(), relays.start()
    other.want(b"a")
    one.until_asked_for(b"a")
    one.publish([b"a1", b"x"], [b"b", b"not wanted"], [b"a2", b"y" * 300])
    other.until_came(2)
    assert other.came == [[b"a1", b"x"], [b"a2", b"y" * 300]]
    assert one.came == []
    assert (one.now.sent, other.now.received, other.now.delivered, other.now.lost) == (2, 2, 2, 0)
    assert one.now.state is other.now.state is LinkState.CONNECTED


def test_devices_of_another_name_or_prefix_hear_nothing(relays):
    one, other, alien = relays.start(), relays.start("prices.2"), relays.start(backbone_prefix="other")
    same = relays.start()
    for relay in (other, alien, same):
        relay.want(b"")
    one.until_asked_for(b"")
    one.publish([b"a"])
    same.until_came(1)
    assert [len(relay.now.neighbours) for relay in (one, other, alien, same)] == [1, 0, 0, 1]
    assert other.came == alien.came == []
