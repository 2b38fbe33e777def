# cython: annotation_typing=False
"""One direction of traffic: a greenlet that moves messages from one socket to its outlets.

The way of a message::

    source  --recv-->  burst  --stages, cut-->  outlet 1  --send-->  destination 1
                         |    --stages, cut-->  outlet 2  --send-->  destination 2
                         |
                         +-- in hand, while an outlet that blocks is full

The burst runs until it has nothing to read, nowhere to send, or has spent its budget. The pump then waits for the one
socket that holds it up, and for nothing else: with nothing to move it uses no CPU.

Compiled where there is a compiler, as `geventrelay.engine.readiness` is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gevent.event import Event

from ..terms import Payload
from .burst import NOTHING, Budget, Burst, Status
from .burst_python import PythonBurst
from .counters import Drop, OutletSnapshot, PumpSnapshot
from .fair import FairYield
from .native.choose import native_module, warn_if_slow
from .outlet import Outlet
from .places import wait_for_one
from .rate import RateLimit
from .rated import Rated
from .readiness import Readiness
from .socket import RelaySocket
from .stages.contract import Stage
from .usage import PART_COST_BYTES

BUDGET = Budget()
"""What each run of a pump's burst may move."""

# An enum's member costs more to look up than to compare.
_SOURCE_EMPTY, _OUTLET_FULL = Status.SOURCE_EMPTY, Status.OUTLET_FULL


def _new_burst(source: Readiness, outlets: Sequence[Outlet]) -> Burst:
    native = native_module()
    make: Callable[[Readiness, Sequence[Outlet]], Burst] = PythonBurst if native is None else native.NativeBurst
    return make(source, outlets)


class Pump:
    """Moves messages from `source` to each of `outlets`, in order, until its greenlet is killed.

    :param name: the source socket's key in its device, e.g. ``frontend``.
    :param source: the socket to read; this pump is its one reader.
    :param outlets: where each message goes; this pump is the one writer of each, but of a readiness with
        `Readiness.several_writers`.
    :param on_refused: see `Burst.on_refused`. Must not yield.
    :param on_uncut: called with an outlet's name, once, when it was sent a message whole because no topic stands before
        its first space; None for not. Must not yield.
    :ivar on_received: called with how many messages have been read, after each burst; None for not. Must not yield.
    :ivar on_waiting: called when `is_waiting` may have changed; None for not. Must not yield.
    """

    def __init__(
        self,
        name: str,
        source: Readiness | RelaySocket,
        outlets: Sequence[Outlet],
        on_refused: Callable[[Drop, int, int], None] | None = None,
        on_uncut: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._source = source.readiness
        self._outlets = tuple(outlets)
        others = (outlet.otherwise.socket for outlet in outlets if outlet.otherwise is not None)
        self._destinations = (*(outlet.socket for outlet in outlets), *others)
        self._burst = _new_burst(source.readiness, outlets)
        self._burst.on_refused = on_refused
        self._on_uncut = on_uncut if any(one.payload is Payload.AUTO for one in outlets) else None
        self._rated: Rated | None = None
        self._paused = False
        self._resumed = Event()
        # Whether it may have to wait for one of two sockets, or for a gate.
        self._has_places = any(one.gate is not None or one.otherwise is not None for one in outlets)
        self._is_waiting = False
        self.on_waiting: Callable[[], None] | None = None
        self.on_received: Callable[[int], None] | None = None

    def run(self) -> None:
        """Move messages without end. Yields to the hub; raises `zmq.ZMQError` when a socket or the context goes."""
        source, burst = self._source, self._burst
        # Not when the burst is chosen: a command that cannot start says one line, the one about that.
        warn_if_slow()
        with FairYield() as turn:
            while True:
                if self._rated is not None:
                    self._rated.wait()
                if self._paused:
                    self._resumed.wait()
                status = burst.run(BUDGET) if self._rated is None else self._rated.run()
                if self._on_uncut is not None:
                    self._look_for_uncut(self._on_uncut)
                if self.on_received is not None:
                    self.on_received(burst.counters.received)
                blocked = self._blocked_by() if status is _OUTLET_FULL else None
                places = self._places() if self._has_places else None
                # For readers of the outlets' sockets: the sends may have taken their edge.
                for destination in self._destinations:
                    # The wait for the blocked one reads its EVENTS too.
                    if destination is not blocked or places is not None:
                        destination.after_write()
                if status is _SOURCE_EMPTY:
                    source.wait_readable(True)
                    continue
                source.after_read()
                if blocked is None:
                    turn.wait()
                elif places is None:
                    blocked.wait_writable()
                else:
                    wait_for_one(places)

    def _look_for_uncut(self, tell: Callable[[str], None]) -> None:
        """Once in the life of a pump, `tell` which outlet has got a message that was not cut."""
        for outlet, counters in zip(self._outlets, self._burst.counters.outlets, strict=True):
            if counters.uncut:
                self._on_uncut = None
                tell(outlet.name)

    def pause(self) -> None:
        """Read nothing more from now on; what is in hand stays in hand. Does not yield."""
        self._paused = True
        self._resumed.clear()
        self._tell_waiting()

    def resume(self) -> None:
        """Go on after `pause`. Does not yield."""
        self._paused = False
        self._resumed.set()
        self._tell_waiting()

    def set_max_parts(self, most: int) -> None:
        """Drop each message that has more than `most` parts, from now on; 0 is no limit. Does not yield."""
        self._burst.max_parts = most

    def set_rate(self, limit: RateLimit) -> None:
        """Read no more than `limit` allows; to be called before `run` and `set_stages`. Does not yield."""
        self._rated = Rated(self._source, self._burst, limit, BUDGET)
        self.set_stages(())

    def set_stages(self, stages: Sequence[Stage]) -> None:
        """Have each message that is read from now on pass `stages`, in this order; see `Burst.set_stages`."""
        self._burst.set_stages((*(() if self._rated is None else self._rated.stages), *stages))

    def finish(self) -> None:
        """Read the rest of a message that is being thrown away; see `Burst.finish`. Does not yield."""
        self._burst.finish()

    def set_tap(self, outlet: Outlet | None) -> None:
        """Give a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield.

        Several pumps may share the socket of a tap, since bursts do not yield. What it cannot take is lost to it alone.

        :param outlet: see `Burst.set_tap`.
        """
        self._burst.set_tap(outlet)

    def deliver(self) -> Readiness | None:
        """Offer what is in hand once more and read nothing; for when the pump's greenlet has ended. Does not yield.

        :returns: the readiness of the outlet that has no room for it yet; None once nothing is in hand.
        :raises zmq.ZMQError: when a socket or the context has gone.
        """
        if self._burst.waiting_for is None or self._burst.run(NOTHING) is not _OUTLET_FULL:
            return None
        return self._blocked_by()

    def pass_over(self, outlet: str) -> bool:
        """Drop what is in hand for `outlet` alone, if it waits for that one; for when the pump's greenlet has ended.

        It is then in hand for the outlets after that one, if there are any. Does not yield.

        :param outlet: the name of the outlet.
        :returns: whether it waited for that outlet.
        """
        index = self._burst.waiting_for
        if index is None or self._outlets[index].name != outlet:
            return False
        self._burst.pass_over()
        return True

    def discard(self, until: float) -> bool:
        """Read what is left and count it as dropped; for when the pump's greenlet has ended. Yields.

        :param until: when to leave it at that, by `time.monotonic`: there may always be more coming in.
        :returns: whether nothing was left to read at the end.
        """
        # Without outlets, a burst reads and counts, as fast as it can.
        rest = _new_burst(self._source, ())
        rest.max_parts = self._burst.max_parts
        self.finish()
        try:
            with FairYield() as turn:
                while time.monotonic() < until:
                    if rest.run(BUDGET) is _SOURCE_EMPTY:
                        return True
                    turn.wait()
            return False
        finally:
            self._burst.counters.add_unmoved(rest.counters, Drop.STOPPED)

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits at an outlet with another place, which has no room either. Does not yield.

        Not while it is paused: then it would not move if there were room.
        """
        return self._is_waiting and not self._paused

    @property
    def paused(self) -> bool:
        """Whether it reads nothing; see `pause`."""
        return self._paused

    @property
    def handed_on(self) -> int:
        """How many messages have been read and are in hand no more. Does not yield."""
        return self._burst.counters.received - (self._burst.waiting_for is not None)

    @property
    def drained(self) -> bool:
        """Whether there is nothing left to move: nothing in hand and nothing to read. Does not yield."""
        return self._burst.waiting_for is None and not self._source.readable

    def read_bytes(self) -> int:
        """How many bytes the messages that were read took on the wire, at most. Does not yield."""
        counters = self._burst.counters
        return counters.received_bytes + PART_COST_BYTES * counters.received_parts

    def emptied(self) -> int:
        """How many times there was nothing more to read. Does not yield."""
        return self._burst.emptied

    def snapshot(self) -> PumpSnapshot:
        """What has been counted up to now. Does not yield."""
        counters, waiting_for = self._burst.counters, self._burst.waiting_for
        outlets = tuple(
            OutletSnapshot.of(outlet.name, count, held=int(waiting_for is not None and index >= waiting_for))
            for index, (outlet, count) in enumerate(zip(self._outlets, counters.outlets, strict=True))
        )
        return PumpSnapshot.of(self.name, counters, outlets)

    def _places(self) -> Sequence[Outlet] | None:
        """Where the message in hand can go; None if there is none, or it can go to one socket, when this has room."""
        waiting_for = self._burst.waiting_for
        places: Sequence[Outlet] | None = None
        if waiting_for is not None:
            outlet = self._outlets[waiting_for]
            if outlet.otherwise is not None:
                places = (outlet, outlet.otherwise)
            elif outlet.gate is not None:
                places = (outlet,)
        is_waiting = places is not None and len(places) > 1
        if is_waiting != self._is_waiting:
            self._is_waiting = is_waiting
            self._tell_waiting()
        return places

    def _tell_waiting(self) -> None:
        if self.on_waiting is not None:
            self.on_waiting()

    def _blocked_by(self) -> Readiness:
        assert self._burst.waiting_for is not None  # OUTLET_FULL means just that
        return self._outlets[self._burst.waiting_for].socket
