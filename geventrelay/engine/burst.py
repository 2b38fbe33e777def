"""The inner loop of a pump: what a burst promises, and why one ends.

A burst moves messages from one source to its outlets with non-blocking calls only. It never yields to the hub,
so what it moves at a time is bounded.
"""

from __future__ import annotations

import enum
from typing import Protocol

from .counters import PumpCounters
from .outlet import Outlet


class Burst(Protocol):
    """The inner loop of one pump.

    By the time `run` returns or raises, every message that it has read is, for each outlet, counted as sent,
    counted as dropped, or in hand. A message in hand is offered again first thing in the next run, to the
    outlets that have not taken it yet; the others do not see it twice.

    :ivar waiting_for: the index of the first outlet that has yet to take the message in hand; None with none.
    """

    waiting_for: int | None

    @property
    def counters(self) -> PumpCounters:
        """What it has done so far."""

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield.

        The copy is no part of the accounting: a tap that cannot take it, or has gone, goes without. `outlet` is to have
        `WhenFull.DROP` and a socket that nobody else writes to at the same time.
        """

    def run(self, messages: int, limit_bytes: int) -> Status:
        """Move up to `messages` messages, or the one with which `limit_bytes` is reached. Does not yield.

        Raises `zmq.ZMQError` for anything but EAGAIN and EHOSTUNREACH, among them ETERM (the context has gone)
        and ENOTSOCK (a socket was closed).
        """


class Status(enum.IntEnum):
    """Why a burst ended, and with it what its pump does next."""

    SOURCE_EMPTY = 0
    """There was nothing more to read: wait for the source."""
    OUTLET_FULL = 1
    """An outlet that blocks has not taken the message in hand: wait for that outlet."""
    BUDGET_SPENT = 2
    """There may be more: let the other greenlets run first."""
