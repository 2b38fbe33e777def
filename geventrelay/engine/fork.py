"""Whether this process is a forked child of the one in which something was made.

libzmq's sockets do not survive a fork: a child that used one would take the parent's wake-ups and corrupt its state.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Pausable(Protocol):
    """What moves messages and can be paused."""

    def pause(self) -> None:
        """Move nothing more. Must not yield."""


class ForkCount:
    """Counts the fork between the first process and this one, in `number`."""

    def __init__(self) -> None:
        self.number = 0
        self.pausables: weakref.WeakSet[Pausable] = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._next)

    def _next(self) -> None:
        self.number += 1
        for one in tuple(self.pausables):
            one.pause()


fork_count = ForkCount()
"""The one of this process."""


def current() -> int:
    """A number that differs between a process and its forked children; cheaper than asking for the pid."""
    return fork_count.number


def pause_in_children(one: Pausable) -> None:
    """Have `one` paused in every child that is forked from now on, before any greenlet runs there.

    A child has a copy of each greenlet. One that was about to read would call libzmq, which answers EINTR to all calls
    in a forked child; pyzmq takes that for a signal and calls again, for ever.
    """
    fork_count.pausables.add(one)
