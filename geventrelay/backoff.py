"""How long to wait after each failure before the next try. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays that double with every failure, up to a longest one, and begin anew after a while without any.

    Each is shortened by up to a half at random: what failed together must not all come back together.

    :param first_s: the first delay, in seconds.
    :param longest_s: the longest, in seconds; what ran longer than that begins anew.
    :param chance: gives a number from 0 to 1, of which 1 shortens nothing.
    """

    def __init__(
        self, first_s: float = 0.1, longest_s: float = 30.0, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._failures = 0

    def after(self, ran_s: float) -> float:
        """The delay after one more failure, in seconds.

        :param ran_s: how long it ran before it failed, in seconds; 0 if it did not start at all.
        """
        if ran_s > self._longest_s:
            self._failures = 0
        # A power of 2 that has outgrown every delay need not be computed, and one of 2000 could not be.
        doubled = float(2 ** min(self._failures, 64))
        delay_s = min(self._longest_s, self._first_s * doubled)
        self._failures += 1
        return delay_s * (1 + self._chance()) / 2
