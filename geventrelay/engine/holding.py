"""Holds connections back for a moment: the kernel takes in nothing that their peers send, who send it again later.

For connections that may be the ones over which messages of too many parts come, while that is not certain. Ending one
could hit another peer; letting it go on could bring in more than can be dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from . import connections, descriptors
from .peertable import Connection

HOLD_S = 2.0
"""How long after the last message: the next one with the same descriptor may come after some of all other senders."""
_LOOK_S = 0.02
_MOST = 64


@dataclass(slots=True)
class _Held:
    connection: Connection
    own: connections.Held
    until: float


class Holding:
    """The connections of one socket that are held back. On Linux, over tcp; elsewhere nothing is held."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    def hold(self, descriptor: int, connection: Connection, now: float) -> None:
        """Hold a connection back from now on, or longer. Does not yield.

        :param descriptor: libzmq's; where it has gone to another connection just now, that one is held.
        :param connection: which one it is.
        :param now: the time, in seconds.
        """
        held = self._held.get(descriptor)
        if held is not None and held.connection is not connection:
            self._let_go(descriptor)
            held = None
        if held is not None:
            held.until = now + HOLD_S
        elif len(self._held) < _MOST and descriptors.free() > 2 * descriptors.RESERVE:
            with contextlib.suppress(OSError):
                own = connections.Held(descriptor)
                if connections.take_in_nothing(own.descriptor):
                    self._held[descriptor] = _Held(connection, own, now + HOLD_S)
                else:
                    own.close()

    def look(self, is_certain: Callable[[int], bool], now: float) -> None:
        """Let the connections go on whose time is over, and those that `is_certain` is true for. Does not yield.

        :param is_certain: whether what comes with a descriptor is from its connection.
        :param now: the time, in seconds.
        """
        for descriptor in [one for one, held in self._held.items() if now >= held.until or is_certain(one)]:
            self._let_go(descriptor)

    def let_all_go(self) -> None:
        """Let each of them go on. Does not yield."""
        for descriptor in list(self._held):
            self._let_go(descriptor)

    @property
    def wait_s(self) -> float | None:
        """How long until the next look, in seconds; None if none is held."""
        return _LOOK_S if self._held else None

    def _let_go(self, descriptor: int) -> None:
        own = self._held.pop(descriptor).own
        connections.take_in_again(own.descriptor)
        own.close()
