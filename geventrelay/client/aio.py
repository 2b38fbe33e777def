"""The subscriber without gaps for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ..errors import SettingsError
from .base import MOST_LIVE, STRAIGHT, Subscriber, modules_of
from .events import Event
from .waits import milliseconds

Itself = TypeVar("Itself", bound="AsyncGaplessSubscriber")


class AsyncGaplessSubscriber(Subscriber):
    """The same as `GaplessSubscriber` for asyncio: ``async with``, ``async for``, and calls to await.

    Its context is one of `zmq.asyncio`. It asks for nothing before the first call that is awaited. `Subscriber` has the
    arguments.
    """

    async def wait_started(self, timeout: float | None = None) -> bool:
        """As `GaplessSubscriber.wait_started`; `timeout` is the same, too."""
        return await self._advance(lambda: self._gapless.started, timeout)

    async def recv(self, timeout: float | None = None) -> Event | None:
        """As `GaplessSubscriber.recv`; `timeout` is the same, too. Nothing is lost where it is cancelled."""
        if await self._advance(lambda: self._gapless.has_event, timeout):
            return self._gapless.take_event()
        return None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self.recv()
        assert event is not None
        return event

    async def __aenter__(self: Itself) -> Itself:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _advance(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Read, ask and wait until `reached()`; False if the time was over first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._act()
        await self._breathe()
        while not reached():
            if await self._read():
                await self._breathe()
                continue
            now = time.monotonic()
            due = self._gapless.tick(now)
            self._act()
            if deadline is not None and now >= deadline:
                return False
            self._straight = 0
            await self._wait_until(due if deadline is None else min(due, deadline), now)
        return True

    async def _wait_until(self, until: float, now: float) -> None:
        from zmq.asyncio import Poller

        poller = Poller()
        for socket in (self._sockets.sub, self._sockets.replay):
            poller.register(socket, zmq.POLLIN)
        # With a time of 0 it would not let any other task run.
        await poller.poll(max(1, milliseconds(until - now)))

    async def _read(self) -> bool:
        """Take a little of what has come; False if there is nothing. Lets no other task run."""
        gapless, found = self._gapless, False
        for _ in range(MOST_LIVE if gapless.catching_up else 1):
            parts = await _received(self._sockets.sub)
            if parts is None:
                break
            found = True
            gapless.on_live(parts, time.monotonic())
        if gapless.waiting and not gapless.has_event:
            frames = await _received(self._sockets.replay)
            if frames is not None:
                found = True
                gapless.on_answer(frames, time.monotonic())
        self._act()
        return found

    async def _breathe(self) -> None:
        self._straight += 1
        if self._straight >= STRAIGHT:
            self._straight = 0
            await asyncio.sleep(0)

    def _opened(self) -> None:
        self._straight = 0

    def _context(self, context: Any) -> Any:
        import zmq.asyncio

        context = zmq.asyncio if context is None else context
        if "zmq.asyncio" not in modules_of(context):
            raise SettingsError("context", "a context of zmq.asyncio, or this module", context)
        return context


async def _received(socket: Any) -> list[bytes] | None:
    try:
        parts: list[bytes] = await socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
    return parts
