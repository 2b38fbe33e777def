"""Has a burst read no more than a rate allows: the rest waits in its socket, or is dropped."""

from __future__ import annotations

import dataclasses
import time

import gevent

from .burst import NOTHING, Budget, Burst, Status
from .rate import Rate, RateLimit
from .readiness import Readiness
from .stages.allowance import Allowance
from .stages.contract import Stage


class Rated:
    """Runs a `burst` within a `limit`.

    :param source: the socket that `burst` reads.
    :param burst: it has `stages`.
    :param limit: what may come in.
    :param budget: what a run may move at most.
    :ivar stages: what the burst needs as its first stages.
    """

    def __init__(self, source: Readiness, burst: Burst, limit: RateLimit, budget: Budget) -> None:
        self._source = source
        self._burst = burst
        self._rate = Rate(limit)
        self._budget = budget
        self._allowance = Allowance() if limit.drops else None
        self.stages: tuple[Stage, ...] = () if self._allowance is None else (self._allowance,)

    def wait(self) -> None:
        """Wait until something may be read, if it has to wait for that. Yields then."""
        # What is in hand has been counted.
        if self._allowance is not None or self._burst.waiting_for is not None:
            return
        has_waited = False
        while not self._rate.has_room(now := time.monotonic()):
            if not self._source.readable:
                self._source.wait_readable()
                continue
            if not has_waited:
                has_waited = True
                self._burst.counters.rate_waits += 1
            gevent.sleep(self._rate.wait_s(now))

    def run(self) -> Status:
        """Run the burst, see `geventrelay.engine.burst.Burst.run`. Does not yield."""
        messages, nbytes = self._rate.room(time.monotonic())
        if self._allowance is not None:
            return self._drop_more(self._allowance, messages, nbytes)
        counters, budget = self._burst.counters, NOTHING
        if messages and nbytes:
            most = min(messages, self._budget.messages), min(nbytes, self._budget.bytes)
            budget = dataclasses.replace(self._budget, messages=most[0], bytes=most[1])
        before = counters.received, counters.received_bytes
        try:
            return self._burst.run(budget)
        finally:
            counters = self._burst.counters
            self._rate.take(counters.received - before[0], counters.received_bytes - before[1])

    def _drop_more(self, allowance: Allowance, messages: int, nbytes: int) -> Status:
        allowance.messages, allowance.nbytes = messages, nbytes
        try:
            return self._burst.run(self._budget)
        finally:
            self._rate.take(messages - allowance.messages, nbytes - allowance.nbytes)
