"""One direction of a device: runs go to every destination at once, or have to wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...engine.counters import Drop, OutletCounters, PumpCounters
from ...engine.outlet import CUT, is_uncut
from ...terms import Payload, WhenFull
from .run import Run
from .side import Side


class Lane:
    """One destination of a way.

    :param side: the socket.
    :param when_full: see `geventrelay.switch.contract.Destination`.
    :param payload: likewise.
    :param counters: what is counted of it.
    :param otherwise: see `geventrelay.switch.contract.Destination`.
    :ivar refused: how many messages neither the socket nor its alternative took, see
        `geventrelay.switch.contract.Way.refused`.
    :raises ValueError: if it cannot have this alternative.
    """

    def __init__(
        self, side: Side, when_full: WhenFull, payload: Payload, counters: OutletCounters, otherwise: Side | None = None
    ) -> None:
        if otherwise is not None and (not side.stands_in_for or side.stands_in_for != otherwise.stands_in_for):
            raise ValueError(f"otherwise: expected a type like {side.plan.type}, got {otherwise.plan.type}")
        self.side = side
        self._otherwise = otherwise
        self.refused = 0
        self._blocks = when_full is WhenFull.BLOCK
        self._cut = CUT[payload]
        self._payload = payload
        self._counters = counters

    def cut(self, run: Run) -> Run:
        """What of `run` goes there: as many messages."""
        if self._cut is None:
            return run
        return Run.of([self._cut(run.parts_of(index)) for index in range(len(run.ends))], run.at)

    def room(self, run: Run) -> int:
        """How many messages of a `run` that was cut can go now, from its beginning."""
        if not self.blocks:
            return len(run.ends)
        room = self.side.room(run)
        return self._otherwise.room(run) if not room and self._otherwise is not None else room

    @property
    def has_room(self) -> bool:
        """Whether `room` has probably changed since it was 0."""
        return not self.blocks or self.side.has_room or (self._otherwise is not None and self._otherwise.has_room)

    @property
    def lacks_permits(self) -> bool:
        """Whether messages wait since it is full, and its alternative has a gate without a permit."""
        return self.blocks and self._otherwise is not None and self._otherwise.is_shut and not self.side.has_room

    @property
    def blocks(self) -> bool:
        """Whether messages wait while it is full."""
        return self.side.blocks and self._blocks

    def send(self, run: Run, whole: Run) -> None:
        """Send a `run` that was cut from `whole`."""
        if self._cut is not None:
            uncut = (is_uncut(self._payload, whole.parts_of(index)) for index in range(len(whole.ends)))
            self._counters.uncut += sum(uncut)
        if self._otherwise is None:
            self.side.send(run, self._counters)
        else:
            self.refused += self.side.send_or(run, self._otherwise, self._counters)


class Way:
    """`geventrelay.switch.contract.Way`.

    :param lanes: its destinations.
    :ivar counters: what it has moved.
    :ivar is_over: whether everything is dropped.
    """

    def __init__(self, lanes: Sequence[Lane], counters: PumpCounters) -> None:
        self.counters = counters
        self._lanes = tuple(lanes)
        self._tap: Callable[[Sequence[bytes]], None] | None = None
        self.is_over = False

    @property
    def has_room(self) -> bool:
        """See `geventrelay.switch.contract.Way.has_room`."""
        return self.is_over or all(lane.has_room for lane in self._lanes)

    @property
    def lacks_permits(self) -> bool:
        """See `geventrelay.switch.contract.Way.lacks_permits`."""
        return not self.is_over and any(lane.lacks_permits for lane in self._lanes)

    @property
    def refused(self) -> int:
        """See `geventrelay.switch.contract.Way.refused`."""
        return sum(lane.refused for lane in self._lanes)

    def stop(self) -> None:
        """See `geventrelay.switch.contract.Way.stop`."""
        self.is_over = True

    def set_tap(self, tap: Callable[[Sequence[bytes]], None] | None) -> None:
        """See `geventrelay.switch.contract.Way.set_tap`, and there of `tap`."""
        self._tap = tap

    def drop(self, run: Run, reason: Drop) -> None:
        """Drop a `run` for a `reason`."""
        self._count(run)
        for outlet in self.counters.outlets:
            outlet.drop(reason, len(run.ends))

    def move(self, run: Run) -> int:
        """Move messages of `run`, as many as every destination has room for; how many, from its beginning."""
        moved, count = 0, len(run.ends)
        if self.is_over:
            self.drop(run, Drop.STOPPED)
            return count
        while moved < count:
            # Room for a few may mean room for more once these are written.
            more = self._move_some(run.piece(moved, count))
            if not more:
                break
            moved += more
        return moved

    def _move_some(self, run: Run) -> int:
        cuts = [lane.cut(run) for lane in self._lanes]
        count = min((lane.room(cut) for lane, cut in zip(self._lanes, cuts, strict=True)), default=len(run.ends))
        if not count:
            return 0
        moved = run.piece(0, count)
        self._count(moved)
        if self._tap is not None:
            for index in range(count):
                self._tap(moved.parts_of(index))
        for lane, cut in zip(self._lanes, cuts, strict=True):
            lane.send(cut.piece(0, count), moved)
        return count

    def _count(self, run: Run) -> None:
        counters = self.counters
        counters.received += len(run.ends)
        counters.received_parts += run.parts
        counters.received_bytes += run.body_bytes
