"""A model of a log: what was published, and what of it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from geventrelay.switch.contract import LogPlan, LogState

from .switch import wire

Parts = list[bytes]
MOST_READ_BYTES = 1 << 20


@dataclass
class Kept:
    """What a log has, message by message.

    :ivar plan: its bounds; they may be replaced.
    :ivar half: of the memory budget.
    """

    plan: LogPlan
    half: int = 1 << 62
    for_memory: int = 0
    kept: dict[int, tuple[float, Parts]] = field(default_factory=dict)
    next: int = 0
    nbytes: int = 0

    def __post_init__(self) -> None:
        self.next = self.plan.first

    def publish(self, parts: Parts, at: float = 0.0) -> None:
        """Take in a message that came at the time `at`."""
        self.kept[self.next] = (at, parts)
        self.next += 1
        self.nbytes += len(wire(*parts))
        while (self.plan.messages and len(self.kept) > self.plan.messages) or self.nbytes > self.plan.nbytes:
            self._forget()
        self.grow_old(at)
        while self.nbytes > self.half:
            self._forget()
            self.for_memory += 1

    def grow_old(self, now: float) -> None:
        while self.plan.max_age_s and self.kept and self.kept[self.oldest][0] < now - self.plan.max_age_s:
            self._forget()

    def _forget(self) -> None:
        _, parts = self.kept.pop(self.oldest)
        self.nbytes -= len(wire(*parts))

    @property
    def oldest(self) -> int:
        return next(iter(self.kept), self.next)

    def state(self) -> LogState:
        return LogState(self.oldest, self.next, self.nbytes, self.for_memory)

    def read(
        self, first: int, last: int, prefixes: tuple[bytes, ...], most: int
    ) -> tuple[list[tuple[int, Parts]], int]:
        """What `Side.logged` gives where time is no matter."""
        found: list[tuple[int, Parts]] = []
        nbytes, number = 0, max(first, self.oldest)
        while number <= last and number < self.next and len(found) < most:
            parts = self.kept[number][1]
            if not prefixes or parts[0].startswith(prefixes):
                nbytes += len(wire(*parts))
                if found and nbytes > MOST_READ_BYTES:
                    break
                found.append((number, parts))
            number += 1
        return found, number
