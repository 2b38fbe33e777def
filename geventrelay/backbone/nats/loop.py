"""An asyncio loop that runs in one greenlet: whenever it has nothing to do, all other greenlets go on.

The library for NATS is written for asyncio. Its loop runs here without a thread of its own and without monkey-patching:
its selector waits in gevent's hub. Nothing that runs on the loop may call what yields to the hub, for the loop would
not go on meanwhile.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Collection, Coroutine, Mapping
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import gevent
import gevent.socket
from gevent.event import Event

from ...engine import fork as fork
from ...engine.fair import FairYield

_T = TypeVar("_T")

_READ, _WRITE = 1, 2
"""The hub's words for what a descriptor is ready for; libev and libuv have the same."""

TURN_S = 0.001
"""How long a loop with more to do goes on before others have a turn. A turn after each round costs it two thirds."""


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end on a loop of its own, in this greenlet. Yields.

    If the greenlet is killed, `main` is cancelled, and goes on until it has ended. Then all other tasks are cancelled.

    :raises Exception: what `main` raises.
    """
    loop = _HubLoop()
    task = loop.create_task(main)
    try:
        return loop.run_until_complete(task)
    finally:
        _close(loop, task)


def _close(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """End the main `task` of a `loop`, then all others. If the greenlet is killed meanwhile, it goes on. Yields."""
    killed = None
    while not loop.is_closed():
        try:
            _cancel(loop, {task})
            _cancel(loop, asyncio.all_tasks(loop))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        except gevent.GreenletExit as error:
            # What was under way is one more task now, which the next round ends.
            killed = error
    if killed is not None:
        raise killed


def _cancel(loop: asyncio.AbstractEventLoop, tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel those of `tasks` that go on, and return once they have ended. Yields."""
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class _HubLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for how it waits and how it looks up names."""

    def __init__(self) -> None:
        super().__init__(_HubSelector())

    async def getaddrinfo(self, *args: Any, **more: Any) -> Any:
        """As `socket.getaddrinfo`, by gevent's resolver: asyncio's own would start threads."""
        found: asyncio.Future[Any] = self.create_future()

        def look_up() -> None:
            try:
                answer = gevent.socket.getaddrinfo(*args, **more)
            except (OSError, UnicodeError) as error:
                self.call_soon_threadsafe(_fail, found, error)
            else:
                self.call_soon_threadsafe(_succeed, found, answer)

        greenlet = gevent.spawn(look_up)
        try:
            return await found
        finally:
            greenlet.kill(block=False)


def _succeed(future: asyncio.Future[Any], answer: Any) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class _Outside:
    """Hides the running loop from other greenlets while its own one waits: to them, asyncio looks as in any thread."""

    def __enter__(self) -> None:
        self._loop = asyncio._get_running_loop()
        self._hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(None)
        sys.set_asyncgen_hooks(None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.set_asyncgen_hooks(*self._hooks)
        asyncio._set_running_loop(self._loop)


class _HubSelector(selectors.BaseSelector):
    """Waits for descriptors in gevent's hub. asyncio hands it numbers of descriptors alone."""

    def __init__(self) -> None:
        self._loop: Any = gevent.get_hub().loop
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._watchers: dict[int, Any] = {}
        # What each descriptor was found ready for since the last `select`.
        self._ready: dict[int, int] = {}
        self._wake = Event()
        self._fair = FairYield()
        self._turn_ends = 0.0
        self._made_in = fork.current()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector.register`, for a number. Does not yield."""
        if fileobj in self._keys:
            raise KeyError(f"{fileobj} is registered")
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._watch(fileobj, events)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector.unregister`. Does not yield."""
        key = self._keys.pop(fileobj)
        self._forget(fileobj)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector.modify`. Does not yield."""
        before = self._keys[fileobj]
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, fileobj, events, data)
        if events != before.events:
            self._forget(fileobj)
            self._watch(fileobj, events)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `selectors.BaseSelector.select`. Yields, but for a `timeout` of 0 within a turn."""
        if timeout is None or timeout > 0:
            if not self._ready:
                with _Outside():
                    self._wake.wait(timeout)
                self._turn_ends = time.monotonic() + TURN_S
        elif time.monotonic() >= self._turn_ends:
            with _Outside():
                self._fair.wait()
            self._turn_ends = time.monotonic() + TURN_S
        if self._made_in != fork.current():
            self._end_here()
        self._wake.clear()
        ready, self._ready = self._ready, {}
        return [(self._keys[number], events) for number, events in ready.items()]

    def close(self) -> None:
        """Watch nothing more. Does not yield."""
        for number in list(self._watchers):
            self._forget(number)
        self._keys.clear()
        self._fair.__exit__(None, None, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """All that is registered, by its number. Does not yield."""
        return self._keys

    def _watch(self, number: int, events: int) -> None:
        # EVENT_READ and EVENT_WRITE are the hub's numbers too.
        watcher = self._watchers[number] = self._loop.io(number, events & (_READ | _WRITE))
        watcher.start(self._on_ready, number, pass_events=True)

    def _forget(self, number: int) -> None:
        watcher = self._watchers.pop(number)
        watcher.stop()
        watcher.close()
        self._ready.pop(number, None)

    def _on_ready(self, events: int, number: int) -> None:
        # libev says -1 of a descriptor that is no longer there: asyncio finds out when it reads.
        self._ready[number] = self._keys[number].events & (events if events > 0 else _READ | _WRITE)
        self._wake.set()

    def _end_here(self) -> NoReturn:
        """In a forked child: go on no more, and close nothing. The connections are the parent's."""
        for watcher in self._watchers.values():
            watcher.stop()
        with _Outside():
            while True:
                Event().wait()
