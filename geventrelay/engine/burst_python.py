"""The burst in Python."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import zmq

from .burst import CLOCK_INTERVAL_PARTS, Budget, Status
from .counters import OutletCounters, PumpCounters
from .lane_python import DONTWAIT, NOT_NOW, PythonLane
from .outlet import Outlet, Parts
from .readiness import Readiness, plain_recv


class PythonBurst:
    """`geventrelay.engine.burst.Burst` in Python: runs everywhere, and is the yardstick for the native one.

    Messages travel as `zmq.Frame`, so that large bodies are passed on without being copied.

    :param source: the socket to read; its one reader is this burst's pump.
    :param outlets: where each message goes, in this order.
    """

    def __init__(self, source: Readiness, outlets: Sequence[Outlet]) -> None:
        self._recv: Callable[[], Any] = partial(plain_recv, source.raw, DONTWAIT, False)
        self.counters = PumpCounters(tuple(OutletCounters() for _ in outlets))
        self._lanes = tuple(map(PythonLane, outlets, self.counters.outlets))
        self._tap: PythonLane | None = None
        self._straight = self._is_straight()
        self._in_hand: Parts = ()
        self.waiting_for: int | None = None

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield."""
        self._tap = None if outlet is None else PythonLane(outlet, OutletCounters())
        self._straight = self._is_straight()

    def run(self, budget: Budget) -> Status:
        """Move messages until one of the limits of `budget` is reached. Does not yield."""
        counters = self.counters
        counters.bursts += 1
        if self.waiting_for is not None and not self._deliver(self.waiting_for):
            return Status.OUTLET_FULL
        last_message = counters.received + budget.messages
        last_byte = counters.received_bytes + budget.bytes
        last_part = counters.received_parts + budget.parts
        look_at, until = counters.received_parts + CLOCK_INTERVAL_PARTS, math.inf
        while (
            counters.received < last_message
            and counters.received_bytes < last_byte
            and counters.received_parts < last_part
        ):
            if counters.received_parts >= look_at:
                look_at = counters.received_parts + CLOCK_INTERVAL_PARTS
                now = time.monotonic()
                # The first look sets it.
                until = min(until, now + budget.time_s)
                if now >= until:
                    break
            singles = min(last_message - counters.received, min(last_part, look_at) - counters.received_parts)
            status = self._move(singles, last_byte - counters.received_bytes)
            if status is not None:
                return status
        return Status.BUDGET_SPENT

    def _move(self, singles: int, nbytes: int) -> Status | None:
        """Move up to `singles` messages of one part, or `nbytes`, or one longer message; the status if the run ends."""
        try:
            frame = self._pass_singles(singles, nbytes) if self._straight else self._recv()
        except zmq.ZMQError as error:
            if error.errno in NOT_NOW:
                return Status.SOURCE_EMPTY
            raise
        if frame is None:
            return None
        self._take_in(frame)
        if self._tap is not None:
            # Whatever becomes of the copy: a tap must not affect the traffic.
            with contextlib.suppress(zmq.ZMQError):
                self._tap.offer(self._in_hand)
        return None if self._deliver(0) else Status.OUTLET_FULL

    def _is_straight(self) -> bool:
        return len(self._lanes) == 1 and self._lanes[0].straight and self._tap is None

    def _pass_singles(self, most: int, most_bytes: int) -> Any:
        """Pass on up to `most` messages of one part; the first frame that needs more than that, else None.

        The message with which `most_bytes` are reached is the last one. Nine messages in ten go this way, so it does
        without calls, and counts at the end.
        """
        recv, lane, counters = self._recv, self._lanes[0], self.counters
        send, process_events = lane.send, lane.process_events if lane.events_interval else None
        passed = nbytes = 0
        try:
            while passed < most and nbytes < most_bytes:
                frame = recv()
                if frame.more:
                    return frame
                try:
                    send(frame, DONTWAIT, False)
                except zmq.ZMQError:
                    # The long way has every case of it.
                    return frame
                nbytes += len(frame)
                passed += 1
                if process_events is not None:
                    process_events()
            return None
        finally:
            lane.count_passed(passed, nbytes)
            counters.received += passed
            counters.received_parts += passed
            counters.received_bytes += nbytes

    def _take_in(self, frame: Any) -> None:
        # libzmq hands over messages whole: once the first part is there, no later one can be missing.
        parts = [frame]
        while parts[-1].more:
            parts.append(self._recv())
        self._in_hand = parts
        self.counters.received += 1
        self.counters.received_parts += len(parts)
        self.counters.received_bytes += sum(map(len, parts))

    def _deliver(self, first: int) -> bool:
        """Offer the message in hand to the outlets from `first` on; False if one of them makes it wait."""
        for index in range(first, len(self._lanes)):
            # Set before the offer: a message whose sending raises is still in hand, and so accounted for.
            self.waiting_for = index
            if not self._lanes[index].offer(self._in_hand):
                return False
        self.waiting_for = None
        self._in_hand = ()
        return True
