# cython: annotation_typing=False
"""One direction of traffic: a greenlet that moves messages from one socket to its outlets.

The way of a message::

    source  --recv-->  burst  --cut-->  outlet 1  --send-->  destination 1
                         |    --cut-->  outlet 2  --send-->  destination 2
                         |
                         +-- in hand, while an outlet that blocks is full

The burst runs until it has nothing to read, nowhere to send, or has had its share of the hub. The pump then
waits for the one thing that holds it up, and nothing else: with nothing to move it uses no CPU.

Compiled where there is a compiler, as `geventrelay.engine.readiness` is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq
from gevent.event import Event

from .burst import Status
from .counters import Drop, OutletSnapshot, PumpSnapshot
from .fair import FairYield
from .native.choose import new_burst
from .outlet import Outlet
from .readiness import Readiness
from .socket import RelaySocket

# A burst keeps every other greenlet waiting: a thousand small messages take the native burst 0.1 to 0.3 ms and the one
# in Python 1 to 2 ms. Fewer are no fairer (from 250 to 4000, a greenlet beside it wakes up equally late, within the
# noise), while from 4 MB on large messages cost tens of ms; docs/performance.rst has the figures.
BURST_MESSAGES = 1000
BURST_BYTES = 1024 * 1024

# An enum's member costs more to look up than to compare.
_SOURCE_EMPTY, _OUTLET_FULL = Status.SOURCE_EMPTY, Status.OUTLET_FULL


class Pump:
    """Moves messages from `source` to each of `outlets`, in order, until its greenlet is killed.

    :param name: the source socket's key in its device, e.g. ``frontend``.
    :param source: the socket to read; this pump is its one reader.
    :param outlets: where each message goes; this pump is the one writer of each.
    """

    def __init__(self, name: str, source: Readiness | RelaySocket, outlets: Sequence[Outlet]) -> None:
        self.name = name
        self._source = source.readiness
        self._outlets = tuple(outlets)
        self._destinations = tuple(outlet.socket for outlet in outlets)
        self._burst = new_burst(source.readiness, outlets)
        self._paused = False
        self._gate = Event()

    def run(self) -> None:
        """Move messages for ever. Yields to the hub; raises `zmq.ZMQError` when a socket or the context goes."""
        source, burst = self._source, self._burst
        with FairYield() as turn:
            while True:
                if self._paused:
                    self._gate.wait()
                status = burst.run(BURST_MESSAGES, BURST_BYTES)
                blocked = self._blocked_by() if status is _OUTLET_FULL else None
                # Those who read from the outlets' sockets: the sends may have taken their edge.
                for destination in self._destinations:
                    # The blocked one looks after its reader when it is waited for.
                    if destination is not blocked:
                        destination.after_write()
                if status is _SOURCE_EMPTY:
                    source.wait_readable(True)
                    continue
                source.after_read()
                if blocked is not None:
                    blocked.wait_writable()
                else:
                    turn.wait()

    def pause(self) -> None:
        """Read nothing more from now on; what is in hand stays in hand. Does not yield."""
        self._paused = True
        self._gate.clear()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield."""
        self._paused = False
        self._gate.set()

    def set_tap(self, outlet: Outlet | None) -> None:
        """Give a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield.

        Several pumps may share the socket of a tap, since bursts do not yield; what it cannot take is lost to it alone.
        """
        self._burst.set_tap(outlet)

    def deliver(self) -> Readiness | None:
        """Offer what is in hand once more and read nothing; for when the pump's greenlet has ended. Does not yield.

        :returns: the port of the outlet that has no room for it yet; None once nothing is in hand.
        :raises zmq.ZMQError: when a socket or the context has gone.
        """
        if self._burst.waiting_for is None or self._burst.run(0, 0) is not _OUTLET_FULL:
            return None
        return self._blocked_by()

    def discard(self, until: float) -> None:
        """Read what is left and count it as dropped; for when the pump's greenlet has ended. Yields.

        :param until: when to leave it at that, by `time.monotonic`: there may always be more coming in.
        """
        with FairYield() as turn:
            while time.monotonic() < until:
                for _ in range(BURST_MESSAGES):
                    try:
                        parts = self._source.receive()
                    except zmq.Again:
                        return
                    counters = self._burst.counters
                    counters.received += 1
                    counters.received_parts += len(parts)
                    counters.received_bytes += sum(map(len, parts))
                    for outlet in counters.outlets:
                        outlet.drop(Drop.STOPPED)
                turn.wait()

    @property
    def drained(self) -> bool:
        """Whether there is nothing left to move: nothing in hand and nothing to read. Does not yield."""
        return self._burst.waiting_for is None and not self._source.readable

    def snapshot(self) -> PumpSnapshot:
        """What has been counted up to now. Does not yield."""
        counters, waiting_for = self._burst.counters, self._burst.waiting_for
        outlets = tuple(
            OutletSnapshot.of(outlet.name, count, held=int(waiting_for is not None and index >= waiting_for))
            for index, (outlet, count) in enumerate(zip(self._outlets, counters.outlets, strict=True))
        )
        return PumpSnapshot.of(self.name, counters, outlets)

    def _blocked_by(self) -> Readiness:
        assert self._burst.waiting_for is not None  # OUTLET_FULL means just that
        return self._outlets[self._burst.waiting_for].socket
