"""What the cores of one hub keep for peers, and what is done when that is too much."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...engine.counters import Drop
from ...zmtp.errors import Fault
from ..contract import SUBSCRIPTIONS_WHAT, UNFINISHED_WHAT, SlowSubscriber

if TYPE_CHECKING:
    from .core import PythonCore
    from .peer import Peer

_UNLIMITED = 1 << 62
_MOST_STEPS = 64
"""Connections that are ended, or times that queues are cut, in one go."""


class Kept:
    """What one core keeps for peers. It goes with the core, whatever was left of it.

    :ivar used_bytes: all of it.
    :ivar lost_bytes: of it, what is counted of subscribers' losses by topic.
    :ivar dying_bytes: of it, what connections that have ended leave behind, which is forgotten a little at a time.
    :ivar stored_bytes: of it, last values and logs, which can be forgotten at any time.
    """

    __slots__ = ("dying_bytes", "lost_bytes", "stored_bytes", "used_bytes")

    def __init__(self) -> None:
        self.used_bytes = 0
        self.lost_bytes = 0
        self.dying_bytes = 0
        self.stored_bytes = 0

    def store(self, nbytes: int) -> None:
        """Count `nbytes` more, or less, of last values and logs."""
        self.used_bytes += nbytes
        self.stored_bytes += nbytes


class Account:
    """`geventrelay.switch.contract.Account`, for cores in Python.

    :ivar tight: whether senders are held back: from 3/4 of the limit on, until less than 5/8 is used. Last values and
        logs do not count: they make room.
    """

    def __init__(self) -> None:
        self.tight = False
        self._limit = _UNLIMITED
        self._cores: weakref.WeakSet[PythonCore] = weakref.WeakSet()

    @property
    def used_bytes(self) -> int:
        """See `geventrelay.switch.contract.Account`."""
        return sum(core.kept.used_bytes for core in self._cores)

    @property
    def living_bytes(self) -> int:
        """The same without what connections that have ended leave behind."""
        return sum(core.kept.used_bytes - core.kept.dying_bytes for core in self._cores)

    @property
    def most_kept_bytes(self) -> int:
        """How much the last values of one side may take, and likewise a log."""
        return self._limit // 2

    @property
    def has_room_for_losses(self) -> bool:
        """Whether more may be counted of subscribers' losses by topic."""
        return sum(core.kept.lost_bytes for core in self._cores) < self._limit // 8

    @property
    def limit_bytes(self) -> int:
        """See `geventrelay.switch.contract.Account`."""
        return 0 if self._limit == _UNLIMITED else self._limit

    @limit_bytes.setter
    def limit_bytes(self, limit: int) -> None:
        """Keep to `limit` from now on."""
        self._limit = limit or _UNLIMITED
        self.keep()

    def join(self, core: PythonCore) -> None:
        """What `core` keeps is counted here."""
        self._cores.add(core)

    def keep(self) -> None:
        """Keep to the limit. To be called now and then when memory has been taken or given back."""
        if self.used_bytes > self._limit and self.living_bytes > self._limit:
            self._shed()
        used = sum(core.kept.used_bytes - core.kept.stored_bytes for core in self._cores)
        if self.tight:
            if used < self._limit // 8 * 5:
                self.tight = False
                for core in list(self._cores):
                    # Senders may go on.
                    core.call_attention()
        elif used > self._limit // 4 * 3:
            self.tight = True

    def _shed(self) -> None:
        """Come down to 7/8 of the limit: what this costs then comes seldom."""
        for _ in range(_MOST_STEPS):
            if self.living_bytes <= self._limit - self._limit // 8 or not self._shed_largest():
                break
        for core in list(self._cores):
            if core.shed:
                core.call_attention()

    def _shed_largest(self) -> bool:
        """Drop or end what is the most of all; False if there is nothing."""
        peers = list(self._peers())
        waiting = max((peer.can_drop_bytes for peer in peers), default=0)
        sender = max(peers, key=lambda peer: peer.unfinished_bytes, default=None)
        subscriber = max(peers, key=lambda peer: peer.subscribed_bytes, default=None)
        unfinished = 0 if sender is None else sender.unfinished_bytes
        subscribed = 0 if subscriber is None else subscriber.subscribed_bytes
        if self._forget_kept(max(waiting, unfinished, subscribed)):
            return True
        if sender is None or subscriber is None:
            return False
        if waiting and waiting >= max(unfinished, subscribed):
            for peer in peers:
                if peer.can_drop_bytes and peer.queue.nbytes > waiting // 2:
                    _cut(peer, waiting // 2)
        elif unfinished and unfinished >= subscribed:
            sender.end(Fault.MEMORY, UNFINISHED_WHAT.format(unfinished))
            sender.forget_rest()
            sender.core.call_attention()
        elif subscribed:
            subscriber.end(Fault.MEMORY, SUBSCRIPTIONS_WHAT.format(subscribed))
            subscriber.side.forget_subscriptions(subscriber)
            subscriber.core.call_attention()
        return bool(waiting or unfinished or subscribed)

    def _forget_kept(self, least: int) -> bool:
        """Forget half of the largest log or last values of one side, if these are at `least` so many bytes."""
        sides = [side for core in list(self._cores) for side in core.sides]
        kept = [one for side in sides for one in (side.last_values, side.log) if one is not None]
        largest = max(kept, key=lambda one: one.nbytes, default=None)
        if largest is None or not largest.nbytes or largest.nbytes < least:
            return False
        largest.forget_to(largest.nbytes // 2)
        return True

    def _peers(self) -> Iterator[Peer]:
        for core in list(self._cores):
            for side in core.sides:
                yield from side.peers


def _cut(peer: Peer, nbytes: int) -> None:
    """Drop the oldest that waits for `peer`, until `nbytes` are left."""
    if peer.side.plan.slow_subscriber is SlowSubscriber.DISCONNECT and peer.connected:
        dropped = peer.queue.clear()
        peer.side.end_slow(peer)
    else:
        dropped = peer.queue.drop_to(nbytes)
    peer.lose(Drop.MEMORY, dropped)
    peer.core.shed += dropped
