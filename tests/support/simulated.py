"""Queues of one name in a time of their own: real exchanges, over a network and in devices that are made up.

All is on one asyncio loop, whose clock goes on only while nothing is to be done. So a run with one seed is the same
each time, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from geventrelay.backbone.exchange import Exchange
from geventrelay.backbone.values import LinkState
from geventrelay.backbone.whole import split
from geventrelay.backbone.work.working import WorkEnds
from geventrelay.engine.gate import Gate
from geventrelay.settings import Queue

from .backbone import encoded

BUSY_S = (0, 0.0005, 0.001, 0.002, 0.003, 0.01, 0.1)
"""How long clients are silent between requests: shorter and longer than credit is kept."""
CALM_S = (0.002, 0.01, 0.3, 0.7)
"""The same where it gets quiet now and then: what was missed shows while nothing else happens."""
TAKES_S = (0.0005, 0.001, 0.005, 0.05, 0.3)
"""How long workers take for a request."""


class _Selector(selectors.DefaultSelector):
    """Has the clock go on where the loop would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        assert found or timeout is not None, "nothing would ever happen again"
        if not found and timeout is not None:
            self.now += max(0.0, timeout)
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class Link:
    """One exchange's link to the network, which takes a while for each word and pack and keeps their order."""

    max_payload, pending_bytes, server, reason, connects, round_trip_s = 1_000_000, 0, "nats", "", 1, None

    def __init__(self, world: World) -> None:
        self._world, self._chance = world, world.chance
        self._subjects: frozenset[str] = frozenset()
        self._is_cut = asyncio.Event()
        self._last_at: dict[Link, float] = {}
        # The present one, or None.
        self.connection: object | None = None
        self.listener: Any = None
        self.listens = False

    @property
    def state(self) -> LinkState:
        return LinkState.CONNECTING if self.connection is None else LinkState.CONNECTED

    async def run(self, listener: Any) -> None:
        self.listener = listener
        while True:
            await asyncio.sleep(self._chance.uniform(0.001, 0.3))
            self._is_cut.clear()
            self.connection = object()
            listener.on_connected()
            try:
                await self._is_cut.wait()
            finally:
                self.connection = None
                listener.on_disconnected()

    def cut(self) -> None:
        self._is_cut.set()

    async def publish(self, subject: str, data: bytes, reply: str = "", headers: Any = None) -> bool:
        if self._chance.random() < 0.2:
            # There is no room at once.
            await asyncio.sleep(self._chance.uniform(0, 0.002))
        if self.connection is None or self._is_cut.is_set():
            return False
        loop = asyncio.get_running_loop()
        for link in self._world.links:
            if link is self or subject not in link._subjects or link.connection is None:
                continue
            if self._chance.random() >= self._world.loses:
                # Timers of one moment have no order.
                at = max(self._last_at.get(link, 0) + 1e-6, loop.time() + self._chance.uniform(0.0001, 0.003))
                self._last_at[link] = at
                loop.call_at(at, link._come, link.connection, subject, data)
        return True

    say = publish

    def _come(self, connection: object, subject: str, data: bytes) -> None:
        if self.connection is connection:
            self.listener.on_data(subject, data)

    async def flushed(self) -> None:
        return

    async def listen_to(self, subjects: Any) -> None:
        self._subjects, self.listens = frozenset(subjects), True


class _End:
    def __init__(self, take: Callable[[list[list[bytes]]], None]) -> None:
        self._take = take
        self._to_read: asyncio.Queue[bytes] = asyncio.Queue()

    def put(self, message: bytes) -> None:
        self._to_read.put_nowait(message)

    async def read(self) -> tuple[bytes, int]:
        data, count = await self._to_read.get(), 1
        while not self._to_read.empty():
            data, count = data + self._to_read.get_nowait(), count + 1
        return data, count

    async def write(self, data: bytes) -> None:
        self._take(list(split(data)))


class Device:
    """A queue as its backbone sees it, with clients and workers. It is its own `geventrelay.components.work.Work`.

    :ivar free: how many of its workers have nothing to do.
    :ivar asked: requests of its clients that wait for a worker or a permit.
    :ivar work_in: those of others.
    """

    def __init__(self, world: World, workers: int) -> None:
        self._world, self._chance = world, world.chance
        self.free = workers
        self.gate = Gate()
        self.gate.listeners.append(self._move_soon)
        self.on_hungry: Callable[[bool], None] = lambda is_hungry: None
        self.is_hungry = False
        self.taken = 0
        self._on_room: Callable[[], None] | None = None
        self.asked: deque[bytes] = deque()
        self.work_in: deque[bytes] = deque()
        self._moves = False
        self._out = _End(lambda replies: None)
        self._into = _End(self._take_in)
        self.link = Link(world)
        self.exchange = Exchange(Queue(frontend=1, backend=2, name="shop", backbone="nats://n1"))
        self.exchange._link = self.link  # type: ignore[assignment]
        work = WorkEnds(self._out, self._into, self)
        self.task = asyncio.ensure_future(self.exchange.run(None, work))

    def room(self) -> int:
        return self.free

    def when_room(self, call: Callable[[], None]) -> None:
        self._on_room = call
        self._move_soon()

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.asked.append(encoded([b"client", b"", self._world.new_request()]))
        self._world.look()
        self._move_soon()

    def has(self) -> set[bytes]:
        """The requests that are here and with no worker, by their bodies."""
        working = self.exchange._around.working
        assert working is not None
        unsent = [piece for pieces, _ in working._unsent._waiting.values() for piece in pieces]
        unsent += [pack for pack, _ in working.inbox._packs]
        return {body(one) for one in (*self.asked, *self.work_in)} | {
            parts[-1] for one in unsent for parts in split(one)
        }

    def _take_in(self, requests: list[list[bytes]]) -> None:
        self.work_in.extend(map(encoded, requests))
        self._move_soon()

    def _move_soon(self) -> None:
        if not self._moves:
            self._moves = True
            asyncio.get_running_loop().call_later(self._chance.choice((0, 0, 0.0001, 0.001)), self._move)

    def _move(self) -> None:
        self._moves = False
        sources = [self.asked, self.work_in]
        if self._chance.random() < 0.3:
            sources.reverse()
        for source in sources:
            while source and (self.free or self.gate.permits > 0):
                request = source.popleft()
                self.taken += source is self.work_in
                if self.free:
                    self._work(request, is_of_others=source is self.work_in)
                else:
                    self.gate.permits -= 1
                    self._out.put(request)
        if self._on_room is not None and self.free:
            call, self._on_room = self._on_room, None
            call()
        hungry = bool(self.asked or self.work_in)
        if hungry != self.is_hungry:
            self.is_hungry = hungry
            self.on_hungry(hungry)

    def _work(self, request: bytes, *, is_of_others: bool) -> None:
        self.free -= 1
        self._world.begun(body(request))
        later = asyncio.get_running_loop().call_later
        later(self._chance.choice(TAKES_S), self._answer, request if is_of_others else None)

    def _answer(self, reply: bytes | None) -> None:
        self.free += 1
        if reply is not None:
            self._into.put(reply)
        self._world.look()
        self._move_soon()


def body(message: bytes) -> bytes:
    """The last part of a message, as ZMTP has it in a connection."""
    (parts,) = split(message)
    return parts[-1]


class World:
    """Some devices, and what is measured of them.

    :param seed: of all that is left to chance.
    :ivar loses: which share of words and packs does not come.
    :ivar waiting: the requests that no worker has begun, as far as they are watched.
    :ivar longest_s: how long such a request has waited at most while any worker was free.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.devices: list[Device] = []
        self.loses = 0.0
        self.waiting: set[bytes] = set()
        self.longest_s = 0.0
        self.requests = self.begins = 0
        self._since: float | None = None

    @property
    def links(self) -> list[Link]:
        return [device.link for device in self.devices]

    def add(self, workers: int) -> Device:
        self.devices.append(Device(self, workers))
        return self.devices[-1]

    def new_request(self) -> bytes:
        self.requests += 1
        self.waiting.add(b"%d" % self.requests)
        return b"%d" % self.requests

    def begun(self, request: bytes) -> None:
        """A worker has begun a request."""
        self.begins += 1
        self.waiting.discard(request)
        self.look()

    def look(self) -> None:
        """Measure; to be called when a request comes, or a worker has begun one or has answered."""
        now = asyncio.get_running_loop().time()
        if self._since is not None:
            self.longest_s = max(self.longest_s, now - self._since)
        if not self.waiting or not any(one.free for one in self.devices):
            self._since = None
        elif self._since is None:
            self._since = now

    def watch_from_now(self) -> None:
        """Begin anew, with the requests that are at some device: others were lost, or are on their way."""
        self.waiting = set().union(*(one.has() for one in self.devices))
        self._since, self.longest_s = None, 0.0
        self.look()

    async def ask_for(self, seconds: float, pauses_s: Sequence[float] = BUSY_S, *, cuts: bool = False) -> None:
        """Have all clients ask for so many `seconds`; with `cuts`, connections to the network end meanwhile."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            for one in self.devices:
                if len(one.asked) < 30 and self.chance.random() < 0.5:
                    one.ask(self.chance.choice((1, 1, 2, 5, 20)))
            if cuts and self.chance.random() < 0.05:
                self.chance.choice(self.devices).link.cut()
            await asyncio.sleep(self.chance.choice(pauses_s))
        self.look()


def simulate(world: World, run: Callable[[], Coroutine[Any, Any, None]], set_attribute: Callable[..., None]) -> None:
    """Run what `run` makes in a time of its own.

    :param set_attribute: as that of `pytest.MonkeyPatch`, which takes it back.
    """
    loop = _Loop()
    set_attribute("time.monotonic", loop.time)
    set_attribute("geventrelay.backbone.exchange.secrets.token_bytes", world.chance.randbytes)

    async def to_its_end() -> None:
        try:
            await run()
            assert not any(one.task.done() for one in world.devices), [one.task for one in world.devices]
        finally:
            for one in world.devices:
                one.task.cancel()
            await asyncio.gather(*(one.task for one in world.devices), return_exceptions=True)

    try:
        loop.run_until_complete(to_its_end())
    finally:
        loop.close()
