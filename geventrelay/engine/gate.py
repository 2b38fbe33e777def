"""How many messages a socket may be given at the moment. Pure; the same for both engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def is_request(parts: Sequence[Any]) -> bool:
    """Whether a REP answers a message with these `parts`: one of them, and not the last, is empty. Does not yield.

    What is before it is the way back, and the rest the request (RFC 28). A REP drops any other message without a word
    (rep_t::xrecv in libzmq), so no answer ever comes.
    """
    return any(not len(part) for part in parts[:-1])


class Gate:
    """Permits to give a socket messages: without one it takes none, as if it were full.

    Whatever moves messages counts `permits` down, one for each message that the socket has taken. They may be fewer
    than none, where more messages are out than there should be.

    :param permits: how many messages it may be given to begin with.
    :param of_requests: whether only messages that can be answered take a permit, see `is_request`. The others need one
        to go, and leave it.
    :ivar permits: how many more messages it may be given.
    :ivar listeners: called when it opens: when there are permits and there were none. They must not yield. The one that
        came last is called first, so that those who wait, and come again, take turns.
    """

    __slots__ = ("listeners", "of_requests", "permits")

    def __init__(self, permits: int = 0, *, of_requests: bool = False) -> None:
        self.permits = permits
        self.of_requests = of_requests
        self.listeners: list[Callable[[], None]] = []

    def add(self, count: int) -> None:
        """Let `count` more messages go, or fewer if it is negative. Does not yield."""
        was_closed = self.permits <= 0
        self.permits += count
        if was_closed and self.permits > 0:
            # A copy: they may go, and come again.
            for listener in self.listeners[::-1]:
                listener()

    def take_all(self) -> int:
        """Take back the permits that are left, and return how many. Does not yield."""
        taken = max(0, self.permits)
        self.permits -= taken
        return taken
