"""Connections that wait, since more has come over them than their rate allows: in turn, with one timer for a rate."""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from .contract import Rate

if TYPE_CHECKING:
    from .link import Link


_LONGEST_WAIT_S = 1.0


class OverRate:
    """Lets connections go on when there is room for them again. Nothing here yields.

    :param later: calls something in so many seconds, see `geventrelay.switch.driver.Driver.later`.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], None]) -> None:
        self._later = later
        # A timer is set for each of these rates, also where all that waited have ended: there must be no second one.
        # A deque would be walked through for one that leaves.
        self._waiting: dict[Rate, OrderedDict[Link, None]] = {}

    def wait(self, link: Link, rate: Rate) -> None:
        """Have `link` go on reading when its `rate` has room, after those that have waited longer."""
        if rate not in self._waiting:
            self._waiting[rate] = OrderedDict()
            self._set_timer(rate)
        self._waiting[rate][link] = None

    def leave(self, link: Link, rate: Rate) -> None:
        """Have `link`, which has ended, wait for its `rate` no more, if it did."""
        if rate in self._waiting:
            self._waiting[rate].pop(link, None)

    def go_on(self, rate: Rate) -> None:
        """Something of this `rate` has read: where there is room left, have the next one go on."""
        links = self._waiting.get(rate)
        if links and rate.has_room(time.monotonic()):
            link, _ = links.popitem(last=False)
            link.take_room()

    def _set_timer(self, rate: Rate) -> None:
        # A large message may take the rate of hours. A rate whose connections have ended is not kept so long.
        wait_s = min(rate.wait_s(time.monotonic()), _LONGEST_WAIT_S)
        self._later(wait_s, functools.partial(self._on_time, rate))

    def _on_time(self, rate: Rate) -> None:
        self.go_on(rate)
        if self._waiting[rate]:
            self._set_timer(rate)
        else:
            del self._waiting[rate]
