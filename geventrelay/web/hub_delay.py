"""How late the hub is: what every greenlet of the process waits before it gets its turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import gevent

_EVERY_S = 0.5
_REMEMBERED = int(60 / _EVERY_S)


class HubDelay:
    """Measures how late a timer fires that is to fire twice a second.

    :param clock: tells the time in seconds; `time.monotonic` does.
    :ivar last_s: how late it was the last time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.last_s = 0.0
        self._clock = clock
        self._lately: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def max_s(self) -> float:
        """The latest that it was in the last minute, in seconds."""
        return max(self._lately, default=0.0)

    def run(self) -> None:
        """Measure for ever. Yields."""
        while True:
            due = self._clock() + _EVERY_S
            gevent.sleep(_EVERY_S)
            # gevent takes the time when it starts to look at its timers, so that some fire a moment too early.
            self.note(max(0.0, self._clock() - due))

    def note(self, late_s: float) -> None:
        """Take in that the timer was `late_s` seconds late."""
        self.last_s = late_s
        self._lately.append(late_s)
