"""The burst in Python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import zmq

from ..terms import WhenFull
from .burst import Status
from .counters import Drop, OutletCounters, PumpCounters
from .outlet import CUT, Outlet, Parts
from .readiness import Readiness, plain_get, plain_recv, plain_send

# Looked up once: an attribute of an enum costs as much as a small call.
_DONTWAIT = int(zmq.DONTWAIT)
_SNDMORE = int(zmq.DONTWAIT | zmq.SNDMORE)

# EFSM: a REQ or REP whose turn it is not; it becomes readable or writable when its turn comes.
_NOT_NOW = (zmq.EAGAIN, zmq.EFSM)
_LOAD_BALANCED = (zmq.PUSH, zmq.DEALER)


class PythonBurst:
    """`geventrelay.engine.burst.Burst` in Python: runs everywhere, and is the yardstick for the native one.

    Messages travel as `zmq.Frame`, so that large bodies are passed on without being copied.

    :param source: the socket to read; its one reader is this burst's pump.
    :param outlets: where each message goes, in this order.
    """

    def __init__(self, source: Readiness, outlets: Sequence[Outlet]) -> None:
        self._recv: Callable[[], Any] = partial(plain_recv, source.raw, _DONTWAIT, False)
        self.counters = PumpCounters(tuple(OutletCounters() for _ in outlets))
        self._lanes = tuple(map(_Lane, outlets, self.counters.outlets))
        self._tap: _Lane | None = None
        self._straight = self._is_straight()
        self._in_hand: Parts = ()
        self.waiting_for: int | None = None

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield."""
        self._tap = None if outlet is None else _Lane(outlet, OutletCounters())
        self._straight = self._is_straight()

    def run(self, messages: int, limit_bytes: int) -> Status:
        """Move up to `messages` messages, or the one with which `limit_bytes` is reached. Does not yield."""
        self.counters.bursts += 1
        if self.waiting_for is not None and not self._deliver(self.waiting_for):
            return Status.OUTLET_FULL
        enough = self.counters.received_bytes + limit_bytes
        last = self.counters.received + messages
        while self.counters.received < last and self.counters.received_bytes < enough:
            try:
                frame = self._pass_singles(last - self.counters.received, enough) if self._straight else self._recv()
            except zmq.ZMQError as error:
                if error.errno in _NOT_NOW:
                    return Status.SOURCE_EMPTY
                raise
            if frame is None:
                break
            self._take_in(frame)
            if self._tap is not None:
                # Whatever becomes of the copy: a watcher is never to be felt.
                with contextlib.suppress(zmq.ZMQError):
                    self._tap.offer(self._in_hand)
            if not self._deliver(0):
                return Status.OUTLET_FULL
        return Status.BUDGET_SPENT

    def _is_straight(self) -> bool:
        return len(self._lanes) == 1 and self._lanes[0].straight and self._tap is None

    def _pass_singles(self, messages: int, enough: int) -> Any:
        """Pass on messages of one part; the first frame that needs more than that, or None at the end of the budget.

        Nine messages in ten go this way, so it does without calls, and counts at the end.
        """
        recv, lane = self._recv, self._lanes[0]
        send, look = lane.send, lane.look if lane.events_interval else None
        passed = nbytes = 0
        left = enough - self.counters.received_bytes
        try:
            while passed < messages:
                if nbytes >= left:
                    return None
                frame = recv()
                if frame.more:
                    return frame
                try:
                    send(frame, _DONTWAIT, False)
                except zmq.ZMQError:
                    # The long way has every case of it.
                    return frame
                nbytes += len(frame)
                passed += 1
                if look is not None:
                    look()
            return None
        finally:
            lane.count_passed(passed, nbytes)
            self.counters.received += passed
            self.counters.received_parts += passed
            self.counters.received_bytes += nbytes

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


class _Lane:
    """What the burst keeps of an outlet while it runs."""

    def __init__(self, outlet: Outlet, counters: OutletCounters) -> None:
        self._outlet = outlet
        self._counters = counters
        self.send = partial(plain_send, outlet.socket.raw)
        self._cut = CUT[outlet.payload]
        self._prefix = () if outlet.prefix is None else (outlet.prefix,)
        self._least_parts = outlet.least_parts
        self.events_interval = outlet.events_interval
        self._unlooked = 0

    @property
    def straight(self) -> bool:
        """Whether messages of one part go there just as they came."""
        return self._cut is None and not self._prefix and self._least_parts == 1

    def count_passed(self, messages: int, nbytes: int) -> None:
        """Count messages of one part that were sent past `offer`."""
        self._counters.sent += messages
        self._counters.sent_parts += messages
        self._counters.sent_bytes += nbytes

    def offer(self, parts: Parts) -> bool:
        """Send or drop one message and count it; False if it has to wait."""
        counters = self._counters
        if self._cut is not None:
            parts = self._cut(parts)
        if self._prefix:
            parts = (*self._prefix, *parts)
        if len(parts) < self._least_parts:
            counters.drop(Drop.MALFORMED)
            return True
        try:
            self._send_parts(parts)
        except zmq.ZMQError as error:
            if error.errno in _NOT_NOW:
                if self._outlet.when_full is WhenFull.BLOCK:
                    return False
                counters.drop(self._outlet.drop_reason())
                return True
            if error.errno != zmq.EHOSTUNREACH:
                raise
            counters.drop(Drop.UNROUTABLE)
            return True
        counters.sent += 1
        counters.sent_parts += len(parts)
        counters.sent_bytes += sum(map(len, parts))
        if self.events_interval:
            self.look()
        return True

    def look(self) -> None:
        """After a message: now and then, have the socket take in what its peers tell of the room that they have."""
        self._unlooked += 1
        if self._unlooked >= self.events_interval:
            self._unlooked = 0
            plain_get(self._outlet.socket.raw, zmq.EVENTS)

    def _send_parts(self, parts: Parts) -> None:
        last = len(parts) - 1
        for index, part in enumerate(parts):
            try:
                self.send(part, _SNDMORE if index < last else _DONTWAIT, False)
            except zmq.Again:
                if 0 < index < last:
                    self._end_broken_message(parts[index + 1 :])
                raise

    def _end_broken_message(self, rest: Parts) -> None:
        """Get a socket whose peer died in the middle of a message ready for the next one.

        Load-balancing sockets (lb_t::sendpipe in libzmq) take the parts sent so far back, answer EAGAIN once,
        and then swallow what follows up to a part without SNDMORE.
        """
        if self._outlet.socket.raw.type in _LOAD_BALANCED:
            for part in rest[:-1]:
                self.send(part, _SNDMORE, False)
            self.send(rest[-1], _DONTWAIT, False)
