"""Slows connections of libzmq's down: their peers have to wait, and nothing of what they send is lost.

The kernel lets a peer send what the receive buffer has room for. With the smallest buffer, some 10 kB a second come
over a connection, and the peer goes on at once when the buffer is as it was.
"""

from __future__ import annotations

import contextlib

from . import connections
from .peertable import Connection


class Narrowing:
    """The connections of one socket that are slowed down: over tcp, where they can be told apart (Linux)."""

    def __init__(self) -> None:
        self._buffers: dict[int, int] = {}

    def narrow(self, descriptor: int, connection: Connection) -> None:
        """Slow a connection down. Does not yield.

        :param descriptor: libzmq's.
        :param connection: which one it is; another that has the descriptor by now is left alone.
        """
        self._buffers.pop(descriptor, None)
        before = self._set(descriptor, connection, 1)
        if before is not None:
            self._buffers[descriptor] = before

    def widen(self, descriptor: int, connection: Connection) -> None:
        """Let a `connection`, which has a `descriptor`, go on as it was before `narrow`. Does not yield."""
        before = self._buffers.pop(descriptor, None)
        if before is not None:
            self._set(descriptor, connection, before)

    @staticmethod
    def _set(descriptor: int, connection: Connection, nbytes: int) -> int | None:
        with contextlib.suppress(OSError):
            held = connections.Held(descriptor)
            try:
                if connection.cookie is not None and connections.cookie(held.descriptor) == connection.cookie:
                    return connections.set_receive_buffer(held.descriptor, nbytes)
            finally:
                held.close()
        return None
