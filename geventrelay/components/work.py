"""What a backbone is told of a device's work: messages for one worker each, which may be somewhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..engine.gate import Gate


class Work(Protocol):
    """Which messages have no room here, and how much room there is for those of others. The same for both engines.

    Everything is called in the thread of the device's hub.

    :ivar gate: how many messages may leave by `BACKBONE_WORK_OUT`; none to begin with.
    :ivar on_hungry: set by the one who adds permits. Called with True when a message begins to wait because there is
        no room here and no permit, and with False when none waits any more. Where messages are dropped instead, called
        with True for each burst that has dropped some. Must not yield; may be called from the hub.
    """

    gate: Gate
    on_hungry: Callable[[bool], None]

    @property
    def is_hungry(self) -> bool:
        """Whether a message waits now because there is no room here and no permit. Does not yield."""

    @property
    def taken(self) -> int:
        """How many messages that came in by `BACKBONE_WORK_IN` have been handed on. Does not yield."""

    def room(self) -> int:
        """How many messages this device's own workers would take now without waiting; 0 for none. Does not yield.

        None while the device is paused or about to stop.
        """

    def when_room(self, call: Callable[[], None]) -> None:
        """Call `call` once, soon and from another greenlet, when there is room; also if there is some now.

        Only the last one that was given is called. Does not yield.
        """
