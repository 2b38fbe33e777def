"""Devices whose work NATS keeps, without the devices: what a backbone does for them, at a real server of NATS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import gevent

from geventrelay.backbone.nats.link import Link
from geventrelay.backbone.nats.loop import run
from geventrelay.backbone.store.durable import Durable
from geventrelay.backbone.store.fetching import Fetching
from geventrelay.backbone.store.storing import Storing
from geventrelay.backbone.values import StoreState
from geventrelay.backbone.whole import split
from geventrelay.engine.gate import Gate
from geventrelay.settings import Forwarder
from geventrelay.testing import eventually

from .backbone import encoded
from .nats import LONG_S, asked

STREAM = "geventrelay+work+d"
"""What the stream of the devices called work is called."""

_TICK_S = 0.05


def ask_for_consumer(url: str, ack_wait_s: float, **more: Any) -> None:
    """Make the stream of the devices called work, and its consumer, before they do.

    :param url: where the server is.
    :param ack_wait_s: for so long it waits for what becomes of a pack; half a minute where nobody has said otherwise.
    :param more: of the consumer's configuration.
    """
    stream = {"name": STREAM, "subjects": ["geventrelay.work.d"], "retention": "workqueue", "storage": "file"}
    assert "error" not in asked(url, f"$JS.API.STREAM.CREATE.{STREAM}", stream)
    config = {"durable_name": "geventrelay", "ack_policy": "explicit", "ack_wait": int(ack_wait_s * 1e9), **more}
    body = {"stream_name": STREAM, "config": config}
    assert "error" not in asked(url, f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.geventrelay", body)


class Device:
    """A device as a backbone sees it: messages go to workers, else out by permits, else they wait.

    :ivar workers: how many messages its workers take now.
    :ivar worked: what they have taken.
    :ivar taken: how many that came from others it has handed on.
    """

    def __init__(self) -> None:
        self.gate = Gate()
        self.gate.listeners.append(lambda: gevent.spawn(self.move))
        self.on_hungry: Callable[[bool], None] = lambda hungry: None
        self.workers = self.taken = 0
        self.worked: list[bytes] = []
        self.out: asyncio.Queue[bytes] = asyncio.Queue()
        self._own: deque[bytes] = deque()
        self._came: deque[bytes] = deque()
        self._call: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waits(self) -> int:
        return len(self._own)

    @property
    def is_hungry(self) -> bool:
        return bool(self._own)

    def room(self) -> int:
        return self.workers

    def when_room(self, call: Callable[[], None]) -> None:
        self._call = call
        self._tell()

    def give(self, *messages: bytes) -> None:
        """As a program that sends."""
        self._own += messages
        self.move()

    def work(self, count: int) -> None:
        """Have workers that take so many more."""
        self.workers += count
        self.move()

    def move(self) -> None:
        for queue in (self._own, self._came):
            while queue and (self.workers or self.gate.permits > 0):
                message = queue.popleft()
                self.taken += queue is self._came
                if self.workers:
                    self.workers -= 1
                    self.worked.append(message)
                else:
                    self.gate.permits -= 1
                    assert self._loop is not None
                    self._loop.call_soon_threadsafe(self.out.put_nowait, message)
        self._tell()

    def _tell(self) -> None:
        if self.workers and self._call is not None:
            call, self._call = self._call, None
            gevent.spawn(call)

    # Its private sockets

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def read(self) -> tuple[bytes, int]:
        messages = [await self.out.get()]
        while not self.out.empty():
            messages.append(self.out.get_nowait())
        return b"".join(encoded([one]) for one in messages), len(messages)

    async def write(self, data: bytes) -> None:
        self._came += [parts[0] for parts in split(data)]
        gevent.spawn(self.move)


class Store:
    """What a backbone does for such a device, in a greenlet of its own."""

    def __init__(self, url: str, name: str, **more: Any) -> None:
        self.device = Device()
        self._settings = Forwarder(frontend=1, backend=2, name=name, backbone=url, **more)
        self.link = Link(self._settings)
        self._made: Durable | None = None
        self._ticks = 0
        self.greenlet = gevent.spawn(run, self._run())

    @property
    def durable(self) -> Durable:
        return eventually(lambda: self._made, "the loop")

    @property
    def storing(self) -> Storing:
        return self.durable._storing

    @property
    def fetching(self) -> Fetching:
        return self.durable._fetching

    def until(self, condition: Callable[[], Any], what: str, within_s: float = LONG_S) -> None:
        eventually(condition, lambda: f"{what}: {self}", within_s)

    @property
    def is_drained(self) -> bool:
        return self.durable.is_drained(connected=True)

    def until_stores(self) -> None:
        self.until(lambda: self.durable.state is StoreState.STORING, "a stream")

    def until_ticked(self, count: int) -> None:
        """Wait until it has done `count` times more what is due by time: what was to happen at once has happened."""
        ticks = self._ticks + count
        self.until(lambda: self._ticks >= ticks, "what is due")

    def __str__(self) -> str:
        durable, storing, fetching = self.durable, self.storing, self.fetching
        return (
            f"{durable.state} {durable.reason} stored={storing.stored} waiting={storing.waiting} "
            f"retried={storing.retried} dropped={storing.dropped} delivered={fetching.delivered} "
            f"redelivered={fetching.redelivered} returned={fetching.returned} in hand={fetching.incoming} "
            f"permits={self.device.gate.permits} worked={len(self.device.worked)} waits={self.device.waits}"
        )

    def stop(self) -> None:
        """End without a word, as a crash would."""
        self.greenlet.kill()

    def leave(self) -> None:
        """End as a device that is stopped."""
        self._loop.call_soon_threadsafe(self.durable.finish)
        self.until(lambda: self.is_drained, "to be drained")
        self.stop()

    # As an exchange

    async def _run(self) -> None:
        self._has_to_send, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self.device.begin()
        ends: Any = SimpleNamespace(out=self.device, into=self.device, work=self.device)
        self._made = Durable(self._settings, secrets.token_bytes(8), ends, self.link, self._has_to_send.set)
        parts: list[Coroutine[Any, Any, None]] = [
            self.link.run(self),
            *self.durable.reading(),
            *self.durable.running(),
            self._send(),
            self._tick(),
        ]
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _send(self) -> None:
        while True:
            await self._has_to_send.wait()
            self._has_to_send.clear()
            while await self.durable.send_one(self.link):
                pass

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.durable.tick()
            self._ticks += 1

    def on_connected(self) -> None:
        self.durable.connected()

    def on_disconnected(self) -> None:
        self.durable.disconnected()

    def on_data(self, subject: str, data: bytes) -> None:
        raise AssertionError(f"unexpected: {subject}")


class Stores(contextlib.ExitStack):
    """Makes such devices at one server, and stops them in the end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def start(self, name: str = "work", **more: Any) -> Store:
        made = Store(self.url, name, **more)
        self.callback(made.stop)
        return made
