"""Shares the hub's time between connections: a turn of a millisecond in each round of the loop, and the rest later."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

TURN_S = 0.001
"""How long connections may be served in one round of the hub's loop, in seconds. Timers and greenlets wait so long."""


class Job:
    """What one connection has to do: to read, or to write.

    :param run: does it until a time by `time.monotonic`, and returns whether there is more to do.
    :param urgent: whether it goes before those that are not. What is read has to be written, so writes go first.
    :ivar queued: whether it waits for a turn.
    """

    __slots__ = ("queued", "run", "urgent")

    def __init__(self, run: Callable[[float], bool], *, urgent: bool) -> None:
        self.run = run
        self.urgent = urgent
        self.queued = False


class Turns:
    """The turns of one device's connections. Nothing here yields.

    :param on_error: is called with an error that a job has raised.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        hub: Any = get_hub()
        self._on_error = on_error
        self._budget = _budgets.setdefault(hub, _Budget(hub.loop))
        self._timer: Any = hub.loop.timer(0.0)
        self._closed = False
        self._urgent: deque[Job] = deque()
        self._others: deque[Job] = deque()

    def offer(self, job: Job) -> None:
        """Run `job` now if there is time and none waits, else when its turn comes."""
        if job.queued:
            return
        until = 0.0 if self._urgent or self._others else self._budget.until()
        if not until or self._has_more(job, until):
            self.queue(job)

    def queue(self, job: Job) -> None:
        """Run `job` when its turn comes, in a later round of the loop."""
        if not job.queued and not self._closed:
            if not self._urgent and not self._others:
                self._timer.start(self._serve)
            job.queued = True
            (self._urgent if job.urgent else self._others).append(job)

    def forget(self) -> None:
        """Forget what waits, and take no more."""
        for jobs in (self._urgent, self._others):
            while jobs:
                jobs.pop().queued = False
        self._closed = True

    def close(self) -> None:
        """The same for good. May be called twice."""
        self.forget()
        self._timer.close()

    def _serve(self) -> None:
        self._timer.stop()
        # Another device may have used up the time of this round; then one job has its least all the same.
        until = self._budget.until()
        again: list[Job] = []
        while self._urgent or self._others:
            job = (self._urgent or self._others).popleft()
            job.queued = False
            if self._has_more(job, until):
                again.append(job)
            if time.monotonic() >= until:
                break
        left = bool(self._urgent or self._others)
        for job in again:
            self.queue(job)
        if left:
            self._timer.start(self._serve)

    def _has_more(self, job: Job, until: float) -> bool:
        try:
            return job.run(until)
        except Exception as error:
            # In a callback of the hub, nothing else would take it.
            self._on_error(error)
            return False


class _Budget:
    """What is left of the time in this round of a hub's `loop`, for all devices together."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._round, self._until = -1.0, 0.0

    def until(self) -> float:
        """When the time is over, by `time.monotonic`; 0 if it is over."""
        # The loop looks at the clock once a round.
        this_round, now = self._loop.now(), time.monotonic()
        if this_round != self._round:
            self._round, self._until = this_round, now + TURN_S
        return self._until if now < self._until else 0.0


_budgets: weakref.WeakKeyDictionary[Any, _Budget] = weakref.WeakKeyDictionary()
