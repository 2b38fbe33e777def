"""Gives memory back to the system after a flood: the C library keeps what was freed between things that are in use.

A flood makes libzmq allocate some gigabytes in small pieces. glibc gives back what lies at the end of its heaps;
malloc_trim(3) gives back whole pages in their middle too.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

import gevent

GROWN_BYTES = 64 << 20
"""So much more than there was once is worth a try."""
LOOK_S = 5.0
_LONGEST_S = 30.0
_GAINED = 0.02


@dataclass(slots=True)
class TrimPlan:
    """When to try. Pure: sizes and times are arguments.

    :ivar least: the least resident memory that was seen, in bytes.
    :ivar last: that after the last try.
    :ivar wait_s: how long to wait after it.
    :ivar due_s: when the next try may be.
    """

    least: int
    last: int = 0
    wait_s: float = LOOK_S
    due_s: float = 0.0

    def is_due(self, resident: int, now: float) -> bool:
        """Whether to try now.

        :param resident: the memory that the process has now, in bytes.
        :param now: the time, in seconds.
        """
        self.least = min(self.least, resident)
        if resident > self.last + GROWN_BYTES:
            # It has grown since: the waiting begins anew.
            self.wait_s, self.due_s = LOOK_S, min(self.due_s, now)
        return resident > self.least + GROWN_BYTES and now >= self.due_s

    def tried(self, before: int, after: int, now: float) -> None:
        """Take in what a try has come to: resident bytes `before` and `after` it, and the time `now`, in seconds.

        A process that needs what it has is left alone ever longer.
        """
        gained = before - after > _GAINED * before
        self.wait_s = LOOK_S if gained else min(_LONGEST_S, self.wait_s * 2)
        self.last, self.due_s = after, now + self.wait_s


def resident_bytes() -> int:
    """The memory that this process has now; 0 where the system does not say. Does not yield."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def give_back() -> None:
    """Go on giving memory back without end; at once where the C library has no malloc_trim. Yields."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None or not resident_bytes():
        return
    hub = gevent.get_hub()
    plan = TrimPlan(least=resident_bytes())
    while True:
        gevent.sleep(LOOK_S)
        before = resident_bytes()
        if plan.is_due(before, hub.loop.now()):
            # It takes a while for a large heap, and needs no lock of Python's.
            hub.threadpool.apply(trim, (0,))
            plan.tried(before, resident_bytes(), hub.loop.now())
