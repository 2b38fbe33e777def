"""Which of the connections that bring very many subscriptions may go on: a few at a time. Pure; time is an argument.

When a subscriber leaves, libzmq looks for its topics among those of all subscribers of the socket, in one call
(generic_mtrie_t::rm). So while many connections bring many topics at the same time, the end of each takes the longer,
and the topics of all of them are kept until the last has brought its own. One after the other, they take the same time
in all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

MOST = 2
"""So many may bring very much at the same time."""
QUIET_S = 0.3
"""A connection that has brought little for so long is done."""
TURN_S = 10.0
"""After so long, the next that waits may go on in place of another."""


@dataclass(slots=True)
class _Sender:
    """What one connection has brought of late.

    :ivar level: bytes that count; they leak.
    :ivar at: when it was looked at last, in seconds.
    :ivar busy_at: when it had brought more than leaks away.
    """

    level: float
    at: float
    busy_at: float


class WaitingLine:
    """Who may go on, and who waits.

    :param much_bytes: a connection that has brought more than this at once has to wait if others have, too.
    :param leak_bytes_s: so much in a second does not count.
    """

    def __init__(self, much_bytes: float, leak_bytes_s: float) -> None:
        self._much, self._leak = much_bytes, leak_bytes_s
        self._senders: dict[int, _Sender] = {}
        # Since when each of them goes on.
        self._going_on: dict[int, float] = {}
        # The longest first.
        self._waiting: dict[int, None] = {}

    def forget(self, gone: Collection[int]) -> None:
        """Take in that the connections `gone` have ended. Does not yield."""
        for one in gone:
            self._senders.pop(one, None)
            self._going_on.pop(one, None)
            self._waiting.pop(one, None)

    def look(self, grown: Mapping[int, int], now: float, has_unread: Callable[[int], bool]) -> dict[int, bool]:
        """Which connections have to wait from now on (False), and which that waited may go on (True). Does not yield.

        :param grown: the bytes that each connection has brought since the last look.
        :param now: the time, in seconds.
        :param has_unread: whether something came over a connection that was not read yet.
        """
        waited = set(self._waiting)
        for one, nbytes in grown.items():
            self._count(one, nbytes, now)
        for one, since in list(self._going_on.items()):
            if now - self._senders[one].busy_at >= QUIET_S and not has_unread(one):
                del self._going_on[one]
                self._senders[one].level = 0.0
            elif now - since >= TURN_S and self._waiting:
                del self._going_on[one]
                self._waiting[one] = None
        while self._waiting and len(self._going_on) < MOST:
            one = next(iter(self._waiting))
            del self._waiting[one]
            self._going_on[one] = self._senders[one].busy_at = now
        return {one: one in waited for one in waited.symmetric_difference(self._waiting)}

    def _count(self, one: int, nbytes: int, now: float) -> None:
        sender = self._senders.setdefault(one, _Sender(0.0, now, now))
        leaked = self._leak * max(0.0, now - sender.at)
        if nbytes > leaked:
            sender.busy_at = now
        sender.level, sender.at = max(0.0, sender.level - leaked) + nbytes, now
        if sender.level > self._much and one not in self._going_on:
            self._waiting[one] = None
