"""How late the hub is: how long every greenlet of the process waits until it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import gevent

_EVERY_S = 0.5
_REMEMBERED = int(60 / _EVERY_S)


class HubDelay:
    """Measures how late a timer fires that is due twice a second.

    :param clock: returns the time in seconds.
    :ivar last_s: the last delay, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.last_s = 0.0
        self._clock = clock
        self._lately: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def max_s(self) -> float:
        """The longest delay in the last minute, in seconds."""
        return max(self._lately, default=0.0)

    def run(self) -> None:
        """Measure for ever. Yields."""
        while True:
            due = self._clock() + _EVERY_S
            gevent.sleep(_EVERY_S)
            # gevent reads the clock before it checks its timers, so some timers fire a moment too early.
            self.note(max(0.0, self._clock() - due))

    def note(self, late_s: float) -> None:
        """Note that the timer was `late_s` seconds late."""
        self.last_s = late_s
        self._lately.append(late_s)
