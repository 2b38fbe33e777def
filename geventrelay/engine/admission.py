"""Lets new subscribers wait while the ends of others take very long.

When a subscriber leaves, libzmq walks all topics of the socket, and it takes no pause between one end and the next
(socket_base_t::process_commands). With a million topics, a stranger that connects and leaves ten times a second would
hold everything up for as long as it likes: libzmq lets it in without asking the hub. So, once ends have taken much
time, the kernel keeps back the first bytes of each new connection, and the hub lets one after the other through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import connections

END_S_PER_TOPIC = 0.000_000_5
"""What an end takes for each topic that the socket has, at the most."""
_MOST_S = 0.3
_LONGEST_S = 2.0
_SHARE = 0.1
_LOOK_S = 0.05


@dataclass(slots=True)
class EndCosts:
    """How much time ends have taken of late. Pure; time is an argument.

    :ivar level_s: the time, of which a tenth of each second leaks away.
    :ivar at: when that was, in seconds.
    """

    level_s: float = 0.0
    at: float = 0.0

    def add(self, topics: int, now: float) -> None:
        """Count the end of a subscriber, at the time `now`, of a socket with so many `topics`."""
        self._leak(now)
        # What has been is over: new subscribers are not to wait for minutes.
        self.level_s = min(_LONGEST_S, self.level_s + topics * END_S_PER_TOPIC)

    def has_room(self, topics: int, now: float) -> bool:
        """Whether there is time for one more end, at the time `now`, with so many `topics`."""
        self._leak(now)
        return self.level_s == 0 or self.level_s + topics * END_S_PER_TOPIC <= _MOST_S

    def _leak(self, now: float) -> None:
        self.level_s, self.at = max(0.0, self.level_s - _SHARE * max(0.0, now - self.at)), now


class Admission:
    """The new subscribers of one socket. On Linux, over tcp; elsewhere none waits.

    :param topics: how many topics the socket has.
    """

    def __init__(self, topics: Callable[[], int]) -> None:
        self._topics = topics
        self._costs = EndCosts()
        self._listeners: set[int] = set()
        self._waiting: dict[int, None] = {}
        self._closed = False

    def listening(self, descriptor: int) -> None:
        """The socket listens with this `descriptor`. Does not yield."""
        self._listeners.add(descriptor)

    def not_listening(self, descriptor: int) -> None:
        """It does no more, and the `descriptor` may be another's. Does not yield."""
        self._listeners.discard(descriptor)

    def accepted(self, descriptor: int) -> None:
        """A connection has come, with this `descriptor`. Does not yield."""
        if self._closed:
            self._waiting[descriptor] = None

    def lost(self, descriptor: int, now: float, *, was_peer: bool) -> None:
        """A connection has ended. Does not yield.

        :param descriptor: its descriptor.
        :param now: the time, in seconds.
        :param was_peer: whether its handshake had gone through.
        """
        self._waiting.pop(descriptor, None)
        if was_peer:
            self._costs.add(self._topics(), now)

    def look(self, now: float) -> bool:
        """Let through who may come in at the time `now`; whether new ones have to wait from now on. Does not yield."""
        topics = self._topics()
        while self._waiting and self._costs.has_room(topics, now):
            one = next(iter(self._waiting))
            del self._waiting[one]
            self._costs.add(topics, now)
            connections.take_in_again(one)
        closed = bool(self._waiting) or not self._costs.has_room(topics, now)
        if closed == self._closed:
            return False
        self._closed = closed
        for one in self._listeners:
            if closed:
                connections.take_in_no_data(one)
            else:
                connections.take_in_again(one)
        return closed

    def let_all_in(self) -> None:
        """Let each of them go on. Does not yield."""
        for one in self._waiting:
            connections.take_in_again(one)
        self._waiting.clear()

    @property
    def wait_s(self) -> float | None:
        """How long until the next look, in seconds; None if there is no need for one."""
        return _LOOK_S if self._closed else None
