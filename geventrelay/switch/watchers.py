"""What tells that a connection can be read from, or written to."""

from __future__ import annotations

from typing import Any

from gevent.hub import get_hub

_READ, _WRITE = 1, 2


class Watchers:
    """The two watchers of one descriptor, on the hub of this thread. Nothing here yields.

    :param number: the descriptor, which is open until `close`.
    :ivar reader: None once they are closed, and `writer` likewise.
    """

    __slots__ = ("reader", "writer")

    def __init__(self, number: int) -> None:
        loop: Any = get_hub().loop
        self.reader: Any = loop.io(number, _READ)
        self.writer: Any = loop.io(number, _WRITE)

    @property
    def closed(self) -> bool:
        """Whether they have been closed."""
        return self.reader is None

    def close(self) -> None:
        """End the watching. May be called twice."""
        for watcher in (self.reader, self.writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self.reader = self.writer = None
