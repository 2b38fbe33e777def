"""One way of engine zmtp, as a device counts and taps it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import zmq

from ..engine.counters import Drop, OutletCounters, OutletSnapshot, PumpSnapshot
from ..engine.lane_python import PythonLane
from ..engine.outlet import Outlet
from ..switch.contract import Forgotten, Side, Way
from .component import Component
from .plan import PumpPlan
from .replay import ReplayCounts, ReplayRefusal

# So that the sums over all outlets are what there is.
_TOLD_ELSEWHERE: dict[str, Any] = {
    "matched": 0,
    "delivered": 0,
    "lost": {},
    "waiting": 0,
    "waiting_bytes": 0,
    "forbidden_subscriptions": 0,
}


class Mover(Protocol):
    """The component that moves the messages of a way; see `geventrelay.components.switch.Switch`.

    :ivar left_unread: whether bytes that had come were not read to the end.
    """

    left_unread: bool

    def replay_counts(self, side: Side) -> ReplayCounts | None:
        """What the replay port has done, if it answers from what `side` has published. Does not yield."""


class Direction(Component):
    """One way of a switch, as the device counts and taps it.

    :param plan: what it joins.
    :param switch: the component that moves its messages.
    :ivar outlets: the keys of the sockets that it leads to.
    :ivar way: the way itself; None before the switch is open.
    :ivar sides: what the core makes of each of these sockets and of its alternative; none before the switch is open.
        One that another way tells of is not there: it would be counted twice.
    """

    runs = False

    def __init__(self, plan: PumpPlan, switch: Mover) -> None:
        self.key = plan.source
        self.way: Way | None = None
        self.outlets = [outlet.socket for outlet in plan.outlets]
        self.sides: list[Sequence[Side]] = []
        self._switch = switch

    @property
    def pump(self) -> Direction:
        """This, as what a tap watches."""
        return self

    def set_tap(self, outlet: Outlet | None) -> None:
        """Copy every message to `outlet` from now on; None ends that. Does not yield."""
        if self.way is not None:
            self.way.set_tap(None if outlet is None else _copier(outlet))

    def stop(self) -> None:
        """Move nothing more: what comes from now on is dropped. Does not yield."""
        if self.way is not None:
            self.way.stop()

    def snapshot(self) -> PumpSnapshot | None:
        """What it has counted; None if it was never open. Does not yield."""
        if self.way is None:
            return None
        counters = self.way.counters
        outlets = tuple(
            _outlet(key, counted, sides, [self._switch.replay_counts(side) for side in sides])
            if sides
            else OutletSnapshot.of(key, counted, 0, **_TOLD_ELSEWHERE)
            for key, counted, sides in zip(self.outlets, counters.outlets, self.sides, strict=True)
        )
        found = PumpSnapshot.of(self.key, counters, outlets)
        return dataclasses.replace(found, left_unread=True) if self._switch.left_unread else found


def _outlet(
    key: str, counters: OutletCounters, sides: Sequence[Side], replays: Sequence[ReplayCounts | None]
) -> OutletSnapshot:
    several = [side.counts() for side in sides]
    lost: Counter[Drop] = Counter()
    for counts in several:
        lost.update(counts.dropped)
    return OutletSnapshot.of(
        key,
        counters,
        0,
        matched=sum(counts.matched for counts in several),
        delivered=sum(counts.delivered for counts in several),
        lost=dict(lost),
        waiting=sum(counts.waiting for counts in several),
        waiting_bytes=sum(counts.waiting_bytes for counts in several),
        forbidden_subscriptions=sum(counts.forbidden_subscriptions for counts in several),
        **{name: value for side in sides for name, value in {**_last_values(side), **_log(side)}.items()},
        **{name: value for replay in replays if replay is not None for name, value in _replay(replay).items()},
    )


def _last_values(side: Side) -> dict[str, Any]:
    kept = side.kept_values()
    if kept is None:
        return {}
    return {
        "last_values": kept.count,
        "last_values_bytes": kept.nbytes,
        "last_values_given": kept.given,
        "last_values_forgotten": {one.value: kept.forgotten.get(one, 0) for one in Forgotten},
    }


def _log(side: Side) -> dict[str, Any]:
    state = side.log_state()
    if state is None:
        return {}
    return {
        "log_messages": state.next - state.oldest,
        "log_bytes": state.nbytes,
        "log_oldest": state.oldest,
        "log_next": state.next,
        "log_forgotten_for_memory": state.for_memory,
    }


def _replay(counts: ReplayCounts) -> dict[str, Any]:
    return {
        "replay_requests": counts.requests,
        "replay_messages": counts.messages,
        "replay_lost": counts.lost,
        "replay_refused": {one.value: counts.refused.get(one, 0) for one in ReplayRefusal},
        "replay_readers": counts.readers,
    }


def _copier(outlet: Outlet) -> Callable[[Sequence[bytes]], None]:
    """What sends a copy of each message to `outlet`, a tap's."""
    lane = PythonLane(outlet, OutletCounters())

    def copy(parts: Sequence[bytes]) -> None:
        # Whatever becomes of it: a tap must not affect the traffic.
        with contextlib.suppress(zmq.ZMQError):
            lane.offer(parts)

    return copy
