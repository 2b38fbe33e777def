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
from .counters import Drop, OutletCounters, PumpCounters
from .lane_python import DONTWAIT, NOT_NOW, PythonLane
from .outlet import Outlet, Parts
from .readiness import Readiness, plain_recv
from .stages.contract import Stage


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
        self._stages: Sequence[Stage] = ()
        self._straight = self._is_straight()
        self._in_hand: Parts = ()
        self.waiting_for: int | None = None
        self.max_parts = 0
        self.emptied = 0
        self.on_refused: Callable[[Drop, int, int], None] | None = None
        self._from_xpub = source.raw.type == zmq.XPUB
        # Whether the rest of a message with too many parts is still to be read and thrown away.
        self._skipping = False

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield."""
        self._tap = None if outlet is None else PythonLane(outlet, OutletCounters())
        self._straight = self._is_straight()

    def set_stages(self, stages: Sequence[Stage]) -> None:
        """Have each message that is read from now on pass `stages`, see `geventrelay.engine.burst.Burst`."""
        self._stages = tuple(stages)
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
        look_at = counters.received_parts + CLOCK_INTERVAL_PARTS
        time_up, skip_time_up = _Time(budget.time_s), _Time(budget.skip_s)
        while True:
            spent = (
                counters.received >= last_message
                or counters.received_bytes >= last_byte
                or counters.received_parts >= last_part
            )
            if not spent and counters.received_parts >= look_at:
                look_at = counters.received_parts + CLOCK_INTERVAL_PARTS
                spent = time_up.is_over()
            if spent and (not self._skipping or skip_time_up.is_over()):
                return Status.BUDGET_SPENT
            singles = min(last_message - counters.received, min(last_part, look_at) - counters.received_parts)
            status = self._move(singles, last_byte - counters.received_bytes)
            if status is not None:
                return status

    def _move(self, singles: int, nbytes: int) -> Status | None:
        """Move up to `singles` messages of one part, or `nbytes`, or one longer message; the status if the run ends."""
        try:
            if self._skipping:
                frame = self._skip()
            else:
                frame = self._pass_singles(singles, nbytes) if self._straight else self._recv()
        except zmq.ZMQError as error:
            if error.errno in NOT_NOW:
                self.emptied += 1
                return Status.SOURCE_EMPTY
            raise
        if frame is None:
            return None
        if not self._take_in(frame) or not self._passes():
            return None
        if self._tap is not None:
            # Whatever becomes of the copy: a tap must not affect the traffic.
            with contextlib.suppress(zmq.ZMQError):
                self._tap.offer(self._in_hand)
        return None if self._deliver(0) else Status.OUTLET_FULL

    def _is_straight(self) -> bool:
        return len(self._lanes) == 1 and self._lanes[0].straight and self._tap is None and not self._stages

    def _passes(self) -> bool:
        """Whether the message in hand passes all stages; if not, it is dropped."""
        for stage in self._stages:
            if not stage.passes(self._in_hand):
                self._in_hand = ()
                for outlet in self.counters.outlets:
                    outlet.drop(stage.reason)
                return False
        return True

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

    def pass_over(self) -> None:
        """Drop what is in hand for the outlet that it waits for, see `geventrelay.engine.burst.Burst`."""
        assert self.waiting_for is not None
        self._lanes[self.waiting_for].refuse()
        self.waiting_for += 1
        if self.waiting_for == len(self._lanes):
            self.waiting_for = None
            self._in_hand = ()

    def finish(self) -> None:
        """Read the rest of a message that is thrown away, see `geventrelay.engine.burst.Burst`. Does not yield."""
        with contextlib.suppress(zmq.ZMQError):
            while self._skipping:
                self._skip()

    def _take_in(self, frame: Any) -> bool:
        """Read the rest of the message whose first part is `frame`; whether there is a message in hand then.

        libzmq hands over messages whole, with one exception. An XPUB takes each part that begins with 0 or 1 for a
        subscription, also within a message, and puts it in the queue as a message of its own, or not at all if it
        changes nothing (xpub_t::xread_activated). The parts before it then say that more follows, and nothing does.
        """
        parts = [frame]
        while parts[-1].more:
            if len(parts) == self.max_parts:
                self._skipping = True
                self._refuse(Drop.TOO_MANY_PARTS, parts)
                return False
            try:
                frame = self._recv()
            except zmq.ZMQError as error:
                if error.errno not in NOT_NOW:
                    raise
                self._refuse(Drop.BROKEN_OFF, parts)
                return False
            if self._from_xpub and _is_subscription(frame):
                self._refuse(Drop.BROKEN_OFF, parts)
                parts = []
            parts.append(frame)
        self._in_hand = parts
        self._count(parts)
        return True

    def _refuse(self, reason: Drop, parts: Parts) -> None:
        """Count `parts` as received and dropped for a `reason`."""
        self._count(parts)
        for outlet in self.counters.outlets:
            outlet.drop(reason)
        if self.on_refused is not None:
            self.on_refused(reason, 1, _descriptor_of(parts[-1]) if reason is Drop.TOO_MANY_PARTS else -1)

    def _count(self, parts: Parts) -> None:
        self.counters.received += 1
        self.counters.received_parts += len(parts)
        self.counters.received_bytes += sum(map(len, parts))

    def _skip(self) -> Any:
        """Throw some parts of a message with too many of them away; the next frame, if one is found there."""
        for _ in range(CLOCK_INTERVAL_PARTS):
            try:
                frame = self._recv()
            except zmq.ZMQError as error:
                # The rest of a message that has broken off never comes.
                self._skipping = error.errno not in NOT_NOW
                raise
            if self._from_xpub and _is_subscription(frame):
                self._skipping = False
                return frame
            self.counters.received_parts += 1
            self.counters.received_bytes += len(frame)
            if not frame.more:
                self._skipping = False
                break
        return None

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


class _Time:
    """A time that begins with the first look at it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = math.inf

    def is_over(self) -> bool:
        now = time.monotonic()
        self._until = min(self._until, now + self._seconds)
        return now >= self._until


def _descriptor_of(frame: Any) -> int:
    """Over which connection a part came: libzmq's descriptor; -1 where that is not known, as over inproc."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1


def _is_subscription(frame: Any) -> bool:
    """Whether an XPUB has made a message of this part: those are never followed by more."""
    return not frame.more and bytes(frame.buffer[:1]) in (b"\0", b"\1")
