"""The inner loop of a pump: what a burst promises, how much it moves, and why it ends.

A burst moves messages from one source to its outlets with non-blocking calls only. It never yields to the hub,
so what it moves at a time is bounded.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .counters import Drop, PumpCounters
from .outlet import Outlet
from .stages.contract import Stage

CLOCK_INTERVAL_PARTS = 64
"""How many parts a burst reads, at least, between two looks at the clock: a look costs as much as moving a part."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one run of a burst may move: it ends with the message with which one of the limits is reached.

    A run keeps every other greenlet waiting. The defaults are argued for below; docs/performance.rst has figures.

    :ivar messages: how many messages.
    :ivar bytes: how many bytes, of all their parts.
    :ivar parts: how many parts.
    :ivar time_s: how long, in seconds, counted from the first look at the clock: after `CLOCK_INTERVAL_PARTS` parts,
        so that a run of few messages never looks. `math.inf` has no limit.
    :ivar skip_s: how much longer a run goes on that is throwing the rest of a message away, in seconds.
    """

    # A thousand small ones take the native burst 0.1 to 0.3 ms and the one in Python 1 to 2 ms. Fewer are no fairer:
    # from 250 to 4000, a greenlet beside it wakes up equally late, within the noise.
    messages: int = 1000
    # From 4 MB on, large messages cost tens of ms.
    bytes: int = 1024 * 1024
    # Ten parts a message are more than programs send. Empty parts have no bytes to count: a thousand messages of 20,000
    # take seconds. A part of a long message takes the native burst 0.15 to 0.4 us, the one in Python 1.5 us.
    parts: int = 10_000
    # Seldom reached by the native burst. In Python, and on a slow processor, this is what bounds a run.
    time_s: float = 0.002
    # Nothing else comes in over the socket before the end of such a message, and its sender is not found out before its
    # turn. Of the first message of a connection a part takes ten times as long: for each, libzmq tells its I/O thread
    # of the room in the queue (pipe_t::read, where 0 messages are a multiple of the low-water mark).
    skip_s: float = 0.02


NOTHING = Budget(messages=0, bytes=0, parts=0, time_s=0, skip_s=0)
"""Reads nothing; only what is in hand is offered again."""


class Burst(Protocol):
    """The inner loop of one pump.

    By the time `run` returns or raises, every message that it has read is, for each outlet, counted as sent,
    counted as dropped, or in hand. A message in hand is offered again first thing in the next run, to the
    outlets that have not taken it yet; the others do not see it twice.

    A message of more than `max_parts` parts, and one that breaks off, is dropped for each outlet. Only an XPUB's
    messages break off: a subscription within one begins a message of its own. Of a message with too many parts the rest
    is thrown away as it is read, which may take several runs.

    :ivar waiting_for: the index of the first outlet that has yet to take the message in hand; None with none.
    :ivar max_parts: how many parts a message may have; 0 for any number.
    :ivar on_refused: called with the reason and the number of messages when some were dropped in reading. The third is
        the descriptor of the connection of the last that had too many parts (ZMQ_SRCFD), else -1. None for not.
    """

    waiting_for: int | None
    max_parts: int
    on_refused: Callable[[Drop, int, int], None] | None

    @property
    def emptied(self) -> int:
        """How many runs have ended because there was nothing more to read, before the one that goes on."""

    @property
    def counters(self) -> PumpCounters:
        """What it has done so far."""

    def set_tap(self, outlet: Outlet | None) -> None:
        """Offer a copy of each message that is read from now on to `outlet` too; None ends that. Does not yield.

        The copy is no part of the accounting: a tap that cannot take it, or has gone, does not get it.

        :param outlet: has `WhenFull.DROP` and a socket with no other writer at the same time.
        """

    def set_stages(self, stages: Sequence[Stage]) -> None:
        """Have each message that is read from now on pass `stages`, in this order. Does not yield.

        What one does not let pass counts as received, and each outlet drops it for the reason of that stage. The tap
        does not see it.

        :raises TypeError: by the native burst, of a stage that it has not.
        """

    def run(self, budget: Budget) -> Status:
        """Move messages until one of the limits of `budget` is reached. Does not yield.

        :param budget: how much to move; what is in hand is offered first, and takes nothing of it.
        :returns: why it ended.
        :raises zmq.ZMQError: anything but EAGAIN and EHOSTUNREACH, among them ETERM (the context has gone), ENOTSOCK
            (a socket was closed), and EFSM of an outlet with `Outlet.ends_out_of_turn`.
        """

    def pass_over(self) -> None:
        """Count what is in hand as dropped for the outlet that it waits for; the next run goes on with the next one.

        To be called while `waiting_for` is not None. Does not yield.
        """

    def finish(self) -> None:
        """Read the rest of a message that is being thrown away, if there is one. Does not yield; takes no limit.

        To be called before an endpoint of the source is unbound or disconnected: without the pipe of a message that it
        is in the middle of, libzmq aborts the process, or goes on with a part of another (fq_t::recvpipe).
        """


class Status(enum.IntEnum):
    """Why a burst ended, and with it what its pump does next."""

    SOURCE_EMPTY = 0
    """There was nothing more to read: wait for the source."""
    OUTLET_FULL = 1
    """An outlet that blocks has not taken the message in hand: wait for that outlet."""
    BUDGET_SPENT = 2
    """There may be more: let the other greenlets run first."""
