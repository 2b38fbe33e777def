"""How fast a peer is, from what was counted at two looks. Pure; time is an argument."""

from __future__ import annotations

_LEAST_S = 1.0


class Meter:
    """The rates between the last two looks that were at least a second apart.

    :param now: the time, in seconds.
    :ivar per_s: the rate of each number, per second; None before the second look.
    """

    def __init__(self, now: float) -> None:
        self.per_s: tuple[float, ...] | None = None
        self._at = now
        self._numbers: tuple[int, ...] = ()

    def look(self, now: float, *numbers: int) -> None:
        """Take what has been counted.

        :param now: the time, in seconds.
        :param numbers: the counts, the same each time. They begin at 0.
        """
        passed = now - self._at
        if passed < _LEAST_S:
            return
        before = self._numbers or (0,) * len(numbers)
        self.per_s = tuple(round((one - other) / passed, 2) for one, other in zip(numbers, before, strict=True))
        self._at, self._numbers = now, numbers
