"""The last quarter of an hour of every device, in steps of five seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

STEP_S = 5
KEPT = 15 * 60 // STEP_S


@dataclass(frozen=True, slots=True)
class Totals:
    """What had been counted at one moment: messages `received` and `dropped` up to then, and those `held` just then.

    Deliveries `lost` are counted with engine zmtp alone.
    """

    received: int
    dropped: int
    held: int
    lost: int = 0


class Series:
    """Values of one device, the oldest first: `received`, `dropped` and `lost` per second, and what was `held`."""

    __slots__ = ("_before", "dropped", "held", "lost", "received")

    def __init__(self) -> None:
        self.received: deque[float] = deque(maxlen=KEPT)
        self.dropped: deque[float] = deque(maxlen=KEPT)
        self.lost: deque[float] = deque(maxlen=KEPT)
        self.held: deque[int] = deque(maxlen=KEPT)
        self._before: tuple[float, Totals] | None = None

    def add(self, now_s: float, totals: Totals) -> None:
        """Add what had been counted at `now_s`, in seconds. The first `totals` give no rates yet."""
        before, self._before = self._before, (now_s, totals)
        if before is None or now_s <= before[0]:
            return
        seconds = now_s - before[0]
        # A device that was removed and added again counts from nothing.
        self.received.append(max(0, totals.received - before[1].received) / seconds)
        self.dropped.append(max(0, totals.dropped - before[1].dropped) / seconds)
        self.lost.append(max(0, totals.lost - before[1].lost) / seconds)
        self.held.append(totals.held)


class History:
    """The series of every device there is, by its name; `devices` has them."""

    def __init__(self) -> None:
        self.devices: dict[str, Series] = {}

    def add(self, now_s: float, totals: Mapping[str, Totals]) -> None:
        """Add the `totals` of every device at `now_s`, in seconds. Devices that are not among them are removed."""
        self.devices = {name: self.devices.get(name) or Series() for name in totals}
        for name, one in totals.items():
            self.devices[name].add(now_s, one)
