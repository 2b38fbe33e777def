"""What has waited too long for a subscriber is dropped, also while nothing is moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .contract import Side

_LEAST_S = 0.01
"""Between two looks: what is too old is dropped so much later at most, and some at a time."""


class Expiry:
    """Looks at what waits when the oldest message of it will be too old, and not at all while nothing waits.

    :param sides: those whose subscribers messages may wait for only so long.
    :param later: calls a function after so many seconds.
    :param on_drop: is called when there may be room again.
    """

    def __init__(
        self, sides: Sequence[Side], later: Callable[[float, Callable[[], None]], None], on_drop: Callable[[], None]
    ) -> None:
        self._sides = sides
        self._later = later
        self._on_drop = on_drop
        self._armed = False

    def arm(self) -> None:
        """Messages were moved, and some may wait. Does not yield."""
        if not self._armed:
            self._armed = True
            # What waits now is no older than this.
            self._later(min(side.plan.subscriber_max_age_s for side in self._sides), self._look)

    def _look(self) -> None:
        now = time.monotonic()
        times = [due for side in self._sides if (due := side.drop_too_old(now)) is not None]
        self._armed = bool(times)
        if times:
            self._later(max(min(times) - now, _LEAST_S), self._look)
        self._on_drop()
