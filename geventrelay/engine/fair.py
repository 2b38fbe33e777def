"""Lets every other greenlet run once, and the hub look at its timers and descriptors, before going on."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from gevent.hub import Waiter, get_hub


class FairYield:
    """How a greenlet that has more to do lets the others run first; to be used in a ``with`` block.

    `gevent.sleep` of 0 does not do that under load. gevent runs callbacks in batches of 50 before it looks at anything
    else, so greenlets that all sleep for 0 keep a timer that is due waiting for dozens of their rounds. A timer of 0
    comes back after the hub has looked; the one here is made once and used until the block ends.
    """

    def __init__(self) -> None:
        hub: Any = get_hub()
        self._waiter: Any = Waiter(hub)
        self._timer: Any = hub.loop.timer(0.0)

    def __enter__(self) -> FairYield:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # libuv keeps every timer that was made in a list until it is closed, started or not. gevent frees one that is
        # only forgotten: libuv would then write into memory that has another owner.
        self._timer.close()

    def wait(self) -> None:
        """Yield to the hub until everything else that was due has had its turn."""
        self._waiter.clear()
        self._timer.start(self._waiter.switch, None)
        try:
            self._waiter.get()
        finally:
            self._timer.stop()
