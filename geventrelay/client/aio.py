"""The subscriber without gaps for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar

import zmq

from ..errors import SettingsError
from .base import Step, Subscriber, modules_of
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
        steps, received = self.steps(reached, timeout), None
        while True:
            try:
                step = steps.send(received)
            except StopIteration as stop:
                return bool(stop.value)
            received = await self._do(step)

    async def _do(self, step: Step | float) -> list[bytes] | None:
        if step is Step.READ_LIVE:
            return await _received(self._sockets.sub)
        if step is Step.READ_ANSWER:
            return await _received(self._sockets.replay)
        await (asyncio.sleep(0) if isinstance(step, Step) else self._wait(step))
        return None

    async def _wait(self, timeout_s: float) -> None:
        from zmq.asyncio import Poller

        poller = Poller()
        for socket in (self._sockets.sub, self._sockets.replay):
            poller.register(socket, zmq.POLLIN)
        # With a time of 0 it would not let any other task run.
        await poller.poll(max(1, milliseconds(timeout_s)))

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
