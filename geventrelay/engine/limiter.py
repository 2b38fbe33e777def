"""Looks at how much the connections of one socket have sent, and says which are to be ended, and which have to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from .connections import has_unread, received_bytes
from .peertable import Connection
from .usage import Bound, Usage
from .waiting_line import WaitingLine

# A stranger's subscriptions come in at some 50 MB a second.
_SUBSCRIBER_LOOK_S = 0.2
# While much comes in.
_HURRIED_LOOK_S = 0.02
_HURRY_AT = 1 / 16
# Of what one may bring, what is very much where several do.
_MUCH = 1 / 16
_UNFINISHED_LOOK_S = 0.25
# While nothing comes in.
_IDLE_LOOK_S = 1.0
# To look at a connection takes some 5 us: with thousands, no more than 2 % of a processor.
_LOOK_S_PER_CONNECTION = 0.000_25


class Limiter:
    """Follows how much each connection of a socket has sent. Nothing of it is in the way of a message.

    :param bound: what each may send.
    :param readable: whether the socket has something to read.
    :ivar read_bytes: how many bytes of messages have been read from the socket; None where that is not counted.
    """

    def __init__(self, bound: Bound, readable: Callable[[], bool]) -> None:
        self.bound = bound
        self.read_bytes: Callable[[], int] | None = None
        self._readable = readable
        self._usages: dict[int, tuple[Connection, Usage]] = {}
        self._line = WaitingLine(_MUCH * bound.burst_bytes, _MUCH * bound.rate_bytes_s)
        self._changes: dict[int, bool] = {}
        self._read_before = 0
        self._next = 0.0
        self._hurried = False

    def wait_s(self, now: float) -> float:
        """How long until the next look, in seconds, from `now`. Does not yield."""
        return max(0.0, self._next - now)

    def look(self, connections: Mapping[int, Connection], now: float) -> list[tuple[int, Connection]]:
        """The connections that have sent too much, with their descriptors; none before the next look. Does not yield.

        :param connections: all of the socket's, by descriptor.
        :param now: the time, in seconds.
        """
        if now < self._next:
            return []
        kept = self._usages
        self._usages = {
            descriptor: kept[descriptor]
            if descriptor in kept and kept[descriptor][0] is connection
            # What it has sent before the first look counts too.
            else (connection, Usage(0, now))
            for descriptor, connection in connections.items()
        }
        self._line.forget([one for one in kept if one not in connections or kept[one][0] is not connections[one]])
        return list(self._look(now)) if connections else []

    def waiting(self) -> list[tuple[int, Connection, bool]]:
        """Which connections have to wait from now on, and which go on, since the last call. Does not yield.

        :returns: the descriptor of each, which it is, and whether it goes on.
        """
        changes, self._changes = self._changes, {}
        return [(one, self._usages[one][0], goes_on) for one, goes_on in changes.items() if one in self._usages]

    def _look(self, now: float) -> Iterator[tuple[int, Connection]]:
        received = {one: received_bytes(one) or 0 for one in self._usages}
        grown = {one: received[one] - usage.received for one, (_, usage) in self._usages.items()}
        most = max(grown.values())
        if not self.bound.reads:
            # A user has chosen what this end connects to.
            accepted = {one: max(0, grown[one]) for one, (connection, _) in self._usages.items() if connection.accepted}
            self._changes = self._line.look(accepted, now, has_unread)
        # Asked only now: what came in before that and can be read has been read, or shows as readable.
        idle = not self.bound.reads or most <= 0 or not self._readable()
        read_bytes = self._newly_read() if most > 0 else 0
        for descriptor, (connection, usage) in self._usages.items():
            # Another connection's, for a moment: this one's end is still to be told.
            if received[descriptor] >= usage.received and usage.look(
                self.bound, received[descriptor], now, read_bytes=read_bytes, idle=idle
            ):
                yield descriptor, connection
        self._next = now + self._interval_s(most)

    def _newly_read(self) -> int:
        if self.read_bytes is None or not self.bound.reads:
            return 0
        total = self.read_bytes()
        newly, self._read_before = total - self._read_before, total
        return newly

    def _interval_s(self, most: int) -> float:
        if self.bound.reads:
            usual = _UNFINISHED_LOOK_S if most > 0 else _IDLE_LOOK_S
        else:
            usual = _HURRIED_LOOK_S if most > _HURRY_AT * self.bound.burst_bytes else _SUBSCRIBER_LOOK_S
        return max(usual, len(self._usages) * _LOOK_S_PER_CONNECTION)
