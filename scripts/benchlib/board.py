"""The board: numbers that a child process writes and the parent reads while both run.

A message to ask for a count would itself be load; reading mapped memory is not.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

SLOTS = 256
TIMES = 1 << 17


class _Layout(ctypes.Structure):
    """The same as ``struct board`` in ``load.c``: machine words, so that each is read and written whole."""

    _fields_ = (
        ("stop", ctypes.c_uint64),
        ("times", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 6),
        ("count", ctypes.c_uint64 * SLOTS),
        ("time_ns", ctypes.c_uint64 * TIMES),
    )


class Board:
    """Counts per socket, a ring of times, and the flag that ends a run; kept in the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("a+b") as file:
            file.truncate(ctypes.sizeof(_Layout))
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(_Layout))
        self.layout = _Layout.from_buffer(self._memory)

    @property
    def address(self) -> int:
        return ctypes.addressof(self.layout)

    @property
    def stopped(self) -> bool:
        return bool(self.layout.stop)

    def clear(self) -> None:
        """Get ready for another run; only while no child writes."""
        self.layout.times = 0
        ctypes.memset(self.layout.count, 0, ctypes.sizeof(self.layout.count))
        self.layout.stop = 0

    def stop(self) -> None:
        self.layout.stop = 1

    def counts(self, slots: int) -> list[int]:
        return list(self.layout.count[:slots])

    def note_time(self, time_ns: int) -> None:
        self.layout.time_ns[self.layout.times % TIMES] = time_ns
        self.layout.times += 1

    def times_since(self, mark: int) -> list[int]:
        """What was noted since ``layout.times`` stood at ``mark``, of which the newest ``TIMES`` at most."""
        until = int(self.layout.times)
        return [self.layout.time_ns[i % TIMES] for i in range(max(mark, until - TIMES), until)]
