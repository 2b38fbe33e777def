"""How a command that goes on until SIGINT or SIGTERM is ended."""

from __future__ import annotations

from types import TracebackType

import gevent

from ..server import signals


class Interrupted(Exception):
    """SIGINT or SIGTERM has come."""


class until_signal:
    """Runs a ``with`` block; SIGINT or SIGTERM ends the block early, without an error, where it yields."""

    def __init__(self) -> None:
        self._inside = False

    def __enter__(self) -> None:
        self._block, loop = gevent.getcurrent(), gevent.get_hub().loop
        self._inside = True
        self._watchers = signals.watch(
            {number: lambda number: loop.run_callback(self.interrupt) for number in signals.STOP}
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._inside = False
        for watcher in self._watchers:
            watcher.cancel()
        return isinstance(error, Interrupted)

    def interrupt(self) -> None:
        """End the block, as a signal does. Only the hub may call it."""
        # The block may have ended since the signal came.
        if self._inside:
            self._block.throw(Interrupted)
