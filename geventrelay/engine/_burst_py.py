"""The burst in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import zmq

from .counters import Drop, OutletCounters, PumpCounters
from .outlet import CUT, Outlet, Parts, Policy
from .port import Port, plain_recv, plain_send
from .status import Status

# Looked up once: an attribute of an enum costs as much as a small call.
_DONTWAIT = int(zmq.DONTWAIT)
_SNDMORE = int(zmq.DONTWAIT | zmq.SNDMORE)

_LOAD_BALANCED = (zmq.PUSH, zmq.DEALER)


class PythonBurst:
    """`geventrelay.engine.burst.Burst` in Python: runs everywhere, and is the yardstick for the native one.

    Messages travel as `zmq.Frame`, so that large bodies are passed on without being copied.

    :param source: the socket to read; its one reader is this burst's pump.
    :param outlets: where each message goes, in this order.
    """

    def __init__(self, source: Port, outlets: Sequence[Outlet]) -> None:
        self._recv: Callable[[], Any] = partial(plain_recv, source.raw, _DONTWAIT, False)
        self.counters = PumpCounters(tuple(OutletCounters() for _ in outlets))
        self._lanes = tuple(map(_Lane, outlets, self.counters.outlets))
        self._in_hand: Parts = ()
        self.waiting_for: int | None = None

    def run(self, messages: int, limit_bytes: int) -> Status:
        """Move up to `messages` messages, or the one with which `limit_bytes` is reached. Does not yield."""
        counters = self.counters
        counters.bursts += 1
        if self.waiting_for is not None and not self._deliver(self.waiting_for):
            return Status.OUTLET_FULL
        enough = counters.received_bytes + limit_bytes
        for _ in range(messages):
            try:
                frame = self._recv()
            except zmq.Again:
                return Status.SOURCE_EMPTY
            counters.received += 1
            counters.received_parts += 1
            counters.received_bytes += len(frame)
            self._in_hand = self._with_the_rest(frame) if frame.more else (frame,)
            if not self._deliver(0):
                return Status.OUTLET_FULL
            if counters.received_bytes >= enough:
                break
        return Status.BUDGET_SPENT

    def _with_the_rest(self, frame: Any) -> Parts:
        # libzmq hands over messages whole: once the first part is there, no later one can be missing.
        parts = [frame]
        while parts[-1].more:
            parts.append(self._recv())
        self.counters.received_parts += len(parts) - 1
        self.counters.received_bytes += sum(map(len, parts[1:]))
        return parts

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
        self._send = partial(plain_send, outlet.socket.raw)
        self._cut = CUT[outlet.take]
        self._least_parts = outlet.least_parts

    def offer(self, parts: Parts) -> bool:
        """Send or drop one message and count it; False if it has to wait."""
        counters = self._counters
        if self._cut is not None:
            parts = self._cut(parts)
        if len(parts) < self._least_parts:
            counters.drop(Drop.MALFORMED)
            return True
        try:
            self._send_parts(parts)
        except zmq.Again:
            if self._outlet.policy is Policy.BLOCK:
                return False
            counters.drop(self._outlet.why_refused())
            return True
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            counters.drop(Drop.UNROUTABLE)
            return True
        counters.sent += 1
        counters.sent_parts += len(parts)
        counters.sent_bytes += sum(map(len, parts))
        return True

    def _send_parts(self, parts: Parts) -> None:
        last = len(parts) - 1
        for index, part in enumerate(parts):
            try:
                self._send(part, _SNDMORE if index < last else _DONTWAIT, False)
            except zmq.Again:
                if 0 < index < last:
                    self._end_broken_message(parts[index + 1 :])
                raise

    def _end_broken_message(self, rest: Parts) -> None:
        """Get a socket whose peer died in the middle of a message ready for the next one.

        Load-balancing sockets (lb_t::sendpipe in libzmq) take the parts sent so far back, answer EAGAIN once,
        and then swallow what follows up to a part without SNDMORE.
        """
        if self._outlet.socket.raw.socket_type in _LOAD_BALANCED:
            for part in rest[:-1]:
                self._send(part, _SNDMORE, False)
            self._send(rest[-1], _DONTWAIT, False)
