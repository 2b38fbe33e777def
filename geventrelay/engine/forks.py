"""Tells whether this process is a forked child of the one in which something was made.

libzmq's sockets do not survive a fork: a child that used one would take the parent's wake-ups and corrupt its state.
"""

from __future__ import annotations

import os


class _Generation:
    """Counts the forks between the first process and this one."""

    def __init__(self) -> None:
        self.number = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._next)

    def _next(self) -> None:
        self.number += 1


_generation = _Generation()


def current() -> int:
    """A number that differs between a process and its forked children; cheaper than asking for the pid."""
    return _generation.number
