"""One file descriptor kept for the moment when none is free.

Without one, libzmq tries again and again to accept a tcp connection that waits, at full load (tcp_listener.cpp). With
this one it accepts the connection, which `SocketPeers` then ends: the connection waits no more, and the descriptor is
free for the next one.
"""

from __future__ import annotations

import contextlib
import os

import gevent

LOOK_S = 1.0
"""How often to look whether it is needed, or can be had again."""


class SpareDescriptor:
    """A descriptor that is held while others are free. Nothing here yields.

    :ivar held: whether it is held.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.look()

    @property
    def held(self) -> bool:
        """Whether it is held."""
        return self._descriptor is not None

    def look(self) -> None:
        """Set it free if no other is free; hold one again once two are, since connections take turns with one alone."""
        if self._descriptor is not None:
            if not _are_free(1):
                self.close()
        elif _are_free(2):
            with contextlib.suppress(OSError):
                self._descriptor = _open()

    def close(self) -> None:
        """Set it free. May be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def keep_spare() -> None:
    """Hold a spare descriptor until the greenlet is killed. Yields."""
    spare = SpareDescriptor()
    try:
        while True:
            gevent.sleep(LOOK_S)
            spare.look()
    finally:
        spare.close()


def _are_free(count: int) -> bool:
    # Opened, not counted: a limit may have been set below numbers that are in use.
    opened: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while len(opened) < count:
                opened.append(_open())
        return len(opened) == count
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
